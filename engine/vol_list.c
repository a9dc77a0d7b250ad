/* The directories `.volumes` and `links`: what is in them, making and removing it there. */
#include <stdio.h>
#include <sys/stat.h>

#include "base/path.h"
#include "base/proc.h"
#include "base/units.h"
#include "engine/access.h"
#include "engine/cred.h"
#include "engine/layer.h"
#include "engine/save.h"

#define IDS_AHEAD 10000u /* so far may a number run ahead of the next one */

enum list_file {
#define VLFILE(name, ...) LIST_##name,
#include "engine/vollist.def"
#undef VLFILE
	LIST_FILES
};

/* ---- making ---- */

/* Is it seen through the `.volumes` of another container than one's own or one above? */
static bool is_others_view(const struct ct *home, const struct ct *view)
{
	while (home != NULL && home != view)
		home = home->parent;
	return home == NULL;
}

static int make_volume(struct engine *e, uint32_t id, const struct engine_cred *as, struct ct *home, struct vol **ret, struct err *err)
{
	uint64_t most = e->conf->volumes_max_total + (as->uid == 0 ? 100 : 0); /* spec 3 */

	if (e->vol_count >= most)
		return err_set(err, ERR_ResourceNotAvailable, "there are %zu volumes, the most that volumes.max_total allows", e->vol_count);
	if (vol_new(e, id, ret) < 0)
		return err_sys(err, ENOMEM, "volume");
	(*ret)->owner_uid = (*ret)->user_uid = as->uid;
	(*ret)->owner_gid = (*ret)->user_gid = as->gid;
	(*ret)->owner_ct = home->id;
	(*ret)->creation_wall = (*ret)->change_wall = (int64_t)(clock_wall() / 1000000000u);
	return 0;
}

/* What is made in the view of another container is that one's: it owns it, and unless said otherwise is what it is linked to. */
static int make_in_view(struct engine *e, uint32_t id, const struct engine_cred *as, struct ct *home, struct ct *view, struct vol **ret,
			struct err *err)
{
	bool is_others = is_others_view(home, view);
	int r = is_others ? cred_check_owner(view, as, err) : 0;

	if (r == 0)
		r = make_volume(e, id, as, home, ret, err);
	if (r < 0 || !is_others)
		return r;
	(*ret)->owner_ct = view->id;
	r = vol_load(*ret, VOL_containers, view->name, err);
	if (r < 0)
		vol_free(*ret);
	return r;
}

/* One that nothing was done with yet. */
static void forget(struct vol *v)
{
	vol_save_forget(v);
	vol_free(v);
}

static int make(const struct dir_call *c, struct engine_child *made)
{
	uint32_t next = vol_next_id(c->e);
	struct vol *v;
	uint64_t id;
	int r;

	if (unit_uint_parse(c->name, &id) < 0 || id < next || id > next + IDS_AHEAD || c->name[0] == '0')
		return err_set(c->err, ERR_InvalidValue, "volumes have numbers, each used once: the next is %u", (unsigned)next);
	r = make_in_view(c->e, (uint32_t)id, c->as, c->home, dir_view(c->e, c->node), &v, c->err);
	if (r < 0)
		return r;
	/* the record first: the request may come again */
	r = vol_save(v, c->cookie, 0, c->err);
	if (r == 0)
		r = vol_take_id(c->e, v->id, c->err);
	if (r < 0) {
		forget(v);
		return r;
	}
	made->dir = DIR_VOLUME;
	made->id = v->id;
	return 0;
}

static struct vol *find_by_handle(struct engine *e, uint64_t handle)
{
	for (struct vol *v = e->last_vol; v != NULL; v = v->prev)
		if (v->handle == handle && handle != 0)
			return v;
	return NULL;
}

/* What is written, in however many pieces, is kept in a volume that is not built yet. */
static int write_create(const struct file_call *c, const char *text)
{
	struct vol *v = find_by_handle(c->e, c->node->handle);
	struct engine_cred as;
	struct ct *home;
	int r;

	if (v != NULL && (v->state != VS_INITIAL || v->ops != NULL))
		return err_set(c->err, ERR_InvalidState, "create: this descriptor has made volume %u already", (unsigned)v->id);
	if (v == NULL) {
		cred_effective(c->e, c->who, &as, &home);
		r = make_in_view(c->e, vol_next_id(c->e), &as, home, dir_view(c->e, c->node), &v, c->err);
		if (r == 0 && (r = vol_take_id(c->e, v->id, c->err)) < 0)
			vol_free(v);
		if (r < 0)
			return r;
		v->made_here = true;
		v->handle = c->node->handle;
	}
	v->handle_bytes = c->value->len;
	r = vol_write_lines(c, v, text, strlen(text));
	if (r < 0)
		forget(v); /* so that a read does not build half of what was meant */
	return r;
}

