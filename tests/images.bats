#!/usr/bin/env bats
# Images of docker and OCI: read from archives and directories, kept layer by layer, found by name and digest, removed
# without a rest; and pulled from a registry on loopback. The images are made here, of a busybox and a few files.
# Not in the guest, which is slow (`make check-vm` runs it there): it asks nothing of the kernel that store.bats does not.
#
# shellcheck disable=SC2016,SC2015,SC2154 # $registry; conditions of wait_for; A && B || C is meant so

bats_require_minimum_version 1.5.0
# shellcheck disable=SC2034 # for the helpers
PORTOD_OPTIONS=(none)
load helpers
load images

setup_file() {
	test_begin
	make_fixtures
}

setup() {
	PLACE=$BATS_TEST_TMPDIR/place
	mkdir -p "$PLACE"
	V1=$PLACE/v1
}

teardown() {
	! mountpoint -q "$PLACE" || umount "$PLACE"
	registry_stop
	no_sanitizer_reports
}

# ---- calling ----

# image COMMAND [ARGUMENT...]: stdin is the archive; LAYOUT the directory for --dir. The status page is $BATS_TEST_TMPDIR/status.
image() {
	: >"$BATS_TEST_TMPDIR/status"
	"$PORTO_BUILD/porto-store" "$@" 3<>"$BATS_TEST_TMPDIR/status" 4<"$PLACE" 5<"${LAYOUT:-/}"
}

# refused KIND TEXT COMMAND [ARGUMENT...]: the status page says so, and nothing half-made is left.
refused() {
	local kind=$1 text=$2 said
	shift 2
	if image "$@" >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err"; then
		fail "no error: $*"
		return 1
	fi
	said=$(cat "$BATS_TEST_TMPDIR/status")
	[[ $said == "failed "* && $(cat "$BATS_TEST_TMPDIR/err") == "$kind: "*"$text"* ]] ||
		fail "expected $kind: $text, got: $(cat "$BATS_TEST_TMPDIR/err") (page: $said)" || return
	nothing_begun
}

nothing_begun() {
	local left
	left=$(find "$V1" -name '_*' -o -name '.*.tmp')
	[ -z "$left" ] || fail "left: $left"
}

# Nothing but an empty store.
nothing_kept() {
	local left
	left=$(find "$V1" -mindepth 2)
	[ -z "$left" ] || fail "left: $left"
}

# The layers of the image app are as they should be.
app_is_right() {
	local base top
	base=$V1/layers/$(sha "$FIXTURES/base.tar") top=$V1/layers/$(sha "$FIXTURES/top.tar")
	[ "$(cat "$base/etc/hello" "$base/etc/gone" "$base/data/old")" = $'hello\ngone\nold' ] || fail 'files of the first layer'
	[ "$(stat -c '%u %g %a' "$base/etc/hello")" = '1 2 4711' ] || fail 'owner and mode'
	[ "$(readlink "$base/bin/sh")" = busybox ] || fail 'symbolic link'
	[ "$(stat -c '%F %t %T' "$top/etc/gone")" = 'character special file 0 0' ] || fail 'whiteout'
	[ "$(getfattr --absolute-names --only-values -n trusted.overlay.opaque "$top/data")" = y ] || fail 'opaque'
	[ "$(stat -c %h "$top/data/new")" = 2 ] && [ "$(cat "$top/opt/имя")" = new ] || fail 'hard link'
	[ -z "$(find "$V1/layers" -name '.wh*')" ] || fail 'whiteouts of the archive are left'
}

# ---- reading ----

