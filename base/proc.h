/*
 * base/proc.h: processes held by pidfd; on disk a process is (pid, start time, boot id), because a bare pid may be
 * somebody else.
 */
#ifndef BASE_PROC_H
#define BASE_PROC_H

#include <signal.h>
#include <sys/types.h>

#include "base/defs.h"

/* Field 22 of /proc/PID/stat, clock ticks since boot; also works for zombies. 0 or -ESRCH. */
int proc_start_time(pid_t pid, uint64_t *ret);

/* How many threads it has: field 20. 0 or -ESRCH. */
int proc_threads(pid_t pid, uint64_t *ret);

/* A pidfd if pid still is the process that started then (0: any), else -ESRCH. */
int proc_open(pid_t pid, uint64_t start_time);

/* Whose rights are needed to look into it: its user, but root after a setuid program or the like. -ESRCH if gone. */
int proc_owner(pid_t pid, uid_t *ret);

int proc_signal(int pidfd, int sig); /* pidfd_send_signal(2) */

bool proc_is_gone(int pidfd);        /* has exited (zombie or reaped) */

/* Is the capability (CAP_SYS_NICE ...) among the effective ones of this process? */
bool proc_has_cap(unsigned cap);

/* The boot id of the running kernel, 36 characters and NUL. */
int proc_boot_id(char buf[37]);

/* The pids in the innermost pid namespace: last field of NSpid in /proc/PID/status. -ESRCH if gone. */
int proc_inner_pid(pid_t pid, pid_t *ret);

/* Calls fn for each child, threads' too (/proc/PID/task/TID/children), until it returns other than 0; returns that. */
int proc_children(pid_t pid, int (*fn)(void *arg, pid_t child), void *arg);

/* The parent of pid; -ESRCH if gone. */
pid_t proc_parent(pid_t pid);

/* Nanoseconds of CLOCK_MONOTONIC, CLOCK_BOOTTIME and CLOCK_REALTIME. */
uint64_t clock_mono(void);
uint64_t clock_boot(void);
uint64_t clock_wall(void);

#endif
