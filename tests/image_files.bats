#!/usr/bin/env bats
# `.images`: images imported, fetched, looked at and removed by files; volumes made of them.
# Not in the guest, which is slow (`make check-vm` runs it there): it asks nothing of the kernel that store.bats does not.
# shellcheck disable=SC2016,SC2015,SC2154 # $registry; conditions of wait_for; A && B || C is meant so

bats_require_minimum_version 1.5.0
# shellcheck disable=SC2034 # for the helpers
PORTOD_OPTIONS=('daemon.docker_insecure_registry=127.0.0.1:*' 'daemon.docker_allowed_registry=127.0.0.1:*;mirror.gcr.io')
load helpers
load images

setup_file() {
	test_begin
	make_fixtures
	docker_save "$FIXTURES/app.save" app:1 app
	docker_save "$FIXTURES/base.save" base:1 base
}

setup() {
	I=$PORTO_ROOT/.images
}

teardown() {
	registry_stop
	vols_destroy
	images_remove
}

images_remove() {
	local dir
	for dir in "$I"/*/; do
		[ ! -d "$dir" ] || rmdir "$dir" || return
	done
	wait_for '[ -z "$(find $PLACE/porto_docker -name "_*" 2>/dev/null)" ]'
}

short() {
	local id
	id=$(id_of "$1") && echo "${id:0:12}"
}

@test "import: an archive of docker save; list, find and the files of the image tell what it is" {
	local dir
	dir=$I/$(short app)
	echo "$FIXTURES/app.save" >"$I/import"
	[ "$(ls "$I")" = "$(short app)
list
progress" ]
	[ "$(cat "$I/list")" = "$(id_of app)	mirror.gcr.io/library/app:1		$(cat "$dir/size")	2024-01-02T03:04:05Z	$PLACE" ]
	[ "$(cat "$dir/id")" = "$(id_of app)" ] && [ "$(cat "$dir/tags")" = mirror.gcr.io/library/app:1 ]
	[ "$(cat "$dir/size")" = $(($(stat -c %s "$FIXTURES/base.tar") + $(stat -c %s "$FIXTURES/top.tar"))) ]
	diff "$dir/command" - <<-'END'
		/bin/sh
		-c
		echo hi
		two\nlines
	END
	[ "$(cat "$dir/env")" = $'PATH=/bin\nNAME=app' ] && [ "$(cat "$dir/workdir")" = /data ] && [ "$(cat "$dir/user")" = 1:2 ]
	[ "$(cat "$dir/created" "$dir/arch" "$dir/place" "$dir/error")" = $'2024-01-02T03:04:05Z\namd64\n'"$PLACE" ]
	diff "$dir/layers" - <<-END
		$PLACE/porto_docker/v1/layers/$(sha "$FIXTURES/top.tar")
		$PLACE/porto_docker/v1/layers/$(sha "$FIXTURES/base.tar")
	END
	[ "$(cat "$I/find[app:1]")" = "$(short app)" ] && [ "$(cat "$I/find[mirror.gcr.io%library%app:1]")" = "$(short app)" ]
	[ "$(cat "$I/find[$(short app)]")" = "$(short app)" ]
	[ "$(cat "$I/find[app:1; place=${PLACE//\//%}]")" = "$(short app)" ]
	want_errno ENOENT cat "$I/find[app:2]"
	want_errno ENOENT cat "$I/find[app:1; place=%tmp]"
}

@test "import: a name, an OCI tar and a directory; names that are moved" {
	oci "$BATS_TEST_TMPDIR/oci" zstd base
	tar -C "$BATS_TEST_TMPDIR/oci" -cf "$BATS_TEST_TMPDIR/oci.tar" .
	put .images/import "$FIXTURES/app.save; name=x:1"
	put .images/import "$BATS_TEST_TMPDIR/oci.tar; name=x:2"
	[ "$(cat "$I/find[x:1]" "$I/find[x:2]")" = "$(short app)
$(short base)" ]
	put .images/import "$BATS_TEST_TMPDIR/oci; name=x:1"
	[ "$(cat "$I/find[x:1]")" = "$(short base)" ]
	[ "$(sort "$I/$(short base)/tags")" = $'mirror.gcr.io/library/x:1\nmirror.gcr.io/library/x:2' ]
	[ -z "$(cat "$I/$(short app)/tags")" ]
}

@test "import: what is no image, not there, not absolute or badly asked for is refused with a sentence" {
	want_error Docker put .images/import "$FIXTURES/base.tar"
	head -c 100000 /dev/urandom >"$BATS_TEST_TMPDIR/noise"
	want_errno EINVAL put .images/import "$FIXTURES/base.tar"
	want_errno EINVAL put .images/import "$BATS_TEST_TMPDIR/noise"
	want_error InvalidPath put .images/import "$FIXTURES/none"
	want_error InvalidPath put .images/import base.save
	want_error InvalidValue put .images/import "$FIXTURES/app.save; name=A B"
	want_error InvalidValue put .images/import "$FIXTURES/app.save; colour=red"
	want_error InvalidValue put .images/import "$FIXTURES/app.save; colour"
	[ "$(find "$I" -mindepth 1 -maxdepth 1 -type d | wc -l)" = 0 ]
	[ -z "$(cat "$I/list" "$I/progress")" ]
	[ -z "$(find "$PLACE/porto_docker/v1" -mindepth 2)" ]
}

@test "remove: one tag, then the image with the last; rmdir removes it with all tags" {
	put .images/import "$FIXTURES/app.save; name=x:1"
	put .images/import "$FIXTURES/app.save; name=x:2"
	echo x:1 >"$I/remove"
	[ "$(cat "$I/$(short app)/tags")" = mirror.gcr.io/library/x:2 ]
	want_error DockerImageNotFound put .images/remove x:1
	echo x:2 >"$I/remove"
	[ ! -e "$I/$(short app)" ] && [ -z "$(find "$PLACE/porto_docker/v1" -mindepth 2)" ]
	put .images/import "$FIXTURES/app.save; name=x:1"
	put .images/import "$FIXTURES/app.save; name=x:2"
	echo "sha256:$(id_of app)" >"$I/remove"
	[ -z "$(cat "$I/list")" ]
	echo "$FIXTURES/app.save" >"$I/import"
	rmdir "$I/$(short app)"
	[ ! -e "$I/$(short app)" ] && [ -z "$(cat "$I/list")" ]
	wait_for '[ -z "$(find $PLACE/porto_docker/v1 -mindepth 2)" ]'
	run ! rmdir "$I/$(short app)"
	run ! mkdir "$I/abcdefabcdef"
}

@test "image of a volume: it is made of the image's layers, which stay as long as the volume does" {
	local id path
	echo "$FIXTURES/app.save" >"$I/import"
	exec 8<>"$PORTO_ROOT/.volumes/create"
	printf 'image = app:1\nbackend = overlay\n' >&8
	read -r id path <&8
	exec 8>&-
	[ "$(cat "$path/etc/hello" "$path/data/new")" = $'hello\nnew' ] && [ ! -e "$path/etc/gone" ] && [ ! -e "$path/data/old" ]
	[ "$(stat -c '%u %g %a' "$path/etc/hello")" = '1 2 4711' ]
	run ! rmdir "$I/$(short app)"
	[[ $(cat "$I/$(short app)/error") == *"Busy:(image $(short app): volume $id uses it)" ]]
	want_error Busy put .images/remove app:1
	# also by the worker that comes after
	kill_worker
	want_error Busy put .images/remove app:1
	[ "$(cat "$path/etc/hello")" = hello ]
	vol_destroy "$id"
	rmdir "$I/$(short app)"
}

@test "image of a volume: no volume is made of one that is being removed" {
	local remover
	echo "$FIXTURES/app.save" >"$I/import"
	exec 8>"$PLACE/porto_docker/v1/lock"
	flock 8
	put .images/remove app:1 3>&- 8>&- &
	remover=$!
	wait_for '[ -n "$(pgrep -f "porto-store --go 7 image-remove" -P "$(worker_pid)")" ]'
	vol_new image=app:1
	want_error Busy put ".volumes/$VOL/state" build
	exec 8>&-
	wait "$remover"
	want_error DockerImageNotFound put ".volumes/$VOL/state" build
}

@test "image of a volume: unknown, or together with layers, there is no volume" {
	vol=$(cat "$PORTO_ROOT/.volumes/next")
	mkdir "$PORTO_ROOT/.volumes/$vol"
	echo none:1 >"$PORTO_ROOT/.volumes/$vol/image"
	want_error DockerImageNotFound put ".volumes/$vol/state" build
	echo "$FIXTURES/app.save" >"$I/import"
	echo app:1 >"$PORTO_ROOT/.volumes/$vol/image"
	echo /usr >"$PORTO_ROOT/.volumes/$vol/layers"
	want_error InvalidValue put ".volumes/$vol/state" build
	echo >"$PORTO_ROOT/.volumes/$vol/layers"
	echo build >"$PORTO_ROOT/.volumes/$vol/state"
	[ "$(cat "$PORTO_ROOT/.volumes/$vol/ready")" = true ]
}

@test "pull: by tag and digest from a registry; what is not there, and registries that are not allowed" {
	registry_start
	oci "$BATS_TEST_TMPDIR/oci" gzip
	push "$BATS_TEST_TMPDIR/oci" team/app:1
	echo "$registry/team/app:1" >"$I/pull"
	[ "$(cat "$I/$(short app)/tags")" = "$registry/team/app:1" ]
	[ "$(cat "$I/$(short app)/digests")" = "$(jq -r '.manifests[0].digest' "$BATS_TEST_TMPDIR/oci/index.json")" ]
	[ "$(cat "$I/find[${registry}%team%app@$(cat "$I/$(short app)/digests")]")" = "$(short app)" ]
	want_error DockerImageNotFound put .images/pull "$registry/team/app:2"
	want_error Permission put .images/pull quay.io/team/app:2
	want_error InvalidValue put .images/pull 'A B'
	want_error Docker put .images/pull "$registry/team/app:1; arch=s390x"
}

@test "pull: the token that is written with it is no argument of any process" {
	registry_start 'auth: {silly: {realm: "http://127.0.0.1:1/none", service: none}}'
	oci "$BATS_TEST_TMPDIR/oci" gzip
	push "$BATS_TEST_TMPDIR/oci" team/app:1
	want_error Docker put .images/pull "$registry/team/app:1"
	put .images/pull "$registry/team/app:1; token=very-secret-token"
	[ "$(cat "$I/$(short app)/tags")" = "$registry/team/app:1" ]
	! grep -rl very-secret-token "$STATE_DIR" "$DAEMON_LOG" || fail "it is kept"
}

@test "import: goes on when the worker is killed, and its writer hears of the end" {
	local rc=0
	mkfifo "$BATS_TEST_TMPDIR/go"
	head -c 20000000 /dev/urandom >"$BATS_TEST_TMPDIR/noise"
	tar -C "$BATS_TEST_TMPDIR" -cf "$FIXTURES/big.tar" noise
	make_image big '[]' '[]' big.tar
	docker_save "$BATS_TEST_TMPDIR/big.save" big:1 big
	zstd -q "$BATS_TEST_TMPDIR/big.save" -o "$BATS_TEST_TMPDIR/big.zst"
	echo "$BATS_TEST_TMPDIR/big.zst" >"$I/import" 3>&- &
	wait_for '[ -n "$(cat "$I/progress")" ]'
	kill_worker
	wait $! || rc=$?
	[ "$rc" = 0 ] && [ "$(cat "$I/find[big:1]")" = "$(short big)" ]
	[ "$(stat -c %s "$(cat "$I/$(short big)/layers")/noise")" = 20000000 ]
}

@test "killed porto-store: the writer gets an error, and what was begun goes" {
	rm -rf "$BATS_TEST_TMPDIR/x"
	head -c 150000000 /dev/urandom >"$BATS_TEST_TMPDIR/noise"
	tar -C "$BATS_TEST_TMPDIR" -cf "$FIXTURES/big.tar" noise
	make_image big '[]' '[]' big.tar
	docker_save "$BATS_TEST_TMPDIR/big.save" big:1 big
	want_error Docker put .images/import "$BATS_TEST_TMPDIR/noise"
	# it may be done before it is found: then once more
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		(echo "$BATS_TEST_TMPDIR/big.save" >"$I/import") 2>"$BATS_TEST_TMPDIR/said" 3>&- &
		until pid=$(pgrep -f "porto-store --go 7 image-import" -P "$(worker_pid)") || ! kill -0 $! 2>/dev/null; do :; done
		# shellcheck disable=SC2086 # a list of numbers
		[ -z "$pid" ] || kill -9 $pid || :
		wait $! || break
		echo big:1 >"$I/remove"
	done
	error_says HelperError || fail "$(<"$BATS_TEST_TMPDIR/said")"
	wait_for '[ -z "$(find $PLACE/porto_docker/v1 -mindepth 2)" ]'
	[ -z "$(cat "$I/list")" ]
}

@test "a user outside of the group may look, but not change; a member imports only what it may read" {
	echo "$FIXTURES/app.save" >"$I/import"
	[ "$(outsider daemon cat "$I/$(short app)/id")" = "$(id_of app)" ]
	cp "$FIXTURES/base.save" "$BATS_TEST_TMPDIR/secret" && chmod 600 "$BATS_TEST_TMPDIR/secret"
	chmod 755 "$BATS_RUN_TMPDIR" "$BATS_TEST_TMPDIR" "${BATS_TEST_TMPDIR%/*}"
	run ! outsider daemon sh -c "echo $FIXTURES/base.save >$I/import"
	run ! outsider daemon rmdir "$I/$(short app)"
	[ -e "$I/$(short app)" ]
	want_error Permission as daemon put .images/import "$BATS_TEST_TMPDIR/secret"
	want_error InvalidPath as daemon put .images/import "$FIXTURES"
	as daemon put .images/import "$FIXTURES/base.save"
	[ -e "$I/$(short base)" ]
}

@test "an image is its owner's: another user neither takes its tags nor removes it" {
	docker_save "$BATS_TEST_TMPDIR/other.save" app:1 base
	docker_save "$BATS_TEST_TMPDIR/mine.save" app:1 app
	chmod 755 "$BATS_RUN_TMPDIR" "$BATS_TEST_TMPDIR" "${BATS_TEST_TMPDIR%/*}"
	echo "$BATS_TEST_TMPDIR/mine.save" >"$I/import"
	want_error Permission as daemon put .images/import "$BATS_TEST_TMPDIR/other.save"
	[ ! -e "$I/$(short base)" ]
	want_error Permission as daemon put .images/import "$BATS_TEST_TMPDIR/other.save; name=app:1"
	[ "$(cat "$I/find[app:1]")" = "$(short app)" ]
	want_errno EPERM as daemon rmdir "$I/$(short app)"
	want_error Permission as daemon put .images/remove app:1
	[ "$(cat "$I/$(short app)/tags")" = mirror.gcr.io/library/app:1 ]
	# his own he does; root takes tags from everybody
	as daemon put .images/import "$BATS_TEST_TMPDIR/other.save; name=his:1"
	want_error Permission as games put .images/remove his:1
	as daemon put .images/remove his:1
	as daemon put .images/import "$BATS_TEST_TMPDIR/other.save; name=his:1"
	echo "$BATS_TEST_TMPDIR/mine.save; name=his:1" >"$I/import"
	[ "$(cat "$I/find[his:1]")" = "$(short app)" ]
	# what root has brought too is root's
	echo "$BATS_TEST_TMPDIR/other.save; name=too:1" >"$I/import"
	want_errno EPERM as daemon rmdir "$I/$(short base)"
}

@test "a container sees the images of the places it may use" {
	echo "$FIXTURES/app.save" >"$I/import"
	ct_new a
	[ "$(cat "$PORTO_ROOT/a/.images/$(short app)/id")" = "$(id_of app)" ]
	mkdir -p "$TEST_DIR/other"
	put a/place "$TEST_DIR/other"
	[ ! -e "$PORTO_ROOT/a/.images/$(short app)" ] && [ -z "$(cat "$PORTO_ROOT/a/.images/list")" ]
	put .images/import "$FIXTURES/base.save; place=$TEST_DIR/other"
	[ "$(ls -d "$PORTO_ROOT/a/.images/"*/)" = "$PORTO_ROOT/a/.images/$(short base)/" ]
	[ "$(cat "$I/${TEST_DIR//\//%}%other%%$(short base)/place")" = "$TEST_DIR/other" ]
	put .images/remove "base:1; place=$TEST_DIR/other"
	ct_destroy a
}
