#!/usr/bin/env bats
# Core dumps: core_command, coredump_filter, files, labels; the host's core_pattern.
#
# kernel.core_pattern is the whole machine's. So this runs where a file of its own lies over it, as in
#     unshare -m sh -c 'mount --make-rprivate /; cp /proc/sys/kernel/core_pattern /tmp/p; mount --bind /tmp/p /proc/sys/kernel/core_pattern; bats tests/cores.bats'
# (what the kernel would do is then done by hand), or with PORTO_TEST_CORES=1, in a guest.
#
# shellcheck disable=SC2016 # shells in containers

bats_require_minimum_version 1.5.0
# shellcheck disable=SC2034 # of helpers
PORTOD_OPTIONS=(none)
load helpers

PATTERN=/proc/sys/kernel/core_pattern

may_test() {
	[ -n "${PORTO_TEST_CORES:-}" ] || grep -q " $PATTERN " /proc/self/mountinfo
}

cores_start() {
	daemon_start core.enable=true "core.directory=$TEST_DIR/cores" core.size_limit=1M
}

setup_file() {
	test_begin
	! may_test || cores_start
}

setup() {
	may_test || skip 'the core_pattern is the whole machine'\''s'
}

teardown() {
	! may_test || destroy_all
}

is_real() {
	! grep -q " $PATTERN " /proc/self/mountinfo
}

# crash NAME: its command dies with a core; where the pattern is not the kernel's, the handler gets one by hand meanwhile
crash() {
	local pid
	put "$1/state" start
	pid=$(prop "$1" root_pid)
	if ! is_real; then
		# shellcheck disable=SC2046 # its words
		echo core | $(sed 's/^|//; s/ %P.*//' "$PATTERN") "$pid" "$pid" 3 "${2:-unlimited}" 'sl ee/p' "${3:-1}"
	fi
	kill -QUIT "$pid"
	prop "$1" wait >/dev/null
}

@test "off by default: the properties are not supported, the pattern is not touched" {
	local before
	daemon_stop
	before=$(<"$PATTERN")
	daemon_start
	ct_new a
	want_errno EOPNOTSUPP put a/core_command cat
	want_error NotSupported put a/coredump_filter 0x33
	want_errno EOPNOTSUPP prop a core_command
	[ "$(<"$PATTERN")" = "$before" ]
	destroy_all
	daemon_stop
	cores_start
}

@test "the pattern is ours while the daemon runs, also when the worker is killed, and is given back" {
	local before
	[[ $(<"$PATTERN") == "|"*"/porto-core $PORTO_ROOT %P"* ]]
	kill_worker
	[[ $(<"$PATTERN") == "|"*"/porto-core $PORTO_ROOT %P"* ]]
	daemon_stop
	before=$(<"$PATTERN")
	[[ $before != "|"*porto-core* ]]
	cores_start
}

@test "coredump_filter: hexadecimal, 0 to 1ff, in the process; not while it runs" {
	ct_new a 'command=sleep 1000'
	put a/coredump_filter 1F
	prop_is a coredump_filter 0x1f
	want_error InvalidValue put a/coredump_filter 0x200
	want_error InvalidValue put a/coredump_filter x
	put a/state start
	[ "$(cat "/proc/$(prop a root_pid)/coredump_filter")" = 0000001f ]
	want_errno EBUSY put a/coredump_filter 0x33
}

@test "core_command: from the nearest above, up to the nearest chroot" {
	ct_new a 'core_command=cat'
	ct_new a/b
	prop_is a/b core_command cat
	put a/b/core_command ''
	prop_is a/b core_command ''
	ct_new a/c root=/usr
	prop_is a/c core_command ''
}

@test "core_command: gets the core, runs as the container's user, and is counted; the child container goes" {
	ct_new a user=daemon 'command=sleep 1000' "core_command=sh -c 'head -c 4 >$TEST_DIR/got; id -u >>$TEST_DIR/got; echo \$CORE_SIG \$CORE_CONTAINER \$CORE_TASK_NAME >>$TEST_DIR/got'"
	: >"$TEST_DIR/got"
	chmod 666 "$TEST_DIR/got"
	crash a
	[ "$(head -c 4 "$TEST_DIR/got")" = core ] || is_real
	grep -qx "$(id -u daemon)" <(tail -c +5 "$TEST_DIR/got") || fail "$(cat "$TEST_DIR/got")"
	grep -q '^3 a sl' "$TEST_DIR/got"
	[ "$(prop a 'labels[CORE.total]')" = 1 ]
	[ "$(prop a 'labels[CORE.dumped]')" = 1 ]
	prop_is a exit_code -3
	[ -z "$(ls -d "$PORTO_ROOT"/a/core-* 2>/dev/null)" ]
}

@test "core_command: in a user namespace it is there as well, as root of it, and outside its owner" {
	ct_new a userns=true user=1044 group=1044 'command=sleep 1000' "core_command=sh -c 'head -c 4 >$TEST_DIR/got; id -u >>$TEST_DIR/got; cat /proc/self/uid_map >>$TEST_DIR/got'"
	: >"$TEST_DIR/got"
	chmod 666 "$TEST_DIR/got"
	crash a
	[ "$(head -c 4 "$TEST_DIR/got")" = core ] || is_real
	grep -qx 0 <(tail -c +5 "$TEST_DIR/got") || fail "$(cat "$TEST_DIR/got")"
	grep -q '^ *0 *1044 ' "$TEST_DIR/got"
	[ "$(prop a 'labels[CORE.dumped]')" = 1 ]
	[ -z "$(ls -d "$PORTO_ROOT"/a/core-* 2>/dev/null)" ]
}

@test "without a core_command: a file that the owner may read, cut at the limit; none without a core limit" {
	as daemon ct_new u 'command=sleep 1000' 'ulimit=core: unlimited'
	crash u
	local file
	file=$(find "$TEST_DIR/cores" -name 'u.*.core')
	[ -f "$file" ] || fail "$(ls -l "$TEST_DIR/cores")"
	[ "$(stat -c '%U %a' "$file")" = 'daemon 600' ]
	[ "$(stat -c %s "$file")" -le 1048576 ]
	ct_new b 'command=sleep 1000'
	crash b 0
	[ -z "$(find "$TEST_DIR/cores" -name 'b.*.core')" ]
	[ "$(prop b 'labels[CORE.total]')" = 1 ]
}

@test "attack: the core of a setuid program is neither the owner's nor for his core_command" {
	! is_real || skip 'takes fs.suid_dumpable'
	as daemon ct_new s 'command=sleep 1000' 'ulimit=core: unlimited' "core_command=sh -c 'cat >$TEST_DIR/got'"
	: >"$TEST_DIR/got"
	chmod 666 "$TEST_DIR/got"
	crash s unlimited 2
	[ ! -s "$TEST_DIR/got" ] || fail "$(cat "$TEST_DIR/got")"
	[ "$(stat -c '%U %a' "$TEST_DIR"/cores/s.*.core)" = 'root 600' ]
}
