/*
 * Classes on the host's devices. Each owner with rates has two on every device: one that carries the rates and may have
 * others below, and in it the one that holds its packets, because a class with children holds none. The cgroup program
 * writes the second one's number into each packet. All are in one tree:
 *
 *     root HTB, major from the tag      :1 the device's speed      :8 everybody else
 *     :n0 rates of owner n, below :1 or below :m0 of the owner above
 *     :n8 its packets
 *
 * Where a device has no HTB, pfifo_fast takes the last four bits of the number for a priority: 8 is the usual one.
 */
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include "netctl/htb.h"

#define MINOR_TOP   1u
#define SPEED_ANY   UINT64_C(125000000000) /* bytes a second of a device without a speed: never holds up anything */
#define FLOOR_PART  1000u		   /* of the speed is everybody's */
#define FRAME       1514u
#define QUANTUM_MAX 60000u
#define QUEUE       1000u
#define TICK_NS     64u
#define SPLIT_RATE  UINT64_C(12500000)

/* ---- messages ---- */

static void flush(struct tree *t)
{
	int r = nl_run(&t->host, &t->b, t->r == 0 ? t->err : NULL);

	/* A device that went away needs none. */
	if (t->r == 0 && r != -ENODEV)
		t->r = r;
}

uint32_t tree_major(const char *tag)
{
	uint32_t hash = 2166136261u;

	for (; tag && *tag; tag++)
		hash = (hash ^ (unsigned char)*tag) * 16777619u;
	return (0x5000u | ((hash ^ hash >> 12) & 0xfffu)) << 16;
}

static uint32_t ticks(uint64_t bytes, uint64_t rate)
{
	__uint128_t t = (__uint128_t)bytes * 1000000000u / rate / TICK_NS;

	return t > UINT32_MAX ? UINT32_MAX : MAX((uint32_t)t, 1u);
}

static void class_put(struct tree *t, const struct net_hostdev *d, uint32_t classid, uint32_t parent, uint64_t rate,
		      uint64_t ceil)
{
	struct tcmsg tc = { .tcm_ifindex = d->ifindex, .tcm_parent = parent, .tcm_handle = classid };
	struct nl_msg *msg =
		nl_add(&t->b, RTM_NEWTCLASS, NLM_F_CREATE | NLM_F_REPLACE, &tc, sizeof(tc), "class on %s", d->name);
	struct tc_htb_opt opt = {};
	struct nlattr *options;

	rate = MAX(MIN(rate, ceil), UINT64_C(1));
	ceil = MAX(ceil, UINT64_C(1));
	opt.rate.linklayer = opt.ceil.linklayer = TC_LINKLAYER_ETHERNET;
	opt.rate.rate = (uint32_t)MIN(rate, (uint64_t)UINT32_MAX);
	opt.ceil.rate = (uint32_t)MIN(ceil, (uint64_t)UINT32_MAX);
	opt.buffer = ticks(shape_burst(rate, d->mtu), rate);
	opt.cbuffer = ticks(shape_burst(ceil, d->mtu), ceil);
	opt.quantum = (uint32_t)MAX(MIN(rate / FLOOR_PART, (uint64_t)QUANTUM_MAX), (uint64_t)FRAME);
	nla_put_string(msg, TCA_KIND, "htb");
	options = nla_nest_start(msg, TCA_OPTIONS);
	nla_put(msg, TCA_HTB_PARMS, sizeof(opt), &opt);
	nla_put_u64(msg, TCA_HTB_RATE64, rate);
	nla_put_u64(msg, TCA_HTB_CEIL64, ceil);
	nla_nest_end(msg, options);
}

/* HTB passes a packet that is cut later in one piece and then waits long, where the rate is low: a TBF below it, far
 * above the rate, only cuts. */
static void queue_put(struct tree *t, const struct net_hostdev *d, uint32_t classid, uint64_t ceil)
{
	struct tcmsg tc = { .tcm_ifindex = d->ifindex, .tcm_parent = classid };
	struct tc_fifo_qopt fifo = { .limit = QUEUE };
	struct nl_msg *msg;
	bool fq = t->n->can.fq_codel;

	if (ceil < NET_SHAPE_WHOLE && (ceil == NET_RATE_NOTHING || t->n->can.tbf)) {
		uint64_t rate = ceil == NET_RATE_NOTHING ? ceil : MAX(16 * ceil, SPLIT_RATE);
		shape_add(&t->b, d->ifindex, classid, TC_H_UNSPEC, rate, shape_burst(0, d->mtu),
			  shape_limit(ceil, d->mtu), "queue of a class");
		return;
	}
	msg = nl_add(&t->b, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, &tc, sizeof(tc), "queue of a class on %s",
		     d->name);
	nla_put_string(msg, TCA_KIND, fq ? "fq_codel" : "pfifo");
	if (!fq)
		nla_put(msg, TCA_OPTIONS, sizeof(fifo), &fifo);
}

static uint64_t speed_of(const struct net_hostdev *d)
{
	return d->speed ? d->speed : SPEED_ANY;
}

