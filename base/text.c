#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>

#define BLANKS " \t\n"

/* Room for more bytes and the NUL after them. */
static bool text_grow(struct text *t, size_t more)
{
	size_t cap = t->cap ? t->cap : 64;
	char *p;

	if (t->failed)
		return false;
	if (more < t->cap && t->len < t->cap - more)
		return true;
	if (more >= SIZE_MAX / 4 || t->len >= SIZE_MAX / 4)
		goto fail;
	while (cap <= t->len + more)
		cap *= 2;
	p = realloc(t->p, cap);
	if (!p)
		goto fail;
	t->p = p;
	t->cap = cap;
	return true;
fail:
	t->failed = true;
	return false;
}

void text_addn(struct text *t, const char *s, size_t len)
{
	if (len == 0 || !text_grow(t, len))
		return;
	memcpy(t->p + t->len, s, len);
	t->len += len;
	t->p[t->len] = 0;
}

void text_add(struct text *t, const char *s)
{
	text_addn(t, s, strlen(s));
}

void text_addc(struct text *t, char c)
{
	text_addn(t, &c, 1);
}

void text_addu(struct text *t, uint64_t v)
{
	char buf[20], *p = buf + sizeof(buf);

	do
		*--p = (char)('0' + v % 10);
	while ((v /= 10) > 0);
	text_addn(t, p, (size_t)(buf + sizeof(buf) - p));
}

void text_addf(struct text *t, const char *fmt, ...)
{
	va_list args;
	size_t room;
	int len;

	if (!text_grow(t, 64))
		return;
	room = t->cap - t->len;
	va_start(args, fmt);
	len = vsnprintf(t->p + t->len, room, fmt, args);
	va_end(args);
	if (len >= 0 && (size_t)len >= room) {
		t->p[t->len] = 0;
		if (!text_grow(t, (size_t)len))
			return;
		va_start(args, fmt);
		len = vsnprintf(t->p + t->len, t->cap - t->len, fmt, args);
		va_end(args);
	}
	if (len < 0) {
		t->p[t->len] = 0;
		t->failed = true;
		return;
	}
	t->len += (size_t)len;
}

void text_clear(struct text *t)
{
	t->len = 0;
	t->failed = false;
	if (t->p)
		t->p[0] = 0;
}

void text_done(struct text *t)
{
	free(t->p);
	*t = (struct text){};
}

char *text_take(struct text *t)
{
	char *s;

	if (t->failed)
		return NULL;
	s = t->p ? t->p : strdup("");
	*t = (struct text){};
	return s;
}

int text_ok(const struct text *t)
{
	return t->failed ? -ENOMEM : 0;
}

const char *text_str(const struct text *t)
{
	return t->p ? t->p : "";
}

static bool is_blank(char c)
{
	return c && strchr(BLANKS, c);
}

char *text_trim(char *s)
{
	size_t len;

	s += strspn(s, BLANKS);
	len = strlen(s);
	while (len > 0 && is_blank(s[len - 1]))
		len--;
	s[len] = 0;
	return s;
}

/* Places for n strings and the NULL: grows by doubling, so that long lists don't cost a copy for each entry. */
static size_t strv_places(size_t n)
{
	size_t places = 4;

	while (places < n + 1)
		places *= 2;
	return places;
}

/* Takes s, freed on failure. */
static int strv_push(struct strv *v, char *s)
{
	if (!s)
		return -ENOMEM;
	if (v->n == 0 || strv_places(v->n) != strv_places(v->n + 1)) {
		char **p = reallocarray(v->p, strv_places(v->n + 1), sizeof(*p));
		if (!p) {
			free(s);
			return -ENOMEM;
		}
		v->p = p;
	}
	v->p[v->n++] = s;
	v->p[v->n] = NULL;
	return 0;
}

int strv_add(struct strv *v, const char *s)
{
	return strv_push(v, strdup(s));
}

int strv_addn(struct strv *v, const char *s, size_t len)
{
	return strv_push(v, strndup(s, len));
}

int strv_copy(struct strv *to, const struct strv *from)
{
	for (size_t i = 0; i < from->n; i++) {
		int r = strv_add(to, from->p[i]);
		if (r < 0) {
			strv_done(to);
			return r;
		}
	}
	return 0;
}

bool strv_equal(const struct strv *a, const struct strv *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->p[i], b->p[i]) != 0)
			return false;
	return true;
}

void strv_done(struct strv *v)
{
	for (size_t i = 0; i < v->n; i++)
		free(v->p[i]);
	free(v->p);
	*v = (struct strv){};
}

int strv_split(const char *text, char sep, struct strv *ret)
{
	autotext struct text item = {};
	int r;

	for (;;) {
		text_clear(&item);
		while (*text && *text != sep) {
			if (text[0] == '\\' && (text[1] == sep || text[1] == '\\') && text[1])
				text++;
			text_addc(&item, *text++);
		}
		r = text_ok(&item);
		if (r < 0)
			return r;
		if (item.len > 0) {
			const char *trimmed = text_trim(item.p);
			r = *trimmed ? strv_add(ret, trimmed) : 0;
			if (r < 0)
				return r;
		}
		if (!*text)
			return 0;
		text++;
	}
}

void strv_join(const struct strv *v, char sep, struct text *out)
{
	for (size_t i = 0; i < v->n; i++) {
		if (i > 0)
			text_addc(out, sep);
		for (const char *s = v->p[i]; *s; s++) {
			if (*s == sep || *s == '\\')
				text_addc(out, '\\');
			text_addc(out, *s);
		}
	}
}
