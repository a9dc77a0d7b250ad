# Volumes made and unmade by layerstore alone, through tests/vol_driver.c: no daemon. Places are directories of the test, or
# file systems on loop devices. Where the kernel has no project quota the tests of it are skipped: the virtual machine has.

# shellcheck disable=SC2034 # read by helpers
PORTOD_OPTIONS=(none)
load helpers

setup() {
	DRIVER=$BUILD/vol_driver
	DIR=$TEST_DIR/$BATS_TEST_NUMBER
	PLACE=$DIR/place REC=$DIR/record VOL=$PLACE/porto_volumes/7/volume
	mkdir -p "$PLACE/porto_volumes" "$DIR/l1" "$DIR/l2"
	echo top >"$DIR/l1/both"
	echo bottom >"$DIR/l2/both"
	echo 1 >"$DIR/l1/one"
	echo 2 >"$DIR/l2/two"
	LAYERS="layers=$DIR/l1;$DIR/l2"
}

teardown() {
	local path
	while path=$(awk -v dir="$DIR/" 'index($5, dir) == 1 { p = $5 } END { print p }' /proc/self/mountinfo) && [ -n "$path" ]; do
		umount -l "$path" || break
	done
	rm -rf --one-file-system "$DIR"
}

# vol VERB [KEY=VALUE...]: of the volume with an automatic path that the last words of build describe.
vol() {
	local verb=$1
	shift
	case $verb in build | prepare) WORDS=("$@"); set -- ;; esac
	"$DRIVER" "$verb" "$REC" id=7 "place=$PLACE" "path=${P:-$VOL}" "auto=$([ -n "${P:-}" ] && echo false || echo true)" \
		"${WORDS[@]}" "$@"
}

# refused KIND [KEY=VALUE...]: building fails so, and leaves nothing.
refused() {
	local kind=$1 out
	shift
	! out=$(vol build "$@") || fail "built: $*" || return
	[[ $out == "$kind: "* ]] || fail "expected $kind, got: $out" || return
	nothing_left
}

# denied COMMAND...: it fails. (A line that begins with ! is never a failure of a test.)
denied() {
	! "$@" 2>/dev/null || fail "done: $*"
}

mounts_below() {
	awk -v dir="$1/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo
}

loops_below() {
	losetup -n -O BACK-FILE | grep -F "$1/" || :
}

# No mount, device or home of a volume; what is to be swept is out of the way.
nothing_left() {
	local left
	left=$(mounts_below "${1:-$PLACE/porto_volumes}")
	[ -z "$left" ] || fail "mounted: $left" || return
	wait_for "[ -z \"\$(loops_below $DIR | grep -vF '$DIR/fs.img')\" ]" || return
	left=$(find "$PLACE/porto_volumes" -mindepth 1 -maxdepth 1 ! -name '_remove_*')
	[ -z "$left" ] || fail "left: $left"
}

destroyed() {
	vol destroy && nothing_left
}

has_options() {
	local options word
	options=$(awk -v p="$1" '$2 == p { print $4 }' /proc/self/mounts | tail -n 1)
	for word in "${@:2}"; do
		[[ ,$options, == *,$word,* ]] || fail "$1: options $options, expected $word" || return
	done
}

# The place moves to a file system of its own: place_on TYPE SIZE [prjquota].
place_on() {
	local options=(-q)
	truncate -s "$2" "$DIR/fs.img"
	[ "$1" != ext4 ] || options+=(-F)
	[ "$1$3" != ext4prjquota ] || options+=(-O 'quota,project' -E quotatype=prjquota)
	"mkfs.$1" "${options[@]}" "$DIR/fs.img" >&2 || return
	mkdir -p "$DIR/fs"
	mount -o "loop${3:+,$3}" "$DIR/fs.img" "$DIR/fs" || return
	PLACE=$DIR/fs/place VOL=$PLACE/porto_volumes/7/volume
	mkdir -p "$PLACE/porto_volumes"
}

# Project quota, or the test is skipped.
quota_place() {
	place_on "${1:-ext4}" "${2:-64M}" prjquota 2>/dev/null || skip "no project quota on ${1:-ext4} here"
	! "$DRIVER" features - "place=$PLACE" | grep -q "^project quota of .*: missing" || fail 'mounted with prjquota, but not seen'
}

# Root's right to go beyond quotas is for nobody here.
limited() {
	setpriv --bounding-set -sys_resource "$@"
}

fill() {
	limited dd if=/dev/zero of="$1" bs=64K count="$2" conv=fsync status=none
}

# ---- each backend ----

@test "plain: a temporary storage is seen at the path, nodev and nosuid, and goes with the volume" {
	vol build backend=plain mode=0751 uid=1 gid=2
	has_options "$VOL" nodev nosuid
	[ "$(stat -c '%a %u %g' "$VOL")" = '751 1 2' ]
	echo x >"$VOL/file"
	[ "$(vol data)" = file ]
	[ "$(vol mounted)" = yes ]
	destroyed
	[ "$(vol mounted)" = no ]
	[ -e "$PLACE/porto_volumes/_remove_7" ]
}

@test "plain: the temporary storage can't be reached beside the mount, a setuid program in it neither" {
	vol build backend=plain
	cp /bin/true "$VOL/true"
	chmod 4755 "$VOL/true"
	denied outsider games sh -c "$PLACE/porto_volumes/7/plain/data/true" # setpriv itself still has rights when it runs a program
	outsider games "$VOL/true"
	destroyed
}