@test "image-import: an OCI directory, and image-show tells all of it" {
	LAYOUT=$BATS_TEST_TMPDIR/oci
	oci "$LAYOUT" gzip
	image image-import --dir reg.example/team/app:1.0 >"$BATS_TEST_TMPDIR/out"
	diff - "$BATS_TEST_TMPDIR/out" <<-END
		id = $(id_of app)
		digest = $(jq -r '.manifests[0].digest' "$LAYOUT/index.json")
		tag = reg.example/team/app:1.0
	END
	[[ $(cat "$BATS_TEST_TMPDIR/status") == 'done '* && $(stat -c %s "$BATS_TEST_TMPDIR/status") = 4096 ]]
	image image-show reg.example/team/app:1.0 >"$BATS_TEST_TMPDIR/out"
	diff - "$BATS_TEST_TMPDIR/out" <<-END
		id = $(id_of app)
		tag = reg.example/team/app:1.0
		digest = $(jq -r '.manifests[0].digest' "$LAYOUT/index.json")
		layer = $(sha "$FIXTURES/top.tar")
		layer = $(sha "$FIXTURES/base.tar")
		size = $(($(stat -c %s "$FIXTURES/base.tar") + $(stat -c %s "$FIXTURES/top.tar")))
		command = /bin/sh
		command = -c
		command = echo hi
		command = two\nlines
		env = PATH=/bin
		env = NAME=app
		workdir = /data
		user = 1:2
		created = 2024-01-02T03:04:05Z
		arch = amd64
	END
	app_is_right
	nothing_begun
}

@test "image-import: gzip, zstd and plain layers, from directories and tars, are the same layers" {
	local form layout
	for form in gzip zstd plain; do
		layout=$BATS_TEST_TMPDIR/$form
		oci "$layout" $form
		tar -C "$layout" -cf "$layout.tar" .
		rm -rf "$V1"
		image image-import x <"$layout.tar" >/dev/null
		app_is_right
		# through a pipe, and compressed as a whole
		rm -rf "$V1"
		gzip -c "$layout.tar" | image image-import x >/dev/null
		app_is_right
	done
	[ "$(find "$V1/layers" -mindepth 1 -maxdepth 1 | wc -l)" = 4 ]
}

@test "image-import: a docker save archive with two images; the layer they share is there once" {
	docker_save "$BATS_TEST_TMPDIR/two.tar" busybox:1.36 base docker.io/library/app:latest app
	image image-import <"$BATS_TEST_TMPDIR/two.tar" >"$BATS_TEST_TMPDIR/out"
	diff - "$BATS_TEST_TMPDIR/out" <<-END
		id = $(id_of base)
		tag = mirror.gcr.io/library/busybox:1.36

		id = $(id_of app)
		tag = docker.io/library/app:latest
	END
	[ "$(find "$V1/layers" -mindepth 1 -maxdepth 1 -type d | wc -l)" = 2 ]
	image image-list | sort >"$BATS_TEST_TMPDIR/out"
	diff <(sort <<-END
		$(id_of base)	mirror.gcr.io/library/busybox:1.36
		$(id_of app)	docker.io/library/app:latest
	END
	) "$BATS_TEST_TMPDIR/out"
	image image-layers docker.io/app >"$BATS_TEST_TMPDIR/out"
	diff - "$BATS_TEST_TMPDIR/out" <<-END
		v1/layers/$(sha "$FIXTURES/top.tar")
		v1/layers/$(sha "$FIXTURES/base.tar")
	END
	app_is_right
	# one of them by its name
	rm -rf "$V1"
	image image-import busybox:1.36 <"$BATS_TEST_TMPDIR/two.tar" >/dev/null
	[ "$(image image-list)" = "$(id_of base)	mirror.gcr.io/library/busybox:1.36" ]
	refused InvalidValue '2 images' image-import other <"$BATS_TEST_TMPDIR/two.tar"
}

@test "image-import: an old docker's layers that are links to other layers" {
	docker_save "$BATS_TEST_TMPDIR/a.tar" app:1 app
	mkdir "$BATS_TEST_TMPDIR/save/copy"
	ln -s ../top/layer.tar "$BATS_TEST_TMPDIR/save/copy/layer.tar"
	sed -i 's,top/layer.tar,copy/layer.tar,' "$BATS_TEST_TMPDIR/save/manifest.json"
	tar -C "$BATS_TEST_TMPDIR/save" -cf - . | image image-import >/dev/null
	app_is_right
}

