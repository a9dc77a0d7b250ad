/*
 * engine/cgroup_priv.h: what the cgroup_*.c files share; nobody else includes it.
 *
 * cgroup_find.c  finds and prepares the hierarchies        cgroup_walk.c  subtrees: removing, listing, sweeping
 * cgroup.c       one container: create, join, limits       cgroup_v1.c, cgroup_v2.c  what differs, behind struct cg_driver
 * cgroup_count.c one container: counters                  cgroup_where.c  the container of a process
 * cgroup_cpu.c   its processor time and processors, pressure
 * cgroup_memory.c  memory and huge pages, v1 and v2     cgroup_devices.c  devices: BPF programs, v1 lists
 *
 * Only the directory of our root is kept open in each hierarchy; everything else is reached from it by path. All of
 * struct cgroups but root_on and what stands behind it is constant once it is open.
 */
#ifndef ENGINE_CGROUP_PRIV_H
#define ENGINE_CGROUP_PRIV_H

#include <fcntl.h>
#include <limits.h>

#include "base/fd.h"
#include "base/path.h"
#include "engine/cgroup.h"

/* Where the processes of a v2 cgroup with controllers live; and where those of the daemon's own unit are put. */
#define CG_LEAF "+leaf"
#define CG_DAEMON "+daemon"

/*
 * The sticky bit marks the directories that are ours. It costs nothing, and tells a nested container's cgroup, which
 * the sweep may remove, from one that a container's user has made, which it may not.
 */
#define CG_DIR_MODE 01755

#define CG_OUTSIDE 16

#define CG_OPEN_DIR (O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)

struct hier {
	const struct cg_driver *drv;
	int fd;        /* our root */
	unsigned ctls; /* bits of what we use it for */
	bool is_new;   /* our root was not there before cg_open */
	char *mount;   /* mount point */
	char *inside;  /* what is mounted there, as /proc/PID/cgroup names it; "" for the whole hierarchy */
};

struct cgroups {
	struct hier h[CG_CTLS]; /* h[0] serves CG_TRACK */
	unsigned n;
	signed char of[CG_CTLS]; /* index in h, -1: missing */
	char *why[CG_CTLS];      /* why it is missing */
	char *root;              /* "porto", "system.slice/portod.service/porto" */
	unsigned v2_own;         /* controllers of v2: must be enabled from parent to child */
	unsigned root_on;        /* those that are enabled for the children of our root */
	bool keep;               /* cg_keep */
	unsigned kept, kept_max; /* descriptors kept open, and how many may be */
	uint64_t outside[CG_OUTSIDE]; /* ids of v2 cgroups that are none of ours */
	unsigned outside_next;
	bool *memory_can;        /* what was seen to be there, by enum memory_can: it stays */
	signed char can_limit, can_weigh; /* what the kernel can for CG_CPU: 1 or -1, 0 not looked yet */
};

/* The counter files of a container, and their places in struct cg_kept. */
enum cg_file {
	CG_FILE_CPU,
	CG_FILE_SYSTEM,
	CG_FILE_THROTTLED,
	CG_FILE_CPU_PRESSURE,
	CG_FILE_MEMORY,
	CG_FILE_MEMORY_STAT,
	CG_FILE_MEMORY_PEAK,
	CG_FILE_OOM,
	CG_FILE_LEAF_OOM,
	CG_FILE_THREADS,
	CG_FILE_DIR,
	CG_FILE_PROCS,
	CG_FILE_LEAF_DIR,
	CG_FILE_LEAF_PROCS,
	CG_FILE_IO,
	CG_FILE_HUGETLB,
	CG_FILES,
};
_Static_assert(CG_FILES == ARRAY_LEN(((struct cg_kept *)0)->fd), "a place for each");

