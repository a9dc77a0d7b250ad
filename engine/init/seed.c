/*
 * A porto-init that waits to be many: started with the word `seed`, it forks itself for each order of the worker, and the
 * child goes on as if it had been executed with these descriptors. See proto.h.
 */
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "engine/init/init.h"

#define SOCK_FD INIT_OPS_FD
#define STOPPED_MSEC 50 /* between two looks whether it is */
#define FIRST_FD (SOCK_FD + 1) /* what an order brings begins here, as nothing else is open */

struct order {
	struct seed_order o;
	int fds[SEED_FDS];
	int cgroup, join; /* -1: none */
};

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

static int order_read(struct order *order)
{
	static union {
		char buf[CMSG_SPACE(sizeof(int) * SEED_FDS)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { &order->o, sizeof(order->o) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf, .msg_controllen = sizeof(control.buf) };
	ssize_t n;
	int count;

	do
		n = recvmsg(SOCK_FD, &msg, 0);
	while (n < 0 && errno == EINTR);
	/* The worker has gone: so do we. */
	if (n <= 0)
		_exit(EXIT_SUCCESS);
	count = n == sizeof(order->o) ? fds_of(&msg, order->fds) : -1;
	if (count != (int)(order->o.count + order->o.cgroup + !!order->o.join_flags))
		return -1;
	order->cgroup = order->o.cgroup ? order->fds[order->o.count] : -1;
	order->join = order->o.join_flags ? order->fds[count - 1] : -1;
	return 0;
}

static void answer(const struct order *order, int no, int pidfd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct seed_answer a = { .id = order->o.id, .no = no };
	struct iovec iov = { &a, sizeof(a) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (!no) {
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

/* As fork: 0 in the new process, whose parent is ours. -1 and errno. */
static long clone_sibling(uint64_t flags, int cgroup, int *pidfd)
{
	struct clone_args args = { .flags = flags | CLONE_PARENT | CLONE_PIDFD, .pidfd = (uintptr_t)pidfd };

	*pidfd = -1;
	if (cgroup >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)cgroup;
	}
	return syscall(SYS_clone3, &args, sizeof(args));
}

/* Makes the process that was ordered, and answers. Returns in the new process only, else whether it did. */
static bool give_birth(const struct order *order)
{
	int pidfd;
	long pid = clone_sibling(order->o.flags, order->cgroup, &pidfd);

	if (pid == 0) {
		take_places(order->o.count);
		return true;
	}
	answer(order, pid < 0 ? errno : 0, pidfd);
	if (pidfd >= 0)
		close(pidfd);
	return false;
}

/* By a signal or a tracer, as proc (the host's) says. */
static bool is_stopped(int proc, pid_t pid)
{
	char path[40], buf[64], number[24];
	ssize_t n;

	stpcpy(stpcpy(path, number_format(number, pid)), "/stat");
	autoclose int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);
	if (n <= 0)
		return false;
	buf[n] = '\0';
	const char *state = strstr(buf, ") "); /* our own name has no parenthesis in it */
	return state && (state[2] == 'T' || state[2] == 't');
}

/* Until it has ended: 0, or it is killed: an errno. */
static int wait_below(int proc, pid_t pid, int pidfd)
{
	struct pollfd end = { .fd = pidfd, .events = POLLIN };

	for (int msec = 0; msec < SEED_JOIN_MSEC; msec += STOPPED_MSEC) {
		if (poll(&end, 1, STOPPED_MSEC) == 1)
			return 0;
		if (is_stopped(proc, pid))
			break;
	}
	(void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	(void)poll(&end, 1, STOPPED_MSEC);
	return ETIMEDOUT;
}

/*
 * A process that has entered a pid namespace can't make another below it, only its child can, where those inside see it and may
 * stop it: so somebody waits for it. It shares our descriptors: once it has answered it closes the socket for both of us.
 */
static bool give_birth_below(const struct order *order, int proc)
{
	int pidfd, no;
	long pid = clone_sibling(CLONE_FILES, -1, &pidfd);

	if (pid == 0) {
		if (give_birth(order))
			return true;
		close(SOCK_FD);
		_exit(EXIT_SUCCESS);
	}
	no = pid < 0 ? errno : wait_below(proc, (pid_t)pid, pidfd);
	answer(order, no ? no : EINTR, -1);
	return false;
}

/* In a process of its own. Returns in the new one only. */
static void join_then_give_birth(const struct order *order)
{
	int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (setns(order->join, (int)order->o.join_flags))
		answer(order, errno, -1);
	else if (order->o.flags & CLONE_NEWPID ? give_birth_below(order, proc) : give_birth(order))
		return;
	_exit(EXIT_SUCCESS);
}

void seed_wait(void)
{
	struct order order = {};

	prctl(PR_SET_NAME, "porto-seed");
	for (;;) {
		int pidfd;

		if (order_read(&order)) {
			answer(&order, EPROTO, -1);
		} else if (order.join < 0) {
			if (give_birth(&order))
				return;
		} else {
			long pid = clone_sibling(0, -1, &pidfd);

			if (pid == 0) {
				join_then_give_birth(&order);
				return;
			}
			if (pid < 0)
				answer(&order, errno, -1);
		}
		/* the pidfd of the child too */
		close_range(FIRST_FD, ~0U, 0);
	}
}
