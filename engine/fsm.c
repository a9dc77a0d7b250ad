#include "engine/fsm.h"

#include <sys/wait.h>

#include "base/log.h"
#include "base/names.h"
#include "base/units.h"
#include "engine/access.h"
#include "engine/cpu.h"
#include "engine/eventlog.h"
#include "engine/memory.h"
#include "engine/output.h"
#include "engine/run.h"
#include "engine/save.h"
#include "engine/tick.h"
#include "engine/wait.h"
#include "engine/watch.h"

#define NSEC UINT64_C(1000000000)
#define FREEZE_TIMEOUT (10 * NSEC)
#define FREEZE_RETRY_FIRST UINT64_C(200000)
#define FREEZE_RETRY_MAX UINT64_C(20000000)

const char *const verb_names[VERBS] = {
	[VERB_START] = "start",   [VERB_STOP] = "stop",       [VERB_KILL] = "kill",       [VERB_PAUSE] = "pause",
	[VERB_RESUME] = "resume", [VERB_RESTART] = "restart", [VERB_RESPAWN] = "respawn", [VERB_DESTROY] = "destroy",
};

/* What becomes of a verb while an operation is under way. */
enum meet { DO, JOIN, QUEUE, HASTEN, ABORT };

static const unsigned char meets[][VERBS] = {
	/*                START  STOP    KILL PAUSE  RESUME RESTART RESPAWN DESTROY */
	[OP_NONE]    = { DO,    DO,     DO,  DO,    DO,    DO,     DO,     DO },
	[OP_START]   = { JOIN,  ABORT,  DO,  QUEUE, DO,    QUEUE,  QUEUE,  DO },
	[OP_STOP]    = { QUEUE, HASTEN, DO,  DO,    DO,    QUEUE,  DO,     DO },
	[OP_PAUSE]   = { DO,    ABORT,  DO,  JOIN,  ABORT, ABORT,  DO,     DO },
	[OP_RESUME]  = { DO,    DO,     DO,  DO,    DO,    DO,     DO,     DO },
	[OP_RESTART] = { QUEUE, HASTEN, DO,  DO,    DO,    JOIN,   DO,     DO },
	[OP_DESTROY] = { JOIN,  JOIN,   DO,  DO,    DO,    JOIN,   DO,     JOIN },
};
_Static_assert(ARRAY_LEN(meets) == OP_DESTROY + 1, "a row for each operation");

void fsm_set(struct ct *ct, enum ct_state state, const char *why)
{
	struct engine *e = ct->e;
	enum ct_state old = ct->state;
	bool was_alive, guaranteed;

	if (old == state)
		return;
	was_alive = ct_is_alive(ct);
	guaranteed = memory_guarantee_total(ct) > 0;
	ct->state = state;
	if (was_alive != ct_is_alive(ct) && cpu_guarantee_total(ct) > 0)
		cpu_running_changed(ct->parent);
	if ((old == CT_STOPPED || state == CT_STOPPED) && (guaranteed || memory_guarantee_total(ct) > 0))
		memory_running_changed(ct->parent);
	log_debug("%s: %s -> %s (%s)", ct->name, ct_state_names[old], ct_state_names[state], why);
	if (state == CT_DEAD) {
		event_log(e, "state", ct->name, "dead\t%d", ct_exit_code(ct));
		fsm_arm_aging(ct);
	} else {
		event_log(e, "state", ct->name, "%s", ct_state_names[state]);
		loop_cancel(e->loop, &ct->age_timer);
	}
	if (ct_is_alive(ct))
		tick_start(e);
	memory_state_changed(ct);
	if (state == CT_STOPPED)
		ct->porto = 0;
	access_count(ct);
	e->events->changed(e->events_arg, DIR_CT, ct->id, PROP_state);
	watch_renew(ct);
	wait_notify(ct);
}

/* ---- who waits for an operation ---- */

int fsm_join(struct ct *ct, uint64_t cookie, uint32_t child)
{
	struct op_waiter *w, **end = &ct->op_waiters;

	if (cookie == 0 && child == 0)
		return 0;
	w = malloc(sizeof(*w));
	if (w == NULL)
		return -ENOMEM;
	*w = (struct op_waiter){ .cookie = cookie, .child = child };
	while (*end != NULL)
		end = &(*end)->next;
	*end = w;
	return 0;
}

