/* Compression: codec.h. */
#include <bzlib.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include "layerstore/store/codec.h"

#define ZSTD_LEVEL     3
#define ZSTD_JOB_BYTES (2 << 20) /* what a thread gets at a time: the window of level 3 */
#define ZSTD_THREADS   8         /* of 5 MB each: all of it stays below 64 MB */
#define XZ_LEVEL       6
#define XZ_MEMORY      (512u << 20) /* threads of level 6 take 160 MB each: as many as fit */
#define GZIP_LEVEL     6
#define BZIP2_LEVEL    9

struct encoder {
	enum codec_id id;
	union {
		z_stream z;
		bz_stream bz;
		lzma_stream xz;
		ZSTD_CCtx *zstd;
	};
};

static void moved(struct codec_io *io, size_t in, size_t out)
{
	io->in += in;
	io->in_len -= in;
	io->out += out;
	io->out_len -= out;
}

static unsigned clamp(size_t n)
{
	return (unsigned)MIN(n, (size_t)1 << 30);
}

static int failed(const struct encoder *e, struct err *err)
{
	return err_set(err, ERR_ResourceNotAvailable, "%s can't compress: no memory", codec_name(e->id));
}

static int step_none(struct encoder *e UNUSED, struct codec_io *io, bool finish, struct err *err UNUSED)
{
	size_t n = MIN(io->in_len, io->out_len);
	if (n > 0) /* at the end there is no input at all */
		memcpy(io->out, io->in, n);
	moved(io, n, n);
	return finish && io->in_len == 0 ? CODEC_END : CODEC_MORE;
}

static int step_gzip(struct encoder *e, struct codec_io *io, bool finish, struct err *err)
{
	unsigned in = clamp(io->in_len), out = clamp(io->out_len);
	e->z.next_in = (unsigned char *)io->in;
	e->z.avail_in = in;
	e->z.next_out = io->out;
	e->z.avail_out = out;
	int r = deflate(&e->z, finish ? Z_FINISH : Z_NO_FLUSH);
	moved(io, in - e->z.avail_in, out - e->z.avail_out);
	if (r == Z_STREAM_END)
		return CODEC_END;
	return r == Z_OK || r == Z_BUF_ERROR ? CODEC_MORE : failed(e, err);
}

static int step_bzip2(struct encoder *e, struct codec_io *io, bool finish, struct err *err)
{
	unsigned in = clamp(io->in_len), out = clamp(io->out_len);
	e->bz.next_in = (char *)io->in;
	e->bz.avail_in = in;
	e->bz.next_out = (char *)io->out;
	e->bz.avail_out = out;
	int r = BZ2_bzCompress(&e->bz, finish ? BZ_FINISH : BZ_RUN);
	moved(io, in - e->bz.avail_in, out - e->bz.avail_out);
	if (r == BZ_STREAM_END)
		return CODEC_END;
	return r >= 0 ? CODEC_MORE : failed(e, err);
}

static int step_xz(struct encoder *e, struct codec_io *io, bool finish, struct err *err)
{
	size_t in = io->in_len, out = io->out_len;
	e->xz.next_in = io->in;
	e->xz.avail_in = in;
	e->xz.next_out = io->out;
	e->xz.avail_out = out;
	lzma_ret r = lzma_code(&e->xz, finish ? LZMA_FINISH : LZMA_RUN);
	moved(io, in - e->xz.avail_in, out - e->xz.avail_out);
	if (r == LZMA_STREAM_END)
		return CODEC_END;
	return r == LZMA_OK || r == LZMA_BUF_ERROR ? CODEC_MORE : failed(e, err);
}

static int step_zstd(struct encoder *e, struct codec_io *io, bool finish, struct err *err)
{
	ZSTD_inBuffer in = { io->in, io->in_len, 0 };
	ZSTD_outBuffer out = { io->out, io->out_len, 0 };
	size_t r = ZSTD_compressStream2(e->zstd, &out, &in, finish ? ZSTD_e_end : ZSTD_e_continue);
	moved(io, in.pos, out.pos);
	if (ZSTD_isError(r))
		return failed(e, err);
	return finish && r == 0 ? CODEC_END : CODEC_MORE;
}

static int (*const steps[CODEC_N])(struct encoder *, struct codec_io *, bool, struct err *) = {
	[CODEC_NONE] = step_none, [CODEC_GZIP] = step_gzip, [CODEC_BZIP2] = step_bzip2,
	[CODEC_XZ] = step_xz,     [CODEC_ZSTD] = step_zstd,
};

static bool init_xz(struct encoder *e, unsigned threads)
{
	lzma_mt mt = { .threads = MAX(threads, 1u), .preset = XZ_LEVEL, .check = LZMA_CHECK_CRC64 };
	e->xz = (lzma_stream)LZMA_STREAM_INIT;
	while (mt.threads > 1 && lzma_stream_encoder_mt_memusage(&mt) > XZ_MEMORY)
		mt.threads--;
	return lzma_stream_encoder_mt(&e->xz, &mt) == LZMA_OK;
}

/* One that is alone needs no threads beside it: it would only be handed everything. */
static bool init_zstd(struct encoder *e, unsigned threads)
{
	e->zstd = ZSTD_createCCtx();
	if (!e->zstd)
		return false;
	ZSTD_CCtx_setParameter(e->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL);
	ZSTD_CCtx_setParameter(e->zstd, ZSTD_c_checksumFlag, 1);
	if (threads > 1) {
		ZSTD_CCtx_setParameter(e->zstd, ZSTD_c_nbWorkers, (int)MIN(threads, (unsigned)ZSTD_THREADS));
		ZSTD_CCtx_setParameter(e->zstd, ZSTD_c_jobSize, ZSTD_JOB_BYTES);
	}
	return true;
}

static bool init(struct encoder *e, unsigned threads)
{
	switch (e->id) {
	case CODEC_GZIP:
		return deflateInit2(&e->z, GZIP_LEVEL, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK;
	case CODEC_BZIP2:
		return BZ2_bzCompressInit(&e->bz, BZIP2_LEVEL, 0, 0) == BZ_OK;
	case CODEC_XZ:
		return init_xz(e, threads);
	case CODEC_ZSTD:
		return init_zstd(e, threads);
	default:
		return true;
	}
}

int encoder_new(enum codec_id id, unsigned threads, struct encoder **ret, struct err *err)
{
	struct encoder *e = calloc(1, sizeof(*e));
	if (!e)
		return err_set(err, ERR_ResourceNotAvailable, "no memory to compress with");
	e->id = id;
	if (!steps[id] || !init(e, threads)) {
		int r = failed(e, err);
		free(e);
		return r;
	}
	*ret = e;
	return 0;
}

int encoder_step(struct encoder *e, struct codec_io *io, bool finish, struct err *err)
{
	return steps[e->id](e, io, finish, err);
}

void encoder_free(struct encoder *e)
{
	if (!e)
		return;
	if (e->id == CODEC_GZIP)
		deflateEnd(&e->z);
	if (e->id == CODEC_BZIP2)
		BZ2_bzCompressEnd(&e->bz);
	if (e->id == CODEC_XZ)
		lzma_end(&e->xz);
	if (e->id == CODEC_ZSTD)
		ZSTD_freeCCtx(e->zstd);
	free(e);
}
