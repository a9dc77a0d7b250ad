/*
 * engine/access.h: what the tasks of a container see of the others and may do to them: enable_porto, porto_namespace and
 * owner_containers (spec/STATES.md 6). The host sees and may do everything; this asks of the container a caller lives in, cred.h of
 * its user.
 *
 * What counts is the lowest level of the container and all above it. A level that isolates has a base, the nearest container from
 * the caller's own up that has one: seen are the base, what is below and what is above it; of all others not even the names.
 */
#ifndef ENGINE_ACCESS_H
#define ENGINE_ACCESS_H

#include "engine/ct.h"

enum access access_of(const struct ct *ct);

/* Whose names its tasks see, and below which they may write; the root: of all. */
struct ct *access_view(struct ct *home);
struct ct *access_write_base(struct ct *home);

/* The directory that lies at /porto where its tasks live, the root's unless something else was mounted there. */
struct ct *access_mount(struct ct *home);

/*
 * Where the caller lives: by its process, or by who->home if that was noted. NULL: in a container that is not there any more, or it
 * can't be told: then it gets nothing. May be as old as 20 ms, for looking; for a change cred_effective has looked before.
 */
struct ct *access_home(struct engine *e, const struct engine_cred *who);
struct ct *access_home_now(struct engine *e, const struct engine_cred *who); /* by its process as it is now; noted for the other */

/* May who (NULL: the daemon itself) know of this container, of this volume? */
bool access_shows(struct engine *e, const struct engine_cred *who, const struct ct *ct);
bool access_shows_all(struct engine *e, const struct engine_cred *who); /* of every one */
bool access_shows_vol(struct engine *e, const struct engine_cred *who, const struct vol *v);

/* May a task of home change this container or, with child, make one below it? The root as home: yes. -EACCES */
int access_check(struct ct *home, const struct ct *ct, bool child, struct err *err);
/* A task that counts as `as` changes what it owns of this volume: only one that belongs to a container in the same scope. -EACCES */
int access_check_vol(const struct vol *v, const struct engine_cred *as, struct err *err);
/* May it write this property of its own container (self-isolate)? */
bool access_own(const struct ct *home, const struct ct *ct, int prop);

/* A name as it is below the directory of view: false if it isn't there. */
bool access_name(const struct ct *view, const struct ct *ct, const char **ret);
/* The sentence with the names that one sees in the directory at base; in place. */
void access_shorten(const struct ct *base, char *text);

/* At a start: a level that does not fit any more below those above is lowered. InvalidValue for a job's below its parent's. */
int access_start(struct ct *ct, struct err *err);
/* What is to be mounted at /porto in a container that has a root of its own; NULL: nothing. */
struct ct *access_to_mount(struct ct *ct);

/* Level, state or mount have changed: who sees less than all is counted. */
void access_count(struct ct *ct);
void access_forget(struct ct *ct);

#endif
