/* The property types that are lists: list, argv, env. */
#include "engine/types.h"

#include "base/units.h"

#define BLANKS " \t\n"
#define ARGV_WORDS_MAX 32768 /* more than execve(2) takes within its 128 KiB a word and a few MiB in all */

static bool list_equal(const union value *a, const union value *b)
{
	return strv_equal(&a->v, &b->v);
}

static void list_release(union value *v)
{
	strv_done(&v->v);
}

static int list_copy(const union value *v, union value *ret)
{
	struct strv copy = {};
	int r = strv_copy(&copy, &v->v);

	if (r == 0)
		ret->v = copy;
	return r;
}

/* Hands v over when r is 0, else drops it. */
static int list_give(int r, struct strv *v, union value *ret)
{
	if (r == 0)
		ret->v = *v;
	else
		strv_done(v);
	return r;
}

static int list_parse(const char *text, union value *ret)
{
	struct strv v = {};
	int r = strv_split(text, ';', &v);

	return list_give(r, &v, ret);
}

static void list_format(const union value *v, struct text *out)
{
	strv_join(&v->v, ';', out);
}

static int list_append(const union value *old, const char *text, union value *ret)
{
	struct strv v = {};
	int r = strv_copy(&v, &old->v);

	if (r == 0)
		r = strv_split(text, ';', &v);
	return list_give(r, &v, ret);
}

/* ---- argv ---- */

/*
 * Words are exact, so blanks count and a word may be empty; but a value is trimmed before it is parsed. Where that
 * would lose something, a backslash stands guard: at the very end, or before a newline, it means nothing at all.
 */
static int argv_read(const char *text, struct strv *ret)
{
	autotext struct text word = {};
	int r;

	if (!*text)
		return 0;
	for (;; text++) {
		text_clear(&word);
		for (; *text && *text != '\t'; text++) {
			if (text[0] == '\\' && (text[1] == '\t' || text[1] == '\\')) {
				text_addc(&word, *++text);
			} else if (text[0] == '\\' && text[1] == '\n') {
				text++;
			} else if (text[0] != '\\' || text[1]) {
				text_addc(&word, *text);
			}
		}
		r = text_ok(&word);
		if (r == 0)
			r = ret->n < ARGV_WORDS_MAX ? strv_add(ret, text_str(&word)) : -ERANGE;
		if (r < 0 || !*text)
			return r;
	}
}

static int argv_parse(const char *text, union value *ret)
{
	struct strv v = {};
	int r = argv_read(text, &v);

	return list_give(r, &v, ret);
}

static bool is_trimmed(char c)
{
	return !c || strchr(BLANKS, c);
}

static void argv_format(const union value *v, struct text *out)
{
	const struct strv *words = &v->v;
	const char *last;

	if (words->n == 0)
		return;
	if (is_trimmed(words->p[0][0]) && (words->n > 1 || words->p[0][0]))
		text_add(out, "\\\n");
	for (size_t i = 0; i < words->n; i++) {
		if (i > 0)
			text_addc(out, '\t');
		for (const char *s = words->p[i]; *s; s++) {
			/* Before a newline it would be the guard; doubled it never is. */
			if (*s == '\t' || *s == '\\')
				text_addc(out, '\\');
			text_addc(out, *s);
		}
	}
	last = words->p[words->n - 1];
	if (!*last || is_trimmed(last[strlen(last) - 1]))
		text_addc(out, '\\');
}

static int argv_append(const union value *old, const char *text, union value *ret)
{
	struct strv v = {};
	int r = strv_copy(&v, &old->v);

	if (r == 0)
		r = argv_read(text, &v);
	return list_give(r, &v, ret);
}

static int argv_get_key(const union value *v, const char *key, struct text *out)
{
	uint64_t i;

	if (unit_uint_parse(key, &i) < 0)
		return -EINVAL;
	if (i >= v->v.n)
		return -ENODATA;
	text_add(out, v->v.p[i]);
	return 0;
}

static int argv_set_key(const union value *old, const char *key, const char *text, union value *ret)
{
	struct strv v = {};
	uint64_t i = 0;
	char *word;
	int r = unit_uint_parse(key, &i);

	if (r < 0)
		return r;
	if (i >= ARGV_WORDS_MAX)
		return -ERANGE;
	r = strv_copy(&v, &old->v);
	while (r == 0 && v.n <= i)
		r = strv_add(&v, "");
	if (r == 0) {
		word = strdup(text);
		if (word) {
			free(v.p[i]);
			v.p[i] = word;
		} else {
			r = -ENOMEM;
		}
	}
	return list_give(r, &v, ret);
}

