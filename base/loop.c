#include "base/loop.h"

#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "base/proc.h"

#define ROUND_EVENTS 64
#define WORK_THREADS 16
#define GROUP_THREADS 8 /* of one group */

/* The place of a timer in the heap. Its due stands here as well: comparing touches one array only. */
struct heap_entry {
	uint64_t due;
	uint64_t seq; /* equal dues fire in the order they were armed */
	struct loop_timer *timer;
};

/* The events of one epoll_wait that are still to be delivered. A handler may run a round of its own. */
struct round {
	struct epoll_event events[ROUND_EVENTS];
	int at, n;
	struct round *outer;
};

/* Something to call: posted, or work with its done. */
struct task {
	struct task *next;
	void (*work)(void *arg);
	void (*fn)(void *arg);
	void *arg;
	uint64_t group; /* of work; 0: none */
};

struct queue {
	struct task *head, **tail;
	size_t n;
};

struct loop {
	int epoll_fd;
	struct loop_fd wake; /* an eventfd: something is posted */
	bool stop;
	struct round *round;
	struct heap_entry *heap;
	size_t timers, heap_cap;
	uint64_t seq;

	pthread_mutex_t lock; /* for all below */
	struct queue posted;
	struct queue work;
	unsigned threads;
	uint64_t busy[WORK_THREADS]; /* groups that are worked for, once for each thread; 0: nobody */
	bool dead; /* loop_free was called, the last thread frees */
};

static void queue_put(struct queue *q, struct task *t)
{
	t->next = NULL;
	*q->tail = t;
	q->tail = &t->next;
	q->n++;
}

static struct task *queue_take(struct queue *q)
{
	struct task *t = q->head;

	if (!t)
		return NULL;
	q->head = t->next;
	if (!q->head)
		q->tail = &q->head;
	q->n--;
	return t;
}

static void queue_drop(struct queue *q)
{
	struct task *t;

	while ((t = queue_take(q)))
		free(t);
}

static void wake_up(struct loop *l)
{
	uint64_t one = 1;
	ssize_t n = write(l->wake.fd, &one, sizeof(one));

	/* It can only fail with EAGAIN, when 2^64 - 2 wake-ups are pending: then it is awake. */
	(void)n;
}

/* Only what was there at the beginning is run, so that a task that posts itself again doesn't starve the rest. */
static void run_posted(void *arg, UNUSED uint32_t events)
{
	struct loop *l = arg;
	uint64_t count;
	size_t left;

	if (read(l->wake.fd, &count, sizeof(count)) < 0)
		return;
	pthread_mutex_lock(&l->lock);
	left = l->posted.n;
	while (left-- > 0) {
		struct task *t = queue_take(&l->posted);
		if (!t)
			break;
		pthread_mutex_unlock(&l->lock);
		t->fn(t->arg);
		free(t);
		pthread_mutex_lock(&l->lock);
	}
	if (l->posted.head)
		wake_up(l);
	pthread_mutex_unlock(&l->lock);
}

int loop_new(struct loop **ret)
{
	struct loop *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	pthread_mutex_init(&l->lock, NULL);
	l->posted.tail = &l->posted.head;
	l->work.tail = &l->work.head;
	l->wake = (struct loop_fd){ .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .fn = run_posted, .arg = l };
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	r = l->wake.fd < 0 || l->epoll_fd < 0 ? -errno : loop_add(l, &l->wake, EPOLLIN);
	if (r < 0) {
		loop_free(l);
		return r;
	}
	*ret = l;
	return 0;
}

static void loop_release(struct loop *l)
{
	queue_drop(&l->posted);
	queue_drop(&l->work);
	if (l->wake.fd >= 0)
		close(l->wake.fd);
	if (l->epoll_fd >= 0)
		close(l->epoll_fd);
	free(l->heap);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

void loop_free(struct loop *l)
{
	bool is_last;

	if (!l)
		return;
	/* Work that hangs in the kernel must not hold up the exit. */
	pthread_mutex_lock(&l->lock);
	l->dead = true;
	is_last = l->threads == 0;
	pthread_mutex_unlock(&l->lock);
	if (is_last)
		loop_release(l);
}

int loop_add(struct loop *l, struct loop_fd *f, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = f };

	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, f->fd, &ev) < 0)
		return -errno;
	f->generation = 1;
	return 0;
}

