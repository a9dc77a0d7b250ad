#!/usr/bin/env bats
# What goes wrong around the daemon: no space, no processes, what can't be killed or removed, crowds, bad configurations.
# PORTO_MANY=3000: how many containers the test of many makes; 500 unless told.
# Not in the guest, which is slow (`make check-vm` runs it there): a worker dies alike on every kernel.
#
# shellcheck disable=SC2016 # shells in containers, conditions of wait_for

bats_require_minimum_version 1.5.0
# shellcheck disable=SC2034 # for test_begin
PORTOD_OPTIONS=(container.kill_timeout=1s container.start_timeout=5s container.max_total=4000)
load helpers

: "${PORTO_MANY:=500}"

teardown() {
	[ -z "${OTHER:-}" ] || other_goes
	local cg=/sys/fs/cgroup/freezer/$TEST_CGROUP-foreign
	[ ! -e "$cg" ] || { echo THAWED >"$cg/freezer.state"; wait_for "rmdir $cg"; }
	destroy_all
	if mountpoint -q "$STATE_DIR"; then # a test has failed in between
		daemon_stop
		umount "$STATE_DIR"
		daemon_up
	fi
}

# crowd N COMMAND: N shells at once, not children of this one; each appends its status to $CROWD. The number is $1 in COMMAND.
crowd() {
	CROWD=$BATS_TEST_TMPDIR/crowd
	export CROWD
	: >"$CROWD"
	setsid -f bash -c 'for ((i = 0; i < $1; i++)); do bash -c "$2; echo \$? >>\$CROWD" - $i & done; wait' - "$1" "$2" \
		3>&- 4>&- </dev/null >/dev/null 2>&1
	wait_for "[ \"\$(wc -l <$CROWD)\" = $1 ]" 60
}

@test "no space for the records: changes are refused with ENOSPC and undone, reads and ends go on, and space heals" {
	# A state directory on a tiny file system of its own.
	destroy_all
	daemon_stop
	mount -t tmpfs -o size=256k,mode=755 porto-test "$STATE_DIR"
	daemon_up
	ct_new a private=old command='sh -c "sleep 0.3; exit 9"'
	ct_start b command='sleep 1000'
	put a/state start
	dd if=/dev/zero of="$STATE_DIR/fill" bs=4k 2>/dev/null || :
	want_errno ENOSPC put a/TEST.x "$(printf '%060000d' 0)" # more than the room that its record has
	prop_is a labels ''
	prop_is a private old
	want_errno ENOSPC mkdir "$PORTO_ROOT/c"
	[ ! -e "$PORTO_ROOT/c" ]
	prop_is a wait dead
	prop_is a exit_code 9
	prop_is b state running
	kill_worker
	prop_is a private old
	prop_is a exit_code 9
	put b/state kill
	prop_is b wait dead
	rmdir "$PORTO_ROOT/a" # needs no space
	rm "$STATE_DIR/fill"
	put b/state stop
	put b/private x
	ct_run d command=true
	prop_is d exit_code 0
	destroy_all
	[ -z "$(cat "$PORTO_ROOT/.porto/leaks")" ]
	daemon_stop
	umount "$STATE_DIR"
	daemon_up
}

@test "thread_limit too small to start leaves nothing; enough for few holds a fork bomb, which is destroyed at once" {
	need pids
	local n
	for n in 1 2; do
		ct_new a command='sh -c "sleep 1000 & sleep 1000"' thread_limit=$n
		if put a/state start; then
			prop_is a wait dead || :
		else
			[ -n "$(prop a start_error)" ]
			prop_is a state stopped
			[ ! -e "$WORK_DIR/a" ]
		fi
		ct_destroy a
	done
	ct_start bomb thread_limit=200 command='bash -c "bomb() { bomb & bomb & wait; }; bomb"'
	wait_for '[ "$(prop bomb thread_count)" -ge 190 ]' 30
	ct_run ok command=true # others don't feel it
	prop_is ok exit_code 0
	ct_destroy bomb
	no_leaks
}