/* ---- env ---- */

struct env_row {
	char *entry;
	size_t name_len, at;
};

/* By name, then by place in the list. */
static int env_row_order(const void *pa, const void *pb)
{
	const struct env_row *a = pa, *b = pb;
	int c = memcmp(a->entry, b->entry, MIN(a->name_len, b->name_len));

	if (c != 0)
		return c;
	if (a->name_len != b->name_len)
		return a->name_len < b->name_len ? -1 : 1;
	return a->at < b->at ? -1 : a->at > b->at;
}

static bool env_same_name(const struct env_row *a, const struct env_row *b)
{
	return a->name_len == b->name_len && memcmp(a->entry, b->entry, a->name_len) == 0;
}

/* Each name once, where it first stood, with the entry that stood last. Sorted for it: a list may be long. */
static int env_settle(struct strv *v)
{
	autofree struct env_row *rows = NULL;
	size_t n = 0;

	for (size_t i = 0; i < v->n; i++)
		if (v->p[i][0] == '=')
			return -EINVAL;
	if (v->n < 2)
		return 0;
	rows = calloc(v->n, sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	for (size_t i = 0; i < v->n; i++)
		rows[i] = (struct env_row){ .entry = v->p[i], .name_len = strcspn(v->p[i], "="), .at = i };
	qsort(rows, v->n, sizeof(*rows), env_row_order);
	for (size_t i = 0, end; i < v->n; i = end) {
		for (end = i + 1; end < v->n && env_same_name(&rows[end - 1], &rows[end]); end++) {
			free(v->p[rows[i].at]);
			v->p[rows[i].at] = rows[end].entry;
			v->p[rows[end].at] = NULL;
		}
	}
	for (size_t i = 0; i < v->n; i++)
		if (v->p[i])
			v->p[n++] = v->p[i];
	v->n = n;
	v->p[n] = NULL;
	return 0;
}

static int env_add(struct strv *v, const char *text, union value *ret)
{
	int r = strv_split(text, ';', v);

	if (r == 0)
		r = env_settle(v);
	return list_give(r, v, ret);
}

static int env_parse(const char *text, union value *ret)
{
	struct strv v = {};

	return env_add(&v, text, ret);
}

static int env_append(const union value *old, const char *text, union value *ret)
{
	struct strv v = {};
	int r = strv_copy(&v, &old->v);

	return r == 0 ? env_add(&v, text, ret) : r;
}

static int env_get_key(const union value *v, const char *key, struct text *out)
{
	size_t len = strlen(key);

	for (size_t i = 0; i < v->v.n; i++) {
		const char *entry = v->v.p[i];
		if (strncmp(entry, key, len) == 0 && entry[len] == '=') {
			text_add(out, entry + len + 1);
			return 0;
		}
	}
	return -ENODATA;
}

static int env_set_key(const union value *old, const char *key, const char *text, union value *ret)
{
	autotext struct text entry = {};
	struct strv v = {};
	int r;

	if (!*key || strchr(key, '=') || is_trimmed(key[0]))
		return -EINVAL;
	text_addf(&entry, "%s=%s", key, text);
	r = text_ok(&entry);
	if (r == 0)
		r = strv_copy(&v, &old->v);
	if (r == 0)
		r = strv_add(&v, text_trim(entry.p));
	if (r == 0)
		r = env_settle(&v);
	return list_give(r, &v, ret);
}

const struct prop_type type_list = {
	.name = "list", .expected = "a list like a;b",
	.parse = list_parse, .format = list_format, .equal = list_equal, .release = list_release, .copy = list_copy,
	.append = list_append,
};

const struct prop_type type_argv = {
	.name = "argv", .expected = "words separated by tabs",
	.parse = argv_parse, .format = argv_format, .equal = list_equal, .release = list_release, .copy = list_copy,
	.get_key = argv_get_key, .set_key = argv_set_key, .append = argv_append,
};

const struct prop_type type_env = {
	.name = "env", .expected = "a list like NAME=value;NAME2=value, where a bare NAME unsets",
	.parse = env_parse, .format = list_format, .equal = list_equal, .release = list_release, .copy = list_copy,
	.get_key = env_get_key, .set_key = env_set_key, .append = env_append,
};
