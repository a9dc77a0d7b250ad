#!/usr/bin/env bats
# Volumes and containers: links with and without targets, what needs a volume, what ends with what, who sees and may do what.
# Not in the guest, which is slow (`make check-vm` runs it there): mounts that volumes.bats makes as well.
#
# shellcheck disable=SC2016,SC2030,SC2031 # a test is a process of its own; conditions of wait_for, shells in containers

bats_require_minimum_version 1.5.0
load helpers

setup() {
	DIR=$TEST_DIR/t$BATS_TEST_NUMBER
	mkdir -p "$DIR"
}

teardown() {
	destroy_all
	no_leaks
	[ ! -e "$DIR/root/usr" ] || umount -R "$DIR/root"
	rm -rf --one-file-system "$DIR"
}

V() {
	prop ".volumes/$VOL" "$1"
}

vol_is() {
	prop_is ".volumes/$VOL" "$1" "$2"
}

# mounted PATH [OPTION...]: something is mounted exactly there, with these options.
mounted() {
	local options word
	options=$(awk -v p="$1" '$2 == p { print $4 }' /proc/self/mounts | tail -n 1)
	[ -n "$options" ] || fail "nothing is mounted at $1" || return
	for word in "${@:2}"; do
		[[ ,$options, == *,$word,* ]] || fail "$1: options '$options', expected $word" || return
	done
}

not_mounted() {
	! grep -qF " $1 " /proc/self/mounts || fail "mounted: $1"
}

denied() {
	! "$@" 2>/dev/null || fail "done: $*"
}

# root_new: a root for containers in $DIR/root, with the host's programs.
root_new() {
	local d
	mkdir -p "$DIR/root"
	mount --bind "$DIR/root" "$DIR/root"
	mount --make-private "$DIR/root"
	mount --make-shared "$DIR/root"
	for d in usr bin lib lib64 etc; do
		if [ -L "/$d" ]; then
			ln -s "$(readlink "/$d")" "$DIR/root/$d"
		else
			mkdir "$DIR/root/$d"
			mount --bind -o ro "/$d" "$DIR/root/$d"
		fi
	done
	mkdir "$DIR/root"/{tmp,porto,proc,dev,sys,run}
}

# ---- links ----

@test "link: a tree that takes mounts along is not linked into itself by a user" {
	mkdir -p "$TEST_DIR/self"/{a,b,o}
	chown -R games "$TEST_DIR/self"
	VOL=$(cat "$PORTO_ROOT/.volumes/next") && as games vol_build "path=$TEST_DIR/self/o" backend=dir
	mkdir "$TEST_DIR/self/o/in"
	chown games "$TEST_DIR/self/o/in"
	want_error InvalidPath as games put ".volumes/$VOL/link" "/ $TEST_DIR/self/o/in"
	as games put ".volumes/$VOL/link" "/ $TEST_DIR/self/a"
	vol_destroy "$VOL"
	VOL=$(cat "$PORTO_ROOT/.volumes/next") && as games vol_build "storage=$TEST_DIR/self" backend=rbind
	want_error InvalidPath as games put ".volumes/$VOL/link" "/ $TEST_DIR/self/b"
	vol_destroy "$VOL"
	rm -r "$TEST_DIR/self"
}

