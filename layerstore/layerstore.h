/*
 * layerstore/layerstore.h: makes and unmakes volumes. Knows nothing of containers, users or records: it gets values and
 * works with descriptors. Plain blocking calls for a thread: no state of its own, no chdir, no umask, no log. Bytes and
 * counts everywhere; a limit of 0 is no limit. Errors: -errno and a sentence (VOLUMES.md has the kinds).
 *
 * In order: vol_prepare, (write `made` down), vol_build, (write it down again: it knows the mount now), ...,
 * vol_destroy. vol_destroy undoes what any of them did or began, from spec and made as of either writing, as often as
 * it is called.
 *
 * PLACE/porto_volumes/ID/ is a volume's home, made when it is needed: `volume` (automatic path), BACKEND (temporary
 * storage), `lower`, `upper` (mount points while it is built, and of an upper layer on a loop image).
 */
#ifndef LAYERSTORE_LAYERSTORE_H
#define LAYERSTORE_LAYERSTORE_H

#include <limits.h>
#include <sys/types.h>

#include "base/defs.h"
#include "base/err.h"
#include "base/text.h"

#define VOL_LAYERS_MAX 499

struct vol_limits {
	uint64_t space_limit, inode_limit, space_guarantee, inode_guarantee;
};

/* What is wanted. Strings are the caller's, never NULL; all paths are absolute and normal. */
struct vol_spec {
	uint64_t id;
	const char *backend; /* "": detected */
	const char *path;
	const char *place;   /* the directory that holds porto_volumes, which exists */
	const char *storage; /* existing directory or file, or what the backend makes of it; "": temporary */
	const char *fs_type; /* of a loop image; "": ext4 */
	bool path_auto;      /* path is made and removed by us; its parent as well, made if missing */
	bool storage_named;  /* storage is a directory of the place: made if missing, never removed here */
	bool read_only;
	bool own_top; /* uid, gid and mode go to the top of an old storage too; a new one always gets them */
	const char *store;   /* the program porto-store, which copies layers */
	const struct strv *layers; /* absolute paths of directories or images, top first; may be NULL */
	struct vol_limits limits;
	uid_t uid;
	gid_t gid;
	mode_t mode;
	uid_t by; /* who asks; unless 0, a storage that is given by its path is changed only where it is his */
};

/* What was decided and done: all that undoing needs. Saved as text. */
struct vol_made {
	char backend[16];
	char device[32];        /* disk of the storage: sda, md0, loop3; "": none or unknown */
	char storage[PATH_MAX]; /* directory or image file where the data is; "": none */
	char image[PATH_MAX];   /* image that a loop device stands on: loop, or the upper layer of overlay; "": none */
	bool quota;             /* the storage has a project quota */
	uint32_t project;       /* its project, once it is built */
	uint64_t dev;           /* device number of the storage's file system; guarantees are added up by it */
	uint64_t under;         /* mount the path was in before */
	uint64_t mount;         /* mount at the path; 0: none, or not built yet */
};

int vol_made_format(const struct vol_made *made, struct text *out); /* lines `name = value` */
int vol_made_parse(const char *text, struct vol_made *ret, struct err *err);

/* Pure: what the backend requires and refuses. Backend "" is checked for what holds of all. */
int vol_check_spec(const struct vol_spec *spec, struct err *err);

/* Checks, detects the backend where none is asked for, and fills *made. Changes nothing. */
int vol_prepare(const struct vol_spec *spec, struct vol_made *made, struct err *err);

/*
 * Is there room for the guarantees, beside what others (their guarantees less their usage, on the same made->dev)
 * claim? NoSpace if not. limits: the volume's own, at creation or as tuned.
 */
int vol_check_guarantee(const struct vol_made *made, const struct vol_limits *limits, const struct vol_limits *others,
			struct err *err);

int vol_build(const struct vol_spec *spec, struct vol_made *made, struct err *err);
int vol_destroy(const struct vol_spec *spec, struct vol_made *made, struct err *err);

/* All four limits are put in force; spec still has the old ones. Backends without: NotSupported. Save made afterwards.
 */
int vol_tune(const struct vol_spec *spec, struct vol_made *made, const struct vol_limits *limits, struct err *err);

/* vcheck: walks the tree, gives it its project again, corrects the counters; what it found goes to report. Slow. */
int vol_recount(const struct vol_spec *spec, const struct vol_made *made, struct text *report, struct err *err);

struct vol_usage {
	uint64_t space_used, inode_used, space_available, inode_available;
};
/* From quota or statfs. */
int vol_usage(const struct vol_spec *spec, const struct vol_made *made, struct vol_usage *ret);

/* Is what vol_build mounted still there? For a backend that mounts nothing: does the path exist? */
bool vol_is_mounted(const struct vol_spec *spec, const struct vol_made *made);

/*
 * Takes away, lazily, what is mounted on dirfd/NAME or below it, through no symbolic link. Who is to remove that does not go into
 * mounts. 0 or -errno.
 */
int tree_unmount_below(int dirfd, const char *name);

/* The tree that an export writes: of overlay the upper layer, else the whole volume. A descriptor, the caller's. */
int vol_open_data(const struct vol_spec *spec, const struct vol_made *made, struct err *err);

/* A bind mount of a volume at ROOT/target; allows setuid, never devices. */
struct vol_link {
	const char *source;    /* the volume's path */
	uint64_t source_mount; /* its made->mount, so that nothing else is linked; 0: not known */
	int root;              /* directory that target can't leave; the caller's */
	const char *target;    /* path below it, normal */
	bool read_only;
	bool recursive; /* with the mounts below: backends dir and rbind */
	uid_t uid;      /* of the directories, or the file, that are made for it, with the rights of these */
	gid_t gid;
	const struct strv *groups; /* numbers; NULL: none */
	uint64_t mount; /* set by vol_link; vol_unlink takes 0 for whatever is mounted exactly there */
};

int vol_link(struct vol_link *l, struct err *err);
/* strict: Busy when in use, else detached with all below. VolumeNotLinked when nothing of it is there (fine for
 * clean-up). */
int vol_unlink(const struct vol_link *l, bool strict, struct err *err);

/*
 * A directory that holds several things, and its limits together (0: none), by project quota. NotSupported for a limit where
 * there is none of it; then dir_get_limits says 0. May walk the tree when it has limits for the first time.
 */
int dir_set_limits(int dir, uint64_t space_limit, uint64_t inode_limit, struct err *err);
void dir_get_limits(int dir, struct vol_limits *limits, struct vol_usage *usage);
void dir_end_limits(int dir); /* it is about to be removed */

/* Lines `name: yes` or `name: missing: reason`, for a place. */
void vol_features(const char *place, struct text *out);

#endif
