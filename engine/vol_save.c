/*
 * Volumes on disk: <state_dir>/vol/<id>, lines as in `spec`, the engine's own with a dot before their names, as of containers
 * (save.h). A record renamed to <id>.gone.<unique> is a volume that is being taken down.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/names.h"
#include "engine/limits.h"
#include "engine/save.h"
#include "engine/vol.h"

int vol_save_open(struct engine *e, struct err *err)
{
	char buf[24];

	if (mkdirat(e->state_fd, "vol", 0700) < 0 && errno != EEXIST)
		return err_sys(err, errno, "%s/vol", e->conf->daemon_state_dir);
	e->vol_fd = openat(e->state_fd, "vol", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (e->vol_fd < 0)
		return err_sys(err, errno, "%s/vol", e->conf->daemon_state_dir);
	e->vol_next = 1;
	if (file_read_small(e->vol_fd, "next", buf, sizeof(buf)) > 0)
		e->vol_next = MAX(e->vol_next, (uint32_t)strtoul(buf, NULL, 10));
	return 0;
}

void vol_save_close(struct engine *e)
{
	while (e->vols != NULL)
		vol_free(e->vols);
	if (e->vol_fd >= 0)
		close(e->vol_fd);
	e->vol_fd = -1;
}

uint32_t vol_next_id(struct engine *e)
{
	return e->vol_next;
}

int vol_take_id(struct engine *e, uint32_t id, struct err *err)
{
	char buf[24];
	int n = snprintf(buf, sizeof(buf), "%u\n", (unsigned)id + 1);
	int r = file_replace(e->vol_fd, "next", buf, (size_t)n, 0644);

	if (r < 0)
		return err_sys(err, -r, "%s/vol/next", e->conf->daemon_state_dir);
	e->vol_next = id + 1;
	return 0;
}

static void add_string(struct text *out, const char *name, const char *value)
{
	if (value != NULL)
		spec_line_format(out, name, value);
}

static void add_links(const struct vol *v, struct text *out)
{
	for (const struct vlink *l = v->links; l != NULL; l = l->next) {
		autotext struct text line = {};

		text_addf(&line, "%u %d %d %d %llu %s\n%s", (unsigned)l->ct, l->read_only, l->required, l->mounted | l->going << 1,
			  (unsigned long long)l->mount, l->target != NULL ? l->target : "", l->host != NULL ? l->host : "");
		spec_line_format(out, ".link", text_str(&line));
	}
}

static void add_numbers(const struct vol *v, struct text *out)
{
	text_addf(out, ".state = %s\n", vol_state_names[v->state]);
	text_addf(out, ".owner = %u %u\n.user = %u %u\n.owner_ct = %u\n", (unsigned)v->owner_uid, (unsigned)v->owner_gid,
		  (unsigned)v->user_uid, (unsigned)v->user_gid, (unsigned)v->owner_ct);
	text_addf(out, ".unique = %llu\n.result = %d\n.pending = %llu\n", (unsigned long long)v->unique, v->unique_result,
		  (unsigned long long)v->pending);
	text_addf(out, ".times = %lld %lld %lld\n", (long long)v->creation_wall, (long long)v->build_wall, (long long)v->change_wall);
	text_addf(out, ".by = %u %u %u\n", (unsigned)v->by.uid, (unsigned)v->by.gid, (unsigned)v->by_ct);
	text_addf(out, ".made_here = %d\n.handle = %llu %llu\n.flags = %d %d\n", v->made_here, (unsigned long long)v->handle,
		  (unsigned long long)v->handle_bytes, v->plan.path_auto, v->plan.storage_named);
}

static void record(const struct vol *v, struct text *out)
{
	autotext struct text made = {};

	add_numbers(v, out);
	add_string(out, ".creator", v->creator);
	add_string(out, ".path", v->plan.path);
	add_string(out, ".place", v->plan.place);
	add_string(out, ".storage", v->plan.storage);
	for (size_t i = 0; i < v->plan.layers.n; i++)
		add_string(out, ".layer", v->plan.layers.p[i]);
	add_links(v, out);
	add_string(out, ".error", v->error);
	if (v->made.backend[0] != '\0' && vol_made_format(&v->made, &made) == 0)
		add_string(out, ".made", text_str(&made));
	vol_spec_format(v, out);
}

static void gone_name(const struct vol *v, char name[64])
{
	snprintf(name, 64, "%u.gone.%llu", (unsigned)v->id, (unsigned long long)v->gone_unique);
}

int vol_save(struct vol *v, uint64_t cookie, int result, struct err *err)
{
	uint64_t unique = v->unique, pending = v->pending;
	int unique_result = v->unique_result;
	autotext struct text out = {};
	char name[64];
	int r;

	if (cookie != 0) {
		v->unique = cookie;
		v->unique_result = result;
		if (v->pending == cookie)
			v->pending = 0;
	}
	record(v, &out);
	if (v->gone)
		gone_name(v, name);
	else
		snprintf(name, sizeof(name), "%u", (unsigned)v->id);
	r = text_ok(&out);
	if (r == 0)
		r = file_replace(v->e->vol_fd, name, out.p, out.len, 0600);
	if (r == 0)
		return 0;
	v->unique = unique;
	v->unique_result = unique_result;
	v->pending = pending;
	return err_sys(err, -r, "cannot save volume %u in %s", (unsigned)v->id, v->e->conf->daemon_state_dir);
}

int vol_save_gone(struct vol *v, uint64_t cookie, struct err *err)
{
	uint64_t unique = v->unique;
	char from[24], to[64];

	if (v->gone)
		return 0;
	if (cookie != 0)
		v->unique = cookie;
	v->gone_unique = v->unique;
	snprintf(from, sizeof(from), "%u", (unsigned)v->id);
	gone_name(v, to);
	if (renameat(v->e->vol_fd, from, v->e->vol_fd, to) < 0) {
		v->unique = unique;
		return err_sys(err, errno, "cannot save that volume %u is gone", (unsigned)v->id);
	}
	v->gone = true;
	return 0;
}

void vol_save_forget(struct vol *v)
{
	char name[64];

	if (v->gone)
		gone_name(v, name);
	else
		snprintf(name, sizeof(name), "%u", (unsigned)v->id);
	(void)unlinkat(v->e->vol_fd, name, 0);
}

/* ---- reading ---- */

