/* Addresses as text, and the lists of them in ip and default_gw. Pure. */
#include <arpa/inet.h>
#include <ctype.h>

#include "base/units.h"
#include "netctl/netctl.h"
#include "netctl/words.h"

static unsigned bits_of(uint8_t family)
{
	return family == AF_INET ? 32 : 128;
}

int net_addr_parse(const char *text, struct net_addr *ret)
{
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : strlen(text);
	struct net_addr addr = { .family = memchr(text, ':', len) ? AF_INET6 : AF_INET };
	char host[INET6_ADDRSTRLEN];
	uint64_t prefix = bits_of(addr.family);

	if (len >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, len);
	host[len] = 0;
	if (inet_pton(addr.family, host, addr.a) != 1)
		return -EINVAL;
	if (slash && (unit_uint_parse(slash + 1, &prefix) < 0 || strlen(slash + 1) > 3 || prefix > bits_of(addr.family)))
		return -EINVAL;
	addr.prefix = (uint8_t)prefix;
	*ret = addr;
	return 0;
}

void net_addr_format(const struct net_addr *addr, char buf[NET_ADDR_TEXT])
{
	char host[INET6_ADDRSTRLEN];

	if (addr->family == 0 || !inet_ntop(addr->family, addr->a, host, sizeof(host)))
		snprintf(buf, NET_ADDR_TEXT, "none");
	else if (addr->prefix == bits_of(addr->family))
		snprintf(buf, NET_ADDR_TEXT, "%s", host);
	else
		snprintf(buf, NET_ADDR_TEXT, "%s/%u", host, addr->prefix);
}

bool net_addr_inside(const struct net_addr *addr, const struct net_addr *net)
{
	unsigned whole = net->prefix / 8, rest = net->prefix % 8;
	uint8_t mask = (uint8_t)(0xff00 >> rest);

	if (addr->family != net->family || addr->family == 0 || addr->prefix < net->prefix)
		return false;
	if (memcmp(addr->a, net->a, whole) != 0)
		return false;
	return rest == 0 || (addr->a[whole] & mask) == (net->a[whole] & mask);
}

/* ---- lists ---- */

/* What can be nobody's address on a network. */
static bool is_special(const struct net_addr *addr)
{
	static const char *const nets[] = { "0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255",
					    "::",        "::1",         "ff00::/8",    "::ffff:0:0/96" };
	struct net_addr net, host = *addr;

	host.prefix = (uint8_t)bits_of(host.family);
	for (size_t i = 0; i < ARRAY_LEN(nets); i++)
		if (net_addr_parse(nets[i], &net) == 0 && net_addr_inside(&host, &net))
			return true;
	return false;
}

static bool same_device(const struct net_ifaddrs *list, const char *dev, uint8_t family, bool automatic)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->p[i].dev, dev) == 0 && list->p[i].automatic == automatic &&
		    (automatic || list->p[i].addr.family == family))
			return true;
	return false;
}

static int parse_one(const char *item, bool gateway, const struct net_ifaddrs *list, struct net_ifaddr *ret, struct err *err)
{
	const char *what = gateway ? "default_gw" : "ip";
	autostrv struct strv words = {};

	*ret = (struct net_ifaddr){};
	if (net_words(item, &words) < 0)
		return err_sys(err, ENOMEM, "%s", what);
	if (words.n != 2)
		return err_set(err, ERR_InvalidValue, "%s: '%s': expected a device and an address", what, item);
	if (!net_is_device_name(words.p[0]))
		return err_set(err, ERR_InvalidValue, "%s: '%s': not the name of a device", what, words.p[0]);
	snprintf(ret->dev, sizeof(ret->dev), "%s", words.p[0]);
	ret->automatic = !gateway && strcmp(words.p[1], "auto") == 0;
	if (!ret->automatic && net_addr_parse(words.p[1], &ret->addr) < 0)
		return err_set(err, ERR_InvalidValue, "%s: '%s': not an address", what, words.p[1]);
	if (!ret->automatic && is_special(&ret->addr))
		return err_set(err, ERR_InvalidValue, "%s: '%s': not an address that a host can have", what, words.p[1]);
	if (gateway && strchr(words.p[1], '/'))
		return err_set(err, ERR_InvalidValue, "%s: '%s': an address without prefix", what, words.p[1]);
	if ((gateway || ret->automatic) && same_device(list, ret->dev, ret->addr.family, ret->automatic))
		return err_set(err, ERR_InvalidValue, "%s: '%s': %s has one already", what, item, ret->dev);
	return 0;
}

int net_ifaddrs_parse(const char *text, bool gateway, struct net_ifaddrs *ret, struct err *err)
{
	const char *what = gateway ? "default_gw" : "ip";
	autostrv struct strv items = {};
	struct net_ifaddrs list = {};
	int r = 0;

	if (strv_split(text, ';', &items) < 0)
		return err_sys(err, ENOMEM, "%s", what);
	if (items.n > NET_IFADDRS_MAX)
		return err_set(err, ERR_InvalidValue, "%s: %zu addresses, at most %d", what, items.n, NET_IFADDRS_MAX);
	list.p = calloc(items.n + 1, sizeof(*list.p));
	if (!list.p)
		return err_sys(err, ENOMEM, "%s", what);
	for (size_t i = 0; i < items.n && r == 0; i++) {
		r = parse_one(items.p[i], gateway, &list, &list.p[list.n], err);
		if (r == 0)
			list.n++;
	}
	if (r < 0)
		net_ifaddrs_done(&list);
	else
		*ret = list;
	return r;
}

void net_ifaddrs_format(const struct net_ifaddrs *list, struct text *out)
{
	char addr[NET_ADDR_TEXT];

	for (size_t i = 0; i < list->n; i++) {
		net_addr_format(&list->p[i].addr, addr);
		text_addf(out, "%s%s %s", i ? ";" : "", list->p[i].dev, list->p[i].automatic ? "auto" : addr);
	}
}

void net_ifaddrs_done(struct net_ifaddrs *list)
{
	free(list->p);
	*list = (struct net_ifaddrs){};
}

/* ---- words ---- */

int net_words(const char *text, struct strv *ret)
{
	int r = 0;

	while (r == 0) {
		size_t len;
		text += strspn(text, " \t\n");
		len = strcspn(text, " \t\n");
		if (len == 0)
			break;
		r = strv_addn(ret, text, len);
		text += len;
	}
	return r;
}

bool net_is_device_name(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len >= IFNAMSIZ || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	for (; *name; name++)
		if (!isgraph((unsigned char)*name) || strchr("/:;\\*?", *name))
			return false;
	return true;
}
