#include "layerstore/store/source.h"

#include <pthread.h>

#include "layerstore/store/queue.h"

#define INPUT_BYTES (128 * 1024)

struct source {
	struct source_spec spec;
	struct queue *queue;
	struct decoder *decoder;
	unsigned char *input;
	size_t pos, len; /* of it, not yet decompressed */
	bool at_end;
	bool pending;    /* the decompressor may have output left without more input */
	bool whole;      /* the sender: the last frame has ended */
	bool whole_seen; /* the receiver: with the last block */
	uint64_t at;     /* bytes read */
	uint64_t made;   /* bytes decompressed */
	bool same;       /* what is read is what comes out: one sum is enough */
	struct sha256_ctx raw;
	struct summer *plain; /* the receiver's, or NULL */
	pthread_t thread;
};

static int read_error(struct err *err, int r)
{
	return err_sys(err, -r, "the archive can't be read");
}

static ssize_t read_some(struct source *s, unsigned char *buf, size_t len)
{
	const struct source_spec *spec = &s->spec;
	ssize_t n;
	if (spec->is_part)
		len = MIN(len, spec->size - s->at);
	do
		n = spec->is_part ? pread(spec->fd, buf, len, (off_t)(spec->offset + s->at)) : read(spec->fd, buf, len);
	while (n < 0 && errno == EINTR);
	if (n == 0 && spec->is_part && len > 0)
		return -EIO; /* the file has become shorter */
	return n < 0 ? -errno : n;
}

/*
 * More input behind what is there. Before it waits, the writer of a ring hears that the bytes so far were used, but see
 * source.h. 0 is the end, also when the receiver wants no more.
 */
static ssize_t more(struct source *s, struct err *err)
{
	struct ring *ring = s->spec.ring;
	ssize_t n;
	if (ring && ring_is_starved(ring)) {
		if (s->whole && !queue_wait_empty(s->queue))
			return 0;
		ring_consume(ring);
	}
	n = ring ? ring_read(ring, s->input + s->len, INPUT_BYTES - s->len)
		 : read_some(s, s->input + s->len, INPUT_BYTES - s->len);
	if (n < 0)
		return read_error(err, (int)n);
	if (s->spec.sums && !s->same)
		sha256_update(&s->raw, (size_t)n, s->input + s->len);
	s->len += (size_t)n;
	s->at += (uint64_t)n;
	s->at_end = n == 0;
	atomic_fetch_add(s->spec.count, (uint64_t)n);
	return n;
}

/* Enough to tell what it is. */
static int begin(struct source *s, struct err *err)
{
	while (s->len < CODEC_MAGIC_BYTES && !s->at_end) {
		ssize_t n = more(s, err);
		if (n < 0)
			return (int)n;
	}
	if (s->len == 0)
		return err_set(err, ERR_InvalidValue, "the archive is empty");
	enum codec_id codec = s->spec.format_known ? s->spec.codec : codec_detect(s->input, s->len);
	s->same = codec == CODEC_NONE;
	return decoder_new(codec, &s->decoder, err);
}

/* Input for the next step. 1: there is some; 0: that was all of it, which is fine only between frames. */
static int refill(struct source *s, struct err *err)
{
	if (s->pos < s->len)
		return 1;
	s->pos = s->len = 0;
	if (!s->at_end) {
		ssize_t n = more(s, err);
		if (n < 0)
			return (int)n;
	}
	if (s->len > 0)
		return 1;
	return s->whole ? 0 : err_set(err, ERR_InvalidValue, "the archive is cut off: it ends in the middle");
}

