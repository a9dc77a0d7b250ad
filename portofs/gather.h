/*
 * portofs/gather.h: values that come in several writes.
 *
 * Shells and tools cut a value at 512 bytes to 128 KiB, echo -e at lines. So the first write of a handle, at offset 0,
 * is applied at once, since nobody looks at what close says; the next one, where that ended, applies both as one value,
 * and so on; when that is refused, what the parts before it had set is taken back too. A part that is refused and was cut
 * by its tool (a full buffer, no newline at the end) is held: taken, but not in force until the next write; when none comes
 * before the close, the refusal goes to the error file.
 * Appending writes (>>) are entries of their own, joined only while they look cut.
 * All of it is in shared memory with the answer given, so that a write replayed by the next worker counts once.
 */
#ifndef PORTOFS_GATHER_H
#define PORTOFS_GATHER_H

#include "portofs/fs.h"

struct piece {
	const struct engine_node *node;
	const struct engine_cred *who;
	uint64_t fh;
	const char *buf;
	size_t len;
	uint64_t off;
	bool append;
	bool no_wait; /* there is no place for one more that waits */
};

/* 0, ENGINE_PENDING, or a negative errno for the writer. */
int gather_write(struct fs *fs, const struct piece *p, struct err *err);

/* The handle is closed: of p, node, who and fh count. */
void gather_close(struct fs *fs, const struct piece *p);

#endif
