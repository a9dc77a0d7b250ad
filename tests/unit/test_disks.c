/* engine/disks.c against this host: names, numbers and paths that mean the same disk, and those that mean none. */
#include "engine/disks.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/unit/unit.h"

static void test_nothing(void)
{
	static const char *const names[] = { "", ".", "..", "../block", "/", "no such disk", "nosuchdisk", "a/b", "sda\n" };
	static const char *const paths[] = { "/nonexistent", "/proc", "/proc/self/exe", "/sys", "/dev/null", "/dev/fd/0", "/dev/nosuch" };
	struct disk d = { .major = 77 };
	char name[100];

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		unit_ok(disk_by_name(names[i], &d) == -ENODEV && d.major == 77, "no disk is called '%s'", names[i]);
	memset(name, 'a', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	unit_int(disk_by_name(name, &d), -ENODEV, "nor by a name of 99 letters");
	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		unit_ok(disk_of_path("/", paths[i], &d) == -ENODEV && d.major == 77, "no disk is below %s", paths[i]);
	unit_int(disk_by_number(4095, 1, &d), -ENODEV, "nor has one the number 4095:1");
}

/* A link must not lead a container's path out of the file system that its root is on, nor .. out of the root. */
static void test_links(const struct disk *loop)
{
	char dir[] = "/tmp/porto-disks-XXXXXX", link[64], device[80];
	struct disk inside, other;

	if (!unit_ok(mkdtemp(dir) != NULL, "a directory"))
		return;
	snprintf(link, sizeof(link), "%s/link", dir);
	snprintf(device, sizeof(device), "/dev/%s", loop->name);
	unit_ok(symlink(device, link) == 0, "a link to a device");
	unit_int(disk_of_path(dir, "/link", &other), -ENODEV, "a link inside a root doesn't lead out of it");
	unit_int(disk_of_path(dir, "/missing", &other), -ENODEV, "what is missing inside is missing");
	if (disk_of_path("/", dir, &inside) == 0) {
		unit_ok(disk_of_path(dir, "/../../../../..", &other) == 0 && other.minor == inside.minor && other.major == inside.major,
			".. ends at the root");
	}
	unlink(link);
	rmdir(dir);
}

enum { REFUSED, FOUND, NO_MOUNTS };

/* In a mount namespace of its own: dir is a file system that never answers, above dir/b, which would. */
static int ask_below_silence(const char *dir, const char *below)
{
	char options[100];
	struct disk d;
	int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fuse);
	if (fuse < 0 || unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", below, "tmpfs", 0, NULL) < 0 || mount("silent", dir, "fuse.silent", 0, options) < 0)
		return NO_MOUNTS;
	alarm(20); /* ends who waits for it */
	return disk_of_path("/", below, &d) == -ENODEV ? REFUSED : FOUND;
}

static void test_silence(void)
{
	char dir[] = "/tmp/porto-disks-XXXXXX", below[40];
	int status = -1;
	pid_t pid;

	if (!unit_ok(mkdtemp(dir) != NULL, "a directory"))
		return;
	snprintf(below, sizeof(below), "%s/b", dir);
	unit_ok(mkdir(below, 0700) == 0, "one below");
	pid = fork();
	if (pid == 0)
		_exit(ask_below_silence(dir, below));
	unit_ok(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
			(WEXITSTATUS(status) == REFUSED || (WEXITSTATUS(status) == NO_MOUNTS && geteuid() != 0)),
		"nobody walks through a file system that a process serves to a mount below it");
	rmdir(below);
	rmdir(dir);
}

int main(void)
{
	struct disk by_name, other;
	DIR *d = opendir("/sys/block");
	bool linked = false;

	test_nothing();
	test_silence();
	for (const struct dirent *de; d != NULL && (de = readdir(d)) != NULL;) {
		char path[300];

		if (de->d_name[0] == '.')
			continue;
		unit_ok(disk_by_name(de->d_name, &by_name) == 0 && strcmp(by_name.name, de->d_name) == 0, "%s is a disk", de->d_name);
		unit_ok(disk_by_number(by_name.major, by_name.minor, &other) == 0 && strcmp(other.name, de->d_name) == 0, "and by number");
		snprintf(path, sizeof(path), "/dev/%s", de->d_name);
		if (access(path, F_OK) == 0)
			unit_ok(disk_of_path("/", path, &other) == 0 && strcmp(other.name, de->d_name) == 0, "and by its device");
		if (access(path, F_OK) == 0 && !linked) {
			linked = true;
			test_links(&by_name);
		}
	}
	if (d != NULL)
		closedir(d);
	unit_ok(disk_is_hardware("sda") && disk_is_hardware("nvme0n1") && disk_is_hardware("vdb") && !disk_is_hardware("loop0") &&
			!disk_is_hardware("dm-0"),
		"hw are sd nvme vd");
	unit_ok(disk_is_hidden("ram0") && !disk_is_hidden("sda"), "ram is hidden");
	return unit_end();
}
