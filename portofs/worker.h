/* portofs/worker.h: the process that serves: engine and FUSE session on one loop. */
#ifndef PORTOFS_WORKER_H
#define PORTOFS_WORKER_H

#include "engine/config.h"

#define WORKER_EXIT_UNMOUNTED 42
#define WORKER_EXIT_FAILED 43 /* shm->failure says why */

/* What the supervisor hands over, and what an orphaned worker is asked for. */
struct handover {
	int fuse, mem, notes;
};

/* Serves until SIGTERM or the end of the mount; the exit code. */
int worker_main(struct config *conf, const struct handover *h);

/* <state_dir>/worker.pid: "PID START FUSE MEM NOTES". -ENOENT, or -ESRCH when that process is gone. */
int worker_find(const struct config *conf, struct handover *fds, int *pidfd);

#endif
