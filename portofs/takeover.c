#include "portofs/takeover.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/proc.h"
#include "portofs/systemd.h"

#define PID_FILE "portod.pid"
#define CONFIG_FILE "portod.conf"
#define LOCK_TRIES 50 /* of 2 ms: `portod status` holds the lock for a moment */
#define LOCK_USEC 2000
#define TERM_MSEC 2000
#define NSEC_PER_SEC UINT64_C(1000000000)

static int open_lock(const struct config *conf, int flags)
{
	autofree char *path = path_join(conf->daemon_state_dir, PID_FILE);
	int fd;

	if (!path)
		return -ENOMEM;
	fd = open(path, flags | O_CLOEXEC, 0644);
	return fd < 0 ? -errno : fd;
}

static int write_own_pid(int fd)
{
	uint64_t start = 0;
	char line[96];
	int n;

	(void)proc_start_time(getpid(), &start);
	n = snprintf(line, sizeof(line), "%d %llu %llu\n", (int)getpid(), (unsigned long long)start,
		     (unsigned long long)(clock_wall() / NSEC_PER_SEC));
	if (ftruncate(fd, 0) < 0 || pwrite(fd, line, (size_t)n, 0) != n)
		return -errno;
	return 0;
}

int takeover_lock(const struct config *conf, struct err *err)
{
	const char *dir = conf->daemon_state_dir;
	autoclose int fd = -1;
	int r = -1;

	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return err_sys(err, errno, "state directory %s", dir);
	fd = open_lock(conf, O_RDWR | O_CREAT);
	if (fd < 0)
		return err_sys(err, -fd, "%s/" PID_FILE, dir);
	for (int i = 0; i < LOCK_TRIES && r < 0; i++) {
		r = flock(fd, LOCK_EX | LOCK_NB);
		if (r < 0)
			usleep(LOCK_USEC);
	}
	if (r < 0)
		return err_set(err, ERR_Busy, TAKEOVER_HELD "%s", dir);
	r = write_own_pid(fd);
	if (r < 0)
		return err_sys(err, -r, "%s/" PID_FILE, dir);
	return TAKE_FD(fd);
}

int takeover_holder(const struct config *conf, struct pid_info *ret)
{
	autoclose int fd = open_lock(conf, O_RDONLY);
	unsigned long long start, since;
	char line[96] = "";

	*ret = (struct pid_info){};
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	if (flock(fd, LOCK_SH | LOCK_NB) == 0)
		return 0;
	if (pread(fd, line, sizeof(line) - 1, 0) < 0)
		return -errno;
	if (sscanf(line, "%d %llu %llu", &ret->pid, &start, &since) != 3)
		return -EAGAIN;
	ret->start = start;
	ret->since = since;
	return ret->pid;
}

int takeover_write_config(const struct config *conf, char **path, struct err *err)
{
	autoclose int dir = open(conf->daemon_state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autotext struct text text = {};
	int r;

	config_format(conf, &text);
	r = dir < 0 ? -errno : text_ok(&text);
	if (r == 0)
		r = file_replace(dir, CONFIG_FILE, text_str(&text), text.len, 0644);
	if (r < 0)
		return err_sys(err, -r, "%s/" CONFIG_FILE, conf->daemon_state_dir);
	*path = path_join(conf->daemon_state_dir, CONFIG_FILE);
	return *path ? 0 : err_sys(err, ENOMEM, "%s", conf->daemon_state_dir);
}

void takeover_end_worker(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	(void)proc_signal(pidfd, SIGTERM);
	if (poll(&p, 1, TERM_MSEC) > 0)
		return;
	(void)proc_signal(pidfd, SIGKILL);
	(void)poll(&p, 1, TERM_MSEC);
}

static void close_all(struct handover *h)
{
	cleanup_close(&h->fuse);
	cleanup_close(&h->mem);
	cleanup_close(&h->notes);
}

/* Does the kernel still know the mount behind this descriptor? */
static bool is_connected(int fuse)
{
	struct pollfd p = { .fd = fuse, .events = POLLIN };

	return fuse >= 0 && poll(&p, 1, 0) >= 0 && !(p.revents & (POLLERR | POLLNVAL));
}

static int take(struct handover *h, struct shm **shm)
{
	if (is_connected(h->fuse) && h->notes >= 0 && h->mem >= 0 && shm_map(h->mem, shm) == 0)
		return 0;
	close_all(h);
	return -ENOENT;
}

int takeover_session(const struct config *conf, struct handover *h, struct shm **shm)
{
	struct handover theirs;
	autoclose int pidfd = -1;
	int worker = worker_find(conf, &theirs, &pidfd);

	if (worker > 0) {
		*h = (struct handover){ .fuse = fd_from_process(pidfd, theirs.fuse), .mem = fd_from_process(pidfd, theirs.mem),
					.notes = fd_from_process(pidfd, theirs.notes) };
		/* Whatever becomes of its session, two may not act on the same containers. */
		takeover_end_worker(pidfd);
		if (take(h, shm) == 0) {
			log_info("took the session over from worker %d", worker);
			return 0;
		}
		log_warning("worker %d had no session that could be taken over", worker);
	}
	if (systemd_take(h) && take(h, shm) == 0) {
		log_info("took the session that systemd kept");
		return 0;
	}
	return -ENOENT;
}

void takeover_remove_files(const struct config *conf)
{
	autoclose int dir = open(conf->daemon_state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return;
	(void)unlinkat(dir, "worker.pid", 0);
	(void)unlinkat(dir, CONFIG_FILE, 0);
	(void)unlinkat(dir, PID_FILE, 0);
}
