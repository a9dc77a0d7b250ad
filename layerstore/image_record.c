#include "layerstore/image_record.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/units.h"

#define FILE_MAX (16U << 20)

enum kind { ID, LIST, WORD, NUMBER };

/* A file of an image each, in the order they are shown. */
static const struct file {
	const char *name, *shown;
	enum kind kind;
	size_t offset;
} files[] = {
	/* clang-format off */
	{ "id",           "id",           ID,     offsetof(struct image_record, id) },
	{ "tags",         "tag",          LIST,   offsetof(struct image_record, tags) },
	{ "digests",      "digest",       LIST,   offsetof(struct image_record, digests) },
	{ "layers",       "layer",        LIST,   offsetof(struct image_record, layers) },
	{ "size",         "size",         NUMBER, offsetof(struct image_record, size) },
	{ "command",      "command",      LIST,   offsetof(struct image_record, command) },
	{ "env",          "env",          LIST,   offsetof(struct image_record, env) },
	{ "workdir",      "workdir",      WORD,   offsetof(struct image_record, workdir) },
	{ "user",         "user",         WORD,   offsetof(struct image_record, user) },
	{ "created",      "created",      WORD,   offsetof(struct image_record, created) },
	{ "arch",         "arch",         WORD,   offsetof(struct image_record, arch) },
	/* clang-format on */
};

static void add_value(struct text *out, const char *prefix, const char *value)
{
	text_add(out, prefix);
	for (; *value; value++)
		if (*value == '\n')
			text_add(out, "\\n");
		else if (*value == '\\')
			text_add(out, "\\\\");
		else
			text_addc(out, *value);
	text_addc(out, '\n');
}

/* In place. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (*s == '\\' && s[1])
			*to++ = *++s == 'n' ? '\n' : *s;
		else
			*to++ = *s;
	}
	*to = 0;
}

static const void *field(const struct image_record *rec, const struct file *f)
{
	return (const char *)rec + f->offset;
}

static void format_file(const struct image_record *rec, const struct file *f, const char *prefix, struct text *out)
{
	const struct strv *list = field(rec, f);
	char *const *word = field(rec, f);

	switch (f->kind) {
	case ID:
		add_value(out, prefix, field(rec, f));
		break;
	case LIST:
		for (size_t i = 0; i < list->n; i++)
			add_value(out, prefix, list->p[i]);
		break;
	case WORD:
		add_value(out, prefix, *word ? *word : "");
		break;
	case NUMBER:
		text_add(out, prefix);
		text_addu(out, *(const uint64_t *)field(rec, f));
		text_addc(out, '\n');
		break;
	}
}

/* One line, which is cut. */
static int parse_line(struct image_record *rec, const struct file *f, char *line)
{
	void *to = (char *)rec + f->offset;
	char **word = to;

	unescape(line);
	switch (f->kind) {
	case ID:
		return strcmp(line, rec->id) == 0 ? 0 : -EINVAL;
	case LIST:
		return strv_add(to, line);
	case WORD:
		free(*word);
		*word = strdup(line);
		return *word ? 0 : -ENOMEM;
	case NUMBER:
		break;
	}
	return unit_uint_parse(line, to);
}

static int load_file(int dirfd, struct image_record *rec, const struct file *f)
{
	autotext struct text t = {};
	int r = file_read(dirfd, f->name, FILE_MAX, &t);
	char *line = t.p, *end;

	for (; r == 0 && line && *line; line = end + 1) {
		end = strchr(line, '\n');
		if (!end)
			return -EINVAL;
		*end = 0;
		r = parse_line(rec, f, line);
	}
	/* Even an empty value has its newline. */
	return r == 0 && f->kind != LIST && !line ? -EINVAL : r;
}

int image_record_load(int images_fd, const char *id, struct image_record *ret)
{
	autorecord struct image_record rec = {};
	autoclose int dirfd = -1;
	struct stat st;
	int r = 0;

	if (!image_is_hex(id))
		return -ENOENT;
	dirfd = openat(images_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dirfd < 0)
		return -errno;
	snprintf(rec.id, sizeof(rec.id), "%s", id);
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(files); i++)
		r = load_file(dirfd, &rec, &files[i]);
	if (r == 0 && fstatat(dirfd, "tags", &st, 0) < 0)
		r = -errno;
	if (r < 0)
		return r;
	rec.tagged = st.st_mtim;
	if (fstat(dirfd, &st) < 0)
		return -errno;
	rec.uid = st.st_uid;
	*ret = rec;
	rec = (struct image_record){};
	return 0;
}

