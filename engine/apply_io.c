/* io_limit, io_ops_limit: which disks the keys mean, and whether this kernel can hold them. */
#include <sys/fsuid.h>

#include "engine/cgroup_io.h"
#include "engine/disks.h"
#include "engine/hooks.h"
#include "engine/io.h"

#define IO_KEYS_MAX 64
#define IO_OPS_MAX (UINT32_MAX - UINT64_C(1)) /* the kernel keeps 32 bits, all of them set is no limit */

static const struct {
	int prop;
	enum cg_io_rate rate;
} limits[] = { { PROP_io_limit, CG_IO_BYTES }, { PROP_io_ops_limit, CG_IO_OPS } };

static enum cg_io_rate rate_of(int prop)
{
	return prop == PROP_io_ops_limit ? CG_IO_OPS : CG_IO_BYTES;
}

/* What that user may not reach is not there: else it could ask for any name of the host. */
static int disk_of_host_path(const char *path, uid_t uid, struct disk *ret)
{
	int r;

	(void)setfsuid(uid); /* of this thread alone; root's rights over files go with it */
	r = disk_of_path("/", path, ret);
	(void)setfsuid(0);
	return r;
}

int io_find_disk(struct ct *ct, uid_t uid, const char *prop, const char *key, struct disk *ret, struct err *err)
{
	bool inside = key[0] == '.' || strcmp(key, "fs") == 0;
	autotext struct text root = {};
	int r;

	if (inside)
		r = read_root_path(ct, NULL, &root, err);
	else
		r = 0;
	if (r < 0)
		return r;
	if (inside)
		r = disk_of_path(text_str(&root), key[0] == '.' ? key + 1 : "/", ret);
	else
		r = key[0] == '/' ? disk_of_host_path(key, uid, ret) : disk_by_name(key, ret);
	if (r == -ENOMEM)
		return err_sys(err, ENOMEM, "%s", prop);
	return r < 0 ? err_set(err, ERR_InvalidValue, "%s: '%.200s': Disk not found; expected a disk's name like sda, a /path of the host, "
			       "a .path of the container's root, or fs", prop, key) : 0;
}

/* ---- keys -> disks ---- */

struct found {
	struct cg_io_limit *limit; /* owned */
	size_t n;
};

