#include "engine/output.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "base/mounts.h"
#include "base/path.h"
#include "base/units.h"
#include "engine/cred.h"
#include "engine/save.h"
#include "engine/taken.h"

#define READ_MAX (UINT64_C(16) << 20) /* spec/PROPERTIES.md 4.3 */
#define BLOCK UINT64_C(4096)
#define DIR_NAME_MAX 300
#define REMOVED ".removed-" /* no container's name begins with a dot */

static const char *const stream_names[3] = { "stdin", "stdout", "stderr" };

static void dir_of(const char *ct_name, char name[DIR_NAME_MAX])
{
	snprintf(name, DIR_NAME_MAX, "%s", ct_name);
	for (; *name != '\0'; name++)
		if (*name == '/')
			*name = '%';
}

static void dir_name(const struct ct *ct, char name[DIR_NAME_MAX])
{
	dir_of(ct->name, name);
}

void work_path(const struct ct *ct, struct text *out)
{
	char name[DIR_NAME_MAX];

	dir_name(ct, name);
	text_addf(out, "%s/%s", ct->e->conf->container_work_dir, name);
}

/* The directory of all work directories, made with its parents when the first container starts. */
static int work_root(struct engine *e, struct err *err)
{
	autofree char *path = strdup(e->conf->container_work_dir);

	if (e->work_fd >= 0)
		return 0;
	if (path == NULL)
		return err_sys(err, ENOMEM, "work directory");
	for (char *p = path + 1; *p != '\0'; p++)
		if (*p == '/') {
			*p = '\0';
			(void)mkdir(path, 0755);
			*p = '/';
		}
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return err_sys(err, errno, "work directory %s", path);
	e->work_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return e->work_fd < 0 ? err_sys(err, errno, "work directory %s", path) : 0;
}

struct removal {
	int dirfd; /* borrowed, lives as long as the engine */
	char name[DIR_NAME_MAX + 32];
};

static void remove_work(void *arg)
{
	const struct removal *r = arg;

	(void)tree_remove(r->dirfd, r->name);
}

/* A whole tree may take long to remove: it gets another name at once, if it hasn't one, and goes in the background. */
static void remove_slowly(struct engine *e, const char *name)
{
	struct removal *r = calloc(1, sizeof(*r));
	bool is_renamed = strncmp(name, REMOVED, strlen(REMOVED)) == 0;

	if (r == NULL)
		return;
	r->dirfd = e->work_fd;
	if (is_renamed)
		snprintf(r->name, sizeof(r->name), "%s", name);
	else
		snprintf(r->name, sizeof(r->name), REMOVED "%llu", (unsigned long long)clock_mono());
	if ((!is_renamed && renameat(r->dirfd, name, r->dirfd, r->name) < 0) || loop_work(e->loop, remove_work, free, r) < 0)
		free(r);
}

int work_create(struct ct *ct, struct err *err)
{
	char name[DIR_NAME_MAX];
	int r = work_root(ct->e, err);

	if (r < 0)
		return r;
	dir_name(ct, name);
	if (mkdirat(ct->e->work_fd, name, 0775) < 0) {
		if (errno != EEXIST)
			return err_sys(err, errno, "work directory %s/%s", ct->e->conf->container_work_dir, name);
		remove_slowly(ct->e, name);
		if (mkdirat(ct->e->work_fd, name, 0775) < 0)
			return err_sys(err, errno, "work directory %s/%s", ct->e->conf->container_work_dir, name);
	}
	ct->has_work = true;
	if (ct->task_uid != 0 || ct->task_gid != 0)
		if (fchownat(ct->e->work_fd, name, ct->task_uid, ct->task_gid, AT_SYMLINK_NOFOLLOW) < 0)
			return err_sys(err, errno, "work directory %s/%s", ct->e->conf->container_work_dir, name);
	return 0;
}

