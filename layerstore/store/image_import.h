/*
 * store/image_import.h: images from a `docker save` archive, an OCI layout (directory or tar, also compressed), or a
 * directory of `skopeo copy ... dir:` into the store.
 */
#ifndef STORE_IMAGE_IMPORT_H
#define STORE_IMAGE_IMPORT_H

#include "layerstore/store/image_layer.h"

struct image_wish {
	const char *name;   /* tag to give, and which image if the archive has several; NULL: all, by their own names */
	const char *digest; /* one more it is known by (of the index it was in), or NULL */
	const char *arch;   /* amd64 ...; NULL: what this machine is */
	struct image_defaults defaults;
};

/* amd64 for x86_64 and so on; unknown machines stay what they are called. Static memory. */
const char *image_host_arch(void);
/* The registries' name of an architecture: aarch64 is arm64, x86_64 amd64. */
const char *image_arch_name(const char *arch);

/*
 * From a directory (dirfd >= 0), else from the archive on descriptor 0, which may be a pipe. out gets `id = `, `digest
 * = ` and `tag = ` lines, a group an image. Of several images those before the one that failed are there.
 */
int image_import(struct image_job *job, int dirfd, const struct image_wish *wish, struct text *out, struct err *err);

#endif
