/* The table of backends, what they require and refuse, and which one it is where none is asked for. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/path.h"
#include "layerstore/quota.h"
#include "layerstore/vol.h"

#define NOT_YET "is not supported: nobody has one to test it with"

static const struct backend backend_lvm = { .name = "lvm",
					    .missing = "lvm " NOT_YET "; backend loop has limits everywhere" };
static const struct backend backend_nbd = { .name = "nbd", .missing = "nbd " NOT_YET };
static const struct backend backend_rbd = { .name = "rbd", .missing = "rbd " NOT_YET };

static const struct backend *const backends[] = {
	&backend_bind,   &backend_dir,   &backend_hugetmpfs, &backend_loop,  &backend_lvm,
	&backend_native, &backend_nbd,   &backend_overlay,   &backend_plain, &backend_quota,
	&backend_rbd,    &backend_rbind, &backend_squash,    &backend_tmpfs,
};

const struct backend *backend_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(backends); i++)
		if (strcmp(backends[i]->name, name) == 0)
			return backends[i];
	return NULL;
}

bool has_limit(const struct vol_spec *spec)
{
	return spec->limits.space_limit || spec->limits.inode_limit;
}

bool has_layers(const struct vol_spec *spec)
{
	return spec->layers && spec->layers->n > 0;
}

bool is_temporary(const struct vol *v)
{
	return v->be && v->be->storage != STORAGE_NONE && !v->spec->storage[0];
}

/* ---- required and refused ---- */

static const struct {
	enum vol_word word;
	const char *text;
} words[] = {
	{ WORD_PATH, "path" },
	{ WORD_STORAGE, "storage" },
	{ WORD_LAYERS, "layers" },
	{ WORD_SPACE_LIMIT, "space_limit" },
	{ WORD_LIMIT, "space_limit or inode_limit" },
	{ WORD_READ_ONLY, "read_only" },
};

static unsigned words_of(const struct vol_spec *s)
{
	return (s->path_auto ? 0 : WORD_PATH) | (s->storage[0] ? WORD_STORAGE : 0) | (has_layers(s) ? WORD_LAYERS : 0) |
	       (s->limits.space_limit ? WORD_SPACE_LIMIT : 0) | (has_limit(s) ? WORD_LIMIT : 0) |
	       (s->read_only ? WORD_READ_ONLY : 0);
}

static int check_words(const struct backend *be, const struct vol_spec *s, struct err *err)
{
	unsigned has = words_of(s);

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (be->needs & ~has & words[i].word)
			return err_set(err, ERR_InvalidProperty, "backend %s requires %s", be->name, words[i].text);
		if (be->refuses & has & words[i].word)
			return err_set(err, ERR_InvalidProperty, "backend %s takes no %s", be->name, words[i].text);
	}
	return 0;
}

static int check_limits(const struct vol_limits *l, struct err *err)
{
	if (l->space_limit && l->space_guarantee > l->space_limit)
		return err_set(err, ERR_InvalidValue, "space_guarantee: more than space_limit");
	if (l->inode_limit && l->inode_guarantee > l->inode_limit)
		return err_set(err, ERR_InvalidValue, "inode_guarantee: more than inode_limit");
	if (l->space_limit > INT64_MAX || l->space_guarantee > INT64_MAX)
		return err_set(err, ERR_InvalidValue, "space_limit: no file system is as large as that");
	return 0;
}

static int check_paths(const struct vol_spec *s, struct err *err)
{
	if (!path_is_normal(s->path))
		return err_set(err, ERR_InvalidPath, "path: '%s': expected an absolute path without . and ..", s->path);
	if (s->storage[0] && !path_is_normal(s->storage))
		return err_set(err, ERR_InvalidPath, "storage: '%s': expected an absolute path without . and ..",
			       s->storage);
	if (!has_layers(s))
		return 0;
	if (s->layers->n > VOL_LAYERS_MAX)
		return err_set(err, ERR_InvalidValue, "layers: %zu, at most %d", s->layers->n, VOL_LAYERS_MAX);
	for (size_t i = 0; i < s->layers->n; i++)
		if (!path_is_normal(s->layers->p[i]))
			return err_set(err, ERR_InvalidPath, "layer '%s': expected an absolute path without . and ..",
				       s->layers->p[i]);
	return 0;
}

