#!/usr/bin/env bats
# Resource limits of processes: which are in force, how they change while a container runs, and what is refused.
#
# shellcheck disable=SC2016 # meant for wait_for and shells in containers

bats_require_minimum_version 1.5.0
load helpers

teardown() {
	destroy_all
}

# limit PID TYPE: soft and hard, as ulimit(1) calls them; unlimited in words.
declare -gA LINE=([nofile]='Max open files' [core]='Max core file size' [memlock]='Max locked memory' [nproc]='Max processes'
	[fsize]='Max file size' [stack]='Max stack size')
limit() {
	sed -n "s/^${LINE[$2]}  *\([a-z0-9]*\)  *\([a-z0-9]*\) .*/\1 \2/p" "/proc/$1/limits"
}

# limit_is CONTAINER TYPE 'SOFT HARD': of its main process.
limit_is() {
	local got
	got=$(limit "$(prop "$1" root_pid)" "$2")
	[ "$got" = "$3" ] || fail "$1: $2 is '$got', expected '$3'"
}

# all_are CONTAINER TYPE 'SOFT HARD': of every process in its cgroup.
all_are() {
	local pid got dir
	dir=$(prop "$1" 'cgroups[freezer]')
	[ ! -e "$dir/+leaf" ] || dir=$dir/+leaf
	while read -r pid; do
		got=$(limit "$pid" "$2" 2>/dev/null) || :
		[ -z "$got" ] || [ "$got" = "$3" ] || fail "process $pid of $1: $2 is '$got', expected '$3'" || return
	done <"$dir/cgroup.procs"
}

# What can be had here: a hard limit above the daemon's own takes a capability.
has_capability() {
	! grep -q '^ulimit: no CAP_SYS_RESOURCE' "$PORTO_ROOT/.porto/features"
}

