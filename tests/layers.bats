#!/usr/bin/env bats
# Layers and storages through the daemon: directories that are made, filled, read out and removed.
# Not in the guest, which is slow (`make check-vm` runs it there): it asks nothing of the kernel that store.bats and volumes.bats do not.
# shellcheck disable=SC2012,SC2016,SC2030,SC2031 # names of ours; conditions of wait_for; a test is a process of its own

bats_require_minimum_version 1.5.0
load helpers

setup_file() {
	test_begin
	mkdir -p "$TEST_DIR"/{tree/{bin,etc},rest}
	cp /bin/busybox "$TEST_DIR/tree/bin"
	echo one >"$TEST_DIR/tree/etc/one"
	ln "$TEST_DIR/tree/etc/one" "$TEST_DIR/tree/etc/same"
	ln -s one "$TEST_DIR/tree/etc/link"
	setfattr -n user.note -v kept "$TEST_DIR/tree/etc/one"
	tar -C "$TEST_DIR/tree" --xattrs -cf "$TEST_DIR/tree.tar" .
	zstd -q "$TEST_DIR/tree.tar" -o "$TEST_DIR/tree.tar.zst"
	# something that takes its time
	for i in {1..30}; do head -c 4M /dev/urandom >"$TEST_DIR/rest/$i"; done
	tar -C "$TEST_DIR/rest" -c . | zstd -q >"$TEST_DIR/rest.tar.zst"
}

setup() {
	L=$PORTO_ROOT/.layers T=$BATS_TEST_TMPDIR
	chmod 755 "$T"
}

teardown() {
	! mountpoint -q "$TEST_DIR/small" || { destroy_all; umount_small; }
	destroy_all
	no_crashes
	wait_for '[ -z "$(cat "$PORTO_ROOT/.porto/leaks")" ]'
	wait_for '[ -z "$(ls -A "$PLACE/porto_layers" "$PLACE/porto_storage" 2>/dev/null | grep -v :)" ]'
	wait_for '! pgrep -f "^$PORTO_BUILD/porto-store.*$TEST_DIR"'
}

# hang_on DIRECTORY: from now on who looks into it waits. hang_end DIRECTORY: it is as before.
hang_on() {
	"$PORTO_BUILD/hang" "$1" 3>&- &
	HANG=$!
	wait_for "grep -q ' $1 fuse.hang ' /proc/self/mounts"
}

hang_end() {
	kill "$HANG"
	wait "$HANG" || :
	umount -l "$1"
}

umount_small() {
	wait_for '[ -z "$(ls -A "$TEST_DIR/small/porto_layers" "$TEST_DIR/small/porto_storage" 2>/dev/null | grep -v : | grep -v _meta_)" ]'
	wait_for 'umount "$TEST_DIR/small"'
	rmdir "$TEST_DIR/small"
}

same() {
	diff -r --no-dereference "$1" "$2" && [ "$(getfattr --only-values -n user.note "$2/etc/one")" = kept ]
}

@test "portoctl layer -R, storage -R: answered when the name is free in the place as well" {
	local i
	for i in {1..10}; do
		layer_new x "$TEST_DIR/tree.tar"
		mkdir "$PORTO_ROOT/.storages/y"
		put .storages/y/import "$TEST_DIR/tree.tar"
		"$PORTOCTL" layer -R x
		[ ! -e "$PLACE/porto_layers/x" ]
		"$PORTOCTL" storage -R y
		[ ! -e "$PLACE/porto_storage/y" ]
	done
	[[ $(< "$PORTO_ROOT/.porto/destroying") != *.layers* ]]
}

@test "a layer: made, filled from a path, looked at, read out and removed" {
	mkdir "$L/a"
	prop_is .layers/a state empty
	put .layers/a/import "$TEST_DIR/tree.tar.zst"
	prop_is .layers/a state ready
	same "$TEST_DIR/tree" "$PLACE/porto_layers/a"
	[ "$(prop .layers/a size)" -gt 100000 ]
	[ "$(prop .layers/a last_usage)" -lt 100 ]
	prop_is .layers/a owner_user root
	prop_is .layers/a place "$PLACE"
	prop_is .layers/a progress ''
	prop_is .layers/a error ''
	[[ "$(cat "$L/list")" == "a	$PLACE	ready	root	root	"* ]]
	put .layers/a/export "$T/out.tar.zst"
	[ "$(zstd -dc "$T/out.tar.zst" | tar t | sort | md5sum)" = "$(tar tf "$TEST_DIR/tree.tar" | sort | md5sum)" ]
	[ "$(ls -A "$T")" = out.tar.zst ]
	rmdir "$L/a"
	[ ! -e "$L/a" ]
	wait_for '[ ! -e "$PLACE/porto_layers/a" ]'
}