void fsm_leave(struct ct *ct, uint32_t child)
{
	struct op_waiter **p = &ct->op_waiters;

	while (*p != NULL) {
		struct op_waiter *w = *p;

		if (w->child != child) {
			p = &w->next;
			continue;
		}
		*p = w->next;
		free(w);
	}
}

static void answer(struct engine *e, struct ct *ct, struct op_waiter *w, int result, const struct err *err)
{
	struct ct *child;

	if (w->cookie != 0) {
		if (result < 0 && ct != NULL && err != NULL) {
			struct engine_node n = { .dir = DIR_CT, .ct = ct->id, .file = PROP_state };

			engine_note_error(e, &ct->op_who, &n, err);
		}
		e->events->done(e->events_arg, w->cookie, result, NULL, 0);
		return;
	}
	child = ct_find(e, w->child);
	if (child != NULL)
		start_parent_done(child, result, err);
}

static void run_queued(struct ct *ct)
{
	struct engine *e = ct->e;
	uint32_t id = ct->id;

	while (ct != NULL && ct->op == OP_NONE && ct->queue != NULL) {
		struct op_queued *q = ct->queue;
		struct err err = {};
		int r;

		ct->queue = q->next;
		r = fsm_request(ct, &q->who, q->cookie, (enum verb)q->verb, q->arg, &err);
		if (r != ENGINE_PENDING) {
			struct engine_node n = { .dir = DIR_CT, .ct = id, .file = PROP_state };

			if (r < 0)
				engine_note_error(e, &q->who, &n, &err);
			e->events->done(e->events_arg, q->cookie, r, NULL, 0);
		}
		free(q->arg);
		free(q);
		ct = ct_find(e, id);
	}
}

void fsm_op_done(struct ct *ct, int result, const struct err *err)
{
	struct engine *e = ct->e;
	uint32_t id = ct->id;
	struct op_waiter *w = ct->op_waiters;

	ct->op = OP_NONE;
	ct->op_result = result;
	if (err != NULL && err != &ct->op_err)
		ct->op_err = *err;
	ct->op_waiters = NULL;
	loop_cancel(e->loop, &ct->timer);
	while (w != NULL) {
		struct op_waiter *next = w->next;
		struct err copy = {};

		ct = ct_find(e, id); /* an answer may have led to its end */
		if (result < 0)
			copy = ct != NULL ? ct->op_err : (struct err){ .kind = ERR_ContainerDoesNotExist, .no = ENOENT };
		answer(e, ct, w, result, &copy);
		free(w);
		w = next;
	}
	ct = ct_find(e, id);
	if (ct != NULL)
		run_queued(ct);
}

static bool cancel_in(struct ct *ct, uint64_t cookie)
{
	for (struct op_waiter **p = &ct->op_waiters; *p != NULL; p = &(*p)->next)
		if ((*p)->cookie == cookie) {
			struct op_waiter *w = *p;

			*p = w->next;
			free(w);
			return true;
		}
	for (struct op_queued **p = &ct->queue; *p != NULL; p = &(*p)->next)
		if ((*p)->cookie == cookie) {
			struct op_queued *q = *p;

			*p = q->next;
			free(q->arg);
			free(q);
			return true;
		}
	return false;
}

bool fsm_cancel(struct engine *e, uint64_t cookie)
{
	for (struct ct *ct = ct_next(e->root, NULL); ct != NULL; ct = ct_next(e->root, ct))
		if (cancel_in(ct, cookie))
			return true;
	for (struct ct *ct = e->dying; ct != NULL; ct = ct->next)
		if (cancel_in(ct, cookie))
			return true;
	return false;
}

static int queue_request(struct ct *ct, const struct engine_cred *who, uint64_t cookie, enum verb verb, const char *arg)
{
	struct op_queued *q = calloc(1, sizeof(*q)), **end = &ct->queue;

	if (q == NULL)
		return -ENOMEM;
	*q = (struct op_queued){ .who = *who, .cookie = cookie, .verb = verb, .arg = strdup(arg) };
	if (q->arg == NULL) {
		free(q);
		return -ENOMEM;
	}
	while (*end != NULL)
		end = &(*end)->next;
	*end = q;
	return ENGINE_PENDING;
}

