/*
 * portofs/super.h: the supervisor: mounts, holds /dev/fuse, keeps a worker running, reaps and notes exit statuses. It
 * parses nothing from users, and allocates nothing once it serves.
 */
#ifndef PORTOFS_SUPER_H
#define PORTOFS_SUPER_H

#include "engine/config.h"

/*
 * Serves until SIGTERM; the exit code. again is what it is re-executed with at SIGHUP: program and options. ready_fd (-1:
 * none) gets "ok" once a worker serves, or the reason why none can.
 */
int super_main(struct config *conf, char **again, int ready_fd);

/* The re-executed supervisor: args are what super_main handed to the command `resume`. */
int super_resume(struct config *conf, char **again, char **args);

/* The configuration that the supervisor before used, among resume's args; NULL if they are not that. */
const char *super_resume_config(char **args);

#endif
