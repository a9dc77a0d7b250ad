/*
 * The table: what goes out of a container's link is the container's own, the pool is masqueraded, published ports lead inside,
 * packets of links with a class get it. What it holds is kept here, so that it can be made anew at any time.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "netctl/flows.h"
#include "netctl/nft.h"
#include "netctl/priv.h"
#include "netctl/words.h"

#define SENTENCE 160

struct publisher {
	uint32_t id;
	struct net_ports ports;
	struct net_addr to[2]; /* IPv4, IPv6; family 0: it has none */
};

struct class {
	int ifindex;
	uint32_t classid;
};

struct net_nat {
	pthread_mutex_t lock; /* of all this, also while the kernel is asked: what is kept and what is there change together */
	bool made;
	uint32_t generation; /* of all rules after our last change, if nobody changed any besides us since the table was made; 0: not known */
	char table[64];
	struct publisher *pubs;
	size_t pub_count;
	struct class *classes;
	size_t class_count;
};

/* ---- text of the table ---- */

static const struct version {
	uint8_t family;
	const char *word, *n, *loopback;
} versions[] = {
	{ AF_INET, "ip", "4", "127.0.0.0/8" },
	{ AF_INET6, "ip6", "6", "::1" },
};

static void add_pool(const struct netctl *n, const struct version *v, struct text *out)
{
	struct net_addr last = v->family == AF_INET ? n->conf.nat4 : n->conf.nat6;
	char first_text[NET_ADDR_TEXT], last_text[NET_ADDR_TEXT];
	uint64_t more = n->conf.nat_count - 1;

	if (last.family == 0 || n->conf.nat_count == 0)
		return;
	net_addr_format(&last, first_text);
	for (int i = v->family == AF_INET ? 3 : 15; i >= 0 && more; i--) {
		more += last.a[i];
		last.a[i] = (uint8_t)more;
		more >>= 8;
	}
	net_addr_format(&last, last_text);
	text_addf(out, "  %s saddr %s%s%s oifgroup != %u masquerade\n", v->word, first_text, strcmp(first_text, last_text) ? "-" : "",
		  strcmp(first_text, last_text) ? last_text : "", NET_GROUP_LIVE);
}

/* From outside and from the host itself. An element with the host's address counts before one without. */
static void add_dnat(struct text *out)
{
	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		const struct version *v = &versions[i];
		text_addf(out,
			  "  fib daddr type local dnat %s to %s daddr . meta l4proto . th dport map @one%s\n"
			  "  fib daddr type local dnat %s to meta l4proto . th dport map @all%s\n",
			  v->word, v->word, v->n, v->word, v->n);
	}
}

static void add_maps(struct text *out)
{
	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		const char *addr = versions[i].family == AF_INET ? "ipv4_addr" : "ipv6_addr", *n = versions[i].n;
		text_addf(out,
			  " map all%s { type inet_proto . inet_service : %s . inet_service; }\n"
			  " map one%s { type %s . inet_proto . inet_service : %s . inet_service; }\n"
			  " set self%s { type %s . %s; }\n",
			  n, addr, n, addr, addr, n, addr, addr);
	}
	text_add(out, " map class { type iface_index : classid; }\n");
}

/*
 * spoof: before anything else looks at the packet. Also 127.0.0.1 of the host is not to be had from a link (nat_localnet).
 * post: who comes back to himself by the host's address needs another source than himself, or he would throw it away; and what
 * the host sends from 127.0.0.1 needs one that can be answered.
 */
