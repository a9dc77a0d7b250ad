#!/usr/bin/env bats
# Volumes through the daemon, with mkdir, echo, cat and rmdir: properties, backends, limits, making by one descriptor, lists.
#
# shellcheck disable=SC2016,SC2030,SC2031 # a test is a process of its own; conditions of wait_for

bats_require_minimum_version 1.5.0
load helpers

setup() {
	DIR=$TEST_DIR/t$BATS_TEST_NUMBER
	mkdir -p "$DIR/l1" "$DIR/l2"
	echo top >"$DIR/l1/both"
	echo bottom >"$DIR/l2/both"
	echo 1 >"$DIR/l1/one"
	echo 2 >"$DIR/l2/two"
	LAYERS="layers=$DIR/l1;$DIR/l2"
}

teardown() {
	destroy_all
	! mountpoint -q "$DIR/fs" || umount "$DIR/fs"
	no_leaks
	rm -rf --one-file-system "$DIR"
}

V() {
	prop ".volumes/$VOL" "$1"
}

vol_is() {
	prop_is ".volumes/$VOL" "$1" "$2"
}

# refused KIND ERRNO [PROPERTY=VALUE...]: can't be built, and nothing is left but a volume that may be mended.
refused() {
	local kind=$1 errno=$2 before=${VOL:-}
	shift 2
	vol_new "$@" || return
	want_errno "$errno" put ".volumes/$VOL/state" build || return
	error_says "$kind:(" && error_says ".volumes/$VOL" "$kind:(" || return
	vol_is state initial && vol_is path "$(sed -n 's/^path = //p' "$PORTO_ROOT/.volumes/$VOL/spec")" || return
	vol_destroy "$VOL" || return
	VOL=$before
	[ -n "$(vol_ids)" ] || no_volume_leaks
}

# no_value KIND ERRNO PROPERTY VALUE: not taken, what was there stays.
no_value() {
	local before
	before=$(V "$3")
	want_errno "$2" put ".volumes/$VOL/$3" "$4" && error_says "$1:(" && vol_is "$3" "$before"
}

has_options() {
	local options word
	options=$(awk -v p="$1" '$2 == p { print $4 }' /proc/self/mounts | tail -n 1)
	for word in "${@:2}"; do
		[[ ,$options, == *,$word,* ]] || fail "$1: options '$options', expected $word" || return
	done
}

denied() {
	! "$@" 2>/dev/null || fail "done: $*"
}

# Root's right to go beyond quotas is for nobody here.
limited() {
	setpriv --bounding-set -sys_resource --inh-caps -sys_resource "$@"
}

# fill FILE N: N times 64K, on the disk.
fill() {
	limited dd if=/dev/zero of="$1" bs=64K count="$2" conv=fsync status=none
}

# full FILE N: as many don't fit.
full() {
	run fill "$1" "$2"
	[[ $status != 0 && ($output == *'No space left'* || $output == *'quota exceeded'*) ]] || fail "status $status: $output"
}

# quota_place: a place with project quota, or the test is skipped.
quota_place() {
	truncate -s 64M "$DIR/fs.img"
	mkfs.ext4 -qF -O quota,project -E quotatype=prjquota "$DIR/fs.img"
	mkdir -p "$DIR/fs"
	mount -o loop,prjquota "$DIR/fs.img" "$DIR/fs" 2>/dev/null || skip 'no project quota here'
	mkdir "$DIR/fs/place"
}

# ---- from mkdir to rmdir ----

