/* What is asked of volumes: one operation at a time each, the others in order behind it. */
#include <stdio.h>

#include "base/log.h"
#include "engine/cred.h"
#include "engine/hooks.h"
#include "engine/layer.h"
#include "engine/save.h"
#include "engine/vol.h"

#define OPS_MAX 64 /* that wait for one volume */

/* How each operation begins when its turn has come, and in which states of the volume it may. */
static const struct {
	const char *name;
	void (*begin)(struct vol *v, struct vop *op);
	unsigned states;
} kinds[VOP_KINDS] = {
	[VOP_BUILD] = { "build", vop_build, 1 << VS_INITIAL | 1 << VS_BUILDING },
	[VOP_ADOPT] = { "adopt", vop_adopt, 1 << VS_READY | 1 << VS_TUNING },
	[VOP_LINK] = { "link", vop_link, 1 << VS_READY },
	[VOP_UNLINK] = { "unlink", vop_unlink, 1 << VS_READY },
	[VOP_TUNE] = { "tune", vop_tune, 1 << VS_READY },
	[VOP_CHECK] = { "check", vop_check, 1 << VS_READY },
	[VOP_DESTROY] = { "destroy", vop_destroy, ~0u },
};

struct vop *vop_new(struct vol *v, enum vop_kind kind, const struct engine_cred *who, uint64_t cookie)
{
	struct vop *op = calloc(1, sizeof(*op));
	struct ct *home;

	if (op == NULL)
		return NULL;
	op->kind = kind;
	op->e = v->e;
	op->vol = v->id;
	op->who = op->as = *who;
	op->cookie = cookie;
	op->home = ENGINE_ROOT;
	if (who->pid != 0) {
		cred_effective(v->e, who, &op->as, &home);
		op->home = home->id;
	}
	return op;
}

static int copy(char **to, const char *from)
{
	*to = strdup(from != NULL ? from : "");
	return *to == NULL ? -ENOMEM : 0;
}

/* What is given to a thread: copies of the plan, and a spec that points at them. */
int vop_prepare(struct vol *v, struct vop *op)
{
	int r = 0;

	if (op->plan.path == NULL)
		r = copy(&op->plan.path, v->plan.path);
	if (r == 0 && op->plan.place == NULL)
		r = copy(&op->plan.place, v->plan.place);
	if (r == 0 && op->plan.storage == NULL)
		r = copy(&op->plan.storage, v->plan.storage);
	if (r == 0 && op->backend == NULL)
		r = copy(&op->backend, v->val[VOL_backend].s);
	if (r == 0 && op->fs_type == NULL)
		r = copy(&op->fs_type, v->val[VOL_fs_type].s);
	if (r == 0 && op->plan.layers.n == 0)
		r = strv_copy(&op->plan.layers, &v->plan.layers);
	if (r < 0)
		return r;
	op->plan.path_auto = v->plan.path_auto;
	op->plan.storage_named = v->plan.storage_named;
	op->made = v->made;
	vop_point(v, op);
	return 0;
}

void vop_point(struct vol *v, struct vop *op)
{
	op->spec = (struct vol_spec){
		.id = v->id,
		.backend = op->backend,
		.path = op->plan.path,
		.place = op->plan.place,
		.storage = op->plan.storage,
		.fs_type = op->fs_type,
		.store = v->e->store->program,
		.path_auto = op->plan.path_auto,
		.storage_named = op->plan.storage_named,
		.read_only = v->val[VOL_read_only].b,
		.own_top = vol_is_set(v, VOL_user) || vol_is_set(v, VOL_group) || vol_is_set(v, VOL_permissions),
		.layers = &op->plan.layers,
		.uid = v->user_uid,
		.gid = v->user_gid,
		.mode = (mode_t)v->val[VOL_permissions].u,
		.by = op->as.uid,
	};
	vol_limits_of(v, &op->spec.limits);
}

static void answer(struct engine *e, uint64_t cookie, int result)
{
	if (cookie != 0)
		e->events->done(e->events_arg, cookie, result, NULL, 0);
}

