/* Properties that are values of cgroups, and their application. For the host itself /proc answers. */
#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>

#include "base/fd.h"
#include "base/proc.h"
#include "base/units.h"
#include "engine/caps.h"
#include "engine/ct.h"
#include "engine/devices.h"
#include "engine/hooks.h"
#include "engine/userns.h"

#define NSEC UINT64_C(1000000000)

static void add_u64(struct text *out, uint64_t v)
{
	text_addu(out, v);
}

/* A controller that the container shares with its parent tells nothing about the container alone. */
static int need_own(struct ct *ct, enum cg_ctl ctl, const char *name, struct err *err)
{
	if (ct_is_root(ct) || (ct->cg.own & CG_BIT(ctl)))
		return 0;
	return err_set_no(err, ERR_NotSupported, ENODATA, "%s: the container has no %s cgroup of its own", name, cg_name(ctl));
}

/* ---- the host ---- */

static void host_cpu(uint64_t *nsec, uint64_t *system_nsec)
{
	unsigned long long v[8] = { 0 };
	char buf[512];
	uint64_t tick = NSEC / (uint64_t)sysconf(_SC_CLK_TCK);

	*nsec = *system_nsec = 0;
	if (file_read_small(AT_FDCWD, "/proc/stat", buf, sizeof(buf)) < 0)
		return;
	if (sscanf(buf, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6],
		   &v[7]) < 4)
		return;
	*system_nsec = (v[2] + v[5] + v[6]) * tick;
	*nsec = (v[0] + v[1]) * tick + *system_nsec;
}

static uint64_t host_processes(bool threads)
{
	uint64_t n = 0;
	unsigned long long running, total;
	char buf[128];
	DIR *d;

	if (threads) {
		if (file_read_small(AT_FDCWD, "/proc/loadavg", buf, sizeof(buf)) > 0 &&
		    sscanf(buf, "%*s %*s %*s %llu/%llu", &running, &total) == 2)
			return total;
		return 0;
	}
	d = opendir("/proc");
	if (d == NULL)
		return 0;
	for (const struct dirent *de; (de = readdir(d)) != NULL;)
		n += de->d_name[0] >= '1' && de->d_name[0] <= '9';
	closedir(d);
	return n;
}

/* ---- counters ---- */

int ct_cpu_time(struct ct *ct, const char *name, struct cg_cpu_time *ret, struct err *err)
{
	struct seen *s = ct_seen(ct);
	int r;

	*ret = (struct cg_cpu_time){};
	if (ct_is_root(ct)) {
		host_cpu(&ret->used, &ret->system);
		return 0;
	}
	r = need_own(ct, CG_CPUACCT, name, err);
	if (r < 0)
		return r;
	if (s != NULL && s->has_cpu) {
		*ret = s->cpu;
		return 0;
	}
	r = cg_cpu_usage(ct->e->cgroups, &ct->cg, ret);
	if (r < 0)
		return err_sys(err, -r, "%s", name);
	if (s != NULL) {
		s->has_cpu = true;
		s->cpu = *ret;
	}
	return 0;
}

int read_cpu_usage(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	struct cg_cpu_time t;
	int r = no_index(key, err, "cpu_usage");

	if (r == 0)
		r = ct_cpu_time(ct, "cpu_usage", &t, err);
	if (r == 0)
		add_u64(out, t.used);
	return r;
}

int read_cpu_usage_system(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	struct cg_cpu_time t;
	int r = no_index(key, err, "cpu_usage_system");

	if (r == 0)
		r = ct_cpu_time(ct, "cpu_usage_system", &t, err);
	if (r == 0)
		add_u64(out, t.system);
	return r;
}

struct job_count {
	pid_t session;
	bool threads;
	uint64_t n;
};

static int count_job(void *arg, pid_t pid)
{
	struct job_count *j = arg;
	uint64_t threads = 1;

	if (getsid(pid) == j->session && (!j->threads || proc_threads(pid, &threads) == 0))
		j->n += threads;
	return 0;
}

/* It lives in its parent's cgroup: what is in its session there, which a process that calls setsid(2) leaves. */
static int job_count(const struct ct *ct, bool threads, uint64_t *ret)
{
	struct job_count j = { .session = ct->pid, .threads = threads };
	const struct ct *home = ct->parent;
	int r = 0;

	while (home->cg.path == NULL && home->parent != NULL)
		home = home->parent;
	if (ct->pid != 0 && home->cg.path != NULL)
		r = cg_pids(ct->e->cgroups, &home->cg, false, count_job, &j);
	*ret = j.n;
	return r;
}

