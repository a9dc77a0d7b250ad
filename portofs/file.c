/*
 * Open files. The handle is 64 bits that mean the same to every worker: who opened it (rights are the opener's, not those of
 * whoever reads or writes later) and the clock at the open, which tells handles apart; for a stream's reader, whose rights are
 * not asked again, the clock and where it began.
 */
#include "portofs/fs.h"

#include <fcntl.h>

#include "portofs/gather.h"
#include "portofs/node.h"
#include "portofs/park.h"

#define STREAM_BIT (UINT64_C(1) << 63) /* no user has such a number */
#define BASE_BITS 40                   /* a TiB of events since the daemon began */
#define SEQ_MASK ((UINT64_C(1) << (63 - BASE_BITS)) - 1)

static uint64_t stream_handle(struct fs *fs, uint64_t base)
{
	return STREAM_BIT | (++fs->shm->clock & SEQ_MASK) << BASE_BITS | base;
}

static uint64_t stream_base(uint64_t fh)
{
	return fh & ((UINT64_C(1) << BASE_BITS) - 1);
}

static uint64_t handle_new(struct fs *fs, uid_t uid)
{
	uint32_t seq = ++fs->shm->clock;

	/* A handle is never 0. */
	if (seq == 0)
		seq = ++fs->shm->clock;
	return (uint64_t)uid << 32 | seq;
}

/* The opener, as far as a handle can tell; the caller's group only if the caller is the opener. */
static struct engine_cred opener(fuse_req_t req, uint64_t fh)
{
	struct engine_cred who = fs_caller(req);
	uid_t uid = (uid_t)(fh >> 32);

	if (uid != who.uid)
		who.gid = (gid_t)-1;
	who.uid = uid;
	return who;
}

static bool is_stream_reader(const struct node *n, int flags)
{
	return (n->flags & FILE_STREAM) && (flags & O_ACCMODE) == O_RDONLY;
}

static struct follower *follower_find(struct fs *fs, pid_t pid, const struct node *n)
{
	struct follower *all = fs->shm->followers;

	for (unsigned i = 0; i < FOLLOWERS; i++)
		if (all[i].pid == pid && all[i].ct == n->at.ct && all[i].file == (uint32_t)n->at.file)
			return &all[i];
	return NULL;
}

/* pid 0: it can't be told from others. The one that was noted longest ago is forgotten. */
static void follower_note(struct fs *fs, pid_t pid, const struct node *n, uint64_t base)
{
	struct follower *f = pid ? follower_find(fs, pid, n) : NULL;

	if (pid && !f)
		f = &fs->shm->followers[fs->shm->followers_next++ % FOLLOWERS];
	if (f)
		*f = (struct follower){ .pid = pid, .ct = n->at.ct, .file = (uint32_t)n->at.file, .base = base };
}

void fs_followed_size(fuse_req_t req, const struct node *n, struct stat *st)
{
	pid_t pid = fuse_req_ctx(req)->pid;
	const struct follower *f = pid ? follower_find(fs_of(req), pid, n) : NULL;
	uint64_t start;

	if (f && engine_stream_base(fs_of(req)->engine, &n->at, &start) == 0 && start > f->base)
		st->st_size += (off_t)(start - f->base);
}

static bool is_waiting_stream(const struct node *n)
{
	return (n->flags & FILE_STREAM) && (n->flags & FILE_BLOCKS);
}

static bool is_writer(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY;
}

static int open_stream(struct fs *fs, pid_t pid, const struct node *n, struct fuse_file_info *fi)
{
	uint64_t base;
	int r = engine_stream_base(fs->engine, &n->at, &base);

	if (r < 0)
		return r;
	fi->fh = stream_handle(fs, base);
	if (n->at.dir == DIR_CT)
		follower_note(fs, pid, n, base);
	if (is_waiting_stream(n)) {
		/* as a pipe: for poll(2) the reader is where its last read has ended */
		fi->nonseekable = 1;
		poll_stream(fs, fi->fh, n, base);
	}
	return 0;
}

/* The kernel has checked the mode, but not for root. */
static int check_access(const struct node *n, int flags)
{
	unsigned want = is_writer(flags) ? FILE_WRITE : FILE_READ;

	if ((flags & O_ACCMODE) == O_RDWR)
		want |= FILE_READ;
	if ((n->flags & want) != want)
		return -EACCES;
	/* what comes through a pipe goes one way, and nothing goes behind it */
	return (n->flags & FILE_PIPE) && ((flags & O_ACCMODE) == O_RDWR || (flags & O_APPEND)) ? -EINVAL : 0;
}

