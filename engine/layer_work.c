/*
 * What a job needs of files, in threads: the archive as its client reaches it, the directory of the place, the page on which
 * porto-store says how far it is, and the process itself. At the end: its result, and what is done with what it has made.
 *
 * An export is written under another name beside the one that was asked for, which it gets when it is whole.
 */
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "base/fd.h"
#include "base/mounts.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/spawn.h"
#include "engine/ident.h"
#include "engine/image.h"
#include "engine/layer.h"

#define PAGE_BYTES 4096
#define ARGS_MAX 32u

static bool is_export(const struct sjob *j)
{
	return j->kind == SJ_EXPORT || j->kind == SJ_EXPORT_VOLUME;
}

/* ---- the archive ---- */

/*
 * Opens a path below a root with the client's rights. Others than root are not led through symbolic links, nor to
 * file systems that may not answer.
 */
static int open_below(struct sjob *j, const char *root_path, const char *path, uint64_t flags)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	autoclose int root = open(root_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	autofree char *full = path_join(root_path, path + 1);
	char type[MOUNT_TYPE_MAX];
	long fd;
	int r;

	if (root < 0 || full == NULL)
		return root < 0 ? -errno : -ENOMEM;
	if (j->as.uid != 0) {
		how.resolve |= RESOLVE_NO_SYMLINKS;
		r = mounts_path_answers(full, type);
		if (r == -EREMOTE)
			return r;
	}
	r = ident_take(j->as.uid, j->as.gid, &j->groups);
	if (r < 0)
		return r;
	fd = syscall(SYS_openat2, root, path, &how, sizeof(how));
	r = fd < 0 ? -errno : (int)fd;
	ident_drop(j->as.uid);
	return r;
}

static int path_failed(struct sjob *j, int r, const char *what)
{
	if (r == -ENOENT)
		return err_set_no(&j->err, ERR_InvalidPath, ENOENT, "%s %.200s: there is no such %s", what, j->path,
				  is_export(j) ? "directory" : "file");
	if (r == -EACCES || r == -EPERM)
		return err_set(&j->err, ERR_Permission, "%s %.200s: user %u may not %s", what, j->path, (unsigned)j->as.uid,
			       is_export(j) ? "write there" : "read it");
	if (r == -ELOOP)
		return err_set_no(&j->err, ERR_InvalidPath, ELOOP, "%s %.200s: a symbolic link is on the way", what, j->path);
	if (r == -EREMOTE)
		return err_set(&j->err, ERR_InvalidPath, "%s %.200s: it is on a file system that may not answer", what, j->path);
	return err_sys(&j->err, -r, "%s %.200s", what, j->path);
}

static int open_archive(struct sjob *j)
{
	int fd = open_below(j, j->client_root, j->path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0)
		return path_failed(j, fd, "archive");
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fd;
	/* what lies in it is opened by root */
	if (j->kind == SJ_IMAGE_IMPORT && S_ISDIR(st.st_mode) && j->as.uid == 0)
		return fd;
	close(fd);
	if (j->kind == SJ_IMAGE_IMPORT)
		return err_set(&j->err, ERR_InvalidPath, "archive %.200s: expected a regular file; root may also import a directory", j->path);
	return err_set(&j->err, ERR_InvalidPath, "archive %.200s: expected a regular file", j->path);
}

/* The directory of the archive that is to be written; *name is the rest. */
static int open_target_dir(struct sjob *j, const char **name)
{
	const char *slash = strrchr(j->path, '/');
	autofree char *dir = slash == j->path ? strdup("/") : strndup(j->path, (size_t)(slash - j->path));
	int fd;

	*name = slash + 1;
	if (dir == NULL)
		return err_sys(&j->err, ENOMEM, "archive");
	fd = open_below(j, j->client_root, dir, O_PATH | O_DIRECTORY);
	return fd < 0 ? path_failed(j, fd, "archive") : fd;
}

static void part_name(const struct sjob *j, const char *name, char part[300])
{
	snprintf(part, 300, ".%.150s.part-%u-%llx", name, (unsigned)j->id, (unsigned long long)j->stamp);
}

