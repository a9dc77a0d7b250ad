/* overlay: layers below, the storage's upper layer above; its limit is a project quota, or the image that it lies in.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "layerstore/quota.h"
#include "layerstore/vol.h"

static bool storage_has(const struct vol *v, const char *name)
{
	return v->storage >= 0 && faccessat(v->storage, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int overlay_prepare(struct vol *v, struct err *err)
{
	struct vol_made *m = v->made;
	bool has_image = storage_has(v, IMAGE_NAME), limited = has_limit(v->spec);

	if (!limited && !has_image)
		return 0;
	if (!has_image && m->quota)
		return 0;
	if (!has_image && storage_has(v, "upper"))
		return err_set(err, ERR_NotSupported,
			       "space_limit: no project quota here, and the storage's data is in no image yet");
	if (!has_image && !v->spec->limits.space_limit)
		return err_set(err, ERR_NotSupported,
			       "inode_limit: without project quota it needs a space_limit, for an image");
	m->quota = false;
	if (snprintf(m->image, sizeof(m->image), "%s/%s", m->storage, IMAGE_NAME) >= (int)sizeof(m->image))
		return err_set_no(err, ERR_InvalidPath, ENAMETOOLONG, "storage: too long a path");
	return 0;
}

/* The image, made if it is not there yet. A read-only volume doesn't write into an old one. */
static int upper_image(struct vol *v, bool *read_only, struct err *err)
{
	int fd = openat(v->storage, IMAGE_NAME, O_RDWR | O_NOFOLLOW | O_CLOEXEC), r;

	if (fd < 0 && errno != ENOENT)
		return err_sys(err, errno, "%s", v->made->image);
	*read_only = fd >= 0 && v->spec->read_only;
	if (fd < 0) {
		fd = image_make(v, v->storage, IMAGE_NAME, err);
		v->new_image = fd >= 0;
		return fd;
	}
	r = image_check_ours(fd, v->made->image, err);
	if (r == 0)
		r = image_claim(fd, *read_only, err);
	if (r == 0 && !*read_only)
		r = image_resize(fd, v->spec->limits.space_limit, err);
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

/* Its file system, on the home's `upper` as long as the volume lives: tuning and export look at it there. */
static int upper_on_image(struct vol *v, struct err *err)
{
	bool read_only = false;
	autoclose int image = upper_image(v, &read_only, err);
	autoclose int at = -1, mount = -1;
	int r;

	if (image < 0)
		return image;
	mount = image_mount(image, "ext4", read_only, err);
	if (mount < 0)
		return mount;
	at = home_sub(v, "upper", err);
	if (at < 0)
		return at;
	r = mnt_attach(mount, at);
	return r < 0 ? err_sys(err, -r, "%s", v->made->image) : TAKE_FD(mount);
}

/* What was mounted, and the directories that were opened for it. */
struct upper {
	int in, upper, work;
};

static void upper_close(struct upper *u)
{
	cleanup_close(&u->in);
	cleanup_close(&u->upper);
	cleanup_close(&u->work);
}

static int upper_open(struct vol *v, struct upper *u, struct err *err)
{
	bool on_image = v->made->image[0], is_new = false;

	if (on_image) {
		u->in = upper_on_image(v, err);
		if (u->in < 0)
			return u->in;
	}
	int in = on_image ? u->in : v->storage;
	u->upper = dir_make(in, "upper", 0755, &v->new_top);
	if (u->upper < 0)
		return err_sys(err, -u->upper, "%s/upper", v->made->storage);
	v->new_upper = v->new_top && !on_image;
	if (v->spec->read_only)
		return 0;
	u->work = dir_make(in, "work", 0700, &is_new);
	v->new_work = is_new && !on_image;
	return u->work < 0 ? err_sys(err, -u->work, "%s/work", v->made->storage) : 0;
}

static int mount_over(struct vol *v, struct layer_fds *layers, struct err *err)
{
	__attribute__((cleanup(upper_close))) struct upper u = { -1, -1, -1 };
	int r = upper_open(v, &u, err);

	if (r == 0)
		r = top_own(v, u.upper, err);
	if (r < 0)
		return r;
	if (!v->spec->read_only)
		return overlay_mount(v, layers, u.upper, u.work, err);
	/* The upper layer as one more lower: nothing is written into it, and others may use it so as well. */
	memmove(layers->fd + 1, layers->fd, layers->n * sizeof(*layers->fd));
	layers->fd[0] = TAKE_FD(u.upper);
	layers->n++;
	return overlay_mount(v, layers, -1, -1, err);
}

int overlay_build(struct vol *v, struct err *err)
{
	struct layer_fds layers;
	int r = layers_open(v, &layers, err);

	if (r < 0)
		return r;
	r = mount_over(v, &layers, err);
	layers_close(v, &layers);
	return r;
}

int overlay_tune(struct vol *v, const struct vol_limits *to, struct err *err)
{
	if (v->made->image[0])
		return image_tune(v, to, err);
	return quota_tune(v, to, err);
}

const struct backend backend_overlay = {
	.name = "overlay",
	.needs = WORD_LAYERS,
	.storage = STORAGE_DIR,
	.quota = true,
	.prepare = overlay_prepare,
	.mount = overlay_build,
	.tune = overlay_tune,
};