/* ---- verbs ---- */

static int wrong_state(const struct ct *ct, enum verb verb, struct err *err)
{
	return err_set(err, ERR_InvalidState, "cannot %s container %s in state %s", verb_names[verb], ct->name,
		       ct_state_names[ct->state]);
}

static bool parent_paused(const struct ct *ct)
{
	return ct->parent != NULL && ct->parent->state == CT_PAUSED;
}

/* After a begin: still going on -> the cookie waits; over already -> its result. */
static int begun(struct ct *ct, uint64_t cookie, struct err *err)
{
	if (ct->op == OP_NONE) {
		if (ct->op_result < 0 && err != NULL)
			*err = ct->op_err;
		return ct->op_result;
	}
	if (fsm_join(ct, cookie, 0) < 0)
		return err_sys(err, ENOMEM, "container %s", ct->name);
	return ENGINE_PENDING;
}

static int do_start(struct ct *ct, const struct engine_cred *who, uint64_t cookie, const char *arg, struct err *err)
{
	int r;

	(void)arg;
	if (ct->state != CT_STOPPED)
		return wrong_state(ct, VERB_START, err);
	r = start_begin(ct, who, cookie, err);
	return r == ENGINE_PENDING ? begun(ct, cookie, err) : r;
}

static int stop_timeout(struct ct *ct, const char *arg, uint64_t *nsec, struct err *err)
{
	double seconds;
	char *end;

	*nsec = ct->e->conf->container_stop_timeout;
	if (arg[0] == '\0')
		return 0;
	seconds = strtod(arg, &end);
	if (end == arg || *end != '\0' || !(seconds >= 0) || seconds > 1e9)
		return err_set(err, ERR_InvalidValue, "stop: '%.50s': expected seconds", arg);
	*nsec = (uint64_t)(seconds * (double)NSEC);
	return 0;
}

static int do_stop(struct ct *ct, const struct engine_cred *who, uint64_t cookie, const char *arg, struct err *err)
{
	uint64_t timeout;
	int r = stop_timeout(ct, arg, &timeout, err);

	if (r < 0)
		return r;
	if (ct->state == CT_STOPPED)
		return 0;
	if (parent_paused(ct))
		return err_set(err, ERR_InvalidState, "cannot stop container %s: its parent is paused", ct->name);
	ct->op = OP_STOP;
	ct->op_who = *who;
	stop_begin(ct, timeout);
	return begun(ct, cookie, err);
}

static int do_kill(struct ct *ct, const struct engine_cred *who, uint64_t cookie, const char *arg, struct err *err)
{
	autoclose int fd = -1;
	int sig = SIGTERM, r;

	(void)who;
	if (arg[0] != '\0') {
		sig = signal_parse(arg);
		if (sig < 0)
			return err_set(err, ERR_InvalidValue, "kill: '%.50s': no such signal", arg);
	}
	if (ct->state != CT_RUNNING && ct->state != CT_STOPPING)
		return wrong_state(ct, VERB_KILL, err);
	fd = task_main_fd(ct);
	if (fd < 0)
		return err_set(err, ERR_InvalidState, "container %s has no main process any more", ct->name);
	/* before the signal: sent twice it would be two; but a full disk must not keep anybody from killing */
	(void)save_ct(ct, cookie, 0, NULL);
	r = proc_signal(fd, sig);
	return r < 0 ? err_sys(err, -r, "kill %s", ct->name) : 0;
}

static void set_subtree_paused(struct ct *ct)
{
	for (struct ct *it = ct; it != NULL; it = ct_next(ct, it == ct ? NULL : it)) {
		if (it->state == CT_RUNNING || it->state == CT_META)
			fsm_set(it, CT_PAUSED, it == ct ? "pause" : "parent paused");
		if (it == ct && ct->children == NULL)
			break;
	}
}

