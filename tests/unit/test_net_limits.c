/* netctl/limits.c: limits of an owner over all its devices, whatever they are. */
#include "tests/unit/flow_kit.h"

#include <mntent.h>
#include <sys/stat.h>

#include "base/fd.h"

static struct netctl *n;
static int far_ns = -1; /* the other end of "out" */
static char mount[128], top[200], owner[256];

static const struct {
	const char *net;
	bool tx, rx, guarantee;
	int r;
	const char *words;
} rows[] = {
	{"L3 eth0", true, true, false, 0, ""},
	{"veth eth0 br0", true, true, false, 0, ""},
	{"none", true, true, false, 0, ""},
	{"L3 eth0", false, false, true, -EOPNOTSUPP, "cgroup2 BPF"},
	{"macvlan out eth0", true, false, false, -EOPNOTSUPP, "cgroup2 BPF"},
	{"macvlan out eth0", false, true, false, -EOPNOTSUPP, "no end on the host"},
	{"steal out", true, false, false, -EOPNOTSUPP, "not the host's any more"},
	{"inherited", true, false, false, -EOPNOTSUPP, "cgroup2 BPF"},
	{"inherited", false, true, false, -EOPNOTSUPP, "net_rx_limit needs a network of its own"},
	{"inherited", false, false, false, 0, ""},
	{"container a", true, false, false, -EOPNOTSUPP, "those of the one whose it is"},
};

static void test_check(void)
{
	static const struct net_rate some = {"default", 1 << 20};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct net_limits limits = {.tx = {&some, rows[i].tx}, .rx = {&some, rows[i].rx}, .guarantee = {&some, rows[i].guarantee}};
		struct net_spec spec = {};
		struct err err = {};
		int r = net_spec_parse(rows[i].net, &spec, &err);
		if (r == 0)
			r = net_limits_check(n, &spec, &limits, &err);
		if (!unit_ok(r == rows[i].r && strstr(err.text, rows[i].words), "%s%s%s%s", rows[i].net, rows[i].tx ? ", net_limit" : "",
			     rows[i].rx ? ", net_rx_limit" : "", rows[i].guarantee ? ", net_guarantee" : ""))
			printf("# %d %s\n", r, err.text);
		net_spec_done(&spec);
	}
}

static struct net_link link_now(const char *dev)
{
	struct net_link *list = NULL, found = {};
	int count = links_of(n, 7, &list);
	for (int i = 0; i < count; i++)
		if (strcmp(list[i].dev, dev) == 0)
			found = list[i];
	free(list);
	return found;
}

static void test_rollback(void)
{
	struct net_link a = {.id = 7, .dev = "eth0", .uplink = true, .ifindex = index_of(host_ns, "L3-1"), .mtu = 1500, .ns_fd = -1};
	struct net_link gone = {.id = 7, .dev = "eth9", .uplink = true, .ifindex = 4000, .mtu = 1500, .ns_fd = -1};
	struct net_rate one[] = {{"eth0 CS1", 5 << 20}, {"CS1", 0}, {"eth0", 1 << 20}}, two[] = {{"default", 2 << 20}};
	struct net_limits limits = {.tx = {one, ARRAY_LEN(one)}}, other = {.tx = {two, 1}, .rx = {two, 1}};
	struct err err = {};
	unit_int(links_add(n, &a), 0, "a link");
	unit_int(net_limits_apply(n, 7, &limits, &err), 0, "its limit");
	unit_int((long long)link_now("eth0").tx_rate, 1 << 20, "is the one without class");
	limits.tos = 1;
	unit_int(net_limits_apply(n, 7, &limits, &err), 0, "with a net_tos");
	unit_int((long long)link_now("eth0").tx_rate, 5 << 20, "it is that class's");
	unit_int(links_add(n, &gone), 0, "another link, which is gone");
	unit_ok(net_limits_apply(n, 7, &other, &err) < 0, "other limits fail");
	unit_ok(link_now("eth0").tx_rate == 5 << 20 && link_now("eth0").rx_rate == 0, "those of before stay");
	struct net_link seen[] = {a};
	autonl struct nl host = {};
	nl_open(&host, NETLINK_ROUTE, host_ns, &err);
	unit_int(shape_found(n, &host, seen, 1, &err), 0, "in the kernel too");
	unit_ok(seen[0].tx_rate == 5 << 20 && seen[0].rx_rate == 0, "with the same rates");
	limits = (struct net_limits){};
	links_drop(n, 7);
	links_add(n, &seen[0]);
	unit_int(net_limits_apply(n, 7, &limits, &err), 0, "none any more");
	links_drop(n, 7);
	unit_int(net_limits_apply(n, 7, &other, &err), 0, "without links there is nothing to do");
}

static bool cgroup_begin(void)
{
	FILE *f = setmntent("/proc/self/mounts", "r");
	const struct mntent *m;
	while (f && (m = getmntent(f)))
		if (strcmp(m->mnt_type, "cgroup2") == 0)
			snprintf(mount, sizeof(mount), "%s", m->mnt_dir);
	if (f)
		endmntent(f);
	snprintf(top, sizeof(top), "%s/porto-netlimits-%d", mount, (int)getpid());
	snprintf(owner, sizeof(owner), "%s/a", top);
	return mount[0] && mkdir(top, 0755) == 0 && mkdir(owner, 0755) == 0;
}

