#include "base/units.h"

#include <stdio.h>
#include <strings.h>
#include <time.h>

#define NSEC_PER_SEC UINT64_C(1000000000)
#define FRACTION_DIGITS 18

/* A decimal number taken apart: integer part, and the fraction as a numerator over 10^digits. No rounding anywhere. */
struct decimal {
	uint64_t whole, frac;
	unsigned digits;  /* of the fraction, as kept: at most FRACTION_DIGITS, more are cut off */
	bool has_whole;   /* a digit stands before the point */
	bool has_point;
	bool has_frac;    /* a digit stands after the point */
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static uint64_t power10(unsigned n)
{
	uint64_t p = 1;

	while (n-- > 0)
		p *= 10;
	return p;
}

static int digits_parse(const char **s, unsigned base, uint64_t *ret)
{
	uint64_t v = 0;
	const char *p = *s;
	bool too_big = false;

	for (;; p++) {
		unsigned d;
		if (is_digit(*p))
			d = (unsigned)(*p - '0');
		else if (*p >= 'a' && *p <= 'f')
			d = (unsigned)(*p - 'a') + 10;
		else if (*p >= 'A' && *p <= 'F')
			d = (unsigned)(*p - 'A') + 10;
		else
			break;
		if (d >= base)
			break;
		if (__builtin_mul_overflow(v, (uint64_t)base, &v) || __builtin_add_overflow(v, (uint64_t)d, &v))
			too_big = true;
	}
	if (p == *s)
		return -EINVAL;
	*s = p;
	*ret = v;
	return too_big ? -ERANGE : 0;
}

static int whole_parse(const char *s, unsigned base, uint64_t *ret)
{
	uint64_t v;
	int r = digits_parse(&s, base, &v);

	/* "99999999999999999999x" is no number at all rather than one too big. */
	if (r == -EINVAL || *s)
		return -EINVAL;
	if (r == 0)
		*ret = v;
	return r;
}

/* Reads digits[.digits] and moves *s behind it. */
static int decimal_parse(const char **s, struct decimal *d)
{
	int r = 0;

	*d = (struct decimal){};
	if (is_digit(**s)) {
		d->has_whole = true;
		r = digits_parse(s, 10, &d->whole);
	}
	if (**s == '.') {
		d->has_point = true;
		for ((*s)++; is_digit(**s); (*s)++) {
			d->has_frac = true;
			if (d->digits < FRACTION_DIGITS) {
				d->frac = d->frac * 10 + (uint64_t)(**s - '0');
				d->digits++;
			}
		}
	}
	return d->has_whole || d->has_frac ? r : -EINVAL;
}

/* d * mul / div, cut to an integer. */
static int decimal_scale(const struct decimal *d, uint64_t mul, uint64_t div, uint64_t *ret)
{
	unsigned __int128 v = (unsigned __int128)d->whole * mul;

	if (d->frac)
		v += (unsigned __int128)d->frac * mul / power10(d->digits);
	v /= div;
	if (v > UINT64_MAX)
		return -ERANGE;
	*ret = (uint64_t)v;
	return 0;
}

int unit_bool_parse(const char *s, bool *ret)
{
	bool is_true = strcmp(s, "true") == 0;

	if (!is_true && strcmp(s, "false") != 0)
		return -EINVAL;
	*ret = is_true;
	return 0;
}

int unit_uint_parse(const char *s, uint64_t *ret)
{
	return whole_parse(s, 10, ret);
}

int unit_int_parse(const char *s, int64_t *ret)
{
	bool negative = *s == '-';
	uint64_t v = 0;
	int r = whole_parse(s + negative, 10, &v);

	if (r < 0)
		return r;
	if (v > (uint64_t)INT64_MAX + negative)
		return -ERANGE;
	*ret = negative ? (int64_t)(0 - v) : (int64_t)v;
	return 0;
}

int unit_octal_parse(const char *s, uint64_t *ret)
{
	return whole_parse(s, 8, ret);
}

int unit_hex_parse(const char *s, uint64_t *ret)
{
	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
		s += 2;
	return whole_parse(s, 16, ret);
}

/* The power of 1024 of "", "B", "K", "Kb", "KiB" ...; -EINVAL for another word. */
static int bytes_unit_parse(const char *s)
{
	static const char letters[] = "bkmgtpe";
	const char *p;

	if (!*s)
		return 0;
	p = strchr(letters, *s >= 'A' && *s <= 'Z' ? *s - 'A' + 'a' : *s);
	if (!p)
		return -EINVAL;
	s++;
	if (*s && (p == letters || (strcasecmp(s, "b") != 0 && strcasecmp(s, "ib") != 0)))
		return -EINVAL;
	return (int)(p - letters);
}

int unit_bytes_parse(const char *s, uint64_t *ret)
{
	const char *digits = s;
	uint64_t bytes = 0;
	struct decimal d;
	int r, power;

	/* Kept for the users of upstream: "-1" is how "as much as there is" has always been written. */
	if (strcmp(s, "-1") == 0) {
		*ret = UINT64_MAX;
		return 0;
	}
	r = decimal_parse(&s, &d);
	if (r == -EINVAL)
		return r;
	s += strspn(s, " \t");
	power = bytes_unit_parse(s);
	if (power < 0)
		return power;
	if (r == 0)
		r = decimal_scale(&d, UINT64_C(1) << (10 * power), 1, &bytes);
	/* 0 stands for no limit: half a byte must not */
	if (r == 0 && bytes == 0 && digits[strcspn(digits, "123456789")] != '\0')
		return -EINVAL;
	*ret = r == 0 ? bytes : *ret;
	return r;
}

int unit_cores_parse(const char *s, unsigned host_cores, uint64_t *ret)
{
	struct decimal d;
	int r;

	if (!*s) {
		*ret = 0;
		return 0;
	}
	r = decimal_parse(&s, &d);
	if (r == -EINVAL || !d.has_whole || d.has_point != d.has_frac)
		return -EINVAL;
	if (strcmp(s, "ns") == 0) {
		if (d.has_point)
			return -EINVAL;
		return r < 0 ? r : decimal_scale(&d, 1, 1, ret);
	}
	if (strcmp(s, "c") == 0)
		return r < 0 ? r : decimal_scale(&d, NSEC_PER_SEC, 1, ret);
	if (*s)
		return -EINVAL;
	if (d.digits > 2) {
		d.frac /= power10(d.digits - 2);
		d.digits = 2;
	}
	return r < 0 ? r : decimal_scale(&d, host_cores * NSEC_PER_SEC, 100, ret);
}

int unit_time_parse(const char *s, uint64_t *ret_nsec)
{
	static const struct {
		const char *brief, *word;
		uint64_t mul, div;
	} rows[] = {
		{ "",   "nsec", 1,            1 },
		{ "ns", "nsec", 1,            1 },
		{ "us", "usec", 1000,         1 },
		{ "ms", "msec", 1000000,      1 },
		{ "s",  "sec",  NSEC_PER_SEC, 1 },
		{ "ps", "psec", 1,            1000 },
		{ "fs", "fsec", 1,            1000000 },
	};
	struct decimal d;
	int r = decimal_parse(&s, &d);

	if (r == -EINVAL)
		return r;
	s += strspn(s, " \t");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(s, rows[i].brief) == 0 || strcmp(s, rows[i].word) == 0)
			return r < 0 ? r : decimal_scale(&d, rows[i].mul, rows[i].div, ret_nsec);
	return -EINVAL;
}