static int open_node(fuse_req_t req, const struct node *n, struct fuse_file_info *fi, struct err *err)
{
	struct engine_cred who = fs_caller(req), as = who;
	struct fs *fs = fs_of(req);
	int r;

	if (!engine_exists(fs->engine, &n->at))
		return -ENOENT;
	/* first who knows the reason: what can't be written says so with a sentence */
	r = engine_open(fs->engine, &who, &n->at, is_writer(fi->flags), &as, err);
	if (r == 0)
		r = check_access(n, fi->flags);
	if (r == 0 && is_stream_reader(n, fi->flags))
		r = open_stream(fs, fuse_req_ctx(req)->pid, n, fi);
	else if (r == 0)
		fi->fh = handle_new(fs, as.uid);
	if (n->flags & FILE_PIPE)
		fi->nonseekable = 1;
	if (r == 0 && (n->flags & FILE_HOLD) && is_writer(fi->flags))
		r = engine_hold(fs->engine, n->at.ct, fs->cookie);
	if (r == 0)
		r = node_pin(fs, n);
	fi->direct_io = 1;
	fi->noflush = 1;
	return r;
}

void fs_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct err err = {};
	struct node n;
	int r = node_of_id(fs_of(req), ino, &n);

	if (r == 0)
		r = open_node(req, &n, fi, &err);
	if (r < 0)
		fs_refuse(req, r, &err);
	else
		fuse_reply_open(req, fi);
}

void fs_open_new(fuse_req_t req, const struct node *n, struct fuse_file_info *fi)
{
	struct fuse_entry_param e;
	struct err err = {};
	int r = open_node(req, n, fi, &err);

	if (r < 0) {
		fs_refuse(req, r, &err);
		return;
	}
	if (node_entry(fs_of(req), n, &e) < 0)
		e.attr.st_mode = S_IFREG | 0644;
	fuse_reply_create(req, &e, fi);
}

void fs_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct engine_cred who = opener(req, fi->fh);
	struct fs *fs = fs_of(req);
	struct piece p = { .who = &who, .fh = fi->fh };
	struct node n;

	if (node_of_id(fs, ino, &n) == 0) {
		n.at.handle = fi->fh;
		p.node = &n.at;
		if (is_writer(fi->flags))
			gather_close(fs, &p);
		if (n.flags & (FILE_ANSWER | FILE_PIPE))
			engine_close(fs->engine, fs->cookie, &n.at);
		if ((n.flags & FILE_HOLD) && is_writer(fi->flags))
			engine_unhold(fs->engine, n.at.ct, fs->cookie);
		node_unpin(fs, &n);
	}
	poll_close(fs, fi->fh);
	snap_drop(fs, fi->fh);
	fuse_reply_err(req, 0);
}

/* ---- read ---- */

void fs_reply_slice(fuse_req_t req, const char *text, size_t len, size_t size, uint64_t off)
{
	if (off >= len)
		fuse_reply_buf(req, NULL, 0);
	else
		fuse_reply_buf(req, text + off, MIN(len - off, size));
}

static void read_stream(fuse_req_t req, const struct node *n, const struct park_args *args)
{
	struct engine_cred who = n->flags & FILE_PIPE ? opener(req, args->fh) : fs_caller(req);
	autofree char *buf = malloc(args->size + 1);
	struct fs *fs = fs_of(req);
	struct err err = {};
	ssize_t r = -ENOMEM;

	if (buf && (n->flags & FILE_BLOCKS) && !park_room(fs, false))
		r = err_set(&err, ERR_ResourceNotAvailable, "too many readers are waiting");
	else if (buf)
		r = engine_pread(fs->engine, &who, fs->cookie, &n->at, buf, args->size, args->off, &err);
	if (r == ENGINE_PREAD_PENDING && (n->flags & FILE_BLOCKS))
		park(fs, req, args);
	else if (r < 0)
		fs_refuse(req, (int)r, &err);
	else {
		poll_read(fs, args->fh, args->off + (uint64_t)r);
		fuse_reply_buf(req, buf, (size_t)r);
	}
}

/* A reader that has its answer and looks for the end must not wait for the next one. */
static void reply_end(fuse_req_t req)
{
	engine_cancel(fs_of(req)->engine, fs_of(req)->cookie);
	fuse_reply_buf(req, NULL, 0);
}

