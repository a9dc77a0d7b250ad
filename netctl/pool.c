/* Which addresses owners have: those of the pool for NAT by a bitmap, all by a list. */
#include "netctl/priv.h"

#include <sys/socket.h>

#include "netctl/host.h"

#define POOL_MAX (UINT64_C(1) << 20)
#define AUTO_TRIES 1024u /* addresses that are asked about before `auto` gives up */
#define AUTO_FIRST 8u    /* of them at first: mostly one of these is free */

struct hold {
	uint32_t id;
	struct net_addr addr; /* a host */
};

struct net_pool {
	uint64_t count;  /* offsets */
	uint64_t *used;  /* bit n: offset n is somebody's, v4 and v6 */
	struct hold *holds;
	size_t n, room;
};

static uint8_t host_prefix(const struct net_addr *addr)
{
	return addr->family == AF_INET ? 32 : 128;
}

static bool same(const struct net_addr *a, const struct net_addr *b)
{
	return a->family == b->family && memcmp(a->a, b->a, host_prefix(a) / 8) == 0;
}

/* ---- arithmetic ---- */

/* base + n; false: past the last address there is. */
static bool addr_plus(const struct net_addr *base, uint64_t n, struct net_addr *ret)
{
	int size = host_prefix(base) / 8;

	*ret = *base;
	ret->prefix = host_prefix(base);
	for (int i = size - 1; i >= 0 && n; i--) {
		n += ret->a[i];
		ret->a[i] = (uint8_t)n;
		n >>= 8;
	}
	return n == 0;
}

bool net_pool_fits(const struct net_addr *first, uint64_t count)
{
	struct net_addr last;

	return count <= POOL_MAX && (count == 0 || addr_plus(first, count - 1, &last));
}

/* addr - base, if that is less than 2^32. */
static bool addr_minus(const struct net_addr *addr, const struct net_addr *base, uint64_t *ret)
{
	int size = host_prefix(base) / 8, borrow = 0;
	uint64_t diff = 0;

	if (base->family == 0 || addr->family != base->family)
		return false;
	for (int i = size - 1; i >= 0; i--) {
		int d = addr->a[i] - base->a[i] - borrow;
		borrow = d < 0;
		d &= 0xff;
		if (i >= size - 4)
			diff |= (uint64_t)d << 8 * (size - 1 - i);
		else if (d)
			return false;
	}
	*ret = diff;
	return !borrow;
}

/* ---- the list, under the lock ---- */

static const struct hold *holder(const struct net_pool *p, const struct net_addr *addr)
{
	for (size_t i = 0; i < p->n; i++)
		if (same(&p->holds[i].addr, addr))
			return &p->holds[i];
	return NULL;
}

static bool pool_offset(const struct netctl *n, const struct net_addr *addr, uint64_t *ret)
{
	const struct net_addr *base = addr->family == AF_INET ? &n->conf.nat4 : &n->conf.nat6;

	return addr_minus(addr, base, ret) && *ret < n->pool->count;
}

bool pool_has(const struct netctl *n, const struct net_addr *addr)
{
	uint64_t at;

	return pool_offset(n, addr, &at);
}

static void mark(struct netctl *n, const struct net_addr *addr)
{
	uint64_t at;

	if (pool_offset(n, addr, &at))
		n->pool->used[at / 64] |= UINT64_C(1) << at % 64;
}

/* Free again, unless its twin of the other family still is somebody's. */
static void unmark(struct netctl *n, const struct net_addr *addr)
{
	const struct net_addr *bases[] = { &n->conf.nat4, &n->conf.nat6 };
	struct net_addr twin;
	uint64_t at;

	if (!pool_offset(n, addr, &at))
		return;
	for (size_t i = 0; i < ARRAY_LEN(bases); i++)
		if (bases[i]->family && addr_plus(bases[i], at, &twin) && holder(n->pool, &twin))
			return;
	n->pool->used[at / 64] &= ~(UINT64_C(1) << at % 64);
}

static int hold_locked(struct netctl *n, uint32_t id, const struct net_addr *addr)
{
	struct net_pool *p = n->pool;
	const struct hold *h = holder(p, addr);

	if (h)
		return h->id == id ? 0 : -EADDRINUSE;
	if (p->n == p->room) {
		size_t room = p->room ? 2 * p->room : 16;
		struct hold *holds = reallocarray(p->holds, room, sizeof(*holds));
		if (!holds)
			return -ENOMEM;
		p->holds = holds;
		p->room = room;
	}
	p->holds[p->n] = (struct hold){ id, *addr };
	p->holds[p->n++].addr.prefix = host_prefix(addr);
	mark(n, addr);
	return 0;
}

