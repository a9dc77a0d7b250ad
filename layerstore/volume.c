/* A volume from what is wanted to what is mounted, and back. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/fd.h"
#include "layerstore/quota.h"
#include "layerstore/vol.h"

/* ---- prepare ---- */

/* The directory, or for a bind of a file the file, that the volume will be mounted on. */
static int check_path(const struct vol *v, struct mnt_where *at, struct err *err)
{
	autoclose int fd = path_open(v->spec->path, O_PATH);
	int r;

	if (fd == -ELOOP)
		return err_set_no(err, ERR_InvalidPath, ELOOP, "path: '%s' has a symbolic link in it", v->spec->path);
	if (fd < 0)
		return err_set_no(err, ERR_InvalidPath, -fd, "path: '%s': %s", v->spec->path, strerror(-fd));
	r = mnt_where(fd, "", at);
	if (r < 0)
		return err_sys(err, -r, "path: %s", v->spec->path);
	if (v->be->storage != STORAGE_ANY && !S_ISDIR(at->mode))
		return err_set_no(err, ERR_InvalidPath, ENOTDIR, "path: '%s' is not a directory", v->spec->path);
	return 0;
}

static int name_storage(struct vol *v, struct err *err)
{
	const struct vol_spec *s = v->spec;
	char *to = v->made->storage;
	int n = 0;

	if (v->be == &backend_quota)
		n = snprintf(to, PATH_MAX, "%s", s->path);
	else if (is_temporary(v))
		n = snprintf(to, PATH_MAX, "%s/porto_volumes/%llu/%s", s->place, (unsigned long long)s->id,
			     v->be->name);
	else if (v->be->storage != STORAGE_NONE)
		n = snprintf(to, PATH_MAX, "%s", s->storage);
	return n < PATH_MAX ? 0 : err_set_no(err, ERR_InvalidPath, ENAMETOOLONG, "storage: too long a path");
}

/* An old storage is looked into, but a new one isn't made yet. */
static int look_at_storage(struct vol *v, struct err *err)
{
	int r = name_storage(v, err);

	if (r < 0)
		return r;
	if (v->be->storage != STORAGE_NONE || v->be == &backend_quota) {
		r = backend_ground(v, err);
		if (r < 0)
			return r;
	}
	r = v->made->storage[0] ? storage_find(v) : 0;
	if (r == -ENOENT && (is_temporary(v) || v->spec->storage_named))
		r = 0;
	return r < 0 ? storage_open(v, err) : 0;
}

int vol_prepare(const struct vol_spec *spec, struct vol_made *made, struct err *err)
{
	struct mnt_where at = {};
	const struct backend *be = NULL;
	struct vol_spec found = *spec;
	int r = vol_check_spec(spec, err);

	*made = (struct vol_made){};
	if (r == 0 && !spec->backend[0])
		r = backend_detect(spec, &be, err);
	if (r < 0)
		return r;
	if (be)
		found.backend = be->name;
	r = be ? vol_check_spec(&found, err) : 0;
	if (r < 0)
		return r;
	snprintf(made->backend, sizeof(made->backend), "%s", found.backend);
	autovol struct vol v = vol_begin(&found, made);
	if (!spec->path_auto)
		r = check_path(&v, &at, err);
	if (r == 0)
		r = look_at_storage(&v, err);
	if (r == 0 && v.be->prepare)
		r = v.be->prepare(&v, err);
	made->under = spec->path_auto ? 0 : at.id;
	return r;
}

/* ---- guarantees ---- */

/* Nearest directory that exists: a storage may not be there yet. */
static int ground_statvfs(const char *storage, struct statvfs *ret)
{
	char path[PATH_MAX];
	int fd = -ENOENT, r;

	snprintf(path, sizeof(path), "%s", storage);
	while (fd == -ENOENT && path[0]) {
		fd = path_open(path, O_PATH);
		*strrchr(path, '/') = 0;
	}
	if (fd < 0)
		return fd;
	r = fstatvfs(fd, ret) < 0 ? -errno : 0;
	close(fd);
	return r;
}

/* What the volume has already of what it is promised. */
static struct quota used_already(const struct vol_made *made)
{
	struct quota q = {};
	autoclose int fd = path_open(made->image[0] ? made->image : made->storage, O_RDONLY | O_NONBLOCK);
	struct stat st;

	if (fd >= 0 && made->image[0] && fstat(fd, &st) == 0)
		q.space_used = (uint64_t)st.st_blocks * 512;
	else if (fd >= 0 && made->project)
		(void)quota_get(fd, made->project, &q);
	return q;
}

int vol_check_guarantee(const struct vol_made *made, const struct vol_limits *limits, const struct vol_limits *others,
			struct err *err)
{
	struct statvfs fs;
	struct quota used;
	uint64_t space, inodes;
	int r;

