#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/proc.h"
#include "engine/birth.h"
#include "engine/init/proto.h"

#define ANSWER_SECONDS 5 /* a seed that is silent for so long is broken */

void seed_plant(struct seed *s, int init_fd)
{
	struct birth b = { .cgroup_fd = -1, .join_fd = -1, .pidfd = -1, .init_fd = init_fd, .seed = true };
	const struct timeval patience = { .tv_sec = ANSWER_SECONDS };
	int ends[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return;
	b.fds[b.count++] = ends[1];
	(void)setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	r = birth(&b);
	close(ends[1]);
	s->broken = r < 0 || b.failed != 0;
	s->sock = ends[0] + 1;
	s->pidfd = b.pidfd + 1;
	if (s->broken) {
		log_warning("porto-init is executed for each start: it cannot wait for starts: %s", strerror(r < 0 ? -r : b.failed));
		seed_end(s);
	}
}

void seed_end(struct seed *s)
{
	if (s->pidfd > 0) {
		(void)proc_signal(s->pidfd - 1, SIGKILL);
		close(s->pidfd - 1);
	}
	if (s->sock > 0)
		close(s->sock - 1);
	s->sock = s->pidfd = 0;
}

/* The pid as we see it: who made the process may count otherwise. 0: it has ended. */
static pid_t pid_of_pidfd(int pidfd)
{
	char path[48], buf[512];
	const char *line;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	if (file_read_small(AT_FDCWD, path, buf, sizeof(buf)) < 0)
		return 0;
	line = strstr(buf, "\nPid:");
	return line != NULL ? (pid_t)MAX(atoi(line + 5), 0) : 0;
}

static int send_order(struct seed *s, const struct birth *b)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * (BIRTH_FDS + 2))];
		struct cmsghdr align;
	} control = {};
	struct seed_order order = { .id = ++s->orders, .flags = b->flags, .count = (uint32_t)b->count, .cgroup = b->cgroup_fd >= 0 };
	struct iovec iov = { &order, sizeof(order) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf };
	int fds[BIRTH_FDS + 2];
	size_t n = order.count;
	struct cmsghdr *c;

	memcpy(fds, b->fds, sizeof(int) * n);
	if (order.cgroup)
		fds[n++] = b->cgroup_fd;
	if (b->join_fd >= 0) {
		order.join_flags = (uint64_t)b->join_flags;
		fds[n++] = b->join_fd;
	}
	msg.msg_controllen = CMSG_SPACE(sizeof(int) * n);
	c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * n);
	memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
	return sendmsg(s->sock - 1, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* One answer, and its pidfd; -1 without. */
static int receive(int sock, struct seed_answer *answer, int *pidfd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {};
	struct iovec iov = { answer, sizeof(*answer) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf, .msg_controllen = sizeof(control.buf) };
	struct cmsghdr *c;
	ssize_t n;

	*pidfd = -1;
	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	c = CMSG_FIRSTHDR(&msg);
	if (c != NULL && c->cmsg_type == SCM_RIGHTS)
		memcpy(pidfd, CMSG_DATA(c), sizeof(int));
	if (n == sizeof(*answer))
		return 0;
	if (*pidfd >= 0)
		close(*pidfd);
	return n == 0 ? -ECONNABORTED : -EPROTO;
}

/* 0: it has answered; *no: the errno of what it says is wrong with the order. */
static int receive_answer(struct seed *s, struct birth *b, int *no)
{
	struct seed_answer answer;
	int pidfd, r;

	/* one that came too late, for an order that had been given up */
	while ((r = receive(s->sock - 1, &answer, &pidfd)) == 0 && answer.id != s->orders)
		if (pidfd >= 0)
			close(pidfd);
	if (r < 0)
		return r;
	*no = answer.no;
	if (pidfd < 0)
		return answer.no != 0 ? 0 : -EPROTO;
	b->pidfd = pidfd;
	b->pid = pid_of_pidfd(pidfd);
	return 0;
}

/*
 * A seed that has gone after it took the order, or is silent, may yet have forked: that process finds its list of operations empty,
 * because the caller gives up and closes the pipe, and ends. So there must be no other. One that went before left the order
 * unread (ECONNRESET), and the next seed has it. What clone3 itself refused is told by the usual way, which has the same reasons to.
 */
int seed_birth(struct seed *s, struct birth *b)
{
	int r = -EPIPE, no = 0;

	for (int i = 0; i < 2 && (r == -EPIPE || r == -ECONNRESET); i++) {
		if (s->sock == 0 && (b->join_fd >= 0 || !s->broken))
			seed_plant(s, b->init_fd);
		if (s->sock == 0)
			break;
		r = send_order(s, b);
		if (r == 0)
			r = receive_answer(s, b, &no);
		if (r == 0)
			break;
		if (r == -ETIMEDOUT || r == -EPROTO) {
			log_error("the waiting porto-init does not answer: %s", strerror(-r));
			s->broken = true;
		}
		seed_end(s);
	}
	if (r == 0 && no == 0)
		return 0;
	if (r != 0 && r != -EPIPE && r != -ECONNRESET)
		return r;
	if (b->join_fd >= 0)
		return r < 0 ? r : -no;
	return birth(b);
}
