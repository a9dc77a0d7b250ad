#include "layerstore/store/image_cmd.h"

#include <getopt.h>

#include "base/fd.h"
#include "layerstore/store/image_pull.h"

#define TOKEN_MAX 65536

struct options {
	const char *name; /* the argument, or NULL */
	bool dir;
	struct image_wish wish;
	uid_t owner;
	struct image_registry registry;
	bool token; /* on descriptor 0 */
	struct text token_read;
};

struct image_command {
	const char *name, *usage;
	const char *options; /* letters of the long options it takes */
	int min, max;        /* arguments */
	int (*run)(struct image_job *job, const struct options *o, struct text *out, struct err *err);
};

/* ---- commands ---- */

static int run_import(struct image_job *job, const struct options *o, struct text *out, struct err *err)
{
	return image_import(job, o->dir ? FD_FROM : -1, &o->wish, out, err);
}

static int run_pull(struct image_job *job, const struct options *o, struct text *out, struct err *err)
{
	return image_pull(job, &o->wish, &o->registry, out, err);
}

static int run_list(struct image_job *job, const struct options *o UNUSED, struct text *out, struct err *err)
{
	autorecords struct image_records recs = {};
	int r = image_records_read(job->store->images, &recs, err);

	for (size_t i = 0; i < recs.n; i++) {
		for (size_t j = 0; j < recs.p[i].tags.n; j++)
			text_addf(out, "%s\t%s\n", recs.p[i].id, recs.p[i].tags.p[j]);
		if (recs.p[i].tags.n == 0)
			text_addf(out, "%s\t<none>\n", recs.p[i].id);
	}
	return r;
}

static int run_show(struct image_job *job, const struct options *o, struct text *out, struct err *err)
{
	autorecord struct image_record rec = {};
	int r = image_store_find(job->store, o->name, &o->wish.defaults, &rec, err);

	if (r == 0)
		image_record_format(&rec, out);
	return r;
}

static int run_layers(struct image_job *job, const struct options *o, struct text *out, struct err *err)
{
	autorecord struct image_record rec = {};
	int r = image_store_find(job->store, o->name, &o->wish.defaults, &rec, err);

	for (size_t i = 0; i < rec.layers.n; i++)
		text_addf(out, "v1/layers/%s\n", rec.layers.p[i]);
	return r;
}

/* The tag by which the image was named, if it was by one of its tags. */
static const char *named_tag(const struct image_record *rec, const struct options *o, struct text *tag)
{
	struct image_ref ref;

	if (image_ref_parse(o->name, &o->wish.defaults, &ref, NULL) < 0 || *ref.digest)
		return NULL;
	image_ref_format(&ref, tag);
	for (size_t i = 0; i < rec->tags.n; i++)
		if (strcmp(rec->tags.p[i], text_str(tag)) == 0)
			return rec->tags.p[i];
	return NULL;
}

static int run_remove(struct image_job *job, const struct options *o, struct text *out UNUSED, struct err *err)
{
	autorecord struct image_record rec = {};
	autotext struct text tag = {};
	autoclose int lock = image_store_lock(job->store, err);
	int r = lock < 0 ? lock : image_store_find(job->store, o->name, &o->wish.defaults, &rec, err);

	return r < 0 ? r : image_store_drop(job->store, &rec, named_tag(&rec, o, &tag), err);
}

/* All the work is what is done after a change. */
static int run_sweep(struct image_job *job UNUSED, const struct options *o UNUSED, struct text *out UNUSED,
		     struct err *err UNUSED)
{
	return 0;
}

/* Letters of options: a arch, d digest, D dir, r registry, m mirror, i insecure, o owner, u auth-url, s service, t token. */
static const struct image_command commands[] = {
	/* clang-format off */
	{ "image-import", "[--dir] [--arch A] [--digest D] [--owner UID] [--registry R] [--mirror M] [NAME]", "Dadorm", 0, 1, run_import },
	{ "image-layers", "[--registry R] [--mirror M] NAME|ID",                                "rm",    1, 1, run_layers },
	{ "image-list",   "",                                                                   "",      0, 0, run_list },
	{ "image-pull",   "[--arch A] [--insecure] [--auth-url URL] [--service S] [--token] [--owner UID] [--registry R] [--mirror M] NAME",
	                                                                                        "aioustrm", 1, 1, run_pull },
	{ "image-remove", "[--owner UID] [--registry R] [--mirror M] NAME|ID",                  "orm",   1, 1, run_remove },
	{ "image-show",   "[--registry R] [--mirror M] NAME|ID",                                "rm",    1, 1, run_show },
	{ "image-sweep",  "",                                                                   "",      0, 0, run_sweep },
	/* clang-format on */
};

