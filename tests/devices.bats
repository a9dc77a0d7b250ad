#!/usr/bin/env bats
# Devices: what containers may open and make, by default and by the property; nodes in a root of their own; attacks.
#
# shellcheck disable=SC2016 # shells in containers

bats_require_minimum_version 1.5.0
PORTOD_OPTIONS=('container.extra_devices=/dev/fuse rw; /dev/no-such-device rw' 'container.device_presets=loops: /dev/loop-control rw, /dev/nothing rw?')
load helpers

setup() {
	need 'device access'
	ROOT=$TEST_DIR/root
	[ -e "$ROOT/bin/busybox" ] || root_make
}

teardown() {
	destroy_all
}

# A root with busybox.
root_make() {
	local busybox
	busybox=$(command -v busybox) || skip 'no busybox'
	mkdir -p "$ROOT"/{bin,dev,proc,sys,tmp,etc}
	cp "$busybox" "$ROOT/bin/"
	for tool in sh cat ls mknod head sleep stat mount chmod dd rm mkdir; do ln -sf busybox "$ROOT/bin/$tool"; done
}

# says NAME OUTPUT: what it wrote
says() {
	local got
	got=$(prop "$1" stdout)
	[ "$got" = "$2" ] || fail "$1 wrote '$got', expected '$2'"
}

# A device of this host that is neither in the default set nor of the configuration, and opens.
pick() {
	local dev
	for dev in /dev/loop-control /dev/kvm /dev/net/tun /dev/uinput; do
		[ ! -c "$dev" ] || ! (: <"$dev") 2>/dev/null || { echo "$dev"; return; }
	done
	skip 'no device to give'
}

opens() {
	echo "sh -c 'for d; do : 2>/dev/null <\$d && echo \$d; done; echo end' sh $*"
}

@test "without anything: null zero full random urandom tty and what is configured; no disk, no memory, no kmsg" {
	ct_run a "command=sh -c 'for d in null zero full random urandom fuse; do (: </dev/\$d) && echo \$d; done'"
	says a $'null\nzero\nfull\nrandom\nurandom\nfuse'
	local disk others=(/dev/loop-control /dev/kmsg /dev/mem /dev/port)
	for disk in /sys/class/block/*; do others+=("/dev/${disk##*/}"); done
	ct_run b "command=sh -c 'for d in ${others[*]}; do ( : <\$d ) 2>/dev/null && echo \$d; done; echo end'"
	says b end
}

@test "devices: rw opens, also while it runs, and - takes it away again" {
	local dev
	dev=$(pick)
	ct_new a "command=sh -c 'while :; do (: <$dev) 2>/dev/null && echo yes || echo no; sleep 0.1; done'"
	put a/state start
	wait_for '[ "$(prop a stdout)" ]'
	[[ $(prop a stdout) != *yes* ]]
	put a/devices "$dev rw"
	wait_for '[[ $(prop a stdout) == *yes ]]'
	put a/devices "$dev -"
	wait_for '[[ $(prop a stdout) == *no ]]'
	put a/devices ''
	prop_is a devices ''
}

@test "devices: read alone is read alone" {
	ct_run a 'devices=/dev/zero r' "command=sh -c '(: </dev/zero) && echo r; (: >/dev/zero) 2>/dev/null || echo not w; (: >/dev/null) && echo null'"
	says a $'r\nnot w\nnull'
}

@test "devices: shown with path, mode and owner; [device] adds or replaces one entry; preset" {
	local shown
	ct_new a 'devices=/dev/null wr'
	shown="/dev/null rwm /dev/null $(stat -c '0%a %U %G' /dev/null); "
	prop_is a devices "$shown"
	put 'a/devices[!dev!zero]' 'r /dev/z 0600 daemon'
	prop_is a devices "$shown/dev/zero rm /dev/z 0600 daemon root; "
	put 'a/devices[!dev!zero]' '-'
	[[ $(prop a devices) == "$shown/dev/zero - "* ]]
	add a/devices 'preset loops'
	[[ $(prop a devices) == *'preset loops; ' ]]
	want_error InvalidValue put a/devices 'preset nothing'
}

