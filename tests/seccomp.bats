#!/usr/bin/env bats
# Filters of system calls: who has one by default and what it forbids, profiles, Docker's JSON, chains; attacks.
#
# shellcheck disable=SC2016 # shells in containers

bats_require_minimum_version 1.5.0
load helpers

teardown() {
	destroy_all
}

# filters NAME: how many its main process has
filters() {
	sed -n 's/^Seccomp_filters:\t//p' "/proc/$(prop "$1" root_pid)/status"
}

same() {
	[ "$1" = "$2" ] || fail "'$1', expected '$2'"
}

# calls NUMBER...: a command that makes these calls with all arguments 0 and prints what errno was
calls() {
	command -v python3 >/dev/null || skip 'no python3'
	printf 'python3\t-c\timport ctypes;l=ctypes.CDLL(None,use_errno=True);[print(n,(ctypes.set_errno(0),l.syscall(n,0,0,0,0,0,0),ctypes.get_errno())[2]) for n in (%s,)]' "$(IFS=,; echo "$*")"
}

need_x86() {
	[ "$(uname -m)" = x86_64 ] || skip 'numbers of x86_64'
}

@test "default: a user's container has a filter, root's has none, unless they say otherwise" {
	ct_start a 'command=sleep 1000'
	same "$(filters a)" 0
	as daemon ct_start u 'command=sleep 1000'
	same "$(filters u)" 1
	ct_start b seccomp=default 'command=sleep 1000'
	same "$(filters b)" 1
}

@test "what holds is what it reads as, and means the same when written back; [all]: those above too" {
	ct_new a
	prop_is a seccomp none
	prop_is a 'seccomp[all]' none
	prop_is . seccomp none
	put a/seccomp none
	as daemon ct_new u
	prop_is u seccomp default
	prop_is u 'seccomp[all]' default
	prop_is u spec ''
	[[ $("$PORTOCTL" get u seccomp) == default ]] || fail "$("$PORTOCTL" get u seccomp)"
	as daemon put u/seccomp "$(prop u seccomp)"
	prop_is u seccomp default
	as daemon ct_new u/v 'seccomp=errno mkdir'
	as daemon ct_new u/v/w 'seccomp=errno rmdir; log chroot'
	prop_is u/v/w 'seccomp[all]' $'errno rmdir; log chroot\ndefault\nerrno mkdir'
	want_errno EINVAL prop u 'seccomp[other]'
	put a/owner_user daemon
	prop_is a 'seccomp[all]' none
}

@test "attack: a user gets rid of the default filter: with none, another profile, a user namespace, an owner, a spec, below it" {
	as daemon ct_new u 'command=sleep 1000'
	want_error Permission as daemon put u/seccomp none
	error_says u 'only root takes the default filter away'
	prop_is u seccomp default
	ct_new r seccomp=none
	want_errno EACCES as daemon put u/spec "$(prop r spec)"
	as daemon put u/userns true
	want_error Permission as daemon put u/seccomp none
	as daemon put u/userns false
	as daemon ct_new u/v
	want_error Permission as daemon put u/v/seccomp none
	! as daemon put u/owner_user root || fail 'given to root'
	# what they set comes on top
	as daemon put u/seccomp 'default allow'
	as daemon put u/state start
	same "$(filters u)" 2
	as daemon put u/state stop
	as daemon put u/seccomp default
	as daemon put u/state start
	same "$(filters u)" 1
	# root may, and the owner may write again what root has written
	put u/state stop
	put u/seccomp none
	as daemon put u/seccomp none
	as daemon put u/state start
	same "$(filters u)" 0
	as daemon put u/state stop
	as daemon put u/seccomp ''
	want_error Permission as daemon put u/seccomp none
}

