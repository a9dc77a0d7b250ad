/* Records of layers and storages that are not in their place yet, or no longer: <state_dir>/layers/<id>, lines as in `spec`. */
#include <fcntl.h>
#include <stdio.h>

#include "base/fd.h"
#include "base/log.h"
#include "engine/layer.h"
#include "engine/limits.h"
#include "engine/save.h"

static void record_name(const struct item *it, char name[24])
{
	snprintf(name, 24, "%u", (unsigned)it->id);
}

int item_save(struct engine *e, struct item *it, uint64_t cookie, int result, struct err *err)
{
	const struct {
		const char *name, *value;
	} rows[] = { { ".place", it->place }, { ".name", it->name }, { ".private", it->private }, { ".error", it->error }, { ".trash", it->trash }, { ".charge", it->charge } };
	autotext struct text out = {};
	char name[24];
	int r;

	if (cookie != 0) {
		it->unique = cookie;
		it->unique_result = result;
	}
	text_addf(&out, ".kind = %d\n.owner = %u %u\n.unique = %llu\n.result = %d\n.gone = %d %d\n", it->kind, (unsigned)it->uid,
		  (unsigned)it->gid, (unsigned long long)it->unique, it->unique_result, it->gone, it->renamed);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].value != NULL)
			spec_line_format(&out, rows[i].name, rows[i].value);
	record_name(it, name);
	r = text_ok(&out) < 0 ? -ENOMEM : file_replace(e->store->items_fd, name, out.p, out.len, 0600);
	return r < 0 ? err_sys(err, -r, "cannot save %s in %s", it->name, e->conf->daemon_state_dir) : 0;
}

void item_forget(struct engine *e, struct item *it)
{
	char name[24];

	record_name(it, name);
	(void)unlinkat(e->store->items_fd, name, 0);
	it->reserved = false;
}

void item_move_record(struct engine *e, struct item *it, uint32_t from)
{
	char old[24], name[24];

	snprintf(old, sizeof(old), "%u", (unsigned)from);
	record_name(it, name);
	(void)renameat(e->store->items_fd, old, e->store->items_fd, name);
}

struct loading {
	unsigned kind, uid, gid, gone, renamed;
	unsigned long long unique;
	int result;
	char *place, *name, *private, *error, *trash, *charge;
};

static int load_line(void *arg, const char *name, const char *value, size_t line)
{
	struct loading *l = arg;
	const struct {
		const char *name;
		char **at;
	} rows[] = { { ".place", &l->place }, { ".name", &l->name }, { ".private", &l->private }, { ".error", &l->error }, { ".trash", &l->trash }, { ".charge", &l->charge } };

	(void)line;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(name, rows[i].name) == 0) {
			free(*rows[i].at);
			*rows[i].at = strdup(value);
			return 0;
		}
	if (strcmp(name, ".kind") == 0)
		(void)sscanf(value, "%u", &l->kind);
	else if (strcmp(name, ".owner") == 0)
		(void)sscanf(value, "%u %u", &l->uid, &l->gid);
	else if (strcmp(name, ".unique") == 0)
		l->unique = strtoull(value, NULL, 10);
	else if (strcmp(name, ".result") == 0)
		l->result = atoi(value);
	else if (strcmp(name, ".gone") == 0)
		(void)sscanf(value, "%u %u", &l->gone, &l->renamed);
	return 0;
}

static int load_item(struct engine *e, struct loading *l, struct item **ret)
{
	bool whole = l->place != NULL && l->name != NULL && l->kind <= STORED_META;
	struct item *it = whole ? item_find_name(e, (enum stored)l->kind, l->place, l->name) : NULL;
	int r;

	/* one that is in its place: the removal had only begun, or the import had only just ended */
	if (it != NULL && l->gone && !l->renamed && !it->reserved)
		item_free(e, it);
	else if (it != NULL && !l->gone)
		return -EEXIST;
	r = whole ? item_new(e, (enum stored)l->kind, l->place, l->name, &it) : -EINVAL;
	if (r < 0)
		return r;
	it->reserved = l->gone == 0;
	it->gone = l->gone;
	it->renamed = l->renamed;
	it->uid = l->uid;
	it->gid = l->gid;
	it->private = TAKE_PTR(l->private);
	it->error = TAKE_PTR(l->error);
	it->trash = TAKE_PTR(l->trash);
	it->charge = TAKE_PTR(l->charge);
	it->unique = l->unique;
	it->unique_result = l->result;
	*ret = it;
	return 0;
}

static void load_record(struct engine *e, const char *file)
{
	struct loading l = {};
	autotext struct text text = {};
	struct item *it = NULL;
	size_t line;
	int r = file_read(e->store->items_fd, file, RECORD_READ_MAX, &text);

	if (r == 0)
		r = spec_parse(text_str(&text), text.len, load_line, &l, &line);
	if (r == 0)
		r = load_item(e, &l, &it);
	if (r == -EEXIST) {
		(void)unlinkat(e->store->items_fd, file, 0);
	} else if (r < 0) {
		log_error("record layers/%s in %s cannot be read: %s", file, e->conf->daemon_state_dir, strerror(-r));
	} else {
		item_set_id(e, it, (uint32_t)strtoul(file, NULL, 10));
		if (it->unique != 0 && !e->conf->fresh)
			(void)save_replay_add(e, it->unique, it->id, it->unique_result);
		if (it->kind == STORED_META && !it->gone && meta_make(e, it) < 0)
			log_warning("meta-storage %s in %s: no memory", it->name, it->place);
		if (it->gone)
			item_finish_removal(e, it);
	}
	free(l.place);
	free(l.name);
	free(l.private);
	free(l.error);
	free(l.trash);
	free(l.charge);
}

