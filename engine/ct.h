/*
 * engine/ct.h: the container object and the tree; inside the engine everybody includes this.
 *
 * A container is made by ct_new and freed by ct_free, nothing else keeps a pointer to it across a return to the loop:
 * what comes back later (timers embedded in it apart) holds the id and asks ct_find. Ids only grow.
 */
#ifndef ENGINE_CT_H
#define ENGINE_CT_H

#include <sys/resource.h>
#include <sys/types.h>

#include "base/defs.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/proc.h"
#include "base/text.h"
#include "engine/birth.h"
#include "engine/cgroup.h"
#include "engine/cgroup_io.h"
#include "engine/cgroup_memory.h"
#include "engine/config.h"
#include "engine/disks.h"
#include "engine/engine.h"
#include "engine/notes.h"
#include "engine/props.h"
#include "engine/types.h"
#include "netctl/netctl.h"

#define CT_LEVEL_MAX 16
#define LABELS_MAX 100
#define NAME_MAX_TOTAL 512 /* more than any full name has */

enum ct_state {
	CT_STOPPED,
	CT_STARTING,
	CT_RUNNING,
	CT_META,
	CT_PAUSED,
	CT_STOPPING,
	CT_DEAD,
	CT_RESPAWNING,
	CT_STATES,
};
extern const char *const ct_state_names[CT_STATES];

/* What is going on with a container; requests that come meanwhile join, queue or are refused (fsm.c). */
enum op_kind { OP_NONE, OP_START, OP_STOP, OP_PAUSE, OP_RESUME, OP_RESTART, OP_DESTROY };

/* Somebody to be told when an operation ends: a request, or the start of a child that needs this parent. */
struct op_waiter {
	struct op_waiter *next;
	uint64_t cookie; /* 0: none */
	uint32_t child;  /* container whose start goes on, 0: none */
};

/* A request that came while another operation was under way. */
struct op_queued {
	struct op_queued *next;
	struct engine_cred who;
	uint64_t cookie;
	int verb;
	char *arg;
};

/* One standard stream as the container will get or got it. */
struct stream {
	bool internal;       /* our own bounded file in the work directory */
	int fd;              /* a descriptor taken from the writer of /dev/fd/N, -1: none */
	pid_t pid;           /* whose descriptor it is */
	uint64_t pid_start;
	uid_t uid;           /* in whose name it was taken */
	uint64_t dev, ino;   /* what it is: after a restart only the same is taken again */
	uint64_t offset;     /* bytes dropped from the head of the internal file */
};

/* What a file that several properties come from said in this round: it is read once. */
struct seen {
	uint64_t round; /* of which the values are */
	bool has_cpu, has_oom, has_memory, has_net;
	struct net_counts net;
	struct cg_cpu_time cpu;
	uint64_t oom;
	struct memory_stat memory;
};

/* What oom.c knows of a container; counters as of its last look. */
struct oom {
	struct loop_fd watch; /* tells that the limit may have been hit; fn NULL: not watched */
	uint32_t events;
	bool listening;
	bool signalled;
	unsigned tries;
	struct loop_timer timer;
	uint64_t hits;        /* of its own limit */
	uint64_t kills;       /* ct_oom_kills_total */
	uint64_t before;      /* ct_oom_kills when this life began */
	uint64_t when;        /* clock_boot of the last time its limit led to a kill, 0: none in this life */
};

struct ct {
	uint32_t id;
	char *name;           /* "a/b"; "/" for the host */
	const char *base;     /* the last component, inside name */
	struct ct *parent, *children, *last_child, *next, *prev; /* siblings by ascending id */
	struct ct *by_id, *by_name; /* hash chains */
	struct engine *e;
	unsigned level;
	enum ct_state state;
	bool destroying;      /* out of the tree, being taken down */
	bool gone;            /* its record says so */

	union value val[PROP_COUNT];
	uint64_t set[(PROP_COUNT + 63) / 64]; /* explicitly set */
	uid_t owner_uid, task_uid;
	gid_t owner_gid, task_gid;
	unsigned controllers; /* CG_BITs asked for by hand or by a property */

