#!/usr/bin/env bats
# What a container calls itself and others by: hostname, etc_hosts, resolv_conf; and kernel parameters of its namespaces.
#
# shellcheck disable=SC2016 # meant for wait_for and shells in containers

bats_require_minimum_version 1.5.0
PORTOD_OPTIONS=("container.ipc_sysctl=kernel.msgmni: 77")
load helpers

# A machine without the file has nothing that could be mounted over.
need_resolv_conf() {
	[ -e /etc/resolv.conf ] || skip 'no /etc/resolv.conf here'
}

teardown() {
	destroy_all
	rm -rf "$TEST_DIR/root"
}

# A directory that can be a root, with busybox and an /etc of its own.
root_make() {
	ROOT=$TEST_DIR/root
	mkdir -p "$ROOT/bin" "$ROOT/etc" "$ROOT/tmp"
	cp "$(command -v busybox)" "$ROOT/bin/busybox"
	local name
	for name in cat hostname ls sh sleep touch; do
		ln -sf busybox "$ROOT/bin/$name"
	done
	echo of-the-image >"$ROOT/etc/resolv.conf"
	echo image >"$ROOT/etc/hostname"
}

# inside NAME COMMAND...: in the mount and UTS namespaces of its main process.
inside() {
	local pid
	pid=$(prop "$1" root_pid)
	shift
	nsenter -t "$pid" -m -u -- "$@"
}

@test "hostname: of the container alone, not the host's" {
	ct_run a hostname=box command=hostname
	prop_is a stdout box
	prop_is a hostname box
	[ "$(hostname)" != box ]
	ct_run b command=hostname
	prop_is b stdout "$(hostname)"
	ct_start p hostname=outer command='sleep 1000'
	ct_run p/inherits command=hostname
	prop_is p/inherits stdout outer
}

@test "hostname: 64 bytes, no blank; while stopped, with isolate, not of a job" {
	local name
	name=$(printf '%064d' 0)
	ct_new a hostname="$name" command='sleep 1000'
	want_errno EINVAL put a/hostname "${name}0"
	want_error InvalidValue put a/hostname 'two words'
	want_error InvalidValue put a/hostname '../x'
	prop_is a hostname "$name"
	put a/state start
	want_errno EBUSY put a/hostname other
	[ "$(inside a hostname)" = "$name" ]
	ct_new b hostname=box isolate=false command=true
	want_error InvalidValue put b/state start
	error_says b 'hostname needs isolate'
	ct_new a/j virt_mode=job hostname=box command=true
	want_error InvalidValue put a/j/state start
	error_says a/j 'virt_mode job cannot have hostname'
}

@test "hostname: in a chroot /etc/hostname too, which on disk stays" {
	root_make
	ct_run a root="$ROOT" hostname=box command='/bin/cat /etc/hostname /proc/sys/kernel/hostname'
	prop_is a stdout $'box\nbox'
	[ "$(<"$ROOT/etc/hostname")" = image ]
	ct_run b root="$ROOT" command='/bin/cat /etc/hostname'
	prop_is b stdout image
}

@test "etc_hosts: in place of /etc/hosts, for the container alone" {
	local before
	before=$(md5sum </etc/hosts)
	ct_start a etc_hosts=$'127.0.0.1 localhost\n10.0.0.1 db' command='sleep 1000'
	[ "$(inside a cat /etc/hosts)" = $'127.0.0.1 localhost\n10.0.0.1 db' ]
	[ "$(md5sum </etc/hosts)" = "$before" ]
	prop_is a etc_hosts $'127.0.0.1 localhost\n10.0.0.1 db'
	want_errno EBUSY put a/etc_hosts other
	run ! inside a touch /etc/hosts
	ct_run a/b command='cat /etc/hosts'
	prop_is a/b stdout $'127.0.0.1 localhost\n10.0.0.1 db'
	ct_run a/c isolate=false etc_hosts='10.0.0.2 other' command='cat /etc/hosts'
	prop_is a/c stdout '10.0.0.2 other'
	ct_run n isolate=false etc_hosts='10.0.0.3 third' command='cat /etc/hosts'
	prop_is n stdout '10.0.0.3 third'
}

@test "etc_hosts, resolv_conf: of a user's container only where root owns it" {
	as daemon ct_new a etc_hosts='10.0.0.1 sudo-server' command=true
	as daemon want_errno EACCES put a/state start
	as daemon want_error Permission put a/state start
	as daemon put a/etc_hosts ''
	as daemon put a/hostname box
	as daemon put a/state start
	state_is a dead
}

@test "etc_hosts: refused for virt_mode host and job" {
	ct_new h virt_mode=host etc_hosts=x command=true
	want_error InvalidValue put h/state start
	put h/etc_hosts ''
	put h/resolv_conf 'nameserver 10.0.0.1'
	want_error InvalidValue put h/state start
	put h/resolv_conf keep
	put h/state start
}

