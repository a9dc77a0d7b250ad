/*
 * Counters of links. One look at the kernel takes all: a dump of 64-bit counters, which is small (0.3 ms for 1000
 * links), and one of queueing disciplines, for what they dropped and held up, which counters of a device don't have.
 * Devices that are no owner's are the host's; only those are asked for their names, one by one.
 */
#include <linux/gen_stats.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include "netctl/classes.h"

/* What queues did, added up over the 32 bits that the kernel has. */
struct net_drop {
	int ifindex;
	uint32_t drops, overlimits; /* when last seen */
	uint64_t all_drops, all_overlimits;
};

struct device {
	int ifindex;
	bool others, is_host, uplink; /* others: no owner's, as far as is known */
	char name[IFNAMSIZ], group[32];
	struct rtnl_link_stats64 stats;
	uint64_t drops, overlimits; /* of the root qdisc */
};

struct net_snapshot {
	struct device *devs; /* sorted by ifindex */
	size_t count, room;
	struct net_link *links;
	size_t link_count;
};

static int compare(const void *a, const void *b)
{
	const struct device *x = a, *y = b;

	return (x->ifindex > y->ifindex) - (x->ifindex < y->ifindex);
}

static struct device *device(const struct net_snapshot *s, int ifindex)
{
	struct device key = { .ifindex = ifindex };

	return ifindex && s->count ? bsearch(&key, s->devs, s->count, sizeof(key), compare) : NULL;
}

/* ---- taking ---- */

static int take_stats(void *arg, struct nlmsghdr *h)
{
	const struct if_stats_msg *m = nlmsg_data(h);
	struct nlattr *a = nlmsg_find_attr(h, sizeof(*m), IFLA_STATS_LINK_64);
	struct net_snapshot *s = arg;
	struct device *d;

	if (h->nlmsg_type != RTM_NEWSTATS || !a)
		return 0;
	if (s->count == s->room) {
		size_t room = s->room ? 2 * s->room : 64;
		d = reallocarray(s->devs, room, sizeof(*d));
		if (!d)
			return -ENOMEM;
		s->devs = d;
		s->room = room;
	}
	d = &s->devs[s->count++];
	*d = (struct device){ .ifindex = (int)m->ifindex, .others = true };
	nla_memcpy(&d->stats, a, sizeof(d->stats));
	return 0;
}

static int take_queue(void *arg, struct nlmsghdr *h)
{
	const struct tcmsg *tc = nlmsg_data(h);
	struct nlattr *stats, *a;
	struct gnet_stats_queue q;
	struct device *d;

	if (h->nlmsg_type != RTM_NEWQDISC || tc->tcm_parent != TC_H_ROOT)
		return 0;
	d = device(arg, tc->tcm_ifindex);
	stats = nlmsg_find_attr(h, sizeof(*tc), TCA_STATS2);
	a = stats ? nla_find(nla_data(stats), nla_len(stats), TCA_STATS_QUEUE) : NULL;
	if (d && a && nla_memcpy(&q, a, sizeof(q)) == sizeof(q)) {
		d->drops = q.drops;
		d->overlimits = q.overlimits;
	}
	return 0;
}

/* A smaller number is a wrap if the last one was near the end, else a queue that was made anew. */
static uint32_t since(uint32_t last, uint32_t now)
{
	return now >= last || (last > UINT32_MAX / 2 && now < UINT32_MAX / 2) ? now - last : now;
}

/* Both are sorted by interface. */
static int drops_add(struct net_classes *c, struct net_snapshot *s)
{
	struct net_drop *p = calloc(s->count + 1, sizeof(*p));
	size_t k = 0;

	if (!p)
		return -ENOMEM;
	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < s->count; i++) {
		struct device *d = &s->devs[i];
		uint32_t drops = (uint32_t)d->drops, overlimits = (uint32_t)d->overlimits;
		p[i] = (struct net_drop){ .ifindex = d->ifindex, .drops = drops, .overlimits = overlimits };
		while (k < c->drop_count && c->drops[k].ifindex < d->ifindex)
			k++;
		if (k < c->drop_count && c->drops[k].ifindex == d->ifindex) {
			p[i].all_drops = c->drops[k].all_drops + since(c->drops[k].drops, drops);
			p[i].all_overlimits = c->drops[k].all_overlimits + since(c->drops[k].overlimits, overlimits);
		} else {
			p[i].all_drops = drops;
			p[i].all_overlimits = overlimits;
		}
		d->drops = p[i].all_drops;
		d->overlimits = p[i].all_overlimits;
	}
	free(c->drops);
	c->drops = p;
	c->drop_count = s->count;
	pthread_mutex_unlock(&c->lock);
	return 0;
}

static int take_name(void *arg, struct nlmsghdr *h)
{
	struct device *d = arg;
	struct net_hostdev dev;

	if (h->nlmsg_type != RTM_NEWLINK)
		return 0;
	hostdev_parse(h, &dev);
	if (hostdev_is_ours(dev.group))
		return 0;
	memcpy(d->name, dev.name, sizeof(d->name));
	hostdev_group_name(dev.group, d->group, sizeof(d->group));
	d->uplink = dev.managed;
	d->is_host = true;
	return 0;
}

static struct nl_msg *link_request(int ifindex, const char *name)
{
	struct ifinfomsg ifi = { .ifi_index = ifindex };
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETLINK, 0);

	if (!msg || nlmsg_append(msg, &ifi, sizeof(ifi), NLMSG_ALIGNTO) < 0 ||
	    (name && nla_put_string(msg, IFLA_IFNAME, name) < 0)) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

