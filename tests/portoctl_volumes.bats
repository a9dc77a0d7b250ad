#!/usr/bin/env bats
# portoctl's commands for volumes: vcreate vlink vunlink vlist vtune vcheck pcleanup.
# Not in the guest, which is slow (`make check-vm` runs it there): a shell on files.
#
# shellcheck disable=SC2154 # run sets stderr

bats_require_minimum_version 1.5.0
load helpers
load portoctl

setup() {
	cd "$BATS_TEST_TMPDIR" || return
}

teardown() {
	clean_up
}

# The cell of column $2, from 1 on, in the table's only row.
cell() {
	awk -v n="$1" 'NR == 2 { print $n }' <<<"$output"
}

@test "quickstart: a volume in a directory, listed with its properties, unlinked" {
	mkdir volume
	ctl 0 vcreate "$PWD/volume" space_limit=1G
	out_is ''
	echo text >volume/file
	ctl 0 vlist -v "$PWD/volume"
	[ "${lines[0]}" = "$PWD/volume" ]
	[[ $output == *$'\n  space_limit          = 1G\n'* && $output == *$'\n  state                = ready\n'* ]]
	ctl 0 vunlink "$PWD/volume"
	volumes_are
	[ ! -e volume/file ]
	rmdir volume
}

@test "quickstart: a volume whose path is chosen" {
	ctl 0 vcreate -A space_limit=1G
	[[ $output == "$PLACE/porto_volumes/"*/volume && -d $output ]]
	ctl 0 vunlink "$output"
	volumes_are
}

@test "vcreate: relative paths are made absolute and normal; a word without = is an empty value" {
	mkdir volume
	ctl 0 vcreate ./x/..//volume/ backend=plain private
	volumes_are "$PWD/volume"
	ctl 12 vcreate volume backend=plain
	err_is "Can't create volume: VolumeAlreadyExists:(*)"
}

@test "vcreate: what is refused leaves with the number of its kind, and no volume" {
	ctl 25 vcreate "$PWD/nope"
	err_is "Can't create volume: InvalidPath:(*)"
	ctl 25 vcreate /etc
	ctl 9 vcreate -A backend=nonsense
	ctl 5 vcreate -A nonsense=1
	err_is "Can't create volume: InvalidProperty:(*)"
	ctl 5 vcreate -A '../x=1'
	ctl 7 vcreate -A space_limit=much
	ctl 5 vcreate -A backend=bind
	ctl 1 vcreate
	volumes_are
}

@test "vcreate: a value goes through as it is" {
	ctl 0 vcreate -A backend=plain private=$'a  \\n b\nc = d'
	[ "$(cat "$PORTO_ROOT"/.volumes/*/private)" = $'a  \\n b\nc = d' ]
}

@test "vlink, vunlink: links to containers, with targets, read-only; the last one ends the volume" {
	local volume
	ctl 0 vcreate -A backend=plain
	volume=$output
	mkdir "$PWD/there" "$PWD/ro"
	ctl 0 create a
	ctl 0 vlink "$volume" a
	ctl 16 vlink "$volume" a
	err_is "Can't link volume: VolumeAlreadyLinked:(*)"
	ctl 0 vlink "$volume" a "$PWD/there"
	ctl 0 vlink "$volume" a "$PWD/ro" ro
	echo text >"$volume/file"
	[ "$(<there/file)" = text ]
	! touch ro/file 2>/dev/null || fail 'written through a read-only link'
	ctl 0 vlist
	[[ $output == *" /;a;a $PWD/there;a $PWD/ro ro" ]] || fail "$output"
	ctl 0 vunlink "$volume" a "$PWD/there"
	[ ! -e there/file ]
	ctl 17 vunlink "$volume" a "$PWD/there"
	err_is "Can't unlink volume: VolumeNotLinked:(volume $volume is not linked to a at $PWD/there)"
	ctl 0 vunlink "$volume" a '***'
	[ ! -e ro/file ]
	[ -e "$volume/file" ]
	ctl 0 create b
	ctl 17 vunlink "$volume" b
	err_is "Can't unlink volume: VolumeNotLinked:(volume $volume is not linked to b)"
	ctl 4 vlink "$volume" nope
	err_is "Can't link volume: ContainerDoesNotExist:(*)"
	ctl 25 vlink "$volume" a relative
	ctl 13 vlink "$PWD/there" a
	ctl 0 vunlink "$volume"
	volumes_are
	ctl 13 vunlink "$volume"
	err_is "Can't unlink volume: VolumeNotFound:(*)"
}