/* dir is a path below our root, "" the root itself. -errno, as the calls of cgroup.h that use them. */
struct cg_driver {
	bool v2;
	const char *threads;        /* file that lists threads */
	const char *memory_current; /* file with the charged bytes */
	int (*freeze)(const struct hier *h, const char *dir, bool frozen);
	bool (*frozen)(const struct hier *h, const char *dir);
	int (*kill)(const struct hier *h, const char *dir);
	bool (*empty)(const struct hier *h, const char *dir);
	const struct cg_cpu *cpu;   /* cgroup_cpu.c */
	/* c: whose own cgroup it is */
	int (*cpu_usage)(struct cgroups *g, const struct hier *h, const struct cg *c, struct cg_cpu_time *ret);
	int (*oom_kills)(struct cgroups *g, const struct hier *h, const struct cg *c, uint64_t *ret);
};

extern const struct cg_driver cg_driver_v1, cg_driver_v2;
extern const struct cg_cpu cg_cpu_v1, cg_cpu_v2;

/* Does the container keep its processes in CG_LEAF? Depends on c->own and the host only, so it needs no look at the disk. */
bool cg_has_leaf(const struct cgroups *g, const struct cg *c);

/* dir/file, dir, file or "." in out. -ENAMETOOLONG. */
int cg_path(char out[PATH_MAX], const char *dir, const char *file);

/* A decimal number and perhaps a line's end. */
int cg_parse_u64(const char *s, uint64_t *ret);

/* One small file of a cgroup. */
int cg_write(const struct hier *h, const char *dir, const char *file, const char *text);
int cg_write_u64(const struct hier *h, const char *dir, const char *file, uint64_t v);
ssize_t cg_read(const struct hier *h, const char *dir, const char *file, char *buf, size_t size);
int cg_read_u64(const struct hier *h, const char *dir, const char *file, uint64_t *ret);
/* The nearest of c and its ancestors that has a cgroup of its own for one of ctls; NULL if none. */
const struct cg *cg_owner(const struct cg *c, unsigned ctls);

/* A counter file of c's own cgroup as cg_read, by its kept descriptor if it has one; name may be in the leaf ("+leaf/...") */
ssize_t cg_read_counter(struct cgroups *g, const struct hier *h, const struct cg *c, enum cg_file which, const char *name,
			char *buf, size_t size);
int cg_read_counter_u64(struct cgroups *g, const struct hier *h, const struct cg *c, enum cg_file which, const char *name,
			uint64_t *ret);

/* The number after "key " at the start of a line: -ENOENT if there is none. */
int cg_find_key(const char *text, const char *key, uint64_t *ret);
int cg_read_key(const struct hier *h, const char *dir, const char *file, const char *key, uint64_t *ret);

/* Bits of the controllers named in list, whatever separates them. */
unsigned cg_parse_list(const char *list);

/* The cgroup of pid in h as /proc/PID/cgroup has it. */
int cg_pid_raw(const struct hier *h, pid_t pid, struct text *path);

/* v1 only: a new cpuset can hold no process until it has processors and memory nodes: those of its parent. */
int cg_cpuset_inherit(int at, const char *dir);
/* v2 only: lets the children of at/dir have these controllers. */
int cg_v2_enable(int at, const char *dir, unsigned ctls);

/*
 * Visits at/path and everything below: enter with each directory, a parent before its children; leave (may be NULL) with a
 * parent and the name of a child that was visited. A result other than 0 ends the walk and is returned. A directory that
 * vanishes is skipped. Uses two descriptors however deep it is.
 */
struct cg_visit {
	int (*enter)(void *arg, int dirfd);
	int (*leave)(void *arg, int parent, const char *name);
	void *arg;
};
int cg_walk(int at, const char *path, const struct cg_visit *v);

/* Calls fn for each number in a file such as cgroup.procs; stops when fn returns other than 0. */
int cg_ids(int dirfd, const char *file, int (*fn)(void *arg, pid_t id), void *arg);
/* The same for the file in dir and in everything below. */
int cg_ids_below(const struct hier *h, const char *dir, const char *file, int (*fn)(void *arg, pid_t id), void *arg);
/* SIGKILL to each process found in dir and below. Never by a bare pid. */
int cg_kill_by_pid(const struct hier *h, const char *dir);
/* rmdir of dir and everything below. 0 also when it was not there. */
int cg_remove_dir(const struct hier *h, const char *dir);

#endif
