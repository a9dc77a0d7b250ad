#include "portofs/mount.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/path.h"

#define FS_TYPE "fuse.porto"
#define STACK_MAX 16 /* dead mounts one above the other */
#define ANSWER_MSEC 2000
#define MOUNTINFO_MAX (16u << 20)

bool tree_is_dead(const char *dir)
{
	struct statfs st;

	return statfs(dir, &st) < 0 && (errno == ENOTCONN || errno == ECONNABORTED);
}

/* The path as mountinfo has it: what leads to it resolved, but itself not looked at, for it may not answer. */
static char *resolve(const char *dir)
{
	const char *slash = strrchr(dir, '/');
	autofree char *up = slash && slash != dir ? strndup(dir, (size_t)(slash - dir)) : strdup("/");
	autofree char *real = up ? realpath(up, NULL) : NULL;

	if (!slash || !real)
		return strdup(dir);
	return path_join(real, slash + 1);
}

/* Blanks and backslashes stand as \040 and the like in mountinfo. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++, to++) {
		if (*s == '\\' && s[1] && s[2] && s[3]) {
			*to = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*to = *s;
		}
	}
	*to = 0;
}

/* Is one of ours the last mount on dir? */
static bool is_ours(const char *dir)
{
	autotext struct text info = {};
	bool ours = false;
	char *line, *next;

	if (file_read(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &info) < 0 || !info.p)
		return false;
	for (line = info.p; *line; line = next) {
		char point[PATH_MAX], type[64], *dash;

		next = strchrnul(line, '\n');
		if (*next)
			*next++ = 0;
		dash = strstr(line, " - ");
		if (!dash || sscanf(line, "%*s %*s %*s %*s %4095s", point) != 1 || sscanf(dash, " - %63s", type) != 1)
			continue;
		unescape(point);
		if (strcmp(point, dir) == 0)
			ours = strcmp(type, FS_TYPE) == 0;
	}
	return ours;
}

/*
 * What statfs says there, in a process that can be left behind: 0, -errno, or -ETIMEDOUT when nobody answers. Not stat: the
 * kernel knows the attributes of a directory for a second and would tell them of a dead mount too.
 */
static int probe(const char *dir)
{
	autoclose int pidfd = -1;
	struct pollfd p = { .events = POLLIN };
	struct statfs st;
	siginfo_t si;
	pid_t pid = fork();

	if (pid == 0)
		_exit(statfs(dir, &st) < 0 ? errno : 0);
	if (pid < 0)
		return -errno;
	p.fd = pidfd = pidfd_open(pid, 0);
	if (poll(&p, 1, ANSWER_MSEC) <= 0) {
		kill(pid, SIGKILL);
		waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG);
		return -ETIMEDOUT;
	}
	if (waitid(P_PID, (id_t)pid, &si, WEXITED) < 0)
		return -errno;
	return -si.si_status;
}

static int clear(const char *dir, struct err *err)
{
	for (int i = 0; i < STACK_MAX && is_ours(dir); i++) {
		int r = probe(dir);

		if (r == 0)
			return err_set(err, ERR_Busy, "%s: another portod serves there", dir);
		if (r != -ENOTCONN && r != -ECONNABORTED)
			return err_set(err, ERR_Busy, "%s: another portod is mounted there and does not answer", dir);
		if (umount2(dir, MNT_DETACH) < 0)
			return err_sys(err, errno, "%s: a dead mount", dir);
	}
	return 0;
}

int tree_mount(const char *dir, bool *made, struct err *err)
{
	autofree char *real = resolve(dir);
	autoclose int fd = -1;
	char options[128];
	int r;

	if (!real)
		return err_sys(err, ENOMEM, "%s", dir);
	r = clear(real, err);
	if (r < 0)
		return r;
	fd = open("/dev/fuse", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "/dev/fuse (is the module fuse loaded?)");
	*made = mkdir(dir, 0755) == 0;
	if (!*made && errno != EEXIST)
		return err_sys(err, errno, "mount point %s", dir);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions", fd);
	if (mount("porto", dir, FS_TYPE, MS_NOSUID | MS_NODEV | MS_NOEXEC, options) < 0) {
		r = err_sys(err, errno, "mount on %s", dir);
		if (*made)
			rmdir(dir);
		return r;
	}
	return TAKE_FD(fd);
}

int tree_unmount(const char *dir, bool made)
{
	int r = umount2(dir, MNT_DETACH) < 0 ? -errno : 0;

	if (made)
		(void)rmdir(dir);
	return r;
}
