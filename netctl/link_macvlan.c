/* macvlan MASTER NAME [MODE] [MTU] [MAC] and ipvlan MASTER NAME [MODE] [MTU]: made straight in the namespace, nothing of them is on the host. */
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netlink/netlink.h>

#include "netctl/up.h"

static const char *const macvlan_modes[] = { "bridge", "private", "vepa", "passthru", NULL };
static const uint32_t macvlan_values[] = { MACVLAN_MODE_BRIDGE, MACVLAN_MODE_PRIVATE, MACVLAN_MODE_VEPA, MACVLAN_MODE_PASSTHRU };
static const char *const ipvlan_modes[] = { "l2", "l3", NULL };
static const uint32_t ipvlan_values[] = { IPVLAN_MODE_L2, IPVLAN_MODE_L3 };

/* The first is the default. */
static size_t mode_index(const struct net_dev *dev)
{
	for (size_t i = 0; dev->kind->modes[i]; i++)
		if (strcmp(dev->kind->modes[i], dev->mode) == 0)
			return i;
	return 0;
}

static void put_mode(struct nl_msg *msg, const struct net_dev *dev)
{
	size_t i = mode_index(dev);

	if (dev->kind == &kind_macvlan)
		nla_put_u32(msg, IFLA_MACVLAN_MODE, macvlan_values[i]);
	else
		nla_put_u16(msg, IFLA_IPVLAN_MODE, (uint16_t)ipvlan_values[i]);
}

/*
 * Kernels before 6.14 or so look for the new name on the host's side too, where the master may well have it: the device is made
 * with another one, and named in its namespace.
 */
static int name_inside(struct up *u, const char *made, const char *name, struct err *err)
{
	struct link_info link;
	struct ifinfomsg h = {};
	int r = link_get(&u->in, 0, made, &link, err);

	if (r < 0)
		return r;
	h.ifi_index = link.ifindex;
	nla_put_string(nl_add(&u->b, RTM_NEWLINK, 0, &h, sizeof(h), "name %s", name), IFLA_IFNAME, name);
	return nl_run(&u->in, &u->b, err);
}

static int add(struct up *u, struct up_dev *d, struct err *err)
{
	const struct net_dev *dev = d->dev;
	char made[IFNAMSIZ];
	struct nlattr *info, *data;
	struct ifinfomsg h = {};
	struct link_info master = {};
	struct nl_msg *msg;
	int r = link_match(&u->host, dev->master, &master, err);

	if (r < 0)
		return r;
	msg = nl_add(&u->b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &h, sizeof(h), "%s %s", dev->kind->word, dev->name);
	snprintf(made, sizeof(made), "pmv%x.%x", (unsigned)(u->req->id & 0xffffff), __atomic_fetch_add(&u->n->next_name, 1, __ATOMIC_RELAXED) & 0xffff);
	nla_put_string(msg, IFLA_IFNAME, made);
	nla_put_u32(msg, IFLA_LINK, (uint32_t)master.ifindex);
	nla_put_u32(msg, IFLA_NET_NS_FD, (uint32_t)u->req->ns_fd);
	if (dev->mtu)
		nla_put_u32(msg, IFLA_MTU, dev->mtu);
	if (dev->kind == &kind_macvlan && up_mac(u, dev, d->mac))
		nla_put(msg, IFLA_ADDRESS, sizeof(d->mac), d->mac);
	info = nla_nest_start(msg, IFLA_LINKINFO);
	nla_put_string(msg, IFLA_INFO_KIND, dev->kind->word);
	data = nla_nest_start(msg, IFLA_INFO_DATA);
	put_mode(msg, dev);
	nla_nest_end(msg, data);
	nla_nest_end(msg, info);
	r = nl_run(&u->host, &u->b, err);
	d->mtu = dev->mtu ? dev->mtu : master.mtu;
	if (r == 0)
		r = name_inside(u, made, dev->name, err);
	if (r == 0)
		r = up_find_inside(u, d, err);
	return r < 0 ? r : up_register(u, d, err);
}

static bool can_macvlan(const struct net_can *c)
{
	return c->macvlan;
}

static bool can_ipvlan(const struct net_can *c)
{
	return c->ipvlan;
}

const struct net_kind kind_macvlan = {
	.word = "macvlan",
	.args = "MN",
	.options = "kuh",
	.usage = "macvlan MASTER NAME [bridge|private|vepa|passthru] [MTU] [MAC]",
	.modes = macvlan_modes,
	.flags = KIND_UPLINK,
	.lacks = "macvlan",
	.can = can_macvlan,
	.add = add,
};

const struct net_kind kind_ipvlan = {
	.word = "ipvlan",
	.args = "MN",
	.options = "ku",
	.usage = "ipvlan MASTER NAME [l2|l3] [MTU]",
	.modes = ipvlan_modes,
	.flags = KIND_UPLINK,
	.lacks = "ipvlan",
	.can = can_ipvlan,
	.add = add,
};
