#include "layerstore/ring.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#define RING_MAGIC 0x706f72746f726e67ull /* of this layout */
#define RING_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define FINISHED   1 /* outcome; -errno: failed; 0: neither yet */

struct ring_shared {
	uint64_t magic;
	_Atomic uint64_t head; /* bytes ever put; [tail, head) is in data */
	_Atomic uint64_t tail; /* bytes let go */
	_Atomic int outcome;
	_Atomic bool ended;    /* ring_end */
	_Atomic bool left;     /* ring_leave */
	_Atomic bool waiting;  /* the worker was told -EAGAIN and wants a byte through the pipe */
	_Atomic uint32_t bell; /* futex of porto-store: counts what the worker did */
	unsigned char data[RING_BYTES] __attribute__((aligned(4096)));
};

struct ring {
	struct ring_shared *sh;
	int fd[RING_FDS];
	uint64_t at; /* of ring_read */
};

static int ring_map(struct ring *r)
{
	void *p = mmap(NULL, sizeof(*r->sh), PROT_READ | PROT_WRITE, MAP_SHARED, r->fd[0], 0);
	if (p == MAP_FAILED)
		return -errno;
	r->sh = p;
	return 0;
}

void ring_free(struct ring *r)
{
	if (!r)
		return;
	if (r->sh)
		munmap(r->sh, sizeof(*r->sh));
	for (int i = 0; i < RING_FDS; i++)
		if (r->fd[i] >= 0)
			close(r->fd[i]);
	free(r);
}

int ring_open(const int fds[RING_FDS], struct ring **ret)
{
	struct ring *r = calloc(1, sizeof(*r));
	struct stat st;
	int error = r ? 0 : -ENOMEM;
	for (int i = 0; i < RING_FDS && !r; i++)
		close(fds[i]);
	if (!r)
		return error;
	memcpy(r->fd, fds, sizeof(r->fd));
	if (fstat(r->fd[0], &st) < 0 || st.st_size != (off_t)sizeof(*r->sh) ||
	    (fcntl(r->fd[0], F_GET_SEALS) & RING_SEALS) != RING_SEALS)
		error = -EINVAL;
	if (error == 0)
		error = ring_map(r);
	if (error == 0 && r->sh->magic != RING_MAGIC)
		error = -EINVAL;
	if (error < 0) {
		ring_free(r);
		return error;
	}
	r->at = atomic_load(&r->sh->tail);
	*ret = r;
	return 0;
}

