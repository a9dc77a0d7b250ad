#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2030,SC2031 # conditions are evaluated later, commands by the container; SERVERS are each test's own
# Networks of containers, with traffic, on a host and a world of their own: tests/net.bash.

load net

teardown() {
	servers_end
	destroy_all && no_links
}

# ---- grammar and rights ----

@test "net says what it does not understand and keeps what it had" {
	ct_new a net='L3 veth'
	prop_is a net 'L3 veth'
	for bad in '' 'no such' 'L3 veth; none' 'inherited; L3' 'macvlan' 'macvlan eth0' 'MTU eth0 1400' 'container' 'netns ../x' \
		'L3 a-name-that-is-too-long' 'veth v' 'MTU veth x; L3 veth' 'inherited; none' 'L3 a; L3 a'; do
		want_error InvalidValue put a/net "$bad" || want_error Permission put a/net "$bad" || fail "accepted: '$bad'"
	done
	prop_is a net 'L3 veth'
}

@test "net: an unknown word is told the known ones, a name that is too long how long it may be" {
	ct_new a
	want_error InvalidValue put a/net nat
	error_says a 'expected inherited, none, L3, NAT'
	want_error InvalidValue put a/net 'tap a-name-of-sixteen'
	error_says a 'at most 15 characters'
}

@test "taint: ip and default_gw of a device that net does not make" {
	ct_new a net='L3 veth' ip='eth0 auto' default_gw='veth 10.11.0.1'
	[[ $(prop a taint) == *'ip: without effect: net makes no device eth0'* && $(prop a taint) != *default_gw* ]]
	put a/ip 'veth auto'
	[[ $(prop a taint) != *'without effect'* ]]
	put a/net inherited
	[[ $(prop a taint) == *'ip: without effect: net makes no device veth'*'default_gw: '* ]]
}

@test "net of one that runs can't be changed" {
	ct_start a command='sleep 1000' net=none
	want_error InvalidState put a/net inherited
	prop_is a net none
}

@test "addresses are checked as they are written" {
	ct_new a
	put a/ip 'veth 10.0.0.1/24; veth fd00::1; eth1 auto'
	for bad in veth '10.0.0.1' 'veth 10.0.0.300' 'veth 10.0.0.1 x' 'veth 10.0.0.1/33' 'a-name-that-is-too-long 10.0.0.1'; do
		want_error InvalidValue put a/ip "$bad"
	done
	want_error InvalidValue put a/default_gw 'veth x'
	want_error InvalidValue put a/ip_limit 'any; none'
	want_error InvalidValue put a/publish 'tcp 0'
	want_error InvalidValue put a/net_tos CS8
	want_error InvalidValue put a/net_limit 'eth0 CS9: 1M'
	want_error InvalidValue put a/net_limit 'CS9: 1M'
	want_error InvalidValue put a/net_rx_limit 'CS8: 1M'
	want_error InvalidValue put a/net_limit -1
	error_says a 'is no rate'
	want_error InvalidValue put a/net_guarantee 'eth0: -1'
	prop_is a ip 'veth 10.0.0.1/24;veth fd00::1;eth1 auto'
}

@test "a bare number is the limit of all devices" {
	ct_new a net_limit=1K
	prop_is a net_limit 'default: 1024'
	put a/net_limit 'default: 10M; veth: 5M'
	prop_is a net_limit 'default: 10485760; veth: 5242880'
	prop_is a 'net_limit[veth]' 5242880
}

@test "who is not root gets no device of the host, and no address of its choice" {
	as daemon mkdir "$PORTO_ROOT/u"
	for net in 'steal eth0' 'macvlan eth0 eth0' 'netns x' 'veth eth0 br0' 'tap t'; do
		want_error Permission as daemon put u/net "$net"
	done
	for net in 'steal\neth0' 'host\neth0' 'host\t eth0' 'macvlan\neth0 eth0' 'L3;netns\nx' 'netns\nx' 'L3; ip\nlink' 'ipip6\nt fd00::1 fd00::2'; do
		# shellcheck disable=SC2059 # with \n
		! printf "$net" | as daemon dd "of=$PORTO_ROOT/u/net" bs=4096 iflag=fullblock conv=notrunc status=none 2>/dev/null || fail "taken: $net"
	done
	as daemon put u/net 'L3 veth'
	as daemon put u/ip 'veth 10.11.0.77'
	want_error Permission as daemon put u/state start
	as daemon put u/ip 'veth auto'
	as daemon put u/command 'sleep 1000'
	as daemon put u/state start
	ping_ok in_ct u 10.11.0.254
}

