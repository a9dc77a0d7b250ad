/* Properties of the network as they are written: grammar, rights, what this host can, and limits of what runs. */
#include <fcntl.h>
#include <stdio.h>

#include "base/log.h"
#include "engine/cred.h"
#include "engine/hooks.h"
#include "engine/net.h"

static void list_text(const union value *v, struct text *out)
{
	type_list.format(v, out);
}

/* What net says, or would if it were set. */
static void net_text(const struct ct *ct, struct text *out)
{
	if (prop_is_set(ct, PROP_net))
		list_text(&ct->val[PROP_net], out);
	else
		text_add(out, net_mode_of(ct) == NET_OWN && ct->parent != NULL ? "none" : "inherited");
}

/* ---- net, ip, default_gw, ip_limit, publish ---- */

/*
 * Devices that reach the host's own networks as neighbours do, or its other namespaces: whoever has them can pose as others. By what was
 * parsed: as text a word may look like another.
 */
static int check_kinds(const struct change *c, const struct net_spec *spec)
{
	const char *word = net_spec_for_root(spec);
	struct engine_cred as;
	struct ct *home;
	int r = cred_effective(c->ct->e, c->who, &as, &home);

	if (r < 0 || as.uid == 0 || word == NULL)
		return r;
	return err_set(c->err, ERR_Permission, "net: only root uses %s; others have none, L3, NAT, container, inherited", word);
}

int check_net(struct change *c)
{
	autotext struct text text = {};
	struct net_spec spec = {};
	struct netctl *ctl;
	int r;

	list_text(c->value, &text);
	if (text_ok(&text) < 0)
		return err_sys(c->err, ENOMEM, "net");
	r = net_spec_parse(text_str(&text), &spec, c->err);
	if (r == 0)
		r = check_kinds(c, &spec);
	if (r == 0 && (spec.mode == NET_OWN || spec.n > 0)) {
		ctl = net_ctl(c->ct->e, c->err);
		r = ctl != NULL ? net_spec_check(ctl, &spec, c->err) : -EOPNOTSUPP;
	}
	net_spec_done(&spec);
	return r;
}

static int check_addrs(struct change *c, bool gateway)
{
	autotext struct text text = {};
	struct net_ifaddrs list = {};
	int r;

	list_text(c->value, &text);
	r = text_ok(&text) < 0 ? err_sys(c->err, ENOMEM, "ip") : net_ifaddrs_parse(text_str(&text), gateway, &list, c->err);
	net_ifaddrs_done(&list);
	return r;
}

int check_ip(struct change *c)
{
	return check_addrs(c, false);
}

int check_default_gw(struct change *c)
{
	return check_addrs(c, true);
}

int check_ip_limit(struct change *c)
{
	const struct strv *v = &c->value->v;
	struct net_addr addr;

	for (size_t i = 0; i < v->n; i++) {
		const char *word = v->p[i] + strspn(v->p[i], " \t");

		if (strcmp(word, "any") == 0 || strcmp(word, "none") == 0) {
			if (v->n > 1)
				return err_set(c->err, ERR_InvalidValue, "ip_limit: %s stands alone", word);
		} else if (net_addr_parse(word, &addr) < 0) {
			return err_set(c->err, ERR_InvalidValue, "ip_limit: '%.100s': expected any, none, or addresses like 10.0.0.0/24; fd00::1", word);
		}
	}
	return 0;
}

int check_publish(struct change *c)
{
	autotext struct text text = {};
	struct net_ports ports = {};
	struct engine_cred as;
	struct ct *home;
	int r = cred_effective(c->ct->e, c->who, &as, &home);

	list_text(c->value, &text);
	if (r == 0)
		r = text_ok(&text) < 0 ? err_sys(c->err, ENOMEM, "publish") : net_ports_parse(text_str(&text), &ports, c->err);
	for (size_t i = 0; r == 0 && as.uid != 0 && i < ports.n; i++)
		if (ports.p[i].from < 1024)
			r = err_set(c->err, ERR_Permission, "publish: port %u: ports below 1024 are root's", (unsigned)ports.p[i].from);
	net_ports_done(&ports);
	return r;
}

