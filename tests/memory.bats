#!/usr/bin/env bats
# Memory: limits as the kernel has them, guarantees, counters under real loads, and what this kernel can't do.
# Who dies when memory runs out: oom.bats.

# shellcheck disable=SC2030,SC2031 # a test changes DAEMON for itself and puts it back
bats_require_minimum_version 1.5.0
# shellcheck disable=SC2034 # helpers.bash takes it; the device fills the file cache
PORTOD_OPTIONS=(container.memory_limit_margin=1G 'container.extra_devices=/dev/vda r')
load helpers

setup() {
	need memory
}

teardown() {
	destroy_all
}

EAT=$PORTO_BUILD/eat
M=1048576

is_v2() {
	grep -q '^memory: v2' "$PORTO_ROOT/.porto/features"
}

# limit_is NAME BYTES: what the kernel has; it counts in pages, and "max" or a huge number is no limit.
limit_is() {
	local file=memory.limit_in_bytes value
	! is_v2 || file=memory.max
	value=$(prop "$1" "$file")
	[ "$value" != max ] || value=0
	[ "$value" -lt $((1 << 62)) ] || value=0
	[ "$value" -eq $(($2 / 4096 * 4096)) ] || fail "$file of $1 is $value, expected $2"
}

# between LOW VALUE HIGH
between() {
	if [ "$2" -lt "$1" ] || [ "$2" -gt "$3" ]; then
		fail "$2 is not between $1 and $3"
	fi
}

ready() {
	wait_for "[[ \$(prop $1 stdout) == *ready ]]" || fail "$1: $(prop "$1" stderr)"
}

# refused PATH BAD KIND WANT: errno, kind, sentence (it names property, value and what was expected) and that the value stays.
refused() {
	local old
	old=$(cat "$PORTO_ROOT/$1")
	want_errno EINVAL put "$1" "$2"
	want_error "$3" put "$1" "$2"
	error_says "${1%/*}" "${1##*/}: '$2': expected $4"
	[ "$(cat "$PORTO_ROOT/$1")" = "$old" ] || fail "$1: '$2' changed it"
}

BAD_BYTES=('' x -5 -1.5 nan inf 1.5.2M 64Q 64MM '1 2' 0x100000 '64M;' ++1 99999999999999999999 16E 99999999999E)

# cache_eater: prints a command that fills the file cache with 100M: by writing or, where the work directory is memory itself, from
# a disk, if there is one.
cache_eater() {
	local disk
	[ "$(stat -f -c %T "$WORK_DIR")" = tmpfs ] || { echo "$EAT cache 100M"; return; }
	for disk in /dev/vd? /dev/sd?; do
		[ ! -b "$disk" ] || [ "$(blockdev --getsize64 "$disk")" -lt $((100 * M)) ] || { echo "$EAT read 100M $disk"; return; }
	done
	return 1
}

@test "memory_limit: what is no size is refused, stopped or running, and the kernel's limit stays" {
	local bad
	ct_new a command='sleep 1000' memory_limit=64M
	for bad in "${BAD_BYTES[@]}" 1 512K 1048575; do
		refused a/memory_limit "$bad" InvalidValue ''
	done
	prop_is a memory_limit $((64 * M))
	ct_start a
	for bad in "${BAD_BYTES[@]}" 1 512K 1048575; do
		refused a/memory_limit "$bad" InvalidValue ''
		limit_is a $((64 * M))
	done
	refused a/memory_limit 1048575 InvalidValue 'at least 1M, or 0'
	refused a/memory_limit 1x InvalidValue 'bytes like'
}

@test "memory_limit: every way to write a size" {
	local pair
	ct_start a command='sleep 1000'
	for pair in '1048576 1048576' '64M 67108864' '64m 67108864' '64MB 67108864' '64 MiB 67108864' '1.5G 1610612736' ' 2M  2097152' '0 0' '1T 1099511627776'; do
		put a/memory_limit "${pair% *}"
		prop_is a memory_limit "${pair##* }"
		limit_is a "${pair##* }"
	done
}

