#!/usr/bin/env bats
# portoctl's commands for layers and storages, and roots made of them: layer, storage, -L of run and exec.
# Not in the guest, which is slow (`make check-vm` runs it there): a shell on files.
#
# shellcheck disable=SC2154 # run sets stderr
# shellcheck disable=SC2016 # meant for wait_for

bats_require_minimum_version 1.5.0
load helpers
load portoctl

setup_file() {
	test_begin
	make_archives
	mkdir "$FIXTURES/top"
	echo top >"$FIXTURES/top/file"
	tar -C "$FIXTURES/top" -cf "$FIXTURES/top.tar" .
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	cp "$FIXTURES"/*.tar* "$FIXTURES/base.tgz" .
}

teardown() {
	clean_up
}

# endless.tar: one file of zeros, that takes long, and no room here.
endless() {
	truncate -s 7G endless
	tar -cf - endless | head -c 512 >endless.tar
	truncate -s 7G endless.tar
}

# ---- layer ----

@test "quickstart: a layer, a volume on it, a container with that root, a file out of it" {
	local volume
	ctl 0 layer -I bookworm base.tar.zst
	ctl 0 vcreate -A layers=bookworm space_limit=100M backend=overlay
	volume=$output
	ctl 0 run a command='sh -c "cat /etc/os-release > /out"' root="$volume"
	ctl 0 wait a
	ctl 0 get a root_path
	[ "$(<"$output/out")" = small ]
	ctl 15 layer -R bookworm
	err_is "Can't remove layer: Busy:(layer bookworm: volume $volume uses it)"
	ctl 0 destroy a
	ctl 0 vunlink "$volume"
	ctl 0 layer -R bookworm
	layers_are
}

@test "quickstart: an archive into the file tarball, and out of it" {
	mkdir "$PORTO_ROOT/.layers/b2"
	cat base.tar.zst >"$PORTO_ROOT/.layers/b2/tarball"
	# shellcheck disable=SC2002 # a pipe is meant
	cat "$PORTO_ROOT/.layers/b2/tarball" | tar tf - >list
	grep -qx './bin/busybox' list
}

@test "layer -I: every format, by what is in it; a name only once" {
	local file
	for file in base.tar base.tar.gz base.tgz base.tar.zst; do
		ctl 0 layer -I "of-$file" "$file"
	done
	layers_are of-base.tar of-base.tar.gz of-base.tgz of-base.tar.zst
	ctl 18 layer -I of-base.tar base.tar
	err_is "Can't import layer: LayerAlreadyExists:(*)"
}

@test "layer -I: what can't be imported leaves no layer" {
	head -c 300000 base.tar.zst >cut.tar.zst
	echo nonsense >nonsense
	ctl 7 layer -I x cut.tar.zst
	err_is "Can't import layer: InvalidValue:(*)"
	ctl 7 layer -I x nonsense
	ctl 25 layer -I x nope.tar
	err_is "Can't import layer: InvalidPath:(archive nope.tar: no such file)"
	ctl 25 layer -I x .
	ctl 7 layer -I ../x base.tar
	ctl 7 layer -I _import_x base.tar
	ctl 7 layer -I list base.tar
	ctl 7 layer -c bz3 -I x base.tar
	ctl 4 layer -I x base.tar nope
	ctl 1 layer -I x
	layers_are
}

@test "layer -I LAYER ARCHIVE NAME: that container pays; it has to run" {
	ctl 0 run a command='sleep 1000'
	ctl 0 layer -I x base.tar a
	layers_are x
	ctl 0 stop a
	ctl 8 layer -I y base.tar a
	err_is "Can't import layer: InvalidState:(*)"
	layers_are x
}

@test "layer -S, -G: the private text" {
	ctl 0 layer -S 'first  text' -I x base.tar
	ctl 0 layer -G x
	out_is 'first  text'
	ctl 0 layer -S second x
	ctl 0 layer -G x
	out_is second
	ctl 19 layer -G nope
	err_is "Can't get private text: LayerNotFound:(*)"
	ctl 19 layer -S text nope
	ctl 0 layer -L -v
	[[ $output =~ ^x\ +owner\ root:root\ +used\ +[0-9]+s\ ago\ +private\ second$ ]]
}

@test "layer -M: over a layer that is there, or a new one" {
	ctl 0 layer -M x base.tar
	ctl 0 layer -M x top.tar
	ctl 0 vcreate -A layers=x
	[ "$(<"$output/file")" = top ]
	[ "$(<"$output/etc/os-release")" = small ]
	ctl 15 layer -M x top.tar
	err_is "Can't merge layer: Busy:(*)"
	ctl 7 layer -M y /bin/true
	layers_are x
}

@test "layer -E, -Q: what is above the layers of a volume" {
	local volume
	ctl 0 layer -I x base.tar
	ctl 0 vcreate -A layers=x
	volume=$output
	echo new >"$volume/new"
	rm "$volume/etc/os-release"
	ctl 0 layer -E "$volume" delta.tar.zst
	tar tf delta.tar.zst >list
	grep -qx ./new list
	! grep -q busybox list || fail 'the whole tree'
	ctl 0 layer -Q "$volume" delta.sq
	unsquashfs -l delta.sq | grep -qx squashfs-root/new
	ctl 0 layer -c tar.gz -E "$volume" delta
	gzip -t delta
	ctl 0 layer -E "$volume" short.zst
	zstd -qt short.zst
	ctl 7 layer -E "$volume" delta.tar.zst
	err_is "Can't export layer: *"
	ctl 13 layer -E "$PWD" other.tar
	[ ! -e other.tar ]
	ctl 0 layer -I y delta.tar.zst
	ctl 0 vcreate -A 'layers=y;x'
	[ ! -e "$output/etc/os-release" ]
	[ "$(<"$output/new")" = new ]
}

@test "layer -R, -F: removed one by one, or all that nobody uses" {
	ctl 0 layer -I x base.tar
	ctl 0 layer -I y top.tar
	ctl 0 layer -I z top.tar
	ctl 19 layer -R nope z
	err_is "Can't remove layer: LayerNotFound:(*)"
	layers_are x y
	ctl 0 layer -F 1
	layers_are x y
	ctl 0 vcreate -A layers=x
	ctl 0 layer -v -F # as Porto's: the status of the last one
	out_is $'x\ny'
	err_is "Can't remove layer: Busy:(*)"
	layers_are x
	ctl 15 layer -F # alone it is the last
	ctl 1 layer -F soon
}

@test "layer -P: in another place" {
	local place=$TEST_DIR/place-two
	mkdir -p "$place"
	ctl 0 layer -P "$place" -I x base.tar
	ctl 0 layer -P "$place" -L
	out_is x
	ctl 0 layer -L
	out_is ''
	[ -d "$place/porto_layers/x" ]
	ctl 0 vcreate -A place="$place" layers=x
	[ "$(<"$output/etc/os-release")" = small ]
	ctl 0 vunlink "$output"
	ctl 0 layer -P "$place" -R x
	wait_for "[ ! -e $place/porto_layers/x ]" # a place may be slow: its own thread takes it out
	ctl 25 layer -P place-two -I x base.tar
}

@test "layer, storage: a wrong number of arguments is told, and the usage, exit 1" {
	ctl 1 layer
	err_is $'portoctl layer: no action is given\nUsage: portoctl layer *'
	ctl 1 layer -X
	err_is $'portoctl layer: unknown option -X\nUsage: portoctl layer *'
	ctl 1 layer -I x
	err_is $'portoctl layer: -I wants LAYER ARCHIVE [[]NAME]\nUsage: portoctl layer *'
	ctl 1 layer -E x
	err_is $'portoctl layer: -E wants VOLUME ARCHIVE; VOLUME is a volume\'s path\nUsage: *'
	ctl 1 layer -Q x
	ctl 1 layer -M x
	ctl 1 layer -R
	err_is $'portoctl layer: -R wants LAYER...\n*'
	ctl 1 layer -G
	ctl 1 layer -S text
	ctl 1 layer -F 1 2
	ctl 1 layer -L x -v
	err_is $'portoctl layer: -L wants no arguments\nportoctl layer: options come before all other arguments: -v too\nUsage: *'
	local action
	for action in -I -E -M -R; do
		ctl 1 storage "$action"
		err_is "portoctl storage: $action wants NAME*"$'\nUsage: portoctl storage *'
	done
}

@test "layer: what is missing is named" {
	ctl 19 layer -R nosuch
	err_is "Can't remove layer: LayerNotFound:(there is no layer nosuch)"
	ctl 13 storage -R nosuch
	err_is "Can't remove storage: VolumeNotFound:(there is no storage nosuch)"
	ctl 13 storage -M -R nosuch
	err_is "Can't remove meta-storage: VolumeNotFound:(there is no meta-storage nosuch)"
	ctl 0 layer -I x base.tar
	ctl 13 layer -E x out.tar
	err_is "Can't export layer: VolumeNotFound:(no volume at $PWD/x: what is exported is what a volume has above its layers)"
	ctl 7 layer -R nosuch -P /tmp
	[[ $stderr == *$'\nportoctl layer: options come before all other arguments: -P too' ]]
}

@test "a signal ends an import, and no layer is there" {
	local signal code
	endless
	for signal in TERM:143 INT:130 HUP:129; do
		env --default-signal=INT "$PORTOCTL" layer -I x endless.tar 3>&- 2>said &
		wait_for '[ "$(cat "$PORTO_ROOT/.layers/x/state")" = importing ] || ! kill -0 $!'
		kill -s "${signal%:*}" $! || { cat said; fail 'it has ended already'; }
		code=0
		wait $! || code=$?
		[ "$code" -eq "${signal#*:}" ]
		layers_are
	done
	wait_for '[ -z "$(ls "$PLACE/porto_layers")" ]'
}

@test "a signal ends an export, and there is no archive" {
	local volume code=0
	ctl 0 vcreate -A backend=plain
	volume=$output
	truncate -s 20G "$volume/endless"
	mkdir out
	env --default-signal=INT "$PORTOCTL" layer -E "$volume" out/x.tar.gz 3>&- 2>/dev/null &
	wait_for '[ -n "$(cat "$PORTO_ROOT"/.volumes/*/progress)" ]'
	kill -s INT $!
	wait $! || code=$?
	[ "$code" -eq 130 ]
	wait_for '[ -z "$(ls -A out)" ]'
	ctl 0 vunlink "$volume"
}

