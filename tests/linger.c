/*
 * tests/linger.c: hands over a TCP socket whose last close(2) waits for a peer that never reads, and lets go of it itself.
 * usage: linger FILE          FILE is a container's stdout_path: gets /dev/fd/N of the socket; exit 1 if that was refused
 *        linger FILE STATE    the same with a Unix socket; then STATE gets `start`, and what comes over the socket is printed
 */
#include <err.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/defs.h"

#define SECONDS 30

static int hand_over(const char *path, int s)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	char text[32];

	if (fd < 0)
		err(2, "%s", path);
	snprintf(text, sizeof(text), "/dev/fd/%d", s);
	return write(fd, text, strlen(text)) < 0 ? -errno : fd;
}

static int unix_socket(const char *path, const char *state)
{
	char buf[4096];
	int pair[2], fd;
	ssize_t n;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 || hand_over(path, pair[0]) < 0)
		err(1, "%s", path);
	close(pair[0]);
	fd = open(state, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "start", 5) < 0)
		err(1, "%s", state);
	while ((n = read(pair[1], buf, sizeof(buf))) > 0)
		if (write(STDOUT_FILENO, buf, (size_t)n) < 0)
			err(1, "stdout");
	return n < 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct linger linger = { .l_onoff = 1, .l_linger = SECONDS };
	socklen_t len = sizeof(a);
	static char full[65536];
	int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;

	if (argc == 3)
		return unix_socket(argv[1], argv[2]);
	if (argc != 2)
		errx(2, "usage: linger FILE [STATE]");
	if (bind(server, (void *)&a, len) < 0 || listen(server, 1) < 0 || getsockname(server, (void *)&a, &len) < 0 ||
	    connect(s, (void *)&a, len) < 0 || accept4(server, NULL, NULL, SOCK_CLOEXEC) < 0 ||
	    setsockopt(s, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) < 0)
		err(2, "sockets");
	while (send(s, full, sizeof(full), MSG_DONTWAIT) > 0)
		;
	fd = hand_over(argv[1], s);
	if (fd < 0) {
		linger.l_onoff = 0; /* or the end of this process would wait */
		(void)setsockopt(s, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		errno = -fd;
		err(1, "%s", argv[1]);
	}
	close(s); /* not the last one */
	if (pwrite(fd, "/dev/null", 9, 0) < 0)
		err(1, "%s", argv[1]);
	return 0;
}
