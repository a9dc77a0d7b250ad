#include "portofs/interrupt.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

#include "base/fd.h"
#include "portofs/park.h"

#define LOOK_AGAIN_NSEC UINT64_C(50000000)

enum verdict { GO_ON, END, QUIET /* nothing is pending at all */ };

/* A line of /proc/PID/status as a number; 0 if it is not there. */
static uint64_t status_number(const char *status, const char *name, int base)
{
	const char *line = strstr(status, name);

	return line ? strtoull(line + strlen(name), NULL, base) : 0;
}

static uint64_t bit(int sig)
{
	return UINT64_C(1) << (sig - 1);
}

/* pid is that of the waiting thread, which is what FUSE gives. */
static enum verdict look_at(struct fs *fs, pid_t pid)
{
	const uint64_t harmless = bit(SIGCHLD) | bit(SIGURG) | bit(SIGWINCH) | bit(SIGCONT);
	char path[40], status[8192];
	uint64_t pending;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if (pid <= 0 || file_read_small(AT_FDCWD, path, status, sizeof(status)) < 0)
		return END;
	pending = status_number(status, "\nSigPnd:", 16) | status_number(status, "\nShdPnd:", 16);
	pending &= ~status_number(status, "\nSigBlk:", 16);
	if (pending & ~harmless)
		return END;
	if (engine_is_freezing(fs->engine, pid))
		return END;
	if (pending)
		return GO_ON;
	return status_number(status, "\nTracerPid:", 10) ? END : QUIET;
}

static void look_again(void *arg)
{
	struct fs *fs = arg;
	size_t kept = 0;

	for (size_t i = 0; i < fs->interrupted_count; i++) {
		struct interrupted *it = &fs->interrupted[i];
		enum verdict v;

		if (!park_has(fs, it->cookie))
			continue;
		v = look_at(fs, park_pid(fs, it->cookie));
		if (v == END)
			park_interrupt(fs, it->cookie);
		else if (v == GO_ON || it->told)
			fs->interrupted[kept++] = *it;
	}
	fs->interrupted_count = kept;
	if (kept)
		(void)loop_after(fs->loop, &fs->interrupt_timer, LOOK_AGAIN_NSEC);
}

static void watch(struct fs *fs, uint64_t cookie, bool told)
{
	if (fs->interrupted_count == fs->interrupted_room) {
		size_t room = MAX(64u, fs->interrupted_room * 2);
		struct interrupted *more = reallocarray(fs->interrupted, room, sizeof(*more));

		if (!more) {
			park_interrupt(fs, cookie);
			return;
		}
		fs->interrupted = more;
		fs->interrupted_room = room;
	}
	fs->interrupted[fs->interrupted_count++] = (struct interrupted){ .cookie = cookie, .told = told };
}

static void arm(struct fs *fs, uint64_t nsec)
{
	fs->interrupt_timer.fn = look_again;
	fs->interrupt_timer.arg = fs;
	(void)loop_after(fs->loop, &fs->interrupt_timer, nsec);
}

void interrupt_request(struct fs *fs, uint64_t cookie)
{
	enum verdict v;

	if (!park_has(fs, cookie))
		return;
	v = look_at(fs, park_pid(fs, cookie));
	if (v == END) {
		park_interrupt(fs, cookie);
		return;
	}
	watch(fs, cookie, true);
	if (fs->interrupted_count == 1)
		arm(fs, LOOK_AGAIN_NSEC);
}

static void add_one(struct fs *fs, uint64_t cookie)
{
	watch(fs, cookie, false);
}

void interrupt_check_all(struct fs *fs)
{
	park_each(fs, add_one);
	if (fs->interrupted_count)
		arm(fs, 0);
}

void interrupt_free(struct fs *fs)
{
	loop_cancel(fs->loop, &fs->interrupt_timer);
	free(fs->interrupted);
	fs->interrupted = NULL;
	fs->interrupted_count = fs->interrupted_room = 0;
}
