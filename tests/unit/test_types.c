/* Every property type: what it takes and refuses, how it shows it, and that what it shows reads back to the same. */
#include "engine/types.h"

#include "tests/unit/unit.h"

struct row {
	const struct prop_type *type;
	const char *text;
	int error;         /* 0 or negative errno */
	const char *shown; /* NULL: as written */
};

#define MAX64 "18446744073709551615"

static const struct row rows[] = {
	{ &type_bool, "true", 0, NULL },
	{ &type_bool, "false", 0, NULL },
	{ &type_bool, "", -EINVAL, NULL },
	{ &type_bool, "1", -EINVAL, NULL },
	{ &type_bool, "True", -EINVAL, NULL },
	{ &type_bool, "yes", -EINVAL, NULL },
	{ &type_bool, "true x", -EINVAL, NULL },

	{ &type_uint, "0", 0, NULL },
	{ &type_uint, "007", 0, "7" },
	{ &type_uint, MAX64, 0, NULL },
	{ &type_uint, "18446744073709551616", -ERANGE, NULL },
	{ &type_uint, "99999999999999999999999", -ERANGE, NULL },
	{ &type_uint, "99999999999999999999999x", -EINVAL, NULL },
	{ &type_uint, "", -EINVAL, NULL },
	{ &type_uint, " ", -EINVAL, NULL },
	{ &type_uint, "-1", -EINVAL, NULL },
	{ &type_uint, "+1", -EINVAL, NULL },
	{ &type_uint, "1.0", -EINVAL, NULL },
	{ &type_uint, "0x10", -EINVAL, NULL },
	{ &type_uint, "1 2", -EINVAL, NULL },
	{ &type_uint, "NaN", -EINVAL, NULL },

	{ &type_int, "-1", 0, NULL },
	{ &type_int, "-0", 0, "0" },
	{ &type_int, "9223372036854775807", 0, NULL },
	{ &type_int, "-9223372036854775808", 0, NULL },
	{ &type_int, "9223372036854775808", -ERANGE, NULL },
	{ &type_int, "-9223372036854775809", -ERANGE, NULL },
	{ &type_int, "", -EINVAL, NULL },
	{ &type_int, "-", -EINVAL, NULL },
	{ &type_int, "--1", -EINVAL, NULL },
	{ &type_int, "1k", -EINVAL, NULL },

	{ &type_caps, "", 0, NULL },
	{ &type_caps, "CHOWN", 0, NULL },
	{ &type_caps, "KILL;CHOWN;KILL", 0, "CHOWN;KILL" },
	{ &type_caps, " cap_sys_admin ; Bpf ;", 0, "SYS_ADMIN;BPF" },
	{ &type_caps, "CHECKPOINT_RESTORE", 0, NULL },
	{ &type_caps, "CAP_", -EINVAL, NULL },
	{ &type_caps, "CHOWN KILL", -EINVAL, NULL },
	{ &type_caps, "SYS_ADMN", -EINVAL, NULL },
	{ &type_caps, "0", -EINVAL, NULL },

	{ &type_devices, "", 0, NULL },
	{ &type_devices, "/dev/x r", 0, "/dev/x rm; " },
	{ &type_devices, "/dev/x wr; /dev/y m;", 0, "/dev/x rwm; /dev/y m; " },
	{ &type_devices, "/dev/x\trw", 0, "/dev/x rwm; " },
	{ &type_devices, "/dev/x rw?*", 0, "/dev/x rwm?*; " },
	{ &type_devices, "/dev/x -?", 0, "/dev/x -?; " },
	{ &type_devices, "/dev/x r; /dev/x w", 0, "/dev/x wm; " },
	{ &type_devices, "/dev/x r /dev/a/b 0640 user group", 0, "/dev/x rm /dev/a/b 0640 user group; " },
	{ &type_devices, "preset kvm; preset kvm", 0, "preset kvm; " },
	{ &type_devices, "/dev/x", -EINVAL, NULL },
	{ &type_devices, "/dev/x ?", -EINVAL, NULL },
	{ &type_devices, "/dev/x r-", -EINVAL, NULL },
	{ &type_devices, "/dev/x x", -EINVAL, NULL },
	{ &type_devices, "/dev/ r", -EINVAL, NULL },
	{ &type_devices, "/dev/../x r", -EINVAL, NULL },
	{ &type_devices, "/etc/x r", -EINVAL, NULL },
	{ &type_devices, "/dev/x r /tmp/x", -EINVAL, NULL },
	{ &type_devices, "/dev/x r /dev/x 888", -EINVAL, NULL },
	{ &type_devices, "/dev/x r /dev/x 01777", -EINVAL, NULL },
	{ &type_devices, "/dev/x r /dev/x 0666 a b c", -EINVAL, NULL },
	{ &type_devices, "preset", -EINVAL, NULL },
	{ &type_devices, "/dev/x\nr r", -EINVAL, NULL },

	{ &type_seccomp, "", 0, NULL },
	{ &type_seccomp, "none", 0, NULL },
	{ &type_seccomp, "default", 0, NULL },
	{ &type_seccomp, "kill  mount;;", 0, "errno kill mount" },
	{ &type_seccomp, "default errno:38;allow read write(0==1)", 0, "default errno:38; allow read write(0==1)" },
	{ &type_seccomp, "+SYS_ADMIN -CHOWN log mount", 0, NULL },
	{ &type_seccomp, "trap clone(0&0x7e020000==0,1!=2)", 0, NULL },
	{ &type_seccomp, "allow read; default errno", -EINVAL, NULL },
	{ &type_seccomp, "default errno read", -EINVAL, NULL },
	{ &type_seccomp, "errno", -EINVAL, NULL },
	{ &type_seccomp, "errno:0 read", -EINVAL, NULL },
	{ &type_seccomp, "errno:4096 read", -EINVAL, NULL },
	{ &type_seccomp, "+NOBODY read", -EINVAL, NULL },
	{ &type_seccomp, "no_such_call", -EINVAL, NULL },
	{ &type_seccomp, "read(6==0)", -EINVAL, NULL },
	{ &type_seccomp, "read(0==0,0==1)", -EINVAL, NULL },
	{ &type_seccomp, "read(0==0", -EINVAL, NULL },
	{ &type_seccomp, "read(0==0)x", -EINVAL, NULL },
	{ &type_seccomp, "read(0&1!=0)", -EINVAL, NULL },
	{ &type_seccomp, "read(0==0x1ffffffffffffffff)", -EINVAL, NULL },
	{ &type_seccomp, "{\"defaultAction\":\"SCMP_ACT_ALLOW\"}", 0, "default allow" },
	{ &type_seccomp, "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":1,\"syscalls\":[{\"names\":[\"read\",\"zzz\"],\"action\":\"SCMP_ACT_ALLOW\"}]}",
	  0, "default errno:1; allow read" },
	{ &type_seccomp, "{\"defaultAction\":\"SCMP_ACT_TRACE\"}", -EINVAL, NULL },
	{ &type_seccomp, "{}", -EINVAL, NULL },
	{ &type_seccomp, "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":3}", -EINVAL, NULL },

	{ &type_bytes, "0", 0, NULL },
	{ &type_bytes, "1536", 0, NULL },
	{ &type_bytes, "8K", 0, "8192" },
	{ &type_bytes, "8k", 0, "8192" },
	{ &type_bytes, "8Kb", 0, "8192" },
	{ &type_bytes, "8KB", 0, "8192" },
	{ &type_bytes, "8KiB", 0, "8192" },
	{ &type_bytes, "8 KiB", 0, "8192" },
	{ &type_bytes, "8  K", 0, "8192" },
	{ &type_bytes, "5B", 0, "5" },
	{ &type_bytes, "5b", 0, "5" },
	{ &type_bytes, "1.5K", 0, "1536" },
	{ &type_bytes, ".5G", 0, "536870912" },
	{ &type_bytes, ".5", -EINVAL, NULL },
	{ &type_bytes, "0.9B", -EINVAL, NULL },
	{ &type_bytes, "0.0", 0, "0" },
	{ &type_bytes, "1.9", 0, "1" },
	{ &type_bytes, "3T", 0, "3298534883328" },
	{ &type_bytes, "1p", 0, "1125899906842624" },
	{ &type_bytes, "15E", 0, "17293822569102704640" },
	{ &type_bytes, "15.99999999999999999999999999E", 0, "18446744073709551614" },
	{ &type_bytes, "-1", 0, MAX64 },
	{ &type_bytes, MAX64, 0, NULL },
	{ &type_bytes, "16E", -ERANGE, NULL },
	{ &type_bytes, "18446744073709551616", -ERANGE, NULL },
	{ &type_bytes, "99999999999999999999E", -ERANGE, NULL },
	{ &type_bytes, "", -EINVAL, NULL },
	{ &type_bytes, "K", -EINVAL, NULL },
	{ &type_bytes, ".", -EINVAL, NULL },
	{ &type_bytes, ".K", -EINVAL, NULL },
	{ &type_bytes, "-2", -EINVAL, NULL },
	{ &type_bytes, "-1K", -EINVAL, NULL },
	{ &type_bytes, "-1.5", -EINVAL, NULL },
	{ &type_bytes, "5Bb", -EINVAL, NULL },
	{ &type_bytes, "5BiB", -EINVAL, NULL },
	{ &type_bytes, "5Ki", -EINVAL, NULL },
	{ &type_bytes, "5X", -EINVAL, NULL },
	{ &type_bytes, "5K ", -EINVAL, NULL },
	{ &type_bytes, "1e3", -EINVAL, NULL },
	{ &type_bytes, "1,5K", -EINVAL, NULL },
	{ &type_bytes, "inf", -EINVAL, NULL },
	{ &type_bytes, "NaN", -EINVAL, NULL },

	{ &type_cores, "1.5c", 0, NULL },
	{ &type_cores, "2c", 0, NULL },
	{ &type_cores, "2.0c", 0, "2c" },
	{ &type_cores, "0c", 0, NULL },
	{ &type_cores, "", 0, "0c" },
	{ &type_cores, "0", 0, "0c" },
	{ &type_cores, "500000000ns", 0, "0.5c" },
	{ &type_cores, "15", 0, "4.8c" },
	{ &type_cores, "12.55", 0, "4.016c" },
	{ &type_cores, "12.559", 0, "4.016c" },
	{ &type_cores, "1.123456789c", 0, NULL },
	{ &type_cores, "1.1234567899c", 0, "1.123456789c" },
	{ &type_cores, "0.000000001c", 0, NULL },
	{ &type_cores, "18446744073.709551615c", 0, NULL },
	{ &type_cores, "18446744073.709551616c", -ERANGE, NULL },
	{ &type_cores, "99999999999999999999c", -ERANGE, NULL },
	{ &type_cores, MAX64, -ERANGE, NULL },
	{ &type_cores, "1.5C", -EINVAL, NULL },
	{ &type_cores, ".5c", -EINVAL, NULL },
	{ &type_cores, "5.c", -EINVAL, NULL },
	{ &type_cores, "5.", -EINVAL, NULL },
	{ &type_cores, "c", -EINVAL, NULL },
	{ &type_cores, "1 c", -EINVAL, NULL },
	{ &type_cores, "1,5c", -EINVAL, NULL },
	{ &type_cores, "-1c", -EINVAL, NULL },
	{ &type_cores, "1.5ns", -EINVAL, NULL },
	{ &type_cores, "1cc", -EINVAL, NULL },
	{ &type_cores, "bogus", -EINVAL, NULL },
	{ &type_cores, "nanc", -EINVAL, NULL },

	{ &type_time, "1000000000ns", 0, NULL },
	{ &type_time, "1s", 0, "1000000000ns" },
	{ &type_time, "1.5sec", 0, "1500000000ns" },
	{ &type_time, "100ms", 0, "100000000ns" },
	{ &type_time, "100msec", 0, "100000000ns" },
	{ &type_time, "2us", 0, "2000ns" },
	{ &type_time, "2usec", 0, "2000ns" },
	{ &type_time, "7nsec", 0, "7ns" },
	{ &type_time, "7", 0, "7ns" },
	{ &type_time, "7.9", 0, "7ns" },
	{ &type_time, "7000ps", 0, "7ns" },
	{ &type_time, "7000000fsec", 0, "7ns" },
	{ &type_time, "18446744073709551616ps", -ERANGE, NULL },
	{ &type_time, "18446744074s", -ERANGE, NULL },
	{ &type_time, "", -EINVAL, NULL },
	{ &type_time, "s", -EINVAL, NULL },
	{ &type_time, "-1s", -EINVAL, NULL },
	{ &type_time, "1S", -EINVAL, NULL },
	{ &type_time, "1m", -EINVAL, NULL },
	{ &type_time, "1c", -EINVAL, NULL },
	{ &type_time, "inf", -EINVAL, NULL },

	{ &type_weight, "1", 0, NULL },
	{ &type_weight, "0.01", 0, NULL },
	{ &type_weight, "100", 0, NULL },
	{ &type_weight, "1.50", 0, "1.5" },
	{ &type_weight, "1.23456789", 0, "1.23457" },
	{ &type_weight, "0.009", -ERANGE, NULL },
	{ &type_weight, "0.00999999999", -ERANGE, NULL },
	{ &type_weight, "100.1", -ERANGE, NULL },
	{ &type_weight, "0", -ERANGE, NULL },
	{ &type_weight, "99999999999999999999999", -ERANGE, NULL },
	{ &type_weight, "-1", -EINVAL, NULL },
	{ &type_weight, "", -EINVAL, NULL },
	{ &type_weight, "nan", -EINVAL, NULL },
	{ &type_weight, "inf", -EINVAL, NULL },
	{ &type_weight, "1e1", -EINVAL, NULL },
	{ &type_weight, "0x1p3", -EINVAL, NULL },
	{ &type_weight, "1x", -EINVAL, NULL },

	{ &type_octal, "2", 0, "02" },
	{ &type_octal, "022", 0, NULL },
	{ &type_octal, "0", 0, NULL },
	{ &type_octal, "0777", 0, NULL },
	{ &type_octal, "8", -EINVAL, NULL },
	{ &type_octal, "-2", -EINVAL, NULL },
	{ &type_octal, "", -EINVAL, NULL },
	{ &type_octal, "0o22", -EINVAL, NULL },
	{ &type_octal, "2000000000000000000000", -ERANGE, NULL },

	{ &type_hex, "0x1ff", 0, NULL },
	{ &type_hex, "1FF", 0, "0x1ff" },
	{ &type_hex, "0X0", 0, "0x0" },
	{ &type_hex, "0x", -EINVAL, NULL },
	{ &type_hex, "", -EINVAL, NULL },
	{ &type_hex, "xyz", -EINVAL, NULL },
	{ &type_hex, "-1", -EINVAL, NULL },
	{ &type_hex, "0x10000000000000000", -ERANGE, NULL },

	{ &type_text, "", 0, NULL },
	{ &type_text, "echo \"Hello, world!\"", 0, NULL },
	{ &type_text, "a\nb\tc\\d", 0, NULL },
	{ &type_text, "\x01\xff\xfe\x7f", 0, NULL },

	{ &type_path, "", 0, NULL },
	{ &type_path, "/dev/null", 0, NULL },
	{ &type_path, "../a b", 0, NULL },

	{ &type_list, "", 0, NULL },
	{ &type_list, "a;b", 0, NULL },
	{ &type_list, "b;a;b", 0, NULL },
	{ &type_list, " a ; b ;; ;", 0, "a;b" },
	{ &type_list, ";;;", 0, "" },
	{ &type_list, "a\\;b;c\\\\", 0, NULL },
	{ &type_list, "a\\b", 0, "a\\\\b" },
	{ &type_list, "a\\", 0, "a\\\\" },
	{ &type_list, "a b\nc", 0, NULL },
	{ &type_list, "\xff;\x01", 0, NULL },

	{ &type_argv, "", 0, NULL },
	{ &type_argv, "sh\t-c\texit 42", 0, NULL },
	{ &type_argv, "a\t\tb", 0, NULL },
	{ &type_argv, "a\t\t", 0, "a\t\t\\" },
	{ &type_argv, "a\t\t\\", 0, NULL },
	{ &type_argv, "\\", 0, NULL },
	{ &type_argv, "\\\n\ta", 0, NULL },
	{ &type_argv, "\\\n a", 0, NULL },
	{ &type_argv, "a \\", 0, NULL },
	{ &type_argv, " a", 0, "\\\n a" },
	{ &type_argv, "a\\\tb", 0, NULL },
	{ &type_argv, "a\\\\b", 0, NULL },
	{ &type_argv, "printf\t%s\\n", 0, "printf\t%s\\\\n" },
	{ &type_argv, "a\\\\\nb", 0, NULL },
	{ &type_argv, "a;b\t\x01\xff", 0, NULL },

	{ &type_env, "", 0, NULL },
	{ &type_env, "A=1;B=2", 0, NULL },
	{ &type_env, "A=1;BARE", 0, NULL },
	{ &type_env, "A=1;B=2;A=3", 0, "A=3;B=2" },
	{ &type_env, "A=1;A", 0, "A" },
	{ &type_env, "A;A=", 0, "A=" },
	{ &type_env, "A=;B=x=y", 0, NULL },
	{ &type_env, "AB=1;A=2;ABC=3;AB=4", 0, "AB=4;A=2;ABC=3" },
	{ &type_env, "A=1\\;2;B=\\\\", 0, NULL },
	{ &type_env, " A=1 ; ; B=2;", 0, "A=1;B=2" },
	{ &type_env, "=1", -EINVAL, NULL },
	{ &type_env, "A=1;=", -EINVAL, NULL },

	{ &type_strmap, "", 0, NULL },
	{ &type_strmap, "a: x; b: y", 0, NULL },
	{ &type_strmap, "b:y;a :x ", 0, "a: x; b: y" },
	{ &type_strmap, "a: x; a: y", 0, "a: y" },
	{ &type_strmap, "a: x; a:", 0, "" },
	{ &type_strmap, "a:", 0, "" },
	{ &type_strmap, "a\\:b: x\\;y\\\\z\\:", 0, NULL },
	{ &type_strmap, ";; a: x;;", 0, "a: x" },
	{ &type_strmap, "a: \x01\xff", 0, NULL },
	{ &type_strmap, "a", -EINVAL, NULL },
	{ &type_strmap, "a: x; b", -EINVAL, NULL },
	{ &type_strmap, "a: x: y", -EINVAL, NULL },
	{ &type_strmap, ": x", -EINVAL, NULL },
	{ &type_strmap, "a\\: x", -EINVAL, NULL },
	{ &type_links, "/a: x; /b/c: /y", 0, NULL },
	{ &type_links, "/a", -EINVAL, NULL },

	{ &type_bytemap, "", 0, NULL },
	{ &type_bytemap, "sda: 1M; /place r: 2K", 0, "/place r: 2048; sda: 1048576" },
	{ &type_bytemap, "a: 1; a: 2", 0, "a: 2" },
	{ &type_bytemap, "a: 0", 0, NULL },
	{ &type_bytemap, "a:", -EINVAL, NULL },
	{ &type_bytemap, "a: x", -EINVAL, NULL },
	{ &type_bytemap, "a: 1K; b: -5", -EINVAL, NULL },
	{ &type_bytemap, "a: 16E", -ERANGE, NULL },
	{ &type_bytemap, "1M", -EINVAL, NULL },

	{ &type_ratemap, "", 0, NULL },
	{ &type_ratemap, "1K", 0, "default: 1024" },
	{ &type_ratemap, "0", 0, "default: 0" },
	{ &type_ratemap, "default: 10M; veth: 5M", 0, "default: 10485760; veth: 5242880" },
	{ &type_ratemap, "eth0 CS2: 1; group 7: 2", 0, "eth0 CS2: 1; group 7: 2" },
	{ &type_ratemap, "fast", -EINVAL, NULL },

	{ &type_net_class, "CS0", 0, "CS0" },
	{ &type_net_class, "CS7", 0, "CS7" },
	{ &type_net_class, "CS8", -EINVAL, NULL },
	{ &type_net_class, "CS", -EINVAL, NULL },
	{ &type_net_class, "cs1", -EINVAL, NULL },
	{ &type_net_class, "CS10", -EINVAL, NULL },
	{ &type_net_class, "", -EINVAL, NULL },

	{ &type_iolimit, "", 0, NULL },
	{ &type_iolimit, ";", 0, "" },
	{ &type_iolimit, "10M", 0, "fs: 10485760" },
	{ &type_iolimit, "sda: 1M; /place r: 2K; .data w: 5", 0, ".data w: 5; /place r: 2048; sda: 1048576" },
	{ &type_iolimit, "sda  \t r : 1", 0, "sda r: 1" },
	{ &type_iolimit, "sda: 1; sda r: 2; sda w: 3", 0, NULL },
	{ &type_iolimit, "fs: " MAX64, 0, NULL },
	{ &type_iolimit, "0", 0, "" },
	{ &type_iolimit, "sda: 0; sdb: 1", 0, "sdb: 1" },
	{ &type_iolimit, "r: 1", 0, NULL },
	{ &type_iolimit, "a\\:b: 1", 0, NULL },
	{ &type_iolimit, "sda: 1; sda: 1", -EINVAL, NULL },
	{ &type_iolimit, "sda r: 1; sda   r: 2", -EINVAL, NULL },
	{ &type_iolimit, "sda: 0; sda: 1", -EINVAL, NULL },
	{ &type_iolimit, "sda", -EINVAL, NULL },
	{ &type_iolimit, "sda 1M", -EINVAL, NULL },
	{ &type_iolimit, "sda: 1M; 5M", -EINVAL, NULL },
	{ &type_iolimit, "5M;", -EINVAL, NULL },
	{ &type_iolimit, "sda:", -EINVAL, NULL },
	{ &type_iolimit, ": 1M", -EINVAL, NULL },
	{ &type_iolimit, "sda rw: 1M", -EINVAL, NULL },
	{ &type_iolimit, "sda r w: 1M", -EINVAL, NULL },
	{ &type_iolimit, "sda R: 1M", -EINVAL, NULL },
	{ &type_iolimit, "/a b: 1M", -EINVAL, NULL },
	{ &type_iolimit, "a\001b: 1M", -EINVAL, NULL },
	{ &type_iolimit, "sda: 1M: 2M", -EINVAL, NULL },
	{ &type_iolimit, "sda: -1", -EINVAL, NULL },
	{ &type_iolimit, "-1", -EINVAL, NULL },
	{ &type_iolimit, "sda: 1X", -EINVAL, NULL },
	{ &type_iolimit, "sda: 1c", -EINVAL, NULL },
	{ &type_iolimit, "sda: NaN", -EINVAL, NULL },
	{ &type_iolimit, "sda: inf", -EINVAL, NULL },
	{ &type_iolimit, "sda: 16E", -ERANGE, NULL },
	{ &type_iolimit, "18446744073709551616", -ERANGE, NULL },

	{ &type_access, "true", 0, NULL },
	{ &type_access, "full", 0, "true" },
	{ &type_access, "none", 0, "false" },
	{ &type_access, "child-only", 0, NULL },
	{ &type_access, "self-isolate", 0, NULL },
	{ &type_access, "read-isolate", 0, NULL },
	{ &type_access, "", -EINVAL, NULL },
	{ &type_access, "True", -EINVAL, NULL },
	{ &type_io_policy, "", 0, NULL },
	{ &type_io_policy, "none", 0, NULL },
	{ &type_io_policy, "rt", 0, NULL },
	{ &type_io_policy, "high", 0, NULL },
	{ &type_io_policy, "normal", 0, NULL },
	{ &type_io_policy, "batch", 0, NULL },
	{ &type_io_policy, "idle", 0, NULL },
	{ &type_io_policy, "Idle", -EINVAL, NULL },
	{ &type_io_policy, "idle ", -EINVAL, NULL },
	{ &type_io_policy, "3", -EINVAL, NULL },

	{ &type_controllers, "", 0, NULL },
	{ &type_controllers, "pids;memory; io", 0, "memory;pids;blkio" },
	{ &type_controllers, "memory;memory", 0, "memory" },
	{ &type_controllers, "memory,pids", -EINVAL, NULL },
	{ &type_controllers, "memory;bogus", -EINVAL, NULL },
	{ &type_controllers, "Memory", -EINVAL, NULL },

	{ &type_ulimit, "", 0, NULL },
	{ &type_ulimit, "nofile: 8K 1M; core: unlimited", 0, "core: unlimited unlimited; nofile: 8192 1048576; " },
	{ &type_ulimit, "nofile: 1024", 0, "nofile: 1024 1024; " },
	{ &type_ulimit, "nofile:  1   2  ;", 0, "nofile: 1 2; " },
	{ &type_ulimit, "core: 0 unlim; cpu: -1; rss: inf", 0,
	  "core: 0 unlimited; cpu: unlimited unlimited; rss: unlimited unlimited; " },
	{ &type_ulimit, "nproc: 5; nproc: 6", -EINVAL, NULL },
	{ &type_ulimit, "nproc: 5; core: 0; nproc: 5", -EINVAL, NULL },
	{ &type_ulimit, " ; ; ", 0, "" },
	{ &type_ulimit, "nofile: nan", -EINVAL, NULL },
	{ &type_ulimit, "nofile: 1 inf", 0, "nofile: 1 unlimited; " },
	{ &type_ulimit, "nofile: -inf", -EINVAL, NULL },
	{ &type_ulimit, "nofile: 1e30", -EINVAL, NULL },
	{ &type_ulimit, "nofile: 0x10", -EINVAL, NULL },
	{ &type_ulimit, "nofile: 8X", -EINVAL, NULL },
	{ &type_ulimit, "nofile: 8 K", -EINVAL, NULL },
	{ &type_ulimit, "nofile: 1,5", -EINVAL, NULL },
	{ &type_ulimit, "nofile: 16E", -ERANGE, NULL },
	{ &type_ulimit, "nofile: 1: 2", -EINVAL, NULL },
	{ &type_ulimit, ": 5", -EINVAL, NULL },
	{ &type_ulimit, "nofile: 18446744073709551615", 0, "nofile: unlimited unlimited; " },
	{ &type_ulimit, "nofile: 18446744073709551616", -ERANGE, NULL },
	{ &type_ulimit, "nofile: 2 1", -EINVAL, NULL },
	{ &type_ulimit, "nofile: unlimited 5", -EINVAL, NULL },
	{ &type_ulimit, "nofile: 1 2 3", -EINVAL, NULL },
	{ &type_ulimit, "nofile:", -EINVAL, NULL },
	{ &type_ulimit, "nofile 5", -EINVAL, NULL },
	{ &type_ulimit, "files: 5", -EINVAL, NULL },
	{ &type_ulimit, "NOFILE: 5", -EINVAL, NULL },
	{ &type_ulimit, "nofile: 99999999999999999999", -ERANGE, NULL },
	{ &type_ulimit, "nofile: -2", -EINVAL, NULL },

	{ &type_labels, "", 0, NULL },
	{ &type_labels, "TEST.a: 1; AA.b_c-d@e:f", 0, "AA.b_c-d@e: f; TEST.a: 1" },
	{ &type_labels, "TEST.a: 1; AA.b: x\\:y", 0, "AA.b: x\\:y; TEST.a: 1" },
	{ &type_labels, "TEST.a: 1; TEST.b:", 0, "TEST.a: 1" },
	{ &type_labels, "test.a: 1", -EINVAL, NULL },
	{ &type_labels, "A.a: 1", -EINVAL, NULL },
	{ &type_labels, "TEST: 1", -EINVAL, NULL },
	{ &type_labels, "TEST.: 1", -EINVAL, NULL },
	{ &type_labels, "PORTO.a: 1", -EINVAL, NULL },
	{ &type_labels, "PORTOX.a: 1", -EINVAL, NULL },
	{ &type_labels, "ABCDEFGHIJKLMNOP.a: 1", 0, NULL },
	{ &type_labels, "ABCDEFGHIJKLMNOPQ.a: 1", -EINVAL, NULL },
	{ &type_labels, "TEST.a b: 1", -EINVAL, NULL },
	{ &type_labels, "TEST.a: b c", -EINVAL, NULL },

	{ &type_virt_mode, "app", 0, NULL },
	{ &type_virt_mode, "os", 0, NULL },
	{ &type_virt_mode, "job", 0, NULL },
	{ &type_virt_mode, "host", 0, NULL },
	{ &type_virt_mode, "docker", 0, NULL },
	{ &type_virt_mode, "fuse", 0, "app" },
	{ &type_virt_mode, "", -EINVAL, NULL },
	{ &type_virt_mode, "App", -EINVAL, NULL },
	{ &type_virt_mode, "appx", -EINVAL, NULL },

	{ &type_opt_uint, "", 0, NULL },
	{ &type_opt_uint, "0", 0, NULL },
	{ &type_opt_uint, "5", 0, NULL },
	{ &type_opt_uint, "-1", 0, "" },
	{ &type_opt_uint, "-77", 0, "" },
	{ &type_opt_uint, "9223372036854775807", 0, NULL },
	{ &type_opt_uint, "9223372036854775808", -ERANGE, NULL },
	{ &type_opt_uint, "x", -EINVAL, NULL },
	{ &type_opt_uint, "-", -EINVAL, NULL },

	{ &type_cpu_policy, "normal", 0, NULL },
	{ &type_cpu_policy, "high", 0, NULL },
	{ &type_cpu_policy, "rt", 0, NULL },
	{ &type_cpu_policy, "batch", 0, NULL },
	{ &type_cpu_policy, "idle", 0, NULL },
	{ &type_cpu_policy, "nosmt", 0, NULL },
	{ &type_cpu_policy, "iso", 0, NULL },
	{ &type_cpu_policy, "", -EINVAL, NULL },
	{ &type_cpu_policy, "Normal", -EINVAL, NULL },
	{ &type_cpu_policy, "normal ", -EINVAL, NULL },
	{ &type_cpu_policy, "fifo", -EINVAL, NULL },
	{ &type_cpu_set, "", 0, NULL },
	{ &type_cpu_set, "all", 0, "" },
	{ &type_cpu_set, "inherit", 0, "" },
	{ &type_cpu_set, "7,0-3", 0, "0-3,7" },
	{ &type_cpu_set, "node 0", 0, NULL },
	{ &type_cpu_set, "node 1023", 0, NULL },
	{ &type_cpu_set, "jail 4", 0, NULL },
	{ &type_cpu_set, "jail\t004", 0, "jail 4" },
	{ &type_cpu_set, "jail 8192", 0, NULL },
	{ &type_cpu_set, "jail 4; node 1", 0, NULL },
	{ &type_cpu_set, "node 1 ;  jail   4;", 0, "jail 4; node 1" },
	{ &type_cpu_set, "ALL", -EINVAL, NULL },
	{ &type_cpu_set, "all 1", -EINVAL, NULL },
	{ &type_cpu_set, "none", -EINVAL, NULL },
	{ &type_cpu_set, ";", -EINVAL, NULL },
	{ &type_cpu_set, "jail", -EINVAL, NULL },
	{ &type_cpu_set, "jail ", -EINVAL, NULL },
	{ &type_cpu_set, "jail4", -EINVAL, NULL },
	{ &type_cpu_set, "jail 0", -EINVAL, NULL },
	{ &type_cpu_set, "jail -1", -EINVAL, NULL },
	{ &type_cpu_set, "jail +1", -EINVAL, NULL },
	{ &type_cpu_set, "jail 1.5", -EINVAL, NULL },
	{ &type_cpu_set, "jail 1 2", -EINVAL, NULL },
	{ &type_cpu_set, "jail 1; jail 2", -EINVAL, NULL },
	{ &type_cpu_set, "jail 8193", -ERANGE, NULL },
	{ &type_cpu_set, "jail 99999999999999999999", -ERANGE, NULL },
	{ &type_cpu_set, "node", -EINVAL, NULL },
	{ &type_cpu_set, "node -1", -EINVAL, NULL },
	{ &type_cpu_set, "node 1024", -ERANGE, NULL },
	{ &type_cpu_set, "node 0; node 1", -EINVAL, NULL },
	{ &type_cpu_set, "node 0; 1", -EINVAL, NULL },
	{ &type_cpu_set, "0; node 0", -EINVAL, NULL },
	{ &type_cpu_set, "0-3, 7", -EINVAL, NULL },
	{ &type_cpu_set, "8192", -ERANGE, NULL },
};

