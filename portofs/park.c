#include "portofs/park.h"

#include <sys/mman.h>

#include "base/log.h"

#define CHAINS 4096u
#define UID_MAX 4096u    /* places of one user other than root */
#define UID_WRITES 256u  /* of them, not for reads */
#define FOR_WRITES 1024u /* places that reads leave free */
#define FOR_ROOT 1024u   /* places that others than root leave free */
#define UID_BIGS 32u     /* big slots of one user other than root */
#define BIGS_FOR_ROOT 32u

struct parked {
	fuse_req_t req; /* NULL: free */
	uint64_t cookie;
	uint32_t next;  /* in the chain: slot + 1 */
	uint32_t uid;   /* whose it is */
	struct park_args args;
};

_Static_assert(SLOTS > FOR_WRITES + FOR_ROOT + UID_MAX, "one user leaves room to others");

/* How many requests of this user wait. Two users may share a counter, then they share what is theirs. */
static uint16_t *count_of(const struct fs *fs, uint32_t uid)
{
	return &fs->parked_by_uid[uid % CHAINS];
}

static uint32_t *chain_of(const struct fs *fs, uint64_t cookie)
{
	/* Uniques are even. */
	return &fs->parked_by_cookie[(cookie >> 1) % CHAINS];
}

static struct parked *find(const struct fs *fs, uint64_t cookie)
{
	for (uint32_t i = *chain_of(fs, cookie); i; i = fs->parked[i - 1].next)
		if (fs->parked[i - 1].cookie == cookie)
			return &fs->parked[i - 1];
	return NULL;
}

int park_init(struct fs *fs)
{
	/* As large as it may get, but touched only where it is used. */
	fs->parked = calloc(SLOTS, sizeof(*fs->parked));
	fs->parked_by_cookie = calloc(CHAINS, sizeof(*fs->parked_by_cookie));
	fs->parked_by_uid = calloc(CHAINS, sizeof(*fs->parked_by_uid));
	fs->bigs_by_uid = calloc(CHAINS, sizeof(*fs->bigs_by_uid));
	fs->replaying = -1;
	return fs->parked && fs->parked_by_cookie && fs->parked_by_uid && fs->bigs_by_uid ? 0 : -ENOMEM;
}

/* Nobody is answered: what is in the slots is the next worker's. */
static void forget(struct fs *fs, uint64_t cookie)
{
	fuse_reply_none(find(fs, cookie)->req);
}

void park_free(struct fs *fs)
{
	if (fs->parked && fs->parked_by_cookie)
		park_each(fs, forget);
	free(fs->parked);
	free(fs->parked_by_cookie);
	free(fs->parked_by_uid);
	free(fs->bigs_by_uid);
	fs->parked_by_uid = fs->bigs_by_uid = NULL;
	fs->parked = NULL;
	fs->parked_by_cookie = NULL;
}

static void *slot_data(struct shm *shm, struct slot *s)
{
	return s->big ? shm->big[s->big - 1].data : s->data;
}

static void slot_release(struct fs *fs, struct slot *s)
{
	struct shm *shm = fs->shm;
	uint32_t big = s->big, len = s->len;

	atomic_store(&s->cookie, 0);
	fs->slot_hint = MIN(fs->slot_hint, (uint32_t)(s - shm->slots));
	if (!big)
		return;
	/* the one that comes next mostly takes the same */
	if (big > 1 && len > BIG_SLOT_KEPT)
		(void)madvise(shm->big[big - 1].data + BIG_SLOT_KEPT, BIG_SLOT_BYTES - BIG_SLOT_KEPT, MADV_REMOVE);
	atomic_store(&shm->big_used[big - 1], 0);
}

static int free_slot(const struct fs *fs)
{
	for (unsigned i = fs->slot_hint; i < SLOTS; i++)
		if (!atomic_load(&fs->shm->slots[i].cookie))
			return (int)i;
	return -EAGAIN;
}

static int free_big(const struct fs *fs)
{
	for (unsigned i = 0; i < BIG_SLOTS; i++)
		if (!atomic_load(&fs->shm->big_used[i]))
			return (int)i;
	return -EAGAIN;
}

bool park_room(struct fs *fs, bool write)
{
	uint32_t uid = fs->in->uid, all = SLOTS - (write ? 0 : FOR_WRITES) - (uid == 0 ? 0 : FOR_ROOT);

	if (fs->replaying >= 0)
		return true;
	if (fs->in->len > BIG_SLOT_BYTES)
		return false;
	if (fs->in->len > SLOT_BYTES && free_big(fs) < 0)
		return false;
	if (fs->in->len > SLOT_BYTES && uid != 0 &&
	    (fs->bigs_by_uid[uid % CHAINS] >= UID_BIGS || fs->bigs_used >= BIG_SLOTS - BIGS_FOR_ROOT))
		return false;
	if (uid != 0 && *count_of(fs, uid) >= UID_MAX - (write ? 0 : UID_WRITES))
		return false;
	return fs->slots_used < all;
}

/* Copies the request being processed to a slot, where it already is when it is replayed. */
static unsigned slot_fill(struct fs *fs)
{
	struct shm *shm = fs->shm;
	struct slot *s;
	int i;

	if (fs->replaying >= 0) {
		i = fs->replaying;
		fs->replaying = -1;
		return (unsigned)i;
	}
	i = free_slot(fs);
	fs->slot_hint = (uint32_t)i + 1;
	s = &shm->slots[i];
	s->len = fs->in->len;
	s->big = s->len > SLOT_BYTES ? (uint32_t)free_big(fs) + 1 : 0;
	if (s->big)
		atomic_store(&shm->big_used[s->big - 1], 1);
	memcpy(slot_data(shm, s), fs->in, s->len);
	atomic_store(&s->cookie, fs->cookie);
	fs->slots_used++;
	return (unsigned)i;
}

