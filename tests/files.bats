#!/usr/bin/env bats
# Files as the tools of a shell user see them: modes, sizes, poll, tail, append, editors, long and binary values, events.
#
# shellcheck disable=SC2016 # shells in containers, conditions of wait_for

bats_require_minimum_version 1.5.0
load helpers

teardown() {
	destroy_all
}

# to_background FILE COMMAND...: the command's output goes to FILE; not a child of this shell, and its pid is in FILE.pid.
to_background() {
	local out=$1
	shift
	setsid -f bash -c 'out=$1; shift; echo $$ >"$out.pid"; exec "$@" >"$out" 2>&1' - "$out" "$@" 3>&- 4>&- </dev/null >/dev/null 2>&1
	wait_for "[ -s $out.pid ] && [ -e $out ]"
}

@test "ls -l: owner, group, mode, size and times are those of the container; stdout has its true size" {
	ct_start a command='sh -c "printf 12345; sleep 1000"' private=x
	put a/state stop
	[ "$(stat -c '%U:%G %a %F' "$PORTO_ROOT/a")" = 'root:root 755 directory' ]
	[ "$(stat -c '%U:%G %a' "$PORTO_ROOT")" = "root:$TEST_GROUP 775" ]
	[ "$(stat -c '%a %s %F' "$PORTO_ROOT/a/cpu_limit")" = '644 4096 regular file' ]
	[ "$(stat -c '%a' "$PORTO_ROOT/a/cpu_usage")" = 444 ]
	[ "$(stat -c '%a' "$PORTO_ROOT/a/attach")" = 200 ]
	[ "$(stat -c %Y "$PORTO_ROOT/a/private")" = "$(prop a 'change_time[raw]')" ]
	put a/state start
	wait_for '[ "$(stat -c %s "$PORTO_ROOT/a/stdout")" = 5 ]'
	put a/labels "$(printf 'TEST.a: %05000d' 1)"
	wait_for '[ "$(stat -c %s "$PORTO_ROOT/a/labels")" = 5009 ]' 3
	want_errno EBUSY chown daemon:daemon "$PORTO_ROOT/a"
	put a/state stop
	chown daemon:daemon "$PORTO_ROOT/a"
	prop_is a owner_user daemon
	prop_is a owner_group daemon
	wait_for '[ "$(stat -c %U:%G "$PORTO_ROOT/a" "$PORTO_ROOT/a/private" | sort -u)" = daemon:daemon ]' 3
	chown root "$PORTO_ROOT/a/private" # any of its files will do
	prop_is a owner_user root
	want_errno EPERM chmod 600 "$PORTO_ROOT/a/private"
	chmod 644 "$PORTO_ROOT/a/private" # what it is already
	touch "$PORTO_ROOT/a/private"
}

@test "what a property file is not for is refused with a clear errno and leaves it as it was" {
	ct_new a command=true
	want_errno EPERM rm -f "$PORTO_ROOT/a/command"
	want_errno EPERM mv "$PORTO_ROOT/a/command" "$PORTO_ROOT/a/env"
	want_errno EPERM mv "$PORTO_ROOT/a" "$PORTO_ROOT/b"
	want_errno EPERM ln "$PORTO_ROOT/a/command" "$PORTO_ROOT/a/x"
	want_errno EPERM ln -s x "$PORTO_ROOT/a/x"
	want_errno EPERM mknod "$PORTO_ROOT/a/x" p
	run ! sed -i s/true/false/ "$PORTO_ROOT/a/command"
	run ! bash -c 'echo x >"$PORTO_ROOT/a/nosuch"'
	[[ $output == *'No such file'* ]]
	want_errno EACCES put a/cpu_usage 1
	want_errno EACCES cat "$PORTO_ROOT/a/attach"
	truncate -s 0 "$PORTO_ROOT/a/command"
	: >"$PORTO_ROOT/a/command"
	prop_is a command true
}

