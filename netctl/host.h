/* netctl/host.h: which addresses the host uses itself, and who else does on a wire. All of it may block. */
#ifndef NETCTL_HOST_H
#define NETCTL_HOST_H

#include "netctl/netctl.h"
#include "netctl/nl.h"

struct addrs {
	struct net_addr *p; /* owned */
	size_t n, room;
};

int addrs_add(struct addrs *list, const struct net_addr *addr);
bool addrs_have(const struct addrs *list, const struct net_addr *addr); /* prefixes are not looked at */
void addrs_done(struct addrs *list);
#define autoaddrs __attribute__((cleanup(addrs_done)))

/* Addresses in net that the host has on any device, up or down, those that it has a route to by name, and gateways. */
int host_addresses(struct nl *nl, const struct net_addr *net, struct addrs *ret, struct err *err);

/* Is there a route to just this address? */
bool host_has_route(struct nl *nl, const struct net_addr *addr);

/* The device by which the host reaches IPv4 addresses that it knows nothing else of; 0: none. */
int host_way_out(struct nl *nl);

#define PROBE_MAX 32u

/*
 * Which of these are somebody's on the wire of ifindex: asked by ARP or neighbour solicitation, without claiming an address of
 * our own, for 200 ms. A device without such a wire, or one that is down: nobody's. answers[i] is set for each of the n.
 */
int probe(int ifindex, const struct net_addr *addrs, size_t n, bool *answers, struct err *err);

#endif
