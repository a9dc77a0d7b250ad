/*
 * engine/place.h: places: host directories that hold porto_volumes, porto_layers, porto_storage. Which of them somebody may
 * use is the property `place` of the container it lives in (spec of the volumes, section 9).
 */
#ifndef ENGINE_PLACE_H
#define ENGINE_PLACE_H

#include "engine/ct.h"

#define PLACE_VOLUMES "porto_volumes"
#define PLACE_LAYERS "porto_layers"
#define PLACE_STORAGES "porto_storage"

/* The place that somebody in home means by text ("": its default), as the host sees it. Permission, InvalidPath. */
int place_resolve(const struct ct *home, const char *text, char **ret, struct err *err);

/* The default one of a container; NULL: it has none. Caller frees. */
char *place_default(const struct ct *view);
/* Does its policy have this place? */
bool place_may_use(const struct ct *view, const char *place);

/*
 * Whoever owns a directory could lead us, or the processes that unpack with root's rights, elsewhere in it, and reach what they
 * make there: only root uses another place than the configured one. Permission.
 */
int place_check_user(const struct ct *home, uid_t uid, const char *place, struct err *err);

/* May a container below home have this entry in its policy? */
bool place_may_pass_on(const struct ct *home, const char *entry);
void place_policy(const struct ct *ct, struct text *out); /* the one in force */

/* For loop_work_for: what may wait for this place. NULL: none. */
uint64_t place_group(const char *place);

/*
 * The configured one: on the way to it, and to no other, there may be symbolic links. state_dir tells our volumes in a place from
 * another daemon's. Both borrowed.
 */
void place_set_default(const char *place, const char *state_dir);
/* Is porto_volumes, open, of this place ours to be swept: made by a daemon with our state directory? */
bool place_is_ours(const char *place, int volumes);
/* Opens PLACE/sub, which is there. A descriptor or -errno: -ELOOP for a link on the way. */
int place_dir(const char *place, const char *sub);

/*
 * In a thread: opens PLACE/sub, made if missing with its parent (0755 for volumes, else 0700), root:porto or, in a place that is
 * not root's, its owner's. A descriptor or -errno.
 */
int place_open(const char *place, const char *sub, gid_t porto_gid, struct err *err);

/*
 * Names of layers and storages: characters of container names, no reserved prefix; META/SUB addresses a part of a meta-storage.
 * The path below the place: porto_layers/NAME, porto_storage/NAME, porto_storage/_meta_META/SUB ... InvalidValue. A meta-storage
 * itself is called META.
 */
enum stored { STORED_LAYER, STORED_STORAGE, STORED_META };
int stored_check(const char *name, struct err *err);
int stored_path(enum stored kind, const char *name, struct text *out, struct err *err);
/* The same in two parts: the directory, and the name in it. */
int stored_split(enum stored kind, const char *name, struct text *dir, struct text *base, struct err *err);
bool stored_is_weak(const char *name);

#endif
