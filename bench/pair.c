/*
 * bench/pair.c: two commands, one after the other, over and over.
 * usage: pair ROUNDS COMMAND... -- COMMAND...     prints: median usec of the first, of the second, ratio
 */
#include "bench/bench.h"

int main(int argc, char **argv)
{
	double *a, *b;
	size_t n, i;
	int split = 2;

	while (split < argc && strcmp(argv[split], "--") != 0)
		split++;
	if (split <= 2 || split + 1 >= argc)
		errx(2, "usage: pair ROUNDS COMMAND... -- COMMAND...");
	argv[split] = NULL;
	n = count_argument(argv[1]);
	a = calloc(n, sizeof(*a));
	b = calloc(n, sizeof(*b));
	if (!a || !b)
		err(1, NULL);
	time_command(argv + 2);
	time_command(argv + split + 1);
	for (i = 0; i < n; i++) {
		a[i] = time_command(argv + 2);
		b[i] = time_command(argv + split + 1);
	}
	print_pair(a, b, n);
	free(a);
	free(b);
	return 0;
}
