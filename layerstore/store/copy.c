#include <fcntl.h>
#include <sys/capability.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "layerstore/store/plant.h"
#include "layerstore/store/store.h"
#include "layerstore/store/walk.h"
#include "layerstore/store/whiteout.h"

#define COPY_BYTES (1 << 20)

struct copy {
	struct job *job;
	const struct cage *cage;
	int from;
	enum copy_how how;
	struct plant *plant;
	int source; /* the file that is being copied */
	char *buf;
};

/* ---- data ---- */

/* [at, end) as it is; both files are at that offset. */
static int copy_by_hand(struct copy *c, int to, off_t at, off_t end)
{
	while (at < end) {
		ssize_t n = pread(c->source, c->buf, (size_t)MIN(end - at, (off_t)COPY_BYTES), at);
		if (n <= 0)
			return n < 0 ? -errno : 0; /* shorter by now */
		for (ssize_t done = 0; done < n;) {
			ssize_t m = pwrite(to, c->buf + done, (size_t)(n - done), at + done);
			if (m < 0)
				return -errno;
			done += m;
		}
		at += n;
	}
	return 0;
}

static int copy_range(struct copy *c, int to, off_t at, off_t end)
{
	while (at < end) {
		off_t from = at, into = at;
		ssize_t n = copy_file_range(c->source, &from, to, &into, (size_t)MIN(end - at, (off_t)1 << 30), 0);
		if (n < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO))
			return -errno;
		if (n <= 0)
			return copy_by_hand(c, to, at, end);
		at += n;
	}
	return 0;
}

static int on_fill(void *arg, int to, const struct node *n, struct err *err UNUSED)
{
	struct copy *c = arg;
	off_t size = (off_t)n->size, data = 0;
	while (data < size) {
		data = lseek(c->source, data, SEEK_DATA);
		if (data < 0)
			break; /* ENXIO: nothing but a hole from here on */
		off_t hole = lseek(c->source, data, SEEK_HOLE);
		int r = copy_range(c, to, data, MIN(hole < 0 ? size : hole, size));
		if (r < 0)
			return r;
		data = hole < 0 ? size : hole;
	}
	atomic_fetch_add(&c->job->sh->unpacked, n->size);
	atomic_fetch_add(&c->job->sh->bytes, n->size);
	return ftruncate(to, size) < 0 ? -errno : 0;
}

/* ---- nodes ---- */

static int on_opaque(void *arg UNUSED, int dirfd)
{
	return fsetxattr(dirfd, XATTR_OPAQUE, "y", 1, 0) < 0 ? -errno : 0;
}

static bool is_whiteout(const struct node *n)
{
	return S_ISCHR(n->mode) && n->rdev == makedev(0, 0);
}

/* What is copied over another layer does what overlayfs would show: whiteouts remove, opaque directories begin anew. */
static int put_applied(struct copy *c, const struct node *n, struct err *err)
{
	struct node plain = *n;
	plain.opaque = false;
	if (is_whiteout(n))
		return plant_remove(c->plant, n->path, err);
	if (n->opaque && *n->path) {
		int r = plant_remove(c->plant, n->path, err);
		if (r < 0)
			return r;
	}
	return plant_put(c->plant, &plain, err);
}

static int on_node(void *arg, const struct node *n, const struct walk_at *at, struct err *err)
{
	struct copy *c = arg;
	c->source = at->fd;
	if (c->how == COPY_LAYER)
		return put_applied(c, n, err);
	if (c->how == COPY_MERGED || S_ISDIR(n->mode))
		return plant_put(c->plant, n, err);
	return plant_link_from(c->plant, n->path, at->dir, at->name, err);
}

static int copy_run(struct job *j, void *arg, struct err *err)
{
	struct copy *c = arg;
	struct plant_ops ops = { .set_opaque = on_opaque, .fill = on_fill, .arg = c };
	c->job = j;
	c->buf = malloc(COPY_BYTES);
	if (!c->buf || plant_new(c->cage->root, &ops, &c->plant) < 0)
		return err_set(err, ERR_ResourceNotAvailable, "no memory to copy with");
	int r = cage_lock(c->cage, err);
	if (r == 0)
		r = walk_tree(c->from, c->how == COPY_MERGED ? WALK_ALL : WALK_ARCHIVED, on_node, c, err);
	return r < 0 ? r : plant_end(c->plant, err);
}

/*
 * Nothing here reads what is hostile but names and attributes, and trusted.* is neither listed nor set without SYS_ADMIN: it stays, as
 * the calls that would make use of it are not on the list.
 */
int copy_tree(struct job *j, int from, int into, enum copy_how how, struct err *err)
{
	struct cage cage = {
		.root = into,
		.caps = CAP_BIT(CAP_CHOWN) | CAP_BIT(CAP_DAC_OVERRIDE) | CAP_BIT(CAP_FOWNER) | CAP_BIT(CAP_FSETID) |
			CAP_BIT(CAP_MKNOD) | CAP_BIT(CAP_SETFCAP) | CAP_BIT(CAP_SYS_ADMIN),
		.reads_tree = true,
	};
	struct copy c = { .cage = &cage, .from = from, .how = how };
	struct job_work w = { .cage = cage, .fn = copy_run, .arg = &c, .alone = true, .keep = { from } };
	return job_run(j, &w, err);
}

int store_copy(struct job *j, const struct options *o, struct err *err)
{
	return copy_tree(j, FD_FROM, FD_INTO, o->merged ? COPY_MERGED : COPY_LAYER, err);
}
