#!/usr/bin/env bats
# The commands of portoctl: what they print, what they leave with.
# Not in the guest, which is slow (`make check-vm` runs it there): a shell on files.
#
# shellcheck disable=SC2016 # meant for shells in containers and for wait_for
# shellcheck disable=SC2154 # run sets stderr
# shellcheck disable=SC1011,SC2026 # $'\n' within regular expressions

bats_require_minimum_version 1.5.0
load helpers
load portoctl

teardown() {
	destroy_all
}

# ---- the frame ----

@test "no argument: usage with commands and properties, exit 1" {
	ctl 1
	[[ $output == Usage:* && $output == *$'\n  exec '* && $output == *$'\n  memory_limit '* ]]
}

@test "--help: usage, exit 0" {
	ctl 0 --help
	[[ $output == Usage:* ]]
}

@test "--help: nothing is said of who stops reading, with SIGPIPE ignored or not" {
	run -0 --separate-stderr bash -c 'trap "" PIPE; "$PORTOCTL" --help | true; "$PORTOCTL" help set | true; exit "${PIPESTATUS[0]}"'
	err_is ''
	run -0 --separate-stderr bash -c '"$PORTOCTL" --help | head -n 1'
	err_is ''
}

@test "--version: client and server" {
	ctl 0 --version
	local line=$output
	ctl 0 version
	[ "$output" = "$line" ]
	[[ $output == "client: "*", server: $(prop .porto version)" ]]
}

@test "help COMMAND: its usage, exit 0; help alone: exit 1; of nothing known: exit 1" {
	ctl 0 help list
	[[ $output == "Usage: portoctl list "* ]]
	ctl 1 help
	[[ $output == *'explain a command'*PORTO_ROOT* ]]
	ctl 1 help nonsense
	err_is 'Invalid command: nonsense'
}

@test "too few arguments: usage of the command, exit 1" {
	ctl 1 create
	err_is 'Usage: portoctl create *'
	ctl 1 set a
	err_is 'Usage: portoctl set *'
	ctl 1 set a command
	err_is 'Usage: portoctl set *'
}

@test "-h after a command: its usage, exit 1" {
	ctl 1 list -h
	[[ $output == "Usage: portoctl list "* ]]
}

@test "unknown option: a line that names it, and the usage of the command, exit 1" {
	ctl 1 list -x
	err_is $'portoctl list: unknown option -x\nUsage: portoctl list *'
	[[ $stderr != *Commands:* ]]
	ctl 1 get -x a
	err_is $'portoctl get: unknown option -x\nUsage: portoctl get *'
	ctl 1 stop -T
	err_is $'portoctl stop: option -T wants an argument\nUsage: portoctl stop *'
	ctl 1 -x
	err_is 'Unknown option -x; see portoctl --help'
	ctl 1 -t soon list
	err_is '-t wants a number of seconds'
}

@test "an option behind an argument: told where options stand, when the request is refused" {
	ctl 4 stop a -T 5
	err_is '*'$'\nportoctl stop: options come before all other arguments: -T too'
	ctl 1 run a command=true -W
	err_is $'Invalid argument: -W: *\nportoctl run: options come before all other arguments: -W too'
	ctl 1 shell a -u root
	err_is '*'$'\nportoctl shell: options come before all other arguments: -u too'
	# what is none of the command's options, or an argument of a command to be run
	ctl 4 start a -T
	[[ $stderr != *options* ]]
	ctl 4 stop -- a -T
	[[ $stderr != *options* ]]
	ctl 1 shell nope id -u
	[[ $stderr != *options* ]]
}

@test "unknown command: exit 1" {
	ctl 1 vmake -A
	err_is 'Invalid command: vmake'
	ctl 1 ../list
	err_is 'Invalid command: ../list'
}

@test "unknown command: portoctl-NAME in PATH is run with the arguments" {
	printf '#!/bin/sh\necho "$# $1"\nexit 7\n' >"$BATS_TEST_TMPDIR/portoctl-hello"
	chmod +x "$BATS_TEST_TMPDIR/portoctl-hello"
	PATH=$BATS_TEST_TMPDIR:$PATH ctl 7 hello 'a b'
	out_is '1 a b'
}

@test "global timeouts: accepted in their order, a bad one is not" {
	ctl 0 --disk-timeout 900 -t 5 list
	ctl 0 --timeout -1 list
	ctl 1 -t soon list
}

