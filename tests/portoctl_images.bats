#!/usr/bin/env bats
# portoctl's commands for images: docker-images, docker-pull, docker-rmi, docker-run.
# Not in the guest, which is slow (`make check-vm` runs it there): a shell on files.
#
# shellcheck disable=SC2154 # run sets stderr
# shellcheck disable=SC2016 # meant for shells in containers

bats_require_minimum_version 1.5.0
# shellcheck disable=SC2034 # for the helpers
PORTOD_OPTIONS=('daemon.docker_insecure_registry=127.0.0.1:*')
load helpers
load images
load portoctl

setup_file() {
	test_begin
	make_fixtures
	docker_save "$FIXTURES/app.save" app:1 app
	docker_save "$FIXTURES/base.save" base:1 base
}

setup() {
	put .images/import "$FIXTURES/app.save"
	put .images/import "$FIXTURES/base.save"
}

teardown() {
	registry_stop
	destroy_all
	wait_for '[ -z "$(<"$PORTO_ROOT/.volumes/list")" ]'
	cut -f 1 "$PORTO_ROOT/.images/list" | while read -r id; do rmdir "$PORTO_ROOT/.images/${id:0:12}"; done
	wait_for '[ -z "$(ls "$STATE_DIR/jobs")" ]'
}

@test "docker-images: a line a name; -v: all of an image; a mask; a place" {
	local app base
	app=$(id_of app) base=$(id_of base)
	ctl 0 docker-images
	[ "${lines[0]}" = 'ID           NAME' ]
	[[ $output == *$'\n'"${app:0:12} mirror.gcr.io/library/app:1"* && $output == *$'\n'"${base:0:12} mirror.gcr.io/library/base:1"* ]]
	ctl 0 docker-images '*app*'
	[ "${#lines[@]}" -eq 2 ]
	ctl 0 docker-images -v '*app:1'
	[[ $output == *"id       = $app"* && $output == *'command  = /bin/sh -c echo hi two\nlines'* && $output == *'env      = PATH=/bin NAME=app'* ]]
	ctl 0 docker-images -P /tmp
	out_is 'ID           NAME'
	put .images/import "$FIXTURES/app.save; name=other:2"
	ctl 0 docker-images -P "$PLACE" '*other*'
	[[ ${lines[1]} == *other:2 ]]
	ctl 1 docker-images a b
}

@test "docker-rmi: a name, then the image; what is not there" {
	ctl 0 docker-rmi app:1
	ctl 0 docker-images '*app*'
	[ "${#lines[@]}" -eq 1 ]
	ctl 189 docker-rmi app:1
	err_is "Can't remove image: DockerImageNotFound:(*)"
	ctl 7 docker-rmi 'base:1; place=/tmp'
	ctl 189 docker-rmi -P /tmp base:1
}

@test "docker-run: the command, environment and directory of the image" {
	ctl 0 docker-run -W a app:1
	prop_is a state dead
	[ "$(prop a command_argv)" = $'/bin/sh\t-c\techo hi\ttwo\nlines' ]
	prop_is a stdout hi
	prop_is a cwd /data
	prop_is a user daemon
	prop_is a group bin
	[[ $(prop a env) == *NAME=app* ]]
	prop_is a place ''
	ctl 15 docker-rmi app:1
	err_is "Can't remove image: Busy:(image *: volume $PLACE/porto_volumes/*/volume uses it)"
	ctl 0 destroy a
	wait_for 'grep -qx "volumes 0" "$PORTO_ROOT/.porto/stat"' # out of the list it is a little earlier
	ctl 0 docker-rmi app:1
}

@test "docker-run: what is said of the command and more counts" {
	ctl 0 docker-run -W a app:1 command='sh -c "echo $NAME $B; cat /etc/hello; pwd"' env='B=2;NAME=mine' cwd=/etc space_limit=50M
	prop_is a stdout $'mine 2\nhello\n/etc'
	ctl 0 destroy a
	ctl 0 docker-run -W a app:1 command='/bin/busybox id -u' user=3
	prop_is a stdout 3
	ctl 0 docker-run -P "$PLACE" b app:1 command='/bin/busybox sleep 1000'
	prop_is b place "$PLACE"
	prop_is b state running
}

@test "docker-run: the user of the image by its own files; what they don't have is refused" {
	local spec expected
	mkdir -p "$BATS_TEST_TMPDIR/etc"
	printf 'root:x:0:0::/:/bin/sh\nweb:x:77:78::/:/bin/sh\n' >"$BATS_TEST_TMPDIR/etc/passwd"
	printf 'root:x:0:\nstaff:x:79:web\n' >"$BATS_TEST_TMPDIR/etc/group"
	tar -C "$BATS_TEST_TMPDIR" -cf "$FIXTURES/accounts.tar" etc
	make_image users '[]' '["/bin/busybox","id"]' base.tar accounts.tar
	for spec in web=77:78 web:staff=77:79 web:5=77:5 77=77:78 6=6:0 :=0:0 root=0:0; do
		jq -c --arg user "${spec%=*}" '.config.User = $user' "$FIXTURES/users.config" >"$FIXTURES/one.config"
		cp "$FIXTURES/users.layers" "$FIXTURES/one.layers"
		docker_save "$FIXTURES/one.save" one:1 one
		put .images/import "$FIXTURES/one.save"
		ctl 0 docker-run -W a one:1
		expected=${spec#*=}
		[[ $(prop a stdout) =~ ^uid=${expected%:*}(\(.*\))?\ gid=${expected#*:}([^0-9]|$) ]] || fail "$spec: $(prop a stdout) $(prop a error)"
		ctl 0 destroy a
		wait_for 'grep -qx "volumes 0" "$PORTO_ROOT/.porto/stat"'
		ctl 0 docker-rmi one:1
	done
	jq -c '.config.User = "nobody"' "$FIXTURES/users.config" >"$FIXTURES/one.config"
	docker_save "$FIXTURES/one.save" one:1 one
	put .images/import "$FIXTURES/one.save"
	ctl 1 docker-run -W a one:1
	err_is "Cannot start container: the image's /etc has no 'nobody'*"
	absent a
}

@test "docker-run -T: in the foreground, gone afterwards" {
	ctl 5 docker-run -T a app:1 command='sh -c "cat data/new ../data/new; exit 5"' cwd=/
	out_is $'new\nnew'
	err_is 'Container exit code: 5'
	absent a
	volumes_are
}

@test "docker-run: an image that is not there" {
	ctl 1 docker-run a nope:1
	err_is 'Cannot start container: DockerImageNotFound:(*)'
	ctl 1 docker-run -P /tmp a app:1
	ctl 1 docker-run a '../x;y'
	ctl 1 docker-run a
	absent a
}

@test "docker-pull: from a registry, prints the digest; what it does not have" {
	registry_start
	oci "$BATS_TEST_TMPDIR/oci" gzip
	push "$BATS_TEST_TMPDIR/oci" team/app:1
	ctl 0 docker-pull "$registry/team/app:1"
	[[ $output == sha256:* ]]
	ctl 0 docker-images "$registry/*"
	[[ ${lines[1]} == "$(id_of app | cut -c 1-12) $registry/team/app:1" ]]
	ctl 189 docker-pull "$registry/team/app:2"
	err_is "Can't pull image: DockerImageNotFound:(*)"
	ctl 0 docker-run -W a "$registry/team/app:1" command='/bin/busybox cat /etc/hello'
	prop_is a stdout hello
}
