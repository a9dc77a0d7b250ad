#!/usr/bin/env bats
# Containers that run out of memory: who dies, whose limit it was, what the counters say, also when no worker was there to see it.

bats_require_minimum_version 1.5.0
load helpers

setup() {
	need memory
}

teardown() {
	destroy_all
}

EAT=$PORTO_BUILD/eat

# Died for lack of memory; the sentence names whose limit it was.
is_oom() {
	state_is "$1" dead && prop_is "$1" exit_code -99 && prop_is "$1" oom_killed true && error_says "$1" "$2"
}

# A container that eats in a child when the file "go" is made in its directory.
ct_start_waiting() {
	ct_start "$1" command="sh -c 'until [ -e go ]; do sleep 0.05; done; exec $EAT -c anon 100M'" "${@:2}"
}

go() {
	: >"$(prop "$1" cwd)/go"
}

@test "memory_limit: 100M in a container of 64M end it with -99, and its neighbour lives" {
	ct_start n command='sleep 1000' memory_limit=64M
	ct_run a command="$EAT anon 100M" memory_limit=64M
	is_oom a 'container a: out of memory: its memory_limit of 67108864 bytes'
	prop_is a oom_kills 1
	prop_is a oom_kills_total 1
	prop_is n state running
	prop_is n oom_kills 0
	prop_is n error ''
}

@test "oom_is_fatal: the container dies though its main process has survived the kill of another" {
	ct_run a command="$EAT -c anon 100M" memory_limit=64M
	is_oom a 'its memory_limit of 67108864 bytes was hit'
	[ "$(prop a process_count)" -eq 0 ] || wait_for '[ "$(prop a process_count)" -eq 0 ]'
}

@test "oom_is_fatal=false: only the victim dies; it can be changed while running" {
	ct_start_waiting a memory_limit=64M
	put a/oom_is_fatal false
	go a
	wait_for '[[ $(prop a stdout) == *ready ]]'
	[[ $(prop a stdout) == $'child -9\nready' ]]
	wait_for '[ -n "$(prop a error)" ]'
	prop_is a state running
	prop_is a oom_kills 1
	error_says a 'a process was killed: its memory_limit of 67108864 bytes'
}

@test "oom_is_fatal=false: when the main process is the victim, that is the end, and it is said why" {
	ct_run a command="$EAT anon 100M" memory_limit=64M oom_is_fatal=false
	is_oom a 'its memory_limit'
}

@test "memory_limit of the parent: hit by a child, parent and all its children are dead, and told whose limit it was" {
	ct_new p memory_limit=64M
	ct_start p/y command='sleep 1000'
	ct_start p/x command="$EAT -c anon 100M" # it dies a moment later
	is_oom p 'container p: out of memory: its memory_limit of 67108864'
	is_oom p/x "container p/x: out of memory: p's memory_limit of 67108864"
	is_oom p/y "p's memory_limit"
	prop_is p oom_kills_total 1
	prop_is p/y oom_kills 0
}

@test "memory_limit of the parent: oom_is_fatal=false there, and only the child with the victim dies" {
	ct_new p memory_limit=64M oom_is_fatal=false
	ct_start p/y command='sleep 1000'
	ct_start p/x command="$EAT anon 100M"
	is_oom p/x "p's memory_limit of 67108864"
	prop_is p state meta
	prop_is p/y state running
	prop_is p/y error ''
}

@test "memory_limit of a child: parent and brother don't suffer from it" {
	ct_new p memory_limit=256M
	ct_start p/y command='sleep 1000' memory_limit=64M
	ct_start p/x command="$EAT -c anon 100M" memory_limit=64M
	is_oom p/x 'container p/x: out of memory: its memory_limit of 67108864'
	prop_is p state meta
	prop_is p/y state running
	prop_is p/x oom_kills 1
	prop_is p oom_kills 0
	prop_is p oom_kills_total 1
	prop_is . oom_kills_total "$(prop . oom_kills_total)"
}

@test "memory_limit: a job's and a limitless child's victims are their parent's" {
	ct_start p command='sleep 1000' memory_limit=64M oom_is_fatal=false
	ct_run p/j virt_mode=job command="$EAT anon 100M"
	is_oom p/j "p's memory_limit"
	prop_is p state running
	prop_is p oom_kills 1
}

@test "start: a memory_limit that is too small for it is ResourceNotAvailable, and nothing is left" {
	# its words are put together before it runs
	# shellcheck disable=SC2016 # expanded in the container
	ct_new a command="true$(printf ' $V%.0s' {1..25})" memory_limit=1M
	put 'a/env[V]' "$(head -c 60000 /dev/zero | tr '\0' x)"
	want_errno ENOMEM put a/state start
	want_error ResourceNotAvailable put a/state start
	error_says a 'its memory_limit of 1048576 bytes was hit'
	prop_is a state stopped
	[[ $(prop a start_error) == ResourceNotAvailable:* ]]
	put a/memory_limit 64M
	ct_run a
	prop_is a exit_code 0
}

@test "memory_limit: 1M is enough for a small command" {
	ct_new a command='sleep 1000' memory_limit=1M
	put a/state start || [[ $(prop a start_error) == ResourceNotAvailable:* ]]
	# whatever became of it, it is told
	case $(prop a state) in
	running) ;;
	dead) is_oom a 'its memory_limit of 1048576' ;;
	stopped) error_says a 'its memory_limit of 1048576' ;;
	*) fail "$(prop a state)" ;;
	esac
}

