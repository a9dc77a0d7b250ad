/* netctl/flows.h: connections that the kernel tracks. */
#ifndef NETCTL_FLOWS_H
#define NETCTL_FLOWS_H

#include "netctl/nl.h"
#include "netctl/netctl.h"

/*
 * Forgets those that came in by a published port and went to `to`: of gone, but not of left. Their next packet goes where it would
 * without the port. As far as that can be done; on a host with many connections it takes a while.
 */
void flows_drop(int host_ns, const struct net_ports *gone, const struct net_ports *left, const struct net_addr *to);

#endif