static bool macvlan_add(void)
{
	struct ifinfomsg ifi = {};
	struct nl_batch b = {};
	struct nl_msg *msg = nl_add(&b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &ifi, sizeof(ifi), "macvlan");
	nla_put_string(msg, IFLA_IFNAME, "mac0");
	nla_put_u32(msg, IFLA_LINK, (uint32_t)index_of(host_ns, "out"));
	nla_put_u32(msg, IFLA_NET_NS_FD, (uint32_t)box_ns);
	struct nlattr *info = nla_nest_start(msg, IFLA_LINKINFO);
	nla_put_string(msg, IFLA_INFO_KIND, "macvlan");
	nla_nest_end(msg, info);
	return run(host_ns, &b) && addr_up(box_ns, "mac0", "10.79.0.2");
}

static void join(const char *path)
{
	char file[300], pid[16];
	snprintf(file, sizeof(file), "%s/cgroup.procs", path);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	if (file_write(AT_FDCWD, file, pid) < 0)
		printf("# can't join %s\n", path);
}

/* What goes out of a macvlan gets its class in the owner's cgroup and meets it on the device below. */
static void test_macvlan(void)
{
	struct net_link link = {.id = 8, .dev = "mac0", .uplink = true, .ns_fd = dup(box_ns)};
	struct net_rate tx = {"mac0", 2 << 20}, least = {"mac0", 1 << 20};
	struct net_limits limits = {.tx = {&tx, 1}, .guarantee = {&least, 1}};
	struct err err = {};
	autoclose int root = open(top, O_RDONLY | O_CLOEXEC), dir = open(owner, O_RDONLY | O_CLOEXEC);
	unit_ok(net_cgroup_open(n, root, &err) == 0 && net_cgroup_add(n, 8, dir, &err) == 0, "an owner's cgroup");
	unit_ok(links_add(n, &link) == 0 && net_limits_apply(n, 8, &limits, &err) == 0, "a limit on its macvlan");
	printf("# %s\n", err.text);
	/* the world beyond "out" is the box's eth0, which takes the macvlan's network too */
	unit_ok(addr_up(far_ns, "eth0", "10.79.0.1") && answers(box_ns, far_ns, "10.79.0.1"), "it leads into the world");
	join(owner);
	double got = (double)flow(box_ns, far_ns, "10.79.0.1", 5001, 1.5) / 1.5;
	join(mount);
	printf("# %.0f bytes a second\n", got);
	unit_ok(got < 8 << 20 && got > 1 << 19, "what it sends keeps to it");
	unit_ok((double)flow(box_ns, far_ns, "10.79.0.1", 5002, 0.3) / 0.3 > 20 << 20, "what others send there doesn't");
	limits = (struct net_limits){};
	unit_ok(net_limits_apply(n, 8, &limits, &err) == 0 && net_class_id(n, 8) == 0, "taken away");
	links_drop(n, 8);
}

/* A guarantee of an owner behind a pair is a class on the uplink, by the link it comes in over. */
static void test_guarantee(void)
{
	struct net_link link = {.id = 7, .dev = "eth0", .uplink = true, .ifindex = index_of(host_ns, "L3-1"), .mtu = 1500, .ns_fd = -1};
	struct net_rate least = {"default", 1 << 20};
	struct net_limits limits = {.guarantee = {&least, 1}};
	struct err err = {};
	unit_int(nat_need(n, &err), 0, "the table");
	unit_int(links_add(n, &link), 0, "an owner behind a pair");
	int r = net_limits_apply(n, 7, &limits, &err);
	unit_int(r, 0, "has a guarantee");
	if (r < 0)
		printf("# %s\n", err.text);
	unit_ok(net_class_id(n, 7) != 0, "by a class");
	limits = (struct net_limits){};
	unit_int(net_limits_apply(n, 7, &limits, &err), 0, "taken away");
	unit_int(net_class_id(n, 7), 0, "no class");
	links_drop(n, 7);
}

int main(void)
{
	struct netctl_config config = {.tag = "nettest"};
	struct err err = {};
	if (geteuid() != 0 || !net_begin(0) || netctl_open(&config, &n, &err) < 0) {
		printf("1..0 # skip no network namespaces: %s\n", err.text);
		return 0;
	}
	far_ns = box_ns;
	unit_ok(veth_add("L3-1", NET_GROUP_LIVE, "eth1"), "a pair");
	test_check();
	test_rollback();
	box_ns = unshare(CLONE_NEWNET) == 0 ? this_ns() : -1;
	enter(host_ns);
	if (cgroup_begin() && macvlan_add()) {
		test_macvlan();
		test_guarantee();
	} else {
		printf("# no cgroup2 or no macvlan here\n");
	}
	netctl_close(n);
	rmdir(owner);
	rmdir(top);
	return unit_end();
}
