/* Reads of the processor properties that are more than the kept value. */
#include <fcntl.h>
#include <stdio.h>

#include "base/fd.h"
#include "base/units.h"
#include "engine/cpu.h"
#include "engine/hooks.h"

static int give_cores(const char *key, const char *name, uint64_t nsec, struct text *out, struct err *err)
{
	int r = no_index(key, err, name);

	if (r == 0)
		unit_cores_format(out, nsec);
	return r;
}

int read_cpu_limit(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	return give_cores(key, "cpu_limit", ct_is_root(ct) ? CPU_HOST_NSEC : ct->val[PROP_cpu_limit].u, out, err);
}

int read_cpu_limit_bound(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	return give_cores(key, "cpu_limit_bound", cpu_limit_bound(ct), out, err);
}

int read_cpu_limit_total(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	return give_cores(key, "cpu_limit_total", cpu_limit_total(ct), out, err);
}

int read_cpu_guarantee_bound(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	return give_cores(key, "cpu_guarantee_bound", cpu_guarantee_bound(ct), out, err);
}

int read_cpu_guarantee_total(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	return give_cores(key, "cpu_guarantee_total", cpu_guarantee_total(ct), out, err);
}

int read_cpu_period(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	int r = no_index(key, err, "cpu_period");

	if (r == 0)
		text_addf(out, "%llu", (unsigned long long)cpu_period_of(ct));
	return r;
}

int read_cpu_policy(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	int r = no_index(key, err, "cpu_policy");

	if (r == 0)
		text_add(out, cpu_policy_names[cpu_policy_of(ct)]);
	return r;
}

int read_cpu_set_affinity(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	struct cpus cpus = {};
	char buf[CPUS_MAX];
	int r = no_index(key, err, "cpu_set_affinity");

	if (r < 0)
		return r;
	while (ct->cg.path == NULL && ct->parent != NULL)
		ct = ct->parent;
	r = cg_cpus_effective(ct->e->cgroups, &ct->cg, &cpus);
	if (r == -EOPNOTSUPP || r == -ENOENT) { /* nothing binds it */
		ssize_t n = file_read_small(AT_FDCWD, "/sys/devices/system/cpu/online", buf, sizeof(buf));

		r = n < 0 ? (int)n : cpus_parse(buf, &cpus);
	}
	if (r < 0)
		return err_sys(err, -r, "cpu_set_affinity");
	cpus_format(&cpus, out);
	return 0;
}

/* ---- counters ---- */

/* Where one file tells it and the time used, that is read for both. */
static int throttled(struct ct *ct, uint64_t *nsec)
{
	struct cg_cpu_time t;

	if (!cg_is_v2(ct->e->cgroups, CG_CPU) || ct_cpu_time(ct, "cpu_throttled", &t, NULL) < 0 || !t.has_throttled)
		return cg_cpu_throttled(ct->e->cgroups, &ct->cg, nsec);
	*nsec = t.throttled;
	return 0;
}

int read_cpu_throttled(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	uint64_t nsec = 0;
	int r = no_index(key, err, "cpu_throttled");

	if (r < 0)
		return r;
	if (!ct_is_root(ct)) { /* the host has no quota that could be used up */
		r = throttled(ct, &nsec);
		if (r == -ENOENT)
			return err_set_no(err, ERR_NotSupported, ENODATA, "cpu_throttled: the container has no cpu cgroup of its own");
		if (r < 0)
			return err_sys(err, -r, "cpu_throttled");
	}
	text_addf(out, "%llu", (unsigned long long)nsec);
	return 0;
}

int read_cpu_vendor(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	(void)ct;
	(void)key;
	(void)out;
	return err_set(err, ERR_NotSupported, "only a kernel of the original's vendor counts it");
}

/* ---- what this host lacks ---- */

void features_cpu(struct cgroups *g, struct text *out)
{
	bool v2_psi = access("/proc/pressure/cpu", F_OK) == 0 && cg_is_v2(g, CG_TRACK);
	const char *psi = v2_psi ? "yes" : "missing: needs cgroup v2 and a kernel with PSI that is on (psi=1)";
	bool cpu = cg_available(g) & CG_BIT(CG_CPU), cpuset = cg_available(g) & CG_BIT(CG_CPUSET);

	text_addf(out, "cpu_limit: %s\n", cg_cpu_can_limit(g) ? "yes" : cpu ? "missing: the kernel has no quotas (CONFIG_CFS_BANDWIDTH)" :
										"missing: no cpu controller");
	text_addf(out, "cpu_guarantee: %s\n", cg_cpu_can_weigh(g) ? "yes, as a weight" :
					      cpu ? "missing: the kernel has no weights of groups (CONFIG_FAIR_GROUP_SCHED)" :
						    "missing: no cpu controller");
	text_addf(out, "cpu_policy: %s; nosmt and iso are not supported\n",
		  cpu_may_raise() ? "yes" : "normal, batch and idle: no CAP_SYS_NICE for high and rt");
	text_addf(out, "cpu_set: %s\n", cpuset ? "yes" : "missing: no cpuset controller");
	text_addf(out, "cpu_wait: %s\ncpu_pressure: %s\n", psi, psi);
	text_add(out, "cpu_burst_usage: missing: only a kernel of the original's vendor counts it\n"
		      "cpu_unconstrained_wait: missing: only a kernel of the original's vendor counts it\n");
}
