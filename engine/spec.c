/* The `spec` file: all set properties in one text, read and written as a whole. */
#include "engine/ct.h"
#include "engine/hooks.h"
#include "engine/save.h"

/* What a record keeps but a clone must not get: a claim tied to a descriptor, a value that may not be shown. */
static bool in_spec(int prop)
{
	return props[prop].type != NULL && props[prop].when != WHEN_NEVER && !(props[prop].flags & (P_HOLD | P_SECRET));
}

static void controllers_text(const struct ct *ct, struct text *out)
{
	for (int i = 0; i < CG_CTLS; i++)
		if (ct->controllers & CG_BIT(i))
			text_addf(out, "%s%s", out->len > 0 ? ";" : "", cg_name((enum cg_ctl)i));
}

void props_spec(struct ct *ct, struct text *out)
{
	for (int i = 0; i < PROP_COUNT; i++) {
		autotext struct text value = {};

		if (!prop_is_set(ct, i))
			continue;
		if (i == PROP_controllers)
			controllers_text(ct, &value);
		else if (in_spec(i))
			props[i].type->format(&ct->val[i], &value);
		else if (props[i].flags & P_SECRET)
			text_addf(out, "# %s is set and not shown\n", props[i].name);
		if (i == PROP_controllers || in_spec(i))
			spec_line_format(out, props[i].name, text_str(&value));
	}
}

static int spec_line(void *arg, const char *name, const char *value, size_t line)
{
	const struct change *whole = arg;
	struct change part = *whole;
	autofree char *copy = strdup(value), *base = strdup(name);
	size_t key = 0;
	int r;

	(void)line;
	if (copy == NULL || base == NULL)
		return -ENOMEM;
	part.append = false;
	part.key = NULL;
	part.prop = prop_find(name);
	if (part.prop < 0) {
		r = engine_name(DIR_CT, base, &part.prop, &key);
		if (r < 0 || part.prop >= PROP_knob)
			return err_set(whole->err, ERR_InvalidProperty, "%.100s: no such property", name);
		if (key > 0 && base[strlen(base) - 1] == ']')
			base[strlen(base) - 1] = '\0';
		part.key = base + key;
	}
	if (props[part.prop].flags & (P_FILE | P_ACTION))
		return err_set(whole->err, ERR_InvalidProperty, "%.100s: not a property", name);
	part.text = text_trim(copy);
	part.len = strlen(part.text);
	return prop_change(&part);
}

int props_spec_write(struct change *c)
{
	autosaved struct snapshot old = {};
	size_t line = 0;
	int r;

	r = snapshot_take(c->ct, &old);
	if (r < 0)
		return err_sys(c->err, -r, "spec");
	c->err->kind = ERR_Success;
	r = spec_parse(c->text, c->len, spec_line, c, &line);
	if (r < 0) {
		snapshot_restore(&old);
		if (c->err->kind == ERR_Success)
			return err_set(c->err, ERR_InvalidValue, "spec: line %zu: expected `name = value`", line);
		return err_wrap(c->err, r, "spec: line %zu", line);
	}
	r = snapshot_commit(c->ct, &old, c->cookie, c->err);
	if (r == 0)
		undo_keep(c->ct, c->cookie, &old);
	return r;
}

int read_spec(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	(void)key;
	(void)err;
	props_spec(ct, out);
	return text_ok(out);
}
