/* What the names and paths of a volume that is to be built stand for, and whether they get in the way of others. */
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "base/mounts.h"
#include "base/path.h"
#include "engine/ident.h"
#include "engine/image.h"
#include "engine/place.h"
#include "engine/vol.h"

bool path_is_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	if (len == 1)
		return true;
	return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

bool path_is_system(const char *path)
{
	static const char *const trees[] = { "/bin", "/boot", "/dev", "/etc", "/proc", "/root", "/sbin", "/sys", "/usr", "/var" };

	if (strcmp(path, "/") == 0 || strcmp(path, "/home") == 0 || strncmp(path, "/lib", 4) == 0)
		return true;
	if (path_is_below(path, "/var/lib") && strcmp(path, "/var/lib") != 0)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(trees); i++)
		if (path_is_below(path, trees[i]))
			return true;
	return false;
}

bool vol_storage_is_path(const char *backend)
{
	static const char *const others[] = { "dir", "quota", "tmpfs", "hugetmpfs", "rbd", "nbd", "lvm" };

	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (strcmp(others[i], backend) == 0)
			return false;
	return true;
}

/* ---- in a thread ---- */

static int join(const char *root, const char *path, char **ret)
{
	free(*ret);
	if (asprintf(ret, "%s%s", strcmp(root, "/") == 0 ? "" : root, path) < 0) {
		*ret = NULL;
		return -ENOMEM;
	}
	return 0;
}

int vop_check_answers(struct vop *op, const char *what, const char *path)
{
	char type[MOUNT_TYPE_MAX];

	if (mounts_path_answers(path, type) != -EREMOTE)
		return 0;
	if (strcmp(type, "fuse.porto") == 0)
		return err_set(&op->err, ERR_InvalidPath, "%s %.200s: in the tree of this daemon", what, path);
	if (op->as.uid == 0)
		return 0;
	return err_set(&op->err, ERR_InvalidPath, "%s %.200s: it is on %s, which may not answer", what, path, type);
}

static bool is_fuse(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) < 0 || fs.f_type == FUSE_SUPER_MAGIC;
}

/*
 * Opens what a path given by the user means; *path is made the host's. No symbolic link is followed, and somebody who is not root
 * can't send us to a file system that may not answer. An O_PATH descriptor.
 */
static int open_given(struct vop *op, const char *what, const char *root, char **path)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
	autofree char *given = strdup(*path);
	long fd;
	int r;

	if (given == NULL)
		return err_sys(&op->err, ENOMEM, "%s", what);
	if (!path_is_normal(given))
		return err_set(&op->err, ERR_InvalidPath, "%s '%.200s': expected an absolute path without //, . and ..", what, given);
	if (join(root, given, path) < 0)
		return err_sys(&op->err, ENOMEM, "%s", what);
	r = op->as.uid != 0 ? vop_check_answers(op, what, *path) : 0;
	if (r < 0)
		return r;
	r = ident_take(op->as.uid, op->as.gid, &op->groups);
	if (r < 0)
		return err_sys(&op->err, -r, "%s", what);
	fd = syscall(SYS_openat2, AT_FDCWD, *path, &how, sizeof(how));
	r = fd < 0 ? -errno : 0;
	ident_drop(op->as.uid);
	if (r == -ELOOP)
		return err_set_no(&op->err, ERR_InvalidPath, ELOOP, "%s %.200s: a symbolic link is on the way", what, given);
	if (r == -ENOENT)
		return err_set_no(&op->err, ERR_InvalidPath, ENOENT, "%s %.200s: there is no such thing", what, given);
	if (r == -EACCES)
		return err_set(&op->err, ERR_Permission, "%s %.200s: user %u may not go there", what, given, (unsigned)op->as.uid);
	if (r < 0)
		return err_sys(&op->err, -r, "%s %.200s", what, given);
	/* mountinfo grows with the volumes: root's paths are asked first whether there is reason to look */
	if (op->as.uid == 0 && is_fuse((int)fd)) {
		r = vop_check_answers(op, what, *path);
		if (r < 0) {
			close((int)fd);
			return r;
		}
	}
	return (int)fd;
}

static int check_access(struct vop *op, const char *what, int fd, int how)
{
	int r = ident_take(op->as.uid, op->as.gid, &op->groups);

	if (r == 0) {
		r = ident_may(fd, how);
		ident_drop(op->as.uid);
	}
	if (r == 0)
		return 0;
	return err_set(&op->err, ERR_Permission, "%s: user %u may not %s it", what, (unsigned)op->as.uid,
		       how & W_OK ? "write to" : "read");
}

