/* Directories of a volume: its home in the place, its storage. Everything through descriptors, no symbolic link
 * followed. */
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "layerstore/vol.h"

struct vol vol_begin(const struct vol_spec *spec, struct vol_made *made)
{
	return (struct vol){
		.spec = spec,
		.made = made,
		.be = backend_find(made->backend),
		.volumes = -1,
		.home = -1,
		.storage = -1,
	};
}

void vol_close(struct vol *v)
{
	cleanup_close(&v->storage);
	cleanup_close(&v->home);
	cleanup_close(&v->volumes);
}

int path_open(const char *path, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)flags | O_CLOEXEC,
		.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

int fd_reopen(int fd, int flags)
{
	char path[32];
	int to;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	to = open(path, flags | O_CLOEXEC);
	return to < 0 ? -errno : to;
}

int path_open_parent(const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];

	if (!slash || !slash[1] || (size_t)(slash - path) >= sizeof(dir))
		return -EINVAL;
	memcpy(dir, path, (size_t)(slash - path));
	dir[slash - path] = 0;
	*name = slash + 1;
	return path_open(slash == path ? "/" : dir, O_PATH | O_DIRECTORY);
}

int dir_make(int dirfd, const char *name, mode_t mode, bool *made)
{
	bool is_new = mkdirat(dirfd, name, mode) == 0;
	struct stat st;

	if (made)
		*made = is_new;
	if (!is_new && errno != EEXIST)
		return -errno;
	autoclose int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (is_new && (fstat(fd, &st) < 0 || ((st.st_mode & 07777) != mode && fchmod(fd, mode) < 0)))
		return -errno;
	return TAKE_FD(fd);
}

/* ---- the home ---- */

#define HOME_NAME_MAX 24
#define REMOVE_TRIES  100

static void home_name(const struct vol *v, char name[HOME_NAME_MAX])
{
	snprintf(name, HOME_NAME_MAX, "%llu", (unsigned long long)v->spec->id);
}

static int volumes_open(struct vol *v)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/porto_volumes", v->spec->place);

	if (v->volumes >= 0)
		return 0;
	if (n >= (int)sizeof(path))
		return -ENAMETOOLONG;
	n = path_open(path, O_RDONLY | O_DIRECTORY);
	if (n < 0)
		return n;
	v->volumes = n;
	return 0;
}

