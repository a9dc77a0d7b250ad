/*
 * cpu_set: which processors each container gets. All of them are worked out together (a plan), because jails share out what
 * there is and what is below a container follows it. Where the jails are now is read from the kernel, so that a restart
 * of the daemon moves none.
 */
#include "engine/cpu.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/fd.h"
#include "base/log.h"
#include "engine/cpu_jail.h"
#include "engine/hooks.h"

#define BALANCE_NSEC UINT64_C(60000000000)

struct row {
	struct ct *ct;
	struct row *up;        /* the nearest row above, NULL: the host */
	struct cpu_set set;
	struct cpus now, want; /* want of a jail, before its processors are chosen: all those it may have */
	bool is_jail;
};

struct plan {
	struct engine *e;
	struct row *rows;      /* parents before children */
	size_t n;
	struct cpus host;
	bool any_jail;
};

/* ---- what the host has ---- */

static int read_list(const char *path, struct cpus *ret)
{
	char buf[CPUS_MAX];
	ssize_t n = file_read_small(AT_FDCWD, path, buf, sizeof(buf));

	return n < 0 ? (int)n : cpus_parse(buf, ret);
}

static int node_cpus(unsigned node, struct cpus *ret)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%u/cpulist", node);
	return read_list(path, ret);
}

static int host_cpus(struct engine *e, struct cpus *ret)
{
	int r = cg_cpus_effective(e->cgroups, &e->root->cg, ret);

	return r < 0 || cpus_count(ret) == 0 ? read_list("/sys/devices/system/cpu/online", ret) : 0;
}

/* Where the kernel tells nothing there is one node, and each processor is a core. */
static void know_host(const struct plan *p, struct cpu_host *host)
{
	struct cpus nodes = {};
	char path[80];

	(void)read_list("/sys/devices/system/node/online", &nodes);
	for (unsigned node = cpus_next(&nodes, 0); node < CPUS_MAX; node = cpus_next(&nodes, node + 1)) {
		struct cpus cpus = {};

		(void)node_cpus(node, &cpus);
		for (unsigned cpu = cpus_next(&cpus, 0); cpu < CPUS_MAX; cpu = cpus_next(&cpus, cpu + 1))
			host->node[cpu] = node;
	}
	for (unsigned cpu = cpus_next(&p->host, 0); cpu < CPUS_MAX; cpu = cpus_next(&p->host, cpu + 1)) {
		struct cpus threads = {};

		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/topology/thread_siblings_list", cpu);
		host->core[cpu] = read_list(path, &threads) < 0 ? cpu : MIN(cpus_next(&threads, 0), cpu);
	}
}

/* ---- checks that need no plan ---- */

static const char *value_of(const struct ct *ct)
{
	return ct->val[PROP_cpu_set].s != NULL ? ct->val[PROP_cpu_set].s : "";
}

static bool has_jail(const struct ct *ct)
{
	return strncmp(value_of(ct), "jail", 4) == 0; /* normalised: it stands first */
}

static int check_nested(struct change *c)
{
	struct ct *other = NULL;

	for (struct ct *it = c->ct->parent; it != NULL && other == NULL; it = it->parent)
		other = has_jail(it) ? it : NULL;
	for (struct ct *it = ct_next(c->ct, NULL); it != NULL && other == NULL; it = ct_next(c->ct, it))
		other = has_jail(it) ? it : NULL;
	if (other == NULL)
		return 0;
	return err_set(c->err, ERR_ResourceNotAvailable, "cpu_set: '%.100s': %s has a jail, and jails can't be nested", c->text,
		       other->name);
}

static int refuse(struct change *c, const char *what, const struct cpus *there)
{
	autotext struct text list = {};

	cpus_format(there, &list);
	return err_set(c->err, ERR_InvalidValue, "cpu_set: '%.100s': %s %s", c->text, what, text_str(&list));
}

int check_cpu_set(struct change *c)
{
	struct cpus online = {}, node = {};
	struct cpu_set set;
	int r = cpu_set_parse(c->value->s != NULL ? c->value->s : "", &set);

	if (r == 0)
		r = read_list("/sys/devices/system/cpu/online", &online);
	if (r < 0)
		return err_sys(c->err, -r, "cpu_set");
	if (!cpus_within(&set.list, &online))
		return refuse(c, "expected processors that are online:", &online);
	if (set.has_node) {
		if (node_cpus(set.node, &node) < 0 || cpus_count(&node) == 0)
			return err_set(c->err, ERR_InvalidValue, "cpu_set: '%.100s': this host has no node %u with processors",
				       c->text, set.node);
		online = node;
	}
	if (set.jail > cpus_count(&online))
		return refuse(c, "a jail can't be larger than what there is:", &online);
	return set.jail > 0 ? check_nested(c) : 0;
}

