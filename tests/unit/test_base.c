/* The small files of base: err, log, text, names, units (what test_types doesn't reach), path. */
#include <fcntl.h>
#include <signal.h>
#include <time.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/names.h"
#include "base/path.h"
#include "base/text.h"
#include "base/units.h"
#include "tests/unit/unit.h"

static void test_err(void)
{
	struct err e = {};
	char buf[64], *text;

	unit_int(err_set(&e, ERR_InvalidValue, "x: '%s'", "y"), -EINVAL, "err_set gives the kind's errno");
	unit_str(err_format(&e, buf, sizeof(buf)), "InvalidValue:(x: 'y')", "err_format");
	unit_int(err_set(NULL, ERR_Busy, "x"), -EBUSY, "err_set without a place to put it");
	unit_int(err_set_no(&e, ERR_Unknown, ENOENT, "no"), -ENOENT, "err_set_no");
	unit_ok(e.kind == ERR_Unknown && e.no == ENOENT, "err_set_no keeps both");
	unit_int(err_sys(&e, EPERM, "open %d", 5), -EPERM, "err_sys");
	unit_str(e.text, "Operation not permitted: open 5", "err_sys says why");
	unit_int(err_wrap(&e, -7, "a"), -7, "err_wrap gives what it was given");
	unit_str(e.text, "a: Operation not permitted: open 5", "err_wrap puts the name before");
	unit_ok(e.kind == ERR_Unknown && e.no == EPERM, "err_wrap keeps kind and errno");
	err_set(&e, ERR_Busy, "again: %s", e.text);
	unit_str(e.text, "again: a: Operation not permitted: open 5", "the old sentence may be part of the new");
	err_set(&e, ERR_Busy, "a\nb\tc\x01");
	unit_str(e.text, "a b c?", "a sentence is one line");
	e = (struct err){ .kind = ERR_Busy };
	unit_str(err_format(&e, buf, sizeof(buf)), "Busy", "err_format without a sentence");
	text = malloc(5000);
	memset(text, 'x', 4999);
	text[4999] = 0;
	err_set(&e, ERR_Busy, "%s", text);
	unit_int((long long)strlen(e.text), ERR_TEXT_MAX - 1, "a sentence too long is cut");
	for (size_t i = 0; i + 1 < 4999; i += 2)
		memcpy(text + i, "\xc3\xa9", 2);
	err_set(&e, ERR_Busy, "%s", text);
	unit_int((long long)strlen(e.text), ERR_TEXT_MAX - 2, "and not in the middle of a letter");
	free(text);
	unit_str(err_kind_name(ERR_DockerImageNotFound), "DockerImageNotFound", "err_kind_name");
	unit_str(err_kind_name((enum err_kind)12345), "Unknown", "err_kind_name of a number nobody knows");
	unit_str(err_kind_name(ERR_Success), "Success", "err_kind_name of 0");
	unit_int(err_kind_parse("NoSpace"), ERR_NoSpace, "err_kind_parse");
	unit_int(err_kind_parse("nospace"), ERR_Unknown, "err_kind_parse of another word");
	unit_int(err_kind_of_errno(EINVAL), ERR_InvalidValue, "err_kind_of_errno");
	unit_int(err_kind_of_errno(ENOENT), ERR_Unknown, "err_kind_of_errno ENOENT");
}

static void test_text(void)
{
	autotext struct text t = {};
	char spaces[] = " \t\n a b \n ", only[] = " \n\t ", *s;

	unit_str(text_str(&t), "", "empty text");
	text_add(&t, "a");
	text_addc(&t, 'b');
	text_addn(&t, "cdX", 2);
	text_addf(&t, "%d", 5);
	unit_str(text_str(&t), "abcd5", "text grows");
	for (int i = 0; i < 1000; i++)
		text_addf(&t, "%0*d", i, 0);
	unit_ok(text_ok(&t) == 0 && t.len == strlen(t.p) && t.len == 5 + 1000 * 999 / 2 + 1,
		"text_addf longer than the room");
	text_clear(&t);
	unit_ok(t.len == 0 && t.p && !*t.p, "text_clear");
	text_addn(&t, "a\0b", 3);
	unit_ok(t.len == 3 && memcmp(t.p, "a\0b", 4) == 0, "text may hold NUL");
	s = text_take(&t);
	unit_ok(s && !t.p && t.len == 0, "text_take leaves nothing");
	free(s);
	s = text_take(&t);
	unit_ok(s && !*s, "text_take of nothing is a string");
	free(s);
	text_addn(&t, "", SIZE_MAX / 2);
	unit_ok(text_ok(&t) == -ENOMEM && !text_take(&t), "too much fails");
	text_add(&t, "x");
	unit_ok(text_ok(&t) == -ENOMEM && t.len == 0, "and drops what comes after");
	unit_str(text_trim(spaces), "a b", "text_trim");
	unit_str(text_trim(only), "", "text_trim of blanks");
}