static void add_chains(const struct netctl *n, struct text *out)
{
	text_addf(out,
		  " chain spoof { type filter hook prerouting priority -300;\n"
		  "  iifgroup { %u, %u } drop\n"
		  "  iifgroup %u ip daddr 127.0.0.0/8 drop\n"
		  "  iifgroup %u fib saddr . iif oif missing drop\n }\n",
		  NET_GROUP_DYING, NET_GROUP_SWEEP, NET_GROUP_LIVE, NET_GROUP_LIVE);
	text_add(out, " chain pre { type nat hook prerouting priority -100;\n");
	add_dnat(out);
	text_add(out, " }\n chain out { type nat hook output priority -100;\n");
	add_dnat(out);
	text_add(out, " }\n chain post { type nat hook postrouting priority 100;\n");
	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		const struct version *v = &versions[i];
		text_addf(out, "  %s saddr . %s daddr @self%s masquerade\n", v->word, v->word, v->n);
		text_addf(out, "  oifgroup %u %s saddr %s masquerade\n", NET_GROUP_LIVE, v->word, v->loopback);
		add_pool(n, v, out);
	}
	text_add(out, " }\n chain class { type filter hook postrouting priority 0;\n  meta priority set iif map @class\n }\n");
}

/* ---- elements ---- */

static const struct version *version_of(uint8_t family)
{
	return &versions[family == AF_INET6];
}

static bool is_all(const struct net_addr *listen)
{
	static const uint8_t zero[16];

	return listen->family == 0 || memcmp(listen->a, zero, sizeof(zero)) == 0;
}

static void add_port(const char *verb, const char *table, const struct net_port *port, const struct net_addr *to, struct text *out)
{
	const struct version *v = version_of(to->family);
	const char *proto = net_proto_name(port->proto);
	char listen[NET_ADDR_TEXT], inside[NET_ADDR_TEXT];
	bool all = is_all(&port->listen);

	if (to->family == 0 || (port->listen.family && port->listen.family != to->family))
		return;
	net_addr_format(&port->listen, listen);
	net_addr_format(to, inside);
	text_addf(out, "%s element inet %s %s%s { ", verb, table, all ? "all" : "one", v->n);
	for (unsigned i = 0; i < port->count; i++)
		text_addf(out, "%s%s%s%s . %u : %s . %u", i ? ", " : "", all ? "" : listen, all ? "" : " . ", proto, port->from + i, inside,
			  port->to + i);
	text_add(out, " }\n");
}

static void add_publisher(const char *verb, const char *table, const struct publisher *p, struct text *out)
{
	char inside[NET_ADDR_TEXT];

	for (size_t v = 0; v < ARRAY_LEN(p->to); v++) {
		if (p->to[v].family == 0)
			continue;
		for (size_t i = 0; i < p->ports.n; i++)
			add_port(verb, table, &p->ports.p[i], &p->to[v], out);
		net_addr_format(&p->to[v], inside);
		if (p->ports.n > 0)
			text_addf(out, "%s element inet %s self%s { %s . %s }\n", verb, table, version_of(p->to[v].family)->n, inside, inside);
	}
}

static void add_class(const char *verb, const char *table, const struct class *c, struct text *out)
{
	text_addf(out, "%s element inet %s class { %d : %x:%x }\n", verb, table, c->ifindex, c->classid >> 16, c->classid & 0xffff);
}

/* ---- the whole ---- */

/* whole: the table is what we think it is afterwards, whatever it was. */
static int run(struct netctl *n, const struct text *commands, bool whole, struct err *err)
{
	uint32_t before = nft_generation(n->host_ns), after;
	bool alone = before != 0 && (whole || before == n->nat->generation);
	int r = nft_run(commands, err);

	after = r == 0 && alone ? nft_generation(n->host_ns) : 0;
	n->nat->generation = after == before + 1 ? after : 0;
	return r;
}

/* Has anybody anything for which the table is there? */
static bool is_needed(struct netctl *n)
{
	bool links = false;

	pthread_mutex_lock(&n->lock);
	for (size_t i = 0; i < n->link_count; i++)
		links |= n->links[i].ifindex > 0;
	pthread_mutex_unlock(&n->lock);
	return links || n->nat->pub_count > 0 || n->nat->class_count > 0 || pool_in_use(n);
}