/* addr NULL: all of the owner's. */
static void drop_locked(struct netctl *n, uint32_t id, const struct net_addr *addr)
{
	struct net_pool *p = n->pool;

	for (size_t i = p->n; i-- > 0;) {
		struct hold gone = p->holds[i];
		if (gone.id != id || (addr && !same(addr, &gone.addr)))
			continue;
		p->holds[i] = p->holds[--p->n];
		unmark(n, &gone.addr);
	}
}

int pool_hold(struct netctl *n, uint32_t id, const struct net_addr *addr, struct err *err)
{
	char text[NET_ADDR_TEXT];
	struct net_addr host = *addr;
	int r;

	pthread_mutex_lock(&n->lock);
	r = hold_locked(n, id, addr);
	pthread_mutex_unlock(&n->lock);
	host.prefix = host_prefix(addr);
	net_addr_format(&host, text);
	if (r == -EADDRINUSE)
		return err_set_no(err, ERR_ResourceNotAvailable, EADDRINUSE, "address %s is another container's", text);
	return r < 0 ? err_sys(err, -r, "address %s", text) : 0;
}

void pool_drop(struct netctl *n, uint32_t id)
{
	if (!n->pool)
		return;
	pthread_mutex_lock(&n->lock);
	drop_locked(n, id, NULL);
	pthread_mutex_unlock(&n->lock);
}

static void pool_drop_one(struct netctl *n, uint32_t id, const struct net_addr *addr)
{
	pthread_mutex_lock(&n->lock);
	drop_locked(n, id, addr);
	pthread_mutex_unlock(&n->lock);
}

bool pool_in_use(struct netctl *n)
{
	bool used = false;

	pthread_mutex_lock(&n->lock);
	for (uint64_t i = 0; n->pool && i < (n->pool->count + 63) / 64; i++)
		used |= n->pool->used[i] != 0;
	pthread_mutex_unlock(&n->lock);
	return used;
}

/* ---- NAT ---- */

/* The lowest free offset from *at on, held. -ENOSPC */
static int take_offset(struct netctl *n, uint32_t id, uint64_t *at, struct net_addr *v4, struct net_addr *v6)
{
	struct net_pool *p = n->pool;
	int r = -ENOSPC;

	*v4 = *v6 = (struct net_addr){};
	pthread_mutex_lock(&n->lock);
	for (; r == -ENOSPC && *at < p->count; ++*at) {
		if (p->used[*at / 64] >> *at % 64 & 1)
			continue;
		r = 0;
		if (n->conf.nat4.family)
			r = addr_plus(&n->conf.nat4, *at, v4) ? hold_locked(n, id, v4) : -ERANGE;
		if (r == 0 && n->conf.nat6.family)
			r = addr_plus(&n->conf.nat6, *at, v6) ? hold_locked(n, id, v6) : -ERANGE;
	}
	pthread_mutex_unlock(&n->lock);
	return r;
}

/* A route to it is of another daemon with the same pool, or was made by hand. */
static bool is_routed(struct nl *nl, const struct net_addr *v4, const struct net_addr *v6)
{
	return (v4->family && host_has_route(nl, v4)) || (v6->family && host_has_route(nl, v6));
}

int pool_take_nat(struct netctl *n, uint32_t id, struct net_addr *v4, struct net_addr *v6, struct err *err)
{
	autonl struct nl nl = {};
	uint64_t at = 0;
	int r;

	if (!n->conf.nat4.family && !n->conf.nat6.family)
		return err_set(err, ERR_ResourceNotAvailable, "there is no NAT address pool: nat_first_ipv4 and nat_first_ipv6 are not set");
	r = nl_open(&nl, NETLINK_ROUTE, n->host_ns, err);
	if (r < 0)
		return r;
	while ((r = take_offset(n, id, &at, v4, v6)) == 0 && is_routed(&nl, v4, v6)) {
		pool_drop_one(n, id, v4);
		pool_drop_one(n, id, v6);
	}
	if (r == -ENOSPC || r == -ERANGE)
		return err_set(err, ERR_ResourceNotAvailable, "NAT address pool is empty");
	return r < 0 ? err_sys(err, -r, "NAT address pool") : 0;
}