@test "progress: on a terminal bytes, rate and time left; in a pipe nothing" {
	endless
	run -0 --separate-stderr "$PORTOCTL" layer -I x base.tar
	[ -z "$output$stderr" ]
	# shellcheck disable=SC2016 # for the shell in there
	env --default-signal=INT script -qefc 'echo $$ >pid; exec "$PORTOCTL" layer -I y endless.tar' told >/dev/null 3>&- &
	wait_for 'grep -qE "import of y: [0-9.]+[BKMG] of 7.0G, [0-9]+%, [0-9.]+[BKMG]/s, [0-9]+:[0-9][0-9] left" told'
	kill -s INT "$(<pid)"
	wait $! || :
	grep -q $'\r\e\\[KSc\\|\r\e\\[K$' told || fail "$(cat -v told)"
	layers_are x
}

# ---- storage ----

@test "storage: imported, listed, exported, removed" {
	local volume
	ctl 0 storage -S text -I data base.tar
	ctl 0 storage -L
	out_is data
	ctl 0 storage -E data out.tar.gz
	tar tzf out.tar.gz | grep -qx ./bin/busybox
	ctl 12 storage -I data base.tar
	err_is "Can't import storage: VolumeAlreadyExists:(*)"
	ctl 13 storage -E nope x.tar
	ctl 0 vcreate -A storage=data
	volume=$output
	[ "$(<"$volume/etc/os-release")" = small ]
	ctl 15 storage -R data
	err_is "Can't remove storage: Busy:(*)"
	ctl 0 vunlink "$volume"
	ctl 0 storage -I other top.tar
	ctl 0 storage -R data
	ctl 0 storage -F
	out_is 'remove other'
	ctl 0 storage -L
	out_is ''
	ctl 1 storage
}

