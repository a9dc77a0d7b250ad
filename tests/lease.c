/*
 * tests/lease.c: has a write lease on a file, so that whoever opens it waits, and doesn't give it back.
 * usage: lease FILE     prints `leased`, stays until it is killed, two minutes at most
 */
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

#include "base/defs.h"

int main(int argc, char **argv)
{
	int fd;

	if (argc != 2)
		errx(2, "usage: lease FILE");
	alarm(120); /* should the test have failed */
	signal(SIGIO, SIG_IGN);
	fd = open(argv[1], O_RDWR | O_CLOEXEC);
	if (fd < 0 || fcntl(fd, F_SETLEASE, F_WRLCK) < 0)
		err(1, "%s", argv[1]);
	puts("leased");
	fflush(stdout);
	for (;;)
		pause();
}
