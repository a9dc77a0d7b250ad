/* The loop: order of timers, deleting from handlers, posts from threads, work. */
#include "base/loop.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "base/proc.h"
#include "tests/unit/unit.h"

#define MSEC UINT64_C(1000000)

static struct loop *loop;

/* ---- timers ---- */

struct tick {
	struct loop_timer timer;
	int number;
	struct tick *victim;
	unsigned again;
};

static int order[4096];
static size_t fired;

static void on_tick(void *arg)
{
	struct tick *t = arg;

	order[fired++] = t->number;
	if (t->victim)
		loop_cancel(loop, &t->victim->timer);
	if (t->again > 0) {
		t->again--;
		loop_at(loop, &t->timer, 0);
	}
}

static void tick_init(struct tick *t, int number)
{
	*t = (struct tick){ .timer = { .fn = on_tick, .arg = t }, .number = number };
}

static void test_timer_order(void)
{
	static struct tick ticks[1000];
	bool is_sorted = true;

	fired = 0;
	for (int i = 0; i < 1000; i++) {
		tick_init(&ticks[i], i);
		/* A permutation of 1..1000, all long past. */
		loop_at(loop, &ticks[i].timer, (uint64_t)(i * 7919 % 1000) + 1);
	}
	/* A third is moved to the end, a third is cancelled. */
	for (int i = 0; i < 1000; i++) {
		if (i % 3 == 0)
			loop_at(loop, &ticks[i].timer, ticks[i].timer.due + 5000);
		if (i % 3 == 1)
			loop_cancel(loop, &ticks[i].timer);
	}
	loop_cancel(loop, &ticks[1].timer);
	loop_once(loop, -1);
	unit_int((long long)fired, 1000 - 333, "timers that are due fire, cancelled ones don't");
	for (size_t i = 1; i < fired; i++)
		is_sorted &= ticks[order[i - 1]].timer.due <= ticks[order[i]].timer.due;
	unit_ok(is_sorted, "timers fire in the order of their times");

	fired = 0;
	for (int i = 0; i < 100; i++)
		loop_at(loop, &ticks[i].timer, 5);
	loop_once(loop, 0);
	is_sorted = fired == 100;
	for (size_t i = 0; i < fired; i++)
		is_sorted &= order[i] == (int)i;
	unit_ok(is_sorted, "timers of the same time fire in the order of arming");
}

static void test_timer_handlers(void)
{
	struct tick a, b, c;
	uint64_t start;

	tick_init(&a, 1);
	tick_init(&b, 2);
	tick_init(&c, 3);
	fired = 0;
	a.victim = &b;
	c.again = 2;
	loop_at(loop, &a.timer, 1);
	loop_at(loop, &b.timer, 2);
	loop_at(loop, &c.timer, 3);
	loop_once(loop, 0);
	unit_ok(fired == 2 && order[0] == 1 && order[1] == 3,
		"a handler cancels another timer; one armed again waits for the next round");
	loop_once(loop, 0);
	loop_once(loop, 0);
	loop_once(loop, 0);
	unit_int((long long)fired, 4, "a timer armed again for the past fires once a round");

	start = clock_mono();
	loop_after(loop, &a.timer, 20 * MSEC);
	loop_once(loop, 1000);
	while (a.timer.slot)
		loop_once(loop, 1000);
	unit_ok(clock_mono() - start >= 20 * MSEC && clock_mono() - start < 900 * MSEC,
		"loop_after waits as long as it should");
	start = clock_mono();
	loop_after(loop, &a.timer, UINT64_MAX);
	loop_once(loop, 10);
	unit_ok(a.timer.slot && clock_mono() - start >= 9 * MSEC, "a timer for ever doesn't fire");
	loop_cancel(loop, &a.timer);
}

/* ---- descriptors ---- */

struct source {
	struct loop_fd f;
	struct source *victim;
	unsigned seen;
};

static void on_event(void *arg, UNUSED uint32_t events)
{
	struct source *s = arg;
	struct source *victim = s->victim;
	uint64_t n;

	s->seen++;
	if (read(s->f.fd, &n, sizeof(n)) < 0)
		return;
	if (victim) {
		s->victim = NULL;
		victim->victim = NULL;
		loop_del(loop, &victim->f);
		close(victim->f.fd);
	}
}

static struct source *source_new(void)
{
	struct source *s = calloc(1, sizeof(*s));

	s->f = (struct loop_fd){ .fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK), .fn = on_event, .arg = s };
	loop_add(loop, &s->f, EPOLLIN);
	return s;
}

static void test_descriptors(void)
{
	struct source *pair[2] = { source_new(), source_new() }, *c = source_new();

	/* Whichever comes first deletes the other. */
	pair[0]->victim = pair[1];
	pair[1]->victim = pair[0];
	loop_once(loop, 100);
	unit_ok(pair[0]->seen + pair[1]->seen == 1 && c->seen == 1,
		"an event of an entry deleted in the same round is not delivered");
	for (int i = 0; i < 2; i++) {
		loop_del(loop, &pair[i]->f);
		if (pair[i]->seen)
			close(pair[i]->f.fd);
		free(pair[i]);
	}
	loop_mod(loop, &c->f, 0);
	eventfd_write(c->f.fd, 1);
	loop_once(loop, 0);
	unit_int(c->seen, 1, "loop_mod to nothing");
	loop_mod(loop, &c->f, EPOLLIN);
	c->victim = c;
	loop_once(loop, 100);
	unit_int(c->seen, 2, "a handler deletes its own entry");
	loop_del(loop, &c->f);
	free(c);
}

/* ---- threads ---- */

#define POSTERS 8
#define POSTS   2000

static unsigned next_of[POSTERS], posts_in_order, posts_seen;
static pthread_t loop_thread;

