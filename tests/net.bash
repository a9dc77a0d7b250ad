# tests/net.bash: for files about networks: `load net` instead of `load helpers`.
#
# The daemon runs in a network namespace that plays the host: its eth0 (10.11.0.1/24, fd11::1/64) leads to another that plays the
# world (10.11.0.254, fd11::fe; behind it 192.0.2.1 and 2001:db8::1, which know no way to the host's private addresses).
# shellcheck shell=bash disable=SC2016,SC2034 # conditions are evaluated later; used by helpers.bash


load helpers

setup_file() {
	net_begin
}

net_begin() {
	TEST_DIR=$(mktemp -d "${TMPDIR:-/tmp}/porto-test-XXXXXX")
	export TEST_DIR
	net_world "${TEST_DIR##*/}" || { test_purge "$TEST_DIR"; return 1; }
	PORTOD_PREFIX=(nsenter "--net=/run/netns/${TEST_DIR##*/}-host")
	test_begin
}

# net_world TAG: the two namespaces.
net_world() {
	local host=$1-host world=$1-world
	ip netns add "$host" && ip netns add "$world" &&
		ip -n "$host" link add eth0 type veth peer name eth0 netns "$world" &&
		ip -n "$host" link set lo up && ip -n "$world" link set lo up &&
		ip netns exec "$world" sysctl -qw net.ipv6.conf.eth0.accept_dad=0 &&
		ip netns exec "$host" sysctl -qw net.ipv6.conf.eth0.accept_dad=0 &&
		ip -n "$host" link set eth0 up && ip -n "$world" link set eth0 up &&
		ip -n "$host" addr add 10.11.0.1/24 dev eth0 && ip -n "$host" addr add fd11::1/64 dev eth0 nodad &&
		ip -n "$world" addr add 10.11.0.254/24 dev eth0 && ip -n "$world" addr add fd11::fe/64 dev eth0 nodad &&
		ip -n "$world" addr add 192.0.2.1/32 dev lo && ip -n "$world" addr add 2001:db8::1/128 dev lo &&
		ip -n "$host" route add default via 10.11.0.254 && ip -n "$host" route add default via fd11::fe
}

in_host() {
	nsenter "--net=/run/netns/$TEST_CGROUP-host" "$@"
}

in_world() {
	nsenter "--net=/run/netns/$TEST_CGROUP-world" "$@"
}

# in_ct NAME COMMAND...: with the container's network, whatever else is the test's own.
in_ct() {
	local pid
	pid=$(prop "$1" root_pid) || return
	shift
	nsenter -t "$pid" -n "$@"
}

# ip_of NAME [FAMILY]: its first address of IPv4, or of IPv6.
ip_of() {
	prop "$1" ip | tr ';' '\n' | awk -v v6="${2:-4}" '$2 ~ (v6 == 6 ? ":" : "[.]") { print $2; exit }'
}

# ping_ok WHERE... ADDRESS: one answer within two seconds; WHERE is in_host, in_world or in_ct NAME.
ping_ok() {
	"${@:1:$#-1}" ping -nq -c 1 -W "$((2 * PORTO_SLOW))" "${@: -1}" >/dev/null || fail "no answer: $*"
}

# listen WHERE... PORT: a TCP server there that answers "hello PORT"; ends with the test.
listen() {
	serve "${@:1:$#-1}" socat "TCP6-LISTEN:${*: -1},ipv6only=0,reuseaddr,fork" "SYSTEM:echo hello ${*: -1}"
	wait_for "${*:1:$#-1} ss -Htln 'sport = :${*: -1}' | grep -q ."
}

# says WHERE... ADDRESS PORT: what a TCP server there says.
says() {
	"${@:1:$#-2}" timeout "$((5 * PORTO_SLOW))" socat -u "TCP:${*: -2:1}:${*: -1}" - 2>/dev/null
}

# serve WHERE... COMMAND...: in the background until servers_end.
serve() {
	"$@" >/dev/null 2>&1 3>&- 4>&- &
	SERVERS+=" $!"
}

# WHERE is a function, so each number is that of a shell, and the server is its child.
servers_end() {
	local pid
	for pid in ${SERVERS:-}; do
		# shellcheck disable=SC2046 # a list
		kill $(cat "/proc/$pid/task/$pid/children" 2>/dev/null) "$pid" 2>/dev/null || :
	done
	SERVERS=
}

teardown_file() {
	local left rc=0
	left=$(ip netns pids "$TEST_CGROUP-world")
	# shellcheck disable=SC2086 # a list
	[ -z "$left" ] || { fail "left running: $(ps -o args= -p "$(echo $left | tr ' ' ,)")" || kill $left; rc=1; }
	test_end || rc=1
	return "$rc"
}


# links_of_host: as the kernel lists them in the namespace (sysfs shows that of who mounted it).
links_of_host() {
	in_host ip -o link | sed -nE 's/^[0-9]+: ([^:@]+).*/\1/p' | grep -vE '^(lo|eth0|tunl0|sit0|ip6tnl0|gre0|gretap0|erspan0|ip_vti0|ip6_vti0|ip6gre0)$' || :
}

# Nothing of ours is left on the host's side.
no_links() {
	wait_for '[ -z "$(links_of_host)" ]' 20 || fail "links left: $(links_of_host)" || return
	! in_host ip route show table all | grep -E 'L3-|portove-' || fail 'routes left'
}
