/*
 * engine/names.h: what a container calls itself and others by (hostname, etc_hosts, resolv_conf) and the kernel parameters of
 * its namespaces (sysctl). Texts are files <state_dir>/names/<id>.<what>, mounted read-only over the container's; they are
 * rewritten in place, so that a change is seen where it is mounted, and go when the container is taken down.
 */
#ifndef ENGINE_NAMES_H
#define ENGINE_NAMES_H

#include "engine/ct.h"

struct names_mount {
	int fd;             /* of a mount that hangs nowhere, owned; -1 */
	const char *target;
	bool must;          /* was asked for by name: the start fails without */
};

struct names {
	const char *hostname;  /* borrowed; NULL: the parent's */
	struct names_mount mounts[3];
	size_t n;
	struct pairs sysctls;  /* path below /proc/sys -> value */
};

/* Before a start: what its namespaces don't allow. InvalidValue, Permission. */
int names_check_start(const struct ct *ct, struct err *err);
/* Does it want files of its own, so that it needs a mount namespace? */
bool names_are_mounted(const struct ct *ct);
/* For a new process: writes the files. */
int names_prepare(struct ct *ct, struct names *ret, struct err *err);
void names_done(struct names *n);
/* The container is no more: nor are its files. */
void names_drop(struct ct *ct);
/* At start: files of nobody go. */
void names_restore(struct engine *e);
/* The host's /etc/resolv.conf may have changed: containers that have it as default get the new one. */
void names_follow_host(struct engine *e);

#endif
