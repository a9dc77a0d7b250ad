/*
 * The process is cloned with the worker's memory (CLONE_VM|CLONE_VFORK: the cost doesn't grow with the worker), as a child
 * of the supervisor (CLONE_PARENT), straight into its v2 cgroup, and executes porto-init.
 */
#include "engine/birth.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "engine/init/proto.h"

#if defined(__SANITIZE_ADDRESS__)
void __asan_unpoison_memory_region(const volatile void *p, size_t n);
#define UNPOISON(p, n) __asan_unpoison_memory_region(p, n)
#else
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

#define STACK_SIZE (64u << 10)
#define FD_SAFE 200 /* above all numbers that porto-init is given */

/*
 * clone3(2) with a stack of its own and a function to run there: libc has no wrapper for it, and clone(2) can't enter a
 * cgroup. fn must not return.
 */
static long clone_on(struct clone_args *args, void (*fn)(struct birth *), struct birth *b)
{
#if defined(__x86_64__)
	long ret = SYS_clone3;
	register void (*rfn)(struct birth *) __asm__("r12") = fn;
	register struct birth *rarg __asm__("r13") = b;

	__asm__ volatile("syscall\n\t"
			 "testq %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xorl %%ebp, %%ebp\n\t"
			 "movq %%r13, %%rdi\n\t"
			 "callq *%%r12\n\t"
			 "ud2\n"
			 "1:"
			 : "+a"(ret)
			 : "D"(args), "S"(sizeof(*args)), "r"(rfn), "r"(rarg)
			 : "rcx", "r11", "memory", "cc");
	return ret;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = SYS_clone3;
	register long x0 __asm__("x0") = (long)args;
	register long x1 __asm__("x1") = (long)sizeof(*args);
	register void (*rfn)(struct birth *) __asm__("x20") = fn;
	register struct birth *rarg __asm__("x21") = b;

	__asm__ volatile("svc 0\n\t"
			 "cbnz x0, 1f\n\t"
			 "mov x29, xzr\n\t"
			 "mov x0, x21\n\t"
			 "blr x20\n\t"
			 "brk 0\n"
			 "1:"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(rfn), "r"(rarg)
			 : "memory", "cc", "x30");
	return x0;
#else
#error "clone_on: write the few lines for this processor"
#endif
}

/* No malloc, no log, no return from here on: this runs in the worker's memory while the worker stands still. */
__attribute__((noreturn, no_sanitize("address", "undefined"))) static void become_init(struct birth *b)
{
	static char *const argv[] = { (char *)"porto-init", NULL }, *const seed_argv[] = { (char *)"porto-init", (char *)"seed", NULL };
	static char *const envp[] = { NULL };
	sigset_t none;
	int fds[BIRTH_FDS], init_fd;

	for (int i = 0; i < b->count; i++) {
		fds[i] = fcntl(b->fds[i], F_DUPFD, FD_SAFE);
		if (fds[i] < 0)
			goto fail;
	}
	init_fd = fcntl(b->init_fd, F_DUPFD_CLOEXEC, FD_SAFE);
	if (init_fd < 0)
		goto fail;
	for (int i = 0; i < b->count; i++)
		if (dup2(fds[i], INIT_OPS_FD + i) < 0)
			goto fail;
	/* everything above what was promised, the duplicates too, closes at the exec */
	(void)syscall(SYS_close_range, INIT_OPS_FD + b->count, ~0U, 1U << 2 /* CLOSE_RANGE_CLOEXEC */);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	syscall(SYS_execveat, init_fd, "", b->seed ? seed_argv : argv, envp, AT_EMPTY_PATH);
fail:
	b->failed = errno != 0 ? errno : EIO;
	_exit(127);
}

static long clone_init(struct birth *b)
{
	struct clone_args args = {
		.flags = b->flags | CLONE_VM | CLONE_VFORK | CLONE_PARENT | CLONE_CLEAR_SIGHAND | CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&b->pidfd,
		.stack = (uint64_t)(uintptr_t)b->stacks,
		.stack_size = STACK_SIZE,
	};

	/* who was here before has left without a word to the sanitizer, whose marks are not the next one's */
	UNPOISON(b->stacks, STACK_SIZE);
	if (b->cgroup_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)b->cgroup_fd;
	}
	return clone_on(&args, become_init, b);
}

int birth(struct birth *b)
{
	sigset_t all, old;
	long r;

	b->stacks = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (b->stacks == MAP_FAILED)
		return -errno;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = clone_init(b);
	if (r > 0)
		b->pid = (pid_t)r;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	munmap(b->stacks, STACK_SIZE);
	if (r < 0)
		return (int)r;
	return b->pid == 0 ? -(b->failed != 0 ? b->failed : EIO) : 0;
}
