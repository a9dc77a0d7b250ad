#include "layerstore/mnt.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "base/mounts.h"
#include "layerstore/vol.h"

_Static_assert(MNT_HOST_ATTRS == (MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID), "no devices, no setuid");

#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000u
#endif

/* Numbers of mounts that are never used again begin here, and grow. */
#define UNIQUE_FIRST (UINT64_C(1) << 31)

#define SYS_STATMOUNT       457
#define STATMOUNT_MNT_BASIC 2u
#define STATMOUNT_ID_OLD    56 /* offset of mnt_id_old in struct statmount */

/* fs.mount-max of a kernel that doesn't tell. */
#define MOUNT_MAX_DEFAULT 100000

/* More than anybody stacks; what is still there then is reported as busy. */
#define STACK_MAX 256

/* What the kernel wrote about a context, a line a read: a letter for the severity, a blank, the sentence. The last
 * counts. */
static int context_fail(int context, int no, const char *type, struct err *err)
{
	char line[512], last[512] = "";
	ssize_t n;

	while ((n = read(context, line, sizeof(line) - 1)) > 2) {
		line[n] = 0;
		snprintf(last, sizeof(last), ": %s", line + 2);
	}
	return err_sys(err, no, "%s: mount%s", type, last);
}

int mnt_context(const char *type, struct err *err)
{
	int fd = fsopen(type, FSOPEN_CLOEXEC);

	if (fd >= 0)
		return fd;
	if (errno == ENODEV)
		return err_set(err, ERR_NotSupported, "%s: this kernel has no such file system", type);
	return err_sys(err, errno, "%s: fsopen", type);
}

int mnt_set(int context, const char *key, const char *value)
{
	int r = fsconfig(context, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, key, value, 0);

	return r < 0 ? -errno : 0;
}

int mnt_set_fd(int context, const char *key, int fd)
{
	return fsconfig(context, FSCONFIG_SET_FD, key, NULL, fd) < 0 ? -errno : 0;
}

static int set_all(int context, const char *type, const struct mnt_param *params, struct err *err)
{
	for (; params->key; params++) {
		int r = mnt_set(context, params->key, params->value);
		if (r < 0)
			return context_fail(context, -r, type, err);
	}
	return 0;
}