int unit_weight_parse(const char *s, double *ret)
{
	char shown[32];
	const char *p = s;
	struct decimal d;
	double v;

	/* The shape is checked first: strtod alone takes "nan", "0x1p3" and blanks. */
	if (decimal_parse(&p, &d) == -EINVAL || *p)
		return -EINVAL;
	v = strtod(s, NULL);
	if (!(v >= 0.01 && v <= 100))
		return -ERANGE;
	/* Kept as it will be shown, so that it reads back to the same. */
	snprintf(shown, sizeof(shown), "%lg", v);
	*ret = strtod(shown, NULL);
	return 0;
}

int unit_seconds_parse(const char *s, uint64_t *ret)
{
	char digits[24];
	size_t len = strlen(s);

	if (len > 1 && s[len - 1] == 's' && len <= sizeof(digits)) {
		memcpy(digits, s, len - 1);
		digits[len - 1] = 0;
		s = digits;
	}
	return unit_uint_parse(s, ret);
}

void unit_bytes_format(struct text *out, uint64_t bytes)
{
	text_addf(out, "%llu", (unsigned long long)bytes);
}

void unit_cores_format(struct text *out, uint64_t nsec)
{
	uint64_t frac = nsec % NSEC_PER_SEC;
	int digits = 9;

	text_addf(out, "%llu", (unsigned long long)(nsec / NSEC_PER_SEC));
	if (frac) {
		for (; frac % 10 == 0; digits--)
			frac /= 10;
		text_addf(out, ".%0*llu", digits, (unsigned long long)frac);
	}
	text_addc(out, 'c');
}

void unit_octal_format(struct text *out, uint64_t v)
{
	text_addf(out, "%#llo", (unsigned long long)v);
}

void unit_time_format(struct text *out, uint64_t nsec)
{
	text_addf(out, "%lluns", (unsigned long long)nsec);
}

void unit_wall_format(struct text *out, int64_t epoch_sec)
{
	time_t t = (time_t)epoch_sec;
	char buf[64];
	struct tm tm;

	if (localtime_r(&t, &tm) && strftime(buf, sizeof(buf), "%Y-%m-%d %H:%M:%S", &tm) > 0)
		text_add(out, buf);
}
