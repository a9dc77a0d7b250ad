/* engine/tick.h: once a second while something runs: output that has outgrown its limit. */
#ifndef ENGINE_TICK_H
#define ENGINE_TICK_H

struct engine;

void tick_start(struct engine *e); /* harmless when ticking */

#endif
