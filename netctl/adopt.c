/* After a restart: whose is what? And what others have broken is mended. */
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netlink/netlink.h>

#include "netctl/up.h"

struct found {
	struct link_info link;
	bool claimed;
};

struct adoption {
	struct netctl *n;
	struct nl host;
	struct found *links; /* owned: those of our groups that bear our tag, and all that are dying */
	size_t link_n, link_room;
	struct host_addr *addrs;
	size_t addr_n;
	struct nl_batch b;
};

/* ---- aliases ---- */

/* "<tag>:<id>:<device>:<name>" */
static bool alias_parse(const char *alias, const char *tag, uint32_t *id, char dev[IFNAMSIZ])
{
	size_t len = strlen(tag);
	unsigned long number;
	char *end;

	if (strncmp(alias, tag, len) != 0 || alias[len] != ':')
		return false;
	number = strtoul(alias + len + 1, &end, 10);
	len = strcspn(end + (*end == ':'), ":");
	if (*end != ':' || len == 0 || len >= IFNAMSIZ || end[1 + len] != ':' || number == 0 || number > UINT32_MAX)
		return false;
	*id = (uint32_t)number;
	memcpy(dev, end + 1, len);
	dev[len] = 0;
	return true;
}

static bool is_dying(const struct link_info *link)
{
	return link->group == NET_GROUP_DYING || link->group == NET_GROUP_SWEEP;
}

static int keep(void *arg, struct nlmsghdr *h)
{
	struct adoption *a = arg;
	struct link_info link;
	char dev[IFNAMSIZ];
	uint32_t id;

	if (!link_parse(h, &link))
		return 0;
	if (!is_dying(&link) && (link.group != NET_GROUP_LIVE || !alias_parse(link.alias, a->n->tag, &id, dev)))
		return 0;
	if (a->link_n == a->link_room) {
		size_t room = a->link_room ? 2 * a->link_room : 64;
		struct found *p = reallocarray(a->links, room, sizeof(*p));
		if (!p)
			return -ENOMEM;
		a->links = p;
		a->link_room = room;
	}
	a->links[a->link_n++] = (struct found){ .link = link };
	return 0;
}

static int begin(struct adoption *a, struct err *err)
{
	struct ifinfomsg h = {};
	int r = nl_open(&a->host, NETLINK_ROUTE, a->n->host_ns, err);

	if (r == 0)
		r = nl_list(&a->host, RTM_GETLINK, &h, sizeof(h), keep, a, err);
	return r == 0 ? host_addrs(&a->host, &a->addrs, &a->addr_n, err) : r;
}

static void end(struct adoption *a)
{
	nl_batch_done(&a->b);
	nl_done(&a->host);
	free(a->links);
	free(a->addrs);
	free(a);
}

/* ---- owners ---- */

/* The link that this owner's device has, if it leads into its namespace: one of an earlier start of the same owner does not. */
static struct found *find_link(struct adoption *a, const struct net_owner *o, const char *name, int nsid)
{
	for (size_t i = 0; i < a->link_n; i++) {
		struct found *f = &a->links[i];
		char dev[IFNAMSIZ];
		uint32_t id;
		if (is_dying(&f->link) || !alias_parse(f->link.alias, a->n->tag, &id, dev) || id != o->id || strcmp(dev, name) != 0)
			continue;
		if (o->ns_fd >= 0 && strcmp(f->link.kind, "veth") == 0 && (nsid < 0 || f->link.nsid != nsid))
			continue;
		return f;
	}
	return NULL;
}

static void hold_all(struct up *u, const struct up_dev *d)
{
	for (size_t i = 0; i < u->ip.n; i++) {
		const struct net_ifaddr *a = &u->ip.p[i];
		int count = strcmp(a->dev, d->dev->name) == 0 && a->addr.family ? up_prefix_count(&a->addr, NULL) : 0;
		struct net_addr addr;
		for (int k = 0; k < count; k++) {
			up_prefix_nth(&a->addr, (unsigned)k, &addr);
			pool_hold(u->n, u->req->id, &addr, NULL);
		}
	}
}

/* Routes, neighbours and proxies of a device are remembered, and made again where they are missing. */
static int restore_entries(struct up *u, struct up_dev *d, bool has_mac, struct err *err)
{
	struct entry_list list = {};
	int r = up_uplinks(u, d, NULL);

	/* The device of the host that it talked through may have gone meanwhile. */
	if (r == -ENOMEM)
		return err_sys(err, ENOMEM, "net");
	r = up_entries(u, d, has_mac ? d->mac : NULL, &list, err);
	if (r == 0 && entries_add(u->n, list.p, list.n) < 0)
		r = err_sys(err, ENOMEM, "net");
	for (unsigned kind = ENTRY_ROUTE; r == 0 && kind <= ENTRY_PROXY; kind++)
		entries_run(&u->host, &u->b, list.p, list.n, 1U << kind, NLM_F_CREATE | NLM_F_REPLACE, NULL);
	free(list.p);
	return r;
}

