/* Routes, neighbours and proxy entries that owners have on the host: remembered so that they can be taken away, and put back. */
#include <linux/rtnetlink.h>

#include "netctl/route.h"

int entries_add(struct netctl *n, const struct net_entry *list, size_t count)
{
	int r = 0;

	pthread_mutex_lock(&n->lock);
	if (n->entry_count + count > n->entry_room) {
		size_t room = MAX(2 * n->entry_room, n->entry_count + count);
		struct net_entry *p = reallocarray(n->entries, room, sizeof(*p));
		if (p) {
			n->entries = p;
			n->entry_room = room;
		} else {
			r = -ENOMEM;
		}
	}
	if (r == 0 && count > 0) {
		memcpy(n->entries + n->entry_count, list, count * sizeof(*list));
		n->entry_count += count;
	}
	pthread_mutex_unlock(&n->lock);
	return r;
}

int entries_of(struct netctl *n, uint32_t id, struct net_entry **ret)
{
	struct net_entry *list;
	size_t count = 0;

	pthread_mutex_lock(&n->lock);
	list = malloc((n->entry_count + 1) * sizeof(*list));
	for (size_t i = 0; list && i < n->entry_count; i++)
		if (id == 0 || n->entries[i].id == id)
			list[count++] = n->entries[i];
	pthread_mutex_unlock(&n->lock);
	if (!list)
		return -ENOMEM;
	*ret = list;
	return (int)count;
}

void entries_drop(struct netctl *n, uint32_t id)
{
	size_t kept = 0;

	pthread_mutex_lock(&n->lock);
	for (size_t i = 0; i < n->entry_count; i++)
		if (n->entries[i].id != id)
			n->entries[kept++] = n->entries[i];
	n->entry_count = kept;
	pthread_mutex_unlock(&n->lock);
}

void entries_move(struct netctl *n, const char *dev, int ifindex)
{
	pthread_mutex_lock(&n->lock);
	for (size_t i = 0; i < n->entry_count; i++)
		if (n->entries[i].kind == ENTRY_PROXY && strcmp(n->entries[i].dev, dev) == 0)
			n->entries[i].ifindex = ifindex;
	pthread_mutex_unlock(&n->lock);
}

void entries_msg(struct nl_batch *b, const struct net_entry *entry, int type, int flags)
{
	bool adds = type == RTM_NEWROUTE;
	struct net_route route = { .to = entry->addr, .ifindex = entry->ifindex };

	if (entry->kind == ENTRY_ROUTE)
		msg_route(b, type, flags, &route);
	else
		msg_neigh(b, adds ? RTM_NEWNEIGH : RTM_DELNEIGH, flags, entry->ifindex, &entry->addr,
			  entry->kind == ENTRY_NEIGH ? entry->mac : NULL);
	if (!adds)
		nl_may_fail(b, entry->kind == ENTRY_ROUTE ? ESRCH : ENOENT);
}
