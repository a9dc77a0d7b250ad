/* Volumes as objects: the table of them, states, who sees which. */
#include "engine/access.h"
#include "engine/vol.h"

#include "base/log.h"
#include "base/names.h"
#include "engine/cred.h"
#include "engine/eventlog.h"
#include "engine/hooks.h"

const char *const vol_state_names[VOL_STATES] = {
	[VS_INITIAL] = "initial", [VS_BUILDING] = "building", [VS_READY] = "ready",
	[VS_TUNING] = "tuning",	  [VS_UNLINKED] = "unlinked", [VS_DESTROYING] = "destroying",
};

static struct vol **bucket(struct engine *e, uint32_t id)
{
	return &e->vol_by_id[id % VOL_HASH];
}

struct vol *vol_find(struct engine *e, uint32_t id)
{
	struct vol *v = *bucket(e, id);

	while (v != NULL && v->id != id)
		v = v->by_id;
	return v;
}

static void link_in(struct engine *e, struct vol *v)
{
	struct vol *after = e->last_vol;

	while (after != NULL && after->id > v->id)
		after = after->prev;
	v->prev = after;
	v->next = after != NULL ? after->next : e->vols;
	if (v->next != NULL)
		v->next->prev = v;
	else
		e->last_vol = v;
	if (after != NULL)
		after->next = v;
	else
		e->vols = v;
	v->by_id = *bucket(e, v->id);
	*bucket(e, v->id) = v;
	e->vol_count++;
}

static void link_out(struct vol *v)
{
	struct engine *e = v->e;
	struct vol **at = bucket(e, v->id);

	while (*at != NULL && *at != v)
		at = &(*at)->by_id;
	if (*at == NULL)
		return;
	*at = v->by_id;
	if (v->prev != NULL)
		v->prev->next = v->next;
	else
		e->vols = v->next;
	if (v->next != NULL)
		v->next->prev = v->prev;
	else
		e->last_vol = v->prev;
	e->vol_count--;
}

int vol_new(struct engine *e, uint32_t id, struct vol **ret)
{
	struct vol *v = calloc(1, sizeof(*v));
	int r = 0;

	if (v == NULL)
		return -ENOMEM;
	v->e = e;
	v->id = id;
	v->owner_ct = ENGINE_ROOT;
	for (int i = 0; r == 0 && i < VOL_FILES; i++)
		if (vol_rows[i].type != NULL && vol_rows[i].def != NULL)
			r = vol_rows[i].type->parse(vol_rows[i].def, &v->val[i]);
	link_in(e, v);
	if (r < 0) {
		vol_free(v);
		return r;
	}
	*ret = v;
	return 0;
}

void vlink_free(struct vlink *l)
{
	if (l == NULL)
		return;
	free(l->target);
	free(l->host);
	free(l);
}

struct vlink *vlink_copy(const struct vlink *l)
{
	struct vlink *copy = malloc(sizeof(*copy));

	if (copy == NULL)
		return NULL;
	*copy = *l;
	copy->next = NULL;
	copy->target = l->target != NULL ? strdup(l->target) : NULL;
	copy->host = l->host != NULL ? strdup(l->host) : NULL;
	if ((l->target != NULL && copy->target == NULL) || (l->host != NULL && copy->host == NULL)) {
		vlink_free(copy);
		return NULL;
	}
	return copy;
}

static void plan_done(struct vol_plan *p)
{
	free(p->path);
	free(p->place);
	free(p->storage);
	strv_done(&p->layers);
}

void vop_free(struct vop *op)
{
	if (op == NULL)
		return;
	plan_done(&op->plan);
	while (op->links != NULL) {
		struct vlink *l = op->links;

		op->links = l->next;
		vlink_free(l);
	}
	free(op->target);
	free(op->host);
	free(op->backend);
	free(op->fs_type);
	free(op->image);
	free(op->root);
	free(op->client_root);
	strv_done(&op->groups);
	text_done(&op->report);
	free(op);
}

void vol_free(struct vol *v)
{
	if (v == NULL)
		return;
	link_out(v);
	loop_cancel(v->e->loop, &v->begin);
	for (int i = 0; i < VOL_FILES; i++)
		if (vol_rows[i].type != NULL && vol_rows[i].type->release != NULL)
			vol_rows[i].type->release(&v->val[i]);
	while (v->links != NULL) {
		struct vlink *l = v->links;

		v->links = l->next;
		vlink_free(l);
	}
	while (v->ops != NULL) {
		struct vop *op = v->ops;

		v->ops = op->next;
		vop_free(op);
	}
	vol_drop_before(v);
	plan_done(&v->plan);
	free(v->creator);
	free(v->error);
	free(v->report);
	free(v);
}

void vol_set_state(struct vol *v, enum vol_state state, const char *why)
{
	char name[24];

	if (v->state == state)
		return;
	log_debug("volume %u: %s -> %s (%s)", (unsigned)v->id, vol_state_names[v->state], vol_state_names[state], why);
	v->state = state;
	snprintf(name, sizeof(name), "%u", (unsigned)v->id);
	event_log(v->e, "volume", name, "%s", vol_state_names[state]);
	v->e->events->changed(v->e->events_arg, DIR_VOLUME, v->id, VOL_state);
}

void vol_note_error(struct vol *v, const struct err *err)
{
	char text[ERR_TEXT_MAX + 64];
	autotext struct text line = {};

	if (err->kind == ERR_Success)
		return;
	text_addf(&line, "%d %s", (int)err->kind, err_format(err, text, sizeof(text)));
	if (text_ok(&line) < 0)
		return;
	for (char *p = line.p; *p != '\0'; p++)
		if (*p == '\n')
			*p = ' ';
	free(v->error);
	v->error = text_take(&line);
}

