/*
 * base/loop.h: one epoll loop: descriptors, timers, idle work. Single-threaded, except loop_post.
 *
 * The structs are embedded by their users and must stay until loop_del / loop_cancel; handlers may add, delete and free
 * anything, also their own and each other's (events of a deleted entry in the same round are not delivered).
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include "base/defs.h"

struct loop;

struct loop_fd {
	int fd;
	void (*fn)(void *arg, uint32_t events); /* EPOLLIN ... */
	void *arg;
	unsigned generation; /* loop's own */
};

struct loop_timer {
	uint64_t due; /* clock_mono(); loop's own once armed */
	void (*fn)(void *arg);
	void *arg;
	size_t slot;  /* loop's own: place in the heap + 1, 0 when not armed */
};

int loop_new(struct loop **ret);
void loop_free(struct loop *l);

int loop_add(struct loop *l, struct loop_fd *f, uint32_t events);
int loop_mod(struct loop *l, struct loop_fd *f, uint32_t events);
void loop_del(struct loop *l, struct loop_fd *f); /* does not close; harmless when not added */

/* Arms (or moves) a timer to fire once at due (clock_mono nanoseconds). -ENOMEM. */
int loop_at(struct loop *l, struct loop_timer *t, uint64_t due);
int loop_after(struct loop *l, struct loop_timer *t, uint64_t nsec);
void loop_cancel(struct loop *l, struct loop_timer *t); /* harmless when not armed */

/*
 * From any thread: fn(arg) will run once in the loop's thread, in order of posting. The only thread-safe call. -ENOMEM.
 */
int loop_post(struct loop *l, void (*fn)(void *arg), void *arg);

/* Runs work(arg) in a thread of its own (at most a handful at once, more wait in order), then done(arg) in the loop. */
int loop_work(struct loop *l, void (*work)(void *arg), void (*done)(void *arg), void *arg);

/*
 * The same, for one of many that may all wait for the same thing, a file system that does not answer, say: of a group (a number of the
 * caller's, not 0) half of the threads at most are taken.
 */
int loop_work_for(struct loop *l, uint64_t group, void (*work)(void *arg), void (*done)(void *arg), void *arg);

int loop_run(struct loop *l);  /* until loop_stop; 0 or -errno of epoll_wait */
void loop_stop(struct loop *l);
int loop_once(struct loop *l, int timeout_ms); /* one round; -1 waits */

#endif
