/* Processes by pidfd. */
#include "base/proc.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/unit/unit.h"

static int count_children(void *arg, UNUSED pid_t child)
{
	++*(int *)arg;
	return 0;
}

static int find_child(void *arg, pid_t child)
{
	return child == *(pid_t *)arg ? 7 : 0;
}

static pid_t child_of_thread;
static int ready_pipe[2], end_pipe[2];

/* Forks, tells, and stays until it is told to end: the child of a thread that has ended is another's. */
static void *thread_with_child(UNUSED void *arg)
{
	char c = 'x';

	child_of_thread = fork();
	if (child_of_thread == 0) {
		pause();
		_exit(0);
	}
	if (write(ready_pipe[1], &c, 1) == 1 && read(end_pipe[0], &c, 1) < 0)
		perror("read");
	return NULL;
}

static void test_self(void)
{
	uint64_t start = 0, again = 0;
	char id[37], other[37];
	pid_t inner = 0;
	int fd;

	unit_ok(proc_start_time(getpid(), &start) == 0 && start > 0, "proc_start_time");
	/* Parentheses and blanks in the name must not confuse the fields. */
	prctl(PR_SET_NAME, ") S 1 2 (3");
	unit_ok(proc_start_time(getpid(), &again) == 0 && again == start && proc_parent(getpid()) == getppid(),
		"a name that looks like fields");
	fd = proc_open(getpid(), start);
	unit_ok(fd >= 0 && !proc_is_gone(fd) && (fcntl(fd, F_GETFD) & FD_CLOEXEC), "proc_open");
	close(fd);
	unit_int(proc_open(getpid(), start + 1), -ESRCH, "proc_open with another start time");
	unit_ok(proc_open(0, 0) == -ESRCH && proc_open(-1, 0) == -ESRCH && proc_open(0x3fffffff, 0) < 0,
		"proc_open of no process");
	unit_ok(proc_boot_id(id) == 0 && proc_boot_id(other) == 0 && strlen(id) == 36 && strcmp(id, other) == 0,
		"proc_boot_id");
	unit_ok(proc_inner_pid(getpid(), &inner) == 0 && inner == getpid(), "proc_inner_pid in our own namespace");
	unit_ok(proc_inner_pid(0x3fffffff, &inner) == -ESRCH && proc_start_time(0x3fffffff, &start) == -ESRCH &&
			proc_parent(0x3fffffff) == -ESRCH,
		"a pid that nobody has");
}

static void test_child(void)
{
	uint64_t start = 0, dead = 0;
	int status, fd, n = 0;
	siginfo_t info = {};
	pid_t pid = fork();

	if (pid == 0) {
		pause();
		_exit(0);
	}
	unit_ok(proc_start_time(pid, &start) == 0 && proc_parent(pid) == getpid(), "a child and its parent");
	unit_ok(proc_children(getpid(), count_children, &n) == 0 && n == 1, "proc_children");
	unit_int(proc_children(getpid(), find_child, &pid), 7, "proc_children ends with what the function returns");
	unit_int(proc_children(0x3fffffff, count_children, &n), -ESRCH, "proc_children of no process");
	fd = proc_open(pid, start);
	unit_ok(fd >= 0 && !proc_is_gone(fd), "a child by pidfd");
	unit_int(proc_signal(fd, SIGKILL), 0, "proc_signal");
	waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
	unit_ok(proc_is_gone(fd) && proc_start_time(pid, &dead) == 0 && dead == start,
		"a zombie is gone and still has its start time");
	waitpid(pid, &status, 0);
	unit_ok(proc_is_gone(fd) && proc_signal(fd, SIGKILL) == -ESRCH && proc_open(pid, start) == -ESRCH,
		"reaped, it is nobody");
	close(fd);
}

static void test_child_of_thread(void)
{
	pthread_t thread;
	char c;
	int n = 0;

	if (pipe2(ready_pipe, O_CLOEXEC) < 0 || pipe2(end_pipe, O_CLOEXEC) < 0)
		return;
	pthread_create(&thread, NULL, thread_with_child, NULL);
	unit_ok(read(ready_pipe[0], &c, 1) == 1 && proc_children(getpid(), count_children, &n) == 0 && n == 1,
		"proc_children sees the children of threads");
	kill(child_of_thread, SIGKILL);
	waitpid(child_of_thread, NULL, 0);
	close(end_pipe[1]);
	pthread_join(thread, NULL);
	close(end_pipe[0]);
	close(ready_pipe[0]);
	close(ready_pipe[1]);
}

/* In a child, because unshare(CLONE_NEWPID) is for good. */
static void test_inner_pid(void)
{
	pid_t inner = 0, pid = fork();
	int status = 0;

	if (pid == 0) {
		if (unshare(CLONE_NEWPID) < 0)
			_exit(77);
		pid = fork();
		if (pid == 0) {
			pause();
			_exit(0);
		}
		status = proc_inner_pid(pid, &inner) == 0 && inner == 1;
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		_exit(!status);
	}
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		printf("# no pid namespace\n");
	else
		unit_int(status, 0, "proc_inner_pid of the first process of a namespace is 1");
}

static void test_clocks(void)
{
	uint64_t mono = clock_mono(), boot = clock_boot(), wall = clock_wall();

	usleep(2000);
	unit_ok(clock_mono() >= mono + 2000000 && clock_boot() >= boot + 2000000, "clocks go on, in nanoseconds");
	unit_ok(wall / 1000000000 >= (uint64_t)time(NULL) - 1 && boot + 1000000000 >= mono, "wall time is the epoch's");
}

int main(void)
{
	test_self();
	test_child();
	test_child_of_thread();
	test_inner_pid();
	test_clocks();
	return unit_end();
}
