/*
 * Values of a volume that are kept: parsed, checked, all or none of them changed and saved. Before it is built they are as in a
 * container's files; limits of one that is there are an operation.
 */
#include "base/fd.h"
#include "base/names.h"
#include "base/proc.h"
#include "base/units.h"
#include "engine/cred.h"
#include "engine/image.h"
#include "engine/limits.h"
#include "engine/vol.h"

#define PRIVATE_MAX 4096u

static struct vol *vol_of(const struct file_call *c)
{
	return vol_find(c->e, c->node->ct);
}

int vol_load(struct vol *v, int row, const char *text, struct err *err)
{
	const struct prop_type *t = vol_rows[row].type;
	union value new = {};
	int r;

	if (t == NULL)
		return err_set(err, ERR_InvalidProperty, "%s: not a property that can be set", vol_rows[row].name);
	r = t->parse(text, &new);
	if (r == -ENOMEM)
		return err_sys(err, ENOMEM, "%s", vol_rows[row].name);
	if (r < 0 && t == &type_bool)
		return err_set_no(err, ERR_Unknown, EINVAL, "%s: '%.200s': expected %s", vol_rows[row].name, text, t->expected);
	if (r < 0)
		return err_set(err, ERR_InvalidValue, "%s: '%.200s': expected %s", vol_rows[row].name, text, t->expected);
	if (t->release != NULL)
		t->release(&v->val[row]);
	v->val[row] = new;
	v->set |= UINT64_C(1) << row;
	return 0;
}

void vol_spec_format(const struct vol *v, struct text *out)
{
	for (int i = 0; i < VOL_FILES; i++) {
		autotext struct text value = {};

		if (vol_rows[i].type == NULL || !vol_is_set(v, i))
			continue;
		vol_rows[i].type->format(&v->val[i], &value);
		spec_line_format(out, vol_rows[i].name, text_str(&value));
	}
}

/* Only root makes something for others. */
static int set_user(struct vol *v, int row, const char *text, const struct engine_cred *as, struct err *err)
{
	uid_t uid;

	if (cred_user(text, &uid, NULL) < 0)
		return err_set(err, ERR_InvalidValue, "%s: no user '%.100s'", vol_rows[row].name, text);
	if (as->uid != 0 && uid != as->uid)
		return err_set(err, ERR_Permission, "%s: only root may name another user", vol_rows[row].name);
	*(row == VOL_user ? &v->user_uid : &v->owner_uid) = uid;
	return 0;
}

static int set_group(struct vol *v, int row, const char *text, const struct engine_cred *as, struct err *err)
{
	gid_t gid;

	if (cred_group(text, &gid) < 0)
		return err_set(err, ERR_InvalidValue, "%s: no group '%.100s'", vol_rows[row].name, text);
	if (as->uid != 0 && gid != as->gid && !cred_in_group(as->uid, gid))
		return err_set(err, ERR_Permission, "%s: user %u is not in group %u", vol_rows[row].name, (unsigned)as->uid,
			       (unsigned)gid);
	*(row == VOL_group ? &v->user_gid : &v->owner_gid) = gid;
	return 0;
}

static int set_owner_container(struct vol *v, struct ct *home, const char *text, const struct engine_cred *as, struct err *err)
{
	struct ct *ct = ct_find_seen(v->e, home, text);
	int r;

	if (ct == NULL)
		return err_set(err, ERR_ContainerDoesNotExist, "owner_container: no container '%.200s'", text);
	r = ct_is_root(ct) ? (cred_is_super(v->e, as) ? 0 : err_set(err, ERR_Permission, "owner_container: / belongs to root")) :
			     cred_check_owner(ct, as, err);
	if (r == 0)
		v->owner_ct = ct->id;
	return r;
}

static int check_value(struct vol *v, const struct file_call *c, int row, const char *text)
{
	struct engine_cred as;
	struct ct *home;

	cred_effective(v->e, c->who, &as, &home);
	switch (row) {
	case VOL_user:
	case VOL_owner_user:
		return set_user(v, row, text, &as, c->err);
	case VOL_group:
	case VOL_owner_group:
		return set_group(v, row, text, &as, c->err);
	case VOL_owner_container:
		return set_owner_container(v, home, text, &as, c->err);
	case VOL_target_container:
		if (ct_find_seen(v->e, home, text) == NULL)
			return err_set(c->err, ERR_ContainerDoesNotExist, "target_container: no container '%.200s'", text);
		return 0;
	case VOL_image:
		return image_check_name(v->e, text, c->err);
	case VOL_private:
		if (strlen(text) > PRIVATE_MAX)
			return err_set(c->err, ERR_InvalidValue, "private: %zu bytes: at most %u", strlen(text), PRIVATE_MAX);
		return 0;
	case VOL_permissions:
		if (v->val[VOL_permissions].u > 07777)
			return err_set(c->err, ERR_InvalidValue, "permissions: '%.50s': at most 7777", text);
		return 0;
	default:
		return 0;
	}
}