@test "link: without target a hold, with one a mount below the container's root; read-only if asked" {
	mkdir "$DIR/root"
	ct_new a "root=$DIR/root"
	vol_build
	echo data >"$VOL_PATH/file"
	put ".volumes/$VOL/link" a
	vol_is containers '/;a'
	put ".volumes/$VOL/link" 'a /deep/down'
	mounted "$DIR/root/deep/down" nodev rw
	[ "$(cat "$DIR/root/deep/down/file")" = data ]
	touch "$DIR/root/deep/down/more"
	put ".volumes/$VOL/link" 'a /ro ro'
	mounted "$DIR/root/ro" nodev ro
	denied touch "$DIR/root/ro/x"
	put ".volumes/$VOL/link" "/ $DIR/on-host"
	[ -e "$DIR/on-host/more" ]
	vol_is containers "/;a;a /deep/down;a /ro ro;/ $DIR/on-host"
	prop_is a volumes_linked "$VOL_PATH;$VOL_PATH /deep/down;$VOL_PATH /ro ro"
	# what can't be
	want_errno EEXIST put ".volumes/$VOL/link" 'a /ro'
	error_says 'VolumeAlreadyLinked:('
	want_errno EEXIST put ".volumes/$VOL/link" a
	want_errno ENOENT put ".volumes/$VOL/link" nosuch
	error_says 'ContainerDoesNotExist:('
	want_errno EINVAL put ".volumes/$VOL/link" 'a relative'
	want_errno EINVAL put ".volumes/$VOL/link" 'a ../up'
	want_errno EINVAL put ".volumes/$VOL/link" 'a /x/../y'
	error_says 'InvalidPath:('
	want_errno EINVAL put ".volumes/$VOL/link" 'a /'
	want_errno EINVAL put ".volumes/$VOL/link" 'a /x ro ro'
	# the target is taken, by whatever volume
	vol_build backend=tmpfs space_limit=1M
	want_errno EBUSY put ".volumes/$VOL/link" 'a /ro'
	error_says 'Busy:(target /ro'
	vol_is containers /
	[ ! -e "$DIR/root/x" ]
}

@test "unlink: one link, all of a container, the last one destroys; *** of all at once" {
	mkdir "$DIR/root"
	ct_new a "root=$DIR/root"
	vol_build
	put ".volumes/$VOL/link" 'a /one'
	put ".volumes/$VOL/link" 'a /two'
	put ".volumes/$VOL/link" a
	want_errno ENOENT put ".volumes/$VOL/unlink" 'a /three'
	error_says 'VolumeNotLinked:('
	want_errno ENOENT put ".volumes/$VOL/unlink" nosuch
	error_says 'ContainerDoesNotExist:('
	put ".volumes/$VOL/unlink" 'a /one'
	not_mounted "$DIR/root/one"
	vol_is containers '/;a /two;a'
	put ".volumes/$VOL/unlink" 'a -'
	vol_is containers '/;a /two'
	put ".volumes/$VOL/link" a
	put ".volumes/$VOL/unlink" 'a ***'
	not_mounted "$DIR/root/two"
	vol_is containers /
	want_errno ENOENT put ".volumes/$VOL/unlink" a
	put ".volumes/$VOL/unlink" /
	[ ! -e "$PORTO_ROOT/.volumes/$VOL" ]
	no_leaks
	vol_build
	put ".volumes/$VOL/link" 'a /one'
	put ".volumes/$VOL/unlink" '***'
	[ ! -e "$PORTO_ROOT/.volumes/$VOL" ]
	no_leaks
}

@test "unlink strict: refused while it is in use, while there are other links, and while volumes are in it" {
	vol_build
	local outer=$VOL path=$VOL_PATH pid
	put ".volumes/$outer/link" "/ $DIR/target"
	want_errno EBUSY put ".volumes/$outer/unlink" "/ $DIR/target strict"
	put ".volumes/$outer/unlink" '/ -'
	sleep 1000 3>&- 4>&- 5<"$DIR/target" &
	pid=$!
	want_errno EBUSY put ".volumes/$outer/unlink" "/ $DIR/target strict"
	error_says 'Busy:('
	mounted "$DIR/target"
	kill "$pid"
	wait "$pid" || :
	mkdir "$path/inner"
	vol_build backend=tmpfs space_limit=1M "path=$path/inner"
	want_errno EBUSY put ".volumes/$outer/unlink" "/ $DIR/target strict"
	error_says "volume $VOL is in it"
	vol_destroy "$VOL"
	put ".volumes/$outer/unlink" "/ $DIR/target strict"
	[ ! -e "$PORTO_ROOT/.volumes/$outer" ]
}

