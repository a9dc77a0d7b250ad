#include "layerstore/store/pack.h"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>
#include <sys/sysmacros.h>

#include "base/text.h"
#include "layerstore/store/acl.h"
#include "layerstore/store/sink.h"
#include "layerstore/store/walk.h"
#include "layerstore/store/whiteout.h"

#define READ_BYTES (256 * 1024)

struct packer {
	struct job *job;
	const struct pack *spec;
	struct archive *archive;
	struct archive_entry *entry;
	struct sink *sink;
	struct text name;
	char *buf;
};

static ssize_t on_write(struct archive *a, void *arg, const void *buf, size_t len)
{
	struct packer *p = arg;
	if (sink_put(p->sink, buf, len) == 0)
		return (ssize_t)len;
	archive_set_error(a, EPIPE, "the output has failed");
	return -1;
}

static int no_memory(struct err *err)
{
	return err_set(err, ERR_ResourceNotAvailable, "no memory to pack with");
}

/* The output's own failure is told by sink_finish. */
static int archive_failed(const struct packer *p, const char *path, struct err *err)
{
	char shown[256];
	if (archive_errno(p->archive) == EPIPE)
		return -EPIPE;
	return err_set(err, ERR_Unknown, "'%s' can't be archived: %s", name_show(path, shown, sizeof(shown)),
		       archive_error_string(p->archive));
}

/* ---- data ---- */

/* Where the holes are, if there are any. */
static void take_holes(struct packer *p, const struct node *n, int fd)
{
	struct stat st;
	off_t size = (off_t)n->size, at = 0;
	if (fstat(fd, &st) < 0 || (uint64_t)st.st_blocks * 512 >= n->size)
		return;
	while (at < size) {
		off_t data = lseek(fd, at, SEEK_DATA);
		off_t hole = data < 0 ? size : lseek(fd, data, SEEK_HOLE);
		if (data < 0 || data >= size)
			break;
		at = hole < 0 || hole > size ? size : hole;
		archive_entry_sparse_add_entry(p->entry, data, at - data);
	}
	if (at == 0) /* nothing but a hole */
		archive_entry_sparse_add_entry(p->entry, 0, 0);
}

/* Bytes [at, at + len) of the file; what has vanished from its end meanwhile is zeros, as its size is in the archive
 * already. */
static int put_range(struct packer *p, int fd, off_t at, off_t len, const char *path, struct err *err)
{
	while (len > 0) {
		size_t want = (size_t)MIN(len, (off_t)READ_BYTES);
		ssize_t n = pread(fd, p->buf, want, at);
		if (n < 0)
			return err_sys(err, errno, "a file of the tree can't be read");
		if (n == 0) {
			memset(p->buf, 0, want);
			n = (ssize_t)want;
		}
		if (archive_write_data(p->archive, p->buf, (size_t)n) != n)
			return archive_failed(p, path, err);
		at += n;
		len -= n;
	}
	return 0;
}

/* libarchive takes the whole file and leaves the holes out itself: so they need not be read, only counted. */
static int put_data(struct packer *p, const struct node *n, int fd, struct err *err)
{
	int64_t off, len, done = 0;
	int r = 0;
	if (archive_entry_sparse_count(p->entry) == 0)
		return put_range(p, fd, 0, (off_t)n->size, n->path, err);
	archive_entry_sparse_reset(p->entry);
	while (r == 0 && archive_entry_sparse_next(p->entry, &off, &len) == ARCHIVE_OK) {
		r = put_range(p, fd, done, off - done + len, n->path, err);
		done = off + len;
	}
	return r < 0 ? r : put_range(p, fd, done, (off_t)n->size - done, n->path, err);
}

/* ---- entries ---- */

/* libarchive writes second and fraction one behind the other: before 1970 the fraction counts the other way. */
static void set_mtime(struct archive_entry *e, struct timespec t)
{
	if (t.tv_sec < -1 && t.tv_nsec > 0)
		t = (struct timespec){ t.tv_sec + 1, 1000000000 - t.tv_nsec };
	archive_entry_set_mtime(e, t.tv_sec, t.tv_nsec);
}

