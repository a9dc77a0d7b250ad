/* Sets of processors, and where jails go on hosts that this one is not. */
#include "base/cpus.h"
#include "engine/cpu_jail.h"

#include "tests/unit/unit.h"

static const struct {
	const char *text;
	int error;
	const char *shown; /* NULL: as written */
	unsigned count;
} lists[] = {
	{ "", 0, NULL, 0 },
	{ "0", 0, NULL, 1 },
	{ "0-3", 0, NULL, 4 },
	{ "0-3,7", 0, NULL, 5 },
	{ "3,1,2,0", 0, "0-3", 4 },
	{ "1-3,2-5,5", 0, "1-5", 5 },
	{ "007", 0, "7", 1 },
	{ "63,64", 0, "63-64", 2 },
	{ "62-65,127-128", 0, NULL, 6 },
	{ "8191", 0, NULL, 1 },
	{ "0-8191", 0, NULL, 8192 },
	{ "8192", -ERANGE, NULL, 0 },
	{ "0-8192", -ERANGE, NULL, 0 },
	{ "18446744073709551616", -ERANGE, NULL, 0 },
	{ "0-99999999999999999999", -ERANGE, NULL, 0 },
	{ "99999999999999999999x", -EINVAL, NULL, 0 },
	{ ",", -EINVAL, NULL, 0 },
	{ "0,", -EINVAL, NULL, 0 },
	{ ",0", -EINVAL, NULL, 0 },
	{ "0,,1", -EINVAL, NULL, 0 },
	{ "-", -EINVAL, NULL, 0 },
	{ "-1", -EINVAL, NULL, 0 },
	{ "1-", -EINVAL, NULL, 0 },
	{ "3-1", -EINVAL, NULL, 0 },
	{ "1-2-3", -EINVAL, NULL, 0 },
	{ "0, 1", -EINVAL, NULL, 0 },
	{ " 0", -EINVAL, NULL, 0 },
	{ "0;1", -EINVAL, NULL, 0 },
	{ "0x1", -EINVAL, NULL, 0 },
	{ "a", -EINVAL, NULL, 0 },
	{ "1.5", -EINVAL, NULL, 0 },
};

static void test_lists(void)
{
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		autotext struct text t = {};
		struct cpus c = {}, untouched;
		int r;

		memset(&c, 0x5a, sizeof(c));
		untouched = c;
		r = cpus_parse(lists[i].text, &c);
		if (r < 0) {
			unit_ok(r == lists[i].error && cpus_equal(&c, &untouched), "list '%s' is refused", lists[i].text);
			continue;
		}
		cpus_format(&c, &t);
		unit_ok(r == lists[i].error && cpus_count(&c) == lists[i].count &&
				strcmp(text_str(&t), lists[i].shown ? lists[i].shown : lists[i].text) == 0,
			"list '%s' is %u processors", lists[i].text, lists[i].count);
	}
}

static struct cpus list(const char *text)
{
	struct cpus c = {};

	if (cpus_parse(text, &c) < 0)
		unit_ok(false, "'%s' is a list", text);
	return c;
}

static bool is(const struct cpus *c, const char *text)
{
	struct cpus want = list(text);

	return cpus_equal(c, &want);
}

static void test_operations(void)
{
	struct cpus a = list("0-3,64"), b = list("2-5,8191"), c = a;

	cpus_and(&c, &b);
	unit_ok(is(&c, "2-3"), "and");
	c = a;
	cpus_or(&c, &b);
	unit_ok(is(&c, "0-5,64,8191"), "or");
	c = a;
	cpus_without(&c, &b);
	unit_ok(is(&c, "0-1,64"), "without");
	cpus_remove(&c, 64);
	cpus_add(&c, 8191);
	unit_ok(is(&c, "0-1,8191") && cpus_has(&c, 8191) && !cpus_has(&c, 64) && !cpus_has(&c, 8192), "add, remove, has");
	unit_ok(cpus_within(&c, &c) && !cpus_within(&a, &b) && cpus_within(&(struct cpus){}, &a), "within");
	unit_ok(cpus_next(&a, 0) == 0 && cpus_next(&a, 4) == 64 && cpus_next(&a, 65) == CPUS_MAX &&
			cpus_next(&b, 8191) == 8191 && cpus_next(&b, CPUS_MAX) == CPUS_MAX,
		"next");
}

