/*
 * bench/counters.c: a command against the least that reading kernel files costs: each once by a descriptor that stays open.
 * usage: counters ROUNDS COMMAND... < NAMES     prints: median usec of the command, of reading the files, ratio
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
	double *command, *least;
	size_t n, files;

	if (argc < 3)
		errx(2, "usage: counters ROUNDS COMMAND... < NAMES");
	n = count_argument(argv[1]);
	command = calloc(n, sizeof(*command));
	least = calloc(n, sizeof(*least));
	if (!command || !least)
		err(1, NULL);
	files = open_all();
	time_command(argv + 2);
	time_round(files);
	for (size_t i = 0; i < n; i++) {
		command[i] = time_command(argv + 2);
		least[i] = time_round(files);
	}
	print_pair(command, least, n);
	free(command);
	free(least);
	return 0;
}