@test "links/: a file a link, written it links, removed it unlinks" {
	mkdir "$DIR/root"
	ct_new a "root=$DIR/root"
	ct_new a/b
	vol_build
	[ "$(ls "$PORTO_ROOT/.volumes/$VOL/links")" = % ]
	echo /data >"$PORTO_ROOT/.volumes/$VOL/links/a"
	echo '/more ro' >"$PORTO_ROOT/.volumes/$VOL/links/a"
	echo /inner >"$PORTO_ROOT/.volumes/$VOL/links/a%b"
	[ "$(ls "$PORTO_ROOT/.volumes/$VOL/links")" = %$'\na\na%b\na+1' ]
	[ "$(cat "$PORTO_ROOT/.volumes/$VOL/links/a" "$PORTO_ROOT/.volumes/$VOL/links/a+1")" = $'/data\n/more ro' ]
	mounted "$DIR/root/more" ro
	want_errno ENOENT cat "$PORTO_ROOT/.volumes/$VOL/links/nosuch"
	want_errno ENOENT put ".volumes/$VOL/links/nosuch" /x
	rm "$PORTO_ROOT/.volumes/$VOL/links/a+1"
	wait_for '! grep -qF "$DIR/root/more" /proc/self/mounts'
	rm "$PORTO_ROOT/.volumes/$VOL/links/a%b" "$PORTO_ROOT/.volumes/$VOL/links/a"
	wait_for '[ "$(V containers)" = / ]'
	want_errno EPERM rm "$PORTO_ROOT/.volumes/$VOL/space_limit"
	rm "$PORTO_ROOT/.volumes/$VOL/links/%"
	vols_destroy_waits
}

vols_destroy_waits() {
	wait_for 'grep -qx "volumes 0" "$PORTO_ROOT/.porto/stat"'
}

@test "links it begins with: all are there when it is built, or none is and neither is the volume" {
	mkdir "$DIR/root" "$DIR/other"
	ct_new a "root=$DIR/root"
	ct_new b "root=$DIR/other"
	vol_build 'containers=a /data;b /data ro;/'
	vol_is containers 'a /data;b /data ro;/'
	mounted "$DIR/root/data" rw
	mounted "$DIR/other/data" ro
	vol_new 'containers=a /new;a /data'
	want_errno EBUSY put ".volumes/$VOL/state" build
	vol_is state initial
	not_mounted "$DIR/root/new"
	put ".volumes/$VOL/containers" "/ $PORTO_ROOT/a/data"
	want_errno EINVAL put ".volumes/$VOL/state" build
	error_says 'InvalidPath:(target'
	touch "$DIR/other/file"
	put ".volumes/$VOL/containers" 'a /new;b /file'
	want_errno ENOTDIR put ".volumes/$VOL/state" build
	error_says 'InvalidPath:('
	not_mounted "$DIR/root/new"
	put ".volumes/$VOL/containers" 'a /new;nosuch'
	want_errno ENOENT put ".volumes/$VOL/state" build
	put ".volumes/$VOL/containers" 'a /new'
	put ".volumes/$VOL/state" build
	mounted "$DIR/root/new" rw
}

@test "required: a container does not start without its volume, and is stopped when that goes" {
	root_new
	vol_build
	local need=$VOL
	ct_new a "root=$DIR/root" command='sleep 1000'
	put ".volumes/$need/link" 'a /data !'
	prop_is a volumes_required /data
	put a/state start
	prop_is a state running
	put ".volumes/$need/state" destroy
	state_is a stopped
	want_errno ENOENT put a/state start
	error_says a 'VolumeNotFound:(volumes_required'
	prop_is a volumes_required /data
	vol_build
	put ".volumes/$VOL/link" 'a /data'
	put a/state start
	put ".volumes/$VOL/unlink" 'a /data'
	prop_is a state running # only of a link that requires it
	put a/state stop
}

@test "a container with a root and a volume sees the data, and writes it" {
	root_new
	vol_build
	echo from-host >"$VOL_PATH/file"
	ct_new a "root=$DIR/root" command='sh -c "cat /data/file; echo inside > /data/new"'
	put ".volumes/$VOL/link" 'a /data'
	put a/state start
	prop_is a wait dead
	prop_is a stdout from-host
	[ "$(cat "$VOL_PATH/new")" = inside ]
	ct_new b "root=$DIR/root" command='sh -c "sleep 1; cat /late/file"'
	put b/state start
	put ".volumes/$VOL/link" 'b /late' # while it runs
	prop_is b wait dead
	prop_is b stdout from-host
}

