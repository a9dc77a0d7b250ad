/*
 * engine/cpu.h: what the processor properties of a container and of those around it come to (spec/PROPERTIES.md 8, the
 * quickstart), and when that has to be worked out again. apply_cpu.c: limit, guarantee, weight; cpu_sched.c: policy;
 * cpu_set.c and cpu_jail.c: cpu_set.
 */
#ifndef ENGINE_CPU_H
#define ENGINE_CPU_H

#include "engine/ct.h"

#define CPU_HOST_NSEC (types_host_cores * UINT64_C(1000000000))

/* All in nanoseconds of processor a second. */
uint64_t cpu_limit_bound(const struct ct *ct);     /* the smallest limit from here up; the host's last */
uint64_t cpu_limit_total(const struct ct *ct);     /* the most that it and those below it can use now */
uint64_t cpu_guarantee_total(const struct ct *ct); /* max(own, sum of the totals of running children) */
uint64_t cpu_guarantee_bound(const struct ct *ct); /* the smallest guarantee set above it; the host's last */

/* Those that it has set, or else the nearest container up that has. */
uint64_t cpu_period_of(const struct ct *ct);
enum cpu_policy cpu_policy_of(const struct ct *ct);

/* How its tasks are scheduled: SCHED_OTHER, SCHED_BATCH or SCHED_IDLE, and the nice value. */
struct cpu_sched {
	int policy, nice;
};
struct cpu_sched cpu_sched_of(const struct ct *ct);
bool cpu_may_raise(void); /* CAP_SYS_NICE */

/* The same for all tasks of ct and below, each as its own container says. 0 or -errno. */
int cpu_sched_push(struct ct *ct);
/* The weights of ct and of everything above it. 0 or -errno. */
int cpu_weight_push(struct ct *ct);

/* A container has begun or ceased to run, or goes: guarantees above it change. */
void cpu_running_changed(struct ct *parent);

/* After a restart of the daemon: jails go on being balanced. */
void cpu_set_resume(struct engine *e);

/* Lines of .porto/features. */
void features_cpu(struct cgroups *g, struct text *out);

#endif
