/* What the host's own tables say about addresses. */
#include "netctl/host.h"

#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "netctl/priv.h"

int addrs_add(struct addrs *list, const struct net_addr *addr)
{
	if (list->n == list->room) {
		size_t room = list->room ? 2 * list->room : 16;
		struct net_addr *p = reallocarray(list->p, room, sizeof(*p));
		if (!p)
			return -ENOMEM;
		list->p = p;
		list->room = room;
	}
	list->p[list->n++] = *addr;
	return 0;
}

bool addrs_have(const struct addrs *list, const struct net_addr *addr)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->p[i].family == addr->family && memcmp(list->p[i].a, addr->a, sizeof(addr->a)) == 0)
			return true;
	return false;
}

void addrs_done(struct addrs *list)
{
	free(list->p);
	*list = (struct addrs){};
}

/* false: the attribute is missing or of another family. */
static bool addr_get(struct nlattr *a, uint8_t family, uint8_t prefix, struct net_addr *ret)
{
	int size = family == AF_INET ? 4 : 16;

	*ret = (struct net_addr){ .family = family, .prefix = prefix };
	if (!a || (family != AF_INET && family != AF_INET6) || nla_len(a) < size)
		return false;
	memcpy(ret->a, nla_data(a), (size_t)size);
	return true;
}

static uint8_t host_prefix(uint8_t family)
{
	return family == AF_INET ? 32 : 128;
}

/* ---- addresses in use ---- */

struct collect {
	const struct net_addr *net;
	struct addrs *list;
};

static int keep(const struct collect *c, struct nlattr *a, uint8_t family)
{
	struct net_addr addr;

	if (!addr_get(a, family, host_prefix(family), &addr) || !net_addr_inside(&addr, c->net))
		return 0;
	return addrs_add(c->list, &addr);
}

static int on_address(void *arg, struct nlmsghdr *h)
{
	const struct ifaddrmsg *m = nlmsg_data(h);
	struct nlattr *local = nlmsg_find_attr(h, sizeof(*m), IFA_LOCAL);

	return keep(arg, local ? local : nlmsg_find_attr(h, sizeof(*m), IFA_ADDRESS), m->ifa_family);
}

static int on_route(void *arg, struct nlmsghdr *h)
{
	const struct rtmsg *m = nlmsg_data(h);
	int r = 0;

	if (m->rtm_dst_len == host_prefix(m->rtm_family))
		r = keep(arg, nlmsg_find_attr(h, sizeof(*m), RTA_DST), m->rtm_family);
	if (r == 0)
		r = keep(arg, nlmsg_find_attr(h, sizeof(*m), RTA_GATEWAY), m->rtm_family);
	return r;
}

int host_addresses(struct nl *nl, const struct net_addr *net, struct addrs *ret, struct err *err)
{
	struct ifaddrmsg ifa = { .ifa_family = net->family };
	struct rtmsg rt = { .rtm_family = net->family };
	struct collect c = { net, ret };
	int r = nl_list(nl, RTM_GETADDR, &ifa, sizeof(ifa), on_address, &c, err);

	if (r == 0)
		r = nl_list(nl, RTM_GETROUTE, &rt, sizeof(rt), on_route, &c, err);
	return r == -ENOMEM ? err_sys(err, ENOMEM, "addresses of the host") : r;
}

static int on_match(void *arg, struct nlmsghdr *h)
{
	const struct rtmsg *m = nlmsg_data(h);

	*(bool *)arg = m->rtm_dst_len == host_prefix(m->rtm_family);
	return 0;
}

bool host_has_route(struct nl *nl, const struct net_addr *addr)
{
	uint8_t prefix = host_prefix(addr->family);
	struct rtmsg rt = { .rtm_family = addr->family, .rtm_dst_len = prefix, .rtm_flags = RTM_F_FIB_MATCH };
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETROUTE, 0);
	bool exact = false;

	if (!msg || nlmsg_append(msg, &rt, sizeof(rt), NLMSG_ALIGNTO) < 0 || nla_put(msg, RTA_DST, prefix / 8, addr->a) < 0) {
		nlmsg_free(msg);
		return false;
	}
	return nl_query(nl, msg, on_match, &exact, "route", NULL) == 0 && exact;
}

static int on_way(void *arg, struct nlmsghdr *h)
{
	struct nlattr *oif = nlmsg_find_attr(h, sizeof(struct rtmsg), RTA_OIF);

	if (h->nlmsg_type == RTM_NEWROUTE && oif)
		*(int *)arg = (int)nla_get_u32(oif);
	return 0;
}

