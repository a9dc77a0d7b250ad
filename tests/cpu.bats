#!/usr/bin/env bats
# Limits, guarantees, weights, policies and processors: what is written, what the kernel is told, and what a busy
# container then really gets.
#
# shellcheck disable=SC2016 # meant for shells in containers and for wait_for

bats_require_minimum_version 1.5.0
load helpers

teardown() {
	destroy_all
}

BUSY='sh -c "while :; do :; done"'

# is_v2 CONTROLLER
is_v2() {
	grep -q "^$1: v2" "$PORTO_ROOT/.porto/features"
}

# quota_is NAME QUOTA PERIOD: what the kernel was told, microseconds; QUOTA may be none.
quota_is() {
	local quota=$2
	if is_v2 cpu; then
		prop_is "$1" cpu.max "${quota/none/max} $3"
	else
		prop_is "$1" cpu.cfs_quota_us "${quota/none/-1}" && prop_is "$1" cpu.cfs_period_us "$3"
	fi
}

# weight_is NAME V1 V2
weight_is() {
	if is_v2 cpu; then
		prop_is "$1" cpu.weight "$3"
	else
		prop_is "$1" cpu.shares "$2"
	fi
}

# root_weight_is V1 V2: of all containers together.
root_weight_is() {
	local dir got
	dir=$(prop / 'cgroups[cpu]')
	got=$(cat "$dir/cpu.shares" 2>/dev/null || cat "$dir/cpu.weight")
	if is_v2 cpu; then [ "$got" = "$2" ]; else [ "$got" = "$1" ]; fi || fail "the root weighs $got, expected $*"
}

# Everything that the kernel was told about the processor of a container.
told() {
	local file
	for file in cpu.shares cpu.cfs_quota_us cpu.cfs_period_us cpu.weight cpu.max cpuset.cpus; do
		cat "$PORTO_ROOT/$1/$file" 2>/dev/null || :
	done
}

# sched_of PID: nice and policy (0 other, 3 batch, 5 idle) from /proc.
sched_of() {
	sed 's/.*) //' "/proc/$1/stat" | cut -d' ' -f17,39
}

sched_is() {
	local got
	got=$(sched_of "$(prop "$1" root_pid)")
	[ "$got" = "$2" ] || fail "$1: nice and policy are '$got', expected '$2'"
}

need_two() {
	[ "$(nproc --all)" -ge 2 ] || skip 'this host has one processor'
}

# usage_over SECONDS NAME...: of each, the cores that it used meanwhile, then those that were idle; by the clock, whatever
# sleep did.
usage_over() {
	local name hz
	hz=$(getconf CLK_TCK)
	snapshot() {
		cut -d' ' -f1 /proc/uptime
		for name; do prop "$name" cpu_usage; done
		awk '$1 == "cpu" { print $5 + $6 }' /proc/stat
	}
	{
		snapshot "${@:2}" | paste -sd' '
		sleep "$1"
		snapshot "${@:2}" | paste -sd' '
	} | awk -v hz="$hz" 'NR == 1 { split($0, old); next }
		{ t = $1 - old[1]
		  for (i = 2; i < NF; i++) printf "%.3f ", ($i - old[i]) / t / 1e9
		  printf "%.3f\n", ($NF - old[NF]) / t / hz }'
}

# All containers of this file together come before whatever else runs here.
outweigh() {
	local root
	for root in $(cgroup_roots); do
		[ ! -e "$root/cpu.weight" ] || echo 10000 >"$root/cpu.weight"
		[ ! -e "$root/cpu.shares" ] || echo 262144 >"$root/cpu.shares"
	done
}

# uses NAME CORES: never more than that and a twentieth (a quarter where clocks are emulated too); and as much less a
# twentieth, unless other work on this
# machine left it no time: what it is short of must then not have been idle.
uses() {
	local used idle verdict
	for _ in 1 2 3; do
		read -r used idle < <(usage_over 3 "$1")
		verdict=$(awk -v u="$used" -v i="$idle" -v l="$2" -v over="$((PORTO_SLOW < 5 ? 105 : 125))" 'BEGIN {
			print (u * 100 > l * over ? "more" : u >= l * 0.95 ? "right" : i > (l - u) / 2 ? "less" : "busy") }')
		[ "$verdict" != more ] || fail "$1 used $used cores, its limit is $2"
		[ "$verdict" != right ] || return 0
		outweigh
	done
	[ "$verdict" = busy ] || fail "$1 used $used cores, it should have had $2, and $idle were idle"
}

