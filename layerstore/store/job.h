/*
 * layerstore/store/job.h: the process that the worker started. It reads no hostile byte itself: that does a child in a
 * cage, whose only ways out are a page of numbers and one sentence, and a socket through which it may have a directory
 * of its tree marked opaque (the attribute is trusted.*, for which the child would need CAP_SYS_ADMIN).
 *
 * The job writes the status page, stops on SIGTERM (SIGINT, SIGHUP), and is followed into death by its children. What
 * was begun on disk is removed by whoever called job_run.
 */
#ifndef LAYERSTORE_STORE_JOB_H
#define LAYERSTORE_STORE_JOB_H

#include <stdatomic.h>
#include <sys/types.h>

#include "base/err.h"
#include "layerstore/ring.h"
#include "layerstore/store/cage.h"
#include "layerstore/store/sum.h"

enum { FD_IN = 0, FD_OUT = 1, FD_STATUS = 3, FD_PLACE = 4, FD_FROM = 5, FD_INTO = 6, FD_FIRST_FREE = 7 };

/* Written by the child, read with doubt. */
struct job_shared {
	_Atomic uint64_t bytes;    /* of the archive */
	_Atomic uint64_t unpacked; /* of the tree */
	int result;
	char md5[33];     /* of an archive, if it was asked for */
	struct sums sums; /* likewise */
	struct err err;
};

struct job {
	struct job_shared *sh;
	uint64_t total;    /* 0: unknown */
	struct ring *ring; /* or NULL */
	int signals;       /* signalfd */
	int ask;           /* in a child: its end of the socket */
};

struct job_work {
	struct cage cage;
	int (*fn)(struct job *j, void *arg,
		  struct err *err); /* in the child; calls cage_lock before the first hostile byte */
	void *arg;
	bool alone;  /* of the descriptors it keeps 0 to 2, the cage's root and these */
	int keep[2]; /* 0: none */
};

/* Called ten times a second while something is waited for, before the page is written. NULL: nobody. */
struct job_tick {
	void (*fn)(struct job *j, void *arg);
	void *arg;
};

int job_init(struct job *j, struct ring *ring, struct err *err);
/* Runs fn in a cage of its own and waits. What it returned, with its sentence; SocketError EINTR after SIGTERM. */
int job_run(struct job *j, const struct job_work *w, struct err *err);
/* Waits for a child that is a program; it is killed after SIGTERM, and the answer is SocketError EINTR. */
int job_wait(struct job *j, pid_t pid, const struct job_tick *tick, int *status, struct err *err);
/* flock(2); if it waits, SIGTERM ends that: -EINTR. */
int job_lock(const struct job *j, int fd, int how);
/* SIGTERM came: asked between steps that aren't job_run. */
bool job_is_stopped(const struct job *j);
/* The last line on the page, then the ring's outcome. Returns the exit status. */
int job_end(struct job *j, int result, const struct err *err);

/* In a child that is to become a program: no signal is blocked, and it dies with its parent. */
int job_unblock(pid_t parent);

/* In a child, for plant.h: arg is the job. */
int job_set_opaque(void *arg, int dirfd);

#endif
