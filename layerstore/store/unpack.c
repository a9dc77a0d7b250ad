#include "layerstore/store/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>
#include <sys/capability.h>

#include "layerstore/store/acl.h"
#include "layerstore/store/plant.h"
#include "layerstore/store/source.h"
#include "layerstore/store/whiteout.h"

#define UNPACK_MEMORY (1ull << 30) /* of address space; zstd and xz may take 160 MB of it */

#define HOLE_BYTES (16 * 1024) /* zeros that are worth a hole, at a multiple of as much */

struct unpacker {
	struct job *job;
	const struct unpack *spec;
	struct archive *archive;
	struct archive_entry *entry;
	struct source *source;
	struct plant *plant;
	struct xattrs xattrs;
	char *path, *link, *hidden; /* of the entry, clean */
};

static ssize_t on_read(struct archive *a, void *arg, const void **ret)
{
	struct unpacker *u = arg;
	ssize_t n = source_next(u->source, ret);
	if (n < 0)
		archive_set_error(a, EIO, "no more input");
	return n;
}

/* What libarchive has to say, unless the bytes didn't even get there. */
static int archive_failed(const struct unpacker *u, struct err *err)
{
	const struct err *why = source_error(u->source);
	const char *text = archive_error_string(u->archive);
	char shown[256];
	if (why) {
		*err = *why;
		return -why->no;
	}
	if (archive_errno(u->archive) == ENOMEM)
		return err_set(err, ERR_ResourceNotAvailable, "no memory to read the archive with");
	return err_set(err, ERR_InvalidValue, "the archive can't be read: %s",
		       name_show(text ? text : "no reason given", shown, sizeof(shown)));
}

/* ---- data ---- */

