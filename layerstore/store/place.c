/* Directories of the place that are being made, and files that have no name: store.h. */
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "layerstore/store/store.h"

#define COPY_BYTES (1 << 20)

bool place_is_named(int dirfd, const char *name, int fd)
{
	struct stat a, b;
	return fstat(fd, &a) == 0 && fstatat(dirfd, name, &b, AT_SYMLINK_NOFOLLOW) == 0 && a.st_ino == b.st_ino &&
	       a.st_dev == b.st_dev;
}

/* Whatever the place hands down to new directories. */
static int own(int fd)
{
	return fchown(fd, 0, 0) < 0 || fchmod(fd, 0755) < 0 ? -errno : 0;
}

int place_claim(const struct job *j, int dirfd, const char *name, bool waits)
{
	for (;;) {
		bool fresh = mkdirat(dirfd, name, 0700) == 0;
		if (!fresh && errno != EEXIST)
			return -errno;
		autoclose int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT)
			continue; /* it got its name or was swept just now */
		if (fd < 0)
			return -errno;
		int r = waits ? job_lock(j, fd, LOCK_EX) : flock(fd, LOCK_EX | LOCK_NB) < 0 ? -EBUSY : 0;
		if (r < 0)
			return r;
		if (!place_is_named(dirfd, name, fd))
			continue;
		r = fresh ? own(fd) : tree_remove(dirfd, name); /* its maker is dead */
		if (r < 0 || fresh)
			return r < 0 ? r : TAKE_FD(fd);
	}
}

int place_tmpfile(mode_t mode, struct err *err)
{
	char name[32];
	int fd = openat(FD_PLACE, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) { /* not every filesystem has them */
		snprintf(name, sizeof(name), TMP_PREFIX "%d", (int)getpid());
		fd = openat(FD_PLACE, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, mode);
		if (fd >= 0)
			unlinkat(FD_PLACE, name, 0);
	}
	if (fd < 0 || fchmod(fd, mode) < 0)
		return err_sys(err, errno, "no temporary file in the place");
	return fd;
}

/* Reflinks where the filesystem can; across filesystems the kernel copies too. */
int copy_file(int from, int to)
{
	off_t off = 0;
	for (;;) {
		ssize_t n = copy_file_range(from, &off, to, NULL, COPY_BYTES, 0);
		if (n == 0)
			return 0;
		if (n < 0 && (errno == EINVAL || errno == EXDEV || errno == EOPNOTSUPP || errno == EBADF))
			break; /* into a pipe, say */
		if (n < 0 && errno != EINTR)
			return -errno;
	}
	autofree char *buf = malloc(COPY_BYTES);
	if (!buf)
		return -ENOMEM;
	for (;;) {
		ssize_t n = pread(from, buf, COPY_BYTES, off);
		if (n <= 0)
			return n < 0 ? -errno : 0;
		int r = fd_write_all(to, buf, (size_t)n);
		if (r < 0)
			return r;
		off += n;
	}
}
