/* The object: opened, closed, and what it says about the kernel. */
#include <fcntl.h>
#include <ctype.h>

#include "netctl/kinds.h"

#define TAG_MAX 32

static bool is_tag(const char *tag)
{
	size_t len = strlen(tag);

	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)tag[i]) && !strchr("_.-", tag[i]))
			return false;
	return len > 0 && len <= TAG_MAX;
}

static int open_parts(struct netctl *n, struct err *err)
{
	int r;

	n->host_ns = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (n->host_ns < 0)
		return err_sys(err, errno, "network namespace of the host");
	r = can_find_out(&n->can, err);
	if (r < 0)
		return r;
	r = pool_open(n);
	if (r == 0)
		r = nat_open(n);
	return r < 0 ? err_sys(err, -r, "netctl") : 0;
}

int netctl_open(const struct netctl_config *config, struct netctl **ret, struct err *err)
{
	struct netctl *n;
	int r;

	if (!is_tag(config->tag))
		return err_set(err, ERR_InvalidValue, "netctl: '%s': expected 1 to %d letters, digits, _ . -", config->tag, TAG_MAX);
	n = calloc(1, sizeof(*n));
	if (!n)
		return err_sys(err, ENOMEM, "netctl");
	n->conf = *config;
	n->host_ns = -1;
	pthread_mutex_init(&n->lock, NULL);
	n->tag = strdup(config->tag);
	n->conf.tag = n->tag;
	r = n->tag ? open_parts(n, err) : err_sys(err, ENOMEM, "netctl");
	if (r < 0)
		netctl_close(n);
	else
		*ret = n;
	return r;
}

void netctl_close(struct netctl *n)
{
	if (!n)
		return;
	classes_close(n);
	nat_close(n);
	pool_close(n);
	dying_close(n);
	links_close(n);
	free(n->entries);
	if (n->host_ns >= 0)
		close(n->host_ns);
	pthread_mutex_destroy(&n->lock);
	free(n->tag);
	free(n);
}

void netctl_lacks(const struct netctl *n, struct text *out)
{
	const struct net_can *c = &n->can;
	const struct {
		bool has;
		const char *line;
	} rows[] = {
		{ c->veth, "net=L3, NAT, veth: kernel has no veth" },
		{ c->bridge, "net=veth: kernel has no bridge" },
		{ c->macvlan, "net=macvlan: kernel has no macvlan" },
		{ c->ipvlan, "net=ipvlan: kernel has no ipvlan" },
		{ c->ip6tnl, "net=ipip6: kernel has no ip6tnl" },
		{ c->tun, "net=tap: there is no /dev/net/tun" },
		{ c->nft_nat, "net=NAT, publish: kernel has no nf_tables" },
		{ c->tbf, "net_rx_limit: kernel has no sch_tbf" },
		{ c->htb, "net_limit and net_guarantee of a shared network: kernel has no sch_htb" },
		{ c->ifb && c->clsact && c->u32 && c->mirred, "net_limit: kernel lacks one of ifb, clsact, cls_u32, act_mirred" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (!rows[i].has)
			text_addf(out, "%s\n", rows[i].line);
}

int net_spec_check(struct netctl *n, const struct net_spec *spec, struct err *err)
{
	if (spec->commands.n > 0 && !n->conf.enable_ip)
		return err_set(err, ERR_Permission, "net: 'ip': commands are switched off in the configuration");
	for (size_t i = 0; i < spec->n; i++) {
		const struct net_kind *kind = spec->devs[i].kind;
		if (kind->can && !kind->can(&n->can))
			return err_set(err, ERR_NotSupported, "net: '%s': kernel has no %s", kind->word, kind->lacks);
		if (kind->flags & KIND_NAT && !n->conf.nat4.family && !n->conf.nat6.family)
			return err_set(err, ERR_NotSupported, "net: '%s': the configuration names no addresses for it", kind->word);
	}
	return 0;
}
