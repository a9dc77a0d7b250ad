/* A daemon that is killed at any point leaves nothing that the next one does not find; two daemons leave each other alone. */
#include "tests/unit/net_box.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

static void test_adopt(void)
{
	struct netctl *n = netctl_new("test");
	struct box a, b, c, d;

	sh("ip link add br0 type bridge; ip link set br0 up");
	unit_ok(box_up(n, &a, 1, "L3", "eth0 10.9.0.10; eth0 fd09::10", "") == 0 && box_up(n, &b, 2, "L3", "eth0 10.9.0.11", "") == 0 &&
			box_up(n, &c, 3, "NAT", "", "") == 0 &&
			box_up(n, &d, 4, "veth eth0 br0; macvlan up0 e1", "eth0 10.8.0.2/24", "") == 0,
		"adopt: four containers");
	netctl_close(n);
	/* Meanwhile somebody removed things. */
	sh("ip route del 10.9.0.10; ip neigh del proxy 10.9.0.10 dev up0; ip -6 neigh del proxy fd09::10 dev up0");
	n = netctl_new("test");
	struct net_owner owners[] = {
		{ .id = 1, .ns_fd = a.ns, .ip = &a.ip, .net = "L3" },
		{ .id = 3, .ns_fd = c.ns, .ip = &c.chosen, .net = "NAT" },
		{ .id = 4, .ns_fd = d.ns, .ip = &d.ip, .net = "veth eth0 br0; macvlan up0 e1" },
	};
	struct err err = {};
	unit_ok(netctl_adopt(n, owners, ARRAY_LEN(owners), &err) == 0, "adopt: done %s", err.text);
	unit_ok(talks_all(a.ns, world_ns, "10.9.0.2") && talks_all(world_ns, a.ns, "fd09::10") && talks_all(world_ns, a.ns, "10.9.0.10"),
		"adopt: what was removed is back");
	unit_ok(sh("! ip route | grep 10.9.0.11 && ! ip neigh show proxy | grep 10.9.0.11"), "adopt: what nobody owns is gone");
	box_done(&b);
	unit_ok(box_up(n, &b, 2, "L3", "eth0 10.9.0.10", "") < 0 && b.err.kind == ERR_ResourceNotAvailable, "adopt: addresses are held: %s",
		b.err.text);
	net_down(n, 2);
	box_done(&b);
	unit_ok(box_up(n, &b, 2, "NAT", "", "") == 0, "adopt: another one for NAT");
	unit_ok(b.chosen.n == 2 && memcmp(&b.chosen.p[0].addr, &c.chosen.p[0].addr, sizeof(b.chosen.p[0].addr)) != 0,
		"adopt: it has an address of its own");
	unit_ok(talks_all(b.ns, c.ns, "172.31.77.1"), "adopt: and reaches the adopted one");
	sh("ip route del 10.9.0.10; ip neigh flush proxy");
	netctl_repair(n);
	unit_ok(talks_all(world_ns, a.ns, "10.9.0.10"), "repair: what was removed is back");
	for (uint32_t id = 1; id <= 4; id++)
		net_down(n, id);
	box_done(&a);
	box_done(&b);
	box_done(&c);
	box_done(&d);
	unit_ok(swept(n), "adopt: nothing is left");
	netctl_close(n);
	sh("ip link del br0");
}

static void test_same_id(void)
{
	struct netctl *n = netctl_new("test");
	struct box a;
	int other = ns_new();

	unit_ok(box_up(n, &a, 1, "L3", "eth0 10.9.0.10", "") == 0, "same id: one container");
	netctl_close(n);
	n = netctl_new("test");
	struct net_owner o = { .id = 1, .ns_fd = other, .ip = &a.ip, .net = "L3" };
	unit_ok(netctl_adopt(n, &o, 1, NULL) == 0, "same id: adopted with another namespace");
	unit_ok(sh("! ip route | grep 10.9.0.10"), "same id: a link into another namespace is not its own");
	box_done(&a);
	close(other);
	net_down(n, 1);
	unit_ok(swept(n), "same id: nothing is left");
	netctl_close(n);
}

static void test_two(void)
{
	struct netctl *n = netctl_new("one"), *m = netctl_new("two");
	struct box a, b, c;

	unit_ok(box_up(n, &a, 1, "L3", "eth0 10.9.0.10", "") == 0 && box_up(m, &b, 1, "L3", "eth0 10.9.0.11", "") == 0,
		"two daemons: each a container of the same number");
	unit_ok(box_up(m, &c, 2, "L3", "eth0 10.9.0.10", "") < 0 && c.err.kind == ERR_ResourceNotAvailable, "two daemons: the other's address is refused: %s", c.err.text);
	net_down(m, 2);
	box_done(&c);
	unit_ok(talks_all(a.ns, world_ns, "10.9.0.2") && talks_all(world_ns, a.ns, "10.9.0.10"), "two daemons: the first is undisturbed");
	netctl_close(m);
	m = netctl_new("two");
	unit_ok(netctl_adopt(m, NULL, 0, NULL) == 0, "two daemons: one starts again and knows nobody");
	while (net_sweep(m) > 0)
		;
	unit_ok(talks_all(a.ns, world_ns, "10.9.0.2") && talks_all(world_ns, a.ns, "10.9.0.10"), "two daemons: the other's stay");
	unit_ok(sh("! ip route | grep 10.9.0.11"), "two daemons: its own have gone");
	box_done(&b);
	unit_ok(down(n, &a), "two daemons: nothing is left");
	netctl_close(n);
	netctl_close(m);
}