static int make_memfd(void)
{
	autoclose int fd = memfd_create("porto-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	static const uint64_t magic = RING_MAGIC;
	if (fd < 0 || ftruncate(fd, sizeof(struct ring_shared)) < 0 || fcntl(fd, F_ADD_SEALS, RING_SEALS) < 0 ||
	    pwrite(fd, &magic, sizeof(magic), offsetof(struct ring_shared, magic)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int ring_create(struct ring **ret)
{
	int fds[RING_FDS] = { -1, -1, -1 };
	fds[0] = make_memfd();
	if (fds[0] < 0)
		return fds[0];
	if (pipe2(fds + 1, O_CLOEXEC | O_NONBLOCK) < 0) {
		int r = -errno;
		close(fds[0]);
		return r;
	}
	return ring_open(fds, ret);
}

const int *ring_fds(const struct ring *r)
{
	return r->fd;
}

int ring_wake_fd(const struct ring *r)
{
	return r->fd[1];
}

/* ---- bytes ---- */

/* How many lie in the ring from off on; false when the numbers, which the other side can write, make no sense. */
static bool bounds(const struct ring *r, uint64_t *tail, uint64_t *head)
{
	*tail = atomic_load(&r->sh->tail);
	*head = atomic_load(&r->sh->head);
	return *head >= *tail && *head - *tail <= RING_BYTES;
}

static void copy_in(struct ring *r, uint64_t off, const void *buf, size_t len)
{
	size_t at = off % RING_BYTES, first = MIN(len, RING_BYTES - at);
	memcpy(r->sh->data + at, buf, first);
	memcpy(r->sh->data, (const char *)buf + first, len - first);
}

static void copy_out(const struct ring *r, uint64_t off, void *buf, size_t len)
{
	size_t at = off % RING_BYTES, first = MIN(len, RING_BYTES - at);
	memcpy(buf, r->sh->data + at, first);
	memcpy((char *)buf + first, r->sh->data, len - first);
}

/* ---- waking ---- */

static long futex(_Atomic uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
	return syscall(SYS_futex, word, op, value, timeout, NULL, 0);
}

/* The worker did something. Also when it was done already: the one before may have died before it rang. */
static void ring_bell(struct ring *r)
{
	atomic_fetch_add(&r->sh->bell, 1);
	futex(&r->sh->bell, FUTEX_WAKE, INT32_MAX, NULL);
}

/* Until the bell is rung after it read `heard`. The deadline is for a worker that died on the way to it. */
static void wait_bell(struct ring *r, uint32_t heard)
{
	static const struct timespec second = { .tv_sec = 1 };
	futex(&r->sh->bell, FUTEX_WAIT, heard, &second);
}

/* A full pipe wakes as well. */
static void wake_worker(struct ring *r)
{
	if (atomic_exchange(&r->sh->waiting, false) && write(r->fd[2], "", 1) < 0)
		return;
}

void ring_drain(struct ring *r)
{
	char buf[256];
	while (read(r->fd[1], buf, sizeof(buf)) == (ssize_t)sizeof(buf))
		;
}

int ring_outcome(const struct ring *r)
{
	return atomic_load(&r->sh->outcome);
}

/* ---- the worker ---- */

uint64_t ring_head(const struct ring *r)
{
	return atomic_load(&r->sh->head);
}

static ssize_t try_put(struct ring *r, uint64_t off, const void *buf, size_t len)
{
	uint64_t tail, head;
	int outcome = ring_outcome(r);
	if (outcome < 0)
		return outcome;
	if (outcome == FINISHED)
		return (ssize_t)len;
	if (!bounds(r, &tail, &head) || off > head)
		return -EINVAL;
	size_t again = (size_t)MIN(head - off, (uint64_t)len), room = (size_t)(RING_BYTES - (head - tail));
	size_t more = MIN(len - again, room);
	if (again + more == 0 && len > 0)
		return -EAGAIN;
	copy_in(r, head, (const char *)buf + again, more);
	atomic_store(&r->sh->head, head + more);
	return (ssize_t)(again + more);
}

ssize_t ring_put(struct ring *r, uint64_t off, const void *buf, size_t len)
{
	ssize_t n = try_put(r, off, buf, len);
	if (n == -EAGAIN) { /* what became free before the mark was seen woke nobody */
		atomic_store(&r->sh->waiting, true);
		n = try_put(r, off, buf, len);
	}
	ring_bell(r);
	return n;
}

bool ring_is_consumed(struct ring *r, uint64_t off)
{
	for (int tries = 0; tries < 2; tries++) {
		if (ring_outcome(r) != 0 || atomic_load(&r->sh->tail) >= off)
			return true;
		atomic_store(&r->sh->waiting, true);
	}
	return ring_outcome(r) != 0 || atomic_load(&r->sh->tail) >= off;
}

void ring_end(struct ring *r)
{
	atomic_store(&r->sh->ended, true);
	ring_bell(r);
}

void ring_leave(struct ring *r)
{
	atomic_store(&r->sh->left, true);
	ring_bell(r);
}

static ssize_t try_get(struct ring *r, uint64_t off, void *buf, size_t len)
{
	uint64_t tail, head;
	int outcome = ring_outcome(r); /* before head: after the end nothing is added */
	if (!bounds(r, &tail, &head))
		return -EINVAL;
	if (outcome < 0)
		return outcome;
	if (off < tail || off > head)
		return -ESPIPE;
	size_t n = (size_t)MIN(head - off, (uint64_t)len);
	copy_out(r, off, buf, n);
	atomic_store(&r->sh->tail, off);
	return n > 0 || len == 0 || outcome == FINISHED ? (ssize_t)n : -EAGAIN;
}

ssize_t ring_get(struct ring *r, uint64_t off, void *buf, size_t len)
{
	ssize_t n = try_get(r, off, buf, len);
	if (n == -EAGAIN) {
		atomic_store(&r->sh->waiting, true);
		n = try_get(r, off, buf, len);
	}
	ring_bell(r);
	return n;
}

/* ---- porto-store ---- */

bool ring_is_starved(const struct ring *r)
{
	return atomic_load(&r->sh->head) <= r->at && !atomic_load(&r->sh->ended);
}

ssize_t ring_read(struct ring *r, void *buf, size_t len)
{
	for (;;) {
		uint32_t heard = atomic_load(&r->sh->bell);
		bool ended = atomic_load(&r->sh->ended); /* before head */
		uint64_t head = atomic_load(&r->sh->head);
		if (head < r->at || head - r->at > RING_BYTES)
			return -EINVAL;
		size_t n = (size_t)MIN(head - r->at, (uint64_t)len);
		if (n > 0 || ended) {
			copy_out(r, r->at, buf, n);
			r->at += n;
			return (ssize_t)n;
		}
		wait_bell(r, heard);
	}
}

void ring_consume(struct ring *r)
{
	if (atomic_load(&r->sh->tail) == r->at)
		return;
	atomic_store(&r->sh->tail, r->at);
	wake_worker(r);
}

int ring_feed(struct ring *r, const void *buf, size_t len)
{
	while (len > 0) {
		uint64_t tail, head;
		uint32_t heard = atomic_load(&r->sh->bell);
		if (atomic_load(&r->sh->left))
			return -EPIPE;
		if (!bounds(r, &tail, &head))
			return -EINVAL;
		size_t n = MIN(len, (size_t)(RING_BYTES - (head - tail)));
		if (n == 0) {
			wait_bell(r, heard);
			continue;
		}
		copy_in(r, head, buf, n);
		atomic_store(&r->sh->head, head + n);
		wake_worker(r);
		buf = (const char *)buf + n;
		len -= n;
	}
	return 0;
}

static void set_outcome(struct ring *r, int outcome)
{
	int none = 0;
	atomic_compare_exchange_strong(&r->sh->outcome, &none, outcome);
	wake_worker(r);
}

void ring_finish(struct ring *r)
{
	set_outcome(r, FINISHED);
}

void ring_fail(struct ring *r, int no)
{
	set_outcome(r, -no);
}
