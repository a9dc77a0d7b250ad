/*
 * tests/unit/net_box.h: what tests of netctl that ask the kernel share: network namespaces of their own, traffic between them, and a
 * netctl. "host" is a new namespace that the test's process moves into; "world" is at the other end of its device up0:
 * 10.9.0.1/24 and fd09::1/64 here, .2 and ::2 there.
 */
#ifndef TESTS_UNIT_NET_BOX_H
#define TESTS_UNIT_NET_BOX_H

#include "netctl/netctl.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/socket.h>

#include "base/proc.h"
#include "tests/unit/unit.h"

static int host_ns = -1, world_ns = -1;

/* Runs a shell command; its output is not shown. */
PRINTF_LIKE(1, 2) static UNUSED bool sh(const char *fmt, ...)
{
	char line[512], whole[600];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	snprintf(whole, sizeof(whole), "{ %s; } >/dev/null 2>&1", line);
	return system(whole) == 0;
}

static UNUSED int ns_here(void)
{
	return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

static UNUSED void ns_go(int fd)
{
	if (setns(fd, CLONE_NEWNET) < 0)
		abort();
}

/* A new namespace; the thread stays where it is. */
static UNUSED int ns_new(void)
{
	int back = ns_here(), fd;

	if (unshare(CLONE_NEWNET) < 0)
		abort();
	fd = ns_here();
	ns_go(back);
	close(back);
	return fd;
}

PRINTF_LIKE(2, 3) static UNUSED bool sh_in(int ns, const char *fmt, ...)
{
	char line[512];
	va_list args;
	bool ok;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	ns_go(ns);
	ok = sh("%s", line);
	ns_go(host_ns);
	return ok;
}

/* ---- traffic ---- */

static UNUSED int socket_in(int ns, int family, int type)
{
	int fd;

	ns_go(ns);
	fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ns_go(host_ns);
	return fd;
}

static UNUSED bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 2000) == 1;
}

/* Does a message get there, and an answer back? */
static UNUSED bool talks(int from, int to, const char *address, int type)
{
	bool six = strchr(address, ':');
	int family = six ? AF_INET6 : AF_INET, one = 1;
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_port = htons(7007) };
	struct sockaddr_in a4 = { .sin_family = AF_INET, .sin_port = htons(7007) };
	struct sockaddr *a = six ? (void *)&a6 : (void *)&a4;
	socklen_t len = six ? sizeof(a6) : sizeof(a4);
	autoclose int server = socket_in(to, family, type);
	autoclose int client = socket_in(from, family, type);
	autoclose int conn = -1;
	struct sockaddr_storage who;
	socklen_t who_len = sizeof(who);
	char buf[4] = "";

	setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(server, a, len) < 0 || (type == SOCK_STREAM && listen(server, 1) < 0))
		return false;
	if (inet_pton(family, address, six ? (void *)&a6.sin6_addr : (void *)&a4.sin_addr) != 1)
		return false;
	if (connect(client, a, len) < 0 && errno != EINPROGRESS)
		return false;
	if (type == SOCK_STREAM) {
		if (!readable(server))
			return false;
		conn = accept4(server, NULL, NULL, SOCK_CLOEXEC);
		return conn >= 0 && write(conn, "yes", 3) == 3 && readable(client) && read(client, buf, 3) == 3;
	}
	if (send(client, "may", 3, 0) != 3 || !readable(server) || recvfrom(server, buf, 3, 0, (void *)&who, &who_len) != 3)
		return false;
	return sendto(server, "yes", 3, 0, (void *)&who, who_len) == 3 && readable(client) && read(client, buf, 3) == 3;
}

static UNUSED bool talks_all(int from, int to, const char *address)
{
	return talks(from, to, address, SOCK_DGRAM) && talks(from, to, address, SOCK_STREAM);
}

