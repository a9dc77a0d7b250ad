/* Networks of every kind are set up, talk, and leave nothing behind. In network namespaces of its own; needs root. */
#include "tests/unit/net_box.h"

#include <pthread.h>

static struct netctl *n;

static void test_l3(void)
{
	autotext struct text name = {};
	struct box a, b;
	int r;

	unit_int(box_up(n, &a, 1, "L3 veth", "veth 10.9.0.10; veth fd09::10", ""), 0, "L3: is set up");
	unit_int(box_up(n, &b, 2, "L3", "eth0 10.9.0.11; eth0 fd09::11", ""), 0, "L3: a second one");
	unit_ok(a.chosen.n == 0, "L3: no address was chosen");
	unit_ok(talks_all(a.ns, world_ns, "10.9.0.2"), "L3: reaches the world over IPv4");
	unit_ok(talks_all(a.ns, world_ns, "fd09::2"), "L3: reaches the world over IPv6");
	unit_ok(talks_all(world_ns, a.ns, "10.9.0.10"), "L3: is reached from the world over IPv4");
	unit_ok(talks_all(world_ns, a.ns, "fd09::10"), "L3: is reached from the world over IPv6");
	unit_ok(talks_all(a.ns, host_ns, "10.9.0.1") && talks_all(a.ns, host_ns, "fd09::1"), "L3: reaches the host");
	unit_ok(talks_all(host_ns, a.ns, "10.9.0.10") && talks_all(host_ns, a.ns, "fd09::10"), "L3: is reached from the host");
	unit_ok(talks_all(a.ns, b.ns, "10.9.0.11") && talks_all(b.ns, a.ns, "fd09::10"), "L3: two reach each other");
	unit_ok(talks(a.ns, a.ns, "127.0.0.1", SOCK_DGRAM), "L3: lo is up");
	unit_ok(sh("ip -d link show group %u | grep -q 'alias test:1:veth:box'", 0x706f7274u), "L3: the host's end says whose it is");
	r = net_dev_host_name(n, 1, "veth", &name);
	unit_ok(r == 0 && strncmp(text_str(&name), "L3-", 3) == 0 && sh("ip link show %s", text_str(&name)), "L3: the host's end is %s",
		text_str(&name));
	unit_ok(net_dev_host_name(n, 1, "eth0", &name) == -ENOENT && net_dev_host_name(n, 9, "veth", &name) == -ENOENT,
		"L3: others have none");
	unit_ok(sh_in(a.ns, "ip addr show dev veth | grep -q 'inet 10.9.0.10/32'"), "L3: the address is a host's");
	net_down(n, 1);
	unit_ok(sh("! ip route | grep 10.9.0.10 && ! ip neigh show proxy | grep 10.9.0.10"), "L3: routes and proxies go at once");
	unit_ok(talks_all(b.ns, world_ns, "10.9.0.2"), "L3: the other one stays");
	box_done(&a);
	unit_int(box_up(n, &a, 3, "L3", "eth0 10.9.0.10", ""), 0, "L3: the address is free before the old link is swept");
	unit_ok(talks_all(a.ns, world_ns, "10.9.0.2"), "L3: and works");
	net_down(n, 3);
	net_down(n, 2);
	net_down(n, 99);
	box_done(&a);
	box_done(&b);
	unit_ok(swept(n), "L3: nothing is left");
}

static const struct {
	const char *net, *ip, *gw;
	enum err_kind kind;
	const char *names;
} refused[] = {
	{ "L3", "eth0 10.9.0.1", "", ERR_InvalidNetworkAddress, "10.9.0.1" },
	{ "L3", "eth0 fd09::1", "", ERR_InvalidNetworkAddress, "fd09::1" },
	{ "L3", "eth0 10.9.0.20", "", ERR_ResourceNotAvailable, "" },
	{ "L3", "eth0 10.99.0.20", "", ERR_InvalidNetworkAddress, "gateway" },
	{ "L3", "eth0 10.9.0.32/27", "", ERR_ResourceNotAvailable, "16" },
	{ "L3", "eth0 fd09::100/64", "", ERR_ResourceNotAvailable, "16" },
	{ "L3 eth0 nosuch", "eth0 10.9.0.21", "", ERR_InvalidValue, "nosuch" },
	{ "L3; veth e1 nobridge", "eth0 10.9.0.21; eth0 fd09::21", "", ERR_InvalidValue, "nobridge" },
	{ "L3; veth e1 up0", "eth0 10.9.0.21; eth0 fd09::21", "", ERR_InvalidValue, "bridge" },
	{ "L3; macvlan nosuch* e1", "eth0 10.9.0.21", "", ERR_InvalidValue, "nosuch*" },
	{ "L3; ip link add", "eth0 10.9.0.21", "", ERR_HelperError, "link add" },
	{ "L3; autoconf eth0", "eth0 10.9.0.21; eth0 fd09::21", "", ERR_Unknown, "eth0" },
	{ "tap up0", "", "", ERR_ResourceNotAvailable, "up0" },
	{ "L3; veth e1 br0 1500 02:00:00:00:00:01", "eth0 10.9.0.21; e1 10.9.0.21; e1 10.9.0.22/24", "e1 99.99.99.99", ERR_Success, "" },
};

