#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2034 # what is quoted is for the shell in the container
# userns and virt_mode=docker: root inside, nobody outside.

PORTOD_OPTIONS=(container.enable_rw_cgroupfs=true)
load helpers
load root

setup_file() {
	test_begin
	root_make "$TEST_DIR/root"
	echo secret >"$TEST_DIR/secret"
	chmod 600 "$TEST_DIR/secret"
}

setup() {
	ROOT=$TEST_DIR/root
	U=(userns=true user=1044 group=1044)
}

teardown() {
	destroy_all
}

@test "userns: root inside is the task's user, the other ids are themselves, the host's root is nobody" {
	sh_in a 'id -u; cat /proc/self/uid_map; stat -c %u /proc/sys' "${U[@]}" root="$ROOT"
	read -r -d '' -a words <<<"$output" || :
	[ "${words[*]}" = '0 0 1044 1 1 1 1043 1045 1045 4294966250 65534' ] || fail "$output"
}

@test "userns: a user's has that user alone: root inside becomes nobody else, of whom the host has files" {
	echo other >"$TEST_DIR/other"
	chown 1044:shadow "$TEST_DIR/other"
	chmod 640 "$TEST_DIR/other"
	as daemon ct_new a userns=true cwd=/ "command=sh -c 'id -u; cat $TEST_DIR/other; setpriv --reuid 1044 --clear-groups cat $TEST_DIR/other; setpriv --regid $(getent group shadow | cut -d: -f3) --clear-groups cat $TEST_DIR/other; mount -t tmpfs x /mnt && echo mounted'"
	as daemon put a/state start
	prop a wait >/dev/null
	[ "$(prop a stdout)" = $'0\nmounted' ] || fail "$(prop a stdout)"
}

@test "userns: mounts, namespaces, its network and hostname are its own; the host's settings are not" {
	sh_in a 'mount -t tmpfs x /mnt && echo mounted; mount -o bind /etc /mnt && echo bound; hostname h1 && hostname; unshare -m true && echo unshared; unshare -mpf sh -c "mount -t proc p /proc && echo proc"; grep -vcE "[|]|lo:|(tunl|ip6tnl|sit|gre|gretap|erspan|ip6gre|ip_vti|ip6_vti)0:" /proc/net/dev; for f in kernel/core_pattern kernel/sysrq; do echo 1 >/proc/sys/$f && echo wrote; done; echo b >/proc/sysrq-trigger && echo wrote' "${U[@]}" root="$ROOT"
	[[ $output == mounted*bound*h1*unshared*proc*0* && $output != *wrote* ]] || fail "$output"
	[ "$(hostname)" != h1 ]
}

@test "userns: a root that is the host root's belongs to root inside, where the filesystem can map ids" {
	sh_in a 'stat -c %u /etc; touch /root/made && stat -c %u /root/made; stat -c %u /dev /run /dev/shm' "${U[@]}" root="$ROOT"
	case $output in
	65534*) skip 'no mapped ids on this filesystem' ;;
	esac
	[[ $output == 0*0*0*0*0 ]] || fail "$output"
	[ "$(stat -c %u "$ROOT/root/made")" = 0 ]
	rm -f "$ROOT/root/made"
}

@test "userns: one that was given to the user is his without that" {
	root_make "$TEST_DIR/given"
	chown -R 1044:1044 "$TEST_DIR/given"
	sh_in a 'stat -c %u /etc; touch /root/made' "${U[@]}" root="$TEST_DIR/given"
	[[ $output == 0* ]] || fail "$output"
	[ "$(stat -c %u "$TEST_DIR/given/root/made")" = 1044 ]
}

@test "userns: without a root of its own, the host's files are what they are to the user" {
	sh_in a 'cat '"$TEST_DIR"'/secret; touch /porto-userns-x; mount -t tmpfs x /mnt && echo mounted' "${U[@]}" cwd=/
	[[ $output == *mounted* && $output != *secret$'\n'* && ! -e /porto-userns-x ]] || fail "$output"
}

@test "userns: neither pid 1 nor anything before the command is root's or can be looked into" {
	ct_start a "${U[@]}" root="$ROOT" command='sleep 1000'
	in_ct a 'cat /proc/1/environ /proc/1/maps; ls /proc/1/root /proc/1/cwd; readlink /proc/1/exe; echo x >/proc/1/mem; kill -9 1; ls -d /proc/1'
	[[ $output == /proc/1$'\n'* ]] || fail "$output"
	local pid
	pid=$(prop a root_pid)
	[ "$(awk '/^Uid/ { print $2 }' "/proc/$(awk '/^PPid/ { print $2 }' "/proc/$pid/status")/status")" = 1044 ]
}

@test "userns: children live in it, root there is root here, one more is not made" {
	ct_start a "${U[@]}" root="$ROOT" command='sleep 1000'
	ct_new a/b userns=true command_argv=$'sh\t-c\tid -u; readlink /proc/self/ns/user; mount -t tmpfs x /mnt && echo mounted'
	put a/b/state start && prop a/b wait >/dev/null
	output=$(prop a/b stdout)
	[[ $output == 0*"$(readlink "/proc/$(prop a root_pid)/ns/user")"*mounted* ]] || fail "$output"
	run "$PORTOCTL" shell a readlink /proc/self/ns/user
	run "$PORTOCTL" exec -T a/c isolate=false 'command=readlink /proc/self/ns/user'
	[ "$output" = "$(readlink "/proc/$(prop a root_pid)/ns/user")" ] || fail "$output"
}

