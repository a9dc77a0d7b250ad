/* Meta-storages: a directory of a place with layers and storages in it, under one project quota. */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/proc.h"
#include "engine/layer.h"

#define M_READ (FILE_READ | FILE_LISTED)
#define M_TUNE (FILE_READ | FILE_LISTED | FILE_WRITE | FILE_ACTION)

enum meta_file {
#define MFILE(name, ...) META_##name,
#include "engine/metas.def"
#undef MFILE
	META_FILES
};

static struct item *item_of(const struct file_call *c)
{
	return item_find(c->e, c->node->ct);
}

/* ---- making ---- */

static int make_dir(const struct engine *e, const struct item *it, const char *base, struct err *err)
{
	autoclose int dir = place_open(it->place, PLACE_STORAGES, e->porto_gid, err);
	autofree char *private = NULL;
	const char *text = it->private != NULL ? it->private : "";
	int r;

	if (dir < 0)
		return dir;
	if (asprintf(&private, "_private_%s", base) < 0) {
		private = NULL;
		return err_sys(err, ENOMEM, "meta-storage");
	}
	r = file_replace(dir, private, text, strlen(text), 0600);
	if (r < 0 || fchownat(dir, private, it->uid, it->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, r < 0 ? -r : errno, "meta-storage %s", it->name);
	if (mkdirat(dir, base, 0700) < 0 && errno != EEXIST)
		return err_sys(err, errno, "meta-storage %s", it->name);
	return 0;
}

int meta_make(struct engine *e, struct item *it, struct err *err)
{
	autotext struct text dir = {}, base = {};
	int r = stored_split(it->kind, it->name, &dir, &base, err);

	if (r == 0)
		r = make_dir(e, it, text_str(&base), err);
	if (r < 0)
		return r;
	it->state = IS_READY;
	it->used = (int64_t)(clock_wall() / 1000000000u);
	e->store->changes++;
	known_save(e); /* its record stays until it is seen there: it remembers the request */
	return 0;
}

int meta_check_empty(const struct item *it, struct err *err)
{
	autotext struct text dir = {}, base = {};
	autofree char *path = NULL;
	autostrv struct strv names = {};
	autoclose int fd = -1;
	bool empty = true;
	int r = stored_split(it->kind, it->name, &dir, &base, err);

	if (r == 0 && asprintf(&path, "%s/%s", text_str(&dir), text_str(&base)) < 0)
		path = NULL;
	fd = path != NULL ? place_dir(it->place, path) : -ENOMEM;
	if (fd == -ENOENT)
		return 0;
	r = fd < 0 ? fd : dir_names(fd, &names);
	if (r < 0)
		return err_sys(err, -r, "meta-storage %s", it->name);
	for (size_t i = 0; i < names.n; i++)
		empty &= names.p[i][0] == '.' || strncmp(names.p[i], "_private_", 9) == 0 || strncmp(names.p[i], "_remove_", 8) == 0;
	if (empty)
		dir_end_limits(fd);
	return empty ? 0 : err_set(err, ERR_Busy, "meta-storage %s: there is something in it", it->name);
}

/* ---- limits ---- */

struct limiting {
	struct engine *e;
	struct engine_cred who;
	uint32_t item;
	uint64_t cookie;
	char *place, *dir;
	struct vol_limits limits;
	struct vol_usage usage;
	int result;
	struct err err;
};

static void limiting_free(struct limiting *l)
{
	free(l->place);
	free(l->dir);
	free(l);
}

static void limit(void *arg)
{
	struct limiting *l = arg;
	autoclose int fd = place_dir(l->place, l->dir);

	l->result = fd < 0 ? err_sys(&l->err, -fd, "%s/%s", l->place, l->dir) :
			     dir_set_limits(fd, l->limits.space_limit, l->limits.inode_limit, &l->err);
	if (l->result == 0)
		dir_get_limits(fd, &l->limits, &l->usage);
}

static void limited(void *arg)
{
	struct limiting *l = arg;
	struct engine *e = l->e;
	struct engine_node n = { .dir = DIR_META, .ct = l->item, .view = ENGINE_ROOT };
	struct item *it = item_find(e, l->item);

	if (l->result < 0)
		engine_note_error(e, &l->who, &n, &l->err);
	if (l->result == 0 && it != NULL) {
		it->limits = l->limits;
		it->usage = l->usage;
		e->store->changes++;
		known_save(e);
	}
	if (l->cookie != 0)
		e->events->done(e->events_arg, l->cookie, l->result, NULL, 0);
	limiting_free(l);
}

static int mwrite_limit(const struct file_call *c, const char *text)
{
	struct limiting *l = calloc(1, sizeof(*l));
	autotext struct text dir = {}, base = {};
	struct item *it = item_of(c);
	union value v = {};
	int r = type_bytes.parse(text, &v);

	if (l == NULL)
		return err_sys(c->err, ENOMEM, "%s", c->row->name);
	*l = (struct limiting){ .e = c->e, .who = *c->who, .item = it->id, .cookie = c->cookie, .limits = it->limits };
	if (r < 0) {
		limiting_free(l);
		return err_set(c->err, ERR_InvalidValue, "%s: '%.100s': expected %s", c->row->name, text, type_bytes.expected);
	}
	*(c->node->file == META_space_limit ? &l->limits.space_limit : &l->limits.inode_limit) = v.u;
	r = stored_split(it->kind, it->name, &dir, &base, c->err);
	l->place = strdup(it->place);
	if (r == 0 && asprintf(&l->dir, "%s/%s", text_str(&dir), text_str(&base)) < 0)
		l->dir = NULL;
	if (r == 0)
		r = l->place == NULL || l->dir == NULL ? -ENOMEM : loop_work(c->e->loop, limit, limited, l);
	if (r == 0)
		return ENGINE_PENDING;
	limiting_free(l);
	return err_sys(c->err, -r, "%s", c->row->name);
}

static int mread_number(const struct file_call *c, struct text *out)
{
	const struct item *it = item_of(c);
	const uint64_t numbers[META_FILES] = {
		[META_space_limit] = it->limits.space_limit, [META_space_used] = it->usage.space_used,
		[META_inode_limit] = it->limits.inode_limit, [META_inode_used] = it->usage.inode_used,
	};

	text_addf(out, "%llu\n", (unsigned long long)numbers[c->node->file]);
	return text_ok(out);
}

/* ---- the directory ---- */

static const struct file_row meta_rows[META_FILES] = {
#define MFILE(id, ...) FILE_ROW(META_, id, __VA_ARGS__)
#include "engine/metas.def"
#undef MFILE
};

const struct dir_ops meta_dir = {
	.rows = meta_rows, .count = META_FILES, .exists = item_exists, .attr = item_attr, .check_writer = item_check_writer, .chown = item_chown,
};