static int make(struct netctl *n, struct err *err)
{
	struct net_nat *nat = n->nat;
	autotext struct text t = {};
	int r;

	/* Adding what is there is fine, deleting what isn't is not. */
	text_addf(&t, "add table inet %s\ndelete table inet %s\ntable inet %s {\n", nat->table, nat->table, nat->table);
	add_maps(&t);
	add_chains(n, &t);
	text_add(&t, "}\n");
	for (size_t i = 0; i < nat->pub_count; i++)
		add_publisher("add", nat->table, &nat->pubs[i], &t);
	for (size_t i = 0; i < nat->class_count; i++)
		add_class("add", nat->table, &nat->classes[i], &t);
	r = run(n, &t, true, err);
	nat->made = r == 0;
	return r;
}

/* Who watches the rules is not told of changes that are none. */
static bool is_untouched(const struct netctl *n)
{
	return n->nat->made && n->nat->generation != 0 && nft_generation(n->host_ns) == n->nat->generation;
}

int nat_need(struct netctl *n, struct err *err)
{
	int r;

	pthread_mutex_lock(&n->nat->lock);
	r = is_untouched(n) ? 0 : make(n, err);
	pthread_mutex_unlock(&n->nat->lock);
	return r;
}

int nat_sync(struct netctl *n, struct err *err)
{
	struct net_nat *nat = n->nat;
	autotext struct text t = {};
	int r = 0;

	pthread_mutex_lock(&nat->lock);
	if (is_needed(n)) {
		r = is_untouched(n) ? 0 : make(n, err);
	} else {
		text_addf(&t, "delete table inet %s\n", nat->table);
		if (nft_table_exists(n->host_ns, nat->table))
			r = nft_run(&t, err);
		nat->made = false;
	}
	pthread_mutex_unlock(&nat->lock);
	return r;
}

/* A change of a few elements; if the table isn't what we think it is, all of it. */
static int change(struct netctl *n, const struct text *commands, struct err *err)
{
	if (n->nat->made && run(n, commands, false, NULL) == 0)
		return 0;
	return n->nat->made || is_needed(n) ? make(n, err) : 0;
}

/* ---- published ports ---- */

static struct publisher *publisher(struct net_nat *nat, uint32_t id)
{
	for (size_t i = 0; i < nat->pub_count; i++)
		if (nat->pubs[i].id == id)
			return &nat->pubs[i];
	return NULL;
}

static void port_text(const struct net_port *port, char buf[SENTENCE])
{
	struct net_port copy = *port;
	struct net_ports one = { &copy, 1 };
	autotext struct text t = {};

	net_ports_format(&one, &t);
	snprintf(buf, SENTENCE, "%s", text_str(&t));
}

/* As the alias of one of its links says: "<tag>:<id>:<device>:<name>". Else its number. */
static void owner_text(struct netctl *n, uint32_t id, char buf[SENTENCE])
{
	autofree struct net_link *links = NULL;
	int count = links_of(n, id, &links);
	char alias[256], path[64 + IFNAMSIZ], dev[IFNAMSIZ];

	snprintf(buf, SENTENCE, "number %u", id);
	for (int i = 0; i < count; i++) {
		const char *name = alias;
		if (links[i].ifindex <= 0 || !if_indextoname((unsigned)links[i].ifindex, dev))
			continue;
		snprintf(path, sizeof(path), "/sys/class/net/%s/ifalias", dev);
		if (file_read_small(AT_FDCWD, path, alias, sizeof(alias)) <= 0)
			continue;
		for (int colon = 0; name && colon < 3; colon++) {
			name = strchr(name, ':');
			name += name != NULL;
		}
		if (name)
			snprintf(buf, SENTENCE, "%s", name);
	}
}

static int taken(struct netctl *n, const struct publisher *p, const struct net_port *port, struct err *err)
{
	char text[SENTENCE], owner[SENTENCE];

	port_text(port, text);
	owner_text(n, p->id, owner);
	return err_set(err, ERR_Busy, "publish: container %s has %s", owner, text);
}

