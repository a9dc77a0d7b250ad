/* The end of a container by its own clock or by order: respawn, aging, destroy. */
#include "base/log.h"
#include "engine/cpu.h"
#include "engine/eventlog.h"
#include "engine/fsm.h"
#include "engine/memory.h"
#include "engine/run.h"
#include "engine/save.h"
#include "engine/vol.h"
#include "engine/wait.h"

#define RESPAWN_DELAY_MIN UINT64_C(50000000)
#define NSEC UINT64_C(1000000000)

static void respawn_now(void *arg)
{
	struct ct *ct = arg;
	struct err err = {};
	int r;

	if (ct->state != CT_RESPAWNING || ct->op != OP_NONE)
		return;
	if (ct->parent->parent != NULL && !ct_is_alive(ct->parent))
		return; /* the parent's own respawn will come back to its children */
	for (const struct ct *up = ct->parent; up != NULL; up = up->parent)
		if (up->frozen || up->op == OP_PAUSE) { /* when it is thawed */
			fsm_schedule_respawn(ct);
			return;
		}
	r = respawn_begin(ct, 0, &err);
	if (r < 0) {
		struct engine_node n = { .dir = DIR_CT, .ct = ct->id, .file = PROP_state };

		engine_note_error(ct->e, &(struct engine_cred){ .uid = ct->owner_uid }, &n, &err);
		if (ct->state == CT_RESPAWNING)
			fsm_set(ct, CT_DEAD, "respawn failed");
	}
}

void fsm_schedule_respawn(struct ct *ct)
{
	if (ct->state != CT_DEAD && ct->state != CT_RESPAWNING)
		return;
	if (!fsm_respawns_left(ct))
		return;
	ct->respawn_timer = (struct loop_timer){ .fn = respawn_now, .arg = ct };
	if (loop_after(ct->e->loop, &ct->respawn_timer, MAX(ct->val[PROP_respawn_delay].u, RESPAWN_DELAY_MIN)) < 0)
		return;
	fsm_set(ct, CT_RESPAWNING, "respawn");
}

static void grown_old(void *arg)
{
	struct ct *ct = arg;

	if (ct->state == CT_DEAD && ct->op == OP_NONE)
		fsm_destroy_own(ct, "aging_time is over");
}

void fsm_arm_aging(struct ct *ct)
{
	uint64_t age = MIN(ct->val[PROP_aging_time].u, UINT64_C(1) << 32) * NSEC, passed = clock_boot() - ct->death_boot;

	loop_cancel(ct->e->loop, &ct->age_timer);
	if (ct->state != CT_DEAD)
		return;
	ct->age_timer = (struct loop_timer){ .fn = grown_old, .arg = ct };
	(void)loop_after(ct->e->loop, &ct->age_timer, age > passed ? age - passed : 0);
}

static void destroy_timer(void *arg)
{
	destroy_step(arg);
}

/* The deepest first, so that a parent never goes before its children. */
static void destroy_one(struct ct *ct)
{
	struct ct *parent = ct->parent;
	struct err err = {};

	while (ct->last_child != NULL)
		destroy_one(ct->last_child);
	err_set(&err, ERR_ContainerDoesNotExist, "container %s was destroyed", ct->name);
	oom_inherit(ct);
	oom_unwatch(ct);
	(void)save_gone(ct, 0, NULL);
	start_forget(ct); /* what a start that was under way has to tell would end the destruction */
	kill_all(ct);
	vol_container_gone(ct);
	ct_unlink(ct);
	if (cpu_guarantee_total(ct) > 0)
		cpu_running_changed(parent);
	if (memory_guarantee_total(ct) > 0)
		memory_running_changed(parent);
	event_log(ct->e, "destroyed", ct->name, NULL);
	ct->e->counters.destroyed++;
	ct->e->events->changed(ct->e->events_arg, DIR_CT, ct->id, PROP_state);
	wait_drop(ct);
	while (ct->queue != NULL) {
		struct op_queued *q = ct->queue;

		ct->queue = q->next;
		ct->e->events->done(ct->e->events_arg, q->cookie, -ENOENT, NULL, 0);
		free(q->arg);
		free(q);
	}
	fsm_op_done(ct, -ENOENT, &err);
	ct->op = OP_DESTROY;
	loop_cancel(ct->e->loop, &ct->respawn_timer);
	loop_cancel(ct->e->loop, &ct->age_timer);
	ct->op_tries = 0;
	ct->op_deadline = clock_mono() + ct->e->conf->container_kill_timeout;
	/* never at once: the request's answer goes out first, and with it the need for the record of it */
	ct->timer = (struct loop_timer){ .fn = destroy_timer, .arg = ct };
	(void)loop_after(ct->e->loop, &ct->timer, 0);
}

void fsm_destroy(struct ct *ct)
{
	struct ct *up = ct->parent;
	uint64_t kills = up->oom_kills_total;

	log_debug("%s: %s -> destroyed", ct->name, ct_state_names[ct->state]);
	destroy_one(ct);
	if (up->oom_kills_total != kills)
		oom_keep_total(up);
}

void fsm_destroy_own(struct ct *ct, const char *why)
{
	struct engine *e = ct->e;
	uint32_t parent = ct->parent->id;
	autofree char *base = strdup(ct->base);

	log_info("%s: destroyed: %s", ct->name, why);
	if (save_gone(ct, 0, NULL) < 0)
		return;
	fsm_destroy(ct);
	if (base != NULL)
		e->events->gone(e->events_arg, parent, base);
}
