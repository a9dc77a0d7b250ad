# shellcheck shell=sh
# lib/images.sh: the commands of portoctl for images of docker and OCI. Read by portoctl, whose functions it uses.
#
# shellcheck disable=SC2154 # variables of portoctl, layers.sh
# shellcheck disable=SC2034 # variables for layers.sh, launch.sh
# shellcheck disable=SC2015 # A && B || C: C is meant for either failure

use layers
items=$root/.images kind=image not_found='701 DockerImageNotFound'
image_place='' image_words='' item_name=''

set_image_place() {
	absolute_path "$1"
	case $path in *[\;]* | *"$nl"*) die "Bad place: $1" ;; esac
	image_place=$path image_words="; place=$path"
}

# A name as one: what would be another word of a request is none.
check_reference() {
	case $1 in
	'' | *[!A-Za-z0-9_.:/@+-]*) kind_error '7 InvalidValue' "invalid name of an image '$1'" ;;
	esac
}

# The image that $1 names -> $item
find_image() {
	item_name=$1
	check_reference "$1" || return
	replace "$1$image_words" / %
	take_line "$items/find[$value]" && item=$items/$value || { why_daemon; return 1; }
}

cmd_docker_images() {
	verbose=
	while getopts :P:v option; do
		case $option in
		P) set_image_place "$OPTARG" ;;
		v) verbose=1 ;;
		*) bad_option ;;
		esac
	done
	shift $((OPTIND - 1))
	[ $# -le 1 ] || bad_arguments
	use awk
	take_long "$items/list"
	rows=$(printf '%s\n' "$value" | place=$image_place mask=${1-} awk -F'\t' -v OFS='\t' "$AWK_LIBRARY"'
		# One name a row, and only those that are wanted; in a mask for images * is anything.
		BEGIN { mask = ENVIRON["mask"]; gsub(/\*+/, "***", mask); regexp = mask_regexp(mask) }
		NF > 1 && (ENVIRON["place"] == "" || $6 == ENVIRON["place"]) {
			n = split($2, tags, /;/)
			if (n == 0) tags[n = 1] = "<none>"
			for (i = 1; i <= n; i++)
				if (mask == "" || tags[i] ~ regexp) print substr($1, 1, 12), tags[i], $6
		}')
	if [ -z "$verbose" ]; then
		printf '%-12s %s\n' ID NAME
		[ -z "$rows" ] || printf '%s\n' "$rows" | awk -F'\t' '{ printf "%-12s %s\n", $1, $2 }'
		return
	fi
	shown=
	IFS=$nl
	for row in $rows; do
		IFS=" $tab$nl"
		image_words="; place=${row##*"$tab"}"
		find_image "${row%%"$tab"*}" || continue
		case $shown in *" $item "*) continue ;; esac
		shown="$shown $item "
		show_image
	done
	IFS=" $tab$nl"
}

show_image() {
	for word in id tags digests layers size command env; do
		take_long "$item/$word"
		replace "$value" "$nl" ' '
		printf '%-8s = %s\n' "$word" "$value"
	done
	printf '\n'
}

cmd_docker_pull() {
	while getopts :P:H:S:T: option; do
		case $option in
		P) set_image_place "$OPTARG" ;;
		H) add_word_of_pull auth "$OPTARG" ;;
		S) add_word_of_pull service "$OPTARG" ;;
		T)
			case $OPTARG in aarch64) OPTARG=arm64 ;; esac
			add_word_of_pull arch "$OPTARG"
			;;
		*) bad_option ;;
		esac
	done
	shift $((OPTIND - 1))
	[ $# = 1 ] || bad_arguments
	check_reference "$1" || fail "Can't pull image"
	request="$1$image_words$pull_words"
	[ -z "${DOCKER_TOKEN-}" ] || { add_word_of_pull token "$DOCKER_TOKEN" && request="$1$image_words$pull_words"; }
	item=$items item_name=$1 made=
	trap_signals
	long_request pull "$request" "pull of $1" || fail "Can't pull image"
	find_image "$1" && take_line "$item/digests" || fail "Can't pull image"
	printf '%s\n' "$value"
}

pull_words=
add_word_of_pull() {
	case $2 in *[\;]* | *"$nl"*) die "Bad $1" ;; esac
	pull_words="$pull_words; $1=$2"
}

cmd_docker_rmi() {
	while getopts :P: option; do
		case $option in
		P) set_image_place "$OPTARG" ;;
		*) bad_option ;;
		esac
	done
	shift $((OPTIND - 1))
	[ $# = 1 ] || bad_arguments
	check_reference "$1" || fail "Can't remove image"
	item=$items item_name=$1
	put_item remove "$1$image_words" || fail "Can't remove image"
}

# ---- docker-run ----

