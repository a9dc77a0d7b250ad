/*
 * The directories `.layers` and `.storages`. In them stand those of the places that the container whose directory it is may use:
 * by their names those of its default place; of another one `%ssd%%NAME` is NAME in /ssd. A slash in a name is written %, and a
 * meta-storage has one at its end: META%, with META%PART in it.
 */
#include <stdio.h>
#include <sys/stat.h>

#include "base/proc.h"
#include "engine/cred.h"
#include "engine/layer.h"

static enum stored kind_of(const struct engine_node *n)
{
	return n->dir == DIR_LAYERS ? STORED_LAYER : STORED_STORAGE;
}

static enum engine_dir dir_of(const struct item *it)
{
	static const enum engine_dir dirs[] = { [STORED_LAYER] = DIR_LAYER, [STORED_STORAGE] = DIR_STORAGE, [STORED_META] = DIR_META };

	return dirs[it->kind];
}

/* ---- names ---- */

static void add_swapped(struct text *out, const char *s, size_t len, char from, char to)
{
	for (size_t i = 0; i < len; i++)
		text_addc(out, s[i] == from ? to : s[i]);
}

/* Place and name behind a directory's name; *kind may turn out to be a meta-storage. */
static int parse_name(const struct ct *view, const char *text, enum stored *kind, char **place, char **name, struct err *err)
{
	const char *end = text[0] == '%' ? strstr(text, "%%") : NULL;
	autotext struct text p = {}, n = {};

	*place = *name = NULL;
	if (text[0] == '%' && end == NULL)
		return err_set(err, ERR_InvalidValue, "'%.150s': of another place it is %%PLACE%%%%NAME, slashes written %%", text);
	if (end != NULL) {
		add_swapped(&p, text, (size_t)(end - text), '%', '/');
		text = end + 2;
		*place = text_take(&p);
	} else {
		*place = place_default(view);
		if (*place == NULL)
			return err_set(err, ERR_Permission, "container %s may use no place", view->name);
	}
	add_swapped(&n, text, strlen(text), '%', '/');
	if (*kind == STORED_STORAGE && n.len > 1 && n.p[n.len - 1] == '/') {
		*kind = STORED_META;
		n.p[n.len - 1] = '\0';
	}
	*name = text_take(&n);
	return *place == NULL || *name == NULL ? err_sys(err, ENOMEM, "name") : 0;
}

static void format_name(const struct item *it, const char *own_place, struct text *out)
{
	if (own_place == NULL || strcmp(it->place, own_place) != 0) {
		add_swapped(out, it->place, strlen(it->place), '/', '%');
		text_add(out, "%%");
	}
	add_swapped(out, it->name, strlen(it->name), '/', '%');
	if (it->kind == STORED_META)
		text_addc(out, '%');
}

/* ---- looking ---- */

static bool is_shown(const struct item *it, enum stored kind, const struct ct *view)
{
	return !it->gone && (it->kind == kind || (it->kind == STORED_META && kind == STORED_STORAGE)) && place_may_use(view, it->place);
}

static int lookup(struct engine *e, const struct engine_node *n, const char *text, enum engine_dir *dir, uint32_t *id)
{
	const struct ct *view = dir_view(e, n);
	autofree char *place = NULL, *name = NULL;
	enum stored kind = kind_of(n);
	const struct item *it;
	int r = parse_name(view, text, &kind, &place, &name, NULL);

	it = r == 0 ? item_find_name(e, kind, place, name) : NULL;
	if (it == NULL || !is_shown(it, kind_of(n), view))
		return -ENOENT;
	*dir = dir_of(it);
	*id = it->id;
	return 0;
}

static bool next_child(struct engine *e, const struct engine_node *n, struct engine_child *child)
{
	static struct text name;
	const struct ct *view = dir_view(e, n);
	autofree char *own = place_default(view);
	const struct item *it = item_above(e, child->number);

	while (it != NULL && !is_shown(it, kind_of(n), view))
		it = item_above(e, it->id);
	if (it == NULL)
		return false;
	text_clear(&name);
	format_name(it, own, &name);
	*child = (struct engine_child){ .number = it->id, .name = text_str(&name), .dir = dir_of(it), .id = it->id };
	return true;
}

