#include "base/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>

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

static int add_signals(posix_spawnattr_t *attr)
{
	sigset_t none, all;
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	r = posix_spawnattr_setsigmask(attr, &none);
	if (r == 0)
		r = posix_spawnattr_setsigdefault(attr, &all);
	if (r == 0)
		r = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
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

int spawn_program(const char *const argv[], const struct spawn_fd *fds, size_t n, pid_t *pid)
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
		r = add_signals(&attr);
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
