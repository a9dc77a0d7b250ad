#include "layerstore/quota.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* A directory open on each level. */
#define DEPTH_MAX  512
#define COUNTS_MAX 3
#define SUBCMD(c)  QCMD((unsigned)(c), PRJQUOTA)

static int quotactl_fd(int fd, unsigned cmd, uint32_t project, void *arg)
{
	return syscall(SYS_quotactl_fd, fd, cmd, project, arg) < 0 ? -errno : 0;
}

uint32_t quota_project_of(uint64_t ino)
{
	return (uint32_t)(ino ^ ino >> 31) | UINT32_C(1) << 31;
}

int quota_supported(int fd)
{
	struct fs_quota_statv state = { .qs_version = FS_QSTATV_VERSION1 };
	int r = quotactl_fd(fd, SUBCMD(Q_XGETQSTATV), 0, &state);

	return r == 0 && (state.qs_flags & FS_QUOTA_PDQ_ENFD) ? 0 : -EOPNOTSUPP;
}

/* ---- the project of a file ---- */

static int project_get(int fd, uint32_t *project, bool *inherits)
{
	struct fsxattr x;

	if (ioctl(fd, FS_IOC_FSGETXATTR, &x) < 0)
		return -errno;
	*project = x.fsx_projid;
	*inherits = x.fsx_xflags & FS_XFLAG_PROJINHERIT;
	return 0;
}

static int project_set(int fd, uint32_t project, bool is_dir)
{
	struct fsxattr x;
	uint32_t flags;

	if (ioctl(fd, FS_IOC_FSGETXATTR, &x) < 0)
		return -errno;
	flags = x.fsx_xflags & ~(uint32_t)FS_XFLAG_PROJINHERIT;
	if (is_dir && project)
		flags |= FS_XFLAG_PROJINHERIT;
	if (x.fsx_projid == project && flags == x.fsx_xflags)
		return 0;
	x.fsx_projid = project;
	x.fsx_xflags = flags;
	return ioctl(fd, FS_IOC_FSSETXATTR, &x) < 0 ? -errno : 0;
}

/* ---- the tree ---- */

/* Files with several names, to be counted once. */
struct linked {
	uint64_t ino, space;
};

struct walk {
	uint32_t project;
	bool skips_deep; /* what lies below the last level that fits stays as it is */
	dev_t dev;
	uint64_t space, inodes;
	struct linked *linked;
	size_t linked_n, linked_cap;
	DIR *dirs[DEPTH_MAX];
	size_t depth;
};

static int linked_add(struct walk *w, const struct stat *st)
{
	if (w->linked_n == w->linked_cap) {
		size_t cap = w->linked_cap ? w->linked_cap * 2 : 64;
		struct linked *p = reallocarray(w->linked, cap, sizeof(*p));
		if (!p)
			return -ENOMEM;
		w->linked = p;
		w->linked_cap = cap;
	}
	w->linked[w->linked_n++] = (struct linked){ st->st_ino, (uint64_t)st->st_blocks * 512 };
	return 0;
}

static int linked_compare(const void *a, const void *b)
{
	const struct linked *x = a, *y = b;

	return (x->ino > y->ino) - (x->ino < y->ino);
}

static void linked_count(struct walk *w)
{
	if (w->linked_n > 0)
		qsort(w->linked, w->linked_n, sizeof(*w->linked), linked_compare);
	for (size_t i = 0; i < w->linked_n; i++) {
		if (i > 0 && w->linked[i].ino == w->linked[i - 1].ino)
			continue;
		w->space += w->linked[i].space;
		w->inodes++;
	}
	free(w->linked);
	w->linked = NULL;
	w->linked_n = w->linked_cap = 0;
}

