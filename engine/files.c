/* The files of the tree, as portofs sees them: tables, names, attributes, reads and writes. */
#include <assert.h>
#include <sys/stat.h>

#include "base/names.h"
#include "engine/access.h"
#include "engine/cred.h"
#include "engine/ct.h"
#include "engine/dirs.h"
#include "engine/engine.h"
#include "engine/fsm.h"
#include "engine/hooks.h"
#include "engine/output.h"
#include "engine/run.h"
#include "engine/links.h"
#include "engine/save.h"
#include "engine/wait.h"
#include "engine/watch.h"

#define SHORT_SIZE 4096u

static const struct {
	unsigned prop, file;
} flag_map[] = {
	{ P_ACTION, FILE_ACTION }, { P_BLOCKS, FILE_BLOCKS }, { P_STREAM, FILE_STREAM }, { P_POLL, FILE_POLL },
	{ P_WAITS, FILE_WAITS },   { P_LARGE, FILE_LARGE }, { P_HOLD, FILE_HOLD },     { P_ROOT, FILE_ROOT },	 { P_NOT_ROOT, FILE_NOT_ROOT },
};

static unsigned file_flags(const struct prop *p)
{
	unsigned f = (p->read != NULL || p->type != NULL ? FILE_READ : 0) | (p->flags & P_HIDDEN ? 0 : FILE_LISTED);

	if (p->when != WHEN_NEVER)
		f |= FILE_WRITE;
	for (size_t i = 0; i < ARRAY_LEN(flag_map); i++)
		if (p->flags & flag_map[i].prop)
			f |= flag_map[i].file;
	return f;
}

const struct dir_ops *dir_ops(enum engine_dir dir)
{
	static const struct dir_ops *const all[ENGINE_DIRS] = {
		[DIR_DAEMON] = &daemon_dir,
		[DIR_VOLUMES] = &volumes_dir,
		[DIR_VOLUME] = &volume_dir,
		[DIR_LINKS] = &links_dir,
		[DIR_LAYERS] = &layers_dir,
		[DIR_LAYER] = &layer_dir,
		[DIR_STORAGES] = &storages_dir,
		[DIR_STORAGE] = &storage_dir,
		[DIR_META] = &meta_dir,
		[DIR_IMAGES] = &images_dir,
		[DIR_IMAGE] = &image_dir,
	};

	return all[dir];
}

struct ct *dir_view(struct engine *e, const struct engine_node *n)
{
	struct ct *ct = ct_find(e, n->view);

	return ct != NULL ? ct : e->root;
}

int dir_list_attr(struct engine *e, const struct engine_node *n, struct engine_attr *ret)
{
	const struct ct *view = dir_view(e, n);

	ret->uid = view->owner_uid;
	ret->gid = ct_is_root(view) && e->porto_gid != (gid_t)-1 ? e->porto_gid : view->owner_gid;
	ret->mtime = ret->ctime = view->creation_wall;
	if (n->file < 0)
		ret->mode = S_IFDIR | 0775;
	else if (dir_ops(n->dir)->rows[n->file].flags & FILE_WRITE)
		ret->mode = S_IFREG | 0664;
	return 0;
}

#define ROWS_MAX 64

size_t engine_files(enum engine_dir dir, const struct engine_file **ret)
{
	static struct engine_file ct_files[PROP_COUNT], files[ENGINE_DIRS][ROWS_MAX];
	const struct dir_ops *ops = dir_ops(dir);

	if (ct_files[0].name == NULL)
		for (int i = 0; i < PROP_COUNT; i++)
			ct_files[i] = (struct engine_file){ .name = props[i].name, .flags = file_flags(&props[i]) };
	*ret = ops != NULL ? files[dir] : ct_files;
	if (ops == NULL)
		return PROP_COUNT;
	assert(ops->count <= ROWS_MAX);
	for (size_t i = 0; i < ops->count; i++)
		files[dir][i] = (struct engine_file){ .name = ops->rows[i].name, .flags = ops->rows[i].flags };
	return ops->count;
}

