#!/usr/bin/env bats
# Properties: what each is by default, takes, refuses, gives back; walked over the daemon's own table where that is possible.
# Not in the guest, which is slow (`make check-vm` runs it there): a table of texts; what they set in the kernel is in the files about that.
#
# shellcheck disable=SC2016 # shells in containers, conditions of wait_for

bats_require_minimum_version 1.5.0
load helpers

teardown() {
	destroy_all
}

# The table: name, r or rw, S D A or -, default.
table() {
	cut -f1-4 "$PORTO_ROOT/.porto/properties"
}

@test "every property of the table is a listed file with the mode the table says, and the README explains it" {
	ct_new a
	local name access mode
	while IFS=$'\t' read -r name access _ _; do
		mode=444
		[ "$access" = r ] || mode=644
		[ "$(stat -c %a "$PORTO_ROOT/a/$name")" = "$mode" ] || fail "$name: $(stat -c %a "$PORTO_ROOT/a/$name")"
		grep -qE "^ *$name( |$)" "$REPO/build/README" || fail "README does not have $name"
	done < <(table)
	# And the other way round: nothing is listed that the table or the README does not know.
	for name in "$PORTO_ROOT"/a/*; do
		name=${name##*/}
		table | cut -f1 | grep -qx "$name" || grep -qE "^$name\b|, $name\b" "$REPO/mnt/README" || fail "listed: $name"
	done
}

@test "a new container shows the default of the table, and every value can be written back as it is read" {
	ct_new a
	ct_new b
	local name access default value
	while IFS=$'\t' read -r name access _ default; do
		[ "$access" = rw ] || continue
		[ "$name" != io_weight ] || continue # it is the disks that take it or not, and they come and go: io.bats
		! grep -q "^$name: missing" "$PORTO_ROOT/.porto/features" || { want_errno EOPNOTSUPP prop a "$name"; continue; }
		[ "$name" != memory_peak ] || continue # of one that runs
		value=$(prop a "$name") || fail "$name"
		case $name in
		stdout_limit) default=8388608 ;;
		seccomp) default=none ;;
		capabilities | memory_limit | thread_limit | user | group | owner_* | task_cred | cwd | controllers) default=$value ;;
		cpu_limit | cpu_guarantee) default=0c ;;
		respawn_count) default=0 ;;
		respawn | weak) default=false ;;
		resolv_conf) default=inherit ;;
		virt_mode) default=app ;;
		respawn_delay) default=$value ;;
		place) default="$PLACE;***" ;;
		esac
		[ "$value" = "$default" ] || fail "$name is '$value' by default, expected '$default'"
		case $name in session_info | weak) continue ;; esac
		[ "$name" != owner_cred ] && [ "$name" != task_cred ] || value=root
		put "b/$name" "$value" || fail "$name: '$value' can't be written back: $(prop b error)"
		prop_is b "$name" "$(prop a "$name")"
	done < <(table)
}

# NAME^VALUE^AS IT IS READ BACK (when it differs)
good_values() {
	cat <<-'END'
		command^sh -c "echo 'a b' | tr a b"
		command_argv^echo	a b	c
		cpu_limit^1.5c
		cpu_limit^500000000ns^0.5c
		cpu_limit^2.50c^2.5c
		cpu_limit^0c
		memory_limit^64M^67108864
		memory_limit^1.5G^1610612736
		memory_limit^1073741824
		memory_limit^0
		thread_limit^1K^1024
		stdout_limit^512K^524288
		ulimit^nofile: 100 200; core: unlimited^*
		env^A=1;B=two words;C=a\;b;D
		umask^022
		umask^0^0
		umask^02
		cwd^/tmp
		isolate^false
		isolate^true
		labels^TEST.a: 1; TEST.b: 2
		private^any text: with; signs = "quoted"
		respawn^true
		respawn_delay^1500ms^*
		max_respawns^7
		max_respawns^^
		respawn_count^3
		aging_time^60
		stdin_path^/etc/hostname
		stdout_path^/dev/null
		stderr_path^/tmp/x
		user^daemon
		group^daemon
		owner_user^games
		owner_group^games
		owner_user^root
		virt_mode^host
		virt_mode^job
		virt_mode^os
		virt_mode^docker
		virt_mode^app
		userns^true
		unshare_on_exec^true
		enable_fuse^true
		root_readonly^true
		cgroupfs^ro
		symlink^/b: x; /a/c: /y^/a/c: /y; /b: x
		root^/tmp
		bind^/tmp /mnt ro;/usr /opt ro,rec
		controllers^cpu;memory;pids^*
		children_allowed^true
		weak^false
	END
}

