/*
 * engine/engine.h: the whole of what portofs may ask of the engine.
 *
 * The engine owns the containers. It is driven from one thread, by the loop it was given; it never touches /porto
 * itself. It speaks in ids, file numbers and bytes, never in pointers into portofs.
 *
 * Calls return 0 or more when they are done, a negative errno when refused (the sentence goes to `.porto/error` as the caller
 * sees it, to *err and, unless it was but a read, to the container's `error`), or ENGINE_PENDING: the answer comes later,
 * once, through events->done(cookie). The cookie is the FUSE request's `unique` without the resend bit; it is also the key under
 * which a change is remembered (in the same atomic write as the change), so that a request replayed after a crash gets
 * the answer it would have got, and does nothing twice. Cookie 0 is never remembered.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <sys/types.h>

#include "base/defs.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/text.h"

struct engine;
struct config;

#define ENGINE_ROOT 1u  /* the id of the host, container "/" */
#define ENGINE_PENDING 1
#define ENGINE_PREAD_PENDING (-EINPROGRESS) /* the same of engine_pread, where 1 is a length */

/*
 * The directories the tree is made of: a container's; in it `.porto`, `.volumes`, `.layers`, `.storages`, `.images`; in those a
 * directory for each volume, layer, storage and image, in a volume's its `links`.
 */
enum engine_dir {
	DIR_CT, DIR_DAEMON, DIR_VOLUMES, DIR_VOLUME, DIR_LINKS, DIR_LAYERS, DIR_LAYER, DIR_STORAGES, DIR_STORAGE, DIR_META,
	DIR_IMAGES, DIR_IMAGE, ENGINE_DIRS
};

enum engine_file_flag {
	FILE_READ = 1 << 0,
	FILE_WRITE = 1 << 1,
	FILE_LISTED = 1 << 2, /* readdir shows it */
	FILE_ACTION = 1 << 3, /* a write may be pending: each lookup needs an inode of its own (DESIGN 6) */
	FILE_BLOCKS = 1 << 4, /* a read may be pending */
	FILE_STREAM = 1 << 5, /* read by offset through engine_pread, grows: stdout, stderr; events too with FILE_BLOCKS */
	FILE_HOLD = 1 << 6,   /* opening for writing holds the container: engine_hold, engine_unhold */
	FILE_POLL = 1 << 7,   /* events->changed tells when it changed */
	FILE_LARGE = 1 << 8,  /* may exceed one read: take a snapshot for the handle (spec, stat, metrics, README...) */
	FILE_ROOT = 1 << 9,   /* only in /porto itself: README */
	FILE_NOT_ROOT = 1 << 10, /* not in /porto itself: weak, wait ... */
	FILE_ANSWER = 1 << 11, /* a read answers what the same descriptor has written, and counts from its end (engine_stream_base);
				  engine_close says that the descriptor is gone */
	FILE_PIPE = 1 << 12, /* bytes in order by one descriptor, which reads or writes: engine_pread and engine_write get its handle and
				offsets from its own beginning; engine_close says that it is gone */
	FILE_WAITS = 1 << 13, /* as FILE_ACTION, but what is written is a value, which may come in pieces */
};

struct engine_file {
	const char *name;
	unsigned flags;
};

struct engine_attr {
	mode_t mode;  /* type and permissions */
	uid_t uid;
	gid_t gid;
	uint64_t size;
	int64_t mtime, ctime; /* epoch seconds */
};

/* Who asks: from fuse_req_ctx, or the opener's for an open file (pid then is the caller's). */
struct engine_cred {
	uid_t uid;
	gid_t gid;
	pid_t pid; /* 0: unknown */
	uint32_t home; /* the container it lives in, where that was looked up before; 0: by the pid */
};

/* What the engine tells portofs. Called from the loop's thread, never from inside an engine_ call with the same cookie. */
struct engine_events {
	/* A pending call ended: result 0 or negative errno; for a pending read, text is the answer (else NULL). */
	void (*done)(void *arg, uint64_t cookie, int result, const char *text, size_t len);
	/* A pollable file of a container (dir DIR_CT) or of `.porto` (ct 0) has changed. */
	void (*changed)(void *arg, enum engine_dir dir, uint32_t ct, int file);
	/* The daemon itself removed a name (aging, weak, destroy of a parent): caches may forget it. */
	void (*gone)(void *arg, uint32_t parent, const char *name);
};

