#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

struct kind_row {
	enum err_kind kind;
	int no;
	const char *name;
};

static const struct kind_row kinds[] = {
	{ ERR_Success, 0, "Success" },
#define ERR(name, number, no) { ERR_##name, no, #name },
#include "base/err.def"
#undef ERR
};

static const struct kind_row *kind_row(enum err_kind kind)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (kinds[i].kind == kind)
			return &kinds[i];
	return NULL;
}

/*
 * A sentence is one line of the file `error` and of the log, and may quote what a user wrote: control characters would
 * forge a second line. A cut in the middle of a UTF-8 letter would leave half of it.
 */
static void make_clean(char *s, bool was_cut)
{
	size_t len = strlen(s);

	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] < ' ' || s[i] == 0x7f)
			s[i] = s[i] == '\n' || s[i] == '\t' ? ' ' : '?';
	if (!was_cut)
		return;
	while (len > 0 && (s[len - 1] & 0xc0) == 0x80)
		s[--len] = 0;
	if (len > 0 && (s[len - 1] & 0xc0) == 0xc0)
		s[--len] = 0;
}

/* Through a second buffer: an argument may be the text that is replaced. */
static void err_fill(struct err *err, enum err_kind kind, int no, const char *fmt, va_list args)
{
	char text[ERR_TEXT_MAX];
	int len = vsnprintf(text, sizeof(text), fmt, args);

	if (len < 0)
		text[0] = 0;
	make_clean(text, len >= (int)sizeof(text));
	err->kind = kind;
	err->no = no;
	memcpy(err->text, text, strlen(text) + 1);
}

int err_set(struct err *err, enum err_kind kind, const char *fmt, ...)
{
	const struct kind_row *row = kind_row(kind);
	int no = row && row->no ? row->no : EIO;
	va_list args;

	if (err) {
		va_start(args, fmt);
		err_fill(err, kind, no, fmt, args);
		va_end(args);
	}
	return -no;
}

int err_set_no(struct err *err, enum err_kind kind, int no, const char *fmt, ...)
{
	va_list args;

	if (err) {
		va_start(args, fmt);
		err_fill(err, kind, no, fmt, args);
		va_end(args);
	}
	return -no;
}

int err_sys(struct err *err, int no, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX], reason[128];
	va_list args;

	if (!err)
		return -no;
	va_start(args, fmt);
	if (vsnprintf(text, sizeof(text), fmt, args) < 0)
		text[0] = 0;
	va_end(args);
	return err_set_no(err, ERR_Unknown, no, "%s: %s", strerror_r(no, reason, sizeof(reason)), text);
}

int err_wrap(struct err *err, int ret, const char *fmt, ...)
{
	char prefix[ERR_TEXT_MAX];
	va_list args;

	if (!err)
		return ret;
	va_start(args, fmt);
	if (vsnprintf(prefix, sizeof(prefix), fmt, args) < 0)
		prefix[0] = 0;
	va_end(args);
	err_set_no(err, err->kind, err->no, "%s: %s", prefix, err->text);
	return ret;
}

const char *err_kind_name(enum err_kind kind)
{
	const struct kind_row *row = kind_row(kind);

	return row ? row->name : "Unknown";
}

enum err_kind err_kind_parse(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return kinds[i].kind;
	return ERR_Unknown;
}

char *err_format(const struct err *err, char *buf, size_t size)
{
	if (err->text[0])
		snprintf(buf, size, "%s:(%s)", err_kind_name(err->kind), err->text);
	else
		snprintf(buf, size, "%s", err_kind_name(err->kind));
	return buf;
}

enum err_kind err_kind_of_errno(int no)
{
	static const struct {
		int no;
		enum err_kind kind;
	} rows[] = {
		{ 0,            ERR_Success },
		{ E2BIG,        ERR_InvalidValue },
		{ EACCES,       ERR_Permission },
		{ EAGAIN,       ERR_ResourceNotAvailable },
		{ EBUSY,        ERR_Busy },
		{ EDQUOT,       ERR_NoSpace },
		{ EINVAL,       ERR_InvalidValue },
		{ ENAMETOOLONG, ERR_InvalidValue },
		{ ENODATA,      ERR_NoValue },
		{ ENODEV,       ERR_DeviceNotFound },
		{ ENOEXEC,      ERR_InvalidCommand },
		{ ENOMEM,       ERR_ResourceNotAvailable },
		{ ENOSPC,       ERR_NoSpace },
		{ EOPNOTSUPP,   ERR_NotSupported },
		{ EPERM,        ERR_Permission },
		{ ERANGE,       ERR_InvalidValue },
		{ EROFS,        ERR_Permission },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].no == no)
			return rows[i].kind;
	return ERR_Unknown;
}