# ---- kinds ----

@test "none: a network with nothing but lo" {
	ct_run a net=none command='sh -c "ls /proc/sys/net/ipv4/conf; cat /proc/net/dev"'
	[[ $(prop a stdout) != *eth0* ]]
	ct_start b net=none command='sleep 1000'
	ping_ok in_ct b 127.0.0.1
}

@test "none, without a command: the namespace lasts as long as the container" {
	ct_start a net=none isolate=false
	ct_start a/b command='sleep 1000'
	[ "$(in_ct a/b ip -o link | grep -c eth0)" -eq 0 ]
	[ "$(readlink "/proc/$(prop a/b root_pid)/ns/net")" = "$(readlink "/proc/$(prop a root_pid)/ns/net")" ]
}

@test "inherited: the parent's network" {
	ct_start a command='sleep 1000' net=inherited
	[ "$(in_ct a readlink /proc/self/ns/net)" = "$(in_host readlink /proc/self/ns/net)" ]
	ct_start p net='L3 veth' ip='veth auto'
	ct_start p/c command='sleep 1000'
	ping_ok in_ct p/c 10.11.0.254
}

@test "container: the network of another one" {
	ct_start a net='L3 veth' ip='veth 10.11.0.10' command='sleep 1000'
	ct_start q net='container a' command='sleep 1000'
	in_ct q ip -o addr show dev veth | grep -q '10[.]11[.]0[.]10/32'
	put a/net_limit 5M
	ct_start q/c net='container a' command='sleep 1000'
	prop_is q net_limit_bound 'default: 5242880'
	prop_is q/c net_limit_bound 'default: 5242880'
	prop_is q 'net_limit_bound[default]' 5242880
	want_error ContainerDoesNotExist ct_start r net='container nobody' command='sleep 1000'
	ct_new s
	want_error InvalidState ct_start t net='container s' command='sleep 1000' || ct_destroy t
}

@test "netns: a namespace that has a name" {
	ct_start a net="netns $TEST_CGROUP-world" command='sleep 1000'
	[ "$(in_ct a readlink /proc/self/ns/net)" = "$(in_world readlink /proc/self/ns/net)" ]
	want_error InvalidValue ct_start b net='netns nobody' command='sleep 1000'
}

@test "L3: both ways, to the host, the world and a neighbour" {
	ct_start a net='L3 veth' ip='veth 10.11.0.2' command='sleep 1000'
	ct_start b net='L3 veth' ip='veth 10.11.0.3' command='sleep 1000'
	ping_ok in_ct a 10.11.0.1
	ping_ok in_ct a 10.11.0.254
	ping_ok in_world 10.11.0.2
	ping_ok in_ct a 10.11.0.3
	listen in_ct a 8080
	[ "$(says in_world 10.11.0.2 8080)" = 'hello 8080' ]
	in_host ip -o link | grep -q 'alias' || in_host ip link show | grep -q ':a$' || in_host ip -d link | grep -qE 'alias .*:a'
}

@test "L3: IPv6" {
	ct_start a net='L3 veth' ip='veth fd11::2' command='sleep 1000'
	ping_ok in_ct a fd11::1
	ping_ok in_ct a fd11::fe
	ping_ok in_world fd11::2
}

@test "L3: no gateway, no start; default_gw gives one" {
	want_error InvalidNetworkAddress ct_start a net='L3 veth' ip='veth 172.31.0.2' command='sleep 1000'
	no_links
	ct_destroy a
	ct_start a net='L3 veth' ip='veth 172.31.0.2' default_gw='veth 10.11.0.1' command='sleep 1000'
	ping_ok in_ct a 10.11.0.1
}

@test "an address is given once" {
	ct_start a net='L3 veth' ip='veth 10.11.0.2' command='sleep 1000'
	ct_new b net='L3 veth' ip='veth 10.11.0.2' command='sleep 1000'
	! put b/state start || fail 'the same address twice'
	error_says b 10.11.0.2
	put a/state stop
	put b/state start
	ct_new c net='L3 veth' ip='veth 10.11.0.1' command='sleep 1000'
	! put c/state start || fail "the host's own address"
}

