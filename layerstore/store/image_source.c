#include "layerstore/store/image_source.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "layerstore/store/sum.h"

int image_source_dir(struct image_source *s, int dirfd, struct err *err)
{
	struct stat st;

	*s = (struct image_source){ .dirfd = dirfd, .tar_fd = -1 };
	if (fstat(dirfd, &st) < 0)
		return err_sys(err, errno, "image layout");
	if (!S_ISDIR(st.st_mode))
		return err_set(err, ERR_InvalidValue, "image layout: not a directory");
	s->has_blobs = image_source_has(s, "oci-layout");
	return 0;
}

int image_source_tar(struct image_source *s, int tar_fd, struct err *err)
{
	*s = (struct image_source){ .dirfd = -1, .tar_fd = tar_fd, .has_blobs = true };
	return tar_index_read(tar_fd, &s->tar, err);
}

void image_source_done(struct image_source *s)
{
	tar_index_done(&s->tar);
}

/* No link anywhere, nothing outside, and a pipe with no writer doesn't hold us. */
static int open_beneath(int dirfd, const char *name)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, dirfd, name, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

static int open_in_dir(const struct image_source *s, const char *name, struct image_part *ret)
{
	autoclose int fd = open_beneath(s->dirfd, name);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	*ret = (struct image_part){ .fd = TAKE_FD(fd), .size = (uint64_t)st.st_size };
	return 0;
}

static int open_in_tar(const struct image_source *s, const char *name, struct image_part *ret)
{
	const struct tar_member *m = tar_index_find(&s->tar, name);
	int fd;

	if (!m)
		return -ENOENT;
	fd = fcntl(s->tar_fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	*ret = (struct image_part){ .fd = fd, .offset = m->offset, .size = m->size };
	return 0;
}

static int open_part(const struct image_source *s, const char *name, struct image_part *ret)
{
	static const char *const fixed[] = { "index.json", "oci-layout", "manifest.json" };
	bool known = image_is_hex(name) || strncmp(name, "blobs/sha256/", 13) == 0;

	if (s->dirfd < 0)
		return open_in_tar(s, name, ret);
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		known |= strcmp(name, fixed[i]) == 0;
	return known ? open_in_dir(s, name, ret) : -ENOENT;
}

bool image_source_has(const struct image_source *s, const char *name)
{
	struct image_part part = { .fd = -1 };

	if (open_part(s, name, &part) < 0)
		return false;
	close(part.fd);
	return true;
}

int image_source_open(const struct image_source *s, const char *name, struct image_part *ret, struct err *err)
{
	int r = open_part(s, name, ret);

	if (r == -ENOENT)
		return err_set(err, ERR_Docker, "'%.128s' is missing in the image", name);
	return r < 0 ? err_set_no(err, ERR_Docker, -r, "'%.128s' can't be read: %s", name, strerror(-r)) : 0;
}

int image_source_blob(const struct image_source *s, const struct image_desc *d, struct image_part *ret, struct err *err)
{
	char name[sizeof("blobs/sha256/") + IMAGE_HEX];
	int r;

	snprintf(name, sizeof(name), "%s%s", s->has_blobs ? "blobs/sha256/" : "",
		 d->digest + IMAGE_DIGEST_LEN - IMAGE_HEX);
	r = image_source_open(s, name, ret, err);
	if (r < 0)
		return r;
	if (ret->size == d->size)
		return 0;
	close(ret->fd);
	return err_set(err, ERR_Docker, "%s has %llu bytes, the manifest says %llu", d->digest,
		       (unsigned long long)ret->size, (unsigned long long)d->size);
}

static int read_part(struct image_source *s, const struct image_part *part, const char *name, struct text *out,
		     struct err *err)
{
	autofree char *buf = NULL;
	size_t len = 0;

	if (part->size > IMAGE_JSON_MAX)
		return err_set(err, ERR_Docker, "'%.128s' has %llu bytes, at most %u are read", name,
			       (unsigned long long)part->size, IMAGE_JSON_MAX);
	s->json_read += part->size;
	if (s->json_read > IMAGE_JSON_TOTAL)
		return err_set(err, ERR_Docker, "the documents of the image have more than %u bytes together",
			       IMAGE_JSON_TOTAL);
	buf = malloc(part->size + 1);
	while (buf && len < part->size) {
		ssize_t n = pread(part->fd, buf + len, part->size - len, (off_t)(part->offset + len));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_sys(err, n < 0 ? errno : EIO, "'%.128s'", name);
		len += (size_t)n;
	}
	if (buf)
		text_addn(out, buf, len);
	return buf && text_ok(out) == 0 ? 0 : err_sys(err, ENOMEM, "'%.128s'", name);
}

int image_source_read(struct image_source *s, const char *name, struct text *out, struct err *err)
{
	struct image_part part = { .fd = -1 };
	int r = image_source_open(s, name, &part, err);

	if (r < 0)
		return r;
	r = read_part(s, &part, name, out, err);
	close(part.fd);
	return r;
}

int image_source_json(struct image_source *s, const struct image_desc *d, struct text *out, struct err *err)
{
	struct image_part part = { .fd = -1 };
	char hex[IMAGE_HEX + 1];
	size_t start = out->len;
	int r = image_source_blob(s, d, &part, err);

	if (r < 0)
		return r;
	r = read_part(s, &part, d->digest, out, err);
	close(part.fd);
	if (r < 0)
		return r;
	sum_of(text_str(out) + start, out->len - start, hex);
	if (strcmp(hex, d->digest + IMAGE_DIGEST_LEN - IMAGE_HEX) != 0)
		return err_set(err, ERR_Docker, "%s: the contents do not have this digest", d->digest);
	return 0;
}
