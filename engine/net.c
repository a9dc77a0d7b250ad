/* The engine's netctl: opened, given what the last worker had, swept, repaired; and which network a container has. */
#include "engine/net.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/fd.h"
#include "base/log.h"
#include "engine/hooks.h"
#include "engine/userns.h"

#define TAG_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
#define BLANKS " \t\n" /* as netctl parts words */
#define SWEEP_DELAY UINT64_C(100000000)
#define FORGET_TRIES 200 /* of some links each */
#define REPAIR_EVERY UINT64_C(60000000000)
#define SNAPSHOT_AGE UINT64_C(1000000)

struct net {
	struct engine *e;
	struct netctl *ctl;          /* NULL: it could not be opened, and why_not says why */
	struct err why_not, why_not_counted;
	struct loop_timer sweep, repair;
	bool sweeping, repairing;
	int sweep_result;
	struct net_snapshot *snapshot;
	uint64_t snapshot_time, snapshot_round;
};

struct netctl *net_ctl(struct engine *e, struct err *err)
{
	if (e->net != NULL && e->net->ctl != NULL)
		return e->net->ctl;
	if (err != NULL && e->net != NULL)
		*err = e->net->why_not;
	if (err != NULL && err->no == 0)
		err_set(err, ERR_NotSupported, "networks are not available");
	return NULL;
}

/* ---- what a container has ---- */

static bool first_word_is(const char *s, const char *word)
{
	size_t n = strlen(word);

	s += strspn(s, BLANKS);
	return strncmp(s, word, n) == 0 && (s[n] == '\0' || strchr(BLANKS, s[n]) != NULL);
}

static bool is_word(const char *s, const char *word)
{
	s += strspn(s, BLANKS);
	return strncmp(s, word, strlen(word)) == 0 && s[strlen(word) + strspn(s + strlen(word), BLANKS)] == '\0';
}

/* Who is root in a user namespace wants to be it of a network too; /dev/fuse does not need that. */
static bool comes_with_userns(const struct ct *ct)
{
	return userns_wanted(ct) && !ct->val[PROP_enable_fuse].b && userns_is_own((struct ct *)ct);
}

enum net_mode net_mode_of(const struct ct *ct)
{
	const struct strv *v = &ct->val[PROP_net].v;

	if (!prop_is_set(ct, PROP_net))
		return ct->val[PROP_virt_mode].u == VIRT_OS || comes_with_userns(ct) ? NET_OWN : NET_INHERITED;
	for (size_t i = 0; i < v->n; i++) {
		if (first_word_is(v->p[i], "inherited") || is_word(v->p[i], "host") || first_word_is(v->p[i], "tap"))
			return NET_INHERITED;
		if (first_word_is(v->p[i], "container"))
			return NET_CONTAINER;
		if (first_word_is(v->p[i], "netns"))
			return NET_NETNS;
	}
	return NET_OWN;
}

bool ct_own_net(const struct ct *ct)
{
	return ct->parent != NULL && net_mode_of(ct) == NET_OWN;
}

bool net_has_devices(const struct ct *ct)
{
	const struct strv *v = &ct->val[PROP_net].v;

	if (ct->parent == NULL || !prop_is_set(ct, PROP_net))
		return false;
	for (size_t i = 0; i < v->n; i++)
		if (first_word_is(v->p[i], "tap"))
			return true;
	return net_mode_of(ct) == NET_OWN && !(v->n == 1 && is_word(v->p[0], "none"));
}

struct ct *net_owner(struct ct *ct)
{
	while (ct != NULL && (ct->parent == NULL || net_mode_of(ct) == NET_INHERITED))
		ct = ct->parent;
	return ct;
}

/* ---- limits ---- */

static void rates_of(const struct pairs *m, struct net_rate **at, struct net_rates *ret)
{
	*ret = (struct net_rates){ .p = *at, .n = m->k.n };
	for (size_t i = 0; i < m->k.n; i++)
		*(*at)++ = (struct net_rate){ .key = m->k.p[i], .rate = strtoull(m->v.p[i], NULL, 10) };
}

int net_limits_of(const struct ct *ct, int prop, const union value *v, struct net_limits_kept *ret)
{
	static const int maps[] = { PROP_net_limit, PROP_net_rx_limit, PROP_net_guarantee };
	struct net_rates *const into[] = { &ret->limits.tx, &ret->limits.rx, &ret->limits.guarantee };
	const struct pairs *m[ARRAY_LEN(maps)];
	struct net_rate *at;
	size_t n = 0;

	*ret = (struct net_limits_kept){ .limits.tos = (int)(prop == PROP_net_tos ? v->u : ct->val[PROP_net_tos].u) };
	for (size_t i = 0; i < ARRAY_LEN(maps); i++) {
		m[i] = maps[i] == prop ? &v->m : &ct->val[maps[i]].m;
		n += m[i]->k.n;
	}
	at = ret->rates = calloc(n + 1, sizeof(*at));
	if (at == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_LEN(maps); i++)
		rates_of(m[i], &at, into[i]);
	return 0;
}

