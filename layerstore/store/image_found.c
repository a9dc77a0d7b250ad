#include "layerstore/store/image_found.h"

#include <sys/utsname.h>

#include "layerstore/store/sum.h"

static const char *const arch_names[][2] = {
	{ "x86_64", "amd64" },    { "aarch64", "arm64" },   { "armv7l", "arm" },  { "i686", "386" },
	{ "riscv64", "riscv64" }, { "ppc64le", "ppc64le" }, { "s390x", "s390x" },
};

const char *image_arch_name(const char *arch)
{
	for (size_t i = 0; i < ARRAY_LEN(arch_names); i++)
		if (strcmp(arch_names[i][0], arch) == 0)
			return arch_names[i][1];
	return arch;
}

const char *image_host_arch(void)
{
	static struct utsname u;

	return uname(&u) < 0 ? "unknown" : image_arch_name(u.machine);
}

static const char *wanted_arch(const struct image_wish *wish)
{
	return wish->arch ? image_arch_name(wish->arch) : image_host_arch();
}

static int no_memory(struct err *err)
{
	return err_sys(err, ENOMEM, "image");
}

static void found_done(struct image_found *f)
{
	text_done(&f->json);
	image_config_done(&f->config);
	strv_done(&f->names);
	strv_done(&f->digests);
	strv_done(&f->members);
	free(f->layers);
}

void image_finds_done(struct image_finds *f)
{
	for (size_t i = 0; i < f->n; i++)
		found_done(&f->p[i]);
	free(f->p);
	*f = (struct image_finds){};
}

/* ---- which of several ---- */

/* Does this name of the source mean what is wished for? A bare tag stands for the whole name. */
static bool name_fits(const char *name, const struct image_wish *wish)
{
	struct image_ref have, want;

	if (image_ref_parse(wish->name, &wish->defaults, &want, NULL) < 0)
		return false;
	if (strcmp(name, want.tag) == 0)
		return true;
	return image_ref_parse(name, &wish->defaults, &have, NULL) == 0 && strcmp(have.tag, want.tag) == 0 &&
	       strcmp(have.repository, want.repository) == 0 && strcmp(have.registry, want.registry) == 0;
}

static bool any_name_fits(const struct strv *names, const struct image_wish *wish)
{
	for (size_t i = 0; i < names->n; i++)
		if (name_fits(names->p[i], wish))
			return true;
	return false;
}

static int too_many(size_t n, struct err *err)
{
	return err_set(err, ERR_InvalidValue,
		       "there are %zu images in it, and none has this name: leave the name out, or ask "
		       "for one that is there",
		       n);
}

/* ---- configurations ---- */

static int take_config(struct image_found *f, const struct image_wish *wish, struct err *err)
{
	const char *arch = wanted_arch(wish);
	int r = image_config_parse(text_str(&f->json), f->json.len, &f->config, err);

	if (r < 0)
		return r;
	sum_of(text_str(&f->json), f->json.len, f->id);
	/* An only image of another architecture is taken unless one was asked for: somebody may emulate it. */
	if (wish->arch && *f->config.arch && strcmp(f->config.arch, arch) != 0)
		return err_set(err, ERR_Docker, "the image is for %s, not for %s", f->config.arch, arch);
	f->layers = calloc(f->config.diff_ids.n, sizeof(*f->layers));
	return f->layers ? 0 : no_memory(err);
}

static int check_count(const struct image_found *f, size_t layers, struct err *err)
{
	if (layers == f->config.diff_ids.n)
		return 0;
	return err_set(err, ERR_Docker, "the manifest has %zu layers, the configuration %zu", layers,
		       f->config.diff_ids.n);
}

static void set_id(struct image_found *f, size_t i)
{
	snprintf(f->layers[i].id, sizeof(f->layers[i].id), "%s", f->config.diff_ids.p[i]);
}

/* ---- `docker save` ---- */

static int take_saved(struct image_source *src, const struct image_saved *saved, const struct image_wish *wish,
		      struct image_found *f, struct err *err)
{
	int r = image_source_read(src, saved->config, &f->json, err);

	if (r == 0)
		r = take_config(f, wish, err);
	if (r == 0)
		r = check_count(f, saved->layers.n, err);
	if (r < 0)
		return r;
	if (strv_copy(&f->names, &saved->tags) < 0 || strv_copy(&f->members, &saved->layers) < 0)
		return no_memory(err);
	for (size_t i = 0; i < f->members.n; i++) {
		set_id(f, i);
		f->layers[i].member = f->members.p[i];
	}
	return 0;
}

