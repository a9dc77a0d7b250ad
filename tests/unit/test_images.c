/* Names of images, their documents, and where things lie in a tar archive. */
#include <fcntl.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "layerstore/store/image_found.h"
#include "layerstore/store/sum.h"
#include "tests/unit/unit.h"

#define HEX  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SHA  "sha256:" HEX
#define A64  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A256 A64 A64 A64 A64

static const struct {
	const char *text;
	int error;
	const char *shown;
} refs[] = {
	/* clang-format off */
	{ "busybox",                       0, "mirror.gcr.io/library/busybox:latest" },
	{ "busybox:1.36",                  0, "mirror.gcr.io/library/busybox:1.36" },
	{ "team/app",                      0, "mirror.gcr.io/team/app:latest" },
	{ "a/b/c:x_Y.z-1",                 0, "mirror.gcr.io/a/b/c:x_Y.z-1" },
	{ "busybox@" SHA,                  0, "mirror.gcr.io/library/busybox@" SHA },
	{ "busybox:1@" SHA,                0, "mirror.gcr.io/library/busybox:1@" SHA },
	{ "mirror.gcr.io/busybox",         0, "mirror.gcr.io/library/busybox:latest" },
	{ "docker.io/busybox",             0, "docker.io/library/busybox:latest" },
	{ "quay.io/busybox",               0, "quay.io/busybox:latest" },
	{ "localhost/app",                 0, "localhost/app:latest" },
	{ "localhost:5000/app:1",          0, "localhost:5000/app:1" },
	{ "[::1]:5000/app",                0, "[::1]:5000/app:latest" },
	{ "registry:5000/app",             0, "registry:5000/app:latest" },
	{ "Reg.Example/app",               0, "Reg.Example/app:latest" },
	{ "a__b/c---d.e_f",                0, "mirror.gcr.io/a__b/c---d.e_f:latest" },
	{ "deadbeef",                      0, "mirror.gcr.io/library/deadbeef:latest" },
	{ "",                              -EINVAL, NULL },
	{ ":1",                            -EINVAL, NULL },
	{ "/app",                          -EINVAL, NULL },
	{ "app/",                          -EINVAL, NULL },
	{ "a//b",                          -EINVAL, NULL },
	{ "App",                           -EINVAL, NULL },
	{ "team/App",                      -EINVAL, NULL },
	{ "a..b",                          -EINVAL, NULL },
	{ "../a",                          -EINVAL, NULL },
	{ "a/../b",                        -EINVAL, NULL },
	{ "a___b",                         -EINVAL, NULL },
	{ "-a",                            -EINVAL, NULL },
	{ "a-",                            -EINVAL, NULL },
	{ "-x.y/a",                        -EINVAL, NULL },
	{ "a b",                           -EINVAL, NULL },
	{ "a\nb",                          -EINVAL, NULL },
	{ "app:",                          -EINVAL, NULL },
	{ "app:-1",                        -EINVAL, NULL },
	{ "app:.1",                        -EINVAL, NULL },
	{ "app:a/b",                       -EINVAL, NULL },
	{ "app:" A64 A64,                  0, "mirror.gcr.io/library/app:" A64 A64 },
	{ "app:" A64 A64 "a",              -EINVAL, NULL },
	{ "localhost:/app",                -EINVAL, NULL },
	{ "localhost:123456/app",          -EINVAL, NULL },
	{ "localhost:x/app",               -EINVAL, NULL },
	{ "[::1/app",                      -EINVAL, NULL },
	{ "app@",                          -EINVAL, NULL },
	{ "app@sha256:0123",               -EINVAL, NULL },
	{ "app@" SHA "0",                  -EINVAL, NULL },
	{ "app@md5:" HEX,                  -EINVAL, NULL },
	{ "app@sha512:" HEX HEX,           -EOPNOTSUPP, NULL },
	{ A256,                            -ENAMETOOLONG, NULL },
	/* clang-format on */
};

