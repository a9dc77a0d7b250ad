/* Rights and ranges of property values beyond their types, and what follows from a change. */
#include <stdio.h>

#include "base/fd.h"
#include "base/names.h"
#include "base/proc.h"
#include "base/units.h"
#include "engine/cred.h"
#include "engine/ct.h"
#include "engine/eventlog.h"
#include "engine/fsm.h"
#include "engine/hooks.h"
#include "engine/taken.h"
#include "engine/vol.h"

#define COMMAND_MAX 131072u
#define PRIVATE_MAX 4096u
#define THREAD_LIMIT_MAX 4194304u
#define STDOUT_LIMIT_USER_MAX (UINT64_C(1) << 30)

static int invalid(struct change *c, const char *why)
{
	return err_set(c->err, ERR_InvalidValue, "%s: '%.100s': %s", props[c->prop].name, c->text, why);
}

int check_never(struct change *c)
{
	return err_set(c->err, ERR_NotSupported, "%s: this kernel has no such interface", props[c->prop].name);
}

int check_only_true(struct change *c)
{
	if (c->value->b)
		return 0;
	return err_set(c->err, ERR_NotSupported, "%s: false is not supported: cgroups inside cannot be forbidden here",
		       props[c->prop].name);
}

int check_command(struct change *c)
{
	if (c->len > COMMAND_MAX)
		return err_set(c->err, ERR_InvalidValue, "%s: %zu bytes: at most %u", props[c->prop].name, c->len,
			       COMMAND_MAX);
	return 0;
}

static void unset_prop(struct ct *ct, int prop)
{
	if (props[prop].type->release != NULL)
		props[prop].type->release(&ct->val[prop]);
	memset(&ct->val[prop], 0, sizeof(ct->val[prop]));
	ct->set[prop / 64] &= ~(UINT64_C(1) << (prop % 64));
}

void commit_command(struct change *c)
{
	unset_prop(c->ct, PROP_command_argv);
}

/* One word as a shell would need it quoted, so that command shows what command_argv runs. */
static void add_quoted(struct text *out, const char *word)
{
	if (word[0] != '\0' && strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%") ==
				       strlen(word)) {
		text_add(out, word);
		return;
	}
	text_addc(out, '\'');
	for (; *word != '\0'; word++)
		if (*word == '\'')
			text_add(out, "'\\''");
		else
			text_addc(out, *word);
	text_addc(out, '\'');
}

void commit_argv(struct change *c)
{
	autotext struct text t = {};

	for (size_t i = 0; i < c->value->v.n; i++) {
		if (i > 0)
			text_addc(&t, ' ');
		add_quoted(&t, c->value->v.p[i]);
	}
	free(c->ct->val[PROP_command].s);
	c->ct->val[PROP_command].s = text_take(&t);
}

int check_isolate(struct change *c)
{
	uint64_t mode = c->ct->val[PROP_virt_mode].u;

	if (c->value->b && (mode == VIRT_HOST || mode == VIRT_JOB))
		return invalid(c, "virt_mode host and job have no isolation");
	return 0;
}

/* pids.max of the kernel goes no higher: 4194304, PID_MAX_LIMIT. */
int check_thread_limit(struct change *c)
{
	if (c->value->u > THREAD_LIMIT_MAX)
		return invalid(c, "1 to 4194304, or 0 for no limit");
	return 0;
}

int check_stdout_limit(struct change *c)
{
	if (c->value->u > STDOUT_LIMIT_USER_MAX && c->who->uid != 0)
		return err_set(c->err, ERR_Permission, "stdout_limit: more than 1G needs root");
	return 0;
}

int check_private(struct change *c)
{
	if (c->len > PRIVATE_MAX)
		return err_set(c->err, ERR_InvalidValue, "private: %zu bytes: at most %u", c->len, PRIVATE_MAX);
	return 0;
}

int check_labels(struct change *c)
{
	if (c->value->m.k.n > LABELS_MAX)
		return err_set(c->err, ERR_ResourceNotAvailable, "labels: at most %d", LABELS_MAX);
	return 0;
}

void commit_labels(struct change *c)
{
	const struct pairs *m = &c->value->m;

	if (c->key != NULL) {
		const char *v = pairs_get(m, c->key);
		event_log(c->ct->e, "label", c->ct->name, "%s = %s", c->key, v != NULL ? v : "");
		return;
	}
	for (size_t i = 0; i < m->k.n; i++)
		event_log(c->ct->e, "label", c->ct->name, "%s = %s", m->k.p[i], m->v.p[i]);
}

void commit_aging(struct change *c)
{
	fsm_arm_aging(c->ct);
}

void commit_respawn(struct change *c)
{
	if (c->value->b && c->ct->state == CT_DEAD)
		fsm_schedule_respawn(c->ct);
}

/* Until the rules for other owners (access to source and target) exist, mounts are for containers of root. */
static int check_root_owner(struct change *c)
{
	if (c->who->uid == 0 && c->ct->owner_uid == 0)
		return 0;
	return err_set(c->err, ERR_Permission, "%s: needs root and a container owned by root", props[c->prop].name);
}

