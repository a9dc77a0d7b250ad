/*
 * base/units.h: parse and format pairs for the value syntaxes of spec/PROPERTIES.md 2.1. Pure: no clock, no files.
 * Every parse wants the whole text (already trimmed), leaves *ret alone on failure and returns 0, -EINVAL or -ERANGE.
 * format(parse(x)) parses to the same value again.
 */
#ifndef BASE_UNITS_H
#define BASE_UNITS_H

#include "base/defs.h"
#include "base/text.h"

int unit_bool_parse(const char *s, bool *ret);              /* exactly true or false */
int unit_uint_parse(const char *s, uint64_t *ret);          /* decimal, no sign */
int unit_int_parse(const char *s, int64_t *ret);
int unit_octal_parse(const char *s, uint64_t *ret);
int unit_hex_parse(const char *s, uint64_t *ret);           /* with or without 0x */
int unit_bytes_parse(const char *s, uint64_t *ret);         /* 1536, 1.5K, 2 GiB, ... ; "-1" is UINT64_MAX */
/* Nanoseconds of processor a second. "1.5c", "500ns", or a bare number: percent of host_cores; "" is 0. */
int unit_cores_parse(const char *s, unsigned host_cores, uint64_t *ret);
int unit_time_parse(const char *s, uint64_t *ret_nsec);     /* float with s ms us ns ps fs (sec, msec ...); bare: ns */
int unit_weight_parse(const char *s, double *ret);          /* 0.01 .. 100 */
int unit_seconds_parse(const char *s, uint64_t *ret);

void unit_bytes_format(struct text *out, uint64_t bytes);   /* plain decimal */
void unit_cores_format(struct text *out, uint64_t nsec);    /* 1.5c, 2c, 0c: shortest */
void unit_octal_format(struct text *out, uint64_t v);       /* printf %#o: 02 */
void unit_time_format(struct text *out, uint64_t nsec);     /* 1000000000ns */
/* Local wall time "YYYY-MM-DD hh:mm:ss" of epoch seconds. */
void unit_wall_format(struct text *out, int64_t epoch_sec);

#endif
