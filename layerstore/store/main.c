/*
 * porto-store: archives into trees and back, the long work of layers and volumes. Started by the worker; no program for people.
 *
 *   porto-store import     NAME [--merge] [--storage] [--format FORMAT] [--ring FD]
 *   porto-store export     NAME [--storage] [--format FORMAT] [--whiteouts oci|overlay] [--ring FD]
 *   porto-store export-dir [--format FORMAT] [--whiteouts oci|overlay] [--ring FD]
 *   porto-store remove     NAME [--storage]
 *   porto-store copy       [--merged]
 *   porto-store image-...  (image_cmd.h)
 *
 * All take --go FD (those of images before their name): they begin when a byte comes from that pipe, and never did anything if it is closed instead. So the
 * worker can write down whom it has started before anything happens.
 *
 * Descriptors: 0 and 1 the archive, 3 the status page (job.h), 4 the directory of layers or storages, 5 and 6 trees;
 * FD of a ring and the two behind it: ring.h.
 */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "base/units.h"
#include "layerstore/store/image_cmd.h"
#include "layerstore/store/store.h"

static const struct command {
	const char *name;
	int (*fn)(struct job *j, const struct options *o, struct err *err);
	bool named;
	int fds; /* bits of the descriptors that have to be there */
} commands[] = {
	{"copy",       store_copy,       false, 1 << FD_FROM | 1 << FD_INTO},
	{"export",     store_export,     true,  1 << FD_PLACE},
	{"export-dir", store_export_dir, false, 1 << FD_PLACE | 1 << FD_FROM},
	{"import",     store_import,     true,  1 << FD_PLACE},
	{"remove",     store_remove,     true,  1 << FD_PLACE},
};

static const struct option words[] = {
	{"format",    required_argument, NULL, 'f'},
	{"go",        required_argument, NULL, 'g'},
	{"merge",     no_argument,       NULL, 'm'},
	{"merged",    no_argument,       NULL, 'M'},
	{"ring",      required_argument, NULL, 'r'},
	{"storage",   no_argument,       NULL, 's'},
	{"whiteouts", required_argument, NULL, 'w'},
	{},
};

static int bad_usage(struct err *err, const char *what)
{
	return err_set(err, ERR_InvalidCommand, "porto-store: %s", what);
}

static int take_fd_number(int *ret, const char *what, struct err *err)
{
	uint64_t fd;
	if (unit_uint_parse(optarg, &fd) < 0 || fd < FD_FIRST_FREE || fd > 1000)
		return bad_usage(err, what);
	*ret = (int)fd;
	return 0;
}

static int take_option(struct options *o, int c, struct err *err)
{
	switch (c) {
	case 'f':
		o->format_known = true;
		if (format_parse(optarg, &o->codec, o->comp) < 0)
			return err_set(err, ERR_InvalidValue, "unknown format '%s': tar, tar.gz, tar.xz, tar.zst, tar.bz2 and squashfs are known", optarg);
		return 0;
	case 'm':
		o->merge = true;
		return 0;
	case 'M':
		o->merged = true;
		return 0;
	case 'g':
		return take_fd_number(&o->go, "not the descriptor of a pipe", err);
	case 'r':
		return take_fd_number(&o->ring, "not the descriptor of a ring", err);
	case 's':
		o->storage = true;
		return 0;
	case 'w':
		o->oci = strcmp(optarg, "oci") == 0;
		return o->oci || strcmp(optarg, "overlay") == 0 ? 0 : err_set(err, ERR_InvalidValue, "whiteouts are oci or overlay, not '%s'", optarg);
	}
	return bad_usage(err, "unknown option");
}

/* Names are judged by the engine; here only those that would leave the directory or be taken for ours. */
static int check_name(const char *name, struct err *err)
{
	static const char *const reserved[] = {IMPORT_PREFIX, REMOVE_PREFIX, TMP_PREFIX, "_private_"};
	bool bad = !*name || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
	for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
		bad |= strncmp(name, reserved[i], strlen(reserved[i])) == 0;
	return bad ? err_set(err, ERR_InvalidValue, "'%s' is no name of a layer or storage", name) : 0;
}