@test "oom_kills_total: kept over stop, start, the worker's death and a restart; a removed child's goes to its parent" {
	local before
	before=$(prop . oom_kills_total)
	ct_new p memory_limit=256M
	ct_run p/a command="$EAT anon 100M" memory_limit=64M
	put p/a/state stop
	prop_is p/a oom_kills 0
	prop_is p/a oom_kills_total 1
	ct_run p/a
	prop_is p/a oom_kills 1
	prop_is p/a oom_kills_total 2
	kill_worker
	prop_is p/a oom_kills 1
	prop_is p/a oom_kills_total 2
	prop_is p/a exit_code -99
	rmdir "$PORTO_ROOT/p/a"
	prop_is p oom_kills_total 2
	ct_new p/a
	prop_is p/a oom_kills_total 0
	daemon_restart
	prop_is p oom_kills_total 2
	rmdir "$PORTO_ROOT/p"
	prop_is . oom_kills_total $((before + 2))
	kill_worker
	prop_is . oom_kills_total $((before + 2))
}

@test "a stop does not lose the kills of children" {
	ct_new p
	ct_run p/a command="$EAT anon 100M" memory_limit=64M
	put p/state stop
	prop_is p/a oom_kills_total 1
	prop_is p oom_kills_total 1
}

@test "a daemon that was down meanwhile finds out: the container is dead, and so is what lived in it" {
	ct_start_waiting a memory_limit=64M
	ct_start_waiting b memory_limit=64M oom_is_fatal=false
	ct_new p memory_limit=64M
	ct_start_waiting p/c
	local dir dirs
	dirs=("$(prop a cwd)" "$(prop b cwd)" "$(prop p/c cwd)")
	daemon_stop
	for dir in "${dirs[@]}"; do
		: >"$dir/go"
		wait_for "grep -q ready $dir/stdout"
	done
	daemon_up
	is_oom a 'its memory_limit of 67108864'
	prop_is b state running
	prop_is b oom_kills 1
	is_oom p 'its memory_limit of 67108864'
	is_oom p/c "p's memory_limit"
}

@test "the worker dies again and again while containers run out of memory: each is told right" {
	local i
	for i in 1 2 3; do
		ct_start_waiting "a$i" memory_limit=64M
	done
	for i in 1 2 3; do
		go "a$i"
		kill_worker
	done
	for i in 1 2 3; do
		is_oom "a$i" 'its memory_limit'
		prop_is "a$i" oom_kills 1
	done
}

@test "respawn: a new life after an OOM; what it does by itself is not taken for one" {
	ct_start a command="sh -c '[ -e again ] && exit 3; : >again; exec $EAT anon 100M'" memory_limit=64M respawn=true max_respawns=1 respawn_delay=50ms
	wait_for '[ "$(prop a respawn_count)" = 1 ] && [ "$(prop a state)" = dead ]'
	prop_is a exit_code 3
	prop_is a oom_killed false
	prop_is a oom_kills 1
}

@test "kill: SIGKILL by hand is no OOM, even in a container that has had one" {
	ct_start_waiting a memory_limit=64M oom_is_fatal=false
	go a
	wait_for '[ "$(prop a oom_kills)" = 1 ] && [[ $(prop a stdout) == *ready ]]'
	sleep 2.5 # a kill so short after an OOM would be taken for its consequence
	put a/state 'kill 9'
	state_is a dead
	prop_is a exit_code -9
	prop_is a oom_killed false
}

@test "poll: oom_kills and the parent's oom_kills_total wake who polls" {
	local one two
	ct_new p memory_limit=256M
	ct_start_waiting p/a memory_limit=64M oom_is_fatal=false
	"$PORTO_BUILD/polls" "$PORTO_ROOT/p/a/oom_kills" 1 20000 >"$TEST_DIR/one" 3>&- &
	one=$!
	"$PORTO_BUILD/polls" "$PORTO_ROOT/p/oom_kills_total" 1 20000 >"$TEST_DIR/two" 3>&- &
	two=$!
	wait_for 'grep -q reading "$TEST_DIR/one" && grep -q reading "$TEST_DIR/two"'
	go p/a
	wait $one $two
	[ "$(<"$TEST_DIR/one")" = $'reading 0\nchanged 1' ]
	[ "$(<"$TEST_DIR/two")" = $'reading 0\nchanged 1' ]
	rm "$TEST_DIR/one" "$TEST_DIR/two"
}

@test "events: a line says whose limit was hit and how many were killed" {
	local from
	from=$(wc -l <"$STATE_DIR/events")
	ct_run a command="$EAT anon 100M" memory_limit=64M
	tail -n "+$((from + 1))" "$STATE_DIR/events" | grep -q $'\tstate\ta\tdead\t-99$'
	ct_run b command="$EAT -c anon 100M" memory_limit=64M
	tail -n "+$((from + 1))" "$STATE_DIR/events" | grep -q $'\toom\tb\t1$'
}

@test "memory_limit: unset on the first level, all but 2G of RAM or three quarters are allowed" {
	local total want
	ct_start a command='sleep 1000'
	total=$(($(awk '/^MemTotal/ { print $2 }' /proc/meminfo) * 1024))
	want=$((total - (total / 4 < 2 << 30 ? total / 4 : 2 << 30)))
	prop_is a memory_limit "$want"
}