@test "a crowd making, starting and removing the same name: one wins each time, nothing is left" {
	crowd 40 'for j in 1 2 3 4 5; do
		mkdir $PORTO_ROOT/same && echo "sleep 1000" >$PORTO_ROOT/same/command && echo start >$PORTO_ROOT/same/state
		cat $PORTO_ROOT/same/state; rmdir $PORTO_ROOT/same; done 2>/dev/null; true'
	[ ! -e "$PORTO_ROOT/same" ] || rmdir "$PORTO_ROOT/same"
	wait_for '[ -z "$(cat $PORTO_ROOT/.porto/destroying)" ]' 30
	no_leaks
	# Only one of many mkdirs and rmdirs succeeds.
	crowd 30 'mkdir $PORTO_ROOT/one 2>/dev/null'
	[ "$(grep -cx 0 "$CROWD")" = 1 ]
	put one/command 'sleep 1000'
	crowd 30 'echo start >$PORTO_ROOT/one/state 2>/dev/null'
	[ "$(grep -cx 0 "$CROWD")" -ge 1 ]
	prop_is one process_count 2
	crowd 30 'rmdir $PORTO_ROOT/one 2>/dev/null'
	[ "$(grep -cx 0 "$CROWD")" = 1 ]
	wait_for '[ -z "$(cat $PORTO_ROOT/.porto/destroying)" ]' 30
	no_leaks
}

@test "rmdir again and again in the midst of a start, and of the start of a child" {
	local i
	for ((i = 0; i < 15; i++)); do
		ct_new a command='sleep 1000'
		ct_new a/b command='sleep 1000'
		setsid -f bash -c 'echo start >"$PORTO_ROOT/a/b/state"' >/dev/null 2>&1 3>&- 4>&- </dev/null
		sleep "0.00$((i % 10))"
		rmdir "$PORTO_ROOT/a"
	done
	wait_for '[ -z "$(cat $PORTO_ROOT/.porto/destroying)" ]' 30
	no_leaks
}

@test "a stranger in a container's cgroup, and cgroups made in it, go with the container" {
	ct_start a command='sleep 1000'
	local dir pid made=()
	for dir in $(prop a cgroups | tr ';' '\n' | sed 's/^ *[^:]*: //' | sort -u); do
		[[ $dir == */a ]] || continue # its own, not its parent's
		mkdir -p "$dir/inner/most" && made+=("$dir/inner/most")
	done
	setsid -f bash -c 'echo $$ >"$1"; exec sleep 1000' - "$BATS_TEST_TMPDIR/pid" >/dev/null 2>&1 3>&- 4>&- </dev/null
	wait_for '[ -s "$BATS_TEST_TMPDIR/pid" ]'
	pid=$(cat "$BATS_TEST_TMPDIR/pid")
	for dir in "${made[@]}"; do
		echo "$pid" >"$dir/cgroup.procs" || :
	done
	ct_destroy a
	wait_for "! kill -0 $pid"
	no_leaks
}

@test "what somebody else has frozen blocks neither the daemon nor other containers, and can be destroyed" {
	ct_start a command='sleep 1000'
	ct_start b command='sleep 1000'
	local dir
	dir=$(prop a 'cgroups[freezer]')
	if [ -e "$dir/cgroup.freeze" ]; then
		echo 1 >"$dir/cgroup.freeze"
	else
		echo FROZEN >"$dir/freezer.state"
	fi
	prop a cpu_usage >/dev/null
	put a/state 'kill KILL'
	put b/state stop
	ct_run c command=true
	prop_is c exit_code 0
	put a/state 'stop 0.1'
	prop_is a state stopped
	ct_destroy a b c
}

# A second daemon, which stands still: who reads in $OTHER/mnt waits as for a file system that does not answer.
other_stands_still() {
	OTHER=$TEST_DIR/other
	SECOND=("$PORTOD" --set "daemon.mount=$OTHER/mnt" --set "daemon.state_dir=$OTHER/state" --set daemon.watchdog=0s
		--set "daemon.cgroup_root=$TEST_CGROUP-other" --set "container.work_dir=$OTHER/work" --set "daemon.group=$TEST_GROUP")
	mkdir -p "$OTHER"/{mnt,state,work}
	timeout 30 "${SECOND[@]}" start >&2 3>&- 4>&-
	read -r OTHER_SUPER _ <"$OTHER/state/portod.pid"
	read -r OTHER_WORKER _ <"$OTHER/state/worker.pid"
	kill -STOP "$OTHER_SUPER" "$OTHER_WORKER"
}

other_goes() {
	kill -CONT "$OTHER_WORKER" "$OTHER_SUPER"
	timeout 30 "${SECOND[@]}" stop --containers >&2
	rm -rf "$OTHER"
	OTHER=
}

