#!/usr/bin/env bats
# What one client, a user without rights or a container's owner, may not do to all others: make the daemon wait, fill what is
# shared, fill its memory.
#
# shellcheck disable=SC2016 # shells in containers, conditions of wait_for

bats_require_minimum_version 1.5.0
load helpers

setup() {
	# thousands of threads and of files: an emulated processor needs longer than all other tests, for nothing that is different there
	[ "$PORTO_SLOW" -lt 5 ] || skip 'an emulated processor is too slow'
}

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
		want_errno ENODATA timeout 20 cat "$PORTO_ROOT/g/stdout"
		[[ $(cat "$PORTO_ROOT/g/stdout" 2>&1) != *hello* ]]
		outsider daemon timeout 20 cat "$PORTO_ROOT/.porto/version"
		as games put g/state stop
	done
	ct_run p command=true stdout_path=/proc/self/fdinfo/1
	want_errno ENODATA prop p stdout
	error_says 'file system of type proc'
	same_worker "$worker"
}

worker_kbytes() {
	awk '/^VmRSS/ { print $2 }' "/proc/$(worker_pid)/status"
}

# zeros N: a word of that many characters.
zeros() {
	printf "%0$1d" 0
}

@test "a list that grows entry by entry has a limit, and so have a container's values together" {
	local long i n=0
	long=$(zeros 120000)
	as games ct_new g env=OLD=1
	for ((i = 0; i < 12; i++)); do
		as games add g/env "V$i=$long" 2>/dev/null && n=$((n + 1))
	done
	[ "$n" = 8 ] || fail "$n entries of 120,000 bytes were added"
	error_says g 'env: the whole value would have'
	want_errno E2BIG put "g/env[W]" "$long"
	[ "$(prop g env | wc -c)" -le $((1 << 20)) ]
	put g/env OLD=1
	prop_is g env OLD=1
	# Backslashes take twice their room in the record.
	long=$(printf '%060000d' 0 | tr 0 '\134')
	for ((i = 0; i < 100; i++)); do
		put "g/TEST.l$i" "$(zeros 65000)"
	done
	n=0
	for ((i = 0; i < 16; i++)); do
		add g/env "V$i=$long\\;" 2>/dev/null && add g/env_secret "V$i=$long\\;" 2>/dev/null && n=$((n + 1))
	done
	[ "$n" -lt 16 ]
	error_says g 'all values of g together would have'
	[ -z "$(find "$STATE_DIR/ct" -size +9M)" ]
	ct_destroy g
	[[ ${PORTO_BUILD##*/} == asan ]] || [ "$(worker_kbytes)" -lt 150000 ] || fail "the worker has $(worker_kbytes) KB"
}

@test "a value that is too long is refused whole: the pieces before stay no more than the rest" {
	local i
	for ((i = 0; i < 300; i++)); do
		printf 'V%d=%s;' "$i" "$(zeros 1000)"
	done >"$BATS_TEST_TMPDIR/long"
	ct_new a env=OLD=1
	want_errno E2BIG dd if="$BATS_TEST_TMPDIR/long" of="$PORTO_ROOT/a/env" bs=1M iflag=fullblock status=none
	error_says a 'a value may have at most 262144 bytes'
	prop_is a env OLD=1
	want_errno E2BIG dd if="$BATS_TEST_TMPDIR/long" of="$PORTO_ROOT/a/env" bs=1M iflag=fullblock oflag=append conv=notrunc status=none
	prop_is a env OLD=1
	daemon_restart
	prop_is a env OLD=1
	add a/env NEW=2
	prop_is a env 'OLD=1;NEW=2'
	head -c 200000 "$BATS_TEST_TMPDIR/long" >"$PORTO_ROOT/a/env"
	[ "$(prop a env | wc -c)" = 200001 ] || fail "$(prop a env | wc -c)"
}

@test "a record that can't be read: its tasks go on, the log tells, and when it is mended the container is back" {
	local pid record
	ct_start a command='sleep 1000'
	ct_start a/b command='sleep 1000'
	pid=$(prop a/b root_pid)
	daemon_stop
	record=$(grep -l '^.name = a$' "$STATE_DIR"/ct/*)
	cp "$record" "$BATS_TEST_TMPDIR/record"
	truncate -s 65M "$record"
	daemon_up
	[ ! -e "$PORTO_ROOT/a/state" ]
	kill -0 "$pid"
	[[ $(cat "$PORTO_ROOT/.porto/leaks") == *"$TEST_CGROUP/a"* ]]
	grep -q "record ${record##*/} in .* cannot be read: File too large" "$DAEMON_LOG"
	daemon_stop
	cp "$BATS_TEST_TMPDIR/record" "$record"
	daemon_up
	prop_is a state running
	prop_is a/b root_pid "$pid"
}

@test "readers of one user that wait leave room to everybody else, and to what that user writes" {
	local pid
	ct_start a command='sleep 1000'
	as games ct_start g command='sleep 1000'
	setpriv --reuid games --regid games --clear-groups "$REPO/build/waiters" "$PORTO_ROOT/.porto/wait[none*]" 4240 400 \
		>"$BATS_TEST_TMPDIR/waiters" 2>&1 3>&- &
	pid=$!
	wait_for '[ -s "$BATS_TEST_TMPDIR/waiters" ]' 30
	[ "$(cat "$BATS_TEST_TMPDIR/waiters")" = 'refused 400' ] || fail "$(cat "$BATS_TEST_TMPDIR/waiters")"
	want_errno EAGAIN as games cat "$PORTO_ROOT/a/wait"
	[ "$(outsider daemon cat "$PORTO_ROOT/.porto/wait[none*,1]")" = '' ]
	as games put g/state stop
	put a/state 'stop 0'
	kill -0 "$pid"
	kill "$pid"
	wait "$pid" || :
	as games put g/state start
	as games put g/state stop
	[ "$(as games cat "$PORTO_ROOT/g/wait")" = stopped ]
}

@test "who begins many long values at once disturbs nobody else's" {
	ct_new a
	as games ct_new g
	bash -c '
		exec 5>"$PORTO_ROOT/a/command"
		printf "%04096d" 0 >&5
		setpriv --reuid games --regid games --groups "$(getent group "$TEST_GROUP" | cut -d: -f3)" bash -c "
			for i in {1..80}; do exec {fd}>>\"\$PORTO_ROOT/g/env\" && printf A=%04094d 0 >&\$fd || exit; done"
		echo end >&5'
	[ "$(prop a command)" = "$(printf '%04096dend' 0)" ]
}

@test "names with keys that others keep open keep nobody from others, and root's own stay" {
	local pids=() i
	ct_new a env='OWN=1;NEW=2'
	exec 7<"$PORTO_ROOT/a/env[OWN]"
	for i in {1..9}; do
		setpriv --reuid "$((60000 + i))" --regid "$((60000 + i))" --clear-groups bash -c '
			ulimit -n 1000
			for ((i = 0; i < 300; i++)); do exec {fd}<"$PORTO_ROOT/a/env[k$1_$i]" || break; done
			echo "$i" >&5
			exec sleep 1000' bash "$i" 5>"$BATS_TEST_TMPDIR/$i" 2>>"$BATS_TEST_TMPDIR/refused" 3>&- &
		pids+=($!)
		wait_for '[ -s "$BATS_TEST_TMPDIR/$i" ]'
		[ "$(cat "$BATS_TEST_TMPDIR/$i")" = 256 ]
	done
	grep -q 'Too many open files' "$BATS_TEST_TMPDIR/refused"
	prop_is a 'env[NEW]' 2
	[ "$(outsider daemon cat "$PORTO_ROOT/a/env[NEW]")" = 2 ]
	[ "$(cat <&7)" = 1 ]
	exec 7<&-
	kill "${pids[@]}"
	wait "${pids[@]}" || :
	[ "$(setpriv --reuid 60001 --regid 60001 --clear-groups cat "$PORTO_ROOT/a/env[OWN]")" = 1 ]
}

@test "a descriptor whose close may wait is not taken: network sockets, files of our own mount; Unix sockets are" {
	local worker
	worker=$(worker_pid)
	as games ct_new g command='echo out'
	want_errno EOPNOTSUPP as games timeout 60 "$REPO/build/linger" "$PORTO_ROOT/g/stdout_path"
	error_says g 'the descriptor is no file, pipe, terminal or Unix socket'
	want_errno EOPNOTSUPP as games bash -c 'exec 5<>"$PORTO_ROOT/g/private"; echo /dev/fd/5 >"$PORTO_ROOT/g/stdout_path"'
	error_says g 'on a file system of type fuse.porto'
	want_errno EOPNOTSUPP as games bash -c 'exec 5</; echo /dev/fd/5 >"$PORTO_ROOT/g/stdin_path"'
	prop_is g stdout_path ''
	[ "$(as games timeout 20 "$REPO/build/linger" "$PORTO_ROOT/g/stdout_path" "$PORTO_ROOT/g/state")" = out ]
	prop_is g wait dead
	same_worker "$worker"
}

@test "a lease on the output file is the error of a respawn, and makes nobody wait" {
	local worker pid
	worker=$(worker_pid)
	as games ct_run g command='sh -c "echo out; ! :>>/dev/null"'
	setpriv --reuid games --regid games --clear-groups "$REPO/build/lease" "$WORK_DIR/g/stdout" >"$BATS_TEST_TMPDIR/lease" 3>&- &
	pid=$!
	wait_for 'grep leased "$BATS_TEST_TMPDIR/lease"'
	want_errno EAGAIN as games put g/state respawn
	error_says g 'somebody has a lease on it'
	kill "$pid"
	wait "$pid" || :
	prop_is g state dead
	as games put g/state stop
	as games put g/state start
	prop_is g wait dead
	prop_is g stdout out
	same_worker "$worker"
}

@test "what a container has left in its work directory is swept while others are served" {
	local worker
	as games ct_run g command='sh -c "mkdir many && cd many && seq 30000 | xargs touch"'
	[ "$(prop g exit_code)" = 0 ]
	daemon_stop
	# as if the worker had died just after it had renamed it
	mv "$WORK_DIR/g/many" "$WORK_DIR/.removed-1"
	mkdir "$WORK_DIR/.removed-2"
	daemon_up
	worker=$(worker_pid)
	[ -e "$WORK_DIR/.removed-1" ]
	wait_for '[ ! -e "$WORK_DIR/.removed-1" ] && [ ! -e "$WORK_DIR/.removed-2" ]' 60
	same_worker "$worker"
}