/* Of one that runs the ports change at once. */
int apply_publish(struct ct *ct, const union value *v, struct err *err)
{
	autotext struct text text = {};
	struct net_ports ports = {};
	struct net_ifaddrs ip = {};
	struct netctl *ctl;
	int r;

	if (!ct->net_up || !net_has_devices(ct))
		return 0;
	list_text(v, &text);
	ctl = net_ctl(ct->e, err);
	r = ctl == NULL ? -EOPNOTSUPP : net_ports_parse(text_str(&text), &ports, err);
	if (r == 0)
		r = net_ip_of(ct, &ip, err);
	if (r == 0)
		r = net_publish(ctl, ct->id, &ports, &ip, err);
	net_ports_done(&ports);
	net_ifaddrs_done(&ip);
	return r;
}

int read_net(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	if (key != NULL)
		return no_index(key, err, "net");
	net_text(ct, out);
	return 0;
}

int read_ip(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	if (key != NULL)
		return no_index(key, err, "ip");
	if (ct->net_ip != NULL)
		text_add(out, ct->net_ip);
	else
		list_text(&ct->val[PROP_ip], out);
	return 0;
}

/* ---- at the start ---- */

static int check_one_limit(const struct ct *up, const struct net_addr *addr, const char *dev, struct err *err)
{
	const struct strv *v = &up->val[PROP_ip_limit].v;
	char text[NET_ADDR_TEXT];

	for (size_t i = 0; i < v->n; i++) {
		struct net_addr allowed;

		if (net_addr_parse(v->p[i] + strspn(v->p[i], " \t"), &allowed) == 0 && net_addr_inside(addr, &allowed))
			return 0;
	}
	net_addr_format(addr, text);
	return err_set(err, ERR_Permission, "ip of %s: %s: not among the addresses of ip_limit of %s", dev, text, up->name);
}

static bool limits_ip(const struct ct *up)
{
	const struct strv *v = &up->val[PROP_ip_limit].v;

	return v->n > 0 && strcmp(v->p[0] + strspn(v->p[0], " \t"), "any") != 0;
}

