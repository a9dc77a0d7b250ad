#!/usr/bin/env bats
# The tour of README.md, typed as it stands there: `...` in the output stands for anything.
# Not in the guest, which is slow (`make check-vm` runs it there): what a reader types.

load helpers

setup() {
	PATH=$REPO/scripts:$PATH
	SPEC=$BATS_TEST_TMPDIR/spec
}

# tour LINE...: types what follows "# " and compares what it prints with the lines up to the next.
tour() {
	local line command='' want=''
	for line in "$@" '# :'; do
		if [[ $line == '# '* ]]; then
			[ -z "$command" ] || typed "$command" "$want" || return
			command=${line#'# '} want=
		else
			want+=${want:+$'\n'}$line
		fi
	done
}

typed() {
	local command=$1 want=$2 got pattern
	command=${command//\/place\//@place@}
	[[ $command == *root=/tmp/root* ]] || command=${command//\/porto/$PORTO_ROOT} # in there it is where it says
	command=${command//\/tmp\/spec/$SPEC}
	command=${command//\/tmp\/root/$BATS_TEST_TMPDIR/root}
	command=${command//\/tmp\/tree/$BATS_TEST_TMPDIR/tree}
	command=${command//@place@/$PLACE/} want=${want//\/place\//$PLACE/}
	got=$(bash -c "$command" 2>&1 </dev/null | sed 's/^bash: line [0-9]*:/bash:/')
	pattern=$(sed 's/[][\\*?]/\\&/g; s/\.\.\./*/g' <<<"$want")
	# shellcheck disable=SC2053 # a pattern
	[[ $got == $pattern ]] || fail "$command"$'\n'"$got"$'\n'"expected:"$'\n'"$want"
}

@test "README: every line of the tour prints what is written there" {
	local lines
	# shellcheck disable=SC2016 # backquotes of the page
	mapfile -t lines < <(sed -n '/^```console$/,/^```$/{/^```/d;p}' "$REPO/README.md")
	[ "${#lines[@]}" -gt 30 ]
	tour "${lines[@]}"
	[ -z "$(ct_names)" ]
}
