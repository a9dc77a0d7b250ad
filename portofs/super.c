#include "portofs/super.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/proc.h"
#include "portofs/shm.h"
#include "portofs/worker.h"

#define REEXEC_ENV "PORTOD_HANDOVER" /* "FUSE MEM NOTES LOCK WORKER READY" */
#define ARGS_MAX 64
#define MSEC UINT64_C(1000000)
#define TERM_TIMEOUT (2000 * MSEC)
#define LIVED_LONG (1000 * MSEC)
#define BACKOFF_MAX 1000

struct super {
	struct config *conf;
	struct shm *shm;
	struct handover h;
	char **argv;
	char exe[PATH_MAX];
	int lock_fd, signal_fd, ready_fd;
	pid_t worker;
	uint64_t worker_since;  /* clock_mono */
	uint64_t start_at;      /* the next worker not before */
	uint64_t kill_at;       /* a worker told to go is killed then, 0: none was */
	uint64_t beat, beat_at; /* heartbeat last seen and when */
	int backoff;            /* milliseconds */
	bool stopping, ready, adopted;
};

/* ---- the mount ---- */

static int mount_tree(struct super *s, struct err *err)
{
	const char *dir = s->conf->daemon_mount;
	char options[128];
	struct stat st;

	if (stat(dir, &st) < 0 && errno == ENOTCONN && umount2(dir, MNT_DETACH) < 0)
		return err_sys(err, errno, "a dead mount at %s", dir);
	if (mkdir(dir, 0755) == 0)
		s->shm->made_dir = true;
	else if (errno != EEXIST)
		return err_sys(err, errno, "%s", dir);
	s->h.fuse = open("/dev/fuse", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (s->h.fuse < 0)
		return err_sys(err, errno, "/dev/fuse");
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions",
		 s->h.fuse);
	if (mount("porto", dir, "fuse.porto", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) < 0)
		return err_sys(err, errno, "mount %s", dir);
	return 0;
}

static void unmount_tree(struct super *s)
{
	if (umount2(s->conf->daemon_mount, MNT_DETACH) < 0)
		log_warning("umount %s: %s", s->conf->daemon_mount, strerror(errno));
	if (s->shm->made_dir)
		(void)rmdir(s->conf->daemon_mount);
}

static int fresh(struct super *s, struct err *err)
{
	int r = shm_create(&s->shm);

	if (r < 0)
		return err_sys(err, -r, "shared memory");
	s->h.mem = r;
	s->h.notes = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->h.notes < 0)
		return err_sys(err, errno, "eventfd");
	return mount_tree(s, err);
}

/* ---- what an earlier supervisor left ---- */

/* A worker that outlived its supervisor has all that matters; it is asked for it and replaced. */
static bool adopt_orphan(struct super *s)
{
	struct handover theirs;
	autoclose int pidfd = -1;
	int r = worker_find(s->conf, &theirs, &pidfd);

	if (r < 0)
		return false;
	s->h.fuse = fd_from_process(pidfd, theirs.fuse);
	s->h.mem = fd_from_process(pidfd, theirs.mem);
	s->h.notes = fd_from_process(pidfd, theirs.notes);
	if (s->h.fuse < 0 || s->h.mem < 0 || s->h.notes < 0 || shm_map(s->h.mem, &s->shm) < 0)
		return false;
	(void)proc_signal(pidfd, SIGTERM);
	for (int i = 0; i < 2000 && !proc_is_gone(pidfd); i++)
		usleep(1000);
	if (!proc_is_gone(pidfd))
		(void)proc_signal(pidfd, SIGKILL);
	s->adopted = true;
	log_info("took over from worker %d", r);
	return true;
}

