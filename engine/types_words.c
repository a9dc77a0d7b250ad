/* The property types that are words of a table: io_policy, controllers. */
#include "base/names.h"
#include "engine/cgroup.h"
#include "engine/types.h"

static bool u_equal(const union value *a, const union value *b)
{
	return a->u == b->u;
}

static const char *const io_policy_names[IO_POLICIES] = {
	[IO_UNSET] = "", [IO_NONE] = "none", [IO_RT] = "rt", [IO_HIGH] = "high",
	[IO_NORMAL] = "normal", [IO_BATCH] = "batch", [IO_IDLE] = "idle",
};

static int io_policy_parse(const char *text, union value *ret)
{
	int i = names_find(io_policy_names, IO_POLICIES, text);

	if (i < 0)
		return -EINVAL;
	*ret = (union value){ .u = (uint64_t)i };
	return 0;
}

static void io_policy_format(const union value *v, struct text *out)
{
	text_add(out, io_policy_names[v->u]);
}

const char *const access_names[ACCESSES] = {
	[ACCESS_NONE] = "false", [ACCESS_READ_ISOLATE] = "read-isolate", [ACCESS_READ_ONLY] = "read-only", [ACCESS_ISOLATE] = "isolate",
	[ACCESS_SELF_ISOLATE] = "self-isolate", [ACCESS_CHILD_ONLY] = "child-only", [ACCESS_FULL] = "true",
};

static int access_parse(const char *text, union value *ret)
{
	static const char *const others[ACCESSES] = { [ACCESS_NONE] = "none", [ACCESS_FULL] = "full" };
	int i = names_find(access_names, ACCESSES, text);

	for (int k = 0; i < 0 && k < ACCESSES; k++)
		if (others[k] != NULL && strcmp(others[k], text) == 0)
			i = k;
	if (i < 0)
		return -EINVAL;
	*ret = (union value){ .u = (uint64_t)i };
	return 0;
}

static void access_format(const union value *v, struct text *out)
{
	text_add(out, access_names[v->u]);
}

static int controllers_parse(const char *text, union value *ret)
{
	autostrv struct strv names = {};
	uint64_t bits = 0;

	if (strv_split(text, ';', &names) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < names.n; i++) {
		enum cg_ctl c = cg_find(names.p[i]);

		if (c == CG_CTLS)
			return -EINVAL;
		bits |= CG_BIT(c);
	}
	*ret = (union value){ .u = bits };
	return 0;
}

static void controllers_format(const union value *v, struct text *out)
{
	const char *separator = "";

	for (enum cg_ctl c = 0; c < CG_CTLS; c++)
		if (v->u & CG_BIT(c)) {
			text_addf(out, "%s%s", separator, cg_name(c));
			separator = ";";
		}
}

static int net_class_parse(const char *text, union value *ret)
{
	if (strncmp(text, "CS", 2) != 0 || text[2] < '0' || text[2] > '7' || text[3] != '\0')
		return -EINVAL;
	*ret = (union value){ .u = (uint64_t)(text[2] - '0') };
	return 0;
}

static void net_class_format(const union value *v, struct text *out)
{
	text_addf(out, "CS%u", (unsigned)v->u);
}

const struct prop_type type_net_class = {
	.name = "net_class", .expected = "CS0 to CS7",
	.parse = net_class_parse, .format = net_class_format, .equal = u_equal,
};

const struct prop_type type_access = {
	.name = "access", .expected = "true, child-only, self-isolate, isolate, read-only, read-isolate or false",
	.parse = access_parse, .format = access_format, .equal = u_equal,
};

const struct prop_type type_io_policy = {
	.name = "io_policy", .expected = "none, rt, high, normal, batch or idle, or nothing to have the parent's",
	.parse = io_policy_parse, .format = io_policy_format, .equal = u_equal,
};

const struct prop_type type_controllers = {
	.name = "controllers", .expected = "controllers like memory;cpu;blkio",
	.parse = controllers_parse, .format = controllers_format, .equal = u_equal,
};
