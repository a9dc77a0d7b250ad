/* netctl/cgroup.c, bpf.c, htb.c: what cgroups send and receive is counted exactly and gets its class on the host's device. */
#include "tests/unit/flow_kit.h"

#include <linux/gen_stats.h>
#include <mntent.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "netctl/bpf.h"

#define SIZE 100
#define IP_SIZE (SIZE + 28) /* with the headers of IP and UDP */

static char top[256];  /* our directory in the hierarchy */
static char home[512]; /* where this process was */

static bool find_hierarchy(void)
{
	FILE *f = setmntent("/proc/self/mounts", "r");
	const struct mntent *m;
	char mount[128] = "", buf[512];
	while (f && (m = getmntent(f)))
		if (strcmp(m->mnt_type, "cgroup2") == 0)
			snprintf(mount, sizeof(mount), "%s", m->mnt_dir);
	if (f)
		endmntent(f);
	if (!mount[0])
		return false;
	f = fopen("/proc/self/cgroup", "re");
	while (f && fgets(buf, sizeof(buf), f))
		if (strncmp(buf, "0::", 3) == 0)
			snprintf(home, sizeof(home), "%s%.*s", mount, (int)strcspn(buf + 3, "\n"), buf + 3);
	if (f)
		fclose(f);
	snprintf(top, sizeof(top), "%s/porto-nettest-%d", mount, (int)getpid());
	return home[0];
}

static const char *dir(const char *name)
{
	static char path[2][512];
	static int turn;
	turn = !turn;
	snprintf(path[turn], sizeof(path[turn]), "%s%s%s", top, *name ? "/" : "", name);
	return path[turn];
}

