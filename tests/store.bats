#!/usr/bin/env bats
# porto-store by itself: archives into trees and back, hostile ones too, and what is left when it is killed.
# shellcheck disable=SC2012,SC2030,SC2031,SC2034 # names of ours; a test is a process of its own

bats_require_minimum_version 1.5.0
PORTOD_OPTIONS=(none)
load helpers

setup() {
	T=$BATS_TEST_TMPDIR PLACE=$BATS_TEST_TMPDIR/place
	mkdir -m 700 "$PLACE"
	: >"$T/status"
}

teardown() {
	! mountpoint -q "$T/disk" || umount "$T/disk"
}

# store ARGUMENTS...: stdin and stdout are the archive.
store() {
	"$PORTO_BUILD/porto-store" "$@" 3<>"$T/status" 4<"$PLACE" 5<"${FROM:-$PLACE}" 6<"${INTO:-$PLACE}"
}

# page: the words on the status page.
page() {
	tr -s ' ' <"$T/status" | sed '/^ *$/d'
}

# refused KIND PATTERN ARGUMENTS...: fails with that kind and a sentence that matches, and leaves nothing in the place but KEPT.
refused() {
	local kind=$1 pattern=$2 number
	shift 2
	number=$(sed -n "s/^ERR($kind, \([0-9]*\), .*/\1/p" "$REPO/base/err.def")
	! store "$@" || fail "it works: $*"
	# shellcheck disable=SC2053 # a pattern
	[[ "$(page)" == "failed $number "*$pattern* ]] || fail "expected $kind ($number) '$pattern', the page says: $(page)"
	[ "$(ls -A "$PLACE")" = "${KEPT:-}" ] || fail "left in the place: $(ls -A "$PLACE")"
}

# fails COMMAND...: the command does.
fails() {
	! "$@" || fail "it works: $*"
}

# tree DIR: everything that is to survive, a line a file.
tree() {
	(
		cd "$1" || exit
		find . -printf '%P|%y|%m|%U:%G|%T@|%l|' -type d -printf '\n' -o -printf '%P|%y|%m|%U:%G|%T@|%l|' -printf '%s|%n\n' |
			sed 's/^[^|]*|d|.*|$/&/' | sort
		find . -type f -exec md5sum {} + | sort
		find . -type f -o -type d | sort | xargs getfattr -d -h -m - 2>/dev/null
		find . \( -type c -o -type b \) -exec stat -c '%n %t:%T' {} + | sort
		find . ! -type l -print0 | sort -z | xargs -0 getfacl -n 2>/dev/null # -R has the order of the directory
	)
}

same_tree() {
	tree "$1" >"$T/tree-a" && tree "$2" >"$T/tree-b" && diff "$T/tree-a" "$T/tree-b"
}

# tarball PYTHON: a tar made by hand: add(name, type=..., linkname=..., data=b"", mode=..., pax={}).
tarball() {
	python3 - "$1" <<-'PY'
		import io, sys, tarfile
		out = tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.PAX_FORMAT)
		FILE, DIR, SYM, LINK, CHR, FIFO = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE
		def add(name, type=FILE, data=b"", linkname="", mode=0o644, pax={}, dev=(0, 0), mtime=1000000000):
		    t = tarfile.TarInfo(name)
		    t.type, t.size, t.linkname, t.mode, t.mtime, t.pax_headers = type, len(data), linkname, mode, mtime, pax
		    t.devmajor, t.devminor = dev
		    out.addfile(t, io.BytesIO(data))
		exec(sys.argv[1])
		out.close()
	PY
}

