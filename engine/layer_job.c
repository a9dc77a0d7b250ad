/*
 * Jobs: one porto-store each. They wait for a slot of their place, are prepared in a thread, go on by themselves, and when
 * they have ended a thread puts in place what they made. The loop knows them by their process (pidfd).
 */
#include "engine/layer.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/proc.h"
#include "engine/cred.h"
#include "engine/eventlog.h"
#include "engine/hooks.h"
#include "engine/image.h"
#include "engine/save.h"

#define SLOTS_DEFAULT 2u
#define PAGE_BYTES 4096

static void begin_waiting(struct engine *e);
static void begin_soon(void *arg);
static int prepare_volume(struct sjob *j);

/* ---- objects ---- */

struct sjob *sjob_new(struct engine *e, enum sjob_kind kind, const struct engine_cred *who, uint64_t cookie)
{
	struct sjob *j = calloc(1, sizeof(*j)), **at = &e->store->jobs;
	autotext struct text root = {}, groups = {};
	struct ct *home = e->root;

	if (j == NULL)
		return NULL;
	*j = (struct sjob){ .e = e, .kind = kind, .who = *who, .as = *who, .cookie = cookie, .porto_gid = e->porto_gid };
	j->id = e->store->next_job++;
	j->stamp = clock_wall();
	j->program = e->store->program;
	j->jobs_fd = e->store->jobs_fd;
	j->go = j->status = j->watch.fd = -1;
	if (who->pid != 0)
		cred_effective(e, who, &j->as, &home);
	cred_groups(j->as.uid, j->as.gid, &groups);
	if (read_root_path(home, NULL, &root, NULL) < 0 || strv_split(text_str(&groups), ',', &j->groups) < 0 ||
	    (j->client_root = text_take(&root)) == NULL || (j->path = strdup("")) == NULL || (j->format = strdup("")) == NULL) {
		sjob_free(j);
		return NULL;
	}
	while (*at != NULL)
		at = &(*at)->next;
	*at = j;
	return j;
}

int sjob_set_item(struct sjob *j, const struct item *it)
{
	autotext struct text dir = {}, base = {};
	int r = stored_split(it->kind, it->name, &dir, &base, NULL);

	if (r < 0)
		return r;
	j->item = it->id;
	j->stored = it->kind;
	j->owner_uid = it->uid;
	j->owner_gid = it->gid;
	j->place = strdup(it->place);
	j->sub = text_take(&dir);
	j->name = text_take(&base);
	j->private = strdup(it->private != NULL ? it->private : "");
	if (it->charge != NULL && (j->charge = strdup(it->charge)) == NULL)
		return -ENOMEM;
	j->is_default_place = strcmp(it->place, j->e->conf->volumes_default_place) == 0;
	return j->place == NULL || j->sub == NULL || j->name == NULL || j->private == NULL ? -ENOMEM : 0;
}

int sjob_set_volume(struct sjob *j, const struct vol *v)
{
	char name[24];

	snprintf(name, sizeof(name), "%u", (unsigned)v->id);
	j->item = v->id;
	j->place = strdup(v->plan.place);
	j->sub = strdup(PLACE_VOLUMES);
	j->name = strdup(name);
	j->private = strdup("");
	return j->place == NULL || j->sub == NULL || j->name == NULL || j->private == NULL ? -ENOMEM : 0;
}

int sjob_set_image(struct sjob *j, const char *place, const char *name)
{
	j->is_default_place = strcmp(place, j->e->conf->volumes_default_place) == 0;
	j->place = strdup(place);
	j->sub = strdup(PLACE_DOCKER);
	j->name = strdup(name);
	if (j->private == NULL)
		j->private = strdup("");
	return j->place == NULL || j->sub == NULL || j->name == NULL || j->private == NULL ? -ENOMEM : 0;
}

