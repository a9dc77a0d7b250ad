/*
 * engine/dirs.h: what a kind of directory can do, a table of functions each. Those of containers are in engine.c and files.c
 * themselves. A member that is NULL means: nothing of that kind here (-ENOENT, -EPERM). None of them may wait.
 */
#ifndef ENGINE_DIRS_H
#define ENGINE_DIRS_H

#include "engine/ct.h"
#include "engine/rows.h"

/* A change to the directory itself. */
struct dir_call {
	struct engine *e;
	const struct engine_cred *who, *as; /* who asks; who that counts as (cred_effective) */
	struct engine_cred effective;       /* where `as` points */
	struct ct *home;                    /* the container it lives in */
	uint64_t cookie;
	const struct engine_node *node;     /* the directory */
	const char *name;                   /* what is to be made or removed in it */
	struct err *err;
};

struct dir_ops {
	const struct file_row *rows;
	size_t count;
	/* Names besides the rows' and those with brackets: as engine_name. */
	int (*find_name)(const char *name, int *file, size_t *key);
	bool (*exists)(struct engine *e, const struct engine_node *n);
	/* Owner and mode of the directory (file -1), or of its files without the write bits. */
	int (*attr)(struct engine *e, const struct engine_node *n, struct engine_attr *ret);
	/* May c->as write this file? Asked at the open, for rows with FILE_WRITE. */
	int (*check_writer)(const struct dir_call *c);
	/* Is it still c->who's? Asked at each write, as owners change while files are open. */
	int (*check_owner)(const struct file_call *c);
	int (*lookup)(struct engine *e, const struct engine_node *n, const char *name, enum engine_dir *dir, uint32_t *id);
	bool (*next_child)(struct engine *e, const struct engine_node *n, struct engine_child *child);
	int (*make)(const struct dir_call *c, struct engine_child *made);
	int (*remove)(const struct dir_call *c);
	int (*unlink)(const struct dir_call *c);
	int (*chown)(const struct dir_call *c, uid_t uid, gid_t gid);
	/* As engine_take_back. */
	void (*take_back)(struct engine *e, uint64_t cookie, const struct engine_node *n, uint64_t extends, int result);
	/* A write that comes again joins what it had begun; true if it did. */
	bool (*join)(struct engine *e, uint64_t cookie);
	/* Of a row with FILE_ANSWER. */
	void (*closed)(struct engine *e, uint64_t cookie, const struct engine_node *n);
	/* Of a row with FILE_STREAM: as engine_stream_base, _end and engine_pread. */
	int (*stream_base)(struct engine *e, const struct engine_node *n, uint64_t *base);
	uint64_t (*stream_end)(struct engine *e, const struct engine_node *n);
	ssize_t (*pread)(const struct file_call *c, char *buf, size_t size, uint64_t off);
	/* Forgets a request that waits; true if it did. */
	bool (*cancel)(struct engine *e, uint64_t cookie);
};

extern const struct dir_ops daemon_dir, volumes_dir, volume_dir, links_dir, layers_dir, layer_dir, storages_dir, storage_dir, meta_dir,
	images_dir, image_dir;

/* help.c: the files of a volume, a line each. */
void vol_properties_format(struct text *out);

/* The container in whose directory it is seen. */
struct ct *dir_view(struct engine *e, const struct engine_node *n);
/* attr of `.volumes` and the like: the container's owner's; whoever may have containers may make and write there. */
int dir_list_attr(struct engine *e, const struct engine_node *n, struct engine_attr *ret);

/* NULL for DIR_CT. */
const struct dir_ops *dir_ops(enum engine_dir dir);

#endif
