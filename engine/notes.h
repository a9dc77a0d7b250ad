/*
 * engine/notes.h: exit statuses, noted by the supervisor in shared memory, consumed by the worker.
 *
 * A single-producer, single-consumer ring in the session's memfd. The supervisor reaps a child only after its note is
 * written, and leaves zombies when the ring is full, so nothing is lost while no worker runs. It then adds 1 to the
 * eventfd it shares with the worker. A note names the process by pid and start time: pids come again.
 */
#ifndef ENGINE_NOTES_H
#define ENGINE_NOTES_H

#include <stdatomic.h>
#include <sys/types.h>

#include "base/defs.h"

#define NOTES_LEN 16384u /* a power of two */

struct note {
	uint64_t start_time; /* clock ticks since boot, /proc/PID/stat field 22 */
	int32_t pid;
	int32_t status;      /* as wait(2) */
};

struct notes {
	_Atomic uint64_t head; /* written by the supervisor: notes ever put */
	_Atomic uint64_t tail; /* written by the worker: notes ever taken */
	struct note ring[NOTES_LEN];
};

static inline bool notes_full(const struct notes *n)
{
	return atomic_load(&n->head) - atomic_load(&n->tail) >= NOTES_LEN;
}

static inline void notes_put(struct notes *n, struct note note)
{
	uint64_t head = atomic_load(&n->head);

	n->ring[head % NOTES_LEN] = note;
	atomic_store(&n->head, head + 1);
}

/* Looks at the oldest note without taking it. */
static inline bool notes_peek(const struct notes *n, struct note *ret)
{
	uint64_t tail = atomic_load(&n->tail);

	if (tail == atomic_load(&n->head))
		return false;
	*ret = n->ring[tail % NOTES_LEN];
	return true;
}

static inline void notes_take(struct notes *n)
{
	atomic_fetch_add(&n->tail, 1);
}

#endif