static void test_refused(void)
{
	struct box a, b;

	sh("ip link add br0 type bridge; ip link set br0 up");
	unit_int(box_up(n, &a, 1, "L3", "eth0 10.9.0.20", ""), 0, "refused: one that stays");
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		int r = box_up(n, &b, 2, refused[i].net, refused[i].ip, refused[i].gw);
		if (refused[i].kind == ERR_Success)
			unit_ok(r == 0, "not refused: '%s' %s %s", refused[i].net, refused[i].ip, b.err.text);
		else
			unit_ok(r < 0 && b.err.kind == refused[i].kind && strstr(b.err.text, refused[i].names), "refused: '%s' %s: %s",
				refused[i].net, refused[i].ip, b.err.text);
		net_down(n, 2);
		box_done(&b);
	}
	unit_ok(talks_all(a.ns, world_ns, "10.9.0.2"), "refused: the one that stays still works");
	unit_ok(down(n, &a), "refused: nothing is left");
	sh("ip link del br0");
}

static void test_prefix(void)
{
	struct box a;

	unit_int(box_up(n, &a, 1, "L3", "eth0 10.9.0.33/30; eth0 fd09::45/126", ""), 0, "prefix: four addresses are proxied");
	unit_ok(sh("[ $(ip -4 neigh show proxy | wc -l) = 4 ] && [ $(ip -6 neigh show proxy | wc -l) = 4 ]"), "prefix: on the uplink");
	unit_ok(sh("ip route | grep -q '10.9.0.32/30 dev L3'"), "prefix: one route");
	unit_ok(sh_in(a.ns, "ip addr add 10.9.0.35/32 dev eth0"), "prefix: the container adds another of them");
	unit_ok(talks_all(world_ns, a.ns, "10.9.0.33") && talks(world_ns, a.ns, "10.9.0.35", SOCK_STREAM) &&
			talks_all(world_ns, a.ns, "fd09::45"),
		"prefix: both are reached");
	unit_ok(down(n, &a), "prefix: nothing is left");
}

static void test_nat(void)
{
	struct box a, b;
	autotext struct text t = {};

	unit_int(box_up(n, &a, 1, "NAT", "", ""), 0, "NAT: is set up");
	net_ifaddrs_format(&a.chosen, &t);
	unit_ok(a.chosen.n == 2, "NAT: addresses were chosen: %s", text_str(&t));
	unit_int(box_up(n, &b, 2, "NAT veth", "veth auto", ""), 0, "NAT: with auto it is the same");
	unit_ok(b.chosen.n == 2, "NAT: two addresses");
	unit_ok(talks_all(a.ns, host_ns, "10.9.0.1") && talks_all(a.ns, host_ns, "fd09::1"), "NAT: reaches the host");
	unit_ok(talks_all(a.ns, b.ns, "172.31.77.2"), "NAT: reaches the other");
	unit_ok(sh("[ -z \"$(ip neigh show proxy)\" ]"), "NAT: has no proxy entries");
	net_down(n, 2);
	box_done(&b);
	unit_ok(down(n, &a), "NAT: nothing is left");
	unit_int(box_up(n, &a, 1, "L3", "eth0 auto", ""), 0, "auto: is set up");
	text_clear(&t);
	net_ifaddrs_format(&a.chosen, &t);
	unit_ok(a.chosen.n == 2 && strstr(text_str(&t), "10.9.0."), "auto: from the host's networks: %s", text_str(&t));
	unit_ok(talks_all(a.ns, world_ns, "10.9.0.2") && talks_all(a.ns, world_ns, "fd09::2"), "auto: reaches the world");
	unit_ok(down(n, &a), "auto: nothing is left");
}

