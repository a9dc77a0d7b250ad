# shellcheck shell=sh
# lib/volumes.sh: the commands of portoctl for volumes, and how others make one. Read by portoctl, whose functions it
# uses. In $vol is the directory of a volume, in $path the absolute path it was asked for by.
#
# shellcheck disable=SC2154 # variables of portoctl
# shellcheck disable=SC2034 # and for it
# shellcheck disable=SC2015 # A && B || C: C is meant for either failure

volumes=$root/.volumes

# $1 as an absolute path without empty parts, . and .. -> $path. The links in it are the daemon's matter.
absolute_path() {
	case $1 in
	/*) rest=$1 ;;
	*) rest=$(pwd -P)/$1 ;;
	esac
	path=
	while [ -n "$rest" ]; do
		part=${rest%%/*}
		case $rest in */*) rest=${rest#*/} ;; *) rest= ;; esac
		case $part in
		'' | .) ;;
		..) path=${path%/*} ;;
		*) path=$path/$part ;;
		esac
	done
	path=${path:-/}
}

# The volume at $1 -> $vol, or fails with the prefix $2.
need_volume() {
	absolute_path "$1"
	find_volume "$path" || fail "$2"
}

find_volume() {
	# The name of a file has its limits, and % stands for a slash in it.
	case $1 in
	*%* | *"$nl"*) look_for_volume "$1" && return ;;
	*)
		replace "$1" / %
		if [ ${#value} -gt 200 ]; then
			look_for_volume "$1" && return
		elif take_line "$volumes/find[$value]"; then
			vol=$volumes/$value
			return
		fi
		;;
	esac
	error_number=13 error_text="VolumeNotFound:(no volume at $1)"
	return 1
}

look_for_volume() {
	while IFS=$tab read -r value number _; do
		[ "$value" = "$1" ] && vol=$volumes/$number && return
	done <"$volumes/list"
	return 1
}

# Why the last request to the volume was refused.
why_volume() {
	# It may go between two looks: what it still says of itself counts.
	if ! [ -d "$vol" ] || { [ "$vol" != "$volumes" ] && ! take_line "$vol/id"; }; then
		error_number=13 error_text="VolumeNotFound:(volume ${path:-$vol} is gone)"
	elif ! [ -e "$vol/$1" ]; then
		error_number=9 error_text="NotSupported:(this portod has no $1 of a volume)"
	elif ! [ -w "$vol/$1" ]; then
		error_number=11 error_text="Permission:(no right to change this volume)"
	else
		why_daemon
	fi
}

# Writes $2 into file $1 of the volume; if refused, fails with the prefix $3.
volume_request() {
	printf '%s\n' "$2" 2>/dev/null >"$vol/$1" || { why_volume "$1"; fail "$3"; }
}

# Words PROPERTY=VALUE as lines -> $lines; a word without = sets an empty value.
volume_lines() {
	for word; do
		key=${word%%=*}
		case $key in
		'' | *[!a-z_]*)
			error_number=5 error_text="InvalidProperty:(invalid property name '$key')"
			return 1
			;;
		esac
		value=
		case $word in *=*) escape "${word#*=}" ;; esac
		lines=$lines${lines:+$nl}"$key = $value"
	done
}

# Makes a volume with the properties $lines -> $number, $path.
make_volume() {
	number='' path=
	if ! [ -w "$volumes/create" ]; then
		error_number=11 error_text='Permission:(no right to make volumes)'
		return 1
	fi
	{ command exec 5<>"$volumes/create"; } 2>/dev/null || { why_daemon; return 1; }
	# The read makes it. What is interrupted while that goes on is asked for again, else nobody knew its number.
	if { printf '%s\n' "$lines" >&5; } 2>/dev/null; then
		until { IFS=' ' read -r number path <&5; } 2>/dev/null; do
			[ -n "${caught-}" ] || break
			number=
			sleep 0.1
			[ $((tries = ${tries:-0} + 1)) -le 600 ] || break
		done
	fi
	# Closing takes back what was not made, and why it wasn't is asked for before.
	[ -n "$number" ] || why_daemon
	exec 5>&-
	[ -n "$number" ]
}

cmd_vcreate() {
	automatic='' lines=
	if [ "$1" = -A ]; then
		automatic=1 OPTIND=2
	else
		absolute_path "$1"
		volume_lines "path=$path" || fail "Can't create volume"
	fi
	shift
	volume_lines "$@" && make_volume || fail "Can't create volume"
	[ -z "$automatic" ] || printf '%s\n' "$path"
}

cmd_vlink() {
	required='' mode=
	while getopts :R option; do
		case $option in
		R) required=' !' ;;
		*) bad_option ;;
		esac
	done
	shift $((OPTIND - 1))
	[ $# -gt 0 ] && [ $# -le 4 ] || bad_arguments
	need_volume "$1" "Can't link volume"
	place_of_link "${2:-self}" "${3-}" "Can't link volume"
	case ${3-},${4-} in ro, | *,ro) mode=' ro' ;; esac
	volume_request link "$link$mode$required" "Can't link volume"
}

# Container $1 and target $2 as the words of a link -> $link; fails with the prefix $3.
place_of_link() {
	link=$1
	[ "$1" = '***' ] || { find_ct "$1" && link=$name; } || fail "$3"
	case $2 in
	'' | ro | rw | '***') ;;
	*[\ $tab$nl]*)
		error_number=25 error_text="InvalidPath:(a target has no blanks: '$2')"
		fail "$3"
		;;
	/*) link="$link $2" ;;
	*)
		error_number=25 error_text="InvalidPath:(target '$2': expected an absolute path)"
		fail "$3"
		;;
	esac
}

cmd_vunlink() {
	container=self strict=
	while getopts :AS option; do
		case $option in
		A) container='***' ;;
		S) strict=' strict' ;;
		*) bad_option ;;
		esac
	done
	shift $((OPTIND - 1))
	[ $# -gt 0 ] && [ $# -le 3 ] || bad_arguments
	need_volume "$1" "Can't unlink volume"
	place_of_link "${2:-$container}" "${3-}" "Can't unlink volume"
	volume_request unlink "$link$strict" "Can't unlink volume"
}

cmd_vtune() {
	lines=
	need_volume "$1" "Can't tune volume"
	shift
	volume_lines "$@" || fail "Can't tune volume"
	[ -z "$lines" ] || volume_request tune "$lines" "Can't tune volume"
}

cmd_vcheck() {
	[ $# = 1 ] || bad_arguments
	need_volume "$1" "Can't check volume"
	volume_request state check "Can't check volume"
	take "$vol/report" || value=
	printf '%s\n' "${value:-Nothing to update}"
}

cmd_pcleanup() {
	[ $# = 1 ] || bad_arguments
	absolute_path "$1"
	printf '%s\n' "$path" 2>/dev/null >"$volumes/cleanup" || {
		vol=$volumes
		why_volume cleanup
		fail "Can't clean up place"
	}
}

# ---- vlist ----

cmd_vlist() {
	use awk
	what=table inodes=0 below=$root status=0
	while getopts :1ivc: option; do
		case $option in
		1) what=names ;;
		i) inodes=1 ;;
		v) what=all ;;
		c) need_ct "$OPTARG" "Can't list volumes" && below=$ct ;;
		*) bad_option ;;
		esac
	done
	shift $((OPTIND - 1))
	[ $# = 0 ] || below=$root
	list=$(cat "$below/.volumes/list" 2>/dev/null) || {
		ct=$below
		why ''
		fail "Can't list volumes"
	}
	[ $# = 0 ] || select_volumes "$@"
	case $what in
	names) [ -z "$list" ] || printf '%s\n' "$list" | cut -f 1 ;;
	table) printf '%s\n' "$list" | volume_table ;;
	all)
		IFS=$nl
		for row in $list; do
			IFS=" $tab$nl"
			row=${row#*"$tab"}
			vol=$volumes/${row%%"$tab"*}
			show_volume
		done
		IFS=" $tab$nl"
		;;
	esac
	[ "$status" = 0 ] || hint
	return "$status"
}

# Of the rows of $list those whose paths are given, each by a path or a mask -> $list
select_volumes() {
	selected=
	for word; do
		case $word in
		*[*?]*)
			found=$(printf '%s\n' "$list" | mask=$word awk -F'\t' "$AWK_LIBRARY"'
				BEGIN { regexp = mask_regexp(ENVIRON["mask"]) }
				$1 ~ regexp')
			;;
		*)
			absolute_path "$word"
			found=
			if find_volume "$path"; then
				found=$(printf '%s\n' "$list" | awk -F'\t' -v id="${vol##*/}" '$2 == id')
			fi
			if [ -z "$found" ]; then
				printf "Can't list volumes: VolumeNotFound:(no volume at %s)\n" "$path" >&2
				status=1
			fi
			;;
		esac
		[ -z "$found" ] || selected=$selected${selected:+$nl}$found
	done
	list=$selected
}

