#!/usr/bin/env bats
# Volumes made by one descriptor on .volumes/create; paths, storages and layers that nobody may get by way of a volume; crowds of
# volumes; what events and metrics tell of them.
# Not in the guest, which is slow (`make check-vm` runs it there): who may make what is decided by the daemon; the backends are in volumes.bats and backends.bats.
#
# shellcheck disable=SC2016,SC2030,SC2031 # a test is a process of its own; conditions of wait_for

bats_require_minimum_version 1.5.0
load helpers

setup() {
	DIR=$TEST_DIR/t$BATS_TEST_NUMBER
	mkdir -p "$DIR"
}

teardown() {
	destroy_all
	no_leaks
	rm -rf --one-file-system "$DIR" "$PLACE/porto_storage" "$PLACE/porto_layers"
}

V() {
	prop ".volumes/$VOL" "$1"
}

vol_is() {
	prop_is ".volumes/$VOL" "$1" "$2"
}

# not_built KIND [PROPERTY=VALUE...]: as games, who is in the daemon's group.
not_built() {
	local kind=$1 id
	shift
	id=$(cat "$PORTO_ROOT/.volumes/next")
	as games vol_new "$@" || return
	want_error "$kind" as games put ".volumes/$id/state" build && as games rmdir "$PORTO_ROOT/.volumes/$id"
}

# ---- create ----

@test "create: properties written, a number and a path read, and it is built" {
	vol_create $'backend = tmpfs\nspace_limit = 1M\nprivate = by hand'
	[ "$VOL_PATH" = "$PLACE/porto_volumes/$VOL/volume" ]
	vol_is state ready
	vol_is private 'by hand'
	touch "$VOL_PATH/file"
	mkdir "$DIR/path"
	vol_create "path = $DIR/path"
	[ "$VOL_PATH" = "$DIR/path" ]
	as games vol_create 'private = his'
	VOL=$(vol_ids | tail -n 1)
	vol_is owner_user games
	# what one descriptor has made is read again from it, and it makes no other
	exec 8<>"$PORTO_ROOT/.volumes/create"
	echo 'private = x' >&8
	read -r VOL _ <&8
	echo 'private = y' >&8 && fail 'written again'
	vol_is private x
	exec 8>&-
	vol_is state ready
}

@test "create: what comes in pieces is one text; two descriptors make two volumes" {
	exec 8<>"$PORTO_ROOT/.volumes/create" 9<>"$PORTO_ROOT/.volumes/create"
	echo 'private = eight' >&8
	echo 'private = nine' >&9
	echo 'permissions = 0700' >&8
	local eight nine
	read -r eight _ <&8
	read -r nine _ <&9
	exec 8>&- 9>&-
	prop_is ".volumes/$eight" private eight
	prop_is ".volumes/$eight" permissions 0700
	prop_is ".volumes/$nine" private nine
	prop_is ".volumes/$nine" permissions 0775
}

@test "create: bad input makes nothing, even when it is read then; neither does one that is never read" {
	local text
	for text in 'nosuch = 1' 'space_limit = much' 'no line' 'id = 7' 'owner_container = nosuch'; do
		! vol_create "$text" 2>/dev/null || fail "made: $text"
		[ -z "$(vol_ids)" ]
	done
	error_says 'ContainerDoesNotExist:('
	exec 8<>"$PORTO_ROOT/.volumes/create"
	echo 'private = x' >&8
	echo 'nosuch = 1' >&8 && fail 'taken'
	read -r text <&8 && fail "read: $text"
	exec 8>&-
	[ -z "$(vol_ids)" ]
	want_errno ENODATA cat "$PORTO_ROOT/.volumes/create"
	# can't be built
	! vol_create 'backend = nosuch' || fail made
	error_says 'NotSupported:('
	[ -z "$(vol_ids)" ]
	! vol_create $'backend = tmpfs\nspace_limit = 1M\ncontainers = /;/' || fail made
	[ -z "$(vol_ids)" ]
	no_leaks
	echo 'private = x' >"$PORTO_ROOT/.volumes/create"
	wait_for '[ -z "$(vol_ids)" ]'
	exec 8>"$PORTO_ROOT/.volumes/create"
	echo 'private = x' >&8
	[ -n "$(vol_ids)" ]
	[ -z "$(cat "$PORTO_ROOT/.volumes/list")" ]
	exec 8>&-
	wait_for '[ -z "$(vol_ids)" ]'
	no_leaks
}

