/*
 * Network counters (spec/NETWORK.md 7). Of a network of its own and of the host: by device, `group G`, and `Uplink` for those
 * that lead outside. Who shares a network has only `Uplink`: what its processes' sockets, and its children's, sent and received,
 * as a program in the kernel counts it by cgroup; packets on lo are left out.
 */
#include <fcntl.h>
#include <stdio.h>

#include "base/fd.h"
#include "engine/hooks.h"
#include "engine/net.h"

#define PROC_NET_MAX (64u << 10)

typedef uint64_t (*field_fn)(const struct net_counts *c);

static uint64_t tx_bytes(const struct net_counts *c) { return c->tx_bytes; }
static uint64_t tx_packets(const struct net_counts *c) { return c->tx_packets; }
static uint64_t tx_drops(const struct net_counts *c) { return c->tx_drops; }
static uint64_t tx_overlimits(const struct net_counts *c) { return c->tx_overlimits; }
static uint64_t rx_bytes(const struct net_counts *c) { return c->rx_bytes; }
static uint64_t rx_packets(const struct net_counts *c) { return c->rx_packets; }
static uint64_t rx_drops(const struct net_counts *c) { return c->rx_drops; }
static uint64_t rx_overlimits(const struct net_counts *c) { return c->rx_overlimits; }

/* ---- by device ---- */

struct sum {
	field_fn field;
	struct pairs m;   /* key -> number, groups but the default one too */
	uint64_t uplink;
	int failed;
	const char *key;  /* only this is wanted; NULL: all */
	uint64_t value;
	bool found;
};

static void add(struct pairs *m, const char *key, uint64_t n, int *failed)
{
	const char *old = pairs_get(m, key);
	char number[24];

	snprintf(number, sizeof(number), "%llu", (unsigned long long)(n + (old != NULL ? strtoull(old, NULL, 10) : 0)));
	if (pairs_set(m, key, number) < 0)
		*failed = -ENOMEM;
}

static void on_device(void *arg, const char *dev, const char *group, bool uplink, const struct net_counts *c)
{
	struct sum *s = arg;
	uint64_t n = s->field(c);
	char group_key[64];

	snprintf(group_key, sizeof(group_key), "group %.50s", group);
	s->uplink += uplink ? n : 0;
	if (s->key == NULL) {
		add(&s->m, dev, n, &s->failed);
		if (strcmp(group, "default") != 0)
			add(&s->m, group_key, n, &s->failed);
	} else if (strcmp(s->key, dev) == 0 || strcmp(s->key, group_key) == 0) {
		s->value += n;
		s->found = true;
	}
}

static int by_device(struct ct *ct, const char *name, const char *key, field_fn field, struct text *out, struct err *err)
{
	const struct net_snapshot *shot = net_snapshot_now(ct->e, err);
	struct sum s = { .field = field, .key = key };
	union value v;
	int r;

	if (shot == NULL)
		return -EOPNOTSUPP;
	r = net_snapshot_each(shot, ct->parent != NULL ? ct->id : 0, on_device, &s);
	if (key == NULL)
		add(&s.m, "Uplink", s.uplink, &s.failed);
	v.m = s.m;
	if (ct->state == CT_DEAD)
		r = err_set_no(err, ERR_InvalidState, ENODATA, "%s: its network has gone with its processes", name);
	else if (r < 0 || s.failed < 0)
		r = err_sys(err, r < 0 ? -r : -s.failed, "%s", name);
	else if (key == NULL)
		type_ratemap.format(&v, out);
	else if (s.found)
		text_addf(out, "%llu", (unsigned long long)s.value);
	else if (strcmp(key, "Uplink") == 0 || (strcmp(key, "veth") == 0 && ct->parent != NULL)) /* its pair, whatever its name is */
		text_addf(out, "%llu", (unsigned long long)s.uplink);
	else
		r = err_set(err, ERR_InvalidValue, "%s[%.60s]: no such device", name, key);
	pairs_done(&s.m);
	return r;
}

