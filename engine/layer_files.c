/* The files of a layer and of a storage. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/proc.h"
#include "engine/cred.h"
#include "engine/eventlog.h"
#include "engine/layer.h"

#define L_READ (FILE_READ | FILE_LISTED)
#define L_ACT (FILE_WRITE | FILE_ACTION)
#define PRIVATE_MAX 4096u
#define STREAM_FORMAT "tar" /* what tar(1) reads from a pipe without being told */

static struct item *item_of(const struct file_call *c)
{
	return item_find(c->e, c->node->ct);
}

static const char *word(const struct item *it)
{
	return item_word(it->kind);
}

/* ---- reads ---- */

int lread_error(const struct file_call *c, struct text *out)
{
	if (item_of(c)->error != NULL)
		text_addf(out, "%s\n", item_of(c)->error);
	return text_ok(out);
}

int lread_last_usage(const struct file_call *c, struct text *out)
{
	int64_t used = item_of(c)->used, now = (int64_t)(clock_wall() / 1000000000u);

	text_addf(out, "%lld\n", (long long)(used != 0 ? MAX(now - used, 0) : 0));
	return text_ok(out);
}

int lread_owner_group(const struct file_call *c, struct text *out)
{
	cred_group_name(item_of(c)->gid, out);
	text_addc(out, '\n');
	return text_ok(out);
}

int lread_owner_user(const struct file_call *c, struct text *out)
{
	cred_user_name(item_of(c)->uid, out);
	text_addc(out, '\n');
	return text_ok(out);
}

int lread_place(const struct file_call *c, struct text *out)
{
	text_addf(out, "%s\n", item_of(c)->place);
	return text_ok(out);
}

int lread_private(const struct file_call *c, struct text *out)
{
	text_addf(out, "%s\n", item_of(c)->private != NULL ? item_of(c)->private : "");
	return text_ok(out);
}

static int lread_progress(const struct file_call *c, struct text *out)
{
	const struct sjob *j = sjob_of_item(c->e, c->node->ct);

	if (j != NULL)
		sjob_progress(j, out);
	return text_ok(out);
}

static int lread_size(const struct file_call *c, struct text *out)
{
	if (item_of(c)->size != 0)
		text_addf(out, "%llu\n", (unsigned long long)item_of(c)->size);
	return text_ok(out);
}

static int lread_state(const struct file_call *c, struct text *out)
{
	text_addf(out, "%s\n", item_state_names[item_of(c)->state]);
	return text_ok(out);
}

/* ---- jobs ---- */

/* The known ends of names; "": none of them. */
const char *archive_format(const char *path)
{
	static const char *const rows[][2] = {
		{ ".tar", "tar" },	 { ".tar.gz", "tar.gz" }, { ".tgz", "tar.gz" },	    { ".tar.xz", "tar.xz" },   { ".txz", "tar.xz" },
		{ ".tar.zst", "tar.zst" }, { ".tzst", "tar.zst" }, { ".tar.bz2", "tar.bz2" }, { ".tbz2", "tar.bz2" }, { ".squashfs", "squashfs" },
		{ ".squash", "squashfs" }, { ".sqfs", "squashfs" },
	};
	size_t len = strlen(path);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t n = strlen(rows[i][0]);

		if (len > n && strcmp(path + len - n, rows[i][0]) == 0)
			return rows[i][1];
	}
	return "";
}

int archive_check_path(const char *path, struct err *err)
{
	if (path_is_normal(path) && strcmp(path, "/") != 0)
		return 0;
	return err_set(err, ERR_InvalidPath, "archive '%.200s': expected an absolute path without //, . and ..", path);
}

/* porto-store knows them wholly; here only what would be an option or another word. */
int archive_check_format(const char *format, struct err *err)
{
	size_t len = strlen(format), n = len >= 8 ? len - 8 : 0;

	if (*format == '\0' || archive_format(format)[0] != '\0' || (len >= 8 && strcmp(format + n, "squashfs") == 0))
		return 0;
	for (size_t i = 0; i < 2; i++) {
		autofree char *name = NULL;

		if (asprintf(&name, "x.%s", format) >= 0 && archive_format(name)[0] != '\0')
			return 0;
	}
	return err_set(err, ERR_InvalidValue, "format '%.50s': expected tar, tar.gz, tar.xz, tar.zst, tar.bz2 or squashfs", format);
}