int image_record_write(int dirfd, const struct image_record *rec, const struct text *config)
{
	int r = file_replace(dirfd, "config.json", text_str(config), config->len, 0644);

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(files); i++) {
		autotext struct text t = {};
		format_file(rec, &files[i], "", &t);
		r = text_ok(&t);
		if (r == 0)
			r = file_replace(dirfd, files[i].name, text_str(&t), t.len, 0644);
	}
	return r;
}

void image_record_format(const struct image_record *rec, struct text *out)
{
	char prefix[32];

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		snprintf(prefix, sizeof(prefix), "%s = ", files[i].shown);
		format_file(rec, &files[i], prefix, out);
	}
}

void image_record_file(const struct image_record *rec, const char *name, struct text *out)
{
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (strcmp(files[i].name, name) == 0)
			format_file(rec, &files[i], "", out);
}

void image_record_done(struct image_record *rec)
{
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		void *at = (char *)rec + files[i].offset;
		if (files[i].kind == LIST)
			strv_done(at);
		else if (files[i].kind == WORD)
			free(*(char **)at);
	}
	*rec = (struct image_record){};
}

void image_records_done(struct image_records *recs)
{
	for (size_t i = 0; i < recs->n; i++)
		image_record_done(&recs->p[i]);
	free(recs->p);
	*recs = (struct image_records){};
}

/* ---- all of them ---- */

static int by_id(const void *a, const void *b)
{
	return strcmp(((const struct image_record *)a)->id, ((const struct image_record *)b)->id);
}

int image_records_read(int images_fd, struct image_records *ret, struct err *err)
{
	autostrv struct strv names = {};
	autorecords struct image_records recs = {};
	int r = dir_names(images_fd, &names);

	if (r == 0 && names.n > 0) {
		recs.p = calloc(names.n, sizeof(*recs.p));
		r = recs.p ? 0 : -ENOMEM;
	}
	for (size_t i = 0; r == 0 && i < names.n; i++) {
		if (!image_is_hex(names.p[i]))
			continue;
		/* What is no image, has just been removed, or was damaged by hand, is none. */
		int loaded = image_record_load(images_fd, names.p[i], &recs.p[recs.n]);
		recs.n += loaded == 0;
		r = loaded == -ENOMEM ? -ENOMEM : 0;
	}
	if (r < 0)
		return err_sys(err, -r, "images");
	if (recs.n > 0)
		qsort(recs.p, recs.n, sizeof(*recs.p), by_id);
	*ret = recs;
	recs = (struct image_records){};
	return 0;
}

static bool has(const struct strv *list, const char *s)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->p[i], s) == 0)
			return true;
	return false;
}

static bool is_newer(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

static struct image_record *with_tag(const struct image_records *recs, const char *tag)
{
	struct image_record *found = NULL;

	for (size_t i = 0; i < recs->n; i++)
		if (has(&recs->p[i].tags, tag) && (!found || is_newer(&recs->p[i].tagged, &found->tagged)))
			found = &recs->p[i];
	return found;
}

static bool has_digest(const struct image_record *rec, const char *prefix)
{
	size_t len = strlen(prefix);

	for (size_t i = 0; i < rec->digests.n; i++)
		if (strncmp(rec->digests.p[i] + IMAGE_DIGEST_LEN - IMAGE_HEX, prefix, len) == 0)
			return true;
	return strncmp(rec->id, prefix, len) == 0;
}

static int with_digest(const struct image_records *recs, const char *prefix, const char *name,
		       struct image_record **ret, struct err *err)
{
	for (size_t i = 0; i < recs->n; i++) {
		if (!has_digest(&recs->p[i], prefix))
			continue;
		if (*ret)
			return err_set(err, ERR_Docker, "image '%s': several images begin so: %.12s, %.12s", name,
				       (*ret)->id, recs->p[i].id);
		*ret = &recs->p[i];
	}
	return 0;
}

int image_records_find(const struct image_records *recs, const char *name, const struct image_defaults *def,
		       struct image_record **ret, struct err *err)
{
	struct image_record *found = NULL;
	char prefix[IMAGE_HEX + 1];
	struct image_ref ref;
	int r = 0;

	if (image_ref_parse(name, def, &ref, NULL) == 0) {
		autotext struct text tag = {};
		image_ref_format(&ref, &tag);
		if (*ref.digest)
			r = with_digest(recs, ref.digest + IMAGE_DIGEST_LEN - IMAGE_HEX, name, &found, err);
		else
			found = with_tag(recs, text_str(&tag));
	}
	if (r == 0 && !found && image_prefix_parse(name, prefix) == 0)
		r = with_digest(recs, prefix, name, &found, err);
	if (r < 0)
		return r;
	if (!found)
		return err_set(err, ERR_DockerImageNotFound, "image '%.255s' is not in this place", name);
	*ret = found;
	return 0;
}
