#include "engine/ulimit.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "base/proc.h"
#include "base/units.h"
#include "engine/cred.h"
#include "engine/hooks.h"

#define MIB (UINT64_C(1) << 20)
#define MEMLOCK_SPARE (16 * MIB) /* below memory_limit, so that not all of it can be pinned */
#define MEMLOCK_MIN (8 * MIB)
#define PASSES_MAX 8

/* ---- which limits ---- */

/* What map says, where nothing nearer has said it. */
static void fill(struct limits *l, const struct pairs *map, enum limit_from from)
{
	for (size_t i = 0; i < map->k.n; i++) {
		uint64_t soft, hard;
		int res = ulimit_resource(map->k.p[i]);

		if (res < 0 || l->of[res].from != LIMIT_UNSET || ulimit_values(map->v.p[i], &soft, &hard) < 0)
			continue;
		l->of[res].from = from;
		l->of[res].soft = soft;
		l->of[res].hard = hard;
	}
}

static void fill_one(struct limits *l, int res, uint64_t soft, uint64_t hard)
{
	if (l->of[res].from != LIMIT_UNSET)
		return;
	l->of[res].from = LIMIT_DEFAULT;
	l->of[res].soft = soft;
	l->of[res].hard = hard;
}

static uint64_t sysctl_number(const char *path, uint64_t otherwise)
{
	char buf[32];
	uint64_t v;

	if (file_read_small(AT_FDCWD, path, buf, sizeof(buf)) <= 0 || unit_uint_parse(buf, &v) < 0)
		return otherwise;
	return v;
}

uint64_t ulimit_nproc(void)
{
	return MIN(sysctl_number("/proc/sys/kernel/pid_max", 32768), sysctl_number("/proc/sys/kernel/threads-max", 32768)) / 2;
}

/* The memory that can be locked: a part of the smallest memory_limit that was set in the chain. */
static uint64_t memlock(const struct ct *ct)
{
	uint64_t limit = 0;

	for (; ct != NULL; ct = ct->parent) {
		uint64_t own = prop_is_set(ct, PROP_memory_limit) ? ct->val[PROP_memory_limit].u : 0;

		if (own != 0 && (limit == 0 || own < limit))
			limit = own;
	}
	return limit > MEMLOCK_SPARE + MEMLOCK_MIN ? limit - MEMLOCK_SPARE : MEMLOCK_MIN;
}

int ulimit_effective(const struct ct *ct, const struct pairs *own, struct limits *ret)
{
	union value configured = {};
	uint64_t nproc = ulimit_nproc();
	int r;

	memset(ret, 0, sizeof(*ret));
	fill(ret, own != NULL ? own : &ct->val[PROP_ulimit].m, LIMIT_EXPLICIT);
	for (const struct ct *it = ct->parent; it != NULL; it = it->parent)
		fill(ret, &it->val[PROP_ulimit].m, LIMIT_EXPLICIT);
	r = type_ulimit.parse(ct->e->conf->container_default_ulimit, &configured);
	if (r < 0)
		return r;
	fill(ret, &configured.m, LIMIT_DEFAULT);
	type_ulimit.release(&configured);
	fill_one(ret, RLIMIT_NPROC, nproc, nproc);
	fill_one(ret, RLIMIT_MEMLOCK, memlock(ct), RLIM_INFINITY);
	fill_one(ret, RLIMIT_NOFILE, ct->e->files.rlim_cur, ct->e->files.rlim_max);
	return 0;
}

void ulimit_raise_files(struct engine *e)
{
	struct rlimit all;

	if (getrlimit(RLIMIT_NOFILE, &e->files) < 0)
		return;
	all = (struct rlimit){ .rlim_cur = e->files.rlim_max, .rlim_max = e->files.rlim_max };
	(void)setrlimit(RLIMIT_NOFILE, &all);
}

/* ---- what may be asked for ---- */

static bool may_raise(void)
{
	return proc_has_cap(CAP_SYS_RESOURCE);
}

static void add_limit(struct text *out, uint64_t v)
{
	if (v == RLIM_INFINITY)
		text_add(out, "unlimited");
	else
		text_addu(out, v);
}

static int above(struct err *err, const char *type, uint64_t hard, const char *what, uint64_t bound, const char *why)
{
	autotext struct text want = {}, most = {};

	add_limit(&want, hard);
	add_limit(&most, bound);
	return err_set_no(err, ERR_Permission, EPERM, "ulimit: %s: %s is above %s, %s%s", type, text_str(&want), what,
			  text_str(&most), why);
}

