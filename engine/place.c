#include "engine/place.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "base/path.h"
#include "engine/hooks.h"
#include "engine/vol.h"
#include "engine/wait.h"

#define DEFAULT_POLICY "***"
#define WEAK "_weak_"

/* ---- which one ---- */

/* The nearest policy up; the host's is its configuration's place and any other. */
static const struct strv *policy_of(const struct ct *ct, bool *is_host)
{
	for (; ct->parent != NULL; ct = ct->parent)
		if (prop_is_set(ct, PROP_place)) {
			*is_host = false;
			return &ct->val[PROP_place].v;
		}
	*is_host = true;
	return NULL;
}

/* "a=/path": the path if the alias is name. */
static const char *alias_path(const char *entry, const char *name)
{
	size_t len = strlen(name);

	return entry[0] != '/' && strncmp(entry, name, len) == 0 && entry[len] == '=' ? entry + len + 1 : NULL;
}

/* The directory that an entry of a policy means when it is the default. */
static char *default_of(const char *entry, const char *configured)
{
	const char *equals = strchr(entry, '=');
	size_t len;

	if (entry[0] != '/' && equals != NULL)
		entry = equals + 1;
	len = strlen(entry);
	if (strcmp(entry, DEFAULT_POLICY) == 0)
		return strdup(configured);
	if (len > 3 && strcmp(entry + len - 3, DEFAULT_POLICY) == 0)
		len -= 3;
	while (len > 1 && entry[len - 1] == '/')
		len--;
	return strndup(entry, len);
}

static const char *find_allowed(const struct strv *policy, const char *text)
{
	for (size_t i = 0; i < policy->n; i++) {
		const char *entry = policy->p[i], *path;

		if (text[0] == '/') {
			path = entry[0] != '/' && strchr(entry, '=') != NULL ? strchr(entry, '=') + 1 : entry;
			if (strcmp(path, text) == 0 || (strchr(path, '*') != NULL && mask_match(path, text)))
				return text;
		} else {
			path = alias_path(entry, text);
			if (path != NULL)
				return path;
		}
	}
	return NULL;
}

/* ///path is below the client's root. */
static int below_root(const struct ct *home, const char *path, char **ret, struct err *err)
{
	autotext struct text full = {};

	if (read_root_path((struct ct *)home, NULL, &full, err) < 0)
		return -ENOMEM;
	if (strcmp(text_str(&full), "/") == 0)
		text_clear(&full);
	text_add(&full, path);
	*ret = text_take(&full);
	return *ret == NULL ? err_sys(err, ENOMEM, "place") : 0;
}

int place_resolve(const struct ct *home, const char *text, char **ret, struct err *err)
{
	const char *configured = home->e->conf->volumes_default_place, *found = NULL;
	const struct strv *policy;
	bool is_host;
	int r = 0;

	free(*ret);
	*ret = NULL;
	policy = policy_of(home, &is_host);
	if (text == NULL || text[0] == '\0')
		*ret = is_host ? strdup(configured) : policy->n > 0 ? default_of(policy->p[0], configured) : NULL;
	else if (strncmp(text, "///", 3) == 0)
		r = below_root(home, text + 2, ret, err);
	else if ((is_host && text[0] == '/') || (!is_host && (found = find_allowed(policy, text)) != NULL))
		*ret = strdup(found != NULL ? found : text);
	else
		return err_set(err, ERR_Permission, "place '%.200s': not among those that container %s may use", text, home->name);
	if (r < 0)
		return r;
	if (*ret == NULL && !is_host && policy->n == 0)
		return err_set(err, ERR_Permission, "container %s may use no place", home->name);
	if (*ret == NULL)
		return err_sys(err, ENOMEM, "place");
	if (!path_is_normal(*ret) || path_is_system(*ret))
		return err_set(err, ERR_InvalidPath, "place '%.200s': expected an absolute path without .., outside of the system's directories",
			       *ret);
	if (path_is_below(*ret, home->e->conf->daemon_mount))
		return err_set(err, ERR_InvalidPath, "place '%.200s': in the tree of this daemon", *ret);
	return 0;
}

