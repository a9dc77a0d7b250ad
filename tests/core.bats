#!/usr/bin/env bats
# Containers made, run, watched and removed with mkdir, echo, cat and rmdir alone; and a daemon that dies under them.
#
# shellcheck disable=SC2016 # meant for shells in containers and for wait_for

bats_require_minimum_version 1.5.0
load helpers

teardown() {
	destroy_all
}

# write_to FILE TEXT: one write; the errno's message is in $output when refused.
write_to() {
	run bash -c 'printf "%s\n" "$2" >"$1"' - "$PORTO_ROOT/$1" "$2"
}

make_ct() {
	mkdir "$PORTO_ROOT/$1"
	echo "$2" >"$PORTO_ROOT/$1/command"
}

@test "a command runs, is paused, resumed and stopped; its files tell" {
	make_ct a 'sleep 1000'
	echo 1.5c >"$PORTO_ROOT/a/cpu_limit"
	echo start >"$PORTO_ROOT/a/state"
	[ "$(<"$PORTO_ROOT/a/state")" = running ]
	[ "$(<"$PORTO_ROOT/a/cpu_usage")" -ge 0 ]
	[ "$(<"$PORTO_ROOT/a/process_count")" = 2 ]
	grep -q '^sleep' "/proc/$(<"$PORTO_ROOT/a/root_pid")/comm"
	echo pause >"$PORTO_ROOT/a/state"
	[ "$(<"$PORTO_ROOT/a/state")" = paused ]
	echo resume >"$PORTO_ROOT/a/state"
	[ "$(<"$PORTO_ROOT/a/state")" = running ]
	echo stop >"$PORTO_ROOT/a/state"
	[ "$(<"$PORTO_ROOT/a/state")" = stopped ]
	rmdir "$PORTO_ROOT/a"
	[ ! -e "$PORTO_ROOT/a" ]
}

@test "exit codes are exact: 42, 130, a signal, a child's, out of memory" {
	make_ct a 'sh -c "exit 130"'
	echo start >"$PORTO_ROOT/a/state"
	[ "$(<"$PORTO_ROOT/a/wait")" = dead ]
	[ "$(<"$PORTO_ROOT/a/exit_code")" = 130 ]
	make_ct b 'sh -c "kill -2 $$"'
	make_ct c 'sleep 1000'
	make_ct c/d 'sh -c "exit 42"'
	echo start >"$PORTO_ROOT/c/d/state" # its stopped parent is started too
	[ "$(<"$PORTO_ROOT/c/d/wait")" = dead ]
	[ "$(<"$PORTO_ROOT/c/d/exit_code")" = 42 ]
	[ "$(<"$PORTO_ROOT/c/state")" = running ]
	make_ct o 'sh -c "head -c 100M /dev/zero | tail; exit 1"'
	echo 16M >"$PORTO_ROOT/o/memory_limit"
	echo start >"$PORTO_ROOT/o/state"
	[ "$(<"$PORTO_ROOT/o/wait")" = dead ]
	[ "$(<"$PORTO_ROOT/o/exit_code")" = -99 ]
}

@test "the death of a container is the death of what is below it" {
	make_ct a 'sleep 1000'
	make_ct a/b 'sleep 1000'
	echo start >"$PORTO_ROOT/a/b/state"
	local inner
	inner=$(<"$PORTO_ROOT/a/b/root_pid")
	echo kill >"$PORTO_ROOT/a/state"
	[ "$(<"$PORTO_ROOT/a/wait")" = dead ]
	[ "$(<"$PORTO_ROOT/a/b/state")" = dead ]
	wait_for "! [ -e /proc/$inner/exe ]" 5
}

@test "a refused write has an errno and a sentence, and the old value stays" {
	make_ct a 'sleep 1000'
	echo 1.5c >"$PORTO_ROOT/a/cpu_limit"
	write_to a/cpu_limit bogus
	[[ $output == *'Invalid argument'* ]]
	[[ $(<"$PORTO_ROOT/a/error") == "7 InvalidValue:(cpu_limit: 'bogus': "* ]]
	[ "$(<"$PORTO_ROOT/a/cpu_limit")" = 1.5c ]
	write_to a/id 5
	[[ $output == *'Permission denied'* ]]
	write_to a/state fly
	[[ $output == *'Invalid argument'* ]]
	echo start >"$PORTO_ROOT/a/state"
	write_to a/command true
	[[ $output == *'Device or resource busy'* ]]
	run mkdir "$PORTO_ROOT/command"
	[[ $output == *'File exists'* ]]
	run mkdir "$PORTO_ROOT/a b"
	[[ $output == *'Invalid argument'* ]]
	run mkdir "$PORTO_ROOT/x/y"
	[[ $output == *'No such file'* ]]
}

