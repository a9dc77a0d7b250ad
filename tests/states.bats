#!/usr/bin/env bats
# The state machine, cell by cell: what each verb does in each state, to children and parents, and what may be written.
# Not in the guest, which is slow (`make check-vm` runs it there): what it asks of the kernel cgroup.bats and core.bats ask.
#
# shellcheck disable=SC2016,SC2034 # conditions of wait_for; BLOCK belongs to the tables

bats_require_minimum_version 1.5.0
load helpers

# porto-init is one that a test can hold at its very beginning: see tests/slowinit.c.
setup_file() {
	export TEST_DIR=${TEST_DIR:-$(mktemp -d "${TMPDIR:-/tmp}/porto-test-XXXXXX")}
	HOLD=$TEST_DIR/bin/hold
	export HOLD
	mkdir -p "$TEST_DIR/bin"
	cp "$REPO/build/slowinit" "$TEST_DIR/bin/slowinit"
	printf '\0%s' "$TEST_DIR/bin" >>"$TEST_DIR/bin/slowinit"
	cp -L "$PORTO_BUILD/porto-init" "$TEST_DIR/bin/porto-init"
	PORTOD_OPTIONS=("daemon.init_path=$TEST_DIR/bin/slowinit" container.stop_timeout=2s container.kill_timeout=1s)
	test_begin
}

setup() {
	rm -f "$HOLD"
}

teardown() {
	local cg=/sys/fs/cgroup/freezer/$TEST_CGROUP-foreign
	rm -f "$HOLD"
	[ ! -e "$cg" ] || { echo THAWED >"$cg/freezer.state"; wait_for "rmdir $cg"; }
	destroy_all
}

STUBBORN='sh -c "trap : TERM; echo ready; while :; do sleep 1000; done"'

# in_background COMMAND...: not a child of this shell, whose writes its end would interrupt.
in_background() {
	setsid -f bash -c '. "$REPO/tests/helpers.bash"; "$@"' - "$@" >/dev/null 2>&1 3>&- 4>&- </dev/null
}

# bring NAME STATE: makes a container and brings it there.
bring() {
	case $2 in
	stopped) ct_new "$1" command='sleep 1000' ;;
	starting)
		touch "$HOLD"
		ct_new "$1" command='sleep 1000'
		in_background put "$1/state" start
		;;
	running) ct_start "$1" command='sleep 1000' ;;
	meta) ct_start "$1" private=x ;;
	paused) ct_start "$1" command='sleep 1000' && put "$1/state" pause ;;
	stopping)
		ct_start "$1" command="$STUBBORN" && wait_for "[ -n \"\$(prop $1 stdout)\" ]" || return
		in_background put "$1/state" 'stop 1000'
		;;
	dead) ct_run "$1" command=true ;;
	respawning) ct_start "$1" command=true respawn=true respawn_delay=1000s ;;
	esac && state_is "$1" "$2"
}

# A row a state, a column a verb: the state after it, an errno, or - for what the test below this one looks at.
VERB_TABLE='
state       start    stop     kill   pause   resume   restart  respawn
stopped     running  stopped  EBUSY  EBUSY   EBUSY    running  EBUSY
running     EBUSY    stopped  dead   paused  EBUSY    running  EBUSY
meta        EBUSY    stopped  EBUSY  paused  EBUSY    meta     EBUSY
paused      EBUSY    stopped  EBUSY  EBUSY   running  running  EBUSY
dead        EBUSY    stopped  EBUSY  EBUSY   EBUSY    dead     dead
respawning  EBUSY    stopped  EBUSY  EBUSY   EBUSY    respawning respawning
starting    -        stopped  EBUSY  -       EBUSY    -        -
stopping    -        -        stopped EBUSY  EBUSY    -        EBUSY
'

@test "every verb in every state gives the state or the errno of the table, and the kind InvalidState" {
	local verbs row state verb want i
	read -r -a verbs <<<"$(sed -n 2p <<<"$VERB_TABLE")"
	verbs=("${verbs[@]:1}")
	while read -r -a row; do
		state=${row[0]}
		for i in "${!verbs[@]}"; do
			verb=${verbs[i]} want=${row[i + 1]}
			[ "$want" != - ] || continue
			bring c "$state"
			if [ "$want" = EBUSY ]; then
				want_errno EBUSY put c/state "$verb" || fail "$verb in $state"
				error_says c '8 InvalidState:(' || fail "$verb in $state"
				want=$state
			else
				[ "$verb $state" != 'kill stopping' ] || verb='kill KILL'
				put c/state "$verb" || fail "$verb in $state: $(prop c error)"
			fi
			state_is c "$want" || fail "$verb in $state"
			rm -f "$HOLD"
			ct_destroy c
		done
	done < <(sed -n '3,$p' <<<"$VERB_TABLE" | grep .)
}

