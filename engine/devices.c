#include "engine/devices.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "engine/cred.h"
#include "engine/device_nodes.h"
#include "engine/hooks.h"

#define RWM (CG_DEVICE_READ | CG_DEVICE_WRITE | CG_DEVICE_MKNOD)

/* With enable_fuse, where the host has it: for everybody in its root, as on most hosts. */
#define FUSE_ENTRY "/dev/fuse rwm /dev/fuse 0666"

/* What everybody has: null zero full random urandom tty ptmx, and the terminals of devpts. */
static const struct cg_device default_rules[] = {
	{ 'c', 1, 3, RWM }, { 'c', 1, 5, RWM }, { 'c', 1, 7, RWM }, { 'c', 1, 8, RWM },
	{ 'c', 1, 9, RWM }, { 'c', 5, 0, RWM }, { 'c', 5, 2, RWM }, { 'c', 136, CG_DEVICE_ANY, RWM },
};

void device_set_done(struct device_set *set)
{
	free(set->d);
	*set = (struct device_set){};
}

static bool same_rule(const struct cg_device *a, const struct cg_device *b)
{
	return a->type == b->type && a->major == b->major && a->minor == b->minor;
}

/* Instead of the one of the same number; "-" takes that away. */
static int put(struct device_set *set, const struct device *d)
{
	struct device *more;
	size_t i = 0;

	while (i < set->n && !same_rule(&set->d[i].rule, &d->rule))
		i++;
	if (d->off) {
		if (i < set->n)
			memmove(&set->d[i], &set->d[i + 1], (set->n-- - i - 1) * sizeof(*d));
		return 0;
	}
	if (i == set->n) {
		if (set->n >= CG_DEVICES_MAX)
			return -E2BIG;
		more = reallocarray(set->d, set->n + 1, sizeof(*d));
		if (more == NULL)
			return -ENOMEM;
		set->d = more;
		set->n++;
	}
	set->d[i] = *d;
	return 0;
}

/* ---- an entry -> a device of this host ---- */

/*
 * Below /dev and nowhere else, whatever links say. What users can mount on (shm, mqueue) has no devices, and a look there
 * could wait for ever.
 */
static int find_node(const char *path, struct stat *st)
{
	static const char *const not_there[] = { "/dev/shm", "/dev/mqueue", "/dev/hugepages", "/dev/fd", "/dev/pts" };
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
	autoclose int dev = open("/dev", O_PATH | O_DIRECTORY | O_CLOEXEC);

	for (size_t i = 0; i < ARRAY_LEN(not_there); i++)
		if (strncmp(path, not_there[i], strlen(not_there[i])) == 0 && strchr("/", path[strlen(not_there[i])]) != NULL)
			return -ENOENT;
	autoclose int fd = (int)syscall(SYS_openat2, dev, path + strlen("/dev/"), &how, sizeof(how));
	if (fd < 0 || fstat(fd, st) < 0)
		return -ENOENT;
	return S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode) ? 0 : -ENODEV;
}

static unsigned access_of(const char *word)
{
	return (strchr(word, 'r') ? CG_DEVICE_READ : 0) | (strchr(word, 'w') ? CG_DEVICE_WRITE : 0) |
	       (strchr(word, 'm') ? CG_DEVICE_MKNOD : 0);
}

static int read_owner(const struct strv *w, struct device *d, struct err *err)
{
	if (w->n > 3) {
		d->own_mode = true;
		d->mode = (mode_t)strtoul(w->p[3], NULL, 8);
	}
	if (w->n > 4) {
		d->own_user = true;
		if (cred_user(w->p[4], &d->uid, NULL) < 0)
			return err_set(err, ERR_InvalidValue, "devices: %s: no such user: %.100s", w->p[0], w->p[4]);
	}
	if (w->n > 5 && cred_group(w->p[5], &d->gid) < 0)
		return err_set(err, ERR_InvalidValue, "devices: %s: no such group: %.100s", w->p[0], w->p[5]);
	return 0;
}

