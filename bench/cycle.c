/*
 * bench/cycle.c: a container's whole life through the tree, with plain system calls, against a command that does the same.
 * usage: cycle ROOT ROUNDS SPEC COMMAND...     prints: median usec here, of the command, ratio
 *        cycle ROOT ROUNDS SPEC --net NET      what net = NET adds to it: usec, what a bare CLONE_NEWNET adds to a fork, ratio
 */
#include <sched.h>
#include <sys/wait.h>

#include "bench/bench.h"

static int dir; /* the mounted tree */

static void write_file(const char *name, const char *text)
{
	int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		err(1, "%s", name);
	close(fd);
}

static void expect(const char *name, const char *text)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	char buf[64];
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);

	if (n < 0)
		err(1, "%s", name);
	close(fd);
	buf[n] = 0;
	if (strcmp(buf, text) != 0)
		errx(1, "%s is '%s', expected '%s'", name, buf, text);
}

static double time_cycle(const char *spec)
{
	double start = now_usec();

	if (mkdirat(dir, "bench", 0755) < 0)
		err(1, "mkdir bench");
	write_file("bench/spec", spec);
	write_file("bench/state", "start\n");
	expect("bench/wait", "dead\n");
	expect("bench/exit_code", "0\n");
	if (unlinkat(dir, "bench", AT_REMOVEDIR) < 0)
		err(1, "rmdir bench");
	return now_usec() - start;
}

static double time_fork(int flags)
{
	double start = now_usec();
	pid_t pid = fork();

	if (pid == 0)
		_exit(flags && unshare(flags) < 0);
	if (pid < 0 || waitpid(pid, NULL, 0) < 0)
		err(1, "fork");
	return now_usec() - start;
}

static int net_adds(const char *spec, const char *net, size_t n)
{
	double *with = calloc(n, sizeof(*with)), *without = calloc(n, sizeof(*without)), *bare = calloc(n, sizeof(*bare)),
	       *plain = calloc(n, sizeof(*plain));
	double added, bare_added;
	char *more;

	if (!with || !without || !bare || !plain || asprintf(&more, "%snet = %s\n%s", spec, net, *net == 'L' ? "ip = veth 10.11.0.9\n" : "") < 0)
		err(1, NULL);
	for (size_t i = 0; i < n; i++) {
		with[i] = time_cycle(more);
		without[i] = time_cycle(spec);
		bare[i] = time_fork(CLONE_NEWNET);
		plain[i] = time_fork(0);
	}
	added = median(with, n) - median(without, n);
	bare_added = median(bare, n) - median(plain, n);
	printf("%.1f %.1f %.3f\n", added, bare_added, added / bare_added);
	free(more);
	free(with);
	free(without);
	free(bare);
	free(plain);
	return 0;
}

int main(int argc, char **argv)
{
	double *ours, *theirs;
	size_t n, i;

	if (argc < 5)
		errx(2, "usage: cycle ROOT ROUNDS SPEC COMMAND...");
	dir = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		err(1, "%s", argv[1]);
	n = count_argument(argv[2]);
	if (argc == 6 && strcmp(argv[4], "--net") == 0)
		return net_adds(argv[3], argv[5], n);
	ours = calloc(n, sizeof(*ours));
	theirs = calloc(n, sizeof(*theirs));
	if (!ours || !theirs)
		err(1, NULL);
	time_cycle(argv[3]);
	time_command(argv + 4);
	for (i = 0; i < n; i++) {
		ours[i] = time_cycle(argv[3]);
		theirs[i] = time_command(argv + 4);
	}
	print_pair(ours, theirs, n);
	free(ours);
	free(theirs);
	return 0;
}
