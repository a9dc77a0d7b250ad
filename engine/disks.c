#include "engine/disks.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "base/fd.h"
#include "base/mounts.h"
#include "base/path.h"

#define NAME_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!_.-"
#define MOUNTINFO_MAX (64u << 20)
#define OVERLAYS_MAX 4 /* one on the other */

/* The last component of what the link says, or the last but one. */
static int link_name(const char *link, bool parent, char name[64])
{
	char target[PATH_MAX];
	ssize_t n = readlink(link, target, sizeof(target) - 1);
	char *slash;

	if (n < 0)
		return -ENODEV;
	target[n] = '\0';
	slash = strrchr(target, '/');
	if (slash != NULL && parent) {
		*slash = '\0';
		slash = strrchr(target, '/');
	}
	if (slash == NULL || snprintf(name, 64, "%s", slash + 1) >= 64)
		return -ENODEV;
	return 0;
}

int disk_by_name(const char *name, struct disk *ret)
{
	char path[160], number[32];
	struct disk d = {};

	if (name[0] == '\0' || name[0] == '.' || name[strspn(name, NAME_LETTERS)] != '\0' || strlen(name) >= sizeof(d.name))
		return -ENODEV;
	snprintf(d.name, sizeof(d.name), "%s", name);
	snprintf(path, sizeof(path), "/sys/class/block/%s/partition", name);
	if (access(path, F_OK) == 0) {
		snprintf(path, sizeof(path), "/sys/class/block/%s", name);
		if (link_name(path, true, d.name) < 0)
			return -ENODEV;
	}
	snprintf(path, sizeof(path), "/sys/class/block/%s/dev", d.name);
	if (file_read_small(AT_FDCWD, path, number, sizeof(number)) < 0 || sscanf(number, "%u:%u", &d.major, &d.minor) != 2)
		return -ENODEV;
	*ret = d;
	return 0;
}

int disk_by_number(unsigned major, unsigned minor, struct disk *ret)
{
	char path[64], name[64];
	int r;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", major, minor);
	r = link_name(path, false, name);
	return r < 0 ? r : disk_by_name(name, ret);
}

/* ---- paths ---- */

struct place {
	char *point, *type, *source, *options; /* owned */
	unsigned major;                        /* 0: no disk of its own */
};

static void place_done(struct place *p)
{
	free(p->point);
	free(p->type);
	free(p->source);
	free(p->options);
	*p = (struct place){};
}

/* Is path dir itself or below it? */
static bool is_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return strcmp(dir, "/") == 0 || (strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0'));
}

/* A line of mountinfo that could be path's: ID PARENT MAJ:MIN ROOT POINT OPTIONS ... - TYPE SOURCE OPTIONS. */
static bool line_place(const char *line, const char *path, size_t longer_than, struct place *ret)
{
	struct place p = {};
	const char *rest = strstr(line, " - ");
	bool fits = rest != NULL && sscanf(line, "%*d %*d %u:%*u %*s %ms", &p.major, &p.point) == 2;

	if (fits) {
		mounts_unescape(p.point);
		fits = strlen(p.point) >= longer_than && is_below(path, p.point) &&
		       sscanf(rest + 3, "%ms %ms %ms", &p.type, &p.source, &p.options) == 3;
	}
	if (!fits) {
		place_done(&p);
		return false;
	}
	mounts_unescape(p.source);
	mounts_unescape(p.options);
	place_done(ret);
	*ret = p;
	return true;
}

/* The mount that path lies in, from the text of both alone: nothing is touched. */
static int find_place(const char *path, struct place *ret)
{
	autotext struct text all = {};
	char *save = NULL;
	size_t longest = 0;
	int r = file_read(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &all);

	if (r < 0)
		return r;
	for (char *line = all.p != NULL ? strtok_r(all.p, "\n", &save) : NULL; line != NULL; line = strtok_r(NULL, "\n", &save))
		if (line_place(line, path, longest, ret)) /* of several at one point the last is on top */
			longest = strlen(ret->point);
	return ret->point != NULL ? 0 : -ENODEV;
}

/* Those that answer by themselves: no process and no network can keep us waiting. */
static bool is_local(const struct place *p)
{
	static const char *const types[] = { "btrfs", "devtmpfs", "overlay", "ramfs", "tmpfs" };

	if (p->major != 0)
		return strncmp(p->type, "fuse", 4) != 0;
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (strcmp(p->type, types[i]) == 0)
			return true;
	return false;
}

