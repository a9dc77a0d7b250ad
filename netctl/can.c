/*
 * What the kernel can: tried in a namespace of its own, which is gone with the thread that made it. Asking makes a modular kernel
 * load its modules, so that the first container does not wait for them.
 */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <netlink/netlink.h>
#include <sched.h>

#include "netctl/route.h"

#define TRY_VETH 100 /* indexes of what is made */
#define TRY_IFB  101

struct probing {
	struct net_can can;
	struct nl nl;
	struct nl_batch b;
	struct err err;
	int r;
};

/* Sends what is in the batch: a message that something is made with. */
static bool works(struct probing *p)
{
	return nl_run(&p->nl, &p->b, NULL) == 0;
}

/* A link of a kind, over lower where that needs one. */
static bool try_link(struct probing *p, const char *kind, int ifindex, int lower)
{
	struct ifinfomsg h = { .ifi_index = ifindex, .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
	struct nl_msg *msg = nl_add(&p->b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &h, sizeof(h), "%s", kind);
	struct nlattr *info;

	if (lower)
		nla_put_u32(msg, IFLA_LINK, (uint32_t)lower);
	info = nla_nest_start(msg, IFLA_LINKINFO);
	nla_put_string(msg, IFLA_INFO_KIND, kind);
	nla_nest_end(msg, info);
	/* The kernel may have made one itself in the new namespace. */
	nl_may_fail(&p->b, EEXIST);
	return works(p);
}

static struct nl_msg *qdisc(struct probing *p, const char *kind, uint32_t parent, uint32_t handle)
{
	struct tcmsg h = { .tcm_ifindex = TRY_VETH, .tcm_parent = parent, .tcm_handle = handle };
	struct nl_msg *msg = nl_add(&p->b, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, &h, sizeof(h), "%s", kind);

	nla_put_string(msg, TCA_KIND, kind);
	return msg;
}

static bool try_tbf(struct probing *p)
{
	struct tc_tbf_qopt opt = { .rate = { .rate = 1000000, .linklayer = TC_LINKLAYER_ETHERNET }, .limit = 100000 };
	struct nl_msg *msg = qdisc(p, "tbf", TC_H_ROOT, 0x10000);
	struct nlattr *o = nla_nest_start(msg, TCA_OPTIONS);

	nla_put(msg, TCA_TBF_PARMS, sizeof(opt), &opt);
	nla_put_u32(msg, TCA_TBF_BURST, 10000);
	nla_nest_end(msg, o);
	return works(p);
}

static bool try_htb(struct probing *p)
{
	struct tc_htb_glob opt = { .version = 3, .rate2quantum = 10 };
	struct nl_msg *msg = qdisc(p, "htb", TC_H_ROOT, 0x20000);
	struct nlattr *o = nla_nest_start(msg, TCA_OPTIONS);

	nla_put(msg, TCA_HTB_INIT, sizeof(opt), &opt);
	nla_nest_end(msg, o);
	return works(p);
}

static bool try_qdisc(struct probing *p, const char *kind, uint32_t parent, uint32_t handle)
{
	qdisc(p, kind, parent, handle);
	return works(p);
}

/* A filter that takes everything, with the action that sends it to another device, or without an action. */
static bool try_filter(struct probing *p, bool redirects)
{
	struct tcmsg h = { .tcm_ifindex = TRY_VETH,
			   .tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS),
			   .tcm_info = TC_H_MAKE(redirects ? 1u << 16 : 2u << 16, htons(ETH_P_ALL)) };
	struct nl_msg *msg = nl_add(&p->b, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, &h, sizeof(h), "u32");
	struct tc_mirred mirred = { .action = TC_ACT_STOLEN, .eaction = TCA_EGRESS_REDIR, .ifindex = TRY_IFB };
	struct tc_u32_sel sel = { .flags = TC_U32_TERMINAL, .nkeys = 1 };
	char all[sizeof(sel) + sizeof(struct tc_u32_key)] = ""; /* a mask of zero */
	struct nlattr *o, *act, *one, *opt;

	nla_put_string(msg, TCA_KIND, "u32");
	o = nla_nest_start(msg, TCA_OPTIONS);
	memcpy(all, &sel, sizeof(sel));
	nla_put(msg, TCA_U32_SEL, sizeof(all), all);
	if (redirects) {
		act = nla_nest_start(msg, TCA_U32_ACT);
		one = nla_nest_start(msg, 1);
		nla_put_string(msg, TCA_ACT_KIND, "mirred");
		opt = nla_nest_start(msg, TCA_ACT_OPTIONS);
		nla_put(msg, TCA_MIRRED_PARMS, sizeof(mirred), &mirred);
		nla_nest_end(msg, opt);
		nla_nest_end(msg, one);
		nla_nest_end(msg, act);
	} else {
		nla_put_u32(msg, TCA_U32_CLASSID, 1);
	}
	nla_nest_end(msg, o);
	return works(p);
}

static int ignore(UNUSED void *arg, UNUSED struct nlmsghdr *h)
{
	return 0;
}

static bool try_nft(void)
{
	struct nfgenmsg h = {};
	struct nl nl;
	bool ok;

	if (nl_open(&nl, NETLINK_NETFILTER, -1, NULL) < 0)
		return false;
	ok = nl_list(&nl, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE, &h, sizeof(h), ignore, NULL, NULL) == 0;
	nl_done(&nl);
	return ok;
}

static void try_all(struct probing *p)
{
	struct net_can *c = &p->can;

	c->veth = try_link(p, "veth", TRY_VETH, 0);
	c->ifb = try_link(p, "ifb", TRY_IFB, 0);
	c->bridge = try_link(p, "bridge", 0, 0);
	c->ip6tnl = try_link(p, "ip6tnl", 0, 0);
	c->macvlan = try_link(p, "macvlan", 0, TRY_VETH);
	/* A device can't be lower for both. */
	if (c->veth && try_link(p, "veth", TRY_VETH + 2, 0))
		c->ipvlan = try_link(p, "ipvlan", 0, TRY_VETH + 2);
	c->tbf = try_tbf(p);
	c->fq_codel = try_qdisc(p, "fq_codel", TC_H_ROOT, 0x30000);
	c->htb = try_htb(p);
	c->clsact = try_qdisc(p, "clsact", TC_H_CLSACT, TC_H_MAKE(TC_H_CLSACT, 0));
	c->u32 = c->clsact && try_filter(p, false);
	c->mirred = c->u32 && c->ifb && try_filter(p, true);
	c->tun = access("/dev/net/tun", F_OK) == 0;
	c->nft_nat = try_nft();
}

static void *probe_thread(void *arg)
{
	struct probing *p = arg;

	if (unshare(CLONE_NEWNET) < 0) {
		p->r = err_sys(&p->err, errno, "a network namespace to try the kernel in");
		return NULL;
	}
	p->r = nl_open(&p->nl, NETLINK_ROUTE, -1, &p->err);
	if (p->r == 0)
		try_all(p);
	nl_done(&p->nl);
	return NULL;
}

int can_find_out(struct net_can *ret, struct err *err)
{
	struct probing *p = calloc(1, sizeof(*p));
	pthread_t thread;
	int r;

	if (!p)
		return err_sys(err, ENOMEM, "netctl");
	r = -pthread_create(&thread, NULL, probe_thread, p);
	if (r < 0) {
		free(p);
		return err_sys(err, -r, "a thread to try the kernel in");
	}
	pthread_join(thread, NULL);
	r = p->r;
	*ret = p->can;
	if (r < 0 && err)
		*err = p->err;
	free(p);
	return r;
}
