/* engine/sysctl.h: which kernel parameters a container may have, and where they are below /proc/sys. Pure. */
#ifndef ENGINE_SYSCTL_H
#define ENGINE_SYSCTL_H

#include "engine/types.h"

/* Those that a namespace of its own has and no others. Permission. */
int sysctl_check(const struct pairs *m, bool own_net, bool isolated, struct err *err);
/* "net.ipv4.ip_forward" -> "net/ipv4/ip_forward", values as they are; added to *ret. 0 or -ENOMEM. */
int sysctl_paths(const struct pairs *m, struct pairs *ret);
/* The same of text: a map. */
int sysctl_paths_of(const char *text, struct pairs *ret);

#endif
