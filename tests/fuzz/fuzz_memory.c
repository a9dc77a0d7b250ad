/* memory.stat as a kernel never wrote it. */
#include "engine/cgroup_memory.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	autofree char *s = fuzz_string(data, size);
	struct memory_stat v1, v2, again;

	memory_stat_parse(s, false, 4096, &v1);
	memory_stat_parse(s, true, 4096, &v2);
	memory_stat_parse(s, true, 4096, &again);
	FUZZ_CHECK(memcmp(&v2, &again, sizeof(v2)) == 0);
	FUZZ_CHECK(*s || (v1.anon == 0 && v2.anon == 0));
	FUZZ_CHECK(strstr(s, "anon") || v2.anon == 0);
	FUZZ_CHECK(strstr(s, "total_rss") || v1.anon == 0);
	return 0;
}