@test "good values are read back, in one form, survive a restart of the daemon and are copied by spec" {
	local name value back
	ct_new a
	ct_new b
	while IFS='^' read -r name value back; do
		put "a/$name" "$value" || fail "$name '$value': $(prop a error)"
		[ "$back" != '*' ] || back=$(prop a "$name")
		prop_is a "$name" "${back:-$value}"
		put "b/$name" "$(prop a "$name")" # parse(format(v)) = v
		prop_is b "$name" "${back:-$value}"
	done < <(good_values)
	prop a spec >"$BATS_TEST_TMPDIR/spec"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/spec")" -ge 20 ]
	daemon_restart
	diff "$BATS_TEST_TMPDIR/spec" "$PORTO_ROOT/a/spec"
	kill_worker
	diff "$BATS_TEST_TMPDIR/spec" "$PORTO_ROOT/a/spec"
	ct_new c
	cat "$PORTO_ROOT/a/spec" >"$PORTO_ROOT/c/spec"
	diff "$BATS_TEST_TMPDIR/spec" "$PORTO_ROOT/c/spec"
}

# NAME|VALUE|ERRNO|KIND
bad_values() {
	cat <<-'END'
		cpu_limit|1.5C|EINVAL|InvalidValue
		cpu_limit|.5c|EINVAL|InvalidValue
		cpu_limit|5.c|EINVAL|InvalidValue
		cpu_limit|1 c|EINVAL|InvalidValue
		cpu_limit|-1c|EINVAL|InvalidValue
		memory_limit|-5M|EINVAL|InvalidValue
		memory_limit|1Bb|EINVAL|InvalidValue
		memory_limit|1000|EINVAL|InvalidValue
		memory_limit|99999999E|EINVAL|InvalidValue
		memory_limit|much|EINVAL|InvalidValue
		thread_limit|few|EINVAL|InvalidValue
		ulimit|nofile|EINVAL|InvalidValue
		ulimit|nosuch: 5|EINVAL|InvalidValue
		ulimit|nofile: 200 100|EINVAL|InvalidValue
		umask|9|EINVAL|InvalidValue
		umask|u=rwx|EINVAL|InvalidValue
		isolate|yes|EINVAL|Unknown
		respawn|1|EINVAL|Unknown
		weak|on|EINVAL|Unknown
		virt_mode|vm|EINVAL|InvalidValue
		cgroupfs|yes|EINVAL|InvalidValue
		symlink|x: y|EINVAL|InvalidValue
		respawn_delay|soon|EINVAL|InvalidValue
		respawn_delay|-1s|EINVAL|InvalidValue
		max_respawns|many|EINVAL|InvalidValue
		aging_time|-1|EINVAL|InvalidValue
		labels|lower.a: 1|EINVAL|InvalidLabel
		labels|TEST.a|EINVAL|InvalidLabel
		user|no-such-user|EINVAL|InvalidValue
		group|no-such-group|EINVAL|InvalidValue
		owner_user|no-such-user|EINVAL|InvalidValue
		root|relative|EINVAL|InvalidValue
		root|../up|EACCES|Permission
		bind|/one|EINVAL|InvalidValue
		bind|one two|EINVAL|InvalidValue
		bind|/a /b fast|EINVAL|InvalidValue
		stdout_path|relative|EINVAL|InvalidValue
		stdout_path|/dev/fd/x|EINVAL|InvalidValue
		stdout_path|/dev/fd/99|EINVAL|InvalidValue
		controllers|nosuch|EINVAL|InvalidValue
		children_allowed|false|EOPNOTSUPP|NotSupported
		session_info|a 1 b|EOPNOTSUPP|NotSupported
		env|=value|EINVAL|InvalidValue
		task_cred|no-such-user|EINVAL|InvalidValue
	END
}

