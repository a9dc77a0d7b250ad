/* What a new process is told about its surroundings: namespaces, the network, mounts. */
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "engine/devices.h"
#include "engine/hooks.h"
#include "engine/inside.h"
#include "engine/memory.h"
#include "engine/net.h"
#include "engine/spawn_ops.h"
#include "engine/userns.h"

/* A network of its own belongs to the user namespace, its own or that of above: who is root there may change it as well. */
static int add_userns_net(struct spawn *s, int net_fd)
{
	int at = spawn_pass(s, net_fd, false);

	s->net_fd = net_fd;
	if (at < 0)
		return at;
	spawn_op_num(s, "setns", at);
	spawn_op(s, "0x40000000"); /* CLONE_NEWNET */
	if (!net_has_devices(s->ct))
		spawn_op(s, "lo");
	return 0;
}

/* The user namespace it will enter, and the cgroup namespace that it has now. */
static int add_userns(struct spawn *s, struct err *err)
{
	struct ct *ct = s->ct;
	bool net = net_mode_of(ct) == NET_OWN;
	int user = -1, net_fd = -1, r = 0;

	if (s->userns == ct)
		r = userns_make(ct, &user, net ? &net_fd : NULL, err);
	else if (s->userns != NULL)
		r = user = userns_open(s->b.join_fd >= 0 ? ct_task_owner(ct->parent) : s->userns, err);
	if (r >= 0 && s->userns != NULL && s->userns != ct && net)
		r = net_fd = userns_net(user, err);
	if (r < 0 && user >= 0)
		close(user);
	if (r < 0 || user < 0)
		return r;
	r = spawn_pass(s, user, true);
	if (r >= 0) {
		spawn_op_num(s, "userns", r);
		spawn_op_id(s, s->userns->task_uid);
		spawn_op_id(s, s->userns->task_gid);
		s->enters = true;
	}
	if (net_fd >= 0)
		r = r < 0 ? (close(net_fd), r) : add_userns_net(s, net_fd);
	return r < 0 ? err_sys(err, -r, "container %s", ct->name) : 0;
}

/* Before the mounts: /sys shows the network of who mounts it. */
static int add_net(struct spawn *s, struct err *err)
{
	enum net_mode mode = net_mode_of(s->ct);
	int fd, at;

	if (s->new_net)
		spawn_op(s, "newnet");
	if (mode != NET_CONTAINER && mode != NET_NETNS)
		return 0;
	fd = net_join_fd(s->ct, err);
	if (fd < 0)
		return fd;
	at = spawn_pass(s, fd, true);
	if (at < 0)
		return err_sys(err, -at, "net");
	spawn_op_num(s, "setns", at);
	spawn_op(s, "0x40000000"); /* CLONE_NEWNET */
	return 0;
}

/* Its own, or that of the process whose namespaces it shares: that could not be joined before it is in its cgroup. */
static int add_cgroupns(struct spawn *s)
{
	int at;

	if (strcmp(ct_cgroupfs(s->ct), "none") != 0 && s->b.flags & CLONE_NEWNS) {
		spawn_op(s, "cgroupns");
		return 0;
	}
	if (s->b.join_fd < 0)
		return 0;
	at = spawn_pass(s, s->b.join_fd, false);
	if (at < 0)
		return at;
	spawn_op_num(s, "setns", at);
	spawn_op(s, "0x2000000"); /* CLONE_NEWCGROUP */
	return 0;
}

static void add_sysctls(struct spawn *s)
{
	for (size_t i = 0; i < s->names.sysctls.k.n; i++) {
		spawn_op1(s, "sysctl", s->names.sysctls.k.p[i]);
		spawn_op(s, s->names.sysctls.v.p[i]);
	}
}

/* Half of what memory it may have. */
static uint64_t run_size(const struct ct *ct)
{
	uint64_t size = memory_total();

	for (; ct != NULL; ct = ct->parent) {
		uint64_t limit = memory_limit(ct);

		if (limit != 0)
			size = MIN(size, limit);
	}
	return size / 2;
}

/* Where it has no cgroup of its own it would see, and be able to change, one of somebody else. */
static void add_cgroupfs(struct spawn *s, const char *how)
{
	autotext struct text own = {};
	const struct cgroups *g = s->ct->e->cgroups;

	if (cg_is_v2(g, CG_TRACK))
		text_add(&own, "v2,");
	for (enum cg_ctl c = 0; c < CG_CTLS; c++)
		if ((s->ct->cg.own | CG_BIT(CG_TRACK)) & CG_BIT(c) && !cg_is_v2(g, c))
			text_addf(&own, "%s,", cg_name(c));
	spawn_op1(s, "cgroupfs", how);
	spawn_op(s, text_str(&own));
}

