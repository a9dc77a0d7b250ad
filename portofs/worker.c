#include "portofs/worker.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/proc.h"
#include "portofs/fs.h"
#include "portofs/interrupt.h"
#include "portofs/node.h"
#include "portofs/park.h"

#define HEARTBEAT_NSEC UINT64_C(1000000000)
/* What is freed goes back to the kernel: a worker is small between two large answers. */
#define GIVE_BACK_BYTES (128 << 10)
#define INHERITED_MAX 256

struct worker {
	struct fs fs;
	struct loop_timer heart;
	struct loop_fd signals;
};

static void on_done(void *arg, uint64_t cookie, int result, const char *text, size_t len)
{
	park_done(arg, cookie, result, text, len);
}

static void on_changed(void *arg, enum engine_dir dir, uint32_t ct, int file)
{
	poll_changed(arg, dir, ct, file);
}

static void on_gone(void *arg, uint32_t parent, const char *name)
{
	(void)parent;
	(void)name;
	session_forget_names(arg);
}

static void beat(void *arg)
{
	struct worker *w = arg;

	atomic_fetch_add(&w->fs.shm->heartbeat, 1);
	(void)loop_after(w->fs.loop, &w->heart, HEARTBEAT_NSEC);
}

/* Told to go: what is in flight is in shared memory, so any moment between two events is a clean one. */
static void on_signal(void *arg, uint32_t events)
{
	struct worker *w = arg;

	(void)events;
	loop_stop(w->fs.loop);
}

static int watch_signals(struct worker *w)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_SETMASK, &set, NULL);
	/* A terminal's signals go to the whole group; the supervisor says what becomes of us. */
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	w->signals = (struct loop_fd){ .fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), .fn = on_signal, .arg = w };
	return w->signals.fd < 0 ? -errno : loop_add(w->fs.loop, &w->signals, EPOLLIN);
}

/* The old file has room for it when the disk is full: it is as long, and torn only for a moment. */
static void write_in_place(int dir, const char *line, size_t len)
{
	autoclose int fd = openat(dir, "worker.pid", O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 || pwrite(fd, line, len, 0) != (ssize_t)len || ftruncate(fd, (off_t)len) < 0)
		log_error("worker.pid: %s: another supervisor will not find this worker", strerror(errno));
}

static void write_pid(const struct config *conf, const struct handover *h)
{
	autoclose int dir = open(conf->daemon_state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint64_t start = 0;
	char line[96];
	int n;

	(void)proc_start_time(getpid(), &start);
	n = snprintf(line, sizeof(line), "%d %llu %d %d %d\n", (int)getpid(), (unsigned long long)start, h->fuse, h->mem,
		     h->notes);
	if (dir >= 0 && n > 0 && file_replace(dir, "worker.pid", line, (size_t)n, 0644) < 0)
		write_in_place(dir, line, (size_t)n);
}

int worker_find(const struct config *conf, struct handover *fds, int *pidfd)
{
	autofree char *path = path_join(conf->daemon_state_dir, "worker.pid");
	unsigned long long start;
	char line[96];
	int pid;

	if (path == NULL)
		return -ENOMEM;
	if (file_read_small(AT_FDCWD, path, line, sizeof(line)) < 0)
		return -ENOENT;
	if (sscanf(line, "%d %llu %d %d %d", &pid, &start, &fds->fuse, &fds->mem, &fds->notes) != 5)
		return -ENOENT;
	*pidfd = proc_open(pid, start);
	return *pidfd < 0 ? *pidfd : pid;
}

static int set_up(struct worker *w, struct config *conf, const struct handover *h, struct err *err)
{
	static const struct engine_events events = { .done = on_done, .changed = on_changed, .gone = on_gone };
	struct fs *fs = &w->fs;
	int r;

	fs->conf = conf;
	r = loop_new(&fs->loop);
	if (r == 0)
		r = watch_signals(w);
	if (r == 0)
		r = node_init(fs);
	if (r == 0)
		r = park_init(fs);
	if (r == 0)
		r = session_new(fs, h->fuse);
	if (r < 0)
		return err_sys(err, -r, "session");
	r = engine_new(fs->loop, conf, &events, fs, &fs->engine, err);
	if (r < 0)
		return r;
	r = session_start(fs);
	return r < 0 ? err_sys(err, -r, "session") : 0;
}

static void tear_down(struct worker *w)
{
	engine_free(w->fs.engine);
	interrupt_free(&w->fs);
	park_free(&w->fs);
	session_free(&w->fs);
	loop_free(w->fs.loop);
}

/* What was open by chance in whoever started the supervisor. The log's descriptor is its own again: see main.c. */
static void close_others(const struct handover *h)
{
	for (int fd = STDERR_FILENO + 1; fd < INHERITED_MAX; fd++) {
		int flags = fcntl(fd, F_GETFD);
		if (flags >= 0 && !(flags & FD_CLOEXEC) && fd != h->fuse && fd != h->mem && fd != h->notes)
			close(fd);
	}
}

int worker_main(struct config *conf, const struct handover *h)
{
	static struct worker w;
	struct err err = {};
	int r;

	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, GIVE_BACK_BYTES);
	mallopt(M_TRIM_THRESHOLD, GIVE_BACK_BYTES);
	close_others(h);
	prctl(PR_SET_NAME, "portod-worker");
	(void)fd_set_cloexec(h->fuse, true);
	(void)fd_set_cloexec(h->mem, true);
	(void)fd_set_cloexec(h->notes, true);
	r = shm_map(h->mem, &w.fs.shm);
	if (r < 0) {
		log_error("shared memory: %s", strerror(-r));
		return WORKER_EXIT_FAILED;
	}
	atomic_fetch_add(&w.fs.shm->generation, 1);
	conf->notes = &w.fs.shm->notes;
	conf->notes_fd = h->notes;
	conf->started = w.fs.shm->started;
	conf->fresh = atomic_load(&w.fs.shm->serving) == 0;
	write_pid(conf, h);
	r = set_up(&w, conf, h, &err);
	if (r < 0) {
		log_error("cannot serve: %s", err.text);
		snprintf(w.fs.shm->failure, sizeof(w.fs.shm->failure), "%.500s", err.text);
		return WORKER_EXIT_FAILED;
	}
	w.heart = (struct loop_timer){ .fn = beat, .arg = &w };
	beat(&w);
	atomic_store(&w.fs.shm->serving, atomic_load(&w.fs.shm->generation));
	r = loop_run(w.fs.loop);
	if (w.fs.unmounted)
		return WORKER_EXIT_UNMOUNTED;
	tear_down(&w);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