void pause_failed(struct ct *ct, const char *why)
{
	struct err err = {};
	int r = err_set(&err, ERR_Busy, "container %s cannot be frozen: %s", ct->name, why);

	(void)cg_freeze(ct->e->cgroups, &ct->cg, false);
	fsm_op_done(ct, r, &err);
}

/* The freezer needs its time, and a task may be waiting for an answer of ours just then: look again later. */
static void pause_step(void *arg)
{
	struct ct *ct = arg;
	uint64_t delay = MIN(FREEZE_RETRY_FIRST << MIN(ct->op_tries, 8u), FREEZE_RETRY_MAX);
	struct err err = {};
	int r;

	if (cg_frozen(ct->e->cgroups, &ct->cg)) {
		ct->frozen = true;
		set_subtree_paused(ct);
		r = save_ct(ct, ct->op_waiters != NULL ? ct->op_waiters->cookie : 0, 0, &err);
		if (r < 0)
			fsm_thaw(ct, "pause failed");
		fsm_op_done(ct, r, &err);
		return;
	}
	if (clock_mono() > ct->op_deadline) {
		pause_failed(ct, "some process does not stop");
		return;
	}
	ct->op_tries++;
	ct->timer = (struct loop_timer){ .fn = pause_step, .arg = ct };
	if (loop_after(ct->e->loop, &ct->timer, delay) < 0)
		pause_failed(ct, "no memory");
}

static int do_pause(struct ct *ct, const struct engine_cred *who, uint64_t cookie, const char *arg, struct err *err)
{
	int r;

	(void)arg;
	if (ct->state != CT_RUNNING && ct->state != CT_META)
		return wrong_state(ct, VERB_PAUSE, err);
	if (ct->val[PROP_virt_mode].u == VIRT_JOB)
		return err_set(err, ERR_InvalidState, "cannot pause container %s: a job has no cgroup of its own", ct->name);
	r = cg_freeze(ct->e->cgroups, &ct->cg, true);
	if (r < 0)
		return err_sys(err, -r, "cannot freeze container %s", ct->name);
	ct->op = OP_PAUSE;
	ct->op_who = *who;
	ct->op_tries = 0;
	ct->op_deadline = clock_mono() + FREEZE_TIMEOUT;
	if (cookie != 0 && fsm_join(ct, cookie, 0) < 0) {
		pause_failed(ct, "no memory");
		return err_sys(err, ENOMEM, "container %s", ct->name);
	}
	ct->timer = (struct loop_timer){ .fn = pause_step, .arg = ct };
	r = loop_after(ct->e->loop, &ct->timer, 0);
	return r < 0 ? err_sys(err, -r, "container %s", ct->name) : ENGINE_PENDING;
}

bool fsm_is_frozen(const struct ct *ct)
{
	for (; ct != NULL; ct = ct->parent)
		if (ct->frozen)
			return true;
	return false;
}

void fsm_thaw(struct ct *ct, const char *why)
{
	ct->frozen = false;
	(void)cg_freeze(ct->e->cgroups, &ct->cg, false);
	for (struct ct *it = ct; it != NULL; it = ct_next(ct, it == ct ? NULL : it)) {
		if (it->state == CT_PAUSED && !fsm_is_frozen(it))
			fsm_set(it, it->is_meta ? CT_META : CT_RUNNING, why);
		if (it == ct && ct->children == NULL)
			break;
	}
}

static int do_resume(struct ct *ct, const struct engine_cred *who, uint64_t cookie, const char *arg, struct err *err)
{
	int r;

	(void)who;
	(void)arg;
	if (ct->state != CT_PAUSED)
		return wrong_state(ct, VERB_RESUME, err);
	if (!ct->frozen)
		return err_set(err, ERR_InvalidState, "cannot resume container %s: its parent is paused", ct->name);
	ct->frozen = false; /* the record is what counts: the next worker thaws what it finds frozen */
	r = save_ct(ct, cookie, 0, err);
	if (r < 0)
		ct->frozen = true;
	else
		fsm_thaw(ct, "resume");
	return r;
}

