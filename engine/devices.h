/*
 * engine/devices.h: which devices a container has: `devices`, `devices_explicit`, container.extra_devices. Of the property's
 * text the entries are found on the host, put over what the parent has (or the default set), and given to the cgroup; in a root
 * of its own the nodes are made.
 */
#ifndef ENGINE_DEVICES_H
#define ENGINE_DEVICES_H

#include "engine/cgroup_devices.h"
#include "engine/ct.h"

#define DEVICE_PATH_MAX 200

struct device {
	struct cg_device rule;
	unsigned node_minor;            /* of its node; rule's may be any */
	bool off;                       /* "-": taken away */
	bool own_mode, own_user;        /* said, not the host's */
	char source[DEVICE_PATH_MAX];   /* on the host; "" for those of the default set, which have their nodes anyway */
	char path[DEVICE_PATH_MAX];     /* of its node inside */
	mode_t mode, host_mode;
	uid_t uid, host_uid;
	gid_t gid, host_gid;
};

struct device_set {
	struct device *d; /* owned */
	size_t n;
	bool all;         /* virt_mode host: nothing is forbidden */
};
void device_set_done(struct device_set *set);
#define autodevices __attribute__((cleanup(device_set_done)))

/* All that the container has. -errno with the sentence. */
int devices_effective(struct ct *ct, struct device_set *ret, struct err *err);
/* The operations of porto-init that make the nodes, after `dev`. */
int devices_ops(struct ct *ct, struct text *ops, struct err *err);
/* A job has no cgroup of its own to hold them. */
int devices_check_start(const struct ct *ct, struct err *err);
/* Controllers that a container needs for them: none unless v1 is what does it. */
unsigned devices_controllers(const struct ct *ct);

#endif
