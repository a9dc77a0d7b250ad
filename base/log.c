#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "base/names.h"

#define LINE_BYTES 2048

enum log_level log_level_max = LOG_INFO;

static int log_fd = STDERR_FILENO;
static const char *log_name = "portod";

static const char *const level_names[LOG_LEVELS] = {
	[LOG_ERROR] = "error",
	[LOG_WARNING] = "warning",
	[LOG_INFO] = "info",
	[LOG_DEBUG] = "debug",
};

static size_t put_head(char *line, size_t size, enum log_level level)
{
	struct timespec now;
	struct tm tm;
	size_t len = 0;
	int n;

	clock_gettime(CLOCK_REALTIME, &now);
	if (localtime_r(&now.tv_sec, &tm))
		len = strftime(line, size, "%Y-%m-%d %H:%M:%S", &tm);
	n = snprintf(line + len, size - len, ".%03ld %s[%d] %s: ", now.tv_nsec / 1000000, log_name, (int)getpid(),
		     log_level_name(level));
	return n < 0 ? len : MIN(len + (size_t)n, size - 1);
}

void log_write(enum log_level level, const char *fmt, ...)
{
	char line[LINE_BYTES];
	int saved = errno;
	size_t head, len;
	va_list args;
	int n;

	head = put_head(line, sizeof(line) / 2, level);
	va_start(args, fmt);
	n = vsnprintf(line + head, sizeof(line) - head, fmt, args);
	va_end(args);
	len = n < 0 ? head : MIN(head + (size_t)n, sizeof(line) - 1);
	/* What a user wrote may be quoted: it must not begin a line of its own. */
	for (size_t i = head; i < len; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	line[len++] = '\n';
	/* One write, so that lines of several processes don't mix; a full or closed log is nobody's error. */
	n = (int)write(log_fd, line, len);
	(void)n;
	errno = saved;
}

void log_set_level(enum log_level level)
{
	log_level_max = level;
}

void log_set_fd(int fd)
{
	log_fd = fd;
}

void log_set_name(const char *name)
{
	log_name = name;
}

const char *log_level_name(enum log_level level)
{
	return (unsigned)level < LOG_LEVELS ? level_names[level] : "unknown";
}

int log_level_parse(const char *text, enum log_level *ret)
{
	int i = names_find(level_names, LOG_LEVELS, text);

	if (i < 0)
		return i;
	*ret = (enum log_level)i;
	return 0;
}