void net_limits_done(struct net_limits_kept *k)
{
	free(k->rates);
	k->rates = NULL;
}

/* ---- counting by cgroup ---- */

static int count_dir(struct ct *ct, int fd)
{
	struct err err = {};
	int r = fd >= 0 ? net_cgroup_add(ct->e->net->ctl, ct->id, fd, &err) : fd;

	if (fd >= 0)
		close(fd);
	if (r < 0 && fd >= 0)
		log_warning("%s: its traffic is not counted: %s", ct->name, err.text);
	return r;
}

void net_count(struct ct *ct)
{
	autotext struct text dir = {};

	if (ct->e->net == NULL || ct->e->net->ctl == NULL || ct->e->net->why_not_counted.no != 0 || !ct->has_cg)
		return;
	ct->net_heir = net_mode_of(ct) == NET_INHERITED && ct->parent != NULL ? ct->parent->id : 0;
	if (cg_dir(ct->e->cgroups, &ct->cg, CG_TRACK, &dir) == 0)
		ct->net_counted = count_dir(ct, open(text_str(&dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == 0;
}

void net_uncount(struct ct *ct)
{
	if (!ct->net_counted && !ct->net_classed)
		return;
	ct->net_counted = ct->net_classed = false;
	net_cgroup_del(ct->e->net->ctl, ct->id, ct->net_heir);
}

/* ---- open, close ---- */

static void sweep_later(struct net *n);

static void sweep_work(void *arg)
{
	struct net *n = arg;

	n->sweep_result = net_sweep(n->ctl);
}

static void sweep_done(void *arg)
{
	struct net *n = arg;

	n->sweeping = false;
	if (n->sweep_result != 0)
		sweep_later(n);
}

static void sweep_now(void *arg)
{
	struct net *n = arg;

	n->sweeping = true;
	if (loop_work(n->e->loop, sweep_work, sweep_done, n) < 0)
		n->sweeping = false;
}

static void sweep_later(struct net *n)
{
	if (n->sweeping || n->sweep.slot != 0)
		return;
	n->sweep = (struct loop_timer){ .fn = sweep_now, .arg = n };
	(void)loop_after(n->e->loop, &n->sweep, SWEEP_DELAY);
}

void net_sweep_soon(struct engine *e)
{
	if (e->net != NULL && e->net->ctl != NULL)
		sweep_later(e->net);
}

static void repair_now(void *arg);

static void repair_work(void *arg)
{
	struct net *n = arg;

	netctl_repair(n->ctl);
}

static void repair_done(void *arg)
{
	struct net *n = arg;

	n->repairing = false;
	n->repair = (struct loop_timer){ .fn = repair_now, .arg = n };
	(void)loop_after(n->e->loop, &n->repair, REPAIR_EVERY);
}

static void repair_now(void *arg)
{
	struct net *n = arg;

	n->repairing = true;
	if (loop_work(n->e->loop, repair_work, repair_done, n) < 0)
		repair_done(n);
}

/* An option that is an address: empty is none, `auto` for the pool one that collides with nothing. */
static int option_addr(const char *name, const char *text, struct net_addr *ret, struct err *err)
{
	if (text[0] == '\0')
		return 0;
	if (net_addr_parse(text, ret) < 0)
		return err_set(err, ERR_InvalidValue, "network.%s = %.60s: expected an address", name, text);
	return 0;
}

/* The cgroup root is this daemon's alone, but may be a path, under systemd, and long: then its end and a number made of all of it. */
static void make_tag(const char *root, char tag[33])
{
	size_t len = strlen(root);
	uint32_t hash = 2166136261u;

	for (const char *p = root; *p != '\0'; p++)
		hash = (hash ^ (unsigned char)*p) * 16777619u;
	if (len > 0 && len <= 32 && strspn(root, TAG_LETTERS) == len)
		snprintf(tag, 33, "%s", root);
	else
		snprintf(tag, 33, "%s-%08x", root + (len > 20 ? len - 20 : 0), hash);
	for (char *p = tag; *p != '\0'; p++)
		if (strchr(TAG_LETTERS, *p) == NULL)
			*p = '_';
}

/* tag is where that of the configuration is kept. */
static int configure(const struct config *conf, char tag[33], struct netctl_config *c, struct err *err)
{
	bool automatic4 = strcmp(conf->network_nat_first_ipv4, "auto") == 0, automatic6 = strcmp(conf->network_nat_first_ipv6, "auto") == 0;
	struct net_addr v4 = {}, v6 = {};
	int r;

	make_tag(conf->daemon_cgroup_root, tag);
	*c = (struct netctl_config){
		.tag = tag, .nat_count = conf->network_nat_count, .l3_mtu = strtoul(conf->network_l3_default_mtu, NULL, 10),
		.set_sysctls = conf->network_set_sysctls, .enable_ip = conf->network_enable_ip,
		.autoconf_timeout = conf->network_autoconf_timeout,
	};
	if (automatic4 || automatic6)
		(void)net_default_pool(&v4, &v6);
	r = automatic4 ? 0 : option_addr("nat_first_ipv4", conf->network_nat_first_ipv4, &v4, err);
	if (r == 0 && !automatic6)
		r = option_addr("nat_first_ipv6", conf->network_nat_first_ipv6, &v6, err);
	if (r == 0)
		r = option_addr("auto_ipv4", conf->network_auto_ipv4, &c->auto4, err);
	if (r == 0)
		r = option_addr("auto_ipv6", conf->network_auto_ipv6, &c->auto6, err);
	c->nat4 = v4;
	c->nat6 = v6;
	if (r == 0 && ((v4.family != 0 && !net_pool_fits(&v4, c->nat_count)) || (v6.family != 0 && !net_pool_fits(&v6, c->nat_count))))
		return err_set(err, ERR_InvalidValue, "network.nat_count = %llu: more than there are from nat_first_ipv4 or nat_first_ipv6 on, or than 1048576",
			       (unsigned long long)c->nat_count);
	return r;
}

static int count_all(struct engine *e, struct err *err)
{
	autotext struct text dir = {};
	autoclose int fd = -1;

	if (!e->conf->network_counters)
		return err_set(err, ERR_NotSupported, "network.counters is off");
	if (cg_dir(e->cgroups, &e->root->cg, CG_TRACK, &dir) < 0 || !cg_is_v2(e->cgroups, CG_TRACK))
		return err_set(err, ERR_NotSupported, "there is no cgroup v2");
	fd = open(text_str(&dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "%s", text_str(&dir));
	return net_cgroup_open(e->net->ctl, fd, err);
}

int net_open(struct engine *e, struct err *err)
{
	struct netctl_config c;
	char tag[33];
	int r = configure(e->conf, tag, &c, err);

	if (r < 0)
		return r;
	e->net = calloc(1, sizeof(*e->net));
	if (e->net == NULL)
		return err_sys(err, ENOMEM, "network");
	e->net->e = e;
	if (netctl_open(&c, &e->net->ctl, &e->net->why_not) < 0) {
		log_warning("networks of their own are not available: %s", e->net->why_not.text);
		return 0;
	}
	if (count_all(e, &e->net->why_not_counted) < 0)
		log_info("traffic on the host's network is not counted by container: %s", e->net->why_not_counted.text);
	repair_done(e->net);
	return 0;
}

void net_forget(const struct config *conf)
{
	struct netctl_config c;
	struct netctl *ctl = NULL;
	char tag[33];

	if (configure(conf, tag, &c, NULL) < 0 || netctl_open(&c, &ctl, NULL) < 0)
		return;
	(void)netctl_adopt(ctl, NULL, 0, NULL);
	for (int i = 0; i < FORGET_TRIES && net_sweep(ctl) == 1; i++)
		;
	netctl_close(ctl);
}

/* Does a thread work, or is one about to, with what net_close frees? */
static bool in_use(const struct net *n)
{
	if (n->sweeping || n->repairing)
		return true;
	for (struct ct *ct = n->e->root; ct != NULL; ct = ct_next(n->e->root, ct))
		if (ct->net_job != NULL)
			return true;
	return false;
}

void net_close(struct engine *e)
{
	struct net *n = TAKE_PTR(e->net);

	if (n == NULL)
		return;
	loop_cancel(e->loop, &n->sweep);
	loop_cancel(e->loop, &n->repair);
	net_snapshot_free(n->snapshot);
	if (in_use(n)) { /* all of it: the thread ends with the process */
		static struct net *volatile left UNUSED; /* for the leak checker */

		left = n;
		return;
	}
	netctl_close(n->ctl);
	free(n);
}

/* ---- after a restart ---- */

int net_ip_of(const struct ct *ct, struct net_ifaddrs *ret, struct err *err)
{
	autotext struct text text = {};

	if (ct->net_ip != NULL)
		return net_ifaddrs_parse(ct->net_ip, false, ret, err);
	type_list.format(&ct->val[PROP_ip], &text);
	return net_ifaddrs_parse(text_str(&text), false, ret, err);
}

struct owners {
	struct net_owner *p;
	struct net_ifaddrs *ips;
	struct text *nets;
	struct net_ports *ports;
	size_t n;
};

static void add_owner(struct owners *o, struct ct *ct)
{
	autotext struct text publish = {};

	if (!net_has_devices(ct) || ct->pid == 0 || ct->pidfd < 0)
		return;
	(void)net_ip_of(ct, &o->ips[o->n], NULL);
	type_list.format(&ct->val[PROP_net], &o->nets[o->n]);
	type_list.format(&ct->val[PROP_publish], &publish);
	(void)net_ports_parse(text_str(&publish), &o->ports[o->n], NULL);
	o->p[o->n] = (struct net_owner){
		.id = ct->id, .ns_fd = net_ns_of(ct), .ip = &o->ips[o->n], .net = text_str(&o->nets[o->n]),
		.ports = &o->ports[o->n],
	};
	ct->net_up = true;
	o->n++;
}

void net_restore(struct engine *e)
{
	struct owners o = {
		.p = calloc(e->count + 1, sizeof(*o.p)), .ips = calloc(e->count + 1, sizeof(*o.ips)), .nets = calloc(e->count + 1, sizeof(*o.nets)),
		.ports = calloc(e->count + 1, sizeof(*o.ports)),
	};
	struct err err = {};

	if (e->net != NULL && e->net->ctl != NULL && o.p != NULL && o.ips != NULL && o.nets != NULL && o.ports != NULL) {
		for (struct ct *ct = ct_next(e->root, NULL); ct != NULL; ct = ct_next(e->root, ct)) {
			if (ct->has_cg)
				net_count(ct);
			add_owner(&o, ct);
		}
		if (netctl_adopt(e->net->ctl, o.p, o.n, &err) < 0)
			log_error("networks of the last worker: %s", err.text);
		net_limits_restore(e);
		sweep_later(e->net);
	}
	for (size_t i = 0; i < o.n; i++) {
		if (o.p[i].ns_fd >= 0)
			close(o.p[i].ns_fd);
		net_ifaddrs_done(&o.ips[i]);
		net_ports_done(&o.ports[i]);
		text_done(&o.nets[i]);
	}
	free(o.p);
	free(o.ips);
	free(o.ports);
	free(o.nets);
}

/* ---- what is read ---- */

const struct net_snapshot *net_snapshot_now(struct engine *e, struct err *err)
{
	struct netctl *ctl = net_ctl(e, err);
	struct net *n = e->net;
	uint64_t now = clock_mono();

	if (ctl == NULL)
		return NULL;
	if (n->snapshot != NULL && (e->round != 0 ? n->snapshot_round == e->round : now - n->snapshot_time < SNAPSHOT_AGE))
		return n->snapshot;
	net_snapshot_free(n->snapshot);
	n->snapshot = NULL;
	if (net_snapshot_take(ctl, &n->snapshot, err) < 0)
		return NULL;
	n->snapshot_time = now;
	n->snapshot_round = e->round;
	return n->snapshot;
}

static void features_of(const struct netctl *ctl, const struct err *why_not, struct text *out)
{
	autotext struct text lacks = {};

	if (ctl == NULL) {
		text_addf(out, "networks: missing: %s\n", why_not->text);
		return;
	}
	netctl_lacks(ctl, &lacks);
	text_addf(out, "networks: yes\n%s", text_str(&lacks));
}

void net_features(const struct config *conf, struct engine *e, struct text *out)
{
	struct netctl_config c;
	struct netctl *ctl = NULL;
	struct err err = {};
	char tag[33];

	if (e == NULL) {
		if (configure(conf, tag, &c, &err) == 0)
			(void)netctl_open(&c, &ctl, &err);
		features_of(ctl, &err, out);
		netctl_close(ctl);
	} else if (e->net != NULL) {
		features_of(e->net->ctl, &e->net->why_not, out);
		text_addf(out, "traffic by cgroup: %s%s\n", e->net->why_not_counted.no == 0 ? "yes" : "missing: ",
			  e->net->why_not_counted.no == 0 ? "" : e->net->why_not_counted.text);
	}
}

void net_leaks(struct engine *e, struct text *out)
{
	if (e->net != NULL && e->net->ctl != NULL)
		netctl_leaks(e->net->ctl, out);
}
