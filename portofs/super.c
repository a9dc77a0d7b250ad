#include "portofs/super.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/proc.h"
#include "engine/engine.h"
#include "portofs/mount.h"
#include "portofs/shm.h"
#include "portofs/systemd.h"
#include "portofs/takeover.h"
#include "portofs/worker.h"

#define MSEC UINT64_C(1000000)
#define SEC (1000 * MSEC)
#define TERM_TIMEOUT (2 * SEC)
#define LIVED_LONG (10 * SEC)
#define BACKOFF_FIRST_MSEC 10u
#define BACKOFF_MAX_MSEC 1000u
#define EARLY_DEATHS 3      /* of the very first worker, before the mount is given up */
#define RESTORE_FACTOR 4    /* how much longer than the watchdog's time a worker may take to begin */
#define TRY_MSEC 5000       /* for a new binary to show that it runs at all */
#define AGAIN_MAX 128

enum resume_arg { ARG_FUSE, ARG_MEM, ARG_NOTES, ARG_LOCK, ARG_WORKER, ARG_NUMBERS, ARG_CONFIG = ARG_NUMBERS, RESUME_ARGS };

struct super {
	struct config *conf;
	struct shm *shm;
	struct handover h;
	char **again;
	char exe[PATH_MAX];
	char *worker_conf;      /* path of the configuration in force */
	int lock_fd, signal_fd, ready_fd;
	pid_t worker;           /* 0: none */
	uint32_t generation;    /* of workers, before this one began */
	uint64_t worker_since;  /* clock_mono */
	uint64_t start_at;      /* the next worker not before */
	uint64_t kill_at;       /* a worker told to go is killed then; 0: none was */
	uint64_t beat, beat_at; /* heartbeat last seen, and when it changed */
	unsigned backoff_msec;
	unsigned early_deaths;
	bool stopping, ready, adopted;
};

/* ---- the session ---- */

/* A mount of our own with new memory. What the old memory still had to tell of the dead goes along. */
static int session_begin(struct super *s, struct err *err)
{
	struct shm *old = s->shm;
	int r = shm_create(&s->shm);

	if (r < 0)
		return err_sys(err, -r, "shared memory");
	s->h.mem = r;
	if (old) {
		memcpy(&s->shm->notes, &old->notes, sizeof(old->notes));
		shm_unmap(old);
	}
	if (snprintf(s->shm->mount, sizeof(s->shm->mount), "%s", s->conf->daemon_mount) >= (int)sizeof(s->shm->mount))
		return err_set_no(err, ERR_InvalidValue, ENAMETOOLONG, "daemon.mount is too long");
	s->h.notes = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->h.notes < 0)
		return err_sys(err, errno, "eventfd");
	s->h.fuse = tree_mount(s->shm->mount, &s->shm->made_dir, err);
	if (s->h.fuse >= 0)
		engine_core_begin(s->conf);
	return MIN(s->h.fuse, 0);
}

static void session_end(struct super *s)
{
	int r;

	engine_core_end(s->conf);
	r = tree_unmount(s->shm->mount, s->shm->made_dir);
	/* EINVAL: somebody else has unmounted it. */
	if (r < 0 && r != -EINVAL)
		log_warning("umount %s: %s", s->shm->mount, strerror(-r));
	systemd_forget();
	close(s->h.fuse);
	close(s->h.mem);
	close(s->h.notes);
	s->h = (struct handover){ .fuse = -1, .mem = -1, .notes = -1 };
}

/* The kernel says the connection is over: unmounted by a person, which is an order, or aborted, which is a mishap. */
static void session_lost(struct super *s)
{
	struct err err = {};

	if (!tree_is_dead(s->shm->mount)) {
		log_info("%s was unmounted", s->shm->mount);
		s->stopping = true;
		return;
	}
	log_error("the connection of %s was aborted; it is mounted anew", s->shm->mount);
	session_end(s);
	if (session_begin(s, &err) < 0) {
		log_error("%s", err.text);
		s->stopping = true;
		return;
	}
	systemd_store(&s->h);
}

/* ---- the worker ---- */

static bool is_serving(const struct super *s)
{
	return (int32_t)(atomic_load(&s->shm->serving) - s->generation) > 0;
}

