/* Values of cpu_policy and cpu_set. */
#include "base/names.h"
#include "engine/types.h"

#define NODES_MAX 1024u

const char *const cpu_policy_names[CPU_POLICIES] = {
	[CPU_NORMAL] = "normal", [CPU_HIGH] = "high", [CPU_RT] = "rt",   [CPU_BATCH] = "batch",
	[CPU_IDLE] = "idle",     [CPU_NOSMT] = "nosmt", [CPU_ISO] = "iso",
};

static int policy_parse(const char *text, union value *ret)
{
	int i = names_find(cpu_policy_names, CPU_POLICIES, text);

	if (i < 0)
		return i;
	*ret = (union value){ .u = (uint64_t)i };
	return 0;
}

static void policy_format(const union value *v, struct text *out)
{
	text_add(out, v->u < CPU_POLICIES ? cpu_policy_names[v->u] : "");
}

static bool policy_equal(const union value *a, const union value *b)
{
	return a->u == b->u;
}

/* ---- cpu_set ---- */

/* "jail 2", " node  0 ": the word, blanks, a number. */
static int word_number(const char *s, const char *word, uint64_t *ret)
{
	size_t len = strlen(word);
	uint64_t v = 0;

	if (strncmp(s, word, len) != 0 || (s[len] != ' ' && s[len] != '\t'))
		return -ENOENT;
	s += len + strspn(s + len, " \t");
	if (*s < '0' || *s > '9')
		return -EINVAL;
	for (; *s >= '0' && *s <= '9'; s++)
		v = MIN(v * 10 + (uint64_t)(*s - '0'), UINT64_C(1) << 32);
	if (*s)
		return -EINVAL;
	*ret = v;
	return 0;
}

static int parse_part(const char *s, struct cpu_set *set)
{
	uint64_t n = 0;
	int r = word_number(s, "jail", &n);

	if (r == 0) {
		if (set->jail || !n)
			return -EINVAL;
		set->jail = (unsigned)MIN(n, (uint64_t)CPUS_MAX + 1);
		return n > CPUS_MAX ? -ERANGE : 0;
	}
	if (r == -ENOENT)
		r = word_number(s, "node", &n);
	if (r < 0)
		return -EINVAL;
	if (set->has_node)
		return -EINVAL;
	set->has_node = true;
	set->node = (unsigned)MIN(n, (uint64_t)NODES_MAX);
	return n >= NODES_MAX ? -ERANGE : 0;
}

int cpu_set_parse(const char *text, struct cpu_set *ret)
{
	struct cpu_set set = {};
	autostrv struct strv parts = {};
	int r = 0;

	if (!*text || strcmp(text, "all") == 0 || strcmp(text, "inherit") == 0) {
		*ret = set;
		return 0;
	}
	if (*text >= '0' && *text <= '9') {
		r = cpus_parse(text, &set.list);
		set.has_list = true;
	} else {
		r = strv_split(text, ';', &parts);
		for (size_t i = 0; r >= 0 && i < parts.n; i++)
			r = parse_part(parts.p[i], &set);
		if (r == 0 && parts.n == 0)
			r = -EINVAL;
	}
	if (r == 0)
		*ret = set;
	return r;
}

void cpu_set_format(const struct cpu_set *set, struct text *out)
{
	if (set->has_list)
		cpus_format(&set->list, out);
	if (set->jail)
		text_addf(out, "jail %u", set->jail);
	if (set->has_node)
		text_addf(out, "%snode %u", set->jail ? "; " : "", set->node);
}

static int set_parse(const char *text, union value *ret)
{
	autotext struct text t = {};
	struct cpu_set set;
	int r = cpu_set_parse(text, &set);
	char *s;

	if (r < 0)
		return r;
	cpu_set_format(&set, &t);
	s = text_take(&t);
	if (!s)
		return -ENOMEM;
	*ret = (union value){ .s = s };
	return 0;
}

const struct prop_type type_cpu_policy = {
	.name = "cpu_policy", .expected = "normal, high, rt, batch or idle",
	.parse = policy_parse, .format = policy_format, .equal = policy_equal,
};

const struct prop_type type_cpu_set = {
	.name = "cpu_set", .expected = "processors like 0-3,7, node N, jail N, `jail N; node M`, or nothing for the parent's",
	.parse = set_parse, .format = text_value_format, .equal = text_value_equal, .release = text_value_release,
	.copy = text_value_copy,
};
