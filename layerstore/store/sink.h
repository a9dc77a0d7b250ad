/*
 * layerstore/store/sink.h: where an archive goes: bytes are compressed by a thread of their own, while the next ones
 * are read, and written to a descriptor or a ring.
 */
#ifndef LAYERSTORE_STORE_SINK_H
#define LAYERSTORE_STORE_SINK_H

#include <stdatomic.h>

#include "base/err.h"
#include "layerstore/ring.h"
#include "layerstore/store/codec.h"

struct sink;

struct sink_spec {
	int fd;            /* not taken */
	struct ring *ring; /* instead of it */
	enum codec_id codec;
	_Atomic uint64_t *count; /* bytes of the archive written so far */
	char *md5;               /* NULL, or 33 bytes: what md5sum says of it, there after sink_finish */
};

int sink_start(const struct sink_spec *spec, struct sink **ret, struct err *err);
/* -EPIPE: the thread has failed, sink_finish says why. */
int sink_put(struct sink *s, const void *buf, size_t len);
/* Waits until all of it is written. */
int sink_finish(struct sink *s, struct err *err);

#endif
