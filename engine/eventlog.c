#include "engine/eventlog.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/proc.h"
#include "base/units.h"
#include "engine/access.h"
#include "engine/daemon.h"

#define LOG_KEEP (UINT64_C(4) << 20)
#define LINE_LEN_MAX 2048
#define VIEW_MAX ((size_t)64 << 10)

struct sleeper {
	struct sleeper *next;
	uint64_t cookie, off;
	size_t size;
	struct engine_cred who;
	uint32_t view;
};

struct event_log {
	int fd;
	uint64_t end;   /* bytes ever written */
	uint64_t start; /* everything before is punched out */
	uint64_t seq;   /* of the last line */
	struct sleeper *sleepers;
};

/* The number of the line at off, which begins a line. */
static uint64_t line_seq(const struct event_log *l, uint64_t off)
{
	char buf[32];
	ssize_t n = pread(l->fd, buf, sizeof(buf) - 1, (off_t)off);

	if (n <= 0)
		return l->seq + 1;
	buf[n] = '\0';
	return strtoull(buf, NULL, 10);
}

/* The first byte at or after off that begins a line. */
static uint64_t line_begin(const struct event_log *l, uint64_t off)
{
	char buf[LINE_LEN_MAX];

	if (off <= l->start)
		return l->start;
	for (off--; off < l->end;) {
		ssize_t n = pread(l->fd, buf, sizeof(buf), (off_t)off);
		const char *nl = n > 0 ? memchr(buf, '\n', (size_t)n) : NULL;

		if (n <= 0)
			break;
		if (nl != NULL)
			return off + (uint64_t)(nl - buf) + 1;
		off += (uint64_t)n;
	}
	return l->end;
}

int event_open(struct engine *e, struct err *err)
{
	struct event_log *l = calloc(1, sizeof(*l));
	struct stat st;
	off_t data;

	if (l == NULL)
		return err_sys(err, ENOMEM, "events");
	e->log = l;
	l->fd = openat(e->state_fd, "events", O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (l->fd < 0 || fstat(l->fd, &st) < 0)
		return err_sys(err, errno, "%s/events", e->conf->daemon_state_dir);
	if (e->conf->fresh && st.st_size > (off_t)LOG_KEEP && ftruncate(l->fd, 0) == 0)
		st.st_size = 0;
	l->end = (uint64_t)st.st_size;
	data = lseek(l->fd, 0, SEEK_DATA);
	l->start = data > 0 ? (uint64_t)data : 0;
	if (l->start > 0)
		l->start = line_begin(l, l->start + 1);
	if (l->end > l->start) {
		uint64_t last = l->end > LINE_LEN_MAX ? line_begin(l, l->end - LINE_LEN_MAX) : l->start;

		for (uint64_t next = last; next < l->end; next = line_begin(l, next + 1))
			last = next;
		l->seq = line_seq(l, last);
	}
	return 0;
}

void event_close(struct engine *e)
{
	if (e->log == NULL)
		return;
	while (e->log->sleepers != NULL) {
		struct sleeper *s = e->log->sleepers;

		e->log->sleepers = s->next;
		free(s);
	}
	if (e->log->fd >= 0)
		close(e->log->fd);
	free(e->log);
	e->log = NULL;
}

static void trim(struct event_log *l)
{
	uint64_t cut;

	if (l->end - l->start <= LOG_KEEP)
		return;
	cut = line_begin(l, l->end - LOG_KEEP / 2);
	/* whole blocks only: the rest of the line's block stays readable, but start says where lines begin */
	if (fallocate(l->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)(cut & ~UINT64_C(4095))) == 0)
		l->start = cut;
}

