/*
 * The directory `.images` and those of the images in it, which are named by the first digits of their ids. Which are
 * seen is as with layers: those of the places that the container may use; of another than its default one
 * `%ssd%%DIGITS` is in /ssd.
 */
#include <fnmatch.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/path.h"
#include "engine/cred.h"
#include "engine/image.h"

#define I_READ (FILE_READ | FILE_LISTED | FILE_LARGE)

/* ---- names ---- */

static void format_name(const struct image_view *v, const char *own_place, struct text *out)
{
	if (own_place == NULL || strcmp(v->place->path, own_place) != 0) {
		for (const char *p = v->place->path; *p != '\0'; p++)
			text_addc(out, *p == '/' ? '%' : *p);
		text_add(out, "%%");
	}
	text_addn(out, v->rec->id, IMAGE_SHORT);
}

static int lookup(struct engine *e, const struct engine_node *n, const char *name, enum engine_dir *dir, uint32_t *id)
{
	const struct ct *view = dir_view(e, n);
	autofree char *own = place_default(view);

	for (struct image_place *p = e->store->images; p != NULL; p = p->next) {
		if (!place_may_use(view, p->path))
			continue;
		for (size_t i = 0; i < p->recs.n; i++) {
			const struct image_view v = { p, &p->recs.p[i], &p->extra[i] };
			autotext struct text have = {};

			format_name(&v, own, &have);
			if (strcmp(text_str(&have), name) != 0)
				continue;
			*dir = DIR_IMAGE;
			*id = v.extra->id;
			return 0;
		}
	}
	return -ENOENT;
}

static bool next_child(struct engine *e, const struct engine_node *n, struct engine_child *child)
{
	static struct text name;
	const struct ct *view = dir_view(e, n);
	autofree char *own = place_default(view);
	struct image_view best = {};

	for (struct image_place *p = e->store->images; p != NULL; p = p->next) {
		if (!place_may_use(view, p->path))
			continue;
		for (size_t i = 0; i < p->recs.n; i++)
			if (p->extra[i].id > child->number && (best.extra == NULL || p->extra[i].id < best.extra->id))
				best = (struct image_view){ p, &p->recs.p[i], &p->extra[i] };
	}
	if (best.extra == NULL)
		return false;
	text_clear(&name);
	format_name(&best, own, &name);
	*child = (struct engine_child){
		.number = best.extra->id, .name = text_str(&name), .dir = DIR_IMAGE, .id = best.extra->id
	};
	return true;
}

/* ---- what is read in `.images` ---- */

static void add_joined(const struct strv *list, struct text *out)
{
	for (size_t i = 0; i < list->n; i++)
		text_addf(out, "%s%s", i > 0 ? ";" : "", list->p[i]);
	text_addc(out, '\t');
}

static int read_list(const struct file_call *c, struct text *out)
{
	const struct ct *view = dir_view(c->e, c->node);

	for (const struct image_place *p = c->e->store->images; p != NULL; p = p->next)
		for (size_t i = 0; i < p->recs.n && place_may_use(view, p->path); i++) {
			const struct image_record *rec = &p->recs.p[i];

			text_addf(out, "%s\t", rec->id);
			add_joined(&rec->tags, out);
			add_joined(&rec->digests, out);
			text_addf(out, "%llu\t", (unsigned long long)rec->size);
			for (const char *s = rec->created; *s != '\0'; s++)
				text_addc(out, (unsigned char)*s < ' ' ? '?' : *s);
			text_addf(out, "\t%s\n", p->path);
		}
	return text_ok(out);
}

static int read_progress(const struct file_call *c, struct text *out)
{
	for (const struct sjob *j = c->e->store->jobs; j != NULL; j = j->next) {
		if ((j->kind != SJ_IMAGE_IMPORT && j->kind != SJ_IMAGE_PULL) || j->phase == SJP_OVER ||
		    !place_may_use(dir_view(c->e, c->node), j->place))
			continue;
		text_addf(out, "%s ", j->path[0] != '\0' ? j->path : j->name);
		sjob_progress(j, out);
	}
	return text_ok(out);
}

