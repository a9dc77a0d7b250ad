#!/usr/bin/env bats
# Volumes when something breaks: a worker that dies before any step of an operation, records that can't be written, places, paths and
# mounts that vanish. What was asked for is done once or not at all, and nothing is left.
# Not in the guest, which is slow (`make check-vm` runs it there): records are the same on every kernel, and a worker killed at each step takes its time there.
#
# shellcheck disable=SC2016,SC2030,SC2031 # a test is a process of its own; conditions of wait_for, commands of at_each_step

bats_require_minimum_version 1.5.0
load helpers

setup() {
	DIR=$TEST_DIR/t$BATS_TEST_NUMBER
	mkdir -p "$DIR"/{root,layer}
	echo layer >"$DIR/layer/file"
}

teardown() {
	inject_ends
	if mountpoint -q "$STATE_DIR"; then # a test has failed in between
		daemon_stop
		umount "$STATE_DIR"
		daemon_up
	fi
	destroy_all
	! mountpoint -q "$DIR/fs" || umount "$DIR/fs"
	no_leaks
	no_crashes
	rm -rf --one-file-system "$DIR"
}

V() {
	prop ".volumes/$VOL" "$1"
}

vol_is() {
	prop_is ".volumes/$VOL" "$1" "$2"
}

# What a volume's making and unmaking changes.
CALLS=renameat,renameat2,mkdirat,mkdir,openat2,move_mount,umount2,fsmount,open_tree,mount_setattr,unlinkat,fchown,fchownat,ioctl,vfork,clone3

# inject N: the worker of now is killed before the Nth of these calls of any of its threads.
inject() {
	local try
	for ((try = 0; try < 10; try++)); do
		strace -f -qq -o /dev/null -p "$(worker_pid)" -e "trace=$CALLS" -e "inject=$CALLS:signal=KILL:when=$1" \
			2>"$BATS_TEST_TMPDIR/strace" 3>&- 4>&- &
		tracer=$!
		# a look at the places may come first, and be its death
		wait_for 'grep -q "^TracerPid:.[1-9]" /proc/$(worker_pid)/status || ! kill -0 $tracer'
		! kill -0 "$tracer" 2>/dev/null || return 0
		wait "$tracer" || :
	done
	fail "no worker lives long enough: $(<"$BATS_TEST_TMPDIR/strace")"
}

inject_ends() {
	[ -z "${tracer:-}" ] || { kill "$tracer"; wait "$tracer"; } 2>/dev/null || :
	tracer=
}

# at_each_step BEFORE COMMAND AFTER: with a worker that dies before the first step of COMMAND, the second ... until it is through
# without. The command knows nothing of that.
at_each_step() {
	local n worker
	command -v strace >/dev/null || skip 'no strace'
	for ((n = 1; n < 60; n++)); do
		eval "$1" || fail "step $n: before: $1" || return
		inject "$n" || return
		worker=$(worker_pid)
		eval "$2" || fail "step $n: $2: $(cat "$PORTO_ROOT/.porto/error")" || return
		inject_ends
		wait_for '[ -n "$(cat "$PORTO_ROOT/.porto/version")" ]'
		eval "$3" || fail "step $n: after: $3" || return
		[ "$(worker_pid)" = "$worker" ] || continue
		[ "$n" -gt 2 ] || fail "only $n steps"
		return
	done
	fail 'it never gets through'
}

need_overlay_limit() {
	need overlay
	need loop
}

@test "rmdir while a build fails: nothing is left of its record" {
	for _ in {1..80}; do
		vol_new layers=there-is-none
		timeout 20 bash -c 'echo build >"$1/state"' - "$PORTO_ROOT/.volumes/$VOL" 2>/dev/null &
		sleep 0.00$((RANDOM % 8))
		rmdir "$PORTO_ROOT/.volumes/$VOL" || :
		wait $! || :
	done
	wait_for 'grep -qx "volumes 0" "$PORTO_ROOT/.porto/stat"'
	[ -z "$(cat "$PORTO_ROOT/.porto/leaks")" ]
}

@test "stop --containers takes volumes down as well; a plain stop leaves them" {
	local path
	vol_build space_limit=64M
	path=$VOL_PATH
	echo kept >"$path/file"
	daemon_restart
	[ "$(<"$path/file")" = kept ]
	prop_is ".volumes/$VOL" state ready
	timeout 60 "${DAEMON[@]}" stop --containers
	[ ! -e "$path" ]
	run ! grep -F "$PLACE/" /proc/self/mounts
	wait_for '! grep -qF "$PLACE/" /sys/block/loop*/loop/backing_file'
	daemon_up
	[ -z "$(vol_ids)" ]
}

