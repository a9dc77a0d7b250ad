/*
 * engine/run.h: start.c (steps with undo), spawn.c (the new process), stop.c (signal, kill, take down). Used by fsm.c
 * and restore.c. All of them work on ct->op and end in fsm_op_done or, for the end of a task, fsm_task_ended.
 */
#ifndef ENGINE_RUN_H
#define ENGINE_RUN_H

#include "engine/ct.h"

/* Begins the operation OP_START (or the second half of OP_RESTART); state is stopped. ENGINE_PENDING or -errno, nothing left. */
int start_begin(struct ct *ct, const struct engine_cred *who, uint64_t cookie, struct err *err);
/* Looks at what porto-init has written: the start goes on, succeeds or is undone. */
void start_check_report(struct ct *ct);
/* It can't go on: what was made is undone, then the waiters hear why. */
void start_fail(struct ct *ct, const struct err *err);
/* A stop or the death of the parent meets a start: it is undone, its waiters hear InvalidState. */
void start_abort(struct ct *ct);
/* A stop or a death meets a pause: it is undone, its waiters hear Busy and why. */
void pause_failed(struct ct *ct, const char *why);
/* Whatever porto-init still reports of the start is not wanted any more. */
void start_forget(struct ct *ct);
/* stop_step has undone a failed start. */
void start_undone(struct ct *ct);
/* The parent that a start waited for is running (result 0) or failed. Nothing if the start does not wait any more. */
void start_parent_done(struct ct *ct, int result, const struct err *err);
/* Watches a start whose pipe was lost with the worker before: looks at the status file again and again. */
void start_watch_status(struct ct *ct);
/* From dead or respawning to running without passing stopped. */
int respawn_begin(struct ct *ct, uint64_t cookie, struct err *err);
/* Nothing else to do before the task: mode and credentials (spec/STATES.md 3.1). */
int start_check(struct ct *ct, const struct engine_cred *who, struct err *err);

/* Makes the process; ct->pid, pidfd and report are set and the record is saved before it may act. */
int spawn_task(struct ct *ct, uint64_t cookie, struct err *err);
/* Tells the process what to do; the pipe is made to hold the whole list, so this never waits. */
int spawn_send(int fd, const struct text *ops, struct err *err);
/* Begins to watch ct->pidfd. */
int task_watch(struct ct *ct);
void task_unwatch(struct ct *ct);
/* A note of the supervisor may have come. */
void task_check_notes(struct engine *e);
/* The host pid of the command itself (not of the helper). -ESRCH */
int task_main_pid(struct ct *ct, pid_t *pid);
int task_main_fd(struct ct *ct); /* a pidfd of the same, the caller's to close */

/* Soft signal, deadline, SIGKILL, take down; the state is then stopped. usec timeout 0: SIGKILL at once. */
void stop_begin(struct ct *ct, uint64_t timeout_nsec);
/* A second stop while one is under way: an earlier deadline. */
void stop_hasten(struct ct *ct, uint64_t timeout_nsec);
/* The task ended, or a timer fired: goes on with stop, destroy or the undoing of a start. */
void stop_step(struct ct *ct);
/* Why a stop has been given up waiting for, with the pids: Busy. It goes on by itself. */
int stop_stuck(struct ct *ct, struct err *err);
/* SIGKILL to the whole subtree now. */
void kill_all(struct ct *ct);
/* No process of it is left. */
bool all_dead(struct ct *ct);
/* Everything a life leaves behind once nothing runs any more: cgroups, work directory, streams. -EBUSY: not yet. */
int take_down(struct ct *ct);
/* A dying container (ct->destroying): kill and take down until it is gone, then free it. */
void destroy_step(struct ct *ct);

int attach_process(struct change *c);

#endif
