#include "layerstore/store/walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "base/text.h"
#include "layerstore/store/whiteout.h"

#define BATCH_NAMES 65536 /* sorted at a time: a directory of more comes in so many pieces */

struct level {
	int fd;
	DIR *dir; /* NULL: all names were read */
	struct strv names;
	size_t next;
	size_t path_len;
};

/* A file seen that has other names. Open addressing, a power of two places. */
struct seen {
	dev_t dev;
	ino_t ino; /* 0: free */
	char *path;
};

struct walk {
	enum walk_attrs attrs;
	walk_fn fn;
	void *arg;
	struct level *levels;
	size_t n, cap;
	struct text path;
	struct seen *seen;
	size_t seen_n, seen_cap;
	struct xattrs xattrs;
	char target[PATH_MAX];
	char list[XATTR_LIST_MAX], value[XATTR_SIZE_MAX];
};

static int no_memory(struct err *err)
{
	return err_set(err, ERR_ResourceNotAvailable, "no memory to read the tree with");
}

static int fail(const struct walk *w, int r, struct err *err)
{
	char shown[256];
	return err_sys(err, -r, "'%s'", name_show(w->path.len ? text_str(&w->path) : ".", shown, sizeof(shown)));
}

/* ---- files with several names ---- */

static struct seen *place_of(struct seen *table, size_t cap, const struct stat *st)
{
	size_t i = (size_t)(st->st_ino * 0x9e3779b97f4a7c15ull >> 20) & (cap - 1);
	while (table[i].ino && (table[i].ino != st->st_ino || table[i].dev != st->st_dev))
		i = (i + 1) & (cap - 1);
	return &table[i];
}

static int seen_grow(struct walk *w)
{
	size_t cap = w->seen_cap ? w->seen_cap * 2 : 256;
	struct seen *table = calloc(cap, sizeof(*table));
	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i < w->seen_cap; i++) {
		const struct stat st = { .st_dev = w->seen[i].dev, .st_ino = w->seen[i].ino };
		if (w->seen[i].ino)
			*place_of(table, cap, &st) = w->seen[i];
	}
	free(w->seen);
	w->seen = table;
	w->seen_cap = cap;
	return 0;
}

/* The path of the same file, if it came before; NULL: this is the first. */
static int find_link(struct walk *w, const struct stat *st, const char **ret)
{
	*ret = NULL;
	if (w->seen_n * 2 >= w->seen_cap && seen_grow(w) < 0)
		return -ENOMEM;
	struct seen *s = place_of(w->seen, w->seen_cap, st);
	if (s->ino) {
		*ret = s->path;
		return 0;
	}
	s->path = strdup(text_str(&w->path));
	if (!s->path)
		return -ENOMEM;
	s->dev = st->st_dev;
	s->ino = st->st_ino;
	w->seen_n++;
	return 0;
}

/* ---- attributes ---- */

static int take_xattr(struct walk *w, struct node *n, const char *name, ssize_t len)
{
	enum xattr_fate fate = xattr_judge(name, w->value, (size_t)len, S_ISDIR(n->mode));
	n->opaque |= fate == XATTR_MARK;
	if (w->attrs == WALK_ALL && strncmp(name, XATTR_OVERLAY, strlen(XATTR_OVERLAY)) != 0)
		fate = XATTR_KEEP;
	return fate == XATTR_KEEP ? xattrs_add(&w->xattrs, name, w->value, (size_t)len) : 0;
}

/* Links have none that travel. Devices and pipes have no descriptor: by name in their directory, as there are no *at
 * calls. */
static int read_xattrs(struct walk *w, struct node *n, const struct walk_at *at)
{
	xattrs_clear(&w->xattrs);
	if (S_ISLNK(n->mode) || (at->fd < 0 && fchdir(at->dir) < 0))
		return 0;
	ssize_t len = at->fd >= 0 ? flistxattr(at->fd, w->list, sizeof(w->list))
				  : llistxattr(at->name, w->list, sizeof(w->list));
	for (const char *name = w->list; name < w->list + len; name += strlen(name) + 1) {
		ssize_t size = at->fd >= 0 ? fgetxattr(at->fd, name, w->value, sizeof(w->value))
					   : lgetxattr(at->name, name, w->value, sizeof(w->value));
		if (size >= 0 && take_xattr(w, n, name, size) < 0)
			return -ENOMEM;
	}
	n->x = w->xattrs;
	return 0;
}

/* ---- levels ---- */

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_names(struct level *l)
{
	struct dirent *entry = NULL;
	strv_done(&l->names);
	l->next = 0;
	while (l->dir && l->names.n < BATCH_NAMES && (entry = readdir(l->dir))) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
		    strv_add(&l->names, entry->d_name) < 0)
			return -ENOMEM;
	}
	if (l->dir && !entry) {
		closedir(l->dir);
		l->dir = NULL;
	}
	if (l->names.n > 1)
		qsort(l->names.p, l->names.n, sizeof(*l->names.p), compare);
	return 0;
}

static void pop(struct walk *w)
{
	struct level *l = &w->levels[--w->n];
	if (l->dir)
		closedir(l->dir);
	close(l->fd);
	strv_done(&l->names);
}

