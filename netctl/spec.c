/* The property net as text: which namespace, which devices. Pure. */
#include "base/path.h"
#include "netctl/kinds.h"
#include "netctl/words.h"

#define NET_DEVS_MAX 32
#define NET_COMMANDS_MAX 64

/* Which of the four ways each option asks for; exactly one may be asked for. */
enum way {
	WAY_INHERITED = 1 << NET_INHERITED,
	WAY_OWN = 1 << NET_OWN,
	WAY_CONTAINER = 1 << NET_CONTAINER,
	WAY_NETNS = 1 << NET_NETNS,
};

struct parse {
	struct net_spec *spec;
	unsigned ways;
	bool none; /* the word stands there */
};

static int no_memory(struct err *err)
{
	return err_sys(err, ENOMEM, "net");
}

static struct net_dev *find_dev(struct net_spec *spec, const char *name)
{
	for (size_t i = 0; i < spec->n; i++)
		if (strcmp(spec->devs[i].name, name) == 0)
			return &spec->devs[i];
	return NULL;
}

static int add_dev(struct net_spec *spec, const struct net_dev *dev, struct err *err)
{
	struct net_dev *p;

	if (find_dev(spec, dev->name))
		return err_set(err, ERR_InvalidValue, "net: '%s': there are two devices of that name", dev->name);
	if (spec->n == NET_DEVS_MAX)
		return err_set(err, ERR_InvalidValue, "net: more than %d devices", NET_DEVS_MAX);
	p = reallocarray(spec->devs, spec->n + 1, sizeof(*p));
	if (!p)
		return no_memory(err);
	spec->devs = p;
	spec->devs[spec->n++] = *dev;
	return 0;
}

/* The device that MTU and others speak of. One is there without having been asked for. */
static int named_dev(struct net_spec *spec, const char *name, struct net_dev **ret, struct err *err)
{
	struct net_dev *dev = find_dev(spec, name);

	if (!dev && strcmp(name, kind_ip6tnl0.name) == 0) {
		struct net_dev tunnel = { .kind = &kind_ip6tnl0 };
		int r;
		snprintf(tunnel.name, sizeof(tunnel.name), "%s", name);
		r = add_dev(spec, &tunnel, err);
		if (r < 0)
			return r;
		dev = &spec->devs[spec->n - 1];
	}
	if (!dev)
		return err_set(err, ERR_InvalidValue, "net: '%s': Link not found: no device of that name before", name);
	*ret = dev;
	return 0;
}

/* ---- options that are no devices; words[0] is the option, their number was checked ---- */

static int opt_inherited(struct parse *p, UNUSED const struct strv *words, UNUSED struct err *err)
{
	p->ways |= WAY_INHERITED;
	return 0;
}

static int opt_none(struct parse *p, UNUSED const struct strv *words, UNUSED struct err *err)
{
	p->ways |= WAY_OWN;
	p->none = true;
	return 0;
}

static int set_target(struct parse *p, const char *name, enum way way, struct err *err)
{
	if (p->spec->target)
		return err_set(err, ERR_InvalidValue, "net: '%s': one namespace can be joined, not two", name);
	p->spec->target = strdup(name);
	p->ways |= way;
	return p->spec->target ? 0 : no_memory(err);
}

static int opt_container(struct parse *p, const struct strv *words, struct err *err)
{
	const char *name = words->p[1];

	if (strlen(name) > NAME_PATH_MAX_SUPERUSER || strstr(name, ".."))
		return err_set(err, ERR_InvalidValue, "net: '%s': not the name of a container", name);
	return set_target(p, name, WAY_CONTAINER, err);
}

static int opt_netns(struct parse *p, const struct strv *words, struct err *err)
{
	const char *name = words->p[1];

	if (strstr(name, ".."))
		return err_set(err, ERR_Permission, "net: '%s': the name of a namespace has no '..'", name);
	if (strchr(name, '/') || strlen(name) > 255 || strcmp(name, ".") == 0)
		return err_set(err, ERR_InvalidValue, "net: '%s': not the name of a namespace", name);
	return set_target(p, name, WAY_NETNS, err);
}

static int opt_mtu(struct parse *p, const struct strv *words, struct err *err)
{
	struct net_dev *dev;
	int r = named_dev(p->spec, words->p[1], &dev, err);

	if (r < 0)
		return r;
	if (net_mtu_parse(words->p[2], &dev->mtu) < 0)
		return err_set(err, ERR_InvalidValue, "net: '%s': expected an MTU of 68 to 65535", words->p[2]);
	return 0;
}

static int opt_mac(struct parse *p, const struct strv *words, struct err *err)
{
	struct net_dev *dev;
	int r = named_dev(p->spec, words->p[1], &dev, err);

	if (r < 0)
		return r;
	if (net_mac_parse(words->p[2], dev->mac) < 0)
		return err_set(err, ERR_InvalidValue, "net: '%s': expected a hardware address like 02:00:5e:10:00:01", words->p[2]);
	dev->has_mac = true;
	return 0;
}

static int opt_ecn(struct parse *p, const struct strv *words, struct err *err)
{
	struct net_dev *dev;
	int r;

	if (words->n == 1) {
		p->spec->ecn_all = true;
		return 0;
	}
	r = named_dev(p->spec, words->p[1], &dev, err);
	if (r == 0)
		dev->ecn = true;
	return r;
}

static int opt_autoconf(struct parse *p, const struct strv *words, struct err *err)
{
	struct net_dev *dev;
	int r = named_dev(p->spec, words->p[1], &dev, err);

	if (r == 0)
		dev->autoconf = true;
	return r;
}