@test "root can't change while volumes are mounted below it" {
	mkdir "$DIR/root" "$DIR/root2"
	ct_new a "root=$DIR/root"
	vol_build
	put ".volumes/$VOL/link" 'a /data'
	want_errno EBUSY put a/root "$DIR/root2"
	error_says a 'Busy:('
	ct_new a/b
	put ".volumes/$VOL/unlink" 'a /data'
	put ".volumes/$VOL/link" 'a/b /data'
	want_errno EBUSY put a/root "$DIR/root2"
	put ".volumes/$VOL/unlink" 'a/b /data'
	put a/root "$DIR/root2"
}

# ---- volumes in volumes, containers that go ----

@test "volumes in a volume go first, the newest first; their links too" {
	vol_build
	local outer=$VOL path=$VOL_PATH
	mkdir "$path"/{inner,storage,layer} "$DIR/root"
	vol_build backend=tmpfs space_limit=1M "path=$path/inner"
	mkdir "$VOL_PATH/deep"
	vol_build backend=bind "storage=$path/storage"
	vol_build backend=tmpfs space_limit=1M "path=$path/inner/deep"
	if ! grep -q '^overlay: missing' "$PORTO_ROOT/.porto/features"; then
		vol_build "layers=$path/layer"
	fi
	ct_new a "root=$DIR/root"
	put ".volumes/$VOL/link" 'a /data'
	vol_build
	put ".volumes/$outer/state" destroy
	[ "$(vol_ids)" = "$VOL" ]
	not_mounted "$DIR/root/data"
}

@test "unlink of a target takes the links mounted below it along" {
	mkdir "$DIR/root"
	ct_new a "root=$DIR/root"
	vol_build
	local upper=$VOL
	put ".volumes/$upper/link" 'a /data'
	vol_build backend=tmpfs space_limit=1M 'containers=a /data/below'
	mounted "$DIR/root/data/below"
	put ".volumes/$upper/unlink" 'a /data'
	not_mounted "$DIR/root/data/below"
	wait_for '[ "$(vol_ids)" = '"$upper"' ]' # which had no other link
}

@test "a container that goes: its links go, what it owned is its parent's" {
	mkdir "$DIR/root"
	ct_new a
	ct_new a/b "root=$DIR/root"
	vol_build owner_container=a/b 'containers=/;a/b /data'
	prop_is a/b volumes_owned "$VOL_PATH"
	prop_is a/b volumes_linked "$VOL_PATH /data"
	mounted "$DIR/root/data"
	rmdir "$PORTO_ROOT/a/b"
	wait_for '! grep -qF "$DIR/root/data" /proc/self/mounts'
	wait_for '[ "$(V containers)" = / ]'
	vol_is owner_container a
	prop_is a volumes_owned "$VOL_PATH"
	rmdir "$PORTO_ROOT/a"
	vol_is owner_container /
	# the last link goes with its container, and with it the volume
	ct_new c "root=$DIR/root"
	vol_build 'containers=c /data'
	ct_destroy c
	wait_for '[ ! -e "$PORTO_ROOT/.volumes/$VOL" ]'
	not_mounted "$DIR/root/data"
}

# ---- the view from inside ----