struct post {
	unsigned poster, number;
};

static void on_post(void *arg)
{
	struct post *p = arg;

	posts_seen++;
	posts_in_order += p->number == next_of[p->poster]++ && pthread_equal(pthread_self(), loop_thread);
	if (posts_seen == POSTERS * POSTS)
		loop_stop(loop);
	free(p);
}

static void *poster(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;

	for (unsigned i = 0; i < POSTS; i++) {
		struct post *p = malloc(sizeof(*p));
		*p = (struct post){ me, i };
		loop_post(loop, on_post, p);
	}
	return NULL;
}

static void test_posts(void)
{
	pthread_t threads[POSTERS];

	loop_thread = pthread_self();
	for (uintptr_t i = 0; i < POSTERS; i++)
		pthread_create(&threads[i], NULL, poster, (void *)i);
	unit_int(loop_run(loop), 0, "loop_run ends by loop_stop");
	for (int i = 0; i < POSTERS; i++)
		pthread_join(threads[i], NULL);
	unit_ok(posts_seen == POSTERS * POSTS && posts_in_order == posts_seen,
		"posts of 8 threads come all, in order, in the loop's thread");
}

static unsigned echoes;

static void on_echo(void *arg)
{
	if (++echoes < 5)
		loop_post(loop, on_echo, arg);
}

static void test_post_from_handler(void)
{
	loop_post(loop, on_echo, NULL);
	loop_once(loop, 100);
	unit_int(echoes, 1, "a task that posts itself waits for the next round");
	for (int i = 0; i < 10 && echoes < 5; i++)
		loop_once(loop, 100);
	unit_int(echoes, 5, "and is not forgotten");
}

#define JOBS 40

static _Atomic int at_once, most_at_once, blocked;
static unsigned jobs_done;

static void job(UNUSED void *arg)
{
	int now = atomic_fetch_add(&at_once, 1) + 1, most = atomic_load(&most_at_once);
	sigset_t mask;

	while (now > most && !atomic_compare_exchange_weak(&most_at_once, &most, now))
		;
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	if (sigismember(&mask, SIGTERM) && sigismember(&mask, SIGCHLD) && sigismember(&mask, SIGUSR1))
		atomic_fetch_add(&blocked, 1);
	usleep(2000);
	atomic_fetch_sub(&at_once, 1);
}

static void job_done(UNUSED void *arg)
{
	jobs_done++;
}

static void test_work(void)
{
	uint64_t start = clock_mono();

	for (int i = 0; i < JOBS; i++)
		loop_work(loop, job, job_done, NULL);
	while (jobs_done < JOBS && clock_mono() - start < 10000 * MSEC)
		loop_once(loop, 100);
	unit_int(jobs_done, JOBS, "work is done, and told in the loop");
	unit_ok(most_at_once > 1 && most_at_once <= 16, "at most 16 at once (%d seen)", most_at_once);
	unit_int(blocked, JOBS, "signals are blocked in the threads");
}

static _Atomic bool answers;
static _Atomic int stuck, free_done;

static void stuck_job(UNUSED void *arg)
{
	atomic_fetch_add(&stuck, 1);
	while (!atomic_load(&answers))
		usleep(1000);
}

static void free_job_done(UNUSED void *arg)
{
	atomic_fetch_add(&free_done, 1);
}

static void quick_job(UNUSED void *arg)
{
}

static void test_groups(void)
{
	uint64_t start = clock_mono();

	for (int i = 0; i < 100; i++)
		loop_work_for(loop, 7, stuck_job, job_done, NULL);
	for (int i = 0; i < 100; i++)
		loop_work_for(loop, i % 2 ? 8 : 0, quick_job, free_job_done, NULL);
	while (atomic_load(&free_done) < 100 && clock_mono() - start < 10000 * MSEC)
		loop_once(loop, 100);
	unit_int(free_done, 100, "a group that gets stuck leaves threads for the others");
	unit_int(stuck, 8, "half of them");
	jobs_done = 0;
	atomic_store(&answers, true);
	while (jobs_done < 100 && clock_mono() - start < 10000 * MSEC)
		loop_once(loop, 100);
	unit_int(jobs_done, 100, "and goes on when it can");
}

static _Atomic bool slow_began;

static void slow_job(void *arg)
{
	atomic_store(&slow_began, true);
	usleep(100000);
	atomic_store((_Atomic int *)arg, 1);
}

static void test_free_while_working(void)
{
	static _Atomic int done;
	struct loop *l = NULL;
	uint64_t start = clock_mono();

	if (loop_new(&l) < 0)
		return;
	loop_work(l, slow_job, job_done, &done);
	while (!atomic_load(&slow_began) && clock_mono() - start < 5000 * MSEC)
		usleep(1000);
	start = clock_mono();
	loop_free(l);
	unit_ok(clock_mono() - start < 90 * MSEC, "loop_free doesn't wait for work");
	while (!atomic_load(&done) && clock_mono() - start < 5000 * MSEC)
		usleep(1000);
	usleep(20000);
	loop_free(NULL);
	unit_int(done, 1, "which ends on its own");
}

int main(void)
{
	struct loop_fd never = { .fd = -1 };
	struct loop_timer idle = {};
	int r = loop_new(&loop);

	if (!unit_int(r, 0, "loop_new"))
		return unit_end();
	loop_del(loop, &never);
	loop_cancel(loop, &idle);
	unit_int(loop_once(loop, 0), 0, "an empty round");
	unit_int(loop_add(loop, &never, EPOLLIN), -EBADF, "a bad descriptor is refused");
	test_timer_order();
	test_timer_handlers();
	test_descriptors();
	test_posts();
	test_post_from_handler();
	test_work();
	test_groups();
	test_free_while_working();
	loop_free(loop);
	return unit_end();
}
