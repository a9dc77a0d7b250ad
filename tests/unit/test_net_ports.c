/* Published ports as text. */
#include "netctl/netctl.h"
#include "netctl/words.h"
#include "tests/unit/unit.h"

static const struct {
	const char *text, *shown; /* NULL: refused */
} rows[] = {
	{ "", "" },
	{ "tcp 8080:80", "tcp 8080:80" },
	{ " tcp  8080:80 ;; udp 53 ; ", "tcp 8080:80;udp 53" },
	{ "tcp 22", "tcp 22" },
	{ "tcp 22:22", "tcp 22" },
	{ "tcp 00022", "tcp 22" },
	{ "sctp 9:10", "sctp 9:10" },
	{ "udp 5000-5010:6000", "udp 5000-5010:6000" },
	{ "udp 5000-5010:6000-6010", "udp 5000-5010:6000" },
	{ "udp 5000-5010", "udp 5000-5010" },
	{ "udp 5000-5000", "udp 5000" },
	{ "tcp 65535:1", "tcp 65535:1" },
	{ "tcp 10.0.0.1 8443:443", "tcp 10.0.0.1 8443:443" },
	{ "tcp fd00::1 8443:443", "tcp fd00::1 8443:443" },
	{ "tcp 0.0.0.0 80", "tcp 0.0.0.0 80" },
	{ "tcp 10.0.0.1 80; tcp 10.0.0.2 80:81", "tcp 10.0.0.1 80;tcp 10.0.0.2 80:81" },
	{ "tcp 10.0.0.1 80; tcp fd00::1 80", "tcp 10.0.0.1 80;tcp fd00::1 80" },
	{ "tcp 0.0.0.0 80; tcp :: 80", "tcp 0.0.0.0 80;tcp :: 80" },
	{ "tcp 80; udp 80", "tcp 80;udp 80" },
	{ "tcp 80-82; tcp 83-84", "tcp 80-82;tcp 83-84" },
	{ "tcp 1-4096", "tcp 1-4096" },
	{ "tcp 80; tcp 80", NULL },
	{ "tcp 80:1; tcp 80:2", NULL },
	{ "tcp 80-90; tcp 85", NULL },
	{ "tcp 85; tcp 80-90", NULL },
	{ "tcp 80; tcp 10.0.0.1 80", NULL },
	{ "tcp 0.0.0.0 80; tcp 10.0.0.1 80", NULL },
	{ "tcp fd00::1 80; tcp 80", NULL },
	{ "tcp 1-4097", NULL },
	{ "tcp 1-4000; udp 1-97", NULL },
	{ "tcp", NULL },
	{ "80", NULL },
	{ "8080:80", NULL },
	{ "icmp 80", NULL },
	{ "TCP 80", NULL },
	{ "tcp 0", NULL },
	{ "tcp 0:80", NULL },
	{ "tcp 80:0", NULL },
	{ "tcp 65536", NULL },
	{ "tcp 80:65536", NULL },
	{ "tcp 100000000", NULL },
	{ "tcp -80", NULL },
	{ "tcp 80-", NULL },
	{ "tcp 90-80", NULL },
	{ "tcp 80:", NULL },
	{ "tcp :80", NULL },
	{ "tcp 80:80:80", NULL },
	{ "tcp 80-90:100-105", NULL },
	{ "tcp 80:80-90", NULL },
	{ "tcp 80-90:65530", NULL },
	{ "tcp 80,81", NULL },
	{ "tcp 10.0.0.1/24 80", NULL },
	{ "tcp host 80", NULL },
	{ "tcp 10.0.0.1 80 81", NULL },
	{ "tcp 0x50", NULL },
};

static void test_rows(void)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		autotext struct text shown = {};
		struct net_ports ports = {};
		struct err err = {};
		int r = net_ports_parse(rows[i].text, &ports, &err);

		if (!rows[i].shown) {
			unit_ok(r == -EINVAL && err.kind == ERR_InvalidValue && !ports.p, "'%s' is refused: %s", rows[i].text, err.text);
			continue;
		}
		net_ports_format(&ports, &shown);
		unit_ok(r == 0 && strcmp(text_str(&shown), rows[i].shown) == 0, "'%s' is shown as '%s'", rows[i].text, text_str(&shown));
		net_ports_done(&ports);
	}
}

static void test_values(void)
{
	struct net_ports ports = {};
	struct err err = {};

	if (!unit_ok(net_ports_parse("udp fd00::1 5000-5010:6000", &ports, &err) == 0, "a range on one address"))
		return;
	unit_ok(ports.n == 1 && ports.p[0].from == 5000 && ports.p[0].to == 6000 && ports.p[0].count == 11, "its numbers");
	unit_ok(ports.p[0].listen.family != 0 && ports.p[0].listen.prefix == 128, "its address");
	net_ports_done(&ports);
}

int main(void)
{
	test_rows();
	test_values();
	return unit_end();
}