static void test_bridge(void)
{
	struct box a, b;

	sh("ip link add br0 type bridge; ip link set br0 up; ip addr add 10.8.0.1/24 dev br0");
	unit_int(box_up(n, &a, 1, "veth eth0 br? 1400", "eth0 10.8.0.2/24", "eth0 10.8.0.1"), 0, "veth: is set up");
	unit_int(box_up(n, &b, 2, "veth eth0 br0; MAC eth0 02:00:00:00:00:0b", "eth0 10.8.0.3/24", ""), 0, "veth: a second one");
	unit_ok(talks_all(a.ns, b.ns, "10.8.0.3") && talks_all(a.ns, host_ns, "10.8.0.1"), "veth: they talk over the bridge");
	unit_ok(sh_in(a.ns, "ip link show eth0 | grep -q 'mtu 1400'"), "veth: the MTU is as asked for");
	unit_ok(sh_in(b.ns, "ip link show eth0 | grep -q 02:00:00:00:00:0b"), "veth: the hardware address is as asked for");
	/* CRC-32 of "eth0" ends in 3b, that of "box" is fab67c97. */
	unit_ok(sh_in(a.ns, "ip link show eth0 | grep -q \"$(python3 -c \"import zlib; h=zlib.crc32(b'box'); "
			    "print('02:%%02x:%%02x:%%02x:%%02x:%%02x' %% (zlib.crc32(b'eth0')&255, h>>24, h>>16&255, h>>8&255, h&255))\")\""),
		"veth: the hardware address follows from the names");
	unit_ok(sh_in(a.ns, "ip route | grep -q 'default via 10.8.0.1'"), "veth: default_gw is used");
	unit_ok(sh("ip link show | grep -q portove-"), "veth: the host's end has its name");
	net_down(n, 2);
	box_done(&b);
	unit_ok(down(n, &a), "veth: nothing is left");
	sh("ip link del br0");
}

static void test_others(void)
{
	struct box a;
	int r;

	unit_int(box_up(n, &a, 1, "macvlan up* e0", "e0 10.9.0.40/24; e0 fd09::40/64", ""), 0, "macvlan: is set up");
	unit_ok(talks_all(a.ns, world_ns, "10.9.0.2") && talks_all(world_ns, a.ns, "fd09::40"), "macvlan: talks to the world");
	unit_ok(down(n, &a), "macvlan: nothing is left");
	r = box_up(n, &a, 1, "L3; ipip6 tun0 fd09::2 fd09::10", "eth0 fd09::10; tun0 10.7.0.1/24", "");
	if (r == -EOPNOTSUPP)
		unit_ok(strstr(a.err.text, "kernel has no ip6tnl"), "ipip6: is refused: %s", a.err.text);
	else
		unit_ok(r == 0 && sh_in(a.ns, "ip -d link show tun0 | grep -q 'mtu 1452' && ip -d link show tun0 | grep -q 'encaplimit 4'"),
			"ipip6: is as it should be");
	unit_ok(down(n, &a), "ipip6: nothing is left");
	r = box_up(n, &a, 1, "ipvlan up0 e0 l2", "e0 10.9.0.40/24", "");
	unit_ok(r == 0 ? talks_all(a.ns, world_ns, "10.9.0.2") : r == -EOPNOTSUPP && strstr(a.err.text, "kernel has no ipvlan"),
		"ipvlan: works or is refused: %s", a.err.text);
	unit_ok(down(n, &a), "ipvlan: nothing is left");
	unit_int(box_up(n, &a, 1, "none", "", ""), 0, "none: is set up");
	unit_ok(talks(a.ns, a.ns, "127.0.0.1", SOCK_DGRAM), "none: lo is up");
	unit_ok(down(n, &a), "none: nothing is left");
	unit_int(box_up(n, &a, 1, "L3; ECN; MTU eth0 1300", "eth0 10.9.0.41; eth0 fd09::41", ""), 0, "ECN: is set up");
	unit_ok(sh_in(a.ns, "ip route | grep default | grep -q 'features ecn' && ip link show eth0 | grep -q 'mtu 1300'"),
		"ECN: the routes say so, and the MTU is as asked for");
	unit_ok(down(n, &a), "ECN: nothing is left");
	unit_int(box_up(n, &a, 1, "L3; MTU ip6tnl0 1400; ip link set lo mtu 1234", "eth0 10.9.0.41", ""), 0, "ip: is set up");
	unit_ok(sh_in(a.ns, "ip link show lo | grep -q 'mtu 1234'"), "ip: the command was run inside");
	unit_ok(sh("! ip link show lo | grep -q 'mtu 1234'"), "ip: and not outside");
	unit_ok(down(n, &a), "ip: nothing is left");
}

