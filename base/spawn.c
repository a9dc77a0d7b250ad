#include "base/spawn.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/proc.h"

#define ABOVE 64 /* no program of ours has its descriptors there */

/* Copies that are out of the way of the numbers they get. */
static int move_up(const struct spawn_fd *fds, size_t n, int *up)
{
	for (size_t i = 0; i < n; i++) {
		up[i] = fcntl(fds[i].fd, F_DUPFD_CLOEXEC, ABOVE);
		if (up[i] < 0)
			return -errno;
	}
	return 0;
}

static int set_attr(posix_spawnattr_t *attr, bool leads)
{
	sigset_t none, all;
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	r = posix_spawnattr_setsigmask(attr, &none);
	if (r == 0)
		r = posix_spawnattr_setsigdefault(attr, &all);
	if (r == 0)
		r = posix_spawnattr_setflags(attr, (short)(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | (leads ? POSIX_SPAWN_SETPGROUP : 0)));
	return -r;
}

static bool is_named(const struct spawn_fd *fds, size_t n, int at)
{
	for (size_t i = 0; i < n; i++)
		if (fds[i].at == at)
			return true;
	return false;
}

static int add_fds(posix_spawn_file_actions_t *actions, const struct spawn_fd *fds, size_t n, const int *up)
{
	int r = 0;

	for (int at = 0; r == 0 && at < 2; at++)
		if (!is_named(fds, n, at))
			r = posix_spawn_file_actions_addopen(actions, at, "/dev/null", O_RDWR, 0);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = posix_spawn_file_actions_adddup2(actions, up[i], fds[i].at);
	return -r;
}

static int spawn(const char *const argv[], const struct spawn_fd *fds, size_t n, bool leads, pid_t *pid)
{
	static const char *const env[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C",
					   NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int up[SPAWN_FDS_MAX], r;

	if (n > SPAWN_FDS_MAX)
		return -E2BIG;
	for (size_t i = 0; i < n; i++)
		up[i] = -1;
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	r = move_up(fds, n, up);
	if (r == 0)
		r = set_attr(&attr, leads);
	if (r == 0)
		r = add_fds(&actions, fds, n, up);
	if (r == 0)
		r = -posix_spawnp(pid, argv[0], &actions, &attr, (char **)(uintptr_t)argv, (char **)(uintptr_t)env);
	for (size_t i = 0; i < n; i++)
		cleanup_close(&up[i]);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	return r;
}

int spawn_program(const char *const argv[], const struct spawn_fd *fds, size_t n, pid_t *pid)
{
	return spawn(argv, fds, n, false, pid);
}

int spawn_leader(const char *const argv[], const struct spawn_fd *fds, size_t n, pid_t *pid)
{
	return spawn(argv, fds, n, true, pid);
}

/* ---- waiting ---- */

/* What is there now. False: the end. */
static bool listen_to(const struct spawn_wait *how, size_t *len)
{
	size_t room = how->size - 1 - *len;
	char rest[256];
	ssize_t r = room > 0 ? read(how->out_fd, how->said + *len, room) : read(how->out_fd, rest, sizeof(rest));

	if (r > 0 && room > 0)
		*len += (size_t)r;
	return r > 0 || (r < 0 && errno == EINTR);
}

/* Until it has ended: 0; else why it is no longer waited for. */
static int wait_end(int pidfd, const struct spawn_wait *how, size_t *len)
{
	int out = how->out_fd;

	for (;;) {
		struct pollfd p[] = { { .fd = pidfd, .events = POLLIN }, { .fd = how->cancel_fd, .events = POLLIN }, { .fd = out, .events = POLLIN } };
		uint64_t now = clock_mono();

		if (now >= how->deadline)
			return -ETIMEDOUT;
		if (poll(p, ARRAY_LEN(p), (int)MIN((how->deadline - now) / 1000000 + 1, (uint64_t)60000)) < 0 && errno != EINTR)
			return -errno;
		if (p[1].revents)
			return -ECANCELED;
		if (p[2].revents) {
			if (!listen_to(how, len))
				out = -1;
		} else if (p[0].revents) { /* all that it had said was read before */
			return 0;
		}
	}
}

int spawn_wait(pid_t pid, const struct spawn_wait *how, int *status)
{
	autoclose int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	size_t len = 0;
	int r = pidfd < 0 ? -errno : wait_end(pidfd, how, &len);

	if (how->size > 0)
		how->said[len] = 0;
	if (r < 0)
		(void)kill(-pid, SIGKILL);
	while (waitpid(pid, status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return r;
}
