# tests/images.bash: images of docker and OCI made by hand, and a registry on loopback: `load images` after helpers.
#
# In $FIXTURES are layers (base.tar, top.tar) and images (NAME.config, NAME.layers): app of both layers, base of one.
# shellcheck shell=bash disable=SC2016,SC2015,SC2154 # conditions of wait_for; A && B || C is meant so; BATS_TEST_TMPDIR

make_fixtures() {
	export FIXTURES=$TEST_DIR/fixtures
	mkdir -p "$FIXTURES/blobs"
	make_layers
	make_image app '["/bin/sh","-c"]' '["echo hi","two\nlines"]' base.tar top.tar
	make_image base '[]' '["/bin/sh"]' base.tar
}

sha() {
	local sum
	sum=$(sha256sum "$1") && echo "${sum%% *}"
}

# Two layers: the second hides /etc/gone and all that was in /data, and has a hard link and a name in another alphabet.
make_layers() {
	local a=$FIXTURES/a b=$FIXTURES/b
	mkdir -p "$a"/{bin,etc,data} "$b"/{etc,data,opt}
	cp /bin/busybox "$a/bin/busybox"
	ln -s busybox "$a/bin/sh"
	echo hello >"$a/etc/hello"
	echo gone >"$a/etc/gone"
	echo old >"$a/data/old"
	chown 1:2 "$a/etc/hello"
	chmod 4711 "$a/etc/hello"
	: >"$b/etc/.wh.gone"
	: >"$b/data/.wh..wh..opq"
	echo new >"$b/data/new"
	ln "$b/data/new" "$b/opt/имя"
	tar -C "$a" -cf "$FIXTURES/base.tar" .
	tar -C "$b" -cf "$FIXTURES/top.tar" data etc opt
}

# make_image NAME ENTRYPOINT CMD LAYER...: NAME.config and NAME.layers.
make_image() {
	local name=$1 entry=$2 cmd=$3 layer ids=()
	shift 3
	for layer; do
		ids+=("sha256:$(sha "$FIXTURES/$layer")")
	done
	printf '%s\n' "$@" >"$FIXTURES/$name.layers"
	jq -nc --argjson entry "$entry" --argjson cmd "$cmd" --arg name "$name" --args '{
		architecture: "amd64", os: "linux", created: "2024-01-02T03:04:05Z",
		config: {Entrypoint: $entry, Cmd: $cmd, Env: ["PATH=/bin", "NAME=\($name)"], WorkingDir: "/data", User: "1:2"},
		rootfs: {type: "layers", diff_ids: $ARGS.positional}}' "${ids[@]}" >"$FIXTURES/$name.config"
}

# put_blob LAYOUT FILE TYPE: prints its descriptor.
put_blob() {
	local sum
	sum=$(sha "$2")
	mkdir -p "$1/blobs/sha256"
	cp "$2" "$1/blobs/sha256/$sum"
	jq -nc --arg type "$3" --arg digest "sha256:$sum" --argjson size "$(stat -c %s "$2")" \
		'{mediaType: $type, digest: $digest, size: $size}'
}

# put_manifest LAYOUT NAME COMPRESSION: config, layers and manifest; prints the manifest's descriptor.
put_manifest() {
	local layer file type=application/vnd.oci.image.layer.v1.tar layers='[]' config tmp=$1.tmp
	mkdir -p "$tmp"
	config=$(put_blob "$1" "$FIXTURES/$2.config" application/vnd.oci.image.config.v1+json)
	while read -r layer; do
		file=$tmp/$layer
		case $3 in
		gzip) gzip -nc "$FIXTURES/$layer" >"$file"; type+=+gzip ;;
		zstd) zstd -qc "$FIXTURES/$layer" >"$file"; type+=+zstd ;;
		*) cp "$FIXTURES/$layer" "$file" ;;
		esac
		layers=$(jq -c --argjson d "$(put_blob "$1" "$file" "$type")" '. + [$d]' <<<"$layers")
		type=${type%+*}
	done <"$FIXTURES/$2.layers"
	jq -nc --argjson config "$config" --argjson layers "$layers" '{schemaVersion: 2,
		mediaType: "application/vnd.oci.image.manifest.v1+json", config: $config, layers: $layers}' >"$tmp/manifest"
	put_blob "$1" "$tmp/manifest" application/vnd.oci.image.manifest.v1+json
	rm -rf "$tmp"
}

