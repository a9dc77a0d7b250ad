# tests/helpers.bash: loaded by every .bats file: `load helpers`.
#
# Each file gets a daemon of its own (mount point, state, work directory, cgroup root, all named after one directory)
# from setup_file, and teardown_file destroys the containers, fails if anything was left (no_leaks), stops the daemon and
# removes all of it by force. So files can run at once, and again at once. A file that needs options for its daemon
# says so before `load helpers`:     PORTOD_OPTIONS=(container.max_total=5)
# A file that wants no daemon:       PORTOD_OPTIONS=(none)
# A daemon that is to be started in another way: PORTOD_PREFIX=(nsenter --net=...), words before its command.
# PORTO_OPTIONS in the environment, such words with blanks between, goes to all daemons of a run.
#
# Names below are relative to the tree: `put a/cpu_limit 1.5c`, `prop a cpu_limit`. In $PORTO_ROOT is the mount point.
# Sourced with no bats by tests/run, which uses test_purge to clean up after a file that was cut off.
# shellcheck shell=bash disable=SC2016 # wait_for evaluates its condition later

: "${PORTO_BUILD:=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/build}"
: "${PORTO_SLOW:=1}" # factor on every deadline: emulated machines and sanitizers set it
REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PORTOD=$PORTO_BUILD/portod
PORTOCTL=$REPO/scripts/portoctl
TEST_GROUP=users # daemon.group of the private daemons: exists everywhere, nobody is in it
export LC_ALL=C PORTO_BUILD PORTO_SLOW REPO PORTOD PORTOCTL TEST_GROUP

declare -gA ERRNO_TEXT=(
	[EPERM]='Operation not permitted' [ENOENT]='No such file or directory' [EINTR]='Interrupted system call'
	[EIO]='Input/output error' [E2BIG]='Argument list too long' [ENOEXEC]='Exec format error'
	[EAGAIN]='Resource temporarily unavailable' [ENOMEM]='Cannot allocate memory' [EACCES]='Permission denied'
	[EBUSY]='Device or resource busy' [EEXIST]='File exists' [ENOTDIR]='Not a directory' [EISDIR]='Is a directory'
	[EINVAL]='Invalid argument' [EFBIG]='File too large' [ENOSPC]='No space left on device' [ESPIPE]='Illegal seek'
	[EROFS]='Read-only file system' [ERANGE]='Numerical result out of range' [ENAMETOOLONG]='File name too long'
	[ENOSYS]='Function not implemented' [ENOTEMPTY]='Directory not empty' [ELOOP]='Too many levels of symbolic links'
	[ENODATA]='No data available' [EPROTO]='Protocol error' [EOPNOTSUPP]='Operation not supported'
	[ENOTCONN]='Transport endpoint is not connected' [ETIMEDOUT]='Connection timed out' [ESRCH]='No such process'
	[ENXIO]='No such device or address' [ENODEV]='No such device' [EXDEV]='Invalid cross-device link'
)

fail() {
	printf '%s\n' "$*" >&2
	return 1
}

# ---- the private daemon ----

setup_file() {
	test_begin
}

teardown_file() {
	test_end
}