@test "of a prefix each address is given" {
	ct_start a net='L3 veth' ip='veth 10.11.0.16/29' command='sleep 1000'
	want_error ResourceNotAvailable ct_start b net='L3 veth' ip='veth 10.11.0.20' command='sleep 1000'
	error_says b 10.11.0.20
	want_error ResourceNotAvailable ct_start c net='L3 veth' ip='veth 10.11.0.28/28' command='sleep 1000'
	want_error InvalidNetworkAddress ct_start d net='L3 veth' ip='veth 10.11.0.2/30' command='sleep 1000'
	error_says d '10.11.0.1'
	want_error ResourceNotAvailable ct_start e net='L3 veth' ip='veth 10.11.0.64/27' command='sleep 1000'
	kill_worker
	want_error ResourceNotAvailable ct_start b
	put a/state stop
	ct_start b
}

@test "auto: a free address of the host's prefix, shown while it runs" {
	ct_start a net='L3 veth' ip='veth auto' command='sleep 1000'
	ct_start b net='L3 veth' ip='veth auto' command='sleep 1000'
	[ "$(ip_of a)" != "$(ip_of b)" ] || fail "both have $(ip_of a)"
	for ip in "$(ip_of a)" "$(ip_of b)" "$(ip_of a 6)" "$(ip_of b 6)"; do
		ping_ok in_world "$ip"
	done
	grep -qx 'ip = veth auto' "$PORTO_ROOT/a/spec"
	put a/state stop
	prop_is a ip 'veth auto'
}

@test "NAT: out to a world that does not know the way back" {
	ct_start n net=NAT command='sleep 1000'
	[[ $(prop n ip) == 'eth0 '* ]]
	ping_ok in_ct n 192.0.2.1
	ping_ok in_ct n 2001:db8::1
	listen in_world 7000
	[ "$(says in_ct n 192.0.2.1 7000)" = 'hello 7000' ]
	ct_start m net='NAT' command='sleep 1000'
	[ "$(prop n ip)" != "$(prop m ip)" ]
	want_error InvalidNetworkAddress ct_start o net=NAT ip='eth0 10.99.0.5' command='sleep 1000'
	error_says o 'not of the pool'
	in_host "$PORTOD" --set network.nat_first_ipv4=255.255.255.0 --set network.nat_count=257 check | grep 'networks: missing: .*nat_count'
}

@test "NAT and publish on a host whose way out is not its first device, which goes and comes back" {
	second_uplink() {
		in_host ip link add eth1 type veth peer name eth1 netns "$TEST_CGROUP-world"
		in_host ip addr add 10.15.0.1/24 dev eth1 && in_world ip addr add 10.15.0.254/24 dev eth1
		in_host ip link set eth1 up && in_world ip link set eth1 up
		in_host ip route replace default via 10.15.0.254
	}
	second_uplink
	in_host sysctl -qw net.ipv4.conf.eth0.forwarding=0
	ct_start n net=NAT command='sleep 1000'
	ping_ok in_ct n 192.0.2.1
	in_host sysctl -qw net.ipv4.conf.eth0.forwarding=0
	put n/publish 'tcp 8080:80'
	listen in_ct n 80
	[ "$(says in_world 10.11.0.1 8080)" = 'hello 80' ]
	[ "$(says in_world 10.15.0.1 8080)" = 'hello 80' ]
	in_host ip link del eth1
	second_uplink
	kill_worker
	ping_ok in_ct n 192.0.2.1
	in_host ip link del eth1
	in_host ip route add default via 10.11.0.254
}

@test "rules that somebody has flushed are there again for the next container" {
	ct_start n net=NAT command='sleep 1000'
	in_host nft flush ruleset
	ct_start m net=NAT command='sleep 1000'
	ping_ok in_ct m 192.0.2.1
	ping_ok in_ct n 192.0.2.1
}