@test "a refused value has its errno and kind, and the old one stays, set or not" {
	local name value errno kind old
	ct_new a command=true cpu_limit=1c memory_limit=1G ulimit='nofile: 1 2' umask=077 env=A=1 labels='TEST.x: y' virt_mode=host
	ct_new b
	while IFS='|' read -r name value errno kind; do
		for ct in a b; do
			old=$(prop "$ct" "$name")
			want_errno "$errno" put "$ct/$name" "$value" || fail "$ct/$name '$value'"
			[[ $(prop "$ct" error) == [0-9]*" $kind"?(:*) ]] || fail "$name '$value': $(prop "$ct" error)"
			prop_is "$ct" "$name" "$old"
		done
	done < <(bad_values)
	prop_is b spec ''
}

@test "texts too long are refused: command, private, labels" {
	local big
	ct_new a private=old
	big=$(head -c 4096 /dev/zero | tr '\0' x)
	put a/private "$big"
	prop_is a private "$big"
	want_errno EINVAL put a/private "${big}y"
	prop_is a private "$big"
	big=$(head -c 131072 /dev/zero | tr '\0' x)
	printf '%s' "$big" >"$PORTO_ROOT/a/command"
	[ "$(prop a command | wc -c)" = 131073 ]
	want_errno EINVAL dd bs=1M if=<(printf '%sy' "$big") of="$PORTO_ROOT/a/command" iflag=fullblock status=none
	[ "$(prop a command | wc -c)" = 131073 ]
	want_errno EINVAL dd bs=1M if=<(head -c 65537 /dev/zero | tr '\0' x; echo) of="$PORTO_ROOT/a/TEST.x" iflag=fullblock status=none
	error_says a '29 InvalidLabel:('
}

@test "indexed access: lists, maps, environment, output, times; a missing index has its errno" {
	ct_start a command='sh -c "echo hello; sleep 1000"' env='A=1;B=x y' ulimit='nofile: 100 200'
	prop_is a 'env[A]' 1
	prop_is a 'env[B]' 'x y'
	prop_is a 'env[PORTO_NAME]' a
	want_errno ENODATA prop a 'env[NOPE]'
	error_says '7 InvalidValue:('
	prop_is a 'ulimit[nofile]' 'nofile: 100 200'
	prop_is a 'ulimit[core]' ''
	put a/'ulimit[core]' '0 0'
	prop_is a 'ulimit[core]' 'core: 0 0'
	prop_is a 'ulimit[nofile]' 'nofile: 100 200'
	[[ $(prop a 'cgroups[memory]') == *"$TEST_CGROUP"*/a ]] || fail "$(prop a 'cgroups[memory]')"
	[ -d "$(prop a 'cgroups[memory]')" ]
	want_errno EINVAL prop a 'cgroups[nosuch]'
	prop_is a 'controllers[cpu]' true
	want_errno EINVAL prop a 'controllers[nosuch]'
	want_errno EINVAL prop a 'cpu_limit[x]'
	[ "$(prop a 'creation_time[raw]')" -gt 1000000000 ]
	[[ $(prop a creation_time) == [0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]\ [0-9][0-9]:[0-9][0-9]:[0-9][0-9] ]]
	want_errno EINVAL prop a 'creation_time[x]'
	want_errno ENOENT prop a 'nosuch[x]'
	want_errno ENOENT prop a nosuch
	ct_new b command_argv=$'echo\ta\tb'
	prop_is b 'command_argv[1]' a
	put b/'command_argv[1]' 'x y'
	prop_is b command_argv $'echo\tx y\tb'
	put b/'command_argv[4]' z
	prop_is b 'command_argv[3]' ''
	want_errno ENODATA prop b 'command_argv[9]'
	put b/command true
	prop_is b command_argv ''
	ct_new c
	want_errno EINVAL put c/'private[x]' y
}

