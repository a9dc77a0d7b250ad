/* The property type that is a set of capabilities: capabilities, capabilities_ambient. */
#include <strings.h>

#include "engine/types.h"

/* By number. */
static const char *const names[] = {
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
	"LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
	"SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
	"SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
	"MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
	"CHECKPOINT_RESTORE",
};

const char *caps_name(unsigned cap)
{
	return cap < ARRAY_LEN(names) ? names[cap] : NULL;
}

static int find(const char *name)
{
	if (strncasecmp(name, "CAP_", 4) == 0)
		name += 4;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcasecmp(names[i], name) == 0)
			return (int)i;
	return -EINVAL;
}

/* An unknown name is refused: left out in silence it would be believed to be there. */
int caps_parse(const char *text, uint64_t *ret)
{
	autostrv struct strv words = {};
	uint64_t mask = 0;

	if (strv_split(text, ';', &words) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < words.n; i++) {
		int cap = find(words.p[i]);

		if (cap < 0)
			return cap;
		mask |= UINT64_C(1) << cap;
	}
	*ret = mask;
	return 0;
}

static void wrong(const char *text, struct text *out)
{
	autostrv struct strv words = {};

	(void)strv_split(text, ';', &words);
	for (size_t i = 0; i < words.n; i++)
		if (find(words.p[i]) < 0) {
			text_add(out, words.p[i]);
			return;
		}
}

static int parse(const char *text, union value *ret)
{
	uint64_t mask;
	int r = caps_parse(text, &mask);

	if (r == 0)
		*ret = (union value){ .u = mask };
	return r;
}

static void format(const union value *v, struct text *out)
{
	const char *separator = "";

	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (v->u >> i & 1) {
			text_addf(out, "%s%s", separator, names[i]);
			separator = ";";
		}
}

static bool equal(const union value *a, const union value *b)
{
	return a->u == b->u;
}

/* "A;B": all of them. */
static int get_key(const union value *v, const char *key, struct text *out)
{
	uint64_t mask;
	int r = caps_parse(key, &mask);

	if (r == 0 && mask == 0)
		r = -EINVAL;
	if (r == 0)
		text_add(out, (v->u & mask) == mask ? "true" : "false");
	return r;
}

static int set_key(const union value *old, const char *key, const char *text, union value *ret)
{
	bool on = strcmp(text, "true") == 0;
	uint64_t mask;
	int r = caps_parse(key, &mask);

	if (r == 0 && (mask == 0 || (!on && strcmp(text, "false") != 0)))
		r = -EINVAL;
	if (r == 0)
		*ret = (union value){ .u = on ? old->u | mask : old->u & ~mask };
	return r;
}

static int append(const union value *old, const char *text, union value *ret)
{
	uint64_t mask;
	int r = caps_parse(text, &mask);

	if (r == 0)
		*ret = (union value){ .u = old->u | mask };
	return r;
}

const struct prop_type type_caps = {
	.name = "caps", .expected = "capabilities like CHOWN;NET_RAW, or [SYS_ADMIN] true or false",
	.parse = parse, .wrong = wrong, .format = format, .equal = equal, .get_key = get_key, .set_key = set_key, .append = append,
};
