/*
 * Looking at places: a thread reads their directories, the loop takes over what it found. What nobody owns is removed: halves of
 * imports and removals, volumes without a record, files that lie about. One worker at a time looks after a place: it holds
 * a lock on its porto_volumes.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/proc.h"
#include "engine/image.h"

#define LOOK_EVERY UINT64_C(5000000000) /* spec 9 */
#define LOOK_AGAIN UINT64_C(200000000)
#define THOROUGH 12u /* each so many looks nothing is taken to be as it was */

/* What is in a place. */
struct found {
	struct found *next;
	enum stored kind;
	char *name;
	uid_t uid;
	gid_t gid;
	int64_t used;
	uint64_t size;
	char *private;
	struct vol_limits limits;
	struct vol_usage usage;
};

struct junk {
	struct junk *next;
	char *sub;
	char *name;  /* behind _remove_ */
	char *doomed; /* its name now; NULL: it is called _remove_NAME already */
};

struct look {
	char *place, *real;
	int lock;             /* on its porto_volumes; -1: not held */
	uint64_t stamp;       /* of its directories at the last look; 0: look whatever it is */
	uint64_t changes;     /* of the store when this look began */
	bool same;            /* nothing has changed: nothing was looked at */
	uint32_t *ids;        /* of those there are, ascending */
	size_t count;
	struct engine *e;
	struct found *found;
	struct junk *junk;
	struct image_records images;
	bool images_read, image_junk;
	bool is_none;         /* there is no directory in it that makes it a place */
};

static const char *const prefixes[] = { "_import_", "_tmp_" };

static void look_free(struct look *l)
{
	while (l->found != NULL) {
		struct found *f = l->found;

		l->found = f->next;
		free(f->name);
		free(f->private);
		free(f);
	}
	while (l->junk != NULL) {
		struct junk *j = l->junk;

		l->junk = j->next;
		free(j->sub);
		free(j->name);
		free(j->doomed);
		free(j);
	}
	image_records_done(&l->images);
	free(l->place);
	free(l->real);
	free(l->ids);
	free(l);
}

static struct junk *add_junk(struct look *l, const char *sub, const char *name)
{
	struct junk *j = calloc(1, sizeof(*j));

	if (j == NULL || (j->name = strdup(name)) == NULL || (j->sub = strdup(sub)) == NULL) {
		if (j != NULL)
			free(j->name);
		free(j);
		return NULL;
	}
	j->next = l->junk;
	l->junk = j;
	return j;
}

/* Nobody works on it: porto-store holds a lock on what it makes. What has only just been made the loop knows of. */
static void doom(struct look *l, int dir, const char *sub, const char *name)
{
	autoclose int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char to[300];
	struct junk *j;

	if (fd < 0) {
		if (errno == ENOTDIR || errno == ELOOP)
			(void)unlinkat(dir, name, 0);
		return;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return;
	snprintf(to, sizeof(to), "%.200s.%llx", name + strspn(name, "_"), (unsigned long long)clock_mono());
	j = add_junk(l, sub, to);
	if (j != NULL)
		j->doomed = strdup(name);
}

static void look_at_limits(struct found *f, int dir, const char *name)
{
	autoclose int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd >= 0)
		dir_get_limits(fd, &f->limits, &f->usage);
}

