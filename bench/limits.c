/*
 * bench/limits.c: a limit written to a property of a running container against what cannot be saved: the same written to
 * the cgroup's own file, and a round trip through FUSE (open + read + close of a file that does nothing).
 * usage: limits ROUNDS PROPERTY CGROUP-FILE FUSE-FILE
 * prints: median usec of the first, of the sum, ratio; a round is 50 of each. CGROUP-FILE is cpu.cfs_quota_us or cpu.max.
 */
#include "bench/bench.h"

#define BATCH 50

/* Another value each time: one that is in force already would not be written. */
static double time_writes(const char *path, const char *even, const char *odd)
{
	double start = now_usec();

	for (int i = 0; i < BATCH; i++) {
		const char *text = i % 2 ? odd : even;
		ssize_t len = (ssize_t)strlen(text);
		int fd = open(path, O_WRONLY | O_CLOEXEC);

		if (fd < 0 || write(fd, text, (size_t)len) != len)
			err(1, "%s", path);
		close(fd);
	}
	return (now_usec() - start) / BATCH;
}

static double time_trips(const char *path)
{
	double start = now_usec();
	char buf[256];

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

	if (argc != 5)
		errx(2, "usage: limits ROUNDS PROPERTY CGROUP-FILE FUSE-FILE");
	n = count_argument(argv[1]);
	a = calloc(n, sizeof(*a));
	b = calloc(n, sizeof(*b));
	if (!a || !b)
		err(1, NULL);
	for (i = 0; i < n; i++) {
		a[i] = time_writes(argv[2], "0.5c\n", "0.75c\n");
		b[i] = time_writes(argv[3], "60000\n", "70000\n") + time_trips(argv[4]);
	}
	print_pair(a, b, n);
	free(a);
	free(b);
	return 0;
}
