/* Memory: limits, guarantees, and what this kernel can't do. Mechanism: cgroup_memory.c. */
#include "engine/memory.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>

#include "base/fd.h"
#include "base/proc.h"
#include "engine/cgroup_memory.h"
#include "engine/hooks.h"

#define LIMIT_MIN (UINT64_C(1) << 20)
#define PRESSED (UINT64_C(1) << 20)
#define NSEC UINT64_C(1000000000)

/* Pages for each processor by which `high` stays below the limit: the kernel charges in batches. */
#define HIGH_PAGES 64u
#define HIGH_PAGE UINT64_C(4096)

uint64_t memory_info(const char *key)
{
	autotext struct text t = {};
	unsigned long long kib;
	const char *line;
	size_t len = strlen(key);

	if (file_read(AT_FDCWD, "/proc/meminfo", 1 << 16, &t) < 0)
		return 0;
	for (line = text_str(&t); *line != '\0'; line += strcspn(line, "\n"), line += *line == '\n')
		if (strncmp(line, key, len) == 0 && line[len] == ':')
			return sscanf(line + len, ": %llu", &kib) == 1 ? (uint64_t)kib * 1024 : 0;
	return 0;
}

uint64_t memory_total(void)
{
	uint64_t total = memory_info("MemTotal"), huge = memory_info("Hugetlb");

	return total > huge ? total - huge : 0;
}

/* ---- what this kernel lacks (props.h, lacks) ---- */

#define LACKS(name, sentence)                                                                     \
	const char *name(const struct cgroups *g)                                                 \
	{                                                                                         \
		(void)g;                                                                          \
		return sentence;                                                                  \
	}
LACKS(lacks_anon, "the kernel has no limit or peak of anonymous memory alone (memory.anon.* of the vendor's kernel); see memory_limit, memory_peak")
LACKS(lacks_anon_only, "the kernel charges file cache to the cgroup that reads it (no memory.anon.only)")
LACKS(lacks_dirty, "the kernel has no limit of dirty cache for a cgroup (no memory.dirty_limit_in_bytes)")
LACKS(lacks_recharge, "the kernel leaves cache with the cgroup that read it first (no memory.recharge_on_pgfault; move_charge_at_immigrate moves only with a task)")
LACKS(lacks_lock_policy, "the kernel can't lock the file pages of a cgroup (no memory.mlock_policy)")
LACKS(lacks_writeback, "the kernel has no memory.writeback_blkio")

const char *lacks_guarantee(const struct cgroups *g)
{
	if (cg_memory_can(g, MEMORY_CAN_GUARANTEE))
		return NULL;
	return cg_is_v2(g, CG_MEMORY) ? "no memory.low" : "the v1 memory controller can't protect memory from reclaim; cgroup v2 (memory.low) can";
}

const char *lacks_peak(const struct cgroups *g)
{
	return cg_memory_can(g, MEMORY_CAN_PEAK) ? NULL : "no memory.peak (Linux 5.19)";
}

const char *lacks_pressurize(const struct cgroups *g)
{
	return cg_memory_can(g, MEMORY_CAN_PRESSURIZE) ? NULL : "neither memory.soft_limit_in_bytes (v1) nor memory.reclaim (Linux 5.19)";
}

const char *lacks_memory_pressure(const struct cgroups *g)
{
	return cg_memory_can(g, MEMORY_CAN_PRESSURE) ? NULL : "no cgroup v2 hierarchy with memory.pressure (PSI)";
}

/* ---- the limit ---- */

uint64_t memory_default_limit(uint64_t total, uint64_t margin)
{
	return total - MIN(total / 4, margin);
}

/* All of it, huge pages too: a number that stays, so that what is shown is what was once applied. */
static uint64_t ram(void)
{
	static uint64_t bytes;

	if (bytes == 0)
		bytes = memory_info("MemTotal");
	return bytes;
}

uint64_t memory_limit(const struct ct *ct)
{
	if (prop_is_set(ct, PROP_memory_limit) || ct->level != 1)
		return ct->val[PROP_memory_limit].u;
	return memory_default_limit(ram(), ct->e->conf->container_memory_limit_margin);
}

uint64_t memory_high_of(uint64_t limit, unsigned cores)
{
	return limit - MIN(limit / 4, HIGH_PAGES * HIGH_PAGE * MAX(cores, 1u));
}

/* Whole cores that the limits of ct and those above leave it. */
static unsigned cores_of(const struct ct *ct)
{
	uint64_t cores = types_host_cores;

	for (; ct != NULL; ct = ct->parent)
		if (ct->val[PROP_cpu_limit].u != 0)
			cores = MIN(cores, ct->val[PROP_cpu_limit].u / NSEC);
	return (unsigned)MAX(cores, 1u);
}

