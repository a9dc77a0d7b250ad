#!/usr/bin/env bats
# How many processes and threads there are and may be.
#
# shellcheck disable=SC2016 # meant for wait_for and shells in containers

bats_require_minimum_version 1.5.0
load helpers

teardown() {
	destroy_all
}

pids_max() {
	cat "$(prop "$1" 'cgroups[pids]')/pids.max"
}

@test "process_count, thread_count: of the subtree, with each container's helper" {
	ct_start a 'command=sh -c "sleep 1000 & exec sleep 1000"'
	wait_for '[ "$(prop a process_count)" = 3 ]'
	prop_is a thread_count 3
	ct_start a/b 'command=sleep 1000'
	ct_start a/b/c 'command=sleep 1000'
	wait_for '[ "$(prop a/b/c process_count)" = 2 ]'
	prop_is a/b process_count 4
	prop_is a/b thread_count 4
	prop_is a process_count 7
	prop_is a thread_count 7
	put a/b/state stop
	prop_is a process_count 3
	want_errno ENODATA prop a/b process_count
	# of the host, where others come and go between the two reads
	[ "$(cat "$PORTO_ROOT/thread_count")" -ge $(($(cat "$PORTO_ROOT/process_count") - 20)) ]
}

@test "thread_count: threads of one process" {
	command -v python3 >/dev/null || skip 'no python3'
	ct_start a $'command_argv=python3\t-c\timport threading,time\n[threading.Thread(target=time.sleep,args=(1000,)).start() for i in range(5)]'
	wait_for '[ "$(prop a thread_count)" = 7 ]'
	prop_is a process_count 2
	ct_start a/b $'command_argv=python3\t-c\timport threading,time\n[threading.Thread(target=time.sleep,args=(1000,)).start() for i in range(3)]'
	wait_for '[ "$(prop a/b thread_count)" = 5 ]'
	ct_start a/j virt_mode=job $'command_argv=python3\t-c\timport threading,time\n[threading.Thread(target=time.sleep,args=(1000,)).start() for i in range(2)]'
	wait_for '[ "$(prop a/j thread_count)" = 3 ]'
	prop_is a/j process_count 1
}

@test "process_count of a job: what is in its session; the parent counts it too" {
	ct_start a 'command=sleep 1000'
	ct_start a/j 'command=sh -c "sleep 1000 & sleep 1000 & wait"' virt_mode=job
	ct_start a/k 'command=sleep 1000' virt_mode=job
	wait_for '[ "$(prop a/j process_count)" = 3 ]'
	prop_is a/j thread_count 3
	prop_is a/k process_count 1
	prop_is a process_count 6
}

@test "process_count: as many in metrics and stat as there are, also when the kernel's list takes more than a page" {
	local n
	ct_start a $'command_argv=sh\t-c\ti=0; while [ $i -lt 1100 ]; do sleep 1000 & i=$((i+1)); done; wait'
	wait_for '[ "$(prop a process_count)" = 1102 ]' 60
	for n in 1 2; do # the second time by descriptors that stayed open
		grep -qx 'porto_processes{container="a"} 1102' "$PORTO_ROOT/.porto/metrics" ||
			fail "look $n: $(grep '^porto_processes{' "$PORTO_ROOT/.porto/metrics")"
		grep -qx 'process_count 1102' "$PORTO_ROOT/a/stat"
	done
}

@test "thread_limit: 10000 on the first level, nothing below, and what is written goes to the kernel" {
	need pids a/thread_limit 5
	ct_start a 'command=sleep 1000'
	prop_is a thread_limit 10000
	[ "$(pids_max a)" = 10000 ]
	ct_start a/b 'command=sleep 1000'
	prop_is a/b thread_limit ''
	put a/thread_limit 2K
	prop_is a thread_limit 2048
	[ "$(pids_max a)" = 2048 ]
	put a/thread_limit 0
	prop_is a thread_limit 0
	[ "$(pids_max a)" = max ]
	ct_start a/c 'command=sleep 1000' thread_limit=7
	[ "$(pids_max a/c)" = 7 ]
}

@test "thread_limit: bad values leave the old one, in the kernel too" {
	local bad
	need pids a/thread_limit 5
	ct_start a 'command=sleep 1000' thread_limit=50
	for bad in -1 -5 4194305 5G 18446744073709551615 18446744073709551616 99999999999999999999999 nan inf 1e5 0x10 5X '5 5' ten; do
		want_errno EINVAL put a/thread_limit "$bad" || want_errno ERANGE put a/thread_limit "$bad"
		error_says a "thread_limit: '$bad': "
		prop_is a thread_limit 50
		[ "$(pids_max a)" = 50 ]
	done
}

@test "thread_limit: a fork beyond it fails, in children too; raised, it goes on" {
	need pids a/thread_limit 5
	ct_start a thread_limit=12 'command=sleep 1000'
	# bash tries a fork that failed again and again, for some seconds
	ct_start a/b 'command=bash -c "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do sleep 1000 & done; wait"' stderr_path=/dev/null
	wait_for '[ "$(prop a thread_count)" = 12 ]'
	wait_for 'grep -q "^max [1-9]" "$(prop a "cgroups[pids]")/pids.events"'
	[ "$(prop a thread_count)" = 12 ]
	put a/thread_limit 100
	wait_for '[ "$(prop a/b thread_count)" = 17 ]' 20
	prop_is a thread_count 19
}

@test "a fork bomb stays within thread_limit, the daemon answers meanwhile, and the container goes with all of it" {
	local n start
	need pids a/thread_limit 5
	ct_start bomb thread_limit=500 'command=bash -c "b() { b | b & b; }; b"' stdout_path=/dev/null stderr_path=/dev/null
	ct_start calm 'command=sleep 1000'
	wait_for '[ "$(prop bomb thread_count)" -ge 400 ]' 30
	for n in {1..10}; do
		[ "$(prop bomb thread_count)" -le 500 ] || fail "look $n: $(prop bomb thread_count) threads"
		prop_is calm state running
	done
	start=$EPOCHREALTIME
	ct_destroy bomb
	awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "# destroyed in %.0f ms\n", (b - a) * 1000 }' >&3
	[ -z "$(cat "$PORTO_ROOT/.porto/destroying")" ]
	no_leaks
	ct_new bomb
}
