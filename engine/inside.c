#include "engine/inside.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/log.h"
#include "engine/access.h"
#include "engine/birth.h"
#include "engine/init/proto.h"

/*
 * A copy of the mount, not attached anywhere. Private: else, where the host's is shared, what a container mounts on its /porto would
 * be on that of the host and of all others. What statx tells here the kernel knows without asking.
 */
static int copy_mount(const char *path)
{
	autoclose int fd = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	struct mount_attr attr = { .propagation = MS_PRIVATE };
	struct statx st;

	if (fd < 0 || mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return -errno;
	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO, &st) < 0)
		return -errno;
	/* number 1 on a device without hardware: unmounted by hand, it would be a directory of the host's */
	return st.stx_ino != ENGINE_ROOT || st.stx_dev_major != 0 ? -ENODEV : TAKE_FD(fd);
}

int inside_open(struct ct *ct, const char **sub)
{
	const struct ct *at = access_to_mount(ct);
	int fd = at != NULL ? copy_mount(ct->e->conf->daemon_mount) : -ENOENT;

	ct->porto = fd >= 0 ? at->id : 0;
	access_count(ct);
	if (fd < 0 && fd != -ENOENT)
		log_warning("%s: /porto can't be mounted inside: %s", ct->name, strerror(-fd));
	if (fd >= 0)
		*sub = ct_is_root(at) ? "" : at->name;
	return fd;
}

/* porto-init joins the container's mounts, does it and ends; nobody waits, for what it asks the tree we answer. */
static int mount_again(struct ct *ct, const char *sub)
{
	autoclose int null = open("/dev/null", O_RDWR | O_CLOEXEC), tree = copy_mount(ct->e->conf->daemon_mount);
	autotext struct text ops = {};
	int pipes[2], r;

	if (null < 0 || tree < 0 || pipe2(pipes, O_CLOEXEC) < 0)
		return tree < 0 ? tree : -errno;
	text_addf(&ops, "reporto%c%d%c%s%c", 0, INIT_FIRST_FREE_FD, 0, sub, 0);
	r = text_ok(&ops);
	if (r == 0)
		r = fd_write_all(pipes[1], ops.p, ops.len);
	close(pipes[1]);
	if (r >= 0) {
		struct birth b = { .fds = { pipes[0], null, null, tree }, .count = 4, .cgroup_fd = -1, .join_fd = ct->pidfd,
				   .join_flags = CLONE_NEWNS, .pidfd = -1, .init_fd = ct->e->init_fd };

		r = seed_birth(&ct->e->seed, &b);
		if (r == 0 && b.pidfd >= 0)
			close(b.pidfd);
		if (r == 0 && b.failed != 0)
			r = -b.failed;
	}
	close(pipes[0]);
	return r;
}

void inside_again(struct engine *e)
{
	for (struct ct *ct = ct_next(e->root, NULL); ct != NULL; ct = ct_next(e->root, ct)) {
		const struct ct *at = ct->porto != 0 && ct_is_alive(ct) && ct->pidfd >= 0 ? ct_find(e, ct->porto) : NULL;
		int r = at != NULL ? mount_again(ct, ct_is_root(at) ? "" : at->name) : 0;

		if (r < 0)
			log_warning("%s: /porto can't be mounted inside again: %s", ct->name, strerror(-r));
	}
}
