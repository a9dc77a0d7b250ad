/*
 * tests/init_driver.c: starts porto-init as the engine does, without the engine, and tells what it said.
 *
 *     init_driver [OPTION]... [WORD]...       the words are the operations
 *     -i FILE    porto-init (default: beside this program)
 *     -n LIST    new namespaces, comma separated: ipc mount net pid uts
 *     -f N=PATH  opens PATH as descriptor N (6 or more); created if missing
 *     -t N       the slave of a new terminal as descriptor N; what comes out of it is printed
 *     -x         leaves the last NUL of the operations out
 *     -s SIG     signals the process named by the `started` line, as seen from here, once it has started
 *     -S SIG     signals porto-init itself
 *     -b         leaves it running and prints `pid PID`
 *     -c COUNT   that many at once; prints microseconds until started (median) and bytes of PSS each, then kills them
 *
 * Prints the status line after the start, the sentence of a failure, what the command wrote, the status line after the
 * end, and `wait CODE` or `wait signal N`.
 */
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/init/proto.h"

struct extra {
	int n;
	const char *path;
};

struct driver {
	int image, status, output, terminal;
	char *ops;
	size_t ops_len;
	uint64_t flags;
	struct extra extra[8];
	int extras, terminal_n, sig, sig_init, count;
	int background, unended;
};

static void die(const char *what)
{
	perror(what);
	exit(99);
}

static uint64_t namespaces(char *list)
{
	static const struct {
		const char *name;
		uint64_t flag;
	} all[] = {
		{ "ipc", CLONE_NEWIPC }, { "mount", CLONE_NEWNS }, { "net", CLONE_NEWNET },
		{ "pid", CLONE_NEWPID }, { "uts", CLONE_NEWUTS },
	};
	uint64_t flags = 0;
	char *word;

	while ((word = strsep(&list, ","))) {
		for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
			if (!strcmp(all[i].name, word))
				flags |= all[i].flag;
		}
	}
	return flags;
}

/* A descriptor above the numbers that porto-init has for its own. */
static int high(int fd)
{
	int to = fcntl(fd, F_DUPFD_CLOEXEC, 100);

	if (to < 0)
		die("descriptor");
	close(fd);
	return to;
}

static int image_open(const char *path)
{
	char buf[65536];
	ssize_t n;
	int from = open(path, O_RDONLY | O_CLOEXEC), to = high(memfd_create("porto-init", MFD_CLOEXEC | MFD_ALLOW_SEALING));

	if (from < 0)
		die(path);
	while ((n = read(from, buf, sizeof(buf))) > 0) {
		if (write(to, buf, (size_t)n) != n)
			die("memfd");
	}
	close(from);
	fcntl(to, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	return to;
}

static void child(struct driver *d, int ops, int report)
{
	char *const none[] = { NULL };
	char *const argv[] = { (char *)"porto-init", NULL };

	for (int i = 0; i < d->extras; i++) {
		const char *path = d->extra[i].path;
		int fd = open(path, O_RDWR | O_CREAT | O_NOCTTY, 0644);

		if (fd < 0)
			fd = open(path, O_RDONLY);
		dup2(high(fd), d->extra[i].n);
	}
	if (d->terminal_n) {
		char name[64];

		if (ptsname_r(d->terminal, name, sizeof(name)))
			die("terminal");
		dup2(high(open(name, O_RDWR | O_NOCTTY)), d->terminal_n);
	}
	dup2(d->output, 1);
	dup2(d->output, 2);
	dup2(ops, INIT_OPS_FD);
	dup2(report, INIT_REPORT_FD);
	dup2(d->status, INIT_STATUS_FD);
	syscall(SYS_execveat, d->image, "", argv, none, AT_EMPTY_PATH);
	die("execveat");
}

static void pipe_high(int ends[2])
{
	if (pipe2(ends, O_CLOEXEC))
		die("pipe");
	ends[0] = high(ends[0]);
	ends[1] = high(ends[1]);
}

/* The list follows when the process is there, as the engine does it. */
static pid_t start(struct driver *d, int *report)
{
	struct clone_args args = { .flags = d->flags, .exit_signal = SIGCHLD };
	int ops[2], reports[2];

	pipe_high(ops);
	pipe_high(reports);
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid < 0)
		die("clone3");
	if (!pid)
		child(d, ops[0], reports[1]);
	close(ops[0]);
	close(reports[1]);
	for (size_t done = 0; done < d->ops_len;) {
		ssize_t n = write(ops[1], d->ops + done, d->ops_len - done);

		if (n < 0)
			die("operations");
		done += (size_t)n;
	}
	close(ops[1]);
	*report = reports[0];
	return pid;
}

/* Everything that can be read, up to the end (of a terminal: until its last slave is closed). */
static void copy_out(int from)
{
	char buf[4096];
	ssize_t n;

	while ((n = read(from, buf, sizeof(buf))) > 0)
		fwrite(buf, 1, (size_t)n, stdout);
}

/* Waits until porto-init closes its end. */
static void wait_report(int report)
{
	char byte;

	while (read(report, &byte, 1) > 0)
		;
	close(report);
}

