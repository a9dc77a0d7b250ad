#include "engine/cgroup_memory.h"

#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "engine/cgroup_priv.h"

/* For limits and guarantees: c's own cgroup, never the one it shares. */
static int own(const struct cgroups *g, const struct cg *c, enum cg_ctl ctl, const struct hier **ret)
{
	if (g->of[ctl] < 0)
		return -EOPNOTSUPP;
	if (!(c->own & CG_BIT(ctl)))
		return -ENOENT;
	*ret = &g->h[g->of[ctl]];
	return 0;
}

/* For counters: the nearest cgroup. */
static int near(const struct cgroups *g, const struct cg *c, enum cg_ctl ctl, const struct hier **ret, const struct cg **at)
{
	if (g->of[ctl] < 0)
		return -EOPNOTSUPP;
	*at = cg_owner(c, CG_BIT(ctl));
	*ret = &g->h[g->of[ctl]];
	return *at ? 0 : -ENOENT;
}

/* A file that older kernels lack. */
static int if_there(int r)
{
	return r == -ENOENT ? -EOPNOTSUPP : r;
}

/* Our root's own directory has whatever a container's has. */
static bool has_file(const struct hier *h, const char *file)
{
	return faccessat(h->fd, file, F_OK, 0) == 0;
}

static bool look_for(const struct cgroups *g, enum memory_can what)
{
	static const char *const files[][2] = {
		/*                         v1                           v2 */
		[MEMORY_CAN_GUARANTEE]  = {NULL,                        "memory.low"},
		[MEMORY_CAN_HIGH]       = {NULL,                        "memory.high"},
		[MEMORY_CAN_PEAK]       = {"memory.max_usage_in_bytes", "memory.peak"},
		[MEMORY_CAN_PRESSURIZE] = {"memory.soft_limit_in_bytes", "memory.reclaim"},
	};
	if (what == MEMORY_CAN_PRESSURE)
		return g->h[0].drv->v2 && has_file(&g->h[0], "memory.pressure");
	if (g->of[CG_MEMORY] < 0)
		return false;
	const struct hier *h = &g->h[g->of[CG_MEMORY]];
	const char *file = files[what][h->drv->v2];
	return file && has_file(h, file);
}

/* Asked at each read of what depends on it. */
bool cg_memory_can(const struct cgroups *g, enum memory_can what)
{
	if (!g->memory_can[what])
		g->memory_can[what] = look_for(g, what);
	return g->memory_can[what];
}

/* ---- memory.stat ---- */

/* Sums of keys. On v1 those that count everything below begin with total_. rss is what v2 calls anon. */
struct word {
	const char *text;
	size_t len;
};
static const struct stat_key {
	struct word version[2]; /* v1, v2 */
	size_t offset;
} stat_keys[] = {
#define KEY(v1, v2, field) {{{v1, sizeof(v1) - 1}, {v2, sizeof(v2) - 1}}, offsetof(struct memory_stat, field)}
	KEY("total_rss", "anon", anon),
	KEY("total_inactive_file", "inactive_file", cache),
	KEY("total_active_file", "active_file", cache),
	KEY("total_shmem", "shmem", shmem),
	KEY("total_unevictable", "unevictable", mlock),
	KEY("total_pgpgout", "pgsteal", reclaimed),
	KEY("total_pgfault", "pgfault", minor_faults),
	KEY("total_pgmajfault", "pgmajfault", major_faults),
#undef KEY
};

static void add_key(struct memory_stat *st, bool v2, const char *key, size_t len, uint64_t value)
{
	for (size_t i = 0; i < ARRAY_LEN(stat_keys); i++) {
		const struct word *w = &stat_keys[i].version[v2];
		uint64_t *field = (uint64_t *)((char *)st + stat_keys[i].offset);
		if (w->len != len || memcmp(w->text, key, len) != 0)
			continue;
		if (__builtin_add_overflow(*field, value, field))
			*field = UINT64_MAX;
		return;
	}
}

void memory_stat_parse(const char *text, bool v2, uint64_t page, struct memory_stat *ret)
{
	*ret = (struct memory_stat){};
	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		size_t len = strcspn(line, " \n");
		if (line[len] == ' ' && line[len + 1] >= '0' && line[len + 1] <= '9')
			add_key(ret, v2, line, len, strtoull(line + len + 1, NULL, 10));
	}
	if (__builtin_mul_overflow(ret->reclaimed, page, &ret->reclaimed))
		ret->reclaimed = UINT64_MAX;
	/* the kernel's two counters are not read at the same instant */
	ret->minor_faults -= MIN(ret->minor_faults, ret->major_faults);
}

