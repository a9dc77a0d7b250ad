/*
 * layerstore/image_ref.h: names of images as people write them: [registry/][repository/]name[:tag][@digest], or the
 * beginning of a digest. Pure. What is parsed is canonical: registry, repository and tag are always there unless a
 * digest stands for the tag, and no part holds anything that a file, a URL or an argument of a program could be led
 * astray with.
 */
#ifndef LAYERSTORE_IMAGE_REF_H
#define LAYERSTORE_IMAGE_REF_H

#include "base/defs.h"
#include "base/err.h"
#include "base/text.h"

#define IMAGE_HEX        64              /* digits of a sha256 */
#define IMAGE_DIGEST_LEN (IMAGE_HEX + 7) /* "sha256:" before them */
#define IMAGE_REF_MAX    255             /* bytes of registry and repository together */

#define IMAGE_DEFAULT_REGISTRY "mirror.gcr.io"
#define IMAGE_DOCKER_REGISTRY  "docker.io"

struct image_defaults {
	const char *registry; /* where a name without one is from */
	const char *mirror;   /* stands for docker.io; NULL: docker.io is docker.io */
};

struct image_ref {
	char registry[IMAGE_REF_MAX + 1];
	char repository[IMAGE_REF_MAX + 1]; /* with the name: library/busybox */
	char tag[129];                      /* "" only with a digest */
	char digest[IMAGE_DIGEST_LEN + 1];  /* "sha256:..." or "" */
};

/*
 * InvalidValue for what is no reference, NotSupported for a digest other than sha256. The repository `library` is put
 * before a single name only where it means something: in the default registry and docker.io.
 */
int image_ref_parse(const char *text, const struct image_defaults *def, struct image_ref *ret, struct err *err);

/* registry/repository[:tag][@digest]; parses to the same again. */
void image_ref_format(const struct image_ref *ref, struct text *out);

bool image_is_hex(const char *s);    /* exactly 64 lower-case hexadecimal digits */
bool image_is_digest(const char *s); /* "sha256:" and those */

/* The hexadecimal beginning of a digest, with or without "sha256:", at least one digit. -EINVAL if it is none. */
int image_prefix_parse(const char *text, char ret[IMAGE_HEX + 1]);

#endif