#define NO_CAPABILITY ", and the daemon has no CAP_SYS_RESOURCE to raise it"

/* What no cgroup bounds: time before everybody else's on the host, and memory of the kernel. */
static bool is_of_the_host(int res)
{
	return res == RLIMIT_RTPRIO || res == RLIMIT_NICE || res == RLIMIT_MSGQUEUE || res == RLIMIT_SIGPENDING;
}

/* The most that anybody gets here without root: the configured default, or the daemon's own. */
static uint64_t for_everybody(const struct ct *ct, int res)
{
	union value configured = {};
	struct limits l = {};
	struct rlimit mine = {};

	(void)getrlimit((__rlimit_resource_t)res, &mine);
	if (type_ulimit.parse(ct->e->conf->container_default_ulimit, &configured) == 0) {
		fill(&l, &configured.m, LIMIT_DEFAULT);
		type_ulimit.release(&configured);
	}
	return l.of[res].from != LIMIT_UNSET ? MAX(l.of[res].hard, mine.rlim_max) : mine.rlim_max;
}

/* A limit that can't be had here is refused when it is written, not when the container starts. */
int check_ulimit(struct change *c)
{
	const struct pairs *m = &c->value->m;
	bool can_raise = may_raise();

	for (size_t i = 0; i < m->k.n; i++) {
		struct rlimit mine;
		uint64_t soft, hard, files;
		int res = ulimit_resource(m->k.p[i]);

		if (res < 0 || ulimit_values(m->v.p[i], &soft, &hard) < 0)
			continue;
		files = res == RLIMIT_NOFILE ? sysctl_number("/proc/sys/fs/nr_open", RLIM_INFINITY) : RLIM_INFINITY;
		if (hard > files)
			return above(c->err, m->k.p[i], hard, "fs.nr_open", files, "");
		if (c->who->uid != 0 && is_of_the_host(res) && hard > for_everybody(c->ct, res))
			return above(c->err, m->k.p[i], hard, "what only root may give", for_everybody(c->ct, res), "");
		if (!can_raise && getrlimit((__rlimit_resource_t)res, &mine) == 0 && hard > mine.rlim_max)
			return above(c->err, m->k.p[i], hard, "the daemon's own hard limit", mine.rlim_max, NO_CAPABILITY);
	}
	return 0;
}

/* ---- a change while it runs ---- */

struct push {
	struct ct *top;
	struct limits want;
	unsigned types;   /* bits of the resources that change */
	bool is_job;
	bool has_claims;  /* something below has limits of its own */
	bool can_raise;
	bool look;        /* only whether all would go well */
	unsigned changed; /* how many limits so far */
	struct err *err;
	int result;
};

static unsigned types_of(const struct pairs *m)
{
	unsigned types = 0;

	for (size_t i = 0; i < m->k.n; i++)
		types |= 1u << ulimit_resource(m->k.p[i]);
	return types;
}

/* The types that differ, as they are kept: equal text, equal limits. */
static unsigned types_changed(const struct pairs *a, const struct pairs *b)
{
	unsigned types = 0;

	for (size_t i = 0; i < a->k.n; i++) {
		const char *other = pairs_get(b, a->k.p[i]);

		if (other == NULL || strcmp(other, a->v.p[i]) != 0)
			types |= 1u << ulimit_resource(a->k.p[i]);
	}
	for (size_t i = 0; i < b->k.n; i++)
		if (pairs_get(a, b->k.p[i]) == NULL)
			types |= 1u << ulimit_resource(b->k.p[i]);
	return types;
}

static bool is_job(const struct ct *ct)
{
	return ct->val[PROP_virt_mode].u == VIRT_JOB;
}

/* The container whose `ulimit` counts first for pid. A job lives in its parent's cgroups and is known by its session. */
static const struct ct *home_of(struct engine *e, pid_t pid)
{
	struct ct *home = cred_home(e, pid);
	pid_t session = getsid(pid);

	for (struct ct *it = ct_next(home, NULL); it != NULL && session > 0; it = ct_next(home, it))
		if (is_job(it) && it->pid == session)
			return it;
	return home;
}

