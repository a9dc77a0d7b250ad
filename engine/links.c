/* symlink: links inside a container. Those of a start are made by porto-init; a change while it runs by another one, in there. */
#include <limits.h>
#include <sys/epoll.h>

#include "base/proc.h"
#include "engine/hooks.h"
#include "engine/links.h"

/* A change under way, with the write that asked for it. */
struct links_job {
	struct links_job *next;
	struct engine *e;
	uint32_t ct;
	pid_t life;       /* the task that ran then */
	struct pairs made; /* all that is there by the end of it */
	struct links_task task;
	struct loop_fd watch;
	struct loop_timer deadline;
	bool alone;       /* nobody asked: links are put back */
	bool unheard;     /* who asked is gone */
	struct engine_cred who;
	uint64_t cookie;
	struct engine_node node;
	char *key, *buf;  /* owned; node and value point to them */
	struct engine_value value;
};

/* ---- the property ---- */

static int check_link(struct change *c, const char *link, const char *target)
{
	if (link[0] != '/' || link[1] == '\0' || strlen(link) >= PATH_MAX)
		return err_set(c->err, ERR_InvalidValue, "symlink: '%.200s': expected an absolute path", link);
	if (strlen(target) >= PATH_MAX)
		return err_set(c->err, ERR_InvalidValue, "symlink: %.200s: the target is too long", link);
	return 0;
}

int check_symlink(struct change *c)
{
	const struct pairs *m = &c->value->m;
	int r = 0;

	for (size_t i = 0; r == 0 && i < m->k.n; i++)
		r = check_link(c, m->k.p[i], m->v.p[i]);
	return r;
}

static struct links_job *job_of(const struct ct *ct)
{
	struct links_job *j = ct->e->links.jobs;

	while (j != NULL && j->ct != ct->id)
		j = j->next;
	return j;
}

static bool is_made(const struct links_job *j, const struct ct *ct, const struct pairs *change)
{
	if (j == NULL || j->ct != ct->id || j->life != ct->pid)
		return false;
	for (size_t i = 0; i < change->k.n; i++) {
		const char *target = pairs_get(&j->made, change->k.p[i]);

		if (target == NULL || strcmp(target, change->v.p[i]) != 0)
			return false;
	}
	return true;
}

/* Links that are not in the new value are taken away. */
static int difference(const struct pairs *old, const struct pairs *new, struct pairs *ret)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < old->k.n; i++)
		if (pairs_get(new, old->k.p[i]) == NULL)
			r = pairs_set(ret, old->k.p[i], "");
	for (size_t i = 0; r == 0 && i < new->k.n; i++)
		r = pairs_set(ret, new->k.p[i], new->v.p[i]);
	return r;
}

/* err NULL: a write is undone, see links_restore. */
int apply_symlink(struct ct *ct, const union value *v, struct err *err)
{
	struct links *l = &ct->e->links;
	struct pairs change = {};
	int r;

	/* else it is for the next start */
	if (ct->state != CT_RUNNING && ct->state != CT_META && ct->state != CT_PAUSED)
		return 0;
	if (err == NULL)
		return 0;
	/* who is born into a frozen cgroup stands still */
	if (ct->state == CT_PAUSED || cg_frozen(ct->e->cgroups, ct_home_cg(ct)))
		return err_set(err, ERR_InvalidState, "symlink: container %s is paused", ct->name);
	if (job_of(ct) != NULL)
		return err_set(err, ERR_Busy, "symlink: another change of the links in container %s is under way", ct->name);
	r = difference(&ct->val[PROP_symlink].m, &v->m, &change);
	if (r < 0) {
		pairs_done(&change);
		return err_sys(err, -r, "symlink");
	}
	if (change.k.n == 0 || is_made(l->now, ct, &change)) {
		pairs_done(&change);
		return 0;
	}
	pairs_done(&l->wanted);
	l->wanted = change;
	return err_set(err, ERR_Busy, "symlink: the links are still to be made");
}