/* Killed after so many nanoseconds of net_up or net_down. */
static void kill_at(const char *net, const char *ip, uint64_t nsec, bool both)
{
	struct timespec t = { .tv_nsec = (long)nsec };
	pid_t pid = fork();

	if (pid == 0) {
		struct netctl *n = netctl_new("test");
		struct box a;
		pid_t me = getpid();
		if (fork() == 0) {
			nanosleep(&t, NULL);
			kill(me, SIGKILL);
			_exit(0);
		}
		for (;;) {
			box_up(n, &a, 1, net, ip, "");
			if (both)
				net_down(n, 1);
			else
				pause();
		}
	}
	waitpid(pid, NULL, 0);
}

static void test_killed(void)
{
	static const char *const nets[] = { "L3", "L3; L3 eth1; veth eth2 br0; macvlan up0 e1", "tap tt0" };
	static const char *const ips[] = { "eth0 10.9.0.10; eth0 fd09::10", "eth0 10.9.0.10; eth1 10.9.0.11; eth1 fd09::11", "tt0 10.9.0.10" };
	size_t bad = 0, runs = 0;

	sh("ip link add br0 type bridge; ip link set br0 up");
	for (size_t i = 0; i < ARRAY_LEN(nets); i++)
		for (uint64_t t = 100000; t < 6000000; t += 300000) {
			struct netctl *n;
			kill_at(nets[i], ips[i], t, t % 200000 == 0);
			n = netctl_new("test");
			runs++;
			if (!n || netctl_adopt(n, NULL, 0, NULL) < 0 || !swept(n) || !sh("! ip link show tt0")) {
				bad++;
				printf("# '%s' killed after %u us leaves something\n", nets[i], (unsigned)(t / 1000));
			}
			netctl_close(n);
		}
	unit_ok(bad == 0, "killed: %zu times, nothing is left", runs);
	sh("ip link del br0");
}

/* A second device of the host leads to the rest of the world. */
static bool second_uplink(void)
{
	return sh("ip link add up1 type veth peer name w1") && sh("ip link set w1 netns /proc/%d/fd/%d", (int)getpid(), world_ns) &&
	       sh("ip addr add 10.8.0.1/24 dev up1; ip link set up1 up; ip route replace default via 10.8.0.2") &&
	       sh_in(world_ns, "ip addr add 10.8.0.2/24 dev w1; ip link set w1 up");
}

static bool first_uplink(void)
{
	return sh("ip link add up0 type veth peer name w0") && sh("ip link set w0 netns /proc/%d/fd/%d", (int)getpid(), world_ns) &&
	       sh("ip addr add 10.9.0.1/24 dev up0; ip addr add fd09::1/64 dev up0 nodad; ip link set up0 up") &&
	       sh_in(world_ns, "ip addr add 10.9.0.2/24 dev w0; ip addr add fd09::2/64 dev w0 nodad; ip link set w0 up");
}

static void test_uplinks(void)
{
	struct netctl *n = netctl_new("test");
	struct box a, b;

	sh("echo 0 > /proc/sys/net/ipv4/conf/up0/forwarding");
	unit_ok(second_uplink(), "uplinks: the way out is another device than the first");
	unit_ok(box_up(n, &a, 1, "L3", "eth0 10.9.0.10; eth0 fd09::10", "") == 0 && box_up(n, &b, 2, "NAT", "", "") == 0, "uplinks: two containers");
	unit_ok(talks_all(b.ns, world_ns, "10.8.0.2"), "uplinks: NAT by the second");
	unit_ok(talks_all(world_ns, a.ns, "10.9.0.10"), "uplinks: L3 by the first");
	unit_ok(sh("ip link del up0; ip link del up1") && first_uplink() && second_uplink(), "uplinks: both go away and come back");
	netctl_repair(n);
	unit_ok(talks_all(b.ns, world_ns, "10.8.0.2"), "uplinks: NAT again");
	unit_ok(talks_all(world_ns, a.ns, "10.9.0.10") && talks_all(world_ns, a.ns, "fd09::10"), "uplinks: L3 again, asked for on the new one");
	net_down(n, 1);
	net_down(n, 2);
	unit_ok(sh("[ -z \"$(ip neigh show proxy)$(ip -6 neigh show proxy)\" ]"), "uplinks: no proxies are left");
	box_done(&a);
	box_done(&b);
	unit_ok(swept(n), "uplinks: nothing is left");
	netctl_close(n);
	sh("ip link del up1");
}

int main(void)
{
	if (geteuid() != 0 || !net_begin()) {
		printf("1..0 # skip needs root and ip(8)\n");
		return 0;
	}
	test_adopt();
	test_same_id();
	test_two();
	test_uplinks();
	test_killed();
	return unit_end();
}
