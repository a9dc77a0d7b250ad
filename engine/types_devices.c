/* The property type of `devices`: entries as they were written, checked and normalised, each by its words. */
#include "base/path.h"
#include "engine/types.h"

#define ENTRIES_MAX 256
#define WORDS_MAX 6

/* Letters in any order -> in ours. r and w bring m with them. */
static int access_format(const char *text, struct text *out)
{
	bool some = strpbrk(text, "rw") != NULL;

	if (!*text || text[strspn(text, "rwm-?*")] != '\0' || (strchr(text, '-') && strpbrk(text, "rwm")))
		return -EINVAL;
	text_add(out, strchr(text, 'r') ? "r" : "");
	text_add(out, strchr(text, 'w') ? "w" : "");
	text_add(out, some || strchr(text, 'm') ? "m" : "");
	text_add(out, strchr(text, '-') ? "-" : "");
	text_add(out, strchr(text, '?') ? "?" : "");
	text_add(out, strchr(text, '*') ? "*" : "");
	return some || strpbrk(text, "m-") ? 0 : -EINVAL;
}

static bool is_device_path(const char *path)
{
	return strncmp(path, "/dev/", 5) == 0 && path_is_normal(path) && strlen(path) < 200;
}

static bool is_mode(const char *word)
{
	char *end;

	return *word >= '0' && *word <= '7' && strtoul(word, &end, 8) <= 0777 && *end == '\0';
}

static int entry_format(const struct strv *words, struct text *out)
{
	if (words->n == 2 && strcmp(words->p[0], "preset") == 0) {
		text_addf(out, "preset %s", words->p[1]);
		return 0;
	}
	if (words->n < 2 || words->n > WORDS_MAX || !is_device_path(words->p[0]) || (words->n > 2 && !is_device_path(words->p[2])) ||
	    (words->n > 3 && !is_mode(words->p[3])))
		return -EINVAL;
	text_addf(out, "%s ", words->p[0]);
	if (access_format(words->p[1], out) < 0)
		return -EINVAL;
	for (size_t i = 2; i < words->n; i++)
		text_addf(out, " %s", words->p[i]);
	return 0;
}

/* What it is known by: of two entries with one the last counts. */
static size_t key_length(const char *entry)
{
	return strncmp(entry, "preset ", 7) == 0 ? strlen(entry) : strcspn(entry, " ");
}

static bool same_key(const char *a, const char *b)
{
	return key_length(a) == key_length(b) && strncmp(a, b, key_length(a)) == 0;
}

static int entry_add(struct strv *v, const char *item)
{
	autotext struct text entry = {};
	autostrv struct strv words = {};
	char *copy;
	int r;

	for (const char *p = item; *p; p++)
		if ((unsigned char)*p < ' ' && *p != '\t')
			return -EINVAL;
	autofree char *plain = strdup(item);
	if (plain == NULL)
		return -ENOMEM;
	for (char *word, *rest = plain; (word = strsep(&rest, " \t"));)
		if (*word && strv_add(&words, word) < 0)
			return -ENOMEM;
	r = entry_format(&words, &entry);
	if (r == 0)
		r = text_ok(&entry);
	for (size_t i = 0; r == 0 && i < v->n; i++)
		if (same_key(v->p[i], text_str(&entry))) {
			copy = strdup(text_str(&entry));
			if (copy == NULL)
				return -ENOMEM;
			free(v->p[i]);
			v->p[i] = copy;
			return 0;
		}
	if (r == 0 && v->n >= ENTRIES_MAX)
		r = -EINVAL;
	return r < 0 ? r : strv_add(v, text_str(&entry));
}

static int add_all(const struct strv *old, const char *text, union value *ret)
{
	autostrv struct strv items = {};
	struct strv v = {};
	int r = strv_split(text, ';', &items);

	if (r == 0 && old != NULL)
		r = strv_copy(&v, old);
	for (size_t i = 0; r == 0 && i < items.n; i++)
		r = entry_add(&v, items.p[i]);
	if (r < 0)
		strv_done(&v);
	else
		*ret = (union value){ .v = v };
	return r;
}

static int parse(const char *text, union value *ret)
{
	return add_all(NULL, text, ret);
}

static int append(const union value *old, const char *text, union value *ret)
{
	return add_all(&old->v, text, ret);
}

static void format(const union value *v, struct text *out)
{
	for (size_t i = 0; i < v->v.n; i++) {
		for (const char *p = v->v.p[i]; *p; p++) {
			if (*p == ';' || *p == '\\')
				text_addc(out, '\\');
			text_addc(out, *p);
		}
		text_add(out, "; ");
	}
}

static bool equal(const union value *a, const union value *b)
{
	return strv_equal(&a->v, &b->v);
}

static void release(union value *v)
{
	strv_done(&v->v);
}

static int copy_value(const union value *v, union value *ret)
{
	*ret = (union value){};
	return strv_copy(&ret->v, &v->v);
}

char *types_key_path(const char *key)
{
	char *path = strdup(key);

	for (char *p = path; p != NULL && *p; p++)
		if (*p == '!')
			*p = '/';
	return path;
}

static int get_key(const union value *v, const char *key, struct text *out)
{
	autofree char *path = types_key_path(key);

	if (path == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < v->v.n; i++)
		if (key_length(v->v.p[i]) == strlen(path) && strncmp(v->v.p[i], path, strlen(path)) == 0) {
			text_add(out, v->v.p[i] + strlen(path) + (v->v.p[i][strlen(path)] == ' '));
			return 0;
		}
	return is_device_path(path) ? -ENODATA : -EINVAL;
}

/* The rest of an entry; nothing takes it out. */
static int set_key(const union value *old, const char *key, const char *text, union value *ret)
{
	autofree char *path = types_key_path(key);
	autotext struct text entry = {};
	union value v = {};
	int r;

	if (path == NULL)
		return -ENOMEM;
	if (!is_device_path(path) || strchr(path, ' '))
		return -EINVAL;
	r = copy_value(old, &v);
	text_addf(&entry, "%s %s", path, text);
	if (r == 0 && *text)
		r = text_ok(&entry) < 0 ? -ENOMEM : entry_add(&v.v, text_str(&entry));
	for (size_t i = 0; r == 0 && !*text && i < v.v.n; i++)
		if (same_key(v.v.p[i], text_str(&entry))) {
			free(v.v.p[i]);
			memmove(&v.v.p[i], &v.v.p[i + 1], (v.v.n-- - i) * sizeof(*v.v.p));
			break;
		}
	if (r < 0)
		release(&v);
	else
		*ret = v;
	return r;
}

const struct prop_type type_devices = {
	.name = "devices", .expected = "`/dev/x rwm [/dev/path] [mode] [user] [group]; ...` or `preset NAME`, access of r w m, - for none, ? if it is there, * for all of its kind",
	.parse = parse, .format = format, .equal = equal, .release = release, .copy = copy_value,
	.get_key = get_key, .set_key = set_key, .append = append,
};
