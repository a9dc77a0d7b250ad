/*
 * tests/waiters.c: readers that wait, as many as a user may have, and more.
 * usage: waiters FILE COUNT REFUSED     starts COUNT readers of FILE; when REFUSED of them have heard EAGAIN it prints
 * `refused REFUSED` and stays, with all who wait, until it is killed. Any other answer is printed and ends it.
 */
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/defs.h"

#define STACK (64u << 10)

static const char *path;
static atomic_int refused, wanted;

static void *reader(void *arg)
{
	char buf[64];
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		err(1, "%s", path);
	if (read(fd, buf, sizeof(buf)) >= 0 || errno != EAGAIN)
		err(1, "read");
	if (atomic_fetch_add(&refused, 1) + 1 == wanted) {
		printf("refused %d\n", wanted);
		fflush(stdout);
	}
	return arg;
}

int main(int argc, char **argv)
{
	pthread_attr_t attr;

	if (argc != 4)
		errx(2, "usage: waiters FILE COUNT REFUSED");
	path = argv[1];
	wanted = atoi(argv[3]);
	alarm(120); /* should the test have failed */
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	for (int i = atoi(argv[2]); i > 0; i--) {
		pthread_t thread;

		errno = pthread_create(&thread, &attr, reader, NULL);
		if (errno)
			err(1, "thread");
	}
	for (;;)
		pause();
}
