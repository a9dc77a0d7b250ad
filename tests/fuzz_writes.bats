#!/usr/bin/env bats
# Random writes of a plain user of the daemon's group to every file of the tree: his own containers, root's, another user's. None of
# them brings the daemon down, is answered with EIO, or changes what is not his.
# The same writes each time, others with FUZZ_SEED=$RANDOM; FUZZ_WRITES=N sets how many, FUZZ_SECONDS=N the longest it takes.
# Not in the guest, which is slow (`make check-vm` runs it there): what is read from a writer is the daemon's affair.
#
# shellcheck disable=SC2016 # the program is perl's

bats_require_minimum_version 1.5.0
load helpers

teardown() {
	destroy_all
}

# What others have set, and what their containers are.
theirs() {
	local name prop
	for name in wheel games wheel/kid; do
		for prop in spec state root_pid owner_user owner_group private command labels; do
			printf '%s/%s: %s\n' "$name" "$prop" "$(prop "$name" "$prop" 2>&1)"
		done
		stat -c '%U %G %a' "$PORTO_ROOT/$name"
	done
	(cd "$PORTO_ROOT" && ls -d wheel/*/) 2>&1
	grep . "$PORTO_ROOT/.volumes/$VOL"/{state,space_limit,labels,owner_user,containers} 2>&1
	sort "$PORTO_ROOT/.porto/config"
}

# MOUNT SEED WRITES SECONDS: prints how many were made and taken, and each that was answered with EIO.
FUZZ='
use strict; use warnings; use Fcntl; use POSIX ();
my ($mount, $seed, $writes, $seconds) = @ARGV;
my @seeds = ("", "0", "1", "-1", "true", "false", "1.5c", "64M", "18446744073709551616", "50%", "start", "stop", "kill", "pause", "resume",
	"restart", "destroy", "build", "sleep 1000", "true", "a: 1; b: 2", "/tmp /tmp ro,rec", "/dev/zero rw", "/dev/null rw? /dev/x 0666",
	"preset x", "CHOWN;KILL", "default allow; errno mount", "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[]}", "none", "/", "../..",
	"/dev/fd/0", "/proc/self/mem", "daemon", "root", "0:0", "isolate", "self-isolate", "os", "docker", "job", "L3 veth", "veth auto",
	"inherited", "macvlan eth0 eth0", "A=b;C=d", "root", "games", "/wheel; /games", "kernel.core_pattern: |/bin/sh", "net.ipv4.ip_forward: 1",
	"nofile: 1 2", "command = true", "private = x\nowner_user = root", "backend=tmpfs space_limit=1M", "wheel /tmp rw", "$$", "1");
my @keys = ("[a]", "[default]", "[KILL]", "[/dev/zero]", "[]", "[../x]", "[a;b]");
my @own = ("fuzz", "fuzz/kid", "fuzz2");
my @names = (@own, "wheel", "wheel/kid", "games", ".", ".porto", ".volumes", ".volumes/1", ".layers");
my (%files, %writable, $taken, $eio, $made);
srand($seed);
sub one { return $_[int rand @_]; }
sub value {
	my $v = one(@seeds);
	my $kind = int rand 8;
	$v .= one("; ", " ", "\n", ",", ": ", "=") . one(@seeds) for 1 .. int rand 3;
	if ($kind == 0) { $v = join "", map { chr int rand 256 } 1 .. int rand 200; }
	if ($kind == 1 && length $v) { substr($v, int rand length $v, 1) = chr int rand 256; }
	if ($kind == 2) { $v = $v x (1 + int rand 300); }
	if ($kind == 3) { $v = int(rand 2 ** 40) . one("", "K", "G", "c", "%", "s", "ms"); }
	return rand() < 0.7 ? "$v\n" : $v;
}
# what is there, with something else in a place of it
sub now {
	my ($file, $text) = @_;
	open(my $f, "<", $file) or return $text;
	sysread($f, my $old, 4096) or return $text;
	substr($old, int rand length $old, int rand 4) = rand() < 0.5 ? "" : rand() < 0.5 ? chr int rand 256 : int rand 100;
	return $old;
}
for my $name (@names) {
	opendir(my $d, "$mount/$name") or next;
	my @all = grep { -f "$mount/$name/$_" } sort readdir $d;
	$files{$name} = \@all;
	$writable{$name} = [grep { (stat "$mount/$name/$_")[2] & 0222 } @all];
}
my @dirs = grep { @{$files{$_}} } sort keys %files;
($taken, $eio, $made) = (0, 0, 0);
POSIX::sigaction(POSIX::SIGALRM(), POSIX::SigAction->new(sub {}));
my $until = time + $seconds;
while ($made < $writes && time < $until) {
	my $dir = one(rand() < 0.6 ? @own : @dirs);
	my $few = rand() < 0.8 && @{$writable{$dir}} ? $writable{$dir} : $files{$dir};
	my $file = "$dir/" . one(@$few);
	my ($text, $r) = (value());
	$text = now("$mount/$file", $text) if rand() < 0.4 && $file !~ m:/(wait|stdout|stderr|state)$:;
	$file .= one(@keys) if rand() < 0.2;
	$made++;
	mkdir "$mount/$_" for grep { !-d "$mount/$_" } "fuzz", "fuzz/kid", "fuzz2";
	alarm 2;
	if (sysopen(my $f, "$mount/$file", (rand() < 0.8 ? O_WRONLY : O_RDWR) | (rand() < 0.5 ? O_TRUNC : 0))) {
		$r = syswrite($f, $text);
		my $no = $!;
		close $f or defined $r and ($r, $no) = (undef, $!);
		$! = $no;
	}
	if (defined $r) { $taken++; }
	elsif ($!{EIO}) { $eio++; printf "EIO: %s <- %s\n", $file, unpack("H*", $text); }
	alarm 0;
}
printf "%d writes, %d taken, %d EIO\n", $made, $taken, $eio;
'

@test "10,000 random writes of a user: no crash, no EIO, and what is others' stays as it was" {
	command -v perl >/dev/null || skip 'no perl'
	local seed=${FUZZ_SEED:-1} before worker
	printf '%s\n' "# seed $seed" >&3
	ct_start wheel private=mine 'command=sleep 1000'
	ct_new wheel/kid private=kid command=true
	as games ct_start games private=mine 'command=sleep 1000'
	vol_build backend=tmpfs space_limit=1M
	as daemon ct_start fuzz 'command=sleep 1000'
	as daemon ct_new fuzz/kid
	as daemon ct_new fuzz2
	before=$(theirs) worker=$(worker_pid)
	as daemon timeout -k 1 "$((60 * PORTO_SLOW - 15))" perl -e "$FUZZ" "$PORTO_ROOT" "$seed" "${FUZZ_WRITES:-10000}" "$((${FUZZ_SECONDS:-20} * PORTO_SLOW))" \
		>"$TEST_DIR/out" || fail "status $?, seed $seed"
	printf '# %s\n' "$(tail -n 1 "$TEST_DIR/out")" >&3
	diff <(echo "$before") <(theirs) >&2 || fail "changed, seed $seed"
	! grep '^EIO' "$TEST_DIR/out" >&2 || fail "EIO, seed $seed"
	[ "$(worker_pid)" = "$worker" ] && no_crashes && no_sanitizer_reports || fail "another worker, seed $seed"
	grep -Eq '^[0-9]{4,} writes, [1-9][0-9]* taken' "$TEST_DIR/out" || fail "$(tail -n 1 "$TEST_DIR/out")"
}
