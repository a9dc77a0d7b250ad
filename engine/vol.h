/*
 * engine/vol.h: volumes: the object, its record, what goes on with it. layerstore makes and unmakes them; this is who may ask,
 * what depends on what, and what must be known to the next worker.
 *
 * What is asked of a volume is an operation (struct vop). One at a time is carried out, in threads of the loop that get
 * values alone; others queue. A volume is freed only when its last operation, the destruction, is over: so an operation
 * finds it by id, and it is there.
 */
#ifndef ENGINE_VOL_H
#define ENGINE_VOL_H

#include "engine/ct.h"
#include "engine/dirs.h"
#include "layerstore/layerstore.h"

#define V_READ (FILE_READ | FILE_LISTED)
#define V_NEW (FILE_READ | FILE_LISTED | FILE_WRITE)
#define V_TUNE (FILE_READ | FILE_LISTED | FILE_WRITE | FILE_ACTION)

enum vol_file {
#define VFILE(name, ...) VOL_##name,
#include "engine/vols.def"
#undef VFILE
	VOL_FILES
};

extern const struct file_row vol_rows[VOL_FILES];

enum vol_state {
	VS_INITIAL, VS_BUILDING, VS_READY, VS_TUNING, VS_UNLINKED, VS_DESTROYING, VOL_STATES
};
extern const char *const vol_state_names[VOL_STATES];

/* A container's hold on a volume. */
struct vlink {
	struct vlink *next;
	uint32_t ct;
	char *target;   /* below the container's root; NULL: none */
	char *host;     /* the same as the host sees it */
	bool read_only, required;
	bool mounted;
	bool going;     /* to be unlinked, by somebody who does not wait */
	uint64_t mount; /* its id: layerstore */
};

/* What was decided of a volume before it is built; all paths as the host sees them. */
struct vol_plan {
	char *path, *place, *storage; /* NULL until then */
	bool path_auto, storage_named;
	struct strv layers;
};

struct vol {
	uint32_t id;
	struct engine *e;
	struct vol *next, *prev;  /* by ascending id */
	struct vol *by_id;        /* hash chain */
	enum vol_state state;
	union value val[VOL_FILES];
	uint64_t set;             /* bit i: row i was set */
	uid_t owner_uid, user_uid;
	gid_t owner_gid, user_gid;
	uint32_t owner_ct;
	struct engine_cred by;    /* who had it built ... */
	uint32_t by_ct;           /* ... from where */
	char *creator;            /* "container user group" */
	struct vol_plan plan;
	struct vol_made made;
	struct vlink *links;
	struct vol_usage usage;
	uint64_t usage_at;        /* clock_mono, 0: not known */
	bool usage_asked;
	int64_t creation_wall, build_wall, change_wall;
	bool made_here;           /* by `create`: if it can't be built there shall be none */
	bool gone;                /* its record says so */
	uint64_t gone_unique; /* the request that took it away, 0: none; its record's name tells it */
	uint64_t unique;
	int unique_result;
	uint64_t pending;         /* the request that the operation under way answers */
	struct vol_before *before;   /* its values before the write with this cookie, which may go on */
	uint64_t before_cookie;
	uint64_t handle;          /* the descriptor on `create` it was made by, */
	uint64_t handle_bytes;    /* and how much that had written */
	char *error, *report;
	struct vop *ops;          /* the first is under way */
	struct loop_timer begin;  /* ... or about to be */
	unsigned tries;           /* of taking it down */
};

enum vop_kind { VOP_BUILD, VOP_ADOPT, VOP_LINK, VOP_UNLINK, VOP_TUNE, VOP_CHECK, VOP_DESTROY, VOP_KINDS };

/* An operation. Threads see the copies in it and nothing else. */
struct vop {
	struct vop *next;
	enum vop_kind kind;
	struct engine *e;
	uint32_t vol;
	struct engine_cred who, as;    /* who asks, and who that counts as */
	uint32_t home;                 /* the container it lives in */
	uint64_t cookie;               /* 0: nobody waits */
	uint64_t was;                  /* the request, begun by the last worker, that will come again */
	bool begun;
	bool tells_path;               /* the answer is that of a read of `create` */
	/* link, unlink */
	uint32_t ct;                   /* 0 with unlink: of all containers */
	char *target, *host;           /* target NULL with unlink: all of the container */
	bool read_only, required, strict;
	struct vlink *links;           /* copies: that are to be made, or unmade */
	/* tune */
	struct vol_limits limits;
	uint64_t tuned;                /* rows that were not set before */
	bool waits;                    /* for a name of its place: vop_builds_go_on */
	bool limits_checked;           /* there is a guarantee to be checked against those of others */
	struct vol_limits others;
	/* for the thread */
	struct vol_spec spec;          /* its strings are owned by `plan`, `backend` and `fs_type` here */
	struct vol_plan plan;
	char *backend, *fs_type, *root, *client_root;
	char *image;                   /* in place of layers; "": none */
	bool is_default_place;
	struct strv groups;            /* numbers */
	gid_t porto_gid;
	struct vol_made made;
	struct text report;
	struct vol_usage *usage;
	/* its answer */
	int result;
	struct err err;
};

