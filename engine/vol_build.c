/*
 * A volume comes to be: a thread finds out what the names and paths stand for and what is to be done; the loop looks whether that
 * gets in the way of others and writes it down; a thread does it, links included. Whatever fails, nothing is left of it.
 */
#include <fcntl.h>

#include "base/log.h"
#include "base/proc.h"
#include "engine/cred.h"
#include "engine/hooks.h"
#include "engine/ident.h"
#include "engine/image.h"
#include "engine/layer.h"
#include "engine/place.h"
#include "engine/vol.h"

static struct vol *vol_of(const struct vop *op)
{
	return vol_find(op->e, op->vol);
}

/* ---- what it is made from ---- */

static int root_of(struct engine *e, const struct ct *ct, char **ret)
{
	autotext struct text path = {};
	int r = read_root_path((struct ct *)ct, NULL, &path, NULL);

	(void)e;
	if (r < 0)
		return r;
	free(*ret);
	*ret = text_take(&path);
	return *ret == NULL ? -ENOMEM : 0;
}

static int copy_value(char **to, const union value *v)
{
	free(*to);
	*to = strdup(v->s != NULL ? v->s : "");
	return *to == NULL ? -ENOMEM : 0;
}

/* Names and paths as they were given, and from where they are seen. */
static int gather(struct vol *v, struct vop *op)
{
	struct ct *home = ct_find(v->e, op->home), *target = home;
	autotext struct text groups = {};
	int r;

	if (home == NULL)
		return err_set(&op->err, ERR_ContainerDoesNotExist, "the container that asked for the volume is gone");
	if (vol_is_set(v, VOL_target_container))
		target = ct_find_seen(v->e, home, v->val[VOL_target_container].s);
	if (target == NULL)
		return err_set(&op->err, ERR_ContainerDoesNotExist, "target_container: container %s is gone",
			       v->val[VOL_target_container].s);
	if (target != home && !(ct_is_root(target) && cred_is_super(v->e, &op->as))) {
		r = cred_check_owner(target, &op->as, &op->err);
		if (r < 0)
			return r;
	}
	r = place_resolve(home, v->val[VOL_place].s, &op->plan.place, &op->err);
	if (r == 0)
		r = place_check_user(home, op->as.uid, op->plan.place, &op->err);
	if (r < 0)
		return r;
	op->is_default_place = strcmp(op->plan.place, v->e->conf->volumes_default_place) == 0;
	r = root_of(v->e, target, &op->root);
	if (r == 0)
		r = root_of(v->e, home, &op->client_root);
	if (r == 0)
		r = copy_value(&op->plan.path, &v->val[VOL_path]);
	if (r == 0)
		r = copy_value(&op->plan.storage, &v->val[VOL_storage]);
	if (r == 0)
		r = copy_value(&op->backend, &v->val[VOL_backend]);
	if (r == 0)
		r = copy_value(&op->fs_type, &v->val[VOL_fs_type]);
	if (r == 0)
		r = copy_value(&op->image, &v->val[VOL_image]);
	if (r == 0 && op->image[0] != '\0') {
		if (v->val[VOL_layers].v.n > 0)
			return err_set(&op->err, ERR_InvalidValue, "image: it stands in place of layers, give one of them");
		r = images_check_on(v->e, &op->err);
		if (r == 0)
			r = image_check_staying(v->e, op->plan.place, op->image, &op->err);
	}
	if (r == 0) {
		strv_done(&op->plan.layers);
		r = strv_copy(&op->plan.layers, &v->val[VOL_layers].v);
	}
	if (r == 0) {
		cred_groups(op->as.uid, op->as.gid, &groups);
		strv_done(&op->groups);
		r = strv_split(text_str(&groups), ',', &op->groups);
	}
	op->porto_gid = v->e->porto_gid;
	vop_point(v, op);
	return r;
}

