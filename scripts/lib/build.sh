# shellcheck shell=sh
# lib/build.sh: portoctl build: layers, a volume of them, scripts in it, and what came of it as an archive or image. Read
# by portoctl, whose functions it uses. All containers are below one, $outer, and go with it.
#
# shellcheck disable=SC2154 # variables of portoctl, launch.sh, rootfs.sh
# shellcheck disable=SC2034 # variables for launch.sh
# shellcheck disable=SC2015 # A && B || C: C is meant for either failure

use launch rootfs

say() {
	printf 'portoctl build: %s\n' "$1" >&2
}

cannot_build() {
	[ -n "$keep" ] || undo
	die "Cannot build: ${1:-$error_text}"
}

# ---- arguments ----

cmd_build() {
	launch_defaults
	keep='' to_archive='' to_image='' to_squash='' drop_admin='' first_layers='' compress='' image_dir=''
	first='' second='' inside='' outside='' any=''
	while getopts :l:L:o:O:Q:c:B:b:S:s:MkD option; do
		case $option in
		l) first_layers=$first_layers${first_layers:+;}$OPTARG ;;
		L) layers=$layers${layers:+;}$OPTARG ;;
		o) new_output "$OPTARG" && to_archive=$path ;;
		O) new_output "$OPTARG" && to_image=$path to_squash='' ;;
		Q) new_output "$OPTARG" && to_squash=$path to_image='' ;;
		c) compress=$OPTARG ;;
		B) need_script "$OPTARG" && first=$path ;;
		b) need_script "$OPTARG" && second=$path ;;
		S) need_script "$OPTARG" && inside=$inside$path$nl ;;
		s) need_script "$OPTARG" && outside=$outside$path$nl ;;
		M) merge=1 ;;
		k) keep=1 ;;
		D) drop_admin=1 ;;
		*) bad_option ;;
		esac
	done
	shift $((OPTIND - 1))
	[ -n "$to_archive$to_image$to_squash" ] || bad_arguments 'one of -o, -O and -Q is needed'
	case $first$second$inside$outside in ?*) any=1 ;; esac
	check_words "$@"
	build "$@"
}

# What is to be made: absolute -> $path
new_output() {
	absolute_path "$1"
	[ ! -e "$path" ] && [ ! -L "$path" ] || die "Output file $1 already exists"
	[ -d "${path%/*}/" ] || die "There is no directory ${path%/*}"
}

need_script() {
	absolute_path "$1"
	[ -f "$path" ] || die "There is no script $1"
	case $path in *"$nl"*) die 'A script with a newline in its name' ;; esac
}

# ---- the whole ----

build() {
	outer=portoctl-build-$$ inner='' limited='' mode='' network=''
	[ -n "$keep" ] || weak=1
	words=$#
	while [ "$words" -gt 0 ]; do
		words=$((words - 1)) word=$1
		shift
		case $word in
		resolv_conf=* | bind=*)
			escape "${word#*=}"
			inner=$inner${inner:+$nl}"${word%%=*} = $value"
			continue
			;;
		virt_mode=*) mode=${word#*=} && continue ;;
		net=*) network=${word#*=} && continue ;;
		space_limit=*) limited=1 ;;
		backend=* | storage=*) [ -z "$to_image" ] || die "-O makes a volume of its own: without ${word%%=*}" ;;
		esac
		set -- "$@" "$word"
	done
	virt_mode=app
	[ -z "$to_image" ] || [ -n "$limited" ] || die '-O needs space_limit='
	volume_wanted=1 keep_root=1 lines='permissions = 0755'
	if [ -n "$to_image" ]; then
		image_dir=$(mktemp -d "${to_image%/*}/.portoctl-build-XXXXXX") || die "Can't write to ${to_image%/*}"
		set -- "$@" backend=loop "storage=$image_dir"
	fi
	exec 7</dev/null 8>&1 9>&2
	prepare "$outer" isolate=false "$@"
	tree=$path vol=$rootfs
	choose_network
	run_scripts
	export_all
	finish_build
}

