/*
 * Docker's form of a profile. Of `includes` and `excludes` capabilities and architectures count, versions of the kernel do
 * not: every kernel we run on is newer than any that is asked for. Unknown calls are left out, as Docker does: profiles name
 * the calls of all kernels.
 */
#include <jansson.h>
#include <seccomp.h>

#include "engine/seccomp.h"

#define JSON_MAX (1u << 20)

#if defined(__x86_64__)
static const char *const our_arches[] = { "amd64", "x86", "x32" };
#elif defined(__aarch64__)
static const char *const our_arches[] = { "arm64", "arm" };
#endif

static int action_add(const json_t *name, const json_t *no, struct text *out)
{
	static const char *const words[][2] = {
		{ "SCMP_ACT_ALLOW", "allow" },       { "SCMP_ACT_ERRNO", "errno" }, { "SCMP_ACT_KILL", "kill_thread" },
		{ "SCMP_ACT_KILL_PROCESS", "kill_process" }, { "SCMP_ACT_KILL_THREAD", "kill_thread" },
		{ "SCMP_ACT_LOG", "log" },           { "SCMP_ACT_TRAP", "trap" },
	};
	const char *word = json_string_value(name);

	for (size_t i = 0; word != NULL && i < ARRAY_LEN(words); i++)
		if (strcmp(words[i][0], word) == 0) {
			text_add(out, words[i][1]);
			if (i == 1 && json_is_integer(no))
				text_addf(out, ":%lld", (long long)json_integer_value(no));
			return 0;
		}
	return -EINVAL;
}

static int args_add(const json_t *args, struct text *out)
{
	static const char *const ops[][2] = {
		{ "SCMP_CMP_EQ", "==" }, { "SCMP_CMP_NE", "!=" }, { "SCMP_CMP_LE", "<=" },
		{ "SCMP_CMP_GE", ">=" }, { "SCMP_CMP_LT", "<" },  { "SCMP_CMP_GT", ">" },
	};
	json_t *arg;
	size_t at;

	json_array_foreach(args, at, arg)
	{
		const char *op = json_string_value(json_object_get(arg, "op"));
		long long index = json_integer_value(json_object_get(arg, "index"));
		unsigned long long value = (unsigned long long)json_integer_value(json_object_get(arg, "value"));
		unsigned long long two = (unsigned long long)json_integer_value(json_object_get(arg, "valueTwo"));
		size_t i = 0;

		while (op != NULL && i < ARRAY_LEN(ops) && strcmp(ops[i][0], op) != 0)
			i++;
		if (op == NULL || index < 0 || (i == ARRAY_LEN(ops) && strcmp(op, "SCMP_CMP_MASKED_EQ") != 0))
			return -EINVAL;
		text_addc(out, at == 0 ? '(' : ',');
		if (i < ARRAY_LEN(ops))
			text_addf(out, "%lld%s%llu", index, ops[i][1], value);
		else
			text_addf(out, "%lld&%llu==%llu", index, value, two);
	}
	if (json_array_size(args) > 0)
		text_addc(out, ')');
	return 0;
}

/* false: the rule is for other machines */
static bool conditions_add(const json_t *rule, const char *which, char sign, struct text *out)
{
	const json_t *cond = json_object_get(rule, which), *arches = json_object_get(cond, "arches");
	bool ours = false;
	json_t *it;
	size_t at;

	json_array_foreach(json_object_get(cond, "caps"), at, it)
		if (json_is_string(it))
			text_addf(out, "%c%s ", sign, json_string_value(it));
	json_array_foreach(arches, at, it)
		for (size_t i = 0; i < ARRAY_LEN(our_arches); i++)
			ours |= json_is_string(it) && strcmp(json_string_value(it), our_arches[i]) == 0;
	return json_array_size(arches) == 0 || ours == (sign == '+');
}

static bool is_known(const char *name)
{
	return name != NULL && name[0] != '\0' && strcspn(name, "(; \t\n") == strlen(name) &&
	       seccomp_syscall_resolve_name(name) != __NR_SCMP_ERROR;
}

static int names_add(const json_t *rule, const char *args, struct text *out)
{
	const json_t *names = json_object_get(rule, "names");
	const char *one = json_string_value(json_object_get(rule, "name"));
	int known = 0;
	json_t *it;
	size_t at;

	if (is_known(one)) {
		text_addf(out, " %s%s", one, args);
		known++;
	}
	json_array_foreach(names, at, it)
		if (is_known(json_string_value(it))) {
			text_addf(out, " %s%s", json_string_value(it), args);
			known++;
		}
	return known;
}

static int rule_add(const json_t *rule, struct text *out)
{
	autotext struct text item = {}, args = {};
	int r;

	if (!conditions_add(rule, "includes", '+', &item) || !conditions_add(rule, "excludes", '-', &item))
		return 0;
	r = action_add(json_object_get(rule, "action"), json_object_get(rule, "errnoRet"), &item);
	if (r == 0)
		r = args_add(json_object_get(rule, "args"), &args);
	if (r == 0 && names_add(rule, text_str(&args), &item) > 0)
		text_addf(out, ";%s", text_str(&item));
	return r;
}

int seccomp_from_json(const char *text, struct text *ret)
{
	json_t *root = strlen(text) <= JSON_MAX ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
	const json_t *rules = json_object_get(root, "syscalls");
	json_t *rule;
	size_t at;
	int r;

	text_add(ret, "default ");
	r = action_add(json_object_get(root, "defaultAction"), json_object_get(root, "defaultErrnoRet"), ret);
	if (r == 0 && rules != NULL && !json_is_array(rules) && !json_is_null(rules))
		r = -EINVAL;
	json_array_foreach(rules, at, rule)
		if (r == 0)
			r = rule_add(rule, ret);
	json_decref(root);
	return r == 0 ? text_ok(ret) : r;
}
