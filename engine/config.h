/*
 * engine/config.h: what /etc/portod.conf and /etc/portod.conf.d/<name>.conf say (INI, through libinih), one row an
 * option in config.def. Later files win. A bad line is refused with file, line number and sentence; nothing is applied
 * then. Comments (# or ;) stand on lines of their own.
 */
#ifndef ENGINE_CONFIG_H
#define ENGINE_CONFIG_H

#include "base/defs.h"
#include "base/err.h"
#include "base/text.h"

enum config_type { CONFIG_TEXT, CONFIG_BOOL, CONFIG_UINT, CONFIG_BYTES, CONFIG_TIME, CONFIG_LEVEL, CONFIG_TYPED };

struct config {
#define OPT_TEXT(section, name, def, help) char *section##_##name;
#define OPT_LEVEL(section, name, def, help) char *section##_##name; /* log_level_parse takes it */
#define OPT_TYPED(section, name, type, def, help) char *section##_##name; /* type_<type>.parse takes it */
#define OPT_BOOL(section, name, def, help) bool section##_##name;
#define OPT_UINT(section, name, def, help) uint64_t section##_##name;
#define OPT_BYTES(section, name, def, help) uint64_t section##_##name;
#define OPT_TIME(section, name, def, help) uint64_t section##_##name; /* nanoseconds */
#include "engine/config.def"
#undef OPT_TEXT
#undef OPT_LEVEL
#undef OPT_TYPED
#undef OPT_BOOL
#undef OPT_UINT
#undef OPT_BYTES
#undef OPT_TIME
	/* not from files: what the supervisor handed to this worker */
	struct notes *notes;
	int notes_fd;       /* eventfd, -1 if none */
	uint64_t started;   /* clock_boot() of the mount */
	bool fresh;         /* a new mount, not a worker restart: nobody holds a weak container any more */
};

/* All options at their defaults. */
int config_init(struct config *c);
/* The file, then <file>.d/<*.conf> in order of name; missing files are fine. -EINVAL with file:line in the sentence. */
int config_load(struct config *c, const char *file, struct err *err);
/* One option by "section", "name": for tests and command lines. */
int config_set(struct config *c, const char *section, const char *name, const char *value, struct err *err);
void config_done(struct config *c);
/* All options as they are, in the INI form: reads back to the same. */
void config_format(const struct config *c, struct text *out);
/* The same with each option's help as a comment before it: the sample configuration and man page. */
void config_help(struct text *out);

#endif
