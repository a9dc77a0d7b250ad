#include "layerstore/store/image_manifest.h"

#include <jansson.h>

#define NAME_KEY      "io.containerd.image.name"
#define REF_NAME_KEY  "org.opencontainers.image.ref.name"
#define WORDS_MAX     4096 /* arguments, variables, tags */
#define MEDIA_OCI     "application/vnd.oci.image."
#define MEDIA_DOCKER  "application/vnd.docker."
#define BLOB_SIZE_MAX (1ULL << 40)

static const struct {
	const char *type;
	enum image_media media;
} media_types[] = {
	/* clang-format off */
	{ MEDIA_OCI "index.v1+json",                                       IMAGE_INDEX },
	{ MEDIA_DOCKER "distribution.manifest.list.v2+json",               IMAGE_INDEX },
	{ MEDIA_OCI "manifest.v1+json",                                    IMAGE_MANIFEST },
	{ MEDIA_DOCKER "distribution.manifest.v2+json",                    IMAGE_MANIFEST },
	{ MEDIA_OCI "config.v1+json",                                      IMAGE_CONFIG },
	{ MEDIA_DOCKER "container.image.v1+json",                          IMAGE_CONFIG },
	{ MEDIA_OCI "layer.v1.tar",                                        IMAGE_LAYER },
	{ MEDIA_OCI "layer.v1.tar+gzip",                                   IMAGE_LAYER },
	{ MEDIA_OCI "layer.v1.tar+zstd",                                   IMAGE_LAYER },
	{ MEDIA_OCI "layer.nondistributable.v1.tar",                       IMAGE_LAYER },
	{ MEDIA_OCI "layer.nondistributable.v1.tar+gzip",                  IMAGE_LAYER },
	{ MEDIA_OCI "layer.nondistributable.v1.tar+zstd",                  IMAGE_LAYER },
	{ MEDIA_DOCKER "image.rootfs.diff.tar",                            IMAGE_LAYER },
	{ MEDIA_DOCKER "image.rootfs.diff.tar.gzip",                       IMAGE_LAYER },
	{ MEDIA_DOCKER "image.rootfs.diff.tar.zstd",                       IMAGE_LAYER },
	{ MEDIA_DOCKER "image.rootfs.foreign.diff.tar.gzip",               IMAGE_LAYER },
	/* clang-format on */
};

static void free_json(json_t **j)
{
	json_decref(*j);
}

#define autojson __attribute__((cleanup(free_json)))

static int bad(struct err *err, const char *what, const char *why)
{
	return err_set(err, ERR_Docker, "%s: %s", what, why);
}

static int no_memory(struct err *err, const char *what)
{
	return err_sys(err, ENOMEM, "%s", what);
}

static json_t *load(const char *json, size_t len, const char *what, struct err *err)
{
	json_error_t e;
	json_t *j;

	if (len > IMAGE_JSON_MAX) {
		err_set(err, ERR_Docker, "%s: %zu bytes, at most %u are read", what, len, IMAGE_JSON_MAX);
		return NULL;
	}
	j = json_loadb(json ? json : "", len, JSON_REJECT_DUPLICATES, &e);
	if (!j)
		err_set(err, ERR_Docker, "%s is no JSON: line %d: %s", what, e.line, e.text);
	return j;
}

/* A string of the object, "" when it is missing or null. NULL: something else is there. */
static const char *get_string(const json_t *j, const char *key)
{
	const json_t *v = json_object_get(j, key);

	if (!v || json_is_null(v))
		return "";
	return json_string_value(v);
}

/* The same into a small buffer; what doesn't fit is nothing we know, and stays "?". */
static int copy_string(const json_t *j, const char *key, char *ret, size_t size)
{
	const char *s = get_string(j, key);

	if (!s)
		return -EINVAL;
	snprintf(ret, size, "%s", strlen(s) < size ? s : "?");
	return 0;
}

static int dup_string(const json_t *j, const char *key, char **ret)
{
	const char *s = get_string(j, key);

	if (!s)
		return -EINVAL;
	*ret = strdup(s);
	return *ret ? 0 : -ENOMEM;
}

