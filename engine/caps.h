/*
 * engine/caps.h: what a container's processes may ever be allowed (the bounding set), and what they are allowed without being
 * root (ambient). Masks of 1 << number of the capability.
 */
#ifndef ENGINE_CAPS_H
#define ENGINE_CAPS_H

#include "engine/ct.h"

#define CAPS_BIT(cap) (UINT64_C(1) << (cap))

/* `capabilities`: its own limit, or the one in force where it has none. */
uint64_t caps_limit(const struct ct *ct);
/* The bounding set: the limit within those of its ancestors, less what its namespaces do not confine. */
uint64_t caps_allowed(const struct ct *ct);
/* The bounding set in the user namespace of owner: all, but for the lists set from there down to ct. */
uint64_t caps_inside(const struct ct *ct, const struct ct *owner);
/* Rules that depend on other properties: at the start. */
int caps_check_start(struct ct *ct, struct err *err);

#endif
