#include "portofs/node.h"

#include <stdio.h>

/*
 * Payloads, 29 bits, the highest of them `viewed`. NODE_DIR: the kind of directory. NODE_FILE: counter 15, dir 4, name 9.
 * NODE_KEY: generation 16, place 11.
 */
#define KIND_SHIFT 29
#define VIEWED (1u << 28)
#define FILE_BITS 9
#define DIR_BITS 4
#define COUNT_SHIFT (FILE_BITS + DIR_BITS)
#define COUNT_MASK 0x7fffu
#define KEY_BITS 11
#define VIEW_BITS 12
#define KEYS_OF_USER (KEYS / 8)

/* key_tags[]: generation 16, dir + 1; the file, and where in the name the key begins, engine_name tells at each use. */
#define TAG_GENERATION(tag) ((tag) >> 16)

_Static_assert(NAME_FILES == 1u << FILE_BITS && NAME_DIRS == 1u << DIR_BITS, "names fit their bits");
_Static_assert(KEYS == 1u << KEY_BITS && ENGINE_DIRS <= NAME_DIRS, "keys and directories fit their bits");
_Static_assert(COUNT_SHIFT + 15 <= KIND_SHIFT - 1 && KEY_BITS + 16 <= KIND_SHIFT - 1, "payloads fit their bits");
_Static_assert(VIEWS == 1u << VIEW_BITS, "views fit their bits");

static int find_name(struct shm *shm, enum engine_dir dir, const char *name)
{
	for (unsigned i = 0; i < NAME_FILES; i++) {
		char *have = shm->names[dir][i];
		if (!have[0] && snprintf(have, NAME_BYTES, "%s", name) >= (int)NAME_BYTES) {
			have[0] = 0;
			return -ENAMETOOLONG;
		}
		if (strcmp(have, name) == 0)
			return (int)i;
	}
	return -ENOSPC;
}

int node_init(struct fs *fs)
{
	for (enum engine_dir dir = 0; dir < ENGINE_DIRS; dir++) {
		struct file_names *n = &fs->names[dir];
		n->files = engine_files(dir, &n->table);
		if (n->files > NAME_FILES)
			return -ENOSPC;
		memset(n->number, 0xff, sizeof(n->number));
		for (size_t i = 0; i < n->files; i++) {
			int stable = find_name(fs->shm, dir, n->table[i].name);
			if (stable < 0)
				return stable;
			n->stable[i] = (uint16_t)stable;
			n->number[stable] = (int16_t)i;
		}
	}
	return 0;
}

uint16_t node_stable(const struct fs *fs, enum engine_dir dir, int file)
{
	return fs->names[dir].stable[file];
}

/* ---- directories ---- */

/* Those that stand in a directory under a name of their own. */
static const struct {
	enum engine_dir in;
	const char *name;
	enum engine_dir dir;
} subdirs[] = {
	{ DIR_CT, ".images", DIR_IMAGES },
	{ DIR_CT, ".layers", DIR_LAYERS },
	{ DIR_CT, ".porto", DIR_DAEMON },
	{ DIR_CT, ".storages", DIR_STORAGES },
	{ DIR_CT, ".volumes", DIR_VOLUMES },
	{ DIR_VOLUME, "links", DIR_LINKS },
};

/* Belongs to a volume, layer, storage or image, and not to a container alone. */
static bool is_object(enum engine_dir dir)
{
	return dir == DIR_VOLUME || dir == DIR_LINKS || dir == DIR_LAYER || dir == DIR_STORAGE || dir == DIR_META || dir == DIR_IMAGE;
}

static struct view *view_find(struct fs *fs, const struct view *want)
{
	struct view *oldest = &fs->shm->views[0];

	for (unsigned i = 0; i < VIEWS; i++) {
		struct view *v = &fs->shm->views[i];

		if (v->token != 0 && v->ct == want->ct && v->id == want->id && v->dir == want->dir)
			return v;
		if (oldest->token != 0 && (v->token == 0 || v->used < oldest->used))
			oldest = v;
	}
	return oldest;
}

