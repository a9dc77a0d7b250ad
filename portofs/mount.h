/* portofs/mount.h: the mount itself. Nothing here asks the tree anything, for whoever would answer may be the caller. */
#ifndef PORTOFS_MOUNT_H
#define PORTOFS_MOUNT_H

#include "base/defs.h"
#include "base/err.h"

/*
 * Opens /dev/fuse and mounts it on dir, which is made if it is missing (*made). Dead mounts that lie there are taken away;
 * a living portod's is Busy. The descriptor or -errno.
 */
int tree_mount(const char *dir, bool *made, struct err *err);

/* Detaches it, and removes the directory if it was made. */
int tree_unmount(const char *dir, bool made);

/* Nobody serves what is mounted there: its connection was aborted, or all that held it are gone. */
bool tree_is_dead(const char *dir);

#endif
