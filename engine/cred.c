#include "engine/cred.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>

#include "base/fd.h"
#include "base/proc.h"
#include "base/units.h"
#include "engine/access.h"

#define GROUPS_MAX 256
#define NOWHERE UINT32_MAX /* no container has this number */

/* Users may have made cgroups below their container's: the longest prefix that is one of ours. */
static struct ct *find_by_cgroup(struct engine *e, char *path)
{
	for (;;) {
		struct ct *ct = ct_find_name(e, path);
		char *slash;

		if (ct != NULL && ct->cg.path != NULL && strcmp(ct->cg.path, path) == 0)
			return ct;
		for (ct = ct_next(e->root, NULL); ct != NULL; ct = ct_next(e->root, ct))
			if (ct->cg.path != NULL && strcmp(ct->cg.path, path) == 0)
				return ct;
		for (ct = e->dying; ct != NULL; ct = ct->next)
			if (ct->cg.path != NULL && strcmp(ct->cg.path, path) == 0)
				return NULL;
		slash = strrchr(path, '/');
		if (slash == NULL)
			return NULL;
		*slash = '\0';
	}
}

struct ct *cred_lives(struct engine *e, pid_t pid)
{
	autotext struct text path = {};
	int r = pid > 0 ? cg_of_pid(e->cgroups, pid, &path) : -ENOENT;

	if (r == -ENOENT || (r == 0 && (path.len == 0 || path.p[0] == '.')))
		return e->root;
	return r == 0 ? find_by_cgroup(e, path.p) : NULL;
}

struct ct *cred_home(struct engine *e, pid_t pid)
{
	struct ct *ct = cred_lives(e, pid);

	return ct != NULL ? ct : e->root;
}

struct ct *cred_caller(struct engine *e, const struct engine_cred *who)
{
	struct ct *ct = who->home != 0 ? access_home(e, who) : cred_lives(e, who->pid);

	return ct != NULL ? ct : e->root;
}

bool cred_is_super(struct engine *e, const struct engine_cred *who)
{
	const struct ct *home = who->uid == 0 ? access_home(e, who) : NULL;

	return home != NULL && access_of(home) == ACCESS_FULL;
}

int cred_effective(struct engine *e, const struct engine_cred *who, struct engine_cred *as, struct ct **home)
{
	struct ct *lives = who->home != 0 ? access_home(e, who) : access_home_now(e, who);

	*as = *who;
	*home = lives != NULL ? lives : e->root;
	as->home = lives != NULL ? lives->id : NOWHERE;
	/* a task that root runs as somebody else must not be root to those it owns: it would start them as root */
	if (!ct_is_root(*home) && ((*home)->owner_uid != 0 || who->uid == 0)) {
		as->uid = (*home)->owner_uid;
		as->gid = (*home)->owner_gid;
	}
	return 0;
}

static bool process_in_group(pid_t pid, gid_t gid)
{
	char path[40], buf[8192], *groups;
	unsigned long g;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if (file_read_small(AT_FDCWD, path, buf, sizeof(buf)) < 0)
		return false;
	groups = strstr(buf, "\nGroups:");
	if (groups == NULL)
		return false;
	for (groups += 8; *groups != '\n' && *groups != '\0';) {
		char *end;

		g = strtoul(groups, &end, 10);
		if (end == groups)
			break;
		if (g == gid)
			return true;
		groups = end;
		while (*groups == ' ' || *groups == '\t')
			groups++;
	}
	return false;
}

int cred_check_access(struct engine *e, const struct engine_cred *who, struct err *err)
{
	const struct ct *home = access_home(e, who);

	if (home == NULL || access_of(home) <= ACCESS_READ_ONLY)
		return err_set_no(err, ERR_Permission, EACCES, "Write access denied: %s%s", home != NULL ? "enable_porto is " :
				  "the container is gone", home != NULL ? access_names[access_of(home)] : "");
	if (who->uid == 0)
		return 0;
	if (e->conf->daemon_read_only)
		return err_set(err, ERR_PortoFrozen, "the daemon is configured read_only");
	if (e->porto_gid != (gid_t)-1 && who->gid == e->porto_gid)
		return 0;
	if (!ct_is_root(home))
		return 0; /* inside a container: the owner's right to be here was checked when it was made */
	if (e->porto_gid != (gid_t)-1 && process_in_group(who->pid, e->porto_gid))
		return 0;
	return err_set_no(err, ERR_Permission, EACCES, "Write access denied: user %u is not in group %s", (unsigned)who->uid,
			  e->conf->daemon_group);
}

int cred_check_owner(struct ct *ct, const struct engine_cred *who, struct err *err)
{
	struct ct *home = access_home(ct->e, who);
	int r;

	if (ct_is_root(ct))
		return err_set_no(err, ERR_Permission, EPERM, "The root container is read-only");
	if (home == NULL)
		return err_set(err, ERR_Permission, "the caller's container is gone");
	r = access_check(home, ct, false, err);
	return r < 0 ? r : cred_check_user(ct, who, err);
}

