/*
 * The new process: what it is given and told. It is porto-init (birth.c), which waits for its operations on a pipe. They
 * are sent only after the record with the pid is saved: before that it can do nothing that a crash of ours would make
 * happen twice.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>

#include "base/fd.h"
#include "engine/birth.h"
#include "engine/caps.h"
#include "engine/cpu.h"
#include "engine/cred.h"
#include "engine/devices.h"
#include "engine/env.h"
#include "engine/hooks.h"
#include "engine/init/proto.h"
#include "engine/io.h"
#include "engine/memory.h"
#include "engine/output.h"
#include "engine/run.h"
#include "engine/save.h"
#include "engine/seccomp.h"
#include "engine/taken.h"
#include "engine/ulimit.h"

#define PIPE_DEFAULT 65536

struct spawn {
	struct ct *ct;
	struct text ops;
	struct birth b;
	bool owned[BIRTH_FDS]; /* close b.fds[i] at the end */
	int ops_write, report_read;
};

static void op(struct spawn *s, const char *name)
{
	text_addn(&s->ops, name, strlen(name) + 1);
}

static void op1(struct spawn *s, const char *name, const char *arg)
{
	op(s, name);
	op(s, arg);
}

static void op_num(struct spawn *s, const char *name, long n)
{
	char buf[24];

	snprintf(buf, sizeof(buf), "%ld", n);
	op1(s, name, buf);
}

/* The number under which the new process will have fd; -EMFILE. */
static int pass(struct spawn *s, int fd, bool owned)
{
	if (s->b.count >= BIRTH_FDS) {
		if (owned)
			close(fd);
		return -EMFILE;
	}
	s->b.fds[s->b.count] = fd;
	s->owned[s->b.count] = owned;
	return INIT_OPS_FD + s->b.count++;
}

/* ---- the list of operations ---- */

static int add_cgroups(struct spawn *s)
{
	struct ct *ct = s->ct, *home = ct->has_cg ? ct : ct->parent;
	int tasks[CG_CTLS], n;

	n = cg_tasks_fds(ct->e->cgroups, &home->cg, tasks);
	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		int at = pass(s, tasks[i], true);

		if (at < 0)
			return at;
		op_num(s, "tasks", at);
	}
	s->b.cgroup_fd = cg_clone_fd(ct->e->cgroups, &home->cg);
	if (s->b.cgroup_fd < 0)
		return s->b.cgroup_fd != -ENOENT ? s->b.cgroup_fd : 0;
	if (!home->cg_killed)
		return 0;
	/* a clone into a cgroup whose cgroup.kill was once written is killed by kernels 6.14 to 6.18: join by hand */
	n = openat(s->b.cgroup_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	if (n < 0)
		return -errno;
	close(s->b.cgroup_fd);
	s->b.cgroup_fd = -1;
	n = pass(s, n, true);
	if (n >= 0)
		op_num(s, "tasks", n);
	return n < 0 ? n : 0;
}

static int add_mounts(struct spawn *s, struct err *err)
{
	struct ct *ct = s->ct;

	int r;

	if (!(s->b.flags & CLONE_NEWNS))
		return 0;
	op(s, "slave");
	if (ct_has_root(ct)) {
		op1(s, "root", ct->val[PROP_root].s);
		op(s, "dev");
		r = devices_ops(ct, &s->ops, err);
		if (r < 0)
			return r;
		op(s, "sys");
	}
	if (s->b.flags & CLONE_NEWPID || ct_has_root(ct))
		op(s, "proc");
	for (size_t i = 0; i < ct->val[PROP_bind].v.n; i++) {
		autostrv struct strv words = {};

		if (strv_split(ct->val[PROP_bind].v.p[i], ' ', &words) < 0 || words.n < 2)
			continue;
		op(s, "bind");
		op(s, words.p[0]);
		op(s, words.p[1]);
		op(s, words.n > 2 ? words.p[2] : "");
	}
	if (ct_has_root(ct))
		op(s, "pivot");
	return 0;
}

