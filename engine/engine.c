#include "engine/engine.h"

#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "engine/access.h"
#include "engine/cred.h"
#include "engine/ct.h"
#include "engine/dirs.h"
#include "engine/eventlog.h"
#include "engine/fsm.h"
#include "engine/inside.h"
#include "engine/layer.h"
#include "engine/run.h"
#include "engine/links.h"
#include "engine/net.h"
#include "engine/save.h"
#include "engine/ulimit.h"
#include "engine/wait.h"
#include "engine/watch.h"

#define FIRST_ID 4u /* 1 is the host, 2 and 3 are reserved: spec/PROPERTIES.md 4 */
#define REPLAY_KEEP UINT64_C(30000000000)

char engine_readme_path[PATH_MAX];

/* The directory of the running program, with a slash at the end. */
static void program_dir(char buf[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", buf, PATH_MAX - 1);

	buf[n > 0 ? n : 0] = '\0';
	if (strrchr(buf, '/') != NULL)
		strrchr(buf, '/')[1] = '\0';
}

char *program_path(const char *name)
{
	static const char *const places[] = { "", "../", "../libexec/porto/" };
	char dir[PATH_MAX], *path = NULL;

	program_dir(dir);
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		if (asprintf(&path, "%s%s%s", dir, places[i], name) < 0)
			return NULL;
		if (access(path, X_OK) == 0)
			return path;
		free(path);
	}
	return asprintf(&path, "/usr/libexec/porto/%s", name) < 0 ? NULL : path;
}

static int find_init(const struct config *conf)
{
	autofree char *found = conf->daemon_init_path[0] == '\0' ? program_path("porto-init") : NULL;
	const char *path = found != NULL ? found : conf->daemon_init_path;
	int fd = path[0] != '\0' ? open(path, O_RDONLY | O_CLOEXEC) : -1;

	return fd < 0 ? -(path[0] != '\0' ? errno : ENOMEM) : fd;
}