static UNUSED bool net_begin(void)
{
	bool ok;

	if (unshare(CLONE_NEWNET) < 0)
		return false;
	host_ns = ns_here();
	world_ns = ns_new();
	ok = sh("ip link set lo up; ip link add up0 type veth peer name w0") &&
	       sh("ip link set w0 netns /proc/%d/fd/%d", (int)getpid(), world_ns) &&
	       sh("ip addr add 10.9.0.1/24 dev up0; ip addr add fd09::1/64 dev up0 nodad; ip link set up0 up") &&
	       sh_in(world_ns, "ip link set lo up; ip addr add 10.9.0.2/24 dev w0; ip addr add fd09::2/64 dev w0 nodad; ip link set w0 up");
	/* The kernel's workers see to the rest. */
	for (int i = 0; ok && i < 5 && !(talks(host_ns, world_ns, "10.9.0.2", SOCK_DGRAM) && talks(host_ns, world_ns, "fd09::2", SOCK_DGRAM)); i++)
		;
	return ok;
}

/* ---- netctl ---- */

static UNUSED struct netctl *netctl_new(const char *tag)
{
	struct netctl_config c = { .tag = tag, .nat_count = 100, .l3_mtu = 1500, .set_sysctls = true, .enable_ip = true,
				   .autoconf_timeout = 1000000000 };
	struct netctl *n = NULL;
	struct err err = {};

	net_addr_parse("172.31.77.1", &c.nat4);
	net_addr_parse("fd77::1", &c.nat6);
	if (netctl_open(&c, &n, &err) < 0)
		printf("# %s\n", err.text);
	return n;
}

/* One container: what it asks for and what it got. */
struct box {
	uint32_t id;
	int ns;
	struct net_spec spec;
	struct net_ifaddrs ip, gw, chosen;
	struct err err;
};

static UNUSED void box_done(struct box *b)
{
	if (b->ns >= 0)
		close(b->ns);
	net_spec_done(&b->spec);
	net_ifaddrs_done(&b->ip);
	net_ifaddrs_done(&b->gw);
	net_ifaddrs_done(&b->chosen);
	b->ns = -1;
}

static UNUSED int box_parse(struct box *b, uint32_t id, const char *net, const char *ip, const char *gw)
{
	*b = (struct box){ .id = id, .ns = -1 };
	if (net_spec_parse(net, &b->spec, &b->err) < 0 || net_ifaddrs_parse(ip, false, &b->ip, &b->err) < 0 ||
	    net_ifaddrs_parse(gw, true, &b->gw, &b->err) < 0)
		return -b->err.no;
	b->ns = b->spec.mode == NET_OWN ? ns_new() : dup(host_ns);
	return 0;
}

static UNUSED int box_up(struct netctl *n, struct box *b, uint32_t id, const char *net, const char *ip, const char *gw)
{
	struct net_request req = { .id = id, .name = "box", .hostname = "box", .raise = true, .cancel_fd = -1, .uid = 70707, .gid = 70707 };
	int r = box_parse(b, id, net, ip, gw);

	if (r < 0)
		return r;
	req.ns_fd = b->ns;
	req.spec = &b->spec;
	req.ip = &b->ip;
	req.gw = &b->gw;
	r = net_up(n, &req, &b->chosen, &b->err);
	if (r < 0)
		printf("# %s: %s: %s\n", net, err_kind_name(b->err.kind), b->err.text);
	return r;
}

/* Everything is taken away; nothing may be left on the host. */
static UNUSED bool swept(struct netctl *n)
{
	autotext struct text t = {};
	int r, tries = 100;

	do
		r = net_sweep(n);
	while (r > 0 && --tries > 0);
	netctl_leaks(n, &t);
	if (t.len > 0)
		printf("# leaks: %s\n", t.p);
	return r == 0 && t.len == 0 && sh("! ip -o link | grep -E 'L3-|portove-|pifb'") &&
	       sh("! ip route | grep -E 'L3-' && ! ip -6 route | grep L3-") &&
	       sh("[ -z \"$(ip neigh show proxy)$(ip -6 neigh show proxy)\" ]");
}

static UNUSED bool down(struct netctl *n, struct box *b)
{
	net_down(n, b->id);
	box_done(b);
	return swept(n);
}

#endif
