/*
 * engine/inside.h: the tree at /porto in containers that have a root of their own. What is mounted there is decided at the start
 * (access_to_mount): all of it, or one container's directory. A mount belongs to the daemon's session with the kernel; when that is
 * over (stop and start), a new one is laid over the old in all containers that still run.
 */
#ifndef ENGINE_INSIDE_H
#define ENGINE_INSIDE_H

#include "engine/ct.h"

/*
 * Decides, and opens a copy of the mount for porto-init to put in its place; *sub is the directory in it, "" for all. -ENOENT: nothing
 * is to be mounted. The kernel is asked for a mount here, never the tree for a name: that would be ourselves.
 */
int inside_open(struct ct *ct, const char **sub);

/* After the restart of all, once the mount is new: in every container that had the old one. */
void inside_again(struct engine *e);

#endif
