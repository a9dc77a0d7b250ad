/* The property types that are maps, kept in struct pairs: strmap, bytemap, ratemap, iolimit, ulimit, labels. */
#include "engine/types.h"

#include <sys/resource.h>

#include "base/units.h"

#define BLANKS " \t\n"
#define LABEL_NAME_MAX 128
#define LABEL_VALUE_MAX 65536
#define LABEL_PREFIX_MIN 2
#define LABEL_PREFIX_MAX 16
#define LABEL_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-@:."

/* What a kind of map does with one entry: adds the value as it is kept to out; "" removes the key. */
typedef int (*entry_fn)(const char *key, const char *value, struct text *out);

/* Reads up to an unescaped ';' or ':' or the end, and returns where that is. */
static const char *word_read(const char *s, struct text *out)
{
	text_clear(out);
	while (*s && *s != ';' && *s != ':') {
		if (s[0] == '\\' && (s[1] == ';' || s[1] == ':' || s[1] == '\\'))
			s++;
		text_addc(out, *s++);
	}
	return s;
}

static const char *trimmed(struct text *t)
{
	return t->p ? text_trim(t->p) : "";
}

static int entry_add(struct pairs *m, const char *key, const char *value, entry_fn fn)
{
	autotext struct text kept = {};
	int r = *key ? fn(key, value, &kept) : -EINVAL;

	if (r == 0)
		r = text_ok(&kept);
	if (r == 0)
		r = strv_add(&m->k, key);
	if (r == 0)
		r = strv_add(&m->v, text_str(&kept));
	return r;
}

/* Adds the entries of the text at the end, in their order. */
static int entries_read(struct pairs *m, const char *text, entry_fn fn)
{
	autotext struct text key = {};
	autotext struct text value = {};
	int r = 0;

	while (r == 0 && *text) {
		text = word_read(text, &key);
		if (*text == ':') {
			text = word_read(text + 1, &value);
			if (*text == ':')
				return -EINVAL;
			r = text_ok(&key) < 0 ? -ENOMEM : text_ok(&value);
			if (r == 0)
				r = entry_add(m, trimmed(&key), trimmed(&value), fn);
		} else if (*trimmed(&key)) {
			return -EINVAL;
		}
		if (*text)
			text++;
	}
	return r < 0 ? r : text_ok(&key);
}

struct row {
	char *k, *v;
	size_t at;
};

static int row_order(const void *pa, const void *pb)
{
	const struct row *a = pa, *b = pb;
	int c = strcmp(a->k, b->k);

	return c ? c : a->at < b->at ? -1 : a->at > b->at;
}