	if (!made->storage[0] || strcmp(made->backend, "plain") == 0 ||
	    (!limits->space_guarantee && !limits->inode_guarantee))
		return 0;
	r = ground_statvfs(made->storage, &fs);
	if (r < 0)
		return err_sys(err, -r, "%s", made->storage);
	used = used_already(made);
	space = fs.f_bavail * fs.f_frsize + used.space_used;
	inodes = fs.f_favail + used.inode_used;
	if (limits->space_guarantee > space || others->space_guarantee > space - limits->space_guarantee)
		return err_set(err, ERR_NoSpace,
			       "space_guarantee: %llu bytes are free, %llu of them promised to others",
			       (unsigned long long)space, (unsigned long long)others->space_guarantee);
	/* btrfs counts no inodes; those in an image are its own. */
	if (!fs.f_files || made->image[0])
		return 0;
	if (limits->inode_guarantee > inodes || others->inode_guarantee > inodes - limits->inode_guarantee)
		return err_set(err, ERR_NoSpace,
			       "inode_guarantee: %llu inodes are free, %llu of them promised to others",
			       (unsigned long long)inodes, (unsigned long long)others->inode_guarantee);
	return 0;
}

/* ---- build ---- */

/* Is the path the one in the volume's home? */
static bool is_in_home(const struct vol *v)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/porto_volumes/%llu/volume", v->spec->place, (unsigned long long)v->spec->id);
	return v->spec->path_auto && strcmp(v->spec->path, path) == 0;
}