@test "a command that doesn't exist: the start fails with the reason and leaves nothing" {
	make_ct a /nonexistent
	write_to a/state start
	[ "$status" -ne 0 ]
	[[ $(<"$PORTO_ROOT/a/error") == '22 InvalidCommand:('* ]]
	[ "$(<"$PORTO_ROOT/a/state")" = stopped ]
	[ ! -s "$PORTO_ROOT/.porto/leaks" ] || [ -z "$(<"$PORTO_ROOT/.porto/leaks")" ]
}

@test "spec: clones; one bad line changes nothing" {
	make_ct a 'sh -c "echo a\\b"'
	echo 'A=1;B=2' >"$PORTO_ROOT/a/env"
	mkdir "$PORTO_ROOT/b"
	cat "$PORTO_ROOT/a/spec" >"$PORTO_ROOT/b/spec"
	[ "$(<"$PORTO_ROOT/a/spec")" = "$(<"$PORTO_ROOT/b/spec")" ]
	printf 'private = x\ncpu_limit = bad\n' >"$BATS_TEST_TMPDIR/spec" # a shell's printf writes line by line
	run bash -c "cat '$BATS_TEST_TMPDIR/spec' >'$PORTO_ROOT/b/spec'"
	[ "$status" -ne 0 ]
	[ -z "$(<"$PORTO_ROOT/b/private")" ]
}

@test "respawn: a restart after each death, up to the limit" {
	make_ct a 'sh -c "exit 1"'
	printf 'respawn = true\nrespawn_delay = 50ms\nmax_respawns = 2\n' >"$PORTO_ROOT/a/spec"
	echo start >"$PORTO_ROOT/a/state"
	wait_for '[ "$(<"$PORTO_ROOT/a/respawn_count")" = 2 ] && [ "$(<"$PORTO_ROOT/a/state")" = dead ]' 10
}