@test "oom_is_fatal and oom_score_adj: what is no such value is refused" {
	local bad
	ct_new a
	for bad in '' yes 1 TRUE 'true false'; do
		refused a/oom_is_fatal "$bad" Unknown 'true or false'
	done
	for bad in '' x 1.5 1001 -1001 99999999999999999999 '1 2'; do
		refused a/oom_score_adj "$bad" InvalidValue ''
	done
	prop_is a oom_is_fatal true
	prop_is a oom_score_adj 0
}

@test "memory_limit: first level: unset it is RAM less the margin, at least 3/4 of it, shown and in force; deeper there is none" {
	local total want
	total=$(($(awk '/^MemTotal/ { print $2 }' /proc/meminfo) * 1024))
	want=$((total - (total / 4 < 1 << 30 ? total / 4 : 1 << 30)))
	ct_start a command='sleep 1000'
	ct_start a/b command='sleep 1000'
	prop_is a memory_limit "$want"
	limit_is a "$want"
	prop_is a/b memory_limit 0
	prop_is a/b memory_limit_total "$want"
	between $((total - 64 * M)) "$(prop . memory_limit)" "$total" # less huge pages
	[[ $(prop a spec) != *memory* ]]
	put a/memory_limit 0
	limit_is a 0
	between $((total - 64 * M)) "$(prop a memory_limit_total)" "$total"
}

@test "memory_limit_total: the smallest on the way up; a restart of the daemon changes nothing" {
	ct_start a command='sleep 1000' memory_limit=512M
	ct_start a/b command='sleep 1000' memory_limit=1G
	ct_start a/b/c command='sleep 1000' memory_limit=64M
	prop_is a/b memory_limit_total $((512 * M))
	prop_is a/b/c memory_limit_total $((64 * M))
	daemon_restart
	prop_is a/b memory_limit_total $((512 * M))
	prop_is a/b/c memory_limit $((64 * M))
	limit_is a/b/c $((64 * M))
}

@test "memory_limit: lowered below what is in use it says Busy, and nothing changes; then raised and lowered at will" {
	ct_start a command="$EAT anon 40M" memory_limit=64M
	ready a
	want_errno EBUSY put a/memory_limit 16M
	want_error Busy put a/memory_limit 16M
	error_says a 'memory_limit: 16777216: more is in use ('
	prop_is a memory_limit $((64 * M))
	limit_is a $((64 * M))
	prop_is a state running
	for limit in 48 200 50 0 64; do
		put a/memory_limit "${limit}M"
		limit_is a $((limit * M))
	done
	prop_is a state running
	prop_is a oom_kills 0
}

@test "memory_limit: swap is no way out" {
	ct_start a command='sleep 1000' memory_limit=64M
	if is_v2; then
		[ ! -e "$(prop a 'cgroups[memory]')/memory.swap.max" ] || prop_is a memory.swap.max 0
	else
		prop_is a memory.memsw.limit_in_bytes $((64 * M))
	fi
}

@test "memory_limit: file cache is given back instead of killing; the limit can be lowered into it" {
	local eater
	eater=$(cache_eater) || skip 'no disk to read from, and the work directory is on tmpfs'
	ct_start a command="$eater" memory_limit=64M
	ready a
	prop_is a oom_kills 0
	between $((20 * M)) "$(prop a cache_usage)" $((64 * M))
	between 0 "$(prop a anon_usage)" $((16 * M))
	[ "$(prop a memory_reclaimed)" -gt 0 ]
	put a/memory_limit 16M
	limit_is a $((16 * M))
	prop_is a state running
}

