#include "engine/cgroup_priv.h"

#include <stdio.h>
#include <sys/stat.h>

int cg_path(char out[PATH_MAX], const char *dir, const char *file)
{
	if (!dir)
		return -ENOENT; /* it was taken down */
	size_t len = strlen(dir), more = file ? strlen(file) : 0;
	if (len + more + 2 > PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(out, dir, len);
	if (len && more)
		out[len++] = '/';
	if (!len && !more)
		out[len++] = '.';
	memcpy(out + len, more ? file : "", more);
	out[len + more] = 0;
	return 0;
}

int cg_write(const struct hier *h, const char *dir, const char *file, const char *text)
{
	char path[PATH_MAX];
	int r = cg_path(path, dir, file);
	return r < 0 ? r : file_write(h->fd, path, text);
}

int cg_write_u64(const struct hier *h, const char *dir, const char *file, uint64_t v)
{
	char text[24];
	snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
	return cg_write(h, dir, file, text);
}

ssize_t cg_read(const struct hier *h, const char *dir, const char *file, char *buf, size_t size)
{
	char path[PATH_MAX];
	int r = cg_path(path, dir, file);
	return r < 0 ? r : file_read_small(h->fd, path, buf, size);
}

int cg_parse_u64(const char *s, uint64_t *ret)
{
	char *end;
	unsigned long long v;
	if (*s < '0' || *s > '9')
		return -EINVAL;
	errno = 0;
	v = strtoull(s, &end, 10);
	if (errno || (*end && *end != '\n'))
		return -EINVAL;
	*ret = v;
	return 0;
}

int cg_read_u64(const struct hier *h, const char *dir, const char *file, uint64_t *ret)
{
	char buf[32];
	ssize_t n = cg_read(h, dir, file, buf, sizeof(buf));
	return n < 0 ? (int)n : cg_parse_u64(buf, ret);
}

int cg_find_key(const char *text, const char *key, uint64_t *ret)
{
	size_t len = strlen(key);
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, len) == 0 && line[len] == ' ')
			return cg_parse_u64(line + len + 1, ret);
	}
	return -ENOENT;
}

int cg_read_key(const struct hier *h, const char *dir, const char *file, const char *key, uint64_t *ret)
{
	char buf[4096];
	ssize_t n = cg_read(h, dir, file, buf, sizeof(buf));
	return n < 0 ? (int)n : cg_find_key(buf, key, ret);
}

const struct cg *cg_owner(const struct cg *c, unsigned ctls)
{
	while (c && !((c->own | CG_BIT(CG_TRACK)) & ctls))
		c = c->parent;
	return c;
}

/*
 * Where v2 has controllers that containers commonly own, every container has a leaf, so that any of its children can be
 * given any controller at any time. hugetlb alone (a hybrid host's v2 often has nothing else) is not worth a directory
 * a container: there only those have one that own it.
 */
bool cg_has_leaf(const struct cgroups *g, const struct cg *c)
{
	return (g->v2_own & ~CG_BIT(CG_HUGETLB)) || (g->v2_own & c->own);
}

/* ---- making and removing ---- */

static int fail(struct err *err, int no, const struct hier *h, const char *dir, const char *what)
{
	return err_sys(err, -no, "cgroup %s in %s: cannot %s", *dir ? dir : "/", h->mount, what);
}

/* A level that shares its ancestor's cgroup in this hierarchy has no directory here until a child needs one. */
static int make_dir(const struct hier *h, const char *dir)
{
	char up[PATH_MAX];
	int r = cg_path(up, dir, NULL);
	if (r < 0)
		return r;
	if (mkdirat(h->fd, dir, CG_DIR_MODE) < 0) {
		char *slash = strrchr(up, '/');
		if (errno != ENOENT || !slash)
			return -errno;
		*slash = 0;
		r = make_dir(h, up);
		if (r < 0 && r != -EEXIST)
			return r;
		if (mkdirat(h->fd, dir, CG_DIR_MODE) < 0)
			return -errno;
	}
	r = h->ctls & CG_BIT(CG_CPUSET) && !h->drv->v2 ? cg_cpuset_inherit(h->fd, dir) : 0;
	if (r < 0)
		unlinkat(h->fd, dir, AT_REMOVEDIR);
	return r;
}

