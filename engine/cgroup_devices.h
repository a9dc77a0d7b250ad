/*
 * engine/cgroup_devices.h: which devices the processes of a cgroup may open and make. As engine/cgroup.h: plain values in,
 * -errno out, logs nothing.
 *
 * On v2 (and on hybrid hosts, where processes are tracked by v2) it is a BPF program on the container's cgroup: it costs no
 * cgroup of another hierarchy, and those of the cgroups above hold as well. Else the v1 controller does it.
 */
#ifndef ENGINE_CGROUP_DEVICES_H
#define ENGINE_CGROUP_DEVICES_H

#include "engine/cgroup.h"

#define CG_DEVICE_MKNOD 1u
#define CG_DEVICE_READ  2u
#define CG_DEVICE_WRITE 4u
#define CG_DEVICE_ANY   -1 /* as a minor number */
#define CG_DEVICES_MAX  512

struct cg_device {
	char type; /* 'b' or 'c' */
	int major, minor;
	unsigned access;
};

/* NULL: it can be done; else why not. Looks once. */
const char *cg_devices_lacks(const struct cgroups *g);
/* The v1 controller is what does it: a container needs CG_DEVICES of its own. */
bool cg_devices_by_v1(const struct cgroups *g);
/* These alone, instead of what c allowed until now. A device that is in both stays open to it all the time. */
int cg_devices_set(struct cgroups *g, const struct cg *c, const struct cg_device *d, size_t n);
/* On v2: no program of its own, what holds above is enough. */
int cg_devices_clear(struct cgroups *g, const struct cg *c);

/* The program, for tests: how many instructions of *ret, which is the caller's to free. -ENOMEM */
struct bpf_insn;
int cg_devices_program(const struct cg_device *d, size_t n, struct bpf_insn **ret);

#endif