int loop_mod(struct loop *l, struct loop_fd *f, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = f };

	return epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, f->fd, &ev) < 0 ? -errno : 0;
}

void loop_del(struct loop *l, struct loop_fd *f)
{
	if (!f->generation)
		return;
	f->generation = 0;
	epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, f->fd, NULL);
	/* Its memory may be freed and used for another descriptor before this round is over. */
	for (struct round *r = l->round; r; r = r->outer)
		for (int i = r->at; i < r->n; i++)
			if (r->events[i].data.ptr == f)
				r->events[i].data.ptr = NULL;
}

static bool heap_before(const struct heap_entry *a, const struct heap_entry *b)
{
	return a->due != b->due ? a->due < b->due : a->seq < b->seq;
}

static void heap_put(struct loop *l, size_t i, struct heap_entry e)
{
	l->heap[i] = e;
	e.timer->slot = i + 1;
}

/* Puts e at place i or where it belongs above or below it. */
static void heap_settle(struct loop *l, size_t i, struct heap_entry e)
{
	size_t child;

	for (; i > 0 && heap_before(&e, &l->heap[(i - 1) / 2]); i = (i - 1) / 2)
		heap_put(l, i, l->heap[(i - 1) / 2]);
	for (; (child = 2 * i + 1) < l->timers; i = child) {
		if (child + 1 < l->timers && heap_before(&l->heap[child + 1], &l->heap[child]))
			child++;
		if (!heap_before(&l->heap[child], &e))
			break;
		heap_put(l, i, l->heap[child]);
	}
	heap_put(l, i, e);
}

int loop_at(struct loop *l, struct loop_timer *t, uint64_t due)
{
	size_t i = t->slot ? t->slot - 1 : l->timers;

	if (!t->slot && l->timers == l->heap_cap) {
		size_t cap = l->heap_cap ? l->heap_cap * 2 : 64;
		struct heap_entry *heap = reallocarray(l->heap, cap, sizeof(*heap));
		if (!heap)
			return -ENOMEM;
		l->heap = heap;
		l->heap_cap = cap;
	}
	if (!t->slot)
		l->timers++;
	t->due = due;
	heap_settle(l, i, (struct heap_entry){ .due = due, .seq = l->seq++, .timer = t });
	return 0;
}

int loop_after(struct loop *l, struct loop_timer *t, uint64_t nsec)
{
	uint64_t due;

	if (__builtin_add_overflow(clock_mono(), nsec, &due))
		due = UINT64_MAX;
	return loop_at(l, t, due);
}

void loop_cancel(struct loop *l, struct loop_timer *t)
{
	size_t i = t->slot - 1;

	if (!t->slot)
		return;
	t->slot = 0;
	l->timers--;
	if (i < l->timers)
		heap_settle(l, i, l->heap[l->timers]);
}

/* Those armed by the handlers of this round wait for the next, also when they are due already. */
static void fire_timers(struct loop *l)
{
	uint64_t limit = l->seq, now;

	if (l->timers == 0)
		return;
	now = clock_mono();
	while (l->timers > 0 && l->heap[0].due <= now && l->heap[0].seq < limit) {
		struct loop_timer *t = l->heap[0].timer;
		loop_cancel(l, t);
		t->fn(t->arg);
	}
}

/* How long epoll may sleep: never longer than asked, rounded up so that a timer isn't met a moment too early. */
static int sleep_ms(const struct loop *l, int timeout_ms)
{
	uint64_t now, ms;

	if (l->timers == 0 || timeout_ms == 0)
		return timeout_ms;
	now = clock_mono();
	if (l->heap[0].due <= now)
		return 0;
	ms = (l->heap[0].due - now - 1) / 1000000 + 1;
	ms = MIN(ms, UINT64_C(86400000));
	return timeout_ms < 0 || ms < (uint64_t)timeout_ms ? (int)ms : timeout_ms;
}