void work_remove(struct ct *ct)
{
	char name[DIR_NAME_MAX], file[DIR_NAME_MAX + 16];
	const struct ct *heir;

	if (!ct->has_work)
		return;
	ct->has_work = false;
	/* the name was free at once: a successor that has started moved ours away and this is its own */
	heir = ct_find_name(ct->e, ct->name);
	if (work_root(ct->e, NULL) < 0 || (heir != NULL && heir != ct && heir->has_work))
		return;
	dir_name(ct, name);
	for (int i = 1; i < 3; i++) {
		snprintf(file, sizeof(file), "%s/%s", name, stream_names[i]);
		if (ct->streams[i].internal)
			(void)unlinkat(ct->e->work_fd, file, 0);
		ct->streams[i].internal = false;
		ct->streams[i].offset = 0;
	}
	if (unlinkat(ct->e->work_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		remove_slowly(ct->e, name);
}

void work_remove_name(struct engine *e, const char *name)
{
	char dir[DIR_NAME_MAX];

	dir_of(name, dir);
	if (work_root(e, NULL) == 0)
		remove_slowly(e, dir);
}

void work_sweep(struct engine *e)
{
	DIR *d = opendir(e->conf->container_work_dir);

	if (d == NULL)
		return;
	if (work_root(e, NULL) == 0)
		for (const struct dirent *de; (de = readdir(d)) != NULL;)
			if (strncmp(de->d_name, REMOVED, strlen(REMOVED)) == 0)
				remove_slowly(e, de->d_name);
	closedir(d);
	/* made for a start of which no record tells */
	for (struct ct *ct = ct_next(e->root, NULL); ct != NULL; ct = ct_next(e->root, ct))
		if (!ct->has_work)
			work_remove_name(e, ct->name);
}

void output_close_taken(struct ct *ct)
{
	for (size_t i = 0; i < ARRAY_LEN(ct->streams); i++)
		taken_close(ct->e, TAKE_FD(ct->streams[i].fd));
}

/* Below the work directory, which belongs to the task's user, nothing is followed. */
static int open_beneath(struct ct *ct, int n, int flags)
{
	struct open_how how = { .flags = (uint64_t)flags | O_CLOEXEC | O_NOFOLLOW,
				.mode = flags & O_CREAT ? 0660 : 0,
				.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH };
	char file[DIR_NAME_MAX + 16];
	size_t len;
	int fd;

	if (work_root(ct->e, NULL) < 0)
		return -ENOENT;
	dir_name(ct, file);
	len = strlen(file);
	snprintf(file + len, sizeof(file) - len, "/%s", stream_names[n]);
	fd = (int)syscall(SYS_openat2, ct->e->work_fd, file, &how, sizeof(how));
	return fd < 0 ? -errno : fd;
}

/* The task's user can put anything there, a hard link to somebody else's file too. */
static bool is_our_file(const struct ct *ct, const struct stat *st)
{
	return S_ISREG(st->st_mode) && st->st_nlink == 1 && st->st_uid == ct->task_uid;
}

/* A new file; or, when a respawn goes on, that of the life before. */
static int open_output(struct ct *ct, int n, bool goes_on)
{
	/* whoever has a lease on the file, or has put a pipe in its place, would make us wait */
	int flags = O_RDWR | O_APPEND | O_NONBLOCK;
	autoclose int fd = goes_on ? open_beneath(ct, n, flags) : -ENOENT;
	struct stat st;

	if (fd == -ENOENT) {
		fd = open_beneath(ct, n, flags | O_CREAT | O_EXCL);
		if (fd >= 0 && (ct->task_uid != 0 || ct->task_gid != 0) && fchown(fd, ct->task_uid, ct->task_gid) < 0)
			return -errno;
	}
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	return is_our_file(ct, &st) ? TAKE_FD(fd) : -EPERM;
}

int output_open(struct ct *ct, int n, struct err *err)
{
	bool goes_on = ct->streams[n].internal; /* a respawn appends */
	autoclose int fd = open_output(ct, n, goes_on);

	if (fd == -EWOULDBLOCK)
		return err_sys(err, EWOULDBLOCK, "%s file of %s: somebody has a lease on it", stream_names[n], ct->name);
	if (fd == -EPERM)
		return err_set(err, ERR_Permission, "%s file of %s: something else was put in its place, or it has another name too",
			       stream_names[n], ct->name);
	if (fd < 0)
		return err_sys(err, -fd, "%s file of %s", stream_names[n], ct->name);
	if (fcntl(fd, F_SETFL, O_APPEND) < 0) /* the command waits as usual */
		return err_sys(err, errno, "%s file of %s", stream_names[n], ct->name);
	ct->streams[n].internal = true;
	if (!goes_on)
		ct->streams[n].offset = 0;
	return TAKE_FD(fd);
}

static int open_internal(struct ct *ct, int n, struct stat *st)
{
	autoclose int fd = open_beneath(ct, n, O_RDWR | O_NONBLOCK);

	if (fd < 0)
		return fd;
	if (fstat(fd, st) < 0 || !is_our_file(ct, st))
		return -ENOENT;
	return TAKE_FD(fd);
}

/*
 * The older half goes, at a line's end if there is one near, and in whole blocks: positions of readers and of O_APPEND
 * writers stay what they are, because the file keeps its length and only its head becomes a hole.
 */
static uint64_t trim_stream(struct ct *ct, int n)
{
	struct stream *s = &ct->streams[n];
	uint64_t limit = ct->val[PROP_stdout_limit].u;
	autoclose int fd = -1;
	struct stat st;
	uint64_t cut;
	char buf[BLOCK];
	ssize_t got;

	if (!s->internal)
		return 0;
	fd = open_internal(ct, n, &st);
	if (fd < 0 || (uint64_t)st.st_size < s->offset)
		return 0;
	if ((uint64_t)st.st_size - s->offset <= limit)
		return (uint64_t)st.st_size - s->offset;
	cut = (uint64_t)st.st_size - limit / 2;
	got = pread(fd, buf, sizeof(buf), (off_t)cut);
	if (got > 0) {
		const char *nl = memchr(buf, '\n', (size_t)got);

		cut += nl != NULL ? (uint64_t)(nl - buf) + 1 : 0;
	}
	s->offset = cut;
	(void)save_ct(ct, 0, 0, NULL); /* before the bytes go: the next worker would show zeros for them */
	if (cut >= BLOCK &&
	    fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)(cut & ~(BLOCK - 1))) < 0 &&
	    errno == EOPNOTSUPP) {
		s->offset = ftruncate(fd, 0) == 0 ? 0 : s->offset;
		(void)save_ct(ct, 0, 0, NULL);
		return 0;
	}
	return (uint64_t)st.st_size - cut;
}