static void release(const struct prop_type *type, union value *v)
{
	if (type->release)
		type->release(v);
}

/* format, parse, equal, copy: the laws, for a value that parsed. */
static void test_laws(const struct prop_type *type, const char *name, union value *v)
{
	autotext struct text shown = {};
	autotext struct text again = {};
	union value back = {}, copy = *v;
	char *trimmed;

	type->format(v, &shown);
	/* As the engine does with every value it is given. */
	trimmed = shown.p ? text_trim(shown.p) : (char *)"";
	if (!unit_ok(type->parse(trimmed, &back) == 0 && type->equal(v, &back), "%s '%s' shown reads back to the same",
		     type->name, name))
		return;
	type->format(&back, &again);
	unit_ok(strcmp(trimmed, *text_str(&again) ? text_trim(again.p) : "") == 0, "%s '%s' shows the same again",
		type->name, name);
	release(type, &back);
	if (type->copy) {
		copy = (union value){};
		unit_ok(type->copy(v, &copy) == 0 && type->equal(v, &copy), "%s '%s' equals its copy", type->name,
			name);
		release(type, &copy);
	}
}

static void test_row(const struct row *row)
{
	union value v, untouched;
	autotext struct text shown = {};
	const char *want = row->shown ? row->shown : row->text;
	int r;

	memset(&v, 0xa5, sizeof(v));
	untouched = v;
	r = row->type->parse(row->text, &v);
	if (!unit_ok(r == row->error, "%s '%s' gives %d", row->type->name, row->text, row->error))
		printf("# got %d\n", r);
	if (r < 0) {
		unit_ok(memcmp(&v, &untouched, sizeof(v)) == 0, "%s '%s' refused leaves the result alone",
			row->type->name, row->text);
		return;
	}
	row->type->format(&v, &shown);
	if (row->error == 0 &&
	    !unit_ok(strcmp(text_str(&shown), want) == 0, "%s '%s' is shown", row->type->name, row->text)) {
		printf("# got '");
		unit_print(text_str(&shown));
		printf("'\n");
	}
	test_laws(row->type, row->text, &v);
	release(row->type, &v);
}