@test "image-import: of an index within an index, the image for the machine asked for" {
	local amd arm index platform='. + {platform: {os: "linux", architecture: $a}}'
	LAYOUT=$BATS_TEST_TMPDIR/oci
	sed 's/"amd64"/"arm64"/' "$FIXTURES/base.config" >"$FIXTURES/arm.config"
	cp "$FIXTURES/base.layers" "$FIXTURES/arm.layers"
	arm=$(put_manifest "$LAYOUT" arm zstd | jq -c --arg a arm64 "$platform")
	amd=$(put_manifest "$LAYOUT" app gzip | jq -c --arg a amd64 "$platform")
	put_index "$LAYOUT" "$arm" "$amd"
	index=$(put_blob "$LAYOUT" "$LAYOUT/index.json" application/vnd.oci.image.index.v1+json)
	put_index "$LAYOUT" "$(jq -c '.annotations = {"io.containerd.image.name": "quay.io/multi/app:2"}' <<<"$index")"
	image image-import --dir --arch x86_64 >"$BATS_TEST_TMPDIR/out"
	diff - "$BATS_TEST_TMPDIR/out" <<-END
		id = $(id_of app)
		digest = $(jq -r .digest <<<"$index")
		tag = quay.io/multi/app:2
	END
	# by the digest of the manifest and of the index
	[ "$(image image-show "quay.io/multi/app@$(jq -r .digest <<<"$amd")" | head -n 1)" = "id = $(id_of app)" ]
	[ "$(image image-show "quay.io/multi/app@$(jq -r .digest <<<"$index")" | head -n 1)" = "id = $(id_of app)" ]
	image image-import --dir --arch aarch64 a:arm >/dev/null
	[[ $(image image-show a:arm) == *'arch = arm64'* ]]
	refused Docker 'no image for linux on s390x' image-import --dir --arch s390x a:z
}

# ---- names ----

@test "image-import: a name that is given again moves; the image it had is there by its id" {
	docker_save "$BATS_TEST_TMPDIR/app.tar" one app
	docker_save "$BATS_TEST_TMPDIR/base.tar" one base
	image image-import n:1 <"$BATS_TEST_TMPDIR/app.tar" >/dev/null
	image image-import n:2 <"$BATS_TEST_TMPDIR/app.tar" >/dev/null
	[ "$(image image-list | wc -l)" = 2 ]
	image image-import n:1 <"$BATS_TEST_TMPDIR/base.tar" >/dev/null
	image image-import n:2 <"$BATS_TEST_TMPDIR/base.tar" >/dev/null
	[ "$(image image-list | grep -c '<none>')" = 1 ]
	[ "$(image image-show n:1 | head -n 1)" = "id = $(id_of base)" ]
	[ "$(image image-show "$(id_of app | cut -c1-12)" | sed -n 2p)" = "layer = $(sha "$FIXTURES/top.tar")" ]
	refused DockerImageNotFound "'n:3' is not" image-show n:3
	refused DockerImageNotFound "'ffff" image-show ffffffffffff
}

@test "image-remove: the tag, with the last one the image, and layers with the last image that has them" {
	docker_save "$BATS_TEST_TMPDIR/two.tar" b:1 base a:1 app
	image image-import <"$BATS_TEST_TMPDIR/two.tar" >/dev/null
	image image-import a:2 <"$BATS_TEST_TMPDIR/two.tar" 2>/dev/null && fail 'two images got one name'
	docker_save "$BATS_TEST_TMPDIR/app.tar" a:2 app
	image image-import <"$BATS_TEST_TMPDIR/app.tar" >/dev/null
	image image-remove a:1
	refused DockerImageNotFound "'a:1'" image-show a:1
	app_is_right
	image image-remove a:2
	[ "$(image image-list)" = "$(id_of base)	mirror.gcr.io/library/b:1" ]
	[ ! -e "$V1/layers/$(sha "$FIXTURES/top.tar")" ] && [ -e "$V1/layers/$(sha "$FIXTURES/base.tar")" ]
	refused DockerImageNotFound "'a:2'" image-remove a:2
	image image-remove "sha256:$(id_of base)"
	nothing_kept
}

# ---- hostile ----