/* meta: the meta-storage it is in, "" none; of a meta-storage itself name is _meta_NAME, of a layer in one _layer_NAME. */
static void add_found(struct look *l, enum stored kind, int dir, const char *meta, const char *name)
{
	const char *bare = kind == STORED_META ? name + strlen("_meta_") : kind == STORED_LAYER && *meta ? name + strlen("_layer_") : name;
	struct found *f = calloc(1, sizeof(*f));
	autotext struct text text = {};
	char private[300], size[32];
	autoclose int fd = -1;
	struct stat st;
	ssize_t n;

	if (f == NULL || asprintf(&f->name, "%s%s%s", meta, *meta ? "/" : "", bare) < 0) {
		free(f);
		return;
	}
	f->kind = kind;
	if (kind == STORED_META)
		look_at_limits(f, dir, name);
	f->next = l->found;
	l->found = f;
	snprintf(private, sizeof(private), "_private_%.200s", name);
	fd = openat(dir, private, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return;
	f->uid = st.st_uid;
	f->gid = st.st_gid;
	f->used = st.st_mtim.tv_sec;
	n = fgetxattr(fd, ITEM_SIZE_XATTR, size, sizeof(size) - 1);
	if (n > 0) {
		size[n] = '\0';
		f->size = strtoull(size, NULL, 10);
	}
	if (fd_read_all(fd, 8192, &text) == 0)
		f->private = text_take(&text);
}

/* _private_X without X. */
static void look_at_private(int dir, const char *name)
{
	const char *of = name + strlen("_private_");
	char import[300];
	struct stat st;

	snprintf(import, sizeof(import), "_import_%.200s", of);
	if (fstatat(dir, of, &st, AT_SYMLINK_NOFOLLOW) == 0 || fstatat(dir, import, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return;
	/* a storage is made after it: by then it is some seconds old */
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ctim.tv_sec + 60 < (time_t)(clock_wall() / 1000000000u))
		(void)unlinkat(dir, name, 0);
}

static void look_into(struct look *l, const char *sub, const char *meta);

static void look_at_meta(struct look *l, int dir, const struct dirent *de)
{
	const char *meta = de->d_name + strlen("_meta_");
	autofree char *sub = NULL;

	if (de->d_type != DT_DIR || stored_check(meta, NULL) < 0 || asprintf(&sub, PLACE_STORAGES "/%s", de->d_name) < 0) {
		sub = NULL;
		return;
	}
	add_found(l, STORED_META, dir, "", de->d_name);
	look_into(l, sub, meta);
}

static void look_at_name(struct look *l, enum stored kind, int dir, const char *sub, const char *meta, const struct dirent *de)
{
	const char *name = de->d_name;

	if (strncmp(name, "_remove_", 8) == 0) {
		add_junk(l, sub, name + 8);
		return;
	}
	if (strncmp(name, "_private_", 9) == 0) {
		look_at_private(dir, name);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
		if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0) {
			doom(l, dir, sub, name);
			return;
		}
	if (strncmp(name, "_meta_", 6) == 0) {
		if (strcmp(sub, PLACE_STORAGES) == 0)
			look_at_meta(l, dir, de);
		return;
	}
	if (*meta && strncmp(name, "_layer_", 7) == 0) {
		if (de->d_type == DT_DIR && stored_check(name + 7, NULL) == 0)
			add_found(l, STORED_LAYER, dir, meta, name);
		return;
	}
	if (de->d_type == DT_DIR && stored_check(name, NULL) == 0)
		add_found(l, kind, dir, meta, name);
	else if (de->d_type == DT_REG)
		(void)unlinkat(dir, name, 0);
}

static bool is_volume(const struct look *l, uint32_t id)
{
	size_t lo = 0, hi = l->count;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (l->ids[mid] == id)
			return true;
		if (l->ids[mid] < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

static void look_at_volume(struct look *l, int dir, const struct dirent *de)
{
	unsigned id;
	int end = 0;

	if (strncmp(de->d_name, "_remove_", 8) == 0) {
		add_junk(l, PLACE_VOLUMES, de->d_name + 8);
	} else if (de->d_type != DT_DIR) {
		(void)unlinkat(dir, de->d_name, 0);
	} else if (sscanf(de->d_name, "%u%n", &id, &end) != 1 || de->d_name[end] != '\0' || !is_volume(l, id)) {
		doom(l, dir, PLACE_VOLUMES, de->d_name);
	}
}

static void look_into(struct look *l, const char *sub, const char *meta)
{
	enum stored kind = strcmp(sub, PLACE_LAYERS) == 0 ? STORED_LAYER : STORED_STORAGE;
	int fd = place_dir(l->place, sub);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

	if (fd >= 0 && d == NULL)
		close(fd);
	for (const struct dirent *de; d != NULL && (de = readdir(d)) != NULL;) {
		if (de->d_name[0] == '.')
			continue;
		if (strcmp(sub, PLACE_VOLUMES) == 0)
			look_at_volume(l, dirfd(d), de);
		else
			look_at_name(l, kind, dirfd(d), sub, meta, de);
	}
	if (d != NULL)
		closedir(d);
}

/* Changes when a name comes or goes in one of them. */
static uint64_t stamp_of(const char *place)
{
	static const char *const subs[] = { PLACE_LAYERS, PLACE_STORAGES, PLACE_VOLUMES, PLACE_DOCKER "/" IMAGES_DIR };
	uint64_t h = 1;
	struct stat st;

	for (size_t i = 0; i < ARRAY_LEN(subs); i++) {
		autofree char *path = NULL;

		if (asprintf(&path, "%s/%s", place, subs[i]) < 0)
			path = NULL;
		if (path != NULL && stat(path, &st) == 0)
			h = (h * 1099511628211u) ^ (uint64_t)st.st_mtim.tv_sec * 1000000000u ^ (uint64_t)st.st_mtim.tv_nsec ^ st.st_ino;
	}
	return h | 1;
}

static char *real_path(const char *place)
{
	autoclose int fd = place_dir(place, ".");
	char link[32], path[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = fd >= 0 ? readlink(link, path, sizeof(path)) : -1;
	return n > 0 ? strndup(path, (size_t)n) : NULL;
}

static bool is_no_place(const char *place)
{
	static const char *const subs[] = { PLACE_LAYERS, PLACE_STORAGES, PLACE_VOLUMES, PLACE_DOCKER };

	for (size_t i = 0; i < ARRAY_LEN(subs); i++) {
		autoclose int fd = place_dir(place, subs[i]);

		if (fd != -ENOENT && fd != -ENOTDIR)
			return false;
	}
	return true;
}

static void look(void *arg)
{
	struct look *l = arg;
	uint64_t stamp = stamp_of(l->place);

	l->real = real_path(l->place);
	l->is_none = is_no_place(l->place);
	l->same = stamp == l->stamp;
	l->stamp = stamp;
	if (l->same)
		return;
	l->images_read = images_read(l->place, &l->images) == 0;
	l->image_junk = images_have_junk(l->place);
	look_into(l, PLACE_LAYERS, "");
	look_into(l, PLACE_STORAGES, "");
	/* whose daemon holds the lock, his are the volumes in it: nobody else can tell which of them are nobody's */
	if (l->lock < 0)
		l->lock = place_dir(l->place, PLACE_VOLUMES);
	if (l->lock >= 0 && flock(l->lock, LOCK_EX | LOCK_NB) < 0) {
		close(l->lock);
		l->lock = -1;
	}
	if (l->lock >= 0 && place_is_ours(l->place, l->lock))
		look_into(l, PLACE_VOLUMES, "");
}

/* ---- in the loop ---- */

static void take_over_one(struct engine *e, const struct look *l, const struct found *f)
{
	struct item *it = item_find_name(e, f->kind, l->place, f->name);

	/* what is about to leave is not there any more, what is about to be written not yet */
	if ((it != NULL && it->queued > 0) || place_is_held(e, f->kind, l->place, f->name))
		return;
	if (it == NULL && item_new(e, f->kind, l->place, f->name, &it) < 0)
		return;
	it->seen = true;
	if (sjob_of_item(e, it->id) != NULL)
		return;
	it->state = IS_READY;
	it->unmade = false;
	it->uid = f->uid;
	it->gid = f->gid;
	it->used = f->used;
	it->size = f->size;
	it->limits = f->limits;
	it->usage = f->usage;
	free(it->private);
	it->private = f->private != NULL ? strdup(f->private) : NULL;
}

static void take_over(struct engine *e, const struct look *l)
{
	for (struct item *it = e->store->items; it != NULL; it = it->next)
		it->seen = strcmp(it->place, l->place) != 0 || it->reserved || it->gone || it->queued > 0 ||
			   sjob_of_item(e, it->id) != NULL;
	for (const struct found *f = l->found; f != NULL; f = f->next)
		take_over_one(e, l, f);
	for (struct item *it = e->store->items, *next; it != NULL; it = next) {
		next = it->next;
		if (!it->seen)
			item_free(e, it);
	}
	known_save(e);
	for (struct item *it = e->store->items; it != NULL; it = it->next)
		if (it->reserved && it->state == IS_READY && !it->unmade && strcmp(it->place, l->place) == 0)
			item_forget(e, it);
}

/* At the beginning of a daemon's life nobody uses what is weak. */
static void remove_weak(struct engine *e)
{
	for (struct item *it = e->store->items, *next; it != NULL; it = next) {
		struct err err = {};

		next = it->next;
		if (!it->gone && stored_is_weak(it->name) && sjob_of_item(e, it->id) == NULL && item_remove(e, it, 0, &err) < 0)
			log_debug("weak %s stays: %s", it->name, err.text);
	}
}

static bool is_wanted(struct engine *e, const struct look *l, const struct junk *j)
{
	const char *of = strchrnul(j->doomed + 1, '_');

	/* a volume that was made meanwhile; _import_NAME of a job that has begun */
	if (strcmp(j->sub, PLACE_VOLUMES) == 0 && vol_find(e, (uint32_t)strtoul(j->doomed, NULL, 10)) != NULL)
		return true;
	return *of == '_' && sjob_works_on(e, l->place, of + 1);
}

static void remove_junk(struct engine *e, const struct look *l)
{
	const struct looked_place *p = store_place(e, l->place);
	const char **names = NULL;
	size_t n;

	if (place_removals(p, &names, &n) < 0)
		return; /* the next look finds it again */
	for (const struct junk *j = l->junk; j != NULL; j = j->next)
		if (j->doomed != NULL && !is_wanted(e, l, j))
			place_doom(e, l->place, j->sub, j->doomed, j->name);
		else if (j->doomed == NULL && !place_removes(names, n, j->name) && !sjob_works_on(e, l->place, j->name))
			place_remove_later(e, l->place, j->sub, j->name, 0);
	free(names);
}

/* The default one need not have been made yet. */
static int check_place(const struct cleanup *w)
{
	struct engine *e = w->e;
	struct err err = {};

	if (!w->place->is_none || strcmp(w->place->path, e->conf->volumes_default_place) == 0)
		return 0;
	err_set(&err, ERR_InvalidPath, "cleanup: %.200s is no place: there are no volumes, layers, storages or images in it", w->place->path);
	engine_note_error(e, &w->who, NULL, &err);
	return -err.no;
}

/* Those who wait for a cleanup are answered when what it has found is gone too. */
static void answer_cleanups(struct engine *e)
{
	struct store *s = e->store;

	if (s->looking > 0)
		return;
	for (const struct looked_place *p = s->places; p != NULL; p = p->next)
		if (!place_is_idle(p))
			return;
	for (const struct sjob *j = s->jobs; j != NULL; j = j->next)
		if (j->kind == SJ_REMOVE || j->kind == SJ_IMAGE_SWEEP)
			return;
	for (struct cleanup **at = &s->cleanups; *at != NULL;) {
		struct cleanup *w = *at;
		int r;

		if (!w->begun) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		r = check_place(w);
		e->events->done(e->events_arg, w->cookie, r, NULL, 0);
		free(w);
	}
}

void store_removed(struct engine *e)
{
	answer_cleanups(e);
}

static void again(void *arg)
{
	store_look(arg);
}

static void look_later(struct engine *e, uint64_t after)
{
	loop_cancel(e->loop, &e->store->timer);
	e->store->timer = (struct loop_timer){ .fn = again, .arg = e };
	(void)loop_after(e->loop, &e->store->timer, after);
}

struct looked_place *store_place(struct engine *e, const char *path)
{
	struct looked_place *p = e->store->places;

	while (p != NULL && strcmp(p->path, path) != 0)
		p = p->next;
	return p;
}

static void looked(void *arg)
{
	struct look *l = arg;
	struct engine *e = l->e;
	struct store *s = e->store;
	struct looked_place *p = store_place(e, l->place);
	bool fresh = l->changes == s->changes;

	free(p->real);
	p->real = TAKE_PTR(l->real);
	p->lock = l->lock;
	p->is_none = l->is_none;
	p->stamp = fresh ? l->stamp : 0;
	/* what was made or removed meanwhile was seen by half */
	if (fresh && !l->same)
		take_over(e, l);
	if (fresh && l->images_read)
		images_take(e, l->place, &l->images);
	if (l->image_junk && !images_at_work(e, l->place))
		images_sweep(e, l->place);
	if (fresh && !l->same && e->conf->fresh && !p->weak_gone) {
		p->weak_gone = true;
		remove_weak(e);
	}
	remove_junk(e, l);
	look_free(l);
	s->again |= !fresh;
	p->looking = false;
	s->looking--;
	for (const struct cleanup *w = s->cleanups; s->looking == 0 && w != NULL; w = w->next)
		s->again |= !w->begun;
	if (s->again)
		look_later(e, LOOK_AGAIN);
	s->again = false;
	answer_cleanups(e);
}

static int note_volumes(struct engine *e, struct look *l)
{
	l->ids = malloc((e->vol_count + 1) * sizeof(*l->ids));
	if (l->ids == NULL)
		return -ENOMEM;
	for (const struct vol *v = e->vols; v != NULL; v = v->next)
		l->ids[l->count++] = v->id;
	return 0;
}

static int look_at(struct engine *e, struct looked_place *p, bool thorough)
{
	struct look *l = calloc(1, sizeof(*l));
	int r = l == NULL ? -ENOMEM : 0;

	if (r < 0)
		return r;
	l->e = e;
	l->lock = p->lock;
	l->stamp = thorough ? 0 : p->stamp;
	l->changes = e->store->changes;
	l->place = strdup(p->path);
	r = l->place == NULL ? -ENOMEM : note_volumes(e, l);
	if (r == 0)
		r = loop_work_for(e->loop, place_group(l->place), look, looked, l);
	if (r < 0)
		look_free(l);
	else
		e->store->looking++;
	p->looking = r == 0;
	return r;
}

void store_look(struct engine *e)
{
	struct store *s = e->store;
	bool thorough;

	/* of one that does not answer nothing is to be heard, but of the others */
	thorough = s->cleanups != NULL || s->looks++ % THOROUGH == 0;
	for (struct cleanup *w = s->looking == 0 ? s->cleanups : NULL; w != NULL; w = w->next)
		w->begun = true;
	for (struct looked_place *p = s->places; p != NULL; p = p->next)
		if (!p->looking)
			(void)look_at(e, p, thorough);
	look_later(e, LOOK_EVERY);
}

int store_clean_up(struct engine *e, const char *place, const struct engine_cred *who, uint64_t cookie)
{
	struct cleanup *w = malloc(sizeof(*w));

	if (w == NULL)
		return -ENOMEM;
	*w = (struct cleanup){ .next = e->store->cleanups, .place = store_place(e, place), .e = e, .who = *who, .cookie = cookie };
	e->store->cleanups = w;
	store_look(e);
	return ENGINE_PENDING;
}

bool store_cancel(struct engine *e, uint64_t cookie)
{
	for (struct cleanup **at = &e->store->cleanups; *at != NULL; at = &(*at)->next)
		if ((*at)->cookie == cookie) {
			struct cleanup *w = *at;

			*at = w->next;
			free(w);
			return true;
		}
	return false;
}

int store_add_place(struct engine *e, const char *path)
{
	struct looked_place *p = store_place(e, path);

	if (p != NULL)
		return 0;
	p = calloc(1, sizeof(*p));
	if (p == NULL || (p->path = strdup(path)) == NULL) {
		free(p);
		return -ENOMEM;
	}
	p->lock = -1;
	p->e = e;
	p->next = e->store->places;
	e->store->places = p;
	return 1;
}