@test "plain: a kept storage stays with its owner, and keeps its data" {
	mkdir "$DIR/storage"
	chown 3:4 "$DIR/storage"
	vol build backend=plain "storage=$DIR/storage" uid=1 gid=1
	echo kept >"$VOL/file"
	destroyed
	[ "$(stat -c '%u %g' "$DIR/storage")" = '3 4' ]
	vol build backend=plain "storage=$DIR/storage" uid=1 gid=1 own=true read_only=true
	[ "$(cat "$VOL/file")" = kept ]
	[ "$(stat -c '%u %g' "$VOL")" = '3 4' ]
	denied touch "$VOL/other"
	destroyed
}

@test "plain: a named storage is made when it is missing, and goes again when the volume fails" {
	mkdir "$PLACE/porto_storage"
	vol build backend=plain "storage=$PLACE/porto_storage/s" named=true uid=1
	[ "$(stat -c %u "$VOL")" = 1 ]
	destroyed
	[ -d "$PLACE/porto_storage/s" ]
	refused LayerNotFound backend=plain "storage=$PLACE/porto_storage/t" named=true "layers=$DIR/none"
	[ ! -e "$PLACE/porto_storage/t" ]
}

@test "plain: layers are copied as one tree, the top one wins, with owners, modes and times" {
	chown 5:6 "$DIR/l2/two"
	touch -d '2001-02-03 04:05:06' "$DIR/l2/two"
	setfattr -n trusted.x -v y "$DIR/l2/two"
	setfattr -n user.x -v y "$DIR/l2/two"
	setfattr -n system.posix_acl_access -v 0sAgAAAAEABgD/////AgAEAAgAAAAEAAQA/////xAABAD/////IAAEAP////8= "$DIR/l2/two"
	ln "$DIR/l2/two" "$DIR/l2/three"
	mknod -m 640 "$DIR/l2/null" c 1 3
	truncate -s 1G "$DIR/l2/holes"
	mkdir -m 1777 "$DIR/l2/dir"
	ln -s nowhere "$DIR/l2/link"
	vol build backend=plain "$LAYERS"
	[ "$(stat -c '%a %t:%T' "$VOL/null")" = '640 1:3' ]
	[ "$(stat -c '%a' "$VOL/dir")" = 1777 ]
	[ "$(stat -c '%s %b' "$VOL/holes")" = '1073741824 0' ]
	[ "$VOL/two" -ef "$VOL/three" ]
	[ "$(readlink "$VOL/link")" = nowhere ]
	[ "$(getfattr -d -m - "$VOL/two" | sed 1d)" = "$(getfattr -d -m - "$DIR/l2/two" | sed 1d)" ]
	[ "$(cat "$VOL/both" "$VOL/one" "$VOL/two")" = $'top\n1\n2' ]
	[ "$(stat -c '%u %g %Y' "$VOL/two")" = "5 6 $(date -d '2001-02-03 04:05:06' +%s)" ]
	[ "$(getfattr --only-values -n trusted.x "$VOL/two")" = y ]
	destroyed
}

@test "bind: a directory, a file, a socket and a device are seen at the path, of their kind" {
	local kind
	mkdir "$DIR/storage"
	mkfifo "$DIR/pipe"
	touch "$DIR/storage/in" "$DIR/file"
	socat UNIX-LISTEN:"$DIR/socket" - </dev/null 3>&- &
	wait_for '[ -S "$DIR/socket" ]'
	for kind in storage file pipe socket; do
		vol build backend=bind "storage=$DIR/$kind"
		[ "$VOL" -ef "$DIR/$kind" ] || fail "$kind"
		destroyed
	done
	kill $!
	vol build backend=bind storage=/dev/null
	[ -c "$VOL" ]
	denied bash -c "echo x >$VOL"
	destroyed
}

@test "bind and rbind: only rbind shows what is mounted below" {
	mkdir -p "$DIR/storage/below"
	mount -t tmpfs none "$DIR/storage/below"
	touch "$DIR/storage/below/file"
	vol build backend=bind "storage=$DIR/storage" read_only=true
	[ ! -e "$VOL/below/file" ]
	has_options "$VOL" ro nodev nosuid
	destroyed
	vol build backend=rbind "storage=$DIR/storage" read_only=true
	[ -e "$VOL/below/file" ]
	has_options "$VOL/below" ro nodev nosuid
	destroyed
	[ -e "$DIR/storage/below/file" ]
}

@test "tmpfs: has the size and the owner asked for; tune changes it, and refuses less than is used" {
	vol build backend=tmpfs space_limit=1M inode_limit=10 uid=1 gid=2 mode=0700
	has_options "$VOL" nodev nosuid size=1024k nr_inodes=10
	[ "$(stat -c '%a %u %g' "$VOL")" = '700 1 2' ]
	denied fill "$VOL/file" 20
	[ "$(vol usage)" = '1048576 2 0 8' ]
	vol tune to.space_limit=2M to.inode_limit=20
	fill "$VOL/file" 20
	[[ $(vol tune to.space_limit=64K to.inode_limit=20) == InvalidValue:* ]]
	[ "$(vol usage)" = '1310720 2 786432 18' ]
	destroyed
}

@test "hugetmpfs: asks for huge pages" {
	[ -e /sys/kernel/mm/transparent_hugepage/shmem_enabled ] || { refused NotSupported backend=hugetmpfs space_limit=4M; skip 'no huge pages here'; }
	vol build backend=hugetmpfs space_limit=4M
	has_options "$VOL" huge=always
	destroyed
}

