/*
 * bench/stall.c: clients that read one file each without pause, and what they notice of what happens meanwhile.
 * usage: stall SECONDS FILE...     prints: errors, reads, longest single open+read+close in msec
 */
#include <pthread.h>

#include "bench/bench.h"

struct client {
	pthread_t thread;
	const char *path;
	double until, longest;
	unsigned long reads, errors;
};

static void *client_run(void *arg)
{
	struct client *c = arg;
	double before = now_usec(), after;
	char buf[4096];

	while (before < c->until) {
		int fd = open(c->path, O_RDONLY | O_CLOEXEC);

		if (fd < 0 || read(fd, buf, sizeof(buf)) <= 0) {
			c->errors++;
			warn("%s", c->path);
		}
		if (fd >= 0)
			close(fd);
		after = now_usec();
		c->reads++;
		c->longest = MAX(c->longest, after - before);
		before = after;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned long reads = 0, errors = 0;
	struct client *c;
	double longest = 0, until;
	int n = argc - 2;

	if (n < 1)
		errx(2, "usage: stall SECONDS FILE...");
	until = now_usec() + strtod(argv[1], NULL) * 1e6;
	c = calloc((size_t)n, sizeof(*c));
	if (!c)
		err(1, NULL);
	for (int i = 0; i < n; i++) {
		c[i].path = argv[i + 2];
		c[i].until = until;
		if (pthread_create(&c[i].thread, NULL, client_run, &c[i]) != 0)
			errx(1, "no thread");
	}
	for (int i = 0; i < n; i++) {
		pthread_join(c[i].thread, NULL);
		reads += c[i].reads;
		errors += c[i].errors;
		longest = MAX(longest, c[i].longest);
	}
	printf("%lu %lu %.1f\n", errors, reads, longest / 1e3);
	free(c);
	return 0;
}
