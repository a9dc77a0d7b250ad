/*
 * What the command may do, and what porto-init keeps for itself: nothing. The bounding set is cut before `fork`, so that
 * neither who traces the process that stays nor a program that this would be made to execute has more than the command.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "engine/init/init.h"

struct caps {
	uint64_t effective, permitted, inheritable;
};

static int caps_get(struct caps *ret)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data))
		return -1;
	ret->effective = (uint64_t)data[1].effective << 32 | data[0].effective;
	ret->permitted = (uint64_t)data[1].permitted << 32 | data[0].permitted;
	ret->inheritable = (uint64_t)data[1].inheritable << 32 | data[0].inheritable;
	return 0;
}

static int caps_set(const struct caps *caps)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	for (int i = 0; i < 2; i++)
		data[i] = (struct __user_cap_data_struct){ .effective = (uint32_t)(caps->effective >> (32 * i)),
							   .permitted = (uint32_t)(caps->permitted >> (32 * i)),
							   .inheritable = (uint32_t)(caps->inheritable >> (32 * i)) };
	return (int)syscall(SYS_capset, &head, data);
}

static int mask_of(struct init *in, const char *word, uint64_t *ret)
{
	unsigned long mask;

	if (init_number(in, word, 16, ~0UL, &mask))
		return -1;
	*ret = mask;
	return 0;
}

int op_bound(struct init *in, char **arg)
{
	struct caps caps;
	uint64_t mask;

	if (mask_of(in, arg[0], &mask))
		return -1;
	for (int cap = 0; cap < 64; cap++) {
		int has = prctl(PR_CAPBSET_READ, cap);

		if (has < 0)
			break;
		if (has && !(mask >> cap & 1) && prctl(PR_CAPBSET_DROP, cap))
			return init_fail_sys(in, errno, "can't give capabilities up");
	}
	if (caps_get(&caps))
		return init_fail_sys(in, errno, "can't read the capabilities");
	if (!caps.inheritable)
		return 0;
	caps.inheritable = 0;
	return caps_set(&caps) ? init_fail_sys(in, errno, "can't give capabilities up") : 0;
}

int op_only(struct init *in, char **arg)
{
	struct caps caps;
	uint64_t mask;

	if (mask_of(in, arg[0], &mask))
		return -1;
	if (caps_get(&caps))
		return init_fail_sys(in, errno, "can't read the capabilities");
	caps.effective &= mask;
	caps.permitted &= mask;
	caps.inheritable = 0;
	return caps_set(&caps) ? init_fail_sys(in, errno, "can't give capabilities up") : 0;
}

static int keep_caps(struct init *in)
{
	in->keeps_caps = true;
	return prctl(PR_SET_KEEPCAPS, 1) ? init_fail_sys(in, errno, "can't keep capabilities") : 0;
}

int op_ambient(struct init *in, char **arg)
{
	return mask_of(in, arg[0], &in->ambient) ? -1 : keep_caps(in);
}

struct filter {
	struct filter *next;
	struct sock_fprog prog;
};

int op_seccomp(struct init *in, char **arg)
{
	struct filter *filter;
	unsigned long fd;
	struct stat st;
	void *at;

	if (init_number(in, arg[0], 10, INT32_MAX, &fd))
		return -1;
	if (fstat((int)fd, &st))
		return init_fail_sys(in, errno, "no program");
	if (st.st_size <= 0 || st.st_size % (off_t)sizeof(struct sock_filter) ||
	    st.st_size / (off_t)sizeof(struct sock_filter) > UINT16_MAX)
		return init_fail_list(in, "not a program: ", arg[0]);
	at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, (int)fd, 0);
	filter = malloc(sizeof(*filter));
	if (at == MAP_FAILED || !filter)
		return init_fail_sys(in, ENOMEM, "no memory for the program");
	close((int)fd);
	*filter = (struct filter){ .next = in->filters, .prog = { .len = (unsigned short)((size_t)st.st_size / sizeof(struct sock_filter)),
								    .filter = at } };
	in->filters = filter;
	return keep_caps(in);
}

int op_no_new_privs(struct init *in, char **arg UNUSED)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? init_fail_sys(in, errno, "") : 0;
}

/* Without one of its own the command would share the keys of who started the daemon. */
int op_keyring(struct init *in, char **arg UNUSED)
{
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS)
		return init_fail_sys(in, errno == EDQUOT ? EAGAIN : errno, "no session keyring");
	return 0;
}

int op_loginuid(struct init *in UNUSED, char **arg UNUSED)
{
	static const char unset[] = "4294967295";
	autoclose int fd = self_open("loginuid");

	if (fd >= 0)
		(void)!write(fd, unset, sizeof(unset) - 1);
	return 0;
}

/*
 * What a program that is neither setuid nor has file capabilities begins with is the ambient set; all else that was kept
 * goes with execve.
 */
int rights_settle(struct init *in)
{
	struct caps caps;

	if (!in->keeps_caps)
		return 0;
	if (caps_get(&caps))
		return init_fail_sys(in, errno, "can't read the capabilities");
	caps.effective = caps.permitted;
	caps.inheritable = in->ambient;
	if (caps_set(&caps))
		return init_fail_sys(in, errno, "can't set the capabilities");
	for (int cap = 0; cap < 64; cap++) {
		if (in->ambient >> cap & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0))
			return init_fail_sys(in, errno, "can't keep capabilities");
	}
	for (const struct filter *f = in->filters; f; f = f->next) {
		if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &f->prog))
			return init_fail(in, ERR_NotSupported, errno, "the filter of system calls is refused", NULL);
	}
	return 0;
}

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#endif

#define IF_CALL(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* All that waiting takes. Whoever traces us to have us make another call, which his own filter forbids him, gets EPERM. */
static void filter_waiting(void)
{
	static struct sock_filter calls[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		IF_CALL(SYS_wait4),
		IF_CALL(SYS_ppoll),
#ifdef SYS_poll
		IF_CALL(SYS_poll),
		IF_CALL(SYS_pause),
#endif
		IF_CALL(SYS_read),
		IF_CALL(SYS_write),
		IF_CALL(SYS_pwrite64),
		IF_CALL(SYS_close),
		IF_CALL(SYS_madvise),
		IF_CALL(SYS_prctl),
		IF_CALL(SYS_capset),
		IF_CALL(SYS_rt_sigaction),
		IF_CALL(SYS_rt_sigreturn),
		IF_CALL(SYS_restart_syscall),
		IF_CALL(SYS_exit_group),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
	};
	static const struct sock_fprog prog = { .len = ARRAY_LEN(calls), .filter = calls };

	if (!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		(void)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog);
}

void rights_shed(const struct init *in)
{
	static const struct caps none;
	struct caps had;

	/*
	 * Root inside, who may look into what has no more rights than he, would find our descriptors there: files of the host. The
	 * daemon has to look as well, for namespaces to join, and then needs this capability.
	 */
	if (!caps_get(&had) && had.permitted >> CAP_SYS_PTRACE & 1)
		(void)prctl(PR_SET_DUMPABLE, 0);
	caps_set(&none);
	if (in->filters)
		filter_waiting();
}