/* ---- the process that makes them ---- */

static void job_free(struct links_job *j)
{
	loop_del(j->e->loop, &j->watch);
	loop_cancel(j->e->loop, &j->deadline);
	if (j->task.pidfd >= 0)
		close(j->task.pidfd);
	if (j->task.status >= 0)
		close(j->task.status);
	pairs_done(&j->made);
	free(j->key);
	free(j->buf);
	free(j);
}

static void unlist(struct links_job *j)
{
	struct links_job **at = &j->e->links.jobs;

	while (*at != j)
		at = &(*at)->next;
	*at = j->next;
}

static void put_back(struct ct *ct, const struct pairs *links);

/* What was made, and then was not to be: as the property says. */
static void take_back(const struct links_job *j, struct ct *ct)
{
	struct pairs change = {};
	int r = 0;

	for (size_t i = 0; r == 0 && i < j->made.k.n; i++) {
		const char *target = pairs_get(&ct->val[PROP_symlink].m, j->made.k.p[i]);

		r = pairs_set(&change, j->made.k.p[i], target != NULL ? target : "");
	}
	if (r == 0 && ct->pid == j->life)
		put_back(ct, &change);
	pairs_done(&change);
}

/* The links are there: the write is done as if they always had been. */
static void write_again(struct links_job *j)
{
	struct engine *e = j->e;
	struct err err = {};
	struct ct *ct;
	int r;

	e->links.now = j;
	r = engine_write(e, &j->who, j->cookie, &j->node, &j->value, &err);
	e->links.now = NULL;
	ct = ct_find(e, j->ct);
	if (r < 0 && ct != NULL && ct_is_alive(ct))
		take_back(j, ct);
	if (r != ENGINE_PENDING && !j->unheard)
		e->events->done(e->events_arg, j->cookie, r, NULL, 0);
}

static void job_end(struct links_job *j, const struct err *err)
{
	struct engine *e = j->e;

	unlist(j);
	if (err->no == 0 && !j->alone) {
		write_again(j);
	} else if (!j->alone) {
		engine_note_error(e, &j->who, &j->node, err);
		if (!j->unheard)
			e->events->done(e->events_arg, j->cookie, -err->no, NULL, 0);
	}
	job_free(j);
}

static void ended(void *arg, uint32_t events UNUSED)
{
	struct links_job *j = arg;
	const struct ct *ct = ct_find(j->e, j->ct);
	struct err err = {};

	if (ct == NULL)
		err_set(&err, ERR_ContainerDoesNotExist, "the container is gone");
	else
		(void)spawn_links_result(&j->task, ct, &err);
	job_end(j, &err);
}

static void too_late(void *arg)
{
	struct links_job *j = arg;
	const struct ct *ct = ct_find(j->e, j->ct);
	struct err err = {};

	(void)proc_signal(j->task.pidfd, SIGKILL);
	err_set_no(&err, ERR_Unknown, ETIMEDOUT, "symlink: the file system in container %s does not answer", ct != NULL ? ct->name : "?");
	job_end(j, &err);
}

static int begin(struct links_job *j, struct ct *ct, const struct pairs *links, struct err *err)
{
	int r = spawn_links(ct, links, &j->task, err);

	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < links->k.n; i++)
		r = pairs_set(&j->made, links->k.p[i], links->v.p[i]);
	j->watch = (struct loop_fd){ .fd = j->task.pidfd, .fn = ended, .arg = j };
	j->deadline = (struct loop_timer){ .fn = too_late, .arg = j };
	if (r == 0)
		r = loop_add(j->e->loop, &j->watch, EPOLLIN);
	if (r == 0)
		r = loop_after(j->e->loop, &j->deadline, LINKS_NSEC);
	if (r < 0) {
		(void)proc_signal(j->task.pidfd, SIGKILL);
		return err_sys(err, -r, "symlink");
	}
	j->next = j->e->links.jobs;
	j->e->links.jobs = j;
	return 0;
}

