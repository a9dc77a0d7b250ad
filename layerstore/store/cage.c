#include "layerstore/store/cage.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define NOBODY 65534

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED true /* it maps terabytes, and has calls of its own to make when it finds something */
void __sanitizer_set_report_fd(void *fd);
#else
#define SANITIZED                     false
#define __sanitizer_set_report_fd(fd) ((void)(fd))
#endif

static int set_limit(int what, rlim_t value)
{
	struct rlimit l;
	if (getrlimit(what, &l) < 0)
		return -errno;
	l.rlim_cur = l.rlim_max = MIN(value, l.rlim_max);
	return setrlimit(what, &l) < 0 ? -errno : 0;
}

/* Effective and permitted are exactly these; the bounding set is empty, so that no program could bring any. */
static int set_caps(uint64_t caps)
{
	cap_t set = cap_init();
	int r = set ? 0 : -ENOMEM;
	for (cap_value_t c = 0; c <= CAP_LAST_CAP && r == 0; c++) {
		if (prctl(PR_CAPBSET_DROP, c, 0, 0, 0) < 0 && errno != EINVAL)
			r = -errno;
		if ((caps & CAP_BIT(c)) && (cap_set_flag(set, CAP_PERMITTED, 1, &c, CAP_SET) < 0 ||
					    cap_set_flag(set, CAP_EFFECTIVE, 1, &c, CAP_SET) < 0))
			r = -errno;
	}
	if (r == 0 && cap_set_proc(set) < 0)
		r = -errno;
	if (set)
		cap_free(set);
	if (r == 0 && (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
		       prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0))
		r = -errno;
	return r;
}

/* The parent may have died before the kernel was asked. */
static int die_with(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return -errno;
	return getppid() == parent ? 0 : -ESRCH;
}

int cage_enter(const struct cage *c, pid_t parent, struct err *err)
{
	int r = die_with(parent);
	if (r == 0 && (fchdir(c->root) < 0 || chroot(".") < 0))
		r = -errno;
	if (r == 0)
		r = set_limit(RLIMIT_CORE, 0);
	if (r == 0)
		r = set_limit(RLIMIT_NOFILE, c->reads_tree ? 65536 : 256);
	if (r == 0 && c->memory_bytes && !SANITIZED)
		r = set_limit(RLIMIT_AS, c->memory_bytes);
	if (r == 0)
		r = set_caps(c->caps);
	umask(0);
	__sanitizer_set_report_fd((void *)2); /* there is no path to its log any more */
	return r < 0 ? err_sys(err, -r, "the unpacking process can't be confined") : 0;
}

/* ---- system calls ---- */

static const int calls_all[] = {
	SCMP_SYS(brk),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(close),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(fchdir),
	SCMP_SYS(fchmod),
	SCMP_SYS(fchmodat),
	SCMP_SYS(fchown),
	SCMP_SYS(fchownat),
	SCMP_SYS(fcntl),
	SCMP_SYS(fgetxattr),
	SCMP_SYS(fremovexattr),
	SCMP_SYS(fsetxattr),
	SCMP_SYS(fstat),
	SCMP_SYS(ftruncate),
	SCMP_SYS(futex),
	SCMP_SYS(getdents64),
	SCMP_SYS(getpid),
	SCMP_SYS(getrandom),
	SCMP_SYS(gettid),
	SCMP_SYS(linkat),
	SCMP_SYS(lremovexattr),
	SCMP_SYS(lseek),
	SCMP_SYS(lsetxattr),
	SCMP_SYS(madvise),
	SCMP_SYS(mkdirat),
	SCMP_SYS(mknodat),
	SCMP_SYS(mmap),
	SCMP_SYS(mprotect),
	SCMP_SYS(mremap),
	SCMP_SYS(munmap),
	SCMP_SYS(newfstatat),
	SCMP_SYS(openat),
	SCMP_SYS(openat2),
	SCMP_SYS(pread64),
	SCMP_SYS(pwrite64),
	SCMP_SYS(read),
	SCMP_SYS(recvmsg),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(rseq),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(sched_yield),
	SCMP_SYS(sendmsg),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(statx),
	SCMP_SYS(symlinkat),
	SCMP_SYS(unlinkat),
	SCMP_SYS(utimensat),
	SCMP_SYS(write),
	SCMP_SYS(writev),
};

static const int calls_reading[] = {
	SCMP_SYS(copy_file_range), SCMP_SYS(fadvise64), SCMP_SYS(fgetxattr),  SCMP_SYS(flistxattr), SCMP_SYS(lgetxattr),
	SCMP_SYS(llistxattr),      SCMP_SYS(prctl),     SCMP_SYS(readlinkat), SCMP_SYS(sysinfo),
};