int engine_file_find(enum engine_dir dir, const char *name)
{
	const struct dir_ops *ops = dir_ops(dir);

	if (ops == NULL)
		return prop_find(name);
	for (size_t i = 0; i < ops->count; i++)
		if (strcmp(ops->rows[i].name, name) == 0)
			return (int)i;
	return -ENOENT;
}

static int bracket_name(enum engine_dir dir, const char *name, const char *open, int *file, size_t *key)
{
	autofree char *head = strndup(name, (size_t)(open - name));

	if (head == NULL)
		return -ENOMEM;
	*file = engine_file_find(dir, head);
	*key = (size_t)(open - name) + 1;
	return *file < 0 ? *file : 0;
}

int engine_name(enum engine_dir dir, const char *name, int *file, size_t *key)
{
	size_t len = strlen(name), upper = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
	const char *open = strchr(name, '['), *dot = strchr(name, '.');

	if (dir != DIR_LINKS && open != NULL && open != name && len > 0 && name[len - 1] == ']')
		return bracket_name(dir, name, open, file, key);
	if (dir != DIR_CT)
		return dir_ops(dir)->find_name != NULL ? dir_ops(dir)->find_name(name, file, key) : -ENOENT;
	if (dot == NULL || dot == name || dot[1] == '\0')
		return -ENOENT;
	*key = 0;
	if (upper == (size_t)(dot - name)) {
		*file = PROP_labels;
		return 0;
	}
	/* "web.1" is a good container name: only what begins with a controller's name is a knob */
	{
		autofree char *head = strndup(name, (size_t)(dot - name));

		if (head == NULL)
			return -ENOMEM;
		if (cg_find(head) == CG_CTLS && strcmp(head, "cgroup") != 0 && strcmp(head, "io") != 0 && strcmp(head, "blkio") != 0)
			return -ENOENT;
	}
	*file = watch_find(name);
	if (*file < 0)
		*file = PROP_knob;
	return 0;
}

/* ---- attributes ---- */

static void ct_dir_attr(const struct ct *ct, struct engine_attr *ret)
{
	ret->mode = S_IFDIR | (ct_is_root(ct) ? 0775 : 0755);
	if (ct_is_root(ct) && ct->e->porto_gid != (gid_t)-1)
		ret->gid = ct->e->porto_gid;
}

static uint64_t large_size(struct ct *ct, int file)
{
	autotext struct text t = {};

	if (file == PROP_spec)
		props_spec(ct, &t);
	else if (file == PROP_README)
		(void)read_readme(ct, NULL, &t, NULL);
	else if (props[file].type == &type_text || props[file].type == &type_labels || props[file].type == &type_env)
		(void)prop_read(ct, file, NULL, &t, NULL);
	return MAX(t.len + (file != PROP_README), SHORT_SIZE); /* values get a newline */
}

static void ct_file_attr(struct ct *ct, int file, struct engine_attr *ret)
{
	unsigned f = file_flags(&props[file]);

	ret->mode = S_IFREG | (f & FILE_READ ? 0444 : 0) | (f & FILE_WRITE && !ct_is_root(ct) ? 0200 : 0);
	if (props[file].read == NULL && props[file].type == NULL)
		ret->mode = S_IFREG | 0200;
	if (file == PROP_stdout || file == PROP_stderr)
		ret->size = output_size(ct, file == PROP_stdout ? 1 : 2);
	else
		ret->size = large_size(ct, file);
}

