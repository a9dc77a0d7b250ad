/* engine/output.h: a container's work directory, its bounded stdout and stderr, and reading them. */
#ifndef ENGINE_OUTPUT_H
#define ENGINE_OUTPUT_H

#include "engine/ct.h"

/* Start steps: the directory <work_dir>/<name with % for />, owned by the task user; the streams that are ours. */
int work_create(struct ct *ct, struct err *err);
/* Removes it: at once what is usual, the rest in the background. */
void work_remove(struct ct *ct);
/* The same for a container of that name that is no more. */
void work_remove_name(struct engine *e, const char *name);
/* At start, when all records are read: what an earlier daemon was still removing, or had made for a start that it had not recorded. */
void work_sweep(struct engine *e);
/* The absolute path of the work directory. */
void work_path(const struct ct *ct, struct text *out);

/* Lets go of descriptors taken from clients: somebody may wait for the end of that pipe. A later start takes them again. */
void output_close_taken(struct ct *ct);

/* Opens internal stream n (1, 2) for the container: O_APPEND, empty. Descriptor or -errno. */
int output_open(struct ct *ct, int n, struct err *err);
/* While containers run: what has outgrown stdout_limit loses its head. The length of the longer stream then. */
uint64_t output_trim(struct ct *ct);
/* Size as readers see it (what is kept); 0 when there is nothing to read. */
uint64_t output_size(struct ct *ct, int n);
/* A file that the owner named is read with root's rights: only the owner and root may. -EACCES. Its own files anybody may read. */
int output_check_reader(struct ct *ct, int n, const struct engine_cred *who, struct err *err);
uint64_t output_start(const struct ct *ct, int n); /* the first byte that is kept: so many are gone */
/* Reads from off, counted from the first byte ever written; what is gone is zeros. InvalidData: it goes to no file that can be read. */
ssize_t output_pread(struct ct *ct, int n, char *buf, size_t size, uint64_t off, struct err *err);
/* stdout[OFFSET:LENGTH] of spec/PROPERTIES.md 4.3; key NULL: the last stdout_limit bytes. */
int output_range(struct ct *ct, int n, const char *key, struct text *out, struct err *err);

#endif
