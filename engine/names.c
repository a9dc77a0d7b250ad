#include "engine/names.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/log.h"
#include "engine/hooks.h"
#include "engine/sysctl.h"

#define HOSTNAME_MAX 64u
#define FILE_MAX ((size_t)64 << 10) /* of one: they are in the memory of /run */
#define DIR "names"
#define HOST_RESOLV_CONF "/etc/resolv.conf"

static const char *const kinds[] = { "hostname", "hosts", "resolv.conf" };

static const char *text_of(const struct ct *ct, int prop)
{
	return ct->val[prop].s != NULL ? ct->val[prop].s : "";
}

/* ---- files ---- */

static void file_name(const struct ct *ct, const char *kind, char name[48])
{
	snprintf(name, 48, "%u.%s", (unsigned)ct->id, kind);
}

/* Rewritten in place: longer before shorter, so that who reads meanwhile has the beginning of one of them. */
static int file_put(const struct ct *ct, const char *kind, const char *text, int flags)
{
	autoclose int dir = openat(ct->e->state_fd, DIR, O_PATH | O_DIRECTORY | O_CLOEXEC);
	autoclose int fd = -1;
	size_t len = strlen(text);
	char name[48];
	int r;

	file_name(ct, kind, name);
	fd = dir < 0 ? -1 : openat(dir, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | flags, 0644);
	if (fd < 0 || fchmod(fd, 0644) < 0)
		return -errno;
	r = fd_write_all(fd, text, len);
	return r == 0 && ftruncate(fd, (off_t)len) < 0 ? -errno : r;
}

/*
 * The file as a mount that hangs nowhere: it can be passed to a process in another mount namespace, a path can't. Private: the copy
 * of a shared mount is its peer, and what is mounted on it inside would be on the host's file as well.
 */
