# shellcheck shell=sh
# lib/views.sh: the commands of portoctl that show many things at once: get, list, sort, wait. Read by portoctl, whose
# functions it uses; what has to be counted, sorted or laid out goes through one awk each.
#
# shellcheck disable=SC2154 # variables of portoctl
# shellcheck disable=SC2015 # A && B || C: C is meant for either failure

use awk

# ---- get ----

# The lines of .porto/containers whose names match one of the masks, in the order of the tree.
select_containers() {
	awk -F'\t' "$AWK_LIBRARY"'
		BEGIN {
			for (i = 1; i < ARGC; i++) regexp[i] = mask_regexp(ARGV[i])
			masks = ARGC
			ARGC = 1
		}
		$1 != "/" {
			for (i = 1; i < masks; i++)
				if ($1 ~ regexp[i]) {
					key = $1
					gsub("/", "\001", key)
					print key "\t" $0
					next
				}
		}' "$@" <"$root/.porto/containers" | LC_ALL=C sort -t "$tab" -k 1,1 | cut -f 2-
}

# Names and masks -> $targets, names one a line. A name stands for itself, there or not.
expand_targets() {
	targets=
	for word; do
		case $word in
		*[*?]*) word=$(select_containers "$word" | cut -f 1) ;;
		esac
		[ -z "$word" ] || targets=$targets$word$nl
	done
}

# The text of stream $1 for people: of a long one both ends.
show_stream() {
	length=$(wc -c <"$ct/$1") || return
	if [ "$length" -gt 4096 ]; then
		head -c 2048 "$ct/$1"
		printf '\n--- skip %s bytes ---\n' $((length - 4096))
		tail -c 2048 "$ct/$1"
	else
		cat "$ct/$1"
	fi 2>/dev/null
}

# All properties with a value, readable. Those that can't be read now are left out; one grep reads them all.
show_all() {
	terminal=0
	! [ -t 1 ] || terminal=1
	properties=$(cut -f 1 "$root/.porto/properties" | grep -vx -e stdout -e stderr)
	if [ -n "$only_real" ]; then
		properties=$(awk 'NR == FNR { all[$1]; next } { sub(/\[.*/, "", $1) } $1 in all { print $1 }' \
			"$root/.porto/properties" "$ct/spec" "$ct/stat" 2>/dev/null | LC_ALL=C sort -u)
	fi
	take "$ct/state" || {
		why state
		printf 'Cannot get state: %s\n' "$error_text" >&2
		status=1
		return
	}
	{
		# shellcheck disable=SC2086 # names of properties hold no blanks
		(cd "$ct" && LC_ALL=C grep -s '' state $properties /dev/null)
		[ -n "$only_real" ] || for property in stdout stderr; do
			show_stream "$property" 2>/dev/null | sed "s/^/$property:/"
		done
	} | awk -v terminal="$terminal" "$AWK_LIBRARY"'
		{
			colon = index($0, ":")
			property = substr($0, 1, colon - 1)
			if (property == "state" && seen[property]) next
			text[property] = seen[property]++ ? text[property] "\n" substr($0, colon + 1) : substr($0, colon + 1)
		}
		END {
			for (property in text)
				if (text[property] != "" && property !~ /^net_(netstat|snmp6?)$/) names[++n] = property
			for (i = 2; i <= n; i++) {
				name = names[i]
				for (j = i - 1; j > 0 && names[j] > name; j--) names[j + 1] = names[j]
				names[j + 1] = name
			}
			for (i = 1; i <= n; i++)
				print names[i] " = " human(names[i], text[names[i]], terminal)
		}'
}

# The given properties as they are; a refusal is told and the rest goes on.
show_some() {
	for property; do
		if ! get_property "$property"; then
			printf 'Cannot get %s: %s\n' "$property" "$error_text" >&2
			status=1
		elif [ $# -gt 1 ]; then
			printf '%s = %s\n' "$property" "$value"
		else
			printf '%s\n' "$value"
		fi
	done
}

# Reads the options -n -s -r, leaving `--` alone: getopts would swallow it.
cmd_get() {
	only_real='' status=0 options=0
	for word; do
		case $word in
		-- | '' | [!-]*) break ;;
		-*[!nsr]* | -) bad_arguments "unknown option $word" ;;
		-*r*) only_real=1 ;;
		esac
		options=$((options + 1))
	done
	shift "$options"
	split_targets "$@" || {
		# No `--`: one target, then properties.
		[ $# -gt 0 ] || bad_arguments
		expand_targets "$1"
		before=0
	}
	shift $((before + 1))
	several=
	case ${targets%"$nl"} in *"$nl"*) several=1 ;; esac
	IFS=$nl
	for word in $targets; do
		IFS=" $tab$nl"
		[ -z "$several" ] || printf '%s:\n' "$word"
		if ! find_ct "$word"; then
			printf 'Cannot get %s: %s\n' "${1:-state}" "$error_text" >&2
			status=1
		elif [ $# -gt 0 ]; then
			show_some "$@"
		else
			show_all
		fi
		[ -z "$several" ] || printf '\n'
	done
	IFS=" $tab$nl"
	return "$status"
}

