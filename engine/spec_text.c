/* spec_line_format and spec_parse of engine/types.h. */
#include "engine/types.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

void spec_line_format(struct text *out, const char *name, const char *value)
{
	size_t len = strlen(value);

	text_add(out, name);
	text_add(out, " = ");
	for (size_t i = 0; i < len; i++) {
		size_t plain = strcspn(value + i, "\n\r\\ \t");
		char c = value[i + plain];

		text_addn(out, value + i, plain);
		i += plain;
		if (c == '\0')
			break;
		if (c == '\n' || c == '\r') {
			text_add(out, c == '\n' ? "\\n" : "\\r");
			continue;
		}
		if (c == '\\' || (is_blank(c) && (i == 0 || i == len - 1)))
			text_addc(out, '\\');
		text_addc(out, c);
	}
	text_addc(out, '\n');
}

/* Unescapes s; blanks at the end that no backslash protects are dropped. */
static int value_read(const char *s, struct text *out)
{
	size_t keep = 0;

	for (; *s; s++) {
		bool is_escaped = *s == '\\';
		char c = is_escaped ? *++s : *s;
		if (is_escaped && c == 'n')
			c = '\n';
		else if (is_escaped && c == 'r')
			c = '\r';
		else if (is_escaped && c != '\\' && !is_blank(c))
			return -EINVAL;
		text_addc(out, c);
		if (is_escaped || !is_blank(c))
			keep = out->len;
	}
	if (text_ok(out) < 0)
		return -ENOMEM;
	if (out->p) {
		out->len = keep;
		out->p[keep] = 0;
	}
	return 0;
}

/* One line, NUL-terminated and without its newline; it is cut up in place. */
static int line_read(char *line, int (*fn)(void *arg, const char *name, const char *value, size_t line), void *arg,
		     size_t number)
{
	autotext struct text value = {};
	/* The end is left alone: a blank there may be escaped. */
	char *name = line + strspn(line, " \t"), *equals = strchr(name, '=');
	int r;

	if (!*name || *name == '#')
		return 0;
	if (!equals || equals == name)
		return -EINVAL;
	*equals++ = 0;
	while (is_blank(*equals))
		equals++;
	r = value_read(equals, &value);
	return r < 0 ? r : fn(arg, text_trim(name), text_str(&value), number);
}

int spec_parse(const char *text, size_t len,
	       int (*fn)(void *arg, const char *name, const char *value, size_t line), void *arg, size_t *line)
{
	autotext struct text copy = {};

	*line = 0;
	while (len > 0) {
		const char *newline = memchr(text, '\n', len);
		size_t n = newline ? (size_t)(newline - text) : len;
		int r;
		++*line;
		if (memchr(text, 0, n))
			return -EINVAL;
		text_clear(&copy);
		text_addn(&copy, text, n);
		r = text_ok(&copy);
		if (r == 0 && n > 0)
			r = line_read(copy.p, fn, arg, *line);
		if (r < 0)
			return r;
		n += newline != NULL;
		text += n;
		len -= n;
	}
	return 0;
}
