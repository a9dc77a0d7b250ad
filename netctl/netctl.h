/*
 * netctl/netctl.h: network namespaces, links, addresses, shaping, counters and NAT from plain values. It knows no containers:
 * an owner is a number and a name that stand in the alias of each link it has on the host's side.
 *
 * "The host" is the network namespace in which netctl_open was called. All functions that talk to the kernel open sockets of
 * their own, so any thread may call them and several at once; what struct netctl keeps in memory (which links an owner has,
 * addresses of the pool, classes, published ports) is behind its own lock, never held while the kernel is asked.
 *
 * Everything made on the host can be found again: links carry IFLA_GROUP and an alias "<tag>:<id>:<device>:<name>", the BPF
 * program hangs on the cgroup, the NAT table bears the tag. A daemon that was killed calls netctl_adopt and has everything back;
 * what no living owner claims is removed. Two daemons differ in their tags.
 *
 * Functions return 0 or -errno with a sentence in err, and have then undone what they had begun, unless they say otherwise.
 */
#ifndef NETCTL_NETCTL_H
#define NETCTL_NETCTL_H

#include <net/if.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/defs.h"
#include "base/err.h"
#include "base/text.h"

/* ---- addresses: addr.c, pure ---- */

#define NET_ADDR_TEXT 64 /* of one formatted, NUL included */

struct net_addr {
	uint8_t family; /* AF_INET or AF_INET6; 0: none */
	uint8_t prefix; /* bits; 32 or 128: a host */
	uint8_t a[16];  /* network order, 4 or 16 bytes used */
};

/* "10.0.0.1", "10.0.0.0/24", "fd00::1/64"; without a prefix a host. -EINVAL */
int net_addr_parse(const char *text, struct net_addr *ret);
/* The prefix of a host is left out. */
void net_addr_format(const struct net_addr *addr, char buf[NET_ADDR_TEXT]);
bool net_addr_inside(const struct net_addr *addr, const struct net_addr *net);

struct net_ifaddr {
	char dev[IFNAMSIZ];
	struct net_addr addr; /* family 0 with automatic */
	bool automatic;       /* "veth auto": one is taken when the namespace is set up */
};

struct net_ifaddrs {
	struct net_ifaddr *p; /* owned */
	size_t n;
};

/*
 * The properties ip (gateway false: "DEV ADDR[/PREFIX]|auto; ...") and default_gw (gateway true: "DEV ADDR; ...", one a family
 * and device, no prefix). InvalidValue with the word that is wrong. Empty text: none.
 */
int net_ifaddrs_parse(const char *text, bool gateway, struct net_ifaddrs *ret, struct err *err);
void net_ifaddrs_format(const struct net_ifaddrs *list, struct text *out); /* parses back to the same */
void net_ifaddrs_done(struct net_ifaddrs *list);

/* ---- the property net: spec.c, pure ---- */

enum net_mode {
	NET_INHERITED, /* no namespace of its own; taps apart no devices */
	NET_OWN,       /* a new one: none (no devices) or with devices */
	NET_CONTAINER, /* that of the container `target` */
	NET_NETNS,     /* /run/netns/<target> */
};

struct net_kind; /* kinds.c: a row for each word that makes a device; its file makes it */

struct net_dev {
	const struct net_kind *kind;
	char name[IFNAMSIZ];   /* inside */
	char master[64];       /* MASTER (a mask), BRIDGE, or the device that is stolen; "" none */
	char mode[16];         /* of macvlan, ipvlan; "" default */
	uint32_t mtu;          /* 0: the kind's default */
	uint8_t mac[6];
	bool has_mac, ecn, autoconf;
	struct net_addr remote, local; /* ipip6 */
};

struct net_spec {
	enum net_mode mode;
	char *target;
	struct net_dev *devs;
	size_t n;
	bool ecn_all;
	struct strv commands;  /* of `ip WORDS...`, words of one separated by blanks */
};

/* spec/NETWORK.md 1 and 2. InvalidValue and the word that is wrong. *ret is empty after a failure. */
int net_spec_parse(const char *text, struct net_spec *ret, struct err *err);
void net_spec_done(struct net_spec *spec);
/* Only kinds with addresses that are ours to give: none, L3, NAT, ipip6 (rule of ip_limit). */
bool net_spec_is_l3(const struct net_spec *spec);
/* The first word of it that reaches more than addresses of the owner's own: another's device, network or namespace. NULL: none. */
const char *net_spec_for_root(const struct net_spec *spec);
/* The device of that name, or NULL. */
const struct net_dev *net_spec_dev(const struct net_spec *spec, const char *name);

/* ---- rates: keys of net_limit, net_rx_limit, net_guarantee ---- */

