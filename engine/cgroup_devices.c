#include "engine/cgroup_devices.h"

#include <linux/bpf.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "engine/cgroup_priv.h"

#define PROGRAM_NAME "porto_devices"
#define PROGRAMS_MAX 64 /* on one cgroup, as the kernel has it */
#define KEPT 4
#define RULE_INSNS 8

/* Programs are made of few different lists: the last ones are kept. */
static struct kept {
	struct cg_device *d; /* owned */
	size_t n;
	int fd;
} kept[KEPT];
static unsigned kept_next;

static int bpf(int cmd, union bpf_attr *attr)
{
	long r = syscall(SYS_bpf, cmd, attr, sizeof(*attr));

	return r < 0 ? -errno : (int)r;
}

#define INSN(c, d, s, o, i) ((struct bpf_insn){ .code = (c), .dst_reg = (d), .src_reg = (s), .off = (short)(o), .imm = (i) })
#define LOAD(dst, field)    INSN(BPF_LDX | BPF_MEM | BPF_W, dst, 1, offsetof(struct bpf_cgroup_dev_ctx, field), 0)
#define MOVE(dst, src)      INSN(BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0)
#define ALU(op, dst, imm)   INSN(BPF_ALU64 | (op) | BPF_K, dst, 0, 0, imm)
#define UNLESS(dst, imm, n) INSN(BPF_JMP | BPF_JNE | BPF_K, dst, 0, n, imm)
#define EXIT                INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

/* What differs jumps to the next rule. Registers: 2 type, 3 access, 4 major, 5 minor, 6 scratch. */
static int rule(const struct cg_device *d, struct bpf_insn *p)
{
	int end = d->minor == CG_DEVICE_ANY ? RULE_INSNS - 1 : RULE_INSNS, n = 0;

	p[n] = UNLESS(2, d->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR, end - n - 1), n++;
	p[n] = UNLESS(4, d->major, end - n - 1), n++;
	if (d->minor != CG_DEVICE_ANY)
		p[n] = UNLESS(5, d->minor, end - n - 1), n++;
	p[n++] = MOVE(6, 3);
	p[n++] = ALU(BPF_AND, 6, (int)~d->access);
	p[n] = UNLESS(6, 0, end - n - 1), n++;
	p[n++] = ALU(BPF_MOV, 0, 1);
	p[n++] = EXIT;
	return n;
}

int cg_devices_program(const struct cg_device *d, size_t n, struct bpf_insn **ret)
{
	struct bpf_insn *p = reallocarray(NULL, n * RULE_INSNS + 8, sizeof(*p));
	int at = 0;

	if (!p)
		return -ENOMEM;
	p[at++] = LOAD(2, access_type);
	p[at++] = MOVE(3, 2);
	p[at++] = ALU(BPF_RSH, 3, 16);
	p[at++] = ALU(BPF_AND, 2, 0xffff);
	p[at++] = LOAD(4, major);
	p[at++] = LOAD(5, minor);
	for (size_t i = 0; i < n; i++)
		at += rule(&d[i], p + at);
	p[at++] = ALU(BPF_MOV, 0, 0);
	p[at++] = EXIT;
	*ret = p;
	return at;
}

static int program_load(const struct cg_device *d, size_t n)
{
	struct bpf_insn *p = NULL;
	union bpf_attr attr = { .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE, .prog_name = PROGRAM_NAME };
	int count = cg_devices_program(d, n, &p), r;

	if (count < 0)
		return count;
	attr.insns = (uintptr_t)p;
	attr.insn_cnt = (unsigned)count;
	attr.license = (uintptr_t) "GPL";
	r = bpf(BPF_PROG_LOAD, &attr);
	free(p);
	return r;
}

/* Borrowed from what is kept. */
static int program_for(const struct cg_device *d, size_t n)
{
	struct kept *k;

	for (k = kept; k < kept + KEPT; k++)
		if (k->d && k->n == n && memcmp(k->d, d, n * sizeof(*d)) == 0)
			return k->fd;
	struct cg_device *copy = reallocarray(NULL, n + 1, sizeof(*d));
	if (!copy)
		return -ENOMEM;
	int fd = program_load(d, n);
	if (fd < 0) {
		free(copy);
		return fd;
	}
	k = &kept[kept_next++ % KEPT];
	if (k->d) {
		close(k->fd);
		free(k->d);
	}
	memcpy(copy, d, n * sizeof(*d));
	*k = (struct kept){ copy, n, fd };
	return fd;
}

