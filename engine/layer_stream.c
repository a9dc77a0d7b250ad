/*
 * The archive through a descriptor on `tarball`: a job with a ring (layerstore/ring.h). A write is answered when its bytes are
 * used up, so the errno of what is wrong with them reaches it; the last one when the layer is there. All is named by offset in
 * the stream: a request that comes again from the one before this worker finds its bytes put, or gets the same ones.
 */
#include <sys/epoll.h>

#include "engine/layer.h"

static int wait_for(struct sjob *j, uint64_t cookie, uint64_t off, size_t size, struct err *err)
{
	struct stream_wait *w = malloc(sizeof(*w));

	if (w == NULL)
		return err_sys(err, ENOMEM, "tarball");
	*w = (struct stream_wait){ .next = j->waiting, .cookie = cookie, .off = off, .size = size };
	j->waiting = w;
	return ENGINE_PENDING;
}

/* It is over: 0 or the error with its sentence. */
static int outcome(const struct sjob *j, struct err *err)
{
	if (j->result < 0 && err != NULL)
		*err = j->err;
	return j->result;
}

/* ---- into it ---- */

/* ENGINE_PENDING: not yet. */
static int write_answer(struct sjob *j, uint64_t end, struct err *err)
{
	if (j->phase == SJP_OVER)
		return outcome(j, err);
	/* finished, or failed: what comes of it is known soon, with a sentence */
	if (j->ring == NULL || ring_outcome(j->ring) != 0 || !ring_is_consumed(j->ring, end))
		return ENGINE_PENDING;
	return 0;
}

int stream_write(struct sjob *j, uint64_t cookie, const struct engine_value *value, struct err *err)
{
	uint64_t end = value->off + value->len;
	int r;

	for (uint64_t at = value->off; j->phase != SJP_OVER && j->ring != NULL && at < end;) {
		ssize_t n = ring_put(j->ring, at, value->buf + (at - value->off), end - at);

		if (n == -EINVAL)
			return err_set(err, ERR_InvalidValue, "tarball: an archive is written from its beginning on, in order");
		if (n == -EAGAIN)
			return err_set(err, ERR_ResourceNotAvailable, "tarball: written to faster than it is read");
		if (n < 0)
			break; /* it has failed */
		at += (uint64_t)n;
	}
	r = write_answer(j, end, err);
	return r == ENGINE_PENDING ? wait_for(j, cookie, end, 0, err) : r;
}

/* ---- out of it ---- */

/* How many bytes, 0 at the end; -EAGAIN: not yet. */
static ssize_t read_answer(struct sjob *j, char *buf, size_t size, uint64_t off, struct err *err)
{
	ssize_t n = j->ring != NULL ? ring_get(j->ring, off, buf, size) : -EIO;

	if (n > 0)
		return n;
	if (n == -ESPIPE)
		return err_set_no(err, ERR_InvalidValue, ESPIPE, "tarball: an archive is read from its beginning on, in order");
	/* its end is one only when all went well */
	return j->phase == SJP_OVER ? outcome(j, err) : -EAGAIN;
}

ssize_t stream_read(struct sjob *j, uint64_t cookie, char *buf, size_t size, uint64_t off, struct err *err)
{
	ssize_t n = read_answer(j, buf, size, off, err);

	if (n != -EAGAIN)
		return n;
	return wait_for(j, cookie, off, size, err) < 0 ? -ENOMEM : ENGINE_PREAD_PENDING;
}

/* ---- later ---- */

static bool answer(struct sjob *j, const struct stream_wait *w)
{
	struct engine *e = j->e;
	struct err err = {};
	ssize_t n;

	if (w->size == 0) {
		n = write_answer(j, w->off, &err);
		if (n == ENGINE_PENDING)
			return false;
		if (n < 0)
			engine_note_error(e, &j->who, NULL, &err);
		e->events->done(e->events_arg, w->cookie, (int)n, NULL, 0);
		return true;
	}
	autofree char *buf = malloc(w->size);
	n = buf != NULL ? read_answer(j, buf, w->size, w->off, &err) : -ENOMEM;
	if (n == -EAGAIN)
		return false;
	if (n < 0)
		engine_note_error(e, &j->who, NULL, &err);
	e->events->done(e->events_arg, w->cookie, (int)MIN(n, 0), n > 0 ? buf : NULL, n > 0 ? (size_t)n : 0);
	return true;
}

void stream_wake(struct sjob *j)
{
	for (struct stream_wait **at = &j->waiting; *at != NULL;) {
		struct stream_wait *w = *at;

		if (!answer(j, w)) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		free(w);
	}
}

static void on_wake(void *arg, uint32_t events)
{
	struct sjob *j = arg;

	(void)events;
	ring_drain(j->ring);
	stream_wake(j);
}

int stream_watch(struct sjob *j)
{
	j->ring_watch = (struct loop_fd){ .fd = ring_wake_fd(j->ring), .fn = on_wake, .arg = j };
	return loop_add(j->e->loop, &j->ring_watch, EPOLLIN);
}

bool stream_cancel(struct sjob *j, uint64_t cookie)
{
	for (struct stream_wait **at = &j->waiting; *at != NULL; at = &(*at)->next)
		if ((*at)->cookie == cookie) {
			struct stream_wait *w = *at;

			bool is_write = w->size == 0;

			*at = w->next;
			free(w);
			/* a client that was interrupted in the middle of a write: what follows would not be what it meant */
			if (is_write)
				sjob_stop(j);
			return true;
		}
	return false;
}

void stream_close(struct sjob *j)
{
	j->handle = 0;
	if (j->phase == SJP_OVER) {
		sjob_forget(j);
		sjob_free(j);
		return;
	}
	if (j->kind == SJ_EXPORT)
		j->unwanted = true;
	if (j->ring != NULL && j->kind == SJ_EXPORT)
		ring_leave(j->ring);
	else if (j->ring != NULL)
		ring_end(j->ring);
	(void)sjob_save(j, NULL);
}
