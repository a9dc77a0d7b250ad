#include "engine/types.h"

#include "base/names.h"
#include "base/units.h"

#define PATH_BYTES_MAX 4096

unsigned types_host_cores = 1;

const char *const virt_mode_names[VIRT_MODES] = {
	[VIRT_APP] = "app",
	[VIRT_OS] = "os",
	[VIRT_JOB] = "job",
	[VIRT_HOST] = "host",
	[VIRT_DOCKER] = "docker",
};

static bool u_equal(const union value *a, const union value *b)
{
	return a->u == b->u;
}

static void u_format(const union value *v, struct text *out)
{
	unit_bytes_format(out, v->u);
}

static int bool_parse(const char *text, union value *ret)
{
	bool b;
	int r = unit_bool_parse(text, &b);

	if (r == 0)
		*ret = (union value){ .b = b };
	return r;
}

static void bool_format(const union value *v, struct text *out)
{
	text_add(out, v->b ? "true" : "false");
}

static bool bool_equal(const union value *a, const union value *b)
{
	return a->b == b->b;
}

static int uint_parse(const char *text, union value *ret)
{
	return unit_uint_parse(text, &ret->u);
}

static int int_parse(const char *text, union value *ret)
{
	return unit_int_parse(text, &ret->i);
}

static void int_format(const union value *v, struct text *out)
{
	text_addf(out, "%lld", (long long)v->i);
}

static int bytes_parse(const char *text, union value *ret)
{
	return unit_bytes_parse(text, &ret->u);
}

static int cores_parse(const char *text, union value *ret)
{
	return unit_cores_parse(text, types_host_cores, &ret->u);
}

static void cores_format(const union value *v, struct text *out)
{
	unit_cores_format(out, v->u);
}

static int time_parse(const char *text, union value *ret)
{
	return unit_time_parse(text, &ret->u);
}

static void time_format(const union value *v, struct text *out)
{
	unit_time_format(out, v->u);
}

static int weight_parse(const char *text, union value *ret)
{
	return unit_weight_parse(text, &ret->d);
}

static void weight_format(const union value *v, struct text *out)
{
	text_addf(out, "%lg", v->d);
}

static bool weight_equal(const union value *a, const union value *b)
{
	return a->d == b->d;
}

static int octal_parse(const char *text, union value *ret)
{
	return unit_octal_parse(text, &ret->u);
}

static void octal_format(const union value *v, struct text *out)
{
	unit_octal_format(out, v->u);
}

static int hex_parse(const char *text, union value *ret)
{
	return unit_hex_parse(text, &ret->u);
}

static void hex_format(const union value *v, struct text *out)
{
	text_addf(out, "0x%llx", (unsigned long long)v->u);
}

static int virt_mode_parse(const char *text, union value *ret)
{
	int mode = names_find(virt_mode_names, VIRT_MODES, text);

	/* Upstream's name for app with enable_fuse=true. */
	if (strcmp(text, "fuse") == 0)
		mode = VIRT_APP;
	if (mode < 0)
		return mode;
	*ret = (union value){ .u = (uint64_t)mode };
	return 0;
}

static void virt_mode_format(const union value *v, struct text *out)
{
	text_add(out, v->u < VIRT_MODES ? virt_mode_names[v->u] : "");
}

static int opt_uint_parse(const char *text, union value *ret)
{
	int64_t n = -1;
	int r = *text ? unit_int_parse(text, &n) : 0;

	if (r == 0)
		*ret = (union value){ .u = n < 0 ? 0 : (uint64_t)n + 1 };
	return r;
}

static void opt_uint_format(const union value *v, struct text *out)
{
	if (v->u)
		unit_bytes_format(out, v->u - 1);
}

static const char *str(const union value *v)
{
	return v->s ? v->s : "";
}

static int text_parse(const char *text, union value *ret)
{
	char *s = strdup(text);

	if (!s)
		return -ENOMEM;
	ret->s = s;
	return 0;
}

static int path_parse(const char *text, union value *ret)
{
	return strlen(text) < PATH_BYTES_MAX ? text_parse(text, ret) : -ERANGE;
}

void text_value_format(const union value *v, struct text *out)
{
	text_add(out, str(v));
}

bool text_value_equal(const union value *a, const union value *b)
{
	return strcmp(str(a), str(b)) == 0;
}

void text_value_release(union value *v)
{
	free(v->s);
	v->s = NULL;
}

int text_value_copy(const union value *v, union value *ret)
{
	return text_parse(str(v), ret);
}

const struct prop_type type_bool = {
	.name = "bool", .expected = "true or false",
	.parse = bool_parse, .format = bool_format, .equal = bool_equal,
};

const struct prop_type type_uint = {
	.name = "uint", .expected = "a number",
	.parse = uint_parse, .format = u_format, .equal = u_equal,
};

const struct prop_type type_int = {
	.name = "int", .expected = "a number, which may be negative",
	.parse = int_parse, .format = int_format, .equal = u_equal,
};

const struct prop_type type_bytes = {
	.name = "bytes", .expected = "bytes like 1048576, 1.5G or 64 MiB",
	.parse = bytes_parse, .format = u_format, .equal = u_equal,
};

const struct prop_type type_cores = {
	.name = "cores", .expected = "cores like 1.5c, a percentage of the host, or 500000000ns",
	.parse = cores_parse, .format = cores_format, .equal = u_equal,
};

const struct prop_type type_time = {
	.name = "time", .expected = "a time like 1s, 1.5s, 100ms or 50us; without a unit it is nanoseconds",
	.parse = time_parse, .format = time_format, .equal = u_equal,
};

const struct prop_type type_weight = {
	.name = "weight", .expected = "a number from 0.01 to 100",
	.parse = weight_parse, .format = weight_format, .equal = weight_equal,
};

const struct prop_type type_octal = {
	.name = "octal", .expected = "an octal number like 022",
	.parse = octal_parse, .format = octal_format, .equal = u_equal,
};

const struct prop_type type_hex = {
	.name = "hex", .expected = "a hexadecimal number like 0x1f",
	.parse = hex_parse, .format = hex_format, .equal = u_equal,
};

const struct prop_type type_text = {
	.name = "text", .expected = "text",
	.parse = text_parse, .format = text_value_format, .equal = text_value_equal,
	.release = text_value_release, .copy = text_value_copy,
};

const struct prop_type type_path = {
	.name = "path", .expected = "a path of less than 4096 bytes",
	.parse = path_parse, .format = text_value_format, .equal = text_value_equal,
	.release = text_value_release, .copy = text_value_copy,
};

const struct prop_type type_virt_mode = {
	.name = "virt_mode", .expected = "app, os, job, host or docker",
	.parse = virt_mode_parse, .format = virt_mode_format, .equal = u_equal,
};

const struct prop_type type_opt_uint = {
	.name = "opt_uint", .expected = "a number, or nothing for none",
	.parse = opt_uint_parse, .format = opt_uint_format, .equal = u_equal,
};

const struct prop_type *const types_all[] = {
	&type_bool, &type_uint, &type_int, &type_bytes, &type_cores, &type_time, &type_weight, &type_octal, &type_hex,
	&type_text, &type_path, &type_list, &type_argv, &type_env, &type_strmap, &type_links, &type_bytemap, &type_ratemap,
	&type_ulimit, &type_labels, &type_virt_mode, &type_opt_uint, &type_cpu_policy, &type_cpu_set, &type_iolimit, &type_io_policy,
	&type_controllers, &type_net_class, &type_access, &type_caps, &type_devices, &type_seccomp, NULL,
};
