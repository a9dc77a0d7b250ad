#include "engine/sysctl.h"

#include <fnmatch.h>

/* What the kernel keeps by IPC namespace. */
static const char *const ipc[] = {
	"fs.mqueue.msg_default", "fs.mqueue.msg_max",  "fs.mqueue.msgsize_default", "fs.mqueue.msgsize_max", "fs.mqueue.queues_max",
	"kernel.msgmax",         "kernel.msgmnb",      "kernel.msgmni",             "kernel.sem",            "kernel.shm_rmid_forced",
	"kernel.shmall",         "kernel.shmmax",      "kernel.shmmni",
};

/* By network namespace. A parameter that is of the whole host can't be found in a namespace of one's own: masks are safe. */
static const char *const net[] = {
	"net.core.somaxconn",
	"net.ipv4.conf.*",
	"net.ipv4.fwmark_reflect",
	"net.ipv4.icmp_*",
	"net.ipv4.ip_*",
	"net.ipv4.neigh.*",
	"net.ipv4.ping_group_range",
	"net.ipv4.tcp_*",
	"net.ipv4.udp_*",
	"net.ipv6.anycast_src_echo_reply",
	"net.ipv6.auto_flowlabels",
	"net.ipv6.bindv6only",
	"net.ipv6.conf.*",
	"net.ipv6.flowlabel_*",
	"net.ipv6.fwmark_reflect",
	"net.ipv6.icmp.*",
	"net.ipv6.idgen_*",
	"net.ipv6.ip_nonlocal_bind",
	"net.ipv6.neigh.*",
	"net.ipv6.route.*",
	"net.unix.max_dgram_qlen",
};

/* Those of new devices, which are the whole host's. */
static const char *const not_net[] = { "net.ipv4.neigh.default.*", "net.ipv6.neigh.default.*" };

static bool is_one(const char *const *masks, size_t n, const char *key)
{
	for (size_t i = 0; i < n; i++)
		if (fnmatch(masks[i], key, 0) == 0)
			return true;
	return false;
}

/* As sysctl(8): a dot parts, a slash is a dot in a device's name. */
static void swap(char *key)
{
	for (; *key != '\0'; key++)
		*key = *key == '.' ? '/' : *key == '/' ? '.' : *key;
}

/* No way out of /proc/sys: no component that is empty or made of dots alone. */
static bool is_inside(const char *key)
{
	while (*key != '\0') {
		size_t len = strcspn(key, ".");
		if (len == 0 || strspn(key, "/") >= len)
			return false;
		key += len;
		if (*key == '.' && *++key == '\0')
			return false;
	}
	return true;
}

int sysctl_check(const struct pairs *m, bool own_net, bool isolated, struct err *err)
{
	for (size_t i = 0; i < m->k.n; i++) {
		const char *key = m->k.p[i];
		bool is_net = is_one(net, ARRAY_LEN(net), key) && !is_one(not_net, ARRAY_LEN(not_net), key);

		if (!is_inside(key) || (!is_net && !is_one(ipc, ARRAY_LEN(ipc), key)))
			return err_set(err, ERR_Permission, "sysctl: %s is not one that a container may have", key);
		if (is_net && !own_net)
			return err_set(err, ERR_Permission, "sysctl: %s needs a network of its own", key);
		if (!is_net && !isolated)
			return err_set(err, ERR_Permission, "sysctl: %s needs isolate = true", key);
	}
	return 0;
}

int sysctl_paths(const struct pairs *m, struct pairs *ret)
{
	int r = 0;

	for (size_t i = 0; i < m->k.n && r == 0; i++) {
		autofree char *path = strdup(m->k.p[i]);

		if (path == NULL)
			return -ENOMEM;
		swap(path);
		r = pairs_set(ret, path, m->v.p[i]);
	}
	return r;
}

int sysctl_paths_of(const char *text, struct pairs *ret)
{
	union value v = {};
	int r = type_strmap.parse(text, &v);

	if (r < 0)
		return r;
	r = sysctl_paths(&v.m, ret);
	type_strmap.release(&v);
	return r;
}
