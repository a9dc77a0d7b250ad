/*
 * netctl/priv.h: what the files of netctl share: the object, and the links that owners have on the host's side.
 */
#ifndef NETCTL_PRIV_H
#define NETCTL_PRIV_H

#include <pthread.h>

#include "netctl/netctl.h"
#include "netctl/nl.h"

/* IFLA_GROUP of links on the host's side; `group` keys of limits mean the container's side, which stays in 0. */
#define NET_GROUP_LIVE 0x706f7274u  /* "port" */
#define NET_GROUP_DYING 0x706f7264u /* "pord" */
#define NET_GROUP_SWEEP 0x706f7277u /* "porw": a few of the dying at a time */
#define NET_PROTOCOL 112            /* of our routes and neighbours: who looks at them sees whose they are */

/* One device that an owner has and that can be seen from the host. */
struct net_link {
	uint32_t id;
	char dev[IFNAMSIZ];     /* as the owner names it */
	bool uplink;
	int ifindex;            /* of the host's end; 0: it has none (macvlan, ipvlan, stolen) */
	int ifb;                /* ifindex of the ifb that shapes what it sends, 0: none */
	uint64_t tx_rate, rx_rate; /* in force, bytes a second; 0: none */
	uint32_t mtu;
	int ns_fd;              /* its namespace; -1: not kept. Only for links without a host end */
	bool borrowed;          /* the host's own device, given back at the end */
};

/* What is to be taken back beside links: an address of an owner as the host knows it. */
struct net_entry {
	uint32_t id;
	enum net_entry_kind {
		ENTRY_ROUTE, /* to addr, over ifindex */
		ENTRY_NEIGH, /* addr has the hardware address mac on ifindex */
		ENTRY_PROXY, /* the host answers for addr on ifindex */
	} kind;
	int ifindex;
	char dev[IFNAMSIZ]; /* of a proxy: the host's device, which may go and come back with another index */
	struct net_addr addr;
	uint8_t mac[6];
};

/* A link that goes in net_sweep. */
struct net_dying {
	int ifindex;     /* on the host; 0: a device that was taken from it is given back */
	char dev[IFNAMSIZ];
	int ns_fd;       /* where that is, owned; -1 */
};

/* What the kernel can: found out once in a scratch namespace. */
struct net_can {
	bool tbf, htb, ifb, clsact, u32, mirred, fq_codel;
	bool veth, macvlan, ipvlan, bridge, ip6tnl, tun;
	bool nft_nat;
};

struct netctl {
	struct netctl_config conf; /* strings owned */
	char *tag;
	struct net_can can;
	int host_ns;               /* the namespace of netctl_open */
	pthread_mutex_t lock;      /* of all below; never held while the kernel is asked */
	struct net_link *links;    /* array, owned */
	size_t link_count, link_room;
	struct net_entry *entries; /* array, owned */
	size_t entry_count, entry_room;
	struct net_dying *dying;   /* array, owned */
	size_t dying_count, dying_room;
	unsigned next_name;        /* N of the next L3-N, atomic */
	struct net_pool *pool;     /* pool.c */
	struct net_classes *classes; /* cgroup.c, htb.c */
	struct net_nat *nat;       /* nat.c */
};

/* can.c: in a thread of its own; the caller's stays where it is. */
int can_find_out(struct net_can *ret, struct err *err);

/* links.c: copies in and out under the lock. Adding one that is there replaces it. ns_fd becomes the registry's: 0 or -ENOMEM. */
int links_add(struct netctl *n, const struct net_link *link);
/* Copies of the owner's links, for the caller to free; id 0: all. Their number or -ENOMEM. */
int links_of(struct netctl *n, uint32_t id, struct net_link **ret);
/* Replaces the one with the same id and dev. */
void links_update(struct netctl *n, const struct net_link *link);
void links_drop(struct netctl *n, uint32_t id);
void links_close(struct netctl *n);