# The network of the host is what a container without any property has where this portod knows no networks.
choose_network() {
	if [ -n "$network" ]; then
		set_network "$network" || cannot_build
	elif [ -n "$any" ] && ! set_network NAT; then
		[ "$error_number" = 9 ] || [ "$error_number" = 5 ] || cannot_build
		say "net=NAT is not to be had here: ${error_text}; the scripts have the network of the host"
		set_network inherited || cannot_build
	fi
}

set_network() {
	find_ct "$outer"
	if [ -e "$ct/net" ]; then
		set_property net "$1"
	elif [ "$1" != inherited ]; then
		kind_error '9 NotSupported' 'this portod knows no networks'
	fi
}

# In the order that users of the original know. Any that fails ends it all.
run_scripts() {
	[ -n "$any" ] || return 0
	[ -z "$first" ] || run_first
	[ -z "$second" ] || run_script bootstrap2 "$second" "$tree" "root = $tree${nl}cwd = /$nl${inner}"
	if [ -n "$inside$outside" ]; then
		run_inside
		stop_base
		IFS=$nl
		for script in $outside; do
			IFS=" $tab$nl"
			run_script chroot/script "$script" "$tree" 'cwd = /'
		done
		IFS=" $tab$nl"
		find_ct "$outer/chroot"
		put state destroy
	fi
	rm -f "$tree/porto_build"
}

# The first has the host for root, or layers of its own, and is in the volume, where it may make and use devices: what builds a
# system does.
run_first() {
	settings="cwd = $tree${nl}bind = $tree $tree rw,dev"
	if [ -n "$first_layers" ]; then
		kept=$layers kept_rootfs=$rootfs kept_merge=$merge
		make_child bootstrap '' || cannot_build
		layers=$first_layers lines='' merge=
		make_rootfs "$outer/bootstrap" || cannot_build
		first_rootfs=$path
		layers=$kept merge=$kept_merge rootfs=$kept_rootfs
		find_ct "$outer/bootstrap"
		put spec "root = $first_rootfs" || { why spec write; cannot_build; }
		printf '%s\n' "$outer/bootstrap $tree" 2>/dev/null >"$vol/link" || { why_volume link; cannot_build; }
		run_script bootstrap "$first" "$first_rootfs" "$settings"
	else
		run_script bootstrap "$first" / "$settings"
	fi
}

# Those that run while the system of the volume does.
run_inside() {
	base_mode
	make_child chroot "root = $tree${nl}cwd = /${inner:+$nl}$inner" || cannot_build
	[ -z "$drop_admin" ] || set_property 'capabilities[SYS_ADMIN]' false || cannot_build
	make_child chroot/base "virt_mode = $mode${nl}cwd = /" || cannot_build
	put state start || { why state write; cannot_build; }
	settings='cwd = /'
	[ "$mode" = app ] || settings="cwd = /${nl}isolate = false"
	IFS=$nl
	for script in $inside; do
		IFS=" $tab$nl"
		run_script chroot/base/script "$script" "$tree" "$settings"
	done
	IFS=" $tab$nl"
	keep_run
}

# Booted, if it can be: else its scripts run all the same, without a system around them.
base_mode() {
	[ -z "$mode" ] || return 0
	mode=app
	[ -n "$inside" ] || return 0
	if ! [ -e "$tree/sbin/init" ] && ! [ -L "$tree/sbin/init" ]; then
		say 'there is no /sbin/init to boot: scripts run with virt_mode=app'
		return
	fi
	make_child probe '' || cannot_build
	if put virt_mode os; then
		mode=os
	else
		why virt_mode write
		say "virt_mode=os is not to be had here: $error_text; scripts run with virt_mode=app"
	fi
	put state destroy
}

stop_base() {
	find_ct "$outer/chroot/base"
	put state stop || { why state write; cannot_build; }
}