/* On v2 a controller reaches a cgroup only through all those above it. */
static int enable_above(struct cgroups *g, const struct cg *c)
{
	const struct hier *h = &g->h[0];
	unsigned want = c->own & g->v2_own;
	char up[PATH_MAX];
	int r = cg_path(up, c->path, NULL);
	if (r < 0 || !want)
		return r;
	if (want & ~g->root_on) {
		r = cg_v2_enable(h->fd, "", want);
		if (r < 0)
			return r;
		g->root_on |= want;
	}
	for (char *slash = strchr(up, '/'); r == 0 && slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		r = cg_v2_enable(h->fd, up, want);
		*slash = '/';
	}
	return r;
}

static int make_in(struct cgroups *g, const struct hier *h, const struct cg *c, struct err *err)
{
	char leaf[PATH_MAX];
	int r;
	if (h->drv->v2) {
		r = enable_above(g, c);
		if (r < 0)
			return fail(err, r, h, c->path, "switch its controllers on in the cgroups above");
	}
	r = make_dir(h, c->path);
	if (r < 0)
		return fail(err, r, h, c->path, "make it");
	if (!h->drv->v2 || !cg_has_leaf(g, c))
		return 0;
	r = cg_path(leaf, c->path, CG_LEAF);
	if (r == 0 && mkdirat(h->fd, leaf, CG_DIR_MODE) < 0)
		r = -errno;
	if (r == 0)
		return 0;
	unlinkat(h->fd, c->path, AT_REMOVEDIR);
	return fail(err, r, h, c->path, "make the place for its processes");
}

int cg_create(struct cgroups *g, const struct cg *c, struct err *err)
{
	unsigned own = c->own | CG_BIT(CG_TRACK);
	for (unsigned i = 0; i < g->n; i++) {
		if (!(g->h[i].ctls & own))
			continue;
		int r = make_in(g, &g->h[i], c, err);
		if (r == 0)
			continue;
		while (i-- > 0)
			if (g->h[i].ctls & own)
				cg_remove_dir(&g->h[i], c->path);
		return r;
	}
	return 0;
}

int cg_remove(struct cgroups *g, const struct cg *c)
{
	int ret = 0;
	for (unsigned i = 0; i < g->n; i++) {
		const struct hier *h = &g->h[i];
		char leaf[PATH_MAX];
		/* the common case in two calls instead of a walk */
		if (h->drv->v2 && cg_has_leaf(g, c) && cg_path(leaf, c->path, CG_LEAF) == 0)
			unlinkat(h->fd, leaf, AT_REMOVEDIR);
		int r = cg_remove_dir(h, c->path);
		if (r < 0)
			ret = r;
	}
	return ret;
}

/* ---- joining ---- */

/* The leaf that cg_renew has made where none would be needed. */
static bool renewed(const struct hier *h, const struct cg *c)
{
	char leaf[PATH_MAX];
	return cg_path(leaf, c->path, CG_LEAF) == 0 && faccessat(h->fd, leaf, F_OK, 0) == 0;
}

/* The directory in which c's processes live in hierarchy h; -ENOENT: none, they stay where they are. */
static int process_dir(const struct cgroups *g, const struct hier *h, const struct cg *c, char out[PATH_MAX])
{
	const struct cg *o = cg_owner(c, h->ctls);
	if (!o)
		return -ENOENT;
	return cg_path(out, o->path, h->drv->v2 && (cg_has_leaf(g, o) || renewed(h, o)) ? CG_LEAF : NULL);
}

int cg_clone_fd(struct cgroups *g, const struct cg *c)
{
	const struct hier *h = &g->h[0];
	char dir[PATH_MAX];
	if (!h->drv->v2)
		return -ENOENT;
	int r = process_dir(g, h, c, dir);
	if (r < 0)
		return r;
	int fd = openat(h->fd, dir, CG_OPEN_DIR);
	return fd < 0 ? -errno : fd;
}

/*
 * A clone compares how often its target was killed with how often its parent's cgroup was (cgroup.kill, kill_seq in the
 * kernel), and dies when they differ. A new leaf begins at 0, as we do.
 */
int cg_renew(struct cgroups *g, const struct cg *c)
{
	const struct hier *h = &g->h[0];
	char leaf[PATH_MAX];
	if (!h->drv->v2)
		return 0;
	int r = cg_path(leaf, c->path, CG_LEAF);
	if (r == 0)
		r = cg_remove_dir(h, leaf);
	if (r == 0 && mkdirat(h->fd, leaf, CG_DIR_MODE) < 0)
		r = -errno;
	return r;
}

