/*
 * layerstore/image_record.h: what is known of an image: a directory of small files, PLACE/porto_docker/v1/images/HEX
 * (store/image_store.h), which porto-store writes and the daemon reads as well. A record owns its memory.
 */
#ifndef LAYERSTORE_IMAGE_RECORD_H
#define LAYERSTORE_IMAGE_RECORD_H

#include <time.h>

#include "base/text.h"
#include "layerstore/image_ref.h"

/* Below PLACE/porto_docker. */
#define IMAGES_DIR       "v1/images"
#define IMAGE_LAYERS_DIR "v1/layers"

struct image_record {
	char id[IMAGE_HEX + 1];
	struct strv tags, digests, layers, command, env;
	char *workdir, *user, *created, *arch; /* never NULL in one that was loaded */
	uint64_t size;                         /* bytes of its layers' archives */
	struct timespec tagged;                /* when tags was written */
	uid_t uid;                             /* who may remove it and take its tags: its directory's owner */
};

struct image_records {
	struct image_record *p; /* by id */
	size_t n;
};

int image_record_load(int images_fd, const char *id, struct image_record *ret); /* -ENOENT */
/* All that are whole. */
int image_records_read(int images_fd, struct image_records *ret, struct err *err);

/*
 * By tag, or by a digest or its beginning that is unique. Of several with that tag it is the one tagged last. *ret
 * stays in recs. DockerImageNotFound; Docker when several fit.
 */
int image_records_find(const struct image_records *recs, const char *name, const struct image_defaults *def,
		       struct image_record **ret, struct err *err);

/* Writes the record's files into the directory, which is not yet an image. config is kept beside them. */
int image_record_write(int dirfd, const struct image_record *rec, const struct text *config);

/* `name = value` lines, lists a line each. */
void image_record_format(const struct image_record *rec, struct text *out);
/* One of its files, a value a line: id, tags, digests, layers, size, command, env, workdir, user, created, arch. */
void image_record_file(const struct image_record *rec, const char *name, struct text *out);

void image_record_done(struct image_record *rec);
void image_records_done(struct image_records *recs);
#define autorecord  __attribute__((cleanup(image_record_done)))
#define autorecords __attribute__((cleanup(image_records_done)))

#endif