static void op_limit(struct spawn *s, uint64_t v)
{
	char buf[24];

	snprintf(buf, sizeof(buf), "%llu", (unsigned long long)v);
	op(s, v == RLIM_INFINITY ? "unlimited" : buf);
}

static int add_rlimits(struct spawn *s)
{
	struct limits l;
	int r = ulimit_effective(s->ct, NULL, &l);

	ulimit_reborn(s->ct);
	for (int res = 0; r == 0 && res < RLIM_NLIMITS; res++) {
		if (l.of[res].from == LIMIT_UNSET)
			continue;
		op1(s, "rlimit", ulimit_name(res));
		op_limit(s, l.of[res].soft);
		op_limit(s, l.of[res].hard);
		op(s, l.of[res].from == LIMIT_EXPLICIT ? "explicit" : "default");
	}
	return r;
}

/* A descriptor taken from a writer; after a restart of ours it is taken again from the same process, if it still is there. */
static int taken_fd(struct ct *ct, int n, struct err *err)
{
	struct stream *st = &ct->streams[n];
	static const int prop[3] = { PROP_stdin_path, PROP_stdout_path, PROP_stderr_path };
	const char *path = ct->val[prop[n]].s;
	autoclose int pidfd = -1;
	uint64_t dev, ino;

	if (st->fd >= 0)
		return 0;
	pidfd = proc_open(st->pid, st->pid_start);
	if (pidfd < 0)
		return err_set(err, ERR_InvalidValue, "%s: %s: its process has gone", props[prop[n]].name, path);
	st->fd = fd_from_process(pidfd, atoi(path + 8));
	if (st->fd < 0)
		return err_set(err, ERR_InvalidValue, "%s: %s: the descriptor is closed", props[prop[n]].name, path);
	if (taken_check(st->fd, st->pid, props[prop[n]].name, err) < 0) {
		taken_close(ct->e, TAKE_FD(st->fd));
		return -EOPNOTSUPP;
	}
	/* the number may be another file by now, and the process another program with more rights */
	if (taken_identity(st->fd, &dev, &ino) < 0 || dev != st->dev || ino != st->ino || !cred_may_take(st->pid, st->uid)) {
		taken_close(ct->e, TAKE_FD(st->fd));
		return err_set(err, ERR_InvalidValue, "%s: %s: is not any more what it was when this was written", props[prop[n]].name,
			       path);
	}
	return 0;
}

/* Streams that are descriptors; paths are opened later, by the task's user inside. */
static int add_stream(struct spawn *s, int n, struct err *err)
{
	static const int prop[3] = { PROP_stdin_path, PROP_stdout_path, PROP_stderr_path };
	struct ct *ct = s->ct;
	const char *path = ct->val[prop[n]].s;
	char nbuf[8], fdbuf[16];
	int fd, at, r;

	if (path != NULL && strncmp(path, "/dev/fd/", 8) == 0) {
		r = taken_fd(ct, n, err);
		if (r < 0)
			return r;
		at = pass(s, ct->streams[n].fd, false);
	} else if (path == NULL || path[0] == '\0') {
		fd = output_open(ct, n, err);
		if (fd < 0)
			return fd;
		at = pass(s, fd, true);
	} else {
		return 0;
	}
	if (at < 0)
		return err_sys(err, -at, "streams");
	snprintf(nbuf, sizeof(nbuf), "%d", n);
	snprintf(fdbuf, sizeof(fdbuf), "%d", at);
	op(s, "stream");
	op(s, nbuf);
	op(s, fdbuf);
	return 0;
}

static void add_paths(struct spawn *s)
{
	static const int prop[3] = { PROP_stdin_path, PROP_stdout_path, PROP_stderr_path };

	for (int n = 0; n < 3; n++) {
		const char *path = s->ct->val[prop[n]].s;
		char nbuf[8];

		if (path == NULL || path[0] == '\0' || strncmp(path, "/dev/fd/", 8) == 0)
			continue;
		snprintf(nbuf, sizeof(nbuf), "%d", n);
		op(s, "open");
		op(s, nbuf);
		op(s, path);
		op(s, n == 0 ? "r" : "a");
	}
}

