/* A process that makes links in a container that runs: born into its mounts and cgroup, its task's user. */
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "engine/caps.h"
#include "engine/init/proto.h"
#include "engine/links.h"
#include "engine/run.h"
#include "engine/save.h"
#include "engine/spawn_ops.h"
#include "engine/userns.h"

static int links_ops(struct spawn *s, const struct pairs *links)
{
	int r = spawn_add_cgroups(s);

	if (r == 0 && s->userns != NULL) {
		r = userns_open(ct_task_owner(s->ct), NULL);
		r = r < 0 ? r : spawn_pass(s, r, true);
		if (r < 0)
			return r;
		spawn_op_num(s, "userns", r);
		spawn_op_id(s, s->userns->task_uid);
		spawn_op_id(s, s->userns->task_gid);
		spawn_op1(s, "enter", "");
	}
	spawn_op(s, "become");
	spawn_add_cred(s);
	/* a file system inside can hold it there for a while, and who may trace it has no more by that */
	spawn_op_mask(s, "only", s->userns != NULL ? caps_inside(s->ct, s->userns) : caps_allowed(s->ct));
	spawn_add_links(s, links);
	spawn_op(s, "done");
	return r < 0 ? r : text_ok(&s->ops);
}

static int make_channels(struct spawn *s, int status)
{
	int ops[2], report[2];

	if (status < 0 || ftruncate(status, STATUS_SIZE) < 0 || pipe2(ops, O_CLOEXEC) < 0)
		return -errno;
	s->ops_write = ops[1];
	(void)spawn_pass(s, ops[0], true);
	if (pipe2(report, O_CLOEXEC) < 0)
		return -errno;
	s->report_read = report[0];
	(void)spawn_pass(s, report[1], true);
	(void)spawn_pass(s, status, false);
	return 0;
}

int spawn_links(struct ct *ct, const struct pairs *links, struct links_task *task, struct err *err)
{
	struct spawn s = { .ct = ct, .ops_write = -1, .report_read = -1, .net_fd = -1, .userns = userns_owner(ct) };
	struct ct *owner = ct_task_owner(ct);
	autoclose int status = memfd_create("status", MFD_CLOEXEC);
	int r;

	s.b = (struct birth){ .cgroup_fd = -1, .join_fd = -1, .pidfd = -1, .init_fd = ct->e->init_fd };
	if (owner != NULL && owner->pidfd >= 0) {
		s.b.join_fd = owner->pidfd;
		/* not its pids: while it is the host's root nobody there is to see it */
		s.b.join_flags = CLONE_NEWNS;
	}
	r = make_channels(&s, status);
	if (r == 0)
		r = links_ops(&s, links);
	if (r == 0)
		r = seed_birth(&ct->e->seed, &s.b);
	if (r == 0)
		r = s.b.failed != 0 ? -s.b.failed : spawn_send(s.ops_write, &s.ops, NULL);
	spawn_done(&s);
	if (r == 0)
		*task = (struct links_task){ .pidfd = s.b.pidfd, .status = TAKE_FD(status) };
	else if (s.b.pidfd >= 0)
		close(s.b.pidfd);
	return r < 0 ? err_sys(err, -r, "symlink: container %s", ct->name) : 0;
}

int spawn_links_result(const struct links_task *task, const struct ct *ct, struct err *err)
{
	struct init_status st = {};

	if (save_status_parse(task->status, &st) == 0 && st.phase == STATUS_STARTED)
		return 0;
	if (st.phase == STATUS_FAILED && st.no != 0)
		return err_set_no(err, (enum err_kind)st.kind, st.no, "%s: %s", strerror(st.no), st.text);
	return err_set(err, ERR_Unknown, "symlink: its process in container %s ended early", ct->name);
}
