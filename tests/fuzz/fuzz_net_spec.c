/* The texts of net, ip and default_gw: refused with a sentence, or what came out is within bounds, and a list reads back. */
#include "netctl/kinds.h"

#include "tests/fuzz/fuzz.h"

static void check_name(const char *name)
{
	FUZZ_CHECK(*name && strlen(name) < IFNAMSIZ && !strpbrk(name, "/:; \\*?") && strcmp(name, "..") != 0);
}

static void try_spec(const char *s)
{
	struct net_spec spec;
	struct err err = {};
	int r = net_spec_parse(s, &spec, &err);

	FUZZ_CHECK(r == 0 || (err.kind != ERR_Success && *err.text && !spec.devs && !spec.target && !spec.commands.p));
	FUZZ_CHECK(r < 0 || (spec.target != NULL) == (spec.mode == NET_CONTAINER || spec.mode == NET_NETNS));
	for (size_t i = 0; r == 0 && i < spec.n; i++) {
		const struct net_dev *d = &spec.devs[i];
		check_name(d->name);
		FUZZ_CHECK(d->kind && net_spec_dev(&spec, d->name) == d && d->mtu <= 65535 && !(d->mac[0] & 1));
		FUZZ_CHECK(spec.mode == NET_OWN || (spec.mode == NET_INHERITED && d->kind->flags & KIND_SHARED));
	}
	net_spec_done(&spec);
}

static void try_list(const char *s, bool gateway)
{
	struct net_ifaddrs list = {}, again = {};
	autotext struct text t = {};
	autotext struct text back = {};
	struct err err = {};
	int r = net_ifaddrs_parse(s, gateway, &list, &err);

	FUZZ_CHECK(r == 0 || (err.kind == ERR_InvalidValue && *err.text && !list.p));
	if (r < 0)
		return;
	for (size_t i = 0; i < list.n; i++)
		check_name(list.p[i].dev);
	net_ifaddrs_format(&list, &t);
	FUZZ_CHECK(net_ifaddrs_parse(text_str(&t), gateway, &again, &err) == 0);
	net_ifaddrs_format(&again, &back);
	FUZZ_CHECK(strcmp(text_str(&t), text_str(&back)) == 0);
	net_ifaddrs_done(&list);
	net_ifaddrs_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	autofree char *s = fuzz_string(data, size);

	try_spec(s);
	try_list(s, false);
	try_list(s, true);
	return 0;
}