static const int calls_sanitizer[] = {
	SCMP_SYS(getrlimit),   SCMP_SYS(kill),         SCMP_SYS(prctl),          SCMP_SYS(prlimit64),
	SCMP_SYS(readlink),    SCMP_SYS(rt_sigaction), SCMP_SYS(sched_getparam), SCMP_SYS(sched_getscheduler),
	SCMP_SYS(sigaltstack), SCMP_SYS(sysinfo),      SCMP_SYS(tgkill),
};

static int allow(scmp_filter_ctx f, const int *calls, size_t n)
{
	int r = 0;
	for (size_t i = 0; i < n && r == 0; i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0);
	return r;
}

/* clone3 hides its flags behind a pointer: the C library falls back to clone where there is none. */
static int allow_threads(scmp_filter_ctx f)
{
	const unsigned long thread = CLONE_VM | CLONE_THREAD | CLONE_SIGHAND;
	int r = SANITIZED ? 0
			  : seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3),
					     0); /* there it is the default */
	return r < 0 ? r
		     : seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
					SCMP_A0(SCMP_CMP_MASKED_EQ, thread, thread));
}

int cage_lock(const struct cage *c, struct err *err)
{
	scmp_filter_ctx f = seccomp_init(SANITIZED ? SCMP_ACT_ERRNO(ENOSYS) : SCMP_ACT_KILL_PROCESS);
	int r = f ? seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1) : -ENOMEM;
	if (r == 0)
		r = seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree of comparisons, not a chain */
	if (r == 0)
		r = allow(f, calls_all, ARRAY_LEN(calls_all));
	if (r == 0 && c->reads_tree)
		r = allow(f, calls_reading, ARRAY_LEN(calls_reading));
	if (r == 0 && SANITIZED)
		r = allow(f, calls_sanitizer, ARRAY_LEN(calls_sanitizer));
	if (r == 0 && c->threads)
		r = allow_threads(f);
	if (r == 0)
		r = seccomp_load(f);
	seccomp_release(f);
	return r < 0 ? err_sys(err, -r, "the system calls can't be confined") : 0;
}

/* ---- programs ---- */

static const int calls_forbidden[] = {
	SCMP_SYS(accept),
	SCMP_SYS(accept4),
	SCMP_SYS(add_key),
	SCMP_SYS(bind),
	SCMP_SYS(bpf),
	SCMP_SYS(chroot),
	SCMP_SYS(connect),
	SCMP_SYS(io_uring_setup),
	SCMP_SYS(keyctl),
	SCMP_SYS(kill),
	SCMP_SYS(listen),
	SCMP_SYS(mount),
	SCMP_SYS(open_by_handle_at),
	SCMP_SYS(perf_event_open),
	SCMP_SYS(pidfd_open),
	SCMP_SYS(pivot_root),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(ptrace),
	SCMP_SYS(request_key),
	SCMP_SYS(setns),
	SCMP_SYS(socket),
	SCMP_SYS(socketpair),
	SCMP_SYS(tgkill),
	SCMP_SYS(unshare),
	SCMP_SYS(userfaultfd),
};

static int forbid(void)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
	int r = f ? 0 : -ENOMEM;
	for (size_t i = 0; i < ARRAY_LEN(calls_forbidden) && r == 0; i++)
		r = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), calls_forbidden[i], 0);
	if (r == 0)
		r = seccomp_load(f);
	seccomp_release(f);
	return r;
}

int cage_filter(pid_t parent, struct err *err)
{
	int r = unshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWNS | CLONE_NEWUTS) < 0 ? -errno : 0;
	if (r == 0)
		r = set_limit(RLIMIT_CORE, 0);
	if (r == 0)
		r = set_limit(RLIMIT_NOFILE, 32);
	if (r == 0 && (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0))
		r = -errno;
	if (r == 0)
		r = set_limit(RLIMIT_MEMLOCK, 0);
	/* the bounding set is emptied while root may still do that; the user is left for good right after */
	if (r == 0)
		r = set_caps(CAP_BIT(CAP_SETUID));
	if (r == 0 && setresuid(NOBODY, NOBODY, NOBODY) < 0)
		r = -errno;
	if (r == 0)
		r = die_with(parent); /* the change of user has forgotten it */
	if (r == 0)
		r = forbid();
	return r < 0 ? err_sys(err, -r, "the filter can't be confined") : 0;
}
