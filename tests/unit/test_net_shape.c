/* netctl/shape.c: limits on a veth pair. Times decide nothing: a rate counts as kept when it is off by less than a factor of 4. */
#include "tests/unit/flow_kit.h"

#define MIB (1024.0 * 1024)

static struct netctl n;
static struct nl host;

static bool about(uint64_t bytes, double seconds, double rate)
{
	double got = (double)bytes / seconds;
	printf("# %.0f bytes a second of %.0f\n", got, rate);
	return got < 4 * rate && got > rate / 4;
}

static bool free_flow(uint64_t bytes, double seconds)
{
	printf("# %.0f bytes a second without limit\n", (double)bytes / seconds);
	return (double)bytes / seconds > 20 * MIB;
}

static uint64_t sent(double seconds)
{
	static uint16_t port = 5000;
	return flow(box_ns, host_ns, HOST_IP, port++, seconds);
}

static uint64_t received(double seconds)
{
	static uint16_t port = 6000;
	return flow(host_ns, box_ns, BOX_IP, port++, seconds);
}

static int shape(struct net_link *link, uint64_t tx, uint64_t rx)
{
	struct err err = {};
	int r = shape_link(&n, &host, link, tx, rx, &err);
	if (r < 0)
		printf("# %s\n", err.text);
	return r;
}

static struct net_link link_of_out(void)
{
	return (struct net_link){.id = 7, .dev = "eth0", .uplink = true, .ifindex = index_of(host_ns, "out"), .mtu = 1500, .ns_fd = -1};
}

static void test_limits(void)
{
	struct net_link link = link_of_out();
	unit_ok(free_flow(sent(0.3), 0.3), "without limits much is sent");
	unit_int(shape(&link, 1 << 20, 0), 0, "net_limit of 1 MiB/s is set");
	unit_ok(link.ifb && link.tx_rate == 1 << 20, "the link knows its ifb and rate");
	unit_ok(about(sent(1.5), 1.5, MIB), "what is sent keeps to it");
	unit_ok(free_flow(received(0.3), 0.3), "what is received doesn't");
	unit_int(shape(&link, 4 << 20, 1 << 20), 0, "4 MiB/s live, and 1 MiB/s of net_rx_limit");
	unit_ok(about(sent(1), 1, 4 * MIB), "what is sent keeps to the new one");
	unit_ok(about(received(1.5), 1.5, MIB), "what is received keeps to its own");
	unit_int(shape(&link, NET_RATE_NOTHING, 0), 0, "a rate of 1");
	int fd = socket_in(box_ns, SOCK_DGRAM), to = socket_in(host_ns, SOCK_DGRAM);
	struct pollfd p = {.fd = to, .events = POLLIN};
	receive_at(to, HOST_IP, 7000);
	datagrams(fd, HOST_IP, 7000, 10, 100);
	unit_int(poll(&p, 1, 200), 0, "a rate of 1 lets nothing through");
	unit_int(shape(&link, 2 << 20, 0), 0, "and a real one again");
	unit_ok(datagrams(fd, HOST_IP, 7000, 10, 100) == 10 && poll(&p, 1, 5000) == 1, "which lets something through");
	close(fd);
	close(to);
	unit_int(shape(&link, 0, 0), 0, "limits are taken away");
	unit_ok(!link.ifb && !link.tx_rate && !link.rx_rate, "the link knows it");
	unit_ok(free_flow(sent(0.3), 0.3) && free_flow(received(0.3), 0.3), "both ways are free again");
	unit_int(shape(&link, 1 << 20, 0), 0, "set again while the last ifb is still dying");
	unit_ok(about(sent(1), 1, MIB), "and kept");
	unit_int(shape(&link, 0, 0), 0, "removed");
	struct err err = {};
	n.can.ifb = false;
	unit_int(shape_link(&n, &host, &link, 1 << 20, 0, &err), -EOPNOTSUPP, "without ifb it is refused");
	unit_str(err.text, "net_limit needs ifb", "and the sentence says what is missing");
	n.can.ifb = true;
}

static void test_adoption(void)
{
	struct net_link link = link_of_out(), again = link_of_out();
	struct err err = {};
	uint64_t big = UINT64_C(10) << 30;
	unit_int(shape(&link, 1 << 20, big), 0, "limits before a restart, one above 4 GiB/s");
	unit_int(shape_found(&n, &host, &again, 1, &err), 0, "found again");
	unit_ok(again.ifb == link.ifb && again.tx_rate == 1 << 20 && again.rx_rate == big, "with the ifb and both rates");
	unit_ok(about(sent(1.5), 1.5, MIB), "still kept");
	struct nl_batch b = {};
	shape_drop(&b, &again);
	unit_ok(run(host_ns, &b), "dropped before the link's end");
	unit_ok(free_flow(sent(0.3), 0.3), "nothing leads to the ifb any more");
	unit_int(shape(&again, 0, 0), 0, "dropping twice is fine");
	/* an ifb whose link isn't an owner's any more */
	link = link_of_out();
	unit_int(shape(&link, 1 << 20, 0), 0, "a limit of an owner that will be gone");
	unit_int(shape_found(&n, &host, NULL, 0, &err), 0, "a restart without owners");
	struct ifinfomsg ifi = {};
	struct nl_batch del = {};
	struct nl_msg *msg = nl_add(&del, RTM_DELLINK, 0, &ifi, sizeof(ifi), "dying group");
	nla_put_u32(msg, IFLA_GROUP, NET_GROUP_DYING);
	unit_ok(run(host_ns, &del), "its ifb is among the dying");
	char name[IFNAMSIZ];
	snprintf(name, sizeof(name), "pifb-%d", link.ifindex);
	unit_int(index_of(host_ns, name), 0, "and goes with them");
}

static void test_repair(void)
{
	struct net_link link = link_of_out();
	struct err err = {};
	unit_int(shape(&link, 1 << 20, 1 << 20), 0, "limits that somebody will remove");
	links_add(&n, &link);
	struct nl_batch b = {};
	struct tcmsg tc = {.tcm_ifindex = link.ifindex, .tcm_parent = TC_H_ROOT};
	nl_add(&b, RTM_DELQDISC, 0, &tc, sizeof(tc), "root");
	unit_ok(run(host_ns, &b), "somebody removes the queue");
	unit_int(shape_repair(&n, &host, &err), 0, "it is repaired");
	unit_ok(about(received(1.5), 1.5, MIB), "and kept");
	links_drop(&n, 7);
	unit_int(shape(&link, 0, 0), 0, "removed");
}

int main(void)
{
	struct err err = {};
	if (geteuid() != 0) {
		printf("1..0 # skip needs root\n");
		return 0;
	}
	if (!net_begin(NET_GROUP_LIVE) || nl_open(&host, NETLINK_ROUTE, host_ns, &err) < 0) {
		printf("1..0 # skip no network namespaces: %s\n", err.text);
		return 0;
	}
	netctl_begin(&n);
	test_limits();
	test_adoption();
	test_repair();
	nl_done(&host);
	netctl_end(&n);
	return unit_end();
}