static int program_id(int fd, char name[BPF_OBJ_NAME_LEN])
{
	struct bpf_prog_info info = {};
	union bpf_attr attr = { .info = { .bpf_fd = (unsigned)fd, .info_len = sizeof(info), .info = (uintptr_t)&info } };
	int r = bpf(BPF_OBJ_GET_INFO_BY_FD, &attr);

	if (r < 0)
		return r;
	memcpy(name, info.name, BPF_OBJ_NAME_LEN);
	return (int)info.id;
}

/* Takes ours off dir, all but the one with the id to stay; *there: that one is on it. */
static int programs_drop(int dir, int stay, bool *there)
{
	unsigned ids[PROGRAMS_MAX];
	union bpf_attr attr = { .query = { .target_fd = (unsigned)dir, .attach_type = BPF_CGROUP_DEVICE,
					   .prog_ids = (uintptr_t)ids, .prog_cnt = PROGRAMS_MAX } };
	int r = bpf(BPF_PROG_QUERY, &attr);

	*there = false;
	if (r < 0)
		return r;
	for (unsigned i = 0; i < MIN(attr.query.prog_cnt, PROGRAMS_MAX); i++) {
		union bpf_attr by = { .prog_id = ids[i] };
		char name[BPF_OBJ_NAME_LEN] = "";
		autoclose int fd = bpf(BPF_PROG_GET_FD_BY_ID, &by);

		*there = *there || (int)ids[i] == stay;
		if (fd < 0 || (int)ids[i] == stay || program_id(fd, name) < 0 || strcmp(name, PROGRAM_NAME) != 0)
			continue;
		union bpf_attr off = { .target_fd = (unsigned)dir, .attach_bpf_fd = (unsigned)fd, .attach_type = BPF_CGROUP_DEVICE };
		r = bpf(BPF_PROG_DETACH, &off);
		if (r < 0)
			return r;
	}
	return 0;
}

static int open_dir(struct cgroups *g, const struct cg *c)
{
	int fd = openat(g->h[0].fd, *c->path ? c->path : ".", CG_OPEN_DIR);

	return fd < 0 ? -errno : fd;
}

/* The new one goes on before the old ones are taken off: all have to agree, so nothing is allowed meanwhile that neither does. */
static int set_v2(struct cgroups *g, const struct cg *c, const struct cg_device *d, size_t n)
{
	autoclose int dir = open_dir(g, c);
	char name[BPF_OBJ_NAME_LEN];
	int fd, id, r;
	bool there;

	if (dir < 0)
		return dir;
	fd = program_for(d, n);
	if (fd < 0)
		return fd;
	id = program_id(fd, name);
	if (id < 0)
		return id;
	union bpf_attr on = { .target_fd = (unsigned)dir, .attach_bpf_fd = (unsigned)fd, .attach_type = BPF_CGROUP_DEVICE,
			      .attach_flags = BPF_F_ALLOW_MULTI };
	r = bpf(BPF_PROG_ATTACH, &on);
	if (r < 0 && r != -EINVAL) /* which it also says when it is there already */
		return r;
	r = programs_drop(dir, id, &there);
	return r < 0 || there ? r : -EINVAL;
}

/* ---- v1: the files take a device a write ---- */

static void words(const struct cg_device *d, unsigned access, char out[64])
{
	char minor[16] = "*";

	if (d->minor != CG_DEVICE_ANY)
		snprintf(minor, sizeof(minor), "%d", d->minor);
	snprintf(out, 64, "%c %d:%s %s%s%s", d->type, d->major, minor, access & CG_DEVICE_READ ? "r" : "",
		 access & CG_DEVICE_WRITE ? "w" : "", access & CG_DEVICE_MKNOD ? "m" : "");
}

