/*
 * engine/init/init.h: the inside of porto-init. What it is told and what it answers: proto.h.
 *
 * One process, one pass over the list of operations. An operation returns 0, or -1 with the failure recorded by one of
 * the init_fail functions; the first failure ends the start. The process that stays beside the command for its whole
 * life is small because it has touched little: no stdio, no allocation before `fork`, no large buffers on the stack.
 */
#ifndef ENGINE_INIT_INIT_H
#define ENGINE_INIT_INIT_H

#include <sys/types.h>

#include "base/defs.h"
#include "base/err.h"
#include "engine/init/proto.h"

struct init;

struct filter;

struct init_op {
	const char *name;
	int nargs;
	int (*run)(struct init *in, char **arg);
};

#define INIT_ARGS_MAX 5

/* A NULL-terminated vector that grows; the words belong to the mapped operations or live until exec. */
struct words {
	char **at;
	size_t count, size;
};

enum init_role {
	INIT_ALONE,   /* neither fork nor become yet */
	INIT_CHILD,   /* after fork: on the way to the command, the parent stays */
	INIT_BECOMES, /* after become: on the way to the command, without parent */
};

struct init {
	char *ops, *next, *end;   /* the operations, in memory of room bytes */
	size_t room;
	const struct init_op *op; /* the one that runs, for the sentence of a failure */
	enum init_role role;
	int sync_fd;              /* child's end of the pipe to the staying parent, -1 if none */
	int userns_fd;            /* of `userns`, until `enter`; -1 */
	uid_t root_uid;           /* who is root in it, as the host counts */
	gid_t root_gid;
	bool entered;
	bool slaved;              /* `slave` was done: mounts can't reach the host */
	bool plain, nosuid;       /* what the root will be */
	bool new_root;            /* between `root` and `pivot` */
	int root_fd;              /* what mounts are made below; -1: not opened yet */
	struct words argv, env;
	uint64_t ambient;         /* capabilities that the command keeps without being root */
	bool keeps_caps;          /* until the command is executed */
	struct filter *filters;   /* of system calls, last given first */
	const char *unexpanded;   /* the command as it was given, when it names variables */
	enum err_kind kind;       /* the failure */
	int no;
	char text[STATUS_SIZE - STATUS_LINE];
};

/* The operations, ended by a row without name. */
extern const struct init_op init_ops[];

/*
 * Record a failure and return -1. The sentence is "OPERATION: " and the words that follow, up to a NULL; it doesn't
 * repeat what the errno says. _path judges the errno of a path that a user gave, _sys of anything else.
 */
int init_fail(struct init *in, enum err_kind kind, int no, ...) __attribute__((sentinel));
int init_fail_sys(struct init *in, int no, const char *what);
int init_fail_path(struct init *in, int no, const char *what, const char *path);

/* Two descriptors of one file. */
bool init_same_file(int a, int b);

/* A fault of whoever wrote the list: EPROTO. */
int init_fail_list(struct init *in, const char *what, const char *word);

/* A whole word as a number not above max, else a failure of the list. */
int init_number(struct init *in, const char *word, int base, unsigned long max, unsigned long *ret);

/* status.c: the status file, by single writes that can't be torn. */
char *number_format(char buf[24], long value);
void status_failed(enum err_kind kind, int no, const char *text);
void status_started(pid_t pid);
void status_exited(pid_t pid, int status);

/* command.c */
int words_add(struct words *w, char *word);
int op_env(struct init *in, char **arg);
int op_command(struct init *in, char **arg);
int op_arg(struct init *in, char **arg);
int op_exec(struct init *in, char **arg);
int op_done(struct init *in, char **arg);

/* stay.c */
void signals_ignore(void);
void signals_reset(void);
int op_fork(struct init *in, char **arg);
int op_become(struct init *in, char **arg);
_Noreturn void stay_alone(struct init *in);

/* stream.c */
int op_session(struct init *in, char **arg);
int op_stream(struct init *in, char **arg);
int op_open(struct init *in, char **arg);

