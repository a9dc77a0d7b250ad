/* Which kernel parameters a container may have. */
#include "engine/sysctl.h"
#include "tests/unit/unit.h"

static const struct {
	const char *key;
	bool net, ipc;
	const char *path; /* if it is allowed */
} rows[] = {
	{ "net.ipv4.ip_forward", true, false, "net/ipv4/ip_forward" },
	{ "net.ipv4.tcp_keepalive_time", true, false, "net/ipv4/tcp_keepalive_time" },
	{ "net.core.somaxconn", true, false, "net/core/somaxconn" },
	{ "net.ipv6.conf.all.forwarding", true, false, "net/ipv6/conf/all/forwarding" },
	{ "net.ipv4.conf.eth0/1.rp_filter", true, false, "net/ipv4/conf/eth0.1/rp_filter" },
	{ "net.ipv4.neigh.eth0.gc_stale_time", true, false, "net/ipv4/neigh/eth0/gc_stale_time" },
	{ "kernel.shmmax", false, true, "kernel/shmmax" },
	{ "kernel.sem", false, true, "kernel/sem" },
	{ "fs.mqueue.msg_max", false, true, "fs/mqueue/msg_max" },
	{ "net.ipv4.neigh.default.gc_thresh1", false, false, NULL },
	{ "net.ipv6.neigh.default.gc_thresh1", false, false, NULL },
	{ "net.core.rmem_max", false, false, NULL },
	{ "net.ipv4", false, false, NULL },
	{ "net.ipv4.conf.", false, false, NULL },
	{ "net.ipv4.conf..x", false, false, NULL },
	{ "net.ipv4.conf.//.x", false, false, NULL },
	{ "net.ipv4.conf./.x", false, false, NULL },
	{ ".net.ipv4.conf.x", false, false, NULL },
	{ "net/ipv4/ip_forward", false, false, NULL },
	{ "kernel.core_pattern", false, false, NULL },
	{ "kernel.shmmax.x", false, false, NULL },
	{ "kernel.shm*", false, false, NULL },
	{ "vm.overcommit_memory", false, false, NULL },
	{ "", false, false, NULL },
};

int main(void)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct pairs m = {}, paths = {};
		struct err err = {};
		bool ok = pairs_set(&m, rows[i].key, "1") == 0;

		ok = ok && (sysctl_check(&m, true, false, &err) == 0) == rows[i].net;
		ok = ok && (sysctl_check(&m, false, true, &err) == 0) == rows[i].ipc;
		ok = ok && (sysctl_check(&m, true, true, &err) == 0) == (rows[i].path != NULL);
		ok = ok && sysctl_check(&m, false, false, &err) < 0 && err.kind == ERR_Permission;
		unit_ok(ok, "'%s' %s", rows[i].key, rows[i].net ? "needs a network" : rows[i].ipc ? "needs isolate" : "is refused");
		if (rows[i].path && sysctl_paths(&m, &paths) == 0)
			unit_str(paths.k.p[0], rows[i].path, "its path");
		pairs_done(&m);
		pairs_done(&paths);
	}
	return unit_end();
}