int cg_memory_stat(struct cgroups *g, const struct cg *c, struct memory_stat *ret)
{
	char buf[8192];
	const struct hier *h;
	const struct cg *at;
	int r = near(g, c, CG_MEMORY, &h, &at);
	if (r < 0)
		return r;
	ssize_t n = cg_read_counter(g, h, at, CG_FILE_MEMORY_STAT, "memory.stat", buf, sizeof(buf));
	if (n < 0)
		return (int)n;
	memory_stat_parse(buf, h->drv->v2, (uint64_t)sysconf(_SC_PAGESIZE), ret);
	return 0;
}

/* ---- limits ---- */

/*
 * memsw (memory and swap together) may never be below the limit: lowered after it, raised before it. Both are always
 * equal here, so memsw still has the old value when it is refused. Without swap accounting there is no memsw.
 */
static int v1_max(const struct hier *h, const char *dir, uint64_t bytes)
{
	static const char limit[] = "memory.limit_in_bytes", memsw[] = "memory.memsw.limit_in_bytes";
	char text[32] = "-1", old[32];
	if (bytes)
		snprintf(text, sizeof(text), "%llu", (unsigned long long)bytes);
	int r = cg_write(h, dir, limit, text);
	if (r == -EINVAL) {
		r = cg_write(h, dir, memsw, text);
		return r < 0 ? (r == -ENOENT ? -EINVAL : r) : cg_write(h, dir, limit, text);
	}
	if (r < 0)
		return r;
	r = cg_write(h, dir, memsw, text);
	if (r == -ENOENT)
		return 0;
	if (r < 0 && cg_read(h, dir, memsw, old, sizeof(old)) > 0)
		cg_write(h, dir, limit, old);
	return r;
}

static int write_or_max(const struct hier *h, const char *dir, const char *file, uint64_t bytes)
{
	return bytes ? cg_write_u64(h, dir, file, bytes) : cg_write(h, dir, file, "max");
}

static bool uses_more(const struct hier *h, const char *dir, uint64_t bytes)
{
	uint64_t used;
	return cg_read_u64(h, dir, "memory.current", &used) == 0 && used > bytes;
}

/*
 * Where v1 refuses a limit below what can be reclaimed, v2 takes it and kills. So the high mark goes first: writing it
 * reclaims what is above, and slows down whoever wants more meanwhile. What is left above then is EBUSY, as on v1.
 * A new limit on an empty cgroup is nothing but two writes and a read.
 */
static int v2_max(const struct hier *h, const char *dir, uint64_t bytes)
{
	char high[32] = "max";
	if (bytes && uses_more(h, dir, bytes)) {
		cg_read(h, dir, "memory.high", high, sizeof(high));
		cg_write_u64(h, dir, "memory.high", bytes);
		if (uses_more(h, dir, bytes)) {
			cg_write(h, dir, "memory.high", high);
			return -EBUSY;
		}
	}
	int r = write_or_max(h, dir, "memory.max", bytes);
	if (r < 0)
		return r;
	r = cg_write(h, dir, "memory.swap.max", bytes ? "0" : "max");
	return r == -ENOENT ? 0 : r;
}

int cg_set_memory_max(struct cgroups *g, const struct cg *c, uint64_t bytes)
{
	const struct hier *h;
	int r = own(g, c, CG_MEMORY, &h);
	if (r < 0)
		return r;
	return h->drv->v2 ? v2_max(h, c->path, bytes) : v1_max(h, c->path, bytes);
}

int cg_set_memory_high(struct cgroups *g, const struct cg *c, uint64_t bytes)
{
	const struct hier *h;
	int r = own(g, c, CG_MEMORY, &h);
	if (r < 0)
		return r;
	return h->drv->v2 ? write_or_max(h, c->path, "memory.high", bytes) : -EOPNOTSUPP;
}

int cg_set_memory_low(struct cgroups *g, const struct cg *c, uint64_t bytes, uint64_t own_bytes)
{
	const struct hier *h;
	char leaf[PATH_MAX];
	int r = own(g, c, CG_MEMORY, &h);
	if (r < 0)
		return r;
	if (!h->drv->v2)
		return -EOPNOTSUPP;
	r = cg_write_u64(h, c->path, "memory.low", bytes);
	if (r == 0 && *c->path && cg_path(leaf, c->path, CG_LEAF) == 0) /* without memory_recursiveprot it has to be said there too */
		(void)cg_write_u64(h, leaf, "memory.low", own_bytes);
	return r;
}

/* ---- the peak, and who goes first ---- */

static const char *peak_file(const struct hier *h)
{
	return h->drv->v2 ? "memory.peak" : "memory.max_usage_in_bytes";
}

int cg_memory_peak(struct cgroups *g, const struct cg *c, uint64_t *bytes)
{
	const struct hier *h;
	const struct cg *at;
	int r = near(g, c, CG_MEMORY, &h, &at);
	return r < 0 ? r : if_there(cg_read_counter_u64(g, h, at, CG_FILE_MEMORY_PEAK, peak_file(h), bytes));
}

