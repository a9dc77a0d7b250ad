/*
 * What is done to the names of a place and to the small files beside them: a place may lie on a file system that does not answer.
 * So each place has one thread at most for it, which does in order what was asked for and holds up this place alone; what the loop
 * knows is changed at once, or when it is done. Removals that need porto-store wait here too, that there be few jobs of them.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/log.h"
#include "engine/layer.h"

#define REMOVALS_MAX 2u /* porto-stores at once in a place */

static void begin(struct looked_place *p);

struct place_op *place_op_new(struct engine *e, struct item *it, void (*work)(struct place_op *op), void (*done)(struct place_op *op))
{
	struct place_op *op = calloc(1, sizeof(*op));
	autotext struct text dir = {}, base = {};

	if (op == NULL)
		return NULL;
	*op = (struct place_op){ .e = e, .it = it, .work = work, .done = done, .kind = it->kind, .size = it->size };
	op->place = strdup(it->place);
	if (op->place == NULL || stored_split(it->kind, it->name, &dir, &base, NULL) < 0 || (op->dir = text_take(&dir)) == NULL ||
	    (op->base = text_take(&base)) == NULL || store_add_place(e, it->place) < 0) {
		place_op_free(op);
		return NULL;
	}
	return op;
}

void place_op_free(struct place_op *op)
{
	free(op->place);
	free(op->dir);
	free(op->base);
	free(op->text);
	free(op);
}

static void work_all(void *arg)
{
	struct looked_place *p = arg;

	for (struct place_op *op = p->running; op != NULL; op = op->next)
		op->work(op);
}

static void all_done(void *arg)
{
	struct looked_place *p = arg;
	struct engine *e = p->e;
	struct place_op *ops = p->running;

	p->running = NULL;
	e->store->changes++; /* a look that goes on may have seen some of it */
	while (ops != NULL) {
		struct place_op *op = ops;

		ops = op->next;
		if (op->it != NULL)
			op->it->queued--;
		else
			p->dooming -= op->dooms;
		op->done(op);
		place_op_free(op);
	}
	begin(p);
	sjobs_go_on(e);
	vop_builds_go_on(e);
	store_removed(e);
}

/* When there is no memory for it now it goes with the next one. */
static void begin(struct looked_place *p)
{
	if (p->running != NULL || p->ops == NULL)
		return;
	p->running = p->ops;
	if (loop_work_for(p->e->loop, place_group(p->path), work_all, all_done, p) < 0) {
		p->running = NULL;
		return;
	}
	p->ops = NULL;
	p->last_op = &p->ops;
}

static void enqueue(struct looked_place *p, struct place_op *op)
{
	if (p->ops == NULL)
		p->last_op = &p->ops;
	*p->last_op = op;
	p->last_op = &op->next;
	begin(p);
}

void place_op_begin(struct place_op *op)
{
	op->it->queued++;
	enqueue(store_place(op->e, op->place), op);
}

static void forget(struct place_op *op, const struct item *it)
{
	for (; op != NULL; op = op->next)
		if (op->it == it)
			op->it = NULL;
}

void place_ops_forget(struct engine *e, const struct item *it)
{
	struct looked_place *p = it->queued > 0 ? store_place(e, it->place) : NULL;

	if (p == NULL)
		return;
	forget(p->ops, it);
	forget(p->running, it);
}

/* ---- what nobody owns ---- */

/* Nobody has begun to work on it: those who would wait for this (place_is_held). */
static void doom(struct place_op *op)
{
	autoclose int dir = place_dir(op->place, op->dir);
	autofree char *to = NULL;

	if (asprintf(&to, "_remove_%s", op->text) < 0) {
		to = NULL;
		op->result = -ENOMEM;
	} else {
		op->result = dir < 0 ? dir : renameat(dir, op->base, dir, to) < 0 ? -errno : 0;
	}
}

static void doomed(struct place_op *op)
{
	if (op->result == 0)
		place_remove_later(op->e, op->place, op->dir, op->text, 0);
}

