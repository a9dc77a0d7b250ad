/* Layers and storages as objects. */
#include "engine/layer.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/proc.h"
#include "engine/eventlog.h"
#include "engine/image.h"
#include "engine/limits.h"
#include "engine/save.h"

const char *const item_state_names[ITEM_STATES] = { [IS_EMPTY] = "empty", [IS_IMPORTING] = "importing", [IS_READY] = "ready" };

const char *item_word(enum stored kind)
{
	static const char *const words[] = { [STORED_LAYER] = "layer", [STORED_STORAGE] = "storage", [STORED_META] = "meta-storage" };

	return words[kind];
}

struct item *item_find(struct engine *e, uint32_t id)
{
	struct item *it = e->store->by_id[id % ITEM_HASH];

	while (it != NULL && it->id != id)
		it = it->by_id;
	return it;
}

static uint32_t hash(enum stored kind, const char *place, const char *name)
{
	uint32_t h = 2166136261u ^ (uint32_t)kind * 40503u;

	for (; *place != '\0'; place++)
		h = (h ^ (unsigned char)*place) * 16777619u;
	for (h *= 16777619u; *name != '\0'; name++)
		h = (h ^ (unsigned char)*name) * 16777619u;
	return h;
}

static bool is_named(const struct item *it, uint32_t h, enum stored kind, const char *place, const char *name)
{
	return it->hash == h && it->kind == kind && strcmp(it->place, place) == 0 && strcmp(it->name, name) == 0;
}

struct item *item_first_named(struct engine *e, enum stored kind, const char *place, const char *name)
{
	uint32_t h = hash(kind, place, name);
	struct item *it = e->store->by_name[h % ITEM_HASH];

	while (it != NULL && !is_named(it, h, kind, place, name))
		it = it->by_name;
	return it;
}

struct item *item_next_named(const struct item *it)
{
	struct item *next = it->by_name;

	while (next != NULL && !is_named(next, it->hash, it->kind, it->place, it->name))
		next = next->by_name;
	return next;
}

struct item *item_find_name(struct engine *e, enum stored kind, const char *place, const char *name)
{
	struct item *it = item_first_named(e, kind, place, name);

	while (it != NULL && it->gone)
		it = item_next_named(it);
	return it;
}

static void link_id(struct engine *e, struct item *it)
{
	while (it->id == 0 || item_find(e, it->id) != NULL)
		it->id++;
	it->by_id = e->store->by_id[it->id % ITEM_HASH];
	e->store->by_id[it->id % ITEM_HASH] = it;
	e->store->is_sorted = false;
}

static void unlink_id(struct engine *e, struct item *it)
{
	struct item **by = &e->store->by_id[it->id % ITEM_HASH];

	while (*by != it)
		by = &(*by)->by_id;
	*by = it->by_id;
	e->store->is_sorted = false;
}

static void link_all(struct store *s, struct item *it)
{
	it->next = s->items;
	if (it->next != NULL)
		it->next->prev = it;
	s->items = it;
	s->item_count++;
}

static void unlink_all(struct store *s, struct item *it)
{
	*(it->prev != NULL ? &it->prev->next : &s->items) = it->next;
	if (it->next != NULL)
		it->next->prev = it->prev;
	s->item_count--;
}

static int by_id(const void *a, const void *b)
{
	const struct item *const *x = a, *const *y = b;

	return ((*x)->id > (*y)->id) - ((*x)->id < (*y)->id);
}

static bool sort(struct store *s)
{
	struct item **sorted = reallocarray(s->sorted, s->item_count + 1, sizeof(struct item *));
	size_t n = 0;

	if (sorted == NULL)
		return false;
	s->sorted = sorted;
	for (struct item *it = s->items; it != NULL; it = it->next)
		sorted[n++] = it;
	qsort(sorted, n, sizeof(struct item *), by_id);
	s->is_sorted = true;
	return true;
}

struct item *item_above(struct engine *e, uint32_t id)
{
	struct store *s = e->store;
	size_t lo = 0, hi = s->item_count;

