/* Images: files that hold a file system. ext4 that we make, squashfs and erofs that others made. */
#include <endian.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>

#include "layerstore/loopdev.h"
#include "layerstore/vol.h"

#define EXT4_BLOCK 4096u
/* On images made here. xattr(7): nobody without CAP_SYS_ADMIN on the host sees or sets one of these. */
#define IMAGE_MARK "trusted.porto.image"
/* In that much one can be made, whatever else is asked for */
#define EXT4_ROOM (1u << 20)
/* One second */
#define CLAIM_TRIES 50
/* linux/ has no header with it */
#define EXT4_IOC_RESIZE_FS _IOW('f', 16, uint64_t)

/* An image of a size, without the file system: nothing is written but holes. */
static int file_size(int fd, uint64_t size, uint64_t guarantee, struct err *err)
{
	if (ftruncate(fd, (off_t)size) < 0)
		return err_sys(err, errno, "image of %llu bytes", (unsigned long long)size);
	if (guarantee == 0 || fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)MIN(guarantee, size)) == 0)
		return 0;
	return err_set(err, ERR_ResourceNotAvailable, "space_guarantee: no room for %llu bytes: %s",
		       (unsigned long long)guarantee, strerror(errno));
}

/*
 * No journal: what a crash of the host leaves of a volume nobody wants. Tables are zeroed when they are used, blocks
 * are as large as they can be grown from, and nothing is discarded in a file of holes.
 */
static int make_fs(int fd, uint64_t inodes, struct err *err)
{
	char count[24];
	const char *argv[] = {
		"mkfs.ext4",
		"-q",
		"-F",
		"-b",
		"4096",
		"-T",
		"default",
		"-m",
		"0",
		"-O",
		"^has_journal,extent",
		"-E",
		"lazy_itable_init=1,nodiscard,root_owner=0:0",
		inodes ? "-N" : "/proc/self/fd/3",
		inodes ? count : NULL,
		"/proc/self/fd/3",
		NULL,
	};

	/* The first eleven are mkfs's own and the top's. */
	snprintf(count, sizeof(count), "%llu", (unsigned long long)inodes + 11);
	return run_program(argv, &fd, 1, err);
}

int image_make(struct vol *v, int dirfd, const char *name, struct err *err)
{
	const struct vol_limits *l = &v->spec->limits;
	autoclose int fd = openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return err_sys(err, errno, "%s/%s", v->made->storage, name);
	r = file_size(fd, l->space_limit / EXT4_BLOCK * EXT4_BLOCK, l->space_guarantee, err);
	if (r == 0)
		r = make_fs(fd, l->inode_limit, err);
	/* What mkfs says of it is half a sentence, and in other words for each size. */
	if (r < 0 && err->kind == ERR_HelperError && l->space_limit < EXT4_ROOM)
		r = err_set(err, ERR_InvalidValue, "space_limit: no file system fits in %llu bytes: 1M is enough",
			    (unsigned long long)l->space_limit);
	if (r == 0 && fsetxattr(fd, IMAGE_MARK, "1", 1, 0) < 0 && errno != ENOTSUP)
		r = err_sys(err, errno, "%s/%s: " IMAGE_MARK, v->made->storage, name);
	if (r < 0) {
		unlinkat(dirfd, name, 0);
		return r;
	}
	return TAKE_FD(fd);
}

int image_check_ours(int fd, const char *path, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_InvalidPath, "%s: not a file", path);
	if (fgetxattr(fd, IMAGE_MARK, NULL, 0) >= 0)
		return 0;
	if (errno != ENOTSUP && errno != ENODATA)
		return err_sys(err, errno, "%s: " IMAGE_MARK, path);
	if (errno == ENODATA)
		return err_set(err, ERR_Permission,
			       "%s was not made by a volume: trust it with setfattr -n " IMAGE_MARK " -v 1", path);
	if (st.st_uid != 0 || (st.st_mode & 022) != 0 || st.st_nlink != 1)
		return err_set(err, ERR_Permission, "%s was not made by a volume: it is not root's alone", path);
	return 0;
}

/* squashfs: "hsqs" at 0. erofs: its number at 1024. ext: 0xef53 at 1080. */
static const char *type_of(int fd)
{
	unsigned char head[1084];
	uint32_t first, second;
	uint16_t third;

	if (pread(fd, head, sizeof(head), 0) < (ssize_t)sizeof(head))
		return NULL;
	memcpy(&first, head, sizeof(first));
	memcpy(&second, head + 1024, sizeof(second));
	memcpy(&third, head + 1080, sizeof(third));
	if (le32toh(first) == 0x73717368)
		return "squashfs";
	if (le32toh(second) == 0xe0f5e1e2)
		return "erofs";
	return le16toh(third) == 0xef53 ? "ext4" : NULL;
}

static int fail_as_filesystem(int r, struct err *err)
{
	if (r == -EINVAL || r == -EIO || r == -EUCLEAN || r == -EBADMSG)
		return err ? err_set_no(err, ERR_InvalidFilesystem, -r, "%s", err->text) : r;
	return r;
}

int image_claim(int fd, bool read_only, struct err *err)
{
	struct stat st;
	bool other_read_only;

	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "image");
	for (int i = 0; i < CLAIM_TRIES; i++) {
		int r = loop_find(st.st_dev, st.st_ino, &other_read_only);
		if (r == -ENOENT || (r >= 0 && read_only && other_read_only))
			return 0;
		if (r < 0)
			return err_sys(err, -r, "loop devices");
		nanosleep(&(struct timespec){ .tv_nsec = 20 * 1000 * 1000 }, NULL);
	}
	return err_set(err, ERR_Busy, "the image is in use by a loop device");
}

