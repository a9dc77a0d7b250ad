/* io_weight, io_policy: who goes first at a disk; and what this host's kernel and schedulers can do of all this. */
#include <dirent.h>
#include <linux/ioprio.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "engine/cgroup_io.h"
#include "engine/disks.h"
#include "engine/hooks.h"
#include "engine/io.h"

#define PASSES_MAX 10 /* over tasks that fork while they are changed */

/* Numbers of upstream: spec/PROPERTIES.md 9. The weights are what io_weight multiplies. */
static const struct {
	int class, level;
	struct cg_io_weight weight;
} policies[IO_POLICIES] = {
	[IO_UNSET]  = { IOPRIO_CLASS_NONE, 0, { .share = 100,  .bfq = 100,  .cfq = 500 } },
	[IO_NONE]   = { IOPRIO_CLASS_NONE, 0, { .share = 100,  .bfq = 100,  .cfq = 500 } },
	[IO_RT]     = { IOPRIO_CLASS_RT,   4, { .share = 1000, .bfq = 1000, .cfq = 1000 } },
	[IO_HIGH]   = { IOPRIO_CLASS_BE,   0, { .share = 1000, .bfq = 1000, .cfq = 1000 } },
	[IO_NORMAL] = { IOPRIO_CLASS_BE,   4, { .share = 100,  .bfq = 100,  .cfq = 500 } },
	[IO_BATCH]  = { IOPRIO_CLASS_BE,   7, { .share = 1,    .bfq = 1,    .cfq = 10 } },
	[IO_IDLE]   = { IOPRIO_CLASS_IDLE, 0, { .share = 1,    .bfq = 1,    .cfq = 10 } },
};

/* Schedulers that know weights, and those that know priorities. */
static const char *const weighing[] = { "bfq" };
static const char *const ranking[] = { "bfq", "mq-deadline" };

/* ---- weights ---- */

static unsigned times(unsigned base, double weight, unsigned min, unsigned max)
{
	double v = base * weight + 0.5;

	return v < min ? min : v > max ? max : (unsigned)v;
}

static int set_weight(struct ct *ct, uint64_t policy, double weight)
{
	const struct cg_io_weight *base = &policies[policy].weight;
	const struct cg_io_weight w = {
		.share = times(base->share, weight, 1, 10000),
		.bfq = times(base->bfq, weight, 1, 1000),
		.cfq = times(base->cfq, weight, 10, 1000),
	};

	return cg_io_set_weight(ct->e->cgroups, &ct->cg, &w);
}

/* NULL: somebody here weighs. */
static const char *weighs_nothing(const struct cgroups *g)
{
	autotext struct text disks = {};
	const char *why = cg_io_lacks(g, CG_IO_WEIGHTS);

	if (why != NULL)
		return why;
	if (disks_scheduled_by(weighing, ARRAY_LEN(weighing), &disks) > 0 || cg_io_cost(g))
		return NULL;
	return cg_is_v2(g, CG_IO) ? "no disk has a scheduler that weighs: echo bfq > /sys/block/DISK/queue/scheduler, or io.cost.qos"
				  : "no disk has a scheduler that weighs: echo bfq > /sys/block/DISK/queue/scheduler";
}

int check_io_weight(struct change *c)
{
	const char *why = c->value->d != 1 ? weighs_nothing(c->ct->e->cgroups) : NULL;

	return why == NULL ? 0 : err_set(c->err, ERR_NotSupported, "io_weight: %s", why);
}

int apply_io_weight(struct ct *ct, const union value *v, struct err *err)
{
	int r;

	if (v->d == 1 && ct->state == CT_STARTING && ct->val[PROP_io_policy].u == IO_UNSET)
		return 0;
	r = set_weight(ct, ct->val[PROP_io_policy].u, v->d);
	if (r == -EOPNOTSUPP && v->d == 1)
		return 0;
	if (r == -EOPNOTSUPP)
		return err_set(err, ERR_NotSupported, "io_weight: %s", cg_io_lacks(ct->e->cgroups, CG_IO_WEIGHTS));
	return r < 0 ? err_sys(err, -r, "io_weight") : 0;
}

/* ---- priorities ---- */

/* Whoever is served in real time may leave nothing to the others. */
int check_io_policy(struct change *c)
{
	if (c->value->u != IO_RT || c->who->uid == 0)
		return 0;
	return err_set(c->err, ERR_Permission, "io_policy: rt needs root");
}

static uint64_t policy_of(const struct ct *ct)
{
	while (ct != NULL && ct->val[PROP_io_policy].u == IO_UNSET)
		ct = ct->parent;
	return ct != NULL ? ct->val[PROP_io_policy].u : IO_UNSET;
}

bool io_priority(const struct ct *ct, int *class, int *level)
{
	uint64_t policy = policy_of(ct);

	*class = policies[policy].class;
	*level = policies[policy].level;
	return policy != IO_UNSET;
}

struct ranks {
	const struct ct *ct;
	int prio;
	unsigned changed;
	int failed;
};

static void rank_thread(struct ranks *k, pid_t tid)
{
	if (syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, tid) == k->prio)
		return;
	if (syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, tid, k->prio) == 0)
		k->changed++;
	else if (errno != ESRCH)
		k->failed = errno;
}

