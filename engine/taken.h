/*
 * engine/taken.h: descriptors taken from clients, /dev/fd/N of whoever wrote that. The daemon keeps them until the container has
 * died, and so may be the last who closes them; what a close or a look may wait for is a client's to choose, and never the loop's.
 */
#ifndef ENGINE_TAKEN_H
#define ENGINE_TAKEN_H

#include <sys/types.h>

#include "base/err.h"
#include "engine/engine.h"

/*
 * Is this, a descriptor of process pid, of a kind that is kept: a file on a file system that answers by itself, a pipe, a
 * terminal, a Unix socket? EOPNOTSUPP with the reason. name: of the property.
 */
int taken_check(int fd, pid_t pid, const char *name, struct err *err);

/* Which file it is, without asking a file system that may not answer. -errno */
int taken_identity(int fd, uint64_t *dev, uint64_t *ino);

/* Closes it, at once if that can't take long, else in the background. -1: nothing. */
void taken_close(struct engine *e, int fd);

#endif
