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

static void make_dir(struct place_op *op)
{
	autoclose int dir = place_open(op->place, PLACE_STORAGES, op->e->porto_gid, &op->err);
	autofree char *private = NULL;
	int r;

	if (dir < 0) {
		op->result = dir;
		return;
	}
	if (asprintf(&private, "_private_%s", op->base) < 0) {
		private = NULL;
		op->result = err_sys(&op->err, ENOMEM, "meta-storage");
		return;
	}
	r = file_replace(dir, private, op->text, strlen(op->text), 0600);
	if (r == 0 && fchownat(dir, private, op->uid, op->gid, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	if (r == 0 && mkdirat(dir, op->base, 0700) < 0 && errno != EEXIST)
		r = -errno;
	op->result = r < 0 ? err_sys(&op->err, -r, "meta-storage %s", op->base) : 0;
}

static void made(struct place_op *op)
{
	struct item *it = op->it;

	if (it == NULL || it->gone)
		return;
	if (op->result == 0) {
		it->unmade = false;
		known_put(op->e, it); /* its record stays until it is seen there: it remembers the request */
		return;
	}
	it->state = IS_EMPTY;
	item_note_error(op->e, it, &op->err);
	engine_note_error(op->e, &op->who, NULL, &op->err);
}

int meta_make(struct engine *e, struct item *it)
{
	struct place_op *op = place_op_new(e, it, make_dir, made);

	if (op == NULL || (op->text = strdup(it->private != NULL ? it->private : "")) == NULL) {
		if (op != NULL)
			place_op_free(op);
		return -ENOMEM;
	}
	op->uid = op->who.uid = it->uid;
	op->gid = op->who.gid = it->gid;
	it->state = IS_READY;
	it->unmade = true;
	it->used = (int64_t)(clock_wall() / 1000000000u);
	e->store->changes++;
	place_op_begin(op);
	return 0;
}

int meta_check_empty(const char *place, const char *dir, const char *base, struct err *err)
{
	autofree char *path = NULL;
	autostrv struct strv names = {};
	autoclose int fd = -1;
	bool empty = true;
	int r;

	if (asprintf(&path, "%s/%s", dir, base) < 0)
		path = NULL;
	fd = path != NULL ? place_dir(place, path) : -ENOMEM;
	if (fd == -ENOENT)
		return 0;
	r = fd < 0 ? fd : dir_names(fd, &names);
	if (r < 0)
		return err_sys(err, -r, "meta-storage %s", base);
	for (size_t i = 0; i < names.n; i++)
		empty &= names.p[i][0] == '.' || strncmp(names.p[i], "_private_", 9) == 0 || strncmp(names.p[i], "_remove_", 8) == 0;
	if (empty)
		dir_end_limits(fd);
	return empty ? 0 : err_set(err, ERR_Busy, "meta-storage %s: there is something in it", base);
}

/* ---- limits ---- */

static void limit(struct place_op *op)
{
	autofree char *path = NULL;
	autoclose int fd = -1;

	if (asprintf(&path, "%s/%s", op->dir, op->base) < 0)
		path = NULL;
	fd = path != NULL ? place_dir(op->place, path) : -ENOMEM;
	op->result = fd < 0 ? err_sys(&op->err, -fd, "meta-storage %s", op->base) :
			      dir_set_limits(fd, op->limits.space_limit, op->limits.inode_limit, &op->err);
	if (op->result == 0)
		dir_get_limits(fd, &op->limits, &op->usage);
}

static void limited(struct place_op *op)
{
	struct engine *e = op->e;
	struct engine_node n = { .dir = DIR_META, .ct = op->it != NULL ? op->it->id : 0, .view = ENGINE_ROOT };

	if (op->result < 0)
		engine_note_error(e, &op->who, &n, &op->err);
	if (op->result == 0 && op->it != NULL) {
		op->it->limits = op->limits;
		op->it->usage = op->usage;
		known_put(e, op->it);
	}
	if (op->cookie != 0)
		e->events->done(e->events_arg, op->cookie, op->result, NULL, 0);
}

static int mwrite_limit(const struct file_call *c, const char *text)
{
	struct item *it = item_of(c);
	struct place_op *op;
	union value v = {};

	if (type_bytes.parse(text, &v) < 0)
		return err_set(c->err, ERR_InvalidValue, "%s: '%.100s': expected %s", c->row->name, text, type_bytes.expected);
	op = place_op_new(c->e, it, limit, limited);
	if (op == NULL)
		return err_sys(c->err, ENOMEM, "%s", c->row->name);
	op->who = *c->who;
	op->cookie = c->cookie;
	op->limits = it->limits;
	*(c->node->file == META_space_limit ? &op->limits.space_limit : &op->limits.inode_limit) = v.u;
	place_op_begin(op);
	return ENGINE_PENDING;
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
	.rows = meta_rows, .count = META_FILES, .exists = item_exists, .attr = item_attr, .check_writer = item_check_writer,
	.check_owner = item_check_writes, .chown = item_chown,
};
