# tests/root.bash: directories that can be roots, for the files that need one.
# shellcheck shell=bash disable=SC2034 # output is for the test

# root_make DIR [NAME...]: busybox under its usual names and those given.
root_make() {
	local dir=$1 name
	shift
	mkdir -p "$dir"/{bin,sbin,etc,tmp,root,proc,sys,dev,run/kept/deep,mnt} && chmod 1777 "$dir/tmp" && chmod 2750 "$dir/run/kept" || return
	cp "$(command -v busybox)" "$dir/bin/busybox" || return
	for name in cat chroot cp df echo grep hostname id ls ln mkdir mknod mount ps pwd readlink rm seq sh sleep stat touch true umount unshare wc "$@"; do
		ln -sf busybox "$dir/bin/$name"
	done
}

# sh_in NAME SCRIPT [PROPERTY=VALUE...]: runs it in a new container to its end; what it printed is in $output.
sh_in() {
	local name=$1 script=$2
	shift 2
	ct_run "$name" command_argv=$'sh\t-c\t'"$script" "$@" || return
	output=$(prop "$name" stdout; prop "$name" stderr)
	ct_destroy "$name"
}

# in_ct NAME SCRIPT: the same in a container that runs, by a process beside its own.
in_ct() {
	sh_in "$1/probe" "$2" isolate=false
}

# debian_make: a Debian with systemd, crun and iproute2 in $DEBIAN, once for all; tests/run calls it, as it takes longer than a test may.
debian_make() {
	DEBIAN=${PORTO_TEST_DEBIAN:-${TMPDIR:-/tmp}/porto-os-bookworm}
	[ ! -e "$DEBIAN/usr/lib/systemd/systemd" ] || return 0
	command -v debootstrap >/dev/null || return
	(
		flock 9
		[ ! -e "$DEBIAN/usr/lib/systemd/systemd" ] || exit 0
		rm -rf "$DEBIAN.part"
		timeout 400 debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,crun,iproute2 bookworm "$DEBIAN.part" &&
			mv "$DEBIAN.part" "$DEBIAN"
	) 9>"$DEBIAN.lock" >&2
}

# The test is skipped where there is none.
need_debian() {
	DEBIAN=${PORTO_TEST_DEBIAN:-${TMPDIR:-/tmp}/porto-os-bookworm}
	[ -e "$DEBIAN/usr/lib/systemd/systemd" ] || skip 'no Debian tree: debootstrap is missing, or reached no mirror'
}
