#include "layerstore/store/image_import.h"

#include <sys/stat.h>

#include "layerstore/store/image_found.h"

#define TRIES 16

/* ---- the record ---- */

static int add_digest(struct image_record *rec, const char *digest)
{
	for (size_t i = 0; i < rec->digests.n; i++)
		if (strcmp(rec->digests.p[i], digest) == 0)
			return 0;
	return strv_add(&rec->digests, digest);
}

/* A name the source gives is taken if it is one; a bare tag is not. */
static int add_tags(struct image_record *rec, const struct image_found *f, const struct image_wish *wish,
		    struct err *err)
{
	struct image_ref ref;

	for (size_t i = 0; i < (wish->name ? 1 : f->names.n); i++) {
		autotext struct text tag = {};
		const char *name = wish->name ? wish->name : f->names.p[i];
		int r = !wish->name && !strpbrk(name, "/:")
				? -EINVAL
				: image_ref_parse(name, &wish->defaults, &ref, wish->name ? err : NULL);
		if (r < 0 && wish->name)
			return r;
		if (r < 0 || !*ref.tag)
			continue;
		*ref.digest = 0;
		image_ref_format(&ref, &tag);
		if (text_ok(&tag) < 0 || strv_add(&rec->tags, text_str(&tag)) < 0)
			return err_sys(err, ENOMEM, "image");
	}
	return 0;
}

static int append(struct strv *to, const struct strv *from)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < from->n; i++)
		r = strv_add(to, from->p[i]);
	return r;
}

static int dup_to(char **to, const char *s)
{
	*to = strdup(s);
	return *to ? 0 : -ENOMEM;
}

static int make_record(const struct image_found *f, const struct image_wish *wish, struct image_record *rec)
{
	const struct image_config *c = &f->config;
	int r = strv_copy(&rec->digests, &f->digests);

	snprintf(rec->id, sizeof(rec->id), "%s", f->id);
	if (r == 0 && wish->digest)
		r = add_digest(rec, wish->digest);
	for (size_t i = c->diff_ids.n; r == 0 && i > 0; i--)
		r = strv_add(&rec->layers, c->diff_ids.p[i - 1]);
	if (r == 0)
		r = append(&rec->command, &c->entrypoint);
	if (r == 0)
		r = append(&rec->command, &c->cmd);
	if (r == 0)
		r = strv_copy(&rec->env, &c->env);
	if (r == 0)
		r = dup_to(&rec->workdir, c->workdir);
	if (r == 0)
		r = dup_to(&rec->user, c->user);
	if (r == 0)
		r = dup_to(&rec->created, c->created);
	return r < 0 ? r : dup_to(&rec->arch, c->arch);
}

/* ---- layers, then the image ---- */

struct claim {
	const struct image_layer *layer;
	int lock; /* -1: it was there already */
};

/* What has been claimed for an image: all of it becomes visible at the end, or is removed. */
struct claims {
	struct claim *p;
	size_t n;
	int image; /* the directory of the image itself */
};

static int by_id(const void *a, const void *b)
{
	return strcmp(((const struct claim *)a)->layer->id, ((const struct claim *)b)->layer->id);
}

/*
 * Each layer once, by id: everybody who claims several does it in this order, so that no two ever wait for each other.
 */
static int sort_layers(const struct image_found *f, struct claims *c)
{
	size_t n = f->config.diff_ids.n;

	c->p = calloc(n, sizeof(*c->p));
	if (!c->p)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		c->p[i] = (struct claim){ .layer = &f->layers[i], .lock = -1 };
	qsort(c->p, n, sizeof(*c->p), by_id);
	for (size_t i = 0; i < n; i++)
		if (c->n == 0 || by_id(&c->p[c->n - 1], &c->p[i]) != 0)
			c->p[c->n++] = c->p[i];
	return 0;
}

static void give_up(const struct image_store *s, struct claims *c, const char *id)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->p[i].lock >= 0) {
			image_store_abandon(s->layers, c->p[i].layer->id);
			close(c->p[i].lock);
		}
	if (c->image >= 0) {
		image_store_abandon(s->images, id);
		close(c->image);
	}
	free(c->p);
}

static int fetch_layers(const struct image_job *job, struct claims *c, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < c->n; i++)
		if (!image_store_has_layer(job->store, c->p[i].layer->id))
			job->job->total += c->p[i].layer->blob.size;
	for (size_t i = 0; r == 0 && i < c->n; i++)
		r = image_layer_fetch(job, c->p[i].layer, &c->p[i].lock, err);
	return r;
}

static void add_up(const struct image_store *s, struct image_record *rec)
{
	rec->size = 0;
	for (size_t i = 0; i < rec->layers.n; i++)
		rec->size += image_store_layer_size(s, rec->layers.p[i]);
}

/* Everything is on the disk before the first of the new names is. */
static int commit(const struct image_store *s, struct claims *c, const struct image_record *rec)
{
	int r = syncfs(s->dir) < 0 ? -errno : 0;

	for (size_t i = 0; r == 0 && i < c->n; i++)
		if (c->p[i].lock >= 0) {
			r = image_store_commit(s->layers, c->p[i].layer->id);
			if (r == 0) {
				close(c->p[i].lock);
				c->p[i].lock = -1;
			}
		}
	if (r == 0 && fsync(s->layers) < 0)
		r = -errno;
	if (r == 0)
		r = image_store_commit(s->images, rec->id);
	if (r < 0)
		return r;
	close(c->image);
	c->image = -1;
	return fsync(s->images) < 0 ? -errno : 0;
}

