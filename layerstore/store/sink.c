#include "layerstore/store/sink.h"

#include <nettle/md5.h>
#include <pthread.h>
#include <sched.h>

#include "base/fd.h"
#include "layerstore/store/queue.h"
#include "layerstore/store/sum.h"

#define OUTPUT_BYTES (256 * 1024)

struct sink {
	struct sink_spec spec;
	struct queue *queue;
	struct block *block; /* being filled; NULL: none */
	struct encoder *encoder;
	unsigned char *output;
	struct md5_ctx md5;
	pthread_t thread;
	int result;
	struct err err;
};

static unsigned processors(void)
{
	cpu_set_t set;
	return sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

static int drain(struct sink *s, size_t len)
{
	if (len == 0)
		return 0;
	int r = s->spec.ring ? ring_feed(s->spec.ring, s->output, len) : fd_write_all(s->spec.fd, s->output, len);
	if (r == -EPIPE)
		return err_set_no(&s->err, ERR_SocketError, EPIPE, "nobody reads the archive any more");
	if (r == -ENOSPC || r == -EDQUOT)
		return err_set_no(&s->err, ERR_NoSpace, -r, "no space left for the archive");
	if (r < 0)
		return err_sys(&s->err, -r, "the archive can't be written");
	if (s->spec.md5)
		md5_update(&s->md5, len, s->output);
	atomic_fetch_add(s->spec.count, len);
	return 0;
}

/* What there is of input, or (finish) all that is to come out. */
static int encode(struct sink *s, const struct block *b)
{
	struct codec_io io = { .in = b ? b->data : NULL, .in_len = b ? b->len : 0 };
	int r = CODEC_MORE;
	while (io.in_len > 0 || (!b && r != CODEC_END)) {
		io.out = s->output;
		io.out_len = OUTPUT_BYTES;
		r = encoder_step(s->encoder, &io, !b, &s->err);
		int w = r < 0 ? r : drain(s, OUTPUT_BYTES - io.out_len);
		if (w < 0)
			return w;
	}
	return 0;
}

static int run_all(struct sink *s)
{
	const struct block *b;
	int r = encoder_new(s->spec.codec, processors(), &s->encoder, &s->err);
	while (r == 0 && (b = queue_next(s->queue)))
		r = encode(s, b);
	return r < 0 ? r : encode(s, NULL);
}

static void *run(void *arg)
{
	struct sink *s = arg;
	s->result = run_all(s);
	queue_stop(s->queue);
	return NULL;
}

int sink_start(const struct sink_spec *spec, struct sink **ret, struct err *err)
{
	struct sink *s = calloc(1, sizeof(*s));
	if (!s || !(s->output = malloc(OUTPUT_BYTES)) || queue_new(&s->queue) < 0)
		goto no_memory;
	s->spec = *spec;
	md5_init(&s->md5);
	int r = queue_thread(&s->thread, run, s);
	if (r != 0)
		goto no_memory;
	*ret = s;
	return 0;
no_memory:
	if (s) {
		queue_free(s->queue);
		free(s->output);
	}
	free(s);
	return err_set(err, ERR_ResourceNotAvailable, "no memory for the compressor");
}

int sink_put(struct sink *s, const void *buf, size_t len)
{
	while (len > 0) {
		if (!s->block && !(s->block = queue_slot(s->queue)))
			return -EPIPE;
		size_t n = MIN(len, QUEUE_BLOCK_BYTES - s->block->len);
		memcpy(s->block->data + s->block->len, buf, n);
		s->block->len += n;
		buf = (const char *)buf + n;
		len -= n;
		if (s->block->len == QUEUE_BLOCK_BYTES) {
			queue_push(s->queue);
			s->block = NULL;
		}
	}
	return 0;
}

int sink_finish(struct sink *s, struct err *err)
{
	if (s->block && s->block->len > 0)
		queue_push(s->queue);
	queue_end(s->queue, NULL);
	pthread_join(s->thread, NULL);
	if (s->spec.md5) {
		uint8_t sum[MD5_DIGEST_SIZE];
		md5_digest(&s->md5, sizeof(sum), sum);
		sum_digits(sum, sizeof(sum), s->spec.md5);
	}
	if (s->result < 0)
		*err = s->err;
	return s->result;
}