@test "image-import: what does not have the digest it should have is refused, and nothing is left of it" {
	local blob
	LAYOUT=$BATS_TEST_TMPDIR/oci
	oci "$LAYOUT" plain
	# a flipped bit in a layer, of which all but the sum is in order
	blob=$LAYOUT/blobs/sha256/$(sha "$FIXTURES/top.tar")
	printf 'X' | dd of="$blob" bs=1 seek="$(grep -abo new "$blob" | awk -F: '$1 % 512 == 0 { print $1; exit }')" conv=notrunc status=none
	refused Docker 'do not have this digest' image-import --dir x
	nothing_kept
	# cut off, and missing
	truncate -s -512 "$blob"
	refused Docker 'the manifest says' image-import --dir x
	rm "$blob"
	refused Docker 'is missing' image-import --dir x
	nothing_kept
	# a configuration that claims another layer than the blob has: it must not get into the layer's place
	rm -rf "$LAYOUT"
	sed "s/$(sha "$FIXTURES/top.tar")/$(sha "$FIXTURES/base.tar")/" "$FIXTURES/app.config" >"$FIXTURES/liar.config"
	printf '%s\n' top.tar top.tar >"$FIXTURES/liar.layers"
	oci "$LAYOUT" gzip liar
	refused Docker 'the image'\''s configuration says' image-import --dir x
	nothing_kept
}

@test "image-import: damaged and cut archives, and what is no image" {
	local layout=$BATS_TEST_TMPDIR/oci size
	oci "$layout" gzip
	tar -C "$layout" -cf "$layout.tar" .
	size=$(stat -c %s "$layout.tar")
	head -c $((size / 2)) "$layout.tar" >"$layout.cut"
	refused Docker 'cut off' image-import x <"$layout.cut"
	gzip -c "$layout.tar" | head -c $((size / 2)) >"$layout.cut"
	refused Docker '' image-import x <"$layout.cut"
	head -c 100000 /dev/urandom >"$layout.noise"
	refused Docker 'no tar archive' image-import x <"$layout.noise"
	refused Docker 'is empty' image-import x </dev/null
	tar -C "$FIXTURES" -cf "$layout.other" base.config
	refused Docker 'this is no image' image-import x <"$layout.other"
	LAYOUT=$FIXTURES refused Docker 'this is no image' image-import --dir x
	nothing_kept
}

@test "image-import: a layout with links out of it, a pipe for a blob, and paths for digests" {
	LAYOUT=$BATS_TEST_TMPDIR/oci
	local blob
	oci "$LAYOUT" plain
	blob=$LAYOUT/blobs/sha256/$(sha "$FIXTURES/top.tar")
	ln -sf "$FIXTURES/top.tar" "$blob"
	refused Docker "can't be read" image-import --dir x
	rm "$blob"
	mkfifo "$blob"
	refused Docker "can't be read" image-import --dir x
	mv "$LAYOUT/index.json" "$LAYOUT/index"
	jq -c '.manifests[0].digest = "sha256:../../../../etc/passwd"' "$LAYOUT/index" >"$LAYOUT/index.json"
	refused Docker 'is no digest' image-import --dir x
	ln -sf /etc/passwd "$LAYOUT/index.json"
	refused Docker "can't be read" image-import --dir x
	nothing_kept
}

@test "image-import: layers with names out of the tree, and xattrs for overlayfs, harm nobody" {
	local dir=$BATS_TEST_TMPDIR/evil
	mkdir -p "$dir/d"
	echo evil >"$dir/d/file"
	tar -C "$dir" -P --transform "s,^d/file,../../../../../../$BATS_TEST_TMPDIR/escaped," -cf "$FIXTURES/evil.tar" d/file
	make_image evil '[]' '[]' evil.tar
	docker_save "$BATS_TEST_TMPDIR/evil.save" evil:1 evil
	refused Docker '..' image-import <"$BATS_TEST_TMPDIR/evil.save"
	[ ! -e "$BATS_TEST_TMPDIR/escaped" ]
	# a link out of the tree, then a file through it
	ln -s "$BATS_TEST_TMPDIR" "$dir/link"
	tar -C "$dir" -cf "$FIXTURES/evil.tar" link
	tar -C "$dir" --transform 's,^d/file,link/escaped,' -rf "$FIXTURES/evil.tar" d/file
	make_image evil '[]' '[]' evil.tar
	docker_save "$BATS_TEST_TMPDIR/evil.save" evil:1 evil
	image image-import <"$BATS_TEST_TMPDIR/evil.save" >/dev/null 2>&1 || nothing_kept
	[ ! -e "$BATS_TEST_TMPDIR/escaped" ]
	rm -rf "$V1"
	setfattr -n trusted.overlay.redirect -v /etc "$dir/d"
	tar -C "$dir" --xattrs --xattrs-include='*' -cf "$FIXTURES/evil.tar" d
	make_image evil '[]' '[]' evil.tar
	docker_save "$BATS_TEST_TMPDIR/evil.save" evil:1 evil
	image image-import <"$BATS_TEST_TMPDIR/evil.save" >/dev/null
	[ -z "$(getfattr -d -m - "$V1/layers/$(sha "$FIXTURES/evil.tar")/d")" ]
}

