/*
 * engine/birth.h: a process that is porto-init, as a child of the supervisor. birth() executes it; seed_birth() has it forked
 * from a seed: a porto-init that has been executed before and waits for orders, so that a start need not pay for execve and
 * for libc's beginnings (which cost more than all namespaces where cpuid is slow, as in virtual machines).
 */
#ifndef ENGINE_BIRTH_H
#define ENGINE_BIRTH_H

#include <sys/types.h>

#include "base/defs.h"

#define BIRTH_FDS 32

struct birth {
	int fds[BIRTH_FDS]; /* fds[i], borrowed, becomes descriptor INIT_OPS_FD + i */
	int count;
	int cgroup_fd;      /* v2 cgroup to be born in, -1: ours */
	int join_fd;        /* pidfd whose namespaces are joined first, -1: none; seed_birth alone can */
	int join_flags;
	int init_fd;        /* the program */
	bool seed;          /* to be a seed itself */
	uint64_t flags;     /* namespaces of its own: CLONE_NEW... */
	/* the answer: */
	pid_t pid;          /* 0: it has ended already, which one that had its operations may */
	int pidfd;
	int failed;         /* errno of whichever process failed before porto-init ran */
	void *stacks;
};

/* 0 or -errno. With 0 and failed set there is a process (pid, pidfd), but it could not execute. */
int birth(struct birth *b);

/* The seed of this worker; it ends with us. Zero: none yet. */
struct seed {
	int sock;    /* + 1; 0: none */
	int pidfd;   /* + 1 */
	bool broken; /* one could not be made or did not answer: not tried again */
	uint64_t orders;
};

/* Begins one. A failure only costs time later. */
void seed_plant(struct seed *s, int init_fd);
void seed_end(struct seed *s);

/*
 * As birth; by the seed where it can, and by nobody else where namespaces are joined: those inside may stop who makes the process,
 * which must not be us.
 */
int seed_birth(struct seed *s, struct birth *b);

#endif
