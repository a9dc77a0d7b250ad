#include "engine/wait.h"

#include <fnmatch.h>
#include <stdio.h>

#include "base/proc.h"
#include "base/units.h"
#include "engine/access.h"
#include "engine/cred.h"

#define NSEC_PER_MSEC UINT64_C(1000000)

struct waiting {
	struct waiting *next;
	uint64_t cookie;
	struct engine_cred who;
	struct strv masks;       /* of `.porto/wait[...]` */
	uint32_t view;           /* in the directory of which container: names are those below it */
	struct engine *e;
	struct loop_timer timer; /* its time-out */
};

bool mask_match(const char *mask, const char *name)
{
	size_t len = strlen(mask), n = strlen(name);

	if (strcmp(mask, "***") == 0)
		return true;
	if (len >= 3 && strcmp(mask + len - 3, "***") == 0)
		return strncmp(mask, name, len - 3) == 0;
	if (len >= 3 && strncmp(mask, "***", 3) == 0)
		return n >= len - 3 && strcmp(name + n - (len - 3), mask + 3) == 0;
	return fnmatch(mask, name, FNM_PATHNAME) == 0;
}

bool wait_is_over(struct ct *ct)
{
	if (ct->state == CT_STOPPED || ct->state == CT_DEAD || ct->state == CT_RESPAWNING)
		return true;
	if (ct->state != CT_META)
		return false;
	for (const struct ct *it = ct_next(ct, NULL); it != NULL; it = ct_next(ct, (struct ct *)it))
		if (it->state != CT_STOPPED && it->state != CT_DEAD && it->state != CT_RESPAWNING && it->state != CT_META)
			return false;
	return true;
}

static void waiting_free(struct waiting *w)
{
	loop_cancel(w->e->loop, &w->timer);
	strv_done(&w->masks);
	free(w);
}

int wait_one(struct ct *ct, const struct engine_cred *who, uint64_t cookie, struct text *out, struct err *err)
{
	struct waiting *w;

	if (wait_is_over(ct)) {
		text_addf(out, "%s\n", ct_state_names[ct->state]);
		return text_ok(out);
	}
	if (ct->waiting_count >= ct->e->conf->container_max_waiters)
		return err_set(err, ERR_ResourceNotAvailable, "wait: %u readers are waiting for %s already",
			       ct->waiting_count, ct->name);
	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return err_sys(err, ENOMEM, "wait");
	*w = (struct waiting){ .next = ct->waiting, .cookie = cookie, .who = *who, .e = ct->e };
	ct->waiting = w;
	ct->waiting_count++;
	return ENGINE_PENDING;
}

/* spec: "MASK;MASK...[,MSEC]" */
static int wait_parse(const char *spec, struct strv *masks, uint64_t *msec, struct err *err)
{
	autofree char *copy = strdup(spec);
	char *comma;

	if (copy == NULL)
		return err_sys(err, ENOMEM, "wait");
	comma = strchr(copy, ',');
	if (comma != NULL) {
		*comma = '\0';
		if (unit_uint_parse(comma + 1, msec) < 0)
			return err_set(err, ERR_InvalidValue, "wait: '%.50s': expected milliseconds", comma + 1);
	}
	for (char *p = copy; *p != '\0'; p++)
		if (*p == '%')
			*p = '/';
	if (strv_split(copy, ';', masks) < 0)
		return err_sys(err, ENOMEM, "wait");
	if (masks->n == 0)
		return err_set(err, ERR_InvalidValue, "wait: no name given");
	return 0;
}

/* self and self/x -> the name of the caller's container, as it is below view, before it. */
static int resolve_self(struct engine *e, const struct engine_cred *who, const struct ct *view, struct strv *masks)
{
	for (size_t i = 0; i < masks->n; i++) {
		const struct ct *home;
		const char *name = "";
		char *full;

		if (strncmp(masks->p[i], "self", 4) != 0 || (masks->p[i][4] != '/' && masks->p[i][4] != '\0'))
			continue;
		home = cred_caller(e, who);
		if (home != view && !access_name(view, home, &name))
			continue;
		if (asprintf(&full, "%s%s", name, masks->p[i] + MIN(name[0] != '\0' ? 4u : 5u, strlen(masks->p[i]))) < 0)
			return -ENOMEM;
		free(masks->p[i]);
		masks->p[i] = full;
	}
	return 0;
}

static bool is_mask(const char *text)
{
	return strpbrk(text, "*?[") != NULL;
}

/* NULL: it is not below the directory that was asked in. */
static const char *name_for(const struct waiting *w, const struct ct *ct)
{
	const struct ct *view = ct_find(w->e, w->view);
	const char *name;

	return view != NULL && access_name(view, ct, &name) ? name : NULL;
}

static bool matches(const struct waiting *w, const struct ct *ct)
{
	const char *name = name_for(w, ct);

	for (size_t i = 0; name != NULL && i < w->masks.n; i++)
		if (mask_match(w->masks.p[i], name))
			return access_shows(w->e, &w->who, ct);
	return false;
}

/* Is there such a container that the reader may know of? */
static bool is_there(const struct waiting *w, const char *name)
{
	const struct ct *view = ct_find(w->e, w->view), *ct;
	autotext struct text full = {};

	if (view->parent != NULL)
		text_addf(&full, "%s/", view->name);
	text_add(&full, name);
	ct = name[0] != '\0' ? ct_find_name(w->e, text_str(&full)) : view;
	return ct != NULL && access_shows(w->e, &w->who, ct);
}

static void timed_out(void *arg)
{
	struct waiting *w = arg, **p = &w->e->waiting;
	struct engine *e = w->e;
	uint64_t cookie = w->cookie;

	while (*p != w)
		p = &(*p)->next;
	*p = w->next;
	waiting_free(w);
	e->events->done(e->events_arg, cookie, 0, "", 0);
}