/*
 * Restores what the state directory and the kernel know, adopts what runs, then serves. conf is borrowed for the
 * engine's life. note_* below must be set up by the supervisor's shared memory before (see engine/notes.h).
 */
int engine_new(struct loop *loop, const struct config *conf, const struct engine_events *events, void *arg,
	       struct engine **ret, struct err *err);
/* Saves and frees; containers go on. */
void engine_free(struct engine *e);

/* ---- the tree ---- */

/* The static files of a kind of directory; the index is the file number, stable within one binary only. */
size_t engine_files(enum engine_dir dir, const struct engine_file **ret);
int engine_file_find(enum engine_dir dir, const char *name); /* number or -ENOENT */

/*
 * Names not in the table: prop[key], cgroup knobs (memory.stat), labels (CORE.total), stdout[0:10], find[PID].
 * Gives the file it belongs to and where in name the key starts (the whole name for knobs and labels). -ENOENT if none.
 * Says nothing of whether the key exists: that is the read's or write's answer.
 */
int engine_name(enum engine_dir dir, const char *name, int *file, size_t *key);

/* What a file or directory is. */
struct engine_node {
	enum engine_dir dir;
	uint32_t ct;     /* the id of whose directory it is: of a container, volume, layer or storage; 0 for DIR_DAEMON */
	uint32_t view;   /* the container in whose directory it is seen */
	int file;        /* -1: the directory itself */
	const char *key; /* NULL: none */
	uint64_t handle; /* of an open file; 0: none */
};

/* Something users made that stands in a directory. */
struct engine_child {
	uint64_t number;     /* ascending in the order of listing, 0 to begin */
	const char *name;    /* good until the next call */
	bool is_file;        /* a link of a volume; else a directory: */
	enum engine_dir dir;
	uint32_t id;
};

/* A child's directory by name; 0, or -ENOENT. */
int engine_lookup(struct engine *e, const struct engine_node *parent, const char *name, enum engine_dir *dir, uint32_t *id);
/* The child after child->number; false when there is none. */
bool engine_next_child(struct engine *e, const struct engine_node *parent, struct engine_child *child);
/* Is the directory that n is, or is in, still there? */
bool engine_exists(struct engine *e, const struct engine_node *n);
/*
 * May the caller know of it (enable_porto of the container it lives in)? 0, -ENOENT: it is not for it, -EACCES: nothing is. Asked for
 * each name and at each open; what is open stays open. Quick where no container sees less than everything.
 */
int engine_sees(struct engine *e, const struct engine_cred *who, const struct engine_node *n);
/* The same of what engine_next_child gave. */
bool engine_shows(struct engine *e, const struct engine_cred *who, const struct engine_node *dir, const struct engine_child *child);
/* For a cred that is used when its process may be gone: what its `home` has to be. Never 0. */
uint32_t engine_home(struct engine *e, const struct engine_cred *who);
/* A name that one caller has looked up may be another's that it is not for: none is to be kept (events->gone: forget those that are). */
bool engine_names_differ(const struct engine *e);
/* The parent's id; 0 for the root or a container that is gone. */
uint32_t engine_parent(struct engine *e, uint32_t ct);

/* file -1: the directory itself. Never blocks, never reads the kernel except fstat of a stream. -ENOENT when gone. */
int engine_attr(struct engine *e, const struct engine_node *n, struct engine_attr *ret);

/* The link `self` in a container's directory: where the caller's own is from there: "." or "a/b"; -ENOENT: not below it. */
int engine_self(struct engine *e, const struct engine_cred *who, uint32_t dir, struct text *out);

/* ---- changes; all remember cookie ---- */

int engine_mkdir(struct engine *e, const struct engine_cred *who, uint64_t cookie, const struct engine_node *parent,
		 const char *name, struct engine_child *made, struct err *err);
int engine_rmdir(struct engine *e, const struct engine_cred *who, uint64_t cookie, const struct engine_node *parent,
		 const char *name, struct err *err);
/* A link of a volume. -EPERM for all other files. */
int engine_unlink(struct engine *e, const struct engine_cred *who, uint64_t cookie, const struct engine_node *dir,
		  const char *name, struct err *err);
/* uid or gid (uint32_t)-1: keep. */
int engine_chown(struct engine *e, const struct engine_cred *who, uint64_t cookie, const struct engine_node *n, uid_t uid,
		 gid_t gid, struct err *err);

/* ---- files ---- */

/*
 * May this caller open it for writing (when write) at all? Checked once, at open. On success *as is who the opener
 * counts as: itself, or the owner of the container it lives in (spec/STATES.md 6.1). -EACCES, -EROFS, -ENOENT.
 */
