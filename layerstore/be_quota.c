/* quota: a project quota on the directory at the path itself; and what all have in common who have one. */
#include <fcntl.h>

#include "layerstore/quota.h"
#include "layerstore/vol.h"

int quota_tune(struct vol *v, const struct vol_limits *to, struct err *err)
{
	struct quota limits = { .space_limit = to->space_limit, .inode_limit = to->inode_limit };
	const struct vol_limits *now = &v->spec->limits;
	int r = storage_open(v, err);

	if (r == 0)
		r = storage_check_his(v, v->storage, err);
	if (r < 0)
		return r;
	if (v->made->quota) {
		r = quota_set_limits(v->storage, v->made->project, &limits);
		return r < 0 ? err_sys(err, -r, "quota: setting limits") : 0;
	}
	if (to->space_limit == now->space_limit && to->inode_limit == now->inode_limit)
		return 0;
	if (quota_supported(v->storage) < 0)
		return err_set(err, ERR_NotSupported, "space_limit: no project quota in %s", v->made->storage);
	r = quota_begin(v->storage, &limits, &v->made->project, err);
	v->made->quota = r == 0;
	return r;
}

static int prepare(struct vol *v, struct err *err)
{
	if (!v->made->quota)
		return err_set(err, ERR_NotSupported, "quota: no project quota in %s", v->spec->path);
	return 0;
}

static int mount_nothing(struct vol *v, struct err *err)
{
	(void)err;
	(void)v;
	return VOL_NO_MOUNT;
}

const struct backend backend_quota = {
	.name = "quota",
	.needs = WORD_PATH | WORD_LIMIT,
	.refuses = WORD_READ_ONLY | WORD_STORAGE | WORD_LAYERS,
	.quota = true,
	.prepare = prepare,
	.mount = mount_nothing,
	.tune = quota_tune,
};