int vol_check_owner(const struct vol *v, const struct engine_cred *as, struct err *err)
{
	int r = access_check_vol(v, as, err);

	if (r < 0 || as->uid == 0 || as->uid == v->owner_uid)
		return r;
	return err_set(err, ERR_Permission, "volume %u belongs to user %u", (unsigned)v->id, (unsigned)v->owner_uid);
}

struct vlink *vol_find_link(struct vol *v, uint32_t ct, const char *target)
{
	for (struct vlink *l = v->links; l != NULL; l = l->next)
		if (l->ct == ct && strcmp(l->target != NULL ? l->target : "", target != NULL ? target : "") == 0)
			return l;
	return NULL;
}

void vlink_format(const struct vol *v, const struct vlink *l, struct text *out)
{
	const struct ct *ct = ct_find(v->e, l->ct);

	text_add(out, ct != NULL ? ct->name : "?");
	if (l->target != NULL)
		text_addf(out, " %s", l->target);
	if (l->read_only)
		text_add(out, " ro");
	if (l->required)
		text_add(out, " !");
}

/* path below root as one sees it who lives there. */
static bool add_below(const char *path, const char *root, struct text *out)
{
	size_t len = strlen(root);

	if (strcmp(root, "/") == 0) {
		text_add(out, path);
		return true;
	}
	if (strncmp(path, root, len) != 0 || (path[len] != '/' && path[len] != '\0'))
		return false;
	text_add(out, path[len] == '\0' ? "/" : path + len);
	return true;
}

bool vol_path_seen(const struct vol *v, const struct ct *home, struct text *out)
{
	autotext struct text root = {};

	if (read_root_path((struct ct *)home, NULL, &root, NULL) < 0 || v->plan.path == NULL)
		return false;
	if (strcmp(text_str(&root), "/") == 0) {
		text_add(out, v->plan.path);
		return true;
	}
	for (const struct vlink *l = v->links; l != NULL; l = l->next)
		if (l->ct == home->id && l->host != NULL && l->mounted && add_below(l->host, text_str(&root), out))
			return true;
	for (const struct vlink *l = v->links; l != NULL; l = l->next)
		if (l->host != NULL && l->mounted && add_below(l->host, text_str(&root), out))
			return true;
	return add_below(v->plan.path, text_str(&root), out);
}

bool vol_is_visible(const struct vol *v, const struct ct *view)
{
	autotext struct text path = {};

	if (ct_is_root(view) || v->owner_ct == view->id)
		return true;
	for (const struct vlink *l = v->links; l != NULL; l = l->next)
		if (l->ct == view->id)
			return true;
	return ct_has_root(view) && vol_path_seen(v, view, &path);
}

struct vol *vol_find_path(struct engine *e, const struct ct *home, const char *path)
{
	autotext struct text root = {}, host = {};

	if (read_root_path((struct ct *)home, NULL, &root, NULL) < 0)
		return NULL;
	if (strcmp(text_str(&root), "/") != 0)
		text_add(&host, text_str(&root));
	text_add(&host, strcmp(path, "/") == 0 ? "" : path);
	for (struct vol *v = e->vols; v != NULL; v = v->next) {
		if (v->plan.path != NULL && strcmp(v->plan.path, text_str(&host)) == 0)
			return v;
		for (const struct vlink *l = v->links; l != NULL; l = l->next)
			if (l->host != NULL && strcmp(l->host, text_str(&host)) == 0)
				return v;
	}
	return NULL;
}

/*
 * What a user may give as root: not a path, which somebody could lead elsewhere before the container starts, but one of his volumes,
 * found by its record. Where the daemon has chosen its place all directories above are root's; a bind is what lies anywhere.
 */
int vol_check_root(const struct ct *ct, const char *path, struct err *err)
{
	const struct vol *v = ct->e->vols;

	while (v != NULL && (v->plan.path == NULL || strcmp(v->plan.path, path) != 0))
		v = v->next;
	if (v == NULL)
		return err_set(err, ERR_Permission, "root: '%.200s': not the path of a volume, and other directories are for containers of root's: make one with vcreate -A, or use exec -L", path);
	if (v->owner_uid != ct->owner_uid)
		return err_set(err, ERR_Permission, "root: volume %u does not belong to the owner of the container", (unsigned)v->id);
	if (v->state != VS_READY && v->state != VS_TUNING)
		return err_set(err, ERR_Permission, "root: volume %u is %s", (unsigned)v->id, vol_state_names[v->state]);
	if (!v->plan.path_auto || v->plan.place == NULL || strcmp(v->plan.place, ct->e->conf->volumes_default_place) != 0)
		return err_set(err, ERR_Permission, "root: volume %u: only root gives one whose path or place was chosen", (unsigned)v->id);
	if (strcmp(v->made.backend, "bind") == 0 || strcmp(v->made.backend, "rbind") == 0)
		return err_set(err, ERR_Permission, "root: volume %u: only root gives one of backend %s", (unsigned)v->id, v->made.backend);
	if (ct_in_root(ct->parent))
		return err_set(err, ERR_Permission, "root: only root gives one below a container that has a root of its own");
	return 0;
}

void vol_limits_of(const struct vol *v, struct vol_limits *ret)
{
	*ret = (struct vol_limits){ .space_limit = v->val[VOL_space_limit].u,
				    .inode_limit = v->val[VOL_inode_limit].u,
				    .space_guarantee = v->val[VOL_space_guarantee].u,
				    .inode_guarantee = v->val[VOL_inode_guarantee].u };
}
