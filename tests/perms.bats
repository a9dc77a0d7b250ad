#!/usr/bin/env bats
# Who may do what: members of the group, each with containers of their own, outsiders, root, clients inside containers.
# Not in the guest, which is slow (`make check-vm` runs it there): who may do what is decided by the daemon.
#
# shellcheck disable=SC2016 # shells in containers, conditions of wait_for

bats_require_minimum_version 1.5.0
load helpers

ONE=daemon TWO=games

teardown() {
	destroy_all
}

@test "members of the group make, run and remove containers of their own, with modes and owners that tell" {
	as $ONE ct_new one
	as $TWO ct_new two
	[ "$(stat -c '%U %a' "$PORTO_ROOT/one")" = "$ONE 755" ]
	[ "$(stat -c '%U %a' "$PORTO_ROOT/one/command")" = "$ONE 644" ]
	prop_is one owner_user $ONE
	prop_is one user $ONE
	as $ONE put one/command 'sh -c "id -u; id -G"'
	as $ONE put one/state start
	prop_is one wait dead
	[ "$(head -n 1 "$PORTO_ROOT/one/stdout")" = "$(id -u $ONE)" ]
	[ "$(as $ONE cat "$PORTO_ROOT/one/exit_code")" = 0 ]
	# Children belong to their maker, too.
	as $ONE ct_new one/kid command='sleep 1000'
	[ "$(stat -c %U "$PORTO_ROOT/one/kid")" = $ONE ]
	as $ONE rmdir "$PORTO_ROOT/one"
	[ ! -e "$PORTO_ROOT/one" ]
}

@test "another's container is read, but neither changed, started, stopped, killed nor removed; nor given children" {
	local verb
	as $ONE ct_new one command='sleep 1000' private=mine
	as $ONE put one/state start
	[ "$(as $TWO cat "$PORTO_ROOT/one/private")" = mine ]
	want_errno EACCES as $TWO put one/private theirs
	for verb in stop kill pause restart destroy; do
		want_errno EACCES as $TWO put one/state $verb
	done
	want_errno EACCES as $TWO put one/attach $$
	want_errno EACCES as $TWO put one/TEST.label x
	want_errno EACCES as $TWO put one/spec 'private = x'
	run ! as $TWO rmdir "$PORTO_ROOT/one"
	run ! as $TWO mkdir "$PORTO_ROOT/one/kid"
	run ! as $TWO chown $TWO "$PORTO_ROOT/one"
	run ! as $TWO bash -c 'exec 9>"$PORTO_ROOT/one/weak"'
	prop_is one state running
	prop_is one private mine
}

@test "a user outside the group reads and changes nothing, not even what was made for it" {
	ct_new a private=x
	[ "$(outsider $ONE cat "$PORTO_ROOT/a/private")" = x ]
	[ "$(outsider $ONE ls "$PORTO_ROOT" | grep -cx a)" = 1 ]
	want_errno EACCES outsider $ONE mkdir "$PORTO_ROOT/mine"
	put a/owner_user $ONE
	sleep 1.1 # attributes are kept for a second
	want_errno EACCES outsider $ONE bash -c 'echo y >"$PORTO_ROOT/a/private"'
	want_errno EACCES outsider $ONE bash -c 'echo start >"$PORTO_ROOT/a/state"'
	run ! outsider $ONE rmdir "$PORTO_ROOT/a"
	as $ONE put a/private y # the same user as a member
	prop_is a private y
}

@test "an owner may not become root, another user, another group, nor give the container away or take descriptors of others" {
	as $ONE ct_new one command='id -u'
	as $ONE put one/user root
	want_errno EACCES as $ONE put one/state start
	[[ $(prop one start_error) == Permission:* ]]
	as $ONE put one/user $TWO
	want_errno EACCES as $ONE put one/state start
	as $ONE put one/user $ONE
	as $ONE put one/group root
	want_errno EACCES as $ONE put one/state start
	as $ONE put one/group $ONE
	want_errno EACCES as $ONE put one/owner_user $TWO
	want_errno EACCES as $ONE put one/owner_user root
	want_errno EACCES as $ONE put one/root /tmp
	want_errno EACCES as $ONE put one/bind '/etc /mnt'
	want_errno EACCES as $ONE put one/stdout_limit 2G
	as $ONE put one/stdout_limit 1G
	# A stream path is opened with the user's rights.
	install -m 600 /dev/null "$TEST_DIR/secret"
	as $ONE put one/stdout_path "$TEST_DIR/secret"
	want_errno EACCES as $ONE put one/state start
	[ ! -s "$TEST_DIR/secret" ]
	rm "$TEST_DIR/secret"
	as $ONE put one/stdout_path ''
	as $ONE put one/state start
	prop_is one wait dead
	prop_is one stdout "$(id -u $ONE)"
}

