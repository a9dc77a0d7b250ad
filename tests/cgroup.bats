#!/usr/bin/env bats
# What containers owe to cgroups, whichever version: limits, counters, freezing and killing of a whole subtree, and all
# of it again after the daemon was away. In the virtual machines it runs on v2 alone, with v1: in front on v1 alone.
#
# shellcheck disable=SC2016 # meant for shells in containers and for wait_for

bats_require_minimum_version 1.5.0
load helpers

teardown() {
	destroy_all
}

@test "limits: at start, while running, of a parent and of its child, as the kernel has them" {
	need cpu
	need memory
	need pids
	ct_start a command='sleep 1000' cpu_limit=1.5c memory_limit=64M thread_limit=50
	ct_start a/b command='sleep 1000' cpu_limit=0.5c memory_limit=32M thread_limit=20
	put a/cpu_limit 1c
	put a/b/memory_limit 48M
	prop_is a cpu_limit 1c
	prop_is a/b memory_limit 50331648
	ct_start a/b/c command='sh -c "(seq 20 | xargs -P 20 -I@ sleep 1000); sleep 1000"' thread_limit=6
	wait_for '[[ $(prop a/b/c pids.events) == "max "[1-9]* ]]'
	[ "$(prop a/b/c thread_count)" -le 6 ]
	prop_is a/b state running
}

@test "a child gets controllers that its running parent does not own" {
	need memory
	ct_start a command='sleep 1000' controllers=freezer
	ct_start a/b command='sh -c "head -c 100M /dev/zero | tail; exit 1"' memory_limit=16M
	[ "$(prop a/b wait)" = dead ]
	prop_is a/b exit_code -99
	prop_is a/b oom_killed true
	prop_is a state running
}

@test "counters: processor time, memory and processes grow and belong to the subtree" {
	need cpuacct
	ct_start a command='sleep 1000'
	ct_start a/b command='sh -c "yes | head -c 30M >/dev/null; sleep 1000"' memory_limit=64M
	wait_for '[ "$(prop a/b cpu_usage)" -gt 5000000 ]' 30
	[ "$(prop a cpu_usage)" -ge "$(prop a/b cpu_usage)" ] || [ "$(prop a cpu_usage)" -gt 5000000 ]
	[ "$(prop a/b memory_usage)" -gt 0 ]
	wait_for '[ "$(prop a/b process_count)" = 3 ] && [ "$(prop a process_count)" = 5 ]'
}

@test "out of memory: the command is like any other process to the kernel, however low the daemon stands" {
	ct_start a command='sh -c "cat /proc/self/oom_score_adj; sleep 1000"'
	ct_start a/b virt_mode=job command='sh -c "cat /proc/self/oom_score_adj; sleep 1000"'
	wait_for '[ -n "$(prop a stdout)" ] && [ -n "$(prop a/b stdout)" ]'
	[ "$(prop a stdout)" -ge 0 ]
	[ "$(prop a/b stdout)" -ge 0 ]
	[ "$(cat "/proc/$(worker_pid)/oom_score_adj")" -le 0 ]
}

@test "pause holds a container and what is below it, also over a restart; a paused one can be stopped" {
	ct_start a command='sh -c "while :; do echo x; sleep 0.05; done"'
	ct_start a/b command="sh -c 'trap \"touch $TEST_DIR/told; exit\" TERM; while :; do echo x; sleep 0.05; done'"
	wait_for '[ -n "$(prop a/b stdout)" ]'
	put a/state pause
	prop_is a/b state paused
	local before
	before=$(prop a/b cpu_usage)/$(prop a/b stdout | wc -c)
	daemon_restart
	prop_is a state paused
	prop_is a/b state paused
	sleep 0.3
	[ "$(prop a/b cpu_usage)/$(prop a/b stdout | wc -c)" = "$before" ]
	put a/state resume
	prop_is a/b state running
	wait_for "[ \"\$(prop a/b cpu_usage)/\$(prop a/b stdout | wc -c)\" != $before ]"
	put a/b/state pause
	prop_is a state running
	put a/state 'stop 5'
	prop_is a/b state stopped
	[ -e "$TEST_DIR/told" ] # thawed for its signal, not killed at the deadline
}

@test "kill ends what forks as fast as it can" {
	need pids
	ct_start a thread_limit=200 command="sh -c 'seq 60 | xargs -P 60 -I@ sleep 1000 &
		f() { while :; do (f) & done; }; until [ -e $TEST_DIR/go ]; do sleep 0.1; done; f 2>/dev/null & sleep 1000'"
	wait_for '[ "$(prop a process_count)" -gt 60 ]' 30
	: >"$TEST_DIR/go"
	wait_for '[ "$(prop a process_count)" -ne 65 ]' 30
	rm "$TEST_DIR/go"
	put a/state kill
	[ "$(prop a wait)" = dead ]
	ct_destroy a
	no_leaks
}

