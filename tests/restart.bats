#!/usr/bin/env bats
# The daemon dies, hangs, is replaced and upgraded, while clients and containers go on.
#
# shellcheck disable=SC2016 # conditions of wait_for

bats_require_minimum_version 1.5.0
load helpers

# A binary of its own, which can be replaced.
setup_file() {
	export TEST_DIR=${TEST_DIR:-$(mktemp -d "${TMPDIR:-/tmp}/porto-test-XXXXXX")}
	mkdir -p "$TEST_DIR/bin"
	cp -L "$PORTO_BUILD/portod" "$PORTO_BUILD/porto-init" "$TEST_DIR/bin/"
	export PORTOD=$TEST_DIR/bin/portod
	# shellcheck disable=SC2034 # for test_begin
	PORTOD_OPTIONS=("daemon.watchdog=$((2 * PORTO_SLOW))s")
	test_begin
}

setup() {
	PORTOD=${DAEMON[0]} # not the one of the build
}

teardown() {
	kill -0 "$(supervisor_pid)" 2>/dev/null || daemon_up
	destroy_all
}

@test "start: what keeps it from serving is said, and is a failure" {
	local d=$BATS_TEST_TMPDIR dir
	mkdir "$d/mnt" "$d/state" "$d/work"
	for _ in 1 2 3; do # not taken for one that runs already while it ends
		run -1 "$PORTOD" --config "$d/none" --set "daemon.mount=$d/mnt" --set "daemon.state_dir=$d/state" \
			--set "daemon.cgroup_root=$TEST_CGROUP-other" --set "container.work_dir=$d/work" --set "volumes.default_place=$d/place" \
			--set daemon.log_file="$d/log" --set daemon.init_path=/nonexistent start 3>&- 4>&-
		[[ $output == 'portod: cannot start: '*porto-init* ]] || fail "$output"
		wait_for '! grep -qs " $BATS_TEST_TMPDIR/mnt " /proc/self/mounts'
	done
	while IFS= read -r dir; do
		find "$dir" -depth -type d -exec rmdir {} + || :
	done < <(cgroup_roots "$TEST_CGROUP-other")
	[ -z "$(cgroup_roots "$TEST_CGROUP-other")" ]
}

# Containers whose facts must survive, and clients that must not notice.
scene() {
	ct_start run command='sleep 1000' labels='TEST.a: b' memory_limit=64M
	ct_start run/kid command='sleep 1000'
	ct_run dead command='sh -c "exit 77"'
	ct_start paused command='sleep 1000'
	put paused/state pause
	ct_start respawning command=false respawn=true respawn_delay=1000s
	ct_start meta
	ct_new stopped private='still here'
	ROOT_PID=$(prop run root_pid)
	exec 8<"$PORTO_ROOT/stopped/private"
	setsid -f bash -c 'cat "$PORTO_ROOT/run/wait" >"$1" 2>&1' - "$BATS_TEST_TMPDIR/wait" 3>&- 4>&- 8<&- </dev/null >/dev/null 2>&1
	wait_for 'pgrep -f "^cat $PORTO_ROOT/run/wait" >/dev/null'
}

scene_holds() {
	[ "$(timeout $((20 * PORTO_SLOW)) cat "$PORTO_ROOT"/{run,run/kid,dead,paused,respawning,meta,stopped}/state | paste -sd ' ')" = \
		'running running dead paused respawning meta stopped' ] || fail "$(cat "$PORTO_ROOT/.porto/containers")"
	prop_is run root_pid "$ROOT_PID"
	prop_is run labels 'TEST.a: b'
	prop_is dead exit_code 77
	prop_is stopped private 'still here'
	no_leaks
}

# The reader that has waited since before, and a descriptor that was open.
clients_hold() {
	[ "$(cat <&8)" = 'still here' ] || fail 'the open descriptor'
	exec 8<&-
	[ ! -s "$BATS_TEST_TMPDIR/wait" ] || fail "the waiting reader got: $(cat "$BATS_TEST_TMPDIR/wait")"
	put run/state 'kill KILL'
	wait_for '[ "$(cat "$BATS_TEST_TMPDIR/wait")" = dead ]'
	prop_is run exit_code -9
	prop_is run/kid state dead
}

@test "kill -9 of the supervisor: the worker serves on, and the next portod start takes the mount over from it" {
	scene
	kill -9 "$(supervisor_pid)"
	scene_holds
	put stopped/private 'still here'
	run "${DAEMON[@]}" status
	[ "$status" -ne 0 ]
	[[ $output == *'portod start takes over'* ]]
	daemon_up
	scene_holds
	clients_hold
	# The new supervisor replaces workers and hears of deaths, as the old one did.
	kill_worker
	ct_run later command='sh -c "exit 5"'
	prop_is later exit_code 5
}

@test "kill -9 of the supervisor, deaths meanwhile, then take-over: the statuses are exact" {
	ct_start a command="sh -c 'while [ ! -e $TEST_DIR/go ]; do sleep 0.05; done; exit 42'"
	ct_start b command="sh -c 'while [ ! -e $TEST_DIR/go ]; do sleep 0.05; done; kill -10 \$\$'"
	kill -9 "$(supervisor_pid)"
	touch "$TEST_DIR/go"
	prop_is a wait dead
	prop_is a exit_code 42
	prop_is b wait dead
	prop_is b exit_code -10
	ct_run c command='sh -c "exit 6"' # started with no supervisor
	prop_is c exit_code 6
	daemon_up
	prop_is a exit_code 42
	prop_is b exit_code -10
	rm "$TEST_DIR/go"
}

