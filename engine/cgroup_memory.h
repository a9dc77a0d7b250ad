/*
 * engine/cgroup_memory.h: memory and huge pages of a container's cgroup; the manner is that of cgroup.h. Plain values in,
 * -errno out: -EOPNOTSUPP when the controller or the kernel's file is missing. Limits, guarantees and the OOM counters want a
 * cgroup of c's own (-ENOENT), usage is that of the nearest one.
 */
#ifndef ENGINE_CGROUP_MEMORY_H
#define ENGINE_CGROUP_MEMORY_H

#include "engine/cgroup.h"

/* What one read of memory.stat tells, with everything below: bytes, or counts of page faults. */
struct memory_stat {
	uint64_t anon, cache, shmem, mlock, reclaimed, minor_faults, major_faults;
};

/* Pure. Keys that the text lacks are 0. page: bytes of a page. */
void memory_stat_parse(const char *text, bool v2, uint64_t page, struct memory_stat *ret);
int cg_memory_stat(struct cgroups *g, const struct cg *c, struct memory_stat *ret);

/* Which of these the kernel has here. The word of each is that of its property. */
enum memory_can {
	MEMORY_CAN_GUARANTEE,  /* protect from reclaim: v2 */
	MEMORY_CAN_HIGH,       /* reclaim before the limit: v2 */
	MEMORY_CAN_PEAK,       /* v1; v2 since 5.19 */
	MEMORY_CAN_PRESSURIZE, /* v1: soft limit; v2: reclaim on demand, since 5.19 */
	MEMORY_CAN_PRESSURE,   /* stall times: v2 with PSI, whoever owns the controller */
	MEMORY_CANS,
};
bool cg_memory_can(const struct cgroups *g, enum memory_can what);

/*
 * The most that c and all below it may use, 0: no limit; swap can't be used to escape. -EBUSY when more is in use and can't be
 * given back: then nothing has changed. May take as long as the kernel needs to write back or drop what is above.
 */
int cg_set_memory_max(struct cgroups *g, const struct cg *c, uint64_t bytes);
/* Above it the kernel reclaims early and slows who allocates. 0: none. */
int cg_set_memory_high(struct cgroups *g, const struct cg *c, uint64_t bytes);
/* So much of c and what is below, and own_bytes of its own tasks, is not reclaimed while others have something. 0: nothing. */
int cg_set_memory_low(struct cgroups *g, const struct cg *c, uint64_t bytes, uint64_t own_bytes);

int cg_memory_peak(struct cgroups *g, const struct cg *c, uint64_t *bytes);
/* v1 alone: v2 forgets the peak for one descriptor only, which would not outlive the worker. */
int cg_memory_peak_reset(struct cgroups *g, const struct cg *c);

/*
 * on: what is in c shall be the first to go. v1: a soft limit of bytes, until off. v2 has nothing like it that would not hit
 * whoever runs there: *reclaim_fd is a descriptor of memory.reclaim, to be given to cg_memory_reclaim by a thread that may wait
 * (else -1).
 */
int cg_memory_pressurize(struct cgroups *g, const struct cg *c, uint64_t bytes, bool on, int *reclaim_fd);
/* Asks the kernel to take all back; what is dirty or in use stays. Closes fd. */
void cg_memory_reclaim(int fd);

/* How often the limit of c itself was hit for good; v2 alone: v1 has no such counter (failcnt stays 0 on some kernels). */
int cg_oom_hits(struct cgroups *g, const struct cg *c, uint64_t *ret);
/*
 * A descriptor that becomes ready (for the events in *events) when the limit of c may have been hit; the caller watches and
 * closes it. On v1 it also becomes ready for each ancestor's.
 */
int cg_oom_watch(struct cgroups *g, const struct cg *c, uint32_t *events);
/* Takes what made it ready; to be called before looking at the counters. True if there was something (v2: always). */
bool cg_oom_taken(struct cgroups *g, int fd);

/* Huge pages of 2M. Setting also forbids those of 1G (0 lifts both). -EBUSY: more is in use. */
int cg_set_hugetlb_max(struct cgroups *g, const struct cg *c, uint64_t bytes);
int cg_hugetlb_usage(struct cgroups *g, const struct cg *c, uint64_t *bytes);

#endif