/* ---- auto ---- */

/*
 * Going through the addresses of a network: not the first (the network's own, of IPv6 the routers') nor the last (broadcast).
 * The upper half comes first: low numbers are those that people give by hand.
 */
struct walk {
	struct net_addr net;
	uint64_t first, count, at;
	struct addrs host;
};

static int walk_begin(struct netctl *n, const struct net_addr *net, struct walk *w, struct err *err)
{
	unsigned bits = host_prefix(net) - net->prefix;
	autonl struct nl nl = {};
	int r;

	*w = (struct walk){ .net = *net };
	for (unsigned i = net->prefix; i < host_prefix(net); i++)
		w->net.a[i / 8] &= (uint8_t)~(0x80 >> i % 8);
	w->first = bits > 1 ? 1 : 0; /* of two or one all are hosts: RFC 3021 */
	w->count = (UINT64_C(1) << MIN(bits, 32u)) - w->first;
	if (net->family == AF_INET && bits > 1)
		w->count--;
	r = nl_open(&nl, NETLINK_ROUTE, n->host_ns, err);
	return r < 0 ? r : host_addresses(&nl, &w->net, &w->host, err);
}

/* Up to max free ones, held. Their number or -ENOMEM. */
static int walk_take(struct netctl *n, uint32_t id, struct walk *w, struct net_addr *list, size_t max)
{
	size_t got = 0;
	int r = 0;

	pthread_mutex_lock(&n->lock);
	for (; got < max && w->at < w->count && r != -ENOMEM; w->at++) {
		if (!addr_plus(&w->net, w->first + (w->at + w->count / 2) % w->count, &list[got]) || addrs_have(&w->host, &list[got]) || holder(n->pool, &list[got]))
			continue;
		r = hold_locked(n, id, &list[got]);
		got += r == 0;
	}
	pthread_mutex_unlock(&n->lock);
	return r == -ENOMEM ? r : (int)got;
}

/* The first of those that nobody answers for, *free_at; -1 none. All others are let go. */
static int choose(struct netctl *n, uint32_t id, int ifindex, const struct net_addr *list, size_t got, int *free_at, struct err *err)
{
	bool answers[PROBE_MAX] = {};
	int r = ifindex > 0 ? probe(ifindex, list, got, answers, err) : 0;

	*free_at = -1;
	for (size_t i = 0; i < got; i++) {
		if (r == 0 && *free_at < 0 && !answers[i])
			*free_at = (int)i;
		else
			pool_drop_one(n, id, &list[i]);
	}
	return r;
}

int pool_take_auto(struct netctl *n, uint32_t id, const struct net_addr *net, int ifindex, struct net_addr *ret, struct err *err)
{
	struct net_addr list[PROBE_MAX];
	char text[NET_ADDR_TEXT];
	size_t tried = 0;
	struct walk w;
	int r, at = -1;

	r = walk_begin(n, net, &w, err);
	while (r == 0 && at < 0 && tried < AUTO_TRIES) {
		int got = walk_take(n, id, &w, list, ifindex <= 0 ? 1 : tried == 0 ? AUTO_FIRST : PROBE_MAX);
		if (got <= 0) {
			r = got < 0 ? err_sys(err, -got, "address") : 0;
			break;
		}
		tried += (size_t)got;
		r = choose(n, id, ifindex, list, (size_t)got, &at, err);
	}
	addrs_done(&w.host);
	if (r < 0)
		return r;
	net_addr_format(&w.net, text);
	if (at < 0)
		return err_set(err, ERR_ResourceNotAvailable, "no free address in %s: %zu of them answer, the others are in use here", text,
			       tried);
	*ret = list[at];
	return 0;
}

/* ---- open and close ---- */

int pool_open(struct netctl *n)
{
	struct net_pool *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->count = n->conf.nat4.family || n->conf.nat6.family ? MIN(n->conf.nat_count, POOL_MAX) : 0;
	p->used = calloc(p->count / 64 + 1, sizeof(*p->used));
	if (!p->used) {
		free(p);
		return -ENOMEM;
	}
	n->pool = p;
	return 0;
}

void pool_close(struct netctl *n)
{
	if (!n->pool)
		return;
	free(n->pool->used);
	free(n->pool->holds);
	free(TAKE_PTR(n->pool));
}
