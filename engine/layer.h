/*
 * engine/layer.h: layers and storages of places: what there is, and the processes (porto-store) that import, export and
 * remove. A place's directories are the truth; what is known here is what the last look at them found, plus what was made
 * since. A layer that was made (mkdir) and not filled yet has a record in the state directory and nothing else.
 *
 * A job (struct sjob) is one porto-store. Its record is written before it may begin, so the worker that follows one that was
 * killed finds it at work, or its result, or begins it again. What it needs from files is done in threads, with copies.
 */
#ifndef ENGINE_LAYER_H
#define ENGINE_LAYER_H

#include "engine/place.h"
#include "engine/vol.h"
#include "layerstore/image_record.h"
#include "layerstore/ring.h"

enum item_state { IS_EMPTY, IS_IMPORTING, IS_READY, ITEM_STATES };
extern const char *const item_state_names[ITEM_STATES];

/* A layer, a storage or a meta-storage, which holds parts of either kind under limits of its own. */
struct item {
	struct item *next, *prev;
	struct item *by_id, *by_name;
	uint32_t id;          /* from kind, place and name, so the next worker gives it the same one */
	uint32_t hash;
	enum stored kind;
	char *place, *name;
	enum item_state state;
	bool reserved;        /* made here and not in the place yet: has a record */
	bool gone;            /* renamed, or about to be, and being removed: has a record too; its name is free */
	bool renamed;         /* it has been */
	bool unmade;          /* a meta-storage whose directory is not there yet */
	bool seen;            /* by the look that goes on */
	unsigned queued;      /* operations on its files that the place has not done yet */
	uid_t uid;
	gid_t gid;
	int64_t used;         /* last use, epoch seconds; 0: not known */
	uint64_t size;        /* bytes of the tree; 0: not known */
	struct vol_limits limits; /* of a meta-storage ... */
	struct vol_usage usage;   /* ... when it was last looked at */
	char *private, *error;
	char *charge;         /* see struct sjob */
	char *before;         /* private text before the write ... */
	uint64_t before_cookie; /* ... with this cookie, which may be the first part of a longer one */
	char *trash;          /* of one that is gone: its name then, behind _remove_ */
	uint64_t unique;
	int unique_result;
};

enum sjob_kind {
	SJ_IMPORT, SJ_MERGE, SJ_EXPORT, SJ_EXPORT_VOLUME, SJ_REMOVE,
	SJ_IMAGE_IMPORT, SJ_IMAGE_PULL, SJ_IMAGE_REMOVE, SJ_IMAGE_SWEEP, SJ_KINDS
};
enum sjob_phase { SJP_WAITING, SJP_PREPARING, SJP_RUNNING, SJP_ENDING, SJP_OVER };

enum { STORE_GO = 7, STORE_RING = 8 }; /* descriptors in porto-store */

/* A request that waits for the stream. */
struct stream_wait {
	struct stream_wait *next;
	uint64_t cookie, off; /* a read: from there; a write: its end */
	size_t size;          /* of a read; 0: a write */
};

struct sjob {
	struct sjob *next;
	struct engine *e;
	const char *program;
	uint32_t id;
	uint64_t stamp;         /* makes names of its files its own, also beside other daemons' */
	enum sjob_kind kind;
	enum sjob_phase phase;
	enum stored stored;
	uint32_t item;          /* or the volume; 0: gone meanwhile */
	char *place, *sub;      /* sub: directory of the place */
	char *name;             /* in it; of a removal what stands behind _remove_ */
	char *path, *format;    /* the archive as the client sees it, "": none; "": the usual format */
	struct strv words;      /* options of porto-store about an image */
	char *client_root;
	struct engine_cred who, as;
	struct strv groups;     /* of as, numbers */
	gid_t porto_gid;
	uid_t owner_uid;        /* of what is imported */
	gid_t owner_gid;
	char *private;          /* of a pull: the token */
	char *charge;           /* the container whose memory pays for an import; "" or NULL: ours */
	char *memory_dir;       /* the memory cgroup it goes into, "": none */
	bool is_default_place;
	bool stopping;          /* told to */
	bool unwanted;          /* nobody wants to know how it ends */
	bool restored;          /* begun by a worker before this one */
	bool never_began;       /* its process went before it did anything ... */
	bool began_again;       /* ... and was started once more */
	uint64_t cookie;        /* who waits for the end; 0: nobody */
	uint64_t handle;        /* of a stream, while it is open */
	struct ring *ring;
	struct stream_wait *waiting;
	struct loop_fd ring_watch;
	struct vop *vop;        /* of a volume's export: what the thread must know of it */
	int jobs_fd, go, status;
	pid_t pid;
	uint64_t start;
	bool child;             /* ours to be waited for */
	struct loop_fd watch;   /* pidfd */
	int result;
	uint64_t unpacked;
	struct image_records images; /* what there is in the place now */
	bool images_read;
	struct err err;
};