static int find_in(struct engine *e, const char *place, const char *name, struct image_view *ret, struct err *err)
{
	const struct image_defaults def = image_defaults(e->conf);
	struct image_place *p = image_place_find(e, place);
	int r;

	if (p == NULL)
		return err_set(err, ERR_DockerImageNotFound, "image '%.255s' is not in place %s", name, place);
	r = image_records_find(&p->recs, name, &def, &ret->rec, err);
	if (r < 0)
		return r;
	ret->place = p;
	ret->extra = &p->extra[ret->rec - p->recs.p];
	return 0;
}

/* ---- jobs ---- */

/* What was written: `SUBJECT; name=value; ...` */
struct request {
	struct strv words;
	const char *subject;
	const char *name, *place, *arch, *auth, *service, *token; /* NULL: not said */
	char *resolved;                                           /* the place */
};

static void request_done(struct request *q)
{
	strv_done(&q->words);
	free(q->resolved);
}

#define autorequest __attribute__((cleanup(request_done)))

static int take_word(struct request *q, char *word, struct err *err)
{
	const struct {
		const char *name;
		const char **at;
	} rows[] = { { "arch", &q->arch },   { "auth", &q->auth },       { "name", &q->name },
		     { "place", &q->place }, { "service", &q->service }, { "token", &q->token } };
	char *value = strchr(word, '=');

	if (value != NULL)
		*value++ = '\0';
	for (size_t i = 0; value != NULL && i < ARRAY_LEN(rows); i++)
		if (strcmp(text_trim(word), rows[i].name) == 0) {
			*rows[i].at = text_trim(value);
			return 0;
		}
	return err_set(err, ERR_InvalidValue,
		       "'%.50s': expected name=, place=, arch=, auth=, service= or token=", word);
}

static int request_parse(const char *text, struct request *q, struct err *err)
{
	int r = strv_split(text, ';', &q->words);

	if (r < 0)
		return err_sys(err, ENOMEM, "images");
	if (q->words.n == 0)
		return err_set(err, ERR_InvalidValue, "expected `NAME OR PATH; name=value; ...`");
	q->subject = q->words.p[0];
	for (size_t i = 1; r == 0 && i < q->words.n; i++)
		r = take_word(q, q->words.p[i], err);
	return r;
}

static int read_find(const struct file_call *c, struct text *out)
{
	const struct ct *view = dir_view(c->e, c->node);
	autofree char *text = c->key != NULL ? strdup(c->key) : NULL, *own = place_default(view);
	autorequest struct request q = {};
	struct image_view v;
	int r;

	if (text == NULL)
		return err_set(c->err, ERR_InvalidValue,
			       "find: expected find[NAME] or find[NAME; place=DIRECTORY], slashes written %%");
	for (char *p = text; *p != '\0'; p++)
		if (*p == '%')
			*p = '/';
	r = request_parse(text, &q, c->err);
	if (r == 0)
		r = place_resolve(view, q.place != NULL ? q.place : "", &q.resolved, c->err);
	if (r == 0)
		r = find_in(c->e, q.resolved, q.subject, &v, c->err);
	if (r < 0)
		return r;
	format_name(&v, own, out);
	text_addc(out, '\n');
	return text_ok(out);
}

/* The place that is meant, and that it may be used. */
static int resolve_place(const struct file_call *c, struct request *q)
{
	struct engine_cred as;
	struct ct *home;
	int r = images_check_on(c->e, c->err);

	cred_effective(c->e, c->who, &as, &home);
	if (r == 0)
		r = place_resolve(home, q->place != NULL ? q->place : "", &q->resolved, c->err);
	if (r == 0)
		r = place_check_user(home, as.uid, q->resolved, c->err);
	if (r < 0)
		return r;
	return store_add_place(c->e, q->resolved) < 0 ? err_sys(c->err, ENOMEM, "images") : 0;
}

static int add_word(struct strv *words, const char *option, const char *value)
{
	if (value == NULL || *value == '\0')
		return 0;
	return strv_add(words, option) < 0 || strv_add(words, value) < 0 ? -ENOMEM : 0;
}