/* ---- the plan ---- */

static bool is_within(const struct ct *ct, const struct ct *top)
{
	while (ct != NULL && ct != top)
		ct = ct->parent;
	return ct != NULL;
}

static struct row *row_above(struct plan *p, const struct ct *ct)
{
	for (ct = ct->parent; ct->parent != NULL; ct = ct->parent)
		for (size_t i = p->n; i-- > 0;)
			if (p->rows[i].ct == ct)
				return &p->rows[i];
	return NULL;
}

/*
 * Also cgroups that only stand between others: on v1 they have processors too. On v2 a container that says nothing has its
 * parent's without our doing.
 */
static int add_rows(struct plan *p)
{
	bool v2 = cg_is_v2(p->e->cgroups, CG_CPUSET);
	size_t room = 0;

	for (struct ct *it = ct_next(p->e->root, NULL); it != NULL; it = ct_next(p->e->root, it))
		room += it->has_cg;
	p->rows = calloc(room + 1, sizeof(*p->rows));
	if (p->rows == NULL)
		return -ENOMEM;
	for (struct ct *it = ct_next(p->e->root, NULL); it != NULL; it = ct_next(p->e->root, it)) {
		struct row *row = &p->rows[p->n];
		int r;

		if (!it->has_cg)
			continue;
		r = cg_cpus(p->e->cgroups, &it->cg, &row->now);
		if (r == -ENOENT || r == -ENODEV)
			continue; /* it has none, for itself or its children */
		if (r == 0)
			r = cpu_set_parse(value_of(it), &row->set);
		if (r < 0)
			return r;
		if (v2 && !*value_of(it) && cpus_count(&row->now) == 0)
			continue;
		row->ct = it;
		row->up = row_above(p, it);
		row->is_jail = row->set.jail > 0 && it->state != CT_DEAD;
		p->any_jail = p->any_jail || row->is_jail;
		p->n++;
	}
	return 0;
}

/* What a row gets of the ones above it; a jail keeps what it has been given. False: nothing is left for it. */
static bool set_want(struct plan *p, struct row *row, bool jails_done)
{
	const struct cpus *above = row->up != NULL ? &row->up->want : &p->host;
	struct cpus node = {};

	if (jails_done && row->is_jail)
		return true;
	row->want = *above;
	if (row->set.has_list)
		cpus_and(&row->want, &row->set.list);
	if (row->set.has_node && node_cpus(row->set.node, &node) == 0)
		cpus_and(&row->want, &node);
	if (cpus_count(&row->want) > 0)
		return true;
	row->want = *above;
	return false;
}

/* The order of rows is that of ids, so the older jails keep what they have. */
static int choose_jails(struct plan *p)
{
	autofree struct cpu_host *host = calloc(1, sizeof(*host));
	autofree struct cpu_jail *jails = calloc(p->n, sizeof(*jails));
	size_t n = 0;

	if (host == NULL || jails == NULL)
		return -ENOMEM;
	know_host(p, host);
	for (size_t i = 0; i < p->n; i++)
		if (p->rows[i].is_jail)
			jails[n++] = (struct cpu_jail){ .size = p->rows[i].set.jail, .allowed = p->rows[i].want, .now = p->rows[i].now };
	cpu_jails_choose(host, jails, n);
	for (size_t i = p->n; i-- > 0;)
		if (p->rows[i].is_jail)
			p->rows[i].want = jails[--n].want;
	return 0;
}

/* Gives the first row of top and below that does not get what it says, NULL if all do. */
static const struct row *want_all(struct plan *p, const struct ct *top, bool jails_done)
{
	const struct row *unhappy = NULL;

	for (size_t i = 0; i < p->n; i++) {
		struct row *row = &p->rows[i];
		bool happy = set_want(p, row, jails_done) &&
			     (row->is_jail ? row->set.jail <= cpus_count(&row->want) :
					     !row->set.has_list || cpus_equal(&row->want, &row->set.list));

		if (unhappy == NULL && !happy && top != NULL && is_within(row->ct, top))
			unhappy = row;
	}
	return unhappy;
}

static int make_plan(struct engine *e, struct plan *p, const struct ct *top, const struct row **unhappy)
{
	const struct row *other;
	int r;

	*p = (struct plan){ .e = e };
	*unhappy = NULL;
	r = host_cpus(e, &p->host);
	if (r == 0)
		r = add_rows(p);
	if (r < 0)
		return r;
	*unhappy = want_all(p, top, false);
	if (!p->any_jail)
		return 0;
	r = choose_jails(p);
	if (r < 0)
		return r;
	other = want_all(p, top, true);
	*unhappy = *unhappy == NULL ? other : *unhappy;
	return 0;
}