static int set_text(char **to, const char *text)
{
	free(*to);
	*to = strdup(text);
	return *to == NULL ? -ENOMEM : 0;
}

static int check_export_archive(const struct file_call *c, const char *path, const char *format)
{
	int r = archive_check_path(path, c->err);

	if (r == 0)
		r = archive_check_format(format, c->err);
	if (r == 0 && *format == '\0')
		r = err_set(c->err, ERR_InvalidValue, "archive %.200s: expected a name that ends in .tar, .tar.zst, .tar.gz, .tar.xz, .tar.bz2 or .squashfs, or export[FORMAT]", path);
	return r;
}

int sjob_export_volume(struct vol *v, const struct file_call *c, const char *path, const char *format)
{
	int r = check_export_archive(c, path, format);
	struct sjob *j = r == 0 ? sjob_new(c->e, SJ_EXPORT_VOLUME, c->who, c->cookie) : NULL;

	if (r < 0)
		return r;
	if (j != NULL && vol_check_export(v, j->as.uid, c->err) < 0) {
		sjob_free(j);
		return -c->err->no;
	}
	r = j == NULL ? -ENOMEM : set_text(&j->path, path);
	if (r == 0)
		r = set_text(&j->format, format);
	if (r == 0)
		r = sjob_set_volume(j, v);
	if (r == 0)
		return sjob_begin(j, c->err);
	if (j != NULL)
		sjob_free(j);
	return err_sys(c->err, -r, "export");
}

/* Path "" for a stream. */
static int start(const struct file_call *c, enum sjob_kind kind, const char *path, const char *format, struct sjob **ret)
{
	bool is_stream = path[0] == '\0';
	struct sjob *j = sjob_new(c->e, kind, c->who, is_stream ? 0 : c->cookie);
	int r = j == NULL ? -ENOMEM : sjob_set_item(j, item_of(c));

	if (r == 0)
		r = set_text(&j->path, path);
	if (r == 0)
		r = set_text(&j->format, format);
	if (r == 0 && is_stream) {
		j->handle = c->node->handle;
		r = ring_create(&j->ring);
	}
	if (r < 0) {
		if (j != NULL)
			sjob_free(j);
		return err_sys(c->err, -r, "%s", item_of(c)->name);
	}
	if (ret != NULL)
		*ret = j;
	return sjob_begin(j, c->err);
}

static int check_idle(const struct file_call *c)
{
	const struct item *it = item_of(c);
	const struct sjob *j = sjob_of_item(c->e, it->id);

	if (j == NULL)
		return 0;
	/* a short archive is all written before anybody has looked at it */
	if (j->kind == SJ_IMPORT && j->path[0] == '\0' && j->handle == 0)
		return err_set(c->err, ERR_Busy, "%s %s: what was written to its tarball before is still being unpacked; its state and error tell how that ends",
			       word(it), it->name);
	return err_set(c->err, ERR_Busy, "%s %s: another import or export goes on", word(it), it->name);
}

static bool is_importing(const struct item *it)
{
	return it->state == IS_IMPORTING;
}

static int check_import(const struct file_call *c)
{
	const struct item *it = item_of(c);

	if (it->state == IS_READY)
		return err_set(c->err, it->kind == STORED_LAYER ? ERR_LayerAlreadyExists : ERR_VolumeAlreadyExists, "%s %s is there already",
			       word(it), it->name);
	return check_idle(c);
}

static int check_export(const struct file_call *c)
{
	const struct item *it = item_of(c);
	int r = is_importing(it) ? check_idle(c) : 0;

	if (r == 0 && it->state != IS_READY)
		r = err_set_no(c->err, it->kind == STORED_LAYER ? ERR_LayerNotFound : ERR_VolumeNotFound, ENODATA, "%s %s is empty", word(it),
			       it->name);
	if (r == 0 && it->kind == STORED_STORAGE)
		r = item_check_unused(c->e, it, c->err);
	return r;
}

