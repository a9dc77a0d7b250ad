/*
 * base/fd.h: descriptors, always O_CLOEXEC. 0 or more is fine, negative is -errno.
 */
#ifndef BASE_FD_H
#define BASE_FD_H

#include "base/defs.h"
#include "base/text.h"

/* Reads the rest of fd (or of the file below dirfd) and appends it; at most max bytes, more is -EFBIG. */
int fd_read_all(int fd, size_t max, struct text *out);
int file_read(int dirfd, const char *path, size_t max, struct text *out);

/* A small file, whole, into buf, NUL-terminated, final newline cut. Returns the length. For kernel files (one read). */
ssize_t file_read_small(int dirfd, const char *path, char *buf, size_t size);

/* Writes all, going on after short writes and EINTR. */
int fd_write_all(int fd, const void *buf, size_t len);

/* Appends the names in a directory, without . and .., in its order; dirfd stays where it is. 0 or -errno. */
int dir_names(int dirfd, struct strv *ret);

/* One write(2) to an existing file (cgroup and proc files). */
int file_write(int dirfd, const char *path, const char *text);

/*
 * Replaces dirfd/name whole or not at all: writes a temporary ".name.tmp" and renames it over. No fsync: the state
 * it is for dies with the boot. ENOSPC leaves the old file and no temporary one.
 */
int file_replace(int dirfd, const char *name, const void *buf, size_t len, mode_t mode);

/*
 * Removes a tree below dirfd without following symbolic links or crossing mounts; a missing one is fine. May be slow.
 * What can't be removed stays, all beside it goes, and the first reason is returned (-EBUSY for a mount). Any depth.
 */
int tree_remove(int dirfd, const char *name);

int fd_set_cloexec(int fd, bool on);

/* Duplicates descriptor number n of the process behind pidfd (pidfd_getfd(2)). */
int fd_from_process(int pidfd, int n);

#endif
