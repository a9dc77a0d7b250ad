/* What this kernel and a place have for volumes. */
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>

#include "layerstore/quota.h"
#include "layerstore/vol.h"

static void add(struct text *out, const char *name, const char *lacks)
{
	text_addf(out, "%s: %s%s\n", name, lacks ? "missing: " : "yes", lacks ? lacks : "");
}

static bool has_type(const char *type)
{
	autoclose int fd = fsopen(type, FSOPEN_CLOEXEC);

	return fd >= 0;
}

static bool has_program(const char *name)
{
	static const char *const dirs[] = { "/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin" };
	char path[64];

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		snprintf(path, sizeof(path), "%s/%s", dirs[i], name);
		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

static const char *loop_lacks(void)
{
	autoclose int fd = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

	if (fd < 0 || ioctl(fd, LOOP_CTL_GET_FREE) < 0)
		return "no loop device to be had: limits need project quota";
	return has_program("mkfs.ext4") ? NULL : "no mkfs.ext4: limits need project quota";
}

/* An erofs that is none: the kernel looks into the file, or says that it is no block device. */
static bool erofs_takes_files(void)
{
	autoclose int file = memfd_create("erofs", MFD_CLOEXEC), context = fsopen("erofs", FSOPEN_CLOEXEC);
	char path[32];

	if (file < 0 || context < 0 || ftruncate(file, 4096) < 0)
		return false;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	if (fsconfig(context, FSCONFIG_SET_STRING, "source", path, 0) < 0)
		return false;
	return fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0 && errno != ENOTBLK;
}

/* A place may not be there yet: then what it will be made in counts. */
static int open_nearest(const char *place)
{
	char path[PATH_MAX];
	int fd = -ENOENT;

	snprintf(path, sizeof(path), "%s", place);
	for (char *slash; fd == -ENOENT && path[0] == '/'; *slash = '\0') {
		fd = path_open(path, O_RDONLY | O_DIRECTORY);
		slash = strrchr(path, '/');
	}
	return fd == -ENOENT ? path_open("/", O_RDONLY | O_DIRECTORY) : fd;
}

void vol_features(const char *place, struct text *out)
{
	autoclose int fd = open_nearest(place);
	const char *quota = fd < 0                    ? "no such place"
			    : quota_supported(fd) < 0 ? "mount it with prjquota (ext4: mkfs -O quota,project)"
						      : NULL;

	add(out, "overlay", overlay_supported() ? NULL : "the kernel has no overlayfs: layers are copied");
	text_addf(out, "project quota of %s: %s%s\n", place, quota ? "missing: " : "yes", quota ? quota : "");
	add(out, "loop", loop_lacks());
	add(out, "squashfs", has_type("squashfs") ? NULL : "not in this kernel");
	add(out, "erofs", has_type("erofs") ? NULL : "not in this kernel");
	add(out, "erofs without loop", erofs_takes_files() ? NULL : "not in this kernel (Linux 6.12)");
	add(out, "hugetmpfs",
	    access("/sys/kernel/mm/transparent_hugepage/shmem_enabled", F_OK) == 0
		    ? NULL
		    : "no huge pages for tmpfs in this kernel");
}