@test "import: every format is found by its first bytes, and a name for it is taken too" {
	local format
	for format in gz bz2 xz; do
		layer_new a <(:) 2>/dev/null && fail 'a pipe is no archive'
		case $format in gz) gzip -kc "$TEST_DIR/tree.tar" ;; bz2) bzip2 -kc "$TEST_DIR/tree.tar" ;; xz) xz -kc "$TEST_DIR/tree.tar" ;; esac >"$T/x"
		put .layers/a/import "$T/x"
		same "$TEST_DIR/tree" "$PLACE/porto_layers/a"
		rmdir "$L/a"
	done
	layer_new a
	put ".layers/a/import[tar]" "$TEST_DIR/tree.tar"
	rmdir "$L/a"
	layer_new a
	want_error InvalidValue put ".layers/a/import[rar]" "$TEST_DIR/tree.tar"
	want_error InvalidValue put ".layers/a/import[tar.gz]" "$TEST_DIR/tree.tar"
	prop_is .layers/a state empty
	tar2sqfs -q "$T/x.squashfs" <"$TEST_DIR/tree.tar"
	put .layers/a/import "$T/x.squashfs"
	same "$TEST_DIR/tree" "$PLACE/porto_layers/a"
	put .layers/a/export "$T/y.squashfs"
	sqfs2tar "$T/y.squashfs" | tar t | grep -qx etc/one
	put '.layers/a/export[tar.gz]' "$T/z"
	gzip -dc "$T/z" | tar t | grep -qx ./etc/one
}

@test "tarball: an archive goes in as it comes, and comes out; other formats by name" {
	mkdir "$L/a" "$L/b"
	cat "$TEST_DIR/tree.tar.zst" >"$L/a/tarball"
	prop_is .layers/a state ready
	same "$TEST_DIR/tree" "$PLACE/porto_layers/a"
	dd if="$TEST_DIR/tree.tar" of="$L/b/tarball" bs=1000 status=none
	wait_for '[ "$(prop .layers/b state)" = ready ]'
	same "$TEST_DIR/tree" "$PLACE/porto_layers/b"
	zstd -dc <"$L/a/tarball[tar.zst]" | tar t | grep -qx ./etc/one
	# shellcheck disable=SC2002 # a pipe is meant
	cat "$L/a/tarball" | tar tf - | grep -qx ./etc/one
	tar tf "$L/a/tarball[tar.gz]" | grep -qx ./etc/one
	cp "$L/a/tarball[tar.zst]" "$T/copy.tar.zst"
	zstd -qt "$T/copy.tar.zst"
	head -c 1000 "$L/a/tarball" >/dev/null
	[ "$(dd if="$L/a/tarball" bs=1 count=600 status=none | wc -c)" = 600 ] # zeros among them
	layer_new c "$TEST_DIR/rest.tar.zst"
	head -c 1000 "$L/c/tarball" >/dev/null
	rmdir "$L/c" # whoever read it has gone, or is going
	want_error LayerAlreadyExists put .layers/a/tarball x
	want_errno EINVAL add .layers/b/tarball x
	! cat "$L/a/tarball[rar]" || fail 'a format that nobody knows'
	[ "$(find "$L/a" -name tarball -o -name import -o -name export -o -name merge | wc -l)" = 0 ] || fail 'listed, though a read of it is no read of a value'
}

@test "tarball: while a short one is looked at, another one is told so" {
	mkdir "$L/a"
	# held back before it is unpacked: the place has no free slot
	local i busy=''
	for i in {1..20}; do
		echo junk >"$L/a/tarball"
		if ! echo junk 2>/dev/null >"$L/a/tarball"; then
			busy=$(cat "$PORTO_ROOT/.porto/error")
			break
		fi
		wait_for '[ "$(prop .layers/a state)" = empty ]'
	done
	[ -z "$busy" ] || [[ $busy == *'Busy:(layer a: what was written to its tarball before is still being unpacked; its state and error tell how that ends)' ]] ||
		[[ $busy == *InvalidValue:* ]] || fail "$busy"
	wait_for '[ "$(prop .layers/a state)" = empty ] && [ -n "$(prop .layers/a error)" ]'
}

@test "tarball: what is broken leaves the name empty, with a sentence" {
	mkdir "$L/a"
	head -c 300000 "$TEST_DIR/tree.tar.zst" >"$T/cut"
	cat "$T/cut" >"$L/a/tarball" || : # how much of it there is shows only at the end
	wait_for '[ "$(prop .layers/a state)" = empty ]'
	[[ "$(prop .layers/a error)" == *"cut off"* ]]
	put .layers/a/tarball 'no archive at all' || :
	wait_for '[ "$(prop .layers/a state)" = empty ]'
	[[ "$(prop .layers/a error)" == *InvalidValue* ]]
	cat "$TEST_DIR/tree.tar.zst" >"$L/a/tarball"
	prop_is .layers/a state ready
	prop_is .layers/a error ''
}

