/* cpu_limit, cpu_period, cpu_guarantee, cpu_weight: what they come to in the tree, and how that gets to the kernel. */
#include "engine/cpu.h"

#include "engine/hooks.h"

#define NSEC UINT64_C(1000000000)
#define PERIOD_MIN (NSEC / 1000)
#define PERIOD_MAX NSEC
#define LIMIT_MIN (NSEC / 1000) /* a quota of 1 ms in a period of 1 s: the kernel has no less */
#define PRIVILEGED_FACTOR 16

/* ---- what it comes to ---- */

static uint64_t own(const struct ct *ct, int prop)
{
	return ct->val[prop].u;
}

uint64_t cpu_limit_bound(const struct ct *ct)
{
	uint64_t bound = CPU_HOST_NSEC;

	for (; ct != NULL; ct = ct->parent)
		if (own(ct, PROP_cpu_limit) != 0)
			bound = MIN(bound, own(ct, PROP_cpu_limit));
	return bound;
}

/* A meta container has no tasks of its own: what can be used is what its children can. */
uint64_t cpu_limit_total(const struct ct *ct)
{
	uint64_t bound = cpu_limit_bound(ct), sum = 0;

	if (ct->state != CT_META && !(ct->state == CT_PAUSED && ct->is_meta))
		return bound;
	for (const struct ct *child = ct->children; child != NULL && sum < bound; child = child->next)
		if (ct_is_alive(child))
			sum += cpu_limit_total(child);
	return sum == 0 ? bound : MIN(bound, sum);
}

uint64_t cpu_guarantee_total(const struct ct *ct)
{
	uint64_t sum = 0;

	for (const struct ct *child = ct->children; child != NULL; child = child->next)
		if (ct_is_alive(child) && __builtin_add_overflow(sum, cpu_guarantee_total(child), &sum))
			sum = UINT64_MAX;
	return MAX(sum, own(ct, PROP_cpu_guarantee));
}

uint64_t cpu_guarantee_bound(const struct ct *ct)
{
	uint64_t bound = CPU_HOST_NSEC;

	for (ct = ct->parent; ct != NULL; ct = ct->parent)
		if (own(ct, PROP_cpu_guarantee) != 0)
			bound = MIN(bound, own(ct, PROP_cpu_guarantee));
	return bound;
}

/* The container that says: the nearest one, from ct up, that has set it; the root, which has the default, last. */
static const struct ct *setter(const struct ct *ct, int prop)
{
	while (!prop_is_set(ct, prop) && ct->parent != NULL)
		ct = ct->parent;
	return ct;
}

uint64_t cpu_period_of(const struct ct *ct)
{
	return own(setter(ct, PROP_cpu_period), PROP_cpu_period);
}

enum cpu_policy cpu_policy_of(const struct ct *ct)
{
	return (enum cpu_policy)own(setter(ct, PROP_cpu_policy), PROP_cpu_policy);
}

/* ---- checks ---- */

static int lacks(struct change *c, const char *what)
{
	return err_set(c->err, ERR_NotSupported, "%s: this kernel has no %s", props[c->prop].name, what);
}

int check_cpu_limit(struct change *c)
{
	if (!cg_cpu_can_limit(c->ct->e->cgroups))
		return lacks(c, "processor quotas (CONFIG_CFS_BANDWIDTH)");
	if (c->prop == PROP_cpu_limit && c->value->u != 0 && c->value->u < LIMIT_MIN)
		return err_set(c->err, ERR_InvalidValue, "cpu_limit: '%.100s': expected at least 0.001c, or 0 for no limit", c->text);
	if (c->prop == PROP_cpu_period && (c->value->u < PERIOD_MIN || c->value->u > PERIOD_MAX))
		return err_set(c->err, ERR_InvalidValue, "cpu_period: '%.100s': expected from 1ms to 1s", c->text);
	return 0;
}

int check_cpu_weight(struct change *c)
{
	if (!cg_cpu_can_weigh(c->ct->e->cgroups))
		return lacks(c, "weights of groups (CONFIG_FAIR_GROUP_SCHED)");
	return 0;
}

/* ---- to the kernel ---- */

static int failed(int r, const char *name, struct err *err)
{
	if (r >= 0)
		return 0;
	if (r == -EOPNOTSUPP || r == -ENOENT)
		return err_set(err, ERR_NotSupported, "%s: the container has no cpu cgroup for it", name);
	return err_sys(err, -r, "%s", name);
}

/* Before its task is made: props_apply_all goes through all rows, and one of them does it for those that belong together. */
static bool at_start(const struct ct *ct)
{
	return ct->state == CT_STARTING && ct->pid == 0;
}

/* Puts the new value in its place for as long as the tree is worked through; on failure the caller wants the old one back. */
static union value put_value(struct ct *ct, int prop, const union value *v)
{
	union value old = ct->val[prop];

	ct->val[prop] = *v;
	return old;
}

/* The bound is written, but only where the container itself has a limit: spec/PROPERTIES.md 8.1. */
static int push_limit(struct ct *ct)
{
	uint64_t limit = own(ct, PROP_cpu_limit) != 0 ? cpu_limit_bound(ct) : 0;

	return cg_set_cpu_max(ct->e->cgroups, &ct->cg, limit, cpu_period_of(ct));
}

/* Below a container that changes: what has a limit, or the period that changes. */
static bool follows(const struct ct *it)
{
	return it->has_cg && (it->cg.own & CG_BIT(CG_CPU)) &&
	       (own(it, PROP_cpu_limit) != 0 || prop_is_set(it, PROP_cpu_period));
}

