/* A start: checks, steps with their undo, and what porto-init reports. */
#include <stdio.h>
#include <sys/epoll.h>

#include "base/log.h"
#include "engine/access.h"
#include "engine/caps.h"
#include "engine/cred.h"
#include "engine/devices.h"
#include "engine/eventlog.h"
#include "engine/fsm.h"
#include "engine/io.h"
#include "engine/memory.h"
#include "engine/names.h"
#include "engine/net.h"
#include "engine/output.h"
#include "engine/run.h"
#include "engine/save.h"
#include "engine/userns.h"
#include "engine/vol.h"

#define NSEC UINT64_C(1000000000)
#define STATUS_POLL_NSEC UINT64_C(5000000)

static void on_report(void *arg, uint32_t events);
static void timed_out(void *arg);

/* ---- before anything is made ---- */

/* Nothing in it can be trusted by a program that gives rights, so there must be none: a user namespace of the one user. */
static int check_mounts(struct ct *ct, struct err *err)
{
	if (ct->owner_uid == 0)
		return 0;
	if (ct->val[PROP_bind].v.n > 0 || names_are_mounted(ct))
		return err_set(err, ERR_Permission, "bind, etc_hosts and resolv_conf need a container owned by root");
	if (!ct_has_root(ct))
		return 0;
	if (!userns_is_own(ct))
		return err_set(err, ERR_Permission, "root: a container that root does not own needs userns=true for it, and none above that has it");
	return vol_check_root(ct, ct->val[PROP_root].s, err);
}

int start_check(struct ct *ct, const struct engine_cred *who, struct err *err)
{
	int r;

	/* whatever user says: the root of a system is root */
	if (ct->val[PROP_virt_mode].u == VIRT_OS && userns_owner(ct) == NULL)
		ct->task_uid = ct->task_gid = 0;
	r = cred_check_start(ct, who, err);
	if (r == 0)
		r = check_mounts(ct, err);
	if (r == 0)
		r = net_check_start(ct, who, err);
	if (r == 0)
		r = caps_check_start(ct, err);
	if (r == 0)
		r = devices_check_start(ct, err);
	if (r == 0)
		r = vol_check_required(ct, &ct->val[PROP_volumes_required].v, err);
	if (r == 0)
		r = names_check_start(ct, err);
	if (r == 0)
		r = access_start(ct, err);
	return r < 0 ? r : mode_check_start(ct, err);
}

/* ---- the steps; what they made is undone by take_down ---- */

static int step_guarantee(struct ct *ct, uint64_t cookie, struct err *err)
{
	(void)cookie;
	return memory_check_start(ct, &ct->op_who, err);
}

static int step_cgroups(struct ct *ct, uint64_t cookie, struct err *err)
{
	int r;

	(void)cookie;
	if (ct->has_cg || ct->val[PROP_virt_mode].u == VIRT_JOB)
		return 0;
	ct->cg.own = ct_controllers(ct);
	if (ct->parent->parent == NULL)
		ct->cg.path = strdup(ct->base);
	else if (asprintf(&ct->cg.path, "%s/%s", ct->parent->cg.path, ct->base) < 0)
		ct->cg.path = NULL;
	if (ct->cg.path == NULL)
		return err_sys(err, ENOMEM, "cgroup");
	r = cg_create(ct->e->cgroups, &ct->cg, err);
	if (r == -EEXIST) { /* a dying container of this name still holds it */
		char *path;

		if (asprintf(&path, "%s~%u", ct->cg.path, (unsigned)ct->id) < 0)
			return err_sys(err, ENOMEM, "cgroup");
		free(ct->cg.path);
		ct->cg.path = path;
		r = cg_create(ct->e->cgroups, &ct->cg, err);
	}
	if (r < 0) {
		free(TAKE_PTR(ct->cg.path));
		return r;
	}
	ct->has_cg = true;
	net_count(ct);
	return 0;
}

static int step_work(struct ct *ct, uint64_t cookie, struct err *err)
{
	(void)cookie;
	return ct->has_work ? 0 : work_create(ct, err);
}