/* vfork: nothing is copied, and no memory is needed. */
static pid_t spawn(char *const *argv, const char *program, const struct handover *h)
{
	sigset_t none;
	pid_t pid;
	int null;

	sigemptyset(&none);
	pid = vfork();
	if (pid != 0)
		return pid;
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (h) {
		fcntl(h->fuse, F_SETFD, 0);
		fcntl(h->mem, F_SETFD, 0);
		fcntl(h->notes, F_SETFD, 0);
	} else {
		null = open("/dev/null", O_RDWR | O_CLOEXEC);
		dup2(null, STDOUT_FILENO);
	}
	execv(program, argv);
	_exit(127);
}

static void start_worker(struct super *s)
{
	char fuse[12], mem[12], notes[12];
	char *argv[] = { s->again[0], (char *)"--config", s->worker_conf, (char *)"worker", fuse, mem, notes, NULL };
	pid_t pid;

	snprintf(fuse, sizeof(fuse), "%d", s->h.fuse);
	snprintf(mem, sizeof(mem), "%d", s->h.mem);
	snprintf(notes, sizeof(notes), "%d", s->h.notes);
	s->generation = atomic_load(&s->shm->generation);
	/* Not the file on disk, which may be another version by now: that is for an upgrade to start. */
	pid = spawn(argv, "/proc/self/exe", &s->h);
	if (pid < 0) {
		log_error("cannot start a worker: %s", strerror(errno));
		s->start_at = clock_mono() + BACKOFF_MAX_MSEC * MSEC;
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

static bool has_crashed(const siginfo_t *si)
{
	if (si->si_code == CLD_EXITED)
		return si->si_status != EXIT_SUCCESS && si->si_status != WORKER_EXIT_UNMOUNTED;
	return si->si_status != SIGKILL && si->si_status != SIGTERM;
}

/* At once the first time; what dies again and again before it serves, or by its own fault, waits longer and longer. */
static void plan_restart(struct super *s, bool crashed)
{
	uint64_t now = clock_mono();

	if ((is_serving(s) && !crashed) || now - s->worker_since > LIVED_LONG)
		s->backoff_msec = 0;
	s->start_at = now + s->backoff_msec * MSEC;
	s->backoff_msec = MIN(MAX(s->backoff_msec * 2, BACKOFF_FIRST_MSEC), BACKOFF_MAX_MSEC);
}

static void worker_ended(struct super *s, const siginfo_t *si)
{
	bool crashed = has_crashed(si);

	if (!s->stopping)
		log_at(crashed ? LOG_ERROR : LOG_INFO, "worker %d ended: %s %d", (int)si->si_pid,
		       si->si_code == CLD_EXITED ? "exit code" : "signal", si->si_status);
	if (crashed)
		atomic_store(&s->shm->death, DEATH_CRASHED);
	plan_restart(s, crashed);
	s->worker = 0;
	s->kill_at = 0;
	if (si->si_code == CLD_EXITED && si->si_status == WORKER_EXIT_UNMOUNTED && !s->stopping)
		session_lost(s);
	if (s->ready || s->adopted || s->stopping)
		return;
	/* What keeps the very first from serving won't go away by itself. */
	if (si->si_code == CLD_EXITED || ++s->early_deaths >= EARLY_DEATHS) {
		tell_ready(s, s->shm->failure[0] ? s->shm->failure : "the worker dies at its start");
		s->stopping = true;
	}
}

static void ask_worker_to_go(struct super *s)
{
	if (s->worker > 0 && s->kill_at == 0) {
		kill(s->worker, SIGTERM); /* our own child, not reaped yet: the pid is its */
		s->kill_at = clock_mono() + TERM_TIMEOUT;
	}
}

/* ---- the dead ---- */

static int wait_status(const siginfo_t *si)
{
	if (si->si_code == CLD_EXITED)
		return (si->si_status & 0xff) << 8;
	return si->si_code == CLD_DUMPED ? si->si_status | 0x80 : si->si_status;
}

/* The worker first, so that it is seen even while a full ring keeps the others waiting as zombies. */
static void reap(struct super *s)
{
	const uint64_t one = 1;
	siginfo_t si = {};
	bool noted = false;

	if (s->worker > 0 && waitid(P_PID, (id_t)s->worker, &si, WEXITED | WNOHANG) == 0 && si.si_pid == s->worker)
		worker_ended(s, &si);
	while (!notes_full(&s->shm->notes)) {
		struct note note = {};

		memset(&si, 0, sizeof(si));
		if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || si.si_pid == 0 || si.si_pid == s->worker)
			break;
		note.pid = si.si_pid;
		note.status = wait_status(&si);
		(void)proc_start_time(si.si_pid, &note.start_time);
		notes_put(&s->shm->notes, note);
		(void)waitid(P_PID, (id_t)note.pid, &si, WEXITED | WNOHANG);
		noted = true;
	}
	if (noted)
		(void)!write(s->h.notes, &one, sizeof(one));
}

/* ---- another binary ---- */

/* Does it run here at all? If not, the one that runs is better. */
static bool works(const char *exe)
{
	char *argv[] = { (char *)"portod", (char *)"--version", NULL };
	pid_t pid = spawn(argv, exe, NULL);
	siginfo_t si = {};

	for (int i = 0; pid > 0 && i < TRY_MSEC; i++) {
		if (waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG) < 0)
			return false;
		if (si.si_pid == pid)
			return si.si_code == CLD_EXITED && si.si_status == EXIT_SUCCESS;
		usleep(1000);
	}
	if (pid > 0)
		kill(pid, SIGKILL);
	return false;
}

