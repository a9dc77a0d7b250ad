# tests/portoctl.bash: for the files that try the commands of portoctl: `load portoctl` after `load helpers`.
# shellcheck shell=bash disable=SC2154,SC2016 # run sets output and stderr; wait_for evaluates its condition

# ctl CODE ARGUMENT...: portoctl leaves with that code; $output and $stderr are what it printed.
ctl() {
	local code=$1
	shift
	run "-$code" --separate-stderr timeout "$((60 * PORTO_SLOW))" "$PORTOCTL" "$@" </dev/null
}

out_is() {
	[ "$output" = "$1" ] || fail "printed '$output', expected '$1' (stderr: '$stderr')"
}

err_is() {
	# shellcheck disable=SC2053 # a pattern
	[[ $stderr == $1 ]] || fail "stderr is '$stderr', expected '$1'"
}

absent() {
	[ ! -e "$PORTO_ROOT/$1/state" ] || fail "$1 is still there"
}

# volumes_are PATH...: these and no others.
volumes_are() {
	local want
	want=$(printf '%s\n' "$@" | sort)
	[ "$(cut -f 1 "$PORTO_ROOT/.volumes/list" | sort)" = "$want" ] || fail "volumes: $(cut -f 1 "$PORTO_ROOT/.volumes/list")"
}

layers_are() {
	local want
	want=$(printf '%s\n' "$@" | sort)
	[ "$(cut -f 1 "$PORTO_ROOT/.layers/list" | sort)" = "$want" ] || fail "layers: $(cut -f 1 "$PORTO_ROOT/.layers/list")"
}

# Everything that a test may have left: containers, then volumes, layers, storages.
clean_up() {
	local path rc=0
	destroy_all || rc=1
	while IFS= read -r path; do
		"$PORTOCTL" vunlink -A "$path" || rc=1
	done < <(cut -f 1 "$PORTO_ROOT/.volumes/list")
	cut -f 1 "$PORTO_ROOT/.layers/list" | while IFS= read -r path; do rmdir "$PORTO_ROOT/.layers/$path"; done || rc=1
	cut -f 1 "$PORTO_ROOT/.storages/list" | sort -r | while IFS= read -r path; do rmdir "$PORTO_ROOT/.storages/$path"; done || rc=1
	! [ -d "$PLACE" ] || "$PORTOCTL" pcleanup "$PLACE" || rc=1
	wait_for '[ -z "$(find "$PLACE"/porto_volumes "$PLACE"/porto_layers "$PLACE"/porto_storage -mindepth 1 ! -name .porto 2>/dev/null)" ]' 30 ||
		{ find "$PLACE" -mindepth 2 ! -name .porto >&2; rc=1; }
	return "$rc"
}

# Archives of a small root in $FIXTURES: base.tar base.tar.gz base.tgz base.tar.zst
make_archives() {
	export FIXTURES=$TEST_DIR/fixtures
	small_root "$FIXTURES/root"
	tar -C "$FIXTURES/root" -cf "$FIXTURES/base.tar" .
	gzip -nk "$FIXTURES/base.tar"
	cp "$FIXTURES/base.tar.gz" "$FIXTURES/base.tgz"
	zstd -q "$FIXTURES/base.tar"
}

# small_root DIR: a root that runs shell scripts: one busybox. $FIXTURES/base.tar is one.
small_root() {
	local name
	mkdir -p "$1"/{bin,etc,tmp,root,dev,proc,sys,run}
	cp /bin/busybox "$1/bin/"
	for name in sh cat echo sleep mkdir rm ls find touch true false; do
		ln -s busybox "$1/bin/$name"
	done
	echo small >"$1/etc/os-release"
}
