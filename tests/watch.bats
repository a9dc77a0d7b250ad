#!/usr/bin/env bats
# Counters of one container and of all, and files that wake poll(2).
#
# shellcheck disable=SC2016 # meant for wait_for and shells in containers

bats_require_minimum_version 1.5.0
# shellcheck disable=SC2034 # read by helpers
PORTOD_OPTIONS=(container.pressure_stall=20ms container.pressure_window=500ms)
load helpers

teardown() {
	[ -z "${poller:-}" ] || kill "$poller" 2>/dev/null || :
	[ -z "${tracer:-}" ] || kill -9 "$tracer" 2>/dev/null || :
	destroy_all
}

metrics() {
	cat "$PORTO_ROOT/.porto/metrics"
}

# sample 'NAME{LABELS}': its value, nothing if there is none.
sample() {
	metrics | awk -v want="$1" '$1 == want { print $2 }'
}

# ---- counters ----

@test "stat: every counter as its own file gives it" {
	ct_start a 'command=sh -c "echo; exec sleep 1000"'
	wait_for '[ "$(prop a stdout)" = "" ]'
	put a/state pause
	local line
	prop a stat >"$TEST_DIR/stat"
	[ "$(wc -l <"$TEST_DIR/stat")" -ge 4 ]
	while read -r line; do
		[[ ${line%% *} != @(cpu_usage*|*_count|oom_*) ]] || [ "$(prop a "${line%% *}")" = "${line#* }" ] ||
			fail "stat: $line, but the file says $(prop a "${line%% *}")"
	done <"$TEST_DIR/stat"
	grep -q '^process_count 2$' "$TEST_DIR/stat"
	grep -q '^thread_count 2$' "$TEST_DIR/stat"
	grep -q '^process_count [1-9]' "$PORTO_ROOT/stat"
}

@test "stat: a stopped container has what outlives a start, and no error" {
	ct_new a
	prop a stat >"$TEST_DIR/stat"
	grep -q '^oom_kills 0$' "$TEST_DIR/stat"
	run ! grep '^cpu_usage' "$TEST_DIR/stat"
}

# kernel_files FILE: reads it while strace looks, and prints `opened NAME` and `read PATH` of the cgroup files that the worker takes.
# Not what it looked for and is not there, as on v2 the file of a leaf without the controller.
kernel_files() {
	local log=$BATS_TEST_TMPDIR/strace
	strace -f -qq -y -o "$log" -e trace=openat,read,pread64 -p "$(worker_pid)" 2>"$log.said" 3>&- 4>&- &
	tracer=$!
	# its own attaching is seen in TracerPid
	wait_for '! grep -q "^TracerPid:[[:space:]]*0$" "/proc/$(worker_pid)/status"' || { cat "$log.said" >&2; return 1; }
	cat "$PORTO_ROOT/$1" >/dev/null
	# one signal may come between strace's look for it and its sleep, and what it traces may be idle
	wait_for '! kill -INT "$tracer"' || { kill -9 "$tracer"; return 1; }
	tracer=
	sed -nE "s#.*openat\([^,]*/${TEST_CGROUP}[^,]*, \"([^\"]*)\".* = [0-9].*#opened \1#p; s#.*(read|pread64)\([0-9]+<([^>]*/${TEST_CGROUP}/[^>]*)>.*#read \2#p" "$log"
}

@test "stat: each file of the cgroup is read once, and by descriptors that stay open; nobody reads when nobody asks" {
	command -v strace >/dev/null || skip 'no strace'
	ct_start a 'command=sleep 1000'
	[ -e "$(prop a 'cgroups[freezer]')/cgroup.events" ] || skip 'without cgroup v2 the lists of processes are read by path'
	prop a stat >/dev/null
	kernel_files a/stat >"$TEST_DIR/files"
	grep -q '^read .*/cpu\.stat$' "$TEST_DIR/files"
	grep -q '^read .*/cgroup\.procs$' "$TEST_DIR/files"
	[ -z "$(sort "$TEST_DIR/files" | uniq -d)" ] || fail "more than once: $(sort "$TEST_DIR/files" | uniq -d)"
	! grep -q ^opened "$TEST_DIR/files" || fail "$(grep ^opened "$TEST_DIR/files")"
	kernel_files a/thread_limit >"$TEST_DIR/files"
	[ ! -s "$TEST_DIR/files" ] || fail "read for a property that is no counter: $(cat "$TEST_DIR/files")"
}

