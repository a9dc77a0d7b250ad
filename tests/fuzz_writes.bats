#!/usr/bin/env bats
# Random writes to every file of the tree by a user who is not root: nobody else's container changes, no answer is EIO, and the
# worker that was there is still there. FUZZ_SEED=N repeats a run, FUZZ_WRITES=N has another number of them.
#
# shellcheck disable=SC1003,SC2016 # a backslash is a value; what another user runs is expanded there

bats_require_minimum_version 1.5.0
load helpers

teardown() {
	destroy_all
}

# values NAME...: of all that these can be set to, as the tree shows it: not what time changes by itself.
values() {
	local name key
	for name; do
		for key in "${KEYS[@]}"; do
			printf '%s/%s=%s\n' "$name" "$key" "$(cat "$PORTO_ROOT/$name/$key" 2>&1)"
		done
		printf '%s/state=%s\n' "$name" "$(prop "$name" state)"
	done
}

host() {
	cat /proc/sys/kernel/{core_pattern,hostname,randomize_va_space} /proc/sys/vm/swappiness
}

# assail SEED COUNT DIR...: as whoever calls. What is not a number stands for itself; what nobody should run does no harm.
assail() {
	local n count=$2 dir file value files=() words=(
		'' 0 1 -1 true false none default 1M 18446744073709551616 0x7fffffff 99999999999999999999 . / .. ../.. '*' ';' '\' '[' ']' '='
		root 0:0 daemon 65534 start stop pause resume respawn restart destroy host os app job docker fuse isolate full read-only
		SYS_ADMIN 'SYS_ADMIN;NET_ADMIN' '/dev/kmsg rwm' '/dev/null rw' '/dev/mem rw /dev/x 0666' 'preset x' '/etc /x rw' '/proc /proc'
		'/x: /etc/passwd' 'default errno; allow read' 'bpf mount' '{"defaultAction":"SCMP_ACT_ALLOW"}' 'macvlan eth0 eth9' inherited
		'net.ipv4.ip_forward: 1' 'kernel.core_pattern: |/x' 'L3 veth0' 'container victim' '/proc/1/root' '/dev/fd/0' /etc/shadow
		'thread 1' '1 systemd' 'true' 'sleep 1' 'a: 1; b: 2' '0-3' 'nofile: 1 2' 'CPU0 50' $'a\nb' $'\001\377' 'rt' '1c' '50%')
	RANDOM=$1
	shift 2
	for dir; do
		while IFS= read -r file; do
			files+=("$file")
		done < <(find "$PORTO_ROOT/$dir" -maxdepth 1 -type f | sort)
	done
	for ((n = 0; n < count && SECONDS < 30 * PORTO_SLOW; n++)); do
		file=${files[RANDOM % ${#files[@]}]}
		value=${words[RANDOM % ${#words[@]}]}
		case $((RANDOM % 8)) in
		0) value+=${words[RANDOM % ${#words[@]}]} ;;
		1) value+=";${words[RANDOM % ${#words[@]}]}" ;;
		2) file+="[${words[RANDOM % ${#words[@]}]//\//!}]" ;;
		3) printf -v value '%*s' $((RANDOM % 5000)) "$value" ;;
		4) value=$RANDOM ;;
		esac
		printf '%s\n' "$value" >"$file" || :
	done
	echo "writes: $n of $count"
}

@test "10,000 random writes of a user change nobody else's container, nothing of the host, and harm no daemon" {
	local seed=${FUZZ_SEED:-$((RANDOM * 32768 + RANDOM))} worker before was
	echo "FUZZ_SEED=$seed"
	ct_start victim 'command=sleep 1000'
	as bin ct_start other 'command=sleep 1000'
	as bin ct_new still 'command=sleep 1000'
	as daemon ct_new mine
	as daemon ct_start mine2
	mapfile -t KEYS < <(find "$PORTO_ROOT/victim" -maxdepth 1 -type f -perm /222 -printf '%f\n' | grep -vxE 'state|kill|attach|wait.*|std.*' | sort)
	[ "${#KEYS[@]}" -gt 50 ]
	worker=$(worker_pid)
	before=$(values victim other still)
	was=$(host)
	as daemon bash -c "$(declare -f assail); assail \"\$@\"" as "$seed" "${FUZZ_WRITES:-10000}" victim other still mine mine2 .porto . >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err"
	cat "$BATS_TEST_TMPDIR/out"
	[ "$(sed -n 's/^writes: \([0-9]*\) of.*/\1/p' "$BATS_TEST_TMPDIR/out")" -gt 1000 ]
	run ! grep -F "${ERRNO_TEXT[EIO]}" "$BATS_TEST_TMPDIR/err"
	run ! grep -F "${ERRNO_TEXT[ENOTCONN]}" "$BATS_TEST_TMPDIR/err"
	grep -q -F "${ERRNO_TEXT[EACCES]}" "$BATS_TEST_TMPDIR/err"
	grep -q -F "${ERRNO_TEXT[EINVAL]}" "$BATS_TEST_TMPDIR/err"
	no_sanitizer_reports
	[ "$(worker_pid)" = "$worker" ]
	diff <(echo "$before") <(values victim other still)
	[ "$(host)" = "$was" ]
}
