/* squash: an image (squashfs or erofs) as the top layer of an overlay; read-only and alone it is mounted as it is. */
#include <fcntl.h>
#include <sys/stat.h>

#include "layerstore/vol.h"

static int squash_prepare(struct vol *v, struct err *err)
{
	const char *path = v->spec->layers->p[0];
	autoclose int fd = path_open(path, O_PATH);
	struct stat st;

	if (fd == -ENOENT || fd == -ENOTDIR)
		return err_set(err, ERR_LayerNotFound, "layer '%s': not found", path);
	if (fd < 0)
		return err_sys(err, -fd, "layer '%s'", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(err, ERR_InvalidPath, "layer '%s': squash begins with an image", path);
	return overlay_prepare(v, err);
}

static int squash_mount(struct vol *v, struct err *err)
{
	const struct strv *layers = v->spec->layers;

	if (!v->spec->read_only || layers->n > 1 || v->spec->storage[0])
		return overlay_build(v, err);
	autoclose int fd = path_open(layers->p[0], O_RDONLY | O_NONBLOCK);
	if (fd < 0)
		return err_sys(err, -fd, "layer '%s'", layers->p[0]);
	return image_mount(fd, "", true, err);
}

const struct backend backend_squash = {
	.name = "squash",
	.needs = WORD_LAYERS,
	.storage = STORAGE_DIR,
	.quota = true,
	.prepare = squash_prepare,
	.mount = squash_mount,
	.tune = overlay_tune,
};
