#include "engine/caps.h"

#include <linux/capability.h>
#include <sys/prctl.h>

#include "base/proc.h"
#include "engine/hooks.h"
#include "engine/userns.h"

#define BIT(cap) CAPS_BIT(CAP_##cap)
#define ALL (CAPS_BIT(CAP_LAST_CAP + 1) - 1)

/* spec/PROPERTIES.md 5.1 */
#define DEFAULT_CAPS                                                                                                           \
	(BIT(IPC_LOCK) | BIT(KILL) | BIT(SYS_PTRACE) | BIT(NET_ADMIN) | BIT(NET_BIND_SERVICE) | BIT(NET_RAW) | BIT(SETPCAP) |  \
	 BIT(SETFCAP) | BIT(CHOWN) | BIT(DAC_OVERRIDE) | BIT(FOWNER) | BIT(FSETID) | BIT(SETGID) | BIT(SETUID) |               \
	 BIT(SYS_CHROOT) | BIT(MKNOD) | BIT(AUDIT_WRITE))
#define ROOT_CAPS (BIT(SYS_ADMIN) | BIT(SYS_NICE) | BIT(LINUX_IMMUTABLE) | BIT(SYS_BOOT) | BIT(SYS_RESOURCE))

/* What a namespace or a limit of the container's own confines, so that its owner may use it without being root. */
#define PID_CAPS (BIT(KILL) | BIT(SYS_PTRACE))
#define MEMORY_CAPS BIT(IPC_LOCK)
#define NET_CAPS BIT(NET_ADMIN)
#define CONFINED_CAPS (PID_CAPS | MEMORY_CAPS | NET_CAPS | BIT(NET_RAW))

static bool is_host(const struct ct *ct)
{
	return ct->val[PROP_virt_mode].u == VIRT_HOST;
}

/* What the daemon may hand on: it can't give what it has not. */
static uint64_t own_caps(void)
{
	static uint64_t mask; /* it never changes; none: not looked yet */
	uint64_t found = 0;

	for (unsigned cap = 0; mask == 0 && cap <= CAP_LAST_CAP; cap++)
		if (prctl(PR_CAPBSET_READ, cap) == 1 && proc_has_cap(cap))
			found |= CAPS_BIT(cap);
	if (mask == 0)
		mask = found;
	return mask;
}

/* Without a list of its own a container that root owns, or in virt_mode host, has a set that does not come from its parent. */
static uint64_t base_of(const struct ct *ct)
{
	if (is_host(ct))
		return ALL;
	return ct->owner_uid == 0 ? DEFAULT_CAPS | ROOT_CAPS : DEFAULT_CAPS;
}

uint64_t caps_limit(const struct ct *ct)
{
	while (!prop_is_set(ct, PROP_capabilities) && !is_host(ct) && ct->level > 1)
		ct = ct->parent;
	if (ct_is_root(ct))
		return ALL & own_caps();
	return prop_is_set(ct, PROP_capabilities) ? ct->val[PROP_capabilities].u : base_of(ct) & own_caps();
}

static bool in_userns(const struct ct *ct)
{
	while (ct != NULL && !userns_wanted(ct))
		ct = ct->parent;
	return ct != NULL;
}

/* What nothing in the chain confines. */
static uint64_t unconfined(const struct ct *ct)
{
	uint64_t loose = PID_CAPS | MEMORY_CAPS | NET_CAPS | BIT(NET_RAW);

	for (; ct != NULL && ct->parent != NULL; ct = ct->parent) {
		if (ct_isolated(ct))
			loose &= ~PID_CAPS;
		if (prop_is_set(ct, PROP_memory_limit) && ct->val[PROP_memory_limit].u != 0)
			loose &= ~MEMORY_CAPS;
		if (ct_own_net(ct))
			loose &= ~(NET_CAPS | BIT(NET_RAW));
	}
	return loose;
}

/*
 * A limit that somebody set holds for all below, also for what root owns there: a task in a container that was given little
 * must not get more by making another. Other than upstream's, which leaves those of root out of it.
 *
 * CAP_SYS_PTRACE and CAP_KILL of the host's user namespace are power over all that is born into the container's pid namespace, and
 * what starts a child there is the host's root until it has given that up: they are not for those whom root does not own, and
 * CAP_SYS_PTRACE is only for those who have power over the host anyway, by CAP_SYS_ADMIN or because they see all its processes.
 */
uint64_t caps_allowed(const struct ct *ct)
{
	bool own = prop_is_set(ct, PROP_capabilities), privileged = !own && (is_host(ct) || ct->owner_uid == 0);
	uint64_t mask = own ? ct->val[PROP_capabilities].u : privileged ? base_of(ct) : caps_limit(ct);

	if (ct_is_root(ct))
		return caps_limit(ct);
	for (const struct ct *up = ct->parent; up != NULL && up->parent != NULL; up = up->parent)
		if (prop_is_set(up, PROP_capabilities) || (up->level == 1 && !privileged))
			mask &= caps_limit(up);
	if (!own && !privileged)
		mask &= ~(unconfined(ct) & (PID_CAPS | MEMORY_CAPS | NET_CAPS));
	if (!in_userns(ct) && ct->owner_uid != 0)
		mask &= ~PID_CAPS;
	if (!in_userns(ct) && !(mask & BIT(SYS_ADMIN)) && !(unconfined(ct) & BIT(SYS_PTRACE)))
		mask &= ~BIT(SYS_PTRACE);
	return mask & own_caps();
}

