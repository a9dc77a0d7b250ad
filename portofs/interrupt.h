/*
 * portofs/interrupt.h: parked requests whose client has a signal.
 *
 * FUSE says that a client was interrupted, not by what, and only once: it sends the same message for Ctrl-C, for the SIGCHLD of
 * a shell's background job and for a freezer that wants the process to stand still. So it is looked up what is pending:
 * signals that by default do nothing (a shell handles SIGCHLD, SIGWINCH) don't end a request; all others do, and so
 * does a freezer or a debugger. A request that goes on is looked at again and again, for the next signal is not told.
 */
#ifndef PORTOFS_INTERRUPT_H
#define PORTOFS_INTERRUPT_H

#include "portofs/fs.h"

/* FUSE_INTERRUPT for a request. One that isn't parked is answered already. */
void interrupt_request(struct fs *fs, uint64_t cookie);
/* After a restart: what the last worker was told is forgotten, so each request that has waited is looked at once. */
void interrupt_check_all(struct fs *fs);
void interrupt_free(struct fs *fs);

#endif