/* Two nodes with two cores of two threads each: node 0 has 0-1 and their threads 4-5, node 1 2-3 and 6-7. */
static void small_host(struct cpu_host *host)
{
	for (unsigned cpu = 0; cpu < 8; cpu++) {
		host->core[cpu] = cpu % 4;
		host->node[cpu] = cpu % 4 / 2;
	}
}

#define JAILS_MAX 5

static const struct {
	const char *what;
	struct {
		unsigned size;
		const char *allowed, *now, *want;
	} jail[JAILS_MAX];
} jail_rows[] = {
	{ "one gets a processor", { { 1, "0-7", "0-7", "0" } } },
	{ "two threads of one core are preferred", { { 2, "0-7", "", "0,4" } } },
	{ "a second jail goes to the other node", { { 2, "0-7", "", "0,4" }, { 2, "0-7", "", "2,6" } } },
	{ "four fill the host", { { 2, "0-7", "", "0,4" }, { 2, "0-7", "", "2,6" }, { 2, "0-7", "", "1,5" }, { 2, "0-7", "", "3,7" } } },
	{ "one that is right stays", { { 2, "0-7", "3,5", "3,5" }, { 2, "0-7", "", "0,4" } } },
	{ "of another size it is chosen anew", { { 1, "0-7", "3,5", "0" } } },
	{ "one that has what it may not have any more moves", { { 2, "0-3", "0,4", "0-1" } } },
	{ "within a list", { { 1, "6-7", "", "6" }, { 1, "6-7", "", "7" }, { 1, "6-7", "", "6" } } },
	{ "all there is, when there is less", { { 4, "1-2", "", "1-2" } } },
	{ "a crowded one moves over", { { 1, "0-1", "0", "1" }, { 1, "0-1", "0", "0" } } },
	{ "by one it is no crowd", { { 1, "0-1", "0", "0" }, { 1, "0-1", "0", "0" }, { 1, "0-1", "1", "1" } } },
	{ "the one that may moves", { { 1, "0", "0", "0" }, { 1, "0-1", "0", "1" } } },
};

static void test_jails(void)
{
	struct cpu_host *host = calloc(1, sizeof(*host));

	if (!unit_ok(host != NULL, "memory"))
		return;
	small_host(host);
	for (size_t i = 0; i < ARRAY_LEN(jail_rows); i++) {
		struct cpu_jail jails[JAILS_MAX] = {};
		size_t n = 0;

		for (; n < JAILS_MAX && jail_rows[i].jail[n].size; n++) {
			jails[n].size = jail_rows[i].jail[n].size;
			jails[n].allowed = list(jail_rows[i].jail[n].allowed);
			jails[n].now = list(jail_rows[i].jail[n].now);
		}
		cpu_jails_choose(host, jails, n);
		for (size_t k = 0; k < n; k++) {
			autotext struct text t = {};

			cpus_format(&jails[k].want, &t);
			unit_ok(is(&jails[k].want, jail_rows[i].jail[k].want), "jails: %s: %zu has %s", jail_rows[i].what, k, text_str(&t));
			jails[k].now = jails[k].want;
		}
		/* what is chosen once stays */
		cpu_jails_choose(host, jails, n);
		for (size_t k = 0; k < n; k++)
			unit_ok(cpus_equal(&jails[k].now, &jails[k].want), "jails: %s: %zu stays", jail_rows[i].what, k);
	}
	free(host);
}

int main(void)
{
	test_lists();
	test_operations();
	test_jails();
	return unit_end();
}