static void test_steal(void)
{
	struct box a;
	int ns;

	sh("ip link add st0 type veth peer name st1; ip link set st1 up; ip addr add 10.6.0.1/24 dev st1");
	unit_int(box_up(n, &a, 1, "steal st0", "st0 10.6.0.2/24", ""), 0, "steal: is set up");
	unit_ok(sh("! ip link show st0") && talks_all(host_ns, a.ns, "10.6.0.2"), "steal: the device is there, not here");
	ns = a.ns;
	net_down(n, 1);
	unit_ok(net_sweep(n) == 1 && sh("ip link show st0"), "steal: the device comes back");
	unit_ok(ns >= 0 && down(n, &a), "steal: nothing is left");
	sh("ip link del st0");
}

static void test_tap(void)
{
	struct box a;

	unit_int(box_up(n, &a, 1, "tap tt0; MTU tt0 1400", "tt0 10.9.0.50; tt0 fd09::50", ""), 0, "tap: is set up");
	unit_ok(sh("ip -d link show tt0 | grep -q 'mtu 1400' && ip -d link show tt0 | grep -q 'persist on user 70707 group 70707'"),
		"tap: is its user's and persists");
	unit_ok(sh("ip route | grep -q '10.9.0.50 dev tt0' && ip neigh show proxy | grep -q '10.9.0.50 dev up0'"), "tap: is routed and proxied");
	net_down(n, 1);
	box_done(&a);
	unit_int(box_up(n, &a, 2, "tap tt0", "tt0 10.9.0.50", ""), 0, "tap: its name is free at once");
	unit_ok(down(n, &a) && sh("! ip link show tt0"), "tap: nothing is left");
}

static void test_autoconf(void)
{
	struct box a;
	pid_t pid;

	/* What a router would do. */
	sh("ip link add br0 type bridge; ip link set br0 up");
	if (box_parse(&a, 1, "veth eth0 br0; autoconf eth0", "", "") < 0)
		return;
	pid = fork();
	if (pid == 0) {
		ns_go(a.ns);
		for (int i = 0; i < 100 && !sh("ip addr add fd55::5/64 dev eth0 valid_lft 1000 preferred_lft 1000 nodad"); i++)
			poll(NULL, 0, 10);
		_exit(0);
	}
	struct net_request req = { .id = 1, .name = "box", .ns_fd = a.ns, .spec = &a.spec, .ip = &a.ip, .gw = &a.gw, .cancel_fd = -1 };
	uint64_t began = clock_mono();
	unit_ok(net_up(n, &req, &a.chosen, &a.err) == 0, "autoconf: an address comes: %s", a.err.text);
	unit_ok(clock_mono() - began < 900000000, "autoconf: it is noticed at once");
	unit_ok(down(n, &a), "autoconf: nothing is left");
	if (box_parse(&a, 1, "veth eth0 br0; autoconf eth0", "", "") == 0) {
		int ends[2];
		if (pipe(ends) < 0 || write(ends[1], "x", 1) != 1)
			return;
		req = (struct net_request){ .id = 1, .name = "box", .ns_fd = a.ns, .spec = &a.spec, .ip = &a.ip, .gw = &a.gw, .cancel_fd = ends[0] };
		unit_int(net_up(n, &req, &a.chosen, &a.err), -ECANCELED, "autoconf: can be given up");
		unit_ok(down(n, &a), "autoconf: nothing is left of that either");
		close(ends[0]);
		close(ends[1]);
	}
	sh("ip link del br0");
}