static void keep_open(const struct super *s, bool open)
{
	(void)fd_set_cloexec(s->h.fuse, !open);
	(void)fd_set_cloexec(s->h.mem, !open);
	(void)fd_set_cloexec(s->h.notes, !open);
	(void)fd_set_cloexec(s->lock_fd, !open);
}

/* Becomes the file at the path it was started from; the children stay its children, and blocked signals wait. */
static void reexec(struct super *s)
{
	const int numbers[ARG_NUMBERS] = {
		[ARG_FUSE] = s->h.fuse, [ARG_MEM] = s->h.mem, [ARG_NOTES] = s->h.notes, [ARG_LOCK] = s->lock_fd,
		[ARG_WORKER] = s->worker,
	};
	char text[ARG_NUMBERS][12], *argv[AGAIN_MAX + RESUME_ARGS + 2];
	size_t n = 0;

	if (!works(s->exe)) {
		log_error("upgrade: %s does not run; nothing is changed", s->exe);
		return;
	}
	for (; n < AGAIN_MAX && s->again[n]; n++)
		argv[n] = s->again[n];
	argv[n++] = (char *)"resume";
	for (int i = 0; i < ARG_NUMBERS; i++) {
		snprintf(text[i], sizeof(text[i]), "%d", numbers[i]);
		argv[n++] = text[i];
	}
	argv[n++] = s->worker_conf;
	argv[n] = NULL;
	systemd_before_exec();
	keep_open(s, true);
	execv(s->exe, argv);
	log_error("upgrade: %s: %s", s->exe, strerror(errno));
	keep_open(s, false);
}

/* ---- the loop ---- */

static void watch_heart(struct super *s, uint64_t now)
{
	uint64_t beat = atomic_load(&s->shm->heartbeat), limit = s->conf->daemon_watchdog;

	if (beat != s->beat) {
		s->beat = beat;
		s->beat_at = now;
	}
	if (!is_serving(s))
		limit *= RESTORE_FACTOR;
	if (limit == 0 || s->stopping || now - s->beat_at <= limit)
		return;
	log_error("worker %d stands still and is replaced", (int)s->worker);
	atomic_store(&s->shm->death, DEATH_CRASHED);
	kill(s->worker, SIGKILL);
	s->worker = 0; /* it may hang in the kernel: the next one doesn't wait for it, and it is reaped as any child */
	s->start_at = now;
}

static void watch(struct super *s)
{
	uint64_t now = clock_mono();

	if (!s->ready && s->worker > 0 && is_serving(s)) {
		s->ready = true;
		tell_ready(s, "ok");
		systemd_notify("READY=1");
	}
	if (s->worker > 0 && s->kill_at != 0 && now >= s->kill_at) {
		kill(s->worker, SIGKILL);
		s->kill_at = now + TERM_TIMEOUT;
	}
	if (s->worker > 0)
		watch_heart(s, now);
	if (s->worker == 0 && !s->stopping && now >= s->start_at)
		start_worker(s);
}

static int wait_msec(const struct super *s)
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
		if (si.ssi_signo == SIGHUP && !s->stopping) {
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
		(void)poll(&p, 1, wait_msec(s));
		on_signals(s);
		reap(s);
	}
	systemd_notify("STOPPING=1");
	session_end(s);
	takeover_remove_files(s->conf);
	return s->ready ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- the beginning ---- */

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
	static const char deleted[] = " (deleted)";
	ssize_t n = readlink("/proc/self/exe", s->exe, sizeof(s->exe) - 1);
	size_t len = n > 0 ? (size_t)n : 0, tail = sizeof(deleted) - 1;

	s->exe[len] = 0;
	if (len > tail && strcmp(s->exe + len - tail, deleted) == 0)
		s->exe[len - tail] = 0;
}