# What stands before a `--` -> $targets, and their number in $before; nothing before it means all. False without `--`.
split_targets() {
	before=0
	for word; do
		[ "$word" != -- ] || break
		before=$((before + 1))
	done
	[ "$before" -lt $# ] || return 1
	if [ "$before" = 0 ]; then
		expand_targets '***'
		return
	fi
	counted=0 targets=
	for word; do
		[ $((counted += 1)) -le "$before" ] || break
		found=$targets
		expand_targets "$word"
		targets=$found$targets
	done
}

# ---- lists ----

# Drops the lines of containers without label $1, which may be a mask, or LABEL=VALUE.
filter_label() {
	while IFS=$tab read -r word rest; do
		find_ct "$word" && take "$ct/labels" || continue
		labels=$value
		while [ -n "$labels" ]; do
			entry=${labels%%; *}
			case $labels in *'; '*) labels=${labels#*; } ;; *) labels= ;; esac
			# shellcheck disable=SC2254 # a mask is meant to be one
			case "${entry%%: *}" in
			${1%%=*}) case $1 in *=*) [ "${entry#*: }" = "${1#*=}" ] || continue ;; esac ;;
			*) continue ;;
			esac
			printf '%s\t%s\n' "$word" "$rest"
			break
		done
	done
}

cmd_list() {
	only_names=0 forest=0 running=0 top=0 label=
	while getopts :1frtL: option; do
		case $option in
		1) only_names=1 ;;
		f) forest=1 ;;
		r) running=1 ;;
		t) top=1 ;;
		L) label=$OPTARG ;;
		*) bad_option ;;
		esac
	done
	shift $((OPTIND - 1))
	if [ -n "$label" ]; then
		select_containers '***' | filter_label "$label"
	else
		select_containers "${1:-***}"
	fi | awk -F'\t' -v only_names="$only_names" -v forest="$forest" -v running="$running" -v top="$top" "$AWK_LIBRARY"'
		top && $1 ~ "/" || running && $2 != "running" { next }
		{
			shown = $1
			if (forest && (level = gsub("/", "/", shown))) {
				sub(".*/", "", shown)
				shown = sprintf("%" (3 * level - 2) "s\\_ %s", "", shown)
			}
			names[++n] = shown
			states[n] = $2
			times[n] = $2 ~ /^(running|meta|dead)$/ ? duration($3) : ""
			if (length(shown) > width) width = length(shown)
		}
		END {
			for (i = 1; i <= n; i++)
				if (only_names) print names[i]
				else if (times[i] == "") printf "%-" width "s %10s\n", names[i], states[i]
				else printf "%-" width "s %10s %11s\n", names[i], states[i], times[i]
		}'
}

cmd_sort() {
	if split_targets "$@"; then
		shift $((before + 1))
	else
		expand_targets '***'
	fi
	[ $# -gt 0 ] || set -- state time
	table_rows "$@" | awk -F'\t' "$AWK_LIBRARY"'
		# Numbers by size, all else as text; the greater stands first.
		function before(a, b,    col, x, y) {
			for (col = 2; col <= columns; col++) {
				x = cell[a, col]
				y = cell[b, col]
				if (x == y) continue
				if (x ~ /^-?[0-9]+$/ && y ~ /^-?[0-9]+$/) return x + 0 > y + 0
				return x "" > y ""
			}
			return a < b
		}
		function merge(from, to,    middle, i, j, k) {
			if (from >= to) return
			middle = int((from + to) / 2)
			merge(from, middle)
			merge(middle + 1, to)
			for (k = i = from; i <= middle; i++) spare[i] = order[i]
			i = from
			for (j = middle + 1; i <= middle; k++)
				order[k] = j <= to && before(order[j], spare[i]) ? order[j++] : spare[i++]
		}
		{
			columns = NF
			for (col = 1; col <= NF; col++) {
				cell[NR, col] = $col
				shown[NR, col] = NR > 1 && col > 1 ? human(cell[1, col], $col) : $col
				if (NR == 1) width[col] = col > 1 ? 8 : 16
				if (length(shown[NR, col]) > width[col]) width[col] = length(shown[NR, col])
			}
			order[NR] = NR
		}
		END {
			merge(2, NR)
			for (row = 1; row <= NR; row++) {
				printf "%-" width[1] "s", shown[order[row], 1]
				for (col = 2; col <= columns; col++) printf " %" width[col] "s", shown[order[row], col]
				print ""
			}
		}'
}

# The table of $targets and the given properties, tab separated; what can't be read is empty.
table_rows() {
	row=container
	for property; do row=$row$tab$property; done
	printf '%s\n' "$row"
	for word in $targets; do
		find_ct "$word" && [ -d "$ct" ] || {
			printf 'Cannot get data: ContainerDoesNotExist:(container %s does not exist)\n' "$word" >&2
			continue
		}
		row=$word
		for property; do
			get_property "$property" || value=
			value=${value%%"$nl"*}
			row=$row$tab$value
		done
		printf '%s\n' "$row"
	done
}

# ---- waiting ----

# Does name $1 match mask $2? As many slashes in both: then no wildcard can have swallowed one.
matches() {
	case $2 in
	*'***'*) ;;
	*)
		count_slashes "$1"
		in_name=$slashes
		count_slashes "$2"
		[ "$in_name" = "$slashes" ] || return 1
		;;
	esac
	# shellcheck disable=SC2254 # a mask is meant to be one
	case $1 in $2) ;; *) return 1 ;; esac
}

