/*
 * bench/opens.c: open + read + close of one file against the same of another.
 * usage: opens ROUNDS FILE FILE     prints: median usec of the first, of the second, ratio; a round is 200 of each
 */
#include "bench/bench.h"

#define BATCH 200

static double time_opens(const char *path)
{
	double start = now_usec();
	char buf[4096];

	for (int i = 0; i < BATCH; i++) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);

		if (fd < 0 || read(fd, buf, sizeof(buf)) < 0)
			err(1, "%s", path);
		close(fd);
	}
	return (now_usec() - start) / BATCH;
}

int main(int argc, char **argv)
{
	double *a, *b;
	size_t n, i;

	if (argc != 4)
		errx(2, "usage: opens ROUNDS FILE FILE");
	n = count_argument(argv[1]);
	a = calloc(n, sizeof(*a));
	b = calloc(n, sizeof(*b));
	if (!a || !b)
		err(1, NULL);
	for (i = 0; i < n; i++) {
		a[i] = time_opens(argv[2]);
		b[i] = time_opens(argv[3]);
	}
	print_pair(a, b, n);
	free(a);
	free(b);
	return 0;
}
