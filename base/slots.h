/*
 * base/slots.h: a small text in a file that is replaced again and again, each time in one step as far as a kill at any moment
 * can tell. It is for files that matter only while the system runs: nothing is synced, a power cut may leave anything.
 *
 * The file has two places. A new text goes to the one that does not hold the present text, in one pwrite(2); it counts once
 * its last line is there, which bears the number of the first. So a save is three system calls; a new file renamed over the
 * old one costs ten times as much on a disk. A text that is too long gets a new file with larger places, by rename.
 */
#ifndef BASE_SLOTS_H
#define BASE_SLOTS_H

#include <sys/types.h>

#include "base/text.h"

/* What is known of a file; zero: nothing, and the next write makes it. */
struct slots {
	uint32_t size; /* of each place */
	uint32_t seq;  /* number of the present text */
};

/* 0 or -errno; on failure the file still holds the text before. */
int slots_write(int dirfd, const char *name, struct slots *s, const char *text, size_t len, mode_t mode);

/* Appends the present text. -EINVAL if there is none, -EFBIG above max. */
int slots_read(int dirfd, const char *name, size_t max, struct slots *s, struct text *out);

#endif