@test "storage -M: parts in a meta-storage, which goes when it is empty" {
	ctl 0 storage -S text -M meta
	ctl 0 storage -I meta/x base.tar
	ctl 0 layer -I meta/l base.tar
	ctl 0 storage -L
	[[ ${lines[0]} == 'meta meta '*inode_used=* && ${lines[1]} == meta/x ]]
	ctl 0 layer -L
	out_is meta/l
	ctl 0 vcreate -A layers=meta/l storage=meta/x
	ctl 0 vunlink "$output"
	ctl 15 storage -M -R meta
	err_is "Can't remove meta-storage: Busy:(*)"
	ctl 0 storage -R meta/x
	ctl 0 layer -R meta/l
	ctl 0 storage -M -R meta
	ctl 0 storage -L
	out_is ''
	ctl 13 storage -M -r -Q 1G meta
	ctl 1 storage -M meta -Q 1G
}

@test "storage -M -Q: a limit holds or is refused" {
	run --separate-stderr "$PORTOCTL" storage -Q 100M -M meta
	if [ "$status" -eq 0 ]; then
		[ "$(<"$PORTO_ROOT/.storages/meta%/space_limit")" -eq 104857600 ]
		ctl 0 storage -M -r -Q 200M meta
		[ "$(<"$PORTO_ROOT/.storages/meta%/space_limit")" -eq 209715200 ]
	else
		[ "$status" -eq 9 ]
		err_is "Can't create meta-storage: NotSupported:(*)"
		[ ! -e "$PORTO_ROOT/.storages/meta%" ]
	fi
}

