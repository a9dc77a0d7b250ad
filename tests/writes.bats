#!/usr/bin/env bats
# Requests that wait and their signals, values that come in pieces, and whose sentence `error` holds.
# Not in the guest, which is slow (`make check-vm` runs it there): the same requests as everywhere.
#
# shellcheck disable=SC2016 # meant for shells in containers and for wait_for

bats_require_minimum_version 1.5.0
load helpers

teardown() {
	destroy_all
}

# A shell that gets a SIGCHLD with a handler every 10 ms while it reads or writes.
restless() {
	bash -c 'trap : CHLD
		(for ((i = 0; i < 40; i++)); do sleep 0.01; kill -CHLD $$ 2>/dev/null; done) & '"$1" bash "${@:2}"
}

@test "a write that waits outlives SIGCHLD and SIGWINCH" {
	ct_start a 'command=sh -c "trap : TERM; while :; do sleep 0.1; done"'
	run restless 'kill -WINCH $$; echo "stop 0.6" >"$1"' "$PORTO_ROOT/a/state"
	[ "$status" -eq 0 ] || fail "$output"
	prop_is a state stopped
}

@test "a read that waits outlives SIGCHLD" {
	ct_start a 'command=sleep 0.6'
	run restless 'read -r state <"$1" && echo "$state"' "$PORTO_ROOT/a/wait"
	[ "$output" = dead ] || fail "$output"
}

@test "a request that waits ends with SIGINT, SIGTERM and SIGKILL, also after a SIGCHLD and a new worker" {
	local sig pid
	ct_start a 'command=sleep 1000'
	for sig in INT TERM KILL; do
		env --default-signal=INT bash -c 'trap : CHLD; read -r x <"$1"' bash "$PORTO_ROOT/a/wait" 3>&- &
		pid=$!
		wait_for "grep -q fuse /proc/$pid/wchan || grep -q request_wait_answer /proc/$pid/stack"
		kill -CHLD "$pid"
		[ "$sig" != TERM ] || kill_worker
		sleep 0.1
		kill -0 "$pid" || fail "SIGCHLD ended it"
		kill -"$sig" "$pid"
		wait_for "! kill -0 $pid" 5
		wait "$pid" || :
	done
	prop_is a state running
}

@test "a process that waits for us can be frozen: pause doesn't hang" {
	ct_start a 'command=sleep 1000'
	ct_start b "command=cat $PORTO_ROOT/a/wait" isolate=false
	wait_for 'grep -q "^cat" /proc/$(prop b root_pid)/comm'
	sleep 0.1
	put b/state pause
	prop_is b state paused
	put b/state resume
}

@test "a value in pieces: all of it or nothing, whatever piece is bad" {
	ct_new a private=old
	run bash -c 'printf "private = new\ncpu_limit = bad\n" >"$1"' bash "$PORTO_ROOT/a/spec"
	[ "$status" -ne 0 ]
	error_says a "spec: line 2: cpu_limit: 'bad'"
	prop_is a private old
	[ "$(prop a spec)" = 'private = old' ]
	run bash -c 'printf "private = new\nrespawn = true\nmax_respawns = 3\nno equals\n" >"$1"' bash "$PORTO_ROOT/a/spec"
	[ "$status" -ne 0 ]
	[ "$(prop a spec)" = 'private = old' ]
	daemon_restart
	[ "$(prop a spec)" = 'private = old' ]
	printf 'private = new\nrespawn = true\nmax_respawns = 3\n' >"$PORTO_ROOT/a/spec"
	[ "$(prop a spec)" = $'max_respawns = 3\nprivate = new\nrespawn = true' ]
}

@test "a value in pieces, refused: what somebody else has set meanwhile stays" {
	ct_new a private=old
	run bash -c 'exec 5>"$1/spec"; echo "private = new" >&5; echo other >"$1/private"; echo bad >&5' bash "$PORTO_ROOT/a"
	[ "$status" -ne 0 ]
	prop_is a private other
}

@test "a value in pieces, refused while running: limits go back in the kernel too" {
	need pids
	ct_start a 'command=sleep 1000' thread_limit=50
	run bash -c 'printf "thread_limit = 60\ncommand = true\n" >"$1"' bash "$PORTO_ROOT/a/spec"
	[ "$status" -ne 0 ]
	prop_is a thread_limit 50
	prop_is a pids.max 50
}

@test "a read that fails leaves the reason of a refused write in the container's error" {
	ct_new a
	run put a/cpu_limit bogus
	local before
	before=$(prop a error)
	[[ $before == '7 InvalidValue:(cpu_limit: '* ]]
	cat "$PORTO_ROOT"/a/* &>/dev/null || :
	[ "$(prop a error)" = "$before" ] || fail "$(prop a error)"
	run ! cat "$PORTO_ROOT/a/exit_code"
	error_says '8 InvalidState:(exit_code: '
	[ "$(prop a error)" = "$before" ]
}

@test ".porto/error: a shell sees its own refusal whatever others of its user do" {
	ct_new a
	run bash -c '! echo bogus >"$1/a/cpu_limit" || exit 9
		bash -c "! echo x >\$1/a/umask" bash "$1"
		read -r line <"$1/.porto/error"; echo "$line"' bash "$PORTO_ROOT"
	[[ ${lines[-1]} == "7 InvalidValue:(cpu_limit: "* ]] || fail "$output"
	error_says 'InvalidValue:(umask: '
}

@test "wait: who waits for a container that is destroyed hears so" {
	local pid
	ct_start a 'command=sleep 1000'
	ct_start b 'command=sleep 1000'
	bash -c 'cat "$1/a/wait" || cat "$1/.porto/error"' bash "$PORTO_ROOT" >"$BATS_TEST_TMPDIR/one" 2>&1 3>&- &
	pid=$!
	bash -c 'read -r x <"$1/.porto/wait[b;a]" || read -r x <"$1/.porto/error"; echo "$x"' bash "$PORTO_ROOT" >"$BATS_TEST_TMPDIR/any" 2>&1 3>&- &
	bash -c 'cat "$1/.porto/wait[*]"' bash "$PORTO_ROOT" >"$BATS_TEST_TMPDIR/mask" 2>&1 3>&- &
	sleep 0.3
	rmdir "$PORTO_ROOT/a"
	wait "$pid"
	grep 'No such file' "$BATS_TEST_TMPDIR/one"
	wait_for 'grep "4 ContainerDoesNotExist:(container a was destroyed)" "$BATS_TEST_TMPDIR/any"'
	[ ! -s "$BATS_TEST_TMPDIR/mask" ]
	put b/state stop
	wait_for '[ "$(cat "$BATS_TEST_TMPDIR/mask")" = b ]'
	run "$PORTOCTL" wait b
	[ "$output" = b ]
}

@test "wait[self]: the caller's container" {
	# What is stopped is not waited for, so the command may only ask when a/b has been started.
	ct_new a "command=sh -c 'while grep -q stopped $PORTO_ROOT/a/b/state; do sleep 0.02; done
		exec sed -n 1p $PORTO_ROOT/.porto/wait[self%b]'"
	ct_start a/b 'command=sleep 1000'
	put a/b/state kill
	[ "$(prop a wait)" = dead ]
	prop_is a stdout a/b
}