static int adopt_dev(struct adoption *a, struct up *u, const struct net_owner *o, const struct net_dev *dev, int nsid, struct err *err)
{
	struct up_dev d = { .dev = dev };
	bool inside = u->in.sk && up_find_inside(u, &d, NULL) == 0;
	struct found *f = dev->kind->flags & KIND_HOST_END ? find_link(a, o, dev->name, nsid) : NULL;
	int r = 0;

	if (f) {
		f->claimed = true;
		d.host = f->link.ifindex;
		d.mtu = f->link.mtu;
	} else if (dev->kind->flags & KIND_HOST_END || !inside || dev->kind == &kind_ipip6 || dev->kind == &kind_ip6tnl0) {
		return 0;
	}
	r = up_register(u, &d, err);
	if (r == 0 && dev->kind->flags & KIND_L3) {
		hold_all(u, &d);
		r = restore_entries(u, &d, inside && !(dev->kind->flags & KIND_SHARED), err);
	}
	free(d.uplinks);
	return r;
}

static int adopt_owner(struct adoption *a, const struct net_owner *o, struct err *err)
{
	static const struct net_ifaddrs none;
	struct net_spec spec;
	struct net_request req = { .id = o->id, .name = "", .ns_fd = o->ns_fd, .spec = &spec, .ip = &none };
	struct up *u;
	int nsid, r = net_spec_parse(o->net, &spec, err);

	if (r < 0)
		return r;
	u = calloc(1, sizeof(*u));
	if (!u) {
		net_spec_done(&spec);
		return err_sys(err, ENOMEM, "net");
	}
	*u = (struct up){ .n = a->n, .req = &req, .host = a->host, .addrs = a->addrs, .addr_n = a->addr_n };
	if (o->ip)
		u->ip = *o->ip; /* borrowed */
	nsid = o->ns_fd >= 0 ? nsid_get(&a->host, o->ns_fd) : -1;
	if (o->ns_fd >= 0)
		r = nl_open(&u->in, NETLINK_ROUTE, o->ns_fd, err);
	for (size_t i = 0; r == 0 && i < spec.n; i++)
		r = adopt_dev(a, u, o, &spec.devs[i], nsid, err);
	nl_batch_done(&u->b);
	nl_done(&u->in);
	free(u);
	net_spec_done(&spec);
	return r;
}

/* ---- what nobody owns ---- */

static void flush_full(struct nl *host, struct nl_batch *b)
{
	if (b->n + 2 > NL_BATCH_MAX)
		nl_run(host, b, NULL);
}

static void drop_unclaimed(struct adoption *a)
{
	for (size_t i = 0; i < a->link_n; i++) {
		const struct link_info *link = &a->links[i].link;
		if (a->links[i].claimed)
			continue;
		if (!is_dying(link))
			link_mark_dying(&a->b, link->ifindex);
		dying_add(a->n, &(struct net_dying){ .ifindex = link->ifindex, .ns_fd = -1 });
		flush_full(&a->host, &a->b);
	}
	nl_run(&a->host, &a->b, NULL);
}

static bool leads_to_dying(const struct adoption *a, int ifindex)
{
	for (size_t i = 0; i < a->link_n; i++)
		if (a->links[i].link.ifindex == ifindex)
			return !a->links[i].claimed;
	return false;
}

struct rows {
	const struct adoption *a;
	struct entry_list routes, proxies;
};

static int push(struct entry_list *list, const struct net_entry *row)
{
	if (list->n == list->room) {
		size_t room = list->room ? 2 * list->room : 64;
		struct net_entry *p = reallocarray(list->p, room, sizeof(*p));
		if (!p)
			return -ENOMEM;
		list->p = p;
		list->room = room;
	}
	list->p[list->n++] = *row;
	return 0;
}

static bool put_addr(struct net_entry *row, uint8_t family, uint8_t prefix, struct nlattr *a)
{
	if (!a || nla_len(a) != (family == AF_INET ? 4 : 16))
		return false;
	row->addr.family = family;
	row->addr.prefix = prefix;
	memcpy(row->addr.a, nla_data(a), (size_t)nla_len(a));
	return true;
}

