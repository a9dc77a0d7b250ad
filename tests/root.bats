#!/usr/bin/env bats
# shellcheck disable=SC2016 # what is quoted is for the shell in the container
# The root of a container: what is mounted there, what can be written, and that nothing of the host is reached from it.

load helpers
load root

setup_file() {
	test_begin
	root_make "$TEST_DIR/root"
	echo secret >"$TEST_DIR/secret"
}

setup() {
	ROOT=$TEST_DIR/root
}

teardown() {
	destroy_all
}

@test "root: /dev, /proc, /sys and /run are new, and nothing of the host is mounted" {
	sh_in a 'cat /proc/self/mounts; ls /dev; ls /run/kept; stat -c %a /run/kept' root="$ROOT"
	for want in '/dev tmpfs' '/dev/pts devpts' '/dev/shm tmpfs' '/proc proc' '/sys sysfs ro' '/run tmpfs'; do
		# shellcheck disable=SC2086 # words
		set -- $want
		grep -qE "^[^ ]+ $1 $2 ${3:-}" <<<"$output" || fail "no $want: $output"
	done
	! grep -q "$TEST_DIR\|/sys/fs/cgroup\| /home " <<<"$output" || fail "$output"
	[[ $output == *console*urandom*deep*2750* ]] || fail "$output"
	[ ! -e "$ROOT/run/new" ]
}

@test "root: /proc/sys, irq, bus and sysrq-trigger are read-only, kcore, keys and timer_list are empty" {
	sh_in a 'for f in sys/kernel/core_pattern sysrq-trigger; do echo x >/proc/$f && echo wrote $f; done; wc -c /proc/kcore /proc/keys /proc/timer_list | grep -v total' root="$ROOT"
	[[ $output != *wrote* ]] && [[ $output == *Read-only* ]] || fail "$output"
	! grep -qE '^ *[1-9]' <<<"$output" || fail "$output"
}

@test "root: not a directory, or one that is not there: the start fails" {
	touch "$TEST_DIR/file"
	ct_new a root="$TEST_DIR/file" command=true
	want_error InvalidValue put a/state start
	put a/root "$TEST_DIR/none"
	want_error InvalidValue put a/state start
	want_error Permission put a/root ../x
}

@test "root: a link in the path leads nowhere else than for the parent" {
	ln -sfn root "$TEST_DIR/link"
	sh_in a 'ls /bin/busybox' root="$TEST_DIR/link"
	[[ $output == /bin/busybox* ]] || fail "$output"
}

@test "root: of a volume, which is nosuid on the host, has setuid programs inside" {
	mkdir -p "$TEST_DIR/nosuid"
	mount --bind "$ROOT" "$TEST_DIR/nosuid" && mount -o remount,bind,nosuid,nodev "$TEST_DIR/nosuid"
	sh_in a 'grep " / " /proc/self/mounts' root="$TEST_DIR/nosuid"
	grep -q " $TEST_DIR/nosuid .*nosuid" /proc/self/mounts
	umount "$TEST_DIR/nosuid"
	[[ $output == *nodev* && $output != *nosuid* ]] || fail "$output"
}

@test "root_readonly: the root can't be written, /run, /tmp bound and /dev/shm can" {
	mkdir -p "$TEST_DIR/data"
	sh_in a 'touch /x; touch /run/x /dev/shm/x /tmp/x && echo fine' root="$ROOT" root_readonly=true bind="$TEST_DIR/data /tmp rw"
	[[ $output == *fine*Read-only* ]] || fail "$output"
	[ -e "$TEST_DIR/data/x" ] && [ ! -e "$ROOT/x" ]
}

@test "root_readonly: without a root of its own too" {
	sh_in a 'touch /porto-root-x && echo wrote' root_readonly=true
	[[ $output == *Read-only* ]] || fail "$output"
	[ ! -e /porto-root-x ]
}

@test "bind: flags are in force, missing targets are made, nodev unless asked for" {
	mkdir -p "$TEST_DIR/data"
	sh_in a 'grep " /b/" /proc/self/mounts' root="$ROOT" \
		bind="$TEST_DIR/data /b/ro ro,noexec; $TEST_DIR/data /b/rw nosuid,noatime; $TEST_DIR/secret /b/file ro; /dev/null /b/null dev"
	grep -q ' /b/ro .* ro,nodev,noexec' <<<"$output" && grep -q ' /b/rw .* rw,nosuid,nodev,noatime' <<<"$output" &&
		grep -q ' /b/file .* ro,nodev' <<<"$output" || fail "$output"
	! grep ' /b/null ' <<<"$output" | grep -q nodev || fail "$output"
}

@test "bind: a hostile link in the root does not lead the target out of it" {
	mkdir -p "$TEST_DIR/outside"
	ln -sfn "$TEST_DIR/outside" "$ROOT/evil"
	ln -sfn ../../../../../../../../.. "$ROOT/up"
	sh_in a 'cat /evil/f /up/g' root="$ROOT" bind="$TEST_DIR/secret /up/g ro" || :
	[ -z "$(ls "$TEST_DIR/outside")" ] && [ ! -e /g ] || fail 'made outside of the root'
	rm -f "$ROOT/evil" "$ROOT/up" "$ROOT/g"
}

