/* Configuration files: what is taken, and that a bad line is refused with its place and changes nothing. */
#include "engine/config.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "tests/unit/unit.h"

static char dir[] = "/tmp/porto-config-XXXXXX";
static char file[64], sub[64];

static void put(const char *path, const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || fd_write_all(fd, text, len) < 0)
		printf("# %s can't be written\n", path);
	close(fd);
}

static const struct {
	const char *text, *error; /* error NULL: taken */
} rows[] = {
	{ "", NULL },
	{ "# nothing\n; at all\n\n", NULL },
	{ "[container]\nmax_total = 5\n", NULL },
	{ "[container]\r\nmax_total = 5\r\n", NULL },
	{ "\xef\xbb\xbf[container]\nmax_total=5", NULL },
	{ "  [container]\n   max_total   =   5  \n", NULL },
	{ "[daemon]\nlog_file =\n[container]\n[daemon]\nlog_level = debug\n", NULL },
	{ "[container]\nextra_env = A=1;B=2; C=#3\n", NULL },
	{ "[container]\nmax_total = x\n", "2: container.max_total: 'x': expected a number" },
	{ "[container]\nmax_total = 99999999999999999999\n",
	  "2: container.max_total: '99999999999999999999': out of range" },
	{ "[container]\nmax_total = -1\n", "2: container.max_total: '-1': expected" },
	{ "[container]\nmax_total =\n", "2: container.max_total: '': expected" },
	{ "\n\n[container]\n# x\nmax = 5\n", "5: unknown option 'max' in section 'container'" },
	{ "[containers]\n", "1: unknown section 'containers'" },
	{ "[]\n", "1: unknown section ''" },
	{ "max_total = 5\n", "1: 'max_total' stands in no section" },
	{ "[container\nmax_total = 5\n", "1: expected [section] alone" },
	{ "[container] max_total = 5\n", "1: expected [section] alone" },
	{ "[container]\nmax_total\n", "2: expected [section] or name = value" },
	{ "[container]\nmax_total = 5\n   6\n", "3: expected [section] or name = value" },
	{ "[container]\nmax_total = 5 ; five\n", "2: the line holds a blank before ';'" },
	{ "[container]\nextra_env = A=1 ;B=2\n", "2: the line holds a blank before ';'" },
	{ "[container]\nextra_env =;A=1\n", "2: container.extra_env: the value holds a ';' at its beginning" },
	{ "[container]\nextra_env = =1\n", "2: container.extra_env: '=1': expected a list" },
	{ "[container]\ndefault_ulimit = bogus: 5\n", "2: container.default_ulimit: 'bogus: 5': expected limits" },
	{ "[container]\nenable_start_parents = yes\n",
	  "2: container.enable_start_parents: 'yes': expected true or false" },
	{ "[container]\nstdout_limit = 8X\n", "2: container.stdout_limit: '8X': expected bytes" },
	{ "[container]\nstop_timeout = 5m\n", "2: container.stop_timeout: '5m': expected a time" },
	{ "[network]\nnat_first_ipv4 = foo\n", "2: network.nat_first_ipv4: 'foo': expected auto, an IPv4 address" },
	{ "[network]\nnat_first_ipv4 = 10.0.0.0/24\n", "2: network.nat_first_ipv4: '10.0.0.0/24': expected" },
	{ "[network]\nnat_first_ipv6 = 10.0.0.1\n", "2: network.nat_first_ipv6: '10.0.0.1': expected" },
	{ "[network]\nauto_ipv4 = 10.0.0.0/33\n", "2: network.auto_ipv4: '10.0.0.0/33': expected an IPv4 prefix" },
	{ "[network]\nauto_ipv6 = 10.0.0.0/8\n", "2: network.auto_ipv6: '10.0.0.0/8': expected an IPv6 prefix" },
	{ "[network]\nl3_default_mtu = 10\n", "2: network.l3_default_mtu: '10': out of range" },
	{ "[container]\nnet_sysctl = vm.swappiness: 1\n", "2: container.net_sysctl: 'vm.swappiness: 1': expected" },
	{ "[container]\nipc_sysctl = net.ipv4.ip_forward: 1\n", "2: container.ipc_sysctl: 'net.ipv4.ip_forward: 1': expected" },
	{ "[daemon]\nlog_level = loud\n", "2: daemon.log_level: 'loud': expected error, warning" },
	{ "[daemon]\nlog_file = a\x01"
	  "b\n",
	  "2: the line holds a control character" },
	{ "[daemon]\n= b\n", "2: unknown option ''" },
	{ "[daemon]\nmount = /a\nlog_level = loud\nbogus\n", "3: daemon.log_level" },
};

