/*
 * Counters, of one container (`stat`) and of all (`metrics`). They are read container by container, so that a file that
 * several come from is read once, and printed family by family, as the format wants it.
 */
#include "base/names.h"
#include "engine/access.h"
#include "engine/daemon.h"
#include "engine/dirs.h"
#include "engine/hooks.h"
#include "engine/metrics_text.h"
#include "engine/vol.h"

/* Until round_end a container's counters are taken from the kernel once, by descriptors that stay open for the next round. */
static void round_begin(struct engine *e)
{
	e->round = ++e->rounds;
	cg_keep(e->cgroups, true);
}

static void round_end(struct engine *e)
{
	cg_keep(e->cgroups, false);
	e->round = 0;
}

int read_stat(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	(void)key;
	(void)err;
	round_begin(ct->e);
	for (int i = 0; i < PROP_COUNT; i++) {
		autotext struct text v = {};

		if ((props[i].flags & P_STAT) && prop_read(ct, i, NULL, &v, NULL) == 0)
			stat_lines(&props[i], text_str(&v), v.len, out);
	}
	round_end(ct->e);
	return text_ok(out);
}

/* What is printed, gathered so that printing does not go through all containers (cold memory) for each family. */
struct table {
	int rows[PROP_COUNT]; /* the counters' numbers */
	size_t n, containers;
	const char **names;   /* of containers, borrowed */
	struct text values;   /* of the first container by rows, of the second ... */
	size_t *ends;         /* where each ends; one that there is none of is empty */
};

static void truncate_text(struct text *t, size_t len)
{
	if (t->len > len)
		t->p[t->len = len] = '\0';
}

static void collect_one(struct ct *ct, const char *name, struct table *t)
{
	size_t *ends = t->ends + t->containers * t->n;

	for (size_t i = 0; i < t->n; i++) {
		size_t before = t->values.len;

		if (prop_read(ct, t->rows[i], NULL, &t->values, NULL) < 0)
			truncate_text(&t->values, before);
		ends[i] = t->values.len;
	}
	t->names[t->containers++] = name;
}

/* Those that the reader may know of, below the directory it reads in. */
static int collect(const struct file_call *c, struct table *t)
{
	const struct ct *view = dir_view(c->e, c->node);
	struct engine *e = c->e;
	const char *name;

	for (int i = 0; i < PROP_COUNT; i++)
		if (props[i].flags & P_STAT)
			t->rows[t->n++] = i;
	t->ends = calloc(e->count * t->n + 1, sizeof(*t->ends));
	t->names = calloc(e->count + 1, sizeof(*t->names));
	if (t->ends == NULL || t->names == NULL)
		return -ENOMEM;
	round_begin(e);
	for (struct ct *ct = ct_next(e->root, NULL); ct != NULL; ct = ct_next(e->root, ct))
		if (access_name(view, ct, &name) && access_shows(e, c->who, ct))
			collect_one(ct, name, t);
	round_end(e);
	return text_ok(&t->values);
}

static void print_family(const struct table *t, size_t row, enum metrics_form form, struct text *out)
{
	struct family f;

	family_begin(&f, &props[t->rows[row]], form, out);
	for (size_t i = 0; i < t->containers; i++) {
		size_t at = i * t->n + row, start = at > 0 ? t->ends[at - 1] : 0;

		if (t->ends[at] > start)
			family_sample(&f, t->names[i], t->values.p + start, t->ends[at] - start, out);
	}
	family_done(&f);
}

int read_metrics(const struct file_call *c, struct text *out)
{
	static const char *const forms[] = { [METRICS_TEXT] = "text", [METRICS_OPEN] = "openmetrics" };
	struct engine *e = c->e;
	struct table t = {};
	size_t containers;
	int form = c->key != NULL ? names_find(forms, ARRAY_LEN(forms), c->key) : METRICS_TEXT;
	int r;

	if (form < 0)
		return err_set(c->err, ERR_InvalidValue, "metrics[%.50s]: expected text or openmetrics", c->key);
	r = collect(c, &t);
	containers = t.containers;
	for (size_t i = 0; r == 0 && i < t.n; i++)
		print_family(&t, i, (enum metrics_form)form, out);
	free(t.ends);
	free(t.names);
	text_done(&t.values);
	if (r < 0)
		return err_sys(c->err, -r, "metrics");
	vol_metrics(e, c->who, out);
	text_addf(out, "# TYPE porto_containers gauge\n# HELP porto_containers containers there are\nporto_containers %zu\n# EOF\n",
		  containers);
	return text_ok(out);
}
