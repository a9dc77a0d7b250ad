/*
 * What the command may do, and what porto-init keeps for itself: nothing. The bounding set is cut before `fork`, so that
 * neither who traces the process that stays nor a program that this would be made to execute has more than the command.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <sys/prctl.h>
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

static int keep_caps(struct init *in)
{
	in->keeps_caps = true;
	return prctl(PR_SET_KEEPCAPS, 1) ? init_fail_sys(in, errno, "can't keep capabilities") : 0;
}

int op_ambient(struct init *in, char **arg)
{
	return mask_of(in, arg[0], &in->ambient) ? -1 : keep_caps(in);
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
	autoclose int fd = open("/proc/self/loginuid", O_WRONLY | O_CLOEXEC);

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
	return 0;
}

void rights_shed(const struct init *in UNUSED)
{
	static const struct caps none;

	caps_set(&none);
}