static int check_archive(const struct file_call *c, const char *path)
{
	const char *format = c->key != NULL ? c->key : "";
	int r = archive_check_path(path, c->err);

	return r < 0 ? r : archive_check_format(format, c->err);
}

/* A request that the last worker had begun. */
static bool is_replay(const struct file_call *c)
{
	return sjob_of_cookie(c->e, c->cookie) != NULL;
}

static int lwrite_import(const struct file_call *c, const char *text)
{
	int r = is_replay(c) ? ENGINE_PENDING : check_archive(c, text);

	if (r == 0)
		r = check_import(c);
	return r != 0 ? r : start(c, SJ_IMPORT, text, c->key != NULL ? c->key : "", NULL);
}

static int lwrite_merge(const struct file_call *c, const char *text)
{
	int r = is_replay(c) ? ENGINE_PENDING : check_archive(c, text);

	if (r == 0 && item_of(c)->kind == STORED_STORAGE)
		r = err_set(c->err, ERR_NotSupported, "merge: storages are imported, not merged");
	if (r == 0)
		r = check_idle(c);
	if (r == 0)
		r = item_check_unused(c->e, item_of(c), c->err);
	return r != 0 ? r : start(c, item_of(c)->state == IS_READY ? SJ_MERGE : SJ_IMPORT, text, c->key != NULL ? c->key : "", NULL);
}

static int lwrite_export(const struct file_call *c, const char *text)
{
	const char *format = c->key != NULL ? c->key : archive_format(text);
	int r = is_replay(c) ? ENGINE_PENDING : check_export_archive(c, text, format);

	if (r == 0)
		r = check_export(c);
	return r != 0 ? r : start(c, SJ_EXPORT, text, format, NULL);
}

static int lwrite_tarball(const struct file_call *c, const char *text)
{
	struct sjob *j = sjob_of_handle(c->e, c->node->handle);
	int r = 0;

	(void)text;
	if (j == NULL) {
		if (c->value->off != 0)
			return err_set(c->err, ERR_InvalidValue, "tarball: an archive is written from its beginning on, in order");
		r = archive_check_format(c->key != NULL ? c->key : "", c->err);
		if (r == 0)
			r = check_import(c);
		if (r == 0)
			r = start(c, SJ_IMPORT, "", c->key != NULL ? c->key : "", &j);
		if (r < 0)
			return r;
	}
	return stream_write(j, c->cookie, c->value, c->err);
}

/* Layers are for all who may have containers, a storage is its owner's. */
static int check_reader(const struct file_call *c)
{
	const struct item *it = item_of(c);
	struct engine_cred as;
	struct ct *home;

	cred_effective(c->e, c->who, &as, &home);
	if (place_check_user(home, as.uid, it->place, c->err) < 0)
		return -EACCES;
	return it->kind == STORED_LAYER ? cred_check_access(c->e, c->who, c->err) : item_check_owner(it, &as, c->err);
}

static ssize_t pread_tarball(const struct file_call *c, char *buf, size_t size, uint64_t off)
{
	struct sjob *j = sjob_of_handle(c->e, c->node->handle);
	int r;

	if (j == NULL) {
		r = check_reader(c);
		if (r == 0 && off != 0)
			r = err_set_no(c->err, ERR_InvalidValue, ESPIPE, "tarball: an archive is read from its beginning on, in order");
		if (r == 0)
			r = archive_check_format(c->key != NULL ? c->key : "", c->err);
		if (r == 0)
			r = check_export(c);
		if (r == 0)
			r = start(c, SJ_EXPORT, "", c->key != NULL ? c->key : STREAM_FORMAT, &j);
		if (r < 0) {
			engine_note_error(c->e, c->who, NULL, c->err);
			return r;
		}
	}
	return stream_read(j, c->cookie, buf, size, off, c->err);
}