static int count(struct ct *ct, bool threads, struct text *out, struct err *err)
{
	uint64_t n = 0;
	int r = 0;

	if (ct_is_root(ct))
		n = host_processes(threads);
	else if (ct->val[PROP_virt_mode].u == VIRT_JOB)
		r = job_count(ct, threads, &n);
	else
		r = cg_count(ct->e->cgroups, &ct->cg, threads, &n);
	if (r < 0)
		return err_sys(err, -r, "%s", threads ? "thread_count" : "process_count");
	add_u64(out, n);
	return 0;
}

int read_process_count(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	int r = no_index(key, err, "process_count");

	return r < 0 ? r : count(ct, false, out, err);
}

int read_thread_count(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	int r = no_index(key, err, "thread_count");

	return r < 0 ? r : count(ct, true, out, err);
}

/* Kills of this life so far: what the kernel says while the cgroup is there. */
uint64_t ct_oom_kills(struct ct *ct)
{
	struct seen *s = ct_seen(ct);
	uint64_t n;

	if (s != NULL && s->has_oom)
		return s->oom;
	if (!ct->has_cg || !(ct->cg.own & CG_BIT(CG_MEMORY)) || cg_oom_kills(ct->e->cgroups, &ct->cg, &n) < 0)
		n = ct->oom_kills;
	if (s != NULL) {
		s->has_oom = true;
		s->oom = n;
	}
	return n;
}

/* Each container's total is its own past lives, the present one, and its children's; a gone child's was added on removal. */
uint64_t ct_oom_kills_total(struct ct *ct)
{
	uint64_t n = ct->oom_kills_total + ct_oom_kills(ct);

	for (struct ct *child = ct->children; child != NULL; child = child->next)
		n += ct_oom_kills_total(child);
	return n;
}

int read_oom_kills(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	int r = no_index(key, err, "oom_kills");

	if (r == 0)
		add_u64(out, ct_oom_kills(ct));
	return r;
}

int read_oom_kills_total(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	int r = no_index(key, err, "oom_kills_total");

	if (r == 0)
		add_u64(out, ct_oom_kills_total(ct));
	return r;
}

/* ---- limits ---- */

static uint64_t thread_limit(const struct ct *ct)
{
	if (!prop_is_set(ct, PROP_thread_limit))
		return ct->level == 1 ? ct->e->conf->container_default_thread_limit : 0;
	return ct->val[PROP_thread_limit].u;
}

int read_thread_limit(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	int r = no_index(key, err, "thread_limit");

	if (r == 0 && (prop_is_set(ct, PROP_thread_limit) || ct->level == 1))
		add_u64(out, thread_limit(ct));
	return r;
}

static int limit_failed(int r, const char *name, struct err *err)
{
	if (r >= 0)
		return 0;
	if (r == -EBUSY)
		return err_set(err, ERR_Busy, "%s: more than that is in use", name);
	if (r == -EOPNOTSUPP)
		return err_set(err, ERR_NotSupported, "%s: no cgroup controller for it", name);
	return err_sys(err, -r, "%s", name);
}

/* Also unset: the first level has a default. */
int apply_thread_limit(struct ct *ct, const union value *v, struct err *err)
{
	uint64_t limit = prop_is_set(ct, PROP_thread_limit) ? v->u : thread_limit(ct);

	if (limit == 0 && ct->state == CT_STARTING) /* as a new cgroup is */
		return 0;
	return limit_failed(cg_set_pids_max(ct->e->cgroups, &ct->cg, limit), "thread_limit", err);
}

/* ---- cgroups themselves ---- */

const struct cg *ct_home_cg(const struct ct *ct)
{
	while (ct->cg.path == NULL && ct->state != CT_STOPPED && ct->parent != NULL)
		ct = ct->parent;
	return ct->cg.path != NULL ? &ct->cg : NULL;
}

