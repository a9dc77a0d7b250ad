/* Addresses and lists of them. */
#include "netctl/netctl.h"

#include <sys/socket.h>

#include "tests/unit/unit.h"

static const struct {
	const char *text, *want; /* NULL: -EINVAL */
} addrs[] = {
	{ "10.0.0.1", "10.0.0.1" },
	{ "10.0.0.1/32", "10.0.0.1" },
	{ "10.0.0.7/24", "10.0.0.7/24" },
	{ "0.0.0.0/0", "0.0.0.0/0" },
	{ "fd00::1", "fd00::1" },
	{ "FD00:0:0::1/64", "fd00::1/64" },
	{ "fd00::1/128", "fd00::1" },
	{ "::/0", "::/0" },
	{ "::ffff:1.2.3.4", "::ffff:1.2.3.4" },
	{ "", NULL },
	{ "10.0.0", NULL },
	{ "10.0.0.256", NULL },
	{ "10.0.0.1/33", NULL },
	{ "10.0.0.1/", NULL },
	{ "10.0.0.1/+4", NULL },
	{ "10.0.0.1/0024", NULL },
	{ "10.0.0.1/24/24", NULL },
	{ "10.0.0.1 ", NULL },
	{ "fd00::1/129", NULL },
	{ "fd00:::1", NULL },
	{ "fe80::1%eth0", NULL },
	{ "localhost", NULL },
	{ "/24", NULL },
};

static void test_addrs(void)
{
	for (size_t i = 0; i < ARRAY_LEN(addrs); i++) {
		struct net_addr a = {};
		char buf[NET_ADDR_TEXT] = "";
		int r = net_addr_parse(addrs[i].text, &a);
		if (r == 0)
			net_addr_format(&a, buf);
		unit_ok(addrs[i].want ? r == 0 && strcmp(buf, addrs[i].want) == 0 : r == -EINVAL, "address '%s': %d '%s'",
			addrs[i].text, r, buf);
	}
}

static const struct {
	const char *addr, *net;
	bool inside;
} pairs[] = {
	{ "10.0.0.1", "10.0.0.0/24", true },       { "10.0.1.1", "10.0.0.0/24", false },
	{ "10.0.0.130", "10.0.0.128/25", true },   { "10.0.0.127", "10.0.0.128/25", false },
	{ "10.0.0.0/25", "10.0.0.0/24", true },    { "10.0.0.0/24", "10.0.0.0/25", false },
	{ "1.2.3.4", "0.0.0.0/0", true },          { "fd00::1", "0.0.0.0/0", false },
	{ "fd00::1", "fd00::/64", true },          { "fd00:0:0:1::1", "fd00::/64", false },
	{ "fd00::1", "fd00::1", true },            { "fd00::2", "fd00::1", false },
	{ "fd00::8000:1", "fd00::8000:0/97", true }, { "fd00::1", "fd00::8000:0/97", false },
};

static void test_inside(void)
{
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		struct net_addr a, net;
		unit_ok(net_addr_parse(pairs[i].addr, &a) == 0 && net_addr_parse(pairs[i].net, &net) == 0 &&
				net_addr_inside(&a, &net) == pairs[i].inside,
			"%s is %sinside %s", pairs[i].addr, pairs[i].inside ? "" : "not ", pairs[i].net);
	}
}

static const struct {
	const char *text;
	bool gateway;
	const char *want;  /* NULL: InvalidValue */
	const char *names; /* a word that the sentence must have */
} lists[] = {
	{ "", false, "", NULL },
	{ " ; ;", false, "", NULL },
	{ "eth0 10.0.0.1", false, "eth0 10.0.0.1", NULL },
	{ "eth0 10.0.0.1/24; eth0\tfd00::1/64 ;veth auto", false, "eth0 10.0.0.1/24;eth0 fd00::1/64;veth auto", NULL },
	{ "eth0 10.0.0.1; eth0 10.0.0.2", false, "eth0 10.0.0.1;eth0 10.0.0.2", NULL },
	{ "eth0 10.0.0.1; eth0 fd00::1", true, "eth0 10.0.0.1;eth0 fd00::1", NULL },
	{ "eth0 fe80::1", true, "eth0 fe80::1", NULL },
	{ "eth0", false, NULL, "eth0" },
	{ "eth0 10.0.0.1 x", false, NULL, "eth0 10.0.0.1 x" },
	{ "eth0 10.0.0.1x", false, NULL, "10.0.0.1x" },
	{ "eth0 default", false, NULL, "default" },
	{ "a/b 10.0.0.1", false, NULL, "a/b" },
	{ "eth* 10.0.0.1", false, NULL, "eth*" },
	{ ".. 10.0.0.1", false, NULL, ".." },
	{ "eth0123456789abc 10.0.0.1", false, NULL, "eth0123456789abc" },
	{ "eth0 127.0.0.1", false, NULL, "127.0.0.1" },
	{ "eth0 0.0.0.0", false, NULL, "0.0.0.0" },
	{ "eth0 224.0.0.1", false, NULL, "224.0.0.1" },
	{ "eth0 ff02::1", false, NULL, "ff02::1" },
	{ "eth0 ::1", false, NULL, "::1" },
	{ "eth0 auto; eth0 auto", false, NULL, "already" },
	{ "eth0 auto", true, NULL, "auto" },
	{ "eth0 10.0.0.1/24", true, NULL, "10.0.0.1/24" },
	{ "eth0 10.0.0.1/32", true, NULL, "10.0.0.1/32" },
	{ "eth0 10.0.0.1; eth0 10.0.0.2", true, NULL, "already" },
};

static void test_lists(void)
{
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		struct net_ifaddrs list = {}, again = {};
		autotext struct text t = {};
		autotext struct text back = {};
		struct err err = {};
		int r = net_ifaddrs_parse(lists[i].text, lists[i].gateway, &list, &err);
		if (!lists[i].want) {
			unit_ok(r == -EINVAL && err.kind == ERR_InvalidValue && strstr(err.text, lists[i].names) && !list.p,
				"list '%s' is refused: %s", lists[i].text, err.text);
			continue;
		}
		net_ifaddrs_format(&list, &t);
		unit_ok(r == 0 && strcmp(text_str(&t), lists[i].want) == 0, "list '%s' is '%s' %s", lists[i].text, text_str(&t),
			err.text);
		r = net_ifaddrs_parse(text_str(&t), lists[i].gateway, &again, &err);
		net_ifaddrs_format(&again, &back);
		unit_ok(r == 0 && strcmp(text_str(&t), text_str(&back)) == 0, "list '%s' reads back", lists[i].text);
		net_ifaddrs_done(&list);
		net_ifaddrs_done(&again);
	}
}

static void test_many(void)
{
	autotext struct text t = {};
	struct net_ifaddrs list = {};
	struct err err = {};

	for (int i = 0; i < 300; i++)
		text_addf(&t, "eth0 10.0.%d.%d;", i / 250, i % 250 + 1);
	unit_ok(net_ifaddrs_parse(t.p, false, &list, &err) == -EINVAL && strstr(err.text, "300"), "too many: %s", err.text);
}

int main(void)
{
	test_addrs();
	test_inside();
	test_lists();
	test_many();
	return unit_end();
}
