#include <fcntl.h>
#include <limits.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <linux/openat2.h>

#include "engine/init/init.h"

/* A lookup that races with renames is refused with EAGAIN: enough tries that only an attack can use them up. */
#define LOOKUP_TRIES 100
#define LINKS_MAX 8

int open_below(int base, const char *path, uint64_t flags, uint64_t resolve)
{
	struct open_how how = {
		.flags = flags | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve,
	};
	long fd;
	int tries = LOOKUP_TRIES;

	do
		fd = syscall(SYS_openat2, base, path, &how, sizeof(how));
	while (fd < 0 && (errno == EAGAIN || errno == EINTR) && --tries);
	return (int)fd;
}

int mount_base(struct init *in, bool needs_root)
{
	if (!in->slaved)
		return init_fail_list(in, "no slave before", "");
	if (needs_root && !in->new_root)
		return init_fail_list(in, "no root before", "");
	if (in->root_fd < 0) {
		in->root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (in->root_fd < 0)
			return init_fail_sys(in, errno, "can't open the root");
	}
	return 0;
}

int op_slave(struct init *in, char **arg UNUSED)
{
	if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL))
		return init_fail_sys(in, errno, errno == EINVAL ?
				     "the daemon runs in a chroot that is no mount point: bind it over itself first" :
				     "can't part from the host's mounts");
	in->slaved = true;
	return 0;
}

/*
 * A tree that belongs to the host's root, as an unpacked layer does, belongs to the root of the user namespace instead, on
 * disk as well: by a mount with mapped ids. One that has been given to that user by chown needs none; and where the kernel
 * or the filesystem can't, it stays somebody else's.
 */
static void root_idmap(struct init *in, int dir, int tree)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)in->userns_fd };
	struct stat st;

	if (in->userns_fd >= 0 && in->root_uid && !fstat(dir, &st) && !st.st_uid)
		(void)mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr));
}

/* Who is root in the user namespace by being a user outside must not be the owner of what is the host root's. */
int op_plain(struct init *in, char **arg)
{
	in->plain = true;
	in->nosuid = !strcmp(arg[0], "nosuid");
	return 0;
}

static int root_nosuid(struct init *in, int tree)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV };

	if (in->nosuid && mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)))
		return init_fail_sys(in, errno, "can't forbid setuid programs in the root");
	return 0;
}

int op_root(struct init *in, char **arg)
{
	if (in->new_root)
		return init_fail_list(in, "only once", "");
	if (mount_base(in, false))
		return -1;
	autoclose int dir = open_below(in->root_fd, arg[0], O_PATH | O_DIRECTORY, 0);
	if (dir < 0)
		return init_fail_path(in, errno, "", arg[0]);
	/* Its own mount, with all that is mounted below: pivot_root wants one, and `readonly` must not hit the host's. */
	autoclose int tree = open_tree(dir, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_EMPTY_PATH);
	if (tree < 0)
		return init_fail_path(in, errno, "can't bind ", arg[0]);
	if (!in->plain)
		root_idmap(in, dir, tree);
	if (root_nosuid(in, tree))
		return -1;
	if (move_mount(tree, "", dir, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH))
		return init_fail_path(in, errno, "can't mount on ", arg[0]);
	close(in->root_fd);
	in->root_fd = TAKE_FD(tree);
	in->new_root = true;
	return 0;
}

int op_readonly(struct init *in, char **arg UNUSED)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };

	if (mount_base(in, true))
		return -1;
	if (mount_setattr(in->root_fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)))
		return init_fail_sys(in, errno, "can't make the root read-only");
	return 0;
}

/* Volumes are nosuid for the host, whose users are not to find the setuid programs of a layer; inside they are its own. */
int op_suid(struct init *in, char **arg UNUSED)
{
	struct mount_attr attr = { .attr_clr = MOUNT_ATTR_NOSUID };

	if (mount_base(in, true))
		return -1;
	if (mount_setattr(in->root_fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)))
		return init_fail_sys(in, errno, "can't allow setuid programs");
	return 0;
}