/* erofs on the file itself: Linux 6.12. Others say that it is no block device. */
static int mount_file(int fd, const char *type)
{
	char path[32];
	struct mnt_param params[] = { { "source", path }, {} };

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return mnt_new(type, params, true, NULL);
}

int image_mount(int fd, const char *type, bool read_only, struct err *err)
{
	char path[LOOP_PATH_MAX];
	struct mnt_param params[4] = { { "source", path } };
	int n = 1, r;

	if (!*type)
		type = type_of(fd);
	if (!type)
		return err_set(err, ERR_InvalidFilesystem, "image: neither ext4, squashfs nor erofs");
	if (strncmp(type, "ext", 3) != 0 && !read_only)
		return err_set(err, ERR_InvalidValue, "fs_type: %s can only be mounted with read_only", type);
	if (strcmp(type, "erofs") == 0) {
		r = mount_file(fd, type);
		if (r >= 0)
			return r;
	}
	autoclose int dev = loop_attach(fd, read_only, path, err);
	if (dev < 0)
		return dev;
	if (read_only)
		params[n++] = (struct mnt_param){ "ro", NULL };
	else
		params[n++] = (struct mnt_param){ "discard", NULL };
	params[n] = (struct mnt_param){};
	return fail_as_filesystem(mnt_new(type, params, read_only, err), err);
}

/* By e2fsprogs, while nobody has it mounted. */
int image_resize(int image, uint64_t size, struct err *err)
{
	static const char *const check[] = { "e2fsck", "-f", "-y", "/proc/self/fd/3", NULL };
	char text[32];
	const char *const resize[] = { "resize2fs", "-f", "/proc/self/fd/3", text, NULL };
	struct err ignored = {};
	const char *type;
	struct stat st;
	int r = 0;

	size = size / EXT4_BLOCK * EXT4_BLOCK;
	if (fstat(image, &st) < 0)
		return err_sys(err, errno, "image");
	if (!size || (uint64_t)st.st_size == size)
		return 0;
	type = type_of(image);
	if (!type || strcmp(type, "ext4") != 0)
		return err_set(err, ERR_InvalidFilesystem, "space_limit: the image is no ext4 and keeps its size");
	snprintf(text, sizeof(text), "%lluK", (unsigned long long)(size / 1024));
	/* Its status says also what it has mended: resize2fs refuses what is still broken. */
	(void)run_program(check, &image, 1, &ignored);
	if ((uint64_t)st.st_size < size && ftruncate(image, (off_t)size) < 0)
		r = -errno;
	if (r == 0)
		r = run_program(resize, &image, 1, err);
	else
		return err_sys(err, -r, "image of %llu bytes", (unsigned long long)size);
	if (r == 0 && (uint64_t)st.st_size > size && ftruncate(image, (off_t)size) < 0)
		return err_sys(err, errno, "image of %llu bytes", (unsigned long long)size);
	return r;
}

int image_grow(int image, int top, uint64_t size, struct err *err)
{
	uint64_t blocks = size / EXT4_BLOCK;
	struct stat st;
	bool read_only;
	int number;

	if (fstat(image, &st) < 0)
		return err_sys(err, errno, "image");
	number = loop_find(st.st_dev, st.st_ino, &read_only);
	if (number < 0)
		return err_sys(err, -number, "the image is on no loop device");
	if ((uint64_t)st.st_size < blocks * EXT4_BLOCK && ftruncate(image, (off_t)(blocks * EXT4_BLOCK)) < 0)
		return err_sys(err, errno, "image of %llu bytes", (unsigned long long)size);
	number = loop_resized(number);
	if (number < 0)
		return err_sys(err, -number, "loop device");
	if (ioctl(top, EXT4_IOC_RESIZE_FS, &blocks) == 0)
		return 0;
	if (errno == EPERM)
		return err_set(err, ERR_NotSupported, "space_limit: growing a mounted image needs CAP_SYS_RESOURCE");
	return err_sys(err, errno, "growing the file system");
}

int image_tune(struct vol *v, const struct vol_limits *to, struct err *err)
{
	const struct vol_limits *now = &v->spec->limits;
	int r;

	if (to->inode_limit != now->inode_limit)
		return err_set(err, ERR_NotSupported, "inode_limit: a file system in an image can't change it");
	if (to->space_limit < now->space_limit)
		return err_set(err, ERR_NotSupported, "space_limit: a mounted image can only grow");
	autoclose int image = path_open(v->made->image, O_RDWR | O_NONBLOCK);
	if (image < 0)
		return err_sys(err, -image, "%s", v->made->image);
	if (to->space_limit > now->space_limit) {
		/* The file system itself, not an overlay on it. */
		bool is_upper = strcmp(v->be->name, "loop") != 0;
		r = is_upper ? home_open(v) : 0;
		if (r < 0)
			return err_sys(err, -r, "home of the volume");
		autoclose int mount =
			is_upper ? openat(v->home, "upper", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
				 : path_open(v->spec->path, O_RDONLY | O_DIRECTORY);
		if (mount < 0)
			return err_sys(err, errno, "%s", v->spec->path);
		r = image_grow(image, mount, to->space_limit, err);
		if (r < 0)
			return r;
	}
	if (to->space_guarantee > now->space_guarantee &&
	    fallocate(image, FALLOC_FL_KEEP_SIZE, 0, (off_t)MIN(to->space_guarantee, to->space_limit)) < 0)
		return err_set(err, ERR_ResourceNotAvailable, "space_guarantee: %s", strerror(errno));
	return 0;
}
