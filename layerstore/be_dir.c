/* dir: the directory at the path itself, as it is. */
#include "layerstore/vol.h"

static int dir_mount(struct vol *v, struct err *err)
{
	(void)v;
	(void)err;
	return VOL_NO_MOUNT;
}

const struct backend backend_dir = {
	.name = "dir",
	.needs = WORD_PATH,
	.refuses = WORD_LIMIT | WORD_READ_ONLY | WORD_STORAGE | WORD_LAYERS,
	.recount_ok = true,
	.mount = dir_mount,
};