# A tree with one of everything.
make_tree() {
	local d=$1
	mkdir -p "$d/dir/sub" "$d/sticky" "$d/default-acl" && echo content >"$d/dir/file" && ln "$d/dir/file" "$d/dir/sub/other name"
	echo setuid >"$d/setuid" && chown 1:2 "$d/setuid" && chmod 6755 "$d/setuid"
	chmod 1777 "$d/sticky" && ln -s ../nowhere "$d/dir/symlink" && mkfifo -m 620 "$d/fifo"
	mknod "$d/null" c 1 3 && mknod "$d/block" b 7 200 && : >"$d/empty" && mkdir "$d/closed" && chmod 0 "$d/closed"
	setfattr -n user.colour -v blue "$d/dir/file" && setcap cap_net_raw=ep "$d/empty"
	setfacl -m u:1234:rw,g:77:r "$d/dir/file" && setfacl -d -m u:99:rwx "$d/default-acl" && echo x >"$d/default-acl/inherits"
	truncate -s 3M "$d/sparse" && echo data | dd of="$d/sparse" bs=1M seek=1 conv=notrunc status=none && truncate -s 1M "$d/hole"
	echo newline >"$d/a"$'\n'"b" && echo latin >"$d/"$'\xe4\xff' && echo utf8 >"$d/ä€"
	mkdir -p "$d/$(printf 'long-%.0s' {1..45})/$(printf 'name-%.0s' {1..45})"
	echo deep >"$d/$(printf 'long-%.0s' {1..45})/$(printf 'name-%.0s' {1..45})/file"
	chown -h 5:6 "$d/dir/symlink" && touch -h -d '1960-01-01 00:00:00.5' "$d/dir/symlink" && touch -d '2100-02-03 04:05:06.789' "$d/null"
	touch -d '2001-02-03 04:05:06.123456789' "$d/dir/sub" && touch -d @-5 "$d/dir" && touch -d '2010-01-01' "$d"
}

@test "export and import: a tree with one of everything comes back the same from tar, gz, bz2, xz and zstd" {
	make_tree "$PLACE/one"
	chmod 750 "$PLACE/one" && chown 3:4 "$PLACE/one"
	for format in tar tar.gz tar.bz2 tar.xz tar.zst; do
		store export one --format "$format" </dev/null >"$T/archive"
		store import "two-$format" <"$T/archive" >/dev/null
		same_tree "$PLACE/one" "$PLACE/two-$format"
		[ "$(stat -c %b "$PLACE/two-$format/sparse")" -lt 1000 ]
		[[ "$(page)" == "done $(stat -c %s "$T/archive") "* ]]
	done
	[ ! -d "$T/place/_import_two-tar" ]
}

@test "export: GNU tar and bsdtar read what it writes" {
	make_tree "$PLACE/one"
	store export one --format tar.zst </dev/null >"$T/archive"
	mkdir "$T/gnu" "$T/bsd"
	zstd -dc "$T/archive" | tar -x --xattrs --xattrs-include='*' --acls --same-owner -C "$T/gnu" -f - 2>"$T/errors" || cat "$T/errors"
	zstd -dc "$T/archive" | bsdtar -x -p -C "$T/bsd" -f -
	diff -r --no-dereference -x fifo -x null -x block "$PLACE/one" "$T/gnu"
	diff -r --no-dereference -x fifo -x null -x block "$PLACE/one" "$T/bsd"
	[ "$(getfattr --only-values -n user.colour "$T/gnu/dir/file")" = blue ]
	[[ "$(getfacl -cn "$T/gnu/dir/file" 2>/dev/null)" == *user:1234:rw-* ]]
}

@test "import: archives of GNU tar, bsdtar and python, by magic bytes or by name" {
	make_tree "$PLACE/one"
	tar -C "$PLACE/one" --xattrs --xattrs-include='*' --acls --sparse --format=pax -cf "$T/gnu.tar" .
	store import gnu <"$T/gnu.tar" >/dev/null
	same_tree "$PLACE/one" "$PLACE/gnu"
	touch -h -d 1960-01-01 "$PLACE/one/dir/symlink" # whose fraction bsdtar gets wrong
	bsdtar -C "$PLACE/one" --format pax -czf "$T/bsd.tar.gz" .
	tar -C "$PLACE/one" --format=gnu -cJf "$T/old.tar.xz" .
	store import bsd --format tgz <"$T/bsd.tar.gz" >/dev/null
	store import old <"$T/old.tar.xz" >/dev/null
	same_tree "$PLACE/one" "$PLACE/bsd"
	diff -r --no-dereference -x fifo -x null -x block "$PLACE/one" "$PLACE/old"
	KEPT=$(ls -A "$PLACE") refused InvalidValue 'damaged' import three --format tar.zst <"$T/bsd.tar.gz"
	KEPT=$(ls -A "$PLACE") refused InvalidValue 'unknown format' import three --format rar <"$T/gnu.tar"
}