@test "anon_usage, memory_usage, memory_peak, minor_faults: 30M of memory are seen" {
	local faults
	ct_start a command="sh -c '$EAT -x anon 30M; exec $EAT anon 20M'"
	ready a
	between $((20 * M)) "$(prop a anon_usage)" $((28 * M))
	between $((20 * M)) "$(prop a memory_usage)" $((40 * M))
	between $((30 * M)) "$(prop a memory_peak)" $((45 * M))
	faults=$(prop a minor_faults)
	[ "$faults" -ge 20 ]
	[ "$(prop a major_faults)" -ge 0 ]
	grep -q "^anon_usage [0-9]" "$PORTO_ROOT/a/stat"
	grep -q '^porto_anon_usage_bytes{container="a"} [0-9]' "$PORTO_ROOT/.porto/metrics"
	refused a/memory_peak 7 InvalidValue 0
	if is_v2; then
		want_errno EOPNOTSUPP put a/memory_peak 0
	else
		put a/memory_peak 0
		between $((20 * M)) "$(prop a memory_peak)" $((29 * M))
	fi
}

@test "shmem_usage, mlock_usage: what a memfd holds, what is locked" {
	ct_start a command="$EAT shm 20M"
	ct_start b command="$EAT mlock 4M"
	ready a
	ready b
	between $((20 * M)) "$(prop a shmem_usage)" $((21 * M))
	between 0 "$(prop a anon_usage)" $((5 * M))
	between $((4 * M)) "$(prop b mlock_usage)" $((6 * M))
	prop_is a mlock_usage 0
}

@test "usage: a container without a memory cgroup of its own has none to tell; a stopped one neither" {
	ct_start p command='sleep 1000'
	ct_start p/a command='sleep 1000'
	for file in memory_usage anon_usage cache_usage minor_faults memory_peak; do
		want_errno ENODATA cat "$PORTO_ROOT/p/a/$file"
		want_error NotSupported cat "$PORTO_ROOT/p/a/$file"
	done
	put p/a/state stop
	want_errno ENODATA cat "$PORTO_ROOT/p/a/memory_usage"
	want_error InvalidState cat "$PORTO_ROOT/p/a/memory_usage"
}

@test "controllers: setting memory_limit while stopped gives a memory cgroup; running without one it is NotSupported" {
	ct_start p command='sleep 1000'
	ct_start p/a command='sleep 1000'
	[[ $(prop p/a controllers) != *memory* ]]
	want_errno EOPNOTSUPP put p/a/memory_limit 64M
	want_error NotSupported put p/a/memory_limit 64M
	prop_is p/a memory_limit 0
	put p/a/state stop
	put p/a/memory_limit 64M
	prop_is p/a 'controllers[memory]' true
	want_errno EINVAL put p/a/controllers cpu
	ct_start p/a
	limit_is p/a $((64 * M))
	[ "$(prop p/a memory_usage)" -gt 0 ]
}

@test "job: it lives in its parent's cgroups and has no memory_limit" {
	ct_start p command='sleep 1000'
	ct_new p/j virt_mode=job command='sleep 1000' memory_limit=64M
	want_error InvalidValue put p/j/state start
}

@test "virtual_memory: sums over the container's own processes" {
	local all
	ct_start a command="$EAT anon 20M"
	ready a
	ct_start a/b command="$EAT anon 40M"
	ready a/b
	between $((20 * M)) "$(prop a 'virtual_memory[anon]')" $((30 * M))
	between $((40 * M)) "$(prop a/b 'virtual_memory[anon]')" $((50 * M))
	prop_is a 'virtual_memory[count]' 2
	all=$(prop a virtual_memory)
	[[ $all =~ ^anon:\ [0-9]+\;\ code:\ [0-9]+\;\ count:\ 2\; ]]
	for type in count size max_size used max_used anon file shmem huge swap locked data stack code table; do
		[[ "; $all;" =~ \;\ $type:\ [0-9]+\; ]] || fail "no $type in $all"
	done
	[ "$(prop a 'virtual_memory[used]')" -ge "$(prop a 'virtual_memory[anon]')" ]
	want_error InvalidProperty cat "$PORTO_ROOT/a/virtual_memory[bogus]"
	[ "$(prop . 'virtual_memory[count]')" -gt 1 ]
	put a/state stop
	want_errno ENODATA cat "$PORTO_ROOT/a/virtual_memory"
}