@test "metrics: promtool check metrics finds no fault" {
	command -v promtool >/dev/null || skip 'no promtool: package prometheus'
	ct_start a 'command=sleep 1000'
	ct_start a/b.c:d@e-f_g 'command=sleep 1000'
	ct_new c
	metrics >"$TEST_DIR/metrics"
	run promtool check metrics <"$TEST_DIR/metrics"
	[ "$status" -eq 0 ] || fail "$output"
	[ -z "$output" ] || fail "$output"
}

@test "metrics[openmetrics]: a strict OpenMetrics parser finds the same families, typed, with units" {
	/usr/bin/python3 -c 'import prometheus_client.openmetrics.parser' 2>/dev/null || skip 'no python3-prometheus-client'
	ct_start a 'command=sleep 1000'
	ct_new c
	/usr/bin/python3 - "$PORTO_ROOT/.porto/metrics[openmetrics]" >"$TEST_DIR/families" <<-'E'
		import sys
		from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
		for f in parse(open(sys.argv[1]).read()):
		    for s in f.samples:
		        print(f.type, f.unit or "-", s.name, s.labels.get("container", "-"))
	E
	grep -qx 'counter seconds porto_cpu_usage_seconds_total a' "$TEST_DIR/families"
	grep -qx 'gauge bytes porto_memory_usage_bytes a' "$TEST_DIR/families" || need memory
	grep -qx 'gauge - porto_processes a' "$TEST_DIR/families"
	grep -qx 'counter - porto_oom_kills_total c' "$TEST_DIR/families"
	grep -qx 'gauge - porto_containers -' "$TEST_DIR/families"
	[ "$(sed '/^#/d; s/ .*//' "$PORTO_ROOT/.porto/metrics[openmetrics]")" = "$(metrics | sed '/^#/d; s/ .*//')" ]
	[ "$(tail -n 1 "$PORTO_ROOT/.porto/metrics[openmetrics]")" = '# EOF' ]
	want_errno EINVAL cat "$PORTO_ROOT/.porto/metrics[json]"
	error_says 'metrics?json?: expected text or openmetrics'
}

@test "metrics: every counter that stat has is there, under the name that porto(7) gives" {
	local name metric
	ct_start a 'command=sleep 1000'
	metrics >"$TEST_DIR/metrics"
	"$PORTOD" help-properties man | awk '$1 == ".B" { name = $2 } match($0, /; metric [a-z_]+/) {
		print name, substr($0, RSTART + 9, RLENGTH - 9) }' >"$TEST_DIR/names"
	for name in $(prop a stat | cut -d' ' -f1); do
		[[ $name != *'[hw]' ]] || continue # the sum of the others
		metric=$(sed -n "s/^${name%%[*} //p" "$TEST_DIR/names")
		[ -n "$metric" ] || fail "$name: no metric in porto(7)"
		grep -q "^$metric{container=\"a\"" "$TEST_DIR/metrics" || [[ -z $(prop a "$name" | tr -dc ':0-9') ]] ||
			fail "$name: no sample $metric"
		grep -q "^# TYPE $metric " "$TEST_DIR/metrics"
		grep -q "^# HELP $metric ..." "$TEST_DIR/metrics"
	done
}

@test "metrics: seconds and bytes, with every digit" {
	local nsec
	ct_start a 'command=sh -c "while :; do :; done"'
	wait_for '[ "$(prop a cpu_usage)" -gt 50000000 ]'
	put a/state pause
	nsec=$(prop a cpu_usage)
	[ "$(sample 'porto_cpu_usage_seconds_total{container="a"}')" = "$(printf '%d.%09d' $((nsec / 1000000000)) $((nsec % 1000000000)))" ]
	[ "$(sample 'porto_processes{container="a"}')" = 2 ]
}

@test "metrics: a container without a value has no sample; all are counted" {
	ct_new a
	[ -z "$(sample 'porto_cpu_usage_seconds_total{container="a"}')" ]
	[ "$(sample 'porto_oom_kills_total{container="a"}')" = 0 ]
	[ "$(sample porto_containers)" = 1 ]
	mkdir "$PORTO_ROOT/a/b"
	[ "$(sample porto_containers)" = 2 ]
}

@test "metrics: the answer grows by as much with each container" {
	local i sizes=()
	for i in 1 2 3 4; do
		ct_new "c$i"
		sizes+=("$(metrics | wc -c)")
	done
	[ $((sizes[1] - sizes[0])) -eq $((sizes[3] - sizes[2])) ]
}

# ---- poll(2) ----