@test "create: the worker dies before, while and after it is read: one volume, and its number is told" {
	exec 8<>"$PORTO_ROOT/.volumes/create"
	echo 'private = x' >&8
	kill_worker
	echo 'permissions = 0700' >&8
	kill_worker
	read -r VOL VOL_PATH <&8
	kill_worker
	exec 8>&-
	vol_is private x
	vol_is permissions 0700
	[ "$(vol_ids)" = "$VOL" ]
	[ "$(stat -c %a "$VOL_PATH")" = 700 ]
}

# ---- what nobody gets by way of a volume ----

@test "path: missing, not normal, a link on the way, a file, a directory of the system, the tree: refused" {
	mkdir "$DIR/real"
	ln -s "$DIR/real" "$DIR/link"
	touch "$DIR/file"
	mkdir "$DIR/real/sub"
	local try
	while read -r errno path; do
		vol_new "path=$path"
		want_errno "$errno" put ".volumes/$VOL/state" build || fail "$path"
		error_says 'InvalidPath:(path' || fail "$path"
	done <<-END
		ENOENT $DIR/nosuch
		ELOOP $DIR/link
		ELOOP $DIR/link/sub
		ENOTDIR $DIR/file
		EINVAL /etc
		EINVAL /usr/lib
		EINVAL /
		EINVAL /home
		EINVAL /lib64
		EINVAL /var/log
		EINVAL /proc/sys
		EINVAL $PORTO_ROOT
		EINVAL $PORTO_ROOT/.volumes
	END
	vol_new
	for try in relative /a/../b /a//b /a/; do
		put ".volumes/$VOL/path" "$try" 2>/dev/null || continue
		want_errno EINVAL put ".volumes/$VOL/state" build || fail "$try"
	done
	vols_destroy
	[ "$(ls "$DIR/real")" = sub ]
}

@test "path: over another volume, in a storage of one, over its layers, or over a place: refused" {
	mkdir -p "$DIR"/{path/sub,storage/sub,layers/one,rest}
	vol_build "path=$DIR/path" "storage=$DIR/storage" backend=plain
	local first=$VOL refused=0 path kind
	while read -r kind path; do
		vol_new "path=$path"
		! put ".volumes/$VOL/state" build 2>/dev/null || fail "built: $path"
		error_says "$kind:(" || fail "$path"
		refused=$((refused + 1))
	done <<-END
		VolumeAlreadyExists $DIR/path
		InvalidPath $DIR
		InvalidPath $DIR/storage
		InvalidPath $DIR/storage/sub
		InvalidPath $TEST_DIR
		InvalidPath $PLACE
	END
	[ "$refused" = 6 ]
	if ! grep -q '^overlay: missing' "$PORTO_ROOT/.porto/features"; then
		vol_build "layers=$DIR/layers/one"
		vol_new "path=$DIR/layers"
		want_errno EINVAL put ".volumes/$VOL/state" build
	fi
	vol_new "path=$DIR/rest"
	put ".volumes/$first/link" "/ $DIR/rest"
	want_errno EBUSY put ".volumes/$VOL/state" build
	# inside a volume is fine
	mkdir "$DIR/path/inside"
	vol_build "path=$DIR/path/inside" backend=tmpfs space_limit=1M
}

@test "path: a user mounts on what is his own and where he can get to" {
	mkdir -p "$DIR"/{open,his,roots,closed/in}
	chown games "$DIR/his"
	chmod 777 "$DIR/open" "$DIR/closed/in"
	chmod 700 "$DIR/closed"
	as games vol_build "path=$DIR/his" backend=tmpfs space_limit=1M
	not_built Permission "path=$DIR/open" # as /tmp: all would see it
	not_built Permission "path=$DIR/roots"
	not_built Permission "path=$DIR/closed/in"
	not_built InvalidPath path=/etc
}

