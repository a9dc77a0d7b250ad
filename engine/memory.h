/*
 * engine/memory.h: what the rest of the engine asks of memory: apply_memory.c (limits, guarantees), oom.c (who ran out of it).
 */
#ifndef ENGINE_MEMORY_H
#define ENGINE_MEMORY_H

#include "engine/ct.h"

/* ---- apply_memory.c ---- */

/* RAM that cgroups can have: huge pages are set apart. Bytes. meminfo: a line of /proc/meminfo in bytes, 0 if there is none. */
uint64_t memory_total(void);
uint64_t memory_info(const char *key);

/* The limit in force for ct itself, the default of the first level included; 0: none. */
uint64_t memory_limit(const struct ct *ct);
/* Pure: spec/PROPERTIES.md 7.1. limit 0: 0. cores: those the container may use, at least 1. */
uint64_t memory_high_of(uint64_t limit, unsigned cores);
/* max(total - margin, 3/4 total) */
uint64_t memory_default_limit(uint64_t total, uint64_t margin);
/* The guarantee of ct and what runs below it: 0 when stopped. */
uint64_t memory_guarantee_total(const struct ct *ct);
/* A container has begun or ceased to run, or goes: what those above are protected with changes. */
void memory_running_changed(struct ct *parent);
/* May it start: 7.2. 0 or ResourceNotAvailable. */
int memory_check_start(struct ct *ct, const struct engine_cred *who, struct err *err);
/* The daemon's own oom_score_adj, which a new process would inherit. */
int memory_own_oom_adj(void);
/* ct has changed its state: pressurize_on_death of it and of those above. */
void memory_state_changed(struct ct *ct);

/* ---- oom.c ---- */

/* Watches the limit of a container that has one and a memory cgroup, and stops watching one that has none any more. */
void oom_watch(struct ct *ct);
void oom_unwatch(struct ct *ct);
/* A life begins: what was counted before it is none of its business. */
void oom_begin(struct ct *ct);
/* After a restart of the daemon: what happened meanwhile. Every container is loaded. */
void oom_restore(struct engine *e);
/* ct is about to be destroyed: what it counted goes to its parent, who may be going too: nothing is saved. */
void oom_inherit(struct ct *ct);
/* Saves the inherited. */
void oom_keep_total(struct ct *ct);

/* Whose limit was hit: the container itself or one above; none: the host's memory, or a limit that is not ours. */
struct oom_cause {
	bool out_of_memory;
	const struct ct *owner;
};
/* The main task has ended by itself: was it for lack of memory? status as wait(2). */
struct oom_cause oom_at_death(struct ct *ct, int status);
/* Has anything of ct been killed since its present start began, which is failing? */
struct oom_cause oom_at_start(struct ct *ct);
/* The sentence, of kind ResourceNotAvailable: which limit was hit. */
int oom_sentence(const struct ct *ct, const struct oom_cause *cause, struct err *err);
/* The container died so: the sentence goes to its `error`, the event to `.porto/events`. */
void oom_note(struct ct *ct, const struct oom_cause *cause);

#endif
