/* The pure parts of layerstore: what backends require and refuse, records, project numbers. */
#include "layerstore/layerstore.h"
#include "layerstore/quota.h"

#include "tests/unit/unit.h"

/* ---- vol_check_spec ---- */

#define G (UINT64_C(1) << 30)

enum {
	AUTO = 1,
	STORAGE = 2,
	LAYERS = 4,
	SPACE = 8,
	INODES = 16,
	RO = 32,
};

static const struct row {
	const char *backend;
	unsigned has;
	enum err_kind kind;
} rows[] = {
	{ "",          AUTO,                         ERR_Success         },
	{ "",          AUTO | LAYERS | SPACE,        ERR_Success         },
	{ "bind",      AUTO,                         ERR_InvalidProperty },
	{ "bind",      AUTO | STORAGE | RO,          ERR_Success         },
	{ "bind",      AUTO | STORAGE | LAYERS,      ERR_InvalidProperty },
	{ "bind",      AUTO | STORAGE | SPACE,       ERR_InvalidProperty },
	{ "dir",       0,                            ERR_Success         },
	{ "dir",       AUTO,                         ERR_InvalidProperty },
	{ "dir",       RO,                           ERR_InvalidProperty },
	{ "dir",       STORAGE,                      ERR_InvalidProperty },
	{ "dir",       INODES,                       ERR_InvalidProperty },
	{ "hugetmpfs", AUTO,                         ERR_InvalidProperty },
	{ "hugetmpfs", AUTO | SPACE,                 ERR_Success         },
	{ "loop",      AUTO | SPACE | LAYERS,        ERR_Success         },
	{ "loop",      AUTO | SPACE | LAYERS | RO,   ERR_InvalidValue    },
	{ "loop",      AUTO | STORAGE,               ERR_Success         },
	{ "lvm",       AUTO | SPACE,                 ERR_NotSupported    },
	{ "native",    AUTO | INODES,                ERR_Success         },
	{ "native",    AUTO | LAYERS | RO,           ERR_InvalidValue    },
	{ "nbd",       AUTO | STORAGE,               ERR_NotSupported    },
	{ "none",      AUTO,                         ERR_NotSupported    },
	{ "overlay",   AUTO,                         ERR_InvalidProperty },
	{ "overlay",   AUTO | LAYERS | STORAGE | RO, ERR_Success         },
	{ "plain",     AUTO | LAYERS,                ERR_Success         },
	{ "plain",     AUTO | SPACE,                 ERR_InvalidProperty },
	{ "quota",     0,                            ERR_InvalidProperty },
	{ "quota",     AUTO | SPACE,                 ERR_InvalidProperty },
	{ "quota",     INODES,                       ERR_Success         },
	{ "quota",     SPACE | STORAGE,              ERR_InvalidProperty },
	{ "rbd",       AUTO | STORAGE,               ERR_NotSupported    },
	{ "rbind",     AUTO,                         ERR_InvalidProperty },
	{ "rbind",     STORAGE,                      ERR_Success         },
	{ "squash",    AUTO | STORAGE,               ERR_InvalidProperty },
	{ "squash",    AUTO | LAYERS | RO,           ERR_Success         },
	{ "tmpfs",     AUTO | INODES,                ERR_InvalidProperty },
	{ "tmpfs",     AUTO | SPACE,                 ERR_Success         },
	{ "tmpfs",     AUTO | SPACE | LAYERS,        ERR_InvalidProperty },
	{ "tmpfs",     AUTO | SPACE | STORAGE,       ERR_InvalidProperty },
};

static struct vol_spec spec_of(const struct row *row, const struct strv *layers)
{
	return (struct vol_spec){
		.id = 1,
		.backend = row->backend,
		.path = "/v",
		.place = "/place",
		.storage = row->has & STORAGE ? "/storage" : "",
		.fs_type = "",
		.path_auto = row->has & AUTO,
		.read_only = row->has & RO,
		.layers = row->has & LAYERS ? layers : NULL,
		.limits = { .space_limit = row->has & SPACE ? G : 0, .inode_limit = row->has & INODES ? 10 : 0 },
	};
}

static void test_words(const struct strv *layers)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct vol_spec spec = spec_of(&rows[i], layers);
		struct err err = {};
		int r = vol_check_spec(&spec, &err);
		unit_ok(err.kind == rows[i].kind && (r < 0) == (err.kind != ERR_Success), "check: backend '%s' with %#x: %s",
			rows[i].backend, rows[i].has, err_kind_name(rows[i].kind));
		if (err.kind != rows[i].kind)
			printf("# got %s: %s\n", err_kind_name(err.kind), err.text);
	}
}

/* One value that is wrong, whatever the backend. */
static void check_value(const struct vol_spec *spec, enum err_kind kind, const char *name)
{
	struct err err = {};

	(void)vol_check_spec(spec, &err);
	unit_str(err_kind_name(err.kind), err_kind_name(kind), name);
}