/*
 * The daemon is the last that the kernel may kill when memory is short, and porto-init with it; a container's command is like
 * any other process, unless oom_score_adj says otherwise. To raise the value is allowed to all, to lower it is not: where ours
 * is not below, it stays.
 */
static void add_oom_adj(struct spawn *s)
{
	if (prop_is_set(s->ct, PROP_oom_score_adj) || memory_own_oom_adj() < 0)
		op_num(s, "oom_adj", (long)s->ct->val[PROP_oom_score_adj].i);
}

static void add_sched(struct spawn *s)
{
	struct cpu_sched sched = cpu_sched_of(s->ct);
	static const char *const words[] = { [SCHED_OTHER] = "other", [SCHED_BATCH] = "batch", [SCHED_IDLE] = "idle" };

	if (sched.policy == SCHED_OTHER && sched.nice == 0)
		return;
	op(s, "sched");
	op_num(s, words[sched.policy], sched.nice);
}

static void op_mask(struct spawn *s, const char *name, uint64_t mask)
{
	char buf[24];

	snprintf(buf, sizeof(buf), "%llx", (unsigned long long)mask);
	op1(s, name, buf);
}

/* What holds for porto-init as well, which stays beside the command: no process of the container may get more through it. */
static int add_rights(struct spawn *s, struct err *err)
{
	const char *profiles[SECCOMP_CHAIN_MAX + 1];
	uint64_t caps = caps_allowed(s->ct);
	int n = seccomp_profiles(s->ct, profiles);

	op(s, "keyring");
	op_mask(s, "bound", caps);
	for (int i = 0; i < n; i++) {
		int fd = seccomp_program(profiles[i], caps, err), at;

		if (fd < 0)
			return fd;
		/* our own: what is kept may be closed before the process is born */
		fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		at = fd < 0 ? -errno : pass(s, fd, true);
		if (at < 0)
			return err_sys(err, -at, "seccomp");
		op_num(s, "seccomp", at);
	}
	return 0;
}

/* What the command alone has: before the ids. */
static void add_own_rights(struct spawn *s)
{
	if (s->ct->val[PROP_capabilities_ambient].u != 0)
		op_mask(s, "ambient", s->ct->val[PROP_capabilities_ambient].u);
	if (s->ct->val[PROP_no_new_privs].b)
		op(s, "no_new_privs");
}

static int add_command(struct spawn *s, struct err *err)
{
	struct ct *ct = s->ct;
	autotext struct text groups = {}, cwd = {};
	autostrv struct strv env = {};
	char mask[24];
	int r;

	snprintf(mask, sizeof(mask), "%llo", (unsigned long long)ct->val[PROP_umask].u);
	op1(s, "umask", mask);
	op(s, ct->val[PROP_virt_mode].u == VIRT_JOB ? "become" : "fork");
	op(s, "session");
	add_oom_adj(s);
	add_sched(s);
	op(s, "loginuid");
	if (prop_is_set(ct, PROP_coredump_filter) && ct->val[PROP_coredump_filter].s != NULL && ct->val[PROP_coredump_filter].s[0] != '\0')
		op1(s, "coredump_filter", ct->val[PROP_coredump_filter].s);
	for (int n = 0; n < 3; n++) {
		r = add_stream(s, n, err);
		if (r < 0)
			return r;
	}
	cred_groups(ct->task_uid, ct->task_gid, &groups);
	add_own_rights(s);
	op1(s, "groups", text_str(&groups));
	op_num(s, "gid", (long)ct->task_gid);
	op_num(s, "uid", (long)ct->task_uid);
	add_paths(s);
	r = env_build(ct, &env);
	if (r < 0)
		return err_sys(err, -r, "environment");
	for (size_t i = 0; i < env.n; i++)
		op1(s, "env", env.p[i]);
	r = read_cwd(ct, NULL, &cwd, err);
	if (r < 0)
		return r;
	op1(s, "cwd", text_str(&cwd));
	if (ct->val[PROP_command_argv].v.n == 0)
		op1(s, "command", ct->val[PROP_command].s);
	for (size_t i = 0; i < ct->val[PROP_command_argv].v.n; i++)
		op1(s, "arg", ct->val[PROP_command_argv].v.p[i]);
	op(s, "exec");
	return 0;
}