/* One kind of propagation a call. */
static int share(int mount, unsigned flags, uint64_t propagation)
{
	struct mount_attr attr = { .propagation = propagation };

	return mount_setattr(mount, "", flags, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

int mnt_create(int context, const char *type, bool read_only, struct err *err)
{
	autoclose int mount = -1;
	int r;

	if (fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return context_fail(context, errno, type, err);
	mount = fsmount(context, FSMOUNT_CLOEXEC, MNT_HOST_ATTRS | (read_only ? MOUNT_ATTR_RDONLY : 0));
	if (mount < 0)
		return context_fail(context, errno, type, err);
	r = share(mount, AT_EMPTY_PATH, MS_SHARED);
	if (r < 0)
		return err_sys(err, -r, "%s: sharing the mount", type);
	return TAKE_FD(mount);
}

int mnt_new(const char *type, const struct mnt_param *params, bool read_only, struct err *err)
{
	autoclose int context = mnt_context(type, err);
	int r;

	if (context < 0)
		return context;
	r = set_all(context, type, params, err);
	if (r < 0)
		return r;
	return mnt_create(context, type, read_only, err);
}

int mnt_reconfigure(int fd, const struct mnt_param *params, struct err *err)
{
	autoclose int context = fspick(fd, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH);
	int r;

	if (context < 0)
		return err_sys(err, errno, "fspick");
	r = set_all(context, "remount", params, err);
	if (r < 0)
		return r;
	if (fsconfig(context, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) < 0)
		return context_fail(context, errno, "remount", err);
	return 0;
}

static bool count_one(void *arg, const char *point)
{
	(void)point;
	++*(uint64_t *)arg;
	return false;
}

int mnt_check_room(struct err *err)
{
	autofree char *text = NULL;
	uint64_t n = 0, max = MOUNT_MAX_DEFAULT;
	FILE *f = fopen("/proc/sys/fs/mount-max", "re");
	size_t size = 0;

	if (f && getline(&text, &size, f) > 0)
		max = strtoull(text, NULL, 10);
	if (f)
		fclose(f);
	if (mounts_each(count_one, &n) < 0 || n <= max / 32) /* one more clone goes into all those that see it */
		return 0;
	return err_set(err, ERR_ResourceNotAvailable, "%llu mounts on this host are enough: only root copies trees of them now",
		       (unsigned long long)n);
}

int mnt_clone(int dirfd, const char *name, unsigned flags)
{
	unsigned at = AT_EMPTY_PATH | (flags & MNT_RECURSIVE ? AT_RECURSIVE : 0);
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_NODEV, .propagation = MS_SLAVE };
	autoclose int tree = open_tree(dirfd, name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW | at);
	int r;

	if (tree < 0)
		return -errno;
	if (flags & MNT_READ_ONLY)
		attr.attr_set |= MOUNT_ATTR_RDONLY;
	*(flags & MNT_ALLOW_SUID ? &attr.attr_clr : &attr.attr_set) |= MOUNT_ATTR_NOSUID;
	if (mount_setattr(tree, "", at, &attr, sizeof(attr)) < 0)
		return -errno;
	r = share(tree, at, MS_SHARED);
	return r < 0 ? r : TAKE_FD(tree);
}

int mnt_attach(int mount, int target)
{
	return move_mount(mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0 ? -errno : 0;
}

int mnt_where(int dirfd, const char *name, struct mnt_where *ret)
{
	unsigned flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name ? 0 : AT_EMPTY_PATH);
	struct statx sx;

	if (statx(dirfd, name, flags, STATX_TYPE | STATX_MODE | STATX_INO | STATX_MNT_ID | STATX_MNT_ID_UNIQUE, &sx) <
	    0)
		return -errno;
	*ret = (struct mnt_where){
		.id = sx.stx_mnt_id,
		.root = sx.stx_attributes & STATX_ATTR_MOUNT_ROOT,
		.mode = sx.stx_mode,
		.dev = makedev(sx.stx_dev_major, sx.stx_dev_minor),
		.ino = sx.stx_ino,
	};
	return 0;
}

int mnt_detach(int dirfd, const char *name, uint64_t under)
{
	char path[64 + NAME_MAX];
	struct mnt_where at;

	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dirfd, name);
	for (int i = 0; i < STACK_MAX; i++) {
		int r = mnt_where(dirfd, name, &at);
		if (r == -ENOENT || r == -ENOTDIR)
			return 0;
		/* A file system whose server is gone doesn't answer, but can go. */
		if (r < 0 && r != -ENOTCONN && r != -ESTALE && r != -EIO)
			return r;
		if (r == 0 && (!at.root || at.id == under))
			return 0;
		if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
			return -errno;
	}
	return -EBUSY;
}

bool mnt_is_unique(uint64_t id)
{
	return id >= UNIQUE_FIRST;
}

/* The number that mountinfo has for it: statmount(2), which glibc and the headers of old kernels don't know. */
static int number_of(uint64_t id, uint32_t *ret)
{
	struct {
		uint32_t size, spare;
		uint64_t id, param;
	} request = { .size = sizeof(request), .id = id, .param = STATMOUNT_MNT_BASIC };
	union {
		uint64_t align;
		char bytes[1024];
	} answer;

	if (syscall(SYS_STATMOUNT, &request, &answer, sizeof(answer), 0) < 0)
		return -errno;
	memcpy(ret, answer.bytes + STATMOUNT_ID_OLD, sizeof(*ret));
	return 0;
}

/* Where a mount stands: field 5 of its line in mountinfo. */
static int place_of(uint32_t number, char path[PATH_MAX])
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t size = 0;
	int r = -ENOENT;

	if (!f)
		return -errno;
	while (r == -ENOENT && getline(&line, &size, f) > 0) {
		char *end, *p = line;
		if (strtoul(line, &end, 10) != number || *end != ' ')
			continue;
		for (int i = 0; i < 4 && p; i++)
			p = strchr(p + 1, ' ');
		if (!p || !(end = strchr(p + 1, ' ')))
			continue;
		*end = 0;
		mounts_unescape(p + 1);
		r = (size_t)snprintf(path, PATH_MAX, "%s", p + 1) < PATH_MAX ? 0 : -ENAMETOOLONG;
	}
	free(line);
	fclose(f);
	return r;
}

int mnt_detach_lost(uint64_t id)
{
	char path[PATH_MAX], at[64 + NAME_MAX];
	struct mnt_where where;
	const char *name;
	uint32_t number = 0;

	/* Usually it is gone, and this one call says so. */
	if (!mnt_is_unique(id) || number_of(id, &number) < 0 || place_of(number, path) < 0)
		return 0;
	autoclose int parent = path_open_parent(path, &name);
	if (parent < 0)
		return parent;
	if (mnt_where(parent, name, &where) < 0 || where.id != id)
		return -EBUSY;
	snprintf(at, sizeof(at), "/proc/self/fd/%d/%s", parent, name);
	return umount2(at, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ? -errno : 1;
}

int mnt_detach_fd(int fd)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return umount2(path, MNT_DETACH) < 0 ? -errno : 0;
}

struct below {
	char path[PATH_MAX];
	size_t len;
	int failed;
};

/* What was mounted on a mount that goes has gone with it. */
static bool detach_one(void *arg, const char *point)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
	struct below *b = arg;

	if (strncmp(point, b->path, b->len) != 0 || (point[b->len] != '/' && point[b->len] != 0))
		return false;
	autoclose int fd = (int)syscall(SYS_openat2, AT_FDCWD, point, &how, sizeof(how));
	int r = fd < 0 ? -errno : mnt_detach_fd(fd);
	if (r < 0 && r != -ENOENT && r != -EINVAL && b->failed == 0)
		b->failed = r;
	return false;
}

int tree_unmount_below(int dirfd, const char *name)
{
	struct below b = {};
	char link[32];
	ssize_t n;
	int r;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", dirfd);
	n = readlink(link, b.path, sizeof(b.path));
	if (n < 0 || (size_t)n + strlen(name) + 2 > sizeof(b.path))
		return n < 0 ? -errno : -ENAMETOOLONG;
	b.len = (size_t)n + (size_t)snprintf(b.path + n, sizeof(b.path) - (size_t)n, "/%s", name);
	r = mounts_each(detach_one, &b);
	return r < 0 ? r : b.failed;
}