static int create_archive(struct sjob *j)
{
	const char *name;
	autoclose int dir = open_target_dir(j, &name);
	char part[300];
	struct stat st;
	int fd, r;

	if (dir < 0)
		return dir;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return err_set_no(&j->err, ERR_InvalidValue, EEXIST, "archive %.200s: there is such a file already", j->path);
	part_name(j, name, part);
	r = ident_take(j->as.uid, j->as.gid, &j->groups);
	if (r < 0)
		return err_sys(&j->err, -r, "archive");
	(void)unlinkat(dir, part, 0); /* of a worker that was killed */
	fd = openat(dir, part, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	r = fd < 0 ? -errno : fd;
	ident_drop(j->as.uid);
	return r < 0 ? path_failed(j, r, "archive") : r;
}

/* Whole: it gets its name. Or not: it goes. */
static int finish_archive(struct sjob *j)
{
	const char *name;
	autoclose int dir = open_target_dir(j, &name);
	char part[300];
	int r = 0;

	if (dir < 0)
		return dir;
	part_name(j, name, part);
	if (ident_take(j->as.uid, j->as.gid, &j->groups) < 0)
		return err_sys(&j->err, EPERM, "archive");
	if (j->result == 0 && renameat2(dir, part, dir, name, RENAME_NOREPLACE) < 0)
		r = -errno;
	if (r == -EINVAL && linkat(dir, part, dir, name, 0) == 0) /* file systems without RENAME_NOREPLACE */
		r = 0;
	if (j->result < 0 || r < 0)
		(void)unlinkat(dir, part, 0);
	ident_drop(j->as.uid);
	if (r == -EEXIST)
		return err_set_no(&j->err, ERR_InvalidValue, EEXIST, "archive %.200s: meanwhile there is such a file", j->path);
	return r < 0 ? path_failed(j, r, "archive") : 0;
}

/* ---- the place ---- */

/* In another than the default one somebody makes what he could make by himself. */
static int check_place(struct sjob *j)
{
	autoclose int fd = open_below(j, "/", j->place, O_PATH | O_DIRECTORY);
	int r = fd < 0 ? fd : ident_take(j->as.uid, j->as.gid, &j->groups);

	if (r < 0)
		return err_sys(&j->err, -r, "place %s", j->place);
	r = ident_may(fd, W_OK | X_OK);
	ident_drop(j->as.uid);
	return r < 0 ? err_set(&j->err, ERR_Permission, "place %s: user %u may not write to it", j->place, (unsigned)j->as.uid) : 0;
}

static int open_place(struct sjob *j)
{
	int r = 0;

	/* Of what was in a meta-storage that has gone meanwhile the rest goes with that, which must not come back. */
	if (j->kind == SJ_REMOVE) {
		r = place_dir(j->place, j->sub);
		j->unwanted = r == -ENOENT;
		return r < 0 ? err_sys(&j->err, -r, "%s/%s", j->place, j->sub) : r;
	}
	if (j->is_default_place && mkdir(j->place, 0755) < 0 && errno != EEXIST)
		return err_sys(&j->err, errno, "place %s", j->place);
	if ((j->kind == SJ_IMPORT || (sjob_is_image(j) && j->kind != SJ_IMAGE_SWEEP)) && !j->is_default_place)
		r = check_place(j);
	return r < 0 ? r : place_open(j->place, j->sub, j->porto_gid, &j->err);
}

static void private_name(const struct sjob *j, char name[300])
{
	snprintf(name, 300, "_private_%.200s", j->name);
}

/* Whose it will be, before it is there. */
static int write_private(struct sjob *j, int dir)
{
	char name[300];
	int r;

	private_name(j, name);
	r = file_replace(dir, name, j->private, strlen(j->private), 0600);
	if (r == 0 && fchownat(dir, name, j->owner_uid, j->owner_gid, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	return r < 0 ? err_sys(&j->err, -r, "%s/%s/%s", j->place, j->sub, name) : 0;
}

static int check_new(struct sjob *j, int dir)
{
	struct stat st;

	if (sjob_is_image(j))
		return 0;
	if (fstatat(dir, j->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return j->kind == SJ_IMPORT ? write_private(j, dir) : 0;
	if (j->kind != SJ_IMPORT)
		return 0;
	return err_set(&j->err, j->stored == STORED_LAYER ? ERR_LayerAlreadyExists : ERR_VolumeAlreadyExists, "%s: it is there already", j->name);
}

static int unmount_remains(struct sjob *j, int dir)
{
	char name[300];
	int r;

	snprintf(name, sizeof(name), "_remove_%.250s", j->name);
	r = tree_unmount_below(dir, name);
	return r < 0 ? err_sys(&j->err, -r, "unmounting %s/%s/%s", j->place, j->sub, name) : 0;
}

/* ---- the process ---- */

static int open_page(struct sjob *j)
{
	char name[32], blank[PAGE_BYTES];

	memset(blank, ' ', sizeof(blank));
	snprintf(name, sizeof(name), "%u.page", (unsigned)j->id);
	j->status = openat(j->jobs_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (j->status < 0 || write(j->status, blank, sizeof(blank)) != (ssize_t)sizeof(blank))
		return err_sys(&j->err, j->status < 0 ? errno : ENOSPC, "the page of a job");
	return 0;
}

static size_t arguments(const struct sjob *j, const char **argv)
{
	static const char *const commands[SJ_KINDS] = {
		[SJ_IMPORT] = "import", [SJ_MERGE] = "import", [SJ_EXPORT] = "export", [SJ_EXPORT_VOLUME] = "export-dir", [SJ_REMOVE] = "remove",
	};
	size_t n = 1;

	argv[n++] = commands[j->kind];
	argv[n++] = "--go=7";
	if (j->kind == SJ_MERGE)
		argv[n++] = "--merge";
	if (j->stored == STORED_STORAGE)
		argv[n++] = "--storage";
	if (j->ring != NULL)
		argv[n++] = "--ring=8";
	if (j->format[0] != '\0') {
		argv[n++] = "--format";
		argv[n++] = j->format;
	}
	if (j->kind != SJ_EXPORT_VOLUME) {
		argv[n++] = "--";
		argv[n++] = j->name;
	}
	argv[n] = NULL;
	return n;
}

/* An image's: the options it was given, the directory if it is one. */
static void image_arguments(const struct sjob *j, bool is_dir, const char **argv)
{
	static const char *const commands[SJ_KINDS] = {
		[SJ_IMAGE_IMPORT] = "image-import", [SJ_IMAGE_PULL] = "image-pull", [SJ_IMAGE_REMOVE] = "image-remove", [SJ_IMAGE_SWEEP] = "image-sweep",
	};
	size_t n = 1;

	argv[n++] = "--go";
	argv[n++] = "7";
	argv[n++] = commands[j->kind];
	if (is_dir)
		argv[n++] = "--dir";
	for (size_t i = 0; i < j->words.n && n < ARGS_MAX - 3; i++)
		argv[n++] = j->words.p[i];
	argv[n++] = "--";
	if (j->name[0] != '\0')
		argv[n++] = j->name;
	argv[n] = NULL;
}

/* A secret is no argument, which everybody can see: a file without a name. */
static int token_file(const struct sjob *j)
{
	autoclose int fd = memfd_create("token", MFD_CLOEXEC);

	if (fd < 0 || fd_write_all(fd, j->private, strlen(j->private)) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return fd < 0 ? -errno : -EIO;
	return TAKE_FD(fd);
}

static int spawn(struct sjob *j, int archive, int dir, int from)
{
	struct spawn_fd fds[SPAWN_FDS_MAX];
	const char *argv[ARGS_MAX];
	int go[2], r;
	size_t n = 0;

	if (pipe2(go, O_CLOEXEC) < 0)
		return err_sys(&j->err, errno, "porto-store");
	argv[0] = j->program;
	if (sjob_is_image(j))
		image_arguments(j, from >= 0, argv);
	else
		(void)arguments(j, argv);
	if (archive >= 0)
		fds[n++] = (struct spawn_fd){ archive, is_export(j) ? 1 : 0 };
	fds[n++] = (struct spawn_fd){ j->status, 3 };
	fds[n++] = (struct spawn_fd){ dir, 4 };
	if (from >= 0)
		fds[n++] = (struct spawn_fd){ from, 5 };
	fds[n++] = (struct spawn_fd){ go[0], STORE_GO };
	for (int i = 0; j->ring != NULL && i < RING_FDS; i++)
		fds[n++] = (struct spawn_fd){ ring_fds(j->ring)[i], STORE_RING + i };
	r = spawn_program(argv, fds, n, &j->pid);
	close(go[0]);
	if (r < 0) {
		close(go[1]);
		j->pid = 0;
		return err_sys(&j->err, -r, "%s", argv[0]);
	}
	j->go = go[1];
	j->child = true;
	r = proc_start_time(j->pid, &j->start);
	return r < 0 ? err_sys(&j->err, -r, "porto-store") : sjob_charge(j);
}

void sjob_prepare(void *arg)
{
	struct sjob *j = arg;
	autoclose int archive = -1, dir = -1, from = -1;
	struct stat st;

	j->result = 0;
	if (j->path[0] != '\0') {
		archive = is_export(j) ? create_archive(j) : open_archive(j);
		j->result = MIN(archive, 0);
	}
	if (j->result == 0 && j->kind == SJ_IMAGE_IMPORT && fstat(archive, &st) == 0 && S_ISDIR(st.st_mode))
		from = TAKE_FD(archive);
	if (j->result == 0 && j->kind == SJ_IMAGE_PULL && j->private[0] != '\0') {
		archive = token_file(j);
		j->result = archive < 0 ? err_sys(&j->err, -archive, "token") : 0;
	}
	if (j->result == 0 && j->kind == SJ_EXPORT_VOLUME) {
		from = vol_open_data(&j->vop->spec, &j->vop->made, &j->err);
		j->result = MIN(from, 0);
	}
	if (j->result == 0) {
		dir = open_place(j);
		j->result = MIN(dir, 0);
	}
	/* what a sweep has found; something that was removed by its name is found by one if it could not be removed */
	if (j->result == 0 && j->kind == SJ_REMOVE && j->item == 0)
		j->result = unmount_remains(j, dir);
	if (j->result == 0)
		j->result = check_new(j, dir);
	if (j->result == 0)
		j->result = open_page(j);
	if (j->result == 0)
		j->result = spawn(j, archive, dir, from);
}

/* ---- the end ---- */

/* done BYTES UNPACKED, or failed KIND ERRNO and the sentence in a line of its own. */
static int read_page(struct sjob *j)
{
	char page[PAGE_BYTES + 1], name[32];
	unsigned long long bytes, unpacked;
	int kind = 0, no = 0, end = 0;
	ssize_t n;

	snprintf(name, sizeof(name), "%u.page", (unsigned)j->id);
	if (j->status < 0)
		j->status = openat(j->jobs_fd, name, O_RDONLY | O_CLOEXEC);
	n = j->status < 0 ? -1 : pread(j->status, page, PAGE_BYTES, 0);
	page[MAX(n, 0)] = '\0';
	if (sscanf(page, "done %llu %llu", &bytes, &unpacked) == 2) {
		j->unpacked = unpacked;
		return 0;
	}
	if (sscanf(page, "failed %d %d\n%n", &kind, &no, &end) == 2 && end > 0 && kind > 0 && no > 0 && no < 4096) {
		page[end + (int)strcspn(page + end, "\n")] = '\0';
		return err_set_no(&j->err, (enum err_kind)kind, no, "%s", page + end);
	}
	j->never_began = j->restored && page[strspn(page, " ")] == '\0';
	return err_set(&j->err, ERR_HelperError, "porto-store has died in the middle of its work");
}

/* Where attributes can't be, the size is not known after a restart. */
void item_note_size(int dir, const char *name, uint64_t size)
{
	autoclose int fd = openat(dir, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)size);
	if (fd >= 0)
		(void)fsetxattr(fd, ITEM_SIZE_XATTR, text, strlen(text), 0);
}

static void finish_import(struct sjob *j, int dir)
{
	char name[300];
	struct stat st;

	private_name(j, name);
	if (fstatat(dir, j->name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		(void)unlinkat(dir, name, 0);
		return;
	}
	if (j->result < 0)
		return;
	item_note_size(dir, name, j->kind == SJ_IMPORT ? j->unpacked : 0);
	(void)utimensat(dir, name, NULL, AT_SYMLINK_NOFOLLOW);
}

void sjob_settle(void *arg)
{
	struct sjob *j = arg;
	autoclose int dir = -1;
	int r;

	if (j->result == 0)
		j->result = read_page(j);
	if (j->kind == SJ_IMPORT || j->kind == SJ_MERGE) {
		dir = place_open(j->place, j->sub, j->porto_gid, NULL);
		if (dir >= 0)
			finish_import(j, dir);
	}
	if (sjob_is_image(j))
		j->images_read = images_read(j->place, &j->images) == 0;
	if (is_export(j) && j->path[0] != '\0') {
		r = finish_archive(j);
		if (j->result == 0)
			j->result = r;
	}
}
