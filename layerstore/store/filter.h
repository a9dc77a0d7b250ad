/*
 * layerstore/store/filter.h: a program of the host that an archive goes through (squashfs to tar and back), as nobody,
 * without anything but its three descriptors.
 */
#ifndef LAYERSTORE_STORE_FILTER_H
#define LAYERSTORE_STORE_FILTER_H

#include <sys/types.h>

#include "base/err.h"

struct filter {
	const char *program; /* absolute */
	pid_t pid;
	int errors; /* what it says */
};

/* in and out stay the caller's. NotSupported if there is no such program. */
int filter_start(struct filter *f, const char *program, char *const argv[], int in, int out, struct err *err);
/* Waits; what it said, if it failed. */
int filter_wait(struct filter *f, struct err *err);
/* It has, or does at once: then it may be what went wrong first. */
bool filter_has_ended(const struct filter *f);
/* Ends it, if it is still there. A zeroed one is fine. */
void filter_kill(struct filter *f);

#endif