@test "default: keys, bpf, perf, modules, kexec, handles, userfaultfd, io_uring, swap, reboot, clock: EPERM; unshare and mount work" {
	need_x86
	as daemon ct_new u
	as daemon put u/command_argv "$(calls 248 249 250 321 298 175 176 246 304 323 425 167 169 227 103)"
	as daemon put u/state start
	prop u wait
	same "$(prop u stdout | cut -d' ' -f2 | sort -u)" 1
	as daemon ct_new v
	as daemon put v/command 'unshare -rm mount -t tmpfs x /mnt'
	as daemon put v/state start
	prop v wait
	prop_is v exit_code 0
}

@test "calls by their names fail with EPERM, others do not; a name that is none is refused" {
	ct_run a 'seccomp=mkdir mkdirat' "command=sh -c 'mkdir /tmp/porto-seccomp-$$ 2>&1 | grep -o Operation.*; touch /dev/null && echo others'"
	same "$(prop a stdout)" $'Operation not permitted\nothers'
	prop_is a seccomp 'errno mkdir mkdirat'
	want_error InvalidState put a/seccomp 'mkdir'
	ct_new b
	for bad in mkdirr 'default nothing; allow read' 'errno' 'errno:5000 read' 'read(6==1)' 'read(0==)' 'read(0=1)' 'read(0==1,0==2)' '+NOBODY errno read' 'default errno read' '{' '{}' \
		'{"defaultAction":"SCMP_ACT_TRACE"}'; do
		want_error InvalidValue put b/seccomp "$bad"
	done
	prop_is b seccomp none
	# of a long list it is told which
	for bad in 'read write mkdirr rmdir' 'allow read; errno:ENOSYS mkdirr' '+SYS_ADMIN allow read mkdirr'; do
		! put b/seccomp "$bad" 2>/dev/null
		[[ $(prop b error) == *"seccomp: '"@(mkdirr|errno:ENOSYS)"': expected"* ]] || fail "$(prop b error)"
	done
}

@test "actions: errno:N, kill_process by SIGSYS, conditions on arguments" {
	ct_run a 'seccomp=errno:38 mkdir mkdirat' "command=sh -c 'mkdir /tmp/x-$$ 2>&1 | grep -o Function.*'"
	prop_is a stdout 'Function not implemented'
	ct_run b 'seccomp=kill_process mkdir mkdirat' 'command=mkdir /tmp/x'
	prop_is b exit_code -31
	need_x86
	ct_run c 'seccomp=errno:77 getpriority(0==1); errno:78 getpriority(0&0xf==2)' \
		"command_argv=$(printf 'python3\t-c\timport ctypes;l=ctypes.CDLL(None,use_errno=True);[print((ctypes.set_errno(0),l.getpriority(n,0),ctypes.get_errno())[2]) for n in (0,1,2)]')"
	prop_is c stdout $'0\n77\n78'
}

@test "an allow list: what is not in it fails; the start needs nothing of it but execve" {
	command -v busybox >/dev/null || skip 'no busybox'
	ct_run a "seccomp=default errno; allow execve brk mmap mprotect munmap arch_prctl set_tid_address set_robust_list rseq prlimit64 readlink \
getrandom newfstatat fstat read write close openat access pread64 exit exit_group rt_sigaction rt_sigprocmask getuid ioctl prctl lseek statx fadvise64" \
		"command=cat /proc/self/status"
	[[ $(prop a stdout) == *'Seccomp:	2'* ]] || fail "$(prop a exit_code) $(prop a stdout) $(prop a stderr)"
	ct_run b 'seccomp=default errno; allow read' command=true
	[ "$(prop b exit_code 2>/dev/null)" != 0 ]
}

