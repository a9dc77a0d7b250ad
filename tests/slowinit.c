/*
 * tests/slowinit.c: stands in for porto-init (daemon.init_path): waits until there is no file DIR/hold and becomes
 * DIR/porto-init. So a test can keep a container in state `starting`. It refuses to be the one that is forked for each start.
 * It gets no environment and runs from a copy in memory: DIR stands at the end of the program itself,
 * `printf '\0%s' DIR >>slowinit`.
 */
#include <err.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

#include "base/defs.h"

#define HOLD_USEC 10000

int main(int argc, char **argv)
{
	autoclose int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	char tail[PATH_MAX] = "", hold[PATH_MAX + 8], next[PATH_MAX + 16];
	const char *dir;
	ssize_t n;

	if (argc > 1)
		return 1;
	if (self < 0 || lseek(self, 1 - PATH_MAX, SEEK_END) < 0 || (n = read(self, tail, sizeof(tail) - 1)) < 0)
		err(1, "/proc/self/exe");
	dir = memrchr(tail, 0, (size_t)n);
	dir = dir ? dir + 1 : tail;
	snprintf(hold, sizeof(hold), "%s/hold", dir);
	snprintf(next, sizeof(next), "%s/porto-init", dir);
	while (access(hold, F_OK) == 0)
		usleep(HOLD_USEC);
	execv(next, argv);
	err(1, "%s", next);
}
