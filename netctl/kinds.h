/*
 * netctl/kinds.h: the table of kinds of devices. A kind is a row in its own file, link_*.c, and a line in kinds.c.
 */
#ifndef NETCTL_KINDS_H
#define NETCTL_KINDS_H

#include "netctl/priv.h"

struct up;
struct up_dev;

enum net_kind_flag {
	KIND_L3 = 1,       /* its addresses are ours to give: routed by the host */
	KIND_NAT = 2,      /* and taken from the pool */
	KIND_SHARED = 4,   /* lives in the host's namespace, which its owner has */
	KIND_UPLINK = 8,   /* what goes through it counts as the owner's */
	KIND_HOST_END = 16, /* has an end that the host sees */
};

struct net_kind {
	const char *word;    /* in net; NULL: not to be written, but MTU and others may name it */
	const char *args;    /* words it must have: N name, M master (mask), S the device that is stolen, R remote, L local */
	const char *options; /* words it may have, in this order: x extra_routes, N, M, k one of modes, u MTU, h hardware address */
	const char *usage;
	const char *const *modes; /* ends in NULL */
	const char *name;         /* of the device where none is given */
	unsigned flags;
	/* Has the kernel got it? Pure. NULL: always. lacks: what it has not, where it has not. */
	const char *lacks;
	bool (*can)(const struct net_can *can);
	/* Makes the device, registers what the host sees of it (up_register) and fills ifindex (and, for L3, both hardware addresses). It is
	 * left down. What it has begun is undone by net_down and the end of the namespace. */
	int (*add)(struct up *u, struct up_dev *d, struct err *err);
};

extern const struct net_kind kind_veth, kind_l3, kind_nat, kind_macvlan, kind_ipvlan, kind_ipip6, kind_tap, kind_steal, kind_host,
	kind_ip6tnl0;

/* The kind of that word, or NULL. */
const struct net_kind *kind_find(const char *word);

/* kinds.c: words[1..] as the kind's row says. InvalidValue. */
int kind_parse(const struct net_kind *kind, const struct strv *words, struct net_dev *ret, struct err *err);

int net_mtu_parse(const char *word, uint32_t *ret);
int net_mac_parse(const char *word, uint8_t mac[6]);

#endif