static bool same_device(const struct cg_device *a, const struct cg_device *b)
{
	return a->type == b->type && a->major == b->major && a->minor == b->minor;
}

/* "c 1:3 rwm"; false: not a device, as "a *:* rwm" for all. */
static bool line_parse(const char *line, struct cg_device *ret)
{
	char minor[16], access[8];

	if (sscanf(line, "%c %d:%15s %7s", &ret->type, &ret->major, minor, access) != 4 || ret->type == 'a')
		return false;
	ret->minor = *minor == '*' ? CG_DEVICE_ANY : atoi(minor);
	ret->access = (strchr(access, 'r') ? CG_DEVICE_READ : 0) | (strchr(access, 'w') ? CG_DEVICE_WRITE : 0) |
		      (strchr(access, 'm') ? CG_DEVICE_MKNOD : 0);
	return true;
}

/* What is allowed now and not in d is denied. The list grows with what users are given: no more than what d may hold. */
static int deny_others(const struct hier *h, const char *dir, const struct cg_device *d, size_t n)
{
	char list[CG_DEVICES_MAX * 32], *line, *rest = list, text[64];
	ssize_t len = cg_read(h, dir, "devices.list", list, sizeof(list));
	int r = len < 0 ? (int)len : 0;

	while (r == 0 && (line = strsep(&rest, "\n"))) {
		struct cg_device had;
		unsigned access = 0;

		if (!*line)
			continue;
		if (!line_parse(line, &had))
			return cg_write(h, dir, "devices.deny", "a");
		for (size_t i = 0; i < n; i++)
			if (same_device(&d[i], &had))
				access |= d[i].access;
		if (!(had.access & ~access))
			continue;
		words(&had, had.access & ~access, text);
		r = cg_write(h, dir, "devices.deny", text);
	}
	return r;
}

static int set_v1(struct cgroups *g, const struct cg *c, const struct cg_device *d, size_t n)
{
	const struct hier *h = &g->h[g->of[CG_DEVICES]];
	char text[64];
	int r;

	if (!(c->own & CG_BIT(CG_DEVICES)))
		return -ENOENT;
	r = deny_others(h, c->path, d, n);
	for (size_t i = 0; r == 0 && i < n; i++) {
		words(&d[i], d[i].access, text);
		r = cg_write(h, c->path, "devices.allow", text);
	}
	return r;
}

/* ---- which of them ---- */

static int try_bpf(void)
{
	int fd = program_load(NULL, 0);

	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 0;
}

/* What came of trying; the same for as long as the kernel is. */
static int bpf_result(void)
{
	static int result = 1; /* not tried yet */

	if (result > 0)
		result = try_bpf();
	return result;
}

static bool can_bpf(const struct cgroups *g)
{
	return g->h[0].drv->v2 && bpf_result() == 0;
}

bool cg_devices_by_v1(const struct cgroups *g)
{
	return !can_bpf(g) && g->of[CG_DEVICES] >= 0;
}

const char *cg_devices_lacks(const struct cgroups *g)
{
	if (can_bpf(g) || g->of[CG_DEVICES] >= 0)
		return NULL;
	static char why[160];

	if (!g->h[0].drv->v2)
		return "no hierarchy has the devices controller";
	snprintf(why, sizeof(why), "the kernel takes no BPF programs for devices (CONFIG_CGROUP_BPF, CAP_BPF): %s; and there is no v1 controller",
		 strerror(-bpf_result()));
	return why;
}

int cg_devices_set(struct cgroups *g, const struct cg *c, const struct cg_device *d, size_t n)
{
	if (n > CG_DEVICES_MAX)
		return -E2BIG;
	if (can_bpf(g))
		return set_v2(g, c, d, n);
	return g->of[CG_DEVICES] >= 0 ? set_v1(g, c, d, n) : -EOPNOTSUPP;
}

int cg_devices_clear(struct cgroups *g, const struct cg *c)
{
	bool there;

	if (!can_bpf(g))
		return 0;
	autoclose int dir = open_dir(g, c);
	return dir < 0 ? dir : programs_drop(dir, 0, &there);
}
