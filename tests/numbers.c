/*
 * tests/numbers.c: makes a directory in the ways that a filter on the name `mkdir` might have forgotten.
 * usage: numbers     prints for each what came of it:
 *   -1     by the 32-bit number
 *   1      by that of x32: refused, or unknown to the kernel
 *   -1     by the process 1, whose registers are written while it waits; `no ptrace` when it can't be traced
 */
#include <errno.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __x86_64__

#define MKDIR_I386   39
#define MKDIR_X86_64 83
#define X32_BIT      0x40000000

static long by_i386(const char *path)
{
	long r = MKDIR_I386;

	__asm__ volatile("int $0x80" : "+a"(r) : "b"(path), "c"(0700) : "memory");
	return r;
}

static int x32_fails(const char *path)
{
	errno = 0;
	syscall(X32_BIT + MKDIR_X86_64, path, 0700);
	return errno == EPERM || errno == ENOSYS;
}

static void step(pid_t pid)
{
	ptrace(PTRACE_SYSCALL, pid, 0, 0);
	waitpid(pid, NULL, __WALL);
}

static int by_another(pid_t pid)
{
	struct user_regs_struct regs, old;

	if (ptrace(PTRACE_SEIZE, pid, 0, 0) || ptrace(PTRACE_INTERRUPT, pid, 0, 0))
		return -1;
	waitpid(pid, NULL, __WALL);
	ptrace(PTRACE_GETREGS, pid, 0, &regs);
	old = regs;
	regs.rip -= 2; /* it waits in a `syscall`, which is two bytes, before where it goes on */
	regs.rax = MKDIR_X86_64;
	regs.orig_rax = (unsigned long long)-1;
	regs.rdi = regs.rsp;
	regs.rsi = 0700;
	ptrace(PTRACE_POKEDATA, pid, regs.rsp, 0x00786c2f2f2f2fL); /* ////lx */
	ptrace(PTRACE_SETREGS, pid, 0, &regs);
	step(pid);
	step(pid);
	ptrace(PTRACE_GETREGS, pid, 0, &regs);
	printf("%lld\n", (long long)regs.rax);
	ptrace(PTRACE_SETREGS, pid, 0, &old);
	return 0;
}

int main(void)
{
	sleep(1); /* until porto-init waits for us */
	printf("%ld\n", by_i386("/tmp/never"));
	printf("%d\n", x32_fails("/tmp/never"));
	if (by_another(1) < 0)
		puts("no ptrace");
	return 0;
}

#else

int main(void)
{
	puts("not x86");
	return 1;
}

#endif
