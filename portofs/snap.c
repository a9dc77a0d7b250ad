/*
 * What a handle reads is taken at its read from offset 0 and kept until it is closed: the parts of a long text fit, and
 * a second read that only looks for the end asks the engine nothing. A cache: what is lost is made again.
 */
#include "base/proc.h"
#include "portofs/fs.h"

#define SNAPSHOT_BYTES (4u << 20)
#define PEEK_NSEC UINT64_C(200000000)

static void drop(struct fs *fs, struct snapshot *s)
{
	fs->snapshot_bytes -= s->text.len;
	text_done(&s->text);
	s->fh = 0;
	s->used = 0;
}

static struct snapshot *find(struct fs *fs, uint64_t fh)
{
	for (unsigned i = 0; i < SNAPSHOTS; i++)
		if (fs->snapshots[i].fh == fh)
			return &fs->snapshots[i];
	return NULL;
}

static struct snapshot *oldest(struct fs *fs, const struct snapshot *but)
{
	struct snapshot *s = NULL;

	for (unsigned i = 0; i < SNAPSHOTS; i++) {
		struct snapshot *other = &fs->snapshots[i];
		if (other != but && (!s || other->used < s->used) && (other->fh || !but))
			s = other;
	}
	return s;
}

const struct text *snap_get(struct fs *fs, uint64_t fh)
{
	struct snapshot *s = find(fs, fh);

	if (!s)
		return NULL;
	s->used = ++fs->shm->uses;
	return &s->text;
}

void snap_put(struct fs *fs, uint64_t fh, struct text *text)
{
	struct snapshot *s = find(fs, fh), *other;

	if (text_ok(text) < 0) {
		text_done(text);
		return;
	}
	if (!s)
		s = oldest(fs, NULL);
	drop(fs, s);
	s->fh = fh;
	s->used = ++fs->shm->uses;
	s->text = *text;
	*text = (struct text){};
	fs->snapshot_bytes += s->text.len;
	while (fs->snapshot_bytes > SNAPSHOT_BYTES && (other = oldest(fs, s)))
		drop(fs, other);
}

void snap_drop(struct fs *fs, uint64_t fh)
{
	struct snapshot *s = find(fs, fh);

	if (s)
		drop(fs, s);
}

const struct text *peek_get(struct fs *fs, pid_t pid, uint64_t ino)
{
	const struct peek *p = &fs->peek;

	return p->made && p->pid == pid && p->ino == ino && clock_mono() - p->made < PEEK_NSEC ? &p->text : NULL;
}

void peek_put(struct fs *fs, pid_t pid, uint64_t ino, struct text *text)
{
	text_done(&fs->peek.text);
	fs->peek = (struct peek){ .pid = pid, .ino = ino, .made = clock_mono(), .text = *text };
	*text = (struct text){};
}

bool peek_take(struct fs *fs, pid_t pid, uint64_t ino, struct text *ret)
{
	if (!peek_get(fs, pid, ino))
		return false;
	*ret = fs->peek.text;
	fs->peek = (struct peek){};
	return true;
}
