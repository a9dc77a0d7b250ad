/* The property net: which namespace, which devices. */
#include "netctl/kinds.h"

#include "tests/unit/unit.h"

/* What a specification is, in one line. */
static void show(const struct net_spec *s, struct text *out)
{
	static const char *const modes[] = { "inherited", "own", "container", "netns" };

	text_addf(out, "%s", modes[s->mode]);
	if (s->target)
		text_addf(out, " %s", s->target);
	for (size_t i = 0; i < s->n; i++) {
		const struct net_dev *d = &s->devs[i];
		char addr[NET_ADDR_TEXT];
		text_addf(out, "; %s %s", d->kind->word ? d->kind->word : "-", d->name);
		if (d->master[0])
			text_addf(out, " on %s", d->master);
		if (d->mode[0])
			text_addf(out, " %s", d->mode);
		if (d->mtu)
			text_addf(out, " mtu %u", d->mtu);
		if (d->has_mac)
			text_addf(out, " mac %02x%02x%02x%02x%02x%02x", d->mac[0], d->mac[1], d->mac[2], d->mac[3], d->mac[4],
				  d->mac[5]);
		if (d->remote.family) {
			net_addr_format(&d->remote, addr);
			text_addf(out, " %s", addr);
			net_addr_format(&d->local, addr);
			text_addf(out, " %s", addr);
		}
		text_addf(out, "%s%s", d->ecn ? " ecn" : "", d->autoconf ? " autoconf" : "");
	}
	if (s->ecn_all)
		text_add(out, "; ecn");
	for (size_t i = 0; i < s->commands.n; i++)
		text_addf(out, "; ip '%s'", s->commands.p[i]);
	if (net_spec_is_l3(s))
		text_add(out, " (L3)");
}

static const struct {
	const char *text, *want;
} good[] = {
	{ "inherited", "inherited" },
	{ "host", "inherited" },
	{ " inherited ; ;host", "inherited" },
	{ "none", "own (L3)" },
	{ "container a/b", "container a/b" },
	{ "netns blue", "netns blue" },
	{ "L3", "own; L3 eth0 (L3)" },
	{ "L3 extra_routes", "own; L3 eth0 (L3)" },
	{ "L3 veth", "own; L3 veth (L3)" },
	{ "L3 extra_routes veth eth*", "own; L3 veth on eth* (L3)" },
	{ "L3 veth bond0.1", "own; L3 veth on bond0.1 (L3)" },
	{ "NAT", "own; NAT eth0 (L3)" },
	{ "NAT veth", "own; NAT veth (L3)" },
	{ "L3 a; L3 b; NAT c", "own; L3 a; L3 b; NAT c (L3)" },
	{ "veth eth0 br0", "own; veth eth0 on br0" },
	{ "veth eth0 br0 1400", "own; veth eth0 on br0 mtu 1400" },
	{ "veth eth0 br0 02:00:00:00:00:01", "own; veth eth0 on br0 mac 020000000001" },
	{ "veth eth0 br0 1400 02:AB:00:00:00:01", "own; veth eth0 on br0 mtu 1400 mac 02ab00000001" },
	{ "macvlan eth0 e0", "own; macvlan e0 on eth0" },
	{ "macvlan eth? e0 private 9000 02:00:00:00:00:01", "own; macvlan e0 on eth? private mtu 9000 mac 020000000001" },
	{ "macvlan eth0 e0 9000", "own; macvlan e0 on eth0 mtu 9000" },
	{ "ipvlan eth0 e0 l3 1500", "own; ipvlan e0 on eth0 l3 mtu 1500" },
	{ "steal eth1", "own; steal eth1 on eth1" },
	{ "host eth1", "own; host eth1 on eth1" },
	{ "ipip6 tun0 fd00::1 fd00::2", "own; ipip6 tun0 fd00::1 fd00::2 (L3)" },
	{ "tap tap0", "inherited; tap tap0" },
	{ "inherited; tap tap0; tap tap1", "inherited; tap tap0; tap tap1" },
	{ "L3; MTU eth0 1400; MAC eth0 02:00:00:00:00:01", "own; L3 eth0 mtu 1400 mac 020000000001 (L3)" },
	{ "L3; ECN", "own; L3 eth0; ecn (L3)" },
	{ "L3; ECN eth0; autoconf eth0", "own; L3 eth0 ecn autoconf (L3)" },
	{ "L3; MTU ip6tnl0 1400", "own; L3 eth0; - ip6tnl0 mtu 1400 (L3)" },
	{ "ip link add  dummy0\ttype dummy", "own; ip 'link add dummy0 type dummy'" },
	{ "L3; ip route add x\\;y", "own; L3 eth0; ip 'route add x;y'" },
};

