#include "engine/props.h"

#include "engine/cred.h"
#include "engine/ct.h"
#include "engine/hooks.h"
#include "engine/limits.h"
#include "engine/save.h"
#include "engine/taken.h"

const struct prop props[PROP_COUNT] = {
#define PROP(id, ...) [PROP_##id] = { .name = #id, __VA_ARGS__ },
#include "engine/props.def"
#undef PROP
};

int prop_find(const char *name)
{
	size_t lo = 0, hi = PROP_knob; /* the rows before `knob` are sorted; knob has no name of its own */

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int order = strcmp(name, props[mid].name);

		if (order == 0)
			return (int)mid;
		if (order < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return -ENOENT;
}

int props_init(struct ct *ct)
{
	for (int i = 0; i < PROP_COUNT; i++)
		if (props[i].type != NULL && props[i].def != NULL) {
			int r = props[i].type->parse(props[i].def, &ct->val[i]);
			if (r < 0)
				return r;
		}
	ct->val[PROP_stdout_limit].u = ct->e->conf->container_stdout_limit;
	ct->val[PROP_aging_time].u = ct->e->conf->container_default_aging_time;
	return 0;
}

static void value_release(int prop, union value *v)
{
	if (props[prop].type != NULL && props[prop].type->release != NULL)
		props[prop].type->release(v);
	memset(v, 0, sizeof(*v));
}

void props_done(struct ct *ct)
{
	for (int i = 0; i < PROP_COUNT; i++)
		value_release(i, &ct->val[i]);
}

static void mark_set(struct ct *ct, int prop, bool on)
{
	uint64_t bit = UINT64_C(1) << (prop % 64);

	if (on)
		ct->set[prop / 64] |= bit;
	else
		ct->set[prop / 64] &= ~bit;
}

static int check_readable(const struct ct *ct, const struct prop *p, struct err *err)
{
	if (p->reads == READ_RUNTIME && (ct->state == CT_STOPPED || ct->state == CT_STARTING))
		return err_set_no(err, ERR_InvalidState, ENODATA, "%s: not available in state %s", p->name,
				  ct_state_names[ct->state]);
	if (p->reads == READ_DEAD && ct->state != CT_DEAD)
		return err_set_no(err, ERR_InvalidState, ENODATA, "%s: available only in state dead, not %s", p->name,
				  ct_state_names[ct->state]);
	return 0;
}

static int check_supported(const struct ct *ct, const struct prop *p, struct err *err)
{
	unsigned missing = p->ctls & ~cg_available(ct->e->cgroups);
	const char *why;

	for (int i = 0; missing != 0 && i < CG_CTLS; i++)
		if (missing & CG_BIT(i))
			return err_set(err, ERR_NotSupported, "%s: this host has no usable %s cgroup controller", p->name,
				       cg_name((enum cg_ctl)i));
	why = p->lacks != NULL ? p->lacks(ct->e->cgroups) : NULL;
	return why != NULL ? err_set(err, ERR_NotSupported, "%s: not supported: %s", p->name, why) : 0;
}

int prop_read(struct ct *ct, int prop, const char *key, struct text *out, struct err *err)
{
	const struct prop *p = &props[prop];
	int r;

	r = check_supported(ct, p, err);
	if (r < 0)
		return r;
	r = check_readable(ct, p, err);
	if (r < 0)
		return r;
	if (p->read != NULL)
		return p->read(ct, key, out, err);
	if (key == NULL) {
		p->type->format(&ct->val[prop], out);
		return text_ok(out);
	}
	if (p->type->get_key == NULL)
		return err_set(err, ERR_InvalidValue, "Invalid subscript for property %s", p->name);
	r = p->type->get_key(&ct->val[prop], key, out);
	if (r == -ENODATA)
		return err_set_no(err, ERR_InvalidValue, ENODATA, "%s[%s]: not set", p->name, key);
	return r < 0 ? err_set(err, ERR_InvalidProperty, "%s[%s]: no such index", p->name, key) : 0;
}

static int lacks_controller(struct change *c)
{
	const struct prop *p = &props[c->prop];
	unsigned missing = p->ctls & ~c->ct->cg.own;
	const char *name = missing != 0 ? cg_name((enum cg_ctl)__builtin_ctz(missing)) : "";

	return err_set(c->err, ERR_NotSupported,
		       "%s: container %s was started without a %s cgroup of its own: stop it and set this then, or have %s in "
		       "container.default_controllers", p->name, c->ct->name, name, name);
}

/* Rule 4 of PROPERTIES.md 2, up to the value itself. */
static int check_writable(struct change *c)
{
	const struct prop *p = &props[c->prop];
	struct ct *ct = c->ct;
	int r;

	if (ct_is_root(ct))
		return err_set_no(c->err, ERR_Permission, EPERM, "The root container is read-only");
	r = check_supported(ct, p, c->err);
	if (r < 0)
		return r;
	if (p->when == WHEN_NEVER)
		return err_set_no(c->err, ERR_InvalidValue, EACCES, "%s: read-only", p->name);
	if ((p->when == WHEN_STOPPED && ct->state != CT_STOPPED) || (p->when == WHEN_DYNAMIC && ct->state == CT_DEAD))
		return err_set(c->err, ERR_InvalidState, "%s: cannot be changed in state %s", p->name,
			       ct_state_names[ct->state]);
	if (ct->state != CT_STOPPED && (p->ctls & ~ct->cg.own) != 0)
		return lacks_controller(c);
	return 0;
}

static int bad_value(struct change *c, int r)
{
	const struct prop_type *t = props[c->prop].type;
	autotext struct text word = {};

	if (r == -ENOMEM)
		return err_sys(c->err, ENOMEM, "%s", props[c->prop].name);
	if (props[c->prop].flags & P_SECRET) /* everybody may read the error */
		return err_set(c->err, ERR_InvalidValue, "%s: expected %s", props[c->prop].name, t->expected);
	if (t == &type_bool) /* the original's kind for it */
		return err_set_no(c->err, ERR_Unknown, EINVAL, "%s: '%.200s': expected %s", props[c->prop].name, c->text,
				  t->expected);
	if (t->wrong != NULL)
		t->wrong(c->key != NULL ? c->key : c->text, &word);
	return err_set(c->err, ERR_InvalidValue, "%s: '%.200s': expected %s", props[c->prop].name,
		       word.len > 0 ? text_str(&word) : c->text, t->expected);
}

/* Text -> the whole new value in *v. */
static int parse_change(struct change *c, union value *v)
{
	const struct prop_type *t = props[c->prop].type;
	const union value *old = &c->ct->val[c->prop];
	int r;

	if (memchr(c->text, '\0', c->len) != NULL)
		return err_set(c->err, ERR_InvalidValue, "%s: a zero byte in the value", props[c->prop].name);
	if (c->key != NULL) {
		if (t->set_key == NULL)
			return err_set(c->err, ERR_InvalidValue, "Invalid subscript for property %s", props[c->prop].name);
		r = t->set_key(old, c->key, c->text, v);
	} else if (c->append || (props[c->prop].flags & P_MERGE)) {
		if (t->append == NULL)
			return err_set(c->err, ERR_InvalidValue, "%s: nothing can be appended to it", props[c->prop].name);
		r = t->append(old, c->text, v);
	} else {
		r = t->parse(c->text, v);
	}
	if (r >= 0)
		return 0;
	if (t == &type_labels && r == -EINVAL)
		return err_set(c->err, ERR_InvalidLabel, "%s: '%.200s': expected %s", c->key != NULL ? c->key : "labels",
			       c->text, t->expected);
	return bad_value(c, r);
}

/* Lists and maps grow with each >> and each [key]: it is the whole that counts. */
static int check_size(const struct change *c, const union value *v)
{
	const struct prop *p = &props[c->prop];
	unsigned max = p->type == &type_labels ? LABELS_BYTES_MAX : VALUE_BYTES_MAX;
	autotext struct text whole = {};

	p->type->format(v, &whole);
	if (text_ok(&whole) < 0)
		return err_sys(c->err, ENOMEM, "%s", p->name);
	if (whole.len > max)
		return err_set_no(c->err, ERR_InvalidValue, E2BIG, "%s: the whole value would have %zu bytes: at most %u", p->name,
				  whole.len, max);
	return 0;
}

/* Parse, check, apply, swap: everything but rights and saving. */
static int change_value(struct change *c)
{
	const struct prop *p = &props[c->prop];
	struct ct *ct = c->ct;
	bool was_set = prop_is_set(ct, c->prop);
	union value v = {};
	int r;

	r = parse_change(c, &v);
	if (r < 0)
		return r;
	c->value = &v;
	r = check_size(c, &v);
	if (r == 0 && p->check != NULL)
		r = p->check(c);
	if (r < 0)
		goto release;
	mark_set(ct, c->prop, true);
	if (p->apply != NULL && ct_has_resources(ct) && !(was_set && p->type->equal(&ct->val[c->prop], &v))) {
		r = p->apply(ct, &v, c->err);
		if (r < 0) {
			mark_set(ct, c->prop, was_set);
			(void)p->apply(ct, &ct->val[c->prop], NULL);
			goto release;
		}
	}
	if (ct->state == CT_STOPPED)
		ct->controllers |= p->ctls;
	value_release(c->prop, &ct->val[c->prop]);
	ct->val[c->prop] = v;
	c->value = &ct->val[c->prop];
	if (p->commit != NULL)
		p->commit(c);
	if (p->settle != NULL)
		p->settle(ct);
	return 0;
release:
	taken_close(ct->e, c->taken_fd - 1);
	c->taken_fd = 0;
	value_release(c->prop, &v);
	c->value = NULL;
	return r;
}

int prop_change(struct change *c)
{
	int r = check_writable(c);

	if (r < 0)
		return r;
	if (props[c->prop].write != NULL)
		return props[c->prop].write(c);
	return change_value(c);
}

int prop_write(struct change *c)
{
	autosaved struct snapshot old = {};
	int r;

	if (props[c->prop].flags & (P_ACTION | P_FILE)) {
		r = check_writable(c);
		return r < 0 ? r : props[c->prop].write(c);
	}
	r = snapshot_take(c->ct, &old);
	if (r < 0)
		return err_sys(c->err, -r, "%s", props[c->prop].name);
	r = prop_change(c);
	if (r == 0)
		r = snapshot_commit(c->ct, &old, c->cookie, c->err);
	/* an entry that was added is never the first part of a longer one */
	if (r == 0 && !c->append)
		undo_keep(c->ct, c->cookie, &old);
	return r;
}

int prop_load(struct ct *ct, int prop, const char *text, struct err *err)
{
	const struct prop *p = &props[prop];
	union value v = {};
	int r;

	if (p->type == NULL)
		return err_set(err, ERR_InvalidProperty, "%s: not a stored property", p->name);
	r = p->type->parse(text, &v);
	if (r < 0)
		return err_set(err, ERR_InvalidValue, "%s: '%.200s': expected %s", p->name, p->flags & P_SECRET ? "..." : text,
			       p->type->expected);
	value_release(prop, &ct->val[prop]);
	ct->val[prop] = v;
	mark_set(ct, prop, true);
	return 0;
}

int props_apply_all(struct ct *ct, struct err *err)
{
	for (int i = 0; i < PROP_COUNT; i++) {
		int r;

		if (props[i].apply == NULL || (props[i].ctls & ~ct->cg.own) != 0)
			continue;
		r = props[i].apply(ct, &ct->val[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- snapshots: a change of one or many properties, all or nothing ---- */

int snapshot_take(struct ct *ct, struct snapshot *s)
{
	for (int i = 0; i < PROP_COUNT; i++) {
		const struct prop_type *t = props[i].type;
		int r = 0;

		if (t == NULL)
			continue;
		if (t->copy != NULL)
			r = t->copy(&ct->val[i], &s->val[i]);
		else
			s->val[i] = ct->val[i];
		if (r < 0) {
			snapshot_done(s);
			return r;
		}
	}
	memcpy(s->set, ct->set, sizeof(s->set));
	s->owner_uid = ct->owner_uid;
	s->owner_gid = ct->owner_gid;
	s->task_uid = ct->task_uid;
	s->task_gid = ct->task_gid;
	s->controllers = ct->controllers;
	s->ct = ct;
	return 0;
}

/* After all values are back: an unset one may stand for a default, or for what another property says. */
static void apply_again(struct ct *ct, int prop)
{
	const struct prop *p = &props[prop];

	if (p->apply != NULL && ct_has_resources(ct) && (p->ctls & ~ct->cg.own) == 0)
		(void)p->apply(ct, &ct->val[prop], NULL);
	if (p->settle != NULL)
		p->settle(ct);
}

void snapshot_restore(struct snapshot *s)
{
	struct ct *ct = s->ct;
	bool changed[PROP_COUNT] = {};

	for (int i = 0; i < PROP_COUNT; i++) {
		union value v = ct->val[i];

		if (props[i].type == NULL)
			continue;
		changed[i] = !props[i].type->equal(&v, &s->val[i]) ||
			     ((ct->set[i / 64] ^ s->set[i / 64]) >> (i % 64) & 1) != 0;
		ct->val[i] = s->val[i];
		s->val[i] = v;
	}
	memcpy(ct->set, s->set, sizeof(s->set));
	ct->owner_uid = s->owner_uid;
	ct->owner_gid = s->owner_gid;
	ct->task_uid = s->task_uid;
	ct->task_gid = s->task_gid;
	ct->controllers = s->controllers;
	for (int i = 0; i < PROP_COUNT; i++)
		if (changed[i])
			apply_again(ct, i);
}

int snapshot_commit(struct ct *ct, struct snapshot *s, uint64_t cookie, struct err *err)
{
	int64_t changed = ct->change_wall;
	int r;

	ct->change_wall = (int64_t)(clock_wall() / 1000000000u);
	r = save_change(ct, cookie, err);
	if (r < 0) {
		ct->change_wall = changed;
		snapshot_restore(s);
	}
	return r;
}

void snapshot_done(struct snapshot *s)
{
	for (int i = 0; i < PROP_COUNT; i++)
		value_release(i, &s->val[i]);
}
