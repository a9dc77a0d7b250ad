#include "layerstore/store/filter.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "layerstore/store/cage.h"
#include "layerstore/store/whiteout.h"

#define END_MSEC 200

static _Noreturn void be_filter(int program, char *const argv[], const int fds[3], pid_t parent)
{
	static char *const env[] = { "PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", NULL };
	sigset_t none;
	int high[4];
	struct err err = {};
	for (int i = 0; i < 4; i++) /* first out of each other's way */
		high[i] = fcntl(i < 3 ? fds[i] : program, F_DUPFD_CLOEXEC, 16);
	for (int i = 0; i < 3; i++)
		if (dup2(high[i], i) < 0)
			_exit(126);
	for (int fd = 3; fd < 16; fd++)
		close(fd);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (cage_filter(parent, &err) == 0) {
		execveat(high[3], "", argv, env, AT_EMPTY_PATH);
		err_sys(&err, errno, "%s", argv[0]);
	}
	dprintf(2, "%s\n", err.text);
	_exit(127);
}

int filter_start(struct filter *f, const char *program, char *const argv[], int in, int out, struct err *err)
{
	int errors[2];
	pid_t parent = getpid();
	autoclose int fd = open(program, O_PATH | O_CLOEXEC);
	*f = (struct filter){ .program = program, .errors = -1 };
	if (fd < 0)
		return err_set(err, ERR_NotSupported, "%s is missing (Debian package squashfs-tools-ng)", program);
	if (pipe2(errors, O_CLOEXEC | O_NONBLOCK) < 0) /* it never waits for us to read */
		return err_sys(err, errno, "no pipe");
	const int fds[3] = { in, out, errors[1] };
	f->pid = fork();
	if (f->pid == 0)
		be_filter(fd, argv, fds, parent);
	close(errors[1]);
	f->errors = errors[0];
	return f->pid < 0 ? err_sys(err, errno, "no process for %s", program) : 0;
}

static int reap(struct filter *f)
{
	int status = 0;
	while (waitpid(f->pid, &status, 0) < 0 && errno == EINTR)
		;
	f->pid = 0;
	return status;
}

int filter_wait(struct filter *f, struct err *err)
{
	char said[256], shown[512];
	int status = reap(f);
	ssize_t n = read(f->errors, said, sizeof(said) - 1);
	close(f->errors);
	f->errors = -1;
	if (status == 0)
		return 0;
	said[MAX(n, 0)] = 0;
	said[strcspn(said, "\n")] = 0;
	return err_set(err, ERR_InvalidValue, "%s failed: %s", f->program,
		       *said ? name_show(said, shown, sizeof(shown)) : "it didn't say why");
}

bool filter_has_ended(const struct filter *f)
{
	autoclose int fd = f->pid > 0 ? pidfd_open(f->pid, 0) : -1;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	return fd >= 0 && poll(&p, 1, END_MSEC) > 0;
}

void filter_kill(struct filter *f)
{
	if (f->pid > 0) {
		kill(f->pid, SIGKILL);
		reap(f);
	}
	if (f->program && f->errors >= 0)
		close(f->errors);
	*f = (struct filter){ .errors = -1 };
}
