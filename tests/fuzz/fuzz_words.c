/* The small parsers of words a user writes: names, paths, signals, labels, lists, levels, error kinds. */
#include "base/err.h"
#include "base/log.h"
#include "base/names.h"
#include "base/path.h"
#include "base/text.h"
#include "base/units.h"
#include "engine/types.h"
#include "tests/fuzz/fuzz.h"

static void try_path(const char *s)
{
	autofree char *normal = path_normalise(s);
	autofree char *twice = path_normalise(normal);
	autofree char *joined = path_join(s, s);

	FUZZ_CHECK(normal && twice && joined);
	FUZZ_CHECK(strcmp(normal, twice) == 0 && *normal);
	FUZZ_CHECK((s[0] == '/') == (normal[0] == '/') && path_is_normal(normal) == (s[0] == '/'));
	FUZZ_CHECK(path_is_normal(s) == (s[0] == '/' && strcmp(s, normal) == 0));
	FUZZ_CHECK(strlen(normal) <= MAX(strlen(s), (size_t)1));
}

static void try_list(const char *s)
{
	autostrv struct strv v = {};
	autostrv struct strv again = {};
	autotext struct text t = {};
	char sep = *s ? *s : ';';

	/* A backslash or a blank as separator makes no sense, and nobody has one. */
	if (strchr("\\ \n\t", sep))
		sep = ',';
	FUZZ_CHECK(strv_split(s, sep, &v) == 0);
	strv_join(&v, sep, &t);
	FUZZ_CHECK(text_ok(&t) == 0 && strv_split(text_str(&t), sep, &again) == 0 && strv_equal(&v, &again));
}

static void try_name(const char *s)
{
	struct err err = {};
	int r = name_check(s, &err);

	FUZZ_CHECK(r == 0 || r == -EINVAL || r == -ENAMETOOLONG);
	FUZZ_CHECK((r == 0) == (err.kind == ERR_Success));
	FUZZ_CHECK(r < 0 || (*s && !strchr(s, '/') && s[0] != '.' && strlen(s) <= NAME_COMPONENT_MAX));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	autofree char *s = fuzz_string(data, size);
	enum log_level level = LOG_ERROR;
	const char *why = NULL;
	uint64_t seconds = 0, soft = 0, hard = 0;
	struct err err = {};
	int r = signal_parse(s);

	FUZZ_CHECK(r == -EINVAL || (r >= 1 && r <= 64));
	r = label_check(s, s, &why);
	FUZZ_CHECK(r == 0 || (r == -EINVAL && why));
	r = ulimit_values(s, &soft, &hard);
	FUZZ_CHECK(r < 0 || soft <= hard);
	r = unit_seconds_parse(s, &seconds);
	FUZZ_CHECK(r == 0 || r == -EINVAL || r == -ERANGE);
	FUZZ_CHECK(log_level_parse(s, &level) == 0 || level == LOG_ERROR);
	FUZZ_CHECK(err_kind_parse(s) == ERR_Unknown || strcmp(err_kind_name(err_kind_parse(s)), s) == 0);
	err_set(&err, ERR_InvalidValue, "'%s': %s", s, s);
	FUZZ_CHECK(!strchr(err.text, '\n'));
	try_path(s);
	try_name(s);
	try_list(s);
	return 0;
}
