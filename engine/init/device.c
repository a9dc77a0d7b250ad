#include <fcntl.h>
#include <sys/mount.h>

#include "base/node.h"
#include "engine/init/init.h"

/* "c 10:200", "644", "0:0" */
static int node_read(struct init *in, char **arg, struct node *ret)
{
	unsigned long major, minor, mode, uid, gid;
	char *numbers = arg[2] + 2, *owner = arg[4], *second = strchr(arg[4], ':');
	char *colon = strlen(arg[2]) > 2 ? strchr(numbers, ':') : NULL;

	if (!colon || !second || !strchr("bc", arg[2][0]))
		return init_fail_list(in, "not a device: ", arg[2]);
	*colon = *second = '\0';
	if (init_number(in, numbers, 10, UINT32_MAX, &major) || init_number(in, colon + 1, 10, UINT32_MAX, &minor) ||
	    init_number(in, arg[3], 8, 0777, &mode) || init_number(in, owner, 10, UINT32_MAX - 1, &uid) ||
	    init_number(in, second + 1, 10, UINT32_MAX - 1, &gid))
		return -1;
	*ret = (struct node){ .block = arg[2][0] == 'b', .major = (unsigned)major, .minor = (unsigned)minor, .mode = (mode_t)mode,
			      .uid = (uid_t)uid, .gid = (gid_t)gid };
	return 0;
}

/* In a user namespace nodes can't be made; the host's serves, with the mode and owner that it has. */
static int bind_device(struct init *in, int dev, const char *source, const char *path)
{
	autoclose int from = open("/dev", O_PATH | O_DIRECTORY | O_CLOEXEC);
	const char *name = path + strlen("/dev/");

	if (strchr(name, '/'))
		return init_fail(in, ERR_Permission, EPERM, "a directory below /dev takes a node, which can't be made here: ", path, NULL);
	autoclose int file = openat(dev, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (from < 0 || file < 0 || cover(from, source + strlen("/dev/"), dev, name, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC))
		return init_fail_path(in, errno, "can't bind ", path);
	return 0;
}

int op_device(struct init *in, char **arg)
{
	struct node n;
	int r;

	if (mount_base(in, true) || node_read(in, arg, &n))
		return -1;
	if (strncmp(arg[0], "/dev/", 5) || strncmp(arg[1], "/dev/", 5))
		return init_fail_list(in, "not below /dev: ", arg[1]);
	autoclose int dev = open_below(in->root_fd, "dev", O_PATH | O_DIRECTORY, 0);
	if (dev < 0)
		return init_fail_path(in, errno, "", "/dev");
	r = node_make(dev, arg[1] + strlen("/dev/"), &n);
	if (r == -EPERM)
		return bind_device(in, dev, arg[0], arg[1]);
	return r < 0 ? init_fail_path(in, -r, "can't make ", arg[1]) : 0;
}
