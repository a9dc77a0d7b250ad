#include "engine/userns.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/proc.h"
#include "engine/birth.h"

bool userns_wanted(const struct ct *ct)
{
	switch ((enum virt_mode)ct->val[PROP_virt_mode].u) {
	case VIRT_DOCKER:
		return true;
	case VIRT_APP:
	case VIRT_OS:
		return ct->val[PROP_userns].b || (ct->val[PROP_enable_fuse].b && !prop_is_set(ct, PROP_userns));
	default:
		return false;
	}
}

struct ct *userns_owner(struct ct *ct)
{
	struct ct *found = NULL;

	for (; ct != NULL; ct = ct->parent)
		if (userns_wanted(ct))
			found = ct;
	return found;
}

bool userns_is_own(struct ct *ct)
{
	return userns_owner(ct) == ct;
}

/* root of the host has no number inside: who is meant is root there. */
static unsigned id_inside(unsigned root, unsigned id)
{
	return id == root ? 0 : id;
}

uid_t userns_uid(const struct ct *owner, uid_t uid)
{
	return owner == NULL ? uid : id_inside(owner->task_uid, uid);
}

gid_t userns_gid(const struct ct *owner, gid_t gid)
{
	return owner == NULL ? gid : id_inside(owner->task_gid, gid);
}

/*
 * Whoever is root in it has every right over the files and processes of all ids that are in the map, and may become any of them, on
 * the host as well. So what root owns has all but the host's root; what a user owns has that user alone.
 */
static int write_map(pid_t pid, const char *file, unsigned root, bool only)
{
	autotext struct text map = {};
	char path[48];
	int r;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	if (only) {
		text_addf(&map, "0 %u 1\n", root);
	} else if (root == 0) {
		text_add(&map, "0 0 4294967295\n");
	} else {
		text_addf(&map, "0 %u 1\n", root);
		if (root > 1)
			text_addf(&map, "1 1 %u\n", root - 1);
		if (root < UINT32_MAX - 1)
			text_addf(&map, "%u %u %u\n", root + 1, root + 1, UINT32_MAX - 1 - root);
	}
	r = text_ok(&map);
	return r < 0 ? r : file_write(AT_FDCWD, path, text_str(&map));
}

static int open_ns(pid_t pid, const char *name)
{
	char path[48];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* The process waits for operations until we close its pipe: then, as none came, it ends. */
static int take_namespaces(struct ct *ct, struct birth *b, int *user, int *net)
{
	int r = write_map(b->pid, "uid_map", ct->task_uid, ct->owner_uid != 0);

	if (r == 0)
		r = write_map(b->pid, "gid_map", ct->task_gid, ct->owner_uid != 0);
	if (r == 0)
		r = *user = open_ns(b->pid, "user");
	if (r >= 0 && net != NULL)
		r = *net = open_ns(b->pid, "net");
	/* alive still, so it was its /proc all the time */
	if (r >= 0)
		r = proc_signal(b->pidfd, 0);
	return MIN(r, 0);
}

int userns_make(struct ct *ct, int *user, int *net, struct err *err)
{
	struct birth b = { .cgroup_fd = -1, .join_fd = -1, .pidfd = -1, .init_fd = ct->e->init_fd };
	int ops[2], r;

	*user = -1;
	if (net != NULL)
		*net = -1;
	if (pipe2(ops, O_CLOEXEC) < 0)
		return err_sys(err, errno, "userns");
	b.flags = CLONE_NEWUSER | (net != NULL ? CLONE_NEWNET : 0);
	b.fds[b.count++] = ops[0];
	r = seed_birth(&ct->e->seed, &b);
	if (r == 0)
		r = b.failed != 0 ? -b.failed : take_namespaces(ct, &b, user, net);
	close(ops[0]);
	close(ops[1]);
	if (b.pidfd >= 0)
		close(b.pidfd);
	if (r == 0)
		return 0;
	if (*user >= 0)
		close(*user);
	if (net != NULL && *net >= 0)
		close(*net);
	*user = -1;
	return err_sys(err, -r, "container %s: cannot make a user namespace", ct->name);
}

int userns_open(const struct ct *owner, struct err *err)
{
	int fd = owner->pid > 0 ? open_ns(owner->pid, "user") : -ESRCH;

	if (fd >= 0 && (owner->pidfd < 0 || proc_signal(owner->pidfd, 0) < 0)) {
		close(fd);
		fd = -ESRCH;
	}
	return fd < 0 ? err_sys(err, -fd, "container %s: user namespace", owner->name) : fd;
}

#define NET_MSEC 2000

/* In the child, which has a copy of our memory: nothing but system calls. It stands until it is let go. */
__attribute__((noreturn)) static void stand_in_net(int user, int ready, int hold)
{
	char c = 0;

	/* who is root there has every right over us but one: our memory is that of a process of the host's root */
	if (prctl(PR_SET_DUMPABLE, 0) == 0 && setns(user, CLONE_NEWUSER) == 0 && unshare(CLONE_NEWNET) == 0 && write(ready, &c, 1) == 1)
		(void)!read(hold, &c, 1);
	_exit(0);
}

static int net_of_child(int user, int ready[2], int hold[2])
{
	int pidfd = -1, fd = -EIO;
	struct pollfd said = { .fd = ready[0], .events = POLLIN };
	struct clone_args args = { .flags = CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)&pidfd };
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	siginfo_t info;
	char c;

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		close(hold[1]);
		stand_in_net(user, ready[1], hold[0]);
	}
	close(TAKE_FD(ready[1]));
	/* one in there that sees the host's processes may stop it */
	if (poll(&said, 1, NET_MSEC) == 1 && read(ready[0], &c, 1) == 1)
		fd = open_ns(pid, "net");
	close(TAKE_FD(hold[1]));
	(void)proc_signal(pidfd, SIGKILL);
	(void)waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | __WALL);
	close(pidfd);
	return fd;
}

int userns_net(int user, struct err *err)
{
	int ready[2] = { -1, -1 }, hold[2] = { -1, -1 }, fd;

	fd = pipe2(ready, O_CLOEXEC) < 0 || pipe2(hold, O_CLOEXEC) < 0 ? -errno : net_of_child(user, ready, hold);
	for (int i = 0; i < 2; i++) {
		if (ready[i] >= 0)
			close(ready[i]);
		if (hold[i] >= 0)
			close(hold[i]);
	}
	return fd < 0 ? err_sys(err, -fd, "cannot make a network in the user namespace") : fd;
}
