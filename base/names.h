/* base/names.h: a word for each value of an enum, in one table. */
#ifndef BASE_NAMES_H
#define BASE_NAMES_H

#include "base/defs.h"

/* table[i] may be NULL (no such word). The index of word, or -EINVAL. */
int names_find(const char *const *table, size_t n, const char *word);

/* Signal names with and without SIG, any case, or a decimal number 1..64. 0 is refused. Returns the number or -EINVAL. */
int signal_parse(const char *text);

#endif
