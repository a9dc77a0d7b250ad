/*
 * The FUSE session: it belongs to the mount, not to the process. Each worker plays the saved INIT to its own libfuse,
 * answers what the one before it left behind, and goes on reading.
 */
#include "portofs/fs.h"

#include <stdio.h>
#include <sys/epoll.h>
#include <sys/uio.h>

#include "base/log.h"
#include "portofs/interrupt.h"
#include "portofs/park.h"

#define READ_BURST 64 /* requests a wake-up, so that other events have their turn */

/* Newer than the headers of Debian 12. */
#define NOTIFY_RESEND 7
#define NOTIFY_INC_EPOCH 8
#define UNIQUE_RESEND (UINT64_C(1) << 63)
#define MINOR_RESEND 42 /* 6.14: with the mending of what 6.9 began */
#define MINOR_INC_EPOCH 44

#define UNIQUE_BITS 48

/*
 * Charges for a worker's death, borne by the request it was busy with. A crash is most likely its fault and three are
 * enough; kill -9 is most likely not, but the kernel's killing of who eats all memory looks the same.
 */
#define CHARGE_CRASH 4
#define CHARGE_KILL 1
#define CHARGE_MAX 12

static uint64_t cookie_of(const struct fs *fs, uint64_t unique)
{
	return (unique & ((UINT64_C(1) << UNIQUE_BITS) - 1)) | (uint64_t)fs->shm->mount_tag << UNIQUE_BITS;
}

/* ---- INIT ---- */

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct fs *fs = userdata;

	/* What the first worker asked for stays for the life of the mount, whatever a newer binary would like. */
	if (!fs->init_replay)
		fs->shm->init_want = conn->capable & (FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_PARALLEL_DIROPS |
						      FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_ASYNC_READ);
	conn->want = fs->shm->init_want & conn->capable;
	conn->max_write = MAX_WRITE;
	conn->max_readahead = 0;
	fs->kernel_minor = conn->proto_minor;
}

