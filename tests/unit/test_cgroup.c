/* engine/cgroup.c: cgroups made and removed, limits, counters. */
#include "tests/unit/cgroup_kit.h"

#include <time.h>

#include "engine/cgroup_memory.h"

static void test_names(void)
{
	autotext struct text t = {};
	CHECK(cg_find("blkio") == CG_IO && cg_find("io") == CG_IO && cg_find("memory") == CG_MEMORY);
	CHECK(cg_find("") == CG_CTLS && cg_find("nonsense") == CG_CTLS);
	CHECK(strcmp(cg_name(CG_TRACK), "freezer") == 0);
	CHECK(has(CG_TRACK));
	for (enum cg_ctl c = 0; c < CG_CTLS; c++)
		CHECK(has(c) || cg_missing(g, c)[0]);
	cg_describe(g, &t);
	int lines = 0;
	for (const char *p = text_str(&t); *p; p++)
		lines += *p == '\n';
	SAME(lines, CG_CTLS);
	for (char *save = NULL, *line = strtok_r(t.p, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		printf("# %s\n", line);
}

static void test_bad_roots(void)
{
	static const char *const roots[] = {"", "/", "..", "a/../b", "a//b", "a/", "//"};
	for (size_t i = 0; i < ARRAY_LEN(roots); i++) {
		struct cgroups *other;
		struct err err = {};
		SAME(cg_open(roots[i], true, &other, &err), -EINVAL);
		CHECK(err.kind == ERR_InvalidValue && err.text[0]);
	}
}

static void test_create(void)
{
	struct cg a = ct("a", USUAL, &top), b = ct("a/b", 0, &a);
	struct err err = {};
	autotext struct text t = {};
	SAME(cg_create(g, &a, &err), 0);
	SAME(cg_create(g, &a, &err), -EEXIST);
	CHECK(strstr(err.text, "cgroup a in "));
	SAME(cg_create(g, &b, &err), 0);
	CHECK(dir_exists(&b, CG_TRACK, "") && dir_of(&b, CG_TRACK, &t) && strstr(t.p, "/a/b"));
	for (enum cg_ctl c = CG_CPU; c <= CG_PIDS; c++)
		if (a.own & CG_BIT(c)) {
			CHECK(dir_exists(&a, c, ""));
			/* a level without the controller shares its parent's */
			CHECK(dir_of(&b, c, &t) && !strstr(t.p, "/a/b"));
		}
	CHECK(cg_empty(g, &a));
	SAME(cg_remove(g, &a), 0);
	CHECK(!dir_exists(&a, CG_TRACK, ""));
	SAME(cg_remove(g, &a), 0);
	CHECK(cg_empty(g, &a));
}

/* One hierarchy refuses: nothing is left in the others. */
static void test_create_undo(void)
{
	struct cg a = ct("undo", USUAL, &top);
	if (cg_is_v2(g, CG_PIDS) || !has(CG_PIDS))
		return;
	SAME(user_mkdir(&top, CG_PIDS, "/undo"), 0);
	SAME(cg_create(g, &a, NULL), -EEXIST);
	CHECK(!dir_exists(&a, CG_TRACK, "") && !dir_exists(&a, CG_MEMORY, ""));
	SAME(cg_remove(g, &a), 0);
	struct cg orphan = ct("no/parent", USUAL, &top);
	SAME(cg_create(g, &orphan, NULL), 0);
	struct cg parent = ct("no", USUAL, &top);
	SAME(cg_remove(g, &parent), 0);
	CHECK(!dir_exists(&parent, CG_PIDS, ""));
}

static void test_limits(void)
{
	struct cg a = ct("lim", USUAL, &top), b = ct("lim/b", 0, &a);
	SAME(cg_create(g, &a, NULL), 0);
	SAME(cg_create(g, &b, NULL), 0);
	if (has(CG_CPU)) {
		bool v2 = cg_is_v2(g, CG_CPU);
		SAME(cg_set_cpu_max(g, &b, 1000000000, 100000000), -ENOENT);
		SAME(cg_set_cpu_max(g, &a, 1500000000, 100000000), 0);
		CHECK(v2 ? knob_is(&a, "cpu.max", "150000 100000\n") : knob_is(&a, "cpu.cfs_quota_us", "150000\n"));
		SAME(cg_set_cpu_max(g, &a, 10000000, 10000000), 0); /* a hundredth of 10 ms: the smallest quota, so a longer period */
		CHECK(v2 ? knob_is(&a, "cpu.max", "1000 100000\n") : knob_is(&a, "cpu.cfs_quota_us", "1000\n"));
		SAME(cg_set_cpu_max(g, &a, 333333333, 2000000000), 0); /* the longest period; rounded up */
		CHECK(v2 ? knob_is(&a, "cpu.max", "333334 1000000\n") : knob_is(&a, "cpu.cfs_quota_us", "333334\n"));
		SAME(cg_set_cpu_max(g, &a, 1024000ull * 1000000000, 100000000), 0);
		SAME(cg_set_cpu_max(g, &a, 0, 100000000), 0);
		CHECK(v2 ? knob_is(&a, "cpu.max", "max 100000\n") : knob_is(&a, "cpu.cfs_quota_us", "-1\n"));
		static const struct {
			uint64_t cores_nsec;
			double factor;
			const char *v1, *v2;
		} weights[] = {
			{1500000000, 1, "1536\n", "150\n"}, {0, 1, "2\n", "1\n"},	   {0, 3, "6\n", "3\n"},
			{0, 0.5, "2\n", "1\n"},		   {1000000000, 0, "2\n", "1\n"}, {1000000000, 0.5, "512\n", "50\n"},
			{UINT64_MAX, 1600, "262144\n", "10000\n"},
		};
		for (size_t i = 0; i < ARRAY_LEN(weights); i++) {
			SAME(cg_set_cpu_weight(g, &a, weights[i].cores_nsec, weights[i].factor), 0);
			CHECK(knob_is(&a, v2 ? "cpu.weight" : "cpu.shares", v2 ? weights[i].v2 : weights[i].v1));
		}
		uint64_t throttled = 1;
		SAME(cg_cpu_throttled(g, &a, &throttled), 0);
		SAME(throttled, 0);
		SAME(cg_cpu_throttled(g, &b, &throttled), -ENOENT);
	}
	if (has(CG_MEMORY)) {
		bool v2 = cg_is_v2(g, CG_MEMORY);
		static const uint64_t steps[] = {64 << 20, 32 << 20, 128 << 20, 0, 16 << 20, 0};
		for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
			char want[64];
			SAME(cg_set_memory_max(g, &a, steps[i]), 0);
			snprintf(want, sizeof(want), "%llu\n", steps[i] ? (unsigned long long)steps[i] : 9223372036854771712ull);
			CHECK(knob_is(&a, v2 ? "memory.max" : "memory.limit_in_bytes", v2 && !steps[i] ? "max\n" : want));
		}
		/* the child reads what it shares */
		autotext struct text t = {};
		SAME(cg_knob(g, &b, "memory.stat", &t), 0);
		CHECK(t.len > 100);
	}
	if (has(CG_PIDS)) {
		SAME(cg_set_pids_max(g, &a, 7), 0);
		CHECK(knob_is(&a, "pids.max", "7\n"));
		SAME(cg_set_pids_max(g, &a, 0), 0);
		CHECK(knob_is(&a, "pids.max", "max\n"));
	} else {
		SAME(cg_set_pids_max(g, &a, 7), -EOPNOTSUPP);
	}
	destroy(&a);
}

static void test_knobs(void)
{
	static const char *const bad[] = {"", ".", "..", "tasks", "../x", "cgroup/procs", "cgroup.procs/", "bogus.max", "memory/../x.y", "."};
	struct cg a = ct("knob", USUAL, &top);
	autotext struct text t = {};
	SAME(cg_create(g, &a, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		SAME(cg_knob(g, &a, bad[i], &t), -EINVAL);
	SAME(cg_knob(g, &a, "memory.no_such", &t), -ENOENT);
	SAME(cg_knob(g, &a, "cgroup.procs", &t), 0);
	CHECK(t.len == 0);
	if (cg_is_v2(g, CG_TRACK)) {
		SAME(cg_knob(g, &a, "cgroup.events", &t), 0);
		SAME(cg_knob(g, &a, "cpu.stat", &t), 0);
	}
	destroy(&a);
}

static void fill(size_t bytes)
{
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (size_t i = 0; i < bytes; i += 4096)
		p[i] = 1;
}

static int eater(void)
{
	fill(24 << 20);
	shared[0] = 1;
	return sleeper();
}

static int glutton(void)
{
	fill(64 << 20);
	return 0;
}

static void test_memory(void)
{
	struct cg a = ct("mem", USUAL, &top);
	uint64_t used = 0, kills = 99;
	if (!has(CG_MEMORY))
		return;
	SAME(cg_create(g, &a, NULL), 0);
	SAME(cg_oom_kills(g, &a, &kills), 0);
	SAME(kills, 0);
	shared[0] = 0;
	pid_t pid = spawn(&a, eater);
	CHECK(UNTIL(shared[0]));
	SAME(cg_memory_usage(g, &a, &used), 0);
	CHECK(used >= 24 << 20 && used < 64 << 20);
	/* what can't be reclaimed: refused, the old limit stands, nobody dies */
	SAME(cg_set_memory_max(g, &a, 100 << 20), 0);
	SAME(cg_set_memory_max(g, &a, 8 << 20), -EBUSY);
	CHECK(knob_is(&a, cg_is_v2(g, CG_MEMORY) ? "memory.max" : "memory.limit_in_bytes", "104857600\n"));
	SAME(kill(pid, 0), 0);
	CHECK(kill_all(&a));
	killed_by(pid);
	SAME(cg_renew(g, &a), 0);
	SAME(cg_set_memory_max(g, &a, 32 << 20), 0);
	pid = spawn(&a, glutton);
	SAME(killed_by(pid), SIGKILL);
	SAME(cg_oom_kills(g, &a, &kills), 0);
	SAME(kills, 1);
	destroy(&a);
}

static int burner(void)
{
	for (struct timespec t = {}; t.tv_sec * 1000000000 + t.tv_nsec < 50000000;)
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return 0;
}

static void test_cpu_usage(void)
{
	struct cg a = ct("cpu", USUAL, &top);
	struct cg_cpu_time t = {.used = 1};
	uint64_t throttled = 1;
	if (!has(CG_CPUACCT))
		return;
	SAME(cg_create(g, &a, NULL), 0);
	SAME(cg_cpu_usage(g, &a, &t), 0);
	SAME(t.used, 0);
	killed_by(spawn(&a, burner));
	SAME(cg_cpu_usage(g, &a, &t), 0);
	CHECK(t.used >= 45000000 && t.used < 5000000000);
	CHECK(t.system <= t.used);
	/* one file for both on v2 alone; then both ways say the same */
	if (has(CG_CPU))
		CHECK(t.has_throttled == cg_is_v2(g, CG_CPU));
	if (t.has_throttled) {
		SAME(cg_cpu_throttled(g, &a, &throttled), 0);
		SAME(t.throttled, throttled);
	}
	destroy(&a);
}

static unsigned open_slots(const struct cg *c)
{
	unsigned n = 0;
	for (size_t i = 0; i < ARRAY_LEN(c->kept->fd); i++)
		n += c->kept->fd[i] != 0;
	return n;
}

/* All that is counted, and that it can be. */
static void count_all(const struct cg *c, uint64_t processes)
{
	struct cg_cpu_time t;
	uint64_t bytes, kills = 9, n = 99;
	SAME(cg_cpu_usage(g, c, &t), 0);
	if (has(CG_MEMORY)) {
		SAME(cg_memory_usage(g, c, &bytes), 0);
		SAME(cg_oom_kills(g, c, &kills), 0);
		SAME(kills, 0);
	}
	SAME(cg_count(g, c, false, &n), 0);
	SAME(n, processes);
	SAME(cg_count(g, c, true, &n), 0);
	SAME(n, processes);
}

static void test_keep(void)
{
	struct cg_kept kept = {}, child_kept = {};
	struct cg a = ct("keep", USUAL, &top), below = ct("keep/below", USUAL, &a);
	if (!has(CG_CPUACCT))
		return;
	a.kept = &kept;
	below.kept = &child_kept;
	SAME(cg_create(g, &a, NULL), 0);
	count_all(&a, 0);
	SAME(open_slots(&a), 0); /* not asked for */
	cg_keep(g, true);
	count_all(&a, 0);
	unsigned n = open_slots(&a);
	CHECK(n >= 4);
	spawn(&a, sleeper);
	count_all(&a, 1);
	SAME(open_slots(&a), n);
	/* with a cgroup below its processes count too */
	SAME(cg_create(g, &below, NULL), 0);
	spawn(&below, sleeper);
	count_all(&a, 2);
	count_all(&below, 1);
	destroy(&below);
	CHECK(kill_all(&a));
	/* a descriptor of what was removed is not one of what has its name now */
	CHECK(UNTIL(cg_remove(g, &a) == 0));
	SAME(cg_create(g, &a, NULL), 0);
	spawn(&a, sleeper);
	count_all(&a, 1);
	cg_keep(g, false);
	cg_let_go(g, &a);
	cg_let_go(g, &below);
	SAME(open_slots(&a), 0);
	SAME(open_slots(&below), 0);
	count_all(&a, 1);
	SAME(open_slots(&a), 0);
	destroy(&a);
}

static void test_cpuset(void)
{
	struct cg a = ct("cs", CG_BIT(CG_CPUSET), &top), b = ct("cs/x", 0, &a), c = ct("cs/x/c", CG_BIT(CG_CPUSET), &b);
	if (!has(CG_CPUSET))
		return;
	SAME(cg_create(g, &a, NULL), 0);
	SAME(cg_create(g, &b, NULL), 0);
	SAME(cg_create(g, &c, NULL), 0);
	pid_t pid = spawn(&c, sleeper);
	poll(NULL, 0, 20);
	SAME(kill(pid, 0), 0);
	CHECK(lives_in(pid, "cs/x/c"));
	destroy(&a);
	SAME(killed_by(pid), SIGKILL);
}

static void test_hugetlb(void)
{
	struct cg a = ct("huge", CG_BIT(CG_HUGETLB) | USUAL, &top), b = ct("huge/b", CG_BIT(CG_HUGETLB), &a);
	autotext struct text t = {};
	if (!has(CG_HUGETLB))
		return;
	SAME(cg_create(g, &a, NULL), 0);
	pid_t in_a = spawn(&a, sleeper);
	SAME(cg_create(g, &b, NULL), 0);
	pid_t in_b = spawn(&b, sleeper);
	CHECK(lives_in(in_a, "huge") && lives_in(in_b, "huge/b"));
	SAME(cg_knob(g, &b, cg_is_v2(g, CG_HUGETLB) ? "hugetlb.2MB.max" : "hugetlb.2MB.limit_in_bytes", &t), 0);
	destroy(&a);
	killed_by(in_a);
	killed_by(in_b);
}

static double now_usec(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Figures for people; no test depends on them. */
static void test_cost(void)
{
	static const int rounds = 200;
	double sum[4] = {}, bare = 0;
	struct cg a = ct("cost", USUAL, &top);
	for (int i = 0; i < rounds; i++) {
		double at[5];
		int tasks[CG_CTLS];
		at[0] = now_usec();
		cg_create(g, &a, NULL);
		at[1] = now_usec();
		cg_set_cpu_max(g, &a, 500000000, 100000000);
		cg_set_memory_max(g, &a, 64 << 20);
		cg_set_pids_max(g, &a, 100);
		at[2] = now_usec();
		int dir = cg_clone_fd(g, &a), n = cg_tasks_fds(g, &a, tasks);
		while (n > 0)
			close(tasks[--n]);
		if (dir >= 0)
			close(dir);
		at[3] = now_usec();
		SAME(cg_remove(g, &a), 0);
		at[4] = now_usec();
		for (int k = 0; k < 4; k++)
			sum[k] += at[k + 1] - at[k];
	}
	autostrv struct strv dirs = {};
	for (enum cg_ctl c = 0; c < CG_CTLS; c++) {
		autotext struct text t = {};
		if (!(a.own & CG_BIT(c)) || !dir_of(&a, c, &t))
			continue;
		bool known = false;
		for (size_t i = 0; i < dirs.n; i++)
			known |= strcmp(dirs.p[i], t.p) == 0;
		if (!known)
			strv_add(&dirs, t.p);
	}
	for (int i = 0; i < rounds; i++) {
		double start = now_usec();
		for (size_t k = 0; k < dirs.n; k++)
			mkdir(dirs.p[k], 0755);
		for (size_t k = 0; k < dirs.n; k++)
			rmdir(dirs.p[k]);
		bare += now_usec() - start;
	}
	printf("# cost in us: create %.0f, 3 limits %.0f, open to join %.0f, remove %.0f; bare mkdir and rmdir in %zu hierarchies %.0f\n",
	       sum[0] / rounds, sum[1] / rounds, sum[2] / rounds, sum[3] / rounds, dirs.n, bare / rounds);
}

const struct cgroup_test tests[] = {
	{"names: each controller has a hierarchy or a reason", test_names},
	{"open: bad roots are refused", test_bad_roots},
	{"create: in every hierarchy, once", test_create},
	{"create: all or nothing", test_create_undo},
	{"limits: are what the kernel reads back", test_limits},
	{"knobs: plain names only", test_knobs},
	{"memory: used, refused below use, counted when it kills", test_memory},
	{"cpu: time is counted", test_cpu_usage},
	{"counters: the same by descriptors that are kept", test_keep},
	{"cpuset: new ones can be joined", test_cpuset},
	{"hugetlb: on demand", test_hugetlb},
	{"cost", test_cost},
};
const size_t tests_n = ARRAY_LEN(tests);
