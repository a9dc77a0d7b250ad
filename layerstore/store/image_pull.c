#include "layerstore/store/image_pull.h"

#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "layerstore/store/image_curl.h"
#include "layerstore/store/image_tool.h"
#include "layerstore/store/sum.h"

#define POLICY   "/etc/containers/policy.json"
#define ARGS_MAX 24

/* Arguments put together; what they point to outlives them. */
struct args {
	const char *p[ARGS_MAX];
	size_t n;
};

static void arg_add(struct args *a, const char *s)
{
	if (a->n + 1 < ARGS_MAX)
		a->p[a->n++] = s;
}

struct pull {
	struct image_job *job;
	const struct image_registry *reg;
	struct image_ref ref;
	struct image_curl curl; /* with a token of one's own; else it's skopeo */
	int dir;
};

static void skopeo(struct args *a, const struct pull *p, const char *verb, bool copies)
{
	arg_add(a, "skopeo");
	/* Signatures are looked at where somebody has said which. */
	if (access(POLICY, R_OK) < 0)
		arg_add(a, "--insecure-policy");
	arg_add(a, verb);
	/* root's logins are root's */
	if (p->job->store->owner != 0)
		arg_add(a, copies ? "--src-no-creds" : "--no-creds");
	if (p->reg->insecure)
		arg_add(a, copies ? "--src-tls-verify=false" : "--tls-verify=false");
}

/* The name in skopeo's words: a tag or a digest, it takes no both. */
static void source_name(const struct image_ref *ref, const char *digest, struct text *out)
{
	text_addf(out, "docker://%s/%s", ref->registry, ref->repository);
	if (digest && *digest)
		text_addf(out, "@%s", digest);
	else
		text_addf(out, ":%s", ref->tag);
}

/* ---- the token ---- */

static int token_parse(const struct text *json, struct text *ret, struct err *err)
{
	json_t *j = json_loadb(text_str(json), json->len, 0, NULL);
	const char *token = json_string_value(json_object_get(j, "token"));

	if (!token)
		token = json_string_value(json_object_get(j, "access_token"));
	if (token)
		text_add(ret, token);
	json_decref(j);
	if (text_ok(ret) < 0)
		return err_sys(err, ENOMEM, "token");
	return ret->len > 0 ? 0 : err_set(err, ERR_Docker, "the answer of the authorisation server has no token in it");
}

static int get_token(const struct pull *p, struct text *ret, struct err *err)
{
	autotext struct text service = {};
	autotext struct text scope = {};
	autotext struct text json = {};
	int r;

	if (strncmp(p->reg->auth_url, "https://", 8) != 0 && strncmp(p->reg->auth_url, "http://", 7) != 0)
		return err_set(err, ERR_InvalidValue, "'%s': expected an https URL of an authorisation server",
			       p->reg->auth_url);
	text_addf(&service, "service=%s", p->reg->service ? p->reg->service : p->ref.registry);
	text_addf(&scope, "scope=repository:%s:pull", p->ref.repository);
	if (text_ok(&service) < 0 || text_ok(&scope) < 0)
		return err_sys(err, ENOMEM, "token");
	r = image_curl_get(p->job->job, p->reg->auth_url, (const char *[]){ service.p, scope.p }, 2, &json, err);
	return r < 0 ? r : token_parse(&json, ret, err);
}

/* ---- manifest, then blobs ---- */

/* The document behind a tag or digest, and its digest, which is compared if one was asked for. */
static int get_manifest(struct pull *p, const char *digest, struct text *json, char ret[IMAGE_DIGEST_LEN + 1],
			struct err *err)
{
	autotext struct text name = {};
	struct args a = {};
	int r;

	source_name(&p->ref, digest, &name);
	if (text_ok(&name) < 0)
		return err_sys(err, ENOMEM, "image");
	skopeo(&a, p, "inspect", false);
	arg_add(&a, "--raw");
	arg_add(&a, name.p);
	if (p->curl.token)
		r = image_curl_manifest(&p->curl, *digest ? digest : p->ref.tag, json, err);
	else
		r = image_tool_run(p->job->job, &(struct image_tool){ .argv = a.p, .cwd = -1 }, json, err);
	if (r < 0)
		return r;
	snprintf(ret, IMAGE_DIGEST_LEN + 1, "sha256:");
	sum_of(text_str(json), json->len, ret + IMAGE_DIGEST_LEN - IMAGE_HEX);
	if (*digest && strcmp(digest, ret) != 0)
		return err_set(err, ERR_Docker, "%s: the registry answered with %s", digest, ret);
	return 0;
}