# polled FILE TIMES MSEC: in the background, its lines in $TEST_DIR/polls.
polled() {
	: >"$TEST_DIR/polls"
	"$BUILD/polls" "$PORTO_ROOT/$1" "$2" "$3" >>"$TEST_DIR/polls" 2>&1 3>&- &
	poller=$!
	wait_for 'grep -q ^reading "$TEST_DIR/polls"'
}

# armed FILE: how often the worker has it open.
armed() {
	find "/proc/$(worker_pid)/fd" -lname "*/$TEST_CGROUP/$1" | wc -l
}

need_psi() {
	need pressure
	[ -e "$(prop "$1" 'cgroups[freezer]')/cpu.pressure" ] || skip 'no cgroup v2 here, so no pressure of cgroups'
}

spin='command=sh -c "for i in 1 2 3 4 5 6 7 8; do (while :; do :; done) & done; wait"'

@test "poll: state wakes on each change" {
	ct_new a command='sleep 1000'
	polled a/state 2 20000
	put a/state start
	wait_for 'grep -q "^changed \(starting\|running\)" "$TEST_DIR/polls"'
	put a/state stop
	wait_for '[ "$(grep -c ^changed "$TEST_DIR/polls")" -ge 2 ]'
}

@test "poll: cgroup.events wakes when the container is frozen, and when it has ended" {
	ct_start a 'command=sleep 1000'
	[ -e "$(prop a 'cgroups[freezer]')/cgroup.events" ] || skip 'no cgroup v2 here'
	polled a/cgroup.events 3 20000
	wait_for '[ "$(armed "*/a/cgroup.events")" = 1 ] || [ "$(armed a/cgroup.events)" = 1 ]'
	put a/state pause
	wait_for 'grep -q ^changed "$TEST_DIR/polls"'
	put a/state resume
	put a/state stop
	wait_for '[ "$(grep -c ^changed "$TEST_DIR/polls")" -ge 2 ]'
}

@test "poll: memory.events wakes when a limit is hit" {
	ct_start a 'command=sleep 1000' memory_limit=16M
	[ -e "$(prop a 'cgroups[memory]')/memory.events" ] || skip 'the memory controller is not on v2 here'
	polled a/memory.events 1 30000
	ct_start a/b 'command=dd if=/dev/zero of=/dev/null bs=64M count=1'
	wait_for 'grep -q ^changed "$TEST_DIR/polls"' 30
}

@test "poll: cpu.pressure wakes under load, also after the worker was killed; it is armed while it is polled and no longer" {
	ct_start a 'command=sleep 1000'
	need_psi a
	[ "$(armed a/cpu.pressure)" = 0 ]
	polled a/cpu.pressure 1000 60000
	wait_for '[ "$(armed a/cpu.pressure)" = 1 ]'
	"$BUILD/polls" "$PORTO_ROOT/a/cpu.pressure" 1 50 >/dev/null
	[ "$(armed a/cpu.pressure)" = 1 ]
	kill_worker
	wait_for '[ "$(armed a/cpu.pressure)" = 1 ]'
	ct_start a/b "$spin"
	wait_for '[ "$(grep -c "^changed some" "$TEST_DIR/polls")" -ge 2 ]' 30
	kill "$poller"
	wait_for '[ "$(armed a/cpu.pressure)" = 0 ]'
}

@test "poll: a file that is polled follows the container through its lives" {
	ct_start b 'command=sleep 1000'
	need_psi b
	polled b/cpu.pressure 1000 60000
	put b/state stop
	wait_for '[ "$(armed b/cpu.pressure)" = 0 ]'
	put b/state start
	wait_for '[ "$(armed b/cpu.pressure)" = 1 ]'
	ct_destroy b
	[ "$(armed 'b/cpu.pressure*')" = 0 ]
}

@test "poll: other files are always ready and never changed" {
	ct_start a 'command=sleep 1000'
	run "$BUILD/polls" "$PORTO_ROOT/a/cpu_usage" 1 50
	[[ ${lines[1]} == ready* ]] || [[ ${lines[1]} == timeout* ]] || fail "$output"
}

@test "pressure: the host's is its own, a container's its cgroup's" {
	need pressure
	[[ $(cat "$PORTO_ROOT/cpu.pressure") == 'some avg10='* ]]
	ct_start a 'command=sleep 1000'
	need_psi a
	[[ $(prop a cpu.pressure) == 'some avg10='* ]]
	[[ $(prop a memory.pressure) == 'some avg10='* ]]
	want_errno EINVAL cat "$PORTO_ROOT/memory.events"
}
