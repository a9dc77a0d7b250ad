/*
 * engine/cgroup.h: the kernel's control groups behind one face: v1, hybrid and pure v2. Nothing else in the engine
 * knows which. Plain values in, -errno out; logs nothing.
 *
 * At start each controller is given to the hierarchy that owns it (v1, or v2 where cgroup.controllers lists it).
 * A container's cgroup is a path relative to our root, "a/b" (an id is appended when a dying one still holds the name:
 * "a~17"), the same in every hierarchy in which the container has one; a level without a controller shares the nearest
 * ancestor's cgroup there. CG_TRACK is the hierarchy by which processes are found, killed and frozen: v2 if mounted
 * (even without controllers: cgroup.kill, cgroup.freeze), else the v1 freezer. Every container has one there.
 *
 * Where v2 owns a controller, processes of a container live in the child "+leaf" of its cgroup ("+" cannot be in a
 * container's name), because a v2 cgroup with controllers below must hold none itself. Processor time is always taken from v2
 * where there is one: each v2 cgroup counts it even when v1 has all controllers, so that there is no cpuacct cgroup to make.
 *
 * Costs (DESIGN 3): an attach of a foreign process to a v1 cgroup can wait for RCU; a task that writes "0" to a `tasks`
 * file does not. So a new process is cloned into its v2 cgroup (cg_clone_fd) and attaches itself to the v1 ones
 * (cg_tasks_fds).
 */
#ifndef ENGINE_CGROUP_H
#define ENGINE_CGROUP_H

#include <sys/types.h>

#include "base/cpus.h"
#include "base/defs.h"
#include "base/err.h"
#include "base/text.h"

enum cg_ctl { CG_TRACK, CG_CPU, CG_CPUACCT, CG_CPUSET, CG_MEMORY, CG_PIDS, CG_IO, CG_DEVICES, CG_HUGETLB, CG_SYSTEMD, CG_CTLS };
#define CG_BIT(c) (1u << (c))

struct cgroups;

/*
 * What is remembered of a container's cgroups: descriptors + 1 of its counter files, 0: not open; the quota's period as it was
 * last written or seen, microseconds, 0: not known. All 0 at first.
 */
struct cg_kept {
	int fd[16];
	unsigned period_usec;
};

/* A container's cgroups: embedded in its owner. own: bits of the controllers with a cgroup of its own (TRACK always). */
struct cg {
	char *path;      /* relative to our root, "" for the root itself; NULL: none */
	unsigned own;
	const struct cg *parent; /* NULL above the root */
	struct cg_kept *kept;    /* borrowed; NULL: its counters are read by path always */
};

/*
 * Finds the hierarchies in /proc/self/mountinfo (paths inside our mount and cgroup namespace), makes root in each, and
 * on v2 switches on the controllers for its children. use_v2 false leaves v2 hierarchies alone. Fails with a sentence
 * if nothing can track processes. A controller that is missing is only marked so.
 */
int cg_open(const char *root, bool use_v2, struct cgroups **ret, struct err *err);
void cg_close(struct cgroups *g);

/*
 * Gives uid:gid what the owner of a delegated subtree needs where processes of c live, in v2 and name=systemd: the directory and
 * the files by which processes are moved and controllers handed on; limits stay ours.
 */
int cg_delegate(struct cgroups *g, const struct cg *c, uid_t uid, gid_t gid);

/* Which controllers work here; a missing one's reason, as a sentence, never NULL ("no hierarchy has the blkio controller"). */
unsigned cg_available(const struct cgroups *g);
const char *cg_missing(const struct cgroups *g, enum cg_ctl c);
bool cg_is_v2(const struct cgroups *g, enum cg_ctl c);
const char *cg_name(enum cg_ctl c); /* "freezer", "cpu", ...: upstream's names (spec/PROPERTIES.md 4.2); TRACK: "freezer" */
enum cg_ctl cg_find(const char *name); /* CG_CTLS if none; "blkio" is CG_IO */

/*
 * mkdir in every hierarchy of c->own (parents exist). All or nothing. -EEXIST when a directory of that name is there.
 * Two controllers in one hierarchy (pure v2) are one directory.
 */
