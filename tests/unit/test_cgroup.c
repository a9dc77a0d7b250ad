/*
 * engine/cgroup.c against this kernel's real hierarchies, below a root of its own. Runs as root. Everything is done twice:
 * with v2 where it is mounted, and with the v1 freezer alone. The tests run in a child, so that its parent can clean up
 * whatever becomes of them.
 */
#include "engine/cgroup.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "base/fd.h"
#include "engine/cgroup_memory.h"

#define TESTS_SECONDS 100 /* they take one; in an emulated machine ten */

static struct cgroups *g;
static struct cg top; /* our root */
static int checks_failed;

#define CHECK(cond)                                                            \
	do {                                                                   \
		if (!(cond)) {                                                 \
			printf("# %s:%d: %s\n", __FILE__, __LINE__, #cond);    \
			checks_failed++;                                       \
		}                                                              \
	} while (0)

#define SAME(got, want)                                                                            \
	do {                                                                                       \
		long long got_ = (got), want_ = (want);                                            \
		if (got_ != want_) {                                                               \
			printf("# %s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #got, got_, want_); \
			checks_failed++;                                                           \
		}                                                                                  \
	} while (0)

/* Up to five seconds: emulated machines are slow. */
#define UNTIL(cond)                                              \
	({                                                       \
		int tries_ = 500;                                \
		while (!(cond) && --tries_ > 0)                  \
			poll(NULL, 0, 10);                       \
		tries_ > 0;                                      \
	})

static bool has(enum cg_ctl c)
{
	return cg_available(g) & CG_BIT(c);
}

static struct cg ct(const char *path, unsigned own, const struct cg *parent)
{
	return (struct cg){.path = (char *)path, .own = (own | CG_BIT(CG_TRACK)) & cg_available(g), .parent = parent};
}

#define USUAL (CG_BIT(CG_CPU) | CG_BIT(CG_CPUACCT) | CG_BIT(CG_MEMORY) | CG_BIT(CG_PIDS))

/* A process born in c that runs fn and exits with its result. It has joined when this returns. */
static pid_t spawn(const struct cg *c, int (*fn)(void))
{
	int tasks[CG_CTLS], joined[2];
	char byte;
	if (pipe2(joined, O_CLOEXEC) < 0)
		return -1;
	int dir = cg_clone_fd(g, c), n = cg_tasks_fds(g, c, tasks);
	struct clone_args args = {.exit_signal = SIGCHLD};
	if (dir >= 0) {
		args.flags = CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)dir;
	}
	fflush(stdout);
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (int i = 0; i < n; i++)
			if (write(tasks[i], "0", 1) != 1)
				_exit(99);
		close(joined[0]);
		close(joined[1]);
		_exit(fn());
	}
	close(joined[1]);
	CHECK(read(joined[0], &byte, 1) == 0);
	close(joined[0]);
	if (dir >= 0)
		close(dir);
	while (n > 0)
		close(tasks[--n]);
	return pid;
}

static int sleeper(void)
{
	while (pause() < 0)
		;
	return 0;
}

static int killed_by(pid_t pid)
{
	int status = 0;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFSIGNALED(status) ? WTERMSIG(status) : -1;
}

/* As the engine does it: ask until nobody is left. */
static bool kill_all(const struct cg *c)
{
	return UNTIL((cg_kill(g, c), cg_empty(g, c)));
}

static void destroy(const struct cg *c)
{
	CHECK(kill_all(c));
	CHECK(UNTIL(cg_remove(g, c) == 0));
}

static bool dir_of(const struct cg *c, enum cg_ctl ctl, struct text *out)
{
	text_clear(out);
	return cg_dir(g, c, ctl, out) == 0;
}

static bool dir_exists(const struct cg *c, enum cg_ctl ctl, const char *below)
{
	autotext struct text t = {};
	if (!dir_of(c, ctl, &t))
		return false;
	text_add(&t, below);
	return access(t.p, F_OK) == 0;
}

static int user_mkdir(const struct cg *c, enum cg_ctl ctl, const char *below)
{
	autotext struct text t = {};
	if (!dir_of(c, ctl, &t))
		return -ENOENT;
	text_add(&t, below);
	return mkdir(t.p, 0755) < 0 ? -errno : 0;
}

static bool knob_is(const struct cg *c, const char *file, const char *want)
{
	autotext struct text t = {};
	int r = cg_knob(g, c, file, &t);
	if (r == 0 && strcmp(text_str(&t), want) == 0)
		return true;
	printf("# %s: %d '%s', not '%s'\n", file, r, text_str(&t), want);
	return false;
}

static bool lives_in(pid_t pid, const char *want)
{
	autotext struct text t = {};
	int r = cg_of_pid(g, pid, &t);
	if (r == 0 && strcmp(text_str(&t), want) == 0)
		return true;
	printf("# process %d: %d '%s', not '%s'\n", (int)pid, r, text_str(&t), want);
	return false;
}

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

static int count_pids(void *arg, pid_t pid)
{
	CHECK(pid > 0);
	++*(int *)arg;
	return 0;
}

static int stop_at_first(void *arg UNUSED, pid_t pid)
{
	return (int)pid;
}

static void *idle(void *arg UNUSED)
{
	sleeper();
	return NULL;
}

static int three_threads(void)
{
	pthread_t t;
	pthread_create(&t, NULL, idle, NULL);
	pthread_create(&t, NULL, idle, NULL);
	return sleeper();
}

static uint64_t count(const struct cg *c, bool threads)
{
	uint64_t n = 0;
	SAME(cg_count(g, c, threads, &n), 0);
	return n;
}

static void test_processes(void)
{
	struct cg a = ct("p", USUAL, &top), b = ct("p/b", 0, &a);
	int shallow = 0, deep = 0;
	SAME(cg_create(g, &a, NULL), 0);
	SAME(cg_create(g, &b, NULL), 0);
	SAME(count(&a, false), 0);
	pid_t in_a = spawn(&a, sleeper), in_b = spawn(&b, three_threads);
	CHECK(UNTIL(count(&a, true) == 4));
	CHECK(lives_in(in_a, "p") && lives_in(in_b, "p/b"));
	SAME(count(&a, false), 2);
	SAME(count(&b, false), 1);
	SAME(count(&b, true), 3);
	SAME(cg_pids(g, &a, false, count_pids, &shallow), 0);
	SAME(cg_pids(g, &a, true, count_pids, &deep), 0);
	SAME(shallow, 1);
	SAME(deep, 2);
	SAME(cg_pids(g, &b, true, stop_at_first, NULL), in_b);
	CHECK(!cg_empty(g, &a) && !cg_empty(g, &b));
	SAME(cg_remove(g, &b), -EBUSY);
	autotext struct text t = {};
	SAME(cg_of_pid(g, getpid(), &t), -ENOENT);
	SAME(cg_of_pid(g, 999999999, &t), -ESRCH);
	CHECK(kill_all(&b));
	SAME(killed_by(in_b), SIGKILL);
	SAME(kill(in_a, 0), 0);
	destroy(&a);
	SAME(killed_by(in_a), SIGKILL);
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

static volatile char *shared; /* a page seen by all processes of the test */

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
	uint64_t nsec = 1, system = 1;
	if (!has(CG_CPUACCT))
		return;
	SAME(cg_create(g, &a, NULL), 0);
	SAME(cg_cpu_usage(g, &a, &nsec, &system), 0);
	SAME(nsec, 0);
	killed_by(spawn(&a, burner));
	SAME(cg_cpu_usage(g, &a, &nsec, &system), 0);
	CHECK(nsec >= 45000000 && nsec < 5000000000);
	CHECK(system <= nsec);
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
	uint64_t nsec, system, bytes, kills = 9, n = 99;
	SAME(cg_cpu_usage(g, c, &nsec, &system), 0);
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

static int ticker(void)
{
	while (poll(NULL, 0, 1) <= 0)
		++*(volatile uint64_t *)(void *)shared;
	return 0;
}

static bool ticks(void)
{
	uint64_t was = *(volatile uint64_t *)(void *)shared;
	for (int i = 0; i < 20; i++) {
		poll(NULL, 0, 10);
		if (*(volatile uint64_t *)(void *)shared != was)
			return true;
	}
	return false;
}

static void test_freeze(void)
{
	struct cg a = ct("ice", 0, &top), b = ct("ice/b", 0, &a);
	SAME(cg_create(g, &a, NULL), 0);
	SAME(cg_create(g, &b, NULL), 0);
	pid_t pid = spawn(&b, ticker);
	CHECK(ticks());
	CHECK(!cg_frozen(g, &a));
	SAME(cg_freeze(g, &a, true), 0);
	CHECK(UNTIL(cg_frozen(g, &a) && cg_frozen(g, &b)));
	CHECK(!ticks());
	SAME(cg_freeze(g, &a, false), 0);
	CHECK(UNTIL(!cg_frozen(g, &b)));
	CHECK(ticks());
	/* both levels frozen, each by itself: still killed */
	SAME(cg_freeze(g, &b, true), 0);
	SAME(cg_freeze(g, &a, true), 0);
	CHECK(UNTIL(cg_frozen(g, &a)));
	CHECK(kill_all(&a));
	SAME(killed_by(pid), SIGKILL);
	SAME(cg_remove(g, &a), 0);
	SAME(cg_freeze(g, &a, true), -ENOENT);
	CHECK(!cg_frozen(g, &a));
}

static int exits_7(void)
{
	return 7;
}

/* A process started again where others were killed; with children below, and more than once. */
static void test_renew(void)
{
	struct cg a = ct("re", USUAL, &top), b = ct("re/b", 0, &a);
	SAME(cg_create(g, &a, NULL), 0);
	SAME(cg_create(g, &b, NULL), 0);
	for (int i = 0; i < 3; i++) {
		pid_t in_a = spawn(&a, sleeper), in_b = spawn(&b, sleeper);
		int status = 0, n = 0;
		CHECK(lives_in(in_a, "re") && lives_in(in_b, "re/b"));
		SAME(cg_pids(g, &a, false, count_pids, &n), 0);
		SAME(n, 1);
		CHECK(kill_all(&a));
		SAME(killed_by(in_a), SIGKILL);
		SAME(killed_by(in_b), SIGKILL);
		SAME(cg_renew(g, &a), 0);
		SAME(cg_renew(g, &b), 0);
		waitpid(spawn(&a, exits_7), &status, 0);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	}
	destroy(&a);
}

static int fork_bomb(void)
{
	signal(SIGCHLD, SIG_IGN);
	while (fork() >= 0 || poll(NULL, 0, 1) <= 0)
		;
	return 0;
}

static void test_fork_bomb(void)
{
	struct cg a = ct("bomb", USUAL, &top);
	if (!has(CG_PIDS))
		return;
	SAME(cg_create(g, &a, NULL), 0);
	SAME(cg_set_pids_max(g, &a, 40), 0);
	pid_t pid = spawn(&a, fork_bomb);
	CHECK(UNTIL(count(&a, true) == 40));
	CHECK(UNTIL(count(&a, false) > 35));
	CHECK(kill_all(&a));
	SAME(killed_by(pid), SIGKILL);
	SAME(count(&a, false), 0);
	destroy(&a);
}

/* Users make cgroups inside, in any hierarchy, as deep as they like. */
static void test_remove(void)
{
	struct cg a = ct("rm", USUAL, &top);
	autotext struct text deep = {};
	SAME(cg_create(g, &a, NULL), 0);
	for (enum cg_ctl c = 0; c < CG_CTLS; c++) {
		if (!(a.own & CG_BIT(c)))
			continue;
		user_mkdir(&a, c, "/x");
		user_mkdir(&a, c, "/x/y");
		user_mkdir(&a, c, "/x/z");
		user_mkdir(&a, c, "/w");
	}
	for (int i = 0; i < 60; i++) {
		text_add(&deep, "/d");
		SAME(user_mkdir(&a, CG_TRACK, text_str(&deep)), 0);
	}
	pid_t pid = spawn(&a, sleeper);
	SAME(cg_remove(g, &a), -EBUSY);
	CHECK(lives_in(pid, "rm"));
	CHECK(kill_all(&a));
	killed_by(pid);
	CHECK(UNTIL(cg_remove(g, &a) == 0));
	for (enum cg_ctl c = 0; c < CG_CTLS; c++)
		CHECK(!(a.own & CG_BIT(c)) || !dir_exists(&a, c, ""));
}

/* A process deep inside user-made cgroups belongs to the container, and dies with it. */
static void test_users_cgroup(void)
{
	struct cg a = ct("u", 0, &top);
	autotext struct text dir = {};
	SAME(cg_create(g, &a, NULL), 0);
	pid_t pid = spawn(&a, sleeper);
	SAME(user_mkdir(&a, CG_TRACK, "/own"), 0);
	CHECK(dir_of(&a, CG_TRACK, &dir));
	text_addf(&dir, "/own/cgroup.procs");
	char text[16];
	snprintf(text, sizeof(text), "%d", (int)pid);
	SAME(file_write(AT_FDCWD, dir.p, text), 0);
	SAME(count(&a, false), 1);
	CHECK(lives_in(pid, "u/own"));
	CHECK(!cg_empty(g, &a));
	destroy(&a);
	SAME(killed_by(pid), SIGKILL);
}

static pid_t outsider(void)
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(sleeper());
	}
	return pid;
}

static void read_cgroups(pid_t pid, struct text *out)
{
	char path[32];
	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	text_clear(out);
	file_read(AT_FDCWD, path, 1 << 20, out);
}

static void test_attach(void)
{
	struct cg a = ct("at", USUAL, &top), gone = ct("gone", USUAL, &top);
	struct err err = {};
	autotext struct text before = {}, after = {};
	SAME(cg_create(g, &a, NULL), 0);
	pid_t pid = outsider();
	read_cgroups(pid, &before);
	SAME(cg_attach(g, &gone, pid, false, &err), -ENOENT);
	CHECK(err.text[0]);
	read_cgroups(pid, &after);
	CHECK(strcmp(before.p, after.p) == 0);
	SAME(cg_attach(g, &a, pid, false, NULL), 0);
	CHECK(lives_in(pid, "at"));
	SAME(count(&a, true), 1);
	SAME(cg_attach(g, &a, 999999999, false, &err), -ESRCH);

	/* half of it made: what was moved goes back */
	struct cg half = ct("half", CG_BIT(CG_PIDS), &top), lie = ct("half", USUAL, &top);
	SAME(cg_create(g, &half, NULL), 0);
	if (has(CG_MEMORY) && !cg_is_v2(g, CG_MEMORY)) {
		read_cgroups(pid, &before);
		SAME(cg_attach(g, &lie, pid, false, NULL), -ENOENT);
		read_cgroups(pid, &after);
		CHECK(strcmp(before.p, after.p) == 0);
	}
	destroy(&a);
	killed_by(pid);
	destroy(&half);
}

static void test_attach_thread(void)
{
	struct cg a = ct("th", USUAL, &top), b = ct("th/b", USUAL, &a);
	SAME(cg_create(g, &a, NULL), 0);
	SAME(cg_create(g, &b, NULL), 0);
	pid_t pid = spawn(&a, three_threads);
	CHECK(UNTIL(count(&a, true) == 3));
	struct err err = {};
	int r = cg_attach(g, &b, pid, true, &err);
	if (cg_is_v2(g, CG_PIDS)) {
		SAME(r, -EOPNOTSUPP);
		CHECK(err.kind == ERR_NotSupported && err.text[0]);
	} else {
		SAME(r, 0);
		CHECK(lives_in(pid, "th"));
		if (has(CG_PIDS))
			SAME(count(&b, true), 1);
	}
	destroy(&a);
	killed_by(pid);
}

/* A grandchild gets controllers that the level between does not have, while processes live there. */
static void test_gap(void)
{
	struct cg a = ct("gap", 0, &top), b = ct("gap/b", CG_BIT(CG_PIDS) | CG_BIT(CG_MEMORY), &a);
	if (!has(CG_PIDS))
		return;
	SAME(cg_create(g, &a, NULL), 0);
	pid_t in_a = spawn(&a, sleeper);
	struct err err = {};
	SAME(cg_create(g, &b, &err), 0);
	if (err.text[0])
		printf("# %s\n", err.text);
	SAME(cg_set_pids_max(g, &b, 5), 0);
	pid_t in_b = spawn(&b, sleeper);
	CHECK(lives_in(in_a, "gap") && lives_in(in_b, "gap/b"));
	SAME(count(&b, true), 1);
	SAME(count(&a, false), 2);
	destroy(&a);
	killed_by(in_a);
	killed_by(in_b);
	CHECK(!dir_exists(&a, CG_TRACK, ""));
	autotext struct text t = {};
	CHECK(dir_of(&b, CG_PIDS, &t) && access(t.p, F_OK) < 0);
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

static bool keeps(void *arg UNUSED, const char *path)
{
	CHECK(!strchr(path, '+'));
	CHECK(strcmp(path, "sw/users") != 0);
	return strcmp(path, "sw") == 0 || strcmp(path, "sw/kept") == 0;
}

static bool keeps_none(void *arg UNUSED, const char *path UNUSED)
{
	return false;
}

static void test_sweep(void)
{
	struct cg a = ct("sw", USUAL, &top), kept = ct("sw/kept", 0, &a), stale = ct("sw/stale", CG_BIT(CG_PIDS), &a),
		  other = ct("stale", USUAL, &top), below = ct("stale/b", 0, &other);
	const struct cg *all[] = {&a, &kept, &stale, &other, &below};
	pid_t pid[ARRAY_LEN(all)];
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		SAME(cg_create(g, all[i], NULL), 0);
		pid[i] = spawn(all[i], sleeper);
	}
	SAME(user_mkdir(&a, CG_TRACK, "/users"), 0);
	CHECK(UNTIL(cg_sweep(g, keeps, NULL) == 0));
	SAME(killed_by(pid[2]), SIGKILL);
	SAME(killed_by(pid[3]), SIGKILL);
	SAME(killed_by(pid[4]), SIGKILL);
	CHECK(!dir_exists(&stale, CG_TRACK, "") && !dir_exists(&other, CG_TRACK, ""));
	CHECK(dir_exists(&kept, CG_TRACK, "") && dir_exists(&a, CG_TRACK, "/users"));
	SAME(kill(pid[0], 0), 0);
	SAME(kill(pid[1], 0), 0);
	CHECK(lives_in(pid[1], "sw/kept"));
	CHECK(UNTIL(cg_sweep(g, keeps_none, NULL) == 0));
	killed_by(pid[0]);
	killed_by(pid[1]);
	CHECK(!dir_exists(&a, CG_TRACK, ""));
	SAME(cg_sweep(g, keeps_none, NULL), 0);
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

static const struct {
	const char *name;
	void (*fn)(void);
} tests[] = {
	{"names: each controller has a hierarchy or a reason", test_names},
	{"open: bad roots are refused", test_bad_roots},
	{"create: in every hierarchy, once", test_create},
	{"create: all or nothing", test_create_undo},
	{"processes: are born inside, found, counted", test_processes},
	{"limits: are what the kernel reads back", test_limits},
	{"knobs: plain names only", test_knobs},
	{"memory: used, refused below use, counted when it kills", test_memory},
	{"cpu: time is counted", test_cpu_usage},
	{"counters: the same by descriptors that are kept", test_keep},
	{"freeze: stops the subtree, and a frozen one can be killed", test_freeze},
	{"kill: ends a fork bomb", test_fork_bomb},
	{"renew: a process can be born where others were killed", test_renew},
	{"remove: takes what users have made inside, EBUSY while something lives", test_remove},
	{"users' cgroups: belong to the container", test_users_cgroup},
	{"attach: a process, or nothing", test_attach},
	{"attach: one thread", test_attach_thread},
	{"create: a grandchild's controllers that its parent does not have", test_gap},
	{"cpuset: new ones can be joined", test_cpuset},
	{"hugetlb: on demand", test_hugetlb},
	{"sweep: removes what nobody claims and leaves users' cgroups", test_sweep},
	{"cost", test_cost},
};

static int open_fds(void)
{
	int n = 0;
	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static int run_all(const char *root, bool v2)
{
	struct err err = {};
	int failed = 0;
	int r = cg_open(root, v2, &g, &err);
	if (r < 0) {
		printf("ok - %s # skip %s\n", v2 ? "with v2" : "v1 alone", err.text);
		return r == -EOPNOTSUPP && !v2 ? 0 : 1;
	}
	top = (struct cg){.path = (char *)"", .own = CG_BIT(CG_TRACK)};
	int fds = open_fds();
	for (size_t i = 0; i < ARRAY_LEN(tests); i++) {
		checks_failed = 0;
		tests[i].fn();
		SAME(open_fds(), fds);
		printf("%s - %s: %s\n", checks_failed ? "not ok" : "ok", v2 ? "with v2" : "v1 alone", tests[i].name);
		fflush(stdout);
		failed += checks_failed != 0;
	}
	checks_failed = 0;
	SAME(cg_remove_root(g), 0);
	CHECK(!dir_exists(&top, CG_TRACK, "") && !dir_exists(&top, CG_MEMORY, ""));
	printf("%s - %s: the root is removed\n", checks_failed ? "not ok" : "ok", v2 ? "with v2" : "v1 alone");
	failed += checks_failed != 0;
	cg_close(g);
	return failed;
}

/* Whatever has become of the tests. */
static void clean_up(const char *root, bool v2)
{
	struct cgroups *left;
	if (cg_open(root, v2, &left, NULL) < 0)
		return;
	UNTIL(cg_sweep(left, keeps_none, NULL) == 0);
	cg_remove_root(left);
	cg_close(left);
}

static volatile pid_t runner;

/* Also when a test hangs: end it, and go on to the cleaning up. */
static void end_tests(int sig UNUSED)
{
	kill(runner, SIGKILL);
}

int main(void)
{
	static const int ends[] = {SIGALRM, SIGTERM, SIGINT, SIGHUP};
	int failed = 0;
	if (geteuid() != 0) {
		printf("1..0 # skip needs root\n");
		return 0;
	}
	printf("1..%zu\n", 2 * (ARRAY_LEN(tests) + 1));
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (int v2 = 1; v2 >= 0; v2--) {
		char root[64];
		int status = 0;
		snprintf(root, sizeof(root), "porto-cgtest-%d", (int)getpid());
		fflush(stdout);
		pid_t pid = fork();
		if (pid == 0) {
			int r = run_all(root, v2);
			fflush(stdout);
			_exit(r != 0);
		}
		runner = pid;
		for (size_t i = 0; i < ARRAY_LEN(ends); i++)
			signal(ends[i], end_tests);
		alarm(TESTS_SECONDS);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		alarm(0);
		clean_up(root, v2);
		if (!WIFEXITED(status))
			printf("not ok - %s: the tests were ended by signal %d\n", v2 ? "with v2" : "v1 alone", WTERMSIG(status));
		failed += status != 0;
	}
	return failed != 0;
}
