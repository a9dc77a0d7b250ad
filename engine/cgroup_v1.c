#include "engine/cgroup_priv.h"

static int freeze(const struct hier *h, const char *dir, bool frozen)
{
	return cg_write(h, dir, "freezer.state", frozen ? "FROZEN" : "THAWED");
}

static bool state_is(const struct hier *h, const char *dir, const char *state)
{
	char buf[32];
	return cg_read(h, dir, "freezer.state", buf, sizeof(buf)) > 0 && strcmp(buf, state) == 0;
}

static bool frozen(const struct hier *h, const char *dir)
{
	return state_is(h, dir, "FROZEN");
}

static int thaw_one(void *arg UNUSED, int dirfd)
{
	int r = file_write(dirfd, "freezer.state", "THAWED");
	return r == -ENOENT || r == -ENODEV ? 0 : r;
}

/* Also what is frozen on its own account further down: a parent's THAWED does not reach that. */
static int thaw_all(const struct hier *h, const char *dir)
{
	const struct cg_visit v = {.enter = thaw_one};
	char path[PATH_MAX];
	int r = cg_path(path, dir, NULL);
	if (r < 0)
		return r;
	return cg_walk(h->fd, path, &v);
}

/*
 * Frozen processes can't fork away from us, but neither do they die. Freezing takes its time, and we don't wait: the first
 * call asks for it and kills who can be seen, the next one finds everybody standing still. A process that can't be frozen
 * (state D) must not keep the others from dying, so that next call thaws in any case.
 */
static int kill_all(const struct hier *h, const char *dir)
{
	bool was_thawed = state_is(h, dir, "THAWED");
	if (was_thawed) {
		int r = freeze(h, dir, true);
		if (r < 0)
			return r == -ENOENT ? 0 : r;
	}
	bool leave_frozen = was_thawed && !frozen(h, dir);
	int r = cg_kill_by_pid(h, dir);
	if (leave_frozen)
		return r;
	int thawed = thaw_all(h, dir);
	return r < 0 ? r : thawed;
}

static int is_there(void *arg UNUSED, pid_t pid UNUSED)
{
	return 1;
}

static int any_process(void *arg UNUSED, int dirfd)
{
	return cg_ids(dirfd, "cgroup.procs", is_there, NULL);
}

static bool empty(const struct hier *h, const char *dir)
{
	const struct cg_visit v = {.enter = any_process};
	char path[PATH_MAX];
	if (cg_path(path, dir, NULL) < 0)
		return true;
	int r = cg_walk(h->fd, path, &v);
	return r == 0 || r == -ENOENT;
}

static int cpu_usage(struct cgroups *g, const struct hier *h, const struct cg *c, struct cg_cpu_time *ret)
{
	uint64_t total, system;
	int r = cg_read_counter_u64(g, h, c, CG_FILE_CPU, "cpuacct.usage", &total);
	if (r == 0)
		r = cg_read_counter_u64(g, h, c, CG_FILE_SYSTEM, "cpuacct.usage_sys", &system);
	if (r < 0)
		return r;
	*ret = (struct cg_cpu_time){.used = total, .system = MIN(system, total)}; /* the one counts time, the other ticks */
	return 0;
}

static int oom_kills(struct cgroups *g, const struct hier *h, const struct cg *c, uint64_t *ret)
{
	char buf[256];
	ssize_t n = cg_read_counter(g, h, c, CG_FILE_OOM, "memory.oom_control", buf, sizeof(buf));
	return n < 0 ? (int)n : cg_find_key(buf, "oom_kill", ret);
}

int cg_cpuset_inherit(int at, const char *dir)
{
	static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		char path[PATH_MAX], up[PATH_MAX], parent[PATH_MAX], buf[4096];
		if (cg_path(path, dir, files[i]) < 0 || cg_path(up, dir, "..") < 0 || cg_path(parent, up, files[i]) < 0)
			return -ENAMETOOLONG;
		ssize_t n = file_read_small(at, path, buf, sizeof(buf));
		if (n < 0)
			return (int)n;
		if (n > 0)
			continue;
		n = file_read_small(at, parent, buf, sizeof(buf));
		int r = n < 0 ? (int)n : file_write(at, path, buf);
		if (r < 0)
			return r;
	}
	return 0;
}

const struct cg_driver cg_driver_v1 = {
	.threads = "tasks",
	.memory_current = "memory.usage_in_bytes",
	.freeze = freeze,
	.frozen = frozen,
	.kill = kill_all,
	.empty = empty,
	.cpu = &cg_cpu_v1,
	.cpu_usage = cpu_usage,
	.oom_kills = oom_kills,
};
