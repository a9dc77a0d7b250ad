#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2034 # what is quoted is for the shell in the container
# What isolates a container, together: systems, user namespaces, networks, capabilities, devices and /porto inside.

load net
load root

setup_file() {
	net_begin
	ROOT=$TEST_DIR/root
	root_make "$ROOT" ip ping init
	export ROOT
}

teardown() {
	servers_end
	destroy_all && no_links
}

# The caller's network as seen by a process in NAME.
net_of() {
	readlink "/proc/$(prop "$1" root_pid)/ns/net"
}

@test "docker in a system, both with L3: the network inside is root's there, its limit is not" {
	ct_start a virt_mode=os root="$ROOT" command='sleep 1000' net='L3 veth' ip='veth auto'
	ct_start a/b virt_mode=docker user=1044 group=1044 net='L3 veth' ip='veth auto' net_limit=1M command='sleep 1000'
	[ "$(net_of a)" != "$(net_of a/b)" ]
	[ -n "$(prop a/b ip)" ] && [ "$(prop a/b ip)" != "$(prop a ip)" ]
	sh_in a/b/c 'ping -c 1 -W 5 10.11.0.254 >/dev/null && echo answered; ip link set lo down && ip link set veth mtu 1300 && echo changed; ip addr' \
		virt_mode=job
	[[ $output == answered*changed*'mtu 1300'* ]] || fail "$output"
	[ "$(prop a/b 'net_tx_bytes[veth]')" -gt 0 ]
	kill_worker
	prop_is a/b state running
	[ "$(prop a/b 'net_tx_bytes[veth]')" -gt 0 ]
	put a/b/net_limit 2M
	in_host tc qdisc show | grep -q tbf
	put a/b/state stop
	prop_is a state running
}

@test "userns: net none unless it is set; inherited is the parent's, and nothing of that can be changed" {
	local u=(userns=true user=1044 group=1044 root="$ROOT")
	ct_new a "${u[@]}"
	prop_is a net none
	sh_in b 'grep -c eth0 /proc/net/dev; ip link set lo down && ip link set lo up && echo up' "${u[@]}"
	[[ $output == 0*up* ]] || fail "$output"
	sh_in b 'cat /proc/net/dev | grep -c eth0; ip link set eth0 down; ip route del default; echo done' "${u[@]}" net=inherited
	[[ $output == 1*done* ]] || fail "$output"
	[ -n "$(in_host ip route show default)" ]
	in_host ip link show eth0 | grep -q 'state UP'
	ct_start n net=none command='sleep 1000'
	sh_in b 'ip link set lo down; ip link show lo' "${u[@]}" net='container n'
	[[ $output == *LOOPBACK,UP* ]] || fail "$output"
}

@test "userns: the own network of a container below belongs to it: root there changes it, and nothing of the host's" {
	local how="{ ip link set lo down && ip link set lo mtu 1400 && ip link set lo up && ip link show lo; echo 1 >/proc/sys/net/ipv4/ip_forward && echo forward; true; }"
	ct_start a userns=true user=1044 group=1044 root="$ROOT" command='sleep 1000'
	sh_in a/b "$how" user=root net=none
	[[ $output == *'mtu 1400'*forward* ]] || fail "$output"
	ct_start a/c user=root net='L3 veth' ip='veth auto' command='sleep 1000'
	[ "$(net_of a/c)" != "$(net_of a)" ]
	sh_in a/c/d "$how; ping -c 1 -W 5 10.11.0.254 >/dev/null && echo answered; ip link set veth mtu 1300; ip link show veth" user=root
	[[ $output == *forward*answered*'mtu 1300'* ]] || fail "$output"
	kill_worker
	sh_in a/c/d 'ip link set veth mtu 1200; ip link show veth' user=root
	[[ $output == *'mtu 1200'* ]] || fail "$output"
	# a user's: one id in the map
	as games ct_start u userns=true command='sleep 1000'
	as games ct_start u/v net=none command='sleep 1000'
	[ "$(net_of u/v)" != "$(net_of u)" ]
	nsenter -U -n -t "$(prop u/v root_pid)" ip link set lo mtu 1300
}

@test "userns: all capabilities inside, less what a list inside takes away; none outside" {
	local u=(userns=true user=1044 group=1044 root="$ROOT")
	sh_in a 'grep CapEff /proc/self/status; mount -t tmpfs x /mnt && echo mounted' "${u[@]}"
	[[ $output == *CapEff:*000001ff*mounted* || $output == *CapEff:*0000?1ff*mounted* ]] || fail "$output"
	sh_in a 'grep CapBnd /proc/self/status; mount -t tmpfs x /mnt && echo mounted; chown 5 /tmp && echo chowned; true' "${u[@]}" capabilities=KILL
	[[ $output == *0000000000000020* && $output != *mounted* && $output != *chowned* ]] || fail "$output"
	sh_in a 'echo 1 >/proc/sys/kernel/sysrq; mknod /tmp/m b 1 1 && echo made; true' "${u[@]}"
	[[ $output != *made* ]] || fail "$output"
	# filters hold there too, for root inside and for others
	ct_new p "${u[@]}" seccomp='errno:38 chroot'
	sh_in p/a 'chroot / true' user=root
	[[ $output == *'not implemented'* ]] || fail "$output"
	sh_in p/b 'chroot / true' user=nobody
	[[ $output == *'not implemented'* ]] || fail "$output"
	ct_destroy p
}