@test "poll on state wakes at each change, also when a worker is killed in between" {
	ct_new a command='sleep 1000'
	to_background "$BATS_TEST_TMPDIR/polled" "$REPO/build/polls" "$PORTO_ROOT/a/state" 6 $((5000 * PORTO_SLOW))
	wait_for 'grep -q "reading stopped" "$BATS_TEST_TMPDIR/polled"'
	put a/state start
	wait_for 'grep -q "changed running" "$BATS_TEST_TMPDIR/polled"'
	kill_worker
	put a/state pause
	wait_for 'grep -q "changed paused" "$BATS_TEST_TMPDIR/polled"'
	put a/state resume
	put a/state kill
	wait_for 'grep -q "changed dead" "$BATS_TEST_TMPDIR/polled"'
	run ! grep -q timeout "$BATS_TEST_TMPDIR/polled"
}

@test "poll on events: there is nothing to read before the next line is there, also with another worker" {
	local out=$BATS_TEST_TMPDIR/polled
	exec 7<"$PORTO_ROOT/.porto/events"
	run ! read -t 0 -u 7
	[ "$("$REPO/build/polls" "$PORTO_ROOT/.porto/events" 1 100 -)" = timeout ]
	to_background "$out" "$REPO/build/polls" "$PORTO_ROOT/.porto/events" 3 $((20000 * PORTO_SLOW)) -
	wait_for 'grep -q poll "/proc/$(cat "$BATS_TEST_TMPDIR/polled.pid")/wchan"'
	ct_new a
	wait_for 'grep -q "ready .*created.a" "$BATS_TEST_TMPDIR/polled"'
	kill_worker
	run ! grep -q ready.*ready "$out"
	rmdir "$PORTO_ROOT/a"
	wait_for 'grep -q "ready .*destroyed.a" "$BATS_TEST_TMPDIR/polled"'
	read -t 0 -u 7
	read -r line <&7
	[[ $line == *$'\tcreated\ta' ]] || fail "$line"
	read -t 0 -u 7
	read -r line <&7
	[[ $line == *$'\tdestroyed\ta' ]] || fail "$line"
	run ! read -t 0 -u 7
	[ "$("$REPO/build/polls" "$PORTO_ROOT/.porto/events?since=0" 1 100 - | cut -c1-7)" = 'ready 1' ]
	exec 7<&-
	kill "$(cat "$out.pid")"
}

@test "tail -f follows stdout, also over the death of the worker" {
	ct_start a command='sh -c "echo one; while [ ! -e go ]; do sleep 0.05; done; echo two; sleep 1000"'
	wait_for '[ -s "$PORTO_ROOT/a/stdout" ]'
	to_background "$BATS_TEST_TMPDIR/tail" tail -s 0.1 -n +1 -f "$PORTO_ROOT/a/stdout"
	wait_for 'grep -q one "$BATS_TEST_TMPDIR/tail"'
	kill_worker
	touch "$WORK_DIR/a/go"
	wait_for 'grep -q two "$BATS_TEST_TMPDIR/tail"'
	[ "$(cat "$BATS_TEST_TMPDIR/tail")" = $'one\ntwo' ]
	kill "$(cat "$BATS_TEST_TMPDIR/tail.pid")"
}