static void create_taken_back(struct engine *e, uint64_t cookie, const struct engine_node *n, uint64_t extends, int result)
{
	struct vol *v = find_by_handle(e, n->handle);

	(void)cookie;
	(void)result;
	if (v != NULL && v->state == VS_INITIAL && v->ops == NULL && v->unique == extends)
		forget(v);
}

static int answer_create(const struct file_call *c, const struct vol *v, struct text *out)
{
	autotext struct text path = {};

	if (!vol_path_seen(v, cred_caller(c->e, c->who), &path))
		text_addc(&path, '-');
	text_addf(out, "%u %s\n", (unsigned)v->id, text_str(&path));
	return text_ok(out);
}

/* The first read builds it; the answer to that comes when it is ready. */
static int read_create(const struct file_call *c, struct text *out)
{
	struct vol *v = find_by_handle(c->e, c->node->handle);
	struct vop *op;
	uint32_t id;
	int r;

	if (vop_join(c->e, c->cookie, true)) /* begun by the last worker */
		return ENGINE_PENDING;
	if (v == NULL && save_replayed(c->e, c->cookie, &id, &r) && r < 0)
		return err_sys(c->err, -r, "create");
	if (v == NULL)
		return err_set_no(c->err, ERR_InvalidValue, ENODATA, "create: nothing was written to this descriptor that could be made");
	if (v->state == VS_READY || v->state == VS_TUNING)
		return answer_create(c, v, out);
	if (v->state != VS_INITIAL || v->ops != NULL)
		return err_set(c->err, ERR_VolumeNotReady, "volume %u is %s", (unsigned)v->id, vol_state_names[v->state]);
	op = vop_new(v, VOP_BUILD, c->who, c->cookie);
	if (op == NULL)
		return err_sys(c->err, ENOMEM, "create");
	op->tells_path = true;
	return vop_begin(v, op, c->err);
}

static int create_base(struct engine *e, const struct engine_node *n, uint64_t *base)
{
	const struct vol *v = find_by_handle(e, n->handle);

	*base = v != NULL ? v->handle_bytes : 0;
	return 0;
}

/* Written, but never read: nobody wanted it. */
static void create_closed(struct engine *e, uint64_t cookie, const struct engine_node *n)
{
	struct vol *v = find_by_handle(e, n->handle);

	(void)cookie;
	if (v == NULL)
		return;
	if (v->state != VS_INITIAL || v->ops != NULL) {
		v->handle = 0; /* saved with the next change; no other descriptor has its number */
		return;
	}
	forget(v);
}

/* What nobody owns in a place, of volumes, layers and storages. */
static int write_cleanup(const struct file_call *c, const char *text)
{
	autofree char *place = NULL;
	struct engine_cred as;
	struct ct *home;
	int r;

	cred_effective(c->e, c->who, &as, &home);
	r = place_resolve(home, text, &place, c->err);
	if (r == 0)
		r = place_check_user(home, as.uid, place, c->err);
	if (r == 0)
		r = store_add_place(c->e, place);
	if (r >= 0)
		r = store_clean_up(c->e, place, c->who, c->cookie);
	return r == -ENOMEM ? err_sys(c->err, ENOMEM, "cleanup") : r;
}

/* ---- looking ---- */

static int read_next(const struct file_call *c, struct text *out)
{
	text_addf(out, "%u\n", (unsigned)vol_next_id(c->e));
	return 0;
}

static int read_properties(const struct file_call *c, struct text *out)
{
	(void)c;
	vol_properties_format(out);
	return text_ok(out);
}

static int read_find(const struct file_call *c, struct text *out)
{
	autofree char *path = c->key != NULL ? strdup(c->key) : NULL;
	const struct vol *v;

	if (path == NULL)
		return err_set(c->err, ERR_InvalidValue, "find: expected find[PATH], slashes written %%");
	for (char *p = path; *p != '\0'; p++)
		if (*p == '%')
			*p = '/';
	v = vol_find_path(c->e, cred_caller(c->e, c->who), path);
	if (v == NULL || v->gone || !access_shows_vol(c->e, c->who, v))
		return err_set(c->err, ERR_VolumeNotFound, "no volume at %.200s", path);
	text_addf(out, "%u\n", (unsigned)v->id);
	return text_ok(out);
}

static void add_cell(struct text *out, const char *s)
{
	for (; s != NULL && *s != '\0'; s++)
		text_addc(out, *s == '\t' || *s == '\n' ? '?' : *s);
	text_addc(out, '\t');
}