int op_pivot(struct init *in, char **arg UNUSED)
{
	if (mount_base(in, true))
		return -1;
	if (fchdir(in->root_fd) || syscall(SYS_pivot_root, ".", "."))
		return init_fail_sys(in, errno, "can't change the root");
	/* The old root now lies over the new one, at "."; taking it off must not be heard by anybody. */
	if (mount(NULL, ".", NULL, MS_SLAVE | MS_REC, NULL) || umount2(".", MNT_DETACH) || chdir("/"))
		return init_fail_sys(in, errno, "can't leave the old root");
	close(in->root_fd);
	in->root_fd = -1;
	in->new_root = false;
	return 0;
}

/* Makes what a component of a mount point lacks, in the directory that was found for the components before it. */
static int make_component(int parent, const char *name, bool dir)
{
	if (dir)
		return mkdirat(parent, name, 0755);
	int fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd >= 0)
		close(fd);
	return fd < 0 ? -1 : 0;
}

/*
 * Walks path and makes what is missing. Each prefix is looked up anew from the root, so that ".." and links in it mean
 * what they mean to the container; a dangling link can't be made good and is refused.
 */
static int make_path(int root, char *path, bool dir)
{
	char *name = path, *end;
	int parent = open_below(root, "/", O_PATH | O_DIRECTORY, 0);

	for (; parent >= 0; name = end) {
		name += strspn(name, "/");
		if (!*name)
			break;
		end = strchrnul(name, '/');
		char cut = *end;
		bool last = !end[strspn(end, "/")];
		*end = '\0';
		int fd = open_below(root, path, O_PATH, 0);
		if (fd < 0 && errno == ENOENT && !make_component(parent, name, dir || !last))
			fd = open_below(root, path, O_PATH, 0);
		*end = cut;
		int saved = errno;
		close(parent);
		errno = saved;
		parent = fd;
	}
	return parent;
}

int path_make(int root, char *path)
{
	return make_path(root, path, true);
}