int engine_attr(struct engine *e, const struct engine_node *n, struct engine_attr *ret)
{
	const struct dir_ops *ops = dir_ops(n->dir);
	struct ct *ct = ops == NULL ? ct_find(e, n->ct) : NULL;

	memset(ret, 0, sizeof(*ret));
	if (ops != NULL) {
		int r;

		if (!engine_exists(e, n))
			return -ENOENT;
		ret->mode = n->file < 0 ? S_IFDIR | 0755 : S_IFREG | 0444;
		ret->size = n->file < 0 ? 0 : SHORT_SIZE;
		r = ops->attr(e, n, ret);
		if (n->file >= 0 && ops->rows[n->file].flags & FILE_WRITE)
			ret->mode |= 0200;
		if (n->file >= 0 && !(ops->rows[n->file].flags & FILE_READ))
			ret->mode &= ~0444u;
		return r;
	}
	if (ct == NULL || ct->destroying)
		return -ENOENT;
	ret->mtime = ret->ctime = ct->change_wall != 0 ? ct->change_wall : ct->creation_wall;
	ret->uid = ct->owner_uid;
	ret->gid = ct->owner_gid;
	if (n->file < 0) {
		ct_dir_attr(ct, ret);
		return 0;
	}
	if ((props[n->file].flags & P_ROOT && !ct_is_root(ct)) || (props[n->file].flags & P_NOT_ROOT && ct_is_root(ct)))
		return -ENOENT;
	ct_file_attr(ct, n->file, ret);
	return 0;
}

/* ---- open, read, write ---- */

static struct ct *node_ct(struct engine *e, const struct engine_node *n)
{
	struct ct *ct = n->dir == DIR_CT ? ct_find(e, n->ct) : NULL;

	return ct == NULL || ct->destroying ? NULL : ct;
}

bool engine_exists(struct engine *e, const struct engine_node *n)
{
	const struct dir_ops *ops = dir_ops(n->dir);
	struct ct *view = ct_find(e, n->view);

	if (view == NULL || view->destroying)
		return false;
	return ops == NULL ? node_ct(e, n) != NULL : ops->exists == NULL || ops->exists(e, n);
}

static int gone(struct err *err)
{
	return err_set(err, ERR_ContainerDoesNotExist, "the container is gone");
}

/* Keys come with their bracket, or whole for labels and knobs. */
static char *node_key(const struct engine_node *n)
{
	char *key = n->key != NULL ? strdup(n->key) : NULL;
	size_t len = key != NULL ? strlen(key) : 0;

	if (len > 0 && key[len - 1] == ']')
		key[len - 1] = '\0';
	return key;
}

static int open_row(const struct dir_ops *ops, struct engine *e, const struct engine_cred *who, const struct engine_node *n,
		    struct engine_cred *as, struct err *err)
{
	const struct file_row *row = &ops->rows[n->file];
	struct dir_call c = { .e = e, .who = who, .as = as, .node = n, .err = err };

	cred_effective(e, who, as, &c.home);
	if (!(row->flags & FILE_WRITE))
		return err_set_no(err, ERR_InvalidValue, EACCES, "%s: read-only", row->name);
	return ops->check_writer != NULL ? ops->check_writer(&c) : -EACCES;
}

int engine_open(struct engine *e, const struct engine_cred *who, const struct engine_node *n, bool write,
		struct engine_cred *as, struct err *err)
{
	const struct dir_ops *ops = dir_ops(n->dir);
	struct ct *ct = node_ct(e, n), *home;
	int r;

	*as = *who;
	if (!engine_exists(e, n))
		return gone(err);
	r = engine_sees(e, who, n);
	if (r < 0 || !write)
		return r < 0 ? err_set_no(err, ERR_Permission, -r, "Access denied: enable_porto") : 0;
	if (ops != NULL) {
		r = open_row(ops, e, who, n, as, err);
	} else {
		cred_effective(e, who, as, &home);
		if (props[n->file].when == WHEN_NEVER)
			r = err_set_no(err, ERR_InvalidValue, EACCES, "%s: read-only", n->key != NULL ? n->key : props[n->file].name);
		else
			r = cred_check_access(e, who, err);
		if (r == 0)
			r = access_own(home, ct, n->file) ? cred_check_user(ct, as, err) : cred_check_owner(ct, as, err);
	}
	if (r < 0)
		engine_note_error(e, who, n, err);
	return r;
}

static int call_read(const struct dir_ops *ops, struct file_call *c, struct text *out)
{
	autofree char *key = node_key(c->node);

	c->key = key;
	c->row = &ops->rows[c->node->file];
	return c->row->read(c, out);
}

static int call_write(const struct dir_ops *ops, struct file_call *c, const char *text)
{
	autofree char *key = node_key(c->node);

	c->key = key;
	c->row = &ops->rows[c->node->file];
	int r = ops->check_owner != NULL ? ops->check_owner(c) : 0;
	return r < 0 ? r : c->row->write(c, text);
}