	/* run time: meaningful while not stopped */
	struct cg cg;
	struct cg_kept kept;
	bool has_cg, has_work;
	bool has_ulimit_pushed;       /* ulimit.c: what its processes were given last, if not what is set */
	struct pairs ulimit_pushed;
	bool cg_killed;       /* cgroup.kill was written in it or above */
	bool is_meta;         /* no command: running means meta */
	bool frozen;          /* own freezer set (pause of this container, not of a parent) */
	pid_t pid;            /* the helper or, in job mode, the command itself; 0: no task */
	uint64_t pid_start;
	int pidfd;
	bool task_gone;       /* its end has been seen */
	struct loop_fd watch; /* on pidfd */
	struct loop_fd report; /* on the read end of porto-init's pipe */
	struct ct *by_pid;    /* hash chain */
	bool noted;           /* the supervisor has reaped it: */
	int note_status;
	struct loop_timer note_timer; /* the note does not come: the supervisor is gone */
	struct stream streams[3];

	struct net_job *net_job; /* a thread sets its network up or takes it down; net.h */
	bool net_up;             /* there may be something of it on the host's side */
	bool net_changed;        /* limits were written while net_job was under way */
	bool net_counted, net_classed; /* netctl knows its cgroup; it has a class of the host's devices */
	uint32_t net_heir;       /* whose its counts are when it has gone: the parent, which it will not know any more; 0: nobody's */
	char *net_ip;            /* what ip became at the start, NULL: as it is written */

	uint64_t output_seen; /* length of the longer output at the last look */

	/* the last life: kept when dead, reset by stop */
	int exit_status;      /* as wait(2) */
	bool oom_killed, core_dumped;
	uint64_t oom_kills, oom_kills_total;
	struct oom oom;
	bool pressed;         /* pressurize_on_death is in force */
	uint64_t start_boot, death_boot;  /* clock_boot, ns; 0 never */
	int64_t start_wall, death_wall, creation_wall, change_wall; /* epoch seconds */
	uint64_t respawns;    /* since the last ordinary start */

	/* operations */
	enum op_kind op;
	struct engine_cred op_who;    /* on whose behalf */
	struct op_waiter *op_waiters;
	int op_result;                /* of the last one that ended */
	struct op_queued *queue;
	struct loop_timer timer;      /* of the operation: retry or deadline */
	struct loop_timer respawn_timer, age_timer;
	uint64_t op_deadline;         /* clock_mono */
	unsigned op_tries;
	bool op_hard;                 /* SIGKILL phase of a stop, undoing phase of a start */
	bool op_respawn;              /* this start is a respawn: cgroups and output stay */
	bool signalled;               /* got its soft signal */
	bool stuck;                   /* did not die in time; tried on in the background */
	struct err op_err;            /* why the start fails, while it is undone */
	struct waiting *waiting;      /* blocked reads of `wait`, wait.c */
	unsigned waiting_count;

	/* exactly once */
	uint64_t unique;      /* request of the last saved change */
	int unique_result;
	unsigned holds;       /* descriptors on `weak` */

	/* enable_porto: access.h */
	uint32_t porto;       /* the container whose directory is mounted at /porto in this one's root; 0: nothing */
	bool is_narrow, is_open_narrow; /* as counted in the engine */

	struct seen seen;

	char *start_error;    /* "Kind:(text)" or NULL */
	char *error;          /* "NUMBER Kind:(text)" or NULL */
};

/* read_io.c: what the IO counters of a container said, and names of disks, in this round. */
struct io_seen {
	uint64_t round;
	uint32_t ct;
	int result;
	struct cg_io_counts counts; /* owned */
	struct disk disks[16];
	unsigned known;
};

#define CT_HASH 4096u
#define VOL_HASH 1024u
#define HOMES 64u
#define LAST_ERRORS 64u
#define UNDOS 16u