static int find_saved(struct image_source *src, const struct text *json, const struct image_wish *wish,
		      struct image_finds *ret, struct err *err)
{
	autoarchive struct image_archive a = {};
	int r = image_archive_parse(text_str(json), json->len, &a, err);

	if (r < 0)
		return r;
	ret->p = calloc(a.n, sizeof(*ret->p));
	if (!ret->p)
		return no_memory(err);
	for (size_t i = 0; r == 0 && i < a.n; i++)
		if (!wish->name || a.n == 1 || any_name_fits(&a.p[i].tags, wish))
			r = take_saved(src, &a.p[i], wish, &ret->p[ret->n++], err);
	return r == 0 && ret->n == 0 ? too_many(a.n, err) : r;
}

/* ---- manifests ---- */

/* A manifest that was chosen, and how it was come by. */
struct choice {
	struct image_desc desc;
	struct strv names, digests;
};

struct choices {
	struct choice *p;
	size_t n;
};

static void choices_done(struct choices *c)
{
	for (size_t i = 0; i < c->n; i++) {
		strv_done(&c->p[i].names);
		strv_done(&c->p[i].digests);
	}
	free(c->p);
}

#define autochoices __attribute__((cleanup(choices_done)))

struct search {
	struct image_source *src;
	const char *arch;
	unsigned looked_at; /* entries of all indexes: those that name each other cost no more than this */
};

/* The first manifest for the architecture in or below the entry; its digests from the inside out. -ENOENT: none. */
static int choose(struct search *s, const struct image_desc *d, int depth, struct choice *ret, struct err *err)
{
	autotext struct text json = {};
	autodescs struct image_descs in = {};
	int r;

	if (!image_desc_fits(d, s->arch) || (d->media != IMAGE_INDEX && d->media != IMAGE_MANIFEST))
		return -ENOENT;
	if (d->media == IMAGE_MANIFEST) {
		ret->desc = *d;
		ret->desc.name = NULL;
		return strv_add(&ret->digests, d->digest) < 0 ? no_memory(err) : 0;
	}
	if (depth >= IMAGE_DEPTH_MAX)
		return err_set(err, ERR_Docker, "indexes within indexes, more than %d deep", IMAGE_DEPTH_MAX);
	r = image_source_json(s->src, d, &json, err);
	if (r == 0)
		r = image_index_parse(text_str(&json), json.len, &in, err);
	if (r == 0)
		r = -ENOENT;
	for (size_t i = 0; r == -ENOENT && i < in.n; i++) {
		if (++s->looked_at > IMAGE_INDEX_MAX)
			return err_set(err, ERR_Docker, "more than %d entries in the indexes", IMAGE_INDEX_MAX);
		r = choose(s, &in.p[i], depth + 1, ret, err);
	}
	if (r == 0 && strv_add(&ret->digests, d->digest) < 0)
		return no_memory(err);
	return r;
}

/* Entries of one name are one image for several machines, and so are those without a name; the first that fits is it.
 */
static bool is_chosen(const struct choices *c, const char *name)
{
	for (size_t i = 0; i < c->n; i++) {
		if (c->p[i].names.n == 0 && !name)
			return true;
		for (size_t j = 0; name && j < c->p[i].names.n; j++)
			if (strcmp(c->p[i].names.p[j], name) == 0)
				return true;
	}
	return false;
}

static struct choice *same_manifest(const struct choices *c, const char *digest)
{
	for (size_t i = 0; i < c->n; i++)
		if (strcmp(c->p[i].desc.digest, digest) == 0)
			return &c->p[i];
	return NULL;
}

static int choose_all(struct search *s, const struct image_descs *top, struct choices *ret, struct err *err)
{
	ret->p = calloc(top->n + 1, sizeof(*ret->p));
	if (!ret->p)
		return no_memory(err);
	for (size_t i = 0; i < top->n; i++) {
		const char *name = top->p[i].name;
		struct choice *c = &ret->p[ret->n], *same;
		int r;
		if (is_chosen(ret, name))
			continue;
		r = choose(s, &top->p[i], 0, c, err);
		if (r < 0 && r != -ENOENT)
			return r;
		same = r == 0 ? same_manifest(ret, c->desc.digest) : NULL;
		if (r < 0 || same)
			strv_done(&c->digests);
		else
			ret->n++;
		if (r == 0 && name && strv_add(same ? &same->names : &c->names, name) < 0)
			return no_memory(err);
	}
	if (ret->n == 0)
		return err_set(err, ERR_Docker, "there is no image for linux on %s in it", s->arch);
	return 0;
}