@test "restart and respawn: a container starts again in the cgroup in which it was killed, with its children" {
	ct_start a command='sleep 1000' memory_limit=64M
	ct_start a/b command='sleep 1000'
	for _ in 1 2 3; do
		put a/state kill
		[ "$(prop a wait)" = dead ]
		put a/state stop
		put a/b/state start
		prop_is a state running
		prop_is a process_count 4
	done
	ct_start c command='sh -c "exit 1"' respawn=true respawn_delay=20ms max_respawns=3
	wait_for '[ "$(prop c respawn_count)" = 3 ] && [ "$(prop c state)" = dead ]' 20
}

@test "a restarted daemon knows the containers by their cgroups: counts, kills, adds children" {
	ct_start a command='sh -c "sleep 1000 & sleep 1000 & wait"' thread_limit=100
	ct_start a/b command='sh -c "sleep 1000 & wait"'
	wait_for '[ "$(prop a process_count)" = 7 ]'
	kill_worker
	prop_is a process_count 7
	daemon_restart
	prop_is a process_count 7
	prop_is a/b process_count 3
	ct_start a/c command='sleep 1000' thread_limit=10
	prop_is a process_count 9
	put a/b/state stop
	prop_is a/b state stopped
	prop_is a process_count 6
}

@test "job: the command lives in its parent's cgroups and ends alone" {
	ct_start a command='sleep 1000' memory_limit=64M
	ct_start a/b virt_mode=job command='sleep 1000'
	[ "$(cat "/proc/$(prop a/b root_pid)/cgroup")" = "$(cat "/proc/$(prop a root_pid)/cgroup")" ]
	prop_is a process_count 3
	daemon_restart
	prop_is a/b state running
	put a/b/state kill
	[ "$(prop a/b wait)" = dead ]
	prop_is a state running
	wait_for '[ "$(prop a process_count)" = 2 ]'
	put a/b/state stop
	put a/b/state start
	put a/state stop
	prop_is a/b state stopped
}

@test "a process that makes cgroups within its own stays the container's, and they go with it" {
	[ -e /sys/fs/cgroup/cgroup.controllers ] || skip 'cgroup v2 is not mounted at /sys/fs/cgroup'
	ct_start a command='sleep 1000'
	local own
	own=/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$(prop a root_pid)/cgroup")
	mkdir -p "$own/mine/deep"
	prop a root_pid >"$own/mine/deep/cgroup.procs"
	prop_is a process_count 2
	prop_is a state running
	daemon_restart
	prop_is a process_count 2
	put a/state pause
	put a/state resume
	put a/state kill
	[ "$(prop a wait)" = dead ]
	ct_destroy a
	[ ! -e "$own" ]
	no_leaks
}

@test "a daemon started within its cgroup root's parent, as under systemd, moves aside and has all controllers" {
	grep -q memory /sys/fs/cgroup/cgroup.subtree_control 2>/dev/null || skip 'cgroup v2 at /sys/fs/cgroup has no memory controller'
	daemon_stop
	local unit=$TEST_CGROUP.service other=$TEST_DIR/unit
	mkdir "/sys/fs/cgroup/$unit" "$other" "$other/mnt" "$other/state"
	bash -c 'echo $$ >"/sys/fs/cgroup/$1/cgroup.procs"; shift; exec "$@"' - "$unit" "$PORTOD" \
		--set "daemon.mount=$other/mnt" --set "daemon.state_dir=$other/state" --set "daemon.cgroup_root=$unit/$TEST_CGROUP" \
		--set "daemon.log_file=$other/log" --set "container.work_dir=$other" start >&2 3>&-
	local rc=0
	{
		mkdir "$other/mnt/a" && echo 64M >"$other/mnt/a/memory_limit" && echo 1c >"$other/mnt/a/cpu_limit" &&
			echo 50 >"$other/mnt/a/thread_limit" && echo 'sleep 1000' >"$other/mnt/a/command" &&
			echo start >"$other/mnt/a/state" && [ "$(cat "$other/mnt/a/memory_usage")" -gt 0 ] &&
			grep -q memory "/sys/fs/cgroup/$unit/cgroup.subtree_control" && rmdir "$other/mnt/a"
	} || rc=1
	"$PORTOD" --set "daemon.mount=$other/mnt" --set "daemon.state_dir=$other/state" --set "daemon.cgroup_root=$unit/$TEST_CGROUP" \
		--set "daemon.log_file=$other/log" stop --containers >&2 || rc=1
	[ "$rc" = 0 ] || cat "$other/log" >&2
	find "/sys/fs/cgroup/$unit" -depth -type d -exec rmdir {} \; || rc=1
	rm -rf "$other"
	daemon_up
	return "$rc"
}
