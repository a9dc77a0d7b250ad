/* What a container has to do with volumes: place, volumes_linked, volumes_owned, volumes_required. */
#include "base/path.h"
#include "engine/cred.h"
#include "engine/hooks.h"
#include "engine/place.h"
#include "engine/save.h"
#include "engine/vol.h"

int read_place(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	int r = no_index(key, err, "place");

	if (r == 0)
		place_policy(ct, out);
	return r;
}

int check_place(struct change *c)
{
	const struct strv *v = &c->value->v;

	for (size_t i = 0; i < v->n; i++) {
		const char *equals = v->p[i][0] != '/' ? strchr(v->p[i], '=') : NULL, *path = equals != NULL ? equals + 1 : v->p[i];

		if (strcmp(path, "***") != 0 && path[0] != '/')
			return err_set(c->err, ERR_InvalidValue, "place: '%.200s': expected /path, /path/***, ***, or alias=/path", v->p[i]);
		if (strchr(path, '*') == NULL && !path_is_normal(path))
			return err_set(c->err, ERR_InvalidPath, "place: '%.200s': expected an absolute path without //, . and ..", v->p[i]);
		if (!place_may_pass_on(c->ct->parent, v->p[i]))
			return err_set(c->err, ERR_Permission, "place: '%.200s': the container above may not use it", v->p[i]);
	}
	return 0;
}

static const struct ct *reader_home(const struct ct *ct)
{
	return ct->e->reader != NULL ? cred_caller(ct->e, ct->e->reader) : ct->e->root;
}

/* A path as the reader sees it; one that it can't reach as the host does, with a mark. */
static void add_path(const struct vol *v, const struct ct *home, char mark, struct text *out)
{
	if (vol_path_seen(v, home, out))
		return;
	text_addc(out, mark);
	text_add(out, v->plan.path);
}

int read_volumes_owned(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	const struct ct *home = reader_home(ct);
	bool first = true;
	int r = no_index(key, err, "volumes_owned");

	for (const struct vol *v = ct->e->vols; r == 0 && v != NULL; v = v->next) {
		if (v->owner_ct != ct->id || v->gone || v->plan.path == NULL)
			continue;
		if (!first)
			text_addc(out, ';');
		first = false;
		add_path(v, home, '@', out);
	}
	return r;
}

int read_volumes_linked(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	const struct ct *home = reader_home(ct);
	bool first = true;
	int r = no_index(key, err, "volumes_linked");

	for (const struct vol *v = ct->e->vols; r == 0 && v != NULL; v = v->next)
		for (const struct vlink *l = v->gone || v->plan.path == NULL ? NULL : v->links; l != NULL; l = l->next) {
			if (l->ct != ct->id)
				continue;
			if (!first)
				text_addc(out, ';');
			first = false;
			add_path(v, home, '%', out);
			text_addf(out, "%s%s%s%s", l->target != NULL ? " " : "", l->target != NULL ? l->target : "",
				  l->read_only ? " ro" : "", l->required ? " !" : "");
		}
	return r;
}

/* ---- required ---- */

static int check_one(struct ct *ct, const char *path, struct err *err)
{
	struct vol *v = vol_find_path(ct->e, ct, path);

	/* by the path it has for those above, too */
	if (v == NULL && ct->parent != NULL)
		v = vol_find_path(ct->e, ct->parent, path);
	if (v == NULL || v->gone)
		return err_set(err, ERR_VolumeNotFound, "volumes_required: no volume at %.200s", path);
	if (v->state != VS_READY && v->state != VS_TUNING)
		return err_set(err, ERR_VolumeNotReady, "volumes_required: volume %u at %.200s is %s", (unsigned)v->id, path,
			       vol_state_names[v->state]);
	for (const struct vlink *l = v->links; l != NULL; l = l->next)
		if (l->ct == ct->id)
			return 0;
	return err_set(err, ERR_VolumeNotFound, "volumes_required: volume %u at %.200s is not linked to container %s", (unsigned)v->id,
		       path, ct->name);
}

int vol_check_required(struct ct *ct, const struct strv *paths, struct err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < paths->n; i++)
		r = check_one(ct, paths->p[i], err);
	return r;
}

int check_volumes_required(struct change *c)
{
	return ct_has_resources(c->ct) ? vol_check_required(c->ct, &c->value->v, c->err) : 0;
}

int vol_require(struct ct *ct, const char *path)
{
	struct strv *v = &ct->val[PROP_volumes_required].v;

	for (size_t i = 0; i < v->n; i++)
		if (strcmp(v->p[i], path) == 0)
			return 0;
	if (strv_add(v, path) < 0)
		return -ENOMEM;
	ct->set[PROP_volumes_required / 64] |= UINT64_C(1) << (PROP_volumes_required % 64);
	return save_ct(ct, 0, 0, NULL);
}
