/*
 * store/image_manifest.h: the JSON of images: what `docker save` writes, and the index, manifest and configuration of
 * OCI and docker registries. Pure, and made for hostile text: bounded in size, number and depth, duplicate keys and
 * NULs refused, every digest checked. What comes out owns its memory; the _done functions take what is half filled.
 * Errors: Docker with a sentence (-EIO), NotSupported for what is well-formed but not for us.
 */
#ifndef STORE_IMAGE_MANIFEST_H
#define STORE_IMAGE_MANIFEST_H

#include "layerstore/image_ref.h"

#define IMAGE_JSON_MAX   (4U << 20)  /* bytes of one document */
#define IMAGE_JSON_TOTAL (64U << 20) /* of all documents of one archive */
#define IMAGE_LAYERS_MAX 499         /* what one overlayfs takes */
#define IMAGE_INDEX_MAX  1024        /* entries of one index, images of one archive */
#define IMAGE_DEPTH_MAX  4           /* indexes within indexes */

enum image_media { IMAGE_OTHER, IMAGE_INDEX, IMAGE_MANIFEST, IMAGE_CONFIG, IMAGE_LAYER };

/* One blob somebody speaks of. */
struct image_desc {
	enum image_media media;
	char digest[IMAGE_DIGEST_LEN + 1];
	uint64_t size;
	char os[32], arch[32]; /* "" when not said */
	char *name;            /* the reference its annotations give it, or NULL */
};

struct image_descs {
	struct image_desc *p;
	size_t n;
};

struct image_manifest {
	struct image_desc config;
	struct image_descs layers; /* bottom first */
};

struct image_config {
	char os[32], arch[32];
	char *created, *user, *workdir; /* never NULL after a parse */
	struct strv entrypoint, cmd, env;
	struct strv diff_ids; /* hexadecimal digits, bottom first */
};

/* An image of a `docker save` archive: its files by their names there. */
struct image_saved {
	char *config;
	struct strv tags, layers; /* layers: bottom first */
};

struct image_archive {
	struct image_saved *p;
	size_t n;
};

/* Which of the two a document is; IMAGE_OTHER if neither. Says nothing about the rest of it. */
enum image_media image_media_sniff(const char *json, size_t len);

int image_index_parse(const char *json, size_t len, struct image_descs *ret, struct err *err);
int image_manifest_parse(const char *json, size_t len, struct image_manifest *ret, struct err *err);
int image_config_parse(const char *json, size_t len, struct image_config *ret, struct err *err);
int image_archive_parse(const char *json, size_t len, struct image_archive *ret, struct err *err);
/* oci-layout: a version that is known. */
int image_layout_check(const char *json, size_t len, struct err *err);

/* Is the entry for this architecture (amd64, arm64) of Linux, or does it not say? */
bool image_desc_fits(const struct image_desc *d, const char *arch);

void image_descs_done(struct image_descs *d);
void image_manifest_done(struct image_manifest *m);
void image_config_done(struct image_config *c);
void image_archive_done(struct image_archive *a);
#define autodescs    __attribute__((cleanup(image_descs_done)))
#define automanifest __attribute__((cleanup(image_manifest_done)))
#define autoconfig   __attribute__((cleanup(image_config_done)))
#define autoarchive  __attribute__((cleanup(image_archive_done)))

#endif
