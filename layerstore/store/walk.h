/*
 * layerstore/store/walk.h: reads a tree into nodes, a directory before what is in it, names in byte order. No link is
 * followed, no mount is entered (its directory comes empty), what vanishes meanwhile is left out, sockets too.
 * Descriptors grow with the depth, memory with the number of files that have several names.
 */
#ifndef LAYERSTORE_STORE_WALK_H
#define LAYERSTORE_STORE_WALK_H

#include "base/err.h"
#include "layerstore/store/node.h"

struct walk_at {
	int dir;          /* where it lies */
	const char *name; /* there; "" for the top */
	int fd;           /* a file or directory, open for reading; else -1 */
};

typedef int (*walk_fn)(void *arg, const struct node *n, const struct walk_at *at, struct err *err);

/*
 * The first is the top itself. Ends when fn returns other than 0, which it returns. Of attributes those that an archive may bring, or
 * all but overlayfs's own.
 */
enum walk_attrs { WALK_ARCHIVED, WALK_ALL };
int walk_tree(int top, enum walk_attrs attrs, walk_fn fn, void *arg, struct err *err);

#endif
