/* Overlays: layers opened, images among them mounted, one file system made of all. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "layerstore/vol.h"

#define OPTIONS_MAX 4096

/* An image: mounted over the home's `lower`, as overlayfs takes no detached mounts before 6.15. Many may lie on each
 * other. */
static int image_open(struct vol *v, int file, const char *path, struct err *err)
{
	autoclose int mount = image_mount(file, "", true, err);
	autoclose int lower = -1;
	int r;

	if (mount < 0)
		return err_wrap(err, mount, "layer '%s'", path);
	lower = home_sub(v, "lower", err);
	if (lower < 0)
		return lower;
	r = mnt_attach(mount, lower);
	return r < 0 ? err_sys(err, -r, "layer '%s'", path) : TAKE_FD(mount);
}

static int layer_fail(int r, const char *path, struct err *err)
{
	if (r == -ENOENT || r == -ENOTDIR)
		return err_set(err, ERR_LayerNotFound, "layer '%s': not found", path);
	if (r == -ELOOP)
		return err_set_no(err, ERR_InvalidPath, ELOOP, "layer '%s': the path has a symbolic link in it", path);
	return err_sys(err, -r, "layer '%s'", path);
}

/* No directory: looked at before it is opened, as a device could do anything then. */
static int layer_open_file(struct vol *v, const char *path, struct stat *st, struct err *err)
{
	autoclose int fd = path_open(path, O_PATH);

	if (fd < 0)
		return layer_fail(fd, path, err);
	if (fstat(fd, st) < 0)
		return err_sys(err, errno, "layer '%s'", path);
	if (!S_ISREG(st->st_mode))
		return err_set(err, ERR_InvalidPath, "layer '%s': neither a directory nor an image", path);
	autoclose int file = fd_reopen(fd, O_RDONLY);
	return file < 0 ? err_sys(err, -file, "layer '%s'", path) : image_open(v, file, path, err);
}

static int layer_open(struct vol *v, const char *path, struct stat *st, struct err *err)
{
	autoclose int fd = path_open(path, O_RDONLY | O_DIRECTORY);

	if (fd == -ENOTDIR)
		return layer_open_file(v, path, st, err);
	if (fd < 0)
		return layer_fail(fd, path, err);
	if (fstat(fd, st) < 0)
		return err_sys(err, errno, "layer '%s'", path);
	return TAKE_FD(fd);
}

struct seen {
	dev_t dev;
	ino_t ino;
};

static bool is_seen(const struct seen *seen, size_t n, const struct stat *st)
{
	for (size_t i = 0; i < n; i++)
		if (seen[i].dev == st->st_dev && seen[i].ino == st->st_ino)
			return true;
	return false;
}

int layers_open(struct vol *v, struct layer_fds *ret, struct err *err)
{
	const struct strv *layers = v->spec->layers;
	struct seen seen[VOL_LAYERS_MAX];
	struct stat st;

	ret->n = 0;
	for (size_t i = 0; layers && i < layers->n && ret->n < VOL_LAYERS_MAX; i++) {
		int fd = layer_open(v, layers->p[i], &st, err);
		if (fd < 0) {
			layers_close(v, ret);
			return fd;
		}
		if (is_seen(seen, ret->n, &st)) {
			close(fd);
			continue;
		}
		seen[ret->n] = (struct seen){ st.st_dev, st.st_ino };
		ret->fd[ret->n++] = fd;
	}
	return 0;
}

void layers_close(struct vol *v, struct layer_fds *l)
{
	while (l->n > 0)
		close(l->fd[--l->n]);
	if (v->home >= 0)
		(void)mnt_detach(v->home, "lower", 0);
}

/* A directory by descriptor: from 6.13 on as such, and mountinfo shows its path; before, as its name in /proc. */
static int set_dir(int context, const char *key, int fd)
{
	char path[32];

	if (mnt_set_fd(context, key, fd) == 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return mnt_set(context, key, path);
}

/* Linux 6.7 and later: a word for each layer. -EINVAL otherwise. */
static int mount_by_words(const struct layer_fds *l, int upper, int work, bool is_volatile, struct err *err)
{
	autoclose int context = mnt_context("overlay", err);
	int r;

	if (context < 0)
		return context;
	r = mnt_set(context, "source", "porto-volume");
	for (size_t i = 0; i < l->n && r == 0; i++)
		r = set_dir(context, "lowerdir+", l->fd[i]);
	if (r == 0 && upper >= 0)
		r = set_dir(context, "upperdir", upper);
	if (r == 0 && upper >= 0)
		r = set_dir(context, "workdir", work);
	if (r == 0 && is_volatile)
		r = mnt_set(context, "volatile", NULL);
	return r < 0 ? err_sys(err, -r, "overlay") : mnt_create(context, "overlay", upper < 0, err);
}

/* All in one line of a page. */
static int options_format(const struct layer_fds *l, int upper, int work, bool is_volatile, struct text *out)
{
	text_add(out, is_volatile ? "volatile,lowerdir=" : "lowerdir=");
	for (size_t i = 0; i < l->n; i++)
		text_addf(out, "%s/proc/self/fd/%d", i ? ":" : "", l->fd[i]);
	if (upper >= 0)
		text_addf(out, ",upperdir=/proc/self/fd/%d,workdir=/proc/self/fd/%d", upper, work);
	if (text_ok(out) < 0)
		return -ENOMEM;
	return out->len < OPTIONS_MAX ? 0 : -E2BIG;
}

/*
 * Before: only mount(2) takes lines as long as that, and it attaches at once. So it is mounted over the home's `lower`,
 * cloned, and taken away there.
 */
static int mount_by_line(struct vol *v, const struct layer_fds *l, int upper, int work, bool is_volatile,
			 struct err *err)
{
	autotext struct text options = {};
	autoclose int lower = home_sub(v, "lower", err), made = -1;
	char path[32];
	int r;

	if (lower < 0)
		return lower;
	r = options_format(l, upper, work, is_volatile, &options);
	if (r == -E2BIG)
		return err_set(err, ERR_NotSupported, "layers: %zu are too many for this kernel, Linux 6.7 takes %d",
			       l->n, VOL_LAYERS_MAX);
	if (r < 0)
		return err_sys(err, -r, "overlay");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", lower);
	if (mount("porto-volume", path, "overlay", MS_NODEV | MS_NOSUID | (upper < 0 ? MS_RDONLY : 0), options.p) < 0)
		return err_sys(err, errno, "overlay: mount");
	made = mnt_clone(v->home, "lower", upper < 0 ? MNT_READ_ONLY : 0);
	r = mnt_detach(v->home, "lower", 0);
	if (made < 0 || r < 0)
		return err_sys(err, made < 0 ? -made : -r, "overlay");
	return TAKE_FD(made);
}

int overlay_mount(struct vol *v, const struct layer_fds *l, int upper, int work, struct err *err)
{
	bool is_volatile = upper >= 0 && is_temporary(v);
	int r = mount_by_words(l, upper, work, is_volatile, err), by_line;
	struct err second = {};

	if (r != -EINVAL)
		return r;
	by_line = mount_by_line(v, l, upper, work, is_volatile, &second);
	/* What was wrong is known better from the first attempt. */
	if (by_line < 0 && by_line != -EINVAL && err)
		*err = second;
	return by_line;
}
