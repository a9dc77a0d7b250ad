#include "layerstore/store/image_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "layerstore/store/store.h"

#define CLAIM_TRIES 1000

static int open_dir(int dirfd, const char *name, mode_t mode)
{
	int fd;

	if (mkdirat(dirfd, name, mode) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int image_store_open(struct image_store *s, const struct job *j, int docker_fd, struct err *err)
{
	*s = (struct image_store){ .job = j, .place = docker_fd, .dir = -1, .images = -1, .layers = -1 };
	s->dir = open_dir(docker_fd, "v1", 0700);
	if (s->dir >= 0)
		s->images = open_dir(s->dir, "images", 0700);
	if (s->images >= 0)
		s->layers = open_dir(s->dir, "layers", 0700);
	if (s->layers >= 0)
		return 0;
	return err_sys(err, -MIN(MIN(s->dir, s->images), s->layers), "the place's directory for images");
}

void image_store_done(struct image_store *s)
{
	int fds[] = { s->dir, s->images, s->layers };

	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static int lock_file(const struct image_store *s, const char *name, int how, struct err *err)
{
	autoclose int fd = openat(s->dir, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	int r = fd < 0 ? -errno : job_lock(s->job, fd, how);

	if (r == -EINTR)
		return err_set_no(err, ERR_SocketError, EINTR, "stopped");
	return r < 0 ? err_sys(err, -r, "%s of the place's images", name) : TAKE_FD(fd);
}

int image_store_lock(const struct image_store *s, struct err *err)
{
	return lock_file(s, "lock", LOCK_EX, err);
}

int image_store_use(const struct image_store *s, struct err *err)
{
	return lock_file(s, "users", LOCK_SH, err);
}

/* ---- looking ---- */

/* Calls fn for each name in the directory until it returns other than 0. */
static int each_name(int dirfd, int (*fn)(void *arg, const char *name), void *arg)
{
	autostrv struct strv names = {};
	int r = dir_names(dirfd, &names);

	for (size_t i = 0; r == 0 && i < names.n; i++)
		r = fn(arg, names.p[i]);
	return r;
}

static bool has(const struct strv *list, const char *s)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->p[i], s) == 0)
			return true;
	return false;
}

int image_store_find(const struct image_store *s, const char *name, const struct image_defaults *def,
		     struct image_record *ret, struct err *err)
{
	autorecords struct image_records recs = {};
	struct image_record *found;
	int r = image_records_read(s->images, &recs, err);

	if (r == 0)
		r = image_records_find(&recs, name, def, &found, err);
	if (r < 0)
		return r;
	*ret = *found;
	*found = (struct image_record){};
	return 0;
}

static void importing_name(const char *name, char ret[NAME_MAX + 1])
{
	snprintf(ret, NAME_MAX + 1, IMPORT_PREFIX "%.200s", name);
}

static void size_name(const char *id, char ret[IMAGE_HEX + 6])
{
	snprintf(ret, IMAGE_HEX + 6, "%s.size", id);
}

bool image_store_has_layer(const struct image_store *s, const char *id)
{
	return faccessat(s->layers, id, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

uint64_t image_store_layer_size(const struct image_store *s, const char *id)
{
	char name[IMAGE_HEX + 6], buf[32];

	size_name(id, name);
	return file_read_small(s->layers, name, buf, sizeof(buf)) < 0 ? 0 : strtoull(buf, NULL, 10);
}

/*
 * Locked while it has the name that is swept when nobody has it; a sweeper who was faster than the lock is met again at
 * the rename.
 */
int image_store_put_size(const struct image_store *s, const char *id, uint64_t size)
{
	char name[IMAGE_HEX + 6], importing[NAME_MAX + 1], text[32];
	int n = snprintf(text, sizeof(text), "%llu\n", (unsigned long long)size), r = 0;

	size_name(id, name);
	importing_name(name, importing);
	for (int i = 0; i < CLAIM_TRIES; i++) {
		autoclose int fd =
			openat(s->layers, importing, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
		r = fd < 0 ? -errno : job_lock(s->job, fd, LOCK_EX);
		if (r < 0)
			return r;
		r = fd_write_all(fd, text, (size_t)n);
		if (r == 0 && renameat(s->layers, importing, s->layers, name) < 0)
			r = -errno;
		if (r != -ENOENT)
			return r;
	}
	return r;
}

/* ---- changing tags ---- */

/* Unlike file_replace it must outlive the power: what it replaces is true until then. */
static int replace_list(int dirfd, const char *name, const struct strv *list)
{
	autotext struct text t = {};
	autoclose int fd = -1;
	int r;

	for (size_t i = 0; i < list->n; i++)
		text_addf(&t, "%s\n", list->p[i]);
	r = text_ok(&t);
	if (r == 0)
		r = file_replace(dirfd, name, text_str(&t), t.len, 0644);
	if (r < 0)
		return r;
	fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	return fd < 0 || fsync(fd) < 0 || fsync(dirfd) < 0 ? -errno : 0;
}

static int open_image(const struct image_store *s, const char *id)
{
	int fd = openat(s->images, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int add_new(struct strv *to, const struct strv *from)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < from->n; i++)
		if (!has(to, from->p[i]))
			r = strv_add(to, from->p[i]);
	return r;
}

/* The list without those of the other one. */
static int without(const struct strv *list, const struct strv *gone, struct strv *ret)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < list->n; i++)
		if (!has(gone, list->p[i]))
			r = strv_add(ret, list->p[i]);
	return r;
}

static int take_tags(const struct image_store *s, const struct image_record *from, const struct strv *gone)
{
	autostrv struct strv left = {};
	autoclose int dirfd = -1;
	int r = without(&from->tags, gone, &left);

	if (r < 0 || left.n == from->tags.n)
		return r;
	dirfd = open_image(s, from->id);
	return dirfd < 0 ? dirfd : replace_list(dirfd, "tags", &left);
}

static bool may_change(const struct image_store *s, const struct image_record *rec)
{
	return s->owner == 0 || s->owner == rec->uid;
}

int image_store_check_tags(const struct image_store *s, const struct image_record *rec, struct err *err)
{
	autorecords struct image_records recs = {};
	int r = image_records_read(s->images, &recs, err);

	for (size_t i = 0; r == 0 && i < recs.n; i++)
		for (size_t k = 0; r == 0 && k < rec->tags.n && strcmp(recs.p[i].id, rec->id) != 0; k++)
			if (has(&recs.p[i].tags, rec->tags.p[k]) && !may_change(s, &recs.p[i]))
				r = err_set(err, ERR_Permission, "tag %s is another user's image's", rec->tags.p[k]);
	return r;
}

int image_store_add(const struct image_store *s, const struct image_record *rec, struct err *err)
{
	autorecords struct image_records recs = {};
	autorecord struct image_record old = {};
	autoclose int dirfd = open_image(s, rec->id);
	int r = dirfd < 0 ? dirfd : image_record_load(s->images, rec->id, &old);

	if (r == 0 && old.uid != s->owner && fchown(dirfd, 0, (gid_t)-1) < 0)
		r = -errno;
	if (r == 0)
		r = add_new(&old.digests, &rec->digests);
	if (r == 0)
		r = replace_list(dirfd, "digests", &old.digests);
	if (r == 0)
		r = add_new(&old.tags, &rec->tags);
	if (r == 0)
		r = replace_list(dirfd, "tags", &old.tags);
	if (r < 0)
		return err_sys(err, -r, "image %.12s", rec->id);
	r = image_records_read(s->images, &recs, err);
	for (size_t i = 0; r == 0 && i < recs.n; i++)
		if (strcmp(recs.p[i].id, rec->id) != 0) {
			r = take_tags(s, &recs.p[i], &rec->tags);
			if (r < 0)
				err_sys(err, -r, "image %.12s", recs.p[i].id);
		}
	return r;
}

/* Out of the way at once; what is in the other's way there, is older and being removed. */
static int set_aside(int dirfd, const char *name)
{
	char aside[NAME_MAX + 1];

	for (int i = 0; i < CLAIM_TRIES; i++) {
		snprintf(aside, sizeof(aside), REMOVE_PREFIX "%.200s_%d", name, i);
		if (renameat2(dirfd, name, dirfd, aside, RENAME_NOREPLACE) == 0)
			return 0;
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

int image_store_drop(const struct image_store *s, const struct image_record *rec, const char *tag, struct err *err)
{
	autostrv struct strv gone = {};
	int r = tag ? strv_add(&gone, tag) : 0;

	if (!may_change(s, rec))
		return err_set(err, ERR_Permission, "image %.12s belongs to user %u", rec->id, (unsigned)rec->uid);
	if (r == 0 && tag && rec->tags.n > 1) {
		r = take_tags(s, rec, &gone);
	} else if (r == 0) {
		r = set_aside(s->images, rec->id);
		if (r == 0 && fsync(s->images) < 0)
			r = -errno;
	}
	return r < 0 ? err_sys(err, -r, "image %.12s", rec->id) : 0;
}

/* ---- making ---- */

int image_store_claim(const struct image_store *s, int dirfd, const char *name)
{
	char importing[NAME_MAX + 1];
	int fd;

	importing_name(name, importing);
	fd = place_claim(s->job, dirfd, importing, true);
	if (fd < 0 || faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return fd;
	/* Whoever was waited for has made it. */
	unlinkat(dirfd, importing, AT_REMOVEDIR);
	close(fd);
	return -EEXIST;
}

int image_store_failed(int r, const char *name, struct err *err)
{
	return r == -EINTR ? err_set_no(err, ERR_SocketError, EINTR, "stopped")
			   : err_sys(err, -r, "'%.64s' of the place's images", name);
}

int image_store_commit(int dirfd, const char *name)
{
	char importing[NAME_MAX + 1];

	importing_name(name, importing);
	return renameat2(dirfd, importing, dirfd, name, RENAME_NOREPLACE) < 0 ? -errno : 0;
}

void image_store_abandon(int dirfd, const char *name)
{
	char importing[NAME_MAX + 1];

	importing_name(name, importing);
	(void)tree_remove(dirfd, importing);
}

/* ---- sweeping ---- */

struct sweep {
	const struct image_store *s;
	int dirfd;
	struct strv used; /* layers, sorted */
};

/* Locked, so that nobody begins to make something there while it is moved; -1: it is being made. */
static int open_stale(int dirfd, const char *name)
{
	autoclose int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && place_is_named(dirfd, name, fd) ? TAKE_FD(fd) : -1;
}

/* First everything gets its new name, so that nothing that takes long happens under a lock. */
static int set_stale_aside(void *arg, const char *name)
{
	const struct sweep *w = arg;

	if (strncmp(name, IMPORT_PREFIX, strlen(IMPORT_PREFIX)) == 0) {
		autoclose int fd = open_stale(w->dirfd, name);
		if (fd >= 0)
			(void)set_aside(w->dirfd, name);
	}
	return 0;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int set_unused_aside(void *arg, const char *name)
{
	const struct sweep *w = arg;
	char id[IMAGE_HEX + 1];
	const char *key = id;

	snprintf(id, sizeof(id), "%.*s", IMAGE_HEX, name);
	/* HEX and HEX.size */
	if (!image_is_hex(id) || (name[IMAGE_HEX] && strcmp(name + IMAGE_HEX, ".size") != 0))
		return 0;
	if (w->used.n == 0 || !bsearch(&key, w->used.p, w->used.n, sizeof(*w->used.p), compare))
		(void)set_aside(w->dirfd, name);
	return 0;
}

static int remove_aside(void *arg, const char *name)
{
	const struct sweep *w = arg;

	if (strncmp(name, REMOVE_PREFIX, strlen(REMOVE_PREFIX)) == 0)
		(void)tree_remove(w->dirfd, name);
	return 0;
}

static int used_layers(const struct image_store *s, struct strv *ret)
{
	autorecords struct image_records recs = {};
	int r = image_records_read(s->images, &recs, NULL);

	for (size_t i = 0; r == 0 && i < recs.n; i++)
		r = add_new(ret, &recs.p[i].layers);
	if (r == 0 && ret->n > 0)
		qsort(ret->p, ret->n, sizeof(*ret->p), compare);
	return r;
}

static void collect_layers(struct sweep *w)
{
	autoclose int users = lock_file(w->s, "users", LOCK_EX | LOCK_NB, NULL);

	/* Somebody imports, and may want a layer that nobody names yet; he will sweep as well. */
	if (users >= 0 && used_layers(w->s, &w->used) == 0)
		(void)each_name(w->dirfd, set_unused_aside, w);
}

/* Where files can't be made without a name, they lose it at once. */
static int remove_nameless(void *arg, const char *name)
{
	const struct image_store *s = arg;

	if (strncmp(name, TMP_PREFIX, strlen(TMP_PREFIX)) == 0)
		unlinkat(s->place, name, 0);
	return 0;
}

void image_store_sweep(const struct image_store *s)
{
	const int dirs[] = { s->dir, s->images, s->layers };
	struct sweep w = { .s = s };

	(void)each_name(s->place, remove_nameless, (void *)(uintptr_t)s);
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		w.dirfd = dirs[i];
		(void)each_name(w.dirfd, set_stale_aside, &w);
	}
	collect_layers(&w);
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		w.dirfd = dirs[i];
		(void)each_name(w.dirfd, remove_aside, &w);
	}
	strv_done(&w.used);
}