static int read_list(const struct file_call *c, struct text *out)
{
	const struct ct *view = dir_view(c->e, c->node);
	autofree char *own = place_default(view);
	int64_t now = (int64_t)(clock_wall() / 1000000000u);

	for (const struct item *it = item_above(c->e, 0); it != NULL; it = item_above(c->e, it->id)) {
		if (!is_shown(it, kind_of(c->node), view))
			continue;
		format_name(it, own, out);
		text_addf(out, "\t%s\t%s\t", it->place, item_state_names[it->state]);
		cred_user_name(it->uid, out);
		text_addc(out, '\t');
		cred_group_name(it->gid, out);
		text_addf(out, "\t%lld\t%llu\t", (long long)(it->used != 0 ? MAX(now - it->used, 0) : 0), (unsigned long long)it->size);
		for (const char *p = it->private; p != NULL && *p != '\0'; p++)
			text_addc(out, *p == '\t' || *p == '\n' ? ' ' : *p);
		if (it->kind == STORED_META)
			text_addf(out, "\t%llu\t%llu\t%llu\t%llu", (unsigned long long)it->limits.space_limit,
				  (unsigned long long)it->usage.space_used, (unsigned long long)it->limits.inode_limit,
				  (unsigned long long)it->usage.inode_used);
		text_addc(out, '\n');
	}
	return text_ok(out);
}

void items_leaving(struct engine *e, const struct ct *view, struct text *out)
{
	autofree char *own = place_default(view);

	for (const struct item *it = e->store->items; it != NULL; it = it->next) {
		if (!it->gone || it->renamed)
			continue;
		text_add(out, it->kind == STORED_LAYER ? ".layers/" : ".storages/");
		format_name(it, own, out);
		text_addc(out, '\n');
	}
}

static const struct file_row list_rows[] = {
	{ .name = "list", .flags = FILE_READ | FILE_LISTED | FILE_LARGE, .read = read_list,
	  .help = "a line each, tabs between: name, place, state, owner's user and group, seconds since its last use, bytes, private text; of meta-storages also limit and use of space and of inodes" },
};

/* ---- making and removing ---- */

/* A part is made by whoever owns the meta-storage it is in. */
static int check_meta(const struct dir_call *c, const char *place, const char *name)
{
	const char *slash = strchr(name, '/');
	autofree char *meta = slash != NULL ? strndup(name, (size_t)(slash - name)) : NULL;
	const struct item *it = meta != NULL ? item_find_name(c->e, STORED_META, place, meta) : NULL;

	if (slash == NULL)
		return 0;
	if (it == NULL)
		return err_set(c->err, ERR_VolumeNotFound, "%s: there is no such meta-storage", meta != NULL ? meta : name);
	return item_check_owner(it, c->as, c->err);
}

static int make(const struct dir_call *c, struct engine_child *made)
{
	const struct ct *view = dir_view(c->e, c->node);
	enum stored kind = kind_of(c->node);
	autofree char *place = NULL, *name = NULL, *resolved = NULL;
	struct item *it;
	int r = parse_name(view, c->name, &kind, &place, &name, c->err);

	if (r == 0 && kind == STORED_META && strchr(name, '/') != NULL)
		r = err_set(c->err, ERR_InvalidValue, "'%.150s': meta-storages are not in one another", name);
	if (r == 0)
		r = stored_check(name, c->err);
	if (r == 0)
		r = place_resolve(c->home, place, &resolved, c->err);
	if (r == 0)
		r = place_check_user(c->home, c->as->uid, resolved, c->err);
	if (r == 0)
		r = check_meta(c, resolved, name);
	if (r < 0)
		return r;
	if (item_find_name(c->e, kind, resolved, name) != NULL)
		return err_set(c->err, kind == STORED_LAYER ? ERR_LayerAlreadyExists : ERR_VolumeAlreadyExists, "%s is there already", name);
	r = item_new(c->e, kind, resolved, name, &it);
	if (r < 0)
		return err_sys(c->err, -r, "%s", name);
	it->reserved = true;
	it->uid = c->as->uid;
	it->gid = c->as->gid;
	r = item_save(c->e, it, c->cookie, 0, c->err);
	if (r == 0 && kind == STORED_META && meta_make(c->e, it) < 0)
		r = err_sys(c->err, ENOMEM, "%s", name);
	if (r < 0) {
		item_forget(c->e, it);
		item_free(c->e, it);
		return r;
	}
	if (store_add_place(c->e, resolved) == 1)
		store_look(c->e);
	made->dir = dir_of(it);
	made->id = it->id;
	return 0;
}

static int remove_item(const struct dir_call *c)
{
	enum engine_dir dir;
	struct item *it;
	uint32_t id;
	int r;

	if (lookup(c->e, c->node, c->name, &dir, &id) < 0)
		return err_set(c->err, kind_of(c->node) == STORED_LAYER ? ERR_LayerNotFound : ERR_VolumeNotFound, "%.150s: not here", c->name);
	it = item_find(c->e, id);
	r = stored_is_weak(it->name) ? 0 : item_check_owner(it, c->as, c->err);
	return r < 0 ? r : item_remove(c->e, it, c->cookie, c->err);
}

#define ITEMS_DIR \
	{ .rows = list_rows, .count = ARRAY_LEN(list_rows), .lookup = lookup, .next_child = next_child, .make = make, .remove = remove_item, \
	  .attr = dir_list_attr }

const struct dir_ops layers_dir = ITEMS_DIR;
const struct dir_ops storages_dir = ITEMS_DIR;
