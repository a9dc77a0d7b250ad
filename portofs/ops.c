/* The operations on names and attributes. Each finds its node, asks the engine, answers once; none of them waits. */
#include "portofs/fs.h"

#include "base/log.h"
#include "portofs/node.h"

struct engine_cred fs_caller(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	return (struct engine_cred){ .uid = ctx->uid, .gid = ctx->gid, .pid = ctx->pid };
}

void fs_refuse(fuse_req_t req, int ret, const struct err *err)
{
	if (LOG_DEBUG <= log_level_max) {
		const struct fuse_ctx *ctx = fuse_req_ctx(req);
		log_debug("refused to uid %u, pid %d: %s%s%s", ctx->uid, ctx->pid, strerror(-ret),
			  err && err->text[0] ? ": " : "", err ? err->text : "");
	}
	fuse_reply_err(req, -ret);
}

int fs_sees(fuse_req_t req, const struct node *n)
{
	struct engine_cred who = fs_caller(req);

	return engine_sees(fs_of(req)->engine, &who, &n->at);
}

static void reply_entry(fuse_req_t req, const struct node *n)
{
	struct fuse_entry_param e;
	int r = node_entry(fs_of(req), n, &e);

	if (r == 0 && node_size_is_guess(n))
		fs_true_size(req, n, NULL, &e.attr);
	if (r < 0)
		fs_refuse(req, r, NULL);
	else
		fuse_reply_entry(req, &e);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fs *fs = fs_of(req);
	struct node dir, n;
	int r = node_of_id(fs, parent, &dir);

	if (r == 0)
		r = node_lookup(fs, &dir, name, &n);
	if (r == 0)
		r = fs_sees(req, &n);
	/* No log: a name that isn't there is asked for all the time. */
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		reply_entry(req, &n);
}

static void reply_attr(fuse_req_t req, const struct node *n, const struct fuse_file_info *fi)
{
	struct stat st;
	int r = node_stat(fs_of(req), n, &st);

	if (r == 0 && node_size_is_guess(n))
		fs_true_size(req, n, fi, &st);
	else if (r == 0 && (n->flags & FILE_STREAM) && n->at.dir == DIR_CT)
		fs_followed_size(req, n, &st);
	if (r < 0)
		fs_refuse(req, r, NULL);
	else
		fuse_reply_attr(req, &st, node_attr_timeout(n));
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node n;
	int r = node_of_id(fs_of(req), ino, &n);

	/* whoever asks has looked it up, or holds it open */
	if (r < 0)
		fs_refuse(req, r, NULL);
	else
		reply_attr(req, &n, fi);
}

static int change_owner(fuse_req_t req, const struct node *n, const struct stat *want, int which, struct err *err)
{
	struct engine_cred who = fs_caller(req);
	struct fs *fs = fs_of(req);
	uid_t uid = which & FUSE_SET_ATTR_UID ? want->st_uid : (uid_t)-1;
	gid_t gid = which & FUSE_SET_ATTR_GID ? want->st_gid : (gid_t)-1;

	/* The files belong to whom the container belongs to. */
	if (n->kind == NODE_SELF)
		return -EPERM;
	return engine_chown(fs->engine, &who, fs->cookie, &n->at, uid, gid, err);
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *want, int which, struct fuse_file_info *fi)
{
	struct err err = {};
	struct stat st;
	struct node n;
	int r = node_of_id(fs_of(req), ino, &n);

	if (r == 0 && !fi)
		r = fs_sees(req, &n);
	if (r == 0 && (which & FUSE_SET_ATTR_MODE)) {
		r = node_stat(fs_of(req), &n, &st);
		if (r == 0 && (want->st_mode & 07777) != (st.st_mode & 07777))
			r = -EPERM;
	}
	if (r == 0 && (which & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)))
		r = change_owner(req, &n, want, which, &err);
	/* Truncation and times: tools do it by habit, and it means nothing here. */
	if (r < 0)
		fs_refuse(req, r, &err);
	else
		reply_attr(req, &n, NULL);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct engine_cred who = fs_caller(req);
	autotext struct text link = {};
	struct node n;
	int r = node_of_id(fs_of(req), ino, &n);

	if (r == 0)
		r = n.kind == NODE_SELF ? engine_self(fs_of(req)->engine, &who, n.at.ct, &link) : -EINVAL;
	if (r == 0)
		r = text_ok(&link);
	if (r < 0)
		fs_refuse(req, r, NULL);
	else
		fuse_reply_readlink(req, text_str(&link));
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, UNUSED mode_t mode)
{
	struct engine_cred who = fs_caller(req);
	struct fs *fs = fs_of(req);
	struct err err = {};
	struct engine_child made;
	struct node dir, n;
	int r = node_of_id(fs, parent, &dir);

	if (r == 0)
		r = fs_sees(req, &dir);
	if (r == 0)
		r = engine_mkdir(fs->engine, &who, fs->cookie, &dir.at, name, &made, &err);
	if (r < 0) {
		fs_refuse(req, r, &err);
		return;
	}
	node_dir(fs, dir.at.view, made.dir, made.id, &n);
	reply_entry(req, &n);
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct engine_cred who = fs_caller(req);
	struct fs *fs = fs_of(req);
	struct err err = {};
	struct node dir;
	int r = node_of_id(fs, parent, &dir);

	if (r == 0 && (name[0] == '.' || node_is_fixed(fs, &dir, name)))
		r = -EPERM;
	if (r == 0)
		r = fs_sees(req, &dir);
	if (r == 0)
		r = engine_rmdir(fs->engine, &who, fs->cookie, &dir.at, name, &err);
	if (r < 0)
		fs_refuse(req, r, &err);
	else
		fuse_reply_err(req, 0);
}