/* A list of strings; null and nothing are empty. A bare string is a list of one: docker once wrote that. */
static int get_words(const json_t *j, const char *key, size_t max, struct strv *ret)
{
	const json_t *list = json_object_get(j, key);
	int r = 0;

	if (!list || json_is_null(list))
		return 0;
	if (json_is_string(list))
		return strv_add(ret, json_string_value(list));
	if (!json_is_array(list) || json_array_size(list) > max)
		return -EINVAL;
	for (size_t i = 0; r == 0 && i < json_array_size(list); i++) {
		const char *s = json_string_value(json_array_get(list, i));
		r = s ? strv_add(ret, s) : -EINVAL;
	}
	return r;
}

static enum image_media media_find(const char *type)
{
	for (size_t i = 0; i < ARRAY_LEN(media_types); i++)
		if (strcmp(media_types[i].type, type) == 0)
			return media_types[i].media;
	return IMAGE_OTHER;
}

/* ---- descriptors ---- */

static int desc_name(const json_t *j, struct image_desc *ret)
{
	const json_t *notes = json_object_get(j, "annotations");
	const char *name = json_string_value(json_object_get(notes, NAME_KEY));

	if (!name)
		name = json_string_value(json_object_get(notes, REF_NAME_KEY));
	if (!name)
		return 0;
	ret->name = strdup(name);
	return ret->name ? 0 : -ENOMEM;
}

static int desc_parse(const json_t *j, struct image_desc *ret, struct err *err)
{
	const json_t *platform = json_object_get(j, "platform"), *size = json_object_get(j, "size");
	const char *digest = get_string(j, "digest"), *type = get_string(j, "mediaType");

	if (!json_is_object(j) || !digest || !type)
		return bad(err, "descriptor", "expected an object with mediaType, digest and size");
	if (!image_is_digest(digest)) {
		if (strncmp(digest, "sha512:", 7) == 0)
			return err_set(err, ERR_NotSupported, "digest '%.80s': only sha256 is supported", digest);
		return err_set(err, ERR_Docker, "'%.80s' is no digest: expected sha256: and 64 digits", digest);
	}
	if (!json_is_integer(size) || json_integer_value(size) < 0 ||
	    (unsigned long long)json_integer_value(size) > BLOB_SIZE_MAX)
		return err_set(err, ERR_Docker, "%s: no size, or one out of bounds", digest);
	if (copy_string(platform, "os", ret->os, sizeof(ret->os)) < 0 ||
	    copy_string(platform, "architecture", ret->arch, sizeof(ret->arch)) < 0)
		return err_set(err, ERR_Docker, "%s: the platform is not of strings", digest);
	memcpy(ret->digest, digest, IMAGE_DIGEST_LEN + 1);
	ret->media = media_find(type);
	ret->size = (uint64_t)json_integer_value(size);
	return desc_name(j, ret) < 0 ? no_memory(err, digest) : 0;
}

static int descs_parse(const json_t *list, size_t max, struct image_descs *ret, struct err *err)
{
	int r = 0;

	if (!json_is_array(list))
		return bad(err, "manifest", "a list of descriptors is missing");
	if (json_array_size(list) > max)
		return err_set(err, ERR_Docker, "manifest: %zu entries, at most %zu are possible",
			       json_array_size(list), max);
	ret->p = calloc(json_array_size(list) + 1, sizeof(*ret->p));
	if (!ret->p)
		return no_memory(err, "manifest");
	for (size_t i = 0; r == 0 && i < json_array_size(list); i++)
		r = desc_parse(json_array_get(list, i), &ret->p[ret->n++], err);
	return r;
}

bool image_desc_fits(const struct image_desc *d, const char *arch)
{
	return (!*d->os || strcmp(d->os, "linux") == 0) && (!*d->arch || strcmp(d->arch, arch) == 0);
}

/* ---- documents ---- */

/* A manifest that does not say what it is has a config; an index that does not has manifests. */
static enum image_media media_of(const json_t *j)
{
	const char *type = get_string(j, "mediaType");

