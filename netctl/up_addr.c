/* Which addresses a network gets, which devices of the host they are asked for on, and which gateways lead out. */
#include <linux/rtnetlink.h>
#include <netlink/netlink.h>

#include "netctl/up.h"

#define HOSTS_MAX 16u /* addresses of one prefix that are answered for */

static const struct net_dev *dev_of(const struct up *u, const struct net_ifaddr *a)
{
	return net_spec_dev(u->req->spec, a->dev);
}

/* Its addresses are routed, so that nobody else on the host may have them. */
static bool is_routed(const struct net_dev *dev)
{
	return dev->kind->flags & KIND_L3;
}

static bool is_link_local(const struct net_addr *addr)
{
	if (addr->family == AF_INET6)
		return addr->a[0] == 0xfe && (addr->a[1] & 0xc0) == 0x80;
	return addr->a[0] == 169 && addr->a[1] == 254;
}

/* A host's address that others can be led to. */
static bool is_usable(const struct host_addr *h, uint8_t family)
{
	return h->addr.family == family && h->scope == RT_SCOPE_UNIVERSE && !is_link_local(&h->addr);
}

/* ---- addresses ---- */

static int add_ip(struct up *u, const char *dev, const struct net_addr *addr, struct err *err)
{
	struct net_ifaddr *p = reallocarray(u->ip.p, u->ip.n + 1, sizeof(*p));

	if (!p)
		return err_sys(err, ENOMEM, "ip");
	u->ip.p = p;
	p[u->ip.n] = (struct net_ifaddr){ .addr = *addr };
	snprintf(p[u->ip.n++].dev, sizeof(p->dev), "%s", dev);
	return 0;
}

int up_prefix_count(const struct net_addr *prefix, struct err *err)
{
	unsigned spare = (prefix->family == AF_INET ? 32u : 128u) - prefix->prefix;
	char text[NET_ADDR_TEXT];

	if (spare < 8 && 1U << spare <= HOSTS_MAX)
		return 1 << spare;
	net_addr_format(prefix, text);
	return err_set(err, ERR_ResourceNotAvailable, "ip: '%s': more than %u addresses", text, HOSTS_MAX);
}

void up_prefix_nth(const struct net_addr *prefix, unsigned number, struct net_addr *ret)
{
	unsigned bits = prefix->family == AF_INET ? 32 : 128, last = bits / 8 - 1;
	struct net_addr addr = *prefix;

	addr.a[last] = (uint8_t)((addr.a[last] & ~((1U << (bits - addr.prefix)) - 1)) | number);
	addr.prefix = (uint8_t)bits;
	*ret = addr;
}

static int hold_one(struct up *u, const struct net_addr *addr, struct err *err)
{
	char text[NET_ADDR_TEXT];

	net_addr_format(addr, text);
	for (size_t i = 0; i < u->addr_n; i++)
		if (u->addrs[i].addr.family == addr->family && memcmp(u->addrs[i].addr.a, addr->a, sizeof(addr->a)) == 0)
			return err_set(err, ERR_InvalidNetworkAddress, "ip: '%s': the host has this address itself", text);
	return pool_hold(u->n, u->req->id, addr, err);
}

/* Nobody would masquerade it. */
static int not_of_pool(const struct net_addr *addr, struct err *err)
{
	char text[NET_ADDR_TEXT];

	net_addr_format(addr, text);
	return err_set(err, ERR_InvalidNetworkAddress, "ip: '%s': not of the pool for NAT: see network.nat_first_ipv4, nat_first_ipv6, nat_count",
		       text);
}

/* Those that the owner names itself: of a prefix all are routed to it, so all are its own. */
static int hold(struct up *u, const struct net_dev *dev, const struct net_ifaddr *a, struct err *err)
{
	int count = up_prefix_count(&a->addr, err), r = MIN(count, 0);
	struct net_addr addr;

	for (int i = 0; i < count && r == 0; i++) {
		up_prefix_nth(&a->addr, (unsigned)i, &addr);
		if (dev->kind->flags & KIND_NAT && !pool_has(u->n, &addr))
			return not_of_pool(&addr, err);
		r = hold_one(u, &addr, err);
	}
	return r;
}