/* A priority belongs to a thread. */
static int rank_process(void *arg, pid_t pid)
{
	struct ranks *k = arg;
	char path[64];
	DIR *d;

	if (k->ct->val[PROP_virt_mode].u == VIRT_JOB && getsid(pid) != k->ct->pid)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	d = opendir(path);
	for (const struct dirent *de; d != NULL && (de = readdir(d)) != NULL;)
		if (de->d_name[0] >= '1' && de->d_name[0] <= '9')
			rank_thread(k, (pid_t)atoi(de->d_name));
	if (d != NULL)
		closedir(d);
	return k->failed;
}

/* A task inherits from who forks it: who was forked by one not yet seen is found by the next pass. */
static int rank_container(const struct ct *ct)
{
	const struct ct *home = ct->val[PROP_virt_mode].u == VIRT_JOB ? ct->parent : ct;
	struct ranks k = { .ct = ct };
	int class, level;

	if (!home->has_cg || !ct_is_alive(ct))
		return 0;
	(void)io_priority(ct, &class, &level);
	k.prio = class << IOPRIO_CLASS_SHIFT | level;
	for (int pass = 0; pass < PASSES_MAX && k.failed == 0; pass++) {
		k.changed = 0;
		(void)cg_pids(ct->e->cgroups, &home->cg, false, rank_process, &k);
		if (k.changed == 0)
			break;
	}
	return k.failed;
}

/* Parents before children, so that a job's own policy comes after that of the cgroup it lives in. */
static int rank_tree(struct ct *top)
{
	int r = rank_container(top);

	for (struct ct *it = ct_next(top, NULL); r == 0 && it != NULL; it = ct_next(top, it))
		r = rank_container(it);
	return r;
}

int apply_io_policy(struct ct *ct, const union value *v, struct err *err)
{
	union value old = ct->val[PROP_io_policy];
	int r = 0;

	if (ct->state == CT_STARTING) { /* porto-init takes its priority itself */
		if (v->u == IO_UNSET)
			return 0;
	} else {
		ct->val[PROP_io_policy] = *v; /* io_priority asks for it, below too */
		r = rank_tree(ct);
		ct->val[PROP_io_policy] = old;
	}
	if (r != 0)
		return err_sys(err, r, "io_policy: priority of its processes");
	if (!(ct->cg.own & CG_BIT(CG_IO)))
		return 0;
	r = set_weight(ct, v->u, ct->val[PROP_io_weight].d);
	return r < 0 && r != -EOPNOTSUPP ? err_sys(err, -r, "io_policy") : 0;
}

/* ---- what a user should know ---- */

void io_taint(const struct ct *ct, struct text *out)
{
	static const int limits[] = { PROP_io_limit, PROP_io_ops_limit };
	const struct cgroups *g = ct->e->cgroups;
	const char *why = cg_io_lacks(g, CG_IO_BUFFERED);
	autotext struct text disks = {};

	for (size_t i = 0; why != NULL && i < ARRAY_LEN(limits); i++)
		if (ct->val[limits[i]].m.k.n > 0)
			text_addf(out, "%s%s: holds for reads and direct writes, not for buffered ones: %s", out->len > 0 ? "\n" : "",
				  props[limits[i]].name, why);
	why = ct->val[PROP_io_weight].d != 1 ? weighs_nothing(g) : NULL;
	if (why != NULL)
		text_addf(out, "%sio_weight: without effect now: %s", out->len > 0 ? "\n" : "", why);
	if (ct->val[PROP_io_policy].u > IO_NONE && disks_scheduled_by(ranking, ARRAY_LEN(ranking), &disks) == 0)
		text_addf(out, "%sio_policy: without effect now: no disk has a scheduler that ranks (bfq, mq-deadline)", out->len > 0 ? "\n" : "");
}

static void feature(struct text *out, const char *name, const char *missing, const char *yes)
{
	text_addf(out, "%s: %s%s\n", name, missing != NULL ? "missing: " : "", missing != NULL ? missing : yes);
}

void io_features(const struct cgroups *g, struct text *out)
{
	autotext struct text rank = {};
	const char *buffered = cg_io_lacks(g, CG_IO_BUFFERED);

	feature(out, "io_limit", cg_io_lacks(g, CG_IO_LIMITS), "yes");
	if (cg_io_lacks(g, CG_IO_LIMITS) == NULL) {
		feature(out, "io_limit of buffered writes", buffered, "yes, where the file system takes part (ext4, xfs, btrfs, f2fs)");
		feature(out, "io_limit inside io_limit", cg_io_lacks(g, CG_IO_NESTED), "yes");
	}
	text_add(out, "io_limit[fs]: the disk below the container's root; the original's own accounting of file systems needs its vendor's kernel\n");
	feature(out, "io_weight", weighs_nothing(g), "yes");
	if (disks_scheduled_by(ranking, ARRAY_LEN(ranking), &rank) > 0)
		text_addf(out, "io_policy: heeded by %s\n", text_str(&rank));
	else
		text_add(out, "io_policy: kept and set, but no disk has a scheduler that heeds it (bfq, mq-deadline)\n");
	feature(out, "io_time", cg_io_lacks(g, CG_IO_TIME), "yes, for disks with the bfq scheduler");
	text_add(out, "io_guarantee, io_ops_guarantee: missing: no kernel promises throughput\n");
}
