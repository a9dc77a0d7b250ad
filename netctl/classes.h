/*
 * netctl/classes.h: owners by cgroup, and their classes on the host's devices. Shared by cgroup.c, htb.c, shape.c and
 * count.c.
 *
 * Two locks, neither is netctl's own: `lock` for maps and slots (microseconds: counters are read under it), `tree`
 * while classes are changed on devices. Order: tree, then lock.
 */
#ifndef NETCTL_CLASSES_H
#define NETCTL_CLASSES_H

#include "netctl/priv.h"

/* IFLA_GROUP of ifbs: netctl's own links are told apart from what only shapes them. */
#define NET_GROUP_SHAPE 0x706f7273u /* "pors" */

#define NET_SLOT_KEYS 3

/* A place in the maps. Number 0 is nobody's. */
struct net_slot {
	uint32_t id; /* 0: free */
	uint32_t classid;
	bool claimed; /* by an owner since net_cgroup_open; the others are from before a restart */
	bool more;    /* has keys besides these */
	uint8_t key_count;
	uint64_t keys[NET_SLOT_KEYS]; /* its cgroups */
};

struct net_class {
	uint32_t id, parent;
	uint16_t number;          /* of its classes on devices; 0: it has none and shares its parent's */
	struct net_limits limits; /* owned deeply */
};

struct net_drop; /* count.c */

struct net_classes {
	pthread_mutex_t lock, tree;
	int ids, counts, owners; /* maps: cgroup -> slot, slot -> counters of a CPU, slot -> what it is; -1: not open */
	struct net_slot *slots;
	uint32_t slot_count, slots_used, cpus; /* slots_used: all from there on are free */
	struct net_class *classes;
	size_t class_count, class_room;
	struct net_drop *drops; /* sorted by interface */
	size_t drop_count;
};

/* Made at the first call. NULL: no memory. */
struct net_classes *classes_get(struct netctl *n);

/* The class of what its cgroups send; remembered in the map, so it outlives us. Owners that aren't counted are ignored.
 */
void cgroup_class(struct net_classes *c, uint32_t id, uint32_t classid);
/* The class that was there before a restart; 0: none. */
uint32_t cgroup_class_before(struct net_classes *c, uint32_t id);
/* Is there a slot with that class, whoever's? */
bool cgroup_class_taken(struct net_classes *c, uint32_t classid);

/* htb.c */
void class_tree_done(struct net_classes *c);
/* For an owner whose devices have no end on the host: everything it sends, at most rate and if need be guarantee;
 * by its cgroup. 0 and 0: no class. */
int class_of_links(struct netctl *n, uint32_t id, uint64_t rate, uint64_t guarantee, struct err *err);
/* Can there be classes? NotSupported: `what` needs this or that. */
int class_check(struct netctl *n, const char *what, struct err *err);

/* ---- a queueing discipline of one rate: shape.c ---- */

/* From NET_SHAPE_WHOLE bytes a second on, packets that the kernel cuts later pass in one piece. */
#define NET_SHAPE_WHOLE  6553600u
#define NET_RATE_NOTHING 1u /* the rate that lets nothing through */

uint32_t shape_burst(uint64_t rate, uint32_t mtu);
uint32_t shape_limit(uint64_t rate, uint32_t mtu);
/* TBF (or what drops everything) at parent of the device. handle: of the qdisc, TC_H_UNSPEC: the kernel's choice; for
 * NET_RATE_NOTHING another major is taken. */
void shape_add(struct nl_batch *b, int ifindex, uint32_t parent, uint32_t handle, uint64_t rate, uint32_t burst,
	       uint32_t limit, const char *what);
/* Has the kernel what these limits of a link need? */
int shape_check(const struct netctl *n, uint64_t tx, uint64_t rx, struct err *err);
/* The same for a device without an end on the host, whose owner's cgroup alone can be limited. */
int shape_check_hostless(const char *dev, bool stolen, uint64_t tx, uint64_t rx, struct err *err);

/* ---- devices of the host: hostdev.c ---- */

struct net_hostdev {
	int ifindex;
	char name[IFNAMSIZ], kind[16];
	uint32_t group, mtu;
	bool up;
	bool managed;   /* its traffic is the host's own: not loopback, ours, or made to carry others'
			   (spec/NETWORK.md 5.3) */
	uint64_t speed; /* bytes a second of Ethernet frames; 0: not known */
};

/* From a RTM_NEWLINK. */
void hostdev_parse(struct nlmsghdr *h, struct net_hostdev *ret);
/* Is a link of that group netctl's own (or was)? */
bool hostdev_is_ours(uint32_t group);
/* All managed devices that are up, for the caller to free; their number or -errno. */
int hostdev_managed(struct nl *host, struct net_hostdev **ret, struct err *err);
/* Name of a link group, else its number. */
void hostdev_group_name(uint32_t group, char *buf, size_t size);

#endif
