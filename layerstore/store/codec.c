#include "layerstore/store/codec.h"

static const struct {
	const char *name;
	const char *magic;
	size_t len;
} codecs[] = {
	[CODEC_NONE]     = {"tar",      "",                         0},
	[CODEC_GZIP]     = {"gzip",     "\x1f\x8b\x08",             3},
	[CODEC_BZIP2]    = {"bzip2",    "BZh",                      3},
	[CODEC_XZ]       = {"xz",       "\xfd" "7zXZ",              6},
	[CODEC_ZSTD]     = {"zstd",     "\x28\xb5\x2f\xfd",         4},
	[CODEC_SQUASHFS] = {"squashfs", "hsqs",                     4},
};
_Static_assert(ARRAY_LEN(codecs) == CODEC_N, "a row for each");

enum codec_id codec_detect(const void *buf, size_t len)
{
	const unsigned char *p = buf;
	for (int i = CODEC_NONE + 1; i < CODEC_N; i++)
		if (len >= codecs[i].len && memcmp(buf, codecs[i].magic, codecs[i].len) == 0)
			return (enum codec_id)i;
	/* a zstd stream may begin with a frame to be skipped */
	if (len >= 4 && (p[0] & 0xf0) == 0x50 && memcmp(p + 1, "\x2a\x4d\x18", 3) == 0)
		return CODEC_ZSTD;
	return CODEC_NONE;
}

const char *codec_name(enum codec_id id)
{
	return codecs[id].name;
}

static const struct {
	const char *name;
	enum codec_id id;
} formats[] = {
	{"squashfs", CODEC_SQUASHFS},
	{"tar",      CODEC_NONE},
	{"tar.bz2",  CODEC_BZIP2},
	{"tar.gz",   CODEC_GZIP},
	{"tar.xz",   CODEC_XZ},
	{"tar.zst",  CODEC_ZSTD},
	{"tbz2",     CODEC_BZIP2},
	{"tgz",      CODEC_GZIP},
	{"txz",      CODEC_XZ},
	{"tzst",     CODEC_ZSTD},
};

int format_parse(const char *name, enum codec_id *ret, char comp[16])
{
	static const char *const comps[] = {"gzip", "lz4", "lzo", "xz", "zstd"}; /* those of tar2sqfs */
	const char *dot = strchr(name, '.');
	comp[0] = 0;
	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		if (strcmp(name, formats[i].name) != 0)
			continue;
		*ret = formats[i].id;
		return 0;
	}
	if (!dot || strcmp(dot + 1, codecs[CODEC_SQUASHFS].name) != 0)
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_LEN(comps); i++) {
		if (strlen(comps[i]) != (size_t)(dot - name) || memcmp(name, comps[i], (size_t)(dot - name)) != 0)
			continue;
		snprintf(comp, 16, "%s", comps[i]);
		*ret = CODEC_SQUASHFS;
		return 0;
	}
	return -EINVAL;
}