# Directories of a /run that is only there while containers run: packages count on them.
keep_run() {
	[ -n "$inside" ] || return 0
	found=$(mktemp) || return 0
	exec 5>"$found"
	rm -f "$found"
	if make_child chroot/base/script "command = find /run -xdev -type d${nl}cwd = /${nl}stdout_path = /dev/fd/5${nl}stderr_path = /dev/null" &&
		put state start && wait_end; then
		while IFS= read -r word; do
			keep_directory "$word"
		done </proc/self/fd/5
	fi
	exec 5>&-
	put state destroy
}

# Nothing runs that could change the tree meanwhile, but links may be in it.
keep_directory() {
	dir='' rest=${1#/}
	while [ -n "$rest" ]; do
		dir=$dir/${rest%%/*}
		case $rest in */*) rest=${rest#*/} ;; *) rest= ;; esac
		[ ! -L "$tree$dir" ] || return 0
		[ -e "$tree$dir" ] || mkdir -m 755 "$tree$dir" 2>/dev/null || return 0
	done
}

# ---- one script ----

# Makes the container $1 below the outer one with the lines $2 -> $ct
make_child() {
	find_ct "$outer/$1" || return
	find_part porto-mkdir
	"$part" "$ct" 2>/dev/null || { why_mkdir; return 1; }
	[ -z "$2" ] || put spec "$2" || { why spec write; return 1; }
}

# Runs the script $2 in the container $1, made unless it is there, with the lines $4; its root is $3. It is in the
# volume as porto_build: put there by rename, for what stood there may be a link to anywhere.
run_script() {
	script=$2
	copy=$(mktemp "$tree/porto_build.XXXXXX") && cat "$script" >"$copy" && chmod 755 "$copy" && mv -fT "$copy" "$tree/porto_build" ||
		cannot_build "$script can't be put into the volume"
	shell=/bin/bash
	[ -e "$3/bin/bash" ] || [ -L "$3/bin/bash" ] || shell=/bin/sh
	find_ct "$outer/$1"
	streams="stdin_path = /dev/fd/7${nl}stdout_path = /dev/fd/8${nl}stderr_path = /dev/fd/9"
	settings_now="$4${nl}command = $shell -ex porto_build$nl$streams"
	if [ -d "$ct" ]; then
		put spec "$settings_now" || { why spec write; cannot_build; }
	else
		make_child "$1" "$settings_now" || cannot_build
	fi
	put state start || { why state write; cannot_build; }
	wait_end || { why wait; cannot_build; }
	take_line "$ct/exit_code" || { why exit_code; cannot_build; }
	case $value in
	0) ;;
	-99) cannot_build "$script was killed for lack of memory" ;;
	-*) cannot_build "$script was killed by signal ${value#-}" ;;
	*) cannot_build "$script failed with exit code $value" ;;
	esac
	put state destroy
}

# ---- the outcome ----

export_all() {
	item=$vol item_name=$tree kind=volume not_found='13 VolumeNotFound'
	if [ -n "$to_archive" ]; then
		export_item "$to_archive" "$compress" "${to_archive##*/}" || cannot_build
	fi
	if [ -n "$to_squash" ]; then
		case $compress in *squashfs) ;; *) compress=squashfs ;; esac
		export_item "$to_squash" "$compress" "${to_squash##*/}" || cannot_build
	fi
	kind_layer
}

# The image is whole when its volume is gone.
finish_build() {
	find_ct "$outer"
	[ -z "$keep" ] || [ -n "$to_image" ] || exit 0
	saved_dir=$image_dir image_dir=
	undo
	if [ -n "$to_image" ]; then
		mv -nT "$saved_dir/loop.img" "$to_image" && [ ! -e "$saved_dir/loop.img" ] || die "$to_image can't be written; it is in $saved_dir"
		rmdir "$saved_dir"
	fi
	exit 0
}
