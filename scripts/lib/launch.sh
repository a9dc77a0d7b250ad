# shellcheck shell=sh
# lib/launch.sh: the commands of portoctl that make a container and run something in it: run, exec, shell, enter.
# Read by portoctl, whose functions it uses. No forks here but porto-mkdir and the terminal helper; a root made of
# layers is rootfs.sh's.
#
# shellcheck disable=SC2154 # variables of portoctl
# shellcheck disable=SC2034 # variables of rootfs.sh
# shellcheck disable=SC2015 # A && B || C: C is meant for either failure
# shellcheck disable=SC3012 # [ a \> b ]: dash, busybox and bash have it; POSIX only since 2024

cannot_start() {
	undo
	die "Cannot start container: $error_text"
}

# Takes back what was made so far.
undo() {
	case $stage in
	made)
		ct=$made_ct
		put state destroy
		;;
	esac
	[ -z "$rootfs_begun" ] || drop_rootfs
	stage=
}

# A signal while mkdir runs is kept until it is known whether there is something to undo.
interrupted() {
	caught=$1
	case $stage in making) return ;; esac
	case $weak$volume_wanted,$keep in ?*,) undo ;; esac
	# The helper sees the end of the container and puts the terminal right before it goes.
	[ -z "$relay" ] || { kill "$relay" 2>/dev/null; wait "$relay" 2>/dev/null; }
	exit "$caught"
}

# Looks at the words PROPERTY=VALUE before anything is made -> $command, $env, $virt_mode.
check_words() {
	for word; do
		case $word in
		=* | *"$nl"*=*) valid_property "${word%%=*}" || die "Invalid argument: $word" ;;
		*=*) ;;
		*) die "Invalid argument: $word: expected PROPERTY=VALUE" ;;
		esac
		case $word in
		env=*) env=$env${env:+;}${word#*=} ;;
		command=*) command=${word#*=} ;;
		command_argv=*) has_argv=1 ;;
		virt_mode=*) virt_mode=${word#*=} ;;
		space_limit=* | backend=* | storage=* | layers=*) volume_wanted=1 ;;
		esac
	done
}