/* first: after the start. A short command may have ended by now: then its `exited` says all that `started` did. */
static void print_status(const struct driver *d, int first)
{
	int pid, status;
	char buf[STATUS_SIZE + 1] = "";
	char *end;

	if (pread(d->status, buf, STATUS_SIZE, 0) < 0)
		die("status");
	if (buf[STATUS_LINE - 1] != '\n')
		printf("status line not ended\n");
	buf[STATUS_LINE - 1] = '\0';
	end = buf + strlen(buf);
	while (end > buf && end[-1] == ' ')
		*--end = '\0';
	if (first && sscanf(buf, "exited %d %d", &pid, &status) == 2)
		printf("started %d\n", pid);
	else
		printf("%s\n", buf);
	if (first && !strncmp(buf, "failed", 6))
		printf("%s\n", buf + STATUS_LINE);
}

/* The process that is PID in the pid namespace below pid: the child of porto-init. */
static pid_t command_of(pid_t init)
{
	char path[64], buf[32] = "";

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", init, init);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, buf, sizeof(buf) - 1) < 0)
		die(path);
	close(fd);
	return atoi(buf);
}

static long pss(pid_t pid)
{
	char path[64], line[128];
	long kb = 0;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Pss: %ld", &kb) == 1)
			break;
	}
	if (f)
		fclose(f);
	return kb;
}

static int by_value(const void *a, const void *b)
{
	const long *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int measure(struct driver *d)
{
	pid_t *pid = calloc((size_t)d->count, sizeof(*pid));
	long *usec = calloc((size_t)d->count, sizeof(*usec)), sum = 0;
	struct timespec a, b;
	int report;

	for (int i = 0; i < d->count; i++) {
		clock_gettime(CLOCK_MONOTONIC, &a);
		pid[i] = start(d, &report);
		wait_report(report);
		clock_gettime(CLOCK_MONOTONIC, &b);
		usec[i] = (b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000;
	}
	print_status(d, 1);
	qsort(usec, (size_t)d->count, sizeof(*usec), by_value);
	usleep(50000);
	for (int i = 0; i < d->count; i++)
		sum += pss(pid[i]);
	printf("usec %ld pss %ld\n", usec[d->count / 2], sum / d->count);
	for (int i = 0; i < d->count; i++) {
		if (!(d->flags & CLONE_NEWPID) && pss(pid[i]))
			kill(command_of(pid[i]), SIGKILL);
		kill(pid[i], SIGKILL);
		waitpid(pid[i], NULL, 0);
	}
	free(pid);
	free(usec);
	return 0;
}

static int run(struct driver *d)
{
	int report, status;
	pid_t pid = start(d, &report);

	wait_report(report);
	print_status(d, 1);
	if (d->background) {
		printf("pid %d\n", pid);
		return 0;
	}
	if (d->sig_init)
		kill(pid, d->sig_init);
	if (d->sig)
		kill(command_of(pid), d->sig);
	if (d->terminal_n)
		copy_out(d->terminal);
	if (waitpid(pid, &status, 0) < 0)
		die("wait");
	lseek(d->output, 0, SEEK_SET);
	copy_out(d->output);
	print_status(d, 0);
	if (WIFEXITED(status))
		printf("wait %d\n", WEXITSTATUS(status));
	else
		printf("wait signal %d\n", WTERMSIG(status));
	return 0;
}

static void ops_collect(struct driver *d, char **words, int count)
{
	for (int i = 0; i < count; i++) {
		size_t len = strlen(words[i]) + (d->unended && i + 1 == count ? 0 : 1);

		d->ops = realloc(d->ops, d->ops_len + len);
		if (!d->ops)
			die("memory");
		memcpy(d->ops + d->ops_len, words[i], len);
		d->ops_len += len;
	}
}

static void files_make(struct driver *d)
{
	d->output = high(memfd_create("output", MFD_CLOEXEC));
	d->status = high(memfd_create("status", MFD_CLOEXEC));
	dprintf(d->status, "%-*s\n", STATUS_LINE - 1, "starting");
	if (ftruncate(d->status, STATUS_SIZE))
		die("status");
}

static void extra_add(struct driver *d, const char *text)
{
	const char *path = strchr(text, '=');

	if (!path || d->extras == 8)
		die("-f");
	d->extra[d->extras++] = (struct extra){ .n = atoi(text), .path = path + 1 };
}

int main(int argc, char **argv)
{
	struct driver d = { 0 };
	char beside[4096];
	const char *image = beside;
	int c;

	snprintf(beside, sizeof(beside), "%.*sporto-init", (int)(strrchr(argv[0], '/') + 1 - argv[0]), argv[0]);
	while ((c = getopt(argc, argv, "+i:n:f:t:xs:S:bc:")) >= 0) {
		switch (c) {
		case 'i': image = optarg; break;
		case 'n': d.flags = namespaces(optarg); break;
		case 'f': extra_add(&d, optarg); break;
		case 't': d.terminal_n = atoi(optarg); break;
		case 'x': d.unended = 1; break;
		case 's': d.sig = atoi(optarg); break;
		case 'S': d.sig_init = atoi(optarg); break;
		case 'b': d.background = 1; break;
		case 'c': d.count = atoi(optarg); break;
		default: return 99;
		}
	}
	if (d.terminal_n) {
		d.terminal = high(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
		if (grantpt(d.terminal) || unlockpt(d.terminal))
			die("terminal");
	}
	d.image = high(image_open(image));
	ops_collect(&d, argv + optind, argc - optind);
	files_make(&d);
	setvbuf(stdout, NULL, _IONBF, 0);
	return d.count ? measure(&d) : run(&d);
}
