/* A network is set up: addresses chosen, devices made, routes laid, limits set; or all of it is taken back. */
#include "netctl/up.h"

#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <netlink/netlink.h>
#include <sys/random.h>
#include <time.h>

#include "base/proc.h"

#define READY_NSEC     500000000
#define READY_NAP_NSEC 300000

/* ---- hardware addresses ---- */

/* CRC-32 of IEEE 802.3. */
static uint32_t crc32_of(const char *text)
{
	uint32_t crc = UINT32_MAX;

	for (; *text; text++) {
		crc ^= (uint8_t)*text;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
	}
	return ~crc;
}

void up_random_mac(uint8_t mac[6])
{
	/* Where the kernel is too young to have any, the time must do: nobody has to guess it. */
	if (getrandom(mac, 6, GRND_NONBLOCK) != 6) {
		uint64_t now = clock_mono();
		memcpy(mac, &now, 6);
	}
	mac[0] = 0x02;
}

bool up_mac(const struct up *u, const struct net_dev *dev, uint8_t mac[6])
{
	uint32_t host;

	if (dev->has_mac) {
		memcpy(mac, dev->mac, 6);
		return true;
	}
	if (!u->req->hostname || !*u->req->hostname)
		return false;
	host = crc32_of(u->req->hostname);
	mac[0] = 0x02;
	mac[1] = (uint8_t)crc32_of(dev->name);
	for (int i = 0; i < 4; i++)
		mac[2 + i] = (uint8_t)(host >> (24 - 8 * i));
	return true;
}

/* ---- what link_*.c calls ---- */

void up_alias(const struct up *u, const struct net_dev *dev, char alias[256])
{
	snprintf(alias, 256, "%s:%u:%s:%s", u->n->tag, u->req->id, dev->name, u->req->name);
}

int up_register(struct up *u, const struct up_dev *d, struct err *err)
{
	struct net_link link = { .id = u->req->id,
				 .uplink = d->dev->kind->flags & KIND_UPLINK,
				 .ifindex = d->host,
				 .mtu = d->mtu,
				 .ns_fd = -1,
				 .borrowed = d->dev->kind == &kind_steal || d->dev->kind == &kind_host };

	memcpy(link.dev, d->dev->name, sizeof(link.dev));
	if (!d->host) {
		link.ns_fd = fcntl(u->req->ns_fd, F_DUPFD_CLOEXEC, 3);
		if (link.ns_fd < 0)
			return err_sys(err, errno, "network namespace");
	}
	if (links_add(u->n, &link) == 0)
		return 0;
	if (link.ns_fd >= 0)
		close(link.ns_fd);
	if (d->host)
		dying_add(u->n, &(struct net_dying){ .ifindex = d->host, .ns_fd = -1 });
	return err_sys(err, ENOMEM, "net");
}

int up_find_inside(struct up *u, struct up_dev *d, struct err *err)
{
	struct link_info link;
	int r = link_get(&u->in, 0, d->dev->name, &link, err);

	if (r < 0)
		return r;
	d->ifindex = link.ifindex;
	d->mtu = d->mtu ? d->mtu : link.mtu;
	memcpy(d->mac, link.mac, sizeof(d->mac));
	return 0;
}

/* ---- up ---- */

static int up_begin(struct up *u, struct err *err)
{
	const struct net_spec *spec = u->req->spec;
	int r = nl_open(&u->host, NETLINK_ROUTE, u->n->host_ns, err);

	if (r == 0)
		r = nl_open(&u->in, NETLINK_ROUTE, u->req->ns_fd, err);
	if (r < 0)
		return r;
	u->devs = calloc(spec->n + 1, sizeof(*u->devs));
	if (!u->devs)
		return err_sys(err, ENOMEM, "net");
	for (size_t i = 0; i < spec->n; i++)
		u->devs[u->dev_n++].dev = &spec->devs[i];
	/* Without devices there is nothing to compare them with. */
	return u->dev_n > 0 ? host_addrs(&u->host, &u->addrs, &u->addr_n, err) : 0;
}

static int up_devices(struct up *u, struct err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < u->dev_n; i++)
		r = u->devs[i].dev->kind->add(u, &u->devs[i], err);
	for (size_t i = 0; r == 0 && i < u->req->spec->commands.n; i++)
		r = up_command(u, u->req->spec->commands.p[i], err);
	return r;
}

