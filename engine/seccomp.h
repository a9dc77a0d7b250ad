/*
 * engine/seccomp.h: filters of system calls: the text of `seccomp` (types_seccomp.c) becomes a program of the kernel's, which
 * porto-init loads right before the command.
 *
 * A profile as it is kept is a `;` list:
 *     default ACTION                        what is done with calls that no other item names; without it they are allowed
 *     [+CAP|-CAP]... ACTION CALL...         these calls; only if the container may have, or may not have, these capabilities
 *     CALL...                               the same with ACTION errno
 * ACTION: allow, errno (EPERM), errno:N, log, trap, kill_thread, kill_process. A CALL may have conditions on its arguments,
 * all of which must hold: ioctl(1==0x5412), clone(0&0x7e020000==0,1==0); also != < <= > >=.
 */
#ifndef ENGINE_SECCOMP_H
#define ENGINE_SECCOMP_H

#include <stdint.h>

#include "engine/ct.h"

#define SECCOMP_CHAIN_MAX CT_LEVEL_MAX

/* A descriptor of the program, which is kept here and borrowed; -errno with the sentence. text: a profile, or "default". */
int seccomp_program(const char *text, uint64_t caps, struct err *err);
/* The profiles that hold for a container: those of its ancestors as well. Borrowed texts; how many. */
int seccomp_profiles(const struct ct *ct, const char *texts[SECCOMP_CHAIN_MAX + 1]);

/* Docker's JSON -> a profile. -EINVAL, -ENOMEM */
int seccomp_from_json(const char *text, struct text *ret);

/* What is not root's has this. */
extern const char seccomp_default_profile[];

/* One call of a profile, for the compiler and the type alike. -EINVAL */
#define SECCOMP_CONDITIONS 6
struct seccomp_call {
	int number;
	unsigned count;
	struct seccomp_condition {
		unsigned index;
		int op; /* enum scmp_compare */
		uint64_t value, mask;
	} cond[SECCOMP_CONDITIONS];
};
int seccomp_call_parse(const char *word, struct seccomp_call *ret);
int seccomp_action_parse(const char *word, uint32_t *ret); /* of libseccomp's actions */

#endif
