/* engine/io.h: what the rest of the engine asks of block IO beyond the rows of props.def (apply_io.c, policy_io.c). */
#ifndef ENGINE_IO_H
#define ENGINE_IO_H

#include "engine/ct.h"

/*
 * Takes the container's limits off its cgroup: what is killed while the kernel holds its requests back lives until they are
 * through, which may be years. io_limits_again puts them back, before something runs there again.
 */
void io_limits_lift(struct ct *ct);
int io_limits_again(struct ct *ct, struct err *err);

/* ioprio(2) of the container's processes: its own io_policy's or the nearest ancestor's; false: nobody has set one. */
bool io_priority(const struct ct *ct, int *class, int *level);

/* The disk that a key of limits and counters names: "sda", "/path" of the host, ".path" of the container's root, "fs" as ".". */
struct disk;
int io_find_disk(struct ct *ct, uid_t uid, const char *prop, const char *key, struct disk *ret, struct err *err);

/* Lines of `taint` and of `features`. */
void io_taint(const struct ct *ct, struct text *out);
void io_features(const struct cgroups *g, struct text *out);

#endif