/* The upper half of the id of an object in the directory of another container than the root. */
static uint32_t view_token(struct fs *fs, uint32_t ct, enum engine_dir dir, uint32_t id)
{
	const struct view want = { .ct = ct, .id = id, .dir = dir };
	struct view *v = view_find(fs, &want);
	uint32_t generation = (v->token >> VIEW_BITS) + 1;

	if (v->token == 0 || v->ct != ct || v->id != id || v->dir != (uint32_t)dir) {
		v->token = 0;
		atomic_signal_fence(memory_order_seq_cst);
		v->ct = ct;
		v->id = id;
		v->dir = dir;
		atomic_signal_fence(memory_order_seq_cst);
		v->token = MAX(generation, 1u) << VIEW_BITS | (uint32_t)(v - fs->shm->views);
	}
	v->used = ++fs->shm->uses;
	return v->token;
}

static struct view *view_of_token(struct fs *fs, uint32_t token)
{
	struct view *v = &fs->shm->views[token & (VIEWS - 1)];

	if (v->token != token || token == 0)
		return NULL;
	v->used = ++fs->shm->uses;
	return v;
}

/* From the parts of an id. -ESTALE */
static int dir_of_id(struct fs *fs, uint32_t high, enum engine_dir dir, bool viewed, struct node *ret)
{
	const struct view *v = viewed ? view_of_token(fs, high) : NULL;

	if (dir >= ENGINE_DIRS || (viewed && v == NULL))
		return -ESTALE;
	*ret = (struct node){ .kind = NODE_DIR, .high = high, .payload = dir | (viewed ? VIEWED : 0) };
	ret->at = (struct engine_node){ .dir = dir, .ct = dir == DIR_DAEMON ? 0 : v ? v->id : high, .file = -1 };
	ret->at.view = v ? v->ct : is_object(dir) ? ENGINE_ROOT : high;
	return 0;
}

void node_dir(struct fs *fs, uint32_t view, enum engine_dir dir, uint32_t id, struct node *ret)
{
	bool viewed = is_object(dir) && view != ENGINE_ROOT;

	(void)dir_of_id(fs, viewed ? view_token(fs, view, dir, id) : id, dir, viewed, ret);
}

bool node_subdir(struct fs *fs, const struct node *dir, size_t i, const char **name, struct node *ret)
{
	for (size_t k = 0; k < ARRAY_LEN(subdirs); k++) {
		if (subdirs[k].in != dir->at.dir || i-- > 0)
			continue;
		*name = subdirs[k].name;
		node_dir(fs, dir->at.view, subdirs[k].dir, dir->at.dir == DIR_CT ? dir->high : dir->at.ct, ret);
		return true;
	}
	return false;
}

void node_up(struct fs *fs, const struct node *dir, struct node *ret)
{
	static const enum engine_dir up[ENGINE_DIRS] = {
		[DIR_VOLUME] = DIR_VOLUMES, [DIR_LAYER] = DIR_LAYERS, [DIR_STORAGE] = DIR_STORAGES, [DIR_META] = DIR_STORAGES, [DIR_IMAGE] = DIR_IMAGES,
	};
	uint32_t parent;

	if (dir->at.dir == DIR_CT) {
		parent = engine_parent(fs->engine, dir->at.ct);
		node_dir(fs, 0, DIR_CT, parent ? parent : ENGINE_ROOT, ret);
	} else if (dir->at.dir == DIR_LINKS) {
		node_dir(fs, dir->at.view, DIR_VOLUME, dir->at.ct, ret);
	} else {
		node_dir(fs, 0, up[dir->at.dir], dir->at.view, ret);
	}
}

void node_file(struct fs *fs, const struct node *dir, int file, struct node *ret)
{
	*ret = *dir;
	ret->kind = NODE_FILE;
	ret->at.file = file;
	ret->at.key = NULL;
	ret->flags = fs->names[dir->at.dir].table[file].flags;
	ret->payload = (dir->payload & VIEWED) | (uint32_t)dir->at.dir << FILE_BITS | node_stable(fs, dir->at.dir, file);
}

