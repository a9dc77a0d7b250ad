#!/usr/bin/env bats
# What is shown to those who may not see it: secrets, files of others.
# Not in the guest, which is slow (`make check-vm` runs it there): what is kept from whom is decided by the daemon.

bats_require_minimum_version 1.5.0
load helpers

ONE=daemon TWO=games

teardown() {
	destroy_all
}

# nowhere TEXT: in no file of the tree that anybody may read, nor in the log or the events.
nowhere() {
	local found
	found=$(outsider $TWO find "$PORTO_ROOT" -type f -perm -444 ! -name README -exec grep -lF "$1" {} + 2>/dev/null || :)
	[ -z "$found" ] || fail "'$1' is shown in: $found"
	found=$(grep -F "$1" "$DAEMON_LOG" || :)
	[ -z "$found" ] || fail "'$1' is logged: $found"
	found=$(grep -F "$1" "$STATE_DIR/events" || :)
	[ -z "$found" ] || fail "'$1' is an event: $found"
}

@test "env_secret: the command has it, readers get hashes, by env[NAME] too and below a container that has it" {
	as $ONE ct_new a command='sh -c "echo is $TOKEN"' env='PLAIN=seen;TOKEN=plain' env_secret='TOKEN=hunter2'
	as $ONE ct_new a/b isolate=false command='sh -c "echo is $TOKEN"'
	[[ $(outsider $TWO cat "$PORTO_ROOT/a/env[TOKEN]") == '<secret salt='*' md5='*'>' ]]
	[[ $(as $ONE cat "$PORTO_ROOT/a/b/env[TOKEN]") == '<secret salt='*' md5='*'>' ]]
	[[ $(prop a 'env_secret[TOKEN]') == '<secret salt='*' md5='*'>' ]]
	prop_is a 'env[PLAIN]' seen
	nowhere hunter2
	as $ONE put a/state start
	prop_is a wait dead
	prop_is a stdout 'is hunter2'
	! grep -F hunter2 "$PORTO_ROOT"/a/b/* "$PORTO_ROOT/a/spec" || fail 'shown'
}

@test "env_secret: a refused value is quoted in no error, nor in the log" {
	ct_new a
	want_errno EINVAL put a/env_secret '=hunter2'
	nowhere hunter2
	error_says a 'env_secret: expected'
	want_errno EINVAL put 'a/env_secret[]' 'hunter2'
	nowhere hunter2
	want_errno EINVAL put a/spec 'env_secret = =hunter2'
	error_says a 'env_secret: expected'
	nowhere hunter2
	printf 'TOKEN=hunter2\0\n' >"$PORTO_ROOT/a/env_secret" || :
	nowhere hunter2
}

@test "env_secret: a command that can't be executed is shown as it was written" {
	# shellcheck disable=SC2016 # porto expands it
	ct_new a env_secret='TOKEN=hunter2' command='$TOKEN/x --flag'
	want_errno ENOENT put a/state start
	error_says a '$TOKEN/x'
	nowhere hunter2
	[[ $(prop a start_error) != *hunter2* ]]
}

@test "a file that the owner named for output is shown to the owner and to root, and to nobody else" {
	install -m 600 /dev/null "$TEST_DIR/rootlog"
	ct_run r command='echo private words' stdout_path="$TEST_DIR/rootlog"
	prop_is r stdout 'private words'
	[ "$(prop r 'stdout[0:7]')" = private ]
	want_errno EACCES as $ONE cat "$PORTO_ROOT/r/stdout"
	want_errno EACCES as $ONE cat "$PORTO_ROOT/r/stdout[0:7]"
	want_errno EACCES outsider $TWO cat "$PORTO_ROOT/r/stdout"
	# by default it goes to a file of the daemon's, which says nothing about its readers
	ct_run q command='echo public words'
	[ "$(outsider $TWO cat "$PORTO_ROOT/q/stdout")" = 'public words' ]
}

@test "an output file that was made another name of somebody else's is neither read, written, cut nor given away" {
	echo 'of root' >"$TEST_DIR/foreign"
	chmod 666 "$TEST_DIR/foreign"
	as $ONE ct_run h command='echo x' stdout_limit=1
	prop_is h stdout x
	as $ONE rm "$WORK_DIR/h/stdout"
	as $ONE ln "$TEST_DIR/foreign" "$WORK_DIR/h/stdout"
	want_errno EACCES as $ONE put h/state respawn
	error_says h 'something else was put in its place'
	want_errno ENODATA cat "$PORTO_ROOT/h/stdout"
	[ "$(stat -c %U "$TEST_DIR/foreign")" = root ]
	[ "$(<"$TEST_DIR/foreign")" = 'of root' ]
	as $ONE rm -f "$WORK_DIR/h/stdout" # a new one is made
	as $ONE put h/state respawn
	prop_is h wait dead
	prop_is h stdout x
	rm "$TEST_DIR/foreign"
}

# holds USER CONTAINER: in the background, its descriptor 3 is stdin_path; 'other' makes it another file.
holds() {
	exec 7> >(exec setpriv --reuid "$1" --regid "$(id -g "$1")" --groups "$(getent group "$TEST_GROUP" | cut -d: -f3)" bash -c '
		exec 3</etc/passwd
		echo /dev/fd/3 >"$PORTO_ROOT/$1/stdin_path"
		while read -r _; do exec 3</etc/group; done' holds "$2" 3>&- 4>&-)
	wait_for "[ \"\$(prop $2 stdin_path)\" = /dev/fd/3 ]"
}

@test "a descriptor is taken again by the next worker, but only if it still is the same file" {
	as $ONE ct_new a command=cat
	holds $ONE a
	kill_worker
	as $ONE put a/state start
	prop_is a wait dead
	[ "$(prop a stdout)" = "$(cat /etc/passwd)" ]
	as $ONE put a/state stop
	echo other >&7
	kill_worker
	sleep 0.3
	want_errno EINVAL as $ONE put a/state start
	error_says a 'is not any more what it was'
	exec 7>&-
	# what root has given to the container of another stays given
	as $ONE ct_new b command=cat
	holds root b
	kill_worker
	as $ONE put b/state start
	prop_is b wait dead
	[ "$(prop b stdout)" = "$(cat /etc/passwd)" ]
	exec 7>&-
}