# vfork's parent waits unkillably... but for a fatal signal; a real D state needs a file system that does not answer: a
# daemon of ours that stands still.
@test "processes that wait for a file system that does not answer hold up nobody, and go when it answers again" {
	other_stands_still
	ct_start a command="sh -c 'cat $OTHER/mnt/state; sleep 1000'" virt_mode=host
	ct_start b command='sleep 1000'
	prop_is b state running
	put a/state 'stop 0.1' || [[ $(prop a error) == *'do not die'* ]]
	ct_run c command=true
	prop_is c exit_code 0
	rmdir "$PORTO_ROOT/a"
	mkdir "$PORTO_ROOT/a"
	kill -CONT "$OTHER_WORKER" "$OTHER_SUPER"
	wait_for '[ -z "$(cat $PORTO_ROOT/.porto/destroying)" ]' 30
	other_goes
	no_leaks
}

@test "a pause that takes its time ends when the parent is stopped, with a reason" {
	local dir
	other_stands_still
	ct_start p virt_mode=host
	ct_start p/c command="sh -c 'cat $OTHER/mnt/state; sleep 1000'" virt_mode=host
	wait_for 'pgrep -f "^cat $OTHER/mnt/state"'
	sleep 0.2 # from there to the read
	setsid -f bash -c 'echo pause >"$PORTO_ROOT/p/c/state"; echo $? >"$0"' "$BATS_TEST_TMPDIR/rc" \
		>/dev/null 2>"$BATS_TEST_TMPDIR/said" 3>&- 4>&- </dev/null
	dir=$(prop p/c 'cgroups[freezer]')
	wait_for "grep -qsE '^1|FREEZING' $dir/cgroup.freeze $dir/freezer.state"
	# who would be born into the frozen cgroup would hold up the worker
	ct_new p/c/d command=true virt_mode=host
	want_errno EBUSY timeout 5 bash -c 'echo start >"$PORTO_ROOT/p/c/d/state"'
	error_says p/c/d 'parent p/c is paused'
	put p/state 'stop 0' || [[ $(prop p error) == *'do not die'* ]]
	wait_for '[ -s "$BATS_TEST_TMPDIR/rc" ]'
	grep -q "${ERRNO_TEXT[EBUSY]}" "$BATS_TEST_TMPDIR/said"
	kill -CONT "$OTHER_WORKER" "$OTHER_SUPER"
	state_is p stopped
	state_is p/c stopped
	other_goes
	no_crashes
}

# The v1 freezer holds against SIGKILL: nearest to a process that can't die.
@test "what can't be killed leaves the state stopping and its pids in error; the rest goes on, and the stop ends when it can" {
	local cg=/sys/fs/cgroup/freezer/$TEST_CGROUP-foreign pid
	[ -e /sys/fs/cgroup/freezer/tasks ] && ! grep -q '^freezer: v1' "$PORTO_ROOT/.porto/features" || skip 'no v1 freezer of somebody else'
	mkdir "$cg"
	ct_start a command='sleep 1000'
	ct_start a/kid command='sleep 1000'
	ct_start b command='sleep 1000'
	pid=$(prop a root_pid)
	echo "$pid" >"$cg/cgroup.procs"
	echo FROZEN >"$cg/freezer.state"
	wait_for "grep -q FROZEN $cg/freezer.state"
	want_errno EBUSY put a/state 'stop 0' # kill_timeout is 1 second
	prop_is a state stopping
	error_says a "$pid"
	# who comes later is told at once
	want_errno EBUSY timeout 5 bash -c 'echo stop >"$PORTO_ROOT/a/state"'
	want_errno EBUSY timeout 5 bash -c 'echo start >"$PORTO_ROOT/a/state"'
	error_says a "$pid"
	put b/state stop
	kill_worker
	prop_is a state stopping
	# destroyed, it is out of sight but not forgotten; the name is free
	rmdir "$PORTO_ROOT/a"
	ct_run a command=true
	prop_is a exit_code 0
	[ "$(cat "$PORTO_ROOT/.porto/destroying")" = a ]
	kill_worker
	[ "$(cat "$PORTO_ROOT/.porto/destroying")" = a ]
	echo THAWED >"$cg/freezer.state"
	wait_for '[ -z "$(cat $PORTO_ROOT/.porto/destroying)" ]'
	prop_is a exit_code 0
	no_leaks
}

