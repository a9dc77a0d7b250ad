# shellcheck shell=sh
# lib/rootfs.sh: the volume that a launch gives its container as root, made of layers and archives; for run, exec,
# docker-run and build. Read by portoctl, whose functions it uses.
#
# The caller's traps call drop_rootfs, and wait for $stage to be other than making: see launch.sh.
#
# shellcheck disable=SC2154 # variables of portoctl, launch.sh, layers.sh
# shellcheck disable=SC2034 # variables for layers.sh
# shellcheck disable=SC2015 # A && B || C: C is meant for either failure

use layers
kind_layer
own_traps=1 imported='' imports=0 place='' private='' private_given='' compression='' made='' writer='' rootfs=''

# What $1 stands for among layers -> $layer: a name that is known, a directory, or an archive, which is imported to be
# gone with its last user.
resolve_layer() {
	layer=$1
	if find_item "$1" && [ -d "$item" ]; then
		return
	elif [ -d "$1" ]; then
		absolute_path "$1"
		layer=$path
	elif [ -f "$1" ]; then
		imports=$((imports + 1))
		layer=_weak_portoctl-$$-$imports-$(printf %.80s "${1##*/}" | LC_ALL=C tr -c 'A-Za-z0-9_.@:-' _)
		printf 'Importing layer %s\n' "$1" >&2
		imported="$imported $layer"
		import_item "$layer" "$1"
	else
		kind_error "$not_found" "layer $1 not found: no layer of that name, no file, no directory"
	fi
}

# A list a;b;c of such -> $resolved
resolve_layers() {
	resolved='' unresolved=$1
	while [ -n "$unresolved" ]; do
		part=${unresolved%%;*}
		case $unresolved in *';'*) unresolved=${unresolved#*;} ;; *) unresolved= ;; esac
		[ -n "$part" ] || continue
		resolve_layer "$part" || return
		resolved=$resolved${resolved:+;}$layer
	done
}

# Makes the volume with the properties in $lines and those words that are a volume's, linked to container $1 alone, whose
# end is its own -> $path, $rootfs. $layers is what came by -L.
make_rootfs() {
	owner=$1 backend='' limited=
	shift
	for word; do
		case $word in
		layers=*) layers=$layers${layers:+;}${word#*=} ;;
		backend=*) backend=${word#*=} ;;
		space_limit=* | inode_limit=*) limited=1 && volume_lines "$word" ;;
		storage=*) volume_lines "$word" ;;
		private=*) volume_lines "$word" ;;
		place=*)
			# A policy of places: the first is the default.
			place=${word#*=}
			place=${place%%;*}
			case $place in *'*'*) place= ;; ?*) volume_lines "place=$place" ;; esac
			;;
		esac || return
	done
	resolve_layers "$layers" || return
	layers=$resolved
	[ -z "$layers" ] || volume_lines "layers=$layers" || return
	[ -z "$volume_image" ] || volume_lines "image=$volume_image" || return
	volume_lines "containers=$owner" || return
	if [ -z "$backend$merge" ]; then
		[ -z "$layers$volume_image" ] || backend=overlay
		build_rootfs "$backend"
	elif [ -n "$backend" ]; then
		build_rootfs "$backend"
	else
		# Into one tree: native, which can't keep a limit where there is no project quota.
		build_rootfs native && return
		[ "$error_number" = 9 ] || return
		case $limited in 1) build_rootfs loop ;; *) build_rootfs plain ;; esac
	fi
}

build_rootfs() {
	kept=$lines
	[ -z "$1" ] || volume_lines "backend=$1" || return
	stage=making
	make_volume
	made_it=$?
	stage=made
	lines=$kept
	[ -z "$number" ] || rootfs=$volumes/$number
	[ -z "$caught" ] || interrupted "$caught"
	return "$made_it"
}

# After the container was told to go: the volume goes with it, and the imported layers with that. Waits for it.
drop_rootfs() {
	stop_request
	tries=0
	if [ -n "$rootfs" ]; then
		while [ -d "$rootfs" ] && [ $((tries += 1)) -le 600 ]; do sleep 0.05; done
	fi
	# It is out of the tree a little earlier than it lets the layers go.
	for layer in $imported; do
		find_item "$layer" || continue
		until rmdir "$item" 2>/dev/null || ! [ -d "$item" ]; do
			[ $((tries += 1)) -le 600 ] || break
			sleep 0.05
		done
	done
	[ -z "${image_dir-}" ] || rm -rf "$image_dir" # of build
	rootfs='' imported=
}