static void test_strv(void)
{
	autostrv struct strv v = {};
	autostrv struct strv copy = {};

	for (int i = 0; i < 1000; i++)
		if (strv_addn(&v, "abcdef", (size_t)i % 7) < 0)
			break;
	unit_ok(v.n == 1000 && !v.p[1000] && strcmp(v.p[999], "abcde") == 0, "strv of 1000");
	unit_ok(strv_copy(&copy, &v) == 0 && strv_equal(&v, &copy), "strv_copy");
	copy.p[999][0] = 'x';
	unit_ok(!strv_equal(&v, &copy), "strv_equal sees a difference");
	strv_done(&v);
	unit_ok(v.n == 0 && !v.p && !strv_equal(&v, &copy), "strv_done");
}

static void test_names(void)
{
	static const char *const table[] = { "a", NULL, "c" };
	static const struct {
		const char *text;
		int want;
	} rows[] = {
		{ "TERM", SIGTERM },
		{ "SIGTERM", SIGTERM },
		{ "sigterm", SIGTERM },
		{ "Kill", SIGKILL },
		{ "9", 9 },
		{ "64", 64 },
		{ "cld", SIGCHLD },
		{ "IOT", SIGABRT },
		{ "io", SIGIO },
		{ "stkflt", SIGSTKFLT },
		{ "RTMIN+3", 37 },
		{ "SIGRTMAX-1", 63 },
		{ "rtmin", 34 },
		{ "RTMAX", 64 },
		{ "0", -EINVAL },
		{ "65", -EINVAL },
		{ "-9", -EINVAL },
		{ "", -EINVAL },
		{ "SIG", -EINVAL },
		{ "SIGSIGTERM", -EINVAL },
		{ "TERMX", -EINVAL },
		{ "9 ", -EINVAL },
		{ "99999999999999999999", -EINVAL },
		{ "RTMIN-1", -EINVAL },
		{ "RTMIN+31", -EINVAL },
		{ "RTMAX+1", -EINVAL },
		{ "RTMIN+", -EINVAL },
		{ "\xff", -EINVAL },
	};

	unit_int(names_find(table, 3, "c"), 2, "names_find behind a hole");
	unit_int(names_find(table, 3, "b"), -EINVAL, "names_find without a match");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		unit_ok(signal_parse(rows[i].text) == rows[i].want, "signal '%s' is %d", rows[i].text, rows[i].want);
}

static void test_units(void)
{
	autotext struct text t = {};
	uint64_t v = 77;

	unit_ok(unit_seconds_parse("30", &v) == 0 && v == 30, "30 seconds");
	unit_ok(unit_seconds_parse("31s", &v) == 0 && v == 31, "31s seconds");
	unit_ok(unit_seconds_parse("s", &v) == -EINVAL && unit_seconds_parse("-1", &v) == -EINVAL &&
			unit_seconds_parse("1.5", &v) == -EINVAL && unit_seconds_parse("", &v) == -EINVAL &&
			unit_seconds_parse("1ss", &v) == -EINVAL && v == 31,
		"no seconds");
	unit_ok(unit_seconds_parse("99999999999999999999", &v) == -ERANGE &&
			unit_seconds_parse("000000000000000000000000000000000001s", &v) == -EINVAL,
		"seconds too long");
	unit_ok(unit_cores_parse("50", 0, &v) == 0 && v == 0, "half of no processors");
	unit_ok(unit_cores_parse("100", 4096, &v) == 0 && v == UINT64_C(4096000000000), "all of 4096 processors");
	setenv("TZ", "UTC", 1);
	tzset();
	unit_wall_format(&t, 0);
	unit_str(text_str(&t), "1970-01-01 00:00:00", "wall time 0");
	text_clear(&t);
	unit_wall_format(&t, INT64_MAX);
	unit_str(text_str(&t), "", "wall time that no calendar has");
}

