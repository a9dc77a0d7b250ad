/*
 * base/text.h: the one growing string. Zero-initialised is empty; `autotext struct text t = {};` frees itself.
 * p is NULL or ends in NUL (not counted in len). No memory sets `failed` and drops what comes after; the owner asks
 * once at the end with text_ok, so that builders need no check a line.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/defs.h"

struct text {
	char *p;
	size_t len, cap;
	bool failed;
};

void text_add(struct text *t, const char *s);
void text_addn(struct text *t, const char *s, size_t len);
void text_addc(struct text *t, char c);
void text_addu(struct text *t, uint64_t v); /* decimal */
void text_addf(struct text *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
void text_clear(struct text *t);          /* empty, memory kept */
void text_done(struct text *t);           /* frees; empty again */
char *text_take(struct text *t);          /* the string, now the caller's ("" if empty); NULL when failed */
int text_ok(const struct text *t);        /* 0 or -ENOMEM */
const char *text_str(const struct text *t); /* never NULL */
#define autotext __attribute__((cleanup(text_done)))

/* Blanks, tabs and newlines cut at both ends, in place; returns the new start within s. */
char *text_trim(char *s);

/*
 * A list of owned strings; zero-initialised is empty, p is NULL or NULL-terminated. Strings may be replaced or cut off
 * the end in place, but places are made by strv_add alone: it doubles them, and knows from n how many there are.
 */
struct strv {
	char **p;
	size_t n;
};
int strv_add(struct strv *v, const char *s);            /* copies; 0 or -ENOMEM */
int strv_addn(struct strv *v, const char *s, size_t len);
int strv_copy(struct strv *to, const struct strv *from); /* to is empty before */
bool strv_equal(const struct strv *a, const struct strv *b);
void strv_done(struct strv *v);
#define autostrv __attribute__((cleanup(strv_done)))

/*
 * spec/PROPERTIES.md 2.1: items split on sep, a backslash escapes sep and itself, blanks trimmed, empty items dropped.
 * Joins with the same escapes and no blank. strv_split appends to *ret. 0 or -ENOMEM.
 */
int strv_split(const char *text, char sep, struct strv *ret);
void strv_join(const struct strv *v, char sep, struct text *out);

#endif