static size_t iov_copy(const struct iovec *iov, int count, void *buf, size_t size)
{
	size_t len = 0;

	for (int i = 0; i < count; i++) {
		if (len + iov[i].iov_len <= size)
			memcpy((char *)buf + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	return len;
}

static ssize_t send_all(int fd, const struct iovec *iov, int count)
{
	ssize_t r;

	/* A reply that is lost for want of memory leaves its client hanging. */
	for (int tries = 0; tries < 1000; tries++) {
		r = writev(fd, iov, count);
		if (r >= 0 || (errno != EINTR && errno != ENOMEM && errno != EAGAIN))
			break;
		if (errno == ENOMEM)
			usleep(1000);
	}
	return r;
}

static ssize_t io_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	const struct fuse_out_header *head = iov[0].iov_base;
	struct fs *fs = userdata;
	struct shm *shm = fs->shm;
	unsigned char again[sizeof(shm->init_reply)];
	size_t len;
	ssize_t r;

	if (fs->init_replay) {
		len = iov_copy(iov, count, again, sizeof(again));
		if (len != shm->init_reply_len || memcmp(again, shm->init_reply, len) != 0)
			log_warning("this binary would have negotiated another session with the kernel");
		return (ssize_t)len;
	}
	if (fs->in && fs->in->opcode == FUSE_INIT && fs->in->unique == head->unique) {
		shm->init_reply_len = (uint32_t)iov_copy(iov, count, shm->init_reply, sizeof(shm->init_reply));
		r = send_all(fd, iov, count);
		/* ENOENT: it had gone out already, by a worker that didn't live to note it. */
		if (r >= 0 || errno == ENOENT)
			atomic_store(&shm->init_done, 1);
		return r;
	}
	return send_all(fd, iov, count);
}

static ssize_t io_read(int fd, void *buf, size_t len, UNUSED void *userdata)
{
	return read(fd, buf, len);
}

static void to_log(enum fuse_log_level level, const char *fmt, va_list args)
{
	char line[512];

	/* The format is libfuse's own. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	vsnprintf(line, sizeof(line), fmt, args);
#pragma GCC diagnostic pop
	line[strcspn(line, "\n")] = 0;
	log_at(level <= FUSE_LOG_ERR ? LOG_ERROR : LOG_DEBUG, "%s", line);
}

static void replay_init(struct fs *fs)
{
	struct fuse_in_header *in = (void *)fs->shm->init;
	struct fuse_buf buf = { .mem = in, .size = in->len, .fd = -1 };

	fs->init_replay = true;
	fuse_session_process_buf(fs->session, &buf);
	fs->init_replay = false;
}

int session_new(struct fs *fs, int fd)
{
	static const struct fuse_custom_io io = { .writev = io_writev, .read = io_read };
	struct fuse_lowlevel_ops ops = fs_ops;
	char name[] = "portod", *argv[] = { name, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);

	fuse_set_log_func(to_log);
	ops.init = op_init;
	fs->session = fuse_session_new(&args, &ops, sizeof(ops), fs);
	fuse_opt_free_args(&args);
	if (!fs->session)
		return -ENOMEM;
	if (fuse_session_custom_io(fs->session, &io, fd) < 0) {
		fuse_session_destroy(fs->session);
		fs->session = NULL;
		return -ENOMEM;
	}
	fs->device.fd = fd;
	if (atomic_load(&fs->shm->init_done))
		replay_init(fs);
	return 0;
}

void session_free(struct fs *fs)
{
	if (fs->session)
		fuse_session_destroy(fs->session);
	fs->session = NULL;
	fs->device.fd = -1;
}

/* ---- messages of our own ---- */

/* Failing to is harmless: nobody waits (ENOENT), or the kernel is too old (EINVAL). */
static void notify(struct fs *fs, int code, const void *body, size_t len)
{
	struct fuse_out_header head = { .len = (uint32_t)(sizeof(head) + len), .error = code };
	struct iovec iov[2] = { { &head, sizeof(head) }, { (void *)body, len } };

	send_all(fs->device.fd, iov, len ? 2 : 1);
}

void session_wake_poll(struct fs *fs, uint64_t kh)
{
	struct fuse_notify_poll_wakeup_out out = { .kh = kh };

	notify(fs, FUSE_NOTIFY_POLL, &out, sizeof(out));
}

bool session_has_epoch(const struct fs *fs)
{
	return fs->kernel_minor >= MINOR_INC_EPOCH;
}

void session_forget_names(struct fs *fs)
{
	if (session_has_epoch(fs))
		notify(fs, NOTIFY_INC_EPOCH, NULL, 0);
}

/* ---- requests ---- */

static void answer_eio(struct fs *fs, const struct fuse_in_header *in)
{
	struct fuse_out_header head = { .len = sizeof(head), .error = -EIO, .unique = in->unique };
	struct iovec iov = { &head, sizeof(head) };

	log_error("request %llu (operation %u on node %llx) has killed several workers and is answered with EIO",
		  (unsigned long long)in->unique, in->opcode, (unsigned long long)in->nodeid);
	send_all(fs->device.fd, &iov, 1);
}

static void process(struct fs *fs, struct fuse_in_header *in)
{
	struct fuse_buf buf = { .mem = in, .size = in->len, .fd = -1 };
	struct shm *shm = fs->shm;

	fs->cookie = cookie_of(fs, in->unique);
	switch (in->opcode) {
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
		return; /* ids need no memory */
	case FUSE_INTERRUPT:
		/* Not parked means answered: a request is dealt with wholly before the next is read. */
		interrupt_request(fs, cookie_of(fs, ((struct fuse_interrupt_in *)(in + 1))->unique));
		return;
	case FUSE_INIT:
		memcpy(shm->init, in, MIN(in->len, sizeof(shm->init)));
		break;
	default:
		break;
	}
	if (shm->suspect == fs->cookie && shm->suspicion >= CHARGE_MAX) {
		answer_eio(fs, in);
		return;
	}
	fs->in = in;
	atomic_store(&shm->trying, fs->cookie);
	fuse_session_process_buf(fs->session, &buf);
	atomic_store(&shm->trying, 0);
	fs->in = NULL;
}

static void on_device(void *arg, UNUSED uint32_t events)
{
	struct fs *fs = arg;
	struct fuse_in_header *in = (void *)fs->landing->data;
	ssize_t n;

	for (int i = 0; i < READ_BURST && fs->session; i++) {
		n = read(fs->device.fd, in, LANDING_BYTES);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0 && errno == ENODEV) {
			fs->unmounted = true;
			session_pause(fs);
			loop_stop(fs->loop);
			return;
		}
		/* ENOENT: the request was interrupted before we saw it. */
		if (n < 0 && errno != EINTR && errno != ENOENT) {
			log_error("reading a request: %s", strerror(errno));
			return;
		}
		if (n >= (ssize_t)sizeof(*in))
			process(fs, in);
		in->len = 0;
	}
}

/* Who was the last worker busy with when it died? */
static void charge(struct fs *fs)
{
	struct shm *shm = fs->shm;
	uint64_t cookie = atomic_load(&shm->trying);
	bool crashed = atomic_exchange(&shm->death, DEATH_KILLED) == DEATH_CRASHED;

	if (!cookie)
		return;
	if (shm->suspect != cookie)
		shm->suspicion = 0;
	shm->suspect = cookie;
	shm->suspicion += crashed ? CHARGE_CRASH : CHARGE_KILL;
	atomic_store(&shm->trying, 0);
}

/* A landing buffer each, in turn: a worker that hangs in the kernel may yet fill its own. */
static void replay_landing(struct fs *fs, struct landing *l)
{
	struct fuse_in_header *in = (void *)l->data;

	if (in->len >= sizeof(*in) && in->len <= LANDING_BYTES && !park_has(fs, cookie_of(fs, in->unique)))
		process(fs, in);
	in->len = 0;
}

/* All pages must be there before the kernel copies into them: a page fault of a process being killed fails. */
static void touch_pages(volatile unsigned char *p)
{
	for (size_t i = 0; i < LANDING_BYTES; i += 4096) {
		unsigned char keep = p[i];

		p[i] = keep;
	}
}

int session_start(struct fs *fs)
{
	unsigned generation = atomic_load(&fs->shm->generation);

	fs->landing = &fs->shm->landings[generation % LANDINGS];
	touch_pages(fs->landing->data);
	charge(fs);
	poll_take_over(fs);
	park_replay(fs, process);
	for (unsigned i = 1; i <= LANDINGS; i++)
		replay_landing(fs, &fs->shm->landings[(generation + i) % LANDINGS]);
	interrupt_check_all(fs);
	poll_wake_all(fs);
	/* Containers may have gone while nobody served. */
	session_forget_names(fs);
	if (generation > 1 && fs->kernel_minor >= MINOR_RESEND)
		notify(fs, NOTIFY_RESEND, NULL, 0);
	fs->device.fn = on_device;
	fs->device.arg = fs;
	return loop_add(fs->loop, &fs->device, EPOLLIN);
}

void session_pause(struct fs *fs)
{
	loop_del(fs->loop, &fs->device);
}