int cg_memory_peak_reset(struct cgroups *g, const struct cg *c)
{
	const struct hier *h;
	int r = own(g, c, CG_MEMORY, &h);
	if (r < 0)
		return r;
	return h->drv->v2 ? -EOPNOTSUPP : cg_write(h, c->path, peak_file(h), "0");
}

int cg_memory_pressurize(struct cgroups *g, const struct cg *c, uint64_t bytes, bool on, int *reclaim_fd)
{
	const struct hier *h;
	char path[PATH_MAX], text[24];
	*reclaim_fd = -1;
	int r = own(g, c, CG_MEMORY, &h);
	if (r < 0)
		return r;
	if (!h->drv->v2) {
		snprintf(text, sizeof(text), "%llu", (unsigned long long)bytes);
		return if_there(cg_write(h, c->path, "memory.soft_limit_in_bytes", on ? text : "-1"));
	}
	if (!on)
		return 0;
	r = cg_path(path, c->path, "memory.reclaim");
	if (r < 0)
		return r;
	*reclaim_fd = openat(h->fd, path, O_WRONLY | O_CLOEXEC);
	return *reclaim_fd < 0 ? if_there(-errno) : 0;
}

/* EAGAIN says that it could not be all: that was to be expected. */
void cg_memory_reclaim(int fd)
{
	static const char all[] = "1T";
	while (write(fd, all, sizeof(all) - 1) < 0 && errno == EINTR)
		;
	close(fd);
}

/* ---- out of memory ---- */

int cg_oom_hits(struct cgroups *g, const struct cg *c, uint64_t *ret)
{
	const struct hier *h;
	int r = own(g, c, CG_MEMORY, &h);
	if (r < 0)
		return r;
	return h->drv->v2 ? cg_read_key(h, c->path, "memory.events.local", "oom", ret) : -EOPNOTSUPP;
}

/* "EVENTFD CONTROL" written to cgroup.event_control: the kernel then signals the one for the other's cgroup. */
static int v1_watch(const struct hier *h, const char *dir)
{
	char path[PATH_MAX], text[32];
	int r = cg_path(path, dir, "memory.oom_control");
	if (r < 0)
		return r;
	autoclose int control = openat(h->fd, path, O_RDONLY | O_CLOEXEC);
	if (control < 0)
		return -errno;
	autoclose int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (event < 0)
		return -errno;
	snprintf(text, sizeof(text), "%d %d", event, control);
	r = cg_write(h, dir, "cgroup.event_control", text);
	return r < 0 ? if_there(r) : TAKE_FD(event);
}

int cg_oom_watch(struct cgroups *g, const struct cg *c, uint32_t *events)
{
	const struct hier *h;
	char path[PATH_MAX];
	int r = own(g, c, CG_MEMORY, &h);
	if (r < 0)
		return r;
	*events = h->drv->v2 ? EPOLLPRI : EPOLLIN;
	if (!h->drv->v2)
		return v1_watch(h, c->path);
	r = cg_path(path, c->path, "memory.events.local");
	if (r < 0)
		return r;
	int fd = openat(h->fd, path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? if_there(-errno) : fd;
}

bool cg_oom_taken(struct cgroups *g, int fd)
{
	uint64_t n;
	char buf[512];
	if (cg_is_v2(g, CG_MEMORY)) /* from its start: that is what makes it wait for the next change */
		return pread(fd, buf, sizeof(buf), 0) >= 0;
	return read(fd, &n, sizeof(n)) == (ssize_t)sizeof(n);
}

/* ---- huge pages ---- */

int cg_set_hugetlb_max(struct cgroups *g, const struct cg *c, uint64_t bytes)
{
	const struct hier *h;
	int r = own(g, c, CG_HUGETLB, &h);
	if (r < 0)
		return r;
	const char *small = h->drv->v2 ? "hugetlb.2MB.max" : "hugetlb.2MB.limit_in_bytes";
	const char *big = h->drv->v2 ? "hugetlb.1GB.max" : "hugetlb.1GB.limit_in_bytes";
	const char *none = h->drv->v2 ? "max" : "-1";
	uint64_t used;
	/* v2 takes a limit below what is in use */
	r = cg_hugetlb_usage(g, c, &used);
	if (r < 0)
		return r;
	if (bytes && used > bytes)
		return -EBUSY;
	r = bytes ? cg_write_u64(h, c->path, small, bytes) : cg_write(h, c->path, small, none);
	if (r < 0)
		return if_there(r);
	r = cg_write(h, c->path, big, bytes ? "0" : none);
	return r == -ENOENT ? 0 : r;
}

int cg_hugetlb_usage(struct cgroups *g, const struct cg *c, uint64_t *bytes)
{
	const struct hier *h;
	const struct cg *at;
	int r = near(g, c, CG_HUGETLB, &h, &at);
	if (r < 0)
		return r;
	return if_there(cg_read_counter_u64(g, h, at, CG_FILE_HUGETLB, h->drv->v2 ? "hugetlb.2MB.current" :
									"hugetlb.2MB.usage_in_bytes", bytes));
}