static void test_values(const struct strv *layers)
{
	static const struct row plain = { "", AUTO, ERR_Success };
	autostrv struct strv many = {}, relative = {};
	struct vol_spec s = spec_of(&plain, layers);

	s.path = "v";
	check_value(&s, ERR_InvalidPath, "check: a relative path");
	s.path = "/v/../w";
	check_value(&s, ERR_InvalidPath, "check: a path with ..");
	s = spec_of(&plain, layers);
	s.storage = "/s/";
	check_value(&s, ERR_InvalidPath, "check: a storage with a slash at its end");
	s = spec_of(&plain, layers);
	s.limits = (struct vol_limits){ .space_limit = 1, .space_guarantee = 2 };
	check_value(&s, ERR_InvalidValue, "check: a guarantee above the limit");
	s.limits = (struct vol_limits){ .inode_limit = 1, .inode_guarantee = 2 };
	check_value(&s, ERR_InvalidValue, "check: an inode_guarantee above the limit");
	s.limits = (struct vol_limits){ .space_limit = UINT64_MAX };
	check_value(&s, ERR_InvalidValue, "check: a limit larger than any file system");
	s = spec_of(&plain, layers);
	s.fs_type = "btrfs";
	check_value(&s, ERR_InvalidValue, "check: an unknown fs_type");
	s.fs_type = "squashfs";
	check_value(&s, ERR_InvalidValue, "check: squashfs to be written to");
	s.read_only = true;
	check_value(&s, ERR_Success, "check: squashfs read-only");
	s = spec_of(&plain, layers);
	for (int i = 0; i <= VOL_LAYERS_MAX; i++)
		if (strv_add(&many, "/l") < 0)
			return;
	s.layers = &many;
	check_value(&s, ERR_InvalidValue, "check: one layer too many");
	if (strv_add(&relative, "l") < 0)
		return;
	s.layers = &relative;
	check_value(&s, ERR_InvalidPath, "check: a relative layer");
}

/* ---- records ---- */

static bool made_equal(const struct vol_made *a, const struct vol_made *b)
{
	return strcmp(a->backend, b->backend) == 0 && strcmp(a->device, b->device) == 0 && strcmp(a->storage, b->storage) == 0 &&
	       strcmp(a->image, b->image) == 0 && a->quota == b->quota && a->project == b->project && a->dev == b->dev &&
	       a->under == b->under && a->mount == b->mount;
}

static void test_record(void)
{
	static const struct vol_made all[] = {
		{},
		{ .backend = "overlay",
		  .device = "loop3",
		  .storage = "/a b/\n= \\n \\",
		  .image = "/i",
		  .quota = true,
		  .project = UINT32_MAX,
		  .dev = UINT64_MAX,
		  .under = 1,
		  .mount = UINT64_MAX - 1 },
	};

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		autotext struct text t = {};
		struct vol_made back = { .project = 5 };
		unit_ok(vol_made_format(&all[i], &t) == 0 && vol_made_parse(text_str(&t), &back, NULL) == 0 && made_equal(&all[i], &back),
			"record: %zu comes back as it was", i);
	}
}

static void test_bad_records(void)
{
	static const struct {
		const char *text;
		int r;
	} texts[] = {
		{ "",                              0       },
		{ "unknown = 1\nproject = 7\n",    0       },
		{ "project = 7",                   0       },
		{ "project = 4294967296\n",        -EINVAL },
		{ "project = -1\n",                -EINVAL },
		{ "project = x\n",                 -EINVAL },
		{ "quota = yes\n",                 -EINVAL },
		{ "storage = a\\\n",               -EINVAL },
		{ "storage = \\x\n",               -EINVAL },
		{ "backend = longer-than-it-is\n", -EINVAL },
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct vol_made made = { .project = 5 };
		int r = vol_made_parse(texts[i].text, &made, NULL);
		unit_int(r, texts[i].r, texts[i].text);
		if (r < 0)
			unit_int(made.project, 5, "record: a bad one changes nothing");
	}
}

/* ---- projects ---- */

static void test_projects(void)
{
	unit_int(quota_project_of(2), 0x80000002LL, "project: of inode 2");
	unit_int(quota_project_of(0x7fffffff), 0xffffffffLL, "project: of the last inode that fits");
	unit_ok(quota_project_of(UINT64_C(1) << 31 | 2) != quota_project_of(2), "project: large numbers are folded, not cut");
	unit_ok(quota_project_of(UINT64_MAX) >> 31, "project: bit 31 is always set");
}

int main(void)
{
	autostrv struct strv layers = {};

	if (strv_add(&layers, "/l1") < 0 || strv_add(&layers, "/l2") < 0)
		return 1;
	test_words(&layers);
	test_values(&layers);
	test_record();
	test_bad_records();
	test_projects();
	return unit_end();
}
