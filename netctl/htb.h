/*
 * netctl/htb.h: owners' classes (class.c) and the trees on devices that follow from them (htb.c). All with net_classes.tree held.
 */
#ifndef NETCTL_HTB_H
#define NETCTL_HTB_H

#include "netctl/classes.h"

#define CLASS_NUMBER_MAX 4095u
#define CLASS_PACKETS	 8u /* low bits of the class that holds packets; with number 0: everybody else's */
#define CLASS_DEPTH_MAX	 6u /* HTB has eight levels: the top, six of owners, the packets' */

/* ---- class.c ---- */

struct net_class *class_find(const struct net_classes *c, uint32_t id);
/* The nearest one above that has classes. */
const struct net_class *class_above(const struct net_classes *c, const struct net_class *e);
/* How many have classes from it upwards. */
unsigned class_depth(const struct net_classes *c, const struct net_class *e);

/* ---- htb.c ---- */

struct root {
	int ifindex;
	uint32_t handle;
};

struct tree {
	struct netctl *n;
	struct net_classes *c;
	struct nl host;
	struct nl_batch b;
	struct net_hostdev *devs;
	int dev_count;
	struct root *roots; /* of all devices that have a root qdisc */
	size_t root_count;
	uint32_t major;
	int r; /* of messages already sent */
	struct err *err;
};

/* The tag's: ours differ from those of another daemon and from what people choose by hand. */
uint32_t tree_major(const char *tag);
int tree_init(struct tree *t, struct netctl *n, struct err *err);
void tree_done(struct tree *t);
/* What root qdiscs there are now. */
int tree_roots(struct tree *t);

/* What has changed since the trees were made. */
struct change {
	const struct net_class *put; /* this owner's rates */
	uint32_t del;                /* this number's classes */
	bool shape;                  /* who is below whom */
};

/* Brings all devices to what the owners' classes are. */
int tree_sync(struct tree *t, const struct change *change);

#endif