@test "no daemon: says so and how to start it, exit 1; help still helps" {
	PORTO_ROOT=$BATS_TEST_TMPDIR ctl 1 list
	err_is "portod is not running at $BATS_TEST_TMPDIR (PORTO_ROOT says where); start it with: portod start"
	PORTO_ROOT=$BATS_TEST_TMPDIR ctl 1 run a -W
	err_is "portod is not running at $BATS_TEST_TMPDIR (PORTO_ROOT says where); start it with: portod start"
	PORTO_ROOT=$BATS_TEST_TMPDIR ctl 1 --version
	PORTO_ROOT=$BATS_TEST_TMPDIR ctl 0 --help
	PORTO_ROOT=$BATS_TEST_TMPDIR ctl 0 help exec
}

@test "names that lead out of the tree are refused" {
	local name
	for name in ../x a/../../x '' a//b .porto a/.x 'a b' $'a\nb'; do
		ctl 7 create "$name"
		err_is "Can't create container: InvalidValue:(*"
		ctl 7 start "$name"
	done
	ctl 5 pget / ../version
	err_is "Can't get property: InvalidProperty:(*"
	ctl 5 pget / .porto/version
}

# ---- state ----

@test "create: makes stopped containers in order, stops at the first error with its number" {
	ctl 0 create a a/b c
	prop_is a/b state stopped
	ctl 3 create d a e
	err_is "Can't create container: ContainerAlreadyExists:(*)"
	prop_is d state stopped
	absent e
	ctl 4 create nope/b
	err_is "Can't create container: ContainerDoesNotExist:(*)"
	ctl 3 create state
	ctl 7 create "$(printf 'a%.0s' {1..129})"
}

@test "start, pause, resume, stop: change the state; refused in a wrong one" {
	ctl 0 create a
	ctl 0 set a command 'sleep 1000'
	ctl 0 start a
	prop_is a state running
	ctl 8 start a
	err_is "Can't start container: InvalidState:(*)"
	ctl 0 pause a
	prop_is a state paused
	ctl 8 pause a
	ctl 0 resume a
	ctl 0 stop a
	prop_is a state stopped
	ctl 4 start nope
	err_is "Can't start container: ContainerDoesNotExist:(*)"
}

@test "stop: -T 0 kills what ignores SIGTERM; a bad timeout is refused" {
	ctl 0 run a command='sh -c "trap : TERM; echo ready; while :; do sleep 0.1; done"'
	wait_for '[ "$(prop a stdout)" = ready ]'
	ctl 1 stop -T soon a
	SECONDS=0
	ctl 0 stop -T 0 a
	[ "$SECONDS" -lt $((10 * PORTO_SLOW)) ]
	prop_is a state stopped
}

@test "restart: another process runs" {
	local before
	ctl 0 run a command='sleep 1000'
	before=$(prop a root_pid)
	ctl 0 restart a
	prop_is a state running
	[ "$(prop a root_pid)" != "$before" ]
}

@test "kill: SIGTERM by default, by name, by number; nonsense is exit 1" {
	ctl 0 run a command='sleep 1000'
	ctl 1 kill a TERM
	err_is 'Invalid signal: TERM'
	ctl 1 kill a ''
	ctl 0 kill a
	state_is a dead
	prop_is a exit_code -15
	ctl 8 kill a
	err_is "Can't kill container: InvalidState:(*)"
	ctl 0 respawn a
	ctl 0 kill a SIGUSR1
	state_is a dead
	prop_is a exit_code -10
	ctl 0 respawn a
	ctl 0 kill a 9
	state_is a dead
	prop_is a exit_code -9
	prop_is a respawn_count 2
}

@test "destroy: any state, children too; goes on after an error and leaves with its number" {
	ctl 0 run a command='sleep 1000'
	ctl 0 create a/b c
	ctl 4 destroy nope a c
	err_is "Can't destroy container: ContainerDoesNotExist:(*)"
	absent a
	absent c
	[ -z "$(prop .porto destroying)" ]
}

@test "gc: destroys dead containers and no others" {
	ctl 0 run -W a command=true
	ctl 0 run b command='sleep 1000'
	ctl 0 create c
	ctl 0 gc
	absent a
	prop_is b state running
	prop_is c state stopped
}

# ---- properties ----

