/*
 * tests/hammer.c: clients that must not notice what happens to the daemon meanwhile: any error, a write that is lost and
 * a write that is done twice are counted.
 * usage: hammer MOUNT THREADS SECONDS     prints: errors, rounds, longest single operation in msec; exit 1 on errors
 * Each thread makes, fills and removes containers named hammer-PID-N.
 */
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/defs.h"
#include "base/proc.h"

#define THREADS_MAX 64
#define WORDS 8

struct client {
	pthread_t thread;
	const char *mount;
	int number;
	uint64_t until, before, longest;
	unsigned long rounds, errors;
	int kept; /* a descriptor that stays open all the time */
};

static void lap(struct client *c)
{
	uint64_t now = clock_mono();

	c->longest = MAX(c->longest, now - c->before);
	c->before = now;
}

static void PRINTF_LIKE(2, 3) complain(struct client *c, const char *fmt, ...)
{
	char text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	c->errors++;
	warn("client %d: %s", c->number, text);
}

static int open_file(struct client *c, const char *name, int flags)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/hammer-%d-%d/%s", c->mount, (int)getpid(), c->number, name);
	fd = open(path, flags | O_CLOEXEC);
	if (fd < 0)
		complain(c, "open %s", name);
	lap(c);
	return fd;
}

static void put(struct client *c, const char *name, const char *text, int flags)
{
	autoclose int fd = open_file(c, name, O_WRONLY | flags);

	if (fd >= 0 && write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		complain(c, "write %s", name);
	lap(c);
}

static void want(struct client *c, const char *name, const char *text)
{
	autoclose int fd = open_file(c, name, O_RDONLY);
	char buf[4096];
	ssize_t n;

	if (fd < 0)
		return;
	n = read(fd, buf, sizeof(buf) - 1);
	if (n < 0) {
		complain(c, "read %s", name);
		return;
	}
	buf[n] = 0;
	errno = 0;
	if (strcmp(buf, text) != 0)
		complain(c, "%s is '%s', expected '%s'", name, buf, text);
	lap(c);
}

/* mkdir and rmdir done twice would say EEXIST and ENOENT; an entry added twice would be there twice. */
static void run_round(struct client *c)
{
	char dir[256], value[64], words[256] = "", word[16], byte;
	size_t len = 0;

	snprintf(dir, sizeof(dir), "%s/hammer-%d-%d", c->mount, (int)getpid(), c->number);
	if (mkdir(dir, 0755) < 0)
		complain(c, "mkdir");
	lap(c);
	snprintf(value, sizeof(value), "round %lu\n", c->rounds);
	put(c, "private", value, O_TRUNC);
	want(c, "private", value);
	for (int i = 0; i < WORDS; i++) {
		snprintf(word, sizeof(word), "w%d\n", i);
		put(c, "command_argv", word, O_APPEND);
		len += (size_t)snprintf(words + len, sizeof(words) - len, "%sw%d", i ? "\t" : "", i);
	}
	snprintf(words + len, sizeof(words) - len, "\n");
	want(c, "command_argv", words);
	want(c, "state", "stopped\n");
	if (pread(c->kept, &byte, 1, 0) != 1)
		complain(c, "pread of what was open before");
	lap(c);
	if (rmdir(dir) < 0)
		complain(c, "rmdir");
	lap(c);
	c->rounds++;
}

static void *client_run(void *arg)
{
	struct client *c = arg;
	char path[256];

	snprintf(path, sizeof(path), "%s/.porto/version", c->mount);
	c->before = clock_mono();
	c->kept = open(path, O_RDONLY | O_CLOEXEC);
	while (clock_mono() < c->until)
		run_round(c);
	close(c->kept);
	return NULL;
}

int main(int argc, char **argv)
{
	static struct client clients[THREADS_MAX];
	unsigned long errors = 0, rounds = 0;
	uint64_t longest = 0, until;
	int n;

	if (argc != 4 || (n = atoi(argv[2])) < 1 || n > THREADS_MAX)
		errx(2, "usage: hammer MOUNT THREADS SECONDS");
	until = clock_mono() + (uint64_t)(strtod(argv[3], NULL) * 1e9);
	for (int i = 0; i < n; i++) {
		clients[i] = (struct client){ .mount = argv[1], .number = i, .until = until };
		if (pthread_create(&clients[i].thread, NULL, client_run, &clients[i]) != 0)
			errx(2, "no thread");
	}
	for (int i = 0; i < n; i++) {
		pthread_join(clients[i].thread, NULL);
		errors += clients[i].errors;
		rounds += clients[i].rounds;
		longest = MAX(longest, clients[i].longest);
	}
	printf("%lu %lu %.1f\n", errors, rounds, (double)longest / 1e6);
	return errors || !rounds;
}
