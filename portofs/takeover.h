/*
 * portofs/takeover.h: one supervisor at a time, and how it comes by a session that is older than itself.
 *
 * <state_dir>/portod.pid is locked by the living supervisor ("PID START SINCE", SINCE in epoch seconds); worker.pid names
 * the worker and its descriptors; portod.conf is the configuration in force: a worker reads that, so that a bad edit of
 * the real one can't keep a dead worker from being replaced.
 */
#ifndef PORTOFS_TAKEOVER_H
#define PORTOFS_TAKEOVER_H

#include "base/err.h"
#include "engine/config.h"
#include "portofs/shm.h"
#include "portofs/worker.h"

struct pid_info {
	int pid;
	uint64_t start, since;
};

/* How the sentence of takeover_lock begins when another supervisor has it. */
#define TAKEOVER_HELD "portod is running already with "

/* Makes the state directory and takes the lock; its descriptor. Busy when somebody has it. */
int takeover_lock(const struct config *conf, struct err *err);

/* Who holds the lock: pid > 0, or 0 when nobody does. -errno. */
int takeover_holder(const struct config *conf, struct pid_info *ret);

/* Writes portod.conf. Caller frees *path. */
int takeover_write_config(const struct config *conf, char **path, struct err *err);

/*
 * A session that is served by a worker without a supervisor, or kept by systemd: its descriptors and memory, its worker
 * ended. -ENOENT when there is none that can be taken.
 */
int takeover_session(const struct config *conf, struct handover *h, struct shm **shm);

/* The worker's end: SIGTERM, and SIGKILL if it takes longer than 2 s. */
void takeover_end_worker(int pidfd);

/* portod.pid, worker.pid, portod.conf: at the end. */
void takeover_remove_files(const struct config *conf);

#endif
