#include "engine/watch.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>

#include "base/fd.h"
#include "engine/fsm.h"

#define NSEC_PER_USEC 1000u
/* What the kernel takes: windows of 0.5 to 10 s; without CAP_SYS_RESOURCE multiples of 2 s only. */
#define WINDOW_MIN_USEC UINT64_C(500000)
#define WINDOW_MAX_USEC UINT64_C(10000000)
#define WINDOW_STEP_USEC UINT64_C(2000000)

struct watch {
	struct watch *next;
	struct engine *e;
	uint32_t ct;
	int prop;
	unsigned pollers;
	struct loop_fd fd; /* -1: not armed */
};

static bool is_pressure(const struct watch *w)
{
	const char *dot = strchr(props[w->prop].watch, '.');

	return strcmp(dot, ".pressure") == 0;
}

static void disarm(struct watch *w)
{
	if (w->fd.fd < 0)
		return;
	loop_del(w->e->loop, &w->fd);
	close(w->fd.fd);
	w->fd.fd = -1;
}

static int write_trigger(int fd, uint64_t stall, uint64_t window)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "some %llu %llu", (unsigned long long)stall, (unsigned long long)window);

	return write(fd, text, (size_t)n + 1) < 0 ? -errno : 0;
}

/* As configured, within what the kernel takes; where it takes only coarse windows, the same share of one. */
static int set_trigger(const struct config *conf, int fd)
{
	uint64_t window = MIN(MAX(conf->container_pressure_window / NSEC_PER_USEC, WINDOW_MIN_USEC), WINDOW_MAX_USEC);
	uint64_t stall = MIN(MAX(conf->container_pressure_stall / NSEC_PER_USEC, 1u), window);
	uint64_t coarse = (window + WINDOW_STEP_USEC - 1) / WINDOW_STEP_USEC * WINDOW_STEP_USEC;
	int r = write_trigger(fd, stall, window);

	if (r == -EINVAL || r == -EPERM)
		r = write_trigger(fd, stall * coarse / window, coarse);
	return r;
}

static int open_watched(const struct watch *w, const struct ct *ct)
{
	const char *knob = props[w->prop].watch;
	int flags = is_pressure(w) ? O_RDWR | O_NONBLOCK : O_RDONLY | O_NONBLOCK, fd;
	const struct cg *home = ct_home_cg(ct);
	char path[64];

	if (!ct_is_root(ct))
		return home != NULL ? cg_knob_open(ct->e->cgroups, home, knob, flags) : -ENOENT;
	if (!is_pressure(w))
		return -ENOENT;
	snprintf(path, sizeof(path), "/proc/pressure/%.*s", (int)(strchr(knob, '.') - knob), knob);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Reading makes the kernel forget the news; a cgroup that has been removed can't be read. */
static bool take_news(const struct watch *w)
{
	char buf[4096];

	return pread(w->fd.fd, buf, sizeof(buf), 0) >= 0;
}

static void tell(struct watch *w)
{
	w->e->events->changed(w->e->events_arg, DIR_CT, w->ct, w->prop);
}

static void on_news(void *arg, uint32_t events)
{
	struct watch *w = arg;

	if (is_pressure(w) ? (events & EPOLLERR) != 0 : !take_news(w))
		disarm(w);
	tell(w);
}

/* While it starts its cgroups are being made; until then it would be its parent's. */
static bool can_arm(const struct ct *ct)
{
	return ct != NULL && !ct->destroying && ct->state != CT_STOPPED && ct->state != CT_STARTING;
}

static void arm(struct watch *w)
{
	const struct ct *ct = ct_find(w->e, w->ct);
	int r;

	if (w->fd.fd >= 0 || !can_arm(ct))
		return;
	w->fd = (struct loop_fd){ .fd = open_watched(w, ct), .fn = on_news, .arg = w };
	if (w->fd.fd < 0)
		return;
	if (is_pressure(w))
		r = set_trigger(w->e->conf, w->fd.fd);
	else
		r = take_news(w) ? 0 : -ENODEV;
	if (r == 0)
		r = loop_add(w->e->loop, &w->fd, EPOLLPRI);
	if (r < 0)
		close(TAKE_FD(w->fd.fd));
}

int watch_find(const char *knob)
{
	for (int i = PROP_knob + 1; i < PROP_COUNT; i++)
		if (props[i].watch != NULL && strcmp(props[i].watch, knob) == 0)
			return i;
	return -ENOENT;
}

void watch_renew(struct ct *ct)
{
	for (struct watch *w = ct->e->watches; w != NULL; w = w->next) {
		bool was_armed = w->fd.fd >= 0;

		if (w->ct != ct->id)
			continue;
		if (can_arm(ct))
			arm(w);
		else
			disarm(w);
		if (was_armed != (w->fd.fd >= 0))
			tell(w);
	}
}

static struct watch **find(struct engine *e, uint32_t ct, int prop)
{
	struct watch **p = &e->watches;

	while (*p != NULL && ((*p)->ct != ct || (*p)->prop != prop))
		p = &(*p)->next;
	return p;
}

int engine_poll(struct engine *e, uint32_t ct, int file, bool on)
{
	struct watch **at, *w;

	if (file < 0 || file >= PROP_COUNT || props[file].watch == NULL)
		return 0;
	at = find(e, ct, file);
	w = *at;
	if (w == NULL && on) {
		w = *at = calloc(1, sizeof(*w));
		if (w == NULL)
			return -ENOMEM;
		*w = (struct watch){ .e = e, .ct = ct, .prop = file, .fd.fd = -1 };
	}
	if (w == NULL)
		return 0;
	w->pollers += on ? 1 : (unsigned)-1;
	if (w->pollers > 0) {
		arm(w);
		return 0;
	}
	disarm(w);
	*at = w->next;
	free(w);
	return 0;
}

void watch_close(struct engine *e)
{
	while (e->watches != NULL) {
		struct watch *w = e->watches;

		disarm(w);
		e->watches = w->next;
		free(w);
	}
}
