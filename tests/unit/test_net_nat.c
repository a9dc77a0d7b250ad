/*
 * NAT with real connections. All in network namespaces of the test's own: this one is the host, `world` is at the other end
 * of its wire, one and two are containers.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "netctl/nft.h"
#include "netctl/priv.h"
#include "tests/unit/unit.h"

#define POOL4 "10.213.0.1"
#define POOL6 "fd70:6f72::1"

static int host_ns;
static struct place {
	pid_t pid;
	int ns;
} world, one, two;
static pid_t servers[8];
static size_t server_count;

PRINTF_LIKE(1, 2) static void run(const char *command, ...)
{
	char text[2048];
	va_list args;

	va_start(args, command);
	vsnprintf(text, sizeof(text), command, args);
	va_end(args);
	if (system(text) != 0) // NOLINT(cert-env33-c): a test's own words
		unit_ok(false, "%s", text);
}

static void enter(int ns)
{
	if (setns(ns, CLONE_NEWNET) < 0)
		unit_ok(false, "setns");
}

static int child(int ns)
{
	int pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (ns >= 0 ? setns(ns, CLONE_NEWNET) < 0 : unshare(CLONE_NEWNET) < 0)
		_exit(1);
	return 0;
}

static struct place place(void)
{
	struct place p = { .pid = child(-1) };
	char path[64];

	if (p.pid == 0)
		for (;;)
			pause();
	usleep(50000);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)p.pid);
	p.ns = open(path, O_RDONLY | O_CLOEXEC);
	return p;
}

static void wire_container(const char *link, const struct place *p, unsigned n)
{
	run("set -e; i() { nsenter -t %d -n ip \"$@\"; }\n"
	    "ip link add %s group %u type veth peer name eth0 netns %d; ip link set %s up; ip addr add 169.254.1.1/32 dev %s\n"
	    "ip addr add fe80::1/64 dev %s nodad; i link set lo up; i link set eth0 up; i addr add 10.213.0.%u/32 dev eth0\n"
	    "i addr add fd70:6f72::%u/128 dev eth0 nodad; i route add 169.254.1.1 dev eth0; i route add default via 169.254.1.1\n"
	    "i -6 route add default via fe80::1 dev eth0; ip route add 10.213.0.%u dev %s; ip -6 route add fd70:6f72::%u dev %s",
	    (int)p->pid, link, NET_GROUP_LIVE, (int)p->pid, link, link, link, n, n, n, link, n, link);
}

static void wire_all(void)
{
	world = place();
	one = place();
	two = place();
	run("set -e; w() { nsenter -t %d -n ip \"$@\"; }; ip link set lo up; ip link add up0 type veth peer name up1 netns %d\n"
	    "ip link set up0 up; ip addr add 192.0.2.1/24 dev up0; ip addr add 2001:db8::1/64 dev up0 nodad\n"
	    "w link set lo up; w link set up1 up; w addr add 192.0.2.2/24 dev up1; w addr add 2001:db8::2/64 dev up1 nodad\n"
	    "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding",
	    (int)world.pid, (int)world.pid);
	wire_container("L3-1", &one, 1);
	wire_container("L3-2", &two, 2);
	usleep(300000);
}

/* ---- talking ---- */

/* Says to everybody "<word> <his address>". */
static void serve(int ns, int type, uint16_t port, const char *word)
{
	struct sockaddr_in6 at = { .sin6_family = AF_INET6, .sin6_port = htons(port) }, peer;
	int fd, off = 0, ready[2], pid;
	char there = 0;

	if (pipe2(ready, O_CLOEXEC) < 0)
		return;
	pid = child(ns);
	if (pid != 0) {
		servers[server_count++] = pid;
		close(ready[1]);
		(void)!read(ready[0], &there, 1); /* who asks earlier is refused */
		close(ready[0]);
		return;
	}
	fd = socket(AF_INET6, type, 0);
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || (type == SOCK_STREAM && listen(fd, 16) < 0))
		_exit(1);
	(void)!write(ready[1], &there, 1);
	close(ready[1]);
	for (;;) {
		socklen_t len = sizeof(peer);
		char name[INET6_ADDRSTRLEN], text[128], byte;
		int to = fd;

		if (type == SOCK_STREAM)
			to = accept(fd, (struct sockaddr *)&peer, &len);
		else if (recvfrom(fd, &byte, 1, 0, (struct sockaddr *)&peer, &len) < 0)
			continue;
		inet_ntop(AF_INET6, &peer.sin6_addr, name, sizeof(name));
		snprintf(text, sizeof(text), "%s %s", word, strncmp(name, "::ffff:", 7) == 0 ? name + 7 : name);
		(void)!sendto(to, text, strlen(text), 0, type == SOCK_STREAM ? NULL : (struct sockaddr *)&peer,
			      type == SOCK_STREAM ? 0 : sizeof(peer));
		if (to != fd)
			close(to);
	}
}