/* A sealed copy: a container's root, who sees it as /proc/1/exe, can't write to it (CVE-2019-5736). */
static int load_init(struct engine *e, struct err *err)
{
	autoclose int file = find_init(e->conf), mem = -1;
	struct stat st;
	off_t off = 0;

	if (file < 0 || fstat(file, &st) < 0)
		return err_sys(err, file < 0 ? -file : errno, "porto-init");
	mem = memfd_create("porto-init", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (mem < 0)
		return err_sys(err, errno, "porto-init");
	while (off < st.st_size)
		if (sendfile(mem, file, &off, (size_t)(st.st_size - off)) <= 0)
			return err_sys(err, errno != 0 ? errno : EIO, "porto-init");
	if (fcntl(mem, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		return err_sys(err, errno, "porto-init");
	e->init_fd = TAKE_FD(mem);
	return 0;
}

static void on_notes(void *arg, uint32_t events)
{
	struct engine *e = arg;
	uint64_t n;

	(void)events;
	(void)!read(e->notes_watch.fd, &n, sizeof(n));
	task_check_notes(e);
}

static void replays_over(void *arg)
{
	save_replay_done(arg);
}

static int watch_notes(struct engine *e)
{
	int r;

	if (e->conf->notes_fd < 0)
		return 0;
	e->notes_watch = (struct loop_fd){ .fd = e->conf->notes_fd, .fn = on_notes, .arg = e };
	r = loop_add(e->loop, &e->notes_watch, EPOLLIN);
	if (r == 0)
		task_check_notes(e);
	return r;
}

static int set_up(struct engine *e, struct err *err)
{
	const struct group *gr = getgrnam(e->conf->daemon_group);
	char dir[PATH_MAX];
	int r;

	e->porto_gid = gr != NULL ? gr->gr_gid : (gid_t)-1;
	types_host_cores = (unsigned)MAX(sysconf(_SC_NPROCESSORS_CONF), 1);
	program_dir(dir);
	snprintf(engine_readme_path, sizeof(engine_readme_path), "%.4000sREADME", dir);
	r = cg_open(e->conf->daemon_cgroup_root, e->conf->daemon_cgroup_v2, &e->cgroups, err);
	if (r < 0)
		return r;
	e->default_controllers = controllers_default(e->conf, e->cgroups);
	r = save_open(e, err);
	if (r < 0)
		return r;
	r = load_init(e, err);
	if (r < 0)
		return r;
	r = ct_new(e, NULL, "/", ENGINE_ROOT, &e->root);
	if (r < 0)
		return err_sys(err, -r, "engine");
	e->root->state = CT_META;
	e->root->is_meta = true;
	e->root->cg.path = strdup("");
	e->root->cg.own = cg_available(e->cgroups);
	e->root->creation_wall = (int64_t)(clock_wall() / 1000000000u);
	r = event_open(e, err);
	if (r == 0)
		r = vol_save_open(e, err);
	if (r == 0)
		r = store_open(e, err);
	if (r == 0)
		r = net_open(e, err);
	if (r == 0)
		r = restore_all(e, err);
	if (r == 0)
		r = vol_restore(e, err);
	if (r == 0)
		r = store_restore(e, err);
	return r;
}

int engine_new(struct loop *loop, const struct config *conf, const struct engine_events *events, void *arg,
	       struct engine **ret, struct err *err)
{
	struct engine *e = calloc(1, sizeof(*e));
	int r;

	if (e == NULL)
		return err_sys(err, ENOMEM, "engine");
	e->loop = loop;
	e->conf = conf;
	e->events = events;
	e->events_arg = arg;
	e->vol_fd = -1;
	e->state_fd = e->ct_fd = e->work_fd = e->init_fd = -1;
	e->next_id = e->reserved_id = FIRST_ID;
	ulimit_raise_files(e);
	r = set_up(e, err);
	if (r == 0)
		r = watch_notes(e);
	if (r < 0) {
		engine_free(e);
		return r;
	}
	e->replay_timer = (struct loop_timer){ .fn = replays_over, .arg = e };
	(void)loop_after(loop, &e->replay_timer, REPLAY_KEEP);
	if (e->restored > 0)
		log_info("%d containers restored, %d tasks adopted", e->restored, e->adopted);
	for (struct ct *ct = ct_next(e->root, NULL); ct != NULL; ct = ct_next(e->root, ct))
		access_count(ct);
	e->serving = true;
	if (conf->fresh)
		inside_again(e);
	*ret = e;
	return 0;
}

void engine_free(struct engine *e)
{
	if (e == NULL)
		return;
	wait_free(e);
	links_free(e);
	net_close(e);
	store_close(e);
	vol_save_close(e);
	while (e->root != NULL && e->root->children != NULL) {
		struct ct *leaf = e->root->children;

		while (leaf->children != NULL)
			leaf = leaf->children;
		ct_free(leaf);
	}
	while (e->dying != NULL)
		ct_free(e->dying);
	ct_free(e->root);
	watch_close(e);
	event_close(e);
	save_replay_done(e);
	loop_cancel(e->loop, &e->tick);
	loop_cancel(e->loop, &e->replay_timer);
	loop_cancel(e->loop, &e->sweep_timer);
	strv_done(&e->remains);
	strv_done(&e->remains_files);
	if (e->notes_watch.fn != NULL)
		loop_del(e->loop, &e->notes_watch);
	save_close(e);
	if (e->work_fd >= 0)
		close(e->work_fd);
	seed_end(&e->seed);
	if (e->init_fd >= 0)
		close(e->init_fd);
	for (size_t i = 0; i < LAST_ERRORS; i++) {
		free(e->uid_errors[i].text);
		free(e->pid_errors[i].text);
	}
	for (size_t i = 0; i < UNDOS; i++)
		snapshot_done(&e->undo[i].before);
	if (e->cgroups != NULL)
		cg_close(e->cgroups);
	free(e->io_seen.counts.disk);
	free(e);
}

/* ---- errors ---- */

static void keep_error(struct last_error *slot, const struct engine_cred *who, uint32_t home, const char *text)
{
	free(slot->text);
	*slot = (struct last_error){ .uid = who->uid, .pid = who->pid, .home = home, .text = strdup(text) };
}

/* Where the caller lives is part of whose errors they are: root of a container is not told the host's. */
static uint32_t error_home(struct engine *e, const struct engine_cred *who, struct text *line)
{
	struct ct *home = access_home(e, who);

	if (home == NULL)
		return 0;
	if (line != NULL && line->len > 0) {
		access_shorten(access_mount(home), line->p);
		line->len = strlen(line->p);
	}
	return home->id;
}

void engine_note_error(struct engine *e, const struct engine_cred *who, const struct engine_node *n, const struct err *err)
{
	struct ct *ct = n != NULL && n->dir == DIR_CT ? ct_find(e, n->ct) : NULL;
	char text[ERR_TEXT_MAX + 64];
	autotext struct text line = {};
	uint32_t home;

	if (err == NULL || err->kind == ERR_Success)
		return;
	e->counters.errors++;
	if (n != NULL && (n->dir == DIR_VOLUME || n->dir == DIR_LINKS) && vol_find(e, n->ct) != NULL)
		vol_note_error(vol_find(e, n->ct), err);
	if (n != NULL && (n->dir == DIR_LAYER || n->dir == DIR_STORAGE || n->dir == DIR_META) && item_find(e, n->ct) != NULL)
		item_note_error(e, item_find(e, n->ct), err);
	text_addf(&line, "%d %s", (int)err->kind, err_format(err, text, sizeof(text)));
	for (char *p = line.p; p != NULL && *p != '\0'; p++)
		if (*p == '\n')
			*p = ' ';
	if (text_ok(&line) < 0)
		return;
	if (ct != NULL && !ct_is_root(ct)) {
		free(ct->error);
		ct->error = strdup(line.p);
		if (!ct->destroying)
			(void)save_ct(ct, 0, 0, NULL);
	}
	home = error_home(e, who, &line);
	keep_error(&e->uid_errors[(who->uid + home) % LAST_ERRORS], who, home, line.p);
	keep_error(&e->pid_errors[(unsigned)who->pid % LAST_ERRORS], who, home, line.p);
}

const char *engine_last_error(struct engine *e, const struct engine_cred *who)
{
	uint32_t home = error_home(e, who, NULL);
	const struct last_error *own = &e->pid_errors[(unsigned)who->pid % LAST_ERRORS];
	const struct last_error *uid = &e->uid_errors[(who->uid + home) % LAST_ERRORS];

	if (own->text != NULL && own->pid == who->pid && own->uid == who->uid && own->home == home)
		return own->text;
	return uid->text != NULL && uid->uid == who->uid && uid->home == home ? uid->text : "";
}

static int refused(struct engine *e, const struct engine_cred *who, uint32_t ct, int r, const struct err *err)
{
	struct engine_node n = { .dir = DIR_CT, .ct = ct };

	if (r < 0)
		engine_note_error(e, who, &n, err);
	return r;
}

/* ---- the tree ---- */

int engine_lookup(struct engine *e, const struct engine_node *parent, const char *name, enum engine_dir *dir, uint32_t *id)
{
	const struct dir_ops *ops = dir_ops(parent->dir);
	struct ct *up, *ct;

	if (ops != NULL)
		return ops->lookup != NULL ? ops->lookup(e, parent, name, dir, id) : -ENOENT;
	up = ct_find(e, parent->ct);
	if (up == NULL || up->destroying)
		return -ENOENT;
	ct = ct_child(up, name);
	if (ct == NULL)
		return -ENOENT;
	*dir = DIR_CT;
	*id = ct->id;
	return 0;
}

bool engine_next_child(struct engine *e, const struct engine_node *parent, struct engine_child *child)
{
	const struct dir_ops *ops = dir_ops(parent->dir);
	struct ct *up, *ct = NULL, *last;

	child->is_file = false;
	if (ops != NULL)
		return ops->next_child != NULL && ops->next_child(e, parent, child);
	up = ct_find(e, parent->ct);
	if (up == NULL || up->destroying)
		return false;
	last = child->number != 0 ? ct_find(e, (uint32_t)child->number) : NULL;
	if (last != NULL && last->parent == up)
		ct = last->next;
	else
		for (ct = up->children; ct != NULL && ct->id <= child->number;)
			ct = ct->next;
	if (ct == NULL)
		return false;
	*child = (struct engine_child){ .number = ct->id, .name = ct->base, .dir = DIR_CT, .id = ct->id };
	return true;
}

uint32_t engine_parent(struct engine *e, uint32_t id)
{
	struct ct *ct = ct_find(e, id);

	return ct != NULL && ct->parent != NULL ? ct->parent->id : 0;
}

int engine_self(struct engine *e, const struct engine_cred *who, uint32_t dir, struct text *out)
{
	const struct ct *ct = cred_caller(e, who), *at = ct_find(e, dir);
	const char *name;

	if (at == NULL)
		return -ENOENT;
	if (ct == at)
		text_addc(out, '.');
	else if (access_name(at, ct, &name))
		text_add(out, name);
	else
		return -ENOENT;
	return text_ok(out);
}

/* What a replayed request had done; true and its answer. */
static bool replayed(struct engine *e, uint64_t cookie, uint32_t *id, int *result)
{
	return e->replay != NULL && save_replayed(e, cookie, id, result);
}

static int make_child(struct engine *e, const struct engine_cred *as, struct ct *up, const char *name, uint64_t cookie,
		      struct ct **ret, struct err *err)
{
	struct ct *ct;
	uint32_t id;
	int r = save_next_id(e, &id, err);

	if (r < 0)
		return r;
	r = ct_new(e, up, name, id, &ct);
	if (r < 0)
		return err_sys(err, -r, "container %s", name);
	ct->owner_uid = ct->task_uid = as->uid;
	ct->owner_gid = ct->task_gid = as->gid;
	ct->creation_wall = ct->change_wall = (int64_t)(clock_wall() / 1000000000u);
	r = save_ct(ct, cookie, 0, err);
	if (r < 0) {
		ct_free(ct);
		return r;
	}
	*ret = ct;
	return 0;
}

static int check_new(struct engine *e, struct ct *up, const struct engine_cred *as, const char *name, struct err *err)
{
	size_t len = strlen(name) + (up->parent != NULL ? strlen(up->name) + 1 : 0);
	uint64_t cap = e->conf->container_max_total;
	int file, r = name_check(name, err);
	size_t key;

	if (r < 0)
		return r;
	if (len > (as->uid == 0 ? NAME_PATH_MAX_SUPERUSER : NAME_PATH_MAX))
		return err_set_no(err, ERR_InvalidValue, ENAMETOOLONG, "container name is longer than %d",
				  as->uid == 0 ? NAME_PATH_MAX_SUPERUSER : NAME_PATH_MAX);
	if (up->level >= CT_LEVEL_MAX)
		return err_set(err, ERR_InvalidValue, "containers nest at most %d levels", CT_LEVEL_MAX);
	if (engine_file_find(DIR_CT, name) >= 0 || engine_name(DIR_CT, name, &file, &key) >= 0 || strcmp(name, "self") == 0)
		return err_set_no(err, ERR_InvalidValue, EEXIST, "'%.100s' is the name of a file here", name);
	if (ct_child(up, name) != NULL)
		return err_set(err, ERR_ContainerAlreadyExists, "container %s%s%s already exists", up->parent != NULL ? up->name : "",
			       up->parent != NULL ? "/" : "", name);
	if (e->count >= cap)
		return err_set(err, ERR_ResourceNotAvailable, "there are %zu containers, the most that max_total allows", e->count);
	return 0;
}

/* A change to a directory that is not a container's. */
static int change_dir(struct dir_call *c, int (*change)(const struct dir_call *c))
{
	uint32_t id;
	int r;

	if (replayed(c->e, c->cookie, &id, &r))
		return r;
	if (change == NULL)
		return err_set_no(c->err, ERR_Permission, EPERM, "nothing can be changed here");
	cred_effective(c->e, c->who, &c->effective, &c->home);
	c->as = &c->effective;
	r = cred_check_access(c->e, c->who, c->err);
	if (r == 0)
		r = change(c);
	if (r < 0)
		engine_note_error(c->e, c->who, c->node, c->err);
	return r;
}

static int make_in_dir(struct dir_call *c, struct engine_child *made)
{
	const struct dir_ops *ops = dir_ops(c->node->dir);
	int r;

	if (ops->make == NULL)
		return err_set_no(c->err, ERR_Permission, EPERM, "nothing can be made here");
	/* done before, by a worker that died: then it is there */
	if (replayed(c->e, c->cookie, &made->id, &r) && r == 0 &&
	    engine_lookup(c->e, c->node, c->name, &made->dir, &made->id) == 0)
		return 0;
	cred_effective(c->e, c->who, &c->effective, &c->home);
	c->as = &c->effective;
	r = cred_check_access(c->e, c->who, c->err);
	if (r == 0)
		r = ops->make(c, made);
	if (r < 0)
		engine_note_error(c->e, c->who, c->node, c->err);
	return r;
}

int engine_mkdir(struct engine *e, const struct engine_cred *who, uint64_t cookie, const struct engine_node *parent,
		 const char *name, struct engine_child *made, struct err *err)
{
	struct dir_call c = { .e = e, .who = who, .cookie = cookie, .node = parent, .name = name, .err = err };
	struct ct *up, *ct = NULL, *home;
	struct engine_cred as;
	int r;

	if (!engine_exists(e, parent))
		return err_set(err, ERR_ContainerDoesNotExist, "the parent container is gone");
	if (parent->dir != DIR_CT)
		return make_in_dir(&c, made);
	up = ct_find(e, parent->ct);
	made->dir = DIR_CT;
	if (replayed(e, cookie, &made->id, &r) && r == 0 && ct_find(e, made->id) != NULL)
		return 0;
	cred_effective(e, who, &as, &home);
	r = cred_check_access(e, who, err);
	if (r == 0)
		r = access_check(home, up, true, err);
	if (r == 0 && up->parent != NULL)
		r = cred_check_user(up, &as, err);
	if (r == 0)
		r = check_new(e, up, &as, name, err);
	if (r == 0)
		r = make_child(e, &as, up, name, cookie, &ct, err);
	if (r < 0)
		return refused(e, who, up->id, r, err);
	e->counters.created++;
	event_log(e, "created", ct->name, NULL);
	made->id = ct->id;
	return 0;
}

int engine_rmdir(struct engine *e, const struct engine_cred *who, uint64_t cookie, const struct engine_node *parent,
		 const char *name, struct err *err)
{
	const struct dir_ops *ops = dir_ops(parent->dir);
	struct dir_call c = { .e = e, .who = who, .cookie = cookie, .node = parent, .name = name, .err = err };
	struct ct *up, *ct, *home;
	struct engine_cred as;
	uint32_t id;
	int r;

	if (ops != NULL)
		return change_dir(&c, ops->remove);
	if (replayed(e, cookie, &id, &r))
		return r;
	up = ct_find(e, parent->ct);
	ct = up != NULL && !up->destroying ? ct_child(up, name) : NULL;
	if (ct == NULL || !access_shows(e, who, ct))
		return err_set(err, ERR_ContainerDoesNotExist, "container %.100s does not exist", name);
	cred_effective(e, who, &as, &home);
	r = cred_check_access(e, who, err);
	if (r == 0)
		r = cred_check_owner(ct, &as, err);
	if (r == 0)
		r = save_gone(ct, cookie, err);
	if (r < 0)
		return refused(e, who, ct->id, r, err);
	fsm_destroy(ct);
	return 0;
}

int engine_unlink(struct engine *e, const struct engine_cred *who, uint64_t cookie, const struct engine_node *dir,
		  const char *name, struct err *err)
{
	const struct dir_ops *ops = dir_ops(dir->dir);
	struct dir_call c = { .e = e, .who = who, .cookie = cookie, .node = dir, .name = name, .err = err };

	if (ops == NULL || ops->unlink == NULL)
		return -EPERM;
	return change_dir(&c, ops->unlink);
}

static int change_number(struct ct *ct, const struct engine_cred *who, int prop, unsigned number, struct err *err)
{
	char text[16];
	struct change c = { .ct = ct, .prop = prop, .who = who, .text = text, .err = err };

	c.len = (size_t)snprintf(text, sizeof(text), "%u", number);
	return prop_change(&c);
}

static int chown_in_dir(struct engine *e, const struct engine_cred *who, uint64_t cookie, const struct engine_node *n, uid_t uid,
			gid_t gid, struct err *err)
{
	struct dir_call c = { .e = e, .who = who, .cookie = cookie, .node = n, .err = err };
	const struct dir_ops *ops = dir_ops(n->dir);
	uint32_t id;
	int r;

	if (ops->chown == NULL)
		return -EPERM;
	if (replayed(e, cookie, &id, &r))
		return r;
	/* who stands in a directory may name it when it is gone */
	if (ops->exists != NULL && !ops->exists(e, n))
		return -ENOENT;
	cred_effective(e, who, &c.effective, &c.home);
	c.as = &c.effective;
	r = cred_check_access(e, who, err);
	if (r == 0)
		r = ops->chown(&c, uid, gid);
	if (r < 0)
		engine_note_error(e, who, n, err);
	return r;
}

/* The same as writing owner_user and owner_group, in one step. */
int engine_chown(struct engine *e, const struct engine_cred *who, uint64_t cookie, const struct engine_node *n, uid_t uid,
		 gid_t gid, struct err *err)
{
	struct ct *ct = n->dir == DIR_CT ? ct_find(e, n->ct) : NULL, *home;
	autosaved struct snapshot before = {};
	struct engine_cred as;
	uint32_t id = n->ct, old;
	int r;

	if (n->dir != DIR_CT)
		return chown_in_dir(e, who, cookie, n, uid, gid, err);
	if (ct == NULL || ct->destroying)
		return err_set(err, ERR_ContainerDoesNotExist, "the container is gone");
	if (replayed(e, cookie, &old, &r))
		return r;
	cred_effective(e, who, &as, &home);
	r = cred_check_access(e, who, err);
	if (r == 0)
		r = cred_check_owner(ct, &as, err);
	if (r < 0)
		return refused(e, who, id, r, err);
	r = snapshot_take(ct, &before);
	if (r < 0)
		return err_sys(err, -r, "chown");
	if (uid != (uid_t)-1)
		r = change_number(ct, &as, PROP_owner_user, uid, err);
	if (r == 0 && gid != (gid_t)-1)
		r = change_number(ct, &as, PROP_owner_group, gid, err);
	if (r == 0)
		r = snapshot_commit(ct, &before, cookie, err);
	else
		snapshot_restore(&before);
	return refused(e, who, id, r, err);
}

void engine_cancel(struct engine *e, uint64_t cookie)
{
	if (fsm_cancel(e, cookie) || wait_cancel(e, cookie) || links_cancel(e, cookie))
		return;
	for (enum engine_dir dir = 0; dir < ENGINE_DIRS; dir++)
		if (dir_ops(dir) != NULL && dir_ops(dir)->cancel != NULL && dir_ops(dir)->cancel(e, cookie))
			return;
}

bool engine_is_freezing(struct engine *e, pid_t pid)
{
	for (const struct ct *ct = cred_home(e, pid); ct != NULL; ct = ct->parent)
		if (ct->frozen || ct->op == OP_PAUSE)
			return true;
	return false;
}

int engine_hold(struct engine *e, uint32_t id, uint64_t cookie)
{
	struct ct *ct = ct_find(e, id);
	uint32_t old;
	int r;

	if (ct == NULL || ct->destroying)
		return -ENOENT;
	if (replayed(e, cookie, &old, &r))
		return r;
	ct->holds++;
	r = save_ct(ct, cookie, 0, NULL);
	if (r < 0)
		ct->holds--;
	return r;
}

void engine_unhold(struct engine *e, uint32_t id, uint64_t cookie)
{
	struct ct *ct = ct_find(e, id);
	uint32_t old;
	int r;

	if (ct == NULL || ct->destroying || replayed(e, cookie, &old, &r))
		return;
	if (ct->holds > 0)
		ct->holds--;
	if (ct->holds == 0 && ct->val[PROP_weak].b)
		fsm_destroy_own(ct, "weak, and its last holder has gone");
	else
		(void)save_ct(ct, cookie, 0, NULL);
}

int engine_forget(const struct config *conf)
{
	struct cgroups *g;
	int r = cg_open(conf->daemon_cgroup_root, conf->daemon_cgroup_v2, &g, NULL);

	net_forget(conf);
	if (r == 0) {
		store_memory_end(g);
		r = cg_remove_root(g);
		cg_close(g);
	}
	return tree_remove(AT_FDCWD, conf->daemon_state_dir) < 0 ? -EIO : r;
}
