/*
 * engine/links.h: symlink of a container that runs. A process inside makes the links, and a file system there may let it wait: so the
 * write of the value (of `symlink`, or of `spec` with such a line) is tried, comes upon links that are not there, and is pending until
 * they are made; then it is done again as a whole. What they are is never kept here, only in the property.
 *
 * One such change at a time in a container; others hear Busy. It has LINKS_NSEC; then its process is killed and the writer answered.
 */
#ifndef ENGINE_LINKS_H
#define ENGINE_LINKS_H

#include "engine/ct.h"

#define LINKS_NSEC (5 * UINT64_C(1000000000))

/* The process; both descriptors are the caller's. */
struct links_task {
	int pidfd, status;
};
/* Begins to make symbolic links (target "": removes) in the running ct, by its own means. Never waits. */
int spawn_links(struct ct *ct, const struct pairs *links, struct links_task *task, struct err *err);
/* What it has written by its end. */
int spawn_links_result(const struct links_task *task, const struct ct *ct, struct err *err);

/* Did the write that was just refused come upon links to be made? */
bool links_wanted(const struct engine *e);
/* Has them made, and then engine_write called again: ENGINE_PENDING or -errno. */
int links_begin(struct engine *e, const struct engine_cred *who, uint64_t cookie, const struct engine_node *n,
		const struct engine_value *value, struct err *err);
/* An earlier write is taken back, the property will be as before: so will the links, by and by. */
void links_restore(struct ct *ct, const union value *before);
bool links_cancel(struct engine *e, uint64_t cookie);
void links_free(struct engine *e);

#endif
