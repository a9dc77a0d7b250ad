/* /run and symbolic links. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "engine/init/init.h"

#define RUN_DEPTH 8
#define RUN_DIRS 1000 /* an image with more of them in its /run is out to do harm */

/* Makes in to the directories that are in from, whose descriptor it takes. */
static int copy_dirs(struct init *in, int from, int to, int depth, int *left)
{
	DIR *d = fdopendir(from);
	int r = 0;

	if (!d) {
		close(from);
		return init_fail_sys(in, errno, "can't read /run");
	}
	for (const struct dirent *de; !r && (de = readdir(d));) {
		struct stat st;
		if (de->d_name[0] == '.' && (!de->d_name[1] || (de->d_name[1] == '.' && !de->d_name[2])))
			continue;
		int sub = openat(dirfd(d), de->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (sub < 0)
			continue;
		if (--*left < 0 || depth <= 0 || fstat(sub, &st) || mkdirat(to, de->d_name, st.st_mode & 07777)) {
			close(sub);
			continue;
		}
		autoclose int made = openat(to, de->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (made < 0 || fchown(made, st.st_uid, st.st_gid) || fchmod(made, st.st_mode & 07777)) {
			close(sub);
			r = init_fail_sys(in, errno, "can't make directories in it");
			break;
		}
		r = copy_dirs(in, sub, made, depth - 1, left);
	}
	closedir(d);
	return r;
}

int op_run(struct init *in, char **arg)
{
	const char *const options[] = { "mode", "755", "size", arg[0], NULL };
	int left = RUN_DIRS, old;

	if (mount_base(in, false))
		return -1;
	autoclose int dir = mount_point(in, "run");
	if (dir < 0)
		return in->no == EROFS ? 0 : -1;
	autoclose int fs = mount_new("tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
	if (fs < 0)
		return init_fail_sys(in, errno, "can't mount tmpfs");
	if (root_own(in, fs, ""))
		return -1;
	old = in->new_root ? openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (old >= 0 && copy_dirs(in, old, fs, RUN_DEPTH, &left))
		return -1;
	if (mount_attach(fs, dir, ""))
		return init_fail_sys(in, errno, "can't mount on /run");
	return 0;
}

/* As many steps up as the path of the link's directory has down: then it leads to the same from outside of the root. */
static int relative(struct init *in, const char *dir, const char *target, char *out, size_t size)
{
	size_t len = 0;

	if (*target == '/') {
		for (const char *at = dir; *(at += strspn(at, "/")); at += strcspn(at, "/")) {
			if (len + 3 >= size)
				return init_fail_path(in, ENAMETOOLONG, "", target);
			memcpy(out + len, "../", 3);
			len += 3;
		}
		target += strspn(target, "/");
	}
	if (len + strlen(target) + 2 >= size)
		return init_fail_path(in, ENAMETOOLONG, "", target);
	memcpy(out + len, *target || len ? target : ".", strlen(target) + 1);
	return 0;
}

/* By the task's own rights: it runs after `uid`. */
int op_symlink(struct init *in, char **arg)
{
	char *slash = strrchr(arg[1], '/'), text[PATH_MAX];
	const char *name = slash ? slash + 1 : arg[1];
	autoclose int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (!slash || !*name || !strcmp(name, ".") || !strcmp(name, ".."))
		return init_fail(in, ERR_InvalidValue, EINVAL, "not a name for a link: ", arg[1], NULL);
	*slash = '\0';
	if (relative(in, arg[1], arg[0], text, sizeof(text)))
		return -1;
	autoclose int dir = *arg[0] ? path_make(root, arg[1]) : open_below(root, *arg[1] ? arg[1] : "/", O_PATH | O_DIRECTORY, 0);
	*slash = '/';
	if (dir < 0)
		return !*arg[0] && errno == ENOENT ? 0 : init_fail_path(in, errno, "", arg[1]);
	if (!fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW)) {
		if (!S_ISLNK(st.st_mode))
			return init_fail_path(in, EEXIST, "", arg[1]);
		if (unlinkat(dir, name, 0))
			return init_fail_path(in, errno, "", arg[1]);
	}
	if (*arg[0] && symlinkat(text, dir, name))
		return init_fail_path(in, errno, "", arg[1]);
	return 0;
}