static void test_name_check(void)
{
	static const struct {
		const char *name;
		int want;
	} rows[] = {
		{ "a", 0 },         { "web-1", 0 },     { "A_b-c@d:e.f", 0 }, { "1", 0 },
		{ "selfie", 0 },    { "a.", 0 },        { "-", 0 },           { "", -EINVAL },
		{ ".", -EINVAL },   { "..", -EINVAL },  { ".a", -EINVAL },    { "self", -EINVAL },
		{ "a b", -EINVAL }, { "a/b", -EINVAL }, { "a\n", -EINVAL },   { "\xc3\xa9", -EINVAL },
		{ "a%b", -EINVAL }, { "a*", -EINVAL },  { " a", -EINVAL },
	};
	struct err err = {};
	char name[NAME_COMPONENT_MAX + 2];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		unit_ok(name_check(rows[i].name, &err) == rows[i].want &&
				(!rows[i].want || err.kind == ERR_InvalidValue),
			"name '%s' gives %d", rows[i].name, rows[i].want);
	memset(name, 'a', sizeof(name));
	name[NAME_COMPONENT_MAX] = 0;
	unit_int(name_check(name, NULL), 0, "the longest name");
	name[NAME_COMPONENT_MAX] = 'a';
	name[NAME_COMPONENT_MAX + 1] = 0;
	unit_int(name_check(name, &err), -ENAMETOOLONG, "a name one byte longer");
}

static void test_path(void)
{
	static const struct {
		const char *path, *normal; /* normal NULL: it is normal itself */
	} rows[] = {
		{ "/", NULL },
		{ "/a", NULL },
		{ "/a/b", NULL },
		{ "/..a/.b/c..", NULL },
		{ "", "." },
		{ ".", "." },
		{ "./", "." },
		{ "a", "a" },
		{ "a/", "a" },
		{ "a//b", "a/b" },
		{ "a/..", "." },
		{ "a/../..", ".." },
		{ "../a/../..", "../.." },
		{ "../../a", "../../a" },
		{ "a/b/../c", "a/c" },
		{ "..", ".." },
		{ "../", ".." },
		{ "//", "/" },
		{ "/.", "/" },
		{ "/..", "/" },
		{ "/../..", "/" },
		{ "/../a", "/a" },
		{ "/a/", "/a" },
		{ "//a", "/a" },
		{ "/a/../b", "/b" },
		{ "/a/b/../..", "/" },
		{ "/a/./b", "/a/b" },
		{ "/a/..", "/" },
		{ "/a//", "/a" },
		{ "/...", NULL },
	};
	static const char *const joins[][3] = {
		{ "/a", "b", "/a/b" }, { "/a/", "b", "/a/b" }, { "/a", "/b", "/a/b" }, { "/", "b", "/b" },
		{ "//", "//b", "/b" }, { "", "b", "b" },       { "", "/b", "/b" },     { "a", "b/c", "a/b/c" },
		{ "/a", "", "/a" },    { "/", "", "/" },       { "", "", "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *want = rows[i].normal ? rows[i].normal : rows[i].path;
		autofree char *got = path_normalise(rows[i].path);
		unit_str(got, want, rows[i].path);
		unit_ok(path_is_normal(rows[i].path) == !rows[i].normal, "'%s' is%s normal", rows[i].path,
			rows[i].normal ? " not" : "");
		unit_ok(path_is_normal(got) == (got[0] == '/'), "'%s' normalised is normal", rows[i].path);
	}
	for (size_t i = 0; i < ARRAY_LEN(joins); i++) {
		autofree char *got = path_join(joins[i][0], joins[i][1]);
		unit_str(got, joins[i][2], "path_join");
	}
}

static void test_log(void)
{
	autotext struct text t = {};
	enum log_level level = LOG_ERROR;
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return;
	log_set_fd(p[1]);
	log_set_name("test");
	errno = ENOTDIR;
	log_warning("a '%s' b", "x\ny");
	unit_int(errno, ENOTDIR, "a log line keeps errno");
	log_debug("not seen");
	log_set_level(LOG_DEBUG);
	log_debug("%0*d", 5000, 7);
	log_set_fd(STDERR_FILENO);
	log_set_level(LOG_INFO);
	close(p[1]);
	unit_int(fd_read_all(p[0], 100000, &t), 0, "the log can be read");
	close(p[0]);
	unit_ok(strstr(text_str(&t), "] warning: a 'x?y' b\n") && strstr(text_str(&t), " test["),
		"a log line has level, name and one line");
	unit_ok(!strstr(text_str(&t), "not seen") && t.p[t.len - 1] == '\n' && t.len < 4096,
		"levels are kept apart, long lines cut");
	unit_ok(log_level_parse("debug", &level) == 0 && level == LOG_DEBUG, "log_level_parse");
	unit_ok(log_level_parse("loud", &level) == -EINVAL && level == LOG_DEBUG, "log_level_parse of another word");
	unit_str(log_level_name(LOG_INFO), "info", "log_level_name");
}

int main(void)
{
	test_err();
	test_text();
	test_strv();
	test_names();
	test_units();
	test_name_check();
	test_path();
	test_log();
	return unit_end();
}
