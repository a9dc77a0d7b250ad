/* Memory counters. For the host itself /proc answers. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/fd.h"
#include "engine/cgroup_memory.h"
#include "engine/hooks.h"
#include "engine/memory.h"

static void add_u64(struct text *out, uint64_t v)
{
	text_addf(out, "%llu", (unsigned long long)v);
}

/* A controller that the container shares with its parent tells nothing about the container alone. */
static int need_own(struct ct *ct, enum cg_ctl ctl, const char *name, struct err *err)
{
	if (ct_is_root(ct) || (ct->cg.own & CG_BIT(ctl)))
		return 0;
	return err_set_no(err, ERR_NotSupported, ENODATA, "%s: the container has no %s cgroup of its own", name, cg_name(ctl));
}

/* What all readers of one number begin with. */
static int begin(struct ct *ct, enum cg_ctl ctl, const char *key, const char *name, struct err *err)
{
	int r = no_index(key, err, name);

	return r < 0 ? r : need_own(ct, ctl, name, err);
}

/* ---- what memory.stat tells ---- */

static uint64_t vmstat(const char *text, const char *key)
{
	size_t len = strlen(key);

	for (; *text != '\0'; text += strcspn(text, "\n"), text += *text == '\n')
		if (strncmp(text, key, len) == 0 && text[len] == ' ')
			return strtoull(text + len, NULL, 10);
	return 0;
}

static void host_stat(struct memory_stat *st)
{
	autotext struct text t = {};
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	*st = (struct memory_stat){
		.anon = memory_info("AnonPages"),
		.cache = memory_info("Active(file)") + memory_info("Inactive(file)"),
		.shmem = memory_info("Shmem"),
		.mlock = memory_info("Unevictable"),
	};
	if (file_read(AT_FDCWD, "/proc/vmstat", 1 << 16, &t) < 0)
		return;
	st->reclaimed = (vmstat(text_str(&t), "pgsteal_kswapd") + vmstat(text_str(&t), "pgsteal_direct")) * page;
	st->major_faults = vmstat(text_str(&t), "pgmajfault");
	st->minor_faults = vmstat(text_str(&t), "pgfault");
	st->minor_faults -= MIN(st->minor_faults, st->major_faults);
}

static int stat_of(struct ct *ct, const char *name, struct memory_stat *st, struct err *err)
{
	struct seen *s = ct_seen(ct);
	int r = 0;

	if (s != NULL && s->has_memory) {
		*st = s->memory;
		return 0;
	}
	if (ct_is_root(ct))
		host_stat(st);
	else
		r = cg_memory_stat(ct->e->cgroups, &ct->cg, st);
	if (r < 0)
		return err_sys(err, -r, "%s", name);
	if (s != NULL) {
		s->has_memory = true;
		s->memory = *st;
	}
	return 0;
}

static int read_stat_field(struct ct *ct, const char *key, const char *name, size_t field, struct text *out, struct err *err)
{
	struct memory_stat st;
	int r = begin(ct, CG_MEMORY, key, name, err);

	if (r == 0)
		r = stat_of(ct, name, &st, err);
	if (r == 0)
		add_u64(out, *(const uint64_t *)((const char *)&st + field));
	return r;
}

