/* Links: containers that hold a volume, some of them with a mount of it below their root. */
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/path.h"
#include "engine/access.h"
#include "engine/cred.h"
#include "engine/hooks.h"
#include "engine/vol.h"

#define ALL "***"

static struct vol *vol_of(const struct vop *op)
{
	return vol_find(op->e, op->vol);
}

/* ---- what was asked ---- */

/* The target below the container's root, and as the host sees it. */
static int set_target(struct engine *e, struct vop *op, const char *target, struct err *err)
{
	const struct ct *ct = ct_find(e, op->ct);
	autotext struct text root = {}, host = {};

	if (target[0] != '/' || !path_is_normal(target) || strcmp(target, "/") == 0)
		return err_set(err, ERR_InvalidPath, "target '%.200s': expected an absolute path without .. below the container's root", target);
	if (read_root_path((struct ct *)ct, NULL, &root, err) < 0)
		return -ENOMEM;
	if (strcmp(text_str(&root), "/") != 0)
		text_add(&host, text_str(&root));
	text_add(&host, target);
	op->target = strdup(target);
	op->host = text_take(&host);
	return op->target == NULL || op->host == NULL ? err_sys(err, ENOMEM, "link") : 0;
}

static int find_container(struct engine *e, struct ct *home, const char *name, struct vop *op, struct err *err)
{
	const struct ct *ct = ct_find_seen(e, home, name);

	if (ct == NULL)
		return err_set(err, ERR_ContainerDoesNotExist, "container %.200s does not exist", name);
	op->ct = ct->id;
	return 0;
}

int vlink_parse(struct engine *e, struct ct *home, const char *text, struct vop *op, struct err *err)
{
	autostrv struct strv words = {};
	size_t i = 1;
	int r;

	if (strv_split(text, ' ', &words) < 0)
		return err_sys(err, ENOMEM, "link");
	if (words.n == 0)
		return err_set(err, ERR_InvalidValue, "link: expected CONTAINER [TARGET] [ro] [!]");
	r = find_container(e, home, words.p[0], op, err);
	if (r == 0 && i < words.n && words.p[i][0] == '/')
		r = set_target(e, op, words.p[i++], err);
	if (r == 0 && i < words.n && strcmp(words.p[i], "ro") == 0 && i++)
		op->read_only = true;
	else if (r == 0 && i < words.n && strcmp(words.p[i], "rw") == 0)
		i++;
	if (r == 0 && i < words.n && strcmp(words.p[i], "!") == 0 && i++)
		op->required = true;
	if (r == 0 && i < words.n)
		return err_set(err, words.p[i][0] == '.' ? ERR_InvalidPath : ERR_InvalidValue,
			       "link: '%.100s': expected CONTAINER [TARGET] [ro] [!], the target an absolute path", words.p[i]);
	return r;
}

int vunlink_parse(struct engine *e, struct ct *home, const char *text, struct vop *op, struct err *err)
{
	autostrv struct strv words = {};
	size_t i = 0;
	int r = 0;

	if (strv_split(text, ' ', &words) < 0)
		return err_sys(err, ENOMEM, "unlink");
	if (words.n > 0 && strcmp(words.p[words.n - 1], "strict") == 0) {
		op->strict = true;
		words.n--;
		free(TAKE_PTR(words.p[words.n]));
	}
	if (i < words.n && strcmp(words.p[i], ALL) == 0)
		i++;
	else
		r = find_container(e, home, i < words.n ? words.p[i++] : "self", op, err);
	if (r == 0 && i < words.n && strcmp(words.p[i], ALL) == 0)
		i++;
	else if (r == 0 && i < words.n && strcmp(words.p[i], "-") == 0 && i++) /* the one without a target */
		op->target = strdup("");
	else if (r == 0 && i < words.n && op->ct != 0)
		r = set_target(e, op, words.p[i++], err);
	if (r == 0 && i < words.n)
		r = err_set(err, ERR_InvalidValue, "unlink: '%.100s': expected CONTAINER|*** [TARGET|***] [strict]", words.p[i]);
	return r;
}

static int target_is_free(struct vol *v, const struct vop *op, struct err *err)
{
	for (const struct vol *o = v->e->vols; o != NULL; o = o->next) {
		if (o->plan.path != NULL && strcmp(o->plan.path, op->host) == 0 && o != v)
			return err_set(err, ERR_Busy, "target %s: volume %u is there", op->target, (unsigned)o->id);
		for (const struct vlink *l = o->links; l != NULL; l = l->next)
			if (l->host != NULL && strcmp(l->host, op->host) == 0)
				return err_set(err, ERR_Busy, "target %s: volume %u is linked there", op->target, (unsigned)o->id);
	}
	return 0;
}

