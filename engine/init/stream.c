#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>

#include "engine/init/init.h"

int op_session(struct init *in, char **arg UNUSED)
{
	if (setsid() < 0 && getsid(0) != getpid())
		return init_fail_sys(in, errno, "can't make a session");
	return 0;
}

static int stream_number(struct init *in, const char *word, int *ret)
{
	unsigned long n;

	if (init_number(in, word, 10, 2, &n))
		return -1;
	*ret = (int)n;
	return 0;
}

/* fd becomes stream n and stays open across exec. */
static int stream_put(struct init *in, int fd, int n)
{
	if (fd == n ? fcntl(fd, F_SETFD, 0) : dup2(fd, n) < 0)
		return init_fail_sys(in, errno, "no such descriptor");
	return 0;
}

int op_stream(struct init *in, char **arg)
{
	unsigned long fd;
	int n;

	if (stream_number(in, arg[0], &n) || init_number(in, arg[1], 10, INT32_MAX, &fd))
		return -1;
	if (stream_put(in, (int)fd, n))
		return -1;
	/* Refused when it is somebody else's terminal, a shell's say: we don't steal it, the command runs without. */
	if (n == 0 && isatty(0) && getsid(0) == getpid())
		ioctl(0, TIOCSCTTY, 0);
	return 0;
}

/*
 * Never waits: the one who wants the start has a deadline. A fifo without reader is opened for both directions, so
 * writes are kept until one comes and never raise SIGPIPE; a fifo to read likewise where the user may, so that it waits
 * for writers as a reader expects instead of being at its end at once.
 */
static int open_quick(const char *path, int flags)
{
	const int common = O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	struct stat st;
	int fd = open(path, flags | common, 0666);

	if (fd < 0 && errno == ENXIO)
		return open(path, O_RDWR | common);
	if (fd >= 0 && (flags & O_ACCMODE) == O_RDONLY && !fstat(fd, &st) && S_ISFIFO(st.st_mode)) {
		int both = open(path, O_RDWR | common);
		if (both >= 0) {
			close(fd);
			return both;
		}
	}
	return fd;
}

/* By way of /proc/self/fd: it is the daemon's, and a report that somebody else has open never ends. */
static bool is_ours(int fd)
{
	for (int own = INIT_OPS_FD; own < INIT_FIRST_FREE_FD; own++) {
		if (own != fd && init_same_file(fd, own))
			return true;
	}
	return false;
}

int op_open(struct init *in, char **arg)
{
	static const struct {
		const char *how;
		int flags;
	} ways[] = {
		{ "r", O_RDONLY },
		{ "a", O_WRONLY | O_APPEND | O_CREAT },
	};
	int n;

	if (stream_number(in, arg[0], &n))
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		if (strcmp(ways[i].how, arg[2]))
			continue;
		autoclose int fd = open_quick(arg[1], ways[i].flags);
		if (fd >= 0 && is_ours(fd))
			return init_fail_path(in, ENOENT, "", arg[1]);
		if (fd < 0 || fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK))
			return init_fail_path(in, errno, "", arg[1]);
		return stream_put(in, fd, n);
	}
	return init_fail_list(in, "no way to open: ", arg[2]);
}
