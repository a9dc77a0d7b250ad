/* The end of a life: soft signal, deadline, SIGKILL, and taking down what is left. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "base/log.h"
#include "engine/eventlog.h"
#include "engine/fsm.h"
#include "engine/io.h"
#include "engine/memory.h"
#include "engine/names.h"
#include "engine/net.h"
#include "engine/output.h"
#include "engine/run.h"
#include "engine/save.h"

#define RETRY_FIRST UINT64_C(500000)
#define RETRY_MAX UINT64_C(50000000)
#define RETRY_STUCK UINT64_C(1000000000)
#define NOTE_TIMEOUT UINT64_C(300000000)

/* ---- the end of a task ---- */

/* What porto-init has written is exact; without that its own end counts, as the supervisor saw it. */
static void end_of_task(struct ct *ct, const struct init_status *st)
{
	loop_cancel(ct->e->loop, &ct->note_timer);
	if (st->phase == STATUS_EXITED)
		fsm_task_ended(ct, st->status);
	else
		fsm_task_ended(ct, ct->noted ? ct->note_status : SIGKILL);
}

static void look_at_end(struct ct *ct)
{
	struct init_status st;

	(void)save_status_read(ct, &st); /* all zero if there is none */
	end_of_task(ct, &st);
}

/*
 * The supervisor notes a status before it reaps: while what has ended is still there and its child, the note will come,
 * however busy it is. Otherwise somebody else has reaped, and only a kill ends porto-init without a word in the file.
 */
static void note_missing(void *arg)
{
	struct ct *ct = arg;
	struct engine *e = ct->e;
	uint32_t id = ct->id;
	uint64_t start = 0;

	if (proc_start_time(ct->pid, &start) == 0 && start == ct->pid_start && getppid() > 1 && proc_parent(ct->pid) == getppid() &&
	    loop_after(e->loop, &ct->note_timer, NOTE_TIMEOUT) == 0)
		return;
	task_check_notes(e);
	ct = ct_find(e, id);
	if (ct != NULL && !ct->task_gone)
		look_at_end(ct);
}

static void on_pidfd(void *arg, uint32_t events)
{
	struct ct *ct = arg;
	struct init_status st;

	(void)events;
	(void)save_status_read(ct, &st);
	if (ct->noted || st.phase == STATUS_EXITED) {
		end_of_task(ct, &st);
		return;
	}
	loop_del(ct->e->loop, &ct->watch);
	ct->note_timer = (struct loop_timer){ .fn = note_missing, .arg = ct };
	if (loop_after(ct->e->loop, &ct->note_timer, NOTE_TIMEOUT) < 0)
		end_of_task(ct, &st);
}

int task_watch(struct ct *ct)
{
	ct->watch = (struct loop_fd){ .fd = ct->pidfd, .fn = on_pidfd, .arg = ct };
	ct->noted = false;
	ct_pid_remember(ct);
	return loop_add(ct->e->loop, &ct->watch, EPOLLIN);
}

void task_unwatch(struct ct *ct)
{
	ct_pid_forget(ct);
	loop_cancel(ct->e->loop, &ct->note_timer);
	if (ct->pidfd < 0)
		return;
	loop_del(ct->e->loop, &ct->watch);
	close(ct->pidfd);
	ct->pidfd = -1;
}

void task_check_notes(struct engine *e)
{
	struct note note;

	while (e->conf->notes != NULL && notes_peek(e->conf->notes, &note)) {
		struct ct *ct = ct_find_pid(e, note.pid, note.start_time);

		notes_take(e->conf->notes);
		if (ct == NULL || ct->task_gone)
			continue;
		ct->noted = true;
		ct->note_status = note.status;
		look_at_end(ct);
	}
}

struct search {
	pid_t inner, found;
};

static int find_inner(void *arg, pid_t child)
{
	struct search *s = arg;
	pid_t inner;

	if (proc_inner_pid(child, &inner) < 0 || inner != s->inner)
		return 0;
	s->found = child;
	return 1;
}

int task_main_fd(struct ct *ct)
{
	pid_t pid;
	int r = task_main_pid(ct, &pid), fd;

	if (r < 0)
		return r;
	if (pid == ct->pid)
		return ct->pidfd >= 0 ? fcntl(ct->pidfd, F_DUPFD_CLOEXEC, 3) : -ESRCH;
	fd = proc_open(pid, 0);
	if (fd >= 0 && proc_parent(pid) != ct->pid) { /* it ended in between, and the number is somebody else's */
		close(fd);
		return -ESRCH;
	}
	return fd;
}