	if (type && *type)
		return media_find(type);
	if (json_object_get(j, "config") && json_object_get(j, "layers"))
		return IMAGE_MANIFEST;
	return json_object_get(j, "manifests") ? IMAGE_INDEX : IMAGE_OTHER;
}

enum image_media image_media_sniff(const char *json, size_t len)
{
	autojson json_t *j = load(json, len, "manifest", NULL);
	enum image_media media = media_of(j);

	return media == IMAGE_INDEX || media == IMAGE_MANIFEST ? media : IMAGE_OTHER;
}

/* The version that all of these documents have, but one of old: it has no digest of what is in a layer. */
static int check_version(const json_t *j, const char *what, struct err *err)
{
	const json_t *version = json_object_get(j, "schemaVersion");

	if (json_is_integer(version) && json_integer_value(version) == 1)
		return err_set(err, ERR_NotSupported, "%s: docker's first schema is not supported", what);
	if (!json_is_integer(version) || json_integer_value(version) != 2)
		return bad(err, what, "expected schemaVersion 2");
	return 0;
}

int image_index_parse(const char *json, size_t len, struct image_descs *ret, struct err *err)
{
	autojson json_t *j = load(json, len, "index", err);
	int r;

	if (!j)
		return -EIO;
	r = check_version(j, "index", err);
	if (r == 0 && media_of(j) != IMAGE_INDEX)
		r = bad(err, "index", "is no list of manifests");
	return r < 0 ? r : descs_parse(json_object_get(j, "manifests"), IMAGE_INDEX_MAX, ret, err);
}

static int check_layers(const struct image_descs *layers, struct err *err)
{
	for (size_t i = 0; i < layers->n; i++)
		if (layers->p[i].media != IMAGE_LAYER)
			return err_set(err, ERR_NotSupported, "layer %s: its media type is none that can be unpacked",
				       layers->p[i].digest);
	return 0;
}

int image_manifest_parse(const char *json, size_t len, struct image_manifest *ret, struct err *err)
{
	autojson json_t *j = load(json, len, "manifest", err);
	int r;

	if (!j)
		return -EIO;
	r = check_version(j, "manifest", err);
	if (r == 0 && media_of(j) != IMAGE_MANIFEST)
		r = bad(err, "manifest", "is no manifest of an image");
	if (r == 0)
		r = desc_parse(json_object_get(j, "config"), &ret->config, err);
	if (r == 0 && ret->config.media != IMAGE_CONFIG)
		r = err_set(err, ERR_NotSupported, "manifest: it is of something else than an image");
	if (r == 0)
		r = descs_parse(json_object_get(j, "layers"), IMAGE_LAYERS_MAX, &ret->layers, err);
	return r < 0 ? r : check_layers(&ret->layers, err);
}

static int config_words(const json_t *run, struct image_config *ret)
{
	int r = get_words(run, "Entrypoint", WORDS_MAX, &ret->entrypoint);

	if (r == 0)
		r = get_words(run, "Cmd", WORDS_MAX, &ret->cmd);
	if (r == 0)
		r = get_words(run, "Env", WORDS_MAX, &ret->env);
	if (r == 0)
		r = dup_string(run, "User", &ret->user);
	return r < 0 ? r : dup_string(run, "WorkingDir", &ret->workdir);
}

static int config_platform(const json_t *j, struct image_config *ret)
{
	int r = copy_string(j, "os", ret->os, sizeof(ret->os));

	if (r == 0)
		r = copy_string(j, "architecture", ret->arch, sizeof(ret->arch));
	return r < 0 ? r : dup_string(j, "created", &ret->created);
}