int cred_check_user(struct ct *ct, const struct engine_cred *who, struct err *err)
{
	if (who->uid == 0 || who->uid == ct->owner_uid)
		return 0;
	return err_set(err, ERR_Permission, "container %s belongs to user %u", ct->name, (unsigned)ct->owner_uid);
}

uint32_t engine_home(struct engine *e, const struct engine_cred *who)
{
	const struct ct *ct = access_home_now(e, who);

	return ct != NULL ? ct->id : NOWHERE;
}

bool cred_may_take(pid_t pid, uid_t uid)
{
	uid_t owner;

	return uid == 0 || (proc_owner(pid, &owner) == 0 && owner == uid);
}

int cred_user(const char *text, uid_t *uid, gid_t *gid)
{
	const struct passwd *pw = NULL;
	uint64_t n;

	if (unit_uint_parse(text, &n) == 0) {
		if (n >= (uid_t)-1)
			return -EINVAL;
		*uid = (uid_t)n;
		pw = getpwuid(*uid);
	} else {
		pw = getpwnam(text);
		if (pw == NULL)
			return -EINVAL;
		*uid = pw->pw_uid;
	}
	if (gid != NULL)
		*gid = pw != NULL ? pw->pw_gid : (gid_t)-1;
	return 0;
}

int cred_group(const char *text, gid_t *gid)
{
	const struct group *gr;
	uint64_t n;

	if (unit_uint_parse(text, &n) == 0) {
		if (n >= (gid_t)-1)
			return -EINVAL;
		*gid = (gid_t)n;
		return 0;
	}
	gr = getgrnam(text);
	if (gr == NULL)
		return -EINVAL;
	*gid = gr->gr_gid;
	return 0;
}

void cred_user_name(uid_t uid, struct text *out)
{
	const struct passwd *pw;

	if (uid == 0) { /* by far the commonest, and no look-up may fail for it */
		text_add(out, "root");
		return;
	}
	pw = getpwuid(uid);
	if (pw != NULL)
		text_add(out, pw->pw_name);
	else
		text_addf(out, "%u", (unsigned)uid);
}

void cred_group_name(gid_t gid, struct text *out)
{
	const struct group *gr;

	if (gid == 0) {
		text_add(out, "root");
		return;
	}
	gr = getgrgid(gid);
	if (gr != NULL)
		text_add(out, gr->gr_name);
	else
		text_addf(out, "%u", (unsigned)gid);
}

static int account_groups(uid_t uid, gid_t gid, gid_t *groups, int max)
{
	const struct passwd *pw = getpwuid(uid);
	char *name;
	int n = max;

	if (pw == NULL)
		return 0;
	name = strdup(pw->pw_name);
	if (name == NULL)
		return 0;
	if (getgrouplist(name, gid, groups, &n) < 0)
		n = max;
	free(name);
	return n;
}

bool cred_in_group(uid_t uid, gid_t gid)
{
	const struct passwd *pw = getpwuid(uid);
	gid_t groups[GROUPS_MAX];
	int n;

	if (pw == NULL)
		return false;
	n = account_groups(uid, pw->pw_gid, groups, GROUPS_MAX);
	for (int i = 0; i < n; i++)
		if (groups[i] == gid)
			return true;
	return false;
}

void cred_groups(uid_t uid, gid_t gid, struct text *out)
{
	gid_t groups[GROUPS_MAX];
	int n;

	if (uid == 0) {
		text_addf(out, "%u", (unsigned)gid);
		return;
	}
	n = account_groups(uid, gid, groups, GROUPS_MAX);
	if (n == 0)
		text_addf(out, "%u", (unsigned)gid);
	for (int i = 0; i < n; i++)
		text_addf(out, "%s%u", i > 0 ? "," : "", (unsigned)groups[i]);
}

void cred_format(uid_t uid, gid_t gid, struct text *out)
{
	gid_t groups[GROUPS_MAX];
	int n = account_groups(uid, gid, groups, GROUPS_MAX);

	text_addf(out, "%u %u", (unsigned)uid, (unsigned)gid);
	for (int i = 0; i < n; i++)
		if (groups[i] != gid)
			text_addf(out, " %u", (unsigned)groups[i]);
}

int cred_check_start(struct ct *ct, const struct engine_cred *who, struct err *err)
{
	if (who->uid == 0 && ct->owner_uid == 0)
		return 0;
	if (ct->task_uid == 0 && ct->owner_uid != 0)
		return err_set(err, ERR_Permission, "user root needs a container owned by root, or userns=true");
	if (who->uid != 0 && ct->task_uid != who->uid && ct->task_uid != ct->owner_uid)
		return err_set(err, ERR_Permission, "user %u may not run a task as user %u", (unsigned)who->uid,
			       (unsigned)ct->task_uid);
	if (ct->owner_uid != 0 && ct->task_uid != ct->owner_uid)
		return err_set(err, ERR_Permission, "owner %u may not run a task as user %u", (unsigned)ct->owner_uid,
			       (unsigned)ct->task_uid);
	if (ct->owner_uid != 0 && ct->task_gid != ct->owner_gid && !cred_in_group(ct->owner_uid, ct->task_gid))
		return err_set(err, ERR_Permission, "group %u belongs neither to the owner nor to the user",
			       (unsigned)ct->task_gid);
	return 0;
}