/* Sorts; of equal keys the last stays; empty values go. By sorting once: a map may be long. */
static int pairs_settle(struct pairs *m)
{
	autofree struct row *rows = NULL;
	size_t n = m->k.n, kept = 0;

	if (n == 0)
		return 0;
	rows = calloc(n, sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		rows[i] = (struct row){ m->k.p[i], m->v.p[i], i };
	qsort(rows, n, sizeof(*rows), row_order);
	for (size_t i = 0; i < n; i++) {
		if ((i + 1 < n && strcmp(rows[i].k, rows[i + 1].k) == 0) || !rows[i].v[0]) {
			free(rows[i].k);
			free(rows[i].v);
			continue;
		}
		m->k.p[kept] = rows[i].k;
		m->v.p[kept++] = rows[i].v;
	}
	m->k.n = m->v.n = kept;
	m->k.p[kept] = m->v.p[kept] = NULL;
	return 0;
}

static int map_copy(const union value *v, union value *ret)
{
	struct pairs m = {};

	if (strv_copy(&m.k, &v->m.k) < 0 || strv_copy(&m.v, &v->m.v) < 0) {
		pairs_done(&m);
		return -ENOMEM;
	}
	ret->m = m;
	return 0;
}

/* Hands m over, settled, when r is 0; else drops it. */
static int map_give(int r, struct pairs *m, union value *ret)
{
	if (r == 0)
		r = pairs_settle(m);
	if (r == 0)
		ret->m = *m;
	else
		pairs_done(m);
	return r;
}

static int map_append(const union value *old, const char *text, entry_fn fn, union value *ret)
{
	union value v = {};
	int r = map_copy(old, &v);

	if (r == 0)
		r = entries_read(&v.m, text, fn);
	return map_give(r, &v.m, ret);
}

static int map_set_key(const union value *old, const char *key, const char *text, entry_fn fn, union value *ret)
{
	autotext struct text k = {};
	autotext struct text t = {};
	union value v = {};
	int r = map_copy(old, &v);

	text_add(&k, key);
	text_add(&t, text);
	if (r == 0)
		r = text_ok(&k) < 0 ? -ENOMEM : text_ok(&t);
	if (r == 0)
		r = entry_add(&v.m, trimmed(&k), trimmed(&t), fn);
	return map_give(r, &v.m, ret);
}

static bool map_equal(const union value *a, const union value *b)
{
	return strv_equal(&a->m.k, &b->m.k) && strv_equal(&a->m.v, &b->m.v);
}

static void map_release(union value *v)
{
	pairs_done(&v->m);
}

static void escape(struct text *out, const char *s)
{
	while (*s) {
		size_t plain = strcspn(s, ";:\\");

		text_addn(out, s, plain);
		s += plain;
		if (*s) {
			text_addc(out, '\\');
			text_addc(out, *s++);
		}
	}
}

static void map_format(const union value *v, struct text *out)
{
	for (size_t i = 0; i < v->m.k.n; i++) {
		if (i > 0)
			text_add(out, "; ");
		escape(out, v->m.k.p[i]);
		text_add(out, ": ");
		escape(out, v->m.v.p[i]);
	}
}

static int map_get_key(const union value *v, const char *key, struct text *out)
{
	const char *value = pairs_get(&v->m, key);

	if (!value)
		return -ENODATA;
	text_add(out, value);
	return 0;
}

/* ---- strmap ---- */

static int str_entry(UNUSED const char *key, const char *value, struct text *out)
{
	text_add(out, value);
	return 0;
}

static int strmap_parse(const char *text, union value *ret)
{
	return map_append(&(union value){}, text, str_entry, ret);
}

static int strmap_append(const union value *old, const char *text, union value *ret)
{
	return map_append(old, text, str_entry, ret);
}

static int strmap_set_key(const union value *old, const char *key, const char *text, union value *ret)
{
	return map_set_key(old, key, text, str_entry, ret);
}

/* ---- links ---- */

static int links_get_key(const union value *v, const char *key, struct text *out)
{
	autofree char *path = types_key_path(key);

	return path == NULL ? -ENOMEM : map_get_key(v, path, out);
}

static int links_set_key(const union value *old, const char *key, const char *text, union value *ret)
{
	autofree char *path = types_key_path(key);

	return path == NULL ? -ENOMEM : strmap_set_key(old, path, text, ret);
}

/* ---- bytemap ---- */

static int bytes_entry(UNUSED const char *key, const char *value, struct text *out)
{
	uint64_t bytes = 0;
	int r = unit_bytes_parse(value, &bytes);

	if (r == 0)
		unit_bytes_format(out, bytes);
	return r;
}

static int bytemap_parse(const char *text, union value *ret)
{
	return map_append(&(union value){}, text, bytes_entry, ret);
}

static int bytemap_append(const union value *old, const char *text, union value *ret)
{
	return map_append(old, text, bytes_entry, ret);
}

static int bytemap_set_key(const union value *old, const char *key, const char *text, union value *ret)
{
	return map_set_key(old, key, text, *text ? bytes_entry : str_entry, ret);
}

/* ---- ratemap ---- */

static int ratemap_append(const union value *old, const char *text, union value *ret)
{
	return *text && !strpbrk(text, ":;") ? bytemap_set_key(old, "default", text, ret) : bytemap_append(old, text, ret);
}

static int ratemap_parse(const char *text, union value *ret)
{
	return ratemap_append(&(union value){}, text, ret);
}

/* ---- iolimit ---- */

/* "sda   r" -> "sda r"; -EINVAL for what can name no disk: see the law in types.h. */
static int io_key(const char *key, struct text *out)
{
	size_t base = strcspn(key, BLANKS);
	const char *way = key + base + strspn(key + base, BLANKS);

	for (size_t i = 0; i < base; i++)
		if ((unsigned char)key[i] < ' ' || key[i] == 0x7f)
			return -EINVAL;
	if (base == 0 || (*way && strcmp(way, "r") != 0 && strcmp(way, "w") != 0))
		return -EINVAL;
	text_addn(out, key, base);
	if (*way)
		text_addf(out, " %s", way);
	return 0;
}

/* No limit stays as "0" until double keys have been looked for. */
static int io_entry(UNUSED const char *key, const char *value, struct text *out)
{
	return *value == '-' ? -EINVAL : bytes_entry(key, value, out);
}

/* The keys in their one form. */
static int io_keys(struct pairs *m)
{
	for (size_t i = 0; i < m->k.n; i++) {
		autotext struct text key = {};
		int r = io_key(m->k.p[i], &key);
		char *s = r == 0 ? text_take(&key) : NULL;

		if (r == 0 && !s)
			r = -ENOMEM;
		if (r < 0)
			return r;
		free(m->k.p[i]);
		m->k.p[i] = s;
	}
	return 0;
}

/* The entries of one text, settled; which of two with one key was meant nobody can know. */
static int io_read(const char *text, struct pairs *m)
{
	size_t n;
	int r;

	if (*text && !strpbrk(text, ":;"))
		r = entry_add(m, "fs", text, io_entry);
	else
		r = entries_read(m, text, io_entry);
	if (r == 0)
		r = io_keys(m);
	n = m->k.n;
	if (r == 0)
		r = pairs_settle(m);
	return r == 0 && m->k.n < n ? -EINVAL : r;
}

/* The entries of m (taken) over those of old, without those that are 0. */
static int io_merge(const union value *old, struct pairs *m, int r, union value *ret)
{
	union value v = {};

	if (r == 0)
		r = map_copy(old, &v);
	for (size_t i = 0; r == 0 && i < m->k.n; i++) {
		if (strcmp(m->v.p[i], "0") == 0)
			pairs_unset(&v.m, m->k.p[i]);
		else
			r = pairs_set(&v.m, m->k.p[i], m->v.p[i]);
	}
	pairs_done(m);
	if (r == 0)
		*ret = v;
	else
		pairs_done(&v.m);
	return r;
}

static int iolimit_append(const union value *old, const char *text, union value *ret)
{
	struct pairs m = {};

	return io_merge(old, &m, io_read(text, &m), ret);
}

static int iolimit_parse(const char *text, union value *ret)
{
	return iolimit_append(&(union value){}, text, ret);
}

/* The same in brackets, where a path, /x or .x, has ! for its slashes. */
static int io_bracket(const char *key, struct text *out)
{
	autofree char *path = strchr("!.", *key) ? types_key_path(key) : strdup(key);

	if (path == NULL)
		return -ENOMEM;
	text_add(out, path);
	return text_ok(out);
}

static int iolimit_set_key(const union value *old, const char *key, const char *text, union value *ret)
{
	autotext struct text k = {};
	struct pairs m = {};
	int r = io_bracket(key, &k);

	if (r == 0)
		r = entry_add(&m, trimmed(&k), *text ? text : "0", io_entry);
	return io_merge(old, &m, r == 0 ? io_keys(&m) : r, ret);
}

static int iolimit_get_key(const union value *v, const char *key, struct text *out)
{
	autotext struct text given = {}, one = {};
	int r = io_bracket(key, &given);

	if (r == 0)
		r = io_key(trimmed(&given), &one);
	return r < 0 ? r : map_get_key(v, text_str(&one), out);
}

/* ---- ulimit ---- */

static const struct {
	const char *name;
	int resource;
} ulimits[] = {
	{ "as",         RLIMIT_AS },
	{ "core",       RLIMIT_CORE },
	{ "cpu",        RLIMIT_CPU },
	{ "data",       RLIMIT_DATA },
	{ "fsize",      RLIMIT_FSIZE },
	{ "locks",      RLIMIT_LOCKS },
	{ "memlock",    RLIMIT_MEMLOCK },
	{ "msgqueue",   RLIMIT_MSGQUEUE },
	{ "nice",       RLIMIT_NICE },
	{ "nofile",     RLIMIT_NOFILE },
	{ "nproc",      RLIMIT_NPROC },
	{ "rss",        RLIMIT_RSS },
	{ "rtprio",     RLIMIT_RTPRIO },
	{ "rttime",     RLIMIT_RTTIME },
	{ "sigpending", RLIMIT_SIGPENDING },
	{ "stack",      RLIMIT_STACK },
};

int ulimit_resource(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(ulimits); i++)
		if (strcmp(ulimits[i].name, name) == 0)
			return ulimits[i].resource;
	return -EINVAL;
}