static void root_put(struct tree *t, const struct net_hostdev *d)
{
	struct tcmsg tc = { .tcm_ifindex = d->ifindex, .tcm_parent = TC_H_ROOT, .tcm_handle = t->major };
	struct tc_htb_glob glob = { .version = 3, .rate2quantum = 10, .defcls = CLASS_PACKETS };
	struct nl_msg *msg =
		nl_add(&t->b, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, &tc, sizeof(tc), "htb on %s", d->name);
	struct nlattr *options;

	nla_put_string(msg, TCA_KIND, "htb");
	options = nla_nest_start(msg, TCA_OPTIONS);
	nla_put(msg, TCA_HTB_INIT, sizeof(glob), &glob);
	nla_nest_end(msg, options);
	class_put(t, d, t->major | MINOR_TOP, t->major, speed_of(d), speed_of(d));
	class_put(t, d, t->major | CLASS_PACKETS, t->major | MINOR_TOP, speed_of(d) / FLOOR_PART, speed_of(d));
	queue_put(t, d, t->major | CLASS_PACKETS, speed_of(d));
}

static void root_del(struct tree *t, int ifindex)
{
	struct tcmsg tc = { .tcm_ifindex = ifindex, .tcm_parent = TC_H_ROOT, .tcm_handle = t->major };

	nl_add(&t->b, RTM_DELQDISC, 0, &tc, sizeof(tc), "removing htb");
	nl_may_fail(&t->b, ENOENT);
}

static void owner_put(struct tree *t, const struct net_hostdev *d, const struct net_class *e)
{
	const struct net_class *up = class_above(t->c, e);
	uint32_t rates = t->major | (uint32_t)e->number << 4;
	uint64_t rate, ceil;
	char group[IFNAMSIZ];

	if (t->b.n + 4 > NL_BATCH_MAX)
		flush(t);
	hostdev_group_name(d->group, group, sizeof(group));
	ceil = net_rate_of(&e->limits.tx, d->name, group, e->limits.tos);
	rate = net_rate_of(&e->limits.guarantee, d->name, group, e->limits.tos);
	ceil = ceil ? ceil : speed_of(d);
	rate = rate ? rate : MAX(speed_of(d) / FLOOR_PART / MAX(t->c->class_count, (size_t)1), (uint64_t)FRAME);
	class_put(t, d, rates, t->major | (up ? (uint32_t)up->number << 4 : MINOR_TOP), rate, ceil);
	class_put(t, d, rates | CLASS_PACKETS, rates, rate, ceil);
	queue_put(t, d, rates | CLASS_PACKETS, ceil);
}

static void one_del(struct tree *t, int ifindex, uint32_t classid)
{
	struct tcmsg tc = { .tcm_ifindex = ifindex, .tcm_handle = classid };

	if (t->b.n + 2 > NL_BATCH_MAX)
		flush(t);
	nl_add(&t->b, RTM_DELTCLASS, 0, &tc, sizeof(tc), "removing a class");
	nl_may_fail(&t->b, ENOENT);
}

static void owner_del(struct tree *t, const struct net_hostdev *d, uint32_t number)
{
	one_del(t, d->ifindex, t->major | number << 4 | CLASS_PACKETS);
	one_del(t, d->ifindex, t->major | number << 4);
}

/* Parents before children. */
static void all_put(struct tree *t, const struct net_hostdev *d)
{
	for (unsigned level = 1; level <= CLASS_DEPTH_MAX; level++)
		for (size_t i = 0; i < t->c->class_count; i++)
			if (t->c->classes[i].number && class_depth(t->c, &t->c->classes[i]) == level)
				owner_put(t, d, &t->c->classes[i]);
}

/* ---- devices ---- */

