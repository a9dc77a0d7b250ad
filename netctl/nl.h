/*
 * netctl/nl.h: rtnetlink through libnl: a socket in a namespace, and batches: all messages go out in one sendmsg and every
 * answer is read, because the kernel carries on after one that failed.
 */
#ifndef NETCTL_NL_H
#define NETCTL_NL_H

#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>

#include "base/defs.h"
#include "base/err.h"

struct nl {
	struct nl_sock *sk;
};

/* A socket of protocol (NETLINK_ROUTE, ...) in the namespace ns_fd, -1: the one the thread is in. The thread is back in its own afterwards. */
int nl_open(struct nl *nl, int protocol, int ns_fd, struct err *err);
void nl_done(struct nl *nl);
#define autonl __attribute__((cleanup(nl_done)))

#define NL_BATCH_MAX 128u

struct nl_batch {
	struct nl_batch_item {
		struct nl_msg *msg;
		char what[96]; /* for the sentence: "route to 10.0.0.1" */
		int ignore;    /* this errno (positive) of the kernel is fine, 0: none */
	} items[NL_BATCH_MAX];
	size_t n;
	size_t failed;         /* after nl_run: index of the first that failed */
	int error;             /* no memory, too many: nl_run answers it */
};

/* The next message with its fixed header (struct ifinfomsg, tcmsg, ...); attributes are put on what it returns. Never NULL: after a
 * failure it returns a message that is thrown away, and nl_run fails. NLM_F_REQUEST and NLM_F_ACK are set here. */
struct nl_msg *nl_add(struct nl_batch *b, int type, int flags, const void *header, size_t len, const char *what, ...)
	__attribute__((format(printf, 6, 7)));
/* The last one added may fail with this errno. */
void nl_may_fail(struct nl_batch *b, int no);
/* All that was added, then the batch is empty. The first failure: -errno, and the sentence has what, the kernel's own words
 * (extended acknowledgement) or strerror. Those after the failed one were done if they could be: the caller rolls back. */
int nl_run(struct nl *nl, struct nl_batch *b, struct err *err);
void nl_batch_done(struct nl_batch *b);

/* A request that is answered by messages: one, or with NLM_F_DUMP many. fn for each; its result other than 0 ends it and is returned.
 * Takes msg, which may be NULL (no memory). No NLM_F_ACK. what: as in nl_add. */
int nl_query(struct nl *nl, struct nl_msg *msg, int (*fn)(void *arg, struct nlmsghdr *h), void *arg, const char *what,
	     struct err *err);

/* A dump (the names nl_dump and nl_close are taken by the library): fn for each message; its result other than 0 ends it and is returned. What comes or goes meanwhile may be missing. */
int nl_list(struct nl *nl, int type, const void *header, size_t len, int (*fn)(void *arg, struct nlmsghdr *h), void *arg, struct err *err);

#endif