@test "devices: errors: not below /dev, not normal, bad access, missing, not a device; ? and - make missing ones harmless" {
	ct_new a
	for bad in '/etc/passwd r' '/dev/../etc/passwd r' '/dev//null r' 'null r' '/dev/null' '/dev/null x' '/dev/null r /tmp/x' '/dev/null r /dev/x 999'; do
		want_error InvalidValue put a/devices "$bad"
	done
	want_error InvalidValue put a/devices '/dev/null r /dev/null 0666 no-such-user'
	want_error DeviceNotFound put a/devices '/dev/no-such-device rw'
	want_error DeviceNotFound put a/devices '/dev/shm rw'
	put a/devices '/dev/no-such-device rw?; /dev/no-other-device -'
	prop_is a devices '/dev/no-such-device rwm?; /dev/no-other-device -; '
	put a/command true
	put a/state start
}

@test "devices: a user gives what he may use on the host himself, no more, no other owner, no whole kinds" {
	local dev
	dev=$(pick)
	as daemon ct_new u
	as daemon put u/devices '/dev/null rw'
	[ "$(stat -c %a "$dev" | tail -c 2)" = 6 ] || want_error Permission as daemon put u/devices "$dev rw"
	want_error Permission as daemon put u/devices '/dev/null rw /dev/null 0666 daemon'
	want_error Permission as daemon put u/devices '/dev/null rw*'
	put u/devices '/dev/zero rw*'
}

@test "attack: a user asks for a device before it is there: nobody knows whose it will be" {
	as daemon ct_new u
	want_error Permission as daemon put u/devices '/dev/no-such-device rw? /dev/x 0666 daemon daemon'
	error_says u 'only root may ask for what is to come'
	as daemon put u/devices '/dev/no-such-device -'
	# root may, and the user may then keep it
	put u/devices '/dev/no-such-device rw?'
	as daemon put u/devices '/dev/no-such-device rw?; /dev/zero r'
	want_error Permission as daemon put u/devices '/dev/no-such-device rw? /dev/y'
}

@test "devices: a child has what the parent has, no more, and loses it with the parent; not while it runs with it" {
	local dev
	dev=$(pick)
	ct_start a 'command=sleep 1000'
	ct_new a/b "command=sh -c 'while :; do (: <$dev) 2>/dev/null && echo yes || echo no; sleep 0.1; done'"
	want_error Permission put a/b/devices "$dev rw"
	put a/b/state start
	put a/devices "$dev rw"
	wait_for '[[ $(prop a/b stdout) == *yes ]]'
	put a/b/devices "$dev rw"
	want_error InvalidState put a/devices ''
	put a/b/devices ''
	put a/devices ''
	wait_for '[[ $(prop a/b stdout) == *no ]]'
}

@test "devices_explicit: the child begins with the default set instead of the parent's" {
	local dev
	dev=$(pick)
	ct_start a "devices=$dev rw" 'command=sleep 1000'
	ct_run a/b "command=sh -c '(: <$dev) 2>/dev/null && echo yes || echo no'"
	says a/b yes
	ct_run a/c devices_explicit=true "command=sh -c '(: <$dev) 2>/dev/null && echo yes || echo no'"
	says a/c no
}

@test "virt_mode host: nothing is forbidden; job: no devices of its own" {
	local dev
	dev=$(pick)
	ct_run a virt_mode=host "command=sh -c '(: <$dev) && echo yes'"
	says a yes
	ct_start p 'command=sleep 1000'
	ct_new p/j virt_mode=job command=true 'devices=/dev/null rw'
	want_error InvalidValue put p/j/state start
}

@test "root: nodes with mode and owner are made in its /dev, also below directories; a missing one is not" {
	ct_run a root="$ROOT" 'devices=/dev/zero r /dev/sub/z 0640 daemon daemon; /dev/nothing rw?; /dev/full rw' \
		"command=sh -c 'stat -c \"%a %u %g %t:%T\" /dev/sub/z; ls -d /dev/nothing /dev/fuse 2>&1; head -c 1 /dev/sub/z >/dev/null && echo read'"
	says a "640 $(id -u daemon) $(id -g daemon) 1:5"$'\nls: /dev/nothing: No such file or directory\n/dev/fuse\nread'
}

