# shellcheck shell=sh
# lib/layers.sh: the commands of portoctl for layers and storages, and what takes long: imports and exports, with their
# progress. Read by portoctl, whose functions it uses. In $item is the directory of a layer or storage (or volume).
#
# shellcheck disable=SC2154 # variables of portoctl and volumes.sh
# shellcheck disable=SC2015 # A && B || C: C is meant for either failure

use volumes

# What is told of layers and of storages -> $items, $kind and kinds of errors.
kind_layer() { items=$root/.layers kind=layer not_found='19 LayerNotFound' already='18 LayerAlreadyExists'; }
kind_storage() { items=$root/.storages kind=storage not_found='13 VolumeNotFound' already='12 VolumeAlreadyExists'; }

kind_error() {
	error_number=${1%% *} error_text="${1#* }:($2)"
	return 1
}

# Layer or storage $1 of the place $place -> $item, $item_name; the parts of a meta-storage have a slash in their name.
find_item() {
	case /$1/ in
	*//* | */./* | */../* | *%* | *"$nl"*) kind_error '7 InvalidValue' "invalid name of a $kind '$1'" || return ;;
	esac
	replace "$1" / %
	item=$value item_name=$1
	case $place in
	'') value= ;;
	/*)
		absolute_path "$place"
		replace "$path" / %
		value=$value%%
		;;
	*) kind_error '25 InvalidPath' "place '$place': expected an absolute path" || return ;;
	esac
	item=$items/$value$item
}

# The same, where it is; else fails with the prefix $2.
need_item() {
	find_item "$1" || fail "$2"
	[ -d "$item" ] || { no_item || fail "$2"; }
}

no_item() {
	kind_error "$not_found" "there is no $kind $item_name"
}

# Makes $item, to be filled.
make_item() {
	! mkdir "$item" 2>/dev/null || return 0
	if [ -d "$item" ]; then
		kind_error "$already" "$kind $1 already exists"
	elif [ -e "$item" ]; then
		kind_error '7 InvalidValue' "a $kind can't have the name $1"
	elif ! [ -w "$items" ]; then
		kind_error '11 Permission' "no right to make a $kind"
	else
		why_daemon
		return 1
	fi
}

why_item() {
	# It may go between two looks: what it still says of itself counts.
	if ! [ -d "$item" ] || { [ "$item" != "$items" ] && ! take_line "$item/place"; }; then
		no_item
	elif ! [ -e "$item/$1" ]; then
		kind_error '9 NotSupported' "this portod has no $1 of a $kind"
	elif ! [ -w "$item/$1" ]; then
		kind_error '11 Permission' "no right to change this $kind"
	else
		why_daemon
		return 1
	fi
}

put_item() {
	printf '%s\n' "$2" 2>/dev/null >"$item/$1" || why_item "$1"
}

# Its name is free at once in the tree; that it is free in the place, too, is waited for.
remove_item() {
	rmdir "$item" 2>/dev/null || { why_item ''; return 1; }
	tries=0
	while grep -qsxF "${item#"$root/"}" "$root/.porto/destroying"; do
		if [ $((tries += 1)) -gt 200 ]; then
			error_number=15 error_text="Busy:($kind $item_name is still being removed: its place does not answer)"
			return 1
		fi
		sleep 0.05
	done
	# It could not leave, and is there again.
	if [ -d "$item" ] && take_line "$item/error" && [ -n "$value" ]; then
		error_number=${value%% *} error_text=${value#* }
		return 1
	fi
}

# ---- what takes long ----

# Writes $2 to the file $1 of $item and returns when that is done; on a terminal with the progress, if it is named: $3. A shell
# takes up a write again that a signal interrupted, so a child does it and we wait. $made says that the item is ours: it
# goes when this fails. Traps are set by the callers, with trap_signals, if they have none that call stop_request.
long_request() {
	{ printf '%s\n' "$2" >"$item/$1"; } 2>/dev/null &
	writer=$!
	start_progress "$3"
	wait "$writer"
	request_status=$?
	stop_progress
	writer=
	[ "$request_status" = 0 ] || why_item "$1"
}

# Ends the request: for handlers of signals.
stop_request() {
	stop_progress
	[ -n "${writer-}" ] || return 0
	kill "$writer" 2>/dev/null
	wait "$writer" 2>/dev/null
	writer=
}

trap_signals() {
	[ -z "${own_traps-}" ] || return 0
	trap 'layer_interrupted 129' HUP
	trap 'layer_interrupted 130' INT
	trap 'layer_interrupted 143' TERM
}

layer_interrupted() {
	stop_request
	[ -z "$made" ] || rmdir "$item" 2>/dev/null
	exit "$1"
}

start_progress() {
	progress=
	[ -n "$1" ] && [ -t 2 ] || return 0
	show_progress "$1" </dev/null >&2 &
	progress=$!
}

stop_progress() {
	[ -n "${progress-}" ] || return 0
	kill "$progress" 2>/dev/null
	wait "$progress" 2>/dev/null
	progress=
	printf '\r\033[K' >&2
}

# In the background: bytes, rate and time left, twice a second, until it is told to stop or we are gone.
show_progress() {
	trap 'kill "$!" 2>/dev/null; exit 0' TERM
	uptime
	begun=$now
	while kill -0 "$$" 2>/dev/null; do
		sleep 0.5 &
		wait "$!"
		read_progress && [ -n "$bytes" ] || continue
		uptime
		rate=$((now > begun ? bytes * 100 / (now - begun) : 0))
		human "$bytes"
		text="$1: $value"
		if [ "${total:-0}" -gt 0 ]; then
			human "$total"
			text="$text of $value, $((bytes * 100 / total))%"
		fi
		human "$rate"
		text="$text, $value/s"
		if [ "${total:-0}" -ge "$bytes" ] && [ "$rate" -gt 0 ]; then
			left=$(((total - bytes) / rate))
			text="$text, $((left / 60)):$((left % 60 / 10))$((left % 10)) left"
		fi
		printf '\r%s\033[K' "$text"
	done
}

# -> $bytes, $total; of images there is a line each, with the name $item_name in front
read_progress() {
	if [ "$kind" != image ]; then
		IFS=' ' read -r bytes total 2>/dev/null <"$item/progress"
		return
	fi
	while IFS=' ' read -r word bytes total; do
		[ "$word" != "$item_name" ] || return 0
	done 2>/dev/null <"$item/progress"
	return 1
}

# Hundredths of a second -> $now
uptime() {
	IFS=' ' read -r now _ </proc/uptime
	now=${now%.*}${now#*.}
}

# Bytes for people -> $value
human() {
	value=$1 tenth=0
	for unit in B K M G T; do
		[ "$value" -ge 1024 ] || break
		tenth=$((value % 1024 * 10 / 1024)) value=$((value / 1024))
	done
	[ "$unit" = B ] || value=$value.$tenth
	value=$value$unit
}

# ---- imports and exports ----

# An archive that exists, as the daemon wants it named -> $path
find_archive() {
	absolute_path "$1"
	if ! [ -e "$path" ]; then
		kind_error '25 InvalidPath' "archive $1: no such file"
	elif ! [ -f "$path" ]; then
		kind_error '25 InvalidPath' "archive $1: not a regular file"
	fi
}

# The name of the file of a verb with a format: `import`, or `import[tar.gz]` -> $verb
with_format() {
	verb=$1
	case $2 in
	'') ;;
	*[!A-Za-z0-9.]*) kind_error '7 InvalidValue' "unknown compression '$2'" ;;
	*) verb="$1[$2]" ;;
	esac
}

# Compression of an archive to be made: $2, or by the end of its name $1, where the daemon wouldn't know that -> $format
format_of() {
	format=$2
	case $format,$1 in
	,*.tar.* | ?*,*) ;;
	,*.zst) format=tar.zst ;;
	,*.gz) format=tar.gz ;;
	,*.xz) format=tar.xz ;;
	,*.bz2) format=tar.bz2 ;;
	esac
}

# Imports the archive $2 as $1, container $3 (may be empty) pays for the memory. What can't be is not left half-made.
import_item() {
	find_item "$1" && find_archive "$2" && with_format import "$compression" || return
	archive=$path made=
	trap_signals
	make_item "$1" || return
	made=1
	if { [ -z "$private_given" ] || put_item private "$private"; } && { [ -z "${3-}" ] || put_item charge "$3"; } && long_request "$verb" "$archive" "import of $1"; then
		made=
		return
	fi
	saved="$error_number $error_text"
	rmdir "$item" 2>/dev/null
	made='' error_number=${saved%% *} error_text=${saved#* }
	return 1
}

merge_item() {
	find_item "$1" && find_archive "$2" && with_format merge "$compression" || return
	archive=$path made=
	trap_signals
	if ! [ -d "$item" ]; then
		make_item "$1" || return
		made=1
	fi
	if long_request "$verb" "$archive" "merge into $1"; then
		made=
		[ -z "$private_given" ] || put_item private "$private"
		return
	fi
	saved="$error_number $error_text"
	[ -z "$made" ] || rmdir "$item" 2>/dev/null
	made='' error_number=${saved%% *} error_text=${saved#* }
	return 1
}

# Exports $item to the archive $1; $2: compression, $3: what is exported.
export_item() {
	format_of "$1" "$2"
	with_format export "$format" || return
	absolute_path "$1"
	made=
	trap_signals
	long_request "$verb" "$path" "export of $3"
}

# Removes each; goes on after an error.
remove_items() {
	for word; do
		if ! find_item "$word" || ! remove_item; then
			printf "Can't remove %s: %s\n" "$kind" "$error_text" >&2
			status=$((error_number % 256))
		fi
	done
}

# The rows of `list` of $place, the default one where it is empty; names as users write them.
item_rows() {
	take_long "$items/list"
	[ -z "$value" ] || printf '%s\n' "$value" | place=$place awk -F'\t' -v OFS='\t' '
		BEGIN { place = ENVIRON["place"] }
		{
			if (place == "" ? $1 ~ /^%/ : $2 != place) next
			sub(/^%.*%%/, "", $1)
			gsub(/%/, "/", $1)
			print
		}'
}

# Removes what was not used for $1 days; $2 is said before each name, if it is to be said. By name; what
# is in use stays, and is told; as in Porto the status is that of the last one.
flush_items() {
	is_number "$1" || die "Bad number of days: $1"
	rows=$(item_rows | awk -F'\t' -v seconds=$(($1 * 86400)) '$3 == "ready" && $6 >= seconds { print $1 }' | LC_ALL=C sort)
	for word in $rows; do
		[ -z "$2" ] || printf '%s\n' "${2#=}$word"
		status=0
		remove_items "$word"
	done
}

# ---- layer ----

# Notes the option of an action in $actions; in the order of the table the first one counts.
parse_items() {
	place='' private='' private_given='' compression='' verbose='' actions='' space='' inodes=''
	spec=$1
	shift
	while getopts "$spec" option; do
		case $option in
		P) place=$OPTARG ;;
		S) private=$OPTARG private_given=1 ;;
		c) compression=$OPTARG ;;
		v) verbose=1 ;;
		Q) if [ "$kind" = storage ]; then space=$OPTARG; else actions=${actions}Q; fi ;;
		q) inodes=$OPTARG ;;
		[IEMRFLGr]) actions=$actions$option ;;
		*) bad_option ;;
		esac
	done
}

# Of $1 arguments at least $2 and at most $3 (empty: any number), or out with what option $4 wants: $5.
need_arguments() {
	[ "$1" -lt "$2" ] || [ "$1" -gt "${3:-$1}" ] || return 0
	bad_arguments "$4 wants ${5:-no arguments}"
}

cmd_layer() {
	kind_layer
	status=0
	parse_items :P:S:c:vIEQMRFLG "$@"
	shift $((OPTIND - 1))
	case $actions in
	*I*)
		need_arguments $# 2 3 -I 'LAYER ARCHIVE [NAME]'
		import_item "$1" "$2" "${3-}" || fail "Can't import layer"
		;;
	*E*)
		need_arguments $# 2 2 -E "VOLUME ARCHIVE; VOLUME is a volume's path"
		export_volume "$1" "$2" "$compression" || fail "Can't export layer"
		;;
	*Q*)
		need_arguments $# 2 2 -Q "VOLUME FILE; VOLUME is a volume's path"
		export_volume "$1" "$2" squashfs || fail "Can't export layer"
		;;
	*M*)
		need_arguments $# 2 2 -M 'LAYER ARCHIVE'
		merge_item "$1" "$2" || fail "Can't merge layer"
		;;
	*R*)
		need_arguments $# 1 '' -R LAYER...
		remove_items "$@"
		[ "$status" = 0 ] || hint
		;;
	*F*)
		need_arguments $# 0 1 -F '[DAYS]'
		flush_items "${1:-0}" "${verbose:+=}"
		;;
	*L*)
		need_arguments $# 0 0 -L
		if [ -n "$verbose" ]; then show_items; else item_rows | cut -f 1; fi
		;;
	*G*)
		need_arguments $# 1 1 -G LAYER
		need_item "$1" "Can't get private text"
		take "$item/private" || { why_item private || fail "Can't get private text"; }
		printf '%s\n' "$value"
		;;
	*)
		[ -n "$private_given" ] || bad_arguments 'no action is given'
		need_arguments $# 1 1 '-S TEXT' LAYER
		need_item "$1" "Can't set private text"
		put_item private "$private" || fail "Can't set private text"
		;;
	esac
	return "$status"
}

# The upper layer of the volume at $1, or the whole tree where it has none.
export_volume() {
	absolute_path "$1"
	find_volume "$path" || {
		kind_error '13 VolumeNotFound' "no volume at $path: what is exported is what a volume has above its layers"
		return
	}
	item=$vol item_name=$path kind=volume not_found='13 VolumeNotFound'
	export_item "$2" "$3" "$1"
}

# With owner, last use, private text.
show_items() {
	use awk
	item_rows | awk -F'\t' "$AWK_LIBRARY"'
		{
			name[NR] = $1; owner[NR] = $4 ":" $5; used[NR] = duration($6); private[NR] = $8
			if (length($1) > width) width = length($1)
		}
		END {
			for (i = 1; i <= NR; i++)
				printf "%-" width "s  owner %-16s used %10s ago  private %s\n", name[i], owner[i], used[i], private[i]
		}'
}

# ---- storage ----

cmd_storage() {
	kind_storage
	status=0
	parse_items :P:S:c:vFLIEMRrQ:q: "$@"
	shift $((OPTIND - 1))
	case $actions in
	*F*)
		need_arguments $# 0 1 -F '[DAYS]'
		flush_items "${1:-0}" '=remove '
		;;
	*L*)
		need_arguments $# 0 0 -L
		list_storages
		;;
	*I*)
		need_arguments $# 2 2 -I 'NAME ARCHIVE'
		import_item "$1" "$2" || fail "Can't import storage"
		;;
	*E*)
		need_arguments $# 2 2 -E 'NAME ARCHIVE'
		need_item "$1" "Can't export storage"
		export_item "$2" "$compression" "$1" || fail "Can't export storage"
		;;
	*M*)
		need_arguments $# 1 1 -M NAME
		meta_storage "$1"
		;;
	*R*)
		need_arguments $# 1 1 -R NAME
		remove_items "$1"
		;;
	*) bad_arguments 'no action is given' ;;
	esac
	return "$status"
}

# Makes, resizes or removes a meta-storage: its directory has its name and a slash.
meta_storage() {
	find_item "$1" || fail "Can't create meta-storage"
	item=$item% kind=meta-storage
	case $actions in
	*R*) remove_item || fail "Can't remove meta-storage" ;;
	*r*)
		[ -d "$item" ] || { no_item || fail "Can't resize meta-storage"; }
		limit_meta || fail "Can't resize meta-storage"
		;;
	*)
		make_item "$1" || fail "Can't create meta-storage"
		limit_meta && { [ -z "$private_given" ] || put_item private "$private"; } || {
			saved="$error_number $error_text"
			rmdir "$item" 2>/dev/null
			error_number=${saved%% *} error_text=${saved#* }
			fail "Can't create meta-storage"
		}
		;;
	esac
}

limit_meta() {
	[ -z "$space" ] || put_item space_limit "$space" || return
	[ -z "$inodes" ] || put_item inode_limit "$inodes"
}

# Meta-storages first. An error is told, but is none.
list_storages() {
	if ! [ -r "$items/list" ]; then
		why_daemon
		printf "Can't list storages: %s\n" "$error_text" >&2
		return 0
	fi
	use awk
	rows=$(item_rows)
	IFS=$nl
	for row in $rows; do
		IFS=" $tab$nl"
		word=${row%%"$tab"*}
		case $word in */) ;; *) continue ;; esac
		find_item "${word%/}" && item=$item% || continue
		text="${word%/} meta"
		for property in space_limit space_used space_available inode_limit inode_used inode_available; do
			take_line "$item/$property" || continue
			text="$text $property=$value"
		done
		printf '%s\n' "$text"
	done
	IFS=" $tab$nl"
	[ -z "$rows" ] || printf '%s\n' "$rows" | awk -F'\t' -v verbose="$verbose" "$AWK_LIBRARY"'
		$1 !~ /\/$/ {
			if (verbose) printf "%s  owner %s:%s  used %s ago  private %s\n", $1, $4, $5, duration($6), $8
			else print $1
		}'
}
