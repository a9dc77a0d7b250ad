/* The registry: which devices an owner has, copied in and out under the lock. */
#include "netctl/priv.h"

static struct net_link *find(struct netctl *n, uint32_t id, const char *dev)
{
	for (size_t i = 0; i < n->link_count; i++)
		if (n->links[i].id == id && strcmp(n->links[i].dev, dev) == 0)
			return &n->links[i];
	return NULL;
}

static int add_locked(struct netctl *n, const struct net_link *link)
{
	struct net_link *there = find(n, link->id, link->dev);

	if (there) {
		if (there->ns_fd >= 0 && there->ns_fd != link->ns_fd)
			close(there->ns_fd);
		*there = *link;
		return 0;
	}
	if (n->link_count == n->link_room) {
		size_t room = n->link_room ? 2 * n->link_room : 16;
		struct net_link *p = reallocarray(n->links, room, sizeof(*p));
		if (!p)
			return -ENOMEM;
		n->links = p;
		n->link_room = room;
	}
	n->links[n->link_count++] = *link;
	return 0;
}

int links_add(struct netctl *n, const struct net_link *link)
{
	int r;

	pthread_mutex_lock(&n->lock);
	r = add_locked(n, link);
	pthread_mutex_unlock(&n->lock);
	return r;
}

int links_of(struct netctl *n, uint32_t id, struct net_link **ret)
{
	struct net_link *list;
	size_t count = 0;

	pthread_mutex_lock(&n->lock);
	list = malloc((n->link_count + 1) * sizeof(*list));
	for (size_t i = 0; list && i < n->link_count; i++)
		if (id == 0 || n->links[i].id == id)
			list[count++] = n->links[i];
	pthread_mutex_unlock(&n->lock);
	if (!list)
		return -ENOMEM;
	*ret = list;
	return (int)count;
}

void links_update(struct netctl *n, const struct net_link *link)
{
	struct net_link *there;

	pthread_mutex_lock(&n->lock);
	there = find(n, link->id, link->dev);
	if (there)
		*there = *link;
	pthread_mutex_unlock(&n->lock);
}

void links_drop(struct netctl *n, uint32_t id)
{
	size_t kept = 0;

	pthread_mutex_lock(&n->lock);
	for (size_t i = 0; i < n->link_count; i++) {
		if (n->links[i].id != id)
			n->links[kept++] = n->links[i];
		else if (n->links[i].ns_fd >= 0)
			close(n->links[i].ns_fd);
	}
	n->link_count = kept;
	pthread_mutex_unlock(&n->lock);
}

void links_close(struct netctl *n)
{
	for (size_t i = 0; i < n->link_count; i++)
		if (n->links[i].ns_fd >= 0)
			close(n->links[i].ns_fd);
	free(n->links);
	n->links = NULL;
	n->link_count = n->link_room = 0;
}
