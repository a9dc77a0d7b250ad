/* Core dumps: core_command, coredump_filter, and the kernel's core_pattern, which sends cores to scripts/porto-core. */
#include <fcntl.h>
#include <stdio.h>

#include "base/fd.h"
#include "base/log.h"
#include "engine/hooks.h"

#define PATTERN "/proc/sys/kernel/core_pattern"
#define PATTERN_MAX 127 /* bytes that the kernel keeps */
#define FILTER_MAX 0x1ff

static int check_on(const struct ct *ct, const char *prop, struct err *err)
{
	return ct->e->conf->core_enable ? 0 : err_set(err, ERR_NotSupported, "%s: core.enable is off in the configuration", prop);
}

int check_core_command(struct change *c)
{
	return check_on(c->ct, "core_command", c->err);
}

/* Its own or the nearest above: as far as they have the same root, where its path means the same. */
int read_core_command(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	int r = no_index(key, err, "core_command");

	if (r == 0)
		r = check_on(ct, "core_command", err);
	if (r < 0)
		return r;
	while (!prop_is_set(ct, PROP_core_command) && ct->parent != NULL && !ct_has_root(ct))
		ct = ct->parent;
	text_add(out, ct->val[PROP_core_command].s != NULL ? ct->val[PROP_core_command].s : "");
	return text_ok(out);
}

int check_coredump_filter(struct change *c)
{
	char *end, shown[16];
	unsigned long mask;
	char *s;
	int r = check_on(c->ct, "coredump_filter", c->err);

	if (r < 0 || c->text[0] == '\0')
		return r;
	errno = 0;
	mask = strtoul(c->text, &end, 16);
	if (*end != '\0' || errno != 0 || mask > FILTER_MAX || strchr("+-", c->text[0]) != NULL)
		return err_set(c->err, ERR_InvalidValue, "coredump_filter: '%.100s': expected kinds of memory as in core(5), 0x0 to 0x1ff", c->text);
	snprintf(shown, sizeof(shown), "0x%lx", mask);
	s = strdup(shown);
	if (s == NULL)
		return err_sys(c->err, ENOMEM, "coredump_filter");
	free(c->value->s);
	c->value->s = s;
	return 0;
}

int read_coredump_filter(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	int r = no_index(key, err, "coredump_filter");

	if (r == 0)
		r = check_on(ct, "coredump_filter", err);
	if (r == 0)
		text_add(out, ct->val[PROP_coredump_filter].s != NULL ? ct->val[PROP_coredump_filter].s : "");
	return r;
}

/* ---- the host's core_pattern ---- */

static int pattern_of(const struct config *conf, struct text *out)
{
	autofree char *program = program_path("porto-core");

	if (program == NULL)
		return -ENOMEM;
	text_addf(out, "|%s %s %%P %%I %%s %%c %%e %%d", program, conf->daemon_mount);
	if (text_ok(out) < 0)
		return -ENOMEM;
	return out->len > PATTERN_MAX ? -ENAMETOOLONG : access(program, X_OK) < 0 ? -errno : 0;
}

static bool is_ours(const char *pattern)
{
	return pattern[0] == '|' && strstr(pattern, "/porto-core ") != NULL;
}

static void saved_path(const struct config *conf, struct text *out)
{
	text_addf(out, "%s/core_pattern", conf->daemon_state_dir);
}

/* The pattern that was there is kept in a file, so that whoever stops the daemon gives it back. */
void engine_core_begin(const struct config *conf)
{
	autotext struct text ours = {}, path = {};
	char old[256] = "";
	int r;

	if (!conf->core_enable)
		return;
	saved_path(conf, &path);
	r = pattern_of(conf, &ours);
	if (r == 0)
		r = (int)MIN(file_read_small(AT_FDCWD, PATTERN, old, sizeof(old)), 0);
	if (r == 0 && !is_ours(old))
		r = file_replace(AT_FDCWD, text_str(&path), old, strlen(old), 0600);
	if (r == 0)
		r = file_write(AT_FDCWD, PATTERN, text_str(&ours));
	if (r < 0)
		log_error("core.enable: cores go where they went before: %s: %s", PATTERN, strerror(-r));
}

void engine_core_end(const struct config *conf)
{
	autotext struct text path = {};
	char old[256], now[256];

	saved_path(conf, &path);
	if (file_read_small(AT_FDCWD, text_str(&path), old, sizeof(old)) < 0)
		return;
	/* somebody else's by now: it stays */
	if (file_read_small(AT_FDCWD, PATTERN, now, sizeof(now)) >= 0 && is_ours(now) &&
	    file_write(AT_FDCWD, PATTERN, old) < 0)
		log_error("%s can't be given back", PATTERN);
	(void)unlink(text_str(&path));
}