@test "dir: the directory itself, which stays" {
	mkdir "$DIR/path"
	P=$DIR/path
	vol build backend=dir
	[ -z "$(mounts_below "$DIR")" ]
	[ "$(vol mounted)" = yes ]
	destroyed
	[ -d "$P" ]
}

@test "overlay: layers below, changes above; the top one wins, one given twice counts once" {
	vol build "$LAYERS;$DIR/l1" uid=1
	has_options "$VOL" nodev nosuid
	[ "$(stat -f -c %T "$VOL")" = overlayfs ]
	[ "$(cat "$VOL/both" "$VOL/one" "$VOL/two")" = $'top\n1\n2' ]
	[ "$(stat -c '%a %u' "$VOL")" = '775 1' ]
	echo new >"$VOL/new"
	[ "$(vol data)" = new ]
	[ ! -e "$DIR/l1/new" ]
	destroyed
}

@test "overlay: an empty one is gone at once, with nothing to sweep" {
	vol build "$LAYERS"
	destroyed
	[ -z "$(ls "$PLACE/porto_volumes")" ]
}

@test "overlay: a kept storage keeps what was changed; read-only two volumes may share it" {
	mkdir "$DIR/storage"
	vol build "$LAYERS" "storage=$DIR/storage"
	rm "$VOL/one"
	echo changed >"$VOL/two"
	destroyed
	vol build "$LAYERS" "storage=$DIR/storage" read_only=true
	"$DRIVER" build "$REC.2" id=8 "place=$PLACE" "path=$PLACE/porto_volumes/8/volume" auto=true "${WORDS[@]}"
	[ "$(cat "$VOL/two" "$PLACE/porto_volumes/8/volume/two")" = $'changed\nchanged' ]
	[ ! -e "$VOL/one" ]
	denied touch "$VOL/x"
	"$DRIVER" destroy "$REC.2" id=8 "place=$PLACE" "path=$PLACE/porto_volumes/8/volume" auto=true "${WORDS[@]}"
	destroyed
}

@test "overlay: a missing layer, one that is no directory, no image, or reached by a link is refused" {
	ln -s l1 "$DIR/link"
	echo text >"$DIR/file"
	mkfifo "$DIR/pipe"
	mkdir "$DIR/storage"
	refused LayerNotFound "layers=$DIR/l1;$DIR/none" backend=overlay
	refused InvalidPath "layers=$DIR/l1;$DIR/link" backend=overlay
	refused InvalidPath "layers=$DIR/l1;$DIR/pipe" backend=overlay
	refused InvalidFilesystem "layers=$DIR/file;$DIR/l1" backend=overlay "storage=$DIR/storage"
	refused InvalidProperty backend=overlay
	[ -z "$(ls "$DIR/storage")" ]
}

@test "overlay: one that can't be mounted takes nothing but its own from a kept storage" {
	mkdir -p "$PLACE/porto_storage/s/work/layer"
	touch "$PLACE/porto_storage/s/kept"
	# No layer may lie in the work directory.
	refused Unknown backend=overlay "layers=$PLACE/porto_storage/s/work/layer" "storage=$PLACE/porto_storage/s" named=true
	[ "$(ls "$PLACE/porto_storage/s")" = $'kept\nwork' ]
}

@test "overlay: 499 layers, 500 are too many" {
	local i words=
	for i in {1..500}; do
		mkdir "$DIR/n$i"
		words+=";$DIR/n$i"
	done
	touch "$DIR/n499/last"
	refused InvalidValue "layers=${words#;}"
	words=${words%;*}
	if vol build "layers=${words#;}" >"$DIR/out"; then
		[ -e "$VOL/last" ]
		destroyed
	else # before Linux 6.7
		grep -q '^NotSupported: layers: 499 are too many for this kernel' "$DIR/out"
		nothing_left
	fi
}

# ---- limits without project quota ----

@test "overlay: without project quota the limit is an image's; what is deleted goes back to the disk" {
	local blocks
	place_on ext4 200M
	vol build "$LAYERS" space_limit=48M inode_limit=100 uid=1
	[ "$(stat -c '%a %u' "$VOL")" = '775 1' ]
	has_options "$PLACE/porto_volumes/7/upper" nodev nosuid
	fill "$VOL/small" 256
	run fill "$VOL/large" 800
	[[ $output == *'No space left'* ]]
	blocks=$(stat -c %b "$PLACE/porto_volumes/7/overlay/loop.img")
	rm "$VOL/large" "$VOL/small"
	sync -f "$PLACE/porto_volumes/7/upper"
	wait_for "[ \$(stat -c %b $PLACE/porto_volumes/7/overlay/loop.img) -lt $((blocks / 4)) ]"
	run limited bash -c "touch $VOL/{1..200}"
	[[ $output == *'No space left'* ]]
	destroyed
}

# Growing a mounted file system needs a right that containers may lack.
need_resize() {
	[ $((0x$(awk '/^CapEff/ { print $2 }' /proc/self/status) >> 24 & 1)) = 1 ] || {
		[[ $(vol tune "$@") == NotSupported:*CAP_SYS_RESOURCE* ]] || fail 'neither done nor refused' || return
		skip 'no CAP_SYS_RESOURCE here'
	}
}

@test "overlay: tune grows the image while it is in use, and does not shrink it" {
	place_on ext4 200M
	vol build "$LAYERS" space_limit=16M
	denied fill "$VOL/file" 512
	need_resize to.space_limit=64M
	vol tune to.space_limit=64M
	fill "$VOL/file" 512
	[[ $(vol tune space_limit=64M to.space_limit=32M) == NotSupported:* ]]
	vol destroy
	nothing_left
}