@test "root: while it runs nodes come and go with the property" {
	local dev
	dev=$(pick)
	ct_start a root="$ROOT" 'command=sleep 1000'
	local inside
	inside=/proc/$(prop a root_pid)/root
	[ ! -e "$inside$dev" ]
	put a/devices "$dev rw $dev 0600"
	[ -c "$inside$dev" ]
	[ "$(stat -c %a "$inside$dev")" = 600 ]
	put a/devices ''
	[ ! -e "$inside$dev" ]
}

@test "attack: links that the container puts in the way of a new node lead nowhere on the host" {
	local dev
	dev=$(pick)
	echo secret >"$TEST_DIR/victim"
	chmod 600 "$TEST_DIR/victim"
	mkdir -p "$TEST_DIR/hostdir"
	ln -sf busybox "$ROOT/bin/ln"
	ct_start a root="$ROOT" "command=sh -c 'ln -s $TEST_DIR/victim /dev/x; ln -s $TEST_DIR/hostdir /dev/d; mkdir /dev/isdir; echo ready; sleep 1000'"
	wait_for '[ "$(prop a stdout)" = ready ]'
	put a/devices '/dev/zero r /dev/x 0666' # the link gives way
	[ -c "/proc/$(prop a root_pid)/root/dev/x" ]
	[ "$(stat -c %a "$TEST_DIR/victim")" = 600 ]
	want_errno ENOTDIR put a/devices '/dev/zero r /dev/d/z 0666' || want_errno ELOOP put a/devices '/dev/zero r /dev/d/z 0666'
	want_errno EISDIR put a/devices '/dev/zero r /dev/isdir 0666'
	prop_is a devices '/dev/zero rm /dev/x 0666 root root; '
	[ -z "$(ls "$TEST_DIR/hostdir")" ]
	[ "$(cat "$TEST_DIR/victim")" = secret ]
}

@test "attack: mknod of a disk, of memory, of what others have; in the root, in tmp, and over a granted node" {
	local disk numbers
	disk=$(find /dev -maxdepth 1 -type b | head -1)
	[ -n "$disk" ] || skip 'no block device'
	numbers=$(stat -c '%t %T' "$disk" | { read -r a b; echo $((16#$a)) $((16#$b)); })
	ct_run a root="$ROOT" "command=sh -c '
		mknod /tmp/disk b $numbers 2>/dev/null && echo made; cat /tmp/disk >/dev/null 2>&1 && echo disk
		mknod /tmp/mem c 1 1 2>/dev/null && echo mem
		mknod /tmp/kmsg c 1 11 2>/dev/null && echo kmsg
		mknod /dev/null2 c 1 3 && echo null
		mount -t devtmpfs d /tmp 2>/dev/null && (: </tmp/${disk##*/}) 2>/dev/null && echo devtmpfs
		echo end'"
	says a $'null\nend'
	rm -f "$ROOT"/tmp/*
}

@test "a restart of the daemon and kill -9 of the worker leave devices as they were, and changeable" {
	local dev
	dev=$(pick)
	ct_start a "devices=$dev rw" "command=sh -c 'while :; do (: <$dev) 2>/dev/null && echo yes || echo no; sleep 0.1; done'"
	kill_worker
	daemon_restart
	wait_for '[[ $(prop a stdout) == *yes ]]'
	put a/devices ''
	wait_for '[[ $(prop a stdout) == *no ]]'
	put a/devices "$dev r"
	wait_for '[[ $(prop a stdout) == *yes ]]'
}

@test "cgroup v1 alone: the devices controller does the same" {
	[ -e /sys/fs/cgroup/devices/devices.list ] || skip 'no v1 devices controller'
	local dev
	dev=$(pick)
	daemon_stop
	daemon_start daemon.cgroup_v2=false 'container.extra_devices=/dev/fuse rw'
	grep -q '^device access: v1' "$PORTO_ROOT/.porto/features"
	ct_start a "command=sh -c 'while :; do (: <$dev) 2>/dev/null && echo yes || echo no; sleep 0.1; done'"
	wait_for '[[ $(prop a stdout) == *no ]]'
	put a/devices "$dev rw"
	wait_for '[[ $(prop a stdout) == *yes ]]'
	ct_start a/b "devices=$dev r" 'command=sleep 1000'
	put a/b/devices ''
	put a/devices ''
	wait_for '[[ $(prop a stdout) == *no ]]'
	destroy_all
	daemon_stop
	daemon_start "${PORTOD_OPTIONS[@]}"
}
