/* Devices of the host: which carry its own traffic, how fast they are, what their groups are called. */
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "netctl/classes.h"

/* Made to carry what others have already queued, or to lead nowhere. */
static const char *const kinds_unmanaged[] = { "ip6tnl", "vlan", "dummy", "ifb" };

/* HTB counts no preamble, checksum and gap (24 bytes a frame): at less than what the wire carries it, not the device,
 * queues. */
#define SPEED_PERCENT 98u

/* A tun that belongs to nobody is somebody's tunnel, not an owner's tap. */
static bool has_owner(struct nlattr *data)
{
	return data && nla_find(nla_data(data), nla_len(data), IFLA_TUN_OWNER);
}

bool hostdev_is_ours(uint32_t group)
{
	return group == NET_GROUP_LIVE || group == NET_GROUP_DYING || group == NET_GROUP_SWEEP ||
	       group == NET_GROUP_SHAPE;
}

void hostdev_parse(struct nlmsghdr *h, struct net_hostdev *ret)
{
	const struct ifinfomsg *ifi = nlmsg_data(h);
	struct nlattr *a, *info = nlmsg_find_attr(h, sizeof(*ifi), IFLA_LINKINFO), *data = NULL;

	*ret = (struct net_hostdev){ .ifindex = ifi->ifi_index, .up = ifi->ifi_flags & IFF_UP };
	if ((a = nlmsg_find_attr(h, sizeof(*ifi), IFLA_IFNAME)))
		nla_strlcpy(ret->name, a, sizeof(ret->name));
	if ((a = nlmsg_find_attr(h, sizeof(*ifi), IFLA_GROUP)))
		ret->group = nla_get_u32(a);
	if ((a = nlmsg_find_attr(h, sizeof(*ifi), IFLA_MTU)))
		ret->mtu = nla_get_u32(a);
	if (info) {
		if ((a = nla_find(nla_data(info), nla_len(info), IFLA_INFO_KIND)))
			nla_strlcpy(ret->kind, a, sizeof(ret->kind));
		data = nla_find(nla_data(info), nla_len(info), IFLA_INFO_DATA);
	}
	ret->managed = !(ifi->ifi_flags & IFF_LOOPBACK) && !hostdev_is_ours(ret->group);
	for (size_t i = 0; i < ARRAY_LEN(kinds_unmanaged); i++)
		if (strcmp(ret->kind, kinds_unmanaged[i]) == 0)
			ret->managed = false;
	if (strcmp(ret->kind, "tun") == 0 && !has_owner(data))
		ret->managed = false;
}

/* Only what stands for a wire: of others it is a made-up number. The socket says which namespace. */
static uint64_t speed_of(int fd, const struct net_hostdev *d)
{
	struct ethtool_cmd cmd = { .cmd = ETHTOOL_GSET };
	struct ifreq req = {};
	uint32_t mbits;

	if (d->kind[0])
		return 0;
	memcpy(req.ifr_name, d->name, sizeof(req.ifr_name));
	req.ifr_data = (void *)&cmd;
	if (ioctl(fd, SIOCETHTOOL, &req) < 0)
		return 0;
	mbits = (uint32_t)cmd.speed_hi << 16 | cmd.speed; /* the kernel's function shifts into the sign */
	return mbits == 0 || mbits == (uint32_t)SPEED_UNKNOWN || mbits == 0xffff
		       ? 0
		       : (uint64_t)mbits * 1000000 / 8 * SPEED_PERCENT / 100;
}

struct list {
	struct net_hostdev *p;
	size_t n;
	bool failed;
};

static int take(void *arg, struct nlmsghdr *h)
{
	struct list *l = arg;
	struct net_hostdev d, *p;

	if (h->nlmsg_type != RTM_NEWLINK)
		return 0;
	hostdev_parse(h, &d);
	if (!d.managed || !d.up)
		return 0;
	p = reallocarray(l->p, l->n + 1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	l->p = p;
	l->p[l->n++] = d;
	return 0;
}

int hostdev_managed(struct nl *host, struct net_hostdev **ret, struct err *err)
{
	struct ifinfomsg ifi = {};
	struct list l = {};
	int r = nl_list(host, RTM_GETLINK, &ifi, sizeof(ifi), take, &l, err);

	if (r < 0) {
		free(l.p);
		return r == -ENOMEM ? err_sys(err, ENOMEM, "devices of the host") : r;
	}
	for (size_t i = 0; i < l.n; i++)
		l.p[i].speed = speed_of(nl_socket_get_fd(host->sk), &l.p[i]);
	*ret = l.p;
	return (int)l.n;
}

/* ---- groups ---- */

/* Newer iproute2 has its own below /usr. */
static const char *const group_files[] = { "/etc/iproute2/group", "/usr/share/iproute2/group",
					   "/usr/lib/iproute2/group" };

static struct {
	pthread_mutex_t lock;
	struct text text;
	struct timespec changed;
	ino_t ino;
} groups = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void groups_read(void)
{
	for (size_t i = 0; i < ARRAY_LEN(group_files); i++) {
		struct stat st;
		if (stat(group_files[i], &st) < 0)
			continue;
		if (st.st_ino == groups.ino && memcmp(&st.st_mtim, &groups.changed, sizeof(st.st_mtim)) == 0)
			return;
		groups.ino = st.st_ino;
		groups.changed = st.st_mtim;
		text_clear(&groups.text);
		file_read(AT_FDCWD, group_files[i], 65536, &groups.text);
		return;
	}
	text_clear(&groups.text);
	groups.ino = 0;
}

/* Lines "NUMBER NAME"; the number may be hexadecimal. */
static bool group_line(const char *line, uint32_t group, char *buf, size_t size)
{
	char *end;
	unsigned long number = strtoul(line, &end, 0);
	size_t len;

	end += strspn(end, " \t");
	len = strcspn(end, " \t\n#");
	if (end == line || number != group || len == 0 || len >= size)
		return false;
	memcpy(buf, end, len);
	buf[len] = 0;
	return true;
}

void hostdev_group_name(uint32_t group, char *buf, size_t size)
{
	bool found = false;

	pthread_mutex_lock(&groups.lock);
	groups_read();
	for (const char *line = text_str(&groups.text); *line && !found;
	     line += strcspn(line, "\n"), line += *line == '\n')
		found = *line != '#' && group_line(line, group, buf, size);
	pthread_mutex_unlock(&groups.lock);
	if (!found && group == 0)
		snprintf(buf, size, "default");
	else if (!found)
		snprintf(buf, size, "%u", group);
}
