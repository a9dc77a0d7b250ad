/*
 * engine/save.h: containers on disk, for the next daemon. A record is <state_dir>/ct/<id>, replaced whole: lines as in
 * `spec`; names with a dot before them are the engine's own (.state, .pid, ...). Beside it <id>.status, which porto-init
 * writes. A record renamed to <id>.gone.<unique> is a container that was removed and is being taken down.
 *
 * The record of a change carries the request's unique and result, so that the change and the fact that it was made are
 * one atomic step (DESIGN 6).
 */
#ifndef ENGINE_SAVE_H
#define ENGINE_SAVE_H

#include "engine/ct.h"

/* Opens and makes the state directory; a different boot or a fresh mount is noted. */
int save_open(struct engine *e, struct err *err);
void save_close(struct engine *e);

/* Writes the record as the container is now; cookie 0 keeps the unique saved before. -ENOSPC and the like with a sentence. */
int save_ct(struct ct *ct, uint64_t cookie, int result, struct err *err);
/* The same for a change of values: -E2BIG when they are too many together (RECORD_BYTES_MAX). */
int save_change(struct ct *ct, uint64_t cookie, struct err *err);
/* rmdir: the record says gone, with the request's unique, until save_forget. */
int save_gone(struct ct *ct, uint64_t cookie, struct err *err);
/* Takes record and status file away. */
void save_forget(struct ct *ct);

/* The next id, never used before in this state directory. */
int save_next_id(struct engine *e, uint32_t *id, struct err *err);

/* The status file of a start: made anew with room for all that porto-init may write. Returns a descriptor for writing. */
int save_status_create(struct ct *ct, struct err *err);

enum status_phase { STATUS_NONE, STATUS_STARTING, STATUS_FAILED, STATUS_STARTED, STATUS_EXITED };
struct init_status {
	enum status_phase phase;
	pid_t pid;        /* of the command as porto-init sees it; 0: none */
	int status;       /* exited: as wait(2) */
	int kind, no;     /* failed */
	int64_t when;     /* last written, epoch seconds */
	char text[700];   /* failed: the sentence */
};
int save_status_read(struct ct *ct, struct init_status *ret);
/* The same of another file of its kind. */
int save_status_parse(int fd, struct init_status *ret);

/* Was this request done already, before a restart? Its container and result. Always false in the usual case, at no cost. */
bool save_replayed(struct engine *e, uint64_t cookie, uint32_t *id, int *result);
/* restore.c: reads all records, matches them with the kernel, adopts and cleans. */
int restore_all(struct engine *e, struct err *err);
/* restore.c keeps these for save_replayed; engine.c lets them go after the first seconds, when replays are over. */
int save_replay_add(struct engine *e, uint64_t unique, uint32_t id, int result);
void save_replay_done(struct engine *e);

#endif