#define ITEM_HASH 4096u
#define STORE_CGROUP ".helpers" /* below our root: jobs; no container can be called so */
#define ITEM_SIZE_XATTR "trusted.porto.size" /* of the file with owner and private text: bytes of the tree */

/* Something that is done in a thread to names of a place, see layer_queue.c. work sees copies alone. */
struct place_op {
	struct place_op *next;
	struct engine *e;
	struct item *it; /* NULL: gone meanwhile */
	void (*work)(struct place_op *op);
	void (*done)(struct place_op *op); /* in the loop; it is freed afterwards */
	unsigned dooms;
	enum stored kind;
	char *place, *dir, *base; /* PLACE/DIR/BASE is the item's */
	char *text;               /* private text, or the name behind _remove_ */
	uid_t uid;
	gid_t gid;
	uint64_t size;
	struct vol_limits limits;
	struct vol_usage usage;
	bool emptied;             /* nothing is left to be removed */
	struct engine_cred who;
	uint64_t cookie;
	int result;
	struct err err;
};

/* PLACE/SUB/_remove_NAME, which waits for porto-store. */
struct removal {
	struct removal *next;
	char *sub, *name;
	uint32_t item; /* that is freed with it, 0: none */
};

struct looked_place {
	struct looked_place *next;
	struct engine *e;
	char *path;
	char *real;                              /* its path without symbolic links; NULL: not looked at yet */
	bool looking;                            /* a thread looks at it */
	struct place_op *ops, **last_op;         /* that wait ... */
	struct place_op *running;                /* ... for these, which are the thread's */
	unsigned dooming;                        /* of both: renaming what nobody owns */
	struct removal *removals, **last_removal;
	unsigned removing;                       /* jobs */
	int lock; /* on its porto_volumes: others than the holder leave volumes alone. -1: not held */
	uint64_t stamp; /* what its directories looked like; 0: not known */
	bool weak_gone; /* what was weak when this daemon began */
	bool is_none;   /* nothing that makes it a place was there at the last look */
};

struct store {
	struct item *items;
	size_t item_count;
	struct item **sorted;       /* by id; made when it is asked for */
	bool is_sorted;
	struct item *by_id[ITEM_HASH], *by_name[ITEM_HASH];
	struct sjob *jobs;          /* in order of begin */
	struct looked_place *places;
	struct image_place *images; /* image.h */
	union value load_limit;     /* bytemap */
	int items_fd, jobs_fd;      /* the state directory's layers/ and jobs/ */
	int known_fd;               /* layers/known, to be added to; -1: to be written anew */
	size_t known_added;
	char *program;              /* porto-store */
	char *memory_dir;           /* their memory cgroup, once there is one */
	uint32_t next_job;
	struct loop_timer timer;
	unsigned looking;           /* threads that look at a place */
	unsigned looks;
	bool again;                 /* one of them was too late */
	uint64_t changes;           /* items that were made or removed by us */
	struct cleanup {
		struct cleanup *next;
		struct engine *e;
		struct looked_place *place;
		struct engine_cred who;
		uint64_t cookie;
		bool begun; /* the look that goes on is for it */
	} *cleanups;
};

int store_open(struct engine *e, struct err *err);
void store_close(struct engine *e);
int store_restore(struct engine *e, struct err *err);
void store_list_leaks(struct engine *e, struct text *out);

/* ---- layer.c ---- */