# ---- killed, and several at once ----

@test "image-import: killed at any moment, it leaves nothing that the next one doesn't remove" {
	local pid i delay whole=0
	LAYOUT=$BATS_TEST_TMPDIR/oci
	oci "$LAYOUT" gzip
	for delay in 0.001 0.002 0.004 0.006 0.008 0.01 0.013 0.016 0.02 0.03 0.05; do
		image image-import --dir x:1 >/dev/null 2>&1 &
		pid=$!
		sleep "$delay"
		pkill -9 -P "$pid" -x porto-store || :
		kill -9 "$pid" 2>/dev/null || :
		wait "$pid" 2>/dev/null || :
		[ ! -e "$V1" ] || [ -z "$(image image-list)" ] || { whole=$((whole + 1)); app_is_right; image image-remove x:1; }
	done
	image image-sweep
	nothing_kept
	image image-import --dir x:1 >/dev/null
	app_is_right
}

@test "image-import: killed after each system call that changes a name" {
	command -v strace >/dev/null || skip 'no strace'
	[ "${PORTO_BUILD##*/}" != asan ] || skip 'the sanitizer does not run below strace'
	local call n
	LAYOUT=$BATS_TEST_TMPDIR/oci
	oci "$LAYOUT" gzip
	for call in renameat2 syncfs mkdirat fsync; do
		for n in 1 2 3 4; do
			rm -rf "$V1"
			strace -qq -o /dev/null -e "trace=$call" -e "inject=$call:signal=KILL:when=$n" \
				"$PORTO_BUILD/porto-store" image-import --dir x:1 3<>"$BATS_TEST_TMPDIR/status" 4<"$PLACE" 5<"$LAYOUT" \
				>/dev/null 2>&1 || :
			image image-sweep
			nothing_begun
			if [ -n "$(image image-list)" ]; then app_is_right; else nothing_kept; fi
			image image-import --dir x:1 >/dev/null
			app_is_right
		done
	done
}

@test "image-import: four at once with the same layers all succeed, and each layer is there once" {
	local i pids=()
	docker_save "$BATS_TEST_TMPDIR/two.tar" b:1 base a:1 app
	for i in 1 2; do
		image image-import <"$BATS_TEST_TMPDIR/two.tar" >/dev/null & pids+=($!)
		gzip -c "$BATS_TEST_TMPDIR/two.tar" | image image-import >/dev/null & pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i" || fail 'one of them failed'
	done
	app_is_right
	[ "$(find "$V1/layers" -mindepth 1 -maxdepth 1 | wc -l)" = 4 ]
	nothing_begun
}

@test "image-import: a full disk is said, and nothing is left on it" {
	local size
	head -c 3000000 /dev/urandom >"$BATS_TEST_TMPDIR/noise"
	tar -C "$BATS_TEST_TMPDIR" -cf "$FIXTURES/big.tar" noise
	make_image big '[]' '[]' base.tar big.tar
	docker_save "$BATS_TEST_TMPDIR/big.save" big:1 big
	gzip -1c "$BATS_TEST_TMPDIR/big.save" >"$BATS_TEST_TMPDIR/big.gz"
	for size in '1m save' '3m save' '1m gz' '3m gz' '5m gz'; do
		mount -t tmpfs -o "size=${size% *}" porto-images "$PLACE"
		refused NoSpace '' image-import <"$BATS_TEST_TMPDIR/big.${size#* }"
		nothing_kept
		[ -z "$(find "$PLACE" -maxdepth 1 -name '_*')" ]
		umount "$PLACE"
	done
}