static const struct {
	const char *text;
	enum err_kind kind;
	const char *names; /* a word of the sentence */
} bad[] = {
	{ "", ERR_InvalidValue, "empty" },
	{ " ; ", ERR_InvalidValue, "empty" },
	{ "bogus", ERR_InvalidValue, "bogus" },
	{ "l3", ERR_InvalidValue, "l3" },
	{ "inherited x", ERR_InvalidValue, "inherited" },
	{ "inherited; none", ERR_InvalidValue, "none" },
	{ "none; none", ERR_InvalidValue, "alone" },
	{ "none; L3", ERR_InvalidValue, "alone" },
	{ "none; MTU ip6tnl0 1400", ERR_InvalidValue, "alone" },
	{ "inherited; L3", ERR_InvalidValue, "Uncertain" },
	{ "tap t; L3", ERR_InvalidValue, "Uncertain" },
	{ "netns a; L3", ERR_InvalidValue, "Uncertain" },
	{ "container a; netns b", ERR_InvalidValue, "two" },
	{ "container a; container b", ERR_InvalidValue, "two" },
	{ "container a; inherited", ERR_InvalidValue, "Uncertain" },
	{ "MTU ip6tnl0 1400", ERR_InvalidValue, "Uncertain" },
	{ "inherited; MTU ip6tnl0 1400", ERR_InvalidValue, "ip6tnl0" },
	{ "ECN", ERR_InvalidValue, "Uncertain" },
	{ "container", ERR_InvalidValue, "container" },
	{ "container a b", ERR_InvalidValue, "container" },
	{ "container ../x", ERR_InvalidValue, "../x" },
	{ "netns ../x", ERR_Permission, "../x" },
	{ "netns a/b", ERR_InvalidValue, "a/b" },
	{ "netns", ERR_InvalidValue, "netns" },
	{ "L3 a b c", ERR_InvalidValue, "c" },
	{ "L3 a/b", ERR_InvalidValue, "a/b" },
	{ "L3 eth0123456789abc", ERR_InvalidValue, "eth0123456789abc" },
	{ "L3 lo", ERR_InvalidValue, "lo" },
	{ "L3 eth*", ERR_InvalidValue, "L3" },
	{ "L3 ip6tnl0", ERR_InvalidValue, "L3" },
	{ "NAT a b", ERR_InvalidValue, "b" },
	{ "L3; NAT", ERR_InvalidValue, "two devices" },
	{ "veth eth0", ERR_InvalidValue, "BRIDGE" },
	{ "veth eth0 br0 67", ERR_InvalidValue, "67" },
	{ "veth eth0 br0 65536", ERR_InvalidValue, "65536" },
	{ "veth eth0 br0 02:00:00:00:00:01 1400", ERR_InvalidValue, "1400" },
	{ "veth eth0 br0 01:00:00:00:00:01", ERR_InvalidValue, "01:00:00:00:00:01" },
	{ "veth eth0 br0 00:00:00:00:00:00", ERR_InvalidValue, "00:00:00:00:00:00" },
	{ "veth eth0 br0 02:00:00:00:00:01:02", ERR_InvalidValue, "02:00:00:00:00:01:02" },
	{ "veth eth0 br0 2:0:0:0:0:1", ERR_InvalidValue, "2:0:0:0:0:1" },
	{ "macvlan eth0 e0 l2", ERR_InvalidValue, "l2" },
	{ "macvlan eth0", ERR_InvalidValue, "macvlan" },
	{ "ipvlan eth0 e0 bridge", ERR_InvalidValue, "bridge" },
	{ "ipvlan eth0 e0 1500 02:00:00:00:00:01", ERR_InvalidValue, "02:00:00:00:00:01" },
	{ "steal", ERR_InvalidValue, "steal" },
	{ "steal lo", ERR_InvalidValue, "lo" },
	{ "steal a b", ERR_InvalidValue, "b" },
	{ "ipip6 tun0 10.0.0.1 10.0.0.2", ERR_InvalidValue, "10.0.0.1" },
	{ "ipip6 tun0 fd00::1", ERR_InvalidValue, "ipip6" },
	{ "ipip6 ip6tnl0 fd00::1 fd00::2", ERR_InvalidValue, "ip6tnl0" },
	{ "ipip6 tun0 fd00::1/64 fd00::2", ERR_InvalidValue, "fd00::1/64" },
	{ "tap", ERR_InvalidValue, "tap" },
	{ "MTU eth0 1400; L3", ERR_InvalidValue, "Link not found" },
	{ "L3; MTU eth1 1400", ERR_InvalidValue, "eth1" },
	{ "L3; MTU eth0 x", ERR_InvalidValue, "x" },
	{ "L3; MTU eth0", ERR_InvalidValue, "MTU" },
	{ "L3; MAC eth0 xx", ERR_InvalidValue, "xx" },
	{ "L3; ECN eth1", ERR_InvalidValue, "eth1" },
	{ "L3; autoconf eth1", ERR_InvalidValue, "eth1" },
	{ "ip", ERR_InvalidValue, "ip" },
};