int home_open(struct vol *v)
{
	char name[HOME_NAME_MAX];
	int r;

	if (v->home >= 0)
		return 0;
	r = volumes_open(v);
	if (r < 0)
		return r;
	home_name(v, name);
	v->home = openat(v->volumes, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return v->home < 0 ? -errno : 0;
}

int home_make(struct vol *v, struct err *err)
{
	char name[HOME_NAME_MAX];
	int r;

	if (v->home >= 0)
		return 0;
	r = volumes_open(v);
	if (r < 0)
		return err_sys(err, -r, "%s/porto_volumes", v->spec->place);
	home_name(v, name);
	r = dir_make(v->volumes, name, 0755, NULL);
	if (r < 0)
		return err_sys(err, -r, "%s/porto_volumes/%s", v->spec->place, name);
	v->home = r;
	return 0;
}

int home_sub(struct vol *v, const char *name, struct err *err)
{
	int r = home_make(v, err);

	if (r < 0)
		return r;
	r = dir_make(v->home, name, 0700, NULL);
	return r < 0 ? err_sys(err, -r, "%s/porto_volumes/%llu/%s", v->spec->place, (unsigned long long)v->spec->id,
			       name)
		     : r;
}

/* What an unused volume consists of, deepest first. What isn't empty or isn't there stays as it is. */
static void sweep_empty(struct vol *v)
{
	static const char *const inside[] = {
		"data",
		"upper",
		"work/work/incompat/volatile/dirty",
		"work/work/incompat/volatile",
		"work/work/incompat",
		"work/work",
		"work",
	};
	static const char *const top[] = { "volume", "lower", "upper" };
	autoclose int storage = openat(v->home, v->made->backend, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	for (size_t i = 0; storage >= 0 && i < ARRAY_LEN(inside); i++)
		if (unlinkat(storage, inside[i], AT_REMOVEDIR) < 0 && errno == ENOTDIR)
			unlinkat(storage, inside[i], 0);
	if (storage >= 0)
		unlinkat(v->home, v->made->backend, AT_REMOVEDIR);
	for (size_t i = 0; i < ARRAY_LEN(top); i++)
		unlinkat(v->home, top[i], AT_REMOVEDIR);
}

int home_remove(struct vol *v, struct err *err)
{
	char name[HOME_NAME_MAX], gone[HOME_NAME_MAX + 16];

	home_name(v, name);
	sweep_empty(v);
	if (unlinkat(v->volumes, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno != ENOTEMPTY && errno != EEXIST)
		return err_sys(err, errno, "%s/porto_volumes/%s", v->spec->place, name);
	/* What an earlier volume of that number left may be on its way out still. */
	for (int i = 0; i < REMOVE_TRIES; i++) {
		snprintf(gone, sizeof(gone), i ? "_remove_%s.%d" : "_remove_%s", name, i);
		if (renameat2(v->volumes, name, v->volumes, gone, RENAME_NOREPLACE) == 0)
			return 0;
		if (errno != EEXIST)
			break;
	}
	return err_sys(err, errno, "%s/porto_volumes/%s: renaming it for removal", v->spec->place, name);
}

/* ---- the storage ---- */

static int storage_make(struct vol *v, struct err *err)
{
	const char *name;
	autoclose int parent = path_open_parent(v->made->storage, &name);

	if (parent < 0)
		return err_sys(err, -parent, "%s", v->made->storage);
	v->storage = dir_make(parent, name, 0700, &v->new_storage);
	v->new_top = v->new_storage;
	return v->storage < 0 ? err_sys(err, -v->storage, "%s", v->made->storage) : 0;
}

static int storage_fail(int r, const struct vol *v, struct err *err)
{
	if (r == -ENOTDIR)
		return err_set_no(err, ERR_InvalidPath, ENOTDIR, "storage: '%s' is not a directory", v->made->storage);
	if (r == -ENOENT || r == -ELOOP)
		return err_set_no(err, ERR_InvalidPath, -r, "storage: '%s': %s", v->made->storage,
				  r == -ENOENT ? "not found" : "the path has a symbolic link in it");
	return err_sys(err, -r, "storage: %s", v->made->storage);
}

/* An image is opened by who mounts it. */
static int storage_flags(const struct vol *v)
{
	return v->be->storage == STORAGE_ANY || v->be->storage == STORAGE_IMAGE ? O_PATH : O_RDONLY | O_DIRECTORY;
}

int storage_find(struct vol *v)
{
	int fd;

	if (v->storage >= 0)
		return 0;
	if (is_temporary(v)) {
		fd = home_open(v);
		if (fd < 0)
			return fd;
		fd = openat(v->home, v->made->backend, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		fd = fd < 0 ? -errno : fd;
	} else {
		fd = path_open(v->made->storage, storage_flags(v));
	}
	if (fd < 0)
		return fd;
	v->storage = fd;
	return 0;
}

int storage_open(struct vol *v, struct err *err)
{
	int r;

	if (v->storage >= 0)
		return 0;
	if (is_temporary(v)) {
		v->storage = home_sub(v, v->made->backend, err);
		v->new_top = true;
		return v->storage < 0 ? v->storage : 0;
	}
	r = storage_find(v);
	if (r == -ENOENT && v->spec->storage_named)
		return storage_make(v, err);
	return r < 0 ? storage_fail(r, v, err) : 0;
}

int storage_top(struct vol *v, struct err *err)
{
	int fd;

	if (is_temporary(v))
		fd = dir_make(v->storage, "data", 0755, NULL);
	else
		fd = openat(v->storage, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_sys(err, fd < -1 ? -fd : errno, "%s", v->made->storage) : fd;
}

int storage_check_his(const struct vol *v, int fd, struct err *err)
{
	const struct vol_spec *s = v->spec;
	bool is_given = v->be == &backend_quota || (s->storage[0] && !s->storage_named);
	struct stat st;

	if (s->by == 0 || !is_given || (fstat(fd, &st) == 0 && st.st_uid == s->by))
		return 0;
	return err_set(err, ERR_Permission, "%s: it does not belong to user %u: no owner, permissions or limits for it",
		       v->made->storage, (unsigned)s->by);
}

int top_own(const struct vol *v, int top, struct err *err)
{
	const struct vol_spec *s = v->spec;
	int r;

	if (!(s->own_top || v->new_top) || s->read_only)
		return 0;
	r = storage_check_his(v, top, err);
	if (r < 0)
		return r;
	if (fchown(top, s->uid, s->gid) < 0 || fchmod(top, s->mode & 07777) < 0)
		return err_sys(err, errno, "owner of the volume's top");
	return 0;
}

/* ---- the disk ---- */

void device_name(uint64_t dev, char *buf, size_t size)
{
	char path[64], to[PATH_MAX], *name;
	ssize_t n;

	buf[0] = 0;
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", major(dev), minor(dev));
	n = readlink(path, to, sizeof(to) - 1);
	if (n <= 0)
		return;
	to[n] = 0;
	snprintf(path + strlen(path), sizeof(path) - strlen(path), "/partition");
	name = strrchr(to, '/');
	if (name && access(path, F_OK) == 0) {
		*name = 0;
		name = strrchr(to, '/');
	}
	if (name)
		snprintf(buf, size, "%.*s", (int)MIN(size - 1, strlen(name + 1)), name + 1);
}