/* The directory that holds the volume's path. */
static int open_parent(struct vol *v, const char **name)
{
	int fd, r;

	if (!is_in_home(v))
		return path_open_parent(v->spec->path, name);
	r = home_open(v);
	if (r < 0)
		return r;
	*name = "volume";
	fd = fcntl(v->home, F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

/* PARENT of an automatic path elsewhere: one directory is made for all of them. */
static int make_parent(struct vol *v, struct err *err)
{
	const char *name, *slash = strrchr(v->spec->path, '/');
	char path[PATH_MAX];
	int r;

	snprintf(path, sizeof(path), "%.*s", (int)(slash - v->spec->path), v->spec->path);
	autoclose int grand = path_open_parent(path, &name);
	if (grand < 0)
		return err_sys(err, -grand, "path: %s", v->spec->path);
	r = dir_make(grand, name, 0755, NULL);
	if (r < 0)
		return err_sys(err, -r, "path: %s", path);
	close(r);
	return 0;
}

/* As a directory, or as a file where one is to be mounted. */
static int make_path(int parent, const char *name, int mount)
{
	struct stat st;
	int fd;

	if (fstat(mount, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return dir_make(parent, name, 0755, NULL);
	fd = openat(parent, name, O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

static int fail_moved(const struct vol *v, struct err *err)
{
	return err_set(err, ERR_InvalidPath, "path: '%s' was moved while the volume was built", v->spec->path);
}

/* Still in the mount that it was in when it was looked at: destroying goes down to that. */
static int open_given(const struct vol *v, struct err *err)
{
	autoclose int fd = path_open(v->spec->path, O_PATH);
	struct mnt_where at;

	if (fd < 0)
		return err_set_no(err, ERR_InvalidPath, -fd, "path: '%s': %s", v->spec->path, strerror(-fd));
	return mnt_where(fd, "", &at) < 0 || at.id != v->made->under ? fail_moved(v, err) : TAKE_FD(fd);
}

static int open_target(struct vol *v, int mount, struct err *err)
{
	const char *name;
	int fd, r;

	if (!v->spec->path_auto)
		return open_given(v, err);
	autoclose int parent = open_parent(v, &name);
	if (parent == -ENOENT) {
		r = is_in_home(v) ? home_make(v, err) : make_parent(v, err);
		if (r < 0)
			return r;
		parent = open_parent(v, &name);
	}
	if (parent < 0)
		return err_sys(err, -parent, "path: %s", v->spec->path);
	fd = make_path(parent, name, mount);
	return fd < 0 ? err_sys(err, -fd, "path: %s", v->spec->path) : fd;
}

/* What was opened may have been moved away meanwhile, and something else be where the path leads. */
static int attach(struct vol *v, int mount, struct err *err)
{
	autoclose int target = open_target(v, mount, err);
	struct mnt_where ours, there;
	int r;

	if (target < 0)
		return target;
	r = mnt_where(mount, "", &ours);
	if (r == 0)
		r = mnt_attach(mount, target);
	if (r == -ENOTDIR)
		return err_set_no(err, ERR_InvalidPath, ENOTDIR,
				  "path: '%s': a directory goes on a directory, a file on a file", v->spec->path);
	if (r < 0)
		return err_sys(err, -r, "mounting on %s", v->spec->path);
	if (mnt_where(AT_FDCWD, v->spec->path, &there) < 0 || there.id != ours.id) {
		(void)mnt_detach_fd(mount);
		return fail_moved(v, err);
	}
	v->made->mount = ours.id;
	return 0;
}

static int build(struct vol *v, struct err *err)
{
	const struct vol_limits *l = &v->spec->limits;
	struct quota limits = { .space_limit = l->space_limit, .inode_limit = l->inode_limit };
	int r = v->made->storage[0] ? storage_open(v, err) : 0;

	if (r == 0 && v->made->quota)
		r = storage_check_his(v, v->storage, err);
	if (r == 0 && v->made->quota)
		r = quota_begin(v->storage, &limits, &v->made->project, err);
	if (r < 0)
		return r;
	autoclose int mount = v->be->mount(v, err);
	if (mount == VOL_NO_MOUNT) {
		mount = -1;
		return 0;
	}
	return mount < 0 ? mount : attach(v, mount, err);
}

/* What wasn't there before goes from a storage that stays. Nothing of it is mounted any more. */
static void undo_storage(const struct vol *v)
{
	const char *name;

	if (v->storage < 0 || is_temporary(v))
		return;
	if (v->new_image)
		unlinkat(v->storage, IMAGE_NAME, 0);
	if (v->new_work && unlinkat(v->storage, "work", AT_REMOVEDIR) < 0 &&
	    unlinkat(v->storage, "work/work", AT_REMOVEDIR) == 0)
		unlinkat(v->storage, "work", AT_REMOVEDIR);
	if (v->new_upper)
		unlinkat(v->storage, "upper", AT_REMOVEDIR);
	if (!v->new_storage)
		return;
	autoclose int parent = path_open_parent(v->made->storage, &name);
	if (parent >= 0)
		(void)tree_remove(parent, name);
}

int vol_build(const struct vol_spec *spec, struct vol_made *made, struct err *err)
{
	autovol struct vol v = vol_begin(spec, made);
	struct err ignored;
	int r;

	if (!v.be || v.be->missing)
		return err_set(err, ERR_NotSupported, "backend: unknown '%s'", made->backend);
	r = build(&v, err);
	if (r < 0) {
		(void)vol_destroy(spec, made, &ignored);
		undo_storage(&v);
	}
	return r;
}

/* ---- destroy ---- */

static void keep_first(int *first, int r, struct err *err, const char *what)
{
	if (r < 0 && *first == 0)
		*first = err_sys(err, -r, "%s", what);
}

static int unmount_path(struct vol *v)
{
	const char *name;
	autoclose int parent = open_parent(v, &name);
	int r = 0;

	if (parent >= 0)
		r = mnt_detach(parent, name, v->made->under);
	else if (parent != -ENOENT && parent != -ENOTDIR && parent != -ELOOP)
		r = parent;
	/* Somebody may have moved what the path led through. */
	if (r == 0)
		r = mnt_detach_lost(v->made->mount);
	return MIN(r, 0);
}

static int unmount_home(struct vol *v)
{
	int r = home_open(v), r2;

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	r = mnt_detach(v->home, "lower", 0);
	r2 = mnt_detach(v->home, "upper", 0);
	return r < 0 ? r : r2;
}

static int end_quota(struct vol *v)
{
	int r;

	if (!v->made->quota)
		return 0;
	r = storage_find(v);
	if (r == 0)
		return quota_end(v->storage, v->be == &backend_quota);
	if (r != -ENOENT && r != -ENOTDIR)
		return r;
	/* The directory is gone; what holds it is on the same file system, or on none that matters. */
	if (!v->made->project || home_open(v) < 0)
		return 0;
	r = quota_forget(v->home, v->made->project);
	return r == -ESRCH || r == -ENOSYS || r == -EOPNOTSUPP ? 0 : r;
}

static int remove_path(struct vol *v)
{
	const char *name;

	if (!v->spec->path_auto)
		return 0;
	autoclose int parent = open_parent(v, &name);
	if (parent == -ENOENT || parent == -ENOTDIR || parent == -ELOOP)
		return 0;
	if (parent < 0)
		return parent;
	if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	return errno == ENOTDIR && unlinkat(parent, name, 0) == 0 ? 0 : -errno;
}

int vol_destroy(const struct vol_spec *spec, struct vol_made *made, struct err *err)
{
	autovol struct vol v = vol_begin(spec, made);
	int r = 0;

	if (!v.be) /* nothing was prepared */
		return 0;
	if (v.be != &backend_dir && v.be != &backend_quota)
		keep_first(&r, unmount_path(&v), err, "unmounting the volume");
	keep_first(&r, unmount_home(&v), err, "unmounting what the volume is made of");
	keep_first(&r, end_quota(&v), err, "ending the quota");
	keep_first(&r, remove_path(&v), err, "removing the volume's path");
	if (r == 0 && v.home >= 0)
		r = home_remove(&v, err);
	if (r == 0)
		made->mount = 0;
	return r;
}
