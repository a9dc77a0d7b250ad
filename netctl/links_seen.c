/* What the kernel says of links, namespaces and addresses of the host. */
#include "netctl/route.h"

#include <fnmatch.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <netlink/netlink.h>

/* ---- links ---- */

static void copy_text(char *to, size_t size, struct nlattr *a)
{
	if (a)
		snprintf(to, size, "%.*s", nla_len(a), (const char *)nla_data(a));
}

bool link_parse(struct nlmsghdr *h, struct link_info *ret)
{
	struct nlattr *a[IFLA_MAX + 1], *info[IFLA_INFO_MAX + 1];
	const struct ifinfomsg *ifi = nlmsg_data(h);

	if (h->nlmsg_type != RTM_NEWLINK || nlmsg_parse(h, sizeof(*ifi), a, IFLA_MAX, NULL) < 0)
		return false;
	*ret = (struct link_info){ .ifindex = ifi->ifi_index, .nsid = -1, .up = ifi->ifi_flags & IFF_UP };
	copy_text(ret->name, sizeof(ret->name), a[IFLA_IFNAME]);
	copy_text(ret->alias, sizeof(ret->alias), a[IFLA_IFALIAS]);
	if (a[IFLA_LINKINFO] && nla_parse_nested(info, IFLA_INFO_MAX, a[IFLA_LINKINFO], NULL) == 0)
		copy_text(ret->kind, sizeof(ret->kind), info[IFLA_INFO_KIND]);
	ret->group = a[IFLA_GROUP] ? nla_get_u32(a[IFLA_GROUP]) : 0;
	ret->mtu = a[IFLA_MTU] ? nla_get_u32(a[IFLA_MTU]) : 0;
	ret->peer = a[IFLA_LINK] ? (int)nla_get_u32(a[IFLA_LINK]) : 0;
	ret->running = a[IFLA_OPERSTATE] && nla_get_u8(a[IFLA_OPERSTATE]) == IF_OPER_UP;
	if (a[IFLA_LINK_NETNSID])
		ret->nsid = nla_get_s32(a[IFLA_LINK_NETNSID]);
	if (a[IFLA_ADDRESS] && nla_len(a[IFLA_ADDRESS]) == (int)sizeof(ret->mac))
		memcpy(ret->mac, nla_data(a[IFLA_ADDRESS]), sizeof(ret->mac));
	return true;
}

static int keep_link(void *arg, struct nlmsghdr *h)
{
	return link_parse(h, arg) ? 0 : -EPROTO;
}

int link_get(struct nl *nl, int ifindex, const char *name, struct link_info *ret, struct err *err)
{
	struct ifinfomsg h = { .ifi_index = ifindex };
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETLINK, 0);
	struct link_info info;
	char number[16];
	int r;

	snprintf(number, sizeof(number), "%d", ifindex);
	if (msg) {
		nlmsg_append(msg, &h, sizeof(h), NLMSG_ALIGNTO);
		if (ifindex == 0)
			nla_put_string(msg, IFLA_IFNAME, name);
	}
	r = nl_query(nl, msg, keep_link, &info, ifindex ? number : name, err);
	if (r == 0)
		*ret = info;
	return r;
}

static bool is_ours(const struct link_info *link)
{
	return link->group == NET_GROUP_LIVE || link->group == NET_GROUP_DYING || link->group == NET_GROUP_SWEEP;
}

struct match {
	const char *mask;
	struct link_info *ret;
};

static int try_match(void *arg, struct nlmsghdr *h)
{
	const struct match *m = arg;
	struct link_info link;

	if (!link_parse(h, &link) || is_ours(&link) || strcmp(link.name, "lo") == 0 || fnmatch(m->mask, link.name, FNM_NOESCAPE) != 0)
		return 0;
	*m->ret = link;
	return 1;
}

