/* base/path.h: names checked and paths put together as text. Pure. */
#ifndef BASE_PATH_H
#define BASE_PATH_H

#include "base/defs.h"
#include "base/err.h"

#define NAME_COMPONENT_MAX 128 /* spec/STATES.md 1 */
#define NAME_PATH_MAX 200
#define NAME_PATH_MAX_SUPERUSER 220

/*
 * One component of a container name: letters, digits, _ - @ : . , not "self", not starting with a dot (DESIGN 2),
 * at most NAME_COMPONENT_MAX. Fails with InvalidValue: -EINVAL, or -ENAMETOOLONG.
 */
int name_check(const char *component, struct err *err);

/* Absolute, no empty, "." or ".." component, no slash at the end except "/" itself. */
bool path_is_normal(const char *path);

/* The path with "//", "." and ".." folded as text ("/.." is "/"); relative stays so. NULL: no memory. Caller frees. */
char *path_normalise(const char *path);

/* dir + "/" + name, one slash between. NULL on no memory. Caller frees. */
char *path_join(const char *dir, const char *name);

#endif