/* The digests are kept without their algorithm: they become names of directories. */
static int config_diff_ids(const json_t *j, struct image_config *ret, struct err *err)
{
	autostrv struct strv ids = {};
	int r = get_words(json_object_get(j, "rootfs"), "diff_ids", IMAGE_LAYERS_MAX, &ids);

	for (size_t i = 0; r == 0 && i < ids.n; i++) {
		if (!image_is_digest(ids.p[i]))
			return err_set(err, ERR_Docker, "image configuration: '%.80s' is no digest", ids.p[i]);
		r = strv_add(&ret->diff_ids, ids.p[i] + IMAGE_DIGEST_LEN - IMAGE_HEX);
	}
	if (r == -ENOMEM)
		return no_memory(err, "image configuration");
	return r < 0 || ids.n == 0 ? bad(err, "image configuration", "expected rootfs with diff_ids, a digest a layer")
				   : 0;
}

int image_config_parse(const char *json, size_t len, struct image_config *ret, struct err *err)
{
	autojson json_t *j = load(json, len, "image configuration", err);
	int r;

	if (!j)
		return -EIO;
	r = config_platform(j, ret);
	if (r == 0)
		r = config_words(json_object_get(j, "config"), ret);
	if (r == -ENOMEM)
		return no_memory(err, "image configuration");
	if (r < 0)
		return bad(err, "image configuration", "a value is not of its type");
	if (*ret->os && strcmp(ret->os, "linux") != 0)
		return err_set(err, ERR_NotSupported, "the image is for %s, not for linux", ret->os);
	return config_diff_ids(j, ret, err);
}

static int saved_parse(const json_t *j, struct image_saved *ret)
{
	int r = dup_string(j, "Config", &ret->config);

	if (r == 0)
		r = get_words(j, "RepoTags", WORDS_MAX, &ret->tags);
	if (r == 0)
		r = get_words(j, "Layers", IMAGE_LAYERS_MAX, &ret->layers);
	return r == 0 && !*ret->config ? -EINVAL : r;
}

int image_archive_parse(const char *json, size_t len, struct image_archive *ret, struct err *err)
{
	autojson json_t *j = load(json, len, "manifest.json", err);
	int r = 0;

	if (!j)
		return -EIO;
	if (!json_is_array(j) || json_array_size(j) == 0 || json_array_size(j) > IMAGE_INDEX_MAX)
		return bad(err, "manifest.json", "expected a list of images");
	ret->p = calloc(json_array_size(j), sizeof(*ret->p));
	if (!ret->p)
		return no_memory(err, "manifest.json");
	for (size_t i = 0; r == 0 && i < json_array_size(j); i++)
		r = saved_parse(json_array_get(j, i), &ret->p[ret->n++]);
	if (r == -ENOMEM)
		return no_memory(err, "manifest.json");
	return r < 0 ? bad(err, "manifest.json", "expected Config, RepoTags and Layers for each image") : 0;
}

int image_layout_check(const char *json, size_t len, struct err *err)
{
	autojson json_t *j = load(json, len, "oci-layout", err);
	const char *version = get_string(j, "imageLayoutVersion");

	if (!j)
		return -EIO;
	if (!version || !*version)
		return bad(err, "oci-layout", "expected imageLayoutVersion");
	if (strncmp(version, "1.", 2) != 0)
		return err_set(err, ERR_NotSupported, "oci-layout: version '%.32s' is not known, 1.0.0 is", version);
	return 0;
}

void image_descs_done(struct image_descs *d)
{
	for (size_t i = 0; i < d->n; i++)
		free(d->p[i].name);
	free(d->p);
	*d = (struct image_descs){};
}

void image_manifest_done(struct image_manifest *m)
{
	free(m->config.name);
	m->config.name = NULL;
	image_descs_done(&m->layers);
}

void image_config_done(struct image_config *c)
{
	free(c->created);
	free(c->user);
	free(c->workdir);
	strv_done(&c->entrypoint);
	strv_done(&c->cmd);
	strv_done(&c->env);
	strv_done(&c->diff_ids);
	*c = (struct image_config){};
}

void image_archive_done(struct image_archive *a)
{
	for (size_t i = 0; i < a->n; i++) {
		free(a->p[i].config);
		strv_done(&a->p[i].tags);
		strv_done(&a->p[i].layers);
	}
	free(a->p);
	*a = (struct image_archive){};
}