static int file_mount(const struct ct *ct, const char *kind)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
				   .propagation = MS_PRIVATE };
	autoclose int dir = openat(ct->e->state_fd, DIR, O_PATH | O_DIRECTORY | O_CLOEXEC);
	autoclose int tree = -1;
	char name[48];

	file_name(ct, kind, name);
	tree = dir < 0 ? -1 : open_tree(dir, name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
	if (tree < 0 || mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return -errno;
	return TAKE_FD(tree);
}

void names_drop(struct ct *ct)
{
	autoclose int dir = openat(ct->e->state_fd, DIR, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char name[48];

	for (size_t i = 0; dir >= 0 && i < ARRAY_LEN(kinds); i++) {
		file_name(ct, kinds[i], name);
		(void)unlinkat(dir, name, 0);
	}
}

void names_restore(struct engine *e)
{
	autoclose int dir = -1;
	autostrv struct strv names = {};

	(void)mkdirat(e->state_fd, DIR, 0700);
	dir = openat(e->state_fd, DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || dir_names(dir, &names) < 0)
		return;
	for (size_t i = 0; i < names.n; i++) {
		const struct ct *ct = ct_find(e, (uint32_t)strtoul(names.p[i], NULL, 10));
		if (ct == NULL || !ct_has_resources(ct))
			(void)unlinkat(dir, names.p[i], 0);
	}
	names_follow_host(e);
}

/* ---- texts ---- */

/* As it is written in the property: ; for line ends. */
static void add_lines(const char *text, struct text *out)
{
	while (*text != '\0') {
		size_t len;
		text += strspn(text, "; \t\n");
		len = strcspn(text, ";\n");
		text_addn(out, text, len);
		if (len > 0)
			text_addc(out, '\n');
		text += len;
	}
}

static void add_whole(const char *text, struct text *out)
{
	text_add(out, text);
	if (text[0] != '\0' && text[strlen(text) - 1] != '\n')
		text_addc(out, '\n');
}

enum resolv { RESOLV_ROOT, RESOLV_DEFAULT, RESOLV_TEXT }; /* as its root has it; the default of a chroot; its own */

static enum resolv resolv_of(const struct ct *ct, const char *text)
{
	if (text == NULL || text[0] == '\0' || strcmp(text, "default") == 0)
		return ct_has_root(ct) ? RESOLV_DEFAULT : RESOLV_ROOT;
	return strcmp(text, "keep") == 0 ? RESOLV_ROOT : RESOLV_TEXT;
}

/* false: there is none. */
static bool resolv_text(const struct ct *ct, const char *text, struct text *out)
{
	const char *configured = ct->e->conf->container_default_resolv_conf;

	switch (resolv_of(ct, text)) {
	case RESOLV_TEXT:
		add_lines(text, out);
		return true;
	case RESOLV_DEFAULT:
		if (configured[0] == '\0')
			return file_read(AT_FDCWD, HOST_RESOLV_CONF, FILE_MAX, out) == 0;
		add_lines(configured, out);
		return true;
	default:
		return false;
	}
}

/* ---- the properties ---- */

int check_hostname(struct change *c)
{
	const char *name = c->value->s != NULL ? c->value->s : "";

	if (strlen(name) > HOSTNAME_MAX)
		return err_set(c->err, ERR_InvalidValue, "hostname: %zu bytes: at most %u", strlen(name), HOSTNAME_MAX);
	for (; *name != '\0'; name++)
		if ((unsigned char)*name <= ' ' || *name == 0x7f || *name == '/')
			return err_set(c->err, ERR_InvalidValue, "hostname: no blanks, slashes and control characters");
	return 0;
}

int check_etc_hosts(struct change *c)
{
	if (c->value->s != NULL && strlen(c->value->s) > FILE_MAX)
		return err_set(c->err, ERR_InvalidValue, "etc_hosts: more than %zu bytes", FILE_MAX);
	return 0;
}

/* Kept are "default", "keep" and the text itself. */
int check_resolv_conf(struct change *c)
{
	const char *text = c->value->s != NULL ? c->value->s : "", *word = NULL;
	bool was = resolv_of(c->ct, c->ct->val[PROP_resolv_conf].s) != RESOLV_ROOT;
	char *copy;

	if (strlen(text) > FILE_MAX)
		return err_set(c->err, ERR_InvalidValue, "resolv_conf: more than %zu bytes", FILE_MAX);
	if (text[0] == '\0')
		word = "keep";
	else if (strcmp(text, "inherit") == 0)
		word = "default";
	if (word != NULL) {
		copy = strdup(word);
		if (copy == NULL)
			return err_sys(c->err, ENOMEM, "resolv_conf");
		free(c->value->s);
		c->value->s = copy;
	}
	if (ct_has_resources(c->ct) && was != (resolv_of(c->ct, c->value->s) != RESOLV_ROOT))
		return err_set(c->err, ERR_InvalidState, "resolv_conf: between keep and a text it changes only while stopped");
	return 0;
}

static bool same_text(const struct ct *ct, const char *kind, const char *text)
{
	autoclose int dir = openat(ct->e->state_fd, DIR, O_PATH | O_DIRECTORY | O_CLOEXEC);
	autotext struct text now = {};
	char name[48];

	file_name(ct, kind, name);
	return dir >= 0 && file_read(dir, name, FILE_MAX * 2, &now) == 0 && strcmp(text_str(&now), text) == 0;
}

int apply_resolv_conf(struct ct *ct, const union value *v, struct err *err)
{
	autotext struct text text = {};
	int r;

	if (ct->pid == 0 || !resolv_text(ct, v->s, &text))
		return 0; /* a start writes it itself */
	r = text_ok(&text);
	if (r == 0)
		r = file_put(ct, "resolv.conf", text_str(&text), 0);
	if (r == -ENOENT)
		return err_set(err, ERR_NotSupported, "resolv_conf: it was started without one of its own");
	return r < 0 ? err_sys(err, -r, "resolv_conf") : 0;
}

int read_resolv_conf(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	const char *text = text_of(ct, PROP_resolv_conf);

	if (no_index(key, err, "resolv_conf") < 0)
		return -EINVAL;
	if (text[0] == '\0' || strcmp(text, "default") == 0)
		text = ct_has_root(ct) ? "default" : "inherit";
	text_add(out, text);
	return 0;
}

int read_sysctl(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	(void)err;
	if (key == NULL)
		type_strmap.format(&ct->val[PROP_sysctl], out);
	else
		(void)type_strmap.get_key(&ct->val[PROP_sysctl], key, out); /* one that isn't set is empty */
	return 0;
}

void names_follow_host(struct engine *e)
{
	static struct stat before; /* zero at first: what changed while no worker ran is found */
	struct stat now;

	if (e->conf->container_default_resolv_conf[0] != '\0' || stat(HOST_RESOLV_CONF, &now) < 0)
		return;
	if (now.st_ino == before.st_ino && now.st_dev == before.st_dev && now.st_size == before.st_size &&
	    now.st_mtim.tv_sec == before.st_mtim.tv_sec && now.st_mtim.tv_nsec == before.st_mtim.tv_nsec)
		return;
	before = now;
	for (struct ct *ct = ct_next(e->root, NULL); ct != NULL; ct = ct_next(e->root, ct)) {
		const union value *v = &ct->val[PROP_resolv_conf];
		autotext struct text text = {};

		if (!ct_has_resources(ct) || ct->pid == 0 || resolv_of(ct, v->s) != RESOLV_DEFAULT || !resolv_text(ct, v->s, &text))
			continue;
		if (text_ok(&text) == 0 && !same_text(ct, "resolv.conf", text_str(&text)))
			(void)apply_resolv_conf(ct, v, NULL); /* one without the file had none to begin with */
	}
}

/* ---- start ---- */

bool names_are_mounted(const struct ct *ct)
{
	return text_of(ct, PROP_etc_hosts)[0] != '\0' || resolv_of(ct, ct->val[PROP_resolv_conf].s) == RESOLV_TEXT;
}

int names_check_start(const struct ct *ct, struct err *err)
{
	bool has_hostname = text_of(ct, PROP_hostname)[0] != '\0';
	unsigned mode = (unsigned)ct->val[PROP_virt_mode].u;

	if ((mode == VIRT_JOB || mode == VIRT_HOST) && (has_hostname || names_are_mounted(ct)))
		return err_set(err, ERR_InvalidValue, "virt_mode %s cannot have hostname, etc_hosts or resolv_conf", virt_mode_names[mode]);
	if (has_hostname && !ct_isolated(ct))
		return err_set(err, ERR_InvalidValue, "hostname needs isolate = true");
	return sysctl_check(&ct->val[PROP_sysctl].m, ct_own_net(ct), ct_isolated(ct), err);
}

static int add_mount(struct ct *ct, struct names *n, const char *kind, const char *target, const struct text *text, bool must)
{
	struct names_mount *m = &n->mounts[n->n];
	int r = text_ok(text);

	if (r == 0)
		r = file_put(ct, kind, text_str(text), O_CREAT);
	if (r == 0)
		r = file_mount(ct, kind);
	if (r < 0)
		return r;
	*m = (struct names_mount){ .fd = r, .target = target, .must = must };
	n->n++;
	return 0;
}

static int add_mounts(struct ct *ct, struct names *n)
{
	const char *hosts = text_of(ct, PROP_etc_hosts), *resolv = ct->val[PROP_resolv_conf].s;
	autotext struct text hosts_text = {}, resolv_lines = {}, hostname_text = {};
	int r = 0;

	if (hosts[0] != '\0') {
		add_whole(hosts, &hosts_text);
		r = add_mount(ct, n, "hosts", "/etc/hosts", &hosts_text, true);
	}
	if (r == 0 && resolv_text(ct, resolv, &resolv_lines))
		r = add_mount(ct, n, "resolv.conf", "/etc/resolv.conf", &resolv_lines, resolv_of(ct, resolv) == RESOLV_TEXT);
	if (r == 0 && n->hostname != NULL && ct_has_root(ct)) {
		add_whole(n->hostname, &hostname_text);
		r = add_mount(ct, n, "hostname", "/etc/hostname", &hostname_text, false);
	}
	return r;
}

/* The configured ones, then the container's. */
static int add_sysctls(const struct ct *ct, struct names *n)
{
	const struct config *conf = ct->e->conf;
	int r = 0;

	if (ct_own_net(ct))
		r = sysctl_paths_of(conf->container_net_sysctl, &n->sysctls);
	if (r == 0 && ct_isolated(ct))
		r = sysctl_paths_of(conf->container_ipc_sysctl, &n->sysctls);
	return r < 0 ? r : sysctl_paths(&ct->val[PROP_sysctl].m, &n->sysctls);
}

int names_prepare(struct ct *ct, struct names *ret, struct err *err)
{
	const char *hostname = text_of(ct, PROP_hostname);
	int r;

	*ret = (struct names){ .hostname = hostname[0] != '\0' ? hostname : NULL };
	r = add_sysctls(ct, ret);
	if (r == 0)
		r = add_mounts(ct, ret);
	return r < 0 ? err_sys(err, -r, "names of container %s", ct->name) : 0;
}

void names_done(struct names *n)
{
	for (size_t i = 0; i < n->n; i++)
		if (n->mounts[i].fd >= 0)
			close(TAKE_FD(n->mounts[i].fd));
	pairs_done(&n->sysctls);
	n->n = 0;
}
