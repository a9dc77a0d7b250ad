/*
 * Records of jobs, <state_dir>/jobs/<id>: what is to be done, for whom, by which process; beside it <id>.page, on which
 * porto-store writes. A removal has none: what is to be removed is called so.
 */
#include <fcntl.h>
#include <stdio.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mounts.h"
#include "base/proc.h"
#include "engine/layer.h"
#include "engine/limits.h"
#include "engine/save.h"

#define ROWS(j) \
	{ { ".place", &(j)->place }, { ".sub", &(j)->sub }, { ".name", &(j)->name }, { ".path", &(j)->path }, { ".format", &(j)->format }, \
	  { ".root", &(j)->client_root }, { ".private", &(j)->private }, { ".charge", &(j)->charge } }

int sjob_save(struct sjob *j, struct err *err)
{
	const struct {
		const char *name;
		char **at;
	} rows[] = ROWS(j);
	autotext struct text out = {};
	char name[24];
	int r;

	text_addf(&out, ".kind = %d %d\n.stamp = %llu\n.item = %u\n.who = %u %u %u %u\n.owner = %u %u\n.cookie = %llu\n.handle = %llu\n", j->kind,
		  j->stored, (unsigned long long)j->stamp, (unsigned)j->item, (unsigned)j->who.uid, (unsigned)j->who.gid,
		  (unsigned)j->as.uid, (unsigned)j->as.gid, (unsigned)j->owner_uid, (unsigned)j->owner_gid,
		  (unsigned long long)j->cookie, (unsigned long long)j->handle);
	text_addf(&out, ".pid = %d %llu\n.ring = %d\n.default = %d\n", (int)j->pid, (unsigned long long)j->start, j->ring != NULL,
		  j->is_default_place);
	if (j->phase == SJP_OVER) {
		text_addf(&out, ".over = %d %d %d\n", j->result, j->err.kind, j->err.no);
		spec_line_format(&out, ".sentence", j->err.text);
	}
	for (size_t i = 0; i < j->words.n; i++)
		spec_line_format(&out, ".word", j->words.p[i]);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (*rows[i].at != NULL)
			spec_line_format(&out, rows[i].name, *rows[i].at);
	snprintf(name, sizeof(name), "%u", (unsigned)j->id);
	r = text_ok(&out) < 0 ? -ENOMEM : file_replace(j->jobs_fd, name, out.p, out.len, 0600);
	return r < 0 ? err_sys(err, -r, "cannot save a job in %s", j->e->conf->daemon_state_dir) : 0;
}

void sjob_forget(struct sjob *j)
{
	char name[32];

	snprintf(name, sizeof(name), "%u", (unsigned)j->id);
	(void)unlinkat(j->jobs_fd, name, 0);
	snprintf(name, sizeof(name), "%u.page", (unsigned)j->id);
	(void)unlinkat(j->jobs_fd, name, 0);
}

/* ---- reading ---- */

struct loading {
	struct sjob *j;
	bool has_ring;
};

static bool load_string(struct sjob *j, const char *name, const char *value)
{
	const struct {
		const char *name;
		char **at;
	} rows[] = ROWS(j);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].name, name) == 0) {
			free(*rows[i].at);
			*rows[i].at = strdup(value);
			return true;
		}
	return false;
}

static void load_numbers(struct loading *l, const char *name, const char *value)
{
	struct sjob *j = l->j;
	unsigned a = 0, b = 0, c = 0, d = 0;
	unsigned long long x = 0;
	int i = 0;

	if (strcmp(name, ".kind") == 0 && sscanf(value, "%u %u", &a, &b) == 2 && a < SJ_KINDS) {
		j->kind = (enum sjob_kind)a;
		j->stored = (enum stored)MIN(b, (unsigned)STORED_META);
	} else if (strcmp(name, ".who") == 0 && sscanf(value, "%u %u %u %u", &a, &b, &c, &d) == 4) {
		j->who = (struct engine_cred){ .uid = a, .gid = b };
		j->as = (struct engine_cred){ .uid = c, .gid = d };
	} else if (strcmp(name, ".owner") == 0 && sscanf(value, "%u %u", &a, &b) == 2) {
		j->owner_uid = a;
		j->owner_gid = b;
	} else if (strcmp(name, ".pid") == 0 && sscanf(value, "%d %llu", &i, &x) == 2) {
		j->pid = i;
		j->start = x;
	} else if (strcmp(name, ".over") == 0 && sscanf(value, "%d %u %u", &i, &a, &b) == 3) {
		j->phase = SJP_OVER;
		j->result = i;
		j->err.kind = (enum err_kind)a;
		j->err.no = (int)b;
	} else if (strcmp(name, ".item") == 0) {
		j->item = (uint32_t)strtoul(value, NULL, 10);
	} else if (strcmp(name, ".stamp") == 0) {
		j->stamp = strtoull(value, NULL, 10);
	} else if (strcmp(name, ".cookie") == 0) {
		j->cookie = strtoull(value, NULL, 10);
	} else if (strcmp(name, ".handle") == 0) {
		j->handle = strtoull(value, NULL, 10);
	} else if (strcmp(name, ".ring") == 0) {
		l->has_ring = value[0] == '1';
	} else if (strcmp(name, ".default") == 0) {
		j->is_default_place = value[0] == '1';
	} else if (strcmp(name, ".sentence") == 0) {
		snprintf(j->err.text, sizeof(j->err.text), "%s", value);
	}
}

static int load_line(void *arg, const char *name, const char *value, size_t line)
{
	struct loading *l = arg;

	(void)line;
	if (strcmp(name, ".word") == 0)
		return strv_add(&l->j->words, value);
	if (!load_string(l->j, name, value))
		load_numbers(l, name, value);
	return 0;
}

