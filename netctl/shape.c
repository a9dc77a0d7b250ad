/*
 * Limits of owners with a network of their own. What such an owner receives is queued on the host's end of its pair;
 * what it sends is redirected, as it comes in there, to an ifb of the owner's own and queued on that one: before it
 * counts as received, so that a sender is slowed down and loses nothing. Both are on the host, where the owner's root
 * can't reach them.
 *
 * The ifb's index follows from that of the host's end, so nothing has to be remembered to find it again.
 *
 * Devices without an end on the host: for macvlan and ipvlan what their owner's cgroups send gets a class on the host's
 * devices (htb.c), which the packets keep on their way down; what they receive can't be held up from outside, and a
 * stolen device can't be limited at all. A queue inside would be enforced only against those who leave it alone, so
 * there is none: it is refused.
 */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>

#include "netctl/classes.h"

#define IFB_BASE    0x40000000 /* far above what the kernel gives by itself */
#define HANDLE_TBF  TC_H_MAKE(0x10000u, 0)
#define MAJOR       0xffff0000u
#define FRAME_EXTRA 18u /* header and a VLAN tag, above the MTU */
#define SIZE_MAX_   (16u << 20)
#define BURST_PART  100u /* of a second */
#define LIMIT_PART  10u
#define ETHER_MTU   1500u

/* ---- one rate ---- */

uint32_t shape_burst(uint64_t rate, uint32_t mtu)
{
	uint32_t frame = (mtu ? mtu : ETHER_MTU) + FRAME_EXTRA;

	return (uint32_t)MAX(MIN(rate / BURST_PART, (uint64_t)SIZE_MAX_), (uint64_t)2 * frame);
}

uint32_t shape_limit(uint64_t rate, uint32_t mtu)
{
	uint32_t frame = (mtu ? mtu : ETHER_MTU) + FRAME_EXTRA;

	return (uint32_t)MAX(MIN(rate / LIMIT_PART, (uint64_t)SIZE_MAX_), (uint64_t)10 * frame);
}

void shape_add(struct nl_batch *b, int ifindex, uint32_t parent, uint32_t handle, uint64_t rate, uint32_t burst,
	       uint32_t limit, const char *what)
{
	struct tcmsg tc = { .tcm_ifindex = ifindex, .tcm_parent = parent, .tcm_handle = handle };
	struct tc_tbf_qopt opt = { .limit = limit };
	struct nlattr *options;
	struct nl_msg *msg;

	if (rate == NET_RATE_NOTHING) {
		/* The kernel changes the kind of a qdisc only together with its handle. */
		if (handle != TC_H_UNSPEC)
			tc.tcm_handle = handle + TC_H_MAKE(0x10000u, 0);
		msg = nl_add(b, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, &tc, sizeof(tc), "%s", what);
		nla_put_string(msg, TCA_KIND, "blackhole");
		return;
	}
	opt.rate.rate = (uint32_t)MIN(rate, (uint64_t)UINT32_MAX);
	opt.rate.linklayer = TC_LINKLAYER_ETHERNET;
	msg = nl_add(b, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, &tc, sizeof(tc), "%s", what);
	nla_put_string(msg, TCA_KIND, "tbf");
	options = nla_nest_start(msg, TCA_OPTIONS);
	nla_put(msg, TCA_TBF_PARMS, sizeof(opt), &opt);
	nla_put_u32(msg, TCA_TBF_BURST, burst);
	if (rate > UINT32_MAX)
		nla_put_u64(msg, TCA_TBF_RATE64, rate);
	nla_nest_end(msg, options);
}

static void root_add(struct nl_batch *b, int ifindex, uint64_t rate, uint32_t mtu, const char *what)
{
	shape_add(b, ifindex, TC_H_ROOT, HANDLE_TBF, rate, shape_burst(rate, mtu), shape_limit(rate, mtu), what);
}

static void root_del(struct nl_batch *b, int ifindex)
{
	struct tcmsg tc = { .tcm_ifindex = ifindex, .tcm_parent = TC_H_ROOT };

	nl_add(b, RTM_DELQDISC, 0, &tc, sizeof(tc), "removing the limit");
	nl_may_fail(b, ENOENT);
}

/* ---- what the owner sends ---- */

static int ifb_of(const struct net_link *link)
{
	return IFB_BASE + link->ifindex;
}