@test "image-import: layers keep attributes, capabilities, ACLs, times and holes" {
	local dir=$BATS_TEST_TMPDIR/rich layer
	mkdir -p "$dir/d"
	cp /bin/busybox "$dir/ping"
	setcap cap_net_raw+ep "$dir/ping"
	setfattr -n user.note -v hello "$dir/d"
	setfacl -m u:1234:r "$dir/ping"
	truncate -s 10M "$dir/d/sparse"
	touch -d @-86400.5 "$dir/d/old"
	touch -d @1000000000 "$dir/d"
	tar -C "$dir" --xattrs --xattrs-include='*' --acls --format=pax -cf "$FIXTURES/rich.tar" ping d
	make_image rich '[]' '[]' rich.tar
	docker_save "$BATS_TEST_TMPDIR/rich.save" rich:1 rich
	image image-import <"$BATS_TEST_TMPDIR/rich.save" >/dev/null
	layer=$V1/layers/$(sha "$FIXTURES/rich.tar")
	[[ $(getcap "$layer/ping") == *cap_net_raw* ]]
	[ "$(getfattr --only-values --absolute-names -n user.note "$layer/d")" = hello ]
	[[ $(getfacl -cn "$layer/ping" 2>/dev/null) == *user:1234:r--* ]]
	[ "$(stat -c %s "$layer/d/sparse")" = 10485760 ] && [ "$(stat -c %b "$layer/d/sparse")" -lt 64 ]
	[ "$(stat -c %Y "$layer/d")" = 1000000000 ] && [ "$(stat -c %.1Y "$layer/d/old")" = -86400.5 ]
}

@test "image-import: SIGTERM ends it, and removes what was begun" {
	mkfifo "$BATS_TEST_TMPDIR/pipe"
	image image-import x <"$BATS_TEST_TMPDIR/pipe" >/dev/null 2>"$BATS_TEST_TMPDIR/err" &
	local pid=$!
	exec 9>"$BATS_TEST_TMPDIR/pipe"
	wait_for '[[ $(cat $BATS_TEST_TMPDIR/status) == running* ]]'
	kill -TERM "$(pgrep -P "$pid" -x porto-store || echo "$pid")"
	! wait "$pid" || fail 'it says that all went well'
	exec 9>&-
	[[ $(cat "$BATS_TEST_TMPDIR/status") == 'failed 502 4'$'\n''stopped'* ]]
	nothing_kept
}

# ---- a registry ----

@test "image-pull: from a registry by tag and by digest, and what is not there" {
	registry_start
	local digest
	LAYOUT=$BATS_TEST_TMPDIR/oci
	oci "$LAYOUT" gzip
	push "$LAYOUT" team/app:1
	digest=$(jq -r '.manifests[0].digest' "$LAYOUT/index.json")
	image image-pull --insecure "$registry/team/app:1" >"$BATS_TEST_TMPDIR/out"
	diff - "$BATS_TEST_TMPDIR/out" <<-END
		id = $(id_of app)
		digest = $digest
		tag = $registry/team/app:1
	END
	app_is_right
	nothing_begun
	image image-remove "$registry/team/app:1"
	nothing_kept
	image image-pull --insecure "$registry/team/app@$digest" >/dev/null
	[ "$(image image-list)" = "$(id_of app)	<none>" ]
	[ "$(image image-show "$registry/team/app@$digest" | head -n 1)" = "id = $(id_of app)" ]
	# the default registry is what it is told to be
	image image-pull --insecure --registry "$registry" team/app:1 >/dev/null
	[ "$(image image-list)" = "$(id_of app)	$registry/team/app:1" ]
	image image-pull --insecure --mirror "$registry" docker.io/team/app:1 >/dev/null
	refused DockerImageNotFound 'manifest unknown' image-pull --insecure "$registry/team/app:2"
	refused Docker '' image-pull "$registry/team/app:1" # no https there
}

