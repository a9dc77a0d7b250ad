#!/usr/bin/env bats
# Which cgroup controllers a container has of its own: by level, configuration, property, and by hand.

bats_require_minimum_version 1.5.0
# More than most hosts have: what is missing is passed by.
# shellcheck disable=SC2034 # helpers reads it
PORTOD_OPTIONS=('container.default_controllers=blkio;cpuset;hugetlb')
load helpers

teardown() {
	destroy_all
}

available() {
	grep -q "^$1: v[12] " "$PORTO_ROOT/.porto/features"
}

# owns NAME CONTROLLER: it is listed, and its directory is the container's own.
owns() {
	[ "$(prop "$1" "controllers[$2]")" = true ] && [[ $(prop "$1" "cgroups[$2]") == */"$TEST_CGROUP/$1" ]]
}

@test "a first-level container has the usual controllers and the configured ones, a nested one none of them" {
	local name
	ct_start a 'command=sleep 1000'
	ct_start a/b 'command=sleep 1000'
	for name in cpu memory pids blkio cpuset hugetlb; do
		available $name || continue
		owns a $name || fail "$name: $(prop a controllers): $(prop a "cgroups[$name]")"
		[ "$(prop a/b "controllers[$name]")" = false ]
		[ "$(prop a/b "cgroups[$name]")" = "$(prop a "cgroups[$name]")" ]
	done
}

@test "a configured controller that the host lacks is told by portod check, one that nobody knows is refused" {
	local name
	for name in blkio cpuset hugetlb; do
		available $name || "${DAEMON[@]}" check | grep "^container.default_controllers: missing: .*$name: "
	done
	run ! "$PORTOD" --set 'container.default_controllers=blkio;bogus' config
	[[ $output == *default_controllers*bogus* ]]
}

@test "on cgroup v2 alone a first-level container has every controller without being asked" {
	local name
	available memory && [[ $(grep '^memory:' "$PORTO_ROOT/.porto/features") == 'memory: v2 '* ]] || skip 'memory is not on cgroup v2'
	daemon_stop
	"${DAEMON[@]}" --set container.default_controllers= start 3>&- 4>&-
	ct_start a 'command=sleep 1000'
	for name in cpu memory pids blkio cpuset hugetlb; do
		! available $name || owns a $name || fail $name
	done
	daemon_restart
}

@test "on cgroup v1 only asking brings the dear ones: by hand, or by a property set while stopped" {
	[[ $(grep '^blkio:' "$PORTO_ROOT/.porto/features") == 'blkio: v1 '* ]] || skip 'blkio is not on cgroup v1'
	daemon_stop
	"${DAEMON[@]}" --set container.default_controllers= start 3>&- 4>&-
	ct_start a 'command=sleep 1000'
	[ "$(prop a 'controllers[blkio]')" = false ]
	want_errno EBUSY put 'a/controllers[blkio]' true
	put a/state stop
	put 'a/controllers[blkio]' true
	ct_start a
	owns a blkio
	put a/state stop
	put 'a/controllers[blkio]' false
	ct_start a
	[ "$(prop a 'controllers[blkio]')" = false ]
	daemon_restart
	[ "$(prop a 'controllers[blkio]')" = false ] # what runs keeps what it was started with
}

@test "controllers: one that a property needs stays, until the property is back at its default" {
	ct_new a thread_limit=7
	ct_new a/b memory_limit=64M
	want_errno EINVAL put a/b/controllers ''
	error_says a/b 'a property that is set needs a controller that would be lost'
	put a/b/memory_limit 0
	put a/b/controllers ''
	[ "$(prop a/b 'controllers[memory]')" = false ]
}

@test "controllers: what is no list of controllers is refused and the old one stays" {
	local value
	ct_new a
	put a/controllers 'memory;pids'
	for value in bogus 'memory;bogus' 'memory,pids' Memory 'memory:pids'; do
		want_errno EINVAL put a/controllers "$value"
		error_says a "controllers: unknown controller '"
	done
	want_errno EINVAL put 'a/controllers[bogus]' true
	want_errno EOPNOTSUPP put a/controllers 'memory;net_cls'
	want_errno EINVAL put 'a/controllers[pids]' yes
	[[ $(prop a controllers) == *memory* && $(prop a controllers) == *pids* ]]
}