struct net_rate {
	const char *key; /* borrowed; "eth0", "group 1", "CS2", "eth0 CS2", "default", a mask */
	uint64_t rate;   /* bytes a second; 0: none */
};

struct net_rates {
	const struct net_rate *p; /* borrowed */
	size_t n;
};

#define NET_CLASSES 8 /* CS0..CS7 */

#define NET_PROGRAM_TIMEOUT UINT64_C(120000000000) /* ns; of commands of `ip`, and of others that set a network up */

/* spec/NETWORK.md 5.1: `DEV CSn`, `CSn`, a key that matches DEV as a mask, `group G`, `default`. cs -1: without classes. 0: no limit */
uint64_t net_rate_of(const struct net_rates *rates, const char *dev, const char *group, int cs);
/* Is a key well-formed? InvalidValue. */
int net_rates_check(const struct net_rates *rates, struct err *err);

struct net_limits {
	struct net_rates tx, rx, guarantee; /* as the owner sees it: tx is what it sends */
	int tos;                            /* CS0..CS7: 0..7 */
};

/* ---- the daemon's own ---- */

struct netctl_config {
	const char *tag;                /* of this daemon; 1..32 of [A-Za-z0-9_.-] */
	struct net_addr nat4, nat6;     /* first address of the pool; family 0: none */
	uint64_t nat_count;
	struct net_addr auto4, auto6;   /* prefixes from which `auto` takes; family 0: the host device's */
	uint64_t l3_mtu;                /* 0: the largest of the devices used */
	bool set_sysctls;               /* forwarding and proxy_ndp are set where they are missing; else a sentence names them */
	bool enable_ip;                 /* the word `ip` of net */
	uint64_t autoconf_timeout;      /* ns */
};

struct netctl;

/* Blocks of private addresses that no route of the host overlaps, to begin a pool in. -ENOENT */
int net_default_pool(struct net_addr *v4, struct net_addr *v6);
/* Are there so many addresses from the first on, and no more than a pool may have? */
bool net_pool_fits(const struct net_addr *first, uint64_t count);

/* Copies the configuration. Asks the kernel what it can (in a scratch namespace), once. */
int netctl_open(const struct netctl_config *config, struct netctl **ret, struct err *err);
void netctl_close(struct netctl *n); /* leaves everything in the kernel; NULL is fine */

/* What this kernel lacks, a line each "what: reason", for `features`; nothing when all is there. */
void netctl_lacks(const struct netctl *n, struct text *out);

/* Can this host do it? NotSupported (EOPNOTSUPP) and the reason; for the write of `net`, nothing is made. */
int net_spec_check(struct netctl *n, const struct net_spec *spec, struct err *err);

/* ---- up and down: up.c ---- */

struct net_request {
	uint32_t id;                   /* of the owner */
	const char *name;              /* goes into the alias */
	int ns_fd;                     /* the new namespace, empty (with NET_INHERITED and taps: the host's) */
	const struct net_spec *spec;
	const struct net_ifaddrs *ip, *gw;
	const char *hostname;          /* generated hardware addresses depend on it; NULL: none set */
	struct net_limits limits;
	bool raise;                    /* devices without addresses are brought up as well (not in virt_mode os) */
	uid_t uid;                     /* of taps */
	gid_t gid;
	int cancel_fd;                 /* readable: give up waiting, ECANCELED; -1: none */
};

/*
 * Makes everything the specification asks for, limits included. May take long (autoconf, other namespaces' teardown): never
 * from an event loop. Where addresses were chosen here (NAT, auto), *ip is the list with them, to be freed by the caller; else it is empty.
 * Kinds of errors: NotSupported, InvalidNetworkAddress (no gateway), ResourceNotAvailable (pool empty, too many addresses,
 * an address that somebody else has), InvalidValue (no such master or bridge), HelperError (a command of `ip` failed), Unknown with
 * ETIMEDOUT or ECANCELED (autoconf). When it returns, packets flow: the kernel's workers are waited for, half a second at most.
 */
int net_up(struct netctl *n, const struct net_request *req, struct net_ifaddrs *ip, struct err *err);

/*
 * Takes back what is on the host's side: routes and proxy entries at once, links are only marked and go in net_sweep. Quick
 * (a few messages), harmless for owners that have nothing; addresses are free again.
 */
void net_down(struct netctl *n, uint32_t id);

/* The name of the host's end of a device: -ENOENT where it has none. */
int net_dev_host_name(struct netctl *n, uint32_t id, const char *dev, struct text *out);

/* Deletes marked links (slow: 20 ms and more). 1 if there was something, so that the caller comes again; 0 nothing; -errno. */
int net_sweep(struct netctl *n);

