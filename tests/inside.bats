#!/usr/bin/env bats
# /porto inside containers: what each level of enable_porto shows and allows, in a root of its own, where the container's view is
# mounted, and in the host's, where only the daemon can tell who asks; asked by those inside who would like more.
# Not in the guest, which is slow (`make check-vm` runs it there): what who sees is decided by the daemon; that /porto is there is in isolation.bats.
#
# shellcheck disable=SC2016 # shells in containers, conditions of wait_for

bats_require_minimum_version 1.5.0
load helpers

setup_file() {
	test_begin
	ROOT=$TEST_DIR/root
	root_make "$ROOT"
	export ROOT
}

teardown() {
	all_gone
	no_crashes
}

# A directory to be a root: busybox under its names, /serve, and a place for the questions.
root_make() {
	local name
	mkdir -p "$1/bin" "$1/ctl"
	cp "$(command -v busybox)" "$1/bin/busybox"
	for name in sh cat ls mkdir rmdir echo sleep stat readlink grep mv rm true env; do
		ln -s busybox "$1/bin/$name"
	done
	cat >"$1/serve" <<'SERVE'
# serve DIR NAME: does what is written to the fifo DIR/NAME.in, in this shell; what it says is then in DIR/NAME.out
while :; do
	read -r line <"$1/$2.in" || continue
	eval "$line" >"$1/$2.tmp" 2>&1
	echo "$?" >>"$1/$2.tmp"
	mv "$1/$2.tmp" "$1/$2.out"
done
SERVE
}

# The mount points go after the mounts: who removed one before would take what is mounted there from the container.
all_gone() {
	destroy_all || return
	rm -rf --one-file-system "$ROOT/porto" "$ROOT"/sub
}