static int fill_entry(struct packer *p, const struct node *n)
{
	struct archive_entry *e = p->entry;
	archive_entry_clear(e);
	text_clear(&p->name);
	text_add(&p->name, "./");
	text_add(&p->name, n->path);
	if (S_ISDIR(n->mode) && *n->path)
		text_addc(&p->name, '/');
	archive_entry_copy_pathname(e, text_str(&p->name));
	archive_entry_set_mode(e, n->mode);
	archive_entry_set_uid(e, n->uid);
	archive_entry_set_gid(e, n->gid);
	archive_entry_set_size(e, S_ISREG(n->mode) && !n->link ? (int64_t)n->size : 0);
	set_mtime(e, n->mtime);
	if (S_ISCHR(n->mode) || S_ISBLK(n->mode))
		archive_entry_set_rdev(e, n->rdev);
	if (n->target)
		archive_entry_copy_symlink(e, n->target);
	if (n->link) {
		text_clear(&p->name);
		text_add(&p->name, "./");
		text_add(&p->name, n->link);
		archive_entry_copy_hardlink(e, text_str(&p->name));
	}
	for (size_t i = 0; i < n->x.n; i++)
		if (!acl_from_xattr(&n->x.v[i], e))
			archive_entry_xattr_add_entry(e, n->x.v[i].name, n->x.v[i].value, n->x.v[i].len);
	if (n->opaque && !p->spec->oci)
		archive_entry_xattr_add_entry(e, XATTR_OPAQUE, "y", 1);
	return text_ok(&p->name);
}

static int put_header(struct packer *p, const struct node *n, struct err *err)
{
	int r = archive_write_header(p->archive, p->entry);
	return r == ARCHIVE_OK || r == ARCHIVE_WARN ? 0 : archive_failed(p, n->path, err);
}

/* An empty file whose name says what is hidden. */
static int put_whiteout(struct packer *p, const struct node *n, const char *dir, size_t dir_len, const char *name,
			struct err *err)
{
	autotext struct text path = {};
	text_addn(&path, dir, dir_len);
	if (dir_len > 0 && dir[dir_len - 1] != '/')
		text_addc(&path, '/');
	text_add(&path, WH_PREFIX);
	text_add(&path, name);
	struct node file = { .path = text_str(&path), .mode = S_IFREG | 0600, .mtime = n->mtime, .has_mtime = true };
	if (text_ok(&path) < 0 || fill_entry(p, &file) < 0)
		return no_memory(err);
	return put_header(p, &file, err);
}

static int put_node(struct packer *p, const struct node *n, int fd, struct err *err)
{
	if (fill_entry(p, n) < 0)
		return no_memory(err);
	bool has_data = S_ISREG(n->mode) && !n->link && n->size > 0;
	if (has_data)
		take_holes(p, n, fd);
	int r = put_header(p, n, err);
	if (r == 0 && has_data)
		r = put_data(p, n, fd, err);
	atomic_fetch_add(&p->job->sh->unpacked, has_data ? n->size : 0);
	return r;
}

static int on_node(void *arg, const struct node *n, const struct walk_at *at, struct err *err)
{
	struct packer *p = arg;
	if (p->spec->oci && S_ISCHR(n->mode) && n->rdev == makedev(0, 0))
		return put_whiteout(p, n, n->path, strlen(n->path) - strlen(at->name), at->name, err);
	int r = put_node(p, n, at->fd, err);
	if (r == 0 && n->opaque && p->spec->oci)
		r = put_whiteout(p, n, n->path, strlen(n->path), &WH_OPAQUE[strlen(WH_PREFIX)], err);
	return r;
}

static bool set_up(struct packer *p)
{
	p->archive = archive_write_new();
	p->entry = archive_entry_new();
	p->buf = malloc(READ_BYTES);
	return p->archive && p->entry && p->buf && archive_write_set_format_pax(p->archive) == ARCHIVE_OK &&
	       archive_write_set_options(p->archive, "pax:xattrheader=SCHILY") == ARCHIVE_OK &&
	       archive_write_set_bytes_per_block(p->archive, 0) == ARCHIVE_OK;
}

int pack_run(struct job *j, void *arg, struct err *err)
{
	const struct pack *spec = arg;
	struct packer p = { .job = j, .spec = spec };
	struct sink_spec sink = { .fd = spec->fd,
				  .ring = spec->filtered ? NULL : j->ring,
				  .codec = spec->codec,
				  .count = &j->sh->bytes,
				  .md5 = spec->sum ? j->sh->md5 : NULL };
	struct err late = {};
	setlocale(LC_CTYPE, "C.UTF-8");
	if (!set_up(&p))
		return no_memory(err);
	int r = cage_lock(spec->cage, err);
	if (r == 0)
		r = sink_start(&sink, &p.sink, err);
	if (r < 0)
		return r;
	if (archive_write_open(p.archive, &p, NULL, on_write, NULL) != ARCHIVE_OK)
		return no_memory(err);
	r = walk_tree(spec->cage->root, WALK_ARCHIVED, on_node, &p, err);
	if (r == 0 && archive_write_close(p.archive) != ARCHIVE_OK)
		r = archive_failed(&p, ".", err);
	int w = sink_finish(p.sink, &late);
	if (w < 0)
		*err = late;
	return w < 0 ? w : r;
}