/* ---- what the last look has found: known to the next worker from its first request on ---- */

#define KNOWN "known"
#define KNOWN_MAX (64u << 20)
#define KNOWN_ADDED 1000u /* changes at least before it is written anew */

static void known_format(const struct item *it, struct text *out)
{
	text_addf(out, ".item = %d %u %u %lld %llu %llu %llu %llu %llu\n", it->kind, (unsigned)it->uid, (unsigned)it->gid,
		  (long long)it->used, (unsigned long long)it->size, (unsigned long long)it->limits.space_limit,
		  (unsigned long long)it->limits.inode_limit, (unsigned long long)it->usage.space_used,
		  (unsigned long long)it->usage.inode_used);
	spec_line_format(out, ".place", it->place);
	if (it->private != NULL && it->private[0] != '\0')
		spec_line_format(out, ".private", it->private);
}

static bool is_in_place(const struct item *it)
{
	return !it->gone && !it->unmade && (it->state == IS_READY || (it->state == IS_IMPORTING && !it->reserved));
}

void known_save(struct engine *e)
{
	autotext struct text out = {};
	struct store *s = e->store;

	cleanup_close(&s->known_fd);
	for (const struct item *it = s->items; it != NULL; it = it->next) {
		if (!is_in_place(it))
			continue;
		known_format(it, &out);
		spec_line_format(&out, ".name", it->name); /* the last of them */
	}
	if (text_ok(&out) < 0 || file_replace(s->items_fd, KNOWN, text_str(&out), out.len, 0600) < 0) {
		log_debug("the list of layers is not saved");
		return;
	}
	s->known_fd = openat(s->items_fd, KNOWN, O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
	s->known_added = 0;
}

/* In one write; when it doesn't get there whole, the file is written anew. */
static void known_add(struct engine *e, const struct item *it, const char *last)
{
	autotext struct text out = {};
	struct store *s = e->store;

	known_format(it, &out);
	spec_line_format(&out, last, it->name);
	if (s->known_fd < 0 || s->known_added >= MAX(s->item_count, KNOWN_ADDED) || text_ok(&out) < 0 ||
	    write(s->known_fd, out.p, out.len) != (ssize_t)out.len) {
		known_save(e);
		return;
	}
	s->known_added++;
}

void known_put(struct engine *e, const struct item *it)
{
	if (is_in_place(it))
		known_add(e, it, ".name");
}

void known_drop(struct engine *e, const struct item *it)
{
	known_add(e, it, ".drop");
}

struct known {
	struct engine *e;
	unsigned kind, uid, gid;
	long long used;
	unsigned long long size, limits[2], used_of[2];
	char *place, *private;
};

/* The last word about it counts. */
static void known_item(struct known *k, const char *name, bool is_there)
{
	enum stored kind = (enum stored)MIN(k->kind, (unsigned)STORED_META);
	struct item *it = k->place != NULL ? item_find_name(k->e, kind, k->place, name) : NULL;

	if (it != NULL && !is_there)
		item_free(k->e, it);
	if (k->place == NULL || !is_there || (it == NULL && item_new(k->e, kind, k->place, name, &it) < 0))
		return;
	it->state = IS_READY;
	it->uid = k->uid;
	it->gid = k->gid;
	it->used = k->used;
	it->size = k->size;
	it->limits = (struct vol_limits){ .space_limit = k->limits[0], .inode_limit = k->limits[1] };
	it->usage = (struct vol_usage){ .space_used = k->used_of[0], .inode_used = k->used_of[1] };
	free(it->private);
	it->private = TAKE_PTR(k->private);
}

static int known_line(void *arg, const char *name, const char *value, size_t line)
{
	struct known *k = arg;
	char **at = strcmp(name, ".place") == 0 ? &k->place : strcmp(name, ".private") == 0 ? &k->private : NULL;

	(void)line;
	if (at != NULL) {
		free(*at);
		*at = strdup(value);
	} else if (strcmp(name, ".item") == 0) {
		(void)sscanf(value, "%u %u %u %lld %llu %llu %llu %llu %llu", &k->kind, &k->uid, &k->gid, &k->used, &k->size, &k->limits[0],
			     &k->limits[1], &k->used_of[0], &k->used_of[1]);
		free(k->private);
		k->private = NULL;
	} else if (strcmp(name, ".name") == 0) {
		known_item(k, value, true);
	} else if (strcmp(name, ".drop") == 0) {
		known_item(k, value, false);
	}
	return 0;
}

static void known_load(struct engine *e)
{
	struct known k = { .e = e };
	autotext struct text text = {};
	size_t line;

	if (file_read(e->store->items_fd, KNOWN, KNOWN_MAX, &text) == 0)
		(void)spec_parse(text_str(&text), text.len, known_line, &k, &line);
	free(k.place);
	free(k.private);
}

int items_restore(struct engine *e, struct err *err)
{
	autostrv struct strv names = {};
	int r = dir_names(e->store->items_fd, &names);

	if (r < 0)
		return err_sys(err, -r, "%s/layers", e->conf->daemon_state_dir);
	known_load(e);
	for (size_t i = 0; i < names.n; i++)
		if (names.p[i][0] >= '0' && names.p[i][0] <= '9')
			load_record(e, names.p[i]);
		else if (strcmp(names.p[i], KNOWN) != 0)
			(void)unlinkat(e->store->items_fd, names.p[i], 0); /* of a save that was cut short */
	return 0;
}