static void read_text(fuse_req_t req, const struct node *n, const struct park_args *args)
{
	struct engine_cred who = opener(req, args->fh);
	autotext struct text text = {};
	struct fs *fs = fs_of(req);
	const struct text *have;
	struct err err = {};
	int r = 0;

	have = args->off ? snap_get(fs, args->fh) : NULL;
	if (have) {
		fs_reply_slice(req, text_str(have), have->len, args->size, args->off);
		return;
	}
	/* Before the text is made: what changes meanwhile is a change after it. */
	if (args->off == 0 && (n->flags & FILE_POLL))
		poll_seen(fs, args->fh);
	if ((n->flags & FILE_BLOCKS) && !park_room(fs, false))
		r = err_set(&err, ERR_ResourceNotAvailable, "too many readers are waiting");
	if (r == 0 && !(node_size_is_guess(n) && peek_take(fs, fuse_req_ctx(req)->pid, node_id(n), &text)))
		r = engine_read(fs->engine, &who, fs->cookie, &n->at, &text, &err);
	if (r == 0)
		r = text_ok(&text);
	if (r < 0) {
		fs_refuse(req, r, &err);
	} else if (r == ENGINE_PENDING && args->off) {
		reply_end(req);
	} else if (r == ENGINE_PENDING) {
		park(fs, req, args);
	} else {
		fs_reply_slice(req, text_str(&text), text.len, args->size, args->off);
		snap_put(fs, args->fh, &text);
	}
}

void fs_true_size(fuse_req_t req, const struct node *n, const struct fuse_file_info *fi, struct stat *st)
{
	pid_t pid = fuse_req_ctx(req)->pid;
	struct engine_cred who = fs_caller(req);
	autotext struct text text = {};
	struct fs *fs = fs_of(req);
	const struct text *have = fi ? snap_get(fs, fi->fh) : NULL;
	struct err err = {};

	if (!have)
		have = peek_get(fs, pid, node_id(n));
	if (!have && engine_read(fs->engine, &who, fs->cookie, &n->at, &text, &err) == 0 && text_ok(&text) == 0) {
		peek_put(fs, pid, node_id(n), &text);
		have = &fs->peek.text;
	}
	if (have)
		st->st_size = (off_t)have->len;
}

void fs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct park_args args = { .kind = PARK_READ, .fh = fi->fh, .size = size, .off = (uint64_t)off };
	pid_t pid = fuse_req_ctx(req)->pid;
	struct fs *fs = fs_of(req);
	uint64_t base, start;
	struct node n;
	int r = node_of_id(fs, ino, &n);

	if (r < 0) {
		fs_refuse(req, r, NULL);
		return;
	}
	if (park_adopt(fs, req))
		return;
	n.at.handle = fi->fh;
	if (n.flags & FILE_ANSWER && engine_stream_base(fs->engine, &n.at, &base) == 0)
		args.off -= MIN(args.off, base);
	if (!(n.flags & (FILE_STREAM | FILE_PIPE))) {
		read_text(req, &n, &args);
		return;
	}
	args.kind = PARK_PREAD;
	if (is_stream_reader(&n, fi->flags)) {
		base = stream_base(fi->fh);
		if (n.at.dir == DIR_CT && !follower_find(fs, pid, &n))
			follower_note(fs, pid, &n, base);
		/* less is gone than when it was opened: it is the output of another life */
		if (n.at.dir == DIR_CT && engine_stream_base(fs->engine, &n.at, &start) == 0 && start < base)
			base = 0;
		args.off += base;
	}
	read_stream(req, &n, &args);
}

/* ---- write ---- */

static int no_room(struct fs *fs, const struct piece *p, struct err *err)
{
	err_set_no(err, ERR_ResourceNotAvailable, p->len > BIG_SLOT_BYTES / 2 ? E2BIG : EAGAIN,
		   "too long, or too many requests are waiting");
	engine_note_error(fs->engine, p->who, p->node, err);
	return -err->no;
}

/* Each write to an action file is one order, wherever it is written. */
static int order(struct fs *fs, const struct piece *p, struct err *err)
{
	return engine_write(fs->engine, p->who, fs->cookie, p->node, &(struct engine_value){ .buf = p->buf, .len = p->len, .off = p->off }, err);
}

void fs_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct park_args args = { .kind = PARK_WRITE, .fh = fi->fh, .size = size };
	struct engine_cred who = opener(req, fi->fh);
	struct fs *fs = fs_of(req);
	struct piece p = { .who = &who, .fh = fi->fh, .buf = buf, .len = size, .off = (uint64_t)off,
			   .append = fi->flags & O_APPEND };
	struct err err = {};
	struct node n;
	int r = node_of_id(fs, ino, &n);

	if (r < 0) {
		fs_refuse(req, r, NULL);
		return;
	}
	if (park_adopt(fs, req))
		return;
	n.at.handle = fi->fh;
	p.node = &n.at;
	p.no_wait = (n.flags & (FILE_ACTION | FILE_WAITS)) && !park_room(fs, true);
	if (p.no_wait && n.flags & FILE_ACTION)
		r = no_room(fs, &p, &err);
	else
		r = n.flags & FILE_ACTION ? order(fs, &p, &err) : gather_write(fs, &p, &err);
	if (r < 0)
		fs_refuse(req, r, &err);
	else if (r == ENGINE_PENDING)
		park(fs, req, &args);
	else
		fuse_reply_write(req, size);
}
