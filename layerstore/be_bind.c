/* bind and rbind: the storage, seen at the path; with rbind and what is mounted below it. */
#include <sys/stat.h>

#include "layerstore/vol.h"

static int clone(struct vol *v, unsigned flags, struct err *err)
{
	int fd = mnt_clone(v->storage, "", flags | (v->spec->read_only ? MNT_READ_ONLY : 0));

	return fd < 0 ? err_sys(err, -fd, "%s", v->made->storage) : fd;
}

static int bind_mount(struct vol *v, struct err *err)
{
	return clone(v, 0, err);
}

static int rbind_mount(struct vol *v, struct err *err)
{
	int r = v->spec->by != 0 ? mnt_check_room(err) : 0;

	return r < 0 ? r : clone(v, MNT_RECURSIVE, err);
}

const struct backend backend_bind = {
	.name = "bind",
	.needs = WORD_STORAGE,
	.refuses = WORD_LIMIT | WORD_LAYERS,
	.storage = STORAGE_ANY,
	.recount_ok = true,
	.mount = bind_mount,
};

const struct backend backend_rbind = {
	.name = "rbind",
	.needs = WORD_STORAGE,
	.refuses = WORD_LIMIT | WORD_LAYERS,
	.storage = STORAGE_ANY,
	.recount_ok = true,
	.mount = rbind_mount,
};
