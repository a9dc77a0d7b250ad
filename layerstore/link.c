/* Links: bind mounts of volumes at targets, below a root that nothing leads out of. */
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/path.h"
#include "layerstore/vol.h"

#define GROUPS_MAX 256

/* ---- as the client ---- */

/* File system rights of this thread alone; glibc's setgroups would change all. The daemon itself is in no group. */
static int rights_take(const struct vol_link *l)
{
	gid_t groups[GROUPS_MAX];
	size_t n = 0;

	if (l->uid == 0)
		return 0;
	for (; l->groups && n < l->groups->n && n < GROUPS_MAX; n++)
		groups[n] = (gid_t)strtoul(l->groups->p[n], NULL, 10);
	if (syscall(SYS_setgroups, n, groups) < 0)
		return -errno;
	setfsgid(l->gid);
	setfsuid(l->uid);
	return 0;
}

static void rights_back(const struct vol_link *l)
{
	if (l->uid == 0)
		return;
	setfsuid(0);
	setfsgid(0);
	syscall(SYS_setgroups, 0, NULL);
}

/* With the client's rights, and so the client's. */
static int make_as_client(const struct vol_link *l, int dirfd, const char *name, bool is_dir)
{
	int r, fd;

	if (is_dir) {
		r = mkdirat(dirfd, name, 0755) < 0 ? -errno : 0;
	} else {
		fd = openat(dirfd, name, O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
		r = fd < 0 ? -errno : close(fd);
	}
	if (r == 0 && l->uid == 0 && l->gid != 0 && fchownat(dirfd, name, 0, l->gid, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	return r == -EEXIST ? 0 : r;
}

/* ---- the way to the target ---- */

static int step(int dirfd, const char *name, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)flags | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, dirfd, name, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

/* Opens a component, which is made if it is missing; a symbolic link in the way of a directory goes. */
static int step_make(const struct vol_link *l, int dirfd, const char *name, bool is_dir)
{
	int flags = O_PATH | (is_dir ? O_DIRECTORY : 0);
	int fd = step(dirfd, name, flags), r = 0;

	if (fd == -ELOOP && unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
		r = -errno;
	if (r < 0 || (fd != -ELOOP && fd != -ENOENT))
		return r < 0 ? r : fd;
	r = make_as_client(l, dirfd, name, is_dir);
	return r < 0 ? r : step(dirfd, name, flags);
}

struct way {
	int parent, target;
	char name[NAME_MAX + 1]; /* the last component */
};

static void way_close(struct way *w)
{
	cleanup_close(&w->parent);
	cleanup_close(&w->target);
	w->parent = w->target = -1;
}

/* make: what the target has to be, S_IFDIR or other; 0: nothing is made. */
static int way_open(const struct vol_link *l, mode_t make, struct way *w)
{
	const char *p = l->target;

	w->target = fcntl(l->root, F_DUPFD_CLOEXEC, 0);
	if (w->target < 0)
		return -errno;
	while (*(p += strspn(p, "/"))) {
		size_t len = strcspn(p, "/");
		bool is_last = !p[len + strspn(p + len, "/")];
		int fd;
		if (len > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(w->name, p, len);
		w->name[len] = 0;
		cleanup_close(&w->parent);
		w->parent = TAKE_FD(w->target);
		fd = make ? step_make(l, w->parent, w->name, !is_last || S_ISDIR(make))
			  : step(w->parent, w->name, O_PATH);
		if (fd < 0)
			return fd;
		w->target = fd;
		p += len;
	}
	return w->parent < 0 ? -EINVAL : 0;
}

/* Made or found with the client's rights; what was there must be the client's own, or it could cover anything. */
static int way_make(const struct vol_link *l, mode_t type, struct way *w)
{
	int r = rights_take(l);
	struct stat st;

	if (r < 0)
		return r;
	r = way_open(l, type, w);
	if (r == 0 && l->uid != 0 && faccessat(w->target, "", W_OK, AT_EACCESS | AT_EMPTY_PATH) < 0)
		r = -errno;
	if (r == 0 && l->uid != 0 && (fstat(w->target, &st) < 0 || st.st_uid != l->uid))
		r = -EACCES;
	rights_back(l);
	return r;
}

static int way_fail(int r, const struct vol_link *l, struct err *err)
{
	if (r == -EACCES || r == -EPERM)
		return err_set(err, ERR_Permission, "target '%s': user %u may not write there", l->target,
			       (unsigned)l->uid);
	if (r == -ENOTDIR || r == -ELOOP || r == -EINVAL || r == -ENAMETOOLONG)
		return err_set_no(err, ERR_InvalidPath, -r, "target '%s': %s", l->target, strerror(-r));
	return err_sys(err, -r, "target %s", l->target);
}

/* ---- link and unlink ---- */

static int check_target(const struct vol_link *l, struct err *err)
{
	if (path_is_normal(l->target) && strcmp(l->target, "/") != 0)
		return 0;
	return err_set(err, ERR_InvalidPath, "target '%s': expected an absolute path without . and ..", l->target);
}

int vol_link(struct vol_link *l, struct err *err)
{
	__attribute__((cleanup(way_close))) struct way w = { -1, -1, "" };
	/* a tree may hold what root would not run: from an archive or image of a user's own */
	unsigned flags = (l->uid == 0 ? MNT_ALLOW_SUID : 0) | (l->read_only ? MNT_READ_ONLY : 0) | (l->recursive ? MNT_RECURSIVE : 0);
	autoclose int source = path_open(l->source, O_PATH), mount = -1;
	struct mnt_where ours, there;
	int r = check_target(l, err);

	if (r < 0)
		return r;
	if (source < 0)
		return err_sys(err, -source, "volume %s", l->source);
	r = mnt_where(source, "", &ours);
	if (r == 0 && l->source_mount && ours.id != l->source_mount)
		return err_set(err, ERR_VolumeNotReady, "volume %s: something else is there", l->source);
	if (r == 0)
		r = way_make(l, ours.mode & S_IFMT, &w);
	if (r < 0)
		return way_fail(r, l, err);
	if (l->uid != 0 && l->recursive && (r = mnt_check_room(err)) < 0)
		return r;
	mount = mnt_clone(source, "", flags);
	if (mount < 0)
		return err_sys(err, -mount, "volume %s", l->source);
	r = mnt_where(mount, "", &ours);
	if (r == 0)
		r = mnt_attach(mount, w.target);
	if (r < 0)
		return way_fail(r, l, err);
	/* The directory may have been moved out of the root since it was opened. */
	way_close(&w);
	r = way_open(l, 0, &w);
	if (r < 0 || mnt_where(w.target, "", &there) < 0 || there.id != ours.id) {
		(void)mnt_detach_fd(mount);
		return err_set(err, ERR_InvalidPath, "target '%s' was moved while the volume was linked", l->target);
	}
	l->mount = ours.id;
	return 0;
}

/* A normal umount: fails while somebody uses it. No descriptor of it may be open here. */
static int unmount_strictly(const struct vol_link *l, int parent, const char *name, struct err *err)
{
	char path[64 + NAME_MAX];

	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", parent, name);
	if (umount2(path, UMOUNT_NOFOLLOW) == 0)
		return 0;
	if (errno == EBUSY)
		return err_set(err, ERR_Busy, "target '%s' is in use", l->target);
	return err_sys(err, errno, "target %s", l->target);
}

/* Is the mount ours, or may it lie on ours? */
static bool is_on_ours(const struct vol_link *l, const struct mnt_where *at)
{
	if (!at->root)
		return false;
	return !l->mount || at->id == l->mount || (mnt_is_unique(l->mount) && at->id > l->mount);
}

static int detach_down_to(const struct vol_link *l, int parent, const char *name, struct err *err)
{
	struct mnt_where at;
	bool is_ours = false;
	int r = 0;

	while (r == 0 && !is_ours && mnt_where(parent, name, &at) == 0 && is_on_ours(l, &at)) {
		char path[64 + NAME_MAX];
		is_ours = at.id == l->mount || !l->mount;
		snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", parent, name);
		r = umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ? -errno : 0;
	}
	return r < 0 ? err_sys(err, -r, "target %s", l->target) : 0;
}

int vol_unlink(const struct vol_link *l, bool strict, struct err *err)
{
	__attribute__((cleanup(way_close))) struct way w = { -1, -1, "" };
	struct mnt_where at;
	int r = check_target(l, err);

	if (r < 0)
		return r;
	r = way_open(l, 0, &w);
	if (r == 0)
		r = mnt_where(w.target, "", &at);
	cleanup_close(&w.target);
	w.target = -1;
	if (r < 0 && r != -ENOENT && r != -ENOTDIR && r != -ELOOP)
		return way_fail(r, l, err);
	if (r < 0 || !is_on_ours(l, &at)) {
		/* It may be where the target has been moved to. */
		r = strict ? 0 : mnt_detach_lost(l->mount);
		if (r > 0)
			return 0;
		return err_set(err, ERR_VolumeNotLinked, "target '%s': the volume is not mounted there", l->target);
	}
	if (!strict)
		return detach_down_to(l, w.parent, w.name, err);
	if (l->mount && at.id != l->mount)
		return err_set(err, ERR_Busy, "target '%s': something is mounted over it", l->target);
	return unmount_strictly(l, w.parent, w.name, err);
}
