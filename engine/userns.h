/*
 * engine/userns.h: user namespaces. A container with userns=true (or virt_mode=docker, enable_fuse=true) has one, made before its
 * process and entered by that when the root is built; those below live in it. There is one on the way up at most: further
 * ones are for those inside to make.
 *
 * Its map: root inside is the task's user, all other ids are themselves, the host's root and that user's own number nobody.
 */
#ifndef ENGINE_USERNS_H
#define ENGINE_USERNS_H

#include "engine/ct.h"

/* Asks for a user namespace, whoever else up the tree may. */
bool userns_wanted(const struct ct *ct);
/* The container in whose user namespace ct runs, itself or one above; NULL: the host's. */
struct ct *userns_owner(struct ct *ct);
/* Has one of its own. */
bool userns_is_own(struct ct *ct);

/* What the host's uid, gid is called in the user namespace of owner; itself where owner is NULL. */
uid_t userns_uid(const struct ct *owner, uid_t uid);
gid_t userns_gid(const struct ct *owner, gid_t gid);

/*
 * A new one for ct, and if net is not NULL an empty network namespace that belongs to it. Both descriptors are the caller's.
 * Nothing of it remains when they are closed.
 */
int userns_make(struct ct *ct, int *user, int *net, struct err *err);
/* That of the running owner. */
int userns_open(const struct ct *owner, struct err *err);
/* An empty network namespace that belongs to the user namespace of that descriptor; the caller's. */
int userns_net(int user, struct err *err);

#endif