# Calls $1 NAME VALUE for everything to be set, in the order it is to be set: streams, the words by name, the mode,
# environment and command. Of words with the same name the last counts.
each_setting() {
	apply=$1
	shift
	[ -z "$weak" ] || "$apply" weak true || return
	if [ -n "$streams" ]; then
		"$apply" stdin_path /dev/fd/7 && "$apply" stdout_path /dev/fd/8 && "$apply" stderr_path /dev/fd/9 || return
	fi
	last=
	while :; do
		next=
		for word; do
			key=${word%%=*}
			case $key in
			env | command | virt_mode) continue ;;
			space_limit | backend | storage | layers) continue ;; # of the volume
			# Where there are no networks every container has that of its parent.
			net) [ "${word#*=}" != inherited ] || [ -e "$ct/net" ] || continue ;;
			esac
			[ "$key" \> "$last" ] || continue
			[ -n "$next" ] && [ "$key" \> "$next" ] || { next=$key setting=${word#*=}; }
		done
		[ -n "$next" ] || break
		"$apply" "$next" "$setting" || return
		last=$next
	done
	"$apply" virt_mode "$virt_mode" || return
	[ -z "$env" ] || "$apply" env "$env" || return
	[ -z "$command" ] || "$apply" command "$command"
}

add_line() {
	# Long texts are slow to take apart in a shell.
	[ ${#2} -le 1000 ] || { lines=$2 && return; }
	escape "$2"
	lines="$lines${lines:+$nl}$1 = $value"
}

# All at once through spec; what is too long for one write goes one by one.
set_all() {
	lines=
	each_setting add_line "$@"
	if [ ${#lines} -le 1000 ]; then
		put spec "$lines" || { why spec write; return 1; }
	else
		each_setting set_property "$@"
	fi
}

# Makes container $1, holds it if weak, sets the words. From here on it must be undone.
prepare() {
	find_ct "$1" || cannot_start
	shift
	find_part porto-mkdir
	trap 'interrupted 129' HUP
	trap 'interrupted 130' INT
	trap 'interrupted 143' TERM
	stage=making
	if "$part" "$ct" 2>/dev/null; then
		stage=made made_ct=$ct
	else
		stage=
		[ -n "$caught" ] || why_mkdir
	fi
	[ -z "$caught" ] || interrupted "$caught"
	[ -n "$stage" ] || cannot_start
	if [ -n "$weak" ]; then
		# Descriptor 6 is kept until we end, in whatever way: then the daemon destroys the container.
		{ command exec 6>"$ct/weak"; } 2>/dev/null || { why weak write; cannot_start; }
	fi
	if [ -n "$volume_wanted" ]; then
		use rootfs
		rootfs_begun=1
		make_rootfs "$name" "$@" || cannot_start
		# What the words say of these counts.
		if [ -n "$keep_root" ]; then set -- "cwd=$path" "$@"; else set -- "root=$path" cwd=/ "$@"; fi
		# A root of what a user owns needs a user namespace.
		if [ -z "$keep_root" ] && { read -r value <"$ct/owner_user"; } 2>/dev/null && [ "$value" != root ]; then
			set -- userns=true "$@"
		fi
	fi
	set_all "$@" || cannot_start
}

# What a launch starts from.
launch_defaults() {
	stage='' caught='' weak='' relay='' streams='' command='' env='' has_argv='' virt_mode=app
	volume_wanted='' volume_image='' rootfs_begun='' layers='' lines='' merge='' keep_root='' keep=
}

# Waits for the end -> $value, the state.
wait_end() {
	while :; do
		take_line "$ct/wait" || return
		[ "$value" = respawning ] || return 0
		sleep 0.1
	done
}

cmd_run() {
	wait=
	launch_defaults
	while getopts :L:W option; do
		case $option in
		W) wait=1 ;;
		L) layers=$layers${layers:+;}$OPTARG volume_wanted=1 ;;
		*) bad_option ;;
		esac
	done
	shift $((OPTIND - 1))
	[ $# -gt 0 ] || bad_arguments
	target=$1
	shift
	check_words "$@"
	launch "$target" "$@"
}

# Makes container $1 with the given words and starts it; with $wait to its end.
launch() {
	target=$1
	shift
	prepare "$target" "$@"
	put state start || { why state write; cannot_start; }
	trap - HUP INT TERM
	rootfs_begun=
	[ -z "$wait" ] || wait_end || { why wait; fail "Can't wait for container"; }
}

cmd_exec() {
	terminal=auto
	launch_defaults
	weak=1
	while getopts :CTL: option; do
		case $option in
		C) weak= ;;
		T) terminal= ;;
		L) layers=$layers${layers:+;}$OPTARG volume_wanted=1 ;;
		*) bad_option ;;
		esac
	done
	shift $((OPTIND - 1))
	[ $# -gt 0 ] || bad_arguments
	command=/bin/bash
	execute "$@"
}

# Runs container $1 with the given words in the foreground, to its end.
execute() {
	target=$1
	shift
	check_words "$@"
	case $command in
	*[!\ $tab$nl]*) ;;
	*) [ -n "$has_argv" ] || die 'Empty command' ;;
	esac
	case $has_argv,$command in 1,/bin/bash) command= ;; esac
	if [ -n "$terminal" ] && [ -t 0 ]; then
		find_part porto-terminal
		helper=$part
		case ${TERM-} in '' | *[\;\\]*) ;; *) env="TERM=$TERM${env:+;$env}" ;; esac
	else
		terminal=
		# `put` has its own 1 and 2, so ours go by other numbers.
		{ true <&0 && true >&1; } 2>/dev/null || die 'exec: standard input and output must be open'
		exec 7<&0 8>&1 9>&2
		streams=1
	fi
	prepare "$target" "$@"
	if [ -n "$terminal" ]; then
		run_relay "$@"
	else
		put state start || { why state write; cannot_start; }
		wait_end || { why wait; undo; fail "Can't wait for container"; }
	fi
	finish
}

