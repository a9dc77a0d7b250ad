/* The end of a volume, and what is done to one that is there: limits, the recount. */
#include "base/log.h"
#include "base/proc.h"
#include "engine/fsm.h"
#include "engine/hooks.h"
#include "engine/layer.h"
#include "engine/run.h"

#define RETRY_FIRST UINT64_C(100000000)
#define RETRY_MAX UINT64_C(60000000000)

static struct vol *vol_of(const struct vop *op)
{
	return vol_find(op->e, op->vol);
}

static void answer(struct engine *e, uint64_t cookie, int result)
{
	if (cookie != 0)
		e->events->done(e->events_arg, cookie, result, NULL, 0);
}

/* ---- the end ---- */

static void again(struct vol *v, uint64_t after)
{
	loop_cancel(v->e->loop, &v->begin);
	v->begin = (struct loop_timer){ .fn = vol_destroy_again, .arg = v };
	(void)loop_after(v->e->loop, &v->begin, after);
}

/* Others may wait for this one to be gone. */
static void wake_waiting(struct engine *e)
{
	for (struct vol *v = e->vols; v != NULL; v = v->next)
		if (v->state == VS_UNLINKED && v->ops != NULL && v->ops->begun && v->ops->kind == VOP_DESTROY)
			again(v, 0);
}

void vol_forget(struct vol *v, struct vop *op, int result)
{
	struct engine *e = v->e;
	struct vop *rest = op->next;
	uint64_t cookie = op->cookie;
	char name[24];

	if (result < 0) {
		struct engine_node n = { .dir = DIR_VOLUMES, .ct = ENGINE_ROOT, .view = ENGINE_ROOT };

		engine_note_error(e, &op->who, &n, &op->err);
	}
	snprintf(name, sizeof(name), "%u", (unsigned)v->id);
	layers_unused(v);
	vop_note_result(op, result);
	e->events->gone(e->events_arg, ENGINE_ROOT, name);
	answer(e, cookie, result); /* the record, which says so, is needed until then */
	vol_save_forget(v);
	v->ops = NULL;
	vop_free(op);
	vol_free(v);
	for (; rest != NULL; rest = op) {
		op = rest->next;
		answer(e, rest->cookie, rest->kind == VOP_DESTROY ? 0 : -ENOENT);
		vop_free(rest);
	}
	wake_waiting(e);
}

static void unmake(void *arg)
{
	struct vop *op = arg;

	for (struct vlink *l = op->links; l != NULL; l = l->next)
		if (l->host != NULL)
			(void)vlink_unmount(l, false, NULL);
	op->result = op->plan.path[0] != '\0' ? vol_destroy(&op->spec, &op->made, &op->err) : 0;
}

static void unmade(void *arg)
{
	struct vop *op = arg;
	struct vol *v = vol_of(op);

	if (op->result == 0) {
		layers_unused(v);
		vol_forget(v, op, 0);
		return;
	}
	log_error("volume %u: cannot be taken down: %s", (unsigned)v->id, op->err.text);
	vol_note_error(v, &op->err);
	answer(v->e, op->cookie, op->result);
	op->cookie = 0;
	op->err = (struct err){};
	again(v, MIN(RETRY_FIRST << MIN(v->tries, 16u), RETRY_MAX));
	v->tries++;
}

/* Those that need it don't go on without it. */
static void stop_who_requires(struct vol *v)
{
	for (const struct vlink *l = v->links; l != NULL; l = l->next) {
		struct ct *ct = ct_find(v->e, l->ct);
		struct err err = {};

		if (ct != NULL && l->required && ct_has_resources(ct) && !ct_is_root(ct))
			(void)fsm_request(ct, &(struct engine_cred){ .uid = 0 }, 0, VERB_STOP, "0", &err);
	}
}

static bool wait_for_nested(struct vol *v)
{
	bool wait = false;

	for (struct vol *u = v->e->last_vol, *before; u != NULL; u = before) {
		before = u->prev;
		if (u == v || !vol_is_inside(u, v))
			continue;
		wait = true;
		if (!u->gone)
			vol_begin_destroy(u, &(struct engine_cred){ .uid = 0 }, 0, "what it lies in is destroyed");
	}
	return wait;
}