/* A value of a volume that is not built yet. */
static int set_value(struct vol *v, const struct file_call *c, int row, const char *text)
{
	int r = vol_load(v, row, text, c->err);

	return r < 0 ? r : check_value(v, c, row, text);
}

static int check_initial(const struct vol *v, const char *name, struct err *err)
{
	if (v->state == VS_INITIAL && v->ops == NULL)
		return 0;
	return err_set(err, ERR_InvalidState, "%s: can be set only before the volume is built; it is %s", name, vol_state_names[v->state]);
}

/* What one line, or a whole text, sets: all or nothing. */
struct setting {
	struct vol *v;
	const struct file_call *c;
	bool tuned_only;
	int row;           /* -1: of each line */
};

static int set_line(void *arg, const char *name, const char *value, size_t line)
{
	struct setting *s = arg;
	int row = engine_file_find(DIR_VOLUME, name);

	(void)line;
	if (row < 0 || vol_rows[row].type == NULL)
		return err_set(s->c->err, ERR_InvalidProperty, "%.100s: no such property of a volume", name);
	if (s->tuned_only && vol_rows[row].flags != (V_TUNE))
		return err_set(s->c->err, ERR_InvalidProperty, "%.100s: cannot be changed, only limits and guarantees can", name);
	return set_value(s->v, s->c, row, value);
}

/* Values and who: what a refused change gives back. */
struct vol_before {
	bool extended; /* by the value that is being set */
	union value val[VOL_FILES];
	uint64_t set;
	uid_t owner_uid, user_uid;
	gid_t owner_gid, user_gid;
	uint32_t owner_ct;
};

static void values_done(union value *val)
{
	for (int i = 0; i < VOL_FILES; i++)
		if (vol_rows[i].type != NULL && vol_rows[i].type->release != NULL)
			vol_rows[i].type->release(&val[i]);
}

static int before_take(const struct vol *v, struct vol_before *b)
{
	*b = (struct vol_before){ .set = v->set,	      .owner_uid = v->owner_uid, .owner_gid = v->owner_gid,
				  .user_uid = v->user_uid, .user_gid = v->user_gid,   .owner_ct = v->owner_ct };
	for (int i = 0; i < VOL_FILES; i++) {
		const struct prop_type *t = vol_rows[i].type;

		if (t != NULL && t->copy != NULL && t->copy(&v->val[i], &b->val[i]) < 0) {
			values_done(b->val);
			return -ENOMEM;
		}
		if (t != NULL && t->copy == NULL)
			b->val[i] = v->val[i];
	}
	return 0;
}

static void before_restore(struct vol *v, struct vol_before *b)
{
	values_done(v->val);
	memcpy(v->val, b->val, sizeof(v->val));
	v->set = b->set;
	v->owner_uid = b->owner_uid;
	v->owner_gid = b->owner_gid;
	v->user_uid = b->user_uid;
	v->user_gid = b->user_gid;
	v->owner_ct = b->owner_ct;
}

/* The values to go back to if this is refused: of a value that comes in pieces, those before the first. */
static struct vol_before *before_of(struct vol *v, uint64_t extends)
{
	struct vol_before *b = NULL;

	if (extends != 0 && v->before != NULL && v->before_cookie == extends && v->unique == extends) {
		b = TAKE_PTR(v->before);
		b->extended = true;
		return b;
	}
	b = calloc(1, sizeof(*b));
	if (b != NULL && before_take(v, b) < 0) {
		free(b);
		return NULL;
	}
	return b;
}

void vol_drop_before(struct vol *v)
{
	if (v->before != NULL)
		values_done(v->before->val);
	free(TAKE_PTR(v->before));
}

