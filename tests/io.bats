#!/usr/bin/env bats
# Block IO: limits that hold, counters, weights and priorities, on a loop device of this file's own.
#
# shellcheck disable=SC2016 # meant for shells in containers and for wait_for

bats_require_minimum_version 1.5.0
# shellcheck disable=SC2034 # for helpers.bash: what a container may open besides the usual devices
PORTOD_OPTIONS=('container.extra_devices=/dev/loop0 rw*')
load helpers

MIB=1048576

setup_file() {
	test_begin || return
	truncate -s 64M "$TEST_DIR/image"
	LOOP=$(losetup --find --show "$TEST_DIR/image") || return
	LOOP=${LOOP#/dev/}
	export LOOP
	read -r LOOP_NUMBER <"/sys/block/$LOOP/dev"
	export LOOP_NUMBER
}

# What a limit holds back can't be killed: when a test has failed, nothing of it must stay for ever.
lift_limits() {
	local file disk
	while IFS= read -r file; do
		while read -r disk _; do
			case $file in
			*/io.max) echo "$disk rbps=max wbps=max riops=max wiops=max" >"$file" ;;
			*) echo "$disk 0" >"$file" ;;
			esac
		done <"$file"
	done < <(find /sys/fs/cgroup -path "*/$TEST_CGROUP/*" \( -name 'blkio.throttle.*_device' -o -name io.max \) 2>/dev/null)
}

teardown() {
	lift_limits
	destroy_all
	local dir
	for dir in "$TEST_DIR/fs" "$TEST_DIR/file system"; do
		! mountpoint -q "$dir" || umount "$dir"
	done
}

