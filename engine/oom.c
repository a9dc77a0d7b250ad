/*
 * Out of memory: whose limit was hit, and what follows from it.
 *
 * A container whose limit was hit, below which somebody was then killed, has run out of memory: with oom_is_fatal it dies as a
 * whole, else only the kernel's victim did. What the counters were at the last look is in the record, so what happened while no
 * worker ran is seen by the next one.
 *
 * v2 counts the hits of each limit. v1 only notifies, and notifies everything below the limit as well: of several notified
 * containers the uppermost is the one. When nobody was there to be notified, it is the nearest above the victim that has ever used
 * all that it may.
 */
#include <stdio.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/log.h"
#include "engine/cgroup_memory.h"
#include "engine/eventlog.h"
#include "engine/fsm.h"
#include "engine/memory.h"
#include "engine/run.h"
#include "engine/save.h"

#define TOTAL "oom_kills_total" /* in the state directory: that of the host, who has no record */
#define SETTLE UINT64_C(1000000)     /* from the notification to the first look: those below get theirs meanwhile */
#define KILL_TRIES 10u               /* the kill comes after the hit: looks, each twice as late as the one before */
#define NEAR_LIMIT UINT64_C(65536)   /* a charge that fails wants no more than a few pages */
#define REST UINT64_C(50000000)      /* v2 tells of every reclaim too: so often at most we listen */
#define JUST_NOW UINT64_C(2000000000) /* a victim's end follows its kill within this */

static void on_ready(void *arg, uint32_t events);
static void look(void *arg);

static bool has_own(const struct ct *ct)
{
	return ct->has_cg && (ct->cg.own & CG_BIT(CG_MEMORY));
}

static bool is_watched(const struct ct *ct)
{
	return ct->oom.watch.fn != NULL;
}

static uint64_t hits_of(struct ct *ct)
{
	uint64_t n;

	return has_own(ct) && cg_oom_hits(ct->e->cgroups, &ct->cg, &n) == 0 ? n : ct->oom.hits;
}

/* ---- watching ---- */

static int listen_to(struct ct *ct)
{
	int r = ct->oom.listening ? 0 : loop_add(ct->e->loop, &ct->oom.watch, ct->oom.events);

	ct->oom.listening = r == 0;
	return r;
}

static void stop_listening(struct ct *ct)
{
	if (ct->oom.listening)
		loop_del(ct->e->loop, &ct->oom.watch);
	ct->oom.listening = false;
}

void oom_watch(struct ct *ct)
{
	bool want = has_own(ct) && memory_limit(ct) != 0;
	int fd, r;

	if (want == is_watched(ct))
		return;
	if (!want) {
		oom_unwatch(ct);
		return;
	}
	fd = cg_oom_watch(ct->e->cgroups, &ct->cg, &ct->oom.events);
	if (fd < 0) {
		log_warning("%s: out of memory is seen at the death of its main process only: %s", ct->name, strerror(-fd));
		return;
	}
	ct->oom.watch = (struct loop_fd){ .fd = fd, .fn = on_ready, .arg = ct };
	(void)cg_oom_taken(ct->e->cgroups, fd);
	r = listen_to(ct);
	if (r < 0)
		oom_unwatch(ct);
}

void oom_unwatch(struct ct *ct)
{
	loop_cancel(ct->e->loop, &ct->oom.timer);
	if (!is_watched(ct))
		return;
	stop_listening(ct);
	close(ct->oom.watch.fd);
	ct->oom.watch = (struct loop_fd){ .fd = -1 };
	ct->oom.signalled = false;
}

void oom_begin(struct ct *ct)
{
	ct->oom.hits = hits_of(ct);
	ct->oom.kills = ct_oom_kills_total(ct);
	ct->oom.before = ct_oom_kills(ct);
	ct->oom.when = 0;
	ct->oom.signalled = false;
	oom_watch(ct);
}

static void look_after(struct ct *ct, uint64_t delay)
{
	ct->oom.timer = (struct loop_timer){ .fn = look, .arg = ct };
	(void)loop_after(ct->e->loop, &ct->oom.timer, delay);
}

/* Takes what has come; nothing more is heard of it until a look is over. */
static bool take(struct ct *ct)
{
	if (!cg_oom_taken(ct->e->cgroups, ct->oom.watch.fd))
		return false;
	ct->oom.signalled = true;
	ct->oom.tries = 0;
	stop_listening(ct);
	look_after(ct, SETTLE);
	return true;
}

static void on_ready(void *arg, uint32_t events)
{
	(void)events;
	(void)take(arg);
}

static void rest_over(void *arg)
{
	struct ct *ct = arg;

	if (is_watched(ct))
		(void)listen_to(ct);
}

