/* The daemon's tree inside: all of it, or the directory of one container, at /porto. */
#include <fcntl.h>
#include <limits.h>
#include <sys/mount.h>
#include <sys/statfs.h>

#include "engine/init/init.h"

#define PLACE "porto"
#define STACK_MAX 16 /* dead mounts one above the other */

/* The directory sub of the tree instead of the tree, which is mounted on `at` for as long as it takes: only what is mounted in our own
 * namespace can be bound. */
static int narrow_to(struct init *in, int tree, const char *sub, int at)
{
	autoclose int dir = open_tree(tree, sub, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);

	if (dir < 0)
		return init_fail_sys(in, errno, "can't open the container's directory");
	if (fchdir(tree) || umount2(".", MNT_DETACH) || fchdir(in->root_fd))
		return init_fail_sys(in, errno, "can't take the tree off");
	if (move_mount(dir, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH))
		return init_fail_sys(in, errno, "can't mount the container's directory");
	return 0;
}

static int mount_tree(struct init *in, int tree, const char *sub, int at)
{
	if (move_mount(tree, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH))
		return init_fail_sys(in, errno, "can't mount the tree");
	return *sub ? narrow_to(in, tree, sub, at) : 0;
}

int op_porto(struct init *in, char **arg)
{
	unsigned long fd;

	if (init_number(in, arg[0], 10, INT_MAX, &fd) || mount_base(in, false))
		return -1;
	autoclose int tree = (int)fd;
	autoclose int at = mount_point(in, PLACE);
	if (at < 0 && strcmp(arg[2], "may"))
		return -1;
	return at < 0 ? 0 : mount_tree(in, tree, arg[1], at);
}

/* Takes off what answers no more; was there anything? The first one stays in a user namespace, where it is locked: the new
 * one is laid over it. */
static bool take_off_dead(void)
{
	bool found = false;
	struct statfs st;

	for (int i = 0; i < STACK_MAX && statfs("/" PLACE, &st) && (errno == ENOTCONN || errno == ECONNABORTED); i++) {
		found = true;
		if (umount2("/" PLACE, MNT_DETACH | UMOUNT_NOFOLLOW))
			break;
	}
	return found;
}

/* In the namespaces of a container that runs: its mounts are its own already. */
int op_reporto(struct init *in, char **arg)
{
	unsigned long fd;

	if (init_number(in, arg[0], 10, INT_MAX, &fd))
		return -1;
	in->slaved = true;
	if (mount_base(in, false) || !take_off_dead())
		_exit(EXIT_FAILURE);
	int at = mount_point(in, PLACE);
	_exit(at < 0 || mount_tree(in, (int)fd, arg[1], at) ? EXIT_FAILURE : EXIT_SUCCESS);
}