@test "merge: over what is there, or from the beginning" {
	layer_new a
	put .layers/a/merge "$TEST_DIR/tree.tar.zst"
	prop_is .layers/a state ready
	mkdir "$T/more" && echo two >"$T/more/two" && tar -C "$T/more" -cf "$T/more.tar" .
	put .layers/a/merge "$T/more.tar"
	[ "$(<"$PLACE/porto_layers/a/two")" = two ]
	[ "$(<"$PLACE/porto_layers/a/etc/one")" = one ]
	vol_build layers=a
	want_error Busy put .layers/a/merge "$T/more.tar"
	vol_destroy "$VOL"
}

@test "whiteouts of AUFS and OCI become overlayfs's" {
	mkdir -p "$T/t/d" && touch "$T/t/d/.wh..wh..opq" "$T/t/.wh.etc" && tar -C "$T/t" -cf "$T/t.tar" .
	layer_new a "$T/t.tar"
	[ "$(stat -c '%F %t:%T' "$PLACE/porto_layers/a/etc")" = 'character special file 0:0' ]
	[ "$(getfattr --only-values -n trusted.overlay.opaque "$PLACE/porto_layers/a/d")" = y ]
}

@test "names, paths and states that can't be are refused by kind, and nothing is left" {
	local name
	for name in _tmp_x _import_x _remove_x _private_x _meta_x _layer_x 'a b' %x; do
		want_error InvalidValue mkdir "$L/$name"
	done
	layer_new a
	want_errno EEXIST mkdir "$L/a"
	want_error InvalidPath put .layers/a/import tree.tar
	want_error InvalidPath put .layers/a/import "$TEST_DIR/../x"
	want_error InvalidPath put .layers/a/import "$TEST_DIR/none"
	want_error InvalidPath put .layers/a/import "$TEST_DIR"
	mkfifo "$T/fifo"
	want_error InvalidPath put .layers/a/import "$T/fifo"
	want_error LayerNotFound put .layers/a/export "$T/x.tar"
	put .layers/a/import "$TEST_DIR/tree.tar"
	want_error LayerAlreadyExists put .layers/a/import "$TEST_DIR/tree.tar"
	want_error InvalidValue put .layers/a/export "$T/x"
	want_error InvalidPath put .layers/a/export "$T/none/x.tar"
	touch "$T/x.tar"
	want_error InvalidValue put .layers/a/export "$T/x.tar"
	[ ! -s "$T/x.tar" ]
	want_errno ENOENT rmdir "$L/none"
	want_errno EACCES put .layers/a/state ready
	put .layers/a/private short
	! put .layers/a/private "$(printf '%05000d' 0)" || fail 'too long a text'
	prop_is .layers/a private short
}

@test "hostile archives are refused, and leave nothing" {
	mkdir "$T/h" "$T/h2"
	(
		cd "$T/h"
		echo x >a && ln a b && ln -s /etc l
		tar -P --transform 's|^a$|../../outside|' -cf "$T/dots.tar" a
		tar -P --transform 'flags=rh;s|^a$|../../../etc/passwd|' -cf "$T/hard.tar" a b
		tar -cf "$T/through.tar" l
		cd "$T/h2"
		mkdir l && echo x >l/outside && tar -rf "$T/through.tar" l/outside
	)
	local name
	for name in dots through hard; do
		layer_new "$name"
		! put ".layers/$name/import" "$T/$name.tar" || [ "$name" = through ] || fail "$name is taken"
	done
	[ ! -e /etc/outside ] && [ ! -e "$PLACE/outside" ]
}

@test "owner and private text: kept beside the tree, changed by the owner alone" {
	as daemon mkdir "$L/a"
	as daemon put .layers/a/private 'of mine'
	as daemon put .layers/a/import "$TEST_DIR/tree.tar"
	prop_is .layers/a owner_user daemon
	prop_is .layers/a private 'of mine'
	[ "$(stat -c %U "$L/a")" = daemon ]
	[ "$(stat -c %U "$PLACE/porto_layers/_private_a")" = daemon ]
	[ "$(<"$PLACE/porto_layers/_private_a")" = 'of mine' ]
	want_errno EACCES as games put .layers/a/private 'of yours'
	want_error Permission as games rmdir "$L/a"
	want_errno EACCES as games put .layers/a/merge "$TEST_DIR/tree.tar"
	as daemon put .layers/a/private 'and more'
	prop_is .layers/a private 'and more'
	chown games "$L/a"
	prop_is .layers/a owner_user games
	want_error Permission as daemon rmdir "$L/a"
	daemon_restart
	wait_for '[ -e "$L/a" ]'
	prop_is .layers/a owner_user games
	prop_is .layers/a private 'and more'
	as games rmdir "$L/a"
}