@test "symlink: made at the start with parents, relative, changed and removed while it runs" {
	ct_start a root="$ROOT" command='sleep 1000' symlink='/tmp/d/link: /etc/x; /tmp/rel: there'
	[ "$(readlink "$ROOT/tmp/d/link")" = ../../etc/x ] && [ "$(readlink "$ROOT/tmp/rel")" = there ]
	want_error InvalidValue put 'a/symlink[rel]' x
	put 'a/symlink[!tmp!d!more]' /etc/z
	[ "$(readlink "$ROOT/tmp/d/more")" = ../../etc/z ]
	prop_is a 'symlink[!tmp!d!more]' /etc/z
	put 'a/symlink[!tmp!d!more]' ''
	[ ! -L "$ROOT/tmp/d/more" ]
	put a/symlink '/tmp/d/link: /etc/y'
	[ "$(readlink "$ROOT/tmp/d/link")" = ../../etc/y ] && [ ! -L "$ROOT/tmp/rel" ]
	want_error InvalidValue put a/symlink 'relative: x'
	want_error InvalidValue put a/symlink '/bin/busybox: x'
	prop_is a symlink '/tmp/d/link: /etc/y'
	rm -rf "$ROOT/tmp/d"
}

@test "symlink: with others by spec, in pieces, all or nothing; another key while it runs; over a kill of the worker" {
	local long i
	ct_start a root="$ROOT" command='sleep 1000' symlink='/tmp/s/one: /1'
	put a/spec $'memory_limit = 100M\nsymlink[/tmp/s/two] = /2\nsymlink[/tmp/s/three] = /3\naging_time = 77'
	[ "$(readlink "$ROOT/tmp/s/one") $(readlink "$ROOT/tmp/s/two") $(readlink "$ROOT/tmp/s/three")" = '../../1 ../../2 ../../3' ]
	prop_is a aging_time 77
	# the last line is bad: the links go again
	want_errno EINVAL put a/spec $'symlink = /tmp/s/four: /4\naging_time = never'
	wait_for '[ ! -L "$ROOT/tmp/s/four" ] && [ -L "$ROOT/tmp/s/two" ]'
	prop_is a 'symlink[!tmp!s!two]' /2
	want_error InvalidValue put a/spec 'symlink = /tmp/s/four: /4; /tmp/s/five: /5; relative: x'
	[ ! -L "$ROOT/tmp/s/five" ]
	long=$(for ((i = 0; i < 400; i++)); do printf '/tmp/s/link%d: /target%d; ' "$i" "$i"; done)
	put a/symlink "$long"
	[ "$(find "$ROOT/tmp/s" -type l | wc -l)" = 400 ] && [ "$(readlink "$ROOT/tmp/s/link399")" = ../../target399 ]
	prop_is a 'symlink[!tmp!s!link399]' /target399
	kill_worker
	put a/symlink '/tmp/s/five: /5'
	[ "$(find "$ROOT/tmp/s" -type l | wc -l)" = 1 ]
	rm -rf "$ROOT/tmp/s"
}

@test "symlink: a file system inside that does not answer holds up the writer alone, and that one not for long" {
	local hang pid
	mkdir -p "$ROOT/tmp/hang"
	"$PORTO_BUILD/hang" "$ROOT/tmp/hang" 3>&- &
	hang=$!
	wait_for 'grep -q " $ROOT/tmp/hang fuse.hang" /proc/mounts'
	ct_start a root="$ROOT" command='sleep 1000'
	ct_start b command='sleep 1000'
	put a/symlink '/tmp/hang/x: /y' 2>"$TEST_DIR/said" &
	pid=$!
	wait_for '[ -n "$(pgrep -x -P "$(supervisor_pid)" porto-init | while read -r p; do cat "/proc/$p/status"; done | grep "State:.D")" ]' || :
	put b/labels 'TEST.a: x'
	prop_is a symlink ''
	put a/aging_time 99
	put a/labels 'TEST.b: y'
	want_error Busy put a/symlink '/tmp/other: /z'
	want_error Busy put a/spec 'symlink = /tmp/other: /z'
	kill -0 "$pid" || fail 'the writer was answered before the others'
	! wait "$pid" || fail 'it went well'
	grep -q 'timed out' "$TEST_DIR/said"
	error_says a 'does not answer'
	prop_is a symlink ''
	kill -9 "$hang"
	wait "$hang" || :
	umount -l "$ROOT/tmp/hang"
	put a/symlink '/tmp/other: /z'
	[ -L "$ROOT/tmp/other" ]
	rm -f "$ROOT/tmp/other"
}

