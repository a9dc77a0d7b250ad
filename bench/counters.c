/*
 * bench/counters.c: the least that reading these kernel files costs: each once by a descriptor that stays open.
 * usage: counters ROUNDS < NAMES     prints: median usec of a round
 */
#include "bench/bench.h"

static int *open_all(size_t *n)
{
	char path[4096];
	int *fds = NULL;

	for (*n = 0; fgets(path, sizeof(path), stdin); ++*n) {
		if ((*n & (*n - 1)) == 0)
			fds = reallocarray(fds, *n ? *n * 2 : 1, sizeof(*fds));
		if (!fds)
			err(1, NULL);
		path[strcspn(path, "\n")] = 0;
		fds[*n] = open(path, O_RDONLY | O_CLOEXEC);
		if (fds[*n] < 0)
			err(1, "%s", path);
	}
	return fds;
}

static double time_round(const int *fds, size_t n)
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
	int *fds;

	if (argc != 2)
		errx(2, "usage: counters ROUNDS < NAMES");
	rounds = count_argument(argv[1]);
	took = calloc(rounds, sizeof(*took));
	fds = open_all(&n);
	if (!took || !fds)
		err(1, NULL);
	time_round(fds, n);
	for (size_t i = 0; i < rounds; i++)
		took[i] = time_round(fds, n);
	printf("%.1f\n", median(took, rounds));
	free(took);
	free(fds);
	return 0;
}