static int keep_route(void *arg, struct nlmsghdr *h)
{
	const struct rtmsg *rt = nlmsg_data(h);
	struct net_entry row = { .kind = ENTRY_ROUTE };
	struct nlattr *a[RTA_MAX + 1];
	struct rows *rows = arg;

	if (h->nlmsg_type != RTM_NEWROUTE || rt->rtm_protocol != NET_PROTOCOL || rt->rtm_table != RT_TABLE_MAIN ||
	    nlmsg_parse(h, sizeof(*rt), a, RTA_MAX, NULL) < 0 || !a[RTA_OIF] ||
	    !put_addr(&row, rt->rtm_family, rt->rtm_dst_len, a[RTA_DST]))
		return 0;
	row.ifindex = (int)nla_get_u32(a[RTA_OIF]);
	return push(&rows->routes, &row);
}

static int keep_proxy(void *arg, struct nlmsghdr *h)
{
	const struct ndmsg *nd = nlmsg_data(h);
	struct net_entry row = { .kind = ENTRY_PROXY, .ifindex = nd->ndm_ifindex };
	struct nlattr *a[NDA_MAX + 1];
	struct rows *rows = arg;

	if (h->nlmsg_type != RTM_NEWNEIGH || !(nd->ndm_flags & NTF_PROXY) || nlmsg_parse(h, sizeof(*nd), a, NDA_MAX, NULL) < 0 ||
	    !a[NDA_PROTOCOL] || nla_get_u8(a[NDA_PROTOCOL]) != NET_PROTOCOL ||
	    !put_addr(&row, nd->ndm_family, nd->ndm_family == AF_INET ? 32 : 128, a[NDA_DST]))
		return 0;
	return push(&rows->proxies, &row);
}

/* Proxies first: a network that is being set up has its routes before them. */
static int rows_read(struct nl *host, struct rows *rows, struct err *err)
{
	struct rtmsg rt = {};
	struct ndmsg nd = { .ndm_flags = NTF_PROXY };
	int r = nl_list(host, RTM_GETNEIGH, &nd, sizeof(nd), keep_proxy, rows, err);

	return r < 0 ? r : nl_list(host, RTM_GETROUTE, &rt, sizeof(rt), keep_route, rows, err);
}

/* Whoever made it, an entry that answers for an address without a route of ours to it is left from a container that has gone. */
static bool is_led_to(const struct rows *rows, const struct net_addr *addr)
{
	for (size_t i = 0; i < rows->routes.n; i++)
		if (net_addr_inside(addr, &rows->routes.p[i].addr) &&
		    !(rows->a && leads_to_dying(rows->a, rows->routes.p[i].ifindex)))
			return true;
	return false;
}

static int drop_rows(struct nl *host, struct nl_batch *b, const struct adoption *a, struct err *err)
{
	struct rows rows = { .a = a };
	int r = rows_read(host, &rows, err);

	for (size_t i = 0; r == 0 && i < rows.proxies.n; i++)
		if (!is_led_to(&rows, &rows.proxies.p[i].addr)) {
			entries_msg(b, &rows.proxies.p[i], RTM_DELROUTE, 0);
			flush_full(host, b);
		}
	for (size_t i = 0; r == 0 && a && i < rows.routes.n; i++)
		if (leads_to_dying(a, rows.routes.p[i].ifindex)) {
			entries_msg(b, &rows.routes.p[i], RTM_DELROUTE, 0);
			flush_full(host, b);
		}
	nl_run(host, b, NULL);
	free(rows.routes.p);
	free(rows.proxies.p);
	return r;
}

static int find_shapes(struct adoption *a, struct err *err)
{
	autofree struct net_link *links = NULL;
	int count = links_of(a->n, 0, &links), r;

	if (count < 0)
		return err_sys(err, ENOMEM, "net");
	r = shape_found(a->n, &a->host, links, (size_t)count, err);
	for (int i = 0; i < count; i++)
		links_update(a->n, &links[i]);
	return r;
}

/* What the host needs besides to lead packets to those that have addresses. */
static void forward_again(struct netctl *n, struct nl *host, const struct net_entry *list, size_t count)
{
	forward_repair(n, host, list, count);
	if (nat_publishes(n))
		forward_published(n);
}

/* Devices of the host may have come while there was no worker. */
static void adopt_forwarding(struct adoption *a)
{
	autofree struct net_entry *entries = NULL;
	int count = entries_of(a->n, 0, &entries);

	if (count > 0 && a->host.sk)
		forward_again(a->n, &a->host, entries, (size_t)count);
}