@test "NET_ADMIN: with a network of one's own, not with another's" {
	ct_new a net=none owner_user=games user=games
	[[ ";$(prop a capabilities_allowed);" == *NET_ADMIN* ]]
	ct_new b owner_user=games user=games
	[[ $(prop b capabilities_allowed) != *NET_ADMIN* ]]
	ct_start n net=none command='sleep 1000'
	ct_new c net='container n' owner_user=games user=games
	[[ $(prop c capabilities_allowed) != *NET_ADMIN* ]]
}

@test "a system: usual devices, those that are given, and /porto" {
	ct_start a virt_mode=os root="$ROOT" command='sleep 1000' net='NAT' devices='/dev/fuse rw' enable_porto=isolate
	sh_in a/x 'echo x >/dev/null && head -c 4 /dev/zero | wc -c; [ -c /dev/fuse ] && : <>/dev/fuse && echo fuse; [ -e /dev/console ] || echo none; mkdir /porto/kid && echo sleep 1000 >/porto/kid/command && echo start >/porto/kid/state && cat /porto/kid/state; ls /porto' isolate=false
	[[ $output == *fuse*none*running*kid* ]] || fail "$output"
	prop_is a/kid state running
	[[ $(prop a/kid net) == inherited && $(net_of a/kid) = "$(net_of a)" ]]
	# what it makes has no more than it has
	sh_in a/x 'echo "/dev/kmsg rw" >/porto/kid/devices || cat /porto/.porto/error' isolate=false
	[[ $output == *'has not got that'* ]] || fail "$output"
}

@test "enable_fuse: only below who has /dev/fuse" {
	[ -c /dev/fuse ] || skip 'no /dev/fuse'
	ct_start a virt_mode=os root="$ROOT" command='sleep 1000'
	ct_new a/b enable_fuse=true user=1044 group=1044 root=/ command_argv=$'sh\t-c\t: <>/dev/fuse && echo opened'
	want_error Permission put a/b/state start
	error_says a/b 'has not got /dev/fuse'
	put a/devices '/dev/fuse rw /dev/fuse 0666'
	put a/b/state start && prop a/b wait >/dev/null
	[ "$(prop a/b stdout)" = opened ] || fail "$(prop a/b stderr)"
	sh_in c ': <>/dev/fuse && echo opened' enable_fuse=true user=1044 group=1044 root="$ROOT"
	[ "$output" = opened ] || fail "$output"
	sh_in c 'mknod /tmp/fuse c 10 229 && : <>/tmp/fuse && echo opened' root="$ROOT"
	[[ $output != *opened* ]] || fail "$output"
}

# A command whose answer to COMMAND, asked from outside by two fifos, is that of a shell in NAME.
served() {
	local name=$1
	shift
	mkdir -p "$ROOT/ctl" && rm -f "$ROOT/ctl/$name".* && mkfifo -m 666 "$ROOT/ctl/$name.in" "$ROOT/ctl/$name.out" || return
	ct_start "$name" "$@" command_argv=$'sh\t-c\twhile :; do read -r line </ctl/'"$name"$'.in; eval "$line" >/ctl/'"$name"$'.out 2>&1; done'
}

ask() {
	timeout "$((10 * PORTO_SLOW))" sh -c 'echo "$2" >"$1.in"; cat "$1.out"' - "$ROOT/ctl/$1" "$2"
}

@test "/porto in a user namespace: root there is its user to porto; goes on over the daemon's end and start" {
	served u userns=true user=1044 group=1044 root="$ROOT" enable_porto=isolate
	ct_start u/kid command='sleep 1000' isolate=true
	[ "$(readlink "/proc/$(prop u/kid root_pid)/ns/user")" = "$(readlink "/proc/$(prop u root_pid)/ns/user")" ]
	output=$(ask u 'id -u; cat /porto/kid/state; ls /porto/u; mkdir /porto/made; echo stop >/porto/kid/state; echo end')
	[[ $output == 0*running*end ]] || fail "$output"
	[ ! -e "$PORTO_ROOT/u/made" ] && prop_is u/kid state running
	kill_worker
	[ "$(ask u 'cat /porto/kid/state')" = running ]
	for _ in 1 2; do
		daemon_stop
		[[ $(ask u 'cat /porto/kid/state') == *'not connected'* ]]
		daemon_up
		wait_for '[ "$(ask u "cat /porto/kid/state")" = running ]' || fail "$(ask u 'cat /porto/kid/state; cat /proc/mounts')"
	done
	# the first one is locked there, those that came over it are not
	[ "$(ask u 'grep -c " /porto " /proc/mounts')" -le 2 ]
}

