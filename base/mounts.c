#include "base/mounts.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/path.h"

#define MOUNTINFO_MAX (16u << 20)

/* Those that ask somebody else, and those of the kernel whose files may block their readers. */
static const char *const asking[] = {
	"9p",	 "afs",	   "autofs",  "beegfs", "ceph",	   "cifs",    "coda",  "debugfs", "fuse",  "fuseblk", "gfs2",
	"lustre", "ncpfs", "nfs",     "nfs4",	"nfsd",	   "ocfs2",   "orangefs", "proc", "smb3",  "smbfs",   "sysfs",
	"tracefs", "vboxsf",
};

struct mount {
	uint64_t id;
	char point[PATH_MAX];
	char type[MOUNT_TYPE_MAX];
};

static bool asks(const char *type)
{
	if (strncmp(type, "fuse.", 5) == 0)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(asking); i++)
		if (strcmp(asking[i], type) == 0)
			return true;
	return false;
}

void mounts_unescape(char *s)
{
	char *to = s;

	for (; *s; s++, to++) {
		*to = *s;
		if (*s == '\\' && s[1] && s[2] && s[3]) {
			*to = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		}
	}
	*to = 0;
}

static bool parse(const char *line, struct mount *m)
{
	const char *dash = strstr(line, " - ");
	unsigned long long id;

	if (!dash || sscanf(line, "%llu %*s %*s %*s %4095s", &id, m->point) != 2 || sscanf(dash, " - %63s", m->type) != 1)
		return false;
	m->id = id;
	mounts_unescape(m->point);
	return true;
}

/* Calls fn for each mount that this mountinfo shows, in order, until it returns true. */
static int each(const char *file, bool (*fn)(void *arg, const struct mount *m), void *arg)
{
	autotext struct text info = {};
	struct mount m;
	char *save = NULL;
	int r = file_read(AT_FDCWD, file, MOUNTINFO_MAX, &info);

	if (r < 0)
		return r;
	for (char *line = info.p ? strtok_r(info.p, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save))
		if (parse(line, &m) && fn(arg, &m))
			break;
	return 0;
}

struct pointed {
	bool (*fn)(void *arg, const char *point);
	void *arg;
};

static bool on_point(void *arg, const struct mount *m)
{
	const struct pointed *p = arg;

	return p->fn(p->arg, m->point);
}

int mounts_each(bool (*fn)(void *arg, const char *point), void *arg)
{
	struct pointed p = { fn, arg };

	return each("/proc/self/mountinfo", on_point, &p);
}

struct way {
	const char *path;
	char *type;  /* of the mount on it that asks; "" if none */
	size_t len;  /* of that one's mount point */
};

/* One mounted later at the same place hides it, as on an automount point. */
static bool on_way(void *arg, const struct mount *m)
{
	struct way *w = arg;
	size_t len = strcmp(m->point, "/") == 0 ? 0 : strlen(m->point);

	if (strncmp(w->path, m->point, len) != 0 || (w->path[len] != '/' && w->path[len] != '\0'))
		return false;
	if (asks(m->type)) {
		snprintf(w->type, MOUNT_TYPE_MAX, "%s", m->type);
		w->len = len;
	} else if (len == w->len) {
		w->type[0] = '\0';
	}
	return false;
}

int mounts_path_answers(const char *path, char type[MOUNT_TYPE_MAX])
{
	struct way w = { .path = path, .type = type };
	int r;

	type[0] = '\0';
	if (path[0] != '/' || !path_is_normal(path))
		return -EINVAL;
	r = each("/proc/self/mountinfo", on_way, &w);
	return r < 0 ? r : type[0] ? -EREMOTE : 0;
}

struct wanted {
	uint64_t id;
	char *type;
	bool found;
};

static bool is_wanted(void *arg, const struct mount *m)
{
	struct wanted *w = arg;

	if (m->id != w->id)
		return false;
	snprintf(w->type, MOUNT_TYPE_MAX, "%s", m->type);
	w->found = true;
	return true;
}

int mounts_fd_answers(int fd, pid_t pid, char type[MOUNT_TYPE_MAX])
{
	struct wanted w = { .type = type };
	struct statx st;
	char file[40];

	type[0] = '\0';
	/* what the kernel knows, without asking */
	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_MNT_ID, &st) < 0)
		return -errno;
	/* pipes, terminals and sockets are the kernel's own wherever their names are, and so is what is only in memory */
	if (S_ISFIFO(st.stx_mode) || S_ISCHR(st.stx_mode) || S_ISSOCK(st.stx_mode) || fcntl(fd, F_GET_SEALS) >= 0)
		return 0;
	w.id = st.stx_mnt_id;
	snprintf(file, sizeof(file), "/proc/%d/mountinfo", (int)pid);
	(void)each(file, is_wanted, &w);
	if (!w.found)
		(void)each("/proc/self/mountinfo", is_wanted, &w);
	if (!w.found)
		snprintf(type, MOUNT_TYPE_MAX, "unknown");
	return w.found && !asks(type) ? 0 : -EREMOTE;
}