const char *ulimit_name(int resource)
{
	for (size_t i = 0; i < ARRAY_LEN(ulimits); i++)
		if (ulimits[i].resource == resource)
			return ulimits[i].name;
	return NULL;
}

static int ulimit_number(const char *word, size_t len, uint64_t *ret)
{
	static const char *const no_limit[] = { "unlimited", "unlim", "inf", "-1" };
	char number[64];

	if (len >= sizeof(number))
		return -EINVAL;
	memcpy(number, word, len);
	number[len] = 0;
	for (size_t i = 0; i < ARRAY_LEN(no_limit); i++) {
		if (strcmp(number, no_limit[i]) == 0) {
			*ret = RLIM_INFINITY;
			return 0;
		}
	}
	return unit_bytes_parse(number, ret);
}

/* "8K 1M" or "8K": one or two numbers, suffixes and all. */
int ulimit_values(const char *text, uint64_t *soft, uint64_t *hard)
{
	const char *first = text + strspn(text, BLANKS), *second, *rest;
	uint64_t s = 0, h = 0;
	size_t len = strcspn(first, BLANKS);
	int r = ulimit_number(first, len, &s);

	second = first + len + strspn(first + len, BLANKS);
	h = s;
	if (r == 0 && *second) {
		len = strcspn(second, BLANKS);
		rest = second + len;
		if (rest[strspn(rest, BLANKS)])
			return -EINVAL;
		r = ulimit_number(second, len, &h);
	}
	if (r == 0 && s > h)
		r = -EINVAL;
	if (r == 0) {
		*soft = s;
		*hard = h;
	}
	return r;
}