/* An entry as type_devices keeps it. 1: the device is missing, which does no harm. */
static int entry_read(const char *entry, struct device *ret, struct err *err)
{
	autostrv struct strv w = {};
	struct device d = {};
	struct stat st;
	int r;

	if (strv_split(entry, ' ', &w) < 0)
		return err_sys(err, ENOMEM, "devices");
	if (w.n < 2 || strlen(w.p[0]) >= sizeof(d.source) || (w.n > 2 && strlen(w.p[2]) >= sizeof(d.path)))
		return err_set(err, ERR_InvalidValue, "devices: %.200s: a path is too long", entry);
	d.off = strchr(w.p[1], '-') != NULL;
	r = find_node(w.p[0], &st);
	if (r < 0 && (d.off || strchr(w.p[1], '?') != NULL))
		return 1;
	if (r < 0)
		return err_set(err, ERR_DeviceNotFound, "devices: %s: %s", w.p[0], r == -ENODEV ? "not a device" : "no such device");
	memcpy(d.source, w.p[0], strlen(w.p[0]));
	memcpy(d.path, w.p[w.n > 2 ? 2 : 0], strlen(w.p[w.n > 2 ? 2 : 0]));
	d.rule = (struct cg_device){ .type = S_ISBLK(st.st_mode) ? 'b' : 'c', .major = (int)major(st.st_rdev),
				     .minor = (int)minor(st.st_rdev), .access = access_of(w.p[1]) };
	d.node_minor = minor(st.st_rdev);
	if (strchr(w.p[1], '*') != NULL)
		d.rule.minor = CG_DEVICE_ANY;
	d.mode = d.host_mode = st.st_mode & 0777;
	d.uid = d.host_uid = st.st_uid;
	d.gid = d.host_gid = st.st_gid;
	r = read_owner(&w, &d, err);
	if (r == 0)
		*ret = d;
	return r;
}

/* "preset NAME" -> its entries, by container.device_presets: `name: /dev/a rw, /dev/b rw; ...` */
static int preset_add(const struct ct *ct, const char *name, struct strv *ret, struct err *err)
{
	autostrv struct strv items = {};
	union value presets = {}, one = {};
	const char *text;
	int r;

	if (type_strmap.parse(ct->e->conf->container_device_presets, &presets) < 0)
		return err_sys(err, ENOMEM, "devices");
	text = pairs_get(&presets.m, name);
	r = text == NULL ? err_set(err, ERR_InvalidValue, "devices: no preset %.100s in container.device_presets", name)
			 : strv_split(text, ',', &items);
	type_strmap.release(&presets);
	for (size_t i = 0; r == 0 && i < items.n; i++) {
		if (type_devices.parse(items.p[i], &one) < 0 || one.v.n != 1 || strncmp(one.v.p[0], "preset ", 7) == 0)
			r = err_set(err, ERR_InvalidValue, "devices: preset %.100s: '%.200s': expected a device and its access", name, items.p[i]);
		else
			r = strv_add(ret, one.v.p[0]);
		type_devices.release(&one);
		one = (union value){};
	}
	return r;
}

/* With presets as what they stand for. */
static int expand(const struct ct *ct, const struct strv *entries, struct strv *ret, struct err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < entries->n; i++)
		r = strncmp(entries->p[i], "preset ", 7) == 0 ? preset_add(ct, entries->p[i] + 7, ret, err)
							      : strv_add(ret, entries->p[i]);
	return r == -ENOMEM ? err_sys(err, ENOMEM, "devices") : r;
}

static int add_entries(const struct ct *ct, const struct strv *entries, bool lenient, struct device_set *set, struct err *err)
{
	autostrv struct strv all = {};
	int r = expand(ct, entries, &all, err);

	for (size_t i = 0; r == 0 && i < all.n; i++) {
		struct device d;

		r = entry_read(all.p[i], &d, err);
		if (r == 0 && put(set, &d) < 0)
			r = err_set(err, ERR_InvalidValue, "devices: more than %d", CG_DEVICES_MAX);
		if (r > 0 || lenient)
			r = 0;
	}
	return r;
}

/* ---- all of a container ---- */

/* What is about to be the value of one container. */
struct planned {
	const struct ct *ct;
	const struct strv *entries;
	bool is_explicit;
};

static const struct strv *entries_of(const struct ct *ct, const struct planned *p)
{
	return p != NULL && p->ct == ct ? p->entries : &ct->val[PROP_devices].v;
}

static bool is_explicit(const struct ct *ct, const struct planned *p)
{
	return p != NULL && p->ct == ct ? p->is_explicit : ct->val[PROP_devices_explicit].b;
}

static int add_default(const struct ct *ct, struct device_set *set, struct err *err)
{
	union value extra = {};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(default_rules); i++) {
		struct device d = { .rule = default_rules[i] };

		r = put(set, &d);
	}
	if (r < 0 || type_devices.parse(ct->e->conf->container_extra_devices, &extra) < 0)
		return err_sys(err, ENOMEM, "devices");
	/* a device of the configuration that this host lacks keeps nobody from starting */
	r = add_entries(ct, &extra.v, true, set, err);
	type_devices.release(&extra);
	return r;
}

