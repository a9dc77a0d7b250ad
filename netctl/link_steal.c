/* steal DEV, host DEV: a device of the host moves into the namespace, and back afterwards. */
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netlink/netlink.h>

#include "netctl/up.h"

static int add(struct up *u, struct up_dev *d, struct err *err)
{
	struct link_info link = {};
	struct nl_msg *msg;
	int r = link_match(&u->host, d->dev->master, &link, err);

	if (r < 0)
		return r;
	if (link.group == NET_GROUP_LIVE)
		return err_set(err, ERR_InvalidValue, "net: '%s': belongs to another container", link.name);
	d->ifindex = link.ifindex;
	d->mtu = d->dev->mtu ? d->dev->mtu : link.mtu;
	msg = msg_link(&u->b, link.ifindex, 0, "device that is moved");
	nla_put_u32(msg, IFLA_NET_NS_FD, (uint32_t)u->req->ns_fd);
	if (d->dev->mtu)
		nla_put_u32(msg, IFLA_MTU, d->dev->mtu);
	if (d->dev->has_mac)
		nla_put(msg, IFLA_ADDRESS, sizeof(d->dev->mac), d->dev->mac);
	r = nl_run(&u->host, &u->b, err);
	if (r == 0)
		r = up_register(u, d, err);
	return r < 0 ? r : up_find_inside(u, d, err);
}

const struct net_kind kind_steal = { .word = "steal", .args = "S", .options = "", .usage = "steal DEV", .add = add };
const struct net_kind kind_host = { .word = "host", .args = "S", .options = "", .usage = "host DEV", .add = add };