	if (!s->is_sorted && !sort(s))
		return NULL;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (s->sorted[mid]->id <= id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < s->item_count ? s->sorted[lo] : NULL;
}

int item_new(struct engine *e, enum stored kind, const char *place, const char *name, struct item **ret)
{
	struct item *it = calloc(1, sizeof(*it));

	if (it == NULL)
		return -ENOMEM;
	it->kind = kind;
	it->place = strdup(place);
	it->name = strdup(name);
	if (it->place == NULL || it->name == NULL) {
		free(it->place);
		free(it->name);
		free(it);
		return -ENOMEM;
	}
	it->id = it->hash = hash(kind, place, name);
	link_id(e, it);
	link_all(e->store, it);
	it->by_name = e->store->by_name[it->hash % ITEM_HASH];
	e->store->by_name[it->hash % ITEM_HASH] = it;
	*ret = it;
	return 0;
}

void item_set_id(struct engine *e, struct item *it, uint32_t id)
{
	unlink_id(e, it);
	it->id = id;
	link_id(e, it);
}

void item_free(struct engine *e, struct item *it)
{
	struct item **named = &e->store->by_name[it->hash % ITEM_HASH];

	place_ops_forget(e, it);
	unlink_id(e, it);
	unlink_all(e->store, it);
	while (*named != it)
		named = &(*named)->by_name;
	*named = it->by_name;
	free(it->place);
	free(it->name);
	free(it->private);
	free(it->error);
	free(it->trash);
	free(it->before);
	free(it->charge);
	free(it);
}

void item_note_error(struct engine *e, struct item *it, const struct err *err)
{
	char text[ERR_TEXT_MAX + 64];

	free(it->error);
	if (asprintf(&it->error, "%d %s", (int)err->kind, err_format(err, text, sizeof(text))) < 0)
		it->error = NULL;
	if (it->reserved && !it->gone)
		(void)item_save(e, it, 0, 0, NULL);
}

/* ---- all of them ---- */

static int open_state(struct engine *e, const char *name, int *fd, struct err *err)
{
	if (mkdirat(e->state_fd, name, 0700) < 0 && errno != EEXIST)
		return err_sys(err, errno, "%s/%s", e->conf->daemon_state_dir, name);
	*fd = openat(e->state_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *fd < 0 ? err_sys(err, errno, "%s/%s", e->conf->daemon_state_dir, name) : 0;
}

int store_open(struct engine *e, struct err *err)
{
	int r;

	e->store = calloc(1, sizeof(*e->store));
	if (e->store == NULL)
		return err_sys(err, ENOMEM, "layers");
	e->store->items_fd = e->store->jobs_fd = e->store->known_fd = -1;
	e->store->next_job = 1;
	(void)type_bytemap.parse(e->conf->volumes_place_load_limit, &e->store->load_limit); /* checked when it was read */
	place_set_default(e->conf->volumes_default_place, e->conf->daemon_state_dir);
	e->store->program = program_path("porto-store");
	if (e->store->program == NULL)
		return err_sys(err, ENOMEM, "layers");
	r = open_state(e, "layers", &e->store->items_fd, err);
	return r < 0 ? r : open_state(e, "jobs", &e->store->jobs_fd, err);
}

static void places_free(struct store *s)
{
	while (s->places != NULL) {
		struct looked_place *p = s->places;

		s->places = p->next;
		place_close(p);
		if (p->running != NULL || p->looking)
			continue; /* it is still the thread's */
		if (p->lock >= 0)
			close(p->lock);
		free(p->path);
		free(p->real);
		free(p);
	}
}

void store_close(struct engine *e)
{
	struct store *s = e->store;

	if (s == NULL)
		return;
	loop_cancel(e->loop, &s->timer);
	while (s->jobs != NULL)
		sjob_free(s->jobs);
	while (s->items != NULL)
		item_free(e, s->items);
	places_free(s);
	images_close(e);
	type_bytemap.release(&s->load_limit);
	free(s->program);
	free(s->memory_dir);
	free(s->sorted);
	if (s->known_fd >= 0)
		close(s->known_fd);
	if (s->items_fd >= 0)
		close(s->items_fd);
	if (s->jobs_fd >= 0)
		close(s->jobs_fd);
	free(s);
	e->store = NULL;
}

int store_restore(struct engine *e, struct err *err)
{
	int r;

	sjobs_keep_ids(e);
	r = items_restore(e, err);
	if (r == 0)
		r = sjobs_restore(e, err);
	if (r == 0 && store_add_place(e, e->conf->volumes_default_place) < 0)
		r = err_sys(err, ENOMEM, "places");
	for (const struct vol *v = e->vols; r == 0 && v != NULL; v = v->next)
		if (v->plan.place != NULL && store_add_place(e, v->plan.place) < 0)
			r = err_sys(err, ENOMEM, "places");
	if (r == 0)
		store_look(e);
	return r;
}

/* ---- who may, and what keeps it ---- */

int item_check_owner(const struct item *it, const struct engine_cred *as, struct err *err)
{
	if (as->uid == 0 || as->uid == it->uid)
		return 0;
	return err_set(err, ERR_Permission, "%s %s belongs to user %u", item_word(it->kind), it->name, (unsigned)it->uid);
}

static int full_path(const struct item *it, struct text *out)
{
	text_addf(out, "%s/", it->place);
	return stored_path(it->kind, it->name, out, NULL);
}

static bool uses(const struct vol *v, enum stored kind, const char *path)
{
	if (kind == STORED_STORAGE)
		return v->plan.storage != NULL && strcmp(v->plan.storage, path) == 0;
	for (size_t i = 0; i < v->plan.layers.n; i++)
		if (strcmp(v->plan.layers.p[i], path) == 0)
			return true;
	return false;
}

int item_check_unused(struct engine *e, const struct item *it, struct err *err)
{
	autotext struct text path = {};

	if (full_path(it, &path) < 0)
		return err_sys(err, ENOMEM, "%s", it->name);
	for (const struct vol *v = e->vols; v != NULL; v = v->next) {
		if (uses(v, it->kind, text_str(&path)))
			return err_set(err, ERR_Busy, "%s %s: volume %u uses it", item_word(it->kind), it->name, (unsigned)v->id);
		for (const struct vop *op = v->ops; op != NULL; op = op->next)
			for (size_t i = 0; it->kind == STORED_LAYER && i < v->val[VOL_layers].v.n && op->kind == VOP_BUILD; i++)
				if (strcmp(v->val[VOL_layers].v.p[i], it->name) == 0)
					return err_set(err, ERR_Busy, "layer %s: volume %u is being made of it", it->name, (unsigned)v->id);
	}
	return 0;
}

int item_check_empty(struct engine *e, const struct item *it, struct err *err)
{
	size_t len = strlen(it->name);

	for (const struct item *part = e->store->items; it->kind == STORED_META && part != NULL; part = part->next)
		if (!part->gone && strncmp(part->name, it->name, len) == 0 && part->name[len] == '/' && strcmp(part->place, it->place) == 0)
			return err_set(err, ERR_Busy, "meta-storage %s: %s %s is in it", it->name, item_word(part->kind), part->name);
	return 0;
}

/* PLACE/DIR/_remove_BASE.NUMBER: no other has that name. */
static int trash_name(struct item *it, const char *base)
{
	free(it->trash);
	if (asprintf(&it->trash, "%.150s.%llx", base, (unsigned long long)clock_mono()) < 0)
		it->trash = NULL;
	return it->trash != NULL ? 0 : -ENOMEM;
}

/* ---- leaving the place: in a thread ---- */

static int rename_away(struct place_op *op, int dir)
{
	autofree char *to = NULL, *private = NULL;

	if (asprintf(&to, "_remove_%s", op->text) < 0)
		to = NULL;
	if (asprintf(&private, "_private_%s", op->base) < 0)
		private = NULL;
	if (to == NULL || private == NULL)
		return err_sys(&op->err, ENOMEM, "%s", op->base);
	/* done by the last worker, though the record does not say so: what has the name now is another one */
	if (faccessat(dir, to, F_OK, AT_SYMLINK_NOFOLLOW) < 0) {
		if (renameat(dir, op->base, dir, to) < 0 && errno != ENOENT)
			return err_sys(&op->err, errno, "%s/%s/%s", op->place, op->dir, op->base);
		(void)unlinkat(dir, private, 0);
	}
	op->emptied = unlinkat(dir, to, AT_REMOVEDIR) == 0 || errno == ENOENT;
	return 0;
}

static void leave(struct place_op *op)
{
	autoclose int dir = place_dir(op->place, op->dir);

	if (dir < 0) {
		op->emptied = dir == -ENOENT;
		op->result = op->emptied ? 0 : err_sys(&op->err, -dir, "%s/%s", op->place, op->dir);
		return;
	}
	op->result = op->kind == STORED_META ? meta_check_empty(op->place, op->dir, op->base, &op->err) : 0;
	if (op->result == 0)
		op->result = rename_away(op, dir);
}

/* ---- in the loop ---- */

static void item_come_back(struct engine *e, struct item *it)
{
	uint32_t now = it->id;

	it->gone = false;
	item_set_id(e, it, it->hash);
	item_move_record(e, it, now);
	if (it->reserved)
		(void)item_save(e, it, 0, 0, NULL);
	known_put(e, it);
	if (!it->reserved)
		item_forget(e, it);
}

static void stays(struct engine *e, struct item *it, struct place_op *op)
{
	log_warning("%s %s in %s is not removed: %s", item_word(it->kind), it->name, it->place, op->err.text);
	if (item_find_name(e, it->kind, it->place, it->name) != NULL) {
		/* its name was taken meanwhile: what lies there the next look gives to that */
		item_forget(e, it);
		item_free(e, it);
		return;
	}
	item_come_back(e, it);
	item_note_error(e, it, &op->err);
	event_log(e, item_word(it->kind), it->name, "not removed: %s", op->err.text);
}

static void left(struct place_op *op)
{
	struct engine *e = op->e;
	struct item *it = op->it;

	if (it == NULL)
		return;
	if (op->result < 0) {
		stays(e, it, op);
		return;
	}
	if (op->emptied) {
		item_forget(e, it);
		item_free(e, it);
		return;
	}
	/* what has its name from now on is another one */
	it->renamed = true;
	if (item_save(e, it, 0, 0, NULL) < 0)
		item_forget(e, it); /* better nothing than a record that may cost the next one of its name */
	place_remove_later(e, it->place, op->dir, it->trash, it->id);
}

/* From here on it goes, whatever happens to this worker. */
static int begin_leaving(struct engine *e, struct item *it)
{
	struct place_op *op = place_op_new(e, it, leave, left);

	if (op == NULL || (op->text = strdup(it->trash)) == NULL) {
		if (op != NULL)
			place_op_free(op);
		return -ENOMEM;
	}
	place_op_begin(op);
	return 0;
}

static int name_trash(struct item *it, struct err *err)
{
	autotext struct text dir = {}, base = {};
	int r = stored_split(it->kind, it->name, &dir, &base, err);

	if (r < 0)
		return r;
	return trash_name(it, text_str(&base)) < 0 ? err_sys(err, ENOMEM, "%s", it->name) : 0;
}

void item_finish_removal(struct engine *e, struct item *it)
{
	autotext struct text dir = {}, base = {};
	int r = stored_split(it->kind, it->name, &dir, &base, NULL);

	if (r == 0 && it->trash == NULL)
		r = trash_name(it, text_str(&base));
	if (r == 0 && it->renamed)
		place_remove_later(e, it->place, text_str(&dir), it->trash, it->id);
	else if (r == 0)
		r = begin_leaving(e, it);
	if (r < 0)
		log_warning("%s in %s is not removed: %s", it->name, it->place, strerror(-r));
}

/* Its id, which clients know, is free for the next one of its name; and it is gone, as its record says. */
static int item_leave_id(struct engine *e, struct item *it, uint64_t cookie, struct err *err)
{
	uint32_t old = it->id;
	int r;

	item_set_id(e, it, it->hash ^ (uint32_t)clock_mono());
	if (it->reserved)
		item_move_record(e, it, old);
	it->gone = true;
	r = name_trash(it, err);
	if (r == 0)
		r = item_save(e, it, cookie, 0, err);
	if (r < 0) {
		item_come_back(e, it);
		return r;
	}
	known_drop(e, it);
	return 0;
}

/* A reader of `tarball` holds nothing up: it may be one that has gone already. */
static void stop_readers(struct engine *e, const struct item *it)
{
	for (struct sjob *j = e->store->jobs, *next; j != NULL; j = next) {
		next = j->next;
		if (j->kind == SJ_EXPORT && j->item == it->id && j->path[0] == '\0' && j->phase != SJP_OVER)
			sjob_stop(j);
	}
}

/* An import, a merge, an export to a file. */
static struct sjob *holder(struct engine *e, const struct item *it)
{
	for (struct sjob *j = e->store->jobs; j != NULL; j = j->next)
		if (j->item == it->id && j->phase != SJP_OVER &&
		    (j->kind == SJ_IMPORT || j->kind == SJ_MERGE || (j->kind == SJ_EXPORT && j->path[0] != '\0')))
			return j;
	return NULL;
}

int item_remove(struct engine *e, struct item *it, uint64_t cookie, struct err *err)
{
	struct sjob *j = holder(e, it);
	int r = item_check_unused(e, it, err);

	if (r == 0)
		r = item_check_empty(e, it, err);
	if (r < 0)
		return r;
	if (j != NULL && j->kind != SJ_IMPORT)
		return err_set(err, ERR_Busy, "%s %s is being %s", item_word(it->kind), it->name,
			       j->kind == SJ_MERGE ? "merged into" : "exported");
	stop_readers(e, it);
	r = item_leave_id(e, it, cookie, err);
	if (r < 0)
		return r;
	r = begin_leaving(e, it);
	if (r < 0) {
		item_come_back(e, it);
		return err_sys(err, -r, "%s", it->name);
	}
	e->store->changes++;
	if (j != NULL) {
		j->item = 0;
		sjob_stop(j);
	}
	event_log(e, item_word(it->kind), it->name, "removed");
	return 0; /* the record stays until all is removed: by then the request that it answers is over */
}

void storage_used(const struct vol *v)
{
	const char *name = v->val[VOL_storage].s;
	struct engine *e = v->e;
	struct item *it;

	if (!v->plan.storage_named || name == NULL)
		return;
	it = item_find_name(e, STORED_STORAGE, v->plan.place, name);
	if (it == NULL) {
		if (item_new(e, STORED_STORAGE, v->plan.place, name, &it) < 0)
			return;
		it->uid = v->by.uid;
		it->gid = v->by.gid;
		e->store->changes++;
	}
	it->state = IS_READY;
	it->used = v->build_wall;
	known_put(e, it);
	if (it->reserved)
		item_forget(e, it);
}

void layers_unused(struct vol *v)
{
	struct engine *e = v->e;

	for (struct item *it = e->store->items, *next; it != NULL; it = next) {
		autotext struct text path = {};
		struct vol_plan plan = v->plan;
		struct err err = {};
		bool used;

		next = it->next;
		if (it->gone || !stored_is_weak(it->name) || it->state != IS_READY || full_path(it, &path) < 0)
			continue;
		used = uses(v, it->kind, text_str(&path));
		if (!used)
			continue;
		v->plan = (struct vol_plan){}; /* it does not count any more */
		if (item_remove(e, it, 0, &err) < 0)
			log_debug("weak %s stays: %s", it->name, err.text);
		else
			e->events->gone(e->events_arg, ENGINE_ROOT, "");
		v->plan = plan;
	}
}
