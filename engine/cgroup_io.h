/*
 * engine/cgroup_io.h: block devices in cgroups: limits, weights, counters, stalls. As engine/cgroup.h: plain values in,
 * -errno out, -EOPNOTSUPP when the controller or the file is missing, -ENOENT when c has no cgroup of its own for it.
 */
#ifndef ENGINE_CGROUP_IO_H
#define ENGINE_CGROUP_IO_H

#include "engine/cgroup.h"

enum cg_io_rate { CG_IO_BYTES, CG_IO_OPS }; /* a second */

struct cg_io_limit {
	unsigned major, minor;
	uint64_t read, write; /* 0: no limit */
};

/*
 * These limits, and none on any other disk: what was limited before and isn't listed is let go. The old limits of the listed
 * disks stay on a failure before their turn: apply the old list again to undo. -ENODEV: no such disk.
 */
int cg_io_set_max(struct cgroups *g, const struct cg *c, enum cg_io_rate rate, const struct cg_io_limit *limits, size_t n);

/* What each interface wants; a file that is not there is passed over, no file at all is -EOPNOTSUPP. */
struct cg_io_weight {
	unsigned share; /* io.weight (v2, iocost): 1..10000, 100 is usual */
	unsigned bfq;   /* [blk]io.bfq.weight: 1..1000, 100 is usual */
	unsigned cfq;   /* blkio.weight (v1, kernels before 5.0): 10..1000, 500 is usual */
};
int cg_io_set_weight(struct cgroups *g, const struct cg *c, const struct cg_io_weight *w);

struct cg_io_count {
	unsigned major, minor;
	uint64_t read_bytes, write_bytes, read_ops, write_ops;
	uint64_t nsec; /* of service, where the kernel counts it */
};
struct cg_io_counts {
	struct cg_io_count *disk; /* owned: free(3) */
	size_t n;
	bool has_time;
};
/* Of c's own cgroup and all below it. Appends to *ret, also before a failure. */
int cg_io_count(struct cgroups *g, const struct cg *c, struct cg_io_counts *ret);
/* The line of a disk, added when there is none; NULL: no memory. */
struct cg_io_count *cg_io_disk(struct cg_io_counts *all, unsigned major, unsigned minor);

/* NULL: this kernel can; else why not, the end of a sentence. The weight's answer is about files, not about schedulers. */
enum cg_io_feature { CG_IO_LIMITS, CG_IO_WEIGHTS, CG_IO_TIME, CG_IO_BUFFERED, CG_IO_NESTED };
const char *cg_io_lacks(const struct cgroups *g, enum cg_io_feature f);

/* Some disk is weighed by the iocost controller, whatever its scheduler (v2; the host's io.cost.qos). */
bool cg_io_cost(const struct cgroups *g);

#endif
