#include "base/cpus.h"

static int number(const char **s, unsigned *ret)
{
	uint64_t v = 0;
	const char *p = *s;

	for (; *p >= '0' && *p <= '9'; p++)
		v = MIN(v * 10 + (uint64_t)(*p - '0'), UINT64_C(1) << 32);
	if (p == *s)
		return -EINVAL;
	*s = p;
	*ret = (unsigned)MIN(v, (uint64_t)UINT32_MAX);
	return 0;
}

/* The whole text is read before a number too big is told, so that "99999x" is no set at all. */
int cpus_parse(const char *text, struct cpus *ret)
{
	struct cpus c = {};
	bool too_big = false;

	while (*text) {
		unsigned first, last;
		int r = number(&text, &first);

		last = first;
		if (r == 0 && *text == '-') {
			text++;
			r = number(&text, &last);
		}
		if (r < 0 || last < first || (*text && *text != ','))
			return -EINVAL;
		if (*text && !*++text)
			return -EINVAL; /* a comma at the end */
		too_big = too_big || last >= CPUS_MAX;
		for (; !too_big && first <= last; first++)
			cpus_add(&c, first);
	}
	if (too_big)
		return -ERANGE;
	*ret = c;
	return 0;
}

void cpus_format(const struct cpus *c, struct text *out)
{
	const char *comma = "";

	for (unsigned first = cpus_next(c, 0); first < CPUS_MAX;) {
		unsigned last = first;

		while (last + 1 < CPUS_MAX && cpus_has(c, last + 1))
			last++;
		text_addf(out, "%s%u", comma, first);
		if (last > first)
			text_addf(out, "-%u", last);
		comma = ",";
		first = cpus_next(c, last + 1);
	}
}

void cpus_add(struct cpus *c, unsigned cpu)
{
	c->bits[cpu / 64] |= UINT64_C(1) << (cpu % 64);
}

void cpus_remove(struct cpus *c, unsigned cpu)
{
	c->bits[cpu / 64] &= ~(UINT64_C(1) << (cpu % 64));
}

bool cpus_has(const struct cpus *c, unsigned cpu)
{
	return cpu < CPUS_MAX && (c->bits[cpu / 64] >> (cpu % 64) & 1);
}

unsigned cpus_count(const struct cpus *c)
{
	unsigned n = 0;

	for (size_t i = 0; i < ARRAY_LEN(c->bits); i++)
		n += (unsigned)__builtin_popcountll(c->bits[i]);
	return n;
}

unsigned cpus_next(const struct cpus *c, unsigned from)
{
	for (unsigned i = from / 64; i < ARRAY_LEN(c->bits); i++) {
		uint64_t word = c->bits[i];

		if (i == from / 64)
			word &= UINT64_MAX << (from % 64);
		if (word)
			return i * 64 + (unsigned)__builtin_ctzll(word);
	}
	return CPUS_MAX;
}

bool cpus_equal(const struct cpus *a, const struct cpus *b)
{
	return memcmp(a->bits, b->bits, sizeof(a->bits)) == 0;
}

bool cpus_within(const struct cpus *a, const struct cpus *b)
{
	for (size_t i = 0; i < ARRAY_LEN(a->bits); i++)
		if (a->bits[i] & ~b->bits[i])
			return false;
	return true;
}

void cpus_and(struct cpus *c, const struct cpus *with)
{
	for (size_t i = 0; i < ARRAY_LEN(c->bits); i++)
		c->bits[i] &= with->bits[i];
}

void cpus_or(struct cpus *c, const struct cpus *with)
{
	for (size_t i = 0; i < ARRAY_LEN(c->bits); i++)
		c->bits[i] |= with->bits[i];
}

void cpus_without(struct cpus *c, const struct cpus *these)
{
	for (size_t i = 0; i < ARRAY_LEN(c->bits); i++)
		c->bits[i] &= ~these->bits[i];
}
