/* A text in two places: what a reader finds, also after a write that was cut off anywhere. */
#include "base/slots.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "tests/unit/unit.h"

#define ROOM 65536

static char dir[] = "/tmp/porto-slots-XXXXXX";
static int at = -1;

static bool holds(const char *expected, struct slots *s)
{
	autotext struct text t = {};

	return slots_read(at, "f", ROOM, s, &t) == 0 && strcmp(text_str(&t), expected) == 0;
}

static bool put(struct slots *s, const char *text)
{
	return slots_write(at, "f", s, text, strlen(text), 0600) == 0;
}

static ino_t inode(void)
{
	struct stat st;

	return fstatat(at, "f", &st, 0) == 0 ? st.st_ino : 0;
}

static void test_replace(void)
{
	struct slots s = {}, found;
	ino_t first;

	unit_ok(put(&s, "one\n") && holds("one\n", &found), "a new file");
	first = inode();
	unit_ok(put(&s, "two, which is longer\n") && holds("two, which is longer\n", &found), "the second text");
	unit_ok(put(&s, "3\n") && holds("3\n", &found), "a shorter one over the first");
	unit_ok(put(&s, "") && holds("", &found), "an empty one");
	unit_ok(inode() == first, "all in one file");
	unit_ok(found.size == s.size && found.seq == s.seq, "a reader knows what the writer knew");
	unit_ok(put(&found, "by the next\n") && holds("by the next\n", &s), "and goes on from there");
}

static void test_grow(void)
{
	struct slots s = {}, found;
	char large[5000];

	memset(large, 'x', sizeof(large) - 1);
	large[sizeof(large) - 1] = 0;
	unit_ok(put(&s, "small") && put(&s, large) && holds(large, &found), "a text that is too long for the places");
	unit_ok(put(&s, large + 1) && put(&s, "small") && holds("small", &found), "and after it");
	unit_int(slots_read(at, "f", 1000, &found, &(struct text){}), -EFBIG, "more than allowed");
	unlinkat(at, "f", 0);
	unit_ok(put(&s, "again") && holds("again", &found), "a file that is gone is made");
}

/* Every prefix of the write, as a kill would leave it. */
static void test_cut(void)
{
	struct slots s = {}, found;
	autotext struct text before = {}, after = {};
	size_t bad = 0, olds = 0;

	unlinkat(at, "f", 0);
	put(&s, "first\n");
	put(&s, "a = 1\nb = 2\n");
	put(&s, "old = yes\nb = 3\n");
	file_read(at, "f", ROOM, &before);
	put(&s, "new = yes\nb = 4\nc = 5\n");
	file_read(at, "f", ROOM, &after);
	for (size_t cut = 0; cut <= s.size; cut++) {
		size_t start = s.seq % 2 * s.size;

		memcpy(before.p + start, after.p + start, cut);
		file_replace(at, "f", before.p, before.len, 0600);
		olds += holds("old = yes\nb = 3\n", &found);
		bad += !holds("old = yes\nb = 3\n", &found) && !holds("new = yes\nb = 4\nc = 5\n", &found);
	}
	unit_int((long)bad, 0, "a write that is cut off leaves the old text or the new one");
	unit_ok(olds > 30, "the old one while anything is missing");
	memset(before.p, 'x', before.len);
	file_replace(at, "f", before.p, before.len, 0600);
	unit_int(slots_read(at, "f", ROOM, &found, &after), -EINVAL, "no text in either place");
	file_replace(at, "f", "", 0, 0600);
	unit_int(slots_read(at, "f", ROOM, &found, &after), -EINVAL, "an empty file");
}

int main(void)
{
	if (!mkdtemp(dir) || (at = open(dir, O_DIRECTORY | O_CLOEXEC)) < 0)
		return 2;
	test_replace();
	test_grow();
	test_cut();
	unlinkat(at, "f", 0);
	close(at);
	rmdir(dir);
	return unit_end();
}