# maximum NAME read|write bps|iops: what the kernel has for the loop device, empty if nothing.
maximum() {
	local key=${2:0:1}$3 line
	if [[ $(grep '^blkio:' "$PORTO_ROOT/.porto/features") == 'blkio: v2 '* ]]; then
		line=$(prop "$1" io.max | grep "^$LOOP_NUMBER ") || return 0
		line=${line##*"$key="}
		line=${line%% *}
		[ "$line" = max ] || echo "$line"
	else
		prop "$1" "blkio.throttle.$2_${3}_device" | sed -n "s/^$LOOP_NUMBER //p"
	fi
}

maximum_is() {
	local now
	now=$(maximum "$1" "$2" "$3")
	[ "$now" = "$4" ] || fail "$1 $2 $3 is '$now', expected '$4'"
}

# rate NAME: bytes a second of the container's dd, by its own clock.
rate() {
	LC_ALL=C awk '/copied/ { bytes = $1; for (i = 1; i < NF; i++) if ($(i + 1) ~ /^s,?$/) seconds = $i; print int(bytes / seconds) }' \
		"$PORTO_ROOT/$1/stderr"
}

# holds WANTED COMMAND...: the rate of the container's dd is within a tenth of it; other load may spoil one try, not three.
holds() {
	local wanted=$1 got try
	shift
	for try in 1 2 3; do
		ct_run "io$try" "$@" || return
		got=$(rate "io$try")
		[ "$got" -le $((wanted * 11 / 10)) ] || fail "$got bytes a second, more than $wanted" || return
		[ "$got" -lt $((wanted * 9 / 10)) ] || return 0
	done
	fail "$got bytes a second, less than $wanted"
}

READ='command=dd if=/dev/LOOP of=/dev/null bs=64k count=192 iflag=direct'
WRITE='command=dd if=/dev/zero of=/dev/LOOP bs=64k count=192 oflag=direct'

@test "io_limit: direct reads and writes go at that rate" {
	need io_limit
	holds $((4 * MIB)) "${READ/LOOP/$LOOP}" "io_limit=$LOOP r: 4M"
	maximum_is io1 read bps $((4 * MIB))
	maximum_is io1 write bps ''
	destroy_all
	holds $((4 * MIB)) "${WRITE/LOOP/$LOOP}" "io_limit=$LOOP: 4M"
	maximum_is io1 write bps $((4 * MIB))
}

@test "io_ops_limit: so many operations a second" {
	need io_limit
	holds $((50 * 4096)) "command=dd if=/dev/$LOOP of=/dev/null bs=4k count=150 iflag=direct" "io_ops_limit=$LOOP: 50"
	maximum_is io1 read iops 50
	prop_is io1 'io_ops_limit' "$LOOP: 50"
}

@test "io_limit: a change while running holds at once, in both directions" {
	need io_limit
	ct_start a "command=dd if=/dev/$LOOP of=/dev/null bs=64k count=512 iflag=direct" "io_limit=$LOOP: 1M"
	wait_for '[ "$(prop a "io_read[$LOOP]")" -gt 0 ]'
	put a/io_limit "$LOOP: 2M"
	maximum_is a read bps $((2 * MIB))
	local before
	before=$(prop a "io_read[$LOOP]")
	sleep 1
	[ $(($(prop a "io_read[$LOOP]") - before)) -lt $((6 * MIB)) ]
	put a/io_limit ''
	maximum_is a read bps ''
	state_is a dead 10
	prop_is a exit_code 0
}

@test "io counters grow by what was moved" {
	need io_limit
	local before
	before=$(prop . "io_read[$LOOP]")
	ct_run a "command=sh -c 'dd if=/dev/$LOOP of=/dev/null bs=64k count=48 iflag=direct; dd if=/dev/zero of=/dev/$LOOP bs=64k count=16 oflag=direct'" \
		controllers=blkio
	prop_is a "io_read[$LOOP]" $((3 * MIB))
	prop_is a "io_write[$LOOP]" $MIB
	prop_is a "io_read_ops[$LOOP_NUMBER]" 48
	prop_is a "io_write_ops[!dev!$LOOP]" 16
	prop_is a "io_ops[$LOOP]" 64
	[[ "$(prop a io_read);" == "hw: $(prop a 'io_read[hw]');"*" $LOOP: $((3 * MIB));"* ]]
	want_error InvalidValue prop a 'io_read[nosuchdisk]'
	error_says 'Disk not found'
	want_error InvalidValue prop a 'io_read[4095:1]'
	want_error NotSupported prop a 'io_read[fs]'
	want_error InvalidValue prop a "io_read[${PORTO_ROOT//\//!}!a]" # the daemon doesn't walk into its own tree
	[ $(($(prop . "io_read[$LOOP]") - before)) -ge $((3 * MIB)) ]
	prop a stat | grep -Fx "io_read[$LOOP] $((3 * MIB))"
	prop a stat | grep -qE '^io_ops\[hw\] [0-9]+$'
	prop .porto metrics >"$BATS_TEST_TMPDIR/metrics"
	grep -Fx "porto_io_write_bytes_total{container=\"a\",disk=\"$LOOP\"} $MIB" "$BATS_TEST_TMPDIR/metrics"
	[ "$(grep -c 'disk="hw"' "$BATS_TEST_TMPDIR/metrics")" = 0 ]
	"$PORTOCTL" get -r a | grep -E "^io_write = .*$LOOP: "
}

@test "io_limit: a key for a direction says more than the one for both; two keys of a disk hold at once" {
	need io_limit
	ct_start a 'command=sleep 1000' "io_limit=$LOOP: 8M; $LOOP w: 2M"
	maximum_is a read bps $((8 * MIB))
	maximum_is a write bps $((2 * MIB))
	put a/io_limit "$LOOP: 8M; /dev/$LOOP: 3M; /dev/$LOOP w: 9M"
	maximum_is a read bps $((3 * MIB))
	maximum_is a write bps $((8 * MIB))
	put "a/io_limit[$LOOP]" 1M
	maximum_is a write bps $MIB
	prop_is a "io_limit[$LOOP]" $MIB
	put a/io_limit "$LOOP r: 0"
	maximum_is a read bps ''
	maximum_is a write bps ''
	prop_is a io_limit ''
}

@test "io_limit: a disk that the new value doesn't name is let go, also when the record of it is older" {
	need io_limit
	ct_start a 'command=sleep 1000' "io_limit=$LOOP: 8M" "io_ops_limit=$LOOP: 77"
	kill_worker
	put a/io_limit ''
	maximum_is a read bps ''
	maximum_is a read iops 77
	daemon_restart
	prop_is a io_ops_limit "$LOOP: 77"
	maximum_is a write iops 77
}

@test "io_limit: what is no value is refused, with name, value and what was expected; old value and kernel stay" {
	need io_limit
	local value values=('nosuchdisk: 1M' '/nonexistent: 1M' '/proc: 1M' "$PORTO_ROOT/a: 1M" '..: x' 'sda' "$LOOP" "$LOOP 1M" "$LOOP:" ': 1M'
		"$LOOP: -1" '-1' '-5M' 'NaN' "$LOOP: inf" "$LOOP: 16E" 99999999999999999999 "$LOOP: 1X" "$LOOP: 1c" "$LOOP: 1,5M" "$LOOP rw: 1M"
		"$LOOP: 1M; $LOOP: 2M" "$LOOP r: 1; $LOOP  r: 2" "$LOOP: 1M; nosuchdisk: 1M" "$LOOP: 1M: 2M")
	ct_start a 'command=sleep 1000' "io_limit=$LOOP: 8M" "io_ops_limit=$LOOP: 50"
	for value in "${values[@]}"; do
		for name in io_limit io_ops_limit; do
			want_errno EINVAL put "a/$name" "$value" || fail "$name: $value"
			[[ $(prop a error) == "7 InvalidValue:($name: '"*"expected "* ]] || fail "$name = '$value': $(prop a error)"
		done
	done
	want_errno EINVAL put a/io_ops_limit "$LOOP: 4294967295"
	error_says a 'expected at most 4294967294'
	want_errno EINVAL put 'a/io_limit[nosuchdisk]' 1M
	prop_is a io_limit "$LOOP: $((8 * MIB))"
	prop_is a io_ops_limit "$LOOP: 50"
	maximum_is a read bps $((8 * MIB))
	maximum_is a write iops 50
}

@test "io_weight, io_policy: what is no value is refused and the old one stays" {
	local value
	ct_new a io_policy=idle
	for value in ' ' 0 -1 100.1 0.001 1M NaN inf 1e400 x '1 2' 0x10; do
		run put a/io_weight "$value"
		[ "$status" -ne 0 ] || fail "io_weight: $value: taken"
		prop_is a io_weight 1
	done
	for value in Idle 3 'idle idle' best-effort real; do
		want_errno EINVAL put a/io_policy "$value"
		error_says a "io_policy: '$value': expected none, rt, high"
	done
	prop_is a io_policy idle
}

@test "io_limit: fs and .path are the disk below the container's root, a bare number is that of fs" {
	need io_limit
	command -v busybox && command -v mkfs.ext4 || skip 'no busybox or mkfs.ext4'
	mkfs.ext4 -q "/dev/$LOOP"
	mkdir -p "$TEST_DIR/fs"
	mount "/dev/$LOOP" "$TEST_DIR/fs" || skip 'no ext4 here'
	mkdir -p "$TEST_DIR/fs/root/bin" "$TEST_DIR/fs/root/data"
	cp "$(command -v busybox)" "$TEST_DIR/fs/root/bin/"
	ln -s "/dev/$LOOP" "$TEST_DIR/fs/root/out"
	ct_new a 'command=/bin/busybox sleep 1000' "root=$TEST_DIR/fs/root" io_limit=5M
	prop_is a io_limit "fs: $((5 * MIB))"
	ct_start a
	maximum_is a read bps $((5 * MIB))
	put a/io_limit '.data w: 3M'
	maximum_is a read bps ''
	maximum_is a write bps $((3 * MIB))
	put a/io_limit "$TEST_DIR/fs: 2M"
	maximum_is a write bps $((2 * MIB))
	want_error InvalidValue put a/io_limit '.nothing: 1M'
	want_error InvalidValue put a/io_limit './out: 1M' # a link that leads out
	maximum_is a write bps $((2 * MIB))
	prop_is a 'io_read[.!data]' "$(prop a "io_read[$LOOP]")"
	put a/state stop
	put a/io_limit '.nothing: 1M'
	want_errno EINVAL put a/state start
	error_says a "io_limit: '.nothing': Disk not found"
	prop_is a state stopped
	ct_destroy a
	umount "$TEST_DIR/fs"
}

@test "io_limit: the root may be on a mount point with a blank in its name" {
	need io_limit
	command -v busybox && command -v mkfs.ext4 || skip 'no busybox or mkfs.ext4'
	local dir="$TEST_DIR/file system"
	mkfs.ext4 -q "/dev/$LOOP"
	mkdir -p "$dir"
	mount "/dev/$LOOP" "$dir" || skip 'no ext4 here'
	mkdir -p "$dir/root/bin"
	cp "$(command -v busybox)" "$dir/root/bin/"
	ct_start a 'command=/bin/busybox sleep 1000' "root=$dir/root" io_limit=5M
	maximum_is a read bps $((5 * MIB))
	ct_destroy a
	umount "$dir"
}

@test "io_limit: buffered writes are held too, or taint and features say that they are not" {
	need io_limit
	ct_new a 'command=sleep 1000' "io_limit=$LOOP: 4M"
	if grep '^io_limit of buffered writes: missing' "$PORTO_ROOT/.porto/features"; then
		[[ $(prop a taint) == *'io_limit: holds for reads and direct writes, not for buffered ones: '* ]]
		ct_new b
		[[ $(prop b taint) != *io_limit* ]]
		return
	fi
	[[ $(prop a taint) != *buffered* ]]
	command -v mkfs.ext4 || skip 'no mkfs.ext4'
	mkfs.ext4 -q "/dev/$LOOP"
	mkdir -p "$TEST_DIR/fs"
	mount "/dev/$LOOP" "$TEST_DIR/fs"
	ct_run b "command=dd if=/dev/zero of=$TEST_DIR/fs/file bs=64k count=256 conv=fsync" "io_limit=$LOOP: 4M"
	prop_is b exit_code 0
	[ "$(rate b)" -le $((5 * MIB)) ] || fail "$(rate b) bytes a second"
	umount "$TEST_DIR/fs"
}

@test "stop and rmdir: a container whose requests the limit holds back for hours ends at once" {
	need io_limit
	local name
	for name in a b; do
		ct_start $name "command=dd if=/dev/$LOOP of=/dev/null bs=64k count=16 iflag=direct" "io_limit=$LOOP: 100"
	done
	sleep 0.3
	put a/state 'stop 0'
	prop_is a state stopped
	ct_destroy b
	put a/state start # with its limit again
	maximum_is a read bps 100
}

@test "respawn: the limits are there again though they were lifted to get rid of the last life" {
	need io_limit
	ct_start a "command=sh -c 'dd if=/dev/$LOOP of=/dev/null bs=64k count=16 iflag=direct & sleep 1000'" "io_limit=$LOOP: 100" \
		isolate=false respawn=true respawn_delay=50ms
	sleep 0.3
	put a/state 'kill 9'
	wait_for '[ "$(prop a respawn_count)" = 1 ] && [ "$(prop a state)" = running ]' 20
	maximum_is a read bps 100
	put a/respawn false
}

@test "io_limit below io_limit: held together on cgroup v2, refused on v1" {
	need io_limit
	ct_start a 'command=sleep 1000' "io_limit=$LOOP: 4M"
	ct_new a/b "${READ/LOOP/$LOOP}"
	if grep -q '^io_limit inside io_limit: missing' "$PORTO_ROOT/.porto/features"; then
		want_errno EOPNOTSUPP put a/b/io_limit "$LOOP: 100M"
		error_says a/b 'the limits of container a would not hold for a/b'
		put a/b/controllers blkio
		want_errno EOPNOTSUPP put a/b/state start
		prop_is a/b state stopped
		put a/io_limit ''
		ct_start a/b
		want_errno EOPNOTSUPP put a/io_limit "$LOOP: 4M"
		maximum_is a read bps ''
		prop a/b wait
		put a/b/state stop
		put a/b/controllers ''
		put a/io_limit "$LOOP: 4M"
	else
		put a/b/io_limit "$LOOP: 100M"
	fi
	ct_run a/b
	[ "$(rate a/b)" -le $((4 * MIB * 11 / 10)) ]
}

@test "io properties are copied by spec, root or not, and survive the daemon" {
	need io_limit
	ct_new a "io_limit=.data: 2M; fs r: 1M; $LOOP: 3M" "io_ops_limit=$LOOP w: 5" io_policy=batch root=/tmp
	ct_new b
	cat "$PORTO_ROOT/a/spec" >"$PORTO_ROOT/b/spec"
	diff "$PORTO_ROOT/a/spec" "$PORTO_ROOT/b/spec"
	prop a spec >"$BATS_TEST_TMPDIR/spec"
	daemon_restart
	diff "$BATS_TEST_TMPDIR/spec" "$PORTO_ROOT/a/spec"
	add a/io_limit "$LOOP w: 1M; .data: 0"
	prop_is a io_limit "fs r: $MIB; $LOOP: $((3 * MIB)); $LOOP w: $MIB"
}

@test "io_limit: a running container without a blkio cgroup is told how to get one" {
	need io_limit
	ct_start a 'command=sleep 1000'
	ct_start a/b 'command=sleep 1000'
	want_errno EOPNOTSUPP put a/b/io_limit "$LOOP: 1M"
	error_says a/b 'started without a blkio cgroup of its own: stop it and set this then, or have blkio in container.default_controllers'
	want_error NotSupported prop a/b io_read
	error_says 'io_read: the container has no blkio cgroup of its own'
	put a/b/state stop
	put a/b/io_limit "$LOOP: 1M"
	prop_is a/b 'controllers[blkio]' true
	want_errno EINVAL put a/b/controllers memory
	put a/b/state start
	maximum_is a/b read bps $MIB
}

@test "io_weight: refused with the reason while no disk is weighed, else it reaches the kernel" {
	local knob value
	exec 8</sys/block && flock 8 # schedulers are the whole host's: one such test at a time
	if grep -q '^io_weight: missing' "$PORTO_ROOT/.porto/features"; then
		ct_new a
		want_errno EOPNOTSUPP put a/io_weight 2
		error_says a 'io_weight: no '
		put a/io_weight 1 # what it is already
		grep -qw bfq "/sys/block/$LOOP/queue/scheduler" || skip 'no scheduler here knows weights'
	fi
	echo bfq >"/sys/block/$LOOP/queue/scheduler"
	ct_start b 'command=sleep 1000' io_weight=2.5
	knob=blkio.bfq.weight
	[[ $(grep '^blkio:' "$PORTO_ROOT/.porto/features") != 'blkio: v2 '* ]] || knob=io.bfq.weight
	value=$(prop b $knob)
	[ "${value#default }" = 250 ]
	put b/io_weight 0.01
	value=$(prop b $knob)
	[ "${value#default }" = 1 ]
	put b/io_policy high
	put b/io_weight 0.5
	value=$(prop b $knob)
	[ "${value#default }" = 500 ]
	prop_is b io_weight 0.5
	echo none >"/sys/block/$LOOP/queue/scheduler"
	if grep -q '^io_weight: missing' "$PORTO_ROOT/.porto/features"; then
		[[ $(prop b taint) == *'io_weight: without effect now: no disk has a scheduler'* ]]
	fi
}

# ioprio of the container's command: "idle", "best-effort: prio 4".
ioprio() {
	ionice -p "$(prop "$1" root_pid)"
}

@test "io_policy: at the start, live for all threads and children, inherited, and a child's own comes first" {
	local policy row rows=('none|none: prio 0' 'rt|realtime: prio 4' 'high|best-effort: prio 0' 'normal|best-effort: prio 4' 'batch|best-effort: prio 7' 'idle|idle')
	ct_start a 'command=sleep 1000' io_policy=batch
	[ "$(ioprio a)" = 'best-effort: prio 7' ]
	ct_start a/b 'command=sleep 1000'
	[ "$(ioprio a/b)" = 'best-effort: prio 7' ]
	ct_start a/c 'command=sh -c "sleep 1000 & wait"' io_policy=idle
	ct_start a/j 'command=sleep 1000' virt_mode=job io_policy=high
	[ "$(ioprio a/j)" = 'best-effort: prio 0' ]
	for row in "${rows[@]}"; do
		policy=${row%|*}
		put a/io_policy "$policy"
		prop_is a io_policy "$policy"
		[ "$(ioprio a)" = "${row#*|}" ] || fail "$policy: $(ioprio a)"
		[ "$(ioprio a/b)" = "${row#*|}" ]
		[ "$(ioprio a/c)" = idle ]
		[ "$(ioprio a/j)" = 'best-effort: prio 0' ]
	done
	put a/c/io_policy normal
	local pid
	for pid in $(pgrep -P "$(prop a/c root_pid)"); do
		[ "$(ionice -p "$pid")" = 'best-effort: prio 4' ]
	done
	put a/c/io_policy ''
	[ "$(ioprio a/c)" = idle ] # its parent's
	put a/io_policy ''
	[[ $(ioprio a/c) == none* ]]
}

@test "io_policy: rt is for root" {
	as daemon ct_new a command=true io_policy=high
	want_errno EACCES as daemon put a/io_policy rt
	prop_is a io_policy high
	put a/io_policy rt
}

@test "io_guarantee, io_ops_guarantee: refused, with the reason; nothing is kept" {
	ct_new a
	local name
	for name in io_guarantee io_ops_guarantee; do
		want_errno EOPNOTSUPP put a/$name 1M
		error_says a "9 NotSupported:($name: no kernel can promise"
		prop_is a $name ''
	done
	[[ $(prop a spec) != *guarantee* ]]
}

@test "io_pressure: microseconds that some and all tasks have waited" {
	ct_start a 'command=sleep 1000'
	if ! grep -q '^pressure: yes' "$PORTO_ROOT/.porto/features" || [ ! -e "$PORTO_ROOT/a/io.pressure" ]; then
		want_error NotSupported prop a io_pressure
		return
	fi
	[[ $(prop a io_pressure) =~ ^full:\ [0-9]+\;\ some:\ [0-9]+$ ]]
	[[ $(prop . io_pressure) =~ ^full:\ [0-9]+\;\ some:\ [0-9]+$ ]]
}

@test "io_time: for each disk, or the reason why not" {
	ct_start a 'command=sleep 1000' controllers=blkio
	[[ $(prop . io_time) =~ ^hw:\ [0-9]+ ]]
	if grep -q '^io_time: missing' "$PORTO_ROOT/.porto/features"; then
		want_error NotSupported prop a io_time
	else
		[[ $(prop a io_time) =~ ^hw:\ [0-9]+ ]]
	fi
}
