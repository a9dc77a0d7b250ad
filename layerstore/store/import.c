#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "layerstore/store/filter.h"
#include "layerstore/store/store.h"
#include "layerstore/store/unpack.h"

struct import {
	const struct options *o;
	char temp[NAME_MAX + 1]; /* _import_NAME */
	int dir;                 /* it, locked */
	bool exists;             /* NAME does */
};

static int already_there(const struct options *o, struct err *err)
{
	return o->storage ? err_set(err, ERR_VolumeAlreadyExists, "storage '%s' already exists", o->name)
			  : err_set(err, ERR_LayerAlreadyExists, "layer '%s' already exists", o->name);
}

/* ---- the directory that is to become the layer ---- */

static int open_dir(const char *name)
{
	int fd = openat(FD_PLACE, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int begin(const struct job *j, struct import *im, struct err *err)
{
	im->dir = place_claim(j, FD_PLACE, im->temp, false);
	if (im->dir == -EBUSY)
		return err_set(err, ERR_Busy, "'%s' is being imported", im->o->name);
	return im->dir < 0 ? err_sys(err, -im->dir, "'%s' can't be made", im->temp) : 0;
}

static int rename_in_place(const char *from, const char *to, unsigned flags)
{
	return syscall(SYS_renameat2, FD_PLACE, from, FD_PLACE, to, flags) < 0 ? -errno : 0;
}

/*
 * Everything to the disk once, then the name. A layer that is replaced by its merged self changes places with it: at
 * every moment there is one of that name, whole.
 */
static int finish(struct import *im, struct err *err)
{
	if (syncfs(im->dir) < 0)
		return err_sys(err, errno, "the tree can't be written to the disk");
	int r = rename_in_place(im->temp, im->o->name, im->exists ? RENAME_EXCHANGE : RENAME_NOREPLACE);
	if (r == -EEXIST)
		return already_there(im->o, err);
	if (r < 0)
		return err_sys(err, -r, "'%s' can't be renamed to '%s'", im->temp, im->o->name);
	if (im->exists)
		(void)tree_remove(FD_PLACE, im->temp); /* what it doesn't get, the sweeper does */
	return 0;
}

/* ---- squashfs ---- */

/* The filter opens the file anew, as nobody: it must be one that everybody can read. */
static int readable_image(struct err *err)
{
	struct stat st;
	if (fstat(FD_IN, &st) < 0)
		return err_sys(err, errno, "the archive");
	if (st.st_mode & S_IROTH)
		return fcntl(FD_IN, F_DUPFD_CLOEXEC, FD_FIRST_FREE);
	int fd = place_tmpfile(0444, err);
	if (fd < 0)
		return fd;
	int r = copy_file(FD_IN, fd);
	if (r == 0)
		return fd;
	close(fd);
	return r == -ENOSPC || r == -EDQUOT ? err_set(err, ERR_NoSpace, "no space to copy the image")
					    : err_sys(err, -r, "the image can't be copied");
}

static int start_filter(struct filter *f, struct unpack *u, struct err *err)
{
	char *const argv[] = { "sqfs2tar", "--root-becomes", ".", "/proc/self/fd/0", NULL };
	int tube[2];
	autoclose int image = readable_image(err);
	if (image < 0)
		return image;
	if (pipe2(tube, O_CLOEXEC) < 0)
		return err_sys(err, errno, "no pipe");
	int r = filter_start(f, "/usr/bin/sqfs2tar", argv, image, tube[1], err);
	close(tube[1]);
	u->fd = tube[0];
	u->codec = CODEC_NONE;
	u->format_known = u->filtered = true;
	return r;
}

static bool is_squashfs(const struct job *j, const struct options *o)
{
	char magic[CODEC_MAGIC_BYTES];
	if (j->ring || j->total == 0)
		return false;
	if (o->format_known)
		return o->codec == CODEC_SQUASHFS;
	ssize_t n = pread(FD_IN, magic, sizeof(magic), 0);
	return n > 0 && codec_detect(magic, (size_t)n) == CODEC_SQUASHFS;
}

/* ---- the whole ---- */

static int unpack(struct job *j, struct import *im, struct err *err)
{
	const struct options *o = im->o;
	struct filter f = { .errors = -1 };
	struct unpack u = {
		.fd = FD_IN, .whiteouts = !o->merge && !o->storage, .format_known = o->format_known, .codec = o->codec
	};
	uint64_t total = j->total;
	bool squashfs = is_squashfs(j, o);
	int r = squashfs ? start_filter(&f, &u, err) : 0;
	if (squashfs)
		j->total = 0; /* what is counted is the filter's output */
	if (r == 0)
		r = unpack_into(j, im->dir, &u, false, err);
	if (squashfs && (r == 0 || filter_has_ended(&f))) { /* what was missing of its output it knows best */
		int said = filter_wait(&f, err);
		r = said < 0 ? said : r;
	}
	filter_kill(&f);
	if (squashfs) {
		atomic_store(&j->sh->bytes, total);
		if (u.fd != FD_IN)
			close(u.fd);
	}
	return r;
}

/* A merge goes into a copy whose files are further names of the old one's: they are never written to, only replaced. */
static int clone_old(struct job *j, struct import *im, struct err *err)
{
	autoclose int old = open_dir(im->o->name);
	if (old < 0)
		return err_sys(err, -old, "'%s'", im->o->name);
	return copy_tree(j, old, im->dir, COPY_LINKS, err);
}

int store_import(struct job *j, const struct options *o, struct err *err)
{
	struct import im = { .o = o, .dir = -1 };
	struct stat st;
	if (snprintf(im.temp, sizeof(im.temp), IMPORT_PREFIX "%s", o->name) >= (int)sizeof(im.temp))
		return err_set_no(err, ERR_InvalidValue, ENAMETOOLONG, "the name is too long");
	im.exists = fstatat(FD_PLACE, o->name, &st, AT_SYMLINK_NOFOLLOW) == 0;
	if (im.exists && !o->merge)
		return already_there(o, err);
	int r = begin(j, &im, err);
	if (r == 0 && im.exists)
		r = clone_old(j, &im, err);
	if (r == 0)
		r = unpack(j, &im, err);
	if (r == 0)
		r = finish(&im, err);
	if (r < 0 && im.dir >= 0 && place_is_named(FD_PLACE, im.temp, im.dir))
		(void)tree_remove(FD_PLACE, im.temp);
	if (im.dir >= 0)
		close(im.dir);
	return r;
}
