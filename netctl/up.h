/* netctl/up.h: one network that is being set up. Its parts: up.c (order of things), up_addr.c (which addresses), link_*.c (devices),
 * up_route.c (addresses and routes inside and outside), sysctl.c, autoconf.c, command.c. */
#ifndef NETCTL_UP_H
#define NETCTL_UP_H

#include "netctl/kinds.h"
#include "netctl/route.h"

/* A device of the host that an owner's addresses are asked for on. */
struct up_link {
	int ifindex;
	char name[IFNAMSIZ];
	uint32_t mtu;
};

struct up_dev {
	const struct net_dev *dev;
	int ifindex;         /* in the namespace */
	int host;            /* of the host's end, 0: none */
	bool raised;         /* inside it is up */
	uint8_t mac[6], host_mac[6];
	uint32_t mtu;
	struct up_link *uplinks; /* owned */
	size_t uplink_n;
	struct net_addr gw[2]; /* IPv4, IPv6; family 0: none */
};

struct up {
	struct netctl *n;
	const struct net_request *req;
	struct nl host, in;
	struct host_addr *addrs; /* of the host, owned */
	size_t addr_n;
	struct net_ifaddrs ip;   /* as asked for, or chosen; owned */
	bool chosen;
	struct up_dev *devs;     /* owned */
	size_t dev_n;
	struct nl_batch b;
};

/* ---- up.c ---- */

/* What link_*.c calls once the device is there: the host's end (0: none; the namespace is then kept open). */
int up_register(struct up *u, const struct up_dev *d, struct err *err);
/* Index inside of a device just made there. */
int up_find_inside(struct up *u, struct up_dev *d, struct err *err);
void up_alias(const struct up *u, const struct net_dev *dev, char alias[256]);
/* Of the device, or made up (spec/NETWORK.md 2). False: the kernel is to choose. */
bool up_mac(const struct up *u, const struct net_dev *dev, uint8_t mac[6]);
void up_random_mac(uint8_t mac[6]);
bool up_has_addresses(const struct up *u, const struct net_dev *dev);
bool up_has_family(const struct up *u, const struct up_dev *d, uint8_t family);

/* command.c: `ip WORDS` in the namespace. HelperError with what it said. */
int up_command(struct up *u, const char *words, struct err *err);

/* ---- link_veth.c ---- */

/* A pair: the host's end is named prefix-N and is up, the other waits in the namespace. master: a bridge of the host, 0: none. */
int veth_add(struct up *u, struct up_dev *d, const char *prefix, int master, struct err *err);

/* ---- up_addr.c ---- */

/* Fills u->ip: addresses are taken and held. Those of no device of the specification are left as they are. */
int up_addresses(struct up *u, struct err *err);
/* How many addresses a prefix has; more than are answered for: ResourceNotAvailable. The number-th of them, a host. */
int up_prefix_count(const struct net_addr *prefix, struct err *err);
void up_prefix_nth(const struct net_addr *prefix, unsigned number, struct net_addr *ret);
/* Devices of the host that a routed device's addresses are asked for on; InvalidValue (no such MASTER). */
int up_uplinks(struct up *u, struct up_dev *d, struct err *err);
/* The gateway of each family that it has addresses of; their devices are uplinks as well. InvalidNetworkAddress */
int up_gateways(struct up *u, struct up_dev *d, struct err *err);

/* ---- up_route.c ---- */

int up_inside(struct up *u, struct err *err);
int up_outside(struct up *u, struct err *err);

/* What the host must know of a routed device's addresses. ResourceNotAvailable: too many. mac NULL: not known. */
struct entry_list {
	struct net_entry *p; /* owned */
	size_t n, room;
};
int up_entries(struct up *u, const struct up_dev *d, const uint8_t *mac, struct entry_list *ret, struct err *err);
/* All of one list, NLM_F_REPLACE or _EXCL by flags; some of these kinds only (bits). */
int entries_run(struct nl *host, struct nl_batch *b, const struct net_entry *list, size_t n, unsigned kinds, int flags, struct err *err);

/* ---- sysctl.c ---- */

/* The thread is in the namespace ns_fd until ns_leave; back -1: it was there already. */
int ns_enter(int ns_fd, int *back);
void ns_leave(int back);

/* A number below /proc/sys/net of the host. -errno */
int host_sysctl(struct netctl *n, const char *path);

/* Forwarding of a family on the uplinks of d, and what proxy entries need. NotSupported and what is missing. */
int up_forwarding(struct up *u, const struct up_dev *d, uint8_t family, struct err *err);

/* ---- autoconf.c ---- */

/* Subscribed before the devices are up, so that no address is missed. */
int autoconf_listen(struct up *u, struct nl *events, struct err *err);
/* Until each device with autoconf has an address from a router. ETIMEDOUT, ECANCELED */
int autoconf_wait(struct up *u, struct nl *events, struct err *err);

#endif
