/*
 * tests/vol_driver.c: calls layerstore as the engine does.
 *
 *     vol_driver VERB RECORD [KEY=VALUE]...
 *
 * RECORD is a file with what was made; keys are those of a volume (path, storage, layers separated by ';', space_limit
 * ...), and auto=true, named=true, own=true for the flags. VERBs: check      vol_check_spec alone            prepare
 * and vol_prepare, into the record build      prepare and build               destroy    by the record, which then says
 * so tune       the limits to.space_limit=, to.inode_limit=, to.space_guarantee=, to.inode_guarantee= usage space_used
 * inode_used space_available inode_available recount    mounted (yes or no)   data (a listing of what an export would
 * write)   guarantee (others.space=, others.inodes=) link, unlink    root=, target=, ro=true, rec=true, strict=true;
 * the mount is kept in RECORD.link features   of the place race N     builds and destroys N times while path is renamed
 * and replaced by a symbolic link to `other` time N     builds and destroys N times: median microseconds A failure
 * prints `Kind: sentence` and exits 1.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mount.h>
#include <time.h>

#include "base/fd.h"
#include "base/units.h"
#include "layerstore/layerstore.h"

static struct vol_spec spec = { .backend = "", .path = "", .place = "", .storage = "", .fs_type = "", .mode = 0775 };
static struct vol_limits to, others;
static struct vol_link bound = { .source = "", .root = -1, .target = "" };
static struct strv layers;
static bool strict;
static const char *root = "", *other = "";

static int usage(void)
{
	fputs("usage: vol_driver VERB RECORD [KEY=VALUE]...\n", stderr);
	return 2;
}

static int fail(const struct err *err)
{
	printf("%s: %s\n", err_kind_name(err->kind), err->text);
	return 1;
}

static const struct key {
	const char *name;
	char kind; /* s text, b bool, u number, o octal, w 32 bits, l layers */
	void *to;
} keys[] = {
	{ "auto", 'b', &spec.path_auto },
	{ "backend", 's', &spec.backend },
	{ "fs_type", 's', &spec.fs_type },
	{ "gid", 'w', &spec.gid },
	{ "id", 'u', &spec.id },
	{ "inode_guarantee", 'u', &spec.limits.inode_guarantee },
	{ "inode_limit", 'u', &spec.limits.inode_limit },
	{ "layers", 'l', NULL },
	{ "link.gid", 'w', &bound.gid },
	{ "link.uid", 'w', &bound.uid },
	{ "mode", 'o', &spec.mode },
	{ "named", 'b', &spec.storage_named },
	{ "other", 's', &other },
	{ "others.inodes", 'u', &others.inode_guarantee },
	{ "others.space", 'u', &others.space_guarantee },
	{ "own", 'b', &spec.own_top },
	{ "path", 's', &spec.path },
	{ "place", 's', &spec.place },
	{ "read_only", 'b', &spec.read_only },
	{ "rec", 'b', &bound.recursive },
	{ "ro", 'b', &bound.read_only },
	{ "root", 's', &root },
	{ "space_guarantee", 'u', &spec.limits.space_guarantee },
	{ "space_limit", 'u', &spec.limits.space_limit },
	{ "storage", 's', &spec.storage },
	{ "strict", 'b', &strict },
	{ "target", 's', &bound.target },
	{ "to.inode_guarantee", 'u', &to.inode_guarantee },
	{ "to.inode_limit", 'u', &to.inode_limit },
	{ "to.space_guarantee", 'u', &to.space_guarantee },
	{ "to.space_limit", 'u', &to.space_limit },
	{ "uid", 'w', &spec.uid },
};

static int set_key(const struct key *k, const char *value)
{
	uint64_t v = 0;
	int r = 0;

	switch (k->kind) {
	case 's':
		*(const char **)k->to = value;
		return 0;
	case 'b':
		return unit_bool_parse(value, k->to);
	case 'l':
		return strv_split(value, ';', &layers);
	case 'u':
		return unit_bytes_parse(value, k->to);
	case 'o':
		r = unit_octal_parse(value, &v);
		break;
	default:
		r = unit_uint_parse(value, &v);
		break;
	}
	*(uint32_t *)k->to = (uint32_t)v;
	return r;
}

static int set_word(const char *word)
{
	const char *eq = strchr(word, '=');

	for (size_t i = 0; eq && i < ARRAY_LEN(keys); i++)
		if (strlen(keys[i].name) == (size_t)(eq - word) &&
		    strncmp(keys[i].name, word, (size_t)(eq - word)) == 0)
			return set_key(&keys[i], eq + 1);
	return -EINVAL;
}

