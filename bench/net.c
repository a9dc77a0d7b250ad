/*
 * bench/net.c: what a packet costs over one way and another: UDP of 1400 bytes, from namespace and cgroup A to an
 * address, then the same from B, in turns. The time is the sender's, in which the kernel takes a packet through queues
 * and veth to its end. usage: net ROUNDS NS CGROUP ADDRESS NS CGROUP ADDRESS [HOME] NS and CGROUP are paths, or - for
 * the one we are in; HOME is the cgroup directory to return to, if not /sys/fs/cgroup. prints: median ns a packet of A,
 * of B, B - A
 */
#include "bench/bench.h"

#include <arpa/inet.h>
#include <sched.h>
#include <sys/socket.h>

#define PACKETS 200 /* in a turn: short, so that in most of them nobody else has the processor */
#define SIZE    1400
#define PORT    9

struct way {
	const char *ns, *cgroup, *address;
	int fd;
};

static void join(const char *cgroup)
{
	char path[512], pid[16];
	int fd;

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, pid, strlen(pid)) < 0)
		err(1, "%s", path);
	close(fd);
}

/* A socket stays in the namespace and the cgroup in which it was made; we go back to ours. */
static void open_way(struct way *w, const char *home)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), ns = -1;

	if (inet_pton(AF_INET, w->address, &to.sin_addr) != 1)
		errx(2, "not an IPv4 address: %s", w->address);
	if (strcmp(w->ns, "-") != 0) {
		ns = open(w->ns, O_RDONLY | O_CLOEXEC);
		if (ns < 0 || setns(ns, CLONE_NEWNET) < 0)
			err(1, "%s", w->ns);
		close(ns);
	}
	if (strcmp(w->cgroup, "-") != 0)
		join(w->cgroup);
	w->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (w->fd < 0 || connect(w->fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		err(1, "%s", w->address);
	if (strcmp(w->cgroup, "-") != 0)
		join(home);
	if (setns(own, CLONE_NEWNET) < 0)
		err(1, "own namespace");
	close(own);
}

/* Nobody listens there: an answer of that kind is no failure. */
static double time_way(const struct way *w)
{
	static char buf[SIZE];
	double start = now_usec();

	for (int i = 0; i < PACKETS; i++)
		if (send(w->fd, buf, sizeof(buf), 0) < 0 && errno != ECONNREFUSED)
			err(1, "send to %s", w->address);
	return (now_usec() - start) * 1000 / PACKETS;
}

int main(int argc, char **argv)
{
	struct way a, b;
	double *times_a, *times_b, ma, mb;
	const char *home;
	size_t n;

	if (argc != 8 && argc != 9)
		errx(2, "usage: net ROUNDS NS CGROUP ADDRESS NS CGROUP ADDRESS [HOME]");
	n = count_argument(argv[1]);
	a = (struct way){ argv[2], argv[3], argv[4], -1 };
	b = (struct way){ argv[5], argv[6], argv[7], -1 };
	home = argc == 9 ? argv[8] : "/sys/fs/cgroup";
	open_way(&a, home);
	open_way(&b, home);
	times_a = calloc(n, sizeof(*times_a));
	times_b = calloc(n, sizeof(*times_b));
	if (!times_a || !times_b)
		err(1, NULL);
	time_way(&a);
	time_way(&b);
	for (size_t i = 0; i < n; i++) {
		times_a[i] = time_way(&a);
		times_b[i] = time_way(&b);
	}
	ma = median(times_a, n);
	mb = median(times_b, n);
	printf("%.0f %.0f %.0f\n", ma, mb, mb - ma);
	free(times_a);
	free(times_b);
	close(a.fd);
	close(b.fd);
	return 0;
}
