/*
 * bench/boot.c: a system's start as an os container, against a command that boots the same root and ends on SIGTERM.
 * usage: boot ROOT ROUNDS SPEC FILE COMMAND...     prints: median usec until FILE is there, here, of the command, ratio
 * FILE is what a unit in the root makes when all is up. Stopping is not measured.
 */
#include <signal.h>
#include <sys/wait.h>

#include "bench/bench.h"

#define BOOT_SEC 60 /* a loaded machine, not a broken system */

static int dir; /* the mounted tree */

static void write_file(const char *name, const char *text)
{
	int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		err(1, "%s", name);
	close(fd);
}

static double until_there(const char *file, double start)
{
	const struct timespec pause = { .tv_nsec = 500000 };

	while (access(file, F_OK) < 0) {
		if (now_usec() - start > BOOT_SEC * 1e6)
			errx(1, "no %s after %d s", file, BOOT_SEC);
		nanosleep(&pause, NULL);
	}
	return now_usec() - start;
}

static double boot_here(const char *spec, const char *file)
{
	double took, start;

	unlink(file);
	start = now_usec();
	if (mkdirat(dir, "boot", 0755) < 0)
		err(1, "mkdir boot");
	write_file("boot/spec", spec);
	write_file("boot/state", "start\n");
	took = until_there(file, start);
	write_file("boot/state", "destroy\n");
	return took;
}

static double boot_there(char *const argv[], const char *file)
{
	posix_spawn_file_actions_t to_null;
	double took, start;
	int r, status;
	pid_t pid;

	unlink(file);
	posix_spawn_file_actions_init(&to_null);
	posix_spawn_file_actions_addopen(&to_null, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&to_null, 1, "/dev/null", O_WRONLY, 0);
	start = now_usec();
	r = posix_spawnp(&pid, argv[0], &to_null, NULL, argv, environ);
	if (r) {
		errno = r;
		err(1, "%s", argv[0]);
	}
	took = until_there(file, start);
	if (kill(pid, SIGTERM) < 0 || waitpid(pid, &status, 0) < 0)
		err(1, "%s", argv[0]);
	posix_spawn_file_actions_destroy(&to_null);
	return took;
}

int main(int argc, char **argv)
{
	double *ours, *theirs;
	size_t n, i;

	if (argc < 6)
		errx(2, "usage: boot ROOT ROUNDS SPEC FILE COMMAND...");
	dir = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		err(1, "%s", argv[1]);
	n = count_argument(argv[2]);
	ours = calloc(n, sizeof(*ours));
	theirs = calloc(n, sizeof(*theirs));
	if (!ours || !theirs)
		err(1, NULL);
	boot_here(argv[3], argv[4]);
	boot_there(argv + 5, argv[4]);
	for (i = 0; i < n; i++) {
		ours[i] = boot_here(argv[3], argv[4]);
		theirs[i] = boot_there(argv + 5, argv[4]);
	}
	print_pair(ours, theirs, n);
	free(ours);
	free(theirs);
	return 0;
}