@test "image-pull: of an index only the image for one machine, known by the digest of the index" {
	registry_start
	local arm amd digest platform='. + {platform: {os: "linux", architecture: $a}}'
	LAYOUT=$BATS_TEST_TMPDIR/oci
	sed 's/"amd64"/"arm64"/' "$FIXTURES/base.config" >"$FIXTURES/arm.config"
	cp "$FIXTURES/base.layers" "$FIXTURES/arm.layers"
	arm=$(put_manifest "$LAYOUT" arm gzip | jq -c --arg a arm64 "$platform")
	amd=$(put_manifest "$LAYOUT" app gzip | jq -c --arg a amd64 "$platform")
	put_index "$LAYOUT" "$arm" "$amd"
	put_index "$LAYOUT" "$(put_blob "$LAYOUT" "$LAYOUT/index.json" application/vnd.oci.image.index.v1+json)"
	skopeo --insecure-policy copy --quiet --all --dest-tls-verify=false "oci:$LAYOUT" "docker://$registry/team/multi:1" 3>&- 4>&-
	digest=$(skopeo inspect --raw --tls-verify=false "docker://$registry/team/multi:1" 3>&- 4>&- | sha256sum | cut -d' ' -f1)
	image image-pull --insecure --arch amd64 "$registry/team/multi:1" >"$BATS_TEST_TMPDIR/out"
	grep -qx "digest = sha256:$digest" "$BATS_TEST_TMPDIR/out"
	app_is_right
	image image-pull --insecure --arch arm64 "$registry/team/multi:1" >/dev/null
	[[ $(image image-show "$registry/team/multi:1") == *'arch = arm64'* ]]
	refused DockerImageNotFound 's390x' image-pull --insecure --arch s390x "$registry/team/multi:1"
}