static void list_one(struct vol *v, const struct engine_cred *who, const struct ct *home, struct text *out)
{
	const struct vol_usage *u = vol_usage_seen(v);
	autotext struct text path = {};
	const char *separator = "";

	if (!vol_path_seen(v, home, &path))
		return;
	add_cell(out, text_str(&path));
	text_addf(out, "%u\t", (unsigned)v->id);
	add_cell(out, v->made.backend);
	add_cell(out, v->val[VOL_storage].s);
	add_cell(out, v->val[VOL_image].s);
	text_addf(out, "%llu\t%llu\t%llu\t%llu\t%llu\t%llu\t", (unsigned long long)v->val[VOL_space_limit].u,
		  (unsigned long long)u->space_used, (unsigned long long)u->space_available,
		  (unsigned long long)v->val[VOL_inode_limit].u, (unsigned long long)u->inode_used,
		  (unsigned long long)u->inode_available);
	for (const struct vlink *l = v->links; l != NULL; l = l->next) {
		const struct ct *ct = ct_find(v->e, l->ct);

		if (ct == NULL || !access_shows(v->e, who, ct))
			continue;
		text_add(out, separator);
		separator = ";";
		vlink_format(v, l, out);
	}
	text_addc(out, '\n');
}

static int read_list(const struct file_call *c, struct text *out)
{
	const struct ct *home = cred_caller(c->e, c->who), *view = dir_view(c->e, c->node);

	for (struct vol *v = c->e->vols; v != NULL; v = v->next)
		if (!v->gone && v->state != VS_INITIAL && vol_is_visible(v, view) && access_shows_vol(c->e, c->who, v))
			list_one(v, c->who, home, out);
	return text_ok(out);
}

static int lookup(struct engine *e, const struct engine_node *n, const char *name, enum engine_dir *dir, uint32_t *id)
{
	const struct vol *v;
	uint64_t number;

	if (name[0] < '1' || name[0] > '9' || unit_uint_parse(name, &number) < 0 || number > UINT32_MAX)
		return -ENOENT;
	v = vol_find(e, (uint32_t)number);
	if (v == NULL || v->gone || !vol_is_visible(v, dir_view(e, n)))
		return -ENOENT;
	*dir = DIR_VOLUME;
	*id = v->id;
	return 0;
}

static bool next_child(struct engine *e, const struct engine_node *n, struct engine_child *child)
{
	static char name[24];
	struct vol *v = child->number != 0 ? vol_find(e, (uint32_t)child->number) : NULL;

	if (v != NULL)
		v = v->next;
	else
		for (v = e->vols; v != NULL && v->id <= child->number;)
			v = v->next;
	while (v != NULL && (v->gone || !vol_is_visible(v, dir_view(e, n))))
		v = v->next;
	if (v == NULL)
		return false;
	snprintf(name, sizeof(name), "%u", (unsigned)v->id);
	*child = (struct engine_child){ .number = v->id, .name = name, .dir = DIR_VOLUME, .id = v->id };
	return true;
}

/* ---- removing ---- */

static int remove_volume(const struct dir_call *c)
{
	enum engine_dir dir;
	struct vol *v;
	uint32_t id;
	int r;

	if (lookup(c->e, c->node, c->name, &dir, &id) < 0)
		return err_set(c->err, ERR_VolumeNotFound, "no volume %.50s", c->name);
	v = vol_find(c->e, id);
	r = vol_check_owner(v, c->as, c->err);
	if (r == 0)
		r = vol_save_gone(v, c->cookie, c->err);
	if (r == 0)
		vol_begin_destroy(v, c->who, 0, "rmdir");
	return r;
}

/* ---- `.volumes` ---- */

static const struct file_row list_rows[LIST_FILES] = {
#define VLFILE(id, ...) FILE_ROW(LIST_, id, __VA_ARGS__)
#include "engine/vollist.def"
#undef VLFILE
};

static int check_creator(const struct dir_call *c)
{
	return cred_check_access(c->e, c->who, c->err);
}

const struct dir_ops volumes_dir = {
	.rows = list_rows,
	.count = LIST_FILES,
	.attr = dir_list_attr,
	.check_writer = check_creator,
	.lookup = lookup,
	.next_child = next_child,
	.make = make,
	.remove = remove_volume,
	.stream_base = create_base,
	.closed = create_closed,
	.take_back = create_taken_back,
	.cancel = store_cancel,
};

/* ---- `links` ---- */

/* A link's file has the name of its container, slashes written %, "/" as %; if there are several their number behind it. */
static void link_name(const struct vol *v, const struct vlink *l, struct text *out)
{
	const struct ct *ct = ct_find(v->e, l->ct);
	unsigned n = 0;

	for (const char *p = ct != NULL ? ct->name : "?"; *p != '\0'; p++)
		text_addc(out, *p == '/' ? '%' : *p);
	for (const struct vlink *k = v->links; k != NULL && k != l; k = k->next)
		n += k->ct == l->ct;
	if (n > 0)
		text_addf(out, "+%u", n);
}

