/*
 * store/image_source.h: where the files of an image are read from: a directory (an OCI layout, or what `skopeo copy ...
 * dir:` leaves) or a tar archive (`docker save`, or an OCI layout). Names are never paths of somebody else's choice: in
 * a directory only the few fixed names and blobs by checked digest are opened, beneath it and through no link; in an
 * archive a name is only compared.
 */
#ifndef STORE_IMAGE_SOURCE_H
#define STORE_IMAGE_SOURCE_H

#include "base/text.h"
#include "layerstore/store/image_manifest.h"
#include "layerstore/store/image_tar.h"

struct image_source {
	int dirfd;  /* -1: an archive */
	int tar_fd; /* -1: a directory */
	struct tar_index tar;
	uint64_t json_read; /* bytes of documents so far, at most IMAGE_JSON_TOTAL: one blob may be named a thousand
			       times */
	bool has_blobs;     /* blobs are at blobs/sha256/HEX, not just HEX */
};

/* A range of a file; fd is the reader's own. */
struct image_part {
	int fd;
	uint64_t offset, size;
};

/* Neither closes the descriptor, nor does image_source_done. A directory's is any that openat works on. */
int image_source_dir(struct image_source *s, int dirfd, struct err *err);
int image_source_tar(struct image_source *s, int tar_fd, struct err *err);
void image_source_done(struct image_source *s);

bool image_source_has(const struct image_source *s, const char *name);

/* Opens one of index.json, oci-layout, manifest.json, or in an archive any name. Docker: it is missing. */
int image_source_open(const struct image_source *s, const char *name, struct image_part *ret, struct err *err);
/* The same for a blob; its size is the one announced. */
int image_source_blob(const struct image_source *s, const struct image_desc *d, struct image_part *ret,
		      struct err *err);

/* Whole, at most IMAGE_JSON_MAX bytes each, and IMAGE_JSON_TOTAL in all. _json: a blob whose digest has been verified.
 * Both append to out. */
int image_source_read(struct image_source *s, const char *name, struct text *out, struct err *err);
int image_source_json(struct image_source *s, const struct image_desc *d, struct text *out, struct err *err);

#endif