/* The other end of the stream is in the process, if that is still there. */
static void find_ring(struct sjob *j)
{
	autoclose int pidfd = j->pid != 0 ? proc_open(j->pid, j->start) : -1;
	int fds[RING_FDS] = { -1, -1, -1 };

	if (pidfd < 0)
		return;
	for (int i = 0; i < RING_FDS; i++)
		fds[i] = fd_from_process(pidfd, STORE_RING + i);
	if (fds[0] >= 0 && fds[1] >= 0 && fds[2] >= 0) {
		if (ring_open(fds, &j->ring) < 0)
			j->ring = NULL;
		return;
	}
	for (int i = 0; i < RING_FDS; i++)
		cleanup_close(&fds[i]);
}

/* The mount is a new one: nobody waits any more, no descriptor is open. */
static void forget_clients(struct sjob *j)
{
	j->cookie = 0;
	if (j->handle != 0)
		j->stopping = true;
	j->handle = 0;
}

static void load_record(struct engine *e, const char *file, uint32_t id)
{
	static const struct engine_cred root = { .uid = 0 };
	struct loading l = { .j = sjob_new(e, SJ_IMPORT, &root, 0) };
	autotext struct text text = {};
	struct sjob *j = l.j;
	struct item *it;
	bool stopping;
	size_t line;
	int r = j == NULL ? -ENOMEM : file_read(e->store->jobs_fd, file, RECORD_READ_MAX, &text);

	if (r == 0)
		r = spec_parse(text_str(&text), text.len, load_line, &l, &line);
	if (r == 0 && (j->place == NULL || j->sub == NULL || j->name == NULL || j->private == NULL))
		r = -EINVAL;
	if (r < 0) {
		log_error("record jobs/%s in %s cannot be read: %s", file, e->conf->daemon_state_dir, strerror(-r));
		if (j != NULL)
			sjob_free(j);
		return;
	}
	j->id = id;
	e->store->next_job = MAX(e->store->next_job, id + 1);
	it = j->kind == SJ_IMPORT || j->kind == SJ_MERGE ? item_find(e, j->item) : NULL;
	if (it != NULL && j->phase != SJP_OVER)
		it->state = IS_IMPORTING;
	if (it == NULL && j->kind == SJ_IMPORT)
		j->stopping = true; /* it was removed meanwhile */
	if (e->conf->fresh)
		forget_clients(j);
	if (l.has_ring && j->phase != SJP_OVER)
		find_ring(j);
	/* nothing of what was put into the one that is lost has been answered: it comes again */
	if (l.has_ring && j->ring == NULL && j->pid == 0 && j->phase != SJP_OVER)
		(void)ring_create(&j->ring);
	if (j->phase == SJP_OVER && j->handle == 0) {
		sjob_forget(j);
		sjob_free(j);
		return;
	}
	stopping = j->stopping;
	sjob_resume(j);
	for (j = e->store->jobs; stopping && j != NULL; j = j->next)
		if (j->id == id) {
			sjob_stop(j);
			break;
		}
}

/* The page of a removal, which has no record. */
static void drop_page(struct engine *e, const char *page, uint32_t id)
{
	char name[24];

	snprintf(name, sizeof(name), "%u", (unsigned)id);
	if (faccessat(e->store->jobs_fd, name, F_OK, 0) < 0)
		(void)unlinkat(e->store->jobs_fd, page, 0);
}

void sjobs_keep_ids(struct engine *e)
{
	autostrv struct strv names = {};

	(void)dir_names(e->store->jobs_fd, &names);
	for (size_t i = 0; i < names.n; i++)
		e->store->next_job = MAX(e->store->next_job, (uint32_t)strtoul(names.p[i], NULL, 10) + 1);
}

int sjobs_restore(struct engine *e, struct err *err)
{
	autostrv struct strv names = {};
	int r = dir_names(e->store->jobs_fd, &names);

	if (r < 0)
		return err_sys(err, -r, "%s/jobs", e->conf->daemon_state_dir);
	for (size_t i = 0; i < names.n; i++) {
		char *rest;
		uint32_t id = (uint32_t)strtoul(names.p[i], &rest, 10);

		if (rest == names.p[i])
			(void)unlinkat(e->store->jobs_fd, names.p[i], 0); /* of a save that was cut short */
		else if (*rest == '\0')
			load_record(e, names.p[i], id);
		else
			drop_page(e, names.p[i], id);
	}
	return 0;
}

struct leaks {
	const struct engine *e;
	struct text *out;
};

/* What is to be removed and has something mounted in it: it would stay. */
static bool list_mount(void *arg, const char *point)
{
	struct leaks *l = arg;

	for (const struct looked_place *p = l->e->store->places; p != NULL; p = p->next) {
		size_t len = p->real != NULL ? strlen(p->real) : 0;

		if (len > 0 && strncmp(point, p->real, len) == 0 && strncmp(point + len, "/porto_", 7) == 0 &&
		    strstr(point + len, "/_remove_") != NULL)
			text_addf(l->out, "mount %s\n", point);
	}
	return false;
}

void store_list_leaks(struct engine *e, struct text *out)
{
	autostrv struct strv names = {};
	struct leaks l = { e, out };

	(void)mounts_each(list_mount, &l);
	(void)dir_names(e->store->jobs_fd, &names);
	for (size_t i = 0; i < names.n; i++) {
		uint32_t id = (uint32_t)strtoul(names.p[i], NULL, 10);
		const struct sjob *j = e->store->jobs;

		while (j != NULL && j->id != id)
			j = j->next;
		if (j == NULL && names.p[i][0] != '.')
			text_addf(out, "file %s/jobs/%s\n", e->conf->daemon_state_dir, names.p[i]);
	}
}
