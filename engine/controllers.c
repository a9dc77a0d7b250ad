/* Which cgroup controllers a first-level container has, without being asked, besides the usual ones of ct_controllers. */
#include "base/log.h"
#include "engine/ct.h"

/* The configured ones that are missing here, each with the reason. */
static void missing_list(const struct config *conf, const struct cgroups *g, struct text *out)
{
	union value wanted = {};

	if (type_controllers.parse(conf->container_default_controllers, &wanted) < 0)
		return;
	for (enum cg_ctl c = 0; c < CG_CTLS; c++)
		if (wanted.u & ~cg_available(g) & CG_BIT(c))
			text_addf(out, "%s%s: %s", out->len > 0 ? "; " : "", cg_name(c), cg_missing(g, c));
}

/*
 * On v2 a controller more is a few files in a directory that is there anyway. On v1 it is a directory in another hierarchy, and
 * an attach, which can wait for RCU: only by configuration.
 */
unsigned controllers_default(const struct config *conf, const struct cgroups *g)
{
	autotext struct text missing = {};
	union value wanted = {};

	if (type_controllers.parse(conf->container_default_controllers, &wanted) < 0)
		return 0;
	missing_list(conf, g, &missing);
	if (missing.len > 0)
		log_warning("container.default_controllers: this host lacks %s", text_str(&missing));
	for (enum cg_ctl c = 0; c < CG_CTLS; c++)
		if (c != CG_TRACK && cg_is_v2(g, c) && cg_is_v2(g, CG_MEMORY))
			wanted.u |= CG_BIT(c);
	return (unsigned)wanted.u & cg_available(g);
}

void controllers_check(const struct config *conf, const struct cgroups *g, struct text *out)
{
	autotext struct text missing = {};

	missing_list(conf, g, &missing);
	if (missing.len > 0)
		text_addf(out, "container.default_controllers: missing: %s\n", text_str(&missing));
}