@test "a bad configuration is refused with file and line, and portod check says what this host has" {
	local conf=$BATS_TEST_TMPDIR/conf
	printf '[daemon]\nmount = %s\n\n[container]\nmax_total = many\n' "$TEST_DIR/none" >"$conf"
	run "$PORTOD" --config "$conf" --set "daemon.state_dir=$TEST_DIR/none.state" start
	[ "$status" -ne 0 ]
	[[ $output == *"$conf"*5*max_total* ]] || fail "$output"
	[ ! -e "$TEST_DIR/none.state" ]
	printf '[daemon]\nmountt = /x\n' >"$conf"
	run "$PORTOD" --config "$conf" check
	[ "$status" -ne 0 ]
	[[ $output == *"$conf"*2*mountt* ]] || fail "$output"
	printf '[nosuch]\na = b\n' >"$conf"
	run "$PORTOD" --config "$conf" config
	[ "$status" -ne 0 ]
	[[ $output == *nosuch* ]] || fail "$output"
	run "$PORTOD" --set daemon.nosuch=1 config
	[ "$status" -ne 0 ]
	run "$PORTOD" --set container.stop_timeout=soon config
	[ "$status" -ne 0 ]
	[[ $output == *stop_timeout* ]]
	run "$PORTOD" nosuchcommand
	[ "$status" = 2 ]
	run "$PORTOD" --config "$TEST_DIR/portod.conf" --set "daemon.cgroup_root=$TEST_CGROUP-look/deep" check
	[ "$status" -eq 0 ]
	[[ $output == *'memory'* && $output == *'containers can run here'* ]] || fail "$output"
	[ -z "$(cgroup_roots "$TEST_CGROUP-look")" ] || fail "portod check leaves $(cgroup_roots "$TEST_CGROUP-look")"
	"$PORTOD" --set "daemon.cgroup_root=$TEST_CGROUP" check >/dev/null # of a daemon that runs: it stays
	[ -n "$(cgroup_roots)" ]
	ct_run looked command=true
	ct_destroy looked
	# A second daemon for the same place is told off.
	run "$PORTOD" --set "daemon.mount=$PORTO_ROOT" --set "daemon.state_dir=$TEST_DIR/none.state" --set daemon.cgroup_root=none start
	[ "$status" -ne 0 ]
	[[ $output == *'another portod'* ]] || fail "$output"
	rm -rf "$TEST_DIR/none.state"
	prop_is . level 0
}

@test "container.max_total: one more is refused with EAGAIN, and there is room again after a removal" {
	daemon_stop
	DAEMON+=(--set container.max_total=3)
	daemon_up
	ct_new a
	ct_new a/b
	ct_new c
	want_errno EAGAIN mkdir "$PORTO_ROOT/d"
	error_says '10 ResourceNotAvailable:('
	rmdir "$PORTO_ROOT/c"
	mkdir "$PORTO_ROOT/d"
	destroy_all
	daemon_stop
	unset 'DAEMON[-1]' 'DAEMON[-1]'
	daemon_up
}

@test "many containers: made, listed, restored by another worker and removed in bounded time" {
	local i before
	before=$SECONDS
	(cd "$PORTO_ROOT" && seq -f 'many%.0f' "$PORTO_MANY" | xargs mkdir) 2>&1 | head -n 3
	[ "$(ct_names | wc -l)" = "$PORTO_MANY" ]
	for ((i = 1; i <= PORTO_MANY; i += 10)); do
		put "many$i/state" start
	done
	kill_worker
	[ "$(awk -F'\t' '$2 == "meta"' "$PORTO_ROOT/.porto/containers" | wc -l)" = $(((PORTO_MANY + 9) / 10)) ]
	[ "$(wc -l <"$PORTO_ROOT/.porto/metrics")" -gt "$PORTO_MANY" ]
	(cd "$PORTO_ROOT" && seq -f 'many%.0f' "$PORTO_MANY" | xargs rmdir)
	wait_for '[ -z "$(cat $PORTO_ROOT/.porto/destroying)" ]' 60
	no_leaks
	echo "$PORTO_MANY containers: $((SECONDS - before)) s" >&2
	[ $((SECONDS - before)) -lt $((50 * PORTO_SLOW)) ]
}
