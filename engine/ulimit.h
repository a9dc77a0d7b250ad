/*
 * engine/ulimit.h: resource limits of processes: which are in force for a container (spec/PROPERTIES.md 3.2), and their
 * change while it runs.
 *
 * What somebody has asked for (`ulimit` of the container or of one above) is explicit: it is set exactly or refused with
 * the reason. All else is a default: as near to it as the host lets us.
 */
#ifndef ENGINE_ULIMIT_H
#define ENGINE_ULIMIT_H

#include <sys/resource.h>

#include "engine/ct.h"

enum limit_from { LIMIT_UNSET, LIMIT_DEFAULT, LIMIT_EXPLICIT };

struct limits {
	struct {
		enum limit_from from;
		uint64_t soft, hard; /* RLIM_INFINITY: none */
	} of[RLIM_NLIMITS];
};

/* Those of a new process of ct if its `ulimit` were own (NULL: as it is). 0 or -ENOMEM. */
int ulimit_effective(const struct ct *ct, const struct pairs *own, struct limits *ret);

/* The default of nproc, which the root has and all others inherit. */
uint64_t ulimit_nproc(void);

/* The daemon itself may open all that its hard limit allows; what it was given stays the default of commands. */
void ulimit_raise_files(struct engine *e);

/* A new life begins: its processes get their limits at birth. */
void ulimit_reborn(struct ct *ct);

#endif