@test "storage and layers: a user gets neither what he can't read or write, nor what is another's" {
	mkdir -p "$DIR"/{secret,readable,his}
	echo secret >"$DIR/secret/file"
	chmod 700 "$DIR/secret"
	chown games "$DIR/his"
	chmod 755 "$DIR"
	not_built Permission "storage=$DIR/secret" backend=bind
	not_built Permission "storage=$DIR/readable" backend=bind
	not_built Permission "storage=$DIR/secret/file" backend=bind read_only=true
	not_built InvalidPath storage=/proc/1/root backend=bind
	install -m 600 /dev/null "$TEST_DIR/secret"
	not_built Permission "storage=$TEST_DIR/secret" backend=bind read_only=true
	as games vol_build "storage=$DIR/readable" backend=bind read_only=true
	as games vol_build "storage=$DIR/his" backend=bind
	if ! grep -q '^overlay: missing' "$PORTO_ROOT/.porto/features"; then
		not_built Permission "layers=$DIR/secret"
		not_built Permission "layers=$DIR/readable;$DIR/secret"
		as games vol_build "layers=$DIR/readable"
	fi
	# by name it belongs to whoever made it
	vol_build storage=roots
	vol_destroy "$VOL"
	not_built Permission storage=roots
	as games vol_build storage=games
	VOL=$(vol_ids | tail -n 1)
	vol_destroy "$VOL"
	id=$(cat "$PORTO_ROOT/.volumes/next")
	as daemon vol_new storage=games
	want_error Permission as daemon put ".volumes/$id/state" build
}

@test "storage given by path: a user gets nothing there that root makes, and no image of his own" {
	mkdir -p "$DIR"/{his,layer}
	ln -s "$DIR/roots" "$DIR/his/target"
	echo secret >"$DIR/roots"
	echo mine >"$DIR/layer/target"
	truncate -s 8M "$DIR/his/image"
	chown -R -h games:games "$DIR/his" "$DIR/layer"
	not_built Permission "storage=$DIR/his" "layers=$DIR/layer" backend=native
	not_built Permission "storage=$DIR/his" "layers=$DIR/layer" backend=plain
	not_built Permission "storage=$DIR/his" "layers=$DIR/layer"
	not_built Permission "storage=$DIR/his/image" space_limit=8M
	not_built Permission "storage=$DIR/his" space_limit=8M backend=loop
	not_built Permission "storage=$DIR/his" space_limit=8M
	not_built Permission "layers=$DIR/his/image"
	[ "$(<"$DIR/roots")" = secret ]
	[ "$(stat -c %U:%a "$DIR/roots")" = root:644 ]
	as games vol_build "storage=$DIR/his" backend=bind
}

@test "storage by name: an image that a user laid there is not mounted, until root trusts it" {
	as games vol_build storage=games backend=plain
	VOL=$(vol_ids | tail -n 1)
	VOL_PATH=$(prop ".volumes/$VOL" path)
	as games truncate -s 8M "$VOL_PATH/loop.img"
	as games mkfs.ext4 -q "$VOL_PATH/loop.img"
	vol_destroy "$VOL"
	not_built Permission storage=games space_limit=8M backend=loop
	vol_new storage=games backend=loop
	want_error Permission put ".volumes/$VOL/state" build
	prop ".volumes/$VOL" error | grep -F 'loop.img was not made by a volume: trust it with setfattr -n trusted.porto.image -v 1'
	setfattr -n trusted.porto.image -v 1 "$(find "$PLACE" -path '*games*/loop.img')"
	as games vol_build storage=games backend=loop
	# its own ones it knows, though root made them and they are a user's now
	vol_destroy "$(vol_ids | tail -n 1)"
	as games vol_build storage=mine space_limit=8M backend=loop
	vol_destroy "$(vol_ids | tail -n 1)"
	as games vol_build storage=mine backend=loop
}

