/*
 * The new process: what it is given and told. It is porto-init (birth.c), which waits for its operations on a pipe. They
 * are sent only after the record with the pid is saved: before that it can do nothing that a crash of ours would make
 * happen twice.
 */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "engine/birth.h"
#include "engine/cpu.h"
#include "engine/cred.h"
#include "engine/env.h"
#include "engine/hooks.h"
#include "engine/init/proto.h"
#include "engine/io.h"
#include "engine/memory.h"
#include "engine/output.h"
#include "engine/run.h"
#include "engine/save.h"
#include "engine/taken.h"
#include "engine/ulimit.h"
#include "engine/userns.h"

#define PIPE_DEFAULT 65536

struct spawn {
	struct ct *ct;
	struct text ops;
	struct birth b;
	bool owned[BIRTH_FDS]; /* close b.fds[i] at the end */
	int ops_write, report_read;
	struct ct *userns;     /* in whose user namespace it runs; NULL: the host's */
	bool enters;           /* a user namespace is to be entered before the command */
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

static void op_id(struct spawn *s, unsigned id)
{
	char buf[24];

	snprintf(buf, sizeof(buf), "%u", id);
	op(s, buf);
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
	/* a system that runs has handed on the controllers of its first cgroup, which then may hold no process */
	if (ct_is_bare(home) && home->pid != 0)
		s->b.cgroup_fd = cg_clone_fd_of(ct->e->cgroups, home->pid);
	if (s->b.cgroup_fd < 0)
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

/* A network of its own comes with the user namespace: there it may be changed as well. */
static int add_userns_net(struct spawn *s, int net_fd)
{
	int at = pass(s, net_fd, true);

	if (at < 0)
		return at;
	op_num(s, "setns", at);
	op(s, "0x40000000"); /* CLONE_NEWNET */
	op(s, "lo");
	return 0;
}

/* The user namespace it will enter, and the cgroup namespace that it has now. */
static int add_userns(struct spawn *s, struct err *err)
{
	struct ct *ct = s->ct;
	bool net = !ct->val[PROP_enable_fuse].b;
	int user = -1, net_fd = -1, r = 0;

	if (s->userns == ct)
		r = userns_make(ct, &user, net ? &net_fd : NULL, err);
	else if (s->userns != NULL)
		r = user = userns_open(s->b.join_fd >= 0 ? ct_task_owner(ct->parent) : s->userns, err);
	if (r < 0 || user < 0)
		return r;
	r = pass(s, user, true);
	if (r >= 0) {
		op_num(s, "userns", r);
		op_id(s, s->userns->task_uid);
		op_id(s, s->userns->task_gid);
		s->enters = true;
	}
	if (net_fd >= 0)
		r = r < 0 ? (close(net_fd), r) : add_userns_net(s, net_fd);
	return r < 0 ? err_sys(err, -r, "container %s", ct->name) : 0;
}

/* Its own, or that of the process whose namespaces it shares: that could not be joined before it is in its cgroup. */
static int add_cgroupns(struct spawn *s)
{
	int at;

	if (strcmp(ct_cgroupfs(s->ct), "none") != 0 && s->b.flags & CLONE_NEWNS) {
		op(s, "cgroupns");
		return 0;
	}
	if (s->b.join_fd < 0)
		return 0;
	at = pass(s, s->b.join_fd, false);
	if (at < 0)
		return at;
	op_num(s, "setns", at);
	op(s, "0x2000000"); /* CLONE_NEWCGROUP */
	return 0;
}

/* Half of what memory it may have. */
static uint64_t run_size(const struct ct *ct)
{
	uint64_t size = memory_total();

	for (; ct != NULL; ct = ct->parent) {
		uint64_t limit = memory_limit(ct);

		if (limit != 0)
			size = MIN(size, limit);
	}
	return size / 2;
}

/* Where it has no cgroup of its own it would see, and be able to change, one of somebody else. */
static void add_cgroupfs(struct spawn *s, const char *how)
{
	autotext struct text own = {};
	const struct cgroups *g = s->ct->e->cgroups;

	if (cg_is_v2(g, CG_TRACK))
		text_add(&own, "v2,");
	for (enum cg_ctl c = 0; c < CG_CTLS; c++)
		if ((s->ct->cg.own | CG_BIT(CG_TRACK)) & CG_BIT(c) && !cg_is_v2(g, c))
			text_addf(&own, "%s,", cg_name(c));
	op1(s, "cgroupfs", how);
	op(s, text_str(&own));
}

/* What the kernel shows, and what is made anew with each start. */
static void add_filesystems(struct spawn *s)
{
	struct ct *ct = s->ct;
	const char *cgroupfs = ct_cgroupfs(ct);

	if (ct_has_root(ct))
		op(s, "dev");
	if (ct_has_root(ct) && ct->val[PROP_virt_mode].u == VIRT_OS)
		op(s, "no_console");
	if (ct_has_root(ct) || s->userns == ct)
		op(s, "sys");
	if (s->b.flags & CLONE_NEWPID || ct_has_root(ct))
		op(s, "proc");
	if (ct_has_root(ct) || (ct->val[PROP_virt_mode].u == VIRT_OS && ct_isolated(ct)))
		op_num(s, "run", (long)run_size(ct));
	if (strcmp(cgroupfs, "none") != 0)
		add_cgroupfs(s, cgroupfs);
	if (ct_has_root(ct) && ct->val[PROP_enable_fuse].b) {
		op1(s, "bind", "/dev/fuse");
		op1(s, "/dev/fuse", "dev");
	}
}

static void add_mounts(struct spawn *s)
{
	struct ct *ct = s->ct;
	bool new_root = ct_has_root(ct) || ct->val[PROP_root_readonly].b;

	if (!(s->b.flags & CLONE_NEWNS))
		return;
	op(s, "slave");
	/* to be read-only, what is the parent's too has to be a mount of its own */
	if (new_root)
		op1(s, "root", ct_has_root(ct) ? ct->val[PROP_root].s : "/");
	add_filesystems(s);
	for (size_t i = 0; i < ct->val[PROP_bind].v.n; i++) {
		autostrv struct strv words = {};

		if (strv_split(ct->val[PROP_bind].v.p[i], ' ', &words) < 0 || words.n < 2)
			continue;
		op(s, "bind");
		op(s, words.p[0]);
		op(s, words.p[1]);
		op(s, words.n > 2 ? words.p[2] : "");
	}
	if (ct->val[PROP_root_readonly].b)
		op(s, "readonly");
	if (new_root)
		op(s, "pivot");
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
	struct ct *ct = s->ct;
	const char *path = ct_stream_path(ct, n);
	char nbuf[8], fdbuf[16];
	int fd, at, r;

	if (strncmp(path, "/dev/fd/", 8) == 0) {
		r = taken_fd(ct, n, err);
		if (r < 0)
			return r;
		at = pass(s, ct->streams[n].fd, false);
	} else if (path[0] == '\0') {
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
	for (int n = 0; n < 3; n++) {
		const char *path = ct_stream_path(s->ct, n);
		char nbuf[8];

		if (path[0] == '\0' || strncmp(path, "/dev/fd/", 8) == 0)
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

static void add_cred(struct spawn *s)
{
	autotext struct text groups = {};
	const struct ct *ct = s->ct;
	uid_t uid = userns_uid(s->userns, ct->task_uid);

	/* root's groups are the host's affair */
	if (s->userns != NULL && uid == 0)
		text_add(&groups, "0");
	else
		cred_groups(ct->task_uid, ct->task_gid, &groups);
	op1(s, "groups", text_str(&groups));
	op_num(s, "gid", (long)userns_gid(s->userns, ct->task_gid));
	op_num(s, "uid", (long)uid);
}

static void add_links(struct spawn *s, const struct pairs *m)
{
	for (size_t i = 0; i < m->k.n; i++) {
		op1(s, "symlink", m->v.p[i]);
		op(s, m->k.p[i]);
	}
}

static int add_command(struct spawn *s, struct err *err)
{
	struct ct *ct = s->ct;
	autotext struct text cwd = {};
	autostrv struct strv env = {};
	char mask[24];
	int r;

	snprintf(mask, sizeof(mask), "%llo", (unsigned long long)ct->val[PROP_umask].u);
	op1(s, "umask", mask);
	op(s, ct_is_bare(ct) ? "become" : "fork");
	op(s, "session");
	add_oom_adj(s);
	if (!s->enters)
		add_sched(s);
	for (int n = 0; n < 3; n++) {
		r = add_stream(s, n, err);
		if (r < 0)
			return r;
	}
	if (ct_unshares(ct) && !s->enters)
		op(s, "unshare");
	add_cred(s);
	add_links(s, &ct->val[PROP_symlink].m);
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
		op1(s, "command", ct_command(ct));
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
	r = add_userns(s, err);
	if (r < 0)
		return r;
	r = add_cgroupns(s);
	if (r < 0)
		return err_sys(err, -r, "cgroup of container %s", s->ct->name);
	add_mounts(s);
	r = add_rlimits(s);
	if (r < 0)
		return err_sys(err, -r, "ulimit");
	add_ioprio(s);
	if (s->enters) {
		/* inside there is no right to be preferred */
		add_sched(s);
		op1(s, "enter", !(s->b.flags & CLONE_NEWNS || ct_unshares(s->ct)) ? "" : s->b.flags & CLONE_NEWUTS ? "all" : "mounts");
	}
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
	if (ct->val[PROP_virt_mode].u != VIRT_HOST && ct->val[PROP_virt_mode].u != VIRT_JOB && (ct->level == 1 || ct_has_mounts(ct)))
		s->b.flags |= CLONE_NEWNS;
	if (owner != NULL && owner->pidfd >= 0 && owner->val[PROP_virt_mode].u != VIRT_HOST) {
		s->b.join_fd = owner->pidfd;
		s->b.join_flags = CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS | CLONE_NEWNET;
	}
	s->userns = ct->val[PROP_virt_mode].u == VIRT_HOST ? NULL : userns_owner(ct);
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

/* ---- links made later ---- */

#define LINKS_MSEC 1000 /* a file system inside may never answer; nor may it keep us */

/* What it has written by its end, or by the deadline. */
static int links_result(struct spawn *s, int status, struct err *err)
{
	struct pollfd end = { .fd = s->b.pidfd, .events = POLLIN };
	struct init_status st;

	if (poll(&end, 1, LINKS_MSEC) != 1) {
		(void)proc_signal(s->b.pidfd, SIGKILL);
		return err_set_no(err, ERR_Unknown, ETIMEDOUT, "symlink: the file system in container %s does not answer", s->ct->name);
	}
	if (save_status_parse(status, &st) == 0 && st.phase == STATUS_STARTED)
		return 0;
	if (st.phase == STATUS_FAILED && st.no != 0)
		return err_set_no(err, (enum err_kind)st.kind, st.no, "%s: %s", strerror(st.no), st.text);
	return err_set(err, ERR_Unknown, "symlink: its process in container %s ended early", s->ct->name);
}

static int links_ops(struct spawn *s, const struct pairs *links)
{
	int r = add_cgroups(s);

	if (r == 0 && s->userns != NULL) {
		r = userns_open(ct_task_owner(s->ct), NULL);
		r = r < 0 ? r : pass(s, r, true);
		if (r < 0)
			return r;
		op_num(s, "userns", r);
		op_id(s, s->userns->task_uid);
		op_id(s, s->userns->task_gid);
		op1(s, "enter", "");
	}
	op(s, "become");
	add_cred(s);
	add_links(s, links);
	op(s, "done");
	return r < 0 ? r : text_ok(&s->ops);
}

int spawn_links(struct ct *ct, const struct pairs *links, struct err *err)
{
	struct spawn s = { .ct = ct, .ops_write = -1, .report_read = -1, .userns = userns_owner(ct) };
	struct ct *owner = ct_task_owner(ct);
	int status = memfd_create("status", MFD_CLOEXEC), ops[2], report[2], r = 0;

	s.b = (struct birth){ .cgroup_fd = -1, .join_fd = -1, .pidfd = -1, .init_fd = ct->e->init_fd };
	if (owner != NULL && owner->pidfd >= 0) {
		s.b.join_fd = owner->pidfd;
		s.b.join_flags = CLONE_NEWPID | CLONE_NEWNS;
	}
	if (status < 0 || ftruncate(status, STATUS_SIZE) < 0 || pipe2(ops, O_CLOEXEC) < 0)
		r = -errno;
	if (r == 0 && pipe2(report, O_CLOEXEC) < 0)
		r = -errno;
	if (r == 0) {
		s.ops_write = ops[1];
		s.report_read = report[0];
		(void)pass(&s, ops[0], true);
		(void)pass(&s, report[1], true);
		(void)pass(&s, status, false);
		r = links_ops(&s, links);
	}
	if (r == 0)
		r = seed_birth(&ct->e->seed, &s.b);
	if (r == 0)
		r = s.b.failed != 0 ? -s.b.failed : send_ops(&s, err);
	if (r == 0) {
		close(TAKE_FD(s.ops_write));
		r = links_result(&s, status, err);
	} else {
		r = err_sys(err, -r, "symlink: container %s", ct->name);
	}
	spawn_done(&s);
	if (s.b.pidfd >= 0)
		close(s.b.pidfd);
	if (status >= 0)
		close(status);
	return r;
}
