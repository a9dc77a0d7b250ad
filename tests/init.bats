#!/usr/bin/env bats
# shellcheck disable=SC2016 # what is quoted is for the shell in the container
# porto-init alone: each operation and each way a start fails, without the engine.
# init_driver prints the status line, the sentence of a failure, the last status line and the wait status.

bats_require_minimum_version 1.5.0

setup_file() {
	[ "$(id -u)" = 0 ] || skip "needs root"
	cd "$BATS_TEST_DIRNAME/.." || return
	export BUILD=${BUILD:-build}
	BUILD=$(realpath "$BUILD")
	[ -x "$BUILD/porto-init" ] || { echo "no $BUILD/porto-init: make" >&2; return 1; }
	if [ ! "$BUILD/init_driver" -nt tests/init_driver.c ]; then
		${CC:-cc} -std=gnu17 -D_GNU_SOURCE -O1 -I. tests/init_driver.c -o "$BUILD/init_driver"
	fi
}

setup() {
	DIR=$(mktemp -d)
	chmod 755 "$DIR"
}

teardown() {
	[ -z "${LEFT:-}" ] || kill -9 "$LEFT" 2>/dev/null || :
	rm -rf --one-file-system "$DIR"
}

PATH_ENV=PATH=/usr/bin:/bin

# init ARGUMENT...: one start; a hang is a failure
init() {
	run timeout -k 1 20 "$BUILD/init_driver" "$@"
}

# A shell command as the list's end
sh_words() {
	SH=(env "$PATH_ENV" arg sh arg -c arg "$1" exec)
}

lines_are() {
	local i=0 want
	for want; do
		# shellcheck disable=SC2053 # patterns
		[[ ${lines[i]:-} == $want ]] || { printf 'line %d: wanted %s\n%s\n' "$i" "$want" "$output"; return 1; }
		i=$((i + 1))
	done
}

# A directory that can be a root: busybox under the names given
root_make() {
	mkdir -p "$DIR/root/bin" "$DIR/root/tmp"
	cp "$(command -v busybox)" "$DIR/root/bin/busybox"
	local name
	for name in cat grep ls readlink sh stat touch wc; do
		ln -sf busybox "$DIR/root/bin/$name"
	done
}

NS=pid,mount,ipc,uts

@test "fork and exec: started with the pid, the command's output, exited with its status" {
	init -n pid fork env $PATH_ENV arg echo arg "a  b" exec
	lines_are "started 2" "a  b" "exited 2 0" "wait 0"
}

@test "exit 130 and death by signal 2 are told apart" {
	sh_words 'exit 130'
	init -n pid fork "${SH[@]}"
	lines_are "started 2" "exited 2 33280" "wait 130"
	sh_words 'kill -2 $$'
	init -n pid fork "${SH[@]}"
	lines_are "started 2" "exited 2 2" "wait 130"
}

@test "the core flag is in the status" {
	case $(cat /proc/sys/kernel/core_pattern) in "" | "|"*) skip "no core files here" ;; esac
	sh_words 'kill -11 $$'
	init fork cwd "$DIR" rlimit core unlimited unlimited explicit "${SH[@]}"
	lines_are "started *" "exited * 139" "wait 139"
}

@test "orphans are reaped, in a pid namespace and without" {
	sh_words '(true & exec true); sleep 0.2; ps -eo stat,ppid | grep -c "^Z" || true'
	init -n pid,mount slave proc fork "${SH[@]}"
	lines_are "started 2" "0" "exited 2 0"
	sh_words 'P=$PPID; sh -c "sh -c \"sleep 0.2; ps -o ppid= -p \\\$\\\$ >'"$DIR"'/ppid\" & exit"
		until [ -s '"$DIR"'/ppid ]; do sleep 0.05; done; cat '"$DIR"'/ppid; echo $P'
	init fork "${SH[@]}"
	[ "${lines[1]// /}" = "${lines[2]}" ] || { echo "$output"; false; }
}

@test "meta: started 0, stays, ends when killed" {
	init -n pid,mount -S 9 slave proc
	lines_are "started 0" "started 0" "wait signal 9"
}

