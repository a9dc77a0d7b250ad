/* The program that decides about devices, run by a few lines of our own instead of the kernel. */
#include "engine/cgroup_devices.h"

#include <linux/bpf.h>

#include "tests/unit/unit.h"

static uint64_t operand(const struct bpf_insn *i, const uint64_t *reg)
{
	return i->code & BPF_X ? reg[i->src_reg] : (uint64_t)(int64_t)i->imm;
}

/* What it answers; -1: it does what we don't know, or runs off its end. */
static int run(const struct bpf_insn *p, int n, const struct bpf_cgroup_dev_ctx *ctx)
{
	uint64_t reg[11] = {};

	for (int at = 0; at >= 0 && at < n; at++) {
		const struct bpf_insn *i = &p[at];
		uint64_t *dst = &reg[i->dst_reg];

		switch (i->code) {
		case BPF_LDX | BPF_MEM | BPF_W:
			*dst = *(const uint32_t *)((const char *)ctx + i->off);
			break;
		case BPF_ALU64 | BPF_MOV | BPF_X:
		case BPF_ALU64 | BPF_MOV | BPF_K:
			*dst = operand(i, reg);
			break;
		case BPF_ALU64 | BPF_AND | BPF_K:
			*dst &= operand(i, reg);
			break;
		case BPF_ALU64 | BPF_RSH | BPF_K:
			*dst >>= operand(i, reg);
			break;
		case BPF_JMP | BPF_JNE | BPF_K:
			at += *dst != operand(i, reg) ? i->off : 0;
			break;
		case BPF_JMP | BPF_EXIT:
			return (int)reg[0];
		default:
			return -1;
		}
	}
	return -1;
}

#define R CG_DEVICE_READ
#define W CG_DEVICE_WRITE
#define M CG_DEVICE_MKNOD

static const struct cg_device rules[] = {
	{ 'c', 1, 3, R | W | M }, { 'c', 1, 5, R | M }, { 'b', 1, 3, R }, { 'c', 136, CG_DEVICE_ANY, R | W }, { 'c', 10, 200, 0 },
};

static const struct row {
	char type;
	unsigned major, minor, access;
	int allowed;
} rows[] = {
	{ 'c', 1, 3, R, 1 },       { 'c', 1, 3, R | W, 1 },     { 'c', 1, 3, R | W | M, 1 }, { 'c', 1, 5, R, 1 },   { 'c', 1, 5, W, 0 },
	{ 'c', 1, 5, R | W, 0 },   { 'c', 1, 5, M, 1 },         { 'b', 1, 3, R, 1 },         { 'b', 1, 3, W, 0 },   { 'b', 1, 5, R, 0 },
	{ 'c', 136, 0, R | W, 1 }, { 'c', 136, 1048575, R, 1 }, { 'c', 136, 7, M, 0 },       { 'b', 136, 0, R, 0 }, { 'c', 137, 0, R, 0 },
	{ 'c', 10, 200, R, 0 },    { 'c', 10, 200, 0, 1 },      { 'c', 3, 1, R, 0 },         { 'b', 8, 0, R, 0 },   { 'c', 1, 4294967295u, R, 0 },
};

int main(void)
{
	struct bpf_insn *p = NULL, *none = NULL;
	int n = cg_devices_program(rules, ARRAY_LEN(rules), &p), empty = cg_devices_program(NULL, 0, &none);

	for (size_t i = 0; n > 0 && i < ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];
		struct bpf_cgroup_dev_ctx ctx = { .access_type = r->access << 16 | (r->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR),
						  .major = r->major, .minor = r->minor };

		unit_ok(run(p, n, &ctx) == r->allowed, "%c %u:%u access %u: %d", r->type, r->major, r->minor, r->access, r->allowed);
		unit_ok(run(none, empty, &ctx) == 0, "no rules: %c %u:%u access %u", r->type, r->major, r->minor, r->access);
	}
	free(p);
	free(none);
	return unit_end();
}
