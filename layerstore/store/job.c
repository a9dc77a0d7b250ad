#include "layerstore/store/job.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "layerstore/store/whiteout.h"

#define PAGE_BYTES 4096
#define TICK_MSEC  100
#define LOCK_MSEC  20

int job_init(struct job *j, struct ring *ring, struct err *err)
{
	sigset_t set;
	struct stat st;
	*j = (struct job){ .ring = ring, .signals = -1, .ask = -1 };
	j->sh = mmap(NULL, sizeof(*j->sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (j->sh == MAP_FAILED) {
		j->sh = NULL;
		return err_sys(err, errno, "no memory to share");
	}
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	j->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (j->signals < 0)
		return err_sys(err, errno, "signals can't be waited for");
	if (!ring && fstat(FD_IN, &st) == 0 && S_ISREG(st.st_mode))
		j->total = (uint64_t)st.st_size;
	return 0;
}

/* ---- the page ---- */

static void write_page(const char *text)
{
	char page[PAGE_BYTES];
	size_t len = MIN(strlen(text), sizeof(page));
	memset(page, ' ', sizeof(page));
	memcpy(page, text, len);
	if (pwrite(FD_STATUS, page, sizeof(page), 0) < 0)
		return; /* nobody to tell */
}

static void write_progress(const struct job *j)
{
	char text[80];
	snprintf(text, sizeof(text), "running %llu %llu\n", (unsigned long long)atomic_load(&j->sh->bytes),
		 (unsigned long long)j->total);
	write_page(text);
}

int job_end(struct job *j, int result, const struct err *err)
{
	char text[ERR_TEXT_MAX + 80];
	if (result >= 0)
		snprintf(text, sizeof(text), "done %llu %llu\n", (unsigned long long)atomic_load(&j->sh->bytes),
			 (unsigned long long)atomic_load(&j->sh->unpacked));
	else
		snprintf(text, sizeof(text), "failed %d %d\n%s\n", (int)err->kind, err->no, err->text);
	write_page(text);
	if (j->ring && result >= 0)
		ring_finish(j->ring);
	if (j->ring && result < 0)
		ring_fail(j->ring, err->no);
	return result >= 0 ? 0 : 1;
}

/* ---- opaque directories ---- */

/* One message: a byte, with the descriptor of a directory. */
union fd_message {
	char buf[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

int job_set_opaque(void *arg, int dirfd)
{
	struct job *j = arg;
	union fd_message control = {};
	char byte = 0;
	int answer = -EIO;
	struct iovec one = { &byte, 1 }, back = { &answer, sizeof(answer) };
	struct msghdr m = {
		.msg_iov = &one, .msg_iovlen = 1, .msg_control = control.buf, .msg_controllen = sizeof(control.buf)
	};
	struct msghdr reply = { .msg_iov = &back, .msg_iovlen = 1 };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &dirfd, sizeof(int));
	if (sendmsg(j->ask, &m, 0) != 1 || recvmsg(j->ask, &reply, 0) != (ssize_t)sizeof(answer))
		return -EIO;
	return answer;
}

/* The child may send what it likes: only a directory of the tree's own filesystem gets the mark. */
static int mark(int fd, dev_t dev)
{
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_dev != dev)
		return -EPERM;
	return fsetxattr(fd, XATTR_OPAQUE, "y", 1, 0) < 0 ? -errno : 0;
}

static void answer_one(int sock, int root)
{
	union fd_message control = {};
	char byte;
	int fd = -1;
	struct stat st;
	struct iovec one = { &byte, 1 };
	struct msghdr m = {
		.msg_iov = &one, .msg_iovlen = 1, .msg_control = control.buf, .msg_controllen = sizeof(control.buf)
	};
	if (recvmsg(sock, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) != 1)
		return;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)))
			memcpy(&fd, CMSG_DATA(c), sizeof(int));
	int r = fstat(root, &st) < 0 ? -errno : mark(fd, st.st_dev);
	if (fd >= 0)
		close(fd);
	if (send(sock, &r, sizeof(r), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return;
}

/* ---- the child ---- */

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* What else the job has open is not for it: the directory of everybody's layers, say. */
static int close_others(const struct job_work *w, int sock)
{
	int kept[] = { 2, w->cage.root, sock, w->keep[0], w->keep[1] };
	qsort(kept, ARRAY_LEN(kept), sizeof(*kept), by_number);
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		unsigned from = (unsigned)MAX(kept[i], 2) + 1;
		unsigned to = i + 1 < ARRAY_LEN(kept) ? (unsigned)kept[i + 1] : ~0u;
		if (to > from && close_range(from, to == ~0u ? to : to - 1, 0) < 0)
			return -errno;
	}
	return 0;
}