@test "squashfs: a tree goes through an image and back, compressed as was asked for" {
	mkdir -p "$PLACE/one/dir" && echo content >"$PLACE/one/dir/file" && ln "$PLACE/one/dir/file" "$PLACE/one/hard"
	mknod "$PLACE/one/gone" c 0 0 && setfattr -n trusted.overlay.opaque -v y "$PLACE/one/dir" && chmod 4711 "$PLACE/one/hard"
	setfattr -n user.a -v b "$PLACE/one/dir/file" && touch -d 2001-01-01 "$PLACE/one/dir/file" "$PLACE/one/dir" "$PLACE/one/gone" "$PLACE/one"
	for format in squashfs gzip.squashfs; do
		store export one --format "$format" </dev/null >"$T/image"
		chmod 600 "$T/image" # nobody may not read it
		store import two <"$T/image" >/dev/null
		same_tree "$PLACE/one" "$PLACE/two"
		mv "$PLACE/two" "$PLACE/_remove_two" && store remove two
	done
	[ "$(dd if="$T/image" bs=1 skip=20 count=1 status=none | od -An -tu1 | tr -d ' ')" = 1 ]
	head -c 200 "$T/image" >"$T/cut"
	KEPT=one refused InvalidValue sqfs2tar import three <"$T/cut"
	KEPT=one refused NotSupported 'regular file' import three < <(cat "$T/image")
}

@test "import: a name that is there, one that is none, an empty archive, one that is no archive" {
	mkdir "$PLACE/there"
	KEPT=there refused LayerAlreadyExists there import there </dev/null
	KEPT=there refused VolumeAlreadyExists there import there --storage </dev/null
	KEPT=there refused InvalidValue 'no name' import _import_x </dev/null
	KEPT=there refused InvalidValue 'no name' import ../x </dev/null
	KEPT=there refused InvalidValue empty import x </dev/null
	KEPT=there refused InvalidValue "can't be read" import x <"$PORTO_BUILD/porto-store"
	KEPT=there refused LayerNotFound absent export absent </dev/null
	FROM=$T/status KEPT=there refused InvalidCommand descriptor copy </dev/null
}

# ---- whiteouts ----

@test "import: whiteouts of AUFS and OCI become overlayfs's, others of AUFS's names go" {
	tarball 'add("d", DIR); add("d/.wh.gone"); add(".wh.top"); add("o", DIR); add("o/.wh..wh..opq"); add("o/new", data=b"x")
add(".wh..wh.aufs"); add(".wh..wh.plnk", DIR); add(".wh..wh.plnk/1.2", data=b"x"); add("p/q/.wh.r")
add("both", DIR); add("both/kept"); add(".wh.both"); add(".wh.later"); add("later", DIR); add("later/f")
add(".wh.file"); add("file", data=b"y")' >"$T/tar"
	store import one <"$T/tar" >/dev/null
	for name in d/gone top p/q/r; do
		[ "$(stat -c '%F %t:%T' "$PLACE/one/$name")" = 'character special file 0:0' ]
	done
	for name in o both later; do
		[ "$(getfattr -d -m - "$PLACE/one/$name" 2>/dev/null | grep -v '^#')" = 'trusted.overlay.opaque="y"' ] || fail "$name"
	done
	[ -f "$PLACE/one/both/kept" ]
	[ -f "$PLACE/one/later/f" ]
	[ "$(cat "$PLACE/one/file")" = y ]
	[ -z "$(find "$PLACE/one" -name '.wh.*')" ]
	[ "$(stat -c %Y "$PLACE/one/d")" = 1000000000 ]
}

@test "import: an opaque whiteout on the top marks the top, and comes out again where it was" {
	tarball 'add(".wh..wh..opq"); add("f")' >"$T/tar"
	store import one <"$T/tar" >/dev/null
	[ "$(getfattr --only-values -n trusted.overlay.opaque "$PLACE/one")" = y ]
	store export one --whiteouts oci </dev/null >"$T/out"
	[ "$(tar tf "$T/out" | sort | paste -sd' ')" = './ ./.wh..wh..opq ./f' ]
}

