#include "engine/daemon.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/units.h"
#include "engine/access.h"
#include "engine/cred.h"
#include "engine/dirs.h"
#include "engine/eventlog.h"
#include "engine/hooks.h"
#include "engine/layer.h"
#include "engine/net.h"
#include "engine/save.h"
#include "engine/wait.h"

#ifndef PORTO_VERSION
#define PORTO_VERSION "0.1"
#endif

static int read_version(const struct file_call *c, struct text *out)
{
	(void)c;
	text_add(out, PORTO_VERSION "\n");
	return 0;
}

static int read_config(const struct file_call *c, struct text *out)
{
	config_format(c->e->conf, out);
	return 0;
}

/* Those that the reader may know of, as they are named below the directory of whose `.porto` it is. */
static int read_containers(const struct file_call *c, struct text *out)
{
	const struct ct *view = dir_view(c->e, c->node);
	const char *name;

	for (struct ct *ct = ct_next(c->e->root, NULL); ct != NULL; ct = ct_next(c->e->root, ct))
		if (access_name(view, ct, &name) && access_shows(c->e, c->who, ct))
			text_addf(out, "%s\t%s\t%llu\t%u\n", name, ct_state_names[ct->state],
				  (unsigned long long)ct_seconds(ct, ct->state == CT_DEAD), (unsigned)ct->id);
	return 0;
}

/* What has gone has no place any more to tell who may see it: only those that see everything. */
static int read_destroying(const struct file_call *c, struct text *out)
{
	if (!access_shows_all(c->e, c->who))
		return 0;
	for (const struct ct *ct = c->e->dying; ct != NULL; ct = ct->next)
		text_addf(out, "%s\n", ct->name);
	for (size_t i = 0; i < c->e->remains.n; i++)
		text_addf(out, "%s\n", c->e->remains.p[i]);
	items_leaving(c->e, dir_view(c->e, c->node), out);
	return text_ok(out);
}

static int read_uid_error(const struct file_call *c, struct text *out)
{
	const char *text = engine_last_error(c->e, c->who);

	if (text[0] != '\0')
		text_addf(out, "%s\n", text);
	return 0;
}

static int read_features(const struct file_call *c, struct text *out)
{
	return features_format(c->e->conf, c->e->cgroups, c->e, out) < 0 ? text_ok(out) : 0;
}

static int read_find(const struct file_call *c, struct text *out)
{
	char comm[64] = "", want[64] = "", path[64];
	const char *name;
	struct ct *ct, *view;
	int pid = 0, n;

	n = c->key != NULL ? sscanf(c->key, "%d %63[^\n]", &pid, want) : 0;
	if (n < 1 || pid <= 0)
		return err_set(c->err, ERR_InvalidValue, "find: expected find[PID] or find[PID COMM]");
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	ct = cred_home(c->e, pid);
	if (!access_shows(c->e, c->who, ct) || (ct_is_root(ct) && !access_shows_all(c->e, c->who)) ||
	    file_read_small(AT_FDCWD, path, comm, sizeof(comm)) < 0)
		return err_set_no(c->err, ERR_InvalidValue, ENOENT, "find: no process %d", pid);
	if (n == 2 && strcmp(comm, want) != 0)
		return err_set_no(c->err, ERR_InvalidValue, ENOENT, "find: process %d is %s, not %s", pid, comm, want);
	view = dir_view(c->e, c->node);
	if (ct_is_root(ct) || (ct != view && !access_name(view, ct, &name)))
		ct_absolute(ct, out);
	else
		text_add(out, ct == view ? "self" : name);
	text_addc(out, '\n');
	return 0;
}

/* The record or the status file of a container that .porto/destroying lists, removed before this worker began. */
static bool is_remains(const struct engine *e, unsigned id)
{
	for (size_t i = 0; i < e->remains_files.n; i++)
		if (strtoul(e->remains_files.p[i], NULL, 10) == id)
			return true;
	return false;
}