int loop_once(struct loop *l, int timeout_ms)
{
	struct round round;

	round.at = 0;
	round.n = epoll_wait(l->epoll_fd, round.events, ROUND_EVENTS, sleep_ms(l, timeout_ms));
	if (round.n < 0)
		return errno == EINTR ? 0 : -errno;
	round.outer = l->round;
	l->round = &round;
	while (round.at < round.n) {
		struct epoll_event *ev = &round.events[round.at++];
		struct loop_fd *f = ev->data.ptr;
		if (f)
			f->fn(f->arg, ev->events);
	}
	l->round = round.outer;
	fire_timers(l);
	return 0;
}

int loop_run(struct loop *l)
{
	int r = 0;

	while (!l->stop && r == 0)
		r = loop_once(l, -1);
	l->stop = false;
	return r;
}

void loop_stop(struct loop *l)
{
	l->stop = true;
}

static void post(struct loop *l, struct task *t)
{
	bool was_empty = !l->posted.head;

	queue_put(&l->posted, t);
	if (was_empty)
		wake_up(l);
}

int loop_post(struct loop *l, void (*fn)(void *arg), void *arg)
{
	struct task *t = malloc(sizeof(*t));

	if (!t)
		return -ENOMEM;
	*t = (struct task){ .fn = fn, .arg = arg };
	pthread_mutex_lock(&l->lock);
	post(l, t);
	pthread_mutex_unlock(&l->lock);
	return 0;
}

static unsigned group_threads(const struct loop *l, uint64_t group)
{
	unsigned n = 0;

	for (size_t i = 0; group && i < ARRAY_LEN(l->busy); i++)
		n += l->busy[i] == group;
	return n;
}

static void group_replace(struct loop *l, uint64_t from, uint64_t to)
{
	for (size_t i = 0; from != to && i < ARRAY_LEN(l->busy); i++)
		if (l->busy[i] == from) {
			l->busy[i] = to;
			return;
		}
}

/* The first of a group that has threads left; the others' threads come for theirs when they are done. */
static struct task *work_take(struct loop *l)
{
	struct queue *q = &l->work;

	for (struct task **at = &q->head; *at; at = &(*at)->next) {
		struct task *t = *at;
		if (group_threads(l, t->group) >= GROUP_THREADS)
			continue;
		*at = t->next;
		if (!t->next)
			q->tail = at;
		q->n--;
		group_replace(l, 0, t->group);
		return t;
	}
	return NULL;
}

static void *work_thread(void *arg)
{
	struct loop *l = arg;
	struct task *t;
	bool is_last;

	pthread_mutex_lock(&l->lock);
	while (!l->dead && (t = work_take(l))) {
		pthread_mutex_unlock(&l->lock);
		t->work(t->arg);
		pthread_mutex_lock(&l->lock);
		group_replace(l, t->group, 0);
		/* The same piece of memory carries the answer: it can't be lost for want of memory. */
		post(l, t);
	}
	is_last = --l->threads == 0 && l->dead;
	pthread_mutex_unlock(&l->lock);
	if (is_last)
		loop_release(l);
	return NULL;
}

/* With all signals blocked: they are the main thread's business. */
static int start_thread(struct loop *l)
{
	pthread_attr_t attr;
	sigset_t all, old;
	pthread_t thread;
	int r;

	r = pthread_attr_init(&attr);
	if (r != 0)
		return -r;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&thread, &attr, work_thread, l);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return -r;
}

int loop_work(struct loop *l, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
	return loop_work_for(l, 0, work, done, arg);
}

int loop_work_for(struct loop *l, uint64_t group, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
	struct task *t = malloc(sizeof(*t));
	int r = 0;

	if (!t)
		return -ENOMEM;
	*t = (struct task){ .work = work, .fn = done, .arg = arg, .group = group };
	pthread_mutex_lock(&l->lock);
	if (l->threads < WORK_THREADS) {
		r = start_thread(l);
		if (r == 0)
			l->threads++;
	}
	/* No new thread (a pid limit, say) is bad only when there is none at all to do it. */
	if (l->threads > 0) {
		queue_put(&l->work, t);
		r = 0;
	} else {
		free(t);
	}
	pthread_mutex_unlock(&l->lock);
	return r;
}