static void closed(struct engine *e, uint64_t cookie, const struct engine_node *n)
{
	struct sjob *j = sjob_of_handle(e, n->handle);

	(void)cookie;
	if (j != NULL)
		stream_close(j);
}

/* ---- private text and owner: in a file beside the tree ---- */

/* The time of the last use stays. */
static int touch_file(struct place_op *op)
{
	autoclose int dir = place_dir(op->place, op->dir);
	autofree char *name = NULL;
	struct stat st = {};
	bool is_old;
	int r;

	if (dir < 0)
		return dir;
	if (asprintf(&name, "_private_%s", op->base) < 0) {
		name = NULL;
		return -ENOMEM;
	}
	is_old = fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
	r = file_replace(dir, name, op->text, strlen(op->text), 0600);
	if (r == 0 && fchownat(dir, name, op->uid, op->gid, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	if (r == 0 && op->size != 0)
		item_note_size(dir, name, op->size);
	if (r == 0 && is_old)
		(void)utimensat(dir, name, (struct timespec[2]){ st.st_atim, st.st_mtim }, AT_SYMLINK_NOFOLLOW);
	return r;
}

static void write_touch(struct place_op *op)
{
	op->result = touch_file(op);
	if (op->result < 0)
		err_sys(&op->err, -op->result, "private text and owner of %s", op->base);
}

/* What the place has is what counts: the next look says what that is. */
static void touched(struct place_op *op)
{
	if (op->result == 0)
		return;
	engine_note_error(op->e, &op->who, NULL, &op->err);
	if (op->it != NULL)
		item_note_error(op->e, op->it, &op->err);
}

struct touch {
	const char *text;
	uid_t uid;
	gid_t gid;
};

/* What isn't in its place yet has a record that says it; of the others `known` does until it is written there. */
static int touch(struct engine *e, struct item *it, const struct touch *t, uint64_t cookie, struct err *err)
{
	autofree char *text = strdup(t->text);
	struct place_op *op = it->state == IS_READY ? place_op_new(e, it, write_touch, touched) : NULL;
	int r;

	if (op != NULL)
		op->text = strdup(t->text);
	if (text == NULL || (it->state == IS_READY && (op == NULL || op->text == NULL))) {
		if (op != NULL)
			place_op_free(op);
		return err_sys(err, ENOMEM, "%s %s", word(it), it->name);
	}
	free(it->private);
	it->private = TAKE_PTR(text);
	it->uid = t->uid;
	it->gid = t->gid;
	r = op == NULL || it->reserved ? item_save(e, it, cookie, 0, err) : 0;
	if (op == NULL)
		return r;
	op->uid = op->who.uid = t->uid;
	op->gid = op->who.gid = t->gid;
	e->store->changes++;
	known_put(e, it);
	place_op_begin(op);
	return r;
}

int lwrite_private(const struct file_call *c, const char *text)
{
	struct item *it = item_of(c);
	struct touch t = { .text = text, .uid = it->uid, .gid = it->gid };
	bool is_longer = c->value->extends != 0 && c->value->extends == it->before_cookie;
	autofree char *old = strdup(is_longer ? it->before : it->private != NULL ? it->private : "");
	int r = 0;

	if (old == NULL)
		return err_sys(c->err, ENOMEM, "private");
	if (is_importing(it))
		return check_idle(c);
	if (strlen(text) > PRIVATE_MAX) {
		/* its first part was taken already */
		t.text = old;
		if (is_longer)
			(void)touch(c->e, it, &t, 0, NULL);
		return err_set_no(c->err, ERR_InvalidValue, E2BIG, "private: at most %u bytes", PRIVATE_MAX);
	}
	r = touch(c->e, it, &t, c->cookie, c->err);
	if (r < 0)
		return r;
	free(it->before);
	it->before = TAKE_PTR(old);
	it->before_cookie = c->cookie;
	return 0;
}

int item_chown(const struct dir_call *c, uid_t uid, gid_t gid)
{
	struct item *it = item_find(c->e, c->node->ct);
	struct touch t = { .text = it->private != NULL ? it->private : "" };
	int r = item_check_owner(it, c->as, c->err);

	if (r == 0 && c->as->uid != 0 && uid != (uid_t)-1 && uid != it->uid)
		r = err_set_no(c->err, ERR_Permission, EPERM, "owner_user: only root may give it away");
	if (r == 0 && c->as->uid != 0 && gid != (gid_t)-1 && gid != it->gid && !cred_in_group(c->as->uid, gid))
		r = err_set_no(c->err, ERR_Permission, EPERM, "owner_group: not one of your groups");
	if (r == 0 && is_importing(it))
		r = err_set(c->err, ERR_Busy, "%s %s is being imported", word(it), it->name);
	if (r < 0)
		return r;
	t.uid = uid != (uid_t)-1 ? uid : it->uid;
	t.gid = gid != (gid_t)-1 ? gid : it->gid;
	return touch(c->e, it, &t, c->cookie, c->err);
}

/* ---- who pays ---- */

static int lread_charge(const struct file_call *c, struct text *out)
{
	text_addf(out, "%s\n", item_of(c)->charge != NULL ? item_of(c)->charge : "");
	return text_ok(out);
}

static int lwrite_charge(const struct file_call *c, const char *text)
{
	struct item *it = item_of(c);
	struct engine_cred as;
	struct ct *home, *ct;
	int r;

	cred_effective(c->e, c->who, &as, &home);
	ct = text[0] != '\0' ? ct_find_seen(c->e, home, text) : NULL;
	if (it->state != IS_EMPTY)
		return err_set(c->err, ERR_InvalidState, "charge: %s %s is %s", word(it), it->name, item_state_names[it->state]);
	if (text[0] != '\0' && (ct == NULL || ct_is_root(ct)))
		return err_set(c->err, ERR_ContainerDoesNotExist, "charge: no container '%.200s'", text);
	r = ct != NULL ? cred_check_owner(ct, &as, c->err) : 0;
	if (r == 0 && set_text(&it->charge, ct != NULL ? ct->name : "") < 0)
		r = err_sys(c->err, ENOMEM, "charge");
	return r < 0 ? r : item_save(c->e, it, c->cookie, 0, c->err);
}

/* ---- the directory ---- */

static const struct file_row item_rows[] = {
#define LFILE(n, ...) { .name = #n, __VA_ARGS__ },
#include "engine/layers.def"
#undef LFILE
};

bool item_exists(struct engine *e, const struct engine_node *n)
{
	const struct item *it = item_find(e, n->ct);

	return it != NULL && !it->gone;
}

int item_attr(struct engine *e, const struct engine_node *n, struct engine_attr *ret)
{
	const struct item *it = item_find(e, n->ct);

	ret->uid = it->uid;
	ret->gid = it->gid;
	ret->mtime = ret->ctime = it->used;
	/* what is in it is not for everybody */
	if (n->dir != DIR_META && n->file >= 0 && (item_rows[n->file].flags & FILE_PIPE)) {
		ret->mode = S_IFREG | (it->kind == STORED_LAYER ? 0440 : 0400);
		if (it->kind == STORED_LAYER && e->porto_gid != (gid_t)-1)
			ret->gid = e->porto_gid;
	}
	return 0;
}

int item_check_writer(const struct dir_call *c)
{
	int r = cred_check_access(c->e, c->who, c->err);

	return r < 0 ? r : item_check_owner(item_find(c->e, c->node->ct), c->as, c->err);
}

int item_check_writes(const struct file_call *c)
{
	return item_check_owner(item_of(c), c->who, c->err);
}

#define ITEM_DIR \
	{ .rows = item_rows, .count = ARRAY_LEN(item_rows), .exists = item_exists, .attr = item_attr, .check_writer = item_check_writer, \
	  .check_owner = item_check_writes, .chown = item_chown, .pread = pread_tarball, .closed = closed, .cancel = sjob_cancel }

const struct dir_ops layer_dir = ITEM_DIR;
const struct dir_ops storage_dir = ITEM_DIR;