static int take_manifest(struct image_source *src, const struct text *json, const struct image_wish *wish,
			 struct image_found *f, struct err *err)
{
	automanifest struct image_manifest m = {};
	int r = image_manifest_parse(text_str(json), json->len, &m, err);

	if (r == 0)
		r = image_source_json(src, &m.config, &f->json, err);
	if (r == 0)
		r = take_config(f, wish, err);
	if (r == 0)
		r = check_count(f, m.layers.n, err);
	for (size_t i = 0; r == 0 && i < m.layers.n; i++) {
		set_id(f, i);
		f->layers[i].blob = m.layers.p[i];
		f->layers[i].blob.name = NULL;
	}
	return r;
}

static int take_choice(struct image_source *src, const struct choice *c, const struct image_wish *wish,
		       struct image_found *f, struct err *err)
{
	autotext struct text json = {};
	int r = image_source_json(src, &c->desc, &json, err);

	if (r == 0)
		r = take_manifest(src, &json, wish, f, err);
	if (r < 0)
		return r;
	return strv_copy(&f->names, &c->names) < 0 || strv_copy(&f->digests, &c->digests) < 0 ? no_memory(err) : 0;
}

static int find_layout(struct image_source *src, const struct image_wish *wish, struct image_finds *ret,
		       struct err *err)
{
	autotext struct text layout = {};
	autotext struct text json = {};
	autodescs struct image_descs top = {};
	autochoices struct choices c = {};
	struct search s = { .src = src, .arch = wanted_arch(wish) };
	int r = image_source_read(src, "oci-layout", &layout, err);

	if (r == 0)
		r = image_layout_check(text_str(&layout), layout.len, err);
	if (r == 0)
		r = image_source_read(src, "index.json", &json, err);
	if (r == 0)
		r = image_index_parse(text_str(&json), json.len, &top, err);
	if (r == 0)
		r = choose_all(&s, &top, &c, err);
	if (r < 0)
		return r;
	ret->p = calloc(c.n, sizeof(*ret->p));
	if (!ret->p)
		return no_memory(err);
	for (size_t i = 0; r == 0 && i < c.n; i++)
		if (!wish->name || c.n == 1 || any_name_fits(&c.p[i].names, wish))
			r = take_choice(src, &c.p[i], wish, &ret->p[ret->n++], err);
	return r == 0 && ret->n == 0 ? too_many(c.n, err) : r;
}

/* ---- one manifest and its blobs in a directory ---- */

static int find_one(struct image_source *src, const struct text *json, const struct image_wish *wish,
		    struct image_finds *ret, struct err *err)
{
	char digest[IMAGE_DIGEST_LEN + 1] = "sha256:";
	int r;

	ret->p = calloc(1, sizeof(*ret->p));
	if (!ret->p)
		return no_memory(err);
	ret->n = 1;
	r = take_manifest(src, json, wish, &ret->p[0], err);
	if (r < 0)
		return r;
	sum_of(text_str(json), json->len, digest + IMAGE_DIGEST_LEN - IMAGE_HEX);
	return strv_add(&ret->p[0].digests, digest) < 0 ? no_memory(err) : 0;
}

int image_find(struct image_source *src, const struct image_wish *wish, struct image_finds *ret, struct err *err)
{
	autotext struct text json = {};
	int r;

	/* Newer dockers save both; the layout knows digests. */
	if (image_source_has(src, "oci-layout"))
		return find_layout(src, wish, ret, err);
	if (!image_source_has(src, "manifest.json"))
		return err_set_no(err, ERR_Docker, EINVAL,
			       "this is no image: there is neither oci-layout nor manifest.json in it");
	r = image_source_read(src, "manifest.json", &json, err);
	if (r < 0)
		return r;
	if (image_media_sniff(text_str(&json), json.len) == IMAGE_MANIFEST)
		return find_one(src, &json, wish, ret, err);
	if (src->dirfd >= 0)
		return err_set(err, ERR_NotSupported,
			       "a directory must be an OCI layout; what `docker save` wrote must be a tar");
	return find_saved(src, &json, wish, ret, err);
}