/* Who sees the volume read-only only must not get more. */
static bool sees_read_only(const struct vol *v, uint32_t home)
{
	bool found = false;

	if (v->val[VOL_read_only].b)
		return true;
	for (const struct vlink *l = v->links; home != ENGINE_ROOT && l != NULL; l = l->next) {
		if (l->ct == home && !l->read_only)
			return false;
		found |= l->ct == home;
	}
	return found;
}

int vlink_check(struct vol *v, struct vop *op, struct err *err)
{
	struct ct *ct = ct_find(v->e, op->ct), *home = ct_find(v->e, op->home);
	int r = 0;

	if (ct == NULL || ct->destroying)
		return err_set(err, ERR_ContainerDoesNotExist, "the container is gone");
	if (ct_is_root(ct) && op->home != ENGINE_ROOT && (home == NULL || access_of(home) < ACCESS_FULL))
		r = err_set(err, ERR_Permission, "nothing is linked to / by this container");
	else if (!ct_is_root(ct) && ct->id != op->home)
		r = cred_check_owner(ct, &op->as, err);
	if (r < 0)
		return r;
	if (vol_find_link(v, op->ct, op->target) != NULL)
		return err_set(err, ERR_VolumeAlreadyLinked, "volume %u is already linked to %s%s%s", (unsigned)v->id, ct->name,
			       op->target != NULL ? " at " : "", op->target != NULL ? op->target : "");
	if (!op->read_only && v->state == VS_READY && sees_read_only(v, op->home) && !v->val[VOL_read_only].b)
		return err_set(err, ERR_Permission, "volume %u is read-only for you: so must the link be", (unsigned)v->id);
	return op->host != NULL ? target_is_free(v, op, err) : 0;
}

int vlink_take(struct vop *op, struct vlink **ret)
{
	struct vlink *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return -ENOMEM;
	l->ct = op->ct;
	l->target = TAKE_PTR(op->target);
	l->host = TAKE_PTR(op->host);
	l->read_only = op->read_only;
	l->required = op->required;
	*ret = l;
	return 0;
}

/* ---- in a thread ---- */

/* The container's root is what is left of the host's path of the target, less the target. */
static int open_root(const struct vlink *l)
{
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_NO_MAGICLINKS };
	size_t len = strlen(l->host) - strlen(l->target);
	autofree char *root = len > 0 ? strndup(l->host, len) : strdup("/");
	long fd;

	if (root == NULL)
		return -ENOMEM;
	fd = syscall(SYS_openat2, AT_FDCWD, root, &how, sizeof(how));
	return fd < 0 ? -errno : (int)fd;
}

int vlink_mount(struct vop *op, struct vlink *l, const char *source)
{
	autoclose int root = open_root(l);
	struct vol_link link = { .source = source,
				 .source_mount = op->made.mount,
				 .root = root,
				 .target = l->target,
				 .read_only = l->read_only,
				 .recursive = strcmp(op->made.backend, "dir") == 0 || strcmp(op->made.backend, "rbind") == 0,
				 .uid = op->as.uid,
				 .gid = op->as.gid,
				 .groups = &op->groups };
	int r;

	if (root < 0)
		return err_sys(&op->err, -root, "root of the container, below which %s is", l->target);
	r = vop_check_answers(op, "target", l->host);
	if (r < 0)
		return r;
	/* each such link would be in all the others: five of them are all the mounts that a host may have */
	if (link.recursive && op->as.uid != 0 &&
	    (path_is_below(l->host, source) || (op->made.storage[0] != '\0' && path_is_below(l->host, op->made.storage))))
		return err_set(&op->err, ERR_InvalidPath, "target %s: in the tree that is linked there", l->target);
	r = vol_link(&link, &op->err);
	if (r == 0) {
		l->mounted = true;
		l->mount = link.mount;
	}
	return r;
}

int vlink_unmount(const struct vlink *l, bool strict, struct err *err)
{
	autoclose int root = open_root(l);
	struct vol_link link = { .source = "", .root = root, .target = l->target, .read_only = l->read_only, .mount = l->mount };
	int r;

	if (root < 0)
		return 0; /* and so the mount is gone */
	r = vol_unlink(&link, strict, err);
	return r == -ENOENT || (err != NULL && err->kind == ERR_VolumeNotLinked) ? 0 : r;
}

