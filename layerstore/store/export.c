#include <fcntl.h>
#include <sys/capability.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/fd.h"
#include "layerstore/store/filter.h"
#include "layerstore/store/pack.h"
#include "layerstore/store/store.h"

#define DELIVER_BYTES (256 * 1024)

/*
 * The cage: everything is read (DAC_READ_SEARCH), without a trace in its access time (FOWNER). trusted.overlay.opaque
 * isn't even listed without SYS_ADMIN; of what else that allows nothing is on the list of system calls.
 */
static struct cage make_cage(int root)
{
	return (struct cage){
		.root = root,
		.caps = CAP_BIT(CAP_DAC_READ_SEARCH) | CAP_BIT(CAP_FOWNER) | CAP_BIT(CAP_SYS_ADMIN),
		.reads_tree = true,
		.threads = true,
	};
}

static int pack(struct job *j, const struct options *o, int root, int fd, struct err *err)
{
	struct cage cage = make_cage(root);
	struct pack p = { .cage = &cage, .fd = fd, .codec = o->codec, .oci = o->oci, .sum = !o->name[0] && !j->ring };
	struct job_work w = { .cage = cage, .fn = pack_run, .arg = &p };
	if (o->codec == CODEC_SQUASHFS) {
		p.codec = CODEC_NONE;
		p.filtered = true;
	}
	return job_run(j, &w, err);
}

/* ---- squashfs ---- */

struct delivery {
	const struct cage *cage;
	int image;
};

/* To where the archive goes, whoever reads it there. In a child because it may wait for that one, and SIGTERM may come.
 */
static int deliver_run(struct job *j, void *arg, struct err *err)
{
	const struct delivery *d = arg;
	int r = cage_lock(d->cage, err);
	autofree char *buf = malloc(DELIVER_BYTES);
	if (r == 0 && !j->ring)
		r = copy_file(d->image, FD_OUT);
	for (off_t at = 0; j->ring && buf && r == 0;) {
		ssize_t n = pread(d->image, buf, DELIVER_BYTES, at);
		if (n <= 0)
			break;
		r = ring_feed(j->ring, buf, (size_t)n);
		at += n;
	}
	if (r == -ENOSPC || r == -EDQUOT)
		return err_set_no(err, ERR_NoSpace, -r, "no space left for the archive");
	return r < 0 ? err_sys(err, -r, "the archive can't be written") : 0;
}

static int deliver(struct job *j, int root, int image, struct err *err)
{
	struct cage cage = { .root = root, .reads_tree = true };
	struct delivery d = { .cage = &cage, .image = image };
	struct job_work w = { .cage = cage, .fn = deliver_run, .arg = &d };
	struct stat st;
	if (fstat(image, &st) < 0)
		return err_sys(err, errno, "the image");
	atomic_store(&j->sh->bytes, (uint64_t)st.st_size);
	return job_run(j, &w, err);
}

/* tar2sqfs writes back and forth: into a file of the place, which is copied when it is whole. */
static int pack_squashfs(struct job *j, const struct options *o, int root, struct err *err)
{
	char *const argv[] = {
		"tar2sqfs",        "--quiet", "--force", "--compressor", *o->comp ? (char *)o->comp : "zstd",
		"/proc/self/fd/1", NULL
	};
	struct filter f = { .errors = -1 };
	int tube[2];
	autoclose int image = place_tmpfile(0666, err); /* nobody else can reach it */
	if (image < 0)
		return image;
	if (pipe2(tube, O_CLOEXEC) < 0)
		return err_sys(err, errno, "no pipe");
	int r = filter_start(&f, "/usr/bin/tar2sqfs", argv, tube[0], image, err);
	close(tube[0]);
	if (r == 0)
		r = pack(j, o, root, tube[1], err);
	close(tube[1]);
	if (f.pid > 0 && (r == 0 || r == -EPIPE)) /* it knows best why it went away */
		r = filter_wait(&f, err);
	filter_kill(&f);
	return r < 0 ? r : deliver(j, root, image, err);
}

static int export_tree(struct job *j, const struct options *o, int root, struct err *err)
{
	j->total = 0; /* nobody knows */
	return o->codec == CODEC_SQUASHFS ? pack_squashfs(j, o, root, err) : pack(j, o, root, FD_OUT, err);
}

int store_export(struct job *j, const struct options *o, struct err *err)
{
	autoclose int root = openat(FD_PLACE, o->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (root < 0 && errno == ENOENT)
		return o->storage ? err_set(err, ERR_VolumeNotFound, "there is no storage '%s'", o->name)
				  : err_set(err, ERR_LayerNotFound, "there is no layer '%s'", o->name);
	return root < 0 ? err_sys(err, errno, "'%s'", o->name) : export_tree(j, o, root, err);
}

/* For who looks at the archive later; where attributes can't be, they aren't. */
static void label(const struct job *j, const struct options *o)
{
	char size[24], sum[sizeof(j->sh->md5)];
	memcpy(sum, j->sh->md5, sizeof(sum));
	if (o->codec != CODEC_SQUASHFS && strnlen(sum, sizeof(sum)) == sizeof(sum) - 1)
		(void)fsetxattr(FD_OUT, "user.porto.md5sum", sum, sizeof(sum) - 1, 0);
	snprintf(size, sizeof(size), "%llu", (unsigned long long)atomic_load(&j->sh->unpacked));
	(void)fsetxattr(FD_OUT, "user.porto.unpacked_size", size, strlen(size), 0);
}

int store_export_dir(struct job *j, const struct options *o, struct err *err)
{
	int r = export_tree(j, o, FD_FROM, err);
	if (r == 0 && !j->ring)
		label(j, o);
	return r;
}