static void ulimit_put(struct text *out, uint64_t limit)
{
	if (limit == RLIM_INFINITY)
		text_add(out, "unlimited");
	else
		unit_bytes_format(out, limit);
}

static int ulimit_entry(const char *key, const char *value, struct text *out)
{
	uint64_t soft = 0, hard = 0;
	int r = ulimit_resource(key);

	if (r >= 0)
		r = ulimit_values(value, &soft, &hard);
	if (r < 0)
		return r;
	ulimit_put(out, soft);
	text_addc(out, ' ');
	ulimit_put(out, hard);
	return 0;
}

/* An indexed write: nothing removes, and what the index reads ("type: soft hard") can be written back. */
static int ulimit_key_entry(const char *key, const char *value, struct text *out)
{
	size_t len = strlen(key);

	if (ulimit_resource(key) < 0)
		return -EINVAL;
	if (!*value)
		return 0;
	if (strncmp(value, key, len) == 0 && value[len] == ':')
		value += len + 1;
	return ulimit_entry(key, value, out);
}

/* A type given twice is a slip: which of the two was meant? */
static int ulimit_parse(const char *text, union value *ret)
{
	struct pairs m = {};
	unsigned seen = 0;
	int r = entries_read(&m, text, ulimit_entry);

	for (size_t i = 0; r == 0 && i < m.k.n; i++) {
		unsigned bit = 1u << ulimit_resource(m.k.p[i]);

		if (seen & bit)
			r = -EINVAL;
		seen |= bit;
	}
	return map_give(r, &m, ret);
}

static int ulimit_append(const union value *old, const char *text, union value *ret)
{
	union value added;
	int r = ulimit_parse(text, &added);

	if (r < 0)
		return r;
	map_release(&added);
	return map_append(old, text, ulimit_entry, ret);
}

static int ulimit_set_key(const union value *old, const char *key, const char *text, union value *ret)
{
	return map_set_key(old, key, text, ulimit_key_entry, ret);
}

static void ulimit_format(const union value *v, struct text *out)
{
	for (size_t i = 0; i < v->m.k.n; i++)
		text_addf(out, "%s: %s; ", v->m.k.p[i], v->m.v.p[i]);
}