static void test_rows(void)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		autotext struct text before = {};
		autotext struct text after = {};
		struct config c;
		struct err err = {};
		const char *at;
		int r;

		config_init(&c);
		config_format(&c, &before);
		put(file, rows[i].text, strlen(rows[i].text));
		r = config_load(&c, file, &err);
		config_format(&c, &after);
		config_done(&c);
		if (!rows[i].error) {
			if (!unit_ok(r == 0, "'%s' is taken", rows[i].text))
				printf("# %s\n", err.text);
			continue;
		}
		at = strstr(err.text, rows[i].error);
		if (!unit_ok(r == -EINVAL && at && at[-1] == ':' && strncmp(err.text, file, strlen(file)) == 0 &&
				     err.kind == ERR_InvalidValue,
			     "'%s' is refused with its place", rows[i].text))
			printf("# got %d %s\n", r, err.text);
		unit_ok(strcmp(text_str(&before), text_str(&after)) == 0, "'%s' changes nothing", rows[i].text);
	}
	unlink(file);
}

static void test_nul(void)
{
	struct config c;
	struct err err = {};

	config_init(&c);
	put(file, "[daemon]\nlog_file = a\0b\n", 24);
	unit_ok(config_load(&c, file, &err) == -EINVAL && strstr(err.text, ":2: a NUL byte"), "a NUL byte is refused");
	unlink(file);
	mkdir(file, 0700);
	unit_ok(config_load(&c, file, &err) < 0 && err.text[0], "a directory in its place is refused");
	rmdir(file);
	config_done(&c);
}

/* libinih's buffer is 200 bytes. */
static void test_long_lines(void)
{
	for (size_t len = 150; len < 1000; len += 7) {
		autotext struct text t = {};
		autotext struct text value = {};
		struct config c;
		struct err err = {};
		bool ok;

		while (value.len < len)
			text_addf(&value, "N%zu=[a b];#x;", value.len);
		text_addf(&t, "[container]\nextra_env = %s\n[daemon]\nlog_file = /x\n", value.p);
		put(file, t.p, t.len);
		config_init(&c);
		ok = config_load(&c, file, &err) == 0 && strcmp(c.container_extra_env, value.p) == 0 &&
		     strcmp(c.daemon_log_file, "/x") == 0;
		if (!ok || len + 7 >= 1000)
			unit_ok(ok, "a value of %zu bytes is whole %s", value.len, err.text);
		config_done(&c);
	}
	unlink(file);
}

static void test_long_refused(void)
{
	autotext struct text t = {};
	struct config c;
	struct err err = {};

	text_addf(&t, "[daemon]\n%0*d = 5\n", 300, 0);
	put(file, t.p, t.len);
	config_init(&c);
	unit_ok(config_load(&c, file, &err) == -EINVAL && strstr(err.text, ":2: the line is too long to be cut"),
		"a long name is refused");
	text_clear(&t);
	text_addf(&t, "[daemon]\nlog_file = a%*sb\n", 300, "");
	put(file, t.p, t.len);
	unit_ok(config_load(&c, file, &err) == -EINVAL && strstr(err.text, ":2: the line is too long to be cut"),
		"300 blanks are refused");
	text_clear(&t);
	text_addf(&t, "[daemon]\nlog_file = %0*d\n", 70000, 0);
	put(file, t.p, t.len);
	unit_ok(config_load(&c, file, &err) == -EINVAL && strstr(err.text, ":2: the line is too long"),
		"70,000 bytes are refused");
	config_done(&c);
	unlink(file);
}