int task_main_pid(struct ct *ct, pid_t *pid)
{
	struct search s = {};
	struct init_status st;

	if (ct->pid == 0 || ct->task_gone)
		return -ESRCH;
	if (ct->is_meta || ct_is_bare(ct)) {
		*pid = ct->pid;
		return 0;
	}
	if (save_status_read(ct, &st) < 0 || st.phase != STATUS_STARTED)
		return -ESRCH;
	s.inner = st.pid;
	(void)proc_children(ct->pid, find_inner, &s);
	if (s.found == 0)
		return -ESRCH;
	*pid = s.found;
	return 0;
}

/* ---- killing ---- */

/* A job's processes share the parent's cgroup: they are known by their session. */
static int in_session(void *arg, pid_t pid)
{
	const struct ct *ct = arg;

	return getsid(pid) == ct->pid;
}

static int kill_session(void *arg, pid_t pid)
{
	const struct ct *ct = arg;
	autoclose int fd = -1;

	if (!in_session(arg, pid))
		return 0;
	fd = proc_open(pid, 0);
	if (fd >= 0 && getsid(pid) == ct->pid)
		(void)proc_signal(fd, SIGKILL);
	return 0;
}

void kill_all(struct ct *ct)
{
	if (ct->val[PROP_virt_mode].u == VIRT_JOB) {
		if (ct->pidfd >= 0)
			(void)proc_signal(ct->pidfd, SIGKILL);
		if (ct->pid != 0 && ct->parent != NULL && ct->parent->has_cg)
			(void)cg_pids(ct->e->cgroups, &ct->parent->cg, false, kill_session, ct);
		return;
	}
	if (ct->pidfd >= 0)
		(void)proc_signal(ct->pidfd, SIGKILL);
	if (!ct->has_cg || cg_empty(ct->e->cgroups, &ct->cg))
		return;
	(void)cg_kill(ct->e->cgroups, &ct->cg);
	ct->cg_killed = true;
	io_limits_lift(ct);
	for (struct ct *it = ct_next(ct, NULL); it != NULL; it = ct_next(ct, it)) {
		it->cg_killed = true;
		io_limits_lift(it);
	}
}

bool all_dead(struct ct *ct)
{
	if (ct->val[PROP_virt_mode].u != VIRT_JOB)
		return !ct->has_cg || cg_empty(ct->e->cgroups, &ct->cg);
	return ct->pid == 0 || ct->parent == NULL || !ct->parent->has_cg ||
	       cg_pids(ct->e->cgroups, &ct->parent->cg, false, in_session, ct) <= 0;
}

int take_down(struct ct *ct)
{
	int r;

	if (ct->pid != 0 && !ct->task_gone) {
		if (ct->pidfd < 0 || !proc_is_gone(ct->pidfd))
			return -EBUSY;
		ct->task_gone = true;
		task_unwatch(ct);
	}
	if (net_take_down(ct) < 0)
		return -EBUSY;
	if (ct->has_cg) {
		oom_unwatch(ct);
		ct->oom_kills = MAX(ct->oom_kills, ct_oom_kills(ct)); /* the last that can be asked */
		r = cg_remove(ct->e->cgroups, &ct->cg);
		if (r == -EBUSY)
			return r;
		net_uncount(ct);
		cg_let_go(ct->e->cgroups, &ct->cg);
		ct->has_cg = ct->cg_killed = ct->pressed = false;
		free(TAKE_PTR(ct->cg.path));
		ct->cg.own = 0;
	}
	work_remove(ct);
	names_drop(ct);
	output_close_taken(ct);
	ct->pid = 0;
	ct->frozen = false;
	return 0;
}

/* ---- stop ---- */

static uint64_t retry_delay(struct ct *ct)
{
	if (ct->stuck)
		return RETRY_STUCK;
	return MIN(RETRY_FIRST << MIN(ct->op_tries, 10u), RETRY_MAX);
}

static void again(void *arg)
{
	stop_step(arg);
}

static void retry(struct ct *ct, uint64_t delay)
{
	ct->op_tries++;
	ct->timer = (struct loop_timer){ .fn = again, .arg = ct };
	if (loop_after(ct->e->loop, &ct->timer, delay) < 0)
		log_error("%s: no memory for a timer", ct->name);
}

