/*
 * Counters of one container. A file's path is walked once and its descriptor kept where the reader will come again: with a
 * thousand containers opening and closing costs three times what the reading does.
 */
#include "engine/cgroup_priv.h"

#include <sys/resource.h>
#include <sys/stat.h>

/* Of what the process may open; the rest is for pidfds, watches of memory, requests: a container has ten of these and two of those. */
#define KEPT_SHARE(limit) ((limit) / 10 * 7)

void cg_keep(struct cgroups *g, bool on)
{
	struct rlimit limit;
	g->keep = on;
	if (on && getrlimit(RLIMIT_NOFILE, &limit) == 0)
		g->kept_max = (unsigned)KEPT_SHARE(MIN(limit.rlim_cur, (rlim_t)1 << 20));
}

static void let_go(struct cgroups *g, int *slot)
{
	if (*slot == 0)
		return;
	close(*slot - 1);
	*slot = 0;
	g->kept--;
}

void cg_let_go(struct cgroups *g, const struct cg *c)
{
	if (!g || !c->kept)
		return;
	c->kept->period_usec = 0;
	if (g->kept == 0)
		return;
	for (size_t i = 0; i < ARRAY_LEN(c->kept->fd); i++)
		let_go(g, &c->kept->fd[i]);
}

/* *owned: the caller closes it. */
static int open_counter(struct cgroups *g, const struct hier *h, const struct cg *c, enum cg_file which, const char *name,
			int flags, bool *owned)
{
	char path[PATH_MAX];
	int *slot = c->kept ? &c->kept->fd[which] : NULL;
	*owned = false;
	if (slot && *slot)
		return *slot - 1;
	int r = cg_path(path, c->path, name);
	if (r < 0)
		return r;
	int fd = openat(h->fd, path, flags | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*owned = !slot || !g->keep || g->kept >= g->kept_max;
	if (!*owned) {
		*slot = fd + 1;
		g->kept++;
	}
	return fd;
}

/* A kept descriptor of a cgroup that was removed (and perhaps made again) says ENODEV: once more, by path. */
ssize_t cg_read_counter(struct cgroups *g, const struct hier *h, const struct cg *c, enum cg_file which, const char *name,
			char *buf, size_t size)
{
	bool owned;
	int fd = open_counter(g, h, c, which, name, O_RDONLY, &owned);
	if (fd < 0)
		return fd;
	ssize_t n = pread(fd, buf, size, 0);
	int no = n < 0 ? errno : 0;
	if (owned)
		close(fd);
	if (no == ENODEV && !owned) {
		let_go(g, &c->kept->fd[which]);
		return cg_read_counter(g, h, c, which, name, buf, size);
	}
	if (n < 0)
		return -no;
	if ((size_t)n >= size)
		return -EFBIG;
	n -= n > 0 && buf[n - 1] == '\n';
	buf[n] = 0;
	return n;
}

int cg_read_counter_u64(struct cgroups *g, const struct hier *h, const struct cg *c, enum cg_file which, const char *name,
			uint64_t *ret)
{
	char buf[32];
	ssize_t n = cg_read_counter(g, h, c, which, name, buf, sizeof(buf));
	return n < 0 ? (int)n : cg_parse_u64(buf, ret);
}

/* The nearest of c and its ancestors that has a cgroup for ctl. */
static int near(const struct cgroups *g, const struct cg *c, enum cg_ctl ctl, const struct hier **ret, const struct cg **at)
{
	if (g->of[ctl] < 0)
		return -EOPNOTSUPP;
	*at = cg_owner(c, CG_BIT(ctl));
	*ret = &g->h[g->of[ctl]];
	return *at ? 0 : -ENOENT;
}

int cg_cpu_usage(struct cgroups *g, const struct cg *c, struct cg_cpu_time *ret)
{
	const struct hier *h;
	const struct cg *at;
	int r = near(g, c, CG_CPUACCT, &h, &at);
	/* on v2 every cgroup counts its time, with or without the controller */
	if (r != -EOPNOTSUPP && g->h[g->of[CG_CPUACCT]].drv->v2)
		return g->h[0].drv->cpu_usage(g, &g->h[0], c, ret);
	return r < 0 ? r : h->drv->cpu_usage(g, h, at, ret);
}

int cg_memory_usage(struct cgroups *g, const struct cg *c, uint64_t *bytes)
{
	const struct hier *h;
	const struct cg *at;
	int r = near(g, c, CG_MEMORY, &h, &at);
	return r < 0 ? r : cg_read_counter_u64(g, h, at, CG_FILE_MEMORY, h->drv->memory_current, bytes);
}

int cg_oom_kills(struct cgroups *g, const struct cg *c, uint64_t *ret)
{
	if (g->of[CG_MEMORY] < 0)
		return -EOPNOTSUPP;
	if (!(c->own & CG_BIT(CG_MEMORY)))
		return -ENOENT;
	const struct hier *h = &g->h[g->of[CG_MEMORY]];
	return h->drv->oom_kills(g, h, c, ret);
}

/* ---- processes and threads ---- */

#define ID_LINE_MAX 12 /* bytes of an id and a newline */

static int count_one(void *arg, pid_t id UNUSED)
{
	++*(uint64_t *)arg;
	return 0;
}

/* Links of c's directory or its leaf's: 2, and one for each below. 0: unknown. */
static unsigned links(struct cgroups *g, const struct hier *h, const struct cg *c, enum cg_file which, const char *name)
{
	struct stat st;
	bool owned;
	int fd = open_counter(g, h, c, which, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, &owned);
	unsigned n = fd >= 0 && fstat(fd, &st) == 0 ? (unsigned)st.st_nlink : 0;
	if (fd >= 0 && owned)
		close(fd);
	return n;
}

/*
 * Adds the lines of a list of processes. -EFBIG when it is long: of such a file the kernel gives whole lines, a page at a time, so
 * the first part of a long list ends less than a line before the page does, and looks like a short one.
 */
static int count_lines(struct cgroups *g, const struct cg *c, enum cg_file which, const char *name, uint64_t *n)
{
	char buf[4096];
	ssize_t r = cg_read_counter(g, &g->h[0], c, which, name, buf, sizeof(buf));
	if (r < 0)
		return (int)r;
	if ((size_t)r + ID_LINE_MAX >= sizeof(buf))
		return -EFBIG;
	/* 0 is a process of a pid namespace that we can't see into */
	for (const char *line = buf; *line; line += strcspn(line, "\n"), line += *line == '\n')
		*n += *line != '0';
	return 0;
}

/*
 * The usual container: few processes, and no cgroups but its own and perhaps its leaf. -EAGAIN for any other, and on v1,
 * where a descriptor that was read once gives the same list again for a second.
 */
static int count_usual(struct cgroups *g, const struct cg *c, uint64_t *ret)
{
	const struct hier *h = &g->h[0];
	bool leaf = cg_has_leaf(g, c);
	uint64_t n = 0;
	if (!h->drv->v2)
		return -EAGAIN;
	if (links(g, h, c, CG_FILE_DIR, NULL) != (leaf ? 3 : 2) || (leaf && links(g, h, c, CG_FILE_LEAF_DIR, CG_LEAF) != 2))
		return -EAGAIN;
	if (count_lines(g, c, CG_FILE_PROCS, "cgroup.procs", &n) < 0)
		return -EAGAIN;
	if (leaf && count_lines(g, c, CG_FILE_LEAF_PROCS, CG_LEAF "/cgroup.procs", &n) < 0)
		return -EAGAIN;
	*ret = n;
	return 0;
}

int cg_count(struct cgroups *g, const struct cg *c, bool threads, uint64_t *ret)
{
	uint64_t n = 0;
	if (threads && (c->own & CG_BIT(CG_PIDS)) && g->of[CG_PIDS] >= 0)
		return cg_read_counter_u64(g, &g->h[g->of[CG_PIDS]], c, CG_FILE_THREADS, "pids.current", ret);
	if (!threads && g->keep && count_usual(g, c, ret) == 0)
		return 0;
	int r = cg_ids_below(&g->h[0], c->path, threads ? g->h[0].drv->threads : "cgroup.procs", count_one, &n);
	if (r == 0)
		*ret = n;
	return r;
}
