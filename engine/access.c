#include "engine/access.h"

#include "base/path.h"
#include "engine/cred.h"
#include "engine/hooks.h"
#include "engine/vol.h"

#define HOME_NSEC UINT64_C(20000000)

static enum access own_level(const struct ct *ct)
{
	return (enum access)ct->val[PROP_enable_porto].u;
}

static bool isolates(enum access level)
{
	return level == ACCESS_READ_ISOLATE || level == ACCESS_ISOLATE || level == ACCESS_SELF_ISOLATE;
}

/* Sees less than everything. */
static bool is_narrow(enum access level)
{
	return level == ACCESS_NONE || isolates(level);
}

enum access access_of(const struct ct *ct)
{
	enum access least = ACCESS_FULL;

	for (; ct != NULL && !ct_is_root(ct); ct = ct->parent)
		least = MIN(least, own_level(ct));
	return least;
}

/* Of a container that is gone there is no way up any more, and nothing to be asked. */
static struct ct *base_of(struct ct *home, bool write)
{
	struct engine *e = home->e;

	for (; home != NULL && !ct_is_root(home); home = home->parent)
		if (isolates(own_level(home)) || (write && own_level(home) == ACCESS_CHILD_ONLY))
			return home;
	return e->root;
}

struct ct *access_view(struct ct *home)
{
	return base_of(home, false);
}

struct ct *access_write_base(struct ct *home)
{
	return base_of(home, true);
}

struct ct *access_mount(struct ct *home)
{
	struct engine *e = home->e;
	struct ct *at = NULL;

	for (; home != NULL && at == NULL; home = home->parent)
		at = home->porto != 0 ? ct_find(e, home->porto) : NULL;
	return at != NULL && !at->destroying ? at : e->root;
}

static bool is_below(const struct ct *ct, const struct ct *top)
{
	while (ct != NULL && ct != top)
		ct = ct->parent;
	return ct == top;
}

/* ---- where a caller lives ---- */

struct ct *access_home(struct engine *e, const struct engine_cred *who)
{
	struct home_seen *seen = &e->homes[(unsigned)who->pid % HOMES];
	struct ct *ct;

	if (who->home != 0) {
		ct = ct_find(e, who->home);
		return ct == NULL || ct->destroying ? NULL : ct;
	}
	if (seen->pid == who->pid && who->pid > 0 && clock_mono() - seen->when < HOME_NSEC) {
		ct = ct_find(e, seen->ct);
		return ct == NULL || ct->destroying ? NULL : ct;
	}
	return access_home_now(e, who);
}

struct ct *access_home_now(struct engine *e, const struct engine_cred *who)
{
	struct home_seen *seen = &e->homes[(unsigned)who->pid % HOMES];
	struct ct *ct = cred_lives(e, who->pid);

	*seen = (struct home_seen){ .pid = ct != NULL ? who->pid : 0, .ct = ct != NULL ? ct->id : 0, .when = clock_mono() };
	return ct;
}

/* ---- seeing ---- */

static bool shows_to(struct ct *home, const struct ct *ct)
{
	const struct ct *base = access_view(home);

	if (access_of(home) == ACCESS_NONE)
		return false;
	return is_below(ct, base) || is_below(base, ct);
}

bool access_shows(struct engine *e, const struct engine_cred *who, const struct ct *ct)
{
	struct ct *home;

	if (who == NULL || e->narrow == 0)
		return true;
	home = access_home(e, who);
	return home != NULL && (ct_is_root(home) || shows_to(home, ct));
}

bool access_shows_all(struct engine *e, const struct engine_cred *who)
{
	struct ct *home;

	if (e->narrow == 0)
		return true;
	home = access_home(e, who);
	return home != NULL && access_of(home) != ACCESS_NONE && ct_is_root(access_view(home));
}

