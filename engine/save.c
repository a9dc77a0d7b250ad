#include "engine/save.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/names.h"
#include "base/proc.h"
#include "engine/init/proto.h"
#include "engine/limits.h"

#define IDS_RESERVED 1000u

int save_open(struct engine *e, struct err *err)
{
	const char *dir = e->conf->daemon_state_dir;
	char boot[37], saved[64];
	int r;

	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return err_sys(err, errno, "state directory %s", dir);
	e->state_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (e->state_fd < 0)
		return err_sys(err, errno, "state directory %s", dir);
	r = proc_boot_id(boot);
	if (r < 0)
		return err_sys(err, -r, "boot id");
	/* records of another boot describe nothing that lives; a state directory that is not a tmpfs keeps them */
	if (file_read_small(e->state_fd, "boot_id", saved, sizeof(saved)) < 0 || strcmp(saved, boot) != 0) {
		(void)tree_remove(e->state_fd, "ct");
		(void)tree_remove(e->state_fd, "vol"); /* what was mounted is gone */
		r = file_replace(e->state_fd, "boot_id", boot, strlen(boot), 0644);
		if (r < 0)
			return err_sys(err, -r, "state directory %s", dir);
	}
	if (mkdirat(e->state_fd, "ct", 0700) < 0 && errno != EEXIST)
		return err_sys(err, errno, "%s/ct", dir);
	e->ct_fd = openat(e->state_fd, "ct", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (e->ct_fd < 0)
		return err_sys(err, errno, "%s/ct", dir);
	return 0;
}

void save_close(struct engine *e)
{
	if (e->ct_fd >= 0)
		close(e->ct_fd);
	if (e->state_fd >= 0)
		close(e->state_fd);
	e->ct_fd = e->state_fd = -1;
}

/* Ids are given out from a reserve that is written down before, so that one that was ever shown never comes again. */
int save_next_id(struct engine *e, uint32_t *id, struct err *err)
{
	if (e->next_id >= e->reserved_id) {
		char buf[24];
		int n = snprintf(buf, sizeof(buf), "%u\n", e->next_id + IDS_RESERVED);
		int r = file_replace(e->state_fd, "next_id", buf, (size_t)n, 0644);

		if (r < 0)
			return err_sys(err, -r, "%s/next_id", e->conf->daemon_state_dir);
		e->reserved_id = e->next_id + IDS_RESERVED;
	}
	*id = e->next_id++;
	return 0;
}

static void add_u64(struct text *out, const char *name, uint64_t v)
{
	if (v != 0)
		text_addf(out, ".%s = %llu\n", name, (unsigned long long)v);
}

static void add_i64(struct text *out, const char *name, int64_t v)
{
	if (v != 0)
		text_addf(out, ".%s = %lld\n", name, (long long)v);
}

static void add_streams(const struct ct *ct, struct text *out)
{
	for (int i = 0; i < 3; i++) {
		const struct stream *s = &ct->streams[i];

		if (s->pid != 0)
			text_addf(out, ".stream%d = %d %llu %u %llu %llu\n", i, (int)s->pid, (unsigned long long)s->pid_start,
				  (unsigned)s->uid, (unsigned long long)s->dev, (unsigned long long)s->ino);
		if (s->internal)
			text_addf(out, ".internal%d = %llu\n", i, (unsigned long long)s->offset);
	}
}

static void record(const struct ct *ct, struct text *out)
{
	spec_line_format(out, ".name", ct->name);
	text_addf(out, ".state = %s\n", ct_state_names[ct->state]);
	add_u64(out, "unique", ct->unique);
	add_i64(out, "result", ct->unique_result);
	text_addf(out, ".owner = %u %u\n.task = %u %u\n", (unsigned)ct->owner_uid, (unsigned)ct->owner_gid,
		  (unsigned)ct->task_uid, (unsigned)ct->task_gid);
	add_u64(out, "controllers", ct->controllers);
	add_u64(out, "controllers_set", prop_is_set(ct, PROP_controllers));
	add_u64(out, "holds", ct->holds);
	if (ct->has_cg) {
		spec_line_format(out, ".cgroup", ct->cg.path);
		add_u64(out, "cgroup_own", ct->cg.own);
	}
	add_u64(out, "work", ct->has_work);
	add_u64(out, "meta", ct->is_meta);
	add_u64(out, "frozen", ct->frozen);
	if (ct->state == CT_STOPPING && !ct->op_hard)
		add_u64(out, "deadline", ct->op_deadline);
	if (ct->pid != 0)
		text_addf(out, ".pid = %d %llu %d\n", (int)ct->pid, (unsigned long long)ct->pid_start, ct->task_gone);
	add_streams(ct, out);
	add_i64(out, "exit_status", ct->exit_status);
	add_u64(out, "oom_killed", ct->oom_killed);
	add_u64(out, "core_dumped", ct->core_dumped);
	add_u64(out, "oom_kills", ct->oom_kills);
	add_u64(out, "oom_kills_total", ct->oom_kills_total);
	add_u64(out, "oom_hits", ct->oom.hits);
	add_u64(out, "oom_seen", ct->oom.kills);
	add_u64(out, "oom_before", ct->oom.before);
	add_u64(out, "oom_when", ct->oom.when);
	add_u64(out, "pressed", ct->pressed);
	add_u64(out, "start_boot", ct->start_boot);
	add_u64(out, "death_boot", ct->death_boot);
	add_i64(out, "start_wall", ct->start_wall);
	add_i64(out, "death_wall", ct->death_wall);
	add_i64(out, "creation_wall", ct->creation_wall);
	add_i64(out, "change_wall", ct->change_wall);
	add_u64(out, "respawns", ct->respawns);
	if (ct->net_ip != NULL)
		spec_line_format(out, ".net_ip", ct->net_ip);
	add_u64(out, "porto", ct->porto);
	if (ct->start_error != NULL)
		spec_line_format(out, ".start_error", ct->start_error);
	if (ct->error != NULL)
		spec_line_format(out, ".error", ct->error);
	for (int i = 0; i < PROP_COUNT; i++) {
		autotext struct text value = {};

		if (props[i].type == NULL || !prop_is_set(ct, i))
			continue;
		props[i].type->format(&ct->val[i], &value);
		spec_line_format(out, props[i].name, text_str(&value));
	}
}

static void record_name(const struct ct *ct, char name[24])
{
	snprintf(name, 24, "%u", (unsigned)ct->id);
}

static int save_record(struct ct *ct, uint64_t cookie, int result, size_t max, struct err *err)
{
	autotext struct text out = {};
	uint64_t unique = ct->unique;
	int unique_result = ct->unique_result;
	char name[24];
	int r;

	if (ct->destroying || ct_is_root(ct))
		return 0;
	if (cookie != 0) {
		ct->unique = cookie;
		ct->unique_result = result;
	}
	record(ct, &out);
	record_name(ct, name);
	r = text_ok(&out);
	if (r == 0 && out.len > max)
		r = -E2BIG;
	else if (r == 0)
		r = file_replace(ct->e->ct_fd, name, out.p, out.len, 0600);
	if (r == 0)
		return 0;
	ct->unique = unique;
	ct->unique_result = unique_result;
	if (r == -E2BIG)
		return err_set_no(err, ERR_InvalidValue, E2BIG, "all values of %s together would have %zu bytes: at most %zu", ct->name,
				  out.len, max);
	return err_sys(err, -r, "cannot save container %s in %s", ct->name, ct->e->conf->daemon_state_dir);
}

int save_ct(struct ct *ct, uint64_t cookie, int result, struct err *err)
{
	return save_record(ct, cookie, result, SIZE_MAX, err);
}

int save_change(struct ct *ct, uint64_t cookie, struct err *err)
{
	return save_record(ct, cookie, 0, RECORD_BYTES_MAX, err);
}

static void gone_name(const struct ct *ct, char name[64])
{
	snprintf(name, 64, "%u.gone.%llu", (unsigned)ct->id, (unsigned long long)ct->unique);
}

int save_gone(struct ct *ct, uint64_t cookie, struct err *err)
{
	char from[24], to[64];

	if (ct->gone && cookie == 0)
		return 0;
	if (cookie != 0)
		ct->unique = cookie;
	record_name(ct, from);
	gone_name(ct, to);
	if (renameat(ct->e->ct_fd, from, ct->e->ct_fd, to) < 0 && errno != ENOENT)
		return err_sys(err, errno, "cannot save that container %s is gone", ct->name);
	ct->gone = true;
	return 0;
}

static void status_name(const struct ct *ct, char name[32])
{
	snprintf(name, 32, "%u.status", (unsigned)ct->id);
}

void save_forget(struct ct *ct)
{
	char name[64], status[32];

	gone_name(ct, name);
	status_name(ct, status);
	/* the record last: while it is there, the next daemon finishes what we could not */
	(void)unlinkat(ct->e->ct_fd, status, 0);
	(void)unlinkat(ct->e->ct_fd, name, 0);
}

int save_status_create(struct ct *ct, struct err *err)
{
	autoclose int fd = -1;
	char name[32], page[STATUS_SIZE];
	int r;

	status_name(ct, name);
	/* never the file of an earlier process: one that an engine which died had just made may yet write to it */
	for (int tries = 0; fd < 0 && tries < 2; tries++) {
		fd = openat(ct->e->ct_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0 && (errno != EEXIST || (unlinkat(ct->e->ct_fd, name, 0) < 0 && errno != ENOENT)))
			break;
	}
	if (fd < 0)
		return err_sys(err, errno, "status file of %s", ct->name);
	memset(page, ' ', sizeof(page));
	memcpy(page, "starting", 8);
	page[STATUS_LINE - 1] = '\n';
	page[STATUS_LINE] = '\n';
	r = fd_write_all(fd, page, sizeof(page));
	if (r < 0)
		return err_sys(err, -r, "status file of %s", ct->name);
	return TAKE_FD(fd);
}

int save_status_parse(int fd, struct init_status *ret)
{
	static const char *const words[] = { [STATUS_STARTING] = "starting",
					     [STATUS_FAILED] = "failed",
					     [STATUS_STARTED] = "started",
					     [STATUS_EXITED] = "exited" };
	char page[STATUS_SIZE + 1], word[16];
	int a = 0, b = 0, phase;
	struct stat st;
	ssize_t n;

	memset(ret, 0, sizeof(*ret));
	n = pread(fd, page, sizeof(page) - 1, 0);
	if (n < STATUS_LINE || fstat(fd, &st) < 0)
		return -EIO;
	page[n] = '\0';
	if (sscanf(page, "%15s %d %d", word, &a, &b) < 1)
		return -EIO;
	phase = names_find(words, ARRAY_LEN(words), word);
	if (phase < 0)
		return -EIO;
	ret->phase = (enum status_phase)phase;
	ret->when = st.st_mtim.tv_sec;
	if (ret->phase == STATUS_FAILED) {
		ret->kind = a;
		ret->no = b;
		snprintf(ret->text, sizeof(ret->text), "%.*s", (int)strcspn(page + STATUS_LINE, "\n"), page + STATUS_LINE);
	} else {
		ret->pid = a;
		ret->status = b;
	}
	return 0;
}

int save_status_read(struct ct *ct, struct init_status *ret)
{
	autoclose int fd = -1;
	char name[32];

	memset(ret, 0, sizeof(*ret));
	status_name(ct, name);
	fd = openat(ct->e->ct_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : save_status_parse(fd, ret);
}

/* ---- requests answered before a restart ---- */

struct replay {
	struct replay *next;
	uint64_t unique;
	uint32_t id;
	int result;
};

int save_replay_add(struct engine *e, uint64_t unique, uint32_t id, int result)
{
	struct replay *r = malloc(sizeof(*r));

	if (r == NULL)
		return -ENOMEM;
	*r = (struct replay){ .next = e->replay, .unique = unique, .id = id, .result = result };
	e->replay = r;
	return 0;
}

bool save_replayed(struct engine *e, uint64_t cookie, uint32_t *id, int *result)
{
	if (e->replay == NULL || cookie == 0)
		return false;
	for (const struct replay *r = e->replay; r != NULL; r = r->next)
		if (r->unique == cookie) {
			*id = r->id;
			*result = r->result;
			return true;
		}
	return false;
}

void save_replay_done(struct engine *e)
{
	while (e->replay != NULL) {
		struct replay *r = e->replay;

		e->replay = r->next;
		free(r);
	}
}