static void add_ioprio(struct spawn *s)
{
	int class, level;
	char word[8];

	if (!io_priority(s->ct, &class, &level))
		return;
	op_num(s, "ioprio", class);
	snprintf(word, sizeof(word), "%d", level);
	op(s, word);
}

static int build_ops(struct spawn *s, struct err *err)
{
	int r = add_cgroups(s);

	if (r < 0)
		return err_sys(err, -r, "cgroup of container %s", s->ct->name);
	r = add_mounts(s, err);
	if (r < 0)
		return r;
	r = add_rlimits(s);
	if (r < 0)
		return err_sys(err, -r, "ulimit");
	add_ioprio(s);
	r = add_rights(s, err);
	if (r < 0)
		return r;
	if (!s->ct->is_meta) {
		r = add_command(s, err);
		if (r < 0)
			return r;
	}
	r = text_ok(&s->ops);
	return r < 0 ? err_sys(err, -r, "container %s", s->ct->name) : 0;
}

/* ---- putting it together ---- */

static void choose_namespaces(struct spawn *s)
{
	struct ct *ct = s->ct, *owner = ct_task_owner(ct->parent);

	if (ct_isolated(ct))
		s->b.flags = CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS;
	if (ct->val[PROP_virt_mode].u == VIRT_APP && (ct->level == 1 || ct_has_root(ct) || ct->val[PROP_bind].v.n > 0))
		s->b.flags |= CLONE_NEWNS;
	if (owner != NULL && owner->pidfd >= 0 && owner->val[PROP_virt_mode].u != VIRT_HOST) {
		s->b.join_fd = owner->pidfd;
		s->b.join_flags = CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWCGROUP;
	}
}

static int make_channels(struct spawn *s, struct err *err)
{
	int ops[2], report[2], status;

	status = save_status_create(s->ct, err);
	if (status < 0)
		return status;
	if (pipe2(ops, O_CLOEXEC) < 0) {
		close(status);
		return err_sys(err, errno, "container %s", s->ct->name);
	}
	if (pipe2(report, O_CLOEXEC) < 0) {
		int no = errno;

		close(status);
		close(ops[0]);
		close(ops[1]);
		return err_sys(err, no, "container %s", s->ct->name);
	}
	s->ops_write = ops[1];
	s->report_read = report[0];
	(void)pass(s, ops[0], true);
	(void)pass(s, report[1], true);
	(void)pass(s, status, true);
	return 0;
}

static void spawn_done(struct spawn *s)
{
	for (int i = 0; i < s->b.count; i++)
		if (s->owned[i])
			close(s->b.fds[i]);
	if (s->ops_write >= 0)
		close(s->ops_write);
	if (s->report_read >= 0)
		close(s->report_read);
	if (s->b.cgroup_fd >= 0)
		close(s->b.cgroup_fd);
	text_done(&s->ops);
}

/* The pipe is made to hold the whole list, so the write never waits for the reader. */
static int send_ops(struct spawn *s, struct err *err)
{
	int r;

	if (s->ops.len > PIPE_DEFAULT && fcntl(s->ops_write, F_SETPIPE_SZ, (int)s->ops.len + 4096) < 0)
		return err_sys(err, errno, "command and environment of %zu bytes", s->ops.len);
	r = fd_write_all(s->ops_write, s->ops.p != NULL ? s->ops.p : "", s->ops.len);
	return r < 0 ? err_sys(err, -r, "container %s", s->ct->name) : 0;
}

