/* Addresses and routes in the namespace, and what leads to it on the host. */
#include <linux/rtnetlink.h>
#include <netlink/netlink.h>

#include "netctl/up.h"

#define BATCH_SPARE 16u    /* messages that one step may add */

static bool is_of(const struct net_ifaddr *a, const struct net_dev *dev)
{
	return strcmp(a->dev, dev->name) == 0 && a->addr.family;
}

/* Sends what there is when little room is left. */
static int flush_full(struct nl *nl, struct nl_batch *b, struct err *err)
{
	return b->n + BATCH_SPARE > NL_BATCH_MAX ? nl_run(nl, b, err) : 0;
}

/* ---- inside ---- */

/* A default route by a gateway; the second device's must differ in something. */
static void add_default(struct up *u, const struct up_dev *d, const struct net_addr *gw, unsigned defaults, uint32_t mtu)
{
	struct net_route route = { .to = { .family = gw->family },
				   .ifindex = d->ifindex,
				   .via = gw,
				   .onlink = true,
				   .mtu = mtu,
				   .priority = defaults ? 2048 + defaults : 0,
				   .ecn = d->dev->ecn || u->req->spec->ecn_all };

	msg_route(&u->b, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &route);
}

/* The wire between the two ends is one of our own: the other end is known, and everything is behind it. */
static void route_inside(struct up *u, const struct up_dev *d, unsigned defaults)
{
	uint32_t mtu = 0;

	for (size_t i = 0; i < d->uplink_n; i++)
		mtu = mtu ? MIN(mtu, d->uplinks[i].mtu) : d->uplinks[i].mtu;
	for (size_t i = 0; i < ARRAY_LEN(d->gw); i++) {
		struct net_route direct = { .to = d->gw[i], .ifindex = d->ifindex, .ecn = d->dev->ecn || u->req->spec->ecn_all };
		if (!d->gw[i].family)
			continue;
		msg_neigh(&u->b, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, d->ifindex, &d->gw[i], d->host_mac);
		msg_route(&u->b, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &direct);
		add_default(u, d, &d->gw[i], defaults, mtu < d->mtu ? mtu : 0);
	}
}

static bool has_gateway(const struct up *u, const struct net_dev *dev)
{
	for (size_t i = 0; u->req->gw && i < u->req->gw->n; i++)
		if (is_of(&u->req->gw->p[i], dev))
			return true;
	return false;
}

static int dev_inside(struct up *u, struct up_dev *d, unsigned *defaults, struct err *err)
{
	bool routed = d->dev->kind->flags & KIND_L3, addresses = up_has_addresses(u, d->dev);
	int r = 0;

	d->raised = u->req->raise || addresses || d->dev->autoconf || has_gateway(u, d->dev);
	if (d->raised)
		msg_link(&u->b, d->ifindex, IFF_UP, d->dev->name);
	for (size_t i = 0; r == 0 && i < u->ip.n; i++)
		if (is_of(&u->ip.p[i], d->dev)) {
			msg_addr(&u->b, d->ifindex, &u->ip.p[i].addr, routed);
			r = flush_full(&u->in, &u->b, err);
		}
	if (r < 0)
		return r;
	if (routed && addresses) {
		route_inside(u, d, (*defaults)++);
	} else if (has_gateway(u, d->dev)) {
		for (size_t i = 0; i < u->req->gw->n; i++)
			if (is_of(&u->req->gw->p[i], d->dev))
				add_default(u, d, &u->req->gw->p[i].addr, *defaults, 0);
		(*defaults)++;
	}
	return flush_full(&u->in, &u->b, err);
}

int up_inside(struct up *u, struct err *err)
{
	unsigned defaults = 0;
	int r = 0;

	msg_link(&u->b, 1, IFF_UP, "lo");
	for (size_t i = 0; r == 0 && i < u->dev_n; i++)
		if (u->devs[i].ifindex)
			r = dev_inside(u, &u->devs[i], &defaults, err);
	if (r == 0)
		return nl_run(&u->in, &u->b, err);
	nl_batch_done(&u->b);
	return r;
}

/* ---- outside ---- */

static int add_row(struct entry_list *list, const struct net_entry *row)
{
	if (list->n == list->room) {
		size_t room = list->room ? 2 * list->room : 8;
		struct net_entry *p = reallocarray(list->p, room, sizeof(*p));
		if (!p)
			return -ENOMEM;
		list->p = p;
		list->room = room;
	}
	list->p[list->n++] = *row;
	return 0;
}

/* Neighbour and proxies of the number-th address of a prefix. */
static int host_rows(struct entry_list *list, struct net_entry row, unsigned number, const uint8_t *mac, const struct up_dev *d)
{
	bool proxied = !(d->dev->kind->flags & KIND_NAT);
	int r = 0;

	up_prefix_nth(&row.addr, number, &row.addr);
	if (mac) {
		row.kind = ENTRY_NEIGH;
		memcpy(row.mac, mac, sizeof(row.mac));
		r = add_row(list, &row);
	}
	row.kind = ENTRY_PROXY;
	for (size_t i = 0; r == 0 && proxied && i < d->uplink_n; i++) {
		row.ifindex = d->uplinks[i].ifindex;
		memcpy(row.dev, d->uplinks[i].name, sizeof(row.dev));
		r = add_row(list, &row);
	}
	return r;
}

