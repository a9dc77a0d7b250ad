/* The one written form of several properties. */
#include "engine/types.h"

#include "tests/unit/unit.h"

static const char *const values[] = {
	"",    "a",    "a b", " a",   "a ",  "  ",    " ",   "\t", "a\t",       "\\",       "\\ ",
	"\\n", "a\nb", "\n",  "\r\n", "a\\", "a = b", "# a", "=",  "\\\n\ta\\", "\x01\xff", "sh -c \"exit 42\"",
};

struct seen {
	char *name, *value;
	size_t lines;
	int result;
};

static int keep(void *arg, const char *name, const char *value, UNUSED size_t line)
{
	struct seen *s = arg;

	free(s->name);
	free(s->value);
	s->name = strdup(name);
	s->value = strdup(value);
	s->lines++;
	return s->result;
}

static void seen_done(struct seen *s)
{
	free(s->name);
	free(s->value);
}

static void test_round_trip(void)
{
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		autotext struct text t = {};
		struct seen s = {};
		size_t line;
		int r;
		spec_line_format(&t, "env[A]", values[i]);
		r = spec_parse(t.p, t.len, keep, &s, &line);
		unit_ok(r == 0 && s.lines == 1 && strcmp(s.name, "env[A]") == 0 && strcmp(s.value, values[i]) == 0 &&
				strchr(t.p, '\n') == t.p + t.len - 1,
			"value '%s' is one line and reads back", values[i]);
		seen_done(&s);
	}
}

static const struct {
	const char *text;
	size_t len; /* 0: strlen */
	int error;
	size_t line, lines;
	const char *name, *value; /* the last line's */
} rows[] = {
	{ "", 0, 0, 0, 0, NULL, NULL },
	{ "\n\n", 0, 0, 2, 0, NULL, NULL },
	{ "# comment\n  # too = x\n\t\n", 0, 0, 3, 0, NULL, NULL },
	{ "a = b\n", 0, 0, 1, 1, "a", "b" },
	{ "a=b", 0, 0, 1, 1, "a", "b" },
	{ "  a\t =  b c  \n", 0, 0, 1, 1, "a", "b c" },
	{ "a =\nb = \n", 0, 0, 2, 2, "b", "" },
	{ "a = b = c\n", 0, 0, 1, 1, "a", "b = c" },
	{ "a = \\ b\\ \n", 0, 0, 1, 1, "a", " b " },
	{ "a = x\\\\ \n", 0, 0, 1, 1, "a", "x\\" },
	{ "a = x\\n\\r\n", 0, 0, 1, 1, "a", "x\n\r" },
	{ "a = b\nbogus\nc = d\n", 0, -EINVAL, 2, 1, "a", "b" },
	{ "= b\n", 0, -EINVAL, 1, 0, NULL, NULL },
	{ "a = \\x\n", 0, -EINVAL, 1, 0, NULL, NULL },
	{ "a = x\\\n", 0, -EINVAL, 1, 0, NULL, NULL },
	{ "a = b\0c\n", 8, -EINVAL, 1, 0, NULL, NULL },
	{ "\0", 1, -EINVAL, 1, 0, NULL, NULL },
};

int main(void)
{
	struct seen stop = { .result = -EBUSY };
	size_t line = 0;

	test_round_trip();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct seen s = {};
		size_t at = 0;
		int r = spec_parse(rows[i].text, rows[i].len ? rows[i].len : strlen(rows[i].text), keep, &s, &at);
		bool ok = r == rows[i].error && at == rows[i].line && s.lines == rows[i].lines;
		if (ok && rows[i].name)
			ok = strcmp(s.name, rows[i].name) == 0 && strcmp(s.value, rows[i].value) == 0;
		if (!unit_ok(ok, "spec '%s'", rows[i].text))
			printf("# %d line %zu lines %zu '%s' '%s'\n", r, at, s.lines, s.name ? s.name : "",
			       s.value ? s.value : "");
		seen_done(&s);
	}
	unit_ok(spec_parse("a = b\nc = d\n", 12, keep, &stop, &line) == -EBUSY && line == 1 && stop.lines == 1,
		"a line that is refused ends the reading");
	seen_done(&stop);
	return unit_end();
}
