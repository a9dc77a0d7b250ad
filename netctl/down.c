/* What an owner has on the host is taken back: at once what its addresses are bound to, links later and in small lots. */
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netlink/netlink.h>

#include "netctl/route.h"

#define SWEEP_LOT 8u      /* links that are deleted in one go: the kernel's lock is held for as long as that takes */
#define BATCH_SPARE 16u

/* ---- what is to be deleted ---- */

void dying_add(struct netctl *n, const struct net_dying *dying)
{
	bool kept = true;

	pthread_mutex_lock(&n->lock);
	if (n->dying_count == n->dying_room) {
		size_t room = n->dying_room ? 2 * n->dying_room : 16;
		struct net_dying *p = reallocarray(n->dying, room, sizeof(*p));
		kept = p != NULL;
		if (p) {
			n->dying = p;
			n->dying_room = room;
		}
	}
	if (kept)
		n->dying[n->dying_count++] = *dying;
	pthread_mutex_unlock(&n->lock);
	if (!kept && dying->ns_fd >= 0)
		close(dying->ns_fd);
}

void dying_close(struct netctl *n)
{
	for (size_t i = 0; i < n->dying_count; i++)
		if (n->dying[i].ns_fd >= 0)
			close(n->dying[i].ns_fd);
	free(n->dying);
	n->dying = NULL;
	n->dying_count = n->dying_room = 0;
}

static size_t dying_take(struct netctl *n, struct net_dying list[SWEEP_LOT])
{
	size_t count;

	pthread_mutex_lock(&n->lock);
	count = MIN(n->dying_count, (size_t)SWEEP_LOT);
	n->dying_count -= count;
	if (count > 0)
		memcpy(list, n->dying + n->dying_count, count * sizeof(*list));
	pthread_mutex_unlock(&n->lock);
	return count;
}

/* ---- down ---- */

/* Nobody is told of what fails: it has gone already, or netctl_adopt finds it. */
static void send_full(struct nl *host, struct nl_batch *b)
{
	if (b->n + BATCH_SPARE > NL_BATCH_MAX)
		nl_run(host, b, NULL);
}

void link_mark_dying(struct nl_batch *b, int ifindex)
{
	nla_put_u32(msg_link(b, ifindex, 0, "link that is no longer needed"), IFLA_GROUP, NET_GROUP_DYING);
}

static void link_down(struct netctl *n, struct nl_batch *b, const struct net_link *link)
{
	struct net_dying dying = { .ifindex = link->ifindex, .ns_fd = -1 };

	if (link->ifindex) {
		shape_drop(b, link);
		link_mark_dying(b, link->ifindex);
		dying_add(n, &dying);
		if (link->ifb)
			dying_add(n, &(struct net_dying){ .ifindex = link->ifb, .ns_fd = -1 });
	} else if (link->borrowed && link->ns_fd >= 0) {
		memcpy(dying.dev, link->dev, sizeof(dying.dev));
		dying.ns_fd = fcntl(link->ns_fd, F_DUPFD_CLOEXEC, 3);
		if (dying.ns_fd >= 0)
			dying_add(n, &dying);
	}
}

void net_down(struct netctl *n, uint32_t id)
{
	autofree struct net_link *links = NULL;
	autofree struct net_entry *entries = NULL;
	autofree struct nl_batch *b = calloc(1, sizeof(*b));
	int link_n = links_of(n, id, &links), entry_n = entries_of(n, id, &entries);
	struct nl host = {};

	if (b && (link_n > 0 || entry_n > 0) && nl_open(&host, NETLINK_ROUTE, n->host_ns, NULL) == 0) {
		for (int i = 0; i < entry_n; i++) {
			/* A neighbour goes with its link. */
			if (entries[i].kind != ENTRY_NEIGH)
				entries_msg(b, &entries[i], RTM_DELROUTE, 0);
			send_full(&host, b);
		}
		for (int i = 0; i < link_n; i++) {
			link_down(n, b, &links[i]);
			send_full(&host, b);
		}
		nl_run(&host, b, NULL);
		nl_done(&host);
	}
	links_drop(n, id);
	entries_drop(n, id);
	nat_drop(n, id);
	pool_drop(n, id); /* last: what it lets somebody else have leads nowhere by now */
}

/* ---- sweep ---- */

/* By the host's name for it, while that is still ours: an index may have been given to somebody else. */
static bool is_dying(struct nl *host, int ifindex)
{
	struct link_info link;

	return link_get(host, ifindex, NULL, &link, NULL) == 0 && (link.group == NET_GROUP_DYING || link.group == NET_GROUP_SWEEP);
}

static void give_back(struct netctl *n, const struct net_dying *dying)
{
	struct nl_batch b = {};
	struct link_info link;
	struct nl inside;

	if (nl_open(&inside, NETLINK_ROUTE, dying->ns_fd, NULL) < 0)
		return;
	if (link_get(&inside, 0, dying->dev, &link, NULL) == 0) {
		nla_put_u32(msg_link(&b, link.ifindex, 0, "device that is given back"), IFLA_NET_NS_FD, (uint32_t)n->host_ns);
		nl_run(&inside, &b, NULL);
	}
	nl_done(&inside);
}

/* All of a group at once takes as long as one of them. -ENODEV: there was none. */
static int delete_group(struct nl *host, uint32_t group, struct err *err)
{
	struct ifinfomsg h = {};
	struct nl_batch b = {};

	nla_put_u32(nl_add(&b, RTM_DELLINK, 0, &h, sizeof(h), "links that are no longer needed"), IFLA_GROUP, group);
	return nl_run(host, &b, err);
}

int net_sweep(struct netctl *n)
{
	struct net_dying list[SWEEP_LOT];
	size_t count = dying_take(n, list), marked = 0;
	struct nl_batch b = {};
	struct nl host;
	int r = nl_open(&host, NETLINK_ROUTE, n->host_ns, NULL);

	if (r < 0) {
		for (size_t i = 0; i < count; i++)
			dying_add(n, &list[i]);
		return r;
	}
	for (size_t i = 0; i < count; i++) {
		if (list[i].ns_fd >= 0) {
			give_back(n, &list[i]);
			close(list[i].ns_fd);
		} else if (is_dying(&host, list[i].ifindex)) {
			nla_put_u32(msg_link(&b, list[i].ifindex, 0, "link that is deleted"), IFLA_GROUP, NET_GROUP_SWEEP);
			marked++;
		}
	}
	nl_run(&host, &b, NULL); /* some may have gone with their namespace */
	/* With an empty list, those that were marked by others than net_down: queues that nobody needs any more. */
	if (marked > 0)
		r = delete_group(&host, NET_GROUP_SWEEP, NULL);
	else if (count == 0)
		r = delete_group(&host, NET_GROUP_DYING, NULL);
	nl_done(&host);
	if (r == -ENODEV)
		return count > 0;
	return r < 0 ? r : 1;
}
