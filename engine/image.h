/*
 * engine/image.h: docker and OCI images of places, as they were found at the last look and after the last job of ours.
 * The directory PLACE/porto_docker is porto-store's: it alone changes it, but for an image that is removed, which is
 * renamed here. A job is a struct sjob (layer.h); its `name` is the image's, `words` are options of porto-store.
 */
#ifndef ENGINE_IMAGE_H
#define ENGINE_IMAGE_H

#include "engine/layer.h"
#include "layerstore/image_record.h"

#define PLACE_DOCKER "porto_docker"
#define IMAGE_SHORT  12 /* digits that a directory is named by */

/* What is known of an image besides its record. */
struct image_extra {
	uint32_t id; /* from place and image, so the next worker gives it the same one */
	char *error;
};

struct image_place {
	struct image_place *next;
	char *path;
	struct image_records recs;
	struct image_extra *extra; /* one a record */
};

struct image_view {
	struct image_place *place;
	struct image_record *rec;
	struct image_extra *extra;
};

/* ---- image.c ---- */

bool image_by_id(struct engine *e, uint32_t id, struct image_view *ret);
/* NULL: none is known there. */
struct image_place *image_place_find(struct engine *e, const char *path);
/* Takes what was found in a place. */
void images_take(struct engine *e, const char *place, struct image_records *recs);
void images_close(struct engine *e);
void image_note_error(struct engine *e, uint32_t id, const struct err *err);
/* Busy, if a volume stands on it. */
int image_check_unused(struct engine *e, const struct image_view *v, struct err *err);
/* Busy, if a job of ours is about to take it away. */
int image_check_staying(struct engine *e, const char *place, const char *name, struct err *err);
/* Renamed at once, removed in the background. */
int image_remove(struct engine *e, const struct image_view *v, struct err *err);
void images_sweep(struct engine *e, const char *place);
bool images_at_work(struct engine *e, const char *place); /* a job of ours is about to change them */
struct image_defaults image_defaults(const struct config *conf);
/* Is it a reference or the beginning of a digest, or empty? */
int image_check_name(const struct engine *e, const char *name, struct err *err);
/* NotSupported */
int images_check_on(const struct engine *e, struct err *err);

/* ---- in threads ---- */

int images_read(const char *place, struct image_records *ret);
bool images_have_junk(const char *place);
/* Absolute paths of its layers, top first. DockerImageNotFound. */
int image_layers(const char *place, const char *name, const struct image_defaults *def, struct strv *ret,
		 struct err *err);

#endif