/* An early warning to the kernel, which fails nothing: v1 has none. */
static void update_high(struct ct *ct, uint64_t limit)
{
	(void)cg_set_memory_high(ct->e->cgroups, &ct->cg, memory_high_of(limit, cores_of(ct)));
}

void settle_cpu_limit(struct ct *ct)
{
	for (struct ct *it = ct; it != NULL; it = ct_next(ct, it == ct ? NULL : it))
		if (it->has_cg && (it->cg.own & CG_BIT(CG_MEMORY)) && memory_limit(it) != 0)
			update_high(it, memory_limit(it));
}

int check_memory_bytes(struct change *c)
{
	if (c->value->u == 0 || c->value->u >= LIMIT_MIN)
		return 0;
	return err_set(c->err, ERR_InvalidValue, "%s: '%.100s': expected at least 1M, or 0 for no limit", props[c->prop].name, c->text);
}

static int busy(struct ct *ct, const char *name, uint64_t limit, struct err *err)
{
	uint64_t used = 0;

	(void)cg_memory_usage(ct->e->cgroups, &ct->cg, &used);
	return err_set(err, ERR_Busy, "%s: %llu: more is in use (%llu bytes) and can't be given back", name, (unsigned long long)limit,
		       (unsigned long long)used);
}

/* Also unset: the first level has a default. */
int apply_memory_limit(struct ct *ct, const union value *v, struct err *err)
{
	uint64_t limit = prop_is_set(ct, PROP_memory_limit) ? v->u : memory_limit(ct);
	int r;

	if (limit == 0 && ct->state == CT_STARTING) /* as a new cgroup is */
		return 0;
	r = cg_set_memory_max(ct->e->cgroups, &ct->cg, limit);
	if (r == -EBUSY)
		return busy(ct, "memory_limit", limit, err);
	if (r < 0)
		return err_sys(err, -r, "memory_limit: %llu", (unsigned long long)limit);
	update_high(ct, limit);
	return 0;
}

/* What is watched depends on there being a limit. */
void settle_memory_limit(struct ct *ct)
{
	oom_watch(ct);
}

/* ---- guarantees ---- */

