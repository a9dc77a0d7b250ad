/*
 * layerstore/store/queue.h: blocks of bytes on their way from one thread to another, a few at a time. The blocks are
 * the queue's; each side has one of them in hands.
 */
#ifndef LAYERSTORE_STORE_QUEUE_H
#define LAYERSTORE_STORE_QUEUE_H

#include <pthread.h>

#include "base/err.h"

#define QUEUE_BLOCKS      8
#define QUEUE_BLOCK_BYTES (256 * 1024)

struct block {
	unsigned char *data;
	size_t len;
	bool whole; /* what was sent may end with this block: a compressed frame does */
};

struct queue;

/* A thread for one of its sides, with a small stack. 0 or -errno. */
int queue_thread(pthread_t *ret, void *(*fn)(void *arg), void *arg);

int queue_new(struct queue **ret);
void queue_free(struct queue *q);

/* The sender: an empty block, waited for; NULL: the receiver wants no more. queue_push sends it off. */
struct block *queue_slot(struct queue *q);
void queue_push(struct queue *q);
/* No more comes; err NULL: because that was all. */
void queue_end(struct queue *q, const struct err *err);
/* Waits until the receiver has used up everything and wants more, or wants no more: false then. */
bool queue_wait_empty(struct queue *q);

/* The receiver: the next block, waited for; the one before goes back. NULL: the end, or queue_error says why. */
const struct block *queue_next(struct queue *q);
const struct err *queue_error(struct queue *q); /* NULL: none */
void queue_stop(struct queue *q);

#endif