static void test_times(void)
{
	enum { MANY = 40 };
	struct box box[MANY];
	uint64_t up = 0, gone = 0, best_up = UINT64_MAX, best_down = UINT64_MAX, t;
	bool ok = true;

	for (int i = 0; i < MANY; i++) {
		struct net_request req = { .id = (uint32_t)i + 1, .name = "box", .hostname = "box", .raise = true, .cancel_fd = -1 };
		char ip[64];
		snprintf(ip, sizeof(ip), "eth0 10.9.0.%d; eth0 fd09::%x", 100 + i, 100 + i);
		ok &= box_parse(&box[i], req.id, "L3", ip, "") == 0;
		req.ns_fd = box[i].ns;
		req.spec = &box[i].spec;
		req.ip = &box[i].ip;
		t = clock_mono();
		ok &= net_up(n, &req, &box[i].chosen, &box[i].err) == 0;
		t = clock_mono() - t;
		up += t;
		best_up = MIN(best_up, t);
	}
	unit_ok(ok, "many: they are set up");
	for (int i = 0; i < MANY; i++) {
		t = clock_mono();
		net_down(n, box[i].id);
		t = clock_mono() - t;
		gone += t;
		best_down = MIN(best_down, t);
		box_done(&box[i]);
	}
	printf("# net_up of L3 with IPv4 and IPv6: %.2f ms on average, %.2f at best; net_down: %.2f, %.2f\n", (double)up / MANY / 1e6,
	       (double)best_up / 1e6, (double)gone / MANY / 1e6, (double)best_down / 1e6);
	unit_ok(swept(n), "many: nothing is left");
}

static void *worker(void *arg)
{
	uint32_t id = 1000 + (uint32_t)(uintptr_t)arg;
	uintptr_t failed = 0;

	for (int i = 0; i < 10; i++) {
		struct box b;
		char ip[64];
		snprintf(ip, sizeof(ip), "eth0 10.9.0.%u; eth0 fd09::%x", id - 900, id);
		if (box_up(n, &b, id, i % 2 ? "L3" : "NAT", i % 2 ? ip : "", "") < 0)
			failed++;
		net_down(n, id);
		box_done(&b);
		net_sweep(n);
	}
	return (void *)failed;
}

static void test_parallel(void)
{
	pthread_t threads[4];
	uintptr_t failed = 0;
	void *result;

	for (uintptr_t i = 0; i < ARRAY_LEN(threads); i++)
		if (pthread_create(&threads[i], NULL, worker, (void *)i) != 0)
			abort();
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		pthread_join(threads[i], &result);
		failed += (uintptr_t)result;
	}
	unit_ok(failed == 0, "parallel: four threads set up and take down");
	unit_ok(swept(n), "parallel: nothing is left");
}

static void test_sysctls(void)
{
	struct netctl_config c = { .tag = "poor" };
	struct netctl *poor = NULL;
	struct box a;
	struct err err = {};

	sh("echo 0 >/proc/sys/net/ipv4/conf/up0/forwarding; echo 0 >/proc/sys/net/ipv6/conf/all/forwarding");
	unit_ok(netctl_open(&c, &poor, &err) == 0, "sysctls: a netctl that may not set them %s", err.text);
	unit_ok(box_up(poor, &a, 1, "L3", "eth0 10.9.0.60", "") == -EOPNOTSUPP && strstr(a.err.text, "ipv4/conf/up0/forwarding"),
		"sysctls: what is missing is named: %s", a.err.text);
	box_done(&a);
	unit_ok(box_up(poor, &a, 1, "L3", "eth0 fd09::60", "") == -EOPNOTSUPP && strstr(a.err.text, "ipv6/conf/all/forwarding"),
		"sysctls: for IPv6 too: %s", a.err.text);
	box_done(&a);
	unit_ok(box_up(poor, &a, 1, "L3; ip link", "eth0 10.9.0.60", "") == -EACCES, "ip: is refused where it is switched off: %s", a.err.text);
	box_done(&a);
	unit_ok(box_up(poor, &a, 1, "NAT", "", "") == -EOPNOTSUPP, "NAT: is refused without a pool: %s", a.err.text);
	box_done(&a);
	unit_ok(swept(poor), "sysctls: nothing is left");
	netctl_close(poor);
}

int main(void)
{
	autotext struct text lacks = {};
	uint64_t began;

	if (geteuid() != 0 || !net_begin()) {
		printf("1..0 # skip needs root and ip(8)\n");
		return 0;
	}
	began = clock_mono();
	n = netctl_new("test");
	printf("# netctl_open: %.2f ms\n", (double)(clock_mono() - began) / 1e6);
	if (!unit_ok(n != NULL, "netctl is opened"))
		return unit_end();
	netctl_lacks(n, &lacks);
	printf("# %s\n", text_str(&lacks));
	test_sysctls();
	test_l3();
	test_refused();
	test_prefix();
	test_nat();
	test_bridge();
	test_others();
	test_steal();
	test_tap();
	test_autoconf();
	test_times();
	test_parallel();
	netctl_close(n);
	return unit_end();
}