@test "vlink -R: the container has to have the volume" {
	ctl 0 create a
	ctl 0 vcreate -A backend=plain
	ctl 0 vlink -R "$output" a "$PWD/there"
	[ "$(prop a volumes_required)" = "$PWD/there" ]
}

@test "vunlink -A: all links at once; -S: not while it is in use" {
	local volume
	ctl 0 vcreate -A backend=plain
	volume=$output
	ctl 0 create a
	ctl 0 vlink "$volume" a
	ctl 15 vunlink -S "$volume"
	err_is "Can't unlink volume: Busy:(volume $volume has 2 links)"
	ctl 0 vunlink -A "$volume"
	volumes_are
	ctl 0 vcreate -A backend=plain
	ctl 0 vlink "$output" a
	ctl 0 vunlink "$(cut -f 1 "$PORTO_ROOT/.volumes/list")" '***'
	volumes_are
}

@test "vunlink: of two at once one does it, and the other finds no volume" {
	local volume first second
	for _ in 1 2 3 4 5; do
		ctl 0 vcreate -A backend=plain
		volume=$output first=0 second=0
		"$PORTOCTL" vunlink "$volume" 2>"$BATS_TEST_TMPDIR/first" &
		"$PORTOCTL" vunlink "$volume" 2>"$BATS_TEST_TMPDIR/second" || second=$?
		wait "$!" || first=$?
		[[ "$first $second" == @(0 13|13 0) ]] || fail "$first: $(<"$BATS_TEST_TMPDIR/first") $second: $(<"$BATS_TEST_TMPDIR/second")"
	done
	volumes_are
}

@test "vcreate: a limit in which nothing fits is refused with a sentence of ours" {
	ctl 7 vcreate -A backend=loop space_limit=1K
	err_is "Can't create volume: InvalidValue:(space_limit: no file system fits in 1024 bytes: 1M is enough)"
	ctl 0 vcreate -A backend=loop space_limit=1M
	ctl 0 vunlink "$output"
}

@test "vlist: a table, inodes, paths; by path and by mask" {
	mkdir one two
	ctl 0 vlist
	[[ $output =~ ^Volume\ +ID\ +Backend\ +Storage\ +Image\ +Limit\ +Used\ +Avail\ +Use%\ +Containers$ ]]
	ctl 0 vcreate one space_limit=100M backend=tmpfs
	ctl 0 vlist
	[[ "$(cell 1) $(cell 3) $(cell 4) $(cell 5) $(cell 6)" == "$PWD/one tmpfs - <none> 100M" ]] || fail "$output"
	[[ $(cell 9) == *% && $(cell 10) == / ]]
	ctl 0 vlist -i
	[[ $(cell 7) =~ ^[0-9]+$ && $(cell 8) =~ ^[0-9]+$ ]]
	ctl 0 vcreate two backend=plain
	ctl 0 vlist -1
	out_is "$PWD/one"$'\n'"$PWD/two"
	ctl 0 vlist -1 two
	out_is "$PWD/two"
	ctl 0 vlist -1 "$PWD/o*"
	out_is "$PWD/one"
	ctl 0 vlist -1 '*/x*'
	out_is ''
	ctl 1 vlist -1 "$PWD/three" one
	out_is "$PWD/one"
	err_is "Can't list volumes: VolumeNotFound:(no volume at $PWD/three)"
}

@test "vlist -c: volumes below the root of a container" {
	small_root "$PWD/root"
	mkdir root/inside outside
	ctl 0 create a
	ctl 0 set a root "$PWD/root"
	ctl 0 vcreate root/inside backend=plain
	ctl 0 vcreate outside backend=plain
	ctl 0 vlist -1 -c a
	out_is "$PWD/root/inside"
	ctl 4 vlist -c nope
	err_is "Can't list volumes: ContainerDoesNotExist:(*)"
}