static int open_dir(const char *name)
{
	return open(dir(name), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void join(const char *path)
{
	char file[600], pid[16];
	snprintf(file, sizeof(file), "%s/cgroup.procs", path);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	if (file_write(AT_FDCWD, file, pid) < 0)
		printf("# can't join %s\n", path);
}

/* A socket that belongs to that cgroup. */
static int socket_of(const char *name, int ns)
{
	join(dir(name));
	int fd = socket_in(ns, SOCK_DGRAM);
	join(home);
	return fd;
}

static int add(struct netctl *n, uint32_t id, const char *name)
{
	struct err err = {};
	autoclose int fd = open_dir(name);
	int r = net_cgroup_add(n, id, fd, &err);
	if (r < 0)
		printf("# %s: %s\n", name, err.text);
	return r;
}

static int open_root(struct netctl *n)
{
	struct err err = {};
	autoclose int fd = open_dir("");
	int r = net_cgroup_open(n, fd, &err);
	if (r < 0)
		printf("# %s\n", err.text);
	return r;
}

static void send_from(const char *name, int count)
{
	int fd = socket_of(name, host_ns);
	datagrams(fd, BOX_IP, 9, count, SIZE);
	close(fd);
}

static void counted(struct netctl *n, uint32_t id, uint64_t tx, uint64_t rx, const char *name)
{
	struct net_counts c = {};
	int r = net_cgroup_counts(n, id, &c);
	if (!unit_ok(r == 0 && c.tx_packets == tx && c.tx_bytes == tx * IP_SIZE && c.rx_packets == rx && c.rx_bytes == rx * IP_SIZE, "%s",
		     name))
		printf("# %d: %llu packets, %llu bytes sent, %llu, %llu received\n", r, (unsigned long long)c.tx_packets,
		       (unsigned long long)c.tx_bytes, (unsigned long long)c.rx_packets, (unsigned long long)c.rx_bytes);
}

/* What the kernel calls a cgroup is its directory's inode number, on which net_cgroup_add relies. */
static void test_id(void)
{
	union {
		struct file_handle h;
		char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} u = {.h = {.handle_bytes = MAX_HANDLE_SZ}};
	struct stat st = {};
	uint64_t id = 0;
	int mount;
	bool ok = name_to_handle_at(AT_FDCWD, dir("a"), &u.h, &mount, 0) == 0 && stat(dir("a"), &st) == 0;
	memcpy(&id, u.h.f_handle, sizeof(id));
	unit_ok(ok && id == st.st_ino, "a cgroup's id is its inode number");
}

static void test_counts(struct netctl *n)
{
	unit_int(open_root(n), 0, "programs hang on the root");
	unit_int(open_root(n), 0, "opening twice is fine");
	unit_ok(add(n, 1, "a") == 0 && add(n, 1, "a/leaf") == 0 && add(n, 2, "b") == 0, "three directories of two owners");
	send_from("a", 7);
	send_from("a/leaf", 5);
	counted(n, 1, 12, 0, "what is sent from an owner's directories");
	counted(n, 2, 0, 0, "and nothing for the other");
	send_from("a/leaf/x/y", 3);
	counted(n, 1, 15, 0, "what is sent from directories that nobody owns is the nearest owner's");
	send_from("c", 3);
	counted(n, 1, 15, 0, "what is sent from beside them is nobody's");
	int fd = socket_of("b", host_ns), out = socket_in(box_ns, SOCK_DGRAM);
	receive_at(fd, HOST_IP, 7777);
	datagrams(out, HOST_IP, 7777, 9, SIZE);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	poll(&p, 1, 1000);
	counted(n, 2, 0, 9, "what is received");
	datagrams(fd, "127.0.0.1", 7777, 4, SIZE);
	counted(n, 2, 0, 9, "loopback is not counted");
	close(fd);
	close(out);
	struct net_counts c;
	unit_int(net_cgroup_counts(n, 3, &c), -ENOENT, "who isn't counted has no counts");
}

static void test_heirs(struct netctl *n)
{
	unit_ok(add(n, 3, "b/in") == 0, "an owner below another");
	send_from("b/in", 2);
	counted(n, 3, 2, 0, "is counted alone");
	counted(n, 2, 0, 9, "and not for the one above");
	net_cgroup_del(n, 3, 2);
	counted(n, 2, 2, 9, "its counts go to its heir");
	send_from("b/in", 1);
	counted(n, 2, 3, 9, "as does what its directory sends later");
	unit_ok(add(n, 4, "b/in") == 0, "the place is taken again");
	counted(n, 4, 0, 0, "with counts of its own");
	net_cgroup_del(n, 4, 0);
	net_cgroup_del(n, 4, 0);
	net_cgroup_del(n, 99, 2);
	counted(n, 2, 3, 9, "deleting twice, or strangers, changes nothing");
}

static int programs_on(const char *name)
{
	uint32_t ids[BPF_QUERY_MAX], flags;
	autoclose int fd = open_dir(name);
	return bpf_attached(fd, BPF_CGROUP_INET_EGRESS, ids, &flags);
}

static void test_restart(struct netctl *n)
{
	netctl_end(n);
	send_from("a", 1);
	netctl_begin(n);
	unit_int(open_root(n), 0, "opened by the next daemon");
	unit_int(programs_on(""), 1, "which leaves one program there");
	unit_ok(add(n, 1, "a") == 0 && add(n, 2, "b") == 0, "owners come back");
	counted(n, 1, 16, 0, "with their counts, and what was sent in between");
	counted(n, 2, 3, 9, "the other as well");
	send_from("a/leaf", 1);
	counted(n, 1, 17, 0, "directories that were not added again still count");
}

/* A program in an owner's directory, as root inside could attach, that says: whatever comes, priority 77. */
static int rival(const char *name)
{
	struct bpf_code *c = calloc(1, sizeof(*c));
	autoclose int fd = open_dir(name);
	bpf_op(c, BPF_ALU64 | BPF_MOV | BPF_K, 2, 0, 0, 77);
	bpf_op(c, BPF_STX | BPF_MEM | BPF_W, 1, 2, offsetof(struct __sk_buff, priority), 0);
	bpf_op(c, BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 1);
	bpf_op(c, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	int prog = bpf_prog_load(c, "rival", BPF_PROG_TYPE_CGROUP_SKB, BPF_CGROUP_INET_EGRESS);
	free(c);
	if (prog < 0)
		return prog;
	int r = bpf_attach(fd, prog, -1, BPF_CGROUP_INET_EGRESS);
	close(prog);
	return r;
}

struct class_stats {
	uint32_t classid;
	uint64_t packets;
	int classes;
};

static int take_class(void *arg, struct nlmsghdr *h)
{
	const struct tcmsg *tc = nlmsg_data(h);
	struct class_stats *s = arg;
	struct nlattr *stats = nlmsg_find_attr(h, sizeof(*tc), TCA_STATS2), *a;
	struct gnet_stats_basic basic = {};
	s->classes++;
	if (tc->tcm_handle != s->classid || !stats || !(a = nla_find(nla_data(stats), nla_len(stats), TCA_STATS_BASIC)))
		return 0;
	nla_memcpy(&basic, a, sizeof(basic));
	s->packets = basic.packets;
	return 0;
}

static struct class_stats class_stats(uint32_t classid)
{
	struct class_stats s = {.classid = classid};
	struct tcmsg tc = {.tcm_ifindex = index_of(host_ns, "out")};
	autonl struct nl nl = {};
	struct err err = {};
	if (nl_open(&nl, NETLINK_ROUTE, host_ns, &err) < 0 || nl_list(&nl, RTM_GETTCLASS, &tc, sizeof(tc), take_class, &s, &err) < 0)
		printf("# %s\n", err.text);
	return s;
}

static int limit(struct netctl *n, uint32_t id, uint32_t parent, const char *key, uint64_t rate)
{
	struct net_rate tx = {key, rate};
	struct net_limits limits = {.tx = {&tx, rate ? 1 : 0}, .tos = 2};
	struct err err = {};
	int r = net_class_apply(n, id, parent, &limits, &err);
	if (r < 0)
		printf("# %s\n", err.text);
	return r;
}

static void passed(uint32_t classid, uint64_t want, const char *name)
{
	struct class_stats s = class_stats(classid);
	if (!unit_ok(s.packets == want, "%s", name))
		printf("# %llu packets in class %x, not %llu\n", (unsigned long long)s.packets, classid, (unsigned long long)want);
}

static void test_classes(struct netctl *n)
{
	unit_int(net_class_id(n, 1), 0, "no class before");
	unit_int(class_stats(0).classes, 0, "no tree either");
	unit_int(limit(n, 1, 0, "CS2", 100 << 20), 0, "a limit for the class of its net_tos");
	uint32_t one = net_class_id(n, 1);
	unit_ok(one != 0, "gives it a class");
	unit_int(class_stats(0).classes, 4, "the tree has the top, the others' and two of the owner");
	send_from("a", 5);
	send_from("a/leaf/x/y", 2);
	passed(one, 7, "what it sends is in its class");
	uint32_t others = (one & 0xffff0000) | 8;
	send_from("b", 3);
	uint64_t before = class_stats(others).packets;
	send_from("b", 3);
	passed(others, before + 3, "who has none is with the others");
	unit_int(rival("a"), 0, "a program is attached further down");
	send_from("a", 4);
	passed(one, 11, "and doesn't get in the way");
	unit_ok(add(n, 5, "a/in") == 0 && add(n, 6, "a/in/in") == 0, "owners below");
	unit_int(limit(n, 5, 1, "out", 50 << 20), 0, "with a limit");
	uint32_t two = net_class_id(n, 5);
	unit_ok(two && two != one, "a class of its own");
	unit_int(limit(n, 6, 5, "out", 0), 0, "without one");
	unit_int((long long)net_class_id(n, 6), (long long)two, "the class above");
	send_from("a/in", 6);
	send_from("a/in/in", 1);
	passed(two, 7, "both are in it");
	unit_int(limit(n, 5, 1, "out", 0), 0, "the limit in the middle goes");
	unit_ok(net_class_id(n, 5) == one && net_class_id(n, 6) == one, "both share the class further up");
	send_from("a/in/in", 1);
	passed(one, 12, "what they send is there");
	unit_int(limit(n, 6, 5, "gr*", 5), 0, "a limit for another device");
	uint32_t three = net_class_id(n, 6);
	send_from("a/in/in", 1);
	passed(three, 1, "has a class here too");
}

/* HTB has room for six levels of owners: more can't be had, below or in between. */
static void test_depth(struct netctl *n)
{
	for (uint32_t i = 0; i < 6; i++)
		unit_int(limit(n, 20 + i, i ? 19 + i : 0, "out", 30 << 20), 0, "an owner below the last");
	unit_ok(net_class_id(n, 25) != net_class_id(n, 24), "the sixth has a class of its own");
	unit_int(limit(n, 26, 25, "out", 1 << 20), -EOPNOTSUPP, "the seventh is refused");
	unit_int(limit(n, 26, 25, "out", 0), 0, "without a limit it may be there");
	unit_ok(net_class_id(n, 26) == net_class_id(n, 25), "and shares the class above");
	unit_int(limit(n, 19, 0, "out", 30 << 20), 0, "one beside them");
	unit_int(limit(n, 20, 19, "out", 30 << 20), -EOPNOTSUPP, "can't come above them");
	unit_int(class_stats(0).classes, 2 + 2 * 7, "they have what they had");
	unit_int(limit(n, 22, 0, "out", 30 << 20), 0, "the third becomes a first");
	struct err err = {};
	unit_int(class_repair(n, &err), 0, "the trees are whole");
	for (uint32_t id = 26; id >= 19; id--)
		class_drop(n, id);
	unit_int(class_stats(0).classes, 0, "and go with the last");
}

static void test_classes_restart(struct netctl *n)
{
	uint32_t one = net_class_id(n, 1);
	struct err err = {};
	netctl_end(n);
	netctl_begin(n);
	unit_int(open_root(n), 0, "the daemon comes back");
	unit_int(add(n, 1, "a"), 0, "and the owner");
	send_from("a", 1);
	passed(one, 13, "its class is there already");
	unit_int(limit(n, 1, 0, "CS2", 10 << 20), 0, "the limit is set again");
	unit_int((long long)net_class_id(n, 1), (long long)one, "the class is the same");
	send_from("a", 1);
	passed(one, 14, "and has not been made anew");
	unit_int(class_repair(n, &err), 0, "a minute later");
	unit_int(class_repair(n, &err), 0, "or two");
	unit_int(class_stats(0).classes, 4, "classes of those that didn't come back are gone");
	struct nl_batch b = {};
	struct tcmsg tc = {.tcm_ifindex = index_of(host_ns, "out"), .tcm_parent = TC_H_ROOT};
	nl_add(&b, RTM_DELQDISC, 0, &tc, sizeof(tc), "root");
	unit_ok(run(host_ns, &b) && class_repair(n, &err) == 0, "a tree that somebody removed");
	unit_int(class_stats(0).classes, 4, "is put back");
	unit_int(limit(n, 1, 0, "CS2", NET_RATE_NOTHING), 0, "a rate of 1");
	int to = socket_in(box_ns, SOCK_DGRAM);
	struct pollfd p = {.fd = to, .events = POLLIN};
	receive_at(to, BOX_IP, 9);
	send_from("a", 5);
	unit_int(poll(&p, 1, 200), 0, "lets nothing through");
	send_from("b", 1);
	unit_int(poll(&p, 1, 5000), 1, "of that owner alone");
	close(to);
	net_cgroup_del(n, 1, 0);
	unit_int(class_stats(0).classes, 0, "the tree goes with the last owner");
}

static void test_rates(struct netctl *n)
{
	unit_int(add(n, 1, "a"), 0, "an owner again");
	unit_int(limit(n, 1, 0, "default", 2 << 20), 0, "with 2 MiB/s");
	join(dir("a"));
	double got = (double)flow(host_ns, box_ns, BOX_IP, 5001, 1.5) / 1.5;
	join(home);
	printf("# %.0f bytes a second\n", got);
	unit_ok(got < 8 << 20 && got > 1 << 19, "it keeps to it");
	double others = (double)flow(host_ns, box_ns, BOX_IP, 5002, 0.3) / 0.3;
	unit_ok(others > 20 << 20, "others don't");
	net_cgroup_del(n, 1, 0);
}

/* The second device can't have classes: the first has none either. */
static void test_busy(struct netctl *n)
{
	unit_ok(veth_add("out2", 0, "eth2"), "another device");
	struct nl_batch b = {};
	struct tcmsg tc = {.tcm_ifindex = index_of(host_ns, "out2"), .tcm_parent = TC_H_ROOT, .tcm_handle = 0x70000};
	struct err err = {};
	shape_add(&b, tc.tcm_ifindex, TC_H_ROOT, tc.tcm_handle, 1 << 30, 1 << 20, 1 << 20, "somebody's tbf");
	unit_ok(run(host_ns, &b) && add(n, 1, "a") == 0, "somebody has a queueing discipline of his own there");
	struct net_rate tx = {"default", 1 << 20};
	struct net_limits limits = {.tx = {&tx, 1}};
	unit_int(net_class_apply(n, 1, 0, &limits, &err), -EBUSY, "it is left alone");
	unit_ok(strstr(err.text, "out2 has"), "and the sentence names the device");
	unit_int((long long)net_class_id(n, 1), 0, "no class is left over");
	unit_int(class_stats(0).classes, 0, "and no tree on the other device");
	unit_int(limit(n, 1, 0, "out", 1 << 20), 0, "a limit for that one alone is fine");
	net_cgroup_del(n, 1, 0);
}

static void test_blocked(void)
{
	struct netctl n;
	struct err err = {};
	netctl_begin(&n);
	struct bpf_code *c = calloc(1, sizeof(*c));
	bpf_op(c, BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 1);
	bpf_op(c, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	int prog = bpf_prog_load(c, "blocker", BPF_PROG_TYPE_CGROUP_SKB, BPF_CGROUP_INET_EGRESS);
	free(c);
	union bpf_attr a = {};
	autoclose int above = open_dir("blocked");
	a.target_fd = (uint32_t)above;
	a.attach_bpf_fd = (uint32_t)prog;
	a.attach_type = BPF_CGROUP_INET_EGRESS;
	long r = syscall(SYS_bpf, BPF_PROG_ATTACH, &a, sizeof(a));
	close(prog);
	unit_int(r, 0, "a program that lets none come below it");
	autoclose int fd = open_dir("blocked/below");
	unit_int(net_cgroup_open(&n, fd, &err), -EOPNOTSUPP, "the programs are refused");
	unit_ok(strstr(err.text, dir("blocked")), "and the sentence names the directory");
	printf("# %s\n", err.text);
	unit_int(limit(&n, 1, 0, "default", 5), -EOPNOTSUPP, "so are classes");
	unit_int(add(&n, 1, "a"), 0, "adding does nothing");
	netctl_end(&n);
}

static const char *const dirs[] = {"", "a", "a/leaf", "a/leaf/x", "a/leaf/x/y", "a/in", "a/in/in", "b", "b/in", "c", "blocked", "blocked/below"};

static void run_all(void)
{
	struct netctl n;
	netctl_begin(&n);
	test_id();
	test_counts(&n);
	test_heirs(&n);
	test_restart(&n);
	test_classes(&n);
	test_classes_restart(&n);
	test_depth(&n);
	test_rates(&n);
	test_busy(&n);
	test_blocked();
	netctl_end(&n);
}

int main(void)
{
	if (geteuid() != 0 || !find_hierarchy() || !net_begin(0)) {
		printf("1..0 # skip needs root, cgroup2 and network namespaces\n");
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		mkdir(dir(dirs[i]), 0755);
	run_all();
	join(home);
	for (size_t i = ARRAY_LEN(dirs); i > 0; i--)
		rmdir(dir(dirs[i - 1]));
	return unit_end();
}
