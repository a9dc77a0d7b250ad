/* Live values of properties: identity, times, credentials, results. What asks cgroups is in read_cg.c. */
#include <fcntl.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/units.h"
#include "engine/cred.h"
#include "engine/ct.h"
#include "engine/env.h"
#include "engine/hooks.h"
#include "engine/io.h"
#include "engine/net.h"
#include "engine/output.h"
#include "engine/run.h"

#define NSEC UINT64_C(1000000000)
#define EXIT_CODE_OOM (-99)

#define NO_INDEX(name) \
	do { \
		int r_ = no_index(key, err, name); \
		if (r_ < 0) \
			return r_; \
	} while (0)

int read_absolute_name(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	NO_INDEX("absolute_name");
	ct_absolute(ct, out);
	return 0;
}

int read_id(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	NO_INDEX("id");
	text_addf(out, "%u", (unsigned)ct->id);
	return 0;
}

int read_level(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	NO_INDEX("level");
	text_addf(out, "%u", ct->level);
	return 0;
}

int read_parent(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	NO_INDEX("parent");
	if (ct->parent != NULL)
		ct_absolute(ct->parent, out);
	return 0;
}

int read_state(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	NO_INDEX("state");
	text_add(out, ct_state_names[ct->state]);
	return 0;
}

int read_error(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	NO_INDEX("error");
	text_add(out, ct->error != NULL ? ct->error : "");
	return 0;
}

int read_start_error(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	NO_INDEX("start_error");
	text_add(out, ct->start_error != NULL ? ct->start_error : "");
	return 0;
}

/* ---- times ---- */

static int wall(const char *name, int64_t epoch, const char *key, struct text *out, struct err *err)
{
	if (key != NULL && strcmp(key, "raw") != 0)
		return err_set(err, ERR_InvalidValue, "%s[%.50s]: the only index is raw", name, key);
	if (epoch == 0)
		return 0;
	if (key != NULL)
		text_addf(out, "%lld", (long long)epoch);
	else
		unit_wall_format(out, epoch);
	return 0;
}

int read_creation_time(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	return wall("creation_time", ct->creation_wall, key, out, err);
}

int read_start_time(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	return wall("start_time", ct->start_wall, key, out, err);
}

int read_death_time(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	return wall("death_time", ct->death_wall, key, out, err);
}

int read_change_time(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	return wall("change_time", ct->change_wall, key, out, err);
}

uint64_t ct_seconds(const struct ct *ct, bool since_death)
{
	if (ct_is_root(ct)) {
		struct sysinfo si;
		return sysinfo(&si) == 0 ? (uint64_t)si.uptime : 0;
	}
	if (since_death)
		return (clock_boot() - ct->death_boot) / NSEC;
	if (ct->state == CT_STOPPED || ct->start_boot == 0)
		return 0;
	if (ct->state == CT_DEAD || ct->state == CT_RESPAWNING)
		return (ct->death_boot - ct->start_boot) / NSEC;
	return (clock_boot() - ct->start_boot) / NSEC;
}

int read_time(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	if (key != NULL && strcmp(key, "dead") != 0)
		return err_set(err, ERR_InvalidValue, "time[%.50s]: the only index is dead", key);
	if (key != NULL && ct->state != CT_DEAD)
		return err_set_no(err, ERR_InvalidState, ENODATA, "time[dead]: not dead");
	text_addu(out, ct_seconds(ct, key != NULL));
	return 0;
}

/* ---- the end ---- */

int ct_exit_code(const struct ct *ct)
{
	if (ct->oom_killed)
		return EXIT_CODE_OOM;
	if (WIFSIGNALED(ct->exit_status))
		return -WTERMSIG(ct->exit_status);
	return WEXITSTATUS(ct->exit_status);
}

int read_exit_code(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	NO_INDEX("exit_code");
	text_addf(out, "%d", ct_exit_code(ct));
	return 0;
}

int read_exit_status(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	NO_INDEX("exit_status");
	text_addf(out, "%d", ct->exit_status);
	return 0;
}

static void add_bool(struct text *out, bool b)
{
	text_add(out, b ? "true" : "false");
}

int read_oom_killed(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	NO_INDEX("oom_killed");
	add_bool(out, ct->oom_killed);
	return 0;
}

int read_core_dumped(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	NO_INDEX("core_dumped");
	add_bool(out, ct->core_dumped);
	return 0;
}

int read_root_pid(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	pid_t pid = 0;

	NO_INDEX("root_pid");
	if (ct->pid == 0 || ct->task_gone || task_main_pid(ct, &pid) < 0)
		return err_set_no(err, ERR_InvalidState, ENODATA, "root_pid: no process");
	text_addf(out, "%d", (int)pid);
	return 0;
}

/* ---- credentials ---- */

int read_user(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	NO_INDEX("user");
	cred_user_name(ct->task_uid, out);
	return 0;
}

int read_group(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	NO_INDEX("group");
	cred_group_name(ct->task_gid, out);
	return 0;
}

int read_owner_user(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	NO_INDEX("owner_user");
	cred_user_name(ct->owner_uid, out);
	return 0;
}

int read_owner_group(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	NO_INDEX("owner_group");
	cred_group_name(ct->owner_gid, out);
	return 0;
}

int read_owner_cred(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	NO_INDEX("owner_cred");
	cred_format(ct->owner_uid, ct->owner_gid, out);
	return 0;
}