/* spec/NETWORK.md 4: the limits of all above. */
static int check_ip_limits(struct ct *ct, const struct net_spec *spec, const struct net_ifaddrs *ip, struct err *err)
{
	for (const struct ct *up = ct->parent; up != NULL; up = up->parent) {
		if (!limits_ip(up))
			continue;
		if (strcmp(up->val[PROP_ip_limit].v.p[0], "none") == 0 && !(spec->n == 0 && ip->n == 0))
			return err_set(err, ERR_Permission, "net: ip_limit of %s is none: no network of its own but net=none", up->name);
		if (!net_spec_is_l3(spec))
			return err_set(err, ERR_Permission, "net: ip_limit of %s allows none, L3, NAT and ipip6 alone", up->name);
		for (size_t i = 0; i < ip->n; i++) {
			int r = ip->p[i].automatic ? 0 : check_one_limit(up, &ip->p[i].addr, ip->p[i].dev, err);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* Who is not root could pose as any host of the network: an address of its choice must have been granted by somebody. */
static int check_own_ip(const struct ct *ct, const struct net_spec *spec, const struct net_ifaddrs *ip, struct err *err)
{
	if (ct->owner_uid == 0 || spec->n == 0)
		return 0;
	for (const struct ct *up = ct->parent; up != NULL; up = up->parent)
		if (limits_ip(up) && up->owner_uid == 0)
			return 0;
	for (size_t i = 0; i < ip->n; i++)
		if (!ip->p[i].automatic)
			return err_set(err, ERR_Permission, "ip of %s: who is not root takes `auto`, or an address that ip_limit of a container of root's above allows",
				       ip->p[i].dev);
	return 0;
}

static int find_target(struct ct *ct, const char *name, const struct engine_cred *who, struct ct **ret, struct err *err)
{
	struct ct *target = ct_find_seen(ct->e, ct->parent, name);

	if (target == NULL)
		return err_set(err, ERR_ContainerDoesNotExist, "net: container %.200s: there is no such container", name);
	if (target == ct)
		return err_set(err, ERR_InvalidValue, "net: container %s: that is itself", target->name);
	*ret = target;
	return who != NULL ? cred_check_owner(target, who, err) : 0;
}

int net_join_fd(struct ct *ct, struct err *err)
{
	autotext struct text text = {}, path = {};
	struct net_spec spec = {};
	struct ct *target = NULL;
	int fd = -1, r;

	list_text(&ct->val[PROP_net], &text);
	r = net_spec_parse(text_str(&text), &spec, err);
	if (r == 0 && spec.mode == NET_CONTAINER) {
		r = find_target(ct, spec.target, NULL, &target, err);
		target = r == 0 ? net_owner(target) : NULL;
		fd = r < 0 ? r : target == NULL ? open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC) : net_ns_of(target);
		if (r == 0 && fd < 0)
			r = err_set(err, ERR_InvalidState, "net: container %s: it does not run", spec.target);
	} else if (r == 0) {
		text_addf(&path, "/run/netns/%s", spec.target);
		fd = open(text_str(&path), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0)
			r = err_set(err, ERR_InvalidValue, "net: netns %s: %s", spec.target, strerror(errno));
	}
	net_spec_done(&spec);
	return r < 0 ? r : fd;
}

static int limits_possible(struct ct *ct, const struct net_spec *spec, const struct net_limits *l, struct err *err)
{
	struct ct *owner = net_owner(ct);
	struct netctl *ctl;

	if (l->tx.n == 0 && l->rx.n == 0 && l->guarantee.n == 0)
		return 0;
	if (owner == NULL && l->rx.n > 0)
		return err_set(err, ERR_InvalidValue, "net_rx_limit needs a network of its own: what arrives for the host can't be held back by container");
	if (owner != NULL && owner != ct)
		return err_set(err, ERR_NotSupported, "it shares the network of %s: net_limit, net_rx_limit and net_guarantee are set there", owner->name);
	if (owner == ct && net_mode_of(ct) != NET_OWN)
		return err_set(err, ERR_NotSupported, "it joins a network that is not its own: limits are set where that belongs");
	ctl = net_ctl(ct->e, err);
	return ctl == NULL ? -EOPNOTSUPP : net_limits_check(ctl, spec, l, err);
}

static bool says_nothing(const struct ct *ct)
{
	static const int of[] = { PROP_net, PROP_ip, PROP_net_limit, PROP_net_rx_limit, PROP_net_guarantee, PROP_publish };

	for (size_t i = 0; i < ARRAY_LEN(of); i++)
		if (prop_is_set(ct, of[i]))
			return false;
	return true;
}

static int check_parsed(struct ct *ct, const struct engine_cred *who, const struct net_spec *spec, const struct net_ifaddrs *ip,
			struct err *err)
{
	struct net_limits_kept k = {};
	struct ct *target;
	int r = 0;

	if (spec->mode != NET_INHERITED && (ct->val[PROP_virt_mode].u == VIRT_JOB || ct->val[PROP_virt_mode].u == VIRT_HOST))
		return err_set(err, ERR_InvalidValue, "net: virt_mode %s has no network of its own", virt_mode_names[ct->val[PROP_virt_mode].u]);
	if (ct->val[PROP_publish].v.n > 0 && !net_has_devices(ct))
		return err_set(err, ERR_InvalidValue, "publish needs a network of its own, like net=NAT");
	if (spec->mode == NET_OWN) {
		r = check_ip_limits(ct, spec, ip, err);
		if (r == 0)
			r = check_own_ip(ct, spec, ip, err);
	} else if (spec->mode == NET_CONTAINER) {
		r = find_target(ct, spec->target, who, &target, err);
	}
	if (r == 0)
		r = net_limits_of(ct, -1, NULL, &k) < 0 ? err_sys(err, ENOMEM, "net_limit") : limits_possible(ct, spec, &k.limits, err);
	net_limits_done(&k);
	return r;
}

int net_check_start(struct ct *ct, const struct engine_cred *who, struct err *err)
{
	autotext struct text text = {}, ips = {};
	struct net_spec spec = {};
	struct net_ifaddrs ip = {};
	int r;

	if (says_nothing(ct))
		return 0;
	net_text(ct, &text);
	list_text(&ct->val[PROP_ip], &ips);
	r = net_spec_parse(text_str(&text), &spec, err);
	if (r == 0)
		r = net_ifaddrs_parse(text_str(&ips), false, &ip, err);
	if (r == 0)
		r = check_parsed(ct, who, &spec, &ip, err);
	net_spec_done(&spec);
	net_ifaddrs_done(&ip);
	return r;
}

/* What names devices that net does not make is kept for another net, and may be a slip. */
static void device_taint(const struct ct *ct, int prop, const struct net_spec *spec, struct text *out)
{
	const struct strv *v = &ct->val[prop].v;

	for (size_t i = 0; i < v->n; i++) {
		const char *dev = v->p[i] + strspn(v->p[i], " \t");
		size_t len = strcspn(dev, " \t"), k = 0;

		while (k < spec->n && !(strncmp(spec->devs[k].name, dev, len) == 0 && spec->devs[k].name[len] == '\0'))
			k++;
		if (k == spec->n)
			text_addf(out, "%s%s: without effect: net makes no device %.*s", out->len > 0 ? "\n" : "", props[prop].name,
				  (int)len, dev);
	}
}

void net_taint(const struct ct *ct, struct text *out)
{
	autotext struct text text = {};
	struct net_spec spec = {};
	struct err err = {};

	if (ct->val[PROP_ip].v.n == 0 && ct->val[PROP_default_gw].v.n == 0)
		return;
	net_text(ct, &text);
	if (net_spec_parse(text_str(&text), &spec, &err) == 0) {
		device_taint(ct, PROP_ip, &spec, out);
		device_taint(ct, PROP_default_gw, &spec, out);
	}
	net_spec_done(&spec);
}

/* ---- limits ---- */

int check_net_rates(struct change *c)
{
	autotext struct text text = {};
	struct net_limits_kept k = {};
	struct net_spec spec = {};
	int r = net_limits_of(c->ct, c->prop, c->value, &k);

	if (r < 0)
		return err_sys(c->err, -r, "%s", props[c->prop].name);
	r = net_rates_check(&k.limits.tx, c->err);
	if (r == 0)
		r = net_rates_check(&k.limits.rx, c->err);
	if (r == 0)
		r = net_rates_check(&k.limits.guarantee, c->err);
	if (r == 0 && ct_has_resources(c->ct)) { /* else the start looks: net may be written after this */
		net_text(c->ct, &text);
		r = net_spec_parse(text_str(&text), &spec, c->err);
		if (r == 0)
			r = limits_possible(c->ct, &spec, &k.limits, c->err);
		net_spec_done(&spec);
	}
	net_limits_done(&k);
	return r;
}

/* The class of the nearest container above that has one; 0: none. */
static uint32_t class_above(const struct ct *ct)
{
	for (ct = ct->parent; ct != NULL && ct->parent != NULL; ct = ct->parent)
		if (ct->net_classed)
			return ct->id;
	return 0;
}

/* Those below hang under it now, or do not any more: with rates of their own or without. */
static int classes_below(struct ct *top, struct netctl *ctl, struct err *err)
{
	int r = 0;

	for (struct ct *it = ct_next(top, NULL); r == 0 && it != NULL; it = ct_next(top, it)) {
		struct net_limits_kept k;

		if (!it->has_cg || net_owner(it) != NULL)
			continue;
		r = net_limits_of(it, -1, NULL, &k) < 0 ? err_sys(err, ENOMEM, "net_limit") :
			net_class_apply(ctl, it->id, class_above(it), &k.limits, err);
		net_limits_done(&k);
	}
	return r;
}

static int apply_rates(struct ct *ct, int prop, const union value *v, struct err *err)
{
	struct netctl *ctl = net_ctl(ct->e, err);
	struct net_limits_kept k = {};
	struct ct *owner = net_owner(ct);
	bool classed;
	int r = ctl == NULL ? -EOPNOTSUPP : 0;

	if (ctl == NULL || net_limits_of(ct, prop, v, &k) < 0) {
		net_limits_done(&k);
		return r < 0 ? r : err_sys(err, ENOMEM, "net_limit");
	}
	if (ct->net_job != NULL) {
		ct->net_changed = true; /* the thread has the old ones: go_on looks */
	} else if (owner == ct) {
		r = ct->net_up ? net_limits_apply(ctl, ct->id, &k.limits, err) : 0;
	} else if (owner == NULL && ct->has_cg) {
		classed = ct->net_classed;
		r = net_class_apply(ctl, ct->id, class_above(ct), &k.limits, err);
		if (r == 0)
			ct->net_classed = k.limits.tx.n + k.limits.guarantee.n > 0;
		if (r == 0 && classed != ct->net_classed)
			r = classes_below(ct, ctl, err);
	}
	net_limits_done(&k);
	return r;
}

int apply_net_limit(struct ct *ct, const union value *v, struct err *err)
{
	return apply_rates(ct, PROP_net_limit, v, err);
}

int apply_net_rx_limit(struct ct *ct, const union value *v, struct err *err)
{
	return apply_rates(ct, PROP_net_rx_limit, v, err);
}

int apply_net_guarantee(struct ct *ct, const union value *v, struct err *err)
{
	return apply_rates(ct, PROP_net_guarantee, v, err);
}

int apply_net_tos(struct ct *ct, const union value *v, struct err *err)
{
	return apply_rates(ct, PROP_net_tos, v, err);
}

void net_limits_restore(struct engine *e)
{
	static const int maps[] = { PROP_net_limit, PROP_net_guarantee };

	for (struct ct *ct = ct_next(e->root, NULL); ct != NULL; ct = ct_next(e->root, ct))
		for (size_t i = 0; i < ARRAY_LEN(maps); i++) {
			struct err err = {};

			if (!ct->has_cg || net_owner(ct) != NULL || ct->val[maps[i]].m.k.n == 0)
				continue;
			if (apply_rates(ct, maps[i], &ct->val[maps[i]], &err) < 0)
				log_warning("%s: %s: %s", ct->name, props[maps[i]].name, err.text);
			break;
		}
}

/* ---- what holds ---- */

/* Whose limits hold: those of whose network it is, also if that was joined by name; its own on the host's. */
static struct ct *limited_by(struct ct *ct)
{
	struct ct *owner = ct;

	for (int i = 0; owner != NULL && i <= CT_LEVEL_MAX; i++) {
		autotext struct text text = {};
		struct net_spec spec = {};
		struct err err = {};

		owner = net_owner(owner);
		if (owner == NULL || net_mode_of(owner) == NET_OWN)
			break;
		list_text(&owner->val[PROP_net], &text);
		if (net_spec_parse(text_str(&text), &spec, &err) < 0 || spec.mode != NET_CONTAINER ||
		    find_target(owner, spec.target, NULL, &owner, &err) < 0)
			owner = NULL;
		net_spec_done(&spec);
	}
	return owner != NULL && net_mode_of(owner) == NET_OWN ? owner : ct;
}

static int bound(struct ct *ct, int prop, const char *key, struct text *out, struct err *err)
{
	const char *name = prop == PROP_net_limit ? "net_limit_bound" : "net_rx_limit_bound";
	struct ct *owner = limited_by(ct);
	const struct prop_type *t = &type_ratemap;
	int r;

	if (key == NULL) {
		t->format(&owner->val[prop], out);
		return 0;
	}
	r = t->get_key(&owner->val[prop], key, out);
	return r == -ENODATA ? err_set_no(err, ERR_InvalidValue, ENODATA, "%s[%.60s]: not set", name, key) : r;
}

int read_net_limit_bound(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	return bound(ct, PROP_net_limit, key, out, err);
}

int read_net_rx_limit_bound(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	return bound(ct, PROP_net_rx_limit, key, out, err);
}

/* What the rows lack is said before this is called. */
int read_net_lacking(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	(void)ct;
	(void)key;
	(void)out;
	return err_set(err, ERR_NotSupported, "not supported");
}

const char *lacks_net_soft(const struct cgroups *g)
{
	(void)g;
	return "needs an eBPF object of the original's vendor; see net_limit";
}

const char *lacks_net_speed(const struct cgroups *g)
{
	(void)g;
	return "speed is not sampled; take differences of net_tx_bytes and net_rx_bytes";
}
