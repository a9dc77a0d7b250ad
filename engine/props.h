/*
 * engine/props.h: the property table. props.def holds one line a property; the enum, the rows, the files, help, saving
 * and tests all come from it. Values live in ct->val[PROP_name].
 */
#ifndef ENGINE_PROPS_H
#define ENGINE_PROPS_H

#include <sys/types.h>

#include "base/defs.h"
#include "base/err.h"
#include "base/text.h"
#include "engine/cgroup.h"
#include "engine/engine.h"
#include "engine/types.h"

struct ct;
struct engine;

enum prop_id {
#define PROP(name, ...) PROP_##name,
#include "engine/props.def"
#undef PROP
	PROP_COUNT
};

/* In which states it may be written: spec/STATES.md 4. */
enum prop_when { WHEN_NEVER, WHEN_STOPPED, WHEN_DYNAMIC, WHEN_ANY };
/* In which states it may be read: spec/PROPERTIES.md 1. */
enum prop_reads { READ_ANY, READ_RUNTIME, READ_DEAD };

enum prop_flag {
	P_ACTION = 1 << 0,   /* a write is a verb and may be pending */
	P_BLOCKS = 1 << 1,   /* a read may be pending */
	P_STREAM = 1 << 2,
	P_POLL = 1 << 3,
	P_LARGE = 1 << 4,
	P_HIDDEN = 1 << 5,   /* found by name, not listed */
	P_HOLD = 1 << 6,
	P_ROOT = 1 << 7,     /* only in /porto */
	P_NOT_ROOT = 1 << 8,
	P_STAT = 1 << 9,     /* a counter: a line of `stat` and a family of `metrics` */
	P_GAUGE = 1 << 10,   /* with P_STAT: goes up and down */
	P_FILE = 1 << 11,    /* not a property, a file of the tree: left out of spec, help of properties, `get` */
	P_MERGE = 1 << 12,   /* a whole write adds to what is there: labels */
	P_WRITES = 1 << 13,  /* writable though it has no type (verbs, files) */
	P_SECRET = 1 << 14,  /* what was written is shown to nobody: not in spec, nor quoted in an error */
	P_WAITS = 1 << 15,   /* the write of its value may be pending */
};

/* What the numbers of a counter are; metrics show base units (metrics_text.h). Each row with P_STAT says it. */
enum prop_unit { UNIT_UNSAID, UNIT_NUMBER, UNIT_BYTES, UNIT_SECONDS, UNIT_USEC, UNIT_NSEC, UNITS };

/* A change on its way: everything a row's hooks may want to know. */
struct change {
	struct ct *ct;
	int prop;
	const struct engine_cred *who;
	uint64_t cookie;
	const char *key;   /* NULL: the whole value */
	const char *text;  /* trimmed */
	size_t len;
	bool append;
	int taken_fd;      /* a descriptor taken from the writer, + 1; 0: none */
	union value *value; /* parsed, to be checked or altered; NULL for rows without type */
	struct err *err;
};

struct prop {
	const char *name;
	const struct prop_type *type; /* NULL: nothing is kept */
	enum prop_when when;
	enum prop_reads reads;
	unsigned flags;
	unsigned ctls;    /* CG_BITs it needs */
	/* Why this kernel can't do it, for good; NULL: it can. Then neither reads nor writes work, and `features` says so. */
	const char *(*lacks)(const struct cgroups *g);
	const char *def;  /* text of the default, NULL: the type's empty value */
	/* Right and range of a parsed value, beyond its type. 0 or -errno with the sentence. */
	int (*check)(struct change *c);
	/* Value -> kernel, while the container has resources. On failure the old value is applied again by the caller. */
	int (*apply)(struct ct *ct, const union value *v, struct err *err);
	/* A live value; key is NULL or the text in brackets. NULL: the kept value by its type. */
	int (*read)(struct ct *ct, const char *key, struct text *out, struct err *err);
	/* After the value was swapped in, before saving: what follows from it. Cannot fail. */
	void (*commit)(struct change *c);
	void (*settle)(struct ct *ct); /* what follows from the value that now is there, new or given back */
	/* Does the whole write itself. */
	int (*write)(struct change *c);
	/* With P_STAT: its name in metrics where its own won't do; of a map the label for keys, and the key that is their sum. */
	enum prop_unit unit;
	const char *metric, *label, *sum;
	/* With P_POLL: the file of its cgroup whose news wake those who poll this one (watch.h); NULL: the engine tells. */
	const char *watch;
	const char *help;
};

extern const struct prop props[PROP_COUNT];

int prop_find(const char *name); /* or -ENOENT */

/* The text of a property as reads give it, without newline. Checks the read window. */
int prop_read(struct ct *ct, int prop, const char *key, struct text *out, struct err *err);

/* Order of checks: spec/PROPERTIES.md 2, rule 4. On success the value is in force and saved with the cookie. */
int prop_write(struct change *c);

/* Sets a stored property from text without rights or window: restore, spec. Not applied, not saved. */
int prop_load(struct ct *ct, int prop, const char *text, struct err *err);

/* Releases all values; sets all to defaults. */
void props_done(struct ct *ct);
int props_init(struct ct *ct);

/* The explicitly set, writable properties as spec lines. */
void props_spec(struct ct *ct, struct text *out);
/* Parses and checks every line, then applies all; one failure leaves everything as it was. */
int props_spec_write(struct change *c);

/* The same without saving: one step of a larger change. */
int prop_change(struct change *c);

/* All stored properties of a container as they were, for a change of several that is undone as a whole. */
struct snapshot {
	struct ct *ct;
	union value val[PROP_COUNT];
	uint64_t set[(PROP_COUNT + 63) / 64];
	uid_t owner_uid, task_uid;
	gid_t owner_gid, task_gid;
	unsigned controllers;
};
int snapshot_take(struct ct *ct, struct snapshot *s);
/* Back to it, in the kernel too. */
void snapshot_restore(struct snapshot *s);
/* Saves the container with the cookie; if that fails (ENOSPC), goes back to the snapshot. */
int snapshot_commit(struct ct *ct, struct snapshot *s, uint64_t cookie, struct err *err);
void snapshot_done(struct snapshot *s);
#define autosaved __attribute__((cleanup(snapshot_done)))

/* undo.c: keeps what was before the write `cookie`, taking it; cookie 0: not at all. */
void undo_keep(struct ct *ct, uint64_t cookie, struct snapshot *before);
/* Gives it back, once, if that write was the last change made to the container. */
bool undo_take(struct ct *ct, uint64_t cookie, struct snapshot *ret);
/* The container goes: so does what it was. */
void undo_drop(struct ct *ct);

/* Pushes every set property with an apply function: at start, after the cgroups were made. */
int props_apply_all(struct ct *ct, struct err *err);

#endif
