/*
 * Whose memory imports and exports are charged with, page cache included: a cgroup of their own below our root, bounded, so that
 * they push nobody else's out; or the container's that an import names.
 */
#include <fcntl.h>
#include <stdio.h>

#include "base/fd.h"
#include "base/log.h"
#include "engine/cgroup_memory.h"
#include "engine/layer.h"

#define END_TRIES 300
#define END_USEC 10000

static struct cg helpers_cg(struct engine *e)
{
	static char path[] = STORE_CGROUP;

	return (struct cg){ .path = path, .own = CG_BIT(CG_TRACK) | CG_BIT(CG_MEMORY), .parent = &e->root->cg };
}

/* "": they stay where the daemon is. */
static const char *helpers_dir(struct engine *e)
{
	struct cg cg = helpers_cg(e);
	autotext struct text dir = {};
	struct store *s = e->store;
	struct err err = {};
	int r;

	if (s->memory_dir != NULL)
		return s->memory_dir;
	if (e->conf->volumes_helpers_memory == 0 || !(cg_available(e->cgroups) & CG_BIT(CG_MEMORY)))
		return "";
	r = cg_create(e->cgroups, &cg, &err);
	if (r == 0 || r == -EEXIST)
		r = cg_set_memory_max(e->cgroups, &cg, e->conf->volumes_helpers_memory);
	if (r == 0)
		r = cg_dir(e->cgroups, &cg, CG_MEMORY, &dir);
	if (r < 0) {
		log_warning("imports and exports have no memory cgroup of their own: %s", err.kind != ERR_Success ? err.text : strerror(-r));
		return "";
	}
	s->memory_dir = text_take(&dir);
	return s->memory_dir != NULL ? s->memory_dir : "";
}

/* In the loop, before the job is prepared. */
int sjob_set_memory(struct sjob *j)
{
	autotext struct text dir = {};
	const struct ct *ct;

	if (j->charge == NULL || j->charge[0] == '\0') {
		j->memory_dir = strdup(helpers_dir(j->e));
		return j->memory_dir == NULL ? err_sys(&j->err, ENOMEM, "%s", j->name) : 0;
	}
	ct = ct_find_name(j->e, j->charge);
	if (ct == NULL || !ct_is_alive(ct) || ct_home_cg(ct) == NULL)
		return err_set(&j->err, ERR_InvalidState, "charge: container %s does not run", j->charge);
	if (cg_dir(j->e->cgroups, ct_home_cg(ct), CG_MEMORY, &dir) < 0)
		return err_set(&j->err, ERR_NotSupported, "charge: there is no memory controller");
	j->memory_dir = text_take(&dir);
	return j->memory_dir == NULL ? err_sys(&j->err, ENOMEM, "%s", j->name) : 0;
}

/* In a thread: on v1 it may take its time. Where v2 keeps processes below is for it to say. */
int sjob_charge(struct sjob *j)
{
	static const char *const files[] = { "+leaf/cgroup.procs", "cgroup.procs" };
	char pid[16];
	int r = -ENOENT;

	if (j->memory_dir == NULL || j->memory_dir[0] == '\0')
		return 0;
	snprintf(pid, sizeof(pid), "%d", (int)j->pid);
	for (size_t i = 0; r == -ENOENT && i < ARRAY_LEN(files); i++) {
		autofree char *path = NULL;

		if (asprintf(&path, "%s/%s", j->memory_dir, files[i]) < 0) {
			path = NULL;
			r = -ENOMEM;
		} else {
			r = file_write(AT_FDCWD, path, pid);
		}
	}
	if (r == 0 || j->charge == NULL || j->charge[0] == '\0') /* one's own is a kindness, not a promise */
		return 0;
	return err_sys(&j->err, -r, "charge: memory cgroup of container %s", j->charge);
}

void store_memory_end(struct cgroups *g)
{
	struct cg root = { .path = (char[]){ "" }, .own = cg_available(g) };
	struct cg cg = { .path = (char[]){ STORE_CGROUP }, .own = cg_available(g), .parent = &root };

	/* they are in the memory cgroup alone: where containers are told apart nobody is listed */
	for (int i = 0; i < END_TRIES && cg_remove(g, &cg) < 0; i++) {
		cg_kill_everywhere(g, &cg);
		usleep(END_USEC);
	}
}