static int step_limits(struct ct *ct, uint64_t cookie, struct err *err)
{
	int r = 0;

	(void)cookie;
	if (ct->has_cg && userns_owner(ct) != NULL && strcmp(ct_cgroupfs(ct), "rw") == 0)
		r = cg_delegate(ct->e->cgroups, &ct->cg, userns_owner(ct)->task_uid, userns_owner(ct)->task_gid);
	if (r < 0)
		return err_sys(err, -r, "cgroup of container %s", ct->name);
	if (ct->has_cg)
		r = ct->op_respawn ? io_limits_again(ct, err) : props_apply_all(ct, err);
	/* with a child's memory cgroup the parent's own tasks have one too, which knows of no guarantee yet */
	if (r == 0 && ct->parent->val[PROP_memory_guarantee].u != 0)
		memory_running_changed(ct->parent);
	if (r == 0)
		oom_begin(ct);
	return r;
}

/* Who is born into a frozen cgroup stands still before it is porto-init, and we with it, who wait for that. */
static int step_thawed(struct ct *ct, uint64_t cookie, struct err *err)
{
	struct ct *home = ct;

	(void)cookie;
	while (home->cg.path == NULL && home->parent != NULL)
		home = home->parent;
	if (!ct_is_root(home) && cg_frozen(ct->e->cgroups, &home->cg))
		return err_set(err, ERR_InvalidState, "the cgroup of container %s is frozen", home->name);
	return 0;
}

static const struct {
	const char *name;
	int (*make)(struct ct *ct, uint64_t cookie, struct err *err);
} steps[] = {
	{ "memory guarantee", step_guarantee },
	{ "cgroups", step_cgroups },
	{ "work directory", step_work },
	{ "limits", step_limits },
	{ "freezer", step_thawed },
	{ "task", spawn_task },
};

/* ---- the end of a start, either way ---- */

void start_forget(struct ct *ct)
{
	if (ct->report.fd < 0)
		return;
	loop_del(ct->e->loop, &ct->report);
	close(ct->report.fd);
	ct->report.fd = -1;
}

static void note_start_error(struct ct *ct, const struct err *err)
{
	char text[ERR_TEXT_MAX + 64];

	free(ct->start_error);
	ct->start_error = strdup(err_format(err, text, sizeof(text)));
	ct->e->counters.start_failed++;
	event_log(ct->e, "start_failed", ct->name, "%s", text);
}

/* Everything of the failed start is gone. */
void start_undone(struct ct *ct)
{
	struct err err = ct->op_err;
	uint64_t cookie = ct->op_waiters != NULL ? ct->op_waiters->cookie : 0;

	ct->op_hard = ct->stuck = false;
	note_start_error(ct, &err);
	fsm_set(ct, ct->op_respawn ? CT_DEAD : CT_STOPPED, "start failed");
	(void)save_ct(ct, cookie, -err.no, NULL);
	fsm_op_done(ct, -err.no, &err);
}

void start_fail(struct ct *ct, const struct err *err)
{
	start_forget(ct);
	ct->op_err = *err;
	if (ct->op_err.no == 0)
		ct->op_err.no = EIO;
	ct->op_hard = true;
	ct->op_tries = 0;
	ct->op_deadline = clock_mono() + ct->e->conf->container_kill_timeout;
	kill_all(ct);
	stop_step(ct);
}

static void started(struct ct *ct)
{
	start_forget(ct);
	loop_cancel(ct->e->loop, &ct->timer);
	free(TAKE_PTR(ct->start_error));
	ct->e->counters.started++;
	fsm_set(ct, ct->is_meta ? CT_META : CT_RUNNING, "started");
	fsm_op_done(ct, 0, NULL);
}

static void children_respawn(struct ct *ct)
{
	for (struct ct *it = ct->children; it != NULL; it = it->next)
		if (it->state == CT_RESPAWNING || (it->state == CT_DEAD && it->val[PROP_respawn].b))
			fsm_schedule_respawn(it);
}

static int failed_text(struct ct *ct, const struct init_status *st, struct err *err)
{
	bool has_reason = st->phase == STATUS_FAILED && st->no != EINTR && st->no != ENOMEM;
	struct oom_cause oom = {};

	if (!has_reason)
		oom = oom_at_start(ct);
	if (oom.out_of_memory)
		return oom_sentence(ct, &oom, err);
	if (st->phase == STATUS_FAILED) {
		int no = st->no != 0 ? st->no : EIO;

		if (st->no != 0 && st->kind != ERR_Unknown)
			return err_set_no(err, (enum err_kind)st->kind, no, "%s: %s", strerror(no), st->text);
		if (st->no != 0)
			return err_sys(err, no, "%s", st->text);
		return err_set(err, (enum err_kind)st->kind, "%s", st->text);
	}
	return err_set(err, ERR_Unknown, "the start was killed before the command ran");
}

