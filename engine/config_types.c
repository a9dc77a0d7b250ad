/* Values of options that would otherwise fail only when a container starts, or the daemon does. */
#include "engine/config_types.h"

#include <sys/socket.h>

#include "base/units.h"
#include "engine/sysctl.h"
#include "netctl/netctl.h"

#define MTU_LEAST 68
#define MTU_MOST 65535

static int parse_addr(const char *text, int family, bool host)
{
	struct net_addr addr;

	if (text[0] == '\0')
		return 0;
	if (net_addr_parse(text, &addr) < 0 || addr.family != family)
		return -EINVAL;
	return host && addr.prefix != (family == AF_INET ? 32 : 128) ? -EINVAL : 0;
}

static int parse_pool4(const char *text, union value *ret)
{
	(void)ret;
	return strcmp(text, "auto") == 0 ? 0 : parse_addr(text, AF_INET, true);
}

static int parse_pool6(const char *text, union value *ret)
{
	(void)ret;
	return strcmp(text, "auto") == 0 ? 0 : parse_addr(text, AF_INET6, true);
}

static int parse_prefix4(const char *text, union value *ret)
{
	(void)ret;
	return parse_addr(text, AF_INET, false);
}

static int parse_prefix6(const char *text, union value *ret)
{
	(void)ret;
	return parse_addr(text, AF_INET6, false);
}

static int parse_mtu(const char *text, union value *ret)
{
	uint64_t mtu;
	int r = unit_uint_parse(text, &mtu);

	(void)ret;
	if (r < 0 || mtu == 0)
		return r;
	return mtu < MTU_LEAST || mtu > MTU_MOST ? -ERANGE : 0;
}

static int parse_sysctl(const char *text, bool of_net, union value *ret)
{
	struct err err = {};
	int r = type_strmap.parse(text, ret);

	if (r < 0)
		return r;
	if (sysctl_check(&ret->m, of_net, !of_net, &err) == 0)
		return 0;
	type_strmap.release(ret);
	return -EINVAL;
}

static int parse_net_sysctl(const char *text, union value *ret)
{
	return parse_sysctl(text, true, ret);
}

static int parse_ipc_sysctl(const char *text, union value *ret)
{
	return parse_sysctl(text, false, ret);
}

static void release_map(union value *v)
{
	type_strmap.release(v);
}

const struct prop_type type_pool4 = { .name = "pool", .parse = parse_pool4, .expected = "auto, an IPv4 address like 10.0.0.1, or nothing" };
const struct prop_type type_pool6 = { .name = "pool", .parse = parse_pool6, .expected = "auto, an IPv6 address like fd00::1, or nothing" };
const struct prop_type type_prefix4 = { .name = "prefix", .parse = parse_prefix4, .expected = "an IPv4 prefix like 10.0.0.0/24, or nothing" };
const struct prop_type type_prefix6 = { .name = "prefix", .parse = parse_prefix6, .expected = "an IPv6 prefix like fd00::/64, or nothing" };
const struct prop_type type_link_mtu = { .name = "mtu", .parse = parse_mtu, .expected = "an MTU of 68 to 65535, from 1280 with IPv6, or 0" };
const struct prop_type type_net_sysctl = {
	.name = "sysctl", .parse = parse_net_sysctl, .release = release_map,
	.expected = "`name: value; ...` of parameters net.* that a container may have (see sysctl)",
};
const struct prop_type type_ipc_sysctl = {
	.name = "sysctl", .parse = parse_ipc_sysctl, .release = release_map,
	.expected = "`name: value; ...` of kernel.shm*, kernel.msg*, kernel.sem, fs.mqueue.*",
};
