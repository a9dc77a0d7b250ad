/*
 * Traffic by cgroup: one pair of programs on the directory below which all owners live. Starting a container only adds
 * a key to a map, and nothing that hangs on a directory further down can get in the way, because programs further up
 * run last.
 *
 * What is counted are bytes of IP packets (without the link's header), and of packets that the kernel cuts later the
 * pieces. Loopback is not counted. A socket belongs to the cgroup in which it was made.
 */
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "netctl/bpf.h"
#include "netctl/classes.h"

#define SLOTS_MAX   16384u
#define SLOTS_MIN   4096u
#define COUNTS_ROOM (32u << 20) /* bytes for the counters of all processors, as long as SLOTS_MIN fit */
#define KEYS_MAX    (2u * SLOTS_MAX)
#define LEVELS      32 /* of nested cgroups, from the hierarchy's root */
#define LOOPBACK    1  /* in every namespace */

enum { TX_BYTES, TX_PACKETS, RX_BYTES, RX_PACKETS, NUMBERS };

/* Value of the map of owners. Only the class is read by the program. */
struct owner_value {
	uint32_t classid, id;
	uint64_t carried[NUMBERS]; /* from owners that are no more */
};

struct hook {
	enum bpf_attach_type attach;
	const char *name; /* of the program: how a later daemon knows it */
	bool egress;
};

static const struct hook hooks[] = {
	{ BPF_CGROUP_INET_EGRESS, "porto_tx", true },
	{ BPF_CGROUP_INET_INGRESS, "porto_rx", false },
};

struct maps {
	int ids, counts, owners;
};

/* ---- the program ---- */

enum { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 };

/* On the program's stack. */
#define KEY  (-8)
#define SLOT (-16)

#define LOAD(size, dst, src, off)  bpf_op(c, BPF_LDX | BPF_MEM | (size), dst, src, off, 0)
#define STORE(size, dst, off, src) bpf_op(c, BPF_STX | BPF_MEM | (size), dst, src, off, 0)
#define MOVE(dst, src)             bpf_op(c, BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0)
#define SET(dst, imm)              bpf_op(c, BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, imm)
#define PLUS(dst, imm)             bpf_op(c, BPF_ALU64 | BPF_ADD | BPF_K, dst, 0, 0, imm)
#define CALL(helper)               bpf_op(c, BPF_JMP | BPF_CALL, 0, 0, 0, helper)
#define JUMP_IF(op, dst, imm)      bpf_op(c, BPF_JMP | (op) | BPF_K, dst, 0, 0, imm)
#define JUMP()                     bpf_op(c, BPF_JMP | BPF_JA, 0, 0, 0, 0)
/* Counters are of one processor, but a softirq may come in between. */
#define COUNT(dst, off, src) bpf_op(c, BPF_STX | BPF_ATOMIC | BPF_DW, dst, src, off, BPF_ADD)

static void emit_lookup(struct bpf_code *c, int map, int16_t key)
{
	bpf_op_map(c, R1, map);
	MOVE(R2, R10);
	PLUS(R2, key);
	CALL(BPF_FUNC_map_lookup_elem);
}

/* r7 = slot of the cgroup in r0, or of the deepest one above it that has one; 0: none. */
static void emit_find(struct bpf_code *c, int ids)
{
	uint32_t missed, found, ends[LEVELS];

	STORE(BPF_DW, R10, KEY, R0);
	emit_lookup(c, ids, KEY);
	missed = JUMP_IF(BPF_JEQ, R0, 0);
	LOAD(BPF_W, R7, R0, 0);
	found = JUMP();
	bpf_land(c, missed);
	SET(R7, 0);
	for (int level = 1; level <= LEVELS; level++) {
		uint32_t unknown;
		MOVE(R1, R6);
		SET(R2, level);
		CALL(BPF_FUNC_skb_ancestor_cgroup_id);
		ends[level - 1] = JUMP_IF(BPF_JEQ, R0, 0);
		STORE(BPF_DW, R10, KEY, R0);
		emit_lookup(c, ids, KEY);
		unknown = JUMP_IF(BPF_JEQ, R0, 0);
		LOAD(BPF_W, R7, R0, 0);
		bpf_land(c, unknown);
	}
	for (int i = 0; i < LEVELS; i++)
		bpf_land(c, ends[i]);
	bpf_land(c, found);
}