@test "overlay: a kept storage with an image is mounted by it again, larger when asked" {
	local before
	place_on ext4 200M
	mkdir "$DIR/fs/storage"
	vol build "$LAYERS" "storage=$DIR/fs/storage" space_limit=16M
	echo kept >"$VOL/new"
	before=$(vol usage | cut -d' ' -f3)
	destroyed
	vol build "$LAYERS" "storage=$DIR/fs/storage" space_limit=32M
	[ "$(cat "$VOL/new")" = kept ]
	[ "$(vol usage | cut -d' ' -f3)" -gt "$((before * 3 / 2))" ]
	destroyed
	vol build "$LAYERS" "storage=$DIR/fs/storage"
	[ "$(cat "$VOL/new")" = kept ]
	destroyed
	rm "$DIR/fs/storage/loop.img"
	vol build "$LAYERS" "storage=$DIR/fs/storage"
	destroyed
	refused NotSupported "$LAYERS" "storage=$DIR/fs/storage" space_limit=32M
}

@test "overlay: an inode_limit alone, native and quota are refused without project quota" {
	mkdir "$DIR/path"
	place_on ext4 64M
	refused NotSupported "$LAYERS" inode_limit=10
	refused NotSupported backend=native space_limit=1M
	P=$DIR/path
	refused NotSupported backend=quota space_limit=1M
}

@test "loop: an image is made, limits the volume, and goes with it" {
	vol build space_limit=16M inode_limit=50 uid=1 gid=2
	has_options "$VOL" nodev nosuid
	[ "$(stat -c '%a %u %g' "$VOL")" = '775 1 2' ]
	[ -z "$(ls -A "$VOL")" ]
	denied fill "$VOL/file" 300
	[[ $(cat "$REC") == *'backend = loop'* ]]
	destroyed
}

@test "loop: a file as storage keeps its data, follows the limit both ways, and is root's alone" {
	truncate -s 32M "$DIR/image"
	mkfs.ext4 -q -F "$DIR/image"
	chown 1 "$DIR/image"
	vol build "storage=$DIR/image"
	[ "$(stat -c '%a %u' "$DIR/image")" = '600 0' ]
	echo kept >"$VOL/file"
	destroyed
	vol build "storage=$DIR/image" space_limit=64M
	[ "$(stat -c %s "$DIR/image")" = $((64 << 20)) ]
	[ "$(cat "$VOL/file")" = kept ]
	[ "$(vol usage | cut -d' ' -f3)" -gt $((40 << 20)) ]
	destroyed
	vol build "storage=$DIR/image" space_limit=24M
	[ "$(stat -c %s "$DIR/image")" = $((24 << 20)) ]
	[ "$(cat "$VOL/file")" = kept ]
	destroyed
	[ -e "$DIR/image" ]
}

@test "loop: an image that is in use is Busy, but for two who only read" {
	truncate -s 16M "$DIR/image"
	mkfs.ext4 -q -F "$DIR/image"
	vol build "storage=$DIR/image"
	[[ $("$DRIVER" build "$REC.2" id=8 "place=$PLACE" "path=$PLACE/porto_volumes/8/volume" auto=true "storage=$DIR/image") == Busy:* ]]
	[ -n "$(loops_below "$DIR")" ]
	destroyed
	vol build "storage=$DIR/image" read_only=true
	"$DRIVER" build "$REC.2" id=8 "place=$PLACE" "path=$PLACE/porto_volumes/8/volume" auto=true "${WORDS[@]}"
	"$DRIVER" destroy "$REC.2" id=8 "place=$PLACE" "path=$PLACE/porto_volumes/8/volume" auto=true "${WORDS[@]}"
	destroyed
}

@test "loop: what is no file system, a new one of another type or without size is refused" {
	truncate -s 1M "$DIR/image" "$DIR/broken"
	printf '\x53\xef' | dd of="$DIR/broken" bs=1 seek=1080 conv=notrunc status=none
	mkdir "$DIR/storage"
	refused InvalidFilesystem "storage=$DIR/image"
	refused InvalidFilesystem "storage=$DIR/broken"
	refused InvalidProperty backend=loop "storage=$DIR/storage"
	refused InvalidValue backend=loop "storage=$DIR/storage" fs_type=squashfs
	refused InvalidValue backend=loop "storage=$DIR/storage" space_limit=16M fs_type=ext3
	refused InvalidValue backend=loop space_limit=16M "$LAYERS" read_only=true
	[ -z "$(ls "$DIR/storage")" ]
}

@test "loop: space_guarantee is allocated, and what the disk does not have is refused" {
	place_on ext4 64M
	vol build backend=loop space_limit=32M space_guarantee=16M
	[ "$(stat -c %b "$PLACE/porto_volumes/7/loop/loop.img")" -ge $((16 << 11)) ]
	destroyed
	rm -rf "$PLACE"/porto_volumes/_remove_*
	refused ResourceNotAvailable backend=loop space_limit=100M space_guarantee=90M
	[ -z "$(find "$PLACE" -name loop.img)" ]
}

@test "loop: tune grows an image of 512M or more, else it is refused; smaller, or read-only, as well" {
	vol build backend=loop space_limit=16M
	[[ $(vol tune to.space_limit=32M) == InvalidProperty:* ]]
	destroyed
	vol build backend=loop space_limit=512M
	[[ $(vol tune to.space_limit=256M) == NotSupported:* ]]
	[[ $(vol tune to.space_limit=640M read_only=true) == Busy:* ]]
	need_resize to.space_limit=640M
	vol tune to.space_limit=640M
	[ "$(vol usage | cut -d' ' -f3)" -gt $((560 << 20)) ]
	destroyed
}

