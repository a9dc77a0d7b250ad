#include "base/node.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

static int open_in(int dir, const char *name, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)flags | O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
	};
	long fd = syscall(SYS_openat2, dir, name, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

/* The directory that path's last component is in; *name is that. */
static int parent_of(int dir, const char *path, bool make, const char **name)
{
	int at = open_in(dir, ".", O_DIRECTORY);

	for (const char *slash; at >= 0 && (slash = strchr(path, '/')); path = slash + 1) {
		char part[256];
		int next;

		if (slash == path || (size_t)(slash - path) >= sizeof(part)) {
			close(at);
			return -EINVAL;
		}
		memcpy(part, path, (size_t)(slash - path));
		part[slash - path] = '\0';
		if (make && mkdirat(at, part, 0755) < 0 && errno != EEXIST) {
			next = -errno;
		} else {
			next = open_in(at, part, O_DIRECTORY);
		}
		close(at);
		at = next;
	}
	*name = path;
	return at;
}

static bool is_node(const struct stat *st, const struct node *n)
{
	return (n->block ? S_ISBLK(st->st_mode) : S_ISCHR(st->st_mode)) && st->st_rdev == makedev(n->major, n->minor);
}

/* By a descriptor of the very node: its name may be a link by now. */
static int set_owner(int at, const char *name, const struct node *n)
{
	autoclose int fd = open_in(at, name, 0);
	char path[40];
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!is_node(&st, n))
		return -EEXIST;
	if ((st.st_uid != n->uid || st.st_gid != n->gid) && fchownat(fd, "", n->uid, n->gid, AT_EMPTY_PATH) < 0)
		return -errno;
	if ((st.st_mode & 07777) == n->mode)
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return chmod(path, n->mode) < 0 ? -errno : 0;
}

int node_make(int dir, const char *path, const struct node *n)
{
	mode_t type = n->block ? S_IFBLK : S_IFCHR;
	const char *name;
	autoclose int at = parent_of(dir, path, true, &name);
	struct stat st;

	if (at < 0)
		return at;
	if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) == 0 && !is_node(&st, n) && unlinkat(at, name, 0) < 0)
		return -errno;
	if (mknodat(at, name, type | n->mode, makedev(n->major, n->minor)) < 0 && errno != EEXIST)
		return -errno;
	return set_owner(at, name, n);
}

int node_remove(int dir, const char *path, const struct node *n)
{
	const char *name;
	autoclose int at = parent_of(dir, path, false, &name);
	struct stat st;

	if (at < 0)
		return at;
	if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
		return -errno;
	return !is_node(&st, n) ? -EEXIST : unlinkat(at, name, 0) < 0 ? -errno : 0;
}