static void rest(struct ct *ct)
{
	ct->oom.signalled = false;
	if (!is_watched(ct))
		return;
	loop_cancel(ct->e->loop, &ct->oom.timer);
	ct->oom.timer = (struct loop_timer){ .fn = rest_over, .arg = ct };
	(void)loop_after(ct->e->loop, &ct->oom.timer, REST);
}

/* ---- whose limit ---- */

/* Notified, perhaps not told yet. */
static bool is_signalled(struct ct *ct)
{
	if (is_watched(ct) && !ct->oom.signalled && !cg_is_v2(ct->e->cgroups, CG_MEMORY))
		(void)take(ct);
	return ct->oom.signalled;
}

/* Its limit was hit, and that is not dealt with yet. */
static bool is_hit(struct ct *ct)
{
	if (!has_own(ct) || memory_limit(ct) == 0)
		return false;
	return cg_is_v2(ct->e->cgroups, CG_MEMORY) ? hits_of(ct) > ct->oom.hits : is_signalled(ct);
}

/* As far as can be told of the time when nobody watched. */
static bool was_hit(struct ct *ct)
{
	uint64_t peak = 0;

	if (!has_own(ct) || memory_limit(ct) == 0 || cg_is_v2(ct->e->cgroups, CG_MEMORY))
		return is_hit(ct);
	return cg_memory_peak(ct->e->cgroups, &ct->cg, &peak) == 0 && peak + NEAR_LIMIT >= memory_limit(ct);
}

static bool was_just_hit(const struct ct *ct)
{
	return ct->oom.when != 0 && clock_boot() - ct->oom.when < JUST_NOW;
}

/* The container, from ct up, whose limit was hit just now; NULL: none of ours. */
static struct ct *owner_of(struct ct *ct)
{
	bool exact = cg_is_v2(ct->e->cgroups, CG_MEMORY);
	struct ct *found = NULL;

	for (struct ct *it = ct; it != NULL && !ct_is_root(it) && !(exact && found != NULL); it = it->parent)
		if (is_hit(it))
			found = it;
	for (struct ct *it = ct; it != NULL && !ct_is_root(it) && found == NULL; it = it->parent)
		if (was_just_hit(it))
			found = it;
	for (struct ct *it = ct; it != NULL && !ct_is_root(it) && found == NULL; it = it->parent)
		if (was_hit(it))
			found = it;
	return found;
}

/* The container in whose memory cgroup ct lives. */
static struct ct *home(struct ct *ct)
{
	while (!has_own(ct) && ct->parent != NULL)
		ct = ct->parent;
	return ct;
}

struct oom_cause oom_at_death(struct ct *ct, int status)
{
	struct ct *at = home(ct);
	bool fresh = ct_oom_kills_total(at) > at->oom.kills;
	bool is_victim = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && (fresh || was_just_hit(at));
	bool fatal = ct->val[PROP_oom_is_fatal].b;
	bool is_failure = fatal && at == ct && status != 0 && ct_oom_kills(ct) > ct->oom.before;
	struct oom_cause cause = { .owner = owner_of(ct) };
	bool is_own = fatal && fresh && cause.owner == ct; /* its own limit was hit, and nobody has looked yet */

	cause.out_of_memory = is_victim || is_failure || is_own;
	return cause;
}

struct oom_cause oom_at_start(struct ct *ct)
{
	struct ct *at = home(ct), *owner = owner_of(ct);
	bool killed = ct_oom_kills_total(at) > at->oom.kills || (owner != NULL && was_just_hit(owner));

	return (struct oom_cause){ .out_of_memory = killed, .owner = owner };
}

static int sentence(const struct ct *ct, const struct oom_cause *cause, const char *what, struct err *err)
{
	const struct ct *o = cause->owner;

	if (o == NULL)
		return err_set_no(err, ERR_ResourceNotAvailable, ENOMEM, "container %s: %s: the host's memory, or a limit that is not ours", ct->name, what);
	return err_set_no(err, ERR_ResourceNotAvailable, ENOMEM, "container %s: %s: %s%s memory_limit of %llu bytes was hit", ct->name, what,
			  o == ct ? "its" : o->name, o == ct ? "" : "'s", (unsigned long long)memory_limit(o));
}

int oom_sentence(const struct ct *ct, const struct oom_cause *cause, struct err *err)
{
	return sentence(ct, cause, "out of memory", err);
}

/* ---- what follows ---- */

static void tell(struct ct *ct, const struct oom_cause *cause, const char *what)
{
	struct engine_node n = { .dir = DIR_CT, .ct = ct->id, .file = PROP_state };
	struct err err = {};

	sentence(ct, cause, what, &err);
	engine_note_error(ct->e, &(struct engine_cred){ .uid = ct->owner_uid }, &n, &err);
}

