/* What the host's kernel must be told so that it forwards: files below /proc/sys/net, which shows the namespace that the thread is in. */
#include <dirent.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "netctl/host.h"
#include "netctl/up.h"

#define NET_SYSCTL "/proc/sys/net/"

int ns_enter(int ns_fd, int *back)
{
	struct stat here, there;
	int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	*back = -1;
	if (fd < 0)
		return -errno;
	if (fstat(fd, &here) == 0 && fstat(ns_fd, &there) == 0 && here.st_ino == there.st_ino && here.st_dev == there.st_dev) {
		close(fd);
		return 0;
	}
	if (setns(ns_fd, CLONE_NEWNET) < 0) {
		int r = -errno;
		close(fd);
		return r;
	}
	*back = fd;
	return 0;
}

void ns_leave(int back)
{
	if (back < 0)
		return;
	/* Whatever this thread did next would be done to somebody else's network. */
	if (setns(back, CLONE_NEWNET) < 0)
		abort();
	close(back);
}

static int get(const char *path)
{
	char full[256], buf[32];
	ssize_t r;

	snprintf(full, sizeof(full), NET_SYSCTL "%s", path);
	r = file_read_small(AT_FDCWD, full, buf, sizeof(buf));
	return r < 0 ? (int)r : atoi(buf);
}

static int set(const char *path, const char *value)
{
	char full[256];

	snprintf(full, sizeof(full), NET_SYSCTL "%s", path);
	return file_write(AT_FDCWD, full, value);
}

int host_sysctl(struct netctl *n, const char *path)
{
	int back, r = ns_enter(n->host_ns, &back);

	if (r < 0)
		return r;
	r = get(path);
	ns_leave(back);
	return r;
}

/* A switch that must be on: it is, or may be set, or is named. Missing altogether is fine for an older kernel's. */
static int need(const struct up *u, const char *path, struct err *err)
{
	int r = get(path);

	if (r >= 1)
		return 0;
	if (u->n->conf.set_sysctls && r == 0)
		r = set(path, "1");
	if (r < 0)
		return err_set(err, ERR_NotSupported, "net: the host's " NET_SYSCTL "%s can't be set: %s", path, strerror(-r));
	if (!u->n->conf.set_sysctls)
		return err_set(err, ERR_NotSupported, "net: the host's " NET_SYSCTL "%s must be 1", path);
	return 0;
}

/* A host that forwards heeds no router's advertisements and would lose its own default route; 2 says it shall. */
static void keep_advertisements(void)
{
	DIR *dir = opendir(NET_SYSCTL "ipv6/conf");
	const struct dirent *e;
	char path[128];

	while (dir && (e = readdir(dir))) {
		if (e->d_name[0] == '.' || strcmp(e->d_name, "all") == 0 || strlen(e->d_name) >= IFNAMSIZ)
			continue;
		snprintf(path, sizeof(path), "ipv6/conf/%.15s/accept_ra", e->d_name);
		if (get(path) == 1)
			set(path, "2");
	}
	if (dir)
		closedir(dir);
}

static int forward4(struct up *u, const struct up_dev *d, struct err *err)
{
	char path[128];
	char out[IFNAMSIZ];
	int r = 0, ifindex;

	for (size_t i = 0; r == 0 && i < d->uplink_n; i++) {
		snprintf(path, sizeof(path), "ipv4/conf/%s/forwarding", d->uplinks[i].name);
		r = need(u, path, err);
	}
	/* Answers from the world come in where the way out is, whatever device the gateway's address is on. */
	ifindex = r == 0 ? host_way_out(&u->host) : 0;
	if (ifindex > 0 && if_indextoname((unsigned)ifindex, out)) {
		snprintf(path, sizeof(path), "ipv4/conf/%s/forwarding", out);
		r = need(u, path, err);
	}
	return r;
}

static int forward6(const struct up *u, const struct up_dev *d, struct err *err)
{
	char path[128];
	int r;

	if (u->n->conf.set_sysctls && get("ipv6/conf/all/forwarding") == 0)
		keep_advertisements();
	r = need(u, "ipv6/conf/all/forwarding", err);
	for (size_t i = 0; r == 0 && i < d->uplink_n && !(d->dev->kind->flags & KIND_NAT); i++) {
		snprintf(path, sizeof(path), "ipv6/conf/%s/proxy_ndp", d->uplinks[i].name);
		r = need(u, path, err);
	}
	return r;
}

/* Answers for others are delayed by half a second unless told otherwise: the first packet waits for it. */
static void answer_at_once(const struct up *u, const struct up_dev *d, uint8_t family)
{
	char path[128];

	for (size_t i = 0; i < d->uplink_n && u->n->conf.set_sysctls && !(d->dev->kind->flags & KIND_NAT); i++) {
		snprintf(path, sizeof(path), "ipv%d/neigh/%s/proxy_delay", family == AF_INET ? 4 : 6, d->uplinks[i].name);
		if (get(path) > 0)
			set(path, "0");
	}
}

int up_forwarding(struct up *u, const struct up_dev *d, uint8_t family, struct err *err)
{
	int back, r = ns_enter(u->n->host_ns, &back);

	if (r < 0)
		return err_sys(err, -r, "network namespace of the host");
	r = family == AF_INET ? forward4(u, d, err) : forward6(u, d, err);
	if (r == 0)
		answer_at_once(u, d, family);
	ns_leave(back);
	return r;
}

/* ---- what has gone since ---- */

static void switch_on(const char *format, const char *dev)
{
	char path[128];

	snprintf(path, sizeof(path), format, dev);
	if (get(path) == 0)
		set(path, "1");
}

void forward_repair(struct netctl *n, struct nl *host, const struct net_entry *list, size_t count)
{
	bool routed = false;
	char out[IFNAMSIZ];
	int back, ifindex;

	for (size_t i = 0; i < count; i++)
		routed |= list[i].kind == ENTRY_ROUTE && list[i].addr.family == AF_INET;
	if (!n->conf.set_sysctls || count == 0 || ns_enter(n->host_ns, &back) < 0)
		return;
	ifindex = routed ? host_way_out(host) : 0;
	if (ifindex > 0 && if_indextoname((unsigned)ifindex, out))
		switch_on("ipv4/conf/%s/forwarding", out);
	for (size_t i = 0; i < count; i++)
		if (list[i].kind == ENTRY_PROXY)
			switch_on(list[i].addr.family == AF_INET ? "ipv4/conf/%s/forwarding" : "ipv6/conf/%s/proxy_ndp", list[i].dev);
	ns_leave(back);
}

void forward_published(struct netctl *n)
{
	autofree struct host_addr *addrs = NULL;
	autonl struct nl host = {};
	char dev[IFNAMSIZ];
	size_t count = 0;
	int back;

	if (!n->conf.set_sysctls || nl_open(&host, NETLINK_ROUTE, n->host_ns, NULL) < 0 || host_addrs(&host, &addrs, &count, NULL) < 0 ||
	    ns_enter(n->host_ns, &back) < 0)
		return;
	for (size_t i = 0; i < count; i++)
		if (addrs[i].addr.family == AF_INET && addrs[i].scope == RT_SCOPE_UNIVERSE && if_indextoname((unsigned)addrs[i].ifindex, dev))
			switch_on("ipv4/conf/%s/forwarding", dev);
	ns_leave(back);
}
