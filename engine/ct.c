#include "engine/ct.h"

#include <stdio.h>

#include "engine/access.h"
#include "engine/memory.h"
#include "engine/output.h"

const char *const ct_state_names[CT_STATES] = {
	[CT_STOPPED] = "stopped",   [CT_STARTING] = "starting", [CT_RUNNING] = "running",
	[CT_META] = "meta",         [CT_PAUSED] = "paused",     [CT_STOPPING] = "stopping",
	[CT_DEAD] = "dead",         [CT_RESPAWNING] = "respawning",
};

/* FNV-1a over the whole name. */
static unsigned name_hash(const char *name)
{
	uint32_t h = 2166136261u;

	for (; *name != '\0'; name++)
		h = (h ^ (uint8_t)*name) * 16777619u;
	return h % CT_HASH;
}

static void index_name(struct ct *ct)
{
	struct ct **head = &ct->e->by_name[name_hash(ct->name)];

	ct->by_name = *head;
	*head = ct;
}

static void unindex_name(struct ct *ct)
{
	for (struct ct **p = &ct->e->by_name[name_hash(ct->name)]; *p != NULL; p = &(*p)->by_name)
		if (*p == ct) {
			*p = ct->by_name;
			return;
		}
}

static void unindex_id(struct ct *ct)
{
	for (struct ct **p = &ct->e->by_id[ct->id % CT_HASH]; *p != NULL; p = &(*p)->by_id)
		if (*p == ct) {
			*p = ct->by_id;
			return;
		}
}

/* Siblings stay sorted by id, so that a directory's reader can go on behind the last id it saw. */
static void link_child(struct ct *parent, struct ct *ct)
{
	struct ct *after = parent->last_child;

	while (after != NULL && after->id > ct->id)
		after = after->prev;
	ct->prev = after;
	ct->next = after != NULL ? after->next : parent->children;
	if (after != NULL)
		after->next = ct;
	else
		parent->children = ct;
	if (ct->next != NULL)
		ct->next->prev = ct;
	else
		parent->last_child = ct;
}

int ct_new(struct engine *e, struct ct *parent, const char *base, uint32_t id, struct ct **ret)
{
	struct ct *ct = calloc(1, sizeof(*ct));
	int r;

	if (ct == NULL)
		return -ENOMEM;
	if (parent == NULL || parent->parent == NULL)
		ct->name = strdup(base);
	else if (asprintf(&ct->name, "%s/%s", parent->name, base) < 0)
		ct->name = NULL;
	if (ct->name == NULL) {
		free(ct);
		return -ENOMEM;
	}
	ct->base = strrchr(ct->name, '/') != NULL && parent != NULL ? strrchr(ct->name, '/') + 1 : ct->name;
	ct->id = id;
	ct->e = e;
	ct->pidfd = -1;
	ct->report.fd = -1;
	for (size_t i = 0; i < ARRAY_LEN(ct->streams); i++)
		ct->streams[i].fd = -1;
	ct->level = parent != NULL ? parent->level + 1 : 0;
	ct->cg.parent = parent != NULL ? &parent->cg : NULL;
	ct->cg.kept = &ct->kept;
	r = props_init(ct);
	if (r < 0) {
		free(ct->name);
		free(ct);
		return r;
	}
	ct->parent = parent;
	if (parent != NULL) {
		link_child(parent, ct);
		e->count++;
	}
	ct->by_id = e->by_id[id % CT_HASH];
	e->by_id[id % CT_HASH] = ct;
	index_name(ct);
	*ret = ct;
	return 0;
}

static void unlink_siblings(struct ct *ct)
{
	if (ct->prev != NULL)
		ct->prev->next = ct->next;
	else
		ct->parent->children = ct->next;
	if (ct->next != NULL)
		ct->next->prev = ct->prev;
	else
		ct->parent->last_child = ct->prev;
	ct->next = ct->prev = NULL;
}

void ct_pid_remember(struct ct *ct)
{
	struct ct **head = &ct->e->by_pid[(unsigned)ct->pid % CT_HASH];

	ct->by_pid = *head;
	*head = ct;
}

void ct_pid_forget(struct ct *ct)
{
	for (struct ct **p = &ct->e->by_pid[(unsigned)ct->pid % CT_HASH]; *p != NULL; p = &(*p)->by_pid)
		if (*p == ct) {
			*p = ct->by_pid;
			return;
		}
}

struct ct *ct_find_pid(struct engine *e, pid_t pid, uint64_t start_time)
{
	struct ct *ct = e->by_pid[(unsigned)pid % CT_HASH];