static int stat_in(const struct place *p, const char *path, bool beneath, struct stat *st)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS };
	const char *rest = path + (strcmp(p->point, "/") == 0 ? 0 : strlen(p->point));
	char type[MOUNT_TYPE_MAX];
	autoclose int mount = -1, fd = -1;

	/* the way to the mount point counts too: it may lead through a file system that a process serves */
	if (!is_local(p) || mounts_path_answers(p->point, type) < 0)
		return -ENODEV;
	mount = open(p->point, O_PATH | O_CLOEXEC | O_NOFOLLOW);
	if (mount < 0)
		return -ENODEV;
	rest += strspn(rest, "/");
	if (beneath)
		how.resolve |= RESOLVE_BENEATH;
	fd = (int)syscall(SYS_openat2, mount, *rest != '\0' ? rest : ".", &how, sizeof(how));
	return fd >= 0 && fstat(fd, st) == 0 ? 0 : -ENODEV;
}

static int of_path(const char *path, bool beneath, int depth, struct disk *ret);

/* What is written to an overlay goes to its upper layer. */
static int of_upper(const struct place *p, int depth, struct disk *ret)
{
	static const char option[] = "upperdir=";
	const char *at = strstr(p->options, option);
	autofree char *dir = NULL;

	if (at == NULL || depth >= OVERLAYS_MAX)
		return -ENODEV;
	at += strlen(option);
	dir = strndup(at, strcspn(at, ","));
	return dir != NULL ? of_path(dir, false, depth + 1, ret) : -ENOMEM;
}

static int of_path(const char *path, bool beneath, int depth, struct disk *ret)
{
	struct place p = {};
	struct stat st;
	dev_t dev = 0;
	int r = find_place(path, &p);

	if (r == 0)
		r = stat_in(&p, path, beneath, &st);
	if (r == 0)
		dev = S_ISBLK(st.st_mode) ? st.st_rdev : st.st_dev;
	if (r == 0 && major(dev) == 0 && strcmp(p.type, "btrfs") == 0)
		dev = stat(p.source, &st) == 0 && S_ISBLK(st.st_mode) ? st.st_rdev : 0;
	if (r == 0 && strcmp(p.type, "overlay") == 0 && major(dev) == 0)
		r = of_upper(&p, depth, ret);
	else if (r == 0)
		r = disk_by_number(major(dev), minor(dev), ret);
	place_done(&p);
	return r;
}

int disk_of_path(const char *root, const char *path, struct disk *ret)
{
	autofree char *inside = NULL, *folded = NULL, *whole = NULL;

	inside = path_join("/", path + strspn(path, "/"));
	if (inside != NULL)
		folded = path_normalise(inside); /* "/.." is "/": it can't leave the root */
	if (folded != NULL)
		whole = strcmp(root, "/") == 0 ? strdup(folded) : path_join(root, folded + 1);
	if (whole == NULL)
		return -ENOMEM;
	return of_path(whole, strcmp(root, "/") != 0, 0, ret);
}

/* ---- kinds ---- */

bool disk_is_hardware(const char *name)
{
	return strncmp(name, "sd", 2) == 0 || strncmp(name, "nvme", 4) == 0 || strncmp(name, "vd", 2) == 0;
}

bool disk_is_hidden(const char *name)
{
	return strncmp(name, "ram", 3) == 0;
}

int disks_scheduled_by(const char *const *words, size_t n, struct text *out)
{
	DIR *d = opendir("/sys/block");
	int found = 0;

	if (d == NULL)
		return 0;
	for (const struct dirent *de; (de = readdir(d)) != NULL;) {
		char path[PATH_MAX], list[256];

		snprintf(path, sizeof(path), "/sys/block/%s/queue/scheduler", de->d_name);
		if (de->d_name[0] == '.' || file_read_small(AT_FDCWD, path, list, sizeof(list)) < 0)
			continue;
		for (size_t i = 0; i < n; i++) {
			char now[32];

			snprintf(now, sizeof(now), "[%s]", words[i]);
			if (strstr(list, now) == NULL)
				continue;
			text_addf(out, "%s%s", found++ > 0 ? " " : "", de->d_name);
			break;
		}
	}
	closedir(d);
	return found;
}