@test "resolv_conf: without a chroot the host's; a text of its own, ; for line ends" {
	need_resolv_conf
	ct_start a command='sleep 1000'
	prop_is a resolv_conf inherit
	[ "$(inside a cat /etc/resolv.conf)" = "$(cat /etc/resolv.conf)" ]
	ct_start b resolv_conf='nameserver 10.0.0.1; search example org;' command='sleep 1000'
	[ "$(inside b cat /etc/resolv.conf)" = $'nameserver 10.0.0.1\nsearch example org' ]
	prop_is b resolv_conf 'nameserver 10.0.0.1; search example org;'
	run ! inside b sh -c 'echo x >/etc/resolv.conf'
}

@test "resolv_conf: a change is seen while it runs, but not between keep and a text" {
	need_resolv_conf
	ct_start a resolv_conf='nameserver 10.0.0.1;options rotate' command='sleep 1000'
	put a/resolv_conf 'nameserver 10.0.0.2'
	[ "$(inside a cat /etc/resolv.conf)" = 'nameserver 10.0.0.2' ]
	want_error InvalidState put a/resolv_conf keep
	want_error InvalidState put a/resolv_conf inherit
	prop_is a resolv_conf 'nameserver 10.0.0.2'
	[ "$(inside a cat /etc/resolv.conf)" = 'nameserver 10.0.0.2' ]
	ct_start b command='sleep 1000'
	want_error InvalidState put b/resolv_conf 'nameserver 10.0.0.1'
	put b/resolv_conf keep
	prop_is b resolv_conf keep
	put b/resolv_conf default
	prop_is b resolv_conf inherit
	put a/state stop
	put a/resolv_conf ''
	prop_is a resolv_conf keep
}

@test "resolv_conf: in a chroot the host's by default, keep leaves the image's" {
	need_resolv_conf
	root_make
	ct_start a root="$ROOT" command='/bin/sleep 1000'
	prop_is a resolv_conf default
	[ "$(cat "/proc/$(prop a root_pid)/root/etc/resolv.conf")" = "$(sed 's/;/\n/g' /etc/resolv.conf)" ]
	put a/resolv_conf 'nameserver 10.0.0.1'
	[ "$(cat "/proc/$(prop a root_pid)/root/etc/resolv.conf")" = 'nameserver 10.0.0.1' ]
	put a/resolv_conf inherit
	prop_is a resolv_conf default
	[ "$(cat "/proc/$(prop a root_pid)/root/etc/resolv.conf")" = "$(cat /etc/resolv.conf)" ]
	want_error InvalidState put a/resolv_conf keep
	ct_run b root="$ROOT" resolv_conf=keep command='/bin/cat /etc/resolv.conf'
	prop_is b stdout of-the-image
	[ "$(<"$ROOT/etc/resolv.conf")" = of-the-image ]
}

@test "resolv_conf: an image without one, with a dangling link, with one that leads out" {
	root_make
	rm "$ROOT/etc/resolv.conf"
	ct_run a root="$ROOT" resolv_conf='nameserver 10.0.0.1' command='/bin/cat /etc/resolv.conf'
	prop_is a stdout 'nameserver 10.0.0.1'
	ln -sf ../run/systemd/resolve/stub-resolv.conf "$ROOT/etc/resolv.conf"
	ct_run b root="$ROOT" resolv_conf='nameserver 10.0.0.2' command='/bin/cat /etc/resolv.conf'
	prop_is b stdout 'nameserver 10.0.0.2'
	ln -sf "../../../../../../../../..$TEST_DIR/victim" "$ROOT/etc/resolv.conf"
	echo untouched >"$TEST_DIR/victim"
	ct_run c root="$ROOT" resolv_conf='nameserver 10.0.0.3' command='/bin/cat /etc/resolv.conf'
	prop_is c stdout 'nameserver 10.0.0.3'
	[ "$(<"$TEST_DIR/victim")" = untouched ]
	rm "$TEST_DIR/victim" "$ROOT/etc/resolv.conf"
	ln -s resolv.conf "$ROOT/etc/resolv.conf"
	ct_run d root="$ROOT" command='/bin/ls /'
	ct_new e root="$ROOT" resolv_conf='nameserver 10.0.0.4' command='/bin/ls /'
	want_error InvalidValue put e/state start
}

@test "resolv_conf: what is bound by hand hides a default, not a text" {
	root_make
	echo by-hand >"$TEST_DIR/root/mine"
	ct_run a root="$ROOT" bind="$ROOT/mine /etc/resolv.conf ro" command='/bin/cat /etc/resolv.conf'
	prop_is a stdout by-hand
	ct_run b root="$ROOT" bind="$ROOT/mine /etc/resolv.conf ro" resolv_conf='nameserver 10.0.0.1' command='/bin/cat /etc/resolv.conf'
	prop_is b stdout 'nameserver 10.0.0.1'
}