@test "a user of group porto makes and removes its own containers and can't touch another's" {
	local one=nobody
	run setpriv --reuid="$one" --regid="$TEST_GROUP" --clear-groups mkdir "$PORTO_ROOT/mine"
	[ "$status" -eq 0 ]
	[ "$(stat -c %U "$PORTO_ROOT/mine")" = "$one" ]
	run setpriv --reuid="$one" --regid="$TEST_GROUP" --clear-groups sh -c "echo 'id -u' >$PORTO_ROOT/mine/command; echo start >$PORTO_ROOT/mine/state; cat $PORTO_ROOT/mine/wait $PORTO_ROOT/mine/stdout"
	[ "$output" = "dead
$(id -u "$one")" ]
	run setpriv --reuid=daemon --regid="$TEST_GROUP" --clear-groups rmdir "$PORTO_ROOT/mine"
	[ "$status" -ne 0 ]
	[ -d "$PORTO_ROOT/mine" ]
	run setpriv --reuid=daemon --regid="$TEST_GROUP" --clear-groups sh -c "echo root >$PORTO_ROOT/mine/user"
	[ "$status" -ne 0 ]
	run setpriv --reuid="$one" --regid="$TEST_GROUP" --clear-groups rmdir "$PORTO_ROOT/mine"
	[ "$status" -eq 0 ]
}

@test "kill -9 of the worker, over and over, while containers are made, run and removed: no error, every status exact" {
	local i
	# Not a child of this shell: the SIGCHLD of its end would interrupt a write that waits.
	setsid -f bash -c 'for ((i = 0; i < 30; i++)); do sleep 0.05; read -r pid _ <"$STATE_DIR/worker.pid" && kill -9 "$pid"; done' \
		>/dev/null 2>&1 3>&- </dev/null
	for ((i = 0; i < 30; i++)); do
		mkdir "$PORTO_ROOT/k$i"
		echo "sh -c 'exit $((i + 3))'" >"$PORTO_ROOT/k$i/command"
		echo start >"$PORTO_ROOT/k$i/state"
		[ "$(<"$PORTO_ROOT/k$i/wait")" = dead ]
		[ "$(<"$PORTO_ROOT/k$i/exit_code")" = $((i + 3)) ]
		rmdir "$PORTO_ROOT/k$i"
	done
	wait_for '! pgrep -f "[S]TATE_DIR/worker.pid" >/dev/null' 10
}

# metric NAME CONTAINER: its value, nothing if there is none.
metric() {
	sed -n "s/^porto_$1{container=\"${2//\//\\/}\"} //p" "$PORTO_ROOT/.porto/metrics"
}

worker_fds() {
	find "/proc/$(worker_pid)/fd" -type l | wc -l
}

@test "metrics: what the files say, also of a container that has the name of one that is gone; no descriptor is left" {
	local i before
	prop .porto metrics >/dev/null
	before=$(worker_fds)
	for i in 1 2 3; do
		ct_start m command='sleep 1000' memory_limit=64M
		[ "$(metric processes m)" = 2 ]
		[ "$(metric processes m)" = "$(prop m process_count)" ]
		[ "$(metric threads m)" = 2 ]
		[ "$(metric memory_usage_bytes m)" -gt 0 ]
		[ "$(metric oom_kills_total m)" = 0 ]
		[ "$(metric cpu_usage_seconds_total m | tr -d .)" -gt 0 ]
		ct_start m/c command='sleep 1000'
		[ "$(metric processes m)" = 4 ]
		[ "$(metric processes m/c)" = 2 ]
		rmdir "$PORTO_ROOT/m/c"
		wait_for '[ "$(metric processes m)" = 2 ]'
		rmdir "$PORTO_ROOT/m"
		[ -z "$(metric processes m)" ]
	done
	wait_for '[ -z "$(prop .porto destroying)" ]'
	[ "$(worker_fds)" -le $((before + 3)) ] # the waiting porto-init's
}

seed_pid() {
	pgrep -P "$(supervisor_pid)" -x porto-seed
}

@test "the porto-init that waits for starts may be killed: the next start works, and there is another" {
	local i old
	for ((i = 0; i < 3; i++)); do
		ct_start "s$i" "command=sh -c 'exit $((i + 50))'"
		[ "$(<"$PORTO_ROOT/s$i/wait")" = dead ]
		[ "$(<"$PORTO_ROOT/s$i/exit_code")" = $((i + 50)) ]
		old=$(seed_pid) || true
		[ "$i" -gt 0 ] || [ -n "$old" ]
		[ -z "$old" ] || kill -9 "$old"
		wait_for "! [ -e /proc/$old/exe ]"
		rmdir "$PORTO_ROOT/s$i"
	done
	ct_start s3 command='sleep 1000'
	ct_start s4 command='sleep 1000'
	[ "$(seed_pid)" != "$old" ]
	[ "$(tr '\0' ' ' <"/proc/$(awk '{ sub(/.*\) /, ""); print $2 }' "/proc/$(<"$PORTO_ROOT/s4/root_pid")/stat")/cmdline" | sed 's/ *$//')" = porto-init ]
	rmdir "$PORTO_ROOT"/s[34]
}

@test "the porto-init that waits for starts is killed over an order that it has not read: the next one has it, once" {
	local old start n
	ct_start a command='sleep 1000'
	old=$(seed_pid)
	for n in b a/c a/d; do
		make_ct "$n" "sh -c 'echo here; sleep 1000'"
		[ "$n" != a/d ] || echo false >"$PORTO_ROOT/$n/isolate"
		kill -STOP "$old"
		timeout 20 sh -c "echo start >'$PORTO_ROOT/$n/state'" &
		start=$!
		# it waits for the answer
		wait_for "grep -qE '^(47|212) ' /proc/$(worker_pid)/syscall" # recvmsg
		kill -KILL "$old"
		wait "$start"
		prop_is "$n" state running
		wait_for "[ \"\$(prop $n stdout)\" = here ]"
		[ "$(seed_pid)" != "$old" ]
		old=$(seed_pid)
	done
	rmdir "$PORTO_ROOT/b"
	rmdir "$PORTO_ROOT/a"
}

@test "containers go on and their statuses are exact while no worker runs, and through an upgrade" {
	make_ct a 'sh -c "sleep 0.3; exit 77"'
	make_ct b 'sleep 1000'
	echo start >"$PORTO_ROOT/a/state"
	echo start >"$PORTO_ROOT/b/state"
	local before pid
	before=$(<"$PORTO_ROOT/b/root_pid")
	read -r pid _ <"$STATE_DIR/worker.pid"
	kill -9 "$pid"
	[ "$(<"$PORTO_ROOT/a/wait")" = dead ]
	[ "$(<"$PORTO_ROOT/a/exit_code")" = 77 ]
	[ "$(<"$PORTO_ROOT/b/root_pid")" = "$before" ]
}