count_slashes() {
	slashes=0 rest=$1
	while case $rest in */*) ;; *) false ;; esac do
		slashes=$((slashes + 1))
		rest=${rest#*/}
	done
}

cmd_wait() {
	events='' state='' label='' msec=
	while getopts :AS:T:t:L: option; do
		case $option in
		A) events=1 ;;
		S) state=$OPTARG ;;
		L) label=$OPTARG ;;
		T) is_number "$OPTARG" || die "Bad timeout: $OPTARG"; msec=$((OPTARG * 1000)) ;;
		t) is_number "$OPTARG" || die "Bad timeout: $OPTARG"; msec=$(((OPTARG + 999) / 1000 * 1000)) ;;
		*) bad_option ;;
		esac
	done
	shift $((OPTIND - 1))
	case $msec in -*) msec= ;; esac
	if [ -n "$events" ]; then
		[ $# -gt 0 ] || set -- '***'
		wait_events "$@"
	else
		[ $# -gt 0 ] || bad_arguments
		if [ -n "$label" ]; then wait_events "$@"; else wait_any "$@"; fi
	fi
}

wait_any() {
	masks=
	for word; do
		word=${word#/porto/}
		replace "$word" / %
		masks=$masks${masks:+;}$value
	done
	value=$(cat "$root/.porto/wait[$masks${msec:+,$msec}]" 2>/dev/null) || {
		why_daemon
		fail "Can't wait for containers"
	}
	if [ -n "$value" ]; then
		printf '%s\n' "$value"
	else
		printf 'timeout\n' >&2
	fi
}

# Reads events from now on: prints them all (-A), or leaves after a change of the label.
wait_events() {
	sleeper=
	trap 'timed_out' ALRM
	trap '[ -z "$sleeper" ] || kill "$sleeper" 2>/dev/null' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	if [ -n "$msec" ]; then
		# What it starts must not outlive it, nor hold our output open.
		(
			trap 'kill "$!"; exit' TERM
			sleep "$((msec / 1000))" &
			wait "$!"
			kill -s ALRM "$$"
		) </dev/null >/dev/null 2>&1 &
		sleeper=$!
	fi
	{
		while IFS=$tab read -r _ when event word first second; do
			for mask; do
				! matches "$word" "${mask#/porto/}" || { show_event; break; }
			done
		done
	} <"$root/.porto/events" || die "Can't wait for containers: Unknown:(no events)"
}

timed_out() {
	sleeper=
	if [ -n "$events" ]; then
		printf '%s timeout\t\n' "$(date '+%Y-%m-%d %H:%M:%S')"
	else
		printf 'timeout\n' >&2
	fi
	exit 0
}

# One event, in $when $event $word $first $second, if it is wanted.
show_event() {
	now='' more=
	case $event in
	created) now=stopped ;;
	destroyed) now=destroyed ;;
	state)
		now=$first
		[ "$now" != dead ] || more="${tab}exit_code = $second"
		;;
	start_failed) now=stopped more="${tab}start_error = $first" ;;
	label)
		find_ct "$word" && take "$ct/state" && now=$value
		more=$tab$first
		;;
	*) return ;;
	esac
	if [ -n "$label" ]; then
		# shellcheck disable=SC2254 # a mask is meant to be one
		case $event/${first%% = *} in label/$label) ;; *) return ;; esac
	fi
	if [ -z "$events" ]; then
		case $now in stopped | dead | respawning | meta) printf '%s\n' "$word" && exit 0 ;; esac
		return
	fi
	[ -z "$state" ] || [ "$now" = "$state" ] || return 0
	printf '%s %s\t%s%s\n' "$(date -d "@${when%%.*}" '+%Y-%m-%d %H:%M:%S')" "$now" "$word" "$more"
	[ -z "$state" ] || exit 0
}