@test "tail -f goes on where it is though the head of stdout is dropped, also over the death of the worker" {
	ct_start a stdout_limit=64K command='sh -c "while ! [ -e go ]; do sleep 0.05; done; for i in 1 2 3 4 5 6; do seq -f \"\$i %g\" 1 5000; sleep 1; done; echo end; sleep 1000"'
	to_background "$BATS_TEST_TMPDIR/tail" tail -s 0.1 -n +1 -f "$PORTO_ROOT/a/stdout"
	sleep 0.3
	touch "$WORK_DIR/a/go"
	wait_for '[ "$(prop a stdout_offset)" -gt 0 ]'
	kill_worker
	wait_for 'grep -q end "$BATS_TEST_TMPDIR/tail"' 20
	cmp "$BATS_TEST_TMPDIR/tail" <(for i in 1 2 3 4 5 6; do seq -f "$i %g" 1 5000; done; echo end) || fail "$(head -c 300 "$BATS_TEST_TMPDIR/tail")"
	# who comes later sees what is kept, whole lines, and its size
	cp "$PORTO_ROOT/a/stdout" "$BATS_TEST_TMPDIR/copy"
	[ "$(wc -c < <(cat "$PORTO_ROOT/a/stdout"))" = "$(stat -c %s "$PORTO_ROOT/a/stdout")" ]
	cmp "$BATS_TEST_TMPDIR/copy" <(tail -c "$(stat -c %s "$PORTO_ROOT/a/stdout")" "$BATS_TEST_TMPDIR/tail")
	[ "$(wc -c <"$PORTO_ROOT/a/stdout")" = "$(stat -c %s "$BATS_TEST_TMPDIR/copy")" ]
	[ "$(tail -n 2 "$PORTO_ROOT/a/stdout")" = $'6 5000\nend' ]
	kill "$(cat "$BATS_TEST_TMPDIR/tail.pid")"
	# another life begins at its beginning
	put a/state stop
	rm -f "$WORK_DIR/a/go"
	put a/command 'echo again'
	put a/state start
	prop_is a wait dead
	[ "$(cat "$PORTO_ROOT/a/stdout")" = again ]
}

@test "stdout by offset and length, with a limit and a head that is dropped" {
	ct_start a stdout_limit=64K command='sh -c "seq 1 100000; echo end; sleep 1000"'
	wait_for 'prop a stdout | tail -n 1 | grep -q end'
	wait_for '[ "$(prop a stdout_offset)" -gt 0 ]'
	local offset total
	offset=$(prop a stdout_offset)
	total=$(($(seq 1 100000 | wc -c) + 4))
	[ "$(stat -c %s "$PORTO_ROOT/a/stdout")" -le "$total" ]
	# What is left is exactly the tail of what was written.
	(seq 1 100000; echo end) >"$BATS_TEST_TMPDIR/all"
	prop a 'stdout[:100]' | cmp - <(tail -c 100 "$BATS_TEST_TMPDIR/all")
	prop a "stdout[$offset:50]" | cmp - <(tail -c +$((offset + 1)) "$BATS_TEST_TMPDIR/all" | head -c 50)
	prop a "stdout[$((total - 7)):]" | cmp - <(tail -c 7 "$BATS_TEST_TMPDIR/all")
	prop a "stdout[$((total - 7))]" | cmp - <(tail -c 7 "$BATS_TEST_TMPDIR/all")
	want_errno ENODATA prop a "stdout[$((offset - 1)):10]"
	error_says '6 InvalidData:('
	[ "$(prop a "stdout[$total:10]")" = '' ]
	want_errno EINVAL prop a 'stdout[x]'
	prop a stdout >"$BATS_TEST_TMPDIR/read"
	cmp "$BATS_TEST_TMPDIR/read" <(tail -c "$(stat -c %s "$BATS_TEST_TMPDIR/read")" "$BATS_TEST_TMPDIR/all")
	# The file on disk holds little more than the limit.
	[ "$(du -k "$WORK_DIR/a/stdout" | cut -f1)" -le 200 ]
	prop_is a stderr ''
	prop_is a stderr_offset 0
}

@test ">> adds to lists and maps and is refused where there is nothing to add to" {
	ct_new a
	add a/env A=1
	add a/env B=2
	add a/env A=3
	prop_is a env 'A=3;B=2'
	add a/ulimit 'nofile: 10 20'
	add a/ulimit 'core: 0'
	prop_is a 'ulimit[nofile]' 'nofile: 10 20'
	prop_is a 'ulimit[core]' 'core: 0 0'
	add a/command_argv echo
	add a/command_argv 'two words'
	prop_is a command_argv $'echo\ttwo words'
	add a/bind '/usr /mnt ro'
	add a/bind '/etc /opt ro'
	prop_is a bind '/usr /mnt ro;/etc /opt ro'
	add a/controllers cpu
	prop_is a 'controllers[cpu]' true
	ct_new b cpu_limit=1c
	run ! add b/cpu_limit 2c
	prop_is b cpu_limit 1c
}

