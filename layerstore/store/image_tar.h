/*
 * store/image_tar.h: where the members of an uncompressed tar archive lie, so that an image can be read from it in any
 * order without unpacking it. Reads headers only (ustar, GNU long names, pax path, linkpath and size). The archive is
 * hostile: names are normalised as text and never used on a file system, numbers and memory are bounded, and members
 * end where the archive does.
 */
#ifndef STORE_IMAGE_TAR_H
#define STORE_IMAGE_TAR_H

#include "base/defs.h"
#include "base/err.h"

#define TAR_MEMBERS_MAX 65536
#define TAR_NAME_MAX    1024 /* bytes of a name; no image has names as long */

struct tar_member {
	char *name; /* normalised, relative */
	char *link; /* what a symbolic or hard link stands for, as a name in the archive; NULL: a file */
	uint64_t offset, size;
};

struct tar_index {
	struct tar_member *p; /* sorted by name; of equal names the last one counts */
	size_t n;
};

/* fd: something pread works on. Docker with a sentence. */
int tar_index_read(int fd, struct tar_index *ret, struct err *err);

/* The file of that name, links followed a few times; NULL: none. */
const struct tar_member *tar_index_find(const struct tar_index *t, const char *name);

void tar_index_done(struct tar_index *t);

#endif
