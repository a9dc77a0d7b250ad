/* Spec text: every value read can be written down in one line and reads back to the same. */
#include "engine/types.h"

#include "tests/fuzz/fuzz.h"

struct want {
	const char *name, *value;
	unsigned lines;
};

static int compare(void *arg, const char *name, const char *value, size_t line)
{
	struct want *w = arg;

	FUZZ_CHECK(strcmp(name, w->name) == 0 && strcmp(value, w->value) == 0 && line == 1);
	w->lines++;
	return 0;
}

static int on_line(UNUSED void *arg, const char *name, const char *value, size_t line)
{
	struct want want = { .name = name, .value = value };
	autotext struct text t = {};
	size_t n;

	FUZZ_CHECK(*name && line > 0);
	spec_line_format(&t, name, value);
	FUZZ_CHECK(text_ok(&t) == 0 && memchr(t.p, '\n', t.len) == t.p + t.len - 1);
	FUZZ_CHECK(spec_parse(t.p, t.len, compare, &want, &n) == 0 && want.lines == 1);
	/* Any text at all may be a value. */
	want = (struct want){ .name = "x", .value = name };
	text_clear(&t);
	spec_line_format(&t, "x", name);
	FUZZ_CHECK(spec_parse(t.p, t.len, compare, &want, &n) == 0 && want.lines == 1);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct want want = { .name = "x" };
	autofree char *value = fuzz_string(data, size);
	autotext struct text t = {};
	size_t line;
	int r = spec_parse((const char *)data, size, on_line, NULL, &line);

	FUZZ_CHECK(r == 0 || r == -EINVAL);
	want.value = value;
	spec_line_format(&t, "x", value);
	FUZZ_CHECK(spec_parse(t.p, t.len, compare, &want, &line) == 0 && want.lines == 1);
	return 0;
}