@test "memory_pressure: microseconds, and more of them where memory is short" {
	need memory_pressure
	ct_start a command='sleep 1000' memory_limit=64M
	[[ $(prop a memory_pressure) =~ ^full:\ [0-9]+\;\ some:\ [0-9]+$ ]]
	[[ $(prop . memory_pressure) =~ ^full:\ [0-9]+\;\ some:\ [0-9]+$ ]]
	[[ $(prop a 'memory_pressure[some]') =~ ^[0-9]+$ ]]
	want_error InvalidProperty cat "$PORTO_ROOT/a/memory_pressure[none]"
}

@test "what this kernel lacks: neither read nor written, the reason is in features and in the sentence" {
	local name rest
	ct_new a
	ct_start r command='sleep 1000'
	for name in anon_limit anon_only dirty_limit recharge_on_pgfault memory_lock_policy link_memory_writeback_blkio anon_limit_total anon_max_usage \
		max_rss dirty_limit_bound memory_guarantee pressurize_on_death memory_peak; do
		rest=$(sed -n "s/^$name: missing: //p" "$PORTO_ROOT/.porto/features")
		case $name in memory_guarantee | pressurize_on_death | memory_peak) [ -n "$rest" ] || continue ;; esac
		[ -n "$rest" ] || fail "features does not name $name"
		want_errno EOPNOTSUPP cat "$PORTO_ROOT/r/$name"
		want_error NotSupported cat "$PORTO_ROOT/r/$name"
		[ -w "$PORTO_ROOT/a/$name" ] || continue
		case $name in *total | *bound | max_rss) want_errno EACCES put "a/$name" 64M; continue ;; esac
		want_errno EOPNOTSUPP put "a/$name" 64M
		error_says a "$name: not supported: $rest"
		want_errno EOPNOTSUPP put "r/$name" 0
	done
	want_error NotSupported put a/spec $'command = sleep 1\nanon_limit = 64M'
	prop_is a spec ''
}

@test "memory_guarantee: protected in the kernel; totals; promised twice is refused at set and at start, and the old one stays" {
	ct_start a command='sleep 1000'
	ct_new b command='sleep 1000'
	need memory_guarantee b/memory_guarantee 1M
	local total bad
	total=$(($(awk '/^MemTotal/ { print $2 }' /proc/meminfo) * 1024))
	for bad in "${BAD_BYTES[@]}"; do
		refused a/memory_guarantee "$bad" InvalidValue 'bytes like'
	done
	want_errno ENOMEM put a/memory_guarantee "$total"
	want_error ResourceNotAvailable put a/memory_guarantee "$total"
	error_says a "memory_guarantee: $total: "
	prop_is a memory_guarantee 0
	prop_is a memory.low 0
	put b/memory_guarantee "$total"
	want_errno ENOMEM put b/state start
	want_error ResourceNotAvailable put b/state start
	prop_is b state stopped
	prop_is b memory_guarantee "$total"
	prop_is b memory_guarantee_total 0
	put b/memory_guarantee 0
	ct_start b
}

@test "hugetlb_limit: its own cgroup when asked, the kernel's file, and pages that are used" {
	ct_new a command='sleep 1000'
	need hugetlb a/hugetlb_limit 4M
	local bad file=hugetlb.2MB.max
	grep -q '^hugetlb: v2' "$PORTO_ROOT/.porto/features" || file=hugetlb.2MB.limit_in_bytes
	for bad in "${BAD_BYTES[@]}"; do
		refused a/hugetlb_limit "$bad" InvalidValue 'bytes like'
	done
	[[ $(prop a controllers) != *hugetlb* ]] || is_v2 || fail 'a hugetlb cgroup nobody asked for'
	put a/hugetlb_limit 4M
	prop_is a 'controllers[hugetlb]' true
	ct_start a
	prop_is a "$file" $((4 * M))
	prop_is a hugetlb_usage 0
	put a/hugetlb_limit 8M
	prop_is a "$file" $((8 * M))
	! is_v2 || return 0 # there everything on the first level has it
	ct_start b command='sleep 1000'
	want_errno EOPNOTSUPP put b/hugetlb_limit 4M
	want_errno ENODATA cat "$PORTO_ROOT/b/hugetlb_usage"
}