uint64_t output_trim(struct ct *ct)
{
	uint64_t out = trim_stream(ct, 1), errs = trim_stream(ct, 2);

	return MAX(out, errs);
}

uint64_t output_start(const struct ct *ct, int n)
{
	return ct->streams[n].internal ? ct->streams[n].offset : 0;
}

uint64_t output_size(struct ct *ct, int n)
{
	autoclose int fd = -1;
	struct stat st;

	if (!ct->streams[n].internal)
		return 0;
	fd = open_internal(ct, n, &st);
	if (fd < 0 || (uint64_t)st.st_size < ct->streams[n].offset)
		return 0;
	return (uint64_t)st.st_size - ct->streams[n].offset;
}

/*
 * A file that the user named: opened without following links, and only if it is the task user's own regular file. The loop looks
 * the path up, so no file system on the way may be one that could let it wait, our own mount first of all.
 */
static int open_named(struct ct *ct, int n, struct stat *st, struct err *err)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, .resolve = RESOLVE_NO_SYMLINKS };
	const char *path = ct_stream_path(ct, n);
	autofree char *plain = path != NULL ? path_normalise(path) : NULL;
	char type[MOUNT_TYPE_MAX];
	autoclose int fd = -1;

	if (path == NULL || path[0] == '\0' || strncmp(path, "/dev/", 5) == 0 || ct_in_root(ct))
		return err_set(err, ERR_InvalidData, "%s goes to %s, which cannot be read here", stream_names[n],
			       path != NULL && path[0] != '\0' ? path : "nowhere");
	if (plain == NULL)
		return err_sys(err, ENOMEM, "%s", stream_names[n]);
	if (mounts_path_answers(plain, type) < 0)
		return err_set(err, ERR_InvalidData, "%s goes to %s, on a file system of type %s, which is not read here",
			       stream_names[n], path, type);
	fd = (int)syscall(SYS_openat2, AT_FDCWD, plain, &how, sizeof(how));
	if (fd < 0 && errno == ELOOP)
		return err_set(err, ERR_Permission, "%s: %s is a symbolic link", stream_names[n], path);
	if (fd < 0 || fstat(fd, st) < 0 || !S_ISREG(st->st_mode))
		return err_set(err, ERR_InvalidData, "%s: %s is not a readable file", stream_names[n], path);
	if (ct->task_uid != 0 && st->st_uid != ct->task_uid)
		return err_set(err, ERR_Permission, "%s: %s is not the container user's file", stream_names[n], path);
	return TAKE_FD(fd);
}

