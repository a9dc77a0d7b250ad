/* engine/cgroup.c: processes in cgroups: born, frozen, killed, moved, and what they leave. */
#include "tests/unit/cgroup_kit.h"

#include <pthread.h>

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

static bool keeps(void *arg UNUSED, const char *path)
{
	CHECK(!strchr(path, '+'));
	CHECK(strcmp(path, "sw/users") != 0);
	return strcmp(path, "sw") == 0 || strcmp(path, "sw/kept") == 0;
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

const struct cgroup_test tests[] = {
	{"processes: are born inside, found, counted", test_processes},
	{"freeze: stops the subtree, and a frozen one can be killed", test_freeze},
	{"kill: ends a fork bomb", test_fork_bomb},
	{"renew: a process can be born where others were killed", test_renew},
	{"remove: takes what users have made inside, EBUSY while something lives", test_remove},
	{"users' cgroups: belong to the container", test_users_cgroup},
	{"attach: a process, or nothing", test_attach},
	{"attach: one thread", test_attach_thread},
	{"create: a grandchild's controllers that its parent does not have", test_gap},
	{"sweep: removes what nobody claims and leaves users' cgroups", test_sweep},
};
const size_t tests_n = ARRAY_LEN(tests);
