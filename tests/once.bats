#!/usr/bin/env bats
# What a client asked for is done once, whatever moment the worker dies in: the request comes again, and is known.
# strace holds the worker right after a chosen system call, where it is killed, or lets that call fail.
# Not in the guest, which is slow (`make check-vm` runs it there): records are the same on every kernel.
#
# shellcheck disable=SC2016 # conditions of wait_for, shells in containers

bats_require_minimum_version 1.5.0
load helpers

setup_file() {
	test_begin
}

setup() {
	command -v strace >/dev/null || skip 'no strace'
}

teardown() {
	[ -z "${tracer:-}" ] || { kill "$tracer"; wait "$tracer"; } 2>/dev/null || :
	kill -CONT "$(supervisor_pid)"
	destroy_all
	no_crashes
}

# inject CALL:WHAT: the worker of now, from its next CALL on.
inject() {
	local log=$BATS_TEST_TMPDIR/strace
	rm -f "$log"
	strace -f -qq -o "$log" -p "$(worker_pid)" -e "trace=${1%%:*}" -e "inject=$1" 2>"$log.said" 3>&- 4>&- &
	tracer=$!
	wait_for 'grep -q "^TracerPid:.[1-9]" /proc/$(worker_pid)/status'
}

inject_ends() {
	kill "$tracer" 2>/dev/null || :
	wait "$tracer" 2>/dev/null || :
	tracer=
}

# as_asked CALL[:when=N] FILE VALUE: written, and answered, though the worker dies right after the Nth CALL.
as_asked() {
	local before rc=$BATS_TEST_TMPDIR/rc
	before=$(worker_pid)
	inject "${1/:/:delay_exit=30000000:}$([[ $1 == *:* ]] || echo :delay_exit=30000000)"
	rm -f "$rc"
	setsid -f bash -c 'echo "$2" >"$1"; echo $? >"$3"' - "$PORTO_ROOT/$2" "$3" "$rc" >/dev/null 2>"$rc.said" 3>&- 4>&- </dev/null
	sleep 1
	[ ! -e "$rc" ] || fail 'answered before the worker was killed'
	kill -9 "$before"
	kill -9 "$tracer" # which else holds it for the rest of the delay
	wait_for "[ \"\$(worker_pid)\" != $before ]"
	inject_ends
	wait_for "[ -s $rc ]" 20 # not -e: it is made before it is written
	[ "$(<"$rc")" = 0 ] || fail "$2: $3: $(<"$rc.said")"
}

@test "kill: a signal is sent once" {
	ct_start a command='sh -c "trap \"echo got it\" USR1; echo ready; while :; do sleep 0.1; done"'
	wait_for '[ "$(prop a stdout)" = ready ]'
	as_asked pidfd_send_signal a/state 'kill USR1'
	wait_for '[[ $(prop a stdout) == *"got it" ]]'
	sleep 0.5
	[ "$(prop a stdout | grep -c 'got it')" = 1 ]
}

@test "restart: a worker that dies between the stop and the start leaves a container that runs" {
	local pid when
	for when in 1 2 3; do
		ct_start a command='sleep 1000'
		pid=$(prop a root_pid)
		as_asked "renameat:when=$when" a/state 'restart 0'
		prop_is a state running
		[ "$(prop a root_pid)" != "$pid" ] || fail "when $when: nothing was restarted"
		ct_destroy a
	done
}

@test "respawn: one that was done is not refused when it is asked for again" {
	ct_run b command='sh -c "exit 3"'
	as_asked renameat b/state respawn
	prop_is b wait dead
	prop_is b exit_code 3
	prop_is b respawn_count 1
}

@test "destroy written to state: done, though the container is not there any more when it is asked for again" {
	ct_start a command='sleep 1000'
	as_asked renameat a/state destroy
	[ ! -e "$PORTO_ROOT/a" ]
	wait_for '[ -z "$(cat "$PORTO_ROOT/.porto/leaks")" ]'
}

@test "pause and resume: what can't be saved has not happened" {
	ct_start a command='sh -c "while :; do date +%N; sleep 0.05; done"'
	inject renameat:error=ENOSPC:when=1
	want_errno ENOSPC put a/state pause
	inject_ends
	prop_is a state running
	local offset
	offset=$(stat -c %s "$PORTO_ROOT/a/stdout")
	wait_for "[ \$(stat -c %s \$PORTO_ROOT/a/stdout) -gt $offset ]"
	put a/state pause
	inject renameat:error=ENOSPC:when=1
	want_errno ENOSPC put a/state resume
	inject_ends
	prop_is a state paused
	kill_worker
	prop_is a state paused
	put a/state resume
	prop_is a state running
}

@test "the status of a job is exact though the supervisor needs its time" {
	ct_start p
	ct_start p/j virt_mode=job command='sh -c "sleep 0.2; exit 7"'
	kill -STOP "$(supervisor_pid)"
	sleep 1.5
	kill -CONT "$(supervisor_pid)"
	prop_is p/j wait dead
	prop_is p/j exit_code 7
}
