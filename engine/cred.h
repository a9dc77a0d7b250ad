/* engine/cred.h: who may do what to which container (spec/STATES.md 6), and names of users and groups. */
#ifndef ENGINE_CRED_H
#define ENGINE_CRED_H

#include "engine/ct.h"

/*
 * Who the caller counts as: itself on the host, the owner of its container inside; but never root unless it is root itself.
 * *home: that container, or the root.
 */
int cred_effective(struct engine *e, const struct engine_cred *who, struct engine_cred *as, struct ct **home);
/* The container of a process; the root if it is in none of ours; NULL: in one that is gone, or it can't be told. */
struct ct *cred_lives(struct engine *e, pid_t pid);
/* The same, for names and paths: the root, too, if it is in one that is gone. */
struct ct *cred_home(struct engine *e, pid_t pid);
/* The same of who asks: by who->home if that was noted. */
struct ct *cred_caller(struct engine *e, const struct engine_cred *who);

/* Root of the host, or in a container of root's with full access. */
bool cred_is_super(struct engine *e, const struct engine_cred *who);

/* May write at all: root or in group porto, by the level of its container. -EACCES, -EROFS */
int cred_check_access(struct engine *e, const struct engine_cred *who, struct err *err);
/* May change this container: in scope of the caller's container (access.h), and root or its owner. -EACCES, or -EPERM for the root
 * container. */
int cred_check_owner(struct ct *ct, const struct engine_cred *who, struct err *err);
/* The latter alone. */
int cred_check_user(struct ct *ct, const struct engine_cred *who, struct err *err);
/* gid belongs to the user (primary or supplementary) by the user database. */
bool cred_in_group(uid_t uid, gid_t gid);

/* Descriptors of that process may be used in the name of uid: not when it runs with other rights, after setuid say. Ask after
 * taking one. */
bool cred_may_take(pid_t pid, uid_t uid);

/* Names or numbers -> ids. *gid (may be NULL) is the account's primary group, (gid_t)-1 for a bare number. -EINVAL */
int cred_user(const char *text, uid_t *uid, gid_t *gid);
int cred_group(const char *text, gid_t *gid);
void cred_user_name(uid_t uid, struct text *out); /* the number when it has no name */
void cred_group_name(gid_t gid, struct text *out);
/* "uid gid gid...": with the supplementary groups of the account. */
void cred_format(uid_t uid, gid_t gid, struct text *out);
/* Supplementary groups of the account, comma separated. */
void cred_groups(uid_t uid, gid_t gid, struct text *out);
/* Before a start: spec/STATES.md 3.1, step 3. */
int cred_check_start(struct ct *ct, const struct engine_cred *who, struct err *err);

#endif
