/* Both versions of the io controller. v1 has a file for each direction and unit, v2 one file with keys. */
#include "engine/cgroup_io.h"

#include <stdio.h>

#include "engine/cgroup_priv.h"

#define IO_FILE_MAX (1u << 20)

/* The files of v1 by rate: the read one, the write one. */
static const char *const v1_max[][2] = {
	[CG_IO_BYTES] = { "blkio.throttle.read_bps_device", "blkio.throttle.write_bps_device" },
	[CG_IO_OPS] = { "blkio.throttle.read_iops_device", "blkio.throttle.write_iops_device" },
};
static const char *const v2_max[][2] = { [CG_IO_BYTES] = { "rbps", "wbps" }, [CG_IO_OPS] = { "riops", "wiops" } };

/* c's own io cgroup, or with near the one it shares. */
static int io_place(const struct cgroups *g, const struct cg *c, bool near, const struct hier **h, const char **dir)
{
	if (g->of[CG_IO] < 0)
		return -EOPNOTSUPP;
	if (near)
		c = cg_owner(c, CG_BIT(CG_IO));
	if (c == NULL || !(c->own & CG_BIT(CG_IO)))
		return -ENOENT;
	*h = &g->h[g->of[CG_IO]];
	*dir = c->path;
	return 0;
}

static bool there(const struct hier *h, const char *dir, const char *file)
{
	char path[PATH_MAX];

	return cg_path(path, dir, file) == 0 && faccessat(h->fd, path, F_OK, 0) == 0;
}

static int read_file(const struct hier *h, const char *dir, const char *file, struct text *out)
{
	char path[PATH_MAX];
	int r = cg_path(path, dir, file);

	return r < 0 ? r : file_read(h->fd, path, IO_FILE_MAX, out);
}

/* ---- limits ---- */

static const struct cg_io_limit *find_limit(const struct cg_io_limit *limits, size_t n, unsigned major, unsigned minor)
{
	for (size_t i = 0; i < n; i++)
		if (limits[i].major == major && limits[i].minor == minor)
			return &limits[i];
	return NULL;
}

/* One disk, both directions. */
static int write_max(const struct hier *h, const char *dir, enum cg_io_rate rate, const struct cg_io_limit *l)
{
	const uint64_t value[2] = { l->read, l->write };
	char text[128];
	int len = snprintf(text, sizeof(text), "%u:%u", l->major, l->minor), r = 0;

	for (int i = 0; r == 0 && i < 2; i++) {
		size_t at = (size_t)len;

		if (!h->drv->v2)
			snprintf(text + at, sizeof(text) - at, " %llu", (unsigned long long)value[i]);
		else if (value[i] != 0)
			len += snprintf(text + at, sizeof(text) - at, " %s=%llu", v2_max[rate][i], (unsigned long long)value[i]);
		else
			len += snprintf(text + at, sizeof(text) - at, " %s=max", v2_max[rate][i]);
		if (!h->drv->v2)
			r = cg_write(h, dir, v1_max[rate][i], text);
	}
	return h->drv->v2 ? cg_write(h, dir, "io.max", text) : r;
}

/* Lets go of every disk that file lists and limits does not. */
static int release_others(const struct hier *h, const char *dir, const char *file, enum cg_io_rate rate,
			  const struct cg_io_limit *limits, size_t n)
{
	autotext struct text now = {};
	char *save = NULL;
	int r = read_file(h, dir, file, &now);

	for (char *line = r < 0 || now.p == NULL ? NULL : strtok_r(now.p, "\n", &save); r >= 0 && line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		struct cg_io_limit none = {};

		if (sscanf(line, "%u:%u", &none.major, &none.minor) != 2 || find_limit(limits, n, none.major, none.minor) != NULL)
			continue;
		r = write_max(h, dir, rate, &none);
		if (r == -ENODEV) /* unplugged meanwhile */
			r = 0;
	}
	return r < 0 ? r : 0;
}

