/*
 * engine/net.h: the networks of containers: which properties become what netctl is told, and when.
 *
 * A container with devices of its own is born into an empty network namespace. Before it is told what to do, a thread has netctl
 * set that up (net_begin); a thread takes the host's side down again before the rest of the container goes (net_take_down). With
 * net=none there is no thread: porto-init makes the namespace itself. Sharing the host's network costs a start nothing but the
 * number of its cgroup, by which a program in the kernel counts its traffic.
 */
#ifndef ENGINE_NET_H
#define ENGINE_NET_H

#include "engine/ct.h"
#include "netctl/netctl.h"

/* NULL and why: networks can't be had here. */
struct netctl *net_ctl(struct engine *e, struct err *err);

/* Where the kernel can't do something, containers that don't need it are not held up: NotSupported when one does. */
int net_open(struct engine *e, struct err *err);
void net_close(struct engine *e);
/* The daemon ends for good: links and rules that are left on the host go. From the network namespace in which it ran. */
void net_forget(const struct config *conf);
/* After the records were read and matched with processes: what the last worker had made is ours again or goes. */
void net_restore(struct engine *e);
/* e NULL: before anything runs. */
void net_features(const struct config *conf, struct engine *e, struct text *out);
void net_leaks(struct engine *e, struct text *out);

/* By the property's words alone: cheap. */
enum net_mode net_mode_of(const struct ct *ct);
/* The nearest container up, itself included, that does not inherit its network; NULL: the host's. */
struct ct *net_owner(struct ct *ct);
/* Devices of its own: the namespace is set up by net_begin. */
bool net_has_devices(const struct ct *ct);

/* What ip says, or what was chosen for it at the start. */
int net_ip_of(const struct ct *ct, struct net_ifaddrs *ret, struct err *err);
/* The network namespace of its process, the caller's to close; -errno. */
int net_ns_of(const struct ct *ct);

/* Rights and rules that can only be looked at when it starts. */
int net_check_start(struct ct *ct, const struct engine_cred *who, struct err *err);

/* Lines about what is set and can have no effect. */
void net_taint(const struct ct *ct, struct text *out);

/* A descriptor of the namespace that `container` or `netns` name; the caller's to close. */
int net_join_fd(struct ct *ct, struct err *err);

/*
 * The new process (ct->pidfd) waits for its operations: they are written to ops_write when its network is there. ns_fd: the
 * namespace that it will enter; -1: it is in it. Takes all three.
 * What is wrong then ends the start by start_fail.
 */
int net_begin(struct ct *ct, struct text *ops, int ops_write, int ns_fd, struct err *err);
/* -EBUSY until nothing of its network is left on the host: call again. */
int net_take_down(struct ct *ct);

void net_sweep_soon(struct engine *e);

/* It has cgroups now: its traffic is counted. Before they go: what was counted is its parent's. */
void net_count(struct ct *ct);
void net_uncount(struct ct *ct);

/* Its limits as they are set, with v in place of what prop has (0: as it is); to be freed by net_limits_done. */
struct net_limits_kept {
	struct net_limits limits;
	struct net_rate *rates; /* all three, one after the other */
};
int net_limits_of(const struct ct *ct, int prop, const union value *v, struct net_limits_kept *ret);
void net_limits_done(struct net_limits_kept *k);

/* Classes of those that share the host's network, all anew. */
void net_limits_restore(struct engine *e);

/* A snapshot of all links, at most some milliseconds old; borrowed. NULL and a sentence. */
const struct net_snapshot *net_snapshot_now(struct engine *e, struct err *err);

#endif