@test "tee, cp, dd, sed, read, while read, grep -r, find, wc and an editor do what they do with files" {
	ct_new a
	ct_new b
	echo 'sleep 1000' | tee "$PORTO_ROOT/a/command" >/dev/null
	echo 'x y' >"$BATS_TEST_TMPDIR/value"
	cp "$BATS_TEST_TMPDIR/value" "$PORTO_ROOT/a/private"
	prop_is a private 'x y'
	cp "$PORTO_ROOT/a/private" "$PORTO_ROOT/b/private"
	prop_is b private 'x y'
	cp "$PORTO_ROOT/a/private" "$BATS_TEST_TMPDIR/copy"
	cmp "$BATS_TEST_TMPDIR/copy" "$BATS_TEST_TMPDIR/value"
	echo 'd d' | dd of="$PORTO_ROOT/a/private" status=none
	echo 'e e' | dd of="$PORTO_ROOT/b/private" conv=notrunc bs=1M status=none
	prop_is b private 'e e'
	[ "$(sed -n 's/^d/D/p' "$PORTO_ROOT/a/private")" = 'D d' ]
	local line
	read -r line <"$PORTO_ROOT/a/command"
	[ "$line" = 'sleep 1000' ]
	[ "$(<"$PORTO_ROOT/a/command")" = 'sleep 1000' ]
	[ "$(grep -rl 'sleep 1000' "$PORTO_ROOT/a" | sort | paste -sd ' ')" = "$PORTO_ROOT/a/command $PORTO_ROOT/a/spec" ]
	[ "$(find "$PORTO_ROOT" -path "$PORTO_ROOT/.porto" -prune -o -name private -print | wc -l)" = 3 ]
	[ "$(wc -c <"$PORTO_ROOT/a/private")" = 4 ]
	[ "$(head -c 3 "$PORTO_ROOT/a/command")" = sle ]
	[ "$(tail -n 1 "$PORTO_ROOT/a/spec")" = 'private = d d' ]
	[ "$(paste -d , "$PORTO_ROOT"/{a,b}/private)" = 'd d,e e' ]
	# Everything is read without anything blocking; what can't be read in this state says so.
	ct_start c command='sleep 1000'
	run timeout 20 find "$PORTO_ROOT" -type f ! -perm -u=r -prune -o -type f -exec cat {} +
	[ "$status" -ne 124 ]
	# An editor may write a value in place.
	if command -v vim >/dev/null; then
		timeout 20 vim -es -u NONE -c 'set nobackup nowritebackup noswapfile' -c 's/sleep/exec sleep/' -c 'wq!' "$PORTO_ROOT/a/command" \
			</dev/null
		prop_is a command 'exec sleep 1000'
	fi

}

@test "long values whole, whoever splits them, and binary ones refused" {
	ct_new a
	ct_new b
	local size bs big
	for size in 3000 4096 65536 131000; do
		big=$(head -c "$size" /dev/urandom | od -An -tx1 | tr -d ' \n' | head -c "$size")
		for bs in 512 4096 65536 1M; do
			printf '%s\n' "$big" | dd of="$PORTO_ROOT/a/command" bs="$bs" iflag=fullblock status=none
			prop_is a command "$big"
		done
	done
	printf 'a\0b' >"$BATS_TEST_TMPDIR/nul"
	want_errno EINVAL dd if="$BATS_TEST_TMPDIR/nul" of="$PORTO_ROOT/a/private" status=none
	[ -z "$(prop a private)" ]
	printf '\377\376\001\n' >"$BATS_TEST_TMPDIR/binary"
	cp "$BATS_TEST_TMPDIR/binary" "$PORTO_ROOT/a/private" # bytes are bytes
	cmp "$BATS_TEST_TMPDIR/binary" "$PORTO_ROOT/a/private"
	kill_worker
	cmp "$BATS_TEST_TMPDIR/binary" "$PORTO_ROOT/a/private"
	# Ten megabytes are refused.
	run ! dd if=<(printf 'A='; head -c 10M /dev/zero | tr '\0' x) of="$PORTO_ROOT/b/env" bs=128K iflag=fullblock status=none
	[[ $output == *'too long'* ]] || fail "$output"
	# A spec keeps every odd character.
	put a/private $'back\\slash = equals # hash\ttab'
	ct_new c
	cat "$PORTO_ROOT/a/spec" >"$PORTO_ROOT/c/spec"
	cmp "$PORTO_ROOT/a/private" "$PORTO_ROOT/c/private"
}

