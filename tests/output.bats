#!/usr/bin/env bats
# Standard streams of the main process, and the facts of its end.
# Not in the guest, which is slow (`make check-vm` runs it there): files that the daemon keeps.
#
# shellcheck disable=SC2016 # shells in containers, conditions of wait_for

bats_require_minimum_version 1.5.0
load helpers

teardown() {
	destroy_all
}

@test "/dev/fd/N of the writer is the container's stdin, stdout, stderr, after the writer is gone too" {
	local dir=$BATS_TEST_TMPDIR
	echo input >"$dir/in"
	ct_new a command='sh -c "cat; echo bad >&2; sleep 0.3; echo later"'
	# The writer keeps nothing: the descriptors are taken at the write.
	bash -c 'exec 7<"$1/in" 8>"$1/out" 9>"$1/err"
		echo /dev/fd/7 >"$PORTO_ROOT/a/stdin_path"
		echo /dev/fd/8 >"$PORTO_ROOT/a/stdout_path"
		echo /dev/fd/9 >"$PORTO_ROOT/a/stderr_path"' - "$dir"
	put a/state start
	prop_is a wait dead
	[ "$(cat "$dir/out")" = $'input\nlater' ]
	[ "$(cat "$dir/err")" = bad ]
	want_errno ENODATA prop a stdout
	error_says '6 InvalidData:('
	prop_is a stdout_path /dev/fd/8
}

@test "a pipe as stdout: the reader sees the end when the container has died" {
	ct_new b command='seq 1 20000'
	mkfifo "$BATS_TEST_TMPDIR/fifo"
	setsid -f bash -c 'cksum <"$1/fifo" >"$1/sum"' - "$BATS_TEST_TMPDIR" 3>&- 4>&-
	bash -c 'exec 8>"$1/fifo"; echo /dev/fd/8 >"$PORTO_ROOT/b/stdout_path"; echo start >"$PORTO_ROOT/b/state"' - "$BATS_TEST_TMPDIR"
	prop_is b wait dead
	wait_for '[ -s "$BATS_TEST_TMPDIR/sum" ]'
	[ "$(cat "$BATS_TEST_TMPDIR/sum")" = "$(seq 1 20000 | cksum)" ]
}

@test "paths: read from, appended to, as the task's user; what it may not open is the reason of the failed start" {
	echo hello >"$TEST_DIR/in"
	echo before >"$TEST_DIR/out"
	ct_run a command='cat' stdin_path="$TEST_DIR/in" stdout_path="$TEST_DIR/out" stderr_path=/dev/null
	[ "$(cat "$TEST_DIR/out")" = $'before\nhello' ]
	prop_is a stdout $'before\nhello'
	install -m 600 /dev/null "$TEST_DIR/secret"
	ct_new b command=cat user=daemon stdin_path="$TEST_DIR/secret"
	want_errno EACCES put b/state start
	[[ $(prop b start_error) == *secret* ]]
	ct_new c command=true stdout_path="$TEST_DIR/none/out"
	want_errno ENOENT put c/state start
	rm -f "$TEST_DIR"/{in,out,secret}
}

@test "by default output is kept in files of the task's user, and a respawn appends" {
	ct_start a command='sh -c "echo out; echo err >&2; exit 1"' user=daemon respawn=true respawn_delay=50ms max_respawns=2
	wait_for '[ "$(prop a state)" = dead ] && [ "$(prop a respawn_count)" = 2 ]'
	prop_is a stdout $'out\nout\nout'
	prop_is a stderr $'err\nerr\nerr'
	[ "$(stat -c %U "$WORK_DIR/a/stdout")" = daemon ]
	put a/state restart
	wait_for '[ "$(prop a state)" = dead ]'
	[ "$(prop a stdout | wc -l)" -le 3 ]
}

@test "a link put in the place of the output file is not followed" {
	echo secret >"$TEST_DIR/secret"
	ct_start a command="sh -c 'rm stdout; ln -s $TEST_DIR/secret stdout; sleep 1000'"
	wait_for '[ -L "$WORK_DIR/a/stdout" ]'
	run ! prop a stdout
	run ! grep -q secret "$PORTO_ROOT/a/stdout"
	[ "$(stat -c %s "$PORTO_ROOT/a/stdout")" = 0 ]
	put a/state stop
	[ "$(cat "$TEST_DIR/secret")" = secret ]
	rm "$TEST_DIR/secret"
}

@test "deaths while no worker runs are exact: codes, signals, times" {
	local i code
	for i in 0 1 2 3 4 5 6 7; do
		ct_start "c$i" command="sh -c 'while [ ! -e $TEST_DIR/go ]; do sleep 0.05; done; [ $i -lt 4 ] && exit $((i * 60 + 10)); kill -$i \$\$'"
	done
	kill -STOP "$(supervisor_pid)"
	kill -9 "$(worker_pid)"
	touch "$TEST_DIR/go"
	for i in 0 1 2 3 4 5 6 7; do
		wait_for "! pgrep -f '[w]hile . ! -e $TEST_DIR/go' >/dev/null"
	done
	kill -CONT "$(supervisor_pid)"
	for i in 0 1 2 3 4 5 6 7; do
		prop_is "c$i" wait dead
		code=$((i * 60 + 10))
		[ "$i" -lt 4 ] || code=-$i
		prop_is "c$i" exit_code "$code"
	done
	rm "$TEST_DIR/go"
}

