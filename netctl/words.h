/* netctl/words.h: what the pure parsers of netctl share. */
#ifndef NETCTL_WORDS_H
#define NETCTL_WORDS_H

#include "base/text.h"
#include "netctl/netctl.h"

#define NET_IFADDRS_MAX 256 /* in a list */

/* Appends the words of a text, which blanks part. 0 or -ENOMEM. */
int net_words(const char *text, struct strv *ret);

/* What the kernel takes, without the signs that masks and lists need. */
bool net_is_device_name(const char *name);

#define NET_PORTS_MAX 4096u /* that one owner publishes */

const char *net_proto_name(uint8_t proto);
/* Would a connection be for both? */
bool net_ports_overlap(const struct net_port *a, const struct net_port *b);

#endif
