/*
 * engine/wait.h: readers blocked until a container is not running: `wait` of one, `.porto/wait[MASK;...]` of many
 * (spec/STATES.md 3.6).
 */
#ifndef ENGINE_WAIT_H
#define ENGINE_WAIT_H

#include "engine/ct.h"

/* stopped, dead, respawning, or meta with nothing running below. */
bool wait_is_over(struct ct *ct);
/* The state now, or ENGINE_PENDING. -EAGAIN past the cap of waiters. */
int wait_one(struct ct *ct, const struct engine_cred *who, uint64_t cookie, struct text *out, struct err *err);
/*
 * spec: "MASK;MASK...[,MSEC]" with % for /; self is the caller's container. The name found, or ENGINE_PENDING. Readers that have
 * named a container which then is destroyed hear ContainerDoesNotExist, as they would have if it had gone before.
 */
int wait_any(struct engine *e, const struct engine_cred *who, struct ct *view, uint64_t cookie, const char *spec, struct text *out,
	     struct err *err);
/* fsm tells of every change of state. */
void wait_notify(struct ct *ct);
/* The container goes: who waits for it hears ContainerDoesNotExist (-ENOENT). */
void wait_drop(struct ct *ct);
bool wait_cancel(struct engine *e, uint64_t cookie);
/* The worker ends: nobody is answered. */
void wait_free(struct engine *e);
/* fnmatch with path names; "***" matches all, also as prefix or suffix. */
bool mask_match(const char *mask, const char *name);

#endif
