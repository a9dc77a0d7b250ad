#include "engine/init/init.h"

char *number_format(char buf[24], long value)
{
	unsigned long rest = value < 0 ? -(unsigned long)value : (unsigned long)value;
	char *at = buf + 23;

	*at = '\0';
	do {
		*--at = (char)('0' + rest % 10);
		rest /= 10;
	} while (rest);
	if (value < 0)
		*--at = '-';
	return at;
}

/* The whole line in one write: a reader, or a daemon killed meanwhile, sees the old line or the new one. */
static void line_write(const char *word, long first, const long *second)
{
	char line[STATUS_LINE], buf[24], *at = line;
	const char *part[] = { word, " ", number_format(buf, first) };

	memset(line, ' ', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\n';
	for (size_t i = 0; i < ARRAY_LEN(part); i++)
		at = mempcpy(at, part[i], strlen(part[i]));
	if (second) {
		char *text = number_format(buf, *second);
		mempcpy(at + 1, text, strlen(text));
	}
	(void)!pwrite(INIT_STATUS_FD, line, sizeof(line), 0);
}

void status_failed(enum err_kind kind, int no, const char *text)
{
	long second = no;

	/* The sentence first: once the line says so, it must be there. */
	(void)!pwrite(INIT_STATUS_FD, text, strlen(text) + 1, STATUS_LINE);
	line_write("failed", kind, &second);
}

void status_started(pid_t pid)
{
	line_write("started", pid, NULL);
}

void status_exited(pid_t pid, int status)
{
	long second = status;

	line_write("exited", pid, &second);
}
