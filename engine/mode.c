/* virt_mode: what it makes of properties that are not set, what it refuses, how it is asked to stop. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

#include "base/fd.h"
#include "engine/hooks.h"
#include "engine/userns.h"

#define DOCKER_COMMAND "bash -c 'containerd& dockerd'"
/* systemd halts on it and has it blocked, to read it from a descriptor; nobody else does. */
#define SIG_SYSTEMD_HALT (SIGRTMIN + 3)

static enum virt_mode mode_of(const struct ct *ct)
{
	return (enum virt_mode)ct->val[PROP_virt_mode].u;
}

/* The system itself, not a shell beside it that is in this mode for its root. */
static bool is_system(const struct ct *ct)
{
	return mode_of(ct) == VIRT_OS && ct_isolated(ct);
}

const char *ct_command(const struct ct *ct)
{
	const char *command = ct->val[PROP_command].s;

	if ((command != NULL && command[0] != '\0') || prop_is_set(ct, PROP_command) || prop_is_set(ct, PROP_command_argv))
		return command != NULL ? command : "";
	return mode_of(ct) == VIRT_OS ? "/sbin/init" : mode_of(ct) == VIRT_DOCKER ? DOCKER_COMMAND : "";
}

bool ct_has_command(const struct ct *ct)
{
	return ct_command(ct)[0] != '\0' || ct->val[PROP_command_argv].v.n > 0;
}

int read_command(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	int r = no_index(key, err, "command");

	if (r == 0)
		text_add(out, ct_command(ct));
	return r;
}

bool ct_is_bare(const struct ct *ct)
{
	return mode_of(ct) == VIRT_JOB || is_system(ct);
}

const char *ct_stream_path(const struct ct *ct, int n)
{
	static const int prop[3] = { PROP_stdin_path, PROP_stdout_path, PROP_stderr_path };
	const char *path = ct->val[prop[n]].s;

	if (path != NULL && path[0] != '\0')
		return path;
	return is_system(ct) && !prop_is_set(ct, prop[n]) ? "/dev/null" : "";
}

/* ---- cgroupfs, userns, unshare_on_exec ---- */

const char *ct_cgroupfs(const struct ct *ct)
{
	if (prop_is_set(ct, PROP_cgroupfs) && ct->val[PROP_cgroupfs].s != NULL && ct->val[PROP_cgroupfs].s[0] != '\0')
		return ct->val[PROP_cgroupfs].s;
	if ((is_system(ct) && ct->e->conf->container_use_os_mode_cgroupns) || mode_of(ct) == VIRT_DOCKER)
		return "rw";
	return "none";
}

int read_cgroupfs(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	int r = no_index(key, err, "cgroupfs");

	if (r == 0)
		text_add(out, ct_cgroupfs(ct));
	return r;
}

int check_cgroupfs(struct change *c)
{
	if (c->text[0] != '\0' && strcmp(c->text, "none") != 0 && strcmp(c->text, "ro") != 0 && strcmp(c->text, "rw") != 0)
		return err_set(c->err, ERR_InvalidValue, "cgroupfs: '%.50s': expected none, ro or rw", c->text);
	return 0;
}

int read_userns(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	int r = no_index(key, err, "userns");

	if (r == 0)
		text_add(out, userns_wanted(ct) ? "true" : "false");
	return r;
}

bool ct_unshares(const struct ct *ct)
{
	return prop_is_set(ct, PROP_unshare_on_exec) ? ct->val[PROP_unshare_on_exec].b :
						       ct->val[PROP_enable_fuse].b && !prop_is_set(ct, PROP_userns);
}

int read_unshare(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	int r = no_index(key, err, "unshare_on_exec");

	if (r == 0)
		text_add(out, ct_unshares(ct) ? "true" : "false");
	return r;
}

bool ct_has_mounts(const struct ct *ct)
{
	return ct_has_root(ct) || ct->val[PROP_bind].v.n > 0 || ct->val[PROP_root_readonly].b || strcmp(ct_cgroupfs(ct), "none") != 0 ||
	       userns_wanted(ct) || is_system(ct);
}

/* ---- checks ---- */

int check_virt_mode(struct change *c)
{
	if (c->value->u == VIRT_DOCKER && !c->ct->e->conf->container_enable_docker_mode)
		return err_set(c->err, ERR_NotSupported, "virt_mode: docker is switched off by container.enable_docker_mode");
	return 0;
}