static void test_refs(void)
{
	static const struct image_defaults def = { IMAGE_DEFAULT_REGISTRY, NULL };
	static const struct image_defaults mirrored = { "reg.example", "mirror.example:5000" };
	struct image_ref ref;

	for (size_t i = 0; i < ARRAY_LEN(refs); i++) {
		struct err err = {};
		autotext struct text shown = {};
		int r = image_ref_parse(refs[i].text, &def, &ref, &err);
		if (!unit_int(r, refs[i].error, refs[i].text) || r < 0) {
			unit_ok(r == 0 || *err.text, "'%.40s': a sentence", refs[i].text);
			continue;
		}
		image_ref_format(&ref, &shown);
		unit_str(text_str(&shown), refs[i].shown, refs[i].text);
	}
	unit_int(image_ref_parse("docker.io/x", &mirrored, &ref, NULL), 0, "docker.io has a mirror");
	unit_str(ref.registry, "mirror.example:5000", "docker.io is mapped to it");
	unit_str(ref.repository, "library/x", "and keeps its library");
	unit_int(image_ref_parse("x", &mirrored, &ref, NULL), 0, "another default registry");
	unit_str(ref.registry, "reg.example", "is used");
}

static const struct {
	const char *text, *hex; /* NULL: none */
} prefixes[] = {
	{ "a", "a" }, { "sha256:0f", "0f" }, { HEX, HEX },  { SHA, HEX },   { HEX "0", NULL },
	{ "", NULL }, { "sha256:", NULL },   { "A", NULL }, { "0x", NULL }, { "sha256:0g", NULL },
};

static void test_prefixes(void)
{
	char hex[IMAGE_HEX + 1];

	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
		int r = image_prefix_parse(prefixes[i].text, hex);
		if (unit_int(r, prefixes[i].hex ? 0 : -EINVAL, prefixes[i].text) && r == 0)
			unit_str(hex, prefixes[i].hex, prefixes[i].text);
	}
}

/* ---- documents ---- */

#define DESC(type, size)         "{\"mediaType\":\"" type "\",\"digest\":\"" SHA "\",\"size\":" size "}"
#define OCI_MANIFEST             "application/vnd.oci.image.manifest.v1+json"
#define OCI_CONFIG               "application/vnd.oci.image.config.v1+json"
#define OCI_LAYER                "application/vnd.oci.image.layer.v1.tar"
#define MANIFEST(config, layers) "{\"schemaVersion\":2,\"config\":" config ",\"layers\":[" layers "]}"
#define INDEX(list)              "{\"schemaVersion\":2,\"manifests\":[" list "]}"
#define CONFIG(run, ids) \
	"{\"os\":\"linux\",\"architecture\":\"amd64\",\"config\":" run ",\"rootfs\":{\"diff_ids\":" ids "}}"

static int try_index(const char *json, struct err *err)
{
	autodescs struct image_descs d = {};

	return image_index_parse(json, strlen(json), &d, err);
}

static int try_manifest(const char *json, struct err *err)
{
	automanifest struct image_manifest m = {};

	return image_manifest_parse(json, strlen(json), &m, err);
}

static int try_config(const char *json, struct err *err)
{
	autoconfig struct image_config c = {};

	return image_config_parse(json, strlen(json), &c, err);
}

static int try_archive(const char *json, struct err *err)
{
	autoarchive struct image_archive a = {};

	return image_archive_parse(json, strlen(json), &a, err);
}

static int try_layout(const char *json, struct err *err)
{
	return image_layout_check(json, strlen(json), err);
}

