/* What the last daemon left: records matched with what the kernel knows. Adopts, finishes, undoes, sweeps. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/names.h"
#include "base/units.h"
#include "engine/cpu.h"
#include "engine/fsm.h"
#include "engine/layer.h"
#include "engine/limits.h"
#include "engine/memory.h"
#include "engine/names.h"
#include "engine/net.h"
#include "engine/output.h"
#include "engine/run.h"
#include "engine/save.h"
#include "engine/tick.h"

#define DEFAULTS "defaults" /* in the state directory: those that were applied last */
#define SWEEP_FIRST UINT64_C(5000000)
#define SWEEP_MAX UINT64_C(1000000000)

struct restoring {
	struct engine *e;
	struct ct *ct;
	uint32_t id;
	bool bad;
	bool lost; /* the parent is one whose record could not be read */
};

static uint64_t num(const char *text)
{
	return strtoull(text, NULL, 10);
}

static void load_name(struct restoring *r, const char *name)
{
	const char *slash = strrchr(name, '/');
	autofree char *parent = slash != NULL ? strndup(name, (size_t)(slash - name)) : NULL;
	struct ct *up = slash != NULL && parent != NULL ? ct_find_name(r->e, parent) : r->e->root;

	r->lost = up == NULL && r->e->unread > 0;
	if (up == NULL || ct_new(r->e, up, slash != NULL ? slash + 1 : name, r->id, &r->ct) < 0)
		r->bad = true;
}

static void load_stream(struct ct *ct, int n, const char *value)
{
	int pid = 0;
	unsigned uid = 0;
	unsigned long long start = 0, dev = 0, ino = 0;

	if (sscanf(value, "%d %llu %u %llu %llu", &pid, &start, &uid, &dev, &ino) == 5) {
		ct->streams[n].pid = pid;
		ct->streams[n].pid_start = start;
		ct->streams[n].uid = uid;
		ct->streams[n].dev = dev;
		ct->streams[n].ino = ino;
	}
}

static void load_pid(struct ct *ct, const char *value)
{
	int pid = 0, gone = 0;
	unsigned long long start = 0;

	if (sscanf(value, "%d %llu %d", &pid, &start, &gone) == 3) {
		ct->pid = pid;
		ct->pid_start = start;
		ct->task_gone = gone != 0;
	}
}

static void load_owner(struct ct *ct, const char *value, bool task)
{
	unsigned uid = 0, gid = 0;

	if (sscanf(value, "%u %u", &uid, &gid) != 2)
		return;
	if (task) {
		ct->task_uid = uid;
		ct->task_gid = gid;
	} else {
		ct->owner_uid = uid;
		ct->owner_gid = gid;
	}
}

/* The engine's own names, for numbers: where they go. */
static const struct own_number {
	const char *name;
	size_t offset, size;
} own_numbers[] = {
#define OWN(name, field) { name, offsetof(struct ct, field), sizeof(((struct ct *)NULL)->field) }
	OWN("unique", unique),
	OWN("result", unique_result),
	OWN("controllers", controllers),
	OWN("holds", holds),
	OWN("cgroup_own", cg.own),
	OWN("work", has_work),
	OWN("meta", is_meta),
	OWN("frozen", frozen),
	OWN("deadline", op_deadline),
	OWN("exit_status", exit_status),
	OWN("oom_killed", oom_killed),
	OWN("core_dumped", core_dumped),
	OWN("oom_kills", oom_kills),
	OWN("oom_kills_total", oom_kills_total),
	OWN("oom_hits", oom.hits),
	OWN("oom_seen", oom.kills),
	OWN("oom_before", oom.before),
	OWN("oom_when", oom.when),
	OWN("pressed", pressed),
	OWN("start_boot", start_boot),
	OWN("death_boot", death_boot),
	OWN("start_wall", start_wall),
	OWN("death_wall", death_wall),
	OWN("creation_wall", creation_wall),
	OWN("change_wall", change_wall),
	OWN("respawns", respawns),
	OWN("porto", porto),
#undef OWN
};

static bool load_number(struct ct *ct, const char *name, const char *value)
{
	for (size_t i = 0; i < ARRAY_LEN(own_numbers); i++) {
		const struct own_number *n = &own_numbers[i];
		char *at = (char *)ct + n->offset;
		int64_t v = strtoll(value, NULL, 10);

		if (strcmp(n->name, name) != 0)
			continue;
		if (n->size == sizeof(int64_t))
			memcpy(at, &v, sizeof(v));
		else if (n->size == sizeof(int32_t))
			memcpy(at, &(int32_t){ (int32_t)v }, sizeof(int32_t));
		else
			*(bool *)at = v != 0;
		return true;
	}
	return false;
}