# A folder for the file and, unless it wants none, a daemon in it.
test_begin() {
	TEST_DIR=${TEST_DIR:-$(mktemp -d "${TMPDIR:-/tmp}/porto-test-XXXXXX")}
	chmod 755 "$TEST_DIR"
	TEST_CGROUP=${TEST_DIR##*/}
	PORTO_ROOT=$TEST_DIR/mnt
	STATE_DIR=$TEST_DIR/state
	WORK_DIR=$TEST_DIR/work
	PLACE=$TEST_DIR/place # the daemon makes it when it needs it
	DAEMON_LOG=$TEST_DIR/log
	export TEST_DIR TEST_CGROUP PORTO_ROOT STATE_DIR WORK_DIR PLACE DAEMON_LOG
	# A worker that a sanitizer stopped is replaced at once: its report must not get lost with it.
	export ASAN_OPTIONS=log_path=$TEST_DIR/sanitizer UBSAN_OPTIONS=log_path=$TEST_DIR/sanitizer:print_stacktrace=1
	mkdir -p "$PORTO_ROOT" "$STATE_DIR" "$WORK_DIR"
	[ "${PORTOD_OPTIONS[*]}" = none ] || daemon_start "${PORTOD_OPTIONS[@]}" || { test_purge "$TEST_DIR"; return 1; }
}

test_end() {
	local rc=0
	if [ -e "$STATE_DIR/portod.pid" ]; then
		destroy_all && no_leaks || rc=1
		timeout "$((30 * PORTO_SLOW))" "${DAEMON[@]}" stop --containers >&2 || rc=1
		! grep -qs " $PORTO_ROOT " /proc/self/mounts || fail 'still mounted after portod stop' || rc=1
		no_sanitizer_reports && no_crashes || rc=1
		[ "$rc" -eq 0 ] || tail -n 50 "$DAEMON_LOG" >&2 || :
	fi
	test_purge "$TEST_DIR" || rc=1
	return "$rc"
}

# daemon_start [OPTION=VALUE...]: starts the file's daemon; the options stay for daemon_restart.
daemon_start() {
	local option
	declare -ga DAEMON=("${PORTOD_PREFIX[@]}" "$PORTOD" --config "$TEST_DIR/portod.conf" --set "daemon.mount=$PORTO_ROOT"
		--set "daemon.state_dir=$STATE_DIR" --set "daemon.cgroup_root=$TEST_CGROUP" --set "daemon.log_file=$DAEMON_LOG"
		--set "container.work_dir=$WORK_DIR" --set "volumes.default_place=$PLACE" --set "daemon.group=$TEST_GROUP" --set daemon.log_level=debug)
	# shellcheck disable=SC2086 # a list of words
	for option in "$@" ${PORTO_OPTIONS:-}; do
		DAEMON+=(--set "$option")
	done
	# Arrays can't be exported: the tests, which are processes of their own, read it back (inside the function `load`).
	declare -p DAEMON | sed '1s/^declare -a/declare -ga/' >"$TEST_DIR/daemon.sh"
	daemon_up || return
	[ -e "$TEST_DIR/baseline" ] || state_files >"$TEST_DIR/baseline"
}

daemon_up() {
	timeout "$((30 * PORTO_SLOW))" "${DAEMON[@]}" start >&2 3>&- 4>&- && return
	tail -n 50 "$DAEMON_LOG" >&2
	fail 'the daemon does not start'
}

daemon_stop() {
	timeout "$((30 * PORTO_SLOW))" "${DAEMON[@]}" stop >&2
}

# Stopped and started again: containers go on.
daemon_restart() {
	daemon_stop && daemon_up
}

# shellcheck source=/dev/null
[ -z "${TEST_DIR:-}" ] || [ ! -e "$TEST_DIR/daemon.sh" ] || . "$TEST_DIR/daemon.sh"

# The first word of the pid files; the others are the daemon's own.
supervisor_pid() {
	local pid
	read -r pid _ <"$STATE_DIR/portod.pid" && echo "$pid"
}

worker_pid() {
	local pid
	read -r pid _ <"$STATE_DIR/worker.pid" && echo "$pid"
}

# Kills the worker with SIGKILL and returns when another one serves.
kill_worker() {
	local old
	old=$(worker_pid) && kill -9 "$old" &&
		wait_for "[ \"\$(worker_pid)\" != $old ] && [ -n \"\$(< \$PORTO_ROOT/.porto/version)\" ]"
}

# ---- what must not be left ----

# Everything below the state and work directories, except what the daemon has there by itself.
state_files() {
	(cd "$TEST_DIR" && find state work ! -name '*.pid' ! -path 'state/jobs/*' ! -name next_id ! -name next ! -name known ! -name oom_kills_total | sort)
}

# This file's directories in every cgroup hierarchy.
cgroup_roots() {
	local name=${1:-$TEST_CGROUP}
	find /sys/fs/cgroup -maxdepth 5 -type d -name "$name" 2>/dev/null
}

destroy_all() {
	local dir rc=0
	vols_destroy || rc=1
	layers_destroy || rc=1
	for dir in "$PORTO_ROOT"/*/; do
		dir=${dir%/}
		[ ! -e "$dir/state" ] || [ -L "$dir" ] || rmdir "$dir" || [ ! -e "$dir/state" ] || rc=1 # it may go by itself meanwhile
	done
	wait_for '[ -z "$(< $PORTO_ROOT/.porto/destroying)" ]' 30 || {
		fail "still being destroyed: $(cat "$PORTO_ROOT/.porto/destroying")"
		rc=1
	}
	return "$rc"
}

# Nothing is left that no container owns: call it when something should have cleaned up after itself, or (as the end of
# every file does) when all containers are gone; then no file of theirs may be left either.
no_leaks() {
	local dir path rc=0 left
	left=$(cat "$PORTO_ROOT/.porto/leaks")
	[ -z "$left" ] || fail ".porto/leaks: $left" || rc=1
	for dir in $(cgroup_roots); do
		while IFS= read -r path; do
			path=${path//\/+leaf/}
			path=${path%%+leaf}
			path=${path//\~+([0-9])/} # beside a dying one of that name
			[ -z "$path" ] || [ "$path" = .helpers ] || [ -e "$PORTO_ROOT/$path/state" ] || fail "cgroup of no container: $dir/$path" || rc=1
		done < <(cd "$dir" && find . -mindepth 1 -type d -printf '%P\n')
	done
	[ -n "$(vol_ids)" ] || no_volume_leaks || rc=1
	if [ -z "$(ct_names)" ]; then
		wait_for '[ -z "$(ls "$STATE_DIR/jobs")" ]' 30 || rc=1 # what volumes left is removed; a new one may begin at once
		left=$(state_files | diff "$TEST_DIR/baseline" - | grep '^>' || :)
		[ -z "$left" ] || fail "files left: $left" || rc=1
	fi
	return "$rc"
}

# No volume is there: then no mount of one either, no loop device, no directory but those that are to be swept. A test may have
# a file system of its own, $TEST_DIR/.../fs.
no_volume_leaks() {
	local left rc=0
	left=$(awk -v dir="$TEST_DIR/" -v mnt="$PORTO_ROOT" 'index($5, dir) == 1 && $5 != mnt && $5 !~ /\/fs$/' /proc/self/mountinfo)
	[ -z "$left" ] || fail "mounts in the host's namespace: $left" || rc=1
	# the kernel takes its time
	wait_for '! grep -hF "$TEST_DIR/" /sys/block/loop*/loop/backing_file | grep -qvE "/fs[.]img|^$TEST_DIR/image"' || rc=1
	left=$(find "$PLACE/porto_volumes" -mindepth 1 -maxdepth 1 ! -name '_remove_*' ! -name .porto 2>/dev/null || :)
	[ -z "$left" ] || fail "directories of no volume: $left" || rc=1
	return "$rc"
}

no_sanitizer_reports() {
	local report rc=0
	for report in "$TEST_DIR"/sanitizer.*; do
		[ ! -e "$report" ] || fail "$(cat "$report")" || rc=1
	done
	return "$rc"
}

# A worker that crashes is replaced before anybody notices; kill -9 is the tests' own doing.
no_crashes() {
	! grep -E 'worker [0-9]+ ended: (signal|exit code [1-9])' "$DAEMON_LOG" | grep -vE '(signal 9|exit code 42)$' >&2 || fail 'a worker has crashed' # 42: unmounted by hand
}

# Removes by force what a file made: TEST_DIR is in the command line of every process of its daemon.
test_purge() {
	local dir=$1 pid cg path try
	case $dir in */porto-test-??????) ;; *) fail "not a test directory: $dir"; return ;; esac
	for pid in $(cut -d' ' -f1 "$dir"/state/*.pid 2>/dev/null) $(grep -lsaF "$dir/mnt" /proc/[0-9]*/cmdline | cut -d/ -f3); do
		[ "$pid" = "$$" ] || [ "$pid" = "$BASHPID" ] || ! grep -qsaF -e "$dir" -e portod "/proc/$pid/cmdline" ||
			kill -9 "$pid" 2>/dev/null || :
	done
	while path=$(awk -v dir="$dir/" 'index($5, dir) == 1 { p = $5 } END { print p }' /proc/self/mountinfo) && [ -n "$path" ]; do
		umount -l "$path" || break
	done
	for path in /sys/block/loop*/loop/backing_file; do
		! grep -qsF "$dir/" "$path" || losetup -d "/dev/$(cut -d/ -f4 <<<"$path")" || :
	done
	for cg in $(cgroup_roots "${dir##*/}"); do
		for ((try = 0; try < 100 * PORTO_SLOW; try++)); do
			[ ! -e "$cg" ] || cgroup_purge "$cg" || { sleep 0.1; continue; }
			break
		done
		[ ! -e "$cg" ] || fail "cgroup $cg can't be removed"
	done
	for path in /run/netns/"${dir##*/}"-*; do
		[ ! -e "$path" ] || ip netns del "${path##*/}" || :
	done
	rm -rf --one-file-system "$dir"
}