@test "image-pull: the token of DOCKER_TOKEN, and one that another server gives" {
	# a registry that lets everybody in who has a token
	registry_start 'auth: {silly: {realm: "http://127.0.0.1:1/none", service: none}}'
	oci "$BATS_TEST_TMPDIR/oci" gzip
	push "$BATS_TEST_TMPDIR/oci" team/app:1
	refused Docker '' image-pull --insecure "$registry/team/app:1"
	# no program gets it where everybody can see it
	local tool
	mkdir "$BATS_TEST_TMPDIR/bin"
	for tool in curl skopeo; do
		printf '#!/bin/sh\necho "$0 $*" >>%s\nenv >>%s\nexec /usr/bin/%s "$@"\n' "$BATS_TEST_TMPDIR/seen" "$BATS_TEST_TMPDIR/seen" "$tool" \
			>"$BATS_TEST_TMPDIR/bin/$tool"
	done
	chmod +x "$BATS_TEST_TMPDIR/bin"/*
	PATH=$BATS_TEST_TMPDIR/bin:$PATH DOCKER_TOKEN=secret image image-pull --insecure "$registry/team/app:1" >/dev/null
	grep -q bin/curl "$BATS_TEST_TMPDIR/seen"
	! grep secret "$BATS_TEST_TMPDIR/seen" || fail 'the token is seen'
	app_is_right
	image image-remove "$registry/team/app:1"
	# of an index, by the digest of the manifest
	put_index "$BATS_TEST_TMPDIR/oci" "$(put_blob "$BATS_TEST_TMPDIR/oci" "$BATS_TEST_TMPDIR/oci/index.json" application/vnd.oci.image.index.v1+json)"
	DOCKER_TOKEN='se"cr\et' refused DockerImageNotFound 404 image-pull --insecure "$registry/team/app:2"
	DOCKER_TOKEN='two words' refused InvalidValue 'token' image-pull --insecure "$registry/team/app:1"
	DOCKER_TOKEN=secret image image-pull --insecure "$registry/team/app:1" >/dev/null
	app_is_right
	image image-remove "$registry/team/app:1"
	local port=$((30000 + (RANDOM + BASHPID) % 10000)) asked=$BATS_TEST_TMPDIR/asked socat rc=0
	cat >"$BATS_TEST_TMPDIR/answer" <<-END
		#!/bin/sh
		read -r line
		[ -z "\$line" ] || echo "\$line" >$asked
		printf 'HTTP/1.0 200 OK\r\n\r\n{"token":"abc"}'
	END
	chmod +x "$BATS_TEST_TMPDIR/answer"
	socat "TCP-LISTEN:$port,bind=127.0.0.1,fork,reuseaddr" "EXEC:$BATS_TEST_TMPDIR/answer" 2>/dev/null 3>&- 4>&- &
	socat=$!
	wait_for '(: </dev/tcp/127.0.0.1/'"$port"')'
	image image-pull --insecure --auth-url "http://127.0.0.1:$port/token" --service reg "$registry/team/app:1" >/dev/null || rc=1
	kill "$socat"
	wait "$socat" || :
	[ "$rc" = 0 ] && app_is_right
	grep -qi '^GET /token?service=reg&scope=repository%3ateam%2fapp%3apull HTTP/' "$asked"
	refused InvalidValue 'authorisation server' image-pull --insecure --auth-url file:///etc/passwd "$registry/team/app:1"
}

# ---- the script of the quickstart ----

@test "download-docker-image: all layers as one file, or as a layer that portoctl imports" {
	registry_start
	local script=$REPO/scripts/download-docker-image out=$BATS_TEST_TMPDIR/app.tar.zst fake=$BATS_TEST_TMPDIR/portoctl
	export PORTO_STORE=$PORTO_BUILD/porto-store TMPDIR=$BATS_TEST_TMPDIR
	oci "$BATS_TEST_TMPDIR/app" gzip app
	oci "$BATS_TEST_TMPDIR/base" zstd base
	push "$BATS_TEST_TMPDIR/app" team/app:1
	push "$BATS_TEST_TMPDIR/base" library/base:latest
	"$script" -k "$registry/team/app:1" "$out"
	mkdir "$BATS_TEST_TMPDIR/tree"
	zstd -qdc "$out" | tar -C "$BATS_TEST_TMPDIR/tree" --numeric-owner -xpf -
	(cd "$BATS_TEST_TMPDIR/tree" && find . -mindepth 1 | sort) >"$BATS_TEST_TMPDIR/list"
	diff "$BATS_TEST_TMPDIR/list" - <<-END
		./bin
		./bin/busybox
		./bin/sh
		./data
		./data/new
		./etc
		./etc/hello
		./opt
		./opt/имя
	END
	[ "$(stat -c '%u %g %a' "$BATS_TEST_TMPDIR/tree/etc/hello")" = '1 2 4711' ]
	# what is there is not overwritten; what isn't there leaves no file
	run -1 "$script" -k "$registry/team/app:1" "$out"
	[[ $output == *'is there already' ]]
	run -1 "$script" -k "$registry/team/app:2" "$BATS_TEST_TMPDIR/none.tar.zst"
	[[ $output == *'manifest unknown'* && ! -e $BATS_TEST_TMPDIR/none.tar.zst && ! -e $BATS_TEST_TMPDIR/none.tar.zst.part ]]
	printf '#!/bin/sh\necho "$@" >%s.said\nzstd -qdc "$6" | tar -tf - >%s.list\n' "$fake" "$fake" >"$fake"
	chmod +x "$fake"
	PORTOCTL=$fake "$script" -k -r "$registry" -P /place -I thing base
	[[ $(cat "$fake.said") == 'layer -P /place -I thing '* ]]
	grep -qx ./etc/gone "$fake.list"
	[ -z "$(find "$BATS_TEST_TMPDIR" -maxdepth 1 -name 'porto-image-*')" ]
}

@test "image-pull: with root's logins for root alone" {
	mkdir "$BATS_TEST_TMPDIR/bin"
	printf '#!/bin/sh\necho "$*" >> %s/args\nexit 1\n' "$BATS_TEST_TMPDIR" >"$BATS_TEST_TMPDIR/bin/skopeo"
	chmod +x "$BATS_TEST_TMPDIR/bin/skopeo"
	PATH=$BATS_TEST_TMPDIR/bin:$PATH run ! image image-pull 127.0.0.1:1/x:1
	run ! grep -e -no-creds "$BATS_TEST_TMPDIR/args"
	PATH=$BATS_TEST_TMPDIR/bin:$PATH run ! image image-pull --owner 1 127.0.0.1:1/x:1
	grep -q -e ' --no-creds' "$BATS_TEST_TMPDIR/args"
}