@test "set: PROP=VALUE splits at the first =, PROP VALUE... joins with blanks" {
	ctl 0 create a
	ctl 0 set a 'env=A=1;B=2'
	prop_is a env 'A=1;B=2'
	ctl 0 set a command echo '1  2' 3
	prop_is a command 'echo 1  2 3'
	ctl 0 set a command ''
	prop_is a command ''
	ctl 0 set a command=$'two\nlines\\n'
	[ "$(prop a command)" = $'two\nlines\\n' ]
}

@test "set: errors carry the number of their kind" {
	ctl 0 create a
	ctl 7 set a cpu_limit bogus
	err_is "Can't set property: InvalidValue:(*)"
	ctl 5 set a nonsense 1
	err_is "Can't set property: InvalidProperty:(*)"
	ctl 7 set a id 5
	ctl 4 set nope command x
	ctl 0 set a command 'sleep 1000'
	ctl 0 start a
	ctl 8 set a command true
	prop_is a command 'sleep 1000'
}

@test "get: one property alone, several as PROP = VALUE, a failure told and the rest shown" {
	ctl 0 create a
	ctl 0 set a command 'sleep 1'
	ctl 0 get a command
	out_is 'sleep 1'
	ctl 0 get a state command
	out_is $'state = stopped\ncommand = sleep 1'
	ctl 1 get a exit_code state nonsense
	out_is 'state = stopped'
	err_is $'Cannot get exit_code: InvalidState:(*)\nCannot get nonsense: InvalidProperty:(*)'
	ctl 7 set a memory_usage 1
	err_is "Can't set property: InvalidValue:(memory_usage: read-only)"
	ctl 1 get a memory_usage 'io_read[nosuchdisk]' # what is told of a read is not what was told of the write before
	err_is $'Cannot get memory_usage: InvalidState:(memory_usage: *)\nCannot get io_read\\[nosuchdisk\\]: InvalidState:(io_read: *)'
	ctl 1 get nope state
	err_is 'Cannot get state: ContainerDoesNotExist:(*)'
	ctl 0 get a env
	out_is ''
}

@test "get: masks and -- show each container under its name" {
	ctl 0 create a a/b c
	ctl 0 get 'a***' -- state
	out_is $'a:\nstopped\n\na/b:\nstopped'
	ctl 0 get -- state level
	out_is $'a:\nstate = stopped\nlevel = 1\n\na/b:\nstate = stopped\nlevel = 2\n\nc:\nstate = stopped\nlevel = 1'
	ctl 1 get a nope -- state
	out_is $'a:\nstopped\n\nnope:'
}

@test "get: without properties what has a value, made readable, in order" {
	ctl 0 run -W a command='sh -c "echo hello; kill -9 \$\$"' memory_limit=1536M env='A=1;B=2'
	ctl 0 get a
	[[ $output == *$'\nenv = A=1;B=2\n'* && $output == *$'\nstate = dead\n'* && $output == *$'\nstdout = hello\n'* ]]
	[[ $output == *$'\nexit_status = killed by signal 9\n'* && $output != *$'\nstderr = '* ]]
	[[ $output == *$'\nmemory_limit = 1.5G\n'* && $output == *$'\naging_time = 1d  0:00\n'* ]]
	grep ' = ' <<<"$output" | sort -c
	ctl 0 get -r a
	[[ $'\n'$output == *$'\ncommand = '* && $output != *'absolute_name = '* ]]
	ctl 0 get /
	[[ $output =~ $'\n'time\ =\ ([0-9]+d\ )?[\ 0-9]+:[0-9:]+$'\n' ]]
	[[ $output == *$'\nnet_bytes = '* && $output != *$'\nnet_snmp'* && $output != *$'\nnet_netstat'* ]]
}

@test "pget and dget: raw values, one a line; -k with names; the kind of the first error" {
	ctl 0 create a
	ctl 0 pget a state level
	out_is $'stopped\n1'
	ctl 0 dget -s -k a state level
	out_is $'state = stopped\nlevel = 1'
	ctl 8 pget a level exit_code state
	out_is 1
	err_is "Can't get property: InvalidState:(*)"
	ctl 5 pget a nonsense
}