/* Class 0 leaves the packet's priority alone. */
static void emit_class(struct bpf_code *c, int owners)
{
	uint32_t none, zero;

	emit_lookup(c, owners, SLOT);
	none = JUMP_IF(BPF_JEQ, R0, 0);
	LOAD(BPF_W, R1, R0, offsetof(struct owner_value, classid));
	zero = JUMP_IF(BPF_JEQ, R1, 0);
	STORE(BPF_W, R6, offsetof(struct __sk_buff, priority), R1);
	bpf_land(c, none);
	bpf_land(c, zero);
}

static void emit(struct bpf_code *c, const struct maps *m, bool egress)
{
	int16_t bytes = (egress ? TX_BYTES : RX_BYTES) * sizeof(uint64_t);
	int16_t packets = (egress ? TX_PACKETS : RX_PACKETS) * sizeof(uint64_t);
	uint32_t loopback, stranger, none, many;

	MOVE(R6, R1);
	LOAD(BPF_W, R1, R6, offsetof(struct __sk_buff, ifindex));
	loopback = JUMP_IF(BPF_JEQ, R1, LOOPBACK);
	MOVE(R1, R6);
	CALL(BPF_FUNC_skb_cgroup_id);
	emit_find(c, m->ids);
	stranger = JUMP_IF(BPF_JEQ, R7, 0);
	STORE(BPF_W, R10, SLOT, R7);
	if (egress)
		emit_class(c, m->owners);
	emit_lookup(c, m->counts, SLOT);
	none = JUMP_IF(BPF_JEQ, R0, 0);
	LOAD(BPF_W, R1, R6, offsetof(struct __sk_buff, len));
	COUNT(R0, bytes, R1);
	LOAD(BPF_W, R1, R6, offsetof(struct __sk_buff, gso_segs));
	many = JUMP_IF(BPF_JNE, R1, 0);
	SET(R1, 1);
	bpf_land(c, many);
	COUNT(R0, packets, R1);
	bpf_land(c, loopback);
	bpf_land(c, stranger);
	bpf_land(c, none);
	SET(R0, 1);
	bpf_op(c, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* ---- opening ---- */

struct net_classes *classes_get(struct netctl *n)
{
	struct net_classes *c;

	pthread_mutex_lock(&n->lock);
	if (!n->classes && (c = calloc(1, sizeof(*c)))) {
		pthread_mutex_init(&c->lock, NULL);
		pthread_mutex_init(&c->tree, NULL);
		c->ids = c->counts = c->owners = -1;
		n->classes = c;
	}
	c = n->classes;
	pthread_mutex_unlock(&n->lock);
	return c;
}

static void maps_close(struct maps *m)
{
	cleanup_close(&m->ids);
	cleanup_close(&m->counts);
	cleanup_close(&m->owners);
	*m = (struct maps){ -1, -1, -1 };
}

/* Processors that may ever be there: the kernel keeps a counter for each. */
static uint32_t possible_cpus(void)
{
	char buf[256];
	const char *last;

	if (file_read_small(AT_FDCWD, "/sys/devices/system/cpu/possible", buf, sizeof(buf)) <= 0)
		return (uint32_t)MAX(sysconf(_SC_NPROCESSORS_CONF), 1L);
	last = buf + strlen(buf);
	while (last > buf && last[-1] >= '0' && last[-1] <= '9')
		last--;
	return (uint32_t)strtoul(last, NULL, 10) + 1;
}

static uint32_t slots_for(uint32_t cpus)
{
	uint32_t fit = COUNTS_ROOM / (cpus * NUMBERS * (uint32_t)sizeof(uint64_t));

	return MAX(MIN(fit, SLOTS_MAX), SLOTS_MIN);
}

/* Maps of the programs that hang there already, if they are as ours would be; else new ones. */
static int maps_open(const struct bpf_prog_facts *before, uint32_t slots, struct maps *ret)
{
	const struct bpf_map_shape shapes[] = {
		{ "porto_ids", BPF_MAP_TYPE_HASH, sizeof(uint64_t), sizeof(uint32_t), KEYS_MAX, BPF_F_NO_PREALLOC },
		{ "porto_counts", BPF_MAP_TYPE_PERCPU_ARRAY, sizeof(uint32_t), NUMBERS * sizeof(uint64_t), slots, 0 },
		{ "porto_owners", BPF_MAP_TYPE_ARRAY, sizeof(uint32_t), sizeof(struct owner_value), slots, 0 },
	};
	int *fds[] = { &ret->ids, &ret->counts, &ret->owners };
	size_t found = 0;

	*ret = (struct maps){ -1, -1, -1 };
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
		for (uint32_t k = 0; k < before->map_count && *fds[i] < 0; k++)
			*fds[i] = bpf_map_find(before->maps[k], &shapes[i]);
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
		found += *fds[i] >= 0;
	if (found == ARRAY_LEN(shapes))
		return 0;
	maps_close(ret);
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		*fds[i] = bpf_map_make(&shapes[i]);
		if (*fds[i] < 0) {
			int r = *fds[i];
			maps_close(ret);
			return r;
		}
	}
	return 0;
}

/* Programs of ours on the directory: the first one's descriptor, -1 if there is none; further ones (an attach that was
 * cut short) are taken off. */
static int hook_find(int cgroup, const struct hook *h, struct bpf_prog_facts *facts)
{
	uint32_t ids[BPF_QUERY_MAX], flags;
	int count = bpf_attached(cgroup, h->attach, ids, &flags), found = -1;

	for (int i = 0; i < count; i++) {
		struct bpf_prog_facts f;
		int prog = bpf_prog_by_id(ids[i]);
		if (prog < 0)
			continue;
		if (bpf_prog_facts(prog, &f) < 0 || strcmp(f.name, h->name) != 0) {
			close(prog);
		} else if (found < 0) {
			*facts = f;
			found = prog;
		} else {
			bpf_detach(cgroup, prog, h->attach);
			close(prog);
		}
	}
	return found;
}

/* The directory at or above cgroup whose programs nobody may add to; its path, "" if there is none. */
static void find_blocker(int cgroup, enum bpf_attach_type attach, char *path, size_t size)
{
	int dir = openat(cgroup, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	path[0] = 0;
	for (int i = 0; dir >= 0 && i < LEVELS; i++) {
		uint32_t ids[BPF_QUERY_MAX], flags = 0;
		int up, count = bpf_attached(dir, attach, ids, &flags);
		if (count < 0)
			break;
		if (count > 0 && !(flags & BPF_F_ALLOW_MULTI)) {
			char link[64];
			snprintf(link, sizeof(link), "/proc/self/fd/%d", dir);
			ssize_t len = readlink(link, path, size - 1);
			path[MAX(len, 0)] = 0;
			break;
		}
		up = openat(dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(dir);
		dir = up;
	}
	if (dir >= 0)
		close(dir);
}

static int refuse(int no, int cgroup, const struct hook *h, struct err *err)
{
	char path[PATH_MAX];

	if (no == EPERM) {
		find_blocker(cgroup, h->attach, path, sizeof(path));
		if (path[0])
			return err_set_no(
				err, ERR_NotSupported, EOPNOTSUPP,
				"traffic by cgroup: the BPF program on %s was attached so that none can be added below",
				path);
	}
	if (no == ENOSYS || no == EINVAL || no == EPERM || no == EBADF)
		return err_set_no(err, ERR_NotSupported, EOPNOTSUPP, "traffic by cgroup: cgroup2 BPF: %s",
				  strerror(no));
	return err_sys(err, no, "traffic by cgroup: BPF program");
}

/* Our program hangs there, once, with these maps. */
static int hook_put(int cgroup, const struct hook *h, const struct maps *m, int before,
		    const struct bpf_prog_facts *facts)
{
	autofree struct bpf_code *code = calloc(1, sizeof(*code));
	struct bpf_prog_facts mine;
	int r;

	if (!code)
		return -ENOMEM;
	emit(code, m, h->egress);
	autoclose int prog = bpf_prog_load(code, h->name, BPF_PROG_TYPE_CGROUP_SKB, h->attach);
	if (prog < 0)
		return prog;
	r = bpf_prog_facts(prog, &mine);
	if (r < 0)
		return r;
	/* The tag doesn't say which maps. */
	if (before >= 0 && memcmp(mine.tag, facts->tag, sizeof(mine.tag)) == 0 && mine.map_count == facts->map_count &&
	    memcmp(mine.maps, facts->maps, mine.map_count * sizeof(mine.maps[0])) == 0)
		return 0;
	return bpf_attach(cgroup, prog, before, h->attach);
}

static void slot_remember(struct net_slot *s, uint64_t key)
{
	if (s->key_count < NET_SLOT_KEYS)
		s->keys[s->key_count++] = key;
	else
		s->more = true;
}

/* What the maps knew before this daemon came. */
static int slots_load(struct net_classes *c, const struct maps *m, uint32_t count)
{
	struct net_slot *slots = calloc(count, sizeof(*slots));
	uint64_t key, *last = NULL;
	uint32_t used = 1;

	if (!slots)
		return -ENOMEM;
	for (uint32_t i = 1; i < count; i++) {
		struct owner_value v;
		if (bpf_map_get(m->owners, &i, &v) < 0 || v.id == 0)
			continue;
		slots[i].id = v.id;
		slots[i].classid = v.classid;
		used = i + 1;
	}
	for (; bpf_map_next(m->ids, last, &key) == 0; last = &key) {
		uint32_t slot;
		if (bpf_map_get(m->ids, &key, &slot) == 0 && slot < count)
			slot_remember(&slots[slot], key);
	}
	pthread_mutex_lock(&c->lock);
	free(c->slots);
	c->slots = slots;
	c->slot_count = count;
	c->slots_used = used;
	c->ids = m->ids;
	c->counts = m->counts;
	c->owners = m->owners;
	pthread_mutex_unlock(&c->lock);
	return 0;
}

int net_cgroup_open(struct netctl *n, int cgroup_root_fd, struct err *err)
{
	struct net_classes *c = classes_get(n);
	struct bpf_prog_facts facts[ARRAY_LEN(hooks)] = {};
	int before[ARRAY_LEN(hooks)], r;
	struct maps m;

	if (!c)
		return err_sys(err, ENOMEM, "traffic by cgroup");
	if (c->ids >= 0)
		return 0;
	c->cpus = possible_cpus();
	for (size_t i = 0; i < ARRAY_LEN(hooks); i++)
		before[i] = hook_find(cgroup_root_fd, &hooks[i], &facts[i]);
	/* The one for sending has all three. */
	r = maps_open(&facts[0], slots_for(c->cpus), &m);
	if (r < 0)
		r = refuse(-r, cgroup_root_fd, &hooks[0], err);
	for (size_t i = 0; i < ARRAY_LEN(hooks) && r == 0; i++) {
		r = hook_put(cgroup_root_fd, &hooks[i], &m, before[i], &facts[i]);
		if (r < 0)
			r = refuse(-r, cgroup_root_fd, &hooks[i], err);
	}
	for (size_t i = 0; i < ARRAY_LEN(hooks); i++)
		cleanup_close(&before[i]);
	if (r == 0 && slots_load(c, &m, slots_for(c->cpus)) < 0)
		r = err_sys(err, ENOMEM, "traffic by cgroup");
	if (r < 0)
		maps_close(&m);
	return r;
}

void classes_close(struct netctl *n)
{
	struct net_classes *c = n->classes;
	struct maps m;

	if (!c)
		return;
	n->classes = NULL;
	m = (struct maps){ c->ids, c->counts, c->owners };
	maps_close(&m);
	class_tree_done(c);
	pthread_mutex_destroy(&c->lock);
	pthread_mutex_destroy(&c->tree);
	free(c->drops);
	free(c->slots);
	free(c);
}

/* ---- owners; all with the lock ---- */

static uint32_t slot_find(const struct net_classes *c, uint32_t id)
{
	for (uint32_t i = 1; i < c->slots_used; i++)
		if (c->slots[i].id == id)
			return i;
	return 0;
}

/* Keys of the slot go; those that it doesn't remember have to be looked for. */
static void keys_drop(struct net_classes *c, uint32_t slot)
{
	struct net_slot *s = &c->slots[slot];
	uint64_t key, next;
	bool going = s->more && bpf_map_next(c->ids, NULL, &next) == 0;

	for (uint8_t i = 0; i < s->key_count; i++)
		bpf_map_del(c->ids, &s->keys[i]);
	while (going) {
		uint32_t value;
		key = next;
		going = bpf_map_next(c->ids, &key, &next) == 0; /* before it is gone */
		if (bpf_map_get(c->ids, &key, &value) == 0 && value == slot)
			bpf_map_del(c->ids, &key);
	}
	s->key_count = 0;
	s->more = false;
}

static int slot_read(const struct net_classes *c, uint32_t slot, uint64_t ret[NUMBERS])
{
	autofree uint64_t *cpus = calloc(c->cpus, NUMBERS * sizeof(*cpus));
	struct owner_value v;
	int r;

	if (!cpus)
		return -ENOMEM;
	r = bpf_map_get(c->counts, &slot, cpus);
	if (r == 0)
		r = bpf_map_get(c->owners, &slot, &v);
	for (size_t k = 0; k < NUMBERS && r == 0; k++) {
		ret[k] = v.carried[k];
		for (uint32_t cpu = 0; cpu < c->cpus; cpu++)
			ret[k] += cpus[cpu * NUMBERS + k];
	}
	return r;
}

/* For whoever comes next. */
static int slot_clear(struct net_classes *c, uint32_t slot, uint32_t id)
{
	autofree uint64_t *cpus = calloc(c->cpus, NUMBERS * sizeof(*cpus));
	struct owner_value v = { .id = id };
	int r;

	if (!cpus)
		return -ENOMEM;
	r = bpf_map_put(c->counts, &slot, cpus);
	if (r == 0)
		r = bpf_map_put(c->owners, &slot, &v);
	if (r == 0)
		c->slots[slot] = (struct net_slot){ .id = id, .claimed = id != 0 };
	return r;
}

/* A free one, or one of an owner from before a restart who never came back. */
static int slot_take(struct net_classes *c, uint32_t id)
{
	uint32_t slot = slot_find(c, 0);
	int r;

	if (slot == 0 && c->slots_used < c->slot_count)
		slot = c->slots_used++;
	for (uint32_t i = 1; i < c->slots_used && slot == 0; i++)
		if (!c->slots[i].claimed)
			slot = i;
	if (slot == 0)
		return -ENOSPC;
	if (c->slots[slot].id != 0)
		keys_drop(c, slot);
	r = slot_clear(c, slot, id);
	return r < 0 ? r : (int)slot;
}

static int add_locked(struct net_classes *c, uint32_t id, uint64_t key)
{
	uint32_t slot, known;
	int r;

	slot = slot_find(c, id);
	if (slot == 0) {
		r = slot_take(c, id);
		if (r < 0)
			return r;
		slot = (uint32_t)r;
	}
	c->slots[slot].claimed = true;
	if (bpf_map_get(c->ids, &key, &known) == 0 && known == slot)
		return 0;
	r = bpf_map_put(c->ids, &key, &slot);
	if (r == 0)
		slot_remember(&c->slots[slot], key);
	return r;
}

int net_cgroup_add(struct netctl *n, uint32_t id, int cgroup_fd, struct err *err)
{
	struct net_classes *c = classes_get(n);
	struct stat st;
	uint32_t classid;
	uint64_t key;
	int r = 0;

	/* On machines of 64 bits the inode number is the id that the kernel gives a cgroup (and bpf_skb_cgroup_id
	 * says). */
	_Static_assert(sizeof(st.st_ino) == sizeof(key), "ids of cgroups have 64 bits");
	if (fstat(cgroup_fd, &st) < 0)
		return err_sys(err, errno, "traffic by cgroup: its directory");
	key = st.st_ino;
	if (!c || id == 0)
		return err_sys(err, c ? EINVAL : ENOMEM, "traffic by cgroup");
	pthread_mutex_lock(&c->lock);
	if (c->ids >= 0)
		r = add_locked(c, id, key);
	pthread_mutex_unlock(&c->lock);
	if (r == -ENOSPC || r == -E2BIG)
		return err_set(err, ERR_ResourceNotAvailable, "traffic by cgroup: all %u places are taken",
			       c->slot_count - 1);
	if (r < 0)
		return err_sys(err, -r, "traffic by cgroup: map");
	classid = net_class_id(n, id);
	if (classid)
		cgroup_class(c, id, classid);
	return 0;
}

static void give_counts(struct net_classes *c, uint32_t from, uint32_t to)
{
	uint64_t counts[NUMBERS];
	struct owner_value v;

	if (slot_read(c, from, counts) < 0 || bpf_map_get(c->owners, &to, &v) < 0)
		return;
	for (size_t k = 0; k < NUMBERS; k++)
		v.carried[k] += counts[k];
	bpf_map_put(c->owners, &to, &v);
}

void net_cgroup_del(struct netctl *n, uint32_t id, uint32_t heir)
{
	struct net_classes *c = classes_get(n);
	uint32_t slot, to;

	if (!c || id == 0)
		return;
	class_drop(n, id);
	pthread_mutex_lock(&c->lock);
	slot = c->ids >= 0 ? slot_find(c, id) : 0;
	if (slot) {
		keys_drop(c, slot);
		to = heir ? slot_find(c, heir) : 0;
		if (to)
			give_counts(c, slot, to);
		slot_clear(c, slot, 0);
	}
	pthread_mutex_unlock(&c->lock);
}

int net_cgroup_counts(struct netctl *n, uint32_t id, struct net_counts *ret)
{
	struct net_classes *c = classes_get(n);
	uint64_t counts[NUMBERS];
	uint32_t slot;
	int r = -ENOENT;

	if (!c || id == 0)
		return -ENOENT;
	pthread_mutex_lock(&c->lock);
	slot = c->ids >= 0 ? slot_find(c, id) : 0;
	if (slot)
		r = slot_read(c, slot, counts);
	pthread_mutex_unlock(&c->lock);
	if (r < 0)
		return r;
	*ret = (struct net_counts){
		.tx_bytes = counts[TX_BYTES],
		.tx_packets = counts[TX_PACKETS],
		.rx_bytes = counts[RX_BYTES],
		.rx_packets = counts[RX_PACKETS],
	};
	return 0;
}

/* ---- classes ---- */

void cgroup_class(struct net_classes *c, uint32_t id, uint32_t classid)
{
	struct owner_value v;
	uint32_t slot;

	pthread_mutex_lock(&c->lock);
	slot = c->ids >= 0 ? slot_find(c, id) : 0;
	if (slot && c->slots[slot].classid != classid && bpf_map_get(c->owners, &slot, &v) == 0) {
		v.classid = classid;
		if (bpf_map_put(c->owners, &slot, &v) == 0)
			c->slots[slot].classid = classid;
	}
	pthread_mutex_unlock(&c->lock);
}

uint32_t cgroup_class_before(struct net_classes *c, uint32_t id)
{
	uint32_t slot, classid;

	pthread_mutex_lock(&c->lock);
	slot = slot_find(c, id);
	classid = slot ? c->slots[slot].classid : 0;
	pthread_mutex_unlock(&c->lock);
	return classid;
}

bool cgroup_class_taken(struct net_classes *c, uint32_t classid)
{
	bool taken = false;

	pthread_mutex_lock(&c->lock);
	for (uint32_t i = 1; i < c->slots_used && !taken; i++)
		taken = c->slots[i].id != 0 && c->slots[i].classid == classid;
	pthread_mutex_unlock(&c->lock);
	return taken;
}
