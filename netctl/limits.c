/*
 * Limits of an owner with a network of its own, over all its devices. It has one class of traffic, that of its net_tos:
 * keys with another CSn don't apply to it.
 */
#include "netctl/classes.h"
#include "netctl/kinds.h"

static bool has_rates(const struct net_rates *rates)
{
	for (size_t i = 0; i < rates->n; i++)
		if (rates->p[i].rate)
			return true;
	return false;
}

/*
 * What can't be had on the owner's own devices is had by a class on the host's: the guarantee, which holds where
 * packets leave the host, and the limit of devices without an end here. Packets that come over a link are given the
 * class there (nat.c), those of other devices have it from their cgroup.
 */
static int class_apply(struct netctl *n, uint32_t id, const struct net_link *links, int count,
		       const struct net_limits *limits, const char *group, struct err *err)
{
	uint64_t tx = 0, least = 0;
	uint32_t classid;
	int r;

	for (int i = 0; i < count; i++) {
		if (!links[i].uplink)
			continue;
		least = MAX(least, net_rate_of(&limits->guarantee, links[i].dev, group, limits->tos));
		if (links[i].ifindex == 0)
			tx = MAX(tx, net_rate_of(&limits->tx, links[i].dev, group, limits->tos));
	}
	if (!tx && !least && net_class_id(n, id) == 0)
		return 0;
	r = class_of_links(n, id, tx, least, err);
	classid = net_class_id(n, id);
	for (int i = 0; i < count && r == 0; i++)
		if (links[i].ifindex && links[i].uplink)
			r = nat_class(n, links[i].ifindex, classid, err);
	return r;
}

/* The rates of now for each link; those of before are in `links`. What was done is in `now` when it fails. */
static int links_apply(struct netctl *n, struct nl *host, struct net_link *now, int count,
		       const struct net_limits *limits, const char *group, struct err *err)
{
	int r = 0;

	for (int i = 0; i < count && r == 0; i++) {
		if (!now[i].uplink && !now[i].borrowed)
			continue;
		r = shape_link(n, host, &now[i], net_rate_of(&limits->tx, now[i].dev, group, limits->tos),
			       net_rate_of(&limits->rx, now[i].dev, group, limits->tos), err);
	}
	return r;
}

int net_limits_apply(struct netctl *n, uint32_t id, const struct net_limits *limits, struct err *err)
{
	autofree struct net_link *links = NULL, *now = NULL;
	int r, count = links_of(n, id, &links);
	autonl struct nl host = {};
	char group[IFNAMSIZ];

	if (count <= 0)
		return count < 0 ? err_sys(err, ENOMEM, "limits") : 0;
	now = calloc((size_t)count, sizeof(*now));
	if (!now)
		return err_sys(err, ENOMEM, "limits");
	memcpy(now, links, (size_t)count * sizeof(*now));
	r = nl_open(&host, NETLINK_ROUTE, n->host_ns, err);
	if (r < 0)
		return r;
	/* All devices inside are of the first group, unless it is changed there. */
	hostdev_group_name(0, group, sizeof(group));
	r = links_apply(n, &host, now, count, limits, group, err);
	if (r == 0)
		r = class_apply(n, id, links, count, limits, group, err);
	for (int i = 0; i < count; i++) {
		if (r < 0) /* the old ones stay in force; those that were not reached have them */
			shape_link(n, &host, &now[i], links[i].tx_rate, links[i].rx_rate, NULL);
		links_update(n, &now[i]);
	}
	return r;
}

/* ---- before there are links ---- */

static int dev_check(struct netctl *n, const struct net_dev *dev, const struct net_limits *limits, const char *group,
		     struct err *err)
{
	uint64_t tx = net_rate_of(&limits->tx, dev->name, group, limits->tos);
	uint64_t rx = net_rate_of(&limits->rx, dev->name, group, limits->tos);
	bool stolen = dev->kind == &kind_steal || dev->kind == &kind_host;
	int r;

	if ((!tx && !rx) || (!(dev->kind->flags & KIND_UPLINK) && !stolen))
		return 0;
	if (dev->kind->flags & KIND_HOST_END)
		return shape_check(n, tx, rx, err);
	r = shape_check_hostless(dev->name, stolen, tx, rx, err);
	return r == 0 && tx ? class_check(n, "net_limit", err) : r;
}

int net_limits_check(struct netctl *n, const struct net_spec *spec, const struct net_limits *limits, struct err *err)
{
	char group[IFNAMSIZ];
	int r = 0;

	if (spec->mode == NET_CONTAINER || spec->mode == NET_NETNS)
		return has_rates(&limits->tx) || has_rates(&limits->rx)
			       ? err_set(err, ERR_NotSupported,
					 "limits of this network are those of the one whose it is")
			       : 0;
	if (spec->mode == NET_INHERITED && has_rates(&limits->rx))
		return err_set(err, ERR_NotSupported,
			       "net_rx_limit needs a network of its own: what comes in can't be told apart before");
	if (spec->mode == NET_INHERITED)
		return has_rates(&limits->tx) || has_rates(&limits->guarantee) ? class_check(n, "net_limit", err) : 0;
	hostdev_group_name(0, group, sizeof(group));
	for (size_t i = 0; i < spec->n && r == 0; i++)
		r = dev_check(n, &spec->devs[i], limits, group, err);
	if (r == 0 && has_rates(&limits->guarantee))
		r = class_check(n, "net_guarantee", err);
	return r;
}