/* ---- the record ---- */

/* Whole or not at all, as it may be killed. */
static int file_write_whole(const char *file, const char *text)
{
	char name[PATH_MAX];
	int fd, r;

	snprintf(name, sizeof(name), "%s.new", file);
	fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = fd_write_all(fd, text, strlen(text));
	close(fd);
	return r == 0 && rename(name, file) < 0 ? -errno : r;
}

static int record_write(const char *file, const struct vol_made *made)
{
	autotext struct text t = {};
	int r = vol_made_format(made, &t);

	return r < 0 ? r : file_write_whole(file, t.p);
}

static int record_read(const char *file, struct vol_made *made, struct err *err)
{
	autotext struct text t = {};
	int r = file_read(AT_FDCWD, file, 65536, &t);

	return r < 0 ? err_sys(err, -r, "%s", file) : vol_made_parse(text_str(&t), made, err);
}

/* ---- verbs ---- */

static int prepare(const char *file, struct vol_made *made, struct err *err)
{
	int r = vol_prepare(&spec, made, err);

	if (r == 0 && record_write(file, made) < 0)
		r = err_sys(err, EIO, "%s", file);
	return r;
}

static int build(const char *file, struct vol_made *made, struct err *err)
{
	int r = prepare(file, made, err);

	if (r == 0)
		r = vol_build(&spec, made, err);
	if (r == 0 && record_write(file, made) < 0)
		r = err_sys(err, EIO, "%s", file);
	return r;
}

static int list(const struct vol_made *made, struct err *err)
{
	int fd = vol_open_data(&spec, made, err);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!dir)
		return fd < 0 ? fd : -errno;
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			puts(entry->d_name);
	closedir(dir);
	return 0;
}

static int link_record(const char *file, bool save)
{
	char name[PATH_MAX], text[32];
	uint64_t v = 0;

	snprintf(name, sizeof(name), "%s.link", file);
	if (save) {
		snprintf(text, sizeof(text), "%llu\n", (unsigned long long)bound.mount);
		return file_write_whole(name, text);
	}
	if (file_read_small(AT_FDCWD, name, text, sizeof(text)) > 0 && unit_uint_parse(text, &v) == 0)
		bound.mount = v;
	return 0;
}

static int links(const char *verb, const char *file, struct err *err)
{
	struct vol_made made;
	int r = record_read(file, &made, err);

	if (r < 0)
		return r;
	bound.source = spec.path;
	bound.source_mount = made.mount;
	bound.root = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (strcmp(verb, "link") == 0) {
		r = vol_link(&bound, err);
		return r == 0 ? link_record(file, true) : r;
	}
	link_record(file, false);
	return vol_unlink(&bound, strict, err);
}

/* Of a volume that has been made. */
static int living(const char *verb, const char *file, struct vol_made *made, struct err *err)
{
	autotext struct text report = {};
	struct vol_usage u;
	int r = 0;

	if (strcmp(verb, "destroy") == 0) {
		r = vol_destroy(&spec, made, err);
		return r < 0 ? r : record_write(file, made);
	}
	if (strcmp(verb, "tune") == 0) {
		r = vol_tune(&spec, made, &to, err);
		return r < 0 ? r : record_write(file, made);
	}
	if (strcmp(verb, "usage") == 0) {
		r = vol_usage(&spec, made, &u);
		if (r == 0)
			printf("%llu %llu %llu %llu\n", (unsigned long long)u.space_used,
			       (unsigned long long)u.inode_used, (unsigned long long)u.space_available,
			       (unsigned long long)u.inode_available);
		return r < 0 ? err_sys(err, -r, "usage") : 0;
	}
	if (strcmp(verb, "recount") == 0) {
		r = vol_recount(&spec, made, &report, err);
		fputs(text_str(&report), stdout);
		return r;
	}
	if (strcmp(verb, "mounted") == 0)
		return puts(vol_is_mounted(&spec, made) ? "yes" : "no") < 0 ? -EIO : 0;
	if (strcmp(verb, "guarantee") == 0)
		return vol_check_guarantee(made, &spec.limits, &others, err);
	return strcmp(verb, "data") == 0 ? list(made, err) : err_set(err, ERR_InvalidMethod, "%s", verb);
}

/* ---- races and times ---- */

static volatile bool over;

