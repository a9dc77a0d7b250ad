/*
 * engine/rows.h: the files of a directory as a table, a row each: of `.porto`, `.volumes`, a volume, `.layers`, a layer and so
 * on. (A container's own files are its properties: props.h.) The directory's module has the rows; files.c asks them.
 */
#ifndef ENGINE_ROWS_H
#define ENGINE_ROWS_H

#include "engine/engine.h"
#include "engine/types.h"

struct file_row;

struct file_call {
	struct engine *e;
	const struct engine_cred *who; /* the opener */
	uint64_t cookie;
	const struct engine_node *node;
	const struct file_row *row;
	const char *key;               /* without its bracket; NULL: none */
	const struct engine_value *value; /* of a write, as it came */
	struct err *err;
};

struct file_row {
	const char *name;
	unsigned flags;
	/* The whole text, final newline included; may be ENGINE_PENDING with FILE_BLOCKS. */
	int (*read)(const struct file_call *c, struct text *out);
	/* text is trimmed; may be ENGINE_PENDING with FILE_ACTION. */
	int (*write)(const struct file_call *c, const char *text);
	const char *help;
	const struct prop_type *type; /* of a value that is kept; NULL: none */
	const char *def;              /* its default, NULL: the type's empty value */
};

/* Of .def files: FILE_ROW(enumerator, ...) gives the row. */
#define FILE_ROW(prefix, id, ...) [prefix##id] = { .name = #id, __VA_ARGS__ },

#endif
