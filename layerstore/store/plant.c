#include "layerstore/store/plant.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/fd.h"
#include "layerstore/store/whiteout.h"

struct plant {
	int top;
	struct plant_ops ops;
	char *parent;          /* path of the directory the work is in; NULL: in none */
	int dir;               /* it, open for reading */
	struct timespec mtime; /* what it had before we changed anything in it */
	bool setgid, has_acl;  /* children inherit what they shouldn't */
};

int plant_new(int top, const struct plant_ops *ops, struct plant **ret)
{
	struct plant *p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	*p = (struct plant){ .top = top, .ops = *ops, .dir = -1 };
	*ret = p;
	return 0;
}

void plant_free(struct plant *p)
{
	if (!p)
		return;
	if (p->dir >= 0)
		close(p->dir);
	free(p->parent);
	free(p);
}

/* A sentence about a path for what a system call said. */
static int fail(struct err *err, int r, const char *path)
{
	char shown[256];
	name_show(*path ? path : ".", shown, sizeof(shown));
	switch (-r) {
	case ENOSPC:
	case EDQUOT:
		return err_set_no(err, ERR_NoSpace, -r, "no space left for '%s'", shown);
	case ELOOP:
		return err_set(err, ERR_InvalidValue, "'%s' leads through a symbolic link", shown);
	case ENOTDIR:
		return err_set(err, ERR_InvalidValue, "'%s' leads through something that is no directory", shown);
	case EXDEV:
		return err_set(err, ERR_InvalidValue, "'%s' leads out of the tree", shown);
	}
	return err_sys(err, -r, "'%s'", shown);
}

/* ---- where the work is ---- */

static int set_mtime(int fd, const struct timespec *mtime)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, *mtime };
	return futimens(fd, times) < 0 ? -errno : 0;
}

static int leave(struct plant *p)
{
	int r = p->dir >= 0 ? set_mtime(p->dir, &p->mtime) : 0;
	if (p->dir >= 0)
		close(p->dir);
	p->dir = -1;
	free(TAKE_PTR(p->parent));
	return r;
}

static int open_below(int dir, const char *path)
{
	struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH,
	};
	int fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
	return fd < 0 ? -errno : fd;
}

static bool is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

