/*
 * ringer put CHUNK PROGRAM ARGUMENTS...: starts porto-store with a ring and does what the worker does with the writes
 * of a client: puts standard input in pieces of CHUNK bytes, each answered (the next one begins) when it is consumed.
 * At its end it says so, as a closed file does. Prints "put OFFSET ERRNO" of the first write that fails, or "put BYTES
 * whole" if the work was done with the last write, or "put BYTES closed". ringer get CHUNK PROGRAM ARGUMENTS...:
 * standard output gets the stream. ringer leave CHUNK ...: reads one piece and goes away. Exits with the program's
 * status.
 */
#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "layerstore/ring.h"

#define RING_AT 10

static pid_t start(const struct ring *r, char **argv)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;
	posix_spawn_file_actions_init(&actions);
	for (int i = 0; i < RING_FDS; i++)
		posix_spawn_file_actions_adddup2(&actions, ring_fds(r)[i], RING_AT + i);
	if (posix_spawn(&pid, argv[0], &actions, NULL, argv, environ) != 0)
		errx(2, "%s doesn't start", argv[0]);
	posix_spawn_file_actions_destroy(&actions);
	return pid;
}

/* As the loop of the worker does, which would also hear of the program's death. */
static void wait_ring(struct ring *r, pid_t pid)
{
	struct pollfd p = { .fd = ring_wake_fd(r), .events = POLLIN };
	siginfo_t gone = {};
	int n = poll(&p, 1, 100);
	if (n > 0)
		ring_drain(r);
	if (n == 0 && waitid(P_PID, (id_t)pid, &gone, WEXITED | WNOHANG | WNOWAIT) == 0 && gone.si_pid == pid &&
	    ring_outcome(r) == 0)
		errx(3, "the program is gone");
}

/* One write of a client. 0 or -errno. */
static int client_write(struct ring *r, pid_t pid, uint64_t off, const char *buf, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = ring_put(r, off + done, buf + done, len - done);
		if (n < 0 && n != -EAGAIN)
			return (int)n;
		if (n > 0)
			done += (size_t)n;
		else
			wait_ring(r, pid);
	}
	while (!ring_is_consumed(r, off + len))
		wait_ring(r, pid);
	int outcome = ring_outcome(r);
	return MIN(outcome, 0);
}

static void put(struct ring *r, pid_t pid, size_t chunk)
{
	autofree char *buf = malloc(chunk);
	uint64_t off = 0;
	for (;;) {
		size_t n = 0;
		ssize_t got;
		while (n < chunk && (got = read(0, buf + n, chunk - n)) > 0)
			n += (size_t)got;
		if (n == 0)
			break;
		int e = client_write(r, pid, off, buf, n);
		if (e < 0) {
			printf("put %llu %s\n", (unsigned long long)off, strerrorname_np(-e));
			return;
		}
		off += n;
	}
	printf("put %llu %s\n", (unsigned long long)off, ring_outcome(r) == 1 ? "whole" : "closed");
	ring_end(r);
}

static void get(struct ring *r, pid_t pid, size_t chunk, bool leave)
{
	autofree char *buf = malloc(chunk);
	uint64_t off = 0;
	for (;;) {
		ssize_t n = ring_get(r, off, buf, chunk);
		if (n == -EAGAIN) {
			wait_ring(r, pid);
			continue;
		}
		if (n <= 0)
			break;
		if (fd_write_all(1, buf, (size_t)n) < 0)
			err(2, "standard output");
		off += (uint64_t)n;
		if (leave)
			break;
	}
	if (leave)
		ring_leave(r);
}

int main(int argc, char **argv)
{
	struct ring *r = NULL;
	int status;
	if (argc < 4 || ring_create(&r) < 0)
		errx(2, "usage: ringer put|get|leave CHUNK PROGRAM ARGUMENTS...");
	size_t chunk = strtoul(argv[2], NULL, 10);
	pid_t pid = start(r, argv + 3);
	if (strcmp(argv[1], "put") == 0)
		put(r, pid, chunk);
	else
		get(r, pid, chunk, strcmp(argv[1], "leave") == 0);
	if (waitpid(pid, &status, 0) < 0)
		err(2, "waitpid");
	ring_free(r);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