/* Its own, those of the containers it sees below its base, and what can be reached from its root. */
bool access_shows_vol(struct engine *e, const struct engine_cred *who, const struct vol *v)
{
	autotext struct text path = {};
	const struct ct *base, *owner;
	struct ct *home;

	if (who == NULL || e->narrow == 0)
		return true;
	home = access_home(e, who);
	if (home == NULL || access_of(home) == ACCESS_NONE)
		return false;
	base = access_view(home);
	owner = ct_find(e, v->owner_ct);
	if (ct_is_root(base) || (owner != NULL && is_below(owner, base)))
		return true;
	for (const struct vlink *l = v->links; l != NULL; l = l->next) {
		const struct ct *ct = ct_find(e, l->ct);

		if (ct != NULL && is_below(ct, base))
			return true;
	}
	while (home != NULL && !ct_has_root(home))
		home = home->parent;
	return home != NULL && vol_path_seen(v, home, &path);
}

int engine_sees(struct engine *e, const struct engine_cred *who, const struct engine_node *n)
{
	const struct vol *v;
	const struct ct *view;
	struct ct *home;

	if (e->narrow == 0)
		return 0;
	home = access_home(e, who);
	if (home == NULL || access_of(home) == ACCESS_NONE)
		return -EACCES;
	if (ct_is_root(home))
		return 0;
	view = ct_find(e, n->view);
	if (view == NULL || !shows_to(home, view))
		return -ENOENT;
	if (n->dir != DIR_VOLUME && n->dir != DIR_LINKS)
		return 0;
	v = vol_find(e, n->ct);
	if (v == NULL || !access_shows_vol(e, who, v))
		return -ENOENT;
	return n->dir == DIR_LINKS && n->key != NULL && !vol_shows_link(e, who, v, n->key) ? -ENOENT : 0;
}

bool engine_shows(struct engine *e, const struct engine_cred *who, const struct engine_node *dir, const struct engine_child *child)
{
	struct engine_node n = { .dir = child->dir, .ct = child->id, .view = child->dir == DIR_CT ? child->id : dir->view, .file = -1 };

	if (e->narrow == 0)
		return true;
	if (child->is_file)
		n = (struct engine_node){ .dir = dir->dir, .ct = dir->ct, .view = dir->view, .key = child->name };
	return engine_sees(e, who, &n) == 0;
}

bool engine_names_differ(const struct engine *e)
{
	return e->open_narrow > 0;
}

bool access_name(const struct ct *view, const struct ct *ct, const char **ret)
{
	size_t len;

	if (ct_is_root(view)) {
		*ret = ct->name;
		return true;
	}
	len = strlen(view->name);
	if (strncmp(ct->name, view->name, len) != 0 || ct->name[len] != '/')
		return false;
	*ret = ct->name + len + 1;
	return true;
}

