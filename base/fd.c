#include "base/fd.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/stat.h>

#define READ_STEP 65536

int fd_read_all(int fd, size_t max, struct text *out)
{
	size_t start = out->len;
	struct stat st;
	/* One byte more than the size, so that the next read sees the end. Kernel files say 0 or 4096: no size. */
	size_t step = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 ? (size_t)st.st_size + 1 : 4096;

	autofree char *buf = NULL;

	step = MIN(MAX(step, (size_t)4096), (size_t)READ_STEP);
	buf = malloc(step);
	if (!buf)
		return -ENOMEM;
	for (;;) {
		ssize_t n = read(fd, buf, step);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return text_ok(out);
		if ((size_t)n > max - (out->len - start))
			return -EFBIG;
		text_addn(out, buf, (size_t)n);
		if (text_ok(out) < 0)
			return -ENOMEM;
	}
}

int file_read(int dirfd, const char *path, size_t max, struct text *out)
{
	autoclose int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return fd_read_all(fd, max, out);
}

ssize_t file_read_small(int dirfd, const char *path, char *buf, size_t size)
{
	autoclose int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	do
		n = read(fd, buf, size);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if ((size_t)n >= size)
		return -EFBIG;
	if (n > 0 && buf[n - 1] == '\n')
		n--;
	buf[n] = 0;
	return n;
}

int fd_write_all(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len > 0) {
		ssize_t n = write(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int dir_names(int dirfd, struct strv *ret)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

	if (d == NULL) {
		r = -errno;
		cleanup_close(&fd);
		return r;
	}
	for (const struct dirent *de; r == 0 && (de = readdir(d)) != NULL;)
		if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
			r = strv_add(ret, de->d_name);
	closedir(d);
	return r;
}

int file_write(int dirfd, const char *path, const char *text)
{
	autoclose int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC);
	size_t len = strlen(text);
	ssize_t n;

	if (fd < 0)
		return -errno;
	do
		n = write(fd, text, len);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

/* A new empty file; what an earlier process left half written under the name goes. */
static int open_fresh(int dirfd, const char *name)
{
	for (int tries = 0; tries < 3; tries++) {
		int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd >= 0)
			return fd;
		if (errno != EEXIST)
			return -errno;
		if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
			return -errno;
	}
	return -EEXIST;
}

int file_replace(int dirfd, const char *name, const void *buf, size_t len, mode_t mode)
{
	char tmp[NAME_MAX + 1];
	int r, n = snprintf(tmp, sizeof(tmp), ".%s.tmp", name);

	autoclose int fd = -1;

	if (n < 0 || (size_t)n >= sizeof(tmp))
		return -ENAMETOOLONG;
	fd = open_fresh(dirfd, tmp);
	if (fd < 0)
		return fd;
	/* Not by open's mode: the umask would change it. */
	r = fchmod(fd, mode) < 0 ? -errno : fd_write_all(fd, buf, len);
	if (r == 0 && renameat(dirfd, tmp, dirfd, name) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(dirfd, tmp, 0);
	return r;
}

int fd_set_cloexec(int fd, bool on)
{
	return fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) < 0 ? -errno : 0;
}

int fd_from_process(int pidfd, int n)
{
	int fd = pidfd_getfd(pidfd, n, 0);

	return fd < 0 ? -errno : fd;
}
