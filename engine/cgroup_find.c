#include "engine/cgroup_memory.h"
#include "engine/cgroup_priv.h"

#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "base/names.h"

/* Upstream's names, which are also those of v1. */
static const char *const ctl_names[CG_CTLS] = {
	[CG_TRACK] = "freezer", [CG_CPU] = "cpu",   [CG_CPUACCT] = "cpuacct", [CG_CPUSET] = "cpuset",   [CG_MEMORY] = "memory",
	[CG_PIDS] = "pids",     [CG_IO] = "blkio",  [CG_DEVICES] = "devices", [CG_HUGETLB] = "hugetlb",
	[CG_SYSTEMD] = "systemd", /* no controller: the v1 hierarchy of that name, for those who run an old systemd inside */
};

const char *cg_name(enum cg_ctl c)
{
	return ctl_names[c];
}

enum cg_ctl cg_find(const char *name)
{
	int i = names_find(ctl_names, CG_CTLS, strcmp(name, "io") == 0 ? "blkio" : name);
	return i < 0 ? CG_CTLS : (enum cg_ctl)i;
}

unsigned cg_parse_list(const char *list)
{
	unsigned bits = 0;
	while (*list) {
		char word[32];
		size_t len = strcspn(list, ", \n");
		if (len < sizeof(word)) {
			memcpy(word, list, len);
			word[len] = 0;
			enum cg_ctl c = cg_find(strcmp(word, "name=systemd") == 0 ? word + 5 : word);
			if (c != CG_CTLS)
				bits |= CG_BIT(c);
		}
		list += len;
		list += strspn(list, ", \n");
	}
	return bits;
}

unsigned cg_available(const struct cgroups *g)
{
	unsigned bits = 0;
	for (enum cg_ctl c = 0; c < CG_CTLS; c++)
		if (g->of[c] >= 0)
			bits |= CG_BIT(c);
	return bits;
}

const char *cg_missing(const struct cgroups *g, enum cg_ctl c)
{
	return g->why[c] ? g->why[c] : "";
}

bool cg_is_v2(const struct cgroups *g, enum cg_ctl c)
{
	return g->of[c] >= 0 && g->h[g->of[c]].drv->v2;
}

void cg_describe(const struct cgroups *g, struct text *out)
{
	for (enum cg_ctl c = 0; c < CG_CTLS; c++) {
		if (g->of[c] < 0) {
			text_addf(out, "%s: missing: %s\n", cg_name(c), cg_missing(g, c));
			continue;
		}
		const struct hier *h = &g->h[g->of[c]];
		text_addf(out, "%s: %s %s\n", cg_name(c), h->drv->v2 ? "v2" : "v1", h->mount);
	}
}

/* ---- where a process is ---- */

/* A line of /proc/PID/cgroup is ID:CONTROLLERS:PATH, "0::PATH" for v2. */
static bool line_is_of(const struct hier *h, const char *line, const char **path)
{
	char list[256];
	const char *begin = strchr(line, ':');
	const char *end = begin ? strchr(begin + 1, ':') : NULL;
	if (!end || (size_t)(end - begin) > sizeof(list))
		return false;
	*path = end + 1;
	if (h->drv->v2)
		return strncmp(line, "0::", 3) == 0;
	memcpy(list, begin + 1, (size_t)(end - begin - 1));
	list[end - begin - 1] = 0;
	return cg_parse_list(list) & h->ctls;
}

int cg_pid_raw(const struct hier *h, pid_t pid, struct text *out)
{
	static const char deleted[] = " (deleted)";
	autotext struct text all = {};
	char name[32];
	snprintf(name, sizeof(name), "/proc/%d/cgroup", (int)pid);
	int r = file_read(AT_FDCWD, name, 1 << 20, &all);
	if (r < 0)
		return r == -ENOENT ? -ESRCH : r;
	for (const char *line = text_str(&all), *path; *line;) {
		size_t len = strcspn(line, "\n");
		if (line_is_of(h, line, &path)) {
			len -= (size_t)(path - line);
			if (len >= sizeof(deleted) && strncmp(path + len - (sizeof(deleted) - 1), deleted, sizeof(deleted) - 1) == 0)
				len -= sizeof(deleted) - 1;
			text_addn(out, path, len);
			return text_ok(out);
		}
		line += len + (line[len] == '\n');
	}
	return -ENOENT;
}

/* ---- finding the hierarchies ---- */

struct mount {
	char *root, *point, *type, *options;
};

/* Kernel's escapes of blanks: \040 */
static void unescape(char *s)
{
	char *to = s;
	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' && s[3] <= '7') {
			*to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = 0;
}

