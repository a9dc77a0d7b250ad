#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <linux/openat2.h>

#include "engine/init/init.h"

#define NO_SUID_EXEC (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC)
#define NO_SUID_EXEC_DEV (NO_SUID_EXEC | MOUNT_ATTR_NODEV)
#define TTY_GID "5" /* group tty of all distributions we know; terminals of the container belong to it */

int mount_new(const char *type, const char *const *options, unsigned int attr)
{
	autoclose int fs = fsopen(type, FSOPEN_CLOEXEC);

	if (fs < 0)
		return -1;
	/* The name it bears in /proc/self/mounts. */
	if (fsconfig(fs, FSCONFIG_SET_STRING, "source", type, 0))
		return -1;
	for (; *options; options += 2) {
		bool is_flag = !*options[1];
		if (fsconfig(fs, is_flag ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING, options[0], is_flag ? NULL : options[1], 0))
			return -1;
	}
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		return -1;
	return fsmount(fs, FSMOUNT_CLOEXEC, attr);
}

int mount_attach(int tree, int dir, const char *name)
{
	return move_mount(tree, "", dir, name, MOVE_MOUNT_F_EMPTY_PATH | (*name ? 0 : MOVE_MOUNT_T_EMPTY_PATH));
}

/* A new mount on dir/name. The descriptor of its root, or -1 recorded. */
static int mount_on(struct init *in, int dir, const char *name, const char *type, const char *const *options,
		    unsigned int attr)
{
	autoclose int fs = mount_new(type, options, attr);

	if (fs < 0 || mount_attach(fs, dir, name))
		return init_fail(in, ERR_Unknown, errno, "can't mount ", type, NULL);
	return TAKE_FD(fs);
}

/* The same on a directory of the root to be, made if missing. */
static int mount_top(struct init *in, const char *name, const char *type, const char *const *options, unsigned int attr)
{
	autoclose int dir = mount_point(in, name);

	return dir < 0 ? -1 : mount_on(in, dir, "", type, options, attr);
}

static const char *const no_options[] = { NULL };

int cover(int from, const char *source, int dir, const char *name, uint64_t attr)
{
	struct mount_attr set = { .attr_set = attr };
	unsigned int flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW | (*source ? 0 : AT_EMPTY_PATH);
	autoclose int tree = open_tree(from, source, flags);

	if (tree < 0 || mount_setattr(tree, "", AT_EMPTY_PATH, &set, sizeof(set)))
		return -1;
	return mount_attach(tree, dir, name);
}

/*
 * A device of the old root's /dev. That may be a container's, whose root could have put a link there that leads to what we
 * would then mount with the host's rights: it must be the very device.
 */
static int old_device(const char *name, unsigned int major, unsigned int minor)
{
	autoclose int dev = open("/dev", O_PATH | O_DIRECTORY | O_CLOEXEC);
	autoclose int fd = dev < 0 ? -1 : openat(dev, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return -1;
	if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(major, minor)) {
		errno = ENODEV;
		return -1;
	}
	return TAKE_FD(fd);
}

/*
 * In a user namespace nothing there is anybody's to change, and who makes one of his own inside can mount a /proc for it only
 * if he sees a whole one: so it is left whole.
 */
static int proc_protect(struct init *in, int proc)
{
	static const char *const read_only[] = { "bus", "irq", "sys", "sysrq-trigger" };
	static const char *const masked[] = { "kcore", "keys", "timer_list" };

	if (in->userns_fd >= 0)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(read_only); i++) {
		const char *name = read_only[i];
		if (cover(proc, name, proc, name, MOUNT_ATTR_RDONLY | NO_SUID_EXEC_DEV) && errno != ENOENT)
			return init_fail(in, ERR_Unknown, errno, "can't protect ", name, NULL);
	}
	autoclose int null = old_device("null", 1, 3);
	for (size_t i = 0; i < ARRAY_LEN(masked); i++) {
		if (!faccessat(proc, masked[i], F_OK, 0) &&
		    (null < 0 || cover(null, "", proc, masked[i], MOUNT_ATTR_RDONLY | NO_SUID_EXEC)))
			return init_fail(in, ERR_Unknown, errno, "can't mask ", masked[i], NULL);
	}
	return 0;
}