@test "export: whiteouts stay overlayfs's or become OCI's" {
	mkdir -p "$PLACE/one/dir" && mknod "$PLACE/one/dir/gone" c 0 0 && setfattr -n trusted.overlay.opaque -v y "$PLACE/one/dir"
	ln "$PLACE/one/dir/gone" "$PLACE/one/gone-too" && mknod "$PLACE/one/null" c 1 3
	store export one --whiteouts oci </dev/null >"$T/oci"
	[ "$(tar tf "$T/oci" | sort | paste -sd' ')" = './ ./.wh.gone-too ./dir/ ./dir/.wh..wh..opq ./dir/.wh.gone ./null' ]
	[ -z "$(tar -xOf "$T/oci")" ]
	fails grep -q overlay "$T/oci"
	store export one --whiteouts overlay </dev/null >"$T/overlay"
	for kind in oci overlay; do
		store import "$kind" <"$T/$kind" >/dev/null
		[ "$(stat -c '%F %t:%T' "$PLACE/$kind/gone-too" "$PLACE/$kind/dir/gone" | uniq)" = 'character special file 0:0' ]
		[ "$(getfattr --only-values -n trusted.overlay.opaque "$PLACE/$kind/dir")" = y ]
	done
	KEPT=$(ls -A "$PLACE") refused InvalidValue "not 'some'" export one --whiteouts some </dev/null
}

@test "import: whiteouts are names like any other in a storage and in a merge" {
	tarball 'add("a"); add(".wh.b"); add(".wh..wh..opq")' >"$T/tar"
	store import one --storage <"$T/tar" >/dev/null
	[ "$(ls -A "$PLACE/one" | paste -sd' ')" = '.wh..wh..opq .wh.b a' ]
	mkdir "$PLACE/two" && store import two --merge <"$T/tar" >/dev/null
	[ "$(ls -A "$PLACE/two" | paste -sd' ')" = '.wh..wh..opq .wh.b a' ]
}

@test "import: whiteouts that name nothing or something below a whiteout are refused" {
	for name in .wh. .wh... .wh.. a/.wh.. .wh.x/y; do
		tarball "add('$name')" >"$T/tar"
		refused InvalidValue whiteout import one <"$T/tar"
	done
}

# ---- merge, copy, remove ----

@test "merge: new files over an existing layer, other types replaced, and the old one whole until the end" {
	mkdir -p "$PLACE/one/stays" "$PLACE/one/becomes-file/x" && echo old >"$PLACE/one/file" && ln "$PLACE/one/file" "$PLACE/one/twin"
	echo f >"$PLACE/one/becomes-dir" && setfattr -n trusted.overlay.opaque -v y "$PLACE/one/stays" && touch -d 2001-01-01 "$PLACE/one/stays"
	cp -a --reflink=never "$PLACE/one" "$T/old"
	tarball 'add("file", data=b"new"); add("becomes-file", data=b"z"); add("becomes-dir", DIR); add("becomes-dir/n"); add("stays/more")' >"$T/tar"
	head -c 2000 "$T/tar" >"$T/cut"
	KEPT=one refused InvalidValue '' import one --merge <"$T/cut"
	same_tree "$T/old" "$PLACE/one"
	store import one --merge <"$T/tar" >/dev/null
	[ "$(cat "$PLACE/one/file" "$PLACE/one/twin" "$PLACE/one/becomes-file")" = newold$'\n'z ]
	[ -f "$PLACE/one/becomes-dir/n" ]
	[ -f "$PLACE/one/stays/more" ]
	[ "$(ls -A "$PLACE")" = one ]
	[ "$(getfattr --only-values -n trusted.overlay.opaque "$PLACE/one/stays")" = y ]
	[ "$(stat -c %Y "$PLACE/one/stays")" = "$(stat -c %Y "$T/old/stays")" ]
	store import new --merge <"$T/tar" >/dev/null
	[ "$(cat "$PLACE/new/file")" = new ]
}

@test "copy: a tree over another one, with whiteouts and opaque directories applied" {
	make_tree "$T/from" && mkdir "$T/into"
	FROM=$T/from INTO=$T/into store copy
	same_tree "$T/from" "$T/into"
	mkdir -p "$T/layer/dir" && mknod "$T/layer/setuid" c 0 0 && setfattr -n trusted.overlay.opaque -v y "$T/layer/dir" && echo n >"$T/layer/dir/new"
	FROM=$T/layer INTO=$T/into store copy
	[ ! -e "$T/into/setuid" ]
	[ "$(ls -A "$T/into/dir")" = new ]
	[ -e "$T/into/empty" ]
	[ -z "$(getfattr -d -m overlay "$T/into/dir")" ]
	[[ "$(page)" == 'done '* ]]
}

