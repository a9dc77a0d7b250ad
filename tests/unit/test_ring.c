/* The stream between worker and porto-store: offsets, repeats, both ends, and a worker that is replaced. */
#include "layerstore/ring.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "tests/unit/unit.h"

#define STREAM_BYTES (5u * 1024 * 1024 + 77)

static unsigned char at_offset(uint64_t off)
{
	return (unsigned char)(off * 31 + (off >> 8) * 7 + (off >> 16));
}

static void fill(unsigned char *buf, uint64_t off, size_t len)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = at_offset(off + i);
}

static bool is_stream(const unsigned char *buf, uint64_t off, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (buf[i] != at_offset(off + i))
			return false;
	return true;
}

static struct ring *fresh(void)
{
	struct ring *r = NULL;
	if (ring_create(&r) < 0)
		abort();
	return r;
}

/* As the next worker finds it in /proc/PID/fd of the process that holds it. */
static struct ring *reopen(const struct ring *r)
{
	static const int flags[RING_FDS] = { O_RDWR, O_RDONLY | O_NONBLOCK, O_WRONLY | O_NONBLOCK };
	struct ring *again = NULL;
	int fds[RING_FDS];
	for (int i = 0; i < RING_FDS; i++) {
		char path[40];
		snprintf(path, sizeof(path), "/proc/self/fd/%d", ring_fds(r)[i]);
		fds[i] = open(path, flags[i] | O_CLOEXEC);
	}
	return ring_open(fds, &again) < 0 ? NULL : again;
}

static bool is_woken(struct ring *r)
{
	struct pollfd p = { .fd = ring_wake_fd(r), .events = POLLIN };
	bool woken = poll(&p, 1, 0) > 0;
	ring_drain(r);
	return woken;
}

static void test_put(void)
{
	static unsigned char buf[RING_BYTES + 1], got[64];
	struct ring *r = fresh();
	fill(buf, 0, sizeof(buf));
	unit_int(ring_put(r, 0, buf, 10), 10, "put: bytes at the head are taken");
	unit_int(ring_put(r, 0, buf, 10), 10, "put: the same again is answered as taken");
	unit_int((long long)ring_head(r), 10, "put: and is in only once");
	unit_int(ring_put(r, 5, buf + 5, 10), 10, "put: a piece that overlaps is taken behind what is there");
	unit_int(ring_put(r, 16, buf, 1), -EINVAL, "put: beyond the head is refused");
	unit_ok(!ring_is_consumed(r, 15), "put: not yet consumed");
	unit_int(ring_read(r, got, sizeof(got)), 15, "read: all there is");
	unit_ok(is_stream(got, 0, 15), "read: the bytes that were put");
	unit_ok(!ring_is_consumed(r, 15) && !is_woken(r), "read: bytes that were read are not yet used up");
	unit_ok(ring_is_starved(r), "read: more would have to be waited for");
	ring_consume(r);
	unit_ok(is_woken(r), "consume: wakes a worker that asked");
	unit_ok(ring_is_consumed(r, 15), "consume: up to what was read");
	unit_int(ring_put(r, 15, buf + 15, RING_BYTES + 1 - 15), (long long)RING_BYTES - 14,
		 "put: more than is left before the end of the memory");
	unit_int(ring_put(r, RING_BYTES + 1, buf, 20), 14, "put: as much as there is room");
	unit_int(ring_put(r, RING_BYTES + 15, buf, 1), -EAGAIN, "put: no room");
	unit_int(ring_put(r, 3, buf + 3, 7), 7, "put: what was used up long ago is still answered as taken");
	ring_free(r);
}

static void test_outcome(void)
{
	unsigned char buf[100];
	struct ring *r = fresh();
	fill(buf, 0, sizeof(buf));
	ring_put(r, 0, buf, 10);
	unit_ok(!ring_is_consumed(r, 10), "finish: a write waits");
	ring_finish(r);
	unit_ok(is_woken(r) && ring_is_consumed(r, 10), "finish: wakes it and answers it");
	unit_int(ring_put(r, 10, buf, 90), 90, "finish: later bytes are swallowed");
	unit_int(ring_outcome(r), 1, "finish: can be told");
	ring_fail(r, EIO);
	unit_int(ring_outcome(r), 1, "fail: not after it has finished");
	ring_free(r);
	r = fresh();
	ring_put(r, 0, buf, 10);
	unit_ok(!ring_is_consumed(r, 10), "fail: a write waits");
	ring_fail(r, ENOSPC);
	unit_ok(is_woken(r) && ring_is_consumed(r, 10), "fail: wakes it");
	unit_int(ring_put(r, 10, buf, 90), -ENOSPC, "fail: the next put gets the reason");
	unit_int(ring_get(r, 0, buf, 10), -ENOSPC, "fail: so does a get");
	ring_free(r);
}

