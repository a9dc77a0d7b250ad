/* L3 [extra_routes] [NAME] [MASTER] and NAT [NAME]: a pair whose traffic the host routes. */
#include "netctl/up.h"

#define L3_MTU 1500 /* where no device of the host says another */
#define L3_MTU_MAX 65535

/* spec/NETWORK.md 3: the configured one, or the largest of the host's devices that it talks through. */
static uint32_t default_mtu(const struct up *u, const struct up_dev *d)
{
	uint32_t mtu = (uint32_t)MIN(u->n->conf.l3_mtu, (uint64_t)L3_MTU_MAX);

	for (size_t i = 0; u->n->conf.l3_mtu == 0 && i < d->uplink_n; i++)
		mtu = MAX(mtu, MIN(d->uplinks[i].mtu, (uint32_t)L3_MTU_MAX));
	return mtu ? mtu : L3_MTU;
}

static bool can(const struct net_can *c)
{
	return c->veth;
}

static bool can_nat(const struct net_can *c)
{
	return c->veth && c->nft_nat;
}

static int add(struct up *u, struct up_dev *d, struct err *err)
{
	int r = up_uplinks(u, d, err);

	if (r == 0)
		r = up_gateways(u, d, err);
	if (r < 0)
		return r;
	d->mtu = d->dev->mtu ? d->dev->mtu : default_mtu(u, d);
	return veth_add(u, d, "L3", 0, err);
}

const struct net_kind kind_l3 = {
	.word = "L3",
	.args = "",
	.options = "xNM",
	.usage = "L3 [NAME] [MASTER]",
	.name = "eth0",
	.flags = KIND_L3 | KIND_UPLINK | KIND_HOST_END,
	.lacks = "veth",
	.can = can,
	.add = add,
};

const struct net_kind kind_nat = {
	.word = "NAT",
	.args = "",
	.options = "N",
	.usage = "NAT [NAME]",
	.name = "eth0",
	.flags = KIND_L3 | KIND_NAT | KIND_UPLINK | KIND_HOST_END,
	.lacks = "nf_tables",
	.can = can_nat,
	.add = add,
};