/* What is awaited once there is a process. */
static int watch_task(struct ct *ct)
{
	int r;

	ct->report.fn = on_report;
	ct->report.arg = ct;
	ct->timer = (struct loop_timer){ .fn = timed_out, .arg = ct };
	r = loop_add(ct->e->loop, &ct->report, EPOLLIN);
	if (r == 0)
		r = loop_after(ct->e->loop, &ct->timer, ct->e->conf->container_start_timeout);
	return r == 0 ? task_watch(ct) : r;
}

/* The engine that had made the process died before it told it what to do: nothing has happened yet, and all that is missing is
 * another process. */
static void spawn_again(struct ct *ct)
{
	struct err err = {};
	int r;

	loop_cancel(ct->e->loop, &ct->timer);
	start_forget(ct);
	task_unwatch(ct);
	ct->pid = 0;
	ct->task_gone = false;
	r = spawn_task(ct, 0, &err);
	if (r == 0) {
		r = watch_task(ct);
		if (r < 0)
			err_sys(&err, -r, "container %s", ct->name);
	}
	if (r < 0)
		start_fail(ct, &err);
}

void start_check_report(struct ct *ct)
{
	struct init_status st;
	struct err err = {};
	bool respawn = ct->op_respawn;
	uint32_t id = ct->id;
	struct engine *e = ct->e;

	if (save_status_read(ct, &st) < 0)
		st.phase = STATUS_NONE;
	if (st.phase == STATUS_STARTED || st.phase == STATUS_EXITED) {
		started(ct);
		ct = ct_find(e, id);
		if (ct != NULL && respawn)
			children_respawn(ct);
		return;
	}
	if (st.phase == STATUS_FAILED && st.kind == ERR_PortodReloaded) {
		spawn_again(ct);
		return;
	}
	failed_text(ct, &st, &err);
	start_fail(ct, &err);
}

static void on_report(void *arg, uint32_t events)
{
	(void)events;
	start_check_report(arg);
}

static void timed_out(void *arg)
{
	struct ct *ct = arg;
	struct err err = {};

	err_set_no(&err, ERR_Unknown, ETIMEDOUT, "the start took longer than start_timeout");
	start_fail(ct, &err);
}

void start_abort(struct ct *ct)
{
	struct err err = {};

	if (ct->op_hard)
		return;
	err_set(&err, ERR_InvalidState, "container %s was stopped while starting", ct->name);
	if (ct->state == CT_STARTING) {
		start_fail(ct, &err);
		return;
	}
	/* it was waiting for its parent, which must not start it any more: another start may wait for it by then */
	fsm_leave(ct->parent, ct->id);
	fsm_op_done(ct, -err.no, &err);
}

/* ---- begin ---- */

static int run_steps(struct ct *ct, uint64_t cookie, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		int r = steps[i].make(ct, cookie, err);

		if (r < 0) {
			log_debug("%s: start: %s: %s", ct->name, steps[i].name, err->text);
			return r;
		}
	}
	return 0;
}

static int start_go(struct ct *ct, uint64_t cookie, struct err *err)
{
	int r;

	ct->op = OP_START;
	ct->op_hard = ct->stuck = false;
	ct->is_meta = !ct_has_command(ct);
	ct->pid = 0; /* before a respawn it still is the dead one's */
	ct->task_gone = false;
	ct->signalled = false;
	ct->start_boot = clock_boot();
	ct->start_wall = (int64_t)(clock_wall() / NSEC);
	ct->oom_killed = ct->core_dumped = false;
	if (!ct->op_respawn) { /* what a failed start has left */
		ct->oom_kills_total += ct->oom_kills;
		ct->oom_kills = 0;
	}
	fsm_set(ct, CT_STARTING, "start");
	r = run_steps(ct, cookie, err);
	if (r < 0) {
		start_fail(ct, err);
		return ENGINE_PENDING; /* or over already: the caller looks at ct->op */
	}
	if (ct->pid == 0) { /* a meta container without namespaces has no task */
		started(ct);
		return ENGINE_PENDING;
	}
	r = watch_task(ct);
	if (r < 0) {
		err_sys(err, -r, "container %s", ct->name);
		start_fail(ct, err);
	}
	return ENGINE_PENDING;
}

static int check_not_freezing(const struct ct *ct, struct err *err)
{
	for (const struct ct *up = ct->parent; up != NULL; up = up->parent)
		if (up->frozen || up->op == OP_PAUSE)
			return err_set(err, ERR_InvalidState, "parent %s is paused", up->name);
	return 0;
}