@test "Docker's JSON: is turned into a profile, conditions on capabilities and architectures included" {
	ct_new a
	cat >"$TEST_DIR/docker.json" <<-'END'
		{ "defaultAction": "SCMP_ACT_ALLOW", "archMap": [ { "architecture": "SCMP_ARCH_X86_64", "subArchitectures": [ "SCMP_ARCH_X86" ] } ],
		  "syscalls": [
		    { "names": [ "mkdir", "mkdirat", "no_such_call" ], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 },
		    { "name": "rmdir", "action": "SCMP_ACT_ERRNO", "args": [] },
		    { "names": [ "personality" ], "action": "SCMP_ACT_ERRNO", "args": [ { "index": 0, "value": 8, "valueTwo": 0, "op": "SCMP_CMP_EQ" } ] },
		    { "names": [ "mount" ], "action": "SCMP_ACT_ERRNO", "excludes": { "caps": [ "CAP_SYS_ADMIN" ] } },
		    { "names": [ "sync" ], "action": "SCMP_ACT_ERRNO", "includes": { "caps": [ "CAP_SYS_ADMIN" ], "minKernel": "4.8" } },
		    { "names": [ "chroot" ], "action": "SCMP_ACT_ERRNO", "includes": { "arches": [ "s390x" ] } } ] }
	END
	cat "$TEST_DIR/docker.json" >"$PORTO_ROOT/a/seccomp"
	prop_is a seccomp 'default allow; errno:38 mkdir mkdirat; errno rmdir; errno personality(0==8); -CAP_SYS_ADMIN errno mount; +CAP_SYS_ADMIN errno sync'
	put a/command "sh -c 'mkdir /tmp/x 2>&1 | grep -o Function.*'"
	put a/state start
	prop a wait
	prop_is a stdout 'Function not implemented'
	"$PORTOCTL" create b
	"$PORTOCTL" set b seccomp "$(cat "$TEST_DIR/docker.json")"
	prop_is b seccomp "$(prop a seccomp)"
}

@test "a child has the filters of those above as well, whatever it says, whoever owns it" {
	ct_start a 'seccomp=mkdir mkdirat' 'command=sleep 1000'
	ct_start a/b seccomp=none 'command=sleep 1000'
	same "$(filters a/b)" 1
	ct_start a/c 'seccomp=default errno; allow execve' 'command=sleep 1000' || :
	ct_run a/d 'seccomp=rmdir' "command=sh -c 'mkdir /tmp/x-$$ 2>&1 | grep -o Operation.*'"
	prop_is a/d stdout 'Operation not permitted'
	ct_start a/e 'seccomp=errno rmdir' 'command=sleep 1000'
	same "$(filters a/e)" 2
	ct_start a/j virt_mode=job 'command=sleep 1000'
	same "$(filters a/j)" 1
	as daemon ct_start u 'command=sleep 1000'
	as daemon ct_new u/v 'command=sleep 1000'
	put u/v/seccomp none
	put u/v/state start
	same "$(filters u/v)" 1
}

@test "a filter holds without no_new_privs too: setuid programs keep working" {
	ct_start a user=daemon seccomp=default 'command=sleep 1000'
	same "$(sed -n 's/^NoNewPrivs:\t//p' "/proc/$(prop a root_pid)/status")" 0
	same "$(sed -n 's/^CapPrm:\t//p' "/proc/$(prop a root_pid)/status")" 0000000000000000
	same "$(sed -n 's/^CapInh:\t//p' "/proc/$(prop a root_pid)/status")" 0000000000000000
}

@test "attack: calls by their 32-bit and x32 numbers, and through porto-init, which waits beside the command" {
	need_x86
	ct_run a 'seccomp=mkdir mkdirat' "command=$PORTO_BUILD/numbers"
	same "$(prop a stdout)" $'-1\n1\n-1'
}

@test "kept through a restart of the daemon and a respawn" {
	ct_start a 'seccomp=mkdir mkdirat' respawn=true respawn_delay=50ms 'command=sleep 1000'
	daemon_restart
	prop_is a seccomp 'errno mkdir mkdirat'
	local pid
	pid=$(prop a root_pid)
	kill -9 "$pid"
	wait_for '[ "$(prop a respawn_count)" = 1 ] && [ "$(prop a state)" = running ]'
	same "$(filters a)" 1
}