static int add_fuse(const struct ct *ct, struct device_set *set, struct err *err)
{
	autostrv struct strv entry = {};
	int r = strv_add(&entry, FUSE_ENTRY);

	return r < 0 ? err_sys(err, -r, "enable_fuse") : add_entries(ct, &entry, true, set, err);
}

static int effective(const struct ct *ct, const struct planned *p, struct device_set *ret, struct err *err)
{
	int r = 0;

	*ret = (struct device_set){};
	if (ct_is_root(ct) || ct->val[PROP_virt_mode].u == VIRT_HOST) {
		ret->all = true;
		return 0;
	}
	if (ct->level > 1 && !is_explicit(ct, p))
		r = effective(ct->parent, p, ret, err);
	if (r == 0 && (ct->level == 1 || is_explicit(ct, p) || ret->all)) {
		ret->all = false;
		r = add_default(ct, ret, err);
	}
	if (r == 0 && ct->val[PROP_enable_fuse].b)
		r = add_fuse(ct, ret, err);
	if (r == 0)
		r = add_entries(ct, entries_of(ct, p), false, ret, err);
	if (r < 0)
		device_set_done(ret);
	return r;
}

int devices_effective(struct ct *ct, struct device_set *ret, struct err *err)
{
	return effective(ct, NULL, ret, err);
}

static bool holds(const struct device_set *set, const struct cg_device *rule)
{
	if (set->all)
		return true;
	for (size_t i = 0; i < set->n; i++) {
		const struct cg_device *has = &set->d[i].rule;

		if (has->type == rule->type && has->major == rule->major && (has->minor == CG_DEVICE_ANY || has->minor == rule->minor) &&
		    (rule->access & ~has->access) == 0)
			return true;
	}
	return false;
}

/* ---- to the kernel ---- */

static bool has_own(const struct ct *ct, const struct planned *p)
{
	return ct->level == 1 || ct->val[PROP_enable_fuse].b || entries_of(ct, p)->n > 0 || is_explicit(ct, p) || (ct->cg.own & CG_BIT(CG_DEVICES));
}

static int set_rules(const struct ct *ct, const struct device_set *set, struct err *err)
{
	struct cg_device *rules = reallocarray(NULL, set->n + 1, sizeof(*rules));
	int r;

	if (rules == NULL)
		return err_sys(err, ENOMEM, "devices");
	memset(rules, 0, (set->n + 1) * sizeof(*rules)); /* they are compared as they lie */
	for (size_t i = 0; i < set->n; i++) {
		rules[i].type = set->d[i].rule.type;
		rules[i].major = set->d[i].rule.major;
		rules[i].minor = set->d[i].rule.minor;
		rules[i].access = set->d[i].rule.access;
	}
	r = cg_devices_set(ct->e->cgroups, &ct->cg, rules, set->n);
	free(rules);
	return r < 0 ? err_sys(err, -r, "devices") : 0;
}

static int push(struct ct *ct, const struct planned *p, struct err *err)
{
	autodevices struct device_set set = {};
	int r;

	if (!ct->has_cg || ct->val[PROP_virt_mode].u == VIRT_HOST)
		return 0;
	if (!has_own(ct, p)) {
		if (ct->state != CT_STARTING)
			(void)cg_devices_clear(ct->e->cgroups, &ct->cg);
		return 0;
	}
	if (cg_devices_by_v1(ct->e->cgroups) && !(ct->cg.own & CG_BIT(CG_DEVICES)))
		return err_set(err, ERR_NotSupported, "devices: container %s was started without a devices cgroup of its own: stop it and set this "
			       "then", ct->name);
	r = effective(ct, p, &set, err);
	return r < 0 ? r : set_rules(ct, &set, err);
}

/* Nodes in roots of their own: those that have come are made, those that have gone removed. */
static int push_nodes(struct ct *ct, const struct planned *p, struct err *err)
{
	autodevices struct device_set old = {}, new = {};
	int r;

	if (!ct_is_alive(ct) || !ct_has_root(ct))
		return 0;
	r = effective(ct, p, &new, err);
	if (r == 0)
		(void)effective(ct, NULL, &old, NULL);
	return r < 0 ? r : device_nodes_change(ct, &old, &new, err);
}

