#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/ioprio.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>

#include "engine/init/init.h"

int op_tasks(struct init *in, char **arg)
{
	unsigned long fd;
	ssize_t r;

	if (init_number(in, arg[0], 10, INT32_MAX, &fd))
		return -1;
	r = write((int)fd, "0", 1);
	if (r != 1)
		return init_fail_sys(in, r < 0 ? errno : EIO, "can't join the cgroup");
	close((int)fd);
	return 0;
}

int op_setns(struct init *in, char **arg)
{
	unsigned long fd, flags;

	if (init_number(in, arg[0], 10, INT32_MAX, &fd) || init_number(in, arg[1], 0, INT32_MAX, &flags))
		return -1;
	if (setns((int)fd, (int)flags))
		return init_fail_sys(in, errno, "can't join the namespace");
	close((int)fd);
	return 0;
}

int op_hostname(struct init *in, char **arg)
{
	if (sethostname(arg[0], strlen(arg[0])))
		return init_fail_path(in, errno, "", arg[0]);
	return 0;
}

int op_ioprio(struct init *in, char **arg)
{
	unsigned long class, level;

	if (init_number(in, arg[0], 10, IOPRIO_CLASS_IDLE, &class) || init_number(in, arg[1], 10, IOPRIO_NR_LEVELS - 1, &level))
		return -1;
	if (syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, (int)(class << IOPRIO_CLASS_SHIFT | level)))
		return init_fail_sys(in, errno, "can't set the priority");
	return 0;
}

/*
 * A file of our own directory in /proc, to be written with the host's rights. Whose /proc it is, and what is mounted over
 * its files, may be up to a container: only the file itself will do.
 */
int self_open(const char *name)
{
	char path[64], number[24];
	struct statfs st;
	autoclose int proc = open("/proc", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct open_how how = {
		.flags = O_WRONLY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS,
	};

	if (proc < 0 || fstatfs(proc, &st))
		return -1;
	if (st.f_type != PROC_SUPER_MAGIC) {
		errno = EXDEV;
		return -1;
	}
	stpcpy(stpcpy(stpcpy(path, number_format(number, getpid())), "/"), name);
	return (int)syscall(SYS_openat2, proc, path, &how, sizeof(how));
}

static int write_own(struct init *in, const char *name, const char *text)
{
	size_t len = strlen(text);
	autoclose int fd = self_open(name);

	if (fd < 0 || write(fd, text, len) != (ssize_t)len)
		return init_fail_sys(in, errno, text);
	return 0;
}

int op_oom_adj(struct init *in, char **arg)
{
	return write_own(in, "oom_score_adj", arg[0]);
}

int op_coredump_filter(struct init *in, char **arg)
{
	return write_own(in, "coredump_filter", arg[0]);
}

int op_umask(struct init *in, char **arg)
{
	unsigned long mask;

	if (init_number(in, arg[0], 8, UINT32_MAX, &mask))
		return -1;
	umask((mode_t)mask & 0777);
	return 0;
}

static int groups_parse(struct init *in, char *list, gid_t *groups, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		unsigned long gid;
		char *word = strsep(&list, ",");

		if (init_number(in, word, 10, UINT32_MAX - 1, &gid))
			return -1;
		groups[i] = (gid_t)gid;
	}
	return 0;
}

int op_groups(struct init *in, char **arg)
{
	size_t count = *arg[0] ? 1 : 0;
	gid_t *groups;
	int r;

	for (const char *comma = arg[0]; (comma = strchr(comma, ',')); comma++)
		count++;
	groups = calloc(count + 1, sizeof(*groups));
	if (!groups)
		return init_fail_sys(in, ENOMEM, "no memory for them");
	r = groups_parse(in, arg[0], groups, count);
	if (!r && setgroups(count, groups))
		r = init_fail_sys(in, errno, "can't set them");
	free(groups);
	return r;
}

int op_gid(struct init *in, char **arg)
{
	unsigned long gid;

	if (init_number(in, arg[0], 10, UINT32_MAX - 1, &gid))
		return -1;
	if (setresgid((gid_t)gid, (gid_t)gid, (gid_t)gid))
		return init_fail_sys(in, errno, arg[0]);
	return 0;
}

int op_uid(struct init *in, char **arg)
{
	unsigned long uid;

	if (init_number(in, arg[0], 10, UINT32_MAX - 1, &uid))
		return -1;
	if (setresuid((uid_t)uid, (uid_t)uid, (uid_t)uid))
		return init_fail_sys(in, errno, arg[0]);
	return 0;
}

int op_cwd(struct init *in, char **arg)
{
	char where[PATH_MAX];

	if (chdir(arg[0]))
		return init_fail_path(in, errno, "", arg[0]);
	/* A directory of /proc/self/fd may lead out of the root: the kernel then gives no absolute path. */
	if (syscall(SYS_getcwd, where, sizeof(where)) > 0 && where[0] != '/')
		return init_fail(in, ERR_Permission, EPERM, "not within the root: ", arg[0], NULL);
	return 0;
}