# ---- -L ----

@test "exec -L: an archive as root, gone afterwards with its volume" {
	ctl 3 exec -L base.tar.zst abc command='sh -c "cat /etc/os-release; pwd; exit 3"'
	out_is $'small\n/'
	err_is $'Importing layer base.tar.zst\nContainer exit code: 3'
	absent abc
	volumes_are
	layers_are
}

@test "exec -L: names, directories and archives, the top first, and more among the properties" {
	mkdir dir
	echo dir >dir/file
	echo dir >dir/dir
	ctl 0 layer -I base base.tar
	ctl 0 exec -L top.tar -L "$PWD/dir" abc command='cat file dir etc/os-release' layers=base
	out_is $'top\ndir\nsmall'
	ctl 0 exec -L base abc command='sh -c "echo x > /file; cat /file"' space_limit=50M
	out_is x
	layers_are base
	volumes_are
	[ "$(ls dir)" = $'dir\nfile' ]
}

@test "exec -C -L: container and volume stay" {
	ctl 0 layer -I base base.tar
	ctl 0 exec -C -L base a command=true
	prop_is a state dead
	ctl 0 get a root_path
	volumes_are "$output"
	ctl 0 destroy a
	volumes_are
}

@test "run -L: the volume lives as long as the container, weak layers as long as the volume" {
	ctl 0 run -L base.tar a command='sleep 1000' space_limit=50M private=mine
	err_is 'Importing layer base.tar'
	ctl 0 get a root
	volumes_are "$output"
	prop_is a cwd /
	prop_is a private mine
	ctl 0 vlist -v
	[[ $output == *'private              = mine'* && $output == *'containers           = a'* ]]
	[[ $(cut -f 1 "$PORTO_ROOT/.layers/list") == _weak_portoctl-*-1-base.tar ]]
	ctl 0 destroy a
	wait_for '[ -z "$(<"$PORTO_ROOT/.volumes/list")" ] && [ -z "$(<"$PORTO_ROOT/.layers/list")" ]'
}

