/* Names, attributes and ACLs out of archives; then the input as an archive, whose headers and data are read as
 * porto-store does. */
#include <archive.h>
#include <archive_entry.h>

#include "layerstore/store/acl.h"
#include "layerstore/store/codec.h"
#include "layerstore/store/whiteout.h"
#include "tests/fuzz/fuzz.h"

/* Clean once is clean; no component leads out or is none. */
static void check_clean(const char *path)
{
	autofree char *again = strdup(path);
	FUZZ_CHECK(again && name_clean(again, NULL) == 0 && strcmp(again, path) == 0);
	FUZZ_CHECK(path[0] != '/' && !strstr(path, "//") && (!*path || path[strlen(path) - 1] != '/'));
	for (const char *p = path; *p;) {
		size_t len = strcspn(p, "/");
		FUZZ_CHECK(len > 0 && len <= 255 && strncmp(p, "..", MAX(len, (size_t)2)) != 0 &&
			   strncmp(p, ".", MAX(len, (size_t)1)) != 0);
		p += len + (p[len] == '/');
	}
}

static void try_name(const char *s)
{
	struct err err = {};
	char shown[64];
	autofree char *path = strdup(s);
	autofree char *hidden = malloc(strlen(s) + 1);
	FUZZ_CHECK(path && hidden && strlen(name_show(s, shown, sizeof(shown))) < sizeof(shown));
	if (name_clean(path, &err) < 0) {
		FUZZ_CHECK(err.kind == ERR_InvalidValue && *err.text);
		return;
	}
	check_clean(path);
	int r = wh_parse(path, hidden, &err);
	if (r == WH_HIDE || r == WH_MARK)
		check_clean(hidden);
	FUZZ_CHECK(r != WH_HIDE || *hidden);
}

static void try_xattr(const char *s, const uint8_t *data, size_t size)
{
	enum xattr_fate fate = xattr_judge(s, data, size, size & 1);
	FUZZ_CHECK(strncmp(s, "trusted.", 8) != 0 || fate == XATTR_DROP || (fate == XATTR_MARK && size == 1));
}

/* What an attribute says comes back from the entry as it was, in the kernel's order, or not at all. */
static void try_acl(const uint8_t *data, size_t size)
{
	struct xattrs x = {};
	struct archive_entry *e = archive_entry_new();
	struct xattr one = { .name = (char *)(size & 1 ? "system.posix_acl_access" : "system.posix_acl_default"),
			     .value = (void *)data,
			     .len = size };
	FUZZ_CHECK(e);
	archive_entry_set_mode(e, 0100644);
	if (acl_from_xattr(&one, e))
		FUZZ_CHECK(acl_to_xattrs(e, &x) == 0 && x.n <= 2);
	xattrs_done(&x);
	archive_entry_free(e);
}

static void try_archive(const uint8_t *data, size_t size)
{
	struct archive *a = archive_read_new();
	struct archive_entry *e;
	struct xattrs x = {};
	const void *buf;
	size_t len;
	int64_t off;
	FUZZ_CHECK(a && archive_read_support_format_tar(a) == ARCHIVE_OK);
	if (archive_read_open_memory(a, data, size) == ARCHIVE_OK)
		while (archive_read_next_header(a, &e) >= ARCHIVE_WARN) {
			if (archive_entry_pathname(e))
				try_name(archive_entry_pathname(e));
			FUZZ_CHECK(acl_to_xattrs(e, &x) == 0);
			xattrs_clear(&x);
			while (archive_read_data_block(a, &buf, &len, &off) == ARCHIVE_OK)
				;
		}
	xattrs_done(&x);
	archive_read_free(a);
}

static void try_decoder(enum codec_id id, const uint8_t *data, size_t size)
{
	static unsigned char out[65536];
	struct decoder *d = NULL;
	struct codec_io io = { .in = data, .in_len = size };
	if (decoder_new(id, &d, NULL) < 0)
		return;
	for (int i = 0; i < 64 && io.in_len > 0; i++) {
		io.out = out;
		io.out_len = sizeof(out);
		if (decoder_step(d, &io, NULL) < 0)
			break;
	}
	decoder_free(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	autofree char *s = fuzz_string(data, size);
	char comp[16];
	enum codec_id id;
	try_name(s);
	try_xattr(s, data, size);
	format_parse(s, &id, comp);
	try_acl(data, size);
	try_archive(data, size);
	try_decoder(codec_detect(data, size), data, size);
	return 0;
}