int read_task_cred(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	NO_INDEX("task_cred");
	cred_format(ct->task_uid, ct->task_gid, out);
	return 0;
}

/* ---- context ---- */

bool ct_isolated(const struct ct *ct)
{
	return ct->val[PROP_isolate].b && ct->val[PROP_virt_mode].u != VIRT_JOB && ct->val[PROP_virt_mode].u != VIRT_HOST;
}

int read_isolate(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	NO_INDEX("isolate");
	add_bool(out, ct_isolated(ct));
	return 0;
}

bool ct_has_root(const struct ct *ct)
{
	const char *root = ct->val[PROP_root].s;

	return root != NULL && root[0] != '\0' && strcmp(root, "/") != 0;
}

bool ct_in_root(const struct ct *ct)
{
	while (ct != NULL && !ct_has_root(ct))
		ct = ct->parent;
	return ct != NULL;
}

int read_cwd(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	const char *cwd = ct->val[PROP_cwd].s;
	bool top;

	NO_INDEX("cwd");
	if (cwd != NULL && cwd[0] == '/') {
		text_add(out, cwd);
		return 0;
	}
	if (cwd != NULL && cwd[0] != '\0' && ct->parent != NULL) {
		int r = read_cwd(ct->parent, NULL, out, err);

		text_addf(out, "%s%s", out->len > 0 && out->p[out->len - 1] == '/' ? "" : "/", cwd);
		return r;
	}
	top = ct_is_root(ct) || ct_has_root(ct) || (ct->val[PROP_virt_mode].u == VIRT_OS && ct_isolated(ct));
	if (!top && (ct->val[PROP_virt_mode].u == VIRT_JOB || (!ct->val[PROP_isolate].b && ct->level > 1)))
		return read_cwd(ct->parent, NULL, out, err);
	/* in the root of one above its own directory is not to be found */
	if (top || ct_in_root(ct))
		text_add(out, "/");
	else
		work_path(ct, out);
	return 0;
}

/* Containers nest: each one's root is seen from its parent's. */
int read_root_path(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	NO_INDEX("root_path");
	if (ct->parent != NULL) {
		int r = read_root_path(ct->parent, NULL, out, err);
		if (r < 0)
			return r;
	}
	if (ct->parent == NULL || ct_has_root(ct)) {
		if (out->len == 1)
			text_clear(out);
		text_add(out, ct->parent == NULL ? "/" : ct->val[PROP_root].s);
	}
	return 0;
}

int read_env(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	if (key == NULL) {
		type_env.format(&ct->val[PROP_env], out);
		return 0;
	}
	if (env_effective(ct, key, out) < 0)
		return err_set_no(err, ERR_InvalidValue, ENODATA, "env[%.100s]: not defined", key);
	return 0;
}

int read_env_secret(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	return env_secret_format(ct, key, out, err);
}

int read_labels(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	const char *value;

	if (key == NULL) {
		type_labels.format(&ct->val[PROP_labels], out);
		return 0;
	}
	value = pairs_get(&ct->val[PROP_labels].m, key[0] == '.' ? key + 1 : key);
	while (value == NULL && key[0] == '.' && ct->parent != NULL) {
		ct = ct->parent;
		value = pairs_get(&ct->val[PROP_labels].m, key + 1);
	}
	if (value == NULL)
		return err_set(err, ERR_LabelNotFound, "%.150s: not set", key);
	text_add(out, value);
	return 0;
}

/* ---- output ---- */

int read_output_out(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	return output_range(ct, 1, key, out, err);
}

int read_output_err(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	return output_range(ct, 2, key, out, err);
}

int read_stdout_offset(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	NO_INDEX("stdout_offset");
	text_addf(out, "%llu", (unsigned long long)ct->streams[1].offset);
	return 0;
}

int read_stderr_offset(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	NO_INDEX("stderr_offset");
	text_addf(out, "%llu", (unsigned long long)ct->streams[2].offset);
	return 0;
}

/* Things that run, but that an administrator should know of. */
int read_taint(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	static const char *const level1[] = { "memory_limit", "cpu_limit" };

	NO_INDEX("taint");
	if (ct_is_root(ct))
		return 0;
	for (size_t i = 0; ct->level == 1 && i < ARRAY_LEN(level1); i++)
		if (!prop_is_set(ct, prop_find(level1[i])))
			text_addf(out, "%sfirst-level container without %s", out->len > 0 ? "\n" : "", level1[i]);
	if (ct->val[PROP_virt_mode].u == VIRT_HOST)
		text_addf(out, "%svirt_mode host: no isolation at all", out->len > 0 ? "\n" : "");
	else if (ct->task_uid == 0 && !ct_has_root(ct))
		text_addf(out, "%sruns as root on the host's filesystem", out->len > 0 ? "\n" : "");
	io_taint(ct, out);
	net_taint(ct, out);
	return 0;
}

int read_readme(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	static const char *const places[] = { "/usr/share/porto/README", "/usr/local/share/porto/README" };

	(void)ct;
	(void)key;
	if (engine_readme_path[0] != '\0' && file_read(AT_FDCWD, engine_readme_path, 1 << 20, out) >= 0)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		if (file_read(AT_FDCWD, places[i], 1 << 20, out) >= 0)
			return 0;
	return err_set(err, ERR_InvalidData, "README is not installed");
}
