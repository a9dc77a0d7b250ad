/*
 * What readdir shows: "." and "..", the listed files, and in a container's directory its children by ascending id, so that
 * an offset stays good while containers come and go.
 */
#include "portofs/fs.h"

#include "portofs/node.h"

/* Offsets: 1 behind ".", 2 behind "..", then the place among the files, then the special names, then the child's id. */
#define OFFSET_FILES 2u
#define OFFSET_SPECIAL (OFFSET_FILES + NAME_FILES)
#define OFFSET_CHILDREN 0x1000u

/* Names in /porto itself besides its files. */
static const struct {
	const char *name;
	enum node_kind kind;
} specials[] = {
	{ ".porto", NODE_DIR },
	{ "self", NODE_SELF },
};

struct listing {
	fuse_req_t req;
	struct fs *fs;
	struct node dir;
	bool plus;
	size_t size, used;
	char *buf;
};

/* Is there room for it? Names of which nothing can be told any more are passed over. */
static bool put(struct listing *l, const char *name, const struct node *n, off_t next)
{
	struct fuse_entry_param e;
	size_t room = l->size - l->used, need;

	if (node_entry(l->fs, n, &e) < 0)
		return true;
	/* The kernel would keep this inode, and each lookup of an action file must give one of its own. */
	if (n->flags & FILE_ACTION)
		e.ino = 0;
	if (l->plus)
		need = fuse_add_direntry_plus(l->req, l->buf + l->used, room, name, &e, next);
	else
		need = fuse_add_direntry(l->req, l->buf + l->used, room, name, &e.attr, next);
	if (need > room)
		return false;
	l->used += need;
	return true;
}

static bool put_dots(struct listing *l, off_t off)
{
	struct node up = l->dir;
	uint32_t parent = 0;

	if (off < 1 && !put(l, ".", &l->dir, 1))
		return false;
	if (l->dir.at.dir != DIR_CT)
		node_dir(l->dir.ct, DIR_CT, &up);
	else if ((parent = engine_parent(l->fs->engine, l->dir.ct)))
		node_dir(parent, DIR_CT, &up);
	return off >= 2 || put(l, "..", &up, 2);
}

static bool put_files(struct listing *l, off_t off)
{
	const struct file_names *names = &l->fs->names[l->dir.at.dir];
	size_t first = off > (off_t)OFFSET_FILES ? (size_t)off - OFFSET_FILES : 0;
	struct node n;

	for (size_t i = first; i < names->files; i++) {
		if (!(names->table[i].flags & FILE_LISTED) || !node_has(&names->table[i], l->dir.ct))
			continue;
		node_file(l->fs, l->dir.ct, l->dir.at.dir, (int)i, &n);
		if (!put(l, names->table[i].name, &n, (off_t)(OFFSET_FILES + i + 1)))
			return false;
	}
	return true;
}

static bool put_specials(struct listing *l, off_t off)
{
	size_t first = off > (off_t)OFFSET_SPECIAL ? (size_t)off - OFFSET_SPECIAL : 0;
	struct node n;

	for (size_t i = first; i < ARRAY_LEN(specials); i++) {
		if (node_lookup(l->fs, &l->dir, specials[i].name, &n) == 0 &&
		    !put(l, specials[i].name, &n, (off_t)(OFFSET_SPECIAL + i + 1)))
			return false;
	}
	return true;
}

static void put_children(struct listing *l, off_t off)
{
	uint32_t id = off > (off_t)OFFSET_CHILDREN ? (uint32_t)(off - OFFSET_CHILDREN) : 0;
	const char *name;
	struct node n;

	while ((id = engine_next_child(l->fs->engine, l->dir.ct, id, &name))) {
		node_dir(id, DIR_CT, &n);
		if (!put(l, name, &n, (off_t)OFFSET_CHILDREN + id))
			return;
	}
}

static void list(struct listing *l, off_t off)
{
	bool root = l->dir.at.dir == DIR_CT && l->dir.ct == ENGINE_ROOT;

	if (!put_dots(l, off))
		return;
	if (off < (off_t)OFFSET_SPECIAL && !put_files(l, off))
		return;
	if (root && off < (off_t)OFFSET_CHILDREN && !put_specials(l, off))
		return;
	if (l->dir.at.dir == DIR_CT)
		put_children(l, off);
}

static void readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, bool plus)
{
	autofree char *buf = malloc(size);
	struct listing l = { .req = req, .fs = fs_of(req), .plus = plus, .size = size, .buf = buf };
	int r = node_of_id(l.fs, ino, &l.dir);

	if (r == 0 && l.dir.kind != NODE_DIR)
		r = -ENOTDIR;
	if (r == 0 && !engine_exists(l.fs->engine, l.dir.ct))
		r = -ENOENT;
	if (r == 0 && !buf)
		r = -ENOMEM;
	if (r < 0) {
		fs_refuse(req, r, NULL);
		return;
	}
	list(&l, off);
	fuse_reply_buf(req, buf, l.used);
}

void fs_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node n;
	int r = node_of_id(fs_of(req), ino, &n);

	if (r == 0 && !engine_exists(fs_of(req)->engine, n.ct))
		r = -ENOENT;
	if (r < 0)
		fs_refuse(req, r, NULL);
	else
		fuse_reply_open(req, fi);
}

void fs_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, UNUSED struct fuse_file_info *fi)
{
	readdir(req, ino, size, off, false);
}

void fs_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, UNUSED struct fuse_file_info *fi)
{
	readdir(req, ino, size, off, true);
}
