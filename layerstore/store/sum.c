#include "layerstore/store/sum.h"

#include <pthread.h>

#include "layerstore/store/queue.h"

struct summer {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	const void *buf; /* being summed; NULL: none */
	size_t len;
	struct sha256_ctx sha;
};

void sum_digits(const uint8_t *sum, size_t len, char *ret)
{
	for (size_t i = 0; i < len; i++)
		snprintf(ret + 2 * i, 3, "%02x", sum[i]);
}

void sum_hex(struct sha256_ctx *ctx, char ret[SHA256_HEX + 1])
{
	uint8_t sum[SHA256_DIGEST_SIZE];
	sha256_digest(ctx, sizeof(sum), sum);
	sum_digits(sum, sizeof(sum), ret);
}

void sum_of(const void *buf, size_t len, char ret[SHA256_HEX + 1])
{
	struct sha256_ctx ctx;
	sha256_init(&ctx);
	sha256_update(&ctx, len, buf);
	sum_hex(&ctx, ret);
}

static void *run(void *arg)
{
	struct summer *s = arg;
	pthread_mutex_lock(&s->lock);
	for (;;) {
		while (!s->buf)
			pthread_cond_wait(&s->changed, &s->lock);
		const void *buf = s->buf;
		size_t len = s->len;
		pthread_mutex_unlock(&s->lock);
		sha256_update(&s->sha, len, buf);
		pthread_mutex_lock(&s->lock);
		s->buf = NULL;
		pthread_cond_broadcast(&s->changed);
	}
	return NULL;
}

int summer_new(struct summer **ret)
{
	pthread_t thread;
	struct summer *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	sha256_init(&s->sha);
	int r = queue_thread(&thread, run, s);
	if (r != 0) {
		free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void summer_wait(struct summer *s)
{
	pthread_mutex_lock(&s->lock);
	while (s->buf)
		pthread_cond_wait(&s->changed, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

void summer_feed(struct summer *s, const void *buf, size_t len)
{
	pthread_mutex_lock(&s->lock);
	while (s->buf)
		pthread_cond_wait(&s->changed, &s->lock);
	s->buf = buf;
	s->len = len;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

void summer_hex(struct summer *s, char ret[SHA256_HEX + 1])
{
	summer_wait(s);
	sum_hex(&s->sha, ret);
}