@test "hugetlb_usage: what is mapped counts; a limit below it is refused" {
	need hugetlb
	local overcommit=/sys/kernel/mm/hugepages/hugepages-2048kB/nr_overcommit_hugepages old
	old=$(cat "$overcommit") && echo $((old + 3)) >"$overcommit" || skip 'no huge pages to be had here'
	ct_start a command="$EAT huge 4M" hugetlb_limit=8M
	wait_for '[[ $(prop a stdout) == *ready ]] || [ "$(prop a state)" = dead ]'
	echo "$old" >"$overcommit"
	[ "$(prop a state)" = running ] || skip 'no huge pages to be had here'
	prop_is a hugetlb_usage $((4 * M))
	[ "$(prop . hugetlb_usage)" -ge $((4 * M)) ]
	want_errno EINVAL put a/hugetlb_limit 2M
	error_says a 'hugetlb_limit: 2097152: more is in use'
	prop_is a hugetlb_limit $((8 * M))
}

@test "memory.high: below the limit by 64 pages a core, and follows cpu_limit, the parent's too" {
	is_v2 || skip 'cgroup v1 has no high watermark'
	need cpu
	ct_start a command='sleep 1000' memory_limit=10M cpu_limit=1c
	prop_is a memory.high 10223616
	ct_start a/b command='sleep 1000' memory_limit=1M
	prop_is a/b memory.high 786432
	put a/memory_limit 0
	prop_is a memory.high max
	put a/memory_limit 64M
	prop_is a memory.high $((64 * M - 262144))
	put a/cpu_limit 0
	prop_is a memory.high $((64 * M - 262144 * $(nproc)))
	prop_is a/b memory.high 786432
	put a/cpu_limit 1c
	prop_is a memory.high $((64 * M - 262144))
}

@test "pressurize_on_death: the cache of a dead container goes first" {
	ct_new a command='sleep 1000' memory_limit=64M
	need pressurize_on_death a/pressurize_on_death true
	put a/pressurize_on_death true
	if is_v2; then
		local eater
		eater=$(cache_eater) || skip 'no disk to read from, and the work directory is on tmpfs'
		put a/command "$eater"
		ct_start a
		ready a
		[ "$(prop a cache_usage)" -gt $((20 * M)) ]
		put a/state 'kill 9'
		state_is a dead
		wait_for '[ "$(prop a cache_usage)" -lt $((4 * M)) ]'
	else
		ct_start a
		put a/state 'kill 9'
		state_is a dead
		prop_is a memory.soft_limit_in_bytes $M
		put a/state respawn
		[ "$(prop a memory.soft_limit_in_bytes)" -gt $((1 << 40)) ]
		ct_start m pressurize_on_death=true
		prop_is m memory.soft_limit_in_bytes $M
		ct_start m/x command='sleep 1000'
		[ "$(prop m memory.soft_limit_in_bytes)" -gt $((1 << 40)) ]
		put m/x/state stop
		prop_is m memory.soft_limit_in_bytes $M
	fi
}