uint64_t node_id(const struct node *n)
{
	if (n->kind == NODE_DIR && n->at.dir == DIR_CT && n->at.ct == ENGINE_ROOT)
		return FUSE_ROOT_ID;
	return (uint64_t)n->high << 32 | (uint64_t)n->kind << KIND_SHIFT | n->payload;
}

/* ---- names that stand in no table ---- */

static uint32_t hash_name(uint32_t ct, enum engine_dir dir, const char *name)
{
	uint32_t h = 2166136261u ^ ct * 2654435761u ^ (uint32_t)dir * 40503u;

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 16777619u;
	return h;
}

static int find_key(const struct shm *shm, uint32_t ct, enum engine_dir dir, const char *name, uint32_t hash)
{
	for (unsigned i = 0; i < KEYS; i++)
		if (shm->key_hashes[i] == hash && (shm->key_tags[i] & 0xffff) == dir + 1u && shm->keys[i].ct == ct &&
		    strcmp(shm->keys[i].name, name) == 0)
			return (int)i;
	return -ENOENT;
}

/* How unwelcome it would be if the name were forgotten. */
static unsigned key_weight(const struct shm *shm, unsigned i)
{
	return shm->key_pins[i] == 0 ? 0 : shm->key_users[i] != 0 ? 1 : 2;
}

/* A free place, from the low end, else the one not used for longest: of those that nobody keeps, else of those that root doesn't. */
static int take_key(struct shm *shm)
{
	unsigned least = 2;
	int found = -ENOSPC;

	for (unsigned i = 0; i < KEYS; i++) {
		unsigned weight = key_weight(shm, i);

		if (!(shm->key_tags[i] & 0xffff))
			return (int)i;
		if (weight < least || (weight == least && found >= 0 && shm->keys[i].used < shm->keys[found].used)) {
			least = weight;
			found = (int)i;
		}
	}
	return found;
}

/* The tag's low half: the directory's kind + 1, so that 0 is free. The file is asked of the engine at each use. */
static int intern(struct fs *fs, uint32_t ct, enum engine_dir dir, const char *name, uint32_t *payload)
{
	struct shm *shm = fs->shm;
	uint32_t hash = hash_name(ct, dir, name), tag;
	int i = find_key(shm, ct, dir, name, hash);

	if (strlen(name) >= KEY_BYTES)
		return -ENAMETOOLONG;
	if (i < 0) {
		i = take_key(shm);
		if (i < 0)
			return i;
		tag = (TAG_GENERATION(shm->key_tags[i]) + 1) << 16;
		shm->key_tags[i] = tag;
		atomic_signal_fence(memory_order_seq_cst);
		shm->keys[i].ct = ct;
		shm->key_pins[i] = 0;
		shm->keys[i].pin_cookie = 0;
		memcpy(shm->keys[i].name, name, strlen(name) + 1);
		shm->key_hashes[i] = hash;
		atomic_signal_fence(memory_order_seq_cst);
		shm->key_tags[i] = tag | (dir + 1u);
	}
	shm->keys[i].used = ++shm->uses;
	*payload = (shm->key_tags[i] & 0xffff0000u) >> 16 << KEY_BITS | (uint32_t)i;
	return 0;
}

static int key_of_payload(struct fs *fs, uint32_t high, uint32_t payload, struct node *ret)
{
	uint32_t place = payload & ~VIEWED;
	struct shm *shm = fs->shm;
	unsigned i = place & (KEYS - 1);
	uint32_t tag = shm->key_tags[i];
	size_t offset;
	int r, file;

	if (TAG_GENERATION(tag) != place >> KEY_BITS || !(tag & 0xffff) || shm->keys[i].ct != high)
		return -ESTALE;
	r = dir_of_id(fs, high, (enum engine_dir)((tag & 0xffff) - 1), payload & VIEWED, ret);
	if (r == 0)
		r = engine_name(ret->at.dir, shm->keys[i].name, &file, &offset);
	if (r < 0)
		return -ESTALE;
	ret->kind = NODE_KEY;
	ret->payload = payload;
	ret->at.file = file;
	ret->at.key = shm->keys[i].name + offset;
	ret->flags = fs->names[ret->at.dir].table[file].flags;
	if (ret->at.dir == DIR_CT)
		ret->flags &= ~(unsigned)FILE_STREAM; /* stdout[2:5] is a text like any other */
	shm->keys[i].used = ++shm->uses;
	return 0;
}

