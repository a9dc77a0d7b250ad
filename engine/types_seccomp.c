/* The property type of `seccomp`: what engine/seccomp.h tells of, or a word, or Docker's JSON, which is turned into the former. */
#include <seccomp.h>
#include <stdio.h>

#include "engine/seccomp.h"

#define PROFILE_MAX (64u << 10)

static const struct {
	const char *word;
	uint32_t action;
} actions[] = {
	{ "allow", SCMP_ACT_ALLOW }, { "errno", SCMP_ACT_ERRNO(EPERM) },     { "kill_process", SCMP_ACT_KILL_PROCESS },
	{ "log", SCMP_ACT_LOG },     { "kill_thread", SCMP_ACT_KILL_THREAD }, { "trap", SCMP_ACT_TRAP },
};

static int number_parse(const char *s, uint64_t max, uint64_t *ret, const char **end)
{
	char *stop;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	errno = 0;
	*ret = strtoull(s, &stop, 0);
	*end = stop;
	return errno != 0 || *ret > max ? -EINVAL : 0;
}

int seccomp_action_parse(const char *word, uint32_t *ret)
{
	const char *end;
	uint64_t no;

	for (size_t i = 0; i < ARRAY_LEN(actions); i++)
		if (strcmp(actions[i].word, word) == 0) {
			*ret = actions[i].action;
			return 0;
		}
	if (strncmp(word, "errno:", 6) != 0 || number_parse(word + 6, 4095, &no, &end) < 0 || *end || no == 0)
		return -EINVAL;
	*ret = SCMP_ACT_ERRNO((uint32_t)no);
	return 0;
}

/* "1==0x5412", "0&0xff==8" */
static int condition_parse(const char *s, struct seccomp_condition *ret, const char **end)
{
	static const struct {
		const char *word;
		int op;
	} ops[] = { { "==", SCMP_CMP_EQ }, { "!=", SCMP_CMP_NE }, { "<=", SCMP_CMP_LE }, { ">=", SCMP_CMP_GE },
		    { "<", SCMP_CMP_LT },  { ">", SCMP_CMP_GT } };
	uint64_t index;

	if (number_parse(s, 5, &index, &s) < 0)
		return -EINVAL;
	*ret = (struct seccomp_condition){ .index = (unsigned)index };
	if (*s == '&') {
		if (number_parse(s + 1, UINT64_MAX, &ret->mask, &s) < 0 || strncmp(s, "==", 2) != 0)
			return -EINVAL;
		ret->op = SCMP_CMP_MASKED_EQ;
		return number_parse(s + 2, UINT64_MAX, &ret->value, end);
	}
	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		if (strncmp(s, ops[i].word, strlen(ops[i].word)) == 0) {
			ret->op = ops[i].op;
			return number_parse(s + strlen(ops[i].word), UINT64_MAX, &ret->value, end);
		}
	return -EINVAL;
}

int seccomp_call_parse(const char *word, struct seccomp_call *ret)
{
	size_t len = strcspn(word, "(");
	struct seccomp_call call = {};
	const char *s = word + len;
	char name[64];

	if (len == 0 || len >= sizeof(name))
		return -EINVAL;
	memcpy(name, word, len);
	name[len] = '\0';
	call.number = seccomp_syscall_resolve_name(name);
	if (call.number == __NR_SCMP_ERROR)
		return -EINVAL;
	for (char want = '('; *s; want = ',') {
		struct seccomp_condition *cond = &call.cond[call.count];

		if (*s != want || call.count == SECCOMP_CONDITIONS || condition_parse(s + 1, cond, &s) < 0)
			return -EINVAL;
		for (unsigned i = 0; i < call.count; i++) /* libseccomp takes one an argument */
			if (call.cond[i].index == cond->index)
				return -EINVAL;
		call.count++;
		if (strcmp(s, ")") == 0)
			break;
		if (*s == '\0')
			return -EINVAL;
	}
	*ret = call;
	return 0;
}

/* An item with one blank between its words; a bare list of calls is given its action. */
static int item_check(const char *item, bool first, struct text *out)
{
	autofree char *copy = strdup(item);
	bool has_action = false, has_call = false, is_default = false;
	struct seccomp_call call;
	uint32_t action;
	uint64_t caps;

	if (copy == NULL)
		return -ENOMEM;
	if (!first)
		text_add(out, "; ");
	for (char *word, *rest = copy; (word = strsep(&rest, " \t\n"));) {
		if (*word == '\0')
			continue;
		if (!has_action && !is_default && strchr("+-", *word) != NULL) {
			if (caps_parse(word + 1, &caps) < 0 || caps == 0)
				return -EINVAL;
			text_addf(out, "%s ", word);
			continue;
		}
		if (first && !has_action && !is_default && strcmp(word, "default") == 0 && text_str(out)[0] == '\0') {
			is_default = true;
			text_add(out, word);
			continue;
		}
		if (!has_action) {
			has_action = true;
			if (seccomp_action_parse(word, &action) == 0) {
				text_addf(out, "%s%s", is_default ? " " : "", word);
				continue;
			}
			text_add(out, "errno");
		}
		if (is_default || seccomp_call_parse(word, &call) < 0)
			return -EINVAL;
		has_call = true;
		text_addf(out, " %s", word);
	}
	return has_action && (is_default || has_call) ? text_ok(out) : -EINVAL;
}

static int profile_check(const char *text, struct text *out)
{
	autostrv struct strv items = {};
	int r = strv_split(text, ';', &items);

	for (size_t i = 0; r == 0 && i < items.n; i++)
		r = item_check(items.p[i], i == 0, out);
	return r == 0 && (items.n == 0 || out->len > PROFILE_MAX) ? -EINVAL : r;
}

static bool is_known(const char *word)
{
	struct seccomp_call call;
	uint32_t action;
	uint64_t caps;

	if (strchr("+-", *word) != NULL)
		return caps_parse(word + 1, &caps) == 0;
	return strcmp(word, "default") == 0 || seccomp_action_parse(word, &action) == 0 || seccomp_call_parse(word, &call) == 0;
}

static void wrong(const char *text, struct text *out)
{
	autofree char *copy = *text == '{' ? NULL : strdup(text);

	for (char *word, *rest = copy; (word = strsep(&rest, "; \t\n"));)
		if (*word != '\0' && !is_known(word)) {
			text_add(out, word);
			return;
		}
}

static int parse(const char *text, union value *ret)
{
	autotext struct text out = {}, json = {};
	int r = 0;

	if (*text == '\0') {
		*ret = (union value){};
		return 0;
	}
	if (strchr(text, '\\') != NULL && *text != '{')
		return -EINVAL;
	if (*text == '{')
		r = seccomp_from_json(text, &json);
	if (r == 0 && (strcmp(text, "none") == 0 || strcmp(text, "default") == 0))
		text_add(&out, text);
	else if (r == 0)
		r = profile_check(*text == '{' ? text_str(&json) : text, &out);
	if (r == 0)
		r = text_ok(&out);
	if (r == 0)
		*ret = (union value){ .s = text_take(&out) };
	return r;
}

const struct prop_type type_seccomp = {
	.name = "seccomp", .expected = "default, none, calls like `ptrace bpf`, a profile like `default errno; allow read write exit_group`, "
				       "or one in Docker's JSON form",
	.parse = parse, .wrong = wrong, .format = text_value_format, .equal = text_value_equal, .release = text_value_release,
	.copy = text_value_copy,
};
