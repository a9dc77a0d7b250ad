/* Setting up a container's network, and taking it down, in threads. */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/spawn.h"
#include "engine/net.h"
#include "engine/run.h"
#include "engine/save.h"

#define WAITING 1 /* loop_work_for: those that may take long */

struct net_job {
	struct engine *e;
	struct netctl *ctl;
	uint32_t ct;
	bool down;                 /* else up */
	/* of up, all its own: the container may change or go meanwhile */
	char *name, *hostname, *script;
	struct text net, ip_text, labels;
	struct net_spec spec;
	struct net_ifaddrs ip, gw;
	struct net_ports ports;
	union value maps[3];
	struct net_limits_kept limits;
	struct net_request req;
	int ns_fd, cancel_fd;
	/* what the process is told afterwards */
	struct text ops;
	int ops_write;
	/* the answer */
	struct net_ifaddrs got;
	int result;
	struct err err;
};

static void job_free(struct net_job *j)
{
	if (j == NULL)
		return;
	net_spec_done(&j->spec);
	net_ifaddrs_done(&j->ip);
	net_ifaddrs_done(&j->gw);
	net_ifaddrs_done(&j->got);
	net_ports_done(&j->ports);
	net_limits_done(&j->limits);
	for (size_t i = 0; i < ARRAY_LEN(j->maps); i++)
		type_ratemap.release(&j->maps[i]);
	text_done(&j->net);
	text_done(&j->ip_text);
	text_done(&j->labels);
	text_done(&j->ops);
	if (j->ns_fd >= 0)
		close(j->ns_fd);
	if (j->cancel_fd >= 0)
		close(j->cancel_fd);
	if (j->ops_write >= 0)
		close(j->ops_write);
	free(j->name);
	free(j->hostname);
	free(j->script);
	free(j);
}

int net_ns_of(const struct ct *ct)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)ct->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (ct->pidfd < 0 || proc_is_gone(ct->pidfd)) { /* the number may be somebody else's */
		close(fd);
		return -ESRCH;
	}
	return fd;
}

/* ---- the script ---- */

static void add_var(struct strv *v, const char *name, const char *value)
{
	autotext struct text t = {};

	text_addf(&t, "%s=%s", name, value);
	(void)strv_add(v, text_str(&t));
}