@test "build: the worker dies before any step of it: it is built, once" {
	ct_new a "root=$DIR/root"
	at_each_step 'vol_new "containers=/;a /data" user=games' 'put ".volumes/$VOL/state" build' \
		'vol_is state ready && vol_is containers "/;a /data" && [ "$(stat -c %U "$DIR/root/data")" = games ] &&
		[ "$(grep -c " $DIR/root/data " /proc/self/mounts)" = 1 ] && [ "$(grep -c " $(V path) " /proc/self/mounts)" = 1 ] &&
		vol_destroy "$VOL" && no_leaks'
}

@test "build of layers with a limit: the worker dies before any step of it" {
	need_overlay_limit
	at_each_step 'vol_new "layers=$DIR/layer" space_limit=16M' 'put ".volumes/$VOL/state" build' \
		'vol_is state ready && [ "$(cat "$(V path)/file")" = layer ] && touch "$(V path)/new" && vol_destroy "$VOL" && no_leaks'
}

@test "build that fails: the worker dies before any step of it: refused all the same, and nothing is left" {
	ct_new a "root=$DIR/root"
	touch "$DIR/root/file"
	at_each_step 'vol_new "containers=/;a /data;a /file"' '! put ".volumes/$VOL/state" build 2>/dev/null' \
		'vol_is state initial && [ "$(sed -n 1p "$PORTO_ROOT/.volumes/$VOL/error" | cut -d: -f1)" = "25 InvalidPath" ] &&
		! grep -q " $DIR/root/" /proc/self/mounts && rmdir "$PORTO_ROOT/.volumes/$VOL" && vols_destroy && no_leaks'
}

@test "create: the worker dies before any step of it: one volume" {
	at_each_step : 'vol_create "private = x"' 'vol_is private x && [ "$(vol_ids)" = "$VOL" ] && vol_destroy "$VOL" && no_leaks'
}

@test "destroy: the worker dies before any step of it" {
	need_overlay_limit
	ct_new a "root=$DIR/root"
	at_each_step 'vol_build "layers=$DIR/layer" space_limit=16M "containers=/;a /data"' 'vol_destroy "$VOL"' \
		'[ ! -e "$PORTO_ROOT/.volumes/$VOL" ] && ! grep -q " $DIR/root/" /proc/self/mounts && no_leaks'
}

@test "link and unlink: the worker dies before any step of it" {
	ct_new a "root=$DIR/root"
	vol_build
	at_each_step : 'put ".volumes/$VOL/link" "a /data"' \
		'vol_is containers "/;a /data" && [ "$(grep -c " $DIR/root/data " /proc/self/mounts)" = 1 ] && put ".volumes/$VOL/unlink" "a /data"'
	at_each_step 'put ".volumes/$VOL/link" "a /data"' 'put ".volumes/$VOL/unlink" "a /data"' \
		'vol_is containers / && ! grep -q " $DIR/root/data " /proc/self/mounts'
}

@test "tune: the worker dies before any step of it" {
	vol_build backend=tmpfs space_limit=1M
	at_each_step 'put ".volumes/$VOL/space_limit" 1M' 'put ".volumes/$VOL/tune" "space_limit = 2M"' \
		'vol_is space_limit 2097152 && vol_is state ready && [ "$(df --output=size -B1 "$(V path)" | tail -n 1 | tr -d " ")" = 2097152 ]'
}

@test "rmdir: the worker dies before any step of it, with a volume inside" {
	at_each_step 'vol_build; outer=$VOL; mkdir "$VOL_PATH/in"; vol_build backend=tmpfs space_limit=1M "path=$VOL_PATH/in"' \
		'rmdir "$PORTO_ROOT/.volumes/$outer"' '[ ! -e "$PORTO_ROOT/.volumes/$outer" ] && vols_destroy && no_leaks'
}

@test "a container goes, a link by unlink(2): the worker dies before any step of it" {
	vol_build
	at_each_step 'ct_new a "root=$DIR/root" && put ".volumes/$VOL/link" "a /data"' \
		'rmdir "$PORTO_ROOT/a" && wait_for "[ \"\$(V containers)\" = / ]"' '! grep -q " $DIR/root/" /proc/self/mounts'
	ct_new a "root=$DIR/root"
	at_each_step 'put ".volumes/$VOL/link" "a /data"' \
		'rm "$PORTO_ROOT/.volumes/$VOL/links/a" && wait_for "[ \"\$(V containers)\" = / ]"' '! grep -q " $DIR/root/" /proc/self/mounts'
}