int cg_clone_fd_of(struct cgroups *g, pid_t pid)
{
	const struct hier *h = &g->h[0];
	autotext struct text raw = {};
	size_t skip = strlen(h->inside);
	int r = h->drv->v2 ? cg_pid_raw(h, pid, &raw) : -ENOENT;
	if (r < 0)
		return r;
	if (strncmp(raw.p, h->inside, skip) != 0)
		return -ENOENT;
	autofree char *dir = path_join(h->mount, raw.p + skip + (raw.p[skip] == '/'));
	if (!dir)
		return -ENOMEM;
	int fd = open(dir, CG_OPEN_DIR);
	return fd < 0 ? -errno : fd;
}

int cg_tasks_fds(struct cgroups *g, const struct cg *c, int fds[CG_CTLS])
{
	int n = 0, r = 0;
	for (unsigned i = 0; i < g->n; i++) {
		const struct hier *h = &g->h[i];
		const struct cg *o = h->drv->v2 ? NULL : cg_owner(c, h->ctls);
		char path[PATH_MAX];
		/* who has no cgroup there for a systemd of its own stays where we are */
		if (!o || (h->ctls == CG_BIT(CG_SYSTEMD) && (!o->path || !*o->path)))
			continue;
		r = cg_path(path, o->path, "tasks");
		if (r < 0)
			break;
		fds[n] = openat(h->fd, path, O_WRONLY | O_CLOEXEC);
		if (fds[n] < 0) {
			r = -errno;
			break;
		}
		n++;
	}
	if (r == 0)
		return n;
	while (n > 0)
		close(fds[--n]);
	return r;
}

