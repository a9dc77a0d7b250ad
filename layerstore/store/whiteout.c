#include "layerstore/store/whiteout.h"

#include <limits.h>
#include <stdio.h>

char *name_show(const char *s, char *buf, size_t size)
{
	size_t n = 0;
	for (; *s; s++) {
		bool plain = (unsigned char)*s >= ' ' && *s != 0x7f && *s != '\\';
		if (n + 8 > size) { /* \xNN... and the end */
			n += (size_t)snprintf(buf + n, size - n, "...");
			break;
		}
		n += (size_t)snprintf(buf + n, size - n, plain ? "%c" : "\\x%02x", (unsigned char)*s);
	}
	buf[n] = 0;
	return buf;
}

int name_clean(char *path, struct err *err)
{
	char shown[256];
	const char *from = path;
	size_t n = 0;
	name_show(path, shown, sizeof(shown)); /* before it is taken apart */
	for (;;) {
		from += strspn(from, "/");
		size_t len = strcspn(from, "/");
		if (len == 0)
			break;
		if (len == 2 && from[0] == '.' && from[1] == '.')
			return err_set(err, ERR_InvalidValue, "the archive has an entry '%s': '..' is not allowed",
				       shown);
		if (len > NAME_MAX)
			return err_set_no(
				err, ERR_InvalidValue, ENAMETOOLONG,
				"the archive has an entry '%s' with a name of %zu bytes, at most %d are possible",
				shown, len, NAME_MAX);
		if (len != 1 || from[0] != '.') {
			if (n > 0)
				path[n++] = '/';
			memmove(path + n, from, len);
			n += len;
		}
		from += len;
	}
	path[n] = 0;
	return 0;
}

static bool begins(const char *s, size_t len, const char *prefix)
{
	size_t n = strlen(prefix);
	return len >= n && memcmp(s, prefix, n) == 0;
}

static int refuse(struct err *err, const char *path, const char *why)
{
	char shown[256];
	return err_set(err, ERR_InvalidValue, "the archive has a whiteout '%s' %s",
		       name_show(path, shown, sizeof(shown)), why);
}

/* The name at the end of path, whose directory is the first dir_len bytes. */
static int parse_last(const char *path, size_t dir_len, char *buf, struct err *err)
{
	const char *name = path + dir_len, *hidden = name + strlen(WH_PREFIX);
	if (strcmp(name, WH_OPAQUE) == 0) {
		dir_len -= dir_len > 0; /* the slash */
		memcpy(buf, path, dir_len);
		buf[dir_len] = 0;
		return WH_MARK;
	}
	if (!*hidden || strcmp(hidden, ".") == 0 || strcmp(hidden, "..") == 0)
		return refuse(err, path, "that names nothing");
	memcpy(buf, path, dir_len);
	memcpy(buf + dir_len, hidden, strlen(hidden) + 1);
	return WH_HIDE;
}

int wh_parse(const char *path, char *buf, struct err *err)
{
	for (const char *name = path; *name;) {
		size_t len = strcspn(name, "/");
		bool last = !name[len], ours = begins(name, len, WH_PREFIX);
		bool is_mark = len == strlen(WH_OPAQUE) && begins(name, len, WH_OPAQUE);
		if (begins(name, len, WH_PREFIX WH_PREFIX) && !is_mark)
			return WH_DROP;
		if (ours && !last)
			return refuse(err, path, "with something below it");
		if (ours)
			return parse_last(path, (size_t)(name - path), buf, err);
		name += len + !last;
	}
	return WH_NOTHING;
}

enum xattr_fate xattr_judge(const char *name, const void *value, size_t len, bool is_dir)
{
	static const char *const kept[] = {
		"security.capability",
		"system.posix_acl_access",
		"system.posix_acl_default",
	};
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		if (strcmp(name, kept[i]) == 0)
			return XATTR_KEEP;
	if (strncmp(name, "user.", 5) == 0 && name[5])
		return XATTR_KEEP;
	if (is_dir && strcmp(name, XATTR_OPAQUE) == 0 && len == 1 && *(const char *)value == 'y')
		return XATTR_MARK;
	return XATTR_DROP;
}