static int check_fs_type(const struct vol_spec *s, struct err *err)
{
	const char *t = s->fs_type;

	if (!*t || strcmp(t, "ext4") == 0 || strcmp(t, "ext3") == 0)
		return 0;
	if (strcmp(t, "squashfs") != 0 && strcmp(t, "erofs") != 0)
		return err_set(err, ERR_InvalidValue, "fs_type: '%s': expected ext4, ext3, squashfs or erofs", t);
	return s->read_only ? 0 : err_set(err, ERR_InvalidValue, "fs_type: %s can only be mounted with read_only", t);
}

int vol_check_spec(const struct vol_spec *spec, struct err *err)
{
	const struct backend *be = spec->backend[0] ? backend_find(spec->backend) : NULL;
	int r;

	if (spec->backend[0] && !be)
		return err_set(err, ERR_NotSupported, "backend: unknown '%s'", spec->backend);
	if (be && be->missing)
		return err_set(err, ERR_NotSupported, "backend: %s", be->missing);
	r = check_paths(spec, err);
	if (r == 0)
		r = check_limits(&spec->limits, err);
	if (r == 0)
		r = check_fs_type(spec, err);
	if (r < 0 || !be)
		return r;
	if (be->copies_layers && has_layers(spec) && spec->read_only)
		return err_set(err, ERR_InvalidValue, "read_only: backend %s copies layers into the volume", be->name);
	return check_words(be, spec, err);
}

/* ---- detection ---- */

bool overlay_supported(void)
{
	autoclose int fd = fsopen("overlay", FSOPEN_CLOEXEC);

	return fd >= 0;
}

/* What exists of a storage: itself, or the directory that it would be made in; else the place. A descriptor with
 * O_PATH. */
static int ground_open(const char *storage, struct stat *st, struct err *err)
{
	char path[PATH_MAX];
	int fd = -ENOENT;

	snprintf(path, sizeof(path), "%s", storage);
	while (fd == -ENOENT && path[0]) {
		fd = path_open(path, O_PATH);
		*strrchr(path, '/') = 0;
	}
	if (fd == -ELOOP)
		return err_set_no(err, ERR_InvalidPath, ELOOP, "storage: '%s': the path has a symbolic link in it",
				  storage);
	if (fd < 0)
		return err_sys(err, -fd, "storage: %s", storage);
	if (fstat(fd, st) < 0) {
		close(fd);
		return err_sys(err, errno, "storage: %s", storage);
	}
	return fd;
}

/* Quota calls don't take the descriptor of a path. */
static bool ground_has_quota(int ground, const struct stat *st)
{
	autoclose int fd = S_ISDIR(st->st_mode) ? fd_reopen(ground, O_RDONLY | O_DIRECTORY) : -1;

	return fd >= 0 && quota_supported(fd) == 0;
}

int backend_detect(const struct vol_spec *spec, const struct backend **ret, struct err *err)
{
	autoclose int ground = -1;
	bool overlay = has_layers(spec) && overlay_supported(), quota;
	struct stat st;

	ground = ground_open(spec->storage[0] ? spec->storage : spec->place, &st, err);
	if (ground < 0)
		return ground;
	quota = ground_has_quota(ground, &st);
	if (S_ISREG(st.st_mode))
		*ret = &backend_loop;
	else if (overlay)
		*ret = &backend_overlay;
	else if (quota)
		*ret = &backend_native;
	else
		*ret = has_limit(spec) ? &backend_loop : &backend_plain;
	return 0;
}

/* Where the storage will be: its device, and whether it gets a quota. */
int backend_ground(struct vol *v, struct err *err)
{
	const struct vol_spec *s = v->spec;
	struct stat st;
	autoclose int ground = -1;
	bool wanted = v->be->quota && (has_limit(s) || (v->be == &backend_native && is_temporary(v)));

	ground = ground_open(v->be == &backend_quota ? s->path : s->storage[0] ? s->storage : s->place, &st, err);
	if (ground < 0)
		return ground;
	v->made->dev = st.st_dev;
	device_name(st.st_dev, v->made->device, sizeof(v->made->device));
	v->made->quota = wanted && ground_has_quota(ground, &st);
	return 0;
}
