/* veth NAME BRIDGE [MTU] [MAC], and the pair that L3 and NAT are made of. */
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <netlink/netlink.h>
#include <sys/random.h>

#include "base/proc.h"
#include "netctl/up.h"

#define NAME_TRIES 100000
#define INDEX_FIRST 0x10000000u /* far from those that the kernel gives */

/*
 * An index of our choice lets the messages that follow in the same batch name the link: mark and alias are there as soon as it is, so
 * that whatever kills us leaves nothing that nobody knows.
 */
static int random_index(void)
{
	uint32_t random;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		random = (uint32_t)clock_mono();
	return (int)(INDEX_FIRST + random % INDEX_FIRST);
}

static void put_peer(struct nl_msg *msg, const struct up *u, const struct up_dev *d)
{
	struct nlattr *info = nla_nest_start(msg, IFLA_LINKINFO), *data, *peer;
	struct ifinfomsg h = {}; /* IFF_UP here would be ENOTCONN */

	nla_put_string(msg, IFLA_INFO_KIND, "veth");
	data = nla_nest_start(msg, IFLA_INFO_DATA);
	peer = nla_nest_start(msg, VETH_INFO_PEER);
	nlmsg_append(msg, &h, sizeof(h), NLMSG_ALIGNTO);
	nla_put_string(msg, IFLA_IFNAME, d->dev->name);
	nla_put(msg, IFLA_ADDRESS, sizeof(d->mac), d->mac);
	if (d->mtu)
		nla_put_u32(msg, IFLA_MTU, d->mtu);
	nla_put_u32(msg, IFLA_NET_NS_FD, (uint32_t)u->req->ns_fd);
	nla_nest_end(msg, peer);
	nla_nest_end(msg, data);
	nla_nest_end(msg, info);
}

static void add_pair(struct up *u, struct up_dev *d, const char *name, int master)
{
	static const struct net_conf4 routed[] = { { IPV4_DEVCONF_FORWARDING, 1 }, { IPV4_DEVCONF_RP_FILTER, 1 } };
	struct ifinfomsg h = { .ifi_index = d->host };
	char alias[256];
	struct nl_msg *msg = nl_add(&u->b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &h, sizeof(h), "link %s", name);

	nla_put_string(msg, IFLA_IFNAME, name);
	nla_put(msg, IFLA_ADDRESS, sizeof(d->host_mac), d->host_mac);
	nla_put_u32(msg, IFLA_GROUP, NET_GROUP_LIVE);
	if (d->mtu)
		nla_put_u32(msg, IFLA_MTU, d->mtu);
	if (master)
		nla_put_u32(msg, IFLA_MASTER, (uint32_t)master);
	put_peer(msg, u, d);
	up_alias(u, d->dev, alias);
	msg = msg_link(&u->b, d->host, 0, "alias of a link");
	nla_put_string(msg, IFLA_IFALIAS, alias);
	if (!master)
		put_conf4(msg, routed, ARRAY_LEN(routed));
	/* By itself: in one message with an attribute for IPv4 the other family's may be refused as a whole. */
	put_no_address6(msg_link(&u->b, d->host, 0, "IPv6 of a link"));
	nl_may_fail(&u->b, EAFNOSUPPORT);
	msg_link(&u->b, d->host, IFF_UP, "link up");
}

int veth_add(struct up *u, struct up_dev *d, const char *prefix, int master, struct err *err)
{
	struct link_info there;
	int r = -EEXIST, free_here = 0;

	if (!up_mac(u, d->dev, d->mac))
		up_random_mac(d->mac);
	up_random_mac(d->host_mac);
	for (int i = 0; r == -EEXIST && i < NAME_TRIES; i++) {
		char name[IFNAMSIZ];
		unsigned number = __atomic_fetch_add(&u->n->next_name, 1, __ATOMIC_RELAXED) % 1000000;
		size_t failed;
		snprintf(name, sizeof(name), "%s-%u", prefix, number);
		d->host = random_index();
		add_pair(u, d, name, master);
		r = nl_run(&u->host, &u->b, err);
		failed = u->b.failed;
		/* The pair is there, something else failed. */
		if (r < 0 && failed > 0)
			break;
		if (r < 0)
			d->host = 0;
		/* It is the name in the namespace that is taken; or the one here was, and has just gone. */
		if (r == -EEXIST && link_get(&u->host, 0, name, &there, NULL) == -ENODEV && ++free_here > 1)
			break;
	}
	if (d->host) {
		int registered = up_register(u, d, r < 0 ? NULL : err);
		r = r < 0 ? r : registered;
	}
	return r < 0 ? r : up_find_inside(u, d, err);
}

static bool can(const struct net_can *c)
{
	return c->veth && c->bridge;
}

static int add(struct up *u, struct up_dev *d, struct err *err)
{
	struct link_info bridge = {};
	int r = link_match(&u->host, d->dev->master, &bridge, err);

	if (r < 0)
		return r;
	if (strcmp(bridge.kind, "bridge") != 0)
		return err_set(err, ERR_InvalidValue, "net: '%s': not a bridge", bridge.name);
	d->mtu = d->dev->mtu;
	return veth_add(u, d, "portove", bridge.ifindex, err);
}

const struct net_kind kind_veth = {
	.word = "veth",
	.args = "NM",
	.options = "uh",
	.usage = "veth NAME BRIDGE [MTU] [MAC]",
	.flags = KIND_UPLINK | KIND_HOST_END,
	.lacks = "veth or bridge",
	.can = can,
	.add = add,
};