void place_doom(struct engine *e, const char *place, const char *dir, const char *name, const char *to)
{
	struct place_op *op = calloc(1, sizeof(*op));
	struct looked_place *p = store_place(e, place);

	if (op == NULL)
		return;
	*op = (struct place_op){ .e = e, .work = doom, .done = doomed, .dooms = 1 };
	op->place = strdup(place);
	op->dir = strdup(dir);
	op->base = strdup(name);
	op->text = strdup(to);
	if (op->place == NULL || op->dir == NULL || op->base == NULL || op->text == NULL) {
		place_op_free(op);
		return;
	}
	p->dooming++;
	enqueue(p, op);
}

/* ---- what porto-store is to remove ---- */

static void removal_free(struct removal *r)
{
	free(r->sub);
	free(r->name);
	free(r);
}

static void begin_removals(struct looked_place *p)
{
	while (p->removing < REMOVALS_MAX && p->removals != NULL) {
		struct removal *r = p->removals;

		p->removals = r->next;
		if (sjob_remove(p->e, p->path, r->sub, r->name, r->item) >= 0)
			p->removing++;
		removal_free(r); /* what could not be begun the next look finds */
	}
}

void place_remove_later(struct engine *e, const char *place, const char *sub, const char *name, uint32_t item)
{
	struct removal *r = calloc(1, sizeof(*r));
	struct looked_place *p = store_add_place(e, place) < 0 ? NULL : store_place(e, place);

	if (r == NULL || p == NULL || (r->sub = strdup(sub)) == NULL || (r->name = strdup(name)) == NULL) {
		if (r != NULL)
			removal_free(r);
		return; /* the next look finds it */
	}
	r->item = item;
	if (p->removals == NULL)
		p->last_removal = &p->removals;
	*p->last_removal = r;
	p->last_removal = &r->next;
	begin_removals(p);
}

void place_removed(struct engine *e, const char *place)
{
	struct looked_place *p = store_place(e, place);

	p->removing--;
	begin_removals(p);
}

bool place_is_idle(const struct looked_place *p)
{
	return p->running == NULL && p->ops == NULL && p->removals == NULL && p->removing == 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int place_removals(const struct looked_place *p, const char ***names, size_t *n)
{
	*n = 0;
	for (const struct removal *r = p->removals; r != NULL; r = r->next)
		++*n;
	*names = malloc((*n + 1) * sizeof(**names));
	if (*names == NULL)
		return -ENOMEM;
	*n = 0;
	for (const struct removal *r = p->removals; r != NULL; r = r->next)
		(*names)[(*n)++] = r->name;
	qsort(*names, *n, sizeof(**names), by_name);
	return 0;
}

bool place_removes(const char **names, size_t n, const char *name)
{
	return n > 0 && bsearch(&name, names, n, sizeof(*names), by_name) != NULL;
}

/* ---- who has to wait ---- */

static bool is_busy(struct engine *e, enum stored kind, const char *place, const char *name)
{
	for (const struct item *it = item_first_named(e, kind, place, name); it != NULL; it = item_next_named(it))
		if (it->queued > 0 && (it->gone || kind == STORED_META))
			return true;
	return false;
}

bool place_is_held(struct engine *e, enum stored kind, const char *place, const char *name)
{
	const char *slash = strchr(name, '/');
	autofree char *meta = slash != NULL ? strndup(name, (size_t)(slash - name)) : NULL;
	const struct looked_place *p = store_place(e, place);

	if (p == NULL || (p->ops == NULL && p->running == NULL))
		return false;
	return p->dooming > 0 || is_busy(e, kind, place, name) || (meta != NULL && is_busy(e, STORED_META, place, meta));
}

void place_close(struct looked_place *p)
{
	while (p->ops != NULL) {
		struct place_op *op = p->ops;

		p->ops = op->next;
		place_op_free(op);
	}
	while (p->removals != NULL) {
		struct removal *r = p->removals;

		p->removals = r->next;
		removal_free(r);
	}
}