int read_cgroups(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	const struct cg *home = ct_home_cg(ct);
	bool found = false;

	for (int i = 0; home != NULL && i < CG_CTLS; i++) {
		autotext struct text dir = {};
		const char *name = cg_name((enum cg_ctl)i);

		if (cg_dir(ct->e->cgroups, home, (enum cg_ctl)i, &dir) < 0 || (key != NULL && strcmp(key, name) != 0))
			continue;
		found = true;
		if (key != NULL)
			text_add(out, text_str(&dir));
		else
			text_addf(out, "%s%s: %s", out->len > 0 ? "; " : "", name, text_str(&dir));
	}
	if (key != NULL && !found && home == NULL)
		return err_set_no(err, ERR_InvalidState, ENODATA, "cgroups[%.50s]: a stopped container has none", key);
	if (key != NULL && !found)
		return err_set(err, ERR_InvalidProperty, "cgroups[%.50s]: no such hierarchy", key);
	return 0;
}

/*
 * Where it has no cgroup of its own a v1 hierarchy is all there for a root that makes a user namespace and mounts it in there: its
 * files are root's. Who has CAP_SYS_ADMIN needs no such way, and root in a user namespace of the container's is not the host's.
 */
static unsigned hidden_hierarchies(const struct ct *ct)
{
	unsigned mask = 0;

	if (ct_is_root(ct) || ct->owner_uid != 0 || caps_allowed(ct) & CAPS_BIT(CAP_SYS_ADMIN))
		return 0;
	for (const struct ct *up = ct; up != NULL; up = up->parent)
		if (userns_wanted(up))
			return 0;
	for (enum cg_ctl c = 0; c < CG_CTLS; c++)
		if (!cg_is_v2(ct->e->cgroups, c))
			mask |= CG_BIT(c);
	return mask;
}

unsigned ct_controllers(const struct ct *ct)
{
	unsigned mask = ct->controllers | CG_BIT(CG_TRACK) | CG_BIT(CG_CPUACCT);

	if (ct->level <= 1)
		mask |= CG_BIT(CG_CPU) | CG_BIT(CG_MEMORY) | CG_BIT(CG_PIDS) | ct->e->default_controllers;
	if (ct->val[PROP_virt_mode].u == VIRT_OS && ct_isolated(ct))
		mask |= CG_BIT(CG_SYSTEMD);
	mask |= devices_controllers(ct) | hidden_hierarchies(ct);
	return mask & cg_available(ct->e->cgroups);
}

int read_controllers(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	unsigned own = ct->state != CT_STOPPED && !ct_is_root(ct) ? ct->cg.own : ct_controllers(ct);

	if (key != NULL) {
		autostrv struct strv names = {};
		bool all = true;

		if (strv_split(key, ';', &names) < 0)
			return -ENOMEM;
		for (size_t i = 0; i < names.n; i++) {
			enum cg_ctl c = cg_find(names.p[i]);

			if (c == CG_CTLS)
				return err_set(err, ERR_InvalidValue, "controllers[%.50s]: unknown controller", names.p[i]);
			all = all && (own & CG_BIT(c));
		}
		text_add(out, all ? "true" : "false");
		return 0;
	}
	for (int i = 0; i < CG_CTLS; i++)
		if (own & CG_BIT(i))
			text_addf(out, "%s%s", out->len > 0 ? ";" : "", cg_name((enum cg_ctl)i));
	return 0;
}

/* Of the host there is the pressure alone. */
static int host_knob(const char *key, struct text *out)
{
	const char *dot = strchr(key, '.');
	char path[64];

	if (strcmp(dot, ".pressure") != 0)
		return -ENOENT;
	snprintf(path, sizeof(path), "/proc/pressure/%.*s", (int)MIN(dot - key, 20), key);
	return file_read(AT_FDCWD, path, 1 << 16, out);
}

int read_knob(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	const struct cg *home = ct_home_cg(ct);
	int r;

	if (ct_is_root(ct))
		r = host_knob(key, out);
	else
		r = home != NULL ? cg_knob(ct->e->cgroups, home, key, out) : -ENOENT;
	if (r == -ENOENT || r == -EINVAL)
		return err_set(err, ERR_InvalidValue, "%.100s: no such cgroup file here", key);
	if (r < 0)
		return err_sys(err, -r, "%.100s", key);
	while (out->len > 0 && out->p[out->len - 1] == '\n')
		out->p[--out->len] = '\0';
	return 0;
}
