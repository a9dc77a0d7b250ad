/* Stalls, as the kernel's PSI counts them: cpu_pressure, memory_pressure, io_pressure, and cpu_wait, which is one of them. */
#include <string.h>

#include "engine/ct.h"
#include "engine/hooks.h"

/* Microseconds in which some, or all, tasks waited for what file ("cpu.pressure") tells of. */
static int pressure(struct ct *ct, const char *name, const char *file, uint64_t *some, uint64_t *full, struct err *err)
{
	int r;

	if (ct->cg.path == NULL) /* a job lives in its parent's */
		return err_set_no(err, ERR_NotSupported, ENODATA, "%s: the container has no cgroup of its own", name);
	r = cg_pressure(ct->e->cgroups, ct_is_root(ct) ? NULL : &ct->cg, file, some, full);
	if (r == -EOPNOTSUPP)
		return err_set(err, ERR_NotSupported, "%s: needs cgroup v2 and a kernel with PSI that is on (psi=1)", name);
	return r < 0 ? err_sys(err, -r, "%s", name) : 0;
}

static int show(struct ct *ct, const char *name, const char *file, const char *key, struct text *out, struct err *err)
{
	uint64_t some = 0, full = 0;
	int r;

	if (key != NULL && strcmp(key, "some") != 0 && strcmp(key, "full") != 0)
		return err_set(err, ERR_InvalidProperty, "%s[%.50s]: expected some or full", name, key);
	r = pressure(ct, name, file, &some, &full, err);
	if (r < 0)
		return r;
	if (key == NULL)
		text_addf(out, "full: %llu; some: %llu", (unsigned long long)full, (unsigned long long)some);
	else
		text_addf(out, "%llu", (unsigned long long)(key[0] == 's' ? some : full));
	return 0;
}

int read_cpu_pressure(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	return show(ct, "cpu_pressure", "cpu.pressure", key, out, err);
}

int read_memory_pressure(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	return show(ct, "memory_pressure", "memory.pressure", key, out, err);
}

int read_io_pressure(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	return show(ct, "io_pressure", "io.pressure", key, out, err);
}

int read_cpu_wait(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	uint64_t some = 0, full = 0;
	int r = no_index(key, err, "cpu_wait");

	if (r == 0)
		r = pressure(ct, "cpu_wait", "cpu.pressure", &some, &full, err);
	if (r == 0)
		text_addf(out, "%llu", (unsigned long long)some * 1000);
	return r;
}