@test "a verb during a start or a stop waits its turn, joins it or hastens it" {
	bring a starting
	in_background put a/state start # joins: both succeed
	in_background put a/state pause # after the start
	rm "$HOLD"
	state_is a paused
	bring b starting
	in_background put b/state restart
	rm "$HOLD"
	state_is b running
	bring c stopping
	in_background put c/state start # begins when the stop is over
	put c/state 'stop 0'
	state_is c running
	ct_destroy c
	bring c stopping
	in_background put c/state restart
	put c/state 'stop 0'
	state_is c running
}

@test "rmdir works in every state and the name is free at once" {
	local state
	for state in stopped starting running meta paused stopping dead respawning; do
		bring c "$state"
		rmdir "$PORTO_ROOT/c"
		mkdir "$PORTO_ROOT/c" || fail "after rmdir in $state"
		[ "$(prop c state)" = stopped ]
		rmdir "$PORTO_ROOT/c"
		rm -f "$HOLD"
	done
	wait_for '[ -z "$(< $PORTO_ROOT/.porto/destroying)" ]'
	no_leaks
}

@test "destroy written to state returns when all of it is gone, children too" {
	ct_start a command="$STUBBORN"
	ct_start a/b command='sleep 1000' isolate=false
	local inner
	inner=$(prop a/b root_pid)
	put a/state destroy
	[ ! -e "$PORTO_ROOT/a" ]
	[ -z "$(cat "$PORTO_ROOT/.porto/destroying")" ]
	[ ! -e "/proc/$inner/exe" ]
	no_leaks
}

# Properties of each kind: S, D and A of the table of properties.
@test "what may be written in which state: stopped-only, dynamic, any" {
	local state letter name value want
	for state in stopped running meta paused dead respawning stopping starting; do
		bring c "$state"
		while read -r letter name value; do
			want=
			[ "$letter" != S ] || [ "$state" = stopped ] || want=EBUSY
			[ "$letter" != D ] || [ "$state" != dead ] || want=EBUSY
			if [ -n "$want" ]; then
				want_errno "$want" put "c/$name" "$value" || fail "$name in $state"
				error_says c '8 InvalidState:('
			elif [ "$name $state" = 'ulimit starting' ]; then
				# its tasks are being given the old one
				want_errno EBUSY put "c/$name" "$value" || fail "$name in $state"
				error_says c '15 Busy:('
			else
				put "c/$name" "$value" || fail "$name in $state: $(prop c error)"
			fi
		done <<-'END'
			S command true
			S command_argv true
			S env A=1
			S user daemon
			S umask 022
			S cwd /tmp
			S virt_mode app
			S stdout_path /dev/null
			S controllers cpu
			D ulimit nofile: 100 200
			D stdout_limit 1M
			D cpu_limit 1c
			D memory_limit 256M
			D thread_limit 100
			A private text
			A labels TEST.a: b
			A TEST.label value
			A respawn_delay 900s
			A max_respawns 3
			A respawn_count 1
			A aging_time 1000
			A weak false
		END
		rm -f "$HOLD"
		ct_destroy c
	done
}

@test "values of a running container are not readable before the start, values of a death only in dead" {
	local name state
	for state in stopped running dead respawning; do
		bring c "$state"
		for name in root_pid process_count thread_count memory_usage cpu_usage stdout stderr_offset; do
			if [ "$state" = stopped ]; then
				want_errno ENODATA prop c "$name"
				error_says '8 InvalidState:('
			elif [ "$state" = running ]; then
				prop c "$name" >/dev/null
			fi
		done
		for name in exit_code exit_status oom_killed core_dumped death_time; do
			if [ "$state" = dead ]; then
				prop c "$name" >/dev/null
			else
				want_errno ENODATA prop c "$name"
				error_says '8 InvalidState:('
			fi
		done
		ct_destroy c
	done
}

