#!/usr/bin/env bats
# portoctl exec on a terminal, through porto-terminal: what a user at a keyboard sees.

bats_require_minimum_version 1.5.0
load helpers

setup() {
	TMUX_SOCKET=$BATS_TEST_TMPDIR/tmux
}

teardown() {
	[ ! -S "$TMUX_SOCKET" ] || tmux -S "$TMUX_SOCKET" kill-server
	destroy_all
}

absent() {
	[ ! -e "$PORTO_ROOT/$1/state" ] || fail "$1 is still there"
}

# A terminal of 80 columns and 24 lines in which a command runs; what it shows is read with screen.
terminal() {
	command -v tmux >/dev/null || skip 'no tmux'
	TERM=screen tmux -S "$TMUX_SOCKET" -f /dev/null new-session -d -x 80 -y 24 "$1; echo \"[left \$?]\"; exec sh" 3>&-
}

keys() {
	tmux -S "$TMUX_SOCKET" send-keys "$@"
}

# Waits for a line of the screen that matches the regular expression.
screen() {
	wait_for "tmux -S $TMUX_SOCKET capture-pane -p | grep -qE '$1'" 15 || {
		tmux -S "$TMUX_SOCKET" capture-pane -p
		return 1
	}
}

@test "exec on a terminal: the program has a terminal of its own, of the right size and type, and its exit code" {
	terminal "$PORTOCTL exec a command='sh -c \"tty; stty size; echo term=\\\$TERM; exit 9\"'"
	screen '^/dev/pts/|^not a tty$'
	screen '^24 80$'
	screen '^term=(screen|tmux)'
	screen '^Container exit code: 9$'
	screen '^\[left 9\]$'
	absent a
}

@test "exec on a terminal: what is typed gets in, Ctrl-C interrupts the program and not portoctl" {
	cat >"$BATS_TEST_TMPDIR/program" <<-'END'
		read -r line
		echo "got $line"
		trap 'echo interrupted; exit 5' INT
		echo ready
		while :; do sleep 0.1; done
	END
	terminal "$PORTOCTL exec a command='sh $BATS_TEST_TMPDIR/program'"
	state_is a running
	keys 'a word' Enter
	screen '^got a word$'
	screen '^ready$'
	keys C-c
	screen 'interrupted$'
	screen '^\[left 5\]$'
	absent a
}

@test "exec on a terminal: a new window size gets through" {
	cat >"$BATS_TEST_TMPDIR/program" <<-'END'
		trap 'stty size' WINCH
		echo ready
		while :; do sleep 0.1; done
	END
	terminal "$PORTOCTL exec a command='sh $BATS_TEST_TMPDIR/program'"
	screen '^ready$'
	tmux -S "$TMUX_SOCKET" resize-window -x 100 -y 30
	screen '^30 100$'
}

@test "exec on a terminal: ^X^X leaves, destroys and puts the terminal right" {
	terminal "stty -a >$BATS_TEST_TMPDIR/before; $PORTOCTL exec a command='sleep 1000'; stty -a >$BATS_TEST_TMPDIR/after; (exit \$?)"
	state_is a running
	keys C-x
	sleep 0.2
	prop_is a state running
	keys x C-x
	sleep 0.2
	prop_is a state running
	keys C-x
	screen '\[left 0\]$'
	absent a
	cmp "$BATS_TEST_TMPDIR/before" "$BATS_TEST_TMPDIR/after"
}

@test "exec on a terminal: SIGTERM to portoctl destroys and puts the terminal right" {
	local shell
	terminal "stty -a >$BATS_TEST_TMPDIR/before; $PORTOCTL exec a command='sleep 1000'; echo \"[code \$?]\"; stty -a >$BATS_TEST_TMPDIR/after"
	state_is a running
	shell=$(tmux -S "$TMUX_SOCKET" display-message -p '#{pane_pid}')
	kill "$(cat "/proc/$shell/task/$shell/children")"
	screen '^\[code 143\]$'
	screen '^\[left 0\]$'
	absent a
	cmp "$BATS_TEST_TMPDIR/before" "$BATS_TEST_TMPDIR/after"
}

@test "exec on a terminal: a start that fails says why" {
	terminal "$PORTOCTL exec a command=/does/not/exist"
	screen '^Cannot start container: InvalidCommand:\('
	screen '^\[left 1\]$'
	absent a
}

@test "exec on a terminal: output is complete, however much and however fast it ends" {
	terminal "$PORTOCTL exec a command='seq 20000' >$BATS_TEST_TMPDIR/all"
	screen '^\[left 0\]$'
	[ "$(tr -d '\r' <"$BATS_TEST_TMPDIR/all" | sha256sum)" = "$(seq 20000 | sha256sum)" ]
}

@test "exec -T on a terminal: the program gets the terminal itself" {
	terminal "tty; $PORTOCTL exec -T a command='readlink /proc/self/fd/0'"
	screen '^\[left 0\]$'
	run tmux -S "$TMUX_SOCKET" capture-pane -p
	[ "${lines[0]}" = "${lines[1]}" ]
}