/* What is read at off by one who sees it all as it is, or else as event_view makes it, whose lines must be whole. */
static ssize_t read_as(struct engine *e, const struct engine_cred *who, uint32_t view_id, char *buf, size_t size, uint64_t off)
{
	const struct ct *view = ct_find(e, view_id);
	struct event_log *l = e->log;
	autofree char *lines = NULL;
	uint64_t first, from;
	ssize_t n;

	if (view != NULL && ct_is_root(view) && access_shows_all(e, who))
		return (n = pread(l->fd, buf, size, (off_t)off)) < 0 ? -errno : n;
	from = off - l->start > LINE_LEN_MAX ? line_begin(l, off - LINE_LEN_MAX) : l->start;
	size = MIN(size, VIEW_MAX);
	lines = malloc(size + 2 * LINE_LEN_MAX);
	if (lines == NULL || view == NULL)
		return view != NULL ? -ENOMEM : 0;
	n = pread(l->fd, lines, size + 2 * LINE_LEN_MAX, (off_t)from);
	first = off - from;
	if (n < 0 || (uint64_t)n <= first)
		return n < 0 ? -errno : 0;
	event_view(e, who, view, lines, (size_t)n);
	n = (ssize_t)MIN(size, (size_t)n - first);
	memcpy(buf, lines + first, (size_t)n);
	return n;
}

static void wake(struct engine *e)
{
	struct sleeper *s = e->log->sleepers;
	char buf[LINE_LEN_MAX];

	e->log->sleepers = NULL;
	while (s != NULL) {
		struct sleeper *next = s->next;
		ssize_t n = read_as(e, &s->who, s->view, buf, MIN(s->size, sizeof(buf)), s->off);

		e->events->done(e->events_arg, s->cookie, n < 0 ? (int)n : 0, buf, n < 0 ? 0 : (size_t)n);
		free(s);
		s = next;
	}
}

void event_log(struct engine *e, const char *kind, const char *name, const char *fmt, ...)
{
	struct event_log *l = e->log;
	uint64_t now = clock_wall();
	char line[LINE_LEN_MAX], more[1024] = "";
	int n;

	if (l == NULL)
		return;
	if (fmt != NULL) {
		va_list ap;

		va_start(ap, fmt);
		vsnprintf(more, sizeof(more), fmt, ap);
		va_end(ap);
	}
	for (char *p = more; *p != '\0'; p++)
		if (*p == '\n')
			*p = ' ';
	n = snprintf(line, sizeof(line), "%llu\t%llu.%03u\t%s\t%s%s%s\n", (unsigned long long)l->seq + 1,
		     (unsigned long long)(now / 1000000000u), (unsigned)(now / 1000000u % 1000u), kind, name,
		     fmt != NULL ? "\t" : "", more);
	if (n <= 0 || (size_t)n >= sizeof(line) || write(l->fd, line, (size_t)n) != n)
		return;
	l->seq++;
	l->end += (uint64_t)n;
	trim(l);
	wake(e);
	e->events->changed(e->events_arg, DIR_DAEMON, 0, DAEMON_events);
}

int event_base(struct engine *e, const char *since, uint64_t *base)
{
	const struct event_log *l = e->log;
	uint64_t n, lo = l->start, hi = l->end;

	if (since == NULL) {
		*base = l->end;
		return 0;
	}
	if (unit_uint_parse(since, &n) < 0)
		return -EINVAL;
	/* lines are numbered in order: halve until the first line with a number above n */
	while (lo < hi) {
		uint64_t mid = line_begin(l, lo + (hi - lo) / 2);

		if (mid >= hi) {
			for (mid = lo; mid < hi && line_seq(l, mid) <= n;)
				mid = line_begin(l, mid + 1);
			*base = mid;
			return 0;
		}
		if (line_seq(l, mid) <= n)
			lo = mid;
		else
			hi = mid;
	}
	*base = lo;
	return 0;
}

uint64_t event_end(const struct engine *e)
{
	return e->log->end;
}

ssize_t event_pread(const struct file_call *c, char *buf, size_t size, uint64_t off)
{
	struct event_log *l = c->e->log;
	struct sleeper *s;

	if (off < l->start)
		off = l->start;
	if (off < l->end) {
		return read_as(c->e, c->who, c->node->view, buf, size, off);
	}
	s = malloc(sizeof(*s));
	if (s == NULL)
		return -ENOMEM;
	*s = (struct sleeper){ .next = l->sleepers, .cookie = c->cookie, .off = off, .size = size, .who = *c->who, .view = c->node->view };
	l->sleepers = s;
	return ENGINE_PREAD_PENDING;
}

bool event_cancel(struct engine *e, uint64_t cookie)
{
	for (struct sleeper **p = &e->log->sleepers; *p != NULL; p = &(*p)->next)
		if ((*p)->cookie == cookie) {
			struct sleeper *s = *p;

			*p = s->next;
			free(s);
			return true;
		}
	return false;
}