struct engine {
	struct loop *loop;
	struct net *net;      /* net.c; NULL before net_open */
	const struct config *conf;
	const struct engine_events *events;
	void *events_arg;
	struct cgroups *cgroups;
	unsigned default_controllers; /* CG_BITs that first-level containers have besides the usual ones */
	struct ct *root;
	struct ct *by_id[CT_HASH], *by_name[CT_HASH], *by_pid[CT_HASH];
	struct ct *dying;     /* destroying, by next */
	size_t count;         /* containers in the tree, without the root */
	uint32_t next_id, reserved_id;
	struct rlimit files;  /* RLIMIT_NOFILE as the daemon was given it */
	int state_fd, ct_fd;  /* the state directory, its ct/ */
	int work_fd;          /* the work directory, -1 until first needed */
	int init_fd;          /* sealed copy of porto-init */
	struct seed seed;     /* one that waits for starts */
	gid_t porto_gid;      /* (gid_t)-1: no such group */
	struct loop_fd notes_watch;
	struct loop_timer tick; /* each second while something runs: output that outgrows its limit */
	struct loop_timer replay_timer;
	struct loop_timer sweep_timer; /* while cgroups of removed containers are left that could not go at the start */
	unsigned sweep_tries;
	struct strv remains;      /* names of containers that were removed before this start, while something of them may be left */
	struct strv remains_files; /* their records */
	struct loop_timer cpu_set_timer; /* while there are jails: cpu_set.c */
	struct waiting *waiting;  /* of `.porto/wait[...]` */
	struct watch *watches;    /* what is polled: watch.c */
	struct event_log *log;
	struct replay *replay;  /* uniques found in the records at start */
	bool serving;           /* requests may come */
	unsigned narrow, open_narrow; /* containers that see less than everything; of them, that might ask for more: access.c */
	struct home_seen { pid_t pid; uint32_t ct; uint64_t when; } homes[HOMES]; /* where callers lived a moment ago */
	struct last_error { uid_t uid; pid_t pid; uint32_t home; char *text; } uid_errors[LAST_ERRORS], pid_errors[LAST_ERRORS];
	struct undo { uint32_t ct; uint64_t cookie; struct snapshot before; } undo[UNDOS]; /* cookie 0: free */
	unsigned undo_next;
	struct links {
		struct links_job *jobs, *now; /* under way; whose write is done again right now */
		struct pairs wanted;          /* by the write that is being tried */
	} links; /* links.c */
	const struct engine_cred *reader; /* who reads a property now; NULL: the daemon itself */
	struct vol *vols, *last_vol; /* by ascending id */
	struct vol *vol_by_id[VOL_HASH];
	size_t vol_count;
	uint32_t vol_next;    /* id of the next one */
	int vol_fd;           /* the state directory's vol/ */
	struct store *store;  /* layers and storages: layer.h */
	struct io_seen io_seen;
	uint64_t round, rounds; /* of reading counters (metrics.c): the present one, 0: none; and how many there were */
	struct counters { uint64_t created, started, start_failed, destroyed, died, oom, respawned, errors; } counters;
	int restored, adopted, swept;
	unsigned unread; /* records that could not be read */
};

static inline bool ct_is_root(const struct ct *ct)
{
	return ct->parent == NULL && !ct->destroying;
}

/* Running, meta or paused. */
static inline bool ct_is_alive(const struct ct *ct)
{
	return ct->state == CT_RUNNING || ct->state == CT_META || ct->state == CT_PAUSED;
}

static inline bool ct_has_resources(const struct ct *ct)
{
	return ct->state != CT_STOPPED;
}

/* What was seen of the container in this round; NULL outside of one: then everything is read anew. */
static inline struct seen *ct_seen(struct ct *ct)
{
	if (ct->e->round == 0)
		return NULL;
	if (ct->seen.round != ct->e->round)
		ct->seen = (struct seen){ .round = ct->e->round };
	return &ct->seen;
}

static inline bool prop_is_set(const struct ct *ct, int prop)
{
	return ct->set[prop / 64] >> (prop % 64) & 1;
}