int cg_create(struct cgroups *g, const struct cg *c, struct err *err);

/*
 * Removes c and everything below it in every hierarchy (users may have made cgroups inside), deepest first.
 * -EBUSY while something lives there: call again later. A missing one is fine. Never waits.
 */
int cg_remove(struct cgroups *g, const struct cg *c);

/* For a new process: the v2 directory to clone into (O_PATH is not enough; caller closes), or -ENOENT where there is no v2. */
int cg_clone_fd(struct cgroups *g, const struct cg *c);
/* The same of where pid is now, somewhere below our root. */
int cg_clone_fd_of(struct cgroups *g, pid_t pid);
/*
 * Makes a cgroup that has been killed fit for cg_clone_fd again: Linux since 6.14 (and its stable branches) kills whatever is
 * cloned into a v2 cgroup after its cgroup.kill was used. To be called, when nothing lives in c itself, before a
 * process is started in a cgroup that was not made for it just now. Counters and limits stay. -EBUSY.
 */
int cg_renew(struct cgroups *g, const struct cg *c);
/* For a new process: `tasks` files of the v1 hierarchies it must join (own or nearest ancestor's), caller closes. Returns how many. */
int cg_tasks_fds(struct cgroups *g, const struct cg *c, int fds[CG_CTLS]);
/*
 * Moves an existing process (tgid) or, with thread, one thread into c, in every hierarchy, or in none. The thread stays
 * where it was for CG_TRACK: it is found and killed with its process. On pure v2 a thread is ERR_NotSupported.
 */
int cg_attach(struct cgroups *g, const struct cg *c, pid_t pid, bool thread, struct err *err);

/*
 * SIGKILL to everything in c and below, also what is being forked. v1 without v2: freeze, kill, thaw: call again until
 * cg_empty, because it does not wait for the freezing: after the first call processes may stand frozen.
 */
int cg_kill(struct cgroups *g, const struct cg *c);
/* One by one whoever is in c or below in any hierarchy: also those that have not joined it in all of them. */
void cg_kill_everywhere(struct cgroups *g, const struct cg *c);
/* No process in c and below. */
bool cg_empty(struct cgroups *g, const struct cg *c);
/* Asks for it; cg_frozen tells when it is so. */
int cg_freeze(struct cgroups *g, const struct cg *c, bool frozen);
bool cg_frozen(struct cgroups *g, const struct cg *c);

/* Calls fn for each process of c (and of everything below when deep); stops when fn returns other than 0, giving that. */
int cg_pids(struct cgroups *g, const struct cg *c, bool deep, int (*fn)(void *arg, pid_t pid), void *arg);
/*
 * The same for c and everything below, but each process is held by a pidfd (borrowed for the call) and was found here while
 * it was: so pid is its number for as long as it is not reaped, which proc_signal(pidfd, 0) tells.
 */
int cg_held(struct cgroups *g, const struct cg *c, int (*fn)(void *arg, pid_t pid, int pidfd), void *arg);
int cg_count(struct cgroups *g, const struct cg *c, bool threads, uint64_t *ret); /* processes, or threads, of the subtree */

/*
 * Which of our cgroups pid lives in: the path below our root without "+leaf", "" for the root; -ENOENT if outside, -ESRCH.
 * It may end in levels that a container's user has made: the container is the longest part that is known.
 */
int cg_of_pid(struct cgroups *g, pid_t pid, struct text *path);

/*
 * Knobs by their own name (memory.stat, cpu.shares, cgroup.procs), in the hierarchy their prefix names, of c or the cgroup
 * that it shares; what only v2 has (memory.pressure) from there. -ENOENT, -EINVAL
 */
int cg_knob_open(struct cgroups *g, const struct cg *c, const char *file, int flags); /* the caller closes it */
int cg_knob(struct cgroups *g, const struct cg *c, const char *file, struct text *out);
/* The absolute directory of c (or its nearest ancestor with one) for controller ctl, for `cgroups`. -ENOENT if no such controller */
int cg_dir(struct cgroups *g, const struct cg *c, enum cg_ctl ctl, struct text *out);

