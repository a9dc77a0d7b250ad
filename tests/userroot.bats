#!/usr/bin/env bats
# Containers of users with a root of their own: a volume of theirs, in a user namespace; attacks.
#
# shellcheck disable=SC2016,SC2030,SC2031 # shells in containers; a test is a process of its own

bats_require_minimum_version 1.5.0
load helpers
load root

setup_file() {
	test_begin
	ROOT=$TEST_DIR/tree
	root_make "$ROOT" cut head
	mkdir "$ROOT/suid" && cp /bin/busybox "$ROOT/suid/cat" && chmod 4755 "$ROOT/suid/cat"
	echo secret >"$ROOT/etc/secret" && chmod 600 "$ROOT/etc/secret"
	tar -C "$ROOT" -cf "$TEST_DIR/tree.tar" .
	chmod 644 "$TEST_DIR/tree.tar"
	export ROOT
}

setup() {
	layer_new tree "$TEST_DIR/tree.tar"
}

teardown() {
	destroy_all
}

# volume USER [LINE]: a volume of the layer that belongs to this user -> $VOL, $VOL_PATH
volume() {
	read -r VOL VOL_PATH < <(as "$1" vol_tell "layers = tree${2:+$'\n'$2}")
	[ -n "$VOL_PATH" ]
}

# Whether the owner is refused this root, and root is as well who sets it there.
refused() {
	want_error Permission as daemon put a/root "$1"
	want_error Permission put a/root "$1"
	prop_is a root /
}

@test "a member's container has a volume of his as root: in a user namespace, without setuid programs and others' files" {
	volume daemon
	as daemon ct_new a userns=true root="$VOL_PATH" cwd=/ 'command=sh -c "id -u; ls -d /place /home; cat /etc/secret; echo mine >/tmp/file && cat /tmp/file; /suid/cat /etc/secret; mount -t tmpfs x /mnt && echo mounted; mknod /tmp/null c 1 3"'
	as daemon put a/state start
	prop a wait
	[ "$(prop a stdout)" = $'0\nmine\nmounted' ] || fail "$(prop a stdout) $(prop a stderr)"
	[[ $(prop a stderr) == *'/etc/secret'*denied* ]] || fail "$(prop a stderr)"
	[ "$(stat -c %U "$VOL_PATH/tmp/file")" = daemon ]
	as daemon put a/state stop
	as daemon put a/command 'sleep 1000'
	as daemon put a/state start
	grep ' / / ' "/proc/$(prop a root_pid)/mountinfo" | grep -q 'nosuid,nodev' || fail "$(cat "/proc/$(prop a root_pid)/mountinfo")"
	daemon_restart
	prop_is a state running
	prop_is a root "$VOL_PATH"
	# the daemon makes devices known inside, and links
	as daemon put a/symlink '/tmp/link: /etc'
	[ "$(readlink "$VOL_PATH/tmp/link")" = ../etc ]
}

@test "portoctl exec -L LAYER, run -L: as a member" {
	run as daemon "$PORTOCTL" exec -L tree e command='sh -c "id -u; echo x >/tmp/x; ls /tmp"'
	[ "$status" -eq 0 ] && [ "$output" = $'0\nx' ] || fail "$output"
	as daemon "$PORTOCTL" run -L tree e command='sleep 1000'
	prop_is e userns true
	as daemon "$PORTOCTL" destroy e
	wait_for '[ -z "$(vol_ids)" ]'
}

@test "attack: another path, links, .., below the volume, another's volume, a path or place of one's own, a bind" {
	local own=$TEST_DIR/own
	volume daemon
	as daemon ct_new a userns=true
	install -d -o daemon -m 755 "$own" "$own/dir"
	as daemon ln -s "$VOL_PATH" "$own/link"
	for path in "$ROOT" /etc "$own" "$own/link" "$VOL_PATH/" "$VOL_PATH/etc" "$VOL_PATH/../volume" "$VOL_PATH/../.." "/proc/self/root$VOL_PATH" "${VOL_PATH%/*}"; do
		refused "$path"
	done
	error_says a 'not the path of a volume'
	as daemon vol_tell "path = $own/dir"$'\nlayers = tree' >/dev/null
	refused "$own/dir"
	read -r VOL VOL_PATH < <(as daemon vol_tell "backend = bind"$'\nstorage = /usr\nread_only = true')
	refused "$VOL_PATH"
	volume games
	refused "$VOL_PATH"
	read -r VOL VOL_PATH < <(vol_tell 'layers = tree')
	refused "$VOL_PATH"
	# and in a spec
	want_errno EACCES as daemon put a/spec "root = $VOL_PATH"
}

@test "attack: what was right when it was written is looked at again at the start" {
	volume daemon
	as daemon ct_new a root="$VOL_PATH" command=true
	want_error Permission as daemon put a/state start
	error_says a 'needs userns=true'
	as daemon put a/userns true
	as daemon vol_destroy "$VOL"
	want_error Permission as daemon put a/state start
	error_says a 'not the path of a volume'
	# nor will it be somebody else's: its number is not given again
	! mkdir "$PORTO_ROOT/.volumes/$VOL" 2>/dev/null || fail 'made again'
	volume daemon
	as daemon put a/root "$VOL_PATH"
	put a/owner_user games
	put a/user games
	want_error Permission as games put a/state start
	error_says a 'does not belong to the owner'
	# a user namespace of somebody else's above, a root of one's own above
	ct_start r userns=true user=1044 group=1044 root="$ROOT" command='sleep 1000'
	volume daemon
	as daemon ct_new b userns=true root="$VOL_PATH" command='sleep 1000'
	as daemon put b/state start
	as daemon ct_new b/c userns=true command=true
	want_error Permission as daemon put b/c/root "$VOL_PATH"
	# and when it was root's, with a root of root's
	ct_new d userns=true root="$ROOT" command=true
	put d/owner_user daemon
	want_error Permission as daemon put d/state start
	# nor are bind and the files of names for them
	want_error Permission as daemon put b/c/bind '/etc /mnt'
}

@test "attack: read-only, the host's root in a user namespace stays the host's root's" {
	local secret=$TEST_DIR/secret
	echo secret >"$secret"
	chmod 600 "$secret"
	as daemon ct_new a userns=true root_readonly=true command="cat $secret"
	as daemon put a/state start
	prop a wait
	[ -z "$(prop a stdout)" ] || fail 'a user has read what is root'\''s'
	[[ $(prop a stderr) == *denied* ]]
	ct_run b userns=true root_readonly=true user=1044 group=1044 command="cat $secret"
	[ -z "$(prop b stdout)" ]
}