/* The same link, or the same target, twice in the list. */
static int check_twice(const struct vlink *links, const struct vop *one, struct err *err)
{
	for (const struct vlink *l = links; l != NULL; l = l->next) {
		if (l->host != NULL && one->host != NULL && strcmp(l->host, one->host) == 0)
			return err_set(err, ERR_Busy, "containers: target %s twice", one->target);
		if (l->ct == one->ct && l->host == NULL && one->host == NULL)
			return err_set(err, ERR_VolumeAlreadyLinked, "containers: the same container without target twice");
	}
	return 0;
}

/* The links it begins with. */
static int gather_links(struct vol *v, struct vop *op)
{
	struct ct *home = ct_find(v->e, op->home);
	const struct strv *list = &v->val[VOL_containers].v;
	struct vlink **at = &op->links;
	int r = 0;

	for (size_t i = 0; r == 0 && i < MAX(list->n, 1u); i++) {
		struct vop *one = vop_new(v, VOP_LINK, &op->who, 0);

		if (one == NULL)
			return -ENOMEM;
		r = vlink_parse(v->e, home, list->n > 0 ? list->p[i] : "self", one, &op->err);
		if (r == 0)
			r = vlink_check(v, one, &op->err);
		if (r == 0)
			r = check_twice(op->links, one, &op->err);
		if (r == 0)
			r = vlink_take(one, at);
		if (r == 0)
			at = &(*at)->next;
		vop_free(one);
	}
	return r;
}

/* ---- failure and success ---- */

static void links_done(struct vlink **links)
{
	while (*links != NULL) {
		struct vlink *l = *links;

		*links = l->next;
		vlink_free(l);
	}
}

static void plan_take(struct vol *v, struct vol_plan *from)
{
	free(v->plan.path);
	free(v->plan.place);
	free(v->plan.storage);
	strv_done(&v->plan.layers);
	v->plan = *from;
	*from = (struct vol_plan){};
}

/* Of a volume that `create` made nothing is to be left; one that a user made by mkdir is as before. */
static void fail(struct vol *v, struct vop *op)
{
	links_done(&op->links);
	links_done(&v->links);
	plan_take(v, &(struct vol_plan){});
	v->made = (struct vol_made){};
	if (op->err.kind == ERR_Success)
		err_sys(&op->err, -op->result, "volume %u", (unsigned)v->id);
	vol_note_error(v, &op->err);
	vol_set_state(v, VS_INITIAL, op->err.text);
	if (!v->made_here) {
		(void)vol_save(v, vop_unique(op), op->result, NULL);
		vop_end(v, op, op->result);
		return;
	}
	vol_forget(v, op, op->result);
}

static void built(void *arg)
{
	struct vop *op = arg;
	struct vol *v = vol_of(op);
	int r;

	if (op->result < 0) {
		fail(v, op);
		return;
	}
	v->made = op->made;
	links_done(&v->links);
	v->links = op->links;
	op->links = NULL;
	v->build_wall = v->change_wall = (int64_t)(clock_wall() / 1000000000u);
	vol_set_state(v, VS_READY, "built");
	storage_used(v);
	r = vol_save(v, vop_unique(op), 0, &op->err);
	if (r == 0) {
		vol_usage_refresh(v);
		vol_unlink_lost(v);
		vop_end(v, op, 0);
		return;
	}
	/* it could not be written down: then it is not there */
	op->result = r;
	v->made_here = true;
	vol_begin_destroy(v, &op->who, 0, "it could not be saved");
	vop_end(v, op, r);
}

/* ---- in a thread ---- */

static int link_all(struct vop *op)
{
	for (struct vlink *l = op->links; l != NULL; l = l->next) {
		int r = l->host != NULL ? vlink_mount(op, l, op->spec.path) : 0;

		if (r < 0) {
			for (struct vlink *k = op->links; k != l; k = k->next)
				if (k->host != NULL)
					(void)vlink_unmount(k, false, NULL);
			return r;
		}
	}
	return 0;
}

static void build(void *arg)
{
	struct vop *op = arg;

	op->result = op->limits_checked ? vol_check_guarantee(&op->made, &op->spec.limits, &op->others, &op->err) : 0;
	if (op->result == 0)
		op->result = vol_build(&op->spec, &op->made, &op->err);
	if (op->result < 0)
		return;
	op->result = link_all(op);
	if (op->result < 0)
		(void)vol_destroy(&op->spec, &op->made, NULL);
}