@test "vtune: other limits for a volume that is there; nothing else" {
	ctl 0 vcreate -A space_limit=50M backend=tmpfs
	local volume=$output
	ctl 0 vtune "$volume" space_limit=80M
	ctl 0 vlist
	[ "$(cell 6)" = 80M ]
	ctl 5 vtune "$volume" backend=plain
	err_is "Can't tune volume: InvalidProperty:(*)"
	ctl 13 vtune "$PWD" space_limit=1G
	ctl 0 vtune "$volume"
}

@test "vcheck: nothing to update, or refused with a sentence" {
	ctl 0 vcreate -A space_limit=50M backend=tmpfs
	ctl 0 vcheck "$output"
	out_is 'Nothing to update'
	ctl 13 vcheck "$PWD"
	err_is "Can't check volume: VolumeNotFound:(*)"
}

@test "pcleanup: junk goes, and what is in use stays" {
	ctl 0 vcreate -A backend=plain
	local volume=$output
	touch "$volume/file"
	mkdir -p "$PLACE/porto_volumes/junk/plain" "$PLACE/porto_layers/_import_x"
	ctl 0 pcleanup "$PLACE"
	[ -e "$volume/file" ]
	[ ! -e "$PLACE/porto_volumes/junk" ]
	[ ! -e "$PLACE/porto_layers/_import_x" ]
}

@test "pcleanup: of what is no place it is refused" {
	mkdir data
	ctl 25 pcleanup data
	err_is "Can't clean up place: InvalidPath:(cleanup: $PWD/data is no place: *)"
	ctl 25 pcleanup nope
	mkdir data/porto_layers data/porto_layers/_import_x
	ctl 0 pcleanup data
	[ ! -e data/porto_layers/_import_x ]
}

@test "a wrong number of arguments, or an option too late: told, with the usage of the command" {
	local command
	for command in vcreate vlink vunlink vtune vcheck pcleanup; do
		ctl 1 "$command"
		err_is "Usage: portoctl $command *"
	done
	for command in vcheck pcleanup; do
		ctl 1 "$command" a b
		err_is "Usage: portoctl $command *"
	done
	ctl 1 vlink a b c d e
	ctl 1 vunlink a b c d
	ctl 1 vlist -x
	err_is $'portoctl vlist: unknown option -x\nUsage: portoctl vlist *'
	ctl 1 vlist "$PWD" -v
	[[ $stderr == *'portoctl vlist: options come before all other arguments: -v too' ]]
	ctl 5 vcreate "$PWD" -A
	[[ $stderr == *'portoctl vcreate: options come before all other arguments: -A too' ]]
	ctl 0 help vlist
	[[ $output == *'once a minute'* ]]
}

@test "paths that no file's name can hold are found all the same" {
	local dir
	dir=$PWD/with%percent/and%2f/$(printf "long%.0s" {1..50})
	mkdir -p "$dir"
	ctl 0 vcreate "$dir" backend=plain
	ctl 0 vlist -1 "$dir"
	out_is "$dir"
	ctl 0 vunlink "$dir"
	volumes_are
}

@test "an unprivileged user of the group makes volumes; others can't touch them" {
	local volume
	run -0 --separate-stderr as daemon "$PORTOCTL" vcreate -A backend=plain
	volume=$output
	[ "$(stat -c %U "$volume")" = daemon ]
	run -11 --separate-stderr as games "$PORTOCTL" vunlink "$volume"
	err_is "Can't unlink volume: Permission:(*)"
	run -11 --separate-stderr as games "$PORTOCTL" vtune "$volume" space_limit=1G
	run -11 --separate-stderr outsider games "$PORTOCTL" vcreate -A
	err_is "Can't create volume: Permission:(*)"
	run -0 as daemon "$PORTOCTL" vunlink "$volume"
	volumes_are
}

@test "other shells" {
	local shell
	for shell in 'busybox sh' 'bash --posix' dash; do
		command -v "${shell%% *}" >/dev/null || continue
		# shellcheck disable=SC2086 # a command and its option
		run -0 --separate-stderr $shell "$PORTOCTL" vcreate -A backend=plain "private=a b"
		# shellcheck disable=SC2086
		run -0 $shell "$PORTOCTL" vunlink "$output"
	done
	volumes_are
}