void vlink_undo(const struct vlink *l, const char *source)
{
	struct stat ours, there;

	if (lstat(source, &ours) == 0 && lstat(l->host, &there) == 0 && ours.st_dev == there.st_dev && ours.st_ino == there.st_ino)
		(void)vlink_unmount(l, false, NULL);
}

static void mount_one(void *arg)
{
	struct vop *op = arg;

	op->result = vlink_mount(op, op->links, op->spec.path);
}

/* ---- link ---- */

static void drop(struct vol *v, struct vlink *l)
{
	struct vlink **at = &v->links;

	while (*at != NULL && *at != l)
		at = &(*at)->next;
	if (*at == NULL)
		return;
	*at = l->next;
	vlink_free(l);
}

static int require(struct vol *v, const struct vlink *l)
{
	struct ct *ct = ct_find(v->e, l->ct);

	return l->required && ct != NULL && !ct_is_root(ct) ? vol_require(ct, l->target != NULL ? l->target : v->plan.path) : 0;
}

static void mounted(void *arg)
{
	struct vop *op = arg;
	struct vol *v = vol_of(op);
	struct vlink *l = vol_find_link(v, op->links->ct, op->links->target);

	if (l != NULL && op->result == 0) {
		l->mounted = op->links->mounted;
		l->mount = op->links->mount;
		(void)require(v, l);
	} else if (l != NULL) {
		drop(v, l);
	}
	v->change_wall = (int64_t)(clock_wall() / 1000000000u);
	if (op->result == 0)
		op->result = vol_save(v, vop_unique(op), 0, &op->err);
	else
		(void)vol_save(v, vop_unique(op), op->result, NULL);
	vop_end(v, op, op->result);
}

void vop_link(struct vol *v, struct vop *op)
{
	autotext struct text groups = {};
	struct vlink **at = &v->links;
	int r;

	while (*at != NULL)
		at = &(*at)->next;
	r = vlink_check(v, op, &op->err);
	if (r == 0)
		r = vlink_take(op, at);
	if (r == 0 && (op->links = vlink_copy(*at)) == NULL)
		r = -ENOMEM;
	if (r == 0)
		r = vop_prepare(v, op);
	if (r == 0) {
		cred_groups(op->as.uid, op->as.gid, &groups);
		r = strv_split(text_str(&groups), ',', &op->groups);
	}
	if (r == 0 && (*at)->host != NULL)
		r = vol_save(v, 0, 0, &op->err);
	if (r < 0) {
		if (*at != NULL)
			drop(v, *at);
		vop_end(v, op, r);
		return;
	}
	if ((*at)->host == NULL || !vop_work(op, mount_one, mounted))
		mounted(op);
}

/* ---- unlink ---- */

static bool is_meant(const struct vop *op, const struct vlink *l)
{
	return (op->ct == 0 || op->ct == l->ct) && (op->target == NULL || strcmp(op->target, l->target != NULL ? l->target : "") == 0);
}

/* Of the container, or only at that target; behind what goes on. */
static void unlink_later(struct vol *v, uint32_t ct, const char *target)
{
	struct vop *op = vop_new(v, VOP_UNLINK, &(struct engine_cred){ .uid = 0 }, 0);
	struct err err = {};

	if (op == NULL)
		return;
	op->ct = ct;
	op->target = target != NULL ? strdup(target) : NULL;
	if (target != NULL && op->target == NULL)
		vop_free(op);
	else
		(void)vop_begin(v, op, &err);
}

/* Links of volumes that were mounted below one that is gone. */
static void unlink_below(struct engine *e, const char *host)
{
	for (struct vol *v = e->vols; v != NULL; v = v->next)
		for (const struct vlink *l = v->gone ? NULL : v->links; l != NULL; l = l->next)
			if (l->host != NULL && strcmp(l->host, host) != 0 && path_is_below(l->host, host))
				unlink_later(v, l->ct, l->target);
}

static void unmount_all(void *arg)
{
	struct vop *op = arg;

	op->result = 0;
	for (struct vlink *l = op->links; op->result == 0 && l != NULL; l = l->next)
		if (l->host != NULL)
			op->result = vlink_unmount(l, op->strict, &op->err);
}