static int check_others(struct netctl *n, uint32_t id, const struct net_ports *ports, struct err *err)
{
	for (size_t i = 0; i < n->nat->pub_count; i++) {
		const struct publisher *p = &n->nat->pubs[i];
		for (size_t j = 0; p->id != id && j < p->ports.n; j++)
			for (size_t k = 0; k < ports->n; k++)
				if (net_ports_overlap(&p->ports.p[j], &ports->p[k]))
					return taken(n, p, &p->ports.p[j], err);
	}
	return 0;
}

/* Somebody on the host listens there: 1. */
static int is_listened(const struct net_port *port, uint16_t number, uint8_t family)
{
	int type = port->proto == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM, on = 1;
	autoclose int fd = socket(family, type | SOCK_CLOEXEC, port->proto);
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} at = {};
	socklen_t len = family == AF_INET ? sizeof(at.v4) : sizeof(at.v6);

	if (fd < 0)
		return 0;
	/* with it only those who listen are in the way, not ends of connections */
	if (type == SOCK_STREAM)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	at.any.sa_family = family;
	if (family == AF_INET) {
		at.v4.sin_port = htons(number);
		memcpy(&at.v4.sin_addr, port->listen.a, 4);
	} else {
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
		at.v6.sin6_port = htons(number);
		memcpy(&at.v6.sin6_addr, port->listen.a, 16);
	}
	return bind(fd, &at.any, len) < 0 && errno == EADDRINUSE;
}

/* What leads elsewhere already leads there because it was free then. */
static bool has_already(const struct publisher *old, const struct net_port *port, uint16_t number)
{
	struct net_port one = *port;

	one.from = number;
	one.count = 1;
	for (size_t i = 0; old && i < old->ports.n; i++)
		if (net_ports_overlap(&old->ports.p[i], &one))
			return true;
	return false;
}

/*
 * A published port would take connections from a service of the host, ssh perhaps, and nobody would see why: refused. What the
 * host starts later on such a port is heard by the host's own 127.0.0.1 no more than from outside.
 */
static int check_host(const struct net_nat *nat, const struct publisher *p, struct err *err)
{
	const struct publisher *old = publisher((struct net_nat *)nat, p->id);

	for (size_t i = 0; i < p->ports.n; i++) {
		const struct net_port *port = &p->ports.p[i];
		for (unsigned k = 0; k < port->count; k++) {
			uint16_t number = (uint16_t)(port->from + k);
			for (size_t v = 0; v < ARRAY_LEN(versions); v++) {
				uint8_t family = versions[v].family;
				if ((port->listen.family && port->listen.family != family) || p->to[v].family == 0 || has_already(old, port, number))
					continue;
				if (is_listened(port, number, family))
					return err_set(err, ERR_Busy, "publish: a service of the host listens on %s port %u",
						       net_proto_name(port->proto), number);
			}
		}
	}
	return 0;
}

static void publisher_done(struct publisher *p)
{
	net_ports_done(&p->ports);
	*p = (struct publisher){};
}

/* Puts it in the place of the owner's old one (freed), or at the end. */
static int keep(struct net_nat *nat, struct publisher *p)
{
	struct publisher *at = publisher(nat, p->id);

	if (at) {
		publisher_done(at);
	} else {
		struct publisher *all = reallocarray(nat->pubs, nat->pub_count + 1, sizeof(*all));
		if (!all)
			return -ENOMEM;
		nat->pubs = all;
		at = &all[nat->pub_count++];
	}
	*at = *p;
	*p = (struct publisher){};
	return 0;
}

static void forget(struct net_nat *nat, uint32_t id)
{
	struct publisher *p = publisher(nat, id);

	if (!p)
		return;
	publisher_done(p);
	*p = nat->pubs[--nat->pub_count];
}

/* Has the device an end on the host, by which packets can be led to it? */
static bool is_reached(const struct net_link *links, int count, const char *dev)
{
	for (int i = 0; i < count; i++)
		if (links[i].ifindex > 0 && strcmp(links[i].dev, dev) == 0)
			return true;
	return false;
}

