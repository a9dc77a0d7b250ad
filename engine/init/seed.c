/*
 * A porto-init that waits to be many: started with the word `seed`, it forks itself for each order of the worker, and the
 * child goes on as if it had been executed with these descriptors. See proto.h.
 */
#include <linux/sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "engine/init/init.h"

#define SOCK_FD INIT_OPS_FD
#define FIRST_FD (SOCK_FD + 1) /* what an order brings begins here, as nothing else is open */

/* The order's descriptors in msg; how many, or -1 when they are not where they must be. */
static int fds_of(struct msghdr *msg, int *fds)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);
	size_t n;

	if (!c || c->cmsg_type != SCM_RIGHTS || (msg->msg_flags & MSG_CTRUNC))
		return -1;
	n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(fds, CMSG_DATA(c), n * sizeof(int));
	for (size_t i = 0; i < n; i++) {
		if (fds[i] != FIRST_FD + (int)i)
			return -1;
	}
	return (int)n;
}

static int order_read(struct seed_order *order, int *fds)
{
	static union {
		char buf[CMSG_SPACE(sizeof(int) * SEED_FDS)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { order, sizeof(*order) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf, .msg_controllen = sizeof(control.buf) };
	ssize_t n;
	int count;

	do
		n = recvmsg(SOCK_FD, &msg, 0);
	while (n < 0 && errno == EINTR);
	/* The worker has gone: so do we. */
	if (n <= 0)
		_exit(EXIT_SUCCESS);
	count = n == sizeof(*order) ? fds_of(&msg, fds) : -1;
	return count == (int)(order->count + order->cgroup) ? 0 : -1;
}

static void answer(pid_t pid, int pidfd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct seed_answer a = { .pid = pid };
	struct iovec iov = { &a, sizeof(a) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (pid > 0) {
		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &pidfd, sizeof(int));
	}
	(void)!sendmsg(SOCK_FD, &msg, MSG_NOSIGNAL);
}

/* In the child: what came with the order moves one down, over the socket. */
static void take_places(uint32_t count)
{
	for (int i = 0; i < (int)count; i++)
		dup2(FIRST_FD + i, INIT_OPS_FD + i);
	close_range(INIT_OPS_FD + count, ~0U, 0);
}

void seed_wait(void)
{
	struct seed_order order;
	int fds[SEED_FDS], pidfd = -1;

	prctl(PR_SET_NAME, "porto-seed");
	for (;;) {
		pid_t pid = -EPROTO;

		if (!order_read(&order, fds)) {
			struct clone_args args = { .flags = order.flags | CLONE_PARENT | CLONE_PIDFD, .pidfd = (uintptr_t)&pidfd };

			if (order.cgroup) {
				args.flags |= CLONE_INTO_CGROUP;
				args.cgroup = (uint64_t)fds[order.count];
			}
			pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
			if (pid == 0) {
				take_places(order.count);
				return;
			}
			if (pid < 0)
				pid = -errno;
		}
		answer(pid, pidfd);
		/* the pidfd of the child too */
		close_range(FIRST_FD, ~0U, 0);
	}
}