@test "a descriptor open before its container goes says ENOENT, and a new container of that name is another" {
	ct_new a private=first
	exec 8<"$PORTO_ROOT/a/private"
	rmdir "$PORTO_ROOT/a"
	ct_new a private=second
	want_errno ENOENT cat <&8
	exec 8<&-
	prop_is a private second
	cd "$PORTO_ROOT/a"
	rmdir "$PORTO_ROOT/a"
	want_errno ENOENT cat private
	cd /
}

@test "events: numbered lines of every change, resumed with ?since, without a gap over the death of the worker" {
	local last
	to_background "$BATS_TEST_TMPDIR/events" cat "$PORTO_ROOT/.porto/events"
	wait_for '[ "$(ls -l /proc/$(cat "$BATS_TEST_TMPDIR/events.pid")/fd 2>/dev/null | grep -c events)" -ge 2 ]'
	ct_run a command='sh -c "exit 3"'
	put a/TEST.x 1
	wait_for 'grep -q "TEST.x" "$BATS_TEST_TMPDIR/events"'
	last=$(cut -f1 "$BATS_TEST_TMPDIR/events" | tail -n 1)
	kill_worker
	ct_destroy a
	ct_new x command=/nonexistent
	run ! put x/state start
	wait_for 'grep -q start_failed "$BATS_TEST_TMPDIR/events"'
	cut -f3- "$BATS_TEST_TMPDIR/events" | grep -P '^(created|state|label|destroyed)\ta' >"$BATS_TEST_TMPDIR/a"
	[ "$(cut -f1,3,4 "$BATS_TEST_TMPDIR/a" | tr '\t' ' ' | paste -sd ,)" = 'created,state starting,state running,state dead 3,label TEST.x = 1,destroyed' ] ||
		[ "$(cut -f1,3,4 "$BATS_TEST_TMPDIR/a" | tr '\t' ' ' | sed 's/ *$//' | paste -sd ,)" = 'created,state starting,state running,state dead 3,label TEST.x = 1,destroyed' ] ||
		fail "$(cat "$BATS_TEST_TMPDIR/a")"
	# the numbers have no gap
	cut -f1 "$BATS_TEST_TMPDIR/events" | awk 'NR > 1 && $1 != last + 1 { exit 1 } { last = $1 }' ||
		fail "$(cat "$BATS_TEST_TMPDIR/events")"
	timeout 1 cat "$PORTO_ROOT/.porto/events?since=$last" >"$BATS_TEST_TMPDIR/since" || :
	cmp "$BATS_TEST_TMPDIR/since" <(awk -v n="$last" '$1 > n' "$BATS_TEST_TMPDIR/events")
	kill "$(cat "$BATS_TEST_TMPDIR/events.pid")"
}