@test "root gives a container away and still may do everything with it, but never writes what is read-only" {
	ct_new a command='id -u'
	put a/owner_user $ONE
	want_errno EACCES put a/id 7
	want_errno EACCES put a/cpu_usage 0
	want_errno EACCES put a/absolute_name /porto/b
	want_errno EPERM chmod 777 "$PORTO_ROOT/a/id"
	put a/user $ONE
	as $ONE put a/state start
	prop_is a wait dead
	prop_is a stdout "$(id -u $ONE)"
	put a/state stop
	rmdir "$PORTO_ROOT/a"
}

@test "rights are the opener's, not those of whoever writes to the descriptor later" {
	as $ONE ct_new one
	as $TWO ct_new two
	# root opens, a user without rights writes: it is root's write
	bash -c 'exec 9>"$PORTO_ROOT/one/private"; exec setpriv --reuid '$TWO' --clear-groups bash -c "echo given >&9"'
	prop_is one private given
	# a member can't open another's at all
	want_errno EACCES as $TWO bash -c 'exec 9>"$PORTO_ROOT/one/private"'
}

@test "attack: who held command and state open when root gave the container away does not run his as the new owner" {
	local name
	as $ONE ct_new one command=true private=its
	for name in before after; do mkfifo -m 666 "$TEST_DIR/$name"; done
	as $ONE bash -c 'cd "$PORTO_ROOT/one"; exec 5<>command 6<>private 7<>state 8<>state; echo >"$1/before"; read -r _ <"$1/after"
		echo "sh -c id" >&5; echo x >&6; echo start >&7; echo destroy >&8' - "$TEST_DIR" >/dev/null 2>&1 3>&- 4>&- &
	read -r _ <"$TEST_DIR/before"
	put one/owner_user $TWO
	put one/user $TWO
	echo >"$TEST_DIR/after"
	wait $! || :
	prop_is one command true
	prop_is one private its
	prop_is one state stopped
	as $TWO put one/state start
	rm "$TEST_DIR"/{before,after}
}

@test "attack: who held the files of a volume and a layer open when root gave them away changes and destroys nothing" {
	local name volumes=$PORTO_ROOT/.volumes layers=$PORTO_ROOT/.layers
	as $ONE mkdir "$volumes/7" "$layers/his"
	for name in before after; do mkfifo -m 666 "$TEST_DIR/$name"; done
	as $ONE bash -c 'cd "$PORTO_ROOT"; exec 5<>.volumes/7/private 6<>.volumes/7/state 7<>.layers/his/private; echo >"$1/before"; read -r _ <"$1/after"
		echo x >&5; echo build >&6; echo x >&7' - "$TEST_DIR" >/dev/null 2>&1 3>&- 4>&- &
	read -r _ <"$TEST_DIR/before"
	chown $TWO "$volumes/7" "$layers/his"
	echo >"$TEST_DIR/after"
	wait $! || :
	[ -z "$(<"$volumes/7/private")$(<"$layers/his/private")" ]
	[ "$(<"$volumes/7/state")" != ready ]
	as $TWO sh -c 'echo y >"$1/private"' - "$volumes/7"
	rmdir "$volumes/7" "$layers/his"
	rm "$TEST_DIR"/{before,after}
}

@test "a file opened by a user and written by a setuid program takes no descriptor of that program" {
	install -m 4755 "$(command -v dd)" "$TEST_DIR/dd"
	[ "$(as $ONE "$TEST_DIR/dd" if=/proc/self/status status=none | awk '/^Uid/ { print $3 }')" = 0 ] || skip 'setuid has no effect here'
	install -m 600 /dev/null "$TEST_DIR/secret"
	echo /dev/fd/0 >"$TEST_DIR/secret"
	as $ONE ct_new one command=cat
	# dd opens the secret as its descriptor 0 and writes what stands in it to what the user has opened
	run as $ONE bash -c '"$1/dd" if="$1/secret" status=none >"$PORTO_ROOT/one/stdin_path"' - "$TEST_DIR"
	[[ $output == *'Permission denied'* ]] || fail "$output"
	prop_is one stdin_path /dev/null
	# its own descriptors it may give, and root anybody's container its
	as $ONE bash -c 'exec 5</etc/passwd; echo /dev/fd/5 >"$PORTO_ROOT/one/stdin_path"'
	bash -c 'exec 5<"$TEST_DIR/secret"; echo /dev/fd/5 >"$PORTO_ROOT/one/stdin_path"'
	rm "$TEST_DIR"/{dd,secret}
}