static int addr_rows(struct up *u, const struct up_dev *d, const struct net_addr *addr, const uint8_t *mac, struct entry_list *list,
		     struct err *err)
{
	struct net_entry row = { .id = u->req->id, .kind = ENTRY_ROUTE, .ifindex = d->host, .addr = *addr };
	int count = up_prefix_count(addr, err), r;

	if (count < 0)
		return count;
	up_prefix_nth(addr, 0, &row.addr);
	row.addr.prefix = addr->prefix;
	r = add_row(list, &row);
	for (int i = 0; r == 0 && i < count; i++)
		r = host_rows(list, row, (unsigned)i, mac, d);
	return r < 0 ? err_sys(err, -r, "ip") : 0;
}

int up_entries(struct up *u, const struct up_dev *d, const uint8_t *mac, struct entry_list *ret, struct err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < u->ip.n; i++)
		if (is_of(&u->ip.p[i], d->dev))
			r = addr_rows(u, d, &u->ip.p[i].addr, mac, ret, err);
	return r;
}

int entries_run(struct nl *host, struct nl_batch *b, const struct net_entry *list, size_t n, unsigned kinds, int flags, struct err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++)
		if (kinds & 1U << list[i].kind) {
			entries_msg(b, &list[i], RTM_NEWROUTE, flags);
			r = flush_full(host, b, err);
		}
	if (r == 0)
		return nl_run(host, b, err);
	nl_batch_done(b);
	return r;
}

static int keep_oif(void *arg, struct nlmsghdr *h)
{
	struct nlattr *a = nlmsg_find_attr(h, sizeof(struct rtmsg), RTA_OIF);

	if (h->nlmsg_type == RTM_NEWROUTE && a)
		*(int *)arg = (int)nla_get_u32(a);
	return 0;
}

/* The route that is in our way is of a link that only waits to be deleted, or our own from the first attempt. */
static bool route_is_stale(struct up *u, const struct net_addr *to, int own)
{
	struct rtmsg h = { .rtm_family = to->family, .rtm_dst_len = to->family == AF_INET ? 32 : 128 };
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETROUTE, 0);
	struct link_info link;
	int oif = 0;

	if (msg) {
		nlmsg_append(msg, &h, sizeof(h), NLMSG_ALIGNTO);
		nla_put(msg, RTA_DST, to->family == AF_INET ? 4 : 16, to->a);
	}
	if (nl_query(&u->host, msg, keep_oif, &oif, "route", NULL) < 0 || oif == 0)
		return false;
	return oif == own ||
	       (link_get(&u->host, oif, NULL, &link, NULL) == 0 && (link.group == NET_GROUP_DYING || link.group == NET_GROUP_SWEEP));
}

static int routes_outside(struct up *u, const struct entry_list *list, struct err *err)
{
	int r = entries_run(&u->host, &u->b, list->p, list->n, 1U << ENTRY_ROUTE, NLM_F_CREATE | NLM_F_EXCL, err);

	if (r != -EEXIST)
		return r;
	/* The others were made: one by one now, to see which it is. */
	for (size_t i = 0; i < list->n; i++) {
		char text[NET_ADDR_TEXT];
		if (list->p[i].kind != ENTRY_ROUTE)
			continue;
		r = entries_run(&u->host, &u->b, &list->p[i], 1, 1U << ENTRY_ROUTE, NLM_F_CREATE | NLM_F_EXCL, err);
		if (r == -EEXIST && route_is_stale(u, &list->p[i].addr, list->p[i].ifindex))
			r = entries_run(&u->host, &u->b, &list->p[i], 1, 1U << ENTRY_ROUTE, NLM_F_CREATE | NLM_F_REPLACE, err);
		net_addr_format(&list->p[i].addr, text);
		if (r == -EEXIST)
			return err_set(err, ERR_ResourceNotAvailable, "ip: '%s': the host has a route to it already", text);
		if (r < 0)
			return r;
	}
	return 0;
}

/* What is remembered before it is made is taken back by net_down, whatever happens in between. */
static int remember(struct up *u, const struct entry_list *list, bool routes, struct err *err)
{
	for (size_t i = 0; i < list->n; i++)
		if ((list->p[i].kind == ENTRY_ROUTE) == routes && entries_add(u->n, &list->p[i], 1) < 0)
			return err_sys(err, ENOMEM, "ip");
	return 0;
}

static int dev_outside(struct up *u, const struct up_dev *d, struct err *err)
{
	bool tap = d->dev->kind->flags & KIND_SHARED;
	struct entry_list list = {};
	int r = up_entries(u, d, tap ? NULL : d->mac, &list, err);

	if (r == 0)
		r = remember(u, &list, true, err);
	if (r == 0)
		r = routes_outside(u, &list, err);
	if (r == 0)
		r = remember(u, &list, false, err);
	if (r == 0)
		r = entries_run(&u->host, &u->b, list.p, list.n, 1U << ENTRY_NEIGH | 1U << ENTRY_PROXY, NLM_F_CREATE | NLM_F_REPLACE, err);
	free(list.p);
	return r;
}

int up_outside(struct up *u, struct err *err)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	int r = 0;

	for (size_t i = 0; r == 0 && i < u->dev_n; i++) {
		const struct up_dev *d = &u->devs[i];
		if (!(d->dev->kind->flags & KIND_L3) || !up_has_addresses(u, d->dev))
			continue;
		for (size_t f = 0; r == 0 && f < ARRAY_LEN(families); f++)
			if (up_has_family(u, d, families[f]))
				r = up_forwarding(u, d, families[f], err);
		if (r == 0)
			r = dev_outside(u, d, err);
	}
	return r;
}