@test "publish: a port of the host leads inside" {
	ct_start n net=NAT publish='tcp 8080:80; udp 5000' command='sleep 1000'
	listen in_ct n 80
	[ "$(says in_world 10.11.0.1 8080)" = 'hello 80' ]
	[ "$(says in_host 10.11.0.1 8080)" = 'hello 80' ]
	ct_start m net=NAT command='sleep 1000'
	[ "$(says in_ct m 10.11.0.1 8080)" = 'hello 80' ]
	ct_new o net=NAT publish='tcp 8080' command='sleep 1000'
	! put o/state start || fail 'a port twice'
	error_says o 8080
	put n/publish 'tcp 8081:80'
	[ "$(says in_world 10.11.0.1 8081)" = 'hello 80' ]
	[ "$(says in_world 10.11.0.1 8080)" != 'hello 80' ]
	put o/state start
	kill_worker
	[ "$(says in_world 10.11.0.1 8081)" = 'hello 80' ]
}

@test "publish: leads to an address that the container has and the host leads to, or is refused" {
	ct_new m net='macvlan eth0 eth0' ip='eth0 10.11.0.9/24' publish='tcp 8080:80' command='sleep 1000'
	want_error InvalidValue put m/state start
	ct_start a net='macvlan eth0 m0; L3 veth' ip='other 10.11.0.77; m0 10.11.0.9/24; veth 10.11.0.3' publish='tcp 8080:80' command='sleep 1000'
	listen in_ct a 80
	[ "$(says in_host 10.11.0.1 8080)" = 'hello 80' ]
	kill_worker
	[ "$(says in_host 10.11.0.1 8080)" = 'hello 80' ]
}

@test "macvlan: a neighbour of the world, with the MTU asked for" {
	ct_start m net='macvlan eth0 eth0; MTU eth0 1400' ip='eth0 10.11.0.50/24' default_gw='eth0 10.11.0.254' command='sleep 1000'
	ping_ok in_ct m 10.11.0.254
	ping_ok in_world 10.11.0.50
	in_ct m ip link show eth0 | grep -q 'mtu 1400'
}

@test "veth: a port of a bridge" {
	in_host ip link add br0 type bridge && in_host ip addr add 10.12.0.1/24 dev br0 && in_host ip link set br0 up
	ct_start a net='veth eth0 br0' ip='eth0 10.12.0.2/24' command='sleep 1000'
	ct_start b net='veth eth0 br0' ip='eth0 10.12.0.3/24' command='sleep 1000'
	ping_ok in_ct a 10.12.0.1
	ping_ok in_ct b 10.12.0.2
	want_error InvalidValue ct_start c net='veth eth0 nobridge' ip='eth0 10.12.0.4/24' command='sleep 1000'
	ct_destroy a b c
	in_host ip link del br0
}

@test "steal: the device goes in, and comes back" {
	in_host ip link add st0 type veth peer name st1
	ct_start a net='steal st0' command='sleep 1000'
	in_ct a ip link show st0 >/dev/null
	! in_host ip link show st0 2>/dev/null || fail 'it is still there'
	ct_destroy a
	wait_for 'in_host ip link show st0' || fail 'it has not come back'
	in_host ip link del st0
}

@test "what this kernel lacks is refused as it is written" {
	in_host ip link add ipv0 link eth0 type ipvlan 2>/dev/null && { in_host ip link del ipv0; skip 'this kernel has ipvlan'; }
	ct_new a
	want_error NotSupported put a/net 'ipvlan eth0 eth0'
	error_says a ipvlan
}

@test "ip_limit: a parent says which addresses are its children's" {
	ct_start p ip_limit='10.11.0.64/28'
	ct_start p/a net='L3 veth' ip='veth 10.11.0.65' command='sleep 1000'
	ping_ok in_world 10.11.0.65
	want_error Permission ct_start p/b net='L3 veth' ip='veth 10.11.0.5' command='sleep 1000'
	want_error Permission ct_start p/c net='macvlan eth0 eth0' command='sleep 1000'
	ct_start q ip_limit=none
	want_error Permission ct_start q/a net='L3 veth' ip='veth 10.11.0.66' command='sleep 1000'
	ct_start q/b net=none command='sleep 1000'
}

# ---- limits ----

# rate FROM-ARGS... : bytes a second that iperf3 measured at the receiver, on the wire.
# rate_of WHERE-CLIENT SERVER-ADDRESS SECONDS [-R]
rate_of() {
	local where=$1 address=$2 seconds=$3
	shift 3
	# shellcheck disable=SC2086 # words
	$where timeout 60 iperf3 -c "$address" -t "$seconds" -J "$@" | jq -r '.end.sum_received.bits_per_second / 8 * 1514 / 1448 | floor'
}

