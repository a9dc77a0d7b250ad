/*
 * The cgroups as the container sees them: its own as the root, by a cgroup namespace. Where the host has v2 at all it is a
 * pure v2 tree, which every system of these days wants; systemd before 233 does not know it and is given v1 as it used to
 * be: controllers read-only (a v1 cgroup's own limits can be changed from inside of it), name=systemd to be written.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <linux/openat2.h>

#include "engine/init/init.h"

#define SYSTEMD_KNOWS_V2 233
#define ATTR_CGROUP (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)
#define LIST_MAX 8192
#define V1_TOGETHER 16 /* controllers in one hierarchy */

int op_cgroupns(struct init *in, char **arg UNUSED)
{
	if (unshare(CLONE_NEWCGROUP))
		return init_fail_sys(in, errno, "can't make a cgroup namespace");
	return 0;
}

/* ---- which systemd is in there ---- */

/* dir holds libsystemd-shared-N.so with N that knows v2. */
static bool has_new_library(int root, const char *dir)
{
	int fd = open_below(root, dir, O_RDONLY | O_DIRECTORY, 0);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	bool found = false;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	for (const struct dirent *de; !found && (de = readdir(d));) {
		static const char prefix[] = "libsystemd-shared-";
		if (!strncmp(de->d_name, prefix, sizeof(prefix) - 1))
			found = atoi(de->d_name + sizeof(prefix) - 1) >= SYSTEMD_KNOWS_V2;
	}
	closedir(d);
	return found;
}

static bool has_old_systemd(int root)
{
	static const char *const programs[] = { "lib/systemd/systemd", "usr/lib/systemd/systemd" };
	static const char *const libraries[] = {
		"lib/systemd", "usr/lib/systemd", "usr/lib64/systemd", "usr/lib/x86_64-linux-gnu/systemd",
		"usr/lib/aarch64-linux-gnu/systemd",
	};
	bool is_there = false;

	for (size_t i = 0; i < ARRAY_LEN(programs) && !is_there; i++) {
		autoclose int fd = open_below(root, programs[i], O_PATH, 0);
		is_there = fd >= 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(libraries) && is_there; i++) {
		if (has_new_library(root, libraries[i]))
			return false;
	}
	return is_there;
}

/* ---- mounts ---- */

static int mount_v1(struct init *in, int dir, char *list, bool rw)
{
	const char *options[2 * V1_TOGETHER + 1] = { "none", "", "name", list + 5 }, *name = list;
	char words[256], *rest = words, *word;
	size_t n = 4;

	if (strlen(list) >= sizeof(words))
		return init_fail_list(in, "too many controllers: ", list);
	memcpy(words, list, strlen(list) + 1);
	if (!strncmp(list, "name=", 5)) {
		name = list + 5;
	} else {
		for (n = 0; n < 2 * V1_TOGETHER && (word = strsep(&rest, ",")); n += 2) {
			options[n] = word;
			options[n + 1] = "";
		}
	}
	options[n] = NULL;
	autoclose int fs = mount_new("cgroup", options, ATTR_CGROUP | (rw ? 0 : MOUNT_ATTR_RDONLY));
	if (fs < 0 || mkdirat(dir, name, 0755) || mount_attach(fs, dir, name))
		return init_fail(in, ERR_Unknown, errno, "can't mount cgroup ", name, NULL);
	/* what is mounted together is found by each name */
	for (size_t i = 0; strchr(name, ',') && i < n; i += 2) {
		if (symlinkat(name, dir, options[i]))
			return init_fail(in, ERR_Unknown, errno, "can't make ", options[i], NULL);
	}
	return 0;
}

static const char *const no_options[] = { NULL };

static int mount_v2(struct init *in, int dir, const char *name, bool rw)
{
	autoclose int fs = mount_new("cgroup2", no_options, ATTR_CGROUP | (rw ? 0 : MOUNT_ATTR_RDONLY));

	if (fs < 0 || mount_attach(fs, dir, name))
		return init_fail(in, ERR_Unknown, errno, "can't mount cgroup2", NULL);
	return 0;
}

/* One of the comma separated names is among the others. Names of hierarchies without controller have "name=" before them. */
static bool names_meet(const char *names, const char *others)
{
	while (*names) {
		size_t skip = strncmp(names, "name=", 5) ? 0 : 5, len = strcspn(names, ",");

		for (const char *at = others; *at; at += strcspn(at, ","), at += *at == ',') {
			if (strcspn(at, ",") == len - skip && !strncmp(at, names + skip, len - skip))
				return true;
		}
		names += len + (names[len] == ',');
	}
	return false;
}

/* Every hierarchy in a directory of its own. list: what /proc/self/cgroup says; those not in own are not ours to show. */
static int mount_all(struct init *in, int dir, char *list, const char *own, bool rw)
{
	bool has_v2 = names_meet("v2", own);
	static const char *const options[] = { "mode", "755", NULL };
	autoclose int top = mount_new("tmpfs", options, ATTR_CGROUP);
	struct mount_attr read_only = { .attr_set = MOUNT_ATTR_RDONLY };
	char *line;

	if (top < 0 || mount_attach(top, dir, ""))
		return init_fail(in, ERR_Unknown, errno, "can't mount tmpfs", NULL);
	while ((line = strsep(&list, "\n"))) {
		char *names = strchr(line, ':'), *end = names ? strchr(names + 1, ':') : NULL;
		if (!end || end == names + 1)
			continue;
		*end = '\0';
		if (names_meet(names + 1, own) && mount_v1(in, top, names + 1, rw && !strcmp(names + 1, "name=systemd")))
			return -1;
	}
	if (has_v2 && mkdirat(top, "unified", 0755))
		return init_fail(in, ERR_Unknown, errno, "can't make unified", NULL);
	if (has_v2 && mount_v2(in, top, "unified", rw))
		return -1;
	if (mount_setattr(top, "", AT_EMPTY_PATH, &read_only, sizeof(read_only)))
		return init_fail_sys(in, errno, "can't make it read-only");
	return 0;
}

static int list_read(struct init *in, char *list, size_t size)
{
	autoclose int fd = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, list, size - 1) : -1;

	if (n < 0)
		return init_fail_sys(in, errno, "can't read /proc/self/cgroup");
	list[n] = '\0';
	return 0;
}

int op_cgroupfs(struct init *in, char **arg)
{
	bool rw = !strcmp(arg[0], "rw");
	static char list[LIST_MAX];

	if (mount_base(in, false) || list_read(in, list, sizeof(list)))
		return -1;
	autoclose int dir = open_below(in->root_fd, "sys/fs/cgroup", O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
	if (dir < 0)
		return init_fail_path(in, errno, "can't mount on ", "/sys/fs/cgroup");
	if (names_meet("v2", arg[1]) && !has_old_systemd(in->root_fd))
		return mount_v2(in, dir, "", rw);
	return mount_all(in, dir, list, arg[1], rw);
}
