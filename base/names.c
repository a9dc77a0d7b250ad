#include "base/names.h"

#include <signal.h>
#include <strings.h>

#include "base/units.h"

int names_find(const char *const *table, size_t n, const char *word)
{
	for (size_t i = 0; i < n; i++)
		if (table[i] && strcmp(table[i], word) == 0)
			return (int)i;
	return -EINVAL;
}

/* "RTMIN+3", "RTMAX-1": what kill(1) prints for the real-time signals. */
static int realtime_parse(const char *name)
{
	bool up = strncasecmp(name, "RTMIN", 5) == 0;
	int base = up ? SIGRTMIN : SIGRTMAX;
	uint64_t n;

	if (!up && strncasecmp(name, "RTMAX", 5) != 0)
		return -EINVAL;
	name += 5;
	if (!*name)
		return base;
	if (*name != (up ? '+' : '-') || unit_uint_parse(name + 1, &n) < 0)
		return -EINVAL;
	if (n > (uint64_t)(SIGRTMAX - SIGRTMIN))
		return -EINVAL;
	return up ? base + (int)n : base - (int)n;
}

int signal_parse(const char *text)
{
	static const struct {
		const char *name;
		int sig;
	} aliases[] = { { "CLD", SIGCHLD }, { "IO", SIGIO }, { "IOT", SIGIOT } };
	uint64_t n;

	if (unit_uint_parse(text, &n) == 0)
		return n >= 1 && n <= 64 ? (int)n : -EINVAL;
	if (strncasecmp(text, "SIG", 3) == 0)
		text += 3;
	for (int sig = 1; sig < SIGRTMIN; sig++) {
		const char *name = sigabbrev_np(sig);
		if (name && strcasecmp(name, text) == 0)
			return sig;
	}
	for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
		if (strcasecmp(aliases[i].name, text) == 0)
			return aliases[i].sig;
	return realtime_parse(text);
}
