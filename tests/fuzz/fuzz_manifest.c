/* The documents of an image and its names: refused with a sentence, or what came out is within bounds and checked. */
#include "layerstore/store/image_manifest.h"

#include "tests/fuzz/fuzz.h"

static void check_result(int r, const struct err *err)
{
	FUZZ_CHECK(r == 0 || (r < 0 && err->kind != ERR_Success && *err->text));
}

static void check_descs(const struct image_descs *d, size_t max)
{
	FUZZ_CHECK(d->n <= max);
	for (size_t i = 0; i < d->n; i++)
		FUZZ_CHECK(image_is_digest(d->p[i].digest) && d->p[i].size <= 1ULL << 40);
}

static void try_index(const char *json, size_t len)
{
	autodescs struct image_descs d = {};
	struct err err = {};
	int r = image_index_parse(json, len, &d, &err);

	check_result(r, &err);
	if (r == 0)
		check_descs(&d, IMAGE_INDEX_MAX);
}

static void try_manifest(const char *json, size_t len)
{
	automanifest struct image_manifest m = {};
	struct err err = {};
	int r = image_manifest_parse(json, len, &m, &err);

	check_result(r, &err);
	if (r < 0)
		return;
	FUZZ_CHECK(image_media_sniff(json, len) == IMAGE_MANIFEST && image_is_digest(m.config.digest));
	check_descs(&m.layers, IMAGE_LAYERS_MAX);
}

static void try_config(const char *json, size_t len)
{
	autoconfig struct image_config c = {};
	struct err err = {};
	int r = image_config_parse(json, len, &c, &err);

	check_result(r, &err);
	if (r < 0)
		return;
	FUZZ_CHECK(c.created && c.user && c.workdir && c.diff_ids.n > 0 && c.diff_ids.n <= IMAGE_LAYERS_MAX);
	for (size_t i = 0; i < c.diff_ids.n; i++)
		FUZZ_CHECK(image_is_hex(c.diff_ids.p[i]));
}

static void try_archive(const char *json, size_t len)
{
	autoarchive struct image_archive a = {};
	struct err err = {};
	int r = image_archive_parse(json, len, &a, &err);

	check_result(r, &err);
	for (size_t i = 0; r == 0 && i < a.n; i++)
		FUZZ_CHECK(*a.p[i].config && a.p[i].layers.n <= IMAGE_LAYERS_MAX);
}

static void try_ref(const char *name)
{
	static const struct image_defaults def = { IMAGE_DEFAULT_REGISTRY, NULL };
	struct image_ref ref, again;
	struct err err = {};
	int r = image_ref_parse(name, &def, &ref, &err);
	autotext struct text shown = {};

	check_result(r, &err);
	if (r < 0)
		return;
	image_ref_format(&ref, &shown);
	FUZZ_CHECK(!strchr(ref.registry, '/') && !strstr(ref.repository, "..") && ref.registry[0] != '-');
	FUZZ_CHECK(*ref.tag || *ref.digest);
	FUZZ_CHECK(image_ref_parse(text_str(&shown), &def, &again, NULL) == 0);
	FUZZ_CHECK(strcmp(ref.registry, again.registry) == 0 && strcmp(ref.repository, again.repository) == 0 &&
		   strcmp(ref.tag, again.tag) == 0 && strcmp(ref.digest, again.digest) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *json = (const char *)data;
	autofree char *name = fuzz_string(data, size);
	char prefix[IMAGE_HEX + 1];
	struct err err = {};

	try_index(json, size);
	try_manifest(json, size);
	try_config(json, size);
	try_archive(json, size);
	check_result(image_layout_check(json, size, &err), &err);
	try_ref(name);
	if (image_prefix_parse(name, prefix) == 0)
		FUZZ_CHECK(*prefix && strlen(prefix) <= IMAGE_HEX);
	return 0;
}
