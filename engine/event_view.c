/* The log of events as one sees it who may not know of all containers, or looks in the directory of one of them. */
#include "engine/access.h"
#include "engine/eventlog.h"

#define FIELDS 3 /* before the name: number, time, kind */

static const char *skip_fields(const char *p, const char *end, unsigned n)
{
	while (n > 0 && p < end)
		n -= *p++ == '\t';
	return n == 0 ? p : NULL;
}

/* Is one the other, or below it? */
static bool is_on_the_way(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t len = MIN(a_len, b_len);

	return strncmp(a, b, len) == 0 && (a_len == b_len || (a_len < b_len ? b[len] : a[len]) == '/');
}

/* Containers that are gone are known by their names alone. */
static bool is_shown(const struct ct *base, const char *name, size_t len)
{
	return base != NULL && (ct_is_root(base) || is_on_the_way(name, len, base->name, strlen(base->name)));
}

/* A line keeps its length, so that places in the log are the same for all: what is left out at its end becomes blanks. */
static void change_line(char *line, char *end, const struct ct *base, const struct ct *view)
{
	char *name = (char *)skip_fields(line, end, FIELDS), *kind = (char *)skip_fields(line, end, FIELDS - 1);
	size_t skip = ct_is_root(view) ? 0 : strlen(view->name) + 1, len;

	if (name == NULL) {
		memset(line, ' ', (size_t)(end - line));
		return;
	}
	len = (size_t)(end - name);
	len = memchr(name, '\t', len) != NULL ? (size_t)((char *)memchr(name, '\t', len) - name) : len;
	if (!is_shown(base, name, len) || (skip > 0 && (len <= skip || name[skip - 1] != '/' || strncmp(name, view->name, skip - 1) != 0))) {
		memset(kind, ' ', (size_t)(end - kind));
		*kind = '-';
		return;
	}
	memmove(name, name + skip, (size_t)(end - name) - skip);
	memset(end - skip, ' ', skip);
}

void event_view(struct engine *e, const struct engine_cred *who, const struct ct *view, char *lines, size_t len)
{
	struct ct *home = access_home(e, who);
	const struct ct *base = home == NULL || access_of(home) == ACCESS_NONE ? NULL : access_view(home);

	for (char *at = lines, *end = lines + len; at < end;) {
		char *nl = memchr(at, '\n', (size_t)(end - at));

		change_line(at, nl != NULL ? nl : end, base, view);
		at = nl != NULL ? nl + 1 : end;
	}
}
