/*
 * portofs/park.h: requests that wait for the engine. Each keeps its fuse_req_t here and its bytes in a slot of shared
 * memory, from which the next worker takes it up again; both go when it is answered.
 */
#ifndef PORTOFS_PARK_H
#define PORTOFS_PARK_H

#include "portofs/fs.h"

enum park_kind {
	PARK_READ,  /* the engine's text is the whole file: a snapshot, then the slice asked for */
	PARK_PREAD, /* the engine's text is what was asked for */
	PARK_WRITE,
};

struct park_args {
	enum park_kind kind;
	uint64_t fh;
	size_t size;
	uint64_t off;
};

int park_init(struct fs *fs);
void park_free(struct fs *fs);

/*
 * Is there a place for the request being processed, a read or a write? Asked before the engine begins what can't be taken back.
 * What one user may keep waiting is bounded, reads leave places to writes, and users leave some to root.
 */
bool park_room(struct fs *fs, bool write);

/* Parks the request being processed. park_room has said yes. */
void park(struct fs *fs, fuse_req_t req, const struct park_args *args);

/* A request the kernel sent again that is parked already: the new one takes the old one's place. */
bool park_adopt(struct fs *fs, fuse_req_t req);
bool park_has(const struct fs *fs, uint64_t cookie);
/* The client that waits; 0 if unknown. */
pid_t park_pid(const struct fs *fs, uint64_t cookie);
void park_each(struct fs *fs, void (*fn)(struct fs *fs, uint64_t cookie));

/* The engine is done with it (engine_events.done). */
void park_done(struct fs *fs, uint64_t cookie, int result, const char *text, size_t len);

/* Its client is to hear EINTR; what was begun goes on. */
void park_interrupt(struct fs *fs, uint64_t cookie);

/* Calls process for every slot a dead worker left. */
void park_replay(struct fs *fs, void (*process)(struct fs *fs, struct fuse_in_header *in));

#endif
