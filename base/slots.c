#include "base/slots.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/fd.h"

#define SLOT_LEAST 2048u /* both in one page */
#define HEAD_BYTES 22u   /* "text SEQ LEN\n" */
#define TAIL_BYTES 15u   /* "end SEQ\n" */
#define HEAD "text %08x %07x\n"
#define TAIL "\nend  %08x\n"

_Static_assert(sizeof("text 01234567 0123456\n") - 1 == HEAD_BYTES, "head");
_Static_assert(sizeof("\nend  01234567\n") - 1 == TAIL_BYTES, "tail");

static void fill(char *at, uint32_t seq, const char *text, size_t len)
{
	char line[HEAD_BYTES + 1];

	snprintf(line, sizeof(line), HEAD, seq, (unsigned)len);
	memcpy(at, line, HEAD_BYTES);
	memcpy(at + HEAD_BYTES, text, len);
	snprintf(line, sizeof(line), TAIL, seq);
	memcpy(at + HEAD_BYTES + len, line, TAIL_BYTES);
}

/* A new file with room to grow; the second place is empty. */
static int make(int dirfd, const char *name, struct slots *s, const char *text, size_t len, mode_t mode)
{
	uint32_t size = SLOT_LEAST;
	autofree char *all = NULL;
	int r;

	while (size < HEAD_BYTES + len + TAIL_BYTES)
		size *= 2;
	all = calloc(2, size);
	if (!all)
		return -ENOMEM;
	fill(all, 2, text, len);
	r = file_replace(dirfd, name, all, 2 * (size_t)size, mode);
	if (r == 0)
		*s = (struct slots){ .size = size, .seq = 2 };
	return r;
}

int slots_write(int dirfd, const char *name, struct slots *s, const char *text, size_t len, mode_t mode)
{
	size_t all = HEAD_BYTES + len + TAIL_BYTES;
	uint32_t seq = s->seq + 1;
	char small[SLOT_LEAST];
	autofree char *large = NULL;
	char *buf = small;

	autoclose int fd = -1;

	if (len > 0xfffffff)
		return -EFBIG;
	if (all > s->size)
		return make(dirfd, name, s, text, len, mode);
	fd = openat(dirfd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? make(dirfd, name, s, text, len, mode) : -errno;
	if (all > sizeof(small))
		buf = large = malloc(all);
	if (!buf)
		return -ENOMEM;
	fill(buf, seq, text, len);
	ssize_t n = pwrite(fd, buf, all, (off_t)(seq % 2) * s->size);
	if (n < 0)
		return -errno;
	if ((size_t)n < all)
		return -ENOSPC;
	s->seq = seq;
	return 0;
}

/* Is a whole text there? */
static bool parse(const char *at, size_t size, uint32_t *seq, const char **text, size_t *len)
{
	char line[HEAD_BYTES + 1], expected[HEAD_BYTES + 1];
	unsigned a, b;

	if (size < HEAD_BYTES + TAIL_BYTES)
		return false;
	memcpy(line, at, HEAD_BYTES);
	line[HEAD_BYTES] = 0;
	if (sscanf(line, "text %8x %7x", &a, &b) != 2 || b > size - HEAD_BYTES - TAIL_BYTES)
		return false;
	snprintf(expected, sizeof(expected), HEAD, a, b);
	if (memcmp(line, expected, HEAD_BYTES) != 0)
		return false;
	snprintf(expected, sizeof(expected), TAIL, a);
	if (memcmp(at + HEAD_BYTES + b, expected, TAIL_BYTES) != 0)
		return false;
	*seq = a;
	*text = at + HEAD_BYTES;
	*len = b;
	return true;
}

int slots_read(int dirfd, const char *name, size_t max, struct slots *s, struct text *out)
{
	autotext struct text all = {};
	const char *text[2] = {};
	size_t len[2] = {};
	uint32_t seq[2] = {};
	bool ok[2];
	int newer, r = file_read(dirfd, name, 2 * max, &all);

	if (r < 0)
		return r;
	s->size = (uint32_t)(all.len / 2);
	for (int i = 0; i < 2; i++)
		ok[i] = parse(text_str(&all) + (size_t)i * s->size, s->size, &seq[i], &text[i], &len[i]);
	if (!ok[0] && !ok[1])
		return -EINVAL;
	newer = ok[1] && (!ok[0] || (int32_t)(seq[1] - seq[0]) > 0);
	s->seq = seq[newer];
	text_addn(out, text[newer], len[newer]);
	return text_ok(out);
}
