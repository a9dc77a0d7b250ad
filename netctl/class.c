/*
 * Which owners have classes on the host's devices, and which number each. An owner without rates shares the class of
 * the nearest one above that has some. One that is nested deeper than HTB goes can have none: that is refused.
 */
#include "netctl/htb.h"

/* ---- owners ---- */

struct net_class *class_find(const struct net_classes *c, uint32_t id)
{
	for (size_t i = 0; id && i < c->class_count; i++)
		if (c->classes[i].id == id)
			return &c->classes[i];
	return NULL;
}

const struct net_class *class_above(const struct net_classes *c, const struct net_class *e)
{
	for (size_t steps = 0; steps <= c->class_count; steps++) {
		e = class_find(c, e->parent);
		if (!e || e->number)
			return e;
	}
	return NULL; /* a ring */
}

unsigned class_depth(const struct net_classes *c, const struct net_class *e)
{
	unsigned d = 0;

	for (; e && d <= CLASS_DEPTH_MAX; e = class_above(c, e))
		d++;
	return d;
}

static uint32_t classid_of(uint32_t major, const struct net_classes *c, const struct net_class *e)
{
	if (e && !e->number)
		e = class_above(c, e);
	return e ? major | (uint32_t)e->number << 4 | CLASS_PACKETS : 0;
}

static bool any_rate(const struct net_rates *rates)
{
	for (size_t i = 0; i < rates->n; i++)
		if (rates->p[i].rate)
			return true;
	return false;
}

static bool has_rates(const struct net_limits *l)
{
	return any_rate(&l->tx) || any_rate(&l->guarantee);
}

static void rates_done(struct net_rates *rates)
{
	for (size_t i = 0; i < rates->n; i++)
		free((char *)rates->p[i].key);
	free((struct net_rate *)rates->p);
	*rates = (struct net_rates){};
}

static void limits_done(struct net_limits *l)
{
	rates_done(&l->tx);
	rates_done(&l->guarantee);
}

static int rates_copy(struct net_rates *to, const struct net_rates *from)
{
	struct net_rate *p = calloc(from->n + 1, sizeof(*p));
	int r = 0;

	*to = (struct net_rates){ .p = p };
	for (size_t i = 0; p && i < from->n && r == 0; i++) {
		p[i] = (struct net_rate){ .key = strdup(from->p[i].key), .rate = from->p[i].rate };
		r = p[i].key ? 0 : -ENOMEM;
		to->n += r == 0;
	}
	return p ? r : -ENOMEM;
}

static bool rates_equal(const struct net_rates *a, const struct net_rates *b)
{
	for (size_t i = 0; a->n == b->n && i < a->n; i++)
		if (a->p[i].rate != b->p[i].rate || strcmp(a->p[i].key, b->p[i].key) != 0)
			return false;
	return a->n == b->n;
}

static int limits_copy(struct net_limits *to, const struct net_limits *from)
{
	int r;

	*to = (struct net_limits){ .tos = from->tos };
	r = rates_copy(&to->tx, &from->tx);
	if (r == 0)
		r = rates_copy(&to->guarantee, &from->guarantee);
	if (r < 0)
		limits_done(to);
	return r;
}

static bool number_is_free(struct net_classes *c, uint32_t major, uint32_t number)
{
	for (size_t i = 0; i < c->class_count; i++)
		if (c->classes[i].number == number)
			return false;
	return !cgroup_class_taken(c, major | number << 4 | CLASS_PACKETS);
}

/* What it had before a restart, so that the tree need not change; else a free one. 0: there is none. */
static uint16_t number_take(struct net_classes *c, uint32_t major, uint32_t id)
{
	uint32_t before = cgroup_class_before(c, id), number = (before & 0xffff) >> 4;
	bool taken = false;

	for (size_t i = 0; i < c->class_count; i++)
		taken |= c->classes[i].number == number;
	if (number && !taken && (before & 0xffff0000u) == major && (before & 0xf) == CLASS_PACKETS)
		return (uint16_t)number;
	for (number = 1; number <= CLASS_NUMBER_MAX; number++)
		if (number_is_free(c, major, number))
			return (uint16_t)number;
	return 0;
}