/* Without what containers between pid and the changed one have set for themselves; nothing if it isn't below that. */
static unsigned types_for(const struct push *p, pid_t pid)
{
	unsigned types = p->types;
	const struct ct *it;

	if (!p->has_claims && !p->is_job)
		return types;
	for (it = home_of(p->top->e, pid); it != NULL && it != p->top; it = it->parent)
		types &= ~types_of(&it->val[PROP_ulimit].m);
	return it != NULL ? types : 0;
}

static int refuse(struct push *p, int no, int res, pid_t pid, const struct rlimit *old)
{
	const char *type = ulimit_name(res);
	char what[64];

	if (old != NULL) {
		snprintf(what, sizeof(what), "the hard limit of process %d", (int)pid);
		return above(p->err, type, p->want.of[res].hard, what, old->rlim_max, NO_CAPABILITY);
	}
	if (no == EPERM)
		return err_set_no(p->err, ERR_Permission, EPERM, "ulimit: %s: the limits of process %d take CAP_SYS_RESOURCE to "
				  "change, which the daemon has not", type, (int)pid);
	return err_sys(p->err, no, "ulimit: %s of process %d", type, (int)pid);
}

/* What it is to have: a default stays within the hard limit that can't be raised. */
static struct rlimit wanted(const struct push *p, int res, const struct rlimit *old)
{
	struct rlimit want = { .rlim_cur = p->want.of[res].soft, .rlim_max = p->want.of[res].hard };

	if (!p->can_raise && p->want.of[res].from != LIMIT_EXPLICIT)
		want.rlim_max = MIN(want.rlim_max, old->rlim_max);
	want.rlim_cur = MIN(want.rlim_cur, want.rlim_max);
	return want;
}

/* The real ids of the process, for whose limits it takes no capability. */
static bool real_ids(pid_t pid, unsigned *uid, unsigned *gid)
{
	char path[40], buf[4096];
	const char *u, *g;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if (file_read_small(AT_FDCWD, path, buf, sizeof(buf)) < 0)
		return false;
	u = strstr(buf, "\nUid:");
	g = strstr(buf, "\nGid:");
	return u != NULL && g != NULL && sscanf(u, "\nUid: %u", uid) == 1 && sscanf(g, "\nGid: %u", gid) == 1;
}

/*
 * Without CAP_SYS_RESOURCE a process may look at and change the limits of those with its own real ids, and root, who can
 * take anybody's, can so lower them. By system calls of this one thread, whose effective ids, and so whose rights, stay; for
 * as long as it takes the other could send us a signal, and a worker may be killed at any time.
 */
static int limit_call(int res, pid_t pid, const struct rlimit *set, struct rlimit *old)
{
	unsigned uid, gid;
	int r;

	if (prlimit(pid, (__rlimit_resource_t)res, set, old) == 0)
		return 0;
	r = -errno;
	if (r != -EPERM || !real_ids(pid, &uid, &gid) || (uid == 0 && gid == 0))
		return r;
	if (syscall(SYS_setresgid, gid, -1, -1) == 0 && syscall(SYS_setresuid, uid, -1, -1) == 0)
		r = prlimit(pid, (__rlimit_resource_t)res, set, old) < 0 ? -errno : 0;
	(void)syscall(SYS_setresuid, 0, -1, -1);
	(void)syscall(SYS_setresgid, 0, -1, -1);
	return r;
}

/* prlimit(2) goes by number. If the process we hold was gone by then, the number may have been somebody else's. */
static int set_limit(int res, pid_t pid, int pidfd, const struct rlimit *want)
{
	struct rlimit old;
	int r = limit_call(res, pid, want, &old);

	if (r < 0 || proc_signal(pidfd, 0) != -ESRCH)
		return r;
	(void)limit_call(res, pid, &old, NULL);
	return -ESRCH;
}

static int push_process(void *arg, pid_t pid, int pidfd)
{
	struct push *p = arg;
	unsigned types = types_for(p, pid);

	for (int res = 0; res < RLIM_NLIMITS; res++) {
		struct rlimit old, want;
		int r;

		if (!(types & 1u << res))
			continue;
		r = limit_call(res, pid, NULL, &old);
		if (r == -ESRCH)
			return 0;
		if (r < 0)
			return p->result = refuse(p, -r, res, pid, NULL);
		want = wanted(p, res, &old);
		if (!p->can_raise && want.rlim_max > old.rlim_max)
			return p->result = refuse(p, EPERM, res, pid, &old);
		if (p->look || (want.rlim_cur == old.rlim_cur && want.rlim_max == old.rlim_max))
			continue;
		r = set_limit(res, pid, pidfd, &want);
		if (r == -ESRCH)
			return 0;
		if (r < 0)
			return p->result = refuse(p, -r, res, pid, NULL);
		p->changed++;
	}
	return 0;
}

