/* base/names.h: a word for each value of an enum, in one table. */
#ifndef BASE_NAMES_H
#define BASE_NAMES_H

#include "base/defs.h"

/* table[i] may be NULL (no such word). The index of word, or -EINVAL. */
int names_find(const char *const *table, size_t n, const char *word);

/* A signal's name with or without SIG, any case, or a decimal number 1..64. Returns the number or -EINVAL (0 too). */
int signal_parse(const char *text);

#endif