@test "a start starts its stopped parents; below a dead or paused one it is refused" {
	ct_new a
	ct_new a/b command='sleep 1000'
	ct_new a/b/c command='sleep 1000'
	put a/b/c/state start
	[ "$(cat "$PORTO_ROOT"/{a,a/b,a/b/c}/state | paste -sd ' ')" = 'meta running running' ]
	put a/b/state kill
	state_is a/b dead
	state_is a/b/c dead
	put a/b/c/state stop
	want_errno EBUSY put a/b/c/state start
	prop_is a/b/c start_error 'InvalidState:(parent a/b is dead)'
	put a/b/state restart
	put a/b/state pause
	want_errno EBUSY put a/b/c/state start
	# A parent that can't start is the reason its child gives.
	ct_new x command=/nonexistent
	ct_new x/y command=true
	want_errno ENOENT put x/y/state start
	[[ $(prop x/y start_error) == 'InvalidCommand:('*'parent x'* ]] || fail "$(prop x/y start_error)"
	prop_is x state stopped
	prop_is x/y state stopped
}

@test "a start that waited for its parent and was stopped is forgotten: the next one starts the command once" {
	touch "$HOLD"
	ct_new a command='sleep 1000'
	ct_new a/b command='sh -c "echo started; exec sleep 1000"'
	in_background put a/b/state start
	state_is a starting
	put a/b/state 'stop 0'
	in_background put a/b/state start
	sleep 0.3 # it waits too; if it comes later, there is less to see
	rm "$HOLD"
	state_is a/b running
	wait_for '[ -n "$(prop a/b stdout)" ]'
	prop_is a/b process_count 2
	prop_is a/b stdout started
	ct_destroy a
	no_crashes
}

@test "stop: SIGTERM, then SIGKILL after the seconds given, children before parents" {
	ct_start a command='sh -c "trap \"exit 3\" TERM; echo ready; while :; do sleep 0.1; done"'
	wait_for '[ -n "$(prop a stdout)" ]'
	put a/state stop
	prop_is a state stopped
	bring b stopping
	put b/state 'stop 0.2' # hastens the stop of 1000 seconds
	prop_is b state stopped
	# The child is told first: it writes before its parent does.
	local log=$BATS_TEST_TMPDIR/log
	ct_start p command="sh -c 'trap \"echo parent >>$log; exit\" TERM; echo ready; while :; do sleep 0.05; done'"
	ct_start p/c command="sh -c 'trap \"echo child >>$log; exit\" TERM; echo ready; while :; do sleep 0.05; done'"
	wait_for '[ -n "$(prop p stdout)" ] && [ -n "$(prop p/c stdout)" ]'
	put p/state stop
	[ "$(paste -sd ' ' "$log")" = 'child parent' ]
	prop_is p/c state stopped
	want_errno EINVAL put p/state 'stop soon'
	want_errno EINVAL put p/state 'stop -1'
	want_errno EINVAL put p/state 'pause 3'
}

@test "a stop keeps its deadline when the worker is killed meanwhile, and who waits for it is answered" {
	bring a stopping # 1000 seconds; the default here is 2
	kill_worker
	sleep 2.5
	prop_is a state stopping
	put a/state 'stop 0'
	prop_is a state stopped
	bring b stopping
	in_background bash -c 'echo "stop 3" >"$PORTO_ROOT/b/state" && touch "$0"' "$BATS_TEST_TMPDIR/done"
	kill_worker
	state_is b stopped
	wait_for '[ -e "$BATS_TEST_TMPDIR/done" ]'
}

@test "kill sends any signal, by name or number, to the main process alone" {
	local sig number
	while read -r sig number; do
		ct_start a command='sleep 1000'
		put a/state "kill $sig"
		prop a wait >/dev/null
		prop_is a exit_code "-$number"
		ct_destroy a
	done <<-'END'
		INT 2
		SIGHUP 1
		10 10
		usr2 12
		34 34
	END
	ct_start a command='sleep 1000'
	put a/state kill # SIGTERM
	prop a wait >/dev/null
	prop_is a exit_code -15
	ct_destroy a
	ct_start a command='sleep 1000'
	want_errno EINVAL put a/state 'kill NOSUCH'
	want_errno EINVAL put a/state 'kill 65'
	want_errno EINVAL put a/state 'kill -9'
	prop_is a state running
	ct_start a/b command='sleep 1000' isolate=false
	put a/b/state 'kill STOP'
	put a/b/state 'kill CONT'
	put a/b/state 'kill KILL'
	state_is a/b dead
	prop_is a/b exit_code -9
	prop_is a state running
}