static int take_nat(struct up *u, const char *dev, struct err *err)
{
	struct net_addr v4 = {}, v6 = {};
	int r = pool_take_nat(u->n, u->req->id, &v4, &v6, err);

	if (r == 0 && v4.family)
		r = add_ip(u, dev, &v4, err);
	if (r == 0 && v6.family)
		r = add_ip(u, dev, &v6, err);
	u->chosen = true;
	return r;
}

/* The prefix that addresses of a family are taken from: the configured one, or that of the device it talks through (only, 0: any). */
static bool auto_net(const struct up *u, uint8_t family, int only, struct net_addr *net, int *ifindex)
{
	const struct net_addr *conf = family == AF_INET ? &u->n->conf.auto4 : &u->n->conf.auto6;
	unsigned longest = family == AF_INET ? 30 : 126;

	*ifindex = 0;
	*net = *conf;
	for (size_t i = 0; i < u->addr_n; i++) {
		const struct host_addr *h = &u->addrs[i];
		if (!is_usable(h, family) || h->addr.prefix > longest || (only && h->ifindex != only))
			continue;
		if (conf->family && !net_addr_inside(conf, &h->addr) && !net_addr_inside(&h->addr, conf))
			continue;
		*ifindex = h->ifindex;
		if (!conf->family)
			*net = h->addr;
		return true;
	}
	return conf->family == family;
}

/* IPv6 only where it can be forwarded: nobody asked for it by name. */
static bool may_take6(const struct up *u, const struct net_dev *dev)
{
	return !is_routed(dev) || u->n->conf.auto6.family || u->n->conf.set_sysctls ||
	       host_sysctl(u->n, "ipv6/conf/all/forwarding") == 1;
}

static int take_auto(struct up *u, const struct net_dev *dev, struct err *err)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	struct link_info master = {};
	bool any = false;
	int r = dev->master[0] ? link_match(&u->host, dev->master, &master, err) : 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(families); i++) {
		struct net_addr net, got;
		int ifindex;
		if (!auto_net(u, families[i], master.ifindex, &net, &ifindex))
			continue;
		if (families[i] == AF_INET6 && !may_take6(u, dev))
			continue;
		r = pool_take_auto(u->n, u->req->id, &net, ifindex, &got, err);
		if (r < 0)
			break;
		any = true;
		got.prefix = is_routed(dev) ? (families[i] == AF_INET ? 32 : 128) : net.prefix;
		r = add_ip(u, dev->name, &got, err);
	}
	u->chosen = true;
	if (r == 0 && !any)
		return err_set(err, ERR_ResourceNotAvailable, "ip: '%s auto': neither the configuration nor a device of the host has a "
							      "prefix to take it from", dev->name);
	return r;
}

bool up_has_addresses(const struct up *u, const struct net_dev *dev)
{
	for (size_t i = 0; i < u->ip.n; i++)
		if (strcmp(u->ip.p[i].dev, dev->name) == 0)
			return true;
	return false;
}

int up_addresses(struct up *u, struct err *err)
{
	const struct net_spec *spec = u->req->spec;
	const struct net_ifaddrs *ip = u->req->ip;
	int r = 0;

	/* Those that are named come first, lest one of them is chosen for another device. */
	for (size_t i = 0; r == 0 && ip && i < ip->n; i++) {
		const struct net_dev *dev = dev_of(u, &ip->p[i]);
		if (ip->p[i].automatic)
			continue;
		if (dev && is_routed(dev))
			r = hold(u, dev, &ip->p[i], err);
		if (r == 0)
			r = add_ip(u, ip->p[i].dev, &ip->p[i].addr, err);
	}
	for (size_t i = 0; r == 0 && ip && i < ip->n; i++) {
		const struct net_dev *dev = dev_of(u, &ip->p[i]);
		if (ip->p[i].automatic && dev)
			r = dev->kind->flags & KIND_NAT ? take_nat(u, dev->name, err) : take_auto(u, dev, err);
	}
	for (size_t i = 0; r == 0 && i < spec->n; i++)
		if (spec->devs[i].kind->flags & KIND_NAT && !up_has_addresses(u, &spec->devs[i]))
			r = take_nat(u, spec->devs[i].name, err);
	return r;
}