void sjob_free(struct sjob *j)
{
	struct sjob **at = &j->e->store->jobs;

	while (*at != NULL && *at != j)
		at = &(*at)->next;
	if (*at == j)
		*at = j->next;
	if (j->watch.fn != NULL)
		loop_del(j->e->loop, &j->watch);
	if (j->ring_watch.fn != NULL)
		loop_del(j->e->loop, &j->ring_watch);
	if (j->ring != NULL)
		ring_free(j->ring);
	if (j->watch.fd >= 0)
		close(j->watch.fd);
	if (j->go >= 0)
		close(j->go);
	if (j->status >= 0)
		close(j->status);
	while (j->waiting != NULL) {
		struct stream_wait *w = j->waiting;

		j->waiting = w->next;
		free(w);
	}
	if (j->vop != NULL)
		vop_free(j->vop);
	strv_done(&j->groups);
	strv_done(&j->words);
	image_records_done(&j->images);
	free(j->place);
	free(j->sub);
	free(j->name);
	free(j->path);
	free(j->format);
	free(j->client_root);
	free(j->private);
	free(j->charge);
	free(j->memory_dir);
	free(j);
}

struct sjob *sjob_of_item(struct engine *e, uint32_t item)
{
	for (struct sjob *j = e->store->jobs; j != NULL; j = j->next)
		if (j->item == item && j->kind != SJ_EXPORT_VOLUME && j->kind != SJ_REMOVE && !sjob_is_image(j) && j->phase != SJP_OVER)
			return j;
	return NULL;
}

struct sjob *sjob_of_volume(struct engine *e, uint32_t vol)
{
	for (struct sjob *j = e->store->jobs; j != NULL; j = j->next)
		if (j->item == vol && j->kind == SJ_EXPORT_VOLUME && j->phase != SJP_OVER)
			return j;
	return NULL;
}

struct sjob *sjob_of_cookie(struct engine *e, uint64_t cookie)
{
	for (struct sjob *j = e->store->jobs; cookie != 0 && j != NULL; j = j->next)
		if (j->cookie == cookie)
			return j;
	return NULL;
}

struct sjob *sjob_of_handle(struct engine *e, uint64_t handle)
{
	for (struct sjob *j = e->store->jobs; handle != 0 && j != NULL; j = j->next)
		if (j->handle == handle)
			return j;
	return NULL;
}

bool sjob_works_on(struct engine *e, const char *place, const char *name)
{
	for (const struct sjob *j = e->store->jobs; j != NULL; j = j->next)
		if (j->phase != SJP_OVER && strcmp(j->name, name) == 0 && strcmp(j->place, place) == 0)
			return true;
	return false;
}

void sjob_progress(const struct sjob *j, struct text *out)
{
	char page[128];
	ssize_t n = j->status >= 0 ? pread(j->status, page, sizeof(page) - 1, 0) : -1;
	unsigned long long bytes = 0, total = 0;

	page[MAX(n, 0)] = '\0';
	(void)sscanf(page, "running %llu %llu", &bytes, &total);
	text_addf(out, "%llu %llu\n", bytes, total);
}

/* ---- the end ---- */

/* It was complete before it could be stopped, and is not wanted any more. */
static void remove_late(struct sjob *j)
{
	struct item *it;

	if (strchr(j->sub, '/') != NULL || item_find_name(j->e, j->stored, j->place, j->name) != NULL ||
	    item_new(j->e, j->stored, j->place, j->name, &it) < 0)
		return;
	it->state = IS_READY;
	(void)item_remove(j->e, it, 0, NULL);
}

static void set_item(struct sjob *j)
{
	struct engine *e = j->e;
	struct item *it = item_find(e, j->item);

	if (j->kind == SJ_REMOVE && it != NULL && it->gone) {
		item_forget(e, it);
		item_free(e, it);
		return;
	}
	if (sjob_is_image(j)) {
		e->store->changes++;
		if (j->images_read)
			images_take(e, j->place, &j->images);
		if (j->result == 0 && j->name[0] != '\0')
			event_log(e, "image", j->name, "%s", j->kind == SJ_IMAGE_REMOVE ? "removed" : j->kind == SJ_IMAGE_PULL ? "pulled" : "imported");
	}
	if (j->kind != SJ_IMPORT && j->kind != SJ_MERGE)
		return;
	e->store->changes++;
	if (it == NULL || it->gone) {
		if (j->result == 0)
			remove_late(j);
		return;
	}
	if (j->result < 0) {
		it->state = it->reserved ? IS_EMPTY : IS_READY;
		return;
	}
	it->state = IS_READY;
	it->used = (int64_t)(clock_wall() / 1000000000u);
	it->size = j->kind == SJ_IMPORT ? j->unpacked : 0;
	free(it->error);
	it->error = NULL;
	known_put(e, it); /* before its record goes: between the two nobody knows of it */
	if (it->reserved)
		item_forget(e, it);
	event_log(e, item_word(it->kind), it->name, "%s", j->kind == SJ_IMPORT ? "imported" : "merged");
}

