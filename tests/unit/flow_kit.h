/*
 * tests/unit/flow_kit.h: what tests of netctl share: namespaces of their own, a "host" with a veth pair into a "box", and
 * flows between the two. Nothing outside of them is touched.
 */
#ifndef TESTS_UNIT_FLOW_KIT_H
#define TESTS_UNIT_FLOW_KIT_H

#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#include "base/proc.h"
#include "netctl/classes.h"

#define HOST_IP "10.77.0.1"
#define BOX_IP	"10.77.0.2"

static int host_ns = -1, box_ns = -1;

static UNUSED void enter(int ns)
{
	if (setns(ns, CLONE_NEWNET) < 0)
		abort();
}

static int this_ns(void)
{
	return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

static UNUSED bool run(int ns, struct nl_batch *b)
{
	autonl struct nl nl = {};
	struct err err = {};
	if (nl_open(&nl, NETLINK_ROUTE, ns, &err) == 0 && nl_run(&nl, b, &err) == 0)
		return true;
	printf("# %s\n", err.text);
	return false;
}

static UNUSED int index_of(int ns, const char *dev)
{
	int own = this_ns(), index;
	enter(ns);
	index = (int)if_nametoindex(dev);
	enter(own);
	close(own);
	return index;
}

static UNUSED bool veth_add(const char *dev, uint32_t group, const char *peer)
{
	struct ifinfomsg ifi = {.ifi_flags = IFF_UP, .ifi_change = IFF_UP}, other = {};
	struct nl_batch b = {};
	struct nl_msg *msg = nl_add(&b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &ifi, sizeof(ifi), "veth %s", dev);
	nla_put_string(msg, IFLA_IFNAME, dev);
	nla_put_u32(msg, IFLA_GROUP, group);
	struct nlattr *info = nla_nest_start(msg, IFLA_LINKINFO);
	nla_put_string(msg, IFLA_INFO_KIND, "veth");
	struct nlattr *data = nla_nest_start(msg, IFLA_INFO_DATA), *inner = nla_nest_start(msg, VETH_INFO_PEER);
	nlmsg_append(msg, &other, sizeof(other), NLMSG_ALIGNTO);
	nla_put_string(msg, IFLA_IFNAME, peer);
	nla_put_u32(msg, IFLA_NET_NS_FD, (uint32_t)box_ns);
	nla_nest_end(msg, inner);
	nla_nest_end(msg, data);
	nla_nest_end(msg, info);
	return run(host_ns, &b);
}

static UNUSED bool addr_up(int ns, const char *dev, const char *ip)
{
	int index = index_of(ns, dev);
	struct ifinfomsg ifi = {.ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
	struct ifaddrmsg ifa = {.ifa_family = AF_INET, .ifa_prefixlen = 24, .ifa_index = (uint32_t)index};
	struct nl_batch b = {};
	struct in_addr a;
	inet_pton(AF_INET, ip, &a);
	nl_add(&b, RTM_NEWLINK, 0, &ifi, sizeof(ifi), "%s up", dev);
	struct nl_msg *msg = nl_add(&b, RTM_NEWADDR, NLM_F_CREATE, &ifa, sizeof(ifa), "address of %s", dev);
	nla_put(msg, IFA_LOCAL, sizeof(a), &a);
	nla_put(msg, IFA_ADDRESS, sizeof(a), &a);
	return run(ns, &b);
}

static UNUSED void netctl_begin(struct netctl *n)
{
	*n = (struct netctl){.tag = (char *)"nettest", .host_ns = host_ns};
	pthread_mutex_init(&n->lock, NULL);
	n->can = (struct net_can){.tbf = true, .htb = true, .ifb = true, .clsact = true, .u32 = true, .mirred = true, .veth = true};
}

static UNUSED void netctl_end(struct netctl *n)
{
	classes_close(n);
	links_close(n);
	pthread_mutex_destroy(&n->lock);
}

static UNUSED int socket_in(int ns, int type)
{
	int own = this_ns(), fd;
	enter(ns);
	fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	enter(own);
	close(own);
	return fd;
}

static struct sockaddr_in at(const char *ip, uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	inet_pton(AF_INET, ip, &a.sin_addr);
	return a;
}

/* A socket that is to receive. */
static UNUSED void receive_at(int fd, const char *ip, uint16_t port)
{
	struct sockaddr_in a = at(ip, port);
	if (bind(fd, (void *)&a, sizeof(a)) < 0)
		printf("# can't be %s:%u\n", ip, port);
}

/* Bytes that a TCP flow brought across in that time. */
static UNUSED uint64_t flow(int from, int to, const char *ip, uint16_t port, double seconds)
{
	static char buf[65536];
	struct sockaddr_in a = at(ip, port);
	uint64_t got = 0;
	int l = socket_in(to, SOCK_STREAM), s = socket_in(from, SOCK_STREAM), r = -1, on = 1;
	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	struct timeval wait = {.tv_sec = 5};
	setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	if (bind(l, (void *)&a, sizeof(a)) == 0 && listen(l, 1) == 0 && connect(s, (void *)&a, sizeof(a)) == 0)
		r = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	uint64_t end = clock_mono() + (uint64_t)(seconds * 1e9);
	while (r >= 0 && clock_mono() < end) {
		struct pollfd p[] = {{.fd = s, .events = POLLOUT}, {.fd = r, .events = POLLIN}};
		poll(p, 2, 20);
		if (p[0].revents & POLLOUT && send(s, buf, sizeof(buf), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN)
			break;
		ssize_t len = recv(r, buf, sizeof(buf), MSG_DONTWAIT);
		got += len > 0 ? (uint64_t)len : 0;
	}
	close(l);
	close(s);
	if (r >= 0)
		close(r);
	return got;
}

/* count datagrams of size from fd to there; how many were sent. */
static UNUSED int datagrams(int fd, const char *ip, uint16_t port, int count, size_t size)
{
	static char buf[65536];
	struct sockaddr_in a = at(ip, port);
	int sent = 0;
	for (int i = 0; i < count; i++)
		sent += sendto(fd, buf, size, 0, (void *)&a, sizeof(a)) == (ssize_t)size;
	return sent;
}

/* A link carries nothing until the kernel has noticed, a moment later, that it is up. */
static UNUSED bool answers(int from, int to, const char *ip)
{
	autoclose int s = socket_in(from, SOCK_DGRAM), r = socket_in(to, SOCK_DGRAM);
	struct pollfd p = {.fd = r, .events = POLLIN};
	receive_at(r, ip, 4999);
	for (int i = 0; i < 500; i++) {
		datagrams(s, ip, 4999, 1, 1);
		if (poll(&p, 1, 10) == 1)
			return true;
	}
	return false;
}

/* Namespaces, and the pair "out" here, "eth0" there. The thread is left in the host's. */
static UNUSED bool net_begin(uint32_t group)
{
	if (unshare(CLONE_NEWNET) < 0)
		return false;
	box_ns = this_ns();
	if (unshare(CLONE_NEWNET) < 0)
		return false;
	host_ns = this_ns();
	return veth_add("out", group, "eth0") && addr_up(host_ns, "out", HOST_IP) && addr_up(box_ns, "eth0", BOX_IP) &&
	       answers(box_ns, host_ns, HOST_IP) && answers(host_ns, box_ns, BOX_IP);
}

#endif