static struct links_job *job_new(struct ct *ct)
{
	struct links_job *j = calloc(1, sizeof(*j));

	if (j != NULL)
		*j = (struct links_job){ .e = ct->e, .ct = ct->id, .life = ct->pid, .task = { -1, -1 } };
	return j;
}

/* Nobody waits for it, and it can't be helped if it fails. */
static void put_back(struct ct *ct, const struct pairs *links)
{
	struct links_job *j;

	if (links->k.n == 0 || ct->state == CT_PAUSED || job_of(ct) != NULL || cg_frozen(ct->e->cgroups, ct_home_cg(ct)))
		return;
	j = job_new(ct);
	if (j == NULL)
		return;
	j->alone = true;
	if (begin(j, ct, links, NULL) < 0)
		job_free(j);
}

void links_restore(struct ct *ct, const union value *before)
{
	struct pairs change = {};

	if (ct_is_alive(ct) && ct->e->links.now == NULL && !type_links.equal(&ct->val[PROP_symlink], before) &&
	    difference(&ct->val[PROP_symlink].m, &before->m, &change) == 0)
		put_back(ct, &change);
	pairs_done(&change);
}

/* ---- the write that waits ---- */

bool links_wanted(const struct engine *e)
{
	return e->links.wanted.k.n > 0;
}

static int keep_call(struct links_job *j, const struct engine_node *n, const struct engine_value *value)
{
	j->node = *n;
	j->value = *value;
	j->buf = malloc(value->len + 1);
	if (j->buf == NULL)
		return -ENOMEM;
	memcpy(j->buf, value->buf, value->len);
	j->value.buf = j->buf;
	if (n->key == NULL)
		return 0;
	j->key = strdup(n->key);
	j->node.key = j->key;
	return j->key == NULL ? -ENOMEM : 0;
}

int links_begin(struct engine *e, const struct engine_cred *who, uint64_t cookie, const struct engine_node *n,
		const struct engine_value *value, struct err *err)
{
	struct links *l = &e->links;
	struct pairs wanted = l->wanted;
	struct ct *ct = ct_find(e, n->ct);
	struct links_job *j;
	int r;

	l->wanted = (struct pairs){};
	if (value->no_wait) {
		pairs_done(&wanted);
		return err_set_no(err, ERR_ResourceNotAvailable, EAGAIN, "symlink: too many requests are waiting");
	}
	j = ct != NULL ? job_new(ct) : NULL;
	r = j != NULL ? keep_call(j, n, value) : -ENOMEM;
	for (size_t i = 0; r == 0 && l->now != NULL && l->now->life == j->life && i < l->now->made.k.n; i++)
		r = pairs_set(&j->made, l->now->made.k.p[i], l->now->made.v.p[i]);
	if (r < 0) {
		err_sys(err, -r, "symlink");
	} else {
		j->who = *who;
		j->cookie = cookie;
		j->unheard = l->now != NULL && l->now->unheard;
		r = begin(j, ct, &wanted, err);
	}
	pairs_done(&wanted);
	if (r < 0 && j != NULL)
		job_free(j);
	return r < 0 ? r : ENGINE_PENDING;
}

bool links_cancel(struct engine *e, uint64_t cookie)
{
	for (struct links_job *j = e->links.jobs; j != NULL; j = j->next)
		if (!j->alone && j->cookie == cookie) {
			j->unheard = true;
			return true;
		}
	return false;
}

void links_free(struct engine *e)
{
	while (e->links.jobs != NULL) {
		struct links_job *j = e->links.jobs;

		e->links.jobs = j->next;
		(void)proc_signal(j->task.pidfd, SIGKILL);
		job_free(j);
	}
	pairs_done(&e->links.wanted);
}
