/*
 * portofs/node.h: what the kernel calls a file: 64 bits that mean the same to every worker of the mount.
 *
 *     high 32   the container, volume, layer or storage whose directory it is in (never reused, so an id of one that is gone
 *               stays invalid); with the bit `viewed` the place in a table of those that are seen in a container's directory:
 *               the kernel wants a directory to have one name, so /porto/a/.volumes/7 is another one than /porto/.volumes/7
 *     low 32    kind (3 bits) and payload
 *
 * FUSE's root, 1, is the directory of container 1. File numbers differ from binary to binary: ids hold the place of the
 * file's name in a table in shared memory. An action file's id also holds a counter, another one at each lookup, for a
 * pending write holds the kernel's lock on the inode (DESIGN 6). Names that stand in no table are kept in a table of the
 * least recently used; an id whose name was dropped is -ESTALE, and the kernel looks the name up again.
 */
#ifndef PORTOFS_NODE_H
#define PORTOFS_NODE_H

#include "portofs/fs.h"

enum node_kind { NODE_DIR, NODE_FILE, NODE_KEY, NODE_SELF };

struct node {
	enum node_kind kind;
	uint32_t high;         /* of the id */
	struct engine_node at; /* as the engine wants it; file -1 for a directory */
	unsigned flags;        /* of the file */
	uint32_t payload;      /* the id's low part without the kind */
};

/* Fills names[] from and into shared memory. -ENOSPC: too many files. */
int node_init(struct fs *fs);

/* The node behind an id; whether its container still is there is for the engine to say. 0 or -ESTALE. */
int node_of_id(struct fs *fs, uint64_t id, struct node *ret);
uint64_t node_id(const struct node *n);

/* A directory as it is seen in that of container `view`. */
void node_dir(struct fs *fs, uint32_t view, enum engine_dir dir, uint32_t id, struct node *ret);
/* One of its files; a name in it that stands in no table: file and key as engine_name gave them. */
void node_file(struct fs *fs, const struct node *dir, int file, struct node *ret);
int node_name(struct fs *fs, const struct node *dir, const char *name, struct node *ret); /* -ENOENT, -ENAMETOOLONG, -ENOSPC */

/* The directories that a directory always has: false when there is no i-th. */
bool node_subdir(struct fs *fs, const struct node *dir, size_t i, const char **name, struct node *ret);
/* Is this name one of theirs? */
bool node_is_fixed(struct fs *fs, const struct node *dir, const char *name);
/* What ".." is in a directory; "/" is its own. */
void node_up(struct fs *fs, const struct node *dir, struct node *ret);

/* Finds a name in a directory and gives action files a fresh counter. -ENOENT, -ENAMETOOLONG, -ENOSPC. */
int node_lookup(struct fs *fs, const struct node *dir, const char *name, struct node *ret);

/* Is this file there at all in this directory? */
bool node_has(const struct engine_file *file, const struct node *dir);

/* st_ino is the same for a file whatever its counter or place. */
int node_stat(struct fs *fs, const struct node *n, struct stat *ret);
int node_entry(struct fs *fs, const struct node *n, struct fuse_entry_param *ret);
bool node_size_is_guess(const struct node *n); /* fs_true_size knows better */
double node_attr_timeout(const struct node *n);

/*
 * An open handle keeps the name behind a NODE_KEY. -EMFILE: this user, not root, keeps many. When all names are kept, it is others
 * than root whose handles become -ESTALE.
 */
int node_pin(struct fs *fs, const struct node *n);
void node_unpin(struct fs *fs, const struct node *n);

/* The file's number in shm->names, which outlives the binary. */
uint16_t node_stable(const struct fs *fs, enum engine_dir dir, int file);

#endif
