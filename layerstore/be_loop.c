/* loop: a file system in an image: `loop.img` in the storage directory, or the storage itself where that is a file. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "layerstore/vol.h"

#define ONLINE_MIN (UINT64_C(512) << 20)

static bool storage_is_file(const struct vol *v)
{
	struct stat st;

	return v->storage >= 0 && fstat(v->storage, &st) == 0 && S_ISREG(st.st_mode);
}

static int loop_prepare(struct vol *v, struct err *err)
{
	const struct vol_spec *s = v->spec;
	bool is_file = storage_is_file(v);
	bool there = is_file || (v->storage >= 0 && faccessat(v->storage, IMAGE_NAME, F_OK, AT_SYMLINK_NOFOLLOW) == 0);

	v->made->quota = false;
	if (snprintf(v->made->image, sizeof(v->made->image), is_file ? "%s" : "%s/" IMAGE_NAME, v->made->storage) >=
	    (int)sizeof(v->made->image))
		return err_set_no(err, ERR_InvalidPath, ENAMETOOLONG, "storage: too long a path");
	if (there)
		return 0;
	if (!s->limits.space_limit)
		return err_set(err, ERR_InvalidProperty, "space_limit: a new image needs one");
	if (s->fs_type[0] && strcmp(s->fs_type, "ext4") != 0)
		return err_set(err, ERR_InvalidValue, "fs_type: a new image can only be ext4");
	return 0;
}

static int image_open(struct vol *v, struct err *err)
{
	int flags = v->spec->read_only ? O_RDONLY : O_RDWR;
	int fd = storage_is_file(v) ? fd_reopen(v->storage, flags)
				    : openat(v->storage, IMAGE_NAME, flags | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	int r;

	fd = fd == -1 ? -errno : fd;
	if (fd == -ENOENT) {
		fd = image_make(v, v->storage, IMAGE_NAME, err);
		v->new_image = fd >= 0;
		v->new_top = v->new_image;
		return fd;
	}
	if (fd < 0)
		return err_sys(err, -fd, "%s", v->made->image);
	r = fstat(fd, &st) < 0 ? -errno : S_ISREG(st.st_mode) ? 0 : -EINVAL;
	if (r < 0)
		err_set(err, ERR_InvalidPath, "%s: not a file", v->made->image);
	else if (!storage_is_file(v)) /* who could write into the storage may have laid it there */
		r = image_check_ours(fd, v->made->image, err);
	if (r == 0)
		r = image_claim(fd, v->spec->read_only, err);
	/* Nobody but root may write below a mounted file system. */
	if (r == 0 && !v->spec->read_only && (fchown(fd, 0, 0) < 0 || fchmod(fd, 0600) < 0))
		r = err_sys(err, errno, "%s: owner", v->made->image);
	if (r < 0)
		close(fd);
	return r < 0 ? r : fd;
}

static int fill(struct vol *v, int mount, struct err *err)
{
	autoclose int top = -1;
	int r = 0;

	if (v->spec->read_only)
		return 0;
	top = openat(mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (top < 0)
		return err_sys(err, errno, "top of the image");
	if (v->new_image)
		unlinkat(top, "lost+found", AT_REMOVEDIR);
	if (has_layers(v->spec))
		r = layers_copy(v, top, err);
	return r < 0 ? r : top_own(v, top, err);
}

static int loop_mount(struct vol *v, struct err *err)
{
	autoclose int image = image_open(v, err), mount = -1;
	int r = 0;

	if (image < 0)
		return image;
	if (!v->spec->read_only && !v->new_image)
		r = image_resize(image, v->spec->limits.space_limit, err);
	if (r < 0)
		return r;
	mount = image_mount(image, v->spec->fs_type, v->spec->read_only, err);
	if (mount < 0)
		return mount;
	r = fill(v, mount, err);
	return r < 0 ? r : TAKE_FD(mount);
}

static int loop_tune(struct vol *v, const struct vol_limits *to, struct err *err)
{
	const struct vol_limits *now = &v->spec->limits;

	if (to->space_limit != now->space_limit) {
		if (v->spec->read_only)
			return err_set(err, ERR_Busy, "space_limit: the volume is read-only");
		if (now->space_limit < ONLINE_MIN)
			return err_set(err, ERR_InvalidProperty,
				       "space_limit: an image made smaller than 512M does not grow");
	}
	return image_tune(v, to, err);
}

const struct backend backend_loop = {
	.name = "loop",
	.storage = STORAGE_IMAGE,
	.recount_ok = true,
	.copies_layers = true,
	.prepare = loop_prepare,
	.mount = loop_mount,
	.tune = loop_tune,
};