static void load_own(struct restoring *r, const char *name, const char *value)
{
	struct ct *ct = r->ct;
	int n;

	if (strcmp(name, "name") == 0) {
		load_name(r, value);
		return;
	}
	if (ct == NULL || load_number(ct, name, value))
		return;
	if (strcmp(name, "state") == 0) {
		n = names_find(ct_state_names, CT_STATES, value);
		ct->state = n < 0 ? CT_STOPPED : (enum ct_state)n;
	} else if (strcmp(name, "owner") == 0) {
		load_owner(ct, value, false);
	} else if (strcmp(name, "task") == 0) {
		load_owner(ct, value, true);
	} else if (strcmp(name, "controllers_set") == 0) {
		ct->set[PROP_controllers / 64] |= UINT64_C(1) << (PROP_controllers % 64);
	} else if (strcmp(name, "cgroup") == 0) {
		ct->cg.path = strdup(value);
		ct->has_cg = ct->cg_killed = ct->cg.path != NULL; /* perhaps: what is slower is right in any case */
	} else if (strcmp(name, "pid") == 0) {
		load_pid(ct, value);
	} else if (strcmp(name, "error") == 0) {
		ct->error = strdup(value);
	} else if (strcmp(name, "net_ip") == 0) {
		ct->net_ip = strdup(value);
	} else if (strcmp(name, "start_error") == 0) {
		ct->start_error = strdup(value);
	} else if (sscanf(name, "stream%d", &n) == 1 && n >= 0 && n < 3) {
		load_stream(ct, n, value);
	} else if (sscanf(name, "internal%d", &n) == 1 && n >= 0 && n < 3) {
		ct->streams[n].internal = true;
		ct->streams[n].offset = num(value);
	}
}

static int load_line(void *arg, const char *name, const char *value, size_t line)
{
	struct restoring *r = arg;
	struct err err = {};
	int prop;

	(void)line;
	if (r->bad)
		return 0;
	if (name[0] == '.') {
		load_own(r, name + 1, value);
		return 0;
	}
	prop = r->ct != NULL ? prop_find(name) : -ENOENT;
	if (prop < 0 || prop_load(r->ct, prop, value, &err) < 0)
		log_warning("record %u: %s is dropped: %s", (unsigned)r->id, name, prop < 0 ? "no such property" : err.text);
	return 0;
}

/* A parent's id is smaller than its children's, so in order of id parents come first. */
static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* The name in a record, without loading the rest. */
static int note_name(void *arg, const char *name, const char *value, size_t line)
{
	(void)line;
	return strcmp(name, ".name") == 0 ? strv_add(arg, value) : 0;
}

/* A container that was removed while its remains were not: its files are taken away here, its cgroups by the sweep. */
static void note_gone(struct engine *e, const char *file)
{
	autotext struct text text = {};
	size_t line;

	if (file_read(e->ct_fd, file, RECORD_READ_MAX, &text) >= 0)
		(void)spec_parse(text_str(&text), text.len, note_name, &e->remains, &line);
	(void)strv_add(&e->remains_files, file);
}

/* Nothing is left of them; the records go last. */
static void forget_gone(struct engine *e)
{
	for (size_t i = 0; i < e->remains_files.n; i++) {
		char status[32];

		snprintf(status, sizeof(status), "%llu.status", (unsigned long long)num(e->remains_files.p[i]));
		(void)unlinkat(e->ct_fd, status, 0);
		(void)unlinkat(e->ct_fd, e->remains_files.p[i], 0);
	}
	strv_done(&e->remains_files);
	strv_done(&e->remains);
}

static void finish_work(struct engine *e)
{
	for (size_t i = 0; i < e->remains.n; i++) {
		const struct ct *ct = ct_find_name(e, e->remains.p[i]);

		if (ct == NULL || !ct->has_work)
			work_remove_name(e, e->remains.p[i]);
	}
}

