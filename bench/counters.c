/*
 * bench/counters.c: the least that reading these kernel files costs: each once by a descriptor that stays open.
 * usage: counters ROUNDS < NAMES     prints: median usec of a round
 */
#include "bench/bench.h"

#define FILES_MAX 100000u

static int fds[FILES_MAX];

static size_t open_all(void)
{
	char path[4096];
	size_t n = 0;

	while (n < FILES_MAX && fgets(path, sizeof(path), stdin)) {
		path[strcspn(path, "\n")] = 0;
		fds[n] = open(path, O_RDONLY | O_CLOEXEC);
		if (fds[n++] < 0)
			err(1, "%s", path);
	}
	return n;
}

static double time_round(size_t n)
{
	double start = now_usec();
	char buf[4096];

	for (size_t i = 0; i < n; i++)
		if (pread(fds[i], buf, sizeof(buf), 0) < 0)
			err(1, "read");
	return now_usec() - start;
}

int main(int argc, char **argv)
{
	size_t n, rounds;
	double *took;

	if (argc != 2)
		errx(2, "usage: counters ROUNDS < NAMES");
	rounds = count_argument(argv[1]);
	took = calloc(rounds, sizeof(*took));
	n = open_all();
	if (!took)
		err(1, NULL);
	time_round(n);
	for (size_t i = 0; i < rounds; i++)
		took[i] = time_round(n);
	printf("%.1f\n", median(took, rounds));
	free(took);
	return 0;
}