volume_table() {
	awk -F'\t' -v inodes="$inodes" "$AWK_LIBRARY"'
		function shown(number) { return inodes ? number : size(number) }
		function add(a, b, c, d, e, f, g, h, i, j) {
			cell[++rows, 1] = a; cell[rows, 2] = b; cell[rows, 3] = c; cell[rows, 4] = d; cell[rows, 5] = e
			cell[rows, 6] = f; cell[rows, 7] = g; cell[rows, 8] = h; cell[rows, 9] = i; cell[rows, 10] = j
		}
		BEGIN { add("Volume", "ID", "Backend", "Storage", "Image", "Limit", "Used", "Avail", "Use%", "Containers") }
		NF > 1 {
			at = inodes ? 9 : 6
			image = $5
			sub(/.*\//, "", image)
			all = $(at + 1) + $(at + 2)
			add($1, $2, $3, $4 == "" ? "-" : $4, image == "" ? "<none>" : substr(image, 1, 20), $at > 0 ? shown($at) : "-",
				shown($(at + 1)), shown($(at + 2)), all > 0 ? sprintf("%d%%", $(at + 1) * 100 / all) : "-", $12)
		}
		END {
			for (row = 1; row <= rows; row++)
				for (col = 1; col < 10; col++)
					if (length(cell[row, col]) > width[col]) width[col] = length(cell[row, col])
			for (row = 1; row <= rows; row++) {
				line = ""
				for (col = 1; col < 10; col++)
					line = line sprintf("%" (col >= 6 || col == 2 ? "" : "-") width[col] "s ", cell[row, col])
				print line cell[row, 10]
			}
		}'
}

# Path and properties of the volume, those with a value.
show_volume() {
	take_line "$vol/path" || return 0
	printf '%s\n' "$value"
	# One grep reads them all: these are the files of a volume but for verbs, and all of them short.
	(
		set +f
		cd "$vol" && LC_ALL=C grep -s '' ./*
	) 2>/dev/null | awk "$AWK_LIBRARY"'
		{
			colon = index($0, ":")
			property = substr($0, 3, colon - 3)
			value = substr($0, colon + 1)
			if (property ~ /^(path|error|report|spec)$/ || value == "") next
			if (property ~ /^space_/) value = size(value)
			printf "  %-20s = %s\n", property, value
		}'
}
