/*
 * engine/cpu_jail.h: which processors jails get (spec/PROPERTIES.md 8.2). Pure: the host is told, nothing is read.
 */
#ifndef ENGINE_CPU_JAIL_H
#define ENGINE_CPU_JAIL_H

#include "base/cpus.h"

/* By processor: its memory node; its core, the same number for the threads of one; how many jails are on it (worked out here). */
struct cpu_host {
	unsigned node[CPUS_MAX], core[CPUS_MAX], jails[CPUS_MAX];
};

struct cpu_jail {
	unsigned size;       /* how many processors it wants */
	struct cpus allowed; /* of these */
	struct cpus now;     /* those that it has; kept if they still are what it wants */
	struct cpus want;    /* the result; fewer than size only if allowed has no more */
};

/*
 * A jail that is right as it is stays; a new one gets the processors with the fewest jails, of those the ones on the least used
 * node, of those one that shares a core with a processor it has already. Then one processor after the other moves from
 * where it is crowded to where there are at least two jails fewer, so that nothing goes back and forth.
 */
void cpu_jails_choose(struct cpu_host *host, struct cpu_jail *jails, size_t n);

#endif
