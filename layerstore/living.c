/* What is asked of a volume that lives: limits, usage, whether it is there. */
#include <fcntl.h>
#include <sys/statvfs.h>

#include "layerstore/quota.h"
#include "layerstore/vol.h"

int vol_tune(const struct vol_spec *spec, struct vol_made *made, const struct vol_limits *limits, struct err *err)
{
	struct vol_spec tuned = *spec;
	const struct vol_limits *now = &spec->limits;
	autovol struct vol v = vol_begin(spec, made);
	int r;

	if (!v.be)
		return err_set(err, ERR_NotSupported, "backend: unknown '%s'", made->backend);
	tuned.limits = *limits;
	tuned.backend = "";
	r = vol_check_spec(&tuned, err);
	if (r < 0)
		return r;
	if (v.be->tune)
		return v.be->tune(&v, limits, err);
	if (limits->space_limit == now->space_limit && limits->inode_limit == now->inode_limit)
		return 0;
	return err_set(err, ERR_NotSupported, "backend %s has no limits to tune", v.be->name);
}

int vol_recount(const struct vol_spec *spec, const struct vol_made *made, struct text *report, struct err *err)
{
	struct vol_made copy = *made;
	autovol struct vol v = vol_begin(spec, &copy);
	int r;

	if (!v.be)
		return err_set(err, ERR_NotSupported, "backend: unknown '%s'", made->backend);
	if (v.be->recount_ok)
		return 0;
	if (!made->quota)
		return err_set(err, ERR_NotSupported, "backend %s: the volume has no project quota to check",
			       v.be->name);
	r = storage_open(&v, err);
	return r < 0 ? r : quota_recount(v.storage, made->project, report, err);
}

static int usage_of_quota(struct vol *v, struct vol_usage *u)
{
	struct quota q;
	int r = storage_find(v);

	if (r == 0)
		r = quota_get(v->storage, v->made->project, &q);
	if (r < 0)
		return r;
	u->space_used = q.space_used;
	u->inode_used = q.inode_used;
	/* Some file systems answer statfs of such a directory with what is left of its limit, some with what the disk
	 * has. */
	if (q.space_limit)
		u->space_available = MIN(u->space_available, q.space_limit - MIN(q.space_limit, q.space_used));
	if (q.inode_limit)
		u->inode_available = MIN(u->inode_available, q.inode_limit - MIN(q.inode_limit, q.inode_used));
	return 0;
}

int vol_usage(const struct vol_spec *spec, const struct vol_made *made, struct vol_usage *ret)
{
	struct vol_made copy = *made;
	autovol struct vol v = vol_begin(spec, &copy);
	autoclose int fd = path_open(spec->path, O_PATH);
	struct vol_usage u;
	struct statvfs fs;
	int r;

	if (fd < 0)
		return fd;
	if (fstatvfs(fd, &fs) < 0)
		return -errno;
	u = (struct vol_usage){
		.space_used = (fs.f_blocks - fs.f_bfree) * fs.f_frsize,
		.inode_used = fs.f_files - fs.f_ffree,
		.space_available = fs.f_bavail * fs.f_frsize,
		.inode_available = fs.f_favail,
	};
	r = made->quota ? usage_of_quota(&v, &u) : 0;
	if (r == 0)
		*ret = u;
	return r;
}

bool vol_is_mounted(const struct vol_spec *spec, const struct vol_made *made)
{
	autoclose int fd = path_open(spec->path, O_PATH);
	const struct backend *be = backend_find(made->backend);
	struct mnt_where at;

	if (fd < 0 || !be)
		return false;
	if (be == &backend_dir || be == &backend_quota)
		return true;
	return made->mount && mnt_where(fd, "", &at) == 0 && at.root && at.id == made->mount;
}

int vol_open_data(const struct vol_spec *spec, const struct vol_made *made, struct err *err)
{
	struct vol_made copy = *made;
	autovol struct vol v = vol_begin(spec, &copy);
	struct mnt_where at;
	int fd, r;

	if (!v.be || (v.be != &backend_overlay && v.be != &backend_squash)) {
		fd = path_open(spec->path, O_RDONLY | O_DIRECTORY);
		if (fd < 0)
			return err_sys(err, -fd, "%s", spec->path);
		/* Whoever owns a directory on the way may have moved it, and something else be there now. */
		if (made->mount && (mnt_where(fd, "", &at) < 0 || at.id != made->mount)) {
			close(fd);
			return err_set(err, ERR_VolumeNotReady, "volume %s: something else is there", spec->path);
		}
		return fd;
	}
	r = made->image[0] ? home_open(&v) : storage_find(&v);
	if (r < 0)
		return err_sys(err, -r, "%s", made->storage);
	fd = made->image[0] ? openat(v.home, "upper/upper", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
			    : openat(v.storage, "upper", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? err_sys(err, errno, "%s: its upper layer", made->storage) : fd;
}