/* Before there is a link: nothing is let through that the table would have stopped. Without it only NAT can't be. */
static int up_table(struct up *u, struct err *err)
{
	unsigned flags = 0;
	struct err why = {};
	int r;

	for (size_t i = 0; i < u->dev_n; i++)
		flags |= u->devs[i].dev->kind->flags;
	if (!(flags & KIND_HOST_END))
		return 0;
	r = nat_need(u->n, &why);
	if (r == 0 || !(flags & KIND_NAT))
		return 0;
	if (err)
		*err = why;
	return r;
}

static void nap(void)
{
	struct timespec t = { .tv_nsec = READY_NAP_NSEC };

	nanosleep(&t, NULL);
}

static int keep_type(void *arg, struct nlmsghdr *h)
{
	const struct rtmsg *rt = nlmsg_data(h);

	if (h->nlmsg_type == RTM_NEWROUTE)
		*(unsigned *)arg = rt->rtm_type;
	return 0;
}

static bool is_local(struct nl *in, const struct net_addr *addr)
{
	struct rtmsg h = { .rtm_family = AF_INET6, .rtm_dst_len = 128 };
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETROUTE, 0);
	unsigned type = RTN_UNSPEC;

	if (msg) {
		nlmsg_append(msg, &h, sizeof(h), NLMSG_ALIGNTO);
		nla_put(msg, RTA_DST, 16, addr->a);
	}
	return nl_query(in, msg, keep_type, &type, "route", NULL) == 0 && type == RTN_LOCAL;
}

/*
 * Two things the kernel leaves to its workers, which are late on a busy machine: the end that was up first drops packets until its
 * queue is there, and an IPv6 address isn't known as its own. The first thing that the owner sends would be lost. It is no failure
 * if that takes too long.
 */
static void up_ready(struct up *u)
{
	uint64_t deadline = clock_mono() + READY_NSEC;
	struct link_info link;

	for (size_t i = 0; i < u->dev_n; i++) {
		const struct up_dev *d = &u->devs[i];
		while (d->host && d->raised && link_get(&u->host, d->host, NULL, &link, NULL) == 0 && !link.running &&
		       clock_mono() < deadline)
			nap();
		for (size_t a = 0; a < u->ip.n; a++)
			while (d->raised && strcmp(u->ip.p[a].dev, d->dev->name) == 0 && u->ip.p[a].addr.family == AF_INET6 &&
			       !is_local(&u->in, &u->ip.p[a].addr) && clock_mono() < deadline)
				nap();
	}
}

static int up_run(struct up *u, struct err *err)
{
	struct nl events = {};
	bool own = u->req->spec->mode == NET_OWN;
	int r = up_begin(u, err);

	if (r == 0)
		r = up_addresses(u, err);
	if (r == 0)
		r = up_table(u, err);
	if (r == 0)
		r = up_devices(u, err);
	if (r == 0 && own)
		r = autoconf_listen(u, &events, err);
	if (r == 0 && own)
		r = up_inside(u, err);
	if (r == 0)
		r = up_outside(u, err);
	if (r == 0 && u->dev_n > 0)
		r = net_limits_apply(u->n, u->req->id, &u->req->limits, err);
	if (r == 0)
		up_ready(u);
	if (r == 0 && own)
		r = autoconf_wait(u, &events, err);
	nl_done(&events);
	return r;
}

static void up_end(struct up *u)
{
	nl_batch_done(&u->b);
	nl_done(&u->in);
	nl_done(&u->host);
	for (size_t i = 0; i < u->dev_n; i++)
		free(u->devs[i].uplinks);
	free(u->devs);
	free(u->addrs);
	net_ifaddrs_done(&u->ip);
	free(u);
}

int net_up(struct netctl *n, const struct net_request *req, struct net_ifaddrs *ip, struct err *err)
{
	struct up *u = calloc(1, sizeof(*u));
	int r;

	*ip = (struct net_ifaddrs){};
	if (!u)
		return err_sys(err, ENOMEM, "net");
	u->n = n;
	u->req = req;
	r = net_spec_check(n, req->spec, err);
	if (r == 0)
		r = up_run(u, err);
	if (r < 0) {
		net_down(n, req->id);
	} else if (u->chosen) {
		*ip = u->ip;
		u->ip = (struct net_ifaddrs){};
	}
	up_end(u);
	return r;
}
