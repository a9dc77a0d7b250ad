/* engine/daemon.h: the files of `.porto`. */
#ifndef ENGINE_DAEMON_H
#define ENGINE_DAEMON_H

#include "engine/ct.h"
#include "engine/rows.h"

enum daemon_file {
#define DFILE(name, ...) DAEMON_##name,
#include "engine/daemon.def"
#undef DFILE
	DAEMON_FILES
};

extern const struct file_row daemon_rows[DAEMON_FILES];

/* metrics.c */
int read_metrics(const struct file_call *c, struct text *out);

#endif
