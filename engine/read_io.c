/* Counters of block IO: io_read, io_write, io_ops, io_read_ops, io_write_ops, io_time. */
#include <fcntl.h>
#include <stdio.h>

#include "base/fd.h"
#include "engine/cgroup_io.h"
#include "engine/disks.h"
#include "engine/hooks.h"
#include "engine/io.h"

#define OVERFLOW_UID 65534 /* nobody: what everybody may reach */

#define SECTOR 512u /* of /proc/diskstats, whatever the disk's */
#define NSEC_PER_MSEC 1000000u

static uint64_t read_bytes(const struct cg_io_count *c)
{
	return c->read_bytes;
}

static uint64_t write_bytes(const struct cg_io_count *c)
{
	return c->write_bytes;
}

static uint64_t read_ops(const struct cg_io_count *c)
{
	return c->read_ops;
}

static uint64_t write_ops(const struct cg_io_count *c)
{
	return c->write_ops;
}

static uint64_t all_ops(const struct cg_io_count *c)
{
	return c->read_ops + c->write_ops;
}

static uint64_t nsec(const struct cg_io_count *c)
{
	return c->nsec;
}

/* ---- where they come from ---- */

/* MAJOR MINOR NAME, then: reads, merged, sectors, msec; writes, merged, sectors, msec; ... Whole disks only. */
static int host_counts(struct cg_io_counts *all)
{
	autotext struct text t = {};
	char *save = NULL;
	int r = file_read(AT_FDCWD, "/proc/diskstats", 4u << 20, &t);

	if (r < 0)
		return r;
	for (char *line = t.p != NULL ? strtok_r(t.p, "\n", &save) : NULL; line != NULL; line = strtok_r(NULL, "\n", &save)) {
		unsigned long long v[8];
		unsigned major, minor;
		struct cg_io_count *c;
		struct disk d;

		if (sscanf(line, "%u %u %*s %llu %llu %llu %llu %llu %llu %llu %llu", &major, &minor, &v[0], &v[1], &v[2], &v[3],
			   &v[4], &v[5], &v[6], &v[7]) != 10 ||
		    v[0] + v[4] == 0 || disk_by_number(major, minor, &d) < 0 || d.major != major || d.minor != minor)
			continue;
		c = cg_io_disk(all, major, minor);
		if (c == NULL)
			return -ENOMEM;
		c->read_ops = v[0];
		c->write_ops = v[4];
		c->read_bytes = v[2] * SECTOR;
		c->write_bytes = v[6] * SECTOR;
		c->nsec = (v[3] + v[7]) * NSEC_PER_MSEC;
	}
	all->has_time = true;
	return 0;
}

/* Five rows come from one file, and a round asks container by container. *ret is good until the next call. */
static int counts(struct ct *ct, const char *name, const struct cg_io_counts **ret, struct err *err)
{
	struct engine *e = ct->e;
	struct io_seen *k = &e->io_seen;

	if (!ct_is_root(ct) && !(ct->cg.own & CG_BIT(CG_IO)))
		return err_set_no(err, ERR_NotSupported, ENODATA,
				  "%s: the container has no blkio cgroup of its own: stop it and add blkio to its controllers, or to "
				  "container.default_controllers", name);
	if (e->round == 0 || k->round != e->round || k->ct != ct->id) {
		free(k->counts.disk);
		k->counts = (struct cg_io_counts){};
		k->known = e->round != 0 && k->round == e->round ? k->known : 0;
		k->round = e->round;
		k->ct = ct->id;
		k->result = ct_is_root(ct) ? host_counts(&k->counts) : cg_io_count(e->cgroups, &ct->cg, &k->counts);
	}
	*ret = &k->counts;
	if (k->result == -EOPNOTSUPP)
		return err_set(err, ERR_NotSupported, "%s: the kernel does not count it by cgroup", name);
	return k->result < 0 ? err_sys(err, -k->result, "%s", name) : 0;
}

/* A disk's name stays what it is for a round. */
static const struct disk *disk_of(struct io_seen *k, const struct cg_io_count *c)
{
	struct disk *d;

	for (unsigned i = 0; i < k->known; i++)
		if (k->disks[i].major == c->major && k->disks[i].minor == c->minor)
			return &k->disks[i];
	d = &k->disks[k->known < ARRAY_LEN(k->disks) ? k->known : 0];
	if (disk_by_number(c->major, c->minor, d) < 0)
		return NULL;
	k->known += k->known < ARRAY_LEN(k->disks);
	return d;
}