void park(struct fs *fs, fuse_req_t req, const struct park_args *args)
{
	unsigned i = slot_fill(fs);
	uint32_t *chain = chain_of(fs, fs->cookie);

	fs->parked[i] = (struct parked){ .req = req, .cookie = fs->cookie, .next = *chain, .uid = fs->in->uid, .args = *args };
	++*count_of(fs, fs->in->uid);
	if (fs->shm->slots[i].big) {
		fs->bigs_by_uid[fs->in->uid % CHAINS]++;
		fs->bigs_used++;
	}
	*chain = i + 1;
}

bool park_has(const struct fs *fs, uint64_t cookie)
{
	return find(fs, cookie);
}

pid_t park_pid(const struct fs *fs, uint64_t cookie)
{
	const struct parked *p = find(fs, cookie);

	return p ? fuse_req_ctx(p->req)->pid : 0;
}

void park_each(struct fs *fs, void (*fn)(struct fs *fs, uint64_t cookie))
{
	uint32_t left = fs->slots_used;

	for (unsigned i = 0; left > 0 && i < SLOTS; i++)
		if (fs->parked[i].req) {
			left--;
			fn(fs, fs->parked[i].cookie);
		}
}

bool park_adopt(struct fs *fs, fuse_req_t req)
{
	struct parked *p = find(fs, fs->cookie);
	struct slot *s;

	if (!p)
		return false;
	/* The kernel now knows it by a unique with the resend bit, and the reply must bear that. */
	s = &fs->shm->slots[p - fs->parked];
	memcpy(slot_data(fs->shm, s), fs->in, MIN(fs->in->len, s->len));
	fuse_reply_none(p->req);
	p->req = req;
	return true;
}

/* Takes it out of the table; the caller answers what it is given, then lets the slot go. */
static bool take(struct fs *fs, uint64_t cookie, struct parked *ret, struct slot **slot)
{
	struct parked *p = find(fs, cookie);
	uint32_t *at = chain_of(fs, cookie);

	if (!p)
		return false;
	while (*at != (uint32_t)(p - fs->parked) + 1)
		at = &fs->parked[*at - 1].next;
	*at = p->next;
	*ret = *p;
	*slot = &fs->shm->slots[p - fs->parked];
	--*count_of(fs, p->uid);
	if ((*slot)->big) {
		fs->bigs_by_uid[p->uid % CHAINS]--;
		fs->bigs_used--;
	}
	memset(p, 0, sizeof(*p));
	fs->slots_used--;
	return true;
}

static void reply_read(struct fs *fs, const struct parked *p, const char *text, size_t len)
{
	struct text copy = {};

	if (p->args.kind == PARK_PREAD) {
		poll_read(fs, p->args.fh, p->args.off + MIN(len, p->args.size));
		fuse_reply_buf(p->req, text, MIN(len, p->args.size));
		return;
	}
	fs_reply_slice(p->req, text, len, p->args.size, p->args.off);
	text_addn(&copy, text, len);
	snap_put(fs, p->args.fh, &copy);
}

void park_done(struct fs *fs, uint64_t cookie, int result, const char *text, size_t len)
{
	struct parked p;
	struct slot *slot;

	/* Unknown: answered with EINTR, or not replayed yet, and then the engine gives the answer again. */
	if (!take(fs, cookie, &p, &slot))
		return;
	if (result < 0)
		fs_refuse(p.req, result, NULL);
	else if (p.args.kind == PARK_WRITE)
		fuse_reply_write(p.req, p.args.size);
	else
		reply_read(fs, &p, text ? text : "", text ? len : 0);
	slot_release(fs, slot);
}

void park_interrupt(struct fs *fs, uint64_t cookie)
{
	struct parked p;
	struct slot *slot;

	if (!take(fs, cookie, &p, &slot))
		return;
	engine_cancel(fs->engine, cookie);
	fuse_reply_err(p.req, EINTR);
	slot_release(fs, slot);
}

void park_replay(struct fs *fs, void (*process)(struct fs *fs, struct fuse_in_header *in))
{
	struct shm *shm = fs->shm;
	unsigned n = 0;

	for (unsigned i = 0; i < BIG_SLOTS; i++)
		atomic_store(&shm->big_used[i], 0);
	for (unsigned i = 0; i < SLOTS; i++)
		if (atomic_load(&shm->slots[i].cookie)) {
			if (shm->slots[i].big)
				atomic_store(&shm->big_used[shm->slots[i].big - 1], 1);
			n++;
		}
	fs->slots_used = n;
	if (n)
		log_info("%u requests were waiting", n);
	for (unsigned i = 0; n > 0 && i < SLOTS; i++) {
		if (!atomic_load(&shm->slots[i].cookie))
			continue;
		n--;
		fs->replaying = (int)i;
		process(fs, slot_data(shm, &shm->slots[i]));
		/* Not parked again: it is answered. */
		if (fs->replaying >= 0) {
			fs->replaying = -1;
			slot_release(fs, &shm->slots[i]);
			fs->slots_used--;
		}
	}
}