/* One that was marked as dying and isn't gone yet is taken back by the same message. */
static void ifb_add(struct nl_batch *b, const struct netctl *n, const struct net_link *link)
{
	struct ifinfomsg ifi = { .ifi_index = ifb_of(link), .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
	struct ifinfomsg there = { .ifi_index = ifb_of(link) };
	char name[IFNAMSIZ], alias[128];
	struct nlattr *info;
	struct nl_msg *msg;

	snprintf(name, sizeof(name), "pifb-%d", link->ifindex);
	snprintf(alias, sizeof(alias), "%s:%u:%s:", n->tag ? n->tag : "", link->id, link->dev);
	msg = nl_add(b, RTM_NEWLINK, NLM_F_CREATE, &ifi, sizeof(ifi), "net_limit: ifb for %s", link->dev);
	nla_put_string(msg, IFLA_IFNAME, name);
	nla_put_u32(msg, IFLA_NUM_TX_QUEUES, 1);
	nla_put_u32(msg, IFLA_NUM_RX_QUEUES, 1);
	nla_put_u32(msg, IFLA_GROUP, NET_GROUP_SHAPE);
	info = nla_nest_start(msg, IFLA_LINKINFO);
	nla_put_string(msg, IFLA_INFO_KIND, "ifb");
	nla_nest_end(msg, info);
	msg = nl_add(b, RTM_NEWLINK, 0, &there, sizeof(there), "net_limit: ifb for %s", link->dev);
	nla_put_u32(msg, IFLA_GROUP, NET_GROUP_SHAPE);
	nla_put_string(msg, IFLA_IFALIAS, alias);
}

/* From now on it is nobody's: taken away by the sweeper with all links of that group. */
static void ifb_drop(struct nl_batch *b, int ifindex)
{
	struct ifinfomsg ifi = { .ifi_index = ifindex };
	struct nl_msg *msg = nl_add(b, RTM_NEWLINK, 0, &ifi, sizeof(ifi), "net_limit: ifb");

	nla_put_u32(msg, IFLA_GROUP, NET_GROUP_DYING);
	nl_may_fail(b, ENODEV);
}

static void clsact_del(struct nl_batch *b, int ifindex)
{
	/* With a handle a missing one would be EINVAL. */
	struct tcmsg tc = { .tcm_ifindex = ifindex, .tcm_parent = TC_H_CLSACT };

	nl_add(b, RTM_DELQDISC, 0, &tc, sizeof(tc), "removing net_limit");
	nl_may_fail(b, ENOENT);
}

static void redirect_options(struct nl_msg *msg, int to)
{
	struct tc_u32_sel sel = { .flags = TC_U32_TERMINAL, .nkeys = 1 };
	char all[sizeof(sel) + sizeof(struct tc_u32_key)] = ""; /* one key, 0/0: everything */
	struct tc_mirred mirred = { .action = TC_ACT_STOLEN, .eaction = TCA_EGRESS_REDIR, .ifindex = (uint32_t)to };
	struct nlattr *options = nla_nest_start(msg, TCA_OPTIONS), *acts, *act, *act_options;

	memcpy(all, &sel, sizeof(sel));
	nla_put(msg, TCA_U32_SEL, sizeof(all), all);
	acts = nla_nest_start(msg, TCA_U32_ACT);
	act = nla_nest_start(msg, 1);
	nla_put_string(msg, TCA_ACT_KIND, "mirred");
	act_options = nla_nest_start(msg, TCA_ACT_OPTIONS);
	nla_put(msg, TCA_MIRRED_PARMS, sizeof(mirred), &mirred);
	nla_nest_end(msg, act_options);
	nla_nest_end(msg, act);
	nla_nest_end(msg, acts);
	nla_nest_end(msg, options);
}

/* All that comes in over the host's end goes to the ifb. What stood there before (after a restart) is replaced. */
static void redirect_add(struct nl_batch *b, const struct net_link *link)
{
	struct tcmsg tc = { .tcm_ifindex = link->ifindex,
			    .tcm_parent = TC_H_CLSACT,
			    .tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0) };
	struct nl_msg *msg = nl_add(b, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, &tc, sizeof(tc),
				    "net_limit: clsact for %s", link->dev);

	nla_put_string(msg, TCA_KIND, "clsact");
	nl_may_fail(b, EEXIST);
	tc.tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS);
	tc.tcm_handle = 0;
	tc.tcm_info = TC_H_MAKE(1u << 16, htons(ETH_P_ALL));
	nl_add(b, RTM_DELTFILTER, 0, &tc, sizeof(tc), "net_limit: old filter of %s", link->dev);
	nl_may_fail(b, ENOENT);
	msg = nl_add(b, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, &tc, sizeof(tc), "net_limit: filter for %s",
		     link->dev);
	nla_put_string(msg, TCA_KIND, "u32");
	redirect_options(msg, ifb_of(link));
}

static void tx_put(struct nl_batch *b, const struct netctl *n, const struct net_link *link, uint64_t rate)
{
	ifb_add(b, n, link);
	root_add(b, ifb_of(link), rate, link->mtu, "net_limit: tbf");
	redirect_add(b, link);
}