@test "list: name, state, time; options" {
	ctl 0 run run command='sleep 1000'
	ctl 0 create stop run/sub
	ctl 0 list
	[ "${#lines[@]}" -eq 3 ]
	[[ ${lines[0]} =~ ^run\ +running\ +[0-9]+s$ && ${lines[1]} =~ ^run/sub\ +stopped$ && ${lines[2]} =~ ^stop\ +stopped$ ]]
	ctl 0 list -1
	out_is $'run\nrun/sub\nstop'
	ctl 0 list -1 -f
	out_is $'run\n \\_ sub\nstop'
	ctl 0 list -1r
	out_is run
	ctl 0 list -1t
	out_is $'run\nstop'
	ctl 0 list -1 '*'
	out_is $'run\nstop'
	ctl 0 list -1 'run/*'
	out_is run/sub
	ctl 0 list -1 '***p'
	out_is stop
	ctl 0 list 'nope*'
	out_is ''
}

@test "list -L: by label, by mask, by value" {
	ctl 0 create a b
	ctl 0 set a labels 'AB.x: 1; AB.y: 2'
	ctl 0 set b labels 'AB.x: 2'
	ctl 0 list -1 -L AB.x
	out_is $'a\nb'
	ctl 0 list -1 -L 'AB.x=2'
	out_is b
	ctl 0 list -1 -L '*.y'
	out_is a
	ctl 0 list -1 -L AB.z
	out_is ''
}

@test "sort: numbers by size, greatest first; given containers only" {
	ctl 0 create a b c
	ctl 0 set a memory_limit 9M
	ctl 0 set b memory_limit 1G
	ctl 0 set c memory_limit 0
	ctl 0 sort memory_limit
	[[ $output =~ ^container\ +memory_limit$'\n'b\ +1G$'\n'a\ +9M$'\n'c\ +0B$ ]]
	ctl 0 sort a c -- level
	[[ $output =~ ^container\ +level$'\n'a\ +1$'\n'c\ +1$ ]]
}

# ---- waiting ----

@test "wait: the name of what is not running, at once or when it ends" {
	ctl 0 create a a/b
	ctl 0 wait a
	out_is a
	ctl 0 wait 'a/*'
	out_is a/b
	ctl 0 run c command='sleep 0.5'
	ctl 0 wait c
	out_is c
	prop_is c state dead
	ctl 4 wait nope
	err_is "Can't wait for containers: ContainerDoesNotExist:(*)"
}

@test "wait: a timeout is told on stderr, exit 0" {
	ctl 0 run a command='sleep 1000'
	ctl 0 wait -t 1 a
	out_is ''
	err_is timeout
	ctl 0 wait -T 1 'a*'
	err_is timeout
}

# Prints into file $1 what wait with the further arguments does; $waiter is its pid. Returns when it listens.
wait_in_background() {
	local file=$1
	shift
	"$PORTOCTL" wait "$@" >"$file" 2>&1 3>&- &
	waiter=$!
	wait_for "ls -l /proc/$waiter/fd | grep -q /.porto/events"
}

@test "wait -A: a line for each event; -S ends after its state" {
	wait_in_background "$BATS_TEST_TMPDIR/all" -A
	local all=$waiter
	wait_in_background "$BATS_TEST_TMPDIR/dead" -A -S dead 'a*'
	ctl 0 run a command='sh -c "exit 42"'
	wait "$waiter"
	ctl 0 set a AB.x 5
	wait_for "grep -q AB.x $BATS_TEST_TMPDIR/all" # which asks for the state
	ctl 0 destroy a
	wait_for "grep -q destroyed $BATS_TEST_TMPDIR/all"
	kill "$all"
	[[ $(<"$BATS_TEST_TMPDIR/dead") =~ ^[0-9-]{10}\ [0-9:]{8}\ dead$'\t'a$'\t'exit_code\ =\ 42$ ]]
	run cut -d ' ' -f 3- "$BATS_TEST_TMPDIR/all"
	[[ $output == $'stopped\ta\n'*$'running\ta\n'*$'dead\ta\texit_code = 42\ndead\ta\tAB.x = 5\n'*$'destroyed\ta' ]] ||
		fail "$output"
}

@test "wait -A: a timeout is an event, exit 0" {
	ctl 0 wait -A -T 1
	[[ $output =~ ^[0-9-]{10}\ [0-9:]{8}\ timeout$'\t'$ ]]
}

@test "wait -L: a label of a container that is not running" {
	ctl 0 create a b
	wait_in_background "$BATS_TEST_TMPDIR/label" -L 'AB.*' 'b*'
	ctl 0 set a AB.x 1
	ctl 0 set b CD.x 1
	ctl 0 set b AB.x 1
	wait "$waiter"
	[ "$(<"$BATS_TEST_TMPDIR/label")" = b ]
	ctl 0 wait -T 1 -L AB.x b
	err_is timeout
}