/* What the kernel shows, and what is made anew with each start. */
static int add_filesystems(struct spawn *s, struct err *err)
{
	struct ct *ct = s->ct;
	const char *cgroupfs = ct_cgroupfs(ct);

	if (ct_has_root(ct)) {
		int r;

		spawn_op(s, "dev");
		r = devices_ops(ct, &s->ops, err);
		if (r < 0)
			return r;
	}
	if (ct_has_root(ct) && ct->val[PROP_virt_mode].u == VIRT_OS)
		spawn_op(s, "no_console");
	if (ct_has_root(ct) || s->userns == ct)
		spawn_op(s, "sys");
	/* in a user namespace the queues come to be with the ipc namespace, later, and FUSE's connections are nobody's to mount */
	if (ct_has_root(ct) && ct->val[PROP_virt_mode].u == VIRT_OS && ct_isolated(ct) && s->userns == NULL)
		spawn_op(s, "premount");
	if (s->b.flags & CLONE_NEWPID || ct_has_root(ct))
		spawn_op(s, "proc");
	if (ct_has_root(ct) || (ct->val[PROP_virt_mode].u == VIRT_OS && ct_isolated(ct)))
		spawn_op_num(s, "run", (long)run_size(ct));
	if (ct->val[PROP_virt_mode].u == VIRT_DOCKER && s->userns == ct)
		spawn_op(s, "runtimes");
	if (strcmp(cgroupfs, "none") != 0)
		add_cgroupfs(s, cgroupfs);
	return 0;
}

/* A default must not hide what is bound by hand; what was asked for by name comes over it. */
static int add_names(struct spawn *s, bool must)
{
	for (size_t i = 0; i < s->names.n; i++) {
		struct names_mount *m = &s->names.mounts[i];
		int at;

		if (m->must != must)
			continue;
		at = spawn_pass(s, TAKE_FD(m->fd), true);
		if (at < 0)
			return at;
		spawn_op_num(s, "attach", at);
		spawn_op(s, m->target);
		spawn_op(s, must ? "must" : "try");
	}
	return 0;
}

/* The tree inside; without a word where the root has no place for it and nobody has asked. */
static void add_porto(struct spawn *s)
{
	const char *sub;
	int fd = inside_open(s->ct, &sub), at = fd >= 0 ? spawn_pass(s, fd, true) : -1;

	if (at < 0)
		return;
	spawn_op_num(s, "porto", at);
	spawn_op(s, sub);
	spawn_op(s, prop_is_set(s->ct, PROP_enable_porto) ? "must" : "may");
}

static void add_binds(struct spawn *s)
{
	const struct strv *binds = &s->ct->val[PROP_bind].v;

	for (size_t i = 0; i < binds->n; i++) {
		autostrv struct strv words = {};

		if (strv_split(binds->p[i], ' ', &words) < 0 || words.n < 2)
			continue;
		spawn_op(s, "bind");
		spawn_op(s, words.p[0]);
		spawn_op(s, words.p[1]);
		spawn_op(s, words.n > 2 ? words.p[2] : "");
	}
}

static int add_mounts(struct spawn *s, struct err *err)
{
	struct ct *ct = s->ct;
	bool new_root = ct_has_root(ct) || ct->val[PROP_root_readonly].b;
	int r;

	if (!(s->b.flags & CLONE_NEWNS))
		return 0;
	spawn_op(s, "slave");
	/* to be read-only, what is the parent's too has to be a mount of its own */
	if (new_root && (ct->owner_uid != 0 || !ct_has_root(ct)))
		spawn_op1(s, "plain", ct_has_root(ct) ? "nosuid" : "");
	if (new_root)
		spawn_op1(s, "root", ct_has_root(ct) ? ct->val[PROP_root].s : "/");
	/* as for links of volumes: users could have made what is there */
	if (ct_has_root(ct) && ct->owner_uid == 0)
		spawn_op(s, "suid");
	r = add_filesystems(s, err);
	if (r < 0)
		return r;
	r = add_names(s, false);
	add_porto(s);
	add_binds(s);
	if (r == 0)
		r = add_names(s, true);
	if (ct->val[PROP_root_readonly].b)
		spawn_op(s, "readonly");
	if (new_root)
		spawn_op(s, "pivot");
	return r < 0 ? err_sys(err, -r, "container %s", ct->name) : 0;
}

int spawn_add_world(struct spawn *s, struct err *err)
{
	int r = add_userns(s, err);

	if (r == 0)
		r = add_net(s, err);
	if (r == 0)
		r = names_prepare(s->ct, &s->names, err);
	if (r < 0)
		return r;
	add_sysctls(s);
	if (s->names.hostname != NULL)
		spawn_op1(s, "hostname", s->names.hostname);
	r = add_cgroupns(s);
	return r < 0 ? err_sys(err, -r, "container %s", s->ct->name) : add_mounts(s, err);
}
