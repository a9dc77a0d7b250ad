#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "engine/init/init.h"

/* What the child says on the pipe before the kernel closes it: 'x', execve comes next; 'f', the start has failed. */
#define SYNC_FD INIT_OPS_FD /* the parent's end takes the place of the operations */

static void signals_all(void (*handler)(int))
{
	for (int sig = 1; sig <= SIGRTMAX; sig++) {
		if (sig != SIGKILL && sig != SIGSTOP && sig != SIGTERM && sig != SIGCHLD)
			signal(sig, handler);
	}
}

static void mask_empty(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/*
 * Nothing that is meant for the command, or for a terminal's foreground group we happen to be in, may end us: the exit
 * status would be lost. SIGTERM still works on a helper outside of a pid namespace. SIGCHLD must not be ignored, as it
 * may have been by our parent: the kernel would throw the statuses away.
 */
void signals_ignore(void)
{
	signals_all(SIG_IGN);
	signal(SIGTERM, SIG_DFL);
	signal(SIGCHLD, SIG_DFL);
	mask_empty();
}

void signals_reset(void)
{
	signals_all(SIG_DFL);
	mask_empty();
}

/*
 * Unmaps the pages of our program that the start has used and waiting will not: all of it otherwise counts as ours. What
 * is used again comes back from the file. Never the writable part, whose pages are not in the file.
 */
static void forget_program(void)
{
	const ElfW(Phdr) *part = (const void *)getauxval(AT_PHDR);
	unsigned long page = getauxval(AT_PAGESZ);

	for (unsigned long n = getauxval(AT_PHNUM); n > 0; n--, part++) {
		if (part->p_type == PT_LOAD && !(part->p_flags & PF_W)) {
			unsigned long start = part->p_vaddr & -page;

			madvise((void *)start, part->p_vaddr + part->p_memsz - start, MADV_DONTNEED);
		}
	}
}

/* Keeps nothing of the start alive: descriptors are pipes of clients, a directory is a mount, the words hold secrets. */
static void shed(struct init *in)
{
	close_range(INIT_FIRST_FREE_FD, ~0U, 0);
	close_range(0, 2, 0);
	if (in->ops)
		munmap(in->ops, in->room);
	(void)!chdir("/");
}

/* In a user namespace nobody is to be the host's root any more, not even we. */
static void forget_host(const struct init *in)
{
	if (in->entered && (setresgid(0, 0, 0) || setresuid(0, 0, 0)))
		_exit(EXIT_FAILURE);
}

/* Reaps whatever ends until the command does; gives its status. */
static int reap_until(pid_t command)
{
	int status;
	pid_t pid;

	do
		pid = waitpid(-1, &status, __WALL);
	while (pid != command);
	return status;
}

/* The child has ended without saying why: it was killed. */
static void report_killed(int status)
{
	char buf[24], text[80];
	const char *signal_text = number_format(buf, WTERMSIG(status));

	stpcpy(mempcpy(text, "exec: killed before it by signal ", 33), signal_text);
	status_failed(ERR_Unknown, EINTR, text);
}

static _Noreturn void stay(struct init *in, pid_t command, int sync)
{
	char said[2];
	ssize_t got;
	int status;

	dup3(sync, SYNC_FD, O_CLOEXEC);
	shed(in);
	forget_host(in);
	rights_shed(in);

	/* Asking for no event but the hang-up: what the child writes must not wake us before it is through. */
	struct pollfd hangup = { .fd = SYNC_FD };
	while (poll(&hangup, 1, -1) < 0)
		;
	got = read(SYNC_FD, said, sizeof(said));
	if (got != 1 || said[0] != 'x') {
		status = reap_until(command);
		if (got <= 0)
			report_killed(status);
		_exit(EXIT_FAILURE);
	}
	status_started(command);
	close(INIT_REPORT_FD);
	close(SYNC_FD);
	forget_program();

	status = reap_until(command);
	status_exited(command, status);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* Outside of a pid namespace of its own, orphans of the container come to us only if we ask for them. */
static int adopt_orphans(struct init *in)
{
	if (getpid() != 1 && prctl(PR_SET_CHILD_SUBREAPER, 1))
		return init_fail_sys(in, errno, "can't become a sub-reaper");
	return 0;
}

int op_fork(struct init *in, char **arg UNUSED)
{
	int sync[2];
	pid_t pid;

	if (in->role != INIT_ALONE)
		return init_fail_list(in, "only once", "");
	if (adopt_orphans(in))
		return -1;
	if (pipe2(sync, O_CLOEXEC))
		return init_fail_sys(in, errno, "no pipe");
	/* Not vfork: what the child touches on its way (wordexp, say) would stay in our memory. */
	pid = fork();
	if (pid < 0)
		return init_fail_sys(in, errno, "no process");
	if (pid > 0)
		stay(in, pid, sync[0]);
	close(INIT_REPORT_FD);
	close(sync[0]);
	in->sync_fd = sync[1];
	in->role = INIT_CHILD;
	return 0;
}

int op_become(struct init *in, char **arg UNUSED)
{
	if (in->role != INIT_ALONE)
		return init_fail_list(in, "only once, and not after fork", "");
	in->role = INIT_BECOMES;
	return 0;
}

/* A meta container: the kernel reaps for us, we are only there to hold the namespaces. */
void stay_alone(struct init *in)
{
	if (adopt_orphans(in)) {
		status_failed(in->kind, in->no, in->text);
		_exit(EXIT_FAILURE);
	}
	signal(SIGCHLD, SIG_IGN);
	close(INIT_OPS_FD);
	shed(in);
	forget_host(in);
	rights_shed(in);
	status_started(0);
	close(INIT_STATUS_FD);
	forget_program();
	close(INIT_REPORT_FD);
	for (;;)
		pause();
}
