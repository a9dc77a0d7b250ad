/* A value of the property table, whatever it is, as lines of `stat` and of metrics. */
#include "engine/metrics_text.h"
#include "tests/fuzz/fuzz.h"

static const struct prop row = { .name = "io_read", .flags = P_STAT, .unit = UNIT_NSEC, .label = "disk", .sum = "hw", .help = "read" };

/* Each line has the name before, one blank that is not in quotes, and a number behind. */
static void check_lines(const char *text, const char *name)
{
	while (*text) {
		const char *end = strchr(text, '\n');
		const char *number = end;

		FUZZ_CHECK(end && strncmp(text, name, strlen(name)) == 0);
		while (number > text && number[-1] != ' ')
			number--;
		FUZZ_CHECK(number < end && strspn(number, "-.0123456789") == (size_t)(end - number));
		text = end + 1;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	autofree char *s = fuzz_string(data, size);
	autotext struct text head = {}, samples = {}, stat = {};
	struct family f;

	family_begin(&f, &row, size % 2 ? METRICS_OPEN : METRICS_TEXT, &head);
	family_sample(&f, s, s, strlen(s), &samples);
	family_done(&f);
	check_lines(text_str(&samples), "porto_io_read_seconds_total{container=\"");
	stat_lines(&row, s, strlen(s), &stat);
	FUZZ_CHECK(text_ok(&stat) == 0);
	if (!strchr(s, '\n'))
		check_lines(text_str(&stat), "io_read");
	return 0;
}