static void tx_drop(struct nl_batch *b, const struct net_link *link)
{
	clsact_del(b, link->ifindex);
	ifb_drop(b, ifb_of(link));
}

/* ---- a link ---- */

int shape_check_hostless(const char *dev, bool stolen, uint64_t tx, uint64_t rx, struct err *err)
{
	if (stolen && (tx || rx))
		return err_set(err, ERR_NotSupported, "%s: %s is not the host's any more, so the host can't limit it",
			       tx ? "net_limit" : "net_rx_limit", dev);
	if (rx)
		return err_set(err, ERR_NotSupported,
			       "net_rx_limit: %s has no end on the host, where it could be held up", dev);
	return 0;
}

static int hostless(struct netctl *n, struct net_link *link, uint64_t tx, uint64_t rx, struct err *err)
{
	int r;

	r = shape_check_hostless(link->dev, link->borrowed, tx, rx, err);
	if (r < 0 || !link->uplink)
		return r;
	r = tx || link->tx_rate ? class_of_links(n, link->id, tx, 0, err) : 0;
	if (r == 0)
		link->tx_rate = tx;
	return r;
}

/* What is missing for a limit, or NULL. */
static const char *lacks(const struct netctl *n, bool tx)
{
	const struct net_can *can = &n->can;

	if (!can->tbf)
		return "sch_tbf";
	if (!tx)
		return NULL;
	return !can->ifb      ? "ifb"
	       : !can->clsact ? "sch_ingress (clsact)"
	       : !can->u32    ? "cls_u32"
	       : !can->mirred ? "act_mirred"
			      : NULL;
}

int shape_check(const struct netctl *n, uint64_t tx, uint64_t rx, struct err *err)
{
	const char *what = tx ? lacks(n, true) : rx ? lacks(n, false) : NULL;

	return what ? err_set(err, ERR_NotSupported, "%s needs %s", tx ? "net_limit" : "net_rx_limit", what) : 0;
}

/* Messages that bring the link from what it has to these rates. force: whatever it has. */
static void rates_put(struct nl_batch *b, const struct netctl *n, const struct net_link *link, uint64_t tx, uint64_t rx,
		      bool force)
{
	if (rx && (force || rx != link->rx_rate))
		root_add(b, link->ifindex, rx, link->mtu, "net_rx_limit: tbf");
	else if (!rx && link->rx_rate)
		root_del(b, link->ifindex);
	if (tx && (force || !link->ifb))
		tx_put(b, n, link, tx);
	else if (tx && tx != link->tx_rate)
		root_add(b, ifb_of(link), tx, link->mtu, "net_limit: tbf");
	else if (!tx && link->ifb)
		tx_drop(b, link);
}

int shape_link(struct netctl *n, struct nl *host, struct net_link *link, uint64_t tx, uint64_t rx, struct err *err)
{
	struct nl_batch b = {};
	struct net_link now = *link;
	int r;

	if (link->ifindex == 0)
		return hostless(n, link, tx, rx, err);
	r = shape_check(n, tx, rx, err);
	if (r < 0)
		return r;
	rates_put(&b, n, link, tx, rx, false);
	r = nl_run(host, &b, err);
	now.tx_rate = tx;
	now.rx_rate = rx;
	now.ifb = tx ? ifb_of(link) : 0;
	if (r < 0) { /* as it was; what this meets is not worth a word */
		rates_put(&b, n, &now, link->tx_rate, link->rx_rate, true);
		nl_run(host, &b, NULL);
		return r;
	}
	*link = now;
	return 0;
}

void shape_drop(struct nl_batch *b, const struct net_link *link)
{
	if (link->ifindex && link->ifb)
		tx_drop(b, link);
}

/* ---- what there is ---- */

struct found {
	struct net_link *links;
	size_t count;
	uint64_t *tx, *rx; /* of each link, as the kernel has them */
};

static uint64_t rate_of_qdisc(struct nlmsghdr *h)
{
	struct nlattr *kind = nlmsg_find_attr(h, sizeof(struct tcmsg), TCA_KIND), *options, *a;
	uint64_t rate = 0;

	if (!kind)
		return 0;
	if (strcmp(nla_get_string(kind), "blackhole") == 0)
		return NET_RATE_NOTHING;
	options = nlmsg_find_attr(h, sizeof(struct tcmsg), TCA_OPTIONS);
	if (strcmp(nla_get_string(kind), "tbf") != 0 || !options)
		return 0;
	if ((a = nla_find(nla_data(options), nla_len(options), TCA_TBF_PARMS)))
		rate = ((struct tc_tbf_qopt *)nla_data(a))->rate.rate;
	if ((a = nla_find(nla_data(options), nla_len(options), TCA_TBF_RATE64)))
		rate = nla_get_u64(a);
	return rate;
}