/* ---- options ---- */

static const struct option long_options[] = {
	{ "arch", required_argument, NULL, 'a' },     { "auth-url", required_argument, NULL, 'u' },
	{ "digest", required_argument, NULL, 'd' },   { "dir", no_argument, NULL, 'D' },
	{ "insecure", no_argument, NULL, 'i' },       { "mirror", required_argument, NULL, 'm' },
	{ "owner", required_argument, NULL, 'o' },
	{ "registry", required_argument, NULL, 'r' }, { "service", required_argument, NULL, 's' },
	{ "token", no_argument, NULL, 't' },          { NULL, 0, NULL, 0 },
};

static void set_option(struct options *o, int letter)
{
	switch (letter) {
	case 'a':
		o->wish.arch = optarg;
		break;
	case 'd':
		o->wish.digest = optarg;
		break;
	case 'D':
		o->dir = true;
		break;
	case 'i':
		o->registry.insecure = true;
		break;
	case 'm':
		o->wish.defaults.mirror = optarg;
		break;
	case 'o':
		o->owner = (uid_t)strtoul(optarg, NULL, 10);
		break;
	case 'r':
		o->wish.defaults.registry = optarg;
		break;
	case 's':
		o->registry.service = optarg;
		break;
	case 't':
		o->token = true;
		break;
	case 'u':
		o->registry.auth_url = optarg;
		break;
	default:
		break;
	}
}

static int parse(const struct image_command *c, int argc, char **argv, struct options *o, struct err *err)
{
	int letter;

	o->wish.defaults.registry = IMAGE_DEFAULT_REGISTRY;
	o->registry.token = getenv("DOCKER_TOKEN");
	if (o->registry.token && !*o->registry.token)
		o->registry.token = NULL;
	optind = 1;
	opterr = 0;
	while ((letter = getopt_long(argc, argv, "+", long_options, NULL)) != -1) {
		if (letter == '?' || !strchr(c->options, letter))
			return err_set(err, ERR_InvalidValue, "usage: %s %s", c->name, c->usage);
		set_option(o, letter);
	}
	if (argc - optind < c->min || argc - optind > c->max)
		return err_set(err, ERR_InvalidValue, "usage: %s %s", c->name, c->usage);
	o->name = o->wish.name = argc > optind ? argv[optind] : NULL;
	if (o->wish.digest && !image_is_digest(o->wish.digest))
		return err_set(err, ERR_InvalidValue, "'%s' is no digest: expected sha256: and 64 digits",
			       o->wish.digest);
	return 0;
}

/* Neither an argument nor a variable: everybody can see those. */
static int read_token(struct options *o, struct err *err)
{
	int r = fd_read_all(FD_IN, TOKEN_MAX, &o->token_read);

	if (r < 0)
		return err_sys(err, -r, "token");
	o->registry.token = o->token_read.len > 0 ? text_trim(o->token_read.p) : NULL;
	return 0;
}

/* ---- running one ---- */

/* What was left behind, by this one too, goes: first to have the room, then to leave nothing. */
static int in_store(const struct image_command *c, const struct options *o, struct image_job *job, struct err *err)
{
	bool changes = c->run == run_import || c->run == run_pull || c->run == run_remove || c->run == run_sweep;
	autotext struct text out = {};
	int r;

	if (changes && c->run != run_remove)
		image_store_sweep(job->store);
	r = c->run(job, o, &out, err);
	if (r == 0)
		r = text_ok(&out) < 0 ? err_sys(err, ENOMEM, "%s", c->name)
				      : fd_write_all(FD_OUT, text_str(&out), out.len);
	if (changes && c->run != run_sweep)
		image_store_sweep(job->store);
	return r;
}

const struct image_command *image_command(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

int image_run(const struct image_command *c, struct job *j, int argc, char **argv, struct err *err)
{
	autostore struct image_store store = { .dir = -1, .images = -1, .layers = -1 };
	struct image_job job = { .job = j, .store = &store, .spool = -1 };
	struct options o = {};
	int r = parse(c, argc, argv, &o, err);

	if (r == 0 && o.token)
		r = read_token(&o, err);
	if (r == 0)
		r = image_store_open(&store, j, FD_PLACE, err);
	store.owner = o.owner;
	if (r == 0)
		r = in_store(c, &o, &job, err);
	if (r < 0 && err->kind == ERR_Success)
		err_sys(err, -r, "%s", c->name);
	if (r < 0)
		dprintf(2, "%s: %s\n", err_kind_name(err->kind), err->text);
	text_done(&o.token_read);
	return r;
}
