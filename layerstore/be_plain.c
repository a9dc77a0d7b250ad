/*
 * plain and native: the storage directory, seen at the path; native has a project quota where the file system has one.
 * ext4 lets who has CAP_SYS_RESOURCE in the first user namespace go beyond it; xfs, and an overlay on either, nobody.
 */
#include "layerstore/vol.h"

/* Layers are copied before the owner is set: they bring one for the top. */
static int plain_mount(struct vol *v, struct err *err)
{
	autoclose int top = storage_top(v, err);
	int r = top < 0 ? top : 0;

	if (r == 0 && has_layers(v->spec))
		r = layers_copy(v, top, err);
	if (r == 0)
		r = top_own(v, top, err);
	if (r < 0)
		return r;
	r = mnt_clone(top, "", v->spec->read_only ? MNT_READ_ONLY : 0);
	return r < 0 ? err_sys(err, -r, "%s", v->made->storage) : r;
}

const struct backend backend_plain = {
	.name = "plain",
	.refuses = WORD_LIMIT,
	.storage = STORAGE_DIR,
	.recount_ok = true,
	.copies_layers = true,
	.mount = plain_mount,
};

static int native_prepare(struct vol *v, struct err *err)
{
	if (has_limit(v->spec) && !v->made->quota)
		return err_set(err, ERR_NotSupported,
			       "native: no project quota in %s; backend loop has limits everywhere",
			       v->spec->storage[0] ? v->spec->storage : v->spec->place);
	return 0;
}

const struct backend backend_native = {
	.name = "native",
	.storage = STORAGE_DIR,
	.quota = true,
	.copies_layers = true,
	.prepare = native_prepare,
	.mount = plain_mount,
	.tune = quota_tune,
};