/* ---- by cgroup ---- */

static void add_counts(struct ct *ct, struct net_counts *sum)
{
	struct net_counts c = {};

	if (!ct->net_counted || net_cgroup_counts(net_ctl(ct->e, NULL), ct->id, &c) < 0)
		return;
	sum->rx_bytes += c.rx_bytes;
	sum->rx_packets += c.rx_packets;
	sum->tx_bytes += c.tx_bytes;
	sum->tx_packets += c.tx_packets;
}

static void counts_of(struct ct *ct, struct net_counts *ret)
{
	struct seen *seen = ct_seen(ct);
	struct ct *owner = net_owner(ct);

	if (seen != NULL && seen->has_net) {
		*ret = seen->net;
		return;
	}
	*ret = (struct net_counts){};
	add_counts(ct, ret);
	for (struct ct *it = ct_next(ct, NULL); it != NULL; it = ct_next(ct, it))
		if (net_owner(it) == owner)
			add_counts(it, ret);
	if (seen != NULL) {
		seen->has_net = true;
		seen->net = *ret;
	}
}

static int by_cgroup(struct ct *ct, const char *name, const char *key, field_fn field, struct text *out, struct err *err)
{
	bool counted = field == tx_bytes || field == tx_packets || field == rx_bytes || field == rx_packets;
	struct net_counts c;

	if (key != NULL && strcmp(key, "Uplink") != 0)
		return err_set(err, ERR_InvalidValue, "%s[%.60s]: it shares a network: Uplink alone is counted", name, key);
	if (!counted && key == NULL)
		return 0;
	if (!counted || !ct->net_counted)
		return key == NULL ? 0 : err_set(err, ERR_NotSupported, "%s: not counted for those that share a network", name);
	counts_of(ct, &c);
	text_addf(out, "%s%llu", key == NULL ? "Uplink: " : "", (unsigned long long)field(&c));
	return 0;
}

static int show(struct ct *ct, const char *name, const char *key, field_fn field, struct text *out, struct err *err)
{
	if (ct->parent == NULL || (net_owner(ct) == ct && net_mode_of(ct) == NET_OWN))
		return by_device(ct, name, key, field, out, err);
	return by_cgroup(ct, name, key, field, out, err);
}

