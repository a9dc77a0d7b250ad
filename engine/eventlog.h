/*
 * engine/eventlog.h: `.porto/events`: a line a change, in a file of the state directory so that it outlives the worker.
 * The offset of a reader is the offset in the file; the head of a long file is punched out.
 */
#ifndef ENGINE_EVENTLOG_H
#define ENGINE_EVENTLOG_H

#include "engine/ct.h"
#include "engine/rows.h"

int event_open(struct engine *e, struct err *err);
void event_close(struct engine *e);
/* kind: created destroyed state label start_failed oom; fmt gives the rest of the line, NULL for none. A full disk loses lines, nothing else. */
void event_log(struct engine *e, const char *kind, const char *name, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* Where `events` (since NULL) or `events?since=N` begins. -EINVAL for a bad number. */
int event_base(struct engine *e, const char *since, uint64_t *base);
uint64_t event_end(const struct engine *e); /* bytes ever written */
/* As pread; at the end: ENGINE_PENDING and the cookie is answered with the next line. */
ssize_t event_pread(const struct file_call *c, char *buf, size_t size, uint64_t off);
/* event_view.c: whole lines as this reader sees them in the directory of view: names below it, and nothing of what is not for it. */
void event_view(struct engine *e, const struct engine_cred *who, const struct ct *view, char *lines, size_t len);
/* true if the cookie waited here. */
bool event_cancel(struct engine *e, uint64_t cookie);

#endif