@test "loop: layers are copied into it" {
	vol build backend=loop space_limit=16M "$LAYERS"
	[ "$(cat "$VOL/both" "$VOL/one" "$VOL/two")" = $'top\n1\n2' ]
	destroyed
	dd if=/dev/zero of="$DIR/l1/large" bs=1M count=16 status=none
	refused NoSpace backend=loop space_limit=8M "$LAYERS"
}

@test "loop: twenty made and unmade at once by four leave no device" {
	local i pids=()
	for i in 1 2 3 4; do
		(
			for n in {1..5}; do
				words=("place=$PLACE" "id=$i$n" "path=$PLACE/porto_volumes/$i$n/volume" auto=true backend=loop space_limit=4M)
				"$DRIVER" build "$REC.$i$n" "${words[@]}" && "$DRIVER" destroy "$REC.$i$n" "${words[@]}" || exit
			done
		) 3>&- 4>&- &
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i"
	done
	nothing_left
}

# ---- images as layers ----

@test "squash: a squashfs image is the top layer; read-only and alone it is mounted itself" {
	command -v mksquashfs >/dev/null || skip 'no mksquashfs'
	mksquashfs "$DIR/l1" "$DIR/image" -quiet -no-progress >/dev/null
	vol build backend=squash "layers=$DIR/image;$DIR/l2"
	[ "$(cat "$VOL/both" "$VOL/one" "$VOL/two")" = $'top\n1\n2' ]
	touch "$VOL/new"
	[ "$(vol data)" = new ]
	[ "$(mounts_below "$PLACE/porto_volumes")" = "$VOL" ]
	destroyed
	vol build backend=squash "layers=$DIR/image" read_only=true
	grep -q " $VOL squashfs " /proc/mounts
	has_options "$VOL" ro nodev nosuid
	destroyed
	refused InvalidPath backend=squash "$LAYERS"
}

@test "erofs: images are layers of an overlay, several of them, under a limit" {
	command -v mkfs.erofs >/dev/null || skip 'no mkfs.erofs'
	mkfs.erofs "$DIR/image1" "$DIR/l1" >/dev/null 2>&1
	mkfs.erofs "$DIR/image2" "$DIR/l2" >/dev/null 2>&1
	place_on ext4 64M
	vol build "layers=$DIR/image1;$DIR/image2" space_limit=16M
	[ "$(cat "$VOL/both" "$VOL/one" "$VOL/two")" = $'top\n1\n2' ]
	! "$DRIVER" features - "place=$PLACE" | grep -q '^erofs without loop: yes' || denied grep image <(loops_below "$DIR")
	destroyed
}

# ---- project quota ----

@test "native: project quota limits space and inodes, and tells what is used" {
	quota_place
	vol build space_limit=4M inode_limit=10 uid=1
	[[ $(cat "$REC") == *'backend = native'*'quota = true'* ]]
	run fill "$VOL/file" 100
	[[ $output == *'quota exceeded'* || $output == *'No space left'* ]]
	rm "$VOL/file"
	fill "$VOL/file" 16
	read -r space inodes space_left inodes_left < <(vol usage)
	[ "$space" -ge $((1 << 20)) ] && [ "$space" -le $(((1 << 20) + 65536)) ]
	[ "$((space + space_left))" = $((4 << 20)) ]
	[ "$((inodes + inodes_left))" = 10 ]
	run limited bash -c "touch $VOL/{1..20}"
	[[ $output == *'quota exceeded'* || $output == *'No space left'* ]]
	vol tune to.space_limit=16M to.inode_limit=100
	fill "$VOL/file2" 100
	destroyed
	dd if=/dev/zero of="$DIR/l1/large" bs=1M count=4 status=none
	refused NoSpace backend=native "$LAYERS" space_limit=2M
}

@test "overlay: project quota counts what is changed, not the layers" {
	quota_place
	dd if=/dev/zero of="$DIR/l1/large" bs=1M count=4 status=none
	vol build "$LAYERS" space_limit=2M
	[ "$(loops_below "$PLACE")" = '' ]
	[ "$(stat -c %s "$VOL/large")" = $((4 << 20)) ]
	fill "$VOL/file" 16
	run fill "$VOL/file2" 32
	[[ $output == *'quota exceeded'* || $output == *'No space left'* ]]
	destroyed
}

@test "overlay: tune begins a quota that was not there" {
	quota_place
	vol build "$LAYERS"
	fill "$VOL/before" 16
	vol tune to.space_limit=2M
	run fill "$VOL/after" 32
	[[ $output == *'quota exceeded'* || $output == *'No space left'* ]]
	vol recount
	destroyed
}

@test "quota: a directory's own tree is limited where it is, and is free again afterwards" {
	quota_place
	mkdir -p "$DIR/fs/path/sub"
	fill "$DIR/fs/path/sub/file" 8
	ln "$DIR/fs/path/sub/file" "$DIR/fs/path/second"
	P=$DIR/fs/path
	vol build backend=quota space_limit=2M
	[ -z "$(mounts_below "$P")" ]
	run fill "$P/sub/more" 32
	[[ $output == *'quota exceeded'* || $output == *'No space left'* ]]
	[[ $("$DRIVER" build "$REC.2" id=8 "place=$PLACE" "path=$P/sub" backend=quota space_limit=1M) == Busy:* ]]
	vol recount >"$DIR/out"
	denied grep corrected "$DIR/out"
	destroyed
	[ "$(lsattr -pd "$P" | awk '{ print $1 }')" = 0 ]
	[ "$(lsattr -p "$P/sub" | awk '{ print $1 }' | sort -u)" = 0 ]
	fill "$P/sub/more" 64
}