static bool is_zero(const unsigned char *p, size_t len)
{
	return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

static int write_at(int fd, const unsigned char *p, size_t len, uint64_t off)
{
	while (len > 0) {
		ssize_t n = pwrite(fd, p, len, (off_t)off);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/* Writes a piece, and leaves out units of zeros (or the piece's part of one). *end: where the file ends so far. */
static int write_sparse(int fd, const unsigned char *p, size_t len, uint64_t off, uint64_t *end)
{
	size_t from = 0, at = 0; /* [from, at) is to be written */
	while (at < len) {
		size_t unit = MIN(len - at, HOLE_BYTES - (size_t)((off + at) % HOLE_BYTES));
		if (is_zero(p + at, unit)) {
			int r = write_at(fd, p + from, at - from, off + from);
			if (r < 0)
				return r;
			if (at > from)
				*end = off + at;
			from = at + unit;
		}
		at += unit;
	}
	int r = write_at(fd, p + from, at - from, off + from);
	if (r == 0 && at > from)
		*end = off + at;
	return r;
}

static int on_fill(void *arg, int fd, const struct node *n, struct err *err)
{
	struct unpacker *u = arg;
	uint64_t end = 0;
	for (;;) {
		const void *buf;
		size_t len;
		int64_t off;
		int r = archive_read_data_block(u->archive, &buf, &len, &off);
		if (r == ARCHIVE_EOF)
			break;
		if (r != ARCHIVE_OK)
			return archive_failed(u, err);
		r = write_sparse(fd, buf, len, (uint64_t)off, &end);
		if (r < 0)
			return r;
		atomic_fetch_add(&u->job->sh->unpacked, len);
	}
	if (end < n->size && ftruncate(fd, (off_t)n->size) < 0)
		return -errno;
	return 0;
}

/* ---- an entry ---- */

/* libarchive reads "-1.25" as second -1 and 0.25 behind it; it is before it. */
static struct timespec entry_mtime(struct archive_entry *e)
{
	struct timespec t = { archive_entry_mtime(e), archive_entry_mtime_nsec(e) };
	if (t.tv_sec < 0 && t.tv_nsec > 0)
		t = (struct timespec){ t.tv_sec - 1, 1000000000 - t.tv_nsec };
	return t;
}

static int no_memory(struct err *err)
{
	return err_set(err, ERR_ResourceNotAvailable, "no memory to unpack with");
}

static int set_clean(char **ret, const char *path, struct err *err)
{
	if (!path)
		return err_set(err, ERR_InvalidValue, "the archive has an entry without a name");
	free(*ret);
	*ret = strdup(path);
	return *ret ? name_clean(*ret, err) : no_memory(err);
}

static int take_xattrs(struct unpacker *u, struct node *n, struct err *err)
{
	const char *name;
	const void *value;
	size_t len;
	archive_entry_xattr_reset(u->entry);
	while (archive_entry_xattr_next(u->entry, &name, &value, &len) == ARCHIVE_OK) {
		enum xattr_fate fate = name ? xattr_judge(name, value, len, S_ISDIR(n->mode)) : XATTR_DROP;
		if (fate == XATTR_MARK)
			n->opaque = true;
		if (fate == XATTR_KEEP && xattrs_add(&u->xattrs, name, value, len) < 0)
			return no_memory(err);
	}
	return acl_to_xattrs(u->entry, &u->xattrs) < 0 ? no_memory(err) : 0;
}

static int check_type(const struct node *n, struct err *err)
{
	char shown[256];
	switch (n->mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFIFO:
	case S_IFCHR:
	case S_IFBLK:
		return 0;
	}
	return err_set(err, ERR_InvalidValue, "the archive has an entry '%s' of unknown type",
		       name_show(n->path, shown, sizeof(shown)));
}

static int put_node(struct unpacker *u, struct err *err)
{
	struct archive_entry *e = u->entry;
	const char *link = archive_entry_hardlink(e);
	struct node n = {
		.path = u->path,
		.mode = archive_entry_mode(e),
		.uid = (uid_t)archive_entry_uid(e),
		.gid = (gid_t)archive_entry_gid(e),
		.rdev = archive_entry_rdev(e),
		.size = (uint64_t)archive_entry_size(e),
		.mtime = entry_mtime(e),
		.has_mtime = archive_entry_mtime_is_set(e),
	};
	int r = 0;
	xattrs_clear(&u->xattrs);
	if (link) {
		r = set_clean(&u->link, link, err);
		n.link = u->link;
	} else {
		if (S_ISLNK(n.mode) && !(n.target = archive_entry_symlink(e)))
			n.target = "";
		r = check_type(&n, err);
		if (r == 0)
			r = take_xattrs(u, &n, err);
		n.x = u->xattrs;
	}
	return r < 0 ? r : plant_put(u->plant, &n, err);
}

static int put_entry(struct unpacker *u, struct err *err)
{
	int wh = WH_NOTHING, r = set_clean(&u->path, archive_entry_pathname(u->entry), err);
	if (r == 0 && u->spec->whiteouts) {
		free(u->hidden);
		u->hidden = malloc(strlen(u->path) + 1);
		wh = u->hidden ? wh_parse(u->path, u->hidden, err) : no_memory(err);
		r = MIN(wh, 0);
	}
	if (r < 0)
		return r;
	switch (wh) {
	case WH_HIDE:
		return plant_hide(u->plant, u->hidden, err);
	case WH_MARK:
		return plant_opaque(u->plant, u->hidden, err);
	case WH_DROP:
		return 0;
	}
	return put_node(u, err);
}

static int on_opaque(void *arg, int dirfd)
{
	struct unpacker *u = arg;
	return job_set_opaque(u->job, dirfd);
}

static int unpack_all(struct unpacker *u, struct err *err)
{
	int r = archive_read_open(u->archive, u, NULL, on_read, NULL);
	bool empty = true;
	if (r != ARCHIVE_OK)
		return archive_failed(u, err);
	for (;;) {
		r = archive_read_next_header(u->archive, &u->entry);
		if (r == ARCHIVE_EOF)
			break;
		/* a warning is about a name that isn't of this locale, and such: the bytes are all there */
		if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
			return archive_failed(u, err);
		empty = false;
		r = put_entry(u, err);
		if (r < 0)
			return r;
	}
	/* zeros are the end of a tar archive: a disk's image, or a file that was never written, begins so */
	if (empty)
		return err_set(err, ERR_InvalidValue, "this is no archive: there is nothing in it");
	r = plant_end(u->plant, err);
	return r < 0 ? r : source_finish(u->source, u->spec->filtered || u->spec->sum, err);
}

static int run(struct job *j, void *arg, struct err *err)
{
	const struct unpack *spec = arg;
	struct unpacker u = { .job = j, .spec = spec, .archive = archive_read_new() };
	struct source_spec source = { .fd = spec->fd,
				      .ring = j->ring,
				      .is_part = spec->is_part,
				      .offset = spec->offset,
				      .size = spec->size,
				      .format_known = spec->format_known,
				      .codec = spec->codec,
				      .count = &j->sh->bytes,
				      .sums = spec->sum ? &j->sh->sums : NULL };
	struct plant_ops ops = { .set_opaque = on_opaque, .fill = on_fill, .arg = &u };
	setlocale(LC_CTYPE, "C.UTF-8"); /* names in pax headers are UTF-8 */
	if (!u.archive || archive_read_support_format_tar(u.archive) != ARCHIVE_OK)
		return no_memory(err);
	int r = source_start(&source, &u.source, err);
	if (r == 0)
		r = cage_lock(spec->cage, err);
	if (r == 0 && plant_new(spec->cage->root, &ops, &u.plant) < 0)
		r = no_memory(err);
	return r < 0 ? r : unpack_all(&u, err);
	/* what was allocated goes with the process */
}

/*
 * The cage: owner, mode and time of anybody's file (CHOWN, FOWNER, FSETID), in any directory (DAC_OVERRIDE), devices
 * (MKNOD), file capabilities (SETFCAP). Not SYS_ADMIN: the one attribute that needs it is set by the job, job.h.
 */
int unpack_into(struct job *j, int dirfd, const struct unpack *u, bool alone, struct err *err)
{
	struct cage cage = {
		.root = dirfd,
		.caps = CAP_BIT(CAP_CHOWN) | CAP_BIT(CAP_DAC_OVERRIDE) | CAP_BIT(CAP_FOWNER) | CAP_BIT(CAP_FSETID) |
			CAP_BIT(CAP_MKNOD) | CAP_BIT(CAP_SETFCAP),
		.memory_bytes = UNPACK_MEMORY,
	};
	struct unpack spec = *u;
	struct job_work w = { .cage = cage, .fn = run, .arg = &spec, .alone = alone, .keep = { u->fd } };
	spec.cage = &cage;
	return job_run(j, &w, err);
}