int cg_io_set_max(struct cgroups *g, const struct cg *c, enum cg_io_rate rate, const struct cg_io_limit *limits, size_t n)
{
	const struct hier *h;
	const char *dir;
	int r = io_place(g, c, false, &h, &dir);

	for (int i = 0; r == 0 && i < (h->drv->v2 ? 1 : 2); i++)
		r = release_others(h, dir, h->drv->v2 ? "io.max" : v1_max[rate][i], rate, limits, n);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = write_max(h, dir, rate, &limits[i]);
	return r == -ENOENT && cg_io_lacks(g, CG_IO_LIMITS) != NULL ? -EOPNOTSUPP : r;
}

/* ---- weights ---- */

int cg_io_set_weight(struct cgroups *g, const struct cg *c, const struct cg_io_weight *w)
{
	const struct {
		const char *file;
		unsigned value;
	} files[] = { { "io.weight", w->share }, { "io.bfq.weight", w->bfq }, { "blkio.bfq.weight", w->bfq }, { "blkio.weight", w->cfq } };
	const struct hier *h;
	const char *dir;
	bool any = false;
	int r = io_place(g, c, false, &h, &dir);

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(files); i++) {
		if (!there(h, dir, files[i].file))
			continue;
		r = cg_write_u64(h, dir, files[i].file, files[i].value);
		any = true;
	}
	return r == 0 && !any ? -EOPNOTSUPP : r;
}

/* ---- counters ---- */

struct cg_io_count *cg_io_disk(struct cg_io_counts *all, unsigned major, unsigned minor)
{
	struct cg_io_count *p;

	for (size_t i = 0; i < all->n; i++)
		if (all->disk[i].major == major && all->disk[i].minor == minor)
			return &all->disk[i];
	p = reallocarray(all->disk, all->n + 1, sizeof(*p));
	if (p == NULL)
		return NULL;
	all->disk = p;
	p = &p[all->n++];
	*p = (struct cg_io_count){ .major = major, .minor = minor };
	return p;
}

/* "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0"; a disk without traffic may be a bare "8:0". */
static int parse_v2_line(char *line, struct cg_io_counts *all)
{
	unsigned major, minor;
	char *save = NULL;
	struct cg_io_count *d;

	if (sscanf(line, "%u:%u", &major, &minor) != 2)
		return 0;
	d = cg_io_disk(all, major, minor);
	if (d == NULL)
		return -ENOMEM;
	for (char *word = strtok_r(line, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save)) {
		const struct {
			const char *key;
			uint64_t *value;
		} keys[] = { { "rbytes=", &d->read_bytes }, { "wbytes=", &d->write_bytes }, { "rios=", &d->read_ops }, { "wios=", &d->write_ops } };

		for (size_t i = 0; i < ARRAY_LEN(keys); i++)
			if (strncmp(word, keys[i].key, strlen(keys[i].key)) == 0)
				*keys[i].value = strtoull(word + strlen(keys[i].key), NULL, 10);
	}
	return 0;
}

/* What a v1 file counts: where its lines "8:0 Read 1" go. */
enum v1_field { V1_BYTES, V1_OPS, V1_TIME };

static int parse_v1_line(const char *line, enum v1_field what, struct cg_io_counts *all)
{
	unsigned major, minor;
	unsigned long long v;
	char word[16];
	struct cg_io_count *d;

	if (sscanf(line, "%u:%u %15s %llu", &major, &minor, word, &v) != 4)
		return 0;
	d = cg_io_disk(all, major, minor);
	if (d == NULL)
		return -ENOMEM;
	if (strcmp(word, "Read") == 0 && what != V1_TIME)
		*(what == V1_BYTES ? &d->read_bytes : &d->read_ops) = v;
	else if (strcmp(word, "Write") == 0 && what != V1_TIME)
		*(what == V1_BYTES ? &d->write_bytes : &d->write_ops) = v;
	else if (strcmp(word, "Total") == 0 && what == V1_TIME)
		d->nsec = v;
	return 0;
}

/* The first of the files that is there; the recursive ones count what is below too. */
static int count_v1(const struct hier *h, const char *dir, const char *const files[3], enum v1_field what, struct cg_io_counts *all)
{
	autotext struct text t = {};
	char *save = NULL;
	int r = -ENOENT;

	for (int i = 0; r == -ENOENT && i < 3 && files[i] != NULL; i++)
		r = read_file(h, dir, files[i], &t);
	for (char *line = r < 0 || t.p == NULL ? NULL : strtok_r(t.p, "\n", &save); r >= 0 && line != NULL;
	     line = strtok_r(NULL, "\n", &save))
		r = parse_v1_line(line, what, all);
	return r < 0 ? r : 0;
}

