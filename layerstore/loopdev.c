#include "layerstore/loopdev.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <linux/major.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

/* Somebody else may take the free device first. */
#define TRIES 64

static int device_open(int number, bool read_only, char path[LOOP_PATH_MAX])
{
	struct stat st;
	int fd;

	snprintf(path, LOOP_PATH_MAX, "/dev/loop%d", number);
	fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISBLK(st.st_mode) || major(st.st_rdev) != LOOP_MAJOR) {
		close(fd);
		return -ENODEV;
	}
	return fd;
}

int loop_attach(int file, bool read_only, char path[LOOP_PATH_MAX], struct err *err)
{
	autoclose int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	struct loop_config config = {
		.fd = (uint32_t)file,
		.info = { .lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO | (read_only ? LO_FLAGS_READ_ONLY : 0) },
	};
	int r = -EBUSY;

	if (control < 0)
		return err_set_no(err, ERR_NotSupported, errno, "loop devices: /dev/loop-control: %s", strerror(errno));
	for (int i = 0; i < TRIES; i++) {
		int number = ioctl(control, LOOP_CTL_GET_FREE), fd;
		if (number < 0)
			return err_sys(err, errno, "no free loop device");
		fd = device_open(number, read_only, path);
		/* devtmpfs may be a moment late with a new one. */
		if (fd >= 0 && ioctl(fd, LOOP_CONFIGURE, &config) == 0)
			return fd;
		r = fd < 0 ? fd : -errno;
		if (fd >= 0)
			close(fd);
		if (r != -EBUSY && r != -ENOENT && r != -ENXIO && r != -ENODEV)
			break;
		nanosleep(&(struct timespec){ .tv_nsec = i * 100000L }, NULL);
	}
	return err_sys(err, -r, "loop device %s", path);
}

/* Calls on each device that is on the file; stops when fn says other than 0. */
static int for_each(uint64_t dev, uint64_t ino, int (*fn)(int fd, int number, const struct loop_info64 *, void *),
		    void *arg)
{
	DIR *dir = opendir("/sys/block");
	const struct dirent *entry;
	int r = 0;

	if (!dir)
		return -errno;
	while (r == 0 && (entry = readdir(dir))) {
		struct loop_info64 info;
		char path[LOOP_PATH_MAX], end;
		int number;
		if (sscanf(entry->d_name, "loop%d%c", &number, &end) != 1)
			continue;
		autoclose int fd = device_open(number, true, path);
		/* A device number is kept in the old packing of 8 and 20 bits, wide ones above it. */
		if (fd >= 0 && ioctl(fd, LOOP_GET_STATUS64, &info) == 0 && info.lo_inode == ino &&
		    makedev(((info.lo_device >> 8) & 0xfff),
			    (info.lo_device & 0xff) | ((info.lo_device >> 12) & 0xfff00)) == dev)
			r = fn(fd, number, &info, arg);
	}
	closedir(dir);
	return r;
}

static int found(int fd, int number, const struct loop_info64 *info, void *arg)
{
	bool *read_only = arg;

	(void)fd;
	*read_only = info->lo_flags & LO_FLAGS_READ_ONLY;
	return number + 1;
}

int loop_find(uint64_t dev, uint64_t ino, bool *read_only)
{
	int r = for_each(dev, ino, found, read_only);

	return r > 0 ? r - 1 : r < 0 ? r : -ENOENT;
}

int loop_resized(int number)
{
	char path[LOOP_PATH_MAX];
	autoclose int fd = device_open(number, false, path);

	if (fd < 0)
		return fd;
	return ioctl(fd, LOOP_SET_CAPACITY) < 0 ? -errno : 0;
}
