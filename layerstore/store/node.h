/*
 * layerstore/store/node.h: one file, directory or link of a tree, as it travels between archive and disk. Values only:
 * strings belong to whoever filled it in, until the next one. Names are bytes, below the top, clean (whiteout.h).
 */
#ifndef LAYERSTORE_STORE_NODE_H
#define LAYERSTORE_STORE_NODE_H

#include <sys/stat.h>
#include <time.h>

#include "base/defs.h"

struct xattr {
	char *name;
	void *value;
	size_t len;
};

struct xattrs {
	struct xattr *v;
	size_t n, cap;
};

struct node {
	const char *path; /* "" is the top itself */
	mode_t mode;      /* type and permissions */
	uid_t uid;
	gid_t gid;
	dev_t rdev;
	uint64_t size; /* of a file */
	struct timespec mtime;
	bool has_mtime;
	bool opaque;        /* a directory that hides what lies below it */
	const char *target; /* of a symbolic link */
	const char *link;   /* another name of the file of this path: then nothing but path counts */
	struct xattrs x;
};

/* Copies; 0 or -ENOMEM. */
int xattrs_add(struct xattrs *x, const char *name, const void *value, size_t len);
void xattrs_clear(struct xattrs *x); /* keeps the list's memory */
void xattrs_done(struct xattrs *x);

#endif