@test "out of memory: -99, oom_killed, counted in oom_kills and in the totals of the ancestors" {
	need memory
	ct_start p
	ct_new p/a command='sh -c "head -c 200M /dev/zero | tail"' memory_limit=16M
	put p/a/state start
	prop_is p/a wait dead
	prop_is p/a oom_killed true
	prop_is p/a exit_code -99
	[ "$(prop p/a oom_kills)" -ge 1 ]
	[ "$(prop p oom_kills_total)" -ge 1 ]
	[ "$(cat "$PORTO_ROOT/oom_kills_total")" -ge 1 ]
	error_says p/a 'out of memory: its memory_limit'
	put p/a/state stop
	prop_is p/a oom_kills 0
	[ "$(prop p/a oom_kills_total)" -ge 1 ]
	rmdir "$PORTO_ROOT/p/a"
	[ "$(prop p oom_kills_total)" -ge 1 ]
	# A memory limit too small even to start: the reason is told, nothing is left.
	ct_new q command='sh -c "head -c 200M /dev/zero | tail; exit 0"' memory_limit=16M
	put q/state start
	prop_is q wait dead
	[[ $(prop q exit_code) == @(-99|0) ]]
}

@test "root: a directory becomes the root, with proc, dev, pts and shm of its own, and nothing of the host" {
	command -v busybox >/dev/null || skip 'no busybox'
	local root=$TEST_DIR/root
	mkdir -p "$root/bin" "$root/etc" "$root/data"
	cp "$(command -v busybox)" "$root/bin/busybox"
	local name
	for name in sh ls cat echo mount ps readlink test sleep id; do
		ln -s busybox "$root/bin/$name"
	done
	echo inside >"$root/etc/mark"
	ct_run a root="$root" command='/bin/sh -c "cat /etc/mark; pwd; ls /; ls -d /dev/null /dev/pts/ptmx /dev/shm /proc/self/fd; echo x >/dev/shm/f; cat /dev/shm/f; echo y >/dev/null; ls /proc | grep -c ^[0-9]; id -u"'
	prop a stdout >"$BATS_TEST_TMPDIR/out"
	prop a stderr >&2
	grep -qx inside "$BATS_TEST_TMPDIR/out"
	[ "$(sed -n 2p "$BATS_TEST_TMPDIR/out")" = / ]
	for name in /dev/null /dev/pts/ptmx /dev/shm /proc/self/fd x; do
		grep -qx "$name" "$BATS_TEST_TMPDIR/out" || fail "no $name: $(cat "$BATS_TEST_TMPDIR/out")"
	done
	run ! grep -qx usr "$BATS_TEST_TMPDIR/out"
	prop_is a root_path "$root"
	# The root of a child is seen from its parent's.
	mkdir -p "$root/sub"
	cp -a "$root/bin" "$root/sub/"
	echo deeper >"$root/sub/mark"
	ct_start p root="$root" command='/bin/sleep 1000'
	ct_run p/c root=/sub command='/bin/cat /mark'
	prop_is p/c stdout deeper
	prop_is p/c root_path "$root/sub"
	# bind: into the root, read-only, and of a file of the parent's
	ct_run b root="$root" bind="$root/etc /data ro" command='/bin/sh -c "cat /data/mark; echo z >/data/mark"'
	prop_is b stdout inside
	[ "$(cat "$root/etc/mark")" = inside ]
	ct_new n root="$TEST_DIR/none" command=true
	want_errno ENOENT put n/state start
	[[ $(prop n start_error) == *none* ]]
	destroy_all
	no_leaks
	[ "$(find "$root/dev" "$root/proc" -mindepth 1 2>/dev/null | wc -l)" = 0 ]
	rm -rf "$root"
}

@test "bind without a root: the container sees it, the host does not, flags hold" {
	mkdir -p "$TEST_DIR/src" "$TEST_DIR/dst"
	echo seen >"$TEST_DIR/src/file"
	ct_run a bind="$TEST_DIR/src $TEST_DIR/dst ro" command="sh -c 'cat $TEST_DIR/dst/file; echo no >$TEST_DIR/dst/file; exit \$?'"
	prop_is a stdout seen
	[ "$(prop a exit_code)" != 0 ]
	[ "$(cat "$TEST_DIR/src/file")" = seen ]
	[ -z "$(ls "$TEST_DIR/dst")" ]
	ct_run w bind="$TEST_DIR/src $TEST_DIR/dst" command="sh -c 'echo written >$TEST_DIR/dst/file'"
	[ "$(cat "$TEST_DIR/src/file")" = written ]
	ct_new n bind="$TEST_DIR/none $TEST_DIR/dst" command=true
	want_errno ENOENT put n/state start
	rm -r "$TEST_DIR/src" "$TEST_DIR/dst"
}