/* One block, as full as one may get without waiting for input at a place where the archive may end. */
static int fill_block(struct source *s, struct block *b, struct err *err)
{
	struct codec_io io = { .out = b->data, .out_len = QUEUE_BLOCK_BYTES };
	while (io.out_len > 0) {
		bool waits = !s->pending && s->pos == s->len && s->spec.ring && ring_is_starved(s->spec.ring);
		if (io.out_len < QUEUE_BLOCK_BYTES && (waits || b->whole))
			break;
		int r = s->pending ? 1 : refill(s, err);
		if (r <= 0)
			return r;
		if (s->whole && !decoder_goes_on(s->decoder, s->input[s->pos]))
			return 0; /* padding, or whatever somebody put behind it */
		io.in = s->input + s->pos;
		io.in_len = s->len - s->pos;
		r = decoder_step(s->decoder, &io, err);
		s->pos = s->len - io.in_len;
		b->len = QUEUE_BLOCK_BYTES - io.out_len;
		if (r < 0)
			return r;
		b->whole = s->whole = r == CODEC_END;
		s->pending = r == CODEC_MORE && io.out_len == 0;
		if (b->whole)
			break;
	}
	return 1;
}

/* Whatever is behind the compressed stream belongs to the sum of what was read. */
static int end_sums(struct source *s, struct err *err)
{
	while (!s->at_end) {
		s->len = 0;
		ssize_t n = more(s, err);
		if (n < 0)
			return (int)n;
	}
	sum_hex(&s->raw, s->spec.sums->raw);
	s->spec.sums->bytes = s->made;
	return 0;
}

static int pump(struct source *s, struct err *err)
{
	int r = begin(s, err);
	s->whole = false;
	while (r == 0) {
		struct block *b = queue_slot(s->queue);
		if (!b)
			return 0;
		int go = fill_block(s, b, err);
		s->made += b->len;
		if (s->spec.sums && s->made > SUMMED_MAX)
			return err_set(err, ERR_InvalidValue, "the archive unpacks to more than %llu bytes",
				       SUMMED_MAX);
		if (b->len > 0 || b->whole)
			queue_push(s->queue);
		if (go < 0)
			return go;
		if (go == 0)
			return s->spec.sums ? end_sums(s, err) : 0;
	}
	return r;
}

static void *run(void *arg)
{
	struct source *s = arg;
	struct err err = {};
	int r = pump(s, &err);
	queue_end(s->queue, r < 0 ? &err : NULL);
	return NULL;
}

int source_start(const struct source_spec *spec, struct source **ret, struct err *err)
{
	struct source *s = calloc(1, sizeof(*s));
	if (!s || !(s->input = malloc(INPUT_BYTES)) || queue_new(&s->queue) < 0)
		goto no_memory;
	if (spec->sums && summer_new(&s->plain) < 0)
		goto no_memory;
	sha256_init(&s->raw);
	s->spec = *spec;
	int r = queue_thread(&s->thread, run, s);
	if (r != 0)
		goto no_memory;
	*ret = s;
	return 0;
no_memory:
	if (s) {
		queue_free(s->queue);
		free(s->input);
	}
	free(s);
	return err_set(err, ERR_ResourceNotAvailable, "no memory for the decompressor");
}

ssize_t source_next(struct source *s, const void **ret)
{
	for (;;) {
		if (s->plain)
			summer_wait(s->plain); /* then the block can go back */
		const struct block *b = queue_next(s->queue);
		if (!b)
			return queue_error(s->queue) ? -EIO : 0;
		s->whole_seen = b->whole;
		if (b->len == 0)
			continue;
		if (s->plain)
			summer_feed(s->plain, b->data, b->len);
		*ret = b->data;
		return (ssize_t)b->len;
	}
}

const struct err *source_error(const struct source *s)
{
	return queue_error(s->queue);
}

int source_finish(struct source *s, bool all, struct err *err)
{
	const void *dropped;
	while (all || !s->whole_seen)
		if (source_next(s, &dropped) <= 0)
			break;
	const struct err *failed = source_error(s);
	queue_stop(s->queue);
	if (!failed && s->plain && all) {
		summer_hex(s->plain, s->spec.sums->plain);
		if (s->same)
			memcpy(s->spec.sums->raw, s->spec.sums->plain, sizeof(s->spec.sums->raw));
	}
	if (!failed)
		return 0;
	*err = *failed;
	return -err->no;
}