@test "mkdir: the worker dies before any step of it" {
	at_each_step 'id=$(cat "$PORTO_ROOT/.volumes/next")' 'mkdir "$PORTO_ROOT/.volumes/$id"' \
		'[ "$(prop ".volumes/$id" state)" = initial ] && [ "$(cat "$PORTO_ROOT/.volumes/next")" = $((id + 1)) ]'
}

# ---- what can't be written ----

@test "no space for the records: volumes are refused and undone, go all the same, and space heals" {
	vols_destroy
	daemon_stop
	mount -t tmpfs -o size=128k,mode=755 porto-test "$STATE_DIR"
	daemon_up
	vol_build
	local good=$VOL
	vol_new
	dd if=/dev/zero of="$STATE_DIR/fill" bs=4k 2>/dev/null || :
	want_errno ENOSPC put ".volumes/$VOL/private" "$(printf '%04000d' 0)"
	want_errno ENOSPC put ".volumes/$VOL/state" build
	vol_is state initial
	vol_is private ''
	want_errno ENOSPC mkdir "$PORTO_ROOT/.volumes/$(cat "$PORTO_ROOT/.volumes/next")"
	! vol_create 'private = x' 2>/dev/null || fail made
	want_errno ENOSPC put ".volumes/$good/link" "/ $DIR/target"
	! grep -q " $DIR/target " /proc/self/mounts || fail 'linked'
	prop_is ".volumes/$good" containers /
	kill_worker
	prop_is ".volumes/$good" state ready
	rmdir "$PORTO_ROOT/.volumes/$good" # needs no space
	wait_for 'grep -qx "volumes 1" "$PORTO_ROOT/.porto/stat"'
	rm "$STATE_DIR/fill"
	put ".volumes/$VOL/state" build
	vol_is state ready
	vols_destroy
	daemon_stop
	umount "$STATE_DIR"
	daemon_up
}

# ---- what vanishes ----

@test "a mount taken away by hand: the volume is destroyed by the next worker, what is left of it too" {
	vol_build
	umount "$VOL_PATH"
	kill_worker
	wait_for '[ -z "$(vol_ids)" ]'
	no_leaks
	vol_build
	put ".volumes/$VOL/link" "/ $DIR/target"
	umount "$DIR/target"
	put ".volumes/$VOL/unlink" "/ $DIR/target" # what is not there any more is no link
	vol_is containers /
	umount "$VOL_PATH"
	vol_destroy "$VOL"
	no_leaks
}

@test "a path or a place that is gone: the volume can be destroyed" {
	mkdir "$DIR/path"
	vol_build "path=$DIR/path"
	umount "$DIR/path"
	rmdir "$DIR/path"
	vol_destroy "$VOL"
	truncate -s 32M "$DIR/fs.img"
	mkfs.ext4 -qF "$DIR/fs.img"
	mkdir "$DIR/fs"
	mount -o loop "$DIR/fs.img" "$DIR/fs"
	mkdir "$DIR/fs/place"
	vol_build "place=$DIR/fs/place"
	umount -l "$VOL_PATH"
	rm -rf "$DIR/fs/place"
	vol_destroy "$VOL"
	mkdir "$DIR/fs/place"
	vol_build "place=$DIR/fs/place"
	umount -l "$DIR/fs"
	kill_worker
	vol_destroy "$VOL" || wait_for '[ -z "$(vol_ids)" ]'
	! grep -qF "$DIR/fs" /proc/self/mounts || fail "$(grep -F "$DIR/fs" /proc/self/mounts)"
}

@test "a storage or path replaced by a link meanwhile leads nowhere" {
	mkdir -p "$DIR"/{path,elsewhere/keep}
	vol_new "path=$DIR/path"
	rmdir "$DIR/path"
	ln -s "$DIR/elsewhere" "$DIR/path"
	want_errno ELOOP put ".volumes/$VOL/state" build
	vol_build
	umount "$VOL_PATH"
	rmdir "$VOL_PATH"
	ln -s "$DIR/elsewhere" "$VOL_PATH"
	vol_destroy "$VOL"
	[ -d "$DIR/elsewhere/keep" ]
}

@test "the daemon is stopped and started: volumes go on, links and limits too" {
	ct_new a "root=$DIR/root"
	vol_build backend=tmpfs space_limit=2M 'containers=/;a /data ro' private=kept
	echo data >"$VOL_PATH/file"
	local before
	before=$(V spec; V path; V containers; V creator; V build_time; V id)
	daemon_restart
	[ "$(V spec; V path; V containers; V creator; V build_time; V id)" = "$before" ]
	vol_is state ready
	[ "$(cat "$DIR/root/data/file")" = data ]
	put ".volumes/$VOL/space_limit" 4M
	put ".volumes/$VOL/unlink" 'a /data'
	! grep -q " $DIR/root/data " /proc/self/mounts || fail 'still linked'
}