static void plan_done(struct plan *p)
{
	free(p->rows);
}

static int grow(const struct plan *p, const struct row *row)
{
	struct cpus both = row->now;

	cpus_or(&both, &row->want);
	return cpus_equal(&both, &row->now) ? 0 : cg_set_cpus(p->e->cgroups, &row->ct->cg, &both);
}

/* A v2 cgroup with tasks does not go back to having none of its own (ENOSPC): from then on we write its parent's there. */
static int finish(const struct plan *p, const struct row *row)
{
	bool v2 = cg_is_v2(p->e->cgroups, CG_CPUSET);
	const struct cpus none = {};
	int r = -ENOSPC;

	if (v2 ? cpus_equal(&row->now, &row->want) : cpus_within(&row->now, &row->want))
		return 0;
	if (v2 && !*value_of(row->ct))
		r = cg_set_cpus(p->e->cgroups, &row->ct->cg, &none);
	return r == -ENOSPC ? cg_set_cpus(p->e->cgroups, &row->ct->cg, &row->want) : r;
}

/*
 * v1 wants a parent to hold all of its children at every moment: what grows does so from above, then what shrinks does from
 * below. The result is that of top and below; what keeps another container from moving (users have cgroups of their own
 * in it) is not its fault. NULL: of all, and one that fails keeps no other from its own.
 */
static int write_plan(const struct plan *p, const struct ct *top)
{
	bool v2 = cg_is_v2(p->e->cgroups, CG_CPUSET);
	int result = 0;

	for (size_t i = 0; i < p->n * 2; i++) {
		const struct row *row = i < p->n ? &p->rows[i] : &p->rows[2 * p->n - 1 - i];
		int r = i >= p->n ? finish(p, row) : v2 ? 0 : grow(p, row);

		if (r == 0 || (top != NULL && !is_within(row->ct, top)))
			continue;
		result = r;
		if (top != NULL)
			break;
	}
	return result;
}

static void balance(void *arg);

static void arm(struct engine *e)
{
	if (e->cpu_set_timer.slot != 0)
		return;
	e->cpu_set_timer = (struct loop_timer){ .fn = balance, .arg = e };
	(void)loop_after(e->loop, &e->cpu_set_timer, BALANCE_NSEC);
}

static void balance(void *arg)
{
	struct engine *e = arg;
	const struct row *unhappy;
	struct plan p;
	int r = make_plan(e, &p, NULL, &unhappy);

	if (r == 0)
		r = write_plan(&p, NULL);
	if (r < 0)
		log_warning("cpu_set: jails cannot be balanced: %s", strerror(-r));
	if (p.any_jail)
		arm(e);
	plan_done(&p);
}

void cpu_set_resume(struct engine *e)
{
	for (struct ct *it = ct_next(e->root, NULL); it != NULL; it = ct_next(e->root, it))
		if (it->has_cg && has_jail(it)) {
			arm(e);
			return;
		}
}

static int unhappy_with(const struct row *row, const struct ct *ct, struct err *err)
{
	autotext struct text there = {};

	cpus_format(&row->want, &there);
	if (row->ct == ct)
		return err_set(err, ERR_InvalidValue, "cpu_set: '%.100s': expected processors of the containers above it: %s",
			       value_of(ct), text_str(&there));
	return err_set(err, ERR_InvalidValue, "cpu_set: too few processors for %s below it, which wants '%.100s'", row->ct->name,
		       value_of(row->ct));
}

/*
 * What is asked for must be there, for the container and for those below it; others, whose processors went away in another
 * manner (switched off, say), get what is left. At a failure the caller applies the old value, and so the whole subtree
 * gets back what it had.
 */
int apply_cpu_set(struct ct *ct, const union value *v, struct err *err)
{
	union value old = ct->val[PROP_cpu_set];
	const struct row *unhappy;
	struct plan p;
	int r;

	if (!ct->has_cg || (ct->state == CT_STARTING && ct->pid == 0 && !*value_of(ct)))
		return 0;
	ct->val[PROP_cpu_set] = *v;
	r = make_plan(ct->e, &p, ct, &unhappy);
	if (r == 0 && unhappy != NULL)
		r = unhappy_with(unhappy, ct, err);
	else if (r == 0)
		r = write_plan(&p, ct);
	if (r == -EBUSY)
		r = err_set(err, ERR_Busy, "cpu_set: '%.100s': a cgroup that somebody has made inside has processors beyond it",
			    value_of(ct));
	if (r < 0 && (err == NULL || err->kind == ERR_Success))
		err_sys(err, -r, "cpu_set");
	if (r == 0 && p.any_jail)
		arm(ct->e);
	plan_done(&p);
	ct->val[PROP_cpu_set] = old;
	return r;
}
