/* A user namespace made by the engine: known from the beginning, entered when all that needs the host's root is done. */
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "engine/init/init.h"

int op_userns(struct init *in, char **arg)
{
	unsigned long fd, uid, gid;

	if (init_number(in, arg[0], 10, INT32_MAX, &fd) || init_number(in, arg[1], 10, UINT32_MAX - 1, &uid) ||
	    init_number(in, arg[2], 10, UINT32_MAX - 1, &gid))
		return -1;
	in->userns_fd = (int)fd;
	in->root_uid = (uid_t)uid;
	in->root_gid = (gid_t)gid;
	return 0;
}

int op_enter(struct init *in, char **arg)
{
	bool all = !strcmp(arg[0], "all");
	int spaces = CLONE_NEWCGROUP | (all || !strcmp(arg[0], "mounts") ? CLONE_NEWNS : 0) |
		     (all ? CLONE_NEWUTS | CLONE_NEWIPC : 0);

	if (in->userns_fd < 0 || in->new_root)
		return init_fail_list(in, "no userns before, or no pivot", "");
	/* Whoever is root there has every right over us but one: our memory is that of a process of the host's root. */
	if (prctl(PR_SET_DUMPABLE, 0))
		return init_fail_sys(in, errno, "can't hide");
	if (setns(in->userns_fd, CLONE_NEWUSER))
		return init_fail_sys(in, errno, "can't join the user namespace");
	/* Of its own, or it could mount nothing. Those that come from outside stay as they are, locked together. */
	if (unshare(spaces))
		return init_fail_sys(in, errno, "can't make namespaces in it");
	close(in->userns_fd);
	in->userns_fd = -1;
	in->entered = true;
	if (in->root_fd >= 0)
		close(in->root_fd);
	in->root_fd = -1;
	return 0;
}

int op_lo(struct init *in, char **arg UNUSED)
{
	struct ifreq req = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	autoclose int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &req))
		return init_fail_sys(in, errno, "can't bring up the loopback device");
	return 0;
}

int op_newnet(struct init *in, char **arg)
{
	if (unshare(CLONE_NEWNET))
		return init_fail_sys(in, errno, "can't make a network namespace");
	return op_lo(in, arg);
}

int op_unshare(struct init *in, char **arg UNUSED)
{
	if (unshare(CLONE_NEWNS))
		return init_fail_sys(in, errno, "can't make a mount namespace");
	in->slaved = false;
	return 0;
}

int root_own(struct init *in, int fd, const char *name)
{
	if (!in->root_uid && !in->root_gid)
		return 0;
	if (fchownat(fd, name, in->root_uid, in->root_gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
		return init_fail(in, ERR_Unknown, errno, "can't give away ", *name ? name : "a directory", NULL);
	return 0;
}