static const struct {
	int (*parse)(const char *json, struct err *err);
	const char *json;
	enum err_kind kind;
	const char *says; /* part of the sentence */
} documents[] = {
	/* clang-format off */
	{ try_index, INDEX(""),                                                        ERR_Success, "" },
	{ try_index, INDEX(DESC(OCI_MANIFEST, "1")),                                   ERR_Success, "" },
	{ try_index, INDEX(DESC("application/unknown", "1")),                          ERR_Success, "" },
	{ try_index, "",                                                               ERR_Docker, "no JSON" },
	{ try_index, "[]",                                                             ERR_Docker, "schemaVersion" },
	{ try_index, "{\"schemaVersion\":1,\"manifests\":[]}",                         ERR_NotSupported, "first schema" },
	{ try_index, "{\"schemaVersion\":2}",                                          ERR_Docker, "no list" },
	{ try_index, "{\"schemaVersion\":2,\"schemaVersion\":2,\"manifests\":[]}",     ERR_Docker, "duplicate" },
	{ try_index, INDEX("1"),                                                       ERR_Docker, "expected an object" },
	{ try_index, INDEX(DESC(OCI_MANIFEST, "-1")),                                  ERR_Docker, "out of bounds" },
	{ try_index, INDEX(DESC(OCI_MANIFEST, "1e3")),                                 ERR_Docker, "out of bounds" },
	{ try_index, INDEX(DESC(OCI_MANIFEST, "9000000000000000")),                    ERR_Docker, "out of bounds" },
	{ try_index, INDEX("{\"digest\":\"sha256:../../x\",\"size\":1}"),              ERR_Docker, "is no digest" },
	{ try_index, INDEX("{\"digest\":\"sha512:" HEX HEX "\",\"size\":1}"),          ERR_NotSupported, "only sha256" },
	{ try_index, INDEX("{\"digest\":\"" SHA "\",\"size\":1,\"platform\":{\"os\":1}}"), ERR_Docker, "platform" },

	{ try_manifest, MANIFEST(DESC(OCI_CONFIG, "2"), ""),                           ERR_Success, "" },
	{ try_manifest, MANIFEST(DESC(OCI_CONFIG, "2"), DESC(OCI_LAYER "+zstd", "3")), ERR_Success, "" },
	{ try_manifest, MANIFEST(DESC(OCI_CONFIG, "2"), DESC(OCI_LAYER "+encrypted", "3")), ERR_NotSupported, "none that can be unpacked" },
	{ try_manifest, MANIFEST(DESC("application/vnd.cncf.helm.config.v1+json", "2"), ""), ERR_NotSupported, "something else" },
	{ try_manifest, INDEX(""),                                                     ERR_Docker, "no manifest" },
	{ try_manifest, "{\"schemaVersion\":1}",                                       ERR_NotSupported, "first schema" },

	{ try_config, CONFIG("{}", "[\"" SHA "\"]"),                                   ERR_Success, "" },
	{ try_config, CONFIG("null", "[\"" SHA "\"]"),                                 ERR_Success, "" },
	{ try_config, CONFIG("{\"Cmd\":\"sh\"}", "[\"" SHA "\"]"),                     ERR_Success, "" },
	{ try_config, CONFIG("{\"Cmd\":[\"sh\",1]}", "[\"" SHA "\"]"),                 ERR_Docker, "not of its type" },
	{ try_config, CONFIG("{\"Env\":{}}", "[\"" SHA "\"]"),                         ERR_Docker, "not of its type" },
	{ try_config, CONFIG("{\"Cmd\":[\"a\\u0000b\"]}", "[\"" SHA "\"]"),            ERR_Docker, "no JSON" },
	{ try_config, CONFIG("{}", "[]"),                                              ERR_Docker, "a digest a layer" },
	{ try_config, CONFIG("{}", "[\"../../etc\"]"),                                 ERR_Docker, "is no digest" },
	{ try_config, "{\"os\":\"windows\",\"rootfs\":{\"diff_ids\":[\"" SHA "\"]}}",  ERR_NotSupported, "windows" },
	{ try_config, "{}",                                                            ERR_Docker, "rootfs" },

	{ try_archive, "[{\"Config\":\"c\",\"RepoTags\":null,\"Layers\":[\"l\"]}]",    ERR_Success, "" },
	{ try_archive, "[]",                                                           ERR_Docker, "list of images" },
	{ try_archive, "{}",                                                           ERR_Docker, "list of images" },
	{ try_archive, "[{\"Layers\":[]}]",                                            ERR_Docker, "expected Config" },
	{ try_archive, "[{\"Config\":\"c\",\"Layers\":[1]}]",                          ERR_Docker, "expected Config" },

	{ try_layout, "{\"imageLayoutVersion\":\"1.0.0\"}",                            ERR_Success, "" },
	{ try_layout, "{\"imageLayoutVersion\":\"2.0.0\"}",                            ERR_NotSupported, "2.0.0" },
	{ try_layout, "{}",                                                            ERR_Docker, "imageLayoutVersion" },
	/* clang-format on */
};

