/* base/node.h: device nodes in a directory that somebody else may be playing with at the same time. */
#ifndef BASE_NODE_H
#define BASE_NODE_H

#include <sys/types.h>

#include "base/defs.h"

struct node {
	bool block;
	unsigned major, minor;
	mode_t mode;
	uid_t uid;
	gid_t gid;
};

/*
 * Makes path (relative to dir, with the directories it lacks) that device, replacing what is there unless that is a directory.
 * Neither links nor mounts below dir are followed. -errno; -EPERM when this process may not make nodes.
 */
int node_make(int dir, const char *path, const struct node *n);
/* Takes it away if it is that device. */
int node_remove(int dir, const char *path, const struct node *n);

#endif