static bool adopt_own(struct super *s)
{
	const char *env = getenv(REEXEC_ENV);
	int worker;

	if (env == NULL)
		return false;
	if (sscanf(env, "%d %d %d %d %d %d", &s->h.fuse, &s->h.mem, &s->h.notes, &s->lock_fd, &worker, &s->ready_fd) != 6 ||
	    shm_map(s->h.mem, &s->shm) < 0)
		return false;
	unsetenv(REEXEC_ENV);
	(void)fd_set_cloexec(s->h.fuse, true);
	(void)fd_set_cloexec(s->h.mem, true);
	(void)fd_set_cloexec(s->h.notes, true);
	(void)fd_set_cloexec(s->lock_fd, true);
	s->worker = worker;
	s->adopted = true;
	return true;
}

static void reexec(struct super *s)
{
	char env[96];

	snprintf(env, sizeof(env), "%d %d %d %d %d %d", s->h.fuse, s->h.mem, s->h.notes, s->lock_fd, (int)s->worker, -1);
	setenv(REEXEC_ENV, env, 1);
	(void)fd_set_cloexec(s->h.fuse, false);
	(void)fd_set_cloexec(s->h.mem, false);
	(void)fd_set_cloexec(s->h.notes, false);
	(void)fd_set_cloexec(s->lock_fd, false);
	execv(s->exe, s->argv);
	log_error("upgrade: %s: %s", s->exe, strerror(errno));
	unsetenv(REEXEC_ENV);
	(void)fd_set_cloexec(s->h.fuse, true);
	(void)fd_set_cloexec(s->h.mem, true);
	(void)fd_set_cloexec(s->h.notes, true);
	(void)fd_set_cloexec(s->lock_fd, true);
}

/* ---- the lock ---- */

static int open_lock(const struct config *conf, int flags)
{
	autofree char *path = path_join(conf->daemon_state_dir, "portod.pid");
	int fd;

	if (path == NULL)
		return -ENOMEM;
	fd = open(path, flags | O_CLOEXEC, 0644);
	return fd < 0 ? -errno : fd;
}

int super_running(const struct config *conf)
{
	autoclose int fd = open_lock(conf, O_RDONLY);
	char buf[16] = "";

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (pread(fd, buf, sizeof(buf) - 1, 0) <= 0)
		return -EAGAIN;
	return atoi(buf);
}

static int take_lock(struct super *s, struct err *err)
{
	char line[16];
	int n;

	if (mkdir(s->conf->daemon_state_dir, 0755) < 0 && errno != EEXIST)
		return err_sys(err, errno, "state directory %s", s->conf->daemon_state_dir);
	s->lock_fd = open_lock(s->conf, O_RDWR | O_CREAT);
	if (s->lock_fd < 0)
		return err_sys(err, -s->lock_fd, "%s/portod.pid", s->conf->daemon_state_dir);
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return err_set(err, ERR_Busy, "portod is already running with %s", s->conf->daemon_state_dir);
	n = snprintf(line, sizeof(line), "%d\n", (int)getpid());
	if (ftruncate(s->lock_fd, 0) < 0 || pwrite(s->lock_fd, line, (size_t)n, 0) != n)
		return err_sys(err, errno, "%s/portod.pid", s->conf->daemon_state_dir);
	return 0;
}

/* ---- the worker ---- */

static void start_worker(struct super *s)
{
	char fds[3][12];
	char *args[ARGS_MAX];
	sigset_t none;
	size_t n = 0;
	pid_t pid;

	for (; n < ARGS_MAX - 5 && s->argv[n] != NULL; n++)
		args[n] = s->argv[n];
	snprintf(fds[0], sizeof(fds[0]), "%d", s->h.fuse);
	snprintf(fds[1], sizeof(fds[1]), "%d", s->h.mem);
	snprintf(fds[2], sizeof(fds[2]), "%d", s->h.notes);
	args[n++] = (char *)"worker";
	for (int i = 0; i < 3; i++)
		args[n++] = fds[i];
	args[n] = NULL;
	sigemptyset(&none);
	pid = vfork();
	if (pid == 0) {
		sigprocmask(SIG_SETMASK, &none, NULL);
		fcntl(s->h.fuse, F_SETFD, 0);
		fcntl(s->h.mem, F_SETFD, 0);
		fcntl(s->h.notes, F_SETFD, 0);
		execv(s->exe, args);
		_exit(127);
	}
	if (pid < 0) {
		log_error("cannot start a worker: %s", strerror(errno));
		s->start_at = clock_mono() + BACKOFF_MAX * MSEC;
		return;
	}
	s->worker = pid;
	s->worker_since = s->beat_at = clock_mono();
	s->beat = atomic_load(&s->shm->heartbeat);
	s->kill_at = 0;
}

