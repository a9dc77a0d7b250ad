/* Names and attributes out of archives, and what an archive is compressed with. */
#include "layerstore/store/whiteout.h"

#include "layerstore/store/codec.h"
#include "tests/unit/unit.h"

static void test_clean(void)
{
	static const struct {
		const char *text;
		int ret;
		const char *want;
	} rows[] = {
		{"a",          0,       "a"},
		{"/a//b/",     0,       "a/b"},
		{"./a/./b/.",  0,       "a/b"},
		{".",          0,       ""},
		{"/",          0,       ""},
		{"",           0,       ""},
		{"a/...b/..c", 0,       "a/...b/..c"},
		{" \n",        0,       " \n"},
		{"..",         -EINVAL, NULL},
		{"a/..",       -EINVAL, NULL},
		{"../a",       -EINVAL, NULL},
		{"a/../b",     -EINVAL, NULL},
		{"/..//",      -EINVAL, NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = {};
		autofree char *path = strdup(rows[i].text);
		int r = name_clean(path, &err);
		unit_ok(r == rows[i].ret && (r < 0 ? err.no == EINVAL && *err.text : strcmp(path, rows[i].want) == 0),
			"clean: '%s' is '%s'", rows[i].text, rows[i].want ? rows[i].want : "refused");
	}
}

static void test_long(void)
{
	char name[258];
	struct err err = {};
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	unit_int(name_clean(name, &err), -ENAMETOOLONG, "clean: a component of 257 bytes");
	name[255] = 0;
	unit_int(name_clean(name, &err), 0, "clean: a component of 255 bytes");
}

static void test_whiteout(void)
{
	static const struct {
		const char *path;
		int ret;
		const char *want;
	} rows[] = {
		{"a",                    WH_NOTHING, NULL},
		{"",                     WH_NOTHING, NULL},
		{"a.wh.b",               WH_NOTHING, NULL},
		{".wh",                  WH_NOTHING, NULL},
		{".wh.a",                WH_HIDE,    "a"},
		{"d/e/.wh.a",            WH_HIDE,    "d/e/a"},
		{".wh....",              WH_HIDE,    "..."},
		{".wh..a",               WH_HIDE,    ".a"},
		{".wh..wh..opq",         WH_MARK,    ""},
		{"d/.wh..wh..opq",       WH_MARK,    "d"},
		{"d/e/.wh..wh..opq",     WH_MARK,    "d/e"},
		{".wh..wh.aufs",         WH_DROP,    NULL},
		{".wh..wh.plnk/1.2",     WH_DROP,    NULL},
		{"d/.wh..wh.orph/x/y",   WH_DROP,    NULL},
		{".wh..wh..opqx",        WH_DROP,    NULL},
		{".wh..wh.",             WH_DROP,    NULL},
		{".wh.",                 -EINVAL,    NULL},
		{".wh..",                -EINVAL,    NULL},
		{".wh...",               -EINVAL,    NULL},
		{"d/.wh...",             -EINVAL,    NULL},
		{".wh.a/b",              -EINVAL,    NULL},
		{"d/.wh..wh..opq/x",     -EINVAL,    NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char buf[64] = "";
		struct err err = {};
		int r = wh_parse(rows[i].path, buf, &err);
		unit_ok(r == rows[i].ret && (!rows[i].want || strcmp(buf, rows[i].want) == 0) && (r < 0) == (*err.text != 0),
			"whiteout: '%s'", rows[i].path);
	}
}

static void test_xattr(void)
{
	static const struct {
		const char *name, *value;
		bool is_dir;
		enum xattr_fate want;
	} rows[] = {
		{"user.a",                    "",  false, XATTR_KEEP},
		{"user.",                     "",  false, XATTR_DROP},
		{"userx.a",                   "",  false, XATTR_DROP},
		{"security.capability",       "x", false, XATTR_KEEP},
		{"security.selinux",          "x", false, XATTR_DROP},
		{"security.ima",              "x", false, XATTR_DROP},
		{"system.posix_acl_access",   "x", false, XATTR_KEEP},
		{"system.posix_acl_default",  "x", true,  XATTR_KEEP},
		{"system.other",              "x", true,  XATTR_DROP},
		{"trusted.overlay.opaque",    "y", true,  XATTR_MARK},
		{"trusted.overlay.opaque",    "y", false, XATTR_DROP},
		{"trusted.overlay.opaque",    "x", true,  XATTR_DROP},
		{"trusted.overlay.opaque",    "yy", true, XATTR_DROP},
		{"trusted.overlay.opaque",    "",  true,  XATTR_DROP},
		{"trusted.overlay.redirect",  "/", true,  XATTR_DROP},
		{"trusted.overlay.metacopy",  "",  false, XATTR_DROP},
		{"trusted.a",                 "y", true,  XATTR_DROP},
		{"",                          "",  true,  XATTR_DROP},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		unit_int(xattr_judge(rows[i].name, rows[i].value, strlen(rows[i].value), rows[i].is_dir), rows[i].want, rows[i].name);
}

static void test_codec(void)
{
	static const struct {
		const char *bytes;
		size_t len;
		enum codec_id want;
	} magics[] = {
		{"\x1f\x8b\x08", 3, CODEC_GZIP},       {"BZh9", 4, CODEC_BZIP2},          {"\xfd" "7zXZ\0", 6, CODEC_XZ},
		{"\x28\xb5\x2f\xfd", 4, CODEC_ZSTD},   {"\x51\x2a\x4d\x18", 4, CODEC_ZSTD}, {"hsqs", 4, CODEC_SQUASHFS},
		{"./", 2, CODEC_NONE},                 {"\x1f\x8b", 2, CODEC_NONE},       {"", 0, CODEC_NONE},
	};
	static const struct {
		const char *name, *comp;
		int want; /* or -EINVAL */
	} names[] = {
		{"tar", "", CODEC_NONE},       {"tgz", "", CODEC_GZIP},           {"tar.gz", "", CODEC_GZIP},     {"txz", "", CODEC_XZ},
		{"tar.xz", "", CODEC_XZ},      {"tzst", "", CODEC_ZSTD},          {"tar.zst", "", CODEC_ZSTD},    {"tbz2", "", CODEC_BZIP2},
		{"tar.bz2", "", CODEC_BZIP2},  {"squashfs", "", CODEC_SQUASHFS},  {"lz4.squashfs", "lz4", CODEC_SQUASHFS},
		{"rm.squashfs", "", -EINVAL},  {".squashfs", "", -EINVAL},        {"zip", "", -EINVAL},           {"", "", -EINVAL},
		{"tar.", "", -EINVAL},         {"xz.squashfs.", "", -EINVAL},
	};
	for (size_t i = 0; i < ARRAY_LEN(magics); i++)
		unit_int(codec_detect(magics[i].bytes, magics[i].len), magics[i].want, codec_name(magics[i].want));
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char comp[16];
		enum codec_id id = CODEC_N;
		int r = format_parse(names[i].name, &id, comp);
		unit_ok(r < 0 ? r == names[i].want : (int)id == names[i].want && strcmp(comp, names[i].comp) == 0, "format '%s'", names[i].name);
	}
}

static void test_show(void)
{
	char buf[12];
	unit_str(name_show("a\n\\", buf, sizeof(buf)), "a\\x0a...", "show: cut, with what is no letter as a number");
	unit_str(name_show("ab", buf, sizeof(buf)), "ab", "show: as it is");
}

int main(void)
{
	test_clean();
	test_long();
	test_whiteout();
	test_xattr();
	test_codec();
	test_show();
	return unit_end();
}