server() {
	serve "$@" iperf3 -s
	sleep 0.3
}

# rate_of_own NAME PROPERTY...: of a container with these that sends to the world, on the network it has.
rate_of_own() {
	ct_destroy "$1" 2>/dev/null || :
	ct_run "$@" command='iperf3 -c 10.11.0.254 -t 4 -J' || return
	prop "$1" stdout | jq -r '.end.sum_received.bits_per_second / 8 * 1514 / 1448 | floor'
}

# rate_is WANTED PERCENT COMMAND...: the rate that it measures is that; other load may spoil two tries, by too little. An emulated
# processor may not be quick enough at all.
rate_is() {
	local wanted=$1 percent=$2 got
	shift 2
	for _ in 1 2 3; do
		got=$("$@") || return
		[ "$PORTO_SLOW" = 1 ] || [ "$got" -ge "$wanted" ] || [ "$got" -lt $((wanted / 4)) ] || return 0
		[ "$got" -lt $((wanted - wanted * percent / 100)) ] || break
	done
	within "$got" "$wanted" "$percent"
}

# within VALUE WANTED PERCENT
within() {
	awk -v v="$1" -v w="$2" -v p="$3" 'BEGIN { exit !(v >= w * (1 - p / 100) && v <= w * (1 + p / 100)) }' ||
		fail "measured $1, expected $2 within $3 %"
}

@test "net_limit and net_rx_limit hold, change at once, and go" {
	ct_start a net='L3 veth' ip='veth 10.11.0.2' net_limit=10M net_rx_limit='veth: 5M' command='sleep 1000'
	server in_world
	rate_is 10485760 8 rate_of 'in_ct a' 10.11.0.254 4
	rate_is 5242880 8 rate_of 'in_ct a' 10.11.0.254 4 -R
	put a/net_limit 2M
	rate_is 2097152 10 rate_of 'in_ct a' 10.11.0.254 4
	put a/net_limit 0
	[ "$(rate_of 'in_ct a' 10.11.0.254 2)" -gt 20000000 ]
}

@test "a container with all rights over its network can't lift its limit" {
	ct_start a net='L3 veth' ip='veth 10.11.0.2' net_limit=1M command='sleep 1000'
	in_ct a tc qdisc del dev veth root 2>/dev/null || :
	in_ct a tc qdisc replace dev veth root pfifo limit 10000 2>/dev/null || :
	server in_world
	[ "$(rate_of 'in_ct a' 10.11.0.254 4)" -lt 1400000 ]
}

@test "the limit of a slow container: 1 KB a second" {
	ct_start a net='L3 veth' ip='veth 10.11.0.2' net_limit=1K command='sleep 1000'
	serve in_world socat -u UDP-RECV:9 "CREATE:$TEST_DIR/received"
	wait_for "in_world ss -Huln 'sport = :9' | grep -q ."
	in_ct a timeout 10 socat -u -b 1000 /dev/zero,readbytes=200000 UDP:10.11.0.254:9 2>/dev/null || :
	passed=$(stat -c %s "$TEST_DIR/received") || fail "it was not written"
	[ "$passed" -gt 1000 ] && [ "$passed" -lt 30000 ] || fail "$passed bytes in 10 seconds"
}

@test "net_limit on the host's network: a class for each container" {
	ct_start a net_limit=5M command='sleep 1000'
	server in_world
	pid=$(prop a root_pid)
	rate_is 5242880 10 rate_of_own b net_limit=5M
	put a/net_limit 0
	put b/state stop
	[ -n "$pid" ]
	want_error InvalidValue put a/net_rx_limit 1M
}