@test "names in a child of a chroot, to which the daemon's directories are not there" {
	root_make
	touch "$ROOT/etc/hosts"
	ct_start p root="$ROOT" command='/bin/sleep 1000'
	ct_run p/c cwd=/ etc_hosts='10.0.0.1 db' resolv_conf='nameserver 10.0.0.9' command='/bin/cat /etc/hosts /etc/resolv.conf'
	prop_is p/c stdout $'10.0.0.1 db\nnameserver 10.0.0.9'
}

@test "names outlive kill -9 of the worker, and change after it" {
	need_resolv_conf
	root_make
	ct_start a root="$ROOT" hostname=box etc_hosts='10.0.0.1 db' command='/bin/sleep 1000'
	ct_start b resolv_conf='nameserver 10.0.0.1' command='sleep 1000'
	echo damaged >"$STATE_DIR/names/$(prop a id).resolv.conf"
	kill_worker
	prop_is a hostname box
	[ "$(inside a /bin/cat /etc/hosts)" = '10.0.0.1 db' ]
	[ "$(inside a /bin/cat /etc/resolv.conf)" = "$(cat /etc/resolv.conf)" ]
	put b/resolv_conf 'nameserver 10.0.0.2'
	[ "$(inside b cat /etc/resolv.conf)" = 'nameserver 10.0.0.2' ]
	put b/state restart
	[ "$(inside b cat /etc/resolv.conf)" = 'nameserver 10.0.0.2' ]
	ct_destroy a b
	[ -z "$(ls "$STATE_DIR/names")" ]
}

@test "default_resolv_conf: the configured one in chroots" {
	daemon_stop
	daemon_start 'container.default_resolv_conf=nameserver 10.9.9.9;search conf'
	root_make
	ct_run a root="$ROOT" command='/bin/cat /etc/resolv.conf'
	prop_is a stdout $'nameserver 10.9.9.9\nsearch conf'
}

@test "sysctl: of its own IPC namespace, after those of the configuration" {
	local before
	before=$(cat /proc/sys/kernel/msgmax)
	daemon_stop
	daemon_start "${PORTOD_OPTIONS[@]}"
	ct_run a sysctl='kernel.msgmax: 4321; fs.mqueue.queues_max: 12' command='cat /proc/sys/kernel/msgmax /proc/sys/fs/mqueue/queues_max /proc/sys/kernel/msgmni'
	prop_is a stdout $'4321\n12\n77'
	[ "$(cat /proc/sys/kernel/msgmax)" = "$before" ]
	prop_is a sysctl 'fs.mqueue.queues_max: 12; kernel.msgmax: 4321'
	prop_is a 'sysctl[kernel.msgmax]' 4321
	prop_is a 'sysctl[kernel.sem]' ''
	put a/state stop
	put 'a/sysctl[kernel.msgmax]' ''
	put 'a/sysctl[kernel.msgmni]' 78
	prop_is a sysctl 'fs.mqueue.queues_max: 12; kernel.msgmni: 78'
	put a/state start
	state_is a dead
	[ "$(tail -n 1 "$PORTO_ROOT/a/stdout")" = 78 ]
	root_make
	ct_run b root="$ROOT" sysctl='kernel.msgmax: 4322' command='/bin/cat /proc/sys/kernel/msgmax'
	prop_is b stdout 4322
}

@test "sysctl: others, of the host, by a way around, or a bad value are refused" {
	local key
	ct_new a command=true
	for key in kernel.core_pattern vm.overcommit_memory kernel.msgmax/../../vm net.ipv4.conf..x net.ipv4.conf./.x net.ipv4.neigh.default.gc_thresh1 kernel net; do
		put a/sysctl "$key: 1"
		want_errno EACCES put a/state start
		want_error Permission put a/state start
	done
	put a/sysctl 'net.ipv4.ip_forward: 1'
	want_error Permission put a/state start
	error_says a 'needs a network of its own'
	put a/sysctl 'kernel.msgmax: 1'
	put a/isolate false
	want_error Permission put a/state start
	error_says a 'needs isolate'
	put a/isolate true
	put a/sysctl 'kernel.msgmax: many'
	want_error InvalidValue put a/state start
	error_says a 'kernel/msgmax: the kernel does not take many'
	want_errno EINVAL put a/sysctl 'no colon'
}

@test "sysctl: of its own network, not of a shared one" {
	ct_run a net=none sysctl='net.ipv4.ip_forward: 1; net.core.somaxconn: 99' command='cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/core/somaxconn'
	prop_is a stdout $'1\n99'
	ct_start p net=none command='sleep 1000'
	ct_new p/c sysctl='net.ipv4.ip_forward: 1' command=true
	want_error Permission put p/c/state start
}

@test "bind_dns: kept, without effect" {
	ct_new a
	prop_is a bind_dns false
	put a/bind_dns true
	prop_is a bind_dns true
}