@test "kill -9 of both: containers go on, the next start mounts anew and finds everything as it was" {
	scene
	exec 8<&-
	kill -9 "$(supervisor_pid)" "$(worker_pid)"
	wait_for '! kill -0 "$(worker_pid)"'
	kill -0 "$ROOT_PID"
	daemon_up
	scene_holds
	# At once after somebody looked: the kernel still knows the directory's attributes, which is no sign of life.
	stat "$PORTO_ROOT" >/dev/null
	kill -9 "$(supervisor_pid)" "$(worker_pid)"
	wait_for '! kill -0 "$(worker_pid)"'
	daemon_up
	scene_holds
	put run/state stop
}

@test "stop and start again: the same; and stop says when it is not running" {
	scene
	exec 8<&-
	daemon_restart
	scene_holds
	daemon_stop
	run "${DAEMON[@]}" stop
	[ "$status" -eq 0 ]
	[[ $output == *'not running'* ]]
	daemon_up
	run "${DAEMON[@]}" start
	[ "$status" -eq 0 ]
	[[ $output == *'running already'* ]]
	scene_holds
}

@test "a worker that stands still is replaced by the watchdog, and requests that waited are answered" {
	local old
	ct_start a command='sleep 1000'
	old=$(worker_pid)
	kill -STOP "$old"
	[ "$(timeout $((30 * PORTO_SLOW)) cat "$PORTO_ROOT/a/state")" = running ]
	[ "$(worker_pid)" != "$old" ]
	put a/private x
	prop_is a private x
	wait_for "! kill -0 $old"
	grep -q 'stands still' "$DAEMON_LOG"
}

@test "SIGHUP and portod upgrade under load: another binary, no error, every write exactly once" {
	local before
	scene
	before=$(supervisor_pid)
	setsid -f bash -c '"$REPO/build/hammer" "$PORTO_ROOT" 8 "$2" >"$1/hammer" 2>&1; echo $? >"$1/rc"' - "$BATS_TEST_TMPDIR" \
		$((4 * PORTO_SLOW)) 3>&- 4>&- 8<&- </dev/null >/dev/null 2>&1
	cp "$PORTOD" "$PORTOD.new" && mv "$PORTOD.new" "$PORTOD"
	"${DAEMON[@]}" upgrade
	[ "$(supervisor_pid)" = "$before" ]
	run ! grep -q deleted <(readlink "/proc/$before/exe")
	kill -HUP "$before"
	sleep 0.5
	kill -9 "$(worker_pid)"
	"${DAEMON[@]}" upgrade
	wait_for '[ -s "$BATS_TEST_TMPDIR/rc" ]' 30
	[ "$(cat "$BATS_TEST_TMPDIR/rc")" = 0 ] || fail "$(cat "$BATS_TEST_TMPDIR/hammer")"
	scene_holds
	clients_hold
}

@test "the hammer over a take-over: the supervisor is killed and started again and again" {
	local i
	setsid -f bash -c '"$REPO/build/hammer" "$PORTO_ROOT" 8 "$2" >"$1/hammer" 2>&1; echo $? >"$1/rc"' - "$BATS_TEST_TMPDIR" \
		$((4 * PORTO_SLOW)) 3>&- 4>&- </dev/null >/dev/null 2>&1
	for i in 1 2 3; do
		sleep 0.4
		kill -9 "$(supervisor_pid)"
		[ $((i % 2)) = 0 ] || sleep 0.2
		daemon_up
	done
	wait_for '[ -s "$BATS_TEST_TMPDIR/rc" ]' 30
	[ "$(cat "$BATS_TEST_TMPDIR/rc")" = 0 ] || fail "$(cat "$BATS_TEST_TMPDIR/hammer")"
	no_leaks
}

@test "an upgrade to what does not run is refused and changes nothing" {
	ct_start a command='sleep 1000'
	local before
	before=$(worker_pid)
	ln "$PORTOD" "$PORTOD.good"
	printf '#!/bin/false\n' >"$PORTOD.bad"
	chmod 755 "$PORTOD.bad"
	mv "$PORTOD.bad" "$PORTOD"
	kill -HUP "$(supervisor_pid)"
	wait_for 'grep -q "does not run" "$DAEMON_LOG"'
	[ "$(worker_pid)" = "$before" ]
	mv "$PORTOD.good" "$PORTOD"
	prop_is a state running
	kill_worker # workers are still those of the old binary
	prop_is a state running
}

# Whoever has a copy of the mount in a namespace of its own, another container say, keeps the connection, and the daemon with it.
@test "unmounted by hand: containers go on, and stop and start bring the tree back" {
	ct_start a command='sleep 1000'
	umount "$PORTO_ROOT"
	daemon_restart
	prop_is a state running
	kill_worker
	prop_is a state running
}

@test "containers of a boot before are stopped, not confused with strangers" {
	local pid
	ct_start a command='sleep 1000' private=kept
	pid=$(prop a root_pid)
	daemon_stop
	# As after a reboot: no cgroups, no processes, but the records are there.
	for dir in $(cgroup_roots); do
		wait_for "cgroup_purge $dir"
	done
	wait_for "! kill -0 $pid"
	daemon_up
	wait_for '[[ $(prop a state) == @(stopped|dead) ]]' || fail "$(prop a state)"
	prop_is a private kept
	[ "$(prop a state)" = stopped ] || put a/state stop
	put a/state start
	prop_is a state running
}

@test "a work directory that was made for a start of which no record tells is swept, another's is not" {
	ct_new s command=true
	ct_start r command='sleep 1000'
	daemon_stop
	mkdir -p "$WORK_DIR/s" "$WORK_DIR/foreign"
	echo out >"$WORK_DIR/s/stdout"
	daemon_start
	wait_for '[ ! -e "$WORK_DIR/s" ]'
	[ -e "$WORK_DIR/r" ] && rmdir "$WORK_DIR/foreign"
}
