/*
 * portofs/fs.h: the worker's half of portofs: one `struct fs`, and what its files offer each other.
 *
 * The way of a request: session.c reads it into the landing buffer, libfuse takes it apart and calls an operation (ops.c,
 * tree.c, file.c), which finds the node (node.c), calls the engine and answers once. What the engine can't answer yet is
 * parked (park.c). `fs->in` is the raw request while an operation runs.
 */
#ifndef PORTOFS_FS_H
#define PORTOFS_FS_H

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 314
#endif

#include <fuse_lowlevel.h>
#include <sys/stat.h>

#include "base/loop.h"
#include "base/text.h"
#include "engine/config.h"
#include "engine/engine.h"
#include "portofs/shm.h"

#define TIMEOUT_NAME 3600.0 /* names of properties don't change */
#define TIMEOUT_ATTR 1.0    /* a chown is seen after that */
#define SNAPSHOTS 16u

struct node;
struct parked;

/* The text a handle is reading, taken whole at its first read. */
struct snapshot {
	uint64_t fh; /* 0: free */
	uint64_t used;
	struct text text;
};

/* What was read to tell its length: read again at once by the same process, it is the same. */
struct peek {
	pid_t pid;
	uint64_t ino, made; /* clock_mono() */
	struct text text;
};

/* engine file number -> number in shm names[], and back. */
struct file_names {
	size_t files;
	const struct engine_file *table;
	uint16_t stable[NAME_FILES];
	int16_t number[NAME_FILES];
};

struct fs {
	struct loop *loop;
	struct config *conf;
	struct engine *engine;
	struct shm *shm;
	struct fuse_session *session;
	struct loop_fd device;
	struct landing *landing;
	const struct fuse_in_header *in;
	uint64_t cookie;            /* of fs->in */
	int replaying;              /* the slot that is replayed, -1 if none */
	unsigned kernel_minor;
	bool init_replay;
	bool unmounted;
	struct parked *parked;      /* by slot */
	uint32_t *parked_by_cookie; /* heads of chains: slot + 1 */
	uint16_t *parked_by_uid;
	uint16_t *bigs_by_uid;      /* of them, those with a big slot */
	uint32_t bigs_used;
	uint32_t slots_used;
	uint32_t slot_hint;         /* all below are in use */
	struct interrupted {
		uint64_t cookie;
		bool told;          /* the kernel has said so, and will not again */
	} *interrupted;             /* parked requests to be looked at again: interrupt.c */
	size_t interrupted_count, interrupted_room;
	struct loop_timer interrupt_timer;
	struct file_names names[ENGINE_DIRS];
	struct snapshot snapshots[SNAPSHOTS];
	size_t snapshot_bytes;
	struct peek peek;
};

static inline struct fs *fs_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/* ---- session.c ---- */

/* The session over conf's descriptor: INIT is replayed if the kernel has sent it already. */
int session_new(struct fs *fs, int fd);
void session_free(struct fs *fs);
/* Replays what the last worker left unanswered; then reads from the loop. */
int session_start(struct fs *fs);
/* No request is read any more. */
void session_pause(struct fs *fs);
/* Messages of our own to the kernel. Neither can wait. */
void session_wake_poll(struct fs *fs, uint64_t kh);
void session_forget_names(struct fs *fs);
/* Names may be cached: session_forget_names works. */
bool session_has_epoch(const struct fs *fs);

/* ---- ops.c, tree.c, file.c ---- */

extern const struct fuse_lowlevel_ops fs_ops;

void fs_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fs_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void fs_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void fs_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
/* Answers open(O_CREAT) of a name that its first write brings about. */
void fs_open_new(fuse_req_t req, const struct node *n, struct fuse_file_info *fi);
/* Puts the length of the text of a file that has it anew at each read (node_size_is_guess) into st. fi: NULL without handle. */
void fs_true_size(fuse_req_t req, const struct node *n, const struct fuse_file_info *fi, struct stat *st);
void fs_followed_size(fuse_req_t req, const struct node *n, struct stat *st); /* of an output that the caller reads */
void fs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void fs_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off, struct fuse_file_info *fi);
void fs_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

/* The caller as the engine wants it. */
struct engine_cred fs_caller(fuse_req_t req);

/* Is it for this caller? As engine_sees. */
int fs_sees(fuse_req_t req, const struct node *n);

/* The only way to refuse: ret is a negative errno; a debug line with the sentence. */
void fs_refuse(fuse_req_t req, int ret, const struct err *err);

/* Answers a read: the bytes of a whole text from off on, at most size. */
void fs_reply_slice(fuse_req_t req, const char *text, size_t len, size_t size, uint64_t off);

/* ---- poll.c ---- */

void fs_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct fuse_pollhandle *ph);
/* A handle has read from the start: what changed before is known to it. */
void poll_seen(struct fs *fs, uint64_t fh);
void poll_close(struct fs *fs, uint64_t fh);
/* A stream whose readers wait is ready when there is more than was read: it was opened, to begin at off; it was read up to off. */
void poll_stream(struct fs *fs, uint64_t fh, const struct node *n, uint64_t off);
void poll_read(struct fs *fs, uint64_t fh, uint64_t off);
void poll_changed(struct fs *fs, enum engine_dir dir, uint32_t ct, int file);
/* After a restart, before anything is replayed: the engine hears who polls. Then, at its end: whoever waits looks again. */
void poll_take_over(struct fs *fs);
void poll_wake_all(struct fs *fs);

/* ---- snap.c ---- */

const struct text *snap_get(struct fs *fs, uint64_t fh); /* NULL: none, or lost */
void snap_put(struct fs *fs, uint64_t fh, struct text *text); /* takes the text */
void snap_drop(struct fs *fs, uint64_t fh);
const struct text *peek_get(struct fs *fs, pid_t pid, uint64_t ino); /* NULL: none, or too old */
void peek_put(struct fs *fs, pid_t pid, uint64_t ino, struct text *text); /* takes the text */
bool peek_take(struct fs *fs, pid_t pid, uint64_t ino, struct text *ret);

#endif
