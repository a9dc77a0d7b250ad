/* Decompression: codec.h. What is compressed is hostile; memory is bounded by what the formats allow without being asked. */
#include <bzlib.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "layerstore/store/codec.h"

#define XZ_MEMORY       (160u * 1024 * 1024) /* level 9 takes 65 MB */
#define ZSTD_WINDOW_LOG 27                   /* what zstd itself takes without being told: 128 MB */

struct decoder {
	enum codec_id id;
	bool fresh; /* between two frames */
	union {
		z_stream z;
		bz_stream bz;
		lzma_stream xz;
		ZSTD_DCtx *zstd;
	};
};

static int broken(const struct decoder *d, struct err *err, const char *why)
{
	return err_set(err, ERR_InvalidValue, "the archive is damaged: %s: %s", codec_name(d->id), why);
}

static int no_memory(struct err *err)
{
	return err_set(err, ERR_ResourceNotAvailable, "no memory to decompress with");
}

static unsigned clamp(size_t n)
{
	return (unsigned)MIN(n, (size_t)1 << 30);
}

static void moved(struct codec_io *io, size_t in, size_t out)
{
	io->in += in;
	io->in_len -= in;
	io->out += out;
	io->out_len -= out;
}

static int step_none(struct decoder *d UNUSED, struct codec_io *io, struct err *err UNUSED)
{
	size_t n = MIN(io->in_len, io->out_len);
	memcpy(io->out, io->in, n);
	moved(io, n, n);
	return CODEC_END; /* an archive has no length of its own: it may be whole anywhere */
}

static int step_gzip(struct decoder *d, struct codec_io *io, struct err *err)
{
	unsigned in = clamp(io->in_len), out = clamp(io->out_len);
	if (d->fresh && inflateReset(&d->z) != Z_OK)
		return broken(d, err, "it can't be begun");
	d->z.next_in = (unsigned char *)io->in;
	d->z.avail_in = in;
	d->z.next_out = io->out;
	d->z.avail_out = out;
	int r = inflate(&d->z, Z_NO_FLUSH);
	moved(io, in - d->z.avail_in, out - d->z.avail_out);
	if (r == Z_MEM_ERROR)
		return no_memory(err);
	if (r == Z_STREAM_END)
		return CODEC_END;
	return r == Z_OK || r == Z_BUF_ERROR ? CODEC_MORE : broken(d, err, d->z.msg ? d->z.msg : "bad data");
}

static int step_bzip2(struct decoder *d, struct codec_io *io, struct err *err)
{
	unsigned in = clamp(io->in_len), out = clamp(io->out_len);
	if (d->fresh) {
		BZ2_bzDecompressEnd(&d->bz);
		d->bz = (bz_stream){};
		if (BZ2_bzDecompressInit(&d->bz, 0, 0) != BZ_OK)
			return no_memory(err);
	}
	d->bz.next_in = (char *)io->in;
	d->bz.avail_in = in;
	d->bz.next_out = (char *)io->out;
	d->bz.avail_out = out;
	int r = BZ2_bzDecompress(&d->bz);
	moved(io, in - d->bz.avail_in, out - d->bz.avail_out);
	if (r == BZ_MEM_ERROR)
		return no_memory(err);
	if (r == BZ_STREAM_END)
		return CODEC_END;
	return r == BZ_OK ? CODEC_MORE : broken(d, err, "bad data");
}

static int step_xz(struct decoder *d, struct codec_io *io, struct err *err)
{
	size_t in = io->in_len, out = io->out_len;
	if (d->fresh && lzma_stream_decoder(&d->xz, XZ_MEMORY, 0) != LZMA_OK)
		return no_memory(err);
	d->xz.next_in = io->in;
	d->xz.avail_in = in;
	d->xz.next_out = io->out;
	d->xz.avail_out = out;
	lzma_ret r = lzma_code(&d->xz, LZMA_RUN);
	moved(io, in - d->xz.avail_in, out - d->xz.avail_out);
	if (r == LZMA_MEMLIMIT_ERROR)
		return err_set(err, ERR_InvalidValue, "the archive needs %llu MB of memory to decompress, at most %u are given",
			       (unsigned long long)(lzma_memusage(&d->xz) >> 20), XZ_MEMORY >> 20);
	if (r == LZMA_MEM_ERROR)
		return no_memory(err);
	if (r == LZMA_STREAM_END)
		return CODEC_END;
	return r == LZMA_OK || r == LZMA_BUF_ERROR ? CODEC_MORE : broken(d, err, "bad data");
}

static int step_zstd(struct decoder *d, struct codec_io *io, struct err *err)
{
	ZSTD_inBuffer in = {io->in, io->in_len, 0};
	ZSTD_outBuffer out = {io->out, io->out_len, 0};
	size_t r = ZSTD_decompressStream(d->zstd, &out, &in);
	moved(io, in.pos, out.pos);
	if (!ZSTD_isError(r))
		return r == 0 ? CODEC_END : CODEC_MORE;
	if (ZSTD_getErrorCode(r) == ZSTD_error_memory_allocation)
		return no_memory(err);
	if (ZSTD_getErrorCode(r) == ZSTD_error_frameParameter_windowTooLarge)
		return err_set(err, ERR_InvalidValue, "the archive was compressed with a window of more than %u MB",
			       1u << (ZSTD_WINDOW_LOG - 20));
	return broken(d, err, ZSTD_getErrorName(r));
}

static int (*const steps[CODEC_N])(struct decoder *, struct codec_io *, struct err *) = {
	[CODEC_NONE] = step_none, [CODEC_GZIP] = step_gzip, [CODEC_BZIP2] = step_bzip2,
	[CODEC_XZ] = step_xz,     [CODEC_ZSTD] = step_zstd,
};

int decoder_new(enum codec_id id, struct decoder **ret, struct err *err)
{
	if (!steps[id])
		return err_set(err, ERR_NotSupported, "a %s image can only be read from a regular file", codec_name(id));
	struct decoder *d = calloc(1, sizeof(*d));
	if (!d)
		return no_memory(err);
	d->id = id;
	d->fresh = true;
	if (id == CODEC_XZ)
		d->xz = (lzma_stream)LZMA_STREAM_INIT;
	if ((id == CODEC_GZIP && inflateInit2(&d->z, 15 + 16) != Z_OK) || (id == CODEC_ZSTD && !(d->zstd = ZSTD_createDCtx()))) {
		free(d);
		return no_memory(err);
	}
	if (id == CODEC_ZSTD)
		ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG);
	*ret = d;
	return 0;
}

int decoder_step(struct decoder *d, struct codec_io *io, struct err *err)
{
	int r = steps[d->id](d, io, err);
	d->fresh = r == CODEC_END;
	return r;
}

bool decoder_goes_on(const struct decoder *d, unsigned char next)
{
	static const char first[CODEC_N] = {[CODEC_GZIP] = 0x1f, [CODEC_BZIP2] = 'B', [CODEC_XZ] = (char)0xfd, [CODEC_ZSTD] = 0x28};
	return d->id == CODEC_NONE || (unsigned char)first[d->id] == next || (d->id == CODEC_ZSTD && (next & 0xf0) == 0x50);
}

void decoder_free(struct decoder *d)
{
	if (!d)
		return;
	if (d->id == CODEC_GZIP)
		inflateEnd(&d->z);
	if (d->id == CODEC_BZIP2)
		BZ2_bzDecompressEnd(&d->bz);
	if (d->id == CODEC_XZ)
		lzma_end(&d->xz);
	if (d->id == CODEC_ZSTD)
		ZSTD_freeDCtx(d->zstd);
	free(d);
}