@test "become: the same process is the command" {
	sh_words 'echo $$ $PPID'
	init -n pid become "${SH[@]}"
	lines_are "started 1" "1 0" "started 1" "wait 0"
	init become arg /nonexistent exec
	lines_are "failed 22 2" "exec: /nonexistent" "failed 22 2" "wait 1"
}

@test "an empty list means that the daemon has gone: nothing is done" {
	init
	lines_are "failed 505 11" "no operations: the daemon has gone"
}

@test "a long list: 1 MB of words arrives" {
	local words=() i
	for ((i = 0; i < 15; i++)); do words+=(env "V$i=$(printf '%070000d' 1)"); done
	init fork "${words[@]}" env $PATH_ENV arg sh arg -c arg 'echo ${#V0} ${#V14}' exec
	lines_are "started *" "70000 70000"
}

@test "an unknown operation and a short list are EPROTO" {
	init foo
	lines_are "failed 1 71" "unknown operation: foo"
	init env
	lines_are "failed 1 71" "env: the list ends before its arguments"
	init -x fork exec
	lines_are "failed 1 71" "the list doesn't end with a NUL"
	init fork arg true
	lines_are "failed 1 71" "the list ends without exec"
	init arg true exec
	lines_are "failed 1 71" "exec: neither fork nor become before"
	init fork fork
	lines_are "failed 1 71" "fork: only once"
	init -n mount proc
	lines_are "failed 1 71" "proc: no slave before"
	init umask 9
	lines_are "failed 1 71" "umask: not a number for this: 9"
}

@test "a command not found is InvalidCommand ENOENT, not executable EACCES" {
	init fork env $PATH_ENV arg nosuch exec
	lines_are "failed 22 2" "exec: nosuch (PATH=/usr/bin:/bin)" "failed 22 2" "wait 1"
	touch "$DIR/plain"
	init fork arg "$DIR/plain" exec
	lines_are "failed 22 13" "exec: $DIR/plain"
	init fork env "PATH=$DIR" arg plain exec
	lines_are "failed 22 13" "exec: plain (PATH=$DIR)"
	init fork arg "$DIR" exec
	lines_are "failed 22 13"
	init fork arg "$DIR/plain/x" exec
	lines_are "failed 22 20"
}

@test "a script without interpreter line is run by sh, the first in PATH wins" {
	mkdir "$DIR/a" "$DIR/b"
	echo 'echo script $1' > "$DIR/b/run"
	chmod 755 "$DIR/b/run"
	touch "$DIR/a/run"
	init fork env "PATH=$DIR/a:$DIR/b" arg run arg x exec
	lines_are "started *" "script x"
}

@test "command: quotes, variables, globs and tilde expand in the command's environment and directory" {
	touch "$DIR/x1" "$DIR/x2"
	init fork env $PATH_ENV env "A=b c" env "HOME=/home of" cwd "$DIR" \
		command 'printf "[%s]" "q  q" $A "$A" '\''$A'\'' x* ~ ~root/z e\ f $((1+2)) --a=b,c:d@%+_.-' exec
	lines_are "started *" "[[]q  q[]][[]b[]][[]c[]][[]b c[]][[]\$A[]][[]x1[]][[]x2[]][[]/home of[]][[]/root/z[]][[]e f[]][[]3[]][[]--a=b,c:d@%+_.-[]]*"
}

@test "command: plain words are split at blanks and tabs" {
	init fork env $PATH_ENV command $'  printf \t[%s] a   b/c=d ' exec
	lines_are "started *" '[[]a[]][[]b/c=d[]]*'
}

@test "command: what wordexp refuses is InvalidCommand with the reason" {
	init fork env $PATH_ENV command 'echo $(id)' exec
	lines_are "failed 22 0" "command: no command substitution here: echo \$(id)"
	init fork env $PATH_ENV command 'echo `id`' exec
	lines_are "failed 22 0" "command: no command substitution here: *"
	init fork env $PATH_ENV command 'echo $NOSUCH' exec
	lines_are "failed 22 0" "command: a variable is not set: echo \$NOSUCH"
	init fork env $PATH_ENV command 'a | b' exec
	lines_are "failed 22 0" "command: one of *"
	init fork env $PATH_ENV command 'echo "a' exec
	lines_are "failed 22 0" "command: a quote or bracket is not closed: *"
	init fork env $PATH_ENV command '  ' exec
	lines_are "failed 22 0" "exec: the command is empty"
	init fork exec
	lines_are "failed 22 0" "exec: the command is empty"
}