@test "export: a user reads nothing out that he could not read himself" {
	mkdir -p "$DIR"/{sys/closed,his}
	echo secret >"$DIR/sys/shadow"
	chmod 600 "$DIR/sys/shadow"
	chown games "$DIR/his"
	for spec in "storage=$DIR/sys backend=bind" "storage=$DIR/sys backend=rbind" "storage=$DIR/sys backend=plain"; do
		# shellcheck disable=SC2086 # a list of words
		VOL=$(cat "$PORTO_ROOT/.volumes/next") && as games vol_build $spec read_only=true
		want_errno EACCES as games put ".volumes/$VOL/export" "$DIR/his/a.tar"
		want_error Permission as games put ".volumes/$VOL/export" "$DIR/his/a.tar"
		[ ! -e "$DIR/his/a.tar" ]
	done
	VOL=$(cat "$PORTO_ROOT/.volumes/next") && as games vol_build "path=$DIR/his" backend=dir
	want_errno EACCES as games put ".volumes/$VOL/export" "$DIR/his/a.tar"
	put ".volumes/$VOL/export" "$DIR/his/a.tar"
	# of his own in the place he does
	VOL=$(cat "$PORTO_ROOT/.volumes/next") && as games vol_build backend=plain
	as games put ".volumes/$VOL/export" "$DIR/his/b.tar"
	[ -s "$DIR/his/b.tar" ]
}

@test "layers: a user has none of a path copied, nor above it a storage that stays" {
	mkdir -p "$DIR"/{sys,his}
	echo secret >"$DIR/sys/shadow"
	chmod 600 "$DIR/sys/shadow"
	chown games "$DIR/his"
	not_built Permission "layers=$DIR/sys" backend=plain
	not_built Permission "layers=$DIR/sys" backend=plain storage=stays
	not_built Permission "layers=$DIR/sys" backend=loop space_limit=16M
	if ! grep -q '^overlay: missing' "$PORTO_ROOT/.porto/features"; then
		not_built Permission "layers=$DIR/sys" backend=overlay storage=stays
		# what he renames comes into the upper layer as it is
		VOL=$(cat "$PORTO_ROOT/.volumes/next") && as games vol_build "layers=$DIR/sys" backend=overlay
		as games mv "$(prop ".volumes/$VOL" path)/shadow" "$(prop ".volumes/$VOL" path)/mine"
		want_errno EACCES as games put ".volumes/$VOL/export" "$DIR/his/a.tar"
	fi
}

@test "export: what took the place of a volume is not read out" {
	mkdir -p "$DIR"/{sys/in,his/x/in}
	echo secret >"$DIR/sys/in/file"
	chmod 700 "$DIR/sys/in"
	chown -R games "$DIR/his"
	VOL=$(cat "$PORTO_ROOT/.volumes/next") && as games vol_build "path=$DIR/his/x/in" backend=plain
	other=$(cat "$PORTO_ROOT/.volumes/next") && as games vol_build "storage=$DIR/sys" backend=bind read_only=true
	as games mv "$DIR/his/x" "$DIR/his/y"
	as games mkdir "$DIR/his/x"
	as games put ".volumes/$other/link" "/ $DIR/his/x ro"
	want_error VolumeNotReady as games put ".volumes/$VOL/export" "$DIR/his/a.tar"
	[ ! -e "$DIR/his/a.tar" ]
	want_error VolumeNotReady as games put ".volumes/$VOL/link" "/ $DIR/his/z"
}

@test "storage given by path: a user changes neither owner nor mode nor quota of what is not his" {
	mkdir -p "$DIR"/{shared,his}
	chmod 1777 "$DIR/shared"
	chown games "$DIR/his"
	for b in plain native; do
		not_built Permission "storage=$DIR/shared" backend=$b user=games
		not_built Permission "storage=$DIR/shared" backend=$b permissions=777
	done
	[ "$(stat -c %U:%a "$DIR/shared")" = root:1777 ]
	as games vol_build "storage=$DIR/his" backend=plain permissions=700
	[ "$(stat -c %U:%a "$DIR/his")" = games:700 ]
	VOL=$(cat "$PORTO_ROOT/.volumes/next") && as games vol_build "storage=$DIR/shared" backend=native
	want_error Permission as games put ".volumes/$VOL/tune" 'space_limit = 1M'
}

@test "place: only root uses another than the default one" {
	mkdir "$DIR"/{roots,his}
	chown games:games "$DIR/his"
	not_built Permission "place=$DIR/roots"
	not_built InvalidPath place=/etc
	not_built InvalidPath "place=$DIR/../x"
	[ -z "$(ls "$DIR/roots")" ]
	not_built Permission "place=$DIR/his"
	[ -z "$(ls "$DIR/his")" ]
	not_built InvalidPath "place=$PORTO_ROOT"
	vol_build "place=$DIR/his"
	[ "$(stat -c '%U %a' "$DIR/his/porto_volumes")" = 'games 755' ]
	[ "$(stat -c '%U:%G %a' "$PLACE/porto_volumes" 2>/dev/null || echo root:users 755)" = "root:$TEST_GROUP 755" ]
	ln -s "$DIR/roots" "$DIR/link"
	vol_new "place=$DIR/link"
	want_errno ELOOP put ".volumes/$VOL/state" build
}