# The helper gives the container a terminal of its own for the streams that the words leave alone, starts it
# and relays. In the background, so that a signal to us is not kept waiting; it shares our process group and
# thus the terminal.
run_relay() {
	streams=' stdin_path stdout_path stderr_path'
	for word; do
		case $word in
		stdin_path=* | stdout_path=* | stderr_path=*)
			replace "$streams" " ${word%%=*}" ''
			streams=$value
			;;
		esac
	done
	# The stdin of what runs in the background is /dev/null before any redirection of ours.
	exec 5<&0
	# shellcheck disable=SC2086 # a list of words
	"$helper" "$ct" $streams <&5 5<&- 6>&- &
	relay=$!
	wait "$relay"
	status=$?
	relay=
	case $status in
	0) ;;
	2) # ^X^X
		[ -z "$weak" ] || undo
		exit 0
		;;
	*)
		undo
		exit 1
		;;
	esac
}

# How it ended, told and returned. A weak container goes with us, by descriptor 6: its name is free when we are gone,
# and nothing runs in it any more; to wait for its cgroups as well would take longer than anything else here.
finish() {
	take_line "$ct/exit_code" || {
		why exit_code
		[ -d "$ct" ] || fail "Can't wait for container"
		# Stopped by somebody else, or a meta container: there is no code.
		exit 0
	}
	status=$value
	case $value in
	0) ;;
	-99)
		status=137
		printf 'Container killed by OOM\n' >&2
		;;
	-*)
		status=$((128 - value))
		printf 'Container killed by signal: %s (%s)\n' "${value#-}" "SIG$(kill -l "${value#-}")" >&2
		;;
	*) printf 'Container exit code: %s\n' "$value" >&2 ;;
	esac
	[ -z "$weak" ] || [ -z "$volume_wanted" ] || undo
	exit "$status"
}

# A shell beside what runs in a container; $1 is the mode: app, or job to share its cgroups.
enter_shell() {
	terminal=auto
	launch_defaults
	weak=1 virt_mode=$1 shell_user='' shell_group=
	shift
	while getopts :u:g: option; do
		case $option in
		u) shell_user=$OPTARG ;;
		g) shell_group=$OPTARG ;;
		*) bad_option ;;
		esac
	done
	shift $((OPTIND - 1))
	[ $# -gt 0 ] || bad_arguments
	need_ct "$1" "Cannot start container"
	inside=${name#/}
	shift
	[ "${1-}" != -- ] || shift
	case ${1-} in -*) ;; *) dashes= ;; esac # options of the command are its own
	[ -e "$ct/state" ] || {
		error_number=4 error_text="ContainerDoesNotExist:(container $name does not exist)"
		(fail "Cannot start container") || exit 1
	}
	command=${*:-/bin/bash}
	who=${SUDO_USER:-${USER:-unknown}}
	child=shell-$who-$$
	[ ${#inside} -le 150 ] && [ ${#child} -le 40 ] || child=shell-$$
	prompt=$inside
	if [ ${#inside} -gt 50 ]; then
		prompt=$(printf '%.24s' "$inside")..${inside#"${inside%????????????????????????}"}
	fi
	set -- isolate=false "private=portoctl shell by $who" \
		"env=debian_chroot=$prompt;PORTO_SHELL_NAME=$inside;PORTO_SHELL_USER=$who"
	case $shell_user in
	'') ;;
	root) [ "$virt_mode" = job ] || set -- "$@" virt_mode=os net=inherited ;;
	*) set -- "$@" "user=$shell_user" ;;
	esac
	[ -n "$shell_group" ] || [ -z "$shell_user" ] || shell_group=$(id -gn "$shell_user" 2>/dev/null) || shell_group=$shell_user
	case $shell_user,$shell_group in *, | root,root | ,root) ;; *) set -- "$@" "group=$shell_group" ;; esac
	execute "${inside:+$inside/}$child" "$@"
}

cmd_shell() { enter_shell app "$@"; }
cmd_enter() { enter_shell job "$@"; }