@test "net_limit on the host's network holds for those below that were there before" {
	ct_start p
	ct_start p/a command='sh -c "sleep 1; exec iperf3 -c 10.11.0.254 -t 3 -J"'
	ct_start p/a/b command='sleep 1000'
	server in_world
	put p/net_limit 2M
	class=$(prop p 'net_class_id[CS0]')
	[ "$class" != 1:0 ]
	prop_is p/a/b 'net_class_id[CS0]' "$class"
	prop p/a wait >/dev/null
	within "$(prop p/a stdout | jq -r '.end.sum_received.bits_per_second / 8 * 1514 / 1448 | floor')" 2097152 10
	kill_worker
	put p/net_limit 0
	prop_is p/a/b 'net_class_id[CS0]' 1:0
	put p/net_limit 3M
	prop_is p/a/b 'net_class_id[CS0]' "$(prop p 'net_class_id[CS0]')"
}

@test "net_limit on the host's network: more of them inside one another than the kernel has levels for is refused" {
	name=d
	ct_start d
	for _ in 1 2 3 4 5 6; do
		name=$name/d
		ct_start "$name" net_limit=5M
	done
	ct_new "$name/d" net_limit=1M
	! put "$name/d/state" start || fail 'it started, and has no limit'
	error_says "$name/d" 'room for 6'
	put "$name/d/net_limit" 0
	ct_start "$name/d"
	want_error NotSupported put "$name/d/net_limit" 1M
	want_error NotSupported put d/net_limit 9M
	prop_is "$name/d" 'net_class_id[CS0]' "$(prop "$name" 'net_class_id[CS0]')"
	prop_is d net_limit ''
}

@test "two containers with guarantees of 3:1 share a full link so" {
	ct_new a net_guarantee=3M net_limit='default: 4M' command='iperf3 -c 10.11.0.254 -p 5201 -t 6 -J'
	ct_new b net_guarantee=1M net_limit='default: 4M' command='iperf3 -c 10.11.0.254 -p 5202 -t 6 -J'
	ct_start p net_limit=4M
	ct_destroy a b
	ct_new p/a net_guarantee=3M command='iperf3 -c 10.11.0.254 -p 5201 -t 6 -J'
	ct_new p/b net_guarantee=1M command='iperf3 -c 10.11.0.254 -p 5202 -t 6 -J'
	serve in_world iperf3 -s -p 5201
	serve in_world iperf3 -s -p 5202
	sleep 0.5
	put p/a/state start
	put p/b/state start
	prop p/a wait >/dev/null
	prop p/b wait >/dev/null
	x=$(prop p/a stdout | jq -r .end.sum_received.bits_per_second) y=$(prop p/b stdout | jq -r .end.sum_received.bits_per_second)
	within "$(awk -v x="$x" -v y="$y" 'BEGIN { print x / y }')" 3 "$((PORTO_SLOW > 1 ? 40 : 15))"
}

# ---- counters ----

# sink PORT: takes what the world's PORT gets; `sent_all` waits until so many bytes have come.
sink() {
	serve in_world socat -u "TCP-LISTEN:$1,reuseaddr,fork" "OPEN:$TEST_DIR/sink,creat,append"
	rm -f "$TEST_DIR/sink"
	wait_for "in_world ss -Htln 'sport = :$1' | grep -q ."
}

sent_all() {
	wait_for "[ \"\$(stat -c %s $TEST_DIR/sink)\" -ge $1 ]"
}

@test "counters match what was sent" {
	ct_start a net='L3 veth' ip='veth 10.11.0.2' command='sleep 1000'
	sink 7001
	in_ct a socat -u /dev/zero,readbytes=20000000 TCP:10.11.0.254:7001
	sent_all 20000000
	within "$(prop a 'net_tx_bytes[veth]')" 20000000 5 # a big packet has one header here
	[ "$(prop a 'net_bytes[veth]')" -ge 20000000 ]
	[ "$(prop a 'net_rx_packets[Uplink]')" -gt 10 ]
	grep -q '^net_tx_bytes\[veth\] [1-9]' "$PORTO_ROOT/a/stat"
	[ "$(prop a 'net_snmp[TcpOutSegs]')" -gt 10 ]
}

@test "a container that has removed its device can be read, and leaves nothing" {
	ct_start a net='L3 veth' ip='veth 10.11.0.2' net_limit=1M command='sleep 1000'
	in_ct a ip link del veth
	prop_is a net_bytes 'Uplink: 0'
	prop a stat >/dev/null
	kill_worker
	prop_is a net_bytes 'Uplink: 0'
	ct_destroy a
	no_links
}