/* A replayed open or release must not count twice. */
static bool is_counted(struct fs *fs, unsigned i)
{
	struct key *k = &fs->shm->keys[i];

	if (k->pin_cookie == fs->cookie)
		return true;
	k->pin_cookie = fs->cookie;
	return false;
}

static bool keeps_many(const struct shm *shm, uint32_t uid)
{
	unsigned n = 0;

	for (unsigned i = 0; uid != 0 && i < KEYS; i++)
		n += shm->key_pins[i] > 0 && shm->key_users[i] == uid;
	return n >= KEYS_OF_USER;
}

int node_pin(struct fs *fs, const struct node *n)
{
	unsigned i = n->payload & (KEYS - 1);
	struct shm *shm = fs->shm;

	if (n->kind != NODE_KEY)
		return 0;
	if (shm->keys[i].pin_cookie != fs->cookie && shm->key_pins[i] == 0 && keeps_many(shm, fs->in->uid))
		return -EMFILE;
	if (is_counted(fs, i))
		return 0;
	if (shm->key_pins[i]++ == 0 || fs->in->uid == 0)
		shm->key_users[i] = fs->in->uid;
	return 0;
}

void node_unpin(struct fs *fs, const struct node *n)
{
	unsigned i = n->payload & (KEYS - 1);

	if (n->kind == NODE_KEY && !is_counted(fs, i) && fs->shm->key_pins[i] > 0)
		fs->shm->key_pins[i]--;
}

/* ---- */

int node_of_id(struct fs *fs, uint64_t id, struct node *ret)
{
	uint32_t payload = (uint32_t)id & ((1u << KIND_SHIFT) - 1);
	uint32_t high = (uint32_t)(id >> 32), kind = (uint32_t)id >> KIND_SHIFT;
	bool viewed = payload & VIEWED;
	uint32_t dir, stable;
	int r;

	if (id == FUSE_ROOT_ID) {
		node_dir(fs, 0, DIR_CT, ENGINE_ROOT, ret);
		return 0;
	}
	switch (kind) {
	case NODE_DIR:
		return dir_of_id(fs, high, payload & ~VIEWED, viewed, ret);
	case NODE_FILE:
		dir = payload >> FILE_BITS & (NAME_DIRS - 1);
		stable = payload & (NAME_FILES - 1);
		r = dir_of_id(fs, high, dir, viewed, ret);
		/* An older binary's file that this one doesn't have. */
		if (r < 0 || fs->names[dir].number[stable] < 0)
			return -ESTALE;
		node_file(fs, ret, fs->names[dir].number[stable], ret);
		ret->payload = payload;
		return 0;
	case NODE_KEY:
		return key_of_payload(fs, high, payload, ret);
	case NODE_SELF:
		*ret = (struct node){ .kind = NODE_SELF, .high = high, .at = { .ct = high, .view = high, .file = -1 } };
		return 0;
	default:
		return -ESTALE;
	}
}

bool node_has(const struct engine_file *file, const struct node *dir)
{
	return !(file->flags & (dir->at.view == ENGINE_ROOT ? FILE_NOT_ROOT : FILE_ROOT));
}

int node_name(struct fs *fs, const struct node *dir, const char *name, struct node *ret)
{
	uint32_t payload;
	size_t offset;
	int r, file;

	r = engine_name(dir->at.dir, name, &file, &offset);
	if (r < 0)
		return r;
	if (!node_has(&fs->names[dir->at.dir].table[file], dir))
		return -ENOENT;
	r = intern(fs, dir->high, dir->at.dir, name, &payload);
	if (r < 0)
		return r;
	return key_of_payload(fs, dir->high, payload | (dir->payload & VIEWED), ret);
}

static bool find_subdir(struct fs *fs, const struct node *dir, const char *name, struct node *ret)
{
	const char *have;

	for (size_t i = 0; node_subdir(fs, dir, i, &have, ret); i++)
		if (strcmp(have, name) == 0)
			return true;
	return false;
}