static uint64_t add(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

uint64_t memory_guarantee_total(const struct ct *ct)
{
	uint64_t below = 0;

	if (ct->state == CT_STOPPED)
		return 0;
	for (const struct ct *it = ct->children; it != NULL; it = it->next)
		below = add(below, memory_guarantee_total(it));
	return MAX(ct->val[PROP_memory_guarantee].u, below);
}

/* With what the daemon keeps back for the host and what huge pages take, is there RAM for all that was promised? */
static bool overcommitted(const struct engine *e)
{
	uint64_t kept = add(e->conf->container_memory_guarantee_reserve, memory_info("Hugetlb"));

	return add(memory_guarantee_total(e->root), kept) > memory_info("MemTotal");
}

static int not_available(const struct ct *ct, uint64_t wanted, struct err *err)
{
	return err_set_no(err, ERR_ResourceNotAvailable, ENOMEM,
			  "memory_guarantee: %llu: with the guarantees of others (%llu in all) and the reserve of %llu the host has not that much memory",
			  (unsigned long long)wanted, (unsigned long long)memory_guarantee_total(ct->e->root),
			  (unsigned long long)ct->e->conf->container_memory_guarantee_reserve);
}

int check_memory_guarantee(struct change *c)
{
	struct ct *ct = c->ct;
	union value old = ct->val[PROP_memory_guarantee];
	int r = 0;

	if (ct->state == CT_STOPPED || c->value->u <= old.u)
		return 0;
	ct->val[PROP_memory_guarantee] = *c->value;
	if (overcommitted(ct->e))
		r = not_available(ct, c->value->u, c->err);
	ct->val[PROP_memory_guarantee] = old;
	return r;
}

int memory_check_start(struct ct *ct, const struct engine_cred *who, struct err *err)
{
	uint64_t own = ct->val[PROP_memory_guarantee].u;

	if (memory_guarantee_total(ct->e->root) == 0)
		return 0;
	if (!overcommitted(ct->e) || (own == 0 && (ct->level > 1 || who->uid == 0)))
		return 0;
	return not_available(ct, own, err);
}

/*
 * The kernel protects a cgroup no more than what is above it, up to our root: all of those get what those below them were
 * promised. 0 or -errno for ct itself.
 */
static int push_guarantees(struct ct *ct)
{
	int ret = 0;

	for (struct ct *it = ct; it != NULL; it = it->parent) {
		int r = 0;

		if (ct_is_root(it) || (it->has_cg && (it->cg.own & CG_BIT(CG_MEMORY))))
			r = cg_set_memory_low(it->e->cgroups, &it->cg, memory_guarantee_total(it), it->val[PROP_memory_guarantee].u);
		ret = it == ct ? r : ret;
	}
	return ret;
}

int apply_memory_guarantee(struct ct *ct, const union value *v, struct err *err)
{
	union value old = ct->val[PROP_memory_guarantee];
	int r;

	if (v->u == 0 && ct->state == CT_STARTING)
		return 0;
	ct->val[PROP_memory_guarantee] = *v; /* what is above asks for it */
	r = push_guarantees(ct);
	ct->val[PROP_memory_guarantee] = old;
	return r < 0 ? err_sys(err, -r, "memory_guarantee") : 0;
}

void memory_running_changed(struct ct *parent)
{
	if (parent != NULL && lacks_guarantee(parent->e->cgroups) == NULL)
		(void)push_guarantees(parent);
}

/* ---- pressurize_on_death ---- */

static void reclaim(void *arg)
{
	cg_memory_reclaim(*(int *)arg);
}

static bool any_task_below(struct ct *ct)
{
	for (struct ct *it = ct_next(ct, NULL); it != NULL; it = ct_next(ct, it))
		if (it->pid != 0 && !it->task_gone)
			return true;
	return false;
}

/* Nothing in it works: dead, or a meta container in which nobody has a task. */
static bool is_idle(struct ct *ct)
{
	return ct->state == CT_DEAD || (ct->state == CT_META && !any_task_below(ct));
}

/* The kernel may need seconds for it, so it is done by a thread. */
static void reclaim_later(struct ct *ct, int fd)
{
	int *arg = malloc(sizeof(*arg));

	if (arg == NULL) {
		close(fd);
		return;
	}
	*arg = fd;
	if (loop_work(ct->e->loop, reclaim, free, arg) < 0) {
		close(fd);
		free(arg);
	}
}

static int pressurize(struct ct *ct)
{
	bool on = ct->val[PROP_pressurize_on_death].b && is_idle(ct);
	int fd = -1, r = 0;

	if (on == ct->pressed || !ct->has_cg || !(ct->cg.own & CG_BIT(CG_MEMORY)))
		return 0;
	r = cg_memory_pressurize(ct->e->cgroups, &ct->cg, PRESSED, on, &fd);
	if (r == 0)
		ct->pressed = on;
	if (fd >= 0)
		reclaim_later(ct, fd);
	return r;
}

void memory_state_changed(struct ct *ct)
{
	for (; ct != NULL; ct = ct->parent)
		if (ct->val[PROP_pressurize_on_death].b || ct->pressed)
			(void)pressurize(ct);
}

void settle_pressurize(struct ct *ct)
{
	(void)pressurize(ct);
}

/* ---- huge pages ---- */

int apply_hugetlb_limit(struct ct *ct, const union value *v, struct err *err)
{
	int r;

	if (!prop_is_set(ct, PROP_hugetlb_limit) && ct->state == CT_STARTING)
		return 0;
	r = cg_set_hugetlb_max(ct->e->cgroups, &ct->cg, v->u);
	if (r == -EBUSY)
		return err_set(err, ERR_InvalidValue, "hugetlb_limit: %llu: more is in use", (unsigned long long)v->u);
	if (r == -EOPNOTSUPP)
		return err_set(err, ERR_NotSupported, "hugetlb_limit: this host has no huge pages of 2M");
	return r < 0 ? err_sys(err, -r, "hugetlb_limit") : 0;
}

/* ---- oom_score_adj ---- */

int memory_own_oom_adj(void)
{
	char buf[16];

	return file_read_small(AT_FDCWD, "/proc/self/oom_score_adj", buf, sizeof(buf)) > 0 ? atoi(buf) : 0;
}

/* Who may be killed first is everybody's own business; who last, root's. */
int check_oom_score_adj(struct change *c)
{
	int64_t n = c->value->i;

	if (n < -1000 || n > 1000)
		return err_set(c->err, ERR_InvalidValue, "oom_score_adj: '%.50s': expected -1000 to 1000", c->text);
	if (n < 0 && c->who->uid != 0)
		return err_set_no(c->err, ERR_Permission, EPERM, "oom_score_adj: %lld: only root may go below 0", (long long)n);
	if (n < memory_own_oom_adj() && !proc_has_cap(CAP_SYS_RESOURCE))
		return err_set_no(c->err, ERR_Permission, EPERM, "oom_score_adj: %lld: below the daemon's own %d needs CAP_SYS_RESOURCE, which it lacks",
				  (long long)n, memory_own_oom_adj());
	return 0;
}
