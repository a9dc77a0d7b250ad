/* autoconf NAME: the start waits until a router has given the device an address. */
#include <linux/rtnetlink.h>
#include <netlink/netlink.h>
#include <poll.h>

#include "base/proc.h"
#include "netctl/up.h"

static bool wanted(const struct up *u)
{
	for (size_t i = 0; i < u->dev_n; i++)
		if (u->devs[i].dev->autoconf)
			return true;
	return false;
}

int autoconf_listen(struct up *u, struct nl *events, struct err *err)
{
	int r;

	if (!wanted(u))
		return 0;
	r = nl_open(events, NETLINK_ROUTE, u->req->ns_fd, err);
	if (r < 0)
		return r;
	if (nl_socket_add_membership(events->sk, RTNLGRP_IPV6_IFADDR) < 0)
		return err_sys(err, ENOBUFS, "addresses of the namespace");
	return 0;
}

struct seen {
	const struct up *u;
	bool *has;      /* of each device */
};

static bool is_static(const struct up *u, const uint8_t *a)
{
	for (size_t i = 0; i < u->ip.n; i++)
		if (u->ip.p[i].addr.family == AF_INET6 && memcmp(u->ip.p[i].addr.a, a, 16) == 0)
			return true;
	return false;
}

static int look(void *arg, struct nlmsghdr *h)
{
	const struct ifaddrmsg *ifa = nlmsg_data(h);
	struct nlattr *a[IFA_MAX + 1];
	struct seen *s = arg;
	uint32_t flags;

	if (h->nlmsg_type != RTM_NEWADDR || nlmsg_parse(h, sizeof(*ifa), a, IFA_MAX, NULL) < 0 || !a[IFA_ADDRESS])
		return 0;
	flags = a[IFA_FLAGS] ? nla_get_u32(a[IFA_FLAGS]) : ifa->ifa_flags;
	if (ifa->ifa_scope != RT_SCOPE_UNIVERSE || nla_len(a[IFA_ADDRESS]) != 16 || is_static(s->u, nla_data(a[IFA_ADDRESS])))
		return 0;
	if (flags & IFA_F_TENTATIVE && !(flags & IFA_F_OPTIMISTIC))
		return 0;
	for (size_t i = 0; i < s->u->dev_n; i++)
		if (s->u->devs[i].ifindex == (int)ifa->ifa_index)
			s->has[i] = true;
	return 0;
}

/* The first device that still has none, or NULL. */
static int missing(struct up *u, struct seen *s, const char **ret, struct err *err)
{
	struct ifaddrmsg h = { .ifa_family = AF_INET6 };
	int r = nl_list(&u->in, RTM_GETADDR, &h, sizeof(h), look, s, err);

	*ret = NULL;
	for (size_t i = 0; i < u->dev_n && !*ret; i++)
		if (u->devs[i].dev->autoconf && !s->has[i])
			*ret = u->devs[i].dev->name;
	return r;
}

/* Only that something has happened counts; what has is asked for. */
static void drain(struct nl *events)
{
	char buf[8192];

	while (recv(nl_socket_get_fd(events->sk), buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
}

int autoconf_wait(struct up *u, struct nl *events, struct err *err)
{
	uint64_t deadline = clock_mono() + u->n->conf.autoconf_timeout;
	autofree bool *has = calloc(u->dev_n + 1, sizeof(*has));
	struct seen s = { .u = u, .has = has };
	const char *name;

	if (!wanted(u))
		return 0;
	if (!has)
		return err_sys(err, ENOMEM, "autoconf");
	for (;;) {
		struct pollfd p[] = { { .fd = nl_socket_get_fd(events->sk), .events = POLLIN },
				      { .fd = u->req->cancel_fd, .events = POLLIN } };
		int r = missing(u, &s, &name, err);
		uint64_t now = clock_mono();
		if (r < 0 || !name)
			return r;
		if (now >= deadline)
			return err_set_no(err, ERR_Unknown, ETIMEDOUT, "autoconf: no router has given %s an address", name);
		if (poll(p, ARRAY_LEN(p), (int)MIN((deadline - now) / 1000000 + 1, (uint64_t)60000)) < 0 && errno != EINTR)
			return err_sys(err, errno, "autoconf");
		if (p[1].revents)
			return err_set_no(err, ERR_Unknown, ECANCELED, "autoconf: given up");
		drain(events);
	}
}
