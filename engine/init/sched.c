#include <sched.h>
#include <sys/resource.h>

#include "engine/init/init.h"

#define NICE_MIN (-20)
#define NICE_MAX 19

static const struct {
	const char *name;
	int policy;
} policies[] = {
	{ "other", SCHED_OTHER },
	{ "batch", SCHED_BATCH },
	{ "idle",  SCHED_IDLE },
};

static int refused(struct init *in, const char *what)
{
	int no = errno;

	if (no == EPERM || no == EACCES)
		return init_fail(in, ERR_Permission, no, what, ": the daemon has no CAP_SYS_NICE", NULL);
	return init_fail_sys(in, no, what);
}

int op_sched(struct init *in, char **arg)
{
	struct sched_param none = {};
	int policy = -1;
	char *end;
	long nice = strtol(arg[1], &end, 10);

	for (size_t i = 0; i < ARRAY_LEN(policies); i++) {
		if (!strcmp(policies[i].name, arg[0]))
			policy = policies[i].policy;
	}
	if (policy < 0)
		return init_fail_list(in, "no such policy: ", arg[0]);
	if (end == arg[1] || *end || nice < NICE_MIN || nice > NICE_MAX)
		return init_fail_list(in, "not a nice value: ", arg[1]);
	if (sched_setscheduler(0, policy, &none))
		return refused(in, arg[0]);
	if (setpriority(PRIO_PROCESS, 0, (int)nice))
		return refused(in, arg[1]);
	return 0;
}
