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

struct item *item_find_name(struct engine *e, enum stored kind, const char *place, const char *name)
{
	uint32_t h = hash(kind, place, name);
	struct item *it = e->store->by_name[h % ITEM_HASH];

	while (it != NULL && (it->hash != h || it->gone || it->kind != kind || strcmp(it->place, place) != 0 || strcmp(it->name, name) != 0))
		it = it->by_name;
	return it;
}

static void link_id(struct engine *e, struct item *it)
{
	struct item **at = &e->store->items;

	while (it->id == 0 || item_find(e, it->id) != NULL)
		it->id++;
	while (*at != NULL && (*at)->id < it->id)
		at = &(*at)->next;
	it->next = *at;
	*at = it;
	it->by_id = e->store->by_id[it->id % ITEM_HASH];
	e->store->by_id[it->id % ITEM_HASH] = it;
}

static void unlink_id(struct engine *e, struct item *it)
{
	struct item **at = &e->store->items, **by = &e->store->by_id[it->id % ITEM_HASH];

	while (*at != it)
		at = &(*at)->next;
	*at = it->next;
	while (*by != it)
		by = &(*by)->by_id;
	*by = it->by_id;
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

	unlink_id(e, it);
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
	e->store->items_fd = e->store->jobs_fd = -1;
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
		if (p->lock >= 0)
			close(p->lock);
		free(p->path);
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
	if (s->items_fd >= 0)
		close(s->items_fd);
	if (s->jobs_fd >= 0)
		close(s->jobs_fd);
	free(s);
	e->store = NULL;
}

int store_restore(struct engine *e, struct err *err)
{
	int r = items_restore(e, err);

	if (r == 0)
		r = sjobs_restore(e, err);
	if (r == 0 && store_add_place(e, e->conf->volumes_default_place) < 0)
		r = err_sys(err, ENOMEM, "places");
	for (const struct vol *v = e->vols; r == 0 && v != NULL; v = v->next)
		if (v->plan.place != NULL && store_add_place(e, v->plan.place) < 0)
			r = err_sys(err, ENOMEM, "places");
	if (r == 0)
		(void)store_look(e, 0);
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
	return it->kind == STORED_META ? meta_check_empty(it, err) : 0;
}

/* PLACE/DIR/_remove_BASE.NUMBER: no other has that name. */
static int trash_name(struct item *it, const char *base)
{
	free(it->trash);
	if (asprintf(&it->trash, "%.150s.%llx", base, (unsigned long long)clock_mono()) < 0)
		it->trash = NULL;
	return it->trash != NULL ? 0 : -ENOMEM;
}

static int rename_away(const struct item *it, const char *dir, const char *base, struct err *err)
{
	autofree char *to = NULL, *private = NULL;
	autoclose int fd = place_dir(it->place, dir);

	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return err_sys(err, -fd, "%s/%s", it->place, dir);
	if (asprintf(&to, "_remove_%s", it->trash) < 0)
		to = NULL;
	if (asprintf(&private, "_private_%s", base) < 0)
		private = NULL;
	if (to == NULL || private == NULL)
		return err_sys(err, ENOMEM, "%s", it->name);
	/* done, though the record does not say so: what has the name now is another one */
	if (faccessat(fd, to, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	if (renameat(fd, base, fd, to) < 0 && errno != ENOENT)
		return err_sys(err, errno, "%s/%s/%s", it->place, dir, base);
	(void)unlinkat(fd, private, 0);
	return 0;
}

/* From here on it goes, whatever happens to this worker. */
int item_finish_removal(struct engine *e, struct item *it, struct err *err)
{
	autotext struct text dir = {}, base = {};
	int r = stored_split(it->kind, it->name, &dir, &base, err);

	if (r == 0 && it->trash == NULL)
		r = trash_name(it, text_str(&base)) < 0 ? err_sys(err, ENOMEM, "%s", it->name) : 0;
	if (r == 0 && !it->renamed)
		r = rename_away(it, text_str(&dir), text_str(&base), err);
	if (r < 0)
		return r;
	known_save(e);
	/* its name is free now: what has that name from now on is another one */
	it->renamed = true;
	if (item_save(e, it, 0, 0, NULL) < 0)
		item_forget(e, it); /* better nothing than a record that may cost the next one of its name */
	sjob_remove_later(e, it->place, text_str(&dir), it->trash, it->id);
	return 0;
}

static void item_come_back(struct engine *e, struct item *it)
{
	uint32_t now = it->id;

	it->gone = false;
	item_set_id(e, it, it->hash);
	item_move_record(e, it, now);
	if (it->reserved)
		(void)item_save(e, it, 0, 0, NULL);
	else
		item_forget(e, it);
}

static int name_trash(struct item *it, struct err *err)
{
	autotext struct text dir = {}, base = {};
	int r = stored_split(it->kind, it->name, &dir, &base, err);

	if (r < 0)
		return r;
	return trash_name(it, text_str(&base)) < 0 ? err_sys(err, ENOMEM, "%s", it->name) : 0;
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
	if (r < 0)
		item_come_back(e, it);
	return r;
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
	r = item_finish_removal(e, it, err);
	if (r < 0) {
		item_come_back(e, it);
		return r;
	}
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
	known_save(e);
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