int op_proc(struct init *in, char **arg UNUSED)
{
	if (mount_base(in, false))
		return -1;
	autoclose int proc = mount_top(in, "proc", "proc", no_options, NO_SUID_EXEC_DEV);
	if (proc < 0)
		return -1;
	return in->new_root ? proc_protect(in, proc) : 0;
}

static const struct device {
	const char *name;
	unsigned int major, minor;
} devices[] = {
	{ "console", 1, 3 }, /* there is none: null takes what is written to it */
	{ "full",    1, 7 },
	{ "null",    1, 3 },
	{ "random",  1, 8 },
	{ "tty",     5, 0 },
	{ "urandom", 1, 9 },
	{ "zero",    1, 5 },
};

static const struct link {
	const char *name, *target;
} links[] = {
	{ "fd",     "/proc/self/fd" },
	{ "ptmx",   "pts/ptmx" },
	{ "stderr", "/proc/self/fd/2" },
	{ "stdin",  "/proc/self/fd/0" },
	{ "stdout", "/proc/self/fd/1" },
};

static const char *const directories[] = { "pts", "shm" };

/* Where a device cgroup or a user namespace forbids mknod, the old root's device serves. */
static int device_bind(int dev, const struct device *d)
{
	autoclose int from = old_device(strcmp(d->name, "console") ? d->name : "null", d->major, d->minor);
	autoclose int file = openat(dev, d->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

	if (from < 0 || file < 0)
		return -1;
	return cover(from, "", dev, d->name, NO_SUID_EXEC);
}

static int devices_make(struct init *in, int dev)
{
	for (size_t i = 0; i < ARRAY_LEN(devices); i++) {
		const struct device *d = &devices[i];

		if (mknodat(dev, d->name, S_IFCHR | 0666, makedev(d->major, d->minor)) &&
		    (errno != EPERM || device_bind(dev, d)))
			return init_fail(in, ERR_Unknown, errno, "can't make ", d->name, NULL);
	}
	for (size_t i = 0; i < ARRAY_LEN(directories); i++) {
		if (mkdirat(dev, directories[i], 0755))
			return init_fail(in, ERR_Unknown, errno, "can't make ", directories[i], NULL);
	}
	for (size_t i = 0; i < ARRAY_LEN(links); i++) {
		if (symlinkat(links[i].target, dev, links[i].name))
			return init_fail(in, ERR_Unknown, errno, "can't make ", links[i].name, NULL);
	}
	return 0;
}

/* Where the kernel has them. */
static int hugepages_mount(struct init *in, int dev)
{
	static const char *const options[] = { "mode", "1777", NULL };
	autoclose int fs = mount_new("hugetlbfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);

	if (fs < 0)
		return 0;
	if (mkdirat(dev, "hugepages", 0755) || mount_attach(fs, dev, "hugepages"))
		return init_fail(in, ERR_Unknown, errno, "can't mount hugetlbfs", NULL);
	return root_own(in, fs, "");
}

int op_dev(struct init *in, char **arg UNUSED)
{
	static const char *const dev_options[] = { "mode", "755", "size", "32m", NULL };
	static const char *const pts_options[] = { "mode", "620", "ptmxmode", "666", "gid", TTY_GID, "max", "256", NULL };
	static const char *const shm_options[] = { "mode", "1777", NULL };
	mode_t mask;
	int r;

	if (mount_base(in, true))
		return -1;
	autoclose int dev = mount_top(in, "dev", "tmpfs", dev_options, NO_SUID_EXEC);
	if (dev < 0 || root_own(in, dev, ""))
		return -1;
	mask = umask(0);
	r = devices_make(in, dev);
	umask(mask);
	if (r)
		return -1;
	autoclose int pts = mount_on(in, dev, "pts", "devpts", pts_options, NO_SUID_EXEC);
	if (pts < 0)
		return -1;
	autoclose int shm = mount_on(in, dev, "shm", "tmpfs", shm_options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
	if (shm < 0 || root_own(in, shm, ""))
		return -1;
	return hugepages_mount(in, dev);
}

int op_no_console(struct init *in, char **arg UNUSED)
{
	autoclose int dev = mount_base(in, true) ? -1 : mount_point(in, "dev");

	if (dev < 0)
		return -1;
	if (unlinkat(dev, "console", 0) && errno != ENOENT)
		return init_fail_sys(in, errno, "can't remove it");
	return 0;
}

/* What a mount of sysfs needs (the right over the network namespace) may be missing; the old one shows the same. */
static int sys_bind(int dir)
{
	struct mount_attr set = { .attr_set = MOUNT_ATTR_RDONLY | NO_SUID_EXEC_DEV };
	autoclose int tree = open_tree(AT_FDCWD, "/sys", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);

	if (tree < 0 || mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &set, sizeof(set)))
		return -1;
	return mount_attach(tree, dir, "");
}

int op_sys(struct init *in, char **arg UNUSED)
{
	if (mount_base(in, false))
		return -1;
	autoclose int dir = mount_point(in, "sys");
	if (dir < 0)
		return -1;
	autoclose int fs = mount_new("sysfs", no_options, MOUNT_ATTR_RDONLY | NO_SUID_EXEC_DEV);
	if ((fs < 0 || mount_attach(fs, dir, "")) && sys_bind(dir))
		return init_fail(in, ERR_Unknown, errno, "can't mount sysfs", NULL);
	return 0;
}

/*
 * For container runtimes in a user namespace. Those inside mount a writable sysfs only if they see one; nothing in it is theirs.
 * And they ask systemd for cgroups where its directory is, which is another one's here, in cgroups they don't see.
 */
int op_runtimes(struct init *in, char **arg UNUSED)
{
	struct mount_attr clear = { .attr_clr = MOUNT_ATTR_RDONLY };
	static const char *const options[] = { "mode", "755", NULL };

	if (mount_base(in, false))
		return -1;
	autoclose int sys = open_below(in->root_fd, "sys", O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
	if (sys < 0 || mount_setattr(sys, "", AT_EMPTY_PATH, &clear, sizeof(clear)))
		return init_fail_path(in, errno, "can't make writable ", "/sys");
	autoclose int dir = open_below(in->root_fd, "run/systemd", O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
	if (dir < 0)
		return 0;
	autoclose int fs = mount_on(in, dir, "", "tmpfs", options, MOUNT_ATTR_RDONLY | NO_SUID_EXEC_DEV);
	return fs < 0 ? -1 : 0;
}

/*
 * What a systemd that boots would start a mount(8) for. The message queues are its own. The connections are those of the host's
 * FUSE, with a file in each that ends it, the tree's too: nothing is there instead.
 */
int op_premount(struct init *in, char **arg UNUSED)
{
	autoclose int dev = mount_base(in, true) ? -1 : mount_point(in, "dev");

	if (dev < 0)
		return -1;
	autoclose int queues = mount_new("mqueue", no_options, NO_SUID_EXEC_DEV);
	if (queues >= 0 && (mkdirat(dev, "mqueue", 0755) || mount_attach(queues, dev, "mqueue")))
		return init_fail(in, ERR_Unknown, errno, "can't mount mqueue", NULL);
	autoclose int dir = open_below(in->root_fd, "sys/fs/fuse/connections", O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
	if (dir < 0)
		return 0;
	autoclose int nothing = mount_on(in, dir, "", "tmpfs", no_options, MOUNT_ATTR_RDONLY | NO_SUID_EXEC_DEV);
	return nothing < 0 ? -1 : 0;
}

/* The container's own /proc may be that of its parent, read-only; a mount that hangs nowhere is of our namespaces alone. */
int op_sysctl(struct init *in, char **arg)
{
	autoclose int proc = mount_new("proc", no_options, NO_SUID_EXEC_DEV);
	autoclose int sys = proc < 0 ? -1 : openat(proc, "sys", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (sys < 0)
		return init_fail_sys(in, errno, "can't mount proc");
	autoclose int file = open_below(sys, arg[0], O_WRONLY, RESOLVE_NO_SYMLINKS);
	if (file < 0)
		return init_fail_path(in, errno, "", arg[0]);
	if (write(file, arg[1], strlen(arg[1])) < 0)
		return init_fail(in, ERR_InvalidValue, errno, arg[0], ": the kernel does not take ", arg[1], NULL);
	return 0;
}
