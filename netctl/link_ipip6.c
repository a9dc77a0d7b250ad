/* ipip6 NAME REMOTE LOCAL: IPv4 in IPv6; and ip6tnl0, which the kernel may have put in a new namespace. */
#include "netctl/up.h"

#include <linux/if_link.h>
#include <linux/if_tunnel.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <netlink/netlink.h>

#define IPIP6_MTU 1452 /* 1500 less the IPv6 header and the option that limits encapsulation */
#define IPIP6_QUEUES 8
#define IPIP6_TTL 64
#define IPIP6_ENCAP_LIMIT 4

static int add(struct up *u, struct up_dev *d, struct err *err)
{
	const struct net_dev *dev = d->dev;
	struct nlattr *info, *data;
	struct ifinfomsg h = {};
	struct nl_msg *msg;
	int r;

	d->mtu = dev->mtu ? dev->mtu : IPIP6_MTU;
	msg = nl_add(&u->b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &h, sizeof(h), "ipip6 %s", dev->name);
	nla_put_string(msg, IFLA_IFNAME, dev->name);
	nla_put_u32(msg, IFLA_MTU, d->mtu);
	nla_put_u32(msg, IFLA_NUM_TX_QUEUES, IPIP6_QUEUES);
	info = nla_nest_start(msg, IFLA_LINKINFO);
	nla_put_string(msg, IFLA_INFO_KIND, "ip6tnl");
	data = nla_nest_start(msg, IFLA_INFO_DATA);
	nla_put_u8(msg, IFLA_IPTUN_PROTO, IPPROTO_IPIP);
	nla_put(msg, IFLA_IPTUN_REMOTE, 16, dev->remote.a);
	nla_put(msg, IFLA_IPTUN_LOCAL, 16, dev->local.a);
	nla_put_u8(msg, IFLA_IPTUN_TTL, IPIP6_TTL);
	nla_put_u8(msg, IFLA_IPTUN_ENCAP_LIMIT, IPIP6_ENCAP_LIMIT);
	nla_nest_end(msg, data);
	nla_nest_end(msg, info);
	r = nl_run(&u->in, &u->b, err);
	return r < 0 ? r : up_find_inside(u, d, err);
}

static bool can(const struct net_can *c)
{
	return c->ip6tnl;
}

/* Not there: then there is nothing to set. */
static int find(struct up *u, struct up_dev *d, struct err *err)
{
	int r = up_find_inside(u, d, err);

	if (r == -ENODEV)
		return 0;
	if (r == 0 && d->dev->mtu)
		nla_put_u32(msg_link(&u->b, d->ifindex, 0, "MTU of ip6tnl0"), IFLA_MTU, d->dev->mtu);
	return r < 0 ? r : nl_run(&u->in, &u->b, err);
}

const struct net_kind kind_ipip6 = {
	.word = "ipip6",
	.args = "NRL",
	.options = "",
	.usage = "ipip6 NAME REMOTE LOCAL, two IPv6 addresses",
	.lacks = "ip6tnl",
	.can = can,
	.add = add,
};

const struct net_kind kind_ip6tnl0 = { .args = "", .options = "", .name = "ip6tnl0", .add = find };
