#include "portofs/systemd.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fd.h"

#define FIRST_FD 3
#define LISTEN_MAX 64

static char notify_socket[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
static char fd_names[256];
static int fds;

static const struct {
	const char *name;
	size_t offset;
} stored[] = {
	{ "fuse", offsetof(struct handover, fuse) },
	{ "memory", offsetof(struct handover, mem) },
	{ "notes", offsetof(struct handover, notes) },
};

static int *place(struct handover *h, size_t i)
{
	return (int *)(void *)((char *)h + stored[i].offset);
}

void systemd_begin(void)
{
	const char *notify = getenv("NOTIFY_SOCKET"), *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS"),
		   *names = getenv("LISTEN_FDNAMES");

	if (notify && strlen(notify) < sizeof(notify_socket))
		snprintf(notify_socket, sizeof(notify_socket), "%s", notify);
	if (pid && n && names && atoi(pid) == getpid()) {
		fds = MIN(MAX(atoi(n), 0), LISTEN_MAX);
		snprintf(fd_names, sizeof(fd_names), "%s", names);
	}
	for (int i = 0; i < fds; i++)
		(void)fd_set_cloexec(FIRST_FD + i, true);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
}

void systemd_before_exec(void)
{
	if (notify_socket[0])
		setenv("NOTIFY_SOCKET", notify_socket, 1);
}

static void send_state(const char *state, int fd)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t len = strlen(notify_socket);
	struct iovec iov = { (void *)state, strlen(state) };
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {};
	struct msghdr msg = { .msg_name = &to, .msg_iov = &iov, .msg_iovlen = 1 };
	autoclose int sock = -1;

	if (len == 0)
		return;
	memcpy(to.sun_path, notify_socket, len);
	if (to.sun_path[0] == '@')
		to.sun_path[0] = 0;
	msg.msg_namelen = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	if (fd >= 0) {
		control.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
						 .cmsg_len = CMSG_LEN(sizeof(int)) };
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(sizeof(int));
	}
	sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	/* Lost when nobody listens: nothing depends on it. */
	if (sock >= 0)
		(void)sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void systemd_notify(const char *state)
{
	send_state(state, -1);
}

void systemd_store(const struct handover *h)
{
	struct handover copy = *h;
	char state[64];

	for (size_t i = 0; i < ARRAY_LEN(stored); i++) {
		snprintf(state, sizeof(state), "FDSTORE=1\nFDNAME=%s", stored[i].name);
		send_state(state, *place(&copy, i));
	}
}

void systemd_forget(void)
{
	char state[64];

	for (size_t i = 0; i < ARRAY_LEN(stored); i++) {
		snprintf(state, sizeof(state), "FDSTOREREMOVE=1\nFDNAME=%s", stored[i].name);
		send_state(state, -1);
	}
}

bool systemd_take(struct handover *h)
{
	char *at = fd_names, *name;
	int fd = FIRST_FD;

	*h = (struct handover){ .fuse = -1, .mem = -1, .notes = -1 };
	while (fd < FIRST_FD + fds && (name = strsep(&at, ":"))) {
		for (size_t i = 0; i < ARRAY_LEN(stored); i++)
			if (strcmp(name, stored[i].name) == 0 && *place(h, i) < 0)
				*place(h, i) = fd;
		fd++;
	}
	return h->fuse >= 0 && h->mem >= 0 && h->notes >= 0;
}