char *place_default(const struct ct *view)
{
	char *place = NULL;

	return place_resolve(view, "", &place, NULL) == 0 ? place : NULL;
}

bool place_may_use(const struct ct *view, const char *place)
{
	autofree char *resolved = NULL;

	return ct_is_root(view) || place_resolve(view, place, &resolved, NULL) == 0;
}

int place_check_user(const struct ct *home, uid_t uid, const char *place, struct err *err)
{
	if (uid == 0 || strcmp(place, home->e->conf->volumes_default_place) == 0)
		return 0;
	return err_set(err, ERR_Permission, "place %.200s: only root may use another than the default one", place);
}

void place_policy(const struct ct *ct, struct text *out)
{
	bool is_host;
	const struct strv *policy = policy_of(ct, &is_host);

	if (is_host)
		text_addf(out, "%s;" DEFAULT_POLICY, ct->e->conf->volumes_default_place);
	else
		strv_join(policy, ';', out);
}

bool place_may_pass_on(const struct ct *home, const char *entry)
{
	bool is_host;
	const struct strv *policy = policy_of(home, &is_host);
	const char *equals = entry[0] != '/' ? strchr(entry, '=') : NULL, *path = equals != NULL ? equals + 1 : entry;

	if (is_host)
		return true;
	for (size_t i = 0; i < policy->n; i++)
		if (strcmp(policy->p[i], path) == 0 || strcmp(policy->p[i], entry) == 0)
			return true;
	return strchr(path, '*') == NULL && find_allowed(policy, path) != NULL;
}

/* ---- its directories ---- */

uint64_t place_group(const char *place)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (; place != NULL && *place != '\0'; place++)
		h = (h ^ (unsigned char)*place) * UINT64_C(1099511628211);
	return place != NULL ? h | 1 : 0;
}

#define OWNER ".porto" /* in porto_volumes: the state directory of the daemon whose volumes are in it */

static const char *trusted, *state_dir;

void place_set_default(const char *place, const char *state)
{
	trusted = place;
	state_dir = state;
}

bool place_is_ours(const char *place, int volumes)
{
	char owner[PATH_MAX];

	/* the default one is ours also when somebody else has made the directory */
	if (file_read_small(volumes, OWNER, owner, sizeof(owner)) < 0)
		return trusted != NULL && strcmp(place, trusted) == 0;
	return state_dir != NULL && strcmp(owner, state_dir) == 0;
}

/* Whoever owns a directory on the way could lead us elsewhere by a link. */
static int open_dir(int at, const char *path, bool follow)
{
	struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_NO_MAGICLINKS };
	long fd;

	if (!follow)
		how.resolve |= RESOLVE_NO_SYMLINKS;
	fd = syscall(SYS_openat2, at, path, &how, sizeof(how));
	return fd < 0 ? -errno : (int)fd;
}

static int open_place(const char *place)
{
	return open_dir(AT_FDCWD, place, trusted != NULL && strcmp(place, trusted) == 0);
}

int place_dir(const char *place, const char *sub)
{
	autoclose int dir = open_place(place);

	return dir < 0 ? dir : open_dir(dir, sub, false);
}