/* Takes fd, also on failure. */
static int push(struct walk *w, int fd)
{
	if (w->n == w->cap) {
		size_t cap = w->cap ? w->cap * 2 : 16;
		struct level *levels = reallocarray(w->levels, cap, sizeof(*levels));
		if (!levels) {
			close(fd);
			return -ENOMEM;
		}
		w->levels = levels;
		w->cap = cap;
	}
	int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = again < 0 ? NULL : fdopendir(again);
	int r = dir ? 0 : -errno;
	if (r < 0) {
		if (again >= 0)
			close(again);
		close(fd);
		return r;
	}
	w->levels[w->n++] = (struct level){ .fd = fd, .dir = dir, .path_len = w->path.len };
	return read_names(&w->levels[w->n - 1]);
}

/* ---- one name ---- */

static int open_node(int dir, const char *name, mode_t mode)
{
	struct open_how how = {
		.flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOATIME | O_CLOEXEC | (S_ISDIR(mode) ? O_DIRECTORY : 0),
		.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH,
	};
	int fd = (int)syscall(SYS_openat2, dir, name, &how, sizeof(how));
	return fd < 0 ? -errno : fd;
}

static int fill_node(struct walk *w, const struct stat *st, const struct walk_at *at, struct node *n)
{
	*n = (struct node){
		.path = text_str(&w->path),
		.mode = st->st_mode,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.rdev = st->st_rdev,
		.size = S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0,
		.mtime = st->st_mtim,
		.has_mtime = true,
	};
	if (S_ISLNK(st->st_mode)) {
		ssize_t len = readlinkat(at->dir, at->name, w->target, sizeof(w->target) - 1);
		if (len < 0)
			return -errno;
		w->target[len] = 0;
		n->target = w->target;
	}
	/* overlayfs gives all its whiteouts one inode: that says nothing */
	bool whiteout = S_ISCHR(st->st_mode) && st->st_rdev == 0;
	int r = !S_ISDIR(st->st_mode) && st->st_nlink > 1 && !whiteout ? find_link(w, st, &n->link) : 0;
	return r < 0 || n->link ? r : read_xattrs(w, n, at);
}

/* Gone, or another by now. */
static bool is_missing(int r)
{
	return r == -ENOENT || r == -ELOOP || r == -ENOTDIR;
}

static int visit(struct walk *w, int dir, const char *name, struct err *err)
{
	struct stat st;
	struct node n;
	autoclose int fd = -1;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : fail(w, -errno, err);
	if (S_ISSOCK(st.st_mode))
		return 0;
	if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) {
		fd = open_node(dir, name, st.st_mode);
		if (is_missing(fd))
			return 0;
		if (fd < 0 && (fd != -EXDEV || !S_ISDIR(st.st_mode)))
			return fail(w, fd, err);
		if (fd >= 0 && (fstat(fd, &st) < 0 || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))))
			return 0;
	}
	const struct walk_at at = { .dir = dir, .name = name, .fd = fd };
	int r = fill_node(w, &st, &at, &n);
	if (r < 0)
		return is_missing(r) ? 0 : fail(w, r, err);
	r = w->fn(w->arg, &n, &at, err);
	if (r == 0 && S_ISDIR(st.st_mode) && fd >= 0) {
		r = push(w, TAKE_FD(fd));
		if (r < 0)
			return fail(w, r, err);
	}
	return r;
}

static int next_name(struct walk *w, struct err *err)
{
	struct level *l = &w->levels[w->n - 1];
	w->path.len = l->path_len;
	if (l->next == l->names.n && l->dir && read_names(l) < 0)
		return no_memory(err);
	if (l->next == l->names.n) {
		pop(w);
		return 0;
	}
	const char *name = l->names.p[l->next++];
	if (w->path.len > 0)
		text_addc(&w->path, '/');
	text_add(&w->path, name);
	return text_ok(&w->path) < 0 ? no_memory(err) : visit(w, l->fd, name, err);
}

static int run(struct walk *w, int top, struct err *err)
{
	struct stat st;
	struct node n;
	int fd = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return fail(w, -errno, err);
	const struct walk_at at = { .dir = fd, .name = "", .fd = fd };
	int r = fill_node(w, &st, &at, &n);
	if (r < 0)
		return fail(w, r, err);
	r = w->fn(w->arg, &n, &at, err);
	if (r == 0) {
		r = push(w, fd);
		if (r < 0)
			return fail(w, r, err);
	}
	while (r == 0 && w->n > 0)
		r = next_name(w, err);
	return r;
}

int walk_tree(int top, enum walk_attrs attrs, walk_fn fn, void *arg, struct err *err)
{
	struct walk *w = calloc(1, sizeof(*w));
	if (!w)
		return no_memory(err);
	w->attrs = attrs;
	w->fn = fn;
	w->arg = arg;
	int r = run(w, top, err);
	while (w->n > 0)
		pop(w);
	for (size_t i = 0; i < w->seen_cap; i++)
		free(w->seen[i].path);
	free(w->seen);
	free(w->levels);
	xattrs_done(&w->xattrs);
	text_done(&w->path);
	free(w);
	return r;
}