static void note_failure(struct sjob *j)
{
	struct engine_node n = { .dir = DIR_VOLUME, .ct = j->item, .view = ENGINE_ROOT };
	struct item *it = item_find(j->e, j->item);

	if (j->err.kind == ERR_Success)
		err_sys(&j->err, -j->result, "%s", j->name);
	if (j->kind == SJ_IMAGE_SWEEP) {
		log_warning("%s/%s cannot be swept: %s", j->place, j->sub, j->err.text);
		return;
	}
	if (j->kind == SJ_REMOVE) {
		log_warning("%s/%s/_remove_%s stays: %s", j->place, j->sub, j->name, j->err.text);
		return;
	}
	engine_note_error(j->e, &j->who, j->kind == SJ_EXPORT_VOLUME ? &n : NULL, &j->err);
	if (j->kind != SJ_EXPORT_VOLUME && it != NULL)
		item_note_error(j->e, it, &j->err);
}

/* Whoever asked is answered; a job with an open stream stays for its sake. */
static void over(struct sjob *j)
{
	struct engine *e = j->e;
	bool is_removal = j->kind == SJ_REMOVE || j->kind == SJ_IMAGE_SWEEP;
	const struct looked_place *removal = j->kind == SJ_REMOVE ? store_place(e, j->place) : NULL;
	uint64_t cookie = j->cookie;

	j->phase = SJP_OVER;
	if (j->result < 0 && !j->unwanted)
		note_failure(j);
	set_item(j);
	/* what was killed has left something behind that no look at names finds */
	if (j->result < 0 && sjob_is_image(j) && j->kind != SJ_IMAGE_SWEEP)
		images_sweep(e, j->place);
	if (cookie != 0 && j->restored)
		(void)save_replay_add(e, cookie, j->item, j->result); /* the request may not have come again yet */
	j->cookie = 0;
	if (cookie != 0)
		e->events->done(e->events_arg, cookie, j->result, NULL, 0);
	if (j->handle != 0) {
		(void)sjob_save(j, NULL);
		stream_wake(j);
	} else {
		sjob_forget(j);
		sjob_free(j);
	}
	if (removal != NULL)
		place_removed(e, removal->path);
	if (is_removal)
		store_removed(e);
	/* later: whoever walks the jobs has the next one in hand */
	(void)loop_post(e->loop, begin_soon, e);
}

/* The worker that had started it was killed before it could let it begin. */
static bool begin_again(struct sjob *j)
{
	if (!j->never_began || j->began_again || j->stopping || (j->kind != SJ_IMPORT && j->kind != SJ_MERGE && j->kind != SJ_EXPORT && j->kind != SJ_EXPORT_VOLUME && !sjob_is_image(j)))
		return false;
	j->never_began = false;
	j->err = (struct err){};
	j->result = 0;
	j->pid = 0;
	if (j->status >= 0)
		close(j->status);
	j->status = -1;
	if (j->watch.fd >= 0)
		close(j->watch.fd);
	j->watch.fd = -1;
	if (j->handle != 0 && j->ring == NULL && ring_create(&j->ring) < 0)
		return false;
	if (j->kind == SJ_EXPORT_VOLUME && j->vop == NULL) {
		j->result = prepare_volume(j);
		if (j->result < 0)
			return false;
	}
	j->began_again = true;
	j->phase = SJP_WAITING;
	begin_waiting(j->e);
	return true;
}

static void settled(void *arg)
{
	struct sjob *j = arg;

	if (!begin_again(j))
		over(j);
}

