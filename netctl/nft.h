/* netctl/nft.h: nf_tables by libnftables, which is loaded when it is first needed: most hosts never need it, and it isn't small. */
#ifndef NETCTL_NFT_H
#define NETCTL_NFT_H

#include "base/err.h"
#include "base/text.h"

/* The commands as one transaction, in the network namespace of the thread. NotSupported without the library or the kernel's part. */
int nft_run(const struct text *commands, struct err *err);

/* Without the library: a daemon that has no networks shall not load it only to look. */
bool nft_table_exists(int host_ns, const char *table); /* of family inet */
/* The number of the namespace's rules, which each change makes one more; 0: not known. */
uint32_t nft_generation(int host_ns);

#endif