bool node_is_fixed(struct fs *fs, const struct node *dir, const char *name)
{
	struct node n;

	return find_subdir(fs, dir, name, &n);
}

int node_lookup(struct fs *fs, const struct node *dir, const char *name, struct node *ret)
{
	enum engine_dir kind;
	uint32_t child;
	int file;

	if (dir->kind != NODE_DIR || !engine_exists(fs->engine, &dir->at))
		return -ENOENT;
	if (find_subdir(fs, dir, name, ret))
		return 0;
	if (dir->at.dir == DIR_CT && strcmp(name, "self") == 0) {
		*ret = (struct node){ .kind = NODE_SELF, .high = dir->high, .at = { .ct = dir->high, .view = dir->high, .file = -1 } };
		return 0;
	}
	file = engine_file_find(dir->at.dir, name);
	if (file >= 0 && node_has(&fs->names[dir->at.dir].table[file], dir)) {
		node_file(fs, dir, file, ret);
		if (ret->flags & (FILE_ACTION | FILE_WAITS))
			ret->payload |= (++fs->shm->actions & COUNT_MASK) << COUNT_SHIFT;
		return 0;
	}
	if (engine_lookup(fs->engine, &dir->at, name, &kind, &child) == 0) {
		node_dir(fs, dir->at.view, kind, child, ret);
		return 0;
	}
	return node_name(fs, dir, name, ret);
}

static uint64_t stat_ino(struct fs *fs, const struct node *n)
{
	struct node plain = *n;

	if (n->kind == NODE_FILE)
		plain.payload &= VIEWED | ((1u << COUNT_SHIFT) - 1);
	else if (n->kind == NODE_KEY)
		plain.payload = (fs->shm->key_hashes[n->payload & (KEYS - 1)] & ((1u << (KIND_SHIFT - 1)) - 1)) | (n->payload & VIEWED);
	return node_id(&plain);
}

int node_stat(struct fs *fs, const struct node *n, struct stat *ret)
{
	struct engine_attr a;
	int r;

	*ret = (struct stat){ .st_ino = stat_ino(fs, n), .st_nlink = 1, .st_blksize = 4096 };
	if (n->kind == NODE_SELF) {
		ret->st_mode = S_IFLNK | 0777;
		return 0;
	}
	r = engine_attr(fs->engine, &n->at, &a);
	if (r < 0)
		return r;
	ret->st_mode = a.mode;
	ret->st_uid = a.uid;
	ret->st_gid = a.gid;
	ret->st_size = (off_t)a.size;
	/* busybox cat, sendfile and test -s take a file of size 0 for an empty one. */
	if (n->kind != NODE_DIR && !(n->flags & FILE_STREAM))
		ret->st_size = MAX(ret->st_size, 4096);
	/* or cp looks for holes in it */
	if (n->flags & FILE_PIPE)
		ret->st_blocks = ret->st_size / 512;
	ret->st_mtim.tv_sec = ret->st_atim.tv_sec = a.mtime;
	ret->st_ctim.tv_sec = a.ctime;
	return 0;
}

/* Long, and new at each read: who reads to the end it was told (tail, sendfile) needs the true one. */
bool node_size_is_guess(const struct node *n)
{
	return n->kind != NODE_DIR && n->at.dir == DIR_DAEMON && (n->flags & FILE_LARGE);
}

double node_attr_timeout(const struct node *n)
{
	return n->flags & FILE_STREAM || node_size_is_guess(n) ? 0 : TIMEOUT_ATTR;
}

int node_entry(struct fs *fs, const struct node *n, struct fuse_entry_param *ret)
{
	bool may_go = (n->kind == NODE_DIR && (n->at.dir == DIR_CT || is_object(n->at.dir))) || n->at.dir == DIR_LINKS;

	*ret = (struct fuse_entry_param){ .ino = node_id(n), .attr_timeout = node_attr_timeout(n) };
	if (may_go ? session_has_epoch(fs) && !engine_names_differ(fs->engine) : !(n->flags & (FILE_ACTION | FILE_WAITS)))
		ret->entry_timeout = TIMEOUT_NAME;
	return node_stat(fs, n, &ret->attr);
}