@test "oom_score_adj: of the main process; below the daemon's own it needs what this host may lack, below 0 root" {
	local own
	ct_start a command='sleep 1000' oom_score_adj=500
	[ "$(cat "/proc/$(prop a root_pid)/oom_score_adj")" = 500 ]
	ct_start b command='sleep 1000'
	[ "$(cat "/proc/$(prop b root_pid)/oom_score_adj")" = 0 ]
	want_errno EBUSY put b/oom_score_adj 1
	own=$(cat "/proc/$(worker_pid)/oom_score_adj")
	ct_new c command='sleep 1000'
	if [ "$own" -gt -1000 ]; then
		want_errno EPERM put c/oom_score_adj -1000
		error_says c "oom_score_adj: -1000: below the daemon's own $own needs CAP_SYS_RESOURCE"
		prop_is c oom_score_adj 0
	else
		put c/oom_score_adj -500
		ct_start c
		[ "$(cat "/proc/$(prop c root_pid)/oom_score_adj")" = -500 ]
	fi
	as games ct_new d
	want_errno EPERM as games put d/oom_score_adj -1
	as games put d/oom_score_adj 1
}

@test "spec refused: what nobody had set is as it was in the kernel too, and running out of memory is still seen" {
	local file=memory.limit_in_bytes limit threads
	! is_v2 || file=memory.max
	ct_start a command='sleep 1000'
	limit=$(prop a $file)
	threads=$(prop a pids.max)
	want_errno EINVAL put a/spec $'thread_limit = 100\nmemory_limit = 64M\ncpu_period = 1x'
	prop_is a $file "$limit"
	prop_is a pids.max "$threads"
	ct_start a/b command='sleep 1000' controllers='memory;cpu'
	want_errno EINVAL put a/b/spec $'memory_limit = 64M\ncpu_period = 1x'
	limit_is a/b 0
	ct_start o memory_limit=64M
	want_errno EINVAL put o/spec $'memory_limit = 0\ncpu_period = 1x'
	limit_is o $((64 * M))
	ct_start o/k command="$EAT -c anon 100M"
	state_is o dead
	prop_is o oom_killed true
}

@test "memory_guarantee: those above protect as much as those below were promised, and no longer than they run" {
	ct_new a
	need memory_guarantee a/memory_guarantee 8M
	local root all=("${DAEMON[@]}")
	daemon_stop
	DAEMON+=(--set container.memory_guarantee_reserve=1M) # the machine may be a small one
	daemon_up
	root=$(prop / 'cgroups[memory]')
	ct_start p
	ct_start p/a command='sleep 1000' memory_guarantee=8M
	ct_start p/b command='sleep 1000' memory_guarantee=4M
	prop_is p/a memory.low $((8 * M))
	prop_is p memory.low $((12 * M))
	[ "$(<"$root/memory.low")" = $((12 * M)) ]
	# its own tasks have a memory cgroup to themselves as soon as a child has one
	ct_start p/a/k command='sleep 1000' controllers=memory
	[ "$(<"$root/p/a/+leaf/memory.low")" = $((8 * M)) ]
	ct_destroy p/a/k
	put p/a/memory_guarantee 16M
	prop_is p memory.low $((20 * M))
	want_errno EINVAL put p/a/spec $'memory_guarantee = 32M\nmemory_limit = 1x'
	prop_is p memory.low $((20 * M))
	put p/a/state stop
	prop_is p memory.low $((4 * M))
	[ "$(<"$root/memory.low")" = $((4 * M)) ]
	ct_destroy p/b
	prop_is p memory.low 0
	daemon_stop
	DAEMON=("${all[@]}")
	daemon_up
}

@test "first level: limits that nobody set follow the configuration of the daemon that runs" {
	local all=("${DAEMON[@]}") total
	total=$(($(awk '/^MemTotal/ { print $2 }' /proc/meminfo) * 1024))
	ct_start a command='sleep 1000'
	ct_start b command='sleep 1000' thread_limit=50 memory_limit=64M
	daemon_stop
	DAEMON+=(--set container.default_thread_limit=77 --set container.memory_limit_margin=256M)
	daemon_up
	prop_is a pids.max 77
	prop_is a thread_limit 77
	limit_is a $((total - 256 * M))
	prop_is b pids.max 50
	limit_is b $((64 * M))
	daemon_stop
	DAEMON=("${all[@]}")
	daemon_up
	prop_is a pids.max "$(prop a thread_limit)"
	limit_is a "$(prop a memory_limit)"
}
