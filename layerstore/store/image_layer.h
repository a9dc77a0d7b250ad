/*
 * store/image_layer.h: layers of one source into the store.
 */
#ifndef STORE_IMAGE_LAYER_H
#define STORE_IMAGE_LAYER_H

#include "layerstore/store/image_source.h"
#include "layerstore/store/image_store.h"
#include "layerstore/store/job.h"

struct image_layer {
	char id[IMAGE_HEX + 1]; /* sha256 of the uncompressed archive: what the image's configuration says */
	struct image_desc blob; /* where it is, if it is a blob (name unused), else digest is "" ... */
	const char *member;     /* ... and this is its name in the archive */
};

/* What one run of the program works with. */
struct image_job {
	struct job *job;
	const struct image_store *store;
	struct image_source *src;
	int spool; /* the source is a copy of ours; -1: it isn't */
};

/*
 * Unpacks the layer unless it is there, verified, under its temporary name. *lock is the descriptor of what was claimed
 * (to be committed or abandoned by its id) or -1: nothing to do.
 */
int image_layer_fetch(const struct image_job *job, const struct image_layer *layer, int *lock, struct err *err);

/* Descriptor 0, decompressed, as a file without a name in the place: *ret. */
int image_layer_spool(const struct image_job *job, int *ret, struct err *err);

#endif
