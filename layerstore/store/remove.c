#include <fcntl.h>
#include <sys/capability.h>

#include "base/fd.h"
#include "layerstore/store/store.h"

struct removal {
	const struct cage *cage;
	char name[NAME_MAX + 1];
};

/* By descriptor, through no link and no mount: base/tree.c. What was removed stays removed if it is stopped. */
static int remove_run(struct job *j UNUSED, void *arg, struct err *err)
{
	struct removal *rm = arg;
	int r = cage_lock(rm->cage, err);
	if (r == 0)
		r = tree_remove(rm->cage->root, rm->name);
	return r < 0 ? err_sys(err, -r, "'%s' can't be removed", rm->name + strlen(REMOVE_PREFIX)) : 0;
}

/* Names are hostile too, and the tree may be of any depth: a child that can do little else. */
int store_remove(struct job *j, const struct options *o, struct err *err)
{
	struct cage cage = { .root = FD_PLACE, .caps = CAP_BIT(CAP_DAC_OVERRIDE) | CAP_BIT(CAP_FOWNER) };
	struct removal rm = { .cage = &cage };
	struct job_work w = { .fn = remove_run, .arg = &rm };
	if (snprintf(rm.name, sizeof(rm.name), REMOVE_PREFIX "%s", o->name) >= (int)sizeof(rm.name))
		return err_set_no(err, ERR_InvalidValue, ENAMETOOLONG, "the name is too long");
	cage.root = fcntl(FD_PLACE, F_DUPFD_CLOEXEC, FD_FIRST_FREE); /* the place itself isn't for children */
	if (cage.root < 0)
		return err_sys(err, errno, "the place");
	w.cage = cage;
	int r = job_run(j, &w, err);
	close(cage.root);
	return r;
}
