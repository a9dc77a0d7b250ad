/*
 * The new process: what it is given and told. It is porto-init (birth.c), which waits for its operations on a pipe. They
 * are sent only after the record with the pid is saved: before that it can do nothing that a crash of ours would make
 * happen twice.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "engine/birth.h"
#include "engine/cred.h"
#include "engine/hooks.h"
#include "engine/init/proto.h"
#include "engine/names.h"
#include "engine/net.h"
#include "engine/run.h"
#include "engine/save.h"
#include "engine/spawn_ops.h"
#include "engine/userns.h"

#define PIPE_DEFAULT 65536

/* ---- the list of operations ---- */

int spawn_add_cgroups(struct spawn *s)
{
	struct ct *ct = s->ct, *home = ct->has_cg ? ct : ct->parent;
	int tasks[CG_CTLS], n;

	n = cg_tasks_fds(ct->e->cgroups, &home->cg, tasks);
	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		int at = spawn_pass(s, tasks[i], true);

		if (at < 0)
			return at;
		spawn_op_num(s, "tasks", at);
	}
	/* a system that runs has handed on the controllers of its first cgroup, which then may hold no process */
	if (ct_is_bare(home) && home->pid != 0)
		s->b.cgroup_fd = cg_clone_fd_of(ct->e->cgroups, home->pid);
	if (s->b.cgroup_fd < 0)
		s->b.cgroup_fd = cg_clone_fd(ct->e->cgroups, &home->cg);
	if (s->b.cgroup_fd < 0)
		return s->b.cgroup_fd != -ENOENT ? s->b.cgroup_fd : 0;
	/* a clone into a cgroup whose cgroup.kill was once written is killed by kernels 6.14 to 6.18: it joins by itself */
	if (!home->cg_killed)
		return 0;
	n = openat(s->b.cgroup_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	if (n < 0)
		return -errno;
	close(s->b.cgroup_fd);
	s->b.cgroup_fd = -1;
	n = spawn_pass(s, n, true);
	if (n >= 0)
		spawn_op_num(s, "tasks", n);
	return n < 0 ? n : 0;
}

static int build_ops(struct spawn *s, struct err *err)
{
	int r = spawn_add_cgroups(s);

	if (r < 0)
		return err_sys(err, -r, "cgroup of container %s", s->ct->name);
	r = spawn_add_world(s, err);
	if (r == 0)
		r = spawn_add_task(s, err);
	if (r < 0)
		return r;
	r = text_ok(&s->ops);
	return r < 0 ? err_sys(err, -r, "container %s", s->ct->name) : 0;
}

/* ---- putting it together ---- */

static void choose_namespaces(struct spawn *s)
{
	struct ct *ct = s->ct, *owner = ct_task_owner(ct->parent);

	if (ct_isolated(ct))
		s->b.flags = CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS;
	if (ct->val[PROP_virt_mode].u != VIRT_HOST && ct->val[PROP_virt_mode].u != VIRT_JOB &&
	    (ct->level == 1 || ct_has_mounts(ct) || names_are_mounted(ct)))
		s->b.flags |= CLONE_NEWNS;
	if (owner != NULL && owner->pidfd >= 0 && owner->val[PROP_virt_mode].u != VIRT_HOST) {
		s->b.join_fd = owner->pidfd;
		s->b.join_flags = CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS | CLONE_NEWNET;
	}
	s->userns = ct->val[PROP_virt_mode].u == VIRT_HOST ? NULL : userns_owner(ct);
	if (net_mode_of(ct) != NET_OWN || s->userns != NULL)
		return; /* shared, or it is made in the user namespace */
	if (net_has_devices(ct))
		s->b.flags |= CLONE_NEWNET;
	else
		s->new_net = true;
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
	(void)spawn_pass(s, ops[0], true);
	(void)spawn_pass(s, report[1], true);
	(void)spawn_pass(s, status, true);
	return 0;
}

void spawn_done(struct spawn *s)
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
	if (s->net_fd >= 0)
		close(s->net_fd);
	names_done(&s->names);
	text_done(&s->ops);
}

int spawn_send(int fd, const struct text *ops, struct err *err)
{
	int r;

	if (ops->len > PIPE_DEFAULT && fcntl(fd, F_SETPIPE_SZ, (int)ops->len + 4096) < 0)
		return err_sys(err, errno, "command and environment of %zu bytes", ops->len);
	r = fd_write_all(fd, ops->p != NULL ? ops->p : "", ops->len);
	return r < 0 ? err_sys(err, -r, "operations of the new process") : 0;
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
	if (r == 0 && s->b.pid == 0) {
		close(s->b.pidfd);
		r = -ESRCH;
	}
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
	if (r == 0 && net_has_devices(ct))
		r = net_begin(ct, &s->ops, TAKE_FD(s->ops_write), TAKE_FD(s->net_fd), err);
	else if (r == 0)
		r = spawn_send(s->ops_write, &s->ops, err);
	if (r == 0)
		ct->report.fd = TAKE_FD(s->report_read);
	return r;
}

int spawn_task(struct ct *ct, uint64_t cookie, struct err *err)
{
	struct spawn s = { .ct = ct, .ops_write = -1, .report_read = -1, .net_fd = -1 };
	int r;

	s.b = (struct birth){ .cgroup_fd = -1, .join_fd = -1, .pidfd = -1, .init_fd = ct->e->init_fd };
	choose_namespaces(&s);
	if (ct->is_meta && s.b.flags == 0 && net_mode_of(ct) == NET_INHERITED && !net_has_devices(ct))
		return save_ct(ct, cookie, 0, err);
	r = launch(&s, cookie, err);
	spawn_done(&s);
	return r;
}