# put_index LAYOUT DESCRIPTOR...: its index.json.
put_index() {
	local layout=$1
	shift
	echo '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
	jq -nc '{schemaVersion: 2, manifests: [$ARGS.positional[] | fromjson]}' --args "$@" >"$layout/index.json"
}

# oci LAYOUT [COMPRESSION [IMAGE]]: an OCI layout of one image.
oci() {
	put_index "$1" "$(put_manifest "$1" "${3:-app}" "${2:-gzip}")"
}

# docker_save FILE TAG IMAGE [TAG IMAGE]...: what `docker save` writes: layers first, manifest.json last.
docker_save() {
	local file=$1 dir=$BATS_TEST_TMPDIR/save tag name layer list json='[]'
	shift
	rm -rf "$dir"
	mkdir -p "$dir"
	for ((; $#; )); do
		tag=$1 name=$2 list='[]'
		shift 2
		while read -r layer; do
			mkdir -p "$dir/${layer%.tar}"
			cp "$FIXTURES/$layer" "$dir/${layer%.tar}/layer.tar"
			list=$(jq -c --arg l "${layer%.tar}/layer.tar" '. + [$l]' <<<"$list")
		done <"$FIXTURES/$name.layers"
		cp "$FIXTURES/$name.config" "$dir/$(sha "$FIXTURES/$name.config").json"
		json=$(jq -c --arg c "$(sha "$FIXTURES/$name.config").json" --arg t "$tag" --argjson l "$list" \
			'. + [{Config: $c, RepoTags: [$t], Layers: $l}]' <<<"$json")
	done
	echo "$json" >"$dir/manifest.json"
	echo '{}' >"$dir/repositories"
	tar -C "$dir" --exclude=./manifest.json -cf "$file" .
	tar -C "$dir" -rf "$file" manifest.json
}

id_of() {
	sha "$FIXTURES/$1.config"
}

# ---- a registry ----

# A registry on a free port of loopback, with a storage of its own: $registry is its address.
# registry_start [AUTH]: a line of its configuration.
registry_start() {
	command -v docker-registry >/dev/null || skip 'no docker-registry here'
	command -v skopeo >/dev/null || skip 'no skopeo here'
	local try port
	for try in 1 2 3 4 5; do
		port=$((20000 + (RANDOM + try * BASHPID) % 10000))
		cat >"$BATS_TEST_TMPDIR/registry.yml" <<-END
			version: 0.1
			log: {level: error}
			storage: {filesystem: {rootdirectory: "$BATS_TEST_TMPDIR/registry"}}
			http: {addr: "127.0.0.1:$port", secret: none}
			${1:-}
		END
		docker-registry serve "$BATS_TEST_TMPDIR/registry.yml" >"$BATS_TEST_TMPDIR/registry.log" 2>&1 3>&- 4>&- &
		registry_pid=$! registry=127.0.0.1:$port
		wait_for '(: </dev/tcp/127.0.0.1/'"$port"') || ! kill -0 $registry_pid' &&
			kill -0 "$registry_pid" 2>/dev/null && return
	done
	fail "no registry: $(cat "$BATS_TEST_TMPDIR/registry.log")"
}

registry_stop() {
	[ -z "${registry_pid:-}" ] || { kill "$registry_pid"; wait "$registry_pid"; } 2>/dev/null || :
	registry_pid=
}

# push LAYOUT REPOSITORY:TAG
push() {
	skopeo --insecure-policy copy --quiet --dest-tls-verify=false --dest-registry-token any "oci:$1" "docker://$registry/$2" 3>&- 4>&-
}
