#!/usr/bin/env bats
# What one client, a user without rights or a container's owner, may not do to all others: make the daemon wait, fill what is
# shared, fill its memory.
#
# shellcheck disable=SC2016 # shells in containers, conditions of wait_for

bats_require_minimum_version 1.5.0
load helpers

teardown() {
	destroy_all
}

# Nothing of the loop has stood still: the watchdog has found no worker hanging, and none was replaced.
same_worker() {
	[ "$(worker_pid)" = "$1" ] || fail "the worker was replaced: $(tail -n 20 "$DAEMON_LOG")"
}

@test "output that goes to a file of our own mount, of FUSE or of proc is not read by the daemon, whoever asks" {
	local worker path
	worker=$(worker_pid)
	as games ct_new g command='true'
	for path in "$PORTO_ROOT/g/private" "$PORTO_ROOT/g/./../g/private" "//$PORTO_ROOT//g/private"; do
		as games put g/stdout_path "$path"
		as games put g/state start
		prop_is g wait dead
		want_errno ENODATA outsider daemon timeout 20 cat "$PORTO_ROOT/g/stdout"
		[[ $(cat "$PORTO_ROOT/g/stdout" 2>&1) != *hello* ]]
		outsider daemon timeout 20 cat "$PORTO_ROOT/.porto/version"
		as games put g/state stop
	done
	ct_run p command=true stdout_path=/proc/self/fdinfo/1
	want_errno ENODATA prop p stdout
	error_says 'file system of type proc'
	same_worker "$worker"
}