# clamp TYPE 'SOFT HARD': the default as this host allows it.
clamp() {
	local most soft=${2% *} hard=${2#* }
	most=$(limit "$(worker_pid)" "$1")
	most=${most#* }
	if ! has_capability && [ "$most" != unlimited ]; then
		[ "$hard" != unlimited ] && [ "$hard" -le "$most" ] || hard=$most
	fi
	[ "$hard" = unlimited ] || [ "$soft" -le "$hard" ] || soft=$hard
	echo "$soft $hard"
}

nproc_default() {
	local pids threads
	pids=$(</proc/sys/kernel/pid_max)
	threads=$(</proc/sys/kernel/threads-max)
	echo $(((pids < threads ? pids : threads) / 2))
}

@test "defaults: core 0 unlimited, nofile 8K 1M, nproc half of what the host has, memlock 8M; as far as the host allows" {
	ct_start a 'command=sleep 1000'
	limit_is a core "$(clamp core '0 unlimited')"
	limit_is a nofile "$(clamp nofile '8192 1048576')"
	limit_is a nproc "$(clamp nproc "$(nproc_default) $(nproc_default)")"
	limit_is a memlock "$(clamp memlock '8388608 unlimited')"
	prop_is a ulimit ''
	[ "$(cat "$PORTO_ROOT/ulimit")" = "nproc: $(nproc_default) $(nproc_default); " ]
}

@test "memlock: 16M below the smallest memory_limit of the chain, 8M at least, unless it was set" {
	need memory a/memory_limit 100M
	ct_start a 'command=sleep 1000' memory_limit=100M
	limit_is a memlock "$(clamp memlock "$((84 << 20)) unlimited")"
	ct_start a/b 'command=sleep 1000' memory_limit=200M
	limit_is a/b memlock "$(clamp memlock "$((84 << 20)) unlimited")"
	ct_start a/c 'command=sleep 1000' memory_limit=20M
	limit_is a/c memlock "$(clamp memlock "$((8 << 20)) unlimited")"
	ct_start a/d 'command=sleep 1000' memory_limit=50M 'ulimit=memlock: 64K'
	limit_is a/d memlock '65536 65536'
}

@test "ulimit: own types, then those of the containers above, nearest first, then the defaults" {
	ct_start a 'command=sleep 1000' 'ulimit=nofile: 1000 2000; fsize: 1G'
	ct_start a/b 'command=sleep 1000' 'ulimit=nofile: 500'
	ct_start a/b/c 'command=sleep 1000' 'ulimit=stack: 1M 2M'
	limit_is a nofile '1000 2000'
	limit_is a/b nofile '500 500'
	limit_is a/b/c nofile '500 500'
	limit_is a/b/c fsize '1073741824 1073741824'
	limit_is a/b/c stack '1048576 2097152'
	limit_is a/b/c core "$(clamp core '0 unlimited')"
	prop_is a/b/c ulimit 'stack: 1048576 2097152; '
}

@test "ulimit: every entry ends in '; ', one number is both, words and -1 are unlimited; an index reads its entry or nothing" {
	ct_new a 'ulimit= core : -1 ;nofile:1K;cpu: 5 inf; rss: unlim ; '
	prop_is a ulimit 'core: unlimited unlimited; cpu: 5 unlimited; nofile: 1024 1024; rss: unlimited unlimited; '
	prop_is a 'ulimit[nofile]' 'nofile: 1024 1024'
	prop_is a 'ulimit[stack]' ''
	prop_is a 'ulimit[bogus]' ''
	put 'a/ulimit[nofile]' '1000 2000'
	put 'a/ulimit[stack]' 'stack: 1M'
	put 'a/ulimit[cpu]' ''
	prop_is a ulimit 'core: unlimited unlimited; nofile: 1000 2000; rss: unlimited unlimited; stack: 1048576 1048576; '
	add a/ulimit 'nofile: 3K'
	prop_is a 'ulimit[nofile]' 'nofile: 3072 3072'
	put a/ulimit 'core: 0'
	prop_is a ulimit 'core: 0 0; '
	put a/ulimit ' '
	prop_is a ulimit ''
}

@test "a change reaches every process of the subtree, except those of children that have set the type themselves" {
	ct_start a 'command=sh -c "sleep 1000 & sleep 1000 & exec sleep 1000"' 'ulimit=nofile: 1000 4000'
	ct_start a/theirs 'command=sleep 1000' 'ulimit=nofile: 700'
	ct_start a/theirs/below 'command=sleep 1000'
	ct_start a/other 'command=sh -c "sleep 1000 & exec sleep 1000"' 'ulimit=core: 1000'
	ct_start a/games 'command=sleep 1000' user=games group=games
	put 'a/ulimit[nofile]' '900 3000'
	all_are a nofile '900 3000'
	all_are a/other nofile '900 3000'
	all_are a/games nofile '900 3000'
	all_are a/theirs nofile '700 700'
	all_are a/theirs/below nofile '700 700'
	all_are a/other core '1000 1000'
	put a/theirs/ulimit 'nofile: 600'
	all_are a/theirs/below nofile '600 600'
	all_are a nofile '900 3000'
}

@test "a change touches no other type: what a process has set for itself stays" {
	ct_start a 'command=sh -c "ulimit -S -c 77; exec sleep 1000"' 'ulimit=nofile: 1000 4000; core: 4096'
	wait_for '[ "$(limit "$(prop a root_pid)" core)" = "39424 4096" ] || grep -q sleep "/proc/$(prop a root_pid)/comm"'
	before=$(limit "$(prop a root_pid)" core)
	put a/ulimit 'nofile: 900; core: 4096'
	limit_is a nofile '900 900'
	limit_is a core "$before"
}

@test "processes that are born while a limit changes have the new one too" {
	ct_start a 'command=sh -c "while :; do sleep 0.02 & sleep 0.01; done"' 'ulimit=nofile: 4000'
	for n in 3900 3800 3700 3600 3500; do
		put a/ulimit "nofile: $n"
		sleep 0.1
		all_are a nofile "$n $n"
	done
}

@test "a job has its own limits and changes them alone; its parent's change leaves them" {
	ct_start a 'command=sleep 1000' 'ulimit=nofile: 1000'
	ct_start a/job 'command=sh -c "sleep 1000 & exec sleep 1000"' virt_mode=job 'ulimit=nofile: 800'
	ct_start a/plain 'command=sleep 1000' virt_mode=job
	limit_is a/job nofile '800 800'
	put a/ulimit 'nofile: 900'
	limit_is a nofile '900 900'
	limit_is a/plain nofile '900 900'
	limit_is a/job nofile '800 800'
	put a/job/ulimit 'nofile: 300'
	limit_is a/job nofile '300 300'
	limit_is a/plain nofile '900 900'
	limit_is a nofile '900 900'
}

@test "a type that is taken away falls back to the next in line, also with another worker" {
	ct_start a 'command=sleep 1000' 'ulimit=nofile: 3000'
	ct_start a/b 'command=sleep 1000' 'ulimit=nofile: 2000 2500'
	put a/b/ulimit 'nofile: 2000 2400'
	kill_worker
	has_capability || put a/ulimit 'nofile: 1000'
	put a/b/ulimit ''
	if has_capability; then
		limit_is a/b nofile '3000 3000'
		put a/ulimit ''
		limit_is a/b nofile '8192 1048576'
	else
		# without the capability what is inherited from above is asked for, and can only be less
		limit_is a/b nofile '1000 1000'
	fi
}

@test "a limit that this host doesn't allow is refused when it is written, with the reason; nothing has changed" {
	local most
	ct_start a 'command=sleep 1000' 'ulimit=nofile: 1000 2000'
	want_errno EPERM put a/ulimit "nofile: 1 $(($(</proc/sys/fs/nr_open) + 1))"
	error_says a "Permission:(ulimit: nofile: $(($(</proc/sys/fs/nr_open) + 1)) is above fs.nr_open, $(</proc/sys/fs/nr_open)"
	limit_is a nofile '1000 2000'
	prop_is a ulimit 'nofile: 1000 2000; '
	has_capability && skip 'the rest is for hosts without CAP_SYS_RESOURCE'
	most=$(limit "$(worker_pid)" nofile)
	want_errno EPERM put a/ulimit "nofile: $((${most#* } + 1))"
	error_says a "ulimit: nofile: $((${most#* } + 1)) is above the daemon's own hard limit, ${most#* }, and the daemon has no CAP_SYS_RESOURCE"
	ct_new b
	want_errno EPERM put b/ulimit "nofile: $((${most#* } + 1))"
	prop_is b ulimit ''
}

@test "a change that fails for one process has changed none" {
	ct_start a 'command=sleep 1000' 'ulimit=nofile: 3000'
	ct_start a/low 'command=sh -c "ulimit -n 500; exec sleep 1000"'
	wait_for '[ "$(limit "$(prop a/low root_pid)" nofile)" = "500 500" ]'
	if has_capability; then
		put a/ulimit 'nofile: 2000'
		limit_is a/low nofile '2000 2000'
	else
		want_errno EPERM put a/ulimit 'nofile: 2000; core: 5'
		error_says a "ulimit: nofile: 2000 is above the hard limit of process $(prop a/low root_pid), 500, and the daemon has no CAP_SYS_RESOURCE"
		limit_is a nofile '3000 3000'
		limit_is a core "$(clamp core '0 unlimited')"
		prop_is a ulimit 'nofile: 3000 3000; '
	fi
}

@test "spec: when a later line is refused, the processes have their old limits again" {
	ct_start a 'command=sleep 1000' 'ulimit=nofile: 1000 2000'
	printf 'ulimit = nofile: 900 2000\nstdout_limit = bad\n' >"$PORTO_ROOT/a/spec" && fail 'accepted'
	prop_is a ulimit 'nofile: 1000 2000; '
	limit_is a nofile '1000 2000'
}

@test "bad values: the old one stays, in the kernel too, and the sentence names property, value and what is expected" {
	local bad
	ct_start a 'command=sleep 1000' 'ulimit=nofile: 1000 2000'
	for bad in nofile nofile: 'nofile: ;' 'nofile: -5' 'nofile: -inf' 'nofile: nan' 'nofile: 1e30' 'nofile: 0x10' \
		'nofile: 99999999999999999999999' 'nofile: 18446744073709551616' 'nofile: 16E' 'nofile: 8X' 'nofile: 8 K' \
		'nofile: 1,5' 'nofile: 1 2 3' 'nofile: 1: 2' 'nofile: 2000 1000' 'nofile: unlimited 5' 'nofile: 1; nofile: 2' \
		'files: 1' 'NOFILE: 1' ': 1' 'core: 0; nofile 1'; do
		want_errno EINVAL put a/ulimit "$bad"
		error_says a "7 InvalidValue:(ulimit: '$bad': expected limits like nofile: 8K 1M"
		prop_is a ulimit 'nofile: 1000 2000; '
		limit_is a nofile '1000 2000'
	done
	for bad in -5 nan 'core: 3' '2000 1000' '1 2 3' 8X; do
		want_errno EINVAL put 'a/ulimit[nofile]' "$bad"
		prop_is a ulimit 'nofile: 1000 2000; '
	done
	want_errno EINVAL put 'a/ulimit[bogus]' 5
	want_errno EINVAL add a/ulimit 'core: 1; core: 2'
	prop_is a ulimit 'nofile: 1000 2000; '
}

@test "a daemon without CAP_SYS_RESOURCE clamps what nobody asked for and refuses what was asked for" {
	daemon_stop
	timeout "$((30 * PORTO_SLOW))" prlimit --nofile=4096:5000 --memlock=65536:131072 \
		setpriv --bounding-set=-sys_resource --inh-caps=-sys_resource "${DAEMON[@]}" start 3>&- 4>&-
	ct_start a 'command=sleep 1000'
	limit_is a nofile '5000 5000'
	limit_is a memlock '131072 131072'
	want_errno EPERM put a/ulimit 'nofile: 6000'
	error_says a "ulimit: nofile: 6000 is above the daemon's own hard limit, 5000, and the daemon has no CAP_SYS_RESOURCE"
	want_errno EPERM put a/ulimit 'memlock: unlimited'
	error_says a 'ulimit: memlock: unlimited is above the daemon'
	put a/ulimit 'nofile: 4500'
	limit_is a nofile '4500 4500'
	ct_destroy a
	daemon_restart
}

@test "the daemon opens as many files as its hard limit allows; commands get the soft limit that it was given" {
	local i hard
	daemon_stop
	(ulimit -Sn 64 && timeout "$((30 * PORTO_SLOW))" "${DAEMON[@]}" --set 'container.default_ulimit=core: 0' start 3>&- 4>&-)
	for ((i = 0; i < 40; i++)); do
		ct_start "c$i" 'command=sleep 1000'
	done
	hard=$(ulimit -Hn)
	[ "$(limit "$(worker_pid)" nofile)" = "$hard $hard" ]
	limit_is c39 nofile "64 $hard"
	kill_worker
	ct_start last 'command=sleep 1000'
	limit_is last nofile "64 $hard"
	destroy_all
	daemon_restart
}

@test "what no cgroup bounds, like real-time priority, only root may give, also to what it gives away" {
	as daemon ct_new a 'command=sleep 1000'
	local limit
	for limit in 'rtprio: 99' 'nice: 40' 'msgqueue: unlimited' 'nofile: 1000; rtprio: 0 99'; do
		want_errno EPERM as daemon put a/ulimit "$limit"
		error_says a 'what only root may give'
		prop_is a ulimit ''
	done
	want_errno EPERM as daemon put a/spec 'ulimit = rtprio: 1'
	as daemon put a/ulimit 'rtprio: 0; nofile: 1000'
	as daemon put a/state start
	limit_is a nofile '1000 1000'
	want_errno EPERM as daemon put a/ulimit 'nofile: 900; rtprio: 1'
	limit_is a nofile '1000 1000'
	as daemon ct_destroy a
}