#define COUNTER(name, field) \
	int read_##name(struct ct *ct, const char *key, struct text *out, struct err *err) \
	{ \
		return show(ct, #name, key, field, out, err); \
	}
COUNTER(net_bytes, tx_bytes)
COUNTER(net_packets, tx_packets)
COUNTER(net_drops, tx_drops)
COUNTER(net_overlimits, tx_overlimits)
COUNTER(net_tx_bytes, tx_bytes)
COUNTER(net_tx_packets, tx_packets)
COUNTER(net_tx_drops, tx_drops)
COUNTER(net_rx_bytes, rx_bytes)
COUNTER(net_rx_packets, rx_packets)
COUNTER(net_rx_drops, rx_drops)
COUNTER(net_rx_overlimits, rx_overlimits)
#undef COUNTER

/* ---- the namespace's own statistics ---- */

/* "Tcp: A B" and "Tcp: 1 2" -> TcpA: 1; TcpB: 2, the names that nstat(8) has. */
static int add_table(char *names, char *numbers, struct pairs *m)
{
	char *a = NULL, *b = NULL, *prefix = strtok_r(names, " :", &a), *name, *number;

	(void)strtok_r(numbers, " :", &b);
	while (prefix != NULL && (name = strtok_r(NULL, " \n", &a)) != NULL && (number = strtok_r(NULL, " \n", &b)) != NULL) {
		char key[128];

		snprintf(key, sizeof(key), "%.60s%.60s", prefix, name);
		if (pairs_set(m, key, number) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int parse_tables(char *text, struct pairs *m)
{
	char *save = NULL;
	int r = 0;

	for (char *names = strtok_r(text, "\n", &save); r == 0 && names != NULL; names = strtok_r(NULL, "\n", &save)) {
		char *numbers = strtok_r(NULL, "\n", &save);

		if (numbers == NULL)
			break;
		r = add_table(names, numbers, m);
	}
	return r;
}

static int parse_lines(char *text, struct pairs *m)
{
	char *save = NULL;
	int r = 0;

	for (char *line = strtok_r(text, "\n", &save); r == 0 && line != NULL; line = strtok_r(NULL, "\n", &save)) {
		char *at = NULL, *key = strtok_r(line, " \t", &at), *value = strtok_r(NULL, " \t", &at);

		if (key != NULL && value != NULL)
			r = pairs_set(m, key, value);
	}
	return r;
}

/* By the whole name, or by that behind the table's. */
static const char *find_number(const struct pairs *m, const char *key)
{
	const char *value = pairs_get(m, key);
	size_t n = strlen(key);

	for (size_t i = 0; value == NULL && i < m->k.n; i++) {
		size_t len = strlen(m->k.p[i]);

		if (len > n && strcmp(m->k.p[i] + len - n, key) == 0)
			value = m->v.p[i];
	}
	return value;
}

static int proc_net(struct ct *ct, const char *file, const char *name, const char *key, struct text *out, struct err *err)
{
	struct ct *owner = net_owner(ct);
	autotext struct text text = {};
	union value v = {};
	char path[64];
	const char *number;
	int r;

	if (owner == NULL && ct->parent != NULL)
		return key == NULL ? 0 : err_set(err, ERR_ResourceNotAvailable, "%s: it shares the host's network; see that of /", name);
	if (owner != NULL && (owner->pid == 0 || owner->task_gone))
		return err_set(err, ERR_InvalidState, "%s: nothing runs in its network", name);
	snprintf(path, sizeof(path), "/proc/%d/net/%s", owner != NULL ? (int)owner->pid : (int)getpid(), file);
	r = file_read(AT_FDCWD, path, PROC_NET_MAX, &text);
	if (r < 0)
		return err_sys(err, -r, "%s", name);
	if (text.len > 0)
		r = strcmp(file, "snmp6") == 0 ? parse_lines(text.p, &v.m) : parse_tables(text.p, &v.m);
	number = r == 0 && key != NULL ? find_number(&v.m, key) : NULL;
	if (r < 0)
		r = err_sys(err, -r, "%s", name);
	else if (key == NULL)
		type_strmap.format(&v, out);
	else if (number != NULL)
		text_add(out, number);
	else
		r = err_set(err, ERR_InvalidValue, "%s[%.60s]: no such counter", name, key);
	pairs_done(&v.m);
	return r < 0 ? r : 0;
}

int read_net_netstat(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	return proc_net(ct, "netstat", "net_netstat", key, out, err);
}

int read_net_snmp(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	return proc_net(ct, "snmp", "net_snmp", key, out, err);
}

int read_net_snmp6(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	return proc_net(ct, "snmp6", "net_snmp6", key, out, err);
}

/* ---- classes ---- */

int read_net_class_id(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	struct netctl *ctl = net_ctl(ct->e, NULL);
	uint32_t id = ctl != NULL && net_owner(ct) == NULL ? net_class_id(ctl, ct->id) : 0; /* its own, or that of one above */

	if (id == 0)
		id = 0x10000;
	if (key != NULL && (strncmp(key, "CS", 2) != 0 || key[2] < '0' || key[2] > '7' || key[3] != '\0'))
		return err_set(err, ERR_InvalidValue, "net_class_id[%.60s]: expected CS0 to CS7", key);
	for (int cs = 0; cs < NET_CLASSES; cs++)
		if (key == NULL)
			text_addf(out, "%sCS%d: %x:%x", cs > 0 ? "; " : "", cs, id >> 16, id & 0xffff);
	if (key != NULL)
		text_addf(out, "%x:%x", id >> 16, id & 0xffff);
	return 0;
}