static void end(struct sjob *j)
{
	j->phase = SJP_ENDING;
	if (loop_work_for(j->e->loop, place_group(j->place), sjob_settle, settled, j) < 0) {
		j->result = err_sys(&j->err, ENOMEM, "%s", j->name);
		over(j);
	}
}

static void on_exit_seen(void *arg, uint32_t events)
{
	struct sjob *j = arg;

	(void)events;
	loop_del(j->e->loop, &j->watch);
	j->watch.fn = NULL;
	if (j->child)
		while (waitpid(j->pid, NULL, 0) < 0 && errno == EINTR)
			;
	j->child = false;
	if (j->ring != NULL)
		stream_wake(j);
	end(j);
}

/* ---- the beginning ---- */

static int watch(struct sjob *j)
{
	int r;

	j->watch.fd = proc_open(j->pid, j->start);
	if (j->watch.fd < 0)
		return j->watch.fd;
	j->watch.fn = on_exit_seen;
	j->watch.arg = j;
	r = loop_add(j->e->loop, &j->watch, EPOLLIN);
	if (r < 0)
		j->watch.fn = NULL;
	return r;
}

static void prepared(void *arg)
{
	struct sjob *j = arg;
	int r = j->result;

	if (r == 0 && j->stopping)
		r = err_set(&j->err, ERR_SocketError, "stopped");
	if (r == 0 && j->kind != SJ_REMOVE && j->kind != SJ_IMAGE_SWEEP)
		r = sjob_save(j, &j->err);
	if (r == 0) {
		r = watch(j);
		if (r < 0)
			(void)err_sys(&j->err, -r, "porto-store cannot be watched");
	}
	if (r == 0 && j->ring != NULL)
		r = stream_watch(j);
	if (r == 0 && write(j->go, "", 1) != 1)
		r = err_set(&j->err, ERR_HelperError, "porto-store has gone");
	if (j->go >= 0)
		close(j->go); /* without a byte it does nothing */
	j->go = -1;
	if (r == 0) {
		j->phase = SJP_RUNNING;
		return;
	}
	if (j->watch.fn != NULL)
		loop_del(j->e->loop, &j->watch);
	j->watch.fn = NULL;
	if (j->child)
		while (waitpid(j->pid, NULL, 0) < 0 && errno == EINTR)
			;
	j->child = false;
	j->result = r;
	end(j);
}

static size_t slots_of(struct engine *e, const char *place)
{
	autotext struct text text = {};
	const struct prop_type *t = &type_bytemap;

	if (t->get_key(&e->store->load_limit, place, &text) < 0 && t->get_key(&e->store->load_limit, "default", &text) < 0)
		return SLOTS_DEFAULT;
	return MAX(strtoull(text_str(&text), NULL, 10), 1u);
}

/* Not yet: the place has no slot, or the same name is still being worked on. */
static bool must_wait(const struct sjob *j)
{
	const struct item *it = j->kind <= SJ_EXPORT ? item_find(j->e, j->item) : NULL;
	size_t n = 0;

	if (it != NULL && place_is_held(j->e, it->kind, it->place, it->name))
		return true;

	for (const struct sjob *o = j->e->store->jobs; o != NULL; o = o->next) {
		if (o == j || o->phase == SJP_OVER || strcmp(o->place, j->place) != 0)
			continue;
		if (o->phase == SJP_WAITING)
			continue;
		n++;
		if (o->kind != SJ_EXPORT && j->kind != SJ_EXPORT && strcmp(o->name, j->name) == 0 && strcmp(o->sub, j->sub) == 0)
			return true;
	}
	return n >= slots_of(j->e, j->place);
}

static void begin_waiting(struct engine *e)
{
	for (struct sjob *j = e->store->jobs, *next; j != NULL; j = next) {
		next = j->next;
		if (j->phase != SJP_WAITING || must_wait(j))
			continue;
		j->phase = SJP_PREPARING;
		j->result = sjob_set_memory(j);
		if (j->result == 0 && loop_work_for(e->loop, place_group(j->place), sjob_prepare, prepared, j) == 0)
			continue;
		if (j->result == 0)
			j->result = err_sys(&j->err, ENOMEM, "%s", j->name);
		over(j);
		return; /* it has begun the others */
	}
}