/* The smaller of two limits, of which 0 is none. */
static uint64_t tighter(uint64_t a, uint64_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

static int add_limit(struct found *f, const struct disk *d, uint64_t read, uint64_t write)
{
	struct cg_io_limit *l = NULL;

	for (size_t i = 0; l == NULL && i < f->n; i++)
		if (f->limit[i].major == d->major && f->limit[i].minor == d->minor)
			l = &f->limit[i];
	if (l == NULL) {
		l = reallocarray(f->limit, f->n + 1, sizeof(*l));
		if (l == NULL)
			return -ENOMEM;
		f->limit = l;
		l = &l[f->n++];
		*l = (struct cg_io_limit){ .major = d->major, .minor = d->minor };
	}
	l->read = tighter(l->read, read);
	l->write = tighter(l->write, write);
	return 0;
}

/*
 * "sda", "sda r" and "sda w" stand together, because a key has no blank: the one for a direction says more than the one for
 * both. Two keys of one disk are two limits that hold at once.
 */
static int collect(struct ct *ct, int prop, const struct pairs *m, struct found *ret, struct err *err)
{
	for (size_t i = 0; i < m->k.n;) {
		size_t len = strcspn(m->k.p[i], " ");
		autofree char *key = strndup(m->k.p[i], len);
		uint64_t read = 0, write = 0;
		struct disk d;
		int r;

		if (key == NULL)
			return err_sys(err, ENOMEM, "%s", props[prop].name);
		for (; i < m->k.n && strncmp(m->k.p[i], key, len) == 0 && (m->k.p[i][len] == '\0' || m->k.p[i][len] == ' '); i++) {
			const char *way = m->k.p[i] + len;
			uint64_t v = strtoull(m->v.p[i], NULL, 10);

			read = strcmp(way, " w") == 0 ? read : v;
			write = strcmp(way, " r") == 0 ? write : v;
		}
		r = io_find_disk(ct, ct->owner_uid, props[prop].name, key, &d, err);
		if (r < 0)
			return r;
		if (add_limit(ret, &d, read, write) < 0)
			return err_sys(err, ENOMEM, "%s", props[prop].name);
	}
	return 0;
}

/* ---- cgroup v1 knows no limit of a parent ---- */

static bool has_limits(const struct ct *ct)
{
	return ct->val[PROP_io_limit].m.k.n > 0 || ct->val[PROP_io_ops_limit].m.k.n > 0;
}

/* A container with a cgroup of its own for IO, below one with limits, would have none of them. */
static int check_nesting(struct ct *ct, bool limited, const char *prop, struct err *err)
{
	const char *why = cg_io_lacks(ct->e->cgroups, CG_IO_NESTED);

	if (why == NULL)
		return 0;
	for (const struct ct *up = ct->parent; up != NULL && up->parent != NULL; up = up->parent)
		if (has_limits(up))
			return err_set(err, ERR_NotSupported, "%s: the limits of container %s would not hold for %s with a blkio cgroup of its own: "
				       "%s; take blkio out of its controllers", prop, up->name, ct->name, why);
	for (struct ct *it = limited ? ct_next(ct, NULL) : NULL; it != NULL; it = ct_next(ct, it))
		if (it->has_cg && (it->cg.own & CG_BIT(CG_IO)))
			return err_set(err, ERR_NotSupported, "%s: would not hold for container %s below, which has a blkio cgroup of its own: %s",
				       prop, it->name, why);
	return 0;
}

/* ---- hooks ---- */

/* Paths inside the root wait for the start: the root may be set, or filled, after them. */
static bool is_of_host(const char *key)
{
	return key[0] != '.' && (strncmp(key, "fs", 2) != 0 || (key[2] != '\0' && key[2] != ' '));
}

int check_io_limit(struct change *c)
{
	const char *name = props[c->prop].name, *why = cg_io_lacks(c->ct->e->cgroups, CG_IO_LIMITS);
	const struct pairs *m = &c->value->m;

	if (m->k.n == 0)
		return 0;
	if (why != NULL)
		return err_set(c->err, ERR_NotSupported, "%s: %s", name, why);
	if (m->k.n > IO_KEYS_MAX)
		return err_set(c->err, ERR_InvalidValue, "%s: at most %d keys", name, IO_KEYS_MAX);
	for (size_t i = 0; i < m->k.n; i++) {
		autofree char *key = strndup(m->k.p[i], strcspn(m->k.p[i], " "));
		struct disk d;
		int r;

		if (key == NULL)
			return err_sys(c->err, ENOMEM, "%s", name);
		if (c->prop == PROP_io_ops_limit && strtoull(m->v.p[i], NULL, 10) > IO_OPS_MAX)
			return err_set(c->err, ERR_InvalidValue, "%s: '%.200s': expected at most %llu operations a second", name, c->text,
				       (unsigned long long)IO_OPS_MAX);
		r = is_of_host(key) ? io_find_disk(c->ct, c->ct->owner_uid, name, key, &d, c->err) : 0;
		if (r < 0)
			return r;
	}
	return check_nesting(c->ct, true, name, c->err);
}

int check_io_guarantee(struct change *c)
{
	if (c->value->m.k.n == 0)
		return 0;
	return err_set(c->err, ERR_NotSupported, "%s: no kernel can promise a cgroup its share of a disk's throughput; io_weight divides it",
		       props[c->prop].name);
}

static int apply(struct ct *ct, int prop, const union value *v, struct err *err)
{
	const char *name = props[prop].name;
	struct found f = {};
	int r;

	r = check_nesting(ct, v->m.k.n > 0, name, err);
	if (r < 0 || (v->m.k.n == 0 && ct->state == CT_STARTING)) /* a new cgroup has none to take off */
		return r;
	r = collect(ct, prop, &v->m, &f, err);
	if (r == 0) {
		r = cg_io_set_max(ct->e->cgroups, &ct->cg, rate_of(prop), f.limit, f.n);
		if (r == -ENODEV)
			err_set(err, ERR_InvalidValue, "%s: Disk not found: one of them has just gone", name);
		else if (r < 0)
			err_sys(err, -r, "%s", name);
	}
	free(f.limit);
	return r;
}

int apply_io_limit(struct ct *ct, const union value *v, struct err *err)
{
	return apply(ct, PROP_io_limit, v, err);
}

int apply_io_ops_limit(struct ct *ct, const union value *v, struct err *err)
{
	return apply(ct, PROP_io_ops_limit, v, err);
}

void io_limits_lift(struct ct *ct)
{
	for (size_t i = 0; i < ARRAY_LEN(limits); i++)
		if (ct->has_cg && ct->val[limits[i].prop].m.k.n > 0)
			(void)cg_io_set_max(ct->e->cgroups, &ct->cg, limits[i].rate, NULL, 0);
}

int io_limits_again(struct ct *ct, struct err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(limits); i++)
		if (ct->has_cg && ct->val[limits[i].prop].m.k.n > 0)
			r = apply(ct, limits[i].prop, &ct->val[limits[i].prop], err);
	return r;
}
