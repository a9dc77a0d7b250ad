/* Requests and answers of netlink. */
#include "netctl/nl.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <netlink/netlink.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define NL_SOCKET_BYTES (1 << 20) /* a full batch and its answers; the kernel gives what its limits allow */
#define NL_READ_BYTES 65536u      /* messages of a dump come in pieces of at most 32 KiB */

/* ---- sockets ---- */

/* A message that attributes may be put on although it is sent to nobody: there was no memory for the right one. */
static struct nl_msg *waste;

static void make_waste(void)
{
	waste = nlmsg_alloc_size(65536);
}

static int open_here(struct nl *nl, int protocol)
{
	int on = 1, fd, r;

	nl->sk = nl_socket_alloc();
	if (!nl->sk)
		return -ENOMEM;
	r = nl_connect(nl->sk, protocol);
	if (r < 0) {
		nl_done(nl);
		return r == -NLE_PROTO_MISMATCH || r == -NLE_AF_NOSUPPORT ? -EPROTONOSUPPORT : -ENOBUFS;
	}
	nl_socket_set_buffer_size(nl->sk, NL_SOCKET_BYTES, NL_SOCKET_BYTES);
	fd = nl_socket_get_fd(nl->sk);
	/* Without the first, answers of errors repeat the request; without the second they are a bare number. */
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	return 0;
}

int nl_open(struct nl *nl, int protocol, int ns_fd, struct err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	autoclose int own = -1;
	int r;

	nl->sk = NULL;
	pthread_once(&once, make_waste);
	if (ns_fd >= 0) {
		own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
		if (own < 0 || setns(ns_fd, CLONE_NEWNET) < 0)
			return err_sys(err, errno, "network namespace of a netlink socket");
	}
	r = open_here(nl, protocol);
	/* Whatever this thread did next would be done to somebody else's network. */
	if (own >= 0 && setns(own, CLONE_NEWNET) < 0)
		abort();
	return r < 0 ? err_sys(err, -r, "netlink socket") : 0;
}

void nl_done(struct nl *nl)
{
	nl_socket_free(nl->sk);
	nl->sk = NULL;
}

/* ---- building ---- */

static struct nl_msg *not_sent(struct nl_batch *b, int no)
{
	if (!b->error)
		b->error = no;
	if (!waste)
		abort(); /* no memory at the very start: nothing of ours runs without a socket */
	nlmsg_hdr(waste)->nlmsg_len = NLMSG_HDRLEN;
	return waste;
}

struct nl_msg *nl_add(struct nl_batch *b, int type, int flags, const void *header, size_t len, const char *what, ...)
{
	struct nl_batch_item *item;
	struct nl_msg *msg;
	va_list args;

	if (b->n == NL_BATCH_MAX)
		return not_sent(b, E2BIG);
	msg = nlmsg_alloc_simple(type, NLM_F_REQUEST | NLM_F_ACK | flags);
	if (!msg || nlmsg_append(msg, (void *)header, len, NLMSG_ALIGNTO) < 0) {
		nlmsg_free(msg);
		return not_sent(b, ENOMEM);
	}
	item = &b->items[b->n++];
	item->msg = msg;
	item->ignore = 0;
	va_start(args, what);
	if (vsnprintf(item->what, sizeof(item->what), what, args) < 0)
		item->what[0] = 0;
	va_end(args);
	return msg;
}

void nl_may_fail(struct nl_batch *b, int no)
{
	if (b->n > 0)
		b->items[b->n - 1].ignore = no;
}

void nl_batch_done(struct nl_batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		nlmsg_free(b->items[i].msg);
	b->n = 0;
	b->error = 0;
}

/* ---- sending and reading ---- */

static int send_all(struct nl *nl, struct iovec *iov, size_t n)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct msghdr h = { .msg_name = &kernel, .msg_namelen = sizeof(kernel), .msg_iov = iov, .msg_iovlen = n };
	ssize_t r;

	do
		r = sendmsg(nl_socket_get_fd(nl->sk), &h, 0);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

static ssize_t receive(struct nl *nl, void *buf, size_t size)
{
	struct sockaddr_nl from = {};
	socklen_t len;
	ssize_t r;

	do {
		len = sizeof(from);
		r = recvfrom(nl_socket_get_fd(nl->sk), buf, size, MSG_TRUNC, (struct sockaddr *)&from, &len);
	} while ((r < 0 && errno == EINTR) || (r >= 0 && from.nl_pid != 0));
	if (r < 0)
		return -errno;
	return (size_t)r > size ? -EMSGSIZE : r;
}

/* What the kernel says about an error besides its number; "" if nothing. Lives as long as the message. */
static const char *kernel_words(struct nlmsghdr *h)
{
	size_t at = sizeof(struct nlmsgerr);
	struct nlattr *a;

	if (!(h->nlmsg_flags & NLM_F_ACK_TLVS))
		return "";
	if (!(h->nlmsg_flags & NLM_F_CAPPED)) {
		const struct nlmsgerr *e = nlmsg_data(h);
		at += e->msg.nlmsg_len - NLMSG_HDRLEN;
	}
	at = NLMSG_ALIGN(at);
	if (at > (size_t)nlmsg_datalen(h))
		return "";
	a = nla_find((struct nlattr *)(void *)((char *)nlmsg_data(h) + at), nlmsg_datalen(h) - (int)at, NLMSGERR_ATTR_MSG);
	if (!a || nla_len(a) < 1 || ((char *)nla_data(a))[nla_len(a) - 1])
		return "";
	return nla_data(a);
}

