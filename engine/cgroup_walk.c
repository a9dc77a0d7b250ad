#include "engine/cgroup_priv.h"

#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>

#include "base/proc.h"

/* A directory on the way down: its children, and the one we are at. */
struct level {
	struct strv names;
	size_t at;
};

/* Adds the names of the directories in fd. A cgroup has dozens of files, but its link count tells if it has children. */
static int list_dirs(int fd, struct strv *ret)
{
	char buf[8192] __attribute__((aligned(8)));
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_nlink == 2)
		return 0;
	for (;;) {
		ssize_t n = getdents64(fd, buf, sizeof(buf));
		if (n == 0 || (n < 0 && errno == ENOENT))
			return 0;
		if (n < 0)
			return -errno;
		for (ssize_t off = 0; off < n;) {
			const struct dirent64 *d = (const struct dirent64 *)(const void *)(buf + off);
			off += d->d_reclen;
			if (d->d_type != DT_DIR || strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
				continue;
			int r = strv_add(ret, d->d_name);
			if (r < 0)
				return r;
		}
	}
}

struct walk {
	const struct cg_visit *v;
	int fd; /* the directory we are in */
	struct level *levels;
	size_t depth, cap;
};

/* Makes fd (taken) the present directory. */
static int walk_enter(struct walk *w, int fd)
{
	if (w->depth == w->cap) {
		size_t cap = w->cap ? w->cap * 2 : 8;
		struct level *p = reallocarray(w->levels, cap, sizeof(*p));
		if (!p) {
			close(fd);
			return -ENOMEM;
		}
		w->levels = p;
		w->cap = cap;
	}
	if (w->fd >= 0)
		close(w->fd);
	w->fd = fd;
	w->levels[w->depth] = (struct level){};
	int r = w->v->enter(w->v->arg, fd);
	return r != 0 ? r : list_dirs(fd, &w->levels[w->depth++].names);
}

/* A cgroup can be renamed, but not moved, and a removed one still knows its parent: ".." is the way we came. */
static int walk_up(struct walk *w)
{
	int up = openat(w->fd, "..", CG_OPEN_DIR);
	if (up < 0)
		return -errno;
	close(w->fd);
	w->fd = up;
	strv_done(&w->levels[--w->depth].names);
	struct level *l = &w->levels[w->depth - 1];
	const char *name = l->names.p[l->at++];
	return w->v->leave ? w->v->leave(w->v->arg, up, name) : 0;
}

static int walk_run(struct walk *w)
{
	for (;;) {
		struct level *l = &w->levels[w->depth - 1];
		int r;
		if (l->at < l->names.n) {
			int fd = openat(w->fd, l->names.p[l->at], CG_OPEN_DIR);
			if (fd < 0 && errno == ENOENT) {
				l->at++;
				continue;
			}
			r = fd < 0 ? -errno : walk_enter(w, fd);
		} else if (w->depth > 1) {
			r = walk_up(w);
		} else {
			return 0;
		}
		if (r != 0)
			return r;
	}
}

int cg_walk(int at, const char *path, const struct cg_visit *v)
{
	struct walk w = {.v = v, .fd = -1};
	int fd = openat(at, path, CG_OPEN_DIR);
	if (fd < 0)
		return -errno;
	int r = walk_enter(&w, fd);
	if (r == 0)
		r = walk_run(&w);
	while (w.depth > 0)
		strv_done(&w.levels[--w.depth].names);
	free(w.levels);
	if (w.fd >= 0)
		close(w.fd);
	return r;
}

/* ---- removing ---- */

static int nothing(void *arg UNUSED, int dirfd UNUSED)
{
	return 0;
}

static int remove_left(void *arg UNUSED, int parent, const char *name)
{
	return unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
}