struct item *item_find(struct engine *e, uint32_t id);
struct item *item_find_name(struct engine *e, enum stored kind, const char *place, const char *name); /* no gone one */
int item_new(struct engine *e, enum stored kind, const char *place, const char *name, struct item **ret);
void item_free(struct engine *e, struct item *it);
/* All of that name, those that are gone as well. */
struct item *item_first_named(struct engine *e, enum stored kind, const char *place, const char *name);
struct item *item_next_named(const struct item *it);
/* The one with the smallest id above this one. */
struct item *item_above(struct engine *e, uint32_t id);
void item_set_id(struct engine *e, struct item *it, uint32_t id);
const char *item_word(enum stored kind); /* "layer" */
void item_note_error(struct engine *e, struct item *it, const struct err *err);
int item_check_owner(const struct item *it, const struct engine_cred *as, struct err *err);
/* Busy, if a volume stands on it. */
int item_check_unused(struct engine *e, const struct item *it, struct err *err);
/* A volume is there: the storage that was made for it is known at once. */
void storage_used(const struct vol *v);
/* A volume is gone: weak layers and storages that nobody uses any more go too. */
void layers_unused(struct vol *v);
/* A meta-storage that has parts, of which some have just been made: Busy. */
int item_check_empty(struct engine *e, const struct item *it, struct err *err);
/*
 * It is gone, its name free, and its record says so; renamed and removed it is behind that, and comes back with an error should that
 * not be possible. An import is stopped.
 */
int item_remove(struct engine *e, struct item *it, uint64_t cookie, struct err *err);
/* A line for each that has been removed while its place still has its name: layer_dirs.c. */
void items_leaving(struct engine *e, const struct ct *view, struct text *out);
/* What a worker before this one had begun so. */
void item_finish_removal(struct engine *e, struct item *it);

/* ---- layer_save.c: records of items that are not, or no longer, in a place ---- */

int item_save(struct engine *e, struct item *it, uint64_t cookie, int result, struct err *err);
void item_forget(struct engine *e, struct item *it);
void item_move_record(struct engine *e, struct item *it, uint32_t from); /* its id was another one */
/*
 * What is in places, for the next worker: written before a record of it goes. Changes are added at the file's end, so that many of
 * them cost no more than they are; now and then it is written anew.
 */
void known_put(struct engine *e, const struct item *it);
void known_drop(struct engine *e, const struct item *it);
void known_save(struct engine *e); /* all of them */
int items_restore(struct engine *e, struct err *err);

/* ---- layer_queue.c ---- */

/* About an item; NULL: no memory. */
struct place_op *place_op_new(struct engine *e, struct item *it, void (*work)(struct place_op *op), void (*done)(struct place_op *op));
void place_op_free(struct place_op *op); /* of one that was not begun */
void place_op_begin(struct place_op *op);
void place_ops_forget(struct engine *e, const struct item *it); /* it is freed */
/* PLACE/DIR/NAME, which nobody owns, becomes _remove_TO and is removed. */
void place_doom(struct engine *e, const char *place, const char *dir, const char *name, const char *to);
/* The remains of something, _remove_NAME in PLACE/sub, are removed when there is room; item (0: none) is freed with them. */
void place_remove_later(struct engine *e, const char *place, const char *sub, const char *name, uint32_t item);
void place_removed(struct engine *e, const char *place); /* a job of that kind is over */
bool place_is_idle(const struct looked_place *p);
/* The names that wait to be removed, to be asked with place_removes. Caller frees. */
int place_removals(const struct looked_place *p, const char ***names, size_t *n);
bool place_removes(const char **names, size_t n, const char *name);
/* Something of that name, or the meta-storage it is in, has still to leave its place or to come into it: whoever needs it waits. */
bool place_is_held(struct engine *e, enum stored kind, const char *place, const char *name);
void place_close(struct looked_place *p);

/* ---- layer_scan.c ---- */

struct looked_place *store_place(struct engine *e, const char *path); /* NULL: not one of ours yet */

/* Looks at the places again, and removes what nobody owns. */
void store_look(struct engine *e);
/* The same; who is answered when that is done, and told if there is no such place. ENGINE_PENDING, -ENOMEM */
int store_clean_up(struct engine *e, const char *place, const struct engine_cred *who, uint64_t cookie);
int store_add_place(struct engine *e, const char *place); /* 1: it is a new one; -ENOMEM */
bool store_cancel(struct engine *e, uint64_t cookie);
/* A removal is over: was it the last one that somebody waits for? */
void store_removed(struct engine *e);

/* ---- layer_job.c ---- */