/* The directory at path gives way to a symbolic link, and comes back. */
static void *swap(void *arg)
{
	char aside[PATH_MAX];

	snprintf(aside, sizeof(aside), "%s.aside", spec.path);
	while (!over) {
		if (rename(spec.path, aside) == 0) {
			if (symlink(other, spec.path) == 0)
				unlink(spec.path);
			while (rename(aside, spec.path) < 0 && errno == EEXIST)
				unlink(spec.path);
		}
	}
	return arg;
}

static int race(long n, struct err *err)
{
	struct vol_made made;
	pthread_t thread;

	if (pthread_create(&thread, NULL, swap, NULL))
		return err_sys(err, EAGAIN, "thread");
	for (long i = 0; i < n; i++)
		if (vol_prepare(&spec, &made, err) == 0) {
			(void)vol_build(&spec, &made, err);
			/* what is just being moved is Busy; whoever destroys tries again */
			for (int tries = 0; tries < 1000 && vol_destroy(&spec, &made, err) < 0; tries++)
				usleep(100);
		}
	over = true;
	pthread_join(thread, NULL);
	return 0;
}

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double now_usec(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), compare);
	return v[n / 2];
}

static int one_volume(double *usec, struct err *err)
{
	struct vol_made made;
	double start = now_usec();
	int r = vol_prepare(&spec, &made, err);

	if (r == 0)
		r = vol_build(&spec, &made, err);
	if (r == 0)
		r = vol_destroy(&spec, &made, err);
	*usec = now_usec() - start;
	return r;
}

/* The same layers, in the directories bare/{upper,work,target} of the place. */
static int one_bare(double *usec)
{
	autotext struct text options = {};
	char target[PATH_MAX];
	double start;

	snprintf(target, sizeof(target), "%s/bare/target", spec.place);
	text_addf(&options, "upperdir=%s/bare/upper,workdir=%s/bare/work,lowerdir=", spec.place, spec.place);
	strv_join(&layers, ':', &options);
	start = now_usec();
	if (mount("bare", target, "overlay", 0, text_str(&options)) < 0 || umount2(target, 0) < 0)
		return -errno;
	*usec = now_usec() - start;
	return 0;
}

static int timed(long n, struct err *err)
{
	autofree double *ours = calloc((size_t)n, sizeof(*ours)), *bare = calloc((size_t)n, sizeof(*bare));
	double a, b;

	for (long i = 0; ours && bare && i < n; i++) {
		int r = one_volume(&ours[i], err);
		if (r < 0)
			return r;
		r = one_bare(&bare[i]);
		if (r < 0)
			return err_sys(err, -r, "bare overlay");
	}
	if (!ours || !bare)
		return err_sys(err, ENOMEM, "time");
	a = median(ours, (size_t)n);
	b = median(bare, (size_t)n);
	printf("%.1f %.1f %.3f\n", a, b, a / b);
	return 0;
}

static int act(const char *verb, const char *file, struct err *err)
{
	autotext struct text features = {};
	struct vol_made made;
	int r;

	if (strcmp(verb, "check") == 0)
		return vol_check_spec(&spec, err);
	if (strcmp(verb, "prepare") == 0)
		return prepare(file, &made, err);
	if (strcmp(verb, "build") == 0)
		return build(file, &made, err);
	if (strcmp(verb, "link") == 0 || strcmp(verb, "unlink") == 0)
		return links(verb, file, err);
	if (strcmp(verb, "race") == 0)
		return race(strtol(file, NULL, 10), err);
	if (strcmp(verb, "time") == 0)
		return timed(strtol(file, NULL, 10), err);
	if (strcmp(verb, "features") == 0) {
		vol_features(spec.place, &features);
		fputs(text_str(&features), stdout);
		return 0;
	}
	r = record_read(file, &made, err);
	return r < 0 ? r : living(verb, file, &made, err);
}

/* The daemon's programs are built where we are. */
static const char *beside_us(const char *name)
{
	static char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 64);
	char *slash;

	path[MAX(n, 0)] = 0;
	slash = strrchr(path, '/');
	snprintf(slash ? slash + 1 : path, 64, "%s", name);
	return path;
}

int main(int argc, char **argv)
{
	struct err err = {};
	int r;

	if (argc < 3)
		return usage();
	for (int i = 3; i < argc; i++)
		if (set_word(argv[i]) < 0) {
			fprintf(stderr, "vol_driver: %s?\n", argv[i]);
			return 2;
		}
	spec.layers = &layers;
	spec.store = beside_us("porto-store");
	r = act(argv[1], argv[2], &err);
	strv_done(&layers);
	return r < 0 ? fail(&err) : 0;
}