static void test_all_types(void)
{
	for (size_t t = 0; types_all[t]; t++) {
		const struct prop_type *type = types_all[t];
		union value zero = {}, copy = {};
		size_t n = 0;
		for (size_t i = 0; i < ARRAY_LEN(rows); i++)
			n += rows[i].type == type;
		unit_ok(n > 0 && type->name && type->expected, "type %s has rows here", type->name);
		if (type->copy)
			unit_ok(type->copy(&zero, &copy) == 0 && type->equal(&zero, &copy),
				"%s: the empty value can be copied", type->name);
		release(type, &copy);
		release(type, &zero);
		release(type, &zero);
	}
}

struct key_row {
	const struct prop_type *type;
	const char *old, *key, *text; /* text NULL: get */
	int error;
	const char *want; /* the whole value after a set, or what get gives */
};

static const struct key_row key_rows[] = {
	{ &type_argv, "a\tb", "1", NULL, 0, "b" },
	{ &type_argv, "a\tb", "2", NULL, -ENODATA, "" },
	{ &type_argv, "a\tb", "x", NULL, -EINVAL, "" },
	{ &type_argv, "a\tb", "-1", NULL, -EINVAL, "" },
	{ &type_argv, "a\tb", "0", "c", 0, "c\tb" },
	{ &type_argv, "a", "3", "d", 0, "a\t\t\td" },
	{ &type_argv, "", "1", "", 0, "\\\n\t\\" },
	{ &type_argv, "", "x", "d", -EINVAL, "" },
	{ &type_argv, "", "99999999", "d", -ERANGE, "" },
	{ &type_argv, "", "99999999999999999999", "d", -ERANGE, "" },
	{ &type_env, "A=1;B=2;C", "B", NULL, 0, "2" },
	{ &type_env, "A=1;B=2;C", "C", NULL, -ENODATA, "" },
	{ &type_env, "AB=1", "A", NULL, -ENODATA, "" },
	{ &type_env, "A=1;B=2", "A", "x=y;z", 0, "A=x=y\\;z;B=2" },
	{ &type_env, "A=1", "C", "", 0, "A=1;C=" },
	{ &type_env, "A=1", "", "x", -EINVAL, "" },
	{ &type_env, "A=1", "A=", "x", -EINVAL, "" },
	{ &type_env, "A=1", " A", "x", -EINVAL, "" },
	{ &type_strmap, "a: x; b: y", "b", NULL, 0, "y" },
	{ &type_strmap, "a: x", "b", NULL, -ENODATA, "" },
	{ &type_strmap, "b: x", "a", "y;z", 0, "a: y\\;z; b: x" },
	{ &type_strmap, "a: x; b: y", "a", "", 0, "b: y" },
	{ &type_strmap, "a: x", " ", "y", -EINVAL, "" },
	{ &type_links, "/a/b: x", "!a!b", NULL, 0, "x" },
	{ &type_iolimit, "/a/b r: 1", "!a!b r", NULL, 0, "1" },
	{ &type_iolimit, "/a/b r: 1", ".!a w", "2", 0, "./a w: 2; /a/b r: 1" },
	{ &type_links, "/a/b: x", "!a!c", "y", 0, "/a/b: x; /a/c: y" },
	{ &type_bytemap, "a: 1K", "a", NULL, 0, "1024" },
	{ &type_bytemap, "a: 1K", "b", "2K", 0, "a: 1024; b: 2048" },
	{ &type_bytemap, "a: 1K", "a", "", 0, "" },
	{ &type_bytemap, "a: 1K", "a", "x", -EINVAL, "" },
	{ &type_iolimit, "sda r: 1K", "sda r", NULL, 0, "1024" },
	{ &type_iolimit, "sda r: 1K", "sda   r", NULL, 0, "1024" },
	{ &type_iolimit, "sda r: 1K", "sda", NULL, -ENODATA, "" },
	{ &type_iolimit, "sda r: 1K", "sda x", NULL, -EINVAL, "" },
	{ &type_iolimit, "sda r: 1K", "sda", "2K", 0, "sda: 2048; sda r: 1024" },
	{ &type_iolimit, "sda r: 1K", "sda  r", "2K", 0, "sda r: 2048" },
	{ &type_iolimit, "sda: 1; sdb: 2", "sda", "0", 0, "sdb: 2" },
	{ &type_iolimit, "sda: 1; sdb: 2", "sda", "", 0, "sdb: 2" },
	{ &type_iolimit, "sda: 1", "sda", "-1", -EINVAL, "" },
	{ &type_iolimit, "sda: 1", "sda q", "1", -EINVAL, "" },
	{ &type_ulimit, "nofile: 1 2", "nofile", NULL, 0, "nofile: 1 2" },
	{ &type_ulimit, "nofile: 1 2", "core", NULL, 0, "" },
	{ &type_ulimit, "nofile: 1 2", "bogus", NULL, 0, "" },
	{ &type_ulimit, "nofile: 1 2", "core", "0", 0, "core: 0 0; nofile: 1 2; " },
	{ &type_ulimit, "nofile: 1 2", "nofile", "nofile: 3 4", 0, "nofile: 3 4; " },
	{ &type_ulimit, "nofile: 1 2", "nofile", "core: 3 4", -EINVAL, "" },
	{ &type_ulimit, "nofile: 1 2", "nofile", "", 0, "" },
	{ &type_ulimit, "nofile: 1 2", "bogus", "5", -EINVAL, "" },
	{ &type_ulimit, "nofile: 1 2", "bogus", "", -EINVAL, "" },
	{ &type_labels, "TEST.a: 1", "TEST.a", NULL, 0, "1" },
	{ &type_labels, "TEST.a: 1", "TEST.b", NULL, -ENODATA, "" },
	{ &type_labels, "TEST.a: 1", "TEST.b", "2", 0, "TEST.a: 1; TEST.b: 2" },
	{ &type_labels, "TEST.a: 1", "TEST.a", "", 0, "" },
	{ &type_labels, "TEST.a: 1", "test.b", "2", -EINVAL, "" },
	{ &type_labels, "TEST.a: 1", "TEST.b", "x y", -EINVAL, "" },
};

