/* What this kernel and host can and cannot do: `.porto/features`, `portod check`; and cgroups that nobody owns. */
#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <grp.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include "base/fd.h"
#include "base/proc.h"
#include "base/units.h"
#include "engine/cgroup_devices.h"
#include "engine/cpu.h"
#include "engine/ct.h"
#include "engine/io.h"
#include "engine/net.h"
#include "layerstore/layerstore.h"

#define FDS_WANTED 16384

static bool readable(const char *path)
{
	return access(path, F_OK) == 0;
}

static const char *no_user_namespaces(void)
{
	char max[32];

	if (!readable("/proc/self/ns/user"))
		return "missing: the kernel has none";
	if (file_read_small(AT_FDCWD, "/proc/sys/user/max_user_namespaces", max, sizeof(max)) > 0 && atoi(max) == 0)
		return "missing: user.max_user_namespaces is 0";
	return "yes";
}

int features_format(const struct config *conf, struct cgroups *g, struct engine *e, struct text *out)
{
	struct utsname un;
	struct rlimit fds = {};
	int missing = 0;

	if (uname(&un) == 0)
		text_addf(out, "kernel: %s\n", un.release);
	cg_describe(g, out);
	if (!proc_has_cap(CAP_SYS_RESOURCE))
		text_add(out, "ulimit: no CAP_SYS_RESOURCE: limits above the daemon's own hard limits are refused, defaults are clamped\n");
	else
		text_add(out, "ulimit: yes\n");
	features_cpu(g, out);
	io_features(g, out);
	text_addf(out, "pressure: %s\n", readable("/proc/pressure/cpu") ? "yes" : "missing: the kernel has no PSI or it is off (psi=1)");
	text_addf(out, "pid namespaces: %s\n", readable("/proc/self/ns/pid") ? "yes" : "missing");
	missing += !readable("/proc/self/ns/pid");
	(void)getrlimit(RLIMIT_NOFILE, &fds);
	text_addf(out, "open files: %llu%s\n", (unsigned long long)fds.rlim_max,
		  fds.rlim_max < FDS_WANTED ? ": a running container needs one, with a memory limit two; raise LimitNOFILE for thousands" : "");
	for (int i = 0; i < PROP_COUNT; i++) {
		const char *why = props[i].lacks != NULL ? props[i].lacks(g) : NULL;

		if (props[i].lacks != NULL)
			text_addf(out, "%s: %s%s\n", props[i].name, why != NULL ? "missing: " : "yes", why != NULL ? why : "");
	}
	text_addf(out, "device access: %s%s\n", cg_devices_lacks(g) != NULL ? "missing: " : cg_devices_by_v1(g) ? "v1 controller" : "BPF",
		  cg_devices_lacks(g) != NULL ? cg_devices_lacks(g) : "");
	for (size_t i = 0; !conf->core_enable && i < 2; i++)
		text_addf(out, "%s: missing: core.enable is off in the configuration\n", i == 0 ? "core_command" : "coredump_filter");
	vol_features(conf->volumes_default_place, out);
	net_features(conf, e, out);
	text_addf(out, "user namespaces: %s\n", no_user_namespaces());
	text_addf(out, "cgroup namespaces: %s\n", readable("/proc/self/ns/cgroup") ? "yes" : "missing: no cgroupfs, no systemd in virt_mode=os");
	return missing;
}

int engine_check(const struct config *conf, struct text *out)
{
	struct cgroups *g;
	struct err err = {};
	unsigned need = CG_BIT(CG_TRACK) | CG_BIT(CG_CPU) | CG_BIT(CG_MEMORY) | CG_BIT(CG_PIDS);
	int r, missing = 0;

	if (access("/dev/fuse", R_OK | W_OK) < 0) {
		text_addf(out, "fuse: missing: /dev/fuse: %s\n", strerror(errno));
		missing++;
	} else {
		text_add(out, "fuse: yes\n");
	}
	if (getgrnam(conf->daemon_group) == NULL)
		text_addf(out, "group %s: missing: only root can make containers\n", conf->daemon_group);
	r = cg_open(conf->daemon_cgroup_root, conf->daemon_cgroup_v2, &g, &err);
	if (r < 0) {
		text_addf(out, "cgroups: %s\n", err.text);
		return r;
	}
	missing += features_format(conf, g, NULL, out);
	controllers_check(conf, g, out);
	missing += __builtin_popcount(need & ~cg_available(g));
	cg_remove_new(g); /* who only looks leaves nothing */
	cg_close(g);
	return missing;
}

/* Of a container that .porto/destroying lists, removed before this worker began; its cgroup may be NAME~ID. */
static bool is_remains(const struct engine *e, const char *cgroup)
{
	size_t len = strcspn(cgroup, "~");

	for (size_t i = 0; i < e->remains.n; i++)
		if (strcspn(e->remains.p[i], "/") == len && strncmp(e->remains.p[i], cgroup, len) == 0)
			return true;
	return false;
}

/* Below a container users may make what they like: what has no owner shows on the first level. */
static void foreign_in(struct engine *e, const char *dir, struct text *out)
{
	DIR *d = opendir(dir);

	if (d == NULL)
		return;
	for (const struct dirent *de; (de = readdir(d)) != NULL;) {
		bool owned = is_remains(e, de->d_name);

		if (de->d_type != DT_DIR || de->d_name[0] == '.' || de->d_name[0] == '+')
			continue;
		for (const struct ct *ct = e->root->children; ct != NULL && !owned; ct = ct->next)
			owned = ct->cg.path != NULL && strcmp(ct->cg.path, de->d_name) == 0;
		for (const struct ct *ct = e->dying; ct != NULL && !owned; ct = ct->next)
			owned = ct->cg.path != NULL && strcmp(ct->cg.path, de->d_name) == 0;
		if (!owned)
			text_addf(out, "cgroup %s/%s\n", dir, de->d_name);
	}
	closedir(d);
}

void cg_list_foreign(struct engine *e, struct text *out)
{
	autostrv struct strv seen = {};

	for (int c = 0; c < CG_CTLS; c++) {
		autotext struct text dir = {};
		bool again = false;

		if (cg_dir(e->cgroups, &e->root->cg, (enum cg_ctl)c, &dir) < 0)
			continue;
		for (size_t i = 0; i < seen.n; i++)
			again = again || strcmp(seen.p[i], text_str(&dir)) == 0;
		if (again || strv_add(&seen, text_str(&dir)) < 0)
			continue;
		foreign_in(e, text_str(&dir), out);
	}
}
