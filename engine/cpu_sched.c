/* cpu_policy and the nice value of cpu_weight: how tasks are scheduled, at their start and while they run. */
#include "engine/cpu.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>

#include "base/fd.h"
#include "base/proc.h"
#include "engine/cred.h"
#include "engine/hooks.h"

#define NICE_MIN (-20)
#define NICE_MAX 19
#define ROUNDS_MAX 10

static const struct cpu_sched kinds[CPU_POLICIES] = {
	[CPU_NORMAL] = { SCHED_OTHER, 0 }, [CPU_HIGH] = { SCHED_OTHER, -10 }, [CPU_RT] = { SCHED_OTHER, -20 },
	[CPU_BATCH] = { SCHED_BATCH, 0 },  [CPU_IDLE] = { SCHED_IDLE, 0 },    [CPU_NOSMT] = { SCHED_OTHER, 0 },
	[CPU_ISO] = { SCHED_OTHER, 0 },
};

bool cpu_may_raise(void)
{
	static int may = -1; /* the daemon's own capabilities don't change */

	if (may < 0)
		may = proc_has_cap(CAP_SYS_NICE);
	return may > 0;
}

/*
 * A negative nice value counts among the tasks of one cpu cgroup. Where a container has none of its own it shares that of one above;
 * if this is another owner's, only root may have it served before that owner's tasks.
 */
static const struct ct *shares_with_another(const struct ct *ct)
{
	const struct ct *home = ct;

	while (home->parent != NULL && (home->val[PROP_virt_mode].u == VIRT_JOB || !(ct_controllers(home) & CG_BIT(CG_CPU))))
		home = home->parent;
	return ct->owner_uid != 0 && home->owner_uid != ct->owner_uid ? home : NULL;
}

/* How often 1.1 goes into the weight: one step of nice is a tenth more or less for the scheduler. */
static int log11(double weight)
{
	int n = 0;

	for (; weight >= 1.1 && n < 40; n++)
		weight /= 1.1;
	for (; weight <= 1 / 1.1 && n > -40; n--)
		weight *= 1.1;
	return n;
}

struct cpu_sched cpu_sched_of(const struct ct *ct)
{
	struct cpu_sched s = kinds[cpu_policy_of(ct)];

	s.nice = MIN(MAX(s.nice - log11(ct->val[PROP_cpu_weight].d), NICE_MIN), NICE_MAX);
	if (!cpu_may_raise() || shares_with_another(ct) != NULL)
		s.nice = MAX(s.nice, 0);
	return s;
}

int check_cpu_policy(struct change *c)
{
	enum cpu_policy p = (enum cpu_policy)c->value->u;

	if (p == CPU_NOSMT || p == CPU_ISO)
		return err_set(c->err, ERR_NotSupported, "cpu_policy: '%s' is not supported: use cpu_set to choose processors",
			       cpu_policy_names[p]);
	if (kinds[p].nice < 0 && !cpu_may_raise())
		return err_set(c->err, ERR_NotSupported, "cpu_policy: '%s': the daemon has no CAP_SYS_NICE", cpu_policy_names[p]);
	if (kinds[p].nice < 0 && c->who->uid != 0 && shares_with_another(c->ct) != NULL)
		return err_set(c->err, ERR_Permission, "cpu_policy: '%s': the container shares the cpu cgroup of %s, which is another's: "
			       "give it one of its own, controllers[cpu] = true", cpu_policy_names[p], shares_with_another(c->ct)->name);
	return 0;
}

struct push {
	struct ct *top;
	int changed, failed;
};

static bool is_within(const struct ct *ct, const struct ct *top)
{
	while (ct != NULL && ct != top)
		ct = ct->parent;
	return ct != NULL;
}

/* Whose a process of this cgroup is: a job's processes live in its parent's and are known by their session. */
static struct ct *owner_of(struct ct *home, pid_t pid)
{
	pid_t session = 0;

	for (struct ct *it = home->children; it != NULL; it = it->next) {
		if (it->val[PROP_virt_mode].u != VIRT_JOB || it->pid == 0)
			continue;
		if (session == 0)
			session = getsid(pid);
		if (session == it->pid)
			return it;
	}
	return home;
}

/* 1 when something had to be changed. A task that has gone is fine. */
static int push_task(pid_t tid, const struct cpu_sched *s)
{
	struct sched_param none = {};
	int policy = sched_getscheduler(tid), nice, changed = 0;

	if (policy < 0)
		return errno == ESRCH ? 0 : -errno;
	if (policy != s->policy) {
		if (sched_setscheduler(tid, s->policy, &none) < 0)
			return errno == ESRCH ? 0 : -errno;
		changed = 1;
	}
	errno = 0;
	nice = getpriority(PRIO_PROCESS, (id_t)tid);
	if (errno != 0)
		return changed;
	if (nice == s->nice)
		return changed;
	if (setpriority(PRIO_PROCESS, (id_t)tid, s->nice) < 0)
		return errno == ESRCH ? changed : -errno;
	return 1;
}

static int push_process(void *arg, pid_t pid)
{
	struct push *p = arg;
	struct ct *ct = owner_of(cred_home(p->top->e, pid), pid);
	struct cpu_sched s;
	char path[32];
	DIR *d;

	/* porto-init is ours: it must be able to reap whatever its container does */
	if (!is_within(ct, p->top) || (pid == ct->pid && ct->val[PROP_virt_mode].u != VIRT_JOB))
		return 0;
	s = cpu_sched_of(ct);
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	d = opendir(path);
	if (d == NULL)
		return 0;
	for (const struct dirent *de; p->failed == 0 && (de = readdir(d)) != NULL;) {
		int r = de->d_name[0] == '.' ? 0 : push_task((pid_t)atoi(de->d_name), &s);

		p->failed = MIN(r, 0);
		p->changed += r > 0;
	}
	closedir(d);
	return p->failed;
}

/* A task that is made meanwhile may have the old ways of its parent: again, until all are as they should be. */
int cpu_sched_push(struct ct *ct)
{
	const struct ct *home = ct->val[PROP_virt_mode].u == VIRT_JOB ? ct->parent : ct;
	struct push p = { .top = ct, .changed = 1 };

	for (int i = 0; i < ROUNDS_MAX && p.changed > 0 && p.failed == 0; i++) {
		p.changed = 0;
		if (home->has_cg)
			(void)cg_pids(ct->e->cgroups, &home->cg, home == ct, push_process, &p);
	}
	return p.failed;
}