/* ---- vol.c ---- */

int vol_new(struct engine *e, uint32_t id, struct vol **ret);
void vol_free(struct vol *v);
struct vol *vol_find(struct engine *e, uint32_t id);
void vol_set_state(struct vol *v, enum vol_state state, const char *why);
/* Puts a sentence into the volume's `error`. */
void vol_note_error(struct vol *v, const struct err *err);
static inline bool vol_is_set(const struct vol *v, int row)
{
	return v->set >> row & 1;
}
/* May who change it? -EACCES */
int vol_check_owner(const struct vol *v, const struct engine_cred *as, struct err *err);
/* check_owner of its directories */
struct file_call;
int vol_check_writes(const struct file_call *c);
/* May this be the root of ct, which a user owns? */
int vol_check_root(const struct ct *ct, const char *path, struct err *err);
struct vlink *vol_find_link(struct vol *v, uint32_t ct, const char *target);
/* "ct [target] [ro] [!]" */
void vlink_format(const struct vol *v, const struct vlink *l, struct text *out);
void vlink_free(struct vlink *l);
struct vlink *vlink_copy(const struct vlink *l); /* next is NULL */
/* The volume at this path, as home sees paths; NULL */
struct vol *vol_find_path(struct engine *e, const struct ct *home, const char *path);
/* Where home sees it; false: nowhere. */
bool vol_path_seen(const struct vol *v, const struct ct *home, struct text *out);
bool vol_is_visible(const struct vol *v, const struct ct *view);
/* vol_list.c: may who know of the container that this file in `links` is named after? */
bool vol_shows_link(struct engine *e, const struct engine_cred *who, const struct vol *v, const char *name);
void vol_limits_of(const struct vol *v, struct vol_limits *ret);

/* ---- vol_props.c ---- */

int vol_read_value(const struct file_call *c, struct text *out);
void vol_usage_refresh(struct vol *v);
/* What is known; asked anew in the background when that is a minute old. */
const struct vol_usage *vol_usage_seen(struct vol *v);

/* ---- vol_metrics.c ---- */

void vol_metrics(struct engine *e, const struct engine_cred *who, struct text *out); /* of those that who may know of */

/* ---- vol_values.c ---- */

int vol_load(struct vol *v, int row, const char *text, struct err *err);
int vol_write_value(const struct file_call *c, const char *text);
int vol_write_spec(const struct file_call *c, const char *text);
int vol_write_tune(const struct file_call *c, const char *text);
/* Sets all lines or none. */
int vol_write_lines(const struct file_call *c, struct vol *v, const char *text, size_t len);
void vol_spec_format(const struct vol *v, struct text *out);
void vol_take_back(struct engine *e, uint64_t cookie, const struct engine_node *n, uint64_t extends, int result);
void vol_drop_before(struct vol *v);

/* ---- vol_save.c ---- */

int vol_save_open(struct engine *e, struct err *err);
void vol_save_close(struct engine *e);
int vol_save(struct vol *v, uint64_t cookie, int result, struct err *err);
int vol_save_gone(struct vol *v, uint64_t cookie, struct err *err);
void vol_save_forget(struct vol *v);
uint32_t vol_next_id(struct engine *e);
int vol_take_id(struct engine *e, uint32_t id, struct err *err); /* from now on the next one is id + 1 */
int vol_restore(struct engine *e, struct err *err);
/* Files of records that no volume has. */
void vol_list_leaks(struct engine *e, struct text *out);

/* ---- vol_ops.c ---- */

