/* Addresses that owners are given, in a network namespace of the test's own. */
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "netctl/host.h"
#include "netctl/priv.h"
#include "tests/unit/unit.h"

static struct net_addr addr(const char *text)
{
	struct net_addr a = {};

	if (net_addr_parse(text, &a) < 0)
		unit_ok(false, "'%s' is an address", text);
	return a;
}

static const char *shown(const struct net_addr *a)
{
	static char text[4][NET_ADDR_TEXT];
	static unsigned turn;
	char *buf = text[turn++ % 4];

	net_addr_format(a, buf);
	return buf;
}

static void begin(struct netctl *n, const char *v4, const char *v6, uint64_t count)
{
	*n = (struct netctl){ .host_ns = -1, .conf = { .nat_count = count } };
	if (v4)
		n->conf.nat4 = addr(v4);
	if (v6)
		n->conf.nat6 = addr(v6);
	pthread_mutex_init(&n->lock, NULL);
	if (pool_open(n) < 0)
		unit_ok(false, "a pool");
}

static void run(const char *command)
{
	int status = system(command); // NOLINT(cert-env33-c): a test's own words

	if (status != 0)
		unit_ok(false, "%s", command);
}

static void nat_is(struct netctl *n, uint32_t id, const char *want4, const char *want6)
{
	struct net_addr v4, v6;
	struct err err = {};
	int r = pool_take_nat(n, id, &v4, &v6, &err);

	unit_ok(r == 0 && strcmp(shown(&v4), want4) == 0 && strcmp(shown(&v6), want6) == 0, "owner %u gets %s %s: %s %s %s", id, want4, want6,
		shown(&v4), shown(&v6), err.text);
}

static void test_nat(void)
{
	struct net_addr v4, v6, a;
	struct err err = {};
	struct netctl n;

	begin(&n, "10.99.0.254", "fd00::fffe", 4);
	unit_ok(!pool_in_use(&n), "a new pool is not in use");
	nat_is(&n, 1, "10.99.0.254", "fd00::fffe");
	nat_is(&n, 2, "10.99.0.255", "fd00::ffff");
	nat_is(&n, 3, "10.99.1.0", "fd00::1:0");
	unit_ok(pool_in_use(&n), "it is in use");
	pool_drop(&n, 2);
	nat_is(&n, 4, "10.99.0.255", "fd00::ffff");
	nat_is(&n, 5, "10.99.1.1", "fd00::1:1");
	unit_ok(pool_take_nat(&n, 6, &v4, &v6, &err) == -err.no && err.kind == ERR_ResourceNotAvailable, "empty: %s", err.text);
	pool_drop(&n, 1);
	a = addr("fd00::fffe");
	unit_ok(pool_hold(&n, 7, &a, &err) == 0, "an owner may name an address of the pool");
	unit_ok(pool_hold(&n, 7, &a, &err) == 0, "and name it again");
	unit_ok(pool_hold(&n, 8, &a, &err) < 0 && err.kind == ERR_ResourceNotAvailable, "another may not: %s", err.text);
	unit_ok(pool_take_nat(&n, 9, &v4, &v6, &err) < 0, "then its twin isn't given to anybody either");
	pool_drop(&n, 7);
	pool_drop(&n, 4711);
	nat_is(&n, 9, "10.99.0.254", "fd00::fffe");
	run("ip route add 10.99.0.255/32 dev lo");
	pool_drop(&n, 4);
	unit_ok(pool_take_nat(&n, 10, &v4, &v6, &err) < 0, "what the host has a route to is not given: %s", err.text);
	run("ip route del 10.99.0.255/32 dev lo");
	nat_is(&n, 10, "10.99.0.255", "fd00::ffff");
	pool_close(&n);
	begin(&n, "10.99.0.1", NULL, UINT64_C(1) << 40);
	nat_is(&n, 1, "10.99.0.1", "none");
	pool_close(&n);
	begin(&n, NULL, NULL, 10);
	unit_ok(pool_take_nat(&n, 1, &v4, &v6, &err) < 0 && err.kind == ERR_ResourceNotAvailable, "none: %s", err.text);
	pool_close(&n);
	pool_close(&n);
}

static void auto_is(struct netctl *n, uint32_t id, const char *net, int ifindex, const char *want)
{
	struct net_addr prefix = addr(net), got = {};
	struct err err = {};
	int r = pool_take_auto(n, id, &prefix, ifindex, &got, &err);

	if (want)
		unit_ok(r == 0 && strcmp(shown(&got), want) == 0, "auto in %s is %s: %s %s", net, want, shown(&got), err.text);
	else
		unit_ok(r < 0 && err.kind == ERR_ResourceNotAvailable, "auto in %s: %s", net, err.text);
}