@test "run, exec: a volume without layers where its properties are given" {
	ctl 0 run a command='' space_limit=40M backend=tmpfs cwd=/etc
	ctl 0 vlist -v
	[[ $output == *'space_limit          = 40M'* ]]
	prop_is a cwd /etc
}

@test "-L: on an error nothing is left" {
	ctl 0 layer -I base base.tar
	ctl 1 run -L nope a command=true
	err_is 'Cannot start container: LayerNotFound:(layer nope not found*'
	ctl 1 run -L top.tar -L base a command=true comand=x
	err_is $'Importing layer top.tar\nCannot start container: InvalidProperty:(*'
	ctl 1 exec -L top.tar -L base a command=nothing-such
	err_is $'Importing layer top.tar\nCannot start container: InvalidCommand:(*'
	ctl 1 exec -L /bin/true a command=true
	err_is $'Importing layer /bin/true\nCannot start container: InvalidValue:(*'
	ctl 1 run -L base a command=true backend=nonsense
	absent a
	wait_for '[ -z "$(<"$PORTO_ROOT/.volumes/list")" ]'
	wait_for '[ "$(cut -f 1 "$PORTO_ROOT/.layers/list")" = base ]'
}

@test "exec -L: a signal takes everything away" {
	local signal code
	for signal in TERM:143 INT:130; do
		env --default-signal=INT "$PORTOCTL" exec -L base.tar a command='sleep 1000' 3>&- 2>/dev/null &
		state_is a running
		kill -s "${signal%:*}" $!
		code=0
		wait $! || code=$?
		[ "$code" -eq "${signal#*:}" ]
		absent a
		wait_for '[ -z "$(<"$PORTO_ROOT/.volumes/list")$(<"$PORTO_ROOT/.layers/list")" ]'
	done
}

@test "exec -L: when portoctl is killed all goes with it" {
	"$PORTOCTL" exec -L base.tar a command='sleep 1000' 3>&- 2>/dev/null &
	state_is a running
	kill -9 $!
	wait_for '! [ -e "$PORTO_ROOT/a/state" ] && [ -z "$(<"$PORTO_ROOT/.volumes/list")$(<"$PORTO_ROOT/.layers/list")" ]'
}

@test "other shells" {
	local shell
	for shell in 'busybox sh' 'bash --posix' dash; do
		command -v "${shell%% *}" >/dev/null || continue
		# shellcheck disable=SC2086 # a command and its option
		run -5 --separate-stderr $shell "$PORTOCTL" exec -L base.tar a command='sh -c "echo x; exit 5"'
		out_is x
		# shellcheck disable=SC2086
		run -0 $shell "$PORTOCTL" layer -I "of-${shell%% *}" top.tar
	done
}

@test "exec -L: an unprivileged user either gets it or a sentence, and nothing is left" {
	chmod 755 "$BATS_TEST_TMPDIR"
	run --separate-stderr as daemon "$PORTOCTL" exec -L "$PWD/base.tar" u command='cat /etc/os-release'
	echo "$status $output $stderr"
	if [ "$status" -eq 0 ]; then
		out_is small
	else
		[ "$status" -eq 1 ]
		err_is "*Cannot start container: "*
	fi
	absent u
	run -1 --separate-stderr outsider daemon "$PORTOCTL" exec -L "$PWD/base.tar" u command=true
	err_is 'Cannot start container: Permission:(*)'
	wait_for '[ -z "$(<"$PORTO_ROOT/.volumes/list")$(<"$PORTO_ROOT/.layers/list")" ]'
}