static int push_pass(struct push *p)
{
	const struct ct *home = p->top;
	int r;

	while (is_job(home) && home->parent != NULL)
		home = home->parent;
	if (home->cg.path == NULL)
		return 0;
	r = cg_held(home->e->cgroups, &home->cg, push_process, p);
	if (p->result < 0)
		return p->result;
	return r < 0 ? err_sys(p->err, -r, "ulimit") : 0;
}

static bool has_claims(struct ct *top, unsigned types)
{
	for (struct ct *it = ct_next(top, NULL); it != NULL; it = ct_next(top, it))
		if (types_of(&it->val[PROP_ulimit].m) & types)
			return true;
	return false;
}

/* A type that nothing sets any more is what a new process would inherit: ours. */
static int find_wanted(struct push *p, const struct pairs *own)
{
	int r = ulimit_effective(p->top, own, &p->want);

	for (int res = 0; r == 0 && res < RLIM_NLIMITS; res++) {
		struct rlimit mine;

		if (p->want.of[res].from == LIMIT_UNSET && getrlimit((__rlimit_resource_t)res, &mine) == 0)
			fill_one(&p->want, res, mine.rlim_cur, mine.rlim_max);
	}
	return r;
}

/*
 * Looks first, so that what must fail has changed nothing. Then goes on until a pass finds nothing to do: a process that
 * was forked meanwhile has its parent's old limits.
 */
static int push_all(struct ct *ct, const struct pairs *from, const struct pairs *to, struct err *err)
{
	struct push p = { .top = ct, .types = types_changed(from, to), .is_job = is_job(ct), .can_raise = may_raise(), .err = err };
	int r;

	if (p.types == 0)
		return 0;
	p.has_claims = has_claims(ct, p.types);
	r = find_wanted(&p, to);
	if (r < 0)
		return err_sys(err, -r, "ulimit");
	p.look = true;
	r = push_pass(&p);
	p.look = false;
	for (int pass = 0; r == 0 && pass < PASSES_MAX; pass++) {
		unsigned before = p.changed;

		r = push_pass(&p);
		if (p.changed == before)
			break;
	}
	if (r == 0 || p.changed == 0)
		return r;
	/* half way: back, as far as we can */
	p.err = NULL;
	p.result = 0;
	if (find_wanted(&p, from) == 0)
		(void)push_pass(&p);
	return r;
}

void ulimit_reborn(struct ct *ct)
{
	ct->has_ulimit_pushed = false;
	pairs_done(&ct->ulimit_pushed);
}

/*
 * ct->ulimit_pushed is what its processes were given last, where that is known: a change that is taken back comes with
 * the old value in place already. Before the first change it is the value that is set.
 */
int apply_ulimit(struct ct *ct, const union value *v, struct err *err)
{
	const struct pairs *from = ct->has_ulimit_pushed ? &ct->ulimit_pushed : &ct->val[PROP_ulimit].m;
	union value copy = {};
	int r;

	if (ct->pid == 0 && !ct->is_meta)
		return 0; /* its processes are still to be born */
	if (ct->state == CT_STARTING && v != &ct->val[PROP_ulimit])
		return err_set(err, ERR_Busy, "ulimit: the container is just being started");
	r = type_ulimit.copy(v, &copy);
	if (r < 0)
		return err_sys(err, -r, "ulimit");
	r = push_all(ct, from, &v->m, err);
	if (r < 0) {
		type_ulimit.release(&copy);
		return r;
	}
	pairs_done(&ct->ulimit_pushed);
	ct->ulimit_pushed = copy.m;
	ct->has_ulimit_pushed = true;
	return 0;
}

int read_ulimit(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	(void)err;
	if (ct_is_root(ct)) {
		autotext struct text nproc = {};

		text_addu(&nproc, ulimit_nproc());
		if (key == NULL)
			text_addf(out, "nproc: %s %s; ", text_str(&nproc), text_str(&nproc));
		else if (strcmp(key, "nproc") == 0)
			text_addf(out, "nproc: %s %s", text_str(&nproc), text_str(&nproc));
		return 0;
	}
	if (key != NULL)
		return type_ulimit.get_key(&ct->val[PROP_ulimit], key, out);
	type_ulimit.format(&ct->val[PROP_ulimit], out);
	return 0;
}
