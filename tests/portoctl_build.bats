#!/usr/bin/env bats
# portoctl build: layers out of layers and scripts, as archives, images, all in one.
# Not in the guest, which is slow (`make check-vm` runs it there): a shell on files.
#
# shellcheck disable=SC2154 # run sets stderr
# shellcheck disable=SC2016 # meant for scripts and for wait_for

bats_require_minimum_version 1.5.0
load net # scripts without a network of their own get one behind NAT
load portoctl

setup_file() {
	net_begin
	make_archives
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	cp "$FIXTURES"/base.* .
	echo 'mkdir -p /opt/new; echo installed >/opt/new/thing; rm /etc/os-release; touch /tmp/rest; pwd' >install.sh
	echo 'rm -r /tmp/rest; cat /opt/new/thing' >cleanup.sh
}

teardown() {
	clean_up
}

# names ARCHIVE: what is in it, without the ends of directories.
names() {
	tar tf "$1" | sed 's|^\./||; s|/$||' | LC_ALL=C sort
}

# Nothing is left of a build but what it was for.
no_rest() {
	wait_for '[ -z "$(<"$PORTO_ROOT/.volumes/list")$(ct_names)" ]' || fail "$(<"$PORTO_ROOT/.volumes/list") $(ct_names)"
	wait_for '! grep -q ^_weak_ "$PORTO_ROOT/.layers/list"' || fail "$(<"$PORTO_ROOT/.layers/list")"
	[ -z "$(find . -name '.portoctl-build*')" ]
}

@test "quickstart: a delta from scripts, all in one, an image" {
	ctl 0 build -L base.tar.zst -S install.sh -S cleanup.sh -o delta.tar.zst net=inherited
	out_is $'/\ninstalled'
	[[ $stderr == *'+ mkdir -p /opt/new'* ]]
	no_rest
	run -0 names delta.tar.zst
	[[ $'\n'$output$'\n' == *$'\netc/os-release\n'*$'\nopt/new/thing\n'* && $output != *busybox* && $output != *porto_build* ]]
	tar tvf delta.tar.zst | grep -qE '^c.* 0,0 .*etc/os-release$'

	ctl 0 build -M -L delta.tar.zst -L base.tar.zst -o whole.tar.zst
	no_rest
	run -0 names whole.tar.zst
	[[ $output == *bin/busybox* && $output == *opt/new/thing* && $output != *os-release* ]] || fail "$output"

	ctl 0 build -L base.tgz -O image.img space_limit=100M
	no_rest
	[ "$(stat -c %s image.img)" -eq 104857600 ]
	[ "$(debugfs -R 'cat /etc/os-release' image.img 2>/dev/null)" = small ]
	ctl 0 vcreate -A storage="$PWD/image.img" backend=loop read_only=true
	[ -x "$output/bin/busybox" ]
}

@test "quickstart: bootstrap layer, base layer, names that end in .zst only" {
	cat >bootstrap.sh <<-'END'
		mkdir -p bin etc sbin tmp
		cp -a /bin/busybox bin/
		for name in sh mkdir rm touch cat cp ln; do ln -s busybox bin/$name; done
		echo bootstrapped >etc/os-release
		pwd
	END
	ctl 0 build -B bootstrap.sh -o bootstrap.zst net=inherited
	[[ $output == "$PLACE/porto_volumes/"*/volume ]]
	no_rest
	ctl 0 layer -I bootstrap bootstrap.zst
	ctl 0 build -l bootstrap -B bootstrap.sh -S install.sh -S cleanup.sh -o base.zst net=inherited
	no_rest
	run -0 names base.zst
	[[ $output == *bin/busybox* && $output == *opt/new/thing* && $output != *os-release* ]] || fail "$output"
}

@test "build -b: chrooted into what -B made; -s: after all of -S" {
	echo 'mkdir bin etc; cp /bin/busybox bin/; ln -s busybox bin/sh; ln -s busybox bin/cat; ln -s busybox bin/ls' >first.sh
	echo 'ls /' >second.sh
	echo 'cat /etc/order; echo s >>/etc/order' >last.sh
	echo 'echo S >>/etc/order' >inside.sh
	ctl 0 build -B first.sh -b second.sh -s last.sh -S inside.sh -o out.tar
	[[ $output == *bin*etc*S ]] || fail "$output"
	[ "$(tar xOf out.tar ./etc/order)" = $'S\ns' ]
}

@test "build -Q: a squashfs image; -c: the compression of an archive" {
	ctl 0 build -L base.tar -S install.sh -Q delta.squashfs
	unsquashfs -l delta.squashfs | grep -qx squashfs-root/opt/new/thing
	ctl 0 build -L base.tar -S install.sh -c tar.gz -o delta
	gzip -t delta
	no_rest
}

