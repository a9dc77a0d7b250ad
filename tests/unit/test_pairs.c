/* What the types of maps stand on: sorted pairs, names and values of ulimits, rules for labels. */
#include "engine/types.h"

#include <sys/resource.h>

#include "tests/unit/unit.h"

static void test_helpers(void)
{
	struct pairs m = {};
	uint64_t soft = 1, hard = 1;
	const char *why = NULL;
	char name[200];

	unit_ok(pairs_set(&m, "b", "2") == 0 && pairs_set(&m, "a", "1") == 0 && pairs_set(&m, "c", "3") == 0 &&
			pairs_set(&m, "b", "4") == 0,
		"pairs_set adds and replaces");
	unit_ok(m.k.n == 3 && m.v.n == 3 && strcmp(m.k.p[0], "a") == 0 && strcmp(pairs_get(&m, "b"), "4") == 0,
		"pairs are sorted");
	pairs_unset(&m, "a");
	pairs_unset(&m, "zz");
	unit_ok(m.k.n == 2 && !pairs_get(&m, "a") && !m.k.p[2] && !m.v.p[2], "pairs_unset removes");
	pairs_done(&m);
	unit_ok(m.k.n == 0 && !pairs_get(&m, "b"), "pairs_done empties");

	unit_int(ulimit_resource("nofile"), RLIMIT_NOFILE, "ulimit_resource nofile");
	for (int i = 0; i < RLIM_NLIMITS; i++)
		unit_ok(ulimit_name(i) != NULL && ulimit_resource(ulimit_name(i)) == i, "ulimit_name of %d", i);
	unit_ok(ulimit_name(RLIM_NLIMITS) == NULL, "ulimit_name beyond the last");
	unit_int(ulimit_resource("bogus"), -EINVAL, "ulimit_resource bogus");
	unit_ok(ulimit_values("8192 unlimited", &soft, &hard) == 0 && soft == 8192 && hard == RLIM_INFINITY,
		"ulimit_values");
	unit_ok(ulimit_values("", &soft, &hard) == -EINVAL && soft == 8192, "ulimit_values of nothing");

	unit_int(label_check("TEST.a", "x", &why), 0, "label_check takes TEST.a");
	memset(name, 'a', sizeof(name));
	memcpy(name, "TEST.", 5);
	name[128] = 0;
	unit_int(label_check(name, "x", &why), 0, "label_check takes a name of 128 bytes");
	name[128] = 'a';
	name[129] = 0;
	unit_ok(label_check(name, "x", &why) == -EINVAL && why, "label_check refuses a name of 129 bytes and says why");
}

int main(void)
{
	test_helpers();
	return unit_end();
}
