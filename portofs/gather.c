#include "portofs/gather.h"

#include <stdio.h>
#include <sys/mman.h>

#define PAGE 4096u
#define CUT_MULTIPLE 512u
#define CUT_LEAST 4096u
#define GATHERS_OF_USER (GATHERS / 4)

static struct gather *find(struct fs *fs, uint64_t fh)
{
	for (unsigned i = 0; i < GATHERS; i++)
		if (atomic_load(&fs->shm->gathers[i].fh) == fh)
			return &fs->shm->gathers[i];
	return NULL;
}

/* The first page of the data stays: it will be used again. */
static void release(struct gather *g)
{
	if (g->touched > PAGE)
		(void)madvise(g->data + PAGE, (g->touched - 1) & ~(PAGE - 1), MADV_REMOVE);
	g->touched = 0;
	atomic_store(&g->fh, 0);
}

/* The upper half of a handle is its user. */
static bool same_user(uint64_t a, uint64_t b)
{
	return a >> 32 == b >> 32;
}

/* The one whose writer was silent for longest, best one that holds nothing back; of this user alone, or of all. */
static struct gather *oldest(struct fs *fs, uint64_t fh, bool own)
{
	struct gather *found = NULL;

	for (unsigned i = 0; i < GATHERS; i++) {
		struct gather *g = &fs->shm->gathers[i];

		if (own && !same_user(atomic_load(&g->fh), fh))
			continue;
		if (!found || g->held < found->held || (g->held == found->held && g->used < found->used))
			found = g;
	}
	return found;
}

/* A free record from the low end; who has many gives one of its own instead of somebody else's. */
static struct gather *take(struct fs *fs, uint64_t fh)
{
	struct gather *g = find(fs, 0);
	unsigned own = 0;

	for (unsigned i = 0; i < GATHERS; i++) {
		uint64_t other = atomic_load(&fs->shm->gathers[i].fh);

		own += other != 0 && same_user(other, fh);
	}
	if (own >= GATHERS_OF_USER || !g)
		g = oldest(fs, fh, own >= GATHERS_OF_USER);
	if (atomic_load(&g->fh))
		release(g);
	g->len = g->tail = 0;
	g->done = g->held = g->append = g->spoiled = false;
	atomic_store(&g->cookie, 0);
	atomic_store(&g->fh, fh);
	return g;
}

/* Does it look as if the tool's buffer was full rather than the value at its end? */
static bool looks_cut(const struct piece *p)
{
	return p->len > 0 && (p->len % CUT_MULTIPLE == 0 || p->len >= CUT_LEAST) && p->buf[p->len - 1] != '\n';
}

static int refuse(struct fs *fs, const struct piece *p, struct err *err)
{
	engine_note_error(fs->engine, p->who, p->node, err);
	return -err->no;
}

/* The write whose value this one goes on with. */
static uint64_t part_in_force(const struct gather *g, size_t base)
{
	return base && !g->held && g->result >= 0 ? atomic_load(&g->cookie) : 0;
}

/*
 * Neither the parts before nor the rest are the value. Of a write that the kernel cut, the client hears only that it came to an
 * end early, and then it writes the rest: so that is refused as well.
 */
static int too_long(struct fs *fs, struct gather *g, const struct piece *p, uint64_t extends, struct err *err)
{
	if (extends)
		engine_take_back(fs->engine, fs->cookie, p->node, extends, -E2BIG);
	g->held = false;
	g->spoiled = true;
	err_set_no(err, ERR_InvalidValue, E2BIG, "a value may have at most %u bytes: this descriptor's has more", GATHER_BYTES);
	return refuse(fs, p, err);
}

/* Entries are joined while they look cut, but not those of writers who live in different containers. */
static size_t append_base(struct fs *fs, const struct gather *g, const struct piece *p)
{
	return g->held && g->append && g->home == engine_home(fs->engine, p->who) ? g->len : 0;
}

