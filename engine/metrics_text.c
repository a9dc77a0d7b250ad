#include "engine/metrics_text.h"

static const struct {
	const char *base; /* as the name has it */
	unsigned shift;
	const char *said; /* how help names a unit that the samples are not in: not in HELP */
} units[] = {
	[UNIT_UNSAID] = { "", 0, NULL },
	[UNIT_NUMBER] = { "", 0, NULL },
	[UNIT_BYTES] = { "bytes", 0, NULL },
	[UNIT_SECONDS] = { "seconds", 0, NULL },
	[UNIT_USEC] = { "seconds", 6, ", microseconds" },
	[UNIT_NSEC] = { "seconds", 9, ", nanoseconds" },
};
_Static_assert(ARRAY_LEN(units) == UNITS, "a row for each unit");

static bool is_counter(const struct prop *row)
{
	return !(row->flags & P_GAUGE);
}

/* The name without _total, which only counters have, once: not from a property's own name. */
static void add_family(const struct prop *row, struct text *out)
{
	static const char total[] = "_total";
	const char *unit = units[row->unit].base, *name = row->metric != NULL ? row->metric : row->name;
	size_t len = strlen(name), suffix = sizeof(total) - 1;

	if (len > suffix && strcmp(name + len - suffix, total) == 0)
		len -= suffix;
	text_addf(out, "porto_%.*s%s%s", (int)len, name, unit[0] != '\0' ? "_" : "", unit);
}

void metrics_name(const struct prop *row, struct text *out)
{
	add_family(row, out);
	if (is_counter(row))
		text_add(out, "_total");
}

/* A backslash, a quote and a newline would end a label or a line. Help keeps its quotes. */
static void add_escaped(struct text *out, const char *s, size_t len, bool quoted)
{
	for (size_t i = 0; i < len; i++) {
		if (s[i] == '\n') {
			text_add(out, "\\n");
			continue;
		}
		if (s[i] == '\\' || (quoted && s[i] == '"'))
			text_addc(out, '\\');
		text_addc(out, s[i]);
	}
}

static void add_help(const struct prop *row, struct text *out)
{
	const char *said = units[row->unit].said, *at = said != NULL ? strstr(row->help, said) : NULL;

	if (at == NULL) {
		add_escaped(out, row->help, strlen(row->help), false);
		return;
	}
	add_escaped(out, row->help, (size_t)(at - row->help), false);
	add_escaped(out, at + strlen(said), strlen(at + strlen(said)), false);
}

void family_begin(struct family *f, const struct prop *row, enum metrics_form form, struct text *out)
{
	autotext struct text name = {};
	const char *unit = units[row->unit].base;
	bool suffixed = is_counter(row) && form == METRICS_TEXT;

	*f = (struct family){ .row = row, .shift = units[row->unit].shift };
	metrics_name(row, &f->head);
	add_family(row, &name);
	if (suffixed)
		text_add(&name, "_total");
	text_addf(out, "# TYPE %s %s\n", text_str(&name), is_counter(row) ? "counter" : "gauge");
	if (unit[0] != '\0' && !suffixed) /* the unit must be the end of the name that stands here */
		text_addf(out, "# UNIT %s %s\n", text_str(&name), unit);
	text_addf(out, "# HELP %s ", text_str(&name));
	add_help(row, out);
	text_addc(out, '\n');
	text_add(&f->head, "{container=\"");
}

void family_done(struct family *f)
{
	text_done(&f->head);
}

static bool is_number(const char *s, size_t len)
{
	size_t digits = 0;

	for (size_t i = len > 0 && s[0] == '-'; i < len; i++, digits++)
		if (s[i] < '0' || s[i] > '9')
			return false;
	return digits > 0;
}

/* In base units: 1500000 with six places is 1.500000. No float in between, no digit is lost. */
static void add_number(struct text *out, const char *s, size_t len, unsigned shift)
{
	static const char zeros[] = "0000000000";

	if (len > 0 && s[0] == '-') {
		text_addc(out, '-');
		s++;
		len--;
	}
	if (shift == 0) {
		text_addn(out, s, len);
		return;
	}
	if (len > shift)
		text_addn(out, s, len - shift);
	else
		text_addc(out, '0');
	text_addc(out, '.');
	if (len < shift)
		text_addn(out, zeros, shift - len);
	text_addn(out, len > shift ? s + len - shift : s, MIN(len, (size_t)shift));
}

static void add_sample(const struct family *f, const char *container, const char *key, size_t key_len, const char *value,
		       size_t len, struct text *out)
{
	text_addn(out, text_str(&f->head), f->head.len);
	add_escaped(out, container, strlen(container), true);
	if (key != NULL) {
		text_addf(out, "\",%s=\"", f->row->label != NULL ? f->row->label : "key");
		add_escaped(out, key, key_len, true);
	}
	text_addn(out, "\"} ", 3);
	add_number(out, value, len, f->shift);
	text_addc(out, '\n');
}

/* An entry of a map, "sda: 4096": the number stands after the last colon. false if that is not what it is. */
struct entry {
	const char *key, *value;
	size_t key_len, len;
};

static bool entry_parse(const char *s, const char *end, struct entry *ret)
{
	const char *colon, *value;

	while (s < end && *s == ' ')
		s++;
	colon = memrchr(s, ':', (size_t)(end - s));
	if (colon == NULL || colon == s)
		return false;
	for (value = colon + 1; value < end && *value == ' ';)
		value++;
	*ret = (struct entry){ .key = s, .key_len = (size_t)(colon - s), .value = value, .len = (size_t)(end - value) };
	return is_number(ret->value, ret->len);
}

/* The next entry after *at, which moves on; false at the end. What is no entry is passed over. */
static bool entry_next(const char **at, const char *end, struct entry *ret)
{
	while (*at < end) {
		const char *s = *at, *semicolon = memchr(s, ';', (size_t)(end - s));

		if (semicolon == NULL)
			semicolon = end;
		*at = semicolon + 1;
		if (entry_parse(s, semicolon, ret))
			return true;
	}
	return false;
}

static bool is_sum(const struct prop *row, const struct entry *e)
{
	return row->sum != NULL && strlen(row->sum) == e->key_len && memcmp(row->sum, e->key, e->key_len) == 0;
}

void family_sample(const struct family *f, const char *container, const char *value, size_t len, struct text *out)
{
	const char *at = value;
	struct entry e;

	if (is_number(value, len)) {
		add_sample(f, container, NULL, 0, value, len, out);
		return;
	}
	while (entry_next(&at, value + len, &e))
		if (!is_sum(f->row, &e))
			add_sample(f, container, e.key, e.key_len, e.value, e.len, out);
}

void stat_lines(const struct prop *row, const char *value, size_t len, struct text *out)
{
	const char *at = value;
	struct entry e;

	if (is_number(value, len)) {
		text_addf(out, "%s %.*s\n", row->name, (int)len, value);
		return;
	}
	while (entry_next(&at, value + len, &e))
		text_addf(out, "%s[%.*s] %.*s\n", row->name, (int)e.key_len, e.key, (int)e.len, e.value);
}