/* ID PARENT MAJ:MIN ROOT POINT OPTIONS [TAGS...] - TYPE SOURCE SUPER-OPTIONS; cut in place. */
static bool parse_mount(char *line, struct mount *m)
{
	char *field[6], *save = NULL, *rest = strstr(line, " - ");
	if (!rest)
		return false;
	*rest = 0;
	rest += 3;
	for (size_t i = 0; i < ARRAY_LEN(field); i++) {
		field[i] = strtok_r(i == 0 ? line : NULL, " ", &save);
		if (!field[i])
			return false;
	}
	*m = (struct mount){.root = field[3], .point = field[4], .type = strtok_r(rest, " ", &save)};
	if (!m->type || !strtok_r(NULL, " ", &save))
		return false;
	m->options = strtok_r(NULL, " ", &save);
	unescape(m->root);
	unescape(m->point);
	return m->options != NULL;
}

/* Remembers the first reason of each of ctls. */
static void missing(struct cgroups *g, unsigned ctls, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void missing(struct cgroups *g, unsigned ctls, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	for (enum cg_ctl c = 0; c < CG_CTLS; c++) {
		va_list again;
		if (!(ctls & CG_BIT(c)) || g->why[c])
			continue;
		va_copy(again, args);
		if (vasprintf(&g->why[c], fmt, again) < 0)
			g->why[c] = NULL;
		va_end(again);
	}
	va_end(args);
}

/* Makes every level of our root. One that is there may be older than its cpuset's contents. */
static int make_root(const struct cgroups *g, int mount, bool cpuset, bool *is_new)
{
	char path[PATH_MAX];
	int r = cg_path(path, g->root, NULL);
	if (r < 0)
		return r;
	for (char *slash = path;; *slash++ = '/') {
		slash = strchrnul(slash, '/');
		bool last = !*slash;
		*slash = 0;
		*is_new = mkdirat(mount, path, CG_DIR_MODE) == 0;
		if (!*is_new && errno != EEXIST)
			return -errno;
		r = cpuset ? cg_cpuset_inherit(mount, path) : 0;
		if (r < 0)
			return r;
		if (last)
			break;
	}
	int fd = openat(mount, path, CG_OPEN_DIR);
	return fd < 0 ? -errno : fd;
}

/* Another file system may be mounted over what mountinfo says. */
static bool is_cgroupfs(int fd, bool v2)
{
	struct statfs st;
	return fstatfs(fd, &st) == 0 && (unsigned long)st.f_type == (v2 ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC);
}

/* The hierarchy joins g. -ENOMEM only; a hierarchy that can't be used leaves a reason. The mount's directory is *at. */
static int add_hier(struct cgroups *g, const struct mount *m, const struct cg_driver *drv, unsigned ctls, int *at)
{
	struct hier *h = &g->h[g->n];
	autoclose int mount = open(m->point, CG_OPEN_DIR);
	if (mount < 0 || !is_cgroupfs(mount, drv->v2)) {
		missing(g, ctls, "the cgroup hierarchy mounted at %s cannot be opened there", m->point);
		return -EAGAIN;
	}
	bool is_new = false;
	autoclose int root = make_root(g, mount, !drv->v2 && (ctls & CG_BIT(CG_CPUSET)), &is_new);
	if (root < 0) {
		missing(g, ctls, "cannot make the cgroup %s/%s: %s", m->point, g->root, strerror(-root));
		return -EAGAIN;
	}
	*h = (struct hier){.drv = drv, .fd = -1, .ctls = ctls, .is_new = is_new};
	h->mount = strdup(m->point);
	h->inside = strdup(strcmp(m->root, "/") == 0 ? "" : m->root);
	if (!h->mount || !h->inside) {
		free(h->mount);
		free(h->inside);
		return -ENOMEM;
	}
	h->fd = TAKE_FD(root);
	*at = TAKE_FD(mount);
	for (enum cg_ctl c = 0; c < CG_CTLS; c++)
		if (ctls & CG_BIT(c))
			g->of[c] = (signed char)g->n;
	g->n++;
	return 0;
}

/* ---- v2: bringing controllers down to our root ---- */

static int move_pid(void *arg, pid_t pid)
{
	char text[16];
	snprintf(text, sizeof(text), "%d", (int)pid);
	file_write(*(const int *)arg, "cgroup.procs", text);
	return 0;
}

/*
 * Under systemd the unit's cgroup holds the daemon, and so can't pass controllers on to our root below it: the unit's processes move
 * into a cgroup beside our root. Only in a cgroup where we are ourselves: others' processes are not ours to move.
 */
static bool vacate(const struct hier *h, int at, const char *dir)
{
	autotext struct text self = {};
	char path[PATH_MAX];
	size_t skip = strlen(h->inside);
	if (!*dir || cg_pid_raw(h, getpid(), &self) < 0 || self.len <= skip || strcmp(self.p + skip + 1, dir) != 0 ||
	    cg_path(path, dir, CG_DAEMON) < 0)
		return false;
	if (mkdirat(at, path, CG_DIR_MODE) < 0 && errno != EEXIST)
		return false;
	autoclose int to = openat(at, path, CG_OPEN_DIR);
	cg_path(path, dir, NULL);
	autoclose int from = openat(at, path, CG_OPEN_DIR);
	return to >= 0 && from >= 0 && cg_ids(from, "cgroup.procs", move_pid, &to) == 0;
}

static int is_there(void *arg UNUSED, pid_t pid UNUSED)
{
	return 1;
}

/*
 * A cgroup, unless it is the kernel's root, can't have processes and give controllers to its children. The kernel
 * refuses that (EBUSY) for memory and io only; with cpu, cpuset or pids it makes the cgroup the root of a threaded
 * subtree, where ours could hold no process and no other controller. So we look before we write.
 */
static bool occupied(int at, const char *dir)
{
	char path[PATH_MAX];
	if (cg_path(path, dir, "cgroup.type") < 0 || faccessat(at, path, F_OK, 0) < 0) /* the kernel's root has none */
		return false;
	cg_path(path, dir, NULL);
	autoclose int fd = openat(at, path, CG_OPEN_DIR);
	return fd >= 0 && cg_ids(fd, "cgroup.procs", is_there, NULL) == 1;
}

static int enable(const struct hier *h, int at, const char *dir, enum cg_ctl c)
{
	if (occupied(at, dir) && !vacate(h, at, dir))
		return -EBUSY;
	return cg_v2_enable(at, dir, CG_BIT(c));
}

/*
 * From the mount down to our root, and in the root for its children. hugetlb is the exception there: few use it and it would
 * cost each container 20 us, so the first container that owns it switches it on.
 */
static void enable_down(struct cgroups *g, int at, enum cg_ctl c)
{
	const struct hier *h = &g->h[0];
	size_t len = 0, all = strlen(g->root);
	char path[PATH_MAX] = "";
	while (len < all || c != CG_HUGETLB) {
		int r = enable(h, at, path, c);
		if (r < 0) {
			missing(g, CG_BIT(c), "cannot switch on the %s controller in %s/%s: %s", cg_name(c), h->mount, path,
				r == -EBUSY ? "processes live there" : strerror(-r));
			return;
		}
		if (len == all) {
			g->root_on |= CG_BIT(c);
			break;
		}
		len += len > 0;
		len += strcspn(g->root + len, "/");
		memcpy(path, g->root, len);
		path[len] = 0;
	}
	g->v2_own |= CG_BIT(c);
}

static void serve(struct cgroups *g, enum cg_ctl c)
{
	g->of[c] = 0;
	g->h[0].ctls |= CG_BIT(c);
}

static int add_v2(struct cgroups *g, const struct mount *m)
{
	char controllers[512];
	int at = -1;
	int r = add_hier(g, m, &cg_driver_v2, CG_BIT(CG_TRACK), &at);
	if (r < 0)
		return r == -EAGAIN ? 0 : r;
	if (file_read_small(at, "cgroup.controllers", controllers, sizeof(controllers)) < 0)
		controllers[0] = 0;
	unsigned there = cg_parse_list(controllers);
	for (enum cg_ctl c = 0; c < CG_CTLS; c++)
		if (there & CG_BIT(c))
			enable_down(g, at, c);
	close(at);
	for (enum cg_ctl c = 0; c < CG_CTLS; c++)
		if (g->v2_own & CG_BIT(c))
			serve(g, c);
	/* every v2 cgroup counts its processor time, whoever owns the controllers: one hierarchy less to make and to join */
	if (faccessat(g->h[0].fd, "cpu.stat", F_OK, 0) == 0)
		serve(g, CG_CPUACCT);
	if (g->v2_own && mkdirat(g->h[0].fd, CG_LEAF, CG_DIR_MODE) < 0 && errno != EEXIST)
		return -errno;
	return 0;
}

static int add_v1(struct cgroups *g, const struct mount *m)
{
	unsigned served = cg_available(g), ctls = cg_parse_list(m->options) & ~served;
	int at = -1;
	if (!ctls)
		return 0;
	int r = add_hier(g, m, &cg_driver_v1, ctls, &at);
	if (r < 0)
		return r == -EAGAIN ? 0 : r;
	close(at);
	/* the hierarchy that tracks comes first */
	if ((ctls & CG_BIT(CG_TRACK)) && g->n > 1) {
		struct hier first = g->h[0];
		g->h[0] = g->h[g->n - 1];
		g->h[g->n - 1] = first;
		for (enum cg_ctl c = 0; c < CG_CTLS; c++)
			if (g->of[c] >= 0)
				g->of[c] = g->h[0].ctls & CG_BIT(c) ? 0 : first.ctls & CG_BIT(c) ? (signed char)(g->n - 1) : g->of[c];
	}
	return 0;
}

/* v2 first, it decides who tracks. */
static int add_mounts(struct cgroups *g, bool v2)
{
	autotext struct text all = {};
	char *save = NULL;
	int r = file_read(AT_FDCWD, "/proc/self/mountinfo", 64 << 20, &all);
	if (r < 0)
		return r;
	for (char *line = strtok_r(all.p, "\n", &save); line && r == 0; line = strtok_r(NULL, "\n", &save)) {
		struct mount m;
		if (!parse_mount(line, &m) || strcmp(m.type, v2 ? "cgroup2" : "cgroup") != 0)
			continue;
		if (!v2)
			r = add_v1(g, &m);
		else if (g->of[CG_TRACK] < 0)
			r = add_v2(g, &m);
	}
	return r;
}

int cg_open(const char *root, bool use_v2, struct cgroups **ret, struct err *err)
{
	struct cgroups *g = calloc(1, sizeof(*g));
	int r = 0;
	if (!g)
		return err_sys(err, ENOMEM, "cgroups");
	memset(g->of, -1, sizeof(g->of));
	g->root = path_join("/", root + (*root == '/'));
	g->memory_can = calloc(MEMORY_CANS, sizeof(*g->memory_can));
	if (!g->root || !g->memory_can || !path_is_normal(g->root) || !g->root[1]) {
		r = g->root && g->memory_can ? err_set(err, ERR_InvalidValue, "cgroup root '%s': expected a name like porto or a path", root)
			    : err_sys(err, ENOMEM, "cgroups");
		cg_close(g);
		return r;
	}
	memmove(g->root, g->root + 1, strlen(g->root));
	if (use_v2)
		r = add_mounts(g, true);
	if (r == 0)
		r = add_mounts(g, false);
	if (r < 0) {
		err_sys(err, -r, "cgroups cannot be found");
	} else if (g->of[CG_TRACK] < 0) {
		missing(g, CG_BIT(CG_TRACK), "neither cgroup v2%s nor the v1 freezer is mounted", use_v2 ? "" : " (switched off)");
		r = err_set(err, ERR_NotSupported, "nothing can hold containers together: %s", cg_missing(g, CG_TRACK));
	}
	if (r < 0) {
		cg_close(g);
		return r;
	}
	if (g->h[0].drv->v2)
		missing(g, CG_BIT(CG_DEVICES), "v2 has none: devices are a matter of BPF programs there");
	missing(g, g->of[CG_SYSTEMD] < 0 ? CG_BIT(CG_SYSTEMD) : 0, "no v1 hierarchy is named systemd; systemd from 233 on needs none where there is v2");
	for (enum cg_ctl c = 0; c < CG_CTLS; c++)
		if (g->of[c] < 0)
			missing(g, CG_BIT(c), "no hierarchy has the %s controller", cg_name(c));
	*ret = g;
	return 0;
}

void cg_close(struct cgroups *g)
{
	if (!g)
		return;
	for (unsigned i = 0; i < g->n; i++) {
		close(g->h[i].fd);
		free(g->h[i].mount);
		free(g->h[i].inside);
	}
	for (enum cg_ctl c = 0; c < CG_CTLS; c++)
		free(g->why[c]);
	free(g->root);
	free(g->memory_can);
	free(g);
}

/* Also the levels above our root that we have made ourselves, when nobody else uses them. */
static int remove_root(const struct hier *h, const char *root)
{
	autofree char *dir = path_join(h->mount, root);
	struct stat st;
	int ret = 0;
	if (!dir)
		return -ENOMEM;
	unlinkat(h->fd, CG_LEAF, AT_REMOVEDIR);
	if (rmdir(dir) < 0 && errno != ENOENT)
		ret = -errno;
	for (char *slash; (slash = strrchr(dir, '/')) && (size_t)(slash - dir) > strlen(h->mount);) {
		*slash = 0;
		if (lstat(dir, &st) < 0 || !(st.st_mode & S_ISVTX) || rmdir(dir) < 0)
			break;
	}
	return ret;
}

int cg_remove_root(struct cgroups *g)
{
	int ret = 0;
	for (unsigned i = 0; i < g->n; i++) {
		int r = remove_root(&g->h[i], g->root);
		if (r < 0)
			ret = r;
	}
	return ret;
}

void cg_remove_new(struct cgroups *g)
{
	for (unsigned i = 0; i < g->n; i++)
		if (g->h[i].is_new)
			(void)remove_root(&g->h[i], g->root);
}