	while (ct != NULL && (ct->pid != pid || ct->pid_start != start_time))
		ct = ct->by_pid;
	return ct;
}

void ct_unlink(struct ct *ct)
{
	unlink_siblings(ct);
	unindex_name(ct);
	ct->e->count--;
	ct->parent = NULL;
	ct->cg.parent = NULL; /* it may go first; killing and removing need only the own path */
	ct->destroying = true;
	ct->next = ct->e->dying;
	ct->e->dying = ct;
}

void ct_free(struct ct *ct)
{
	if (ct == NULL)
		return;
	if (ct->destroying) {
		for (struct ct **p = &ct->e->dying; *p != NULL; p = &(*p)->next)
			if (*p == ct) {
				*p = ct->next;
				break;
			}
	} else {
		if (ct->parent != NULL) {
			unlink_siblings(ct);
			ct->e->count--;
		}
		unindex_name(ct);
	}
	unindex_id(ct);
	undo_drop(ct);
	access_forget(ct);
	loop_cancel(ct->e->loop, &ct->timer);
	loop_cancel(ct->e->loop, &ct->respawn_timer);
	loop_cancel(ct->e->loop, &ct->age_timer);
	loop_cancel(ct->e->loop, &ct->note_timer);
	ct_pid_forget(ct);
	if (ct->pidfd >= 0) {
		loop_del(ct->e->loop, &ct->watch);
		close(ct->pidfd);
	}
	if (ct->report.fd >= 0) {
		loop_del(ct->e->loop, &ct->report);
		close(ct->report.fd);
	}
	output_close_taken(ct);
	oom_unwatch(ct);
	props_done(ct);
	pairs_done(&ct->ulimit_pushed);
	cg_let_go(ct->e->cgroups, &ct->cg);
	free(ct->cg.path);
	free(ct->net_ip);
	free(ct->start_error);
	free(ct->error);
	free(ct->name);
	free(ct);
}

struct ct *ct_find(struct engine *e, uint32_t id)
{
	struct ct *ct = e->by_id[id % CT_HASH];

	while (ct != NULL && ct->id != id)
		ct = ct->by_id;
	return ct;
}

struct ct *ct_find_name(struct engine *e, const char *name)
{
	struct ct *ct = e->by_name[name_hash(name)];

	while (ct != NULL && strcmp(ct->name, name) != 0)
		ct = ct->by_name;
	return ct;
}

struct ct *ct_find_seen(struct engine *e, struct ct *home, const char *name)
{
	const struct engine_cred who = { .home = home->id };
	const struct ct *at = access_mount(home);
	autotext struct text full = {};
	struct ct *ct;

	if (strcmp(name, "self") == 0)
		return home;
	if (strncmp(name, "self/", 5) == 0) {
		if (!ct_is_root(home))
			text_addf(&full, "%s/", home->name);
		text_add(&full, name + 5);
	} else if (strncmp(name, "/porto/", 7) == 0 || strcmp(name, "/porto") == 0) {
		text_add(&full, name[6] == '/' ? name + 7 : "/");
	} else {
		if (!ct_is_root(at) && name[0] != '/')
			text_addf(&full, "%s/", at->name);
		text_add(&full, name);
	}
	ct = ct_find_name(e, text_str(&full));
	return ct != NULL && access_shows(e, &who, ct) ? ct : NULL;
}

struct ct *ct_child(struct ct *parent, const char *base)
{
	char name[NAME_MAX_TOTAL];
	int n;

	if (parent->parent == NULL)
		n = snprintf(name, sizeof(name), "%s", base);
	else
		n = snprintf(name, sizeof(name), "%s/%s", parent->name, base);
	if (n < 0 || (size_t)n >= sizeof(name) || base[0] == '/')
		return NULL;
	return ct_find_name(parent->e, name);
}

struct ct *ct_next(struct ct *top, struct ct *it)
{
	if (it == NULL)
		return top->children;
	if (it->children != NULL)
		return it->children;
	while (it != top) {
		if (it->next != NULL)
			return it->next;
		it = it->parent;
	}
	return NULL;
}

void ct_absolute(const struct ct *ct, struct text *out)
{
	if (ct->level > 0)
		text_add(out, "/porto/");
	text_add(out, ct->name);
}

struct ct *ct_task_owner(struct ct *ct)
{
	while (ct != NULL && (ct->pid == 0 || ct->task_gone))
		ct = ct->parent;
	return ct;
}