@test "the environment is what env gave, nothing else" {
	init -n pid fork env A=1 env B= arg /usr/bin/env exec
	lines_are "started 2" "A=1" "B=" "exited 2 0"
	init -n pid fork arg /usr/bin/env exec
	lines_are "started 2" "exited 2 0"
}

@test "only descriptors 0-2 reach the command" {
	init -f 7="$DIR/f" -f 40="$DIR/g" fork stream 1 7 arg /bin/ls arg /proc/self/fd exec
	lines_are "started *" "exited *"
	[ "$(tr '\n' ' ' < "$DIR/f")" = "0 1 2 3 " ]
}

@test "signals and mask are the defaults in the command" {
	init fork env $PATH_ENV arg grep arg -E arg '^Sig(Blk|Ign)' arg /proc/self/status exec
	# 32 and 33 are libc's own and can't be reset through it: ignored if they were before
	lines_are "started *" $'SigBlk:\t0000000000000000' $'SigIgn:\t0000000[01][08]0000000'
}

@test "the staying process has no descriptors of the start, is called porto-init and ignores terminal signals" {
	init -n "$NS" -b -f 7="$DIR/f" slave proc fork stream 0 7 stream 1 7 stream 2 7 env S=secret arg /bin/sleep arg 1000 exec
	LEFT=${lines[1]#pid }
	[ "$(cat "/proc/$LEFT/comm")" = porto-init ]
	sleep 0.1
	[ "$(ls "/proc/$LEFT/fd")" = 5 ]
	[ "$(readlink "/proc/$LEFT/cwd")" = / ]
	run ! grep -q secret "/proc/$LEFT/environ" "/proc/$LEFT/cmdline"
	kill -1 "$LEFT"; kill -2 "$LEFT"; kill -3 "$LEFT"; kill -13 "$LEFT"; kill -20 "$LEFT"; kill -21 "$LEFT"
	sleep 0.1
	grep -q '^State:.S' "/proc/$LEFT/status"
}

@test "the staying process takes less than 100 KB each when there are ten" {
	init -n "$NS" -c 10 slave proc fork arg /bin/sleep arg 1000 exec
	read -r _ _ _ pss <<< "${lines[1]}"
	[ "$pss" -gt 0 ] && [ "$pss" -lt 100 ] || { echo "$output"; false; }
	init -n "$NS" -c 10 slave proc
	read -r _ _ _ pss <<< "${lines[1]}"
	[ "$pss" -gt 0 ] && [ "$pss" -lt 100 ] || { echo "$output"; false; }
}

@test "a helper outside of a pid namespace survives a ^C of its group and dies of SIGTERM" {
	init -S 2 fork arg /bin/sleep arg 0.2 exec
	lines_are "started *" "exited * 0" "wait 0"
	init -n pid -S 15 fork arg /bin/sleep arg 0.2 exec
	lines_are "started 2" "exited 2 0" "wait 0"
	init -S 15 fork arg /bin/sleep arg 0.2 exec
	lines_are "started *" "started *" "wait signal 15"
}

@test "the command's death by a signal from outside" {
	init -n pid -s 15 fork arg /bin/sleep arg 100 exec
	lines_are "started 2" "exited 2 15" "wait 143"
	init -s 9 fork arg /bin/sleep arg 100 exec
	lines_are "started *" "exited * 9" "wait 137"
}

@test "uid, gid, groups: set, and capabilities go" {
	init fork groups 7,8 gid 1234 uid 4321 env $PATH_ENV arg sh arg -c \
		arg 'id -u; id -g; id -G; grep -h -E "^Cap(Prm|Eff)" /proc/self/status' exec
	lines_are "started *" 4321 1234 "1234 7 8" $'CapPrm:\t0000000000000000' $'CapEff:\t0000000000000000'
	init fork groups "" gid 1234 uid 4321 env $PATH_ENV arg id arg -G exec
	lines_are "started *" 1234
	init fork groups 1,,2 exec
	lines_are "failed 1 71"
}

@test "expansion and open happen with the command's rights when placed after uid" {
	mkdir -m 700 "$DIR/closed"
	touch "$DIR/closed/x1"
	init fork uid 4321 env $PATH_ENV command "echo $DIR/closed/x*" exec
	lines_are "started *" "$DIR/closed/x[*]"
	init fork uid 4321 open 1 "$DIR/closed/out" a arg true exec
	lines_are "failed 11 13" "open: $DIR/closed/out"
}

@test "umask and open for append" {
	echo old > "$DIR/out"
	init fork umask 027 open 1 "$DIR/out" a open 2 "$DIR/err" a env $PATH_ENV arg sh arg -c arg 'echo new; echo e >&2; umask' exec
	[ "$(cat "$DIR/out")" = "$(printf 'old\nnew\n0027')" ]
	[ "$(cat "$DIR/err") $(stat -c %a "$DIR/err")" = "e 640" ]
	init fork open 0 "$DIR/out" r env $PATH_ENV arg cat exec
	lines_are "started *" old new
	init fork open 0 "$DIR/missing" r env $PATH_ENV arg cat exec
	lines_are "failed 7 2" "open: $DIR/missing"
	init fork open 0 "$DIR/out" w exec
	lines_are "failed 1 71" "open: no way to open: w"
	init fork open 3 "$DIR/out" r exec
	lines_are "failed 1 71"
}

@test "a fifo never holds up the start, and keeps what is written until somebody reads" {
	mkfifo "$DIR/fifo"
	init fork open 0 "$DIR/fifo" r open 1 "$DIR/fifo" a env $PATH_ENV arg sh arg -c arg 'echo x; read v; echo "got $v" >&2' exec
	lines_are "started *" "got x" "exited * 0"
	init fork open 1 "$DIR/fifo" a env $PATH_ENV arg sh arg -c arg 'echo x; head -c1 /proc/self/fdinfo/1 >/dev/null; grep flags /proc/self/fdinfo/1 >&2' exec
	lines_are "started *" $'flags:\t0100002' "exited * 0"
}

@test "session and stream: a terminal becomes the controlling one" {
	init -t 7 fork session stream 0 7 stream 1 7 stream 2 7 env $PATH_ENV arg sh arg -c arg 'ps -o tty=,tpgid= -p $$; exec </dev/tty && echo has tty' exec
	[[ $output == *pts/*"has tty"* ]] || { echo "$output"; false; }
	init fork stream 0 99 exec
	lines_are "failed 1 9" "stream: no such descriptor"
}

@test "cwd: missing is refused with the path" {
	init fork cwd "$DIR" env $PATH_ENV arg pwd exec
	lines_are "started *" "$DIR"
	init fork cwd "$DIR/nope" env $PATH_ENV arg pwd exec
	lines_are "failed 7 2" "cwd: $DIR/nope"
	mkdir -m 700 "$DIR/closed"
	init fork uid 4321 cwd "$DIR/closed" env $PATH_ENV arg pwd exec
	lines_are "failed 11 13" "cwd: $DIR/closed"
}

@test "rlimit: explicit is set or refused with the reason, default is clamped" {
	sh_words 'ulimit -Sn; ulimit -Hn'
	init fork rlimit nofile 100 200 explicit "${SH[@]}"
	lines_are "started *" 100 200
	# Lowered first, so that the test doesn't depend on the host's limits.
	init fork rlimit nofile 100 200 explicit uid 4321 rlimit nofile 150 1000000 default "${SH[@]}"
	lines_are "started *" 150 200
	init fork rlimit nofile 100 200 explicit uid 4321 rlimit nofile unlimited unlimited default "${SH[@]}"
	lines_are "started *" 200 200
	init fork rlimit nofile 100 200 explicit uid 4321 rlimit nofile 100 300 explicit "${SH[@]}"
	lines_are "failed 11 1" "rlimit: nofile: 300: above the hard limit 200, which takes CAP_SYS_RESOURCE to raise, and fs.nr_open bounds it"
	init fork rlimit nofile 200 100 explicit "${SH[@]}"
	lines_are "failed 7 22" "rlimit: nofile: soft 200 above hard 100"
	init fork rlimit bogus 1 1 explicit exec
	lines_are "failed 1 71" "rlimit: no such limit: bogus"
	init fork rlimit core -1 1 explicit exec
	lines_are "failed 1 71"
}

@test "sched: policy and nice of the command, not of porto-init" {
	local row
	for row in 'other -10:-10 0' 'other 19:19 0' 'batch 0:0 3' 'idle -3:-3 5'; do
		# shellcheck disable=SC2086 # two words
		init fork sched ${row%%:*} env $PATH_ENV arg sh arg -c arg "sed 's/.*) //' /proc/\$\$/stat | cut -d' ' -f17,39" exec
		lines_are "started *" "${row#*:}"
	done
	init sched fifo 0
	lines_are "failed 1 71" "sched: no such policy: fifo"
	init sched other -21
	lines_are "failed 1 71" "sched: not a nice value: -21"
	init sched other 1x
	lines_are "failed 1 71" "sched: not a nice value: 1x"
	run timeout 20 setpriv --bounding-set -sys_nice "$BUILD/init_driver" sched other -1
	lines_are "failed 11 13" "sched: -1: the daemon has no CAP_SYS_NICE"
}

@test "oom_adj, tasks, hostname" {
	init -n uts hostname box oom_adj 500 fork env $PATH_ENV arg sh arg -c arg 'hostname; cat /proc/self/oom_score_adj' exec
	lines_are "started *" box 500
	init oom_adj 5000
	lines_are "failed 1 22" "oom_adj: 5000"
	init -f 7="$DIR/tasks" -n pid,mount tasks 7 fork arg /bin/true exec
	[ "$(cat "$DIR/tasks")" = 0 ]
	init tasks 99
	lines_are "failed 1 9" "tasks: can't join the cgroup"
}

@test "sysctl: of the namespaces it is in; no way out of /proc/sys" {
	init -n "$NS" slave proc sysctl kernel/msgmax 4321 fork arg /bin/cat arg /proc/sys/kernel/msgmax exec
	lines_are "started *" 4321
	[ "$(cat /proc/sys/kernel/msgmax)" != 4321 ]
	init -n "$NS" slave proc sysctl kernel/msgmax many
	lines_are "failed 7 22" "sysctl: kernel/msgmax: the kernel does not take many"
	init -n "$NS" slave proc sysctl ../sys/nothing 1
	lines_are "failed 7 2" "sysctl: ../sys/nothing"
}

@test "attach: what is no mount of its own is refused, or left out" {
	echo x >"$DIR/file"
	init -f 7="$DIR/file" -n "$NS" slave attach 7 /etc/hosts must
	lines_are "failed 7 22" "attach: can't mount on /etc/hosts"
	init -f 7="$DIR/file" -n "$NS" slave attach 7 /etc/hosts try fork arg /bin/true exec
	lines_are "started *"
	init -f 7="$DIR/file" -n "$NS" slave attach 7 /nowhere/file must
	lines_are "failed 7 2" "attach: target /nowhere/file"
}

@test "ioprio: for porto-init and all it forks; not a class, not a level" {
	init ioprio 3 0 fork env $PATH_ENV arg ionice exec
	lines_are "started *" idle
	init ioprio 2 7 fork env $PATH_ENV arg ionice exec
	lines_are "started *" "best-effort: prio 7"
	init ioprio 4 0
	lines_are "failed 1 71" "ioprio: not a number for this: 4"
	init ioprio 2 8
	lines_are "failed 1 71" "ioprio: not a number for this: 8"
}

@test "setns: joins by a namespace's descriptor" {
	init -n "$NS" -b slave hostname inner
	LEFT=${lines[1]#pid }
	init -f 7="/proc/$LEFT/ns/uts" setns 7 0x04000000 fork arg /bin/hostname exec
	lines_are "started *" inner
	init -f 7="/proc/$LEFT/ns/uts" setns 7 0x20000
	lines_are "failed 1 22" "setns: can't join the namespace"
}

@test "proc: shows the new pid namespace alone" {
	init -n "$NS" slave proc fork env $PATH_ENV arg sh arg -c arg 'cat /proc/self/status | grep ^Pid; set -- /proc/[0-9]*; echo $#; grep -c " /proc " /proc/self/mounts' exec
	lines_are "started 2" $'Pid:\t3' 2
}

@test "root: the directory is /, the old one is gone, /proc /dev /sys stand" {
	root_make
	echo hello > "$DIR/root/hello"
	init -n "$NS" slave root "$DIR/root" proc dev sys pivot fork env PATH=/bin cwd / arg sh arg -c arg '
		cat /hello; ls /; ls /dev | grep -v hugepages; ls -l /proc/self/root | wc -l
		stat -c "%F %t:%T %a" /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty /dev/console
		for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done
		touch /proc/sys/kernel/hostname || echo proc sys is ro; echo 1 > /sys/kernel/x || echo sys is ro
		cat /proc/kcore | wc -c; touch /dev/shm/x && echo shm; cat /proc/self/mounts | grep -c root
		grep -E " /dev(/pts)? " /proc/self/mounts' exec
	echo "$output"
	lines_are "started 2" hello bin dev hello proc sys tmp console fd full null ptmx pts random shm stderr stdin stdout tty urandom zero 1
	[[ $output == *"character special file 1:3 666"* && $output == *"character special file 5:0 666"* ]]
	[[ $output == *"/proc/self/fd"*"/proc/self/fd/0"*"pts/ptmx"* ]]
	[[ $output == *"proc sys is ro"*"sys is ro"*$'\n0\n'*shm* ]]
	[[ $output == *"tmpfs /dev tmpfs rw,nosuid,noexec"*"devpts"*"gid=5,mode=620,ptmxmode=666,max=256"* ]]
	[[ $output == *"exited 2 0"* ]]
	[ ! -e "$DIR/root/dev/null" ] && [ -z "$(ls "$DIR/root/proc")" ]
	run ! grep -q "$DIR" /proc/self/mounts
}

@test "root: terminals can be made inside" {
	root_make
	init -n "$NS" slave root "$DIR/root" proc dev pivot fork env PATH=/bin arg sh arg -c arg '
		exec 3<>/dev/ptmx && ls /dev/pts' exec
	lines_are "started 2" 0 ptmx "exited 2 0"
}

@test "root: what isn't a directory is InvalidValue; magic links are refused" {
	init -n "$NS" slave root "$DIR/nope"
	lines_are "failed 7 2" "root: $DIR/nope"
	touch "$DIR/file"
	init -n "$NS" slave root "$DIR/file"
	lines_are "failed 7 20" "root: $DIR/file"
	init -n "$NS" slave root /proc/self/cwd
	lines_are "failed 7 40"
	init -n "$NS" slave root "$DIR" fork arg true exec
	lines_are "failed 1 71" "exec: no pivot after root"
	init -n "$NS" slave root "$DIR"
	lines_are "failed 1 71" "the list ends without pivot"
	init -n "$NS" slave pivot
	lines_are "failed 1 71" "pivot: no root before"
}

@test "root: a link at /dev, /proc or /sys is refused, nothing is made outside" {
	local name
	for name in dev proc sys; do
		root_make
		mkdir -p "$DIR/outside"
		ln -sfn "$DIR/outside" "$DIR/root/$name"
		init -n "$NS" slave root "$DIR/root" "$name" pivot
		lines_are "failed 7 40" "$name: can't mount on /$name"
		rm "$DIR/root/$name"
	done
	[ -z "$(ls "$DIR/outside")" ]
}

@test "readonly: the root can't be written, /dev/shm and binds can" {
	root_make
	mkdir "$DIR/data"
	init -n "$NS" slave root "$DIR/root" proc dev bind "$DIR/data" /data "" readonly pivot fork env PATH=/bin arg sh arg -c arg '
		touch /x || echo ro; touch /dev/shm/x && echo shm; touch /data/x && echo data' exec
	[[ $output == *ro*shm*data* ]] || { echo "$output"; false; }
	[ -e "$DIR/data/x" ]
	touch "$DIR/root/still-rw"
}

@test "bind: made when missing, a file on a file, nested; .. and links stay inside" {
	root_make
	mkdir "$DIR/data"
	echo data > "$DIR/data/f"
	ln -s /../../.. "$DIR/root/up"
	ln -s "$DIR/data" "$DIR/root/out"
	init -n "$NS" slave root "$DIR/root" bind "$DIR/data" /a/b/c "" bind "$DIR/data/f" /etc/conf ro \
		bind "$DIR/data" /up/made "" bind "$DIR/data" /../dots "" pivot fork env PATH=/bin arg sh arg -c arg '
		cat /a/b/c/f /etc/conf /made/f /dots/f; stat -c %F /a/b/c /etc/conf' exec
	lines_are "started 2" data data data data directory "regular*file" "exited 2 0"
	[ -d "$DIR/root/made" ] && [ ! -e /made ] && [ ! -e /dots ]
	init -n "$NS" slave root "$DIR/root" bind "$DIR/data" /out/x "" pivot
	lines_are "failed 7 *" "bind: target /out/x"
	[ ! -e "$DIR/data/x" ]
	init -n "$NS" slave root "$DIR/root" bind "$DIR/data" / "" pivot
	lines_are "failed 7 22" "bind: target is the root: /"
	init -n "$NS" slave root "$DIR/root" bind "$DIR/nope" /x "" pivot
	lines_are "failed 7 2" "bind: source $DIR/nope"
	init -n "$NS" slave root "$DIR/root" bind "$DIR/data" /x wrong pivot
	lines_are "failed 7 0" "bind: unknown flag wrong"
}

@test "bind: flags reach the mount, devices only with dev, rec takes what is mounted below" {
	root_make
	mkdir -p "$DIR/data/sub"
	init -n "$NS" slave root "$DIR/root" proc \
		bind "$DIR/data" /m1 ro,nosuid,noexec,noatime,nodiratime bind "$DIR/data" /m2 ro,rw,dev,relatime,private \
		bind /dev/null /null dev bind /dev/null /null2 "" bind /dev /d1 rec,ro bind /dev /d2 "" \
		pivot fork env PATH=/bin arg sh arg -c arg '
		grep -E " /m[12] " /proc/self/mounts; echo x > /null && echo null; echo x > /null2 || echo denied
		ls /d1/pts | grep -c ptmx; ls /d2/pts | wc -l; touch /d1/shm/x || echo sub ro' exec
	echo "$output"
	[[ $output == *" /m1 "*" ro,nosuid,nodev,noexec,noatime,nodiratime"* ]]
	[[ $output == *" /m2 "*" rw,relatime"* ]]
	[[ $output == *$'\nnull\n'*denied*$'\n1\n0\n'*"sub ro"* ]]
}

@test "bind without root: in the host's tree, seen by the container alone" {
	mkdir "$DIR/a" "$DIR/b"
	touch "$DIR/a/x"
	init -n "$NS" slave bind "$DIR/a" "$DIR/b" ro fork arg /bin/ls arg "$DIR/b" exec
	lines_are "started 2" x "exited 2 0"
	[ -z "$(ls "$DIR/b")" ]
	init -n "$NS" slave bind "$DIR/a" "$DIR/c" ""
	lines_are "failed 7 2" "bind: target $DIR/c"
	[ ! -e "$DIR/c" ]
}

@test "a start killed before exec has failed, with the reason" {
	# Twice as many names at each level: it never comes to an end, its limit of one second does.
	ln -s . "$DIR/a"
	ln -s . "$DIR/b"
	init fork rlimit cpu 1 1 explicit cwd "$DIR" command '*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*' exec
	lines_are "failed 1 4" "exec: killed before it by signal 9" "failed 1 4" "wait 1"
}

@test "a long sentence is cut to what the status file holds" {
	init fork env $PATH_ENV arg "$(printf '%02000d' 1)" exec
	lines_are "failed 22 36" "exec: 000*" "failed 22 36" "wait 1"
	[ "${#lines[1]}" = 959 ]
}