/* Makes a directory that has no node of its own (yet). One that replaces a whiteout hides what the whiteout hid. */
static int make_dir(struct plant *p, int dir, const char *name, mode_t mode)
{
	struct stat st;
	if (mkdirat(dir, name, mode) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return 0;
	if (unlinkat(dir, name, 0) < 0 || mkdirat(dir, name, mode) < 0)
		return -errno;
	if (!is_whiteout(&st))
		return 0;
	autoclose int fd = open_below(dir, name);
	return fd < 0 ? fd : p->ops.set_opaque(p->ops.arg, fd);
}

/* One step down that makes what is missing. */
static int step(struct plant *p, int dir, const char *name)
{
	struct stat above, st;
	int fd = open_below(dir, name);
	if (fd == -ENOTDIR && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		fd = is_whiteout(&st) ? -ENOENT : S_ISLNK(st.st_mode) ? -ELOOP : -ENOTDIR;
	if (fd != -ENOENT)
		return fd;
	if (fstat(dir, &above) < 0)
		return -errno;
	int r = make_dir(p, dir, name, 0755);
	if (r == 0)
		r = set_mtime(dir, &above.st_mtim);
	return r < 0 ? r : open_below(dir, name);
}

/* The directory of a path of any length, component by component. */
static int descend(struct plant *p, const char *path, bool make)
{
	char name[NAME_MAX + 1];
	int fd = fcntl(p->top, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	while (*path) {
		size_t len = strcspn(path, "/");
		int next = -ENAMETOOLONG;
		if (len < sizeof(name)) {
			memcpy(name, path, len);
			name[len] = 0;
			next = make ? step(p, fd, name) : open_below(fd, name);
		}
		close(fd);
		if (next < 0)
			return next;
		fd = next;
		path += len + (path[len] == '/');
	}
	return fd;
}

static int open_dir(struct plant *p, const char *path, bool make)
{
	if (strlen(path) < PATH_MAX) {
		int fd = open_below(p->top, *path ? path : ".");
		if (fd != -ENOENT && fd != -ENOTDIR)
			return fd;
		if (!make)
			return fd;
	}
	return descend(p, path, make);
}

/* Goes into a directory; there already: nothing. */
static int enter(struct plant *p, const char *path, size_t len)
{
	struct stat st;
	if (p->parent && strncmp(p->parent, path, len) == 0 && !p->parent[len])
		return 0;
	int r = leave(p);
	if (r < 0)
		return r;
	p->parent = strndup(path, len);
	if (!p->parent)
		return -ENOMEM;
	p->dir = open_dir(p, p->parent, true);
	r = p->dir;
	if (r < 0 || fstat(p->dir, &st) < 0) {
		r = r < 0 ? r : -errno;
		free(TAKE_PTR(p->parent));
		return r;
	}
	p->mtime = st.st_mtim;
	p->setgid = st.st_mode & S_ISGID;
	p->has_acl = fgetxattr(p->dir, "system.posix_acl_default", NULL, 0) > 0;
	return 0;
}

/* Goes into the parent of path; *ret is the name in it. */
static int enter_parent(struct plant *p, const char *path, const char **ret)
{
	const char *slash = strrchr(path, '/');
	*ret = slash ? slash + 1 : path;
	return enter(p, path, slash ? (size_t)(slash - path) : 0);
}

/* A name that is to be made is free afterwards. */
static int make_room(struct plant *p, const char *name)
{
	if (unlinkat(p->dir, name, 0) == 0 || errno == ENOENT)
		return 0;
	return errno == EISDIR ? tree_remove(p->dir, name) : -errno;
}

/* ---- attributes ---- */

/* Only what an archive may bring got this far. A filesystem without ACLs or user attributes is no reason to fail. */
static int set_xattrs(int fd, const char *name, const struct xattrs *x)
{
	for (size_t i = 0; i < x->n; i++) {
		const struct xattr *one = &x->v[i];
		int r = fd >= 0 ? fsetxattr(fd, one->name, one->value, one->len, 0)
				: lsetxattr(name, one->name, one->value, one->len, 0);
		if (r < 0 && errno != EOPNOTSUPP)
			return -errno;
	}
	return 0;
}

/* Of a file or directory just made (or, a directory, found). Owner first: it takes setuid bits and capabilities away.
 */
static int set_attributes(struct plant *p, int fd, const struct node *n, bool found)
{
	mode_t mode = n->mode & 07777;
	if ((found || n->uid != 0 || n->gid != 0 || p->setgid) && fchown(fd, n->uid, n->gid) < 0)
		return -errno;
	if (p->has_acl && !found) {
		(void)fremovexattr(fd, "system.posix_acl_access");
		(void)fremovexattr(fd, "system.posix_acl_default");
	}
	/* what was made with that mode, and has nothing inherited, has it */
	if ((found || (mode & 07000) || p->has_acl || (p->setgid && S_ISDIR(n->mode))) && fchmod(fd, mode) < 0)
		return -errno;
	int r = set_xattrs(fd, NULL, &n->x);
	if (r == 0 && n->opaque)
		r = p->ops.set_opaque(p->ops.arg, fd);
	if (r == 0 && n->has_mtime)
		r = set_mtime(fd, &n->mtime);
	return r;
}

static int set_attributes_at(struct plant *p, const char *name, const struct node *n)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, n->mtime };
	if (fchownat(p->dir, name, n->uid, n->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISLNK(n->mode) && (p->has_acl || n->x.n > 0)) { /* attributes have no *at calls */
		if (fchdir(p->dir) < 0)
			return -errno;
		(void)lremovexattr(name, "system.posix_acl_access");
		if (fchmodat(p->dir, name, n->mode & 07777, 0) < 0)
			return -errno;
		int r = set_xattrs(-1, name, &n->x);
		if (r < 0)
			return r;
	}
	if (n->has_mtime && utimensat(p->dir, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

/* ---- the types ---- */

static int put_file(struct plant *p, const char *name, const struct node *n, struct err *err)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	autoclose int fd = openat(p->dir, name, flags, n->mode & 0777);
	if (fd < 0 && errno == EEXIST) {
		int r = make_room(p, name);
		if (r < 0)
			return r;
		fd = openat(p->dir, name, flags, n->mode & 0777);
	}
	if (fd < 0)
		return -errno;
	if (p->ops.fill) {
		int r = p->ops.fill(p->ops.arg, fd, n, err);
		if (r < 0)
			return r;
	}
	return set_attributes(p, fd, n, false);
}

/* Called with the directory itself not being where the work is: its time would be put back. */
static int put_dir(struct plant *p, const char *name, const struct node *n)
{
	bool found = !*name;
	if (!found && mkdirat(p->dir, name, n->mode & 0777) < 0) {
		if (errno != EEXIST)
			return -errno;
		int r = make_dir(p, p->dir, name, n->mode & 0777);
		if (r < 0)
			return r;
		found = true;
	}
	autoclose int fd = found && !*name ? fcntl(p->top, F_DUPFD_CLOEXEC, 0) : open_below(p->dir, name);
	if (fd < 0)
		return fd;
	return set_attributes(p, fd, n, found);
}

static int make_other(struct plant *p, const char *name, const struct node *n)
{
	int r = S_ISLNK(n->mode) ? symlinkat(n->target, p->dir, name)
				 : mknodat(p->dir, name, n->mode & (S_IFMT | 07777), n->rdev);
	return r < 0 ? -errno : 0;
}

static int put_other(struct plant *p, const char *name, const struct node *n)
{
	int r = make_other(p, name, n);
	if (r == -EEXIST) {
		r = make_room(p, name);
		if (r == 0)
			r = make_other(p, name, n);
	}
	return r < 0 ? r : set_attributes_at(p, name, n);
}

static bool same_file(int dir, const char *name, int other, const char *other_name)
{
	struct stat a, b;
	return fstatat(dir, name, &a, AT_SYMLINK_NOFOLLOW) == 0 &&
	       fstatat(other, other_name, &b, AT_SYMLINK_NOFOLLOW) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

static int link_at(struct plant *p, int srcdir, const char *src, const char *name)
{
	if (linkat(srcdir, src, p->dir, name, 0) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	if (same_file(srcdir, src, p->dir, name))
		return 0;
	int r = make_room(p, name);
	return r < 0 ? r : linkat(srcdir, src, p->dir, name, 0) < 0 ? -errno : 0;
}

static int put_link(struct plant *p, const char *name, const struct node *n, struct err *err)
{
	char shown[256], to[256];
	const char *slash = strrchr(n->link, '/');
	autofree char *dir = strndup(n->link, slash ? (size_t)(slash - n->link) : 0);
	if (!dir)
		return -ENOMEM;
	autoclose int fd = open_dir(p, dir, false);
	int r = fd < 0 ? fd : link_at(p, fd, slash ? slash + 1 : n->link, name);
	if (r == -ENOENT || r == -EPERM || r == -ENOTDIR || r == -ELOOP)
		return err_set(err, ERR_InvalidValue,
			       "the hard link '%s' leads to '%s', which is no file of the archive",
			       name_show(n->path, shown, sizeof(shown)), name_show(n->link, to, sizeof(to)));
	return r;
}

/* Is path the directory the work is in, or above it? */
static bool is_above(const struct plant *p, const char *path)
{
	size_t len = strlen(path);
	return p->parent &&
	       (len == 0 || (strncmp(p->parent, path, len) == 0 && (!p->parent[len] || p->parent[len] == '/')));
}

int plant_put(struct plant *p, const struct node *n, struct err *err)
{
	const char *name = "";
	int r = is_above(p, n->path) ? leave(p) : 0;
	if (!*n->path && !S_ISDIR(n->mode))
		return err_set(err, ERR_InvalidValue, "the archive's top is no directory");
	if (r == 0 && *n->path)
		r = enter_parent(p, n->path, &name);
	if (r < 0)
		return fail(err, r, n->path);
	if (err)
		err->kind = ERR_Success;
	if (n->link)
		r = put_link(p, name, n, err);
	else if (S_ISREG(n->mode))
		r = put_file(p, name, n, err);
	else if (S_ISDIR(n->mode))
		r = put_dir(p, name, n);
	else
		r = put_other(p, name, n);
	return r < 0 && (!err || err->kind == ERR_Success) ? fail(err, r, n->path) : r;
}

/* ---- whiteouts ---- */

static int mark_opaque(struct plant *p, const char *path, bool make)
{
	autoclose int fd = open_dir(p, path, make);
	return fd < 0 ? fd : p->ops.set_opaque(p->ops.arg, fd);
}

int plant_opaque(struct plant *p, const char *path, struct err *err)
{
	int r = mark_opaque(p, path, true);
	return r < 0 ? fail(err, r, path) : 0;
}

int plant_hide(struct plant *p, const char *path, struct err *err)
{
	struct stat st;
	const char *name;
	int r = enter_parent(p, path, &name);
	if (r == 0 && fstatat(p->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		r = S_ISDIR(st.st_mode) ? mark_opaque(p, path, false) : 0;
	else if (r == 0)
		r = mknodat(p->dir, name, S_IFCHR, makedev(0, 0)) < 0 ? -errno : 0;
	return r < 0 ? fail(err, r, path) : 0;
}

int plant_remove(struct plant *p, const char *path, struct err *err)
{
	const char *name;
	int r = is_above(p, path) ? leave(p) : 0;
	if (r == 0)
		r = enter_parent(p, path, &name);
	if (r == 0)
		r = make_room(p, name);
	return r < 0 ? fail(err, r, path) : 0;
}

int plant_link_from(struct plant *p, const char *path, int srcdir, const char *src, struct err *err)
{
	const char *name;
	int r = enter_parent(p, path, &name);
	if (r == 0)
		r = link_at(p, srcdir, src, name);
	return r < 0 ? fail(err, r, path) : 0;
}

int plant_end(struct plant *p, struct err *err)
{
	int r = p ? leave(p) : 0;
	return r < 0 ? fail(err, r, "") : 0;
}
