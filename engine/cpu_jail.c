#include "engine/cpu_jail.h"

static unsigned node_load(const struct cpu_host *host, const struct cpus *allowed, unsigned node)
{
	unsigned sum = 0;

	for (unsigned cpu = cpus_next(allowed, 0); cpu < CPUS_MAX; cpu = cpus_next(allowed, cpu + 1))
		sum += host->node[cpu] == node ? host->jails[cpu] : 0;
	return sum;
}

static bool shares_core(const struct cpu_host *host, const struct cpus *jail, unsigned cpu)
{
	for (unsigned other = cpus_next(jail, 0); other < CPUS_MAX; other = cpus_next(jail, other + 1))
		if (host->core[other] == host->core[cpu])
			return true;
	return false;
}

/* CPUS_MAX: all that is allowed is in the jail already. */
static unsigned pick(const struct cpu_host *host, const struct cpus *allowed, const struct cpus *jail)
{
	unsigned best = CPUS_MAX, best_load = 0;
	bool best_shares = false;

	for (unsigned cpu = cpus_next(allowed, 0); cpu < CPUS_MAX; cpu = cpus_next(allowed, cpu + 1)) {
		unsigned load;
		bool shares;

		if (cpus_has(jail, cpu) || (best < CPUS_MAX && host->jails[cpu] > host->jails[best]))
			continue;
		load = node_load(host, allowed, host->node[cpu]);
		shares = shares_core(host, jail, cpu);
		if (best < CPUS_MAX && host->jails[cpu] == host->jails[best] &&
		    (load > best_load || (load == best_load && shares <= best_shares)))
			continue;
		best = cpu;
		best_load = load;
		best_shares = shares;
	}
	return best;
}

static bool fits(const struct cpu_jail *j)
{
	return cpus_count(&j->now) == j->size && cpus_within(&j->now, &j->allowed);
}

static void count(struct cpu_host *host, const struct cpus *cpus)
{
	for (unsigned cpu = cpus_next(cpus, 0); cpu < CPUS_MAX; cpu = cpus_next(cpus, cpu + 1))
		host->jails[cpu]++;
}

/* Counted when it is full: its own processors must not drive the rest of it to another node. */
static void fill(struct cpu_host *host, struct cpu_jail *j)
{
	j->want = (struct cpus){};
	for (unsigned k = 0; k < j->size; k++) {
		unsigned cpu = pick(host, &j->allowed, &j->want);

		if (cpu == CPUS_MAX)
			break;
		cpus_add(&j->want, cpu);
	}
	count(host, &j->want);
}

static bool move_one(struct cpu_host *host, struct cpu_jail *j)
{
	for (unsigned cpu = cpus_next(&j->want, 0); cpu < CPUS_MAX; cpu = cpus_next(&j->want, cpu + 1)) {
		unsigned to = pick(host, &j->allowed, &j->want);

		if (to == CPUS_MAX || host->jails[to] + 1 >= host->jails[cpu])
			continue;
		cpus_remove(&j->want, cpu);
		cpus_add(&j->want, to);
		host->jails[cpu]--;
		host->jails[to]++;
		return true;
	}
	return false;
}

void cpu_jails_choose(struct cpu_host *host, struct cpu_jail *jails, size_t n)
{
	bool moved = true;

	memset(host->jails, 0, sizeof(host->jails));
	for (size_t i = 0; i < n; i++)
		if (fits(&jails[i])) {
			jails[i].want = jails[i].now;
			count(host, &jails[i].want);
		}
	for (size_t i = 0; i < n; i++)
		if (!fits(&jails[i]))
			fill(host, &jails[i]);
	while (moved) {
		moved = false;
		for (size_t i = 0; i < n; i++)
			moved = move_one(host, &jails[i]) || moved;
	}
}