void commit_virt_mode(struct change *c)
{
	if (strcmp(c->text, "fuse") != 0)
		return;
	c->ct->val[PROP_enable_fuse].b = true;
	c->ct->set[PROP_enable_fuse / 64] |= UINT64_C(1) << (PROP_enable_fuse % 64);
}

static int check_parent(const struct ct *ct, struct err *err)
{
	switch (mode_of(ct)) {
	case VIRT_HOST:
		if (ct->parent->parent != NULL && mode_of(ct->parent) != VIRT_HOST)
			return err_set(err, ERR_Permission, "virt_mode host needs a parent in virt_mode host");
		return 0;
	case VIRT_JOB:
		if (ct->level == 1)
			return err_set(err, ERR_InvalidValue, "virt_mode job needs a parent container");
		if (mode_of(ct->parent) == VIRT_JOB)
			return err_set(err, ERR_InvalidValue, "virt_mode job cannot have a parent in virt_mode job");
		if (!ct_has_command(ct))
			return err_set(err, ERR_InvalidValue, "virt_mode job needs a command");
		if (ct->controllers & ~CG_BIT(CG_TRACK))
			return err_set(err, ERR_InvalidValue, "virt_mode job lives in its parent's cgroups and has no limits");
		return 0;
	case VIRT_DOCKER:
		if (mode_of(ct->parent) != VIRT_OS)
			return err_set(err, ERR_InvalidValue, "virt_mode docker needs a parent in virt_mode os");
		if (ct->task_uid == 0 || ct->task_gid == 0)
			return err_set(err, ERR_Permission, "virt_mode docker: user and group must not be root: set both");
		/* fall through */
	default:
		if (mode_of(ct->parent) == VIRT_JOB)
			return err_set(err, ERR_InvalidValue, "a container cannot run inside one in virt_mode job");
		return 0;
	}
}

int mode_check_start(struct ct *ct, struct err *err)
{
	bool plain = mode_of(ct) == VIRT_HOST || mode_of(ct) == VIRT_JOB;
	int r = check_parent(ct, err);

	if (r < 0)
		return r;
	/* he would have what belongs to the host's group root, as a directory of /bin in a root may */
	if (userns_is_own(ct) && ct->task_uid != 0 && ct->task_gid == 0)
		return err_set(err, ERR_Permission, "userns: group is root, the host's, for user %u: set group too", (unsigned)ct->task_uid);
	if (plain && (ct_has_mounts(ct) || ct->val[PROP_userns].b))
		return err_set(err, ERR_InvalidValue, "virt_mode %s cannot have root, bind or other mounts of its own, nor userns",
			       virt_mode_names[mode_of(ct)]);
	if (prop_is_set(ct, PROP_cgroupfs) && strcmp(ct_cgroupfs(ct), "rw") == 0 && !is_system(ct) && mode_of(ct) != VIRT_DOCKER &&
	    !ct->e->conf->container_enable_rw_cgroupfs)
		return err_set(err, ERR_Permission, "cgroupfs rw is switched off by container.enable_rw_cgroupfs");
	return 0;
}

/* ---- stop ---- */

static uint64_t signal_set(const char *status, const char *name)
{
	const char *line = strstr(status, name);

	return line != NULL ? strtoull(line + strlen(name), NULL, 16) : 0;
}

/*
 * SIGPWR is what tells an init that the power fails. systemd does nothing by itself then, and has a signal of its own. Who waits
 * for signals by a descriptor has them blocked, not caught; and in the midst of sigtimedwait, as busybox is, not even that is
 * to be seen. SIGPWR to an init that does not care does nothing.
 */
int mode_stop_signal(const struct ct *ct, pid_t pid)
{
	const int tries[] = { SIG_SYSTEMD_HALT, SIGPWR, SIGTERM };
	char path[40], buf[4096];
	uint64_t handled;

	if (!is_system(ct))
		return SIGTERM;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if (file_read_small(AT_FDCWD, path, buf, sizeof(buf)) < 0)
		return SIGPWR;
	handled = signal_set(buf, "\nSigCgt:") | signal_set(buf, "\nSigBlk:");
	for (size_t i = 0; i < ARRAY_LEN(tries); i++)
		if (handled >> (tries[i] - 1) & 1)
			return tries[i];
	return SIGPWR;
}