int cg_delegate(struct cgroups *g, const struct cg *c, uid_t uid, gid_t gid)
{
	static const char *const files[] = { "", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control", "tasks" };
	for (unsigned i = 0; i < g->n; i++) {
		const struct hier *h = &g->h[i];
		char dir[PATH_MAX], path[PATH_MAX];
		if (!h->drv->v2 && !(h->ctls & c->own & CG_BIT(CG_SYSTEMD)))
			continue;
		int r = cg_path(dir, c->path, h->drv->v2 && cg_has_leaf(g, c) ? CG_LEAF : NULL);
		for (size_t f = 0; r == 0 && f < ARRAY_LEN(files); f++) {
			r = cg_path(path, dir, files[f]);
			if (r == 0 && fchownat(h->fd, path, uid, gid, 0) < 0 && errno != ENOENT)
				r = -errno;
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static int move(int at, const char *dir, const char *file, pid_t pid)
{
	char path[PATH_MAX], text[16];
	int r = cg_path(path, dir, file);
	snprintf(text, sizeof(text), "%d", (int)pid);
	return r < 0 ? r : file_write(at, path, text);
}

/* Back to where /proc/PID/cgroup had it before. */
static void move_back(const struct hier *h, const char *was, const char *file, pid_t pid)
{
	size_t skip = strlen(h->inside);
	autofree char *dir = NULL;
	if (strncmp(was, h->inside, skip) != 0)
		return;
	dir = path_join(h->mount, was + skip + (was[skip] == '/'));
	if (dir)
		move(AT_FDCWD, dir, file, pid);
}

/*
 * One thread can't leave its process on v2, and must not be found, frozen or killed apart from it: with thread the
 * tracking hierarchy is left alone.
 */
int cg_attach(struct cgroups *g, const struct cg *c, pid_t pid, bool thread, struct err *err)
{
	const char *file = thread ? "tasks" : "cgroup.procs";
	struct text was[CG_CTLS] = {};
	unsigned i;
	int r = 0;
	if (thread && (g->v2_own & ~CG_BIT(CG_HUGETLB)))
		return err_set(err, ERR_NotSupported, "thread %d: cgroup v2 keeps all threads of a process in one cgroup", (int)pid);
	for (i = g->n; r == 0 && i-- > (thread ? 1u : 0u);) {
		char dir[PATH_MAX];
		r = process_dir(g, &g->h[i], c, dir);
		if (r == -ENOENT) {
			r = 0;
			continue;
		}
		if (r == 0)
			r = cg_pid_raw(&g->h[i], pid, &was[i]);
		if (r == 0)
			r = move(g->h[i].fd, dir, file, pid);
		if (r < 0) {
			fail(err, r, &g->h[i], c->path, "move the process there");
			text_done(&was[i]);
		}
	}
	for (i = 0; i < g->n; i++) {
		if (r < 0 && was[i].len)
			move_back(&g->h[i], was[i].p, file, pid);
		text_done(&was[i]);
	}
	return r;
}

/* ---- killing, freezing ---- */

static int gone_is_fine(int r)
{
	return r == -ENOENT || r == -ENODEV ? 0 : r;
}

int cg_kill(struct cgroups *g, const struct cg *c)
{
	return c->path ? gone_is_fine(g->h[0].drv->kill(&g->h[0], c->path)) : 0;
}

void cg_kill_everywhere(struct cgroups *g, const struct cg *c)
{
	for (unsigned i = 0; i < g->n; i++)
		(void)cg_kill_by_pid(&g->h[i], c->path);
}

bool cg_empty(struct cgroups *g, const struct cg *c)
{
	return g->h[0].drv->empty(&g->h[0], c->path);
}

int cg_freeze(struct cgroups *g, const struct cg *c, bool frozen)
{
	return g->h[0].drv->freeze(&g->h[0], c->path, frozen);
}

bool cg_frozen(struct cgroups *g, const struct cg *c)
{
	return g->h[0].drv->frozen(&g->h[0], c->path);
}

/* ---- knobs ---- */

/* Only plain names: nothing in a cgroup's directory has a slash, and "cgroup." must name a hierarchy. */
static enum cg_ctl knob_ctl(const char *file)
{
	char prefix[32];
	size_t len = strcspn(file, ".");
	if (file[strspn(file, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.")] || !file[len] ||
	    len >= sizeof(prefix))
		return CG_CTLS;
	memcpy(prefix, file, len);
	prefix[len] = 0;
	return strcmp(prefix, "cgroup") == 0 ? CG_TRACK : cg_find(prefix);
}

static int open_knob(const struct hier *h, const char *dir, const char *file, int flags)
{
	char path[PATH_MAX];
	int r = cg_path(path, dir, file);
	if (r < 0)
		return r;
	int fd = openat(h->fd, path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int cg_knob_open(struct cgroups *g, const struct cg *c, const char *file, int flags)
{
	enum cg_ctl ctl = knob_ctl(file);
	int r = -ENOENT;
	if (ctl == CG_CTLS)
		return -EINVAL;
	const struct hier *h = g->of[ctl] >= 0 ? &g->h[g->of[ctl]] : NULL;
	/* some files every v2 cgroup has, with or without the controller: cpu.stat, memory.pressure */
	if (g->h[0].drv->v2 && (!h || h->drv->v2))
		r = open_knob(&g->h[0], c->path, file, flags);
	if (r != -ENOENT || !h)
		return r;
	const struct cg *o = cg_owner(c, CG_BIT(ctl));
	if (o)
		r = open_knob(h, o->path, file, flags);
	if (r == -ENOENT && g->h[0].drv->v2 && !h->drv->v2)
		r = open_knob(&g->h[0], c->path, file, flags);
	return r;
}

int cg_knob(struct cgroups *g, const struct cg *c, const char *file, struct text *out)
{
	autoclose int fd = cg_knob_open(g, c, file, O_RDONLY);
	return fd < 0 ? fd : fd_read_all(fd, 1 << 20, out);
}

int cg_dir(struct cgroups *g, const struct cg *c, enum cg_ctl ctl, struct text *out)
{
	if (ctl >= CG_CTLS || g->of[ctl] < 0)
		return -ENOENT;
	const struct cg *o = cg_owner(c, CG_BIT(ctl));
	text_addf(out, "%s/%s", g->h[g->of[ctl]].mount, g->root);
	if (o && o->path && *o->path)
		text_addf(out, "/%s", o->path);
	return text_ok(out);
}

/* ---- limits ---- */

/* For writing: c's own cgroup, never the one it shares. */
static int own_hier(const struct cgroups *g, const struct cg *c, enum cg_ctl ctl, const struct hier **ret)
{
	if (g->of[ctl] < 0)
		return -EOPNOTSUPP;
	if (!((c->own | CG_BIT(CG_TRACK)) & CG_BIT(ctl)))
		return -ENOENT;
	*ret = &g->h[g->of[ctl]];
	return 0;
}

int cg_set_pids_max(struct cgroups *g, const struct cg *c, uint64_t n)
{
	const struct hier *h;
	int r = own_hier(g, c, CG_PIDS, &h);
	if (r < 0)
		return r;
	return n ? cg_write_u64(h, c->path, "pids.max", n) : cg_write(h, c->path, "pids.max", "max");
}
