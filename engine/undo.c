/*
 * The values as they were before each of the last few writes. A value that comes in several writes is set again, longer, with
 * each of them; when a later part turns out to be bad, what the earlier ones had set is taken back from here. After a restart
 * there is nothing: the parts before the crash then stay, as if they had been written alone.
 */
#include "engine/ct.h"

static struct undo *find(struct engine *e, uint32_t ct, uint64_t cookie)
{
	for (size_t i = 0; i < UNDOS; i++)
		if (e->undo[i].cookie == cookie && e->undo[i].ct == ct)
			return &e->undo[i];
	return NULL;
}

static void move(struct snapshot *to, struct snapshot *from)
{
	snapshot_done(to);
	*to = *from;
	memset(from, 0, sizeof(*from));
}

void undo_keep(struct ct *ct, uint64_t cookie, struct snapshot *before)
{
	struct engine *e = ct->e;
	struct undo *u;

	if (cookie == 0)
		return;
	u = find(e, ct->id, cookie);
	if (u == NULL)
		u = &e->undo[e->undo_next++ % UNDOS];
	u->ct = ct->id;
	u->cookie = cookie;
	move(&u->before, before);
}

void undo_drop(struct ct *ct)
{
	for (size_t i = 0; i < UNDOS; i++)
		if (ct->e->undo[i].ct == ct->id) {
			snapshot_done(&ct->e->undo[i].before);
			ct->e->undo[i].cookie = 0;
			ct->e->undo[i].ct = 0;
		}
}

bool undo_take(struct ct *ct, uint64_t cookie, struct snapshot *ret)
{
	struct undo *u = cookie != 0 && ct->unique == cookie ? find(ct->e, ct->id, cookie) : NULL;

	if (u == NULL)
		return false;
	move(ret, &u->before);
	u->cookie = 0;
	return true;
}