/* ---- what the engine asks ---- */

int class_check(struct netctl *n, const char *what, struct err *err)
{
	struct net_classes *c = classes_get(n);

	if (!n->can.htb)
		return err_set(err, ERR_NotSupported, "%s on devices of the host needs sch_htb", what);
	if (!c || c->ids < 0)
		return err_set(err, ERR_NotSupported, "%s on devices of the host needs cgroup2 BPF", what);
	return 0;
}

/* Classes of all whose class may follow from this owner's. */
static void tell_cgroups(struct net_classes *c, uint32_t major)
{
	for (size_t i = 0; i < c->class_count; i++)
		cgroup_class(c, c->classes[i].id, classid_of(major, c, &c->classes[i]));
}

/* The owner's entry, made if it has none; NULL: no memory. */
static struct net_class *entry(struct net_classes *c, uint32_t id)
{
	struct net_class *e = class_find(c, id), *p;

	if (e)
		return e;
	if (c->class_count == c->class_room) {
		size_t room = c->class_room ? 2 * c->class_room : 16;
		p = reallocarray(c->classes, room, sizeof(*p));
		if (!p)
			return NULL;
		c->classes = p;
		c->class_room = room;
	}
	c->classes[c->class_count] = (struct net_class){ .id = id };
	return &c->classes[c->class_count++];
}

static bool has_children(const struct net_classes *c, uint32_t id)
{
	for (size_t i = 0; i < c->class_count; i++)
		if (c->classes[i].parent == id)
			return true;
	return false;
}

/* Are there classes of owners below it? */
static bool has_classes_below(const struct net_classes *c, uint32_t id)
{
	for (size_t i = 0; i < c->class_count; i++) {
		const struct net_class *e = &c->classes[i];
		for (size_t steps = 0; e && c->classes[i].number && steps <= c->class_count; steps++) {
			if (e->parent == id)
				return true;
			e = class_find(c, e->parent);
		}
	}
	return false;
}

static void entry_remove(struct net_classes *c, struct net_class *e)
{
	limits_done(&e->limits);
	*e = c->classes[--c->class_count];
}

/* Is there one with more above it than HTB has levels? */
static bool too_deep(const struct net_classes *c)
{
	for (size_t i = 0; i < c->class_count; i++)
		if (c->classes[i].number && class_depth(c, &c->classes[i]) > CLASS_DEPTH_MAX)
			return true;
	return false;
}

/* The entry as it shall be. Its number is left to see whether the tree has place. */
static int entry_set(struct tree *t, struct net_class *e, uint32_t parent, struct net_limits *limits,
		     struct change *change)
{
	struct net_classes *c = t->c;
	uint16_t before = e->number;
	bool moved = e->parent != parent;

	e->parent = parent;
	e->limits = *limits;
	*limits = (struct net_limits){};
	e->number = 0;
	if (has_rates(&e->limits)) {
		e->number = before ? before : number_take(c, t->major, e->id);
		if (!e->number)
			return err_set(t->err, ERR_ResourceNotAvailable, "no class is left: %u owners have rates",
				       CLASS_NUMBER_MAX);
	}
	if (too_deep(c))
		return err_set(t->err, ERR_NotSupported,
			       "net_limit and net_guarantee on devices of the host: HTB has room for %u containers with them inside one another",
			       CLASS_DEPTH_MAX);
	*change = (struct change){ .put = e, .del = before && !e->number ? before : 0 };
	change->shape = (moved && before) || (!e->number != !before && has_classes_below(c, e->id));
	return 0;
}

static int apply(struct tree *t, uint32_t id, uint32_t parent, struct net_limits *limits)
{
	struct net_class *e = entry(t->c, id), before;
	bool none = !has_rates(limits) && parent == 0, touched;
	struct change change;
	int r;

	if (!e)
		return err_sys(t->err, ENOMEM, "classes");
	before = *e;
	r = entry_set(t, e, parent, limits, &change);
	touched = r == 0;
	if (r == 0 && change.del) /* before its class is gone */
		tell_cgroups(t->c, t->major);
	if (r == 0)
		r = tree_sync(t, &change);
	if (r < 0) { /* as it was */
		struct change back = { .shape = true };
		limits_done(&e->limits);
		*e = before;
		t->err = NULL;
		if (touched && tree_roots(t) == 0)
			tree_sync(t, &back);
		if (!before.number && !before.parent)
			entry_remove(t->c, e);
		return r;
	}
	limits_done(&before.limits);
	tell_cgroups(t->c, t->major);
	if (none && !has_children(t->c, id)) {
		cgroup_class(t->c, id, 0);
		entry_remove(t->c, e);
	}
	return 0;
}

