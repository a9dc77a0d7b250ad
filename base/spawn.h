/*
 * base/spawn.h: programs of ours and of the system started from any thread, without a copy of our memory (posix_spawn).
 * They get a clean environment (PATH, LC_ALL=C), no blocked or ignored signal, and of our descriptors those alone that are named.
 */
#ifndef BASE_SPAWN_H
#define BASE_SPAWN_H

#include <sys/types.h>

#include "base/defs.h"

#define SPAWN_FDS_MAX 12

/* Descriptor fd becomes number `at` there; fd stays the caller's. Numbers below 3 that are not named are /dev/null, 2 is ours. */
struct spawn_fd {
	int fd, at;
};

/* argv[0] without a slash is looked up in PATH. A child to be waited for. 0 or -errno: -ENOENT, there is no such program. */
int spawn_program(const char *const argv[], const struct spawn_fd *fds, size_t n, pid_t *pid);

#endif
