#include "engine/tick.h"

#include "engine/ct.h"
#include "engine/names.h"
#include "engine/output.h"

#define TICK_NSEC UINT64_C(1000000000)
#define NAMES_ROUND 5u
#define SLOW_ROUND 10u /* a container's output is looked at every so many seconds while it is far from its limit */

/* Far from the limit an idle container's files are not looked at each second: a thousand of them would cost more than all else. */
static bool is_due(struct ct *ct, uint64_t round)
{
	uint64_t limit = ct->val[PROP_stdout_limit].u;

	if ((ct->id + round) % SLOW_ROUND == 0)
		return true;
	return ct->output_seen > limit / 2;
}

static void tick(void *arg)
{
	struct engine *e = arg;
	static uint64_t round;
	bool any = false;

	round++;
	for (struct ct *ct = ct_next(e->root, NULL); ct != NULL; ct = ct_next(e->root, ct)) {
		if (!ct_is_alive(ct))
			continue;
		any = true;
		if (is_due(ct, round))
			ct->output_seen = output_trim(ct);
	}
	if (any && round % NAMES_ROUND == 0)
		names_follow_host(e);
	if (any)
		tick_start(e);
}

void tick_start(struct engine *e)
{
	if (e->tick.slot != 0)
		return;
	e->tick = (struct loop_timer){ .fn = tick, .arg = e };
	(void)loop_after(e->loop, &e->tick, TICK_NSEC);
}