static void test_get(void)
{
	unsigned char buf[64], src[64];
	struct ring *r = fresh();
	fill(src, 0, sizeof(src));
	unit_int(ring_get(r, 0, buf, 64), -EAGAIN, "get: nothing there yet");
	unit_int(ring_feed(r, src, 40), 0, "feed: there is room");
	unit_ok(is_woken(r), "feed: wakes the reader");
	unit_int(ring_get(r, 0, buf, 30), 30, "get: from the start");
	unit_int(ring_get(r, 0, buf, 30), 30, "get: the same again, as the next worker does");
	unit_ok(is_stream(buf, 0, 30), "get: the same bytes");
	unit_int(ring_get(r, 30, buf, 30), 10, "get: the rest");
	unit_ok(is_stream(buf, 30, 10), "get: in order");
	unit_int(ring_get(r, 29, buf, 1), -ESPIPE, "get: what was let go is gone");
	unit_int(ring_get(r, 41, buf, 1), -ESPIPE, "get: beyond what there is");
	unit_int(ring_get(r, 40, buf, 1), -EAGAIN, "get: at the end, not finished");
	ring_finish(r);
	unit_int(ring_get(r, 40, buf, 1), 0, "get: at the end, finished");
	ring_leave(r);
	unit_int(ring_feed(r, src, 1), -EPIPE, "feed: nobody reads any more");
	ring_free(r);
}

/* ---- two processes ---- */

static int check_reader(struct ring *r)
{
	static unsigned char buf[70000];
	uint64_t off = 0;
	for (;;) {
		ssize_t n = ring_read(r, buf, 1 + off % sizeof(buf));
		if (n <= 0)
			return n == 0 && off == STREAM_BYTES ? 0 : 1;
		if (!is_stream(buf, off, (size_t)n))
			return 2;
		off += (uint64_t)n;
		ring_consume(r);
	}
}

/* A worker that is replaced by another now and then, which repeats the last put. */
static void test_import_stream(void)
{
	static unsigned char buf[50000];
	struct ring *r = fresh();
	unsigned replaced = 0;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit(check_reader(r));
	for (uint64_t off = 0, i = 0; off < STREAM_BYTES; i++) {
		size_t len = (size_t)MIN((uint64_t)sizeof(buf), STREAM_BYTES - off);
		fill(buf, off, len);
		ssize_t n = ring_put(r, off, buf, len);
		if (i % 17 == 3) {
			struct ring *next = reopen(r);
			ring_free(r);
			r = next;
			replaced++;
			continue;
		}
		if (n < 0) {
			struct pollfd p = { .fd = ring_wake_fd(r), .events = POLLIN };
			if (n != -EAGAIN || poll(&p, 1, 5000) != 1)
				break;
			ring_drain(r);
			continue;
		}
		off += (uint64_t)n;
	}
	ring_end(r);
	int status = -1;
	waitpid(pid, &status, 0);
	unit_int(status, 0, "import: every byte arrives once, in order, though the worker is replaced");
	unit_ok(replaced > 3 && ring_is_consumed(r, STREAM_BYTES), "import: all of it is consumed in the end");
	ring_free(r);
}

static int feed_all(struct ring *r)
{
	static unsigned char buf[90000];
	for (uint64_t off = 0; off < STREAM_BYTES;) {
		size_t len = (size_t)MIN(1 + off % sizeof(buf), STREAM_BYTES - off);
		fill(buf, off, len);
		if (ring_feed(r, buf, len) < 0)
			return 1;
		off += len;
	}
	ring_finish(r);
	return 0;
}

static void test_export_stream(void)
{
	static unsigned char buf[60000];
	struct ring *r = fresh();
	bool good = true;
	uint64_t off = 0;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit(feed_all(r));
	for (unsigned i = 0;; i++) {
		ssize_t n = ring_get(r, off, buf, sizeof(buf));
		if (n == -EAGAIN) {
			struct pollfd p = { .fd = ring_wake_fd(r), .events = POLLIN };
			if (poll(&p, 1, 5000) != 1)
				break;
			ring_drain(r);
			continue;
		}
		if (n <= 0)
			break;
		good &= is_stream(buf, off, (size_t)n);
		if (i % 13 == 5) { /* the answer got lost: the next worker is asked again */
			struct ring *next = reopen(r);
			ring_free(r);
			r = next;
			continue;
		}
		off += (uint64_t)n;
	}
	int status = -1;
	waitpid(pid, &status, 0);
	unit_int((long long)off, STREAM_BYTES, "export: the whole stream, though the worker is replaced");
	unit_ok(good && status == 0, "export: every byte is right");
	ring_free(r);
}

/* ---- what the other side may do ---- */

static void test_hostile(void)
{
	unsigned char buf[16] = { 0 };
	struct ring *r = fresh(), *none = NULL;
	int fd = ring_fds(r)[0];
	int fds[RING_FDS] = { memfd_create("other", MFD_CLOEXEC), dup(0), dup(1) };
	unit_ok(ftruncate(fd, 0) < 0 && ftruncate(fd, 1 << 30) < 0, "the memory can't be cut off under the other side");
	unit_int(ring_open(fds, &none), -EINVAL, "another memfd is no ring");
	uint64_t *word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	word[1] = UINT64_MAX - 3; /* head */
	word[2] = 5;              /* tail */
	unit_int(ring_put(r, 0, buf, 16), -EINVAL, "put: numbers that make no sense are refused");
	unit_int(ring_get(r, 6, buf, 16), -EINVAL, "get: too");
	unit_int(ring_read(r, buf, 16), -EINVAL, "read: too");
	munmap(word, 4096);
	ring_free(r);
}

int main(void)
{
	test_put();
	test_outcome();
	test_get();
	test_import_stream();
	test_export_stream();
	test_hostile();
	return unit_end();
}