static void test_auto(void)
{
	struct net_addr a = addr("10.1.0.3");
	struct err err = {};
	struct netctl n;

	begin(&n, "10.1.0.4", NULL, 2);
	run("ip addr add 10.1.0.1/29 dev lo; ip addr add fd01::1/64 dev lo nodad; ip route add 10.2.0.0/16 via 10.1.0.2 dev lo");
	unit_ok(pool_hold(&n, 1, &a, &err) == 0, "one is named");
	auto_is(&n, 2, "10.1.0.0/29", 0, "10.1.0.4");
	auto_is(&n, 3, "10.1.0.7/29", 0, "10.1.0.5");
	auto_is(&n, 4, "10.1.0.0/29", 0, "10.1.0.6");
	auto_is(&n, 5, "10.1.0.0/29", 0, NULL);
	auto_is(&n, 6, "fd01::/64", 0, "fd01::8000:0");
	auto_is(&n, 7, "10.3.0.0/31", 0, "10.3.0.1");
	auto_is(&n, 8, "10.3.0.0/31", 0, "10.3.0.0");
	auto_is(&n, 9, "10.3.0.9/32", 0, "10.3.0.9");
	auto_is(&n, 10, "10.3.0.9/32", 0, NULL);
	pool_drop(&n, 3);
	auto_is(&n, 11, "10.1.0.0/29", 0, "10.1.0.5");
	pool_close(&n);
}

/* Somebody with addresses at the other end of a wire. */
static pid_t neighbour(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		if (unshare(CLONE_NEWNET) < 0)
			_exit(1);
		for (;;)
			pause();
	}
	return pid;
}

static void test_wire(void)
{
	pid_t pid = neighbour();
	char command[1024];
	struct netctl n;
	int ifindex;

	usleep(100000);
	snprintf(command, sizeof(command),
		 "set -e; ip link add up0 type veth peer name up1 netns %d; ip link set up0 up; "
		 "i() { nsenter -t %d -n ip \"$@\"; }; i link set up1 up; i addr add 10.5.0.2/24 dev up1; i addr add 10.5.0.128/24 dev up1; "
		 "i addr add fd05::8000:0/64 dev up1 nodad; i addr add fd05::8000:1/64 dev up1 nodad; for a in 130 131 132 133 134 135 136; do i addr add 10.5.0.$a/24 dev up1; done; "
		 "ip addr add 10.5.0.1/24 dev up0", (int)pid, (int)pid);
	run(command);
	ifindex = (int)if_nametoindex("up0");
	usleep(200000);
	begin(&n, NULL, NULL, 0);
	auto_is(&n, 1, "10.5.0.0/24", ifindex, "10.5.0.129");
	auto_is(&n, 2, "10.5.0.0/24", ifindex, "10.5.0.137");
	auto_is(&n, 3, "fd05::/64", ifindex, "fd05::8000:2");
	auto_is(&n, 4, "10.5.0.0/30", ifindex, NULL);
	auto_is(&n, 5, "10.7.0.0/24", (int)if_nametoindex("lo"), "10.7.0.128");
	pool_close(&n);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void default_is(const char *want4, const char *want6, const char *name)
{
	struct net_addr v4, v6;
	int r = net_default_pool(&v4, &v6);

	unit_ok(r == 0 && strcmp(shown(&v4), want4) == 0 && strcmp(shown(&v6), want6) == 0, "%s: %s %s", name, want4, want6);
}

static void test_default(void)
{
	default_is("10.213.0.1", "fd70:6f72:746f::1", "a pool");
	run("ip route add 10.0.0.0/8 dev lo; ip -6 route add fd70:6f72:746f::7/128 dev lo");
	default_is("172.27.0.1", "fd70:6f72:7470::1", "not where the host has a route");
	run("ip route del 10.0.0.0/8 dev lo; ip link add ours type veth peer name theirs; ip link set ours up group 1886351988; "
	    "ip route add 10.213.0.1/32 dev ours");
	default_is("10.213.0.1", "fd70:6f72:7470::1", "what leads to our own links doesn't count");
}

int main(void)
{
	if (unshare(CLONE_NEWNET) < 0) {
		printf("# no network namespace can be made here\n");
		return unit_end();
	}
	run("ip link set lo up");
	test_default();
	test_nat();
	test_auto();
	test_wire();
	return unit_end();
}
