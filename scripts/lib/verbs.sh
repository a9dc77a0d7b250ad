# shellcheck shell=sh
# lib/verbs.sh: the commands of portoctl that do one thing to one container after another. Read by portoctl, whose
# functions it uses.
#
# shellcheck disable=SC2154 # variables of portoctl
# shellcheck disable=SC2015 # A && B || C: C is meant for either failure

# ---- state ----

# Writes $1 to the state of each container, in order, up to the first refusal; $2 is the word for messages.
each_state() {
	verb=$1 prefix="Can't $2 container"
	shift 2
	for word; do
		need_ct "$word" "$prefix"
		request state "$verb" "$prefix"
	done
}

cmd_create() {
	for word; do
		need_ct "$word" "Can't create container"
		mkdir "$ct" 2>/dev/null || { why_mkdir; fail "Can't create container"; }
	done
}

cmd_start() { each_state start start "$@"; }
cmd_restart() { each_state restart restart "$@"; }
cmd_pause() { each_state pause pause "$@"; }
cmd_resume() { each_state resume resume "$@"; }
cmd_respawn() { each_state respawn respawn "$@"; }

cmd_stop() {
	verb=stop
	while getopts :T: option; do
		case $option in
		T) is_number "$OPTARG" || die "Bad timeout: $OPTARG"; [ "$OPTARG" -lt 0 ] || verb="stop $OPTARG" ;;
		*) bad_option ;;
		esac
	done
	shift $((OPTIND - 1))
	[ $# -gt 0 ] || bad_arguments
	each_state "$verb" stop "$@"
}

cmd_kill() {
	signal=${2-SIGTERM}
	case $signal in
	SIGHUP | SIGINT | SIGQUIT | SIGILL | SIGABRT | SIGFPE | SIGKILL | SIGSEGV | SIGPIPE | SIGALRM | SIGTERM | SIGUSR1) ;;
	SIGUSR2 | SIGCHLD | SIGCONT | SIGSTOP | SIGTSTP | SIGTTIN | SIGTTOU | SIGBUS | SIGPOLL | SIGPROF | SIGSYS) ;;
	SIGTRAP | SIGURG | SIGVTALRM | SIGXCPU | SIGXFSZ | SIGIOT | SIGSTKFLT | SIGIO | SIGCLD | SIGPWR | SIGWINCH) ;;
	'' | *[!0-9]*) die "Invalid signal: $signal" ;;
	esac
	each_state "kill $signal" kill "$1"
}

# Removes the container. Its name is free at once; what is left behind it is waited for.
destroy() {
	put state destroy || { why state write; return 1; }
	tries=0
	while grep -qsxF "$name" "$root/.porto/destroying"; do
		if [ $((tries += 1)) -gt 1200 ]; then
			error_number=15 error_text="Busy:(container $name is still being taken down)"
			return 1
		fi
		sleep 0.05
	done
}

cmd_destroy() {
	status=0
	for word; do
		if ! find_ct "$word" || ! destroy; then
			printf "Can't destroy container: %s\n" "$error_text" >&2
			status=$((error_number % 256))
		fi
	done
	return "$status"
}

cmd_gc() {
	dead=$(awk -F'\t' '$2 == "dead" { print $1 }' "$root/.porto/containers")
	for word in $dead; do
		find_ct "$word" && take "$ct/state" || continue
		[ "$value" = dead ] || continue
		destroy || fail "Can't destroy container"
	done
}

# ---- properties ----

cmd_set() {
	case $# in
	2)
		case $2 in *=*) ;; *) bad_arguments ;; esac
		word=$1
		set -- "${2%%=*}" "${2#*=}"
		;;
	*)
		word=$1 property=$2
		shift 2
		set -- "$property" "$*"
		;;
	esac
	need_ct "$word" "Can't set property"
	set_property "$1" "$2" || fail "Can't set property"
}

cmd_pget() {
	key=
	while getopts :sk option; do
		case $option in
		k) key=1 ;;
		s) ;;
		*) bad_option ;;
		esac
	done
	shift $((OPTIND - 1))
	[ $# -gt 1 ] || bad_arguments
	need_ct "$1" "Can't get property"
	shift
	for property; do
		get_property "$property" || fail "Can't get property"
		printf '%s\n' "${key:+$property = }$value"
	done
}

cmd_dget() { cmd_pget "$@"; }

# ---- processes and paths ----

cmd_find() {
	is_number "$1" || die "Bad pid: $1"
	comm=${2-}
	[ $# -gt 1 ] || IFS= read -r comm 2>/dev/null <"/proc/$1/comm" || comm=
	# A name with a slash in it can't be part of a file's name, and is only a guard against reused pids.
	case $comm in */*) comm= ;; esac
	take "$root/.porto/find[$1${comm:+ $comm}]" || { why_daemon; fail "Can't find container"; }
	printf '%s\n' "$value"
}

cmd_attach() {
	thread=
	while getopts :t option; do
		case $option in
		t) thread='thread ' ;;
		*) bad_option ;;
		esac
	done
	shift $((OPTIND - 1))
	[ $# -gt 1 ] || bad_arguments
	is_number "$2" || die "Bad pid: $2"
	need_ct "$1" "Can't attach"
	comm=${3-}
	[ $# -gt 2 ] || IFS= read -r comm 2>/dev/null <"/proc/$2/comm" || comm=
	request attach "$thread$2${comm:+ $comm}" "Can't attach"
}

cmd_convert() {
	from=self to=self
	while getopts :s:d: option; do
		case $option in
		s) from=$OPTARG ;;
		d) to=$OPTARG ;;
		*) bad_option ;;
		esac
	done
	shift $((OPTIND - 1))
	[ $# = 1 ] || die 'Give exactly one path'
	need_ct "$from" "Can't convert path"
	get_property root_path || fail "Can't convert path"
	path=${value%/}/${1#/}
	need_ct "$to" "Can't convert path"
	get_property root_path || fail "Can't convert path"
	inside=${value%/}
	case $path/ in
	"$inside/"*) path=${path#"$inside"} ;;
	*)
		error_number=25 error_text="InvalidPath:($path can't be reached from $to)"
		fail "Can't convert path"
		;;
	esac
	printf '%s\n' "${path:-/}"
}