static void test_good(void)
{
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		autotext struct text t = {};
		struct net_spec spec;
		struct err err = {};
		int r = net_spec_parse(good[i].text, &spec, &err);
		show(&spec, &t);
		unit_ok(r == 0 && strcmp(text_str(&t), good[i].want) == 0, "'%s' is %s %s", good[i].text, text_str(&t), err.text);
		net_spec_done(&spec);
	}
}

static void test_bad(void)
{
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct net_spec spec;
		struct err err = {};
		int r = net_spec_parse(bad[i].text, &spec, &err);
		unit_ok(r < 0 && err.kind == bad[i].kind && strstr(err.text, bad[i].names) && !spec.devs && !spec.target,
			"'%s' is refused: %s", bad[i].text, err.text);
		net_spec_done(&spec);
	}
}

static void test_many(void)
{
	autotext struct text t = {};
	struct net_spec spec;
	struct err err = {};

	for (int i = 0; i < 100; i++)
		text_addf(&t, "L3 e%d;", i);
	unit_ok(net_spec_parse(t.p, &spec, &err) == -EINVAL && strstr(err.text, "devices"), "too many devices: %s", err.text);
	text_clear(&t);
	for (int i = 0; i < 100; i++)
		text_addf(&t, "ip x%d;", i);
	unit_ok(net_spec_parse(t.p, &spec, &err) == -EINVAL && strstr(err.text, "commands"), "too many commands: %s", err.text);
}

static void test_lookup(void)
{
	struct net_spec spec;

	unit_ok(net_spec_parse("L3 a; NAT b", &spec, NULL) == 0 && net_spec_dev(&spec, "b") == &spec.devs[1] &&
			!net_spec_dev(&spec, "c"),
		"a device is found by its name");
	net_spec_done(&spec);
}

int main(void)
{
	test_good();
	test_bad();
	test_many();
	test_lookup();
	return unit_end();
}