@test "chown of what is gone, by who still stands in it, says so and hurts nobody" {
	worker=$(worker_pid)
	vol_new
	mkdir "$PORTO_ROOT/.layers/gone" "$PORTO_ROOT/.storages/gone"
	for dir in .layers/gone .storages/gone ".volumes/$VOL"; do
		cd "$PORTO_ROOT/$dir"
		rmdir "$PORTO_ROOT/$dir"
		want_errno ENOENT perl -e 'chown(5, -1, ".") or die "$!\n"'
	done
	cd /
	[ "$(worker_pid)" = "$worker" ]
}

@test "an archive is read and written with the rights of who asks" {
	T=$TEST_DIR/rights
	mkdir "$T"
	install -m 600 "$TEST_DIR/tree.tar" "$T/mine.tar"
	mkdir -m 700 "$T/closed"
	as daemon mkdir "$L/a"
	want_error Permission as daemon put .layers/a/import "$T/mine.tar"
	ln -s "$TEST_DIR/tree.tar" "$T/link.tar"
	want_error InvalidPath as daemon put .layers/a/import "$T/link.tar"
	as daemon put .layers/a/import "$TEST_DIR/tree.tar"
	want_error Permission as daemon put .layers/a/export "$T/x.tar"
	want_error Permission as daemon put .layers/a/export "$T/closed/x.tar"
	install -d -o daemon "$T/own"
	as daemon put .layers/a/export "$T/own/x.tar"
	[ "$(stat -c %U "$T/own/x.tar")" = daemon ]
	want_errno EACCES outsider nobody mkdir "$L/b"
	! outsider nobody cat "$L/a/tarball" || fail 'a stranger reads a layer'
	as games cat "$L/a/tarball" >/dev/null
}

# memory_of PID: the path of its memory cgroup.
memory_of() {
	sed -n 's/^[0-9]*:memory://p; s/^0:://p' "/proc/$1/cgroup" | head -n 1
}

@test "the memory of imports is that of the daemon's helpers, or of the container that is named" {
	layer_new a
	(head -c 100000 "$TEST_DIR/rest.tar.zst" && wait_for '[ -e "$T/go" ]' && tail -c +100001 "$TEST_DIR/rest.tar.zst") >"$L/a/tarball" &
	wait_for 'pgrep -o -P "$(worker_pid)" porto-store >"$T/pid"'
	wait_for '[[ $(memory_of "$(<"$T/pid")") == *"/$TEST_CGROUP/.helpers"* ]]'
	[ -z "$(cat "$PORTO_ROOT/.porto/leaks")" ]
	touch "$T/go"
	wait $!
	ct_start payer command='sleep 1000'
	as daemon mkdir "$L/b"
	want_error Permission as daemon put .layers/b/charge payer
	want_error ContainerDoesNotExist put .layers/b/charge nobody
	put .layers/b/charge payer
	kill_worker
	prop_is .layers/b charge payer
	rm "$T/go"
	(head -c 100000 "$TEST_DIR/rest.tar.zst" && wait_for '[ -e "$T/go" ]' && tail -c +100001 "$TEST_DIR/rest.tar.zst") >"$L/b/tarball" &
	wait_for 'pgrep -o -P "$(worker_pid)" porto-store >"$T/pid"'
	wait_for '[[ $(memory_of "$(<"$T/pid")") == *"/$TEST_CGROUP/payer"* ]]'
	touch "$T/go"
	wait $!
	want_error InvalidState put .layers/b/charge payer
	layer_new c
	put .layers/c/charge payer
	put payer/state stop
	want_error InvalidState put .layers/c/import "$TEST_DIR/tree.tar"
	put .layers/c/charge ''
	put .layers/c/import "$TEST_DIR/tree.tar"
}

@test "a storage: filled, used by one volume, its owner's alone" {
	local S=$PORTO_ROOT/.storages
	as daemon mkdir "$S/s"
	as daemon put .storages/s/import "$TEST_DIR/tree.tar"
	same "$TEST_DIR/tree" "$PLACE/porto_storage/s"
	! as games cat "$S/s/tarball" >/dev/null || fail "somebody else's data"
	as daemon cat "$S/s/tarball" | tar t | grep -qx ./etc/one
	want_error NotSupported as daemon put .storages/s/merge "$TEST_DIR/tree.tar"
	vol_build storage=s backend=plain
	want_error Busy rmdir "$S/s"
	want_error Busy put .storages/s/export "$T/x.tar"
	echo new >"$VOL_PATH/new"
	vol_destroy "$VOL"
	[ "$(<"$PLACE/porto_storage/s/new")" = new ]
	as daemon rmdir "$S/s"
	wait_for '[ ! -e "$PLACE/porto_storage/s" ]'
	vol_build storage=t backend=plain
	prop_is .storages/t state ready
	want_error Busy rmdir "$S/t"
	vol_destroy "$VOL"
	prop_is .storages/t state ready
}