# ratio A B WANT PERCENT: A uses WANT times what B uses.
ratio() {
	local a b
	for _ in 1 2 3; do
		read -r a b _ < <(usage_over 3 "$1" "$2")
		! awk -v a="$a" -v b="$b" -v w="$3" -v p="$4" 'BEGIN {
			exit !(b > 0 && a / b >= w * (1 - p / 100) && a / b <= w * (1 + p / 100)) }' || return 0
	done
	fail "$1 used $a cores and $2 $b, expected $3 times as much"
}

# ---- limits ----

@test "cpu_limit: 0.5c and 1.5c hold under stress, and a change takes effect at once" {
	need_two
	ct_start a 'command=stress -c 4' cpu_limit=0.5c
	uses a 0.5
	[ "$(prop a cpu_throttled)" -gt 0 ]
	put a/cpu_limit 1.5c
	uses a 1.5
	put a/cpu_limit 0.2c
	sleep 0.2
	read -r used _ < <(usage_over 2 a)
	awk -v u="$used" 'BEGIN { exit !(u < 0.23) }' || fail "used $used cores 200 ms after it was limited to 0.2"
}

@test "cpu_limit: cores, percent of the host and nanoseconds become the kernel's quota" {
	local row value shown quota
	ct_start a 'command=sleep 1000'
	quota_is a none 100000
	for row in '0.25c 0.25c 25000' '250000000ns 0.25c 25000' '0.3333333c 0.3333333c 33334' '0c 0c none' '0 0c none'; do
		read -r value shown quota <<<"$row"
		put a/cpu_limit "$value"
		prop_is a cpu_limit "$shown"
		quota_is a "$quota" 100000
	done
	put a/cpu_limit 50
	prop_is a cpu_limit "$(awk -v n="$(nproc --all)" 'BEGIN { print n / 2 "c" }')"
	put a/cpu_limit ''
	prop_is a cpu_limit 0c
	# far more than there is: the host's processors
	put a/cpu_limit 18446744073c
	quota_is a "$(($(nproc --all) * 100000))" 100000
	put a/cpu_limit 0.001c
	quota_is a 1000 1000000
}

@test "cpu_period: from 1ms to 1s; a limit of less than 1 ms a period gets a longer one" {
	ct_start a 'command=sleep 1000' cpu_limit=0.5c cpu_period=20ms
	quota_is a 10000 20000
	prop_is a cpu_period 20000000
	put a/cpu_period 1s
	quota_is a 500000 1000000
	put a/cpu_period 1ms
	quota_is a 1000 2000
	# unset, it is the parent's
	ct_start a/b 'command=sleep 1000' cpu_limit=0.1c
	prop_is a/b cpu_period 1000000
	quota_is a/b 1000 10000
}

@test "cpu_limit: the bound is written, parents and children follow each other up and down" {
	[ "$(getconf _NPROCESSORS_CONF)" -ge 2 ] || skip 'limits of more than there is say nothing'
	ct_start a cpu_limit=1c
	ct_start a/b 'command=sleep 1000' cpu_limit=1.5c
	ct_start a/b/c 'command=sleep 1000' cpu_limit=0.3c cpu_period=10ms
	ct_start a/d 'command=sleep 1000'
	quota_is a/b 100000 100000
	quota_is a/b/c 3000 10000
	put a/cpu_limit 0.2c
	quota_is a 20000 100000
	quota_is a/b 20000 100000
	quota_is a/b/c 2000 10000
	prop_is a/b cpu_limit 1.5c
	prop_is a/b/c cpu_limit_bound 0.2c
	prop_is a/d cpu_limit_bound 0.2c
	put a/cpu_limit 1.2c
	quota_is a/b 120000 100000
	quota_is a/b/c 3000 10000
	put a/cpu_limit 0
	quota_is a none 100000
	quota_is a/b 150000 100000
	put a/b/cpu_limit 0
	quota_is a/b none 100000
	quota_is a/b/c 3000 10000
	prop_is / cpu_limit_bound "$(nproc --all)c"
}

