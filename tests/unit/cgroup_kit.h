/*
 * tests/unit/cgroup_kit.h: what tests of engine/cgroup*.c share: a root of their own below this kernel's real hierarchies,
 * processes born in cgroups, and main(), which runs the rows of the one file that includes this. Runs as root. Everything is
 * done twice: with v2 where it is mounted, and with the v1 freezer alone. The tests run in a child, so that its parent can
 * clean up whatever becomes of them.
 */
#ifndef TESTS_UNIT_CGROUP_KIT_H
#define TESTS_UNIT_CGROUP_KIT_H

#include "engine/cgroup.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/fd.h"

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

static UNUSED volatile char *shared; /* a page seen by all processes of the test */

static UNUSED bool has(enum cg_ctl c)
{
	return cg_available(g) & CG_BIT(c);
}

static UNUSED struct cg ct(const char *path, unsigned own, const struct cg *parent)
{
	return (struct cg){.path = (char *)path, .own = (own | CG_BIT(CG_TRACK)) & cg_available(g), .parent = parent};
}

#define USUAL (CG_BIT(CG_CPU) | CG_BIT(CG_CPUACCT) | CG_BIT(CG_MEMORY) | CG_BIT(CG_PIDS))

/* A process born in c that runs fn and exits with its result. It has joined when this returns. */
static UNUSED pid_t spawn(const struct cg *c, int (*fn)(void))
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

static UNUSED int sleeper(void)
{
	while (pause() < 0)
		;
	return 0;
}

static UNUSED int killed_by(pid_t pid)
{
	int status = 0;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFSIGNALED(status) ? WTERMSIG(status) : -1;
}

/* As the engine does it: ask until nobody is left. */
static UNUSED bool kill_all(const struct cg *c)
{
	return UNTIL((cg_kill(g, c), cg_empty(g, c)));
}

static UNUSED void destroy(const struct cg *c)
{
	CHECK(kill_all(c));
	CHECK(UNTIL(cg_remove(g, c) == 0));
}

static UNUSED bool dir_of(const struct cg *c, enum cg_ctl ctl, struct text *out)
{
	text_clear(out);
	return cg_dir(g, c, ctl, out) == 0;
}

static UNUSED bool dir_exists(const struct cg *c, enum cg_ctl ctl, const char *below)
{
	autotext struct text t = {};
	if (!dir_of(c, ctl, &t))
		return false;
	text_add(&t, below);
	return access(t.p, F_OK) == 0;
}

static UNUSED int user_mkdir(const struct cg *c, enum cg_ctl ctl, const char *below)
{
	autotext struct text t = {};
	if (!dir_of(c, ctl, &t))
		return -ENOENT;
	text_add(&t, below);
	return mkdir(t.p, 0755) < 0 ? -errno : 0;
}

static UNUSED bool knob_is(const struct cg *c, const char *file, const char *want)
{
	autotext struct text t = {};
	int r = cg_knob(g, c, file, &t);
	if (r == 0 && strcmp(text_str(&t), want) == 0)
		return true;
	printf("# %s: %d '%s', not '%s'\n", file, r, text_str(&t), want);
	return false;
}

static UNUSED bool lives_in(pid_t pid, const char *want)
{
	autotext struct text t = {};
	int r = cg_of_pid(g, pid, &t);
	if (r == 0 && strcmp(text_str(&t), want) == 0)
		return true;
	printf("# process %d: %d '%s', not '%s'\n", (int)pid, r, text_str(&t), want);
	return false;
}

struct cgroup_test {
	const char *name;
	void (*fn)(void);
};
extern const struct cgroup_test tests[];
extern const size_t tests_n;

static bool keeps_none(void *arg UNUSED, const char *path UNUSED)
{
	return false;
}

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
	for (size_t i = 0; i < tests_n; i++) {
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
	printf("1..%zu\n", 2 * (tests_n + 1));
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

#endif
