/* Every property type: the first byte chooses it, the second what is done, the rest is a value, an old value or a key.
 */
#include "engine/types.h"

#include "tests/fuzz/fuzz.h"

static void release(const struct prop_type *type, union value *v)
{
	if (type->release)
		type->release(v);
}

/* What a value shows reads back to the same, also after the engine has trimmed it, and shows the same again. */
static void check_value(const struct prop_type *type, const union value *v)
{
	autotext struct text shown = {};
	autotext struct text again = {};
	union value back = {}, copy = {};
	char *trimmed;

	type->format(v, &shown);
	FUZZ_CHECK(text_ok(&shown) == 0);
	trimmed = shown.p ? text_trim(shown.p) : (char *)"";
	FUZZ_CHECK(type->parse(trimmed, &back) == 0);
	FUZZ_CHECK(type->equal(v, &back));
	type->format(&back, &again);
	FUZZ_CHECK(strcmp(trimmed, again.p ? text_trim(again.p) : "") == 0);
	if (type->copy) {
		FUZZ_CHECK(type->copy(v, &copy) == 0 && type->equal(v, &copy));
		release(type, &copy);
	}
	release(type, &back);
}

/* Parses trimmed text, as the engine does. */
static bool read_value(const struct prop_type *type, char *text, union value *ret)
{
	union value untouched;
	int r;

	memset(ret, 0x5a, sizeof(*ret));
	untouched = *ret;
	r = type->parse(text_trim(text), ret);
	FUZZ_CHECK(r == 0 || r == -EINVAL || r == -ERANGE);
	FUZZ_CHECK(r == 0 || memcmp(ret, &untouched, sizeof(untouched)) == 0);
	return r == 0;
}

static void try_key(const struct prop_type *type, const union value *old, const char *key, char *text)
{
	autotext struct text got = {};
	union value v = {};
	int r;

	if (!type->get_key)
		return;
	r = type->get_key(old, key, &got);
	FUZZ_CHECK(r == 0 || r == -ENODATA || r == -EINVAL);
	r = type->set_key(old, key, text_trim(text), &v);
	FUZZ_CHECK(r == 0 || r == -EINVAL || r == -ERANGE);
	if (r == 0) {
		check_value(type, &v);
		release(type, &v);
	}
}

static void try_append(const struct prop_type *type, const union value *old, char *text)
{
	union value v = {};
	int r;

	if (!type->append)
		return;
	r = type->append(old, text_trim(text), &v);
	FUZZ_CHECK(r == 0 || r == -EINVAL || r == -ERANGE);
	if (r == 0) {
		check_value(type, &v);
		release(type, &v);
	}
}

/* The part of the input up to the next byte 1, which stands for nothing else often enough. */
static char *next_part(const uint8_t **data, size_t *size)
{
	const uint8_t *end = memchr(*data, 1, *size);
	size_t len = end ? (size_t)(end - *data) : *size;
	char *s = fuzz_string(*data, len);

	len += end != NULL;
	*data += len;
	*size -= len;
	return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct prop_type *type;
	autofree char *first = NULL;
	autofree char *second = NULL;
	autofree char *third = NULL;
	union value v;
	size_t types = 0;

	while (types_all[types])
		types++;
	if (size < 1)
		return 0;
	type = types_all[data[0] % types];
	types_host_cores = 32;
	data++;
	size--;
	first = next_part(&data, &size);
	second = next_part(&data, &size);
	third = next_part(&data, &size);
	if (!read_value(type, first, &v))
		return 0;
	check_value(type, &v);
	try_key(type, &v, third, second);
	try_append(type, &v, second);
	release(type, &v);
	return 0;
}
