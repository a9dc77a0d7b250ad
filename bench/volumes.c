/*
 * bench/volumes.c: overlay volumes through the tree, with plain system calls.
 * usage: volumes cycle ROOT ROUNDS PROPERTIES BARE   made and destroyed, beside an overlay mounted and unmounted in BARE, which has
 *                                                    lower1, lower2, upper, work and target: median usec of both, ratio
 *        volumes many ROOT COUNT PROPERTIES          usec for one of the first and of the last tenth of so many, and, once all
 *                                                    are there, for a read of .volumes/list; all are destroyed again
 */
#include <sys/mount.h>

#include "bench/bench.h"

static int dir; /* the mounted tree */

/* The number of a new volume. */
static unsigned make(const char *properties)
{
	int fd = openat(dir, ".volumes/create", O_RDWR | O_CLOEXEC);
	char buf[4200];
	ssize_t n = fd < 0 || write(fd, properties, strlen(properties)) < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);

	if (n <= 0)
		err(1, ".volumes/create");
	close(fd);
	buf[n] = 0;
	return (unsigned)atoi(buf);
}

static void unmake(unsigned id)
{
	char name[64];
	int fd;

	snprintf(name, sizeof(name), ".volumes/%u/state", id);
	fd = openat(dir, name, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "destroy\n", 8) != 8)
		err(1, "%s", name);
	close(fd);
}

static void bare(const char *at)
{
	char target[4200], options[17000];

	snprintf(target, sizeof(target), "%s/target", at);
	snprintf(options, sizeof(options), "lowerdir=%s/lower1:%s/lower2,upperdir=%s/upper,workdir=%s/work", at, at, at, at);
	if (mount("overlay", target, "overlay", MS_NODEV | MS_NOSUID, options) < 0 || umount(target) < 0)
		err(1, "overlay at %s", target);
}

static int cycle(size_t n, const char *properties, const char *at)
{
	double *ours = calloc(n, sizeof(*ours)), *theirs = calloc(n, sizeof(*theirs)), start;

	if (!ours || !theirs)
		err(1, NULL);
	for (size_t i = 0; i < n; i++) {
		start = now_usec();
		unmake(make(properties));
		ours[i] = now_usec() - start;
		start = now_usec();
		bare(at);
		theirs[i] = now_usec() - start;
	}
	print_pair(ours, theirs, n);
	free(ours);
	free(theirs);
	return 0;
}

static double time_list(void)
{
	double start = now_usec();
	char buf[65536];
	int fd = openat(dir, ".volumes/list", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		err(1, ".volumes/list");
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		;
	close(fd);
	return now_usec() - start;
}

static int many(size_t n, const char *properties)
{
	unsigned *id = calloc(n, sizeof(*id));
	double *took = calloc(n, sizeof(*took)), start, list;
	size_t tenth = n / 10 ? n / 10 : 1;

	if (!id || !took)
		err(1, NULL);
	for (size_t i = 0; i < n; i++) {
		start = now_usec();
		id[i] = make(properties);
		took[i] = now_usec() - start;
	}
	list = time_list();
	for (size_t i = 0; i < n; i++)
		unmake(id[i]);
	printf("%.1f %.1f %.1f\n", median(took, tenth), median(took + n - tenth, tenth), list);
	free(id);
	free(took);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 5)
		errx(2, "usage: volumes cycle ROOT ROUNDS PROPERTIES BARE, volumes many ROOT COUNT PROPERTIES");
	dir = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		err(1, "%s", argv[2]);
	if (strcmp(argv[1], "cycle") == 0 && argc == 6)
		return cycle(count_argument(argv[3]), argv[4], argv[5]);
	return many(count_argument(argv[3]), argv[4]);
}