static void test_directory(void)
{
	struct config c;
	struct err err = {};
	char path[128];

	config_init(&c);
	mkdir(sub, 0700);
	put(file, "[container]\nmax_total = 1\nmax_waiters = 1\n", 42);
	snprintf(path, sizeof(path), "%s/20-b.conf", sub);
	put(path, "[container]\nmax_total = 3\n", 26);
	snprintf(path, sizeof(path), "%s/10-a.conf", sub);
	put(path, "[container]\nmax_total = 2\n", 26);
	snprintf(path, sizeof(path), "%s/30-c.conf.bak", sub);
	put(path, "bogus\n", 6);
	unit_ok(config_load(&c, file, &err) == 0 && c.container_max_total == 3 && c.container_max_waiters == 1,
		"later files win");
	snprintf(path, sizeof(path), "%s/15.conf", sub);
	put(path, "[container]\nmax_waiters = 7\nmax_total = x\n", 42);
	unit_ok(config_load(&c, file, &err) == -EINVAL && strstr(err.text, path) && c.container_max_waiters == 1,
		"one bad file and nothing is applied");
	config_done(&c);
	tree_remove(AT_FDCWD, sub);
	unlink(file);
}

static void test_set_and_format(void)
{
	autotext struct text shown = {};
	autotext struct text again = {};
	autotext struct text help = {};
	struct config c, back;
	struct err err = {};

	config_init(&c);
	config_init(&back);
	unit_ok(strcmp(c.daemon_mount, "/porto") == 0 && c.container_stop_timeout == UINT64_C(30000000000) &&
			c.daemon_cgroup_v2 && c.notes_fd == -1,
		"defaults");
	unit_int(config_load(&c, file, &err), 0, "missing files are fine");
	unit_ok(config_set(&c, "daemon", "watchdog", "1500ms", &err) == 0 &&
			config_set(&c, "daemon", "mount", " /x ", &err) == 0 &&
			config_set(&c, "container", "stdout_limit", "1536K", &err) == 0 &&
			config_set(&c, "daemon", "read_only", "true", &err) == 0,
		"config_set");
	unit_ok(c.daemon_watchdog == 1500000000 && strcmp(c.daemon_mount, "/x") == 0 &&
			c.container_stdout_limit == 1536 * 1024 && c.daemon_read_only,
		"config_set gives the values");
	unit_ok(config_set(&c, "daemon", "mount", "/a\n/b", &err) == -EINVAL && strcmp(c.daemon_mount, "/x") == 0,
		"a newline is refused");
	unit_ok(config_set(&c, "x", "mount", "", &err) == -EINVAL && config_set(&c, "daemon", "x", "", NULL) == -EINVAL,
		"unknown ones are refused");
	config_format(&c, &shown);
	put(file, shown.p, shown.len);
	unit_int(config_load(&back, file, &err), 0, "what config_format shows can be read");
	config_format(&back, &again);
	unit_str(text_str(&again), text_str(&shown), "and is the same");
	config_help(&help);
	put(file, help.p, help.len);
	unit_int(config_load(&back, file, &err), 0, "what config_help shows can be read");
	unit_ok(strstr(help.p, "# where the tree is mounted\nmount = /porto\n") && strstr(help.p, "watchdog = 15s\n") &&
			strstr(help.p, "stdout_limit = 8M\n") && strstr(help.p, "default_aging_time = 86400\n"),
		"config_help says what each is");
	unlink(file);
	config_done(&c);
	config_done(&back);
}

int main(void)
{
	if (!mkdtemp(dir))
		return 2;
	snprintf(file, sizeof(file), "%s/portod.conf", dir);
	snprintf(sub, sizeof(sub), "%s/portod.conf.d", dir);
	test_rows();
	test_nul();
	test_long_lines();
	test_long_refused();
	test_directory();
	test_set_and_format();
	tree_remove(AT_FDCWD, dir);
	return unit_end();
}