int engine_open(struct engine *e, const struct engine_cred *who, const struct engine_node *n, bool write,
		struct engine_cred *as, struct err *err);

/* The whole text of the file as it is now, final newline included. ENGINE_PENDING only for FILE_BLOCKS. */
int engine_read(struct engine *e, const struct engine_cred *who, uint64_t cookie, const struct engine_node *n,
		struct text *out, struct err *err);

/*
 * Where a reader that opens a stream now begins: the first byte kept for stdout and stderr, the end of the log for `events`, the line
 * after number N for `events?since=N`. portofs keeps it in the file handle and adds it to every offset.
 */
int engine_stream_base(struct engine *e, const struct engine_node *n, uint64_t *base);
/* With FILE_BLOCKS: where it ends now; a read from there on waits. */
uint64_t engine_stream_end(struct engine *e, const struct engine_node *n);

/* FILE_STREAM: at most size bytes from off, as pread(2). ENGINE_PREAD_PENDING only with FILE_BLOCKS at the end of the stream. */
ssize_t engine_pread(struct engine *e, const struct engine_cred *who, uint64_t cookie, const struct engine_node *n,
		     char *buf, size_t size, uint64_t off, struct err *err);

/*
 * Gives the file this value; append adds an entry to a list or map (EINVAL for other types). ENGINE_PENDING for FILE_ACTION, FILE_WAITS.
 * extends: cookie of the write whose value this one is the longer form of, 0 if none. If this one is refused and nothing else has
 * changed the container since, what that one had changed is taken back too: a value that comes in pieces is set as a whole.
 */
struct engine_value {
	const char *buf;
	size_t len;
	uint64_t off;      /* of the write, for FILE_STREAM */
	bool append;
	uint64_t extends;
	bool no_wait;      /* FILE_WAITS: refuse what would be pending */
};
int engine_write(struct engine *e, const struct engine_cred *who, uint64_t cookie, const struct engine_node *n,
		 const struct engine_value *value, struct err *err);

/*
 * A handle begins (on) or ceases to poll a file with FILE_POLL. What it takes to hear of its changes is done while there is
 * anybody. The next worker is told again of all that were polling. 0 or -ENOMEM.
 */
int engine_poll(struct engine *e, uint32_t ct, int file, bool on);

/*
 * A later part was refused (result) before it came to engine_write: what the write `extends` had changed is taken back, if nothing
 * else has changed the container since.
 */
void engine_take_back(struct engine *e, uint64_t cookie, const struct engine_node *n, uint64_t extends, int result);

/* FILE_ANSWER: the descriptor n->handle has been closed; remembers cookie. */
void engine_close(struct engine *e, uint64_t cookie, const struct engine_node *n);

/* Puts a sentence into the container's `error` (unless n is NULL) and `.porto/error`: for refusals made in portofs. */
void engine_note_error(struct engine *e, const struct engine_cred *who, const struct engine_node *n, const struct err *err);

/* The pending call's client was interrupted or died: forget it. What was begun goes on. Does not call done. */
void engine_cancel(struct engine *e, uint64_t cookie);

/*
 * The container that this process lives in, or one above, is to be frozen: the process can't stand still before it has its
 * answer.
 */
bool engine_is_freezing(struct engine *e, pid_t pid);

/* `weak`: one more / one less descriptor holds the container; both remember cookie. */
int engine_hold(struct engine *e, uint32_t ct, uint64_t cookie);
void engine_unhold(struct engine *e, uint32_t ct, uint64_t cookie);

/* ---- for the program itself, no engine needed ---- */

/* What this kernel and host can and cannot do, a line each with the reason: `.porto/features` and `portod check`.
 * Returns how many things are missing that a container needs by default; -errno if nothing can work at all. */
int engine_check(const struct config *conf, struct text *out);

/* Beside mounting and unmounting the tree, with core.enable: kernel.core_pattern is ours, and is given back. */
void engine_core_begin(const struct config *conf);
void engine_core_end(const struct config *conf);

/* After the last container and the daemon are gone: takes away state directory and cgroup root. 0 or -errno. */
int engine_forget(const struct config *conf);

/* The property table for people and machines: how "readme" (part of mnt/README), "man" (roff for porto(7)) or "tsv"
 * (name, access, writable in, default, help; tab separated: completion, portoctl help), "volumes" (the same of volumes). -EINVAL for another word. */
int engine_help(const char *how, struct text *out);

#endif