@test "a volume: mkdir, build, used, listed, removed with rmdir; its number is never used again" {
	local id
	id=$(cat "$PORTO_ROOT/.volumes/next")
	mkdir "$PORTO_ROOT/.volumes/$id"
	[ "$(prop ".volumes/$id" state)" = initial ]
	[ -z "$(cat "$PORTO_ROOT/.volumes/list")" ]
	echo build >"$PORTO_ROOT/.volumes/$id/state"
	VOL=$id
	vol_is state ready
	vol_is ready true
	vol_is path "$PLACE/porto_volumes/$id/volume"
	vol_is id "$id"
	has_options "$(V path)" nodev nosuid
	[ "$(stat -c '%a %U' "$(V path)")" = '775 root' ]
	echo data >"$(V path)/file"
	[ "$(cut -f1,2,4,5 "$PORTO_ROOT/.volumes/list")" = "$(V path)"$'\t'"$id"$'\t\t' ]
	[ "$(cut -f12 "$PORTO_ROOT/.volumes/list")" = / ]
	[ "$(cat "$PORTO_ROOT/.volumes/find[${PLACE//\//%}%porto_volumes%$id%volume]")" = "$id" ]
	want_error VolumeNotFound cat "$PORTO_ROOT/.volumes/find[%tmp]"
	[ "$(ls "$PORTO_ROOT/.volumes")" = "$id"$'\nlist\nnext\nproperties' ]
	rmdir "$PORTO_ROOT/.volumes/$id"
	[ ! -e "$PORTO_ROOT/.volumes/$id" ]
	want_errno ENOENT rmdir "$PORTO_ROOT/.volumes/$id"
	vols_destroy
	no_leaks
	[ "$(cat "$PORTO_ROOT/.volumes/next")" = $((id + 1)) ]
	want_errno EINVAL mkdir "$PORTO_ROOT/.volumes/$id"
	error_says "the next is $((id + 1))"
	want_errno EINVAL mkdir "$PORTO_ROOT/.volumes/name"
	want_errno EINVAL mkdir "$PORTO_ROOT/.volumes/0$((id + 1))"
	want_errno EINVAL mkdir "$PORTO_ROOT/.volumes/$((id + 100000))"
	mkdir "$PORTO_ROOT/.volumes/$((id + 7))" # of several who look at next at once all get one
	want_errno EEXIST mkdir "$PORTO_ROOT/.volumes/$((id + 7))"
	[ "$(cat "$PORTO_ROOT/.volumes/next")" = $((id + 8)) ]
}

@test "properties: every file has the mode and default of the table, and what is set is in spec" {
	local name access when default count=0
	vol_new
	while IFS=$'\036' read -r name access when default _; do
		grep -q "^  $name " "$REPO/build/README" || fail "README does not have $name"
		count=$((count + 1))
		case $access in
		rw) [ "$(stat -c %a "$PORTO_ROOT/.volumes/$VOL/$name")" = 644 ] || fail "$name: not 644" ;;
		r)
			[ "$(stat -c %a "$PORTO_ROOT/.volumes/$VOL/$name")" = 444 ] || fail "$name: not 444"
			want_errno EACCES put ".volumes/$VOL/$name" x || fail "$name" ;;
		w) [ "$(stat -c %a "$PORTO_ROOT/.volumes/$VOL/$name")" = 200 ] || fail "$name: not 200" ;;
		esac
		[ -z "$default" ] || [ "$when" = - ] || vol_is "$name" "$default"
	done < <(tr '\t' '\036' <"$PORTO_ROOT/.volumes/properties")
	[ "$count" -gt 35 ]
	diff <("$PORTOD" help-properties volumes) "$PORTO_ROOT/.volumes/properties"
	vol_is owner_user root
	vol_is user root
	vol_is owner_container /
	vol_is read_only false
	vol_is space_limit 0
	[ -z "$(V spec)" ]
	want_errno ENODATA cat "$PORTO_ROOT/.volumes/$VOL/device_name"
	want_errno ENOENT cat "$PORTO_ROOT/.volumes/$VOL/nosuch"
	printf 'private = a\\nb\nspace_limit = 1M\n' >"$DIR/spec"
	cat "$DIR/spec" >"$PORTO_ROOT/.volumes/$VOL/spec"
	vol_is private $'a\nb'
	vol_is space_limit 1048576
	[ "$(V spec | sort)" = 'private = a\nb
space_limit = 1048576' ]
}

@test "properties: a value that is none is refused with its kind, and the old one stays" {
	vol_new private=old space_limit=5M
	no_value InvalidValue EINVAL space_limit much
	no_value InvalidValue EINVAL inode_guarantee x
	no_value Unknown EINVAL read_only maybe
	no_value InvalidValue EINVAL permissions 999
	no_value InvalidValue EINVAL permissions 17777
	no_value InvalidValue EINVAL user nosuchuser
	no_value InvalidValue EINVAL group nosuchgroup
	no_value InvalidValue EINVAL owner_user nosuchuser
	no_value ContainerDoesNotExist ENOENT owner_container nosuch
	no_value ContainerDoesNotExist ENOENT target_container nosuch
	no_value InvalidValue EINVAL private "$(printf '%04097d' 0)"
	no_value InvalidValue EINVAL image 'A B'
	put ".volumes/$VOL/private" "$(printf '%04096d' 0)"
	put ".volumes/$VOL/private" old
	# of many none is taken
	want_errno EINVAL put ".volumes/$VOL/spec" $'private = new\nspace_limit = bad'
	vol_is private old
	want_errno EINVAL put ".volumes/$VOL/spec" $'private = new\nnosuch = 1'
	error_says 'InvalidProperty:('
	want_errno EINVAL put ".volumes/$VOL/spec" $'private = new\nstate = ready'
	error_says 'InvalidProperty:('
	want_errno EINVAL put ".volumes/$VOL/spec" 'no line'
	error_says 'InvalidValue:(spec: line 1'
	vol_is private old
	want_errno EINVAL put ".volumes/$VOL/state" fly
	want_errno EAGAIN put ".volumes/$VOL/state" check
	error_says 'VolumeNotReady:('
	want_errno EAGAIN put ".volumes/$VOL/link" /
	want_errno EAGAIN put ".volumes/$VOL/unlink" /
	vol_is state initial
}

@test "properties: once it is built only limits change; a refused build leaves a volume that can be mended" {
	vol_new backend=nosuch
	want_errno EOPNOTSUPP put ".volumes/$VOL/state" build
	error_says ".volumes/$VOL" 'NotSupported:('
	put ".volumes/$VOL/backend" plain
	put ".volumes/$VOL/state" build
	want_errno EBUSY put ".volumes/$VOL/state" build
	error_says 'InvalidState:('
	no_value InvalidState EBUSY private x
	no_value InvalidState EBUSY backend tmpfs
	want_errno EBUSY put ".volumes/$VOL/spec" 'private = x'
	want_errno EINVAL put ".volumes/$VOL/tune" 'private = x'
	error_says 'InvalidProperty:('
	[ "$(V creator)" = '/ root root' ]
	[[ $(V build_time) == 20??-* && $(V change_time) == 20??-* ]]
	vol_is owner_container /
	vol_is place "$PLACE"
	vol_is backend plain
	vol_is storage "$PLACE/porto_volumes/$VOL/plain"
	put ".volumes/$VOL/state" destroy
	[ ! -e "$PORTO_ROOT/.volumes/$VOL" ]
	no_leaks
}

@test "features and portod check: what the place and kernel have for volumes; who only looks leaves nothing" {
	local name loops
	for _ in {1..5}; do # other files make loop devices at the same time
		loops=:$(ls /sys/block)
		run "$PORTOD" --config "$TEST_DIR/portod.conf" --set "daemon.cgroup_root=$TEST_CGROUP-look" \
			--set "volumes.default_place=$DIR/none" check
		[ ":$(ls /sys/block)" != "$loops" ] || break
		loops=
	done
	for name in overlay "project quota of $DIR/none" loop squashfs erofs hugetmpfs; do
		grep -qE "^$name: (yes|missing: .+)$" <<<"$output" || fail "portod check: $name: $output"
		grep -qE "^${name/$DIR\/none/$PLACE}: (yes|missing: .+)$" "$PORTO_ROOT/.porto/features" || fail "features: $name"
	done
	[ ! -e "$DIR/none" ]
	[ -n "$loops" ] || fail 'a loop device each time'
	[ -z "$(cgroup_roots "$TEST_CGROUP-look")" ]
}

# ---- backends ----

@test "backends: unknown ones and those that need what nobody has are refused with a sentence" {
	local b
	refused NotSupported EOPNOTSUPP backend=nosuch
	for b in lvm rbd nbd; do
		refused NotSupported EOPNOTSUPP "backend=$b" storage=x
		error_says "$b is not supported"
	done
}

@test "backends: what each requires and what it refuses" {
	mkdir "$DIR/path" "$DIR/storage"
	refused InvalidProperty EINVAL backend=dir
	refused InvalidProperty EINVAL backend=dir "path=$DIR/path" space_limit=1M
	refused InvalidProperty EINVAL backend=dir "path=$DIR/path" read_only=true
	refused InvalidProperty EINVAL backend=dir "path=$DIR/path" "storage=$DIR/storage"
	refused InvalidProperty EINVAL backend=dir "path=$DIR/path" "$LAYERS"
	refused InvalidProperty EINVAL backend=plain inode_limit=10
	refused InvalidProperty EINVAL backend=bind
	refused InvalidProperty EINVAL backend=bind "storage=$DIR/storage" "$LAYERS"
	refused InvalidProperty EINVAL backend=rbind "storage=$DIR/storage" space_limit=1M
	refused InvalidProperty EINVAL backend=tmpfs
	refused InvalidProperty EINVAL backend=tmpfs space_limit=1M "$LAYERS"
	refused InvalidProperty EINVAL backend=quota "path=$DIR/path"
	refused InvalidProperty EINVAL backend=quota space_limit=1M
	refused InvalidProperty EINVAL backend=quota "path=$DIR/path" space_limit=1M read_only=true
	refused InvalidProperty EINVAL backend=overlay
	refused InvalidProperty EINVAL backend=squash
	refused InvalidProperty EINVAL backend=loop
	refused InvalidValue EINVAL backend=plain read_only=true "$LAYERS"
	refused InvalidValue EINVAL backend=loop space_limit=16M fs_type=xfs
	refused InvalidValue EINVAL space_limit=1M space_guarantee=2M
	refused InvalidValue EINVAL inode_limit=1 inode_guarantee=2
	[ -z "$(ls "$DIR/storage")" ]
}

@test "backend dir: the directory itself, nothing is mounted and nothing removed" {
	mkdir "$DIR/path"
	touch "$DIR/path/old"
	vol_build backend=dir "path=$DIR/path"
	[ "$VOL_PATH" = "$DIR/path" ]
	[ -e "$VOL_PATH/old" ]
	denied mountpoint -q "$DIR/path"
	want_errno EOPNOTSUPP put ".volumes/$VOL/space_limit" 1M
	error_says 'NotSupported:('
	vol_destroy "$VOL"
	[ -e "$DIR/path/old" ]
}

@test "backend plain: owner and mode of the top, a kept storage stays, layers are copied" {
	mkdir "$DIR/storage" "$DIR/path"
	vol_build backend=plain user=games group=games permissions=0700 "storage=$DIR/storage" "path=$DIR/path"
	[ "$(stat -c '%U %G %a' "$DIR/path")" = 'games games 700' ]
	vol_is user games
	echo kept >"$DIR/path/file"
	vol_destroy "$VOL"
	[ "$(cat "$DIR/storage/file")" = kept ]
	[ -z "$(ls "$DIR/path")" ]
	vol_build backend=plain "storage=$DIR/storage" read_only=true
	[ "$(cat "$VOL_PATH/file")" = kept ]
	denied touch "$VOL_PATH/x"
	vol_build backend=plain "$LAYERS"
	[ "$(cat "$VOL_PATH"/{one,two})" = $'1\n2' ]
	[ "$(cat "$VOL_PATH/both")" = top ]
}

@test "backends bind and rbind: a tree elsewhere, a file too; what is mounted below comes along with rbind" {
	mkdir -p "$DIR/storage/below"
	echo a >"$DIR/storage/file"
	mount -t tmpfs none "$DIR/storage/below"
	touch "$DIR/storage/below/deep"
	vol_build backend=bind "storage=$DIR/storage"
	[ "$(cat "$VOL_PATH/file")" = a ]
	[ ! -e "$VOL_PATH/below/deep" ]
	vol_build backend=rbind "storage=$DIR/storage" read_only=true
	[ -e "$VOL_PATH/below/deep" ]
	denied touch "$VOL_PATH/x"
	vol_build backend=bind "storage=$DIR/storage/file"
	[ "$(cat "$VOL_PATH")" = a ]
	vols_destroy
	umount "$DIR/storage/below"
	[ "$(cat "$DIR/storage/file")" = a ]
}

@test "backends tmpfs and hugetmpfs: limits hold, change while it is in use, and are told" {
	local b
	for b in tmpfs hugetmpfs; do
		[ "$b" = tmpfs ] || ! grep -q '^hugetmpfs: missing' "$PORTO_ROOT/.porto/features" || {
			refused NotSupported EOPNOTSUPP "backend=$b" space_limit=4M
			continue
		}
		vol_build "backend=$b" space_limit=4M inode_limit=20 user=games
		[ "$(stat -c %U "$VOL_PATH")" = games ]
		full "$VOL_PATH/file" 100
		rm "$VOL_PATH/file"
		run touch "$VOL_PATH"/{1..30}
		[[ $output == *'No space left'* ]]
		put ".volumes/$VOL/space_limit" 8M
		vol_is space_limit 8388608
		fill "$VOL_PATH/1" 100
		want_errno EBUSY put ".volumes/$VOL/space_limit" 1M || want_errno EINVAL put ".volumes/$VOL/space_limit" 1M
		vol_is space_limit 8388608
		rm "$VOL_PATH/1"
		put ".volumes/$VOL/tune" $'space_limit = 2M\ninode_limit = 100'
		vol_is space_limit 2097152
		vol_is inode_limit 100
		touch "$VOL_PATH"/{1..30}
		full "$VOL_PATH/file" 50
		vol_is space_available 0 || wait_for '[ "$(V space_available)" -le 2097152 ]'
	done
}

@test "backend overlay: layers with what is changed above them; read-only; layers by name" {
	need overlay
	vol_build "$LAYERS"
	vol_is backend overlay
	[ "$(cat "$VOL_PATH"/{both,one,two})" = $'top\n1\n2' ]
	echo new >"$VOL_PATH/both"
	[ "$(cat "$DIR/l1/both")" = top ]
	vol_build "$LAYERS" read_only=true
	denied touch "$VOL_PATH/x"
	mkdir -p "$PLACE/porto_layers/named"
	touch "$PLACE/porto_layers/named/inside"
	vol_build "layers=named;$DIR/l2"
	[ -e "$VOL_PATH/inside" ]
	[ "$(V layers)" = "named;$DIR/l2" ]
	refused LayerNotFound ENOENT layers=nosuch
	refused LayerNotFound ENOENT "layers=$DIR/nosuch"
	refused InvalidValue EINVAL layers=./l1
	refused InvalidValue EINVAL layers=_import_x
	vols_destroy
	rm -rf "$PLACE/porto_layers"
}

@test "backend squash: an image below, one alone is mounted as it is" {
	need squashfs
	need loop
	mksquashfs "$DIR/l1" "$DIR/top.img" -quiet -no-progress >/dev/null
	vol_build backend=squash "layers=$DIR/top.img;$DIR/l2"
	[ "$(cat "$VOL_PATH"/{both,two})" = $'top\n2' ]
	touch "$VOL_PATH/new"
	vol_build backend=squash "layers=$DIR/top.img" read_only=true
	[ "$(cat "$VOL_PATH/both")" = top ]
	denied touch "$VOL_PATH/x"
	vols_destroy
	no_volume_leaks
}

@test "backend loop: an image of its own, or one that is kept and grows" {
	need loop
	vol_build backend=loop space_limit=16M user=games
	[ "$(stat -c %U "$VOL_PATH")" = games ]
	full "$VOL_PATH/file" 300
	truncate -s 16M "$DIR/image"
	mkfs.ext4 -qF "$DIR/image"
	vol_build "storage=$DIR/image"
	vol_is backend loop
	echo kept >"$VOL_PATH/file"
	refused Busy EBUSY "storage=$DIR/image"
	vols_destroy
	vol_build "storage=$DIR/image" read_only=true space_limit=0
	[ "$(cat "$VOL_PATH/file")" = kept ]
	vol_build "storage=$DIR/image" read_only=true
	vols_destroy
	head -c 1M /dev/zero >"$DIR/nothing"
	refused InvalidFilesystem EINVAL "storage=$DIR/nothing"
	no_volume_leaks
}

@test "space_limit without project quota: layers get an image above them, plain volumes one below" {
	need overlay
	need loop
	grep -q '^project quota of .*: missing' "$PORTO_ROOT/.porto/features" || skip 'the place has project quota'
	vol_build "$LAYERS" space_limit=16M
	vol_is backend overlay
	[ "$(V space_used)" -lt 16777216 ]
	full "$VOL_PATH/file" 300
	[ "$(cat "$VOL_PATH/both")" = top ]
	vol_build space_limit=16M
	vol_is backend loop
	full "$VOL_PATH/file" 300
	refused NotSupported EOPNOTSUPP backend=native space_limit=16M
	refused NotSupported EOPNOTSUPP "$LAYERS" inode_limit=10
	mkdir "$DIR/path"
	refused NotSupported EOPNOTSUPP backend=quota space_limit=1M "path=$DIR/path"
	vol_build backend=native
}

@test "backends native, overlay and quota with project quota: limits hold, are tuned up and down, are checked" {
	quota_place
	mkdir "$DIR/fs/path"
	local words
	for words in backend=native "backend=overlay $LAYERS" "backend=quota path=$DIR/fs/path"; do
		# shellcheck disable=SC2086 # words
		vol_build $words "place=$DIR/fs/place" space_limit=4M inode_limit=20
		[ "$(V backend)" = "$(cut -d= -f2 <<<"${words%% *}")" ]
		full "$VOL_PATH/file" 100
		put ".volumes/$VOL/space_limit" 8M
		fill "$VOL_PATH/file" 100
		run limited touch "$VOL_PATH"/{1..30}
		[ "$status" -ne 0 ]
		put ".volumes/$VOL/tune" $'space_limit = 2M\ninode_limit = 0'
		wait_for '[ "$(V space_used)" -ge 6000000 ]'
		touch "$VOL_PATH"/{1..30}
		full "$VOL_PATH/more" 4
		put ".volumes/$VOL/state" check
		[ -n "$(V report)" ]
		fill "$VOL_PATH/1" 0
		vol_destroy "$VOL"
	done
	vol_build "place=$DIR/fs/place"
	vol_is backend native
}

@test "storage: by name it is kept in the place; two volumes don't share one unless both only read" {
	vol_build storage=kept user=games
	vol_is storage kept
	[ "$(stat -c %U "$VOL_PATH")" = games ]
	echo data >"$VOL_PATH/file"
	refused Busy EBUSY storage=kept
	vols_destroy
	[ "$(cat "$PLACE/porto_storage/kept/file")" = data ]
	vol_build storage=kept backend=plain read_only=true
	vol_build storage=kept backend=plain read_only=true
	[ "$(cat "$VOL_PATH/file")" = data ]
	refused InvalidValue EINVAL storage=_import_x
	refused InvalidValue EINVAL "storage=a b"
	refused InvalidPath EINVAL storage=/tmp/../etc
	refused InvalidPath ENOENT "storage=$DIR/nosuch"
	vols_destroy
	rm -rf "$PLACE/porto_storage"
}

@test "guarantees: what the disk does not have, or others have been promised, is refused" {
	need loop
	local first
	truncate -s 64M "$DIR/fs.img"
	mkfs.ext4 -qF "$DIR/fs.img"
	mkdir "$DIR/fs"
	mount -o loop "$DIR/fs.img" "$DIR/fs"
	mkdir "$DIR/fs/place"
	refused NoSpace ENOSPC backend=overlay "$LAYERS" "place=$DIR/fs/place" space_guarantee=1G
	vol_build backend=native "place=$DIR/fs/place" space_guarantee=40M
	first=$VOL
	refused NoSpace ENOSPC backend=native "place=$DIR/fs/place" space_guarantee=40M
	error_says 'promised to others'
	prop_is ".volumes/$first" space_guarantee 41943040
	vol_build backend=native "place=$DIR/fs/place" space_guarantee=1M
	want_errno ENOSPC put ".volumes/$VOL/space_guarantee" 30M
	vol_is space_guarantee 1048576
	put ".volumes/$first/space_guarantee" 0 || fail "$(prop ".volumes/$first" error)"
	put ".volumes/$VOL/space_guarantee" 30M
	vol_is space_guarantee 31457280
}

@test "check: says what it found, or that there is nothing to check" {
	vol_build backend=tmpfs space_limit=1M
	put ".volumes/$VOL/state" check
	vol_build backend=plain
	put ".volumes/$VOL/state" check
	vol_build
	if [ "$(V backend)" = native ]; then
		put ".volumes/$VOL/state" check
	fi
	vol_build backend=native
	if grep -q '^project quota of .*: missing' "$PORTO_ROOT/.porto/features"; then
		want_errno EOPNOTSUPP put ".volumes/$VOL/state" check
		error_says 'NotSupported:('
	fi
}