int netctl_adopt(struct netctl *n, const struct net_owner *owners, size_t count, struct err *err)
{
	struct adoption *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return err_sys(err, ENOMEM, "netctl");
	a->n = n;
	r = begin(a, err);
	/* One that can't be read keeps nothing, the others do. */
	for (size_t i = 0; r == 0 && i < count; i++) {
		r = adopt_owner(a, &owners[i], err);
		r = r == -ENOMEM ? r : 0;
		if (r == 0 && owners[i].ports && owners[i].ip)
			r = nat_found(n, owners[i].id, owners[i].ports, owners[i].ip) < 0 ? err_sys(err, ENOMEM, "publish") : 0;
	}
	if (r == 0)
		r = find_shapes(a, err);
	if (r == 0) {
		drop_unclaimed(a);
		r = drop_rows(&a->host, &a->b, a, err);
	}
	if (r == 0) {
		r = nat_sync(n, err);
		r = r == -EOPNOTSUPP ? 0 : r;
	}
	adopt_forwarding(a);
	end(a);
	return r;
}

/* ---- leaks ---- */

static bool is_owned(const struct net_link *links, int count, int ifindex)
{
	for (int i = 0; i < count; i++)
		if (links[i].ifindex == ifindex)
			return true;
	return false;
}

void netctl_leaks(struct netctl *n, struct text *out)
{
	struct adoption *a = calloc(1, sizeof(*a));
	autofree struct net_link *links = NULL;
	struct rows rows = {};
	int count;

	if (!a)
		return;
	a->n = n;
	/* One that is being made just now may be seen before it is known. */
	if (begin(a, NULL) == 0 && (count = links_of(n, 0, &links)) >= 0) {
		for (size_t i = 0; i < a->link_n; i++)
			if (!is_dying(&a->links[i].link) && !is_owned(links, count, a->links[i].link.ifindex))
				text_addf(out, "link %s of %s\n", a->links[i].link.name, a->links[i].link.alias);
		if (rows_read(&a->host, &rows, NULL) == 0)
			for (size_t i = 0; i < rows.proxies.n; i++) {
				char addr[NET_ADDR_TEXT];
				net_addr_format(&rows.proxies.p[i].addr, addr);
				if (!is_led_to(&rows, &rows.proxies.p[i].addr))
					text_addf(out, "proxy entry %s\n", addr);
			}
	}
	free(rows.routes.p);
	free(rows.proxies.p);
	end(a);
}

/* ---- repair ---- */

/* A device of the host that went away and came back, a bridge that was made again, is another one with the same name. */
static void follow_devices(struct netctl *n, struct nl *host, struct net_entry *list, size_t count)
{
	char known[IFNAMSIZ] = "";
	struct link_info link = {};

	for (size_t i = 0; i < count; i++) {
		if (list[i].kind != ENTRY_PROXY)
			continue;
		if (strcmp(known, list[i].dev) != 0) {
			memcpy(known, list[i].dev, sizeof(known));
			if (link_get(host, 0, known, &link, NULL) < 0)
				link.ifindex = 0;
		}
		if (link.ifindex == 0 || link.ifindex == list[i].ifindex)
			continue;
		list[i].ifindex = link.ifindex;
		entries_move(n, known, link.ifindex);
	}
}

/*
 * One that can't be made is no reason to leave the others alone. A route that is there is not replaced: its address may be another
 * owner's by now.
 */
static void put_back(struct nl *host, struct nl_batch *b, const struct net_entry *list, size_t count)
{
	for (unsigned kind = ENTRY_ROUTE; kind <= ENTRY_PROXY; kind++) {
		for (size_t i = 0; i < count; i++)
			if (list[i].kind == kind) {
				entries_msg(b, &list[i], RTM_NEWROUTE, NLM_F_CREATE | (kind == ENTRY_ROUTE ? NLM_F_EXCL : NLM_F_REPLACE));
				flush_full(host, b);
			}
		nl_run(host, b, NULL);
	}
}

void netctl_repair(struct netctl *n)
{
	autofree struct net_entry *entries = NULL;
	autofree struct nl_batch *b = calloc(1, sizeof(*b));
	int count = entries_of(n, 0, &entries);
	struct nl host;

	if (!b || count < 0 || nl_open(&host, NETLINK_ROUTE, n->host_ns, NULL) < 0)
		return;
	follow_devices(n, &host, entries, (size_t)count);
	/* An owner may go meanwhile: its routes go with its link, what was made again besides is found the next time. */
	drop_rows(&host, b, NULL, NULL);
	put_back(&host, b, entries, (size_t)count);
	forward_again(n, &host, entries, (size_t)count);
	shape_repair(n, &host, NULL);
	nl_done(&host);
	class_repair(n, NULL);
	nat_sync(n, NULL);
}
