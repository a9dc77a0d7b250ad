/*
 * netctl/bpf.h: bpf(2) without a library: maps, programs written instruction by instruction, and where they hang.
 * Results are descriptors (close-on-exec by the kernel's own doing), 0 or -errno.
 */
#ifndef NETCTL_BPF_H
#define NETCTL_BPF_H

#include <linux/bpf.h>

#include "base/defs.h"

#define BPF_NAME_SIZE 16

struct bpf_map_shape {
	char name[BPF_NAME_SIZE];
	uint32_t type, key_size, value_size, max_entries, flags;
};

int bpf_map_make(const struct bpf_map_shape *shape);
/* Is the map of that id of this shape (name included)? Its descriptor, -ENOENT if it is another. */
int bpf_map_find(uint32_t id, const struct bpf_map_shape *shape);
int bpf_map_get(int map, const void *key, void *value);
int bpf_map_put(int map, const void *key, const void *value);
int bpf_map_del(int map, const void *key);
/* The key after `key` (NULL: the first). -ENOENT at the end. */
int bpf_map_next(int map, const void *key, void *next);

/* ---- programs ---- */

#define BPF_CODE_MAX 1024u

struct bpf_code {
	struct bpf_insn insn[BPF_CODE_MAX];
	uint32_t n;
	bool full; /* did not fit: loading it fails */
};

uint32_t bpf_op(struct bpf_code *c, uint8_t op, uint8_t dst, uint8_t src, int16_t off, int32_t imm); /* index of it */
void bpf_op_map(struct bpf_code *c, uint8_t dst, int map);
/* The jump at index `from` leads to what comes next. */
void bpf_land(struct bpf_code *c, uint32_t from);

int bpf_prog_load(const struct bpf_code *c, const char *name, enum bpf_prog_type type, enum bpf_attach_type attach);

struct bpf_prog_facts {
	uint32_t id;
	char name[BPF_NAME_SIZE];
	uint8_t tag[BPF_TAG_SIZE]; /* of its instructions */
	uint32_t maps[8];
	uint32_t map_count;
};

int bpf_prog_facts(int prog, struct bpf_prog_facts *ret);
int bpf_prog_by_id(uint32_t id);

#define BPF_QUERY_MAX 64u

/* Ids of the programs that hang on exactly this directory; flags: BPF_F_ALLOW_* they were attached with. Their number.
 */
int bpf_attached(int cgroup, enum bpf_attach_type attach, uint32_t ids[BPF_QUERY_MAX], uint32_t *flags);
/* Beside others; in the place of `instead`, if that is 0 or more. */
int bpf_attach(int cgroup, int prog, int instead, enum bpf_attach_type attach);
int bpf_detach(int cgroup, int prog, enum bpf_attach_type attach);

#endif
