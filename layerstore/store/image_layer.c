#include "layerstore/store/image_layer.h"

#include <fcntl.h>

#include "base/fd.h"
#include "layerstore/store/source.h"
#include "layerstore/store/store.h"
#include "layerstore/store/unpack.h"

#define SPOOL_MEMORY (1ull << 30) /* of address space */

/* A damaged archive is a damaged image. */
static int failed(struct err *err, const char *what)
{
	struct err said = *err;

	return said.kind == ERR_InvalidValue ? err_set(err, ERR_Docker, "%s: %s", what, said.text)
					     : err_wrap(err, -said.no, "%s", what);
}

/* ---- a layer ---- */

static int check_sums(const struct image_layer *layer, const struct sums *sums, const char *what, struct err *err)
{
	const char *digest = layer->blob.digest;

	if (*digest && strcmp(digest + IMAGE_DIGEST_LEN - IMAGE_HEX, sums->raw) != 0)
		return err_set(err, ERR_Docker, "%s: the contents do not have this digest", what);
	if (strcmp(layer->id, sums->plain) != 0)
		return err_set(err, ERR_Docker, "%s: unpacked it is %.64s, the image's configuration says %s", what,
			       sums->plain, layer->id);
	return 0;
}

/* Of our own copy goes what was unpacked: it would be written to the disk for nothing. */
static void forget(const struct image_job *job, const struct image_part *part)
{
	if (job->spool >= 0)
		(void)fallocate(job->spool, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)part->offset,
				(off_t)part->size);
}

static int unpack_part(const struct image_job *job, const struct image_layer *layer, const struct image_part *part,
		       int dirfd, struct err *err)
{
	const char *what = *layer->blob.digest ? layer->blob.digest : layer->member;
	const struct unpack u = { .fd = part->fd,
				  .is_part = true,
				  .offset = part->offset,
				  .size = part->size,
				  .whiteouts = true,
				  .sum = true };
	struct sums sums;
	int r = unpack_into(job->job, dirfd, &u, true, err);

	if (r < 0)
		return r == -EINTR ? r : failed(err, what);
	sums = job->job->sh->sums; /* written by the child */
	r = check_sums(layer, &sums, what, err);
	if (r < 0)
		return r;
	forget(job, part);
	r = image_store_put_size(job->store, layer->id, sums.bytes);
	return r < 0 ? err_sys(err, -r, "%s", what) : 0;
}

int image_layer_fetch(const struct image_job *job, const struct image_layer *layer, int *lock, struct err *err)
{
	struct image_part part = { .fd = -1 };
	int r, fd;

	*lock = -1;
	if (image_store_has_layer(job->store, layer->id))
		return 0;
	fd = image_store_claim(job->store, job->store->layers, layer->id);
	if (fd == -EEXIST)
		return 0;
	if (fd < 0)
		return image_store_failed(fd, layer->id, err);
	r = *layer->blob.digest ? image_source_blob(job->src, &layer->blob, &part, err)
				: image_source_open(job->src, layer->member, &part, err);
	if (r == 0) {
		r = unpack_part(job, layer, &part, fd, err);
		close(part.fd);
	}
	if (r < 0) {
		image_store_abandon(job->store->layers, layer->id);
		close(fd);
		return r;
	}
	*lock = fd;
	return 0;
}

/* ---- an archive that can't be read in any order ---- */

struct spool {
	const struct cage *cage;
	int out;
};

static int spool_run(struct job *j, void *arg, struct err *err)
{
	const struct spool *s = arg;
	struct source_spec spec = { .fd = FD_IN, .count = &j->sh->bytes };
	struct source *source;
	const void *buf;
	int r = source_start(&spec, &source, err);
	ssize_t n;

	if (r == 0)
		r = cage_lock(s->cage, err);
	while (r == 0 && (n = source_next(source, &buf)) > 0)
		r = fd_write_all(s->out, buf, (size_t)n);
	if (r < 0)
		return r == -ENOSPC || r == -EDQUOT ? err_set(err, ERR_NoSpace, "no space to copy the archive") : r;
	return source_finish(source, true, err);
}

/* Its root is a directory in which there is nothing. */
static int spool_into(const struct image_job *job, int out, struct err *err)
{
	char name[32];
	struct cage cage = { .root = -1, .memory_bytes = SPOOL_MEMORY };
	struct spool s = { .cage = &cage, .out = out };
	struct err said;
	struct job_work w = { .fn = spool_run, .arg = &s, .alone = true, .keep = { out } };
	int r;

	snprintf(name, sizeof(name), "archive_%d", (int)getpid());
	cage.root = image_store_claim(job->store, job->store->dir, name);
	if (cage.root < 0)
		return image_store_failed(cage.root, name, err);
	w.cage = cage;
	r = job_run(job->job, &w, err);
	image_store_abandon(job->store->dir, name);
	close(cage.root);
	said = *err;
	if (r == -EINVAL) /* no archive at all */
		return err_set_no(err, ERR_Docker, EINVAL, "archive: %s", said.text);
	return r < 0 && r != -EINTR ? failed(err, "archive") : r;
}

int image_layer_spool(const struct image_job *job, int *ret, struct err *err)
{
	autoclose int out = place_tmpfile(0600, err);
	int r = out < 0 ? out : spool_into(job, out, err);

	if (r == 0)
		*ret = TAKE_FD(out);
	return r;
}
