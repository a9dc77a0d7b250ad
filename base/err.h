/*
 * base/err.h: what went wrong, for a program (errno), for portoctl (kind) and for a person (sentence).
 *
 * Functions that can fail for a reason a user should read take a `struct err *` (NULL is allowed: the sentence
 * is dropped) and return 0 or a negative errno. err_set and err_sys return that negative errno, so that a check is
 * one line:    return err_set(err, ERR_InvalidValue, "cpu_limit: '%s': expected cores like 1.5c", text);
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/defs.h"

enum err_kind {
	ERR_Success = 0,
#define ERR(name, number, no) ERR_##name = number,
#include "base/err.def"
#undef ERR
};

#define ERR_TEXT_MAX 1024

struct err {
	enum err_kind kind; /* ERR_Success: nothing happened */
	int no;             /* positive errno of the reply */
	char text[ERR_TEXT_MAX];
};

/* Records a kind with its usual errno. Too long a sentence is cut. Returns the negative errno. */
int err_set(struct err *err, enum err_kind kind, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* As err_set with an errno other than the kind's usual one (no > 0). */
int err_set_no(struct err *err, enum err_kind kind, int no, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* A failed system call: kind Unknown, the errno carried (no > 0), text "strerror: sentence". Returns -no. */
int err_sys(struct err *err, int no, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Puts "prefix: " before the sentence already there. Returns ret, so: return err_wrap(err, r, "%s", name); */
int err_wrap(struct err *err, int ret, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* The kind's name ("InvalidValue"), never NULL; "Success" for 0, "Unknown" for a number nobody knows. */
const char *err_kind_name(enum err_kind kind);

/* The kind of that name; ERR_Unknown if there is none. */
enum err_kind err_kind_parse(const char *name);

/* "Kind:(text)", or "Kind" without text: spec/ERRORS.md 1. buf always ends in NUL. Returns buf. */
char *err_format(const struct err *err, char *buf, size_t size);

/* The kind that fits a bare errno best (ENOENT stays Unknown: it may stand for several). */
enum err_kind err_kind_of_errno(int no);

#endif
