#!/usr/bin/env bats
# Capabilities, no_new_privs, session keyrings, loginuid: what processes of a container may do, and how they try to get more.
#
# shellcheck disable=SC2016 # shells in containers

bats_require_minimum_version 1.5.0
load helpers

teardown() {
	destroy_all
}

DEFAULT='CHOWN;DAC_OVERRIDE;FOWNER;FSETID;KILL;SETGID;SETUID;SETPCAP;NET_BIND_SERVICE;NET_ADMIN;NET_RAW;IPC_LOCK;SYS_CHROOT;SYS_PTRACE;MKNOD;AUDIT_WRITE;SETFCAP'

# caps NAME LINE: of its main process (CapBnd, CapEff ...), as names.
caps() {
	local mask
	mask=$(sed -n "s/^$2:\t//p" "/proc/$(prop "$1" root_pid)/status") && names "$mask"
}

# of porto-init, which stays beside it
helper_caps() {
	local mask ppid
	ppid=$(sed -n 's/^PPid:\t//p' "/proc/$(prop "$1" root_pid)/status")
	mask=$(sed -n "s/^$2:\t//p" "/proc/$ppid/status") && names "$mask"
}

names() {
	capsh --decode="$1" | sed 's/.*=//; s/cap_//g; s/,/;/g' | tr '[:lower:]' '[:upper:]'
}

same() {
	[ "$1" = "$2" ] || fail "'$1', expected '$2'"
}

