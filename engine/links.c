/* symlink: links inside a container. Those of a start are made by porto-init; a change while it runs by another one, in there. */
#include <limits.h>

#include "engine/hooks.h"
#include "engine/run.h"

static int check_link(struct change *c, const char *link, const char *target)
{
	if (link[0] != '/' || link[1] == '\0' || strlen(link) >= PATH_MAX)
		return err_set(c->err, ERR_InvalidValue, "symlink: '%.200s': expected an absolute path", link);
	if (strlen(target) >= PATH_MAX)
		return err_set(c->err, ERR_InvalidValue, "symlink: %.200s: the target is too long", link);
	return 0;
}

int check_symlink(struct change *c)
{
	const struct pairs *m = &c->value->m;
	int r = 0;

	for (size_t i = 0; r == 0 && i < m->k.n; i++)
		r = check_link(c, m->k.p[i], m->v.p[i]);
	return r;
}

/* Links that are not in the new value are taken away. */
int apply_symlink(struct ct *ct, const union value *v, struct err *err)
{
	struct pairs change = {};
	const struct pairs *old = &ct->val[PROP_symlink].m;
	int r = 0;

	/* else it is for the next start */
	if (ct->state != CT_RUNNING && ct->state != CT_META && ct->state != CT_PAUSED)
		return 0;
	/* who is born into a frozen cgroup stands still, and we with him */
	if (ct->state == CT_PAUSED || cg_frozen(ct->e->cgroups, ct_home_cg(ct)))
		return err_set(err, ERR_InvalidState, "symlink: container %s is paused", ct->name);
	for (size_t i = 0; r == 0 && i < old->k.n; i++)
		if (pairs_get(&v->m, old->k.p[i]) == NULL)
			r = pairs_set(&change, old->k.p[i], "");
	for (size_t i = 0; r == 0 && i < v->m.k.n; i++)
		r = pairs_set(&change, v->m.k.p[i], v->m.v.p[i]);
	r = r < 0 ? err_sys(err, -r, "symlink") : spawn_links(ct, &change, err);
	pairs_done(&change);
	return r;
}