static int launch(struct spawn *s, uint64_t cookie, struct err *err)
{
	struct ct *ct = s->ct;
	int r;

	r = make_channels(s, err);
	if (r == 0)
		r = build_ops(s, err);
	if (r < 0)
		return r;
	r = seed_birth(&ct->e->seed, &s->b);
	if (r == -EAGAIN)
		return err_set(err, ERR_ResourceNotAvailable, "container %s: the limit of processes is reached", ct->name);
	if (r < 0)
		return err_sys(err, -r, "container %s: cannot make its process", ct->name);
	ct->pid = s->b.pid;
	ct->pidfd = s->b.pidfd;
	ct->pid_start = 0;
	(void)proc_start_time(ct->pid, &ct->pid_start);
	if (s->b.failed != 0)
		return err_sys(err, s->b.failed, "container %s: cannot execute porto-init", ct->name);
	r = save_ct(ct, cookie, 0, err);
	if (r == 0)
		r = send_ops(s, err);
	if (r == 0)
		ct->report.fd = TAKE_FD(s->report_read);
	return r;
}

int spawn_task(struct ct *ct, uint64_t cookie, struct err *err)
{
	struct spawn s = { .ct = ct, .ops_write = -1, .report_read = -1 };
	int r;

	s.b = (struct birth){ .cgroup_fd = -1, .join_fd = -1, .pidfd = -1, .init_fd = ct->e->init_fd };
	choose_namespaces(&s);
	if (ct->is_meta && s.b.flags == 0)
		return save_ct(ct, cookie, 0, err);
	r = launch(&s, cookie, err);
	spawn_done(&s);
	return r;
}

/* ---- attach ---- */

/* "PID [COMM]" or "thread TID [COMM]": spec/STATES.md 3, attach. */
int attach_process(struct change *c)
{
	char comm[64], path[64], word[64] = "";
	struct ct *ct = c->ct, *home;
	bool thread = strncmp(c->text, "thread ", 7) == 0;
	pid_t main_pid = 0;
	int pid, n;

	n = sscanf(c->text + (thread ? 7 : 0), "%d %63s", &pid, word);
	if (n < 1 || pid <= 0)
		return err_set(c->err, ERR_InvalidValue, "attach: '%.100s': expected PID [COMM] or thread TID [COMM]", c->text);
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	if (file_read_small(AT_FDCWD, path, comm, sizeof(comm)) < 0)
		return err_set(c->err, ERR_InvalidValue, "attach: no process %d", pid);
	if (n == 2 && strcmp(comm, word) != 0)
		return err_set(c->err, ERR_InvalidValue, "attach: process %d is %s, not %s", pid, comm, word);
	home = cred_home(ct->e, pid);
	if (ct->state != CT_RUNNING && ct->state != CT_META)
		return err_set(c->err, ERR_InvalidState, "attach: container %s is %s", ct->name, ct_state_names[ct->state]);
	for (struct ct *it = ct; it != home; it = it->parent) {
		if (it == NULL || it->parent == NULL)
			return err_set(c->err, ERR_Permission, "attach: %s is not below the container of process %d", ct->name, pid);
		if (ct_isolated(it))
			return err_set(c->err, ERR_InvalidState, "attach: container %s is isolated", it->name);
	}
	if (home == ct)
		return 0;
	if (!ct_is_root(home)) {
		if (cred_check_owner(home, c->who, c->err) < 0)
			return -EACCES;
		if (pid == home->pid || (task_main_pid(home, &main_pid) == 0 && pid == main_pid))
			return err_set(c->err, ERR_Busy, "attach: process %d is the main process of %s", pid, home->name);
	} else if (c->who->uid != 0) {
		return err_set(c->err, ERR_Permission, "attach: only root moves a process of the host");
	}
	return cg_attach(ct->e->cgroups, &ct->cg, pid, thread, c->err);
}
