#include "engine/device_nodes.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "base/node.h"
#include "base/proc.h"

#define MOUNTINFO_MAX (4u << 20)

static void word(struct text *ops, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void word(struct text *ops, const char *fmt, ...)
{
	char buf[DEVICE_PATH_MAX + 8];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	text_addn(ops, buf, strlen(buf) + 1);
}

void device_op(const struct device *d, struct text *ops)
{
	word(ops, "device");
	word(ops, "%s", d->source);
	word(ops, "%s", d->path);
	word(ops, "%c %d:%u", d->rule.type, d->rule.major, d->node_minor);
	word(ops, "%o", (unsigned)d->mode);
	word(ops, "%u:%u", (unsigned)d->uid, (unsigned)d->gid);
}

static struct node node_of(const struct device *d)
{
	return (struct node){ .block = d->rule.type == 'b', .major = (unsigned)d->rule.major, .minor = d->node_minor,
			      .mode = d->mode, .uid = d->uid, .gid = d->gid };
}

static bool same_node(const struct device *a, const struct device *b)
{
	return strcmp(a->path, b->path) == 0 && a->rule.type == b->rule.type && a->rule.major == b->rule.major &&
	       a->node_minor == b->node_minor && a->mode == b->mode && a->uid == b->uid && a->gid == b->gid;
}

static bool is_in(const struct device_set *set, const struct device *d)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->d[i].source[0] != '\0' && same_node(&set->d[i], d))
			return true;
	return false;
}

/* "36 35 98:0 / /dev rw - tmpfs tmpfs": the type of the mount with that number. */
static bool mount_is_tmpfs(pid_t pid, long id)
{
	autotext struct text info = {};
	char path[48];

	snprintf(path, sizeof(path), "/proc/%d/mountinfo", (int)pid);
	if (file_read(AT_FDCWD, path, MOUNTINFO_MAX, &info) < 0)
		return false;
	for (char *line, *rest = info.p; (line = strsep(&rest, "\n"));) {
		const char *type = strstr(line, " - ");

		if (atol(line) == id && type != NULL)
			return strncmp(type, " - tmpfs ", 9) == 0;
	}
	return false;
}

/* Which mount a descriptor is on, without asking its filesystem anything. */
static long mount_of(int fd)
{
	char path[48], buf[512];
	const char *line;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	if (file_read_small(AT_FDCWD, path, buf, sizeof(buf)) < 0)
		return -1;
	line = strstr(buf, "mnt_id:");
	return line != NULL ? atol(line + 7) : -1;
}

/*
 * The container's /dev as its processes see it. They may have mounted there what waits for ever when it is asked: only the tmpfs
 * that porto-init made, or one like it, is touched.
 */
static int open_dev(const struct ct *ct)
{
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS };
	char path[40];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/root", (int)ct->pid);
	autoclose int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0 || ct->pidfd < 0 || proc_signal(ct->pidfd, 0) < 0)
		return -ESRCH;
	fd = (int)syscall(SYS_openat2, root, "dev", &how, sizeof(how));
	if (fd < 0)
		return -errno;
	if (mount_is_tmpfs(ct->pid, mount_of(fd)))
		return fd;
	close(fd);
	return -ENOTSUP;
}

int device_nodes_change(struct ct *ct, const struct device_set *old, const struct device_set *new, struct err *err)
{
	autoclose int dev = ct->pid > 0 ? open_dev(ct) : -ESRCH;
	int r = 0;

	if (dev == -ESRCH) /* it has just ended */
		return 0;
	if (dev < 0)
		return err_sys(err, -dev, "devices: /dev of container %s", ct->name);
	for (size_t i = 0; i < old->n; i++)
		if (old->d[i].source[0] != '\0' && !is_in(new, &old->d[i])) {
			struct node n = node_of(&old->d[i]);

			(void)node_remove(dev, old->d[i].path + strlen("/dev/"), &n);
		}
	for (size_t i = 0; r == 0 && i < new->n; i++)
		if (new->d[i].source[0] != '\0' && !is_in(old, &new->d[i])) {
			struct node n = node_of(&new->d[i]);

			r = node_make(dev, new->d[i].path + strlen("/dev/"), &n);
			if (r < 0)
				err_sys(err, -r, "devices: %s in container %s", new->d[i].path, ct->name);
		}
	return r;
}