/* This container and all below it that run. */
static int push_all(struct ct *ct, const struct planned *p, struct err *err)
{
	int r = push(ct, p, err);

	if (ct->state == CT_STARTING)
		return r;
	if (r == 0)
		r = push_nodes(ct, p, err);
	for (struct ct *it = ct_next(ct, NULL); r == 0 && it != NULL; it = ct_next(ct, it))
		if (ct_has_resources(it)) {
			r = push(it, p, err);
			if (r == 0)
				r = push_nodes(it, p, err);
		}
	return r;
}

int apply_devices(struct ct *ct, const union value *v, struct err *err)
{
	struct planned p = { ct, &v->v, ct->val[PROP_devices_explicit].b };

	/* where nothing can forbid devices nothing was asked for either: check_devices */
	return cg_devices_lacks(ct->e->cgroups) != NULL ? 0 : push_all(ct, &p, err);
}

int apply_devices_explicit(struct ct *ct, const union value *v, struct err *err)
{
	struct planned p = { ct, &ct->val[PROP_devices].v, v->b };

	/* at the start apply_devices has done it */
	return ct->state == CT_STARTING || cg_devices_lacks(ct->e->cgroups) != NULL ? 0 : push_all(ct, &p, err);
}

unsigned devices_controllers(const struct ct *ct)
{
	bool asked = ct->level == 1 || prop_is_set(ct, PROP_devices) || prop_is_set(ct, PROP_devices_explicit) ||
		     ct->val[PROP_enable_fuse].b;

	return asked && cg_devices_by_v1(ct->e->cgroups) ? CG_BIT(CG_DEVICES) : 0;
}

/* ---- what may be asked for ---- */

static bool user_may(const struct device *d, const struct engine_cred *who)
{
	unsigned shift = who->uid == d->host_uid ? 6 : who->gid == d->host_gid || cred_in_group(who->uid, d->host_gid) ? 3 : 0;
	unsigned bits = (unsigned)d->host_mode >> shift;

	return (!(d->rule.access & CG_DEVICE_READ) || bits & 4) && (!(d->rule.access & CG_DEVICE_WRITE) || bits & 2);
}

static int check_rights(const struct change *c, const struct device *d)
{
	const char *path = d->source;

	if (c->who->uid == 0 || d->off)
		return 0;
	if (d->rule.minor == CG_DEVICE_ANY)
		return err_set(c->err, ERR_Permission, "devices: %s: only root gives all devices of a kind", path);
	if (!user_may(d, c->who))
		return err_set(c->err, ERR_Permission, "devices: %s: user %u may not use it on the host%s", path, (unsigned)c->who->uid,
			       strcmp(path, "/dev/fuse") == 0 ? ": see enable_fuse" : "");
	if (c->who->uid != d->host_uid && ((d->mode & ~d->host_mode) != 0 || d->uid != d->host_uid || d->gid != d->host_gid))
		return err_set(c->err, ERR_Permission, "devices: %s: only its owner or root gives it another owner or a wider mode", path);
	return 0;
}

/* Nobody knows yet whose it will be. One that was asked for before stays: root may have. */
static int check_missing(const struct change *c, const char *entry)
{
	autostrv struct strv before = {};

	if (c->who->uid == 0 || strstr(entry, " -") != NULL)
		return 0;
	(void)expand(c->ct, &c->ct->val[PROP_devices].v, &before, NULL);
	for (size_t i = 0; i < before.n; i++)
		if (strcmp(before.p[i], entry) == 0)
			return 0;
	return err_set(c->err, ERR_Permission, "devices: %.200s: it is missing, and only root may ask for what is to come", entry);
}

/* Each entry by itself; those that were there before were looked at then. */
static int check_entries(const struct change *c, const struct strv *entries, const struct device_set *parent)
{
	autostrv struct strv all = {};
	int r = expand(c->ct, entries, &all, c->err);

	for (size_t i = 0; r == 0 && i < all.n; i++) {
		struct device d = {};

		r = entry_read(all.p[i], &d, c->err);
		if (r > 0) {
			r = check_missing(c, all.p[i]);
			continue;
		}
		if (r == 0 && !d.off && !holds(parent, &d.rule))
			r = err_set(c->err, ERR_Permission, "devices: %s: container %s above has not got that", d.source, c->ct->parent->name);
		if (r == 0)
			r = check_rights(c, &d);
	}
	return r;
}

