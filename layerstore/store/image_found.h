/*
 * store/image_found.h: which images a source holds, and where their parts are: everything about an import that is
 * decided before the first layer is read.
 */
#ifndef STORE_IMAGE_FOUND_H
#define STORE_IMAGE_FOUND_H

#include "layerstore/store/image_import.h"

struct image_found {
	char id[IMAGE_HEX + 1];
	struct text json; /* the configuration as it came */
	struct image_config config;
	struct strv names;          /* as the source calls it, unchecked */
	struct strv digests;        /* of manifest and indexes it was found by */
	struct image_layer *layers; /* bottom first, as many as config.diff_ids */
	struct strv members;        /* owns the layers' names */
};

struct image_finds {
	struct image_found *p;
	size_t n;
};

/* Those the wish is for, at least one. Docker, NotSupported, InvalidValue. */
int image_find(struct image_source *src, const struct image_wish *wish, struct image_finds *ret, struct err *err);
void image_finds_done(struct image_finds *f);
#define autofinds __attribute__((cleanup(image_finds_done)))

#endif
