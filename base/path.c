#include "base/path.h"

#include "base/text.h"

#define NAME_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-@:."

int name_check(const char *component, struct err *err)
{
	size_t len = strlen(component), good = strspn(component, NAME_LETTERS);

	if (len == 0)
		return err_set(err, ERR_InvalidValue, "the name is empty");
	if (len > NAME_COMPONENT_MAX)
		return err_set_no(err, ERR_InvalidValue, ENAMETOOLONG,
				  "name '%.32s...' has %zu bytes, at most %d are allowed", component, len,
				  NAME_COMPONENT_MAX);
	if (component[good])
		return err_set(err, ERR_InvalidValue,
			       "name '%s': forbidden character 0x%02x; letters, digits and _-@:. are allowed",
			       component, (unsigned char)component[good]);
	if (component[0] == '.')
		return err_set(err, ERR_InvalidValue, "name '%s' begins with a dot", component);
	if (strcmp(component, "self") == 0)
		return err_set(err, ERR_InvalidValue, "name 'self' is reserved");
	return 0;
}

/* The next component of *path and its length, *path moved behind it; NULL at the end. */
static const char *next_component(const char **path, size_t *len)
{
	const char *start = *path + strspn(*path, "/");

	*len = strcspn(start, "/");
	*path = start + *len;
	return *len ? start : NULL;
}

static bool is_word(const char *s, size_t len, const char *word)
{
	return len == strlen(word) && memcmp(s, word, len) == 0;
}

bool path_is_normal(const char *path)
{
	const char *part, *expect = path + 1;
	size_t len;

	if (path[0] != '/')
		return false;
	if (!path[1])
		return true;
	while ((part = next_component(&path, &len))) {
		if (part != expect || is_word(part, len, ".") || is_word(part, len, ".."))
			return false;
		expect = path + 1;
	}
	return path[-1] != '/';
}

/* Where the last component of the first len bytes begins. */
static size_t last_component(const char *path, size_t len)
{
	while (len > 0 && path[len - 1] != '/')
		len--;
	return len;
}

char *path_normalise(const char *path)
{
	bool absolute = path[0] == '/';
	/* The result is never longer than the path, except "." for an empty one. */
	char *out = malloc(strlen(path) + 2);
	const char *part;
	size_t n = 0, len;

	if (!out)
		return NULL;
	if (absolute)
		out[n++] = '/';
	while ((part = next_component(&path, &len))) {
		size_t last = last_component(out, n);
		if (is_word(part, len, "."))
			continue;
		if (is_word(part, len, "..") && n == absolute && absolute)
			continue;
		if (is_word(part, len, "..") && n > absolute && !is_word(out + last, n - last, "..")) {
			n = last > absolute ? last - 1 : last;
			continue;
		}
		if (n > absolute)
			out[n++] = '/';
		memcpy(out + n, part, len);
		n += len;
	}
	if (n == 0)
		out[n++] = '.';
	out[n] = 0;
	return out;
}

char *path_join(const char *dir, const char *name)
{
	size_t dir_len = strlen(dir), name_len;
	bool has_dir = dir_len > 0;
	char *out;

	while (dir_len > 0 && dir[dir_len - 1] == '/')
		dir_len--;
	if (has_dir)
		name += strspn(name, "/");
	name_len = strlen(name);
	out = malloc(dir_len + name_len + 2);
	if (!out)
		return NULL;
	memcpy(out, dir, dir_len);
	/* An empty dir is the current one: a slash would make the name absolute. */
	if (has_dir && (name_len > 0 || dir_len == 0))
		out[dir_len++] = '/';
	memcpy(out + dir_len, name, name_len + 1);
	return out;
}
