#include "base/proc.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/fd.h"

#define STATUS_MAX (4u << 20) /* the line Groups alone may take 65536 numbers */

/* Field number n (from 3 on: behind the command's name, which may hold anything) of /proc/PID/stat. */
static int stat_field(pid_t pid, int n, unsigned long long *ret)
{
	char path[32], buf[1024];
	ssize_t len;
	char *p;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	len = file_read_small(AT_FDCWD, path, buf, sizeof(buf));
	if (len < 0)
		return -ESRCH;
	p = strrchr(buf, ')');
	for (int i = 2; p && i < n; i++)
		p = strchr(p + 1, ' ');
	if (!p || sscanf(p, " %llu", ret) != 1)
		return -ESRCH;
	return 0;
}

int proc_threads(pid_t pid, uint64_t *ret)
{
	unsigned long long v;
	int r = stat_field(pid, 20, &v);

	if (r == 0)
		*ret = v;
	return r;
}

int proc_start_time(pid_t pid, uint64_t *ret)
{
	unsigned long long v;
	int r = stat_field(pid, 22, &v);

	if (r == 0)
		*ret = v;
	return r;
}

pid_t proc_parent(pid_t pid)
{
	unsigned long long v;
	int r = stat_field(pid, 4, &v);

	return r < 0 ? r : (pid_t)v;
}

int proc_open(pid_t pid, uint64_t start_time)
{
	autoclose int fd = -1;
	uint64_t started = 0;

	if (pid <= 0)
		return -ESRCH;
	fd = pidfd_open(pid, 0);
	if (fd < 0) {
		/* Kernels say EINVAL or ENOENT for a thread that is no process. */
		return errno == EINVAL || errno == ENOENT ? -ESRCH : -errno;
	}
	/* After the opening: what has the right start time now had it then, and is what the pidfd holds. */
	if (start_time && (proc_start_time(pid, &started) < 0 || started != start_time))
		return -ESRCH;
	return TAKE_FD(fd);
}

int proc_owner(pid_t pid, uid_t *ret)
{
	char path[32];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	if (stat(path, &st) < 0)
		return -ESRCH;
	*ret = st.st_uid;
	return 0;
}

int proc_signal(int pidfd, int sig)
{
	return pidfd_send_signal(pidfd, sig, NULL, 0) < 0 ? -errno : 0;
}

bool proc_is_gone(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLIN | POLLHUP));
}

int proc_boot_id(char buf[37])
{
	char line[64];
	ssize_t n = file_read_small(AT_FDCWD, "/proc/sys/kernel/random/boot_id", line, sizeof(line));

	if (n < 0)
		return (int)n;
	if (n != 36)
		return -EIO;
	memcpy(buf, line, 37);
	return 0;
}

int proc_inner_pid(pid_t pid, pid_t *ret)
{
	autotext struct text status = {};
	const char *line, *end;
	char path[32];
	int r;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	r = file_read(AT_FDCWD, path, STATUS_MAX, &status);
	if (r < 0)
		return r == -ENOMEM ? r : -ESRCH;
	line = strstr(text_str(&status), "\nNSpid:");
	if (!line)
		return -ESRCH;
	end = strchrnul(line + 1, '\n');
	while (end[-1] >= '0' && end[-1] <= '9')
		end--;
	r = atoi(end);
	if (r <= 0)
		return -ESRCH;
	*ret = r;
	return 0;
}

/* The list is read whole first: fn may kill whom it is told of. */
static int thread_children(pid_t pid, const char *tid, int (*fn)(void *arg, pid_t child), void *arg)
{
	autotext struct text list = {};
	char path[64], *p, *end;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/task/%.20s/children", (int)pid, tid);
	r = file_read(AT_FDCWD, path, SIZE_MAX, &list);
	/* A thread may end while we look at it. */
	if (r < 0 || list.len == 0)
		return r == -ENOMEM ? r : 0;
	for (p = list.p;; p = end) {
		long child = strtol(p, &end, 10);
		if (end == p)
			return 0;
		r = fn(arg, (pid_t)child);
		if (r != 0)
			return r;
	}
}

int proc_children(pid_t pid, int (*fn)(void *arg, pid_t child), void *arg)
{
	struct dirent *entry;
	char path[32];
	int r = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? -ESRCH : -errno;
	while (r == 0 && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			r = thread_children(pid, entry->d_name, fn, arg);
	closedir(dir);
	return r;
}

static uint64_t clock_nsec(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t clock_mono(void)
{
	return clock_nsec(CLOCK_MONOTONIC);
}

uint64_t clock_boot(void)
{
	return clock_nsec(CLOCK_BOOTTIME);
}

uint64_t clock_wall(void)
{
	return clock_nsec(CLOCK_REALTIME);
}

bool proc_has_cap(unsigned cap)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {};

	return cap < 64 && syscall(SYS_capget, &head, data) == 0 && (data[cap / 32].effective >> (cap % 32) & 1) != 0;
}
