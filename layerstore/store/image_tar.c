#include "layerstore/store/image_tar.h"

#include <sys/stat.h>

#include "base/fd.h"
#include "base/path.h"

#define BLOCK     512
#define LINKS_MAX 8
#define EXTRA_MAX 65536 /* bytes of a long name or a pax header */
#define GROW      64

/* A header as it lies on disk. */
struct header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100];
	char magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155], rest[12];
};
_Static_assert(sizeof(struct header) == BLOCK, "a header is one block");

/* What headers before a member say of it. */
struct extra {
	char *name, *link;
	bool has_size;
	uint64_t size;
};

struct walk {
	int fd;
	uint64_t at, end;
	struct extra extra;
	struct tar_index *out;
};

static void extra_done(struct extra *x)
{
	free(x->name);
	free(x->link);
	*x = (struct extra){};
}

static int read_at(const struct walk *w, uint64_t at, void *buf, size_t len)
{
	char *p = buf;

	if (len > w->end || at > w->end - len)
		return -EBADMSG;
	while (len > 0) {
		ssize_t n = pread(w->fd, p, len, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EBADMSG;
		p += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/* Octal digits, blanks around them; or, with the highest bit set, binary. */
static int number(const char *field, size_t len, uint64_t *ret)
{
	const unsigned char *p = (const unsigned char *)field, *end = p + len;
	uint64_t v = 0;

	if (*p == 0x80) {
		for (p++; p < end; p++) {
			if (v >> 55)
				return -EBADMSG;
			v = v << 8 | *p;
		}
		*ret = v;
		return 0;
	}
	while (p < end && *p == ' ')
		p++;
	for (; p < end && *p >= '0' && *p <= '7'; p++)
		v = v << 3 | (uint64_t)(*p - '0');
	if (p < end && *p && *p != ' ')
		return -EBADMSG;
	*ret = v;
	return 0;
}

static bool sum_is_right(const struct header *h)
{
	const unsigned char *p = (const unsigned char *)h;
	uint64_t want, sum = 0;

	for (size_t i = 0; i < BLOCK; i++)
		sum += i >= offsetof(struct header, sum) && i < offsetof(struct header, type) ? ' ' : p[i];
	return number(h->sum, sizeof(h->sum), &want) == 0 && want == sum;
}

static bool is_zero(const struct header *h)
{
	const char *p = (const char *)h;

	return !*p && memcmp(p, p + 1, BLOCK - 1) == 0;
}

/* The name in the archive that `name` means: no "./", no "..", nothing absolute. NULL with errno. */
static char *clean_name(const char *name)
{
	autofree char *rooted = path_join("/", name), *clean = rooted ? path_normalise(rooted) : NULL;

	if (!clean) {
		errno = ENOMEM;
		return NULL;
	}
	return strdup(clean + 1);
}

/* A symbolic link's target is relative to where it lies, a hard link's to the top. */
static char *clean_link(const char *from, const char *target, bool symbolic)
{
	const char *slash = strrchr(from, '/');
	autofree char *dir = strndup(from, slash && symbolic ? (size_t)(slash - from) : 0);
	autofree char *whole = dir ? path_join(*dir && *target != '/' ? dir : "/", target) : NULL;

	return whole ? clean_name(whole) : NULL;
}

static int add_member(struct walk *w, const char *name, const struct header *h, const char *link, uint64_t size)
{
	struct tar_index *out = w->out;
	struct tar_member *m;

	if (out->n >= TAR_MEMBERS_MAX)
		return -E2BIG;
	if (strlen(name) > TAR_NAME_MAX || strlen(link) > TAR_NAME_MAX)
		return -ENAMETOOLONG;
	if (out->n % GROW == 0) {
		m = reallocarray(out->p, out->n + GROW, sizeof(*m));
		if (!m)
			return -ENOMEM;
		out->p = m;
	}
	m = &out->p[out->n++];
	*m = (struct tar_member){ .offset = w->at, .size = size };
	m->name = clean_name(name);
	if (m->name && (h->type == '1' || h->type == '2'))
		m->link = clean_link(m->name, link, h->type == '2');
	return m->name && (m->link || (h->type != '1' && h->type != '2')) ? 0 : -ENOMEM;
}

/* ---- headers that only say something about the next one ---- */

static int put_string(char **to, const char *s, size_t len)
{
	free(*to);
	*to = strndup(s, len);
	return *to ? 0 : -ENOMEM;
}

/* One record: "LENGTH KEY=VALUE\n"; returns its length. */
static int pax_record(const char *p, size_t left, struct extra *x)
{
	char *end;
	unsigned long len = strtoul(p, &end, 10);
	const char *key = end + 1, *eq;
	size_t n;
	int r = 0;

	/* Digits, a blank, at least "k=", and its newline, all of it within what there is. */
	if (p[0] < '0' || p[0] > '9' || *end != ' ' || len > left || len > INT32_MAX || (size_t)(key - p) + 3 > len ||
	    p[len - 1] != '\n')
		return -EBADMSG;
	eq = memchr(key, '=', len - (size_t)(key - p));
	if (!eq)
		return -EBADMSG;
	n = (size_t)(p + len - 1 - (eq + 1));
	if (strncmp(key, "path=", 5) == 0)
		r = put_string(&x->name, eq + 1, n);
	else if (strncmp(key, "linkpath=", 9) == 0)
		r = put_string(&x->link, eq + 1, n);
	else if (strncmp(key, "size=", 5) == 0) {
		x->size = strtoull(eq + 1, NULL, 10);
		x->has_size = true;
	}
	return r < 0 ? r : (int)len;
}

static int pax_parse(const char *p, size_t left, struct extra *x)
{
	while (left > 0) {
		int n = pax_record(p, left, x);
		if (n < 0)
			return n;
		p += n;
		left -= (size_t)n;
	}
	return 0;
}

static int read_extra(struct walk *w, char type, uint64_t size)
{
	autofree char *buf = NULL;
	int r;

	if (size > EXTRA_MAX)
		return -E2BIG;
	buf = calloc(size + 1, 1);
	if (!buf)
		return -ENOMEM;
	r = read_at(w, w->at, buf, size);
	if (r < 0)
		return r;
	switch (type) {
	case 'L':
		return put_string(&w->extra.name, buf, size);
	case 'K':
		return put_string(&w->extra.link, buf, size);
	default:
		return pax_parse(buf, size, &w->extra);
	}
}

/* ---- the walk ---- */

static void header_name(const struct header *h, char ret[sizeof(h->prefix) + sizeof(h->name) + 2])
{
	int prefix = h->prefix[0] && memcmp(h->magic, "ustar", sizeof(h->magic)) == 0 ? (int)sizeof(h->prefix) : 0;

	snprintf(ret, sizeof(h->prefix) + sizeof(h->name) + 2, "%.*s%s%.*s", prefix, h->prefix, prefix ? "/" : "",
		 (int)sizeof(h->name), h->name);
}

static int take_member(struct walk *w, const struct header *h, uint64_t size)
{
	char name[sizeof(h->prefix) + sizeof(h->name) + 2], link[sizeof(h->link) + 1];
	int r = 0;

	header_name(h, name);
	snprintf(link, sizeof(link), "%.*s", (int)sizeof(h->link), h->link);
	if (h->type == '0' || !h->type || h->type == '7' || h->type == '1' || h->type == '2')
		r = add_member(w, w->extra.name ? w->extra.name : name, h, w->extra.link ? w->extra.link : link, size);
	extra_done(&w->extra);
	return r;
}

/* One header and what it heads. 1: that was the end. */
static int step(struct walk *w)
{
	struct header h;
	uint64_t size;
	int r;

	if (w->at == w->end)
		return 1; /* without the blocks of zeros at the end: some leave them out */
	r = read_at(w, w->at, &h, sizeof(h));
	if (r < 0)
		return r;
	if (is_zero(&h))
		return 1;
	if (!sum_is_right(&h) || number(h.size, sizeof(h.size), &size) < 0)
		return -EBADMSG;
	w->at += BLOCK;
	/* A global header says nothing of names and sizes. */
	if (h.type == 'L' || h.type == 'K' || h.type == 'x') {
		r = read_extra(w, h.type, size);
	} else {
		if (w->extra.has_size)
			size = w->extra.size;
		if (h.type == '1' || h.type == '2')
			size = 0;
		if (size > w->end - w->at)
			return -EBADMSG;
		if (h.type != 'g')
			r = take_member(w, &h, size);
	}
	if (r < 0)
		return r;
	size = (size + BLOCK - 1) / BLOCK * BLOCK;
	w->at = size > w->end - w->at ? w->end : w->at + size;
	return 0;
}

/* Of equal names the later one comes later: by where they lie. */
static int by_name(const void *a, const void *b)
{
	const struct tar_member *x = a, *y = b;
	int c = strcmp(x->name, y->name);

	return c ? c : (x->offset > y->offset) - (x->offset < y->offset);
}

int tar_index_read(int fd, struct tar_index *ret, struct err *err)
{
	struct walk w = { .fd = fd, .out = ret };
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "archive");
	w.end = (uint64_t)st.st_size;
	do
		r = step(&w);
	while (r == 0);
	extra_done(&w.extra);
	if (r == 1 && ret->n > 0) {
		qsort(ret->p, ret->n, sizeof(*ret->p), by_name);
		return 0;
	}
	if (r == -E2BIG)
		return err_set(err, ERR_Docker, "archive: more than %d members, or a header beyond bounds",
			       TAR_MEMBERS_MAX);
	if (r == -ENAMETOOLONG)
		return err_set(err, ERR_Docker, "archive: a name has more than %d bytes", TAR_NAME_MAX);
	if (r == 1 || r == -EBADMSG)
		return err_set_no(err, ERR_Docker, EINVAL,
				  "archive: no tar archive, or one that is damaged or cut off (at byte %llu)",
				  (unsigned long long)w.at);
	return err_sys(err, -r, "archive");
}

static const struct tar_member *find_one(const struct tar_index *t, const char *name)
{
	size_t low = 0, high = t->n;

	/* The first one greater than name; the last equal one is before it. */
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (strcmp(t->p[mid].name, name) <= 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low > 0 && strcmp(t->p[low - 1].name, name) == 0 ? &t->p[low - 1] : NULL;
}

const struct tar_member *tar_index_find(const struct tar_index *t, const char *name)
{
	autofree char *clean = clean_name(name);
	const struct tar_member *m = clean ? find_one(t, clean) : NULL;

	for (int hops = 0; m && m->link; hops++)
		m = hops < LINKS_MAX ? find_one(t, m->link) : NULL;
	return m;
}

void tar_index_done(struct tar_index *t)
{
	for (size_t i = 0; i < t->n; i++) {
		free(t->p[i].name);
		free(t->p[i].link);
	}
	free(t->p);
	*t = (struct tar_index){};
}