# without LIST NAME...: the list less these
without() {
	local list=";$1;" name
	shift
	for name; do list=${list/;$name;/;}; done
	list=${list#;}
	echo "${list%;}"
}

@test "capabilities: unset, root's container may mount and a user's not; both show what is in force" {
	ct_start a 'command=sleep 1000'
	[[ $(prop a capabilities) == *SYS_ADMIN* ]]
	same "$(caps a CapBnd)" "$(prop a capabilities_allowed)"
	same "$(caps a CapEff)" "$(prop a capabilities_allowed)"
	as daemon ct_start u 'command=sleep 1000'
	prop_is u capabilities "$DEFAULT"
	prop_is u capabilities_allowed "$(without "$DEFAULT" IPC_LOCK NET_ADMIN KILL SYS_PTRACE)"
	same "$(caps u CapBnd)" "$(prop u capabilities_allowed)"
	same "$(caps u CapEff)$(caps u CapPrm)$(caps u CapInh)$(caps u CapAmb)" ''
}

@test "capabilities_allowed: IPC_LOCK comes with a memory_limit, KILL and SYS_PTRACE are root's, and others when they are listed" {
	need memory u/memory_limit 1G
	as daemon ct_new u memory_limit=1G isolate=false
	prop_is u capabilities_allowed "$(without "$DEFAULT" NET_ADMIN KILL SYS_PTRACE)"
	as daemon put u/isolate true
	prop_is u capabilities_allowed "$(without "$DEFAULT" NET_ADMIN KILL SYS_PTRACE)"
	as daemon put u/isolate false
	as daemon put u/capabilities 'KILL;NET_ADMIN'
	prop_is u capabilities_allowed NET_ADMIN
	ct_new r isolate=false capabilities='KILL;SYS_PTRACE'
	prop_is r capabilities_allowed 'KILL;SYS_PTRACE'
	ct_new i capabilities='KILL;SYS_PTRACE'
	prop_is i capabilities_allowed KILL
	put i/userns true
	prop_is i capabilities_allowed 'KILL;SYS_PTRACE'
}

@test "capabilities: CAP_ and small letters are read; an unknown name is refused and nothing changes" {
	ct_new a 'capabilities=cap_net_raw;CHOWN'
	prop_is a capabilities 'CHOWN;NET_RAW'
	want_error InvalidValue put a/capabilities 'CHOWN;SYS_ADMN'
	[[ $(prop a error) == *"capabilities: 'SYS_ADMN': expected"* ]] || fail "$(prop a error)"
	prop_is a capabilities 'CHOWN;NET_RAW'
	add a/capabilities KILL
	prop_is a capabilities 'CHOWN;KILL;NET_RAW'
	put a/capabilities ''
	prop_is a capabilities_allowed ''
}

@test "capabilities[X]: changes what is in force; reads true when all are there; an unknown one is refused" {
	ct_new a
	put 'a/capabilities[SYS_ADMIN]' false
	[[ $(prop a capabilities) == *SYS_NICE* && $(prop a capabilities) != *SYS_ADMIN* ]]
	prop_is a 'capabilities[SYS_ADMIN]' false
	prop_is a 'capabilities[CHOWN;KILL]' true
	prop_is a 'capabilities[CHOWN;SYS_ADMIN]' false
	put 'a/capabilities[SYS_ADMIN;SYS_BOOT]' true
	prop_is a 'capabilities_allowed[SYS_ADMIN]' true
	want_error InvalidValue put 'a/capabilities[NOBODY]' true
	[[ $(prop a error) == *"'NOBODY': expected"* ]] || fail "$(prop a error)"
	want_error InvalidValue put 'a/capabilities[CHOWN]' 1
	want_errno EINVAL prop a 'capabilities[NOBODY]'
	put a/command 'sleep 1000'
	ct_start a
	want_errno EBUSY put 'a/capabilities[SYS_ADMIN]' false
}

@test "capabilities[SYS_ADMIN]=false: no mount, but unshare -rm and a mount in there work" {
	ct_run a 'capabilities[SYS_ADMIN]=false' "command=bash -c 'mount -t tmpfs x /mnt; echo \$?; unshare -rm mount -t tmpfs x /mnt; echo \$?'"
	same "$(prop a stdout)" $'32\n0' || same "$(prop a stdout)" $'1\n0'
}

@test "portoctl exec: capabilities[SYS_ADMIN]=false as a word of the command line" {
	run -0 --separate-stderr "$PORTOCTL" exec abc "command=bash -c 'mount -t tmpfs x /mnt 2>/dev/null || unshare -rm mount -t tmpfs x /mnt && echo in there'" 'capabilities[SYS_ADMIN]=false'
	same "$output" 'in there'
}

@test "capabilities: a child has at most what those above have, also root's child, and one with a list of its own" {
	ct_start a 'capabilities=CHOWN;KILL;SETUID' 'command=sleep 1000'
	ct_start a/b 'command=sleep 1000'
	same "$(caps a/b CapBnd)" 'CHOWN;KILL;SETUID'
	ct_start a/c 'capabilities=SYS_ADMIN;KILL' 'command=sleep 1000'
	prop_is a/c capabilities_allowed KILL
	same "$(caps a/c CapBnd)" KILL
	ct_start a/d virt_mode=job 'command=sleep 1000'
	same "$(caps a/d CapBnd)" 'CHOWN;KILL;SETUID'
}

@test "capabilities: a user gives none beyond the usual, root may" {
	as daemon ct_new u
	want_error Permission as daemon put u/capabilities 'CHOWN;SYS_MODULE'
	want_error Permission as daemon put 'u/capabilities[SYS_ADMIN]' true
	put u/capabilities 'CHOWN;SYS_ADMIN'
	as daemon put 'u/capabilities[CHOWN]' false
	prop_is u capabilities SYS_ADMIN
}

@test "capabilities: what the daemon has not got is refused, and never promised" {
	! grep -q 'CapBnd:.*ffffffffff$' /proc/self/status || skip 'the daemon has all'
	ct_new a
	[[ $(prop a capabilities_allowed) != *SYS_RESOURCE* ]]
	want_error NotSupported put a/capabilities SYS_RESOURCE
}

@test "capabilities_ambient: a plain user's program has them, and its children" {
	ct_start a user=daemon capabilities_ambient=NET_RAW 'command=sh -c "sleep 1000; :"'
	same "$(caps a CapEff)" NET_RAW
	same "$(caps a CapAmb)" NET_RAW
	same "$(caps a CapPrm)" NET_RAW
	same "$(helper_caps a CapPrm)" ''
}

@test "capabilities_ambient: not in capabilities_allowed, the start is refused" {
	ct_new a user=daemon capabilities=CHOWN capabilities_ambient=NET_RAW command=true
	want_error Permission put a/state start
	error_says a NET_RAW
	prop_is a state stopped
}

@test "capabilities_ambient: a user gives himself only what the container confines" {
	as daemon ct_new u command=true
	for cap in DAC_OVERRIDE CHOWN SETUID NET_BIND_SERVICE SYS_ADMIN; do
		want_error Permission as daemon put u/capabilities_ambient "$cap"
	done
	as daemon put u/capabilities_ambient KILL
	want_error Permission as daemon put u/state start
	as daemon put u/capabilities KILL
	want_error Permission as daemon put u/state start
	# with this one, links of the host can be changed out of any network
	as daemon ct_new v command=true net=none capabilities_ambient=NET_RAW
	as daemon put v/state start
	as daemon put v/state stop
	as daemon put v/capabilities_ambient NET_ADMIN
	want_error Permission as daemon put v/state start
	error_says v 'takes userns'
	as daemon put v/userns true
	as daemon put v/state start
}

@test "attack: a user's container can't trace or stop what starts a child or makes a link in it, which is the host's root until it is done" {
	as daemon ct_new u 'command=sleep 1000' capabilities_ambient=SYS_PTRACE
	want_error Permission as daemon put u/state start
	error_says u 'not in capabilities_allowed'
	as daemon put u/capabilities_ambient ''
	as daemon put u/capabilities 'KILL;SYS_PTRACE;CHOWN'
	prop_is u capabilities_allowed CHOWN
	as daemon put u/state start
	same "$(caps u CapBnd)" CHOWN
	# in a user namespace it is worth nothing against who comes from outside
	as daemon ct_new v 'command=sleep 1000' userns=true
	as daemon put v/state start
	[[ $(caps v CapEff) == *SYS_PTRACE* ]]
}

# Writes to every process that appears in its pid namespace, asks it for the host's files and stops it.
HIJACK='
import ctypes, os, signal
libc = ctypes.CDLL(None, use_errno=True)
print("ready", flush=True)
mine = os.getpid()
while not os.path.exists(os.environ["STOP"]):
    for pid in [int(p) for p in os.listdir("/proc") if p.isdigit()]:
        if pid in (1, mine):
            continue
        try:
            if not open("/proc/%d/comm" % pid).read().startswith("porto"):
                continue
            os.kill(pid, signal.SIGSTOP)
            status = open("/proc/%d/status" % pid).read()
            caps = int(status.split("CapPrm:")[1].split()[0], 16)
        except OSError:
            continue
        try:
            os.open("/proc/%d/mem" % pid, os.O_RDWR)
            memory = True
        except OSError:
            memory = False
        traced = libc.ptrace(16, pid, 0, 0) == 0
        # the stop takes effect a little later: what it has by now is what we have by it
        try:
            caps &= int(open("/proc/%d/status" % pid).read().split("CapPrm:")[1].split()[0], 16)
        except (OSError, IndexError):
            continue
        if caps & ~int(os.environ["ALLOWED"], 16) and (memory or traced):
            print("hijacked", pid, flush=True)
        os.system("kill -CONT %d" % pid)
'

@test "attack: root inside without SYS_ADMIN traces, stops and writes to what starts children there: nothing is got, the daemon goes on" {
	command -v python3 >/dev/null || skip 'no python3'
	local script=$TEST_DIR/hijack.py i worker
	worker=$(worker_pid)
	echo "$HIJACK" >"$script"
	ct_new a 'capabilities[SYS_ADMIN]=false' "env=STOP=$TEST_DIR/stop;ALLOWED=0" command="python3 $script" root_readonly=false
	ct_start b 'capabilities[SYS_ADMIN]=false' command='sleep 1000'
	put a/env "STOP=$TEST_DIR/stop;ALLOWED=$(sed -n 's/^CapBnd:\t//p' "/proc/$(prop b root_pid)/status")"
	put a/state start
	wait_for '[[ $(prop a stdout) == ready* ]]'
	for ((i = 0; i < 15; i++)); do
		ct_new a/s command=true isolate=false
		ct_new a/i command=true
		timeout 5 sh -c "echo start >'$PORTO_ROOT/a/s/state'" || true
		timeout 5 sh -c "echo start >'$PORTO_ROOT/a/i/state'" || true
		timeout 1 cat "$PORTO_ROOT/.porto/version" >/dev/null || fail 'the daemon stands still'
		timeout 10 rmdir "$PORTO_ROOT/a/s" "$PORTO_ROOT/a/i" || fail 'not removed'
	done
	touch "$TEST_DIR/stop"
	[ "$(prop a stdout)" = ready ] || fail "$(prop a stdout)"
	[ "$(worker_pid)" = "$worker" ]
}

@test "attack: root inside without SYS_ADMIN does not come to the descriptors of the porto-init beside it" {
	ct_run a 'capabilities[SYS_ADMIN]=false' "command=sh -c '
		for pid in 1 \$PPID; do
			for fd in 0 1 2 3 4 5 6 7; do echo written >>/proc/\$pid/fd/\$fd && echo \$fd; done
			ls /proc/\$pid/cwd/ /proc/\$pid/root/
		done 2>/dev/null; echo done'"
	prop_is a stdout 'done'
	[ "$(stat -c %s "$STATE_DIR"/ct/*.status)" = 1024 ]
}

@test "attack: what makes a link in a container that runs is no process that is seen in there" {
	ct_start b "command=sleep 1000"
	local before after
	before=$(nsenter -t "$(prop b root_pid)" -p sh -c 'sh -c "exit 0" & echo $!')
	put b/symlink "/tmp/porto-link-$$: x"
	after=$(nsenter -t "$(prop b root_pid)" -p sh -c 'sh -c "exit 0" & echo $!')
	put b/symlink ''
	[ ! -L "/tmp/porto-link-$$" ]
	# each of ours takes two numbers
	[ "$((after - before))" -eq 2 ] || fail "$before $after"
}

@test "no_new_privs: the kernel gives setuid programs nothing" {
	ct_run a user=daemon no_new_privs=true 'command=grep NoNewPrivs /proc/self/status'
	prop_is a stdout $'NoNewPrivs:\t1'
	ct_run b user=daemon 'command=grep NoNewPrivs /proc/self/status'
	prop_is b stdout $'NoNewPrivs:\t0'
}

@test "porto-init beside the command has no capability at all, so that tracing it gives none" {
	ct_start a 'capabilities=CHOWN' 'command=sleep 1000'
	same "$(helper_caps a CapPrm)$(helper_caps a CapEff)" ''
	same "$(helper_caps a CapBnd)" CHOWN
	ct_start m
	local pid
	pid=$(head -1 "$(prop m 'cgroups[freezer]')"/{,+leaf/}cgroup.procs 2>/dev/null | grep -m1 '^[0-9]')
	same "$(names "$(sed -n 's/^CapPrm:\t//p' "/proc/$pid/status")")" ''
}

@test "attack: root inside without SYS_ADMIN, SYS_MODULE and SYS_RAWIO: mount, modules, reboot, raw memory, host name, clock" {
	ct_run a "capabilities=CHOWN;MKNOD;SYS_CHROOT" "command=sh -c '
		mount -t tmpfs x /mnt 2>/dev/null && echo mount
		umount /proc 2>/dev/null && echo umount
		unshare -m true 2>/dev/null && echo unshare
		hostname evil 2>/dev/null && echo hostname
		date -s 2000-01-01 >/dev/null 2>&1 && echo clock
		chroot / kill -0 1 2>/dev/null || echo kill
		cat /proc/kcore 2>/dev/null | head -c 1 | grep -q . && echo kcore
		nsenter -t 1 -m true 2>/dev/null && echo nsenter
		echo done'"
	prop_is a stdout 'done'
}

@test "keyring: each container has a session keyring of its own, and not that of the daemon" {
	command -v python3 >/dev/null || skip 'no python3'
	local ask='import ctypes;l=ctypes.CDLL(None);print(l.syscall(250,0,-3,0))'
	ct_run a "command_argv=$(printf 'python3\t-c\t%s' "$ask")"
	ct_run b "command_argv=$(printf 'python3\t-c\t%s' "$ask")"
	[ "$(prop a stdout)" -gt 0 ] || skip 'no keys in this kernel'
	[ "$(prop a stdout)" != "$(prop b stdout)" ]
	[ "$(prop a stdout)" != "$(python3 -c "$ask")" ]
}

@test "loginuid: nobody's" {
	[ -e /proc/self/loginuid ] || skip 'no audit in this kernel'
	ct_run a 'command=cat /proc/self/loginuid'
	prop_is a stdout 4294967295
}

@test "capabilities: kept through a restart of the daemon and a clone by spec" {
	ct_new a 'capabilities=CHOWN;KILL' capabilities_ambient=KILL no_new_privs=true
	daemon_restart
	prop_is a capabilities 'CHOWN;KILL'
	prop_is a capabilities_ambient KILL
	mkdir "$PORTO_ROOT/b"
	cat "$PORTO_ROOT/a/spec" >"$PORTO_ROOT/b/spec"
	prop_is b capabilities 'CHOWN;KILL'
	prop_is b no_new_privs true
}
