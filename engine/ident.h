/*
 * engine/ident.h: looking at files with somebody's rights, in a thread of its own. The calling thread alone changes: its
 * user, group and groups for files, and with them root's rights over files; mounting and the like it still may.
 */
#ifndef ENGINE_IDENT_H
#define ENGINE_IDENT_H

#include <sys/types.h>

#include "base/text.h"

/* groups: numbers. -errno, and then nothing has changed. uid 0 changes nothing. */
int ident_take(uid_t uid, gid_t gid, const struct strv *groups);
void ident_drop(uid_t uid);

/* With the identity taken: may the file behind fd (O_PATH is enough) be used so (R_OK, W_OK, X_OK)? 0 or -errno. */
int ident_may(int fd, int how);

#endif
