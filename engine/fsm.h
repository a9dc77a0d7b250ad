/*
 * engine/fsm.h: states and operations. fsm_set is the only writer of ct->state: the log line, the event, the wake-up
 * of waiters and pollers happen there. At most one operation goes on in a container; fsm_request says what becomes of
 * another (verbs x operation under way is the table in fsm.c).
 */
#ifndef ENGINE_FSM_H
#define ENGINE_FSM_H

#include "engine/ct.h"

enum verb { VERB_START, VERB_STOP, VERB_KILL, VERB_PAUSE, VERB_RESUME, VERB_RESTART, VERB_RESPAWN, VERB_DESTROY, VERBS };
extern const char *const verb_names[VERBS];

void fsm_set(struct ct *ct, enum ct_state state, const char *why);

/* A verb with its argument ("" if none). 0, -errno or ENGINE_PENDING. */
int fsm_request(struct ct *ct, const struct engine_cred *who, uint64_t cookie, enum verb verb, const char *arg,
		struct err *err);

/* The operation under way has ended: its waiters are answered, then what was queued goes on. result 0 or -errno. */
void fsm_op_done(struct ct *ct, int result, const struct err *err);
/* Adds somebody to be told when the operation under way ends. -ENOMEM */
int fsm_join(struct ct *ct, uint64_t cookie, uint32_t child);
/* The start of this child does not wait for the operation any more. */
void fsm_leave(struct ct *ct, uint32_t child);
/* Forgets a cookie. */
bool fsm_cancel(struct engine *e, uint64_t cookie);

/* The main task has ended (status as wait(2), exact): death, or the next step of what is going on. */
void fsm_task_ended(struct ct *ct, int status);

struct oom_cause;
/* A container that runs is over, with its subtree, for lack of memory: everything is killed. */
void fsm_out_of_memory(struct ct *ct, const struct oom_cause *cause);

/* Undoes a pause, of the subtree as far as nothing else keeps it frozen. */
void fsm_thaw(struct ct *ct, const char *why);
bool fsm_is_frozen(const struct ct *ct); /* paused itself, or something above it is */
bool fsm_respawns_left(const struct ct *ct); /* max_respawns is not reached */
void fsm_schedule_respawn(struct ct *ct);
void fsm_arm_aging(struct ct *ct);
/* Takes it out of the tree and down, with its children. The record must say gone already. */
void fsm_destroy(struct ct *ct);
/* By the daemon itself: aging, weak. */
void fsm_destroy_own(struct ct *ct, const char *why);

#endif
