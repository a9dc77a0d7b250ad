/*
 * engine/metrics_text.h: how a counter of the property table is written down for Prometheus. Pure: values come as the
 * text that a read of the property gives.
 *
 * A family's name is porto_NAME_UNIT, for counters with _total at the end: NAME is the row's .metric, else the property's
 * name, from which a _total of its own is taken off; the unit is a base unit (seconds, bytes), nothing for plain numbers. Each sample has the label `container`; the
 * entries of a map become samples with one more label, the row's .label; but not the row's .sum, which counts all again.
 *
 * Two forms, which differ in what describes a counter. METRICS_TEXT is Prometheus's text format, in which TYPE and HELP
 * bear the name of the samples; METRICS_OPEN is OpenMetrics 1.0, in which they bear it without _total. No text can be both.
 */
#ifndef ENGINE_METRICS_TEXT_H
#define ENGINE_METRICS_TEXT_H

#include "base/text.h"
#include "engine/props.h"

enum metrics_form { METRICS_TEXT, METRICS_OPEN };

/* A family being written. */
struct family {
	const struct prop *row;
	unsigned shift;   /* decimal places from the property's unit to the base unit */
	struct text head; /* a sample up to the container's name */
};

/* Begins a family: TYPE, UNIT and HELP. family_done frees. */
void family_begin(struct family *f, const struct prop *row, enum metrics_form form, struct text *out);
void family_done(struct family *f);
/* The samples of one container. A value that is neither a number nor a map of numbers has none. */
void family_sample(const struct family *f, const char *container, const char *value, size_t len, struct text *out);

/* The lines of `stat`: `name value`, of a map `name[key] value` for each entry. */
void stat_lines(const struct prop *row, const char *value, size_t len, struct text *out);

/* The name of the row's samples: what documentation lists. */
void metrics_name(const struct prop *row, struct text *out);

#endif