struct net_port {
	uint8_t proto;                /* IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP */
	struct net_addr listen;       /* host address, family 0: all */
	uint16_t from, to, count;     /* host port, port inside, how many */
};

struct net_ports {
	struct net_port *p; /* owned */
	size_t n;
};

struct net_owner {
	uint32_t id;
	int ns_fd;                    /* its namespace; -1: not known, links are then kept by their alias alone */
	const struct net_ifaddrs *ip; /* in use */
	const char *net;              /* text of its property */
	const struct net_ports *ports; /* published; NULL: none */
};

/* After a restart: links of these owners are ours again, their routes, proxy entries and pool addresses too; all other links,
 * routes, rules with our tag are removed. */
int netctl_adopt(struct netctl *n, const struct net_owner *owners, size_t count, struct err *err);

/* Things with our tag that no owner has: a line each, for `.porto/leaks`. */
void netctl_leaks(struct netctl *n, struct text *out);

/* Proxy entries, routes, queues and rules that others have removed are put back: once a minute. May block. */
void netctl_repair(struct netctl *n);

/* ---- limits of owners with their own namespace: shape.c ---- */

/* New limits for links that are up; the old ones stay in force when it fails. Nothing to do without links. */
int net_limits_apply(struct netctl *n, uint32_t id, const struct net_limits *limits, struct err *err);
/* Can these be enforced for this specification on this host? Else NotSupported with the reason. */
int net_limits_check(struct netctl *n, const struct net_spec *spec, const struct net_limits *limits, struct err *err);

/* ---- owners that share the host's network: cgroup.c (BPF) and htb.c ---- */

/*
 * Loads, or finds again, the program on the cgroup2 directory below which all owners are. NotSupported where the kernel can't.
 * Until it was called, and where it failed, the functions below do nothing and counters are missing.
 */
int net_cgroup_open(struct netctl *n, int cgroup_root_fd, struct err *err);

/* The directory's traffic (with what lies below and is no owner's own) is counted for id from now on. */
int net_cgroup_add(struct netctl *n, uint32_t id, int cgroup_fd, struct err *err);
/* Its class and numbers go; what was counted is added to `heir`, 0: to nobody. Unknown ids are fine. */
void net_cgroup_del(struct netctl *n, uint32_t id, uint32_t heir);

/*
 * Classes on the host's devices for an owner without namespace: parent is the nearest owner above that has classes, 0: none.
 * The queueing discipline is put on a device when the first owner needs it and taken off with the last. All zero: none.
 */
int net_class_apply(struct netctl *n, uint32_t id, uint32_t parent, const struct net_limits *limits, struct err *err);

/* The class that its packets have on the host's devices, major << 16 | minor; 0: none. */
uint32_t net_class_id(struct netctl *n, uint32_t id);

/* ---- counters: count.c ---- */

struct net_counts {
	uint64_t rx_bytes, rx_packets, rx_drops, rx_overlimits;
	uint64_t tx_bytes, tx_packets, tx_drops, tx_overlimits; /* as the owner sees it */
};

struct net_snapshot; /* of all links on the host's side, with their queues: one dump */

int net_snapshot_take(struct netctl *n, struct net_snapshot **ret, struct err *err);
void net_snapshot_free(struct net_snapshot *s);

/* Calls fn for each device: of the owner as it names them, id 0: of the host. group is the name or number of its link group.
 * -errno if one could not be read. uplink: counts in `Uplink` (spec/NETWORK.md 5.2, 7). */
int net_snapshot_each(const struct net_snapshot *s, uint32_t id,
		      void (*fn)(void *arg, const char *dev, const char *group, bool uplink, const struct net_counts *c), void *arg);

/* By cgroup: of an owner alone, without what its children count. -ENOENT where it isn't counted. */
int net_cgroup_counts(struct netctl *n, uint32_t id, struct net_counts *ret);

/* ---- NAT and published ports: nat.c, pool.c ---- */

/* The property publish: "tcp 8080:80; udp 5000-5010:6000; tcp 10.0.0.1 8443:443; tcp 22". InvalidValue with the word. */
int net_ports_parse(const char *text, struct net_ports *ret, struct err *err);
void net_ports_format(const struct net_ports *ports, struct text *out);
void net_ports_done(struct net_ports *ports);

/*
 * Ports of this owner lead to the addresses, from outside, from the host (127.0.0.1 too, not ::1) and from other owners; replaces
 * what it had. Busy and whose it is when another owner has one, or a service of the host listens there. InvalidValue without address.
 */
int net_publish(struct netctl *n, uint32_t id, const struct net_ports *ports, const struct net_ifaddrs *ip, struct err *err);

#endif
