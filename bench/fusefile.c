/*
 * bench/fusefile.c: the least a low-level FUSE server can be: one file, `file`, with one line, direct_io, one thread.
 * usage: fusefile MOUNTPOINT     serves until it is unmounted or gets SIGTERM
 */
#include <fuse_lowlevel.h>

#include "bench/bench.h"

#define FILE_INO 2

static const char line[] = "1000000000\n";

static int fill_stat(fuse_ino_t ino, struct stat *st)
{
	*st = (struct stat){ .st_ino = ino, .st_nlink = 1 };
	if (ino == FUSE_ROOT_ID)
		st->st_mode = S_IFDIR | 0755;
	else if (ino == FILE_INO)
		st->st_mode = S_IFREG | 0444;
	else
		return -1;
	st->st_size = 4096;
	return 0;
}

static void file_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = { .ino = FILE_INO, .attr_timeout = 3600, .entry_timeout = 3600 };

	if (parent != FUSE_ROOT_ID || strcmp(name, "file") != 0) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	fill_stat(FILE_INO, &e.attr);
	fuse_reply_entry(req, &e);
}

static void file_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi UNUSED)
{
	struct stat st;

	if (fill_stat(ino, &st) < 0)
		fuse_reply_err(req, ENOENT);
	else
		fuse_reply_attr(req, &st, 3600);
}

static void file_open(fuse_req_t req, fuse_ino_t ino UNUSED, struct fuse_file_info *fi)
{
	fi->direct_io = 1;
	fi->noflush = 1;
	fuse_reply_open(req, fi);
}

static void file_read(fuse_req_t req, fuse_ino_t ino UNUSED, size_t size, off_t off, struct fuse_file_info *fi UNUSED)
{
	size_t len = sizeof(line) - 1, from = MIN((size_t)off, len);

	fuse_reply_buf(req, line + from, MIN(size, len - from));
}

static const struct fuse_lowlevel_ops operations = {
	.lookup = file_lookup,
	.getattr = file_getattr,
	.open = file_open,
	.read = file_read,
};

int main(int argc, char **argv)
{
	char *words[] = { argv[0], NULL };
	struct fuse_args args = FUSE_ARGS_INIT(1, words);
	struct fuse_session *se;
	int r = 1;

	if (argc != 2)
		errx(2, "usage: fusefile MOUNTPOINT");
	se = fuse_session_new(&args, &operations, sizeof(operations), NULL);
	if (!se)
		return 1;
	if (fuse_set_signal_handlers(se) == 0) {
		if (fuse_session_mount(se, argv[1]) == 0) {
			r = fuse_session_loop(se);
			fuse_session_unmount(se);
		}
		fuse_remove_signal_handlers(se);
	}
	fuse_session_destroy(se);
	return r != 0;
}