int link_match(struct nl *nl, const char *mask, struct link_info *ret, struct err *err)
{
	struct match m = { mask, ret };
	struct ifinfomsg h = {};
	int r;

	/* A dump grows with the number of containers: only for masks. */
	if (strpbrk(mask, "?*")) {
		r = nl_list(nl, RTM_GETLINK, &h, sizeof(h), try_match, &m, err);
		if (r < 0)
			return r;
	} else {
		r = link_get(nl, 0, mask, ret, err);
		if (r < 0 && r != -ENODEV)
			return r;
		r = r == 0;
	}
	return r == 1 ? 0 : err_set(err, ERR_InvalidValue, "net: '%s': the host has no such device", mask);
}

/* ---- namespaces ---- */

static int keep_nsid(void *arg, struct nlmsghdr *h)
{
	struct nlattr *a = nlmsg_find_attr(h, sizeof(struct rtgenmsg), NETNSA_NSID);

	*(int *)arg = a ? nla_get_s32(a) : -1;
	return 0;
}

int nsid_get(struct nl *nl, int ns_fd)
{
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETNSID, 0);
	struct rtgenmsg h = {};
	int nsid = -1;

	if (msg) {
		nlmsg_append(msg, &h, sizeof(h), NLMSG_ALIGNTO);
		nla_put_u32(msg, NETNSA_FD, (uint32_t)ns_fd);
	}
	return nl_query(nl, msg, keep_nsid, &nsid, "number of a namespace", NULL) < 0 ? -1 : nsid;
}

/* ---- addresses ---- */

struct addr_list {
	struct host_addr *p;
	size_t n, room;
};

static int keep_addr(void *arg, struct nlmsghdr *h)
{
	struct addr_list *list = arg;
	const struct ifaddrmsg *ifa = nlmsg_data(h);
	struct nlattr *a[IFA_MAX + 1], *local;
	struct host_addr *to;

	if (h->nlmsg_type != RTM_NEWADDR || nlmsg_parse(h, sizeof(*ifa), a, IFA_MAX, NULL) < 0)
		return 0;
	/* On a point-to-point link IFA_ADDRESS is the other side's. */
	local = a[IFA_LOCAL] ? a[IFA_LOCAL] : a[IFA_ADDRESS];
	if (!local || nla_len(local) != (ifa->ifa_family == AF_INET ? 4 : 16))
		return 0;
	if (list->n == list->room) {
		size_t room = list->room ? 2 * list->room : 16;
		to = reallocarray(list->p, room, sizeof(*to));
		if (!to)
			return -ENOMEM;
		list->p = to;
		list->room = room;
	}
	to = &list->p[list->n++];
	*to = (struct host_addr){ .ifindex = (int)ifa->ifa_index,
				  .scope = ifa->ifa_scope,
				  .addr = { .family = ifa->ifa_family, .prefix = ifa->ifa_prefixlen } };
	memcpy(to->addr.a, nla_data(local), (size_t)nla_len(local));
	return 0;
}

int host_addrs(struct nl *nl, struct host_addr **ret, size_t *count, struct err *err)
{
	struct addr_list list = {};
	struct ifaddrmsg h = {};
	int r = nl_list(nl, RTM_GETADDR, &h, sizeof(h), keep_addr, &list, err);

	if (r < 0) {
		free(list.p);
		return r;
	}
	*ret = list.p;
	*count = list.n;
	return 0;
}

int net_dev_host_name(struct netctl *n, uint32_t id, const char *dev, struct text *out)
{
	autofree struct net_link *links = NULL;
	int count = links_of(n, id, &links), r = -ENOENT;
	struct link_info info = {};
	struct nl host;

	if (count < 0)
		return count;
	for (int i = 0; i < count; i++) {
		if (strcmp(links[i].dev, dev) != 0 || links[i].ifindex == 0)
			continue;
		r = nl_open(&host, NETLINK_ROUTE, n->host_ns, NULL);
		if (r < 0)
			return r;
		r = link_get(&host, links[i].ifindex, NULL, &info, NULL);
		nl_done(&host);
		if (r == 0)
			text_add(out, info.name);
		break;
	}
	return r == -ENODEV ? -ENOENT : r;
}