void oom_note(struct ct *ct, const struct oom_cause *cause)
{
	tell(ct, cause, "out of memory");
	ct->e->counters.oom++;
}

/* The counters have moved: pollers are told, and what was seen is kept. with_hits: those of its own limit are dealt with too. */
static void changed(struct ct *ct, bool with_hits)
{
	uint64_t kills = ct_oom_kills_total(ct), hits = with_hits ? hits_of(ct) : ct->oom.hits;
	bool more = kills != ct->oom.kills;

	if (more) {
		ct->e->events->changed(ct->e->events_arg, DIR_CT, ct->id, PROP_oom_kills);
		ct->e->events->changed(ct->e->events_arg, DIR_CT, ct->id, PROP_oom_kills_total);
	}
	if (!more && hits == ct->oom.hits)
		return;
	ct->oom.kills = kills;
	ct->oom.hits = hits;
	(void)save_ct(ct, 0, 0, NULL);
}

/* A notification that was for a limit further up is no news of this container's. */
static void changed_below(struct ct *ct)
{
	for (struct ct *it = ct_next(ct, NULL); it != NULL; it = ct_next(ct, it)) {
		(void)is_signalled(it);
		it->oom.signalled = false;
		changed(it, true);
	}
}

/* A start that is going on fails for this, unless its command was running already. */
static void start_is_over(struct ct *ct)
{
	if (ct->state == CT_STARTING && ct->op == OP_START && !ct->op_hard)
		start_check_report(ct);
}

static void happened(struct ct *ct)
{
	struct oom_cause cause = { .out_of_memory = true, .owner = ct };
	uint64_t kills = ct_oom_kills_total(ct) - ct->oom.kills;
	struct engine *e = ct->e;
	uint32_t id = ct->id;

	ct->oom.when = clock_boot();
	event_log(e, "oom", ct->name, "%llu", (unsigned long long)kills);
	changed_below(ct);
	for (struct ct *it = ct->parent; it != NULL; it = it->parent)
		changed(it, false);
	rest(ct);
	start_is_over(ct);
	ct = ct_find(e, id);
	if (ct == NULL)
		return;
	if (ct->destroying || !ct_is_alive(ct) || ct->op == OP_STOP || ct->op == OP_RESTART) {
		changed(ct, true);
	} else if (ct->val[PROP_oom_is_fatal].b) {
		for (struct ct *it = ct_next(ct, NULL); it != NULL; it = ct_next(ct, it))
			start_is_over(it);
		fsm_out_of_memory(ct, &cause);
		changed(ct, true); /* only now: what is kept as seen, the next worker does nothing about */
	} else {
		changed(ct, true);
		tell(ct, &cause, "out of memory, a process was killed");
	}
}

static void look(void *arg)
{
	struct ct *ct = arg;

	if (!has_own(ct) || ct->destroying)
		return;
	for (struct ct *it = ct->parent; !cg_is_v2(ct->e->cgroups, CG_MEMORY) && it != NULL; it = it->parent)
		if (is_hit(it)) {
			rest(ct); /* its look tells about us too */
			return;
		}
	if (!is_hit(ct)) {
		rest(ct);
		return;
	}
	if (ct_oom_kills_total(ct) > ct->oom.kills) {
		happened(ct);
		return;
	}
	if (ct->oom.tries < KILL_TRIES) {
		look_after(ct, SETTLE << ct->oom.tries++);
		return;
	}
	changed(ct, true);
	rest(ct);
}

/* ---- what outlives it ---- */

/* The deepest first: on v1, of several limits the nearest to the victim. What was told of one is not told of those above. */
static void restore_tree(struct ct *ct)
{
	for (struct ct *it = ct->children; it != NULL; it = it->next)
		restore_tree(it);
	if (ct_is_root(ct) || !ct_is_alive(ct))
		return;
	oom_watch(ct);
	if (was_hit(ct) && ct_oom_kills_total(ct) > ct->oom.kills)
		happened(ct);
}

void oom_restore(struct engine *e)
{
	char buf[32];

	if (file_read_small(e->state_fd, TOTAL, buf, sizeof(buf)) > 0)
		e->root->oom_kills_total = strtoull(buf, NULL, 10);
	restore_tree(e->root);
	e->root->oom.kills = ct_oom_kills_total(e->root);
}

void oom_inherit(struct ct *ct)
{
	ct->parent->oom_kills_total += ct_oom_kills_total(ct);
}

void oom_keep_total(struct ct *ct)
{
	char buf[32];
	int n;

	if (!ct_is_root(ct)) {
		(void)save_ct(ct, 0, 0, NULL);
		return;
	}
	n = snprintf(buf, sizeof(buf), "%llu\n", (unsigned long long)ct->oom_kills_total);
	(void)file_replace(ct->e->state_fd, TOTAL, buf, (size_t)n, 0644);
}