static int start_parent(struct ct *ct, const struct engine_cred *who, struct err *err)
{
	struct ct *parent = ct->parent;
	int r;

	if (parent->op != OP_START) {
		if (parent->state != CT_STOPPED || !ct->e->conf->container_enable_start_parents)
			return err_set(err, ERR_InvalidState, "parent %s is %s", parent->name, ct_state_names[parent->state]);
		r = start_begin(parent, who, 0, err);
		if (r < 0)
			return err_wrap(err, r, "parent %s", parent->name);
		if (parent->op == OP_NONE) {
			if (parent->op_result < 0)
				*err = parent->op_err;
			return parent->op_result;
		}
	}
	r = fsm_join(parent, 0, ct->id);
	return r < 0 ? err_sys(err, -r, "container %s", ct->name) : ENGINE_PENDING;
}

int start_begin(struct ct *ct, const struct engine_cred *who, uint64_t cookie, struct err *err)
{
	int r;

	ct->op_who = *who;
	ct->op_respawn = false;
	r = start_check(ct, who, err);
	if (r == 0)
		r = check_not_freezing(ct, err);
	if (r == 0 && ct->parent->parent != NULL && ct->parent->state != CT_RUNNING && ct->parent->state != CT_META) {
		r = start_parent(ct, who, err);
		if (r == ENGINE_PENDING) {
			ct->op = OP_START;
			return r;
		}
	}
	if (r < 0) {
		note_start_error(ct, err);
		return r;
	}
	return start_go(ct, cookie, err);
}

void start_parent_done(struct ct *ct, int result, const struct err *err)
{
	struct err own = {};

	if (ct->op != OP_START || ct->state != CT_STOPPED)
		return; /* it waits no longer */
	if (result < 0) {
		own = *err;
		err_wrap(&own, result, "parent %s", ct->parent != NULL ? ct->parent->name : "");
		note_start_error(ct, &own);
		fsm_op_done(ct, result, &own);
		return;
	}
	(void)start_go(ct, ct->op_waiters != NULL ? ct->op_waiters->cookie : 0, &own);
}

static void respawn_retry(void *arg);

static void respawn_step(struct ct *ct, uint64_t cookie)
{
	struct err err = {};

	if (all_dead(ct)) {
		ct->op_respawn = true;
		(void)start_go(ct, cookie, &err);
		return;
	}
	kill_all(ct);
	ct->timer = (struct loop_timer){ .fn = respawn_retry, .arg = ct };
	(void)loop_after(ct->e->loop, &ct->timer, STATUS_POLL_NSEC);
}

static void respawn_retry(void *arg)
{
	struct ct *ct = arg;

	respawn_step(ct, ct->op_waiters != NULL ? ct->op_waiters->cookie : 0);
}

int respawn_begin(struct ct *ct, uint64_t cookie, struct err *err)
{
	int r;

	if (ct->parent->parent != NULL && !ct_is_alive(ct->parent))
		return err_set(err, ERR_InvalidState, "parent %s is %s", ct->parent->name, ct_state_names[ct->parent->state]);
	r = start_check(ct, &ct->op_who, err);
	if (r == 0)
		r = check_not_freezing(ct, err);
	if (r < 0)
		return r;
	loop_cancel(ct->e->loop, &ct->respawn_timer);
	ct->val[PROP_respawn_count].u++;
	ct->set[PROP_respawn_count / 64] |= UINT64_C(1) << (PROP_respawn_count % 64);
	ct->e->counters.respawned++;
	ct->op = OP_START;
	ct->op_respawn = true;
	respawn_step(ct, cookie);
	return ENGINE_PENDING;
}

/* ---- after a restart of the daemon ---- */

static void look_again(void *arg)
{
	struct ct *ct = arg;
	struct init_status st;

	if (save_status_read(ct, &st) < 0 || st.phase == STATUS_NONE) {
		start_check_report(ct);
		return;
	}
	if (st.phase != STATUS_STARTING) {
		start_check_report(ct);
		return;
	}
	if (clock_mono() > ct->op_deadline) {
		timed_out(ct);
		return;
	}
	ct->timer = (struct loop_timer){ .fn = look_again, .arg = ct };
	(void)loop_after(ct->e->loop, &ct->timer, STATUS_POLL_NSEC);
}

void start_watch_status(struct ct *ct)
{
	ct->op = OP_START;
	ct->op_deadline = clock_mono() + ct->e->conf->container_start_timeout;
	ct->timer = (struct loop_timer){ .fn = look_again, .arg = ct };
	(void)loop_after(ct->e->loop, &ct->timer, 0);
}
