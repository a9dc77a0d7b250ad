/*
 * base/mounts.h: which file systems answer by themselves. One that asks a server, in user space (FUSE) or over a network, may
 * never answer, and whoever touches a file there may wait unkillably; so may whoever only closes one, because a close flushes.
 * What is asked here is asked of mountinfo alone, never of the file system.
 */
#ifndef BASE_MOUNTS_H
#define BASE_MOUNTS_H

#include <sys/types.h>

#include "base/defs.h"

#define MOUNT_TYPE_MAX 64

/*
 * May looking up this absolute path make one wait? 0: no. -EREMOTE: yes, *type is why. -EINVAL: not an absolute path without
 * "." and "..". -errno if mountinfo can't be read. Symbolic links are for the caller to forbid.
 */
int mounts_path_answers(const char *path, char type[MOUNT_TYPE_MAX]);

/* Calls fn with the mount point of each of our mounts, in the order in which they were made, until it returns true. 0 or -errno. */
int mounts_each(bool (*fn)(void *arg, const char *point), void *arg);

/* Blanks and backslashes of mountinfo's fields, which stand there as \040 and the like, in place. */
void mounts_unescape(char *s);

/*
 * May using this descriptor, a copy of one of process pid, make one wait? 0 and -EREMOTE as above; the process's own mounts and
 * ours are looked at, and a file whose mount stands in neither counts as one that may.
 */
int mounts_fd_answers(int fd, pid_t pid, char type[MOUNT_TYPE_MAX]);

#endif