/* What the name means now: one manifest, chosen from an index if it is one. *top: the digest of what was answered. */
static int resolve(struct pull *p, const char *arch, struct text *json, char top[IMAGE_DIGEST_LEN + 1],
		   char digest[IMAGE_DIGEST_LEN + 1], struct err *err)
{
	autodescs struct image_descs in = {};
	int r = get_manifest(p, p->ref.digest, json, top, err);

	if (r < 0)
		return r;
	memcpy(digest, top, IMAGE_DIGEST_LEN + 1);
	if (image_media_sniff(text_str(json), json->len) != IMAGE_INDEX)
		return 0; /* what else it may be is looked at when it is imported */
	r = image_index_parse(text_str(json), json->len, &in, err);
	for (size_t i = 0; r == 0 && i < in.n; i++)
		if (in.p[i].media == IMAGE_MANIFEST && image_desc_fits(&in.p[i], arch)) {
			memcpy(digest, in.p[i].digest, IMAGE_DIGEST_LEN + 1);
			return 0;
		}
	return r < 0 ? r
		     : err_set(err, ERR_DockerImageNotFound, "there is no image for linux on %s behind this name",
			       arch);
}

/* How much there is by now; it is looked at ten times a second, and holds a file a blob. */
static void tick(struct job *j, void *arg)
{
	const struct pull *p = arg;
	int fd = openat(p->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *d;
	uint64_t sum = 0;
	struct stat st;

	if (!dir)
		return;
	while ((d = readdir(dir)))
		if (fstatat(p->dir, d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
			sum += (uint64_t)st.st_size;
	closedir(dir);
	j->sh->bytes = sum;
}

/* json: what resolve has read, which is the manifest unless that was chosen from it. */
static int fetch_blobs(struct pull *p, const char *digest, struct text *json, bool is_index, struct err *err)
{
	char same[IMAGE_DIGEST_LEN + 1];
	const struct job_tick look = { tick, p };
	int r = 0;

	if (is_index) {
		text_clear(json);
		r = get_manifest(p, digest, json, same, err);
	}
	return r < 0 ? r : image_curl_blobs(&p->curl, json, p->dir, &look, err);
}

static int copy_blobs(struct pull *p, const char *digest, struct err *err)
{
	autotext struct text name = {}, nothing = {};
	const struct job_tick look = { tick, p };
	struct args a = {};

	source_name(&p->ref, digest, &name);
	if (text_ok(&name) < 0)
		return err_sys(err, ENOMEM, "image");
	skopeo(&a, p, "copy", true);
	arg_add(&a, "--quiet");
	arg_add(&a, name.p);
	arg_add(&a, "dir:.");
	return image_tool_run(p->job->job, &(struct image_tool){ .argv = a.p, .cwd = p->dir, .tick = &look }, &nothing,
			      err);
}

/* Into a directory of its own, and from there as if a stranger had brought it. */
static int pull_into(struct pull *p, const struct image_wish *wish, struct text *json, const char *digest,
		     struct text *out, struct err *err)
{
	char name[IMAGE_HEX + 16];
	int r;

	snprintf(name, sizeof(name), "pull_%s", digest + IMAGE_DIGEST_LEN - IMAGE_HEX);
	p->dir = image_store_claim(p->job->store, p->job->store->dir, name);
	if (p->dir < 0)
		return image_store_failed(p->dir, name, err);
	r = p->curl.token ? fetch_blobs(p, digest, json, strcmp(digest, wish->digest) != 0, err)
			  : copy_blobs(p, digest, err);
	if (r == 0)
		r = image_import(p->job, p->dir, wish, out, err);
	image_store_abandon(p->job->store->dir, name);
	close(p->dir);
	return r;
}

int image_pull(struct image_job *job, const struct image_wish *wish, const struct image_registry *reg, struct text *out,
	       struct err *err)
{
	char top[IMAGE_DIGEST_LEN + 1], digest[IMAGE_DIGEST_LEN + 1];
	struct pull p = { .job = job, .reg = reg, .dir = -1 };
	struct image_wish known = *wish;
	autotext struct text token = {}, json = {};
	int r = image_ref_parse(wish->name, &wish->defaults, &p.ref, err);

	p.curl = (struct image_curl){ .job = job->job, .ref = &p.ref, .token = reg->token, .insecure = reg->insecure };
	if (r == 0 && !reg->token && reg->auth_url) {
		r = get_token(&p, &token, err);
		p.curl.token = token.p;
	}
	if (r == 0)
		r = resolve(&p, wish->arch ? image_arch_name(wish->arch) : image_host_arch(), &json, top, digest, err);
	if (r < 0)
		return r;
	known.digest = top;
	return pull_into(&p, &known, &json, digest, out, err);
}