int check_root(struct change *c)
{
	if (strncmp(c->text, "..", 2) == 0)
		return err_set(c->err, ERR_Permission, "root: '%s': must not begin with ..", c->text);
	if (c->text[0] != '/')
		return invalid(c, "expected an absolute path");
	if (strcmp(c->text, c->ct->val[PROP_root].s) != 0 && vol_is_mounted_in(c->ct))
		return err_set(c->err, ERR_Busy, "root: volumes are linked below it");
	if (strcmp(c->text, "/") == 0)
		return 0;
	return c->ct->owner_uid != 0 ? vol_check_root(c->ct, c->text, c->err) : check_root_owner(c);
}

static const char *const bind_flags[] = { "ro",   "rw",     "rec",     "dev",        "nodev",    "suid",    "nosuid",
					  "exec", "noexec", "private", "unbindable", "noatime", "nodiratime", "relatime" };

/* "source target [flag,...]": see PROPERTIES.md 6. */
static int check_bind_item(struct change *c, const char *item)
{
	autostrv struct strv words = {}, flags = {};

	if (strv_split(item, ' ', &words) < 0)
		return err_sys(c->err, ENOMEM, "bind");
	if (words.n < 2 || words.n > 3)
		return err_set(c->err, ERR_InvalidValue, "bind: '%.200s': expected source target [flag,flag...]", item);
	if (words.p[0][0] != '/' || words.p[1][0] != '/')
		return err_set(c->err, ERR_InvalidValue, "bind: '%.200s': source and target must be absolute paths", item);
	if (words.n == 3 && strv_split(words.p[2], ',', &flags) < 0)
		return err_sys(c->err, ENOMEM, "bind");
	for (size_t i = 0; i < flags.n; i++)
		if (names_find(bind_flags, ARRAY_LEN(bind_flags), flags.p[i]) < 0)
			return err_set(c->err, ERR_InvalidValue, "bind: unknown flag '%.100s'", flags.p[i]);
	return 0;
}

int check_bind(struct change *c)
{
	for (size_t i = 0; i < c->value->v.n; i++) {
		int r = check_bind_item(c, c->value->v.p[i]);
		if (r < 0)
			return r;
	}
	return c->value->v.n > 0 ? check_root_owner(c) : 0;
}

/* /dev/fd/N is descriptor N of whoever writes this: it is taken now, because the writer may be gone at the start. */
int check_stream(struct change *c)
{
	autoclose int pidfd = -1;
	unsigned n;
	char end;
	int fd;

	if (strncmp(c->text, "/dev/fd/", 8) != 0) {
		if (c->text[0] != '\0' && c->text[0] != '/')
			return invalid(c, "expected an absolute path or /dev/fd/N");
		return 0;
	}
	if (sscanf(c->text + 8, "%u%c", &n, &end) != 1)
		return invalid(c, "expected /dev/fd/ and a number");
	if (c->who->pid <= 0)
		return invalid(c, "the writer is not visible from here");
	pidfd = proc_open(c->who->pid, 0);
	if (pidfd < 0)
		return invalid(c, "the writer has gone");
	fd = fd_from_process(pidfd, (int)n);
	if (fd == -EBADF)
		return invalid(c, "the writer has no such descriptor");
	if (fd < 0)
		return err_sys(c->err, -fd, "%s: descriptor %u of process %d", props[c->prop].name, n, (int)c->who->pid);
	c->taken_fd = fd + 1;
	if (!cred_may_take(c->who->pid, c->who->uid))
		return err_set(c->err, ERR_Permission, "%s: the writer has more rights than who opened the file",
			       props[c->prop].name);
	return taken_check(fd, c->who->pid, props[c->prop].name, c->err);
}

void commit_stream(struct change *c)
{
	struct stream *s = &c->ct->streams[c->prop == PROP_stdin_path ? 0 : c->prop == PROP_stdout_path ? 1 : 2];

	taken_close(c->ct->e, s->fd);
	s->fd = c->taken_fd - 1;
	s->pid = c->taken_fd != 0 ? c->who->pid : 0;
	s->pid_start = 0;
	s->uid = c->who->uid;
	s->dev = s->ino = 0;
	if (s->pid != 0) {
		(void)proc_start_time(s->pid, &s->pid_start);
		(void)taken_identity(s->fd, &s->dev, &s->ino);
	}
	c->taken_fd = 0;
}

/* ---- users and groups ---- */

int check_user(struct change *c)
{
	uid_t uid;

	if (c->text[0] != '\0' && cred_user(c->text, &uid, NULL) < 0)
		return invalid(c, "no such user");
	return 0;
}

void commit_user(struct change *c)
{
	uid_t uid = c->ct->owner_uid;
	gid_t gid = c->ct->owner_gid;

	if (c->text[0] != '\0')
		(void)cred_user(c->text, &uid, &gid);
	c->ct->task_uid = uid;
	if (!prop_is_set(c->ct, PROP_group) && gid != (gid_t)-1)
		c->ct->task_gid = gid;
}

int check_group(struct change *c)
{
	gid_t gid;

	if (c->text[0] != '\0' && cred_group(c->text, &gid) < 0)
		return invalid(c, "no such group");
	return 0;
}

