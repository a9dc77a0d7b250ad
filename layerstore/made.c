/* What was made, as text. */
#include <stdio.h>

#include "base/units.h"
#include "layerstore/layerstore.h"

enum field_kind { FIELD_TEXT, FIELD_BOOL, FIELD_U32, FIELD_U64 };

static const struct field {
	const char *name;
	enum field_kind kind;
	size_t offset, size;
} fields[] = {
#define FIELD(kind, name)                                                                          \
	{                                                                                          \
#name, kind, offsetof(struct vol_made, name), sizeof(((struct vol_made *)0)->name) \
	}
	FIELD(FIELD_TEXT, backend), FIELD(FIELD_TEXT, device), FIELD(FIELD_TEXT, storage),
	FIELD(FIELD_TEXT, image),   FIELD(FIELD_BOOL, quota),  FIELD(FIELD_U32, project),
	FIELD(FIELD_U64, dev),      FIELD(FIELD_U64, under),   FIELD(FIELD_U64, mount),
#undef FIELD
};

static void add_text(struct text *out, const char *s)
{
	for (; *s; s++)
		if (*s == '\n')
			text_add(out, "\\n");
		else if (*s == '\\')
			text_add(out, "\\\\");
		else
			text_addc(out, *s);
}

int vol_made_format(const struct vol_made *made, struct text *out)
{
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		const void *p = (const char *)made + fields[i].offset;
		text_addf(out, "%s = ", fields[i].name);
		switch (fields[i].kind) {
		case FIELD_TEXT:
			add_text(out, p);
			break;
		case FIELD_BOOL:
			text_add(out, *(const bool *)p ? "true" : "false");
			break;
		case FIELD_U32:
			text_addu(out, *(const uint32_t *)p);
			break;
		case FIELD_U64:
			text_addu(out, *(const uint64_t *)p);
			break;
		}
		text_addc(out, '\n');
	}
	return text_ok(out);
}

static int parse_text(const char *s, size_t len, char *to, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		char c = s[i];
		if (c == '\\') {
			if (++i == len || (s[i] != 'n' && s[i] != '\\'))
				return -EINVAL;
			c = s[i] == 'n' ? '\n' : '\\';
		}
		if (n + 1 >= size)
			return -ERANGE;
		to[n++] = c;
	}
	to[n] = 0;
	return 0;
}

static int parse_value(const struct field *f, const char *s, size_t len, struct vol_made *to)
{
	void *p = (char *)to + f->offset;
	char text[32];
	uint64_t v;
	int r;

	if (f->kind == FIELD_TEXT)
		return parse_text(s, len, p, f->size);
	if (len >= sizeof(text))
		return -EINVAL;
	memcpy(text, s, len);
	text[len] = 0;
	if (f->kind == FIELD_BOOL)
		return unit_bool_parse(text, p);
	r = unit_uint_parse(text, &v);
	if (r < 0 || (f->kind == FIELD_U32 && v > UINT32_MAX))
		return r < 0 ? r : -ERANGE;
	if (f->kind == FIELD_U32)
		*(uint32_t *)p = (uint32_t)v;
	else
		*(uint64_t *)p = v;
	return 0;
}

/* A line of another version's that nobody here knows is passed over. */
static int parse_line(const char *line, size_t len, struct vol_made *to)
{
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		size_t n = strlen(fields[i].name);
		if (len >= n + 3 && memcmp(line, fields[i].name, n) == 0 && memcmp(line + n, " = ", 3) == 0)
			return parse_value(&fields[i], line + n + 3, len - n - 3, to);
	}
	return 0;
}

int vol_made_parse(const char *text, struct vol_made *ret, struct err *err)
{
	autofree struct vol_made *made = calloc(1, sizeof(*made));

	if (!made)
		return err_sys(err, ENOMEM, "volume");
	while (*text) {
		size_t len = strcspn(text, "\n");
		if (parse_line(text, len, made) < 0)
			return err_set(err, ERR_InvalidValue, "volume: '%.*s' is not what was written",
				       (int)MIN(len, (size_t)200), text);
		text += len + (text[len] == '\n');
	}
	*ret = *made;
	return 0;
}