@test "a meta-storage: parts of both kinds, limits where there is project quota, removed only when empty" {
	local S=$PORTO_ROOT/.storages
	want_error VolumeNotFound mkdir "$S/m%a"
	as daemon mkdir "$S/m%"
	want_errno EEXIST mkdir "$S/m%"
	want_error InvalidValue mkdir "$S/m%n%"
	want_error Permission as games mkdir "$S/m%a"
	as daemon mkdir "$S/m%a" "$L/m%l"
	as daemon put '.storages/m%a/import' "$TEST_DIR/tree.tar"
	as daemon put '.layers/m%l/import' "$TEST_DIR/tree.tar"
	same "$TEST_DIR/tree" "$PLACE/porto_storage/_meta_m/a"
	same "$TEST_DIR/tree" "$PLACE/porto_storage/_meta_m/_layer_l"
	want_error Busy as daemon rmdir "$S/m%"
	vol_build 'layers=m/l' storage=m/new
	echo x >"$VOL_PATH/x"
	want_error Busy rmdir "$L/m%l"
	vol_destroy "$VOL"
	[[ "$(cat "$S/list")" == *"m%	$PLACE	ready	daemon	daemon	"* ]]
	as daemon rmdir "$S/m%a" "$L/m%l"
	want_error Busy rmdir "$S/m%" # what the volume has left
	kill_worker
	prop_is '.storages/m%' owner_user daemon
	wait_for '[ -e "$S/m%new" ]'
	rmdir "$S/m%new"
	wait_for '[ ! -e "$PLACE/porto_storage/_meta_m/new" ]'
	want_error InvalidValue as daemon put '.storages/m%/space_limit' much
	grep -q "^project quota of $PLACE: yes" "$PORTO_ROOT/.porto/features" || want_error NotSupported put '.storages/m%/space_limit' 64M
}