static void test_documents(void)
{
	for (size_t i = 0; i < ARRAY_LEN(documents); i++) {
		struct err err = {};
		int r = documents[i].parse(documents[i].json, &err);
		unit_ok((r == 0) == (documents[i].kind == ERR_Success) && err.kind == documents[i].kind &&
				strstr(err.text, documents[i].says),
			"%.200s: %s '%s'", documents[i].json, err_kind_name(err.kind), err.text);
	}
}

static void test_limits(void)
{
	autotext struct text json = {};
	struct err err = {};

	text_add(&json, "{\"schemaVersion\":2,\"manifests\":[");
	for (int i = 0; i <= IMAGE_INDEX_MAX; i++)
		text_addf(&json, "%s%s", i ? "," : "", DESC(OCI_MANIFEST, "1"));
	text_add(&json, "]}");
	unit_int(try_index(text_str(&json), &err), -EIO, "too many entries in an index");
	unit_ok(strstr(err.text, "1025 entries"), "%s", err.text);
	text_clear(&json);
	for (int i = 0; i < 100000; i++)
		text_addc(&json, '[');
	unit_int(try_archive(text_str(&json), &err), -EIO, "100000 lists within each other");
	text_clear(&json);
	while (json.len <= IMAGE_JSON_MAX)
		text_add(&json, "          ");
	unit_int(try_archive(text_str(&json), &err), -EIO, "a document that is too long");
	unit_ok(strstr(err.text, "at most"), "%s", err.text);
}

static void test_config_values(void)
{
	static const char json[] =
		CONFIG("{\"Entrypoint\":[\"/e\"],\"Cmd\":[\"a\",\"\"],\"Env\":[\"X=\\n\"],\"User\":\"u\"}",
		       "[\"" SHA "\",\"" SHA "\"]");
	autoconfig struct image_config c = {};

	unit_int(image_config_parse(json, strlen(json), &c, NULL), 0, "a configuration");
	unit_ok(c.entrypoint.n == 1 && c.cmd.n == 2 && !*c.cmd.p[1] && c.env.n == 1, "its lists");
	unit_str(c.env.n ? c.env.p[0] : "", "X=\n", "a newline in a variable");
	unit_str(c.user, "u", "its user");
	unit_str(c.workdir, "", "no directory");
	unit_ok(c.diff_ids.n == 2 && strcmp(c.diff_ids.p[0], HEX) == 0, "layers without their algorithm");
}

/* ---- tar ---- */

struct member {
	const char *name, *data, *link;
	char type;
	const char *prefix;
};

static void add_block(struct text *out, const struct member *m)
{
	char h[512] = {};
	unsigned sum = 0;

	snprintf(h, 100, "%s", m->name);
	snprintf(h + 100, 8, "%07o", 0644);
	snprintf(h + 124, 12, "%08o", (unsigned)strlen(m->data) & 0xffffff);
	snprintf(h + 157, 100, "%s", m->link ? m->link : "");
	memcpy(h + 257,
	       "ustar\0"
	       "00",
	       8);
	snprintf(h + 345, 155, "%s", m->prefix ? m->prefix : "");
	h[156] = m->type;
	memset(h + 148, ' ', 8);
	for (size_t i = 0; i < sizeof(h); i++)
		sum += (unsigned char)h[i];
	snprintf(h + 148, 8, "%06o", sum);
	text_addn(out, h, sizeof(h));
	text_add(out, m->data);
	while (out->len % 512)
		text_addc(out, 0);
}