static void test_key(const struct key_row *row)
{
	autotext struct text got = {};
	union value old = {}, v = {};
	int r = row->type->parse(row->old, &old);

	if (!unit_ok(r == 0, "%s '%s' parses", row->type->name, row->old))
		return;
	if (!row->text) {
		r = row->type->get_key(&old, row->key, &got);
	} else {
		r = row->type->set_key(&old, row->key, row->text, &v);
		if (r == 0) {
			row->type->format(&v, &got);
			test_laws(row->type, text_str(&got), &v);
			release(row->type, &v);
		}
	}
	if (!unit_ok(r == row->error && strcmp(text_str(&got), row->want) == 0, "%s '%s' [%s] %s%s", row->type->name,
		     row->old, row->key, row->text ? "= " : "is read", row->text ? row->text : ""))
		printf("# got %d '%s'\n", r, text_str(&got));
	release(row->type, &old);
}

static const struct {
	const struct prop_type *type;
	const char *old, *text;
	int error;
	const char *want;
} append_rows[] = {
	{ &type_list, "a;b", "c;d", 0, "a;b;c;d" },
	{ &type_list, "", "c", 0, "c" },
	{ &type_list, "a", "", 0, "a" },
	{ &type_argv, "a", "b\tc", 0, "a\tb\tc" },
	{ &type_env, "A=1;B=2", "C=3;A=4", 0, "A=4;B=2;C=3" },
	{ &type_env, "A=1", "=3", -EINVAL, "" },
	{ &type_strmap, "a: x; b: y", "b: z; c: w", 0, "a: x; b: z; c: w" },
	{ &type_strmap, "a: x; b: y", "b:", 0, "a: x" },
	{ &type_strmap, "a: x", "b", -EINVAL, "" },
	{ &type_bytemap, "a: 1", "a: 1K; b: 2", 0, "a: 1024; b: 2" },
	{ &type_iolimit, "sda: 1", "sda: 1K; sdb: 2", 0, "sda: 1024; sdb: 2" },
	{ &type_iolimit, "sda: 1; sdb: 2", "sda: 0", 0, "sdb: 2" },
	{ &type_iolimit, "sda: 1", "5", 0, "fs: 5; sda: 1" },
	{ &type_iolimit, "sda: 1", "sdb: 2; sdb: 2", -EINVAL, "" },
	{ &type_ulimit, "nofile: 1 2", "core: 0", 0, "core: 0 0; nofile: 1 2; " },
	{ &type_ulimit, "nofile: 1 2", "nofile: 3", 0, "nofile: 3 3; " },
	{ &type_ulimit, "nofile: 1 2", "core: 0; core: 1", -EINVAL, "" },
	{ &type_labels, "TEST.a: 1; TEST.b: 2", "TEST.b:; TEST.c: 3", 0, "TEST.a: 1; TEST.c: 3" },
};

