/*
 * layerstore/store/codec.h: compressions, by magic bytes and by name, and both ways through them, step by step.
 */
#ifndef LAYERSTORE_STORE_CODEC_H
#define LAYERSTORE_STORE_CODEC_H

#include "base/err.h"

enum codec_id {
	CODEC_NONE,
	CODEC_GZIP,
	CODEC_BZIP2,
	CODEC_XZ,
	CODEC_ZSTD,
	CODEC_SQUASHFS, /* no stream: squash.h */
	CODEC_N,
};

#define CODEC_MAGIC_BYTES 6

/* By the first bytes of an archive, at most CODEC_MAGIC_BYTES of them; what is none of the others is CODEC_NONE. */
enum codec_id codec_detect(const void *buf, size_t len);
/* tar.zst, tgz, squashfs, lz4.squashfs ...; comp gets what squashfs is to be compressed with ("" if not said). 0 or
 * -EINVAL. */
int format_parse(const char *name, enum codec_id *ret, char comp[16]);
const char *codec_name(enum codec_id id);

/* A step takes from `in` and puts into `out`, and moves both on. */
struct codec_io {
	const unsigned char *in;
	size_t in_len;
	unsigned char *out;
	size_t out_len;
};

enum { CODEC_MORE = 0, CODEC_END = 1 }; /* END: a frame, or all of the compressed stream, has ended just there */

struct decoder;
int decoder_new(enum codec_id id, struct decoder **ret, struct err *err);
int decoder_step(struct decoder *d, struct codec_io *io, struct err *err);
/* After CODEC_END: can another frame begin with this byte? */
bool decoder_goes_on(const struct decoder *d, unsigned char next);
void decoder_free(struct decoder *d);

struct encoder;
/* With as many threads as the compression can use. */
int encoder_new(enum codec_id id, unsigned threads, struct encoder **ret, struct err *err);
/* finish: this is the last of the input; called until CODEC_END. */
int encoder_step(struct encoder *e, struct codec_io *io, bool finish, struct err *err);
void encoder_free(struct encoder *e);

#endif
