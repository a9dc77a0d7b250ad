/*
 * tests/polls.c: reads a file, polls it, and prints what poll says and what the file then holds, again and again.
 * usage: polls FILE TIMES MSEC     a line each: `ready VALUE`, `changed VALUE` (POLLPRI) or `timeout`
 * Before the first poll it prints `reading VALUE`. Where the read fails the value is `!` and why.
 * usage: polls FILE TIMES MSEC -   a stream: polls for POLLIN first, and reads on where it was
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>

#include "base/defs.h"

static void say(const char *what, int fd, bool is_stream)
{
	char buf[4096];
	ssize_t n = is_stream ? read(fd, buf, sizeof(buf) - 1) : pread(fd, buf, sizeof(buf) - 1, 0);

	if (n < 0)
		n = snprintf(buf, sizeof(buf), "!%s", strerror(errno));
	buf[n] = 0;
	buf[strcspn(buf, "\n")] = 0;
	printf("%s %s\n", what, buf);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	bool is_stream = argc == 5;
	struct pollfd p = { .events = is_stream ? POLLIN : POLLPRI };
	int r;

	if (argc != 4 && argc != 5)
		errx(2, "usage: polls FILE TIMES MSEC [-]");
	p.fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (p.fd < 0)
		err(1, "%s", argv[1]);
	if (!is_stream)
		say("reading", p.fd, false);
	for (int i = atoi(argv[2]); i > 0; i--) {
		r = poll(&p, 1, atoi(argv[3]));
		if (r < 0)
			err(1, "poll");
		if (r == 0)
			puts("timeout");
		else
			say(p.revents & POLLPRI ? "changed" : "ready", p.fd, is_stream);
		fflush(stdout);
	}
	return 0;
}
