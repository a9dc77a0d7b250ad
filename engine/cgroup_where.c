/*
 * Which container a process lives in: asked for every change, because rights depend on it. The usual caller is the host's
 * shell, over and over. Since Linux 6.13 a pidfd tells the id of the process's v2 cgroup; the ids of cgroups that are none
 * of ours are remembered. An id is never used again, and a v2 cgroup can't be moved, so that what was outside once always is.
 */
#include "engine/cgroup_priv.h"

#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/stat.h>

/* Newer than the headers of Debian 12. */
#define PIDFD_ANY_THREAD O_EXCL /* 6.9 */
#define PIDFD_TELL_CGROUP (UINT64_C(1) << 2)
struct pidfd_told {
	uint64_t mask, cgroup;
	uint32_t ids[12];
};
#define PIDFD_ASK _IOWR(0xff, 11, struct pidfd_told)
_Static_assert(sizeof(struct pidfd_told) == 64, "the first version");

/* 0: this kernel doesn't say. */
static uint64_t cgroup_id(pid_t pid)
{
	struct pidfd_told told = {.mask = PIDFD_TELL_CGROUP};
	autoclose int fd = pidfd_open(pid, PIDFD_ANY_THREAD);
	if (fd < 0 || ioctl(fd, PIDFD_ASK, &told) < 0 || !(told.mask & PIDFD_TELL_CGROUP))
		return 0;
	return told.cgroup;
}

/* Of the path as the kernel has it. -ENOENT: not of ours. */
static int below_root(const struct cgroups *g, const char *p, struct text *path)
{
	const char *prefix[] = {g->h[0].inside, "/", g->root};
	for (size_t i = 0; i < ARRAY_LEN(prefix); i++) {
		size_t len = strlen(prefix[i]);
		if (strncmp(p, prefix[i], len) != 0)
			return -ENOENT;
		p += len;
	}
	if (*p && *p != '/')
		return -ENOENT;
	const char *leaf = strstr(p, "/+");
	size_t len = leaf ? (size_t)(leaf - p) : strlen(p);
	if (len > 0)
		text_addn(path, p + 1, len - 1);
	return text_ok(path);
}

/*
 * Remembers that id is outside, if it is indeed the id of raw: the process may have been moved between the two answers. On
 * a 64 bit kernel the inode number is the id.
 */
static void remember(struct cgroups *g, uint64_t id, const char *raw)
{
	const struct hier *h = &g->h[0];
	size_t skip = strlen(h->inside);
	autofree char *dir = NULL;
	struct stat st;
	if (id == 0 || strncmp(raw, h->inside, skip) != 0)
		return;
	dir = path_join(h->mount, raw + skip + (raw[skip] == '/'));
	if (!dir || stat(dir, &st) < 0 || st.st_ino != id)
		return;
	g->outside[g->outside_next++ % CG_OUTSIDE] = id;
}

int cg_of_pid(struct cgroups *g, pid_t pid, struct text *path)
{
	autotext struct text raw = {};
	uint64_t id = g->h[0].drv->v2 ? cgroup_id(pid) : 0;
	for (size_t i = 0; id != 0 && i < CG_OUTSIDE; i++)
		if (g->outside[i] == id)
			return -ENOENT;
	int r = cg_pid_raw(&g->h[0], pid, &raw);
	if (r < 0)
		return r;
	r = below_root(g, text_str(&raw), path);
	if (r == -ENOENT)
		remember(g, id, text_str(&raw));
	return r;
}