/* Links of volumes are the only files that users make and remove. */
static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct engine_cred who = fs_caller(req);
	struct fs *fs = fs_of(req);
	struct err err = {};
	struct node dir;
	int r = node_of_id(fs, parent, &dir);

	if (r == 0)
		r = fs_sees(req, &dir);
	if (r == 0)
		r = engine_unlink(fs->engine, &who, fs->cookie, &dir.at, name, &err);
	if (r < 0)
		fs_refuse(req, r, &err);
	else
		fuse_reply_err(req, 0);
}

/* What this tree has no meaning for. */

static void op_rename(fuse_req_t req, UNUSED fuse_ino_t parent, UNUSED const char *name, UNUSED fuse_ino_t to,
		      UNUSED const char *to_name, UNUSED unsigned flags)
{
	fs_refuse(req, -EPERM, NULL);
}

static void op_link(fuse_req_t req, UNUSED fuse_ino_t ino, UNUSED fuse_ino_t to, UNUSED const char *name)
{
	fs_refuse(req, -EPERM, NULL);
}

static void op_symlink(fuse_req_t req, UNUSED const char *target, UNUSED fuse_ino_t parent, UNUSED const char *name)
{
	fs_refuse(req, -EPERM, NULL);
}

static void op_mknod(fuse_req_t req, UNUSED fuse_ino_t parent, UNUSED const char *name, UNUSED mode_t mode, UNUSED dev_t dev)
{
	fs_refuse(req, -EPERM, NULL);
}

/* open(O_CREAT) of a name that isn't there: most often a property misspelt. A link comes to be with what is written. */
static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, UNUSED mode_t mode, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct node dir, n;
	int r = node_of_id(fs, parent, &dir);

	if (r == 0)
		r = fs_sees(req, &dir);
	if (r == 0)
		r = dir.at.dir == DIR_LINKS ? node_name(fs, &dir, name, &n) : -ENOENT;
	if (r < 0)
		fs_refuse(req, r, NULL);
	else
		fs_open_new(req, &n, fi);
}

static void op_statfs(fuse_req_t req, UNUSED fuse_ino_t ino)
{
	struct statvfs st = { .f_bsize = 4096, .f_frsize = 4096, .f_namemax = 255 };

	fuse_reply_statfs(req, &st);
}

/* flush, fsync, access and extended attributes have none: libfuse answers ENOSYS, and the kernel asks no more. */
const struct fuse_lowlevel_ops fs_ops = {
	.create = op_create,
	.getattr = op_getattr,
	.link = op_link,
	.lookup = op_lookup,
	.mkdir = op_mkdir,
	.mknod = op_mknod,
	.open = fs_open,
	.opendir = fs_opendir,
	.poll = fs_poll,
	.read = fs_read,
	.readdir = fs_readdir,
	.readdirplus = fs_readdirplus,
	.readlink = op_readlink,
	.release = fs_release,
	.rename = op_rename,
	.rmdir = op_rmdir,
	.setattr = op_setattr,
	.statfs = op_statfs,
	.symlink = op_symlink,
	.unlink = op_unlink,
	.write = fs_write,
};
