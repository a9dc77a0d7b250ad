#include "layerstore/store/image_curl.h"

#include "base/fd.h"
#include "layerstore/store/image_tool.h"

#define ARGS_MAX 32

static const char docker_host[] = "registry-1.docker.io"; /* where docker.io has its images */

static const char *const manifest_types[] = {
	"Accept: application/vnd.oci.image.index.v1+json",
	"Accept: application/vnd.oci.image.manifest.v1+json",
	"Accept: application/vnd.docker.distribution.manifest.list.v2+json",
	"Accept: application/vnd.docker.distribution.manifest.v2+json",
};

/* In front of all others; -q: nobody's .curlrc. */
static const char *const usual[] = {
	"curl",          "-q", "--fail",       "--silent", "--show-error", "--location", "--connect-timeout", "30",
	"--speed-limit", "1",  "--speed-time", "60"
};

struct args {
	const char *p[ARGS_MAX];
	size_t n;
};

static void add(struct args *a, const char *s)
{
	if (a->n + 1 < ARGS_MAX)
		a->p[a->n++] = s;
}

static void begin(struct args *a)
{
	*a = (struct args){};
	for (size_t i = 0; i < ARRAY_LEN(usual); i++)
		add(a, usual[i]);
}

/* A line of what curl reads: option = "value". */
static void add_option(struct text *config, const char *option, const char *value)
{
	text_addf(config, "%s = \"", option);
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			text_addc(config, '\\');
		text_addc(config, *value);
	}
	text_add(config, "\"\n");
}

static int add_token(const struct image_curl *c, struct text *config, struct err *err)
{
	autotext struct text header = {};

	for (const char *p = c->token; *p; p++)
		if (*p <= ' ' || *p > '~')
			return err_set(err, ERR_InvalidValue, "token: a byte in it that no token has");
	text_addf(&header, "Authorization: Bearer %s", c->token);
	add_option(config, "header", text_str(&header));
	return text_ok(&header) < 0 || text_ok(config) < 0 ? err_sys(err, ENOMEM, "token") : 0;
}

static void add_url(const struct image_curl *c, const char *what, const char *which, struct text *config)
{
	const char *host = strcmp(c->ref->registry, IMAGE_DOCKER_REGISTRY) == 0 ? docker_host : c->ref->registry;
	autotext struct text url = {};

	text_addf(&url, "%s://%s/v2/%s/%s/%s", c->plain ? "http" : "https", host, c->ref->repository, what, which);
	add_option(config, "url", text_str(&url));
}

static void begin_registry(const struct image_curl *c, struct args *a)
{
	begin(a);
	add(a, "--proto");
	add(a, c->plain ? "=http,https" : "=https");
	if (c->insecure)
		add(a, "--insecure");
	add(a, "--config");
	add(a, "-");
}

/* ---- manifests ---- */

static int get_manifest(const struct image_curl *c, const char *which, struct text *json, struct err *err)
{
	autotext struct text config = {};
	struct args a;
	int r = add_token(c, &config, err);

	if (r < 0)
		return r;
	add_url(c, "manifests", which, &config);
	if (text_ok(&config) < 0)
		return err_sys(err, ENOMEM, "image");
	begin_registry(c, &a);
	for (size_t i = 0; i < ARRAY_LEN(manifest_types); i++) {
		add(&a, "--header");
		add(&a, manifest_types[i]);
	}
	return image_tool_run(c->job, &(struct image_tool){ .argv = a.p, .cwd = -1, .input = &config }, json, err);
}

int image_curl_manifest(struct image_curl *c, const char *which, struct text *json, struct err *err)
{
	int r = get_manifest(c, which, json, err);

	/* An answer is an answer; only who speaks no https is asked again. */
	if (r >= 0 || !c->insecure || c->plain || r == -EINTR || strstr(err->text, "returned error"))
		return r;
	c->plain = true;
	*err = (struct err){};
	text_clear(json);
	return get_manifest(c, which, json, err);
}

/* ---- blobs ---- */

static int add_blob(const struct image_curl *c, const struct image_desc *d, struct strv *seen, struct text *config)
{
	for (size_t i = 0; i < seen->n; i++)
		if (strcmp(seen->p[i], d->digest) == 0)
			return 0;
	add_url(c, "blobs", d->digest, config);
	add_option(config, "output", d->digest + IMAGE_DIGEST_LEN - IMAGE_HEX);
	return strv_add(seen, d->digest);
}

int image_curl_blobs(const struct image_curl *c, const struct text *json, int dir, const struct job_tick *tick,
		     struct err *err)
{
	autotext struct text config = {}, nothing = {};
	automanifest struct image_manifest m = {};
	autostrv struct strv seen = {};
	struct args a;
	int r = image_manifest_parse(text_str(json), json->len, &m, err);

	if (r == 0)
		r = add_token(c, &config, err);
	if (r < 0)
		return r;
	r = add_blob(c, &m.config, &seen, &config);
	for (size_t i = 0; r == 0 && i < m.layers.n; i++)
		r = add_blob(c, &m.layers.p[i], &seen, &config);
	if (r == 0)
		r = text_ok(&config);
	if (r == 0)
		r = file_replace(dir, "manifest.json", text_str(json), json->len, 0600);
	if (r < 0)
		return err_sys(err, -r, "image");
	begin_registry(c, &a);
	add(&a, "--fail-early");
	return image_tool_run(c->job, &(struct image_tool){ .argv = a.p, .cwd = dir, .input = &config, .tick = tick },
			      &nothing, err);
}

/* ---- tokens ---- */

int image_curl_get(struct job *j, const char *url, const char *const *data, size_t n, struct text *out, struct err *err)
{
	struct args a;

	begin(&a);
	add(&a, "--proto");
	add(&a, "=http,https");
	add(&a, "--max-time");
	add(&a, "60");
	add(&a, "--get");
	for (size_t i = 0; i < n; i++) {
		add(&a, "--data-urlencode");
		add(&a, data[i]);
	}
	add(&a, "--");
	add(&a, url);
	return image_tool_run(j, &(struct image_tool){ .argv = a.p, .cwd = -1 }, out, err);
}
