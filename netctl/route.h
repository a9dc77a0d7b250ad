/* netctl/route.h: messages about links, addresses, routes and neighbours, put in a batch; and what the kernel says of a link. */
#ifndef NETCTL_ROUTE_H
#define NETCTL_ROUTE_H

#include "netctl/priv.h"

/* ---- messages ---- */

/* RTM_NEWLINK for one that is there (RTM_SETLINK): flags IFF_UP or 0; further attributes by the caller. */
struct nl_msg *msg_link(struct nl_batch *b, int ifindex, unsigned flags, const char *what);

/* Bits of a family's configuration of a link, in a message of msg_link: pairs of IPV4_DEVCONF_* and value. */
struct net_conf4 {
	int key;
	uint32_t value;
};
void put_conf4(struct nl_msg *msg, const struct net_conf4 *conf, size_t n);
/* IPv6 makes itself no address on it. The link must be down. */
void put_no_address6(struct nl_msg *msg);

/* host: /32 or /128 whatever its prefix. It can be used at once. */
void msg_addr(struct nl_batch *b, int ifindex, const struct net_addr *addr, bool host);

struct net_route {
	struct net_addr to; /* its prefix; 0: default */
	int ifindex;
	const struct net_addr *via; /* NULL: on the link */
	bool onlink;                /* via is, even if no route says so */
	uint32_t mtu, priority;     /* 0: the kernel's */
	bool ecn;
};
void msg_route(struct nl_batch *b, int type, int flags, const struct net_route *route);

/* A permanent neighbour (mac), or an address that the host answers for (mac NULL). */
void msg_neigh(struct nl_batch *b, int type, int flags, int ifindex, const struct net_addr *addr, const uint8_t *mac);

/* ---- links as they are ---- */

struct link_info {
	int ifindex, peer; /* peer: its index in its namespace, 0: none */
	int nsid;          /* of the peer's namespace, -1: none */
	uint32_t group, mtu;
	char name[IFNAMSIZ], kind[16];
	uint8_t mac[6];
	bool up, running; /* running: it carries packets */
	char alias[256];
};

/* False: not a message about a link. */
bool link_parse(struct nlmsghdr *h, struct link_info *ret);
/* By index, or by name where that is 0. -ENODEV */
int link_get(struct nl *nl, int ifindex, const char *name, struct link_info *ret, struct err *err);
/* The first whose name matches the mask (? and *), none of ours. InvalidValue. */
int link_match(struct nl *nl, const char *mask, struct link_info *ret, struct err *err);
/* The number that a namespace has for this socket; -1: none. */
int nsid_get(struct nl *nl, int ns_fd);

/* ---- addresses of the host ---- */

struct host_addr {
	int ifindex;
	uint8_t scope;
	struct net_addr addr;
};

/* All of the namespace of nl, for the caller to free. */
int host_addrs(struct nl *nl, struct host_addr **ret, size_t *count, struct err *err);


/* down.c: it goes in net_sweep, once dying_add knows it. */
void link_mark_dying(struct nl_batch *b, int ifindex);

#endif