static int do_restart(struct ct *ct, const struct engine_cred *who, uint64_t cookie, const char *arg, struct err *err)
{
	uint64_t timeout;
	int r = stop_timeout(ct, arg, &timeout, err);

	if (r < 0)
		return r;
	if (ct->state == CT_STOPPED)
		return do_start(ct, who, cookie, "", err);
	if (parent_paused(ct))
		return err_set(err, ERR_InvalidState, "cannot restart container %s: its parent is paused", ct->name);
	ct->op = OP_RESTART;
	ct->op_who = *who;
	stop_begin(ct, timeout);
	return begun(ct, cookie, err);
}

bool fsm_respawns_left(const struct ct *ct)
{
	uint64_t max = ct->val[PROP_max_respawns].u;

	return max == 0 || ct->val[PROP_respawn_count].u < max - 1;
}

static int do_respawn(struct ct *ct, const struct engine_cred *who, uint64_t cookie, const char *arg, struct err *err)
{
	int r;

	(void)arg;
	if (ct->state != CT_DEAD && ct->state != CT_RESPAWNING)
		return wrong_state(ct, VERB_RESPAWN, err);
	if (!fsm_respawns_left(ct))
		return err_set(err, ERR_ResourceNotAvailable, "container %s has been restarted %llu times, its max_respawns",
			       ct->name, (unsigned long long)ct->val[PROP_respawn_count].u);
	ct->op_who = *who;
	r = respawn_begin(ct, cookie, err);
	return r == ENGINE_PENDING ? begun(ct, cookie, err) : r;
}

static int do_destroy(struct ct *ct, const struct engine_cred *who, uint64_t cookie, const char *arg, struct err *err)
{
	struct engine *e = ct->e;
	uint32_t parent = ct->parent->id;
	autofree char *base = strdup(ct->base);
	int r;

	(void)arg;
	if (base == NULL)
		return err_sys(err, ENOMEM, "container %s", ct->name);
	ct->op_who = *who;
	r = save_gone(ct, cookie, err);
	if (r < 0)
		return r;
	fsm_destroy(ct);
	e->events->gone(e->events_arg, parent, base); /* no rmdir tells the kernel */
	if (cookie != 0 && fsm_join(ct, cookie, 0) < 0)
		return 0; /* it is going, only nobody can wait for it */
	return cookie != 0 ? ENGINE_PENDING : 0;
}

typedef int verb_fn(struct ct *ct, const struct engine_cred *who, uint64_t cookie, const char *arg, struct err *err);

static verb_fn *const verbs[VERBS] = {
	[VERB_START] = do_start,   [VERB_STOP] = do_stop,       [VERB_KILL] = do_kill,       [VERB_PAUSE] = do_pause,
	[VERB_RESUME] = do_resume, [VERB_RESTART] = do_restart, [VERB_RESPAWN] = do_respawn, [VERB_DESTROY] = do_destroy,
};

int fsm_request(struct ct *ct, const struct engine_cred *who, uint64_t cookie, enum verb verb, const char *arg,
		struct err *err)
{
	uint64_t timeout;
	int r;

	if (arg[0] != '\0' && verb != VERB_STOP && verb != VERB_RESTART && verb != VERB_KILL)
		return err_set(err, ERR_InvalidValue, "%s takes no argument", verb_names[verb]);
	if (ct->stuck && meets[ct->op][verb] != DO)
		return stop_stuck(ct, err); /* nobody knows how long it would wait */
	switch ((enum meet)meets[ct->op][verb]) {
	case JOIN:
		r = fsm_join(ct, cookie, 0);
		return r < 0 ? err_sys(err, -r, "container %s", ct->name) : ENGINE_PENDING;
	case QUEUE:
		r = queue_request(ct, who, cookie, verb, arg);
		return r < 0 ? err_sys(err, -r, "container %s", ct->name) : r;
	case HASTEN:
		r = stop_timeout(ct, arg, &timeout, err);
		if (r < 0)
			return r;
		if (ct->op == OP_RESTART)
			ct->op = OP_STOP; /* the later wish counts */
		stop_hasten(ct, timeout);
		return begun(ct, cookie, err);
	case ABORT:
		if (ct->op == OP_PAUSE) {
			pause_failed(ct, "it was stopped meanwhile");
		} else {
			r = stop_timeout(ct, arg, &timeout, err);
			if (r < 0)
				return r;
			start_abort(ct);
			if (ct->op != OP_NONE)
				return queue_request(ct, who, cookie, verb, arg);
		}
		break;
	case DO:
		break;
	}
	return verbs[verb](ct, who, cookie, arg, err);
}