/* Children before their parents: what is lowered. v1 refuses (EINVAL) what is above the parent's: its turn comes after. */
static int push_limits_up(struct ct *ct)
{
	int r;

	for (struct ct *it = ct->children; it != NULL; it = it->next) {
		r = push_limits_up(it);
		if (r == 0 && follows(it))
			r = push_limit(it);
		if (r < 0 && r != -EINVAL)
			return r;
	}
	return 0;
}

static int push_limits(struct ct *ct)
{
	bool any = false;
	int r;

	for (struct ct *it = ct_next(ct, NULL); it != NULL && !any; it = ct_next(ct, it))
		any = follows(it);
	r = any ? push_limits_up(ct) : 0;
	if (r == 0 && ct->has_cg && (ct->cg.own & CG_BIT(CG_CPU)))
		r = push_limit(ct);
	for (struct ct *it = ct_next(ct, NULL); any && r == 0 && it != NULL; it = ct_next(ct, it))
		r = follows(it) ? push_limit(it) : 0;
	return r;
}

static int apply_limits(struct ct *ct, int prop, const union value *v, struct err *err)
{
	union value old;
	int r;

	if (at_start(ct) && (prop == PROP_cpu_period || !(prop_is_set(ct, PROP_cpu_limit) || prop_is_set(ct, PROP_cpu_period))))
		return 0;
	old = put_value(ct, prop, v);
	r = push_limits(ct);
	ct->val[prop] = old;
	return failed(r, props[prop].name, err);
}

int apply_cpu_limit(struct ct *ct, const union value *v, struct err *err)
{
	return apply_limits(ct, PROP_cpu_limit, v, err);
}

int apply_cpu_period(struct ct *ct, const union value *v, struct err *err)
{
	return apply_limits(ct, PROP_cpu_period, v, err);
}

/*
 * Without a guarantee a container has the smallest weight: the others' guarantees come first. Below the first level this
 * is so only for those that say something about it, because there a container competes with the tasks of its parent too,
 * and would starve beside them for having, say, a limit.
 */
static int push_weight(const struct ct *ct)
{
	uint64_t cores = MIN(cpu_guarantee_total(ct), CPU_HOST_NSEC); /* more than there is makes it no heavier */
	double factor = ct->val[PROP_cpu_weight].d;
	int r;

	switch (cpu_policy_of(ct)) {
	case CPU_IDLE:
		factor = 0;
		break;
	case CPU_HIGH:
	case CPU_RT:
		factor *= PRIVILEGED_FACTOR;
		break;
	default:
		break;
	}
	if (cores == 0 && ct->level > 1 && !prop_is_set(ct, PROP_cpu_guarantee) && !prop_is_set(ct, PROP_cpu_weight))
		cores = NSEC;
	r = cg_set_cpu_weight(ct->e->cgroups, &ct->cg, cores, factor);
	return r == -ENOENT && !(ct->cg.own & CG_BIT(CG_CPU)) ? 0 : r;
}

/*
 * All containers together weigh what they are guaranteed against the host's own tasks: at least one core, as every group does, and
 * at most all of them, whatever their owners have asked for.
 */
static int push_root_weight(const struct ct *root)
{
	return cg_set_cpu_weight(root->e->cgroups, &root->cg, MAX(MIN(cpu_guarantee_total(root), CPU_HOST_NSEC), NSEC), 1);
}

int cpu_weight_push(struct ct *ct)
{
	int r = 0;

	for (; r == 0 && ct->parent != NULL; ct = ct->parent)
		if (ct->has_cg)
			r = push_weight(ct);
	return r < 0 ? r : push_root_weight(ct);
}

static bool can_weigh(const struct ct *ct)
{
	return cg_cpu_can_weigh(ct->e->cgroups);
}

void cpu_running_changed(struct ct *parent)
{
	if (parent != NULL && can_weigh(parent))
		(void)cpu_weight_push(parent);
}

/* At the start of one that says nothing about its weight the kernel's default may stand, below the first level. */
int apply_cpu_guarantee(struct ct *ct, const union value *v, struct err *err)
{
	union value old;
	int r;

	if (!can_weigh(ct))
		return 0; /* nothing is set then: check_cpu_weight */
	if (at_start(ct) && !(ct->cg.own & CG_BIT(CG_CPU)))
		return 0;
	old = put_value(ct, PROP_cpu_guarantee, v);
	r = at_start(ct) ? push_weight(ct) : cpu_weight_push(ct);
	ct->val[PROP_cpu_guarantee] = old;
	return failed(r, "cpu_guarantee", err);
}

int apply_cpu_weight(struct ct *ct, const union value *v, struct err *err)
{
	union value old;
	int r;

	if (at_start(ct) || !can_weigh(ct))
		return 0;
	old = put_value(ct, PROP_cpu_weight, v);
	r = push_weight(ct);
	if (r == 0)
		r = cpu_sched_push(ct);
	ct->val[PROP_cpu_weight] = old;
	return failed(r, "cpu_weight", err);
}

/* Those below that have no policy of their own have this one. */
int apply_cpu_policy(struct ct *ct, const union value *v, struct err *err)
{
	union value old;
	int r = 0;

	if (at_start(ct))
		return 0;
	old = put_value(ct, PROP_cpu_policy, v);
	if (ct->has_cg && can_weigh(ct))
		r = push_weight(ct);
	for (struct ct *it = ct_next(ct, NULL); r == 0 && it != NULL; it = ct_next(ct, it))
		if (it->has_cg && can_weigh(it) && setter(it, PROP_cpu_policy) == ct)
			r = push_weight(it);
	if (r == 0)
		r = cpu_sched_push(ct);
	ct->val[PROP_cpu_policy] = old;
	if (r == -EPERM || r == -EACCES)
		return err_set(err, ERR_NotSupported, "cpu_policy: '%s': the daemon has no CAP_SYS_NICE", cpu_policy_names[v->u]);
	return failed(r, "cpu_policy", err);
}
