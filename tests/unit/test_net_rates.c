/* netctl/rates.c: which key of a map of rates is meant. */
#include "tests/unit/unit.h"

#include "netctl/netctl.h"

static const struct net_rate table[] = {
	{"default", 1},	 {"group blue", 2}, {"eth*", 3}, {"CS2", 4}, {"eth0 CS2", 5}, {"eth1 CS3", 6}, {"group default", 7},
	{"lo", 0},
};

static const struct {
	const char *dev, *group;
	int cs;
	uint64_t rate;
	const char *name;
} rows[] = {
	{"eth0", "blue", 2, 5, "a device's class comes first"},
	{"eth1", "blue", 2, 4, "then the class"},
	{"eth1", "blue", 3, 6, "the class of the other device"},
	{"eth0", "blue", 3, 3, "then a mask, when the class has no key"},
	{"eth0", "blue", -1, 3, "without classes their keys don't count"},
	{"wlan0", "blue", -1, 2, "then the group"},
	{"wlan0", "blue", 7, 2, "the group, when the class has no key"},
	{"wlan0", "default", 0, 7, "the group that is called default"},
	{"wlan0", "red", 0, 1, "then default"},
	{"wlan0", NULL, 0, 1, "without a group"},
	{"lo", "blue", 0, 0, "none, although others would fit"},
};

static const struct {
	const char *key;
	int r;
} keys[] = {
	{"default", 0},	     {"CS0", 0},	   {"CS7", 0},	   {"eth0", 0},	       {"e?h*", 0},	{"group 1", 0},
	{"group blue", 0},   {"eth0 CS3", 0},	   {"eth*  CS3", 0}, {"", -EINVAL},    {" ", -EINVAL},	{"eth0 CS8", -EINVAL},
	{"CS8", -EINVAL},    {"CS10", -EINVAL},	   {"CS", 0},	   {"CSx", 0},	       {"CS9 CS1", -EINVAL},
	{"eth0 x", -EINVAL}, {"eth0 CS1 y", -EINVAL}, {"group a b", -EINVAL}, {"a/b", -EINVAL}, {"a-name-too-long-for-it", -EINVAL},
};

int main(void)
{
	struct net_rates rates = {table, ARRAY_LEN(table)}, none = {NULL, 0};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		unit_int((long long)net_rate_of(&rates, rows[i].dev, rows[i].group, rows[i].cs), (long long)rows[i].rate, rows[i].name);
	unit_int((long long)net_rate_of(&none, "eth0", "default", 0), 0, "no keys, no rate");
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		struct net_rate one = {keys[i].key, 1};
		struct net_rates list = {&one, 1};
		struct err err = {};
		char name[80];
		snprintf(name, sizeof(name), "key '%s'", keys[i].key);
		unit_int(net_rates_check(&list, &err), keys[i].r, name);
		if (keys[i].r < 0)
			unit_ok(err.kind == ERR_InvalidValue && strstr(err.text, keys[i].key), "key '%s': the sentence names it", keys[i].key);
	}
	struct net_rate most = {"eth0", UINT64_MAX};
	struct net_rates list = {&most, 1};
	struct err err = {};
	unit_int(net_rates_check(&list, &err), -EINVAL, "-1");
	unit_ok(strstr(err.text, "eth0': -1 is no rate") != NULL, "-1: the sentence says so");
	return unit_end();
}