#define STAT_READER(property, field)                                                                             \
	int read_##property(struct ct *ct, const char *key, struct text *out, struct err *err)                   \
	{                                                                                                        \
		return read_stat_field(ct, key, #property, offsetof(struct memory_stat, field), out, err);       \
	}
STAT_READER(anon_usage, anon)
STAT_READER(cache_usage, cache)
STAT_READER(shmem_usage, shmem)
STAT_READER(mlock_usage, mlock)
STAT_READER(memory_reclaimed, reclaimed)
STAT_READER(minor_faults, minor_faults)
STAT_READER(major_faults, major_faults)

/* ---- usage and peak ---- */

int read_memory_usage(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	uint64_t v = 0;
	int r = begin(ct, CG_MEMORY, key, "memory_usage", err);

	if (r < 0)
		return r;
	if (ct_is_root(ct))
		v = memory_info("MemTotal") - memory_info("MemAvailable");
	else
		r = cg_memory_usage(ct->e->cgroups, &ct->cg, &v);
	if (r < 0)
		return err_sys(err, -r, "memory_usage");
	add_u64(out, v);
	return 0;
}

int read_memory_peak(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	uint64_t v = 0;
	int r = begin(ct, CG_MEMORY, key, "memory_peak", err);

	if (r < 0)
		return r;
	if (ct_is_root(ct))
		return err_set_no(err, ERR_NotSupported, ENODATA, "memory_peak: the kernel keeps none of the host");
	r = cg_memory_peak(ct->e->cgroups, &ct->cg, &v);
	if (r < 0)
		return err_sys(err, -r, "memory_peak");
	add_u64(out, v);
	return 0;
}

int write_memory_peak(struct change *c)
{
	int r;

	if (strcmp(c->text, "0") != 0 && c->text[0] != '\0')
		return err_set(c->err, ERR_InvalidValue, "memory_peak: '%.100s': expected 0, which resets it", c->text);
	if (c->ct->state == CT_STOPPED)
		return 0;
	r = cg_memory_peak_reset(c->ct->e->cgroups, &c->ct->cg);
	if (r == -EOPNOTSUPP)
		return err_set(c->err, ERR_NotSupported, "memory_peak: cgroup v2 has no reset that others would see");
	return r < 0 ? err_sys(c->err, -r, "memory_peak") : 0;
}

/* ---- limits ---- */

int read_memory_limit(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	int r = no_index(key, err, "memory_limit");

	if (r == 0)
		add_u64(out, ct_is_root(ct) ? memory_total() : memory_limit(ct));
	return r;
}

int read_memory_limit_total(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	uint64_t total = memory_total();
	int r = no_index(key, err, "memory_limit_total");

	for (const struct ct *it = ct; !ct_is_root(it); it = it->parent)
		if (memory_limit(it) != 0)
			total = MIN(total, memory_limit(it));
	if (r == 0)
		add_u64(out, total);
	return r;
}

int read_memory_guarantee_total(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	int r = no_index(key, err, "memory_guarantee_total");

	if (r == 0)
		add_u64(out, memory_guarantee_total(ct));
	return r;
}

/* ---- huge pages ---- */

/* Bytes of the host's huge pages of 2M. */
static uint64_t host_huge(const char *file)
{
	char path[96], buf[32];
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-2048kB/%s", file);
	n = file_read_small(AT_FDCWD, path, buf, sizeof(buf));
	return n > 0 ? strtoull(buf, NULL, 10) << 21 : 0;
}

int read_hugetlb_limit(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	uint64_t v = ct->val[PROP_hugetlb_limit].u;
	int r = no_index(key, err, "hugetlb_limit");

	if (r < 0)
		return r;
	if (ct_is_root(ct))
		v = host_huge("nr_hugepages");
	add_u64(out, v);
	return 0;
}

int read_hugetlb_usage(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	uint64_t v = 0;
	int r = begin(ct, CG_HUGETLB, key, "hugetlb_usage", err);

	if (r < 0)
		return r;
	if (ct_is_root(ct))
		v = host_huge("nr_hugepages") - host_huge("free_hugepages");
	else
		r = cg_hugetlb_usage(ct->e->cgroups, &ct->cg, &v);
	if (r < 0)
		return err_sys(err, -r, "hugetlb_usage");
	add_u64(out, v);
	return 0;
}

/* ---- virtual_memory ---- */

/* Sums of lines of /proc/PID/status, bytes; in the order of the words, which is that of a map. */
static const struct vm_row {
	const char *word, *keys[2];
} vm_rows[] = {
	{ "anon", { "RssAnon" } },
	{ "code", { "VmExe", "VmLib" } },
	{ "count", {} },
	{ "data", { "VmData" } },
	{ "file", { "RssFile" } },
	{ "huge", { "HugetlbPages" } },
	{ "locked", { "VmLck" } },
	{ "max_size", { "VmPeak" } },
	{ "max_used", { "VmHWM" } },
	{ "shmem", { "RssShmem" } },
	{ "size", { "VmSize" } },
	{ "stack", { "VmStk" } },
	{ "swap", { "VmSwap" } },
	{ "table", { "VmPTE" } },
	{ "used", { "VmRSS" } },
};

struct vm_sums {
	uint64_t v[ARRAY_LEN(vm_rows)];
	struct ct *job;      /* only its session's processes, NULL: all */
};

static void add_line(struct vm_sums *s, const char *line, size_t len, uint64_t kib)
{
	for (size_t i = 0; i < ARRAY_LEN(vm_rows); i++)
		for (size_t k = 0; k < 2 && vm_rows[i].keys[k] != NULL; k++)
			if (strncmp(vm_rows[i].keys[k], line, len) == 0 && vm_rows[i].keys[k][len] == '\0')
				s->v[i] += kib * 1024;
}

static int add_process(void *arg, pid_t pid)
{
	struct vm_sums *s = arg;
	char path[32], buf[4096];
	const char *colon;

	if (s->job != NULL && getsid(pid) != s->job->pid)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if (file_read_small(AT_FDCWD, path, buf, sizeof(buf)) < 0)
		return 0; /* it has just gone */
	for (size_t i = 0; i < ARRAY_LEN(vm_rows); i++)
		s->v[i] += strcmp(vm_rows[i].word, "count") == 0;
	for (const char *line = buf; (colon = strchr(line, ':')) != NULL; line = strchrnul(colon, '\n'), line += *line == '\n')
		add_line(s, line, (size_t)(colon - line), strtoull(colon + 1, NULL, 10));
	return 0;
}

/* The host's own: those that are in no container. */
static void add_host(struct vm_sums *s, struct cgroups *g)
{
	DIR *d = opendir("/proc");

	if (d == NULL)
		return;
	for (const struct dirent *de; (de = readdir(d)) != NULL;) {
		autotext struct text in = {};
		pid_t pid = (pid_t)atoi(de->d_name);

		if (pid > 0 && cg_of_pid(g, pid, &in) < 0)
			(void)add_process(s, pid);
	}
	closedir(d);
}

int read_virtual_memory(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	struct vm_sums s = {};
	bool is_job = ct->val[PROP_virt_mode].u == VIRT_JOB, found = false;

	if (ct_is_root(ct)) {
		add_host(&s, ct->e->cgroups);
	} else {
		s.job = is_job ? ct : NULL;
		(void)cg_pids(ct->e->cgroups, is_job ? &ct->parent->cg : &ct->cg, false, add_process, &s);
	}
	for (size_t i = 0; i < ARRAY_LEN(vm_rows); i++) {
		if (key != NULL && strcmp(key, vm_rows[i].word) != 0)
			continue;
		found = true;
		if (key != NULL)
			add_u64(out, s.v[i]);
		else
			text_addf(out, "%s%s: %llu", i > 0 ? "; " : "", vm_rows[i].word, (unsigned long long)s.v[i]);
	}
	return found ? 0 : err_set(err, ERR_InvalidProperty, "virtual_memory[%.50s]: no such type", key);
}
