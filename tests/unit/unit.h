/*
 * tests/unit/unit.h: the whole harness. unit_ok reports one test as a TAP line; main returns unit_end(), which closes
 * with 'N passed, N failed'. A program is rows {text, errno, value} and one loop over them.
 */
#ifndef TESTS_UNIT_UNIT_H
#define TESTS_UNIT_UNIT_H

#include <stdarg.h>
#include <stdio.h>

#include "base/defs.h"

static unsigned unit_passed, unit_failed;

/* Control characters of a value must not break the line. */
static inline void unit_print(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ')
			printf("\\x%02x", (unsigned char)*s);
		else
			putchar(*s);
}

/* Returns ok, so that a test may go on only if the ground for it holds. */
PRINTF_LIKE(2, 3) static inline bool unit_ok(bool ok, const char *fmt, ...)
{
	char name[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(name, sizeof(name), fmt, args);
	va_end(args);
	if (ok)
		unit_passed++;
	else
		unit_failed++;
	printf("%sok %u - ", ok ? "" : "not ", unit_passed + unit_failed);
	unit_print(name);
	putchar('\n');
	fflush(stdout);
	return ok;
}

static inline bool unit_str(const char *got, const char *want, const char *name)
{
	bool ok = strcmp(got, want) == 0;

	unit_ok(ok, "%s", name);
	if (!ok) {
		printf("# got '");
		unit_print(got);
		printf("', expected '");
		unit_print(want);
		printf("'\n");
	}
	return ok;
}

static inline bool unit_int(long long got, long long want, const char *name)
{
	bool ok = got == want;

	unit_ok(ok, "%s", name);
	if (!ok)
		printf("# got %lld, expected %lld\n", got, want);
	return ok;
}

static inline int unit_end(void)
{
	printf("1..%u\n%u passed, %u failed\n", unit_passed + unit_failed, unit_passed, unit_failed);
	return unit_failed > 0;
}

#endif