@test "counters of those who share the host's network are true too, and outlive the worker and the child" {
	sink 7002
	ct_start p
	ct_start p/a command='sh -c "socat -u /dev/zero,readbytes=20000000 TCP:10.11.0.254:7002; sleep 1000"'
	sent_all 20000000
	within "$(prop p/a 'net_tx_bytes[Uplink]')" 20000000 5
	within "$(prop p 'net_tx_bytes[Uplink]')" 20000000 5
	before=$(prop p/a 'net_tx_bytes[Uplink]')
	kill_worker
	[ "$(prop p/a 'net_tx_bytes[Uplink]')" -ge "$before" ]
	ct_destroy p/a
	within "$(prop p 'net_tx_bytes[Uplink]')" 20000000 5
	ct_start b command='sleep 1000'
	[ "$(prop b 'net_tx_bytes[Uplink]')" -eq 0 ]
}

# ---- deaths ----

@test "a worker that is killed leaves networks as they are" {
	ct_start a net='L3 veth' ip='veth auto' net_limit=10M command='sleep 1000'
	ct_start n net=NAT command='sleep 1000'
	ip=$(prop a ip)
	links=$(links_of_host | sort)
	kill_worker
	prop_is a ip "$ip"
	[ "$(links_of_host | sort)" = "$links" ]
	ping_ok in_world "$(ip_of a)"
	ping_ok in_ct n 192.0.2.1
	ct_start m net=NAT command='sleep 1000'
	[ "$(prop n ip)" != "$(prop m ip)" ]
	ct_destroy a n m
	no_links
}

@test "killed while networks come and go: none is lost, none is left" {
	for i in 1 2 3 4 5 6; do
		starts=()
		for c in a b c d; do
			ct_new "$c" net='L3 veth' ip='veth auto' net_limit=1M command='sleep 1000'
			put "$c/state" start &
			starts+=($!)
		done
		sleep "0.00$i"
		kill -9 "$(worker_pid)"
		wait "${starts[@]}"
		for c in a b c d; do
			prop_is "$c" state running
			ping_ok in_ct "$c" 10.11.0.254
			rmdir "$PORTO_ROOT/$c"
		done
		kill -9 "$(worker_pid)"
		wait_for '[ -z "$(< $PORTO_ROOT/.porto/destroying)" ]' 30
	done
	no_links
}

@test "two daemons do not disturb each other" {
	ct_start a net='L3 veth' ip='veth 10.11.0.2' command='sleep 1000'
	other=$TEST_DIR/other
	mkdir -p "$other"/{mnt,state,work}
	o=(in_host "$PORTOD" --set "daemon.mount=$other/mnt" --set "daemon.state_dir=$other/state" --set "container.work_dir=$other/work"
		--set "daemon.cgroup_root=$TEST_CGROUP-2" --set "volumes.default_place=$other/place" --set "daemon.log_file=$other/log")
	"${o[@]}" start 3>&- 4>&-
	mkdir "$other/mnt/b"
	echo NAT >"$other/mnt/b/net" && echo 'sleep 1000' >"$other/mnt/b/command" && echo start >"$other/mnt/b/state"
	ping_ok in_ct a 10.11.0.254
	nsenter -t "$(cat "$other/mnt/b/root_pid")" -n ping -nq -c 1 -W 2 192.0.2.1 >/dev/null
	"${o[@]}" stop --containers
	ping_ok in_ct a 10.11.0.254
	[ -z "$(cgroup_roots "$TEST_CGROUP-2")" ]
}

@test "stop and start, respawn and death: the network goes and comes with the life" {
	ct_start a net='L3 veth' ip='veth 10.11.0.2' command='sleep 1000'
	for i in 1 2 3; do
		put a/state 'stop 0'
		put a/state start
		ping_ok in_world 10.11.0.2
	done
	ct_run b net='L3 veth' ip='veth 10.11.0.9' command=true
	prop_is b state dead
	wait_for '! prop b net_bytes 2>/dev/null'
	want_errno ENODATA prop b net_bytes
	want_error InvalidState prop b 'net_tx_bytes[Uplink]'
	ct_start c net='L3 veth' ip='veth 10.11.0.7' command='sleep 0.3' respawn=true respawn_delay=0.05s
	sleep 2
	[ "$(prop c respawn_count)" -gt 1 ]
	put c/respawn false
}