/* ---- how they look ---- */

static void put(union value *v, const char *key, uint64_t n, int *failed)
{
	char number[24];

	snprintf(number, sizeof(number), "%llu", (unsigned long long)n);
	if (pairs_set(&v->m, key, number) < 0)
		*failed = -ENOMEM;
}

static uint64_t sum_hw(struct io_seen *k, uint64_t (*field)(const struct cg_io_count *c))
{
	uint64_t hw = 0;

	for (size_t i = 0; i < k->counts.n; i++) {
		const struct disk *d = disk_of(k, &k->counts.disk[i]);

		if (d != NULL && disk_is_hardware(d->name))
			hw += field(&k->counts.disk[i]);
	}
	return hw;
}

/* Disks without traffic are left out; `hw` never is. */
static int show_map(struct io_seen *k, uint64_t (*field)(const struct cg_io_count *c), struct text *out)
{
	union value v = {};
	int failed = 0;

	for (size_t i = 0; i < k->counts.n; i++) {
		uint64_t n = field(&k->counts.disk[i]);
		const struct disk *d = n > 0 ? disk_of(k, &k->counts.disk[i]) : NULL;

		if (d != NULL && !disk_is_hidden(d->name))
			put(&v, d->name, n, &failed);
	}
	put(&v, "hw", sum_hw(k, field), &failed);
	if (failed == 0)
		type_bytemap.format(&v, out);
	pairs_done(&v.m);
	return failed;
}

/* A file's name can't have a slash: a path is written with ! for it, as in sysfs: io_read[!var!lib], io_read[.!data]. */
static int find_index(struct ct *ct, const char *name, const char *index, struct disk *d, struct err *err)
{
	autofree char *key = strdup(index);
	unsigned major, minor;
	char end;

	if (key == NULL)
		return err_sys(err, ENOMEM, "%s", name);
	for (char *s = key; (key[0] == '!' || key[0] == '.' || key[0] == '/') && *s != '\0'; s++)
		if (*s == '!')
			*s = '/';

	if (sscanf(key, "%u:%u%c", &major, &minor, &end) == 2) {
		if (disk_by_number(major, minor, d) == 0)
			return 0;
		return err_set(err, ERR_InvalidValue, "%s[%.200s]: Disk not found", name, key);
	}
	if (strcmp(key, "fs") == 0)
		return err_set(err, ERR_NotSupported, "%s[fs]: accounting of file systems needs a kernel of the original's vendor; name a disk", name);
	return io_find_disk(ct, OVERFLOW_UID, name, key, d, err); /* anybody may ask */
}

static int show(struct ct *ct, const char *name, const char *key, uint64_t (*field)(const struct cg_io_count *c), struct text *out,
		struct err *err)
{
	struct io_seen *k = &ct->e->io_seen;
	const struct cg_io_counts *all = NULL;
	struct disk d;
	bool hw = key != NULL && strcmp(key, "hw") == 0;
	int r = key != NULL && !hw ? find_index(ct, name, key, &d, err) : 0;
	uint64_t n = 0;

	if (r == 0)
		r = counts(ct, name, &all, err);
	if (r == 0 && field == nsec && !all->has_time)
		r = err_set(err, ERR_NotSupported, "%s: %s", name, cg_io_lacks(ct->e->cgroups, CG_IO_TIME));
	if (r < 0)
		return r;
	if (key == NULL)
		return show_map(k, field, out);
	for (size_t i = 0; !hw && i < all->n; i++)
		if (all->disk[i].major == d.major && all->disk[i].minor == d.minor)
			n = field(&all->disk[i]);
	text_addf(out, "%llu", (unsigned long long)(hw ? sum_hw(k, field) : n));
	return 0;
}

int read_io_read(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	return show(ct, "io_read", key, read_bytes, out, err);
}

int read_io_write(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	return show(ct, "io_write", key, write_bytes, out, err);
}

int read_io_ops(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	return show(ct, "io_ops", key, all_ops, out, err);
}

int read_io_read_ops(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	return show(ct, "io_read_ops", key, read_ops, out, err);
}

int read_io_write_ops(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	return show(ct, "io_write_ops", key, write_ops, out, err);
}

int read_io_time(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	return show(ct, "io_time", key, nsec, out, err);
}