void vol_take_back(struct engine *e, uint64_t cookie, const struct engine_node *n, uint64_t extends, int result)
{
	struct vol *v = vol_find(e, n->ct);
	struct vol_before *b;

	if (v == NULL || v->state != VS_INITIAL || v->before == NULL || v->before_cookie != extends || v->unique != extends)
		return;
	b = TAKE_PTR(v->before);
	before_restore(v, b);
	free(b);
	(void)vol_save(v, cookie, result, NULL);
}

/* Sets a line's value or all lines; saved with the cookie, or everything is as before. */
static int change_initial(struct vol *v, const struct file_call *c, const char *text, size_t len, int row)
{
	struct setting s = { .v = v, .c = c };
	struct vol_before *before = before_of(v, c->value->extends);
	int64_t changed = v->change_wall;
	size_t line = 0;
	bool extended;
	int r;

	if (before == NULL)
		return err_sys(c->err, ENOMEM, "volume");
	c->err->kind = ERR_Success;
	r = row >= 0 ? set_value(v, c, row, text) : spec_parse(text, len, set_line, &s, &line);
	if (r < 0 && row < 0 && c->err->kind == ERR_Success)
		r = err_set(c->err, ERR_InvalidValue, "spec: line %zu: expected `name = value`", line);
	v->change_wall = (int64_t)(clock_wall() / 1000000000u);
	if (r == 0)
		r = vol_save(v, c->cookie, 0, c->err);
	if (r == 0) {
		vol_drop_before(v);
		v->before = before;
		v->before_cookie = c->cookie;
		return 0;
	}
	v->change_wall = changed;
	extended = before->extended;
	before_restore(v, before);
	free(before);
	if (extended)
		(void)vol_save(v, c->cookie, r, NULL);
	return r;
}

int vol_write_lines(const struct file_call *c, struct vol *v, const char *text, size_t len)
{
	return change_initial(v, c, text, len, -1);
}

int vol_write_spec(const struct file_call *c, const char *text)
{
	struct vol *v = vol_of(c);
	int r = check_initial(v, "spec", c->err);

	return r < 0 ? r : change_initial(v, c, text, strlen(text), -1);
}

/* Limits of a volume that is there: an operation. The row's text, or lines. */
static int tune(const struct file_call *c, const char *text, int row)
{
	struct vol *v = vol_of(c);
	struct setting s = { .v = v, .c = c, .tuned_only = true };
	struct vol_before before;
	struct vop *op;
	size_t line = 0;
	int r;

	if (v->state != VS_READY && v->state != VS_TUNING)
		return err_set(c->err, ERR_VolumeNotReady, "volume %u is %s", (unsigned)v->id, vol_state_names[v->state]);
	if (before_take(v, &before) < 0 || (op = vop_new(v, VOP_TUNE, c->who, c->cookie)) == NULL)
		return err_sys(c->err, ENOMEM, "tune");
	c->err->kind = ERR_Success;
	r = row >= 0 ? set_value(v, c, row, text) : spec_parse(text, strlen(text), set_line, &s, &line);
	if (r < 0 && row < 0 && c->err->kind == ERR_Success)
		r = err_set(c->err, ERR_InvalidValue, "tune: line %zu: expected `name = value`", line);
	vol_limits_of(v, &op->limits);
	op->tuned = v->set & ~before.set;
	before_restore(v, &before);
	if (r < 0) {
		vop_free(op);
		return r;
	}
	return vop_begin(v, op, c->err);
}

int vol_write_tune(const struct file_call *c, const char *text)
{
	struct vol *v = vol_of(c);

	return v->state == VS_INITIAL && v->ops == NULL ? vol_write_spec(c, text) : tune(c, text, -1);
}

int vol_write_value(const struct file_call *c, const char *text)
{
	struct vol *v = vol_of(c);
	autotext struct text whole = {};
	union value sum = {};
	int row = c->node->file, r;

	if (c->row->flags == (V_TUNE) && !(v->state == VS_INITIAL && v->ops == NULL))
		return tune(c, text, row);
	r = check_initial(v, c->row->name, c->err);
	if (r < 0)
		return r;
	if (c->value->append) {
		if (c->row->type->append == NULL || c->row->type->append(&v->val[row], text, &sum) < 0)
			return err_set(c->err, ERR_InvalidValue, "%s: nothing can be appended to it", c->row->name);
		c->row->type->format(&sum, &whole);
		c->row->type->release(&sum);
		text = text_str(&whole);
	}
	return change_initial(v, c, text, strlen(text), row);
}