static void load_link(struct vol *v, const char *text)
{
	struct vlink *l = calloc(1, sizeof(*l)), **at = &v->links;
	unsigned ct;
	int ro, required, mounted, end = 0;
	unsigned long long mount;
	const char *target, *host;

	if (l == NULL || sscanf(text, "%u %d %d %d %llu%n", &ct, &ro, &required, &mounted, &mount, &end) != 5 || text[end] != ' ') {
		free(l);
		return;
	}
	target = text + end + 1;
	host = strchrnul(target, '\n');
	*l = (struct vlink){ .ct = ct, .read_only = ro, .required = required, .mounted = mounted & 1, .going = mounted >> 1 & 1, .mount = mount };
	if (host > target)
		l->target = strndup(target, (size_t)(host - target));
	if (*host != '\0' && host[1] != '\0')
		l->host = strdup(host + 1);
	while (*at != NULL)
		at = &(*at)->next;
	*at = l;
}

static bool load_strings(struct vol *v, const char *name, const char *value)
{
	const struct {
		const char *name;
		char **at;
	} rows[] = { { "creator", &v->creator },	{ "path", &v->plan.path },   { "place", &v->plan.place },
		     { "storage", &v->plan.storage }, { "error", &v->error } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].name, name) == 0) {
			*rows[i].at = strdup(value);
			return true;
		}
	return false;
}

static void load_own(struct vol *v, const char *name, const char *value)
{
	unsigned a = 0, b = 0, d = 0;
	unsigned long long x = 0, y = 0;
	long long t[3] = {};
	struct err err = {};
	int n;

	if (load_strings(v, name, value))
		return;
	if (strcmp(name, "state") == 0) {
		n = names_find(vol_state_names, VOL_STATES, value);
		v->state = n < 0 ? VS_INITIAL : (enum vol_state)n;
	} else if (strcmp(name, "owner") == 0 && sscanf(value, "%u %u", &a, &b) == 2) {
		v->owner_uid = a;
		v->owner_gid = b;
	} else if (strcmp(name, "user") == 0 && sscanf(value, "%u %u", &a, &b) == 2) {
		v->user_uid = a;
		v->user_gid = b;
	} else if (strcmp(name, "owner_ct") == 0) {
		v->owner_ct = (uint32_t)strtoul(value, NULL, 10);
	} else if (strcmp(name, "by") == 0 && sscanf(value, "%u %u %u", &a, &b, &d) == 3) {
		v->by = (struct engine_cred){ .uid = a, .gid = b };
		v->by_ct = d;
	} else if (strcmp(name, "unique") == 0) {
		v->unique = strtoull(value, NULL, 10);
	} else if (strcmp(name, "pending") == 0) {
		v->pending = strtoull(value, NULL, 10);
	} else if (strcmp(name, "result") == 0) {
		v->unique_result = atoi(value);
	} else if (strcmp(name, "times") == 0 && sscanf(value, "%lld %lld %lld", &t[0], &t[1], &t[2]) == 3) {
		v->creation_wall = t[0];
		v->build_wall = t[1];
		v->change_wall = t[2];
	} else if (strcmp(name, "made_here") == 0) {
		v->made_here = atoi(value) != 0;
	} else if (strcmp(name, "handle") == 0 && sscanf(value, "%llu %llu", &x, &y) == 2) {
		v->handle = x;
		v->handle_bytes = y;
	} else if (strcmp(name, "flags") == 0 && sscanf(value, "%u %u", &a, &b) == 2) {
		v->plan.path_auto = a;
		v->plan.storage_named = b;
	} else if (strcmp(name, "layer") == 0) {
		(void)strv_add(&v->plan.layers, value);
	} else if (strcmp(name, "link") == 0) {
		load_link(v, value);
	} else if (strcmp(name, "made") == 0 && vol_made_parse(value, &v->made, &err) < 0) {
		log_warning("volume %u: %s", (unsigned)v->id, err.text);
	}
}