@test "symlink: made by the task's user, who may write only what is his" {
	ct_start a root="$ROOT" command='sleep 1000' user=1044 group=1044 symlink='/tmp/mine: /x'
	[ "$(stat -c %u "$ROOT/tmp/mine")" = 1044 ]
	want_error Permission put a/symlink '/etc/not: /x'
	ct_new b root="$ROOT" command='sleep 1000' user=1044 group=1044 symlink='/etc/not: /x'
	want_error Permission put b/state start
	rm -f "$ROOT/tmp/mine"
}

@test "escape: the program of pid 1 can't be written (CVE-2019-5736)" {
	ct_start a root="$ROOT" command='sleep 1000'
	in_ct a 'for p in 1 $PPID; do cat /bin/true >/proc/$p/exe && echo wrote; done; echo done'
	[[ $output == done* && $output != *wrote* ]] || fail "$output"
}

@test "escape: no descriptor but the streams is left, and cwd leads nowhere out of the root (CVE-2024-21626)" {
	sh_in a 'ls -l /proc/self/fd | wc -l' root="$ROOT"
	[[ $output == 5* ]] || fail "$output"
	local fd
	for fd in 3 4 5 6 7 8 9 10 11 12; do
		ct_new a root="$ROOT" cwd="/proc/self/fd/$fd" command_argv=$'sh\t-c\tcat ../../../../../../../..'"$TEST_DIR/secret"
		! put a/state start 2>/dev/null || { prop a wait; [[ $(prop a stdout) != *secret* ]] || fail "fd $fd leads out"; }
		ct_destroy a
	done
}

@test "escape: a stream is no descriptor of who opens it: neither the status nor the report of a start is the command's" {
	local fd prop
	ct_start m root="$ROOT" command='sleep 1000'
	for prop in stdin_path stdout_path; do
		for fd in 3 4 5; do
			ct_new m/k "$prop=/proc/self/fd/$fd" command='echo forged'
			want_errno ENOENT put m/k/state start
			ct_destroy m/k
		done
	done
	! grep -rq forged "$STATE_DIR/ct" || fail 'written to the status'
	ct_run m/k stdout_path=/proc/self/fd/2 command='echo mine' # its own other stream
	[ "$(prop m/k stderr)" = mine ] || fail "$(prop m/k stderr)"
}

@test "escape: links in a parent's /dev are not taken for devices (CVE-2025-31133, CVE-2025-52565)" {
	mkdir -p "$ROOT/inner"
	root_make "$ROOT/inner"
	echo victim >"$ROOT/etc/victim"
	ct_start a root="$ROOT" command_argv=$'sh\t-c\tfor d in null console; do rm -f /dev/$d; ln -s /etc/victim /dev/$d; done; touch /tmp/ready; sleep 1000'
	wait_for '[ -e "$ROOT/tmp/ready" ]'
	ct_new a/b root=/inner command_argv=$'sh\t-c\tcat /proc/kcore; echo changed >/proc/kcore; echo changed >/dev/console'
	put a/b/state start 2>/dev/null && prop a/b wait >/dev/null || :
	[ "$(cat "$ROOT/etc/victim")" = victim ] || fail 'the victim was written'
	rm -rf "$ROOT/inner" "$ROOT/tmp/ready"
}

@test "escape: a forged /proc gets nothing written to where it points (CVE-2025-52881)" {
	echo victim >"$ROOT/etc/victim"
	ct_start a root="$ROOT" command_argv=$'sh\t-c\tmount -t tmpfs x /proc && mkdir /proc/self && ln -s /etc/victim /proc/self/oom_score_adj && for i in $(seq 200); do mkdir /proc/$i; ln -s /etc/victim /proc/$i/oom_score_adj; done; touch /tmp/ready; sleep 1000'
	wait_for '[ -e "$ROOT/tmp/ready" ]'
	ct_new a/b isolate=false command=true oom_score_adj=500
	put a/b/state start 2>/dev/null && prop a/b wait >/dev/null || :
	[ "$(cat "$ROOT/etc/victim")" = victim ] || fail 'the victim was written'
	rm -f "$ROOT/tmp/ready"
}

@test "escape: of the host's processes, files and mounts nothing is seen" {
	sh_in a 'ls -d /proc/[0-9]* | wc -l; cat /proc/1/root'"$TEST_DIR"'/secret; grep -c . /proc/self/mountinfo; ls /proc/1/root/..' root="$ROOT"
	[[ $output != *secret$'\n'* ]] && [[ ${output%%$'\n'*} -le 5 ]] || fail "$output"
}

@test "unshare_on_exec: mounts of its own, made under its root's eyes by nobody else" {
	ct_start a root="$ROOT" command='sleep 1000'
	sh_in a/b 'mount -t tmpfs x /mnt && touch /mnt/mine && ls /mnt' isolate=false unshare_on_exec=true
	[[ $output == mine* ]] || fail "$output"
	in_ct a 'ls /mnt'
	[ -z "$output" ] || fail "$output"
}