bool init_same_file(int a, int b)
{
	struct stat sa, sb;

	return !fstat(a, &sa) && !fstat(b, &sb) && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

int mount_point(struct init *in, const char *name)
{
	/* A link at /dev would make what is meant for the container's /dev fall elsewhere. */
	int fd = open_below(in->root_fd, name, O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);

	if (fd < 0 && errno == ENOENT && in->new_root && !mkdirat(in->root_fd, name, 0755))
		fd = open_below(in->root_fd, name, O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
	if (fd < 0)
		return init_fail_path(in, errno, "can't mount on /", name);
	return fd;
}

static const struct bind_flag {
	const char *word;
	uint64_t set, unset, clear, propagation;
	bool recursive;
} bind_flags[] = {
	{ "dev",        .unset = MOUNT_ATTR_NODEV, .clear = MOUNT_ATTR_NODEV },
	{ "exec",       .unset = MOUNT_ATTR_NOEXEC },
	{ "noatime",    .set = MOUNT_ATTR_NOATIME, .clear = MOUNT_ATTR__ATIME },
	{ "nodev",      .set = MOUNT_ATTR_NODEV },
	{ "nodiratime", .set = MOUNT_ATTR_NODIRATIME },
	{ "noexec",     .set = MOUNT_ATTR_NOEXEC },
	{ "nosuid",     .set = MOUNT_ATTR_NOSUID },
	{ "private",    .propagation = MS_PRIVATE },
	{ "rec",        .recursive = true },
	{ "relatime",   .unset = MOUNT_ATTR_NOATIME, .clear = MOUNT_ATTR__ATIME },
	{ "ro",         .set = MOUNT_ATTR_RDONLY },
	{ "rw",         .unset = MOUNT_ATTR_RDONLY },
	{ "suid",       .unset = MOUNT_ATTR_NOSUID },
	{ "unbindable", .propagation = MS_UNBINDABLE },
};

/*
 * The positive words undo the negative ones before them; they never lift a restriction that the source has, or a
 * container could free itself of those it was given by binding for its child.
 */
static int bind_flags_parse(struct init *in, char *words, struct mount_attr *attr, bool *recursive)
{
	char *word;

	*attr = (struct mount_attr){ .attr_set = MOUNT_ATTR_NODEV };
	*recursive = false;
	while ((word = strsep(&words, ","))) {
		const struct bind_flag *flag = NULL;

		if (!*word)
			continue;
		for (size_t i = 0; i < ARRAY_LEN(bind_flags); i++) {
			if (!strcmp(bind_flags[i].word, word))
				flag = &bind_flags[i];
		}
		if (!flag)
			return init_fail(in, ERR_InvalidValue, 0, "unknown flag ", word, NULL);
		attr->attr_set = (attr->attr_set & ~flag->unset) | flag->set;
		attr->attr_clr |= flag->clear;
		if (flag->propagation)
			attr->propagation = flag->propagation;
		*recursive |= flag->recursive;
	}
	return 0;
}

/* Where to mount, made like the source if it is missing in a root of our own. */
static int bind_target(struct init *in, int source, char *path)
{
	struct stat st;
	int fd;

	if (fstat(source, &st))
		return init_fail_sys(in, errno, "can't stat the source");
	if (in->new_root)
		fd = make_path(in->root_fd, path, S_ISDIR(st.st_mode));
	else
		fd = open_below(in->root_fd, path, O_PATH, 0);
	if (fd < 0)
		return init_fail_path(in, errno, "target ", path);
	if (init_same_file(fd, in->root_fd)) {
		/* Such a mount would lie over the root unseen. */
		close(fd);
		return init_fail(in, ERR_InvalidValue, EINVAL, "target is the root: ", path, NULL);
	}
	return fd;
}

int op_bind(struct init *in, char **arg)
{
	struct mount_attr attr;
	bool recursive;

	if (mount_base(in, false) || bind_flags_parse(in, arg[2], &attr, &recursive))
		return -1;
	unsigned int deep = recursive ? AT_RECURSIVE : 0;
	autoclose int old_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	autoclose int source = open_below(old_root, arg[0], O_PATH, 0);
	if (source < 0)
		return init_fail_path(in, errno, "source ", arg[0]);
	autoclose int tree = open_tree(source, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | deep);
	if (tree < 0)
		return init_fail_path(in, errno, "source ", arg[0]);
	if (mount_setattr(tree, "", AT_EMPTY_PATH | deep, &attr, sizeof(attr)))
		return init_fail_path(in, errno, "can't set the flags for ", arg[0]);
	autoclose int target = bind_target(in, source, arg[1]);
	if (target < 0)
		return -1;
	if (move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH))
		return init_fail_path(in, errno, "can't mount on ", arg[1]);
	return 0;
}

/* Where the links at the end of path lead to, as a path below the root: what they name may be missing, and can then be made. */
static void follow(struct init *in, const char *path, char ret[PATH_MAX])
{
	char link[PATH_MAX];

	snprintf(ret, PATH_MAX, "%s", path);
	for (int i = 0; i < LINKS_MAX; i++) {
		autoclose int fd = open_below(in->root_fd, ret, O_PATH | O_NOFOLLOW, 0);
		ssize_t len = fd < 0 ? -1 : readlinkat(fd, "", link, sizeof(link) - 1);
		char *slash = strrchr(ret, '/');
		if (len <= 0)
			return;
		link[len] = '\0';
		if (link[0] == '/' || !slash)
			slash = ret - 1;
		size_t dir = (size_t)(slash + 1 - ret);
		if (dir + (size_t)len >= PATH_MAX)
			return;
		memcpy(ret + dir, link, (size_t)len + 1);
	}
}

int op_attach(struct init *in, char **arg)
{
	bool must = !strcmp(arg[2], "must");
	char path[PATH_MAX];
	unsigned long number;

	if (mount_base(in, false) || init_number(in, arg[0], 10, INT_MAX, &number))
		return -1;
	autoclose int tree = (int)number;
	follow(in, arg[1], path);
	autoclose int target = bind_target(in, tree, path);
	if (target < 0)
		return must ? -1 : 0;
	if (move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) && must)
		return init_fail_path(in, errno, "can't mount on ", arg[1]);
	return 0;
}