/* network.ifup_script with what it may want to know: spec/NETWORK.md 8. Its failure is that of the start. */
static int run_script(struct net_job *j)
{
	autostrv struct strv argv = {};
	autotext struct text tx = {}, rx = {}, host = {};
	struct spawn_fd fd = { .fd = j->ns_fd, .at = 3 };
	struct spawn_wait how = { .cancel_fd = j->cancel_fd, .deadline = clock_mono() + NET_PROGRAM_TIMEOUT, .out_fd = -1 };
	int status = 0, r;
	pid_t pid;

	if (j->script[0] == '\0')
		return 0;
	type_ratemap.format(&j->maps[0], &tx);
	type_ratemap.format(&j->maps[1], &rx);
	(void)strv_add(&argv, "env");
	add_var(&argv, "PORTO_CONTAINER", j->name);
	add_var(&argv, "PORTO_LABELS", text_str(&j->labels));
	add_var(&argv, "PORTO_NET", text_str(&j->net));
	add_var(&argv, "PORTO_IP", text_str(&j->ip_text));
	add_var(&argv, "PORTO_NET_LIMIT", text_str(&tx));
	add_var(&argv, "PORTO_NET_RX_LIMIT", text_str(&rx));
	add_var(&argv, "PORTO_NETNS_FD", "/proc/self/fd/3");
	for (size_t i = 0; i < j->spec.n; i++)
		if (net_dev_host_name(j->ctl, j->ct, j->spec.devs[i].name, &host) == 0) {
			add_var(&argv, "PORTO_L3_IFACE", text_str(&host));
			break;
		}
	if (strv_add(&argv, j->script) < 0)
		return err_sys(&j->err, ENOMEM, "network.ifup_script");
	r = spawn_leader((const char *const *)argv.p, &fd, 1, &pid);
	if (r == 0)
		r = spawn_wait(pid, &how, &status);
	if (r == -ECANCELED || r == -ETIMEDOUT)
		return err_set_no(&j->err, ERR_Unknown, -r, "network.ifup_script %s: %s", j->script, r == -ECANCELED ? "given up" : "it does not end");
	if (r < 0)
		return err_sys(&j->err, -r, "network.ifup_script %s", j->script);
	if (status != 0)
		return err_set(&j->err, ERR_Unknown, "network.ifup_script %s: it ended with %s %d", j->script,
			       WIFEXITED(status) ? "status" : "signal", WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	return 0;
}

/* ---- in a thread ---- */

static void up(struct net_job *j)
{
	const struct net_ifaddrs *ip;

	net_down(j->ctl, j->ct); /* of an earlier life */
	j->result = net_up(j->ctl, &j->req, &j->got, &j->err);
	if (j->result < 0)
		return;
	ip = j->got.n > 0 ? &j->got : &j->ip;
	if (j->got.n > 0) {
		text_clear(&j->ip_text);
		net_ifaddrs_format(&j->got, &j->ip_text);
	}
	if (j->ports.n > 0)
		j->result = net_publish(j->ctl, j->ct, &j->ports, ip, &j->err);
	if (j->result == 0)
		j->result = run_script(j);
	if (j->result < 0)
		net_down(j->ctl, j->ct);
}

static void work(void *arg)
{
	struct net_job *j = arg;

	if (j->down)
		net_down(j->ctl, j->ct);
	else
		up(j);
}

/* ---- back in the loop ---- */

static int go_on(struct ct *ct, struct net_job *j, struct err *err)
{
	int r;

	free(ct->net_ip);
	ct->net_ip = j->got.n > 0 ? text_take(&j->ip_text) : NULL;
	r = save_ct(ct, 0, 0, err);
	if (r == 0)
		r = spawn_send(j->ops_write, &j->ops, err);
	if (r == 0 && ct->net_changed) { /* limits that were written meanwhile */
		struct net_limits_kept k;

		r = net_limits_of(ct, -1, NULL, &k) < 0 ? err_sys(err, ENOMEM, "net_limit") : net_limits_apply(j->ctl, ct->id, &k.limits, err);
		net_limits_done(&k);
	}
	return r;
}

static void up_done(struct ct *ct, struct net_job *j)
{
	struct err err = {};

	ct->net_up = j->result == 0;
	if (ct->op != OP_START || ct->state != CT_STARTING || ct->op_hard)
		return; /* it is being undone, which has waited for us */
	if (j->result < 0)
		err = j->err;
	if (j->result < 0 || go_on(ct, j, &err) < 0)
		start_fail(ct, &err);
}

static void done(void *arg)
{
	struct net_job *j = arg;
	struct ct *ct = ct_find(j->e, j->ct);

	net_sweep_soon(j->e);
	if (ct != NULL && ct->net_job == j) {
		ct->net_job = NULL;
		if (j->down)
			ct->net_up = false;
		else
			up_done(ct, j);
	}
	job_free(j);
}

/* ---- begin ---- */

static struct net_job *job_new(struct ct *ct)
{
	struct net_job *j = calloc(1, sizeof(*j));

	if (j == NULL)
		return NULL;
	*j = (struct net_job){ .e = ct->e, .ctl = net_ctl(ct->e, NULL), .ct = ct->id, .ns_fd = -1, .cancel_fd = -1, .ops_write = -1 };
	return j;
}

static int copy_words(struct net_job *j, struct ct *ct)
{
	static const int maps[] = { PROP_net_limit, PROP_net_rx_limit, PROP_net_guarantee };
	const char *hostname = ct->val[PROP_hostname].s;

	j->name = strdup(ct->name);
	j->script = strdup(ct->e->conf->network_ifup_script);
	if (hostname != NULL && hostname[0] != '\0')
		j->hostname = strdup(hostname);
	type_list.format(&ct->val[PROP_net], &j->net);
	type_list.format(&ct->val[PROP_ip], &j->ip_text);
	type_labels.format(&ct->val[PROP_labels], &j->labels);
	for (size_t i = 0; i < ARRAY_LEN(maps); i++)
		if (type_ratemap.copy(&ct->val[maps[i]], &j->maps[i]) < 0)
			return -ENOMEM;
	if (j->name == NULL || j->script == NULL || text_ok(&j->net) < 0 || text_ok(&j->ip_text) < 0)
		return -ENOMEM;
	return 0;
}

static int copy_settings(struct net_job *j, struct ct *ct, struct err *err)
{
	autotext struct text gw = {}, publish = {};
	int r = copy_words(j, ct);

	if (r < 0)
		return err_sys(err, -r, "network of %s", ct->name);
	type_list.format(&ct->val[PROP_default_gw], &gw);
	type_list.format(&ct->val[PROP_publish], &publish);
	r = net_spec_parse(text_str(&j->net), &j->spec, err);
	if (r == 0)
		r = net_ifaddrs_parse(text_str(&j->ip_text), false, &j->ip, err);
	if (r == 0)
		r = net_ifaddrs_parse(text_str(&gw), true, &j->gw, err);
	if (r == 0)
		r = net_ports_parse(text_str(&publish), &j->ports, err);
	return r;
}

/* The limits of the copies: those of the container may change while a thread looks at them. */
static int copy_limits(struct net_job *j, struct ct *ct)
{
	struct ct *copy = calloc(1, sizeof(*copy)); /* only what net_limits_of looks at */
	int r;

	if (copy == NULL)
		return -ENOMEM;
	copy->val[PROP_net_limit] = j->maps[0];
	copy->val[PROP_net_rx_limit] = j->maps[1];
	copy->val[PROP_net_guarantee] = j->maps[2];
	copy->val[PROP_net_tos] = ct->val[PROP_net_tos];
	r = net_limits_of(copy, -1, NULL, &j->limits);
	free(copy);
	return r;
}

static int prepare(struct net_job *j, struct ct *ct, int ns_fd, struct err *err)
{
	int r;

	j->ns_fd = ns_fd;
	r = copy_settings(j, ct, err);
	if (r < 0)
		return r;
	if (ns_fd < 0 && j->spec.mode == NET_INHERITED)
		j->ns_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	else if (ns_fd < 0)
		j->ns_fd = net_ns_of(ct);
	j->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (j->ns_fd < 0 || j->cancel_fd < 0 || copy_limits(j, ct) < 0)
		return err_sys(err, j->ns_fd < 0 ? ESRCH : ENOMEM, "network of %s", ct->name);
	j->req = (struct net_request){
		.id = ct->id, .name = j->name, .ns_fd = j->ns_fd, .spec = &j->spec, .ip = &j->ip, .gw = &j->gw,
		.hostname = j->hostname, .limits = j->limits.limits, .raise = ct->val[PROP_virt_mode].u != VIRT_OS,
		.uid = ct->task_uid, .gid = ct->task_gid, .cancel_fd = j->cancel_fd,
	};
	return 0;
}

/* Routers, scripts and programs are waited for: of those not all threads are taken, others' networks need some. */
static bool may_wait(const struct net_job *j)
{
	bool waits = j->script[0] != '\0' || j->spec.commands.n > 0;

	for (size_t i = 0; i < j->spec.n; i++)
		waits |= j->spec.devs[i].autoconf;
	return waits;
}

int net_begin(struct ct *ct, struct text *ops, int ops_write, int ns_fd, struct err *err)
{
	struct net_job *j = job_new(ct);
	int r;

	if (j == NULL) {
		close(ops_write);
		if (ns_fd >= 0)
			close(ns_fd);
		text_done(ops);
		return err_sys(err, ENOMEM, "network of %s", ct->name);
	}
	j->ops = *ops;
	*ops = (struct text){};
	j->ops_write = ops_write;
	r = prepare(j, ct, ns_fd, err);
	ct->net_job = j;
	ct->net_changed = false;
	if (r == 0) {
		r = loop_work_for(ct->e->loop, may_wait(j) ? WAITING : 0, work, done, j);
		if (r < 0)
			err_sys(err, -r, "network of %s", ct->name);
	}
	if (r < 0) {
		ct->net_job = NULL;
		job_free(j);
	}
	return r;
}

int net_take_down(struct ct *ct)
{
	struct net_job *j = ct->net_job;

	if (j != NULL) {
		if (j->cancel_fd >= 0)
			(void)eventfd_write(j->cancel_fd, 1);
		return -EBUSY;
	}
	if (!ct->net_up) {
		free(TAKE_PTR(ct->net_ip));
		return 0;
	}
	j = job_new(ct);
	if (j == NULL)
		return -EBUSY; /* the next try */
	j->down = true;
	ct->net_job = j;
	if (loop_work(ct->e->loop, work, done, j) < 0) {
		ct->net_job = NULL;
		job_free(j);
	}
	return -EBUSY;
}