/* Everything that runs below keeps what it asked for itself. */
static int check_children(const struct change *c, const struct planned *p)
{
	int r = 0;

	for (struct ct *it = ct_next(c->ct, NULL); r == 0 && it != NULL; it = ct_next(c->ct, it)) {
		autodevices struct device_set parent = {}, own = {};

		if (!ct_has_resources(it) || it->state == CT_DEAD || it->val[PROP_devices].v.n == 0)
			continue;
		r = effective(it->parent, p, &parent, c->err);
		if (r == 0)
			r = add_entries(it, &it->val[PROP_devices].v, true, &own, c->err);
		for (size_t i = 0; r == 0 && i < own.n; i++)
			if (!holds(&parent, &own.d[i].rule))
				r = err_set(c->err, ERR_InvalidState, "devices: container %s, which runs, has %s", it->name, own.d[i].source);
	}
	return r;
}

static int check_supported(const struct change *c)
{
	const char *why = cg_devices_lacks(c->ct->e->cgroups);

	return why != NULL ? err_set(c->err, ERR_NotSupported, "%s: %s", props[c->prop].name, why) : 0;
}

int check_devices(struct change *c)
{
	struct planned p = { c->ct, &c->value->v, c->ct->val[PROP_devices_explicit].b };
	autodevices struct device_set parent = {}, mine = {};
	int r = check_supported(c);

	if (r == 0)
		r = effective(c->ct->parent, NULL, &parent, c->err);
	if (r == 0)
		r = check_entries(c, &c->value->v, &parent);
	if (r == 0)
		r = effective(c->ct, &p, &mine, c->err);
	return r < 0 ? r : check_children(c, &p);
}

int check_devices_explicit(struct change *c)
{
	struct planned p = { c->ct, &c->ct->val[PROP_devices].v, c->value->b };
	int r = check_supported(c);

	return r < 0 ? r : check_children(c, &p);
}

/* What a container above has not got it can't have, whatever is allowed for it. */
static int check_fuse(const struct ct *ct, struct err *err)
{
	autodevices struct device_set parent = {}, own = {};
	int r = effective(ct->parent, NULL, &parent, err);

	if (r == 0)
		r = add_fuse(ct, &own, err);
	if (r == 0 && own.n > 0 && !holds(&parent, &own.d[0].rule))
		r = err_set(err, ERR_Permission, "enable_fuse: container %s above has not got /dev/fuse: give it with devices", ct->parent->name);
	return r;
}

int devices_check_start(const struct ct *ct, struct err *err)
{
	bool asked = ct->val[PROP_devices].v.n > 0 || ct->val[PROP_devices_explicit].b;

	if (ct->val[PROP_enable_fuse].b && cg_devices_lacks(ct->e->cgroups) == NULL) {
		int r = check_fuse(ct, err);

		if (r < 0)
			return r;
	}

	if (asked && ct->val[PROP_virt_mode].u == VIRT_JOB)
		return err_set(err, ERR_InvalidValue, "devices: virt_mode job lives in its parent's cgroups and has the parent's devices");
	return 0;
}

/* ---- as text ---- */

int devices_ops(struct ct *ct, struct text *ops, struct err *err)
{
	autodevices struct device_set set = {};
	int r = effective(ct, NULL, &set, err);

	for (size_t i = 0; r == 0 && i < set.n; i++)
		if (set.d[i].source[0] != '\0')
			device_op(&set.d[i], ops);
	return r;
}

/* With what an entry leaves to the host filled in; as it was written when the device is missing. */
int read_devices(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	const struct strv *v = &ct->val[PROP_devices].v;
	int r;

	if (key != NULL) {
		r = type_devices.get_key(&ct->val[PROP_devices], key, out);
		return r < 0 ? err_set_no(err, ERR_InvalidValue, r == -ENODATA ? ENODATA : EINVAL, "devices[%.100s]: not set", key) : 0;
	}
	for (size_t i = 0; i < v->n; i++) {
		size_t at = strcspn(v->p[i], " ");
		struct device d;

		if (strncmp(v->p[i], "preset ", 7) == 0 || entry_read(v->p[i], &d, NULL) != 0) {
			text_addf(out, "%s; ", v->p[i]);
			continue;
		}
		text_addn(out, v->p[i], at + 1 + strcspn(v->p[i] + at + 1, " "));
		text_addf(out, " %s %#04o ", d.path, (unsigned)d.mode);
		cred_user_name(d.uid, out);
		text_addc(out, ' ');
		cred_group_name(d.gid, out);
		text_add(out, "; ");
	}
	return text_ok(out);
}