# ---- processes and paths ----

@test "find: the container of a process; of ours only with the right name" {
	ctl 0 run a command='sleep 1000'
	ctl 0 find "$(prop a root_pid)"
	out_is a
	ctl 0 find "$(prop a root_pid)" sleep
	out_is a
	ctl 7 find "$(prop a root_pid)" other
	err_is "Can't find container: *"
	ctl 0 find $$
	out_is /
	ctl 1 find nonsense
}

@test "attach: moves a process into a container" {
	ctl 0 run a command='sleep 1000' isolate=false
	ctl 1 attach a nonsense
	sleep 1000 3>&- &
	ctl 0 attach a $!
	ctl 0 find $!
	out_is a
	kill $!
}

@test "convert: a path from one root to another" {
	mkdir -p "$BATS_TEST_TMPDIR/root"
	ctl 0 create a b
	ctl 0 set a root "$BATS_TEST_TMPDIR/root"
	ctl 0 convert -s a /etc
	out_is "$BATS_TEST_TMPDIR/root/etc"
	ctl 0 convert -d a "$BATS_TEST_TMPDIR/root/etc/x"
	out_is /etc/x
	ctl 0 convert /usr
	out_is /usr
	ctl 25 convert -d a /usr
	ctl 1 convert /a /b
}

# ---- launching ----

@test "run: creates, sets and starts" {
	ctl 0 run a command='sh -c "echo $A$B$C"' env='A=1;B=2' env=C=3 cwd=/tmp
	prop_is a wait dead
	prop_is a stdout 123
	prop_is a virt_mode app
	ctl 1 run a
	err_is 'Cannot start container: ContainerAlreadyExists:(*)'
	prop_is a state dead
}

@test "run: refused properties leave nothing, exit 1" {
	ctl 1 run a command=true cpu_limit=bogus
	err_is 'Cannot start container: InvalidValue:(*)'
	absent a
	ctl 1 run a command=true nonsense=1
	err_is 'Cannot start container: InvalidProperty:(*)'
	ctl 1 run a command=/does/not/exist
	err_is 'Cannot start container: InvalidCommand:(*)'
	absent a
	ctl 1 run a command
	err_is 'Invalid argument: command*'
	ctl 1 run a layers=x
	err_is 'Cannot start container: LayerNotFound:(layer x not found*'
	absent a
}

@test "run: net=inherited is what there is anyway; another network is not swallowed" {
	ctl 0 run -W a command=true net=inherited
	[ -e "$PORTO_ROOT/a/net" ] || ctl 1 run -W b command=true net=none
}

@test "run: -W waits and is 0 whatever the program returned; long values get through whole" {
	local long
	long=$(printf '%*s' 20000 '' | tr ' ' x)
	ctl 0 run -W a command="sh -c 'echo \${#A}; exit 3'" env="A=$long"
	prop_is a exit_code 3
	prop_is a stdout 20000
	ctl 0 run m
	prop_is m state meta
}

@test "get, set: a path in brackets" {
	ctl 0 create a
	ctl 0 set a 'symlink[/etc/x]' /y
	ctl 0 get a 'symlink[/etc/x]'
	out_is /y
	ctl 0 get a symlink
	out_is '/etc/x: /y'
	ctl 1 get a 'symlink[/etc/z]'
	err_is 'Cannot get symlink?/etc/z?: InvalidValue:(symlink?!etc!z?: not set)'
}

@test "run: values keep backslashes and newlines" {
	ctl 0 run -W a command_argv=$'printf\t%s\ta\\b\nc'
	[ "$(prop a stdout)" = $'a\\b\nc' ]
}

@test "exec: output, errors and input are the caller's; the container is gone afterwards" {
	ctl 0 exec a command='echo "Hello, world!"'
	out_is 'Hello, world!'
	err_is ''
	absent a
	run -0 --separate-stderr "$PORTOCTL" exec a command='sh -c "cat; echo err >&2"' <<<'typed'
	out_is typed
	err_is err
	absent a
}

@test "exec: exit codes and what is said of them" {
	ctl 42 exec a command='sh -c "exit 42"'
	err_is 'Container exit code: 42'
	ctl 130 exec a command='sh -c "exit 130"'
	err_is 'Container exit code: 130'
	ctl 137 exec a command='sh -c "kill -9 \$\$"'
	err_is 'Container killed by signal: 9 (SIGKILL)'
	ctl 143 exec a command='sh -c "kill -15 \$\$"'
	err_is 'Container killed by signal: 15 (SIGTERM)'
	ctl 1 exec a command=/does/not/exist
	err_is 'Cannot start container: InvalidCommand:(*)'
	ctl 1 exec a command=
	err_is 'Empty command'
	ctl 1 exec a command=true cpu_limit=x
	err_is 'Cannot start container: InvalidValue:(*)'
	ctl 1 exec -L layer.tar a
	absent a
}