static _Noreturn void be_child(struct job *j, const struct job_work *w, int sock, pid_t parent)
{
	struct err err = {};
	j->ask = sock;
	close(FD_STATUS);
	close(FD_PLACE);
	close(j->signals);
	int r = w->alone ? close_others(w, sock) : 0;
	if (r == 0)
		r = cage_enter(&w->cage, parent, &err);
	if (r == 0)
		r = w->fn(j, w->arg, &err);
	if (r < 0 && err.kind == ERR_Success)
		err_sys(&err, -r, "porto-store");
	j->sh->err = err;
	j->sh->result = r;
	_exit(r < 0);
}

/* What the child says went wrong: its words, as far as they are words. */
static int child_error(const struct job *j, struct err *err)
{
	struct err said = j->sh->err;
	said.text[sizeof(said.text) - 1] = 0;
	for (char *c = said.text; *c; c++)
		if ((unsigned char)*c < ' ')
			*c = '?';
	if (said.no <= 0 || said.no > 4095 || (int)said.kind <= 0)
		return err_set(err, ERR_HelperError, "the unpacking process failed");
	return err_set_no(err, said.kind, said.no, "%s", said.text);
}

static int child_result(const struct job *j, int status, struct err *err)
{
	if (WIFSIGNALED(status))
		return err_set(err, ERR_HelperError, "the unpacking process was killed by signal %d", WTERMSIG(status));
	return WEXITSTATUS(status) == 0 ? 0 : child_error(j, err);
}

bool job_is_stopped(const struct job *j)
{
	struct pollfd p = { .fd = j->signals, .events = POLLIN };
	return poll(&p, 1, 0) > 0; /* it stays readable: nobody reads it */
}

static int stopped(struct err *err)
{
	return err_set_no(err, ERR_SocketError, EINTR, "stopped");
}

int job_lock(const struct job *j, int fd, int how)
{
	struct pollfd p = { .fd = j->signals, .events = POLLIN };
	while (flock(fd, how | LOCK_NB) < 0) {
		if ((errno != EWOULDBLOCK && errno != EINTR) || (how & LOCK_NB))
			return -errno;
		if (poll(&p, 1, LOCK_MSEC) > 0)
			return -EINTR;
	}
	return 0;
}

/* What is waited for: a process, and (or -1) the socket through which it asks for something in the tree. */
struct watched {
	int pidfd, sock, root;
	const struct job_tick *tick;
};

/* Until it has gone. True: SIGTERM came. */
static bool watch(struct job *j, const struct watched *w)
{
	struct pollfd p[3] = { { .fd = w->pidfd, .events = POLLIN },
			       { .fd = j->signals, .events = POLLIN },
			       { .fd = w->sock, .events = POLLIN } };
	for (;;) {
		int n = poll(p, ARRAY_LEN(p), TICK_MSEC);
		if (n == 0 && w->tick)
			w->tick->fn(j, w->tick->arg);
		if (n == 0)
			write_progress(j);
		if (n <= 0)
			continue;
		if (p[1].revents)
			return true;
		if (p[2].revents & POLLIN)
			answer_one(w->sock, w->root);
		else if (p[2].revents)
			p[2].fd = -1;
		if (p[0].revents)
			return false;
	}
}

/* Reaps it in any case; w->pidfd is found here. */
static int wait_for(struct job *j, pid_t pid, struct watched *w, int *status, struct err *err)
{
	autoclose int pidfd = pidfd_open(pid, 0);
	w->pidfd = pidfd;
	bool stop = pidfd < 0 || watch(j, w);
	if (stop)
		kill(pid, SIGKILL);
	while (waitpid(pid, status, 0) < 0 && errno == EINTR)
		;
	return stop ? stopped(err) : 0;
}

int job_wait(struct job *j, pid_t pid, const struct job_tick *tick, int *status, struct err *err)
{
	struct watched w = { .sock = -1, .tick = tick };
	return wait_for(j, pid, &w, status, err);
}

int job_unblock(pid_t parent)
{
	sigset_t none;
	sigemptyset(&none);
	if (sigprocmask(SIG_SETMASK, &none, NULL) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return -errno;
	signal(SIGPIPE, SIG_DFL);
	return getppid() == parent ? 0 : -ESRCH;
}

int job_run(struct job *j, const struct job_work *w, struct err *err)
{
	int sock[2], status;
	pid_t parent = getpid();
	if (job_is_stopped(j))
		return stopped(err);
	write_progress(j);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock) < 0)
		return err_sys(err, errno, "no socket");
	j->sh->result = 0;
	j->sh->err = (struct err){};
	pid_t pid = fork();
	if (pid == 0) {
		close(sock[0]);
		be_child(j, w, sock[1], parent);
	}
	int no = errno;
	close(sock[1]);
	autoclose int ours = sock[0];
	if (pid < 0)
		return err_sys(err, no, "no process to unpack in");
	struct watched watched = { .sock = ours, .root = w->cage.root };
	int r = wait_for(j, pid, &watched, &status, err);
	return r < 0 ? r : child_result(j, status, err);
}
