/* tmpfs and hugetmpfs: a file system in memory, whose size is the limit. */
#include <fcntl.h>
#include <stdio.h>

#include "layerstore/vol.h"

struct texts {
	char size[24], inodes[24], mode[8], uid[16], gid[16];
};

static size_t size_params(const struct vol_limits *l, struct texts *t, struct mnt_param *to)
{
	size_t n = 0;

	snprintf(t->size, sizeof(t->size), "%llu", (unsigned long long)l->space_limit);
	snprintf(t->inodes, sizeof(t->inodes), "%llu", (unsigned long long)l->inode_limit);
	to[n++] = (struct mnt_param){ "size", t->size };
	/* 0 is no limit, as here. */
	to[n++] = (struct mnt_param){ "nr_inodes", t->inodes };
	return n;
}

static int make(struct vol *v, const char *huge, struct err *err)
{
	const struct vol_spec *s = v->spec;
	struct mnt_param params[10] = {};
	struct texts t = {};
	size_t n = size_params(&s->limits, &t, params);

	snprintf(t.mode, sizeof(t.mode), "%o", s->mode & 07777u);
	snprintf(t.uid, sizeof(t.uid), "%u", (unsigned)s->uid);
	snprintf(t.gid, sizeof(t.gid), "%u", (unsigned)s->gid);
	params[n++] = (struct mnt_param){ "source", "porto-volume" };
	params[n++] = (struct mnt_param){ "mode", t.mode };
	params[n++] = (struct mnt_param){ "uid", t.uid };
	params[n++] = (struct mnt_param){ "gid", t.gid };
	if (huge)
		params[n++] = (struct mnt_param){ "huge", huge };
	return mnt_new("tmpfs", params, s->read_only, err);
}

static int tmpfs_mount(struct vol *v, struct err *err)
{
	return make(v, NULL, err);
}

static int huge_prepare(struct vol *v, struct err *err)
{
	(void)v;
	if (access("/sys/kernel/mm/transparent_hugepage/shmem_enabled", F_OK) < 0)
		return err_set(err, ERR_NotSupported, "hugetmpfs: this kernel has no huge pages for tmpfs");
	return 0;
}

static int huge_mount(struct vol *v, struct err *err)
{
	return make(v, "always", err);
}

static int tmpfs_tune(struct vol *v, const struct vol_limits *to, struct err *err)
{
	autoclose int fd = path_open(v->spec->path, O_PATH | O_DIRECTORY);
	struct mnt_param params[4] = {};
	struct texts t = {};
	int r;

	if (fd < 0)
		return err_sys(err, -fd, "%s", v->spec->path);
	if (!to->space_limit)
		return err_set(err, ERR_InvalidValue, "space_limit: %s has one always", v->be->name);
	size_params(to, &t, params);
	r = mnt_reconfigure(fd, params, err);
	return r == -EINVAL ? err_set(err, ERR_InvalidValue, "space_limit: less than there is in the volume") : r;
}

const struct backend backend_tmpfs = {
	.name = "tmpfs",
	.needs = WORD_SPACE_LIMIT,
	.refuses = WORD_STORAGE | WORD_LAYERS,
	.recount_ok = true,
	.mount = tmpfs_mount,
	.tune = tmpfs_tune,
};

const struct backend backend_hugetmpfs = {
	.name = "hugetmpfs",
	.needs = WORD_SPACE_LIMIT,
	.refuses = WORD_STORAGE | WORD_LAYERS,
	.recount_ok = true,
	.prepare = huge_prepare,
	.mount = huge_mount,
	.tune = tmpfs_tune,
};
