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

/* The same as the leader of a process group of its own, for spawn_wait. */
int spawn_leader(const char *const argv[], const struct spawn_fd *fds, size_t n, pid_t *pid);

/* How long a program is waited for, and what it says meanwhile. */
struct spawn_wait {
	int cancel_fd;     /* readable: no longer; -1: none */
	uint64_t deadline; /* of clock_mono() */
	int out_fd;        /* what comes here is read, the first bytes are kept in said, a string; -1: none */
	char *said;
	size_t size;
};

/*
 * The end of a program of spawn_leader: 0 and its wait status. -ECANCELED, -ETIMEDOUT: it was killed with all of its group. What it has
 * left in the background, with out_fd open, is not waited for.
 */
int spawn_wait(pid_t pid, const struct spawn_wait *how, int *status);

#endif
