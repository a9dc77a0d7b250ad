/* The files of the tree, as portofs sees them: tables, names, attributes, reads and writes. */
#include <sys/stat.h>

#include "base/names.h"
#include "engine/cred.h"
#include "engine/ct.h"
#include "engine/daemon.h"
#include "engine/engine.h"
#include "engine/eventlog.h"
#include "engine/fsm.h"
#include "engine/hooks.h"
#include "engine/output.h"
#include "engine/run.h"
#include "engine/save.h"
#include "engine/wait.h"
#include "engine/watch.h"

#define SHORT_SIZE 4096u

static const struct {
	unsigned prop, file;
} flag_map[] = {
	{ P_ACTION, FILE_ACTION }, { P_BLOCKS, FILE_BLOCKS }, { P_STREAM, FILE_STREAM }, { P_POLL, FILE_POLL },
	{ P_LARGE, FILE_LARGE },   { P_HOLD, FILE_HOLD },     { P_ROOT, FILE_ROOT },	 { P_NOT_ROOT, FILE_NOT_ROOT },
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

size_t engine_files(enum engine_dir dir, const struct engine_file **ret)
{
	static struct engine_file ct_files[PROP_COUNT], daemon_files[DAEMON_FILES];

	if (ct_files[0].name == NULL) {
		for (int i = 0; i < PROP_COUNT; i++)
			ct_files[i] = (struct engine_file){ .name = props[i].name, .flags = file_flags(&props[i]) };
		for (int i = 0; i < DAEMON_FILES; i++)
			daemon_files[i] = (struct engine_file){ .name = daemon_rows[i].name, .flags = daemon_rows[i].flags };
	}
	*ret = dir == DIR_CT ? ct_files : daemon_files;
	return dir == DIR_CT ? PROP_COUNT : DAEMON_FILES;
}

int engine_file_find(enum engine_dir dir, const char *name)
{
	if (dir == DIR_CT)
		return prop_find(name);
	for (int i = 0; i < DAEMON_FILES; i++)
		if (strcmp(daemon_rows[i].name, name) == 0)
			return i;
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

	if (open != NULL && open != name && len > 0 && name[len - 1] == ']')
		return bracket_name(dir, name, open, file, key);
	if (dir == DIR_DAEMON) {
		if (strncmp(name, "events?since=", 13) != 0)
			return -ENOENT;
		*file = DAEMON_events;
		*key = 13;
		return 0;
	}
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

int engine_attr(struct engine *e, enum engine_dir dir, uint32_t id, int file, struct engine_attr *ret)
{
	struct ct *ct = dir == DIR_CT ? ct_find(e, id) : e->root;

	if (ct == NULL || ct->destroying)
		return -ENOENT;
	memset(ret, 0, sizeof(*ret));
	ret->mtime = ret->ctime = ct->change_wall != 0 ? ct->change_wall : ct->creation_wall;
	if (dir == DIR_DAEMON) {
		if (file < 0)
			ret->mode = S_IFDIR | 0755;
		else
			ret->mode = S_IFREG | 0444 | (daemon_rows[file].flags & FILE_WRITE ? 0200 : 0);
		ret->size = file < 0 ? 0 : SHORT_SIZE;
		return 0;
	}
	ret->uid = ct->owner_uid;
	ret->gid = ct->owner_gid;
	if (file < 0) {
		ct_dir_attr(ct, ret);
		return 0;
	}
	if ((props[file].flags & P_ROOT && !ct_is_root(ct)) || (props[file].flags & P_NOT_ROOT && ct_is_root(ct)))
		return -ENOENT;
	ct_file_attr(ct, file, ret);
	return 0;
}

/* ---- open, read, write ---- */

static struct ct *node_ct(struct engine *e, const struct engine_node *n)
{
	struct ct *ct = n->dir == DIR_CT ? ct_find(e, n->ct) : e->root;

	return ct == NULL || ct->destroying ? NULL : ct;
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

int engine_open(struct engine *e, const struct engine_cred *who, const struct engine_node *n, bool write,
		struct engine_cred *as, struct err *err)
{
	struct ct *ct = node_ct(e, n), *home;
	int r;

	*as = *who;
	if (ct == NULL)
		return gone(err);
	if (!write)
		return 0;
	cred_effective(e, who, as, &home);
	if (n->dir == DIR_DAEMON)
		r = !(daemon_rows[n->file].flags & FILE_WRITE) ? err_set_no(err, ERR_InvalidValue, EACCES, "%s: read-only",
									     daemon_rows[n->file].name) :
		    as->uid != 0 ? err_set(err, ERR_Permission, "only root may write here") : 0;
	else if (props[n->file].when == WHEN_NEVER)
		r = err_set_no(err, ERR_InvalidValue, EACCES, "%s: read-only", n->key != NULL ? n->key : props[n->file].name);
	else
		r = cred_check_access(e, who, err);
	if (r == 0 && n->dir == DIR_CT)
		r = cred_check_owner(ct, as, err);
	if (r < 0)
		engine_note_error(e, who, n, err);
	return r;
}

static int read_daemon(struct engine *e, const struct engine_cred *who, uint64_t cookie, const struct engine_node *n,
		       struct text *out, struct err *err)
{
	autofree char *key = node_key(n);
	struct daemon_call c = { .e = e, .who = who, .cookie = cookie, .key = key, .err = err };

	return daemon_rows[n->file].read(&c, out);
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
	return r < 0 ? r : prop_read(ct, prop, key, out, err);
}

int engine_read(struct engine *e, const struct engine_cred *who, uint64_t cookie, const struct engine_node *n,
		struct text *out, struct err *err)
{
	struct ct *ct = node_ct(e, n);
	autofree char *key = node_key(n);
	int r;

	if (ct == NULL)
		return gone(err);
	if (n->dir == DIR_DAEMON)
		r = read_daemon(e, who, cookie, n, out, err);
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
	const struct ct *ct = node_ct(e, n);

	*base = 0;
	if (n->dir == DIR_DAEMON)
		return event_base(e, n->key, base);
	if (ct != NULL)
		*base = output_start(ct, n->file == PROP_stdout ? 1 : 2);
	return 0;
}

uint64_t engine_stream_end(struct engine *e, const struct engine_node *n)
{
	return n->dir == DIR_DAEMON ? event_end(e) : 0;
}

ssize_t engine_pread(struct engine *e, const struct engine_cred *who, uint64_t cookie, const struct engine_node *n,
		     char *buf, size_t size, uint64_t off, struct err *err)
{
	struct ct *ct = node_ct(e, n);
	ssize_t r;

	if (ct == NULL)
		return gone(err);
	if (n->dir == DIR_DAEMON)
		return event_pread(e, cookie, buf, size, off);
	r = output_check_reader(ct, n->file == PROP_stdout ? 1 : 2, who, err);
	if (r == 0)
		r = output_pread(ct, n->file == PROP_stdout ? 1 : 2, buf, size, off, err);
	if (r < 0)
		engine_note_error(e, who, NULL, err);
	return r;
}

static void put_back(struct snapshot *before, uint64_t cookie, int result)
{
	snapshot_restore(before);
	(void)save_ct(before->ct, cookie, result, NULL);
}

/* The value's earlier parts, if there were any, are in force: if the whole is refused they don't stay. */
static int write_prop(struct change *c, const struct engine_value *value)
{
	autosaved struct snapshot before = {};
	bool has_parts = undo_take(c->ct, value->extends, &before);
	int r;

	if (memchr(value->buf, '\0', value->len) != NULL)
		r = err_set(c->err, ERR_InvalidValue, "%s: a zero byte in the value", props[c->prop].name);
	else
		r = prop_write(c);

	if (!has_parts)
		return r;
	if (r < 0)
		put_back(&before, c->cookie, r);
	else
		undo_keep(c->ct, c->cookie, &before);
	return r;
}

void engine_take_back(struct engine *e, uint64_t cookie, const struct engine_node *n, uint64_t extends, int result)
{
	autosaved struct snapshot before = {};
	struct ct *ct = node_ct(e, n);

	if (ct != NULL && undo_take(ct, extends, &before))
		put_back(&before, cookie, result);
}

int engine_write(struct engine *e, const struct engine_cred *who, uint64_t cookie, const struct engine_node *n,
		 const struct engine_value *value, struct err *err)
{
	struct ct *ct = node_ct(e, n);
	autofree char *key = node_key(n), *whole = malloc(value->len + 1);
	struct change c = { .ct = ct, .prop = n->file, .who = who, .cookie = cookie, .key = key, .append = value->append,
			    .err = err };
	uint32_t id;
	int r;

	/* first of all: what was asked may have been the end of the container */
	if (e->replay != NULL && save_replayed(e, cookie, &id, &r)) {
		if (ct != NULL && ct->id == id && ct->op == OP_START && fsm_join(ct, cookie, 0) == 0)
			return ENGINE_PENDING;
		return r;
	}
	if (ct == NULL)
		return gone(err);
	if (whole == NULL)
		return err_sys(err, ENOMEM, "write");
	memcpy(whole, value->buf, value->len);
	whole[value->len] = '\0';
	c.text = text_trim(whole);
	c.len = strlen(c.text);
	if (n->dir == DIR_DAEMON) {
		struct daemon_call d = { .e = e, .who = who, .cookie = cookie, .key = key, .err = err };

		r = daemon_rows[n->file].write(&d, c.text);
	} else {
		r = write_prop(&c, value);
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