@test "a meta-storage's limits hold for its parts together" {
	local S=$PORTO_ROOT/.storages at=${TEST_DIR//\//%}%small%%
	truncate -s 1G "$T/fs.img"
	mkfs.ext4 -qF -O quota,project -E quotatype=prjquota "$T/fs.img"
	mkdir "$TEST_DIR/small"
	mount -o loop,prjquota "$T/fs.img" "$TEST_DIR/small" 2>/dev/null || { rmdir "$TEST_DIR/small"; skip 'no project quota here'; }
	mkdir "$S/${at}m%"
	put ".storages/${at}m%/space_limit" 64M
	put ".storages/${at}m%/inode_limit" 1000
	prop_is ".storages/${at}m%" space_limit 67108864
	mkdir "$S/${at}m%b" "$L/${at}m%l"
	put ".layers/${at}m%l/import" "$TEST_DIR/tree.tar"
	want_error NoSpace put ".storages/${at}m%b/import" "$TEST_DIR/rest.tar.zst"
	put ".storages/${at}m%/space_limit" 1G
	put ".storages/${at}m%b/import" "$TEST_DIR/rest.tar.zst"
	put .volumes/cleanup "$TEST_DIR/small"
	[ "$(prop ".storages/${at}m%" space_used)" -gt 100000000 ]
	prop_is ".storages/${at}m%" inode_limit 1000
	kill_worker
	prop_is ".storages/${at}m%" space_limit 1073741824
	rmdir "$S/${at}m%b" "$L/${at}m%l"
	wait_for 'rmdir "$S/${at}m%"'
}

@test "in use: a layer stays while a volume stands on it; weak ones go with their last volume" {
	layer_new a "$TEST_DIR/tree.tar"
	layer_new _weak_b "$TEST_DIR/tree.tar"
	vol_build 'layers=_weak_b;a'
	[ "$(<"$VOL_PATH/etc/one")" = one ]
	want_error Busy rmdir "$L/a"
	want_error Busy rmdir "$L/_weak_b"
	vol_destroy "$VOL"
	wait_for '[ ! -e "$L/_weak_b" ]'
	[ -e "$L/a" ]
	layer_new _weak_c "$TEST_DIR/tree.tar"
	kill_worker
	[ -e "$L/_weak_c" ]
	daemon_restart
	wait_for '[ ! -e "$L/_weak_c" ]'
	[ -e "$L/a" ]
}

@test "another place is named, and keeps what is in it" {
	local other=$TEST_DIR/other name
	mkdir -p "$other"
	name=${other//\//%}%%a
	mkdir "$L/$name"
	put ".layers/$name/import" "$TEST_DIR/tree.tar"
	prop_is ".layers/$name" place "$other"
	same "$TEST_DIR/tree" "$other/porto_layers/a"
	[ ! -e "$L/a" ]
	[[ "$(ls "$L")" == *"$name"* ]]
	want_error Permission as daemon mkdir "$L/${name}2"
	want_error Permission as daemon mkdir "$PORTO_ROOT/.storages/${name}m%"
	! as daemon cat "$L/$name/tarball" >/dev/null || fail 'a user reads what is in a place of root'
	want_error InvalidPath mkdir "$PORTO_ROOT/.storages/${PORTO_ROOT//\//%}%%m%"
	rmdir "$L/$name"
	wait_for '[ -z "$(ls -A "$TEST_DIR/other/porto_layers")" ]'
	want_error InvalidPath mkdir "$L/%etc%%a"
	rm -r "$other"
}

@test "cleanup: halves and loose files of a place go, layers and what others work on stay" {
	layer_new a "$TEST_DIR/tree.tar"
	mkdir -p "$PLACE/porto_layers/_import_x/d" "$PLACE/porto_layers/_tmp_y" "$PLACE/porto_layers/_remove_z/d" "$PLACE/porto_volumes/12345/volume"
	touch "$PLACE/porto_layers/loose"
	mkdir "$PLACE/porto_layers/_import_busy"
	exec 9<"$PLACE/porto_layers/_import_busy"
	flock 9
	put .volumes/cleanup "$PLACE"
	[ "$(ls -A "$PLACE/porto_layers" | sort | tr '\n' ' ')" = '_import_busy _private_a a ' ]
	[ -z "$(ls "$PLACE/porto_volumes")" ]
	exec 9<&-
	put .volumes/cleanup ''
	[ ! -e "$PLACE/porto_layers/_import_busy" ]
	ln -s /etc "$T/porto_layers"
	put .volumes/cleanup "$T"
	[ -e /etc/passwd ]
	want_error InvalidPath put .volumes/cleanup /etc
	# a place of somebody else's, who may come again
	mkdir -p "$TEST_DIR/foreign/porto_volumes/5/data"
	put .volumes/cleanup "$TEST_DIR/foreign"
	[ -e "$TEST_DIR/foreign/porto_volumes/5/data" ]
}

@test "layers that were put there by hand are found" {
	layer_new a "$TEST_DIR/tree.tar"
	cp -a "$PLACE/porto_layers/a" "$PLACE/porto_layers/byhand"
	wait_for '[ -e "$L/byhand" ]'
	prop_is .layers/byhand state ready
	rm -r "$PLACE/porto_layers/byhand"
	wait_for '[ ! -e "$L/byhand" ]'
}

@test "no room in the middle: the error says so, and nothing of it is left" {
	local name=${TEST_DIR//\//%}%small%%a
	mkdir "$TEST_DIR/small"
	mount -t tmpfs -o size=8M none "$TEST_DIR/small"
	mkdir "$L/$name"
	want_error NoSpace put ".layers/$name/import" "$TEST_DIR/rest.tar.zst"
	prop_is ".layers/$name" state empty
	[ -z "$(ls -A "$TEST_DIR/small/porto_layers")" ]
	want_errno ENOSPC eval "cat '$TEST_DIR/rest.tar.zst' >'$L/$name/tarball'"
	wait_for '[ -z "$(ls -A "$TEST_DIR/small/porto_layers")" ]'
	layer_new a "$TEST_DIR/tree.tar"
	head -c 8M /dev/zero >"$TEST_DIR/small/full" 2>/dev/null || :
	want_error NoSpace put ".layers/a/export" "$TEST_DIR/small/y.tar"
	[ "$(find "$TEST_DIR/small" -name '*tar*' | wc -l)" = 0 ]
}

@test "rmdir in the middle of an import stops it, and the name is free at once" {
	layer_new a
	put .layers/a/import "$TEST_DIR/rest.tar.zst" 2>/dev/null &
	wait_for '[ "$(prop .layers/a state)" = importing ]'
	want_error Busy put .layers/a/import "$TEST_DIR/tree.tar"
	rmdir "$L/a"
	! wait $! || fail 'it says that all went well'
	layer_new a "$TEST_DIR/tree.tar"
	same "$TEST_DIR/tree" "$PLACE/porto_layers/a"
}

@test "a client that is interrupted in the middle of a tarball leaves the name empty" {
	layer_new a
	(head -c 1M "$TEST_DIR/tree.tar"; exec sleep 100) >"$L/a/tarball" &
	wait_for '[ "$(cat /proc/$!/comm)" = sleep ]'
	prop_is .layers/a state importing
	kill $!
	wait $! || :
	wait_for '[ "$(prop .layers/a state)" = empty ]'
}

# Like wait; what does not end is shown with what the daemon has of it.
ended() {
	wait_for "! kill -0 $1 2>/dev/null" || {
		tail -n 20 "$TEST_DIR"/state/jobs/* "$TEST_DIR/log" >&2
		timeout 2 cat "$L/a/state" "$L/a/error" >&2
		pgrep -af "$TEST_DIR|porto-store" >&2
		kill -9 "$1"
		return 1
	}
	wait "$1"
}

@test "kill -9 of the worker in the middle of an import, from a path and through a pipe: it ends as if nothing had been" {
	local job
	for _ in 1 2 3; do
		layer_new a
		put .layers/a/import "$TEST_DIR/rest.tar.zst" & job=$!
		kill_worker
		kill_worker
		ended "$job"
		diff -r "$TEST_DIR/rest" "$PLACE/porto_layers/a"
		rmdir "$L/a"
		layer_new a
		cat "$TEST_DIR/rest.tar.zst" >"$L/a/tarball" & job=$!
		sleep 0.02
		kill_worker
		kill_worker
		ended "$job"
		diff -r "$TEST_DIR/rest" "$PLACE/porto_layers/a"
		cat "$L/a/tarball[tar]" >"$T/out" & job=$!
		kill_worker
		kill_worker
		ended "$job"
		tar -C "$TEST_DIR/rest" -df "$T/out"
		put .layers/a/export "$T/out.tar" & job=$!
		kill_worker
		ended "$job"
		tar -C "$TEST_DIR/rest" -df "$T/out.tar"
		rm "$T/out.tar"
		[ "$(ls -A "$T")" = out ]
		rmdir "$L/a"
	done
}

@test "kill -9 of porto-store: the error says so, nothing is left, and the name can be used" {
	layer_new a
	(head -c 100000 "$TEST_DIR/rest.tar.zst" && wait_for '[ -e "$T/killed" ]' && tail -c +100001 "$TEST_DIR/rest.tar.zst") >"$L/a/tarball" 2>/dev/null &
	wait_for 'pgrep -o -P "$(worker_pid)" porto-store >"$T/pid"'
	kill -9 "$(<"$T/pid")"
	touch "$T/killed"
	! wait $! || fail 'it says that all went well'
	wait_for '[ "$(prop .layers/a state)" = empty ]'
	error_says .layers/a 'porto-store has'
	put .layers/a/import "$TEST_DIR/tree.tar" || fail "$(prop .layers/a error)"
	same "$TEST_DIR/tree" "$PLACE/porto_layers/a"
}

@test "a volume as an archive: of overlay what was changed, else all of it" {
	layer_new a "$TEST_DIR/tree.tar"
	vol_build layers=a
	echo new >"$VOL_PATH/new"
	rm "$VOL_PATH/etc/one"
	put ".volumes/$VOL/export" "$T/delta.tar.zst"
	[ "$(zstd -dc "$T/delta.tar.zst" | tar t | sort | tr '\n' ' ')" = './ ./etc/ ./etc/one ./new ' ]
	[ "$(getfattr --only-values -n user.porto.md5sum "$T/delta.tar.zst")" = "$(md5sum <"$T/delta.tar.zst" | cut -d' ' -f1)" ] ||
		[ "$(getfattr --only-values -n user.porto.md5sum "$T/delta.tar.zst")" = "$(zstd -dc "$T/delta.tar.zst" | md5sum | cut -d' ' -f1)" ]
	want_error InvalidValue put ".volumes/$VOL/export" "$T/delta.tar.zst"
	layer_new b "$T/delta.tar.zst"
	vol_destroy "$VOL"
	vol_build 'layers=b;a'
	[ "$(<"$VOL_PATH/new")" = new ]
	[ ! -e "$VOL_PATH/etc/one" ]
	[ "$(<"$VOL_PATH/etc/same")" = one ]
	vol_destroy "$VOL"
	vol_build backend=plain
	echo all >"$VOL_PATH/all"
	put ".volumes/$VOL/export" "$T/all.tar"
	tar tf "$T/all.tar" | grep -qx ./all
	vol_destroy "$VOL"
}

@test "a place that does not answer holds up nobody but those who need it, also when the worker begins anew" {
	local dir=$TEST_DIR/dead at=${TEST_DIR//\//%}%dead%% S=$PORTO_ROOT/.storages name
	mkdir "$dir"
	for name in a b c; do layer_new "$at$name" "$TEST_DIR/tree.tar"; done
	hang_on "$dir"
	echo text >"$L/${at}a/private"
	chown daemon "$L/${at}a"
	prop_is ".layers/${at}a" private text
	rmdir "$L/${at}b"
	[ ! -e "$L/${at}b" ]
	grep -qxF ".layers/${at}b" "$PORTO_ROOT/.porto/destroying"
	mkdir "$S/${at}m%" "$L/${at}d"
	put ".layers/${at}d/import" "$TEST_DIR/tree.tar" 2>/dev/null & local import=$!
	put "$(printf '.storages/%sm%%/space_limit' "$at")" 1G 2>/dev/null & local limit=$!
	echo "$dir" >"$PORTO_ROOT/.volumes/cleanup" 2>/dev/null & local cleanup=$!
	local builds=()
	for name in {1..20}; do
		vol_new "place=$dir"
		put ".volumes/$VOL/state" build 2>/dev/null & builds+=($!)
	done
	sleep 1
	for name in 1 2; do
		timeout 5 cat "$PORTO_ROOT/.porto/version" "$L/list" "$PORTO_ROOT/.porto/leaks" >/dev/null
		layer_new "x$name" "$TEST_DIR/tree.tar"
		vol_build "layers=x$name"
		vol_destroy "$VOL"
		rmdir "$L/x$name"
		wait_for '[ -z "$(ls "$PLACE/porto_layers")" ]'
		[ "$name" = 2 ] || kill_worker
	done
	prop_is ".layers/${at}a" private text
	kill -0 "$import" "$limit" "$cleanup"
	hang_end "$dir"
	wait "$import" "$limit" "$cleanup" "${builds[@]}" || :
	vols_destroy
	wait_for '[ "$(prop ".layers/${at}a" state)" = ready ]'
	for name in "$L/$at"* "$S/$at"*; do rmdir "$name"; done
	wait_for '[ -z "$(find "$dir" -mindepth 2 ! -name .porto)" ]'
	rm -r "$dir"
}

@test "a layer that is made anew right behind the removal of the old one is the new one" {
	local i
	for i in {1..20}; do
		layer_new a "$TEST_DIR/tree.tar"
		rmdir "$L/a"
		[ "$i" != 10 ] || kill_worker
	done
	layer_new a "$TEST_DIR/tree.tar"
	vol_build layers=a
	vol_destroy "$VOL"
	rmdir "$L/a"
	want_error LayerNotFound vol_build layers=a
}

@test "a thousand empty layers are removed, and none comes back with the next worker" {
	local dir i
	mkdir -p "$PLACE/porto_layers"
	for i in {1..1000}; do mkdir "$PLACE/porto_layers/e$i"; done
	wait_for '[ "$(find "$L" -mindepth 1 -maxdepth 1 -name "e*" | wc -l)" = 1000 ]'
	for dir in "$L"/e*; do echo "$dir"; done | xargs -n 500 rmdir
	wait_for '[ -z "$(ls -A "$PLACE/porto_layers")" ]'
	[ "$(ls "$STATE_DIR/jobs" | wc -l)" = 0 ]
	kill_worker
	[ "$(find "$L" -mindepth 1 -maxdepth 1 -name 'e*' | wc -l)" = 0 ]
}

@test "a link named like a meta-storage is not followed" {
	local S=$PORTO_ROOT/.storages
	mkdir -p "$PLACE/porto_storage" "$T/elsewhere/_layer_l"
	ln -s "$T/elsewhere" "$PLACE/porto_storage/_meta_m"
	want_errno ELOOP vol_build storage=m/a
	want_error LayerNotFound vol_build layers=m/l
	[ "$(ls -A "$T/elsewhere")" = _layer_l ]
	rm "$PLACE/porto_storage/_meta_m"
}

@test "what is mounted in something that is to be removed is named as a leak and unmounted" {
	mkdir -p "$PLACE/porto_layers/_remove_x/in/there" "$T/precious/deep"
	touch "$T/precious/file"
	mount --bind "$T/precious" "$PLACE/porto_layers/_remove_x/in/there"
	mount -t tmpfs none "$PLACE/porto_layers/_remove_x/in/there/deep"
	wait_for 'grep -q "^mount $PLACE/porto_layers/_remove_x/in/there" "$PORTO_ROOT/.porto/leaks" || [ ! -e "$PLACE/porto_layers/_remove_x" ]'
	echo >"$PORTO_ROOT/.volumes/cleanup"
	[ ! -e "$PLACE/porto_layers/_remove_x" ]
	run ! grep "$PLACE/porto_layers" /proc/self/mounts
	[ -e "$T/precious/file" ]
}

@test "portod stop --containers ends what is at work, and leaves no cgroup" {
	layer_new a
	(head -c 1M "$TEST_DIR/tree.tar"; exec sleep 100) >"$L/a/tarball" 2>/dev/null 3>&- &
	wait_for '[ "$(prop .layers/a state)" = importing ]'
	timeout "$((30 * PORTO_SLOW))" "${DAEMON[@]}" stop --containers
	[ -z "$(cgroup_roots)" ]
	kill $! 2>/dev/null || :
	wait $! || :
	daemon_up
	wait_for '[ ! -e "$PLACE/porto_layers/_import_a" ]'
	rm -f "$PLACE/porto_layers/_private_a" # it may be of somebody who begins: it stays for a minute
}