@test "quota: recount corrects what the kernel counted wrong" {
	quota_place
	vol build backend=native space_limit=16M
	fill "$VOL/file" 16
	mkdir "$DIR/fs/other"
	fill "$DIR/fs/other/file" 16
	mv "$DIR/fs/other" "$PLACE/porto_volumes/7/native/data/" # keeps no project: moved in from outside of the mount
	vol recount >"$DIR/out"
	[ "$(vol usage | cut -d' ' -f1)" -ge $((2 << 20)) ]
	destroyed
}

@test "native: xfs limits by project as well" {
	command -v mkfs.xfs >/dev/null || skip 'no mkfs.xfs'
	quota_place xfs 320M
	vol build space_limit=4M inode_limit=20
	run fill "$VOL/file" 100
	[[ $output == *'quota exceeded'* || $output == *'No space left'* ]]
	[ "$(vol usage | awk '{ print $1 + $3 }')" = $((4 << 20)) ]
	destroyed
}

@test "storage on btrfs: a limit becomes an image, and layers are copied" {
	command -v mkfs.btrfs >/dev/null || skip 'no mkfs.btrfs'
	place_on btrfs 128M || skip 'no btrfs in this kernel'
	vol build space_limit=16M "$LAYERS"
	[ "$(cat "$VOL/both")" = top ]
	destroyed
	vol build backend=native "$LAYERS"
	[ "$(cat "$VOL/both")" = top ]
	destroyed
}

# ---- guarantees ----

@test "guarantee: needs that much free, beside what others are promised" {
	place_on ext4 64M
	vol prepare backend=plain
	vol guarantee space_guarantee=100M # plain ones are not counted
	vol prepare "$LAYERS"
	vol guarantee space_guarantee=20M inode_guarantee=100
	[[ $(vol guarantee space_guarantee=100M) == NoSpace:* ]]
	[[ $(vol guarantee space_guarantee=20M others.space=40M) == NoSpace:* ]]
	[[ $(vol guarantee inode_guarantee=1000000) == NoSpace:* ]]
	refused InvalidValue "$LAYERS" space_guarantee=20M space_limit=10M
}

# ---- paths ----

@test "path: a given one is mounted on and stays; a link in it, a file, a missing one is refused" {
	mkdir -p "$DIR/real/path"
	ln -s real "$DIR/link"
	touch "$DIR/file"
	P=$DIR/real/path
	vol build backend=plain
	has_options "$P" nodev nosuid
	destroyed
	nothing_left "$DIR/real"
	[ -d "$P" ]
	for P in "$DIR/link/path" "$DIR/file" "$DIR/none" "$DIR/real/../real/path" relative; do
		refused InvalidPath backend=plain
	done
}

@test "path: what was mounted there before stays, what came on top of the volume goes" {
	mkdir "$DIR/path"
	mount -t tmpfs before "$DIR/path"
	touch "$DIR/path/before"
	P=$DIR/path
	vol build backend=plain
	mount -t tmpfs over "$DIR/path"
	mkdir "$DIR/path/sub"
	mount -t tmpfs below "$DIR/path/sub"
	[ "$(vol mounted)" = no ]
	vol destroy
	[ -e "$DIR/path/before" ]
	[ "$(mounts_below "$DIR")" = "$DIR/path" ]
	vol destroy
	[ -e "$DIR/path/before" ]
}

@test "path: an automatic one in another directory is made with its parent, and goes" {
	mkdir "$DIR/root"
	"$DRIVER" build "$REC" id=7 "place=$PLACE" "path=$DIR/root/porto/volume_7" auto=true backend=plain
	has_options "$DIR/root/porto/volume_7" nodev nosuid
	"$DRIVER" destroy "$REC" id=7 "place=$PLACE" "path=$DIR/root/porto/volume_7" auto=true backend=plain
	[ -z "$(ls "$DIR/root/porto")" ]
	nothing_left
}

@test "path: an automatic one in another volume of the place" {
	local words=(id=8 "place=$PLACE" "path=$VOL/porto/volume_8" auto=true backend=tmpfs space_limit=1M)
	vol build backend=plain
	"$DRIVER" build "$REC.2" "${words[@]}"
	has_options "$VOL/porto/volume_8" size=1024k
	"$DRIVER" destroy "$REC.2" "${words[@]}"
	[ "$(mounts_below "$PLACE/porto_volumes")" = "$VOL" ]
	destroyed
}

@test "path: replaced by a link all the time, nothing is ever mounted beyond" {
	mkdir "$DIR/path" "$DIR/other"
	timeout 50 "$DRIVER" race 300 id=7 "place=$PLACE" "path=$DIR/path" "other=$DIR/other" backend=tmpfs space_limit=1M
	[ -z "$(mounts_below "$DIR")" ]
}

@test "path: moved away with the mount on it, the volume is still found and goes" {
	mkdir -p "$DIR/dir/path"
	P=$DIR/dir/path
	vol build backend=plain
	grep -q '^mount = [0-9]\{10\}' "$REC" || skip 'mounts have no numbers of their own before Linux 6.8'
	mv "$DIR/dir" "$DIR/moved"
	ln -s moved "$DIR/dir"
	[ "$(vol mounted)" = no ]
	destroyed
	[ -z "$(mounts_below "$DIR")" ]
}