@test "pause freezes the subtree; a child of a paused parent can neither be resumed, stopped nor restarted alone" {
	ct_start a command='sleep 1000'
	ct_start a/b command='sh -c "while :; do sleep 0.01; done"'
	ct_start a/b/c
	put a/state pause
	[ "$(cat "$PORTO_ROOT"/{a,a/b,a/b/c}/state | paste -sd ' ')" = 'paused paused paused' ]
	local used verb
	used=$(prop a cpu_usage)
	sleep 0.2
	prop_is a cpu_usage "$used"
	for verb in resume stop restart start pause kill respawn; do
		want_errno EBUSY put a/b/state "$verb"
		error_says a/b '8 InvalidState:('
	done
	put a/state resume
	[ "$(cat "$PORTO_ROOT"/{a,a/b,a/b/c}/state | paste -sd ' ')" = 'running running meta' ]
	# A child paused by itself stays so when its parent is resumed.
	put a/b/state pause
	put a/state pause
	put a/state resume
	[ "$(cat "$PORTO_ROOT"/{a,a/b,a/b/c}/state | paste -sd ' ')" = 'running paused paused' ]
	put a/b/state resume
	prop_is a/b/c state meta
	# A new child of a paused one; removing one; stopping all of it.
	put a/state pause
	mkdir "$PORTO_ROOT/a/n"
	want_errno EBUSY put a/n/state start
	rmdir "$PORTO_ROOT/a/b"
	put a/state stop
	prop_is a state stopped
	no_leaks
}

@test "a stop reaches what is paused: the soft signal acts with the thaw" {
	local log=$BATS_TEST_TMPDIR/log
	ct_start a command="sh -c 'trap \"echo told >>$log; exit\" TERM; echo ready; while :; do sleep 0.05; done'"
	wait_for '[ -n "$(prop a stdout)" ]'
	put a/state pause
	put a/state stop
	[ "$(cat "$log")" = told ]
}

@test "restart: children end stopped; output and exit facts of the run before are gone" {
	ct_start a command='sh -c "echo run; sleep 1000"'
	ct_start a/b command='sleep 1000'
	wait_for '[ "$(prop a stdout)" = run ]'
	local before
	before=$(prop a root_pid)
	put a/state restart
	prop_is a state running
	prop_is a/b state stopped
	[ "$(prop a root_pid)" != "$before" ]
	wait_for '[ "$(prop a stdout)" = run ]'
	prop_is a/b start_error ''
}

@test "respawn: delay, count, limit, by hand, and respawning is a state of its own" {
	ct_start a command=false respawn=true respawn_delay=1000s
	state_is a respawning
	prop_is a respawn_count 0
	put a/respawn_delay 50ms
	put a/state respawn # by hand, at once
	wait_for '[ "$(prop a respawn_count)" -ge 3 ]'
	put a/respawn false
	state_is a dead
	prop_is a exit_code 1
	ct_start b command='sh -c "exit 3"' max_respawns=2
	state_is b dead
	put b/state respawn
	wait_for '[ "$(prop b state)" = dead ]'
	put b/state respawn
	wait_for '[ "$(prop b state)" = dead ]'
	prop_is b respawn_count 2
	want_errno EAGAIN put b/state respawn
	error_says b '10 ResourceNotAvailable:('
	prop_is b state dead
	put b/respawn_count 0
	put b/state respawn
	put b/state stop
	prop_is b respawn_count 1
	# Not below a dead parent; children with respawn come back with their parent.
	ct_start p command='sleep 1000'
	ct_start p/c command='sleep 1000' respawn=true respawn_delay=50ms
	put p/state kill
	state_is p dead
	wait_for '[[ $(prop p/c state) == @(dead|respawning) ]]'
	want_errno EBUSY put p/c/state respawn
	put p/state respawn
	state_is p/c running
}