@test "a start that fails leaves nothing on the host" {
	ct_new a net='L3 veth' ip='veth 10.11.0.2' command=/no/such/program
	! put a/state start || fail 'it started'
	no_links
	ct_new b net='L3 veth; MTU veth 70000' ip='veth 10.11.0.3' command='sleep 1000' || put b/net 'L3 veth' # refused as it is written: fine
	no_links
}

@test "many containers, up and down twice" {
	starts=()
	for _ in 1 2; do
		for ((i = 0; i < 100; i++)); do
			ct_new "c$i" net='L3 veth' ip="veth 10.11.0.$((i + 100))" command='sleep 1000'
			put "c$i/state" start &
			starts[i % 10]=$!
			((i % 10 != 9)) || wait "${starts[@]}"
		done
		for ((i = 0; i < 100; i += 33)); do ping_ok in_world "10.11.0.$((i + 100))"; done
		destroy_all
		no_links
	done
}

@test "the script that was asked for runs, and its failure is the start's" {
	daemon_stop
	printf '#!/bin/sh\nenv | grep ^PORTO_ | sort > %s/ifup\n[ "$PORTO_CONTAINER" != bad ]\n' "$TEST_DIR" >"$TEST_DIR/ifup.sh"
	chmod +x "$TEST_DIR/ifup.sh"
	DAEMON+=(--set "network.ifup_script=$TEST_DIR/ifup.sh" --set network.enable_ip=true)
	daemon_up
	ct_start a net='L3 veth' ip='veth 10.11.0.2' net_limit=1M command='sleep 1000'
	grep -qx 'PORTO_CONTAINER=a' "$TEST_DIR/ifup"
	grep -qx 'PORTO_IP=veth 10.11.0.2' "$TEST_DIR/ifup"
	grep -q '^PORTO_L3_IFACE=L3-' "$TEST_DIR/ifup"
	ct_new bad net='L3 veth' ip='veth 10.11.0.3' command='sleep 1000'
	! put bad/state start || fail 'it started'
	error_says bad ifup_script
	ct_destroy a bad
	printf '#!/bin/sh\nsleep 1000 &\nsleep 1000\n' >"$TEST_DIR/ifup.sh"
	ct_new slow net='L3 veth' ip='veth 10.11.0.4' command='sleep 1000'
	put slow/state start &
	wait_for 'pgrep -f "^/bin/sh $TEST_DIR/ifup.sh"'
	put slow/state 'stop 0'
	! wait $! || fail 'it started'
	prop_is slow state stopped
	! pgrep -f "^/bin/sh $TEST_DIR/ifup.sh" || fail 'the script is still there'
	printf '#!/bin/sh\n' >"$TEST_DIR/ifup.sh"
	ct_new slower net='L3 veth; ip monitor' ip='veth 10.11.0.4' command='sleep 1000'
	put slower/state start &
	wait_for 'pgrep -x ip -a | grep -qx "[0-9]* ip monitor"'
	put slower/state 'stop 0'
	! wait $! || fail 'it started'
	ct_destroy slow slower
	no_links
}

# ---- the lines of the issue and of the quickstart, as typed ----

@test "portoctl: the quickstart's lines" {
	export PORTO_ROOT
	"$PORTOCTL" run a net='L3 veth' ip='veth auto' command='sleep 1000'
	ping_ok in_ct a 10.11.0.254
	"$PORTOCTL" create c
	"$PORTOCTL" set c net 'L3 veth'
	"$PORTOCTL" set c ip 'veth 10.11.0.2'
	"$PORTOCTL" set c net_limit '1K'
	"$PORTOCTL" set c net_limit 'default: 10M; veth: 5M'
	"$PORTOCTL" start c
	"$PORTOCTL" run n net=NAT command='sleep 1000'
	[[ $("$PORTOCTL" get n ip) == 'eth0 '* ]]
	"$PORTOCTL" get n net_tx_bytes 'net_bytes[veth]'
	"$PORTOCTL" run m net='macvlan eth0 eth0; MTU eth0 1400' command='sleep 1000'
	"$PORTOCTL" run h net=inherited command='sleep 1000'
	"$PORTOCTL" run z net=none command='sleep 1000'
	"$PORTOCTL" run q net='container a' command='sleep 1000'
}