/* Takes the job and its words. */
static int begin(const struct file_call *c, struct sjob *j, const struct request *q, const char *name)
{
	const char *registry = c->e->conf->daemon_docker_registry;
	char owner[24];
	int r = sjob_set_image(j, q->resolved, name);

	snprintf(owner, sizeof(owner), "%u", (unsigned)j->as.uid);
	if (r == 0)
		r = add_word(&j->words, "--owner", owner);
	if (r == 0)
		r = add_word(&j->words, "--registry", registry);
	if (r == 0)
		r = add_word(&j->words, "--mirror", registry);
	if (r == 0)
		return sjob_begin(j, c->err);
	sjob_free(j);
	return err_sys(c->err, ENOMEM, "images");
}

static bool is_replay(const struct file_call *c)
{
	return sjob_of_cookie(c->e, c->cookie) != NULL;
}

static int write_import(const struct file_call *c, const char *text)
{
	autorequest struct request q = {};
	struct image_ref ref;
	struct sjob *j;
	int r = is_replay(c) ? ENGINE_PENDING : request_parse(text, &q, c->err);
	const struct image_defaults def = image_defaults(c->e->conf);

	if (r == 0)
		r = archive_check_path(q.subject, c->err);
	if (r == 0 && q.name != NULL)
		r = image_ref_parse(q.name, &def, &ref, c->err);
	if (r == 0)
		r = resolve_place(c, &q);
	if (r != 0)
		return r;
	j = sjob_new(c->e, SJ_IMAGE_IMPORT, c->who, c->cookie);
	if (j == NULL)
		return err_sys(c->err, ENOMEM, "images");
	free(j->path);
	j->path = strdup(q.subject);
	if (j->path == NULL || add_word(&j->words, "--arch", q.arch) < 0) {
		sjob_free(j);
		return err_sys(c->err, ENOMEM, "images");
	}
	return begin(c, j, &q, q.name != NULL ? q.name : "");
}

static bool is_among(const char *masks, const char *registry)
{
	autostrv struct strv list = {};

	if (strv_split(masks, ';', &list) < 0)
		return false;
	for (size_t i = 0; i < list.n; i++)
		if (fnmatch(list.p[i], registry, 0) == 0)
			return true;
	return false;
}

static int check_registry(const struct file_call *c, const char *name, bool *insecure)
{
	const struct image_defaults def = image_defaults(c->e->conf);
	const char *allowed = c->e->conf->daemon_docker_allowed_registry;
	struct image_ref ref;
	int r = image_ref_parse(name, &def, &ref, c->err);

	if (r < 0)
		return r;
	if (*allowed != '\0' && !is_among(allowed, ref.registry))
		return err_set(c->err, ERR_Permission, "registry %s: docker_allowed_registry does not have it",
			       ref.registry);
	*insecure = is_among(c->e->conf->daemon_docker_insecure_registry, ref.registry);
	return 0;
}

static int write_pull(const struct file_call *c, const char *text)
{
	autorequest struct request q = {};
	bool insecure = false;
	struct sjob *j;
	int r = is_replay(c) ? ENGINE_PENDING : request_parse(text, &q, c->err);

	if (r == 0)
		r = check_registry(c, q.subject, &insecure);
	if (r == 0 && q.name != NULL)
		r = err_set(c->err, ERR_InvalidValue, "name: of a pull it is what stands first");
	if (r == 0)
		r = resolve_place(c, &q);
	if (r != 0)
		return r;
	j = sjob_new(c->e, SJ_IMAGE_PULL, c->who, c->cookie);
	if (j == NULL)
		return err_sys(c->err, ENOMEM, "images");
	r = add_word(&j->words, "--arch", q.arch);
	if (r == 0)
		r = add_word(&j->words, "--auth-url", q.auth);
	if (r == 0)
		r = add_word(&j->words, "--service", q.service);
	if (r == 0 && insecure)
		r = strv_add(&j->words, "--insecure");
	if (r == 0 && q.token != NULL && *q.token != '\0') {
		r = strv_add(&j->words, "--token");
		j->private = strdup(q.token);
		r = j->private == NULL ? -ENOMEM : r;
	}
	if (r == 0)
		return begin(c, j, &q, q.subject);
	sjob_free(j);
	return err_sys(c->err, ENOMEM, "images");
}

