/*
 * layerstore/store/cage.h: what a child may still do. It becomes root without rights, in a root directory that is the
 * tree, with the capabilities its work needs and the system calls of a list; anything else kills it.
 */
#ifndef LAYERSTORE_STORE_CAGE_H
#define LAYERSTORE_STORE_CAGE_H

#include <sys/types.h>

#include "base/err.h"

struct cage {
	int root;              /* directory */
	uint64_t caps;         /* bits CAP_BIT(CAP_CHOWN) ... */
	bool reads_tree;       /* also the calls that list attributes and read links */
	bool threads;          /* threads may be made after cage_lock */
	uint64_t memory_bytes; /* address space; 0: as much as there is */
};

#define CAP_BIT(cap) (1ull << (cap))

/* In the child, while it has one thread: everything but the system calls. Dies with the parent from here on. */
int cage_enter(const struct cage *c, pid_t parent, struct err *err);
/* The system calls, for all threads. */
int cage_lock(const struct cage *c, struct err *err);

/* For a program that filters an archive: nobody, without capabilities, network, or more than its descriptors 0, 1
 * and 2. */
int cage_filter(pid_t parent, struct err *err);

#endif