static int prepare(struct super *s, struct err *err)
{
	static const char *const oom_adj[] = { "-1000", "-500", "0" };
	int r = block_signals(s);

	if (r < 0)
		return err_sys(err, -r, "signals");
	find_exe(s);
	systemd_begin();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	/* As low as we may. */
	for (size_t i = 0; i < ARRAY_LEN(oom_adj); i++)
		if (file_write(AT_FDCWD, "/proc/self/oom_score_adj", oom_adj[i]) == 0)
			break;
	return 0;
}

static int begin(struct super *s, struct err *err)
{
	int r = prepare(s, err);

	if (r < 0)
		return r;
	s->lock_fd = takeover_lock(s->conf, err);
	if (s->lock_fd < 0)
		return s->lock_fd;
	r = takeover_write_config(s->conf, &s->worker_conf, err);
	if (r < 0)
		return r;
	if (takeover_session(s->conf, &s->h, &s->shm) == 0)
		s->adopted = true;
	else
		r = session_begin(s, err);
	if (r == 0)
		systemd_store(&s->h);
	else
		takeover_remove_files(s->conf);
	return r;
}

static void init(struct super *s, struct config *conf, char **again)
{
	*s = (struct super){ .conf = conf, .again = again, .ready_fd = -1, .lock_fd = -1, .signal_fd = -1,
			     .h = { .fuse = -1, .mem = -1, .notes = -1 } };
}

int super_main(struct config *conf, char **again, int ready_fd)
{
	static struct super s;
	struct err err = {};

	init(&s, conf, again);
	s.ready_fd = ready_fd;
	if (begin(&s, &err) < 0) {
		log_error("%s", err.text);
		tell_ready(&s, err.text);
		return EXIT_FAILURE;
	}
	return serve(&s);
}

const char *super_resume_config(char **args)
{
	for (int i = 0; i < RESUME_ARGS; i++)
		if (!args[i])
			return NULL;
	return args[ARG_CONFIG];
}

/* Where things are can't change while they are in use. */
static int keep_places(struct config *conf, const char *file, struct err *err)
{
	struct config old;
	int r = config_init(&old);

	if (r == 0)
		r = config_load(&old, file, err);
	if (r == 0)
		r = config_set(conf, "daemon", "state_dir", old.daemon_state_dir, err);
	if (r == 0)
		r = config_set(conf, "daemon", "mount", old.daemon_mount, err);
	config_done(&old);
	return r;
}

/* Another SHM_LAYOUT: what clients have open is lost, containers are not. */
static int replace_session(struct super *s, struct err *err)
{
	siginfo_t si;

	log_error("upgrade: this version keeps the session in another form: %s is mounted anew", s->conf->daemon_mount);
	if (s->worker > 0) {
		kill(s->worker, SIGKILL);
		waitid(P_PID, (id_t)s->worker, &si, WEXITED);
		s->worker = 0;
	}
	close(s->h.fuse);
	close(s->h.mem);
	close(s->h.notes);
	(void)tree_unmount(s->conf->daemon_mount, false);
	return session_begin(s, err);
}

int super_resume(struct config *conf, char **again, char **args)
{
	static struct super s;
	struct err err = {};
	int r;

	init(&s, conf, again);
	if (!super_resume_config(args))
		return EXIT_FAILURE;
	s.h = (struct handover){ .fuse = atoi(args[ARG_FUSE]), .mem = atoi(args[ARG_MEM]), .notes = atoi(args[ARG_NOTES]) };
	s.lock_fd = atoi(args[ARG_LOCK]);
	s.worker = atoi(args[ARG_WORKER]);
	s.adopted = true;
	keep_open(&s, false);
	s.worker_conf = args[ARG_CONFIG];
	r = keep_places(conf, s.worker_conf, &err);
	if (r == 0)
		r = takeover_write_config(conf, &s.worker_conf, &err);
	/* The workers go on with what was in force. */
	if (r < 0)
		log_error("upgrade: %s", err.text);
	r = prepare(&s, &err);
	if (r == 0 && shm_map(s.h.mem, &s.shm) < 0)
		r = replace_session(&s, &err);
	if (r < 0) {
		log_error("upgrade: %s", err.text);
		return EXIT_FAILURE;
	}
	s.generation = atomic_load(&s.shm->generation);
	s.beat_at = s.worker_since = clock_mono();
	ask_worker_to_go(&s);
	return serve(&s);
}
