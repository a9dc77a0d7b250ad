#include "engine/env.h"

#include <sys/random.h>

#include <md5.h>

#include "engine/cred.h"
#include "engine/hooks.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* `<secret salt=S md5=H>`: H is the MD5 of salt and value: equal secrets can be told by whoever knows one, nothing else. */
static void add_secret(struct text *out, const char *value)
{
	char digest[MD5_DIGEST_STRING_LENGTH];
	unsigned char raw[8] = { 0 };
	char salt[2 * sizeof(raw) + 1];
	MD5_CTX md5;

	if (getrandom(raw, sizeof(raw), 0) < 0)
		memset(raw, 0, sizeof(raw)); /* an older kernel at boot: the salt is poor, the value is hashed still */
	for (size_t i = 0; i < sizeof(raw); i++) {
		salt[2 * i] = "0123456789abcdef"[raw[i] >> 4];
		salt[2 * i + 1] = "0123456789abcdef"[raw[i] & 15];
	}
	salt[sizeof(salt) - 1] = '\0';
	MD5Init(&md5);
	MD5Update(&md5, (const uint8_t *)salt, strlen(salt));
	MD5Update(&md5, (const uint8_t *)value, strlen(value));
	MD5End(&md5, digest);
	text_addf(out, "<secret salt=%s md5=%s>", salt, digest);
}

/* "NAME=value" or "NAME" (unset): sets or removes in m; names in locked stay as they are. */
static int env_put(struct pairs *m, const char *item, const struct pairs *locked)
{
	const char *eq = strchr(item, '=');
	autofree char *name = eq != NULL ? strndup(item, (size_t)(eq - item)) : strdup(item);

	if (name == NULL)
		return -ENOMEM;
	if (locked != NULL && pairs_get(locked, name) != NULL)
		return 0;
	if (eq == NULL) {
		pairs_unset(m, name);
		return 0;
	}
	return pairs_set(m, name, eq + 1);
}

static int env_put_all(struct pairs *m, const struct strv *items, const struct pairs *locked)
{
	for (size_t i = 0; i < items->n; i++) {
		int r = env_put(m, items->p[i], locked);
		if (r < 0)
			return r;
	}
	return 0;
}

/* PORTO_NAME and its like: nobody overrides them. */
static int env_locked(struct ct *ct, struct pairs *m)
{
	autotext struct text owner = {};
	char host[65] = "";
	int r;

	(void)gethostname(host, sizeof(host) - 1);
	cred_user_name(ct->owner_uid, &owner);
	r = pairs_set(m, "PORTO_NAME", ct->name);
	if (r == 0)
		r = pairs_set(m, "PORTO_HOST", host);
	if (r == 0)
		r = pairs_set(m, "PORTO_USER", text_str(&owner));
	return r;
}

static int env_defaults(struct ct *ct, struct pairs *m)
{
	autotext struct text cwd = {}, user = {};
	autostrv struct strv extra = {};
	int r;

	(void)read_cwd(ct, NULL, &cwd, NULL);
	cred_user_name(ct->task_uid, &user);
	r = pairs_set(m, "PATH", DEFAULT_PATH);
	if (r == 0)
		r = pairs_set(m, "HOME", text_str(&cwd));
	if (r == 0)
		r = pairs_set(m, "USER", text_str(&user));
	if (r == 0)
		r = pairs_set(m, "container", "lxc");
	if (r == 0)
		r = strv_split(ct->e->conf->container_extra_env, ';', &extra);
	return r < 0 ? r : env_put_all(m, &extra, NULL);
}

/* As env_put_all, with the values as readers see them. */
static int env_put_hashed(struct pairs *m, const struct strv *items, const struct pairs *locked)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < items->n; i++) {
		const char *eq = strchr(items->p[i], '=');
		autotext struct text item = {};

		text_addn(&item, items->p[i], eq != NULL ? (size_t)(eq - items->p[i]) + 1 : strlen(items->p[i]));
		if (eq != NULL)
			add_secret(&item, eq + 1);
		r = text_ok(&item);
		if (r == 0)
			r = env_put(m, text_str(&item), locked);
	}
	return r;
}

/* for_readers: secrets hashed. */
static int env_pairs(struct ct *ct, bool for_readers, struct pairs *m)
{
	struct pairs locked = {};
	struct ct *line[CT_LEVEL_MAX + 1];
	size_t n = 0;
	int r;

	r = env_locked(ct, &locked);
	if (r == 0)
		r = env_defaults(ct, m);
	/* while not isolated, what ancestors say counts where the container is silent: the outermost first */
	line[n++] = ct;
	for (struct ct *up = ct; !ct_isolated(up) && up->parent != NULL && up->parent->parent != NULL && n < ARRAY_LEN(line);) {
		up = up->parent;
		line[n++] = up;
	}
	while (r == 0 && n-- > 0) {
		r = env_put_all(m, &line[n]->val[PROP_env].v, &locked);
		if (r == 0)
			r = (for_readers ? env_put_hashed : env_put_all)(m, &line[n]->val[PROP_env_secret].v, &locked);
	}
	for (size_t i = 0; r == 0 && i < locked.k.n; i++)
		r = pairs_set(m, locked.k.p[i], locked.v.p[i]);
	pairs_done(&locked);
	return r;
}

int env_build(struct ct *ct, struct strv *out)
{
	struct pairs m = {};
	int r = env_pairs(ct, false, &m);

	for (size_t i = 0; r == 0 && i < m.k.n; i++) {
		autotext struct text item = {};

		text_addf(&item, "%s=%s", m.k.p[i], m.v.p[i]);
		r = text_ok(&item);
		if (r == 0)
			r = strv_add(out, item.p);
	}
	pairs_done(&m);
	return r;
}

int env_effective(struct ct *ct, const char *name, struct text *out)
{
	struct pairs m = {};
	int r = env_pairs(ct, true, &m);
	const char *v = r == 0 ? pairs_get(&m, name) : NULL;

	if (v != NULL)
		text_add(out, v);
	pairs_done(&m);
	return r < 0 ? r : v != NULL ? 0 : -ENODATA;
}

int env_secret_format(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	const struct strv *v = &ct->val[PROP_env_secret].v;

	for (size_t i = 0; i < v->n; i++) {
		const char *eq = strchr(v->p[i], '=');
		size_t len = eq != NULL ? (size_t)(eq - v->p[i]) : strlen(v->p[i]);

		if (key != NULL && (strlen(key) != len || memcmp(key, v->p[i], len) != 0))
			continue;
		if (key == NULL) {
			text_addf(out, "%s%.*s", i > 0 ? ";" : "", (int)len, v->p[i]);
			if (eq != NULL)
				text_addc(out, '=');
		}
		if (eq != NULL)
			add_secret(out, eq + 1);
		if (key != NULL)
			return 0;
	}
	if (key != NULL)
		return err_set_no(err, ERR_InvalidValue, ENODATA, "env_secret[%.100s]: not set", key);
	return 0;
}