static const struct member members[] = {
	{ "./a/b", "one", NULL, '0', NULL },
	{ "dir/", "", NULL, '5', NULL },
	{ "../../x", "up", NULL, '0', NULL },
	{ "/abs", "root", NULL, '0', NULL },
	{ "s", "", "a/b", '2', NULL },
	{ "a/t", "", "b", '2', NULL },
	{ "h", "", "./a/b", '1', NULL },
	{ "loop1", "", "loop2", '2', NULL },
	{ "loop2", "", "loop1", '2', NULL },
	{ "away", "", "../../../etc/passwd", '2', NULL },
	{ "twice", "old", NULL, '0', NULL },
	{ "twice", "newer", NULL, '0', NULL },
	{ "name", "prefixed", NULL, '0', "some/where" },
	{ "@LongLink", "long/name", NULL, 'L', NULL },
	{ "cut", "gnu", NULL, '0', NULL },
	{ "pax", "19 path=p/a/x/name\n30 mtime=1700000000.123456789\n", NULL, 'x', NULL },
	{ "cut", "pax", NULL, '0', NULL },
	{ "global", "17 path=nothing\n\n", NULL, 'g', NULL },
	{ "fifo", "", NULL, '6', NULL },
	{ "after", "last", NULL, '0', NULL },
};

static const struct {
	const char *name, *data; /* NULL: not there */
} wanted[] = {
	{ "a/b", "one" },       { "x", "up" },
	{ "abs", "root" },      { "s", "one" },
	{ "a/t", "one" },       { "h", "one" },
	{ "loop1", NULL },      { "away", NULL },
	{ "twice", "newer" },   { "some/where/name", "prefixed" },
	{ "long/name", "gnu" }, { "p/a/x/name", "pax" },
	{ "after", "last" },    { "cut", NULL },
	{ "dir", NULL },        { "fifo", NULL },
	{ "./a//b", "one" },    { "nothing", NULL },
};

static int put_file(const struct text *t, size_t len)
{
	int fd = memfd_create("tar", MFD_CLOEXEC);

	if (fd < 0 || fd_write_all(fd, text_str(t), len) < 0)
		abort();
	return fd;
}

static void check_wanted(int fd, const struct tar_index *tar)
{
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		const struct tar_member *m = tar_index_find(tar, wanted[i].name);
		char buf[64] = {};
		if (!m || !wanted[i].data) {
			unit_ok(!m == !wanted[i].data, "tar: %s", wanted[i].name);
			continue;
		}
		if (m->size < sizeof(buf) && pread(fd, buf, m->size, (off_t)m->offset) < 0)
			abort();
		unit_str(buf, wanted[i].data, wanted[i].name);
	}
}

static void test_tar(void)
{
	autotext struct text t = {};
	struct tar_index tar = {};
	struct err err = {};

	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		add_block(&t, &members[i]);
	for (size_t cut = 0; cut <= 1024; cut += 512) {
		autoclose int fd = put_file(&t, t.len);
		char zeros[1024] = {};
		if (lseek(fd, 0, SEEK_END) < 0 || fd_write_all(fd, zeros, cut) < 0)
			abort();
		unit_int(tar_index_read(fd, &tar, &err), 0, "an archive, and how it may end");
		if (cut == 1024)
			check_wanted(fd, &tar);
		tar_index_done(&tar);
	}
	for (size_t cut = 1; cut < t.len; cut += 200) {
		autoclose int fd = put_file(&t, cut);
		int r = tar_index_read(fd, &tar, &err);
		if (cut % 512 && r == 0 && tar.p[tar.n - 1].offset + tar.p[tar.n - 1].size > cut)
			unit_ok(false, "cut at %zu: a member beyond the end", cut);
		tar_index_done(&tar);
	}
	t.p[0] ^= 1;
	autoclose int fd = put_file(&t, t.len);
	unit_int(tar_index_read(fd, &tar, &err), -EINVAL, "a header with a wrong sum");
	tar_index_done(&tar);
}

static void test_sha(void)
{
	char hex[IMAGE_HEX + 1];

	sum_of("abc", 3, hex);
	unit_str(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "sha256 of abc");
}

int main(void)
{
	test_refs();
	test_prefixes();
	test_documents();
	test_limits();
	test_config_values();
	test_tar();
	test_sha();
	return unit_end();
}