static int publisher_make(struct netctl *n, uint32_t id, const struct net_ports *ports, const struct net_ifaddrs *ip, struct publisher *ret)
{
	autofree struct net_link *links = NULL;
	int count = links_of(n, id, &links);

	*ret = (struct publisher){ .id = id };
	ret->ports.p = calloc(ports->n + 1, sizeof(*ports->p));
	if (!ret->ports.p || count < 0)
		return -ENOMEM;
	ret->ports.n = ports->n;
	if (ports->n > 0)
		memcpy(ret->ports.p, ports->p, ports->n * sizeof(*ports->p));
	for (size_t i = 0; i < ip->n; i++) {
		const struct net_addr *addr = &ip->p[i].addr;
		struct net_addr *to = &ret->to[addr->family == AF_INET6];
		if (addr->family == 0 || to->family || !is_reached(links, count, ip->p[i].dev))
			continue;
		*to = *addr;
		to->prefix = addr->family == AF_INET ? 32 : 128;
	}
	return 0;
}

/* Everything is kept, then told to the kernel; when that refuses, what was is kept again and told as far as that goes. */
static int publish_locked(struct netctl *n, struct publisher *p, struct err *err)
{
	struct net_nat *nat = n->nat;
	struct publisher *old = publisher(nat, p->id), before = {};
	autotext struct text t = {};
	uint32_t id = p->id;
	int r;

	if (old) {
		add_publisher("delete", nat->table, old, &t);
		before = *old;
		old->ports = (struct net_ports){};
	}
	add_publisher("add", nat->table, p, &t);
	r = keep(nat, p) < 0 ? err_sys(err, ENOMEM, "publish") : 0;
	if (r == 0)
		r = change(n, &t, err);
	if (r == 0) {
		const struct publisher *now = publisher(nat, id);
		for (size_t v = 0; v < ARRAY_LEN(before.to); v++)
			flows_drop(n->host_ns, &before.ports, &now->ports, &before.to[v]);
		publisher_done(&before);
	} else if (before.id) {
		(void)keep(nat, &before);
		(void)make(n, NULL);
	} else {
		forget(nat, id);
	}
	return r;
}

/* 127.0.0.1 of the host reaches published ports too: replies come in over the link, which the kernel must let pass. */
static void nat_localnet(struct netctl *n, uint32_t id)
{
	autofree struct net_link *links = NULL;
	int count = links_of(n, id, &links);

	for (int i = 0; i < count; i++) {
		char name[IFNAMSIZ], path[64 + IFNAMSIZ];
		if (links[i].ifindex <= 0 || !if_indextoname((unsigned)links[i].ifindex, name))
			continue;
		snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/route_localnet", name);
		autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd >= 0)
			(void)!write(fd, "1", 1);
	}
}

int net_publish(struct netctl *n, uint32_t id, const struct net_ports *ports, const struct net_ifaddrs *ip, struct err *err)
{
	struct net_nat *nat = n->nat;
	struct publisher p;
	int r;

	if (ports->n == 0) {
		nat_drop(n, id);
		return 0;
	}
	r = publisher_make(n, id, ports, ip, &p);
	if (r < 0) {
		publisher_done(&p);
		return err_sys(err, -r, "publish");
	}
	if (p.to[0].family == 0 && p.to[1].family == 0) {
		publisher_done(&p);
		return err_set(err, ERR_InvalidValue, "publish: it has no address on a device that the host leads to, which are those of L3, NAT and veth");
	}
	pthread_mutex_lock(&nat->lock);
	r = check_others(n, id, ports, err);
	if (r == 0)
		r = check_host(nat, &p, err);
	if (r == 0)
		r = publish_locked(n, &p, err);
	pthread_mutex_unlock(&nat->lock);
	publisher_done(&p);
	if (r == 0 && n->conf.set_sysctls) {
		nat_localnet(n, id);
		forward_published(n);
	}
	return r;
}