/* One that vanished meanwhile is left out. */
static void names_read(struct nl *host, struct net_snapshot *s)
{
	for (size_t i = 0; i < s->link_count; i++) {
		struct device *d = device(s, s->links[i].ifindex);
		if (d)
			d->others = false;
		d = device(s, s->links[i].ifb);
		if (d)
			d->others = false;
	}
	for (size_t i = 0; i < s->count; i++)
		if (s->devs[i].others)
			nl_query(host, link_request(s->devs[i].ifindex, NULL), take_name, &s->devs[i], "device", NULL);
}

static int snapshot(struct netctl *n, struct net_snapshot *s, struct err *err)
{
	struct if_stats_msg stats = { .filter_mask = IFLA_STATS_FILTER_BIT(IFLA_STATS_LINK_64) };
	struct net_classes *c = classes_get(n);
	struct tcmsg tc = {};
	autonl struct nl host = {};
	int r;

	r = links_of(n, 0, &s->links);
	if (r < 0 || !c)
		return err_sys(err, ENOMEM, "counters");
	s->link_count = (size_t)r;
	for (size_t i = 0; i < s->link_count; i++)
		s->links[i].ns_fd = s->links[i].ns_fd >= 0 ? dup(s->links[i].ns_fd) : -1;
	r = nl_open(&host, NETLINK_ROUTE, n->host_ns, err);
	if (r == 0)
		r = nl_list(&host, RTM_GETSTATS, &stats, sizeof(stats), take_stats, s, err);
	if (r < 0)
		return r;
	if (s->count)
		qsort(s->devs, s->count, sizeof(*s->devs), compare);
	r = nl_list(&host, RTM_GETQDISC, &tc, sizeof(tc), take_queue, s, err);
	if (r == 0 && drops_add(c, s) < 0)
		r = err_sys(err, ENOMEM, "counters");
	if (r == 0)
		names_read(&host, s);
	return r;
}

int net_snapshot_take(struct netctl *n, struct net_snapshot **ret, struct err *err)
{
	struct net_snapshot *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_sys(err, ENOMEM, "counters");
	r = snapshot(n, s, err);
	if (r < 0)
		net_snapshot_free(s);
	else
		*ret = s;
	return r;
}

void net_snapshot_free(struct net_snapshot *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->link_count; i++)
		cleanup_close(&s->links[i].ns_fd);
	free(s->links);
	free(s->devs);
	free(s);
}

/* ---- giving ---- */

/* As the device itself has it. */
static struct net_counts counts_of(const struct rtnl_link_stats64 *s)
{
	return (struct net_counts){
		.rx_bytes = s->rx_bytes,
		.rx_packets = s->rx_packets,
		.rx_drops = s->rx_dropped,
		.rx_overlimits = s->rx_over_errors + s->rx_errors,
		.tx_bytes = s->tx_bytes,
		.tx_packets = s->tx_packets,
		.tx_drops = s->tx_dropped,
	};
}

static int take_counts(void *arg, struct nlmsghdr *h)
{
	struct nlattr *a = nlmsg_find_attr(h, sizeof(struct ifinfomsg), IFLA_STATS64);

	if (h->nlmsg_type == RTM_NEWLINK && a)
		nla_memcpy(arg, a, sizeof(struct rtnl_link_stats64));
	return 0;
}

/* Seen from inside. */
static int inside(const struct net_link *link, struct net_counts *ret)
{
	struct rtnl_link_stats64 stats = {};
	autonl struct nl nl = {};
	int r;

	if (link->ns_fd < 0)
		return -ENODEV;
	r = nl_open(&nl, NETLINK_ROUTE, link->ns_fd, NULL);
	if (r == 0)
		r = nl_query(&nl, link_request(0, link->dev), take_counts, &stats, "device", NULL);
	*ret = counts_of(&stats);
	return r;
}

/* What the host's end received is what the owner sent. */
static int turned(const struct net_snapshot *s, const struct net_link *link, struct net_counts *ret)
{
	const struct device *end = device(s, link->ifindex), *ifb = device(s, link->ifb);

	if (!end)
		return -ENODEV;
	*ret = (struct net_counts){
		.rx_bytes = end->stats.tx_bytes,
		.rx_packets = end->stats.tx_packets,
		.rx_drops = end->stats.tx_dropped + end->drops,
		.rx_overlimits = end->overlimits,
		.tx_bytes = end->stats.rx_bytes,
		.tx_packets = end->stats.rx_packets,
		.tx_drops = end->stats.rx_dropped + (ifb ? ifb->drops : 0),
		.tx_overlimits = ifb ? ifb->overlimits : 0,
	};
	return 0;
}

int net_snapshot_each(const struct net_snapshot *s, uint32_t id,
		      void (*fn)(void *arg, const char *dev, const char *group, bool uplink,
				 const struct net_counts *c),
		      void *arg)
{
	struct net_counts counts;
	char group[32];
	int r = 0;

	for (size_t i = 0; id == 0 && i < s->count; i++) {
		const struct device *d = &s->devs[i];
		if (!d->is_host)
			continue;
		counts = counts_of(&d->stats);
		counts.tx_drops += d->drops;
		counts.tx_overlimits = d->overlimits;
		fn(arg, d->name, d->group, d->uplink, &counts);
	}
	hostdev_group_name(0, group, sizeof(group));
	for (size_t i = 0; id != 0 && i < s->link_count; i++) {
		const struct net_link *link = &s->links[i];
		int one;
		if (link->id != id)
			continue;
		one = link->ifindex ? turned(s, link, &counts) : inside(link, &counts);
		/* Its owner may take a device away, and has the counters of the others. */
		if (one == 0)
			fn(arg, link->dev, group, link->uplink, &counts);
		else if (r == 0 && one != -ENODEV)
			r = one;
	}
	return r;
}