static int ulimit_get_key(const union value *v, const char *key, struct text *out)
{
	const char *value = pairs_get(&v->m, key);

	if (value)
		text_addf(out, "%s: %s", key, value);
	return 0;
}

/* ---- labels ---- */

int label_check(const char *name, const char *value, const char **why)
{
	size_t prefix = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");

	if (strlen(name) > LABEL_NAME_MAX)
		*why = "the name is longer than 128 bytes";
	else if (name[prefix] != '.' || prefix < LABEL_PREFIX_MIN || prefix > LABEL_PREFIX_MAX)
		*why = "the name must begin with 2 to 16 letters A-Z and a dot";
	else if (strncmp(name, "PORTO", 5) == 0)
		*why = "prefixes that begin with PORTO are reserved";
	else if (!name[prefix + 1])
		*why = "nothing follows the dot of the name";
	else if (name[strspn(name, LABEL_LETTERS)])
		*why = "forbidden character in the name; letters, digits and _-@:. are allowed";
	else if (strlen(value) > LABEL_VALUE_MAX)
		*why = "the value is longer than 65536 bytes";
	else if (value[strspn(value, LABEL_LETTERS)])
		*why = "forbidden character in the value; letters, digits and _-@:. are allowed";
	else
		return 0;
	return -EINVAL;
}

static int label_entry(const char *key, const char *value, struct text *out)
{
	const char *why;

	text_add(out, value);
	return label_check(key, value, &why);
}

static int labels_parse(const char *text, union value *ret)
{
	return map_append(&(union value){}, text, label_entry, ret);
}

static int labels_append(const union value *old, const char *text, union value *ret)
{
	return map_append(old, text, label_entry, ret);
}

static int labels_set_key(const union value *old, const char *key, const char *text, union value *ret)
{
	return map_set_key(old, key, text, label_entry, ret);
}

const struct prop_type type_strmap = {
	.name = "strmap", .expected = "a map like key: text; key: text",
	.parse = strmap_parse, .format = map_format, .equal = map_equal, .release = map_release, .copy = map_copy,
	.get_key = map_get_key, .set_key = strmap_set_key, .append = strmap_append,
};

const struct prop_type type_links = {
	.name = "links", .expected = "a map like /link: target; /dir/link: /target",
	.parse = strmap_parse, .format = map_format, .equal = map_equal, .release = map_release, .copy = map_copy,
	.get_key = links_get_key, .set_key = links_set_key, .append = strmap_append,
};

const struct prop_type type_bytemap = {
	.name = "bytemap", .expected = "a map like key: 1M; key: 1G",
	.parse = bytemap_parse, .format = map_format, .equal = map_equal, .release = map_release, .copy = map_copy,
	.get_key = map_get_key, .set_key = bytemap_set_key, .append = bytemap_append,
};

const struct prop_type type_ratemap = {
	.name = "ratemap", .expected = "bytes a second: one number for all devices, or a map like default: 10M; eth0: 1M",
	.parse = ratemap_parse, .format = map_format, .equal = map_equal, .release = map_release, .copy = map_copy,
	.get_key = map_get_key, .set_key = bytemap_set_key, .append = ratemap_append,
};

const struct prop_type type_iolimit = {
	.name = "iolimit", .expected = "one number, or a map like fs: 10M; sda r: 5M; /path w: 1G, each key once, 0 for no limit",
	.parse = iolimit_parse, .format = map_format, .equal = map_equal, .release = map_release, .copy = map_copy,
	.get_key = iolimit_get_key, .set_key = iolimit_set_key, .append = iolimit_append,
};

const struct prop_type type_ulimit = {
	.name = "ulimit", .expected = "limits like nofile: 8K 1M; core: unlimited, each type once, soft not above hard",
	.parse = ulimit_parse, .format = ulimit_format, .equal = map_equal, .release = map_release, .copy = map_copy,
	.get_key = ulimit_get_key, .set_key = ulimit_set_key, .append = ulimit_append,
};

const struct prop_type type_labels = {
	.name = "labels", .expected = "labels like PREFIX.name: value; values of letters, digits and _-@:.",
	.parse = labels_parse, .format = map_format, .equal = map_equal, .release = map_release, .copy = map_copy,
	.get_key = map_get_key, .set_key = labels_set_key, .append = labels_append,
};
