/*
 * store/image_store.h: images on disk, below PLACE/porto_docker/v1, to be read with ls and cat:
 *
 *     lock, users          locked with flock(2); empty
 *     layers/HEX/          a layer's tree in overlayfs format; HEX is the sha256 of its uncompressed archive, which was
 *                          verified, so that whoever names it gets the same files
 *     layers/HEX.size      bytes of that archive
 *     images/HEX/          an image; HEX is the sha256 of its configuration; in it files, a value a line:
 *                          id tags digests layers (top first) command env workdir user created arch size,
 *                          backslash and newline within a value are \\ and \n; and
 *     images/HEX/config.json   the configuration as it came
 *     _import_* _remove_*  in any of them: being made, being removed. A directory being made is locked by who makes it
 *
 * Everything appears whole, by rename, and an image after its layers; it goes by rename as well, before its layers.
 * The tags file says which tags an image has. Of two images with the same tag (killed between the two writes that move
 * it) the one whose file is newer has it.
 * Layers that no image uses are removed when nobody is importing: importers hold `users` shared, the sweeper
 * exclusively.
 */
#ifndef STORE_IMAGE_STORE_H
#define STORE_IMAGE_STORE_H

#include "layerstore/image_record.h"

struct job;

struct image_store {
	const struct job *job; /* whose end ends waiting for locks too */
	int place;             /* not its own */
	int dir, images, layers;
	uid_t owner; /* who asks; an image's directory belongs to who brought it, or to root if several did */
};

/* Makes what is missing below the directory porto_docker. */
int image_store_open(struct image_store *s, const struct job *j, int docker_fd, struct err *err);
void image_store_done(struct image_store *s);
#define autostore __attribute__((cleanup(image_store_done)))

/* Descriptors that hold a lock while they are open. _lock: for changes of images, short. _use: while importing. */
int image_store_lock(const struct image_store *s, struct err *err);
int image_store_use(const struct image_store *s, struct err *err);

/* As image_records_find; what is found is the caller's. */
int image_store_find(const struct image_store *s, const char *name, const struct image_defaults *def,
		     struct image_record *ret, struct err *err);

/* Under the lock, before anything is changed: only root takes a tag from somebody else's image. */
int image_store_check_tags(const struct image_store *s, const struct image_record *rec, struct err *err);
/* Under the lock: more tags and digests for an image that is there; the tags leave other images. */
int image_store_add(const struct image_store *s, const struct image_record *rec, struct err *err);
/* Under the lock: the tag leaves the image, or (NULL, or its last) the image goes. Only its owner and root may. */
int image_store_drop(const struct image_store *s, const struct image_record *rec, const char *tag, struct err *err);

bool image_store_has_layer(const struct image_store *s, const char *id);
uint64_t image_store_layer_size(const struct image_store *s, const char *id);         /* 0 if unknown */
int image_store_put_size(const struct image_store *s, const char *id, uint64_t size); /* before the layer itself */

/*
 * place_claim of dirfd/_import_NAME, waiting while somebody else makes it. -EEXIST with dirfd/NAME there. Returns the
 * descriptor.
 */
int image_store_claim(const struct image_store *s, int dirfd, const char *name);
/* The sentence for what it returned. */
int image_store_failed(int r, const char *name, struct err *err);
/* What was claimed gets its name, or is removed. */
int image_store_commit(int dirfd, const char *name);
void image_store_abandon(int dirfd, const char *name);

/* Removes what nobody makes, wants or uses any more. Not being able to is no error: the next one does. */
void image_store_sweep(const struct image_store *s);

#endif
