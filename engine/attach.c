/* attach: a process that runs elsewhere moves into a container. */
#include <fcntl.h>
#include <stdio.h>

#include "base/fd.h"
#include "engine/access.h"
#include "engine/cred.h"
#include "engine/run.h"

/* "PID [COMM]" or "thread TID [COMM]": spec/STATES.md 3, attach. */
int attach_process(struct change *c)
{
	char comm[64], path[64], word[64] = "";
	struct ct *ct = c->ct, *home, *mine;
	bool thread = strncmp(c->text, "thread ", 7) == 0;
	pid_t main_pid = 0;
	int pid, n;

	n = sscanf(c->text + (thread ? 7 : 0), "%d %63s", &pid, word);
	if (n < 1 || pid <= 0)
		return err_set(c->err, ERR_InvalidValue, "attach: '%.100s': expected PID [COMM] or thread TID [COMM]", c->text);
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	home = cred_home(ct->e, pid);
	mine = cred_caller(ct->e, c->who);
	if ((!ct_is_root(mine) && (ct_is_root(home) || !access_shows(ct->e, c->who, home))) ||
	    file_read_small(AT_FDCWD, path, comm, sizeof(comm)) < 0)
		return err_set(c->err, ERR_InvalidValue, "attach: no process %d", pid);
	if (n == 2 && strcmp(comm, word) != 0)
		return err_set(c->err, ERR_InvalidValue, "attach: process %d is %s, not %s", pid, comm, word);
	if (ct->state != CT_RUNNING && ct->state != CT_META)
		return err_set(c->err, ERR_InvalidState, "attach: container %s is %s", ct->name, ct_state_names[ct->state]);
	for (struct ct *it = ct; it != home; it = it->parent) {
		if (it == NULL || it->parent == NULL)
			return err_set(c->err, ERR_Permission, "attach: %s is not below the container of process %d", ct->name, pid);
		if (ct_isolated(it))
			return err_set(c->err, ERR_InvalidState, "attach: container %s is isolated: only one with isolate=false takes processes from outside", it->name);
	}
	if (home == ct)
		return 0;
	if (!ct_is_root(home)) {
		if ((home == mine ? cred_check_user(home, c->who, c->err) : cred_check_owner(home, c->who, c->err)) < 0)
			return -EACCES;
		if (pid == home->pid || (task_main_pid(home, &main_pid) == 0 && pid == main_pid))
			return err_set(c->err, ERR_Busy, "attach: process %d is the main process of %s", pid, home->name);
	} else if (c->who->uid != 0) {
		return err_set(c->err, ERR_Permission, "attach: only root moves a process of the host");
	}
	return cg_attach(ct->e->cgroups, &ct->cg, pid, thread, c->err);
}