int host_way_out(struct nl *nl)
{
	static const uint8_t nobody[4] = { 203, 0, 113, 1 }; /* for documentation, RFC 5737 */
	struct rtmsg rt = { .rtm_family = AF_INET, .rtm_dst_len = 32 };
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETROUTE, 0);
	int ifindex = 0;

	if (!msg || nlmsg_append(msg, &rt, sizeof(rt), NLMSG_ALIGNTO) < 0 || nla_put(msg, RTA_DST, sizeof(nobody), nobody) < 0) {
		nlmsg_free(msg);
		return 0;
	}
	return nl_query(nl, msg, on_way, &ifindex, "route", NULL) == 0 ? ifindex : 0;
}

/* ---- a default for the pool ---- */

/* Blocks that few use: not the first of each range, which routers, virtual machines and other container managers take. */
static const char *const blocks4[] = { "10.213.0.0/16",  "10.87.0.0/16",  "172.27.0.0/16",
				       "100.91.0.0/16",  "172.22.0.0/16", "192.168.192.0/18" };
static const char *const blocks6[] = { "fd70:6f72:746f::/64", "fd70:6f72:7470::/64", "fd70:6f72:7471::/64" };

struct blocks {
	struct net_addr net[ARRAY_LEN(blocks4)];
	bool used[ARRAY_LEN(blocks4)];
	size_t n;
	int *ours; /* our links: what leads there are addresses of such a pool */
	size_t link_count;
};

static int on_link(void *arg, struct nlmsghdr *h)
{
	const struct ifinfomsg *m = nlmsg_data(h);
	struct nlattr *group = nlmsg_find_attr(h, sizeof(*m), IFLA_GROUP);
	struct blocks *b = arg;
	int *p;

	if (!group || (nla_get_u32(group) != NET_GROUP_LIVE && nla_get_u32(group) != NET_GROUP_DYING))
		return 0;
	p = reallocarray(b->ours, b->link_count + 1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	b->ours = p;
	b->ours[b->link_count++] = m->ifi_index;
	return 0;
}

static bool is_ours(const struct blocks *b, struct nlattr *oif)
{
	for (size_t i = 0; oif && i < b->link_count; i++)
		if (b->ours[i] == (int)nla_get_u32(oif))
			return true;
	return false;
}

static int on_overlap(void *arg, struct nlmsghdr *h)
{
	const struct rtmsg *m = nlmsg_data(h);
	struct blocks *b = arg;
	struct net_addr dst;

	if (m->rtm_dst_len == 0 || !addr_get(nlmsg_find_attr(h, sizeof(*m), RTA_DST), m->rtm_family, m->rtm_dst_len, &dst))
		return 0;
	for (size_t i = 0; i < b->n; i++)
		if ((net_addr_inside(&dst, &b->net[i]) || net_addr_inside(&b->net[i], &dst)) &&
		    !is_ours(b, nlmsg_find_attr(h, sizeof(*m), RTA_OIF)))
			b->used[i] = true;
	return 0;
}

static int first_free(struct nl *nl, uint8_t family, const char *const *texts, size_t n, struct net_addr *ret)
{
	struct ifinfomsg link = { .ifi_family = AF_UNSPEC };
	struct rtmsg rt = { .rtm_family = family };
	struct blocks b = { .n = n };
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = net_addr_parse(texts[i], &b.net[i]);
	if (r == 0)
		r = nl_list(nl, RTM_GETLINK, &link, sizeof(link), on_link, &b, NULL);
	if (r == 0)
		r = nl_list(nl, RTM_GETROUTE, &rt, sizeof(rt), on_overlap, &b, NULL);
	free(b.ours);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		if (b.used[i])
			continue;
		*ret = b.net[i];
		ret->prefix = host_prefix(family);
		ret->a[host_prefix(family) / 8 - 1] = 1;
		return 0;
	}
	return -ENOENT;
}

/* Will new devices have it? */
static bool has_ipv6(void)
{
	char off[8];

	return file_read_small(AT_FDCWD, "/proc/sys/net/ipv6/conf/all/disable_ipv6", off, sizeof(off)) > 0 && off[0] == '0' &&
	       file_read_small(AT_FDCWD, "/proc/sys/net/ipv6/conf/default/disable_ipv6", off, sizeof(off)) > 0 && off[0] == '0';
}

int net_default_pool(struct net_addr *v4, struct net_addr *v6)
{
	autonl struct nl nl = {};
	int r, r6;

	*v4 = *v6 = (struct net_addr){};
	r = nl_open(&nl, NETLINK_ROUTE, -1, NULL);
	if (r < 0)
		return r;
	r = first_free(&nl, AF_INET, blocks4, ARRAY_LEN(blocks4), v4);
	r6 = has_ipv6() ? first_free(&nl, AF_INET6, blocks6, ARRAY_LEN(blocks6), v6) : -ENOENT;
	return r < 0 && r6 < 0 ? r : 0;
}