@test "a job respawns too, and what its lives had left in the background is killed" {
	ct_start m
	ct_start m/j virt_mode=job command='sh -c "sleep 1000 & exit 1"' respawn=true respawn_delay=50ms
	wait_for '[ "$(prop m/j respawn_count)" -ge 3 ]'
	put m/j/respawn false
	state_is m/j dead
	prop_is m/j exit_code 1
	wait_for '[ "$(prop m process_count)" = 1 ]'
	no_crashes
}

@test "meta containers hold children, are limited, paused and stopped with them" {
	ct_start m memory_limit=256M
	prop_is m state meta
	ct_start m/a command='sleep 1000'
	ct_start m/b command='sleep 1000' isolate=false
	prop_is m process_count "$(($(prop m/a process_count) + $(prop m/b process_count) + $(
		[ "$(prop m process_count)" -gt 3 ] && echo 1 || echo 0)))"
	want_errno EBUSY put m/state kill
	put m/state pause
	prop_is m/b state paused
	put m/state resume
	prop_is m state meta
	# wait: a meta is done when nothing below it runs any more
	put m/a/state stop
	put m/b/state stop
	prop_is m wait meta
	put m/state stop
	prop_is m state stopped
}

@test "a dead container is destroyed when aging_time is over, also when it was over while no daemon ran" {
	ct_run a command=true aging_time=1
	ct_run b command=true aging_time=3
	ct_run c command=true
	wait_for '[ ! -e "$PORTO_ROOT/a" ]'
	daemon_stop
	sleep 3
	daemon_up
	wait_for '[ ! -e "$PORTO_ROOT/b" ]'
	prop_is c state dead
	put c/aging_time 1 # counts from the death
	wait_for '[ ! -e "$PORTO_ROOT/c" ]'
}

@test "weak: the container lives as long as somebody holds the file open" {
	local client
	ct_start w command='sleep 1000'
	setsid -f bash -c 'exec 9>"$PORTO_ROOT/w/weak"; echo true >&9; echo $$ >"$1"; exec sleep 1000 9>&9' - \
		"$BATS_TEST_TMPDIR/client" >/dev/null 2>&1 3>&- 4>&- </dev/null
	wait_for '[ -s "$BATS_TEST_TMPDIR/client" ] && [ "$(prop w weak)" = true ]'
	read -r client <"$BATS_TEST_TMPDIR/client"
	kill_worker # its descriptor is the kernel's, and known to the next worker
	prop_is w state running
	kill -9 "$client"
	wait_for '[ ! -e "$PORTO_ROOT/w" ]'
	# Cleared again, it outlives its client.
	ct_new v
	bash -c 'exec 9>"$PORTO_ROOT/v/weak"; echo true >&9; echo false >"$PORTO_ROOT/v/weak"'
	prop_is v weak false
}

@test "16 levels; the 17th, long names and reserved ones are refused; container.max_total is a limit" {
	local path=l1 i long
	mkdir "$PORTO_ROOT/l1"
	for ((i = 2; i <= 16; i++)); do
		path+=/l$i
		mkdir "$PORTO_ROOT/$path"
	done
	prop_is "$path" level 16
	want_errno EINVAL mkdir "$PORTO_ROOT/$path/l17"
	error_says 'level'
	put "$path/command" 'sleep 1000'
	put "$path/state" start
	prop_is "$path" state running
	prop_is l1 state meta
	put l1/state stop
	prop_is "$path" state stopped
	printf -v long '%*s' 129 ''
	want_errno ENAMETOOLONG mkdir "$PORTO_ROOT/${long// /n}"
	mkdir "$PORTO_ROOT/${long:1:1}n" 2>/dev/null && fail 'a blank in a name'
	mkdir "$PORTO_ROOT/${long// /n}" 2>/dev/null && fail '129 bytes'
	long=${long:1}
	mkdir "$PORTO_ROOT/${long// /n}"
	want_errno ENAMETOOLONG mkdir -p "$PORTO_ROOT/${long// /n}/${long// /m}"
	want_errno EEXIST mkdir "$PORTO_ROOT/l1"
	want_errno EEXIST mkdir "$PORTO_ROOT/cpu_limit"
	want_errno EEXIST mkdir "$PORTO_ROOT/self"
	want_errno EINVAL mkdir "$PORTO_ROOT/.hidden"
	want_errno EINVAL mkdir "$PORTO_ROOT/a+b"
	want_errno ENOENT mkdir "$PORTO_ROOT/none/x"
	want_errno EPERM mkdir "$PORTO_ROOT/.porto/x"
	want_errno EPERM rmdir "$PORTO_ROOT/.porto"
	want_errno ENOENT rmdir "$PORTO_ROOT/none"
}

