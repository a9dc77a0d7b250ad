#include "netctl/flows.h"

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <sys/socket.h>

#define PASSES_MAX 64 /* batches in all */

struct drop {
	const struct net_ports *gone, *left;
	const struct net_addr *to;
	struct nl_batch *batch;
};

/* What a tuple says that counts here. */
struct tuple {
	const uint8_t *src; /* of the family that is asked for; NULL: another */
	uint8_t proto;
	uint16_t src_port, dst_port;
};

static struct nlattr *inside(struct nlattr *a, int type)
{
	return a ? nla_find(nla_data(a), nla_len(a), type) : NULL;
}

static uint16_t port_of(struct nlattr *a)
{
	return a && nla_len(a) >= 2 ? ntohs(nla_get_u16(a)) : 0;
}

static struct tuple tuple_of(struct nlattr *a, uint8_t family)
{
	struct nlattr *ip = inside(a, CTA_TUPLE_IP), *proto = inside(a, CTA_TUPLE_PROTO), *num = inside(proto, CTA_PROTO_NUM);
	struct nlattr *src = inside(ip, family == AF_INET ? CTA_IP_V4_SRC : CTA_IP_V6_SRC);

	return (struct tuple){
		.src = src && nla_len(src) >= (family == AF_INET ? 4 : 16) ? nla_data(src) : NULL,
		.proto = num ? nla_get_u8(num) : 0,
		.src_port = port_of(inside(proto, CTA_PROTO_SRC_PORT)),
		.dst_port = port_of(inside(proto, CTA_PROTO_DST_PORT)),
	};
}

static bool is_published(const struct net_ports *ports, const struct tuple *there, const struct tuple *back)
{
	for (size_t i = 0; ports && i < ports->n; i++) {
		const struct net_port *p = &ports->p[i];
		int n = there->dst_port - p->from;
		if (p->proto == there->proto && n >= 0 && n < p->count && back->src_port == p->to + n)
			return true;
	}
	return false;
}

static int on_flow(void *arg, struct nlmsghdr *h)
{
	struct nfgenmsg header = { .version = NFNETLINK_V0 };
	struct drop *d = arg;
	struct nlattr *orig = nlmsg_find_attr(h, sizeof(header), CTA_TUPLE_ORIG);
	struct tuple there = tuple_of(orig, d->to->family);
	struct tuple back = tuple_of(nlmsg_find_attr(h, sizeof(header), CTA_TUPLE_REPLY), d->to->family);
	struct nl_msg *msg;

	if (!back.src || memcmp(back.src, d->to->a, d->to->family == AF_INET ? 4 : 16) != 0)
		return 0;
	if (!is_published(d->gone, &there, &back) || is_published(d->left, &there, &back))
		return 0;
	if (d->batch->n == NL_BATCH_MAX)
		return 1; /* the next pass */
	header.nfgen_family = d->to->family;
	msg = nl_add(d->batch, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE, 0, &header, sizeof(header), "connection");
	nl_may_fail(d->batch, ENOENT);
	return nla_put(msg, CTA_TUPLE_ORIG | NLA_F_NESTED, nla_len(orig), nla_data(orig)) < 0 ? -ENOMEM : 0;
}

void flows_drop(int host_ns, const struct net_ports *gone, const struct net_ports *left, const struct net_addr *to)
{
	struct nfgenmsg header = { .nfgen_family = to->family, .version = NFNETLINK_V0 };
	autofree struct nl_batch *batch = calloc(1, sizeof(*batch));
	struct drop d = { gone, left, to, batch };
	autonl struct nl nl = {};
	int r = 1;

	if (to->family == 0 || gone->n == 0 || !batch || nl_open(&nl, NETLINK_NETFILTER, host_ns, NULL) < 0)
		return;
	for (int pass = 0; r == 1 && pass < PASSES_MAX; pass++) {
		r = nl_list(&nl, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET, &header, sizeof(header), on_flow, &d, NULL);
		if (nl_run(&nl, batch, NULL) < 0)
			r = -1;
	}
	nl_batch_done(batch);
}