static int write_remove(const struct file_call *c, const char *text)
{
	autorequest struct request q = {};
	struct image_view v;
	struct sjob *j;
	int r = is_replay(c) ? ENGINE_PENDING : request_parse(text, &q, c->err);

	if (r == 0)
		r = resolve_place(c, &q);
	if (r == 0)
		r = find_in(c->e, q.resolved, q.subject, &v, c->err);
	if (r == 0)
		r = image_check_unused(c->e, &v, c->err);
	if (r == -EBUSY)
		image_note_error(c->e, v.extra->id, c->err);
	if (r != 0)
		return r;
	j = sjob_new(c->e, SJ_IMAGE_REMOVE, c->who, c->cookie);
	return j == NULL ? err_sys(c->err, ENOMEM, "images") : begin(c, j, &q, q.subject);
}

static int remove_image(const struct dir_call *c)
{
	enum engine_dir dir;
	struct image_view v;
	uint32_t id;
	int r;

	if (lookup(c->e, c->node, c->name, &dir, &id) < 0 || !image_by_id(c->e, id, &v))
		return err_set(c->err, ERR_DockerImageNotFound, "image %.100s: not here", c->name);
	if (c->as->uid != 0 && c->as->uid != v.rec->uid)
		return err_set_no(c->err, ERR_Permission, EPERM, "image %.12s belongs to user %u", v.rec->id, (unsigned)v.rec->uid);
	r = image_remove(c->e, &v, c->err);
	if (r < 0)
		image_note_error(c->e, id, c->err);
	return r;
}

/* ---- an image ---- */

static struct image_view image_of(const struct file_call *c)
{
	struct image_view v = {};

	(void)image_by_id(c->e, c->node->ct, &v); /* engine_exists has been asked */
	return v;
}

static int read_file(const struct file_call *c, struct text *out)
{
	image_record_file(image_of(c).rec, c->row->name, out);
	return text_ok(out);
}

static int read_layers(const struct file_call *c, struct text *out)
{
	const struct image_view v = image_of(c);

	for (size_t i = 0; i < v.rec->layers.n; i++)
		text_addf(out, "%s/" PLACE_DOCKER "/" IMAGE_LAYERS_DIR "/%s\n", v.place->path, v.rec->layers.p[i]);
	return text_ok(out);
}

static int read_place(const struct file_call *c, struct text *out)
{
	text_addf(out, "%s\n", image_of(c).place->path);
	return text_ok(out);
}

static int read_error(const struct file_call *c, struct text *out)
{
	const struct image_view v = image_of(c);

	if (v.extra->error != NULL)
		text_addf(out, "%s\n", v.extra->error);
	return text_ok(out);
}

/* ---- the directories ---- */

static const struct file_row list_rows[] = {
#define ILFILE(n, ...) { .name = #n, __VA_ARGS__ },
#include "engine/images.def"
#undef ILFILE
};

static const struct file_row image_rows[] = {
#define IFILE(n, ...) { .name = #n, __VA_ARGS__ },
#include "engine/images.def"
#undef IFILE
};

static bool exists(struct engine *e, const struct engine_node *n)
{
	struct image_view v;

	return image_by_id(e, n->ct, &v);
}

static int image_attr(struct engine *e, const struct engine_node *n, struct engine_attr *ret)
{
	struct image_view v;

	if (!image_by_id(e, n->ct, &v))
		return -ENOENT;
	ret->mtime = ret->ctime = v.rec->tagged.tv_sec;
	return 0;
}

static int check_writer(const struct dir_call *c)
{
	return cred_check_access(c->e, c->who, c->err);
}

const struct dir_ops images_dir = {
	.rows = list_rows,
	.count = ARRAY_LEN(list_rows),
	.attr = dir_list_attr,
	.check_writer = check_writer,
	.lookup = lookup,
	.next_child = next_child,
	.remove = remove_image,
	.cancel = sjob_cancel,
};

const struct dir_ops image_dir = {
	.rows = image_rows, .count = ARRAY_LEN(image_rows), .exists = exists, .attr = image_attr
};