@test "each file of .porto says what the README promises" {
	local dir=$PORTO_ROOT/.porto
	ct_start a command='sleep 1000' memory_limit=64M
	[ -n "$(cat "$dir/version")" ]
	grep -q "^mount = $PORTO_ROOT$" "$dir/config"
	grep -q '^kernel: ' "$dir/features"
	[ "$(awk -F'\t' '$1 == "a" { print $2 }' "$dir/containers")" = running ]
	[ "$(awk -F'\t' '{ print NF }' "$dir/containers" | sort -u)" = 4 ]
	grep -qE '^[a-z_]+ [0-9]+$' "$dir/stat"
	grep -qE '^porto_.*container="a".* [0-9.e+]+$' "$dir/metrics" || fail "$(head "$dir/metrics")"
	[ "$(tail -n 1 "$dir/metrics")" = '# EOF' ]
	[ -z "$(cat "$dir/destroying")" ]
	[ -z "$(cat "$dir/leaks")" ]
	[ "$(cat "$dir/log_level")" = debug ]
	put .porto/log_level info
	[ "$(cat "$dir/log_level")" = info ]
	want_errno EINVAL put .porto/log_level loud
	put .porto/log_level debug
	want_errno EACCES as daemon put .porto/log_level info
	[ "$(cat "$dir/find[$(prop a root_pid)]")" = a ]
	[ "$(cat "$dir/find[1]")" = / ]
	want_errno EINVAL put a/cpu_limit bad
	grep -q "cpu_limit: 'bad'" "$dir/error"
	want_errno EACCES put .porto/version x
	[ "$(wc -l <"$PORTO_ROOT/README")" -gt 100 ]
}

@test "a blocked wait ends with its container's end, its removal, or a signal to the reader" {
	ct_start a command='sleep 1000'
	to_background "$BATS_TEST_TMPDIR/w1" cat "$PORTO_ROOT/a/wait"
	to_background "$BATS_TEST_TMPDIR/w2" cat "$PORTO_ROOT/a/wait"
	sleep 0.2
	[ ! -s "$BATS_TEST_TMPDIR/w1" ]
	kill "$(cat "$BATS_TEST_TMPDIR/w2.pid")"
	wait_for '! kill -0 "$(cat "$BATS_TEST_TMPDIR/w2.pid")"'
	put a/state 'kill KILL'
	wait_for '[ "$(cat "$BATS_TEST_TMPDIR/w1")" = dead ]'
	ct_start b command='sleep 1000'
	to_background "$BATS_TEST_TMPDIR/w3" cat "$PORTO_ROOT/b/wait"
	sleep 0.2
	rmdir "$PORTO_ROOT/b"
	wait_for 'grep -q "No such file" "$BATS_TEST_TMPDIR/w3"'
}

@test "long texts that are new at each read have their true size, so that nobody stops before the end or seeks past it" {
	local file
	for file in README .porto/{config,containers,features,metrics,properties} '.porto/metrics[openmetrics]'; do
		cat "$PORTO_ROOT/$file" >"$TEST_DIR/whole"
		[ "$(stat -c %s "$PORTO_ROOT/$file")" -gt 0 ] || [ ! -s "$TEST_DIR/whole" ] || fail "$file"
		[ "$(wc -c <"$PORTO_ROOT/$file")" -eq "$(wc -c < <(cat "$PORTO_ROOT/$file"))" ] || [[ $file == *metrics* ]] || fail "$file: wc"
		[ "$(tail -n 1 "$PORTO_ROOT/$file")" = "$(tail -n 1 "$TEST_DIR/whole")" ] || fail "$file: tail -n"
		[ "$(tail -c 9 "$PORTO_ROOT/$file")" = "$(tail -c 9 "$TEST_DIR/whole")" ] || fail "$file: tail -c"
		cp "$PORTO_ROOT/$file" "$TEST_DIR/copy"
		[ "$(tail -n 1 "$TEST_DIR/copy")" = "$(tail -n 1 "$TEST_DIR/whole")" ] || fail "$file: cp"
		# sendfile(2), as busybox's cat uses it, ends at the size
		[ "$(busybox cat "$PORTO_ROOT/$file" | tail -n 1)" = "$(tail -n 1 "$TEST_DIR/whole")" ] || fail "$file: sendfile"
	done
}