/* The deepest container below (or at) ct that still has a living task. */
static struct ct *deepest_alive(struct ct *ct)
{
	for (struct ct *it = ct->children; it != NULL; it = it->next) {
		struct ct *found = deepest_alive(it);

		if (found != NULL)
			return found;
	}
	return ct->pid != 0 && !ct->task_gone ? ct : NULL;
}

static void soft_signal(struct ct *ct)
{
	autoclose int fd = ct->is_meta ? -1 : task_main_fd(ct);
	pid_t pid;
	int sig;

	ct->signalled = true;
	if (fd < 0) {
		if (ct->pidfd >= 0)
			(void)proc_signal(ct->pidfd, SIGKILL); /* nothing in it to be told */
		return;
	}
	sig = task_main_pid(ct, &pid) == 0 ? mode_stop_signal(ct, pid) : SIGTERM;
	(void)proc_signal(fd, sig);
	if (ct->val[PROP_virt_mode].u == VIRT_JOB && !proc_is_gone(ct->pidfd))
		(void)kill(-ct->pid, SIGTERM); /* its leader is alive: the group is ours */
}

/* Everything below and the container itself, deepest first. -EBUSY when something lives. */
static int take_down_tree(struct ct *ct)
{
	int r = 0;

	for (struct ct *it = ct->children; it != NULL; it = it->next) {
		int one = take_down_tree(it);

		r = one < 0 ? one : r;
	}
	return r < 0 ? r : take_down(ct);
}

static void reset_life(struct ct *ct)
{
	ct->oom_kills_total += ct->oom_kills;
	ct->exit_status = 0;
	ct->oom_killed = ct->core_dumped = false;
	ct->oom_kills = 0;
	ct->oom.hits = ct->oom.before = ct->oom.when = 0;
	ct->start_boot = ct->death_boot = 0;
	ct->start_wall = ct->death_wall = 0;
	ct->signalled = ct->stuck = ct->op_hard = false;
}

static void all_stopped(struct ct *ct)
{
	for (struct ct *it = ct->children; it != NULL; it = it->next)
		all_stopped(it);
	loop_cancel(ct->e->loop, &ct->respawn_timer);
	if (ct->state == CT_STOPPED)
		return;
	reset_life(ct);
	fsm_set(ct, CT_STOPPED, "stop");
	/* a restart is done when it has started: until then who asked for it may ask again */
	(void)save_ct(ct, ct->op != OP_RESTART && ct->op_waiters != NULL ? ct->op_waiters->cookie : 0, 0, NULL);
}

static int list_pid(void *arg, pid_t pid)
{
	struct text *t = arg;

	text_addf(t, " %d", (int)pid);
	return t->len > 300;
}

int stop_stuck(struct ct *ct, struct err *err)
{
	autotext struct text pids = {};

	if (ct->has_cg)
		(void)cg_pids(ct->e->cgroups, &ct->cg, true, list_pid, &pids);
	return err_set(err, ERR_Busy, "container %s cannot be stopped: processes do not die:%s", ct->name, text_str(&pids));
}

static void stuck(struct ct *ct)
{
	struct op_waiter *waiters = ct->op_waiters;
	struct engine_node n = { .dir = DIR_CT, .ct = ct->id, .file = PROP_state };
	struct err err = {};

	(void)stop_stuck(ct, &err);
	engine_note_error(ct->e, &ct->op_who, &n, &err);
	ct->stuck = true;
	ct->op_waiters = NULL; /* they are answered now; the operation goes on */
	while (waiters != NULL) {
		struct op_waiter *next = waiters->next;

		struct ct *child = ct_find(ct->e, waiters->child);

		if (waiters->cookie != 0)
			ct->e->events->done(ct->e->events_arg, waiters->cookie, -err.no, NULL, 0);
		else if (child != NULL)
			start_parent_done(child, -err.no, &err);
		free(waiters);
		waiters = next;
	}
}

static void stop_finished(struct ct *ct)
{
	struct err err = {};
	int r;

	if (ct->op == OP_START) {
		start_undone(ct);
		return;
	}
	if (ct->op != OP_RESTART) {
		all_stopped(ct);
		fsm_op_done(ct, 0, NULL);
		return;
	}
	all_stopped(ct);
	ct->op = OP_NONE;
	r = start_begin(ct, &ct->op_who, ct->op_waiters != NULL ? ct->op_waiters->cookie : 0, &err);
	if (r < 0)
		fsm_op_done(ct, r, &err);
}