@test "storage: a missing one, a file, or a link in its path is refused" {
	mkdir "$DIR/real"
	ln -s real "$DIR/link"
	touch "$DIR/file"
	refused InvalidPath backend=plain "storage=$DIR/none"
	refused InvalidPath backend=plain "storage=$DIR/link"
	refused InvalidPath backend=plain "storage=$DIR/file"
	refused InvalidPath backend=overlay "storage=$DIR/link" "$LAYERS"
	refused InvalidPath backend=bind "storage=$DIR/none"
}

@test "destroy: of a volume that others unmounted and removed is fine, and twice" {
	vol build "$LAYERS"
	umount "$VOL"
	[ "$(vol mounted)" = no ]
	rm -rf "$PLACE/porto_volumes/7"
	destroyed
	destroyed
	vol build "$LAYERS"
	destroyed
}

@test "destroy: of one that is in use is done at once, its device goes with the last user" {
	vol build backend=loop space_limit=8M
	exec 8>"$VOL/file"
	vol destroy
	[ -z "$(mounts_below "$PLACE/porto_volumes")" ]
	echo still >&8
	[ -n "$(loops_below "$DIR")" ]
	exec 8>&-
	nothing_left
}

# ---- links ----

@test "link: mounts at a target that is made for the client; suid works only for root, devices don't" {
	mkdir -p "$DIR/root/home"
	chown games "$DIR/root/home"
	vol build backend=plain
	touch "$VOL/file"
	vol link "root=$DIR/root" target=/home/a/b "link.uid=$(id -u games)" "link.gid=$(id -g games)"
	[ -e "$DIR/root/home/a/b/file" ]
	[ "$(stat -c '%U %G' "$DIR/root/home/a")" = "games $(id -gn games)" ]
	has_options "$DIR/root/home/a/b" rw nodev relatime
	has_options "$DIR/root/home/a/b" nosuid
	vol unlink "root=$DIR/root" target=/home/a/b
	vol link "root=$DIR/root" target=/home/a/b
	denied has_options "$DIR/root/home/a/b" nosuid
	vol unlink "root=$DIR/root" target=/home/a/b
	[ -z "$(mounts_below "$DIR/root")" ]
	[[ $(vol unlink "root=$DIR/root" target=/home/a/b) == VolumeNotLinked:* ]]
	destroyed
}

@test "link: the client's rights decide what is made" {
	mkdir -p "$DIR/root/dir"
	vol build backend=plain
	[[ $(vol link "root=$DIR/root" target=/dir/a "link.uid=$(id -u games)" "link.gid=$(id -g games)") == Permission:* ]]
	chgrp users "$DIR/root/dir"
	chmod 775 "$DIR/root/dir"
	[[ $(vol link "root=$DIR/root" target=/dir/a "link.uid=$(id -u games)" "link.gid=$(id -g games)") == Permission:* ]]
	vol link "root=$DIR/root" target=/dir/a "link.uid=$(id -u games)" "link.gid=$(getent group users | cut -d: -f3)"
	vol unlink "root=$DIR/root" target=/dir/a
	# what is there already must be the client's own
	[[ $(vol link "root=$DIR/root" target=/dir "link.uid=$(id -u games)" "link.gid=$(id -g games)") == Permission:* ]]
	chown games "$DIR/root/dir"
	vol link "root=$DIR/root" target=/dir "link.uid=$(id -u games)" "link.gid=$(getent group users | cut -d: -f3)"
	vol unlink "root=$DIR/root" target=/dir
	destroyed
}

@test "link: a symbolic link in the way is removed, and never followed out of the root" {
	mkdir -p "$DIR/root" "$DIR/outside"
	ln -s "$DIR/outside" "$DIR/root/way"
	ln -s ../../outside "$DIR/root/other"
	vol build backend=plain
	vol link "root=$DIR/root" target=/way/in
	vol unlink "root=$DIR/root" target=/way/in
	vol link "root=$DIR/root" target=/other
	vol unlink "root=$DIR/root" target=/other
	[ -z "$(ls "$DIR/outside")" ]
	[ -d "$DIR/root/way/in" ] && [ ! -L "$DIR/root/other" ]
	local target
	for target in ../outside /a/../../outside relative / ''; do
		[[ $(vol link "root=$DIR/root" "target=$target") == InvalidPath:* ]] || fail "$target"
	done
	touch "$DIR/root/file"
	[[ $(vol link "root=$DIR/root" target=/file) == InvalidPath:* ]]
	[[ $(vol link "root=$DIR/root" target=/file/in) == InvalidPath:* ]]
	destroyed
}

@test "link: read-only, and of a file on a file" {
	mkdir "$DIR/root"
	echo text >"$DIR/file"
	vol build backend=bind "storage=$DIR/file"
	vol link "root=$DIR/root" target=/etc/file ro=true
	[ "$(cat "$DIR/root/etc/file")" = text ]
	denied bash -c "echo x >$DIR/root/etc/file"
	vol unlink "root=$DIR/root" target=/etc/file
	destroyed
}

@test "link: of dir is recursive when asked" {
	mkdir -p "$DIR/root" "$DIR/path/sub"
	mount -t tmpfs none "$DIR/path/sub"
	touch "$DIR/path/sub/file"
	P=$DIR/path
	vol build backend=dir
	vol link "root=$DIR/root" target=/a rec=true
	[ -e "$DIR/root/a/sub/file" ]
	vol unlink "root=$DIR/root" target=/a
	[ -z "$(mounts_below "$DIR/root")" ]
	vol link "root=$DIR/root" target=/a
	[ ! -e "$DIR/root/a/sub/file" ]
	vol unlink "root=$DIR/root" target=/a
	[ -e "$DIR/path/sub/file" ]
}

