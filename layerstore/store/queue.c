#include "layerstore/store/queue.h"

#define STACK_BYTES (256 * 1024)

struct queue {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct block blocks[QUEUE_BLOCKS];
	size_t head, tail; /* pushed, given back: ever */
	bool holds;        /* the receiver has the block at tail in hands */
	bool hungry;       /* the receiver waits */
	bool ended, stopped, failed;
	struct err err;
	unsigned char *memory;
};

int queue_thread(pthread_t *ret, void *(*fn)(void *arg), void *arg)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	int r = pthread_create(ret, &attr, fn, arg);
	pthread_attr_destroy(&attr);
	return -r;
}

int queue_new(struct queue **ret)
{
	struct queue *q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	q->memory = malloc((size_t)QUEUE_BLOCKS * QUEUE_BLOCK_BYTES);
	if (!q->memory) {
		free(q);
		return -ENOMEM;
	}
	for (size_t i = 0; i < QUEUE_BLOCKS; i++)
		q->blocks[i].data = q->memory + i * QUEUE_BLOCK_BYTES;
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->changed, NULL);
	*ret = q;
	return 0;
}

void queue_free(struct queue *q)
{
	if (!q)
		return;
	pthread_mutex_destroy(&q->lock);
	pthread_cond_destroy(&q->changed);
	free(q->memory);
	free(q);
}

struct block *queue_slot(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	while (q->head - q->tail == QUEUE_BLOCKS && !q->stopped)
		pthread_cond_wait(&q->changed, &q->lock);
	struct block *b = q->stopped ? NULL : &q->blocks[q->head % QUEUE_BLOCKS];
	pthread_mutex_unlock(&q->lock);
	if (b) {
		b->len = 0;
		b->whole = false;
	}
	return b;
}

void queue_push(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->head++;
	q->hungry = false;
	pthread_cond_broadcast(&q->changed);
	pthread_mutex_unlock(&q->lock);
}

void queue_end(struct queue *q, const struct err *err)
{
	pthread_mutex_lock(&q->lock);
	q->ended = true;
	if (err) {
		q->failed = true;
		q->err = *err;
	}
	pthread_cond_broadcast(&q->changed);
	pthread_mutex_unlock(&q->lock);
}

bool queue_wait_empty(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	while (!q->stopped && !q->hungry)
		pthread_cond_wait(&q->changed, &q->lock);
	bool wanted = !q->stopped;
	pthread_mutex_unlock(&q->lock);
	return wanted;
}

const struct block *queue_next(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	if (q->holds) {
		q->holds = false;
		q->tail++;
		pthread_cond_broadcast(&q->changed);
	}
	while (q->head == q->tail && !q->ended) {
		q->hungry = true;
		pthread_cond_broadcast(&q->changed);
		pthread_cond_wait(&q->changed, &q->lock);
	}
	struct block *b = q->head == q->tail ? NULL : &q->blocks[q->tail % QUEUE_BLOCKS];
	q->holds = b;
	pthread_mutex_unlock(&q->lock);
	return b;
}

const struct err *queue_error(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	const struct err *err = q->failed ? &q->err : NULL;
	pthread_mutex_unlock(&q->lock);
	return err;
}

void queue_stop(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->stopped = true;
	pthread_cond_broadcast(&q->changed);
	pthread_mutex_unlock(&q->lock);
}