@test "inside: a container sees its own volumes, by its own paths, and makes some" {
	root_new
	mount --bind "$PORTO_ROOT" "$DIR/root/porto" 2>/dev/null || skip 'no bind of the tree'
	mkdir "$DIR/place"
	vol_build
	local hidden=$VOL
	vol_build
	echo data >"$VOL_PATH/file"
	ct_new a "root=$DIR/root" "place=$DIR/place"
	put ".volumes/$VOL/link" 'a /data'
	[ "$(cut -f1,2 "$PORTO_ROOT/a/.volumes/list")" = "$VOL_PATH"$'\t'"$VOL" ]
	[ "$(ls "$PORTO_ROOT/a/.volumes")" = "$VOL"$'\nlist\nnext\nproperties' ]
	[ ! -e "$PORTO_ROOT/a/.volumes/$hidden" ]
	umount "$DIR/root/porto"
	mount --bind "$PORTO_ROOT/a" "$DIR/root/porto"
	cat >"$DIR/root/tmp/make" <<-'END'
		cd /porto/.volumes
		cut -f1 list
		cat "find[%data]"
		exec 3<>create
		echo private = inside >&3
		read -r id path <&3
		echo "$path"
		echo made >"$path/it"
		cat "$id/path" "$id/place"
	END
	put a/command 'sh /tmp/make'
	put a/state start
	prop_is a wait dead
	local id
	id=$(vol_ids | tail -n 1)
	[ "$(prop a stdout)" = "/data
$VOL
/porto_volumes/$id
/porto_volumes/$id
$DIR/place" ] || fail "$(prop a stdout) $(prop a stderr)"
	[ "$(cat "$(prop ".volumes/$id" path)/it")" = made ]
	[ -e "$DIR/place/porto_volumes/$id" ]
	[ "$(prop ".volumes/$id" creator)" = 'a root root' ]
	[ "$(prop ".volumes/$id" owner_container)" = a ]
	vols_destroy
	put a/state stop
	umount "$DIR/root/porto"
}

@test "a volume that is made in the view of another container is that one's" {
	ct_new a
	ct_new a/b
	local id path
	id=$(cat "$PORTO_ROOT/.volumes/next")
	mkdir "$PORTO_ROOT/a/.volumes/$id"
	[ -e "$PORTO_ROOT/a/.volumes/$id/state" ]
	[ ! -e "$PORTO_ROOT/a/b/.volumes/$id/state" ]
	prop_is ".volumes/$id" owner_container a
	prop_is ".volumes/$id" containers a
	put "a/.volumes/$id/state" build
	grep -q "	$id	" "$PORTO_ROOT/a/.volumes/list"
	exec 5<>"$PORTO_ROOT/a/b/.volumes/create"
	echo 'private = text' >&5
	read -r id path <&5
	exec 5>&-
	[ -d "$path" ]
	prop_is ".volumes/$id" containers a/b
	[ -e "$PORTO_ROOT/a/b/.volumes/$id/state" ]
	# only who may change the container
	want_errno EACCES as games mkdir "$PORTO_ROOT/a/.volumes/$((id + 1))"
	# they go with it
	ct_destroy a
	wait_for '[ -z "$(vol_ids)" ]'
}

@test "place: a container may use those of its policy, by path, mask or name, and no others" {
	mkdir "$DIR"/{one,two,three,masked}
	mkdir "$DIR/masked/x"
	ct_new a "place=$DIR/one;$DIR/masked/***;fast=$DIR/two" virt_mode=host
	prop_is a place "$DIR/one;$DIR/masked/***;fast=$DIR/two"
	ct_new a/b
	want_errno EACCES put a/b/place "$DIR/three"
	error_says a/b 'Permission:('
	put a/b/place "$DIR/one"
	want_errno EINVAL put a/place relative
	put a/place "$DIR/one;$DIR/masked/***;fast=$DIR/two"
	cat >"$DIR/make" <<-'END'
		exec 3<>"$1/.volumes/create"
		printf 'place = %s\nbackend = plain\n' "$2" >&3
		read -r id path <&3 || { cat "$1/.porto/error"; exit 1; }
		cat "$1/.volumes/$id/place"
	END
	local to
	for to in "=$DIR/one" "$DIR/masked/x=$DIR/masked/x" "fast=$DIR/two"; do
		put a/command "sh $DIR/make $PORTO_ROOT '${to%%=*}'"
		put a/state start
		prop_is a wait dead
		prop_is a stdout "${to#*=}"
		put a/state stop
	done
	for to in "$DIR/three" slow /etc; do
		put a/command "sh $DIR/make $PORTO_ROOT '$to'"
		put a/state start
		prop_is a wait dead
		[[ $(prop a stdout) == '11 Permission:(place '* ]] || fail "$to: $(prop a stdout)"
		put a/state stop
	done
}

# ---- who may do what ----

@test "a user of the group makes and uses his own; others can neither change, link, unlink nor destroy it" {
	local other
	as games vol_build private=mine
	VOL=$(vol_ids) VOL_PATH=$(V path)
	vol_is owner_user games
	[ "$(stat -c %U "$VOL_PATH")" = games ]
	as games touch "$VOL_PATH/file"
	other=$(cat "$PORTO_ROOT/.volumes/next")
	as games mkdir "$PORTO_ROOT/.volumes/$other"
	for file in state private space_limit link unlink tune links/daemon; do
		want_errno EACCES as daemon put ".volumes/$VOL/$file" x || fail "$file"
	done
	want_error Permission as daemon rmdir "$PORTO_ROOT/.volumes/$VOL"
	want_error Permission as daemon rmdir "$PORTO_ROOT/.volumes/$other"
	want_errno EACCES as daemon rm "$PORTO_ROOT/.volumes/$VOL/links/%"
	want_error Permission as daemon put ".volumes/$VOL/private" x
	want_errno EACCES outsider bin mkdir "$PORTO_ROOT/.volumes/$((other + 1))"
	[ "$(as daemon cat "$PORTO_ROOT/.volumes/$VOL/private")" = mine ]
	# nor does he get what is root's, or somebody else's
	want_error Permission as games put ".volumes/$other/owner_user" root
	want_error Permission as games put ".volumes/$other/user" root
	want_error Permission as games put ".volumes/$other/group" root
	want_error Permission as games put ".volumes/$other/owner_container" /
	ct_new a
	want_error Permission as games put ".volumes/$VOL/link" a
	as games put ".volumes/$VOL/state" destroy
	as games rmdir "$PORTO_ROOT/.volumes/$other"
	chown games "$PORTO_ROOT/a"
	as games vol_build containers=a
	chown daemon "$PORTO_ROOT/.volumes/$(vol_ids)"
	[ "$(prop ".volumes/$(vol_ids)" owner_user)" = daemon ]
	want_error Permission as games rmdir "$PORTO_ROOT/.volumes/$(vol_ids)"
}

@test "a user's target is made with his own rights, and only where he may write" {
	mkdir "$DIR/his" "$DIR/roots"
	chown games "$DIR/his"
	as games vol_build
	VOL=$(vol_ids)
	as games put ".volumes/$VOL/link" "/ $DIR/his/x/y"
	mounted "$DIR/his/x/y"
	[ "$(stat -c %U "$DIR/his/x")" = games ]
	as games put ".volumes/$VOL/unlink" "/ $DIR/his/x/y"
	[ "$(stat -c %U "$DIR/his/x/y")" = games ]
	rm -r "$DIR/his/x"
	mkdir "$DIR/his/closed"
	want_error Permission as games put ".volumes/$VOL/link" "/ $DIR/his/closed/y"
	[ ! -e "$DIR/his/closed/y" ]
	# nor over what is there and not his
	for target in "$DIR/his/closed" /etc /usr/bin; do
		want_error Permission as games put ".volumes/$VOL/link" "/ $target" || fail "$target"
	done
	want_error InvalidPath as games put ".volumes/$VOL/link" "/ $PORTO_ROOT"
	# a link in the way leads nowhere: it is replaced if he may
	ln -s "$DIR/roots" "$DIR/his/way"
	as games put ".volumes/$VOL/link" "/ $DIR/his/way/in"
	[ ! -e "$DIR/roots/in" ]
	mounted "$DIR/his/way/in"
}

@test "who sees a volume read-only gives no more than that" {
	root_new
	mount --bind "$PORTO_ROOT" "$DIR/root/porto"
	vol_build
	cat >"$DIR/root/tmp/link" <<-END
		echo 'self /again' >/porto/.volumes/$VOL/link || cat /porto/.porto/error
		echo 'self /ro ro' >/porto/.volumes/$VOL/link
	END
	ct_new a "root=$DIR/root" command='sh /tmp/link'
	put ".volumes/$VOL/link" 'a /data ro'
	put a/state start
	prop_is a wait dead
	[[ $(prop a stdout) == '11 Permission:('*'read-only'* ]] || fail "$(prop a stdout; prop a stderr)"
	vol_is containers '/;a /data ro;a /ro ro'
	vols_destroy
	umount "$DIR/root/porto"
}