# One try at emptying and removing a cgroup of either version.
cgroup_purge() {
	local sub pid
	find "$1" -depth -type d 2>/dev/null | while IFS= read -r sub; do
		[ ! -e "$sub/cgroup.kill" ] || echo 1 2>/dev/null >"$sub/cgroup.kill" || :
		[ ! -e "$sub/cgroup.procs" ] || while read -r pid; do kill -9 "$pid" 2>/dev/null; done <"$sub/cgroup.procs"
		[ ! -e "$sub/freezer.state" ] || echo THAWED >"$sub/freezer.state" || :
		rmdir "$sub" 2>/dev/null
	done
	[ ! -e "$1" ]
}

# ---- verbs of a test ----

# put PATH TEXT: one write of the text and a newline. add: the same with >>.
put() {
	printf '%s\n' "$2" >"$PORTO_ROOT/$1"
}

add() {
	printf '%s\n' "$2" >>"$PORTO_ROOT/$1"
}

# prop NAME PROPERTY: the value.
prop() {
	cat "$PORTO_ROOT/$1/$2"
}

# prop_is NAME PROPERTY VALUE: fails and shows both when the value differs.
prop_is() {
	local value
	value=$(prop "$1" "$2") || return
	[ "$value" = "$3" ] || fail "$1/$2 is '$value', expected '$3'"
}

