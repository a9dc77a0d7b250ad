/* engine/disks.c against this host: names, numbers and paths that mean the same disk, and those that mean none. */
#include "engine/disks.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

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

int main(void)
{
	struct disk by_name, other;
	DIR *d = opendir("/sys/block");
	bool linked = false;

	test_nothing();
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
