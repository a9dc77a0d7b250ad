/*
 * What readdir shows: "." and "..", the listed files, the directories that are always there, then what users made (containers,
 * volumes, layers, links) by ascending number, so that an offset stays good while they come and go.
 */
#include "portofs/fs.h"

#include "portofs/node.h"

/* Offsets: 1 behind ".", 2 behind "..", then the place among the files, then among the directories, then the child's number. */
#define OFFSET_FILES 2u
#define OFFSET_SPECIAL (OFFSET_FILES + NAME_FILES)
#define OFFSET_CHILDREN 0x1000u

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
	if (n->flags & (FILE_ACTION | FILE_WAITS))
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
	struct node up;

	if (off < 1 && !put(l, ".", &l->dir, 1))
		return false;
	node_up(l->fs, &l->dir, &up);
	return off >= 2 || put(l, "..", &up, 2);
}

static bool put_files(struct listing *l, off_t off)
{
	const struct file_names *names = &l->fs->names[l->dir.at.dir];
	size_t first = off > (off_t)OFFSET_FILES ? (size_t)off - OFFSET_FILES : 0;
	struct node n;

	for (size_t i = first; i < names->files; i++) {
		if (!(names->table[i].flags & FILE_LISTED) || !node_has(&names->table[i], &l->dir))
			continue;
		node_file(l->fs, &l->dir, (int)i, &n);
		if (!put(l, names->table[i].name, &n, (off_t)(OFFSET_FILES + i + 1)))
			return false;
	}
	return true;
}

static bool put_subdirs(struct listing *l, off_t off)
{
	const char *name;
	struct node n;
	size_t i;

	for (i = 0; node_subdir(l->fs, &l->dir, i, &name, &n); i++)
		if (off <= (off_t)(OFFSET_SPECIAL + i) && !put(l, name, &n, (off_t)(OFFSET_SPECIAL + i + 1)))
			return false;
	if (l->dir.at.dir == DIR_CT && l->dir.at.ct == ENGINE_ROOT && off <= (off_t)(OFFSET_SPECIAL + i) &&
	    node_lookup(l->fs, &l->dir, "self", &n) == 0)
		return put(l, "self", &n, (off_t)(OFFSET_SPECIAL + i + 1));
	return true;
}

/* A name among many that may all be asked for: the kernel looks it up when somebody wants it. */
static bool put_name(struct listing *l, const char *name, off_t next)
{
	struct fuse_entry_param e = { .attr.st_mode = S_IFREG };
	size_t room = l->size - l->used, need;

	e.attr.st_ino = UINT64_MAX >> 1;
	need = l->plus ? fuse_add_direntry_plus(l->req, l->buf + l->used, room, name, &e, next) :
			 fuse_add_direntry(l->req, l->buf + l->used, room, name, &e.attr, next);
	if (need > room)
		return false;
	l->used += need;
	return true;
}

static void put_children(struct listing *l, off_t off)
{
	struct engine_child child = { .number = off > (off_t)OFFSET_CHILDREN ? (uint64_t)(off - OFFSET_CHILDREN) : 0 };
	struct engine_cred who = fs_caller(l->req);
	struct node n;
	off_t next;

	while (engine_next_child(l->fs->engine, &l->dir.at, &child)) {
		if (!engine_shows(l->fs->engine, &who, &l->dir.at, &child))
			continue;
		next = (off_t)(OFFSET_CHILDREN + child.number);
		if (child.is_file) {
			if (!put_name(l, child.name, next))
				return;
			continue;
		}
		node_dir(l->fs, l->dir.at.view, child.dir, child.id, &n);
		if (!put(l, child.name, &n, next))
			return;
	}
}

static void list(struct listing *l, off_t off)
{
	if (!put_dots(l, off))
		return;
	if (off < (off_t)OFFSET_SPECIAL && !put_files(l, off))
		return;
	if (off < (off_t)OFFSET_CHILDREN && !put_subdirs(l, off))
		return;
	put_children(l, off);
}

static void readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, bool plus)
{
	autofree char *buf = malloc(size);
	struct listing l = { .req = req, .fs = fs_of(req), .plus = plus, .size = size, .buf = buf };
	int r = node_of_id(l.fs, ino, &l.dir);

	if (r == 0 && l.dir.kind != NODE_DIR)
		r = -ENOTDIR;
	if (r == 0 && !engine_exists(l.fs->engine, &l.dir.at))
		r = -ENOENT;
	if (r == 0)
		r = fs_sees(req, &l.dir);
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

	if (r == 0 && !engine_exists(fs_of(req)->engine, &n.at))
		r = -ENOENT;
	if (r == 0)
		r = fs_sees(req, &n);
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
