/* How counters are written down for Prometheus; and that every counter of the table can be. */
#include "engine/metrics_text.h"

#include "tests/unit/unit.h"

static const struct prop usage = { .name = "cpu_usage", .flags = P_STAT, .unit = UNIT_NSEC, .help = "time used, nanoseconds" };
static const struct prop memory = { .name = "memory_usage", .flags = P_STAT | P_GAUGE, .unit = UNIT_BYTES, .help = "a \"b\" \\ c" };
static const struct prop count = { .name = "process_count", .flags = P_STAT | P_GAUGE, .unit = UNIT_NUMBER, .metric = "processes",
				   .help = "processes" };
static const struct prop stall = { .name = "cpu_pressure", .flags = P_STAT, .unit = UNIT_USEC, .label = "kind", .help = "stalls" };
static const struct prop disk = { .name = "io_read", .flags = P_STAT, .unit = UNIT_BYTES, .label = "disk", .sum = "hw", .help = "read" };
static const struct prop plain = { .name = "faults", .flags = P_STAT, .unit = UNIT_NUMBER, .help = "faults" };
static const struct prop kills = { .name = "kills_total", .flags = P_STAT, .unit = UNIT_NUMBER, .help = "kills" };
static const struct prop sent = { .name = "sent_total", .flags = P_STAT, .unit = UNIT_BYTES, .help = "sent" };
static const struct prop limit = { .name = "limit_total", .flags = P_STAT | P_GAUGE, .unit = UNIT_BYTES, .help = "limit" };

static const struct {
	const struct prop *row;
	enum metrics_form form;
	const char *want;
} heads[] = {
	{ &usage, METRICS_TEXT, "# TYPE porto_cpu_usage_seconds_total counter\n# HELP porto_cpu_usage_seconds_total time used\n" },
	{ &usage, METRICS_OPEN,
	  "# TYPE porto_cpu_usage_seconds counter\n# UNIT porto_cpu_usage_seconds seconds\n# HELP porto_cpu_usage_seconds time used\n" },
	{ &memory, METRICS_TEXT,
	  "# TYPE porto_memory_usage_bytes gauge\n# UNIT porto_memory_usage_bytes bytes\n# HELP porto_memory_usage_bytes a \"b\" \\\\ c\n" },
	{ &count, METRICS_OPEN, "# TYPE porto_processes gauge\n# HELP porto_processes processes\n" },
	{ &plain, METRICS_OPEN, "# TYPE porto_faults counter\n# HELP porto_faults faults\n" },
	{ &kills, METRICS_TEXT, "# TYPE porto_kills_total counter\n# HELP porto_kills_total kills\n" },
	{ &kills, METRICS_OPEN, "# TYPE porto_kills counter\n# HELP porto_kills kills\n" },
	{ &sent, METRICS_TEXT, "# TYPE porto_sent_bytes_total counter\n# HELP porto_sent_bytes_total sent\n" },
	{ &limit, METRICS_TEXT,
	  "# TYPE porto_limit_bytes gauge\n# UNIT porto_limit_bytes bytes\n# HELP porto_limit_bytes limit\n" },
};