/* The stream's file, its whole length and the bytes that are gone from its head. */
static int open_stream(struct ct *ct, int n, uint64_t *end, uint64_t *start, struct err *err)
{
	struct stat st;
	int fd;

	if (ct->state == CT_STOPPED || ct->state == CT_STARTING)
		return err_set_no(err, ERR_InvalidState, ENODATA, "%s: not available in state %s", stream_names[n],
				  ct_state_names[ct->state]);
	if (ct->streams[n].internal) {
		fd = open_internal(ct, n, &st);
		if (fd < 0)
			return err_set(err, ERR_InvalidData, "%s: the file has been removed or replaced", stream_names[n]);
		*start = ct->streams[n].offset;
	} else {
		fd = open_named(ct, n, &st, err);
		if (fd < 0)
			return fd;
		*start = 0;
	}
	*end = MAX((uint64_t)st.st_size, *start);
	return fd;
}

int output_check_reader(struct ct *ct, int n, const struct engine_cred *who, struct err *err)
{
	struct engine_cred as;
	struct ct *home;

	if (ct->streams[n].internal || ct_is_root(ct))
		return 0;
	cred_effective(ct->e, who, &as, &home);
	return cred_check_user(ct, &as, err);
}

ssize_t output_pread(struct ct *ct, int n, char *buf, size_t size, uint64_t off, struct err *err)
{
	uint64_t end, start;
	autoclose int fd = open_stream(ct, n, &end, &start, err);
	ssize_t got;

	if (fd < 0)
		return fd;
	if (off >= end)
		return 0;
	got = pread(fd, buf, size, (off_t)off);
	return got < 0 ? -errno : got;
}

/* "O", "O:", "O:N", ":N" */
static int parse_range(const char *key, bool *has_off, uint64_t *off, bool *has_len, uint64_t *len)
{
	autofree char *copy = strdup(key);
	char *colon;

	if (copy == NULL)
		return -ENOMEM;
	colon = strchr(copy, ':');
	if (colon != NULL)
		*colon++ = '\0';
	*has_off = copy[0] != '\0';
	*has_len = colon != NULL && colon[0] != '\0';
	if (*has_off && unit_uint_parse(copy, off) < 0)
		return -EINVAL;
	if (*has_len && unit_uint_parse(colon, len) < 0)
		return -EINVAL;
	return *has_off || *has_len ? 0 : -EINVAL;
}

int output_range(struct ct *ct, int n, const char *key, struct text *out, struct err *err)
{
	uint64_t end = 0, start = 0, off = 0, len = 0, max = MIN(ct->val[PROP_stdout_limit].u, READ_MAX);
	bool has_off = false, has_len = false;
	autoclose int fd = open_stream(ct, n, &end, &start, err);

	if (fd < 0)
		return fd;
	if (key != NULL && parse_range(key, &has_off, &off, &has_len, &len) < 0)
		return err_set(err, ERR_InvalidValue, "%s[%.50s]: expected [OFFSET:LENGTH]", stream_names[n], key);
	if (has_off && off < start)
		return err_set(err, ERR_InvalidData, "%s: offset %llu is gone, %llu is the first", stream_names[n],
			       (unsigned long long)off, (unsigned long long)start);
	if (!has_len)
		len = max;
	len = MIN(len, max);
	if (!has_off)
		off = end - start > len ? end - len : start;
	while (len > 0 && off < end) {
		char buf[65536];
		ssize_t got = pread(fd, buf, MIN(len, sizeof(buf)), (off_t)off);

		if (got <= 0)
			break;
		text_addn(out, buf, (size_t)got);
		off += (uint64_t)got;
		len -= (uint64_t)got;
	}
	return text_ok(out);
}
