/* Images as objects, and what is read of them in threads. */
#include "engine/image.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/proc.h"
#include "engine/eventlog.h"

struct image_defaults image_defaults(const struct config *conf)
{
	return (struct image_defaults){ .registry = conf->daemon_docker_registry,
					.mirror = conf->daemon_docker_registry };
}

int images_check_on(const struct engine *e, struct err *err)
{
	return e->conf->daemon_docker_images_support
		       ? 0
		       : err_set(err, ERR_NotSupported, "docker images are turned off: docker_images_support");
}

int image_check_name(const struct engine *e, const char *name, struct err *err)
{
	const struct image_defaults def = image_defaults(e->conf);
	struct image_ref ref; /* a bare digest is a good name too */

	return *name == '\0' ? 0 : image_ref_parse(name, &def, &ref, err);
}

/* ---- in threads ---- */

static int open_sub(const char *place, const char *sub)
{
	autofree char *path = NULL;

	if (asprintf(&path, PLACE_DOCKER "/%s", sub) < 0)
		path = NULL;
	return path != NULL ? place_dir(place, path) : -ENOMEM;
}

int images_read(const char *place, struct image_records *ret)
{
	autoclose int fd = open_sub(place, IMAGES_DIR);

	*ret = (struct image_records){};
	if (fd == -ENOENT)
		return 0;
	return fd < 0 ? fd : image_records_read(fd, ret, NULL);
}

bool images_have_junk(const char *place)
{
	static const char *const subs[] = { ".", "v1", IMAGES_DIR, IMAGE_LAYERS_DIR };
	bool found = false;

	for (size_t i = 0; i < ARRAY_LEN(subs) && !found; i++) {
		int fd = open_sub(place, subs[i]);
		DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

		if (fd >= 0 && d == NULL)
			close(fd);
		for (const struct dirent *de; d != NULL && !found && (de = readdir(d)) != NULL;)
			found = de->d_name[0] == '_';
		if (d != NULL)
			closedir(d);
	}
	return found;
}