@test "cpu_limit: nested limits hold under stress" {
	ct_start a cpu_limit=0.5c
	ct_start a/b 'command=stress -c 2' cpu_limit=0.2c
	ct_start a/c 'command=stress -c 2'
	local b
	uses a 0.5
	read -r b _ < <(usage_over 2 a/b)
	awk -v b="$b" -v most="$((PORTO_SLOW < 5 ? 22 : 30))" 'BEGIN { exit !(b * 100 <= most) }' || fail "a/b used $b cores, its limit is 0.2"
}

@test "cpu_limit_total: what the subtree can use, cpu_limit_bound: the smallest limit from here up" {
	[ "$(getconf _NPROCESSORS_CONF)" -ge 2 ] || skip 'limits of more than there is say nothing'
	ct_new a cpu_limit=1.5c
	prop_is a cpu_limit_total 1.5c
	put a/state start # no command: only children run in it
	ct_start a/b 'command=sleep 1000' cpu_limit=0.25c
	ct_start a/c 'command=sleep 1000' cpu_limit=0.5c
	prop_is a cpu_limit_total 0.75c
	put a/c/cpu_limit 2c
	prop_is a cpu_limit_total 1.5c
	prop_is a/c cpu_limit_total 1.5c
	prop_is a/c cpu_limit_bound 1.5c
	put a/c/state stop
	prop_is a cpu_limit_total 0.25c
	prop_is a/b cpu_limit_total 0.25c
}

# ---- guarantees and weights ----

@test "cpu_guarantee: 3 to 1 between two busy containers on one processor" {
	need cpu_set
	ct_start a "command=$BUSY" cpu_set=0 cpu_guarantee=0.75c
	ct_start b "command=$BUSY" cpu_set=0 cpu_guarantee=0.25c
	ratio a b 3 15
	# and the other way round, while they run
	put a/cpu_guarantee 0.25c
	put b/cpu_guarantee 0.75c
	ratio b a 3 15
}

@test "cpu_weight: 3 to 1 without any guarantee" {
	need cpu_set
	ct_start a "command=$BUSY" cpu_set=0 cpu_weight=3
	ct_start b "command=$BUSY" cpu_set=0
	ratio a b 3 15
}

@test "cpu_guarantee, cpu_weight and cpu_policy together make the weight" {
	[ "$(getconf _NPROCESSORS_CONF)" -ge 2 ] || skip 'guarantees of more than there is make no heavier'
	ct_start a 'command=sleep 1000'
	weight_is a 2 1
	put a/cpu_guarantee 1.5c
	weight_is a 1536 150
	put a/cpu_weight 0.5
	weight_is a 768 75
	put a/cpu_policy high
	weight_is a 12288 1200
	put a/cpu_policy idle
	weight_is a 2 1
	put a/cpu_policy normal
	put a/cpu_weight 100
	put a/cpu_guarantee 18446744073c # no heavier than all there is, and the kernel's maximum
	local most=$((102400 * $(getconf _NPROCESSORS_CONF)))
	weight_is a $((most < 262144 ? most : 262144)) 10000
	put a/cpu_guarantee 0
	weight_is a 200 100
	# below, one that says nothing is not starved by the tasks of its parent
	ct_start a/b 'command=sleep 1000' cpu_limit=1c
	weight_is a/b 1024 100
}

@test "cpu_guarantee_total: the larger of its own and the running children's; the weight is made from it" {
	[ "$(getconf _NPROCESSORS_CONF)" -ge 2 ] || skip 'guarantees of more than there is make no heavier'
	ct_start a cpu_guarantee=0.5c
	ct_start a/b cpu_guarantee=0.25c
	ct_start a/b/c 'command=sleep 1000' cpu_guarantee=0.75c
	ct_new a/d 'command=sleep 1000' cpu_guarantee=0.5c
	prop_is a/b cpu_guarantee_total 0.75c
	prop_is a cpu_guarantee_total 0.75c
	weight_is a 768 75
	put a/d/state start
	prop_is a cpu_guarantee_total 1.25c
	weight_is a 1280 125
	put a/d/cpu_guarantee 1c
	weight_is a 1792 175
	root_weight_is 1792 175
	rmdir "$PORTO_ROOT/a/d"
	weight_is a 768 75
	root_weight_is 1024 100
	put a/b/c/state kill
	state_is a/b/c dead
	prop_is a/b cpu_guarantee_total 0.25c
	prop_is a cpu_guarantee_total 0.5c
	weight_is a 512 50
	weight_is a/b 256 25
}

