/* tree_remove of base/fd.h. */
#include "base/fd.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* Passes over a tree that somebody still writes into. */
#define PASSES 16

/*
 * A directory on the way from the top to where the walk is. Only the deepest is open: a tree may be deeper than there
 * are descriptors or stack. The walk goes up through "..", which is trusted only if it is the directory we came down
 * from: somebody who moves a directory away in the meantime must not lead us out of the tree.
 */
struct level {
	dev_t dev;
	ino_t ino;
	struct strv subdirs; /* still to be emptied; the last is the one the walk is in */
};

struct walk {
	struct level *levels;
	size_t n, cap;
	int fd;    /* the deepest level */
	int error; /* the first failure; what can be removed beside it is */
};

static void walk_fail(struct walk *w, int error)
{
	if (w->error == 0)
		w->error = error;
}

static void strv_drop_last(struct strv *v)
{
	free(v->p[--v->n]);
	v->p[v->n] = NULL;
}

/* Removes one entry; a directory that isn't empty goes to the list. */
static void remove_entry(struct walk *w, struct level *at, const char *name, bool is_dir)
{
	int r = unlinkat(w->fd, name, is_dir ? AT_REMOVEDIR : 0) < 0 ? -errno : 0;

	if (r == -EISDIR && !is_dir)
		r = unlinkat(w->fd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
	if (r == -ENOTEMPTY || r == -EEXIST)
		r = strv_add(&at->subdirs, name);
	if (r < 0 && r != -ENOENT)
		walk_fail(w, r);
}

/* Removes what it can of the deepest level and lists the rest. */
static int level_sweep(struct walk *w)
{
	struct level *at = &w->levels[w->n - 1];
	/* A descriptor of its own: closedir closes it. */
	int fd = openat(w->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	DIR *dir;

	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	while ((entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			remove_entry(w, at, entry->d_name, entry->d_type == DT_DIR);
	closedir(dir);
	return 0;
}

/* Makes fd the deepest level; takes it, also on failure. */
static int level_push(struct walk *w, int fd)
{
	struct level *at;
	struct stat st;

	if (w->n == w->cap) {
		size_t cap = w->cap ? w->cap * 2 : 32;
		struct level *levels = reallocarray(w->levels, cap, sizeof(*levels));
		if (!levels) {
			close(fd);
			return -ENOMEM;
		}
		w->levels = levels;
		w->cap = cap;
	}
	if (fstat(fd, &st) < 0) {
		int r = -errno;
		close(fd);
		return r;
	}
	at = &w->levels[w->n++];
	*at = (struct level){ .dev = st.st_dev, .ino = st.st_ino };
	if (w->fd >= 0)
		close(w->fd);
	w->fd = fd;
	walk_fail(w, level_sweep(w));
	return 0;
}

/* Goes down into a directory, never through a link or a mount (bind mounts have the same st_dev: openat2 sees them). */
static int level_down(struct walk *w, const char *name)
{
	struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH,
	};
	int fd = (int)syscall(SYS_openat2, w->fd, name, &how, sizeof(how));

	if (fd >= 0)
		return level_push(w, fd);
	return errno == EXDEV ? -EBUSY : -errno;
}

/* Goes up, and removes the directory the walk was in. */
static int level_up(struct walk *w)
{
	struct level *at, *gone = &w->levels[w->n - 1];
	int fd = openat(w->fd, "..", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return -errno;
	strv_done(&gone->subdirs);
	at = &w->levels[--w->n - 1];
	close(w->fd);
	w->fd = fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_dev != at->dev || st.st_ino != at->ino)
		return -ENOTEMPTY;
	if (unlinkat(fd, at->subdirs.p[at->subdirs.n - 1], AT_REMOVEDIR) < 0 && errno != ENOENT)
		walk_fail(w, -errno);
	strv_drop_last(&at->subdirs);
	return 0;
}

static int walk_run(struct walk *w, int top)
{
	int r = level_push(w, top);

	while (r == 0 && (w->n > 1 || w->levels[0].subdirs.n > 0)) {
		struct strv *subdirs = &w->levels[w->n - 1].subdirs;
		if (subdirs->n == 0) {
			r = level_up(w);
			continue;
		}
		r = level_down(w, subdirs->p[subdirs->n - 1]);
		/* Only what lies above the walk is fatal: a directory that can't be entered is left where it is. */
		if (r < 0 && r != -ENOMEM) {
			walk_fail(w, r == -ENOENT ? 0 : r);
			strv_drop_last(subdirs);
			r = 0;
		}
	}
	return r;
}

static bool is_mount_point(int fd)
{
	struct statx sx;

	return statx(fd, "", AT_EMPTY_PATH, 0, &sx) == 0 && (sx.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

/* One pass: 0 or the first failure. */
static int remove_once(int dirfd, const char *name)
{
	struct walk w = { .fd = -1 };
	int r, fd;

	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR)
		return -errno;
	if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno != ENOTEMPTY && errno != EEXIST)
		return -errno;
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (is_mount_point(fd)) {
		close(fd);
		return -EBUSY;
	}
	r = walk_run(&w, fd);
	if (r == 0)
		r = w.error;
	while (w.n > 0)
		strv_done(&w.levels[--w.n].subdirs);
	free(w.levels);
	if (w.fd >= 0)
		close(w.fd);
	if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	return r < 0 ? r : -errno;
}

int tree_remove(int dirfd, const char *name)
{
	int r = 0;

	/* "x/." and "x/.." would be somebody else's name for a directory that isn't ours to remove. */
	for (const char *p = name; *p; p += strspn(p, "/")) {
		size_t len = strcspn(p, "/");
		if ((len == 1 && p[0] == '.') || (len == 2 && p[0] == '.' && p[1] == '.'))
			return -EINVAL;
		p += len;
	}
	for (int pass = 0; pass < PASSES; pass++) {
		r = remove_once(dirfd, name);
		if (r != -ENOTEMPTY && r != -EEXIST)
			return r;
	}
	return r;
}