cmd_docker_run() {
	use launch
	launch_defaults
	wait='' terminal=
	while getopts :P:TW option; do
		case $option in
		P) set_image_place "$OPTARG" ;;
		T) terminal=auto weak=1 ;;
		W) wait=1 ;;
		*) bad_option ;;
		esac
	done
	shift $((OPTIND - 1))
	[ $# -gt 1 ] || bad_arguments
	target=$1 image=$2
	shift 2
	find_image "$image" || {
		# Not found in this place, or no image at all.
		printf "Cannot start container: %s\n" "$error_text" >&2
		exit 1
	}
	image_settings "$@"
	[ -z "$image_env" ] || set -- "env=$image_env" "$@"
	[ -z "$image_argv" ] || set -- "command_argv=$image_argv" "$@"
	[ -z "$image_cwd" ] || set -- "cwd=$image_cwd" "$@"
	[ -z "$image_user" ] || set -- "user=$image_user" "group=$image_group" "$@"
	# Nothing in there may make volumes, unless it was given a place.
	set -- "place=$image_place" "$@"
	volume_wanted=1 volume_image=$image
	if [ -n "$terminal" ]; then
		execute "$target" "$@"
	else
		check_words "$@"
		launch "$target" "$@"
	fi
}

# What the image says for itself, where the words don't say it -> $image_argv, $image_env, $image_cwd, $image_user
image_settings() {
	image_argv='' image_env='' image_cwd='' image_user='' own_command='' own_user=
	for word; do
		case $word in
		command=* | command_argv=*) own_command=1 ;;
		user=* | group=* | task_cred=*) own_user=1 ;;
		esac
	done
	# Only root may give a container another user than its own.
	[ -n "$own_user" ] || [ "$(id -u)" != 0 ] || find_image_user
	if [ -z "$own_command" ]; then
		take_long "$item/command"
		case $value in *"$tab"*) die "Cannot start container: an argument in the image has a tab in it: give a command=" ;; esac
		replace "$value" "$nl" "$tab"
		unescape "$value"
		image_argv=$value
	fi
	take_long "$item/env"
	IFS=$nl
	for line in $value; do
		IFS=" $tab$nl"
		# A semicolon separates variables, unless a backslash is before it.
		unescape "$line"
		# shellcheck disable=SC1003 # these are backslashes
		replace "$value" '\' '\\'
		replace "$value" ';' '\;'
		image_env=$image_env${image_env:+;}$value
	done
	IFS=" $tab$nl"
	take_line "$item/workdir" && image_cwd=$value
}

# Its user, USER[:GROUP], as numbers -> $image_user, $image_group. What they are called only its own files know.
find_image_user() {
	take_line "$item/user" && [ -n "$value" ] || return 0
	user=${value%%:*} group=
	user=${user:-0}
	case $value in *:*) group=${value#*:} ;; esac
	image_user=$user image_group=${group:-0}
	find_account passwd "$user" && image_user=$account image_group=${group:-$account_group} || need_number "$user"
	case $group in *[!0-9]*) find_account group "$group" && image_group=$account || need_number "$group" ;; esac
	[ "$image_user:$image_group" != 0:0 ] || image_user=
}

need_number() {
	case $1 in '' | *[!0-9]*) die "Cannot start container: the image's /etc has no '$1', as which it is to run: give a user=" ;; esac
}

# $2, a name or the number of a user, in /etc/$1 of the image: of the uppermost layer that has it -> $account, $account_group
find_account() {
	take_long "$item/layers"
	IFS=$nl
	for dir in $value; do
		IFS=" $tab$nl"
		# No links: they would lead into the host's.
		[ -f "$dir/etc/$1" ] && [ ! -L "$dir/etc/$1" ] && [ ! -L "$dir/etc" ] || continue
		while IFS=: read -r word _ account account_group _; do
			[ "$word" = "$2" ] || { [ "$1" = passwd ] && [ "$account" = "$2" ]; } || continue
			case $1 in group) account_group=0 ;; esac
			case $account,$account_group in ,* | *, | *[!0-9,]*) continue ;; esac
			return 0
		done <"$dir/etc/$1"
		return 1
	done
	IFS=" $tab$nl"
	return 1
}

# Of a line of an image: \n is a newline and \\ a backslash -> $value
unescape() {
	value='' rest=$1
	# shellcheck disable=SC1003 # these are backslashes
	while case $rest in *\\*) ;; *) false ;; esac do
		value=$value${rest%%\\*}
		rest=${rest#*\\}
		case $rest in
		n*) value=$value$nl rest=${rest#n} ;;
		\\*) value=$value\\ rest=${rest#\\} ;;
		*) value=$value\\ ;;
		esac
	done
	value=$value$rest
}