void commit_group(struct change *c)
{
	gid_t gid = c->ct->owner_gid;

	if (c->text[0] != '\0')
		(void)cred_group(c->text, &gid);
	c->ct->task_gid = gid;
}

int check_owner_user(struct change *c)
{
	uid_t uid;

	if (cred_user(c->text, &uid, NULL) < 0)
		return invalid(c, "no such user");
	if (c->who->uid != 0 && c->who->uid != uid)
		return err_set(c->err, ERR_Permission, "owner_user: only root may give a container to %s", c->text);
	return 0;
}

/* Keeps the group when the new user belongs to it. */
void commit_owner_user(struct change *c)
{
	gid_t gid = (gid_t)-1;
	struct ct *ct = c->ct;

	(void)cred_user(c->text, &ct->owner_uid, &gid);
	if (gid != (gid_t)-1 && !cred_in_group(ct->owner_uid, ct->owner_gid))
		ct->owner_gid = gid;
}

int check_owner_group(struct change *c)
{
	gid_t gid;

	if (cred_group(c->text, &gid) < 0)
		return invalid(c, "no such group");
	if (c->who->uid != 0 && c->who->gid != gid && !cred_in_group(c->ct->owner_uid, gid))
		return err_set(c->err, ERR_Permission, "owner_group: %s is not a group of the owner", c->text);
	return 0;
}

void commit_owner_group(struct change *c)
{
	(void)cred_group(c->text, &c->ct->owner_gid);
}

/* A user's name stands for the whole of its credentials: the two properties behind it are set. */
static int write_cred(struct change *c, int user_prop, int group_prop)
{
	char group[24];
	struct change part = *c;
	uid_t uid;
	gid_t gid = (gid_t)-1;
	int r;

	if (cred_user(c->text, &uid, &gid) < 0)
		return invalid(c, "no such user");
	part.prop = user_prop;
	r = prop_change(&part);
	if (r < 0 || gid == (gid_t)-1)
		return r;
	snprintf(group, sizeof(group), "%u", (unsigned)gid);
	part.prop = group_prop;
	part.text = group;
	part.len = strlen(group);
	return prop_change(&part);
}

int write_owner_cred(struct change *c)
{
	return write_cred(c, PROP_owner_user, PROP_owner_group);
}

int write_task_cred(struct change *c)
{
	return write_cred(c, PROP_user, PROP_group);
}

/* ---- controllers ---- */

static int controllers_mask(struct change *c, const char *text, unsigned *mask)
{
	static const char *const unused[] = { "net_cls", "perf_event", "systemd" }; /* names of upstream's */
	autostrv struct strv names = {};

	if (strv_split(text, ';', &names) < 0)
		return err_sys(c->err, ENOMEM, "controllers");
	*mask = 0;
	for (size_t i = 0; i < names.n; i++) {
		enum cg_ctl ctl = cg_find(names.p[i]);

		if (names_find(unused, ARRAY_LEN(unused), names.p[i]) >= 0)
			return err_set(c->err, ERR_NotSupported, "controllers: containers have no cgroup of %s here", names.p[i]);
		if (ctl == CG_CTLS)
			return err_set(c->err, ERR_InvalidValue, "controllers: unknown controller '%.100s'", names.p[i]);
		if (!(cg_available(c->ct->e->cgroups) & CG_BIT(ctl)))
			return err_set(c->err, ERR_NotSupported, "controllers: this host has no usable %s controller",
				       names.p[i]);
		*mask |= CG_BIT(ctl);
	}
	return 0;
}

/* What was set back to what it is without being set. */
static bool is_default(const struct ct *ct, int prop)
{
	const struct prop_type *t = props[prop].type;
	union value def = {};
	bool same;

	if (props[prop].def != NULL && t->parse(props[prop].def, &def) < 0)
		return false;
	same = t->equal(&ct->val[prop], &def);
	if (t->release != NULL)
		t->release(&def);
	return same;
}

int write_controllers(struct change *c)
{
	unsigned mask = 0, needed = CG_BIT(CG_TRACK);
	struct ct *ct = c->ct;
	bool on = true;
	int r;

	for (int i = 0; i < PROP_COUNT; i++)
		if (props[i].type != NULL && prop_is_set(ct, i) && !is_default(ct, i))
			needed |= props[i].ctls;
	r = controllers_mask(c, c->key != NULL ? c->key : c->text, &mask);
	if (r < 0)
		return r;
	if (c->key != NULL) {
		if (unit_bool_parse(c->text, &on) < 0)
			return invalid(c, "expected true or false");
		mask = on ? ct->controllers | mask : ct->controllers & ~mask;
	} else if (c->append) {
		mask |= ct->controllers;
	}
	if (needed & ~(mask | CG_BIT(CG_TRACK)))
		return invalid(c, "a property that is set needs a controller that would be lost");
	ct->controllers = mask | CG_BIT(CG_TRACK);
	ct->set[PROP_controllers / 64] |= UINT64_C(1) << (PROP_controllers % 64);
	return 0;
}