@test "cpu_guarantee_bound: the smallest guarantee set above" {
	prop_is / cpu_guarantee_bound "$(nproc --all)c"
	ct_new a cpu_guarantee=0.5c
	ct_new a/b
	ct_new a/b/c cpu_guarantee=0.75c
	prop_is a cpu_guarantee_bound "$(nproc --all)c"
	prop_is a/b cpu_guarantee_bound 0.5c
	prop_is a/b/c cpu_guarantee_bound 0.5c
	put a/b/cpu_guarantee 0.25c
	prop_is a/b/c cpu_guarantee_bound 0.25c
}

# ---- policies ----

@test "cpu_policy: tasks are born with it, and change while they run, but not porto-init" {
	local row policy sched pid
	for row in 'normal:0 0' 'high:-10 0' 'rt:-20 0' 'batch:0 3' 'idle:0 5'; do
		policy=${row%%:*} sched=${row#*:}
		ct_start a 'command=sleep 1000' "cpu_policy=$policy"
		sched_is a "$sched"
		pid=$(sed 's/.*) //' "/proc/$(prop a root_pid)/stat" | cut -d' ' -f2)
		[ "$(sched_of "$pid")" = '0 0' ] || fail "porto-init has $(sched_of "$pid")"
		[ "$policy" != normal ] || put a/cpu_policy batch
		put a/cpu_policy normal
		sched_is a '0 0'
		put a/cpu_policy "$policy"
		sched_is a "$sched"
		[ "$(sched_of "$pid")" = '0 0' ] || fail "porto-init has $(sched_of "$pid")"
		ct_destroy a
	done
}

@test "cpu_policy: a change reaches all tasks of the subtree, except of those that have their own" {
	local pid
	ct_start a 'command=sh -c "sleep 1000 & sleep 1000 & wait"'
	ct_start a/b 'command=sleep 1000'
	ct_start a/c 'command=sleep 1000' cpu_policy=batch
	ct_start a/j 'command=sleep 1000' virt_mode=job isolate=false cpu_policy=high
	sched_is a/j '-10 0'
	put a/cpu_policy idle
	sched_is a '0 5'
	for pid in $(pgrep -P "$(prop a root_pid)"); do
		[ "$(sched_of "$pid")" = '0 5' ] || fail "a child of its shell has $(sched_of "$pid")"
	done
	prop_is a/b cpu_policy idle
	sched_is a/b '0 5'
	sched_is a/c '0 3'
	sched_is a/j '-10 0'
	put a/j/cpu_policy normal
	sched_is a/j '0 0'
	sched_is a '0 5'
	# one that starts later has its parent's
	ct_start a/d 'command=sleep 1000'
	sched_is a/d '0 5'
}

@test "cpu_policy: threads that are being made meanwhile don't escape" {
	local pid sched
	ct_start a 'command=sh -c "while :; do sleep 0.01 & sleep 0.01; done"'
	for _ in 1 2 3 4 5; do
		put a/cpu_policy batch
		for pid in $(pgrep -P "$(prop a root_pid)"); do
			sched=$(sched_of "$pid") || continue
			[ -z "$sched" ] || [ "$sched" = '0 3' ] || fail "one has $sched"
		done
		put a/cpu_policy normal
	done
}

@test "cpu_weight: is a nice value too" {
	ct_start a 'command=sleep 1000' cpu_weight=2
	sched_is a '-7 0'
	put a/cpu_weight 0.5
	sched_is a '7 0'
	put a/cpu_policy high
	sched_is a '-3 0'
	put a/cpu_weight 100
	sched_is a '-20 0'
}

@test "cpu_policy: nosmt and iso are refused, and without CAP_SYS_NICE what needs it" {
	ct_start a 'command=sleep 1000'
	want_errno EOPNOTSUPP put a/cpu_policy nosmt
	error_says a "cpu_policy: 'nosmt' is not supported"
	want_errno EOPNOTSUPP put a/cpu_policy iso
	prop_is a cpu_policy normal
	ct_destroy a
	daemon_stop
	timeout 30 setpriv --bounding-set -sys_nice "${DAEMON[@]}" start >&2 3>&- 4>&-
	grep '^cpu_policy: .*no CAP_SYS_NICE' "$PORTO_ROOT/.porto/features"
	ct_start a 'command=sleep 1000'
	want_errno EOPNOTSUPP put a/cpu_policy high
	error_says a "cpu_policy: 'high': the daemon has no CAP_SYS_NICE"
	prop_is a cpu_policy normal
	sched_is a '0 0'
	put a/cpu_policy batch
	sched_is a '0 3'
	put a/cpu_weight 4 # the weight does what it can
	sched_is a '0 3'
	weight_is a 8 4
	ct_destroy a
	daemon_restart
}

# ---- processors ----

@test "cpu_set: a list, a node, all and inherit; affinity tells what came of it" {
	need cpu_set a/cpu_set 0
	need_two
	local all
	all=$(prop / cpu_set_affinity)
	ct_start a 'command=sleep 1000' cpu_set=1
	prop_is a cpu_set 1
	prop_is a cpu_set_affinity 1
	[ "$(taskset -pc "$(prop a root_pid)")" = "pid $(prop a root_pid)'s current affinity list: 1" ]
	put a/cpu_set '1,0,0-1'
	prop_is a cpu_set 0-1
	prop_is a cpu_set_affinity 0-1
	put a/cpu_set '  node   0 '
	prop_is a cpu_set 'node 0'
	prop_is a cpu_set_affinity "$(cat /sys/devices/system/node/node0/cpulist)"
	put a/cpu_set 0
	prop_is a cpu_set_affinity 0
	ct_start a/b 'command=sleep 1000'
	prop_is a/b cpu_set_affinity 0
	put a/cpu_set all
	prop_is a cpu_set ''
	prop_is a cpu_set_affinity "$all"
	prop_is a/b cpu_set_affinity "$all"
	put a/cpu_set 1
	put a/cpu_set inherit
	prop_is a cpu_set ''
	prop_is a cpu_set_affinity "$all"
	put a/b/state stop
	put a/b/cpu_set 0
	put a/b/state start
	put a/b/cpu_set ''
	prop_is a/b cpu_set_affinity "$all"
	put a/cpu_set 1
	prop_is a/b cpu_set_affinity 1
	put a/cpu_set ''
	prop_is a/b cpu_set_affinity "$all"
	put a/state stop
	prop_is a cpu_set_affinity "$all"
}

@test "cpu_set: what is below follows, and what would be left without is not let down" {
	need cpu_set
	need_two
	local before
	ct_start a 'command=sleep 1000' cpu_set=0-1
	ct_start a/b 'command=sleep 1000' # without the controller: only its child has it
	ct_start a/b/c 'command=sleep 1000' cpu_set=1
	ct_start a/d 'command=sleep 1000' controllers=cpuset
	put a/cpu_set 1
	prop_is a/b cpu_set_affinity 1
	prop_is a/d cpu_set_affinity 1
	put a/cpu_set 0-1
	prop_is a/b cpu_set_affinity 0-1
	prop_is a/d cpu_set_affinity 0-1
	put a/b/c/cpu_set 0-1
	put a/b/c/cpu_set 1
	before=$(told a; told a/b; told a/b/c)
	want_error InvalidValue put a/cpu_set 0
	error_says a "cpu_set: too few processors for a/b/c below it, which wants '1'"
	prop_is a cpu_set 0-1
	[ "$(told a; told a/b; told a/b/c)" = "$before" ]
	put a/cpu_set 1
	want_error InvalidValue put a/b/c/cpu_set 0
	error_says a/b/c "cpu_set: '0': expected processors of the containers above it: 1"
	prop_is a/b/c cpu_set_affinity 1
	want_error InvalidValue put a/b/c/cpu_set 'jail 2'
	put a/b/c/cpu_set 'jail 1'
	prop_is a/b/c cpu_set_affinity 1
}

@test "cpu_set: what a user made in the cgroup keeps a list from shrinking, and all stays as it was" {
	need cpu_set
	need_two
	! is_v2 cpuset || skip 'only v1 wants children to be within their parents'
	local dir before
	ct_start a 'command=sleep 1000' cpu_set=0-1
	ct_start a/b 'command=sleep 1000' cpu_set=0-1
	dir=$(prop a 'cgroups[cpuset]')
	mkdir "$dir/user"
	echo 1 >"$dir/user/cpuset.cpus"
	before=$(told a; told a/b)
	put a/b/cpu_set 0
	want_errno EBUSY put a/cpu_set 0
	error_says a "cpu_set: '0': a cgroup that somebody has made inside"
	prop_is a cpu_set 0-1
	prop_is a/b cpu_set 0
	put a/b/cpu_set 0-1
	[ "$(told a; told a/b)" = "$before" ]
	rmdir "$dir/user"
	put a/b/cpu_set ''
	put a/cpu_set 0
	prop_is a/b cpu_set_affinity 0
}

@test "cpu_set: jails spread, are balanced at each change and stay where they are over a restart" {
	need cpu_set
	need_two
	[ "$(prop / cpu_set_affinity)" = 0-1 ] || skip 'written for two processors'
	local a b c
	ct_start a 'command=sleep 1000' 'cpu_set=jail 1'
	ct_start b 'command=sleep 1000' 'cpu_set=jail 1'
	a=$(prop a cpu_set_affinity) b=$(prop b cpu_set_affinity)
	[ "$a" != "$b" ]
	ct_start c 'command=sleep 1000' 'cpu_set=node 0; jail 1'
	prop_is c cpu_set 'jail 1; node 0'
	c=$(prop c cpu_set_affinity)
	kill_worker
	daemon_restart
	[ "$(prop a cpu_set_affinity) $(prop b cpu_set_affinity) $(prop c cpu_set_affinity)" = "$a $b $c" ]
	# the one that is alone goes: two are on one processor, until something changes
	[ "$c" = "$a" ] && ct_destroy b || ct_destroy a
	ct_start d 'command=sleep 1000' 'cpu_set=jail 2'
	prop_is d cpu_set_affinity 0-1
	[ "$c" = "$a" ] && b=a || b=b
	[ "$(prop "$b" cpu_set_affinity)" != "$(prop c cpu_set_affinity)" ]
}

@test "cpu_set: jails cannot be nested, whichever is first" {
	need cpu_set
	ct_new a 'cpu_set=jail 1'
	ct_new a/b
	ct_new a/b/c
	want_errno EAGAIN put a/b/c/cpu_set 'jail 1'
	want_error ResourceNotAvailable put a/b/c/cpu_set 'jail 1'
	error_says a/b/c "cpu_set: 'jail 1': a has a jail, and jails can't be nested"
	put a/cpu_set ''
	put a/b/c/cpu_set 'jail 1'
	want_error ResourceNotAvailable put a/cpu_set 'jail 1'
	prop_is a cpu_set ''
}

@test "cpu_set: needs its controller, which is switched on while stopped" {
	need cpu_set
	! is_v2 cpuset || skip 'on v2 every container of the first level has it'
	ct_start a 'command=sleep 1000'
	prop_is a 'controllers[cpuset]' false
	want_errno EOPNOTSUPP put a/cpu_set 0
	error_says a 'cpu_set: container a was started without a cpuset cgroup'
	put a/state stop
	put a/cpu_set 0
	prop_is a 'controllers[cpuset]' true
	put a/state start
	prop_is a cpu_set_affinity 0
}

# ---- counters ----

@test "cpu_usage, cpu_throttled, cpu_wait and cpu_pressure grow when they should" {
	need cpu_pressure
	ct_start a 'command=stress -c 4' cpu_limit=0.2c
	ct_start b 'command=sleep 1000'
	sleep 1
	[ "$(prop a cpu_usage)" -gt 100000000 ]
	[ "$(prop a cpu_throttled)" -gt 100000000 ]
	[ "$(prop a cpu_wait)" -gt 300000000 ]
	[ "$(prop a cpu_wait)" -le "$(($(prop a 'cpu_pressure[some]') * 1000))" ]
	[[ $(prop a cpu_pressure) =~ ^full:\ [0-9]+\;\ some:\ [0-9]+$ ]]
	want_error InvalidProperty prop a 'cpu_pressure[none]'
	prop_is b cpu_throttled 0
	[ "$(prop b cpu_wait)" -lt "$(prop a cpu_wait)" ]
	grep -q '^cpu_throttled [1-9]' "$PORTO_ROOT/a/stat"
	grep -q '^porto_cpu_wait_seconds_total{container="a"} [0-9.]*[1-9]' "$PORTO_ROOT/.porto/metrics"
	prop / cpu_wait
	prop / cpu_pressure
}

@test "cpu_burst_usage and cpu_unconstrained_wait are refused with the reason, in every state" {
	local name
	ct_new a
	for name in cpu_burst_usage cpu_unconstrained_wait; do
		want_errno EOPNOTSUPP prop a "$name"
		grep -q "^$name: missing" "$PORTO_ROOT/.porto/features"
	done
}

# ---- what is refused ----

# property, value, what the sentence says; fields between bars.
refused=(
	'cpu_limit|1.5C|expected cores like 1.5c'
	'cpu_limit|.5c|expected cores'
	'cpu_limit|5.c|expected cores'
	'cpu_limit|-1c|expected cores'
	'cpu_limit|-1|expected cores'
	'cpu_limit|NaN|expected cores'
	'cpu_limit|infc|expected cores'
	'cpu_limit|1e1c|expected cores'
	'cpu_limit|1 c|expected cores'
	'cpu_limit|1.5s|expected cores'
	'cpu_limit|1M|expected cores'
	'cpu_limit|99999999999c|expected cores'
	'cpu_limit|99999999999999999999999ns|expected cores'
	'cpu_limit|0.0009c|expected at least 0.001c'
	'cpu_limit|0.000000001c|expected at least 0.001c'
	'cpu_guarantee|1.5C|expected cores'
	'cpu_guarantee|-0.5c|expected cores'
	'cpu_guarantee|NaN|expected cores'
	'cpu_guarantee|99999999999c|expected cores'
	'cpu_weight||expected a number from 0.01 to 100'
	'cpu_weight|0|expected a number from'
	'cpu_weight|0.009|expected a number from'
	'cpu_weight|100.1|expected a number from'
	'cpu_weight|-1|expected a number from'
	'cpu_weight|NaN|expected a number from'
	'cpu_weight|inf|expected a number from'
	'cpu_weight|1c|expected a number from'
	'cpu_weight|1e1|expected a number from'
	'cpu_period||expected a time'
	'cpu_period|1c|expected a time'
	'cpu_period|-1ms|expected a time'
	'cpu_period|NaN|expected a time'
	'cpu_period|0|expected from 1ms to 1s'
	'cpu_period|999us|expected from 1ms to 1s'
	'cpu_period|1000000001ns|expected from 1ms to 1s'
	'cpu_period|99999999999999999999s|expected a time'
	'cpu_policy||expected normal, high, rt, batch or idle'
	'cpu_policy|Normal|expected normal'
	'cpu_policy|fifo|expected normal'
	'cpu_policy|normal high|expected normal'
	'cpu_set|8191|expected processors that are online'
	'cpu_set|0,8191|expected processors that are online'
	'cpu_set|8192|expected processors like'
	'cpu_set|99999999999999999999|expected processors like'
	'cpu_set|-1|expected processors like'
	'cpu_set|1-0|expected processors like'
	'cpu_set|0,|expected processors like'
	'cpu_set|0, 1|expected processors like'
	'cpu_set|0x1|expected processors like'
	'cpu_set|NaN|expected processors like'
	'cpu_set|ALL|expected processors like'
	'cpu_set|jail|expected processors like'
	'cpu_set|jail 0|expected processors like'
	'cpu_set|jail -1|expected processors like'
	'cpu_set|jail 1.5|expected processors like'
	'cpu_set|jail 1; jail 1|expected processors like'
	'cpu_set|jail 1; 0|expected processors like'
	'cpu_set|jail 8192|a jail can'
	'cpu_set|jail 99999999999999999999|expected processors like'
	'cpu_set|node|expected processors like'
	'cpu_set|node -1|expected processors like'
	'cpu_set|node 1023|this host has no node 1023'
	'cpu_set|node 99999|expected processors like'
	'cpu_set|;|expected processors like'
)

@test "what is no value is refused: the old one stays, and so do the kernel's files" {
	local row name value says before
	need cpu_set
	ct_start a 'command=sleep 1000' cpu_limit=1c cpu_guarantee=0.5c cpu_weight=2 cpu_period=50ms cpu_policy=batch cpu_set=0
	before=$(told a; cat "$PORTO_ROOT/a/spec")
	for row in "${refused[@]}"; do
		IFS='|' read -r name value says <<<"$row"
		want_errno EINVAL put "a/$name" "$value" || fail "$row"
		error_says a "7 InvalidValue:($name: '$value': $says" || fail "$row"
		[ "$(told a; cat "$PORTO_ROOT/a/spec")" = "$before" ] || fail "$row changed something"
	done
	sched_is a '-7 3'
	for name in cpu_limit_bound cpu_limit_total cpu_guarantee_bound cpu_guarantee_total cpu_set_affinity cpu_wait; do
		want_errno EACCES put "a/$name" 1
	done
	want_error InvalidValue put 'a/cpu_limit[x]' 1c
}

@test "cpu properties survive a restart of the daemon and a clone" {
	need cpu_set
	local told
	ct_start a 'command=sleep 1000' cpu_limit=1c cpu_guarantee=0.5c cpu_weight=2 cpu_period=50ms cpu_policy=batch cpu_set=0
	told=$(told a)
	daemon_restart
	[ "$(told a)" = "$told" ]
	mkdir "$PORTO_ROOT/b"
	cat "$PORTO_ROOT/a/spec" >"$PORTO_ROOT/b/spec"
	put b/state start
	[ "$(told b)" = "$told" ]
	sched_is b '-7 3'
	# a spec that fails in its last line changes nothing, in the kernel either
	printf 'cpu_limit = 2c\ncpu_guarantee = 1c\ncpu_policy = idle\ncpu_set = 77\n' >"$BATS_TEST_TMPDIR/spec"
	want_errno EINVAL cp "$BATS_TEST_TMPDIR/spec" "$PORTO_ROOT/b/spec"
	[ "$(told b)" = "$told" ]
	sched_is b '-7 3'
	prop_is b cpu_policy batch
}

@test "spec refused: processor properties are in the kernel what they were, own ones and the parent's" {
	need cpu_limit
	local before
	ct_start p cpu_period=50ms cpu_policy=batch
	ct_start p/c 'command=sleep 1000' cpu_limit=0.5c controllers='cpu;memory;pids'
	quota_is p/c 25000 50000
	before=$(told p/c)
	want_errno EINVAL put p/c/spec $'cpu_guarantee = 1c\ncpu_period = 200ms\ncpu_policy = idle\ncpu_limit = 0.7c\ncpu_weight = 1000'
	[ "$(told p/c)" = "$before" ] || fail "$(told p/c), before: $before"
	[[ $(sched_of "$(prop p/c root_pid)") == *' 3' ]]
}

@test "cpu_guarantee: what an owner asks for beyond what there is makes no heavier, neither it nor all together" {
	need cpu_guarantee
	local cores
	cores=$(getconf _NPROCESSORS_CONF)
	as daemon ct_start a 'command=sleep 1000' cpu_guarantee=100000c
	weight_is a $((1024 * cores)) $((100 * cores))
	root_weight_is $((1024 * cores)) $((100 * cores))
	as daemon ct_destroy a
}

@test "cpu_limit: a start in a container that is short of time is slow by itself and holds up nobody" {
	need cpu_limit
	ct_start p 'command=stress -c 4' cpu_limit=0.01c
	ct_new p/k command=true
	rm -f "$BATS_TEST_TMPDIR/started"
	setsid -f bash -c 'echo start >"$PORTO_ROOT/p/k/state"; touch "$0"' "$BATS_TEST_TMPDIR/started" >/dev/null 2>&1 3>&- 4>&- </dev/null
	local answers=0
	for _ in {1..20}; do
		[ -n "$(<"$PORTO_ROOT/.porto/version")" ]
		[ -e "$BATS_TEST_TMPDIR/started" ] || answers=$((answers + 1))
		sleep 0.02
	done
	[ "$answers" -gt 5 ] || [ -e "$BATS_TEST_TMPDIR/started" ] || fail "$answers answers while it was starting"
	put p/cpu_limit 0
	wait_for '[ -e "$BATS_TEST_TMPDIR/started" ]'
	prop_is p/k wait dead
}