@test "what is bound on a name's file or on /porto is mounted nowhere else, also where the host's mounts are shared" {
	mount --make-shared "$PORTO_ROOT"
	ct_new o
	echo bound >"$ROOT/mine"
	sh_in a 'cat /etc/resolv.conf; ls /porto/o; mount -t tmpfs x /porto && echo mounted' root="$ROOT" \
		bind="$ROOT/mine /etc/resolv.conf ro; $ROOT/etc /porto/o"
	mount --make-private "$PORTO_ROOT"
	! grep -E " ($PORTO_ROOT|$STATE_DIR)/" /proc/self/mounts || fail 'on the host too'
	[[ $output == bound*mounted* ]] || fail "$output"
	rm -f "$ROOT/mine"
}

@test "systemd with a network, devices and /porto; docker in it by portoctl, with a network of its own" {
	local i kid
	need_debian
	cp -a "$DEBIAN" "$TEST_DIR/deb"
	ct_start a virt_mode=os root="$TEST_DIR/deb" net='L3 veth' ip='veth auto' devices='/dev/fuse rw' enable_porto=isolate
	for ((i = 0; i < 100 * PORTO_SLOW; i++)); do
		in_ct a 'systemctl is-system-running'
		[[ $output != running* ]] || break
		sleep 0.3
	done
	[[ $output == running* ]] || { in_ct a 'systemctl --failed'; fail "$output"; }
	in_ct a 'ip -o -4 addr show veth; : <>/dev/fuse && echo fuse; head -c 1 /dev/kmsg; ls /porto/absolute_name'
	[[ $output == *inet*fuse* && $output == */porto/absolute_name* ]] || fail "$output"
	run "$PORTOCTL" run a/b virt_mode=docker user=1044 group=1044 net='L3 veth' ip='veth auto' command='sleep 1000'
	[ "$status" = 0 ] || fail "$output"
	prop_is a/b state running
	[ "$(prop a/b ip)" != "$(prop a ip)" ] && [ "$(net_of a/b)" != "$(net_of a)" ]
	kid=$(prop a/b root_pid)
	grep -q 'Uid:[[:space:]]*1044' "/proc/$kid/status"
	run "$PORTOCTL" shell a/b "sh -c 'ip -o -4 addr show veth; unshare -m true && echo unshared; ls /porto'"
	[[ $output == *inet*unshared* ]] || fail "$output"
	put a/state stop
	prop_is a state stopped
	no_leaks
}

@test "a system that freezes whatever is born in it does not hold up the daemon" {
	local i
	cat >"$ROOT/freeze" <<-'END'
		#!/bin/sh
		while :; do for f in /sys/fs/cgroup/*/cgroup.freeze; do echo 1 >"$f"; done; done 2>/dev/null
	END
	chmod +x "$ROOT/freeze"
	ct_start a virt_mode=os root="$ROOT" command='sh /freeze'
	for i in 1 2 3 4 5 6 7 8; do
		ct_new "a/k$i" command=true isolate=false
		put "a/k$i/state" start 2>/dev/null &
		pids[i]=$!
		sleep 0.1
	done
	ct_run b command=true
	put a/state 'stop 0'
	wait "${pids[@]}" || :
	prop_is a state stopped
	! grep -q 'stands still' "$TEST_DIR/log" || fail 'the worker stood still'
}

@test "attack: root without SYS_ADMIN mounts each cgroup hierarchy in a user namespace of its own: it finds its own cgroup there, no other" {
	[ ! -e /sys/fs/cgroup/cgroup.controllers ] || skip 'no cgroup v1'
	unshare -Urm true || skip 'no user namespaces'
	ct_start other command='sleep 1000' controllers='freezer;cpuset;blkio'
	ct_new a 'capabilities[SYS_ADMIN]=false' "command=unshare -UrmC sh -c '
		mount -t tmpfs none /mnt && cd /mnt || exit
		for c in \$(awk \"\\\$1 !~ /#/ { print \\\$1 }\" /proc/cgroups); do
			mkdir \$c
			mount -t cgroup -o \$c none \$c 2>/dev/null || continue
			echo mounted
			find \$c/ -mindepth 1 -maxdepth 1 -type d
		done'"
	put a/state start
	prop a wait >/dev/null
	[[ $(prop a stdout) == mounted* ]] || fail "$(prop a stdout) $(prop a stderr)"
	! prop a stdout | grep -v '^mounted$' >&2 || fail 'cgroups that are not its own'
}