static int refused(struct err *err, int no, const char *what, const char *words)
{
	enum err_kind kind = no == EOPNOTSUPP ? ERR_NotSupported : ERR_Unknown;
	char reason[128];

	return err_set_no(err, kind, no, "%s: %s", what, *words ? words : strerror_r(no, reason, sizeof(reason)));
}

/* The answer of item number i; the first failure is what the whole batch answers. */
static int take_answer(struct nl_batch *b, size_t i, struct nlmsghdr *h, int r, struct err *err)
{
	const struct nlmsgerr *e = nlmsg_data(h);

	if (e->error == 0 || -e->error == b->items[i].ignore || r < 0)
		return r;
	b->failed = i;
	return refused(err, -e->error, b->items[i].what, kernel_words(h));
}

static int read_answers(struct nl *nl, struct nl_batch *b, uint32_t first, struct err *err)
{
	autofree char *buf = malloc(NL_READ_BYTES);
	size_t answers = 0;
	int r = 0;

	if (!buf)
		return err_sys(err, ENOMEM, "netlink");
	while (answers < b->n) {
		ssize_t got = receive(nl, buf, NL_READ_BYTES);
		int len = (int)got;
		if (got < 0)
			return err_sys(err, (int)-got, "netlink answer");
		for (struct nlmsghdr *h = (void *)buf; nlmsg_ok(h, len); h = nlmsg_next(h, &len)) {
			if (h->nlmsg_type != NLMSG_ERROR || h->nlmsg_seq - first >= b->n)
				continue;
			answers++;
			r = take_answer(b, h->nlmsg_seq - first, h, r, err);
		}
	}
	return r;
}

int nl_run(struct nl *nl, struct nl_batch *b, struct err *err)
{
	struct iovec iov[NL_BATCH_MAX];
	uint32_t first = 0;
	int r = 0;

	b->failed = 0;
	if (b->error)
		r = err_sys(err, b->error, "netlink batch");
	for (size_t i = 0; i < b->n; i++) {
		struct nlmsghdr *h = nlmsg_hdr(b->items[i].msg);
		h->nlmsg_seq = nl_socket_use_seq(nl->sk);
		if (i == 0)
			first = h->nlmsg_seq;
		iov[i] = (struct iovec){ h, h->nlmsg_len };
	}
	if (r == 0 && b->n > 0) {
		r = send_all(nl, iov, b->n);
		r = r < 0 ? err_sys(err, -r, "netlink: %s", b->items[0].what) : read_answers(nl, b, first, err);
	}
	nl_batch_done(b);
	return r;
}

/* How a dump or a refusal ends: 0 or -errno and the sentence. */
static int take_end(struct nlmsghdr *h, const char *what, struct err *err)
{
	int no = 0;

	if (h->nlmsg_type == NLMSG_ERROR)
		no = -((const struct nlmsgerr *)nlmsg_data(h))->error;
	else if (nlmsg_datalen(h) >= (int)sizeof(int))
		no = -*(const int *)nlmsg_data(h);
	return no > 0 ? refused(err, no, what, h->nlmsg_type == NLMSG_ERROR ? kernel_words(h) : "") : 0;
}

/* An answer that fn ended early is read to its end, so that the socket can be used again. */
static int read_parts(struct nl *nl, uint32_t seq, bool dump, int (*fn)(void *arg, struct nlmsghdr *h), void *arg,
		      const char *what, struct err *err)
{
	autofree char *buf = malloc(NL_READ_BYTES);
	bool ended = false;
	int r = 0;

	if (!buf)
		return err_sys(err, ENOMEM, "netlink");
	while (!ended) {
		ssize_t got = receive(nl, buf, NL_READ_BYTES);
		int len = (int)got;
		if (got < 0)
			return err_sys(err, (int)-got, "netlink: %s", what);
		for (struct nlmsghdr *h = (void *)buf; nlmsg_ok(h, len) && !ended; h = nlmsg_next(h, &len)) {
			bool last = h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR;
			if (h->nlmsg_seq != seq)
				continue;
			ended = last || !dump;
			if (r == 0)
				r = last ? take_end(h, what, err) : fn(arg, h);
		}
	}
	return r;
}

int nl_query(struct nl *nl, struct nl_msg *msg, int (*fn)(void *arg, struct nlmsghdr *h), void *arg, const char *what,
	     struct err *err)
{
	struct nlmsghdr *h = msg ? nlmsg_hdr(msg) : NULL;
	struct iovec iov;
	bool dump;
	int r;

	if (!h)
		return err_sys(err, ENOMEM, "netlink: %s", what);
	dump = (h->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
	h->nlmsg_flags |= NLM_F_REQUEST;
	h->nlmsg_seq = nl_socket_use_seq(nl->sk);
	iov = (struct iovec){ h, h->nlmsg_len };
	r = send_all(nl, &iov, 1);
	if (r < 0)
		r = err_sys(err, -r, "netlink: %s", what);
	else
		r = read_parts(nl, h->nlmsg_seq, dump, fn, arg, what, err);
	nlmsg_free(msg);
	return r;
}

int nl_list(struct nl *nl, int type, const void *header, size_t len, int (*fn)(void *arg, struct nlmsghdr *h), void *arg,
	    struct err *err)
{
	struct nl_msg *msg = nlmsg_alloc_simple(type, NLM_F_DUMP);

	if (msg && nlmsg_append(msg, (void *)header, len, NLMSG_ALIGNTO) < 0) {
		nlmsg_free(msg);
		msg = NULL;
	}
	return nl_query(nl, msg, fn, arg, "dump", err);
}