static int opt_ip(struct parse *p, const struct strv *words, struct err *err)
{
	autotext struct text line = {};

	for (size_t i = 1; i < words->n; i++)
		text_addf(&line, "%s%s", i > 1 ? " " : "", words->p[i]);
	if (p->spec->commands.n == NET_COMMANDS_MAX)
		return err_set(err, ERR_InvalidValue, "net: more than %d commands", NET_COMMANDS_MAX);
	p->ways |= WAY_OWN;
	return text_ok(&line) < 0 || strv_add(&p->spec->commands, text_str(&line)) < 0 ? no_memory(err) : 0;
}

static const struct option {
	const char *word;
	size_t min, max; /* words after it */
	int (*fn)(struct parse *p, const struct strv *words, struct err *err);
	const char *usage;
} options[] = {
	{ "ECN",       0, 1,        opt_ecn,       "ECN [NAME]" },
	{ "MAC",       2, 2,        opt_mac,       "MAC NAME HW" },
	{ "MTU",       2, 2,        opt_mtu,       "MTU NAME N" },
	{ "autoconf",  1, 1,        opt_autoconf,  "autoconf NAME" },
	{ "container", 1, 1,        opt_container, "container NAME" },
	{ "host",      0, 0,        opt_inherited, "host [DEV]" },
	{ "inherited", 0, 0,        opt_inherited, "inherited" },
	{ "ip",        1, SIZE_MAX, opt_ip,        "ip WORDS" },
	{ "netns",     1, 1,        opt_netns,     "netns NAME" },
	{ "none",      0, 0,        opt_none,      "none" },
};

static const struct option *find_option(const struct strv *words)
{
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		if (strcmp(options[i].word, words->p[0]) == 0)
			return &options[i];
	return NULL;
}

static int parse_option(struct parse *p, const char *text, struct err *err)
{
	autostrv struct strv words = {};
	const struct net_kind *kind;
	const struct option *opt;
	struct net_dev dev;
	int r;

	if (net_words(text, &words) < 0)
		return no_memory(err);
	opt = find_option(&words);
	kind = kind_find(words.p[0]);
	/* `host` alone is a way, `host DEV` a device. */
	if (opt && (!kind || words.n - 1 <= opt->max)) {
		if (words.n - 1 < opt->min || words.n - 1 > opt->max)
			return err_set(err, ERR_InvalidValue, "net: '%s': expected %s", text, opt->usage);
		return opt->fn(p, &words, err);
	}
	if (!kind)
		return err_set(err, ERR_InvalidValue, "net: '%s': unknown word: expected inherited, none, L3, NAT, veth, macvlan, container or another of porto(7), NETWORKS",
			       words.p[0]);
	r = kind_parse(kind, &words, &dev, err);
	if (r < 0)
		return r;
	p->ways |= kind->flags & KIND_SHARED ? WAY_INHERITED : WAY_OWN;
	return add_dev(p->spec, &dev, err);
}

static int check_whole(struct parse *p, size_t options_n, struct err *err)
{
	struct net_spec *spec = p->spec;

	if (p->none && options_n > 1)
		return err_set(err, ERR_InvalidValue, "net: 'none': must stand alone");
	for (enum net_mode m = NET_INHERITED; m <= NET_NETNS; m++)
		if (p->ways == 1U << m) {
			spec->mode = m;
			break;
		} else if (m == NET_NETNS) {
			return err_set(err, ERR_InvalidValue, "net: Uncertain network type: exactly one of inherited or tap, devices "
							      "or none, container, netns");
		}
	for (size_t i = 0; i < spec->n; i++) {
		bool shared = spec->devs[i].kind->flags & KIND_SHARED;
		if (shared != (spec->mode == NET_INHERITED))
			return err_set(err, ERR_InvalidValue, "net: '%s': the namespace is not its own", spec->devs[i].name);
	}
	return 0;
}

int net_spec_parse(const char *text, struct net_spec *ret, struct err *err)
{
	autostrv struct strv items = {};
	struct net_spec spec = {};
	struct parse p = { .spec = &spec };
	int r = 0;

	*ret = (struct net_spec){};
	if (strv_split(text, ';', &items) < 0)
		return no_memory(err);
	if (items.n == 0)
		return err_set(err, ERR_InvalidValue, "net: empty: expected inherited, none, L3 NAME or other options");
	for (size_t i = 0; i < items.n && r == 0; i++)
		r = parse_option(&p, items.p[i], err);
	if (r == 0)
		r = check_whole(&p, items.n, err);
	if (r < 0)
		net_spec_done(&spec);
	else
		*ret = spec;
	return r;
}

void net_spec_done(struct net_spec *spec)
{
	free(spec->target);
	free(spec->devs);
	strv_done(&spec->commands);
	*spec = (struct net_spec){};
}

bool net_spec_is_l3(const struct net_spec *spec)
{
	if (spec->mode != NET_OWN || spec->commands.n > 0)
		return false;
	for (size_t i = 0; i < spec->n; i++) {
		const struct net_kind *kind = spec->devs[i].kind;
		if (!(kind->flags & KIND_L3) && kind != &kind_ipip6 && kind != &kind_ip6tnl0)
			return false;
	}
	return true;
}

const char *net_spec_for_root(const struct net_spec *spec)
{
	if (spec->mode == NET_NETNS)
		return "netns";
	for (size_t i = 0; i < spec->n; i++) {
		const struct net_kind *kind = spec->devs[i].kind;
		if (kind != &kind_l3 && kind != &kind_nat && kind != &kind_ip6tnl0)
			return kind->word;
	}
	return spec->commands.n > 0 ? "ip" : NULL;
}

const struct net_dev *net_spec_dev(const struct net_spec *spec, const char *name)
{
	for (size_t i = 0; i < spec->n; i++)
		if (strcmp(spec->devs[i].name, name) == 0)
			return &spec->devs[i];
	return NULL;
}
