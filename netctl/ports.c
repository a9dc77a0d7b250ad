/* Published ports as text. Pure. */
#include <netinet/in.h>

#include "base/units.h"
#include "netctl/netctl.h"
#include "netctl/words.h"

static const struct {
	const char *word;
	uint8_t proto;
} protos[] = {
	{ "sctp", IPPROTO_SCTP },
	{ "tcp",  IPPROTO_TCP },
	{ "udp",  IPPROTO_UDP },
};

static int proto_parse(const char *word, uint8_t *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(protos); i++) {
		if (strcmp(protos[i].word, word) == 0) {
			*ret = protos[i].proto;
			return 0;
		}
	}
	return -EINVAL;
}

const char *net_proto_name(uint8_t proto)
{
	for (size_t i = 0; i < ARRAY_LEN(protos); i++)
		if (protos[i].proto == proto)
			return protos[i].word;
	return "?";
}

static int number_parse(const char *s, size_t len, uint16_t *ret)
{
	char digits[8];
	uint64_t v;

	if (len == 0 || len >= sizeof(digits))
		return -EINVAL;
	memcpy(digits, s, len);
	digits[len] = 0;
	if (unit_uint_parse(digits, &v) < 0 || v < 1 || v > UINT16_MAX)
		return -EINVAL;
	*ret = (uint16_t)v;
	return 0;
}

/* "80" or "80-90": the first and the last. */
static int range_parse(const char *s, size_t len, uint16_t *first, uint16_t *last)
{
	const char *dash = memchr(s, '-', len);
	size_t head = dash ? (size_t)(dash - s) : len;

	if (number_parse(s, head, first) < 0)
		return -EINVAL;
	*last = *first;
	if (dash && (number_parse(dash + 1, len - head - 1, last) < 0 || *last < *first))
		return -EINVAL;
	return 0;
}

/* "8080:80", "5000-5010:6000", "22" */
static int numbers_parse(const char *word, struct net_port *port)
{
	const char *colon = strchr(word, ':');
	size_t len = colon ? (size_t)(colon - word) : strlen(word);
	uint16_t last, to_last;

	if (range_parse(word, len, &port->from, &last) < 0)
		return -EINVAL;
	port->count = (uint16_t)(last - port->from + 1);
	port->to = port->from;
	if (!colon)
		return 0;
	if (range_parse(colon + 1, strlen(colon + 1), &port->to, &to_last) < 0)
		return -EINVAL;
	if (to_last != port->to && to_last - port->to != last - port->from)
		return -EINVAL;
	return port->to + port->count - 1 > UINT16_MAX ? -EINVAL : 0;
}

static bool listens_everywhere(const struct net_addr *listen)
{
	static const uint8_t zero[16];

	return listen->family == 0 || memcmp(listen->a, zero, sizeof(zero)) == 0;
}

bool net_ports_overlap(const struct net_port *a, const struct net_port *b)
{
	if (a->proto != b->proto || a->from > b->from + b->count - 1 || b->from > a->from + a->count - 1)
		return false;
	if (a->listen.family && b->listen.family && a->listen.family != b->listen.family)
		return false;
	return listens_everywhere(&a->listen) || listens_everywhere(&b->listen) ||
	       memcmp(a->listen.a, b->listen.a, sizeof(a->listen.a)) == 0;
}

static int port_parse(const char *item, struct net_port *ret, struct err *err)
{
	autostrv struct strv words = {};
	struct net_port port = {};

	if (net_words(item, &words) < 0)
		return err_sys(err, ENOMEM, "publish");
	if (words.n != 2 && words.n != 3)
		return err_set(err, ERR_InvalidValue, "publish: '%s': expected like tcp 8080:80, udp 5000-5010 or tcp 10.0.0.1 443:8443",
			       item);
	if (proto_parse(words.p[0], &port.proto) < 0)
		return err_set(err, ERR_InvalidValue, "publish: '%s': expected tcp, udp or sctp", words.p[0]);
	if (words.n == 3 && (net_addr_parse(words.p[1], &port.listen) < 0 || strchr(words.p[1], '/')))
		return err_set(err, ERR_InvalidValue, "publish: '%s': not an address", words.p[1]);
	if (numbers_parse(words.p[words.n - 1], &port) < 0)
		return err_set(err, ERR_InvalidValue, "publish: '%s': expected ports from 1 to 65535 like 8080:80, 22 or 5000-5010:6000",
			       words.p[words.n - 1]);
	*ret = port;
	return 0;
}

static int check_others(const char *item, const struct net_ports *before, const struct net_port *port, struct err *err)
{
	size_t total = port->count;

	for (size_t i = 0; i < before->n; i++) {
		total += before->p[i].count;
		if (net_ports_overlap(&before->p[i], port))
			return err_set(err, ERR_InvalidValue, "publish: '%s': a port of it is named twice", item);
	}
	if (total > NET_PORTS_MAX)
		return err_set(err, ERR_InvalidValue, "publish: more than %u ports", NET_PORTS_MAX);
	return 0;
}

int net_ports_parse(const char *text, struct net_ports *ret, struct err *err)
{
	autostrv struct strv items = {};
	struct net_ports ports = {};
	int r = 0;

	if (strv_split(text, ';', &items) < 0)
		return err_sys(err, ENOMEM, "publish");
	if (items.n > NET_PORTS_MAX)
		return err_set(err, ERR_InvalidValue, "publish: more than %u ports", NET_PORTS_MAX);
	ports.p = calloc(items.n + 1, sizeof(*ports.p));
	if (!ports.p)
		return err_sys(err, ENOMEM, "publish");
	for (size_t i = 0; i < items.n && r == 0; i++) {
		struct net_port port;
		r = port_parse(items.p[i], &port, err);
		if (r == 0)
			r = check_others(items.p[i], &ports, &port, err);
		if (r == 0)
			ports.p[ports.n++] = port;
	}
	if (r < 0)
		net_ports_done(&ports);
	else
		*ret = ports;
	return r;
}

static void range_format(uint16_t first, unsigned count, struct text *out)
{
	text_addu(out, first);
	if (count > 1)
		text_addf(out, "-%u", first + count - 1);
}

void net_ports_format(const struct net_ports *ports, struct text *out)
{
	char listen[NET_ADDR_TEXT];

	for (size_t i = 0; i < ports->n; i++) {
		const struct net_port *port = &ports->p[i];

		text_addf(out, "%s%s ", i ? ";" : "", net_proto_name(port->proto));
		net_addr_format(&port->listen, listen);
		if (port->listen.family)
			text_addf(out, "%s ", listen);
		range_format(port->from, port->count, out);
		if (port->to != port->from)
			text_addf(out, ":%u", port->to);
	}
}

void net_ports_done(struct net_ports *ports)
{
	free(ports->p);
	*ports = (struct net_ports){};
}