@test "remove: a tree that was renamed goes, and nothing that its links lead to; one that isn't there is fine" {
	mkdir -p "$T/outside" "$PLACE/_remove_one/a/b" && touch "$T/outside/kept" && ln -s "$T/outside" "$PLACE/_remove_one/a/link"
	store remove one
	[ -z "$(ls -A "$PLACE")" ]
	[ -e "$T/outside/kept" ]
	store remove one
	[[ "$(page)" == "done 0 0"* ]]
}

@test "export-dir: any directory; the archive bears its sum and the size of the tree" {
	mkdir "$T/upper" && echo x >"$T/upper/f"
	FROM=$T/upper store export-dir --format tar.gz </dev/null >"$T/out"
	[ "$(tar tzf "$T/out" | paste -sd' ')" = './ ./f' ]
	[ "$(getfattr --only-values -n user.porto.md5sum "$T/out")" = "$(md5sum <"$T/out" | cut -d' ' -f1)" ]
	[ "$(getfattr --only-values -n user.porto.unpacked_size "$T/out")" = 2 ]
}

# ---- hostile archives ----

@test "hostile names: '..' is refused, absolute names land in the layer, newlines are names" {
	for name in ../escape a/../../escape .. 'd/..'; do
		tarball "add('$name')" >"$T/tar"
		refused InvalidValue "'..' is not allowed" import one <"$T/tar"
	done
	[ ! -e "$T/escape" ]
	tarball 'add("/etc/porto-store-test", data=b"x"); add("//a//b/./c"); add("n\nl")' >"$T/tar"
	store import one <"$T/tar" >/dev/null
	[ -f "$PLACE/one/etc/porto-store-test" ]
	[ ! -e /etc/porto-store-test ]
	[ -f "$PLACE/one/a/b/c" ]
	[ -f "$PLACE/one/n"$'\n'l ]
	tarball 'add("'"$(printf 'x%.0s' {1..256})"'")' >"$T/tar"
	KEPT=one refused InvalidValue 'at most 255' import two <"$T/tar"
	tarball 'add("x\n/../y")' >"$T/tar"
	KEPT=one refused InvalidValue 'x\\x0a/../y' import two <"$T/tar"
}

@test "hostile links: nothing goes through a symbolic link, nothing is linked from outside" {
	mkdir "$T/outside" && echo safe >"$T/outside/file"
	tarball "add('l', SYM, linkname='$T/outside'); add('l/evil')" >"$T/tar"
	refused InvalidValue 'symbolic link' import one <"$T/tar"
	tarball "add('l', SYM, linkname='.'); add('l/evil')" >"$T/tar"
	refused InvalidValue 'symbolic link' import one <"$T/tar"
	for target in "$T/outside/file" /etc/passwd nothing; do
		tarball "add('h', LINK, linkname='$target')" >"$T/tar"
		refused InvalidValue 'hard link' import one <"$T/tar"
	done
	tarball "add('h', LINK, linkname='../../outside/file')" >"$T/tar"
	refused InvalidValue "'..'" import one <"$T/tar"
	tarball "add('l', SYM, linkname='$T/outside'); add('h', LINK, linkname='l/file')" >"$T/tar"
	refused InvalidValue 'hard link' import one <"$T/tar"
	# over a link comes a file: the link is replaced, not followed; and so is one of two names of a file
	tarball "add('l', SYM, linkname='$T/outside/file'); add('l', data=b'new'); add('a', data=b'a'); add('b', LINK, linkname='a'); add('b', data=b'b')" >"$T/tar"
	store import one <"$T/tar" >/dev/null
	[ "$(cat "$PLACE/one/l" "$PLACE/one/a" "$PLACE/one/b")" = newab ]
	[ "$(cat "$T/outside/file")" = safe ]
}