struct sjob *sjob_new(struct engine *e, enum sjob_kind kind, const struct engine_cred *who, uint64_t cookie);
/* About this item: its place, directory and name. */
int sjob_set_item(struct sjob *j, const struct item *it);
int sjob_set_volume(struct sjob *j, const struct vol *v);
int sjob_set_image(struct sjob *j, const char *place, const char *name);
static inline bool sjob_is_image(const struct sjob *j)
{
	return j->kind >= SJ_IMAGE_IMPORT;
}
void sjob_free(struct sjob *j);
/* Takes it. ENGINE_PENDING or the error. */
int sjob_begin(struct sjob *j, struct err *err);
struct sjob *sjob_of_item(struct engine *e, uint32_t item);   /* NULL; SJ_OVER ones don't count */
struct sjob *sjob_of_volume(struct engine *e, uint32_t vol);
struct sjob *sjob_of_cookie(struct engine *e, uint64_t cookie);
struct sjob *sjob_of_handle(struct engine *e, uint64_t handle);
bool sjob_works_on(struct engine *e, const char *place, const char *name);
void sjob_stop(struct sjob *j);
/* "BYTES TOTAL" */
void sjob_progress(const struct sjob *j, struct text *out);
bool sjob_cancel(struct engine *e, uint64_t cookie);
/* A job that removes PLACE/sub/_remove_NAME. */
int sjob_remove(struct engine *e, const char *place, const char *sub, const char *name, uint32_t item);
void sjobs_go_on(struct engine *e); /* those that waited for something else than each other */
/* One that a worker before this one had begun: with its process, or from the beginning. */
void sjob_resume(struct sjob *j);

/* ---- layer_work.c: in threads ---- */

void sjob_prepare(void *j); /* opens everything and starts porto-store, which waits for a byte through j->go */
/* Bytes of the tree, kept with the file of its owner. */
void item_note_size(int dir, const char *name, uint64_t size);
void sjob_settle(void *j);  /* it has gone: its result; what it has made is put in place or taken away */

/* ---- layer_memory.c ---- */

int sjob_set_memory(struct sjob *j);
int sjob_charge(struct sjob *j);
void store_memory_end(struct cgroups *g); /* kills what is at work, and takes the cgroup away */

/* ---- layer_files.c, layer_meta.c ---- */

/* What all items have: */
bool item_exists(struct engine *e, const struct engine_node *n);
int item_attr(struct engine *e, const struct engine_node *n, struct engine_attr *ret);
int item_check_writer(const struct dir_call *c);
int item_check_writes(const struct file_call *c);
int item_chown(const struct dir_call *c, uid_t uid, gid_t gid);
int lread_error(const struct file_call *c, struct text *out);
int lread_last_usage(const struct file_call *c, struct text *out);
int lread_owner_group(const struct file_call *c, struct text *out);
int lread_owner_user(const struct file_call *c, struct text *out);
int lread_place(const struct file_call *c, struct text *out);
int lread_private(const struct file_call *c, struct text *out);
int lwrite_private(const struct file_call *c, const char *text);
/* Makes the directory of one that has a record; harmless when it is there. */
int meta_make(struct engine *e, struct item *it);
/* In a thread. Busy, if there is anything in PLACE/DIR/BASE; else its quota is ended. */
int meta_check_empty(const char *place, const char *dir, const char *base, struct err *err);

const char *archive_format(const char *path); /* that the name ends in; "": none that is known */
int archive_check_path(const char *path, struct err *err);
/* Takes path and format as they were written to its `export`. ENGINE_PENDING or the error. */
int sjob_export_volume(struct vol *v, const struct file_call *c, const char *path, const char *format);
int archive_check_format(const char *format, struct err *err);

/* ---- layer_record.c ---- */

int sjob_save(struct sjob *j, struct err *err);
void sjob_forget(struct sjob *j);
void sjobs_keep_ids(struct engine *e); /* what begins before they are restored takes no id of theirs */
int sjobs_restore(struct engine *e, struct err *err);

/* ---- layer_stream.c: the archive through `tarball` ---- */

int stream_write(struct sjob *j, uint64_t cookie, const struct engine_value *value, struct err *err);
ssize_t stream_read(struct sjob *j, uint64_t cookie, char *buf, size_t size, uint64_t off, struct err *err);
void stream_close(struct sjob *j);   /* the descriptor is gone; the job may be afterwards */
int stream_watch(struct sjob *j);
void stream_wake(struct sjob *j);    /* who waits is answered, if there is an answer now */
bool stream_cancel(struct sjob *j, uint64_t cookie);

#endif