static bool in_name(char c)
{
	return c != '\0' && (strchr("_-@:./", c) != NULL || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'));
}

void access_shorten(const struct ct *base, char *text)
{
	size_t len = strlen(base->name);
	char *at = text;

	if (ct_is_root(base))
		return;
	while ((at = strstr(at, base->name)) != NULL) {
		bool begins = at == text || !in_name(at[-1]);

		if (begins && at[len] == '/')
			memmove(at, at + len + 1, strlen(at + len + 1) + 1);
		else
			at += len;
	}
}

/* ---- changing ---- */

static bool is_listed(const struct ct *home, const struct strv *names)
{
	for (size_t i = 0; i < names->n; i++) {
		size_t len = strlen(home->name);

		/* in the list, or above an entry */
		if (strncmp(names->p[i], home->name, len) == 0 && (names->p[i][len] == '\0' || names->p[i][len] == '/'))
			return true;
	}
	return false;
}

static bool lives(const struct ct *ct)
{
	return ct->state != CT_STOPPED && ct->state != CT_DEAD && ct->state != CT_RESPAWNING;
}

int access_check(struct ct *home, const struct ct *ct, bool child, struct err *err)
{
	const struct ct *base;
	const struct strv *owners = &ct->val[PROP_owner_containers].v;

	if (ct_is_root(home))
		return 0;
	if (!lives(home) || access_of(home) <= ACCESS_READ_ONLY)
		return err_set(err, ERR_Permission, "container %s may change nothing here: enable_porto is %s", home->base,
			       access_names[lives(home) ? access_of(home) : ACCESS_NONE]);
	base = access_write_base(home);
	if (!(ct != base && is_below(ct, base)) && !(ct != home && is_below(ct, home)) && !(child && (ct == base || ct == home)))
		return err_set(err, ERR_Permission, "it is not in what container %s may change: enable_porto is %s", home->base,
			       access_names[access_of(home)]);
	if (owners->n > 0 && !is_listed(home, owners))
		return err_set(err, ERR_Permission, "container %s is not among its owner_containers", home->base);
	return 0;
}

int access_check_vol(const struct vol *v, const struct engine_cred *as, struct err *err)
{
	struct ct *home = access_home(v->e, as), *owner = ct_find(v->e, v->owner_ct);

	if (home != NULL && (ct_is_root(home) || access_of(home) == ACCESS_FULL))
		return 0;
	if (home != NULL && owner != NULL && (is_below(owner, home) || (is_below(owner, access_write_base(home)) && access_of(home) != ACCESS_CHILD_ONLY)))
		return 0;
	return err_set(err, ERR_Permission, "volume %u is not of what this container may change", (unsigned)v->id);
}

bool access_own(const struct ct *home, const struct ct *ct, int prop)
{
	const struct strv *owners = &ct->val[PROP_owner_containers].v;

	return home == ct && !ct_is_root(ct) && lives(home) && access_of(home) == ACCESS_SELF_ISOLATE &&
	       (props[prop].when == WHEN_DYNAMIC || props[prop].when == WHEN_ANY) && !(props[prop].flags & P_FILE) &&
	       (owners->n == 0 || is_listed(home, owners));
}

/* ---- the properties ---- */

/* The highest level that those above leave it: nothing if they have none, only reading if they may but read. */
static enum access ceiling(const struct ct *ct)
{
	enum access most = ACCESS_FULL;

	for (ct = ct->parent; ct != NULL && !ct_is_root(ct); ct = ct->parent)
		if (own_level(ct) <= ACCESS_READ_ONLY)
			most = MIN(most, own_level(ct));
	return most;
}

/* A job's tasks are in the cgroups of its parent: nobody could tell that it was they who ask. */
static bool is_too_low(const struct ct *ct, enum access level)
{
	return ct->val[PROP_virt_mode].u == VIRT_JOB && ct->parent != NULL && level < access_of(ct->parent);
}

int check_enable_porto(struct change *c)
{
	enum access level = (enum access)c->value->u;
	struct ct *home;

	if (ct_has_resources(c->ct) && is_too_low(c->ct, level))
		return err_set(c->err, ERR_InvalidValue, "enable_porto: virt_mode job lives in its parent's cgroups and has its level");
	if (cred_is_super(c->ct->e, c->who))
		return 0;
	if (level > ceiling(c->ct))
		return err_set(c->err, ERR_Permission, "enable_porto: '%s': a container above has %s", c->text, access_names[ceiling(c->ct)]);
	home = access_home(c->ct->e, c->who);
	if (home == NULL || (home == c->ct && level > access_of(home)))
		return err_set(c->err, ERR_Permission, "enable_porto: no container raises its own, which is %s",
			       access_names[access_of(c->ct)]);
	return 0;
}

int read_enable_porto(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	int r = no_index(key, err, "enable_porto");

	if (r == 0)
		text_add(out, access_names[prop_is_set(ct, PROP_enable_porto) ? own_level(ct) : MIN(own_level(ct), ceiling(ct))]);
	return r;
}

int access_start(struct ct *ct, struct err *err)
{
	if (is_too_low(ct, own_level(ct)))
		return err_set(err, ERR_InvalidValue, "enable_porto: virt_mode job lives in its parent's cgroups and has its level");
	if (own_level(ct) > ceiling(ct) && prop_is_set(ct, PROP_enable_porto)) {
		ct->val[PROP_enable_porto].u = (uint64_t)ceiling(ct);
		access_count(ct);
	}
	return 0;
}

/* Names as the writer sees them are kept as the host does. */
int check_owner_containers(struct change *c)
{
	struct ct *home = cred_caller(c->ct->e, c->who);
	struct strv *v = &c->value->v;

	for (size_t i = 0; i < v->n; i++) {
		const struct ct *ct = ct_find_seen(c->ct->e, home, v->p[i]);
		char *name;

		if (ct == NULL || !access_shows(c->ct->e, c->who, ct))
			return err_set(c->err, ERR_ContainerDoesNotExist, "owner_containers: container %.200s does not exist", v->p[i]);
		name = strdup(ct->name);
		if (name == NULL)
			return err_sys(c->err, ENOMEM, "owner_containers");
		free(v->p[i]);
		v->p[i] = name;
	}
	return 0;
}

int check_porto_namespace(struct change *c)
{
	for (const char *p = c->text; *p != '\0'; p++)
		if (!in_name(*p))
			return err_set(c->err, ERR_InvalidValue, "porto_namespace: '%.100s': expected the beginning of a name", c->text);
	return c->text[0] == '/' || strstr(c->text, "//") != NULL || c->len > NAME_PATH_MAX ?
		err_set(c->err, ERR_InvalidValue, "porto_namespace: '%.100s': expected the beginning of a name", c->text) : 0;
}

/* Up to the nearest container that isolates, whose name and a slash stand before all others. */
static int add_namespace(struct ct *ct, struct text *out)
{
	if (ct == NULL || ct_is_root(ct))
		return 0;
	if (isolates(own_level(ct))) {
		text_addf(out, "%s/", ct->name);
		return 0;
	}
	(void)add_namespace(ct->parent, out);
	text_add(out, ct->val[PROP_porto_namespace].s != NULL ? ct->val[PROP_porto_namespace].s : "");
	return text_ok(out);
}

int read_absolute_namespace(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	int r = no_index(key, err, "absolute_namespace");

	text_add(out, "/porto/");
	return r == 0 ? add_namespace(ct, out) : r;
}

struct ct *access_to_mount(struct ct *ct)
{
	autotext struct text name = {};
	struct ct *at;

	if (!ct_has_root(ct) || access_of(ct) == ACCESS_NONE)
		return NULL;
	(void)add_namespace(ct, &name);
	if (name.len == 0 || name.p[name.len - 1] != '/')
		return access_view(ct);
	name.p[name.len - 1] = '\0';
	at = ct_find_name(ct->e, name.p);
	return at != NULL && is_below(at, access_view(ct)) ? at : access_view(ct);
}

/* ---- counting ---- */

/* Could it ask for a name it may not see? Not where the directory it has at /porto is all that it sees. */
static bool is_open(struct ct *ct)
{
	struct ct *at = access_mount(ct), *view = access_view(ct);

	return ct_has_resources(ct) && !ct->destroying && (own_level(ct) == ACCESS_NONE ? !ct_has_root(ct) : !is_below(at, view));
}

void access_count(struct ct *ct)
{
	struct engine *e = ct->e;
	bool narrow = ct->parent != NULL && is_narrow(own_level(ct)), open = narrow && is_open(ct);

	if (ct->destroying)
		return; /* stays what it was: its tasks may be there yet */
	e->narrow += narrow;
	e->narrow -= ct->is_narrow;
	e->open_narrow += open;
	e->open_narrow -= ct->is_open_narrow;
	ct->is_narrow = narrow;
	if (open && !ct->is_open_narrow && e->serving)
		e->events->gone(e->events_arg, ENGINE_ROOT, ""); /* names that others have looked up are not for it */
	ct->is_open_narrow = open;
}

void access_forget(struct ct *ct)
{
	ct->e->narrow -= ct->is_narrow;
	ct->e->open_narrow -= ct->is_open_narrow;
	ct->is_narrow = ct->is_open_narrow = false;
}

void settle_enable_porto(struct ct *ct)
{
	access_count(ct);
}