static void tell_ready(struct super *s, const char *text)
{
	if (s->ready_fd >= 0) {
		(void)fd_write_all(s->ready_fd, text, strlen(text));
		close(s->ready_fd);
	}
	s->ready_fd = -1;
}

/* systemd's protocol: one datagram to the socket it named. */
static void notify_systemd(const char *state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const char *name = getenv("NOTIFY_SOCKET");
	autoclose int fd = -1;
	size_t len = name != NULL ? strlen(name) : 0;

	if (len == 0 || len >= sizeof(addr.sun_path))
		return;
	memcpy(addr.sun_path, name, len);
	if (name[0] == '@')
		addr.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		(void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&addr,
			     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
}

static void worker_ended(struct super *s, const siginfo_t *si)
{
	uint64_t now = clock_mono();

	s->worker = 0;
	s->kill_at = 0;
	if (si->si_code == CLD_DUMPED || (si->si_code == CLD_KILLED && si->si_status != SIGKILL && si->si_status != SIGTERM))
		atomic_store(&s->shm->death, DEATH_CRASHED);
	if (si->si_code == CLD_EXITED && si->si_status == WORKER_EXIT_UNMOUNTED)
		s->stopping = true;
	if (!s->ready && !s->adopted) { /* the first one could not serve: no use to try again */
		tell_ready(s, s->shm->failure[0] != '\0' ? s->shm->failure : "the worker died at its start");
		s->stopping = true;
	}
	if (now - s->worker_since > LIVED_LONG)
		s->backoff = 0;
	else
		s->backoff = MIN(s->backoff * 2 + 1, BACKOFF_MAX);
	s->start_at = now + (s->backoff > 1 ? (uint64_t)s->backoff * MSEC : 0);
	if (!s->stopping)
		log_debug("worker ended (%d, %d)", si->si_code, si->si_status);
}

/* The worker first, so that it is seen even while a full ring keeps the others waiting as zombies. */
static void reap(struct super *s)
{
	siginfo_t si = {};
	bool noted = false;
	uint64_t one = 1;

	if (s->worker > 0 && waitid(P_PID, (id_t)s->worker, &si, WEXITED | WNOHANG) == 0 && si.si_pid == s->worker)
		worker_ended(s, &si);
	while (!notes_full(&s->shm->notes)) {
		struct note note = {};

		memset(&si, 0, sizeof(si));
		if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || si.si_pid == 0)
			break;
		if (si.si_pid == s->worker)
			break;
		note.pid = si.si_pid;
		(void)proc_start_time(si.si_pid, &note.start_time);
		note.status = si.si_code == CLD_EXITED ? (si.si_status & 255) << 8 :
			      si.si_code == CLD_DUMPED ? si.si_status | 128 : si.si_status;
		notes_put(&s->shm->notes, note);
		(void)waitid(P_PID, (id_t)si.si_pid, &si, WEXITED | WNOHANG);
		noted = true;
	}
	if (noted)
		(void)!write(s->h.notes, &one, sizeof(one));
}

static void ask_worker_to_go(struct super *s)
{
	if (s->worker > 0 && s->kill_at == 0) {
		kill(s->worker, SIGTERM); /* our own child, not reaped yet: the pid is its */
		s->kill_at = clock_mono() + TERM_TIMEOUT;
	}
}

