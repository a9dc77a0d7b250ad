#include "engine/cgroup_priv.h"

#include <stdio.h>

static int freeze(const struct hier *h, const char *dir, bool frozen)
{
	return cg_write(h, dir, "cgroup.freeze", frozen ? "1" : "0");
}

static bool frozen(const struct hier *h, const char *dir)
{
	uint64_t v;
	return cg_read_key(h, dir, "cgroup.events", "frozen", &v) == 0 && v;
}

/* The kernel does it in one go, with what is being forked; before 5.14 it could not. */
static int kill_all(const struct hier *h, const char *dir)
{
	int r = cg_write(h, dir, "cgroup.kill", "1");
	if (r != -ENOENT || faccessat(h->fd, *dir ? dir : ".", F_OK, 0) < 0)
		return r == -ENOENT ? 0 : r;
	return cg_kill_by_pid(h, dir);
}

static bool empty(const struct hier *h, const char *dir)
{
	uint64_t v;
	return cg_read_key(h, dir, "cgroup.events", "populated", &v) < 0 || !v;
}

static int cpu_usage(struct cgroups *g, const struct hier *h, const struct cg *c, struct cg_cpu_time *ret)
{
	char buf[4096];
	uint64_t total, system, throttled = 0;
	ssize_t n = cg_read_counter(g, h, c, CG_FILE_CPU, "cpu.stat", buf, sizeof(buf));
	int r = n < 0 ? (int)n : cg_find_key(buf, "usage_usec", &total);
	if (r == 0)
		r = cg_find_key(buf, "system_usec", &system);
	if (r < 0)
		return r;
	*ret = (struct cg_cpu_time){.used = total * 1000, .system = system * 1000};
	ret->has_throttled = (c->own & CG_BIT(CG_CPU)) && cg_find_key(buf, "throttled_usec", &throttled) == 0;
	ret->throttled = throttled * 1000;
	return 0;
}

/* Kills in child containers are theirs: .local. In the leaf everything counts, its user may have cgroups of his own there. */
static int oom_kills(struct cgroups *g, const struct hier *h, const struct cg *c, uint64_t *ret)
{
	char buf[1024];
	uint64_t own, in_leaf = 0;
	ssize_t n = cg_read_counter(g, h, c, CG_FILE_OOM, "memory.events.local", buf, sizeof(buf));
	int r = n < 0 ? (int)n : cg_find_key(buf, "oom_kill", &own);
	if (r < 0)
		return r;
	/* the leaf counts for itself only once a child container has a memory cgroup too */
	if (cg_read_counter(g, h, c, CG_FILE_LEAF_OOM, CG_LEAF "/memory.events", buf, sizeof(buf)) >= 0)
		(void)cg_find_key(buf, "oom_kill", &in_leaf);
	*ret = own + in_leaf;
	return 0;
}

int cg_v2_enable(int at, const char *dir, unsigned ctls)
{
	char path[PATH_MAX], buf[512];
	int r = cg_path(path, dir, "cgroup.subtree_control");
	if (r < 0)
		return r;
	ssize_t n = file_read_small(at, path, buf, sizeof(buf));
	if (n < 0)
		return (int)n;
	unsigned missing = ctls & ~cg_parse_list(buf);
	for (enum cg_ctl c = 0; c < CG_CTLS; c++) {
		if (!(missing & CG_BIT(c)))
			continue;
		snprintf(buf, sizeof(buf), "+%s", c == CG_IO ? "io" : cg_name(c));
		r = file_write(at, path, buf);
		if (r < 0)
			return r;
	}
	return 0;
}

const struct cg_driver cg_driver_v2 = {
	.v2 = true,
	.threads = "cgroup.threads",
	.memory_current = "memory.current",
	.freeze = freeze,
	.frozen = frozen,
	.kill = kill_all,
	.empty = empty,
	.cpu = &cg_cpu_v2,
	.cpu_usage = cpu_usage,
	.oom_kills = oom_kills,
};
