#!/usr/bin/env bats
# shellcheck disable=SC2016 # what is quoted is for the shell in the container
# virt_mode=os: a system with its own init, systemd of a real Debian or busybox.

load helpers
load root

setup_file() {
	test_begin
	root_make "$TEST_DIR/bb" init
	ln -sf ../bin/busybox "$TEST_DIR/bb/sbin/init"
	printf '%s\n' '::sysinit:/bin/touch /tmp/booted' '::respawn:/bin/sleep 1000' '::shutdown:/bin/touch /tmp/down' >"$TEST_DIR/bb/etc/inittab"
}

teardown() {
	destroy_all
	rm -f "$TEST_DIR"/bb/tmp/*
}

debian() {
	need_debian
	[ -e "$TEST_DIR/deb" ] || cp -a "$DEBIAN" "$TEST_DIR/deb"
}

# The state that systemd reaches within 30 s.
systemd_state() {
	local end=$((SECONDS + 30 * PORTO_SLOW))
	until [[ $output == @(running|degraded)* ]] || [ "$SECONDS" -gt "$end" ]; do
		sleep 0.3
		in_ct "$1" 'systemctl is-system-running; systemctl --failed --no-legend'
	done
}

@test "defaults: /sbin/init, cwd /, streams to /dev/null, cgroupfs rw, user root; what is set counts" {
	ct_new a virt_mode=os root="$TEST_DIR/bb" user=1044
	prop_is a command /sbin/init && prop_is a cwd / && prop_is a cgroupfs rw && prop_is a isolate true
	put a/state start
	state_is a running
	prop_is a task_cred '0 0'
	in_ct a 'readlink /proc/1/fd/1; cat /proc/1/comm; ls /dev/console; ls /run/kept; pwd'
	[[ $output == /dev/null*init*deep*/* && $output == *console:* ]] || fail "$output"
	put a/state stop
	put a/command 'sleep 5'
	prop_is a command 'sleep 5'
	put a/virt_mode app
	prop_is a cgroupfs none
}

@test "busybox init: pid 1 without a helper, stops on SIGPWR in order" {
	ct_start a virt_mode=os root="$TEST_DIR/bb"
	wait_for '[ -e "$TEST_DIR/bb/tmp/booted" ]'
	[ "$(cat "/proc/$(prop a root_pid)/comm")" = init ]
	put a/state stop
	[ -e "$TEST_DIR/bb/tmp/down" ]
	prop_is a state stopped
}

@test "its cgroups are its own to write, and not its limits" {
	ct_start a virt_mode=os root="$TEST_DIR/bb" memory_limit=256M
	in_ct a 'cat /proc/1/cgroup; mkdir /sys/fs/cgroup/mine /sys/fs/cgroup/systemd/mine; ls -d /sys/fs/cgroup/mine /sys/fs/cgroup/systemd/mine; echo 1G >/sys/fs/cgroup/memory/memory.limit_in_bytes; echo 1G >/sys/fs/cgroup/memory.max'
	[[ $output == */sys/fs/cgroup/*mine* && $output == *:/$'\n'* && $output != *"$TEST_CGROUP"* ]] || fail "$output"
	prop_is a memory_limit 268435456
	put a/state stop
	no_leaks
}

@test "systemd: of a real Debian, reaches running; shell and enter work; stops by itself" {
	debian
	ct_start a virt_mode=os root="$TEST_DIR/deb"
	systemd_state a
	[[ $output == running* ]] || fail "$output"
	run "$PORTOCTL" shell a systemctl is-active dbus.service
	[ "$output" = active ] || fail "$output"
	run "$PORTOCTL" shell -u root a readlink /proc/1/exe
	[[ $output == */systemd ]] || fail "$output"
	run "$PORTOCTL" enter a cat /proc/1/comm
	[ "$output" = systemd ] || fail "$output"
	# what it would mount is there, but for FUSE's connections: those of the host, each with a file that ends it
	run "$PORTOCTL" shell a 'sh -c "ls /sys/fs/fuse/connections; grep -c /dev/mqueue /proc/mounts; systemctl is-active sys-fs-fuse-connections.mount dev-mqueue.mount"'
	[ "$output" = $'1\nactive\nactive' ] || fail "$output"
	local begin=$SECONDS
	put a/state stop
	[ $((SECONDS - begin)) -lt 15 ] || fail 'killed at the deadline'
	grep -q 'a: running -> stopping' "$DAEMON_LOG"
}

@test "systemd: goes on over a restart of the daemon, pauses, resumes, restarts, is destroyed" {
	debian
	ct_start a virt_mode=os root="$TEST_DIR/deb"
	systemd_state a
	kill_worker
	daemon_restart
	prop_is a state running
	prop_is a command /sbin/init
	put a/state pause
	put a/state resume
	put a/state restart
	output=
	systemd_state a
	[[ $output == running* ]] || fail "$output"
	ct_destroy a
	no_leaks
}

@test "systemd: its own end is a death with a status" {
	debian
	ct_start a virt_mode=os root="$TEST_DIR/deb"
	systemd_state a
	in_ct a 'systemctl poweroff' || :
	state_is a dead 20
	[ -n "$(prop a exit_status)" ]
}

@test "systemd: in a user namespace too" {
	debian
	sh_in a 'stat -c %u /etc' root="$TEST_DIR/bb" userns=true user=1044 group=1044
	# where a file system maps no ids, as tmpfs before Linux 6.3, the tree has to be the user's
	[ "$output" != 65534 ] || chown -R --no-dereference 1044:1044 "$TEST_DIR/deb"
	ct_start a virt_mode=os root="$TEST_DIR/deb" userns=true user=1044 group=1044
	systemd_state a
	[[ $output == running* ]] || fail "$output"
	[ "$(stat -c %u "/proc/$(prop a root_pid)")" != 0 ] || [ "$(awk '/^Uid/ { print $2 }' "/proc/$(prop a root_pid)/status")" = 1044 ]
	put a/state stop
}