/* Collects the ids of records, and the removed ones with their uniques. */
static int list_records(struct engine *e, uint32_t **ids, size_t *n)
{
	autoclose int fd = openat(e->ct_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	size_t cap = 0;

	if (d == NULL)
		return -errno;
	fd = -1;
	for (const struct dirent *de; (de = readdir(d)) != NULL;) {
		unsigned id;
		unsigned long long unique;
		int end = 0;

		if (sscanf(de->d_name, "%u.gone.%llu%n", &id, &unique, &end) == 2 && de->d_name[end] == '\0') {
			if (!e->conf->fresh)
				(void)save_replay_add(e, unique, 0, 0);
			note_gone(e, de->d_name);
			continue;
		}
		end = 0;
		if (sscanf(de->d_name, "%u%n", &id, &end) != 1 || de->d_name[end] != '\0') {
			if (de->d_name[0] == '.' && strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
				(void)unlinkat(e->ct_fd, de->d_name, 0); /* a temporary file of a save that was cut short */
			continue;
		}
		if (*n == cap) {
			uint32_t *more = reallocarray(*ids, cap = cap * 2 + 64, sizeof(**ids));

			if (more == NULL)
				break;
			*ids = more;
		}
		(*ids)[(*n)++] = id;
	}
	closedir(d);
	if (*n > 0)
		qsort(*ids, *n, sizeof(**ids), by_number);
	return 0;
}

/* Whose it is isn't known, so no cgroup that may be its is swept, and the record stays for whoever can mend it. */
static void note_unread(struct engine *e, const char *name, const char *why)
{
	e->unread++;
	log_error("record %s in %s/ct cannot be read: %s; until then what it tells of is left alone", name,
		  e->conf->daemon_state_dir, why);
}

static void load_record(struct engine *e, uint32_t id)
{
	struct restoring r = { .e = e, .id = id };
	autotext struct text text = {};
	char name[24];
	size_t line;
	int got;

	if (id >= e->next_id)
		e->next_id = id + 1;
	snprintf(name, sizeof(name), "%u", (unsigned)id);
	got = file_read(e->ct_fd, name, RECORD_READ_MAX, &text);
	if (got == -ENOENT)
		return;
	if (got < 0) {
		note_unread(e, name, strerror(-got));
		return;
	}
	if (spec_parse(text_str(&text), text.len, load_line, &r, &line) < 0 || r.bad || r.ct == NULL) {
		if (r.lost) {
			note_unread(e, name, "its parent's could not be");
			return;
		}
		log_warning("record %u cannot be read and is removed", (unsigned)id);
		if (r.ct != NULL)
			ct_free(r.ct);
		(void)unlinkat(e->ct_fd, name, 0);
		return;
	}
	e->restored++;
	if (r.ct->unique != 0 && !e->conf->fresh)
		(void)save_replay_add(e, r.ct->unique, r.ct->id, r.ct->unique_result);
	if (e->conf->fresh)
		r.ct->unique = 0;
}

/* ---- matching with the kernel ---- */

static void adopt_task(struct ct *ct)
{
	struct init_status st;
	bool known = save_status_read(ct, &st) == 0;

	ct->pidfd = proc_open(ct->pid, ct->pid_start);
	if (ct->pidfd >= 0) {
		ct->e->adopted++;
		(void)task_watch(ct); /* if it is a zombie, this fires at once */
		return;
	}
	ct->pidfd = -1;
	ct->task_gone = true;
	if (ct->state == CT_STARTING)
		return; /* the status file tells the rest */
	if (known && st.when != 0)
		ct->death_wall = st.when;
	ct->task_gone = false;
	fsm_task_ended(ct, known && st.phase == STATUS_EXITED ? st.status : SIGKILL);
}

/* A pause is saved with the container that was paused; those below it are in the state that follows from it. */
static void match_frozen(struct ct *ct)
{
	if (ct->has_cg && ct_is_alive(ct) && !ct->frozen)
		(void)cg_freeze(ct->e->cgroups, &ct->cg, false);
	if ((ct->state == CT_RUNNING || ct->state == CT_META) && fsm_is_frozen(ct))
		ct->state = CT_PAUSED;
	else if (ct->state == CT_PAUSED && !fsm_is_frozen(ct))
		ct->state = ct->is_meta ? CT_META : CT_RUNNING;
}

static void match_state(struct ct *ct)
{
	struct init_status st;

	switch (ct->state) {
	case CT_STARTING:
		if (save_status_read(ct, &st) == 0 && (st.phase == STATUS_STARTED || st.phase == STATUS_EXITED))
			ct->state = ct->is_meta ? CT_META : CT_RUNNING;
		else
			start_watch_status(ct);
		if (ct->pid != 0)
			adopt_task(ct);
		break;
	case CT_RUNNING:
	case CT_META:
	case CT_PAUSED:
		if (ct->pid != 0 && !ct->task_gone)
			adopt_task(ct);
		break;
	case CT_STOPPING:
		if (ct->pid != 0 && !ct->task_gone) {
			ct->pidfd = proc_open(ct->pid, ct->pid_start);
			ct->task_gone = ct->pidfd < 0;
			if (ct->pidfd >= 0)
				(void)task_watch(ct);
		}
		break;
	case CT_RESPAWNING:
		ct->state = CT_DEAD;
		/* fall through */
	case CT_DEAD:
		ct->task_gone = true;
		if (ct->val[PROP_respawn].b)
			fsm_schedule_respawn(ct);
		fsm_arm_aging(ct);
		break;
	default:
		break;
	}
	match_frozen(ct);
}

/* A stop that the last worker had begun is finished, by its own deadline; of nested ones the outermost does it for all. */
static void finish_stops(struct engine *e)
{
	uint64_t now = clock_mono();

	for (struct ct *ct = ct_next(e->root, NULL); ct != NULL; ct = ct_next(e->root, ct))
		if (ct->state == CT_STOPPING && ct->op == OP_NONE && ct->parent->state != CT_STOPPING) {
			ct->op = OP_STOP;
			stop_begin(ct, ct->op_deadline > now ? ct->op_deadline - now : 0);
		}
}

static bool is_removed(const struct engine *e, const char *path)
{
	for (size_t i = 0; i < e->remains.n; i++)
		if (strcmp(e->remains.p[i], path) == 0)
			return true;
	return false;
}

static bool keep_cgroup(void *arg, const char *path)
{
	struct engine *e = arg;
	const struct ct *named = ct_find_name(e, path);

	if ((e->unread > 0 && !is_removed(e, path)) || strcmp(path, STORE_CGROUP) == 0)
		return true;

	if (named != NULL && named->has_cg && strcmp(named->cg.path, path) == 0)
		return true;
	if (strchr(path, '~') == NULL)
		return false;
	for (struct ct *ct = ct_next(e->root, NULL); ct != NULL; ct = ct_next(e->root, ct))
		if (ct->has_cg && strcmp(ct->cg.path, path) == 0)
			return true;
	return false;
}

/* What was killed needs a moment to die, and what can't die is tried again for as long as it takes. */
static void sweep(void *arg)
{
	struct engine *e = arg;

	e->swept = cg_sweep(e->cgroups, keep_cgroup, e);
	if (e->swept <= 0) {
		forget_gone(e);
		return;
	}
	e->sweep_timer = (struct loop_timer){ .fn = sweep, .arg = e };
	(void)loop_after(e->loop, &e->sweep_timer, MIN(SWEEP_FIRST << MIN(e->sweep_tries, 16u), SWEEP_MAX));
	e->sweep_tries++;
}

static void drop_weak(struct engine *e)
{
	struct ct *ct = ct_next(e->root, NULL);

	while (ct != NULL) {
		struct ct *next;

		ct->holds = e->conf->fresh ? 0 : ct->holds;
		if (!ct->val[PROP_weak].b || ct->holds > 0) {
			ct = ct_next(e->root, ct);
			continue;
		}
		next = ct->parent; /* its subtree goes with it: begin again above */
		fsm_destroy_own(ct, "weak, and nobody holds it");
		ct = ct_next(e->root, next == e->root ? NULL : next);
	}
}

/* Limits of the first level that nobody has set are the configuration's: another one is applied to what runs already. */
static void apply_defaults(struct engine *e)
{
	static const int props_of[] = { PROP_memory_limit, PROP_thread_limit };
	char now[64], then[64] = "";

	snprintf(now, sizeof(now), "%llu %llu", (unsigned long long)e->conf->container_memory_limit_margin,
		 (unsigned long long)e->conf->container_default_thread_limit);
	if (file_read_small(e->state_fd, DEFAULTS, then, sizeof(then)) >= 0 && strcmp(now, then) == 0)
		return;
	for (struct ct *ct = e->root->children; ct != NULL; ct = ct->next)
		for (size_t i = 0; i < ARRAY_LEN(props_of); i++) {
			const struct prop *p = &props[props_of[i]];
			struct err err = {};

			if (ct->has_cg && ct_is_alive(ct) && !prop_is_set(ct, props_of[i]) && (p->ctls & ~ct->cg.own) == 0 &&
			    p->apply(ct, &ct->val[props_of[i]], &err) < 0)
				log_warning("%s: the new default is not in force: %s", ct->name, err.text);
		}
	(void)file_replace(e->state_fd, DEFAULTS, now, strlen(now), 0644);
}

int restore_all(struct engine *e, struct err *err)
{
	autofree uint32_t *ids = NULL;
	char reserved[24];
	size_t n = 0;
	int r = list_records(e, &ids, &n);

	if (r < 0)
		return err_sys(err, -r, "state directory %s", e->conf->daemon_state_dir);
	if (file_read_small(e->state_fd, "next_id", reserved, sizeof(reserved)) > 0)
		e->next_id = MAX(e->next_id, (uint32_t)num(reserved));
	for (size_t i = 0; i < n; i++)
		load_record(e, ids[i]);
	work_sweep(e); /* before there are more of them */
	finish_work(e);
	sweep(e);
	for (struct ct *ct = ct_next(e->root, NULL); ct != NULL; ct = ct_next(e->root, ct))
		match_state(ct);
	net_restore(e);
	apply_defaults(e);
	oom_restore(e);
	finish_stops(e);
	drop_weak(e);
	names_restore(e);
	tick_start(e);
	cpu_set_resume(e);
	return 0;
}