@test "a client inside a container acts as the owner of that container, whatever its own uid" {
	as $ONE ct_new one command="sh -c 'mkdir $PORTO_ROOT/self/kid && echo ok; mkdir $PORTO_ROOT/top || echo not at the top; cat $PORTO_ROOT/other/private; echo x >$PORTO_ROOT/other/private || echo refused; id -u'"
	ct_new other private=root
	as $ONE put one/state start
	prop_is one wait dead
	[ "$(prop one stdout)" = "ok
not at the top
root
refused
$(id -u $ONE)" ] || fail "$(prop one stdout; prop one stderr)"
	[ "$(stat -c %U "$PORTO_ROOT/one/kid")" = $ONE ]
	prop_is other private root
	# root's container with an unprivileged task: the kernel checks the task, which is nobody's owner here
	ct_new r command="sh -c 'echo x >$PORTO_ROOT/other/private || echo refused'" user=$TWO
	put r/state start
	prop_is r wait dead
	prop_is other private root
}

@test "a task that root runs as another user is that user to porto: it can't make a container of its own run as root" {
	# shellcheck disable=SC2016 # the shell inside expands it
	local inside='cd "$PORTO_ROOT"
		exec 8>mine/state 9>mine/user # held open while the files change hands
		echo root >&9 && echo user
		echo root >mine/owner_user && echo owner
		echo start >&8 && echo started
		echo "rtprio: 99" >mine/ulimit && echo limit
		echo 2G >mine/stdout_limit && echo output
		echo mine >mine/private && echo own
		cat secret/stdout'
	as $TWO ct_new mine command='id -u'
	install -m 600 /dev/null "$TEST_DIR/log"
	ct_run secret command='echo words' stdout_path="$TEST_DIR/log"
	printf '%s\n' "$inside" >"$TEST_DIR/inside.sh"
	ct_run r command="sh $TEST_DIR/inside.sh" user=$TWO env="PORTO_ROOT=$PORTO_ROOT"
	# `user` is judged at the start
	[ "$(prop r stdout)" = $'user\nown' ] || fail "$(prop r stdout; prop r stderr)"
	prop_is mine state stopped
	prop_is mine owner_user $TWO
	prop_is mine ulimit ''
	# root in a container of root's is root
	ct_run q command="sh $TEST_DIR/inside.sh" env="PORTO_ROOT=$PORTO_ROOT"
	[[ $(prop q stdout) == *words* ]] || fail "$(prop q stdout; prop q stderr)"
	prop_is mine owner_user root
	rm "$TEST_DIR"/{log,inside.sh}
}

@test "errors are told to whoever made them: .porto/error is per user" {
	as $ONE ct_new one
	want_error InvalidValue as $ONE put one/cpu_limit bad
	want_errno EINVAL put one/memory_limit worse
	[[ $(as $ONE cat "$PORTO_ROOT/.porto/error") == *cpu_limit* ]]
	[[ $(cat "$PORTO_ROOT/.porto/error") == *memory_limit* ]]
	[ -z "$(as lp cat "$PORTO_ROOT/.porto/error")" ]
}

@test "read_only: every change of an unprivileged client is refused, root's are not" {
	daemon_stop
	DAEMON+=(--set daemon.read_only=true)
	daemon_up
	want_errno EROFS as $ONE mkdir "$PORTO_ROOT/one"
	[[ $(as $ONE cat "$PORTO_ROOT/.porto/error") == '27 PortoFrozen:('* ]]
	ct_run a command=true
	prop_is a exit_code 0
	[ "$(as $ONE cat "$PORTO_ROOT/a/state")" = dead ]
	destroy_all
	daemon_stop
	unset 'DAEMON[-1]' 'DAEMON[-1]'
	daemon_up
}

@test "io_limit and io_read by path tell nobody which files there are that it may not reach" {
	grep -q '^io_limit: yes' "$PORTO_ROOT/.porto/features" || skip 'no limits of IO'
	mkdir -m 700 "$TEST_DIR/hidden"
	touch "$TEST_DIR/hidden/file"
	as $ONE ct_new one
	want_errno EINVAL as $ONE put one/io_limit "$TEST_DIR/hidden/file: 1M"
	error_says one 'Disk not found'
	want_errno EINVAL as $ONE put one/io_limit "$TEST_DIR/hidden/none: 1M"
	rm -r "$TEST_DIR/hidden"
}

@test "cpu_policy: an owner whose container shares another's cpu cgroup is not served before that one's tasks" {
	grep -q '^cpu_policy: yes' "$PORTO_ROOT/.porto/features" || skip 'no CAP_SYS_NICE'
	local nice
	ct_start p command='sleep 1000'
	ct_new p/k command='sleep 1000' user=$ONE owner_user=$ONE
	put p/k/controllers 'memory'
	[[ $(prop p/k 'controllers[cpu]') == true ]] || {
		want_errno EACCES as $ONE put p/k/cpu_policy rt
		error_says p/k "shares the cpu cgroup of p, which is another's"
		put p/k/cpu_policy high # root may write it, and still it is not so
	}
	put p/k/state start
	nice=$(sed 's/.*) //' "/proc/$(prop p/k root_pid)/stat" | cut -d' ' -f17)
	[ "$nice" = 0 ] || [[ $(prop p/k 'controllers[cpu]') == true ]]
	put p/k/state stop
	as $ONE put p/k/controllers cpu
	as $ONE put p/k/cpu_policy rt
	put p/k/state start
	nice=$(sed 's/.*) //' "/proc/$(prop p/k root_pid)/stat" | cut -d' ' -f17)
	[ "$nice" = -20 ]
}