uint64_t caps_inside(const struct ct *ct, const struct ct *owner)
{
	uint64_t mask = UINT64_MAX;

	for (; ct != NULL; ct = ct == owner ? NULL : ct->parent)
		if (prop_is_set(ct, PROP_capabilities))
			mask &= ct->val[PROP_capabilities].u;
	return mask;
}

static int refuse(struct err *err, enum err_kind kind, const char *prop, uint64_t mask, const char *why)
{
	autotext struct text names = {};
	union value v = { .u = mask };

	type_caps.format(&v, &names);
	return err_set(err, kind, "%s: %s: %s", prop, text_str(&names), why);
}

/*
 * Whoever has CAP_NET_ADMIN in the host's user namespace may change the links of any network namespace that his own knows by a number
 * (IFLA_TARGET_NETNSID, RTM_NEWNSID): a network of its own does not confine it, a user namespace does.
 */
static bool may_reach_links(const struct ct *ct)
{
	return ct->owner_uid != 0 && !in_userns(ct);
}

int caps_check_start(struct ct *ct, struct err *err)
{
	uint64_t ambient = ct->val[PROP_capabilities_ambient].u, beyond;

	beyond = ambient & ~caps_allowed(ct);
	if (beyond != 0)
		return refuse(err, ERR_Permission, "capabilities_ambient", beyond, "not in capabilities_allowed");
	beyond = ct->owner_uid != 0 ? ambient & unconfined(ct) : 0;
	if (beyond != 0)
		return refuse(err, ERR_Permission, "capabilities_ambient", beyond,
			      "would reach beyond the container: KILL and SYS_PTRACE take isolate, IPC_LOCK a memory_limit, NET_ADMIN and "
			      "NET_RAW a network of its own, unless root owns the container");
	beyond = may_reach_links(ct) ? ambient & NET_CAPS : 0;
	return beyond == 0 ? 0
			   : refuse(err, ERR_Permission, "capabilities_ambient", beyond,
				    "would reach the links of the host: it takes userns, unless root owns the container");
}

/* ---- hooks ---- */

/* `capabilities[X]` changes what is in force, though nothing may be set yet: a set of its own begins with that. */
static void from_limit(struct change *c)
{
	union value base = { .u = caps_allowed(c->ct) };

	if ((c->key == NULL && !c->append) || prop_is_set(c->ct, PROP_capabilities))
		return;
	if (c->key != NULL)
		(void)type_caps.set_key(&base, c->key, c->text, c->value);
	else
		c->value->u |= base.u;
}

int check_capabilities(struct change *c)
{
	const char *name = props[c->prop].name;
	uint64_t beyond;

	from_limit(c);
	beyond = c->value->u & ~(own_caps() | (prop_is_set(c->ct, c->prop) ? c->ct->val[c->prop].u : 0));
	if (beyond != 0)
		return refuse(c->err, ERR_NotSupported, name, beyond, "the daemon itself has not got this");
	beyond = c->who->uid != 0 ? c->value->u & ~(DEFAULT_CAPS | c->ct->val[c->prop].u) : 0;
	if (beyond != 0)
		return refuse(c->err, ERR_Permission, name, beyond, "only root may give this");
	return 0;
}

/* Ambient capabilities make the powers of root out of any program: a user gives those alone that the container confines. */
int check_capabilities_ambient(struct change *c)
{
	const char *name = props[c->prop].name;
	uint64_t added = c->value->u & ~c->ct->val[c->prop].u;
	uint64_t beyond = added & ~own_caps();

	if (beyond != 0)
		return refuse(c->err, ERR_NotSupported, name, beyond, "the daemon itself has not got this");
	beyond = c->who->uid != 0 ? added & ~CONFINED_CAPS : 0;
	return beyond != 0 ? refuse(c->err, ERR_Permission, name, beyond, "only root may give this") : 0;
}

static int show(uint64_t mask, const char *prop, const char *key, struct text *out, struct err *err)
{
	union value v = { .u = mask };

	if (key == NULL) {
		type_caps.format(&v, out);
		return text_ok(out);
	}
	return type_caps.get_key(&v, key, out) < 0
		       ? err_set(err, ERR_InvalidValue, "%s[%.100s]: expected capabilities like SYS_ADMIN or CHOWN;KILL", prop, key)
		       : 0;
}

int read_capabilities(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	return show(caps_limit(ct), "capabilities", key, out, err);
}

int read_capabilities_ambient(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	return show(ct->val[PROP_capabilities_ambient].u, "capabilities_ambient", key, out, err);
}

int read_capabilities_allowed(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	return show(caps_allowed(ct), "capabilities_allowed", key, out, err);
}
