/* The property publish: what parses is shown as what parses to the same, and no port is in it twice. */
#include "netctl/netctl.h"
#include "netctl/words.h"
#include "tests/fuzz/fuzz.h"

static void check_ports(const struct net_ports *ports)
{
	for (size_t i = 0; i < ports->n; i++) {
		const struct net_port *port = &ports->p[i];

		FUZZ_CHECK(port->from >= 1 && port->to >= 1 && port->count >= 1);
		FUZZ_CHECK(port->from + port->count - 1 <= 65535 && port->to + port->count - 1 <= 65535);
		FUZZ_CHECK(port->listen.family == 0 || port->listen.prefix >= 32);
		for (size_t j = 0; j < i && i < 64; j++)
			FUZZ_CHECK(!net_ports_overlap(port, &ports->p[j]) && !net_ports_overlap(&ports->p[j], port));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	autofree char *s = fuzz_string(data, size);
	autotext struct text first = {};
	autotext struct text second = {};
	struct net_ports ports = {}, again = {};
	struct err err = {};
	int r = net_ports_parse(s, &ports, &err);

	FUZZ_CHECK(r == 0 || (r == -EINVAL && err.kind == ERR_InvalidValue && !ports.p));
	if (r < 0)
		return 0;
	check_ports(&ports);
	net_ports_format(&ports, &first);
	FUZZ_CHECK(net_ports_parse(text_str(&first), &again, &err) == 0 && again.n == ports.n);
	net_ports_format(&again, &second);
	FUZZ_CHECK(strcmp(text_str(&first), text_str(&second)) == 0);
	net_ports_done(&ports);
	net_ports_done(&again);
	return 0;
}