static void plan(void *arg)
{
	struct vop *op = arg;

	op->result = vol_plan_resolve(op);
	if (op->result == 0)
		op->result = vol_prepare(&op->spec, &op->made, &op->err);
	if (op->result == 0)
		op->result = vol_plan_check_layers(op);
}

/* ---- in the loop again ---- */

/* What others have been promised on the same disk and don't use yet. */
void vol_add_up_guarantees(struct vol *v, struct vop *op)
{
	const struct vol_limits *own = op->kind == VOP_TUNE ? &op->limits : &op->spec.limits;

	op->others = (struct vol_limits){};
	op->limits_checked = own->space_guarantee != 0 || own->inode_guarantee != 0;
	for (const struct vol *o = v->e->vols; op->limits_checked && o != NULL; o = o->next) {
		struct vol_limits l;

		if (o == v || o->gone || o->made.dev != op->made.dev || o->plan.path == NULL)
			continue;
		vol_limits_of(o, &l);
		op->others.space_guarantee += l.space_guarantee - MIN(l.space_guarantee, o->usage.space_used);
		op->others.inode_guarantee += l.inode_guarantee - MIN(l.inode_guarantee, o->usage.inode_used);
	}
}

static int copy_links(const struct vlink *from, struct vlink **to)
{
	for (; from != NULL; from = from->next, to = &(*to)->next) {
		*to = vlink_copy(from);
		if (*to == NULL)
			return -ENOMEM;
	}
	return 0;
}

static int copy_plan(const struct vol_plan *from, struct vol_plan *to)
{
	*to = (struct vol_plan){ .path_auto = from->path_auto, .storage_named = from->storage_named };
	to->path = strdup(from->path);
	to->place = strdup(from->place);
	to->storage = strdup(from->storage);
	return to->path == NULL || to->place == NULL || to->storage == NULL ? -ENOMEM : strv_copy(&to->layers, &from->layers);
}

/* What is about to be done is written down first. */
static void planned(void *arg)
{
	struct vop *op = arg;
	struct vol *v = vol_of(op);
	struct vol_plan plan_copy = {};

	if (op->result == 0)
		op->result = vol_plan_check(v, op, &op->err);
	if (op->result == 0)
		op->result = copy_plan(&op->plan, &plan_copy);
	if (op->result == 0) {
		plan_take(v, &plan_copy);
		v->made = op->made;
		op->result = copy_links(op->links, &v->links);
		vol_add_up_guarantees(v, op);
	}
	if (op->result == 0)
		op->result = vol_save(v, 0, 0, &op->err);
	if (op->result < 0 || !vop_work(op, build, built))
		fail(v, op);
}

/* A name of its place has still to get there, or to leave: of one that was removed nothing must be built any more. */
static bool must_wait(const struct vop *op)
{
	const char *storage = op->plan.storage, *place = op->plan.place;

	if (storage[0] != '\0' && storage[0] != '/' && place_is_held(op->e, STORED_STORAGE, place, storage))
		return true;
	for (size_t i = 0; i < op->plan.layers.n; i++)
		if (op->plan.layers.p[i][0] != '/' && place_is_held(op->e, STORED_LAYER, place, op->plan.layers.p[i]))
			return true;
	return false;
}

static void begin(struct vol *v, struct vop *op)
{
	op->result = gather(v, op);
	op->waits = op->result == 0 && must_wait(op);
	if (op->waits)
		return; /* vop_builds_go_on */
	if (op->result == 0)
		op->result = gather_links(v, op);
	if (op->result < 0 || !vop_work(op, plan, planned))
		fail(v, op);
}

void vop_builds_go_on(struct engine *e)
{
	for (struct vol *v = e->vols, *next; v != NULL; v = next) {
		struct vop *op = v->ops;

		next = v->next;
		if (op != NULL && op->waits)
			begin(v, op);
	}
}

