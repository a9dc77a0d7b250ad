/*
 * base/cpus.h: sets of processors (or memory nodes) as the kernel writes them: "0-3,7". Pure.
 */
#ifndef BASE_CPUS_H
#define BASE_CPUS_H

#include "base/defs.h"
#include "base/text.h"

#define CPUS_MAX 8192u /* no kernel is built for more */

struct cpus {
	uint64_t bits[CPUS_MAX / 64];
};

/* Numbers and ranges with commas between, no blanks; "" is none. *ret is untouched on -EINVAL and -ERANGE (CPUS_MAX). */
int cpus_parse(const char *text, struct cpus *ret);
void cpus_format(const struct cpus *c, struct text *out); /* normalised: "" for none */

void cpus_add(struct cpus *c, unsigned cpu);
void cpus_remove(struct cpus *c, unsigned cpu);
bool cpus_has(const struct cpus *c, unsigned cpu);
unsigned cpus_count(const struct cpus *c);
/* The first one not below from; CPUS_MAX: none. */
unsigned cpus_next(const struct cpus *c, unsigned from);
bool cpus_equal(const struct cpus *a, const struct cpus *b);
bool cpus_within(const struct cpus *a, const struct cpus *b); /* all of a are in b */
void cpus_and(struct cpus *c, const struct cpus *with);
void cpus_or(struct cpus *c, const struct cpus *with);
void cpus_without(struct cpus *c, const struct cpus *these);

#endif