/* Takes fd. The directory itself is counted and set by who comes upon it. */
static int walk_down(struct walk *w, int fd)
{
	DIR *dir = w->depth < DEPTH_MAX ? fdopendir(fd) : NULL;

	if (!dir) {
		int r = w->depth < DEPTH_MAX ? -errno : -ENAMETOOLONG;
		close(fd);
		return r;
	}
	w->dirs[w->depth++] = dir;
	return 0;
}

/*
 * Symbolic links, devices and sockets can't be opened, and so can't be given a project: they got it at birth or don't
 * have it. What vanishes meanwhile is no failure.
 */
static int walk_entry(struct walk *w, int dirfd, const struct dirent *entry)
{
	struct stat st;
	int fd, r;

	if (fstatat(dirfd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (st.st_dev != w->dev)
		return 0;
	if (!S_ISDIR(st.st_mode) && st.st_nlink > 1) {
		r = linked_add(w, &st);
		if (r < 0)
			return r;
	} else {
		w->space += (uint64_t)st.st_blocks * 512;
		w->inodes++;
	}
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return 0;
	fd = openat(dirfd, entry->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == ELOOP ? 0 : -errno;
	r = project_set(fd, w->project, S_ISDIR(st.st_mode));
	if (r == 0 && S_ISDIR(st.st_mode) && !(w->skips_deep && w->depth == DEPTH_MAX))
		return walk_down(w, fd);
	close(fd);
	return r;
}

static int walk_all(struct walk *w)
{
	int r = 0;

	while (w->depth > 0 && r == 0) {
		DIR *dir = w->dirs[w->depth - 1];
		const struct dirent *entry = readdir(dir);
		if (!entry) {
			closedir(dir);
			w->depth--;
		} else if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
			r = walk_entry(w, dirfd(dir), entry);
		}
	}
	while (w->depth > 0)
		closedir(w->dirs[--w->depth]);
	linked_count(w);
	return r;
}

/* All below the directory, then itself: the top has its project only when all has. */
static int tree_set(int dir, struct walk *w)
{
	int r, fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	w->dev = st.st_dev;
	w->space = (uint64_t)st.st_blocks * 512;
	w->inodes = 1;
	r = walk_down(w, fd);
	if (r == 0)
		r = walk_all(w);
	return r < 0 ? r : project_set(dir, w->project, true);
}

/* Taking it away never fails because its user has made the tree too deep: a volume has to have an end. */
static int tree_give(int dir, uint32_t project)
{
	autofree struct walk *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->project = project;
	w->skips_deep = project == 0;
	return tree_set(dir, w);
}

/* ---- limits ---- */

int quota_get(int fd, uint32_t project, struct quota *ret)
{
	struct if_dqblk d;
	int r = quotactl_fd(fd, SUBCMD(Q_GETQUOTA), project, &d);

	if (r == -ENOENT) { /* xfs: nothing written about it yet */
		*ret = (struct quota){};
		return 0;
	}
	if (r < 0)
		return r;
	*ret = (struct quota){
		.space_limit = d.dqb_bhardlimit * 1024,
		.inode_limit = d.dqb_ihardlimit,
		.space_used = d.dqb_curspace,
		.inode_used = d.dqb_curinodes,
	};
	return 0;
}

int quota_set_limits(int fd, uint32_t project, const struct quota *limits)
{
	struct if_dqblk d = {
		.dqb_bhardlimit = limits->space_limit / 1024 + (limits->space_limit % 1024 != 0),
		.dqb_ihardlimit = limits->inode_limit,
		.dqb_valid = QIF_LIMITS,
	};

	return quotactl_fd(fd, SUBCMD(Q_SETQUOTA), project, &d);
}

/* ---- begin and end ---- */

int quota_begin(int dir, const struct quota *limits, uint32_t *project, struct err *err)
{
	uint32_t own, now = 0;
	struct stat st;
	bool inherits = false;
	int r;

	if (fstat(dir, &st) < 0)
		return err_sys(err, errno, "quota");
	own = quota_project_of(st.st_ino);
	r = project_get(dir, &now, &inherits);
	if (r < 0)
		return err_sys(err, -r, "quota: asking the directory's project");
	if (now != own && now != 0)
		return err_set(err, ERR_Busy, "quota: the directory belongs to project %u already", now);
	if (now != own && st.st_ino >> 31) { /* numbers that don't fit may meet */
		struct quota other;
		r = quota_get(dir, own, &other);
		if (r == 0 && other.inode_used > 0)
			return err_set(err, ERR_Busy, "quota: project %u belongs to another directory", own);
	}
	if (now != own || !inherits) {
		r = tree_give(dir, own);
		if (r < 0)
			return err_sys(err, -r, "quota: giving the directory a project");
	}
	r = quota_set_limits(dir, own, limits);
	if (r < 0)
		return err_sys(err, -r, "quota: setting limits");
	*project = own;
	return 0;
}

int quota_end(int dir, bool whole)
{
	uint32_t own, now = 0;
	struct stat st;
	bool inherits = false;
	int r;

	if (fstat(dir, &st) < 0)
		return -errno;
	own = quota_project_of(st.st_ino);
	r = project_get(dir, &now, &inherits);
	if (r < 0)
		return r == -ENOTTY || r == -EOPNOTSUPP ? 0 : r;
	/* Killed in the middle of giving: things inside have it, the top has not. */
	if (now == own || (now == 0 && whole)) {
		struct quota none = {};
		r = quota_set_limits(dir, own, &none);
		r = r == -ESRCH || r == -ENOSYS ? 0 : r;
	}
	if (r == 0 && whole && (now == own || now == 0))
		r = tree_give(dir, 0);
	return r;
}

int quota_forget(int fd, uint32_t project)
{
	struct quota q;
	int r = quota_get(fd, project, &q);

	if (r < 0 || q.inode_used > 0 || q.space_used > 0 || (!q.space_limit && !q.inode_limit))
		return r;
	q = (struct quota){};
	return quota_set_limits(fd, project, &q);
}

/* Counts a tree that nobody changes meanwhile: until the kernel's count is the same before and after. */
static int count_still(int dir, struct walk *w, struct quota *now)
{
	struct quota before;
	int r;

	for (int i = 0; i < COUNTS_MAX; i++) {
		r = quota_get(dir, w->project, &before);
		if (r == 0)
			r = tree_set(dir, w);
		if (r == 0)
			r = quota_get(dir, w->project, now);
		if (r < 0)
			return r;
		if (before.space_used == now->space_used && before.inode_used == now->inode_used)
			return 0;
	}
	return -EAGAIN;
}

int quota_recount(int dir, uint32_t project, struct text *report, struct err *err)
{
	autofree struct walk *w = calloc(1, sizeof(*w));
	struct if_dqblk d = { .dqb_valid = QIF_USAGE };
	struct quota now = {};
	int r;

	if (!w)
		return err_sys(err, ENOMEM, "quota");
	w->project = project;
	r = count_still(dir, w, &now);
	if (r == -EAGAIN)
		return err_set(err, ERR_Busy, "the volume is written to while it is counted");
	if (r < 0)
		return err_sys(err, -r, "quota: counting");
	text_addf(report, "space_used: %llu, counted %llu\ninode_used: %llu, counted %llu\n",
		  (unsigned long long)now.space_used, (unsigned long long)w->space, (unsigned long long)now.inode_used,
		  (unsigned long long)w->inodes);
	if (now.space_used == w->space && now.inode_used == w->inodes)
		return 0;
	d.dqb_curspace = w->space;
	d.dqb_curinodes = w->inodes;
	r = quotactl_fd(dir, SUBCMD(Q_SETQUOTA), project, &d);
	if (r == -EINVAL) { /* xfs counts by itself and takes no advice */
		text_add(report, "the file system keeps its own count\n");
		return 0;
	}
	if (r < 0)
		return err_sys(err, -r, "quota: correcting the counters");
	text_add(report, "corrected\n");
	return 0;
}
