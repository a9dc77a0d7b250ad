/*
 * layerstore/mnt.h: mounts by descriptor. A new mount is detached until mnt_attach puts it on a directory that is held
 * open, so that nobody can lead it elsewhere by renaming or by a symbolic link. A descriptor of a mount is the
 * caller's; closing one that was never attached dissolves the mount.
 */
#ifndef LAYERSTORE_MNT_H
#define LAYERSTORE_MNT_H

#include <sys/types.h>

#include "base/defs.h"
#include "base/err.h"

/* No devices and no setuid programs in the host's namespace. */
#define MNT_HOST_ATTRS 0x6u

struct mnt_param {
	const char *key, *value; /* value NULL: a flag; key NULL: the end */
};

/* A new file system, detached, shared, with MNT_HOST_ATTRS; or -errno and what the kernel says about it. */
int mnt_new(const char *type, const struct mnt_param *params, bool read_only, struct err *err);

/* The steps of mnt_new, for who has more to say: a context, a word (fsconfig), the mount. */
int mnt_context(const char *type, struct err *err);
int mnt_set(int context, const char *key, const char *value);
int mnt_set_fd(int context, const char *key, int fd);
int mnt_create(int context, const char *type, bool read_only, struct err *err);

/* New parameters for the file system that is mounted at fd. */
int mnt_reconfigure(int fd, const struct mnt_param *params, struct err *err);

/* A bind mount of dirfd/name ("": dirfd itself), detached, a slave of the old one and shared. */
#define MNT_RECURSIVE  1u
#define MNT_READ_ONLY  2u
#define MNT_ALLOW_SUID 4u
int mnt_clone(int dirfd, const char *name, unsigned flags);
/* A tree that is cloned into itself again and again doubles: what is not root's leaves most of fs.mount-max to others. */
int mnt_check_room(struct err *err);

int mnt_attach(int mount, int target);

/* Where a file lies. root: it is the top of a mount. */
struct mnt_where {
	uint64_t id; /* of the mount; never used again from Linux 6.8 on */
	bool root;
	mode_t mode;
	uint64_t dev, ino;
};
int mnt_where(int dirfd, const char *name, struct mnt_where *ret);

/* Detaches, with all below, what is mounted on dirfd/name above the mount `under` (0: all). Missing is fine. */
int mnt_detach(int dirfd, const char *name, uint64_t under);

/* The mount of that number, when the directory it stands on was moved. Only of numbers that are never used again. 1:
 * done, 0: there is none. */
int mnt_detach_lost(uint64_t id);
bool mnt_is_unique(uint64_t id);

/* The mount whose top fd is, wherever it stands. */
int mnt_detach_fd(int fd);

#endif