int wait_any(struct engine *e, const struct engine_cred *who, struct ct *view, uint64_t cookie, const char *spec, struct text *out,
	     struct err *err)
{
	struct waiting *w = calloc(1, sizeof(*w));
	uint64_t msec = UINT64_MAX;
	int r;

	if (w == NULL)
		return err_sys(err, ENOMEM, "wait");
	w->e = e;
	w->cookie = cookie;
	w->who = *who;
	w->view = view->id;
	r = wait_parse(spec, &w->masks, &msec, err);
	if (r == 0 && resolve_self(e, who, view, &w->masks) < 0)
		r = err_sys(err, ENOMEM, "wait");
	for (size_t i = 0; r == 0 && i < w->masks.n; i++)
		if (!is_mask(w->masks.p[i]) && !is_there(w, w->masks.p[i]))
			r = err_set(err, ERR_ContainerDoesNotExist, "container %.200s does not exist", w->masks.p[i]);
	for (struct ct *ct = r == 0 ? ct_next(e->root, NULL) : NULL; ct != NULL; ct = ct_next(e->root, ct))
		if (matches(w, ct) && wait_is_over(ct)) {
			text_addf(out, "%s\n", name_for(w, ct));
			waiting_free(w);
			return text_ok(out);
		}
	if (r < 0 || msec == 0) {
		waiting_free(w);
		return r;
	}
	if (msec != UINT64_MAX) {
		w->timer = (struct loop_timer){ .fn = timed_out, .arg = w };
		r = loop_after(e->loop, &w->timer, msec > UINT64_MAX / NSEC_PER_MSEC / 2 ? UINT64_MAX / 2 : msec * NSEC_PER_MSEC);
		if (r < 0) {
			waiting_free(w);
			return err_sys(err, -r, "wait");
		}
	}
	w->next = e->waiting;
	e->waiting = w;
	return ENGINE_PENDING;
}

/* The answer that it is gone, with its sentence for the reader alone. */
static void answer_gone(struct waiting *w, const char *name)
{
	struct err err = {};
	int r = err_set(&err, ERR_ContainerDoesNotExist, "container %s was destroyed", name);

	engine_note_error(w->e, &w->who, NULL, &err);
	w->e->events->done(w->e->events_arg, w->cookie, r, NULL, 0);
	waiting_free(w);
}

static void answer_own(struct ct *ct)
{
	struct waiting *w = ct->waiting;
	char line[32];
	int n = 0;

	ct->waiting = NULL;
	ct->waiting_count = 0;
	for (const char *s = ct_state_names[ct->state]; *s != '\0'; s++)
		line[n++] = *s;
	line[n++] = '\n';
	while (w != NULL) {
		struct waiting *next = w->next;

		ct->e->events->done(ct->e->events_arg, w->cookie, 0, line, (size_t)n);
		waiting_free(w);
		w = next;
	}
}

static void answer_masks(struct ct *ct)
{
	for (struct waiting **p = &ct->e->waiting; *p != NULL;) {
		struct waiting *w = *p;
		autotext struct text line = {};

		if (!matches(w, ct)) {
			p = &w->next;
			continue;
		}
		*p = w->next;
		text_addf(&line, "%s\n", name_for(w, ct));
		ct->e->events->done(ct->e->events_arg, w->cookie, 0, text_str(&line), line.len);
		waiting_free(w);
	}
}

/* A change of state can end the wait for the container itself and for meta containers above it. */
void wait_notify(struct ct *ct)
{
	for (struct ct *it = ct; it != NULL && it->parent != NULL; it = it->parent) {
		if (it->waiting == NULL && ct->e->waiting == NULL)
			continue;
		if (!wait_is_over(it))
			continue;
		answer_own(it);
		answer_masks(it);
	}
}

static bool names(const struct waiting *w, const struct ct *ct)
{
	const char *name = name_for(w, ct);

	for (size_t i = 0; name != NULL && i < w->masks.n; i++)
		if (strcmp(w->masks.p[i], name) == 0)
			return true;
	return false;
}

void wait_drop(struct ct *ct)
{
	for (struct waiting *w = ct->waiting, *next; w != NULL; w = next) {
		next = w->next;
		answer_gone(w, ct->name);
	}
	ct->waiting = NULL;
	ct->waiting_count = 0;
	for (struct waiting **p = &ct->e->waiting; *p != NULL;) {
		struct waiting *w = *p;

		if (!names(w, ct)) {
			p = &w->next;
			continue;
		}
		*p = w->next;
		answer_gone(w, ct->name);
	}
}

static bool cancel_in(struct waiting **list, uint64_t cookie)
{
	for (struct waiting **p = list; *p != NULL; p = &(*p)->next)
		if ((*p)->cookie == cookie) {
			struct waiting *w = *p;

			*p = w->next;
			waiting_free(w);
			return true;
		}
	return false;
}

bool wait_cancel(struct engine *e, uint64_t cookie)
{
	if (cancel_in(&e->waiting, cookie))
		return true;
	for (struct ct *ct = ct_next(e->root, NULL); ct != NULL; ct = ct_next(e->root, ct))
		if (ct->waiting != NULL && cancel_in(&ct->waiting, cookie)) {
			ct->waiting_count--;
			return true;
		}
	return false;
}

static void free_list(struct waiting **list)
{
	while (*list != NULL) {
		struct waiting *w = *list;

		*list = w->next;
		waiting_free(w);
	}
}

void wait_free(struct engine *e)
{
	free_list(&e->waiting);
	for (struct ct *ct = e->root != NULL ? ct_next(e->root, NULL) : NULL; ct != NULL; ct = ct_next(e->root, ct))
		free_list(&ct->waiting);
}