static const struct {
	const struct prop *row;
	const char *container, *value, *want;
} samples[] = {
	{ &usage, "a", "1500000000", "porto_cpu_usage_seconds_total{container=\"a\"} 1.500000000\n" },
	{ &usage, "a/b", "0", "porto_cpu_usage_seconds_total{container=\"a/b\"} 0.000000000\n" },
	{ &usage, "a", "1", "porto_cpu_usage_seconds_total{container=\"a\"} 0.000000001\n" },
	{ &usage, "a", "999999999", "porto_cpu_usage_seconds_total{container=\"a\"} 0.999999999\n" },
	{ &usage, "a", "18446744073709551615", "porto_cpu_usage_seconds_total{container=\"a\"} 18446744073.709551615\n" },
	{ &memory, "a", "18446744073709551615", "porto_memory_usage_bytes{container=\"a\"} 18446744073709551615\n" },
	{ &memory, "a", "-5", "porto_memory_usage_bytes{container=\"a\"} -5\n" },
	{ &memory, "a\"\\\nb", "5", "porto_memory_usage_bytes{container=\"a\\\"\\\\\\nb\"} 5\n" },
	{ &count, "@:.-_", "2", "porto_processes{container=\"@:.-_\"} 2\n" },
	{ &stall, "a", "full: 12; some: 3000000",
	  "porto_cpu_pressure_seconds_total{container=\"a\",kind=\"full\"} 0.000012\n"
	  "porto_cpu_pressure_seconds_total{container=\"a\",kind=\"some\"} 3.000000\n" },
	{ &disk, "a", "/dev/x: 7;hwx:8; hw: 15", "porto_io_read_bytes_total{container=\"a\",disk=\"/dev/x\"} 7\n"
						 "porto_io_read_bytes_total{container=\"a\",disk=\"hwx\"} 8\n" },
	{ &disk, "a", "8:0: 7", "porto_io_read_bytes_total{container=\"a\",disk=\"8:0\"} 7\n" },
	{ &disk, "a", "sd\"a: 7", "porto_io_read_bytes_total{container=\"a\",disk=\"sd\\\"a\"} 7\n" },
	{ &kills, "a", "3", "porto_kills_total{container=\"a\"} 3\n" },
	{ &plain, "a", "x: 1", "porto_faults_total{container=\"a\",key=\"x\"} 1\n" },
	{ &plain, "a", "", "" },
	{ &plain, "a", "-", "" },
	{ &plain, "a", "true", "" },
	{ &plain, "a", "1.5c", "" },
	{ &plain, "a", ": 1", "" },
	{ &plain, "a", "x: ;y: z", "" },
	{ &plain, "a", ";;", "" },
};

static void test_heads(void)
{
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		autotext struct text out = {}, name = {};
		struct family f;

		metrics_name(heads[i].row, &name);
		family_begin(&f, heads[i].row, heads[i].form, &out);
		family_done(&f);
		unit_str(text_str(&out), heads[i].want, text_str(&name));
	}
}

static void test_samples(void)
{
	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		autotext struct text out = {}, head = {};
		struct family f;

		family_begin(&f, samples[i].row, METRICS_TEXT, &head);
		family_sample(&f, samples[i].container, samples[i].value, strlen(samples[i].value), &out);
		family_done(&f);
		unit_str(text_str(&out), samples[i].want, samples[i].value);
	}
}

static const struct {
	const struct prop *row;
	const char *value, *want;
} stats[] = {
	{ &usage, "15", "cpu_usage 15\n" },
	{ &usage, "", "" },
	{ &disk, "hw: 8; sda: 7", "io_read[hw] 8\nio_read[sda] 7\n" },
	{ &disk, "hw: x; sda: 7", "io_read[sda] 7\n" },
};

static void test_stats(void)
{
	for (size_t i = 0; i < ARRAY_LEN(stats); i++) {
		autotext struct text out = {};

		stat_lines(stats[i].row, stats[i].value, strlen(stats[i].value), &out);
		unit_str(text_str(&out), stats[i].want, stats[i].value);
	}
}

/* A row that forgets its unit, or whose name would be taken for another's: the rows that do are named. */
static void test_table(void)
{
	for (int i = 0; i < PROP_COUNT; i++) {
		autotext struct text name = {};

		if (!(props[i].flags & P_STAT))
			continue;
		unit_ok(props[i].unit != UNIT_UNSAID, "%s says what its numbers are", props[i].name);
		metrics_name(&props[i], &name);
		for (int j = 0; j < i; j++) {
			autotext struct text other = {};

			metrics_name(&props[j], &other);
			if ((props[j].flags & P_STAT) && strcmp(text_str(&name), text_str(&other)) == 0)
				unit_ok(false, "%s and %s have the same name in metrics", props[i].name, props[j].name);
		}
	}
}

int main(void)
{
	test_heads();
	test_samples();
	test_stats();
	test_table();
	return unit_end();
}