/* task.c */
int op_tasks(struct init *in, char **arg);
int op_setns(struct init *in, char **arg);
int op_hostname(struct init *in, char **arg);
int op_ioprio(struct init *in, char **arg);
int op_coredump_filter(struct init *in, char **arg);
/* To write a file of our own directory in /proc with the host's rights; -1 and errno. */
int self_open(const char *name);
int op_oom_adj(struct init *in, char **arg);
int op_umask(struct init *in, char **arg);
int op_groups(struct init *in, char **arg);
int op_gid(struct init *in, char **arg);
int op_uid(struct init *in, char **arg);
int op_cwd(struct init *in, char **arg);

/* rights.c */
int op_bound(struct init *in, char **arg);
int op_only(struct init *in, char **arg);
int op_ambient(struct init *in, char **arg);
int op_seccomp(struct init *in, char **arg);
int op_no_new_privs(struct init *in, char **arg);
int op_keyring(struct init *in, char **arg);
int op_loginuid(struct init *in, char **arg);
/* Right before the command is executed: what only then may be in force. 0, or -1 with the failure recorded. */
int rights_settle(struct init *in);
/* Of the process that stays: none at all. A process of the container that may trace it gets nothing by that. */
void rights_shed(const struct init *in);

/* sched.c */
int op_sched(struct init *in, char **arg);

/* rlimit.c */
int op_rlimit(struct init *in, char **arg);

/* mounts.c */
int op_slave(struct init *in, char **arg);
int op_plain(struct init *in, char **arg);
int op_root(struct init *in, char **arg);
int op_attach(struct init *in, char **arg);
int op_bind(struct init *in, char **arg);
int op_readonly(struct init *in, char **arg);
int op_suid(struct init *in, char **arg);
int op_pivot(struct init *in, char **arg);

/* porto.c */
int op_porto(struct init *in, char **arg);
int op_reporto(struct init *in, char **arg);

/* Opens base/path without ever leaving base, whatever the symbolic links say; resolve: further RESOLVE_ flags. -1, errno. */
int open_below(int base, const char *path, uint64_t flags, uint64_t resolve);

/* The directory base/path (in place cut and mended), found in the same way and made if missing. -1, errno */
int path_make(int base, char *path);

/* A directory right below the base, created if missing in a root to be; a link is refused. -1: the failure is recorded. */
int mount_point(struct init *in, const char *name);

/* Checks that mounts are allowed here and opens the base for them. 0, or -1 with the failure recorded. */
int mount_base(struct init *in, bool needs_root);

/* seed.c: returns in each child, with its descriptors in place */
void seed_wait(void);

/* filesystems.c */

/* options: key, value ("": a flag), ..., NULL. A mount not yet attached anywhere, or -1 and errno. */
int mount_new(const char *type, const char *const *options, unsigned int attr);
/* Puts tree on dir/name (dir itself for ""). -1, errno */
int mount_attach(int tree, int dir, const char *name);
int op_proc(struct init *in, char **arg);
int op_dev(struct init *in, char **arg);
int op_premount(struct init *in, char **arg);
int op_runtimes(struct init *in, char **arg);
int op_sys(struct init *in, char **arg);
int op_sysctl(struct init *in, char **arg);
int op_no_console(struct init *in, char **arg);

/* run.c */
int op_run(struct init *in, char **arg);
int op_symlink(struct init *in, char **arg);

/* cgroupfs.c */
int op_cgroupns(struct init *in, char **arg);
int op_cgroupfs(struct init *in, char **arg);

/* userns.c */
int op_userns(struct init *in, char **arg);
int op_enter(struct init *in, char **arg);
int op_lo(struct init *in, char **arg);
int op_newnet(struct init *in, char **arg);
int op_unshare(struct init *in, char **arg);

/* What we make for the container's root is his: fd/name (fd itself for "") in a user namespace. -1: recorded. */
int root_own(struct init *in, int fd, const char *name);

/* filesystems.c: lays source (relative to from, itself for "") over dir/name with more restrictions. 0, or -1 and errno. */
int cover(int from, const char *source, int dir, const char *name, uint64_t attr);

/* device.c */
int op_device(struct init *in, char **arg);

#endif