/* entries.c: as links.c. entries_msg: the message that makes it or takes it away (which may find it gone). */
int entries_add(struct netctl *n, const struct net_entry *list, size_t count);
int entries_of(struct netctl *n, uint32_t id, struct net_entry **ret); /* id 0: all */
void entries_drop(struct netctl *n, uint32_t id);
void entries_msg(struct nl_batch *b, const struct net_entry *entry, int type, int flags);
/* Proxies on the host's device dev are on this one from now on. */
void entries_move(struct netctl *n, const char *dev, int ifindex);

/* sysctl.c: what the host needs to forward for those entries, and for published ports, is switched on again where it may be. */
void forward_repair(struct netctl *n, struct nl *host, const struct net_entry *list, size_t count);
/* Packets for published ports are forwarded from each of the host's devices with an address. */
void forward_published(struct netctl *n);

/* down.c: the registry of what net_sweep deletes. ns_fd becomes its. Without memory it is lost until the next adoption. */
void dying_add(struct netctl *n, const struct net_dying *dying);
void dying_close(struct netctl *n);

/* shape.c: for a link that was just made, with sockets of the host. Sets link->ifb and rates. */
int shape_link(struct netctl *n, struct nl *host, struct net_link *link, uint64_t tx, uint64_t rx, struct err *err);
/* Before its end: nothing redirects to the ifb any more, the ifb is marked dying. In the caller's batch. */
void shape_drop(struct nl_batch *b, const struct net_link *link);
/* At adoption: which ifb and rates a link has. */
int shape_found(struct netctl *n, struct nl *host, struct net_link *links, size_t count, struct err *err);

/* Queues that others took away from our links are put back. */
int shape_repair(struct netctl *n, struct nl *host, struct err *err);

/* pool.c: addresses for NAT and `auto`. Not in use by any owner, and for `auto` not answering on the wire either. */
int pool_open(struct netctl *n);
void pool_close(struct netctl *n);
int pool_take_nat(struct netctl *n, uint32_t id, struct net_addr *v4, struct net_addr *v6, struct err *err);
/* From net (a configured prefix or that of a host device); host and its network's first and last are left out. ifindex: the
 * device on whose wire it is asked for, 0: none. */
int pool_take_auto(struct netctl *n, uint32_t id, const struct net_addr *net, int ifindex, struct net_addr *ret, struct err *err);
/* An owner names its addresses itself, or had them before a restart. ResourceNotAvailable when another owner has it. */
int pool_hold(struct netctl *n, uint32_t id, const struct net_addr *addr, struct err *err);
void pool_drop(struct netctl *n, uint32_t id);
bool pool_has(const struct netctl *n, const struct net_addr *addr); /* is it one of those for NAT? */
bool pool_in_use(struct netctl *n); /* is there an address of the NAT pool that somebody has? */

/*
 * nat.c: one table of our own: no sources that a link doesn't own, masquerading for the pool, published ports, classes. NotSupported
 * without nf_tables. nat_need makes it where it is not as this daemon left it: for each link with an end on the host. nat_sync makes the
 * whole anew in one transaction (adoption, repair), and takes it away where nobody has links, addresses of the pool or ports.
 */
int nat_open(struct netctl *n);
void nat_close(struct netctl *n);
int nat_need(struct netctl *n, struct err *err);
int nat_sync(struct netctl *n, struct err *err);
/* Adoption: what it had published. Known at once, in the kernel with the next nat_sync; nothing is refused. 0 or -ENOMEM. */
int nat_found(struct netctl *n, uint32_t id, const struct net_ports *ports, const struct net_ifaddrs *ip);
void nat_drop(struct netctl *n, uint32_t id);    /* its published ports */
bool nat_publishes(struct netctl *n);            /* does anybody? */
/* What its packets get on the host's uplinks: a class of htb.c (0: none) for what comes in over this link. */
int nat_class(struct netctl *n, int ifindex, uint32_t classid, struct err *err);

/* count.c, cgroup.c, htb.c */
void classes_close(struct netctl *n);
void class_drop(struct netctl *n, uint32_t id);
int class_repair(struct netctl *n, struct err *err); /* likewise classes on the host's devices */

#endif
