/*
 * engine/spawn_ops.h: what a new process is told and given, in the order of engine/init/proto.h: spawn.c makes it, spawn_world.c
 * says where it finds itself, spawn_task.c what it is to be.
 */
#ifndef ENGINE_SPAWN_OPS_H
#define ENGINE_SPAWN_OPS_H

#include "engine/birth.h"
#include "engine/ct.h"
#include "engine/names.h"

struct spawn {
	struct ct *ct;
	struct text ops;
	struct birth b;
	bool owned[BIRTH_FDS]; /* close b.fds[i] at the end */
	int ops_write, report_read;
	bool new_net;          /* porto-init makes an empty network itself */
	struct names names;
	struct ct *userns;     /* in whose user namespace it runs; NULL: the host's */
	bool enters;           /* a user namespace is to be entered before the command */
	int net_fd;            /* the network that was made in its user namespace; ours; -1: none */
};

/* An operation's name, or one argument more. What memory there was not is found by text_ok at the end. */
void spawn_op(struct spawn *s, const char *word);
void spawn_op1(struct spawn *s, const char *name, const char *arg);
void spawn_op_num(struct spawn *s, const char *name, long n);
/* A set of capabilities, hexadecimal. */
void spawn_op_mask(struct spawn *s, const char *name, uint64_t mask);
/* One argument more: a user or group. */
void spawn_op_id(struct spawn *s, unsigned id);

/* The number under which the new process will have fd; -EMFILE. fd is ours to close if owned, also then. */
int spawn_pass(struct spawn *s, int fd, bool owned);

/* The cgroup it is born in, or those it joins itself. */
int spawn_add_cgroups(struct spawn *s);
/* User namespace, network, names, mounts. */
int spawn_add_world(struct spawn *s, struct err *err);

/* Limits, rights, streams and the command. */
int spawn_add_task(struct spawn *s, struct err *err);
/* The task's groups and ids, in its user namespace. */
void spawn_add_cred(struct spawn *s);
/* Closes and frees what is still its own. */
void spawn_done(struct spawn *s);
void spawn_add_links(struct spawn *s, const struct pairs *links);

#endif
