/*
 * layerstore/ring.h: a stream of bytes between the worker and porto-store, in a memfd that both map; it outlives the
 * worker.
 *
 * Every byte has an offset in the stream. What the worker does is named by offset and may be done twice, because a
 * worker that was killed is followed by one that gets the same requests again: bytes put again are answered as taken,
 * bytes got again are the same bytes. Only a get at a later offset lets go of those before it.
 *
 * The worker never waits: no room, or nothing there, is -EAGAIN, and then a byte comes through the pipe (ring_wake_fd,
 * for its loop) when it is worth asking again. porto-store waits, in the shared memory. porto-store holds the memfd and
 * both ends of the pipe as descriptors FD, FD+1 (to read) and FD+2 (to write), so that the next worker opens
 * /proc/PID/fd/FD.. of it and has all there is.
 *
 * One side of the memory belongs to a process that reads hostile archives: nothing found there is used before it was
 * bounded, and the seals keep the file from shrinking below the other's feet. Whether porto-store still lives, the ring
 * doesn't know.
 */
#ifndef LAYERSTORE_RING_H
#define LAYERSTORE_RING_H

#include <sys/types.h>

#include "base/defs.h"

#define RING_BYTES (1024u * 1024u)
#define RING_FDS   3 /* memfd, pipe to read, pipe to write: in this order and next to each other in porto-store */

struct ring;

/* A new one, empty. */
int ring_create(struct ring **ret);
/* One that is there; takes the descriptors, also on failure. -EINVAL: this is no ring. */
int ring_open(const int fds[RING_FDS], struct ring **ret);
/* Its three descriptors, still the ring's: for posix_spawn. */
const int *ring_fds(const struct ring *r);
int ring_wake_fd(const struct ring *r);
/* Unmaps and closes; says nothing to the other side. NULL is fine. */
void ring_free(struct ring *r);

/* ---- the worker, import: it puts ---- */

/*
 * Bytes [off, off + len) of the stream. Returns how many from off on are in, at least one; -EAGAIN: no room; -EINVAL:
 * off is beyond what was put, or the ring makes no sense; -errno of ring_fail. After ring_finish everything is taken
 * and dropped.
 */
ssize_t ring_put(struct ring *r, uint64_t off, const void *buf, size_t len);
/* Everything before off was used up by porto-store (or it has finished, or failed): a write that ended there may be
 * answered. */
bool ring_is_consumed(struct ring *r, uint64_t off);
/* No more will be put. */
void ring_end(struct ring *r);
/* How much was put so far. */
uint64_t ring_head(const struct ring *r);

/* ---- the worker, export: it gets ---- */

/*
 * Bytes from off on; what lies before off is let go. Returns how many; 0: the stream has ended there; -EAGAIN: not yet;
 * -ESPIPE: off is before what was let go, or beyond what there is; -errno of ring_fail.
 */
ssize_t ring_get(struct ring *r, uint64_t off, void *buf, size_t len);
/* Nobody will get any more. */
void ring_leave(struct ring *r);

/* Both: empties the pipe. */
void ring_drain(struct ring *r);
/* ring_finish was called: 1; ring_fail: -errno; else 0. */
int ring_outcome(const struct ring *r);

/* ---- porto-store ---- */

/* The next bytes, as many as there are; waits for the first. 0: ring_end was called. They stay in the ring. */
ssize_t ring_read(struct ring *r, void *buf, size_t len);
/* ring_read would wait. */
bool ring_is_starved(const struct ring *r);
/* All that ring_read gave has been used up. */
void ring_consume(struct ring *r);
/* Puts all of it in, waiting for room. -EPIPE after ring_leave. */
int ring_feed(struct ring *r, const void *buf, size_t len);
/* The work is done, or has failed (no > 0): said once, by whoever knows the outcome. */
void ring_finish(struct ring *r);
void ring_fail(struct ring *r, int no);

#endif
