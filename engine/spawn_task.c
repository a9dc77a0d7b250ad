/* What a new process is told about itself: limits, streams, ids, its command. */
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/fd.h"
#include "base/proc.h"
#include "engine/caps.h"
#include "engine/cpu.h"
#include "engine/cred.h"
#include "engine/env.h"
#include "engine/hooks.h"
#include "engine/io.h"
#include "engine/memory.h"
#include "engine/output.h"
#include "engine/seccomp.h"
#include "engine/spawn_ops.h"
#include "engine/taken.h"
#include "engine/ulimit.h"
#include "engine/userns.h"

static void op_limit(struct spawn *s, uint64_t v)
{
	char buf[24];

	snprintf(buf, sizeof(buf), "%llu", (unsigned long long)v);
	spawn_op(s, v == RLIM_INFINITY ? "unlimited" : buf);
}

static int add_rlimits(struct spawn *s)
{
	struct limits l;
	int r = ulimit_effective(s->ct, NULL, &l);

	ulimit_reborn(s->ct);
	for (int res = 0; r == 0 && res < RLIM_NLIMITS; res++) {
		if (l.of[res].from == LIMIT_UNSET)
			continue;
		spawn_op1(s, "rlimit", ulimit_name(res));
		op_limit(s, l.of[res].soft);
		op_limit(s, l.of[res].hard);
		spawn_op(s, l.of[res].from == LIMIT_EXPLICIT ? "explicit" : "default");
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
		at = spawn_pass(s, ct->streams[n].fd, false);
	} else if (path[0] == '\0') {
		fd = output_open(ct, n, err);
		if (fd < 0)
			return fd;
		at = spawn_pass(s, fd, true);
	} else {
		return 0;
	}
	if (at < 0)
		return err_sys(err, -at, "streams");
	snprintf(nbuf, sizeof(nbuf), "%d", n);
	snprintf(fdbuf, sizeof(fdbuf), "%d", at);
	spawn_op(s, "stream");
	spawn_op(s, nbuf);
	spawn_op(s, fdbuf);
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
		spawn_op(s, "open");
		spawn_op(s, nbuf);
		spawn_op(s, path);
		spawn_op(s, n == 0 ? "r" : "a");
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
		spawn_op_num(s, "oom_adj", (long)s->ct->val[PROP_oom_score_adj].i);
}

static void add_sched(struct spawn *s)
{
	struct cpu_sched sched = cpu_sched_of(s->ct);
	static const char *const words[] = { [SCHED_OTHER] = "other", [SCHED_BATCH] = "batch", [SCHED_IDLE] = "idle" };

	if (sched.policy == SCHED_OTHER && sched.nice == 0)
		return;
	spawn_op(s, "sched");
	spawn_op_num(s, words[sched.policy], sched.nice);
}

static void add_ioprio(struct spawn *s)
{
	int class, level;
	char word[8];

	if (!io_priority(s->ct, &class, &level))
		return;
	spawn_op_num(s, "ioprio", class);
	snprintf(word, sizeof(word), "%d", level);
	spawn_op(s, word);
}

void spawn_add_cred(struct spawn *s)
{
	autotext struct text groups = {};
	const struct ct *ct = s->ct;
	uid_t uid = userns_uid(s->userns, ct->task_uid);

	/* root's groups are the host's affair */
	if (s->userns != NULL && uid == 0)
		text_add(&groups, "0");
	else
		cred_groups(ct->task_uid, ct->task_gid, &groups);
	spawn_op1(s, "groups", text_str(&groups));
	spawn_op_num(s, "gid", (long)userns_gid(s->userns, ct->task_gid));
	spawn_op_num(s, "uid", (long)uid);
}

void spawn_add_links(struct spawn *s, const struct pairs *m)
{
	for (size_t i = 0; i < m->k.n; i++) {
		spawn_op1(s, "symlink", m->v.p[i]);
		spawn_op(s, m->k.p[i]);
	}
}

