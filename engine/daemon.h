/* engine/daemon.h: the files of `.porto`. */
#ifndef ENGINE_DAEMON_H
#define ENGINE_DAEMON_H

#include "engine/ct.h"

enum daemon_file {
#define DFILE(name, ...) DAEMON_##name,
#include "engine/daemon.def"
#undef DFILE
	DAEMON_FILES
};

struct daemon_call {
	struct engine *e;
	const struct engine_cred *who;
	uint64_t cookie;
	const char *key;
	struct err *err;
};

struct daemon_row {
	const char *name;
	unsigned flags;
	int (*read)(const struct daemon_call *c, struct text *out); /* whole text, newline included; may be ENGINE_PENDING */
	int (*write)(const struct daemon_call *c, const char *text);
	const char *help;
};

extern const struct daemon_row daemon_rows[DAEMON_FILES];

/* metrics.c */
int read_metrics(const struct daemon_call *c, struct text *out);

#endif
