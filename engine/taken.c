#include "engine/taken.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/mounts.h"
#include "engine/ct.h"

#define MAJOR_MEM 1u /* null, zero, full ... */

/* As the kernel knows it, without asking a file system. 0: none of the kinds that have one. */
static mode_t kind_of(int fd, unsigned *major_number)
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &st) < 0)
		return 0;
	*major_number = st.stx_rdev_major;
	return st.stx_mode & S_IFMT;
}

static bool is_unix_socket(int fd)
{
	int domain = 0;
	socklen_t len = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX;
}

int taken_check(int fd, pid_t pid, const char *name, struct err *err)
{
	char type[MOUNT_TYPE_MAX];
	unsigned device = 0;
	bool fine = false;

	if (mounts_fd_answers(fd, pid, type) < 0)
		return err_set(err, ERR_NotSupported, "%s: the descriptor's file is on a file system of type %s, which may not answer",
			       name, type);
	switch (kind_of(fd, &device)) {
	case S_IFREG:
	case S_IFIFO:
		fine = true;
		break;
	case S_IFCHR:
		fine = device == MAJOR_MEM || isatty(fd);
		break;
	case S_IFSOCK:
		fine = is_unix_socket(fd); /* others may linger */
		break;
	default:
		break;
	}
	if (!fine)
		return err_set(err, ERR_NotSupported, "%s: the descriptor is no file, pipe, terminal or Unix socket", name);
	return 0;
}

int taken_identity(int fd, uint64_t *dev, uint64_t *ino)
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO, &st) < 0)
		return -errno;
	*dev = makedev(st.stx_dev_major, st.stx_dev_minor);
	*ino = st.stx_ino;
	return 0;
}

static void close_slowly(void *arg)
{
	close((int)(intptr_t)arg);
}

static void closed(UNUSED void *arg)
{
}

void taken_close(struct engine *e, int fd)
{
	unsigned device = 0;
	mode_t kind;

	if (fd < 0)
		return;
	kind = kind_of(fd, &device);
	/* Somebody may wait for the end of a pipe. A file's last name may be gone, and then it is cut to nothing here. */
	if (kind == S_IFIFO || kind == S_IFCHR || loop_work(e->loop, close_slowly, closed, (void *)(intptr_t)fd) < 0)
		close(fd);
}
