/* Values of options that are not those of any property. Only parse and expected are there, for OPT_TYPED. */
#ifndef ENGINE_CONFIG_TYPES_H
#define ENGINE_CONFIG_TYPES_H

#include "engine/types.h"

extern const struct prop_type type_pool4, type_pool6;     /* auto, an address, or nothing */
extern const struct prop_type type_prefix4, type_prefix6; /* ADDRESS[/PREFIX], or nothing */
extern const struct prop_type type_link_mtu;              /* 0: chosen */
extern const struct prop_type type_net_sysctl, type_ipc_sysctl;

#endif