static int resolve_place(struct vop *op)
{
	autoclose int place = -1, dir = -1;
	int r;

	if (op->is_default_place && mkdir(op->plan.place, 0755) < 0 && errno != EEXIST)
		return err_sys(&op->err, errno, "place %s", op->plan.place);
	if (!op->is_default_place) {
		place = open_given(op, "place", "/", &op->plan.place);
		r = place < 0 ? place : check_access(op, "place", place, W_OK | X_OK);
		if (r < 0)
			return r;
	}
	dir = place_open(op->plan.place, PLACE_VOLUMES, op->porto_gid, &op->err);
	return dir < 0 ? dir : 0;
}

static int resolve_path(struct vop *op)
{
	autoclose int fd = -1;
	bool chrooted = strcmp(op->client_root, "/") != 0;
	struct stat st;

	if (op->plan.path[0] == '\0' && (strcmp(op->backend, "dir") == 0 || strcmp(op->backend, "quota") == 0))
		return err_set(&op->err, ERR_InvalidProperty, "backend %s: needs a path", op->backend);
	if (op->plan.path[0] == '\0') {
		free(op->plan.path);
		op->plan.path = NULL;
		op->plan.path_auto = true;
		/* /porto there may be the tree */
		if (asprintf(&op->plan.path, chrooted ? "%s/" PLACE_VOLUMES "/%u" : "%s/" PLACE_VOLUMES "/%u/volume",
			     chrooted ? op->client_root : op->plan.place, (unsigned)op->vol) < 0)
			return err_sys(&op->err, ENOMEM, "path");
		return 0;
	}
	if (strcmp(op->root, "/") == 0 && path_is_system(op->plan.path))
		return err_set(&op->err, ERR_InvalidPath, "path %.200s: a directory of the system", op->plan.path);
	fd = open_given(op, "path", op->root, &op->plan.path);
	if (fd < 0)
		return fd;
	if (op->as.uid != 0 && (fstat(fd, &st) < 0 || st.st_uid != op->as.uid))
		return err_set(&op->err, ERR_Permission, "path %.200s: it does not belong to user %u", op->plan.path, (unsigned)op->as.uid);
	return check_access(op, "path", fd, W_OK);
}

/* The directory that something of the place lies in by that name, through no link; *private is the file beside it that says whose it is. */
static int open_stored(struct vop *op, enum stored kind, const char *name, char **private)
{
	autotext struct text dir = {}, base = {};
	int r = stored_split(kind, name, &dir, &base, &op->err);

	if (r < 0)
		return r;
	if (asprintf(private, "_private_%s", text_str(&base)) < 0) {
		*private = NULL;
		return -ENOMEM;
	}
	return place_dir(op->plan.place, text_str(&dir));
}

