#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>

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

static int send_order(int sock, const struct birth *b)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * (BIRTH_FDS + 1))];
		struct cmsghdr align;
	} control = {};
	struct seed_order order = { .flags = b->flags, .count = (uint32_t)b->count, .cgroup = b->cgroup_fd >= 0 };
	struct iovec iov = { &order, sizeof(order) };
	size_t n = order.count + order.cgroup;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf,
			      .msg_controllen = CMSG_SPACE(sizeof(int) * n) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * n);
	memcpy(CMSG_DATA(c), b->fds, sizeof(int) * order.count);
	if (order.cgroup)
		memcpy(CMSG_DATA(c) + sizeof(int) * order.count, &b->cgroup_fd, sizeof(int));
	return sendmsg(sock, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int receive_answer(int sock, struct birth *b)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {};
	struct seed_answer answer;
	struct iovec iov = { &answer, sizeof(answer) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf, .msg_controllen = sizeof(control.buf) };
	struct cmsghdr *c;
	ssize_t n;

	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	if (n != sizeof(answer))
		return -EPIPE;
	c = CMSG_FIRSTHDR(&msg);
	if (answer.pid <= 0 || c == NULL || c->cmsg_type != SCM_RIGHTS)
		return answer.pid < 0 ? answer.pid : -EPROTO;
	memcpy(&b->pidfd, CMSG_DATA(c), sizeof(int));
	b->pid = answer.pid;
	return 0;
}

/*
 * A seed that has gone or is silent may yet have forked: that process finds its list of operations empty, because we close
 * the pipe, and ends. What clone3 itself refused is told by the usual way, which has the same reasons to.
 */
int seed_birth(struct seed *s, struct birth *b)
{
	if (b->join_fd < 0 && s->sock == 0 && !s->broken)
		seed_plant(s, b->init_fd);
	if (b->join_fd >= 0 || s->sock == 0)
		return birth(b);
	int r = send_order(s->sock - 1, b);
	if (r == 0)
		r = receive_answer(s->sock - 1, b);
	if (r == 0)
		return 0;
	if (r == -EPIPE || r == -ECONNRESET) {
		seed_end(s); /* killed: the next start plants another */
	} else if (r == -ETIMEDOUT || r == -EPROTO) {
		log_error("the waiting porto-init does not answer: %s", strerror(-r));
		s->broken = true;
		seed_end(s);
	}
	return birth(b);
}