/*
 * Without a device being asked: what has not changed; and an owner without rates, before and after, which follows the one above:
 * trees have nothing of it. What starts below an owner with rates is mostly such a one, and there may be very many. 1: done.
 */
static int follow(struct netctl *n, uint32_t id, uint32_t parent, const struct net_limits *limits, struct err *err)
{
	struct net_classes *c = classes_get(n);
	struct net_class *e = class_find(c, id);

	/* A start sets each of its properties, with all of them known at the first. */
	if (e && e->number && e->parent == parent && e->limits.tos == limits->tos && rates_equal(&e->limits.tx, &limits->tx) &&
	    rates_equal(&e->limits.guarantee, &limits->guarantee))
		return 1;
	if (has_rates(limits) || (e && (e->number || (e->parent != parent && has_classes_below(c, id)))))
		return 0;
	if (!e && parent == 0) {
		cgroup_class(c, id, 0); /* of before a restart */
		return 1;
	}
	e = entry(c, id);
	if (!e)
		return err_sys(err, ENOMEM, "classes");
	limits_done(&e->limits);
	e->parent = parent;
	if (has_children(c, id))
		tell_cgroups(c, tree_major(n->tag));
	else
		cgroup_class(c, id, classid_of(tree_major(n->tag), c, e));
	if (parent == 0 && !has_children(c, id))
		entry_remove(c, e);
	return 1;
}

int net_class_apply(struct netctl *n, uint32_t id, uint32_t parent, const struct net_limits *limits, struct err *err)
{
	struct net_classes *c = classes_get(n);
	struct net_limits copy;
	struct tree t;
	int r = 0;

	if (!c || id == 0)
		return err_sys(err, c ? EINVAL : ENOMEM, "classes");
	if (has_rates(limits))
		r = class_check(n, any_rate(&limits->tx) ? "net_limit" : "net_guarantee", err);
	if (r < 0)
		return r;
	pthread_mutex_lock(&c->tree);
	if (has_rates(limits) || parent || class_find(c, id) || cgroup_class_before(c, id)) {
		r = follow(n, id, parent, limits, err);
		if (r == 0 && limits_copy(&copy, limits) < 0)
			r = err_sys(err, ENOMEM, "classes");
		if (r == 0)
			r = tree_init(&t, n, err);
		if (r == 0) {
			r = apply(&t, id, parent, &copy);
			tree_done(&t);
			limits_done(&copy);
		}
	}
	pthread_mutex_unlock(&c->tree);
	return MIN(r, 0);
}

uint32_t net_class_id(struct netctl *n, uint32_t id)
{
	struct net_classes *c = classes_get(n);
	const struct net_class *e;
	uint32_t classid = 0;

	if (!c)
		return 0;
	pthread_mutex_lock(&c->tree);
	e = class_find(c, id);
	if (e)
		classid = classid_of(tree_major(n->tag), c, e);
	pthread_mutex_unlock(&c->tree);
	return classid;
}

void class_drop(struct netctl *n, uint32_t id)
{
	struct net_limits none = {};

	net_class_apply(n, id, 0, &none, NULL);
}

int class_of_links(struct netctl *n, uint32_t id, uint64_t rate, uint64_t guarantee, struct err *err)
{
	const struct net_rate tx = { "default", rate }, least = { "default", guarantee };
	struct net_limits limits = { .tx = { &tx, 1 }, .guarantee = { &least, 1 } };

	return net_class_apply(n, id, 0, &limits, err);
}

void class_tree_done(struct net_classes *c)
{
	for (size_t i = 0; i < c->class_count; i++)
		limits_done(&c->classes[i].limits);
	free(c->classes);
	c->classes = NULL;
	c->class_count = c->class_room = 0;
}