int cg_remove_dir(const struct hier *h, const char *dir)
{
	const struct cg_visit v = {.enter = nothing, .leave = remove_left};
	if (unlinkat(h->fd, dir, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno != EBUSY)
		return -errno;
	int r = cg_walk(h->fd, dir, &v);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return unlinkat(h->fd, dir, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
}

/* ---- processes ---- */

/* A directory that is gone holds nobody; in a threaded v2 cgroup (EOPNOTSUPP) the processes are listed further up. */
static bool ids_are_none(int no)
{
	return no == ENOENT || no == ENODEV || no == EOPNOTSUPP;
}

int cg_ids(int dirfd, const char *file, int (*fn)(void *arg, pid_t id), void *arg)
{
	char buf[4096];
	pid_t id = 0;
	autoclose int fd = openat(dirfd, file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return ids_are_none(errno) ? 0 : -errno;
	for (;;) {
		ssize_t n = read(fd, buf, sizeof(buf));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ids_are_none(errno) ? 0 : -errno;
		if (n == 0)
			return 0;
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] >= '0' && buf[i] <= '9') {
				id = id * 10 + (buf[i] - '0');
				continue;
			}
			/* 0 is a process of a pid namespace that we can't see into */
			int r = id > 0 ? fn(arg, id) : 0;
			if (r != 0)
				return r;
			id = 0;
		}
	}
}

struct pids {
	pid_t *p;
	size_t n, cap;
};

static int pids_add(void *arg, pid_t pid)
{
	struct pids *l = arg;
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 64;
		pid_t *p = reallocarray(l->p, cap, sizeof(*p));
		if (!p)
			return -ENOMEM;
		l->p = p;
		l->cap = cap;
	}
	l->p[l->n++] = pid;
	return 0;
}

#define BATCH 64

/* What is done to each process of a directory that is held by a pidfd. */
struct held {
	int (*fn)(void *arg, pid_t pid, int pidfd);
	void *arg;
	const pid_t *pid; /* the batch */
	int *fd;
	size_t n;
};

static int if_held(void *arg, pid_t pid)
{
	const struct held *h = arg;
	for (size_t i = 0; i < h->n; i++)
		if (h->pid[i] == pid && h->fd[i] >= 0)
			return h->fn(h->arg, pid, h->fd[i]);
	return 0;
}

/*
 * Between the listing and what is then done a pid may have become somebody else's. So hold the processes first, then list
 * again: who is still there under that number is the one we hold, or ours is dead and nothing comes of it.
 */
static int held_in_dir(void *arg, int dirfd)
{
	struct held *h = arg;
	struct pids l = {};
	int r = cg_ids(dirfd, "cgroup.procs", pids_add, &l);
	for (size_t at = 0; r == 0 && at < l.n; at += BATCH) {
		int fd[BATCH];
		h->pid = l.p + at;
		h->fd = fd;
		h->n = MIN(l.n - at, (size_t)BATCH);
		for (size_t i = 0; i < h->n; i++)
			fd[i] = proc_open(h->pid[i], 0);
		r = cg_ids(dirfd, "cgroup.procs", if_held, h);
		for (size_t i = 0; i < h->n; i++)
			cleanup_close(&fd[i]);
	}
	free(l.p);
	return r;
}

static int held_below(const struct hier *h, const char *dir, int (*fn)(void *arg, pid_t pid, int pidfd), void *arg)
{
	struct held held = {.fn = fn, .arg = arg};
	const struct cg_visit v = {.enter = held_in_dir, .arg = &held};
	char path[PATH_MAX];
	int r = cg_path(path, dir, NULL);
	if (r < 0)
		return r;
	r = cg_walk(h->fd, path, &v);
	return r == -ENOENT ? 0 : r;
}

int cg_held(struct cgroups *g, const struct cg *c, int (*fn)(void *arg, pid_t pid, int pidfd), void *arg)
{
	return held_below(&g->h[0], c->path, fn, arg);
}

static int kill_one(void *arg UNUSED, pid_t pid UNUSED, int pidfd)
{
	proc_signal(pidfd, SIGKILL);
	return 0;
}

int cg_kill_by_pid(const struct hier *h, const char *dir)
{
	return held_below(h, dir, kill_one, NULL);
}

struct each {
	int (*fn)(void *arg, pid_t pid);
	void *arg;
	const char *file;
};