static int build(struct image_job *job, const struct image_found *f, struct image_record *rec, struct claims *c,
		 struct err *err)
{
	autoclose int lock = -1;
	int r = sort_layers(f, c);

	if (r < 0)
		return err_sys(err, -r, "image");
	r = fetch_layers(job, c, err);
	if (r < 0)
		return r;
	add_up(job->store, rec);
	r = image_record_write(c->image, rec, &f->json);
	if (r < 0)
		return err_sys(err, -r, "image %.12s", rec->id);
	lock = image_store_lock(job->store, err);
	if (lock < 0)
		return lock;
	r = image_store_check_tags(job->store, rec, err);
	if (r < 0)
		return r;
	if (fchown(c->image, job->store->owner, (gid_t)-1) < 0)
		return err_sys(err, errno, "image %.12s", rec->id);
	r = commit(job->store, c, rec);
	if (r < 0)
		return err_sys(err, -r, "image %.12s", rec->id);
	/* Its tags are there already; now they leave those who had them before. */
	return image_store_add(job->store, rec, err);
}

static int add_to_old(const struct image_store *s, const struct image_record *rec, struct err *err)
{
	autoclose int lock = image_store_lock(s, err);
	int r = lock < 0 ? lock : image_store_check_tags(s, rec, err);

	return r < 0 ? r : image_store_add(s, rec, err);
}

static int import_one(struct image_job *job, const struct image_found *f, struct image_record *rec, struct err *err)
{
	for (int i = 0; i < TRIES; i++) {
		struct claims c = { .image = image_store_claim(job->store, job->store->images, rec->id) };
		int r;
		if (c.image < 0 && c.image != -EEXIST)
			return image_store_failed(c.image, rec->id, err);
		if (c.image >= 0) {
			r = build(job, f, rec, &c, err);
			give_up(job->store, &c, rec->id);
			return r;
		}
		r = add_to_old(job->store, rec, err);
		if (r != -ENOENT)
			return r;
		*err = (struct err){}; /* it was removed in between */
	}
	return err_set(err, ERR_Busy, "image %.12s comes and goes", rec->id);
}

static void report(const struct image_record *rec, struct text *out)
{
	if (out->len > 0)
		text_addc(out, '\n');
	text_addf(out, "id = %s\n", rec->id);
	/* The last is that of the outermost index: what a registry would answer. */
	if (rec->digests.n > 0)
		text_addf(out, "digest = %s\n", rec->digests.p[rec->digests.n - 1]);
	for (size_t i = 0; i < rec->tags.n; i++)
		text_addf(out, "tag = %s\n", rec->tags.p[i]);
}

static int import_all(struct image_job *job, const struct image_wish *wish, struct text *out, struct err *err)
{
	autofinds struct image_finds found = {};
	int r = image_find(job->src, wish, &found, err);

	for (size_t i = 0; r == 0 && i < found.n; i++) {
		autorecord struct image_record rec = {};
		r = make_record(&found.p[i], wish, &rec);
		if (r < 0)
			return err_sys(err, -r, "image");
		r = add_tags(&rec, &found.p[i], wish, err);
		if (r == 0)
			r = import_one(job, &found.p[i], &rec, err);
		if (r == 0)
			report(&rec, out);
	}
	return r;
}

/* ---- the source ---- */

/* A file that is a tar archive as it lies there. What is compressed or comes out of a pipe has to be copied first. */
static bool is_plain_tar(int fd)
{
	struct stat st;
	char magic[5];

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && lseek(fd, 0, SEEK_CUR) == 0 &&
	       pread(fd, magic, sizeof(magic), 257) == (ssize_t)sizeof(magic) &&
	       memcmp(magic, "ustar", sizeof(magic)) == 0;
}

static int import_archive(struct image_job *job, const struct image_wish *wish, struct text *out, struct err *err)
{
	struct image_source src = {};
	autoclose int copy = -1;
	int r = is_plain_tar(FD_IN) ? 0 : image_layer_spool(job, &copy, err);

	if (r == 0)
		r = image_source_tar(&src, copy >= 0 ? copy : FD_IN, err);
	job->src = &src;
	job->spool = copy;
	job->job->total = 0; /* from here on layers are counted */
	job->job->sh->bytes = 0;
	if (r == 0)
		r = import_all(job, wish, out, err);
	image_source_done(&src);
	job->src = NULL;
	job->spool = -1;
	return r;
}

static int import_dir(struct image_job *job, int dirfd, const struct image_wish *wish, struct text *out,
		      struct err *err)
{
	struct image_source src = {};
	int r = image_source_dir(&src, dirfd, err);

	job->src = &src;
	job->job->total = 0;
	job->job->sh->bytes = 0;
	if (r == 0)
		r = import_all(job, wish, out, err);
	image_source_done(&src);
	job->src = NULL;
	return r;
}

int image_import(struct image_job *job, int dirfd, const struct image_wish *wish, struct text *out, struct err *err)
{
	autoclose int users = image_store_use(job->store, err);

	if (users < 0)
		return users;
	return dirfd < 0 ? import_archive(job, wish, out, err) : import_dir(job, dirfd, wish, out, err);
}