/* The last worker had begun: what there is of it goes first. */
static void clear(void *arg)
{
	struct vop *op = arg;

	for (struct vlink *l = op->links; l != NULL; l = l->next)
		if (l->host != NULL)
			(void)vlink_unmount(l, false, NULL);
	op->result = vol_destroy(&op->spec, &op->made, &op->err);
}

static void cleared(void *arg)
{
	struct vop *op = arg;
	struct vol *v = vol_of(op);

	links_done(&op->links);
	links_done(&v->links);
	if (op->result < 0)
		log_warning("volume %u: what had been begun: %s", (unsigned)v->id, op->err.text);
	op->err = (struct err){};
	plan_take(v, &(struct vol_plan){});
	plan_take(v, &op->plan);
	plan_take(v, &(struct vol_plan){});
	v->made = op->made = (struct vol_made){};
	begin(v, op);
}

static void set_creator(struct vol *v)
{
	const struct ct *ct = ct_find(v->e, v->by_ct);
	autotext struct text who = {};

	text_addf(&who, "%s ", ct != NULL ? ct->name : "/");
	cred_user_name(v->by.uid, &who);
	text_addc(&who, ' ');
	cred_group_name(v->by.gid, &who);
	free(v->creator);
	v->creator = text_take(&who);
}

void vop_build(struct vol *v, struct vop *op)
{
	bool again = v->state == VS_BUILDING;

	if (v->state == VS_INITIAL) {
		v->by = op->as;
		v->by_ct = op->home;
		set_creator(v);
	}
	vol_set_state(v, VS_BUILDING, "build");
	op->as = v->by;
	op->home = v->by_ct;
	op->result = 0;
	if (!again || v->plan.path == NULL) {
		op->result = vol_save(v, 0, 0, &op->err);
		if (op->result < 0)
			fail(v, op);
		else
			begin(v, op);
		return;
	}
	op->result = vop_prepare(v, op);
	if (op->result == 0)
		op->result = copy_links(v->links, &op->links);
	if (op->result < 0 || !vop_work(op, clear, cleared))
		fail(v, op);
}

/* ---- adoption ---- */

static void look(void *arg)
{
	struct vop *op = arg;

	op->result = vol_is_mounted(&op->spec, &op->made) ? 0 : -ENOENT;
	for (const struct vlink *l = op->links; op->result == 0 && l != NULL; l = l->next)
		if (l->host != NULL && !l->mounted)
			vlink_undo(l, op->spec.path);
}

/* Links that were being made: whoever asked for them asks again. */
static void drop_half_made(struct vol *v)
{
	for (struct vlink **at = &v->links; *at != NULL;) {
		struct vlink *l = *at;

		if (l->host == NULL || l->mounted) {
			at = &l->next;
			continue;
		}
		*at = l->next;
		vlink_free(l);
	}
}

static void looked(void *arg)
{
	struct vop *op = arg;
	struct vol *v = vol_of(op);
	bool was_tuning = v->state == VS_TUNING;
	struct vop *tune;
	struct err err = {};

	if (op->result < 0) {
		log_warning("volume %u: what was mounted at %s is gone: it is destroyed", (unsigned)v->id, v->plan.path);
		vol_begin_destroy(v, &op->who, 0, "its mount is gone");
		vop_end(v, op, 0);
		return;
	}
	vol_set_state(v, VS_READY, "adopted");
	drop_half_made(v);
	/* the values are those that were asked for: they are put in force once more */
	tune = was_tuning ? vop_new(v, VOP_TUNE, &op->who, 0) : NULL;
	if (tune != NULL) {
		vol_limits_of(v, &tune->limits);
		tune->was = op->was; /* it is the answer to that */
		(void)vop_begin(v, tune, &err);
	}
	op->was = 0;
	if (v->links == NULL)
		vol_begin_destroy(v, &op->who, 0, "nothing links to it");
	vol_unlink_lost(v);
	vol_usage_refresh(v);
	vop_end(v, op, 0);
}

void vop_adopt(struct vol *v, struct vop *op)
{
	op->result = vop_prepare(v, op);
	if (op->result == 0)
		op->result = copy_links(v->links, &op->links);
	if (op->result < 0 || !vop_work(op, look, looked))
		vop_end(v, op, op->result);
}