static int take_qdisc(void *arg, struct nlmsghdr *h)
{
	struct found *f = arg;
	const struct tcmsg *tc = nlmsg_data(h);

	if (h->nlmsg_type != RTM_NEWQDISC || tc->tcm_parent != TC_H_ROOT)
		return 0;
	for (size_t i = 0; i < f->count; i++) {
		if (f->links[i].ifindex == 0)
			continue;
		if (tc->tcm_ifindex == f->links[i].ifindex)
			f->rx[i] = rate_of_qdisc(h);
		else if (tc->tcm_ifindex == ifb_of(&f->links[i]))
			f->tx[i] = rate_of_qdisc(h);
	}
	return 0;
}

/* The caller frees *tx, which has place for both. */
static int rates_read(struct nl *host, struct net_link *links, size_t count, uint64_t **tx, uint64_t **rx,
		      struct err *err)
{
	struct found f = { .links = links, .count = count };
	struct tcmsg tc = {};
	int r;

	f.tx = calloc(2 * count + 1, sizeof(*f.tx));
	if (!f.tx)
		return err_sys(err, ENOMEM, "limits");
	f.rx = f.tx + count;
	r = nl_list(host, RTM_GETQDISC, &tc, sizeof(tc), take_qdisc, &f, err);
	if (r < 0) {
		free(f.tx);
		return r;
	}
	*tx = f.tx;
	*rx = f.rx;
	return 0;
}

struct strays {
	struct nl_batch b;
	const struct netctl *n;
	const struct net_link *links;
	size_t count;
};

/* An ifb of ours that shapes none of the links: the worker was killed in the middle, or its link is gone. */
static int take_stray(void *arg, struct nlmsghdr *h)
{
	struct strays *s = arg;
	struct nlattr *alias = nlmsg_find_attr(h, sizeof(struct ifinfomsg), IFLA_IFALIAS);
	size_t tag = strlen(s->n->tag);
	struct net_hostdev d;

	hostdev_parse(h, &d);
	if (d.group != NET_GROUP_SHAPE || !alias || strncmp(nla_get_string(alias), s->n->tag, tag) != 0 ||
	    nla_get_string(alias)[tag] != ':' || s->b.n == NL_BATCH_MAX)
		return 0;
	for (size_t i = 0; i < s->count; i++)
		if (s->links[i].ifb == d.ifindex)
			return 0;
	ifb_drop(&s->b, d.ifindex);
	return 0;
}

static int strays_drop(struct netctl *n, struct nl *host, const struct net_link *links, size_t count, struct err *err)
{
	struct strays s = { .n = n, .links = links, .count = count };
	struct ifinfomsg ifi = {};
	int r = nl_list(host, RTM_GETLINK, &ifi, sizeof(ifi), take_stray, &s, err);

	if (r < 0) {
		nl_batch_done(&s.b);
		return r;
	}
	return nl_run(host, &s.b, err);
}

int shape_found(struct netctl *n, struct nl *host, struct net_link *links, size_t count, struct err *err)
{
	autofree uint64_t *tx = NULL;
	uint64_t *rx;
	int r = rates_read(host, links, count, &tx, &rx, err);

	for (size_t i = 0; i < count && r == 0; i++) {
		struct nl_batch b = {};
		if (links[i].ifindex == 0)
			continue;
		links[i].rx_rate = rx[i];
		links[i].tx_rate = tx[i];
		links[i].ifb = tx[i] ? ifb_of(&links[i]) : 0;
		if (!tx[i])
			continue;
		/* Nobody knows how far it had come. */
		redirect_add(&b, &links[i]);
		r = nl_run(host, &b, err);
	}
	return r == 0 ? strays_drop(n, host, links, count, err) : r;
}

int shape_repair(struct netctl *n, struct nl *host, struct err *err)
{
	autofree struct net_link *links = NULL;
	autofree uint64_t *tx = NULL;
	uint64_t *rx;
	int r, count = links_of(n, 0, &links);

	if (count < 0)
		return err_sys(err, ENOMEM, "limits");
	r = rates_read(host, links, (size_t)count, &tx, &rx, err);
	for (int i = 0; i < count && r == 0; i++) {
		struct nl_batch b = {};
		struct net_link missing = links[i];
		if (links[i].ifindex == 0 || (links[i].tx_rate == tx[i] && links[i].rx_rate == rx[i]))
			continue;
		missing.tx_rate = missing.rx_rate = 0;
		missing.ifb = 0;
		rates_put(&b, n, &missing, links[i].tx_rate, links[i].rx_rate, true);
		/* A link that went away meanwhile is no reason to leave the others alone. */
		nl_run(host, &b, NULL);
	}
	return r;
}
