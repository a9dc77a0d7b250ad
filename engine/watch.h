/*
 * engine/watch.h: who polls a file that the kernel can tell news of. A row of props.def names the cgroup file behind it
 * (.watch); the first poller arms it, the last one disarms it, and in between it follows the container through its lives.
 *
 * NAME.pressure is armed with a trigger, container.pressure_stall within container.pressure_window: our files are read
 * only, a poller can't write one of its own. Others (memory.events) tell of every change.
 */
#ifndef ENGINE_WATCH_H
#define ENGINE_WATCH_H

#include "engine/ct.h"

/* The row whose .watch this is, or -ENOENT. */
int watch_find(const char *knob);
/* The container's state has changed: there may be cgroups now that were not, or no more. */
void watch_renew(struct ct *ct);
/* The engine ends. */
void watch_close(struct engine *e);

#endif
