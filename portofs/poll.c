/*
 * poll(2) as on sysfs: a file can always be read, and POLLPRI|POLLERR says that it changed since this handle last read it.
 *
 * Opens, reads and changes are put in one order by shm->clock, whose value at the open is part of the handle. A handle gets
 * a record at its first poll; until then its open counts as its last read, and the last change of the file is known by hash:
 * two files that share a place may wake a reader in vain, never the other way round.
 *
 * A stream whose readers wait (`events`) is like a pipe instead: it can be read when there is more than this handle has read.
 * Its handles get their records at the open.
 */
#include "portofs/fs.h"

#include <poll.h>

#include "portofs/node.h"

#define READY (POLLIN | POLLOUT)
#define CHANGED (POLLPRI | POLLERR)
#define READABLE (POLLIN | POLLRDNORM)
#define POLLS_OF_USER (POLLS / 4)

static bool is_after(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) > 0;
}

static uint32_t *stamp_of(struct fs *fs, enum engine_dir dir, uint32_t ct, uint16_t stable)
{
	uint32_t h = (ct * 2654435761u) ^ ((uint32_t)dir << 9 | stable) * 40503u;

	return &fs->shm->stamps[(h ^ h >> 16) % STAMPS];
}

/* Of the handles that are kept; root may have all. */
static bool has_many(const struct fs *fs, uint32_t uid)
{
	uint32_t n = 0;

	for (uint32_t i = 0; uid != 0 && i < fs->shm->poll_high; i++)
		n += atomic_load(&fs->shm->polls[i].fh) != 0 && fs->shm->polls[i].uid == uid;
	return n >= POLLS_OF_USER;
}

static struct poll_handle *find(struct fs *fs, uint64_t fh)
{
	for (uint32_t i = 0; i < fs->shm->poll_high; i++)
		if (atomic_load(&fs->shm->polls[i].fh) == fh)
			return &fs->shm->polls[i];
	return NULL;
}

static void tell_engine(struct fs *fs, const struct poll_handle *p, bool on)
{
	int file = p->dir == DIR_CT ? fs->names[DIR_CT].number[p->file] : -1;

	if (file >= 0)
		(void)engine_poll(fs->engine, p->ct, file, on);
}

static struct poll_handle *add(struct fs *fs, uint64_t fh, const struct node *n)
{
	struct shm *shm = fs->shm;
	struct poll_handle *p = find(fs, 0);

	if ((!p && shm->poll_high == POLLS) || has_many(fs, fs->in->uid))
		return NULL;
	if (!p)
		p = &shm->polls[shm->poll_high++];
	p->kh = 0;
	p->ct = n->at.ct;
	p->dir = (uint16_t)n->at.dir;
	p->file = node_stable(fs, n->at.dir, n->at.file);
	p->seen = (uint32_t)fh;
	p->uid = fs->in->uid;
	p->off = 0;
	p->armed = false;
	atomic_store(&p->fh, fh);
	tell_engine(fs, p, true);
	return p;
}

static unsigned what_is_ready(struct fs *fs, const struct node *n, const struct poll_handle *p)
{
	if (n->flags & FILE_STREAM)
		return p->off < engine_stream_end(fs->engine, &n->at) ? READABLE : 0;
	return READY | (is_after(*stamp_of(fs, n->at.dir, n->at.ct, p->file), p->seen) ? CHANGED : 0);
}

void fs_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct fuse_pollhandle *ph)
{
	struct fs *fs = fs_of(req);
	const struct fuse_poll_in *in = (const void *)(fs->in + 1);
	struct poll_handle *p;
	struct node n;

	/* Ours is kept by its number, which outlives this process. */
	if (ph)
		fuse_pollhandle_destroy(ph);
	if (node_of_id(fs, ino, &n) < 0 || !(n.flags & FILE_POLL)) {
		fuse_reply_poll(req, READY);
		return;
	}
	p = find(fs, fi->fh);
	if (!p && !(n.flags & FILE_STREAM))
		p = add(fs, fi->fh, &n);
	if (!p) {
		/* More pollers than fit: it is told to look each time. */
		fuse_reply_poll(req, n.flags & FILE_STREAM ? READABLE : READY | CHANGED);
		return;
	}
	if (in->flags & FUSE_POLL_SCHEDULE_NOTIFY) {
		p->kh = in->kh;
		p->armed = true;
	}
	fuse_reply_poll(req, what_is_ready(fs, &n, p));
}

void poll_stream(struct fs *fs, uint64_t fh, const struct node *n, uint64_t off)
{
	struct poll_handle *p = find(fs, fh);

	if (!p)
		p = add(fs, fh, n);
	if (p)
		p->off = off;
}

void poll_read(struct fs *fs, uint64_t fh, uint64_t off)
{
	struct poll_handle *p = fs->shm->poll_high ? find(fs, fh) : NULL;

	if (p)
		p->off = off;
}

void poll_seen(struct fs *fs, uint64_t fh)
{
	struct poll_handle *p = fs->shm->poll_high ? find(fs, fh) : NULL;

	if (p)
		p->seen = ++fs->shm->clock;
}

void poll_close(struct fs *fs, uint64_t fh)
{
	struct shm *shm = fs->shm;
	struct poll_handle *p = shm->poll_high ? find(fs, fh) : NULL;

	if (!p)
		return;
	atomic_store(&p->fh, 0);
	tell_engine(fs, p, false);
	while (shm->poll_high > 0 && !atomic_load(&shm->polls[shm->poll_high - 1].fh))
		shm->poll_high--;
}

static void wake(struct fs *fs, struct poll_handle *p)
{
	/* One wake-up: the woken poll arms it again. */
	if (!p->armed || !atomic_load(&p->fh))
		return;
	p->armed = false;
	session_wake_poll(fs, p->kh);
}

void poll_changed(struct fs *fs, enum engine_dir dir, uint32_t ct, int file)
{
	struct shm *shm = fs->shm;
	uint16_t stable = node_stable(fs, dir, file);

	*stamp_of(fs, dir, ct, stable) = ++shm->clock;
	for (uint32_t i = 0; i < shm->poll_high; i++) {
		struct poll_handle *p = &shm->polls[i];
		if (p->ct == ct && p->file == stable && p->dir == dir)
			wake(fs, p);
	}
}

void poll_take_over(struct fs *fs)
{
	for (uint32_t i = 0; i < fs->shm->poll_high; i++)
		if (atomic_load(&fs->shm->polls[i].fh))
			tell_engine(fs, &fs->shm->polls[i], true);
}

void poll_wake_all(struct fs *fs)
{
	for (uint32_t i = 0; i < fs->shm->poll_high; i++)
		wake(fs, &fs->shm->polls[i]);
}