static void unmounted(void *arg)
{
	struct vop *op = arg;
	struct vol *v = vol_of(op);

	for (struct vlink *l = v->links, *next; op->result == 0 && l != NULL; l = next) {
		autofree char *host = NULL;

		next = l->next;
		if (!is_meant(op, l))
			continue;
		host = TAKE_PTR(l->host);
		drop(v, l);
		if (host != NULL)
			unlink_below(v->e, host);
	}
	v->change_wall = (int64_t)(clock_wall() / 1000000000u);
	if (op->result < 0) {
		(void)vol_save(v, vop_unique(op), op->result, NULL);
		vop_end(v, op, op->result);
	} else if (v->links == NULL) {
		uint64_t cookie = op->cookie;

		op->cookie = 0;
		vol_begin_destroy(v, &op->who, cookie, "its last link is gone");
		vop_end(v, op, 0);
	} else {
		op->result = vol_save(v, vop_unique(op), 0, &op->err);
		vop_end(v, op, op->result);
	}
}

static int no_such_link(const struct vol *v, struct vop *op)
{
	const struct ct *ct = ct_find(v->e, op->ct);
	const char *name = ct != NULL ? ct->name : "any container";

	if (op->target == NULL)
		return err_set(&op->err, ERR_VolumeNotLinked, "volume %u is not linked to %s", (unsigned)v->id, name);
	if (op->target[0] == '\0')
		return err_set(&op->err, ERR_VolumeNotLinked, "volume %u is not linked to %s without a target", (unsigned)v->id, name);
	return err_set(&op->err, ERR_VolumeNotLinked, "volume %u is not linked to %s at %s", (unsigned)v->id, name, op->target);
}

static int check_unlink(struct vol *v, struct vop *op)
{
	struct vlink **to = &op->links;
	unsigned all = 0, meant = 0;

	for (const struct vlink *l = v->links; l != NULL; l = l->next, all++) {
		if (!is_meant(op, l))
			continue;
		meant++;
		*to = vlink_copy(l);
		if (*to == NULL)
			return -ENOMEM;
		to = &(*to)->next;
	}
	if (meant == 0)
		return no_such_link(v, op);
	if (!op->strict || meant < all)
		return op->strict && all > 1 ? err_set(&op->err, ERR_Busy, "volume %u has %u links", (unsigned)v->id, all) : 0;
	for (const struct vol *u = v->e->vols; u != NULL; u = u->next)
		if (vol_is_inside(u, v))
			return err_set(&op->err, ERR_Busy, "volume %u: volume %u is in it", (unsigned)v->id, (unsigned)u->id);
	return 0;
}

void vop_unlink(struct vol *v, struct vop *op)
{
	int r = 0;

	if (op->ct == 0 && op->target == NULL && !op->strict) {
		uint64_t cookie = op->cookie;

		op->cookie = 0;
		vol_begin_destroy(v, &op->who, cookie, "unlink of all");
		vop_end(v, op, 0);
		return;
	}
	r = check_unlink(v, op);
	if (r < 0) {
		vop_end(v, op, r);
		return;
	}
	if (!vop_work(op, unmount_all, unmounted))
		vop_end(v, op, op->result);
}

/* ---- containers ---- */

void vol_container_gone(struct ct *ct)
{
	for (struct vol *v = ct->e->vols, *next; v != NULL; v = next) {
		bool is_linked = false;

		next = v->next;
		if (v->gone)
			continue;
		for (const struct vlink *l = v->links; l != NULL; l = l->next)
			is_linked |= l->ct == ct->id;
		if (v->owner_ct == ct->id) {
			v->owner_ct = ct->parent->id;
			(void)vol_save(v, 0, 0, NULL);
		}
		if (is_linked && v->state != VS_BUILDING) /* else when it is built */
			unlink_later(v, ct->id, NULL);
	}
}

void vol_unlink_lost(struct vol *v)
{
	uint32_t last = 0;

	for (const struct vlink *l = v->links; l != NULL; l = l->next) {
		const struct ct *ct = ct_find(v->e, l->ct);

		if (l->going)
			unlink_later(v, l->ct, l->target != NULL ? l->target : "");
		else if ((ct == NULL || ct->destroying) && l->ct != last)
			unlink_later(v, last = l->ct, NULL);
	}
}

bool vol_is_mounted_in(const struct ct *ct)
{
	for (const struct vol *v = ct->e->vols; v != NULL; v = v->next)
		for (const struct vlink *l = v->links; l != NULL; l = l->next) {
			const struct ct *up = l->host != NULL ? ct_find(ct->e, l->ct) : NULL;

			while (up != NULL && up != ct)
				up = up->parent;
			if (up == ct)
				return true;
		}
	return false;
}