@test "hostile attributes: trusted and security are dropped but for capabilities and the opaque mark of a directory" {
	tarball 'x = lambda **k: {"SCHILY.xattr." + n.replace("__", "."): v for n, v in k.items()}
add("d", DIR, pax=x(trusted__overlay__opaque="y", user__a="1")); add("e", DIR, pax=x(trusted__overlay__opaque="x", trusted__overlay__redirect="/etc"))
add("f", pax=x(trusted__overlay__opaque="y", trusted__overlay__metacopy="", trusted__md5="1", security__selinux="s", security__ima="i", user__b="2"))' >"$T/tar"
	store import one <"$T/tar" >/dev/null
	[ "$(cd "$PLACE/one" && getfattr -d -m - . d e f 2>/dev/null | paste -sd' ')" = \
		'# file: d trusted.overlay.opaque="y" user.a="1"  # file: f user.b="2" ' ]
}

@test "hostile types: devices and setuid files are what the archive says, but nobody else gets there" {
	tarball 'add("dev", CHR, dev=(1, 1), mode=0o666); add("su", data=b"x", mode=0o6755); add("p", FIFO, mode=0o622); add(".", DIR, mode=0o2777)' >"$T/tar"
	store import one <"$T/tar" >/dev/null
	[ "$(cd "$PLACE/one" && stat -c '%n %a %F' . dev su p | paste -sd,)" = \
		'. 2777 directory,dev 666 character special file,su 6755 regular file,p 622 fifo' ]
	fails outsider daemon cat "$PLACE/one/su"
	tarball 'add(".")' >"$T/tar"
	KEPT=one refused InvalidValue 'no directory' import two <"$T/tar"
}

@test "hostile bytes: cut off and with flipped bits, every compression leaves nothing" {
	make_tree "$PLACE/one" && head -c 200000 /dev/urandom >"$PLACE/one/random"
	KEPT=one
	for format in tar tar.gz tar.bz2 tar.xz tar.zst; do
		store export one --format "$format" </dev/null >"$T/archive"
		size=$(stat -c %s "$T/archive")
		head -c $((size / 2)) "$T/archive" >"$T/cut"
		refused InvalidValue '' import two <"$T/cut"
		refused InvalidValue '' import two < <(cat "$T/cut")
		[ "$format" != tar ] || continue # it has no checksum over data
		for at in $((size / 2)) $((size - 6)); do
			python3 -c 'import sys; b = bytearray(open(sys.argv[1], "rb").read()); b[int(sys.argv[2])] ^= 16; open(sys.argv[3], "wb").write(b)' \
				"$T/archive" "$at" "$T/flipped"
			refused InvalidValue '' import two <"$T/flipped"
		done
	done
}

@test "hostile size: zeros without end take no space on disk, and a full disk leaves nothing" {
	truncate -s 12M "$T/image" && mkfs.ext4 -q "$T/image" && mkdir "$T/disk" && mount -o loop "$T/image" "$T/disk"
	mkdir -m 700 "$T/disk/place" && PLACE=$T/disk/place
	truncate -s 300M "$T/zeros"
	tar -C "$T" --format=posix -c zeros | zstd -q >"$T/bomb" # it is no sparse archive: the zeros are in there
	store import one <"$T/bomb" >/dev/null
	[ "$(stat -c '%s %b' "$PLACE/one/zeros")" = "$((300 << 20)) 0" ]
	tarball 'import os
for i in range(16): add("f%d" % i, data=os.urandom(1 << 20))' >"$T/big"
	KEPT=one refused NoSpace 'no space left' import two <"$T/big"
	KEPT=one refused NoSpace 'no space left' import one --merge <"$T/big"
	tarball 'for i in range(5000): add("f%d" % i)' >"$T/many"
	KEPT=one refused NoSpace 'no space left' import two <"$T/many"
	[ "$(df --output=used -k "$T/disk" | tail -n 1)" -lt 2000 ]
}