static const char *const v1_bytes[3] = { "blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes" };
static const char *const v1_ops[3] = { "blkio.throttle.io_serviced_recursive", "blkio.throttle.io_serviced" };
static const char *const v1_time[3] = { "blkio.bfq.io_service_time_recursive", "blkio.io_service_time_recursive" };

/* In one read, by the descriptor that is kept; where there are a hundred disks and more, by path and to the end. */
static int read_io_stat(struct cgroups *g, const struct hier *h, const struct cg *owner, struct text *out)
{
	char buf[16384];
	ssize_t n = cg_read_counter(g, h, owner, CG_FILE_IO, "io.stat", buf, sizeof(buf));

	if (n == -EFBIG)
		return read_file(h, owner->path, "io.stat", out);
	if (n < 0)
		return (int)n;
	text_addn(out, buf, (size_t)n);
	return text_ok(out);
}

int cg_io_count(struct cgroups *g, const struct cg *c, struct cg_io_counts *ret)
{
	autotext struct text t = {};
	const struct hier *h;
	const char *dir;
	char *save = NULL;
	int r = io_place(g, c, true, &h, &dir);

	if (r < 0)
		return r;
	if (!h->drv->v2) {
		r = count_v1(h, dir, v1_bytes, V1_BYTES, ret);
		if (r == 0)
			r = count_v1(h, dir, v1_ops, V1_OPS, ret);
		if (r == 0)
			ret->has_time = count_v1(h, dir, v1_time, V1_TIME, ret) == 0;
		return r == -ENOENT ? -EOPNOTSUPP : r;
	}
	r = read_io_stat(g, h, cg_owner(c, CG_BIT(CG_IO)), &t);
	for (char *line = r < 0 || t.p == NULL ? NULL : strtok_r(t.p, "\n", &save); r >= 0 && line != NULL;
	     line = strtok_r(NULL, "\n", &save))
		r = parse_v2_line(line, ret);
	return r < 0 ? r : 0;
}

/* ---- what there is ---- */

const char *cg_io_lacks(const struct cgroups *g, enum cg_io_feature f)
{
	const struct hier *h = g->of[CG_IO] >= 0 ? &g->h[g->of[CG_IO]] : NULL;
	bool v2 = h != NULL && h->drv->v2;

	if (h == NULL)
		return cg_missing(g, CG_IO);
	switch (f) {
	case CG_IO_LIMITS:
		return there(h, "", v2 ? "io.max" : v1_max[CG_IO_BYTES][0]) ? NULL : "the kernel has no block throttling (CONFIG_BLK_DEV_THROTTLING)";
	case CG_IO_WEIGHTS:
		if (v2 ? there(h, "", "io.weight") || there(h, "", "io.bfq.weight") : there(h, "", "blkio.bfq.weight") || there(h, "", "blkio.weight"))
			return NULL;
		return "the kernel has no scheduler with weights (CONFIG_BFQ_GROUP_IOSCHED or CONFIG_BLK_CGROUP_IOCOST)";
	case CG_IO_TIME:
		return !v2 && (there(h, "", v1_time[0]) || there(h, "", v1_time[1])) ? NULL : "the kernel does not count service time by cgroup";
	case CG_IO_BUFFERED:
		if (!v2)
			return "cgroup v1 does not know whose pages it writes back";
		return cg_is_v2(g, CG_MEMORY) ? NULL : "writing back is charged to who wrote only where cgroup v2 has memory and io";
	case CG_IO_NESTED:
		return v2 ? NULL : "on cgroup v1 a limit holds for one cgroup, not for those below it";
	}
	return NULL;
}

bool cg_io_cost(const struct cgroups *g)
{
	autofree char *path = NULL;
	autotext struct text t = {};

	if (!cg_is_v2(g, CG_IO))
		return false;
	path = path_join(g->h[g->of[CG_IO]].mount, "io.cost.qos");
	return path != NULL && file_read(AT_FDCWD, path, IO_FILE_MAX, &t) >= 0 && strstr(text_str(&t), "enable=1") != NULL;
}