static int address(const char *text, uint16_t port, struct sockaddr_storage *ret)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;

	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		return sizeof(*v4);
	}
	inet_pton(AF_INET6, text, &v6->sin6_addr);
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	return sizeof(*v6);
}

/* What is said there, "" for nothing within a second. from: source address or NULL. */
static void ask(int ns, int type, const char *from, const char *to, uint16_t port, char got[128])
{
	struct sockaddr_storage at, source;
	int len = address(to, port, &at), fd;
	struct pollfd p = { .events = POLLIN };
	ssize_t n = 0;

	enter(ns);
	p.fd = fd = socket(at.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (from) {
		int size = address(from, 0, &source);
		(void)bind(fd, (struct sockaddr *)&source, (socklen_t)size);
	}
	(void)connect(fd, (struct sockaddr *)&at, (socklen_t)len);
	if (type == SOCK_DGRAM)
		(void)!send(fd, "?", 1, 0);
	if (poll(&p, 1, 1000) > 0)
		n = recv(fd, got, 127, 0);
	got[n > 0 ? n : 0] = 0;
	close(fd);
	enter(host_ns);
}

static void hears(const struct place *p, int type, const char *to, uint16_t port, const char *want, const char *name)
{
	char got[128];

	ask(p ? p->ns : host_ns, type, NULL, to, port, got);
	unit_str(got, want, name);
}

/* ---- the library under test ---- */

static void begin(struct netctl *n, const char *tag)
{
	*n = (struct netctl){ .host_ns = -1, .conf = { .nat_count = 256, .set_sysctls = true } };
	n->tag = (char *)tag;
	(void)net_addr_parse(POOL4, &n->conf.nat4);
	(void)net_addr_parse(POOL6, &n->conf.nat6);
	pthread_mutex_init(&n->lock, NULL);
	if (pool_open(n) < 0 || nat_open(n) < 0)
		unit_ok(false, "a netctl");
}

static void end(struct netctl *n)
{
	nat_close(n);
	pool_close(n);
	links_close(n);
}

static void add_link(struct netctl *n, uint32_t id, const char *name)
{
	struct net_link link = { .id = id, .dev = "eth0", .ns_fd = -1, .ifindex = (int)if_nametoindex(name) };

	(void)links_add(n, &link);
}

static int publish(struct netctl *n, uint32_t id, const char *text, struct err *err)
{
	struct net_ports ports = {};
	struct net_ifaddrs ip = {};
	char addrs[128];
	int r;

	snprintf(addrs, sizeof(addrs), "eth0 10.213.0.%u; eth0 fd70:6f72::%u", id, id);
	*err = (struct err){};
	if (net_ports_parse(text, &ports, err) < 0 || net_ifaddrs_parse(addrs, false, &ip, err) < 0)
		unit_ok(false, "%s", err->text);
	r = net_publish(n, id, &ports, &ip, err);
	net_ports_done(&ports);
	net_ifaddrs_done(&ip);
	return r;
}

static bool nft_says(const char *table, const char *word)
{
	char command[256];

	snprintf(command, sizeof(command), "nft list table inet porto_%s 2>/dev/null | grep -qF -- '%s'", table, word);
	return system(command) == 0; // NOLINT(cert-env33-c)
}

static void test_masquerade(struct netctl *n)
{
	struct err err = {};

	unit_ok(nat_need(n, &err) == 0, "the table is made: %s", err.text);
	hears(&one, SOCK_STREAM, "192.0.2.2", 7, "world 192.0.2.1", "tcp to the world has the host's address");
	hears(&one, SOCK_DGRAM, "192.0.2.2", 7, "world 192.0.2.1", "udp");
	hears(&one, SOCK_STREAM, "2001:db8::2", 7, "world 2001:db8::1", "tcp of IPv6");
	hears(&one, SOCK_DGRAM, "2001:db8::2", 7, "world 2001:db8::1", "udp of IPv6");
	hears(&one, SOCK_STREAM, "10.213.0.2", 80, "two 10.213.0.1", "between containers each has its own");
	hears(&one, SOCK_STREAM, "fd70:6f72::2", 80, "two fd70:6f72::1", "between containers of IPv6");
	hears(&world, SOCK_STREAM, "192.0.2.1", 8080, "", "nothing is published yet");
}

static void test_spoof(void)
{
	char got[128];

	run("nsenter -t %d -n ip addr add 10.213.0.99/32 dev eth0; nsenter -t %d -n ip addr add fd70:6f72::99/128 dev eth0 nodad", (int)one.pid,
	    (int)one.pid);
	ask(one.ns, SOCK_STREAM, "10.213.0.99", "192.0.2.2", 7, got);
	unit_str(got, "", "a source that isn't the container's gets nowhere");
	ask(one.ns, SOCK_STREAM, "fd70:6f72::99", "2001:db8::2", 7, got);
	unit_str(got, "", "nor with IPv6");
	ask(one.ns, SOCK_STREAM, "10.213.0.1", "192.0.2.2", 7, got);
	unit_str(got, "world 192.0.2.1", "its own does");
	run("nsenter -t %d -n ip addr del 10.213.0.99/32 dev eth0; nsenter -t %d -n ip addr del fd70:6f72::99/128 dev eth0", (int)one.pid,
	    (int)one.pid);
}

static void test_publish(struct netctl *n)
{
	struct err err = {};

	unit_ok(publish(n, 1, "tcp 8080:80; udp 5000-5001:6000; tcp 192.0.2.1 8443:80", &err) == 0, "ports are published: %s", err.text);
	hears(&world, SOCK_STREAM, "192.0.2.1", 8080, "one 192.0.2.2", "tcp from the world");
	hears(&world, SOCK_STREAM, "2001:db8::1", 8080, "one 2001:db8::2", "tcp of IPv6 from the world");
	hears(&world, SOCK_DGRAM, "192.0.2.1", 5001, "one 192.0.2.2", "udp of a range");
	hears(&world, SOCK_DGRAM, "2001:db8::1", 5001, "one 2001:db8::2", "udp of IPv6");
	hears(&world, SOCK_STREAM, "192.0.2.1", 8443, "one 192.0.2.2", "on one address");
	hears(&world, SOCK_STREAM, "2001:db8::1", 8443, "", "not on others");
	hears(&two, SOCK_STREAM, "192.0.2.1", 8080, "one 10.213.0.2", "from another container");
	hears(&one, SOCK_STREAM, "192.0.2.1", 8080, "one 169.254.1.1", "from itself");
	hears(&one, SOCK_STREAM, "2001:db8::1", 8080, "one 2001:db8::1", "from itself with IPv6");
	hears(NULL, SOCK_STREAM, "192.0.2.1", 8080, "one 192.0.2.1", "from the host");
	hears(NULL, SOCK_STREAM, "127.0.0.1", 8080, "one 169.254.1.1", "from the host's 127.0.0.1");
	unit_ok(publish(n, 1, "tcp 8081:80", &err) == 0, "other ports instead: %s", err.text);
	hears(&world, SOCK_STREAM, "192.0.2.1", 8081, "one 192.0.2.2", "the new one leads there");
	hears(&world, SOCK_STREAM, "192.0.2.1", 8080, "", "the old one does not");
}

static void test_busy(struct netctl *n)
{
	struct err err = {};

	unit_ok(publish(n, 2, "tcp 8000-8100:80", &err) < 0 && err.kind == ERR_Busy && strstr(err.text, "number 1 has tcp 8081:80"),
		"another owner's port is refused: %s", err.text);
	unit_ok(publish(n, 2, "udp 8081:80", &err) == 0, "the same of another protocol is not: %s", err.text);
	serve(host_ns, SOCK_STREAM, 22, "host");
	serve(host_ns, SOCK_DGRAM, 53, "host");
	usleep(50000);
	unit_ok(publish(n, 2, "tcp 22", &err) < 0 && err.kind == ERR_Busy, "a port on which the host listens: %s", err.text);
	unit_ok(publish(n, 2, "udp 53", &err) < 0 && err.kind == ERR_Busy, "of udp: %s", err.text);
	unit_ok(publish(n, 2, "tcp 53:80", &err) == 0, "the other protocol is free: %s", err.text);
	hears(&world, SOCK_STREAM, "192.0.2.1", 22, "host 192.0.2.2", "the host's service is still there");
	hears(&world, SOCK_STREAM, "192.0.2.1", 53, "two 192.0.2.2", "and beside it ours");
	nat_drop(n, 2);
	hears(&world, SOCK_STREAM, "192.0.2.1", 53, "", "which goes when it is dropped");
	nat_drop(n, 2);
}

/* A datagram socket that has spoken by a published port: its next word must not go there any more. */
static void test_flows(struct netctl *n)
{
	struct sockaddr_storage at;
	int len = address("192.0.2.1", 5001, &at), fd;
	struct pollfd p = { .events = POLLIN };
	struct err err = {};
	char got[128];

	unit_ok(publish(n, 1, "udp 5001:6001", &err) == 0, "a port of udp: %s", err.text);
	enter(world.ns);
	p.fd = fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	enter(host_ns);
	(void)connect(fd, (struct sockaddr *)&at, (socklen_t)len);
	for (int i = 0; i < 2; i++) {
		(void)!send(fd, "?", 1, 0);
		unit_ok(poll(&p, 1, 1000) > 0 && recv(fd, got, sizeof(got), 0) > 0, "it is answered");
	}
	unit_ok(publish(n, 1, "udp 5001-5002:6001; tcp 8081:80", &err) == 0, "it stays among others: %s", err.text);
	(void)!send(fd, "?", 1, 0);
	unit_ok(poll(&p, 1, 1000) > 0 && recv(fd, got, sizeof(got), 0) > 0, "it still is answered");
	unit_ok(publish(n, 1, "tcp 8081:80", &err) == 0, "it goes: %s", err.text);
	(void)!send(fd, "?", 1, 0);
	unit_ok(poll(&p, 1, 500) <= 0 || recv(fd, got, sizeof(got), 0) < 0, "no answer any more");
	close(fd);
}

static void test_others_flush(struct netctl *n)
{
	struct err err = {};

	run("nft flush ruleset");
	unit_ok(publish(n, 1, "tcp 8082:80", &err) == 0, "after somebody's flush the table is made again: %s", err.text);
	hears(&world, SOCK_STREAM, "192.0.2.1", 8082, "one 192.0.2.2", "and leads there");
	unit_ok(nat_class(n, (int)if_nametoindex("L3-1"), 0x00010010, &err) == 0 && nft_says("t.1-x", "L3-1\" : 1:10"), "a class: %s", err.text);
	unit_ok(nat_class(n, (int)if_nametoindex("L3-1"), 0x00010011, &err) == 0 && nft_says("t.1-x", "L3-1\" : 1:11"), "another: %s", err.text);
	unit_ok(nat_class(n, (int)if_nametoindex("L3-1"), 0, &err) == 0 && !nft_says("t.1-x", "1:11"), "none: %s", err.text);
}

/* The kernel numbers tables: the same number is the same table. */
static long handle_of(const char *table)
{
	char command[256], line[256] = "";
	const char *at;
	FILE *f;

	snprintf(command, sizeof(command), "nft -a list table inet porto_%s", table);
	f = popen(command, "r"); // NOLINT(cert-env33-c)
	if (f) {
		(void)!fgets(line, sizeof(line), f);
		pclose(f);
	}
	at = strstr(line, "handle ");
	return at ? strtol(at + 7, NULL, 10) : -1;
}

static void test_sync(struct netctl *n)
{
	struct err err = {};
	long made = 0, again = 0;

	unit_ok(nat_sync(n, &err) == 0 && (made = handle_of("t.1-x")) > 0, "the table is there: %s", err.text);
	unit_ok(publish(n, 1, "tcp 8083:80", &err) == 0 && nat_sync(n, &err) == 0, "a change and a look: %s", err.text);
	unit_int(handle_of("t.1-x"), made, "nobody has touched it, so it stays");
	run("nft flush chain inet porto_t.1-x spoof");
	unit_ok(nat_sync(n, &err) == 0 && (again = handle_of("t.1-x")) > made && nft_says("t.1-x", "oif missing drop"),
		"rules that somebody removed are put back: %s", err.text);
	run("nft add table inet porto_other; nft delete table inet porto_other");
	unit_ok(publish(n, 1, "tcp 8082:80", &err) == 0 && nat_sync(n, &err) == 0 && handle_of("t.1-x") > again,
		"where others change rules it is made again: %s", err.text);
	hears(&world, SOCK_STREAM, "192.0.2.1", 8082, "one 192.0.2.2", "with what is published");
}

static void test_again(void)
{
	struct net_ports ports = {};
	struct net_ifaddrs ip = {};
	struct err err = {};
	struct netctl n, other;

	begin(&n, "t.1-x");
	add_link(&n, 2, "L3-2");
	(void)net_ports_parse("tcp 9090:80", &ports, &err);
	(void)net_ifaddrs_parse("eth0 10.213.0.2", false, &ip, &err);
	unit_ok(nat_found(&n, 2, &ports, &ip) == 0 && nat_sync(&n, &err) == 0, "another daemon with this tag: %s", err.text);
	hears(&world, SOCK_STREAM, "192.0.2.1", 9090, "two 192.0.2.2", "has what it knows of");
	hears(&world, SOCK_STREAM, "192.0.2.1", 8082, "", "and nothing else is left");
	begin(&other, "t.2");
	add_link(&other, 1, "L3-1");
	unit_ok(publish(&other, 1, "tcp 9091:80", &err) == 0, "one with another tag: %s", err.text);
	hears(&world, SOCK_STREAM, "192.0.2.1", 9090, "two 192.0.2.2", "the first one's");
	hears(&world, SOCK_STREAM, "192.0.2.1", 9091, "one 192.0.2.2", "the second one's");
	nat_drop(&n, 2);
	links_drop(&n, 2);
	unit_ok(nat_sync(&n, &err) == 0 && !nft_says("t.1-x", "table"), "without owners there is no table: %s", err.text);
	unit_ok(nat_sync(&n, &err) == 0, "nor again: %s", err.text);
	hears(&world, SOCK_STREAM, "192.0.2.1", 9091, "one 192.0.2.2", "the second one's stays");
	net_ports_done(&ports);
	net_ifaddrs_done(&ip);
	end(&n);
	end(&other);
}

static bool can_here(void)
{
	autotext struct text t = {};
	struct err err = {};

	if (unshare(CLONE_NEWNET) == 0) {
		text_add(&t, "add table inet x; add chain inet x c { type nat hook postrouting priority 0; }; add rule inet x c masquerade; delete table inet x\n");
		if (nft_run(&t, &err) == 0)
			return true;
	}
	printf("# skipped: %s\n", *err.text ? err.text : "no network namespace can be made here");
	return false;
}

int main(void)
{
	struct netctl n;

	if (!can_here())
		return unit_end();
	host_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	wire_all();
	serve(world.ns, SOCK_STREAM, 7, "world");
	serve(world.ns, SOCK_DGRAM, 7, "world");
	serve(one.ns, SOCK_STREAM, 80, "one");
	serve(two.ns, SOCK_STREAM, 80, "two");
	serve(one.ns, SOCK_DGRAM, 6001, "one");
	usleep(100000);
	begin(&n, "t.1-x");
	add_link(&n, 1, "L3-1");
	add_link(&n, 2, "L3-2");
	test_masquerade(&n);
	test_spoof();
	test_publish(&n);
	test_sync(&n);
	test_flows(&n);
	test_busy(&n);
	test_others_flush(&n);
	end(&n);
	test_again();
	for (size_t i = 0; i < server_count; i++)
		kill(servers[i], SIGKILL);
	kill(world.pid, SIGKILL);
	kill(one.pid, SIGKILL);
	kill(two.pid, SIGKILL);
	while (wait(NULL) > 0)
		;
	return unit_end();
}