/* Queues it; takes op. ENGINE_PENDING, or the error. */
int vop_begin(struct vol *v, struct vop *op, struct err *err);
struct vop *vop_new(struct vol *v, enum vop_kind kind, const struct engine_cred *who, uint64_t cookie);
void vop_free(struct vop *op);
/* The operation under way is over: answers it, begins the next. v may be gone afterwards. */
void vop_end(struct vol *v, struct vop *op, int result);
bool vop_cancel(struct engine *e, uint64_t cookie);
/* work(op) in a thread, then done(op) in the loop; false: no memory, op->result and err are set. */
bool vop_work(struct vop *op, void (*work)(void *op), void (*done)(void *op));
void vop_first(void *v);
/* A request that comes again: joins the operation that it had begun. */
bool vop_join(struct engine *e, uint64_t cookie, bool tells_path);
/* The request that op is, now or when the last worker was. */
static inline uint64_t vop_unique(const struct vop *op)
{
	return op->cookie != 0 ? op->cookie : op->was;
}
/* It is over: who comes again for it is told that. */
void vop_note_result(const struct vop *op, int result);

/* ---- vol_build.c, vol_links.c, vol_destroy.c: each begins an operation whose turn has come ---- */

void vop_build(struct vol *v, struct vop *op);
void vop_builds_go_on(struct engine *e); /* those that waited for names of their place */
void vop_adopt(struct vol *v, struct vop *op);
void vop_destroy(struct vol *v, struct vop *op);
void vop_tune(struct vol *v, struct vop *op);
void vop_check(struct vol *v, struct vop *op);
void vop_link(struct vol *v, struct vop *op);
void vop_unlink(struct vol *v, struct vop *op);
/* op->others: what else is promised on the disk of op->made. */
void vol_add_up_guarantees(struct vol *v, struct vop *op);

/* "CONTAINER [TARGET] [ro] [!]" and "CONTAINER|*** [TARGET|***] [strict]" into op. */
int vlink_parse(struct engine *e, struct ct *home, const char *text, struct vop *op, struct err *err);
int vunlink_parse(struct engine *e, struct ct *home, const char *text, struct vop *op, struct err *err);
/* Rights, and conflicts with other links and volumes. */
int vlink_check(struct vol *v, struct vop *op, struct err *err);
int vlink_take(struct vop *op, struct vlink **ret); /* the link that op asks for */
/* In a thread: with the rights of op->as. */
int vlink_mount(struct vop *op, struct vlink *l, const char *source);
int vlink_unmount(const struct vlink *l, bool strict, struct err *err);
/* One that may or may not have been mounted: only what is the volume at source goes. */
void vlink_undo(const struct vlink *l, const char *source);

/* Its destruction, now that nothing holds it any more; of the cookie's request it is the answer. */
void vol_begin_destroy(struct vol *v, const struct engine_cred *who, uint64_t cookie, const char *why);
void vol_destroy_again(void *v);
/* The first operation, the last: the volume is freed, the record goes, then op is answered. */
void vol_forget(struct vol *v, struct vop *op, int result);
/* A container goes: its links, and what it owns goes to the parent. */
void vol_container_gone(struct ct *ct);
/* Unlinks it, behind what goes on, from containers that went when nobody could. */
void vol_unlink_lost(struct vol *v);
/* Is anything mounted below its root, for itself or a container in it? */
bool vol_is_mounted_in(const struct ct *ct);
/* Fills what threads need to know of the volume. -ENOMEM */
int vop_prepare(struct vol *v, struct vop *op);
void vop_point(struct vol *v, struct vop *op); /* op->spec at op's own strings */

/* ---- read_volumes.c ---- */

/* Adds the volume to what the container can't run without. -ENOMEM */
int vol_require(struct ct *ct, const char *path);
/* At a start: are they all there? InvalidState, VolumeNotFound, VolumeNotReady. */
int vol_check_required(struct ct *ct, const struct strv *paths, struct err *err);

/* ---- vol_plan.c ---- */

/* In a thread: names and paths as they were given (op->plan) become what they stand for, with the rights of op->as. */
int vol_plan_resolve(struct vop *op);
/* In a thread: the path may be used, as far as its file system goes. InvalidPath: our own tree, or for users one that asks a server. */
int vop_check_answers(struct vop *op, const char *what, const char *path);
/* In the loop: does it get in the way of others? */
int vol_plan_check(struct vol *v, const struct vop *op, struct err *err);
/*
 * What a user may read himself of a tree is not all that is in it. Root copies and exports all: so not what the user has given by a
 * path, nor what his renames copy from there into the upper layer. Of an op that is prepared, in its thread.
 */
int vol_plan_check_layers(struct vop *op);
int vol_check_export(const struct vol *v, uid_t uid, struct err *err);
/* Is the storage of this backend ("": not known yet) a path or a name, and not its own kind of word? */
bool vol_storage_is_path(const char *backend);
bool path_is_below(const char *path, const char *dir); /* or the same */
bool path_is_system(const char *path);
/* Paths of u that lie in v: v can't go before it. */
bool vol_is_inside(const struct vol *u, const struct vol *v);

#endif