/* Owns its values and strings; adds itself to parent (NULL for the root) and the indexes. */
int ct_new(struct engine *e, struct ct *parent, const char *base, uint32_t id, struct ct **ret);
void ct_free(struct ct *ct);
struct ct *ct_find(struct engine *e, uint32_t id);         /* in the tree or dying; NULL */
struct ct *ct_find_name(struct engine *e, const char *name); /* full name, "/" for the host; NULL */
/* As somebody who lives in home writes it: also self, self/a, /porto/a; NULL */
struct ct *ct_find_seen(struct engine *e, struct ct *home, const char *name);
struct ct *ct_child(struct ct *parent, const char *base);
/* The task whose end is awaited, by pid and start time. */
void ct_pid_remember(struct ct *ct);
void ct_pid_forget(struct ct *ct);
struct ct *ct_find_pid(struct engine *e, pid_t pid, uint64_t start_time);
/* Takes it out of its parent and the name index: the name is free, the object lives on in e->dying. */
void ct_unlink(struct ct *ct);
/* Walks everything below top, parents before children, without top itself: start with NULL, ends with NULL. */
struct ct *ct_next(struct ct *top, struct ct *it);
/* The absolute name: "/porto/a/b", "/" for the host. */
void ct_absolute(const struct ct *ct, struct text *out);

/* Where it lives: a job in its parent's. NULL: it has no cgroups now. */
const struct cg *ct_home_cg(const struct ct *ct);

/* Seconds of life (or since death); 0 when stopped; the uptime for the host. */
uint64_t ct_seconds(const struct ct *ct, bool since_death);
int ct_exit_code(const struct ct *ct); /* of a dead one: PROPERTIES.md 4.1 */
bool ct_isolated(const struct ct *ct); /* isolate, unless the virt_mode forbids it */
bool ct_own_net(const struct ct *ct); /* a network namespace that is made for it: net.c */
bool ct_has_root(const struct ct *ct); /* a chroot of its own */
bool ct_in_root(const struct ct *ct);  /* a chroot of its own or of one above */

/* mode.c: what virt_mode makes of properties that are not set */
const char *ct_command(const struct ct *ct); /* "" if none */
bool ct_has_command(const struct ct *ct);    /* else it is a meta container */
bool ct_is_bare(const struct ct *ct);        /* its task is the command itself, without porto-init beside it */
const char *ct_stream_path(const struct ct *ct, int n); /* of stdin, stdout, stderr; "": our own file */
const char *ct_cgroupfs(const struct ct *ct); /* none, ro or rw */
bool ct_unshares(const struct ct *ct);        /* unshare_on_exec */
bool ct_has_mounts(const struct ct *ct);      /* properties for which it needs mounts of its own are set */
int mode_check_start(struct ct *ct, struct err *err);
/* The signal that asks its main process to end. */
int mode_stop_signal(const struct ct *ct, pid_t pid);

/* Once a round; name is that of the property whose error it would be. */
int ct_cpu_time(struct ct *ct, const char *name, struct cg_cpu_time *ret, struct err *err);
uint64_t ct_oom_kills(struct ct *ct);       /* of this life */
uint64_t ct_oom_kills_total(struct ct *ct); /* with past lives and children */
unsigned ct_controllers(const struct ct *ct); /* what it gets at a start: by level, by hand, by its properties */

/* controllers.c: by cgroup version and configuration; a line of `portod check` for those that the host lacks. */
unsigned controllers_default(const struct config *conf, const struct cgroups *g);
void controllers_check(const struct config *conf, const struct cgroups *g, struct text *out);

/* features.c */
/* e NULL: nothing runs yet. How much is missing. */
int features_format(const struct config *conf, struct cgroups *g, struct engine *e, struct text *out);
void cg_list_foreign(struct engine *e, struct text *out); /* cgroups below our root that no container owns */
/* daemon.c */
void properties_format(struct text *out);

extern char engine_readme_path[]; /* beside the running binary; "" if none */
/* One of our programs: beside the running binary, or in the libexec directory. Caller frees; NULL: no memory. */
char *program_path(const char *name);

/* What `.porto/error` says to this reader: the last error of its own process (a shell that looks why its echo was refused
 * must not see another's), else the last one of its user; "" if none. */
const char *engine_last_error(struct engine *e, const struct engine_cred *who);

/* The nearest container up (itself included) that has a task whose namespaces can be joined; NULL: the host's. */
struct ct *ct_task_owner(struct ct *ct);

#endif
