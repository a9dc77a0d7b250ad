/*
 * engine/disks.h: block devices of the host by name, number or path. Never blocks: a path is looked up inside one mounted
 * file system at a time, and never in one that a process serves (FUSE, ours above all) or a network.
 */
#ifndef ENGINE_DISKS_H
#define ENGINE_DISKS_H

#include "base/defs.h"
#include "base/text.h"

/* A whole disk: what is asked of a partition is answered with its disk, because that is what the kernel counts and limits. */
struct disk {
	unsigned major, minor;
	char name[64]; /* as in /sys/block */
};

/* -ENODEV: no such disk. */
int disk_by_name(const char *name, struct disk *ret);
int disk_by_number(unsigned major, unsigned minor, struct disk *ret);
/*
 * Where path, seen from root (as the host names it, "/" itself), lies: a device's own disk, the disk of a file system, that of an
 * overlay's upper layer. -ENODEV also when there is no such path, or nothing but memory, network or a process below it.
 */
int disk_of_path(const char *root, const char *path, struct disk *ret);

/* sd*, nvme*, vd*: what `hw` sums up. */
bool disk_is_hardware(const char *name);
/* Memory in disguise, not worth counting. */
bool disk_is_hidden(const char *name);

/* Adds the disks whose scheduler is one of words now, blanks between; returns how many. */
int disks_scheduled_by(const char *const *words, size_t n, struct text *out);

#endif