/* Each may have been paused by itself. */
static void thaw_up(struct ct *ct, const struct ct *top)
{
	for (;; ct = ct->parent) {
		if (ct->frozen)
			fsm_thaw(ct, "stop");
		if (ct == top)
			break;
	}
}

static void hard_step(struct ct *ct)
{
	int r;

	kill_all(ct);
	for (struct ct *it = ct_next(ct, NULL); it != NULL; it = ct_next(ct, it))
		kill_all(it);
	for (struct ct *it = ct; it != NULL; it = ct_next(ct, it == ct ? NULL : it))
		if (it->frozen)
			fsm_thaw(it, "stop");
	r = take_down_tree(ct);
	if (r == 0) {
		stop_finished(ct);
		return;
	}
	if (!ct->stuck && clock_mono() > ct->op_deadline)
		stuck(ct);
	retry(ct, retry_delay(ct));
}

void stop_step(struct ct *ct)
{
	struct ct *next;

	loop_cancel(ct->e->loop, &ct->timer);
	if (!ct->op_hard && clock_mono() < ct->op_deadline) {
		next = deepest_alive(ct);
		if (next != NULL) {
			if (!next->signalled) {
				soft_signal(next); /* queued first, it acts with the thaw */
				thaw_up(next, ct);
			}
			ct->timer = (struct loop_timer){ .fn = again, .arg = ct };
			(void)loop_at(ct->e->loop, &ct->timer, ct->op_deadline);
			return;
		}
	}
	if (!ct->op_hard) {
		ct->op_hard = true;
		ct->op_tries = 0;
		ct->op_deadline = clock_mono() + ct->e->conf->container_kill_timeout;
	}
	hard_step(ct);
}

static void set_stopping(struct ct *ct)
{
	/* its own operation first, and the parent before its children: whatever goes on with the end of theirs finds it so */
	if (ct->parent != NULL && ct->op == OP_START)
		start_abort(ct);
	else if (ct->op == OP_PAUSE)
		pause_failed(ct, "it was stopped meanwhile");
	loop_cancel(ct->e->loop, &ct->respawn_timer);
	ct->signalled = false;
	if (ct->state != CT_STOPPED)
		fsm_set(ct, CT_STOPPING, "stop");
	for (struct ct *it = ct->children; it != NULL; it = it->next)
		set_stopping(it);
}

void stop_begin(struct ct *ct, uint64_t timeout_nsec)
{
	ct->op_deadline = clock_mono() + timeout_nsec;
	ct->op_hard = false;
	ct->stuck = false;
	ct->op_tries = 0;
	ct->oom_kills = ct_oom_kills(ct);
	set_stopping(ct);
	(void)save_ct(ct, 0, 0, NULL);
	stop_step(ct);
}

void stop_hasten(struct ct *ct, uint64_t timeout_nsec)
{
	uint64_t deadline = clock_mono() + timeout_nsec;

	if (ct->op_hard || deadline >= ct->op_deadline)
		return;
	ct->op_deadline = deadline;
	(void)save_ct(ct, 0, 0, NULL);
	stop_step(ct);
}

/* ---- destroy ---- */

static void destroy_again(void *arg)
{
	destroy_step(arg);
}

void destroy_step(struct ct *ct)
{
	struct engine *e = ct->e;

	loop_cancel(e->loop, &ct->timer);
	kill_all(ct);
	if (ct->frozen) {
		ct->frozen = false;
		(void)cg_freeze(e->cgroups, &ct->cg, false);
	}
	if (take_down(ct) == 0) {
		save_forget(ct);
		ct->op_err = (struct err){};
		fsm_op_done(ct, 0, NULL);
		ct_free(ct);
		return;
	}
	if (!ct->stuck && clock_mono() > ct->op_deadline) {
		log_warning("%s: destroyed, but some process does not die; trying on", ct->name);
		ct->stuck = true;
	}
	ct->op_tries++;
	ct->timer = (struct loop_timer){ .fn = destroy_again, .arg = ct };
	(void)loop_after(e->loop, &ct->timer, retry_delay(ct));
}