static int take_root(void *arg, struct nlmsghdr *h)
{
	const struct tcmsg *tc = nlmsg_data(h);
	struct tree *t = arg;
	struct root *p;

	if (h->nlmsg_type != RTM_NEWQDISC || tc->tcm_parent != TC_H_ROOT)
		return 0;
	p = reallocarray(t->roots, t->root_count + 1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	t->roots = p;
	t->roots[t->root_count++] = (struct root){ tc->tcm_ifindex, tc->tcm_handle };
	return 0;
}

int tree_roots(struct tree *t)
{
	struct tcmsg tc = {};

	t->root_count = 0;
	return nl_list(&t->host, RTM_GETQDISC, &tc, sizeof(tc), take_root, t, t->err);
}

void tree_done(struct tree *t)
{
	nl_batch_done(&t->b);
	nl_done(&t->host);
	free(t->devs);
	free(t->roots);
}

int tree_init(struct tree *t, struct netctl *n, struct err *err)
{
	int r;

	*t = (struct tree){ .n = n, .c = classes_get(n), .err = err, .major = tree_major(n->tag) };
	r = nl_open(&t->host, NETLINK_ROUTE, n->host_ns, err);
	if (r < 0)
		return r;
	r = tree_roots(t);
	if (r == 0)
		r = hostdev_managed(&t->host, &t->devs, err);
	t->dev_count = MAX(r, 0);
	if (r < 0)
		tree_done(t);
	return MIN(r, 0);
}

/* Handle of the device's root qdisc; 0: none that anybody has set. */
static uint32_t root_of(const struct tree *t, int ifindex)
{
	for (size_t i = 0; i < t->root_count; i++)
		if (t->roots[i].ifindex == ifindex)
			return t->roots[i].handle;
	return 0;
}

static bool is_wanted(const struct net_classes *c, const struct net_hostdev *d)
{
	char group[IFNAMSIZ];

	hostdev_group_name(d->group, group, sizeof(group));
	for (size_t i = 0; i < c->class_count; i++) {
		const struct net_class *e = &c->classes[i];
		if (e->number && (net_rate_of(&e->limits.tx, d->name, group, e->limits.tos) ||
				  net_rate_of(&e->limits.guarantee, d->name, group, e->limits.tos)))
			return true;
	}
	return false;
}

static int sync_dev(struct tree *t, const struct net_hostdev *d, const struct change *change)
{
	uint32_t root = root_of(t, d->ifindex);

	if (!is_wanted(t->c, d)) {
		if (root == t->major)
			root_del(t, d->ifindex);
		return 0;
	}
	if (root != 0 && root != t->major)
		return err_set(t->err, ERR_Busy,
			       "%s has a queueing discipline of somebody else's (%x:), classes can't be put on it",
			       d->name, root >> 16);
	if (root == t->major && !change->shape) {
		if (change->put && change->put->number)
			owner_put(t, d, change->put);
		if (change->del)
			owner_del(t, d, change->del);
		return 0;
	}
	if (root == t->major)
		root_del(t, d->ifindex);
	root_put(t, d);
	all_put(t, d);
	return 0;
}

int tree_sync(struct tree *t, const struct change *change)
{
	int r = 0;

	for (int i = 0; i < t->dev_count && r == 0; i++) {
		r = sync_dev(t, &t->devs[i], change);
		flush(t);
	}
	return r < 0 ? r : t->r;
}

/* ---- once a minute ---- */

struct seen {
	struct tree *t;
	const struct net_hostdev *d;
	uint8_t has[CLASS_NUMBER_MAX + 1]; /* bit 0: rates, bit 1: packets */
	struct nl_batch_ids {
		uint32_t p[CLASS_NUMBER_MAX + 1];
		size_t n;
	} strays;
};

static int take_class(void *arg, struct nlmsghdr *h)
{
	const struct tcmsg *tc = nlmsg_data(h);
	struct seen *s = arg;
	uint32_t number = (tc->tcm_handle & 0xffff) >> 4;

	if (h->nlmsg_type != RTM_NEWTCLASS || (tc->tcm_handle & 0xffff0000u) != s->t->major || !number)
		return 0;
	s->has[number] |= tc->tcm_handle & CLASS_PACKETS ? 2 : 1;
	for (size_t i = 0; i < s->t->c->class_count; i++)
		if (s->t->c->classes[i].number == number)
			return 0;
	if (s->strays.n < CLASS_NUMBER_MAX)
		s->strays.p[s->strays.n++] = number;
	return 0;
}

static void repair_dev(struct tree *t, const struct net_hostdev *d, struct seen *s)
{
	struct tcmsg tc = { .tcm_ifindex = d->ifindex };
	struct change rebuild = { .shape = true };
	bool whole = true;

	*s = (struct seen){ .t = t, .d = d };
	if (!is_wanted(t->c, d) || root_of(t, d->ifindex) != t->major) {
		sync_dev(t, d, &rebuild);
		flush(t);
		return;
	}
	if (nl_list(&t->host, RTM_GETTCLASS, &tc, sizeof(tc), take_class, s, NULL) < 0)
		return;
	for (size_t i = 0; i < t->c->class_count; i++)
		whole &= !t->c->classes[i].number || s->has[t->c->classes[i].number] == 3;
	/* Those with others below are refused, and go the next time. */
	for (size_t i = 0; whole && i < s->strays.n; i++) {
		owner_del(t, d, s->strays.p[i]);
		nl_may_fail(&t->b, EBUSY);
	}
	if (!whole)
		sync_dev(t, d, &rebuild);
	flush(t);
}

int class_repair(struct netctl *n, struct err *err)
{
	struct net_classes *c = classes_get(n);
	autofree struct seen *s = malloc(sizeof(*s));
	struct tree t;
	int r;

	if (!c || !s)
		return err_sys(err, ENOMEM, "classes");
	if (!n->can.htb)
		return 0;
	pthread_mutex_lock(&c->tree);
	r = tree_init(&t, n, err);
	for (int i = 0; r == 0 && i < t.dev_count; i++) {
		repair_dev(&t, &t.devs[i], s);
		t.r = 0;
	}
	if (r == 0)
		tree_done(&t);
	pthread_mutex_unlock(&c->tree);
	return r;
}
