/* Messages about links, addresses, routes and neighbours. */
#include "netctl/route.h"

#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netlink/netlink.h>

static int length(const struct net_addr *addr)
{
	return addr->family == AF_INET ? 4 : 16;
}

static uint8_t whole(const struct net_addr *addr)
{
	return addr->family == AF_INET ? 32 : 128;
}

struct nl_msg *msg_link(struct nl_batch *b, int ifindex, unsigned flags, const char *what)
{
	struct ifinfomsg h = { .ifi_index = ifindex, .ifi_flags = flags, .ifi_change = flags };

	return nl_add(b, RTM_SETLINK, 0, &h, sizeof(h), "%s", what);
}

void put_conf4(struct nl_msg *msg, const struct net_conf4 *conf, size_t n)
{
	struct nlattr *spec = nla_nest_start(msg, IFLA_AF_SPEC), *family = nla_nest_start(msg, AF_INET);
	struct nlattr *list = nla_nest_start(msg, IFLA_INET_CONF);

	for (size_t i = 0; i < n; i++)
		nla_put_u32(msg, conf[i].key, conf[i].value);
	nla_nest_end(msg, list);
	nla_nest_end(msg, family);
	nla_nest_end(msg, spec);
}

void put_no_address6(struct nl_msg *msg)
{
	struct nlattr *spec = nla_nest_start(msg, IFLA_AF_SPEC), *family = nla_nest_start(msg, AF_INET6);

	nla_put_u8(msg, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	nla_nest_end(msg, family);
	nla_nest_end(msg, spec);
}

void msg_addr(struct nl_batch *b, int ifindex, const struct net_addr *addr, bool host)
{
	struct ifaddrmsg h = { .ifa_family = addr->family,
			       .ifa_prefixlen = host ? whole(addr) : addr->prefix,
			       .ifa_index = (unsigned)ifindex };
	char text[NET_ADDR_TEXT];
	struct nl_msg *msg;

	net_addr_format(addr, text);
	msg = nl_add(b, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &h, sizeof(h), "address %s", text);
	nla_put(msg, IFA_LOCAL, length(addr), addr->a);
	nla_put(msg, IFA_ADDRESS, length(addr), addr->a);
	if (addr->family == AF_INET6)
		nla_put_u32(msg, IFA_FLAGS, IFA_F_NODAD);
	if (addr->family == AF_INET && !host && addr->prefix < 31) {
		struct net_addr all = *addr;
		for (unsigned bit = addr->prefix; bit < 32; bit++)
			all.a[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
		nla_put(msg, IFA_BROADCAST, 4, all.a);
	}
}

void msg_route(struct nl_batch *b, int type, int flags, const struct net_route *route)
{
	struct rtmsg h = { .rtm_family = route->to.family,
			   .rtm_dst_len = route->to.prefix,
			   .rtm_table = RT_TABLE_MAIN,
			   .rtm_protocol = NET_PROTOCOL,
			   .rtm_scope = route->via ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
			   .rtm_type = RTN_UNICAST,
			   .rtm_flags = route->onlink ? RTNH_F_ONLINK : 0 };
	struct net_addr to = route->to;
	char text[NET_ADDR_TEXT];
	struct nl_msg *msg;

	net_addr_format(&to, text);
	for (unsigned bit = to.prefix; bit < whole(&to); bit++)
		to.a[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	msg = nl_add(b, type, flags, &h, sizeof(h), "route to %s", text);
	if (to.prefix > 0)
		nla_put(msg, RTA_DST, length(&to), to.a);
	nla_put_u32(msg, RTA_OIF, (uint32_t)route->ifindex);
	if (route->via)
		nla_put(msg, RTA_GATEWAY, length(route->via), route->via->a);
	if (route->priority)
		nla_put_u32(msg, RTA_PRIORITY, route->priority);
	if (route->mtu || route->ecn) {
		struct nlattr *metrics = nla_nest_start(msg, RTA_METRICS);
		if (route->mtu)
			nla_put_u32(msg, RTAX_MTU, route->mtu);
		if (route->ecn)
			nla_put_u32(msg, RTAX_FEATURES, RTAX_FEATURE_ECN);
		nla_nest_end(msg, metrics);
	}
}

void msg_neigh(struct nl_batch *b, int type, int flags, int ifindex, const struct net_addr *addr, const uint8_t *mac)
{
	struct ndmsg h = { .ndm_family = addr->family,
			   .ndm_ifindex = ifindex,
			   .ndm_state = NUD_PERMANENT,
			   .ndm_flags = mac ? 0 : NTF_PROXY };
	char text[NET_ADDR_TEXT];
	struct nl_msg *msg;

	net_addr_format(addr, text);
	msg = nl_add(b, type, flags, &h, sizeof(h), "%s %s", mac ? "neighbour" : "proxy entry", text);
	nla_put(msg, NDA_DST, length(addr), addr->a);
	if (mac)
		nla_put(msg, NDA_LLADDR, 6, mac);
	if (type == RTM_NEWNEIGH)
		nla_put_u8(msg, NDA_PROTOCOL, NET_PROTOCOL);
}
