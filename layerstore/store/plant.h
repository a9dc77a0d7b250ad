/*
 * layerstore/store/plant.h: builds a tree on disk out of nodes, in any order, into an empty directory or over what is
 * there.
 *
 * Nothing outside the directory is reached: parents are opened beneath it without following links, a name that is taken
 * is removed before it is made anew (so nothing is ever written through a hard link), what is in the way of another
 * type goes. A parent that no node brought is made root:root 0755. Memory doesn't grow with the tree: the modification
 * time of a directory is put back whenever the work moves on to another one, so there is no list of what is still to be
 * set at the end. Refusals (a path through a symbolic link, a hard link to nothing) are InvalidValue; a full disk is
 * NoSpace. umask must be 0.
 */
#ifndef LAYERSTORE_STORE_PLANT_H
#define LAYERSTORE_STORE_PLANT_H

#include "base/err.h"
#include "layerstore/store/node.h"

struct plant;

struct plant_ops {
	/* Sets the opaque mark on an open directory; 0 or -errno. */
	int (*set_opaque)(void *arg, int dirfd);
	/* Writes the data of the file being made; n->size bytes belong into it. NULL: files stay empty. */
	int (*fill)(void *arg, int fd, const struct node *n, struct err *err);
	void *arg;
};

/* top stays the caller's, open longer than the plant. */
int plant_new(int top, const struct plant_ops *ops, struct plant **ret);
int plant_put(struct plant *p, const struct node *n, struct err *err);
/* The name is hidden by a whiteout; if the tree has it, a directory becomes opaque and anything else just stays. */
int plant_hide(struct plant *p, const char *path, struct err *err);
/* The directory is made if it isn't there. */
int plant_opaque(struct plant *p, const char *path, struct err *err);
/* Removes a name and all below it; a missing one is fine. */
int plant_remove(struct plant *p, const char *path, struct err *err);
/* The name becomes another one of the file srcdir/name. */
int plant_link_from(struct plant *p, const char *path, int srcdir, const char *name, struct err *err);
/* Sets the last directory's time. NULL is fine. */
int plant_end(struct plant *p, struct err *err);
void plant_free(struct plant *p);

#endif
