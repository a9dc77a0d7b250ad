/* netctl/count.c: counters of links, as their owner and as the host sees them. */
#include "tests/unit/flow_kit.h"

static struct netctl n;

struct got {
	char dev[IFNAMSIZ], group[32];
	bool uplink;
	struct net_counts c;
	int devices, owners;
};

static void take(void *arg, const char *dev, const char *group, bool uplink, const struct net_counts *c)
{
	struct got *g = arg;
	g->devices++;
	g->owners += strncmp(dev, "L3-", 3) == 0 || strncmp(dev, "portove-", 8) == 0;
	if (g->dev[0] && strcmp(g->dev, dev) != 0)
		return;
	snprintf(g->dev, sizeof(g->dev), "%s", dev);
	snprintf(g->group, sizeof(g->group), "%s", group);
	g->uplink = uplink;
	g->c = *c;
}

/* Of a device, "": the first one. */
static struct got counts(uint32_t id, const char *dev)
{
	struct net_snapshot *s = NULL;
	struct err err = {};
	struct got g = {};
	snprintf(g.dev, sizeof(g.dev), "%s", dev);
	if (net_snapshot_take(&n, &s, &err) < 0 || net_snapshot_each(s, id, take, &g) < 0)
		printf("# no counters: %s\n", err.text);
	net_snapshot_free(s);
	return g;
}

static void test_host(void)
{
	struct got g = counts(0, "out");
	/* some kernels put the devices of their tunnels into every namespace */
	unit_ok(g.devices >= 2 && !g.owners, "the host has lo and its device, not those of owners");
	unit_str(g.group, "default", "which is in the first group");
	unit_ok(g.uplink, "and is an uplink");
	g = counts(0, "lo");
	unit_ok(!g.uplink, "lo is none");
	struct ifinfomsg ifi = {.ifi_index = index_of(host_ns, "out")};
	struct nl_batch b = {};
	nla_put_u32(nl_add(&b, RTM_NEWLINK, 0, &ifi, sizeof(ifi), "group"), IFLA_GROUP, 4711);
	unit_ok(run(host_ns, &b), "the device's group is set");
	g = counts(0, "out");
	unit_str(g.group, "4711", "a group without a name is its number");
	unit_int(counts(8, "").devices, 0, "a stranger has no devices");
}

static void test_owner(struct net_link *link, struct nl *host)
{
	int fd = socket_in(box_ns, SOCK_DGRAM), to = socket_in(host_ns, SOCK_DGRAM);
	struct err err = {};
	struct pollfd p = {.fd = to};
	receive_at(to, "10.78.0.1", 9); /* so that nothing is sent back */
	receive_at(fd, "10.78.0.2", 9);
	struct got before = counts(7, "eth1");
	datagrams(fd, "10.78.0.1", 9, 5, 1000);
	datagrams(to, "10.78.0.2", 9, 3, 500);
	poll(&p, 1, 100);
	struct got g = counts(7, "eth1");
	unit_int(g.devices, 1, "an owner has its device");
	unit_ok(strcmp(g.dev, "eth1") == 0 && strcmp(g.group, "default") == 0 && g.uplink, "by its own name, in the first group");
	unit_ok(g.c.tx_packets - before.c.tx_packets >= 5 && g.c.tx_bytes - before.c.tx_bytes >= 5 * 1042, "what it sent");
	unit_ok(g.c.rx_packets - before.c.rx_packets >= 3 && g.c.rx_bytes - before.c.rx_bytes >= 3 * 542, "what it received");
	unit_ok(g.c.rx_bytes - before.c.rx_bytes < 5000 && g.c.tx_drops == before.c.tx_drops && g.c.rx_drops == before.c.rx_drops, "the one is not the other");

	unit_int(shape_link(&n, host, link, 64 << 10, 64 << 10, &err), 0, "limits");
	links_update(&n, link);
	datagrams(to, "10.78.0.2", 9, 500, 1000);
	g = counts(7, "eth1");
	unit_ok(g.c.rx_drops > 100 && g.c.rx_overlimits > 0, "what the limit dropped of what it should receive");
	uint64_t drops = g.c.rx_drops;
	unit_int(shape_link(&n, host, link, 0, 0, &err), 0, "no limits");
	links_update(&n, link);
	g = counts(7, "eth1");
	unit_ok(g.c.rx_drops >= drops, "drops are kept when the queue that counted them goes");
	unit_int(shape_link(&n, host, link, 0, 64 << 10, &err), 0, "a new limit");
	links_update(&n, link);
	datagrams(to, "10.78.0.2", 9, 500, 1000);
	g = counts(7, "eth1");
	unit_ok(g.c.rx_drops > drops + 100, "and drops go on from there");
	close(fd);
	close(to);
}

/* A device that the host sees no end of is asked inside. */
static void test_inside(void)
{
	struct net_link link = {.id = 9, .dev = "eth0", .uplink = true, .ns_fd = dup(box_ns)};
	unit_int(links_add(&n, &link), 0, "a device inside");
	int fd = socket_in(box_ns, SOCK_DGRAM);
	datagrams(fd, HOST_IP, 9, 5, 1000);
	struct pollfd p = {.fd = fd};
	poll(&p, 1, 100);
	struct got g = counts(9, "eth0");
	unit_ok(g.devices == 1 && g.c.tx_packets >= 5 && g.c.tx_bytes >= 5 * 1042, "is counted there");
	close(fd);
	links_drop(&n, 9);
}

int main(void)
{
	struct err err = {};
	struct nl host = {};
	if (geteuid() != 0) {
		printf("1..0 # skip needs root\n");
		return 0;
	}
	if (!net_begin(0) || nl_open(&host, NETLINK_ROUTE, host_ns, &err) < 0) {
		printf("1..0 # skip no network namespaces: %s\n", err.text);
		return 0;
	}
	netctl_begin(&n);
	unit_ok(veth_add("L3-1", NET_GROUP_LIVE, "eth1") && addr_up(host_ns, "L3-1", "10.78.0.1") && addr_up(box_ns, "eth1", "10.78.0.2") &&
			answers(box_ns, host_ns, "10.78.0.1"),
		"an owner's pair");
	struct net_link link = {.id = 7, .dev = "eth1", .uplink = true, .ifindex = index_of(host_ns, "L3-1"), .mtu = 1500, .ns_fd = -1};
	unit_int(links_add(&n, &link), 0, "is known");
	test_host();
	test_owner(&link, &host);
	test_inside();
	nl_done(&host);
	netctl_end(&n);
	return unit_end();
}
