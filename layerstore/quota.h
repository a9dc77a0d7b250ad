/*
 * layerstore/quota.h: project quota of a directory tree, on file systems that have it in force (ext4, xfs). A tree's
 * project is the number of its top directory's inode with bit 31 set, so that it needs no list of those in use. Limits
 * are hard.
 */
#ifndef LAYERSTORE_QUOTA_H
#define LAYERSTORE_QUOTA_H

#include "base/defs.h"
#include "base/err.h"
#include "base/text.h"

struct quota {
	uint64_t space_limit, inode_limit; /* 0: none */
	uint64_t space_used, inode_used;
};

/* Does the file system of fd hold projects to their limits? 0, or -EOPNOTSUPP. */
int quota_supported(int fd);

/*
 * Makes the tree below the directory a project of its own and sets its limits; *project says which. A tree that has it
 * already is not walked. Busy: it belongs to another.
 */
int quota_begin(int dir, const struct quota *limits, uint32_t *project, struct err *err);

int quota_get(int fd, uint32_t project, struct quota *ret);
int quota_set_limits(int fd, uint32_t project, const struct quota *limits);

/*
 * Takes the limits away; with whole also the tree out of the project. Only if the directory still has its own project.
 * Harmless when done before.
 */
int quota_end(int dir, bool whole);

/* The same when the directory is gone: only when the project has no files. fd: anything in the file system. */
int quota_forget(int fd, uint32_t project);

/* Gives what lies below dir its project, corrects the counters, says what there was. Busy: it is written to all the
 * time. */
int quota_recount(int dir, uint32_t project, struct text *report, struct err *err);

/* Pure: the project of a directory with that inode number; those of more than 31 bits are folded. */
uint32_t quota_project_of(uint64_t ino);

#endif
