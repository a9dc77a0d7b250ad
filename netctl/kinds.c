/* The table of kinds, and how the words after a kind's own are read. */
#include "netctl/kinds.h"

#include <ctype.h>

#include "base/units.h"
#include "netctl/words.h"

static const struct net_kind *const kinds[] = {
	&kind_l3,    &kind_nat,   &kind_host, &kind_ipip6, &kind_ipvlan, &kind_macvlan,
	&kind_steal, &kind_tap,   &kind_veth,
};

const struct net_kind *kind_find(const char *word)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i]->word, word) == 0)
			return kinds[i];
	return NULL;
}

/* ---- single words ---- */

int net_mtu_parse(const char *word, uint32_t *ret)
{
	uint64_t mtu;

	if (unit_uint_parse(word, &mtu) < 0 || mtu < 68 || mtu > 65535)
		return -EINVAL;
	*ret = (uint32_t)mtu;
	return 0;
}

int net_mac_parse(const char *word, uint8_t mac[6])
{
	uint8_t bytes[6], any = 0;

	for (int i = 0; i < 6; i++, word += 3) {
		char byte[3] = { word[0], word[0] ? word[1] : 0 };
		if (!isxdigit((unsigned char)byte[0]) || !isxdigit((unsigned char)byte[1]) || word[2] != (i < 5 ? ':' : 0))
			return -EINVAL;
		bytes[i] = (uint8_t)strtoul(byte, NULL, 16);
		any |= bytes[i];
	}
	if (!any || bytes[0] & 1)
		return -EINVAL;
	memcpy(mac, bytes, sizeof(bytes));
	return 0;
}

static int mask_parse(const char *word, char *ret, size_t size)
{
	size_t len = strlen(word);

	if (len == 0 || len >= size)
		return -EINVAL;
	for (size_t i = 0; i < len; i++)
		if (!isgraph((unsigned char)word[i]) || strchr("/:;\\", word[i]))
			return -EINVAL;
	memcpy(ret, word, len + 1);
	return 0;
}

static int name_parse(const char *word, struct net_dev *dev)
{
	if (!net_is_device_name(word) || strcmp(word, "lo") == 0 || strcmp(word, kind_ip6tnl0.name) == 0)
		return -EINVAL;
	snprintf(dev->name, sizeof(dev->name), "%s", word);
	return 0;
}

static int addr6_parse(const char *word, struct net_addr *ret)
{
	struct net_addr addr;

	if (net_addr_parse(word, &addr) < 0 || addr.family != AF_INET6 || addr.prefix != 128)
		return -EINVAL;
	*ret = addr;
	return 0;
}

static int mode_parse(const struct net_kind *kind, const char *word, struct net_dev *dev)
{
	for (const char *const *m = kind->modes; m && *m; m++)
		if (strcmp(*m, word) == 0) {
			snprintf(dev->mode, sizeof(dev->mode), "%s", word);
			return 0;
		}
	return -EINVAL;
}

static int word_parse(const struct net_kind *kind, char what, const char *word, struct net_dev *dev)
{
	switch (what) {
	case 'N':
		return name_parse(word, dev);
	case 'M':
		return mask_parse(word, dev->master, sizeof(dev->master));
	case 'S':
		snprintf(dev->master, sizeof(dev->master), "%s", word);
		return name_parse(word, dev);
	case 'R':
		return addr6_parse(word, &dev->remote);
	case 'L':
		return addr6_parse(word, &dev->local);
	case 'k':
		return mode_parse(kind, word, dev);
	case 'u':
		return net_mtu_parse(word, &dev->mtu);
	case 'h':
		if (net_mac_parse(word, dev->mac) < 0)
			return -EINVAL;
		dev->has_mac = true;
		return 0;
	default:
		return strcmp(word, "extra_routes") == 0 ? 0 : -EINVAL;
	}
}

/* ---- all of them ---- */

static int unexpected(const struct net_kind *kind, const char *word, struct err *err)
{
	return err_set(err, ERR_InvalidValue, "net: '%s': expected %s%s", word, kind->usage,
		       strlen(word) >= IFNAMSIZ ? ", where names have at most 15 characters" : "");
}

int kind_parse(const struct net_kind *kind, const struct strv *words, struct net_dev *ret, struct err *err)
{
	const char *option = kind->options;
	struct net_dev dev = { .kind = kind };
	size_t i = 1;
	int r = 0;

	if (kind->name)
		snprintf(dev.name, sizeof(dev.name), "%s", kind->name);
	for (const char *a = kind->args; *a; a++, i++) {
		if (i >= words->n)
			return unexpected(kind, words->p[0], err);
		if (word_parse(kind, *a, words->p[i], &dev) < 0)
			return unexpected(kind, words->p[i], err);
	}
	for (; i < words->n; i++) {
		/* Most may be left out; but a word that stands where a name does is one, or wrong. */
		while (*option && (r = word_parse(kind, *option, words->p[i], &dev)) < 0 && *option != 'N')
			option++;
		if (!*option || r < 0)
			return unexpected(kind, words->p[i], err);
		option++;
	}
	*ret = dev;
	return 0;
}