static struct vlink *find_link(struct vol *v, const char *name)
{
	for (struct vlink *l = v->links; l != NULL; l = l->next) {
		autotext struct text have = {};

		link_name(v, l, &have);
		if (strcmp(text_str(&have), name) == 0)
			return l;
	}
	return NULL;
}

bool vol_shows_link(struct engine *e, const struct engine_cred *who, const struct vol *v, const char *name)
{
	const struct vlink *l = find_link((struct vol *)v, name);
	const struct ct *ct = l != NULL ? ct_find(e, l->ct) : NULL;

	return l == NULL || ct == NULL || access_shows(e, who, ct);
}

static int read_link(const struct file_call *c, struct text *out)
{
	const struct vlink *l = find_link(vol_find(c->e, c->node->ct), c->node->key);

	if (l == NULL)
		return err_set(c->err, ERR_VolumeNotLinked, "no such link");
	text_addf(out, "%s%s%s\n", l->target != NULL ? l->target : "", l->read_only ? " ro" : "", l->required ? " !" : "");
	return text_ok(out);
}

/* `TARGET [ro] [!]` into links/NAME. */
static int write_link(const struct file_call *c, const char *text)
{
	struct vol *v = vol_find(c->e, c->node->ct);
	struct vop *op = vop_new(v, VOP_LINK, c->who, c->cookie);
	autotext struct text whole = {};
	int r;

	if (op == NULL)
		return err_sys(c->err, ENOMEM, "link");
	for (const char *p = c->node->key; *p != '\0'; p++)
		text_addc(&whole, *p == '%' ? '/' : *p);
	text_addf(&whole, " %s", text);
	r = vlink_parse(c->e, cred_caller(c->e, c->who), text_str(&whole), op, c->err);
	if (r < 0) {
		vop_free(op);
		return r;
	}
	return vop_begin(v, op, c->err);
}

static const struct file_row link_rows[] = {
	{ .name = "/", .flags = FILE_READ | FILE_WRITE | FILE_ACTION, .read = read_link, .write = write_link },
};

static int link_find_name(const char *name, int *file, size_t *key)
{
	if (name[0] == '.')
		return -ENOENT;
	*file = 0;
	*key = 0;
	return 0;
}

static bool links_exist(struct engine *e, const struct engine_node *n)
{
	return volume_dir.exists(e, n);
}

static int link_attr(struct engine *e, const struct engine_node *n, struct engine_attr *ret)
{
	struct vol *v = vol_find(e, n->ct);

	if (n->file >= 0 && find_link(v, n->key) == NULL)
		return -ENOENT;
	return volume_dir.attr(e, n, ret);
}

static bool next_link(struct engine *e, const struct engine_node *n, struct engine_child *child)
{
	static struct text name;
	const struct vol *v = vol_find(e, n->ct);
	const struct vlink *l = v->links;
	uint64_t i = 0;

	for (; l != NULL && i < child->number; i++)
		l = l->next;
	if (l == NULL)
		return false;
	text_clear(&name);
	link_name(v, l, &name);
	*child = (struct engine_child){ .number = i + 1, .name = text_str(&name), .is_file = true };
	return true;
}

static int remove_link(const struct dir_call *c)
{
	struct vol *v = vol_find(c->e, c->node->ct);
	struct vlink *l = find_link(v, c->name);
	struct vop *op;
	int r = vol_check_owner(v, c->as, c->err);

	if (r < 0)
		return r;
	if (l == NULL)
		return err_set(c->err, ERR_VolumeNotLinked, "no such link");
	if (v->state != VS_READY && v->state != VS_TUNING)
		return err_set(c->err, ERR_VolumeNotReady, "volume %u is %s", (unsigned)v->id, vol_state_names[v->state]);
	op = vop_new(v, VOP_UNLINK, c->who, 0);
	if (op == NULL)
		return err_sys(c->err, ENOMEM, "unlink");
	op->ct = l->ct;
	op->target = strdup(l->target != NULL ? l->target : "");
	l->going = true;
	r = op->target == NULL ? err_sys(c->err, ENOMEM, "unlink") : vol_save(v, c->cookie, 0, c->err);
	if (r < 0) {
		l->going = false;
		vop_free(op);
		return r;
	}
	r = vop_begin(v, op, c->err);
	return r < 0 ? r : 0;
}

static int check_linker(const struct dir_call *c)
{
	return volume_dir.check_writer(c);
}

const struct dir_ops links_dir = {
	.rows = link_rows,
	.count = ARRAY_LEN(link_rows),
	.find_name = link_find_name,
	.exists = links_exist,
	.attr = link_attr,
	.check_writer = check_linker,
	.check_owner = vol_check_writes,
	.next_child = next_link,
	.unlink = remove_link,
};
