/* tap NAME: a persistent tap of a user in the host's namespace, its addresses routed as L3. */
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>
#include <netlink/netlink.h>
#include <sys/ioctl.h>

#include "netctl/up.h"

/* Until it is told to persist, the device ends with the descriptor. */
static int tun_open(const struct up *u, const char *name)
{
	struct ifreq ifr = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_TUN_EXCL) };
	int back, fd, r = ns_enter(u->n->host_ns, &back);

	if (r < 0)
		return r;
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	r = fd < 0 ? -errno : 0;
	ns_leave(back);
	if (r < 0)
		return r;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

/* The name of one that only waits for net_sweep is free. True: it is gone now. */
static bool delete_dying(struct up *u, const char *name)
{
	struct ifinfomsg h = {};
	struct link_info link;

	if (link_get(&u->host, 0, name, &link, NULL) < 0 || (link.group != NET_GROUP_DYING && link.group != NET_GROUP_SWEEP))
		return false;
	h.ifi_index = link.ifindex;
	nl_add(&u->b, RTM_DELLINK, 0, &h, sizeof(h), "tap of before");
	nl_may_fail(&u->b, ENODEV);
	return nl_run(&u->host, &u->b, NULL) == 0;
}

/* Marked before it persists: what kills us in between leaves nothing. */
static void mark(struct up *u, struct up_dev *d)
{
	static const struct net_conf4 conf[] = { { IPV4_DEVCONF_FORWARDING, 1 }, { IPV4_DEVCONF_PROXY_ARP, 1 } };
	struct nl_msg *msg = msg_link(&u->b, d->host, 0, "alias of a tap");
	char alias[256];

	up_alias(u, d->dev, alias);
	nla_put_u32(msg, IFLA_GROUP, NET_GROUP_LIVE);
	nla_put_string(msg, IFLA_IFALIAS, alias);
	if (d->dev->mtu)
		nla_put_u32(msg, IFLA_MTU, d->dev->mtu);
	if (d->dev->has_mac)
		nla_put(msg, IFLA_ADDRESS, sizeof(d->dev->mac), d->dev->mac);
	put_conf4(msg, conf, ARRAY_LEN(conf));
	put_no_address6(msg_link(&u->b, d->host, 0, "IPv6 of a tap"));
	nl_may_fail(&u->b, EAFNOSUPPORT);
	msg_link(&u->b, d->host, IFF_UP, "tap up");
}

static int add(struct up *u, struct up_dev *d, struct err *err)
{
	struct link_info link;
	autoclose int fd = -1;
	int r = up_uplinks(u, d, err);

	if (r < 0)
		return r;
	fd = tun_open(u, d->dev->name);
	if (fd == -EBUSY && delete_dying(u, d->dev->name))
		fd = tun_open(u, d->dev->name);
	if (fd == -EBUSY || fd == -EINVAL)
		return err_set(err, ERR_ResourceNotAvailable, "net: '%s': the host has a device of that name", d->dev->name);
	if (fd < 0)
		return err_sys(err, -fd, "tap %s", d->dev->name);
	r = link_get(&u->host, 0, d->dev->name, &link, err);
	if (r < 0)
		return r;
	d->host = d->ifindex = link.ifindex;
	d->mtu = d->dev->mtu ? d->dev->mtu : link.mtu;
	mark(u, d);
	r = nl_run(&u->host, &u->b, err);
	if (r < 0)
		return r;
	if (ioctl(fd, TUNSETOWNER, (unsigned long)u->req->uid) < 0 || ioctl(fd, TUNSETGROUP, (unsigned long)u->req->gid) < 0 ||
	    ioctl(fd, TUNSETPERSIST, 1UL) < 0)
		return err_sys(err, errno, "tap %s", d->dev->name);
	return up_register(u, d, err);
}

static bool can(const struct net_can *c)
{
	return c->tun;
}

const struct net_kind kind_tap = {
	.word = "tap",
	.args = "N",
	.options = "",
	.usage = "tap NAME",
	.flags = KIND_L3 | KIND_SHARED | KIND_HOST_END,
	.lacks = "tun",
	.can = can,
	.add = add,
};