static void begin_soon(void *arg)
{
	begin_waiting(arg);
}

void sjobs_go_on(struct engine *e)
{
	(void)loop_post(e->loop, begin_soon, e);
}

static int prepare_volume(struct sjob *j)
{
	struct vol *v = vol_find(j->e, j->item);
	int r;

	if (v == NULL)
		return err_set(&j->err, ERR_VolumeNotFound, "the volume is gone");
	j->vop = vop_new(v, VOP_CHECK, &j->as, 0);
	if (j->vop == NULL)
		return err_sys(&j->err, ENOMEM, "export");
	r = vop_prepare(v, j->vop);
	return r < 0 ? err_sys(&j->err, -r, "export") : 0;
}

int sjob_begin(struct sjob *j, struct err *err)
{
	struct item *it = j->kind == SJ_IMPORT || j->kind == SJ_MERGE ? item_find(j->e, j->item) : NULL;
	int r = j->kind == SJ_EXPORT_VOLUME ? prepare_volume(j) : 0;

	if (r == 0 && j->kind != SJ_REMOVE && j->kind != SJ_IMAGE_SWEEP)
		r = sjob_save(j, &j->err);
	/* never within the call: the answer to a request comes after it is said to be pending */
	if (r == 0 && loop_post(j->e->loop, begin_soon, j->e) < 0)
		r = err_sys(&j->err, ENOMEM, "%s", j->name);
	if (r < 0) {
		if (err != NULL)
			*err = j->err;
		sjob_forget(j);
		sjob_free(j);
		return r;
	}
	if (it != NULL)
		it->state = IS_IMPORTING;
	return ENGINE_PENDING;
}

void sjob_resume(struct sjob *j)
{
	j->restored = true;
	if (j->phase == SJP_OVER)
		return;
	if (j->pid != 0 && watch(j) == 0) {
		j->phase = SJP_RUNNING;
		if (j->ring == NULL || stream_watch(j) == 0)
			return;
	}
	if (j->watch.fn != NULL)
		loop_del(j->e->loop, &j->watch);
	j->watch.fn = NULL;
	j->result = 0;
	if (j->pid != 0) {
		end(j); /* what it has come to stands on its page */
		return;
	}
	j->phase = SJP_WAITING;
	if (j->kind == SJ_EXPORT_VOLUME && prepare_volume(j) < 0)
		over(j);
	else
		(void)loop_post(j->e->loop, begin_soon, j->e);
}

/* ---- besides ---- */

void sjob_stop(struct sjob *j)
{
	j->stopping = true;
	if (j->phase == SJP_RUNNING)
		(void)proc_signal(j->watch.fd, SIGTERM);
	if (j->phase != SJP_WAITING)
		return;
	j->result = err_set(&j->err, ERR_SocketError, "stopped");
	over(j);
}

bool sjob_cancel(struct engine *e, uint64_t cookie)
{
	struct sjob *j = sjob_of_cookie(e, cookie);

	if (j != NULL) {
		j->cookie = 0;
		/* An archive that nobody waits for is not wanted; what changes a layer goes on to its end. */
		if (j->kind == SJ_EXPORT || j->kind == SJ_EXPORT_VOLUME)
			sjob_stop(j);
		return true;
	}
	for (j = e->store->jobs; j != NULL; j = j->next)
		if (stream_cancel(j, cookie))
			return true;
	return store_cancel(e, cookie);
}

int sjob_remove(struct engine *e, const char *place, const char *sub, const char *name, uint32_t item)
{
	static const struct engine_cred root = { .uid = 0 };
	struct sjob *j = sjob_new(e, SJ_REMOVE, &root, 0);

	if (j == NULL)
		return -ENOMEM;
	j->item = item;
	j->stored = strcmp(sub, PLACE_LAYERS) == 0 ? STORED_LAYER : STORED_STORAGE;
	j->place = strdup(place);
	j->sub = strdup(sub);
	j->name = strdup(name);
	j->private = strdup("");
	if (j->place != NULL && j->sub != NULL && j->name != NULL && j->private != NULL)
		return sjob_begin(j, NULL);
	sjob_free(j);
	return -ENOMEM;
}