bool nat_publishes(struct netctl *n)
{
	bool any;

	pthread_mutex_lock(&n->nat->lock);
	any = n->nat->pub_count > 0;
	pthread_mutex_unlock(&n->nat->lock);
	return any;
}

int nat_found(struct netctl *n, uint32_t id, const struct net_ports *ports, const struct net_ifaddrs *ip)
{
	struct publisher p;
	int r = publisher_make(n, id, ports, ip, &p);

	pthread_mutex_lock(&n->nat->lock);
	if (r == 0 && ports->n > 0)
		r = keep(n->nat, &p);
	pthread_mutex_unlock(&n->nat->lock);
	publisher_done(&p);
	return r;
}

void nat_drop(struct netctl *n, uint32_t id)
{
	struct net_nat *nat = n->nat;
	autotext struct text t = {};

	if (!nat)
		return;
	pthread_mutex_lock(&nat->lock);
	struct publisher *p = publisher(nat, id), gone = {};
	if (p) {
		add_publisher("delete", nat->table, p, &t);
		gone = *p;
		p->ports = (struct net_ports){};
		forget(nat, id);
		(void)change(n, &t, NULL);
		for (size_t v = 0; v < ARRAY_LEN(gone.to); v++)
			flows_drop(n->host_ns, &gone.ports, NULL, &gone.to[v]);
		publisher_done(&gone);
	}
	pthread_mutex_unlock(&nat->lock);
}

/* ---- classes ---- */

static struct class *class_of(struct net_nat *nat, int ifindex)
{
	for (size_t i = 0; i < nat->class_count; i++)
		if (nat->classes[i].ifindex == ifindex)
			return &nat->classes[i];
	return NULL;
}

static int class_set(struct net_nat *nat, int ifindex, uint32_t classid)
{
	struct class *c = class_of(nat, ifindex);

	if (!c && classid) {
		struct class *all = reallocarray(nat->classes, nat->class_count + 1, sizeof(*all));
		if (!all)
			return -ENOMEM;
		nat->classes = all;
		c = &all[nat->class_count++];
	}
	if (c && classid)
		*c = (struct class){ ifindex, classid };
	else if (c)
		*c = nat->classes[--nat->class_count];
	return 0;
}

int nat_class(struct netctl *n, int ifindex, uint32_t classid, struct err *err)
{
	struct net_nat *nat = n->nat;
	autotext struct text t = {};
	int r = 0;

	pthread_mutex_lock(&nat->lock);
	struct class *old = class_of(nat, ifindex), before = old ? *old : (struct class){ ifindex, 0 };
	if (before.classid != classid) {
		if (before.classid)
			add_class("delete", nat->table, &before, &t);
		r = class_set(nat, ifindex, classid) < 0 ? err_sys(err, ENOMEM, "class of a link") : 0;
		if (r == 0 && classid)
			add_class("add", nat->table, class_of(nat, ifindex), &t);
		if (r == 0)
			r = change(n, &t, err);
		if (r < 0)
			(void)class_set(nat, ifindex, before.classid);
	}
	pthread_mutex_unlock(&nat->lock);
	return r;
}

/* ---- open and close ---- */

int nat_open(struct netctl *n)
{
	struct net_nat *nat = calloc(1, sizeof(*nat));

	if (!nat)
		return -ENOMEM;
	pthread_mutex_init(&nat->lock, NULL);
	snprintf(nat->table, sizeof(nat->table), "porto_%s", n->tag);
	n->nat = nat;
	return 0;
}

void nat_close(struct netctl *n)
{
	struct net_nat *nat = n->nat;

	if (!nat)
		return;
	for (size_t i = 0; i < nat->pub_count; i++)
		publisher_done(&nat->pubs[i]);
	free(nat->pubs);
	free(nat->classes);
	pthread_mutex_destroy(&nat->lock);
	free(TAKE_PTR(n->nat));
}
