/*
 * tests/slowinit.c: stands in for porto-init (daemon.init_path): waits until there is no file DIR/hold and becomes
 * DIR/porto-init. So a test can keep a container in state `starting`. Forked for each start, as porto-init is, each of its children
 * does so.
 * It gets no environment and runs from a copy in memory: DIR stands at the end of the program itself,
 * `printf '\0%s' DIR >>slowinit`.
 */
#include <err.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

#include "base/defs.h"
#include "engine/init/init.h"

#define HOLD_USEC 10000

/* What stands at our own end. */
static const char *directory(char tail[PATH_MAX])
{
	autoclose int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	const char *dir;
	ssize_t n;

	if (self < 0 || lseek(self, 1 - PATH_MAX, SEEK_END) < 0 || (n = read(self, tail, PATH_MAX - 1)) < 0)
		err(1, "/proc/self/exe");
	dir = memrchr(tail, 0, (size_t)n);
	return dir ? dir + 1 : tail;
}

int main(int argc, char **argv)
{
	char tail[PATH_MAX] = "", hold[PATH_MAX + 8], next[PATH_MAX + 16];
	const char *dir = directory(tail);

	snprintf(hold, sizeof(hold), "%s/hold", dir);
	snprintf(next, sizeof(next), "%s/porto-init", dir);
	if (argc > 1)
		seed_wait();
	while (access(hold, F_OK) == 0)
		usleep(HOLD_USEC);
	argv[1] = NULL;
	execv(next, argv);
	err(1, "%s", next);
}
