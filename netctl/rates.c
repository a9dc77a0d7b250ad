/* Keys of net_limit, net_rx_limit and net_guarantee: which rate a device and a class have. Pure. */
#include <fnmatch.h>

#include "netctl/netctl.h"

/* What a key says, in the order of precedence. */
enum key_kind { KEY_DEVICE_CLASS, KEY_CLASS, KEY_DEVICE, KEY_GROUP, KEY_DEFAULT, KEY_KINDS, KEY_BAD };

struct rate_key {
	enum key_kind kind;
	char dev[64]; /* mask or group */
	int cs;
};

/* The next word of *p, blanks around it passed. False: none, or longer than any name. */
static bool next_word(const char **p, char *word, size_t size)
{
	const char *start = *p + strspn(*p, " \t");
	size_t len = strcspn(start, " \t");

	if (len == 0 || len >= size)
		return false;
	memcpy(word, start, len);
	word[len] = 0;
	*p = start + len + strspn(start + len, " \t");
	return true;
}

static int class_of(const char *word)
{
	return word[0] == 'C' && word[1] == 'S' && word[2] >= '0' && word[2] < '0' + NET_CLASSES && !word[3]
		       ? word[2] - '0'
		       : -1;
}

/* CS9 is meant for a class: as a device's name it would have no effect, and nobody would hear of it. */
static bool is_mask(const char *word)
{
	if (word[0] == 'C' && word[1] == 'S' && word[2] != '\0' && word[2 + strspn(word + 2, "0123456789")] == '\0')
		return false;
	return strlen(word) < IFNAMSIZ && !strpbrk(word, "/:[]\\");
}

static enum key_kind key_parse(const char *key, struct rate_key *ret)
{
	char second[64];

	*ret = (struct rate_key){ .cs = -1 };
	if (!next_word(&key, ret->dev, sizeof(ret->dev)))
		return KEY_BAD;
	if (!*key) {
		ret->cs = class_of(ret->dev);
		if (ret->cs >= 0)
			return KEY_CLASS;
		if (strcmp(ret->dev, "default") == 0)
			return KEY_DEFAULT;
		return is_mask(ret->dev) ? KEY_DEVICE : KEY_BAD;
	}
	if (!next_word(&key, second, sizeof(second)) || *key)
		return KEY_BAD;
	if (strcmp(ret->dev, "group") == 0) {
		memcpy(ret->dev, second, sizeof(second));
		return KEY_GROUP;
	}
	ret->cs = class_of(second);
	return ret->cs >= 0 && is_mask(ret->dev) ? KEY_DEVICE_CLASS : KEY_BAD;
}

static bool key_fits(enum key_kind kind, const struct rate_key *key, const char *dev, const char *group, int cs)
{
	switch (kind) {
	case KEY_DEVICE_CLASS:
		return cs >= 0 && key->cs == cs && fnmatch(key->dev, dev, 0) == 0;
	case KEY_CLASS:
		return cs >= 0 && key->cs == cs;
	case KEY_DEVICE:
		return fnmatch(key->dev, dev, 0) == 0;
	case KEY_GROUP:
		return group && strcmp(key->dev, group) == 0;
	default:
		return kind == KEY_DEFAULT;
	}
}

uint64_t net_rate_of(const struct net_rates *rates, const char *dev, const char *group, int cs)
{
	enum key_kind best = KEY_KINDS;
	uint64_t rate = 0;

	for (size_t i = 0; i < rates->n; i++) {
		struct rate_key key;
		enum key_kind kind = key_parse(rates->p[i].key, &key);
		if (kind < best && key_fits(kind, &key, dev, group, cs)) {
			best = kind;
			rate = rates->p[i].rate;
		}
	}
	return rate;
}

int net_rates_check(const struct net_rates *rates, struct err *err)
{
	for (size_t i = 0; i < rates->n; i++) {
		struct rate_key key;
		if (key_parse(rates->p[i].key, &key) == KEY_BAD)
			return err_set(err, ERR_InvalidValue,
				       "'%s': expected a device, 'group NAME', CS0..CS7, 'DEVICE CSn' or default",
				       rates->p[i].key);
		/* as much as there is, where bytes are given */
		if (rates->p[i].rate == UINT64_MAX)
			return err_set(err, ERR_InvalidValue, "'%s': -1 is no rate: expected bytes a second, 0 for no limit", rates->p[i].key);
	}
	return 0;
}