static bool is_whole_text(int prop)
{
	return prop == PROP_README || prop == PROP_spec || prop == PROP_stat || prop == PROP_stdout || prop == PROP_stderr;
}

static int read_prop(struct ct *ct, const struct engine_cred *who, int prop, const char *key, struct text *out, struct err *err)
{
	int r = 0;

	if (prop == PROP_stdout || prop == PROP_stderr)
		r = output_check_reader(ct, prop == PROP_stdout ? 1 : 2, who, err);
	if (r < 0)
		return r;
	ct->e->reader = who;
	r = prop_read(ct, prop, key, out, err);
	ct->e->reader = NULL;
	return r;
}

int engine_read(struct engine *e, const struct engine_cred *who, uint64_t cookie, const struct engine_node *n,
		struct text *out, struct err *err)
{
	struct file_call c = { .e = e, .who = who, .cookie = cookie, .node = n, .err = err };
	const struct dir_ops *ops = dir_ops(n->dir);
	struct ct *ct = node_ct(e, n);
	autofree char *key = node_key(n);
	int r;

	if (!engine_exists(e, n))
		return gone(err);
	if (ops != NULL)
		r = call_read(ops, &c, out);
	else if (n->file == PROP_wait)
		r = wait_one(ct, who, cookie, out, err);
	else
		r = read_prop(ct, who, n->file, key, out, err);
	/* `cat *` must not wipe out why the last write was refused */
	if (r < 0)
		engine_note_error(e, who, NULL, err);
	else if (r == 0 && n->dir == DIR_CT && n->file != PROP_wait && !is_whole_text(n->file) &&
		 !(n->file == PROP_error && out->len == 0))
		text_addc(out, '\n');
	return r < 0 || r == ENGINE_PENDING ? r : text_ok(out);
}

int engine_stream_base(struct engine *e, const struct engine_node *n, uint64_t *base)
{
	const struct dir_ops *ops = dir_ops(n->dir);
	const struct ct *ct = node_ct(e, n);

	*base = 0;
	if (ops != NULL)
		return ops->stream_base != NULL ? ops->stream_base(e, n, base) : 0;
	if (ct != NULL)
		*base = output_start(ct, n->file == PROP_stdout ? 1 : 2);
	return 0;
}

void engine_close(struct engine *e, uint64_t cookie, const struct engine_node *n)
{
	const struct dir_ops *ops = dir_ops(n->dir);

	if (ops != NULL && ops->closed != NULL)
		ops->closed(e, cookie, n);
}

uint64_t engine_stream_end(struct engine *e, const struct engine_node *n)
{
	const struct dir_ops *ops = dir_ops(n->dir);

	return ops != NULL && ops->stream_end != NULL ? ops->stream_end(e, n) : 0;
}

ssize_t engine_pread(struct engine *e, const struct engine_cred *who, uint64_t cookie, const struct engine_node *n,
		     char *buf, size_t size, uint64_t off, struct err *err)
{
	struct file_call c = { .e = e, .who = who, .cookie = cookie, .node = n, .err = err };
	const struct dir_ops *ops = dir_ops(n->dir);
	struct ct *ct = node_ct(e, n);
	ssize_t r;

	if (!engine_exists(e, n))
		return gone(err);
	if (ops != NULL) {
		autofree char *key = node_key(n);

		c.row = &ops->rows[n->file];
		c.key = key;
		return ops->pread != NULL ? ops->pread(&c, buf, size, off) : -EINVAL;
	}
	r = output_check_reader(ct, n->file == PROP_stdout ? 1 : 2, who, err);
	if (r == 0)
		r = output_pread(ct, n->file == PROP_stdout ? 1 : 2, buf, size, off, err);
	if (r < 0)
		engine_note_error(e, who, NULL, err);
	return r;
}

static void put_back(struct snapshot *before, uint64_t cookie, int result)
{
	links_restore(before->ct, &before->val[PROP_symlink]);
	snapshot_restore(before);
	(void)save_ct(before->ct, cookie, result, NULL);
}