/* Records, status files and cgroups that belong to nobody. */
static int read_leaks(const struct file_call *c, struct text *out)
{
	struct engine *e = c->e;

	if (!access_shows_all(e, c->who))
		return 0;

	autoclose int fd = openat(e->ct_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

	if (d == NULL)
		return err_sys(c->err, errno, "leaks");
	fd = -1;
	for (const struct dirent *de; (de = readdir(d)) != NULL;) {
		unsigned id;

		if (de->d_name[0] == '.')
			continue;
		if (sscanf(de->d_name, "%u", &id) != 1 || (ct_find(e, id) == NULL && !is_remains(e, id)))
			text_addf(out, "file %s/ct/%s\n", e->conf->daemon_state_dir, de->d_name);
	}
	closedir(d);
	vol_list_leaks(e, out);
	store_list_leaks(e, out);
	net_leaks(e, out);
	cg_list_foreign(e, out);
	return 0;
}

static int read_log_level(const struct file_call *c, struct text *out)
{
	(void)c;
	text_addf(out, "%s\n", log_level_name(log_level_max));
	return 0;
}

static int write_log_level(const struct file_call *c, const char *text)
{
	enum log_level level;

	if (log_level_parse(text, &level) < 0)
		return err_set(c->err, ERR_InvalidValue, "log_level: '%.50s': expected error, warning, info or debug", text);
	log_set_level(level);
	return 0;
}

static const char *when_letter(const struct prop *p)
{
	static const char *const letters[] = { [WHEN_NEVER] = "-", [WHEN_STOPPED] = "S", [WHEN_DYNAMIC] = "D", [WHEN_ANY] = "A" };

	return letters[p->when];
}

void properties_format(struct text *out)
{
	for (int i = 0; i < PROP_COUNT; i++) {
		const struct prop *p = &props[i];

		if (p->flags & (P_FILE | P_HIDDEN))
			continue;
		text_addf(out, "%s\t%s\t%s\t%s\t%s\n", p->name, p->when == WHEN_NEVER ? "r" : "rw", when_letter(p),
			  p->def != NULL ? p->def : "", p->help);
	}
}

static int read_properties(const struct file_call *c, struct text *out)
{
	(void)c;
	properties_format(out);
	return 0;
}

static size_t count_seen(const struct file_call *c)
{
	size_t n = 0;

	for (struct ct *ct = ct_next(c->e->root, NULL); ct != NULL; ct = ct_next(c->e->root, ct))
		n += access_shows(c->e, c->who, ct);
	return n;
}

static int read_daemon_stat(const struct file_call *c, struct text *out)
{
	const struct engine *e = c->e;
	bool all = access_shows_all(c->e, c->who);
	const struct {
		const char *name;
		uint64_t value;
	} rows[] = {
		{ "containers", all ? e->count : count_seen(c) },
		{ "volumes", all ? e->vol_count : 0 },
		{ "created", e->counters.created },
		{ "started", e->counters.started },
		{ "start_failed", e->counters.start_failed },
		{ "died", e->counters.died },
		{ "oom", e->counters.oom },
		{ "respawned", e->counters.respawned },
		{ "destroyed", e->counters.destroyed },
		{ "errors", e->counters.errors },
		{ "restored", (uint64_t)e->restored },
		{ "adopted", (uint64_t)e->adopted },
		{ "uptime", (clock_boot() - e->conf->started) / 1000000000u },
		{ "worker_pid", (uint64_t)getpid() },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		text_addf(out, "%s %llu\n", rows[i].name, (unsigned long long)rows[i].value);
	return 0;
}

static int read_wait_any(const struct file_call *c, struct text *out)
{
	if (c->key == NULL)
		return err_set(c->err, ERR_InvalidValue, "wait: expected wait[NAME;...]");
	return wait_any(c->e, c->who, dir_view(c->e, c->node), c->cookie, c->key, out, c->err);
}

const struct file_row daemon_rows[DAEMON_FILES] = {
#define DFILE(id, fl, rd, wr, hlp) \
	[DAEMON_##id] = { .name = #id, .flags = (fl), .read = (rd), .write = (wr), .help = (hlp) },
#include "engine/daemon.def"
#undef DFILE
};

static int find_name(const char *name, int *file, size_t *key)
{
	if (strncmp(name, "events?since=", 13) != 0)
		return -ENOENT;
	*file = DAEMON_events;
	*key = 13;
	return 0;
}

static int attr(struct engine *e, const struct engine_node *n, struct engine_attr *ret)
{
	(void)n;
	ret->mtime = ret->ctime = e->root->creation_wall;
	return 0;
}

static int check_writer(const struct dir_call *c)
{
	return cred_is_super(c->e, c->as) ? 0 : err_set(c->err, ERR_Permission, "only root may write here");
}

static int stream_base(struct engine *e, const struct engine_node *n, uint64_t *base)
{
	return event_base(e, n->key, base);
}

static uint64_t stream_end(struct engine *e, const struct engine_node *n)
{
	(void)n;
	return event_end(e);
}

static ssize_t read_stream(const struct file_call *c, char *buf, size_t size, uint64_t off)
{
	return event_pread(c, buf, size, off);
}

const struct dir_ops daemon_dir = {
	.rows = daemon_rows,
	.count = DAEMON_FILES,
	.find_name = find_name,
	.attr = attr,
	.check_writer = check_writer,
	.stream_base = stream_base,
	.stream_end = stream_end,
	.pread = read_stream,
	.cancel = event_cancel,
};