int place_open(const char *place, const char *sub, gid_t porto_gid, struct err *err)
{
	bool is_volumes = strcmp(sub, PLACE_VOLUMES) == 0;
	autoclose int dir = open_place(place), fd = -1;
	struct stat st;

	if (dir == -ENOENT)
		return err_set_no(err, ERR_InvalidPath, ENOENT, "place %s: no such directory", place);
	if (dir < 0 || fstat(dir, &st) < 0)
		return err_sys(err, dir < 0 ? -dir : errno, "place %s", place);
	fd = open_dir(dir, sub, false);
	if (fd >= 0)
		return TAKE_FD(fd);
	if (fd != -ENOENT || (mkdirat(dir, sub, 0700) < 0 && errno != EEXIST))
		return err_sys(err, fd != -ENOENT ? -fd : errno, "%s/%s", place, sub);
	fd = open_dir(dir, sub, false);
	if (fd < 0)
		return err_sys(err, -fd, "%s/%s", place, sub);
	/* what is unpacked is nobody else's to reach: setuid files, devices */
	if (fchown(fd, is_volumes ? st.st_uid : 0, st.st_uid == 0 && porto_gid != (gid_t)-1 ? porto_gid : is_volumes ? st.st_gid : 0) < 0 ||
	    fchmod(fd, is_volumes ? 0755 : 0700) < 0)
		return err_sys(err, errno, "%s/%s", place, sub);
	if (is_volumes && state_dir != NULL)
		(void)file_replace(fd, OWNER, state_dir, strlen(state_dir), 0644);
	return TAKE_FD(fd);
}

/* ---- names ---- */

static int check_part(const char *part, struct err *err)
{
	static const char *const reserved[] = { "_tmp_", "_import_", "_remove_", "_private_", "_meta_", "_layer_" };
	int r = name_check(part, err);

	if (r < 0)
		return err_set(err, ERR_InvalidValue, "name '%.150s': expected letters, digits and _-@:. , not at the beginning", part);
	for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
		if (strncmp(part, reserved[i], strlen(reserved[i])) == 0)
			return err_set(err, ERR_InvalidValue, "name '%.150s': names beginning with %s are reserved", part, reserved[i]);
	return 0;
}

static int split(const char *name, char **meta, const char **sub, struct err *err)
{
	const char *slash = strchr(name, '/');
	int r = 0;

	*meta = NULL;
	*sub = slash != NULL ? slash + 1 : name;
	if (slash != NULL) {
		*meta = strndup(name, (size_t)(slash - name));
		if (*meta == NULL)
			return err_sys(err, ENOMEM, "name");
		r = check_part(*meta, err);
	}
	return r < 0 ? r : check_part(*sub, err);
}

int stored_check(const char *name, struct err *err)
{
	autofree char *meta = NULL;
	const char *sub;

	return split(name, &meta, &sub, err);
}

int stored_path(enum stored kind, const char *name, struct text *out, struct err *err)
{
	autofree char *meta = NULL;
	const char *sub;
	int r = split(name, &meta, &sub, err);

	if (r == 0 && meta != NULL && kind == STORED_META)
		r = err_set(err, ERR_InvalidValue, "'%.150s': meta-storages are not in one another", name);
	if (r < 0)
		return r;
	text_addf(out, "%s/", kind == STORED_LAYER && meta == NULL ? PLACE_LAYERS : PLACE_STORAGES);
	if (kind == STORED_META)
		text_addf(out, "_meta_%s", sub);
	else if (meta != NULL)
		text_addf(out, "_meta_%s/%s%s", meta, kind == STORED_LAYER ? "_layer_" : "", sub);
	else
		text_add(out, sub);
	return text_ok(out) < 0 ? err_sys(err, ENOMEM, "name") : 0;
}

int stored_split(enum stored kind, const char *name, struct text *dir, struct text *base, struct err *err)
{
	autotext struct text path = {};
	const char *slash;
	int r = stored_path(kind, name, &path, err);

	if (r < 0)
		return r;
	slash = strrchr(text_str(&path), '/');
	text_addn(dir, text_str(&path), (size_t)(slash - text_str(&path)));
	text_add(base, slash + 1);
	return text_ok(dir) < 0 || text_ok(base) < 0 ? err_sys(err, ENOMEM, "name") : 0;
}

bool stored_is_weak(const char *name)
{
	const char *slash = strrchr(name, '/');

	return strncmp(slash != NULL ? slash + 1 : name, WEAK, strlen(WEAK)) == 0;
}