static int add_layer(const char *place, int dir, const char *id, struct strv *ret, struct err *err)
{
	autofree char *path = NULL;

	if (faccessat(dir, id, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(err, ERR_DockerImageNotFound, "layer %.12s of the image is missing in place %s", id,
			       place);
	if (asprintf(&path, "%s/" PLACE_DOCKER "/" IMAGE_LAYERS_DIR "/%s", place, id) < 0)
		path = NULL;
	return path == NULL || strv_add(ret, path) < 0 ? err_sys(err, ENOMEM, "image") : 0;
}

int image_layers(const char *place, const char *name, const struct image_defaults *def, struct strv *ret,
		 struct err *err)
{
	autoclose int dir = open_sub(place, IMAGE_LAYERS_DIR);
	autorecords struct image_records recs = {};
	struct image_record *rec;
	int r = images_read(place, &recs);

	if (r < 0)
		return err_sys(err, -r, "images of place %s", place);
	r = image_records_find(&recs, name, def, &rec, err);
	for (size_t i = 0; r == 0 && i < rec->layers.n; i++)
		r = add_layer(place, dir, rec->layers.p[i], ret, err);
	return r;
}

/* ---- in the loop ---- */

struct image_place *image_place_find(struct engine *e, const char *path)
{
	struct image_place *p = e->store->images;

	while (p != NULL && strcmp(p->path, path) != 0)
		p = p->next;
	return p;
}

bool image_by_id(struct engine *e, uint32_t id, struct image_view *ret)
{
	for (struct image_place *p = e->store->images; p != NULL; p = p->next)
		for (size_t i = 0; i < p->recs.n; i++)
			if (p->extra[i].id == id) {
				*ret = (struct image_view){ p, &p->recs.p[i], &p->extra[i] };
				return true;
			}
	return false;
}

static uint32_t hash(const char *place, const char *id)
{
	uint32_t h = 2166136261u;

	for (; *place != '\0'; place++)
		h = (h ^ (unsigned char)*place) * 16777619u;
	for (h *= 16777619u; *id != '\0'; id++)
		h = (h ^ (unsigned char)*id) * 16777619u;
	return MAX(h, 1u);
}

static void extra_free(struct image_extra *extra, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(extra[i].error);
	free(extra);
}

/* The same image keeps number and error. */
static void fill_extra(struct engine *e, struct image_place *p, const struct image_record *rec, struct image_extra *ret)
{
	struct image_view taken;

	for (size_t i = 0; i < p->recs.n; i++)
		if (strcmp(p->recs.p[i].id, rec->id) == 0) {
			*ret = p->extra[i];
			p->extra[i].error = NULL;
			return;
		}
	ret->id = hash(p->path, rec->id);
	while (image_by_id(e, ret->id, &taken))
		ret->id = MAX(ret->id + 1, 1u);
}

static struct image_place *place_new(struct engine *e, const char *path)
{
	struct image_place *p = calloc(1, sizeof(*p));

	if (p == NULL || (p->path = strdup(path)) == NULL) {
		free(p);
		return NULL;
	}
	p->next = e->store->images;
	e->store->images = p;
	return p;
}

void images_take(struct engine *e, const char *place, struct image_records *recs)
{
	struct image_place *p = image_place_find(e, place);
	struct image_extra *extra = recs->n > 0 ? calloc(recs->n, sizeof(*extra)) : NULL;

	if (p == NULL && recs->n > 0)
		p = place_new(e, place);
	if (p == NULL || (extra == NULL && recs->n > 0)) {
		free(extra);
		return; /* no memory: the next look finds them */
	}
	for (size_t i = 0; i < recs->n; i++)
		fill_extra(e, p, &recs->p[i], &extra[i]);
	extra_free(p->extra, p->recs.n);
	image_records_done(&p->recs);
	p->extra = extra;
	p->recs = *recs;
	*recs = (struct image_records){};
}

void images_close(struct engine *e)
{
	while (e->store->images != NULL) {
		struct image_place *p = e->store->images;

		e->store->images = p->next;
		extra_free(p->extra, p->recs.n);
		image_records_done(&p->recs);
		free(p->path);
		free(p);
	}
}

void image_note_error(struct engine *e, uint32_t id, const struct err *err)
{
	char text[ERR_TEXT_MAX + 64];
	struct image_view v;

	if (!image_by_id(e, id, &v))
		return;
	free(v.extra->error);
	if (asprintf(&v.extra->error, "%d %s", (int)err->kind, err_format(err, text, sizeof(text))) < 0)
		v.extra->error = NULL;
}

/* ---- removing ---- */

/* Is it made of exactly these layers? */
static bool stands_on(const struct vol *v, const struct image_view *image)
{
	static const char sub[] = "/" PLACE_DOCKER "/" IMAGE_LAYERS_DIR "/";
	const struct strv *ids = &image->rec->layers;
	size_t len = strlen(image->place->path);

	if (v->plan.layers.n != ids->n || ids->n == 0)
		return false;
	for (size_t i = 0; i < ids->n; i++) {
		const char *path = v->plan.layers.p[i], *rest = path + len;

		if (strncmp(path, image->place->path, len) != 0 || strncmp(rest, sub, sizeof(sub) - 1) != 0 ||
		    strcmp(rest + sizeof(sub) - 1, ids->p[i]) != 0)
			return false;
	}
	return true;
}

/* One that is just being made says only what it is to be made of. */
static bool is_being_made(const struct vol *v, const struct image_view *image)
{
	const struct image_defaults def = image_defaults(v->e->conf);
	struct image_record *rec;

	if (!vol_is_set(v, VOL_image) || v->ops == NULL || v->ops->kind != VOP_BUILD)
		return false;
	return image_records_find(&image->place->recs, v->val[VOL_image].s, &def, &rec, NULL) == 0 && rec == image->rec;
}

int image_check_unused(struct engine *e, const struct image_view *image, struct err *err)
{
	for (const struct vol *v = e->vols; v != NULL; v = v->next) {
		if (stands_on(v, image))
			return err_set(err, ERR_Busy, "image %.12s: volume %u uses it", image->rec->id,
				       (unsigned)v->id);
		if (is_being_made(v, image))
			return err_set(err, ERR_Busy, "image %.12s: volume %u is being made of it", image->rec->id,
				       (unsigned)v->id);
	}
	return 0;
}

static const struct image_record *find(struct engine *e, const char *place, const char *name)
{
	const struct image_defaults def = image_defaults(e->conf);
	struct image_place *p = image_place_find(e, place);
	struct image_record *rec;

	return p != NULL && image_records_find(&p->recs, name, &def, &rec, NULL) == 0 ? rec : NULL;
}

int image_check_staying(struct engine *e, const char *place, const char *name, struct err *err)
{
	const struct image_record *rec = find(e, place, name);

	for (const struct sjob *j = e->store->jobs; rec != NULL && j != NULL; j = j->next)
		if (j->kind == SJ_IMAGE_REMOVE && j->phase != SJP_OVER && strcmp(j->place, place) == 0 &&
		    find(e, place, j->name) == rec)
			return err_set(err, ERR_Busy, "image %.12s is being removed", rec->id);
	return 0;
}

bool images_at_work(struct engine *e, const char *place)
{
	for (const struct sjob *j = e->store->jobs; j != NULL; j = j->next)
		if (sjob_is_image(j) && j->phase != SJP_OVER && strcmp(j->place, place) == 0)
			return true;
	return false;
}

void images_sweep(struct engine *e, const char *place)
{
	static const struct engine_cred root = { .uid = 0 };
	struct sjob *j;

	for (j = e->store->jobs; j != NULL; j = j->next)
		if (j->kind == SJ_IMAGE_SWEEP && j->phase == SJP_WAITING && strcmp(j->place, place) == 0)
			return;
	j = sjob_new(e, SJ_IMAGE_SWEEP, &root, 0);
	if (j == NULL)
		return; /* the next look */
	if (sjob_set_image(j, place, "") < 0)
		sjob_free(j);
	else
		(void)sjob_begin(j, NULL);
}

/* It is not to be found any more, whoever looks. */
static void forget(struct image_view *v)
{
	size_t i = (size_t)(v->rec - v->place->recs.p), after = v->place->recs.n - i - 1;

	image_record_done(v->rec);
	free(v->extra->error);
	memmove(v->rec, v->rec + 1, after * sizeof(*v->rec));
	memmove(v->extra, v->extra + 1, after * sizeof(*v->extra));
	v->place->recs.n--;
}

int image_remove(struct engine *e, const struct image_view *image, struct err *err)
{
	struct image_view v = *image;
	autofree char *to = NULL;
	autoclose int dir = open_sub(v.place->path, IMAGES_DIR);
	int r = image_check_unused(e, &v, err);

	if (r < 0)
		return r;
	if (dir < 0)
		return err_sys(err, -dir, "images of place %s", v.place->path);
	if (asprintf(&to, "_remove_%s_%llx", v.rec->id, (unsigned long long)clock_mono()) < 0)
		to = NULL;
	if (to == NULL)
		return err_sys(err, ENOMEM, "image");
	if (renameat(dir, v.rec->id, dir, to) < 0 && errno != ENOENT)
		return err_sys(err, errno, "image %.12s", v.rec->id);
	event_log(e, "image", v.rec->id, "removed");
	e->store->changes++;
	forget(&v);
	images_sweep(e, v.place->path);
	return 0;
}