@test "labels: by name, merged, removed, inherited on request, in any state" {
	ct_run a command=true
	put a/TEST.one 1
	put a/labels 'TEST.two: 2; OTHER.x: y-z'
	prop_is a labels 'OTHER.x: y-z; TEST.one: 1; TEST.two: 2'
	prop_is a TEST.one 1
	prop_is a 'labels[TEST.two]' 2
	put a/TEST.one ''
	prop_is a labels 'OTHER.x: y-z; TEST.two: 2'
	want_errno ENODATA prop a TEST.one
	error_says '28 LabelNotFound'
	ct_new a/b
	prop_is a/b 'labels[.TEST.two]' 2
	want_errno ENODATA prop a/b TEST.two
	add a/labels 'TEST.three: 3'
	prop_is a labels 'OTHER.x: y-z; TEST.three: 3; TEST.two: 2'
	# None of them is listed, and the name of a container may look alike.
	ls -a "$PORTO_ROOT/a" >"$BATS_TEST_TMPDIR/ls"
	run ! grep -q TEST "$BATS_TEST_TMPDIR/ls"
	mkdir "$PORTO_ROOT/web.1"
	[ -e "$PORTO_ROOT/web.1/state" ]
}

@test "every listed file of a container in every state and mode is read with a value or a clear errno, and no worker dies of it" {
	local worker dir out
	ct_new stopped
	ct_start run command='sleep 1000'
	ct_start run/meta
	ct_start run/shared command='sleep 1000' isolate=false
	ct_start run/job command='sleep 1000' virt_mode=job
	ct_start host command='sleep 1000' virt_mode=host
	ct_run dead command=false
	ct_run run/deadjob command=false virt_mode=job
	ct_start paused command='sleep 1000'
	put paused/state pause
	ct_start respawning command=false respawn=true respawn_delay=1000s
	worker=$(worker_pid)
	for dir in stopped run run/meta run/shared run/job host dead run/deadjob paused respawning .; do
		out=$(cat "$PORTO_ROOT/$dir"/* "$PORTO_ROOT/$dir"/{env,cgroups,controllers,labels,ulimit,stdout,command_argv,private}'[x]' \
			"$PORTO_ROOT/$dir"/{memory.stat,cgroup.procs,freezer.state,pids.max} 2>&1 >/dev/null |
			grep -vE 'No data available|Operation not supported|Is a directory|Invalid argument|Permission denied|No such file' || :)
		[ -z "$out" ] || fail "$dir: $out"
	done
	[ "$(worker_pid)" = "$worker" ]
	prop_is stopped cgroups ''
	want_errno ENODATA prop stopped 'cgroups[memory]'
	[ "$(prop run/job cgroups)" = "$(prop run cgroups)" ]
}

@test "many long labels survive a restart of the daemon" {
	local i value
	ct_new a
	value=$(head -c 60000 /dev/zero | tr '\0' x)
	for ((i = 0; i < 25; i++)); do # more than a megabyte
		put "a/TEST.l$i" "$value$i"
	done
	kill_worker
	for ((i = 0; i < 25; i++)); do
		[ "$(prop a "TEST.l$i")" = "$value$i" ]
	done
}

@test "a file of a container's cgroup is read by its own name" {
	ct_start a command='sleep 1000' memory_limit=64M cpu_limit=1c
	prop a memory.stat | grep -q '^[a-z_]* [0-9]*$'
	[ -n "$(prop a cgroup.procs)" ] || [ -n "$(prop a pids.current)" ]
	want_errno EINVAL prop a memory.nosuch
	want_errno EACCES put a/memory.stat 1
	want_errno ENOENT prop a nosuch.stat
	want_errno EINVAL prop a memory...
	want_errno EINVAL prop a 'memory.*'
	ct_new b
	want_errno ENODATA prop b memory.stat
	error_says '8 InvalidState'
}

@test "limits reach the kernel at the start and while running, and a refused one leaves kernel and value alone" {
	ct_start a command='sleep 1000' memory_limit=64M cpu_limit=0.5c thread_limit=50
	local memory pids
	memory=$(prop a memory.max 2>/dev/null || prop a memory.limit_in_bytes)
	[ "$memory" = 67108864 ]
	pids=$(prop a pids.max)
	[ "$pids" = 50 ]
	[ "$(prop a cpu.max 2>/dev/null || echo "$(prop a cpu.cfs_quota_us) $(prop a cpu.cfs_period_us)")" = '50000 100000' ]
	put a/memory_limit 32M
	put a/thread_limit 0
	put a/cpu_limit 0c
	[ "$(prop a memory.max 2>/dev/null || prop a memory.limit_in_bytes)" = 33554432 ]
	[ "$(prop a pids.max)" = max ]
	[[ $(prop a cpu.max 2>/dev/null || prop a cpu.cfs_quota_us) == @(max*|-1) ]]
	want_errno EINVAL put a/memory_limit 5
	[ "$(prop a memory.max 2>/dev/null || prop a memory.limit_in_bytes)" = 33554432 ]
	# A child's controller can't be added while it runs.
	ct_start a/b command='sleep 1000'
	want_errno EOPNOTSUPP put a/b/memory_limit 16M
	prop_is a/b memory_limit 0
	put a/b/state stop
	put a/b/memory_limit 16M
	put a/b/state start
	[ "$(prop a/b memory.max 2>/dev/null || prop a/b memory.limit_in_bytes)" = 16777216 ]
	put a/ulimit 'nofile: 77 88'
	grep -q '^Max open files *77 *88 ' "/proc/$(prop a root_pid)/limits"
	grep -q '^Max open files *77 *88 ' "/proc/$(prop a/b root_pid)/limits"
}

@test "what the main process gets: environment, user, groups, umask, ulimit, cwd, argv" {
	ct_run a command_argv=$'sh\t-c\tid -u; id -g; umask; ulimit -n; pwd; echo "$0:$1:$A:$PORTO_NAME:$PORTO_USER:$USER:$container"; env | grep -c ^UNSET\tzero\tone two' \
		env='A=b c;PORTO_NAME=fake' user=daemon umask=027 ulimit='nofile: 123 456' cwd=/usr
	[ "$(prop a stdout)" = "1
1
0027
123
/usr
zero:one two:b c:a:root:daemon:lxc
0" ] || fail "$(prop a stdout)"
	ct_run b command='pwd'
	[ "$(prop b stdout)" = "$WORK_DIR/b" ]
	ct_run c command='sh -c "cd nowhere"' cwd=/nonexistent || :
	[[ $(prop c start_error) == *nonexistent* ]] || fail "$(prop c start_error)"
	# command is expanded as words, with no shell: globs and variables of its environment yes, commands no.
	ct_run d command='echo $A "b  c" /usr/bi[n]' env=A=x
	prop_is d stdout 'x b  c /usr/bin'
	ct_new e command='echo $(id)'
	want_errno ENOEXEC put e/state start
	error_says e '22 InvalidCommand:('
	put e/command 'echo $NOPE'
	want_errno ENOEXEC put e/state start
	put e/command 'echo "'
	want_errno ENOEXEC put e/state start
}

@test "secrets of env_secret reach the process and nobody else" {
	ct_run a command='sh -c "echo $TOKEN"' env_secret='TOKEN=hunter2'
	prop_is a stdout hunter2
	run ! grep -rs hunter2 "$PORTO_ROOT/a" --include='[^s]*'
	[[ $(prop a env_secret) == 'TOKEN=<secret salt='*' md5='*'>' ]] || fail "$(prop a env_secret)"
	[ "$(prop a env_secret)" != "$(prop a env_secret)" ] # another salt each time
	run ! grep -q hunter2 "$PORTO_ROOT/a/spec"
	run ! setpriv --reuid daemon --clear-groups grep -rqs hunter2 "$STATE_DIR"
}

@test "isolate: own pids, hostname and ipc or those of the parent" {
	ct_run a command='sh -c "echo \$\$; ls -d /proc/[0-9]* | wc -l; readlink /proc/self/ns/uts /proc/self/ns/ipc"'
	[ "$(head -n 1 "$PORTO_ROOT/a/stdout")" -lt 10 ]
	[ "$(sed -n 2p "$PORTO_ROOT/a/stdout")" -lt 10 ]
	run ! grep -qF "$(readlink /proc/self/ns/uts /proc/self/ns/ipc)" "$PORTO_ROOT/a/stdout"
	ct_run b isolate=false command='readlink /proc/self/ns/pid /proc/self/ns/uts /proc/self/ns/ipc'
	[ "$(prop b stdout)" = "$(readlink /proc/self/ns/{pid,uts,ipc})" ]
	ct_start p command='sleep 1000' env='A=from-parent;B=1'
	ct_run p/shared isolate=false env='B=2' command='sh -c "readlink /proc/self/ns/pid; echo $A $B"'
	ct_run p/own command='sh -c "readlink /proc/self/ns/pid; echo -\${A-}-"'
	[ "$(head -n 1 "$PORTO_ROOT/p/shared/stdout")" = "$(readlink "/proc/$(prop p root_pid)/ns/pid")" ]
	[ "$(tail -n 1 "$PORTO_ROOT/p/shared/stdout")" = 'from-parent 2' ]
	[ "$(head -n 1 "$PORTO_ROOT/p/own/stdout")" != "$(readlink "/proc/$(prop p root_pid)/ns/pid")" ]
	[ "$(tail -n 1 "$PORTO_ROOT/p/own/stdout")" = -- ]
}

@test "virt_mode host has no namespaces; its refusals" {
	ct_run h virt_mode=host command='readlink /proc/self/ns/pid /proc/self/ns/mnt /proc/self/ns/uts'
	[ "$(prop h stdout)" = "$(readlink /proc/self/ns/{pid,mnt,uts})" ] || fail "$(prop h stdout)"
	prop_is h isolate false
	put h/state stop
	want_errno EINVAL put h/isolate true
	put h/root /tmp
	want_errno EINVAL put h/state start
	prop_is h state stopped
	ct_start app command='sleep 1000'
	ct_new app/h virt_mode=host command=true
	want_errno EACCES put app/h/state start
	[[ $(prop app/h start_error) == Permission:* ]]
}

@test "virt_mode job lives in its parent's cgroups; its refusals" {
	ct_new j virt_mode=job command=true
	want_errno EINVAL put j/state start
	error_says j '7 InvalidValue'
	ct_start p command='sleep 1000'
	ct_start p/j virt_mode=job command='sh -c "sleep 1000 & exec sleep 1000"'
	diff "/proc/$(prop p root_pid)/cgroup" "/proc/$(prop p/j root_pid)/cgroup"
	[ "$(prop p/j state)" = running ]
	want_errno EBUSY put p/j/state pause
	put p/state pause
	prop_is p/j state paused
	put p/state resume
	prop_is p/j state running
	ct_new p/j/x command=true
	want_errno EINVAL put p/j/x/state start
	ct_new p/k virt_mode=job
	want_errno EINVAL put p/k/state start # no command
	ct_new p/l virt_mode=job command=true
	put p/l/memory_limit 16M
	want_errno EINVAL put p/l/state start
	# The job's own processes go, the parent stays.
	put p/j/state 'stop 1'
	wait_for '[ "$(prop p process_count)" -le 2 ]'
	prop_is p state running
	ct_run p/m virt_mode=job command='sh -c "exit 130"'
	prop_is p/m exit_code 130
	ct_run p/n virt_mode=job command='sh -c "kill -9 \$\$"'
	prop_is p/n exit_code -9
}

@test "attach moves a process to a container below its own; refusals" {
	ct_start p command='sh -c "sleep 1000 & sleep 1001 & wait"'
	ct_start p/c isolate=false
	ct_start p/i command='sleep 1000'
	wait_for '[ "$(prop p process_count)" -ge 6 ]'
	local pid
	pid=$(pgrep -P "$(prop p root_pid)" -x sleep | head -n 1)
	put p/c/attach "$pid sleep"
	grep -q "/p/c" "/proc/$pid/cgroup"
	[ "$(cat "$PORTO_ROOT/.porto/find[$pid]")" = p/c ]
	want_errno EINVAL put p/c/attach 'text'
	want_errno EINVAL put p/c/attach 999999999
	pid=$(pgrep -P "$(prop p root_pid)" -x sleep | tail -n 1)
	want_errno EINVAL put p/c/attach "$pid bash"
	want_errno EBUSY put p/i/attach "$pid"  # isolated
	want_errno EBUSY put p/c/attach "$(prop p root_pid)" # the main process
	ct_start q command='sleep 1000' isolate=false
	want_errno EACCES put q/attach "$pid" # not below its own
	put p/c/state stop
	want_errno EBUSY put p/c/attach "$pid"
}

@test "self is the container of whoever looks, and clients inside make children of their own" {
	[ "$(readlink "$PORTO_ROOT/self")" = . ]
	ct_run a command="readlink $PORTO_ROOT/self"
	prop_is a stdout a
	ct_start p
	ct_run p/c command="cat $PORTO_ROOT/self/absolute_name"
	prop_is p/c stdout /porto/p/c
	# From inside, a container makes and runs children of its own.
	ct_run s command="sh -c 'cd $PORTO_ROOT/self && mkdir kid && echo \"sh -c \\\"exit 5\\\"\" >kid/command && echo start >kid/state && cat kid/wait kid/exit_code'"
	prop_is s stdout $'dead\n5'
}

@test "exit facts: code, status, signal, times, and they last until the stop" {
	ct_run a command='sh -c "exit 7"'
	prop_is a exit_code 7
	prop_is a exit_status 1792
	prop_is a oom_killed false
	prop_is a core_dumped false
	[ "$(prop a 'death_time[raw]')" -ge "$(prop a 'start_time[raw]')" ]
	[ "$(prop a time)" -le 60 ]
	[ "$(prop a 'time[dead]')" -le 60 ]
	put a/state stop
	want_errno ENODATA prop a exit_code
	prop_is a start_time ''
	prop_is a time 0
	ct_run s command='sh -c "kill -11 \$\$"' ulimit='core: 0 0'
	prop_is s exit_code -11
	prop_is s core_dumped false
}

@test "counts: processes and threads with children and helper; stat has every counter" {
	ct_start a command='sleep 1000'
	prop_is a process_count 2
	prop_is a thread_count 2
	ct_start a/b command='sleep 1000'
	wait_for '[ "$(prop a process_count)" = 4 ]'
	prop_is a/b process_count 2
	local name
	prop a stat >"$BATS_TEST_TMPDIR/stat"
	for name in cpu_usage memory_usage process_count thread_count time oom_kills; do
		grep -qE "^$name [0-9]+$" "$BATS_TEST_TMPDIR/stat" || fail "no $name in stat"
	done
	[ "$(cat "$PORTO_ROOT/process_count")" -gt 4 ]
	[ "$(cat "$PORTO_ROOT/time")" -gt 0 ]
}

@test "the host: its properties are read and never written" {
	local name
	[ "$(cat "$PORTO_ROOT/level")" = 0 ]
	[ "$(cat "$PORTO_ROOT/absolute_name")" = / ]
	[ "$(cat "$PORTO_ROOT/parent")" = '' ]
	[ "$(cat "$PORTO_ROOT/id")" = 1 ]
	[ "$(cat "$PORTO_ROOT/memory_limit")" -gt 1000000 ]
	for name in private memory_limit state command labels; do
		want_errno EPERM put "$name" x || want_errno EACCES put "$name" x || fail "$name"
	done
	want_errno EBUSY rmdir "$PORTO_ROOT"
}