@test "exec: running out of memory is 137" {
	need memory
	ctl 137 exec a command='sh -c "head -c 200M /dev/zero | tail >/dev/null; exit 1"' memory_limit=20M
	err_is '*Container killed by OOM'
}

@test "exec: command_argv counts as a command; given streams win" {
	ctl 0 exec a command_argv=$'echo\ta b'
	out_is 'a b'
	ctl 0 exec a command='echo x' stdout_path="$BATS_TEST_TMPDIR/x"
	out_is ''
	[ "$(<"$BATS_TEST_TMPDIR/x")" = x ]
}

@test "exec -C: the container stays" {
	ctl 7 exec -C a command='sh -c "exit 7"'
	prop_is a state dead
	prop_is a exit_code 7
}

@test "exec: a signal to portoctl destroys the container; its exit is 128 and the signal" {
	local signal code
	for signal in TERM:143 INT:130 HUP:129; do
		# A shell gives background jobs SIGINT ignored, and what is ignored at the start of a shell can't be trapped.
		env --default-signal=INT "$PORTOCTL" exec a command='sleep 1000' 3>&- &
		state_is a running
		kill -s "${signal%:*}" $!
		code=0
		wait $! || code=$?
		[ "$code" -eq "${signal#*:}" ]
		absent a
	done
}

@test "exec: when portoctl is killed the container goes with it" {
	"$PORTOCTL" exec a command='sleep 1000' 3>&- &
	state_is a running
	kill -9 $!
	wait_for '! [ -e "$PORTO_ROOT/a/state" ]'
}

@test "exec: other shells" {
	local shell
	for shell in 'busybox sh' 'bash --posix'; do
		command -v "${shell%% *}" >/dev/null || continue
		# shellcheck disable=SC2086 # a command and its option
		run -5 --separate-stderr $shell "$PORTOCTL" exec a command='sh -c "echo x; exit 5"' env='A=1' cwd=/
		out_is x
		err_is 'Container exit code: 5'
		# shellcheck disable=SC2086
		run -0 $shell "$PORTOCTL" list
		# shellcheck disable=SC2086
		run -4 $shell "$PORTOCTL" start nope
	done
}

@test "shell: a child of a running container with its environment, gone afterwards" {
	ctl 0 run a command='sleep 1000'
	# The words are joined with blanks and taken apart again in the container.
	USER=me SUDO_USER='' ctl 3 shell a sh -c "'echo \$PORTO_SHELL_NAME \$PORTO_SHELL_USER; exit 3'"
	out_is 'a me'
	err_is 'Container exit code: 3'
	USER=me SUDO_USER='' ctl 0 shell a printenv debian_chroot
	out_is a
	ctl 0 shell a -- expr --version # as kubectl exec and others want it
	[[ $output == expr* ]]
	USER=me SUDO_USER='' ctl 0 shell a printenv PORTO_NAME
	[[ $output =~ ^a/shell-me-[0-9]+$ ]]
	ctl 0 list -1
	out_is a
	ctl 1 shell nope true
	err_is 'Cannot start container: ContainerDoesNotExist:(container nope does not exist)'
}

@test "enter: runs in the cgroups of the container" {
	ctl 0 run a command='sleep 1000'
	ctl 0 enter a printenv PORTO_SHELL_NAME
	out_is a
	ctl 0 list -1
	out_is a
}

@test "an unprivileged user of the group makes, runs and destroys; others can't" {
	run -0 --separate-stderr as daemon "$PORTOCTL" exec u1 command='id -un'
	out_is daemon
	run -0 as daemon "$PORTOCTL" create u2
	run -11 --separate-stderr as games "$PORTOCTL" set u2 command true
	err_is "Can't set property: Permission:(*)"
	run -11 --separate-stderr as games "$PORTOCTL" destroy u2
	run -11 --separate-stderr outsider daemon "$PORTOCTL" create u3
	err_is "Can't create container: Permission:(*)"
	run -0 as daemon "$PORTOCTL" destroy u2
}
