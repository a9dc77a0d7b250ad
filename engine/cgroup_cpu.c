/* Processor time and processors of a container: the cpu and cpuset controllers of either version, and pressure. */
#include "engine/cgroup_priv.h"

#include <stdio.h>

#define NSEC_PER_SEC 1000000000ull
#define NSEC_PER_USEC 1000ull
#define QUOTA_MIN_USEC 1000u
#define PERIOD_MIN_USEC 1000u
#define PERIOD_MAX_USEC 1000000u

struct cg_cpu {
	const char *max_file; /* is there only in a kernel with quotas */
	/* quota 0: no limit; *known: the period in force, 0 if not known */
	int (*max)(const struct hier *h, const char *dir, uint64_t quota_usec, unsigned period_usec, unsigned *known);
	const char *weight_file;
	unsigned core, least, most; /* the weight of one core of guarantee, and what the kernel takes */
	const char *throttled;      /* key of cpu.stat */
	uint64_t throttled_nsec;    /* its unit */
	const char *cpus, *cpus_effective;
};

/* ---- v1 ---- */

static int v1_quota(const struct hier *h, const char *dir, uint64_t quota_usec)
{
	return quota_usec ? cg_write_u64(h, dir, "cpu.cfs_quota_us", quota_usec) : cg_write(h, dir, "cpu.cfs_quota_us", "-1");
}

/*
 * The kernel checks the ratio of the two against the parent's after each write, so that a new pair may be refused half
 * way though it is fine as a whole. Then the quota is taken off first. A period that stays as it is, the common case, is
 * not written: that stops the group's timer.
 */
static int v1_max(const struct hier *h, const char *dir, uint64_t quota_usec, unsigned period_usec, unsigned *known)
{
	char old_quota[32] = "-1", old_period[32] = "100000";
	int r = *known == period_usec ? 0 : cg_write_u64(h, dir, "cpu.cfs_period_us", period_usec);
	if (r == 0)
		r = v1_quota(h, dir, quota_usec);
	*known = r == 0 ? period_usec : 0;
	if (r != -EINVAL)
		return r;
	cg_read(h, dir, "cpu.cfs_quota_us", old_quota, sizeof(old_quota));
	cg_read(h, dir, "cpu.cfs_period_us", old_period, sizeof(old_period));
	r = v1_quota(h, dir, 0);
	if (r == 0)
		r = cg_write_u64(h, dir, "cpu.cfs_period_us", period_usec);
	if (r == 0)
		r = v1_quota(h, dir, quota_usec);
	if (r < 0) {
		cg_write(h, dir, "cpu.cfs_period_us", old_period);
		cg_write(h, dir, "cpu.cfs_quota_us", old_quota);
	}
	*known = r == 0 ? period_usec : 0;
	return r;
}

const struct cg_cpu cg_cpu_v1 = {
	.max_file = "cpu.cfs_quota_us",
	.max = v1_max,
	.weight_file = "cpu.shares",
	.core = 1024,
	.least = 2,
	.most = 262144,
	.throttled = "throttled_time",
	.throttled_nsec = 1,
	.cpus = "cpuset.cpus",
	.cpus_effective = "cpuset.effective_cpus",
};

/* ---- v2 ---- */

static int v2_max(const struct hier *h, const char *dir, uint64_t quota_usec, unsigned period_usec, unsigned *known UNUSED)
{
	char text[64];
	if (quota_usec)
		snprintf(text, sizeof(text), "%llu %u", (unsigned long long)quota_usec, period_usec);
	else
		snprintf(text, sizeof(text), "max %u", period_usec);
	return cg_write(h, dir, "cpu.max", text);
}

const struct cg_cpu cg_cpu_v2 = {
	.max_file = "cpu.max",
	.max = v2_max,
	.weight_file = "cpu.weight",
	.core = 100,
	.least = 1,
	.most = 10000,
	.throttled = "throttled_usec",
	.throttled_nsec = NSEC_PER_USEC,
	.cpus = "cpuset.cpus",
	.cpus_effective = "cpuset.cpus.effective",
};

/* ---- either ---- */

/* The hierarchy of a controller in which c has a cgroup of its own. */
static int hier_of(const struct cgroups *g, const struct cg *c, enum cg_ctl ctl, const struct hier **ret)
{
	if (g->of[ctl] < 0)
		return -EOPNOTSUPP;
	if (!((c->own | CG_BIT(CG_TRACK)) & CG_BIT(ctl)))
		return -ENOENT;
	*ret = &g->h[g->of[ctl]];
	return 0;
}

static bool has_file(const struct hier *h, const char *file, signed char *known)
{
	if (*known == 0)
		*known = faccessat(h->fd, file, F_OK, 0) == 0 ? 1 : -1;
	return *known > 0;
}

bool cg_cpu_can_limit(struct cgroups *g)
{
	const struct hier *h = g->of[CG_CPU] >= 0 ? &g->h[g->of[CG_CPU]] : NULL;
	return h && has_file(h, h->drv->cpu->max_file, &g->can_limit);
}

bool cg_cpu_can_weigh(struct cgroups *g)
{
	const struct hier *h = g->of[CG_CPU] >= 0 ? &g->h[g->of[CG_CPU]] : NULL;
	return h && has_file(h, h->drv->cpu->weight_file, &g->can_weigh);
}