/* Copies the piece behind what it belongs to; from then on it is the write that counts. */
static int add(struct fs *fs, struct gather *g, const struct piece *p, struct err *err)
{
	uint64_t extends;
	size_t base;

	if (g->spoiled && (p->append || p->off))
		return too_long(fs, g, p, 0, err);
	base = p->append ? append_base(fs, g, p) : p->off ? g->len : 0;
	if (!p->append && p->off != base) {
		err_set(err, ERR_InvalidValue,
			"a write at offset %llu neither begins a value nor goes on where this descriptor stopped",
			(unsigned long long)p->off);
		return refuse(fs, p, err);
	}
	extends = part_in_force(g, base);
	if (p->len > GATHER_BYTES - base)
		return too_long(fs, g, p, extends, err);
	memcpy(g->data + base, p->buf, p->len);
	g->tail = (uint32_t)(base + p->len);
	g->touched = MAX(g->touched, g->tail);
	g->append = p->append;
	g->extends = extends;
	g->spoiled = false;
	g->done = false;
	atomic_store(&g->cookie, fs->cookie);
	return 0;
}

static void keep_error(struct gather *g, int ret, const struct err *err)
{
	g->err_kind = err->kind ? err->kind : ERR_Unknown;
	g->err_no = (uint32_t)-ret;
	snprintf(g->err_text, sizeof(g->err_text), "%s", err->text);
}

static void hold(struct fs *fs, struct gather *g, const struct piece *p)
{
	g->home = engine_home(fs->engine, p->who);
	g->len = g->tail;
	g->held = true;
}

static int apply(struct fs *fs, struct gather *g, const struct piece *p, struct err *err)
{
	struct engine_value value = { .buf = g->data, .len = g->tail, .append = p->append, .extends = g->extends, .no_wait = p->no_wait };
	int r;

	/* An entry can't be taken back, so one that looks cut is not even tried. */
	if (p->append && looks_cut(p)) {
		hold(fs, g, p);
		return 0;
	}
	r = engine_write(fs->engine, p->who, fs->cookie, p->node, &value, err);
	if (r >= 0) {
		g->held = false;
		g->len = p->append ? 0 : g->tail;
		return r;
	}
	keep_error(g, r, err);
	g->held = false;
	if (!p->append && looks_cut(p)) {
		hold(fs, g, p);
		return 0;
	}
	if (p->append || p->off == 0)
		g->len = 0;
	return r;
}

int gather_write(struct fs *fs, const struct piece *p, struct err *err)
{
	struct gather *g = find(fs, p->fh);
	int r;

	if (!g)
		g = take(fs, p->fh);
	g->used = ++fs->shm->uses;
	if (atomic_load(&g->cookie) != fs->cookie) {
		r = add(fs, g, p, err);
		if (r < 0)
			return r;
	} else if (g->done && g->result != ENGINE_PENDING) {
		if (g->result < 0)
			err_set_no(err, g->err_kind, (int)g->err_no, "%s", g->err_text);
		return g->result;
	}
	r = apply(fs, g, p, err);
	g->result = r;
	atomic_signal_fence(memory_order_seq_cst);
	g->done = true;
	return r;
}

void gather_close(struct fs *fs, const struct piece *p)
{
	struct gather *g = find(fs, p->fh);
	struct engine_cred who = *p->who;
	struct err err = {};

	if (!g)
		return;
	/* the kernel does not say who closes: it counts as who has written, in his container */
	who.home = g->home;
	if (g->held && g->append) {
		/* Refused or not, nobody hears it but the error file, and the engine writes that. */
		(void)engine_write(fs->engine, &who, fs->cookie, p->node,
				   &(struct engine_value){ .buf = g->data, .len = g->len, .append = true }, &err);
	} else if (g->held) {
		err_set_no(&err, g->err_kind, (int)g->err_no, "%s", g->err_text);
		engine_note_error(fs->engine, &who, p->node, &err);
	}
	release(g);
}