@test "userns: not with host or job; survives a restart of the daemon" {
	ct_new h virt_mode=host userns=true command=true
	want_error InvalidValue put h/state start
	ct_start a "${U[@]}" root="$ROOT" command='sleep 1000'
	kill_worker
	in_ct a 'id -u'
	[[ $output == 0* ]] || fail "$output"
}

@test "cgroupfs: rw in a user namespace is its own subtree; ro can't be written" {
	sh_in a 'mkdir /sys/fs/cgroup/x && echo made; echo $$ >/sys/fs/cgroup/x/cgroup.procs && echo moved; cat /proc/self/cgroup; echo 1 >/sys/fs/cgroup/cgroup.kill' \
		"${U[@]}" root="$ROOT" cgroupfs=rw
	grep -q '^freezer: v2' "$PORTO_ROOT/.porto/features" || skip 'on v1 nothing can be given away'
	[[ $output == made*moved*0::/x* ]] || fail "$output"
	sh_in a 'mkdir /sys/fs/cgroup/x && echo made' "${U[@]}" root="$ROOT" cgroupfs=ro
	[[ $output == *Read-only* ]] || fail "$output"
}

@test "enable_fuse: /dev/fuse, with a user namespace unless that is set" {
	[ -e /dev/fuse ] || skip 'no /dev/fuse'
	sh_in a 'ls /dev/fuse; cat /proc/self/uid_map | wc -l' enable_fuse=true user=1044 group=1044 root="$ROOT"
	[[ $output == /dev/fuse*3* ]] || fail "$output"
	ct_new a virt_mode=fuse
	prop_is a virt_mode app && prop_is a enable_fuse true && prop_is a userns true && prop_is a unshare_on_exec true
}

@test "docker: needs a user who is not root and a parent in os mode; has a default command and its cgroups" {
	ct_new d virt_mode=docker user=1044 command=true
	prop_is d userns true && prop_is d cgroupfs rw
	want_error InvalidValue put d/state start
	ct_start a virt_mode=os root="$ROOT" command='sleep 1000'
	ct_new a/d virt_mode=docker
	prop_is a/d command "bash -c 'containerd& dockerd'"
	want_error Permission put a/d/state start
	put a/d/user 1044
	put a/d/group root
	want_error Permission put a/d/state start
	error_says a/d 'user and group must not be root'
	ct_new u userns=true user=1044 group=root command=true
	want_error Permission put u/state start
	error_says u 'set group too'
	ct_new a/e virt_mode=docker user=1044 group=1044 command_argv=$'sh\t-c\tid -u; mount -t tmpfs x /mnt && echo mounted'
	put a/e/state start && prop a/e wait >/dev/null
	[[ $(prop a/e stdout) == 0*mounted* ]] || fail "$(prop a/e stdout; prop a/e stderr)"
}

@test "docker: what runtimes ask for privileged containers is there, and no systemd that would make no cgroups for them" {
	local all
	mkdir -p "$ROOT/run/systemd/system"
	ct_start a virt_mode=os root="$ROOT" command='sleep 1000'
	sh_in a/b 'mount -t sysfs -o rw,nosuid,nodev,noexec x /mnt && echo mounted; ls -A /run/systemd; grep CapBnd /proc/self/status; for f in /sys/power/state /sys/kernel/uevent_helper; do echo x >$f && echo wrote; done' \
		virt_mode=docker user=1044 group=1044 net=none
	all=$(printf %016x $(((2 << $(cat /proc/sys/kernel/cap_last_cap)) - 1)))
	[[ $output == mounted$'\n'CapBnd:*$all* && $output != *wrote* ]] || fail "$output"
	in_ct a 'ls -A /run/systemd; touch /sys/power/x'
	rmdir "$ROOT/run/systemd/system" "$ROOT/run/systemd"
	[[ $output == *system*Read-only* ]] || fail "$output"
}

@test "docker: a nested runtime runs a container inside, with namespaces and mounts of its own" {
	need_debian
	cp -a "$DEBIAN" "$TEST_DIR/deb"
	root_make "$TEST_DIR/deb/bundle/rootfs"
	chown -R 1044:1044 "$TEST_DIR/deb/bundle"
	ct_start a virt_mode=os root="$TEST_DIR/deb"
	ct_new a/b virt_mode=docker user=1044 group=1044 command_argv=$'bash\t-c\tcd /bundle && mkdir -p /tmp/run && crun spec && sed -i "s/\\"terminal\\": true/\\"terminal\\": false/; s/\\"sh\\"/\\"id\\"/" config.json && crun --root /tmp/run --cgroup-manager=cgroupfs run inner'
	put a/b/state start && prop a/b wait >/dev/null
	output=$(prop a/b stdout; prop a/b stderr)
	[[ $output == uid=0* ]] || fail "$output"
	run "$PORTOCTL" exec -T a/c virt_mode=docker user=1044 group=1044 "command=cat $TEST_DIR/secret"
	[[ $output != secret* ]]
}