static int parse(int argc, char **argv, struct options *o, const struct command **ret, struct err *err)
{
	int c, r = 0;
	*o = (struct options){.ring = -1, .go = -1};
	opterr = 0;
	while (r == 0 && (c = getopt_long(argc, argv, "", words, NULL)) != -1)
		r = take_option(o, c, err);
	if (r < 0)
		return r;
	o->command = optind < argc ? argv[optind] : "";
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(o->command, commands[i].name) == 0)
			*ret = &commands[i];
	if (!*ret || argc - optind != 1 + (*ret)->named)
		return bad_usage(err, "a command and its name, see layerstore/store/main.c");
	o->name = (*ret)->named ? argv[optind + 1] : "";
	return (*ret)->named ? check_name(o->name, err) : 0;
}

static int check_fds(const struct command *c, struct err *err)
{
	struct stat st;
	for (int fd = FD_PLACE; fd <= FD_INTO; fd++)
		if ((c->fds & 1 << fd) && (fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode)))
			return err_set(err, ERR_InvalidCommand, "porto-store: descriptor %d is no directory", fd);
	return 0;
}

static int open_ring(const struct options *o, struct ring **ret, struct err *err)
{
	int fds[RING_FDS] = {o->ring, o->ring + 1, o->ring + 2};
	int r = o->ring < 0 ? 0 : ring_open(fds, ret);
	return r < 0 ? bad_usage(err, "not the descriptor of a ring") : 0;
}

/* Descriptors that aren't open would be given to the first file that is opened. */
static int hold_low_fds(struct err *err)
{
	for (int fd = 0; fd < FD_FIRST_FREE; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR | O_CLOEXEC) != fd)
			return err_sys(err, errno, "/dev/null");
	return 0;
}

/* What the worker didn't mean to hand down is nobody's business. */
static void close_others(int ring)
{
	unsigned last = ring < 0 ? FD_FIRST_FREE - 1 : (unsigned)ring + RING_FDS - 1;
	if (ring > FD_FIRST_FREE)
		close_range(FD_FIRST_FREE, (unsigned)ring - 1, 0);
	close_range(last + 1, ~0u, 0);
}

/* A copy is nobody's but its parent's, who waits for it: asked for before the word to begin, which a dead one doesn't give. */
static void die_with_parent(void)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
}

/* False: whoever started this one is gone. */
static bool wait_go(int fd)
{
	char byte;
	ssize_t n;
	while ((n = read(fd, &byte, 1)) < 0 && errno == EINTR)
		;
	return n == 1;
}

int main(int argc, char **argv)
{
	const struct command *command = NULL;
	struct options o = { .ring = -1, .go = -1 };
	struct ring *ring = NULL;
	struct job j;
	struct err err = {};
	int r = hold_low_fds(&err), first = argc > 3 && strcmp(argv[1], "--go") == 0 ? 3 : 1;
	const struct image_command *image = image_command(argc > first ? argv[first] : "");
	if (r == 0 && image && first > 1) {
		optarg = argv[2];
		r = take_option(&o, 'g', &err);
	}
	if (r == 0 && !image)
		r = parse(argc, argv, &o, &command, &err);
	if (o.merged)
		die_with_parent();
	if (o.go >= 0 && !wait_go(o.go))
		return 1;
	if (r == 0 && !image)
		r = check_fds(command, &err);
	if (r == 0)
		close_others(o.ring);
	if (r == 0 && !image)
		r = open_ring(&o, &ring, &err);
	if (job_init(&j, ring, &err) < 0)
		return 1;
	if (r == 0)
		r = image ? image_run(image, &j, argc - first, argv + first, &err) : command->fn(&j, &o, &err);
	r = job_end(&j, r, &err);
	ring_free(ring);
	return r;
}