/*
 * ---- limits and counters, in plain units; -EOPNOTSUPP when the controller is missing, -EBUSY/-EINVAL as the kernel says ----
 * Limits and cg_oom_kills want a cgroup of c's own (-ENOENT), usage is that of the nearest one. Memory: cgroup_memory.h.
 */

/*
 * 0: no limit. The kernel takes periods of 1 ms to 1 s and quotas from 1 ms: for a limit that is less than 1 ms a period, the
 * period becomes longer; below a thousandth of a processor it gets that.
 */
int cg_set_cpu_max(struct cgroups *g, const struct cg *c, uint64_t nsec_per_sec, uint64_t period_nsec);
/*
 * spec/PROPERTIES.md 8.1: what so many nanoseconds a second weigh (v1 1024 a core, v2 100), at least the kernel's minimum,
 * times factor; 0 gives that minimum. Also for a cgroup that is only there for its children's sake; -ENOENT: none.
 */
int cg_set_cpu_weight(struct cgroups *g, const struct cg *c, uint64_t cores_nsec, double factor);
bool cg_cpu_can_limit(struct cgroups *g); /* the kernel has quotas (CONFIG_CFS_BANDWIDTH), weights */
bool cg_cpu_can_weigh(struct cgroups *g);
int cg_cpu_throttled(struct cgroups *g, const struct cg *c, uint64_t *nsec); /* of c's own cgroup */
/* Nanoseconds. On v2 one file tells all three; else, or where c has no quota, has_throttled is false: cg_cpu_throttled. */
struct cg_cpu_time {
	uint64_t used, system, throttled;
	bool has_throttled;
};
/*
 * The processors written for c (empty on v2: the parent's); those that c, or the nearest cgroup up, really has; a new list for c:
 * on v1 it must be within the parent's and hold the children's (-EACCES, -EBUSY), an empty one is for v2 only. The first
 * and the last also for a cgroup that is only there for its children's sake; -ENOENT: none.
 */
int cg_cpus(struct cgroups *g, const struct cg *c, struct cpus *ret);
int cg_cpus_effective(struct cgroups *g, const struct cg *c, struct cpus *ret);
int cg_set_cpus(struct cgroups *g, const struct cg *c, const struct cpus *cpus);
/*
 * Microseconds in which some, or all, tasks of c and below waited for what file ("cpu.pressure") tells of; c NULL: of the
 * host. -EOPNOTSUPP without PSI or v2.
 */
int cg_pressure(struct cgroups *g, const struct cg *c, const char *file, uint64_t *some_usec, uint64_t *full_usec);
int cg_set_pids_max(struct cgroups *g, const struct cg *c, uint64_t n);       /* 0: no limit */
int cg_cpu_usage(struct cgroups *g, const struct cg *c, struct cg_cpu_time *ret);
int cg_memory_usage(struct cgroups *g, const struct cg *c, uint64_t *bytes);
int cg_oom_kills(struct cgroups *g, const struct cg *c, uint64_t *ret);       /* of this cgroup and, on v2, its leaf */

/*
 * While on, the files of counters that are read stay open in c->kept, so that the next time one system call reads each;
 * as long as descriptors last. For readers that ask for the same of many containers again and again.
 */
void cg_keep(struct cgroups *g, bool on);
/* Closes what is kept: when the cgroup goes. */
void cg_let_go(struct cgroups *g, const struct cg *c);

/*
 * Removes (killing what is inside) every cgroup below our root whose container keep() does not claim.
 * path is relative to our root; called for each directory that could be a container's, not for those that the users of claimed
 * ones have made. Returns how many could not be removed yet: call again, what was killed needs its time.
 */
int cg_sweep(struct cgroups *g, bool (*keep)(void *arg, const char *path), void *arg);
/* Removes our root directories when nothing is left in them (daemon ends for good). */
int cg_remove_root(struct cgroups *g);
/* The same, of those alone that cg_open has made: of a daemon that may run nothing is taken. */
void cg_remove_new(struct cgroups *g);

/* One line a controller for .porto/features: "cpu: v1 /sys/fs/cgroup/cpu" or "io: missing: reason". */
void cg_describe(const struct cgroups *g, struct text *out);

#endif