/* ---- death ---- */

static struct ct *stopping_above(struct ct *ct)
{
	for (; ct != NULL; ct = ct->parent)
		if (ct->op == OP_STOP || ct->op == OP_RESTART)
			return ct;
	return NULL;
}

/* A member of a subtree whose head died or was stopped: dead too, with what it had reported or zero. */
static void die_with_parent(struct ct *ct, const struct oom_cause *oom)
{
	struct init_status st;

	if (ct->op == OP_START)
		start_abort(ct);
	else if (ct->op == OP_PAUSE)
		pause_failed(ct, "its parent died");
	if (ct->state == CT_STOPPED || ct->state == CT_DEAD)
		return;
	if (ct->pid != 0 && !ct->task_gone) {
		ct->exit_status = save_status_read(ct, &st) == 0 && st.phase == STATUS_EXITED ? st.status : 0;
		kill_all(ct);
		task_unwatch(ct);
		ct->task_gone = true;
	}
	loop_cancel(ct->e->loop, &ct->respawn_timer);
	ct->death_boot = clock_boot();
	ct->death_wall = (int64_t)(clock_wall() / NSEC);
	ct->oom_kills = ct_oom_kills(ct);
	ct->oom_killed = oom->out_of_memory;
	if (ct->oom_killed)
		oom_note(ct, oom);
	oom_unwatch(ct);
	ct->frozen = false;
	fsm_set(ct, CT_DEAD, "parent died");
	(void)save_ct(ct, 0, 0, NULL);
}

static void die(struct ct *ct, int status, const struct oom_cause *oom)
{
	ct->exit_status = status;
	ct->core_dumped = WIFSIGNALED(status) && WCOREDUMP(status);
	ct->oom_kills = ct_oom_kills(ct);
	ct->oom_killed = oom->out_of_memory;
	oom_unwatch(ct);
	ct->death_boot = clock_boot();
	ct->death_wall = (int64_t)(clock_wall() / NSEC);
	if (ct->frozen)
		fsm_thaw(ct, "died");
	kill_all(ct);
	for (struct ct *it = ct_next(ct, NULL); it != NULL; it = ct_next(ct, it))
		die_with_parent(it, oom);
	if (ct->oom_killed)
		oom_note(ct, oom);
	ct->e->counters.died++;
	if (!ct->val[PROP_respawn].b)
		output_close_taken(ct);
	fsm_set(ct, CT_DEAD, ct->oom_killed ? "out of memory" : "main task ended");
	(void)save_ct(ct, 0, 0, NULL);
	if (ct->val[PROP_respawn].b)
		fsm_schedule_respawn(ct);
}

void fsm_task_ended(struct ct *ct, int status)
{
	struct ct *top;

	if (ct->op == OP_START && !ct->op_hard) {
		start_check_report(ct); /* the start may have succeeded before; after it, ct is running or being undone */
		if (ct->op == OP_START && !ct->op_hard)
			return;
	}
	ct->task_gone = true;
	task_unwatch(ct);
	if (ct->destroying) {
		destroy_step(ct);
		return;
	}
	top = stopping_above(ct);
	if (top != NULL || ct->op_hard) {
		ct->exit_status = status;
		stop_step(top != NULL ? top : ct);
		return;
	}
	if (ct->op == OP_PAUSE)
		pause_failed(ct, "it died meanwhile");
	if (ct_is_alive(ct)) {
		struct oom_cause oom = oom_at_death(ct, status);

		die(ct, status, &oom);
	}
}

void fsm_out_of_memory(struct ct *ct, const struct oom_cause *cause)
{
	if (ct->op == OP_PAUSE)
		pause_failed(ct, "it ran out of memory");
	ct->task_gone = true;
	task_unwatch(ct);
	die(ct, SIGKILL, cause);
}
