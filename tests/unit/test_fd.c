/* Reading and writing whole files, replacing them, removing trees. */
#include "base/fd.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/stat.h>

#include "tests/unit/unit.h"

#define DEEP 5000

static char dir[] = "/tmp/porto-fd-XXXXXX";
static int at = -1;

static bool exists(const char *name)
{
	return faccessat(at, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void put(const char *name, const char *text)
{
	int fd = openat(at, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || fd_write_all(fd, text, strlen(text)) < 0)
		printf("# %s can't be written: %s\n", name, strerror(errno));
	if (fd >= 0)
		close(fd);
}

static void test_read(void)
{
	autotext struct text t = {};
	char buf[8];

	put("f", "1234567\n");
	text_add(&t, "x");
	unit_ok(file_read(at, "f", 8, &t) == 0 && strcmp(t.p, "x1234567\n") == 0, "file_read appends");
	unit_int(file_read(at, "f", 7, &t), -EFBIG, "file_read of more than allowed");
	unit_int(file_read(at, "none", 7, &t), -ENOENT, "file_read of nothing");
	unit_int(file_read_small(at, "f", buf, sizeof(buf)), -EFBIG, "file_read_small of more than fits");
	put("f", "123456\n");
	unit_ok(file_read_small(at, "f", buf, sizeof(buf)) == 6 && strcmp(buf, "123456") == 0,
		"file_read_small cuts the newline");
	put("f", "");
	unit_ok(file_read_small(at, "f", buf, sizeof(buf)) == 0 && !*buf, "file_read_small of an empty file");
	text_clear(&t);
	unit_ok(file_read(AT_FDCWD, "/proc/self/maps", SIZE_MAX, &t) == 0 && t.len > 1000,
		"file_read of a kernel file");
	text_clear(&t);
	for (int i = 0; i < 300000; i++)
		text_addc(&t, (char)('a' + i % 26));
	unit_int(file_replace(at, "big", t.p, t.len, 0600), 0, "file_replace of 300,000 bytes");
	autotext struct text back = {};
	unit_ok(file_read(at, "big", SIZE_MAX, &back) == 0 && back.len == t.len && memcmp(back.p, t.p, t.len) == 0,
		"which reads back");
}

static void test_write(void)
{
	char buf[32];

	put("f", "abc");
	unit_ok(file_write(at, "f", "X") == 0 && file_read_small(at, "f", buf, sizeof(buf)) == 3,
		"file_write doesn't truncate");
	unit_int(file_write(at, "none", "x"), -ENOENT, "file_write makes no file");
	unit_int(file_write(AT_FDCWD, "/dev/full", "x"), -ENOSPC, "file_write gives the kernel's answer");
	unit_ok(fd_set_cloexec(at, false) == 0 && fcntl(at, F_GETFD) == 0 && fd_set_cloexec(at, true) == 0 &&
			fcntl(at, F_GETFD) == FD_CLOEXEC,
		"fd_set_cloexec");
	unit_int(fd_set_cloexec(-1, true), -EBADF, "fd_set_cloexec of nothing");
}

static void test_replace(void)
{
	autotext struct text t = {};
	struct stat st;

	umask(077);
	unit_int(file_replace(at, "r", "one\n", 4, 0644), 0, "file_replace makes a file");
	umask(022);
	unit_ok(fstatat(at, "r", &st, 0) == 0 && (st.st_mode & 07777) == 0644,
		"with the mode given, whatever the umask");
	put(".r.tmp", "left by a crash, and longer than what comes");
	unit_ok(file_replace(at, "r", "two\n", 4, 0600) == 0 && file_read(at, "r", 100, &t) == 0 &&
			strcmp(t.p, "two\n") == 0,
		"and replaces it");
	unit_ok(!exists(".r.tmp") && fstatat(at, "r", &st, 0) == 0 && (st.st_mode & 07777) == 0600,
		"with nothing left beside it");
	unit_ok(symlinkat("/etc/passwd", at, ".r.tmp") == 0 && file_replace(at, "r", "3", 1, 0600) == 0 &&
			fstatat(at, "r", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode),
		"a symlink in its way is not followed");
	mkdirat(at, "d", 0755);
	unit_ok(file_replace(at, "d", "x", 1, 0600) == -EISDIR && !exists(".d.tmp"), "a directory isn't replaced");
	char name[300];
	memset(name, 'n', sizeof(name));
	name[251] = 0;
	unit_int(file_replace(at, name, "x", 1, 0600), -ENAMETOOLONG, "a name too long");
	name[250] = 0;
	unit_int(file_replace(at, name, "x", 1, 0600), 0, "the longest name");
}

static void test_replace_full(void)
{
	autotext struct text t = {};
	static char big[1 << 20];
	int saved = at;

	mkdirat(at, "full", 0755);
	if (fchdir(at) < 0 || mount("none", "full", "tmpfs", 0, "size=64k") < 0) {
		printf("# no tmpfs: %s\n", strerror(errno));
		return;
	}
	at = openat(saved, "full", O_DIRECTORY | O_CLOEXEC);
	unit_int(file_replace(at, "r", "old\n", 4, 0600), 0, "a file on a small filesystem");
	unit_int(file_replace(at, "r", big, sizeof(big), 0600), -ENOSPC,
		 "file_replace with more than there is room for");
	unit_ok(file_read(at, "r", 100, &t) == 0 && strcmp(text_str(&t), "old\n") == 0 && !exists(".r.tmp"),
		"leaves the old file and no other");
	unit_int(file_replace(at, "r", big, 40000, 0600), 0, "and the room is free again");
	close(at);
	at = saved;
	unit_int(umount2("full", 0), 0, "unmounted");
	unlinkat(at, "full", AT_REMOVEDIR);
	if (chdir("/") < 0)
		printf("# chdir\n");
}

/* Directories one in the other, and files on the way. */
static int make_deep(const char *name, int depth)
{
	autoclose int fd = openat(at, ".", O_DIRECTORY | O_CLOEXEC);

	for (int i = 0; i < depth; i++) {
		const char *part = i == 0 ? name : "a directory with a rather long name, so that the path is long too";
		int below;
		if (mkdirat(fd, part, 0755) < 0)
			return -errno;
		below = openat(fd, part, O_DIRECTORY | O_CLOEXEC);
		if (below < 0)
			return -errno;
		close(fd);
		fd = below;
		close(openat(fd, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
		if (mkdirat(fd, "empty", 0755) < 0)
			return -errno;
	}
	return 0;
}

static void test_tree(void)
{
	unit_int(tree_remove(at, "none"), 0, "tree_remove of nothing");
	put("f", "");
	unit_ok(tree_remove(at, "f") == 0 && !exists("f"), "tree_remove of a file");
	mkdirat(at, "t", 0755);
	unit_ok(tree_remove(at, "t") == 0 && !exists("t"), "tree_remove of an empty directory");
	unit_ok(tree_remove(at, ".") == -EINVAL && tree_remove(at, "..") == -EINVAL &&
			tree_remove(at, "x/..") == -EINVAL && tree_remove(at, "x/./") == -EINVAL,
		"tree_remove of dots is refused");

	if (unit_int(make_deep("deep", DEEP), 0, "a tree of 5,000 levels"))
		unit_ok(tree_remove(at, "deep") == 0 && !exists("deep"), "is removed");

	mkdirat(at, "keep", 0755);
	put("keep/file", "x");
	make_deep("t", 3);
	unit_ok(symlinkat("../keep", at, "t/link") == 0 && symlinkat("/", at, "t/root") == 0 &&
			symlinkat("keep", at, "top") == 0,
		"links out of the tree");
	unit_ok(tree_remove(at, "t") == 0 && !exists("t") && exists("keep/file"), "links in a tree are not followed");
	unit_ok(tree_remove(at, "top") == 0 && !exists("top") && exists("keep/file"),
		"a link as the top is removed itself");
	mkdirat(at, "a", 0755);
	mkdirat(at, "a/b", 0755);
	put("a/b/c", "");
	unit_ok(tree_remove(at, "a/b") == 0 && !exists("a/b") && exists("a"), "a path below the directory");
	mkdirat(at, "wide", 0755);
	for (int i = 0; i < 3000; i++) {
		char name[64];
		snprintf(name, sizeof(name), "wide/%d", i);
		mkdirat(at, name, 0755);
		snprintf(name, sizeof(name), "wide/%d/file", i);
		if (i % 2)
			put(name, "");
	}
	unit_ok(tree_remove(at, "wide") == 0 && !exists("wide"), "a wide tree");
}

static void test_tree_mounts(void)
{
	if (fchdir(at) < 0)
		return;
	make_deep("t", 2);
	mkdirat(at, "t/m", 0755);
	mkdirat(at, "t/m2", 0755);
	mkdirat(at, "t/m2/below", 0755);
	/* Of the same filesystem: its device number says nothing. */
	if (mount("keep", "t/m", NULL, MS_BIND, NULL) < 0 || mount("none", "t/m2/below", "tmpfs", 0, "size=64k") < 0) {
		printf("# no mounts: %s\n", strerror(errno));
		return;
	}
	put("t/m2/below/file", "x");
	unit_int(tree_remove(at, "t"), -EBUSY, "a tree with mounts in it is refused");
	unit_ok(exists("keep/file") && exists("t/m/file") && exists("t/m2/below/file"), "what is mounted stays");
	unit_ok(!exists("t/empty") && !exists("t/file"), "what lies beside goes");
	unit_ok(tree_remove(at, "t/m") == -EBUSY && exists("keep/file"), "a mount point itself is refused");
	umount2("t/m", 0);
	umount2("t/m2/below", 0);
	unit_ok(tree_remove(at, "t") == 0 && !exists("t") && exists("keep/file"), "unmounted, it goes");
	if (chdir("/") < 0)
		printf("# chdir\n");
}

static void test_from_process(void)
{
	autoclose int self = pidfd_open(getpid(), 0);
	autoclose int fd = -1;
	struct stat a, b;

	fd = fd_from_process(self, at);
	unit_ok(fd >= 0 && fstat(fd, &a) == 0 && fstat(at, &b) == 0 && a.st_ino == b.st_ino &&
			fcntl(fd, F_GETFD) == FD_CLOEXEC,
		"fd_from_process");
	unit_int(fd_from_process(self, 9999), -EBADF, "fd_from_process of a number that isn't open");
}

int main(void)
{
	if (!mkdtemp(dir) || (at = open(dir, O_DIRECTORY | O_CLOEXEC)) < 0)
		return 2;
	umask(022);
	test_read();
	test_write();
	test_replace();
	test_tree();
	/* Mounts of our own, seen by nobody else and gone with us. */
	if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0) {
		/* The old descriptor is of the namespace left behind, where nothing can be mounted from here. */
		close(at);
		at = open(dir, O_DIRECTORY | O_CLOEXEC);
		test_replace_full();
		test_tree_mounts();
	} else {
		printf("# no mount namespace: tests with mounts are left out\n");
	}
	test_from_process();
	unit_int(tree_remove(AT_FDCWD, dir), 0, "all is removed in the end");
	close(at);
	return unit_end();
}
