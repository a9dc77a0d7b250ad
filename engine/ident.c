#include "engine/ident.h"

#include <fcntl.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>

#define GROUPS_MAX 256

/* libc's setgroups changes all threads, the system call this one. */
static int thread_groups(const gid_t *groups, size_t n)
{
	return syscall(SYS_setgroups, n, groups) < 0 ? -errno : 0;
}

int ident_take(uid_t uid, gid_t gid, const struct strv *groups)
{
	gid_t numbers[GROUPS_MAX];
	size_t n = 0;
	int r;

	if (uid == 0)
		return 0;
	for (; n < groups->n && n < GROUPS_MAX; n++)
		numbers[n] = (gid_t)strtoul(groups->p[n], NULL, 10);
	r = thread_groups(numbers, n);
	if (r < 0)
		return r;
	(void)setfsgid(gid);
	(void)setfsuid(uid);
	return 0;
}

void ident_drop(uid_t uid)
{
	if (uid == 0)
		return;
	(void)setfsuid(0);
	(void)setfsgid(0);
	(void)thread_groups(NULL, 0);
}

int ident_may(int fd, int how)
{
	return faccessat(fd, "", how, AT_EACCESS | AT_EMPTY_PATH) < 0 ? -errno : 0;
}
