#!/usr/bin/env bats
# What is shown to those who may not see it: secrets, files of others.

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
