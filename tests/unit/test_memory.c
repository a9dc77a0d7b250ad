/* What needs no kernel of memory: memory.stat as text, the default limit, the high mark. */
#include "engine/cgroup_memory.h"
#include "engine/memory.h"
#include "tests/unit/unit.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static const struct stat_row {
	const char *name, *text;
	bool v2;
	struct memory_stat want;
} stat_rows[] = {
	{ "v1: what counts everything below, not the cgroup alone",
	  "cache 7\nrss 7\nshmem 7\npgpgout 7\ninactive_file 7\ntotal_rss 1\ntotal_inactive_file 20\ntotal_active_file 3\n"
	  "total_shmem 4\ntotal_unevictable 5\ntotal_pgpgout 6\ntotal_pgfault 100\ntotal_pgmajfault 30\n",
	  false,
	  { .anon = 1, .cache = 23, .shmem = 4, .mlock = 5, .reclaimed = 24576, .minor_faults = 70, .major_faults = 30 } },
	{ "v2",
	  "anon 1\nfile 9\nshmem 4\nactive_anon 9\ninactive_file 20\nactive_file 3\nunevictable 5\npgfault 100\npgmajfault 30\n"
	  "pgsteal 6\npgsteal_kswapd 5\n",
	  true,
	  { .anon = 1, .cache = 23, .shmem = 4, .mlock = 5, .reclaimed = 24576, .minor_faults = 70, .major_faults = 30 } },
	{ "empty", "", true, {} },
	{ "the other version's keys", "total_rss 5\n", true, {} },
	{ "no line's end", "anon 12", true, { .anon = 12 } },
	{ "a key alone, a word for a number, a sign, nothing", "anon\nanon x\nanon -1\nanon \nshmem 3\n", true, { .shmem = 3 } },
	{ "longer and shorter keys", "anon_thp 5\nano 5\n", true, {} },
	{ "read at two moments", "pgfault 3\npgmajfault 5\n", true, { .major_faults = 5 } },
	{ "more than fits", "anon 99999999999999999999\npgsteal 18446744073709551615\n", true,
	  { .anon = UINT64_MAX, .reclaimed = UINT64_MAX } },
};

static void test_stat(void)
{
	for (size_t i = 0; i < ARRAY_LEN(stat_rows); i++) {
		const struct stat_row *row = &stat_rows[i];
		struct memory_stat got;

		memset(&got, 0xff, sizeof(got));
		memory_stat_parse(row->text, row->v2, 4096, &got);
		unit_ok(memcmp(&got, &row->want, sizeof(got)) == 0, "memory.stat: %s", row->name);
	}
}

static void test_default(void)
{
	static const struct {
		uint64_t total, margin, want;
		const char *name;
	} rows[] = {
		{ 64 * GIB, 2 * GIB, 62 * GIB, "default limit: all but the margin" },
		{ 8 * GIB, 2 * GIB, 6 * GIB, "default limit: both are the same" },
		{ 4 * GIB, 2 * GIB, 3 * GIB, "default limit: three quarters" },
		{ 64 * GIB, 0, 64 * GIB, "default limit: no margin" },
		{ 64 * GIB, UINT64_MAX, 48 * GIB, "default limit: a margin of everything" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		unit_int((long long)memory_default_limit(rows[i].total, rows[i].margin), (long long)rows[i].want, rows[i].name);
}

static void test_high(void)
{
	static const struct {
		uint64_t limit;
		unsigned cores;
		uint64_t want;
		const char *name;
	} rows[] = {
		{ 10 * MIB, 1, 10223616, "high: 10M and one core, as the original's test has it" },
		{ 10 * MIB, 0, 10223616, "high: less than a core is one" },
		{ 100 * MIB, 4, 100 * MIB - MIB, "high: four cores" },
		{ 1 * MIB, 16, 786432, "high: a quarter at most" },
		{ 0, 4, 0, "high: no limit" },
		{ UINT64_MAX, 1, UINT64_MAX - 262144, "high: the most" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		unit_int((long long)memory_high_of(rows[i].limit, rows[i].cores), (long long)rows[i].want, rows[i].name);
}

int main(void)
{
	test_stat();
	test_default();
	test_high();
	return unit_end();
}
