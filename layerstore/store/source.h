/*
 * layerstore/store/source.h: the bytes of an archive, decompressed ahead by a thread of their own, from a descriptor or
 * a ring.
 *
 * From a ring, what was put counts as used (and its writer is answered) when the decompressor needs more in the middle
 * of a frame, but where the archive might end there, only when everything before has been unpacked too: so what is
 * wrong with the last bytes, or with making what they say, reaches the write that brought them.
 */
#ifndef LAYERSTORE_STORE_SOURCE_H
#define LAYERSTORE_STORE_SOURCE_H

#include <stdatomic.h>
#include <sys/types.h>

#include "base/err.h"
#include "layerstore/ring.h"
#include "layerstore/store/codec.h"
#include "layerstore/store/sum.h"

#define SUMMED_MAX (1ull << 40) /* bytes of an archive decompressed that is summed */

struct source;

struct source_spec {
	int fd;            /* not taken */
	struct ring *ring; /* instead of it */
	bool is_part;      /* of the file only this range, read without moving its offset */
	uint64_t offset, size;
	bool format_known;
	enum codec_id codec;     /* if known */
	_Atomic uint64_t *count; /* bytes of the archive read so far */
	struct sums *sums;       /* or NULL: filled in by source_finish(all) */
};

/* Starts the thread. It is there until the process ends. */
int source_start(const struct source_spec *spec, struct source **ret, struct err *err);
/* The next bytes, valid until the next call. 0: the end; negative: source_error. */
ssize_t source_next(struct source *s, const void **ret);
const struct err *source_error(const struct source *s); /* NULL: none */
/* The archive has ended: reads on to the end of the frame, whose checksum is there, or (all) of the input. */
int source_finish(struct source *s, bool all, struct err *err);

#endif