# served NAME WHERE [PROPERTY=VALUE...]: a container that answers ask; WHERE is chroot or host.
served() {
	local name=$1 where=$2 tag=${1//\//.}
	shift 2
	rm -f "$ROOT/ctl/$tag".*
	mkfifo -m 666 "$ROOT/ctl/$tag.in"
	chmod 777 "$ROOT/ctl"
	if [ "$where" = chroot ]; then
		ct_start "$name" "$@" root="$ROOT" "command=sh /serve /ctl $tag" env='P=/porto'
	else
		ct_start "$name" "$@" "command=sh $ROOT/serve $ROOT/ctl $tag" env="P=$PORTO_ROOT"
	fi
}

# ask NAME COMMAND: done by the container's shell; status and output as if it had been done here.
ask() {
	local tag=${1//\//.} text
	rm -f "$ROOT/ctl/$tag.out"
	timeout "$((10 * PORTO_SLOW))" bash -c 'printf "%s\n" "$2" >"$1"' - "$ROOT/ctl/$tag.in" "$2" || fail "$1 takes no question" || return
	wait_for "[ -e '$ROOT/ctl/$tag.out' ]" 20 || return
	text=$(cat "$ROOT/ctl/$tag.out")
	head -n -1 "$ROOT/ctl/$tag.out"
	return "${text##*$'\n'}"
}

# What a container of that level may do, a letter each: what the line in the test below says.
TRIES='t() { if "$@" >/dev/null 2>&1; then r=${r}y; else r=$r-; fi; }
put() { echo "$2" >"$1"; }
r=
t ls "$P/other/private"; t sh -c "ls $P | grep -qx other"; t grep -q "^other" "$P/.porto/containers"; t grep -q "\"other" "$P/.porto/metrics"
t cat "$P/self/private"; t cat "$P/other/private"
t mkdir "$P/self/kid"; t put "$P/self/kid/command" true; t put "$P/self/kid/state" start; t rmdir "$P/self/kid"
t put "$P/self/private" mine; t put "$P/self/command" ls; t put "$P/other/private" mine; t mkdir "$P/top"; t rmdir "$P/other"
echo "$r"'

# level_does WHERE LEVEL EXPECTED
level_does() {
	local got dir=$ROOT
	[ "$1" = host ] || dir=
	ct_start other private=its command='sleep 1000'
	served m "$1" enable_porto="$2" private=own
	printf '%s\n' "$TRIES" >"$ROOT/tries"
	got=$(ask m ". $dir/tries" 2>&1) || :
	[ "$got" = "$3" ] || fail "$1 $2: $got, expected $3"
	all_gone
}

@test "levels, in the host's root: sees, reads, creates, writes, destroys" {
	#                          seen reads kids own others
	level_does host true         'yyyyyyyyyyy-yyy'
	level_does host child-only   'yyyyyyyyyy-----'
	level_does host self-isolate '----y-yyyyy----'
	level_does host isolate      '----y-yyyy-----'
	level_does host read-only    'yyyyyy---------'
	level_does host read-isolate '----y----------'
	level_does host false        '---------------'
}

@test "levels, in a root of its own: the same, by what is mounted there" {
	level_does chroot true         'yyyyyyyyyyy-yyy'
	level_does chroot full         'yyyyyyyyyyy-yyy'
	level_does chroot child-only   'yyyyyyyyyy-----'
	# there the directory of all is its own
	level_does chroot self-isolate '----y-yyyyy--y-'
	level_does chroot isolate      '----y-yyyy---y-'
	level_does chroot read-only    'yyyyyy---------'
	level_does chroot read-isolate '----y----------'
	level_does chroot none         '---------------'
}

@test "a container makes, starts and awaits one below it through the /porto it was given, on a volume" {
	local line='sh -c "mkdir /porto/kid; echo true > /porto/kid/command; echo start > /porto/kid/state; cat /porto/kid/wait"'
	vol_build
	cp -a "$ROOT/bin" "$VOL_PATH/"
	timeout 30 "$PORTOCTL" run m enable_porto=isolate root="$VOL_PATH" command="$line"
	prop_is m wait dead
	prop_is m stdout dead
	prop_is m exit_code 0
	prop_is m/kid exit_code 0
	ct_destroy m
	vols_destroy
}

@test "hidden names don't leak: by lookup, link, list, events, metrics, find, wait, errors, nor by what others have looked up" {
	local pid out
	ct_start other command='sleep 1000'
	pid=$(prop other root_pid)
	served m host enable_porto=isolate
	stat "$PORTO_ROOT/other" "$PORTO_ROOT/other/state" >/dev/null # in the kernel's memory now
	for out in stat\ '$P/other' stat\ '$P/other/state' ls\ '$P/other' cat\ '$P/other/state' cat\ '$P/other/memory.stat' \
		cat\ '$P/.porto/find['"$pid"']' cat\ '$P/.porto/wait[other,0]' 'cd $P/other' 'echo x >$P/other/weak' \
		'cat "$P/.porto/find['$$']"' 'echo >$P/other/state' 'ls $P/other/.porto' 'stat $P/self/../other'; do
		out=$(ask m "$out") && fail "$out"
		[[ $out == *'No such file'* || $out == *nonexistent* || $out == *"can't cd"* ]] || fail "$out"
	done
	[ -z "$(ask m 'cat "$P/.porto/wait[oth*,100]"')" ]
	[ -z "$(ask m 'cat "$P/.porto/destroying" "$P/.porto/leaks"')" ]
	[ "$(ask m 'cat "$P/.porto/containers"' | cut -f1)" = m ]
	[ "$(ask m 'grep -c "^porto_containers 1$" "$P/.porto/metrics"')" = 1 ]
	ask m 'echo x >"$P/other/private"' >/dev/null || :
	run ! put other/cpu_limit nonsense # root's error, and not of m's root
	run ask m 'cat "$P/.porto/error"'
	[[ $output != *nonsense* ]] || fail "$output"
	out=$(ask m 'cat "$P/.porto/events?since=0" & sleep 0.3; kill $!')
	[[ $out == *$'\tm\trunning'* && $out != *other* ]] || fail "$out"
	[ "$(stat -c %F "$PORTO_ROOT/other")" = directory ] # nobody else has lost it
	# making what is there, hidden, tells no more than making what is not
	[ "$(ask m 'mkdir "$P/other" 2>&1; mkdir "$P/another" 2>&1' | sed 's/another/other/' | sort -u | wc -l)" = 1 ]
}

@test "events, names, self and errors inside are those below the directory that is there" {
	local out
	served m chroot enable_porto=isolate
	ask m 'mkdir /porto/kid /porto/kid/x'
	[ "$(ask m 'cut -f1 /porto/.porto/containers' 2>/dev/null || ask m 'cat /porto/.porto/containers' | cut -f1)" = kid$'\n'kid/x ]
	[ "$(cut -f1 "$PORTO_ROOT/m/.porto/containers")" = kid$'\n'kid/x ]
	out=$(ask m 'cat "/porto/.porto/events?since=0" & sleep 0.3; kill $!')
	[[ $out == *$'created\tkid/x '* && $out != *m/kid* ]] || fail "$out"
	ask m 'echo bad >/porto/kid/cpu_limit' && fail 'taken'
	ask m 'rmdir /porto/kid/none' && fail 'removed'
	ask m 'mkdir /porto/kid/x' && fail 'made twice'
	out=$(ask m 'ls /porto/self/.; readlink /porto/self; cat /porto/absolute_name /porto/absolute_namespace')
	[[ $out == *kid*$'\n.\n/porto/m\n/porto/m/' ]] || fail "$out"
	[ "$(ask m 'cat /porto/parent /porto/kid/absolute_name')" = $'/\n/porto/m/kid' ]
	[ "$(ask m 'cat "/porto/.porto/wait[kid]"')" = kid ]
	put m/kid/command true
	ask m 'echo start >/porto/kid/state; cat "/porto/.porto/wait[ki*]"'
	[ "$(prop m/kid enable_porto)" = true ]
	prop_is m absolute_namespace /porto/m/
	prop_is m/kid absolute_namespace /porto/m/
	# and two containers may call theirs the same
	[ "$(ask m 'cat "/porto/.porto/stat"' | grep '^containers ')" = 'containers 3' ]
}

@test "three deep, each in a root of the one above it" {
	root_make "$ROOT/sub"
	root_make "$ROOT/sub/sub"
	cat >"$ROOT/make" <<-'MAKE'
		# make NAME: below us, in a root below ours
		mkdir "/porto/$1" && echo isolate >"/porto/$1/enable_porto" && echo /sub >"/porto/$1/root" &&
			echo "sh /work" >"/porto/$1/command" && echo start >"/porto/$1/state"
	MAKE
	cp "$ROOT/make" "$ROOT/sub/make"
	echo 'sh /make c; cat /porto/.porto/containers; sleep 1000' >"$ROOT/sub/work"
	echo 'mkdir /porto/d; ls -d /porto/d /porto/c; cat /porto/absolute_name; sleep 1000' >"$ROOT/sub/sub/work"
	served m chroot enable_porto=isolate
	ask m 'sh /make b' || fail "$(prop m/b error)"
	wait_for 'grep -q /porto/m "$PORTO_ROOT/m/b/c/stdout"' || fail "$(prop m/b stderr; prop m/b/c error; prop m/b/c stderr)"
	[ "$(prop m/b/c stdout)" = $'/porto/d\n/porto/m/b/c' ] || fail "$(prop m/b/c stdout)"
	wait_for 'grep -q ^c "$PORTO_ROOT/m/b/stdout"'
	[ "$(prop m/b stdout | cut -f1 | head -n 1)" = c ]
	[ "$(ask m 'ls -d /porto/b/c/d')" = /porto/b/c/d ]
	rmdir "$PORTO_ROOT/m"
}

@test "names of sixteen levels are made and removed from inside, and one more is refused" {
	served m chroot enable_porto=isolate
	ask m 'd=/porto; i=1; while [ $i -lt 16 ]; do d=$d/n$i; mkdir $d || break; i=$((i+1)); done; mkdir $d/more; echo $i $d' | tee "$TEST_DIR/deep" | tail -n 1 >&2
	[[ $(tail -n 1 "$TEST_DIR/deep") == "16 /porto/n1/n2/"*/n15 ]] || fail "$(cat "$TEST_DIR/deep")"
	prop_is m/n1/n2/n3/n4/n5/n6/n7/n8/n9/n10/n11/n12/n13/n14/n15 level 16
	ask m 'rmdir /porto/n1'
	[ "$(cut -f1 "$PORTO_ROOT/.porto/containers")" = m ]
}

@test "a level that is lowered holds at once for what is opened then; what was open stays open" {
	ct_new other private=its
	served m host
	ask m 'exec 5>"$P/other/private" 6<"$P/other/private" 7<"$P/other"; cd "$P/other"; cat private'
	put m/enable_porto isolate
	[ "$(ask m 'cat <&6')" = its ]
	ask m 'echo given >&5'
	prop_is other private given
	ask m 'cat private' && fail 'read by the working directory'
	ask m 'cat /proc/self/cwd/private' && fail 'read by the link to it'
	ask m 'ls /proc/self/fd/7/' && fail 'listed by a descriptor'
	ask m 'cat /proc/self/fd/7/private' && fail 'read by a descriptor'
	ask m 'echo x >/proc/self/fd/6' && fail 'opened anew for writing'
	ask m 'cat "$P/other/private"' && fail 'read by its name'
	ask m 'cd /; mkdir "$P/self/kid"'
	put m/enable_porto read-only
	[ "$(ask m 'cat "$P/other/private"')" = given ]
	ask m 'mkdir "$P/self/kid2"' && fail 'made'
	ask m 'rmdir "$P/self/kid"' && fail 'removed'
	put m/enable_porto false
	ask m 'ls "$P"' && fail 'listed'
	put m/enable_porto true
	[ "$(ask m 'cat "$P/other/private"')" = given ]
}

@test "races: while the level changes and others look, what is refused stays refused" {
	local i
	ct_new other private=its
	served m host enable_porto=isolate
	for ((i = 0; i < 30; i++)); do
		stat "$PORTO_ROOT"/other{,/state,/private} >/dev/null
		put m/enable_porto "$( ((i % 2)) && echo read-isolate || echo isolate)"
	done &
	ask m 'i=0; n=0; while [ $i -lt 300 ]; do i=$((i+1)); [ ! -e "$P/other/private" ] || n=$((n+1)); done; echo $n' >"$TEST_DIR/seen"
	wait $!
	[ "$(cat "$TEST_DIR/seen")" = 0 ] || fail "seen $(cat "$TEST_DIR/seen") times"
	[ "$(prop other private)" = its ]
}

@test "an entry that is held back until the close counts as the writer's, not as one of the host" {
	ct_new other
	served m chroot enable_porto=isolate
	ask m 'mkdir /porto/kid; echo other >/porto/kid/owner_containers' && fail 'a hidden name'
	run ! put other/cpu_limit nonsense # root's last error
	ask m 'printf "%512s" other >>/porto/kid/owner_containers' # looks cut: nothing is done before the close
	wait_for '[[ $(prop m/kid error) == *"other does not exist"* ]]'
	prop_is m/kid owner_containers ''
	[[ $(prop .porto error) == *nonsense* ]] || fail "$(prop .porto error)"
	vol_new
	put ".volumes/$VOL/owner_container" m
	ask m "printf '%512s' 'owner_container = /' >>/porto/.volumes/$VOL/spec"
	ask m "printf '%512s' 'target_container = other' >>/porto/.volumes/$VOL/spec"
	wait_for '[[ $(prop ".volumes/$VOL" error) == *"no container"* ]]'
	[ "$(prop ".volumes/$VOL" target_container)" = '' ]
	[ "$(prop ".volumes/$VOL" owner_container)" = m ] || fail "$(prop ".volumes/$VOL" owner_container)"
	vols_destroy
	# it is taken, where it is allowed
	ask m 'mkdir /porto/own; printf "%512s" kid >>/porto/kid/owner_containers'
	wait_for '[ "$(prop m/kid owner_containers)" = m/kid ]'
}

@test "a process that was the host's and came in has no more than the container, whatever it had open" {
	local pid
	ct_new other private=its
	ct_start m enable_porto=isolate isolate=false
	mkfifo "$TEST_DIR/go"
	bash -c 'cd "$PORTO_ROOT/other"; exec 7<"$PORTO_ROOT"; read -r _ <"$TEST_DIR/go"
		cat private "$PORTO_ROOT/other/private" /proc/self/fd/7/other/private "/proc/'$$'/root$PORTO_ROOT/other/private"; mkdir "$PORTO_ROOT/top"
		echo "$(cat "$PORTO_ROOT/m/state")"' >"$TEST_DIR/got" 2>/dev/null 3>&- 4>&- &
	pid=$!
	put m/attach "$pid"
	sleep 0.1 # it may have asked a moment ago
	echo >"$TEST_DIR/go"
	wait "$pid"
	[ "$(cat "$TEST_DIR/got")" = meta ] || fail "$(cat "$TEST_DIR/got")"
	[ ! -e "$PORTO_ROOT/top" ]
	rm "$TEST_DIR"/{go,got}
}

@test "attach: from the container that asks into one below it; nothing of the host's, not even its name" {
	served m host enable_porto=isolate isolate=false
	ask m 'mkdir "$P/self/kid"; echo false >"$P/self/kid/isolate"; echo start >"$P/self/kid/state"'
	ask m 'sleep 1000 & echo $! >"$P/self/kid/attach"' || fail "$(prop m/kid error)"
	prop_is m/kid process_count 1
	ask m "echo $$ bash >\$P/self/kid/attach" && fail 'a process of the host'
	[[ $(prop m/kid error) == *"no process $$)" ]] || fail "$(prop m/kid error)"
}

@test "users inside: the owner's, another's and a setuid program get no more than the container" {
	ct_new other owner_user=daemon private=its
	install -m 4755 "$(command -v mkdir)" "$TEST_DIR/smkdir"
	ct_new m owner_user=daemon user=daemon enable_porto=isolate
	served m2 host enable_porto=isolate user=games
	[ "$(ask m2 'stat -c %u /proc/self/.')" = "$(id -u games)" ]
	ask m2 'mkdir "$P/self/kid"' && fail 'made by who does not own it'
	ask m2 "$TEST_DIR/smkdir \$P/top" && fail 'a setuid program has made one at the top'
	ask m2 "$TEST_DIR/smkdir \$P/other/kid" && fail 'in the hidden one'
	ask m2 "$TEST_DIR/smkdir \$P/self/kid" # root there may
	[ -e "$PORTO_ROOT/m2/kid" ] && [ ! -e "$PORTO_ROOT/top" ] && [ ! -e "$PORTO_ROOT/other/kid" ]
	put m/command "sh -c 'mkdir $PORTO_ROOT/self/kid && echo made; cat $PORTO_ROOT/other/private; rmdir $PORTO_ROOT/other; rmdir $PORTO_ROOT/self; echo stop >$PORTO_ROOT/self/state; echo end'"
	as daemon put m/state start
	prop_is m wait dead
	[ "$(prop m stdout)" = $'made\nend' ] || fail "$(prop m stdout; prop m stderr)"
	prop_is other private its
	rm "$TEST_DIR/smkdir"
}

@test "by /proc of other processes no more is seen, in a root of its own or the host's" {
	ct_new other private=its
	served m chroot enable_porto=isolate
	ask m 'cat /proc/1/root/porto/other/private' && fail 'by pid 1'
	ask m 'ls /proc/*/root/porto/ | grep -x other' && fail 'by some process'
	served n host enable_porto=isolate isolate=false
	ask n "cat /proc/$$/root\$P/other/private" && fail 'by a process of the host'
	ask n "cat /proc/$$/cwd/.\$P/other/private" && fail 'by its directory'
	prop_is other private its
}

@test "what is held in /porto keeps neither the container from going nor the daemon from serving" {
	local i
	served m chroot enable_porto=isolate
	ask m 'mkdir /porto/kid /porto/kid/x; echo "sleep 1000" >/porto/kid/command; echo start >/porto/kid/state; exec 5</porto/kid/state 6>/porto/kid/weak 7</porto/.porto/events 8</porto; cd /porto/kid/x'
	for i in 1 2 3; do
		ask m 'cat /porto/kid/wait & cat /porto/wait & cat "/porto/.porto/wait[kid]" & cat <&7 &'
	done
	SECONDS=0
	timeout 20 rmdir "$PORTO_ROOT/m"
	wait_for '[ -z "$(< $PORTO_ROOT/.porto/destroying)" ]' 20
	[ "$SECONDS" -lt $((10 * PORTO_SLOW)) ]
	[ -z "$(ct_names)" ]
	served m host enable_porto=isolate # and the same, whose root is not its own
	ask m 'mkdir "$P/self/kid"; exec 5<"$P/self/kid/state" 6<"$P"; cd "$P/self/kid"; cat "$P/self/wait" &'
	timeout 20 rmdir "$PORTO_ROOT/m"
	wait_for '[ -z "$(< $PORTO_ROOT/.porto/destroying)" ]' 20
}

@test "one that is being destroyed is not the host: what its processes still ask is refused" {
	local i
	for i in 1 2 3; do
		ct_start m enable_porto=isolate command="sh -c 'while :; do mkdir $PORTO_ROOT/top; cat $PORTO_ROOT/secret/private; done'" isolate=false
		sleep 0.2
		ct_destroy m
		[ ! -e "$PORTO_ROOT/top" ] || fail 'made when it was taken down'
	done
}

@test "a worker that is killed is not noticed inside; after stop and start the mount is there again" {
	local i
	served m chroot enable_porto=isolate
	served n chroot
	ask m 'mkdir /porto/kid; exec 5<>/porto/kid/private; cd /porto/kid'
	for i in 1 2 3; do
		kill_worker
		[ "$(ask m 'cat private /porto/kid/state')" = $'\nstopped' ]
	done
	ask m 'echo kept >&5'
	prop_is m/kid private kept
	daemon_stop
	run ask m 'cat /porto/kid/state'
	[[ $output == *'not connected'* ]] || fail "$output"
	daemon_up
	wait_for '[ "$(ask m "cat /porto/kid/private")" = kept ]' || fail "$(ask m 'cat /porto/kid/private; cat /proc/mounts')"
	[ "$(ask m 'cat /porto/absolute_name; ls -d /porto/m')" != /porto/m/m ]
	ask m 'cat /porto/m/state' && fail 'the whole tree is there'
	run ask m 'cat private' # by the directory of the old one
	[[ $output == *'not connected'* ]] || fail "$output"
	wait_for '[ "$(ask n "cat /porto/m/kid/private")" = kept ]'
	[ "$(ask m 'grep -c " /porto " /proc/mounts')" = 1 ]
	ask m 'rmdir /porto/kid'
}

@test "owner_containers: besides the host only those named, and what is above them, change it" {
	local name
	served m chroot
	served n chroot
	ct_new p
	served p/q chroot
	ct_new other
	want_errno ENOENT put other/owner_containers nobody
	put other/owner_containers 'm; p/q'
	prop_is other owner_containers 'm;p/q'
	ask m 'echo m >/porto/other/private'
	ask p/q 'echo q >/porto/other/private'
	ask n 'echo n >/porto/other/private' && fail 'changed by n'
	ask n 'rmdir /porto/other' && fail 'removed by n'
	ask n 'mkdir /porto/other/kid' && fail 'made by n'
	prop_is other private q
	put other/private host
	ask m 'echo n >/porto/other/owner_containers' && ask n 'echo n >/porto/other/private'
	prop_is other private n
}

@test "enable_porto: its words, its ceiling, and that nobody raises its own" {
	ct_new a
	prop_is a enable_porto true
	local word name
	for word in none:false full:true isolate:isolate read-isolate:read-isolate self-isolate:self-isolate child-only:child-only read-only:read-only; do
		put a/enable_porto "${word%:*}"
		prop_is a enable_porto "${word#*:}"
	done
	want_errno EINVAL put a/enable_porto maybe
	ct_new a/b
	prop_is a/b enable_porto read-only
	put a/owner_user daemon
	put a/b/owner_user daemon
	sleep 1.1 # attributes are kept for a second
	want_errno EACCES as daemon put a/b/enable_porto isolate
	as daemon put a/b/enable_porto read-isolate
	put a/enable_porto none
	put a/b/enable_porto true # root may
	prop_is a/b enable_porto true
	for name in a a/b; do
		put $name/command 'sleep 1000'
		put $name/user daemon
		put $name/state start
	done
	prop_is a/b enable_porto false # lowered at the start
	served m host enable_porto=self-isolate
	ask m 'echo true >"$P/self/enable_porto"' && fail 'raised'
	ask m 'echo read-isolate >"$P/self/enable_porto"'
	ask m 'echo self-isolate >"$P/self/enable_porto"' && fail 'raised again'
	ct_new m/job virt_mode=job command='sleep 1000' enable_porto=false # its tasks count as those of m
	want_errno EINVAL put m/job/state start
	prop_is m enable_porto read-isolate
}

@test "porto_namespace: the directory of that container is at /porto" {
	ct_new a
	ct_new a/b private=inner
	served m chroot enable_porto=read-only porto_namespace=a/
	[ "$(ask m 'cat /porto/b/private /porto/absolute_name')" = $'inner\n/porto/a' ]
	prop_is m absolute_namespace /porto/a/
	want_errno EINVAL put a/porto_namespace '../x y'
	[ "$(ask m 'cat /porto/.porto/containers' | cut -f1)" = b ]
}

@test "a root without a place for it starts all the same, unless enable_porto was asked for" {
	local name
	mkdir "$TEST_DIR/ro" "$TEST_DIR/ro/dev" "$TEST_DIR/ro/proc" "$TEST_DIR/ro/sys"
	cp -a "$ROOT/bin" "$TEST_DIR/ro/"
	mkdir "$TEST_DIR/rofs"
	mount --bind "$TEST_DIR/ro" "$TEST_DIR/rofs"
	mount -o remount,bind,ro "$TEST_DIR/rofs"
	ct_run a root="$TEST_DIR/rofs" command='ls /' || fail "$(prop a error)"
	[[ $(prop a stdout) != *porto* ]]
	ct_new b root="$TEST_DIR/rofs" command='ls /' enable_porto=isolate
	want_errno EROFS put b/state start
	umount "$TEST_DIR/rofs"
	rm -r "$TEST_DIR/ro" "$TEST_DIR/rofs"
}

@test "volumes of others, and their links, are not for who sees only its own" {
	vol_build backend=plain
	served m host enable_porto=isolate
	ask m "ls \$P/.volumes | grep -x $VOL" && fail 'listed'
	ask m "cat \$P/.volumes/$VOL/path" && fail 'read'
	ask m "rmdir \$P/.volumes/$VOL" && fail 'removed'
	[ -z "$(ask m 'cat "$P/.volumes/list"')" ]
	ct_new other
	put ".volumes/$VOL/links/m" ''
	put ".volumes/$VOL/links/other" ''
	ask m "ls \$P/.volumes | grep -x $VOL" >/dev/null
	ask m "ls \$P/.volumes/$VOL/links | grep -x other" && fail 'who else has it'
	ask m 'grep other "$P/.volumes/list"' && fail 'who else has it'
	ask m "rmdir \$P/.volumes/$VOL" && fail 'removed'
	vol_destroy "$VOL"
}