/* ---- uplinks ---- */

static int add_uplink(struct up *u, struct up_dev *d, int ifindex, struct err *err)
{
	struct link_info link;
	struct up_link *p;
	int r;

	for (size_t i = 0; i < d->uplink_n; i++)
		if (d->uplinks[i].ifindex == ifindex)
			return 0;
	r = link_get(&u->host, ifindex, NULL, &link, err);
	if (r < 0)
		return r;
	p = reallocarray(d->uplinks, d->uplink_n + 1, sizeof(*p));
	if (!p)
		return err_sys(err, ENOMEM, "net");
	d->uplinks = p;
	p[d->uplink_n] = (struct up_link){ .ifindex = ifindex, .mtu = link.mtu };
	memcpy(p[d->uplink_n++].name, link.name, sizeof(link.name));
	return 0;
}

bool up_has_family(const struct up *u, const struct up_dev *d, uint8_t family)
{
	for (size_t i = 0; i < u->ip.n; i++)
		if (strcmp(u->ip.p[i].dev, d->dev->name) == 0 && u->ip.p[i].addr.family == family)
			return true;
	return false;
}

/* Does this address of the host share its network with one of the device's? */
static bool shares(const struct up *u, const struct up_dev *d, const struct host_addr *h)
{
	for (size_t i = 0; i < u->ip.n; i++) {
		const struct net_ifaddr *a = &u->ip.p[i];
		if (strcmp(a->dev, d->dev->name) == 0 && net_addr_inside(&a->addr, &h->addr))
			return true;
	}
	return false;
}

int up_uplinks(struct up *u, struct up_dev *d, struct err *err)
{
	struct link_info master = {};
	int r = 0;

	if (d->dev->kind->flags & KIND_NAT)
		return 0;
	if (d->dev->master[0]) {
		r = link_match(&u->host, d->dev->master, &master, err);
		return r < 0 ? r : add_uplink(u, d, master.ifindex, err);
	}
	for (size_t i = 0; r == 0 && i < u->addr_n; i++) {
		const struct host_addr *h = &u->addrs[i];
		if (h->scope == RT_SCOPE_UNIVERSE && shares(u, d, h))
			r = add_uplink(u, d, h->ifindex, err);
	}
	return r;
}

/* ---- gateways ---- */

static const struct host_addr *find_gateway(const struct up *u, const struct up_dev *d, uint8_t family, bool any)
{
	const struct host_addr *loopback = NULL;

	for (size_t i = 0; i < u->addr_n; i++) {
		const struct host_addr *h = &u->addrs[i];
		if (!is_usable(h, family) || (!any && !shares(u, d, h)))
			continue;
		if (h->ifindex != 1)
			return h;
		if (!loopback)
			loopback = h;
	}
	return any ? loopback : NULL;
}

static int gateway(struct up *u, struct up_dev *d, uint8_t family, struct net_addr *ret, struct err *err)
{
	bool any = d->dev->kind->flags & KIND_NAT || u->chosen;
	const struct host_addr *h;

	for (size_t i = 0; u->req->gw && i < u->req->gw->n; i++) {
		const struct net_ifaddr *a = &u->req->gw->p[i];
		if (strcmp(a->dev, d->dev->name) == 0 && a->addr.family == family) {
			*ret = a->addr;
			return 0;
		}
	}
	h = find_gateway(u, d, family, false);
	if (!h && any)
		h = find_gateway(u, d, family, true);
	if (h) {
		*ret = h->addr;
		ret->prefix = family == AF_INET ? 32 : 128;
		return add_uplink(u, d, h->ifindex, err);
	}
	/* Any address will do: what it leads to is a permanent neighbour. */
	if (any)
		return net_addr_parse(family == AF_INET ? "169.254.1.1" : "fe80::1", ret);
	return err_set(err, ERR_InvalidNetworkAddress, "ip: %s: the host has no address in that network to be its gateway; default_gw names "
		       "one", d->dev->name);
}

int up_gateways(struct up *u, struct up_dev *d, struct err *err)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(families); i++)
		if (up_has_family(u, d, families[i]))
			r = gateway(u, d, families[i], &d->gw[i], err);
	return r;
}
