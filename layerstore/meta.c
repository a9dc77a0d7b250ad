/* Limits of a directory that holds several things: a project quota on it. */
#include <sys/stat.h>

#include "layerstore/layerstore.h"
#include "layerstore/quota.h"
#include "layerstore/vol.h"

static bool has_quota(int dir, struct quota *ret)
{
	struct stat st;

	return quota_supported(dir) == 0 && fstat(dir, &st) == 0 && quota_get(dir, quota_project_of(st.st_ino), ret) == 0;
}

int dir_set_limits(int dir, uint64_t space_limit, uint64_t inode_limit, struct err *err)
{
	struct quota limits = { .space_limit = space_limit, .inode_limit = inode_limit };
	uint32_t project;

	if (quota_supported(dir) == 0)
		return quota_begin(dir, &limits, &project, err);
	if (space_limit == 0 && inode_limit == 0)
		return 0;
	return err_set(err, ERR_NotSupported, "%s: the place's file system has no project quota", space_limit != 0 ? "space_limit" : "inode_limit");
}

void dir_get_limits(int dir, struct vol_limits *limits, struct vol_usage *usage)
{
	struct quota q = {};

	if (!has_quota(dir, &q))
		q = (struct quota){};
	*limits = (struct vol_limits){ .space_limit = q.space_limit, .inode_limit = q.inode_limit };
	*usage = (struct vol_usage){ .space_used = q.space_used, .inode_used = q.inode_used };
}

void dir_end_limits(int dir)
{
	if (quota_supported(dir) == 0)
		(void)quota_end(dir, false);
}