/* The file that says whose a storage is; made for a new one. */
static int check_storage_owner(struct vop *op, const char *name)
{
	autofree char *base = NULL;
	autoclose int fd = -1, dir = open_stored(op, STORED_STORAGE, name, &base);
	struct stat st;

	if (dir == -ENOENT)
		return err_set(&op->err, ERR_VolumeNotFound, "storage %s: there is no such meta-storage", name);
	if (dir < 0)
		return op->err.kind != ERR_Success ? dir : err_sys(&op->err, -dir, "storage %s", name);
	if (fstatat(dir, base, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (op->as.uid != 0 && op->as.uid != st.st_uid)
			return err_set(&op->err, ERR_Permission, "storage %s belongs to user %u", name, (unsigned)st.st_uid);
		(void)utimensat(dir, base, NULL, AT_SYMLINK_NOFOLLOW);
		return 0;
	}
	fd = openat(dir, base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || fchown(fd, op->as.uid, op->as.gid) < 0)
		return err_sys(&op->err, errno, "storage %s", name);
	return 0;
}

/*
 * What a user can reach himself must not hold what root has unpacked or copied there (setuid files, devices), nor be written to
 * through his links, nor be a file system of his own making.
 */
static int check_user_storage(struct vop *op, const struct stat *st)
{
	bool is_bind = strcmp(op->backend, "bind") == 0 || strcmp(op->backend, "rbind") == 0;

	if (op->as.uid == 0)
		return 0;
	if (op->plan.layers.n > 0 || (op->image != NULL && op->image[0] != '\0'))
		return err_set(&op->err, ERR_Permission, "storage: with layers only root may give it by a path: give it a name");
	/* found by itself, the backend may be loop: whatever lies there as its image would be mounted */
	if (strcmp(op->backend, "loop") == 0 || (op->backend[0] == '\0' && op->spec.limits.space_limit + op->spec.limits.inode_limit > 0) ||
	    (!S_ISDIR(st->st_mode) && !is_bind))
		return err_set(&op->err, ERR_Permission, "storage: only root may give an image by its path");
	return 0;
}

static int resolve_storage(struct vop *op)
{
	autotext struct text path = {};
	autoclose int fd = -1, dir = -1;
	struct stat st;
	int r;

	if (op->plan.storage[0] == '\0' || !vol_storage_is_path(op->backend))
		return 0;
	if (op->plan.storage[0] == '/') {
		fd = open_given(op, "storage", op->client_root, &op->plan.storage);
		if (fd < 0)
			return fd;
		if (fstat(fd, &st) < 0)
			return err_sys(&op->err, errno, "storage");
		r = check_user_storage(op, &st);
		if (r < 0)
			return r;
		return check_access(op, "storage", fd, op->spec.read_only || !S_ISDIR(st.st_mode) ? R_OK : R_OK | W_OK);
	}
	text_addf(&path, "%s/", op->plan.place);
	r = stored_path(STORED_STORAGE, op->plan.storage, &path, &op->err);
	if (r < 0)
		return r;
	dir = place_open(op->plan.place, PLACE_STORAGES, op->porto_gid, &op->err);
	r = dir < 0 ? dir : check_storage_owner(op, op->plan.storage);
	if (r < 0)
		return r;
	free(op->plan.storage);
	op->plan.storage = text_take(&path);
	op->plan.storage_named = true;
	return op->plan.storage == NULL ? err_sys(&op->err, ENOMEM, "storage") : 0;
}

/* A layer of the place, by name; it has been used now. */
static int resolve_layer_name(struct vop *op, char **layer)
{
	autotext struct text path = {};
	autofree char *private = NULL;
	autoclose int dir = -1;
	struct stat st;
	int r;

	text_addf(&path, "%s/", op->plan.place);
	r = stored_path(STORED_LAYER, *layer, &path, &op->err);
	if (r < 0)
		return r;
	dir = open_stored(op, STORED_LAYER, *layer, &private);
	if (dir < 0 || fstatat(dir, strrchr(text_str(&path), '/') + 1, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
		return err_set(&op->err, ERR_LayerNotFound, "layer %s: not in place %s", *layer, op->plan.place);
	(void)utimensat(dir, private, NULL, AT_SYMLINK_NOFOLLOW);
	free(*layer);
	*layer = text_take(&path);
	return *layer == NULL ? err_sys(&op->err, ENOMEM, "layers") : 0;
}

/* Those of an image are for everybody. */
static int resolve_image(struct vop *op)
{
	const struct image_defaults def = image_defaults(op->e->conf);

	return image_layers(op->plan.place, op->image, &def, &op->plan.layers, &op->err);
}

static int resolve_layers(struct vop *op)
{
	if (op->image != NULL && op->image[0] != '\0')
		return resolve_image(op);
	for (size_t i = 0; i < op->plan.layers.n; i++) {
		char **layer = &op->plan.layers.p[i];
		autoclose int fd = -1;
		struct stat st;
		int r;

		if ((*layer)[0] != '/') {
			r = resolve_layer_name(op, layer);
			if (r < 0)
				return r;
			continue;
		}
		fd = open_given(op, "layer", op->client_root, layer);
		if (fd == -ENOENT)
			return err_set(&op->err, ERR_LayerNotFound, "layer %.200s: there is no such directory", *layer);
		if (fd < 0)
			return fd;
		if (fstat(fd, &st) < 0)
			return err_sys(&op->err, errno, "layer %.200s", *layer);
		if (op->as.uid != 0 && !S_ISDIR(st.st_mode))
			return err_set(&op->err, ERR_Permission, "layer %.200s: only root may give an image by its path: import it", *layer);
		r = check_access(op, "layer", fd, S_ISDIR(st.st_mode) ? R_OK | X_OK : R_OK);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Under these root alone writes, and nobody else gets to what is there by a path of it. */
static bool is_stored(const char *place, const char *layer)
{
	static const char *const subs[] = { PLACE_LAYERS, PLACE_STORAGES, PLACE_DOCKER };
	size_t len = strlen(place);

	if (!path_is_below(layer, place) || layer[len] != '/')
		return false;
	for (size_t i = 0; i < ARRAY_LEN(subs); i++)
		if (path_is_below(layer + len + 1, subs[i]))
			return true;
	return false;
}

static bool has_given_layers(const struct vol_plan *plan)
{
	for (size_t i = 0; i < plan->layers.n; i++)
		if (!is_stored(plan->place, plan->layers.p[i]))
			return true;
	return false;
}

int vol_plan_check_layers(struct vop *op)
{
	bool is_overlay = strcmp(op->made.backend, "overlay") == 0 || strcmp(op->made.backend, "squash") == 0;

	if (op->as.uid == 0 || (is_overlay && op->plan.storage[0] == '\0') || !has_given_layers(&op->plan))
		return 0;
	return err_set(&op->err, ERR_Permission, "layers: only root has one that is given by its path %s",
		       is_overlay ? "below a storage that stays" : "copied");
}

int vol_check_export(const struct vol *v, uid_t uid, struct err *err)
{
	const char *backend = v->made.backend;

	if (uid == 0 || (strcmp(backend, "dir") != 0 && strcmp(backend, "quota") != 0 && !has_given_layers(&v->plan) &&
			 (v->plan.storage[0] != '/' || v->plan.storage_named)))
		return 0;
	return err_set(err, ERR_Permission, "volume %u: it holds what was given by a path, files of others maybe: only root exports it",
		       (unsigned)v->id);
}

int vol_plan_resolve(struct vop *op)
{
	int r = resolve_place(op);

	if (r == 0)
		r = resolve_path(op);
	if (r == 0)
		r = resolve_storage(op);
	if (r == 0)
		r = resolve_layers(op);
	op->spec.path = op->plan.path;
	op->spec.place = op->plan.place;
	op->spec.storage = op->plan.storage;
	op->spec.path_auto = op->plan.path_auto;
	op->spec.storage_named = op->plan.storage_named;
	return r;
}

/* ---- in the loop ---- */

bool vol_is_inside(const struct vol *u, const struct vol *v)
{
	const char *path = v->plan.path;

	if (u == v || path == NULL || u->plan.path == NULL)
		return false;
	if (path_is_below(u->plan.path, path) || (u->plan.storage[0] == '/' && path_is_below(u->plan.storage, path)) ||
	    path_is_below(u->plan.place, path))
		return true;
	for (size_t i = 0; i < u->plan.layers.n; i++)
		if (path_is_below(u->plan.layers.p[i], path))
			return true;
	return false;
}

static bool is_bind(const char *backend)
{
	return strcmp(backend, "bind") == 0 || strcmp(backend, "rbind") == 0;
}

static bool may_share(const struct vol *o, const struct vop *op)
{
	return (o->val[VOL_read_only].b && op->spec.read_only) || (is_bind(o->made.backend) && is_bind(op->made.backend));
}

/* The path contains something that another volume stands on. */
static bool covers(const struct vol *o, const struct vop *op)
{
	const char *path = op->plan.path;

	if (is_bind(op->made.backend))
		return false;
	if (path_is_below(o->plan.path, path) || path_is_below(o->plan.place, path))
		return true;
	if (o->plan.storage[0] == '/' && path_is_below(o->plan.storage, path) && strcmp(o->plan.storage, o->plan.path) != 0)
		return true;
	for (size_t i = 0; i < o->plan.layers.n; i++)
		if (path_is_below(o->plan.layers.p[i], path))
			return true;
	return false;
}

static int check_path(const struct vol *o, const struct vop *op, struct err *err)
{
	const char *path = op->plan.path;

	if (strcmp(o->plan.path, path) == 0)
		return err_set(err, ERR_VolumeAlreadyExists, "path %s: volume %u is there", path, (unsigned)o->id);
	for (const struct vlink *l = o->links; l != NULL; l = l->next)
		if (l->host != NULL && strcmp(l->host, path) == 0)
			return err_set(err, ERR_Busy, "path %s: volume %u is linked there", path, (unsigned)o->id);
	if (path_is_below(path, o->plan.path) && o->state != VS_READY && o->state != VS_TUNING)
		return err_set(err, ERR_VolumeNotReady, "path %s: in volume %u, which is %s", path, (unsigned)o->id,
			       vol_state_names[o->state]);
	if (op->plan.path_auto)
		return 0;
	if (covers(o, op))
		return err_set(err, ERR_InvalidPath, "path %s: it contains what volume %u is made of", path, (unsigned)o->id);
	if (o->plan.storage[0] == '/' && strcmp(o->plan.storage, o->plan.path) != 0 && path_is_below(path, o->plan.storage) &&
	    !path_is_below(path, o->plan.path))
		return err_set(err, ERR_InvalidPath, "path %s: in the storage of volume %u", path, (unsigned)o->id);
	return 0;
}

static int check_storage(const struct vol *o, const struct vop *op, struct err *err)
{
	if (op->plan.storage[0] == '\0' || o->made.storage[0] == '\0' || strcmp(o->made.storage, op->made.storage) != 0 ||
	    may_share(o, op))
		return 0;
	return err_set(err, ERR_Busy, "storage %s: volume %u uses it", op->plan.storage, (unsigned)o->id);
}

int vol_plan_check(struct vol *v, const struct vop *op, struct err *err)
{
	const char *place = v->e->conf->volumes_default_place;
	int r = 0;

	if (!op->plan.path_auto && path_is_below(place, op->plan.path) && !is_bind(op->made.backend))
		return err_set(err, ERR_InvalidPath, "path %s: it contains the place %s", op->plan.path, place);
	for (const struct vol *o = v->e->vols; r == 0 && o != NULL; o = o->next) {
		if (o == v || o->plan.path == NULL)
			continue;
		r = check_path(o, op, err);
		if (r == 0)
			r = check_storage(o, op, err);
	}
	return r;
}
