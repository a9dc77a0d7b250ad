/*
 * bench/bench.h: what the measuring programs share. They know only the mounted files, time with CLOCK_MONOTONIC, and
 * always alternate the two sides, so that load on the machine hits both.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <err.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/defs.h"

extern char **environ;

static inline double now_usec(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static inline int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sorts v. */
static inline double median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), compare_doubles);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* Runs a command with /dev/null as its input and output and waits; it must succeed. */
static inline double time_command(char *const argv[])
{
	posix_spawn_file_actions_t to_null;
	double start = now_usec();
	int r, status;
	pid_t pid;

	posix_spawn_file_actions_init(&to_null);
	posix_spawn_file_actions_addopen(&to_null, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&to_null, 1, "/dev/null", O_WRONLY, 0);
	r = posix_spawnp(&pid, argv[0], &to_null, NULL, argv, environ);
	if (r) {
		errno = r;
		err(1, "%s", argv[0]);
	}
	if (waitpid(pid, &status, 0) < 0 || status)
		errx(1, "%s: wait status %d", argv[0], status);
	posix_spawn_file_actions_destroy(&to_null);
	return now_usec() - start;
}

/* The line bench/run reads: median of a, median of b, a/b. */
static inline void print_pair(double *a, double *b, size_t n)
{
	double ma = median(a, n), mb = median(b, n);

	printf("%.1f %.1f %.3f\n", ma, mb, ma / mb);
}

static inline size_t count_argument(const char *text)
{
	long n = strtol(text, NULL, 10);

	if (n < 1 || n > 1000000)
		errx(2, "not a number of rounds: %s", text);
	return (size_t)n;
}

#endif