static int load_line(void *arg, const char *name, const char *value, size_t line)
{
	struct vol *v = arg;
	struct err err = {};
	int row;

	(void)line;
	if (name[0] == '.') {
		load_own(v, name + 1, value);
		return 0;
	}
	row = engine_file_find(DIR_VOLUME, name);
	if (row < 0 || vol_load(v, row, value, &err) < 0)
		log_warning("volume %u: %s is dropped: %s", (unsigned)v->id, name, row < 0 ? "no such property" : err.text);
	return 0;
}

/* gone: the request that took it away, if one did */
static void load_record(struct engine *e, const char *name, uint32_t id, const uint64_t *gone)
{
	autotext struct text text = {};
	struct vol *v;
	size_t line;
	int r = file_read(e->vol_fd, name, RECORD_READ_MAX, &text);

	if (id >= e->vol_next)
		e->vol_next = id + 1;
	if (r < 0 || vol_new(e, id, &v) < 0) {
		log_error("record %s in %s/vol cannot be read: %s", name, e->conf->daemon_state_dir, strerror(r < 0 ? -r : ENOMEM));
		return;
	}
	v->gone = gone != NULL;
	if (spec_parse(text_str(&text), text.len, load_line, v, &line) < 0)
		log_warning("volume %u: line %zu of its record cannot be read", (unsigned)id, line);
	if (gone != NULL) {
		v->unique = v->gone_unique = *gone;
		v->unique_result = 0;
	}
	if (v->unique != 0 && !e->conf->fresh)
		(void)save_replay_add(e, v->unique, id, v->unique_result);
}

/* What the last worker left undone: adopted, built anew, or taken down. */
static void settle(struct vol *v)
{
	static const struct engine_cred root = { .uid = 0 };
	struct vop *op;
	struct err err = {};

	if (ct_find(v->e, v->owner_ct) == NULL)
		v->owner_ct = ENGINE_ROOT;
	if (v->state == VS_INITIAL && !v->gone)
		return;
	op = vop_new(v, v->gone ? VOP_DESTROY : v->state == VS_BUILDING ? VOP_BUILD : VOP_ADOPT, &root, 0);
	/* other requests begin anew when they come again */
	if (op != NULL && !v->e->conf->fresh && (v->gone || v->state != VS_READY))
		op->was = v->gone ? v->unique : v->pending;
	if (op == NULL || vop_begin(v, op, &err) < 0)
		log_error("volume %u: cannot be taken over: %s", (unsigned)v->id, err.text);
}

int vol_restore(struct engine *e, struct err *err)
{
	autoclose int fd = openat(e->vol_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

	if (d == NULL)
		return err_sys(err, errno, "%s/vol", e->conf->daemon_state_dir);
	fd = -1;
	for (const struct dirent *de; (de = readdir(d)) != NULL;) {
		unsigned long long unique = 0;
		uint64_t gone;
		unsigned id;
		int end = 0, gone_end = 0;

		if (sscanf(de->d_name, "%u%n.gone.%llu%n", &id, &end, &unique, &gone_end) >= 1 &&
		    (de->d_name[end] == '\0' || (gone_end > 0 && de->d_name[gone_end] == '\0')))
			gone = unique, load_record(e, de->d_name, id, de->d_name[end] != '\0' ? &gone : NULL);
		else if (de->d_name[0] == '.' && strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
			(void)unlinkat(e->vol_fd, de->d_name, 0); /* of a save that was cut short */
	}
	closedir(d);
	for (struct vol *v = e->vols, *next; v != NULL; v = next) {
		next = v->next;
		settle(v);
	}
	return 0;
}

void vol_list_leaks(struct engine *e, struct text *out)
{
	autostrv struct strv names = {};

	(void)dir_names(e->vol_fd, &names);
	for (size_t i = 0; i < names.n; i++) {
		const char *name = names.p[i];
		unsigned id;

		if (name[0] != '.' && strcmp(name, "next") != 0 && (sscanf(name, "%u", &id) != 1 || vol_find(e, id) == NULL))
			text_addf(out, "file %s/vol/%s\n", e->conf->daemon_state_dir, name);
	}
}