# ---- many ----

@test "volumes.max_total: one more is refused, root has some in reserve; there is room after a removal" {
	daemon_stop
	DAEMON+=(--set volumes.max_total=2)
	daemon_up
	as games vol_new
	as games vol_new
	want_errno EAGAIN as games mkdir "$PORTO_ROOT/.volumes/$(cat "$PORTO_ROOT/.volumes/next")"
	vol_new
	! as games vol_create 'private = x' || fail made
	rmdir "$PORTO_ROOT/.volumes/$(vol_ids | tail -n 1)"
	as games rmdir "$PORTO_ROOT/.volumes/$(vol_ids | tail -n 1)"
	wait_for 'grep -qx "volumes 1" "$PORTO_ROOT/.porto/stat"'
	as games vol_new
	vols_destroy
	daemon_stop
	unset 'DAEMON[-1]' 'DAEMON[-1]'
	daemon_up
}

@test "300 volumes are made, listed, taken over by another worker and removed" {
	local i text
	for ((i = 0; i < 300; i++)); do
		vol_create $'backend = tmpfs\nspace_limit = 1M'
	done
	[ "$(wc -l <"$PORTO_ROOT/.volumes/list")" = 300 ]
	[ "$(vol_ids | wc -l)" = 300 ]
	[ "$(cat "$PORTO_ROOT/.volumes/find[${VOL_PATH//\//%}]")" = "$VOL" ]
	text=$(cut -f1,2 "$PORTO_ROOT/.volumes/list")
	kill_worker
	vol_is state ready
	[ "$(cut -f1,2 "$PORTO_ROOT/.volumes/list")" = "$text" ]
	[ "$(grep -c ' porto-volume \| tmpfs ' <(grep "$PLACE/porto_volumes" /proc/self/mounts))" = 300 ]
	find "$PORTO_ROOT/.volumes" -maxdepth 2 -name state -exec cat {} + | sort | uniq -c | grep -q '300 ready'
	(cd "$PORTO_ROOT/.volumes" && vol_ids | xargs rmdir)
	vols_destroy
	no_leaks
}

# ---- told elsewhere ----

@test "events and metrics: what a volume becomes is a line each; space, inodes and limits are numbers" {
	timeout 20 cat "$PORTO_ROOT/.porto/events" >"$DIR/events" 3>&- 4>&- &
	local pid=$! metrics=$PORTO_ROOT/.porto/metrics
	wait_for 'grep -qsE "rmt|events" <(ls -l /proc/'"$pid"'/fd)'
	vol_build backend=tmpfs space_limit=1M
	[[ $(cat "$metrics") == *"porto_volume_space_limit_bytes{volume=\"$VOL\"} 1048576"* ]]
	wait_for '[ "$(V space_available)" = 1048576 ]'
	grep -qx "porto_volume_space_available_bytes{volume=\"$VOL\"} 1048576" "$metrics"
	grep -q "^porto_volume_space_used_bytes{volume=\"$VOL\"}" "$metrics"
	grep -q "^porto_volume_inode_used{volume=\"$VOL\"}" "$metrics"
	grep -qx 'porto_volumes 1' "$metrics"
	grep -qx 'volumes 1' "$PORTO_ROOT/.porto/stat"
	if command -v promtool >/dev/null; then
		promtool check metrics <"$metrics"
	fi
	vol_destroy "$VOL"
	wait_for 'grep -q destroying "$DIR/events"'
	kill "$pid"
	[ "$(awk -F'\t' -v id="$VOL" '$3 == "volume" && $4 == id { print $5 }' "$DIR/events" | paste -sd ' ')" = \
		'building ready unlinked destroying' ] || fail "$(cat "$DIR/events")"
	! grep -q "volume=\"$VOL\"" "$metrics" || fail 'metrics of a volume that is gone'
}