# ct_new NAME [PROPERTY=VALUE...]
ct_new() {
	local name=$1 pair
	shift
	mkdir "$PORTO_ROOT/$name" || return
	for pair; do
		put "$name/${pair%%=*}" "${pair#*=}" || { fail "$name: $pair: $(prop "$name" error)"; return 1; }
	done
}

# ct_start NAME [PROPERTY=VALUE...]: makes it when it does not exist.
ct_start() {
	[ -e "$PORTO_ROOT/$1/state" ] && [ $# -eq 1 ] || ct_new "$@" || return
	put "$1/state" start || fail "$1: start: $(prop "$1" error)"
}

# ct_run NAME [PROPERTY=VALUE...]: makes it, starts it and waits for its end.
ct_run() {
	ct_start "$@" && prop "$1" wait >/dev/null
}

# ct_destroy NAME...: gone with everything that belonged to it.
ct_destroy() {
	local name
	for name; do
		rmdir "$PORTO_ROOT/$name" || return
	done
	wait_for '[ -z "$(< $PORTO_ROOT/.porto/destroying)" ]' 30
}

ct_names() {
	cut -f1 "$PORTO_ROOT/.porto/containers" | grep -vx / || :
}

# vol_new [PROPERTY=VALUE...]: a volume that is not built yet; its number in $VOL.
vol_new() {
	local pair
	VOL=$(cat "$PORTO_ROOT/.volumes/next") && mkdir "$PORTO_ROOT/.volumes/$VOL" || return
	for pair; do
		put ".volumes/$VOL/${pair%%=*}" "${pair#*=}" || { fail "volume $VOL: $pair: $(prop ".volumes/$VOL" error)"; return 1; }
	done
}

# vol_build [PROPERTY=VALUE...]: and built; its path in $VOL_PATH.
vol_build() {
	vol_new "$@" || return
	put ".volumes/$VOL/state" build || { fail "volume $VOL: build: $(prop ".volumes/$VOL" error)"; return 1; }
	VOL_PATH=$(prop ".volumes/$VOL" path)
}

# vol_create TEXT: through one descriptor; what is read from that, `ID PATH`, is in $VOL and $VOL_PATH.
vol_create() {
	local fd rc=0
	exec {fd}<>"$PORTO_ROOT/.volumes/create" || return
	# shellcheck disable=SC2034 # for the test
	printf '%s\n' "$1" >&"$fd" && read -r VOL VOL_PATH <&"$fd" || rc=1
	exec {fd}>&-
	return "$rc"
}

# vol_tell TEXT: the same, but prints `ID PATH`.
vol_tell() {
	vol_create "$1" && echo "$VOL $VOL_PATH"
}

# vol_destroy ID...: returns when it is gone.
vol_destroy() {
	local id
	for id; do
		put ".volumes/$id/state" destroy || return
	done
}

vol_ids() {
	(cd "$PORTO_ROOT/.volumes" && printf '%s\n' [0-9]*/) | sed -n 's:^\([0-9]*\)/$:\1:p'
}

vols_destroy() {
	local dir rc=0
	for dir in "$PORTO_ROOT"/.volumes/[0-9]*/; do
		[ ! -e "$dir" ] || rmdir "$dir" || [ ! -e "$dir" ] || rc=1
	done
	wait_for 'grep -qx "volumes 0" "$PORTO_ROOT/.porto/stat"' 30 || rc=1
	return "$rc"
}

# layer_new NAME [ARCHIVE]: a layer, filled if there is something to fill it with.
layer_new() {
	mkdir "$PORTO_ROOT/.layers/$1" || return
	[ $# -eq 1 ] || put ".layers/$1/import" "$2" || fail "layer $1: $(prop ".layers/$1" error)"
}

layers_destroy() {
	local dir rc=0
	for dir in "$PORTO_ROOT"/.layers/*/ "$PORTO_ROOT"/.storages/*/; do
		[ ! -e "$dir" ] || rmdir "$dir" || rc=1
	done
	return "$rc"
}

# state_is NAME STATE [SECONDS]: waits for it.
state_is() {
	wait_for "[ \"\$(prop $1 state)\" = $2 ]" "${3:-10}" || fail "$1 is $(prop "$1" state), expected $2"
}

# want_errno ERRNO COMMAND...: the command fails with that errno's words on stderr. Redirections: use put and add.
want_errno() {
	local want=${ERRNO_TEXT[$1]:?} out rc=0
	shift
	out=$("$@" 2>&1 >/dev/null) || rc=$?
	[ "$rc" -ne 0 ] || { fail "no error, expected '$want': $*"; return 1; }
	[[ $out == *"$want"* ]] || fail "expected '$want' from: $*"$'\n'"$out"
}

# want_error KIND COMMAND...: the command fails, and the caller's .porto/error then is of that kind.
# With `as USER` before the command, that user's.
want_error() {
	local kind=$1 text reader=()
	shift
	! "$@" >/dev/null 2>&1 || { fail "no error, expected $kind: $*"; return 1; }
	[ "$1" != as ] || reader=(as "$2")
	text=$("${reader[@]}" cat "$PORTO_ROOT/.porto/error")
	[[ $text == [0-9]*" $kind"?(:*) ]] || fail "expected $kind from: $*"$'\n'"$text"
}

# error_says [NAME] PATTERN: the last sentence (of the container; without NAME the caller's) matches *PATTERN*.
error_says() {
	local file=.porto/error text
	[ $# -eq 1 ] || { file=$1/error; shift; }
	text=$(cat "$PORTO_ROOT/$file")
	# shellcheck disable=SC2053 # a pattern
	[[ $text == *$1* ]] || fail "$file: '$text', expected '$1' in it"
}

# wait_for 'CONDITION' [SECONDS]: evaluates it until it is true; 10 seconds unless told.
wait_for() {
	local end=$((SECONDS + ${2:-10} * PORTO_SLOW + 1))
	until eval "$1" 2>/dev/null; do
		[ "$SECONDS" -lt "$end" ] || { fail "not within ${2:-10} s (times $PORTO_SLOW): $1"; return 1; }
		sleep 0.02
	done
}

# as USER COMMAND...: as an existing unprivileged user (daemon, games ...), member of the daemon's group.
# COMMAND may be one of the functions above.
as() {
	local user=$1 ids
	shift
	ids=(--reuid "$user" --regid "$(id -g "$user")" --groups "$(getent group "$TEST_GROUP" | cut -d: -f3)")
	if [ "$(type -t "$1")" = function ]; then
		setpriv "${ids[@]}" bash -O extglob -c '. "$REPO/tests/helpers.bash"; "$@"' as "$@"
	else
		setpriv "${ids[@]}" "$@"
	fi
}

# outsider USER COMMAND...: the same without the daemon's group.
outsider() {
	local user=$1
	shift
	setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups "$@"
}

# need FEATURE [NAME/PROPERTY VALUE]: skips, with the reason, where .porto/features says that this host lacks it. With
# a property that depends on it, first checks that a write is refused with that reason and not just stored.
need() {
	local line
	line=$(grep "^$1:" "$PORTO_ROOT/.porto/features") || { fail "no such feature: $1"; return 1; }
	[[ $line == "$1: missing"* ]] || return 0
	if [ $# -eq 3 ]; then
		want_errno EOPNOTSUPP put "$2" "$3" && want_error NotSupported put "$2" "$3" || return
	fi
	skip "$line"
}

shopt -s extglob