@test "build: a script that fails ends it with exit 1, and nothing is left" {
	echo 'echo before; exit 7; echo after' >bad.sh
	echo 'kill -9 $$' >killed.sh
	ctl 1 build -L base.tar -S install.sh -S bad.sh -S cleanup.sh -o out.tar
	out_is $'/\nbefore'
	[[ $stderr == *"Cannot build: $PWD/bad.sh failed with exit code 7" ]]
	no_rest
	ctl 1 build -L base.tar -S killed.sh -o out.tar
	[[ $stderr == *"Cannot build: $PWD/killed.sh was killed by signal 9" ]]
	no_rest
	ctl 1 build -L base.tar -O out.tar -S bad.sh space_limit=50M
	ctl 1 build -L nope -o out.tar
	ctl 1 build -L base.tar -o out.tar nonsense=1
	[ ! -e out.tar ]
	no_rest
}

@test "build: what can't be is refused before anything is made" {
	touch there.tar
	ctl 1 build -L base.tar
	err_is $'portoctl build: one of -o, -O and -Q is needed\nUsage: portoctl build *'
	ctl 1 build -L base.tar -o there.tar
	err_is 'Output file there.tar already exists'
	ctl 1 build -L base.tar -o nope/out.tar
	ctl 1 build -L base.tar -S nope.sh -o out.tar
	err_is 'There is no script nope.sh'
	ctl 1 build -L base.tar -O out.img
	err_is '-O needs space_limit='
	ctl 1 build -L base.tar -o out.tar word
	ctl 1 build -S -S cleanup.sh -o out.tar
	layers_are
}

@test "build: what it can't have it says once" {
	ctl 0 build -L base.tar -S install.sh -S cleanup.sh -o out.tar
	[[ $stderr == *'portoctl build: there is no /sbin/init to boot: scripts run with virt_mode=app'* ]]
	[ "$(grep -c 'virt_mode=app' <<<"$stderr")" -eq 1 ]
	ctl 0 build -L base.tar -S install.sh -S cleanup.sh -o out2.tar virt_mode=app net=inherited
	[[ $stderr != *'portoctl build:'* ]]
}

@test "build: directories of /run stay, links in it lead nowhere" {
	mkdir host
	cat >run.sh <<-END
		mkdir -p /run/service/sub
		ln -s $PWD/host /run/link
	END
	ctl 0 build -L base.tar -S run.sh -o out.tar
	run -0 names out.tar
	[[ $output == *run/service/sub* ]]
	[ -z "$(ls host)" ]
}

@test "build: a link in the place of the script is not followed" {
	echo precious >precious
	mkdir evil
	ln -s "$PWD/precious" evil/porto_build
	tar -C evil -cf evil.tar .
	ctl 0 build -L evil.tar -L base.tar -S install.sh -o out.tar
	[ "$(<precious)" = precious ]
}

@test "build -k: container and volume stay" {
	ctl 0 build -k -L base.tar -S install.sh -o out.tar
	[[ $(ct_names) == portoctl-build-* ]]
	[ -n "$(<"$PORTO_ROOT/.volumes/list")" ]
}

@test "build: a signal takes everything away" {
	local code=0
	echo 'echo >/started; sleep 1000' >long.sh
	env --default-signal=INT "$PORTOCTL" build -L base.tar -S long.sh -o out.tar 3>&- 2>/dev/null &
	wait_for '[ -e "$(cut -f 1 "$PORTO_ROOT/.volumes/list")/started" ]'
	kill -s INT $!
	wait $! || code=$?
	[ "$code" -eq 130 ]
	no_rest
	[ ! -e out.tar ]
}

@test "other shells" {
	local shell
	for shell in 'busybox sh' 'bash --posix' dash; do
		command -v "${shell%% *}" >/dev/null || continue
		rm -f out.tar
		# shellcheck disable=SC2086 # a command and its option
		run -0 --separate-stderr $shell "$PORTOCTL" build -L base.tar -S install.sh -s cleanup.sh -o out.tar space_limit=50M
		out_is $'/\ninstalled'
		names out.tar | grep -qx opt/new/thing
	done
}

@test "build -B: what builds a system makes devices and uses them, with and without layers below" {
	printf '#!/bin/sh\nset -e\nmkdir dev\nmknod -m 666 dev/null c 1 3\necho x > dev/null\n' >boot.sh
	"$PORTOCTL" build -B boot.sh -o boot.tar net=inherited
	tar tf boot.tar | grep -qx ./dev/null
	printf '#!/bin/sh\nset -e\nmkdir made\ncd made\nmknod -m 666 null c 1 3\necho x > null\n' >boot.sh
	"$PORTOCTL" layer -I boot-base base.tar
	"$PORTOCTL" build -l boot-base -B boot.sh -o boot2.tar net=inherited
	"$PORTOCTL" layer -R boot-base
	tar tf boot2.tar | grep -qx ./made/null
}

@test "a child of a container with a root of its own starts in that root" {
	"$PORTOCTL" layer -I child-base base.tar
	"$PORTOCTL" run -L child-base live command='sleep 1000'
	"$PORTOCTL" exec live/child command=true
	"$PORTOCTL" destroy live
	"$PORTOCTL" layer -R child-base
}