@test "many tiny entries: memory does not grow with them" {
	python3 - >"$T/tar" <<-'PY'
		import sys, tarfile
		for i in range(30000):
		    t = tarfile.TarInfo("d%d/" % (i // 500) if i % 500 == 0 else "d%d/f%d" % (i // 500, i))
		    t.type = tarfile.DIRTYPE if i % 500 == 0 else tarfile.LNKTYPE if i % 500 > 1 else tarfile.REGTYPE
		    t.linkname = "d%d/f%d" % (i // 500, i // 500 * 500 + 1) if i % 500 > 1 else ""
		    sys.stdout.buffer.write(t.tobuf(tarfile.USTAR_FORMAT))
		sys.stdout.buffer.write(bytes(1024))
	PY
	store import one <"$T/tar" >/dev/null
	[ "$(find "$PLACE/one" | wc -l)" = 30001 ]
}

# ---- the ring ----

# ringer MODE CHUNK ARGUMENTS...: store with a ring, as the worker would do it.
ringer() {
	local mode=$1 chunk=$2
	shift 2
	"$BUILD/ringer" "$mode" "$chunk" "$PORTO_BUILD/porto-store" "$@" --ring 10 3<>"$T/status" 4<"$PLACE" 5<"$PLACE" 6<"$PLACE"
}

@test "ring: an archive written in pieces is a layer with the last write, whatever its compression and the pieces" {
	make_tree "$PLACE/one" && head -c 3000000 /dev/urandom >"$PLACE/one/random"
	for format in tar tar.gz tar.bz2 tar.xz tar.zst; do
		store export one --format "$format" </dev/null >"$T/archive"
		for chunk in 131072 5000000; do
			[ "$(ringer put "$chunk" import two <"$T/archive")" = "put $(stat -c %s "$T/archive") whole" ]
			same_tree "$PLACE/one" "$PLACE/two"
			rm -rf "$PLACE/two"
		done
	done
	store export one --format tar.zst </dev/null | head -c 3 >"$T/archive" # less than tells what it is
	KEPT=one refused InvalidValue "can't be read" import two <"$T/archive"
	head -c 2000 "$PLACE/one/random" | cat "$T/archive" - >"$T/junk"
	fails ringer put 1 import two <"$T/junk" >"$T/said" && grep -q EINVAL "$T/said"
}

@test "ring: what is wrong with the last bytes reaches the write that brought them" {
	tarball 'add("f", data=b"x" * 50000); add("g", data=b"y"); add("../h")' >"$T/tar"
	zstd -q "$T/tar" -o "$T/zst"
	fails ringer put 30000 import one <"$T/tar" >"$T/said"
	[ "$(cat "$T/said")" = 'put 30000 EINVAL' ]
	fails ringer put 100000 import one <"$T/zst" >"$T/said"
	[ "$(cat "$T/said")" = 'put 0 EINVAL' ]
	[[ "$(page)" == *"'..' is not allowed"* ]]
	[ -z "$(ls -A "$PLACE")" ]
}

@test "ring: an archive whose writer closes too early is refused; what comes behind one is swallowed" {
	tarball 'add("f", data=b"x" * 500000)' | zstd -q >"$T/zst"
	{ head -c $(($(stat -c %s "$T/zst") / 2)) "$T/zst"; } >"$T/half"
	fails ringer put 65536 import one <"$T/half"
	[[ "$(page)" == *'cut off'* ]]
	[ -z "$(ls -A "$PLACE")" ]
	head -c 1000000 /dev/zero | cat "$T/zst" - >"$T/more"
	[ "$(ringer put 200 import one <"$T/more")" = "put $(stat -c %s "$T/more") whole" ]
	[ "$(stat -c %s "$PLACE/one/f")" = 500000 ]
	head -c 100 "$T/half" | cat - "$T/half" >"$T/image" && printf hsqs | cat - "$T/half" >"$T/image"
	fails ringer put 65536 import two <"$T/image"
	[[ "$(page)" == *'regular file'* ]]
}

@test "ring: a layer read through it is the same archive; a reader that goes away ends the export" {
	make_tree "$PLACE/one" && head -c 3000000 /dev/urandom >"$PLACE/one/random"
	store export one --format tar.zst </dev/null >"$T/file"
	ringer get 100000 export one --format tar.zst </dev/null >"$T/ring"
	cmp "$T/file" "$T/ring"
	ringer get 100000 export one --format squashfs </dev/null >"$T/image"
	[ "$(head -c 4 "$T/image")" = hsqs ]
	fails ringer leave 1000 export one --format tar </dev/null >/dev/null
	[[ "$(page)" == 'failed 502 32'*'nobody reads'* ]]
}

# ---- ends ----

# Starts an import that waits for more in the middle; its pid is in $job, its child's in $child. The other end is $feed.
start_import() {
	mkfifo "$T/pipe"
	"$PORTO_BUILD/porto-store" import one 3<>"$T/status" 4<"$PLACE" 5<&- 6<&- <"$T/pipe" >/dev/null &
	job=$!
	exec {feed}>"$T/pipe"
	tarball 'add("a", data=b"x"); add("d/b", data=b"y" * 300000)' | head -c 200000 >&"$feed"
	wait_for '[ -e "$PLACE/_import_one/d/b" ]'
	child=$(cat "/proc/$job/task/$job/children")
	child=${child%% *}
}

@test "SIGTERM: what was begun is removed, the page says so" {
	start_import
	kill "$job"
	fails wait "$job"
	[[ "$(page)" == 'failed 502 4'* ]]
	[ -z "$(ls -A "$PLACE")" ]
	exec {feed}>&-
}

@test "kill -9 of the job or of its child: only an _import_ name is left, and the name can be used again" {
	start_import
	: >"$T/second" # the first still writes to the page
	fails "$PORTO_BUILD/porto-store" import one 3<>"$T/second" 4<"$PLACE" </dev/null
	grep -q 'is being imported' "$T/second"
	kill -9 "$job"
	fails wait "$job"
	wait_for '[ ! -e /proc/$child ]'
	[ "$(ls -A "$PLACE")" = _import_one ]
	exec {feed}>&-
	rm "$T/pipe"
	start_import
	kill -9 "$child"
	fails wait "$job"
	[[ "$(page)" == *'killed by signal 9'* ]]
	[ -z "$(ls -A "$PLACE")" ]
	exec {feed}>&-
	tarball 'add("a", data=b"x")' >"$T/tar"
	store import one <"$T/tar"
	[ "$(ls -A "$PLACE")" = one ]
}

@test "kill -9 at every moment of an import and a merge: the layer is there whole, or not at all" {
	local i pid
	tarball 'for i in range(300): add("d%d/f" % i, data=b"x" * 3000)' >"$T/tar"
	for i in {0..14}; do
		"$PORTO_BUILD/porto-store" import one --merge 3<>"$T/status" 4<"$PLACE" 5<&- 6<&- <"$T/tar" >/dev/null &
		pid=$!
		sleep "0.0$(printf %02d $((i * 3)))"
		kill -9 "$pid" 2>/dev/null || :
		wait "$pid" || :
		[ ! -d "$PLACE/one" ] || [ "$(find "$PLACE/one" -name f -size 3000c | wc -l)" = 300 ] || fail "half a layer in round $i"
		[ -z "$(find "$PLACE" -mindepth 1 -maxdepth 1 ! -name '_import_*' ! -name one)" ] || fail "left: $(ls -A "$PLACE")"
	done
	store import one --merge <"$T/tar"
	[ "$(ls -A "$PLACE")" = one ]
}

@test "cage: the child has another root, few capabilities, a filter, no new privileges, and no descriptor of the place" {
	start_import
	[ "$(stat -L -c %i "/proc/$child/root")" = "$(stat -c %i "$PLACE/_import_one")" ]
	status=$(cat "/proc/$child/status")
	# chown dac_override fowner fsetid mknod setfcap
	[[ $status == *CapEff:$'\t'000000008800001b* ]]
	[[ $status == *CapBnd:$'\t'0000000000000000* ]]
	[[ $status == *NoNewPrivs:$'\t'1* ]]
	[[ $status == *Seccomp:$'\t'2* ]]
	for fd in /proc/"$child"/fd/*; do
		[ "$(stat -L -c %i "$fd")" != "$(stat -c %i "$PLACE")" ] || fail "$fd is the place"
	done
	[ "$(awk '/^VmHWM/ { print $2 < 65536 * ENVIRON["PORTO_SLOW"] }' "/proc/$child/status")" = 1 ]
	[[ "$(page)" == 'running '[0-9]*' 0' ]]
	kill "$job"
	fails wait "$job"
	exec {feed}>&-
}

@test "export: a full disk is said, as is a reader that went away" {
	truncate -s 8M "$T/image" && mkfs.ext4 -q "$T/image" && mkdir "$T/disk" && mount -o loop "$T/image" "$T/disk"
	mkdir "$PLACE/one" && head -c 20000000 /dev/urandom >"$PLACE/one/f"
	fails store export one --format tar.zst </dev/null >"$T/disk/out"
	[[ "$(page)" == 'failed 14 28'*'no space left'* ]]
	store export one </dev/null | head -c 100 >/dev/null
	wait_for '[[ "$(page)" == *"nobody reads"* ]]'
}