static void refuse(struct vol *v, struct vop *op, int r)
{
	struct engine_node n = { .dir = DIR_VOLUME, .ct = v->id, .view = ENGINE_ROOT, .file = VOL_state };

	if (op->err.kind == ERR_Success)
		err_sys(&op->err, -r, "volume %u: %s", (unsigned)v->id, kinds[op->kind].name);
	engine_note_error(v->e, &op->who, &n, &op->err);
	if (op->cookie == 0)
		log_warning("volume %u: %s: %s", (unsigned)v->id, kinds[op->kind].name, op->err.text);
}

/* The first in the queue; those whose volume has changed its state meanwhile are refused. */
static void begin_next(struct vol *v)
{
	while (v->ops != NULL && !v->ops->begun) {
		struct vop *op = v->ops;

		op->begun = true;
		v->pending = vop_unique(op);
		if (kinds[op->kind].states >> v->state & 1) {
			kinds[op->kind].begin(v, op);
			return;
		}
		v->ops = op->next;
		op->result = err_set(&op->err, op->kind == VOP_BUILD ? ERR_InvalidState : ERR_VolumeNotReady, "volume %u is %s",
				     (unsigned)v->id, vol_state_names[v->state]);
		refuse(v, op, op->result);
		vop_note_result(op, op->result);
		answer(v->e, op->cookie, op->result);
		vop_free(op);
	}
}

int vop_begin(struct vol *v, struct vop *op, struct err *err)
{
	struct vop **at = &v->ops;
	unsigned n = 0;

	if (v->gone && op->kind != VOP_DESTROY) {
		vop_free(op);
		return err_set(err, ERR_VolumeNotFound, "volume %u is being destroyed", (unsigned)v->id);
	}
	for (; *at != NULL; at = &(*at)->next)
		n++;
	if (n >= OPS_MAX && op->cookie != 0) {
		vop_free(op);
		return err_set(err, ERR_ResourceNotAvailable, "volume %u: too many requests wait for it", (unsigned)v->id);
	}
	*at = op;
	op->next = NULL;
	if (n > 0)
		return ENGINE_PENDING;
	/* never within the call: the answer to a request comes after it is said to be pending */
	v->begin = (struct loop_timer){ .fn = vop_first, .arg = v };
	if (loop_after(v->e->loop, &v->begin, 0) < 0) {
		*at = NULL;
		vop_free(op);
		return err_sys(err, ENOMEM, "volume %u", (unsigned)v->id);
	}
	return ENGINE_PENDING;
}

void vop_first(void *arg)
{
	begin_next(arg);
}

void vop_end(struct vol *v, struct vop *op, int result)
{
	struct engine *e = v->e;
	autotext struct text text = {};
	uint64_t cookie = op->cookie;
	const struct ct *home = ct_find(e, op->home);

	v->ops = op->next;
	v->pending = 0;
	vop_note_result(op, result);
	if (result < 0)
		refuse(v, op, result);
	else if (op->tells_path && home != NULL) {
		text_addf(&text, "%u ", (unsigned)v->id);
		if (!vol_path_seen(v, home, &text))
			text_addc(&text, '-');
		text_addc(&text, '\n');
	}
	vop_free(op);
	if (cookie != 0)
		e->events->done(e->events_arg, cookie, result, text.len > 0 ? text_str(&text) : NULL, text.len);
	begin_next(v);
}

bool vop_cancel(struct engine *e, uint64_t cookie)
{
	for (struct vol *v = e->vols; v != NULL; v = v->next)
		for (struct vop *op = v->ops; op != NULL; op = op->next)
			if (op->cookie == cookie && cookie != 0) {
				op->cookie = 0;
				return true;
			}
	return false;
}

bool vop_join(struct engine *e, uint64_t cookie, bool tells_path)
{
	for (struct vol *v = cookie != 0 && e->replay != NULL ? e->vols : NULL; v != NULL; v = v->next)
		for (struct vop *op = v->ops; op != NULL; op = op->next)
			if (op->was == cookie) {
				op->tells_path = tells_path;
				op->cookie = cookie;
				return true;
			}
	return false;
}

void vop_note_result(const struct vop *op, int result)
{
	if (op->cookie == 0 && op->was != 0)
		(void)save_replay_add(op->e, op->was, op->vol, result);
}

bool vop_work(struct vop *op, void (*work)(void *op), void (*done)(void *op))
{
	int r = loop_work_for(op->e->loop, place_group(op->plan.place), work, done, op);

	if (r < 0)
		op->result = err_sys(&op->err, -r, "volume %u", (unsigned)op->vol);
	return r == 0;
}