/*
 * The value's earlier parts, if there were any, are in force: if the whole is refused they don't stay. Whose the container is may
 * have changed since the file was opened: who held `command` and `state` open would run what he likes as the new owner.
 */
static int write_prop(struct change *c, const struct engine_value *value)
{
	autosaved struct snapshot before = {};
	bool has_parts = undo_take(c->ct, value->extends, &before);
	int r = cred_check_user(c->ct, c->who, c->err);

	if (r == 0 && memchr(value->buf, '\0', value->len) != NULL)
		r = err_set(c->err, ERR_InvalidValue, "%s: a zero byte in the value", props[c->prop].name);
	if (r == 0)
		r = prop_write(c);

	if (!has_parts)
		return r;
	if (r < 0 && links_wanted(c->ct->e)) /* it will be written again */
		undo_keep(c->ct, value->extends, &before);
	else if (r < 0)
		put_back(&before, c->cookie, r);
	else
		undo_keep(c->ct, c->cookie, &before);
	return r;
}

void engine_take_back(struct engine *e, uint64_t cookie, const struct engine_node *n, uint64_t extends, int result)
{
	const struct dir_ops *ops = dir_ops(n->dir);
	autosaved struct snapshot before = {};
	struct ct *ct = node_ct(e, n);

	if (ops != NULL && ops->take_back != NULL)
		ops->take_back(e, cookie, n, extends, result);
	if (ct != NULL && undo_take(ct, extends, &before))
		put_back(&before, cookie, result);
}

int engine_write(struct engine *e, const struct engine_cred *who, uint64_t cookie, const struct engine_node *n,
		 const struct engine_value *value, struct err *err)
{
	const struct dir_ops *ops = dir_ops(n->dir);
	struct ct *ct = node_ct(e, n);
	autofree char *key = node_key(n), *whole = malloc(value->len + 1);
	struct change c = { .ct = ct, .prop = n->file, .who = who, .cookie = cookie, .key = key, .append = value->append,
			    .err = err };
	uint32_t id;
	int r;

	/* first of all: what was asked may have been the end of the container */
	if (ops != NULL && ops->join != NULL && ops->join(e, cookie))
		return ENGINE_PENDING;
	if (e->replay != NULL && save_replayed(e, cookie, &id, &r)) {
		if (ct != NULL && ct->id == id && ct->op == OP_START && fsm_join(ct, cookie, 0) == 0)
			return ENGINE_PENDING;
		return r;
	}
	if (!engine_exists(e, n))
		return gone(err);
	if (whole == NULL)
		return err_sys(err, ENOMEM, "write");
	memcpy(whole, value->buf, value->len);
	whole[value->len] = '\0';
	c.text = text_trim(whole);
	c.len = strlen(c.text);
	if (ops != NULL) {
		struct file_call d = { .e = e, .who = who, .cookie = cookie, .node = n, .value = value, .err = err };

		r = call_write(ops, &d, c.text);
	} else {
		r = write_prop(&c, value);
		if (r < 0 && links_wanted(e))
			r = links_begin(e, who, cookie, n, value, err);
	}
	if (r < 0)
		engine_note_error(e, who, n, err);
	return r;
}

/* ---- the two files whose writes are verbs ---- */

int write_state(struct change *c)
{
	autofree char *copy = strdup(c->text);
	char *arg;
	int verb;

	if (copy == NULL)
		return err_sys(c->err, ENOMEM, "state");
	arg = copy + strcspn(copy, " \t\n");
	if (*arg != '\0')
		*arg++ = '\0';
	arg = text_trim(arg);
	verb = names_find(verb_names, VERBS, copy);
	if (verb < 0)
		return err_set(c->err, ERR_InvalidValue, "state: '%.50s': expected start, stop [seconds], kill [signal], pause, resume, restart, respawn or destroy", copy);
	return fsm_request(c->ct, c->who, c->cookie, (enum verb)verb, arg, c->err);
}

int write_attach(struct change *c)
{
	return attach_process(c);
}
