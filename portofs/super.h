/*
 * portofs/super.h: the supervisor: mounts, holds /dev/fuse, keeps a worker running, reaps and notes exit statuses. It
 * parses nothing from users and allocates nothing once it serves.
 */
#ifndef PORTOFS_SUPER_H
#define PORTOFS_SUPER_H

#include "engine/config.h"

/*
 * Serves until SIGTERM; the exit code. argv is what a worker or a re-executed supervisor is started with again. ready_fd
 * (-1: none) gets "ok" once the tree answers, or the reason why it can't. conf has been loaded.
 */
int super_main(struct config *conf, char **argv, int ready_fd);

/* The pid of the running supervisor by its lock, 0 if none. -errno. */
int super_running(const struct config *conf);

#endif