static int each_dir(void *arg, int dirfd)
{
	const struct each *e = arg;
	return cg_ids(dirfd, e->file, e->fn, e->arg);
}

static int each_below(const struct hier *h, const char *dir, struct each *e)
{
	const struct cg_visit v = {.enter = each_dir, .arg = e};
	char path[PATH_MAX];
	int r = cg_path(path, dir, NULL);
	if (r < 0)
		return r;
	r = cg_walk(h->fd, path, &v);
	return r == -ENOENT ? 0 : r;
}

int cg_pids(struct cgroups *g, const struct cg *c, bool deep, int (*fn)(void *arg, pid_t pid), void *arg)
{
	const struct hier *h = &g->h[0];
	struct each e = {.fn = fn, .arg = arg, .file = "cgroup.procs"};
	char path[PATH_MAX];
	if (deep)
		return each_below(h, c->path, &e);
	int r = cg_path(path, c->path, NULL);
	if (r < 0)
		return r;
	autoclose int fd = openat(h->fd, path, CG_OPEN_DIR);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	r = each_dir(&e, fd);
	if (r != 0 || !h->drv->v2)
		return r;
	/* what is below the leaf was made by the container's user and is the container's own */
	r = cg_path(path, c->path, CG_LEAF);
	return r < 0 ? r : each_below(h, path, &e);
}

int cg_ids_below(const struct hier *h, const char *dir, const char *file, int (*fn)(void *arg, pid_t id), void *arg)
{
	struct each e = {.fn = fn, .arg = arg, .file = file};
	return each_below(h, dir, &e);
}

/* ---- sweeping ---- */

struct sweep {
	bool (*keep)(void *arg, const char *path);
	void *arg;
	struct strv orphans;
};

/* Nests as deep as containers do: it goes down only where a container is claimed. */
static int sweep_dir(struct sweep *s, int dirfd, const char *path)
{
	autostrv struct strv names = {};
	int r = list_dirs(dirfd, &names);
	for (size_t i = 0; r == 0 && i < names.n; i++) {
		char below[PATH_MAX];
		struct stat st;
		if (names.p[i][0] == '+')
			continue;
		r = cg_path(below, path, names.p[i]);
		if (r < 0)
			break;
		autoclose int fd = openat(dirfd, names.p[i], CG_OPEN_DIR);
		if (fd < 0 || fstat(fd, &st) < 0)
			continue;
		if (*path && !(st.st_mode & S_ISVTX)) /* made by a container's user: lives as long as the container */
			continue;
		r = s->keep(s->arg, below) ? sweep_dir(s, fd, below) : strv_add(&s->orphans, below);
	}
	return r;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int sweep_one(struct cgroups *g, const char *path)
{
	const struct cg c = {.path = (char *)path, .own = CG_BIT(CG_TRACK)};
	int r = cg_kill(g, &c);
	bool tracked = !cg_empty(g, &c);
	int removed = cg_remove(g, &c);
	/* processes that somebody has put into one hierarchy alone */
	for (unsigned i = 1; removed == -EBUSY && !tracked && i < g->n; i++)
		cg_kill_by_pid(&g->h[i], path);
	return r < 0 ? r : removed;
}

int cg_sweep(struct cgroups *g, bool (*keep)(void *arg, const char *path), void *arg)
{
	struct sweep s = {.keep = keep, .arg = arg};
	int r = 0, left = 0;
	for (unsigned i = 0; r == 0 && i < g->n; i++) {
		autoclose int fd = openat(g->h[i].fd, ".", CG_OPEN_DIR);
		r = fd < 0 ? -errno : sweep_dir(&s, fd, "");
	}
	if (s.orphans.n > 0)
		qsort(s.orphans.p, s.orphans.n, sizeof(*s.orphans.p), by_name);
	for (size_t i = 0; r == 0 && i < s.orphans.n; i++)
		if (i == 0 || strcmp(s.orphans.p[i - 1], s.orphans.p[i]) != 0)
			left += sweep_one(g, s.orphans.p[i]) < 0;
	strv_done(&s.orphans);
	return r < 0 ? r : left;
}