static void watch(struct super *s)
{
	uint64_t now = clock_mono(), beat = atomic_load(&s->shm->heartbeat);

	if (!s->ready && atomic_load(&s->shm->serving) != 0 && s->worker > 0) {
		s->ready = true;
		tell_ready(s, "ok");
		notify_systemd("READY=1");
	}
	if (beat != s->beat) {
		s->beat = beat;
		s->beat_at = now;
	}
	if (s->worker > 0 && s->kill_at != 0 && now >= s->kill_at) {
		kill(s->worker, SIGKILL);
		s->kill_at = now + TERM_TIMEOUT;
	}
	if (s->worker > 0 && !s->stopping && s->conf->daemon_watchdog != 0 && now - s->beat_at > s->conf->daemon_watchdog) {
		log_error("worker %d stands still and is replaced", (int)s->worker);
		kill(s->worker, SIGKILL);
		s->worker = 0; /* it may hang in the kernel: the next one doesn't wait for it */
		s->start_at = now;
	}
	if (s->worker == 0 && !s->stopping && now >= s->start_at)
		start_worker(s);
}

static int wait_time(const struct super *s)
{
	uint64_t now = clock_mono();

	if (s->worker == 0)
		return s->start_at > now ? (int)((s->start_at - now) / MSEC) + 1 : 0;
	if (!s->ready || s->kill_at != 0)
		return 5;
	return notes_full(&s->shm->notes) ? 20 : 1000;
}

static void on_signals(struct super *s)
{
	struct signalfd_siginfo si;

	while (read(s->signal_fd, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGHUP) {
			reap(s);
			reexec(s);
		} else if (si.ssi_signo == SIGTERM || si.ssi_signo == SIGINT) {
			s->stopping = true;
			ask_worker_to_go(s);
		}
	}
}

static int serve(struct super *s)
{
	struct pollfd p = { .fd = s->signal_fd, .events = POLLIN };

	while (!s->stopping || s->worker > 0) {
		watch(s);
		(void)poll(&p, 1, wait_time(s));
		on_signals(s);
		reap(s);
	}
	notify_systemd("STOPPING=1");
	return s->ready ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int block_signals(struct super *s)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_SETMASK, &set, NULL) < 0)
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signal_fd < 0 ? -errno : 0;
}

/* The path it was started by, also when the file there is a newer one by now. */
static void find_exe(struct super *s)
{
	ssize_t n = readlink("/proc/self/exe", s->exe, sizeof(s->exe) - 1);
	char *deleted;

	s->exe[n > 0 ? n : 0] = '\0';
	deleted = strstr(s->exe, " (deleted)");
	if (deleted != NULL)
		*deleted = '\0';
}

static void remove_pid_files(const struct super *s)
{
	autofree char *worker = path_join(s->conf->daemon_state_dir, "worker.pid");
	autofree char *own = path_join(s->conf->daemon_state_dir, "portod.pid");

	if (worker != NULL)
		(void)unlink(worker);
	if (own != NULL)
		(void)unlink(own);
}

static int prepare(struct super *s, struct err *err)
{
	int r = block_signals(s);

	if (r < 0)
		return err_sys(err, -r, "signals");
	find_exe(s);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	(void)file_write(AT_FDCWD, "/proc/self/oom_score_adj", "-999"); /* as far as we may */
	if (adopt_own(s)) {
		ask_worker_to_go(s);
		return 0;
	}
	r = take_lock(s, err);
	if (r < 0)
		return r;
	return adopt_orphan(s) ? 0 : fresh(s, err);
}

int super_main(struct config *conf, char **argv, int ready_fd)
{
	static struct super s;
	struct err err = {};
	int r;

	s = (struct super){ .conf = conf, .argv = argv, .ready_fd = ready_fd, .lock_fd = -1, .signal_fd = -1,
			    .h = { .fuse = -1, .mem = -1, .notes = -1 } };
	r = prepare(&s, &err);
	if (r < 0) {
		log_error("%s", err.text);
		tell_ready(&s, err.text);
		return EXIT_FAILURE;
	}
	r = serve(&s);
	unmount_tree(&s);
	remove_pid_files(&s);
	return r;
}
