/*
 * portofs/shm.h: what must outlive a worker: one memfd, made by the supervisor at mount, mapped by each worker in turn.
 *
 * It belongs to the mount: the saved INIT, requests read but not answered, names behind node ids, gathered writes, poll
 * handles, exit notes. A worker may be killed between any two instructions; so a record is filled first and then made
 * valid by one store to an _Atomic field. The file is sparse and every area is used from its low end, so that what is
 * never needed costs nothing. A binary with another SHM_LAYOUT can't take over: the supervisor then mounts afresh.
 */
#ifndef PORTOFS_SHM_H
#define PORTOFS_SHM_H

#include <linux/fuse.h>
#include <stdatomic.h>

#include "base/defs.h"
#include "engine/notes.h"

#define SHM_MAGIC 0x6f74726f70u
#define SHM_LAYOUT 5u

#define MAX_WRITE (128u << 10)
#define LANDINGS 4u
#define LANDING_BYTES (MAX_WRITE + 8192u)
#define SLOTS 16384u
#define SLOT_BYTES 232u
#define BIG_SLOTS 256u
#define BIG_SLOT_BYTES LANDING_BYTES
#define BIG_SLOT_KEPT 8192u /* of its memory when it is free */
#define NAME_DIRS 16u
#define NAME_FILES 512u
#define NAME_BYTES 48u
#define VIEWS 4096u
#define KEYS 2048u
#define KEY_BYTES 1000u
#define GATHERS 64u
#define GATHER_BYTES (256u << 10)
#define POLLS 8192u
#define FOLLOWERS 256u
#define STAMPS 4096u
#define FAILURE_BYTES 512u

/* How the last worker died: what the request it was busy with is charged with. */
enum death { DEATH_KILLED, DEATH_CRASHED };

/* A request that is not answered at once, byte for byte. */
struct slot {
	_Atomic uint64_t cookie; /* 0: free */
	uint32_t len;
	uint32_t big;            /* place in big[] + 1 if it doesn't fit here */
	_Alignas(8) unsigned char data[SLOT_BYTES];
};

struct big_slot {
	_Alignas(4096) unsigned char data[BIG_SLOT_BYTES];
};

/* A name that stands in no table (prop[key], memory.stat) behind a node id. */
struct key {
	uint32_t ct;
	uint64_t pin_cookie;     /* the last request that changed its pins */
	uint64_t used;
	char name[KEY_BYTES];
};

/* A volume, layer or storage as it is seen in a container's directory. */
struct view {
	uint32_t token; /* generation and place: the id's upper half. 0: free */
	uint32_t ct, id;
	uint32_t dir;
	uint64_t used;
};

/* What one handle has written so far. */
struct gather {
	_Atomic uint64_t fh;     /* 0: free */
	_Atomic uint64_t cookie; /* the write whose bytes end at `tail` */
	uint64_t extends;        /* the write before it, whose value it goes on with; 0: none */
	uint64_t used;
	uint32_t len;            /* where the next write may go on */
	uint32_t tail;
	uint32_t touched;        /* pages up to here are in use */
	int32_t result;          /* of that write, once done */
	uint32_t err_kind, err_no;
	bool done, held, append;
	bool spoiled;            /* it was too long: what follows is its rest and no value */
	char err_text[1024];
	uint32_t home;           /* where the writer of what is held lives: a close comes from nobody */
	_Alignas(4096) char data[GATHER_BYTES];
};

struct poll_handle {
	_Atomic uint64_t fh;     /* 0: free */
	uint64_t kh;             /* the kernel's name of it */
	uint32_t ct;
	uint16_t dir, file;      /* file: the number in names[] */
	uint32_t seen;           /* the clock when it last read */
	uint32_t uid;            /* whose it is */
	uint64_t off;            /* of a stream: what it has read ends here */
	bool armed;              /* the kernel waits for a wake-up */
};

/*
 * Who follows an output: the head that is dropped meanwhile still counts in the size that this process is told, as it does
 * in its positions; tail -f would take less for a truncation.
 */
struct follower {
	pid_t pid; /* 0: free */
	uint32_t ct, file;
	uint64_t base; /* of its handle */
};

struct landing {
	_Alignas(4096) unsigned char data[LANDING_BYTES]; /* starts with fuse_in_header; len 0: empty */
};

struct shm {
	uint64_t magic;
	uint32_t layout;
	uint32_t mount_tag;               /* 15 bits, not 0: tells this mount's cookies from another's */
	uint64_t started;                 /* clock_boot() of the mount */
	char mount[4096];                 /* where; the configuration may say otherwise by now */
	bool made_dir;                    /* the mount point was made by us */

	_Atomic uint32_t generation;      /* workers ever started */
	_Atomic uint32_t serving;         /* generation of the worker that serves, or last did */
	_Atomic uint64_t heartbeat;
	_Atomic uint32_t death;           /* enum death of the last worker */
	_Atomic uint64_t trying;          /* the request a worker is busy with: what killed it, if it dies now */
	uint64_t suspect;                 /* the request that killed the last worker ... */
	uint32_t suspicion;               /* ... and how heavily it is charged */
	char failure[FAILURE_BYTES];      /* why the first worker could not start */

	_Atomic uint32_t init_done;       /* the reply to INIT has gone out */
	uint32_t init_want;
	uint32_t init_reply_len;
	_Alignas(8) unsigned char init[256], init_reply[256];

	uint32_t clock;                   /* opens and changes, in one order */
	uint32_t actions;                 /* inodes given for action files */
	uint64_t uses;                    /* for least recently used */
	char names[NAME_DIRS][NAME_FILES][NAME_BYTES];
	uint32_t stamps[STAMPS];          /* clock of the last change, by hash of the file */
	struct view views[VIEWS];
	uint32_t key_tags[KEYS];          /* generation << 16 | dir << 15 ... of key[i]; see node.c. 0: free */
	uint32_t key_hashes[KEYS];
	uint32_t key_pins[KEYS];          /* open handles: not to be forgotten, if it can be helped */
	uint32_t key_users[KEYS];         /* with pins: who opened it first */
	uint32_t poll_high;               /* polls[] is free from here on */
	struct poll_handle polls[POLLS];
	uint32_t followers_next;          /* the oldest */
	struct follower followers[FOLLOWERS];
	struct key keys[KEYS];
	struct slot slots[SLOTS];
	struct big_slot big[BIG_SLOTS];
	_Atomic uint32_t big_used[BIG_SLOTS];
	struct notes notes;
	struct landing landings[LANDINGS];
	struct gather gathers[GATHERS];
};

/* Makes the memfd and maps it. The descriptor or -errno. */
int shm_create(struct shm **ret);

/* Maps the memfd of an earlier process. -EPROTO: another layout, -EINVAL: not ours. */
int shm_map(int fd, struct shm **ret);

void shm_unmap(struct shm *shm);

#endif