int cg_set_cpu_max(struct cgroups *g, const struct cg *c, uint64_t nsec_per_sec, uint64_t period_nsec)
{
	const struct hier *h;
	int r = hier_of(g, c, CG_CPU, &h);
	if (r < 0)
		return r;
	unsigned period = (unsigned)MIN(MAX(period_nsec / NSEC_PER_USEC, PERIOD_MIN_USEC), PERIOD_MAX_USEC);
	unsigned unknown = 0, *known = c->kept ? &c->kept->period_usec : &unknown;
	if (!nsec_per_sec)
		return h->drv->cpu->max(h, c->path, 0, period, known);
	uint64_t quota = (uint64_t)(((unsigned __int128)nsec_per_sec * period + NSEC_PER_SEC - 1) / NSEC_PER_SEC);
	/* the kernel's smallest quota would be more than the limit: then a longer period it is */
	if (quota < QUOTA_MIN_USEC) {
		quota = QUOTA_MIN_USEC;
		period = (unsigned)MIN(QUOTA_MIN_USEC * NSEC_PER_SEC / nsec_per_sec, PERIOD_MAX_USEC);
	}
	r = h->drv->cpu->max(h, c->path, quota, period, known);
	/* rounded up, it may be a hair more than the parent's, which has another period */
	if (r == -EINVAL && quota > QUOTA_MIN_USEC)
		r = h->drv->cpu->max(h, c->path, quota - 1, period, known);
	return r;
}

int cg_set_cpu_weight(struct cgroups *g, const struct cg *c, uint64_t cores_nsec, double factor)
{
	if (g->of[CG_CPU] < 0)
		return -EOPNOTSUPP;
	const struct hier *h = &g->h[g->of[CG_CPU]];
	const struct cg_cpu *cpu = h->drv->cpu;
	double weight = MAX((double)cpu->core * (double)cores_nsec / (double)NSEC_PER_SEC, (double)cpu->least) * factor;
	return cg_write_u64(h, c->path, cpu->weight_file,
			    weight >= cpu->most ? cpu->most : MAX((uint64_t)(weight + 0.5), (uint64_t)cpu->least));
}

int cg_cpu_throttled(struct cgroups *g, const struct cg *c, uint64_t *nsec)
{
	const struct hier *h;
	char buf[4096];
	int r = hier_of(g, c, CG_CPU, &h);
	if (r < 0)
		return r;
	/* on v2 it is the file that has the time used too */
	ssize_t n = cg_read_counter(g, h, c, h->drv->v2 ? CG_FILE_CPU : CG_FILE_THROTTLED, "cpu.stat", buf, sizeof(buf));
	r = n < 0 ? (int)n : cg_find_key(buf, h->drv->cpu->throttled, nsec);
	if (r == 0)
		*nsec *= h->drv->cpu->throttled_nsec;
	return r;
}

/* ---- which processors ---- */

static int read_cpus(const struct hier *h, const char *dir, const char *file, struct cpus *ret)
{
	char buf[CPUS_MAX];
	ssize_t n = cg_read(h, dir, file, buf, sizeof(buf));
	return n < 0 ? (int)n : cpus_parse(buf, ret);
}

int cg_cpus(struct cgroups *g, const struct cg *c, struct cpus *ret)
{
	if (g->of[CG_CPUSET] < 0)
		return -EOPNOTSUPP;
	const struct hier *h = &g->h[g->of[CG_CPUSET]];
	return read_cpus(h, c->path, h->drv->cpu->cpus, ret);
}

int cg_cpus_effective(struct cgroups *g, const struct cg *c, struct cpus *ret)
{
	if (g->of[CG_CPUSET] < 0)
		return -EOPNOTSUPP;
	const struct hier *h = &g->h[g->of[CG_CPUSET]];
	while (c->parent && !(c->own & CG_BIT(CG_CPUSET)))
		c = c->parent;
	return read_cpus(h, c->path, h->drv->cpu->cpus_effective, ret);
}

int cg_set_cpus(struct cgroups *g, const struct cg *c, const struct cpus *cpus)
{
	autotext struct text t = {};
	if (g->of[CG_CPUSET] < 0)
		return -EOPNOTSUPP;
	const struct hier *h = &g->h[g->of[CG_CPUSET]];
	cpus_format(cpus, &t);
	text_addc(&t, '\n'); /* v2 takes nothing at all for "the parent's", but a write of nothing never gets there */
	int r = text_ok(&t);
	return r < 0 ? r : cg_write(h, c->path, h->drv->cpu->cpus, text_str(&t));
}

/* ---- pressure ---- */

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=123" */
static bool total_of(const char *text, const char *which, uint64_t *usec)
{
	const char *line = strstr(text, which), *at = line ? strstr(line, "total=") : NULL;
	if (!at)
		return false;
	*usec = strtoull(at + strlen("total="), NULL, 10);
	return true;
}

int cg_pressure(struct cgroups *g, const struct cg *c, const char *file, uint64_t *some_usec, uint64_t *full_usec)
{
	char buf[512], path[PATH_MAX];
	ssize_t n;
	if (!c) {
		snprintf(path, sizeof(path), "/proc/pressure/%.*s", (int)strcspn(file, "."), file);
		n = file_read_small(AT_FDCWD, path, buf, sizeof(buf));
	} else if (g->h[0].drv->v2 && strcmp(file, "cpu.pressure") == 0) {
		n = cg_read_counter(g, &g->h[0], c, CG_FILE_CPU_PRESSURE, file, buf, sizeof(buf));
	} else if (g->h[0].drv->v2) {
		n = cg_read(&g->h[0], c->path, file, buf, sizeof(buf));
	} else {
		return -EOPNOTSUPP;
	}
	if (n == -ENOENT || n == -EOPNOTSUPP)
		return -EOPNOTSUPP;
	if (n < 0)
		return (int)n;
	*full_usec = 0; /* kernels before 5.13 have no such line for the processor */
	(void)total_of(buf, "full", full_usec);
	return total_of(buf, "some", some_usec) ? 0 : -EOPNOTSUPP;
}