static void test_append(void)
{
	for (size_t i = 0; i < ARRAY_LEN(append_rows); i++) {
		const struct prop_type *type = append_rows[i].type;
		autotext struct text got = {};
		union value old = {}, v = {};
		int r = type->parse(append_rows[i].old, &old);
		if (r == 0)
			r = type->append(&old, append_rows[i].text, &v);
		if (r == 0)
			type->format(&v, &got);
		unit_ok(r == append_rows[i].error && strcmp(text_str(&got), append_rows[i].want) == 0,
			"%s '%s' >> '%s'", type->name, append_rows[i].old, append_rows[i].text);
		release(type, &old);
		if (r == 0)
			release(type, &v);
	}
}

static void test_long(void)
{
	autotext struct text t = {};
	union value v = {};
	char *path = malloc(4097);

	memset(path, 'a', 4096);
	path[4096] = 0;
	unit_int(type_path.parse(path, &v), -ERANGE, "path of 4096 bytes is refused");
	path[4095] = 0;
	unit_int(type_path.parse(path, &v), 0, "path of 4095 bytes is taken");
	release(&type_path, &v);
	free(path);

	for (int i = 100000; i > 0; i--)
		text_addf(&t, "N%d=%d;N%d=x;", i, i, i / 2);
	unit_int(type_env.parse(text_str(&t), &v), 0, "env of 200,000 entries with repeated names");
	release(&type_env, &v);
	text_clear(&t);
	for (int i = 100000; i > 0; i--)
		text_addf(&t, "k%d: %d;", i, i);
	unit_int(type_strmap.parse(text_str(&t), &v), 0, "strmap of 100,000 entries in reverse order");
	unit_str(pairs_get(&v.m, "k777"), "777", "and each is found");
	release(&type_strmap, &v);
	text_clear(&t);
	for (int i = 0; i < 40000; i++)
		text_add(&t, "a\t");
	unit_int(type_argv.parse(text_str(&t), &v), -ERANGE, "argv of 40,000 words is refused");
}

int main(void)
{
	types_host_cores = 32;
	test_all_types();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		test_row(&rows[i]);
	for (size_t i = 0; i < ARRAY_LEN(key_rows); i++)
		test_key(&key_rows[i]);
	test_append();
	test_long();
	return unit_end();
}