static int add_seccomp(struct spawn *s, struct err *err)
{
	const char *profiles[SECCOMP_CHAIN_MAX + 1];
	uint64_t caps = s->enters ? caps_inside(s->ct, s->userns) : caps_allowed(s->ct);
	int n = seccomp_profiles(s->ct, profiles);

	for (int i = 0; i < n; i++) {
		int fd = seccomp_program(profiles[i], caps, err), at;

		if (fd < 0)
			return fd;
		/* our own: what is kept may be closed before the process is born */
		fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		at = fd < 0 ? -errno : spawn_pass(s, fd, true);
		if (at < 0)
			return err_sys(err, -at, "seccomp");
		spawn_op_num(s, "seccomp", at);
	}
	return 0;
}

/*
 * What holds for porto-init as well, which stays beside the command: no process of the container may get more through it. Who
 * enters a user namespace has all capabilities there, whatever he had before, but for lists that somebody set inside of it.
 */
static int add_rights(struct spawn *s, struct err *err)
{
	uint64_t caps;

	spawn_op(s, "keyring");
	if (!s->enters) {
		spawn_op_mask(s, "bound", caps_allowed(s->ct));
		return add_seccomp(s, err);
	}
	/* inside there is no right to be preferred */
	add_sched(s);
	spawn_op1(s, "enter", !(s->b.flags & CLONE_NEWNS || ct_unshares(s->ct)) ? "" : s->b.flags & CLONE_NEWUTS ? "all" : "mounts");
	caps = caps_inside(s->ct, s->userns);
	/* worth nothing there, but systemd takes it for a sign that it may mount the host's debugfs */
	if (s->ct->val[PROP_virt_mode].u == VIRT_OS)
		caps &= ~CAPS_BIT(CAP_SYS_RAWIO);
	spawn_op_mask(s, "bound", caps);
	return add_seccomp(s, err);
}

/* What the command alone has: before the ids. */
static void add_own_rights(struct spawn *s)
{
	if (s->ct->val[PROP_capabilities_ambient].u != 0)
		spawn_op_mask(s, "ambient", s->ct->val[PROP_capabilities_ambient].u);
	if (s->ct->val[PROP_no_new_privs].b)
		spawn_op(s, "no_new_privs");
}

static int add_command(struct spawn *s, struct err *err)
{
	struct ct *ct = s->ct;
	autotext struct text cwd = {};
	autostrv struct strv env = {};
	char mask[24];
	int r;

	snprintf(mask, sizeof(mask), "%llo", (unsigned long long)ct->val[PROP_umask].u);
	spawn_op1(s, "umask", mask);
	spawn_op(s, ct_is_bare(ct) ? "become" : "fork");
	spawn_op(s, "session");
	add_oom_adj(s);
	if (!s->enters)
		add_sched(s);
	spawn_op(s, "loginuid");
	if (prop_is_set(ct, PROP_coredump_filter) && ct->val[PROP_coredump_filter].s != NULL && ct->val[PROP_coredump_filter].s[0] != '\0')
		spawn_op1(s, "coredump_filter", ct->val[PROP_coredump_filter].s);
	for (int n = 0; n < 3; n++) {
		r = add_stream(s, n, err);
		if (r < 0)
			return r;
	}
	if (ct_unshares(ct) && !s->enters)
		spawn_op(s, "unshare");
	add_own_rights(s);
	spawn_add_cred(s);
	spawn_add_links(s, &ct->val[PROP_symlink].m);
	add_paths(s);
	r = env_build(ct, &env);
	if (r < 0)
		return err_sys(err, -r, "environment");
	for (size_t i = 0; i < env.n; i++)
		spawn_op1(s, "env", env.p[i]);
	r = read_cwd(ct, NULL, &cwd, err);
	if (r < 0)
		return r;
	spawn_op1(s, "cwd", text_str(&cwd));
	if (ct->val[PROP_command_argv].v.n == 0)
		spawn_op1(s, "command", ct_command(ct));
	for (size_t i = 0; i < ct->val[PROP_command_argv].v.n; i++)
		spawn_op1(s, "arg", ct->val[PROP_command_argv].v.p[i]);
	spawn_op(s, "exec");
	return 0;
}

int spawn_add_task(struct spawn *s, struct err *err)
{
	int r = add_rlimits(s);

	if (r < 0)
		return err_sys(err, -r, "ulimit");
	add_ioprio(s);
	r = add_rights(s, err);
	return r < 0 || s->ct->is_meta ? r : add_command(s, err);
}
