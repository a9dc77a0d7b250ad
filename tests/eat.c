/*
 * tests/eat.c: uses memory. usage: eat [-c] [-x] KIND BYTES [FILE]
 *   KIND   anon, shm (a memfd), mlock, huge (pages of 2M), cache (writes FILE, and keeps it), read (reads FILE, dropped from cache before)
 *   -c     a child does it; the parent prints `child STATUS` (0, or -N for signal N) and goes on
 *   -x     exits 0 when done; else prints `ready` and sleeps for ever
 * BYTES takes K, M, G.
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/defs.h"
#include "base/units.h"

#define CHUNK (1u << 20)

static void touch(char *p, size_t len)
{
	for (size_t i = 0; i < len; i += 4096)
		p[i] = 1;
}

static void map(size_t len, int flags, int fd, bool lock)
{
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (p == MAP_FAILED)
		err(1, "mmap");
	if (lock && mlock(p, len) < 0)
		err(1, "mlock");
	touch(p, len);
}

static void eat_anon(size_t len, const char *file UNUSED)
{
	map(len, MAP_PRIVATE | MAP_ANONYMOUS, -1, false);
}

static void eat_mlock(size_t len, const char *file UNUSED)
{
	map(len, MAP_PRIVATE | MAP_ANONYMOUS, -1, true);
}

static void eat_huge(size_t len, const char *file UNUSED)
{
	map(len, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | 21 << 26, -1, false);
}

static void eat_shm(size_t len, const char *file UNUSED)
{
	int fd = memfd_create("eat", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)len) < 0)
		err(1, "memfd");
	map(len, MAP_SHARED, fd, false);
}

static void eat_cache(size_t len, const char *file)
{
	static char buf[CHUNK];
	int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		err(1, "%s", file);
	for (size_t done = 0; done < len; done += sizeof(buf))
		if (write(fd, buf, sizeof(buf)) < 0)
			err(1, "%s", file);
	if (fdatasync(fd) < 0)
		err(1, "%s", file);
}

static void eat_read(size_t len, const char *file)
{
	static char buf[CHUNK];
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t n = 1;

	if (fd < 0)
		err(1, "%s", file);
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	for (size_t done = 0; done < len && n > 0; done += (size_t)n)
		n = read(fd, buf, sizeof(buf));
	if (n < 0)
		err(1, "%s", file);
}

static const struct kind {
	const char *name;
	void (*eat)(size_t len, const char *file);
} kinds[] = {
	{ "anon", eat_anon },   { "cache", eat_cache }, { "huge", eat_huge },
	{ "mlock", eat_mlock }, { "read", eat_read },	{ "shm", eat_shm },
};

static void run(const struct kind *kind, size_t len, const char *file, bool child)
{
	pid_t pid = child ? fork() : 0;
	int status;

	if (pid < 0)
		err(1, "fork");
	if (pid == 0) {
		kind->eat(len, file);
		if (child)
			_exit(0);
		return;
	}
	if (waitpid(pid, &status, 0) < 0)
		err(1, "waitpid");
	printf("child %d\n", WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status));
}

int main(int argc, char **argv)
{
	bool child = false, leave = false;
	const struct kind *kind = NULL;
	uint64_t len;
	int opt;

	while ((opt = getopt(argc, argv, "+cx")) != -1) {
		child = child || opt == 'c';
		leave = leave || opt == 'x';
	}
	for (size_t i = 0; i < ARRAY_LEN(kinds) && argc - optind >= 2; i++)
		if (strcmp(argv[optind], kinds[i].name) == 0)
			kind = &kinds[i];
	if (kind == NULL || unit_bytes_parse(argv[optind + 1], &len) < 0)
		errx(2, "usage: eat [-c] [-x] KIND BYTES [FILE]");
	setvbuf(stdout, NULL, _IOLBF, 0);
	run(kind, len, argv[optind + 2] != NULL ? argv[optind + 2] : "eaten", child);
	if (leave)
		return 0;
	puts("ready");
	for (;;)
		pause();
}