@test "unlink: strict is refused while in use, the usual one is not" {
	mkdir "$DIR/root"
	vol build backend=plain
	vol link "root=$DIR/root" target=/a
	exec 8>"$DIR/root/a/file"
	[[ $(vol unlink "root=$DIR/root" target=/a strict=true) == Busy:* ]]
	exec 8>&-
	mkdir "$DIR/root/a/sub"
	mount -t tmpfs none "$DIR/root/a/sub"
	[[ $(vol unlink "root=$DIR/root" target=/a strict=true) == Busy:* ]]
	umount "$DIR/root/a/sub"
	vol unlink "root=$DIR/root" target=/a strict=true
	vol link "root=$DIR/root" target=/a
	mount -t tmpfs none "$DIR/root/a/sub"
	exec 8>"$DIR/root/a/file"
	vol unlink "root=$DIR/root" target=/a
	[ -z "$(mounts_below "$DIR/root")" ]
	exec 8>&-
	destroyed
}

@test "unlink: finds the mount where its directory was moved" {
	mkdir -p "$DIR/root/a/b"
	vol build backend=plain
	vol link "root=$DIR/root" target=/a/b
	grep -q '[0-9]\{10\}' "$REC.link" || skip 'mounts have no numbers of their own before Linux 6.8'
	mv "$DIR/root/a" "$DIR/root/c"
	vol unlink "root=$DIR/root" target=/a/b
	[ -z "$(mounts_below "$DIR/root")" ]
	destroyed
}

@test "link: of something else than the volume is refused" {
	mkdir -p "$DIR/root" "$DIR/path"
	P=$DIR/path
	vol build backend=plain
	umount "$P"
	[[ $(vol link "root=$DIR/root" target=/a) == VolumeNotReady:* ]]
	[ ! -e "$DIR/root/a" ]
	destroyed
}

@test "unlink: leaves what was mounted there by others before" {
	mkdir -p "$DIR/root/a"
	mount -t tmpfs before "$DIR/root/a"
	touch "$DIR/root/a/before"
	vol build backend=plain
	vol link "root=$DIR/root" target=/a
	vol unlink "root=$DIR/root" target=/a
	[[ $(vol unlink "root=$DIR/root" target=/a) == VolumeNotLinked:* ]]
	[ -e "$DIR/root/a/before" ]
	destroyed
}

# ---- killed at every step ----

CALLS=mkdirat,fchmod,fchown,ftruncate,fallocate,fsconfig,fsmount,mount_setattr,move_mount,open_tree,mount,umount2,unlinkat,renameat2,ioctl
CALLS+=,vfork,clone3

# steps VERB: each call of a run of the driver, as `name count`: the second mkdirat is `mkdirat 2`.
steps() {
	strace -qq -o "$DIR/trace" -e trace="${CALLS/vfork,clone3/wait4}" "${COMMAND[@]}" >"$DIR/out" || { cat "$DIR/out"; return 1; }
	sed -n 's/^\([a-z0-9_]*\)(.*/\1/p' "$DIR/trace" | awk '{ print $1, ++n[$1] }'
}

# killed_at CALL N: the command dies before its Nth CALL.
killed_at() {
	! ASAN_OPTIONS=detect_leaks=0 strace -qq -o /dev/null -e "trace=$1" -e "inject=$1:signal=SIGKILL:when=$2" "${COMMAND[@]}" \
		>/dev/null 2>&1 || fail "not killed at $1 $2"
}

# crash [KEY=VALUE...]: building and destroying killed at every step; what is left then goes with one destroy, and the
# volume can be made again.
crash() {
	local call n
	export ASAN_OPTIONS=detect_leaks=0
	WORDS=("$@")
	COMMAND=("$DRIVER" build "$REC" id=7 "place=$PLACE" "path=$VOL" auto=true "$@")
	steps build >"$DIR/steps"
	destroyed
	while read -r call n; do
		killed_at "$call" "$n" || return
		[ ! -e "$REC" ] || destroyed || fail "killed at $call $n of build" || return
	done <"$DIR/steps"
	vol build "$@"
	COMMAND=("$DRIVER" destroy "$REC" id=7 "place=$PLACE" "path=$VOL" auto=true "$@")
	cp "$REC" "$DIR/ready"
	steps destroy >"$DIR/steps"
	nothing_left
	while read -r call n; do
		vol build "$@"
		killed_at "$call" "$n" || return
		destroyed || fail "killed at $call $n of destroy" || return
	done <"$DIR/steps"
	rm -rf "$PLACE"/porto_volumes/_remove_*
	[ -z "$(ls "$PLACE/porto_volumes")" ]
}

@test "crash: an overlay killed at every step leaves nothing" {
	crash "$LAYERS"
}

@test "crash: an overlay on an image killed at every step leaves neither mount nor device" {
	crash "$LAYERS" space_limit=8M backend=overlay
}

@test "crash: layers that are images, killed at every step" {
	command -v mksquashfs >/dev/null || skip 'no mksquashfs'
	mksquashfs "$DIR/l1" "$DIR/image" -quiet -no-progress >/dev/null
	crash "layers=$DIR/image;$DIR/l2"
}

@test "crash: a project killed at every step has no limits afterwards" {
	quota_place
	crash "$LAYERS" space_limit=8M
	[ -z "$(repquota -P -n "$DIR/fs" 2>/dev/null | awk '$1 ~ /^#/ && $1 != "#0" && ($5 > 0 || $9 > 0)')" ]
}
