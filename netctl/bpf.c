#include "netctl/bpf.h"

#include <sys/syscall.h>

static int sys_bpf(enum bpf_cmd cmd, union bpf_attr *attr)
{
	long r;

	do
		r = syscall(SYS_bpf, cmd, attr, sizeof(*attr));
	while (r < 0 && errno == EAGAIN); /* the verifier was interrupted by a signal */
	return r < 0 ? -errno : (int)r;
}

static uint64_t address(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

/* ---- maps ---- */

int bpf_map_make(const struct bpf_map_shape *shape)
{
	union bpf_attr a = {};

	a.map_type = shape->type;
	a.key_size = shape->key_size;
	a.value_size = shape->value_size;
	a.max_entries = shape->max_entries;
	a.map_flags = shape->flags;
	memcpy(a.map_name, shape->name, sizeof(shape->name));
	return sys_bpf(BPF_MAP_CREATE, &a);
}

static int info_of(int fd, void *info, uint32_t size)
{
	union bpf_attr a = {};

	a.info.bpf_fd = (uint32_t)fd;
	a.info.info_len = size;
	a.info.info = address(info);
	return sys_bpf(BPF_OBJ_GET_INFO_BY_FD, &a);
}

int bpf_map_find(uint32_t id, const struct bpf_map_shape *shape)
{
	struct bpf_map_info info = {};
	union bpf_attr a = {};
	int r;

	a.map_id = id;
	autoclose int fd = sys_bpf(BPF_MAP_GET_FD_BY_ID, &a);
	if (fd < 0)
		return fd;
	r = info_of(fd, &info, sizeof(info));
	if (r < 0)
		return r;
	if (strncmp(info.name, shape->name, sizeof(shape->name)) != 0 || info.type != shape->type ||
	    info.key_size != shape->key_size || info.value_size != shape->value_size ||
	    info.max_entries != shape->max_entries)
		return -ENOENT;
	return TAKE_FD(fd);
}

int bpf_map_get(int map, const void *key, void *value)
{
	union bpf_attr a = {};

	a.map_fd = (uint32_t)map;
	a.key = address(key);
	a.value = address(value);
	return sys_bpf(BPF_MAP_LOOKUP_ELEM, &a);
}

int bpf_map_put(int map, const void *key, const void *value)
{
	union bpf_attr a = {};

	a.map_fd = (uint32_t)map;
	a.key = address(key);
	a.value = address(value);
	return sys_bpf(BPF_MAP_UPDATE_ELEM, &a);
}

int bpf_map_del(int map, const void *key)
{
	union bpf_attr a = {};

	a.map_fd = (uint32_t)map;
	a.key = address(key);
	return sys_bpf(BPF_MAP_DELETE_ELEM, &a);
}

int bpf_map_next(int map, const void *key, void *next)
{
	union bpf_attr a = {};

	a.map_fd = (uint32_t)map;
	a.key = address(key);
	a.next_key = address(next);
	return sys_bpf(BPF_MAP_GET_NEXT_KEY, &a);
}

/* ---- programs ---- */

uint32_t bpf_op(struct bpf_code *c, uint8_t op, uint8_t dst, uint8_t src, int16_t off, int32_t imm)
{
	if (c->n == BPF_CODE_MAX) {
		c->full = true;
		return 0;
	}
	c->insn[c->n] = (struct bpf_insn){ .code = op, .dst_reg = dst, .src_reg = src, .off = off, .imm = imm };
	return c->n++;
}

void bpf_op_map(struct bpf_code *c, uint8_t dst, int map)
{
	const uint8_t load_constant = BPF_LD | BPF_DW; /* | BPF_IMM, which is 0 */

	bpf_op(c, load_constant, dst, BPF_PSEUDO_MAP_FD, 0, map);
	bpf_op(c, 0, 0, 0, 0, 0);
}

void bpf_land(struct bpf_code *c, uint32_t from)
{
	c->insn[from].off = (int16_t)(c->n - from - 1);
}

int bpf_prog_load(const struct bpf_code *c, const char *name, enum bpf_prog_type type, enum bpf_attach_type attach)
{
	/* Which helpers are for everybody is decided by it; the instructions are our own. */
	static const char license[] = "GPL";
	union bpf_attr a = {};

	if (c->full)
		return -E2BIG;
	a.prog_type = type;
	a.expected_attach_type = attach;
	a.insns = address(c->insn);
	a.insn_cnt = c->n;
	a.license = address(license);
	snprintf(a.prog_name, sizeof(a.prog_name), "%s", name);
	return sys_bpf(BPF_PROG_LOAD, &a);
}

int bpf_prog_facts(int prog, struct bpf_prog_facts *ret)
{
	struct bpf_prog_info info = {};
	int r;

	*ret = (struct bpf_prog_facts){};
	info.nr_map_ids = ARRAY_LEN(ret->maps);
	info.map_ids = address(ret->maps);
	r = info_of(prog, &info, sizeof(info));
	if (r < 0)
		return r;
	ret->id = info.id;
	ret->map_count = MIN(info.nr_map_ids, (uint32_t)ARRAY_LEN(ret->maps));
	memcpy(ret->name, info.name, sizeof(ret->name));
	memcpy(ret->tag, info.tag, sizeof(ret->tag));
	return 0;
}

int bpf_prog_by_id(uint32_t id)
{
	union bpf_attr a = {};

	a.prog_id = id;
	return sys_bpf(BPF_PROG_GET_FD_BY_ID, &a);
}

/* ---- where they hang ---- */

int bpf_attached(int cgroup, enum bpf_attach_type attach, uint32_t ids[BPF_QUERY_MAX], uint32_t *flags)
{
	union bpf_attr a = {};
	int r;

	a.query.target_fd = (uint32_t)cgroup;
	a.query.attach_type = attach;
	a.query.prog_ids = address(ids);
	a.query.prog_cnt = BPF_QUERY_MAX;
	r = sys_bpf(BPF_PROG_QUERY, &a);
	if (r < 0)
		return r;
	*flags = a.query.attach_flags;
	return (int)a.query.prog_cnt;
}

int bpf_attach(int cgroup, int prog, int instead, enum bpf_attach_type attach)
{
	union bpf_attr a = {};

	a.target_fd = (uint32_t)cgroup;
	a.attach_bpf_fd = (uint32_t)prog;
	a.attach_type = attach;
	a.attach_flags = BPF_F_ALLOW_MULTI | (instead >= 0 ? BPF_F_REPLACE : 0);
	a.replace_bpf_fd = instead >= 0 ? (uint32_t)instead : 0;
	return sys_bpf(BPF_PROG_ATTACH, &a);
}

int bpf_detach(int cgroup, int prog, enum bpf_attach_type attach)
{
	union bpf_attr a = {};

	a.target_fd = (uint32_t)cgroup;
	a.attach_bpf_fd = (uint32_t)prog;
	a.attach_type = attach;
	return sys_bpf(BPF_PROG_DETACH, &a);
}