@test "the death of the main process is the death of all that is below, each with its own facts" {
	local name
	ct_start a command='sleep 1000'
	ct_start a/run command='sleep 1000'
	ct_run a/done command='sh -c "exit 9"'
	ct_new a/idle command=true
	ct_start a/meta
	ct_start a/meta/deep command='sleep 1000'
	put a/state 'kill KILL'
	prop a wait >/dev/null
	prop_is a exit_code -9
	for name in a/run a/meta a/meta/deep; do
		prop_is "$name" state dead
	done
	prop_is a/done exit_code 9
	prop_is a/idle state stopped
	put a/state stop
	for name in a a/run a/done a/meta a/meta/deep; do
		prop_is "$name" state stopped
	done
}

@test "start_timeout undoes a start that hangs, a stop ends it, and the reason stays in start_error" {
	bring a starting
	put a/state stop
	prop_is a state stopped
	[[ $(prop a start_error) == InvalidState:* ]] || fail "$(prop a start_error)"
	rm -f "$HOLD"
	put a/state start
	prop_is a start_error ''
	put a/state stop
	bring b starting
	kill_worker # a start goes on with the next worker
	rm -f "$HOLD"
	state_is b running
	no_leaks
}

@test "who waits for the start of a parent is answered when that start can't even be undone" {
	local cg=/sys/fs/cgroup/freezer/$TEST_CGROUP-foreign
	[ -e /sys/fs/cgroup/freezer/tasks ] && ! grep -q '^freezer: v1' "$PORTO_ROOT/.porto/features" || skip 'no v1 freezer of somebody else'
	mkdir "$cg"
	touch "$HOLD"
	ct_new a command='sleep 1000'
	ct_new a/b command='sleep 1000'
	in_background bash -c 'echo start >"$PORTO_ROOT/a/b/state"; touch "$0"' "$BATS_TEST_TMPDIR/answered"
	state_is a starting
	cat "$(cut -d: -f2 <<<"$(prop a cgroups)" | sed 's/^ *//;s/;.*//')/cgroup.procs" >"$BATS_TEST_TMPDIR/pid"
	[ -s "$BATS_TEST_TMPDIR/pid" ]
	cat "$BATS_TEST_TMPDIR/pid" >"$cg/cgroup.procs"
	echo FROZEN >"$cg/freezer.state"
	in_background put a/state stop
	wait_for '[ -e "$BATS_TEST_TMPDIR/answered" ]'
	[[ $(prop a/b start_error) == *'parent a'* ]] || fail "$(prop a/b start_error)"
	prop_is a/b state stopped
	echo THAWED >"$cg/freezer.state"
	state_is a stopped
}

@test "nobody is born into a frozen cgroup: a respawn waits for the parent's resume, a start is refused, the worker stays" {
	local worker dir
	worker=$(worker_pid)
	ct_start p
	ct_start p/r command='sleep 0.1' respawn=true respawn_delay=300ms
	ct_new p/k command='sleep 1000'
	wait_for '[ "$(prop p/r respawn_count)" -gt 0 ]'
	wait_for '[ "$(prop p/r state)" = respawning ]'
	put p/state pause
	sleep 1
	[[ $(prop p/r state) == @(respawning|paused) ]]
	put p/state resume
	local count
	count=$(prop p/r respawn_count)
	wait_for "[ \"\$(prop p/r respawn_count)\" -gt $((count + 1)) ]"
	ct_destroy p/r
	# somebody else has frozen it
	dir=$(prop p 'cgroups[freezer]')
	if [ -e "$dir/cgroup.freeze" ]; then echo 1 >"$dir/cgroup.freeze"; else echo FROZEN >"$dir/freezer.state"; fi
	want_errno EBUSY timeout 10 bash -c 'echo start >"$PORTO_ROOT/p/k/state"'
	error_says p/k 'is frozen'
	if [ -e "$dir/cgroup.freeze" ]; then echo 0 >"$dir/cgroup.freeze"; else echo THAWED >"$dir/freezer.state"; fi
	put p/k/state start
	[ "$(worker_pid)" = "$worker" ]
}