static int copy_links(const struct vol *v, struct vop *op)
{
	struct vlink **to = &op->links;

	if (op->links != NULL) /* of the last try */
		return 0;
	for (const struct vlink *l = v->links; l != NULL; l = l->next, to = &(*to)->next) {
		*to = vlink_copy(l);
		if (*to == NULL)
			return -ENOMEM;
	}
	return 0;
}

void vol_destroy_again(void *arg)
{
	struct vol *v = arg;
	struct vop *op = v->ops;

	if (wait_for_nested(v))
		return;
	vol_set_state(v, VS_DESTROYING, "destroy");
	if (copy_links(v, op) < 0 || vop_prepare(v, op) < 0 || !vop_work(op, unmake, unmade))
		again(v, RETRY_FIRST);
}

void vop_destroy(struct vol *v, struct vop *op)
{
	int r = vol_save_gone(v, vop_unique(op), &op->err);

	if (r < 0) {
		vop_end(v, op, r);
		return;
	}
	vol_set_state(v, VS_UNLINKED, "destroy");
	stop_who_requires(v);
	vol_destroy_again(v);
}

void vol_begin_destroy(struct vol *v, const struct engine_cred *who, uint64_t cookie, const char *why)
{
	struct vop *op = vop_new(v, VOP_DESTROY, who, cookie);
	struct err err = {};
	int r = -ENOMEM;

	log_debug("volume %u: to be destroyed: %s", (unsigned)v->id, why);
	if (op != NULL)
		r = vop_begin(v, op, &err);
	if (r < 0)
		answer(v->e, cookie, r);
}

/* ---- limits ---- */

static const int limit_rows[] = { VOL_space_limit, VOL_inode_limit, VOL_space_guarantee, VOL_inode_guarantee };

static void set_limits(struct vol *v, const struct vol_limits *l, uint64_t set)
{
	const uint64_t values[] = { l->space_limit, l->inode_limit, l->space_guarantee, l->inode_guarantee };

	for (size_t i = 0; i < ARRAY_LEN(limit_rows); i++)
		v->val[limit_rows[i]].u = values[i];
	v->set |= set;
}

static void tune(void *arg)
{
	struct vop *op = arg;

	op->result = op->limits_checked ? vol_check_guarantee(&op->made, &op->limits, &op->others, &op->err) : 0;
	if (op->result == 0)
		op->result = vol_tune(&op->spec, &op->made, &op->limits, &op->err);
}

static void tuned(void *arg)
{
	struct vop *op = arg;
	struct vol *v = vol_of(op);

	if (op->result < 0) {
		set_limits(v, &op->spec.limits, 0);
		v->set &= ~op->tuned;
	}
	v->made = op->made;
	v->change_wall = (int64_t)(clock_wall() / 1000000000u);
	vol_set_state(v, VS_READY, "tuned");
	if (op->result == 0)
		op->result = vol_save(v, vop_unique(op), 0, &op->err);
	else
		(void)vol_save(v, vop_unique(op), op->result, NULL);
	vol_usage_refresh(v);
	vop_end(v, op, op->result);
}

void vop_tune(struct vol *v, struct vop *op)
{
	int r = vop_prepare(v, op);

	if (r < 0) {
		vop_end(v, op, r);
		return;
	}
	vol_add_up_guarantees(v, op);
	vol_set_state(v, VS_TUNING, "tune");
	set_limits(v, &op->limits, op->tuned);
	op->result = vol_save(v, 0, 0, &op->err);
	if (op->result < 0 || !vop_work(op, tune, tuned))
		tuned(op);
}

/* ---- check ---- */

static void check(void *arg)
{
	struct vop *op = arg;

	op->result = vol_recount(&op->spec, &op->made, &op->report, &op->err);
}

static void checked(void *arg)
{
	struct vop *op = arg;
	struct vol *v = vol_of(op);

	if (op->result == 0) {
		free(v->report);
		v->report = text_take(&op->report);
		op->result = vol_save(v, vop_unique(op), 0, &op->err);
	}
	vol_usage_refresh(v);
	vop_end(v, op, op->result);
}

void vop_check(struct vol *v, struct vop *op)
{
	op->result = vop_prepare(v, op);
	if (op->result < 0 || !vop_work(op, check, checked))
		vop_end(v, op, op->result);
}
